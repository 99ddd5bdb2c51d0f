"""The variables of the stores of subtypes."""

from __future__ import annotations

from collections.abc import Mapping

from omics._schema_variables import ESTIMATE, Variable, row

SUBTYPE_NODES: Mapping[str, tuple[Variable, ...]] = {
    "subtypes": (
        Variable("label", ("sample",), "text", "subtype of the sample"),
        Variable("probability", ("sample", "subtype"), "float", "probability of each subtype"),
        Variable("ambiguity", ("sample",), "float", "0: always with the same others over resamples, up to 1"),
        Variable("ambiguity_p", ("sample",), "float", "share of patients without clusters placed as surely"),
    ),
    "subtype_model": (
        Variable("mean", ("subtype", "factor"), "float", "centre of the subtype, in standardised factors"),
        Variable("variance", ("subtype", "factor"), "float", "spread of the subtype, in standardised factors"),
        Variable("mixing", ("subtype",), "float", "share of the subtype"),
        Variable("jaccard", ("subtype",), "float", "mean Jaccard index over resamples; NaN if alone"),
        Variable("jaccard_p", ("subtype",), "float", "share of clusters of cluster-free data as stable"),
        Variable("jaccard_factors", ("subtype",), "float", "mean Jaccard index when a fifth of the factors is gone"),
        Variable("factor_low", ("factor",), "float", "2 % quantile, to which lower scores are raised"),
        Variable("factor_high", ("factor",), "float", "98 % quantile, to which higher scores are cut"),
        Variable("factor_mean", ("factor",), "float", "mean by which factors were standardised"),
        Variable("factor_scale", ("factor",), "float", "scale by which factors were standardised"),
    ),
    "stability": (
        Variable("stability", ("n_subtypes",), "float", "mean adjusted Rand index between resamples"),
        Variable("weakest", ("n_subtypes",), "float", "mean Jaccard index of the least stable subtype"),
        Variable("null_mean", ("n_subtypes",), "float", "the same on data without clusters, mean"),
        Variable("null_upper", ("n_subtypes",), "float", "the same on data without clusters, 95 % quantile"),
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
}
