"""Gaussian mixtures with one diagonal covariance for all components, many at a time.

All runs share the data ``z`` (sample, factor) and differ in the weights of the samples, so a resample is a row of
zeros and ones, and one step of all runs is two matrix products. The shared diagonal covariance has no
singularities, makes the fit indifferent to the scale of each factor (one that separates nothing gets a variance as
large as its spread, and so no say), and needs few patients.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

LLOYD_STEPS = 3
SHORT_STEPS = 6
LONG_STEPS = 60
#: Gain of log-likelihood per sample below which a run has converged.
TOLERANCE = 1e-5
#: Smallest variance within components, in squared robust standard deviations.
VARIANCE_FLOOR = 1e-2
#: Values of one array of a batch at most: 32 MB.
BATCH_VALUES = 4_000_000


class Mixtures(NamedTuple):
    """Parameters of several runs.

    Attributes
    ----------
    mean : numpy.ndarray, shape (run, subtype, factor)
        Centres, mu.
    variance : numpy.ndarray, shape (run, factor)
        Diagonal of the shared covariance, sigma^2.
    mixing : numpy.ndarray, shape (run, subtype)
        Shares, pi; they sum to 1 over the subtypes.
    """

    mean: np.ndarray
    variance: np.ndarray
    mixing: np.ndarray

    def take(self, runs: np.ndarray) -> Mixtures:
        """The same for some runs."""
        return Mixtures(*(array[runs] for array in self))


def fit(z: np.ndarray, weight: np.ndarray, uniform: np.ndarray) -> tuple[Mixtures, np.ndarray]:
    """Fit one mixture to each row of weights: several short starts, the best of them to convergence.

    Parameters
    ----------
    z : numpy.ndarray, shape (sample, factor)
        Standardised factors.
    weight : numpy.ndarray, shape (run, sample)
        Weight of each sample in each run; 0 leaves it out.
    uniform : numpy.ndarray, shape (run, start, subtype)
        Random numbers in [0, 1) that choose the starting centres.

    Returns
    -------
    Mixtures
        The fitted parameters.
    label : numpy.ndarray, shape (run, sample)
        Most probable component of every sample, also of those with weight 0.

    References
    ----------
    Biernacki, Celeux and Govaert (2003), Computational Statistics and Data Analysis 41: short runs of EM as starts.
    """
    size = max(1, BATCH_VALUES // (uniform.shape[1] * uniform.shape[2] * len(z)))
    parts = [_fit(z, weight[i : i + size], uniform[i : i + size]) for i in range(0, len(weight), size)]
    fitted = Mixtures(*(np.concatenate(arrays) for arrays in zip(*(part[0] for part in parts), strict=True)))
    return fitted, np.concatenate([part[1] for part in parts])


def _fit(z: np.ndarray, weight: np.ndarray, uniform: np.ndarray) -> tuple[Mixtures, np.ndarray]:
    n_runs, n_starts, n_subtypes = uniform.shape
    every = np.repeat(weight, n_starts, axis=0)  # (run*start, sample)
    centres = _seed(z, every, uniform.reshape(-1, n_subtypes))
    current = maximise(z, every, _lloyd(z, every, centres))
    current, likelihood = _em(z, every, current, SHORT_STEPS)
    best = likelihood.reshape(n_runs, n_starts).argmax(axis=1) + n_starts * np.arange(n_runs)
    current, _ = _em(z, weight, current.take(best), LONG_STEPS)
    return current, expect(z, weight, current)[0].argmax(axis=1)


def _em(z: np.ndarray, weight: np.ndarray, current: Mixtures, steps: int) -> tuple[Mixtures, np.ndarray]:
    before = np.full(len(weight), -np.inf)
    enough = TOLERANCE * weight.sum(axis=1)
    for _ in range(steps):
        share, likelihood = expect(z, weight, current)
        if np.all(likelihood - before < enough):
            break
        current, before = maximise(z, weight, share), likelihood
    return current, likelihood


def expect(z: np.ndarray, weight: np.ndarray, current: Mixtures) -> tuple[np.ndarray, np.ndarray]:
    r"""Probabilities of the components and log-likelihood of each run.

    .. math:: r_{ik} \propto \pi_k \exp\Bigl(\sum_f z_{if} \mu_{kf} / \sigma_f^2 - \mu_{kf}^2 / 2\sigma_f^2\Bigr)

    Returns
    -------
    share : numpy.ndarray, shape (run, subtype, sample)
        Probability of each component; sums to 1 over the subtypes.
    likelihood : numpy.ndarray, shape (run,)
        Weighted log-likelihood, without the constant in 2 pi.
    """
    n_runs, n_subtypes, n_factors = current.mean.shape
    slope = current.mean / current.variance[:, None]  # (run, subtype, factor)
    level = np.log(current.mixing) - 0.5 * (slope * current.mean).sum(axis=2)  # (run, subtype)
    share = (slope.reshape(-1, n_factors) @ z.T).reshape(n_runs, n_subtypes, -1) + level[..., None]
    top = share.max(axis=1)  # (run, sample)
    share -= top[:, None]
    np.exp(share, out=share)
    total = share.sum(axis=1)
    share /= total[:, None]
    spread = (weight @ z**2) / current.variance + weight.sum(axis=1)[:, None] * np.log(current.variance)
    return share, (weight * (np.log(total) + top)).sum(axis=1) - 0.5 * spread.sum(axis=1)


def maximise(z: np.ndarray, weight: np.ndarray, share: np.ndarray) -> Mixtures:
    r"""Parameters from the probabilities of the components.

    .. math:: \sigma_f^2 = \sum_i w_i z_{if}^2 / \sum_i w_i - \sum_k \pi_k \mu_{kf}^2
    """
    n_runs, n_subtypes, n_samples = share.shape
    weighted = share * weight[:, None]
    count = weighted.sum(axis=2) + 1e-9  # an empty component keeps a tiny share, and so a logarithm
    mean = (weighted.reshape(-1, n_samples) @ z).reshape(n_runs, n_subtypes, -1) / count[..., None]
    mixing = count / count.sum(axis=1, keepdims=True)
    square = (weight @ z**2) / weight.sum(axis=1, keepdims=True)  # (run, factor)
    variance = square - (mixing[..., None] * mean**2).sum(axis=1)
    return Mixtures(mean, np.maximum(variance, VARIANCE_FLOOR), mixing)


def _seed(z: np.ndarray, weight: np.ndarray, uniform: np.ndarray) -> np.ndarray:
    """Starting centres, (run, subtype, factor), drawn far from each other as in k-means++."""
    square = (z**2).sum(axis=1)
    nearest = np.ones_like(weight)
    centres: list[np.ndarray] = []
    for draw in uniform.T:
        cumulated = np.cumsum(weight * nearest, axis=1)
        chosen = (cumulated > (draw * cumulated[:, -1])[:, None]).argmax(axis=1)
        distance = np.maximum(square + square[chosen, None] - 2 * z[chosen] @ z.T, 0)
        nearest = np.minimum(nearest, distance) if centres else distance
        centres.append(z[chosen])
    return np.stack(centres, axis=1)


def _lloyd(z: np.ndarray, weight: np.ndarray, centres: np.ndarray) -> np.ndarray:
    """A few steps of k-means; returns the hard assignment, (run, subtype, sample)."""
    n_runs, n_subtypes, n_factors = centres.shape
    for step in range(LLOYD_STEPS):
        score = (centres.reshape(-1, n_factors) @ z.T).reshape(n_runs, n_subtypes, -1)
        score -= 0.5 * (centres**2).sum(axis=2)[..., None]
        hard = (np.arange(n_subtypes)[:, None] == score.argmax(axis=1)[:, None]).astype(float)
        if step < LLOYD_STEPS - 1:
            centres = maximise(z, weight, hard).mean
    return hard
