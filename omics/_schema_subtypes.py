"""The variables of the stores of subtypes, and what those of a replication say of patients who are in both cohorts."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from omics._schema_variables import ESTIMATE, Variable, optional, row

SUBTYPE_NODES: Mapping[str, tuple[Variable, ...]] = {
    "subtypes": (
        Variable("label", ("sample",), "text", "subtype of the sample"),
        Variable("probability", ("sample", "subtype"), "float", "probability of each subtype"),
        Variable("ambiguity", ("sample",), "float", "0: always with the same others over resamples, up to 1"),
        Variable("ambiguity_p", ("sample",), "float", "share of patients without clusters placed as surely"),
    ),
    "subtype_model": (
        Variable("mean", ("subtype", "factor"), "float", "centre of the subtype, in standardised factors"),
        Variable("covariance", ("factor", "other_factor"), "float", "spread in each subtype, in standardised factors"),
        Variable("mixing", ("subtype",), "float", "share of the subtype"),
        Variable("jaccard", ("subtype",), "float", "mean Jaccard index over resamples; NaN if alone"),
        Variable("jaccard_p", ("subtype",), "float", "share of clusters of cluster-free data as stable"),
        Variable("jaccard_factors", ("subtype",), "float", "mean Jaccard index when a fifth of the factors is gone"),
        optional(
            "jaccard_features",
            ("subtype",),
            "float",
            "the same when factors are learnt without a fifth of the features",
        ),
        Variable(
            "factor_low", ("factor",), "float", "quantile to which lower scores are raised: 2 %, more in small cohorts"
        ),
        Variable(
            "factor_high", ("factor",), "float", "quantile to which higher scores are cut: 98 %, less in small cohorts"
        ),
        Variable("factor_mean", ("factor",), "float", "mean by which factors were standardised"),
        Variable("factor_scale", ("factor",), "float", "scale by which factors were standardised"),
    ),
    "stability": (
        Variable("stability", ("n_subtypes",), "float", "mean adjusted Rand index between resamples"),
        Variable("weakest", ("n_subtypes",), "float", "mean Jaccard index of the least stable subtype"),
        Variable("null_mean", ("n_subtypes",), "float", "stability on data without clusters, mean"),
        Variable("null_upper", ("n_subtypes",), "float", "stability on data without clusters, 95 % quantile"),
        Variable("p_value", ("n_subtypes",), "float", "share of cluster-free data sets that are as stable"),
        Variable("pac", ("n_subtypes",), "float", "proportion of pairs of patients that are ambiguous"),
        Variable("pac_few", ("n_subtypes",), "float", "the same over as few resamples as the null has"),
        Variable("pac_null", ("n_subtypes",), "float", "the same on data without clusters, mean"),
        Variable("pac_p_value", ("n_subtypes",), "float", "share of cluster-free data sets as unambiguous"),
        Variable("chosen", ("n_subtypes",), "float", "how often other draws of the resamples would choose it"),
    ),
    "curves": (
        row("group", "text", "subtype"),
        row("endpoint", "text", "name of the endpoint: cumulative incidence where others compete, else survival"),
        row("time", "float", "time from the time zero of the endpoint", "years"),
        *ESTIMATE,
        row("at_risk", "integer", "patients at risk just before the time"),
        row("events", "integer", "events of the endpoint at the time"),
    ),
    "tests": (
        row("endpoint", "text", "name of the endpoint"),
        row("test", "text", "gray or logrank"),
        row("statistic", "float", "chi-square statistic"),
        row("df", "integer", "degrees of freedom"),
        row("p_value", "float", "two-sided p-value"),
        row("n", "integer", "patients in the test"),
        row("events", "integer", "events of the endpoint"),
    ),
    "agreement": (
        row("label", "text", "clinical column that the subtypes are compared with"),
        row("ari", "float", "adjusted Rand index"),
        row("ami", "float", "adjusted mutual information"),
        row("n", "integer", "patients with both labels"),
    ),
    "markers": (
        row("subtype", "text", "subtype"),
        row("layer", "text", "layer of the feature"),
        row("feature", "text", "feature"),
        optional("gene", ("row",), "text", "HGNC symbol(s) of the feature"),
        row("rank", "integer", "1 is the strongest of the subtype in the layer"),
        row("difference", "float", "mean of the subtype less that of the rest, in standard deviations within subtypes"),
        row("auc", "float", "area under the ROC curve, subtype against the rest"),
        row("mean_inside", "float", "mean of the prepared values in the subtype"),
        row("mean_outside", "float", "mean of the prepared values in the rest"),
        row("n", "integer", "patients of the subtype who have the layer"),
    ),
    "panels": (
        row("layer", "text", "layer of the features; all: all layers together"),
        row("per_subtype", "integer", "markers chosen for each subtype"),
        row("features", "float", "features of the panel, mean over the folds"),
        row("accuracy", "float", "share of held-out patients whose subtype is told"),
        row("balanced_accuracy", "float", "mean over subtypes of that share"),
        row("worst", "float", "the lowest of those shares"),
        row("worst_subtype", "text", "the subtype whose share that is"),
        row("n", "integer", "patients"),
    ),
    "enrichment": (
        row("subtype", "text", "subtype"),
        row("label", "text", "clinical column, or the layer that may be missing"),
        row("level", "text", "level of the column; empty for a number"),
        row("test", "text", "fisher or mannwhitney"),
        row("n_inside", "integer", "patients of the subtype with the level"),
        row("n_cluster", "integer", "patients of the subtype whose value is known"),
        row("n_level", "integer", "patients with the level"),
        row("n", "integer", "patients whose value is known"),
        row("share_inside", "float", "share of the subtype with the level; median of a number"),
        row("share_outside", "float", "share of the others with the level; median of a number"),
        row("effect", "float", "odds ratio, or AUC of a number"),
        row("p_value", "float", "two-sided p-value"),
        row("q_value", "float", "false discovery rate over the whole table"),
    ),
    "verdicts": (
        row("subtype", "text", "subtype"),
        row("n", "integer", "patients of the subtype"),
        row("kind", "text", "known, splits, merges, technical, sex, missing data or new"),
        row("label", "text", "clinical column or layer that explains it; empty where nothing does"),
        row("level", "text", "level that explains it; empty where nothing does"),
        row("sentence", "text", "what it is, for people"),
    ),
    "followed": (
        row("factor", "text", "factor"),
        row("label", "text", "clinical column that was to be excluded"),
        row("test", "text", "kruskal or spearman"),
        row("n", "integer", "patients whose value is known"),
        row("effect", "float", "share of the variance of the factor's ranks"),
        row("p_value", "float", "p-value"),
        row("q_value", "float", "false discovery rate over the whole table"),
        row("excluded", "integer", "1 if the factor was left out"),
    ),
    "solutions": (
        row("solution", "text", "algorithm"),
        row("n_subtypes", "integer", "subtypes that it finds"),
        row("p_value", "float", "p-value of no structure"),
        row("ari", "float", "adjusted Rand index with the chosen solution"),
        row("chosen", "integer", "1 for the chosen solution"),
    ),
    "solution_tests": (
        row("endpoint", "text", "name of the endpoint"),
        row("solution", "text", "algorithm"),
        row("n_groups", "integer", "subtypes that are compared"),
        row("test", "text", "gray, logrank, fisher or chi2"),
        row("statistic", "float", "statistic of the test"),
        row("df", "integer", "degrees of freedom"),
        row("p_value", "float", "p-value"),
        row("p_adjusted", "float", "p-value adjusted by Holm over the solutions looked at"),
        row("n", "integer", "patients"),
        row("events", "integer", "events of the endpoint"),
    ),
    "adjusted_terms": (
        row("endpoint", "text", "name of the endpoint"),
        row("model", "text", "cause_specific, fine_gray or cox"),
        row("adjusted", "integer", "1 if beside what is known, 0 if alone"),
        row("term", "text", "group, or the covariate"),
        row("group", "text", "subtype or level, against the largest subtype or the reference level"),
        row("hazard_ratio", "float", "hazard ratio; 0 or infinite where only the likelihood has a limit"),
        row("lower", "float", "lower end of the 95 % interval"),
        row("upper", "float", "upper end of the 95 % interval"),
        row("p_value", "float", "p-value of the term; as the interval, not of few patients in Fine-Gray regression"),
        row("n", "integer", "patients"),
        row("events", "integer", "events of the endpoint"),
    ),
    "adjusted_tests": (
        row("endpoint", "text", "name of the endpoint"),
        row("model", "text", "cause_specific, fine_gray or cox"),
        row("adjusted", "integer", "1 if beside what is known, 0 if alone"),
        row("statistic", "float", "joint test of the subtypes"),
        row("df", "integer", "degrees of freedom"),
        row("p_value", "float", "p-value of the subtypes"),
        row("proportional_p", "float", "p-value of proportional hazards"),
        row("n", "integer", "patients"),
        row("events", "integer", "events of the endpoint"),
        row("covariates", "text", "covariates in the model"),
        row("strata", "text", "strata"),
        row("left_out", "text", "covariates that were left out, and why: no value, or no regression with them"),
        row("remark", "text", "what else must be known to read the row"),
    ),
    "relapse_factors": (
        row("factor", "text", "factor"),
        row("frequency", "float", "share of half-samples that keep it, mean over folds"),
        row("folds_selected", "integer", "folds in which it was selected"),
        row("folds", "integer", "folds"),
        row("coefficient", "float", "log hazard ratio per standard deviation, mean where selected"),
    ),
    "relapse_patients": (
        row("sample", "text", "patient"),
        row("repeat", "integer", "repeat of the cross-validation"),
        row("fold", "integer", "fold in which the patient was held out"),
        row("risk", "float", "log hazard against the mean training patient"),
        row("group", "text", "high, low, or none where nothing was selected"),
    ),
    "relapse_tests": (
        row("name", "text", "held_out, or circular: not to be read as evidence"),
        row("repeat", "integer", "repeat of the cross-validation"),
        row("test", "text", "gray or logrank"),
        row("n", "integer", "patients in a group"),
        row("n_high", "integer", "patients in the high group"),
        row("events", "integer", "events"),
        row("statistic", "float", "chi-square statistic, which has no direction"),
        row(
            "p_value",
            "float",
            "one-sided: the high group has more events; with permutations the larger of both p-values",
        ),
        row("method", "text", "asymptotic, or permutation: then the larger of both"),
        row("n_permutations", "integer", "runs with outcomes dealt out anew"),
        row("hazard_ratio", "float", "high against low"),
        row("lower", "float", "lower end of the 95 % interval"),
        row("upper", "float", "upper end of the 95 % interval"),
        row("evidence", "integer", "1 for the one row that may be read as evidence, whatever its p-value"),
        row("remark", "text", "how to read it"),
        row("verdict", "text", "what it comes to, for people"),
    ),
    "assignment": (
        row("sample", "text", "patient of the new cohort"),
        row("label", "text", "subtype of the reference, or unassigned"),
        row("nearest", "text", "the most probable subtype"),
        row("probability", "float", "its probability"),
        row("distance", "float", "distance to its centre, in standard deviations within subtypes"),
        row("limit", "float", "distance that 99 % of its patients do not exceed"),
        row("outside", "integer", "1 if beyond the limit"),
        row("ambiguous", "integer", "1 if the probability is low"),
        row("reason", "text", "why unassigned"),
    ),
    "replication": (
        row("subtype", "text", "subtype of the reference"),
        row("n", "integer", "patients nearest to it"),
        row("assigned", "integer", "patients assigned to it"),
        row("unassigned", "float", "share of those nearest to it who are not assigned"),
        row("share_reference", "float", "its share of the reference"),
        row("share", "float", "its share here"),
        row("share_p_value", "float", "p-value that the shares are the same"),
        row("distance", "float", "mean distance to its centre"),
        row("in_group", "float", "in-group proportion"),
        row("p_value", "float", "p-value of it against cohorts without clusters with 2 patients in the group"),
        row("p_permuted", "float", "p-value of it against permuted centres"),
        row("prediction_strength", "float", "mean prediction strength of its patients"),
        row("replicates", "integer", "1 yes, 0 no, -1 cannot be judged"),
        row("verdict", "text", "what it comes to, for people"),
    ),
    "replication_overall": (
        row("n", "integer", "patients"),
        row("n_unassigned", "integer", "patients who are not assigned"),
        row("n_outside", "integer", "patients beyond the limit"),
        row("n_ambiguous", "integer", "patients between subtypes"),
        optional("n_known", ("row",), "integer", "patients known well enough for the figures of the subtypes"),
        row("n_compared", "integer", "patients whom ari compares: known well enough, and assigned to a subtype"),
        row("own_subtypes", "integer", "clusters of the cohort by itself; 0 if it could not be clustered"),
        row("ari", "float", "adjusted Rand index of these and the subtypes, over the assigned patients compared"),
        row("prediction_strength", "float", "the smallest of these clusters"),
        row("note", "text", "why something is not known"),
    ),
    "moves": (
        row("from", "text", "subtype in the reference"),
        row("to", "text", "subtype here"),
        row("n", "integer", "patients"),
        row("patients", "text", "their ids"),
        row("stayed", "float", "share of the patients of the first subtype who stayed"),
    ),
}

# --- patients who are in both cohorts of a replication: said by several rooms, which may not import each other --------

#: A larger share of the patients, or of those of a subtype, who are in the reference too leaves no other cohort.
MANY_SHARED = 0.1


def shared_warning(moves: pd.DataFrame | None) -> str:
    """What must be said where patients are in the reference too; no full stop.

    Parameters
    ----------
    moves : pandas.DataFrame or None
        ``NODES["moves"]`` of a replication.

    Returns
    -------
    str
        Empty where no patient is.
    """
    n = 0 if moves is None or moves.empty else int(moves["n"].sum())
    who = "1 patient is" if n == 1 else f"{n:,} patients are"
    return f"{who} in the reference too: what is said of them is no replication" if n else ""


def withheld(table: pd.DataFrame, moves: pd.DataFrame | None) -> pd.DataFrame:
    """Take back the verdict of subtypes that were looked for in the patients from whom they come.

    Parameters
    ----------
    table : pandas.DataFrame
        ``NODES["replication"]``.
    moves : pandas.DataFrame or None
        ``NODES["moves"]`` of the same replication, or None where no patient is in the reference.

    Returns
    -------
    pandas.DataFrame
        The same with ``replicates`` -1, and a ``verdict`` that says why, where more than a tenth of all patients, or of
        those assigned to the subtype, are in the reference too.
    """
    if moves is None or moves.empty:
        return table
    shared, n = int(moves["n"].sum()), int(table["n"].sum())  # every patient is nearest to one subtype
    own = moves.groupby("to")["n"].sum().reindex(table["subtype"], fill_value=0).to_numpy()
    everywhere = shared > MANY_SHARED * n
    taken = (table["replicates"] >= 0) & (everywhere | (own > MANY_SHARED * table["assigned"]))
    table = table.astype({"verdict": object})
    for i in table.index[taken]:
        row, here = table.loc[i], own[table.index.get_loc(i)]
        of = f"{shared:,} of {n:,} patients" if everywhere else f"{here:,} of {row['assigned']:,} assigned to it"
        table.loc[i, "verdict"] = f"{row['subtype']} cannot be judged: {of} are in the reference too"
    return table.assign(replicates=table["replicates"].mask(taken, -1))
