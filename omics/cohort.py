"""Open, save and select cohorts and every other tree, and keep the traps of xarray and zarr behind one door.

A cohort is an ``xarray.DataTree`` with ``/clinical`` and ``/views/<name>``; the other artefacts (prepared, factors,
subtypes, evaluation) are trees of the same make. Matrices stay lazy; text comes as Python strings.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
import zarr
from zarr.codecs import BloscCodec, Crc32cCodec, ZstdCodec

from omics.artefact import Provenance, publish, verify
from omics.blocks import BLOCK_SAMPLES, features_per_block
from omics.schema import NODES, UsageError, describe, is_text, view_names


def open(path: str | os.PathLike[str], *, noun: str | Sequence[str] | None = None, hashes: bool = False) -> xr.DataTree:
    """Open an artefact lazily.

    Parameters
    ----------
    path : path
        Folder of the artefact.
    noun : str or sequence of str, optional
        What it must be.
    hashes : bool
        Verify every file's sha256 first.

    Returns
    -------
    xarray.DataTree
        Matrices as dask arrays in the chunks of the store; text as Python strings.

    Raises
    ------
    UsageError
        It is another kind of artefact.
    IntegrityError
        It is unfinished or damaged.
    """
    manifest = verify(path, hashes=hashes)
    nouns = (noun,) if isinstance(noun, str) else noun
    if nouns and manifest["noun"] not in nouns:
        raise UsageError(
            f"this is a {manifest['noun']} artefact", where=str(path), fix=f"expected {' or '.join(nouns)}"
        )
    stored = xr.open_datatree(Path(path), engine="zarr", chunks={}, consolidated=True)
    return xr.DataTree.from_dict({part.path: _plain_text(part.to_dataset(inherit=False)) for part in stored.subtree})


def _plain_text(dataset: xr.Dataset) -> xr.Dataset:
    """Text as object arrays: what pandas and scikit-learn expect."""
    plain = {
        name: (array.dims, array.to_numpy().astype(object), array.attrs)
        for name, array in dataset.variables.items()
        if is_text(array)
    }
    coords = {name: variable for name, variable in plain.items() if name in dataset.coords}
    return dataset.assign({n: v for n, v in plain.items() if n not in coords}).assign_coords(coords)


# --- writing ------------------------------------------------------------------------------------------------------


def save(tree: xr.DataTree, path: str | os.PathLike[str], provenance: Provenance, *, overwrite: bool = False) -> None:
    """Publish a tree as an artefact; see :func:`publish`."""
    with publish(path, provenance, overwrite=overwrite) as staging:
        write_tree(tree, staging)


def write_tree(tree: xr.DataTree, folder: Path) -> None:
    """Write every node of `tree` below `folder`, matrices in feature blocks with checksummed chunks."""
    laid = xr.DataTree.from_dict({part.path: _laid_out(part.to_dataset(inherit=False)) for part in tree.subtree})
    encoding = {part.path: _encoding(part.to_dataset(inherit=False)) for part in laid.subtree}
    laid.to_zarr(folder, mode="w", zarr_format=3, consolidated=False, encoding=encoding)


def write_node(dataset: xr.Dataset, folder: Path, group: str) -> None:
    """Add one node to the tree below `folder`, with the codecs of :func:`write_tree`."""
    laid = _laid_out(dataset)
    laid.to_zarr(folder, group=group, mode="a", zarr_format=3, consolidated=False, encoding=_encoding(laid))


def _chunks_of(array: xr.DataArray | xr.Variable) -> tuple[int, ...]:
    if array.dims[:2] == ("sample", "feature") and array.ndim == 2:
        rows = min(array.shape[0], BLOCK_SAMPLES)
        return max(rows, 1), max(1, min(array.shape[1], features_per_block(array.shape[0], array.dtype.itemsize)))
    return tuple(max(n, 1) for n in array.shape)


def _laid_out(dataset: xr.Dataset) -> xr.Dataset:
    empty = {name: array for name, array in dataset.variables.items() if is_text(array) and not array.size}
    # xarray would store no objects as floats
    laid = dataset.assign(
        {n: (a.dims, a.to_numpy().astype(np.dtypes.StringDType()), a.attrs) for n, a in empty.items()}
    )
    for name in laid.variables:
        laid[name].encoding = {}
    for name, array in dataset.data_vars.items():
        if array.chunks is not None:  # a chunk of dask must be a chunk of zarr, or writers would race
            laid[name] = array.chunk(dict(zip(array.dims, _chunks_of(array), strict=True)))
    return laid


def _encoding(dataset: xr.Dataset) -> dict[str, dict[str, Any]]:
    encoding: dict[str, dict[str, Any]] = {}
    for name, array in dataset.variables.items():
        if is_text(array):
            encoding[str(name)] = {"compressors": [ZstdCodec(), Crc32cCodec()]}
        elif array.ndim:
            encoding[str(name)] = {"chunks": _chunks_of(array), "compressors": compressors(), "filters": []}
    return encoding


def compressors() -> list[Any]:
    """Codecs of numeric arrays: zstd over shuffled bits, and a checksum that sees a flipped bit."""
    return [BloscCodec(cname="zstd", clevel=3, shuffle="bitshuffle"), Crc32cCodec()]


class ViewWriter:
    """Write one view block by block into a staging folder, in memory of two blocks.

    Parameters
    ----------
    folder : pathlib.Path
        Staging folder that :func:`publish` yielded.
    name : str
        Name of the view.
    samples : sequence of str
        Sample ids, in the order of the rows.
    attrs : mapping
        ``kind``, ``likelihood``, ``units``.
    """

    def __init__(self, folder: Path, name: str, samples: Sequence[str], attrs: Mapping[str, Any]) -> None:
        self._samples, self._attrs = list(samples), dict(attrs)
        self._group = zarr.open_group(folder, mode="a", zarr_format=3).require_group(f"views/{name}")
        self._size = features_per_block(len(self._samples))
        self._path, self._folder = f"views/{name}", folder
        self._array = self._group.create_array(
            "value",
            shape=(len(self._samples), 0),
            chunks=(max(1, min(len(self._samples), BLOCK_SAMPLES)), self._size),
            dtype="float32",
            fill_value=float("nan"),
            compressors=compressors(),
            dimension_names=("sample", "feature"),
        )
        self._pending: list[np.ndarray] = []
        self._waiting = 0
        self._ids: list[str] = []

    def append(self, features: Sequence[str], values: np.ndarray) -> None:
        """Add `values`, shape (sample, feature), for the named features."""
        self._ids.extend(features)
        self._pending.append(np.asarray(values, dtype=np.float32))
        self._waiting += len(features)
        if self._waiting >= self._size:
            self._flush(self._waiting - self._waiting % self._size)

    def _flush(self, count: int) -> None:
        block = np.concatenate(self._pending, axis=1)
        start = self._array.shape[1]
        self._array.resize((len(self._samples), start + count))
        self._array[:, start : start + count] = block[:, :count]
        self._pending = [block[:, count:]]
        self._waiting = block.shape[1] - count

    @property
    def features(self) -> list[str]:
        """Ids of the features written so far."""
        return self._ids

    def close(self, annotation: Mapping[str, Sequence[Any]] | None = None) -> None:
        """Write what waits, the ids, and coordinates of the features such as ``gene``."""
        if self._waiting:
            self._flush(self._waiting)
        value = NODES["view"][0]
        nan = "AAAAAAAA+H8="  # as xarray encodes it
        self._array.attrs.update(_FillValue=nan, long_name=value.meaning, units=value.units)
        coords: dict[str, Any] = {
            "sample": ("sample", np.array(self._samples, dtype=object)),
            "feature": ("feature", np.array(self._ids, dtype=object)),
        }
        coords.update({key: ("feature", _encode(pd.Series(column))) for key, column in (annotation or {}).items()})
        labels = describe(xr.Dataset(coords=coords, attrs=self._attrs), "view")
        write_node(labels, self._folder, self._path)


# --- tables, rows -------------------------------------------------------------------------------------------------


def from_table(table: pd.DataFrame, dim: str = "row") -> xr.Dataset:
    """Dataset of a table's columns along `dim`; missing text becomes "", an index is kept if it is named `dim`."""
    columns = {str(name): (dim, _encode(column)) for name, column in table.items()}
    coords = {dim: np.asarray(table.index, dtype=object)} if table.index.name == dim else {}
    return xr.Dataset(columns, coords=coords)


