"""Fits that are interrupted or killed go on from their checkpoint to the same bits; it is not trusted blindly."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
from pathlib import Path

import dask
import numpy as np
import pytest

from omics.factors import MOFA
from omics.factors import checkpoint as module
from omics.factors.checkpoint import Checkpoint
from omics.factors.progress import SAVED, Snapshot
from omics.factors.sweep import Sweep
from omics.factors.updates import Gamma
from omics.schema import IntegrityError, UsageError
from tests.streaming import assert_identical_models, cohort, many_waves

#: Four fits, which end after different passes.
PARAMETERS = {"n_factors": [2, 4], "n_restarts": 2, "max_iter": 100, "random_state": 1}


class Watch:
    """Notes the fits under way in each pass, and interrupts after one of them."""

    def __init__(self, last: int | None = None, error: type[BaseException] = KeyboardInterrupt) -> None:
        self.last, self.error, self.iterations, self.fits = last, error, [], []

    @property
    def ends(self) -> list[int]:
        """Passes of fewer fits than the one before."""
        return [i for i, old, new in zip(self.iterations[1:], self.fits, self.fits[1:], strict=False) if old != new]

    def __call__(self, report) -> None:
        self.iterations.append(report.iteration)
        self.fits.append(report.fits)
        if report.iteration == self.last:
            raise self.error


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """Several waves a pass; test data are too small for threads."""
    many_waves(monkeypatch, 3)
    with dask.config.set(scheduler="synchronous"):
        yield


@pytest.fixture(scope="module")
def tree():
    return cohort()


@pytest.fixture(scope="module")
def whole(tree) -> tuple[MOFA, Watch]:
    """The fit that nothing interrupts, and what was seen of it."""
    watch = Watch()
    with pytest.MonkeyPatch.context() as patch, dask.config.set(scheduler="synchronous"):
        many_waves(patch, 3)
        return MOFA(**PARAMETERS).fit(tree, watch=watch), watch


@pytest.fixture
def path(tmp_path) -> Path:
    return tmp_path / "fit.checkpoint"


def at(path: Path, *, resume: bool = False, every: float = 1e9, key: str = "this fit") -> Checkpoint:
    return Checkpoint(path, key, SAVED, resume=resume, every=every)


def interrupted(tree, path: Path, last: int, **parameters) -> Watch:
    watch = Watch(last)
    with pytest.raises(KeyboardInterrupt) as caught:
        MOFA(**PARAMETERS | parameters).fit(tree, watch=watch, checkpoint=at(path))
    assert caught.value.__notes__ == [f"the state after iteration {last} is kept; go on with --resume"]
    assert path.is_file()
    return watch


# --- going on ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("compat", [False, True])
def test_an_interrupted_fit_goes_on_to_the_same_bits(tree, path, compat):
    """From the first pass, from the middle, and after some of the fits have ended."""
    seen = Watch()
    expected = MOFA(**PARAMETERS, compat=compat).fit(tree, watch=seen)
    assert seen.ends
    for last in (1, 17, seen.ends[0], seen.iterations[-1] - 1):
        interrupted(tree, path, last, compat=compat)
        rest = Watch()
        model = MOFA(**PARAMETERS, compat=compat).fit(tree, watch=rest, checkpoint=at(path, resume=True))
        assert_identical_models(model, expected)
        assert rest.iterations == seen.iterations[last:]
        assert rest.fits == seen.fits[last:]
        assert (np.diff(model.trace_["seconds"]) >= 0).all()


def test_it_may_be_interrupted_again_and_again(tree, path, whole):
    for last in (3, 4, 30):
        with pytest.raises(KeyboardInterrupt):
            MOFA(**PARAMETERS).fit(tree, watch=Watch(last), checkpoint=at(path, resume=True))
    assert_identical_models(MOFA(**PARAMETERS).fit(tree, checkpoint=at(path, resume=True)), whole[0])


@pytest.mark.parametrize(
    "changes", [{"drop": 0.02, "n_factors": 6}, {"spikeslab_factors": True, "ard_factors": True, "dtype": "float64"}]
)
def test_whatever_the_options(tree, path, changes):
    expected = MOFA(**PARAMETERS | changes).fit(tree)
    interrupted(tree, path, 23, **changes)
    assert_identical_models(MOFA(**PARAMETERS | changes).fit(tree, checkpoint=at(path, resume=True)), expected)


def test_an_interrupt_in_the_middle_of_a_pass_loses_that_pass_alone(tree, path, whole, monkeypatch):
    visit, calls = Sweep.visit, []

    def fails(self, *arguments, **options):
        calls.append(1)
        if len(calls) == 3 * 10 + 2:
            raise KeyboardInterrupt
        return visit(self, *arguments, **options)

    with monkeypatch.context() as patch:
        patch.setattr(Sweep, "visit", fails)
        with pytest.raises(KeyboardInterrupt) as caught:
            MOFA(**PARAMETERS).fit(tree, checkpoint=at(path))
    assert "after iteration 10 is kept" in caught.value.__notes__[0]
    rest = Watch()
    assert_identical_models(MOFA(**PARAMETERS).fit(tree, watch=rest, checkpoint=at(path, resume=True)), whole[0])
    assert rest.iterations[0] == 11


def test_without_resume_it_starts_anew(tree, path):
    interrupted(tree, path, 5)
    watch = Watch()
    MOFA(**PARAMETERS).fit(tree, watch=watch, checkpoint=at(path))
    assert watch.iterations[0] == 1


def test_it_is_kept_as_often_as_asked_for_and_cleared_when_asked_to(tree, path):
    def kept(every: float) -> list[bool]:
        path.unlink(missing_ok=True)
        seen: list[bool] = []
        MOFA(**PARAMETERS).fit(tree, watch=lambda _: seen.append(path.exists()), checkpoint=at(path, every=every))
        return seen

    assert not any(kept(1e9))
    assert not path.exists()
    assert all(kept(0)[1:])
    assert at(path, resume=True).load().iteration > 10  # whoever has stored the model clears it
    at(path).clear()
    assert not path.exists()
    at(path).clear()


SCRIPT = """
import sys
import dask
from omics.factors import MOFA, places
from omics.factors.checkpoint import Checkpoint
from omics.factors.progress import SAVED
from tests.streaming import cohort

