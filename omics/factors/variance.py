"""Variance explained, on the observed entries."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from omics.factors.likelihoods import PSEUDO
from omics.factors.state import Expectations, Layer, Weights


class Explained(NamedTuple):
    """Variance explained in one view.

    Attributes
    ----------
    r2 : numpy.ndarray, shape (factor,)
        ``1 - sum (y - z_k w_k)^2 / sum y^2`` for one factor at a time.
    r2_total : float
        The same with all factors.
    scale : float
        Root mean square of y.
    """

    r2: np.ndarray
    r2_total: float
    scale: float


def explained(layer: Layer, weights: Weights, fit: Expectations) -> Explained:
    """Variance that the factors explain in one view.

    ``y`` is the centred data of a Gaussian view. For a binary or count view it is the pseudo-data at the end of the
    fit, as in mofapy2; but here too only observed entries count.

    Parameters
    ----------
    layer : Layer
        The view that was fitted.
    weights : Weights
        Its weights.
    fit : Expectations
        The fit, for the moments of the factors.
    """
    mean = fit.score @ weights.mean.T  # (sample, feature)
    square = mean**2 - fit.score**2 @ (weights.mean**2).T + fit.score_square @ weights.square.T
    pseudo, _ = PSEUDO[layer.likelihood](layer.values, mean, square, weights)
    observed = ~np.isnan(pseudo)
    y = np.where(observed, pseudo, 0.0)
    total = np.sum(y**2)
    fitted = np.einsum("nk,nk->k", fit.score, y @ weights.mean)  # sum y z_k w_k
    own = np.einsum("nk,nk->k", fit.score**2, observed @ weights.mean**2)  # sum (z_k w_k)^2
    residual = np.sum((y - np.where(observed, mean, 0.0)) ** 2)
    return Explained((2 * fitted - own) / total, float(1 - residual / total), float(np.sqrt(total / observed.sum())))
