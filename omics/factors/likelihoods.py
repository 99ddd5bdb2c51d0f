"""Pseudo-data: what makes a binary or count view look Gaussian, and the values that a linear predictor leads to.

With the linear predictor ``eta = b + z'w``, intercept b, a bound on the logarithm of the likelihood touches at zeta:

    Bernoulli  zeta = sqrt(E[eta^2])   tau = tanh(zeta/2) / (2 zeta)   pseudo-data (y - 1/2) / tau
    Poisson    zeta = E[eta]           tau of the view                 pseudo-data zeta - slope / tau

where the Poisson rate is ``ln(1 + e^eta)`` and ``slope = sigmoid(zeta) (1 - y / rate)``; b is then taken off the
pseudo-data. With `compat` they are those of mofapy2: eta is z'w, a rate has :data:`RATE_FLOOR` added, and b, the mean
that the pseudo-data had in training, is all the same taken off.

References
----------
Jaakkola and Jordan (2000), Statistics and Computing 10:25-37, for Bernoulli; Seeger and Bouchard (2012), AISTATS,
for Poisson.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
from scipy.special import expit

#: Added to mofapy2's Poisson rate, so that its logarithm exists.
RATE_FLOOR = 1e-4
#: Below, ``sigmoid(zeta) / ln(1 + e^zeta)`` is 1 to the last digit.
_LOWEST = -36.0


class Pseudo(NamedTuple):
    """Pseudo-data of some entries.

    Attributes
    ----------
    values : numpy.ndarray
        Less the intercept; NaN where there is no entry.
    precision : numpy.ndarray
        tau.
    curvature : numpy.ndarray
        Minus the second derivative, in E[z'w], of the bound that follows zeta (Poisson: of the log-likelihood): in
        [0, tau] for data like those of the fit. A step with it, instead of tau, is Newton's.
    """

    values: np.ndarray
    precision: np.ndarray
    curvature: np.ndarray


#: ``function(values, mean, square, intercept, precision)``: observed values, ``E[z'w]``, ``E[(z'w)^2]``, and what
#: broadcasts with them: the intercept and the view's stored precision of each entry.
PseudoData = Callable[[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray], Pseudo]


def gaussian(
    values: np.ndarray, mean: np.ndarray, square: np.ndarray, intercept: np.ndarray, precision: np.ndarray
) -> Pseudo:
    """Gaussian data are their own pseudo-data: ``y - b`` with precision ``E[tau]``."""
    tau = np.broadcast_to(precision, values.shape)
    return Pseudo(values - intercept, tau, tau)


def bernoulli(
    values: np.ndarray, mean: np.ndarray, square: np.ndarray, intercept: np.ndarray, precision: np.ndarray
) -> Pseudo:
    """``(y - 1/2) / tau - b`` with ``zeta^2 = b^2 + 2 b E[z'w] + E[(z'w)^2]``."""
    return _jaakkola(values, intercept + mean, intercept * (intercept + 2 * mean) + square, intercept)


def poisson(
    values: np.ndarray, mean: np.ndarray, square: np.ndarray, intercept: np.ndarray, precision: np.ndarray
) -> Pseudo:
    """``E[z'w] - sigmoid(zeta) (1 - y / rate) / tau``: ``zeta = b + E[z'w]``, ``rate = ln(1 + e^zeta)``.

    ``tau = 1/4 + 0.17 y`` bounds the curvature of each entry by itself; mofapy2 takes the largest count of the feature.
    """
    zeta = intercept + mean
    lifted = np.maximum(zeta, _LOWEST)  # sigmoid and rate both vanish far below, their ratio does not
    curvature = np.where(np.isnan(values), 0.25, 0.25 + 0.17 * values)
    return _seeger(values, mean, expit(zeta), expit(lifted) / np.logaddexp(0, lifted), curvature)


def _bernoulli_compat(
    values: np.ndarray, mean: np.ndarray, square: np.ndarray, intercept: np.ndarray, precision: np.ndarray
) -> Pseudo:
    return _jaakkola(values, mean, square, intercept)


def _poisson_compat(
    values: np.ndarray, mean: np.ndarray, square: np.ndarray, intercept: np.ndarray, precision: np.ndarray
) -> Pseudo:
    sigmoid = expit(mean)
    pseudo = _seeger(values, mean, sigmoid, sigmoid / (np.logaddexp(0, mean) + RATE_FLOOR), precision)
    return pseudo._replace(values=pseudo.values - intercept)


def _jaakkola(values: np.ndarray, eta: np.ndarray, square: np.ndarray, intercept: np.ndarray) -> Pseudo:
    """With ``zeta^2 = square``; the curvature goes from tau, where eta = 0, to the likelihood's, where eta = zeta."""
    squared = np.maximum(square, np.finfo(float).tiny)  # tau tends to 1/4 as zeta goes to 0
    zeta = np.sqrt(squared)
    tanh = np.tanh(zeta / 2)
    tau = tanh / (2 * zeta)
    share = np.minimum(eta**2 / squared, 1.0)
    return Pseudo((values - 0.5) / tau - intercept, tau, (1 - share) * tau + share * (1 - tanh**2) / 4)


def _seeger(
    values: np.ndarray, mean: np.ndarray, sigmoid: np.ndarray, ratio: np.ndarray, precision: np.ndarray
) -> Pseudo:
    """With ``ratio = sigmoid / rate``."""
    slope = sigmoid - values * ratio
    curvature = np.maximum((1 - sigmoid) * slope + values * ratio**2, 0.0)
    return Pseudo(mean - slope / precision, np.broadcast_to(precision, slope.shape), curvature)


#: Pseudo-data by (likelihood, compat).
PSEUDO: Mapping[tuple[str, bool], PseudoData] = MappingProxyType(
    {
        ("gaussian", False): gaussian,
        ("gaussian", True): gaussian,
        ("bernoulli", False): bernoulli,
        ("bernoulli", True): _bernoulli_compat,
        ("poisson", False): poisson,
        ("poisson", True): _poisson_compat,
    }
)


#: Which observed values a likelihood can have, and how to say so.
POSSIBLE: Mapping[str, tuple[Callable[[np.ndarray], np.ndarray], str]] = MappingProxyType(
    {
        "gaussian": (np.isfinite, "finite numbers"),
        "bernoulli": (lambda y: (y == 0) | (y == 1), "0 and 1"),
        "poisson": (lambda y: np.isfinite(y) & (y >= 0) & (y == np.floor(y)), "counts"),
    }
)


def _rate(eta: np.ndarray) -> np.ndarray:
    return np.logaddexp(0, eta)


#: Expected value, given the linear predictor, by likelihood.
EXPECTED: Mapping[str, Callable[[np.ndarray], np.ndarray]] = MappingProxyType(
    {"gaussian": np.asarray, "bernoulli": expit, "poisson": _rate}
)


def has_intercept(likelihood: str, *, compat: bool) -> bool:
    """Whether the intercept belongs to the linear predictor; mofapy2's of a binary or count view does not."""
    return likelihood == "gaussian" or not compat
