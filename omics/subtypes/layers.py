"""Layers as their leading components, side by side: what algorithms that fuse layers cluster."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from omics.schema import DataError

#: Components of one layer: more than there are subtypes, and few enough for the correlations of the null.
COMPONENTS = 20


def components(layers: Mapping[str, pd.DataFrame], samples: Sequence[str]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    r"""Leading principal components of each layer: with :math:`X = U S V^T`, the columns of :math:`U S`.

    Distances between patients in all components are those in the layer; the trailing ones are noise, and are left out.
    A value that a patient lacks within a layer is the mean of the feature.

    Parameters
    ----------
    layers : mapping of str to pandas.DataFrame
        Values (sample x feature) of each layer; a layer holds the patients that it has.
    samples : sequence of str
        All patients, in order.

    Returns
    -------
    value : numpy.ndarray, shape (sample, component)
        NaN for patients who lack the layer; the first component of each layer has variance 1.
    importance : numpy.ndarray, shape (component,)
        1 for each.
    layer : numpy.ndarray of int, shape (component,)
        Number of the layer, in the order of their names.

    Raises
    ------
    DataError
        A layer has fewer than three patients or no feature that varies, or a patient has no layer.
    """
    parts = [_leading(name, layers[name].loc[layers[name].index.isin(samples)]) for name in sorted(layers)]
    value = pd.concat(parts, axis=1).reindex(list(samples)).to_numpy()
    bare = np.isnan(value).all(axis=1)
    if bare.any():
        raise DataError(
            f"{bare.sum()} patients have no layer, first {np.asarray(samples)[bare][0]}",
            where="layers",
            fix="give the layers from which the factors were learnt",
        )
    number = np.repeat(np.arange(len(parts)), [part.shape[1] for part in parts])
    return value, np.ones(len(number)), number


def _leading(name: str, layer: pd.DataFrame) -> pd.DataFrame:
    layer = layer.dropna(axis=1, how="all").sort_index(axis=0).sort_index(axis=1)
    x = layer.to_numpy(dtype=float)
    if len(x) < 3:
        raise DataError(f"layer {name} has {len(x)} patients", where=name, fix="leave it out")
    x = x - np.nanmean(x, axis=0)
    x = np.where(np.isnan(x), 0.0, x)
    spread = x.std(axis=0)
    if not (spread > 0).any():
        raise DataError(f"no feature of layer {name} varies", where=name, fix="leave it out")
    x = x[:, spread > 0] / spread[spread > 0]
    value, vector = np.linalg.eigh(x @ x.T)  # patients are fewer than features
    most = min(COMPONENTS, len(x) - 1, x.shape[1])
    value, vector = value[::-1][:most], vector[:, ::-1][:, :most]
    kept = value > 1e-9 * value[0]
    score = vector[:, kept] * np.sqrt(value[kept] / value[0] * len(x))
    return pd.DataFrame(score, layer.index, [f"{name} {j}" for j in range(score.shape[1])])
