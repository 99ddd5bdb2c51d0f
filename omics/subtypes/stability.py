"""How far clusters survive another draw of patients, and what cluster-free data of the same make would give.

Stability is judged on subsamples of 80 % of the patients: the mean adjusted Rand index between the clusterings of
two subsamples on the patients they share; for each cluster its mean Jaccard index, the weakest of which decides; the
proportion of ambiguous pairs; and for each patient how ambiguous his place is. Each is compared with the same in
cluster-free data (:mod:`omics.subtypes.null`): what is no more stable than these is not structure.

References
----------
Hennig (2007), Computational Statistics and Data Analysis 52: cluster-wise stability by the Jaccard index.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from scipy.special import ndtri
from threadpoolctl import threadpool_limits

from omics.blocks import each
from omics.subtypes.algorithms import ALGORITHMS, Data
from omics.subtypes.counting import consensus, jaccard_each, rand_between
from omics.subtypes.null import Null

#: Share of the patients in a subsample, and of the factors where some are left out.
SUBSAMPLE = 0.8
#: Starts of the fit to a subsample, and to all patients.
STARTS, STARTS_FULL = 16, 64
#: A subtype has at least this share of the patients, and this number.
SMALLEST_SHARE, SMALLEST_COUNT = 0.02, 5
#: A larger adjusted Rand index counts as this one, whose arctanh is finite.
LARGEST_RAND = 0.9999
#: Quantile that tells the upper spread: so far out that two clusters, which cluster-free data often give as stably as
#: real ones, are not in the way of more.
UPPER = 0.97
#: Smallest spread of arctanh among cluster-free data sets, should they nearly all be alike.
SMALLEST_SPREAD = 0.05
#: Subsamples of a cluster-free data set: there are many data sets, so each may be measured more coarsely. But not for
#: two clusters: these are easily the same in six subsamples by luck, and real ones could not be more stable. Of larger
#: numbers a finer measure finds the pieces of a curved cloud of points rather than small subtypes.
NULL_RESAMPLES, NULL_RESAMPLES_OF_TWO = 6, 24
#: Subsamples that one task clusters: many at a time are faster, and many tasks can be shared out.
TASK_RESAMPLES = 50
#: Draws of the subsamples that tell how sure the number of clusters is.
CHOICE_DRAWS = 200
#: Last entries of the seeds of independent streams of random numbers.
RESAMPLE_STREAM, NULL_STREAM, FACTOR_STREAM, CHOICE_STREAM = 1001, 1002, 1003, 1004


class Stability(NamedTuple):
    """Stability of one number of clusters.

    Attributes
    ----------
    rand : float
        Mean adjusted Rand index between two subsamples.
    jaccard : numpy.ndarray, shape (subtype,)
        Mean Jaccard index of each cluster; 0 for one that is too small to be a subtype.
    pac : float
        Proportion of pairs of patients that are together in more than 10 % and fewer than 90 % of the subsamples.
    pac_few : float
        The same for parts of as few subsamples as cluster-free data have; their mean.
    ambiguity : numpy.ndarray, shape (sample,)
        Of each patient, from 0 (always with the same others) to 1.
    rand_between : numpy.ndarray, shape (resample, resample)
        Adjusted Rand index between two subsamples.
    jaccard_each : numpy.ndarray, shape (resample, subtype)
        Jaccard index of each cluster in each subsample.
    """

    rand: float
    jaccard: np.ndarray
    pac: float
    pac_few: float
    ambiguity: np.ndarray
    rand_between: np.ndarray
    jaccard_each: np.ndarray


class Comparison(NamedTuple):
    """Stability for each number of clusters, and of the same on cluster-free data.

    Attributes
    ----------
    numbers : list of int
        Numbers of clusters.
    observed : list of Stability
        What the data give, one for each number.
    null : list of list of Stability
        What each cluster-free data set gives, (data set, number).
    p_overall : float
        P-value of the largest Rand index over all numbers, :func:`standardised`: the test of "no structure".
    """

    numbers: list[int]
    observed: list[Stability]
    null: list[list[Stability]]
    p_overall: float

    @property
    def rand(self) -> np.ndarray:
        """Mean Rand index, shape (number,)."""
        return np.array([one.rand for one in self.observed])

    @property
    def weakest(self) -> np.ndarray:
        """Jaccard index of the least stable cluster, shape (number,)."""
        return np.array([one.jaccard.min() for one in self.observed])

    @property
    def null_rand(self) -> np.ndarray:
        """Mean Rand index of the cluster-free data, shape (data set, number)."""
        return np.array([[one.rand for one in row] for row in self.null])

    @property
    def null_pac(self) -> np.ndarray:
        """Proportion of ambiguous pairs of the cluster-free data, shape (data set, number)."""
        return np.array([[one.pac for one in row] for row in self.null])

    @property
    def p_rand(self) -> np.ndarray:
        """P-value of the Rand index of each number, shape (number,)."""
        return tail_share(self.rand, self.null_rand)

    @property
    def p_pac(self) -> np.ndarray:
        """P-value of the proportion of ambiguous pairs of each number, shape (number,)."""
        return tail_share(-np.array([one.pac_few for one in self.observed]), -self.null_pac)

    def p_jaccard(self, number: int) -> np.ndarray:
        """Share of the clusters of cluster-free data that are as stable as each cluster, shape (subtype,)."""
        at = self.numbers.index(number)
        null = np.concatenate([row[at].jaccard for row in self.null])
        return tail_share(self.observed[at].jaccard, null[:, None])

    def p_ambiguity(self, number: int) -> np.ndarray:
        """Share of patients of cluster-free data who are placed as surely as each patient, shape (sample,)."""
        at = self.numbers.index(number)
        null = np.sort(np.concatenate([row[at].ambiguity for row in self.null]))
        below = np.searchsorted(null, self.observed[at].ambiguity, side="right")
        return np.asarray((1 + below) / (1 + len(null)))


def against_null(
    data: Data, numbers: list[int], n_resamples: int, n_null: int, seed: int, algorithm: str = "mixture"
) -> Comparison:
    """Compare the stability of clusters with that of clusters in cluster-free data.

    Parameters
    ----------
    data : Data
        Standardised factors or layers.
    numbers : list of int
        Numbers of clusters to look at; at least one.
    n_resamples : int
        Subsamples of the patients.
    n_null : int
        Cluster-free data sets.
    seed : int
        Seed of the random numbers.
    algorithm : str
        Name in :data:`~omics.subtypes.algorithms.ALGORITHMS`.
    """
    found = observed(data, numbers, n_resamples, seed, algorithm)
    resamples = {number: null_resamples(number, n_resamples) for number in numbers}
    null = each(_cluster_free, range(n_null), data, Null.of(data.z), resamples, seed, algorithm)
    rand = np.array([[one.rand for one in row] for row in [found, *null]])
    return Comparison(numbers, found, null, _p_overall(rand[0], rand[1:]))


def _p_overall(observed: np.ndarray, null: np.ndarray) -> float:
    largest = standardised(observed, null).max(axis=1)
    return float(tail_share(largest[0], largest[1:]))


def observed(data: Data, numbers: list[int], n_resamples: int, seed: int, algorithm: str) -> list[Stability]:
    """Stability of each number of clusters; arguments as :func:`against_null`."""
    parts = [
        (number, slice(start, min(start + TASK_RESAMPLES, n_resamples)))
        for number in sorted(numbers, reverse=True)  # longest first: no worker waits at the end
        for start in range(0, n_resamples, TASK_RESAMPLES)
    ]
    label = each(_resampled, parts, data, n_resamples, seed, algorithm)
    of = {number: [one for one, part in zip(label, parts, strict=True) if part[0] == number] for number in numbers}
    pairs = [(number, np.concatenate(of[number])) for number in sorted(numbers, reverse=True)]
    return each(_measured, pairs, data, seed, algorithm)[::-1]


@threadpool_limits.wrap(limits=1)
def _resampled(part: tuple[int, slice], data: Data, n_resamples: int, seed: int, algorithm: str) -> np.ndarray:
    """Labels of some of the subsamples for one number of clusters, shape (resample, sample)."""
    return resample(data, part[0], n_resamples, [seed], algorithm, part[1])


@threadpool_limits.wrap(limits=1)
def _measured(pair: tuple[int, np.ndarray], data: Data, seed: int, algorithm: str) -> Stability:
    number, label = pair
    return measure(cluster_all(data, number, [seed], algorithm), label, number)


@threadpool_limits.wrap(limits=1)
def _cluster_free(
    index: int, data: Data, null: Null, resamples: Mapping[int, int], seed: int, algorithm: str
) -> list[Stability]:
    """Stability of one cluster-free data set for each number of clusters, in as many subsamples as are given."""
    drawn = data._replace(z=null.draw(np.random.default_rng([seed, index, NULL_STREAM])))
    found = []
    for number, runs in resamples.items():
        reference = cluster_all(drawn, number, [seed, index], algorithm, STARTS)
        one = measure(reference, resample(drawn, number, runs, [seed, index], algorithm), number)
        few = np.empty((0, 0))
        found.append(one._replace(rand_between=few, jaccard_each=few, ambiguity=one.ambiguity.astype(np.float32)))
    return found


def null_resamples(n_subtypes: int, n_resamples: int) -> int:
    """Subsamples of a cluster-free data set for a number of clusters.

    Never more than the data have: figures of fewer scatter more, and would exceed those of more too often.
    """
    return min(NULL_RESAMPLES_OF_TWO if n_subtypes == 2 else NULL_RESAMPLES, n_resamples)


def measure(reference: np.ndarray, label: np.ndarray, n_subtypes: int) -> Stability:
    """Stability from the clustering of all patients, (sample,), and those of the subsamples, (resample, sample)."""
    between = rand_between(label, n_subtypes)
    each_one = jaccard_each(reference, label, n_subtypes)
    size = np.bincount(reference, minlength=n_subtypes)
    large = size >= max(SMALLEST_COUNT, SMALLEST_SHARE * len(reference))
    pac, ambiguity = consensus(label, n_subtypes)
    pac_few = consensus(label, n_subtypes, len(label) // null_resamples(n_subtypes, len(label)))[0]
    jaccard = np.where(large, each_one.mean(axis=0), 0.0)
    return Stability(_mean_of_pairs(between), jaccard, pac, pac_few, ambiguity, between, np.where(large, each_one, 0.0))


def _mean_of_pairs(between: np.ndarray) -> float:
    return float(between[np.triu_indices(len(between), 1)].mean())


def tail_share(observed: np.ndarray, null: np.ndarray) -> np.ndarray:
    """Permutation p-value, (1 + number of null values >= observed) / (1 + number of null values)."""
    return np.asarray((1 + (null >= observed).sum(axis=0)) / (1 + len(null)))


def standardised(observed: np.ndarray, null: np.ndarray) -> np.ndarray:
    """Rand indices above the median, in units of their upper spread, each number of clusters for itself.

    They are compared as Fisher's ``arctanh``, or all that are near 1 would be alike. Observed and cluster-free data
    sets are standardised by what they have in common, so that they are exchangeable under the null; by quantiles,
    because the mean and standard deviation of n values let none be more than the root of n standard deviations away.

    Returns
    -------
    numpy.ndarray, shape (1 + data set, number)
        The observed ones come first.
    """
    z = np.arctanh(np.minimum(np.vstack([observed, null]), LARGEST_RAND))
    middle, upper = np.quantile(z, [0.5, UPPER], axis=0)
    return np.asarray((z - middle) / np.maximum((upper - middle) / ndtri(UPPER), SMALLEST_SPREAD))


def uniform_of(n_resamples: int, n_subtypes: int, seed: list[int], starts: int) -> np.ndarray:
    """The random numbers of the fit to all patients, shape (resample, start, subtype)."""
    return np.random.default_rng([*seed, n_subtypes]).random((n_resamples, starts, n_subtypes))


def cluster_all(
    data: Data, n_subtypes: int, seed: list[int], algorithm: str = "mixture", starts: int = STARTS_FULL
) -> np.ndarray:
    """The clustering of all patients, shape (sample,)."""
    uniform = uniform_of(1, n_subtypes, seed, starts)
    return ALGORITHMS[algorithm].labels(data, np.ones((1, len(data.z))), n_subtypes, uniform)[0]


def resample(
    data: Data,
    n_subtypes: int,
    n_resamples: int,
    seed: list[int],
    algorithm: str = "mixture",
    part: slice = slice(None),
) -> np.ndarray:
    """Cluster subsamples of the patients, all or some; labels of shape (resample, sample)."""
    rng = np.random.default_rng([*seed, n_subtypes, RESAMPLE_STREAM])
    weight = subsamples(len(data.z), n_resamples, rng)[part]
    uniform = rng.random((n_resamples, STARTS, n_subtypes))[part]
    return ALGORITHMS[algorithm].labels(data, weight, n_subtypes, uniform)


@threadpool_limits.wrap(limits=1)
def without_factors(
    data: Data, reference: np.ndarray, n_subtypes: int, n_resamples: int, seed: int, algorithm: str = "mixture"
) -> np.ndarray:
    """Mean Jaccard index of each cluster of all patients when a fifth of the factors is left out, shape (subtype,)."""
    rng = np.random.default_rng([seed, n_subtypes, FACTOR_STREAM])
    found = []
    for run in range(n_resamples):
        kept = _some_columns(data, rng)
        found.append(cluster_all(data.columns(kept), n_subtypes, [seed, run, FACTOR_STREAM], algorithm, STARTS))
    return np.asarray(jaccard_each(reference, np.array(found), n_subtypes).mean(axis=0))


def _some_columns(data: Data, rng: np.random.Generator) -> np.ndarray:
    """Four fifths of the columns of each layer, at least one: nobody loses the only layer that he has."""
    order = rng.permutation(data.z.shape[1])
    layers = [order[data.layer[order] == layer] for layer in np.unique(data.layer)]
    return np.sort(np.concatenate([columns[: max(1, round(SUBSAMPLE * len(columns)))] for columns in layers]))


def subsamples(n_samples: int, n_resamples: int, rng: np.random.Generator) -> np.ndarray:
    """Indicator of the patients drawn, shape (resample, sample)."""
    size = round(SUBSAMPLE * n_samples)
    rank = rng.random((n_resamples, n_samples)).argsort(axis=1).argsort(axis=1)
    return (rank < size).astype(float)


def redrawn(measured: Comparison, seed: int) -> list[Comparison]:
    """What other draws of as many subsamples might have given: their Bayesian bootstrap (Rubin 1981)."""
    rng = np.random.default_rng([seed, CHOICE_STREAM])
    n_resamples = len(measured.observed[0].jaccard_each)
    null = measured.null_rand
    found = []
    for _ in range(CHOICE_DRAWS):
        share = rng.dirichlet(np.ones(n_resamples))
        observed = [_reweighted(one, share) for one in measured.observed]
        p_overall = _p_overall(np.array([one.rand for one in observed]), null)
        found.append(measured._replace(observed=observed, p_overall=p_overall))
    return found


def _reweighted(one: Stability, share: np.ndarray) -> Stability:
    """The same with a share of each subsample, shape (resample,), instead of equal ones."""
    pairs = np.outer(share, share)
    np.fill_diagonal(pairs, 0)
    rand = float((pairs * one.rand_between).sum() / pairs.sum())
    return one._replace(rand=rand, jaccard=share @ one.jaccard_each)
