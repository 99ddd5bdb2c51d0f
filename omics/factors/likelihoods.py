"""Pseudo-data: what makes a binary or count layer look Gaussian, given the current moments of z'w.

Each function takes the observed `values`, the moments ``mean = E[z'w]`` and ``square = E[(z'w)^2]``, and the view's
weights; it returns (pseudo-data less the frozen shift, its precision). NaN in `values` stays NaN in the pseudo-data.

References
----------
Jaakkola and Jordan (2000), Statistics and Computing 10:25-37, for Bernoulli; Seeger and Bouchard (2012), AISTATS,
for Poisson.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np
from scipy.special import expit

from omics.factors.state import Weights

#: Added to the Poisson rate, so that its logarithm exists.
RATE_FLOOR = 1e-4

Pseudo = tuple[np.ndarray, np.ndarray]


def gaussian(values: np.ndarray, mean: np.ndarray, square: np.ndarray, weights: Weights) -> Pseudo:
    """Gaussian data are their own pseudo-data: ``y - shift`` with precision ``E[tau]``."""
    return values - weights.shift, np.broadcast_to(weights.precision, values.shape)


def bernoulli(values: np.ndarray, mean: np.ndarray, square: np.ndarray, weights: Weights) -> Pseudo:
    """``(2y - 1) / (2 tau) - shift`` with ``tau = tanh(zeta/2) / (2 zeta)`` and ``zeta = sqrt(E[(z'w)^2])``."""
    zeta = np.sqrt(np.maximum(square, np.finfo(float).tiny))  # tau tends to 1/4 as zeta goes to 0
    tau = np.tanh(zeta / 2) / (2 * zeta)
    return (2 * values - 1) / (2 * tau) - weights.shift, tau


def poisson(values: np.ndarray, mean: np.ndarray, square: np.ndarray, weights: Weights) -> Pseudo:
    """``zeta - sigmoid(zeta) (1 - y / rate) / tau - shift`` with ``zeta = E[z'w]`` and ``rate = ln(1 + e^zeta)``."""
    rate = np.logaddexp(0, mean) + RATE_FLOOR
    pseudo = mean - expit(mean) * (1 - values / rate) / weights.precision - weights.shift
    return pseudo, np.broadcast_to(weights.precision, values.shape)


PSEUDO: Mapping[str, Callable[[np.ndarray, np.ndarray, np.ndarray, Weights], Pseudo]] = MappingProxyType(
    {"gaussian": gaussian, "bernoulli": bernoulli, "poisson": poisson}
)
