"""The steps of the graph: each reads artefacts, calls one room, and publishes one artefact.

Commands and ``omics run`` call the same functions. The output is claimed before the work starts, so an output that
exists, or that another run writes, is refused at once and not after an hour.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
import xarray as xr

from omics import cohort, predict, read, report
from omics import prepare as preparation
from omics.artefact import Provenance, publish, read_manifest, read_run, verify
from omics.factors import MOFA
from omics.schema import DataError, UsageError
from pipelines import checkpoints, clusters, config, console, interpretation, own_files
from pipelines.checkpoints import Resume

Progress = Callable[[str, int], None]

#: Noun -> name of the artefact in the folder of a run.
NAMES: Mapping[str, str] = {
    "cohort": "cohort.zarr",
    "prepared": "prepared.zarr",
    "factors": "factors.zarr",
    "subtypes": "subtypes.zarr",
    "interpretation": "interpretation.zarr",
    "evaluation": "evaluation.zarr",
    "model": "model",
}

#: The same of what no run makes, and a report shows where it is there.
ALSO: Mapping[str, str] = {"replication": "replication.zarr"}


def ingest(
    output: Path,
    settings: config.Ingest,
    clinical: Mapping[str, Any],
    *,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> read.Account:
    """Read raw files into a cohort; return the account of its samples."""
    files = asdict(settings)
    how = {name: files.pop(name) for name in ("timepoint", "orientation", "on_duplicate")}
    return read.ingest(
        output, read.Sources(**files), clinical_columns=clinical, overwrite=overwrite, progress=progress, **how
    )


def prepare(source: Path, output: Path, settings: config.Prepare, *, overwrite: bool = False) -> None:
    """Transform a cohort's values and record the steps that learn."""
    parameters = config.parameters(settings)
    with _published("prepared", output, source, parameters, overwrite) as write:
        write(preparation.prepare(cohort.open(source, noun="cohort"), **parameters))


def factors(
    source: Path,
    output: Path,
    settings: config.Factors,
    *,
    seed: int,
    overwrite: bool = False,
    resume: Resume = Resume.NEVER,
    progress: bool = False,
) -> None:
    """Fit the recipe and MOFA on all samples of a prepared cohort, with a checkpoint beside the output.

    Raises
    ------
    UsageError
        `resume` is ALWAYS, and the checkpoint is of another fit or the engine keeps none.
    """
    parameters = {**config.parameters(settings), "seed": seed}
    keeps = settings.engine == "stream"
    if resume is Resume.ALWAYS and not keeps:
        raise UsageError(f"{settings.engine} keeps no checkpoint", where="--resume", fix="--engine stream does")
    options = asdict(settings)
    model = MOFA(n_restarts=options.pop("restarts"), random_state=seed, **options)
    sizes = len(settings.n_factors) if isinstance(settings.n_factors, tuple) else 1
    checkpoint = None
    with _published("factors", output, source, parameters, overwrite) as write:
        if keeps:
            checkpoint = checkpoints.beside(output, source, parameters, resume)
        prepared = cohort.open(source, noun="prepared")
        recipe = preparation.Recipe.of(prepared)
        ready = recipe.fit_transform(prepared)
        with console.fitting("factors", sizes * settings.restarts, shown=progress) as watch:
            model.fit(ready, watch=watch, checkpoint=checkpoint)
        write(_merged(recipe.to_tree(), model.to_tree(), _clinical(prepared)))
    if checkpoint:
        checkpoint.clear()  # not before: the disk may have been full


def subtypes(
    source: Path,
    output: Path,
    settings: config.Subtypes,
    *,
    seed: int,
    prepared: Path | None = None,
    match: Path | None = None,
    overwrite: bool = False,
) -> None:
    """Cluster patients on factors, and say what the clusters mean: outcome, known labels, markers."""
    clusters.settings_need(settings, prepared)
    parameters = {**config.parameters(settings), "seed": seed}
    more = [path for path in (prepared, match) if path]
    with _published("subtypes", output, source, parameters, overwrite, more) as write:
        model = cohort.open(source, noun="factors")
        layers = cohort.open(prepared, noun="prepared") if prepared else None
        earlier = cohort.open(match, noun="subtypes") if match else None
        write(_merged(clusters.found(model, settings, seed, layers, earlier), _clinical(model)))


