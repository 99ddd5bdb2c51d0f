"""Linear algebra patient by patient: one alone gets bitwise the same answer as in any company.

A product of many rows rounds by the number of rows, and a large one by the number of threads. Here each row is
multiplied on its own, in pieces that BLAS does not split. Symmetric matrices are packed: K (K + 1) / 2 columns, the
upper triangle row by row, so that a sum of them over features is a product with the table of :func:`pairs_of`.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from omics import blocks

#: Multiplications below which no BLAS starts threads.
_PIECE = 8192


class Sums(NamedTuple):
    """What the views tell of each patient: packed precision (patient, pair), ``sum tau E[w] y`` (patient, factor)."""

    precision: np.ndarray
    linear: np.ndarray


class Posterior(NamedTuple):
    """Of the factors of each patient."""

    mean: np.ndarray  # (patient, factor)
    covariance: np.ndarray  # (patient, factor, factor)


def no_sums(n_patients: int, n_factors: int) -> Sums:
    """Zeros to add to."""
    return Sums(np.zeros((n_patients, n_factors * (n_factors + 1) // 2)), np.zeros((n_patients, n_factors)))


def product(rows: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """``rows @ matrix``, one product a row, and each in pieces; see the module."""
    rows = np.ascontiguousarray(rows)  # not every NumPy gives BLAS another layout; all round by it
    result = np.zeros((len(rows), matrix.shape[1]))
    for columns in blocks.slices(matrix.shape[1], 64):
        piece = matrix[:, columns]
        for inner in blocks.slices(len(matrix), _PIECE // piece.shape[1]):
            result[:, columns] += np.matmul(rows[:, None, inner], piece[inner])[:, 0, :]
    return result


def pairs_of(mean: np.ndarray, square: np.ndarray | None = None) -> np.ndarray:
    """``E[w_k w_l]`` for k <= l by feature, shape (feature, pair); of the means alone if there is no `square`."""
    n_factors = mean.shape[1]
    table = np.concatenate([mean[:, k, None] * mean[:, k:] for k in range(n_factors)], axis=1)
    if square is not None:
        table[:, _diagonal(n_factors)] = square
    return table


def _diagonal(n_factors: int) -> np.ndarray:
    """Columns of a packed matrix that hold its diagonal."""
    first, second = np.triu_indices(n_factors)
    return np.flatnonzero(first == second)


def unpacked(triangles: np.ndarray, n_factors: int) -> np.ndarray:
    """The inverse of :func:`packed`."""
    first, second = np.triu_indices(n_factors)
    place = np.empty((n_factors, n_factors), dtype=np.intp)
    place[first, second] = place[second, first] = np.arange(first.size)
    return np.take(triangles, place, axis=1)  # fancy indexing may put the patients last in memory


def packed(matrices: np.ndarray) -> np.ndarray:
    """Upper triangles (patient, pair) of symmetric matrices (patient, factor, factor)."""
    n_factors = matrices.shape[1]
    first, second = np.triu_indices(n_factors)
    return np.take(matrices.reshape(-1, n_factors**2), first * n_factors + second, axis=1)


def solved(sums: Sums) -> tuple[np.ndarray, np.ndarray]:
    """Posterior mean and standard deviation, some patients at a time."""
    found = []
    for part in blocks.slices(len(sums.linear), blocks.BLOCK_SAMPLES):
        mean, covariance = solve(Sums(sums.precision[part], sums.linear[part]))
        found.append((mean, np.sqrt(np.diagonal(covariance, axis1=1, axis2=2))))
    means, sds = zip(*found, strict=True) if found else ([sums.linear], [sums.linear])
    return np.concatenate(means), np.concatenate(sds)


def solve(sums: Sums) -> Posterior:
    """Posterior of a few patients; the prior N(0, I) is added here."""
    n_factors = sums.linear.shape[1]
    covariance = np.linalg.inv(unpacked(sums.precision, n_factors) + np.eye(n_factors))
    return Posterior(times(covariance, sums.linear), covariance)


def times(matrices: np.ndarray, vectors: np.ndarray) -> np.ndarray:
    """One matrix times one vector for each patient."""
    return np.matmul(matrices, vectors[:, :, None])[:, :, 0]
