"""Views of a cohort as plain arrays: aligned rows and columns, values that the likelihood can have."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np
import pandas as pd
import xarray as xr

from omics.factors.state import Layer
from omics.schema import DataError

#: Which values a likelihood can have, and how to say so.
_POSSIBLE: Mapping[str, tuple[Callable[[np.ndarray], np.ndarray], str]] = MappingProxyType(
    {
        "gaussian": (np.isfinite, "finite numbers"),
        "bernoulli": (lambda y: (y == 0) | (y == 1), "0 and 1"),
        "poisson": (lambda y: np.isfinite(y) & (y >= 0) & (y == np.floor(y)), "counts"),
    }
)


def read_layer(view: xr.Dataset, samples: np.ndarray, features: pd.Index, *, where: str) -> Layer:
    """Load one view for given samples and features; what the view lacks is NaN, what it has beyond them is left out.

    Parameters
    ----------
    view : xarray.Dataset
        ``value(sample, feature)``, lazy or not.
    samples, features : numpy.ndarray, pandas.Index
        Ids of the rows and of the columns wanted.
    where : str
        What an error names.

    Raises
    ------
    DataError
        A value is infinite, or not one that the likelihood can have.
    """
    likelihood = view.attrs["likelihood"]
    rows = view.indexes["sample"].get_indexer(pd.Index(samples, dtype=object))
    columns = view.indexes["feature"].get_indexer(pd.Index(features, dtype=object))
    found = np.sort(columns[columns >= 0])  # in the order of the store: each block is read once
    loaded = np.asarray(view["value"].isel(feature=found).data, dtype=float)
    values = np.full((rows.size, columns.size), np.nan)
    place = np.ix_(np.flatnonzero(rows >= 0), np.flatnonzero(columns >= 0))
    values[place] = loaded[np.ix_(rows[rows >= 0], np.searchsorted(found, columns[columns >= 0]))]
    _refuse_impossible(values, likelihood, where)
    return Layer(values, likelihood)


def _refuse_impossible(values: np.ndarray, likelihood: str, where: str) -> None:
    known = values[~np.isnan(values)]
    allowed, words = _POSSIBLE[likelihood]
    wrong = known[~allowed(known)]
    if wrong.size:
        raise DataError(
            f"{wrong.size} values cannot be {likelihood}, for example {wrong[0]:g}",
            where=where,
            fix=f"a {likelihood} view holds {words}, NaN where missing; prepare it, or mend its likelihood",
        )


def refuse_uninformative(layer: Layer, features: pd.Index, *, where: str) -> None:
    """Refuse features without two different observed values: nothing can be learnt from them.

    Raises
    ------
    DataError
        There is one; up to five are named.
    """
    known = ~np.isnan(layer.values)
    highest = np.where(known, layer.values, -np.inf).max(axis=0)
    lowest = np.where(known, layer.values, np.inf).min(axis=0)
    flat = np.flatnonzero(highest <= lowest)
    if flat.size:
        named = ", ".join(str(features[i]) for i in flat[:5])
        raise DataError(
            f"{flat.size} of {highest.size} features have no variance, or no value at all, in these samples: {named}",
            where=where,
            fix="fit the recipe of omics prepare on the same samples; it drops them",
        )


def centred(layer: Layer, *, scale: bool) -> tuple[Layer, np.ndarray, float]:
    """Centre a Gaussian layer by feature, and divide it by one number if `scale`; leave other layers alone.

    Returns
    -------
    layer : Layer
        The same rows and columns.
    mean : numpy.ndarray, shape (feature,)
        What was taken off.
    sd : float
        What it was divided by.
    """
    if layer.likelihood != "gaussian":
        return layer, np.zeros(layer.values.shape[1]), 1.0
    mean = np.nanmean(layer.values, axis=0)
    values = layer.values - mean
    sd = float(np.nanstd(values)) if scale else 1.0
    return Layer(values / sd, layer.likelihood), mean, sd