def interpret(
    source: Path,
    output: Path,
    settings: config.Interpret,
    *,
    prepared: Path,
    subtypes: Path | None = None,
    seed: int,
    overwrite: bool = False,
) -> None:
    """Say what factors and subtypes mean: genes, gene sets, mutations, resistance, targets."""
    if subtypes and settings.groups:
        raise UsageError(
            "--groups stands in place of subtypes", where="omics interpret", fix="leave out --groups or --subtypes"
        )
    germline = own_files.check(settings)
    parameters = {**config.parameters(settings), "seed": seed}
    more = [prepared, *([subtypes] if subtypes else [])]
    files = [value for value in vars(settings).values() if isinstance(value, Path)]
    files += [*(settings.sets or ()), *(settings.tables or ())]
    with _published("interpretation", output, source, parameters, overwrite, more, files) as write:
        model = cohort.open(source, noun="factors")
        layers = cohort.open(prepared, noun="prepared")
        label = interpretation.groups_of(cohort.clinical_table(layers), settings.groups)
        if subtypes and label is None:
            label = cohort.node(cohort.open(subtypes, noun="subtypes"), "subtypes")["label"].to_series()
        given = interpretation.Given(model, layers, label, settings, seed)
        write(_merged(interpretation.interpreted(given, germline), _clinical(layers)))


def replicate(
    source: Path,
    output: Path,
    settings: config.Subtypes,
    reference: Path,
    factors: Path | None,
    *,
    seed: int,
    overwrite: bool = False,
) -> None:
    """Look for the subtypes of a reference in another prepared cohort."""
    model = clusters.factors_of(reference, factors)  # an input, which the output must not replace
    parameters = {"covariates": config.parameters(settings).get("covariates"), "seed": seed}
    with _published("replication", output, source, parameters, overwrite, [reference, model]) as write:
        new = cohort.open(source, noun="prepared")
        write(_merged(clusters.replicated(reference, model, new, seed, settings.covariates), _clinical(new)))


def evaluate(source: Path, output: Path, settings: config.Evaluate, *, seed: int, overwrite: bool = False) -> None:
    """Cross-validate the prediction of an endpoint, or of known classes."""
    parameters = {**config.parameters(settings), "seed": seed}
    with _published("evaluation", output, source, parameters, overwrite) as write:
        arguments = _arguments(settings)
        scheme = predict.Scheme(file=arguments.pop("splits"), **{name: arguments.pop(name) for name in _SCHEME})
        column = arguments.pop("classes")
        if column is not None:
            same = {name: arguments[name] for name in ("models", "representations", "mofa")}
            tree = predict.evaluate_classes(source, column, scheme=scheme, random_state=seed, **same)
        else:
            more = {"n_permutations": arguments.pop("permutations"), "scratch": output.parent, "random_state": seed}
            tree = predict.evaluate(source, scheme=scheme, **more, **arguments)
        write(tree)
    _refuse_leak(output, tree)


def _refuse_leak(output: Path, evaluation: xr.DataTree) -> None:
    """Fail after the evaluation was published, with the evidence in it, if its audit found a leak.

    Raises
    ------
    DataError
        A check did not pass.
    """
    if "audit" not in evaluation.children:
        return
    failed = predict.failures(cohort.to_table(cohort.node(evaluation, "audit")))
    if failed:
        raise DataError(
            "the audit failed, so the figures cannot be believed:\n    " + "\n    ".join(failed),
            where=str(output),
            fix="mend the representation or model of your own that is named; omics info shows all checks",
        )


#: Settings of the evaluation that say how patients are held out.
_SCHEME = ("n_folds", "n_inner", "n_repeats", "group_by", "leave_out")


def train(
    source: Path,
    output: Path,
    settings: config.Train,
    *,
    seed: int,
    evaluation: Path | None = None,
    overwrite: bool = False,
) -> None:
    """Freeze a model, fitted on all patients of a prepared cohort; quote the figures of its evaluation."""
    verify(source, hashes=True)
    predict.train(source, output, random_state=seed, evaluation=evaluation, overwrite=overwrite, **_arguments(settings))


