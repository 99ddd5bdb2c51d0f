"""The variables of the store of an interpretation."""

from __future__ import annotations

from collections.abc import Mapping

from omics._schema_variables import Kind, Variable, optional, row


def _rows(of: Kind, /, **meanings: str) -> tuple[Variable, ...]:
    return tuple(row(name, of, meaning) for name, meaning in meanings.items())


def _texts(**meanings: str) -> tuple[Variable, ...]:
    return _rows("text", **meanings)


def _counts(**meanings: str) -> tuple[Variable, ...]:
    return _rows("integer", **meanings)


def _numbers(**meanings: str) -> tuple[Variable, ...]:
    return _rows("float", **meanings)


_P = _numbers(p_value="two-sided p-value", q_value="false discovery rate over the whole table")
_KNOWLEDGE = _texts(
    role="role of the gene",
    statement="what is known",
    evidence="level of evidence",
    reference="PMID or DOI",
    origin="the program's table, or the user's file",
    caveat="what limits it",
)
_KNOWN = _texts(known="measured, or not measured")
_APPROVAL = _texts(status="approval of the agents", region="where", status_date="since when, or looked up when")
_SETS = (
    *_texts(
        layer="layer whose genes are tested",
        set="name of the gene set",
        direction="up, down, or two-sided",
    ),
    *_counts(n_genes="measured genes of the set"),
    *_numbers(statistic="t, or the normalised enrichment score of a pre-ranked test"),
    *_P,
    *_texts(leading="genes that lead, ';' between"),
)
_CARRIERS = (
    *_counts(
        n_inside="carriers inside",
        n_cluster="patients inside",
        n_mutated="carriers",
        n="patients",
    ),
    *_numbers(share_inside="share inside", share_outside="share outside", effect="odds ratio"),
    *_P,
)
_SHARES = (
    *_counts(
        n_with="patients with a lesion that may be the one meant",
        n_to_check="of them those for whom that is to be checked",
        n_known="patients looked at",
        n_with_others="patients of other subtypes with it",
        n_known_others="patients of other subtypes looked at",
    ),
    *_numbers(share="share of the subtype", share_others="share of the others", odds_ratio="odds ratio"),
    *_P,
)
_OF_A_PATIENT = _texts(
    sample="patient",
    subtype="subtype of the patient; empty where unknown",
    gene="gene that is altered",
    lesion="mutation, fusion, deletion, amplification; empty where not measured",
    detail="change of protein, fusion, or level of copy number",
)

