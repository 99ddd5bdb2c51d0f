"""Nested cross-validation in which everything that learns, MOFA included, is refitted inside every fold."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import xarray as xr
from threadpoolctl import threadpool_limits

from omics import cohort
from omics.blocks import each
from omics.outcome import Interval, auc_difference, auc_interval, brier_interval
from omics.predict.integration import fold_scores
from omics.predict.learning import FoldScores, Learner, Split, Target, inner_splits, stratified_folds, target_of
from omics.predict.models import FEATURES, clinical_columns, model_named, probability
from omics.schema import DataError, OmicsError, describe


class OuterFold(NamedTuple):
    """One held-out part of one repeat, and the inner splits of its training rows."""

    repeat: int
    fold: int
    train: np.ndarray
    held_out: np.ndarray
    inner: list[Split]
    seed: int


class _Job(NamedTuple):
    """One model on one set of predictors in one outer fold, with the factor scores that it may need."""

    outer: OuterFold
    features: str
    model: str
    scores: list[FoldScores | None]


class _Held(NamedTuple):
    """What a job found."""

    probability: np.ndarray
    chosen: str
    error: str


@threadpool_limits.wrap(limits=1)  # folds run side by side: outermost, so that no fold changes it for another
def evaluate(
    store: str | os.PathLike[str],
    *,
    horizon: float = 5.0,
    models: Sequence[str] = ("logistic", "forest"),
    clinical_variables: Sequence[str] | None = None,
    mofa: Mapping[str, Any] | None = None,
    n_folds: int = 5,
    n_inner: int = 3,
    n_repeats: int = 1,
    n_bootstrap: int = 2000,
    random_state: int = 0,
) -> xr.DataTree:
    """Predict relapse within a horizon by nested, stratified cross-validation.

    In each outer fold the recipe and MOFA are fitted on the training rows, and again inside each inner fold that
    chooses the model's settings. A factor fit serves every model and penalty of its fold.

    Parameters
    ----------
    store : path
        Prepared cohort.
    horizon : float
        Years from diagnosis within which a relapse counts; patients censored before get weight 0, the others
        inverse-probability-of-censoring weights.
    models : sequence of str
        Names in :data:`omics.predict.models.MODELS`.
    clinical_variables : sequence of str, optional
        Clinical predictors; by default the standard ones that the cohort has.
    mofa : mapping, optional
        Parameters of :class:`omics.factors.MOFA`.
    n_folds, n_inner, n_repeats : int
        Outer folds, inner folds, repeats with other splits.
    n_bootstrap : int
        Resamples of patients for the intervals.
    random_state : int
        Seed of the splits, models and resamples.

    Returns
    -------
    xarray.DataTree
        Nodes ``/predictions``, ``/metrics``, ``/differences``, ``/folds`` (see :mod:`omics.schema`), ``/clinical``.

    Raises
    ------
    DataError
        There is no outcome, or too few patients with one of its values.
    """
    for name in models:
        model_named(name)
    prepared = cohort.open(store, noun="prepared")
    samples, clinical = _patients(prepared)
    target = target_of(clinical, samples, horizon)
    columns = clinical_columns(clinical, clinical_variables)
    rows = FEATURES if columns else ("omics",)
    outer = _plan(samples, target, n_folds, n_inner, n_repeats, random_state)
    integrations = [split for part in outer for split in [*part.inner, (part.train, part.held_out)]]
    scores = iter(each(fold_scores, integrations, store, dict(mofa or {})))
    jobs = []
    for part in outer:
        of_fold: list[FoldScores | None] = [next(scores) for _ in range(len(part.inner) + 1)]
        nothing: list[FoldScores | None] = [None] * len(of_fold)
        jobs += [_Job(part, f, m, nothing if f == "clinical" else of_fold) for f in rows for m in models]
    outcome = pd.Series(target.outcome, index=samples)
    held = each(_run, jobs, outcome, clinical, columns, horizon)
    predictions = _predictions(jobs, held, samples, target)
    metrics, differences = _figures(predictions, n_bootstrap, random_state)
    tables = {
        "predictions": predictions,
        "metrics": metrics,
        "differences": differences,
        "folds": _folds(jobs, held),
    }
    summary = _summary(target, horizon, columns, rows, n_folds, n_repeats)
    return _result(tables, summary, cohort.node(prepared, "clinical"))


def _result(tables: Mapping[str, pd.DataFrame], summary: Mapping[str, Any], clinical: xr.Dataset) -> xr.DataTree:
    nodes = {f"/{name}": describe(cohort.from_table(table), name) for name, table in tables.items()}
    return xr.DataTree.from_dict({"/": xr.Dataset(attrs=dict(summary)), **nodes, "/clinical": clinical})


def _patients(prepared: xr.DataTree) -> tuple[np.ndarray, pd.DataFrame]:
    """Patients with at least one layer and a clinical row, sorted, and the clinical table."""
    clinical = cohort.clinical_table(prepared)
    if clinical.empty:
        raise DataError("the cohort has no clinical table", fix="ingest it with --clinical")
    everyone = cohort.samples(prepared)
    return everyone[np.isin(everyone, clinical.index.to_numpy())], clinical


def _plan(
    samples: np.ndarray, target: Target, n_folds: int, n_inner: int, n_repeats: int, random_state: int
) -> list[OuterFold]:
    stratum = pd.Series(target.stratum, index=samples)
    plan = []
    for repeat, seed in enumerate(np.random.SeedSequence(random_state).generate_state(n_repeats)):
        for fold, (train, held_out) in enumerate(stratified_folds(samples, stratum.to_numpy(), n_folds, int(seed))):
            inner = inner_splits(train, stratum[train].to_numpy(), n_inner, random_state)
            plan.append(OuterFold(repeat, fold, train, held_out, inner, random_state))
    return plan


def _run(job: _Job, outcome: pd.Series, clinical: pd.DataFrame, columns: Sequence[str], horizon: float) -> _Held:
    """Choose, fit, predict. A model that cannot be fitted is a result that is listed, not a crash."""
    used = columns if job.features != "omics" else []
    learner = Learner(job.model, horizon, outcome[job.outer.train], clinical, used, job.outer.seed)
    *inner, whole = job.scores
    try:
        chosen = learner.choose(job.outer.inner, inner)
        pipeline = learner.fit(learner.table(whole and whole.train, job.outer.train), chosen)
    except (ValueError, ArithmeticError, OmicsError) as error:
        return _Held(np.full(len(job.outer.held_out), np.nan), "", f"{type(error).__name__}: {error}")
    table = learner.table(whole and whole.held_out, job.outer.held_out)
    return _Held(probability(pipeline, table), json.dumps(dict(chosen), sort_keys=True), "")


def _predictions(jobs: Sequence[_Job], held: Sequence[_Held], samples: np.ndarray, target: Target) -> pd.DataFrame:
    known = pd.DataFrame({"outcome": target.outcome, "weight": target.weight}, index=samples)
    parts = []
    for job, result in zip(jobs, held, strict=True):
        ids = job.outer.held_out
        parts.append(
            pd.DataFrame(
                {
                    "sample": ids,
                    "repeat": job.outer.repeat,
                    "fold": job.outer.fold,
                    "features": job.features,
                    "model": job.model,
                    "probability": result.probability,
                    "outcome": known.loc[ids, "outcome"].to_numpy(),
                    "weight": known.loc[ids, "weight"].to_numpy(),
                }
            )
        )
    return pd.concat(parts, ignore_index=True)


#: Which rows are compared; the first is what omics adds to what a clinic knows already.
_COMPARISONS = (("both", "clinical"), ("omics", "clinical"), ("both", "omics"))


class _Scores(NamedTuple):
    """Predictions of one model on one set of predictors; `probability` and `fold` have shape (repeat, patient)."""

    outcome: np.ndarray
    weight: np.ndarray
    probability: np.ndarray
    fold: np.ndarray


def _scores(table: pd.DataFrame) -> _Scores:
    wide = table.pivot(index="repeat", columns="sample", values=["probability", "fold"])
    known = table.drop_duplicates("sample").set_index("sample").loc[wide["probability"].columns]
    return _Scores(
        known["outcome"].to_numpy(),
        known["weight"].to_numpy(),
        wide["probability"].to_numpy(float),
        wide["fold"].to_numpy(),
    )


def _figures(predictions: pd.DataFrame, n_bootstrap: int, random_state: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """AUC and Brier score of each row, and paired differences of AUC; pairs count within a fold and repeat."""
    drawn: dict[str, Any] = {"n_bootstrap": n_bootstrap, "random_state": random_state}
    parts = {key: _scores(table) for key, table in predictions.groupby(["features", "model"], sort=False)}
    metrics, differences = [], []
    for (features, model), part in parts.items():
        row = {"features": features, "model": model}
        area = _or_nothing(auc_interval, part, **drawn)
        score = _or_nothing(brier_interval, part, **drawn)
        metrics += [{**row, "metric": "auc", **area._asdict()}, {**row, "metric": "brier", **score._asdict()}]
    for model in predictions["model"].unique():
        for one, other in _COMPARISONS:
            if (one, model) in parts and (other, model) in parts:
                gap = _or_nothing(auc_difference, parts[one, model], parts[other, model], **drawn)
                row = {"comparison": f"{one} - {other}", "model": model, "metric": "auc"}
                differences.append({**row, **gap._asdict()})
    columns = ["comparison", "model", "metric", "estimate", "lower", "upper"]
    return pd.DataFrame(metrics), pd.DataFrame(differences, columns=columns)


def _or_nothing(figure: Callable[..., Interval], part: _Scores, other: _Scores | None = None, **drawn: Any) -> Interval:
    """The figure, or NaN where no fold of the model could be fitted."""
    compared = [one.probability for one in (part, other) if one is not None]
    if any(np.isnan(scores).all() for scores in compared):
        return Interval(np.nan, np.nan, np.nan, 0, 0)
    return figure(part.outcome, *compared, part.weight, part.fold, **drawn)


def _folds(jobs: Sequence[_Job], held: Sequence[_Held]) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "repeat": [job.outer.repeat for job in jobs],
            "fold": [job.outer.fold for job in jobs],
            "features": [job.features for job in jobs],
            "model": [job.model for job in jobs],
            "train": [len(job.outer.train) for job in jobs],
            "test": [len(job.outer.held_out) for job in jobs],
            "chosen": [result.chosen for result in held],
            "error": [result.error for result in held],
        }
    )


def _summary(
    target: Target, horizon: float, columns: Sequence[str], rows: Sequence[str], n_folds: int, n_repeats: int
) -> dict[str, Any]:
    known = target.weight > 0
    return {
        "horizon": horizon,
        "patients": len(known),
        "known": int(known.sum()),
        "events": int(target.outcome[known].sum()),
        "clinical_variables": list(columns),
        "rows": list(rows),
        "n_folds": n_folds,
        "n_repeats": n_repeats,
    }
