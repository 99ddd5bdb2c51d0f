"""Choose the settings of a model on inner folds, weighted for censoring, and fit it on all training rows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from sklearn.model_selection import StratifiedKFold
from sklearn.pipeline import Pipeline

from omics.outcome import relapse_within
from omics.predict.models import build_pipeline, design_table, model_named, probability
from omics.schema import DataError

#: Probabilities are kept this far from 0 and 1 in the log loss that chooses settings.
_CLIP = 1e-6

Split = tuple[np.ndarray, np.ndarray]


class Target(NamedTuple):
    """What is to be predicted, for some patients.

    Attributes
    ----------
    outcome : ndarray of int
        1 if relapsed within the horizon.
    weight : ndarray of float
        Inverse probability of not being censored; 0 where the outcome is unknown.
    """

    outcome: np.ndarray
    weight: np.ndarray

    @property
    def stratum(self) -> np.ndarray:
        """0 no relapse, 1 relapse, 2 unknown: what folds are balanced for."""
        return np.where(self.weight > 0, self.outcome, 2)


def target_of(clinical: pd.DataFrame, samples: Iterable[str], horizon: float) -> Target:
    """Outcome and weight of `samples`, the censoring distribution estimated on them alone."""
    known = relapse_within(clinical.reindex(pd.Index(samples)), horizon)
    return Target(known["outcome"].to_numpy(dtype=int), known["weight"].to_numpy(dtype=float))


def stratified_folds(
    samples: np.ndarray, stratum: np.ndarray, n_folds: int, random_state: int
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Training and held-out ids of each fold, balanced for the outcome.

    Raises
    ------
    DataError
        There are fewer relapses, or fewer patients without, than folds.
    """
    counts = {label: int(np.sum(stratum == label)) for label in (0, 1)}
    if min(counts.values()) < n_folds:
        raise DataError(
            f"{counts[1]} relapses and {counts[0]} patients without cannot fill {n_folds} folds",
            fix="use fewer folds, another horizon, or a cohort with both outcomes",
        )
    # patients of unknown outcome are dealt out with the relapse-free: they train MOFA but no classifier
    splitter = StratifiedKFold(n_folds, shuffle=True, random_state=random_state)
    return [(samples[train], samples[held]) for train, held in splitter.split(samples, np.where(stratum == 1, 1, 0))]


def inner_splits(
    samples: np.ndarray, stratum: np.ndarray, n_inner: int, random_state: int
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Splits of training rows on which settings are chosen; as many as the rarer outcome allows, at most `n_inner`."""
    rarer = min(int(np.sum(stratum == label)) for label in (0, 1))
    return stratified_folds(samples, stratum, max(2, min(n_inner, rarer)), random_state)


class FoldScores(NamedTuple):
    """Factor scores of the rows that an integration was fitted on, and of those held out."""

    train: pd.DataFrame
    held_out: pd.DataFrame


@dataclass(frozen=True)
class Learner:
    """Fits one model to tables of predictors, with censoring weights of the very rows it is given.

    Attributes
    ----------
    model : str
        Name in the registry.
    horizon : float
        Years within which a relapse counts.
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
    horizon: float
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
        weight = target_of(self.clinical, table.index, self.horizon).weight
        known = weight > 0
        pipeline = build_pipeline(table, self.model, settings, self.random_state)
        return pipeline.fit(table[known], self.outcome[table.index][known], model__sample_weight=weight[known])

    def loss(self, pipeline: Pipeline, held: pd.DataFrame) -> float:
        """Weighted log loss of a fitted model on held-out rows."""
        weight = target_of(self.clinical, held.index, self.horizon).weight
        known = weight > 0
        chance = np.clip(probability(pipeline, held[known]), _CLIP, 1 - _CLIP)
        relapsed = self.outcome[held.index][known].to_numpy() == 1
        return float(-np.sum(weight[known] * np.where(relapsed, np.log(chance), np.log1p(-chance))))

    def choose(self, splits: Sequence[Split], scores: Sequence[FoldScores | None]) -> Mapping[str, Any]:
        """Settings of the least loss over the inner folds.

        Parameters
        ----------
        splits : sequence of (train ids, held-out ids)
            The inner folds.
        scores : sequence of FoldScores or None
            Scores of each inner fold, from an integration fitted inside it; None for clinical predictors alone.
        """
        folds = [
            (self.table(part and part.train, train), self.table(part and part.held_out, held))
            for (train, held), part in zip(splits, scores, strict=True)
        ]

        def total(settings: Mapping[str, Any]) -> float:
            return sum(self.loss(self.fit(train, settings), held) for train, held in folds)

        return min(model_named(self.model).grid, key=total)
