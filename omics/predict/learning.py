"""Choose the settings of a model on inner folds, weighted for censoring, and fit it on all training rows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import has_fit_parameter

from omics.outcome import as_class, endpoint, endpoint_named
from omics.predict.models import build_pipeline, design_table, model_named, probability
from omics.predict.splits import UNKNOWN, Split
from omics.schema import DataError

#: Probabilities are kept this far from 0 and 1 in the log loss that chooses settings.
_CLIP = 1e-6
#: Patients are repeated at most this often for estimators that take no weights.
_REPEATS = 20


class Question(NamedTuple):
    """What is to be predicted.

    Attributes
    ----------
    endpoint : str
        Name in :data:`omics.outcome.ENDPOINTS`.
    horizon : float
        Years from time zero, or from the landmark, within which an event counts.
    landmark : float or None
        Years from time zero at which predictions are made; patients with an event before, or not followed up to it,
        are not asked about.
    """

    endpoint: str = "relapse"
    horizon: float = 5.0
    landmark: float | None = None

    @property
    def meaning(self) -> str:
        """What a probability is a probability of, in words."""
        chosen = endpoint_named(self.endpoint)
        name = self.endpoint.replace("_", " ")
        if not self.timed:
            return name
        after = "" if self.landmark is None else f", for patients event-free {self.landmark:g} years after it"
        return f"{name} within {self.horizon:g} years of {chosen.time_zero}{after}"

    @property
    def timed(self) -> bool:
        """Whether the endpoint has times: not so for a class as it was recorded."""
        return endpoint_named(self.endpoint).derive is not None

    def times(self, clinical: pd.DataFrame) -> pd.DataFrame:
        """``time`` and ``event`` of the patients of known outcome."""
        return endpoint(clinical, self.endpoint, landmark=self.landmark)


class Target(NamedTuple):
    """What is to be predicted, for some patients.

    Attributes
    ----------
    outcome : ndarray of int
        1 if the event of interest came within the horizon.
    weight : ndarray of float
        Inverse probability of not being censored; 0 where the outcome is unknown.
    """

    outcome: np.ndarray
    weight: np.ndarray

    @property
    def stratum(self) -> np.ndarray:
        """0 no event, 1 event, 2 unknown: what folds are balanced for."""
        return np.where(self.weight > 0, self.outcome, UNKNOWN)


def target_of(clinical: pd.DataFrame, samples: Iterable[str], question: Question) -> Target:
    """Outcome and weight of `samples`, the censoring distribution estimated on them alone.

    Raises
    ------
    UsageError
        The endpoint is unknown.
    DataError
        There is no such outcome, or nobody was followed up to the horizon.
    """
    rows = clinical.reindex(pd.Index(list(samples)))
    known = as_class(rows, question.endpoint, question.horizon, landmark=question.landmark)
    return Target(known["outcome"].to_numpy(dtype=int), known["weight"].to_numpy(dtype=float))


class FoldScores(NamedTuple):
    """Predictors from the omics layers: of the rows that a representation was fitted on, and of those held out."""

    train: pd.DataFrame
    held_out: pd.DataFrame


@dataclass(frozen=True)
class Learner:
    """Fits one model to tables of predictors, with censoring weights of the very rows it is given.

    Attributes
    ----------
    model : str
        Name in the registry.
    question : Question
        What is to be predicted.
    outcome : Series
        0/1 by sample; what it says for patients of unknown outcome is ignored.
    clinical : DataFrame
        Clinical table, with every sample that is met.
    columns : sequence of str
        Clinical predictors; empty for factors alone.
    random_state : int
        Seed of the model.
    """

    model: str
    question: Question
    outcome: pd.Series
    clinical: pd.DataFrame
    columns: Sequence[str]
    random_state: int

    def table(self, scores: pd.DataFrame | None, samples: Iterable[str]) -> pd.DataFrame:
        """Predictors of `samples`; `scores` is None for clinical predictors alone."""
        rows = list(samples)
        return design_table(None if scores is None else scores.loc[rows], self.clinical.loc[rows], self.columns)

    def fit(self, table: pd.DataFrame, settings: Mapping[str, Any]) -> Pipeline:
        """Fit the model with `settings` on the rows of known outcome."""
        pipeline = build_pipeline(table, self.model, settings, self.random_state)
        if model_named(self.model).learns == "time":
            if not self.question.timed:
                raise DataError(
                    f"model '{self.model}' needs times, which '{self.question.endpoint}' has not",
                    fix="choose a model of classes",
                )
            pipeline.set_params(model__horizon=self.question.horizon)
            times = self.question.times(self.clinical.loc[table.index])
            times = times[times["entry"] <= 0]  # who entered late is known only because nothing had happened
            return pipeline.fit(table.loc[times.index], times[["time", "event"]].to_numpy(dtype=float))
        weight = target_of(self.clinical, table.index, self.question).weight
        known = weight > 0
        rows, outcome, weight = table[known], self.outcome[table.index][known], weight[known]
        if has_fit_parameter(pipeline["model"], "sample_weight"):
            return pipeline.fit(rows, outcome, model__sample_weight=weight)
        times_each = np.repeat(np.arange(len(weight)), _repeats(weight))
        return pipeline.fit(rows.iloc[times_each], outcome.iloc[times_each])

    def loss(self, pipeline: Pipeline, held: pd.DataFrame) -> float:
        """Weighted log loss of a fitted model on held-out rows."""
        weight = target_of(self.clinical, held.index, self.question).weight
        known = weight > 0
        chance = np.clip(probability(pipeline, held[known]), _CLIP, 1 - _CLIP)
        happened = self.outcome[held.index][known].to_numpy() == 1
        return float(-np.sum(weight[known] * np.where(happened, np.log(chance), np.log1p(-chance))))

    def choose(self, splits: Sequence[Split], scores: Sequence[FoldScores | None]) -> tuple[Mapping[str, Any], float]:
        """Settings of the least loss over the inner folds, and that loss.

        Parameters
        ----------
        splits : sequence of (train ids, held-out ids)
            The inner folds.
        scores : sequence of FoldScores or None
            Tables of each inner fold, from what was fitted inside it; None for clinical predictors alone.
        """
        folds = [
            (self.table(part and part.train, train), self.table(part and part.held_out, held))
            for (train, held), part in zip(splits, scores, strict=True)
        ]
        grid = model_named(self.model).grid
        losses = [sum(self.loss(self.fit(train, settings), held) for train, held in folds) for settings in grid]
        least = int(np.argmin(losses))
        return grid[least], losses[least]


def _repeats(weight: np.ndarray) -> np.ndarray:
    """How often each patient is repeated in place of a weight, as near as small numbers come to it."""
    largest = weight.max(initial=1.0) / weight.min(initial=1.0)
    parts = 4 if largest < _REPEATS / 4 else 1
    return np.clip(np.rint(weight / weight.min(initial=1.0) * parts).astype(int), 1, _REPEATS)
