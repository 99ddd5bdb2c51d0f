"""Which features tell a subtype, and how few of them do: marker features and small panels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.metrics import balanced_accuracy_score
from sklearn.model_selection import StratifiedKFold

from omics.blocks import each
from omics.stats import auc
from omics.subtypes.matching import known_labels

#: Markers of a subtype in a layer that are listed, and numbers of markers a subtype of which panels are tried.
LISTED, PANELS = 20, (1, 2, 3, 5, 10)
#: Columns of :func:`markers`.
COLUMNS = ["subtype", "layer", "feature", "rank", "difference", "auc", "mean_inside", "mean_outside", "n"]
#: Folds in which panels are chosen and tried.
FOLDS = 5


def markers(layers: Mapping[str, pd.DataFrame], labels: pd.Series, n: int = LISTED) -> pd.DataFrame:
    r"""Features of each layer that tell one subtype from all other patients.

    They are ranked by the standardised difference of means, with the variance within subtypes as in a linear
    discriminant,

    .. math:: d_{kj} = (\bar x_{kj} - \bar x_{-kj}) / s_j,\quad s_j^2 = \sum_i (x_{ij} - \bar x_{k(i) j})^2 / (n - K),

    and described by the area under the ROC curve. The subtypes were made of these data: the figures describe, they
    test nothing.

    Parameters
    ----------
    layers : mapping of str to pandas.DataFrame
        Prepared values (sample x feature) of each layer.
    labels : pandas.Series
        Subtype of each patient, indexed by sample; one whose label is missing is left out.
    n : int
        Markers of a subtype in a layer.

    Returns
    -------
    pandas.DataFrame
        ``subtype, layer, feature, rank, difference, auc, mean_inside, mean_outside, n``.
    """
    rows = [row for name in sorted(layers) for row in _of_layer(name, layers[name], labels, n)]
    return pd.DataFrame(rows, columns=COLUMNS)


def _of_layer(name: str, layer: pd.DataFrame, labels: pd.Series, n: int) -> list[dict[str, Any]]:
    x, label = _aligned(layer, labels)
    subtypes = sorted(set(label), key=lambda one: (len(one), one))
    if len(subtypes) < 2:
        return []
    difference = differences(x, label, subtypes)
    rows: list[dict[str, Any]] = []
    for subtype, row in zip(subtypes, difference, strict=True):
        inside = label == subtype
        best = np.argsort(-np.abs(row), kind="stable")[:n]
        for rank, (j, area) in enumerate(zip(best, auc(x[:, best], inside), strict=True), start=1):
            rows.append(
                {
                    "subtype": subtype,
                    "layer": name,
                    "feature": str(layer.columns[j]),
                    "rank": rank,
                    "difference": float(row[j]),
                    "auc": float(area),
                    "mean_inside": float(x[inside, j].mean()),
                    "mean_outside": float(x[~inside, j].mean()),
                    "n": int(inside.sum()),
                }
            )
    return rows


def _aligned(layer: pd.DataFrame, labels: pd.Series) -> tuple[np.ndarray, np.ndarray]:
    """Values and subtypes of the patients who have both, in the order of the ids; gaps are filled with the mean."""
    labels = known_labels(labels)
    samples = layer.index.intersection(labels.index).sort_values()
    x = layer.loc[samples].to_numpy(dtype=float)
    gap = np.isnan(x)
    if gap.any():
        mean = np.nansum(x, axis=0) / np.maximum((~gap).sum(axis=0), 1)
        x = np.where(gap, mean, x)
    return x, labels[samples].to_numpy(dtype=object)


def differences(x: np.ndarray, label: np.ndarray, subtypes: Sequence[str]) -> np.ndarray:
    """Standardised difference of each subtype from the rest, shape (subtype, feature); 0 where nothing varies."""
    member = (label == np.array(subtypes, dtype=object)[:, None]).astype(float)
    count = member.sum(axis=1, keepdims=True)
    total = member @ x
    mean = total / np.maximum(count, 1)
    rest = (total.sum(axis=0) - total) / np.maximum(len(x) - count, 1)
    within = np.maximum((x**2).sum(axis=0) - (count * mean**2).sum(axis=0), 0) / max(len(x) - len(subtypes), 1)
    spread = np.sqrt(within)
    # a feature that hardly varies within subtypes would win by rounding alone
    floor = np.quantile(spread, 0.05) if len(spread) > 20 else 0.0
    scale = np.maximum(spread, floor)
    return np.asarray(np.divide(mean - rest, scale, out=np.zeros_like(mean), where=scale > 0))


def panels(
    layers: Mapping[str, pd.DataFrame],
    labels: pd.Series,
    sizes: Sequence[int] = PANELS,
    n_folds: int = FOLDS,
    random_state: int = 0,
) -> pd.DataFrame:
    """How well small panels of markers tell the subtypes of patients on whom they were not chosen.

    In each fold the markers are chosen on the training rows, as many for each subtype, and a linear discriminant with
    shrunken covariance is trained on them. What it must reproduce are the subtypes of all patients, which were found
    with the held-out ones: a panel that stands for the whole data, not a new proof that the subtypes exist.

    Parameters
    ----------
    layers, labels
        As for :func:`markers`. All layers together are the layer ``all``, for the patients who have each of them. In
        a layer, a subtype of a single patient is left out: he cannot be in both parts of a fold.
    sizes : sequence of int
        Markers for each subtype.
    n_folds : int
        Folds, fewer if the smallest subtype has fewer patients.
    random_state : int
        Seed of the folds.

    Returns
    -------
    pandas.DataFrame
        ``layer, per_subtype, features, accuracy, balanced_accuracy, worst, worst_subtype, n``: `features` is the mean
        number over the folds, `worst` the lowest share of a subtype that is recognised.
    """
    every = {name: layers[name] for name in sorted(layers)}
    if len(layers) > 1:
        every["all"] = pd.concat([layers[name].add_prefix(f"{name}:") for name in sorted(layers)], axis=1, join="inner")
    tasks = [(name, size) for name in every for size in sizes]
    found = each(_panel, tasks, every, labels, n_folds, random_state)
    return pd.DataFrame([row for row in found if row is not None])


def _panel(
    task: tuple[str, int], layers: Mapping[str, pd.DataFrame], labels: pd.Series, n_folds: int, random_state: int
) -> dict[str, Any] | None:
    name, size = task
    x, label = _aligned(layers[name], labels)
    subtypes, count = np.unique(label.astype(str), return_counts=True)
    rows = np.isin(label, subtypes[count > 1])
    x, label, subtypes, count = x[rows], label[rows], subtypes[count > 1], count[count > 1]
    if len(subtypes) < 2:
        return None
    folds = StratifiedKFold(min(n_folds, int(count.min())), shuffle=True, random_state=random_state)
    predicted, used = np.empty(len(x), dtype=object), []
    for train, test in folds.split(x, label.astype(str)):
        chosen = _chosen(x[train], label[train], list(subtypes), size)
        used.append(len(chosen))
        model = LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto")
        predicted[test] = model.fit(x[train][:, chosen], label[train].astype(str)).predict(x[test][:, chosen])
    recall = np.array([(predicted[label == one] == one).mean() for one in subtypes])
    return {
        "layer": name,
        "per_subtype": size,
        "features": float(np.mean(used)),
        "accuracy": float((predicted == label).mean()),
        "balanced_accuracy": float(balanced_accuracy_score(label.astype(str), predicted.astype(str))),
        "worst": float(recall.min()),
        "worst_subtype": str(subtypes[recall.argmin()]),
        "n": len(x),
    }


def _chosen(x: np.ndarray, label: np.ndarray, subtypes: Sequence[str], size: int) -> np.ndarray:
    """Columns of the best markers of each subtype."""
    strength = np.abs(differences(x, label, subtypes))
    return np.unique(np.argsort(-strength, axis=1, kind="stable")[:, :size])
