"""Put the sections into one HTML page, and the page on disk: whole or not at all."""

from __future__ import annotations

import errno
import os
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

import xarray as xr
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from omics.report import (
    actions,
    clusters,
    data,
    differences,
    drivers,
    evaluation,
    explore,
    mutations,
    outcomes,
    prose,
    replication,
    sections,
    summary,
    tripod,
)
from omics.report.content import Page
from omics.report.embedding import Rules, embedded, policy
from omics.report.reading import Artefacts
from omics.report.words import clean
from omics.schema import TryAgain, UsageError


def write_report(
    path: str | os.PathLike[str],
    *,
    title: str,
    cohort: xr.DataTree | None = None,
    prepared: xr.DataTree | None = None,
    factors: xr.DataTree | None = None,
    subtypes: xr.DataTree | None = None,
    evaluation: xr.DataTree | None = None,
    interpretation: xr.DataTree | None = None,
    replication: xr.DataTree | None = None,
    manifests: Mapping[str, Mapping[str, Any]] | None = None,
    overwrite: bool = False,
    export_plots: bool = False,
) -> None:
    """Write one self-contained HTML page, and its numbers beside it: the same bytes for the same input.

    The page loads nothing from elsewhere, and a policy in it forbids that. Without script it has the same words, tables
    and drawings. The folder ``<name of the page>_data`` has every table as TSV (see :mod:`omics.report.data`).

    Parameters
    ----------
    path : path
        The page to be.
    title : str
        Its title, plain text.
    cohort, prepared, factors, subtypes, evaluation, interpretation, replication : xarray.DataTree, optional
        Artefacts, with the nodes of :data:`omics.schema.NODES`. A section whose artefact is missing is left out, and
        the page says so.
    manifests : mapping, optional
        Name of an artefact -> its manifest (:func:`omics.artefact.read_manifest`); the content of its ``run.json``
        may stand under ``run``.
    overwrite : bool
        Replace a page and a folder of numbers that are there.
    export_plots : bool
        Write every drawing as SVG into the folder of numbers, too.

    Raises
    ------
    UsageError
        `path` or the folder exists and `overwrite` is not set, `path` is a folder, the folder was not made by omics, or
        no artefact was given.
    DataError
        A node of an artefact is not as declared.
    TryAgain
        The disk is full.
    """
    target = Path(path)
    _refuse(target, overwrite)
    data.refuse(target, overwrite)
    given = (cohort, prepared, factors, subtypes, evaluation, interpretation, replication)
    artefacts = Artefacts(*given)
    if all(tree is None for tree in given):
        raise UsageError("there is nothing to report: no artefact was given", fix="give at least one artefact")
    page = compose(title, artefacts, manifests or {})
    text = render(page)
    with _full_disk_said(target), data.staged(target, data.files(page, artefacts, manifests or {}, plots=export_plots)):
        _write(target, text)


def compose(title: str, artefacts: Artefacts, manifests: Mapping[str, Mapping[str, Any]]) -> Page:
    """The content of the page."""
    built = (
        sections.cohort_section(artefacts),
        sections.variance_section(artefacts),
        sections.factors_section(artefacts),
        drivers.drivers_section(artefacts),
        explore.explore_section(artefacts),
        clusters.subtypes_section(artefacts),
        differences.differences_section(artefacts),
        outcomes.curves_section(artefacts),
        mutations.mutations_section(artefacts),
        *actions.action_sections(artefacts),
        evaluation.evaluation_section(artefacts),
        replication.replication_section(artefacts, manifests),
        prose.methods_section(artefacts, manifests),
        tripod.tripod_section(artefacts, manifests),
        sections.provenance_section(manifests),
    )
    return Page(
        clean(title),
        summary.facts(artefacts),
        summary.findings(artefacts, manifests),
        [section for section in built if section is not None],
        summary.absent(artefacts),
    )


def render(page: Page) -> str:
    """The page as HTML; every text is escaped, the drawings alone are markup."""
    folder = Path(__file__).parent
    environment = Environment(
        loader=FileSystemLoader(folder),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    numbers = count(1)
    return environment.get_template("page.html").render(
        page=page,
        css=(folder / "page.css").read_text(encoding="utf-8"),
        js=(folder / "page.js").read_text(encoding="utf-8"),
        rule=Rules(),
        policy=policy,
        embedded=embedded,
        next_warning=lambda: next(numbers),
    )


def _refuse(target: Path, overwrite: bool) -> None:
    if target.is_dir():
        raise UsageError("the output is a folder", where=str(target), fix="name a file, such as report.html")
    if target.exists() and not overwrite:
        raise UsageError("the output exists", where=str(target), fix="add --overwrite or name another output")


def _write(target: Path, text: str) -> None:
    """Write beside the target, then rename; a page that is there stays intact until the new one is whole."""
    staging = target.with_name(f".{target.name}.staging-{uuid.uuid4().hex[:12]}")
    try:
        with staging.open("x", encoding="utf-8", newline="\n") as handle:
            handle.write(text)
            handle.flush()
            os.fsync(handle.fileno())
        staging.replace(target)
    finally:
        staging.unlink(missing_ok=True)


@contextmanager
def _full_disk_said(target: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise TryAgain("the disk is full", where=str(target), fix="make room and run again") from error
