"""The posterior of the factors of patients whom the fit has not seen, with the weights held fixed.

With ``q(w)`` fixed, the prior ``z ~ N(0, I)`` and Gaussian (pseudo-)data, the posterior of one patient is exactly

    precision = I + sum_m sum_d tau_d (E[w_d] E[w_d]' + diag(E[w_d^2] - E[w_d]^2))
    mean      = precision^-1 sum_m sum_d tau_d E[w_d] (y_d - shift_d)

over the entries that were observed: a missing entry, or a whole view, drops out of both sums and the standard
deviation grows. Binary and count views are iterated with their pseudo-data, the shift frozen at the training value.

Every product below is done patient by patient with shapes that do not depend on the company (NumPy's stacked
``matmul`` and ``inv`` call BLAS and LAPACK once an item), so one patient alone gets bitwise the same answer.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from omics.factors.likelihoods import PSEUDO
from omics.factors.state import Weights

#: Patients whose pseudo-data are in memory at once.
_BLOCK = 64
_TOLERANCE = 1e-10
_MAX_ITER = 1000


def posterior(views: Sequence[tuple[np.ndarray, Weights]]) -> tuple[np.ndarray, np.ndarray]:
    """Posterior mean and standard deviation of the factors.

    Parameters
    ----------
    views : sequence of (numpy.ndarray of shape (sample, feature), Weights)
        Values in the units of the fit, NaN where missing, and the weights of the view.

    Returns
    -------
    mean, sd : numpy.ndarray, shape (sample, factor)
    """
    n_samples = views[0][0].shape[0]
    blocks = [slice(start, start + _BLOCK) for start in range(0, n_samples, _BLOCK)]
    parts = [_posterior_of_block([(values[block], weights) for values, weights in views]) for block in blocks]
    means, covariances = zip(*parts, strict=True)
    variances = np.diagonal(np.concatenate(covariances), axis1=1, axis2=2)
    return np.concatenate(means), np.sqrt(variances)


def _posterior_of_block(views: Sequence[tuple[np.ndarray, Weights]]) -> tuple[np.ndarray, np.ndarray]:
    n_samples, n_factors = views[0][0].shape[0], views[0][1].mean.shape[1]
    precision = np.tile(np.eye(n_factors), (n_samples, 1, 1))
    linear = np.zeros((n_samples, n_factors))
    local = []  # views whose precision or data depend on the factors themselves
    for values, weights in views:
        if weights.likelihood == "gaussian":
            precision += _gaussian_precision(np.isnan(values), weights)
            linear += _stacked(np.nan_to_num(values - weights.shift), weights.mean * weights.precision[:, None])
        else:
            local.append((values, weights))
    mean, covariance = _solve(precision, linear)
    return _iterate(local, precision, linear) if local else (mean, covariance)


def _solve(precision: np.ndarray, linear: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    covariance = np.linalg.inv(precision)
    return np.matmul(covariance, linear[:, :, None])[:, :, 0], covariance


def _stacked(rows: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """``rows @ matrix``, one product a row: a product of all rows would round by the number of rows."""
    return np.matmul(rows[:, None, :], matrix)[:, 0, :]


def _gaussian_precision(missing: np.ndarray, weights: Weights) -> np.ndarray:
    """Precision that a Gaussian view adds, shape (sample, factor, factor); once for each pattern of missing entries."""
    whole = _gram(weights, np.arange(missing.shape[1]))
    known: dict[bytes, np.ndarray] = {}
    grams = []
    for row in missing:
        pattern = np.packbits(row).tobytes()
        if pattern not in known:
            few = 2 * row.sum() <= row.size  # go over the fewer entries
            known[pattern] = (
                whole - _gram(weights, np.flatnonzero(row)) if few else _gram(weights, np.flatnonzero(~row))
            )
        grams.append(known[pattern])
    return np.stack(grams)


def _gram(weights: Weights, features: np.ndarray) -> np.ndarray:
    """``sum_d tau_d (E[w_d] E[w_d]' + diag(E[w_d^2] - E[w_d]^2))`` over some features."""
    mean, tau = weights.mean[features], weights.precision[features]
    return (mean * tau[:, None]).T @ mean + np.diag(tau @ (weights.square[features] - mean**2))


def _iterate(
    views: Sequence[tuple[np.ndarray, Weights]], precision: np.ndarray, linear: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Alternate pseudo-data and posterior from the prior on; a patient who has converged is left alone."""
    n_samples, n_factors = linear.shape
    mean, covariance = np.zeros((n_samples, n_factors)), np.tile(np.eye(n_factors), (n_samples, 1, 1))
    active = np.arange(n_samples)
    for _ in range(_MAX_ITER):
        extra_precision, extra_linear = precision[active].copy(), linear[active].copy()
        for values, weights in views:
            _add_pseudo(values[active], weights, mean[active], covariance[active], extra_precision, extra_linear)
        new, covariance[active] = _solve(extra_precision, extra_linear)
        change = np.abs(new - mean[active]).max(axis=1)
        mean[active] = new
        active = active[change > _TOLERANCE]
        if active.size == 0:
            break
    return mean, covariance


def _add_pseudo(
    values: np.ndarray,
    weights: Weights,
    mean: np.ndarray,
    covariance: np.ndarray,
    precision: np.ndarray,
    linear: np.ndarray,
) -> None:
    """Add what a binary or count view tells, given the current posterior, to `precision` and `linear` in place."""
    loading, spread = weights.mean, weights.square - weights.mean**2
    second = covariance + mean[:, :, None] * mean[:, None, :]  # E[z z'] (sample, factor, factor)
    own = np.ascontiguousarray(np.diagonal(second, axis1=1, axis2=2))  # E[z_k^2]
    square = np.sum(np.matmul(loading, second) * loading, axis=2) + _stacked(own, spread.T)
    pseudo, tau = PSEUDO[weights.likelihood](values, _stacked(mean, loading.T), square, weights)
    missing = np.isnan(values)
    tau, pseudo = np.where(missing, 0.0, tau), np.where(missing, 0.0, pseudo)
    precision += np.matmul(loading.T * tau[:, None, :], loading)
    diagonal = np.arange(linear.shape[1])
    precision[:, diagonal, diagonal] += _stacked(tau, spread)
    linear += _stacked(tau * pseudo, loading)
