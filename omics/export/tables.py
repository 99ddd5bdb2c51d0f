"""Every artefact as tidy tables: TSV files with the declared names, and a dictionary of their columns.

A node whose variables all have the same dimensions is one table, ``<artefact>.<node>``; one that has several kinds is
one table a kind, the dimensions appended (``factors.variance.view_factor``). One row is one value of the dimensions.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
import pandas as pd
import xarray as xr

from omics.blocks import features_per_block, slices
from omics.cohort import node
from omics.schema import NODES, Variable, is_text

#: Columns of the dictionary.
COLUMNS = ("table", "column", "kind", "meaning", "units")
#: What the columns that name the row are.
_DIMS: Mapping[str, str] = MappingProxyType(
    {
        "sample": "patient",
        "feature": "feature of the layer",
        "factor": "factor",
        "subtype": "subtype",
        "view": "layer",
        "group": "group of the samples in the fit",
        "n_subtypes": "number of subtypes",
        "restart": "restart, from 0",
        "check": "computation of the bound, from 0",
        "batch": "batch",
        "predictor": "predictor",
        "level": "level of the quantile",
    }
)
#: A spreadsheet would compute a text that begins so, if it is no number.
_FORMULA = r"^(?=[=+\-@\t\r])(?![+\-]?\d+(?:\.\d+)?$)"
#: The bytes of a trained classifier.
_OPAQUE = "classifier"
_ATTRIBUTES = {"node": "node of the artefact", "name": "name", "value": "value; JSON if it is not text"}


class Table(NamedTuple):
    """Variables of one node that have the same dimensions.

    Attributes
    ----------
    name : str
        ``<artefact>.<node>``, with the dimensions where the node has several tables.
    node : str
        Key of ``NODES``; of what is not declared there, the path.
    data : xarray.Dataset
        The variables, and the coordinates that annotate them.
    dims : tuple of str
        Dimensions, features first.
    """

    name: str
    node: str
    data: xr.Dataset
    dims: tuple[str, ...]

    @property
    def columns(self) -> list[str]:
        """Names of the columns: dimensions, annotation, then variables as the schema orders them."""
        declared = [variable.name for variable in NODES.get(self.node, ())] or list(_ATTRIBUTES)
        order = {name: place for place, name in enumerate(declared)}
        own = sorted(map(str, self.data.data_vars), key=lambda name: (order.get(name, len(order)), name))
        return [
            *(dim for dim in self.dims if dim != "row"),
            *sorted(map(str, set(self.data.coords) - set(self.dims))),
            *own,
        ]


def tables(tree: xr.DataTree, noun: str) -> Iterator[Table]:
    """The tables of an artefact, those of a node together, in the order of their names.

    Parameters
    ----------
    tree : xarray.DataTree
        Any artefact.
    noun : str
        What it is; the first part of the names.

    Yields
    ------
    Table
        All variables but the values of the layers, of which there are the features; attributes last.
    """
    for part in sorted(tree.subtree, key=lambda part: part.path):
        path = part.path.strip("/")
        if path and path != _OPAQUE:
            yield from _tables_of(node(tree, path), noun, path)
    attributes = _attributes(tree)
    if len(attributes):
        yield Table(f"{noun}.attributes", "attributes", xr.Dataset.from_dataframe(attributes), ("row",))


def _tables_of(dataset: xr.Dataset, noun: str, path: str) -> Iterator[Table]:
    declared = (
        path if path in NODES else {"views": "view" if "value" in dataset else "weights"}.get(path.split("/")[0], path)
    )
    small = dataset.drop_vars("value", errors="ignore") if declared == "view" else dataset
    kinds: dict[tuple[str, ...], list[str]] = {}
    for name, array in sorted(small.data_vars.items()):
        kinds.setdefault(tuple(sorted(map(str, array.dims), key=lambda dim: dim != "feature")), []).append(str(name))
    if not kinds:  # the values are left out, or there are but ids: who and what is there
        kinds = {(dim,): [] for dim in ("feature", "sample") if dim in small.coords}
    for dims, names in sorted(kinds.items()):
        notes = {name for name, array in small.coords.items() if set(array.dims) <= set(dims)}
        keep = small.drop_vars(set(small.variables) - notes - set(names))
        suffix = f".{'_'.join(dims) or 'all'}" if len(kinds) > 1 else ""
        yield Table(f"{noun}.{path.replace('/', '.')}{suffix}", declared, keep, dims)


def _attributes(tree: xr.DataTree) -> pd.DataFrame:
    rows = [
        (part.path, str(name), value if isinstance(value, str) else json.dumps(value, default=np.generic.item))
        for part in sorted(tree.subtree, key=lambda part: part.path)
        for name, value in sorted(part.attrs.items())
    ]
    return pd.DataFrame(rows, columns=list(_ATTRIBUTES), dtype=object).rename_axis("row")


def frames(table: Table) -> Iterator[pd.DataFrame]:
    """The rows of a table, by block of features where it has features."""
    size = table.data.sizes.get("feature", 0)
    others = int(np.prod([table.data.sizes[dim] for dim in table.dims if dim != "feature"]))
    for block in slices(size, features_per_block(others, 8)) if size else [None]:
        data = (table.data if block is None else table.data.isel(feature=block)).compute()
        if table.dims:
            frame = data.to_dataframe(dim_order=list(table.dims)).reset_index()
        else:
            frame = pd.DataFrame({str(name): [array.item()] for name, array in data.data_vars.items()})
        yield frame[table.columns]


def write_table(table: Table, path: str | os.PathLike[str]) -> None:
    """Write a table as TSV: ``'`` before text that a spreadsheet would compute, nothing for NaN, floats in full."""
    with Path(path).open("w", encoding="utf-8", newline="") as file:
        for number, frame in enumerate(frames(table)):
            _guarded(frame).to_csv(file, sep="\t", index=False, header=not number, lineterminator="\n")


