"""Raw values of some features to a block that a pass can read: sorted, centred, turned, its holes listed."""

from __future__ import annotations

import mmap
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from scipy.special import digamma, gammaln

from omics.factors.block import CODES, GAUSSIAN, POISSON, Block, up
from omics.factors.gaussian import NOISE_SHAPE
from omics.factors.kernels import jit

#: Samples are filled up to a multiple of this, so that the products need no remainder.
LANES = 16
#: Features that are centred together.
_WIDE = 128


class Rows(NamedTuple):
    """How the rows of one view lie among the samples of the fit.

    Attributes
    ----------
    order : numpy.ndarray, shape (N,)
        Rows of the view's values, so that samples come by group; -1 for a sample without a row.
    samples : numpy.ndarray, shape (N,)
        Their positions among the samples of the fit.
    bounds : numpy.ndarray, shape (G + 1,)
        Rows of group g are ``bounds[g]`` to ``bounds[g + 1]``.
    """

    order: np.ndarray
    samples: np.ndarray
    bounds: np.ndarray


class Facts(NamedTuple):
    """What checking and scaling need to know of some features.

    Attributes
    ----------
    square : numpy.ndarray, shape (G, D)
        ``sum (y - mean)^2``.
    observed : numpy.ndarray, shape (G, D)
        Observed entries.
    varies : numpy.ndarray, shape (D,)
        Whether there are two different observed values.
    wrong : numpy.ndarray
        Up to five observed values that the likelihood cannot have.
    missing : int
        Missing entries, if the view is Gaussian.
    mean : numpy.ndarray, shape (G, D)
        What a block takes off, as of :class:`omics.factors.block.Block`.
    """

    square: np.ndarray
    observed: np.ndarray
    varies: np.ndarray
    wrong: np.ndarray
    missing: int
    mean: np.ndarray


def rows_of(rows: np.ndarray, groups: np.ndarray, *, everybody: bool) -> Rows:
    """Sort the rows of a view by their position in the fit; with `everybody`, samples without a row are kept.

    Parameters
    ----------
    rows : numpy.ndarray
        Position of each row among the samples of the fit.
    groups : numpy.ndarray, shape (sample,)
        Group of each sample, never falling.
    """
    order = np.full(groups.size, -1)
    order[rows] = np.arange(rows.size)
    samples = np.arange(groups.size) if everybody else np.flatnonzero(order >= 0)
    bounds = np.searchsorted(groups[samples], np.arange(groups[-1] + 2))
    return Rows(order[samples], samples, bounds)


def pack(raw: np.ndarray, likelihood: str, rows: Rows, dtype: str, *, lasting: bool = False) -> tuple[Block, Facts]:
    """Make the block of some features.

    Parameters
    ----------
    raw : numpy.ndarray, shape (own sample, D)
        As measured, NaN where missing.
    likelihood : str
        Of the view.
    rows : Rows
        Of the view.
    dtype : str
        Of the values.
    lasting : bool
        Whether they are to be kept: in pages of their own then, since malloc keeps what it once gave to a thread.
    """
    make = _pack_gaussian if CODES[likelihood] == GAUSSIAN else _pack_counted
    shape = up(raw.shape[1], 4), up(rows.samples.size, LANES)
    values = _pages(shape, np.dtype(dtype)) if lasting else np.zeros(shape, dtype)
    return make(np.asarray(raw), likelihood, rows, values)


def _pages(shape: tuple[int, int], dtype: np.dtype) -> np.ndarray:
    size = shape[0] * shape[1]
    return np.frombuffer(mmap.mmap(-1, max(1, size * dtype.itemsize)), dtype, size).reshape(shape)


def _pack_gaussian(raw: np.ndarray, likelihood: str, rows: Rows, values: np.ndarray) -> tuple[Block, Facts]:
    n_features, n_groups = raw.shape[1], rows.bounds.size - 1
    mean, square, count = (np.zeros((n_groups, n_features)) for _ in range(3))
    low, high = np.full(n_features, np.inf), np.full(n_features, -np.inf)
    _centre(raw, rows.order, rows.bounds, values, mean, square, count, low, high)
    lacking = rows.samples.size - count.sum(axis=0)
    starts = np.concatenate([[0], np.cumsum(lacking)]).astype(np.int64)
    missing = np.empty(starts[-1], np.int32)
    if missing.size:
        _holes(raw, rows.order, starts, missing)
    bad = ~(np.isfinite(low) & np.isfinite(high)) & (count.sum(axis=0) > 0)
    wrong = raw[:, bad]
    facts = Facts(square, count, high > low, wrong[np.isinf(wrong)][:5], missing.size, mean)
    bounds = rows.bounds.copy()
    bounds[-1] = values.shape[1]  # zeros in padding add nothing, and full vectors are faster
    curvature = np.zeros(n_features)
    block = Block(
        CODES[likelihood], n_features, values, bounds, starts, missing, square, _shape(count), curvature, mean
    )
    return block, facts