def _arguments(settings: config.Evaluate | config.Train) -> dict[str, Any]:
    arguments = asdict(settings)
    mofa = {"n_factors": arguments.pop("n_factors"), "n_restarts": arguments.pop("restarts")}
    return {**arguments, "known_at": _years(arguments["known_at"] or ()), "mofa": mofa}


def _years(assignments: Iterable[str]) -> dict[str, float]:
    """Columns and years of ``NAME=YEARS``.

    Raises
    ------
    UsageError
        A text has another form.
    """
    known = {}
    for text in assignments:
        name, _, years = text.partition("=")
        try:
            known[name] = float(years)
        except ValueError as error:
            raise UsageError(f"cannot read '{text}'", where="known_at", fix="for example mrd=0.09") from error
    return known


def predictions(model: Path, new: Path) -> pd.DataFrame:
    """Predict relapse for the patients of a cohort with a frozen model."""
    return predict.predict(predict.load(model), cohort.open(new, noun=("cohort", "prepared"), hashes=True))


def present(folder: Path) -> dict[str, Path]:
    """Artefacts in the folder of a run.

    Raises
    ------
    UsageError
        There is none.
    """
    found = {noun: folder / name for noun, name in {**NAMES, **ALSO}.items() if (folder / name).is_dir()}
    if not found:
        raise UsageError("there is no artefact", where=str(folder), fix=f"expected {', '.join(NAMES.values())}")
    return found


def write_report(
    artefacts: Mapping[str, Path], output: Path, *, title: str, overwrite: bool = False, export_plots: bool = False
) -> None:
    """Write one HTML page of artefacts, given by noun, and their numbers beside it."""
    trees = {noun: cohort.open(path, noun=noun, hashes=True) for noun, path in artefacts.items() if noun != "model"}
    manifests = {noun: {**read_manifest(path), "run": read_run(path)} for noun, path in artefacts.items()}
    report.write_report(
        output,
        title=title,
        **trees,
        manifests=manifests,
        overwrite=overwrite,
        export_plots=export_plots,
    )


# --- outputs --------------------------------------------------------------------------------------------------------


@contextmanager
def _published(
    noun: str,
    output: Path,
    source: Path,
    parameters: Mapping[str, Any],
    overwrite: bool,
    more: Iterable[Path] = (),
    files: Iterable[Path] = (),
) -> Iterator[Callable[[xr.DataTree], None]]:
    """Claim `output`, yield what writes its tree, publish; damaged sources are refused before the work."""
    sources = [source, *more]
    for one in sources:
        verify(one, hashes=True)
    with publish(output, Provenance(noun, parameters, [*sources, *files]), overwrite=overwrite) as staging:
        yield partial(cohort.write_tree, folder=staging)


def _merged(*trees: xr.DataTree) -> xr.DataTree:
    """One tree of the nodes of several; their root attributes side by side."""
    nodes = {part.path: part.to_dataset(inherit=False) for tree in trees for part in tree.subtree}
    attrs = {name: value for tree in trees for name, value in tree.attrs.items()}
    return xr.DataTree.from_dict({**nodes, "/": xr.Dataset(attrs=attrs)})


def _clinical(tree: xr.DataTree) -> xr.DataTree:
    """The clinical table, which travels along in every artefact."""
    nodes = {"/clinical": cohort.node(tree, "clinical")} if "clinical" in tree.children else {}
    return xr.DataTree.from_dict(nodes)


def refuse_existing(file: Path, overwrite: bool) -> None:
    """Refuse to write over a file.

    Raises
    ------
    UsageError
        It exists and `overwrite` is not set.
    """
    if file.exists() and not overwrite:
        raise UsageError("the output exists", where=str(file), fix="add --overwrite or name another output")


@contextmanager
def whole_file(file: Path) -> Iterator[Path]:
    """Yield a hidden path beside `file` that becomes it in one rename when the block ends well."""
    file.parent.mkdir(parents=True, exist_ok=True)
    aside = file.with_name(f".{file.name}.{os.getpid()}")
    try:
        yield aside
        aside.replace(file)
    finally:
        aside.unlink(missing_ok=True)
