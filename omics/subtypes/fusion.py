r"""Networks of patients who are alike in several omics layers, where some patients lack layers; and their clusters.

Similarity network fusion (:func:`snf`) lets the layers exchange what they know until they agree; NEMO (:func:`nemo`)
averages how near patients are relative to their own neighbours. Every layer holds only the patients that it has.

Distances are those of :mod:`omics.subtypes.distance`, means over features. The papers sum over features; but SNF's
:math:`\exp(-d^2 / \mu\varepsilon)` has a distance in it, so with sums it would narrow with the number of features,
and be zero beyond about 70,000 of them. To NEMO it makes no difference.

Patients who lack a layer must not become a cluster because they lack it. In data without structure they do if pairs
that share no layer count as unlike, or if a layer of few patients, whose similarities sum to 1 over fewer partners,
counts at face value. :func:`snf` and the balanced :func:`nemo` therefore bring the layers to a common scale and give
pairs that share no layer the mean similarity.

References
----------
Wang, Mezlini, Demir et al. (2014), Nature Methods 11: similarity network fusion.
Rappoport and Shamir (2019), Bioinformatics 35: NEMO.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from sklearn.cluster import SpectralClustering
from threadpoolctl import threadpool_limits

from omics.schema import DataError, UsageError
from omics.subtypes.distance import NEGLIGIBLE, Layer, distances, listed

#: Width of SNF's kernel, mu; the paper recommends 0.3 to 0.8.
WIDTH = 0.5
#: NEMO's neighbours are this share of the patients of a layer.
NEIGHBOUR_SHARE = 1 / 6
#: Relative difference within which distances are tied.
TIED = 1e-9
#: Similarity of all pairs, in units of the mean, that keeps a network in one piece.
BRIDGE = 1e-6


# --- networks -----------------------------------------------------------------------------------------------------


@threadpool_limits.wrap(limits=1)  # threads of BLAS would change the last digits
def affinity(
    view: pd.DataFrame, n_neighbours: int = 20, *, mu: float = WIDTH, standardise: bool = True
) -> pd.DataFrame:
    r"""Scaled exponential kernel of the patients of one layer.

    .. math::

        W_{ij} = \exp\Bigl(-\frac{d_{ij}^2}{\mu \varepsilon_{ij}}\Bigr), \qquad
        \varepsilon_{ij} = \frac{\bar d_i + \bar d_j + d_{ij}}{3}

    where :math:`\bar d_i` is the mean distance of a patient to its nearest neighbours.

    Parameters
    ----------
    view : pandas.DataFrame, shape (sample, feature)
        Values of one layer; NaN is missing. Constant features are dropped.
    n_neighbours : int
        Nearest neighbours; all other patients if there are fewer.
    mu : float
        Width of the kernel.
    standardise : bool
        Whether features are standardised first; if not, those that vary more count more.

    Returns
    -------
    pandas.DataFrame, shape (sample, sample)
        Symmetric, in (0, 1], 1 on the diagonal; the samples sorted.

    Raises
    ------
    UsageError
        `n_neighbours` or `mu` is not positive.
    DataError
        There are fewer than three patients or no feature that varies; ids are duplicated; a value is not a finite
        number; a patient has no value, or two patients have no feature in common.

    References
    ----------
    Wang et al. (2014), Nature Methods 11, online methods.
    """
    _refuse_below(1, n_neighbours=n_neighbours)
    samples, layers = distances({"view": view}, standardise=standardise)
    return _frame(_kernel(layers[0].squared, n_neighbours, mu), samples)


@threadpool_limits.wrap(limits=1)
def snf(
    views: Mapping[str, pd.DataFrame],
    n_neighbours: int = 20,
    n_iterations: int = 20,
    *,
    mu: float = WIDTH,
    standardise: bool = True,
) -> pd.DataFrame:
    r"""Fuse the layers to one network by cross-diffusion.

    Each of the :math:`m` layers has similarities to all patients, P, and a kernel S on the patient and its nearest
    neighbours, made of :func:`affinity` W:

    .. math::

        P_{ij} = \frac{W_{ij}}{2 \sum_{k \ne i} W_{ik}}, \quad P_{ii} = \tfrac12, \qquad
        S_{ij} = \frac{W_{ij}}{\sum_{k \in N_i} W_{ik}}, \quad j \in N_i \ni i

    In each iteration every layer diffuses what the others know, and the outcome is normalised like W to P and made
    symmetric; the network is the mean of the layers in the end.

    .. math:: P^{(v)} \leftarrow S^{(v)} \Bigl(\frac{1}{m - 1} \sum_{k \ne v} P^{(k)}\Bigr) S^{(v)\mathsf T}

    Parameters
    ----------
    views : mapping of str to pandas.DataFrame
        Layers, each (sample, feature) of the patients that it has; NaN is missing.
    n_neighbours : int
        Nearest neighbours; all other patients of a layer that has fewer.
    n_iterations : int
        Iterations.
    mu : float
        Width of the kernel.
    standardise : bool
        Whether features are standardised first; if not, those that vary more count more.

    Returns
    -------
    pandas.DataFrame, shape (sample, sample)
        Symmetric, non-negative; all samples of the layers, sorted.

    Raises
    ------
    UsageError
        There is no layer, or a parameter is not positive.
    DataError
        As :func:`affinity`, or the layers fall into groups without a common patient.

    Notes
    -----
    A pair that a layer lacks is, in its P and its S, the mean over the layers that have the pair; a pair that no
    layer has is the mean of all other pairs. So a layer takes over the neighbours that its absent patients have
    elsewhere. Beforehand the similarities to others are multiplied by :math:`(n_v - 1) / (n - 1)`, with the numbers
    of patients in the layer and in all, so that an average pair is the same in each; and afterwards the rows of S are
    made to sum to 1. All this changes nothing if every layer has every patient. A single layer diffuses its own P.

    References
    ----------
    Wang et al. (2014), Nature Methods 11, online methods.
    """
    _refuse_below(1, n_neighbours=n_neighbours, n_iterations=n_iterations)
    samples, layers = distances(views, standardise=standardise)
    kernels = [_kernel(layer.squared, n_neighbours, mu) for layer in layers]
    near = [
        _row_shares(kernel, neighbours(layer.squared, n_neighbours) | np.eye(len(kernel), dtype=bool))
        for kernel, layer in zip(kernels, layers, strict=True)
    ]
    spread = [each / each.sum(axis=1, keepdims=True) for each in _completed(near, layers, len(samples))]
    state = _completed([_normalised(kernel) for kernel in kernels], layers, len(samples))
    for _ in range(n_iterations):
        state = [_normalised(s @ _others(state, v) @ s.T) for v, s in enumerate(spread)]
    return _frame(_mean(state), samples)


@threadpool_limits.wrap(limits=1)
def nemo(
    views: Mapping[str, pd.DataFrame],
    n_neighbours: int | None = None,
    *,
    balanced: bool = False,
    standardise: bool = True,
) -> pd.DataFrame:
    r"""Average relative similarity of patients over the layers in which both are measured.

    .. math::

        S_{ij} = \frac{1}{\sqrt{2\pi}\,\sigma_{ij}} \exp\Bigl(-\frac{d_{ij}^2}{2\sigma_{ij}^2}\Bigr), \qquad
        \sigma_{ij}^2 = \frac{\overline{d_i^2} + \overline{d_j^2} + d_{ij}^2}{3}

    .. math::

        R_{ij} = \frac{S_{ij}}{\sum_{r \in N_i} S_{ir}} [j \in N_i] + \frac{S_{ij}}{\sum_{r \in N_j} S_{rj}} [i \in N_j]

    where :math:`N_i` are the nearest neighbours of a patient in the layer and :math:`\overline{d_i^2}` is the mean
    squared distance to them.

    Parameters
    ----------
    views : mapping of str to pandas.DataFrame
        Layers, each (sample, feature) of the patients that it has; NaN is missing.
    n_neighbours : int, optional
        Nearest neighbours; a sixth of the patients of the layer if not given.
    balanced : bool
        Whether to correct for who lacks which layer: a layer's similarities are multiplied by
        :math:`(n_v - 1) / (n - 1)`, with the numbers of patients in the layer and in all, and a pair that shares no
        layer has the mean similarity instead of 0. It changes nothing if every layer has every patient.
    standardise : bool
        Whether features are standardised first; if not, those that vary more count more.

    Returns
    -------
    pandas.DataFrame, shape (sample, sample)
        Symmetric, non-negative, 0 on the diagonal; all samples of the layers, sorted.

    Raises
    ------
    UsageError
        There is no layer, or `n_neighbours` is not positive.
    DataError
        As :func:`affinity`, or the layers fall into groups without a common patient. So every patient has some
        similarity to its neighbours.

    References
    ----------
    Rappoport and Shamir (2019), Bioinformatics 35.
    """
    if n_neighbours is not None:
        _refuse_below(1, n_neighbours=n_neighbours)
    samples, layers = distances(views, standardise=standardise)
    relative = []
    for layer in layers:
        k = n_neighbours or max(1, round(NEIGHBOUR_SHARE * len(layer.place)))
        share = _row_shares(_gaussian(layer.squared, k), neighbours(layer.squared, k))
        relative.append(_rescaled(share + share.T, len(samples)) if balanced else share + share.T)
    return _frame(_pair_mean(relative, layers, len(samples), unshared_mean=balanced), samples)


# --- clusters -----------------------------------------------------------------------------------------------------


@threadpool_limits.wrap(limits=1)
def clusters(network: pd.DataFrame, n_subtypes: int, random_state: int = 0) -> pd.Series:
    """Cluster the patients of a network by its spectrum.

    Spectral clustering with the pivoted QR decomposition of the eigenvectors, which has no random starts: the seed
    is only that of the eigenvalue solver. All pairs get a similarity of one millionth of the mean on top; otherwise
    it would be left to chance which parts of a network in several pieces form a cluster.

    Parameters
    ----------
    network : pandas.DataFrame, shape (sample, sample)
        Similarities, symmetric and non-negative; the diagonal does not count.
    n_subtypes : int
        Number of clusters, less than the number of patients.
    random_state : int
        Seed.

    Returns
    -------
    pandas.Series
        Cluster of each patient, ``0`` the largest; the samples sorted.

    Raises
    ------
    UsageError
        `n_subtypes` is out of range.
    DataError
        The network is not symmetric, has other values than non-negative numbers, or a patient without similarity.

    References
    ----------
    Damle, Minden and Ying (2019), Information and Inference 8: simple, direct and efficient spectral clustering.
    """
    network = _checked_network(network)
    _refuse_number(n_subtypes, least=1, n_samples=len(network), name="n_subtypes")
    similarity = _without_diagonal(network)
    similarity += BRIDGE * similarity.mean()
    algorithm = SpectralClustering(
        n_subtypes, affinity="precomputed", assign_labels="cluster_qr", random_state=random_state
    )
    found, first, label, size = np.unique(
        algorithm.fit_predict(similarity), return_index=True, return_inverse=True, return_counts=True
    )
    number = np.empty(len(found), dtype=int)
    number[np.lexsort((first, -size))] = np.arange(len(found))
    return pd.Series(number[label], index=network.index, name="label")


def _without_diagonal(network: pd.DataFrame) -> np.ndarray:
    similarity = network.to_numpy(dtype=float, copy=True)
    np.fill_diagonal(similarity, 0)
    return similarity


# --- similarities of one layer ------------------------------------------------------------------------------------


def neighbours(squared: np.ndarray, n_neighbours: int) -> np.ndarray:
    """Indicator of each patient's nearest neighbours, without itself; those tied with the last one are counted in.

    Parameters
    ----------
    squared : numpy.ndarray, shape (sample, sample)
        Squared distances.
    n_neighbours : int
        Their number; all other patients if there are fewer.
    """
    last = _nearest(squared, n_neighbours)[:, -1:]
    return (squared <= last * (1 + TIED)) & ~np.eye(len(squared), dtype=bool)


def _nearest(distance: np.ndarray, n_neighbours: int) -> np.ndarray:
    """Distances to the nearest others in ascending order, shape (sample, neighbour)."""
    others = distance.copy()
    np.fill_diagonal(others, np.inf)
    k = min(n_neighbours, len(distance) - 1)
    return np.sort(np.partition(others, k - 1, axis=1)[:, :k], axis=1)


def _local_scale(distance: np.ndarray, n_neighbours: int) -> np.ndarray:
    """Mean of the distance of two patients and of the mean distances of each to its neighbours."""
    mean = _nearest(distance, n_neighbours).mean(axis=1)
    scale = ((mean[:, None] + mean) + distance) / 3
    return np.maximum(scale, NEGLIGIBLE)  # patients with enough doubles have a scale of zero


def _kernel(squared: np.ndarray, n_neighbours: int, mu: float) -> np.ndarray:
    """Kernel of SNF, see :func:`affinity`."""
    if not mu > 0:
        raise UsageError(f"mu is {mu}", fix="give a positive width; the paper recommends 0.3 to 0.8")
    return np.exp(-squared / (mu * _local_scale(np.sqrt(squared), n_neighbours)))


def _gaussian(squared: np.ndarray, n_neighbours: int) -> np.ndarray:
    """Kernel of :func:`nemo`."""
    variance = _local_scale(squared, n_neighbours)
    return np.exp(-squared / (2 * variance)) / np.sqrt(2 * np.pi * variance)


def _row_shares(kernel: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    """Similarity to the chosen patients as shares of their sum; 0 to the others."""
    kept = np.where(chosen, kernel, 0.0)
    return kept / kept.sum(axis=1, keepdims=True)


def _normalised(similarity: np.ndarray) -> np.ndarray:
    """Similarities to others that sum to 1/2, and 1/2 to oneself; then made symmetric."""
    others = similarity.copy()
    np.fill_diagonal(others, 0)
    others /= 2 * others.sum(axis=1, keepdims=True)
    np.fill_diagonal(others, 0.5)
    return (others + others.T) / 2


# --- several layers -----------------------------------------------------------------------------------------------


def _rescaled(part: np.ndarray, n_samples: int) -> np.ndarray:
    """Similarities to others as small as they would be if the layer had all patients."""
    scaled = part * ((len(part) - 1) / (n_samples - 1))
    np.fill_diagonal(scaled, part.diagonal())
    return scaled


def _pair_mean(
    parts: Sequence[np.ndarray], layers: Sequence[Layer], n_samples: int, *, unshared_mean: bool
) -> np.ndarray:
    """Mean over the layers that have both patients, shape (sample, sample); else the mean of other pairs, or 0."""
    total, count = np.zeros((n_samples, n_samples)), np.zeros((n_samples, n_samples))
    for part, layer in zip(parts, layers, strict=True):
        both = np.ix_(layer.place, layer.place)
        total[both] += part
        count[both] += 1
    shared = count > 0
    mean = total / np.where(shared, count, 1)
    if unshared_mean and not shared.all():
        mean[~shared] = mean[shared & ~np.eye(n_samples, dtype=bool)].mean()
    return mean


def _completed(parts: Sequence[np.ndarray], layers: Sequence[Layer], n_samples: int) -> list[np.ndarray]:
    """Each layer's similarities with those that it lacks from the others, each of shape (sample, sample)."""
    scaled = [_rescaled(part, n_samples) for part in parts]
    mean = _pair_mean(scaled, layers, n_samples, unshared_mean=True)
    whole = []
    for part, layer in zip(scaled, layers, strict=True):
        filled = mean.copy()
        filled[np.ix_(layer.place, layer.place)] = part
        whole.append(filled)
    return whole


