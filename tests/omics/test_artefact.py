"""Artefacts exist whole or not at all, and say so when they are no longer what was published."""

from __future__ import annotations

import errno
import fcntl
import json
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from omics import cohort
from omics.artefact import MANIFEST, Provenance, digest, publish, read_manifest, verify
from omics.schema import IntegrityError, TryAgain, UsageError

HERE = Provenance("cohort", {"seed": 1})


def small_tree(seed: int = 1) -> xr.DataTree:
    values = np.random.default_rng(seed).normal(size=(6, 40)).astype(np.float32)
    view = xr.Dataset(
        {"value": (("sample", "feature"), values)},
        coords={
            "sample": np.array([f"P{i}" for i in range(6)], dtype=object),
            "feature": np.array([f"F{i}" for i in range(40)], dtype=object),
        },
        attrs={"kind": "expression", "likelihood": "gaussian", "units": "log2"},
    )
    clinical = xr.Dataset(
        {"sex": ("sample", np.array(["f", "m", "", "f", "m", "f"], dtype=object))}, coords={"sample": view["sample"]}
    )
    return xr.DataTree.from_dict({"/views/expression": view, "/clinical": clinical})


@pytest.fixture
def store(tmp_path: Path) -> Path:
    path = tmp_path / "store.zarr"
    cohort.save(small_tree(), path, HERE)
    return path


def chunk_of(store: Path) -> Path:
    return next(file for file in (store / "views/expression/value/c").rglob("*") if file.is_file())


def hidden(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.name.startswith("."))


# --- publishing ---------------------------------------------------------------------------------------------------


def test_publish_leaves_one_folder_with_manifest_and_run(tmp_path: Path) -> None:
    source = tmp_path / "in.tsv"
    source.write_text("a\tb\n")
    with publish(tmp_path / "sub" / "new.zarr", Provenance("factors", {"k": 3}, [source])) as staging:
        (staging / "x.bin").write_bytes(b"123")
        assert not (tmp_path / "sub" / "new.zarr").exists()
    manifest = read_manifest(tmp_path / "sub" / "new.zarr")
    assert manifest["noun"] == "factors"
    assert manifest["parameters"] == {"k": 3}
    assert manifest["inputs"] == [{"path": "in.tsv", "sha256": digest(source)}]
    assert [(record["path"], record["size"]) for record in manifest["files"]] == [("x.bin", 3)]
    run = json.loads((tmp_path / "sub" / "new.zarr" / "run.json").read_text())
    assert run["versions"]["numpy"] == np.__version__
    assert hidden(tmp_path / "sub") == []


def test_exception_inside_leaves_nothing(tmp_path: Path) -> None:
    def write_half() -> None:
        with publish(tmp_path / "new.zarr", HERE) as staging:
            (staging / "x.bin").write_bytes(b"123")
            raise RuntimeError("half-way")

    with pytest.raises(RuntimeError, match="half-way"):
        write_half()
    assert list(tmp_path.iterdir()) == []


def test_failed_overwrite_keeps_the_old_artefact(store: Path) -> None:
    before = digest(store)
    with pytest.raises(RuntimeError), publish(store, HERE, overwrite=True):
        raise RuntimeError
    assert digest(store) == before
    verify(store, hashes=True)


def test_existing_target_needs_overwrite(store: Path) -> None:
    with pytest.raises(UsageError, match="exists"), publish(store, HERE):
        pytest.fail("the block must not run")
    cohort.save(small_tree(2), store, HERE, overwrite=True)
    np.testing.assert_array_equal(cohort.open(store)["views/expression/value"], small_tree(2)["views/expression/value"])
    assert hidden(store.parent) == []


def test_target_that_is_an_input_is_refused(store: Path) -> None:
    roundabout = store.parent / "sub" / ".." / store.name
    (store.parent / "sub").mkdir()
    with (
        pytest.raises(UsageError, match="also an input"),
        publish(store, Provenance("prepared", inputs=[roundabout]), overwrite=True),
    ):
        pytest.fail("the block must not run")


def test_folder_that_is_no_artefact_is_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter1.tex").write_text("years of work")
    with pytest.raises(UsageError, match="not made by omics"), publish(tmp_path / "thesis", HERE, overwrite=True):
        pytest.fail("the block must not run")
    assert (tmp_path / "thesis" / "chapter1.tex").read_text() == "years of work"


_WRITER = """
import sys, time
from pathlib import Path
from omics.artefact import Provenance, publish
with publish(sys.argv[1], Provenance("cohort"), overwrite=True) as staging:
    (staging / "x.bin").write_bytes(bytes(1000))
    print("writing", flush=True)
    time.sleep(60)
"""


def start_writer(target: Path) -> subprocess.Popen[str]:
    writer = subprocess.Popen([sys.executable, "-c", _WRITER, str(target)], stdout=subprocess.PIPE, text=True)
    assert writer.stdout is not None
    assert writer.stdout.readline() == "writing\n"
    return writer


