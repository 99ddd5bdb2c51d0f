"""The variables of every store: name, dims, kind, units, and one line of meaning."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

Kind = Literal["float", "integer", "text"]


@dataclass(frozen=True)
class Variable:
    """One declared variable of a node.

    Attributes
    ----------
    name : str
        Name in the store.
    dims : tuple of str
        Dimensions, in order.
    kind : {"float", "integer", "text"}
        What the values are; NaN (float), -1 (integer) or an empty text mean missing.
    meaning : str
        One line for people.
    units : str
        Units; "1" where there are none.
    required : bool
        Whether a node without it is invalid.
    """

    name: str
    dims: tuple[str, ...]
    kind: Kind
    meaning: str
    units: str = "1"
    required: bool = True


def _optional(name: str, dims: tuple[str, ...], kind: Kind, meaning: str, units: str = "1") -> Variable:
    return Variable(name, dims, kind, meaning, units, required=False)


def _row(name: str, kind: Kind, meaning: str, units: str = "1") -> Variable:
    return Variable(name, ("row",), kind, meaning, units)


_ESTIMATE = (
    _row("estimate", "float", "point estimate"),
    _row("lower", "float", "lower end of the 95 % interval"),
    _row("upper", "float", "upper end of the 95 % interval"),
)

#: What tells one set of predictions from another.
_PREDICTORS = (
    _row("features", "text", "clinical, omics or both"),
    _row("representation", "text", "what the omics layers were turned into; empty for clinical alone"),
    _row("model", "text", "name of the model; best: what the inner folds preferred"),
)

_CLASSIFIER = (
    _row("repeat", "integer", "repeat of the cross-validation"),
    _row("fold", "integer", "outer fold"),
    *_PREDICTORS[1:],
)

#: Event codes of the first event; the only place where they are written down.
EVENT_CODES: Mapping[int, str] = MappingProxyType(
    {0: "censored", 1: "relapse", 2: "death in remission", 3: "second malignancy"}
)

LIKELIHOODS = ("gaussian", "bernoulli", "poisson")

#: Every node of every store. ``view`` stands for ``/views/<name>`` of a cohort, ``weights`` for that of a factor model.
NODES: Mapping[str, tuple[Variable, ...]] = MappingProxyType(
    {
        "view": (
            Variable("value", ("sample", "feature"), "float", "measured value, NaN where missing"),
            _optional("gene", ("feature",), "text", "HGNC symbol(s) of the feature, ';' between several"),
            _optional("chromosome", ("feature",), "text", "chromosome of the feature, as in the annotation file"),
            _optional("position", ("feature",), "integer", "1-based position on the chromosome", "bp"),
        ),
        "clinical": (
            _optional("age", ("sample",), "float", "age at diagnosis", "years"),
            _optional("sex", ("sample",), "text", "sex"),
            _optional("wbc", ("sample",), "float", "white blood cell count at diagnosis", "10^9/L"),
            _optional("mrd", ("sample",), "float", "minimal residual disease at the end of induction", "fraction"),
            _optional("nci_risk", ("sample",), "text", "NCI risk group"),
            _optional("subtype", ("sample",), "text", "known molecular subtype"),
            _optional("site", ("sample",), "text", "hospital or laboratory"),
            _optional("protocol", ("sample",), "text", "treatment protocol"),
            _optional("refractory", ("sample",), "float", "1 if induction failed, else 0"),
            _optional(
                "event",
                ("sample",),
                "float",
                "first event: 0 censored, 1 relapse, 2 death in remission, 3 second malignancy",
            ),
            _optional(
                "event_time", ("sample",), "float", "time from diagnosis to the first event or last follow-up", "years"
            ),
            _optional("death", ("sample",), "float", "1 if the patient died, else 0"),
            _optional("death_time", ("sample",), "float", "time from diagnosis to death or last follow-up", "years"),
            _optional("relapse", ("sample",), "float", "1 if relapse was the first event, else 0"),
            _optional("stratum", ("sample",), "text", "stratum of treatment or randomisation"),
            _optional("entry_time", ("sample",), "float", "time from diagnosis to the start of observation", "years"),
            _optional("mrd_time", ("sample",), "float", "time from diagnosis to the measurement of mrd", "years"),
            _optional("remission_time", ("sample",), "float", "time from diagnosis to first remission", "years"),
            _optional("transplant_time", ("sample",), "float", "time from diagnosis to first transplant", "years"),
            _optional(
                "second_remission_time", ("sample",), "float", "time from diagnosis to second remission", "years"
            ),
            _optional(
                "second_event",
                ("sample",),
                "float",
                "first event after relapse, coded as event: 1 is second relapse",
            ),
            _optional(
                "second_event_time",
                ("sample",),
                "float",
                "time from diagnosis to the second event or last follow-up",
                "years",
            ),
        ),
        "factors": (
            Variable("score", ("sample", "factor"), "float", "posterior mean of the factor"),
            Variable("score_sd", ("sample", "factor"), "float", "posterior standard deviation of the factor"),
            _optional("group", ("sample",), "text", "group of the sample in the fit"),
        ),
        "weights": (
            Variable("weight", ("feature", "factor"), "float", "posterior mean of the weight, E[s v]"),
            Variable("weight_square", ("feature", "factor"), "float", "posterior second moment of the weight"),
            Variable("intercept", ("group", "feature"), "float", "what is taken off before the factors, by group"),
            Variable(
                "precision",
                ("group", "feature"),
                "float",
                "noise precision, E[tau]; NaN where it depends on the sample",
            ),
            _optional(
                "scale", ("group",), "float", "what fitted values are multiplied by; 1 unless groups were scaled"
            ),
            _optional("gene", ("feature",), "text", "HGNC symbol(s) of the feature"),
            _optional("chromosome", ("feature",), "text", "chromosome of the feature"),
            _optional("position", ("feature",), "integer", "1-based position on the chromosome", "bp"),
        ),
        "variance": (
            Variable("r2", ("view", "factor"), "float", "share of the view's variance that the factor explains"),
            Variable("r2_total", ("view",), "float", "share of the view's variance that all factors explain"),
            _optional("r2_group", ("group", "view", "factor"), "float", "the same as r2, by group"),
            _optional("r2_total_group", ("group", "view"), "float", "the same as r2_total, by group"),
            _optional("active", ("factor",), "integer", "1 if the factor explains anything of any view, else 0"),
            _optional("stability", ("factor",), "float", "mean |r| with the matched factor of the other restarts"),
            _optional("stability_min", ("factor",), "float", "smallest |r| with the matched factor of another restart"),
        ),
        "restarts": (
            Variable("elbo", ("restart",), "float", "evidence lower bound at the end of the fit", "nats"),
            Variable("iterations", ("restart",), "integer", "iterations until convergence"),
            Variable("seed", ("restart",), "integer", "seed of the restart"),
            Variable("start", ("restart",), "text", "how the factors started: pca or random"),
            Variable("converged", ("restart",), "integer", "1 if the bound had converged"),
            _optional("n_factors", ("restart",), "integer", "factors at the end of the fit"),
        ),
        "trace": (
            Variable(
                "elbo", ("check",), "float", "evidence lower bound of the best restart, whenever computed", "nats"
            ),
            _optional("seconds", ("check",), "float", "time since the fit began", "seconds"),
        ),
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
            _row("group", "text", "subtype"),
            _row("endpoint", "text", "name of the endpoint: cumulative incidence where others compete, else survival"),
            _row("time", "float", "time from the time zero of the endpoint", "years"),
            *_ESTIMATE,
            _row("at_risk", "integer", "patients at risk just before the time"),
            _row("events", "integer", "events of the endpoint at the time"),
        ),
        "tests": (
            _row("endpoint", "text", "name of the endpoint"),
            _row("test", "text", "gray or logrank"),
            _row("statistic", "float", "chi-square statistic"),
            _row("df", "integer", "degrees of freedom"),
            _row("p_value", "float", "two-sided p-value"),
            _row("n", "integer", "patients in the test"),
            _row("events", "integer", "events of the endpoint"),
        ),
        "agreement": (
            _row("label", "text", "clinical column that the subtypes are compared with"),
            _row("ari", "float", "adjusted Rand index"),
            _row("ami", "float", "adjusted mutual information"),
            _row("n", "integer", "patients with both labels"),
        ),
        "predictions": (
            _row("sample", "text", "patient"),
            _row("repeat", "integer", "repeat of the cross-validation"),
            _row("fold", "integer", "outer fold in which the patient was held out"),
            *_PREDICTORS,
            _row("probability", "float", "predicted probability of the outcome"),
            _row("outcome", "integer", "1 if the event of interest came within the horizon"),
            _row("weight", "float", "inverse-probability-of-censoring weight; 0 where the outcome is unknown"),
            _row("time", "float", "time from time zero, or the landmark, to the event or last follow-up", "years"),
            _row("event", "float", "code of the event: 0 censored, 1 of interest, others compete"),
        ),
        "planning": (
            *_PREDICTORS[:2],
            _row("patients", "integer", "patients of known outcome"),
            _row("events", "integer", "events among them"),
            _row("risk", "float", "share of patients with the event by the horizon, weighted for censoring"),
            _row("parameters", "integer", "candidate predictors"),
            _row("events_per_parameter", "float", "events by candidate predictors"),
            _row("needed", "integer", "patients that Riley's criteria ask for"),
            _row("enough", "integer", "1 if there are as many, else 0: the figures are descriptive"),
        ),
        "class_predictions": (
            _row("sample", "text", "patient"),
            *_CLASSIFIER,
            _row("truth", "text", "known class; empty where unknown"),
            _row("predicted", "text", "likeliest class; empty where the fit failed"),
            _row("favoured", "text", "class whose probability exceeds its share of the training patients most"),
            _row("probability", "float", "calibrated probability of the likeliest class"),
            _row("truth_probability", "float", "probability given to the known class"),
            _row("abstains", "integer", "1 if the probability is below the threshold of the fold"),
        ),
        "class_metrics": (
            *_CLASSIFIER[2:],
            _row("metric", "text", "accuracy, balanced_accuracy, ..., of those answered, log_loss, overconfidence"),
            *_ESTIMATE,
            _row("n", "integer", "patients of known class"),
        ),
        "class_recall": (
            *_CLASSIFIER[2:],
            _row("truth", "text", "class"),
            _row("n", "integer", "patients of the class"),
            _row("recall", "float", "share of them that are given the class"),
            _row("precision", "float", "share of those given the class who have it"),
            _row("abstained", "float", "share of them for whom the model abstains"),
        ),
        "class_folds": (
            *_CLASSIFIER,
            _row("train", "integer", "patients trained on"),
            _row("test", "integer", "patients held out"),
            _row("temperature", "float", "by which log-probabilities were divided"),
            _row("threshold", "float", "probability below which the model abstains"),
            _row("absent", "text", "classes of held-out patients of which no training patient is left"),
            _row("chosen", "text", "settings that the inner loop chose, JSON"),
            _row("error", "text", "why the fit failed; empty where it did not"),
        ),
        "audit": (
            _row("check", "text", "predictors, samples, trace, noise or permutation"),
            _row("what", "text", "what was checked"),
            _row("passed", "integer", "1 if nothing leaked"),
            _row("detail", "text", "what was found"),
        ),
        "seen": (
            _row("repeat", "integer", "repeat of the cross-validation"),
            _row("fold", "integer", "outer fold"),
            _row("split", "text", "outer, or number of the inner fold"),
            _row("step", "text", "what learnt"),
            _row("rows", "integer", "rows that it was given"),
            _row("held_out_rows", "integer", "rows among them that were held out: 0 unless something leaked"),
        ),
        "permutations": (
            *_PREDICTORS,
            _row("estimate", "float", "AUC with the real outcome"),
            _row("null_mean", "float", "mean AUC where the outcome was dealt out anew"),
            _row("null_upper", "float", "95 % quantile of that"),
            _row("p_value", "float", "share of permutations, the real one included, that are as good"),
            _row("permutations", "integer", "permutations"),
        ),
        "metrics": (
            *_PREDICTORS,
            _row("metric", "text", "auc, brier, c_uno, ...: as omics.outcome.performance says"),
            *_ESTIMATE,
            _row("n", "integer", "patients with known outcome"),
            _row("events", "integer", "events among them"),
        ),
        "differences": (
            _row("comparison", "text", "which rows are compared"),
            _PREDICTORS[1],
            _row("model", "text", "name of the model"),
            _row("metric", "text", "auc or c_uno"),
            *_ESTIMATE,
        ),
        "calibration": (
            *_PREDICTORS,
            _row("group", "integer", "group of patients by predicted risk, from the lowest"),
            _row("n", "integer", "patients"),
            _row("events", "integer", "events of interest by the horizon"),
            _row("predicted", "float", "mean predicted risk"),
            _row("observed", "float", "cumulative incidence at the horizon"),
            *_ESTIMATE[1:],
        ),
        "decision": (
            *_PREDICTORS,
            _row("threshold", "float", "risk from which one would treat"),
            _row("net_benefit", "float", "net benefit of treating those whose risk reaches it"),
            *_ESTIMATE[1:],
            _row("all", "float", "net benefit of treating all"),
            _row("flagged", "float", "share of patients whose risk reaches the threshold"),
        ),
        "account": (
            _row("layer", "text", "layer, pair of layers (a & b), or all"),
            _row("what", "text", "what is counted: in file, kept, dropped, shared"),
            _row("reason", "text", "why, for what was dropped"),
            _row("samples", "integer", "number of samples"),
        ),
        "excluded": (
            _row("layer", "text", "layer"),
            _row("sample", "text", "id as in the file"),
            _row("reason", "text", "why it was dropped"),
        ),
        "folds": (
            _row("repeat", "integer", "repeat of the cross-validation"),
            _row("fold", "integer", "outer fold"),
            *_PREDICTORS,
            _row("held_out", "text", "number of the fold, or the group that is held out"),
            _row("train", "integer", "patients trained on"),
            _row("test", "integer", "patients held out"),
            _row("chosen", "text", "settings that the inner loop chose, JSON"),
            _row("error", "text", "why the fit failed; empty where it did not"),
        ),
    }
)