def _shape(count: np.ndarray) -> np.ndarray:
    a = NOISE_SHAPE + count / 2
    if (a == a.flat[0]).all():  # complete data: special functions are slow
        one = a.flat[0]
        return np.stack([a, np.full_like(a, digamma(one)), np.full_like(a, gammaln(one))])
    return np.stack([a, digamma(a), gammaln(a)])


@jit
def _centre(raw, order, bounds, values, mean, square, count, low, high):
    """Centre each feature by group and turn the matrix, some features at a time; NaN becomes 0."""
    for first in range(0, raw.shape[1], _WIDE):
        wide = min(_WIDE, raw.shape[1] - first)
        lowest, highest = low[first : first + wide], high[first : first + wide]
        for g in range(bounds.size - 1):
            here = slice(first, first + wide)
            own_mean, own_square, own_count = mean[g, here], square[g, here], count[g, here]
            for n in range(bounds[g], bounds[g + 1]):
                row = raw[order[n], first : first + wide]
                for t in range(wide):
                    y = np.float64(row[t])
                    own_mean[t] += y if y == y else 0.0
                    own_count[t] += 1.0 if y == y else 0.0
            for t in range(wide):
                own_mean[t] = own_mean[t] / own_count[t] if own_count[t] > 0.0 else 0.0
            for n in range(bounds[g], bounds[g + 1], LANES):
                last = min(n + LANES, bounds[g + 1])
                _turn(raw, order[n:last], first, own_mean, own_square, lowest, highest, values[first:, n:last])


@jit
def _turn(raw, order, first, mean, square, low, high, values):
    """Some samples and features: a line of the cache of every feature is written at once."""
    centred = np.empty((LANES, _WIDE), values.dtype)
    for i in range(order.size):
        row, own = raw[order[i], first : first + mean.size], centred[i]
        for t in range(mean.size):
            y = np.float64(row[t])
            known = y == y
            c = y - mean[t] if known else 0.0
            own[t] = c
            square[t] += c * c
            low[t] = y if known and y < low[t] else low[t]
            high[t] = y if known and y > high[t] else high[t]
    for t in range(mean.size):
        out = values[t]
        for i in range(order.size):
            out[i] = centred[i, t]


@jit
def _holes(raw, order, starts, missing):
    """List the missing entries by feature."""
    cursor = starts[:-1].copy()
    for n in range(order.size):
        row = raw[order[n]]
        for d in range(row.size):
            if row[d] != row[d]:
                missing[cursor[d]] = n
                cursor[d] += 1


def _pack_counted(raw: np.ndarray, likelihood: str, rows: Rows, values: np.ndarray) -> tuple[Block, Facts]:
    """Binary and count views: as they are, NaN where missing."""
    n_samples, n_features = rows.samples.size, raw.shape[1]
    own = np.full((n_samples, n_features), np.nan)
    own[rows.order >= 0] = raw[rows.order[rows.order >= 0]]
    known = ~np.isnan(own)
    values[:n_features, :n_samples] = own.T
    groups = [slice(a, b) for a, b in pairwise(rows.bounds)]
    count = np.stack([known[g].sum(axis=0) for g in groups]).astype(float)
    total = np.stack([np.nansum(own[g], axis=0) for g in groups])
    highest = np.where(known, own, -np.inf).max(axis=0)
    varies = highest > np.where(known, own, np.inf).min(axis=0)
    poisson = CODES[likelihood] == POISSON
    possible = (own >= 0) & (own == np.floor(own)) & np.isfinite(own) if poisson else (own == 0) | (own == 1)
    wrong = own[known & ~possible][:5]
    intercept = _intercept(total, count, poisson=poisson)
    facts = Facts(np.zeros_like(count), count, varies, wrong, 0, intercept)
    block = Block(
        CODES[likelihood],
        n_features,
        values,
        rows.bounds,
        np.zeros(n_features + 1, np.int64),
        np.zeros(0, np.int32),
        np.zeros_like(count),
        np.stack([count, count, count]),
        0.25 + 0.17 * np.maximum(highest, 0.0) if poisson else np.zeros(n_features),
        intercept,
    )
    return block, facts


def _intercept(total: np.ndarray, count: np.ndarray, *, poisson: bool) -> np.ndarray:
    """Where the intercept starts: the link of a mean that is kept off 0 (and 1)."""
    mean = np.maximum(total + 0.5, 0.5) / (count + 1.0)
    return mean + np.log(-np.expm1(-mean)) if poisson else np.log(mean / (1.0 - np.minimum(mean, 1.0 - 1e-9)))
