"""Small files of the user that an interpretation takes: gene sets, knowledge tables, germline variants."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import SequenceMatcher
from pathlib import Path

import pandas as pd

from omics import interpret
from omics.columns import FEWEST_LEVELS, as_levels
from omics.schema import DataError, UsageError
from pipelines import config


def germline_of(path: Path | None) -> pd.DataFrame | None:
    """The user's germline table.

    Raises
    ------
    DataError
        It cannot be read, or is not of the germline.
    """
    if path is None:
        return None
    try:
        table = pd.read_csv(path, sep=None, engine="python", dtype=str, keep_default_na=False)
    except (OSError, ValueError) as error:
        fix = "a TSV or CSV with the columns sample, gene, variant, sample_type"
        raise DataError(f"the germline table cannot be read: {error}", where=str(path), fix=fix) from error
    interpret.refuse_tumour(table, where=str(path))
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
        raise DataError("no knowledge table has this header", where=str(path), fix=_nearest(header))
    return found


def _nearest(header: list[str]) -> str:
    """What makes a header that of the knowledge table which it resembles most."""
    forms = {name: list(form.names) for name, form in interpret.FORMS.items()}
    alike = {name: SequenceMatcher(None, sorted(header), sorted(names)).ratio() for name, names in forms.items()}
    name = max(alike, key=alike.__getitem__)
    if not alike[name]:
        return f"give a TSV with the header of one of {', '.join(forms)}"
    missing, unknown = (
        ", ".join(one for one in mine if one not in other)
        for mine, other in ((forms[name], header), (header, forms[name]))
    )
    parts = [f"add {missing}" if missing else "", f"leave out {unknown}" if unknown else ""]
    change = "; ".join(filter(None, parts)) or "name each column once"
    return f"the nearest is the table {name}: {change}"


def check(settings: config.Interpret) -> pd.DataFrame | None:
    """Refuse settings, and read the small files of the user, before the work; the germline table.

    Raises
    ------
    UsageError
        A setting is not above 0, or does nothing.
    DataError
        A file cannot be used.
    """
    for name in ("horizon", "megabases"):
        value = getattr(settings, name)
        if value is not None and not value > 0:
            raise UsageError(f"{value:g} is not above 0", where=f"--{name}", fix="give a number above 0")
    if settings.megabases is not None and settings.mutations is None:
        fix = "give --mutations, or leave out --megabases"
        raise UsageError("there are no calls whose burden to tell", where="--megabases", fix=fix)
    for path in settings.tables or ():
        form_of(path)
    for path in settings.sets or ():
        interpret.read_gmt(path)
    return germline_of(settings.germline)


def there_are(clinical: pd.DataFrame) -> str:
    """Names of the clinical columns, for whoever named another."""
    columns = ", ".join(map(str, clinical.columns))
    return f"there are {columns}" if columns else "the cohort has no clinical table: leave the option out"


def check_adjustment(columns: Sequence[str] | None, clinical: pd.DataFrame, labels: pd.Series | None) -> None:
    """Refuse an adjustment that cannot be made, or changes nothing.

    Raises
    ------
    UsageError
        There are no groups whose differences to adjust, or a column is not there or has one value.
    """
    if not columns:
        return
    if labels is None:
        fix = "give --subtypes or --groups, or leave out --adjust"
        raise UsageError("there are no subtypes whose differences to adjust", where="--adjust", fix=fix)
    absent = sorted(set(columns) - set(clinical.columns))
    if absent:
        raise UsageError(f"no clinical column {', '.join(absent)}", where="--adjust", fix=there_are(clinical))
    here = clinical.loc[clinical.index.isin(labels.dropna().index), list(columns)]
    constant = [str(name) for name in here if as_levels(here[name].dropna()).nunique() < FEWEST_LEVELS]
    if constant:
        raise UsageError(
            f"{', '.join(constant)} has one value among the patients, so that nothing would be adjusted",
            where="--adjust",
            fix=f"leave out {', '.join(constant)}",
        )
