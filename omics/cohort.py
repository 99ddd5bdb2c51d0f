"""Create, open, select and save cohorts and every other artefact: atomic, hashed, with provenance.

An artefact is a folder: a zarr v3 hierarchy, and beside its root ``manifest.json`` (every file with size and
sha256, the shapes of the arrays, hashes of inputs, parameters) and ``run.json`` (what made it, where, when). It
is written in a hidden staging folder and renamed at the end, so it exists whole or not at all; readers open only
what has a valid manifest. The traps of xarray and zarr that DESIGN.md lists are kept behind this module.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import os
import platform
import shutil
import sys
import uuid
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
import zarr
from zarr.codecs import BloscCodec, Crc32cCodec

from omics.blocks import BLOCK_SAMPLES, features_per_block
from omics.schema import SCHEMA_VERSION, IntegrityError, TryAgain, UsageError, describe, is_text, view_names

MANIFEST = "manifest.json"
RUN = "run.json"
#: Beside the zarr hierarchy, not of it; ``run.json`` has times and hosts, so it is left out of the digest.
_ASIDE = frozenset({MANIFEST, RUN})
_LIBRARIES = ("omics-all", "numpy", "pandas", "xarray", "zarr", "dask", "scikit-learn", "mofapy2")


# --- publishing ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Provenance:
    """What an artefact was made from, and how.

    Attributes
    ----------
    noun : str
        What the artefact is: cohort, prepared, factors, subtypes, evaluation, model.
    parameters : mapping
        Resolved parameters of the step, JSON values.
    inputs : sequence of path
        Files and artefacts that were read; their hashes are recorded, and they are never written over.
    """

    noun: str
    parameters: Mapping[str, Any] = field(default_factory=dict)
    inputs: Sequence[str | os.PathLike[str]] = ()


@contextmanager
def publish(path: str | os.PathLike[str], provenance: Provenance, *, overwrite: bool = False) -> Iterator[Path]:
    """Yield a hidden staging folder; when the block ends well, it becomes `path` in one rename.

    Parameters
    ----------
    path : path
        The artefact to be.
    provenance : Provenance
        Written into its manifest.
    overwrite : bool
        Replace an artefact that is there; the old one stays intact until the new one is whole.

    Raises
    ------
    UsageError
        `path` exists and `overwrite` is not set, is an input, or is a folder that is no artefact.
    TryAgain
        The disk is full, or another process writes to `path`.
    """
    target = Path(path)
    _refuse_target(target, provenance.inputs, overwrite)
    target.parent.mkdir(parents=True, exist_ok=True)
    with _locked(target):
        for stale in target.parent.glob(f".{target.name}.staging-*"):
            shutil.rmtree(stale)  # its writer is dead: we hold the lock
        staging = target.parent / f".{target.name}.staging-{uuid.uuid4().hex[:12]}"
        staging.mkdir()
        try:
            yield staging
            _seal(staging, provenance)
            _swap(staging, target)
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise
            free = shutil.disk_usage(target.parent).free
            raise TryAgain(
                f"the disk is full ({free / 2**20:.0f} MiB free)", where=str(target), fix="make room and run again"
            ) from error
        finally:
            shutil.rmtree(staging, ignore_errors=True)


def _refuse_target(target: Path, inputs: Iterable[str | os.PathLike[str]], overwrite: bool) -> None:
    if any(Path(source).resolve() == target.resolve() for source in inputs):
        raise UsageError("the output is also an input", where=str(target), fix="name another output")
    if not target.exists():
        return
    if not overwrite:
        raise UsageError("the output exists", where=str(target), fix="add --overwrite or name another output")
    if not (target / MANIFEST).is_file():
        raise UsageError(
            "the output exists and was not made by omics; it is not replaced",
            where=str(target),
            fix="name another output",
        )


@contextmanager
def _locked(target: Path) -> Iterator[None]:
    """Hold a lock that the kernel drops when the process dies."""
    lock = target.parent / f".{target.name}.lock"
    with lock.open("w") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise TryAgain("another run writes this output", where=str(target), fix="wait for it to end") from error
        try:
            yield
        finally:
            lock.unlink(missing_ok=True)


def _seal(staging: Path, provenance: Provenance) -> None:
    """Consolidate the metadata, then write the manifest: the last file, and the one that makes it an artefact."""
    if (staging / "zarr.json").is_file():
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Consolidated metadata is currently not part", module="zarr")
            zarr.consolidate_metadata(staging)
    files = [_file_record(staging, file) for file in _files(staging)]
    inputs = [{"path": Path(source).name, "sha256": digest(source)} for source in provenance.inputs]
    manifest = {
        "noun": provenance.noun,
        "schema_version": SCHEMA_VERSION,
        "parameters": dict(provenance.parameters),
        "inputs": inputs,
        "arrays": _array_shapes(staging),
        "files": files,
        "digest": _digest_files(files),
    }
    _write_json(staging / RUN, _run_record())
    _write_json(staging / MANIFEST, manifest)
    for file in staging.rglob("*"):
        _fsync(file)
    _fsync(staging)


def _run_record() -> dict[str, Any]:
    return {
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "arguments": [Path(sys.argv[0]).name, *sys.argv[1:]],
        "host": platform.node(),
        "python": platform.python_version(),
        "versions": {name: _version(name) for name in _LIBRARIES},
        "cores": os.cpu_count(),
        "job": os.environ.get("SLURM_JOB_ID") or os.environ.get("PBS_JOBID"),
    }


def _version(library: str) -> str:
    try:
        return version(library)
    except PackageNotFoundError:
        return "not installed"


def _swap(staging: Path, target: Path) -> None:
    """Rename `staging` to `target`; what was there goes away only afterwards."""
    old = staging.with_name(staging.name + ".old")
    if target.exists():
        target.rename(old)
    try:
        staging.rename(target)
    except OSError:
        if old.exists():
            old.rename(target)
        raise
    _fsync(target.parent)
    shutil.rmtree(old, ignore_errors=True)


def _files(folder: Path) -> list[Path]:
    return sorted(file for file in folder.rglob("*") if file.is_file() and file.name not in _ASIDE)


def _file_record(folder: Path, file: Path) -> dict[str, Any]:
    return {"path": file.relative_to(folder).as_posix(), "size": file.stat().st_size, "sha256": _sha256(file)}


def _digest_files(files: Iterable[Mapping[str, Any]]) -> str:
    total = hashlib.sha256()
    for record in files:
        total.update(f"{record['path']}\0{record['sha256']}\n".encode())
    return total.hexdigest()


def _array_shapes(folder: Path) -> dict[str, list[int]]:
    shapes = {}
    for file in sorted(folder.rglob("zarr.json")):
        meta = json.loads(file.read_text(encoding="utf-8"))
        if meta.get("node_type") == "array":
            shapes[file.parent.relative_to(folder).as_posix()] = meta["shape"]
    return shapes


def _sha256(file: Path) -> str:
    with file.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def _write_json(file: Path, content: Mapping[str, Any]) -> None:
    file.write_text(json.dumps(content, indent=1, sort_keys=True) + "\n", encoding="utf-8")


def _fsync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def digest(path: str | os.PathLike[str]) -> str:
    """Sha256 of a file, or of the content of an artefact (equal for equal content, whenever it was made)."""
    source = Path(path)
    return str(read_manifest(source)["digest"]) if source.is_dir() else _sha256(source)


# --- opening ------------------------------------------------------------------------------------------------------


def read_manifest(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Manifest of an artefact.

    Raises
    ------
    UsageError
        There is nothing at `path`.
    IntegrityError
        What is there has no valid manifest, so it was never published.
    """
    folder = Path(path)
    if not folder.exists():
        raise UsageError("no such artefact", where=str(folder), fix="check the path")
    try:
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        manifest["noun"], manifest["digest"], manifest["files"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise IntegrityError(
            "this is no finished artefact: it has no valid manifest", where=str(folder), fix="make it again"
        ) from error
    if manifest.get("schema_version") != SCHEMA_VERSION:
        raise IntegrityError(
            f"schema version {manifest.get('schema_version')}",
            where=str(folder),
            fix=f"this program reads {SCHEMA_VERSION}",
        )
    return dict(manifest)


def verify(path: str | os.PathLike[str], *, hashes: bool = False) -> dict[str, Any]:
    """Compare an artefact with its manifest and return it.

    Parameters
    ----------
    path : path
        The artefact.
    hashes : bool
        Compare sha256 too, not sizes alone.

    Raises
    ------
    IntegrityError
        A file is missing, has another size or another hash; the error names it.
    """
    folder = Path(path)
    manifest = read_manifest(folder)
    for record in manifest["files"]:
        file = folder / record["path"]
        size = file.stat().st_size if file.is_file() else None
        if size != record["size"]:
            raise IntegrityError(
                f"file of {size} bytes, {record['size']} expected" if size is not None else "file is missing",
                where=str(file),
                fix="make the artefact again",
            )
        if hashes and _sha256(file) != record["sha256"]:
            raise IntegrityError("content differs from the manifest", where=str(file), fix="make the artefact again")
    return manifest


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


def _chunks_of(array: xr.DataArray) -> tuple[int, ...]:
    if array.dims[:2] == ("sample", "feature") and array.ndim == 2:
        rows = min(array.shape[0], BLOCK_SAMPLES)
        return max(rows, 1), max(1, min(array.shape[1], features_per_block(array.shape[0], array.dtype.itemsize)))
    return tuple(max(n, 1) for n in array.shape)


def _laid_out(dataset: xr.Dataset) -> xr.Dataset:
    laid = dataset.copy(deep=False)
    for name in laid.variables:
        laid[name].encoding = {}
    for name, array in dataset.data_vars.items():
        if array.chunks is not None:  # a chunk of dask must be a chunk of zarr, or writers would race
            laid[name] = array.chunk(dict(zip(array.dims, _chunks_of(array), strict=True)))
    return laid


def _encoding(dataset: xr.Dataset) -> dict[str, dict[str, Any]]:
    numeric = [name for name in dataset.variables if not is_text(dataset[name])]
    return {
        str(name): {"chunks": _chunks_of(dataset[name]), "compressors": compressors(), "filters": []}
        for name in numeric
        if dataset[name].ndim
    }


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
        self._array.attrs["_FillValue"] = "AAAAAAAA+H8="  # NaN as xarray encodes it
        coords: dict[str, Any] = {
            "sample": ("sample", np.array(self._samples, dtype=object)),
            "feature": ("feature", np.array(self._ids, dtype=object)),
        }
        coords.update({key: ("feature", np.asarray(column)) for key, column in (annotation or {}).items()})
        labels = describe(xr.Dataset(coords=coords, attrs=self._attrs), "view")
        labels.to_zarr(self._folder, group=self._path, mode="a", zarr_format=3, consolidated=False)


# --- tables, rows -------------------------------------------------------------------------------------------------


def from_table(table: pd.DataFrame, dim: str = "row") -> xr.Dataset:
    """Dataset of a table's columns along `dim`; missing text becomes "", an index is kept if it is named `dim`."""
    columns = {str(name): (dim, _encode(column)) for name, column in table.items()}
    coords = {dim: np.asarray(table.index, dtype=object)} if table.index.name == dim else {}
    return xr.Dataset(columns, coords=coords)


def _encode(column: pd.Series) -> np.ndarray:
    if isinstance(column.dtype, pd.CategoricalDtype) or column.dtype.kind in "OTU":
        return column.astype(object).where(column.notna(), "").astype(str).to_numpy(dtype=object)
    if column.dtype.kind == "b":
        return column.to_numpy(dtype=np.int8)
    return column.to_numpy()


def to_table(dataset: xr.Dataset) -> pd.DataFrame:
    """Table of a Dataset with one dimension; "" in text becomes None."""
    frame = dataset.compute().to_dataframe()
    for name in frame.columns:
        if frame[name].dtype.kind in "OTU":
            text = frame[name].astype(object)
            frame[name] = text.where(text != "", None)
    return frame


def node(tree: xr.DataTree, path: str) -> xr.Dataset:
    """Dataset of one node of a tree; use this, not ``tree[path]``, which may also be an array."""
    found = tree[path]
    if not isinstance(found, xr.DataTree):
        raise TypeError(f"'{path}' is a variable, not a node")
    return found.to_dataset(inherit=False)


def clinical_table(tree: xr.DataTree) -> pd.DataFrame:
    """The clinical table of a cohort (or of an artefact made from one), indexed by sample; empty if there is none."""
    if "clinical" not in tree.children:
        return pd.DataFrame(index=pd.Index([], name="sample", dtype=object))
    return to_table(node(tree, "clinical"))


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
