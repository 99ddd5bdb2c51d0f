"""The streaming engine on a dask cluster: the same bits, little traffic, and workers that are killed."""

from __future__ import annotations

import logging
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import nullcontext

import dask
import distributed
import numpy as np
import pytest

from omics import blocks
from omics.factors import MOFA
from omics.factors.checkpoint import Checkpoint
from omics.factors.progress import SAVED
from tests.streaming import assert_identical_models, cohort, many_parts, many_waves, stored

PARAMETERS = {"n_factors": [3, 4], "max_iter": 14, "hold": "memory"}


@pytest.fixture(scope="module")
def client() -> Iterator[distributed.Client]:
    """Two processes of one thread each."""
    with (
        distributed.LocalCluster(
            n_workers=2,
            threads_per_worker=1,
            host="127.0.0.1",
            dashboard_address="127.0.0.1:0",
            silence_logs=logging.CRITICAL,
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        yield client


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        return stored(cohort(), tmp_path_factory.mktemp("store") / "cohort.zarr", patch)


@pytest.fixture(autouse=True)
def small(monkeypatch):
    """Several waves a pass and several parts a wave, so that both workers have some of each; 8 passes for 25."""
    monkeypatch.setattr("omics.factors.stream.RENEW_EVERY", 8)
    many_waves(monkeypatch, 2)
    many_parts(monkeypatch, times=8)
    monkeypatch.setattr("omics.factors.sweep.SMALL_BYTES", 0)


@pytest.fixture
def expected(tree, small):
    with dask.config.set(scheduler="threads"):
        return MOFA(**PARAMETERS).fit(tree)


def test_the_same_bits_as_in_threads(client, tree, expected):
    with dask.config.set(scheduler="dask.distributed"):
        model = MOFA(**PARAMETERS).fit(tree)
    assert_identical_models(model, expected)


@pytest.mark.slow
@pytest.mark.parametrize("hold", ["disk", "store"])
def test_wherever_the_data_lie(client, tree, hold):
    parameters = PARAMETERS | {"max_iter": 4, "hold": hold}
    with dask.config.set(scheduler="threads"):
        expected = MOFA(**parameters).fit(tree)
    with dask.config.set(scheduler="dask.distributed"):
        assert_identical_models(MOFA(**parameters).fit(tree), expected)


def sizes(value: object) -> int:
    """Bytes of all arrays in something nested."""
    if isinstance(value, np.ndarray):
        return value.nbytes
    value = list(value.values()) if isinstance(value, dict) else value
    return sum(sizes(item) for item in value) if isinstance(value, tuple | list) else 0


def test_only_small_things_travel(client, tree, monkeypatch):
    """What comes back in a pass is what is reported, and it does not grow with the number of features."""
    gather, gathered, reported = blocks.gather, [], []

    def counted(tasks):
        results = gather(tasks)
        gathered.append([sizes(one) for task in results for one in (task.values() if isinstance(task, dict) else task)])
        return results

    monkeypatch.setattr(blocks, "gather", counted)

    def watch(report):
        # one call a wave, one number a sum
        reported.append((report.traffic, sum(map(sum, gathered)), max(map(max, gathered))))
        gathered.clear()

    with dask.config.set(scheduler="dask.distributed"):
        MOFA(n_factors=4, max_iter=6, hold="memory").fit(tree, watch=watch)
    n_samples, n_factors = 60, 4
    local = n_samples * n_factors * (n_factors + 1)  # where entries are missing: a matrix a sample
    largest = 8 * (local + 3 * n_samples * n_factors + 200)
    for traffic, back, most in reported[1:-1]:
        assert 0 < back < traffic
        assert most < largest
    assert len({traffic for traffic, _, _ in reported[1:-1]}) == 1


def killer(client: distributed.Client, iterations: set[int]):
    """A watcher that kills one of the workers after some of the iterations."""
    killed: list[int] = []

    def watch(report) -> None:
        if report.iteration in iterations:
            client.wait_for_workers(2, timeout=30)  # those that were killed are started again
            pid = sorted(client.run(os.getpid).values())[0]
            os.kill(pid, signal.SIGKILL)
            killed.append(pid)

    return watch, killed


@pytest.mark.slow
@pytest.mark.parametrize("iterations", [{1}, {5}, {11}, {2, 6, 12}], ids=str)
def test_a_worker_that_is_killed_costs_only_time(client, tree, expected, iterations):
    """Before and after what workers hold was last fetched, in pass 8."""
    watch, killed = killer(client, iterations)
    with dask.config.set(scheduler="dask.distributed"):
        model = MOFA(**PARAMETERS).fit(tree, watch=watch)
    assert len(killed) == len(iterations)
    assert_identical_models(model, expected)


@pytest.mark.slow
def test_a_checkpoint_of_a_cluster_goes_on_in_threads_and_back(client, tree, expected, tmp_path):
    def interrupt(report) -> None:
        if report.iteration in (3, 9):
            raise KeyboardInterrupt

    def at(resume: bool) -> Checkpoint:
        return Checkpoint(tmp_path / "fit.checkpoint", "this fit", SAVED, resume=resume, every=1e9)

    with dask.config.set(scheduler="dask.distributed"), pytest.raises(KeyboardInterrupt):
        MOFA(**PARAMETERS).fit(tree, watch=interrupt, checkpoint=at(False))
    with dask.config.set(scheduler="threads"), pytest.raises(KeyboardInterrupt):
        MOFA(**PARAMETERS).fit(tree, watch=interrupt, checkpoint=at(True))
    with dask.config.set(scheduler="dask.distributed"):
        model = MOFA(**PARAMETERS).fit(tree, checkpoint=at(True))
    assert_identical_models(model, expected)


def computes_here(_: int, inside: bool) -> bool:
    """Whether what a task computes is computed by its own thread, not sent to the scheduler."""
    with blocks.alone() if inside else nullcontext():
        return blocks.map_blocks(lambda block: threading.get_ident(), np.zeros((2, 2))) == [threading.get_ident()]


def test_a_task_that_is_alone_computes_in_its_own_thread(client):
    assert blocks.each(computes_here, range(4), True) == [True] * 4
    assert blocks.each(computes_here, range(4), False) == [False] * 4
