"""Select the factors that go with an event by stability, weigh them, and set the cut between low and high risk.

Whatever learns looks at the outcome, and is to be given training patients alone; :func:`crossed` gives no others.

References
----------
Meinshausen, Buhlmann. JRSS B 2010;72:417-473. Shah, Samworth. JRSS B 2013;75:55-80.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from sksurv.linear_model import CoxnetSurvivalAnalysis, CoxPHSurvivalAnalysis
from sksurv.util import Surv

from omics.outcome.curves import CENSORED, RELAPSE
from omics.predict.splits import stratified_folds

#: Factors falsely selected, at most, on average.
FALSE_AT_MOST = 1.0
#: Penalty of the Cox regression on the selected factors: keeps it finite where a factor separates those with an event.
RIDGE = 0.1
#: Lasso paths, tried in turn until enough factors have entered: penalties, and the smallest as a share of the largest.
PATHS = ((30, 0.3), (100, 0.01))
#: A score a patient below this is rounding.
_NO_SCORE = 1e-12


class Rules(NamedTuple):
    """How groups are found.

    Attributes
    ----------
    n_folds, n_halves : int
        Folds, and half-samples in each.
    threshold : float
        Share of the half-samples that must keep a factor.
    high : float
        Share of the training patients above the cut.
    n_kept : int
        Factors that a half-sample keeps.
    """

    n_folds: int
    n_halves: int
    threshold: float
    high: float
    n_kept: int


class Problem(NamedTuple):
    """Patients and factors in sorted order: scores (patient, factor), times and codes of the first event."""

    x: np.ndarray
    time: np.ndarray
    event: np.ndarray
    competing: bool

    @property
    def happened(self) -> np.ndarray:
        """Who had the event of interest."""
        return self.event == RELAPSE if self.competing else self.event != CENSORED

    def of(self, rows: np.ndarray) -> Problem:
        """The problem of some patients."""
        return self._replace(x=self.x[rows], time=self.time[rows], event=self.event[rows])


class Learnt(NamedTuple):
    """What training patients teach: frequency, selection and coefficient of each factor, its scale, and the cut."""

    frequency: np.ndarray
    selected: np.ndarray
    coefficient: np.ndarray
    centre: np.ndarray
    scale: np.ndarray
    cut: float

    def risk(self, x: np.ndarray) -> np.ndarray:
        """Log hazard of patients against the mean training patient; NaN if nothing was selected."""
        if not self.selected.any():
            return np.full(len(x), np.nan)
        return ((x - self.centre) / self.scale) @ self.coefficient


class Fold(NamedTuple):
    """One fold: rows, what the training rows taught, and the risk of the held-out ones."""

    train: np.ndarray
    held: np.ndarray
    learnt: Learnt
    risk: np.ndarray


#: Rows of patients who have a group, whether it is the high one, and the fold that held them out.
Groups = tuple[np.ndarray, np.ndarray, np.ndarray]


def crossed(seed: int, problem: Problem, rules: Rules) -> list[Fold]:
    """All folds of one cross-validation."""
    stratum = pd.Series(problem.happened.astype(int))
    found = []
    for number, (train, held) in enumerate(stratified_folds(stratum, rules.n_folds, seed)):
        learnt = learn(problem.of(train), rules, [seed, number])
        found.append(Fold(train, held, learnt, learnt.risk(problem.x[held])))
    return found


def grouped(folds: Sequence[Fold]) -> Groups:
    """Groups of the held-out patients, of the folds that selected something."""
    kept = [(number, one) for number, one in enumerate(folds) if one.learnt.selected.any()]
    if not kept:
        return np.empty(0, dtype=int), np.empty(0, dtype=bool), np.empty(0, dtype=int)
    rows = np.concatenate([one.held for _, one in kept])
    high = np.concatenate([one.risk > one.learnt.cut for _, one in kept])
    return rows, high, np.repeat([number for number, _ in kept], [len(one.held) for _, one in kept])


def kept_at_most(n_factors: int, threshold: float) -> int:
    """Factors q that a half-sample keeps: the most for which :func:`false_selections` is at most one.

    ``q = floor(sqrt((2 pi - 1) p))``, and one at least: no two factors can both be the first in more than half of the
    half-samples.
    """
    return max(1, int(np.sqrt(FALSE_AT_MOST * (2 * threshold - 1) * n_factors) + 1e-9))


def false_selections(n_kept: int, n_factors: int, threshold: float) -> float:
    """Bound of the expected number of falsely selected factors.

    ``q^2 / ((2 pi - 1) p)`` (theorem 1 of Meinshausen and Buhlmann), and never more than can be selected: frequencies
    sum to q at most, so that at most ``floor(q / pi)`` of them reach pi.
    """
    return min(n_kept**2 / ((2 * threshold - 1) * n_factors), float(int(n_kept / threshold + 1e-9)), float(n_factors))


def learn(problem: Problem, rules: Rules, seed: Sequence[int]) -> Learnt:
    """Select factors, weigh them and set the cut, on all patients of `problem`."""
    centre = problem.x.mean(axis=0)
    scale = np.where(np.ptp(problem.x, axis=0) > 0, problem.x.std(axis=0), np.inf)  # constant here: never selected
    z = (problem.x - centre) / scale
    rng = np.random.default_rng(seed)
    halves = complementary_halves(problem.happened, rules.n_halves, rng)
    ranks = untied(problem.time, problem.happened, rng)
    frequency = frequencies(z, Surv.from_arrays(problem.happened, ranks), halves, rules.n_kept)
    selected = frequency >= rules.threshold - 1e-9
    coefficient, cut = np.zeros(len(frequency)), np.nan
    if selected.any():
        outcome = Surv.from_arrays(problem.happened, np.maximum(problem.time, np.finfo(float).tiny))
        with np.errstate(over="ignore", divide="ignore"):  # of a baseline hazard that is not used
            model = CoxPHSurvivalAnalysis(alpha=RIDGE, ties="efron").fit(z[:, selected], outcome)
        coefficient[selected] = model.coef_
        cut = _cut(z @ coefficient, rules.high)
    return Learnt(frequency, selected, coefficient, centre, scale, cut)


def _cut(risk: np.ndarray, high: float) -> float:
    """Upper quantile of the risks; where nobody is above it, the largest of those below the highest."""
    return float(min(np.quantile(risk, 1 - high), risk[risk < risk.max()].max()))


def complementary_halves(happened: np.ndarray, n_halves: int, rng: np.random.Generator) -> list[np.ndarray]:
    """Rows of half-samples, two and two disjoint; all have half of the events and half of the others, rounded down."""
    kinds = [np.flatnonzero(happened), np.flatnonzero(~happened)]
    halves = []
    for _ in range(n_halves // 2):
        mixed = [rng.permutation(rows) for rows in kinds]
        for part in (0, 1):
            taken = [rows[part * (len(rows) // 2) : (part + 1) * (len(rows) // 2)] for rows in mixed]
            halves.append(np.sort(np.concatenate(taken)))
    return halves


def untied(time: np.ndarray, happened: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Ranks 1, 2, ... of the times; at equal times events come before censorings, and else chance decides.

    scikit-survival ends a lasso path too early where times are tied: its deviance is then negative at first. Chance,
    because the order of ids may go with a factor, such as the site.
    """
    rank = np.empty(len(time))
    rank[np.lexsort((rng.permutation(len(time)), ~happened, time))] = np.arange(1.0, len(time) + 1)
    return rank


