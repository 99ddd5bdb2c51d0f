"""Publish, verify and identify artefacts: whole or not at all, hashed, with provenance.

An artefact is a folder: a zarr v3 hierarchy, and beside its root ``manifest.json`` (every file with size and
sha256, the shapes of the arrays, hashes of inputs, parameters) and ``run.json`` (what made it, where, when). It
is written in a hidden staging folder and renamed at the end, so it exists whole or not at all; readers open only
what has a valid manifest.
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
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import zarr

from omics.schema import SCHEMA_VERSION, IntegrityError, TryAgain, UsageError

MANIFEST = "manifest.json"
RUN = "run.json"
#: Beside the zarr hierarchy, not of it; ``run.json`` has times and hosts, so it is left out of the digest.
_ASIDE = frozenset({MANIFEST, RUN})
_LIBRARIES = ("omics-all", "numpy", "pandas", "xarray", "zarr", "dask", "scikit-learn", "mofapy2")


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
    with _parents(target), _locked(target):
        _tidy(target)
        _refuse_target(target, provenance.inputs, overwrite)
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


@contextmanager
def _parents(target: Path) -> Iterator[None]:
    """Make the folders above `target`; where nothing was published in them, take them away again."""
    made = [folder for folder in target.parents if not folder.exists()]
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        yield
    finally:
        for folder in made:
            with suppress(OSError):  # it is not empty
                folder.rmdir()


def _tidy(target: Path) -> None:
    """Clear away what dead writers left (none lives: we hold the lock); one may have died between its two renames."""
    for old in target.parent.glob(f".{target.name}.staging-*.old"):
        if not target.exists():
            old.rename(target)
    for stale in target.parent.glob(f".{target.name}.staging-*"):
        shutil.rmtree(stale)


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
        if not _taken(handle.fileno(), lock):
            raise TryAgain("another run writes this output", where=str(target), fix="wait for it to end")
        try:
            yield
        finally:
            lock.unlink(missing_ok=True)


def _taken(handle: int, lock: Path) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # Its last holder may have removed it after we had opened it: then a newer file is the lock.
        return os.path.samestat(os.fstat(handle), lock.stat())
    except (BlockingIOError, FileNotFoundError):
        return False


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
    if not folder.is_dir():
        what = "this is a file, not an artefact" if folder.exists() else "no such artefact"
        raise UsageError(what, where=str(folder), fix="check the path")
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


def read_run(path: str | os.PathLike[str]) -> dict[str, Any]:
    """What made an artefact, where and when: versions, arguments, host, time."""
    return dict(json.loads((Path(path) / RUN).read_text(encoding="utf-8")))


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
