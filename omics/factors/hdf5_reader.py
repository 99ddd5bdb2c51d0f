"""Read HDF5 that is not trusted: no link is followed, nothing is unpickled, sizes are checked before they are used."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from omics.schema import DataError

#: gzip makes nothing smaller than this, so what declares more is no data.
_RATIO, _SMALL = 1100, 2**16


class Reader:
    """What is in the file, by path; every fault is a DataError that names the path."""

    def __init__(self, file: h5py.File, where: str) -> None:
        self._file, self.where = file, where

    def fault(self, what: str, fix: str = "save the model again") -> DataError:
        """An error in this file."""
        return DataError(what, where=self.where, fix=fix)

    def has(self, path: str) -> bool:
        """Whether there is something at `path`."""
        return self._find(path) is not None

    def names(self, path: str) -> list[str]:
        """Members of a group."""
        found = self._find(path)
        if not isinstance(found, h5py.Group):
            raise self.fault(f"the group '{path}' is missing")
        return list(found)

    def shape(self, path: str, n_dims: int, fix: str = "save the model again") -> tuple[int, ...]:
        """Shape of an array that can be read."""
        shape = tuple(self._array(path, fix).shape)
        if len(shape) != n_dims or 0 in shape:
            raise self.fault(f"'{path}' has the shape {shape}: {n_dims} dimensions that are not empty were expected")
        return shape

    def numbers(self, path: str, shape: tuple[int, ...], part: Any = ..., fix: str = "save the model again") -> Any:
        """Part of an array of numbers, as float64."""
        array = self._array(path, fix)
        if array.shape != shape:
            raise self.fault(f"'{path}' has the shape {array.shape}: {shape} was expected")
        if array.dtype.kind not in "fiub":
            raise self.fault(f"'{path}' holds {array.dtype}, not numbers")
        with self.reading(path):
            return np.asarray(array[part], dtype=float)

    def text(self, path: str, size: int | None = None) -> np.ndarray:
        """One-dimensional text."""
        array = self._array(path)
        if array.ndim != 1 or size not in (None, array.shape[0]):
            raise self.fault(f"'{path}' has the shape {array.shape}: {'one dimension' if size is None else (size,)}"
                             " was expected")  # fmt: skip
        return self._decoded(path, array)

    def one_text(self, path: str) -> str:
        """One text."""
        array = self._array(path)
        if array.shape:
            raise self.fault(f"'{path}' has the shape {array.shape}: a single text was expected")
        return str(self._decoded(path, array))

    def column(self, path: str, size: int) -> np.ndarray:
        """One-dimensional text or numbers."""
        array = self._array(path)
        if array.dtype.kind in "SO":
            return self.text(path, size)
        self.numbers(path, (size,))
        return np.asarray(array[...])

    def json(self, path: str, kind: type) -> Any:
        """A list or dict from JSON text."""
        try:
            value = json.loads(self.one_text(path))
        except ValueError as error:
            raise self.fault(f"'{path}' is no JSON: {error}") from error
        if not isinstance(value, kind):
            raise self.fault(f"'{path}' holds a {type(value).__name__}, not a {kind.__name__}")
        return value

    def _decoded(self, path: str, array: h5py.Dataset) -> Any:
        if h5py.check_string_dtype(array.dtype) is None:
            raise self.fault(f"'{path}' holds {array.dtype}, not text")
        with self.reading(path):
            return np.asarray(array.asstr("utf-8")[...], dtype=object)

    def _array(self, path: str, fix: str = "save the model again") -> h5py.Dataset:
        found = self._find(path)
        if not isinstance(found, h5py.Dataset) or found.shape is None:
            raise self.fault(f"the array '{path}' is missing", fix)
        if found.external or found.is_virtual:
            raise self.fault(f"'{path}' is kept in another file, which is not opened")
        if found.nbytes > _RATIO * found.id.get_storage_size() + _SMALL:
            raise self.fault(f"'{path}' declares {found.nbytes} bytes, but hardly any are there")
        return found

    def _find(self, path: str) -> Any:
        item: Any = self._file
        for name in path.split("/"):
            with self.reading(path):
                link = item.get(name, getlink=True) if isinstance(item, h5py.Group) else None
                if link is None:
                    return None
                if not isinstance(link, h5py.HardLink):
                    raise self.fault(f"'{path}' is a link elsewhere, which is not followed")
                item = item[name]
        return item

    @contextmanager
    def reading(self, path: str) -> Iterator[None]:
        """Turn what goes wrong into an error that names `path`."""
        try:
            yield
        except (OSError, RuntimeError, KeyError, ValueError) as error:
            raise self.fault(f"'{path}' is damaged: {error}", "copy the file again, or save the model again") from error


@contextmanager
def opened(source: Path) -> Iterator[Reader]:
    """Open a file for reading, and close it.

    Raises
    ------
    DataError
        It is no HDF5 file, or a truncated one.
    """
    try:
        file = h5py.File(source, "r")
    except OSError as error:
        raise DataError(
            "this is no HDF5 file, or a truncated one", where=str(source), fix="give what mofapy2's save() wrote"
        ) from error
    with file:
        yield Reader(file, str(source))
