"""Classify patients into known subtypes by the same path: refitted in every fold, calibrated, with abstention.

Many classes, some with two patients: a class that is not among the training patients of a fold cannot be predicted
there, and its patients count as wrong; that is said, and nothing crashes.
"""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import xarray as xr
from scipy.optimize import minimize_scalar
from sklearn.exceptions import ConvergenceWarning
from sklearn.pipeline import Pipeline
from threadpoolctl import threadpool_limits

from omics import cohort
from omics.blocks import each
from omics.predict.learning import FoldScores
from omics.predict.models import encoding, model_named
from omics.predict.nested import tree_of
from omics.predict.representations import fold_tables, representation_named
from omics.predict.splits import Scheme, Split, group_of
from omics.schema import DataError, UsageError

#: Temperatures between which the one that calibrates is searched.
_COLDEST, _HOTTEST = 0.05, 20.0
_CLIP = 1e-12
#: Threshold of a model that always abstains.
NEVER = 1.01
_BOOTSTRAP_LEVEL = 0.95


class _Part(NamedTuple):
    """One held-out part of one repeat."""

    repeat: int
    fold: int
    train: np.ndarray
    held_out: np.ndarray


class _Job(NamedTuple):
    """One model on one representation in one outer fold."""

    part: _Part
    representation: str
    model: str
    inner: list[Split]
    scores: list[FoldScores | None]
    error: str

    @property
    def name(self) -> dict[str, Any]:
        """The columns that tell it from other jobs."""
        return {
            "repeat": self.part.repeat,
            "fold": self.part.fold,
            "representation": self.representation,
            "model": self.model,
        }


class Classified(NamedTuple):
    """What one outer fold found.

    Attributes
    ----------
    probability : DataFrame
        Calibrated probability of each class, (held-out sample, class).
    favoured : Series
        Class whose probability exceeds its share of the training patients most, by held-out sample.
    temperature : float
        By which log-probabilities were divided.
    threshold : float
        Probability below which the model abstains.
    chosen : str
        Settings that the inner folds chose, JSON.
    absent : list of str
        Classes of which there is no training patient.
    error : str
        Why the fit failed.
    """

    probability: pd.DataFrame
    favoured: pd.Series
    temperature: float
    threshold: float
    chosen: str
    absent: list[str]
    error: str


@threadpool_limits.wrap(limits=1)
def evaluate_classes(
    store: str | os.PathLike[str],
    column: str,
    *,
    models: Sequence[str] = ("logistic",),
    representations: Sequence[str] = ("factors",),
    mofa: Mapping[str, Any] | None = None,
    scheme: Scheme | None = None,
    accuracy: float = 0.95,
    n_bootstrap: int = 1000,
    random_state: int = 0,
) -> xr.DataTree:
    """Predict a known class, such as the molecular subtype, from the layers by nested cross-validation.

    Probabilities are calibrated by a temperature, and the threshold below which the model abstains is the lowest that
    reaches `accuracy` in the inner folds. The likeliest class is seldom a rare one: beside it stands the class that is
    favoured beyond its share of the patients. No class is weighted up, since that ruins the calibration.

    Parameters
    ----------
    store : path
        Prepared cohort.
    column : str
        Clinical column with the class; patients without one train the integration only.
    models : sequence of str
        Names in :data:`omics.predict.MODELS` that learn classes, or ``module:name``.
    representations : sequence of str
        Names in :data:`omics.predict.REPRESENTATIONS` that do not look at the outcome, or ``module:name``.
    mofa : mapping, optional
        Parameters of :class:`omics.factors.MOFA`.
    scheme : Scheme, optional
        How patients are held out: folds and repeats, in groups if asked for.
    accuracy : float
        Accuracy among the patients for whom the model does not abstain.
    n_bootstrap : int
        Resamples of patients for the intervals.
    random_state : int
        Seed.

    Returns
    -------
    xarray.DataTree
        Nodes ``/class_predictions``, ``/class_metrics``, ``/class_recall``, ``/class_folds`` and ``/clinical``.

    Raises
    ------
    UsageError
        A name is unknown, or a model or representation cannot be used for classes.
    DataError
        There is no such column, or fewer than two classes with two patients.
    """
    _refuse(models, representations)
    prepared = cohort.open(store, noun="prepared")
    clinical = cohort.clinical_table(prepared)
    label = _labels(clinical, column, cohort.samples(prepared))
    scheme = scheme or Scheme()
    splits = _plan(label, clinical, scheme, random_state)
    inner = [_inner(label, part.train, clinical, scheme, random_state) for part in splits]
    whole = [(part.train, part.held_out) for part in splits]
    everything = [split for own, outer in zip(inner, whole, strict=True) for split in [*own, outer]]
    found = iter(each(fold_tables, everything, store, dict(mofa or {}), list(representations), clinical, None))
    jobs = []
    for part, own in zip(splits, inner, strict=True):
        tables = [next(found) for _ in range(len(own) + 1)]
        for representation in representations:
            scores = [one.tables.get(representation) for one in tables]
            errors = [one.errors[representation] for one in tables if representation in one.errors]
            jobs += [_Job(part, representation, model, own, scores, "; ".join(errors[:1])) for model in models]
    results = each(_classify, jobs, label, accuracy, random_state)
    predictions = pd.concat([_rows(job, one, label) for job, one in zip(jobs, results, strict=True)], ignore_index=True)
    tables_out = {
        "class_predictions": predictions,
        "class_metrics": _metrics(predictions, n_bootstrap, random_state),
        "class_recall": _recall(predictions),
        "class_folds": _folds(jobs, results),
    }
    sizes = label[label != ""].value_counts()
    summary = {
        "column": column,
        "patients": len(label),
        "known": int((label != "").sum()),
        "classes": [f"{name}: {count}" for name, count in sizes.items()],
        "small": [str(name) for name, count in sizes.items() if count < scheme.n_folds],
        "accuracy_wanted": accuracy,
    }
    return tree_of(summary, tables_out, cohort.node(prepared, "clinical"))