def write_values(view: xr.Dataset, path: str | os.PathLike[str]) -> None:
    """Write the values of a layer as TSV, features down and samples across, block by block."""
    samples = pd.Index(view.indexes["sample"], name=None)
    with Path(path).open("w", encoding="utf-8", newline="") as file:
        for block in [slice(0, 0), *slices(view.sizes["feature"], features_per_block(len(samples)))]:
            part = view["value"].isel(feature=block).transpose("feature", "sample")
            frame = pd.DataFrame(part.to_numpy(), columns=samples)
            frame.insert(0, "feature", part["feature"].to_numpy(), allow_duplicates=True)
            _guarded(frame).to_csv(file, sep="\t", index=False, header=not block.stop, lineterminator="\n")


def _guarded(frame: pd.DataFrame) -> pd.DataFrame:
    """The same with ``'`` before formulas, also in the header."""
    safe = frame.set_axis(frame.columns.astype(str).str.replace(_FORMULA, "'", regex=True), axis=1)
    for place, dtype in enumerate(frame.dtypes):
        if dtype.kind in "OTU":
            safe.isetitem(place, frame.iloc[:, place].astype(str).str.replace(_FORMULA, "'", regex=True).to_numpy())
    return safe


# --- the dictionary -------------------------------------------------------------------------------------------------


def dictionary(table: Table) -> pd.DataFrame:
    """What the columns of a table mean: :data:`COLUMNS`, one row a column; empty where nothing is declared."""
    declared = {variable.name: variable for variable in NODES.get(table.node, ())}
    rows = [(table.name, name, *_meaning(table, name, declared)) for name in table.columns]
    return pd.DataFrame(rows, columns=list(COLUMNS), dtype=object)


def _meaning(table: Table, name: str, declared: Mapping[str, Variable]) -> tuple[str, str, str]:
    if name in declared:
        return declared[name].kind, declared[name].meaning, declared[name].units
    array = table.data[name]
    kind = "text" if is_text(array) else {"f": "float"}.get(array.dtype.kind, "integer")
    if table.node == "attributes":
        return kind, _ATTRIBUTES[name], "1"
    meaning = _DIMS.get(name, "") if name in table.dims else array.attrs.get("long_name", "")
    if not meaning and table.node == "clinical":
        meaning = "as in the clinical table"
    return kind, meaning, array.attrs.get("units", "1" if meaning else "")
