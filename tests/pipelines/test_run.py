"""The graph: what runs, why, and what is kept."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import pytest
import xarray as xr

from omics import cohort
from omics.artefact import Provenance
from omics.schema import DataError, UsageError
from pipelines import config, run, steps


def make(log: list[str], name: str, output: Path, value: int, *, overwrite: bool) -> None:
    """Publish an artefact whose content is `value`."""
    log.append(name)
    tree = xr.DataTree.from_dict({"/a": xr.Dataset({"x": ("row", [float(value)])})})
    cohort.save(tree, output, Provenance("cohort"), overwrite=overwrite)


class Graph:
    """raw -> first -> second, with settings that a test changes."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.log = folder / "out", []
        self.raw = folder / "raw.tsv"
        self.raw.write_text("1")
        self.settings, self.value = {"size": 1}, 1

    def steps(self) -> list[run.Step]:
        first, second = self.folder / "first.zarr", self.folder / "second.zarr"
        return [
            run.Step(
                "first", first, {"raw": self.raw}, self.settings, partial(make, self.log, "first", first, self.value)
            ),
            run.Step("second", second, {"first": first}, {}, partial(make, self.log, "second", second, 9)),
        ]

    def run(self, **how) -> list[str]:
        """Names of the steps that ran."""
        self.log.clear()
        run.execute(self.steps(), **{"resume": True, "overwrite": False, **how})
        return list(self.log)

    def reasons(self, **how) -> list[str | None]:
        return [reason for _, reason in run.dry_run(self.steps(), **how)]


@pytest.fixture
def graph(tmp_path) -> Graph:
    return Graph(tmp_path)


def test_all_steps_run_once_and_are_up_to_date_then(graph):
    assert graph.reasons() == ["there is no first.zarr", "first runs before it"]
    assert not graph.folder.exists(), "a dry run writes nothing"
    assert graph.run(resume=False) == ["first", "second"]
    assert graph.reasons() == [None, None]
    assert graph.run() == []


def test_a_changed_input_runs_what_depends_on_it(graph):
    graph.run()
    graph.raw.write_text("2")
    graph.value = 2
    assert graph.reasons() == ["input raw changed", "first runs before it"]
    assert graph.run() == ["first", "second"]


def test_what_comes_out_the_same_is_not_handed_on(graph):
    graph.run()
    graph.raw.write_text("another text of the same content")
    assert graph.run() == ["first"], "the digest of first.zarr is what it was"


def test_a_changed_setting_is_named(graph):
    graph.run()
    graph.settings = {"size": 2}
    assert graph.reasons()[0] == "size: 1 -> 2"
    graph.value = 3
    assert graph.run() == ["first", "second"]
    assert graph.reasons() == [None, None]


def test_another_program_version_runs_everything(graph, monkeypatch):
    graph.run()
    monkeypatch.setattr(run, "version", lambda name: "99")
    assert graph.reasons()[0].endswith("-> 99")


def test_a_damaged_or_foreign_artefact_is_made_again(graph):
    graph.run()
    chunk = next(file for file in (graph.folder / "second.zarr").rglob("c/*") if file.is_file())
    content = chunk.read_bytes()
    chunk.write_bytes(b"")
    assert graph.reasons() == [
        None,
        "second.zarr is damaged: file of 0 bytes, 14 expected".replace("14", str(len(content))),
    ]
    assert graph.run() == ["second"]
    make([], "x", graph.folder / "second.zarr", 5, overwrite=True)
    assert graph.reasons() == [None, "second.zarr is not what the last run made"]


def test_an_interrupted_run_goes_on_where_it_stopped(graph):
    steps = graph.steps()
    failing = run.Step("second", steps[1].output, steps[1].inputs, {}, partial(fail))
    with pytest.raises(DataError):
        run.execute([steps[0], failing], resume=False, overwrite=False)
    assert graph.run() == ["second"]


def fail(*, overwrite: bool) -> None:
    raise DataError("no")


def test_force_runs_a_step_and_keeps_the_others(graph):
    graph.run()
    assert graph.reasons(force=["first"]) == ["forced", "first runs before it"]
    assert graph.run(force=["first"]) == ["first"]
    with pytest.raises(UsageError, match="no such step 'third'"):
        run.check_force(graph.steps(), ["third"])


def test_a_folder_that_is_not_empty_is_refused_without_resume_or_overwrite(graph):
    graph.run()
    with pytest.raises(UsageError, match="not empty"):
        graph.run(resume=False)
    assert graph.run(resume=False, overwrite=True) == ["first", "second"]


def test_a_damaged_record_is_named(graph):
    graph.run()
    (graph.folder / run.JOURNAL).write_text("{")
    with pytest.raises(Exception, match="record of the last run is damaged"):
        graph.run()


def test_the_record_holds_no_path(graph):
    graph.run()
    assert str(graph.folder.parent) not in json.dumps(json.loads((graph.folder / run.JOURNAL).read_text()))


def test_every_input_of_a_plan_is_made_before_it_is_read(tmp_path):
    chosen = config.Config(
        output=tmp_path,
        ingest=config.Ingest(clinical=tmp_path / "c.tsv"),
        evaluate=config.Evaluate(),
        train=config.Train(),
    )
    made = {tmp_path / "c.tsv"}
    with pytest.raises(DataError, match="the clinical file does not exist"):
        run.plan(chosen)
    (tmp_path / "c.tsv").touch()
    planned = run.plan(chosen)
    for step in planned:
        assert set(step.inputs.values()) <= made
        made.add(step.output)
    assert [step.name for step in planned] == [
        "ingest",
        "prepare",
        "factors",
        "subtypes",
        "interpret",
        "evaluate",
        "train",
        "report",
    ]
    assert set(planned[-1].inputs) == {*steps.NAMES}
    without = run.plan(config.Config(output=tmp_path, ingest=chosen.ingest))
    assert [step.name for step in without] == ["ingest", "prepare", "factors", "subtypes", "interpret", "report"]