def _encode(column: pd.Series) -> np.ndarray:
    if isinstance(column.dtype, pd.CategoricalDtype) or column.dtype.kind in "OTU":
        return column.astype(object).where(column.notna(), "").astype(str).to_numpy(dtype=object)
    if isinstance(column.dtype, pd.api.extensions.ExtensionDtype):  # nullable numbers
        column = column.astype(np.float64 if column.hasnans or column.dtype.kind == "f" else np.int64)
    return column.to_numpy(dtype=np.int8) if column.dtype.kind == "b" else column.to_numpy()


def to_table(dataset: xr.Dataset) -> pd.DataFrame:
    """Table of a Dataset with one dimension; "" in text becomes NaN."""
    frame = dataset.compute().to_dataframe()
    for name in frame.columns:
        if frame[name].dtype.kind in "OTU":
            text = frame[name].astype(object)
            frame[name] = text.mask(text == "")
    return frame


def node(tree: xr.DataTree, path: str) -> xr.Dataset:
    """Dataset of one node of a tree; use this, not ``tree[path]``, which may also be an array."""
    found = tree[path]
    if not isinstance(found, xr.DataTree):
        raise TypeError(f"'{path}' is a variable, not a node")
    return found.to_dataset(inherit=False)


def clinical_table(tree: xr.DataTree) -> pd.DataFrame:
    """The clinical table of a cohort (or of an artefact made from one), indexed by sample; empty if there is none.

    Its attribute ``timepoint`` says when the samples were taken, where that is known.
    """
    if "clinical" not in tree.children:
        return pd.DataFrame(index=pd.Index([], name="sample", dtype=object))
    clinical = node(tree, "clinical")
    table = to_table(clinical)
    table.attrs |= {name: clinical.attrs[name] for name in ("timepoint",) if name in clinical.attrs}
    return table


