"""Put the sections into one HTML page, and the page on disk: whole or not at all."""

from __future__ import annotations

import errno
import os
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import xarray as xr
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from omics.report import clusters, evaluation, outcomes, sections, summary
from omics.report.content import Page
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
    manifests: Mapping[str, Mapping[str, Any]] | None = None,
    overwrite: bool = False,
) -> None:
    """Write one self-contained HTML page: no script, nothing loaded from elsewhere, the same bytes for the same input.

    Parameters
    ----------
    path : path
        The page to be.
    title : str
        Its title, plain text.
    cohort, prepared, factors, subtypes, evaluation : xarray.DataTree, optional
        Artefacts, with the nodes of :data:`omics.schema.NODES`. A section whose artefact is missing is left out, and
        the page says so.
    manifests : mapping, optional
        Name of an artefact -> its manifest (:func:`omics.artefact.read_manifest`); the content of its ``run.json``
        may stand under ``run``.
    overwrite : bool
        Replace a file that is there.

    Raises
    ------
    UsageError
        `path` exists and `overwrite` is not set, it is a folder, or no artefact was given.
    DataError
        A node of an artefact is not as declared.
    TryAgain
        The disk is full.
    """
    target = Path(path)
    _refuse(target, overwrite)
    artefacts = Artefacts(cohort, prepared, factors, subtypes, evaluation)
    if all(tree is None for tree in (cohort, prepared, factors, subtypes, evaluation)):
        raise UsageError("there is nothing to report: no artefact was given", fix="give at least one artefact")
    _write(target, render(compose(title, artefacts, manifests or {})))


def compose(title: str, artefacts: Artefacts, manifests: Mapping[str, Mapping[str, Any]]) -> Page:
    """The content of the page."""
    built = (
        sections.cohort_section(artefacts),
        sections.variance_section(artefacts),
        sections.factors_section(artefacts),
        clusters.subtypes_section(artefacts),
        outcomes.curves_section(artefacts),
        evaluation.evaluation_section(artefacts),
        sections.provenance_section(manifests),
    )
    return Page(
        clean(title),
        summary.facts(artefacts),
        summary.findings(artefacts),
        [section for section in built if section is not None],
        summary.absent(artefacts),
    )


def render(page: Page) -> str:
    """The page as HTML; every text is escaped, the drawings alone are markup."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    return environment.get_template("page.html").render(page=page)


def _refuse(target: Path, overwrite: bool) -> None:
    if target.is_dir():
        raise UsageError("the output is a folder", where=str(target), fix="name a file, such as report.html")
    if target.exists() and not overwrite:
        raise UsageError("the output exists", where=str(target), fix="add --overwrite or name another output")


def _write(target: Path, text: str) -> None:
    """Write beside the target, then rename; a page that is there stays intact until the new one is whole."""
    target.parent.mkdir(parents=True, exist_ok=True)
    staging = target.with_name(f".{target.name}.staging-{uuid.uuid4().hex[:12]}")
    try:
        with staging.open("x", encoding="utf-8", newline="\n") as handle:
            handle.write(text)
            handle.flush()
            os.fsync(handle.fileno())
        staging.replace(target)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise TryAgain("the disk is full", where=str(target), fix="make room and run again") from error
    finally:
        staging.unlink(missing_ok=True)
