"""The arithmetic of preparing: arrays in, arrays out; rows are samples, columns are features, NaN is missing.

The transformations of one patient (:func:`m_values`, :func:`library_size`, :func:`log_cpm`) take NumPy and dask
arrays alike. The statistics take one block of features in NumPy and work in float64.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import reduce, wraps
from typing import NamedTuple

import numpy as np

from omics.blocks import slices

#: Betas are drawn in to [0.001, 0.999]: at 0 and 1 the M-value is infinite, and below a thousandth the array measures
#: its own background, which the logarithm would blow up into the largest variance of all.
BETA_MARGIN = np.float32(0.001)

#: Reads added to each count, and twice to the library size, so that a count of 0 has a logarithm (voom's choice).
PRIOR_COUNT = np.float32(0.5)

#: Library sizes are summed in units of 1/1024 read: sums of whole numbers do not depend on their order.
_READ = 1024.0


def m_values(beta: np.ndarray) -> np.ndarray:
    """M = log2(b / (1 - b)) with b clipped to [0.001, 0.999], so that |M| <= 9.97.

    Parameters
    ----------
    beta : array, shape (sample, feature)
        Share of methylated molecules, 0 to 1.

    References
    ----------
    Du et al., BMC Bioinformatics 11:587 (2010): betas are heteroscedastic at the ends, M-values are not.
    """
    inside = np.clip(beta.astype(np.float32), BETA_MARGIN, 1 - BETA_MARGIN)
    return np.log2(inside / (1 - inside))


def library_size(counts: np.ndarray) -> np.ndarray:
    """Total of each sample's own counts over all features, shape (sample,), exact whatever the order or the chunks."""
    whole = np.rint(counts.astype(np.float64) * _READ)  # expected counts (RSEM) are fractions
    return np.nansum(whole, axis=1) / _READ


def log_cpm(counts: np.ndarray, size: np.ndarray) -> np.ndarray:
    """Log2 counts per million: log2((count + 0.5) / (size + 1) * 1e6).

    Parameters
    ----------
    counts : array, shape (sample, feature)
        Reads; fractions (expected counts) are allowed.
    size : array, shape (sample,)
        Library sizes.

    References
    ----------
    Law et al., Genome Biology 15:R29 (2014), equation for the log-cpm of voom.
    """
    millions = (size + 2 * PRIOR_COUNT) / 1e6
    return np.log2(counts.astype(np.float32) + PRIOR_COUNT) - np.log2(millions).astype(np.float32)[:, None]


# --- statistics of a block of features ----------------------------------------------------------------------------

#: Features that a statistic takes at a time: what it makes of them in float64 stays in the processor's cache.
_STRIP = 512


def _strips(block: np.ndarray) -> Iterator[np.ndarray]:
    return (block[:, part] for part in slices(block.shape[1], _STRIP))


def _by_strip(statistic: Callable[[np.ndarray], np.ndarray]) -> Callable[[np.ndarray], np.ndarray]:
    """A statistic of each feature, taken strip by strip: the same numbers, several times as fast."""

    @wraps(statistic)
    def of_block(block: np.ndarray) -> np.ndarray:
        return np.concatenate([statistic(strip) for strip in _strips(block)] or [statistic(block)], axis=-1)

    return of_block


@_by_strip
def missing_share(block: np.ndarray) -> np.ndarray:
    """Share of samples without a value, shape (feature,)."""
    return np.count_nonzero(np.isnan(block), axis=0) / len(block)


@_by_strip
def carriers(block: np.ndarray) -> np.ndarray:
    """Samples with a 1 and samples with a 0, shape (2, feature)."""
    return np.stack([(block > 0).sum(axis=0), (block == 0).sum(axis=0)])


@_by_strip
def mean(block: np.ndarray) -> np.ndarray:
    """Mean of the values that are there, shape (feature,); NaN where there are none."""
    total = block.sum(axis=0, dtype=np.float64)
    if len(block) and not np.isnan(total).any():  # most data are complete
        return total / len(block)
    there = ~np.isnan(block)
    total = np.where(there, block, 0).sum(axis=0, dtype=np.float64)
    count = there.sum(axis=0)
    return np.divide(total, count, out=np.full(len(count), np.nan), where=count > 0)


