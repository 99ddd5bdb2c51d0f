"""Where the factors start: exact principal components, or noise."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from omics.factors.state import Layer


def pca_start(layers: Sequence[Layer], n_factors: int) -> np.ndarray:
    """First principal components of all layers side by side, each mapped to [-1, 1].

    Missing entries count as the mean of their feature. The components are eigenvectors of the sample x sample Gram
    matrix, so the start is exact and draws no random number; the sign makes the largest entry positive.

    Parameters
    ----------
    layers : sequence of Layer
        The views; all have the same rows.
    n_factors : int
        Components, fewer than samples.

    Returns
    -------
    numpy.ndarray, shape (sample, factor)
    """
    gram = sum(_gram(layer.values) for layer in layers)
    _, vectors = np.linalg.eigh(gram)  # ascending
    scores = vectors[:, : -n_factors - 1 : -1]
    largest = np.take_along_axis(scores, np.abs(scores).argmax(axis=0)[None], axis=0)
    scores = scores * np.sign(largest)
    return 2 * (scores - scores.min(axis=0)) / np.ptp(scores, axis=0) - 1


def _gram(values: np.ndarray) -> np.ndarray:
    centred = np.nan_to_num(values - np.nanmean(values, axis=0))  # NaN -> 0, the mean
    return centred @ centred.T


def random_start(n_samples: int, n_factors: int, seed: int) -> np.ndarray:
    """Standard normal scores, shape (sample, factor)."""
    return np.random.default_rng(seed).standard_normal((n_samples, n_factors))
