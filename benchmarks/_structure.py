"""Cohorts with subtypes and without, and what each method makes of them, for :mod:`benchmarks.structure`."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import xarray as xr
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.spatial.distance import squareform
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA
from sklearn.metrics import adjusted_rand_score
from threadpoolctl import threadpool_limits

from omics import cohort
from omics.blocks import alone
from omics.factors import MOFA
from omics.prepare import Recipe, prepare
from omics.subtypes import Subtypes, fusion
from omics.subtypes.clustering import VALID

PATIENTS, FACTORS, FEATURES = 300, 12, {"expression": 300, "methylation": 400}
#: Proportion of ambiguous pairs below which a number of clusters is often called stable.
NAIVE_PAC = 0.1
_RESAMPLES = 50


class Planted(NamedTuple):
    """A cohort and its truth."""

    tree: xr.DataTree
    label: pd.Series


def planted(seed: int, n_subtypes: int, separation: float) -> Planted:
    """Subtypes of unequal size in six of twelve factors."""
    rng = np.random.default_rng([seed, n_subtypes])
    share = shares(rng, n_subtypes)
    label = rng.choice(n_subtypes, PATIENTS, p=share)
    centre = rng.normal(size=(n_subtypes, FACTORS // 2))
    distance = np.linalg.norm(centre[:, None] - centre, axis=2)
    centre *= separation / np.median(distance[np.triu_indices(n_subtypes, 1)])
    z = rng.normal(size=(PATIENTS, FACTORS))
    z[:, : FACTORS // 2] += centre[label]
    return _cohort(z, label, rng)


def shares(rng: np.random.Generator, n_subtypes: int) -> np.ndarray:
    """Shares of 5 to 40 % that sum to 1; of two subtypes 40 and 60 %."""
    while True:
        share = rng.dirichlet(np.full(n_subtypes, 3.0))
        if share.min() >= 0.05 and share.max() <= max(0.4, 1.2 / n_subtypes):
            return np.asarray(share)


def cluster_free(seed: int, kind: str) -> Planted:
    """Correlated factors without clusters."""
    rng = np.random.default_rng([seed, 99])
    normal = rng.normal(size=(PATIENTS, 3)) @ rng.normal(size=(3, FACTORS)) + rng.normal(size=(PATIENTS, FACTORS))
    normal /= normal.std(axis=0)
    curved = normal.copy()
    curved[:, 2] = curved[:, 0] ** 2
    tails = np.sqrt(rng.chisquare(4, size=(PATIENTS, 1)) / 4)
    z = {"normal": normal, "skewed": np.exp(0.7 * normal), "heavy": normal / tails, "curved": curved}[kind]
    return _cohort((z - z.mean(axis=0)) / z.std(axis=0), np.zeros(PATIENTS, int), rng)


def _cohort(z: np.ndarray, label: np.ndarray, rng: np.random.Generator) -> Planted:
    ids = np.array([f"P{i:04d}" for i in range(len(z))], dtype=object)
    site = rng.integers(3, size=len(z))
    nodes = {}
    for turn, (name, size) in enumerate(FEATURES.items()):
        weight = rng.normal(size=(FACTORS, size)) * (rng.random((FACTORS, size)) < 0.3)
        values = z @ weight + rng.normal(size=(len(z), size)) + rng.normal(scale=0.7, size=(3, size))[site]
        there = rng.random(len(z)) > 0.2 if turn else np.ones(len(z), bool)
        nodes[f"/views/{name}"] = xr.Dataset(
            {"value": (("sample", "feature"), values[there].astype(np.float32))},
            {"sample": ids[there], "feature": np.array([f"{name}{j}" for j in range(size)], dtype=object)},
            {"kind": name, "likelihood": "gaussian", "units": "log2"},
        )
    clinical = pd.DataFrame({"site": [f"site{s}" for s in site]}, index=pd.Index(ids, name="sample"))
    tree = xr.DataTree.from_dict({"/clinical": cohort.from_table(clinical, "sample"), **nodes})
    return Planted(tree, pd.Series(label, index=ids))


def integrated(tree: xr.DataTree) -> tuple[xr.DataTree, xr.Dataset]:
    """Prepared layers, and the scores of the factors that explain something."""
    prepared = prepare(tree, batch="site")
    ready = Recipe.of(prepared).fit_transform(prepared)
    model = MOFA(n_factors=FACTORS, random_state=1).fit(ready)
    return ready, model.factors_.isel(factor=model.variance_["active"].to_numpy() == 1)


def layers_of(ready: xr.DataTree) -> dict[str, pd.DataFrame]:
    """Values of each prepared layer, (sample x feature)."""
    return {
        name: cohort.node(ready, f"views/{name}")["value"].transpose("sample", "feature").to_pandas()
        for name in FEATURES
    }


def pca(layers: dict[str, pd.DataFrame], samples: pd.Index) -> np.ndarray:
    """Leading components of the layers side by side, features standardised, the mean where a layer is lacking."""
    whole = pd.concat(layers.values(), axis=1).reindex(samples)
    standard = ((whole - whole.mean()) / whole.std().replace(0, 1)).fillna(0.0)
    return np.asarray(PCA(FACTORS, random_state=0).fit_transform(standard))


def plain_consensus(x: np.ndarray, n_subtypes: int) -> np.ndarray:
    """Consensus clustering as first described: k-means on subsamples, average linkage of their agreement."""
    return np.asarray(fcluster(_average(consensus_matrix(x, n_subtypes)), n_subtypes, "maxclust"))


def _average(matrix: np.ndarray) -> np.ndarray:
    return np.asarray(linkage(squareform(1 - matrix, checks=False), "average"))


def consensus_matrix(x: np.ndarray, n_subtypes: int) -> np.ndarray:
    """Share of the subsamples with both patients that put them together, shape (sample, sample)."""
    rng = np.random.default_rng(0)
    both, together = np.zeros((len(x), len(x))), np.zeros((len(x), len(x)))
    for run in range(_RESAMPLES):
        drawn = rng.permutation(len(x))[: round(0.8 * len(x))]
        label = KMeans(n_subtypes, n_init=10, random_state=run).fit_predict(x[drawn])
        both[np.ix_(drawn, drawn)] += 1
        together[np.ix_(drawn, drawn)] += label[:, None] == label
    return together / np.maximum(both, 1)


@threadpool_limits.wrap(limits=1)
def trial(task: tuple[int, int, float], search: dict[str, Any]) -> dict[str, Any]:
    """All methods on one cohort with planted subtypes."""
    seed, n_subtypes, separation = task
    truth = planted(seed, n_subtypes, separation)
    with alone():
        ready, scores = integrated(truth.tree)
        found = Subtypes(random_state=seed, **search).fit(scores)
        told = Subtypes(n_subtypes=n_subtypes, n_resamples=2, n_null=1, random_state=seed).fit(scores)
        layers = layers_of(ready)
        label = truth.label.reindex(found.labels_.index)
        x = pca(layers, label.index)
        network = fusion.clusters(fusion.snf(layers), n_subtypes).reindex(label.index)
        others = {
            "kmeans_pca": KMeans(n_subtypes, n_init=10, random_state=0).fit_predict(x),
            "consensus": plain_consensus(x, n_subtypes),
            "snf": network,
            "told": told.labels_,
        }
    index = {name: adjusted_rand_score(label, labels) for name, labels in others.items()}
    ours = adjusted_rand_score(label, found.labels_)
    return {"separation": separation, "k": n_subtypes, "found": found.n_subtypes_, "ours": ours, **index}


@threadpool_limits.wrap(limits=1)
def null_trial(task: tuple[int, str], search: dict[str, Any]) -> dict[str, Any]:
    """Whether clusters are claimed in one cohort without any: by us, by resampling alone, by ambiguous pairs alone."""
    seed, kind = task
    with alone():
        ready, scores = integrated(cluster_free(seed, kind).tree)
        found = Subtypes(random_state=seed, **search).fit(scores)
        x = pca(layers_of(ready), pd.Index(found.labels_.index))
        pac = [_pac(consensus_matrix(x, k)) for k in (2, 3)]
    valid = bool((found.stability_["weakest"] >= VALID).any())
    return {"kind": kind, "claimed": found.n_subtypes_ > 1, "resampling": valid, "pac": min(pac) < NAIVE_PAC}


def _pac(matrix: np.ndarray) -> float:
    pairs = matrix[np.triu_indices(len(matrix), 1)]
    return float(((pairs > 0.1) & (pairs < 0.9)).mean())