def frequencies(z: np.ndarray, outcome: np.ndarray, halves: Sequence[np.ndarray], n_kept: int) -> np.ndarray:
    """Share of the half-samples in which each factor is among the first `n_kept` on the lasso path."""
    count = np.zeros(z.shape[1])
    for half in halves:
        count[first_to_enter(z[half], outcome[half], n_kept)] += 1
    return count / len(halves)


def first_to_enter(z: np.ndarray, outcome: np.ndarray, n_kept: int) -> np.ndarray:
    """Columns that enter the lasso path of a Cox regression first, at most `n_kept`.

    The first is that of the largest score at zero. Of those that enter at the same penalty of the grid, the larger
    coefficient comes first.
    """
    score = np.abs(score_at_zero(z, outcome["time"], outcome["event"]))
    if score.max(initial=0.0) <= _NO_SCORE * len(z):  # the events come when nobody else is left
        return np.empty(0, dtype=int)
    if n_kept == 1:
        return score.argmax(keepdims=True)
    for n_alphas, smallest in PATHS:
        model = CoxnetSurvivalAnalysis(l1_ratio=1.0, n_alphas=n_alphas, alpha_min_ratio=smallest)
        path = model.fit(z, outcome).coef_  # (factor, penalty)
        entered = (path != 0).any(axis=1)
        if entered.sum() >= n_kept:
            break
    step = np.where(entered, (path != 0).argmax(axis=1), path.shape[1] - 1)
    size = np.abs(path[np.arange(len(path)), step])
    order = np.lexsort((-size, step, ~entered))
    return order[: min(n_kept, int(entered.sum()))]


def score_at_zero(z: np.ndarray, time: np.ndarray, happened: np.ndarray) -> np.ndarray:
    """Score of a Cox regression with all coefficients 0: over the events, the excess over the mean of those at risk.

    Times are distinct.
    """
    order = np.argsort(-time)
    mean = np.cumsum(z[order], axis=0) / np.arange(1, len(z) + 1)[:, None]
    return (z[order] - mean)[happened[order]].sum(axis=0)