places.WAVE_BYTES, places.N_WAVES = 1, 3
parameters = {parameters!r}
with dask.config.set(scheduler="threads"):
    MOFA(**parameters).fit(
        cohort(),
        watch=lambda report: print(report.iteration, flush=True),
        checkpoint=Checkpoint(sys.argv[1], "this fit", SAVED, every=0),
    )
"""


@pytest.mark.skipif(os.name != "posix", reason="SIGKILL")
def test_a_killed_fit_goes_on_to_the_same_bits(tree, path, whole):
    command = [sys.executable, "-c", SCRIPT.format(parameters=PARAMETERS), str(path)]
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if int(line) == 13:
                process.send_signal(signal.SIGKILL)
                break
    assert process.returncode == -signal.SIGKILL
    rest = Watch()
    assert_identical_models(MOFA(**PARAMETERS).fit(tree, watch=rest, checkpoint=at(path, resume=True)), whole[0])
    assert 12 <= rest.iterations[0] <= 20  # it went on for a while before it was killed


# --- what is refused --------------------------------------------------------------------------------------------------


def test_the_state_of_another_fit_is_refused(tree, path):
    interrupted(tree, path, 2)
    with pytest.raises(UsageError, match="of another fit") as caught:
        MOFA(**PARAMETERS).fit(tree, checkpoint=at(path, resume=True, key="that fit"))
    assert caught.value.where == str(path)


@pytest.mark.parametrize("share", [0.0, 0.3, 0.99])
def test_a_file_that_was_cut_off_is_refused(tree, path, share):
    interrupted(tree, path, 2)
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    with pytest.raises(IntegrityError, match="damaged") as caught:
        MOFA(**PARAMETERS).fit(tree, checkpoint=at(path, resume=True))
    assert caught.value.where == str(path)


def test_a_damaged_file_is_refused_wherever_the_damage(path):
    """Any bit: it is noticed, or it says nothing about the state."""
    state = [Gamma(np.arange(6.0), np.ones((40, 40))), {1: np.zeros(2)}, (True, None, 1.5, "text")]
    at(path).save(state)
    whole, arrays = path.read_bytes(), {}
    skeleton, rng, refused = module._flat(state, arrays), np.random.default_rng(0), 0
    places = [*range(500), *range(len(whole) - 1200, len(whole)), *rng.integers(0, len(whole), 300)]
    for place in places:
        damaged = bytearray(whole)
        damaged[place] ^= 1 << int(rng.integers(8))
        path.write_bytes(damaged)
        try:
            loaded = at(path, resume=True).load()
        except IntegrityError:
            refused += 1
            continue
        found: dict[str, np.ndarray] = {}
        assert module._flat(loaded, found) == skeleton
        for name, array in arrays.items():
            np.testing.assert_array_equal(found[name], array, strict=True)
    assert refused > 0.7 * len(places)


class Hostile:
    """Makes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return (Path.touch, (self.path,))


