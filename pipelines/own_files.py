"""Small files of the user that an interpretation takes: gene sets, knowledge tables, germline variants."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from omics import interpret
from omics.schema import DataError
from pipelines import config


def germline_of(path: Path | None) -> pd.DataFrame | None:
    """The user's germline table.

    Raises
    ------
    DataError
        It cannot be read.
    UsageError
        It is not of the germline.
    """
    if path is None:
        return None
    try:
        table = pd.read_csv(path, sep=None, engine="python", dtype=str, keep_default_na=False)
    except (OSError, ValueError) as error:
        fix = "a TSV or CSV with the columns sample, gene, variant, sample_type"
        raise DataError(f"the germline table cannot be read: {error}", where=str(path), fix=fix) from error
    interpret.refuse_tumour(table)
    return table


def form_of(path: Path) -> str:
    """Which knowledge table a file extends: the one that has its header.

    Raises
    ------
    DataError
        It cannot be read, or no table has it.
    """
    try:
        with path.open(encoding="utf-8") as handle:
            header = handle.readline().rstrip("\r\n").split("\t")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"cannot be read: {error}", where=str(path), fix="give a TSV in UTF-8") from error
    found = next((name for name, form in interpret.FORMS.items() if set(form.names) == set(header)), None)
    if found is None:
        known = "; ".join(f"{name}: {', '.join(form.names)}" for name, form in interpret.FORMS.items())
        raise DataError("no knowledge table has this header", where=str(path), fix=f"the headers are {known}")
    return found


def check(settings: config.Interpret) -> pd.DataFrame | None:
    """Read the small files of the user first, so that a fault in one is told before the work; the germline table."""
    for path in settings.tables or ():
        form_of(path)
    for path in settings.sets or ():
        interpret.read_gmt(path)
    return germline_of(settings.germline)
