"""The graph of artefacts that a configuration asks for: plan it, say why a step runs, run it.

A step is up to date when its output is what the last run published, and its inputs (by sha256), settings and
program version are those of that run. The last run is recorded in ``steps.json`` in the folder of the artefacts.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

from omics.artefact import digest, verify
from omics.schema import DataError, IntegrityError, UsageError
from pipelines import cluster, config, steps
from pipelines.checkpoints import Resume
from pipelines.console import say

REPORT = "report.html"
JOURNAL = "steps.json"


@dataclass(frozen=True)
class Step:
    """One node of the graph.

    Attributes
    ----------
    name : str
        Name of the step, which is also that of the command.
    output : pathlib.Path
        Artefact that it makes.
    inputs : mapping
        Role -> file or artefact that it reads.
    settings : mapping
        JSON values on which the output depends.
    make : callable
        Makes the output; takes ``overwrite``.
    beside : tuple of pathlib.Path
        What it makes besides; a step whose by-product is gone runs again.
    """

    name: str
    output: Path
    inputs: Mapping[str, Path]
    settings: Mapping[str, Any]
    make: Callable[..., Any]
    beside: tuple[Path, ...] = ()


def plan(
    chosen: config.Config, *, progress: steps.Progress | None = None, resume: bool = False, shown: bool = False
) -> list[Step]:
    """Steps of a configuration, in an order in which every input is made before it is read.

    Parameters
    ----------
    chosen : Config
        What was read from the file.
    progress : callable, optional
        Is told how many items of a raw file were read.
    resume : bool
        Go on from the checkpoint of a fit, if it is of the same.
    shown : bool
        Show on stderr how far a fit is.

    Raises
    ------
    DataError
        A raw file does not exist.
    """
    at = {noun: chosen.output / name for noun, name in steps.NAMES.items()}
    random = {"seed": chosen.seed}

    def step(name: str, make: Callable[..., Any], source: str, target: str, settings: Any, **more: Any) -> Step:
        recorded = {**config.parameters(settings), **more}
        return Step(
            name, at[target], {source: at[source]}, recorded, partial(make, at[source], at[target], settings, **more)
        )

    alone = cluster.threads_rather_than_processes()
    factors = partial(steps.factors, resume=Resume.IF_SAME if resume else Resume.NEVER, progress=shown)
    files = {name: value for name, value in vars(chosen.ingest).items() if isinstance(value, Path)}
    _refuse_missing(files)
    graph = [
        Step(
            "ingest",
            at["cohort"],
            files,
            {**config.parameters(chosen.ingest), "clinical_columns": dict(chosen.clinical)},
            partial(_ingest, at["cohort"], chosen, progress=progress),
        ),
        step("prepare", steps.prepare, "cohort", "prepared", chosen.prepare),
        step(
            "factors",
            alone(factors) if chosen.factors.engine == "stream" else factors,
            "prepared",
            "factors",
            chosen.factors,
            **random,
        ),
        _with_layers(
            step("subtypes", steps.subtypes, "factors", "subtypes", chosen.subtypes, **random), at["prepared"]
        ),
    ]
    settings = _calls(chosen)
    asked = step("interpret", alone(steps.interpret), "factors", "interpretation", settings, **random)
    graph.append(_interpreting(asked, at, settings))
    if chosen.evaluate:
        graph.append(step("evaluate", steps.evaluate, "prepared", "evaluation", chosen.evaluate, **random))
    if chosen.train:
        graph.append(_training(step("train", alone(steps.train), "prepared", "model", chosen.train, **random), chosen))
    made = {noun: path for noun, path in at.items() if path in [earlier.output for earlier in graph]}
    page = chosen.output / REPORT
    make = alone(partial(steps.write_report, made, page, title=chosen.title))
    numbers = page.with_name(f"{page.stem}_data")
    return [*graph, Step("report", page, made, {"title": chosen.title}, make, (numbers,))]


def _with_layers(step: Step, prepared: Path) -> Step:
    """The subtypes, with the prepared layers as an input: their markers, and who lacks which."""
    return replace(step, inputs={**step.inputs, "prepared": prepared}, make=partial(step.make, prepared=prepared))


def _calls(chosen: config.Config) -> config.Interpret:
    """Settings of the interpretation, with the mutations that were ingested, unless it names others."""
    settings, raw = chosen.interpret, chosen.ingest
    if settings.mutations is not None or raw.mutations is None:
        return settings
    return replace(settings, mutations=raw.mutations, timepoint=raw.timepoint, on_duplicate=raw.on_duplicate)


def _interpreting(step: Step, at: Mapping[str, Path], settings: config.Interpret) -> Step:
    """The interpretation, with the layers, the subtypes, and the user's files as inputs."""
    artefacts = {role: at[role] for role in ("prepared", *(() if settings.groups else ("subtypes",)))}
    given = {name: value for name, value in vars(settings).items() if isinstance(value, Path)}
    several = {
        f"{name} {i + 1}": path for name in ("sets", "tables") for i, path in enumerate(vars(settings)[name] or ())
    }
    _refuse_missing(given | several)
    return replace(step, inputs={**step.inputs, **artefacts, **given, **several}, make=partial(step.make, **artefacts))


