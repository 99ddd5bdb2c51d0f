"""Keep the state of a fit in one file that is whole or not there, without pickle, and for no other fit."""

from __future__ import annotations

import json
import os
import time
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from omics.schema import IntegrityError, UsageError

_SKELETON, _KEY = "skeleton", "key"


class Checkpoint:
    """A file in which a fit keeps its state.

    Parameters
    ----------
    path : path
        The file.
    key : str
        What the state depends on (data, parameters, program), so that no other fit goes on from it.
    kinds : sequence of type
        NamedTuples that a state may be made of; the state itself is the first.
    resume : bool
        Go on from the file if it is there; else it is replaced.
    every : float
        Seconds between two times that the state is kept.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        key: str,
        kinds: Sequence[type],
        *,
        resume: bool = False,
        every: float = 60.0,
    ) -> None:
        self.path, self._key, self._resume, self._every = Path(path), key, resume, every
        self._kinds: Mapping[str, Any] = {kind.__name__: kind for kind in kinds}
        self._last = time.monotonic()

    def due(self) -> bool:
        """Whether it is time to keep the state."""
        return time.monotonic() - self._last >= self._every

    def save(self, state: Any) -> None:
        """Keep a state: written aside, then renamed."""
        arrays: dict[str, np.ndarray] = {}
        skeleton = json.dumps(_flat(state, arrays))
        aside = self.path.with_name(f"{self.path.name}.{os.getpid()}")
        try:
            with aside.open("wb") as file:
                np.savez(file, **{_SKELETON: np.array(skeleton), _KEY: np.array(self._key)}, **arrays)  # type: ignore[arg-type]
                file.flush()
                os.fsync(file.fileno())
            aside.replace(self.path)
        finally:
            aside.unlink(missing_ok=True)
        self._last = time.monotonic()

    def load(self) -> Any:
        """The state that was kept, None if there is none or it is not to be used.

        Raises
        ------
        UsageError
            It is the state of another fit.
        IntegrityError
            The file is damaged.
        """
        if not self._resume or not self.path.is_file():
            return None
        try:
            with zipfile.ZipFile(self.path) as whole:  # checksums first: a damaged header is parsed before its own
                if damaged := whole.testzip():
                    raise ValueError(f"checksum of {damaged}")
            with self.path.open("rb") as handle, np.load(handle, allow_pickle=False) as file:
                key, skeleton = str(file[_KEY]), json.loads(str(file[_SKELETON]))
                arrays = {name: file[name] for name in file.files}
            if key == self._key:
                state = _built(skeleton, arrays, self._kinds)
                if type(state).__name__ != next(iter(self._kinds)):
                    raise ValueError(f"it holds a {type(state).__name__}")
                return state
        except (OSError, ValueError, KeyError, TypeError, EOFError, RuntimeError, zipfile.BadZipFile) as error:
            raise IntegrityError(
                f"the checkpoint is damaged: {error}", where=str(self.path), fix="delete it, and run without --resume"
            ) from error
        raise UsageError(
            "the checkpoint is of another fit: other data, parameters or program",
            where=str(self.path),
            fix="run with what it was made with, or without --resume",
        )

    def clear(self) -> None:
        """The fit has ended: nothing is left to go on from."""
        self.path.unlink(missing_ok=True)


def _flat(value: Any, arrays: dict[str, np.ndarray]) -> Any:
    """A JSON skeleton of nested NamedTuples, lists and dicts; arrays are put aside under numbers."""
    if isinstance(value, np.ndarray):
        name = f"array{len(arrays)}"
        arrays[name] = value
        return {"array": name}
    if hasattr(value, "_fields"):
        return {"kind": type(value).__name__, "items": [_flat(item, arrays) for item in value]}
    if isinstance(value, dict):
        return {"keys": list(value), "items": [_flat(item, arrays) for item in value.values()]}
    if isinstance(value, list | tuple):
        return {"sequence": type(value).__name__, "items": [_flat(item, arrays) for item in value]}
    return {"value": value.item() if isinstance(value, np.generic) else value}


def _built(node: Mapping[str, Any], arrays: Mapping[str, np.ndarray], kinds: Mapping[str, Any]) -> Any:
    if "array" in node:
        return arrays[node["array"]]
    if "value" in node:
        return node["value"]
    items = [_built(item, arrays, kinds) for item in node["items"]]
    if "kind" in node:
        return kinds[node["kind"]](*items)
    if "keys" in node:
        return dict(zip(node["keys"], items, strict=True))
    return tuple(items) if node["sequence"] == "tuple" else items
