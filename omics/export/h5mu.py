"""One cohort as one .h5mu file, which mudata and muon in Python, MuData in R and Muon.jl open.

The layout is that of MuData 0.1.0: a group of the layout of AnnData 0.1.0 for each view, and for all patients and
features together the annotation (``obs``, ``obsm``, ``var``), which view has which (``obsmap``, ``varmap``), and the
rest (``uns``). Every element says by two attributes how it is encoded. Values are written block by block of features.

Those programs want feature ids that are unique over all views. Like MOFA2, we append ``_<view>`` to those, and only
those, that several views share (``TP53`` of mutations and of expression), and keep the id in the column ``feature``.

References
----------
.. [1] https://anndata.readthedocs.io/en/stable/fileformat-prose.html
.. [2] Bredikhin et al., MUON: multimodal omics analysis framework, Genome Biol 2022;23:42, 10.1186/s13059-021-02577-8
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from types import MappingProxyType
from typing import Any

import h5py
import numpy as np
import pandas as pd
import xarray as xr

from omics.blocks import BLOCK_SAMPLES, features_per_block, slices
from omics.schema import DataError, check_view

_LAYOUT = "0.1.0"
_INDEX = "_index"
_TEXT = h5py.string_dtype(encoding="utf-8")
_PACKED: Mapping[str, Any] = MappingProxyType({"compression": "gzip", "compression_opts": 4, "shuffle": True})
#: Bytes at the start of the file that HDF5 leaves alone, by which the format is told.
_HEAD = 512
#: Names in one attribute, of which HDF5 takes 64 KiB.
_COLUMNS = 4000
#: Chunks of a file in one block that is read: readers of few features need not unpack 8 MB for each.
_FINER = 8


def write_h5mu(
    path: str | os.PathLike[str],
    views: Mapping[str, xr.Dataset],
    *,
    obs: pd.DataFrame,
    obsm: Mapping[str, np.ndarray] | None = None,
    weights: Mapping[str, xr.Dataset] | None = None,
    uns: Mapping[str, Any] | None = None,
) -> None:
    """Write views and what is known of their patients as .h5mu, in memory of a block of features and the ids.

    Parameters
    ----------
    path : path
        The file to be; one that is there is written over.
    views : mapping of str to xarray.Dataset
        Each becomes a modality: ``X(sample, feature)`` in float32, NaN where missing; its annotation becomes ``var``.
    obs : pandas.DataFrame, shape (sample, column)
        Every patient who has a view, and nobody else. Text becomes categories.
    obsm : mapping of str to numpy.ndarray, shape (sample, k), optional
        Arrays in the order of `obs`.
    weights : mapping of str to xarray.Dataset, optional
        By view: ``weight(feature, factor)``, written as ``varm["LFs"]``; NaN for features that the model left out.
    uns : mapping, optional
        Nested mappings of texts, numbers, arrays and tables.

    Raises
    ------
    DataError
        The patients of `obs` are not those of the views, a name cannot be written, ids are not unique, or a view lacks
        features that have weights.
    """
    target, weights = Path(path), weights or {}
    for name, view in views.items():
        check_view(view, where=f"/views/{name}")
    names = _unique_over_views(views)
    _refuse_strangers(views, obs.index)
    rows = {n: (view.indexes["sample"].get_indexer(obs.index) + 1).astype(np.uint32) for n, view in views.items()}
    columns = {name: _columns(views, name, table) for name, table in weights.items()}
    with h5py.File(target, "w", userblock_size=_HEAD) as file:
        _stamp(file, "MuData", encoder=True)
        file.attrs["axis"] = 0
        _put(file, "obs", obs)
        _put(file, "var", pd.DataFrame(index=np.concatenate([*names.values(), np.array([], dtype=object)])))
        _put(file, "obsm", {**(obsm or {}), **{name: here[:, None] > 0 for name, here in rows.items()}})
        _put(file, "obsmap", rows)
        for key, value in _places(names).items():
            _put(file, key, value)
        _put(file, "uns", uns or {})
        for empty in ("obsp", "varp"):
            _put(file, empty, {})
        modalities = file.create_group("mod")
        modalities.attrs["mod-order"] = np.array(list(views), dtype=_TEXT)
        for name, view in views.items():
            group = modalities.create_group(_key(name))
            _put_view(group, view, names[name])
            if name in weights:
                _put_weights(group["varm"], view.sizes["feature"], weights[name], columns[name])
    _put_head(target)


def _put_head(target: Path) -> None:
    head = f"MuData (format-version={_LAYOUT};creator=omics;creator-version={version('omics-all')})".encode()
    with target.open("r+b") as handle:
        handle.write(head.ljust(_HEAD, b"\0"))
        handle.flush()
        os.fsync(handle.fileno())


# --- who is where ---------------------------------------------------------------------------------------------------


def _unique_over_views(views: Mapping[str, xr.Dataset]) -> dict[str, np.ndarray]:
    """Names of the features, with ``_<view>`` after those that several views share."""
    found = Counter(feature for view in views.values() for feature in view.indexes["feature"])
    named = {
        name: np.array([f"{f}_{name}" if found[f] > 1 else f for f in view.indexes["feature"]], dtype=object)
        for name, view in views.items()
    }
    after = Counter(feature for names in named.values() for feature in names)
    twice = [feature for feature, count in after.items() if count > 1]
    if twice:
        raise DataError(
            f"feature ids are not unique over the layers, even with the layer appended: {_some(twice)}",
            where="feature names",
            fix="rename them",
        )
    return named


def _refuse_strangers(views: Mapping[str, xr.Dataset], everyone: pd.Index) -> None:
    """Patients of no view would vanish when mudata reads the file, and those of no row could not be written."""
    having = pd.Index(sorted(set().union(*(view.indexes["sample"] for view in views.values()))), dtype=object)
    wrong = having.symmetric_difference(everyone)
    if len(wrong) or not everyone.is_unique:
        what = (
            f"{len(wrong)} patients are in obs or in a layer only: {_some(wrong)}" if len(wrong) else "obs repeats ids"
        )
        raise DataError(what, where="obs", fix="give obs one row for every patient who has a layer")


def _columns(views: Mapping[str, xr.Dataset], name: str, table: xr.Dataset) -> np.ndarray:
    """Positions in the view of the features that have weights."""
    if name not in views:
        raise DataError(
            "the cohort lacks a layer of the model", where=f"/views/{name}", fix="give the cohort of the fit"
        )
    columns = views[name].indexes["feature"].get_indexer(table.indexes["feature"])
    lacking = table.indexes["feature"][columns < 0]
    if len(lacking):
        raise DataError(
            f"the cohort lacks {len(lacking)} features of the model: {_some(lacking)}",
            where=f"/views/{name}",
            fix="give the cohort of the fit",
        )
    return columns


def _places(names: Mapping[str, np.ndarray]) -> dict[str, dict[str, np.ndarray]]:
    """Which feature of all is which of each view: from 1 in ``varmap``, as a flag in ``varm``."""
    starts = np.cumsum([0, *(len(own) for own in names.values())])
    varmap = {}
    for name, start in zip(names, starts[:-1], strict=True):
        varmap[name] = np.zeros(starts[-1], dtype=np.uint32)
        varmap[name][start : start + len(names[name])] = np.arange(1, len(names[name]) + 1)
    return {"varmap": varmap, "varm": {name: here[:, None] > 0 for name, here in varmap.items()}}


# --- views ----------------------------------------------------------------------------------------------------------


def _put_view(group: h5py.Group, view: xr.Dataset, names: np.ndarray) -> None:
    """One modality, without weights."""
    _stamp(group, "anndata", encoder=True)
    annotation = {str(n): c.to_numpy() for n, c in sorted(view.coords.items()) if c.dims == ("feature",)}
    ids = annotation.pop("feature")
    if (ids != names).any():
        annotation["feature"] = ids
    _put(group, "obs", pd.DataFrame(index=view.indexes["sample"]))
    _put(group, "var", pd.DataFrame(annotation, index=names))
    _put(group, "uns", {key: str(view.attrs[key]) for key in ("kind", "likelihood", "units") if key in view.attrs})
    for empty in ("obsm", "obsp", "varm", "varp", "layers"):
        _put(group, empty, {})
    _put_values(group, view)


def _put_values(group: h5py.Group, view: xr.Dataset) -> None:
    shape = view.sizes["sample"], view.sizes["feature"]
    size = features_per_block(shape[0])
    array = _dataset(group, "X", shape, (min(shape[0], BLOCK_SAMPLES), max(1, size // _FINER)))
    for block in slices(shape[1], size):
        array[:, block] = view["value"].isel(feature=block).to_numpy()


def _put_weights(varm: h5py.Group, n_features: int, table: xr.Dataset, columns: np.ndarray) -> None:
    weight = table["weight"].transpose("feature", "factor")
    array = _dataset(varm, "LFs", (n_features, weight.shape[1]), (features_per_block(weight.shape[1]), weight.shape[1]))
    own = np.full(n_features, -1)
    own[columns] = np.arange(columns.size)
    values = weight.to_numpy()
    for block in slices(n_features, features_per_block(weight.shape[1])):
        here = own[block]
        array[block] = np.where(here[:, None] >= 0, values[here], np.nan) if values.size else np.nan


def _dataset(parent: h5py.Group, name: str, shape: tuple[int, int], chunks: tuple[int, int]) -> h5py.Dataset:
    """A packed float32 array, to be filled."""
    packed = {"chunks": tuple(map(min, chunks, shape)), **_PACKED} if all(shape) else {}
    array = parent.create_dataset(name, shape, np.float32, **packed)
    _stamp(array, "array", "0.2.0")
    return array


# --- elements -------------------------------------------------------------------------------------------------------


def _stamp(item: h5py.HLObject, encoding: str, layout: str = _LAYOUT, *, encoder: bool = False) -> None:
    item.attrs["encoding-type"], item.attrs["encoding-version"] = encoding, layout
    if encoder:
        item.attrs["encoder"], item.attrs["encoder-version"] = "omics", version("omics-all")


def _put(parent: h5py.Group, name: str, value: Any) -> None:
    """Write one element, as its type asks for."""
    key = _key(name)
    if isinstance(value, Mapping):
        _stamp(parent.create_group(key), "dict")
        for inner in sorted(value):
            _put(parent[key], inner, value[inner])
    elif isinstance(value, pd.DataFrame):
        _put_table(parent.create_group(key), value)
    elif isinstance(value, str):
        parent.create_dataset(key, data=_text([value])[0], dtype=_TEXT)
        _stamp(parent[key], "string", "0.2.0")
    elif np.ndim(value) == 0:
        parent[key] = value
        _stamp(parent[key], "numeric-scalar", "0.2.0")
    else:
        _put_array(parent, key, np.asarray(value))


def _put_array(parent: h5py.Group, key: str, values: np.ndarray) -> None:
    if values.dtype.kind in "fiub":
        parent[key] = values
        _stamp(parent[key], "array", "0.2.0")
    else:
        parent.create_dataset(key, data=np.array(_text(values), dtype=object), dtype=_TEXT)
        _stamp(parent[key], "string-array", "0.2.0")


def _put_table(group: h5py.Group, table: pd.DataFrame) -> None:
    columns = [str(column) for column in table.columns]
    if len({*columns, _INDEX}) <= len(columns):
        twice = [name for name, count in Counter([*columns, _INDEX]).items() if count > 1]
        raise DataError(
            f"column names that occur twice, or are {_INDEX}: {_some(twice)}", where=group.name, fix="rename"
        )
    if len(columns) > _COLUMNS:
        raise DataError(f"{len(columns)} columns; HDF5 holds {_COLUMNS} names", where=group.name, fix="leave some out")
    _stamp(group, "dataframe", "0.2.0")
    group.attrs[_INDEX] = _INDEX
    group.attrs["column-order"] = np.array(columns, dtype=_TEXT)
    _put(group, _INDEX, table.index.to_numpy())
    for name in columns:
        _put_column(group, _key(name), table[name])


def _put_column(group: h5py.Group, key: str, column: pd.Series) -> None:
    """Numbers as they are; text as categories, since only these may be missing, or as it is where each occurs once."""
    if column.dtype.kind in "fiub":
        return _put_array(group, key, column.to_numpy())
    codes, categories = pd.factorize(column.mask(column == ""), sort=True)
    if len(categories) == len(codes):
        return _put_array(group, key, column.to_numpy())
    part = group.create_group(key)
    _stamp(part, "categorical", "0.2.0")
    part.attrs["ordered"] = False
    _put_array(part, "codes", codes.astype(np.min_scalar_type(-max(1, len(categories)))))
    return _put_array(part, "categories", np.asarray(categories, dtype=object))


# --- names ----------------------------------------------------------------------------------------------------------


def _key(name: object) -> str:
    """A name that HDF5 can have."""
    text = _text([name])[0]
    if "/" in text or text in ("", ".", ".."):
        raise DataError(f"a name in .h5mu cannot be empty or contain '/': {text!r}", where="names", fix="rename it")
    return text


def _text(values: Iterable[object]) -> list[str]:
    """Texts that HDF5 can hold: it ends them at NUL, and other programs read UTF-8."""
    listed = [str(value) for value in values]
    if not _plain("".join(listed)):
        wrong = [text for text in listed if not _plain(text)]
        raise DataError(f"text that HDF5 cannot hold: {_some(wrong)}", where="names or text", fix="rename it")
    return listed


def _plain(text: str) -> bool:
    try:
        return b"\0" not in text.encode()
    except UnicodeEncodeError:
        return False


def _some(names: Sequence[Any] | pd.Index) -> str:
    return ", ".join(repr(name) for name in names[:5]) + (", ..." if len(names) > 5 else "")
