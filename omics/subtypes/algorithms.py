"""The ways to cluster patients, behind one signature: a data set, many resamples of its patients, labels for each.

All are registered in :data:`ALGORITHMS`. Add to it what clusters by another rule; nothing else has to change.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy.optimize import linear_sum_assignment
from sklearn.cluster import AgglomerativeClustering, KMeans

from omics.subtypes import fusion, mixture
from omics.subtypes.counting import ABSENT

#: Starts of k-means; the one of smallest inertia is kept.
KMEANS_STARTS = 10
#: Neighbours of a patient in the similarity network of the factors.
NEIGHBOURS = 20
#: What votes in a consensus; the first names the clusters, and wins where votes are equal.
VOTERS = ("mixture", "kmeans", "hierarchical", "spectral")


class Data(NamedTuple):
    """What is clustered.

    Attributes
    ----------
    z : numpy.ndarray, shape (sample, column)
        Standardised factors, or leading components of layers; NaN where a patient lacks the layer.
    importance : numpy.ndarray, shape (column,)
        What distances multiply a column with.
    layer : numpy.ndarray of int, shape (column,)
        Which layer a column is of; all 0 for factors.
    """

    z: np.ndarray
    importance: np.ndarray
    layer: np.ndarray

    def columns(self, chosen: np.ndarray) -> Data:
        """The same with some columns."""
        return Data(self.z[:, chosen], self.importance[chosen], self.layer[chosen])


Labels = Callable[[Data, np.ndarray, int, np.ndarray], np.ndarray]


class Algorithm(NamedTuple):
    """A way to cluster.

    Attributes
    ----------
    labels : callable
        ``labels(data, weight, n_subtypes, uniform)`` gives the label of each patient in each resample, (resample,
        sample), :data:`~omics.subtypes.counting.ABSENT` where `weight`, (resample, sample), is 0. All that is random
        comes from `uniform`, (resample, start, subtype), in [0, 1).
    layers : bool
        Whether it takes layers, in which a patient may be absent, rather than factors.
    """

    labels: Labels
    layers: bool = False


def mixture_labels(data: Data, weight: np.ndarray, n_subtypes: int, uniform: np.ndarray) -> np.ndarray:
    """Gaussian mixture with a shared covariance, to which the importance of a factor makes no difference."""
    return _drawn(mixture.fit(data.z, weight, uniform)[1], weight)


def _drawn(label: np.ndarray, weight: np.ndarray) -> np.ndarray:
    return np.where(weight > 0, label, ABSENT).astype(np.int16)


def _one_by_one(one: Callable[[Data, int, int], np.ndarray]) -> Labels:
    """Labels of many resamples from a function of the patients of one."""

    def labels(data: Data, weight: np.ndarray, n_subtypes: int, uniform: np.ndarray) -> np.ndarray:
        found = np.full(weight.shape, ABSENT, dtype=np.int16)
        for row, drawn, draw in zip(found, weight > 0, uniform, strict=True):
            row[drawn] = one(data._replace(z=data.z[drawn]), n_subtypes, int(draw.flat[0] * 2**31))
        return found

    return labels


def _kmeans(data: Data, n_subtypes: int, seed: int) -> np.ndarray:
    found = KMeans(n_subtypes, n_init=KMEANS_STARTS, random_state=seed).fit_predict(data.z * data.importance)
    return np.asarray(found)


def _ward(data: Data, n_subtypes: int, seed: int) -> np.ndarray:
    return np.asarray(AgglomerativeClustering(n_subtypes, linkage="ward").fit_predict(data.z * data.importance))


def _spectral(data: Data, n_subtypes: int, seed: int) -> np.ndarray:
    network = fusion.affinity(_frame(data.z * data.importance), _neighbours(data), standardise=False)
    return _cut(network, n_subtypes, seed)


def _snf(data: Data, n_subtypes: int, seed: int) -> np.ndarray:
    return _cut(fusion.snf(_layers(data), n_neighbours=_neighbours(data), standardise=False), n_subtypes, seed)


def _nemo(data: Data, n_subtypes: int, seed: int) -> np.ndarray:
    return _cut(fusion.nemo(_layers(data), balanced=True, standardise=False), n_subtypes, seed)


def _neighbours(data: Data) -> int:
    return min(NEIGHBOURS, max(2, len(data.z) // 6))


def _cut(network: pd.DataFrame, n_subtypes: int, seed: int) -> np.ndarray:
    return fusion.clusters(network, n_subtypes, seed).sort_index().to_numpy()


def _frame(values: np.ndarray) -> pd.DataFrame:
    return pd.DataFrame(values, columns=[f"c{j:04d}" for j in range(values.shape[1])])


def _layers(data: Data) -> dict[str, pd.DataFrame]:
    whole = _frame(data.z)
    parts = {f"layer{layer:02d}": whole.loc[:, data.layer == layer] for layer in np.unique(data.layer)}
    return {name: part.dropna(how="all") for name, part in parts.items()}


def consensus_labels(data: Data, weight: np.ndarray, n_subtypes: int, uniform: np.ndarray) -> np.ndarray:
    """Vote of the algorithms of :data:`VOTERS`, their clusters matched to those of the first.

    References
    ----------
    Dudoit, Fridlyand (2003), Bioinformatics 19: partitions combined by relabelling and plurality.
    """
    every = [ALGORITHMS[name].labels(data, weight, n_subtypes, uniform) for name in VOTERS]
    votes = np.zeros((*weight.shape, n_subtypes))
    for turn, labels in enumerate(every):
        for run, (row, first) in enumerate(zip(labels, every[0], strict=True)):
            drawn = first != ABSENT
            votes[run, drawn, renamed(row[drawn], first[drawn], n_subtypes)] += 1 + (turn == 0) / 2
    return _drawn(votes.argmax(axis=2), weight)


def renamed(label: np.ndarray, reference: np.ndarray, n_subtypes: int) -> np.ndarray:
    """The labels under the names of the reference that give most patients the same one."""
    shared = np.zeros((n_subtypes, n_subtypes), int)
    np.add.at(shared, (label, reference), 1)
    name = np.empty(n_subtypes, int)
    mine, theirs = linear_sum_assignment(shared, maximize=True)
    name[mine] = theirs
    return np.asarray(name[label])


#: Algorithms by name.
ALGORITHMS: dict[str, Algorithm] = {
    "mixture": Algorithm(mixture_labels),
    "kmeans": Algorithm(_one_by_one(_kmeans)),
    "hierarchical": Algorithm(_one_by_one(_ward)),
    "spectral": Algorithm(_one_by_one(_spectral)),
    "consensus": Algorithm(consensus_labels),
    "snf": Algorithm(_one_by_one(_snf), layers=True),
    "nemo": Algorithm(_one_by_one(_nemo), layers=True),
}
