"""Updates of what all features or samples share, and the evidence lower bound term by term: arrays in, arrays out.

K counts the factors of all fits that share a pass, one after the other; G groups, N samples. Symbols are those of
MOFA: z factors, w weights, S the probability that a weight (or factor) is not a spike at zero.

References
----------
Argelaguet et al. (2018), Molecular Systems Biology 14:e8124, appendix; Argelaguet et al. (2020), Genome Biology 21:111.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from scipy.special import betaln, digamma, gammaln

from omics.factors.block import Moments, Prior, Sums, pair_of, up, widest
from omics.factors.gaussian import NOISE_RATE, NOISE_SHAPE
from omics.factors.kernels import Data, coordinate, rows_of_moments, spans_of

#: Prior of alpha, Gamma(shape, rate); of theta, Beta(1, 1).
_ALPHA_PRIOR = 1e-14
_LOG_2PI, _EULER = float(np.log(2 * np.pi)), float(np.euler_gamma)


class Gamma(NamedTuple):
    """Posterior of precisions, shape (view or group, K).

    Attributes
    ----------
    shape, rate : numpy.ndarray
        a and b.
    """

    shape: np.ndarray
    rate: np.ndarray

    @property
    def mean(self) -> np.ndarray:
        """``E[alpha] = a / b``."""
        return self.shape / self.rate

    @property
    def log_mean(self) -> np.ndarray:
        """``E[ln alpha] = digamma(a) - ln b``."""
        return digamma(self.shape) - np.log(self.rate)


class Beta(NamedTuple):
    """Posterior of the share that is not a spike, shape (view or group, K).

    Attributes
    ----------
    a, b : numpy.ndarray
        ``theta ~ Beta(a, b)``.
    """

    a: np.ndarray
    b: np.ndarray

    @property
    def log_mean(self) -> np.ndarray:
        """``E[ln theta]``."""
        return digamma(self.a) - digamma(self.a + self.b)

    @property
    def log_rest(self) -> np.ndarray:
        """``E[ln(1 - theta)]``."""
        return digamma(self.b) - digamma(self.a + self.b)


class Shrinkage(NamedTuple):
    """Hyperparameters of one side of the model: of the weights by view, or of the factors by group.

    Attributes
    ----------
    alpha : Gamma
        Precisions; 1 for ever without `ard`.
    theta : Beta
        Shares that are not spikes.
    ard, spike : bool
        Which of the two are learnt.
    """

    alpha: Gamma
    theta: Beta
    ard: bool
    spike: bool

    def prior(self, row: int, *, entropy: bool) -> Prior:
        """What the coordinate updates of one view's weights (one group's factors) need."""
        alpha = self.alpha.mean[row] if self.ard else np.ones_like(self.alpha.rate[row])
        alpha = np.ascontiguousarray(alpha)  # for another layout all would be compiled again
        return Prior(alpha, self.theta.log_mean[row] - self.theta.log_rest[row], self.spike, entropy)


class Factors(NamedTuple):
    """Posterior of the factors.

    Attributes
    ----------
    mean, square : numpy.ndarray, shape (K, N)
        E[z], E[z^2].
    sums : numpy.ndarray, shape (G, K, 4)
        By group, over samples: the columns of :mod:`omics.factors.kernels`.
    alpha : numpy.ndarray, shape (G, K)
        E[alpha] with which they were updated.
    """

    mean: np.ndarray
    square: np.ndarray
    sums: np.ndarray
    alpha: np.ndarray


def new_shrinkage(rows: int, n_factors: int, *, ard: bool, spike: bool) -> Shrinkage:
    """Where every fit starts: Gamma(1, 1) and Beta(1, 1)."""
    ones = np.ones((rows, n_factors))
    return Shrinkage(Gamma(ones, ones), Beta(ones, ones), ard, spike)


def taken_side(side: Shrinkage, factors: np.ndarray) -> Shrinkage:
    """The same of some factors alone."""
    alpha, theta = ([array[:, factors] for array in q] for q in (side.alpha, side.theta))
    return side._replace(alpha=Gamma(*alpha), theta=Beta(*theta))


def updated_alpha(side: Shrinkage, second: np.ndarray, n_items: np.ndarray) -> Shrinkage:
    """``a = a0 + n/2``, ``b = b0 + sum E[v^2] / 2``; `second` has shape (row, K), `n_items` (row,)."""
    if not side.ard:
        return side
    shape = np.broadcast_to(_ALPHA_PRIOR + n_items[:, None] / 2, second.shape)
    return side._replace(alpha=Gamma(shape, _ALPHA_PRIOR + second / 2))


def updated_theta(side: Shrinkage, switched: np.ndarray, n_items: np.ndarray) -> Shrinkage:
    """``a = 1 + sum S``, ``b = 1 + n - sum S``; `switched` has shape (row, K), `n_items` (row,)."""
    if not side.spike:
        return side
    return side._replace(theta=Beta(1.0 + switched, 1.0 + n_items[:, None] - switched))


# --- factors --------------------------------------------------------------------------------------------------------


class Told(NamedTuple):
    """What one view's blocks tell the factors, and of which samples.

    Attributes
    ----------
    sums : Sums
        Added up over all blocks.
    samples : numpy.ndarray
        Positions of the view's samples in the fit.
    omega : float
        Weight of the view.
    """

    sums: Sums
    samples: np.ndarray
    omega: float


def data_of(told: list[Told], fits: np.ndarray, groups: np.ndarray) -> Data:
    """Add up the views: shared matrices by view and group, and what is taken off for single samples."""
    n_factors, n_samples = told[0].sums.linear.shape[0], groups.size
    n_groups = told[0].sums.quad.shape[0]
    linear, quad = np.zeros((n_factors, n_samples)), np.zeros((n_factors, n_samples))
    share = np.zeros((len(told) * n_groups, n_samples))
    some = any(view.sums.local.size for view in told)
    rows = np.zeros((n_samples if some else 0, told[0].sums.local.shape[1]))
    for v, (sums, samples, omega) in enumerate(told):
        own = groups[samples]
        linear[:, samples] += omega * sums.linear
        quad[:, samples] += omega * sums.quad[own].T
        share[v * n_groups + own, samples] = omega
        if sums.local.size:
            where = slice(None) if samples.size == n_samples else samples
            rows[where] += sums.local if omega == 1.0 else omega * sums.local
    local = np.ascontiguousarray(rows.T) if some else np.zeros((0, n_samples))
    for (first, last), start in zip(pairwise(fits), spans_of(fits), strict=False):
        if some:
            quad[first:last] -= local[start + pair_of(last - first, np.arange(last - first))]
    return Data(linear, quad, share, np.concatenate([view.sums.gram for view in told]), local)


def updated_factors(
    factors: Factors, data: Data, side: Shrinkage, fits: np.ndarray, groups: np.ndarray, sweeps: int = 1
) -> Factors:
    """Update z factor by factor, ``precision = quad + alpha``; each group has a prior of its own."""
    n_factors = fits[-1]
    rows = n_factors + widest(fits)  # the last fit's matrices may be wider than the fit
    mean, square = np.zeros((rows, groups.size)), np.zeros((rows, groups.size))
    sums, alpha = np.zeros_like(factors.sums), np.ones_like(factors.alpha)
    bounds = np.searchsorted(groups, np.arange(sums.shape[0] + 1))
    for g, (start, stop) in enumerate(pairwise(bounds)):
        part = _slice(data, start, stop) if sums.shape[0] > 1 else data
        own_mean = np.zeros((rows, stop - start))
        own_mean[:n_factors] = factors.mean[:, start:stop]
        own_square = np.zeros_like(own_mean)
        prior = side.prior(g, entropy=True)
        alpha[g] = prior.alpha
        for _ in range(sweeps):
            sums[g] = 0.0
            for (first, last), span in zip(pairwise(fits), pairwise(spans_of(fits)), strict=True):
                own = part._replace(local=part.local[slice(*span)])
                coordinate(first, last, stop - start, own, prior, own_mean, own_square, sums[g])
        mean[:, start:stop], square[:, start:stop] = own_mean, own_square
    return Factors(mean[:n_factors], square[:n_factors], sums, alpha)


def _slice(data: Data, start: int, stop: int) -> Data:
    arrays = (data.linear, data.quad, data.share, data.local)
    linear, quad, share, local = (np.ascontiguousarray(array[:, start:stop]) for array in arrays)
    return Data(linear, quad, share, data.gram, local)


def moments_of(
    factors: Factors, samples: np.ndarray, bounds: np.ndarray, fits: np.ndarray, like: MomentsLike
) -> Moments:
    """The factors as one view sees them."""
    everybody = samples.size == factors.mean.shape[1]
    mean, square = (a if everybody else a[:, samples] for a in (factors.mean, factors.square))
    n_factors, n_samples = mean.shape
    scores = np.zeros((up(n_factors, 4), like.columns), like.dtype)
    scores[:n_factors, :n_samples] = mean
    gram = np.zeros((bounds.size - 1, n_factors, widest(fits)))
    quad = np.empty((bounds.size - 1, n_factors))
    for g, (start, stop) in enumerate(pairwise(bounds)):
        quad[g] = square[:, start:stop].sum(axis=1)
        for first, last in pairwise(fits):
            part = mean[first:last, start:stop]
            gram[g, first:last, : last - first] = part @ part.T
    nothing = np.zeros((0, n_factors))
    return Moments(
        scores,
        mean if like.pointwise else nothing,
        square if like.pointwise else nothing,
        rows_of_moments(fits, mean, square, scores.dtype.type(0)) if like.incomplete else scores[:0],
        gram,
        quad,
        like.inverse,
    )


class MomentsLike(NamedTuple):
    """Which moments a view needs.

    Attributes
    ----------
    columns : int
        Columns of its blocks, padding included.
    dtype : str
        Of its values.
    pointwise, incomplete : bool
        Whether it is a binary or count view; whether entries are missing.
    inverse : numpy.ndarray, shape (group,)
        What its values are multiplied by.
    """

    columns: int
    dtype: str
    pointwise: bool
    incomplete: bool
    inverse: np.ndarray


# --- evidence lower bound -------------------------------------------------------------------------------------------


def side_terms(
    side: Shrinkage, sums: np.ndarray, n_items: np.ndarray, fits: np.ndarray, *, compat: bool, omega: np.ndarray
) -> Mapping[str, np.ndarray]:
    """Terms of one side, by fit: its variables (``of``), alpha and theta (nan where there is none).

    Parameters
    ----------
    side : Shrinkage
        Of the weights by view, or of the factors by group.
    sums : numpy.ndarray, shape (row, K, 5)
        Columns of :mod:`omics.factors.kernels`, then ``sum (1 - S) ln v0``, where v0 is the variance that the spike's
        own part had when it was updated; mofapy2 takes 1 / E[alpha] as it is now, with `compat`.
    n_items : numpy.ndarray, shape (row,)
        Features of each view, or samples of each group.
    omega : numpy.ndarray, shape (row,)
        Weight of each view in the bound.
    """
    n, (s, second, log_variance, entropy, spike_log) = n_items[:, None], np.moveaxis(sums, 2, 0)
    alpha = side.alpha.mean if side.ard else np.ones_like(second)
    log_alpha = side.alpha.log_mean if side.ard else np.zeros_like(second)
    own = 0.5 * (n * log_alpha - alpha * second + n + log_variance)
    if side.spike:
        own += 0.5 * (-(n - s) * np.log(alpha) if compat else spike_log)
        own += s * side.theta.log_mean + (n - s) * side.theta.log_rest + entropy
    weight = omega[:, None]
    terms = {"of": _by_fit(weight * own, fits)}
    if side.ard:
        terms["alpha"] = _by_fit(weight * _gamma_term(side.alpha), fits)
    if side.spike:
        terms["theta"] = _by_fit(weight * _beta_term(side.theta), fits)
    return terms


def _by_fit(values: np.ndarray, fits: np.ndarray) -> np.ndarray:
    return np.add.reduceat(values.sum(axis=0), fits[:-1])


def _gamma_term(q: Gamma) -> np.ndarray:
    a0 = b0 = _ALPHA_PRIOR
    expected, log = q.mean, q.log_mean
    prior = a0 * np.log(b0) - gammaln(a0) + (a0 - 1) * log - b0 * expected
    return prior - (q.shape * np.log(q.rate) - gammaln(q.shape) + (q.shape - 1) * log - q.rate * expected)


def _beta_term(q: Beta) -> np.ndarray:
    return betaln(q.a, q.b) - (q.a - 1) * q.log_mean - (q.b - 1) * q.log_rest


def likelihood_now(told: Told, factors: Factors, moments: Moments, fits: np.ndarray) -> np.ndarray:
    """``-sum tau E[(y - z'w)^2] / 2`` plus the constants of a view, by fit, of the very state that is held.

    Everything that left the blocks is quadratic in z, so the bound after the factors were updated needs no reading.
    """
    sums, samples, _ = told
    mean, square = factors.mean[:, samples], factors.square[:, samples]
    by_factor = -2.0 * (mean * sums.linear).sum(axis=1)
    own = (np.arange(fits[-1]) - np.repeat(fits[:-1], np.diff(fits)))[:, None]  # column of a factor itself
    for g in range(sums.quad.shape[0]):
        theirs, ours = (np.take_along_axis(matrices[g], own, axis=1)[:, 0] for matrices in (moments.gram, sums.gram))
        by_factor += (moments.gram[g] * sums.gram[g]).sum(axis=1) + moments.quad[g] * sums.quad[g] - theirs * ours
    if sums.local.size:
        for (first, last), start in zip(pairwise(fits), spans_of(fits), strict=False):
            i, m = np.tril_indices(last - first, -1)
            z, local = mean[first:last].T, sums.local[:, start:]
            twice = 2.0 * (z[:, i] * z[:, m] * local[:, pair_of(i, m)]).sum(axis=0)
            by_factor[first:last] -= np.bincount(i, twice, last - first)
            seconds = pair_of(last - first, np.arange(last - first))
            by_factor[first:last] -= (square[first:last].T * local[:, seconds]).sum(axis=0)
    return sums.data[:, 0] - 0.5 * (sums.data[:, 3] + np.add.reduceat(by_factor, fits[:-1]))


def start_terms(side: Shrinkage, n_items: np.ndarray, n_factors: int) -> np.ndarray:
    """What a side and its alpha have in the bound before the first iteration, by row, beside its second moments."""
    learnt = float(_gamma_term(Gamma(np.ones(1), np.ones(1)))[0]) - 0.5 * _EULER * n_items
    return n_factors * (side.ard * learnt - side.spike * n_items)


def start_noise(n_observed: float, n_taus: int) -> float:
    """The same of Gaussian data and their noise, with ``E[tau] = 1``."""
    prior = NOISE_SHAPE * np.log(NOISE_RATE) - gammaln(NOISE_SHAPE) - (NOISE_SHAPE - 1) * _EULER - NOISE_RATE
    return float(gaussian_constant(n_observed) - 0.5 * _EULER * n_observed + n_taus * (prior + 1.0))


def gaussian_constant(n_observed: float) -> float:
    """``-n ln(2 pi) / 2``."""
    return -0.5 * n_observed * _LOG_2PI
