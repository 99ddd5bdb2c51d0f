"""Walk over blocks of features, and run independent tasks, on whatever scheduler dask has active."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial, reduce
from operator import add
from typing import Any, TypeVar

import dask
import dask.array as da
import dask.local
import dask.multiprocessing
import dask.threaded
import numpy as np
from dask.base import get_scheduler
from dask.delayed import Delayed

T = TypeVar("T")
R = TypeVar("R")


class _Alone:
    """dask's setting of the whole process, made by the first thread inside :func:`alone` and taken back by the last."""

    def __init__(self) -> None:
        self._lock, self._inside, self._setting = threading.Lock(), 0, ExitStack()

    def enter(self) -> None:
        with self._lock:
            if not self._inside:
                self._setting.enter_context(dask.config.set(scheduler="synchronous"))
            self._inside += 1

    def leave(self) -> None:
        with self._lock:
            self._inside -= 1
            if not self._inside:
                self._setting.close()


_ALONE = _Alone()

#: Bytes of one block of a store: large enough to amortise a read, small enough for many in memory.
BLOCK_BYTES = 8 * 2**20
#: Samples in one chunk at most.
BLOCK_SAMPLES = 1024


def features_per_block(n_samples: int, itemsize: int = 4) -> int:
    """Features in a block of all samples (up to 1,024), as a power of two: 4-8 MB.

    Parameters
    ----------
    n_samples : int
        Samples of the view.
    itemsize : int
        Bytes of one value.
    """
    rows = max(1, min(n_samples, BLOCK_SAMPLES))
    return max(1, 1 << int(np.log2(BLOCK_BYTES / (rows * itemsize))))


def slices(n_features: int, size: int) -> Iterator[slice]:
    """Consecutive slices of at most `size` features."""
    for start in range(0, n_features, size):
        yield slice(start, min(start + size, n_features))


def each(function: Callable[..., R], items: Iterable[Any], *shared: Any) -> list[R]:
    """``[function(item, *shared) for item in items]`` as independent dask tasks.

    Parameters
    ----------
    function : callable
        Pure function; its tasks may run in other processes or on other machines.
    items : iterable
        One item a task.
    *shared
        Arguments that every task gets; sent once.

    Returns
    -------
    list
        Results in the order of `items`, whatever the scheduler.
    """
    common = [dask.delayed(argument, pure=False, traverse=False) for argument in shared]
    task = dask.delayed(function, pure=False, traverse=False)
    return list(dask.compute(*[task(item, *common) for item in items], traverse=False))


def in_process() -> bool:
    """Whether the active scheduler runs tasks in this process, where they share its memory."""
    return get_scheduler() in (None, dask.threaded.get, dask.local.get_sync)


def on_workers() -> bool:
    """Whether the active scheduler has workers that keep results between two computations: a cluster."""
    return not in_process() and get_scheduler() is not dask.multiprocessing.get


@contextmanager
def alone() -> Iterator[None]:
    """Compute in the calling thread: where many fits run side by side, each has one core.

    On a worker of a cluster, dask would send what a task computes, with its blocks, back to the scheduler.
    """
    _ALONE.enter()
    try:
        yield
    finally:
        _ALONE.leave()


def width() -> int:
    """Calls that :func:`run` makes at a time."""
    if get_scheduler() is dask.local.get_sync:
        return 1
    return int(dask.config.get("num_workers", None) or os.cpu_count() or 1)


def workers() -> list[str]:
    """Address of the worker of every thread that the active scheduler has now; none if it does not tell."""
    client = _client()
    threads = client.nthreads() if client is not None else {}
    most = max(threads.values(), default=0)
    return [address for turn in range(most) for address in sorted(threads) if turn < threads[address]]


def gather(tasks: Sequence[Delayed]) -> tuple[Any, ...]:
    """Results of tasks that are under way; those of a cluster without the second graph that ``compute`` would send."""
    client = _client()
    return tuple(client.gather([task.dask[task.key] for task in tasks]) if client is not None else dask.compute(*tasks))


def _client() -> Any:
    """The client of the cluster whose scheduler is active, if any: the scheduler is a method of it."""
    client = getattr(get_scheduler(), "__self__", None)
    return client if hasattr(client, "nthreads") else None


def run(calls: Sequence[Callable[[], R]]) -> list[R]:
    """Run functions without arguments in threads of this process, with as little around them as dask allows."""
    if width() == 1:
        return [call() for call in calls]
    keys = [f"call-{i}" for i in range(len(calls))]
    graph = {key: (call,) for key, call in zip(keys, calls, strict=True)}
    return list(dask.threaded.get(graph, keys, num_workers=width()))


def here(array: da.Array) -> np.ndarray:
    """Compute an array in the calling thread: what a task reads for itself is no business of the scheduler."""
    finish, extra = array.__dask_postcompute__()
    keys: Any = array.__dask_keys__()
    return np.asarray(finish(dask.local.get_sync(array.__dask_graph__(), keys), *extra))


def map_blocks(function: Callable[[np.ndarray], R], values: Any) -> list[R]:
    """Apply `function` to every block of features of `values` and return the results in order.

    Parameters
    ----------
    function : callable
        Takes a (sample, feature block) array with all samples, returns anything small.
    values : dask.array.Array or numpy.ndarray, shape (sample, feature)
        A NumPy array is cut into blocks of the same size that a store would have.
    """
    if not isinstance(values, da.Array):
        values = np.asarray(values)
        size = features_per_block(len(values), values.itemsize)
        return run([partial(function, values[:, part]) for part in slices(values.shape[1], size)])
    if values.numblocks[0] != 1:
        values = values.rechunk({0: -1})
    task = dask.delayed(function, pure=False)
    return list(dask.compute(*[task(block) for block in values.to_delayed()[0]]))


def map_sum(function: Callable[[np.ndarray], T], values: Any, combine: Callable[[T, T], T] = add) -> T:
    """Sum of ``function(block)`` over the blocks of features, always in the order of the blocks."""
    return reduce(combine, map_blocks(function, values))
