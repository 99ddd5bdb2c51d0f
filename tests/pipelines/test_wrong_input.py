"""Wrong input: one clear block, the right exit code, and nothing left behind."""

from __future__ import annotations

import gzip
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from omics import cohort
from omics.schema import OmicsError


def write(folder: Path, name: str, text: str) -> Path:
    file = folder / name
    file.write_text(text)
    return file


def betas(value: str = "0.5", samples: str = "P1\tP2\tP3") -> str:
    rows = "".join(f"cg{n:08d}\t0.1\t0.2\t{value if n == 2 else 0.9}\n" for n in range(20))
    return f"feature\t{samples}\n{rows}"


CLINICAL = "patient\tage\tevent\tevent_time\nP1\t3\t0\t4\nP2\t4\t0\t5\nP3\t5\t0\t6\n"


def missing_file(folder: Path) -> list:
    return ["--methylation", folder / "none.tsv"]


def truncated_gzip(folder: Path) -> list:
    file = folder / "m.tsv.gz"
    file.write_bytes(gzip.compress(betas().encode())[:-20])
    return ["--methylation", file]


def duplicate_sample(folder: Path) -> list:
    return ["--methylation", write(folder, "m.tsv", betas(samples="P1\tP2\tP2"))]


def no_overlap(folder: Path) -> list:
    genes = "feature\tQ1\tQ2\tQ3\n" + "".join(f"ENSG{n:011d}\t5\t6\t7\n" for n in range(20))
    return ["--methylation", write(folder, "m.tsv", betas()), "--expression", write(folder, "e.tsv", genes)]


def impossible_beta(folder: Path) -> list:
    return ["--methylation", write(folder, "m.tsv", betas("1.7"))]


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (missing_file, "none.tsv"),
        (truncated_gzip, "m.tsv.gz"),
        (duplicate_sample, "P2"),
        (no_overlap, "P1"),
        (impossible_beta, "1.7"),
    ],
)
def test_ingest_refuses(omics, tmp_path, fault, words):
    arguments = fault(tmp_path)
    before = sorted(tmp_path.iterdir())
    result = omics("ingest", tmp_path / "c.zarr", *arguments)
    assert result.exit_code == 3, result.stderr
    assert result.stderr.startswith("error: ")
    assert words in result.stderr
    assert "Traceback" not in result.stderr
    assert result.stderr.count("\n") <= 6
    assert result.stdout == ""
    assert sorted(tmp_path.iterdir()) == before, "nothing is left behind"


def test_an_outcome_of_one_class_is_refused(omics, tmp_path):
    clinical = write(tmp_path, "c.tsv", CLINICAL)
    matrix = write(tmp_path, "m.tsv", betas())
    assert omics("ingest", tmp_path / "c.zarr", "--methylation", matrix, "--clinical", clinical).exit_code == 0
    assert omics("prepare", tmp_path / "c.zarr", tmp_path / "p.zarr").exit_code == 0
    before = sorted(tmp_path.iterdir())
    for command in ("evaluate", "train"):
        result = omics(command, tmp_path / "p.zarr", tmp_path / "out", "--horizon", 2)
        assert result.exit_code == 3, result.stderr
        assert "0 events and 3 patients without" in result.stderr
        assert sorted(tmp_path.iterdir()) == before


def test_an_output_that_exists_is_refused_before_the_work_and_replaced_on_demand(omics, finished, tmp_path):
    (tmp_path / "p.zarr").mkdir()
    started = time.monotonic()
    result = omics("prepare", finished / "cohort.zarr", tmp_path / "p.zarr")
    assert result.exit_code == 2
    assert "--overwrite" in result.stderr
    assert time.monotonic() - started < 5
    result = omics("prepare", finished / "cohort.zarr", tmp_path / "p.zarr", "--overwrite")
    assert result.exit_code == 2, "a folder that we did not make is never replaced"
    (tmp_path / "p.zarr").rmdir()
    assert omics("prepare", finished / "cohort.zarr", tmp_path / "p.zarr").exit_code == 0
    assert omics("prepare", finished / "cohort.zarr", tmp_path / "p.zarr", "--overwrite").exit_code == 0


def test_an_unknown_key_gets_a_suggestion(omics, raw, tmp_path):
    text = (raw / "config.toml").read_text().replace("n_factors = 4", "n_factor = 4")
    file = write(tmp_path, "c.toml", text)
    result = omics("run", file)
    assert result.exit_code == 2
    assert "did you mean 'n_factors'?" in result.stderr
    assert list(tmp_path.iterdir()) == [file]


def test_a_column_that_nobody_knows_gets_a_suggestion(omics, tmp_path):
    clinical = write(tmp_path, "c.tsv", CLINICAL)
    matrix = write(tmp_path, "m.tsv", betas())
    sources = ["--methylation", matrix, "--clinical", clinical]
    result = omics("ingest", tmp_path / "c.zarr", *sources, "--map", "event_tim=event_time")
    assert result.exit_code == 2
    assert "event_time" in result.stderr
    result = omics("ingest", tmp_path / "c.zarr", *sources, "--map", "event_time=event_tmie:years")
    assert result.exit_code in (2, 3)
    assert "event_tmie" in result.stderr
    assert sorted(tmp_path.iterdir()) == [clinical, matrix]


def test_a_folder_of_something_else_is_no_place_for_a_demo(omics, tmp_path):
    other = write(tmp_path, "thesis.tex", "")
    result = omics("demo", tmp_path)
    assert result.exit_code == 2
    assert list(tmp_path.iterdir()) == [other]


def test_an_input_is_never_written_over(omics, finished):
    result = omics("prepare", finished / "cohort.zarr", finished / "cohort.zarr", "--overwrite")
    assert result.exit_code == 2
    assert "the output is also an input" in result.stderr


def test_kill_9_in_the_middle_of_ingest_leaves_no_store_that_opens(omics, tmp_path):
    matrix = tmp_path / "m.tsv"
    with matrix.open("w") as file:
        file.write("feature\t" + "\t".join(f"P{n}" for n in range(100)) + "\n")
        row = "\t".join(["0.123456"] * 100)
        file.writelines(f"cg{n:08d}\t{row}\n" for n in range(120_000))
    store = tmp_path / "c.zarr"
    arguments = [sys.executable, "-m", "pipelines.cli", "ingest", str(store), "--methylation", str(matrix)]
    process = subprocess.Popen(arguments, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    while not any(path.is_file() for path in tmp_path.glob(".c.zarr.staging-*/views/**/c/**/*")):
        assert process.poll() is None, "it ended before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert not store.exists()
    for path in tmp_path.glob(".c.zarr.staging-*"):
        with pytest.raises(OmicsError):
            cohort.open(path)
    matrix.write_text(betas())
    assert omics("ingest", store, "--methylation", matrix).exit_code == 0, "the dead writer holds no lock"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["c.zarr", "m.tsv"]
    cohort.open(store, noun="cohort")
