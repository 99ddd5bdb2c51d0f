"""Gaussian mixtures with one covariance for all components, many at a time.

All runs share the data ``z`` (sample, factor) and differ in the weights of the samples, so a resample is a row of
zeros and ones, and one step of all runs is a few matrix products. The shared covariance has no singularities and makes
the fit indifferent to the scale of each factor: one that separates nothing gets a variance as large as its spread,
and so no say. It is a full matrix: factors that are uncorrelated over all patients are correlated within subtypes
wherever these differ in both, and a model without these correlations would easily cut such an elongated subtype in
two, in every resample the same. As subtypes differ in their correlations, half of each is kept.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

CANDIDATES = 3
LLOYD_STEPS = 3
SHORT_STEPS = 10
LONG_STEPS = 40
#: Gain of log-likelihood per sample below which a run has converged.
TOLERANCE = 1e-5
#: Smallest variance within components, in squared robust standard deviations.
VARIANCE_FLOOR = 1e-2
#: Share of the correlations within components that is kept: subtypes do not all have the same ones.
KEPT = 0.5
#: Values of one array of a batch at most: 8 MB.
BATCH_VALUES = 1_000_000


class Mixtures(NamedTuple):
    """Parameters of several runs.

    Attributes
    ----------
    mean : numpy.ndarray, shape (run, subtype, factor)
        Centres, mu.
    covariance : numpy.ndarray, shape (run, factor, factor)
        What all components share, Sigma.
    mixing : numpy.ndarray, shape (run, subtype)
        Shares, pi; they sum to 1 over the subtypes.
    """

    mean: np.ndarray
    covariance: np.ndarray
    mixing: np.ndarray

    def take(self, runs: np.ndarray) -> Mixtures:
        """The same for some runs."""
        return Mixtures(*(array[runs] for array in self))


class Runs(NamedTuple):
    """Data that all runs share, their weights, and what follows from both.

    Attributes
    ----------
    z : numpy.ndarray, shape (sample, factor)
        Standardised factors.
    weight : numpy.ndarray, shape (run, sample)
        Weight of each sample in each run; 0 leaves it out.
    product : numpy.ndarray, shape (run, factor, factor)
        ``sum_i w_i z_if z_ig``.
    """

    z: np.ndarray
    weight: np.ndarray
    product: np.ndarray

    @classmethod
    def of(cls, z: np.ndarray, weight: np.ndarray) -> Runs:
        """Runs of the given weights."""
        n_samples, n_factors = z.shape
        product = weight @ (z[:, :, None] * z[:, None]).reshape(n_samples, -1)
        return cls(z, weight, product.reshape(-1, n_factors, n_factors))

    def repeat(self, times: int) -> Runs:
        """Each run several times in a row."""
        return Runs(self.z, np.repeat(self.weight, times, axis=0), np.repeat(self.product, times, axis=0))


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
        Most probable component of each sample; without meaning where its weight is 0.

    References
    ----------
    Biernacki, Celeux and Govaert (2003), Computational Statistics and Data Analysis 41: short runs of EM as starts.
    """
    size = max(1, BATCH_VALUES // (uniform.shape[1] * uniform.shape[2] * len(z)))
    parts = [_fit(Runs.of(z, weight[i : i + size]), uniform[i : i + size]) for i in range(0, len(weight), size)]
    fitted = Mixtures(*(np.concatenate(arrays) for arrays in zip(*(part[0] for part in parts), strict=True)))
    return fitted, np.concatenate([part[1] for part in parts])


def _fit(runs: Runs, uniform: np.ndarray) -> tuple[Mixtures, np.ndarray]:
    n_runs, n_starts, n_subtypes = uniform.shape
    every = runs.repeat(n_starts)
    centres = _seed(runs.z, every.weight, uniform.reshape(-1, n_subtypes))
    current, likelihood = _em(every, _lloyd(every, centres), SHORT_STEPS)
    best = likelihood.reshape(n_runs, n_starts).argmax(axis=1) + n_starts * np.arange(n_runs)
    current, _ = _em(runs, current.take(best), LONG_STEPS)
    return current, expect(runs, current)[0].argmax(axis=1)


def _em(runs: Runs, current: Mixtures, steps: int) -> tuple[Mixtures, np.ndarray]:
    before = np.full(len(runs.weight), -np.inf)
    enough = TOLERANCE * runs.weight.sum(axis=1)
    for _ in range(steps):
        share, likelihood = expect(runs, current)
        if np.all(likelihood - before < enough):
            break
        current, before = maximise(runs, share), likelihood
    return current, likelihood


def expect(runs: Runs, current: Mixtures) -> tuple[np.ndarray, np.ndarray]:
    r"""Weighted probabilities of the components, and log-likelihood of each run.

    .. math:: r_{ik} \propto \pi_k \exp\bigl(z_i^T \Sigma^{-1} \mu_k - \tfrac12 \mu_k^T \Sigma^{-1} \mu_k\bigr)

    Returns
    -------
    share : numpy.ndarray, shape (run, subtype, sample)
        ``w_i r_ik``; sums to the weight over the subtypes.
    likelihood : numpy.ndarray, shape (run,)
        Weighted log-likelihood, without the constant in 2 pi.
    """
    n_runs, n_subtypes, n_factors = current.mean.shape
    precision = np.linalg.inv(current.covariance)  # halved correlations keep it far from singular
    slope = current.mean @ precision  # (run, subtype, factor)
    level = np.log(current.mixing) - 0.5 * (slope * current.mean).sum(axis=2)  # (run, subtype)
    share = (slope.reshape(-1, n_factors) @ runs.z.T).reshape(n_runs, n_subtypes, -1)
    share += level[..., None]
    top = share.max(axis=1)  # (run, sample)
    share -= top[:, None]
    np.exp(share, out=share)
    total = share.sum(axis=1)
    share *= (runs.weight / total)[:, None]
    spread = (runs.product * precision).sum(axis=(1, 2))
    spread += runs.weight.sum(axis=1) * np.linalg.slogdet(current.covariance)[1]
    return share, (runs.weight * (np.log(total) + top)).sum(axis=1) - 0.5 * spread


def maximise(runs: Runs, share: np.ndarray) -> Mixtures:
    r"""Parameters from the weighted probabilities of the components.

    .. math:: S = \sum_i w_i z_i z_i^T / n - \sum_k \pi_k \mu_k \mu_k^T, \quad n = \sum_i w_i, \qquad
              \Sigma_{fg} = S_{fg} / 2 \text{ for } f \ne g, \qquad \Sigma_{ff} = \max(S_{ff}, 0.01)

    References
    ----------
    Friedman (1989), Journal of the American Statistical Association 84: regularised discriminant analysis.
    """
    n_runs, n_subtypes, n_samples = share.shape
    count = share.sum(axis=2) + 1e-9  # an empty component keeps a tiny share, and so a logarithm
    mean = (share.reshape(-1, n_samples) @ runs.z).reshape(n_runs, n_subtypes, -1) / count[..., None]
    total = count.sum(axis=1, keepdims=True)
    mixing = count / total
    scatter = runs.product / total[..., None] - (mixing[..., None] * mean).transpose(0, 2, 1) @ mean
    every = np.arange(mean.shape[2])
    covariance = KEPT * scatter
    covariance[:, every, every] = np.maximum(scatter[:, every, every], VARIANCE_FLOOR)
    return Mixtures(mean, covariance, mixing)


def squared_distance(difference: np.ndarray, covariance: np.ndarray) -> np.ndarray:
    r"""Squared Mahalanobis distances, :math:`d^T \Sigma^{-1} d`.

    Parameters
    ----------
    difference : numpy.ndarray, shape (..., row, factor)
        What is measured.
    covariance : numpy.ndarray, shape (..., factor, factor)
        Of all rows.

    Returns
    -------
    numpy.ndarray, shape (..., row)
        Not negative.
    """
    return np.asarray(((difference @ np.linalg.inv(covariance)) * difference).sum(axis=-1))


def _seed(z: np.ndarray, weight: np.ndarray, uniform: np.ndarray) -> np.ndarray:
    """Starting centres, (run, subtype, factor), by greedy k-means++.

    Each next centre is drawn far from the others; of three candidates the one is taken that leaves least inertia.
    """
    n_runs, n_samples = weight.shape
    square, runs = (z**2).sum(axis=1), np.arange(n_runs)
    spread = np.arange(CANDIDATES) / CANDIDATES  # one random number makes all candidates
    centres: list[np.ndarray] = []
    nearest, chance = np.full(weight.shape, np.inf), weight
    for draw in uniform.T:
        cumulated = np.cumsum(chance, axis=1)  # (run, sample)
        level = (draw[:, None] + spread) % 1 * cumulated[:, -1:]  # (run, candidate)
        chosen = np.stack([(cumulated > one[:, None]).argmax(axis=1) for one in level.T], axis=1)
        product = (z[chosen.ravel()] @ z.T).reshape(n_runs, CANDIDATES, n_samples)
        distance = np.minimum(np.maximum(square + square[chosen][..., None] - 2 * product, 0), nearest[:, None])
        best = np.einsum("rs,rcs->rc", weight, distance).argmin(axis=1)
        nearest = distance[runs, best]
        centres.append(z[chosen[runs, best]])
        chance = weight * nearest
    return np.stack(centres, axis=1)


def _lloyd(runs: Runs, centres: np.ndarray) -> Mixtures:
    """A few steps of k-means from the centres, as a first mixture."""
    n_runs, n_subtypes, n_factors = centres.shape
    for _ in range(LLOYD_STEPS):
        score = (centres.reshape(-1, n_factors) @ runs.z.T).reshape(n_runs, n_subtypes, -1)
        score -= 0.5 * (centres**2).sum(axis=2)[..., None]
        hard = np.arange(n_subtypes)[:, None] == score.argmax(axis=1)[:, None]
        current = maximise(runs, hard * runs.weight[:, None])
        centres = current.mean
    return current
