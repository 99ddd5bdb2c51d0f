"""The posterior where views are binary or counts: pseudo-data and factors in turn, weights held fixed.

Such views are narrow: the values of up to 1,024 patients are in memory at a time.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from omics import blocks
from omics.factors.likelihoods import PSEUDO, Pseudo
from omics.factors.patientwise import Posterior, Sums, packed, pairs_of, product, solve, times, unpacked
from omics.factors.projected import Projected, chosen, double, refuse_impossible, spread
from omics.factors.state import Weights

#: Entries of all views that are worked on at a time.
_ENTRIES = 2**18
_TOLERANCE = 1e-10
_MAX_ITER = 1000


class _Known(NamedTuple):
    """Tables of a binary or count view."""

    weights: Weights
    pairs: np.ndarray  # E[w_k w_l], shape (feature, pair)
    products: np.ndarray  # E[w_k] E[w_l]


def iterated(views: Sequence[Projected], groups: np.ndarray, sums: Sums, compat: bool) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation of the factors, shape (patient, factor).

    Parameters
    ----------
    views : sequence of Projected
        Binary and count views.
    groups : numpy.ndarray, shape (patient,)
        Group of each patient.
    sums : Sums
        What the Gaussian views told.
    compat : bool
        Bounds of mofapy2.
    """
    features = [np.flatnonzero(view.columns >= 0) for view in views]
    known = [_known(chosen(view.weights, some)) for view, some in zip(views, features, strict=True)]
    size = max(1, min(64, _ENTRIES // max(1, sum(some.size for some in features))))
    found = [(np.zeros((0, sums.linear.shape[1])),) * 2]
    for patients in blocks.slices(groups.size, blocks.BLOCK_SAMPLES):
        values = [_loaded(view, some, patients) for view, some in zip(views, features, strict=True)]
        items = [
            (Sums(*(told[patients][part] for told in sums)), groups[patients][part], [y[part] for y in values])
            for part in blocks.slices(patients.stop - patients.start, size)
        ]
        found += spread(_settle, items, False, known, compat)
    means, sds = zip(*found, strict=True)
    return np.concatenate(means), np.concatenate(sds)


def _known(weights: Weights) -> _Known:
    exact = double(weights)
    return _Known(exact, pairs_of(exact.mean, exact.square), pairs_of(exact.mean))


def _loaded(view: Projected, features: np.ndarray, patients: slice) -> np.ndarray:
    """Values (patient, feature) of some patients, NaN where they lack the view."""
    own = np.flatnonzero((view.rows >= patients.start) & (view.rows < patients.stop))
    values = np.full((patients.stop - patients.start, features.size), np.nan)
    if own.size and features.size:
        order = np.argsort(view.columns[features])  # a store is read forwards
        read = np.asarray(view.values[own][:, view.columns[features][order]])
        refuse_impossible(read, view.weights.likelihood, view.name)
        values[np.ix_(view.rows[own] - patients.start, order)] = read
    return values


def _settle(
    item: tuple[Sums, np.ndarray, list[np.ndarray]], known: list[_Known], compat: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Alternate pseudo-data and posterior from the prior on; a patient who has converged is left alone."""
    sums, groups, values = item
    n_patients, n_factors = sums.linear.shape
    mean, covariance = np.zeros((n_patients, n_factors)), np.tile(np.eye(n_factors), (n_patients, 1, 1))
    active = np.arange(n_patients)
    for _ in range(_MAX_ITER):
        now = Posterior(mean[active], covariance[active])
        own = Sums(sums.precision[active], sums.linear[active])
        new = _improved(now, own, groups[active], [y[active] for y in values], known, compat)
        change = np.abs(new.mean - now.mean).max(axis=1) + np.abs(new.covariance - now.covariance).max(axis=(1, 2))
        mean[active], covariance[active] = new
        active = active[change > _TOLERANCE]
        if active.size == 0:
            break
    return mean, np.sqrt(np.diagonal(covariance, axis1=1, axis2=2))


def _improved(
    now: Posterior,
    sums: Sums,
    groups: np.ndarray,
    values: list[np.ndarray],
    known: list[_Known],
    compat: bool,
) -> Posterior:
    """One iteration: the covariance from the present pseudo-data, and a damped step of Newton's for the mean.

    The plain step, to the posterior mean given the pseudo-data, has the same fixed point but needs thousands of
    iterations where counts are large. No third derivative of a bound is larger than the second, so that a step which
    moves no linear predictor by more than ``ln(1 + d)``, where the whole would move one by d, leads upwards (Sun and
    Tran-Dinh 2019, Mathematical Programming 178:145-213).
    """
    n_factors = sums.linear.shape[1]
    steeper = np.zeros_like(sums.precision)  # what the curvature has less than the precision
    for y, view in zip(values, known, strict=True):
        pseudo = _pseudo(y, now, view, groups, compat)
        sums.precision[...] += product(pseudo.precision, view.pairs)
        sums.linear[...] += product(pseudo.precision * pseudo.values, view.weights.mean)
        steeper += product(pseudo.precision - pseudo.curvature, view.products)
    covariance = solve(sums).covariance
    gradient = sums.linear - now.mean - times(unpacked(sums.precision, n_factors), now.mean)
    step = solve(Sums(sums.precision - steeper, gradient)).mean
    return Posterior(now.mean + step * _damping(step, values, known)[:, None], covariance)


def _pseudo(y: np.ndarray, now: Posterior, view: _Known, groups: np.ndarray, compat: bool) -> Pseudo:
    """Pseudo-data given the present posterior; 0, with precision 0, where there is no entry."""
    weights = view.weights
    moments = packed(now.covariance + now.mean[:, :, None] * now.mean[:, None, :])  # E[z z']
    first, second = np.triu_indices(now.mean.shape[1])
    square = product(np.where(first == second, 1.0, 2.0) * moments, view.pairs.T)
    mean = product(now.mean, weights.mean.T)
    function = PSEUDO[weights.likelihood, compat]
    pseudo = function(y, mean, square, weights.intercept[groups], weights.precision[groups])
    missing = np.isnan(pseudo.values)
    return Pseudo(*(np.where(missing, 0.0, part) for part in pseudo))


def _damping(step: np.ndarray, values: list[np.ndarray], known: list[_Known]) -> np.ndarray:
    """``ln(1 + d) / d`` for each patient, d the largest change of a linear predictor of what was observed."""
    largest = np.full(len(step), 1e-300)
    for y, view in zip(values, known, strict=True):
        change = np.where(np.isnan(y), 0.0, np.abs(product(step, view.weights.mean.T)))
        largest = np.maximum(largest, change.max(axis=1, initial=0.0))
    return np.log1p(largest) / largest
