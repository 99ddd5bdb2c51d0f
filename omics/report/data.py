"""The numbers of a report as files beside it: every table, every result, and an index, whole or not at all.

``report_data/`` beside ``report.html`` has ``report.json`` (title, findings, warnings, sections with their tables and
drawings, versions), ``tables/`` (each table of the page), ``numbers/`` (each node of the results in full precision),
and, if asked for, ``figures/`` (each drawing as SVG). The same input gives the same bytes.
"""

from __future__ import annotations

import csv
import html
import io
import json
import math
import re
import shutil
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

import xarray as xr

from omics.cohort import node
from omics.report.content import Cell, Figure, Page, Scatter, Section, Table, flat
from omics.report.reading import Artefacts
from omics.schema import UsageError

INDEX = "report.json"
#: What the index says of itself: a folder with it was made here and may be replaced.
_KIND = "omics report data"
#: Nodes that are data or recipes, not results; ``omics export`` has the weights.
_NO_RESULTS = frozenset({"views", "clinical", "recipe"})
_NOUNS = ("cohort", "prepared", "factors", "subtypes", "evaluation", "interpretation", "replication")
#: A longer result, all CpGs by subtype, is left to ``omics export``.
MAX_ROWS = 300_000
_FORMULA = re.compile(r"[=+\-@\t\r]")
_NUMBER = re.compile(r"[+-]?\d[\d,]*\.?\d*(e[+-]?\d+)?", re.IGNORECASE)
_ALT = re.compile(r'aria-label="([^"]*)"')


def folder_of(page: Path) -> Path:
    """Folder of the numbers of a page."""
    return page.with_name(f"{page.stem}_data")


def refuse(page: Path, overwrite: bool) -> None:
    """Refuse a folder that is there, unless it may be replaced and was made here.

    Raises
    ------
    UsageError
        The folder exists and `overwrite` is not set, or it was not made by omics.
    """
    folder = folder_of(page)
    if not (folder.exists() or folder.is_symlink()):
        return
    if not _made_here(folder):
        raise UsageError("the folder for the numbers was not made by omics; it is not replaced", where=str(folder),
                         fix="name another output")  # fmt: skip
    if not overwrite:
        raise UsageError("the output exists", where=str(folder), fix="add --overwrite or name another output")