def samples(tree: xr.DataTree) -> np.ndarray:
    """Sorted ids of all samples that any view has."""
    ids: set[str] = set()
    for name in view_names(tree):
        ids.update(tree[f"views/{name}"].indexes["sample"])
    return np.array(sorted(ids), dtype=object)


def select(tree: xr.DataTree, rows: Iterable[str]) -> xr.DataTree:
    """The same tree with those samples only; each node keeps what it has of them, in the given order.

    Parameters
    ----------
    tree : xarray.DataTree
        Cohort or prepared cohort.
    rows : iterable of str
        Sample ids; an id that a node lacks costs nothing there.
    """
    wanted = pd.Index(np.asarray(list(rows), dtype=object))
    nodes = {part.path: _select(part.to_dataset(inherit=False), wanted) for part in tree.subtree}
    return xr.DataTree.from_dict(nodes)


def _select(dataset: xr.Dataset, wanted: pd.Index) -> xr.Dataset:
    if "sample" not in dataset.dims:
        return dataset
    here = dataset.indexes["sample"].get_indexer(wanted)
    rows = dataset.isel(sample=here[here >= 0])
    lazy = {name: array.chunk(sample=-1) for name, array in rows.data_vars.items() if array.chunks is not None}
    return rows.assign(lazy)  # only what was lazy: chunking text would make it a dask array of objects
