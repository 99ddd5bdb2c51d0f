"""The posterior of the factors of patients whom the fit has not seen.

With ``q(w)`` fixed, the prior ``z ~ N(0, I)`` and Gaussian (pseudo-)data, the posterior of one patient is exactly

    precision = I + sum_m sum_d tau_d (E[w_d] E[w_d]' + diag(E[w_d^2] - E[w_d]^2))
    mean      = precision^-1 sum_m sum_d tau_d E[w_d] (y_d - intercept_d)

over the entries that were observed: a missing entry, or a whole view, drops out of both sums and the standard
deviation grows. Binary and count views are iterated with their pseudo-data; see :mod:`omics.factors.iteration`.

Gaussian views are read one block of features at a time, and leave a sum for each patient. One patient alone gets
bitwise the same answer as in any company, on any scheduler and for any chunks, since these blocks depend on the
features alone and all else is done patient by patient; see :mod:`omics.factors.patientwise`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import dask.array as da
import numpy as np
from scipy import sparse

from omics import blocks
from omics.factors.iteration import iterated
from omics.factors.patientwise import Sums, no_sums, pairs_of, product, solved
from omics.factors.projected import Projected, chosen, double, refuse_impossible, spread
from omics.factors.state import Weights

#: Features of the model in one block.
_FEATURES = 4096
#: Entries that are worked on at a time: what fits a cache.
_ENTRIES = 2**18
#: Bytes of weights that travel to workers at a time.
_ROUND_BYTES = 2**23


class _Part(NamedTuple):
    """Some rows of a view, and one or several blocks of features."""

    values: Any
    columns: list[Any]  # of `values`, by block: a slice, or positions
    groups: np.ndarray  # by row
    weights: list[Weights]  # by block
    name: str


def posterior(views: Sequence[Projected], groups: np.ndarray, *, compat: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """Posterior mean and standard deviation of the factors.

    Parameters
    ----------
    views : sequence of Projected
        At least one. Values in memory stay where they are; a dask array is read once, by tasks that dask places.
    groups : numpy.ndarray, shape (patient,)
        Group of each patient, as a row of the weights' intercept and precision.
    compat : bool
        Bounds of mofapy2 for binary and count views.

    Returns
    -------
    mean, sd : numpy.ndarray, shape (patient, factor)
        0 and 1, the prior, for a patient about whom nothing is known.

    Raises
    ------
    DataError
        A value is one that the likelihood cannot have.
    """
    n_factors = views[0].weights.mean.shape[1]
    sums = no_sums(groups.size, n_factors)
    for view in views:
        if view.weights.likelihood == "gaussian":
            _add_gaussian(view, groups, sums)
    local = [view for view in views if view.weights.likelihood != "gaussian"]
    return iterated(local, groups, sums, compat) if local else solved(sums)


def _add_gaussian(view: Projected, groups: np.ndarray, sums: Sums) -> None:
    """Add what a Gaussian view tells to `sums`, in place and always in the order of the features."""
    lazy = isinstance(view.values, da.Array)
    features = _feature_blocks(view)
    at_once = max(1, _ROUND_BYTES // (_FEATURES * (view.weights.mean[:1].nbytes + view.weights.square[:1].nbytes)))
    for rows in _row_blocks(view.values):
        patients = view.rows[rows]
        # Few patients have wide chunks: several blocks a task, or each would read the chunk again.
        a_task = min(at_once, max(1, blocks.features_per_block(patients.size) // _FEATURES))
        for some in blocks.slices(len(features), at_once // a_task * a_task):
            tasks = [features[some][task] for task in blocks.slices(len(features[some]), a_task)]
            found = spread(_tell, [_part(view, rows, task, groups) for task in tasks], lazy)
            for told in (told for of_task in found for told in of_task):
                sums.precision[patients] += told.precision
                sums.linear[patients] += told.linear


def _row_blocks(values: Any) -> Iterable[slice]:
    """About as many rows as a store has in a chunk; of a lazy array whole chunks, so that each is read once."""
    if not isinstance(values, da.Array):
        return blocks.slices(len(values), blocks.BLOCK_SAMPLES)
    edges = [0]
    for stop in np.cumsum(values.chunks[0]):
        if stop - edges[-1] >= blocks.BLOCK_SAMPLES:
            edges.append(int(stop))
    edges += [len(values)] if edges[-1] < len(values) else []
    return (slice(start, stop) for start, stop in pairwise(edges))


def _feature_blocks(view: Projected) -> list[np.ndarray]:
    """Blocks of the model's features, less those that the view lacks.

    They follow the order of the model if the view has it too; else that of the view, because a store is read forwards.
    """
    order, columns = np.arange(view.columns.size), view.columns
    if np.any(np.diff(columns[columns >= 0]) < 0):
        order = np.argsort(np.where(columns < 0, np.iinfo(np.intp).max, columns), kind="stable")
    cut = [order[part] for part in blocks.slices(order.size, _FEATURES)]
    found = [part[columns[part] >= 0] for part in cut]
    return [part for part in found if part.size]


def _part(view: Projected, rows: slice, features: list[np.ndarray], groups: np.ndarray) -> _Part:
    """What a task needs; of lazy values only the columns of these features."""
    values, columns = view.values[rows], [_consecutive(view.columns[some]) for some in features]
    if isinstance(values, da.Array):
        values = values[:, _consecutive(view.columns[np.concatenate(features)])]
        ends = np.cumsum([some.size for some in features])
        columns = [slice(end - some.size, end) for end, some in zip(ends, features, strict=True)]
    weights = [chosen(view.weights, some) for some in features]
    return _Part(values, columns, groups[view.rows[rows]], weights, view.name)


def _consecutive(columns: np.ndarray) -> Any:
    """A slice, of which NumPy makes a view and dask reads no more than needed, if rising positions are consecutive."""
    whole = columns.size and columns[-1] - columns[0] == columns.size - 1
    return slice(int(columns[0]), int(columns[-1]) + 1) if whole else columns


def _tell(part: _Part) -> list[Sums]:
    """``sum_d tau E[w w']``, packed, and ``sum_d tau E[w] (y - intercept)`` for each row and block."""
    return [
        _tell_block(part.values, columns, part.groups, double(weights), part.name)
        for columns, weights in zip(part.columns, part.weights, strict=True)
    ]


def _tell_block(values: np.ndarray, columns: Any, groups: np.ndarray, weights: Weights, name: str) -> Sums:
    pairs = pairs_of(weights.mean, weights.square)
    whole = product(weights.precision, pairs)  # of a row of each group that lacks no entry
    found = no_sums(len(values), weights.mean.shape[1])
    for rows in blocks.slices(len(values), max(1, _ENTRIES // len(pairs))):
        tau = weights.precision[groups[rows]]
        y = values[rows][:, columns] - weights.intercept[groups[rows]]
        missing = ~np.isfinite(y)
        found.precision[rows] = whole[groups[rows]]
        y *= tau
        if missing.any():
            refuse_impossible(values[rows][:, columns], weights.likelihood, name)
            y[missing] = 0.0
            _leave_out(found.precision[rows], missing, tau, pairs)
        found.linear[rows] = product(y, weights.mean)
    return found


def _leave_out(precision: np.ndarray, missing: np.ndarray, tau: np.ndarray, pairs: np.ndarray) -> None:
    """Take missing entries off the sum over all, or sum over the others if those are fewer; in place.

    A sparse product adds entry after entry, row by row, whatever the other rows.
    """
    few = 2 * missing.sum(axis=1) <= missing.shape[1]
    listed = sparse.csr_array(np.where(missing == few[:, None], tau, 0.0)) @ pairs
    precision[few] -= listed[few]
    precision[~few] = listed[~few]
