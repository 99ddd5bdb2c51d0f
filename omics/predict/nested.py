"""Nested cross-validation in which everything that learns, MOFA included, is refitted inside every fold."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import xarray as xr
from sklearn.pipeline import Pipeline

from omics import cohort
from omics.blocks import each
from omics.outcome import OUTCOME_COLUMNS, predictors, refuse_relapse_samples, supported, with_timing
from omics.predict import frozen
from omics.predict.learning import FoldScores, Learner, Question, Target, target_of
from omics.predict.models import FEATURES, model_named, probability
from omics.predict.representations import FoldTables, fold_tables, representation_named
from omics.predict.splits import OuterFold, Scheme, plan
from omics.schema import DataError, OmicsError, describe

#: Name of the model that the inner folds choose among all models and representations.
BEST = "best"


@dataclass(frozen=True)
class Study:
    """What is to be found out, on which patients, and how.

    Attributes
    ----------
    store : path
        Prepared cohort.
    question : Question
        What is to be predicted.
    clinical : DataFrame
        Clinical table.
    samples : ndarray of str
        Patients with at least one layer and a clinical row.
    columns : sequence of str
        Clinical predictors.
    left_out : mapping
        Standard clinical predictor that is not used -> why.
    models, representations : sequence of str
        Names in the registries, or ``module:name``.
    mofa : mapping
        Parameters of :class:`omics.factors.MOFA`.
    scheme : Scheme
        How patients are held out.
    random_state : int
        Seed of the splits, models and resamples.
    """

    store: str | os.PathLike[str]
    question: Question
    clinical: pd.DataFrame
    samples: np.ndarray
    columns: Sequence[str]
    left_out: Mapping[str, str]
    models: Sequence[str]
    representations: Sequence[str]
    mofa: Mapping[str, Any]
    scheme: Scheme
    random_state: int

    @property
    def rows(self) -> tuple[str, ...]:
        """Sets of predictors that are compared."""
        return FEATURES if self.columns else ("omics",)

    @property
    def target(self) -> Target:
        """Outcome and weight of all samples."""
        return target_of(self.clinical, self.samples, self.question)

    def outer(self) -> list[OuterFold]:
        """Who is held out when."""
        stratum = pd.Series(self.target.stratum, index=self.samples)
        return plan(stratum, self.clinical, self.scheme, self.random_state)


def study_of(
    store: str | os.PathLike[str],
    question: Question,
    *,
    models: Sequence[str] = ("logistic", "forest"),
    representations: Sequence[str] = ("factors",),
    clinical_variables: Sequence[str] | None = None,
    known_at: Mapping[str, float] | None = None,
    mofa: Mapping[str, Any] | None = None,
    scheme: Scheme | None = None,
    random_state: int = 0,
) -> Study:
    """Open a prepared cohort and check that the question can be asked of it.

    Raises
    ------
    UsageError
        A name is unknown, or a predictor cannot be used.
    DataError
        There is no clinical table, or the samples were taken after prediction begins.
    """
    for name in models:
        model_named(name)
    for name in representations:
        representation_named(name)
    prepared = cohort.open(store, noun="prepared")
    clinical = with_timing(cohort.clinical_table(prepared))
    if clinical.empty:
        raise DataError("the cohort has no clinical table", fix="ingest it with --clinical")
    timepoint = str(cohort.node(prepared, "clinical").attrs.get("timepoint", "diagnosis"))
    refuse_relapse_samples(timepoint, question.endpoint)
    chosen = predictors(
        clinical, clinical_variables, endpoint=question.endpoint, landmark=question.landmark, known_at=known_at
    )
    everyone = cohort.samples(prepared)
    return Study(
        store=store,
        question=question,
        clinical=clinical,
        samples=everyone[pd.Index(everyone).isin(clinical.index)],
        columns=chosen.columns,
        left_out=chosen.left_out,
        models=tuple(models),
        representations=tuple(representations),
        mofa=dict(mofa or {}),
        scheme=scheme or Scheme(),
        random_state=random_state,
    )


class Job(NamedTuple):
    """One model on one set of predictors in one outer fold, with the tables that it needs.

    Attributes
    ----------
    outer : OuterFold
        Who is held out.
    features, representation, model : str
        What learns from what; no representation for clinical predictors alone.
    scores : list of FoldScores or None
        Tables of the inner folds and, last, of the outer one.
    error : str
        Why a representation could not be fitted; empty where it could.
    """

    outer: OuterFold
    features: str
    representation: str
    model: str
    scores: list[FoldScores | None]
    error: str

    @property
    def name(self) -> dict[str, Any]:
        """The columns that tell it from other jobs."""
        return {
            "repeat": self.outer.repeat,
            "fold": self.outer.fold,
            "features": self.features,
            "representation": self.representation,
            "model": self.model,
        }


class Held(NamedTuple):
    """What a job found.

    Attributes
    ----------
    probability : ndarray
        Predictions of the held-out rows, NaN if the fit failed.
    chosen : str
        Settings that the inner folds chose, JSON.
    loss : float
        Their loss in the inner folds.
    error : str
        Why the fit failed.
    digest : str
        Hash of the fitted model.
    seen : ndarray of str
        Rows on which settings were chosen and the model was fitted.
    """

    probability: np.ndarray
    chosen: str
    loss: float
    error: str
    digest: str
    seen: np.ndarray


def fit_tables(study: Study, outer: Sequence[OuterFold], names: Sequence[str] | None = None) -> list[list[FoldTables]]:
    """Tables of each outer fold: those of its inner folds and, last, its own; one task a split."""
    splits = [split for part in outer for split in [*part.inner, (part.train, part.held_out)]]
    wanted = study.representations if names is None else names
    found = iter(each(fold_tables, splits, study.store, study.mofa, wanted, study.clinical, study.question))
    return [[next(found) for _ in range(len(part.inner) + 1)] for part in outer]


def run(
    study: Study, outer: Sequence[OuterFold], tables: Sequence[Sequence[FoldTables]]
) -> tuple[list[Job], list[Held]]:
    """Choose, fit and predict with every model on every set of predictors in every outer fold."""
    jobs = [job for part, of_fold in zip(outer, tables, strict=True) for job in _jobs(study, part, of_fold)]
    outcome = pd.Series(study.target.outcome, index=study.samples)
    held = each(_held, jobs, outcome, study.clinical, study.columns, study.question)
    return _with_best(jobs, held)


def _jobs(study: Study, part: OuterFold, of_fold: Sequence[FoldTables]) -> list[Job]:
    jobs = []
    for features in study.rows:
        for representation in study.representations if features != "clinical" else ("",):
            scores: list[FoldScores | None] = [one.tables.get(representation) for one in of_fold]
            errors = [one.errors[representation] for one in of_fold if representation in one.errors]
            jobs += [
                Job(part, features, representation, model, scores, errors[0] if errors else "")
                for model in study.models
            ]
    return jobs


def _held(job: Job, outcome: pd.Series, clinical: pd.DataFrame, columns: Sequence[str], question: Question) -> Held:
    """Choose, fit, predict. A model that cannot be fitted is a result that is listed, not a crash."""
    nothing = np.full(len(job.outer.held_out), np.nan)
    if job.error:
        return Held(nothing, "", np.inf, job.error, "", _nobody())
    used = columns if job.features != "omics" else []
    learner = Learner(job.model, question, outcome[job.outer.train], clinical, used, job.outer.seed)
    *inner, whole = job.scores
    try:
        chosen, loss = learner.choose(job.outer.inner, inner)
        table = learner.table(whole and whole.train, job.outer.train)
        pipeline = learner.fit(table, chosen)
    except (ValueError, ArithmeticError, OmicsError) as error:
        return Held(nothing, "", np.inf, f"{type(error).__name__}: {error}", "", _nobody())
    chance = probability(pipeline, learner.table(whole and whole.held_out, job.outer.held_out))
    settings = json.dumps(dict(chosen), sort_keys=True)
    used_rows = [table.index, *(index for split in job.outer.inner for index in split)]
    seen = np.unique(np.concatenate([np.asarray(rows, dtype=object) for rows in used_rows]))
    return Held(chance, settings, loss, "", _digest(pipeline, table, settings, loss), seen)


def _nobody() -> np.ndarray:
    return np.array([], dtype=object)


def _digest(pipeline: Pipeline, table: pd.DataFrame, settings: str, loss: float) -> str:
    """Hash of a fitted model, of its predictions of the training rows, and of what the inner folds chose and its loss.

    A user's own estimator may hold what differs from run to run, such as counters: then its predictions stand for it.
    """
    parts = [probability(pipeline, table).tobytes(), settings.encode(), repr(loss).encode()]
    try:
        stored = frozen.to_bytes(pipeline)
    except (TypeError, ValueError, AttributeError):  # skops cannot write it
        stored = b""
    if stored and not frozen.foreign_types(stored):
        parts.append(stored)
    return hashlib.sha256(b"".join(parts)).hexdigest()


def _with_best(jobs: list[Job], held: list[Held]) -> tuple[list[Job], list[Held]]:
    """The jobs, and for each fold and set of predictors the one that its inner folds preferred, as a model of its own.

    So the best of many is judged on patients who had no part in choosing it.
    """
    candidates: dict[tuple[int, int, str], list[int]] = {}
    for i, job in enumerate(jobs):
        candidates.setdefault((job.outer.repeat, job.outer.fold, job.features), []).append(i)
    if max(map(len, candidates.values())) < 2:
        return jobs, held
    more, found = [], []
    for several in candidates.values():
        best = min(several, key=lambda i: held[i].loss)
        job, result = jobs[best], held[best]
        named = {"model": job.model, "representation": job.representation, "settings": result.chosen}
        more.append(job._replace(model=BEST, representation="" if job.features == "clinical" else BEST))
        found.append(result._replace(chosen=json.dumps(named, sort_keys=True)))
    return jobs + more, held + found


def predictions(study: Study, jobs: Sequence[Job], held: Sequence[Held]) -> pd.DataFrame:
    """Every prediction of a held-out patient, with what is known of the patient."""
    target = study.target
    known = pd.DataFrame({"outcome": target.outcome, "weight": target.weight}, index=study.samples)
    known = known.assign(time=np.nan, event=np.nan)
    if study.question.timed and (target.weight > 0).any() and _has_times(study):
        known.update(study.question.times(study.clinical.reindex(study.samples))[["time", "event"]])
    parts = [
        pd.DataFrame({"sample": job.outer.held_out, **job.name, "probability": result.probability}).join(
            known, on="sample"
        )
        for job, result in zip(jobs, held, strict=True)
    ]
    return pd.concat(parts, ignore_index=True)


def _has_times(study: Study) -> bool:
    """False where relapse is taken as recorded, without times."""
    return study.question.endpoint in supported(study.clinical)


def folds(jobs: Sequence[Job], held: Sequence[Held]) -> pd.DataFrame:
    """One row a fit: how many it was trained and tested on, what the inner folds chose, why it failed."""
    return pd.DataFrame(
        [
            {
                **job.name,
                "held_out": job.outer.name,
                "train": len(job.outer.train),
                "test": len(job.outer.held_out),
                "chosen": result.chosen,
                "error": result.error,
            }
            for job, result in zip(jobs, held, strict=True)
        ]
    )


def permuted(study: Study, seed: int) -> Study:
    """The same study with the course of the disease dealt out anew among the patients of known outcome."""
    rng = np.random.default_rng(seed)
    columns = [name for name in (*OUTCOME_COLUMNS, "refractory") if name in study.clinical]
    clinical = study.clinical.copy()
    rows = clinical.index.get_indexer(pd.Index(study.samples))
    dealt = clinical[columns].iloc[rng.permutation(rows)]
    for name in columns:
        values = clinical[name].to_numpy(copy=True)
        values[rows] = dealt[name].to_numpy()
        clinical[name] = values
    return replace(study, clinical=clinical)


def refitted(
    study: Study, outer: Sequence[OuterFold], fitted: Sequence[Sequence[FoldTables]]
) -> list[list[FoldTables]]:
    """The tables, with those of representations that look at the outcome fitted anew."""
    supervised = [name for name in study.representations if representation_named(name).supervised]
    if not supervised:
        return [list(of_fold) for of_fold in fitted]
    anew = fit_tables(study, outer, supervised)
    return [
        [
            one._replace(tables={**one.tables, **new.tables}, errors={**one.errors, **new.errors})
            for one, new in zip(old_fold, new_fold, strict=True)
        ]
        for old_fold, new_fold in zip(fitted, anew, strict=True)
    ]


def tree_of(summary: Mapping[str, Any], tables: Mapping[str, pd.DataFrame], clinical: xr.Dataset) -> xr.DataTree:
    """Tables as nodes of a result, with the clinical table, which travels along."""
    nodes = {f"/{name}": describe(cohort.from_table(table), name) for name, table in tables.items()}
    return xr.DataTree.from_dict({"/": xr.Dataset(attrs=dict(summary)), **nodes, "/clinical": clinical})
