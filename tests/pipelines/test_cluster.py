"""Schedulers: the same numbers with each, a fault in bounded time, nothing left behind."""

from __future__ import annotations

import os
import socket
import time

import dask.array as da
import distributed
import numpy as np
import psutil
import pytest
import threadpoolctl

from omics.blocks import each, map_sum, width
from omics.schema import EnvironmentFault, UsageError
from pipelines import cluster


def gram(block: np.ndarray) -> np.ndarray:
    return block @ block.T


def blas_threads(_: int) -> set[int]:
    return {library["num_threads"] for library in threadpoolctl.threadpool_info() if library["user_api"] == "blas"}


def nested(seed: int) -> float:
    return float(da.random.default_rng(seed).standard_normal(100, chunks=10).sum().compute())


def numbers() -> bytes:
    values = da.random.default_rng(1).standard_normal((100, 9000), chunks=(100, 500))
    return map_sum(gram, values).tobytes()


@pytest.mark.parametrize("workers", [1, 3])
def test_threads_give_the_same_bits_whatever_their_number(workers):
    with cluster.on("threads", workers=workers):
        assert each(blas_threads, range(3)) == [{1}] * 3
        found = numbers()
    with cluster.on("threads", workers=2):
        assert found == numbers()


def test_local_processes_give_the_same_bits_and_go_away(monkeypatch):
    with cluster.on("threads"):
        expected = numbers()
    before = {process.pid for process in psutil.Process().children(recursive=True)}
    with cluster.on("local", workers=2, progress=True):
        started = [p for p in psutil.Process().children(recursive=True) if p.pid not in before]
        listening = [
            c.laddr.ip for p in [psutil.Process(), *started] for c in p.net_connections() if c.status == "LISTEN"
        ]
        assert set(listening) == {"127.0.0.1"}, "nothing listens beyond this machine"
        assert each(blas_threads, range(3)) == [{1}] * 3
        assert numbers() == expected
    _, alive = psutil.wait_procs([p for p in started if "spawn_main" in " ".join(_command(p))], timeout=10)
    assert alive == []


def _command(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.NoSuchProcess:
        return []


def test_a_running_scheduler_gives_the_same_bits_and_stays():
    with cluster.on("threads"):
        expected, inside = numbers(), each(nested, range(3))
    with (
        distributed.LocalCluster(
            n_workers=1,
            threads_per_worker=2,
            processes=False,
            protocol="tcp://",
            host="127.0.0.1",
            dashboard_address="127.0.0.1:0",
        ) as running,
        distributed.Client(running) as other,
    ):
        with cluster.on(running.scheduler_address):
            assert each(blas_threads, range(2)) == [{1}] * 2
            assert numbers() == expected
            assert each(nested, range(3)) == inside, "a task may compute within itself"
        assert other.submit(sum, [1, 2]).result(timeout=10) == 3


@pytest.fixture
def nobody() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"tcp://127.0.0.1:{probe.getsockname()[1]}"


def test_a_scheduler_that_does_not_answer_is_a_fault_in_bounded_time(nobody, monkeypatch):
    monkeypatch.setattr(cluster, "_CONNECT", 1)
    started = time.monotonic()
    with pytest.raises(EnvironmentFault, match="no dask scheduler answers"), cluster.on(nobody):
        pass
    assert time.monotonic() - started < 5


def test_a_scheduler_without_workers_is_a_fault_in_bounded_time(monkeypatch):
    monkeypatch.setattr(cluster, "_FIRST_WORKER", 0.5)
    with (
        distributed.LocalCluster(
            n_workers=0, processes=False, protocol="tcp://", host="127.0.0.1", dashboard_address="127.0.0.1:0"
        ) as empty,
        pytest.raises(EnvironmentFault, match="no worker"),
        cluster.on(empty.scheduler_address),
    ):
        pass


def test_an_unknown_cluster_is_refused():
    with pytest.raises(UsageError, match="unknown cluster 'cloud'"), cluster.on("cloud"):
        pass


def test_a_size_that_cannot_be_read_is_refused():
    with pytest.raises(UsageError, match="'lots' is no size"), cluster.on("local", memory="lots"):
        pass


def process(_: int) -> int:
    return os.getpid()


def test_what_is_one_fit_runs_in_threads_although_processes_were_started():
    with cluster.on("local", workers=1):
        assert os.getpid() not in each(process, range(2))
        with cluster.threads_rather_than_processes():
            assert set(each(process, range(2))) == {os.getpid()}
            assert width() == 1
        assert os.getpid() not in each(process, range(2))
    with cluster.on("threads", workers=3), cluster.threads_rather_than_processes():
        assert width() == 3, "as it was"


def die(_: int) -> None:
    os._exit(1)


@pytest.mark.slow
def test_a_task_that_ends_its_worker_is_a_fault_of_the_environment():
    with pytest.raises(EnvironmentFault, match="ended its worker"), cluster.on("local", workers=1):
        each(die, [1])


def test_progress_is_said_in_lines_off_a_terminal(monkeypatch, capsys):
    monkeypatch.setattr("pipelines.console._PATIENCE", 0)
    with cluster.on("threads", workers=1, progress=True):
        each(blas_threads, range(10))
    said = capsys.readouterr()
    assert said.out == ""
    assert "tasks 100 %" in said.err
    assert "\r" not in said.err
