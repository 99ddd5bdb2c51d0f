"""The methods in the English of a journal, ready to edit: what is recorded of the run, and nothing else."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from omics.cohort import node
from omics.report import figures, reading
from omics.report.content import Prose, Section
from omics.report.evaluation import FEATURES, METRICS, MODELS
from omics.report.outcomes import KNOWN_AS, TESTS
from omics.report.reading import Artefacts
from omics.report.words import clean, count, listing, number, percent
from omics.schema import view_names

Manifests = Mapping[str, Mapping[str, Any]]

#: How the text cites -> the reference.
REFERENCES: Mapping[str, str] = {
    "Aalen and Johansen 1978": "Aalen OO, Johansen S. An empirical transition matrix for non-homogeneous Markov chains "
    "based on censored observations. Scand J Stat 1978;5:141-150.",
    "Argelaguet et al. 2018": "Argelaguet R, Velten B, Arnol D, et al. Multi-Omics Factor Analysis: a framework for "
    "unsupervised integration of multi-omics data sets. Mol Syst Biol 2018;14:e8124.",
    "Argelaguet et al. 2020": "Argelaguet R, Arnol D, Bredikhin D, et al. MOFA+: a statistical framework for "
    "comprehensive integration of multi-modal single-cell data. Genome Biol 2020;21:111.",
    "Benjamini and Hochberg 1995": "Benjamini Y, Hochberg Y. Controlling the false discovery rate: a practical and "
    "powerful approach to multiple testing. J R Stat Soc B 1995;57:289-300.",
    "Collins et al. 2024": "Collins GS, Moons KGM, Dhiman P, et al. TRIPOD+AI statement: updated guidance for "
    "reporting clinical prediction models that use regression or machine learning methods. BMJ 2024;385:e078378.",
    "Du et al. 2010": "Du P, Zhang X, Huang CC, et al. Comparison of Beta-value and M-value methods for quantifying "
    "methylation levels by microarray analysis. BMC Bioinformatics 2010;11:587.",
    "Fine and Gray 1999": "Fine JP, Gray RJ. A proportional hazards model for the subdistribution of a competing risk. "
    "J Am Stat Assoc 1999;94:496-509.",
    "Gray 1988": "Gray RJ. A class of K-sample tests for comparing the cumulative incidence of a competing risk. "
    "Ann Stat 1988;16:1141-1154.",
    "Hennig 2007": "Hennig C. Cluster-wise assessment of cluster stability. Comput Stat Data Anal 2007;52:258-271.",
    "Holm 1979": "Holm S. A simple sequentially rejective multiple test procedure. Scand J Stat 1979;6:65-70.",
    "Hubert and Arabie 1985": "Hubert L, Arabie P. Comparing partitions. J Classif 1985;2:193-218.",
    "Kaplan and Meier 1958": "Kaplan EL, Meier P. Nonparametric estimation from incomplete observations. "
    "J Am Stat Assoc 1958;53:457-481.",
    "Riley et al. 2020": "Riley RD, Ensor J, Snell KIE, et al. Calculating the sample size required for developing a "
    "clinical prediction model. BMJ 2020;368:m441.",
    "Smyth 2004": "Smyth GK. Linear models and empirical Bayes methods for assessing differential expression in "
    "microarray experiments. Stat Appl Genet Mol Biol 2004;3:3.",
    "Strona et al. 2014": "Strona G, Nappo D, Boccacci F, et al. A fast and unbiased procedure to randomize ecological "
    "binary matrices with fixed row and column totals. Nat Commun 2014;5:4114.",
    "Subramanian et al. 2005": "Subramanian A, Tamayo P, Mootha VK, et al. Gene set enrichment analysis: a "
    "knowledge-based approach for interpreting genome-wide expression profiles. PNAS 2005;102:15545-15550.",
    "Vickers and Elkin 2006": "Vickers AJ, Elkin EB. Decision curve analysis: a novel method for evaluating prediction "
    "models. Med Decis Making 2006;26:565-574.",
    "Wu and Smyth 2012": "Wu D, Smyth GK. Camera: a competitive gene set test accounting for inter-gene correlation. "
    "Nucleic Acids Res 2012;40:e133.",
}  # fmt: skip
_UNITS = {
    "M": "M-values, the base-2 logarithm of the ratio of methylated to unmethylated signal (Du et al. 2010)",
    "log2cpm": "log2 counts per million",
    "log2": "log2 expression values, as supplied",
    "1": "0 or 1 by gene",
}
_ENGINES = {"stream": "the streaming engine of omics-all", "mofapy2": "mofapy2"}
_REPRESENTATIONS = {"factors": "factor scores", "screened": "screened features", "layers": "the layers themselves"}
_SEEDED = ("factors", "subtypes", "evaluation", "interpretation")
#: When tests are by permutation.
_FEW = "a subtype expects fewer than five events"
_ADJUSTED = {"cause_specific_cox": "cause-specific Cox", "fine_gray": "Fine-Gray (Fine and Gray 1999)", "cox": "Cox"}


#: What is said of a table of an interpretation.
_MEANING: Mapping[str, str] = {
    "associations": "Factors were compared with clinical variables, mutated genes and times to events by Spearman's "
    "correlation, Mann-Whitney, Kruskal-Wallis and Cox regression, as their values ask for, in one family of false "
    "discovery rates (Benjamini and Hochberg 1995).",
    "factor_sets": "Gene sets were tested on factors by a competitive test that allows for correlated genes, after "
    "Wu and Smyth 2012.",
    "ranked_sets": "Rankings of genes were tested by gene set enrichment analysis (Subramanian et al. 2005).",
    "cpg_sets": "Gene sets that the leading CpGs hit were tested with the number of CpGs of each gene allowed for.",
    "gene_pairs": "Pairs of mutated genes were tested against matrices of the same frequencies and burdens (Strona et "
    "al. 2014).",
    "mutation_subtypes": "Mutations were compared between subtypes by Fisher's exact test.",
    "evolution_genes": "Mutations at diagnosis and relapse of the same patients were compared by McNemar's exact test.",
    "evolution_unpaired": "Mutations of a cohort at diagnosis and of another at relapse were compared by Fisher's "
    "exact test.",
    "resistance_patients": "Lesions were looked up in the knowledge tables of the program, whose rows have references.",
}


def methods_section(artefacts: Artefacts, manifests: Manifests) -> Section | None:
    """The methods text, with a button that copies it."""
    said = methods(artefacts, manifests)
    if not said:
        return None
    lead = (
        "Written from the settings and counts that this run recorded. Recruitment, laboratory work, treatment, ethics "
        "and whatever else the files do not say are for the authors to add."
    )
    return Section("methods", "Methods text", lead, [Prose(said)])


def methods(artefacts: Artefacts, manifests: Manifests) -> list[str]:
    """Paragraphs on cohort, preparation, factors, subtypes, outcome, meaning, prediction, software; what they cite.

    Parameters
    ----------
    artefacts : Artefacts
        The trees of the analysis; what is missing is not mentioned.
    manifests : mapping
        Name of an artefact -> its manifest, with the content of ``run.json`` under ``run``.
    """
    parts: Sequence[Callable[[Artefacts, Manifests], Iterator[str]]] = (
        _cohort, _preparation, _factors, _subtypes, _outcome, _meaning, _evaluation, _software
    )  # fmt: skip
    said = [" ".join(sentences) for part in parts if (sentences := list(part(artefacts, manifests)))]
    cited = [full for key, full in sorted(REFERENCES.items()) if any(key in paragraph for paragraph in said)]
    return [*said, *(["References", *cited] if cited else [])]


def settings_of(manifests: Manifests, name: str) -> Mapping[str, Any]:
    """Recorded parameters of the step that made an artefact."""
    return manifests.get(name, {}).get("parameters") or {}


def json_of(tree: xr.DataTree | None, attribute: str) -> dict[str, Any]:
    """An attribute of a tree that is JSON; empty where there is none."""
    text = None if tree is None else tree.attrs.get(attribute)
    return dict(json.loads(text)) if isinstance(text, str) else dict(text or {})


def many(value: Any) -> list[str]:
    """Names of an attribute, a single one too."""
    return [] if value is None else [clean(one) for one in np.atleast_1d(value)]


# --- cohort and preparation -----------------------------------------------------------------------------------------


def _cohort(artefacts: Artefacts, manifests: Manifests) -> Iterator[str]:
    tree = artefacts.source
    if tree is None:
        return
    layers = reading.membership(tree)
    of_each = listing([f"{clean(name)} ({count(int(layers[name].sum()), 'patient')})" for name in layers.columns])
    yield f"The cohort comprised {count(len(layers), 'patient')} with at least one of the molecular layers {of_each}."
    if layers.shape[1] > 1:
        yield f"All layers were available in {count(int(layers.all(axis=1).sum()), 'patient')}."
    yield "Patients who lacked a layer were kept."
    timepoint = settings_of(manifests, "cohort").get("timepoint")
    if timepoint:
        yield f"Samples taken at {clean(timepoint)} were analysed."


def _preparation(artefacts: Artefacts, manifests: Manifests) -> Iterator[str]:
    tree = artefacts.prepared
    if tree is None:
        return
    for name in view_names(tree):
        units = str(node(tree, f"views/{name}").attrs.get("units", ""))
        yield f"The layer {clean(name)} was analysed as {_UNITS.get(units, clean(units) or 'supplied')}."
    mask = settings_of(manifests, "prepared").get("mask")
    if mask:
        yield f"Features annotated as {listing([clean(one) for one in mask])} were masked."
    steps = [_step(step) for step in json.loads(tree.attrs.get("recipe", "[]"))]
    if steps:
        yield (
            f"Then, in this order: {'; '.join(steps)}. These steps were fitted on the patients that a model was "
            "trained on, and on no others."
        )


def _step(step: Mapping[str, Any]) -> str:
    said: Mapping[str, Callable[[], str]] = {
        "DropMissing": lambda: (
            f"features lacking more than {percent(step['max_missing'])} of their values were dropped"
        ),
        "DropRare": lambda: f"binary features with fewer than {count(step['min_carriers'], 'carrier')} were dropped",
        "RemoveBatch": lambda: f"means of continuous features were made alike over '{clean(step['column'])}'",
        "TopVariance": lambda: (
            "features without variance were dropped"
            if step["n_features"] is None
            else f"the {step['n_features']:,} features of largest variance were kept in each continuous layer"
        ),
        "Centre": lambda: "continuous features were centred",
        "Scale": lambda: "each continuous layer was divided by its overall standard deviation",
        "Impute": lambda: f"missing values were replaced by the feature's {clean(step['strategy'])}",
    }
    name = str(step["step"])
    try:
        return said[name]()
    except KeyError:  # a step, or a form of one, that this text does not know
        rest = ", ".join(f"{clean(key)} = {clean(value, 60)}" for key, value in step.items() if key != "step")
        return f"the step {clean(name)} was applied" + (f" ({rest})" if rest else "")


# --- factors and subtypes -------------------------------------------------------------------------------------------


def _factors(artefacts: Artefacts, manifests: Manifests) -> Iterator[str]:
    tree, used = artefacts.factors, json_of(artefacts.factors, "mofa")
    scores = reading.scores(tree)
    if tree is None or scores.empty:
        return
    engine = _ENGINES.get(str(used.get("engine")), "")
    by = f", fitted by {engine}" if engine else ""
    yield (
        "The layers were integrated by multi-omics factor analysis, MOFA (Argelaguet et al. 2018; Argelaguet et al. "
        f"2020){by}, in {count(len(scores), 'patient')}."
    )
    likelihood: dict[str, list[str]] = {}
    for name in view_names(tree):
        kind = str(node(tree, f"views/{name}").attrs.get("likelihood", ""))
        likelihood.setdefault(kind, []).append(clean(name))
    said = [f"{kind} for {listing(names)}" for kind, names in likelihood.items() if kind]
    if said:
        yield f"The likelihood was {listing(said)}."
    asked = used.get("n_factors")
    if asked is not None:
        yield f"Factors asked for: {listing(many(asked))}; in the model: {scores.shape[1]}."
    yield from _fit(used)


def _fit(used: Mapping[str, Any]) -> Iterator[str]:
    priors = [
        word
        for key, word in (
            ("ard_factors", "automatic relevance determination on the factors"),
            ("ard_weights", "automatic relevance determination on the weights of each layer"),
            ("spikeslab_factors", "a spike-and-slab prior on the factors"),
            ("spikeslab_weights", "a spike-and-slab prior on the weights"),
        )
        if used.get(key)
    ]
    if priors:
        yield f"The model had {listing(priors)}."
    if used.get("n_restarts") is not None:
        ends = f", of at most {used['max_iter']:,} iterations each" if used.get("max_iter") else ""
        yield (
            f"It was fitted from {count(int(used['n_restarts']), 'start')}{ends}; the fit of highest evidence lower "
            "bound was kept."
        )


def _subtypes(artefacts: Artefacts, manifests: Manifests) -> Iterator[str]:
    tree, used = artefacts.subtypes, json_of(artefacts.subtypes, "subtypes")
    names = reading.subtype_names(tree)
    if not names or not used:
        return
    by = f" (algorithm: {clean(used['algorithm'])})" if used.get("algorithm") else ""
    yield f"Patients were clustered on their factor scores{by}; outcome was not used."
    if used.get("n_subtypes") is None:
        yield (
            f"The number of subtypes, up to {used.get('max_subtypes')}, was chosen by stability over "
            f"{used.get('n_resamples')} subsamples of the patients (mean adjusted Rand index, Hubert and Arabie 1985) "
            f"against {used.get('n_null')} data sets without clusters; numbers of which each subtype has a mean "
            f"Jaccard index of at least {figures.STABLE} were preferred (Hennig 2007)."
        )
    else:
        yield f"The number of subtypes, {used['n_subtypes']}, was given beforehand."
    p = used.get("p_value")
    asked_for = reading.one_group_asked_for(tree)
    tested = "" if p is None or asked_for or not np.isfinite(p) else f" (p = {number(p, 3)} against no structure)"
    one = "one group" if asked_for else "one group, that is, no structure"
    found = one if len(names) == 1 else f"{len(names)} subtypes"
    yield f"The result was {found}{tested}."


# --- outcome and prediction -----------------------------------------------------------------------------------------


def _outcome(artefacts: Artefacts, manifests: Manifests) -> Iterator[str]:
    tree = artefacts.subtypes
    curves, tests = reading.frame(tree, "curves"), reading.frame(tree, "tests")
    if curves is None:
        return
    shown = [e for e in figures.ENDPOINTS if (curves["endpoint"] == e).any()]
    climbing = [figures.ENDPOINTS[e][0].lower() for e in shown if figures.ENDPOINTS[e][1]]
    falling = [figures.ENDPOINTS[e][0].lower() for e in shown if not figures.ENDPOINTS[e][1]]
    if climbing:
        yield f"The {listing(climbing)} was estimated with competing events (Aalen and Johansen 1978)."
    if falling:
        yield f"Kaplan-Meier curves (Kaplan and Meier 1958) show {listing(falling)}."
    if tests is not None:
        cited = {"gray": " (Gray 1988)", "gray_permuted": f" (Gray 1988; {_FEW})", "logrank_permuted": f" ({_FEW})"}
        used = [TESTS.get(name, clean(name)) + cited.get(name, "") for name in tests["test"].unique()]
        yield f"Subtypes were compared by {listing(used)}, not adjusted for the number of end points."
    yield from _adjusted(tree)


def _adjusted(tree: xr.DataTree | None) -> Iterator[str]:
    adjusted = reading.frame(tree, "adjusted_tests")
    if adjusted is not None:
        fitted = adjusted[np.isfinite(adjusted["p_value"])]
        given = fitted["covariates"].fillna("")
        beside = sorted({one.strip() for text in given for one in text.split(",")} - {""})
        if len(fitted):
            yield f"Joint tests of the subtypes used {_regressions(fitted)} regression."
        if beside:
            named = listing([KNOWN_AS.get(one, clean(one)) for one in beside])
            yield f"Beside {named} they were tested by {_regressions(fitted[given != ''])} regression."
        strata = fitted["strata"].fillna("")
        within = listing([KNOWN_AS.get(one, clean(one)) for one in sorted(set(strata) - {""})])
        if within:
            yield f"Baseline hazards of {_regressions(fitted[strata != ''])} regression were apart by {within}."
        if fitted["left_out"].fillna("").str.contains("does not converge with").any():
            yield "A covariate with which a regression could not be fitted was left out of it; the table names it."
        if fitted["remark"].fillna("").str.contains("ratio of pseudo-likelihoods").any():
            yield (
                "Fine-Gray regression was tested by the ratio of pseudo-likelihoods where a subtype had fewer than 10 "
                "patients or its hazard ratio no finite estimate."
            )
    if reading.frame(tree, "solution_tests") is not None:
        yield "P-values over all clustering solutions that were looked at were adjusted by Holm's method (Holm 1979)."


def _regressions(rows: pd.DataFrame) -> str:
    return listing([_ADJUSTED.get(name, clean(name)) for name in rows["model"].unique()])


def _meaning(artefacts: Artefacts, manifests: Manifests) -> Iterator[str]:
    tree, settings = artefacts.interpretation, settings_of(manifests, "interpretation")
    there = set() if tree is None else set(tree.children)
    adjusted = [clean(one) for one in settings.get("adjust") or ()]
    beside = f", adjusted for {listing(adjusted)}" if adjusted else ""
    t = f"Features of each subtype were compared with all other patients by moderated t{beside} (Smyth 2004)."
    sentences = {**_MEANING, "subtype_features": t}
    yield from (sentence for name, sentence in sentences.items() if name in there)
    horizon = settings.get("horizon")
    if horizon is not None and "mutation_relapse" in there:
        yield f"Mutations were compared between patients with and without relapse within {float(horizon):g} years."


def _evaluation(artefacts: Artefacts, manifests: Manifests) -> Iterator[str]:
    tree, used = artefacts.evaluation, settings_of(manifests, "evaluation")
    metrics = reading.frame(tree, "metrics")
    if tree is None or metrics is None:
        return
    asked = clean(tree.attrs.get("question", tree.attrs.get("endpoint", "relapse")))
    yield f"Prediction of {asked} was judged by nested cross-validation{_folds(tree, used)}."
    yield (
        "In each outer fold every step that learns, factor analysis included, was fitted on the training patients "
        "alone; patients held out were projected and predicted."
    )
    yield from _people(tree)
    yield from _learners(metrics)
    named = [METRICS[name][0] for name in METRICS if (metrics["metric"] == name).any()]
    if named:
        yield f"Performance in held-out patients was measured by {listing(named)}, with 95 % intervals."
    yield from _judged(tree, used)


def _folds(tree: xr.DataTree, used: Mapping[str, Any]) -> str:
    folds, repeats = tree.attrs.get("n_folds"), tree.attrs.get("n_repeats")
    said = [f"{int(folds)} outer folds"] if folds is not None else []
    said += [f"{used['n_inner']} inner folds"] if used.get("n_inner") else []
    said += [count(int(repeats), "repeat")] if repeats is not None else []
    said += [f"no group of '{clean(used['group_by'])}' divided"] if used.get("group_by") else []
    said += [f"the groups of '{clean(used['leave_out'])}' held out one at a time"] if used.get("leave_out") else []
    return f" ({', '.join(said)})" if said else ""


def _people(tree: xr.DataTree) -> Iterator[str]:
    patients, known, events = (tree.attrs.get(name) for name in ("patients", "known", "events"))
    if patients is not None and known is not None and events is not None:
        yield (
            f"Of {count(int(patients), 'patient')}, the outcome at the horizon was known in {int(known):,}, of whom "
            f"{int(events):,} had the event."
        )
    variables = many(tree.attrs.get("clinical_variables"))
    if variables:
        yield f"Clinical predictors were {listing(variables)}."
    left_out = many(tree.attrs.get("left_out"))
    if left_out:
        yield f"Not used: {listing(left_out)}."


def _learners(metrics: pd.DataFrame) -> Iterator[str]:
    models = [MODELS.get(str(name), clean(name)) for name in metrics["model"].unique()]
    rows = [FEATURES[name].lower() for name in FEATURES if (metrics["features"] == name).any()]
    if not rows:
        return
    yield f"Models: {listing(models).lower()}; predictors: {listing(rows)}."
    if "representation" in metrics:
        seen = [name for name in metrics["representation"].fillna("").unique() if name and name != "best"]
        if seen:
            yield f"Of the layers the models saw {listing([_REPRESENTATIONS.get(n, clean(n)) for n in seen])}."


def _judged(tree: xr.DataTree, used: Mapping[str, Any]) -> Iterator[str]:
    if reading.frame(tree, "planning") is not None:
        yield "The sample size was compared with published minimum criteria (Riley et al. 2020)."
    if reading.frame(tree, "decision") is not None:
        yield "Clinical utility was described by decision curves (Vickers and Elkin 2006)."
    permutations = reading.frame(tree, "permutations")
    if permutations is not None:
        n = int(permutations["permutations"].max())
        yield f"What chance gives was found by dealing the outcomes out anew {n:,} times."
    audit = reading.frame(tree, "audit")
    if audit is not None:
        yield f"An audit for leakage passed {int(audit['passed'].sum())} of {count(len(audit), 'check')}."


def _software(artefacts: Artefacts, manifests: Manifests) -> Iterator[str]:
    versions: dict[str, set[str]] = {}
    for manifest in manifests.values():
        run = manifest.get("run") or {}
        found = {**dict(run.get("versions") or {}), **({"Python": run["python"]} if run.get("python") else {})}
        for name, version in found.items():
            versions.setdefault(str(name), set()).add(str(version))
    if versions:
        said = [f"{clean(name)} {clean('/'.join(sorted(v)))}" for name, v in sorted(versions.items())]
        yield f"Software: {listing(said)}."
    steps = {name: settings_of(manifests, name).get("seed") for name in _SEEDED}
    seeds = [f"{step} {seed}" for step, seed in steps.items() if seed is not None]
    if seeds:
        yield f"Random seeds: {listing(seeds)}."
