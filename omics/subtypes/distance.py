r"""Distances of patients in omics layers of which each holds only some patients, and of which values may be missing.

The distance of two patients in a layer is the root mean square over features of the difference of their standardised
values. Without missing values :math:`\sum_{ij} d_{ij}^2 = 2 n^2`, whatever the number of features. Where features are
not standardised, because they carry weights, the distances are brought to the same sum.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from omics.schema import DataError, UsageError, refuse_duplicates

#: Fewer patients than this have no near and far neighbours.
FEWEST_PATIENTS = 3
#: Squared distances below this are rounding errors; their mean is about 2.
NEGLIGIBLE = 1e-12
#: Features of a view that are standardised at a time: 50 MB for 1,500 patients.
FEATURES = 4096


class Layer(NamedTuple):
    """Distances in one omics layer.

    Attributes
    ----------
    place : numpy.ndarray, shape (own sample,)
        Where the patients of the layer are among all patients; ascending.
    squared : numpy.ndarray, shape (own sample, own sample)
        Squared distances of the patients in that order.
    """

    place: np.ndarray
    squared: np.ndarray


def distances(views: Mapping[str, pd.DataFrame], *, standardise: bool = True) -> tuple[pd.Index, list[Layer]]:
    """Distances of the patients in each view.

    Parameters
    ----------
    views : mapping of str to pandas.DataFrame
        Layers, each (sample, feature) of the patients that it has; NaN is missing. Constant features are dropped.
    standardise : bool
        Whether features are standardised.

    Returns
    -------
    samples : pandas.Index
        All samples of the views, sorted.
    layers : list of Layer
        In the order of the sorted names of the views.

    Raises
    ------
    UsageError
        There is no view.
    DataError
        A view has fewer than three patients or no feature that varies; ids are duplicated; a value is not a finite
        number; a patient has no value, or two patients of a view have no feature in common; or no patient connects
        some views with the others.
    """
    if not views:
        raise UsageError("there is no view", fix="give at least one omics layer")
    names = sorted(views)
    for name in names:
        _refuse_view(views[name], f"view '{name}'")
    _refuse_apart(views, names)
    samples = pd.Index(sorted({sample for name in names for sample in views[name].index}), name="sample")
    found = []
    for name in names:
        place = samples.get_indexer(views[name].index)
        squared = _squared_distance(views[name], place.argsort(), standardise=standardise, where=f"view '{name}'")
        found.append(Layer(np.sort(place), squared))
    return samples, found


def _squared_distance(view: pd.DataFrame, rows: np.ndarray, *, standardise: bool, where: str) -> np.ndarray:
    r"""Mean squared difference of the values over the features that both patients have.

    .. math:: d_{ij}^2 = \sum_f o_{if} o_{jf} (z_{if} - z_{jf})^2 / \sum_f o_{if} o_{jf}

    with :math:`o = 1` where a value is observed. As z is 0 elsewhere, the sums are matrix products. Rows are taken in
    the given order and features in that of their names, so the last digits do not depend on the order of either.
    """
    values, columns = view.to_numpy(), view.columns.argsort()
    total, shared = np.zeros((len(rows), len(rows))), np.zeros((len(rows), len(rows)))
    for start in range(0, len(columns), FEATURES):
        block = np.ascontiguousarray(values[np.ix_(rows, columns[start : start + FEATURES])], dtype=float)
        if np.isinf(block).any():
            raise DataError("a value is infinite", where=where, fix="make it NaN if it is missing")
        z, observed = _centred(block, standardise=standardise)
        if observed.all():
            square = (z**2).sum(axis=1)[:, None]  # (sample, 1), for all partners alike
            shared += z.shape[1]
        else:
            square = z**2 @ observed.T
            shared += observed @ observed.T
        total += square + square.T - 2 * (z @ z.T)
    _refuse_unshared(shared, view.index[rows], where)
    squared = total / shared
    np.fill_diagonal(squared, 0)
    if not standardise:
        squared *= 2 / squared.mean()
    squared[squared < NEGLIGIBLE] = 0
    return squared


def _centred(block: np.ndarray, *, standardise: bool) -> tuple[np.ndarray, np.ndarray]:
    """Values of the features that vary, with mean 0 (and variance 1), and 0 where missing; and 1 where observed."""
    there = ~np.isnan(block)
    varies = np.where(there, block, -np.inf).max(axis=0) > np.where(there, block, np.inf).min(axis=0)
    block, there = block[:, varies], there[:, varies]
    count = there.sum(axis=0)
    centred = np.where(there, block - np.where(there, block, 0).sum(axis=0) / count, 0)
    if standardise:
        centred /= np.sqrt((centred**2).sum(axis=0) / count)
    return centred, there.astype(float)


def _refuse_view(view: pd.DataFrame, where: str) -> None:
    if view.shape[1] == 0:
        raise DataError("there is no feature", where=where, fix="leave the view out")
    if len(view) < FEWEST_PATIENTS:
        raise DataError(
            f"there are only {len(view)} patients: {listed(view.index)}",
            where=where,
            fix=f"a view needs {FEWEST_PATIENTS}; leave it out",
        )
    refuse_duplicates(view.index, "sample id", where)
    refuse_duplicates(view.columns, "feature id", where)
    kinds = [kind for kind in set(view.dtypes) if not (isinstance(kind, np.dtype) and kind.kind in "fiub")]
    if kinds:
        raise DataError(f"it holds {listed(kinds)} values", where=where, fix="give numbers, NaN for missing")


def _refuse_apart(views: Mapping[str, pd.DataFrame], names: Sequence[str]) -> None:
    """Refuse views that no patient connects with the others: nothing can be said about pairs across."""
    together, reached = {names[0]}, set(views[names[0]].index)
    for _ in names:  # a chain of views takes as many rounds at most
        for name in names:
            if not reached.isdisjoint(views[name].index):
                together.add(name)
                reached.update(views[name].index)
    apart = [name for name in names if name not in together]
    if apart:
        raise DataError(
            f"no patient of {listed(apart)} is in {listed(sorted(together))}",
            where="views",
            fix="check the sample ids, or cluster these patients on their own",
        )


def _refuse_unshared(shared: np.ndarray, samples: pd.Index, where: str) -> None:
    """Refuse patients without a value, and pairs without a feature of which both have a value."""
    if not shared.any():
        raise DataError("no feature varies", where=where, fix="leave the view out")
    empty = samples[shared.diagonal() == 0]
    if len(empty):
        raise DataError(f"patient without a value: {listed(empty)}", where=where, fix="leave them out of the view")
    if not shared.all():
        one, other = samples[np.argwhere(shared == 0)[0]]
        raise DataError(
            f"patients {one} and {other} have no feature in common that varies",
            where=where,
            fix="make two views of it, one of each group of features",
        )


def listed(ids: Iterable[Any]) -> str:
    """The first five, for a message."""
    every = list(map(str, ids))
    return ", ".join(every[:5]) + (", ..." if len(every) > 5 else "")
