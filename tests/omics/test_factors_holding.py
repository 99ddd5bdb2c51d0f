"""Where the data lie between passes: the same numbers anywhere, scratch files that go away, little memory."""

from __future__ import annotations

import subprocess
import sys
from collections import namedtuple
from pathlib import Path

import dask
import pytest

from omics.factors import MOFA, holding
from omics.factors.holding import held
from omics.factors.layers import layer_of
from omics.schema import TryAgain, UsageError
from tests.streaming import assert_identical_models, cohort, many_parts, many_waves, stored

PARAMETERS = {"n_factors": 4, "max_iter": 4, "n_restarts": 2}


@pytest.fixture
def lazy(tmp_path, monkeypatch):
    """A cohort in a store, of many small parts."""
    many_waves(monkeypatch, 2)
    many_parts(monkeypatch, times=2)
    return stored(cohort(), tmp_path / "cohort.zarr", monkeypatch)


@pytest.fixture
def scratch(tmp_path):
    """The folder for temporary files."""
    folder = tmp_path / "scratch"
    folder.mkdir()
    with dask.config.set({"temporary-directory": str(folder)}):
        yield folder


def files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def test_the_numbers_do_not_depend_on_it(lazy, scratch):
    seen = {}
    models = {
        hold: MOFA(**PARAMETERS, hold=hold).fit(
            lazy, watch=lambda report, hold=hold: seen.setdefault(hold, len(files(scratch)))
        )
        for hold in ("memory", "disk", "store", "auto")
    }
    models["array"] = MOFA(**PARAMETERS).fit(lazy.load())
    for model in models.values():
        assert_identical_models(model, models["memory"])
    assert seen["disk"] > 20  # a file a block
    assert (seen["memory"], seen["store"], seen["auto"]) == (0, 0, 0)


def test_scratch_files_are_gone_afterwards(lazy, scratch):
    MOFA(**PARAMETERS, hold="disk").fit(lazy)
    assert list(scratch.iterdir()) == []


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_scratch_files_are_gone_after_an_error(lazy, scratch, error):
    def fails(report):
        assert len(files(scratch)) > 20
        raise error("on purpose")

    with pytest.raises(error, match="on purpose"):
        MOFA(**PARAMETERS, hold="disk").fit(lazy, watch=fails)
    assert list(scratch.iterdir()) == []


def test_a_scratch_file_that_is_lost_is_read_from_the_store(lazy, scratch):
    """As on a worker that does not see the driver's disk."""
    expected = MOFA(**PARAMETERS).fit(lazy)

    def lose(report):
        for file in files(scratch)[::2]:
            file.unlink()

    assert_identical_models(MOFA(**PARAMETERS, hold="disk").fit(lazy, watch=lose), expected)


def usage(monkeypatch, free: int) -> None:
    monkeypatch.setattr(holding.shutil, "disk_usage", lambda _: namedtuple("Usage", "free")(free))


def test_no_room_is_said_before_any_work(lazy, scratch, monkeypatch):
    usage(monkeypatch, 10_000)
    seen = []
    with pytest.raises(TryAgain, match="scratch files are needed") as caught:
        MOFA(**PARAMETERS, hold="disk").fit(lazy, watch=seen.append)
    assert not seen
    assert caught.value.where == str(scratch)
    assert "TMPDIR" in caught.value.fix


def layers_of(tree) -> list:
    ids = sorted({sample for view in tree["views"].children.values() for sample in view.indexes["sample"]})
    return [layer_of(view.to_dataset(), ids, name) for name, view in tree["views"].children.items()]


@pytest.mark.parametrize(
    ("memory", "disk", "expected"),
    [(10**9, 10**9, "memory"), (10_000, 10**9, "disk"), (10_000, 10_000, "store")],
)
def test_auto_takes_what_has_room(lazy, scratch, monkeypatch, memory, disk, expected):
    monkeypatch.setattr(holding, "free_memory", lambda: memory)
    usage(monkeypatch, disk)
    with held(layers_of(lazy), "float32", "auto") as where:
        assert (where.keep, where.scratch is not None) == (expected == "memory", expected == "disk")
        if where.scratch:
            assert Path(where.scratch).parent == scratch


def test_free_memory_is_a_number_of_bytes():
    assert 2**20 < holding.free_memory() < 2**50


def test_an_unknown_place_is_refused(lazy):
    with pytest.raises(UsageError, match="hold is 'tape'"):
        MOFA(hold="tape").fit(lazy)


SCRIPT = """
import sys, tracemalloc
import dask, dask.array as da, numpy as np
from omics.factors import stream
from omics.factors.state import Layer, Options, Start
from omics.factors.sweep import Holding

shape, width = (200, 80_000), 1_000
groups = np.zeros(200, int)

def block(block_info):
    (start, stop) = block_info[None]["array-location"][1]
    rng = np.random.default_rng(start)
    scores = np.random.default_rng(7).normal(size=(200, 3))
    return (scores @ rng.normal(size=(3, stop - start)) + rng.normal(size=(200, stop - start))).astype(np.float32)

values = da.map_blocks(block, chunks=((200,), (width,) * (shape[1] // width)), dtype=np.float32)

def peak(values, holding):
    tracemalloc.start()
    layers = [Layer(values, "gaussian", np.arange(200))]
    (fit,) = stream.fit(layers, groups, [Start(3)], Options(max_iter=3), holding=holding)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak / (np.prod(shape) * 4), fit.elbo

places = {"memory": Holding(None, True), "disk": Holding(sys.argv[1], False), "store": Holding(None, False)}
with dask.config.set(scheduler="threads", num_workers=2):
    peak(values[:, :2_000], places["disk"])  # compiles
    for name, holding in places.items():
        print(name, *peak(values, holding))
"""


def test_out_of_core_takes_little_memory(scratch):
    """200 x 80,000 are 64 MB; with 3 factors disk takes 0.37 of it, store 0.43, memory 0.32 beside the blocks."""
    command = [sys.executable, "-c", SCRIPT, str(scratch)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
    found = {name: (float(share), elbo) for name, share, elbo in map(str.split, done.stdout.splitlines())}
    assert len({elbo for _, elbo in found.values()}) == 1
    assert found["disk"][0] < 0.6
    assert found["store"][0] < 0.7
    assert found["memory"][0] < 0.4  # blocks to keep lie in pages of their own, which tracemalloc does not count
