"""Write what needs no other patient, and hand the rest on as a recipe."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
import xarray as xr

from omics.cohort import node
from omics.prepare import transforms
from omics.prepare.recipe import RECIPE, Recipe
from omics.prepare.steps import (
    Centre,
    DropMissing,
    DropRare,
    RemoveBatch,
    Scale,
    Step,
    TopVariance,
    check_column,
    with_views,
)
from omics.schema import DataError, UsageError, check_cohort, view_names

_CHROMOSOME = re.compile(r"(?:chr)?(\d{1,2}|X|Y|M|MT)", re.IGNORECASE)


def prepare(
    cohort: xr.DataTree,
    *,
    max_missing: float = 0.2,
    n_features: int | None = 5000,
    min_carriers: int = 3,
    batch: str | None = None,
    scale: bool = True,
    mask: Iterable[str] | None = None,
) -> xr.DataTree:
    """Transform each patient by itself, and write down what is to be learned later, on training rows alone.

    Betas become M-values and counts log2 counts per million (see :mod:`omics.prepare.transforms`); log2 expression
    and binary views stay as they are. A store whose features had been chosen, centred or scaled on all patients
    would already leak into every cross-validation made with it: these steps travel unfitted.

    Parameters
    ----------
    cohort : xarray.DataTree
        Cohort as ingested.
    max_missing : float
        Recipe: largest share of samples without a value that a feature may have.
    n_features : int or None
        Recipe: features of largest variance to keep in each Gaussian view; None for all that vary.
    min_carriers : int
        Recipe: fewest carriers of a binary feature.
    batch : str, optional
        Recipe: clinical column whose mean differences are taken off.
    scale : bool
        Recipe: divide each Gaussian view by the standard deviation of all its values.
    mask : iterable of str, optional
        Features to drop from all views: their ids, or chromosomes (``chrX``) that the annotation puts them on.

    Returns
    -------
    xarray.DataTree
        The same tree, lazy, float32, in the chunks of `cohort`; root attribute ``recipe``.

    Raises
    ------
    UsageError
        A parameter is out of range, the batch column does not exist, or no view knows chromosomes that are masked.
    DataError
        The cohort is not valid, or the mask leaves no feature of a view.
    """
    check_cohort(cohort)
    _check_range("max_missing", max_missing, 0, 1)
    _check_range("n_features", n_features, 1, np.inf)
    _check_range("min_carriers", min_carriers, 1, np.inf)
    if batch is not None:
        check_column(cohort, batch)
    views = {name: node(cohort, f"views/{name}") for name in view_names(cohort)}
    views = {name: _transformed(view) for name, view in _masked(views, mask).items()}
    steps: list[Step] = [DropMissing(max_missing=max_missing), DropRare(min_carriers=min_carriers)]
    steps += (
        [RemoveBatch(column=batch)] if batch is not None else []
    )  # before the variance, which it would else dominate
    steps += [TopVariance(n_features=n_features), Centre()]
    steps += [Scale()] if scale else []
    prepared = with_views(cohort, views)
    prepared.attrs[RECIPE] = Recipe(steps).to_json()
    return prepared


def _check_range(name: str, value: float | None, low: float, high: float) -> None:
    if value is not None and not low <= value <= high:
        upper = f"{low} to {high}" if np.isfinite(high) else f"{low} or more"
        raise UsageError(f"{name} is {value}", fix=f"expected {upper}")


def _log_cpm(counts: Any) -> Any:
    # Two passes in one graph: the counts of one row of chunks, 1,024 samples at most, wait for their totals.
    return transforms.log_cpm(counts, transforms.library_size(counts))


#: Units as ingested to units as prepared, and how.
_TRANSFORMS: Mapping[str, tuple[str, Callable[[Any], Any]]] = {
    "beta": ("M", transforms.m_values),
    "counts": ("log2cpm", _log_cpm),
}


def _transformed(view: xr.Dataset) -> xr.Dataset:
    value, units = view["value"], str(view.attrs.get("units"))
    if units not in _TRANSFORMS:
        return view.assign(value=value.astype(np.float32))
    becomes, transform = _TRANSFORMS[units]
    return view.assign(value=value.copy(data=transform(value.data))).assign_attrs(units=becomes)


def _masked(views: Mapping[str, xr.Dataset], mask: Iterable[str] | None) -> dict[str, xr.Dataset]:
    wanted = set(mask or ())
    chromosomes = {found.group(1).upper() for entry in wanted if (found := _CHROMOSOME.fullmatch(entry))}
    if chromosomes and not any("chromosome" in view.coords for view in views.values()):
        raise UsageError(
            f"no layer knows the chromosomes of its features, but {', '.join(sorted(chromosomes))} is to be masked",
            fix="ingest with an annotation of the probes",
        )
    return {name: _without(view, wanted, chromosomes, name) for name, view in views.items()} if wanted else dict(views)


def _without(view: xr.Dataset, ids: set[str], chromosomes: set[str], name: str) -> xr.Dataset:
    drop = view.indexes["feature"].isin(ids)
    if "chromosome" in view.coords:
        bare = view["chromosome"].to_series().str.upper().str.removeprefix("CHR")
        drop |= bare.isin(chromosomes).to_numpy()
    if drop.all():
        raise DataError("the mask leaves no feature", where=name, fix="leave the layer out or mask less")
    return view.isel(feature=~drop) if drop.any() else view
