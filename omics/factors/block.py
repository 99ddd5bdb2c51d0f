"""What the compiled updates of one block of features read and write: plain arrays under names.

K is the number of factors of all fits that share the pass, one after the other; F the number of fits; G of groups; N of
the view's own samples, sorted by group; D of the block's features. Matrices are factor-major or feature-major, so
that inner loops run over neighbouring memory.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from omics.factors.kernels import spans_of

GAUSSIAN, BERNOULLI, POISSON = 0, 1, 2
CODES = {"gaussian": GAUSSIAN, "bernoulli": BERNOULLI, "poisson": POISSON}


class Block(NamedTuple):
    """The data of some features, as a pass reads them.

    Attributes
    ----------
    likelihood : int
        One of CODES.
    n_features : int
        D; rows of `values` beyond it are zero, so that features can be taken by four.
    values : numpy.ndarray, shape (>= D, >= N)
        Gaussian: centred, 0 where missing; else as measured, NaN where missing. Columns beyond N are zero.
    bounds : numpy.ndarray, shape (G + 1,)
        Samples of group g are ``bounds[g]`` to ``bounds[g + 1]``.
    starts, missing : numpy.ndarray, shapes (D + 1,), (number of missing entries,)
        Missing entries of feature d: samples ``missing[starts[d]:starts[d + 1]]`` (Gaussian).
    square : numpy.ndarray, shape (G, D)
        ``sum_n y^2``.
    shape : numpy.ndarray, shape (3, G, D)
        Of the posterior of tau: ``a = a0 + n_observed / 2``, ``digamma(a)``, ``ln Gamma(a)``.
    curvature : numpy.ndarray, shape (D,)
        Poisson: ``1/4 + 0.17 max y``.
    mean : numpy.ndarray, shape (G, D)
        What was taken off, in the units of the values; for a binary or count view where its intercept starts.
    """

    likelihood: int
    n_features: int
    values: np.ndarray
    bounds: np.ndarray
    starts: np.ndarray
    missing: np.ndarray
    square: np.ndarray
    shape: np.ndarray
    curvature: np.ndarray
    mean: np.ndarray


class Moments(NamedTuple):
    """The factors as one view sees them: those of its own samples.

    Attributes
    ----------
    scores : numpy.ndarray, shape (>= K, >= N)
        E[z] in the precision of the data, zero in padding; what the large product takes.
    mean, square : numpy.ndarray, shape (K, N)
        E[z], E[z^2].
    rows : numpy.ndarray, shape (N, length) or (0, length)
        For single samples: rows of second moments as of :func:`omics.factors.kernels.spans_of`.
    gram : numpy.ndarray, shape (G, K, multiple of 4)
        ``sum_n E[z_k] E[z_l]`` within each fit, columns counted from its first factor.
    quad : numpy.ndarray, shape (G, K)
        ``sum_n E[z^2]``.
    inverse : numpy.ndarray, shape (G,)
        What the view's values are multiplied by, so that scaling needs no second copy of the data.
    """

    scores: np.ndarray
    mean: np.ndarray
    square: np.ndarray
    rows: np.ndarray
    gram: np.ndarray
    quad: np.ndarray
    inverse: np.ndarray


class Prior(NamedTuple):
    """Prior of one view's weights (or of one group's factors).

    Attributes
    ----------
    alpha, log_odds : numpy.ndarray, shape (K,)
        E[alpha]; E[ln theta] - E[ln(1 - theta)].
    spike : bool
        Whether there are spikes.
    entropy : bool
        Whether the bound will be wanted after this pass.
    """

    alpha: np.ndarray
    log_odds: np.ndarray
    spike: bool
    entropy: bool


class Mode(NamedTuple):
    """What a pass does.

    Attributes
    ----------
    noise : bool
        Update tau (all passes but the first).
    learn : bool
        Update the weights (all passes but the last).
    explain : bool
        Add up what the variance explained needs.
    compat : bool
        mofapy2's bounds for binary and count views.
    """

    noise: bool
    learn: bool
    explain: bool
    compat: bool


class Learned(NamedTuple):
    """What is known about the features of a block; a pass makes a new one and leaves the old as it was.

    Attributes
    ----------
    mean, square : numpy.ndarray, shape (K, D)
        E[w], E[w^2].
    tau : numpy.ndarray, shape (F, G, D)
        E[tau].
    intercept : numpy.ndarray, shape (F, G, D)
        Binary and count views: what is taken off the linear predictor (compat: off the pseudo-data).
    zeta : numpy.ndarray, shape (F, D, N)
        Binary and count views with compat: where the bound touches; else empty.
    """

    mean: np.ndarray
    square: np.ndarray
    tau: np.ndarray
    intercept: np.ndarray
    zeta: np.ndarray


class Sums(NamedTuple):
    """All that leaves a block: sums over its features, of the size of the factors.

    Attributes
    ----------
    linear : numpy.ndarray, shape (K, N)
        ``sum_d tau y E[w]``.
    gram, quad : numpy.ndarray, shapes (G, K, multiple of 4), (G, K)
        ``sum_d tau E[w_k] E[w_l]``, ``sum_d tau E[w^2]`` for samples that lack none of the features.
    local : numpy.ndarray, shape (N, length) or (0, length)
        What has to be taken off those for single samples, as rows of :func:`omics.factors.kernels.spans_of`; none
        where nothing is missing. Of a Gaussian view in the precision of the data.
    prior : numpy.ndarray, shape (K, 4)
        ``sum_d`` of S, of the second moment with the spike's own, of S ln s2, of the entropy of S.
    data : numpy.ndarray, shape (F, 4)
        ``sum_d`` of: E[ln tau] n_observed / 2 (or the constant of the bound); E[tau] (b - b0) before the weights were
        updated; the Kullback-Leibler part of tau; ``tau sum_n y^2``.
    explained : numpy.ndarray, shape (G, K)
        ``sum (2 y z_k w_k - (z_k w_k)^2)``.
    residual : numpy.ndarray, shape (2, F, G)
        ``sum (y - z'w)^2`` and ``sum y^2``.
    """

    linear: np.ndarray
    gram: np.ndarray
    quad: np.ndarray
    local: np.ndarray
    prior: np.ndarray
    data: np.ndarray
    explained: np.ndarray
    residual: np.ndarray


def no_sums(fits: np.ndarray, n_groups: int, n_samples: int, local: str | None) -> Sums:
    """Zeros to add to; `local` is the precision of what is taken off for single samples, if anything is."""
    n_factors, n_fits, width = int(fits[-1]), len(fits) - 1, widest(fits)
    return Sums(
        np.zeros((n_factors, n_samples)),
        np.zeros((n_groups, n_factors, width)),
        np.zeros((n_groups, n_factors)),
        np.zeros((n_samples if local else 0, spans_of(fits)[-1]), local or float),
        np.zeros((n_factors, 4)),
        np.zeros((n_fits, 4)),
        np.zeros((n_groups, n_factors)),
        np.zeros((2, n_fits, n_groups)),
    )


def total(parts: Sequence[Sums]) -> Sums:
    """Sum, always in the given order; a part without local corrections has none to add."""
    return Sums(*(_add(arrays) for arrays in zip(*parts, strict=True))) if len(parts) > 1 else parts[0]


def _add(arrays: Sequence[np.ndarray]) -> Any:
    first, *others = [array for array in arrays if array.size] or arrays[:1]
    if not others:
        return first
    result = first + others[0]
    for array in others[1:]:
        result += array
    return result


def taken(sums: Sums, fits: np.ndarray, factors: np.ndarray, kept: np.ndarray, new_fits: np.ndarray) -> Sums:
    """The sums of some factors and fits alone.

    Parameters
    ----------
    sums : Sums
        Of all fits.
    fits, new_fits : numpy.ndarray
        First factor of each fit and the number of all, before and after.
    factors, kept : numpy.ndarray
        Which factors and which fits stay, in their order.
    """

    def columns(matrices: np.ndarray) -> np.ndarray:
        result = np.zeros((len(matrices), len(factors), widest(new_fits)))
        for f, (first, last) in zip(kept, pairwise(new_fits), strict=True):
            own = factors[first:last]
            result[:, first:last, : last - first] = matrices[:, own][:, :, own - fits[f]]
        return result

    return Sums(
        sums.linear[factors],
        columns(sums.gram),
        sums.quad[:, factors],
        _taken_rows(sums.local, fits, factors, kept, new_fits),
        sums.prior[factors],
        sums.data[kept],
        sums.explained[:, factors],
        sums.residual[:, kept],
    )


def _taken_rows(
    rows: np.ndarray, fits: np.ndarray, factors: np.ndarray, kept: np.ndarray, new_fits: np.ndarray
) -> np.ndarray:
    spans, new_spans = spans_of(fits), spans_of(new_fits)
    result = np.zeros((len(rows), new_spans[-1]))
    for f, start, (first, last) in zip(kept, new_spans, pairwise(new_fits), strict=False):
        own, n_factors = factors[first:last] - fits[f], fits[f + 1] - fits[f]
        i, m = np.tril_indices(own.size)
        where = np.concatenate([pair_of(own[i], own[m]), pair_of(n_factors, own)])
        result[:, start : start + where.size] = rows[:, spans[f] + where]
    return result


def pair_of(i: Any, m: Any) -> Any:
    """Positions in the lower half of a symmetric matrix, row after row, of entries (i, m), i >= m."""
    return i * (i + 1) // 2 + m


def widest(fits: np.ndarray) -> int:
    """Factors of the largest fit, rounded up to a multiple of four."""
    return up(int(np.diff(fits).max()), 4)


def up(n: int, step: int) -> int:
    """`n` rounded up to a multiple of `step`."""
    return -(-n // step) * step