@pytest.mark.parametrize("name", ["skeleton", "key", "array0"])
def test_nothing_is_ever_unpickled(path, tmp_path, name):
    arrays = {"skeleton": np.array('{"array": "array0"}'), "key": np.array("this fit"), "array0": np.zeros(3)}
    trap = np.empty(1, dtype=object)
    trap[0] = Hostile(tmp_path / "sprung")
    with path.open("wb") as file:
        np.savez(file, **arrays | {name: trap})
    with pytest.raises(IntegrityError, match="damaged"):
        at(path, resume=True).load()
    path.write_bytes(pickle.dumps(Hostile(tmp_path / "sprung")))
    with pytest.raises(IntegrityError, match="damaged"):
        at(path, resume=True).load()
    assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize(
    "skeleton",
    [
        "",
        "[]",
        "3",
        '{"kind": "system", "items": []}',
        '{"kind": "Snapshot", "items": []}',
        '{"array": "array9"}',
        '{"array": 0}',
        '{"keys": ["a"], "items": []}',
        '{"sequence": "tuple", "items": 3}',
        '{"items": []}',
    ],
)
def test_a_skeleton_of_something_else_is_refused(path, skeleton):
    with path.open("wb") as file:
        np.savez(file, skeleton=np.array(skeleton), key=np.array("this fit"))
    with pytest.raises(IntegrityError, match="damaged"):
        at(path, resume=True).load()


def test_a_state_that_is_no_snapshot_is_refused(tree, path):
    """Well-formed, and useless."""
    at(path).save([np.zeros(3)])
    with pytest.raises(IntegrityError, match="damaged"):
        MOFA(**PARAMETERS).fit(tree, checkpoint=at(path, resume=True))


# --- the file ---------------------------------------------------------------------------------------------------------


def test_what_is_loaded_is_what_was_saved(tree, path, whole):
    interrupted(tree, path, whole[1].ends[0])
    loaded = at(path, resume=True).load()
    assert isinstance(loaded, Snapshot)
    before: dict[str, np.ndarray] = {}
    skeleton = module._flat(loaded, before)
    at(path).save(loaded)
    after: dict[str, np.ndarray] = {}
    assert module._flat(at(path, resume=True).load(), after) == skeleton
    for name, array in before.items():
        np.testing.assert_array_equal(after[name], array, strict=True)
    assert loaded.ended  # with fits that have ended, their dict's keys are still numbers
    assert all(isinstance(f, int) for f in loaded.ended)


def test_a_disk_that_is_full_leaves_the_file_before_as_it_was(tree, path, monkeypatch):
    interrupted(tree, path, 3)
    before = path.read_bytes()

    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module.os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        at(path).save([np.zeros(3)])
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]


def test_an_interrupt_is_still_one_when_the_state_cannot_be_kept(tree, tmp_path):
    """The folder is gone: no other error hides it."""
    with pytest.raises(KeyboardInterrupt):
        MOFA(**PARAMETERS).fit(tree, watch=Watch(2), checkpoint=at(tmp_path / "nowhere" / "fit.checkpoint"))
