"""How far clusters survive another draw of patients, and what cluster-free data of the same make would give.

Stability is judged on subsamples of 80 % of the patients: the mean adjusted Rand index between the clusterings of
two subsamples on the patients they share, and for each cluster its mean Jaccard index, the weakest of which decides.
The null has the correlations of the data and its skew and tails, but margins with one mode only, so it has no
clusters: what is no more stable than the null is not structure.

References
----------
Hennig (2007), Computational Statistics and Data Analysis 52: cluster-wise stability by the Jaccard index.
Helgeson, Vock and Bair (2021), Biometrics 77: testing clusters against a unimodal null distribution.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.special import ndtr, ndtri
from threadpoolctl import threadpool_limits

from omics.blocks import each
from omics.subtypes import mixture

#: Share of the patients in a subsample.
SUBSAMPLE = 0.8
#: Starts of the fit to a subsample, and to all patients.
STARTS, STARTS_FULL = 16, 64
#: A subtype has at least this share of the patients, and this number.
SMALLEST_SHARE, SMALLEST_COUNT = 0.02, 5
#: A larger adjusted Rand index counts as this one, whose arctanh is finite.
LARGEST_RAND = 0.999
#: Smallest spread of arctanh among cluster-free data sets, should they nearly all be alike.
SMALLEST_SPREAD = 0.05
#: Subsamples of a cluster-free data set: there are many data sets, so each may be measured more coarsely.
NULL_RESAMPLES = 6
#: Last entries of the seeds of independent streams of random numbers.
RESAMPLE_STREAM, NULL_STREAM = 1001, 1002


class Stability(NamedTuple):
    """Stability of one number of clusters.

    Attributes
    ----------
    rand : float
        Mean adjusted Rand index between two subsamples.
    jaccard : numpy.ndarray, shape (subtype,)
        Mean Jaccard index of each cluster; 0 for one that is too small to be a subtype.
    """

    rand: float
    jaccard: np.ndarray


class Comparison(NamedTuple):
    """Stability for each number of clusters, and of the same on cluster-free data.

    Attributes
    ----------
    rand : numpy.ndarray, shape (number,)
        Mean adjusted Rand index between two subsamples.
    jaccard : dict of int to numpy.ndarray
        For each number, the mean Jaccard index of each cluster, shape (subtype,).
    null : numpy.ndarray, shape (data set, number)
        ``rand`` of the cluster-free data sets.
    p_value : numpy.ndarray, shape (number,)
        Share of the cluster-free data sets, the observed one counted in, that are at least as stable.
    excess : numpy.ndarray, shape (number,)
        ``rand`` as :func:`standardised`.
    p_overall : float
        P-value of the largest excess over all numbers: the test of "no structure".
    """

    rand: np.ndarray
    jaccard: dict[int, np.ndarray]
    null: np.ndarray
    p_value: np.ndarray
    excess: np.ndarray
    p_overall: float

    @property
    def weakest(self) -> np.ndarray:
        """Jaccard index of the least stable cluster, shape (number,)."""
        return np.array([one.min() for one in self.jaccard.values()])


def against_null(z: np.ndarray, numbers: list[int], n_resamples: int, n_null: int, seed: list[int]) -> Comparison:
    """Compare the stability of clusters with that of clusters in cluster-free data.

    Parameters
    ----------
    z : numpy.ndarray, shape (sample, factor)
        Standardised factors.
    numbers : list of int
        Numbers of clusters to look at; at least one.
    n_resamples : int
        Subsamples of the patients.
    n_null : int
        Cluster-free data sets.
    seed : list of int
        Seed of the random numbers.
    """
    observed = each(measure, numbers, z, n_resamples, seed)
    null = np.array(each(_cluster_free, range(n_null), Null.of(z), len(z), numbers, seed))
    rand = np.array([one.rand for one in observed])
    jaccards = {number: one.jaccard for number, one in zip(numbers, observed, strict=True)}
    excess = standardised(rand, null)
    largest = excess.max(axis=1)
    p_overall = float(tail_share(largest[0], largest[1:]))
    return Comparison(rand, jaccards, null, tail_share(rand, null), excess[0], p_overall)


def tail_share(observed: np.ndarray, null: np.ndarray) -> np.ndarray:
    """Permutation p-value, (1 + number of null values >= observed) / (1 + number of null values)."""
    return (1 + (null >= observed).sum(axis=0)) / (1 + len(null))


def standardised(observed: np.ndarray, null: np.ndarray) -> np.ndarray:
    """Rand indices above the median, in units of their upper spread, each number of clusters for itself.

    They are compared as Fisher's ``arctanh``, or all that are near 1 would be alike. Observed and cluster-free data
    sets are standardised by what they have in common, so that they are exchangeable under the null; by quantiles,
    because the mean and standard deviation of 41 values let none of them be more than 6.3 standard deviations away.

    Returns
    -------
    numpy.ndarray, shape (1 + data set, number)
        The observed ones come first.
    """
    z = np.arctanh(np.minimum(np.vstack([observed, null]), LARGEST_RAND))
    middle, upper = np.quantile(z, [0.5, 0.9], axis=0)
    return (z - middle) / np.maximum((upper - middle) / ndtri(0.9), SMALLEST_SPREAD)


@threadpool_limits.wrap(limits=1)
def measure(n_subtypes: int, z: np.ndarray, n_resamples: int, seed: list[int]) -> Stability:
    """Stability of a number of clusters; arguments as :func:`against_null`."""
    reference = _members(fit_all(z, n_subtypes, seed)[1], n_subtypes)
    member, weight = resample(z, n_subtypes, n_resamples, seed)
    large = reference.sum(axis=1) >= max(SMALLEST_COUNT, SMALLEST_SHARE * len(z))
    return Stability(pairwise_rand(member), np.where(large, jaccard(reference, member, weight), 0.0))


@threadpool_limits.wrap(limits=1)
def _cluster_free(index: int, null: Null, n_samples: int, numbers: list[int], seed: list[int]) -> list[float]:
    """Stability of one cluster-free data set for each number of clusters."""
    z = null.draw(n_samples, np.random.default_rng([*seed, index, NULL_STREAM]))
    return [pairwise_rand(resample(z, k, NULL_RESAMPLES, [*seed, index])[0]) for k in numbers]


def fit_all(z: np.ndarray, n_subtypes: int, seed: list[int]) -> tuple[mixture.Mixtures, np.ndarray]:
    """The clustering of all patients: its one run, and the label of each sample."""
    rng = np.random.default_rng([*seed, n_subtypes])
    fitted, label = mixture.fit(z, np.ones((1, len(z))), rng.random((1, STARTS_FULL, n_subtypes)))
    return fitted, label[0]


def resample(z: np.ndarray, n_subtypes: int, n_resamples: int, seed: list[int]) -> tuple[np.ndarray, np.ndarray]:
    """Cluster subsamples of the patients.

    Returns
    -------
    member : numpy.ndarray, shape (resample, subtype, sample)
        Indicator of the members of each cluster; all 0 for a patient who was not drawn.
    weight : numpy.ndarray, shape (resample, sample)
        Indicator of the patients drawn.
    """
    rng = np.random.default_rng([*seed, n_subtypes, RESAMPLE_STREAM])
    weight = subsamples(len(z), n_resamples, rng)
    label = mixture.fit(z, weight, rng.random((n_resamples, STARTS, n_subtypes)))[1]
    return _members(label, n_subtypes) * weight[:, None], weight


def subsamples(n_samples: int, n_resamples: int, rng: np.random.Generator) -> np.ndarray:
    """Indicator of the patients drawn, shape (resample, sample)."""
    size = round(SUBSAMPLE * n_samples)
    rank = rng.random((n_resamples, n_samples)).argsort(axis=1).argsort(axis=1)
    return (rank < size).astype(float)


def _members(label: np.ndarray, n_subtypes: int) -> np.ndarray:
    """Indicator of each cluster's members, shape (..., subtype, sample)."""
    return (label[..., None, :] == np.arange(n_subtypes)[:, None]).astype(float)