def _others(state: Sequence[np.ndarray], own: int) -> np.ndarray:
    """Mean of the other layers; the layer itself if it is the only one."""
    return _mean([one for v, one in enumerate(state) if v != own] or state)


def _mean(parts: Sequence[np.ndarray]) -> np.ndarray:
    total = parts[0].copy()
    for part in parts[1:]:
        total += part
    return total / len(parts)


def _frame(values: np.ndarray, samples: pd.Index) -> pd.DataFrame:
    return pd.DataFrame(values, index=samples, columns=samples)


# --- refusals -----------------------------------------------------------------------------------------------------


def _refuse_below(least: int, **parameters: int) -> None:
    for name, value in parameters.items():
        if value < least:
            raise UsageError(f"{name} is {value}", fix=f"give at least {least}")


def _refuse_number(value: int, *, least: int, n_samples: int, name: str) -> None:
    if not least <= value < n_samples:
        raise UsageError(
            f"{name} is {value} for {n_samples} patients", fix=f"give at least {least} and less than their number"
        )


def _checked_network(network: pd.DataFrame) -> pd.DataFrame:
    """The network with its samples sorted."""
    where, fix = "network", "give what snf or nemo made"
    if not (network.index.is_unique and network.index.equals(network.columns)):
        raise DataError("rows and columns are not the same patients, each once", where=where, fix=fix)
    network = network.sort_index(axis=0).sort_index(axis=1)
    values = network.to_numpy(dtype=float)
    if not (np.isfinite(values).all() and (values >= 0).all()):
        raise DataError("a similarity is negative or not finite", where=where, fix=fix)
    if not np.allclose(values, values.T, rtol=1e-9, atol=0):
        raise DataError("the similarities are not symmetric", where=where, fix=fix)
    _refuse_isolated(network)
    return network


def _refuse_isolated(network: pd.DataFrame) -> None:
    alone = network.index[_without_diagonal(network).sum(axis=1) == 0]
    if len(alone):
        raise DataError(
            f"{len(alone)} patients have no similarity to anyone: {listed(alone)}",
            where="network",
            fix="leave them out, or add a layer that they share with others",
        )
