"""Where the factors start: exact principal components, or noise."""

from __future__ import annotations

import numpy as np
from scipy.linalg import eigh


def pca_scores(gram: np.ndarray, n_factors: int) -> np.ndarray:
    """First principal components of all views side by side, each mapped to [-1, 1].

    They are eigenvectors of the sample x sample Gram matrix, so the start is exact, draws no random number, and never
    needs the views in memory; the sign makes the largest entry positive.

    Parameters
    ----------
    gram : numpy.ndarray, shape (sample, sample)
        Of the centred (and scaled) views side by side; a missing entry counts as the mean of its feature. Its upper
        triangle is enough.
    n_factors : int
        Components, fewer than samples.

    Returns
    -------
    numpy.ndarray, shape (sample, factor)
    """
    n_samples = len(gram)
    _, vectors = eigh(gram, lower=False, subset_by_index=(n_samples - n_factors, n_samples - 1))  # ascending
    scores = vectors[:, ::-1]
    largest = np.take_along_axis(scores, np.abs(scores).argmax(axis=0)[None], axis=0)
    scores = scores * np.sign(largest)
    return 2 * (scores - scores.min(axis=0)) / np.ptp(scores, axis=0) - 1


def random_scores(n_samples: int, n_factors: int, seed: int) -> np.ndarray:
    """Standard normal scores, shape (sample, factor)."""
    return np.random.default_rng(seed).standard_normal((n_samples, n_factors))
