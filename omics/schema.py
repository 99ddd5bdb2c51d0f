"""Declare every variable of every store once, and check data at the door of a room.

A *node* is one group of a store (``/clinical``, ``/views/methylation``, ``/factors``). Its variables are
declared in :data:`NODES`; the declarations are written into the attributes of a store when it is published, so
that a store explains itself. Rooms check what they receive with :func:`check` and trust it inside.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

import numpy as np
import xarray as xr

SCHEMA_VERSION = 1

Kind = Literal["float", "integer", "text"]

#: What numpy calls the kinds: text is object or StringDType, never fixed-width ``<U``.
_NUMPY_KINDS: Mapping[str, str] = MappingProxyType({"float": "f", "integer": "iub", "text": "OTU"})


class OmicsError(Exception):
    """Something a user can understand and mend: what, where, and how to fix it.

    Parameters
    ----------
    what : str
        What is wrong, with the value that was got.
    where : str, optional
        File, line, store or node.
    fix : str, optional
        What the user can do about it.
    """

    #: Exit code of the command line (OPERATIONS: 2 usage, 3 input data, 4 environment, 6 integrity, 75 try again).
    exit_code = 1

    def __init__(self, what: str, *, where: str | None = None, fix: str | None = None) -> None:
        super().__init__(what)
        self.what, self.where, self.fix = what, where, fix

    def __reduce__(self) -> tuple[object, ...]:
        """Keep ``where`` and ``fix`` when the error travels back from a worker."""
        return _rebuild, (type(self), self.what, self.where, self.fix)

    def __str__(self) -> str:
        parts = [self.what]
        if self.where:
            parts.append(f"where: {self.where}")
        if self.fix:
            parts.append(f"fix: {self.fix}")
        return "\n  ".join(parts)


def _rebuild(kind: type[OmicsError], what: str, where: str | None, fix: str | None) -> OmicsError:
    return kind(what, where=where, fix=fix)


class UsageError(OmicsError):
    """A request that cannot be right: unknown option or key, an output that exists."""

    exit_code = 2


class DataError(OmicsError):
    """Input data that is invalid: truncated, duplicate, out of range, not overlapping."""

    exit_code = 3


class EnvironmentFault(OmicsError):
    """The machine or the cluster does not do what is needed."""

    exit_code = 4


class IntegrityError(OmicsError):
    """A store that is not what its manifest says: unfinished, damaged, tampered with."""

    exit_code = 6


class TryAgain(OmicsError):
    """A fault that may be gone next time: disk full, output in use."""

    exit_code = 75


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
        ),
        "subtype_model": (
            Variable("mean", ("subtype", "factor"), "float", "centre of the subtype, in standardised factors"),
            Variable("variance", ("subtype", "factor"), "float", "spread of the subtype, in standardised factors"),
            Variable("mixing", ("subtype",), "float", "share of the subtype"),
            Variable("jaccard", ("subtype",), "float", "mean Jaccard index over resamples; NaN if alone"),
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


def check(dataset: xr.Dataset, node: str, *, where: str) -> xr.Dataset:
    """Return `dataset` if it is what `node` declares, else say what is not.

    Parameters
    ----------
    dataset : xarray.Dataset
        Variables of the node; more than declared is allowed.
    node : str
        Key of :data:`NODES`.
    where : str
        What the error names: a file, a store and its group.

    Raises
    ------
    DataError
        A required variable is absent, has other dims, another kind, or its ids are duplicated.
    """
    for variable in NODES[node]:
        if variable.name in dataset.variables:
            _check_variable(dataset[variable.name], variable, where)
        elif variable.required:
            raise DataError(
                f"variable '{variable.name}' ({variable.meaning}) is missing; there are {sorted(map(str, dataset))}",
                where=where,
                fix=f"'{node}' needs '{variable.name}' with dims {variable.dims}",
            )
    for dim in ("sample", "feature"):
        if dim in dataset.dims:
            _check_ids(dataset, dim, where)
    return dataset


def _check_variable(array: xr.DataArray, variable: Variable, where: str) -> None:
    if array.dims != variable.dims:
        raise DataError(f"'{variable.name}' has dims {array.dims}", where=where, fix=f"expected dims {variable.dims}")
    if array.dtype.kind not in _NUMPY_KINDS[variable.kind]:
        raise DataError(f"'{variable.name}' holds {array.dtype}", where=where, fix=f"expected {variable.kind} values")


def _check_ids(dataset: xr.Dataset, dim: str, where: str) -> None:
    if dim not in dataset.coords:
        raise DataError(f"dimension '{dim}' has no ids", where=where, fix=f"give it a coordinate named '{dim}'")
    ids = dataset.indexes[dim]
    if not ids.is_unique:
        twice = ids[ids.duplicated()].unique()[:5].tolist()
        raise DataError(
            f"duplicate {dim} id: {', '.join(map(str, twice))}", where=where, fix=f"every {dim} id must occur once"
        )


def check_view(view: xr.Dataset, *, where: str) -> xr.Dataset:
    """Check one omics layer: its variables, its ids, and its ``kind`` and ``likelihood`` attributes.

    Raises
    ------
    DataError
        As :func:`check`, or the likelihood is not one of :data:`LIKELIHOODS`.
    """
    check(view, "view", where=where)
    likelihood = view.attrs.get("likelihood")
    if likelihood not in LIKELIHOODS:
        raise DataError(f"likelihood is {likelihood!r}", where=where, fix=f"expected one of {', '.join(LIKELIHOODS)}")
    if "kind" not in view.attrs:
        raise DataError("the attribute 'kind' is missing", where=where, fix="for example 'methylation'")
    return view


def check_cohort(cohort: xr.DataTree, *, where: str = "cohort") -> xr.DataTree:
    """Check a cohort: at least one view, each as declared, and a clinical node if there is one.

    Raises
    ------
    DataError
        There is no view, or a node is not as declared.
    """
    names = view_names(cohort)
    if not names:
        raise DataError("there is no omics layer", where=where, fix="a cohort has at least one node below /views")
    for name in names:
        check_view(cohort[f"views/{name}"].to_dataset(), where=f"{where}, /views/{name}")
    if "clinical" in cohort.children:
        check(cohort["clinical"].to_dataset(), "clinical", where=f"{where}, /clinical")
    return cohort


def view_names(tree: xr.DataTree) -> list[str]:
    """Names of the views of a cohort or factor model, sorted (the order after reopening is arbitrary)."""
    return sorted(tree["views"].children) if "views" in tree.children else []


def describe(dataset: xr.Dataset, node: str) -> xr.Dataset:
    """Write each declared meaning and unit into the attributes of the variables that are present."""
    described = dataset.copy(deep=False)
    for variable in NODES[node]:
        if variable.name in described.variables:
            described[variable.name].attrs.update(long_name=variable.meaning, units=variable.units)
    return described


def is_text(array: xr.DataArray | xr.Variable | np.ndarray) -> bool:
    """Whether the array holds text."""
    return array.dtype.kind in _NUMPY_KINDS["text"]
