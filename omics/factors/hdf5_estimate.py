"""What the data tell about the noise, where a file has but the means of factors and weights.

Gaussian residuals give the precision, under mofapy2's prior; binary and count layers have the pseudo-data that mofapy2
would have made of the same means.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from scipy.special import expit

#: Shape and rate of the gamma prior of the noise.
_PRIOR = 1e-3


@dataclass(frozen=True)
class Estimate:
    """What the data in the file tell about one view, or one block of its features.

    Attributes
    ----------
    intercept : numpy.ndarray, shape (group, feature)
        What was taken off the pseudo-data; of Gaussian data, less what had been taken off before they were saved.
    precision : numpy.ndarray, shape (group, feature)
        E[tau], NaN where it depends on the sample.
    total : numpy.ndarray, shape (group,)
        Sum of squares of the (pseudo-)data.
    information : numpy.ndarray, shape (sample, factor)
        What the view adds to the posterior precision of the factors.
    moments : numpy.ndarray, shape (3, group, feature)
        Number, sum and sum of squares of the values.
    """

    intercept: np.ndarray
    precision: np.ndarray
    total: np.ndarray
    information: np.ndarray
    moments: np.ndarray

    @property
    def scaled(self) -> bool:
        """Whether all values together, and not each feature, have an sd of 1: then the fit has scaled them."""
        sds = [_sd(self.moments.sum(axis=axes)) for axes in ((1, 2), 2, 1)]
        whole, group, feature = (np.abs(sd - 1) for sd in sds)
        return bool((whole < 1e-4 or (group < 1e-4).all()) and np.nanmax(feature) > 1e-2)


def _sd(moments: np.ndarray) -> np.ndarray:
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = moments[1] / moments[0]
        return np.asarray(np.sqrt(np.maximum(moments[2] / moments[0] - mean**2, 0)))


def estimate(
    values: np.ndarray,
    score: np.ndarray,
    weight: np.ndarray,
    rows: Sequence[slice],
    likelihood: str,
    tau: np.ndarray | None = None,
) -> Estimate:
    """Estimate what a file does not say of some features.

    Parameters
    ----------
    values : numpy.ndarray, shape (sample, feature)
        Data as the engine saw them, NaN where missing.
    score : numpy.ndarray, shape (sample, factor)
        E[z].
    weight : numpy.ndarray, shape (feature, factor)
        E[w].
    rows : sequence of slice
        Samples of each group.
    likelihood : str
        gaussian, bernoulli or poisson.
    tau : numpy.ndarray, shape (sample, feature), optional
        Precision of the noise, where it is known.
    """
    pseudo, estimated, intercept = _PSEUDO[likelihood](values, score @ weight.T, rows)
    noise, known = estimated if tau is None else tau, ~np.isnan(values)
    precision = np.full(intercept.shape, np.nan)
    if likelihood != "bernoulli":  # there it depends on the sample
        for g, own in enumerate(rows):
            precision[g] = np.where(known[own], noise[own], -np.inf).max(axis=0)  # the same wherever it was observed
        precision[np.isneginf(precision)] = 1.0  # observed nowhere: the mean of the prior
    squares, filled = np.where(known, pseudo, 0.0) ** 2, np.where(known, values, 0.0)
    return Estimate(
        intercept=intercept,
        precision=precision,
        total=np.array([squares[own].sum() for own in rows]),
        information=np.where(known, noise, 0.0) @ weight**2,
        moments=np.array([[part[own].sum(axis=0) for own in rows] for part in (known, filled, filled**2)]),
    )


def joined(parts: Sequence[Estimate]) -> Estimate:
    """Blocks of features side by side."""
    return Estimate(
        intercept=np.concatenate([part.intercept for part in parts], axis=-1),
        precision=np.concatenate([part.precision for part in parts], axis=-1),
        total=np.sum([part.total for part in parts], axis=0),
        information=np.sum([part.information for part in parts], axis=0),
        moments=np.concatenate([part.moments for part in parts], axis=-1),
    )


_Pseudo = tuple[np.ndarray, np.ndarray, np.ndarray]


def _gaussian(values: np.ndarray, eta: np.ndarray, rows: Sequence[slice]) -> _Pseudo:
    """Values, precision of their residuals under mofapy2's prior, and less their means: 0 if they were centred."""
    known = ~np.isnan(values)
    tau, shift = np.empty(values.shape), np.empty((len(rows), values.shape[1]))
    for g, own in enumerate(rows):
        count = known[own].sum(axis=0)
        residual = np.where(known[own], values[own] - eta[own], 0.0)
        tau[own] = (_PRIOR + count / 2) / (_PRIOR + (residual**2).sum(axis=0) / 2)
        shift[g] = -np.where(known[own], values[own], 0.0).sum(axis=0) / np.maximum(count, 1)
    return values, tau, shift


def _bernoulli(values: np.ndarray, eta: np.ndarray, rows: Sequence[slice]) -> _Pseudo:
    """Jaakkola's pseudo-data; missing entries count as 0 in their mean, as in mofapy2."""
    zeta = np.maximum(np.abs(eta), 1e-12)
    tau = np.tanh(zeta / 2) / (2 * zeta)
    return _less_mean((2 * np.nan_to_num(values) - 1) / (2 * tau), tau, rows)


def _poisson(values: np.ndarray, eta: np.ndarray, rows: Sequence[slice]) -> _Pseudo:
    """Seeger's pseudo-data; missing entries of them count as 0 in their mean, as in mofapy2."""
    counts = np.nan_to_num(values)
    tau = np.broadcast_to(0.25 + 0.17 * counts.max(axis=0), values.shape)
    rate = np.logaddexp(0, eta) + 1e-4
    pseudo = eta - expit(eta) * (1 - counts / rate) / tau
    return _less_mean(np.where(np.isnan(values), 0.0, pseudo), tau, rows)


def _less_mean(pseudo: np.ndarray, tau: np.ndarray, rows: Sequence[slice]) -> _Pseudo:
    mean = pseudo.mean(axis=0)
    return pseudo - mean, tau, np.tile(mean, (len(rows), 1))


#: By likelihood: values, E[z]'E[w] and rows of groups to pseudo-data, their precision, and what adds to the intercept.
_PSEUDO: Mapping[str, Callable[[np.ndarray, np.ndarray, Sequence[slice]], _Pseudo]] = MappingProxyType(
    {"gaussian": _gaussian, "bernoulli": _bernoulli, "poisson": _poisson}
)