def _refuse(models: Sequence[str], representations: Sequence[str]) -> None:
    for name in models:
        if model_named(name).learns != "class":
            raise UsageError(f"model '{name}' predicts times, not classes", fix="choose logistic, forest or boosting")
    for name in representations:
        if representation_named(name).supervised and ":" not in name:
            raise UsageError(
                f"representation '{name}' looks for an outcome of two classes", fix="choose factors, loadings or layers"
            )


def _labels(clinical: pd.DataFrame, column: str, everyone: np.ndarray) -> pd.Series:
    if column not in clinical:
        raise DataError(
            f"no clinical column '{column}'",
            where="clinical table",
            fix=f"there are {', '.join(map(str, clinical.columns)) or 'no columns'}",
        )
    label = clinical[column].reindex(everyone)
    label = label.where(label.notna(), "").astype(str)
    counts = label[label != ""].value_counts()
    if (counts >= 2).sum() < 2:
        raise DataError(
            f"there are {len(counts)} classes, {int((counts >= 2).sum())} of them with two patients or more",
            where=f"clinical column '{column}'",
            fix="at least two classes of two patients are needed",
        )
    return label


def _deal(label: pd.Series, group: pd.Series | None, n_folds: int, rng: np.random.Generator) -> np.ndarray:
    """Fold of each patient: classes are dealt out one after the other, so that even two patients part."""
    if group is not None:  # a group goes where its first patient goes
        first = label.groupby(group.loc[label.index].to_numpy()).first()
        dealt = pd.Series(_deal(first, None, n_folds, rng), index=first.index)
        return dealt[group.loc[label.index]].to_numpy()
    fold, turn = np.empty(len(label), dtype=int), 0
    for name in sorted(label.unique()):
        members = rng.permutation(np.flatnonzero((label == name).to_numpy()))
        fold[members] = (turn + np.arange(len(members))) % n_folds
        turn += len(members)
    return fold


def _plan(label: pd.Series, clinical: pd.DataFrame, scheme: Scheme, random_state: int) -> list[_Part]:
    if scheme.file is not None or scheme.leave_out:
        raise UsageError("classes are evaluated by folds", fix="leave out the split file and leave_out")
    group = group_of(clinical, label.index, scheme.group_by)
    rng = np.random.default_rng(random_state)
    ids, splits = label.index.to_numpy(), []
    for repeat in range(scheme.n_repeats):
        fold = _deal(label, group, scheme.n_folds, rng)
        splits += [_Part(repeat, k, ids[fold != k], ids[fold == k]) for k in range(scheme.n_folds)]
    return splits


def _inner(
    label: pd.Series, train: np.ndarray, clinical: pd.DataFrame, scheme: Scheme, random_state: int
) -> list[Split]:
    group = group_of(clinical, train, scheme.group_by)
    fold = _deal(label[train], group, scheme.n_inner, np.random.default_rng(random_state))
    return [(train[fold != k], train[fold == k]) for k in range(scheme.n_inner)]


# --- one fold ---------------------------------------------------------------------------------------------------------