def _made_here(folder: Path) -> bool:
    try:
        content = json.loads((folder / INDEX).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return not folder.is_symlink() and isinstance(content, dict) and content.get("kind") == _KIND


@contextmanager
def staged(page: Path, content: Mapping[str, str]) -> Iterator[None]:
    """Write the files aside; when the block ends well, they become the folder of the page."""
    folder = folder_of(page)
    folder.parent.mkdir(parents=True, exist_ok=True)
    staging = folder.with_name(f".{folder.name}.staging-{uuid.uuid4().hex[:12]}")
    old = staging.with_name(f"{staging.name}.old")
    try:
        for name, text in content.items():
            file = staging / name
            file.parent.mkdir(parents=True, exist_ok=True)
            with file.open("x", encoding="utf-8", newline="\n") as handle:
                handle.write(text)
        yield
        if folder.exists():
            folder.rename(old)
        staging.rename(folder)
    finally:
        if old.exists() and not folder.exists():
            old.rename(folder)
        for leftover in (staging, old):
            shutil.rmtree(leftover, ignore_errors=True)


def files(
    page: Page, artefacts: Artefacts, manifests: Mapping[str, Mapping[str, Any]], *, plots: bool = False
) -> dict[str, str]:
    """Name -> text of every file.

    Parameters
    ----------
    page : Page
        Content of the page.
    artefacts : Artefacts
        What it was made from.
    manifests : mapping
        Name of an artefact -> its manifest.
    plots : bool
        Drawings, too.
    """
    sections: list[dict[str, Any]] = []
    found: dict[str, str] = {}
    for section in page.sections:
        entry, made = _section(section, plots)
        sections.append(entry)
        found |= made
    numbers, too_long = _numbers(artefacts)
    index = {
        "kind": _KIND,
        "title": page.title,
        "facts": [{"label": label, "value": value} for value, label in page.facts],
        "findings": list(page.findings),
        "warnings": [{"section": title, "text": text} for title, text in page.warnings],
        "absent": list(page.absent),
        "sections": sections,
        "numbers": sorted(numbers),
        "too_long": too_long,
        "artefacts": {name: _provenance(manifest) for name, manifest in manifests.items()},
    }
    said = json.dumps(index, indent=1, ensure_ascii=False, default=str) + "\n"
    return {**found, **numbers, INDEX: said}


def _provenance(manifest: Mapping[str, Any]) -> dict[str, Any]:
    run = manifest.get("run") or {}
    return {
        "digest": manifest.get("digest", ""),
        "parameters": manifest.get("parameters", {}),
        "inputs": manifest.get("inputs", []),
        "python": run.get("python", ""),
        "versions": run.get("versions", {}),
    }


# --- tables and drawings of the page --------------------------------------------------------------------------------


def _section(section: Section, plots: bool) -> tuple[dict[str, Any], dict[str, str]]:
    """The section's entry in the index, and its files."""
    tables: list[dict[str, Any]] = []
    drawings: list[dict[str, Any]] = []
    found: dict[str, str] = {}
    for part in flat(section.parts):
        if isinstance(part, Table):
            name = f"tables/{section.key}-{len(tables) + 1}-{_slug(part.caption)}.tsv"
            tables.append({"caption": part.caption, "note": part.note, "rows": len(part.rows), "file": name})
            found[name] = table_text(part)
        elif isinstance(part, Figure | Scatter):
            drawing: dict[str, Any] = {"caption": part.caption, "alt": _alt(part.svg)}
            if isinstance(part, Scatter):
                drawing["table"] = f"tables/{part.name}.tsv"
                found[drawing["table"]] = _scatter_text(part)
            if plots:
                drawing["file"] = f"figures/{section.key}-{len(drawings) + 1}.svg"
                found[drawing["file"]] = f'<?xml version="1.0" encoding="UTF-8"?>\n{part.svg}\n'
            drawings.append(drawing)
    entry = {"key": section.key, "title": section.title, "lead": section.lead, "tables": tables, "figures": drawings}
    return entry, found


def _slug(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", text.lower())[:60].strip("-")


def _alt(svg: str) -> str:
    found = _ALT.search(svg)
    return html.unescape(found[1]) if found else ""


def table_text(table: Table) -> str:
    """A table as TSV.

    A column whose cells know their numbers has these, in full precision, and beside it a column "(shown)" with the
    texts of the page.
    """
    valued = [any(isinstance(cell, Cell) and cell.value is not None for cell in column) for column in _columns(table)]
    head = [name for title, has in zip(table.head, valued, strict=True) for name in _names(title, has)]
    rows = [[text for cell, has in zip(row, valued, strict=True) for text in _texts(cell, has)] for row in table.rows]
    return _tsv([head, *rows])


def _columns(table: Table) -> list[list[Cell | str]]:
    return [[row[j] for row in table.rows] for j in range(len(table.head))]


def _names(title: str, valued: bool) -> list[str]:
    return [title, f"{title} (shown)"] if valued else [title]


def _texts(cell: Cell | str, valued: bool) -> list[str]:
    shown = cell if isinstance(cell, str) else cell.text
    if not valued:
        return [shown]
    value = None if isinstance(cell, str) else cell.value
    return ["" if value is None or math.isnan(value) else repr(float(value)), shown]


def _scatter_text(part: Scatter) -> str:
    columns = [*part.columns.items(), *part.colourings.items()]
    rows = [[sample, *(_plain(values[i]) for _, values in columns)] for i, sample in enumerate(part.samples)]
    return _tsv([["sample", *(name for name, _ in columns)], *rows])


def _plain(value: float | str) -> str:
    if isinstance(value, str):
        return value
    return "" if math.isnan(value) else repr(float(value))


def _tsv(rows: Sequence[Sequence[str]]) -> str:
    text = io.StringIO()
    csv.writer(text, delimiter="\t", lineterminator="\n").writerows([_guarded(cell) for cell in row] for row in rows)
    return text.getvalue()


def _guarded(text: str) -> str:
    """The text, quoted where a spreadsheet would compute it: a sample named =cmd()."""
    return f"'{text}" if _FORMULA.match(text) and not _NUMBER.fullmatch(text) else text


# --- results --------------------------------------------------------------------------------------------------------


def _numbers(artefacts: Artefacts) -> tuple[dict[str, str], list[str]]:
    """Name and text of a file for each group of variables with the same dimensions; what is too long for one."""
    found: dict[str, str] = {}
    too_long: list[str] = []
    for noun in _NOUNS:
        for path, result in _results(getattr(artefacts, noun)):
            for dims, table in _by_dims(result):
                if math.prod(table.sizes.values()) > MAX_ROWS:
                    too_long.append(f"{noun}: {path}")
                else:
                    by = "" if dims == ("row",) else f"-by-{'-'.join(dims)}"
                    found[_unused(f"numbers/{noun}-{_slug(path)}{by}", found)] = _frame_text(table, dims)
    return found, too_long


def _unused(name: str, found: Mapping[str, str]) -> str:
    """A name of a file that no other result has: two layers may differ in what a slug leaves out."""
    tries = (f"{name}{f'-{n}' if n > 1 else ''}.tsv" for n in count(1))
    return next(one for one in tries if one not in found)


def _results(tree: xr.DataTree | None) -> Iterator[tuple[str, xr.Dataset]]:
    """Path and content of each node of results, those below another too."""
    for path in sorted(() if tree is None else set(tree.children) - _NO_RESULTS):
        below = sorted(tree.children[path].children)  # type: ignore[union-attr]
        for name in [f"{path}/{one}" for one in below] or [path]:
            yield name, node(tree, name)  # type: ignore[arg-type]


def _by_dims(dataset: xr.Dataset) -> Iterator[tuple[tuple[str, ...], xr.Dataset]]:
    groups: dict[tuple[str, ...], list[Any]] = {}
    for name, array in dataset.data_vars.items():
        groups.setdefault(tuple(str(dim) for dim in array.dims), []).append(name)
    for dims, names in groups.items():
        if dims:
            yield dims, dataset[names]


def _frame_text(dataset: xr.Dataset, dims: Sequence[str]) -> str:
    frame = dataset.compute().to_dataframe(dim_order=list(dims)).reset_index()
    frame = frame.drop(columns="row") if "row" in dims and "row" not in dataset.coords else frame
    for column in frame.select_dtypes(object).columns:
        frame[column] = [_guarded(value) if isinstance(value, str) else value for value in frame[column]]
    frame.columns = [_guarded(str(column)) for column in frame.columns]
    return str(frame.to_csv(sep="\t", index=False, lineterminator="\n"))
