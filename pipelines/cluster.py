"""Where tasks run: threads, processes of this machine, or a dask cluster; the same numbers with each.

The numbers are the same because tasks are the same: rooms cut the work into blocks and seeds that do not depend on
the number of workers, add partial sums in the order of the blocks, and every task has one BLAS thread (in this
process and on every worker by threadpoolctl).
"""

from __future__ import annotations

import importlib
import logging
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import dask
from dask.callbacks import Callback
from dask.utils import parse_bytes
from threadpoolctl import threadpool_limits

from omics.schema import EnvironmentFault, UsageError
from pipelines import BLAS_THREADS
from pipelines.console import Bar

#: Seconds until a scheduler must have answered, and until its first worker must be there.
_CONNECT, _FIRST_WORKER = 10, 60
#: In dask's configuration: the number of processes that were started on this machine.
_LOCAL = "omics.local-processes"
#: What worker processes start with. By default they also return memory at once, which doubles the time of a fit.
_WORKER_ENVIRONMENT = "distributed.nanny.pre-spawn-environ"


@contextmanager
def on(
    cluster: str = "threads", *, workers: int | None = None, memory: str | None = None, progress: bool = False
) -> Iterator[None]:
    """Compute on `cluster` inside the block; nothing that was started is left behind.

    Parameters
    ----------
    cluster : str
        ``threads`` of this process, ``local`` processes, or ``tcp://HOST:PORT`` of a running dask scheduler.
    workers : int, optional
        Threads or processes; all cores if not given.
    memory : str, optional
        Memory of one local process, such as ``4GiB``.
    progress : bool
        Show on stderr how far tasks are.

    Raises
    ------
    UsageError
        `cluster` is none of the above, or `memory` is no size.
    EnvironmentFault
        The scheduler does not answer, or has no worker, or a task ends its worker again and again.
    """
    with ExitStack() as stack:
        stack.enter_context(threadpool_limits(limits=1))
        if cluster == "threads":
            n_threads = workers or os.cpu_count()
            stack.enter_context(dask.config.set(scheduler="threads", num_workers=n_threads))
            if progress:
                stack.enter_context(_LocalProgress())
        else:
            client = stack.enter_context(_client(cluster, workers, memory))
            if cluster == "local":
                stack.enter_context(dask.config.set({_LOCAL: workers or os.cpu_count()}))
            if progress:
                stack.enter_context(_watched(client))
        yield


@contextmanager
def threads_rather_than_processes() -> Iterator[None]:
    """Inside the block, compute in threads where :func:`on` has started processes of this machine.

    For what is one fit, not many: its threads share the data, while processes would wait for each other's sums.
    """
    n_threads = dask.config.get(_LOCAL, None)
    with dask.config.set({"scheduler": "threads", "num_workers": n_threads} if n_threads else {}):
        yield


@contextmanager
def _client(cluster: str, workers: int | None, memory: str | None) -> Iterator[Any]:
    if cluster != "local" and not cluster.startswith(("tcp://", "tls://")):
        raise UsageError(f"unknown cluster '{cluster}'", where="--cluster", fix="threads, local or tcp://HOST:PORT")
    distributed = importlib.import_module("distributed")
    with ExitStack() as stack:
        address = cluster
        if cluster == "local":
            stack.enter_context(dask.config.set({_WORKER_ENVIRONMENT: dict.fromkeys(BLAS_THREADS, 1)}))
            # Loopback only: by default the dashboard listens on every interface, on a port that may be in use.
            address = stack.enter_context(
                distributed.LocalCluster(
                    n_workers=workers or os.cpu_count(),
                    threads_per_worker=1,
                    memory_limit=_bytes(memory),
                    host="127.0.0.1",
                    dashboard_address="127.0.0.1:0",
                    silence_logs=logging.ERROR,
                )
            )
        client = stack.enter_context(_connected(distributed, address))
        if cluster == "local":
            client.register_worker_callbacks(setup=_ignore_interrupt)
        try:
            yield client
        except distributed.KilledWorker as error:
            raise EnvironmentFault(
                "a task ended its worker several times, most likely for want of memory",
                where=f"--cluster {cluster}",
                fix="give each worker more --memory, or use fewer --workers",
            ) from error


def _bytes(memory: str | None) -> int | str:
    try:
        return int(parse_bytes(memory)) if memory else "auto"
    except ValueError as error:
        raise UsageError(f"'{memory}' is no size", where="--memory", fix="for example --memory 4GiB") from error


@contextmanager
def _connected(distributed: Any, address: Any) -> Iterator[Any]:
    try:
        direct = None if isinstance(address, str) else True  # results need not pass through our own scheduler
        client = distributed.Client(address, timeout=_CONNECT, direct_to_workers=direct)
    except (OSError, TimeoutError) as error:
        raise EnvironmentFault(
            f"no dask scheduler answers within {_CONNECT} s", where=str(address), fix="start it, or check host and port"
        ) from error
    with client:
        try:
            client.wait_for_workers(1, timeout=_FIRST_WORKER)
        except TimeoutError as error:
            raise EnvironmentFault(
                f"the scheduler has no worker after {_FIRST_WORKER} s", where=str(address), fix="start workers"
            ) from error
        client.register_worker_callbacks(setup=_set_up_worker)  # on workers that come later too
        yield client


def _set_up_worker() -> None:
    """Run each task of a worker alone: one BLAS thread, and no tasks of its own on the cluster.

    What a task computes within itself is small; sent to the scheduler, it would cost more than it takes.
    """
    for library in ("numpy", "scipy.linalg"):  # what is not loaded cannot be limited
        importlib.import_module(library)
    threadpool_limits(limits=1)
    dask.config.set(scheduler="synchronous")


def _ignore_interrupt() -> None:
    """Leave Ctrl-C, which a terminal sends to all processes, to the one that will end the workers.

    It may need them once more, to keep the state of a fit.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)


# --- progress -------------------------------------------------------------------------------------------------------


class _LocalProgress(Callback):
    """Progress of what the main thread computes; computations inside tasks are parts of theirs."""

    def __init__(self) -> None:
        super().__init__()
        self._bar: Bar | None = None

    def _start_state(self, dsk: Any, state: Any) -> None:
        if threading.current_thread() is threading.main_thread():
            self._bar = Bar("tasks")

    def _posttask(self, key: Any, result: Any, dsk: Any, state: Any, worker_id: Any) -> None:
        if self._bar and threading.current_thread() is threading.main_thread():
            done = len(state["finished"])
            self._bar.show(done, done + sum(len(state[part]) for part in ("running", "ready", "waiting")))

    def _finish(self, dsk: Any, state: Any, errored: bool) -> None:
        if self._bar and threading.current_thread() is threading.main_thread():
            self._bar.close()
            self._bar = None


@contextmanager
def _watched(client: Any) -> Iterator[None]:
    """Ask the scheduler every second how many tasks are left."""
    ended = threading.Event()
    watcher = threading.Thread(target=_watch, args=(client, ended), daemon=True)
    watcher.start()
    try:
        yield
    finally:
        ended.set()
        watcher.join()


def _watch(client: Any, ended: threading.Event) -> None:
    bar, most = Bar("tasks"), 0
    while not ended.wait(1):
        left = client.run_on_scheduler(_unfinished)
        if left > most or not left:
            bar.close()
            bar, most = Bar("tasks"), left
        bar.show(most - left, most)
    bar.close()


def _unfinished(dask_scheduler: Any) -> int:
    states = ("waiting", "no-worker", "queued", "processing")
    return sum(task.state in states for task in dask_scheduler.tasks.values())
