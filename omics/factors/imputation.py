"""The values that factors lead to."""

from __future__ import annotations

import dask.array as da
import numpy as np

from omics import blocks
from omics.factors.likelihoods import EXPECTED, has_intercept
from omics.factors.state import Weights


def impute(score: np.ndarray, weights: Weights, groups: np.ndarray, *, compat: bool = False) -> np.ndarray:
    """Values that factors lead to: ``b + z'w`` (Gaussian), ``sigmoid(b + z'w)``, or ``ln(1 + e^(b + z'w))`` (Poisson).

    Parameters
    ----------
    score : numpy.ndarray, shape (sample, factor)
        z.
    weights : Weights
        Of the features wanted.
    groups : numpy.ndarray, shape (sample,)
        Group of each sample: the row of the intercept b.
    compat : bool
        The fit had mofapy2's bounds, in which b is 0 in a binary or count view.

    Returns
    -------
    numpy.ndarray, shape (sample, feature)
    """
    eta = score @ weights.mean.T.astype(float)
    if has_intercept(weights.likelihood, compat=compat):
        eta += weights.intercept[groups]
    return EXPECTED[weights.likelihood](eta)


def inverse(score: np.ndarray, weights: Weights, groups: np.ndarray, *, compat: bool = False) -> da.Array:
    """:func:`impute`, lazily, as float32 in the chunks of a store; each block is computed by itself.

    Parameters
    ----------
    score : numpy.ndarray, shape (sample, factor)
        z.
    weights : Weights
        Of the view.
    groups : numpy.ndarray, shape (sample,)
        Group of each sample.
    compat : bool
        The fit had mofapy2's bounds.

    Returns
    -------
    dask.array.Array, shape (sample, feature)
    """
    n_samples, n_features = len(score), len(weights.mean)
    rows, size = max(1, min(n_samples, blocks.BLOCK_SAMPLES)), blocks.features_per_block(n_samples)

    def lazy(array: np.ndarray, *chunks: int) -> da.Array:
        return da.from_array(array, chunks=chunks, name=False)  # no name from the content: nothing is hashed

    return da.blockwise(
        _imputed_block,
        "nd",
        *(lazy(score, rows, -1), "nk"),
        *(lazy(groups, rows), "n"),
        *(lazy(weights.mean, min(size, max(n_features, 1)), -1), "dk"),
        *(lazy(weights.intercept, -1, min(size, max(n_features, 1))), "gd"),
        likelihood=weights.likelihood,
        compat=compat,
        concatenate=True,
        dtype=np.float32,
        meta=np.empty((0, 0), dtype=np.float32),
    )


def _imputed_block(
    score: np.ndarray, groups: np.ndarray, mean: np.ndarray, intercept: np.ndarray, *, likelihood: str, compat: bool
) -> np.ndarray:
    none = np.empty(0)  # imputation needs neither the second moment nor the noise
    weights = Weights(likelihood, mean, none, intercept, none)
    return impute(score, weights, groups, compat=compat).astype(np.float32)