def _classify(job: _Job, label: pd.Series, accuracy: float, random_state: int) -> Classified:
    train, held = job.part.train, job.part.held_out
    known = label[train]
    classes = sorted(known[known != ""].unique())
    absent = sorted(set(label[held]) - set(classes) - {""})
    nothing = pd.DataFrame(np.nan, index=held, columns=classes), pd.Series("", index=held, dtype=object)
    known_scores = [one for one in job.scores if one is not None]
    if job.error or len(known_scores) < len(job.scores):
        return Classified(*nothing, np.nan, np.nan, "", absent, job.error)
    *inner, whole = known_scores
    try:
        settings, away = _chosen(job.model, label, job.inner, inner, classes, random_state)
        truth = label[away.index]
        temperature = _temperature(away, truth)
        threshold = _threshold(_cooled(away, temperature), truth, accuracy)
        pipeline = _fitted(job.model, settings, whole.train.loc[train], known, random_state)
        found = _cooled(_spread(pipeline, whole.held_out.loc[held], classes), temperature)
    except (ValueError, ArithmeticError) as error:
        return Classified(*nothing, np.nan, np.nan, "", absent, f"{type(error).__name__}: {error}")
    share = known[known != ""].value_counts(normalize=True).reindex(classes)
    favoured = (found / share).idxmax(axis=1)
    return Classified(found, favoured, temperature, threshold, json.dumps(dict(settings), sort_keys=True), absent, "")


def _fitted(
    model: str, settings: Mapping[str, Any], table: pd.DataFrame, label: pd.Series, random_state: int
) -> Pipeline:
    rows = table[(label[table.index] != "").to_numpy()]
    estimator = model_named(model).build(random_state).set_params(**settings)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # of many settings, one may be hard; the inner folds judge
        return Pipeline([("encode", encoding(rows)), ("model", estimator)]).fit(rows, label[rows.index].to_numpy())


def _spread(pipeline: Pipeline, table: pd.DataFrame, classes: Sequence[str]) -> pd.DataFrame:
    """Probabilities in the columns `classes`; 0 for a class that the fit did not meet."""
    found = pd.DataFrame(pipeline.predict_proba(table), index=table.index, columns=list(pipeline.classes_))
    return found.reindex(columns=list(classes), fill_value=0.0)


def _chosen(
    model: str,
    label: pd.Series,
    parts: Sequence[Split],
    inner: Sequence[FoldScores],
    classes: Sequence[str],
    random_state: int,
) -> tuple[Mapping[str, Any], pd.DataFrame]:
    """Settings of the least log loss over the inner folds, and their predictions there."""
    best: tuple[float, Mapping[str, Any], pd.DataFrame] | None = None
    for settings in model_named(model).grid:
        tables = []
        for (train, held), scores in zip(parts, inner, strict=True):
            pipeline = _fitted(model, settings, scores.train.loc[train], label[train], random_state)
            asked = held[(label[held] != "").to_numpy()]
            tables.append(_spread(pipeline, scores.held_out.loc[asked], classes))
        away = pd.concat(tables)
        loss = _loss(away, label[away.index])
        if best is None or loss < best[0]:
            best = (loss, settings, away)
    if best is None:
        raise UsageError(f"model '{model}' has no settings", fix="give its grid at least one, perhaps empty")
    return best[1], best[2]


def _own(probability: pd.DataFrame, truth: pd.Series) -> np.ndarray:
    """Probability given to the true class; 0 where it is not among the columns."""
    column = probability.columns.get_indexer(pd.Index(truth))
    own = probability.to_numpy()[np.arange(len(truth)), np.maximum(column, 0)]
    return np.where(column >= 0, own, 0.0)


def _loss(probability: pd.DataFrame, truth: pd.Series) -> float:
    return float(-np.log(np.maximum(_own(probability, truth), 1e-6)).mean())


def _cooled(probability: pd.DataFrame, temperature: float) -> pd.DataFrame:
    """``p^(1/T) / sum p^(1/T)``."""
    log = np.log(np.maximum(probability.to_numpy(), _CLIP)) / temperature
    powered = np.exp(log - log.max(axis=1, keepdims=True))
    return pd.DataFrame(
        powered / powered.sum(axis=1, keepdims=True), index=probability.index, columns=probability.columns
    )


def _temperature(probability: pd.DataFrame, truth: pd.Series) -> float:
    """Temperature of the least log loss.

    References
    ----------
    Guo et al. ICML 2017;70:1321-1330.
    """
    found = minimize_scalar(
        lambda log: _loss(_cooled(probability, float(np.exp(log))), truth),
        bounds=(np.log(_COLDEST), np.log(_HOTTEST)),
        method="bounded",
    )
    return float(np.exp(found.x))


