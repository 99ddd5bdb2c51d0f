"""Cluster-free data of the same make: the correlations, the skew and the tails of the data, but one mode only.

References
----------
Helgeson, Vock and Bair (2021), Biometrics 77: testing clusters against a unimodal null distribution.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy.special import ndtr, ndtri

#: Modes that are tried for a margin.
MODES = 40
#: Smallest eigenvalue of a correlation matrix whose entries come from different patients.
_SMALLEST = 1e-6


class Margin(NamedTuple):
    """Distribution function of one factor as straight lines between knots."""

    value: np.ndarray
    probability: np.ndarray


class Null(NamedTuple):
    """Cluster-free data with the margins' skew and tails and the correlations of the scores.

    Attributes
    ----------
    margins : list of Margin
        One unimodal margin a factor.
    root : numpy.ndarray, shape (factor, factor)
        Cholesky factor of the correlation of the normal scores.
    absent : numpy.ndarray of bool, shape (sample, factor)
        Which values the data lack; drawn data lack the same.
    """

    margins: list[Margin]
    root: np.ndarray
    absent: np.ndarray

    @classmethod
    def of(cls, z: np.ndarray) -> Null:
        """The null of a data set, shape (sample, factor); NaN where a patient lacks the layer of the factor."""
        absent = np.isnan(z)
        margins = [unimodal(column[~gone]) for column, gone in zip(z.T, absent.T, strict=True)]
        return cls(margins, np.linalg.cholesky(_correlation(z, absent)), absent)

    def draw(self, rng: np.random.Generator) -> np.ndarray:
        """One data set of the same shape."""
        uniform = ndtr(rng.standard_normal(self.absent.shape) @ self.root.T)
        columns = [np.interp(u, m.probability, m.value) for u, m in zip(uniform.T, self.margins, strict=True)]
        return np.where(self.absent, np.nan, np.column_stack(columns))


def _correlation(z: np.ndarray, absent: np.ndarray) -> np.ndarray:
    """Correlation of the normal scores, of those patients who have both."""
    n_factors = z.shape[1]
    if not absent.any():
        rank = z.argsort(axis=0).argsort(axis=0)
        correlation = np.atleast_2d(np.corrcoef(ndtri((rank + 0.5) / len(z)), rowvar=False))
        return np.asarray(correlation + 1e-9 * np.eye(n_factors))
    rank = pd.DataFrame(z).rank(method="first").to_numpy() - 1
    normal = pd.DataFrame(ndtri((rank + 0.5) / (~absent).sum(axis=0)))
    value, vector = np.linalg.eigh(normal.corr(min_periods=3).fillna(0.0).to_numpy())
    nearest = (vector * np.maximum(value, _SMALLEST)) @ vector.T  # entries of different patients need not fit together
    scale = np.sqrt(nearest.diagonal())
    return np.asarray(nearest / np.outer(scale, scale))


def unimodal(x: np.ndarray) -> Margin:
    """The distribution with one mode that is nearest to the empirical one, as in the dip test.

    It is convex up to the mode (greatest convex minorant of the empirical distribution function) and concave from
    it on (least concave majorant); of 40 modes the one with the smallest largest distance is taken.

    References
    ----------
    Hartigan and Hartigan (1985), Annals of Statistics 13.
    """
    value = np.sort(x)
    probability = (np.arange(len(x)) + 0.5) / len(x)
    candidates = []
    for mode in np.unique(np.linspace(1, len(x) - 2, MODES).astype(int)):
        left = _minorant(value[: mode + 1], probability[: mode + 1])
        right = len(x) - 1 - _minorant(-value[: mode - 1 : -1], -probability[: mode - 1 : -1])[::-1]
        knots = np.concatenate([left, right[1:]])
        distance = np.abs(np.interp(value, value[knots], probability[knots]) - probability).max()
        candidates.append((distance, mode, knots))
    knots = min(candidates, key=lambda candidate: candidate[:2])[2]
    return Margin(value[knots], probability[knots])


def _minorant(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Knots of the greatest convex minorant of the points, x increasing."""
    hull: list[int] = []
    for i in range(len(x)):
        while len(hull) > 1 and _above(x, y, hull[-2], hull[-1], i):
            hull.pop()
        hull.append(i)
    return np.array(hull)


def _above(x: np.ndarray, y: np.ndarray, left: int, middle: int, right: int) -> bool:
    return bool((y[middle] - y[left]) * (x[right] - x[left]) >= (y[right] - y[left]) * (x[middle] - x[left]))
