"""A view of new patients: what a projection reads, and where it works on it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from omics import blocks
from omics.factors.likelihoods import POSSIBLE
from omics.factors.state import Weights
from omics.schema import DataError


class Projected(NamedTuple):
    """One view of the patients.

    Attributes
    ----------
    values : numpy.ndarray or dask.array.Array, shape (own row, own column)
        In the units of the fit, NaN where missing.
    rows : numpy.ndarray, shape (own row,)
        Position of each row among the patients; one who lacks the view has none.
    columns : numpy.ndarray, shape (feature,)
        Column of `values` that holds each feature of the model, or -1.
    weights : Weights
        Of the view, in the order of the model's features.
    name : str
        What an error names.
    """

    values: Any
    rows: np.ndarray
    columns: np.ndarray
    weights: Weights
    name: str = "view"


def chosen(weights: Weights, features: np.ndarray) -> Weights:
    """Weights of some features."""
    w = weights
    return Weights(
        w.likelihood, w.mean[features], w.square[features], w.intercept[:, features], w.precision[:, features]
    )


def double(weights: Weights) -> Weights:
    """In float64 and one memory layout: BLAS rounds by layout."""
    return Weights(weights.likelihood, *(np.ascontiguousarray(array, dtype=float) for array in weights[1:]))


def refuse_impossible(values: np.ndarray, likelihood: str, name: str) -> None:
    """Refuse values that the likelihood cannot have.

    Raises
    ------
    DataError
        There is one.
    """
    allowed, words = POSSIBLE[likelihood]
    wrong = values[~(allowed(values) | np.isnan(values))]
    if wrong.size:
        raise DataError(
            f"{wrong.size} values cannot be {likelihood}, for example {wrong[0]:g}",
            where=name,
            fix=f"a {likelihood} view holds {words}, NaN where missing; prepare it as that of the fit",
        )


def spread(function: Callable[..., Any], items: Sequence[Any], lazy: bool, *shared: Any) -> list[Any]:
    """``[function(item, *shared) for item in items]``, on dask unless arrays in memory would go to other processes."""
    if lazy or blocks.in_process():
        return blocks.each(function, items, *shared)
    return [function(item, *shared) for item in items]
