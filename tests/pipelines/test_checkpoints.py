"""A fit that is interrupted or killed goes on from its checkpoint, to the very same artefact."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from omics.artefact import digest
from omics.factors.checkpoint import Checkpoint
from omics.factors.progress import SAVED
from omics.schema import IntegrityError, UsageError
from pipelines import checkpoints
from pipelines.checkpoints import Resume

#: Enough iterations for a test to meet the fit in the middle.
LONG = ("--n-factors", "3,4", "--restarts", "2", "--convergence", "slow")
#: Files beside an output that are no checkpoint.
_ARTEFACT = {"factors.zarr"}


@pytest.fixture
def prepared(finished) -> Path:
    return finished / "prepared.zarr"


@pytest.fixture(scope="module")
def whole(omics, finished, tmp_path_factory) -> str:
    """Digest of a fit that nothing disturbed."""
    output = tmp_path_factory.mktemp("whole") / "factors.zarr"
    result = omics("factors", finished / "prepared.zarr", output, *LONG)
    assert result.exit_code == 0, result.stderr
    return digest(output)


def stopped(arguments: list[object], checkpoint: Path, how: int) -> subprocess.Popen[str]:
    """Start ``omics`` in a process of its own, and send it a signal when it has kept a state.

    A shell starts what runs in the background with SIGINT ignored, and who starts there passes it on: undone here, or
    the fit would go on to its end.
    """
    inherited = signal.signal(signal.SIGINT, signal.default_int_handler)
    process = subprocess.Popen(
        [sys.executable, "-m", "pipelines.cli", *map(str, arguments)],
        env={**os.environ, checkpoints.SECONDS: "0"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    signal.signal(signal.SIGINT, inherited)
    deadline = time.monotonic() + 120
    while not checkpoint.is_file():
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < deadline
        time.sleep(0.005)
    process.send_signal(how)
    return process


@pytest.mark.parametrize(
    ("how", "code", "said"),
    [
        (signal.SIGKILL, -signal.SIGKILL, ""),
        (signal.SIGINT, 130, "interrupted: the state after iteration"),
        pytest.param(signal.SIGTERM, 143, "terminated: the state after iteration", marks=pytest.mark.slow),
    ],
)
def test_a_fit_that_was_stopped_is_resumed_to_the_same_digest(omics, prepared, whole, tmp_path, how, code, said):
    output, checkpoint = tmp_path / "factors.zarr", tmp_path / ".factors.zarr.checkpoint"
    process = stopped(["factors", prepared, output, *LONG], checkpoint, how)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == code, stderr
    assert said in stderr
    assert "Traceback" not in stderr
    assert not output.exists()
    result = omics("factors", prepared, output, *LONG, "--resume", "--workers", 1, "--hold", "store")
    assert result.exit_code == 0, result.stderr
    assert "goes on after iteration" in result.stderr
    assert digest(output) == whole
    assert {path.name for path in tmp_path.iterdir()} == _ARTEFACT, "nothing else is left"


@pytest.mark.slow
def test_a_run_goes_on_in_the_middle_of_its_fit(omics, raw, finished, tmp_path):
    folder = tmp_path / "out"
    folder.mkdir()
    arguments = ["run", raw / "config.toml", "-o", folder, "--resume", "--cluster", "threads"]
    process = stopped(arguments, folder / ".factors.zarr.checkpoint", signal.SIGKILL)
    process.communicate(timeout=60)
    result = omics("run", raw / "config.toml", "-o", folder, "--resume")
    assert result.exit_code == 0, result.stderr
    assert "prepare   up to date" in result.stderr
    assert "goes on after iteration" in result.stderr
    assert digest(folder / "factors.zarr") == digest(finished / "factors.zarr")
    assert not (folder / ".factors.zarr.checkpoint").exists()


# --- what becomes of a checkpoint that is there -----------------------------------------------------------------------


@pytest.fixture
def left(prepared, tmp_path) -> Path:
    """The output of a fit of 4 factors that was killed: beside it lies its checkpoint."""
    output = tmp_path / "factors.zarr"
    process = stopped(["factors", prepared, output, *LONG], tmp_path / ".factors.zarr.checkpoint", signal.SIGKILL)
    process.communicate(timeout=60)
    return output


def test_without_resume_it_is_named_and_replaced(omics, prepared, whole, left):
    result = omics("factors", prepared, left, *LONG)
    assert result.exit_code == 0
    assert "with --resume it would go on from there" in result.stderr
    assert digest(left) == whole


def test_another_fit_does_not_go_on_from_it(omics, prepared, left):
    before = (left.parent / ".factors.zarr.checkpoint").read_bytes()
    result = omics("factors", prepared, left, "--n-factors", 2, "--resume")
    assert result.exit_code == 2
    assert "the checkpoint is of another fit" in result.stderr
    assert (left.parent / ".factors.zarr.checkpoint").read_bytes() == before, "hours of work are not thrown away"
    result = omics("factors", prepared, left, "--n-factors", 2)
    assert result.exit_code == 0, result.stderr
    assert {path.name for path in left.parent.iterdir()} == _ARTEFACT


def test_a_damaged_one_is_refused_by_name(omics, prepared, left):
    checkpoint = left.parent / ".factors.zarr.checkpoint"
    checkpoint.write_bytes(checkpoint.read_bytes()[:1000])
    result = omics("factors", prepared, left, *LONG, "--resume")
    assert result.exit_code == 6
    assert str(checkpoint) in result.stderr


def test_resume_with_nothing_to_resume_starts_and_says_so(omics, prepared, tmp_path):
    result = omics("factors", prepared, tmp_path / "factors.zarr", "--n-factors", 2, "--resume")
    assert result.exit_code == 0
    assert "there is no checkpoint" in result.stderr


def test_the_reference_engine_keeps_none(omics, prepared, tmp_path):
    result = omics("factors", prepared, tmp_path / "factors.zarr", "--engine", "mofapy2", "--resume")
    assert result.exit_code == 2
    assert "keeps no checkpoint" in result.stderr


@pytest.mark.parametrize(
    ("resume", "error"), [(Resume.IF_SAME, None), (Resume.NEVER, None), (Resume.ALWAYS, UsageError)]
)
def test_of_another_fit(prepared, tmp_path, capsys, resume, error):
    path = tmp_path / ".f.zarr.checkpoint"
    Checkpoint(path, "another key", SAVED).save(())
    (tmp_path / ".f.zarr.checkpoint.123").touch()
    if error:
        with pytest.raises(error, match="of another fit"):
            checkpoints.beside(tmp_path / "f.zarr", prepared, {}, resume)
        return
    assert checkpoints.beside(tmp_path / "f.zarr", prepared, {}, resume).load() is None
    assert "is not of this fit, or damaged: from the beginning" in capsys.readouterr().err
    assert not (tmp_path / ".f.zarr.checkpoint.123").exists(), "half a file of a writer that was killed"


def test_damage_stops_only_who_insists(prepared, tmp_path):
    (tmp_path / ".f.zarr.checkpoint").write_bytes(b"PK")
    assert checkpoints.beside(tmp_path / "f.zarr", prepared, {}, Resume.IF_SAME).load() is None
    with pytest.raises(IntegrityError, match="damaged"):
        checkpoints.beside(tmp_path / "f.zarr", prepared, {}, Resume.ALWAYS)


def test_how_often_it_is_kept_comes_from_the_environment(prepared, tmp_path, monkeypatch):
    assert not checkpoints.beside(tmp_path / "f.zarr", prepared, {}, Resume.NEVER).due()
    monkeypatch.setenv(checkpoints.SECONDS, "0")
    assert checkpoints.beside(tmp_path / "f.zarr", prepared, {}, Resume.NEVER).due()
    monkeypatch.setenv(checkpoints.SECONDS, "often")
    with pytest.raises(UsageError, match="'often' is no number of seconds"):
        checkpoints.beside(tmp_path / "f.zarr", prepared, {}, Resume.NEVER)
