"""Where the blocks of a fit lie between two passes: in memory, in scratch files, or only in the store itself."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import dask
import numpy as np

from omics import blocks
from omics.factors.state import Layer
from omics.factors.sweep import Holding
from omics.schema import TryAgain

HOLDS = ("auto", "memory", "disk", "store")
#: Share of the free memory that data may take, and of the free disk.
_MEMORY, _DISK = 0.5, 0.9


@contextmanager
def held(layers: Sequence[Layer], dtype: str, hold: str) -> Iterator[Holding]:
    """Choose where blocks lie; scratch files are gone afterwards.

    Parameters
    ----------
    layers : sequence of Layer
        What is to be held.
    dtype : str
        Of the values in memory.
    hold : {"auto", "memory", "disk", "store"}
        auto takes memory if half of what is free is enough, else the folder for temporary files (dask's
        ``temporary-directory``, or the system's) if there is room, else reads the store in every pass.

    Raises
    ------
    TryAgain
        There is no room for scratch files.
    """
    needed = sum(np.prod(layer.values.shape) for layer in layers) * np.dtype(dtype).itemsize
    folder = dask.config.get("temporary-directory", None) or tempfile.gettempdir()
    room = shutil.disk_usage(folder).free * _DISK
    if hold == "auto":
        fits = needed <= _MEMORY * free_memory() or blocks.on_workers()
        hold = "memory" if fits else "disk" if needed <= room else "store"
    if hold != "disk":
        yield Holding(None, hold == "memory")
        return
    if needed > room:
        raise TryAgain(
            f"{needed / 2**30:.1f} GiB of scratch files are needed, {room / 2**30:.1f} GiB are free",
            where=folder,
            fix="set TMPDIR to a larger disk, or use --hold store, which is slower",
        )
    with tempfile.TemporaryDirectory(prefix="omics-", dir=folder) as scratch:
        yield Holding(scratch, False)


def free_memory() -> int:
    """Bytes that this process may still take: what is free, within the limit of its control group if it has one."""
    free = _number_after(Path("/proc/meminfo"), "MemAvailable:") * 1024
    if not free:
        free = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    limit, used = (_number(Path("/sys/fs/cgroup") / name) for name in ("memory.max", "memory.current"))
    return min(free, max(limit - used, 0)) if limit else free


def _number(file: Path) -> int:
    text = file.read_text().strip() if file.is_file() else ""
    return int(text) if text.isdigit() else 0


def _number_after(file: Path, word: str) -> int:
    lines = file.read_text().splitlines() if file.is_file() else []
    return next((int(line.split()[1]) for line in lines if line.startswith(word)), 0)