INTERPRET_NODES: Mapping[str, tuple[Variable, ...]] = {
    "factor_features": (
        *_texts(factor="factor", layer="layer", feature="feature", gene="HGNC symbol(s); empty where unknown"),
        *_counts(rank="1 is the largest absolute weight of the factor in the layer"),
        *_numbers(
            weight="weight of the feature",
            share="share of the factor's squared weights in the layer",
            correlation="correlation of value and factor over the patients",
            stability="share of the other restarts in which the feature is among as many leading ones",
        ),
    ),
    "associations": (
        *_texts(
            factor="factor",
            variable="clinical column, mutated gene, layer that may be missing, subtypes found, or end point",
            kind="number, two levels, levels, time to event",
            test="spearman, mannwhitney, kruskal, cox",
            level="of two levels the one of which the effect speaks",
        ),
        *_counts(n="patients whose value is known"),
        *_numbers(effect="size of the effect"),
        *_texts(effect_name="correlation, auc, epsilon squared, hazard ratio per standard deviation"),
        *_numbers(lower="lower end of the 95 % interval of a hazard ratio", upper="upper end of it"),
        *_counts(events="events of a regression"),
        *_numbers(
            p_value="two-sided p-value",
            q_value="false discovery rate over the variables that are circular, or over those that are not",
        ),
        optional("circular", ("row",), "integer", "1 where the factors were learnt from the variable, or it from them"),
    ),
    "factor_sets": (*_texts(factor="factor"), *_SETS),
    "subtype_sets": (*_texts(subtype="subtype"), *_SETS),
    "ranked_sets": (*_texts(group="factor or subtype"), *_SETS),
    "cpg_sets": (
        *_texts(group="factor or subtype", layer="layer of the CpGs", set="name of the gene set"),
        *_counts(n_genes="genes of the set with a CpG", n_hit="of them with a selected CpG"),
        *_numbers(expected="such genes expected, given their numbers of probes"),
        *_P,
    ),
    "differential": (
        Variable("difference", ("subtype", "feature"), "float", "mean of the subtype less that of all others"),
        Variable("statistic", ("subtype", "feature"), "float", "moderated t"),
        Variable("p_value", ("subtype", "feature"), "float", "two-sided p-value"),
        Variable("q_value", ("subtype", "feature"), "float", "false discovery rate over the features of the subtype"),
        Variable("mean_inside", ("subtype", "feature"), "float", "mean of the subtype, as measured"),
        Variable("mean_outside", ("subtype", "feature"), "float", "mean of all others, as measured"),
        Variable("n", ("subtype",), "integer", "patients of the subtype"),
        Variable("prior_df", (), "float", "degrees of freedom of the prior of variances"),
        Variable("prior_variance", (), "float", "variance that the prior expects"),
        optional("gene", ("feature",), "text", "HGNC symbol(s) of the feature"),
    ),
    "subtype_features": (
        *_texts(subtype="subtype", layer="layer", feature="feature", gene="HGNC symbol(s); empty where unknown"),
        *_counts(rank="1 is the largest absolute statistic"),
        *_numbers(difference="mean of the subtype less that of all others", statistic="moderated t"),
        *_P,
    ),
    "concordance": (
        *_texts(gene="HGNC symbol", cpg="CpG of the gene", feature="its expression", subtype="where both differ most"),
        *_numbers(
            difference_methylation="mean of the subtype less that of all others",
            difference_expression="mean of the subtype less that of all others",
        ),
        *_counts(n="patients with both"),
        *_numbers(r="Spearman's correlation", r_within="the same within subtypes"),
        *_P,
        *_texts(direction="opposite or same, of the differences"),
    ),
    "oncoprint": (
        *_texts(
            gene="gene", sample="patient", subtype="subtype of the patient", classification="class of the alteration"
        ),
        *_counts(n_calls="altering calls of the patient in the gene"),
    ),
    "oncoprint_genes": (
        *_texts(gene="gene"),
        *_counts(n_mutated="carriers", n="patients sequenced"),
        *_numbers(share="share of carriers"),
        *_counts(n_calls="altering calls"),
    ),
    "oncoprint_samples": (
        *_texts(sample="patient, in the order of the drawing", subtype="subtype of the patient"),
        *_counts(n_calls="altering calls in all genes"),
    ),
    "burden": (
        *_texts(sample="patient"),
        *_counts(n="all calls", n_non_silent="calls that alter a gene"),
        *_numbers(
            per_megabase="all calls by size of what was sequenced",
            non_silent_per_megabase="altering calls by size of what was sequenced",
            median_vaf="median allele fraction",
            math="mutant-allele tumour heterogeneity; NaN with few variants or without allele fractions",
        ),
    ),
    "gene_pairs": (
        *_texts(gene_a="gene", gene_b="gene"),
        *_counts(n="patients", n_a="carriers of the first", n_b="carriers of the second", n_both="carriers of both"),
        *_numbers(
            expected="carriers of both if patients are alike",
            log_odds="natural logarithm of the odds ratio",
            p_fisher="p-value of Fisher's test",
            q_fisher="false discovery rate of that",
            expected_by_burden="carriers of both, given the burden of each patient",
        ),
        *_texts(direction="together or apart"),
        *_numbers(p_together="one-sided p-value, given the burden", p_apart="one-sided p-value, given the burden"),
        *_P,
    ),
    "mutation_subtypes": (*_texts(subtype="subtype", gene="gene"), *_CARRIERS),
    "mutation_relapse": (*_texts(gene="gene"), *_CARRIERS),
    "evolution_genes": (
        *_texts(gene="gene"),
        *_counts(
            n="pairs of samples",
            n_diagnosis="patients with it at diagnosis",
            n_relapse="patients with it at relapse",
            kept="patients who keep it",
            lost="patients who lose it",
            gained="patients who gain it",
            replaced="of those who keep it, patients without a variant in common",
        ),
        *_P,
    ),
    "evolution_patients": (
        *_texts(patient="patient", gene="gene", status="gained, lost or kept"),
        *_numbers(n_shared="variants at both times"),
    ),
    "evolution_unpaired": (
        *_texts(gene="gene"),
        *_counts(
            n_diagnosis="carriers at diagnosis",
            diagnosis="patients at diagnosis",
            n_relapse="carriers at relapse",
            relapse="patients at relapse",
        ),
        *_numbers(
            share_diagnosis="share at diagnosis",
            share_relapse="share at relapse",
            effect="odds ratio of relapse against diagnosis",
        ),
        *_P,
    ),
    "lesions": _texts(
        sample="patient",
        gene="HGNC symbol",
        lesion="mutation, fusion, deletion or amplification",
        detail="change of protein, fusion, or level of copy number",
        classification="class of the call",
        source="calls, mutation matrix, the clinical column, copy number",
    ),
    "cna_profile": _texts(
        sample="patient",
        region="region of the profile, or IKZF1plus",
        altered="yes, no, or empty",
        known="measured or not",
    ),
    "resistance_patients": (
        *_OF_A_PATIENT,
        *_texts(
            drug="what blasts may escape",
            alteration="alteration that the table means",
            agrees="yes, no, or to be checked: is the lesion what the table means",
        ),
        *_KNOWLEDGE,
        *_KNOWN,
    ),
    "resistance_subtypes": (
        *_texts(subtype="subtype", gene="gene", drug="what blasts may escape", lesion="kind of lesion"),
        *_SHARES,
        *_KNOWN,
    ),
    "targets_patients": (
        *_OF_A_PATIENT,
        *_texts(
            target="gene that the agents act on",
            indication="lesion or group that the table means",
            agents="agents",
        ),
        *_APPROVAL,
        *_texts(agrees="yes, no, or to be checked: is the lesion what the table means"),
        *_KNOWLEDGE,
        *_KNOWN,
        *_numbers(percentile="expression of the target among the patients of the cohort"),
    ),
    "targets_subtypes": (
        *_texts(
            subtype="subtype",
            target="gene that the agents act on",
            indication="lesion or group that the table means",
            agents="agents",
            lesion="kind of lesion",
        ),
        *_SHARES,
        *_KNOWN,
    ),
    "antigens_patients": (
        *_texts(sample="patient", subtype="subtype of the patient", gene="gene", antigen="antigen"),
        *_numbers(percentile="expression among the patients of the cohort"),
        *_texts(low="yes at or below the lowest tenth of the cohort", confirm="what must confirm it"),
        *_KNOWN,
    ),
    "antigens_subtypes": (
        *_texts(subtype="subtype", gene="gene", antigen="antigen"),
        *_counts(n="patients measured"),
        *_numbers(
            median_percentile="median of the percentiles in the cohort",
            share_above_median="share of the subtype above the median of the cohort",
            share_low="share at or below the lowest tenth of the cohort",
            spread="interquartile range by that of the cohort: below 1 is more homogeneous",
            bimodality="bimodality coefficient: above 0.56 some may have it and others not",
            bimodality_cohort="the same of the whole cohort",
        ),
        *_texts(role="role of the antigen", modality="kind of therapy", agents="agents"),
        *_APPROVAL,
        *_texts(
            escape="known routes of escape",
            confirm="what must confirm it",
        ),
        *_KNOWLEDGE[1:],
        *_KNOWN,
    ),
    "pharmacogenes": (
        *_texts(
            sample="patient; empty where no germline table was given",
            drug="drug",
            toxicity="toxicity",
            gene="gene",
            variant="variant that is asked for",
            found="what the patient has",
            agrees="yes, no, to be checked, or empty",
            requires="sample that must be tested: germline only",
        ),
        _KNOWLEDGE[0],
        *_texts(cpic="guideline"),
        *_KNOWLEDGE[1:],
        *_KNOWN,
    ),
}
