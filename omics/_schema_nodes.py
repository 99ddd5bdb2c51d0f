"""The variables of every store: name, dims, kind, units, and one line of meaning."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from omics._schema_interpret import INTERPRET_NODES
from omics._schema_subtypes import SUBTYPE_NODES
from omics._schema_variables import ESTIMATE, Variable, optional, row

#: What tells one set of predictions from another.
_PREDICTORS = (
    row("features", "text", "clinical, omics or both"),
    row("representation", "text", "what the omics layers were turned into; empty for clinical alone"),
    row("model", "text", "name of the model; best: what the inner folds preferred"),
)

_CLASSIFIER = (
    row("repeat", "integer", "repeat of the cross-validation"),
    row("fold", "integer", "outer fold"),
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
        **SUBTYPE_NODES,
        **INTERPRET_NODES,
        "view": (
            Variable("value", ("sample", "feature"), "float", "measured value, NaN where missing"),
            optional("gene", ("feature",), "text", "HGNC symbol(s) of the feature, ';' between several"),
            optional("chromosome", ("feature",), "text", "chromosome of the feature, as in the annotation file"),
            optional("position", ("feature",), "integer", "1-based position on the chromosome", "bp"),
        ),
        "clinical": (
            optional("age", ("sample",), "float", "age at diagnosis", "years"),
            optional("sex", ("sample",), "text", "sex"),
            optional("wbc", ("sample",), "float", "white blood cell count at diagnosis", "10^9/L"),
            optional("mrd", ("sample",), "float", "minimal residual disease at the end of induction", "fraction"),
            optional("nci_risk", ("sample",), "text", "NCI risk group"),
            optional("subtype", ("sample",), "text", "known molecular subtype"),
            optional("site", ("sample",), "text", "hospital or laboratory"),
            optional("protocol", ("sample",), "text", "treatment protocol"),
            optional("refractory", ("sample",), "float", "1 if induction failed, else 0"),
            optional(
                "event",
                ("sample",),
                "float",
                "first event: 0 censored, 1 relapse, 2 death in remission, 3 second malignancy",
            ),
            optional(
                "event_time", ("sample",), "float", "time from diagnosis to the first event or last follow-up", "years"
            ),
            optional("death", ("sample",), "float", "1 if the patient died, else 0"),
            optional("death_time", ("sample",), "float", "time from diagnosis to death or last follow-up", "years"),
            optional("relapse", ("sample",), "float", "1 if relapse was the first event, else 0"),
            optional("stratum", ("sample",), "text", "stratum of treatment or randomisation"),
            optional("entry_time", ("sample",), "float", "time from diagnosis to the start of observation", "years"),
            optional("mrd_time", ("sample",), "float", "time from diagnosis to the measurement of mrd", "years"),
            optional("remission_time", ("sample",), "float", "time from diagnosis to first remission", "years"),
            optional("transplant_time", ("sample",), "float", "time from diagnosis to first transplant", "years"),
            optional("second_remission_time", ("sample",), "float", "time from diagnosis to second remission", "years"),
            optional(
                "second_event",
                ("sample",),
                "float",
                "first event after relapse, coded as event: 1 is second relapse",
            ),
            optional(
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
            optional("group", ("sample",), "text", "group of the sample in the fit"),
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
            optional("scale", ("group",), "float", "what fitted values are multiplied by; 1 unless groups were scaled"),
            optional("gene", ("feature",), "text", "HGNC symbol(s) of the feature"),
            optional("chromosome", ("feature",), "text", "chromosome of the feature"),
            optional("position", ("feature",), "integer", "1-based position on the chromosome", "bp"),
        ),
        "variance": (
            Variable("r2", ("view", "factor"), "float", "share of the view's variance that the factor explains"),
            Variable("r2_total", ("view",), "float", "share of the view's variance that all factors explain"),
            optional("r2_group", ("group", "view", "factor"), "float", "the same as r2, by group"),
            optional("r2_total_group", ("group", "view"), "float", "the same as r2_total, by group"),
            optional("active", ("factor",), "integer", "1 if the factor explains anything of any view, else 0"),
            optional("stability", ("factor",), "float", "mean |r| with the matched factor of the other restarts"),
            optional("stability_min", ("factor",), "float", "smallest |r| with the matched factor of another restart"),
        ),
        "restarts": (
            Variable("elbo", ("restart",), "float", "evidence lower bound at the end of the fit", "nats"),
            Variable("iterations", ("restart",), "integer", "iterations until convergence"),
            Variable("seed", ("restart",), "integer", "seed of the restart"),
            Variable("start", ("restart",), "text", "how the factors started: pca or random"),
            Variable("converged", ("restart",), "integer", "1 if the bound had converged"),
            optional("n_factors", ("restart",), "integer", "factors at the end of the fit"),
        ),
        "restart_scores": (
            Variable(
                "score",
                ("restart", "sample", "factor"),
                "float",
                "factors of the other restarts of as many, in the order and sign of those of the best that they match",
            ),
            Variable("restart", ("restart",), "integer", "row of the restart in /restarts, from 0"),
        ),
        "trace": (
            Variable(
                "elbo", ("check",), "float", "evidence lower bound of the best restart, whenever computed", "nats"
            ),
            optional("seconds", ("check",), "float", "time since the fit began", "seconds"),
        ),
        "predictions": (
            row("sample", "text", "patient"),
            row("repeat", "integer", "repeat of the cross-validation"),
            row("fold", "integer", "outer fold in which the patient was held out"),
            *_PREDICTORS,
            row("probability", "float", "predicted probability of the outcome"),
            row("outcome", "integer", "1 if the event of interest came within the horizon"),
            row("weight", "float", "inverse-probability-of-censoring weight; 0 where the outcome is unknown"),
            row("time", "float", "time from time zero, or the landmark, to the event or last follow-up", "years"),
            row("event", "float", "code of the event: 0 censored, 1 of interest, others compete"),
        ),
        "planning": (
            *_PREDICTORS[:2],
            row("patients", "integer", "patients of known outcome"),
            row("events", "integer", "events among them"),
            row("risk", "float", "share of patients with the event by the horizon, weighted for censoring"),
            row("parameters", "integer", "candidate predictors"),
            row("events_per_parameter", "float", "events by candidate predictors"),
            row("needed", "integer", "patients that Riley's criteria ask for"),
            row("enough", "integer", "1 if there are as many, else 0: the figures are descriptive"),
        ),
        "class_predictions": (
            row("sample", "text", "patient"),
            *_CLASSIFIER,
            row("truth", "text", "known class; empty where unknown"),
            row("predicted", "text", "likeliest class; empty where the fit failed"),
            row("favoured", "text", "class whose probability exceeds its share of the training patients most"),
            row("probability", "float", "calibrated probability of the likeliest class"),
            row("truth_probability", "float", "probability given to the known class"),
            row("abstains", "integer", "1 if the probability is below the threshold of the fold"),
        ),
        "class_metrics": (
            *_CLASSIFIER[2:],
            row("metric", "text", "accuracy, balanced_accuracy, ..., of those answered, log_loss, overconfidence"),
            *ESTIMATE,
            row("n", "integer", "patients of known class"),
        ),
        "class_recall": (
            *_CLASSIFIER[2:],
            row("truth", "text", "class"),
            row("n", "integer", "patients of the class"),
            row("recall", "float", "share of them that are given the class"),
            row("precision", "float", "share of those given the class who have it"),
            row("abstained", "float", "share of them for whom the model abstains"),
        ),
        "class_folds": (
            *_CLASSIFIER,
            row("train", "integer", "patients trained on"),
            row("test", "integer", "patients held out"),
            row("temperature", "float", "by which log-probabilities were divided"),
            row("threshold", "float", "probability below which the model abstains"),
            row("absent", "text", "classes of held-out patients of which no training patient is left"),
            row("chosen", "text", "settings that the inner loop chose, JSON"),
            row("error", "text", "why the fit failed; empty where it did not"),
        ),
        "audit": (
            row("check", "text", "predictors, samples, trace, noise or permutation"),
            row("what", "text", "what was checked"),
            row("passed", "integer", "1 if nothing leaked"),
            row("detail", "text", "what was found"),
        ),
        "seen": (
            row("repeat", "integer", "repeat of the cross-validation"),
            row("fold", "integer", "outer fold"),
            row("split", "text", "outer, or number of the inner fold"),
            row("step", "text", "what learnt"),
            row("rows", "integer", "rows that it was given"),
            row("held_out_rows", "integer", "rows among them that were held out: 0 unless something leaked"),
        ),
        "permutations": (
            *_PREDICTORS,
            row("estimate", "float", "AUC with the real outcome"),
            row("null_mean", "float", "mean AUC where the outcome was dealt out anew"),
            row("null_upper", "float", "95 % quantile of that"),
            row("p_value", "float", "share of permutations, the real one included, that are as good"),
            row("permutations", "integer", "permutations"),
        ),
        "metrics": (
            *_PREDICTORS,
            row("metric", "text", "auc, brier, c_uno, ...: as omics.outcome.performance says"),
            *ESTIMATE,
            row("n", "integer", "patients with known outcome"),
            row("events", "integer", "events among them"),
        ),
        "differences": (
            row("comparison", "text", "which rows are compared"),
            _PREDICTORS[1],
            row("model", "text", "name of the model"),
            row("metric", "text", "auc or c_uno"),
            *ESTIMATE,
        ),
        "calibration": (
            *_PREDICTORS,
            row("group", "integer", "group of patients by predicted risk, from the lowest"),
            row("n", "integer", "patients"),
            row("events", "integer", "events of interest by the horizon"),
            row("predicted", "float", "mean predicted risk"),
            row("observed", "float", "cumulative incidence at the horizon"),
            *ESTIMATE[1:],
        ),
        "decision": (
            *_PREDICTORS,
            row("threshold", "float", "risk from which one would treat"),
            row("net_benefit", "float", "net benefit of treating those whose risk reaches it"),
            *ESTIMATE[1:],
            row("all", "float", "net benefit of treating all"),
            row("flagged", "float", "share of patients whose risk reaches the threshold"),
        ),
        "account": (
            row("layer", "text", "layer, pair of layers (a & b), or all"),
            row("what", "text", "what is counted: in file, kept, dropped, shared"),
            row("reason", "text", "why, for what was dropped"),
            row("samples", "integer", "number of samples"),
        ),
        "excluded": (
            row("layer", "text", "layer"),
            row("sample", "text", "id as in the file"),
            row("reason", "text", "why it was dropped"),
        ),
        "folds": (
            row("repeat", "integer", "repeat of the cross-validation"),
            row("fold", "integer", "outer fold"),
            *_PREDICTORS,
            row("held_out", "text", "number of the fold, or the group that is held out"),
            row("train", "integer", "patients trained on"),
            row("test", "integer", "patients held out"),
            row("chosen", "text", "settings that the inner loop chose, JSON"),
            row("error", "text", "why the fit failed; empty where it did not"),
        ),
    }
)