def pairwise_rand(member: np.ndarray) -> float:
    """Mean adjusted Rand index over all pairs of clusterings, each on the samples that both have.

    Parameters
    ----------
    member : numpy.ndarray, shape (resample, subtype, sample)
        1 where the sample is in the cluster; all 0 for a sample that the resample lacks.
    """
    values = [_rand(np.einsum("jn,bkn->bjk", one, member[i + 1 :], optimize=True)) for i, one in enumerate(member[:-1])]
    return float(np.concatenate(values).mean())


def _rand(table: np.ndarray) -> np.ndarray:
    """Adjusted Rand index of each contingency table, shape (pair, subtype, subtype)."""
    together = _choose_two(table).sum(axis=(1, 2))
    rows, columns = (_choose_two(table.sum(axis=axis)).sum(axis=1) for axis in (2, 1))
    expected = rows * columns / _choose_two(table.sum(axis=(1, 2)))
    possible = 0.5 * (rows + columns) - expected
    one_cluster = possible < 1e-9  # both put all shared patients together: they agree
    return np.where(one_cluster, 1.0, (together - expected) / np.where(one_cluster, 1.0, possible))


def _choose_two(count: np.ndarray) -> np.ndarray:
    return count * (count - 1) / 2


def jaccard(reference: np.ndarray, member: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Mean over resamples of each reference cluster's Jaccard index with the cluster most like it.

    Parameters
    ----------
    reference : numpy.ndarray, shape (subtype, sample)
        Indicator of the clusters of all patients.
    member : numpy.ndarray, shape (resample, subtype, sample)
        Indicator of the clusters of the subsamples.
    weight : numpy.ndarray, shape (resample, sample)
        Indicator of the patients drawn.

    Returns
    -------
    numpy.ndarray, shape (subtype,)
    """
    shared = np.einsum("bkn,jn->bjk", member, reference, optimize=True)
    drawn = weight @ reference.T  # (resample, reference cluster)
    either = drawn[:, :, None] + member.sum(axis=2)[:, None] - shared
    return (shared / np.maximum(either, 1)).max(axis=2).mean(axis=0)


# --- the null -----------------------------------------------------------------------------------------------------


class Margin(NamedTuple):
    """Distribution function of one factor as straight lines between knots."""

    value: np.ndarray
    probability: np.ndarray


class Null(NamedTuple):
    """Cluster-free data with the margins' skew and tails and the correlations of the scores.

    Attributes
    ----------
    margins : list of Margin
        One unimodal margin a factor.
    root : numpy.ndarray, shape (factor, factor)
        Cholesky factor of the correlation of the normal scores.
    """

    margins: list[Margin]
    root: np.ndarray

    @classmethod
    def of(cls, z: np.ndarray) -> Null:
        """The null of a data set, shape (sample, factor)."""
        rank = z.argsort(axis=0).argsort(axis=0)
        correlation = np.atleast_2d(np.corrcoef(ndtri((rank + 0.5) / len(z)), rowvar=False))
        return cls([unimodal(column) for column in z.T], np.linalg.cholesky(correlation + 1e-9 * np.eye(z.shape[1])))

    def draw(self, n_samples: int, rng: np.random.Generator) -> np.ndarray:
        """One data set, shape (sample, factor)."""
        uniform = ndtr(rng.standard_normal((n_samples, len(self.root))) @ self.root.T)
        columns = [np.interp(u, m.probability, m.value) for u, m in zip(uniform.T, self.margins, strict=True)]
        return np.column_stack(columns)


def unimodal(x: np.ndarray) -> Margin:
    """The distribution with one mode that is nearest to the empirical one, as in the dip test.

    It is convex up to the mode (greatest convex minorant of the empirical distribution function) and concave from
    it on (least concave majorant); of 40 modes the one with the smallest largest distance is taken.

    References
    ----------
    Hartigan and Hartigan (1985), Annals of Statistics 13.
    """
    value = np.sort(x)
    probability = (np.arange(len(x)) + 0.5) / len(x)
    candidates = []
    for mode in np.unique(np.linspace(1, len(x) - 2, 40).astype(int)):
        left = _minorant(value[: mode + 1], probability[: mode + 1])
        right = len(x) - 1 - _minorant(-value[: mode - 1 : -1], -probability[: mode - 1 : -1])[::-1]
        knots = np.concatenate([left, right[1:]])
        distance = np.abs(np.interp(value, value[knots], probability[knots]) - probability).max()
        candidates.append((distance, mode, knots))
    knots = min(candidates, key=lambda candidate: candidate[:2])[2]
    return Margin(value[knots], probability[knots])


def _minorant(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Knots of the greatest convex minorant of the points, x increasing."""
    hull: list[int] = []
    for i in range(len(x)):
        while len(hull) > 1 and _above(x, y, hull[-2], hull[-1], i):
            hull.pop()
        hull.append(i)
    return np.array(hull)


def _above(x: np.ndarray, y: np.ndarray, left: int, middle: int, right: int) -> bool:
    return bool((y[middle] - y[left]) * (x[right] - x[left]) >= (y[right] - y[left]) * (x[middle] - x[left]))