def test_killed_writer_leaves_nothing_that_opens_and_the_next_run_tidies_up(tmp_path: Path) -> None:
    target = tmp_path / "new.zarr"
    with start_writer(target) as writer:
        with pytest.raises(TryAgain, match="another run"), publish(target, HERE):
            pytest.fail("the block must not run")  # while the writer lives, nobody else writes
        writer.send_signal(signal.SIGKILL)
    assert any("staging" in name for name in hidden(tmp_path))
    with pytest.raises(UsageError, match="no such artefact"):
        cohort.open(target)
    for left in tmp_path.glob(".*staging*"):
        with pytest.raises(IntegrityError, match="no finished artefact"):
            cohort.open(left)
    cohort.save(small_tree(), target, HERE)
    verify(target, hashes=True)
    assert hidden(tmp_path) == []


def test_writer_killed_while_it_overwrites_leaves_the_old_artefact(store: Path) -> None:
    before = digest(store)
    with start_writer(store) as writer:
        writer.send_signal(signal.SIGKILL)
    verify(store, hashes=True)
    assert digest(store) == before


def test_artefact_set_aside_by_a_writer_that_died_between_two_renames_comes_back(store: Path) -> None:
    before = digest(store)
    store.rename(store.parent / f".{store.name}.staging-0123456789ab.old")
    with pytest.raises(RuntimeError), publish(store, HERE, overwrite=True):
        raise RuntimeError
    assert digest(store) == before


def test_second_writer_is_refused_while_the_first_writes(tmp_path: Path) -> None:
    target = tmp_path / "new.zarr"
    for overwrite in (False, True):  # whether the output exists is asked under the lock, when nobody can make it
        with publish(target, HERE, overwrite=overwrite) as staging:
            with pytest.raises(TryAgain, match="another run") as refused, publish(target, HERE):
                pytest.fail("the block must not run")
            (staging / "x.bin").write_bytes(b"first")
        assert refused.value.exit_code == 75
        assert (target / "x.bin").read_bytes() == b"first"


def test_lock_removed_while_it_was_opened_is_not_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "new.zarr"
    take = fcntl.flock

    def take_late(handle: int, operation: int) -> None:
        (tmp_path / ".new.zarr.lock").unlink()  # as the last holder does when it ends
        take(handle, operation)

    monkeypatch.setattr(fcntl, "flock", take_late)
    with pytest.raises(TryAgain, match="another run"), publish(target, HERE):
        pytest.fail("the block must not run")


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
def test_full_disk_is_a_fault_to_try_again(store: Path, code: int) -> None:
    before = digest(store)
    with pytest.raises(TryAgain, match="disk is full"), publish(store, HERE, overwrite=True):
        raise OSError(code, "no space")
    assert digest(store) == before
    assert hidden(store.parent) == []


def test_other_faults_of_the_system_are_not_called_a_full_disk(tmp_path: Path) -> None:
    with pytest.raises(PermissionError), publish(tmp_path / "new.zarr", HERE):
        raise PermissionError(errno.EACCES, "not yours")


# --- verifying ----------------------------------------------------------------------------------------------------


def test_missing_chunk_is_named(store: Path) -> None:
    chunk = chunk_of(store)
    chunk.unlink()
    with pytest.raises(IntegrityError, match="missing") as error:
        cohort.open(store)
    assert error.value.where == str(chunk)


@pytest.mark.parametrize("keep", [0, 10])
def test_truncated_chunk_is_named(store: Path, keep: int) -> None:
    chunk = chunk_of(store)
    chunk.write_bytes(chunk.read_bytes()[:keep])
    with pytest.raises(IntegrityError, match=f"file of {keep} bytes") as error:
        cohort.open(store)
    assert error.value.where == str(chunk)


def test_flipped_bit_is_found_by_hashes_and_by_reading(store: Path) -> None:
    chunk = chunk_of(store)
    content = bytearray(chunk.read_bytes())
    content[len(content) // 2] ^= 1
    chunk.write_bytes(content)
    opened = cohort.open(store)  # sizes alone do not tell
    with pytest.raises(IntegrityError, match="differs"):
        cohort.open(store, hashes=True)
    with pytest.raises(ValueError, match=r"(?i)checksum"):
        opened["views/expression/value"].compute()


@pytest.mark.parametrize("manifest", ["", "[]", "{}", '{"noun": "cohort"}', "null"])
def test_store_without_a_valid_manifest_does_not_open(store: Path, manifest: str) -> None:
    (store / MANIFEST).write_text(manifest)
    with pytest.raises(IntegrityError, match="no valid manifest"):
        cohort.open(store)


def test_store_of_another_schema_version_does_not_open(store: Path) -> None:
    manifest = json.loads((store / MANIFEST).read_text())
    (store / MANIFEST).write_text(json.dumps(manifest | {"schema_version": 99}))
    with pytest.raises(IntegrityError, match="schema version 99"):
        cohort.open(store)


def test_open_refuses_another_noun(store: Path) -> None:
    assert cohort.open(store, noun=("prepared", "cohort"))
    with pytest.raises(UsageError, match="cohort artefact"):
        cohort.open(store, noun="prepared")


# --- identity -----------------------------------------------------------------------------------------------------


def test_digest_is_of_the_content_alone(tmp_path: Path) -> None:
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        cohort.save(small_tree(seed), tmp_path / name, HERE)
    assert digest(tmp_path / "a") == digest(tmp_path / "b")
    assert digest(tmp_path / "a") != digest(tmp_path / "c")


def test_digest_survives_reopening_and_saving_again(store: Path, tmp_path: Path) -> None:
    cohort.save(cohort.open(store), tmp_path / "again.zarr", HERE)
    assert digest(tmp_path / "again.zarr") == digest(store)
