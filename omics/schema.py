"""Declare every variable of every store once, and check data at the door of a room.

A *node* is one group of a store (``/clinical``, ``/views/methylation``, ``/factors``). Its variables are
declared in :data:`NODES`; the declarations are written into the attributes of a store when it is published, so
that a store explains itself. Rooms check what they receive with :func:`check` and trust it inside.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import numpy as np
import pandas as pd
import xarray as xr

from omics._schema_nodes import EVENT_CODES, LIKELIHOODS, NODES, Variable

__all__ = [
    "EVENT_CODES",
    "LIKELIHOODS",
    "NODES",
    "SCHEMA_VERSION",
    "DataError",
    "EnvironmentFault",
    "IntegrityError",
    "OmicsError",
    "TryAgain",
    "UsageError",
    "Variable",
    "check",
    "check_cohort",
    "check_view",
    "describe",
    "is_text",
    "refuse_duplicates",
    "view_names",
]

SCHEMA_VERSION = 1

#: What numpy calls the kinds: text is object or StringDType, never fixed-width ``<U``.
_NUMPY_KINDS: Mapping[str, str] = MappingProxyType({"float": "f", "integer": "iub", "text": "OTU"})


class OmicsError(Exception):
    """Something a user can understand and mend: what, where, and how to fix it.

    Parameters
    ----------
    what : str
        What is wrong, with the value that was got.
    where : str, optional
        File, line, store or node.
    fix : str, optional
        What the user can do about it.
    """

    #: Exit code of the command line (OPERATIONS: 2 usage, 3 input data, 4 environment, 6 integrity, 75 try again).
    exit_code = 1

    def __init__(self, what: str, *, where: str | None = None, fix: str | None = None) -> None:
        super().__init__(what)
        self.what, self.where, self.fix = what, where, fix

    def __reduce__(self) -> tuple[object, ...]:
        """Keep ``where`` and ``fix`` when the error travels back from a worker."""
        return _rebuild, (type(self), self.what, self.where, self.fix)

    def __str__(self) -> str:
        parts = [self.what]
        if self.where:
            parts.append(f"where: {self.where}")
        if self.fix:
            parts.append(f"fix: {self.fix}")
        return "\n  ".join(parts)


def _rebuild(kind: type[OmicsError], what: str, where: str | None, fix: str | None) -> OmicsError:
    return kind(what, where=where, fix=fix)


class UsageError(OmicsError):
    """A request that cannot be right: unknown option or key, an output that exists."""

    exit_code = 2


class DataError(OmicsError):
    """Input data that is invalid: truncated, duplicate, out of range, not overlapping."""

    exit_code = 3


class EnvironmentFault(OmicsError):
    """The machine or the cluster does not do what is needed."""

    exit_code = 4


class IntegrityError(OmicsError):
    """A store that is not what its manifest says: unfinished, damaged, tampered with."""

    exit_code = 6


class TryAgain(OmicsError):
    """A fault that may be gone next time: disk full, output in use."""

    exit_code = 75


def check(dataset: xr.Dataset, node: str, *, where: str) -> xr.Dataset:
    """Return `dataset` if it is what `node` declares, else say what is not.

    Parameters
    ----------
    dataset : xarray.Dataset
        Variables of the node; more than declared is allowed.
    node : str
        Key of :data:`NODES`.
    where : str
        What the error names: a file, a store and its group.

    Raises
    ------
    DataError
        A required variable is absent, has other dims, another kind, or its ids are duplicated.
    """
    for variable in NODES[node]:
        if variable.name in dataset.variables:
            _check_variable(dataset[variable.name], variable, where)
        elif variable.required:
            raise DataError(
                f"variable '{variable.name}' ({variable.meaning}) is missing; there are {sorted(map(str, dataset))}",
                where=where,
                fix=f"'{node}' needs '{variable.name}' with dims {variable.dims}",
            )
    for dim in ("sample", "feature"):
        if dim in dataset.dims:
            _check_ids(dataset, dim, where)
    return dataset


def _check_variable(array: xr.DataArray, variable: Variable, where: str) -> None:
    if array.dims != variable.dims:
        raise DataError(f"'{variable.name}' has dims {array.dims}", where=where, fix=f"expected dims {variable.dims}")
    if array.dtype.kind not in _NUMPY_KINDS[variable.kind]:
        raise DataError(f"'{variable.name}' holds {array.dtype}", where=where, fix=f"expected {variable.kind} values")


def _check_ids(dataset: xr.Dataset, dim: str, where: str) -> None:
    if dim not in dataset.coords:
        raise DataError(f"dimension '{dim}' has no ids", where=where, fix=f"give it a coordinate named '{dim}'")
    refuse_duplicates(dataset.indexes[dim], f"{dim} id", where)


def refuse_duplicates(ids: pd.Index, noun: str, where: str) -> None:
    """Raise a :class:`DataError` that names the first five ids that occur twice, if any does."""
    if not ids.is_unique:
        twice = ids[ids.duplicated()].unique()[:5]
        raise DataError(
            f"duplicate {noun}: {', '.join(map(str, twice))}", where=where, fix=f"every {noun} must occur once"
        )


def check_view(view: xr.Dataset, *, where: str) -> xr.Dataset:
    """Check one omics layer: its variables, its ids, and its ``kind`` and ``likelihood`` attributes.

    Raises
    ------
    DataError
        As :func:`check`, or the likelihood is not one of :data:`LIKELIHOODS`.
    """
    check(view, "view", where=where)
    likelihood = view.attrs.get("likelihood")
    if likelihood not in LIKELIHOODS:
        raise DataError(f"likelihood is {likelihood!r}", where=where, fix=f"expected one of {', '.join(LIKELIHOODS)}")
    if "kind" not in view.attrs:
        raise DataError("the attribute 'kind' is missing", where=where, fix="for example 'methylation'")
    return view


def check_cohort(cohort: xr.DataTree, *, where: str = "cohort") -> xr.DataTree:
    """Check a cohort: at least one view, each as declared, and a clinical node if there is one.

    Raises
    ------
    DataError
        There is no view, or a node is not as declared.
    """
    names = view_names(cohort)
    if not names:
        raise DataError("there is no omics layer", where=where, fix="a cohort has at least one node below /views")
    for name in names:
        check_view(cohort[f"views/{name}"].to_dataset(), where=f"{where}, /views/{name}")
    if "clinical" in cohort.children:
        check(cohort["clinical"].to_dataset(), "clinical", where=f"{where}, /clinical")
    return cohort


def view_names(tree: xr.DataTree) -> list[str]:
    """Names of the views of a cohort or factor model, sorted (the order after reopening is arbitrary)."""
    return sorted(tree["views"].children) if "views" in tree.children else []


def describe(dataset: xr.Dataset, node: str) -> xr.Dataset:
    """Write each declared meaning and unit into the attributes of the variables that are present."""
    described = dataset.copy(deep=False)
    for variable in NODES[node]:
        if variable.name in described.variables:
            described[variable.name].attrs.update(long_name=variable.meaning, units=variable.units)
    return described


def is_text(array: xr.DataArray | xr.Variable | np.ndarray) -> bool:
    """Whether the array holds text."""
    return array.dtype.kind in _NUMPY_KINDS["text"]