def _training(step: Step, chosen: config.Config) -> Step:
    """The training, with the evaluation of the same question as an input: its figures go into the model card."""
    train, judged = chosen.train, chosen.evaluate
    asked = ("endpoint", "horizon", "landmark")
    if not train or not judged or any(getattr(train, name) != getattr(judged, name) for name in asked):
        return step
    if train.model not in judged.models or train.representation not in judged.representations:
        return step
    evaluation = chosen.output / steps.NAMES["evaluation"]
    return replace(
        step, inputs={**step.inputs, "evaluation": evaluation}, make=partial(step.make, evaluation=evaluation)
    )


def _refuse_missing(files: Mapping[str, Path]) -> None:
    for name, file in files.items():
        if not file.is_file():
            fix = "check the path; in a configuration it is relative to the file"
            raise DataError(f"the {name} file does not exist", where=str(file), fix=fix)


def _ingest(output: Path, chosen: config.Config, *, progress: steps.Progress | None, overwrite: bool) -> None:
    say(steps.ingest(output, chosen.ingest, chosen.clinical, overwrite=overwrite, progress=progress).text())


def dry_run(graph: list[Step], *, force: Collection[str] = ()) -> Iterator[tuple[Step, str | None]]:
    """Each step and why it would run; None where it is up to date. Writes nothing."""
    journal = _journal(graph)
    made_again: dict[Path, str] = {}
    for step in graph:
        upstream = [made_again[path] for path in step.inputs.values() if path in made_again]
        reason = f"{upstream[0]} runs before it" if upstream else why(step, journal.get(step.name), force)
        if reason:
            made_again[step.output] = step.name
        yield step, reason


def execute(graph: list[Step], *, resume: bool, overwrite: bool, force: Collection[str] = ()) -> Path:
    """Run the steps that are not up to date and return the report's path.

    Parameters
    ----------
    graph : list of Step
        From :func:`plan`.
    resume : bool
        Keep what is up to date; otherwise everything is made anew.
    overwrite : bool
        Replace the artefacts in a folder that has some.
    force : collection of str
        Names of steps that run in any case.

    Raises
    ------
    UsageError
        The folder is not empty, and neither `resume` nor `overwrite` is set.
    """
    folder = graph[-1].output.parent
    if folder.is_dir() and any(folder.iterdir()) and not (resume or overwrite):
        raise UsageError(
            "the output folder is not empty", where=str(folder), fix="add --resume or --overwrite, or name another"
        )
    journal = _journal(graph) if resume else {}
    started = time.monotonic()
    for step in graph:
        reason = why(step, journal.get(step.name), force) if resume else "everything runs"
        if reason is None:
            say(f"{step.name:9} up to date")
            continue
        say(f"{step.name:9} runs: {reason}" if resume else f"{step.name:9} ...")
        begun = time.monotonic()
        step.make(overwrite=resume or overwrite)
        journal[step.name] = _record(step)
        _write(folder / JOURNAL, journal)
        say(f"{step.name:9} {time.monotonic() - begun:6.1f} s")
    say(f"{'total':9} {time.monotonic() - started:6.1f} s")
    return graph[-1].output


def check_force(graph: list[Step], force: Collection[str]) -> None:
    """Refuse names of steps that the graph does not have."""
    names = [step.name for step in graph]
    for name in force:
        if name not in names:
            raise UsageError(f"no such step '{name}'", where="--force", fix=f"steps of this run: {', '.join(names)}")


def why(step: Step, record: Mapping[str, Any] | None, force: Collection[str] = ()) -> str | None:
    """Why `step` must run; None if it is up to date."""
    if step.name in force:
        return "forced"
    absent = [path.name for path in (step.output, *step.beside) if not path.exists()]
    if absent:
        return f"there is no {absent[0]}"
    if record is None:
        return f"{step.output.name} was not made by this run"
    try:
        if step.output.is_dir():
            verify(step.output, hashes=True)
        if digest(step.output) != record["output"]:
            return f"{step.output.name} is not what the last run made"
    except IntegrityError as error:
        return f"{step.output.name} is damaged: {error.what}"
    return _changed(record, _key(step))


def _changed(old: Mapping[str, Any], new: Mapping[str, Any]) -> str | None:
    """First difference between two keys, in words."""
    if old["program"] != new["program"]:
        return f"program {old['program']} -> {new['program']}"
    for part in ("inputs", "settings"):
        for name in sorted({*old[part], *new[part]}):
            before, now = old[part].get(name), new[part].get(name)
            if before != now:
                return f"input {name} changed" if part == "inputs" else f"{name}: {before} -> {now}"
    return None


def _key(step: Step) -> dict[str, Any]:
    """On what the output depends, as JSON values."""
    inputs = {role: digest(path) for role, path in step.inputs.items() if path.exists()}
    settings = json.loads(json.dumps(step.settings))
    return {"inputs": inputs, "settings": settings, "program": version("omics-all")}


def _record(step: Step) -> dict[str, Any]:
    return {**_key(step), "output": digest(step.output)}


def _journal(graph: list[Step]) -> dict[str, Any]:
    file = graph[-1].output.parent / JOURNAL
    try:
        return dict(json.loads(file.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return {}
    except ValueError as error:
        raise IntegrityError("the record of the last run is damaged", where=str(file), fix="delete it") from error


def title_of(folder: Path) -> str:
    """Title of the run whose artefacts are in a folder; of artefacts that no run made, a general one."""
    file = folder / JOURNAL
    journal = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    return str(journal.get("report", {}).get("settings", {}).get("title", config.Config.title))


def _write(file: Path, journal: Mapping[str, Any]) -> None:
    with steps.whole_file(file) as aside:
        aside.write_text(json.dumps(journal, indent=1, sort_keys=True) + "\n", encoding="utf-8")