def _threshold(probability: pd.DataFrame, truth: pd.Series, accuracy: float) -> float:
    """Lowest largest-probability from which on `accuracy` of the answers are right; above 1 if there is none.

    Of few answers, ``(right + 1/2) / (answers + 1)`` stands for the share that is right: one lucky answer is no proof.
    """
    sure = probability.max(axis=1).to_numpy()
    right = (probability.idxmax(axis=1) == truth).to_numpy()
    order = np.argsort(-sure, kind="stable")
    share = (np.cumsum(right[order]) + 0.5) / np.arange(2, len(order) + 2)
    last = np.append(np.diff(sure[order]) < 0, True)  # equal probabilities are answered together
    reached = np.flatnonzero(last & (share >= accuracy))
    return float(sure[order][reached.max()]) if len(reached) else NEVER


# --- tables -----------------------------------------------------------------------------------------------------------


def _rows(job: _Job, found: Classified, label: pd.Series) -> pd.DataFrame:
    held = job.part.held_out
    sure = found.probability.max(axis=1)
    failed = sure.isna()
    likeliest = found.probability.fillna(-1.0).idxmax(axis=1).where(~failed, "")
    return pd.DataFrame(
        {
            "sample": held,
            **job.name,
            "truth": label[held].to_numpy(),
            "predicted": likeliest.to_numpy(),
            "favoured": found.favoured.to_numpy(),
            "probability": sure.to_numpy(),
            "truth_probability": np.where(failed, np.nan, _own(found.probability, label[held])),
            "abstains": (failed | (sure < found.threshold)).astype(int).to_numpy(),
        }
    )


def _figures(rows: pd.DataFrame) -> dict[str, float]:
    """Figures of patients of known class."""
    right = (rows["predicted"] == rows["truth"]).to_numpy()
    favoured = pd.Series((rows["favoured"] == rows["truth"]).to_numpy())
    answered = (rows["abstains"] == 0).to_numpy()
    recall = pd.Series(right).groupby(rows["truth"].to_numpy()).mean()
    sure = rows["probability"].fillna(0.0).to_numpy()
    return {
        "accuracy": float(right.mean()),
        "balanced_accuracy": float(recall.mean()),
        "balanced_accuracy_favoured": float(favoured.groupby(rows["truth"].to_numpy()).mean().mean()),
        "accuracy_answered": float(right[answered].mean()) if answered.any() else np.nan,
        "answered": float(answered.mean()),
        "log_loss": float(-np.log(np.maximum(rows["truth_probability"].fillna(0.0), 1e-6)).mean()),
        "overconfidence": float(sure.mean() - right.mean()),
    }


def _metrics(predictions: pd.DataFrame, n_bootstrap: int, random_state: int) -> pd.DataFrame:
    known = predictions[predictions["truth"] != ""]
    found = []
    for (representation, model), rows in known.groupby(["representation", "model"], sort=False):
        by_sample = dict(list(rows.groupby("sample", sort=False)))
        ids = np.array(list(by_sample), dtype=object)
        place = pd.Series(np.arange(len(rows)), index=rows["sample"]).groupby(level=0, sort=False).apply(list)
        rng = np.random.default_rng(random_state)
        draws = [
            _figures(rows.iloc[np.concatenate([place[one] for one in rng.choice(ids, len(ids))])])
            for _ in range(n_bootstrap)
        ]
        spread = pd.DataFrame(draws)
        tail = (1 - _BOOTSTRAP_LEVEL) / 2
        for name, value in _figures(rows).items():
            values = spread[name].dropna()
            lower, upper = values.quantile([tail, 1 - tail]) if len(values) else (np.nan, np.nan)
            row = {"representation": representation, "model": model, "metric": name, "estimate": value}
            found.append({**row, "lower": lower, "upper": upper, "n": len(ids)})
    return pd.DataFrame(found)


def _recall(predictions: pd.DataFrame) -> pd.DataFrame:
    known = predictions[predictions["truth"] != ""]
    found = []
    for (representation, model, truth), rows in known.groupby(["representation", "model", "truth"], sort=False):
        right = rows["predicted"] == rows["truth"]
        called = known[
            (known["predicted"] == truth) & (known["model"] == model) & (known["representation"] == representation)
        ]
        found.append(
            {
                "representation": representation,
                "model": model,
                "truth": truth,
                "n": rows["sample"].nunique(),
                "recall": float(right.mean()),
                "precision": float((called["truth"] == truth).mean()) if len(called) else np.nan,
                "abstained": float(rows["abstains"].mean()),
            }
        )
    return pd.DataFrame(found)


def _folds(jobs: Sequence[_Job], results: Sequence[Classified]) -> pd.DataFrame:
    return pd.DataFrame(
        [
            {
                **job.name,
                "train": len(job.part.train),
                "test": len(job.part.held_out),
                "temperature": one.temperature,
                "threshold": one.threshold,
                "absent": ", ".join(one.absent),
                "chosen": one.chosen,
                "error": one.error,
            }
            for job, one in zip(jobs, results, strict=True)
        ]
    )
