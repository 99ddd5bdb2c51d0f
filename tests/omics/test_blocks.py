"""Walking over blocks gives the same numbers on every container, chunking and scheduler."""

from __future__ import annotations

import threading
import time

import dask
import dask.array as da
import numpy as np
import pytest

from omics.blocks import BLOCK_BYTES, alone, each, features_per_block, map_blocks, map_sum, slices


@pytest.mark.parametrize("n_samples", [1, 2, 50, 360, 500, 1023, 1024, 1025, 5000])
@pytest.mark.parametrize("itemsize", [4, 8])
def test_a_block_is_four_to_eight_megabytes(n_samples: int, itemsize: int) -> None:
    size = features_per_block(n_samples, itemsize)
    block = size * min(n_samples, 1024) * itemsize
    assert BLOCK_BYTES / 2 < block <= BLOCK_BYTES == 8 * 2**20
    assert size & (size - 1) == 0


def test_slices_cover_every_feature_once() -> None:
    assert [list(range(10)[part]) for part in slices(10, 4)] == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
    assert list(slices(0, 4)) == []


def cross_product(block: np.ndarray) -> np.ndarray:
    return block @ block.T


@pytest.mark.parametrize("scheduler", ["threads", "synchronous"])
@pytest.mark.parametrize("chunks", [(12, 7), (5, 7), (12, 100), (1, 1)])
def test_map_sum_does_not_depend_on_container_or_chunks(chunks: tuple[int, int], scheduler: str) -> None:
    values = np.random.default_rng(0).normal(size=(12, 100))
    with dask.config.set(scheduler=scheduler):
        np.testing.assert_allclose(map_sum(cross_product, values), values @ values.T, rtol=1e-10)
        chunked = map_sum(cross_product, da.from_array(values, chunks=chunks))
    np.testing.assert_allclose(chunked, values @ values.T, rtol=1e-10)


def test_map_sum_is_bitwise_the_same_under_every_scheduler() -> None:
    values = da.from_array(np.random.default_rng(0).normal(size=(12, 100)), chunks=(12, 7))
    sums = []
    for scheduler in ("threads", "synchronous"):
        with dask.config.set(scheduler=scheduler):
            sums.append(map_sum(cross_product, values))
    np.testing.assert_array_equal(*sums)


def test_map_sum_combines_in_the_order_of_the_blocks() -> None:
    values = da.from_array(np.arange(20.0).reshape(2, 10), chunks=(2, 3))
    assert map_sum(lambda block: [block[0, 0]], values) == [0, 3, 6, 9]
    assert map_sum(lambda block: block.max(), values, combine=max) == 19


def test_map_blocks_gives_all_samples_and_cuts_numpy_as_a_store_would() -> None:
    rows = da.from_array(np.zeros((10, 6)), chunks=(3, 2))
    assert map_blocks(np.shape, rows) == [(10, 2)] * 3
    wide = np.zeros((1024, 5000), dtype=np.float32)
    assert map_blocks(np.shape, wide) == [(1024, 2048), (1024, 2048), (1024, 904)]


def late_square(number: int, offset: np.ndarray) -> float:
    time.sleep(0.002 * (5 - number))  # the first ends last
    return number**2 + offset.sum()


@pytest.mark.parametrize("scheduler", ["threads", "synchronous"])
def test_each_keeps_the_order_of_the_items(scheduler: str) -> None:
    with dask.config.set(scheduler=scheduler):
        assert each(late_square, range(5), np.array([0.5, 0.5])) == [1, 2, 5, 10, 17]


def test_each_hands_containers_on_untouched() -> None:
    assert each(type, [["a", "b"], {"c": 1}]) == [list, dict]


def test_alone_lasts_until_the_last_thread_has_left() -> None:
    first_is_in, second_is_in, first_is_out = (threading.Event() for _ in range(3))
    found = []

    def first() -> None:
        with alone():
            first_is_in.set()
            second_is_in.wait(10)
        first_is_out.set()

    def second() -> None:
        first_is_in.wait(10)
        with alone():
            second_is_in.set()
            first_is_out.wait(10)
            found.append(dask.config.get("scheduler"))

    with dask.config.set(scheduler="threads"):
        threads = [threading.Thread(target=work) for work in (first, second)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(10)
        assert found == ["synchronous"]
        assert dask.config.get("scheduler") == "threads"