@_by_strip
def median(block: np.ndarray) -> np.ndarray:
    """Median of the values that are there, shape (feature,); NaN where there are none."""
    ordered = np.sort(block, axis=0).astype(np.float64)  # NaN comes last
    count = (~np.isnan(block)).sum(axis=0)
    columns = np.arange(block.shape[1])
    low, high = np.maximum(count - 1, 0) // 2, np.minimum(count // 2, len(block) - 1)
    return (ordered[low, columns] + ordered[high, columns]) / 2


@_by_strip
def variance(block: np.ndarray) -> np.ndarray:
    """Sample variance of the values that are there, shape (feature,); 0 for a single value or none.

    Of a constant it is exactly 0 too: numbers of float32 add up without rounding in float64.
    """
    deviation = block.astype(np.float64)
    deviation -= mean(block)
    square = np.einsum("sf,sf->f", deviation, deviation)
    if len(block) and not np.isnan(square).any():  # most data are complete
        return square / max(len(block) - 1, 1)
    there = ~np.isnan(deviation)
    deviation[~there] = 0.0
    return np.einsum("sf,sf->f", deviation, deviation) / np.maximum(np.count_nonzero(there, axis=0) - 1, 1)


def batch_offsets(block: np.ndarray, codes: np.ndarray, n_batches: int) -> np.ndarray:
    """Mean of each batch minus the mean of all rows, shape (batch, feature); 0 where a batch has no value.

    Parameters
    ----------
    block : numpy.ndarray, shape (sample, feature)
        Values.
    codes : numpy.ndarray of int, shape (sample,)
        Batch of each row; -1 where it is not known.
    n_batches : int
        Number of batches.
    """
    offsets = np.stack([mean(block[codes == code]) for code in range(n_batches)]) - mean(block)
    return np.nan_to_num(offsets, nan=0.0)


class Moments(NamedTuple):
    """Count, mean and summed squared deviation of all values of a block."""

    n: int
    mean: float
    square: float


def moments(block: np.ndarray) -> Moments:
    """Moments of all values that are there."""
    return reduce(pool, map(_moments, _strips(block)), Moments(0, 0.0, 0.0))


def _moments(strip: np.ndarray) -> Moments:
    values = strip.astype(np.float64)
    centre = values.mean() if values.size else np.nan
    if np.isnan(centre):
        values = values[~np.isnan(values)]
        if not values.size:
            return Moments(0, 0.0, 0.0)
        centre = values.mean()
    values -= centre
    return Moments(values.size, float(centre), float(np.square(values, out=values).sum()))


def pool(left: Moments, right: Moments) -> Moments:
    """Moments of two blocks together.

    References
    ----------
    Chan, Golub, LeVeque, American Statistician 37:242 (1983).
    """
    n = left.n + right.n
    if not n:
        return left
    step = right.mean - left.mean
    share = right.n / n
    return Moments(n, left.mean + step * share, left.square + right.square + step**2 * left.n * share)


# --- kernels that apply what was learned --------------------------------------------------------------------------


def blank(values: np.ndarray, present: np.ndarray, otherwise: float = np.nan) -> np.ndarray:
    """Values, `otherwise` in the columns that are not present."""
    return np.where(present, values, np.float32(otherwise))


def take_off(values: np.ndarray, offset: np.ndarray) -> np.ndarray:
    """Values minus an offset a feature."""
    return values - offset.astype(np.float32)


def take_off_batch(values: np.ndarray, codes: np.ndarray, table: np.ndarray) -> np.ndarray:
    """Values minus the row of `table`, shape (batch, feature), of each sample's batch."""
    return values - table.astype(np.float32)[codes]


def fill(values: np.ndarray, substitute: np.ndarray) -> np.ndarray:
    """Values, with a substitute a feature where they are missing."""
    return np.where(np.isnan(values), substitute.astype(np.float32), values)
