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
from omics.predict.models import design_table, encoding, model_named, unseen_texts
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
        rows, known = self._known(table)
        encode = encoding(rows)
        model = self._fitted(encode.fit_transform(rows), known, settings)
        return Pipeline([("encode", encode), ("model", model)])

    def choose(self, splits: Sequence[Split], scores: Sequence[FoldScores | None]) -> tuple[Mapping[str, Any], float]:
        """Settings of the least weighted log loss over the inner folds, and that loss.

        Parameters
        ----------
        splits : sequence of (train ids, held-out ids)
            The inner folds.
        scores : sequence of FoldScores or None
            Tables of each inner fold, from what was fitted inside it; None for clinical predictors alone.
        """
        grid = model_named(self.model).grid
        losses = np.zeros(len(grid))
        for (train, held), part in zip(splits, scores, strict=True):
            rows, known = self._known(self.table(part and part.train, train))
            encode = encoding(rows)
            learnt = encode.fit_transform(rows)
            judged, asked = self._judged(self.table(part and part.held_out, held))
            with unseen_texts():
                away = encode.transform(judged)
            losses += [self._loss(learnt, known, settings, away, asked) for settings in grid]
        least = int(np.argmin(losses))
        return grid[least], float(losses[least])

    def _loss(
        self, learnt: np.ndarray, known: _Known, settings: Mapping[str, Any], away: np.ndarray, asked: _Known
    ) -> float:
        """Loss of one setting in one inner fold; without bounds where it cannot be fitted, so that others are taken."""
        try:
            loss = asked.loss(self._fitted(learnt, known, settings).predict_proba(away)[:, 1])
        except ArithmeticError:
            return np.inf
        return loss if np.isfinite(loss) else np.inf

    def _known(self, table: pd.DataFrame) -> tuple[pd.DataFrame, _Known]:
        """Rows to learn from, and what is known of them."""
        if model_named(self.model).learns == "time":
            if not self.question.timed:
                raise DataError(
                    f"model '{self.model}' needs times, which '{self.question.endpoint}' has not",
                    fix="choose a model of classes",
                )
            times = self.question.times(self.clinical.loc[table.index])
            times = times[times["entry"] <= 0]  # who entered late is known only because nothing had happened
            return table.loc[times.index], _Known(times[["time", "event"]].to_numpy(dtype=float), np.ones(len(times)))
        return self._judged(table)

    def _judged(self, table: pd.DataFrame) -> tuple[pd.DataFrame, _Known]:
        """Rows whose class is known at the horizon, their classes and weights."""
        weight = target_of(self.clinical, table.index, self.question).weight
        known = weight > 0
        return table[known], _Known(self.outcome[table.index][known].to_numpy(), weight[known])

    def _fitted(self, rows: np.ndarray, known: _Known, settings: Mapping[str, Any]) -> Any:
        """The model with `settings`, fitted on encoded rows."""
        registered = model_named(self.model)
        model = registered.build(self.random_state).set_params(**settings)
        if registered.learns == "time":
            return model.set_params(horizon=self.question.horizon).fit(rows, known.outcome)
        if has_fit_parameter(model, "sample_weight"):
            return model.fit(rows, known.outcome, sample_weight=known.weight)
        times_each = np.repeat(np.arange(len(rows)), _repeats(known.weight))
        return model.fit(rows[times_each], known.outcome[times_each])


class _Known(NamedTuple):
    """What is known of some rows: class (0 or 1) or time and code of the event, and weight."""

    outcome: np.ndarray
    weight: np.ndarray

    def loss(self, chance: np.ndarray) -> float:
        """Weighted log loss of predicted probabilities."""
        chance = np.clip(chance, _CLIP, 1 - _CLIP)
        return float(-np.sum(self.weight * np.where(self.outcome == 1, np.log(chance), np.log1p(-chance))))


def _repeats(weight: np.ndarray) -> np.ndarray:
    """How often each patient is repeated in place of a weight, as near as small numbers come to it."""
    largest = weight.max(initial=1.0) / weight.min(initial=1.0)
    parts = 4 if largest < _REPEATS / 4 else 1
    return np.clip(np.rint(weight / weight.min(initial=1.0) * parts).astype(int), 1, _REPEATS)
