"""The clinical table: columns by name, units, words for missing, and the first event of each patient."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pandas as pd

from omics.read.barcodes import parse
from omics.read.tables import read_table
from omics.schema import NODES, DataError, UsageError

#: Words for "missing" in a clinical table; "Unknown" is an answer and stays.
NA_WORDS = frozenset({"", "NA", "N/A", "NaN", "nan", "na", "null", "NULL", "None", "ND", "#N/A", "[Not Available]"})

_FLAGS = ("refractory", "relapse", "death", "second_malignancy")
_EVENTS = ("event", "second_event")
#: Dates that are kept as they are; the others make the outcome.
_DATES = ("mrd_time", "entry_time", "remission_time", "transplant_time", "second_remission_time", "second_event_time")
_TIMES = ("relapse_time", "death_time", "second_malignancy_time", "event_time", *_DATES)
_NUMBERS = ("age", "wbc", "mrd")
_TEXTS = ("sex", "nci_risk", "subtype", "site", "protocol", "stratum")
#: Names that a mapping may give.
INPUTS = ("patient", *_NUMBERS, *_TEXTS, *_FLAGS, *_EVENTS, *_TIMES)

_PER_UNIT: Mapping[str, float] = MappingProxyType(
    {"years": 1.0, "months": 1 / 12, "days": 1 / 365.25, "percent": 0.01, "fraction": 1.0}
)
_TIME_UNITS = ("days", "months", "years")
_UNITS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {**dict.fromkeys((*_TIMES, "age"), _TIME_UNITS), "mrd": ("fraction", "percent")}
)
_WORDS: Mapping[str, float] = MappingProxyType(
    {
        **dict.fromkeys(("0", "no", "n", "false", "alive", "living", "diseasefree", "none", "censored"), 0.0),
        **dict.fromkeys(("1", "yes", "y", "true", "dead", "deceased", "died", "relapse", "relapsed", "recurred"), 1.0),
        **dict.fromkeys(("recurred/progressed", "progressed", "event"), 1.0),
    }
)
_EVENT_WORDS: Mapping[str, float] = MappingProxyType(
    {
        **dict.fromkeys(("0", "censored", "none", "no", "noevent", "ccr", "alive"), 0.0),
        **dict.fromkeys(("1", "relapse", "relapsed", "recurrence"), 1.0),
        **dict.fromkeys(("2", "death", "dead", "deceased", "deathinremission", "remissiondeath"), 2.0),
        **dict.fromkeys(("3", "secondmalignancy", "secondmalignantneoplasm", "smn", "secondcancer"), 3.0),
    }
)
_OLDEST = 120
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_PADDED = re.compile(r"0\d+", re.ASCII)


@dataclass(frozen=True)
class Column:
    """Where a canonical column comes from.

    Attributes
    ----------
    column : str
        Name in the file.
    unit : str, optional
        days, months or years of a time or an age; fraction or percent of ``mrd``.
    values : mapping
        Value in the file to value in the cohort.
    """

    column: str
    unit: str | None = None
    values: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, name: str, given: str | Mapping[str, Any]) -> Column:
        """Column from what a user gave for `name`: a column name, or a mapping with ``column``.

        Raises
        ------
        UsageError
            Unknown name, key or unit.
        """
        where = f"clinical column '{name}'"
        if name not in INPUTS:
            raise UsageError("unknown clinical column", where=where, fix=f"expected one of {', '.join(INPUTS)}")
        if isinstance(given, str):
            return cls(given)
        unknown = set(given) - {"column", "unit", "values"}
        if unknown or "column" not in given:
            raise UsageError(
                f"got the keys {', '.join(sorted(given))}", where=where, fix="expected column, and perhaps unit, values"
            )
        unit = given.get("unit")
        if unit is not None and unit not in _UNITS.get(name, ()):
            raise UsageError(
                f"unit is '{unit}'", where=where, fix=f"expected one of {', '.join(_UNITS.get(name, ('no unit',)))}"
            )
        values = {str(key): str(value) for key, value in given.get("values", {}).items()}
        return cls(str(given["column"]), unit, values)


def read_clinical(
    path: Path, columns: Mapping[str, str | Mapping[str, Any]], layers: Sequence[str] = ()
) -> tuple[pd.DataFrame, list[str]]:
    """Read the clinical table of a cohort.

    Parameters
    ----------
    path : pathlib.Path
        TSV or CSV, gzip or not.
    columns : mapping
        Canonical name to a column name, or to a mapping with ``column`` and perhaps ``unit`` and ``values``.
    layers : sequence of str
        Patients of the layers; tell the column of ids when none is named.

    Returns
    -------
    table : pandas.DataFrame
        One row a patient, index ``sample``: canonical columns, then every other column of the file under its name.
    notes : list of str
        What was chosen and derived.

    Raises
    ------
    DataError
        A column is missing, a value is not understood, or outcomes contradict themselves; every patient is listed.
    UsageError
        The mapping itself is wrong.
    """
    mapping = {name: Column.of(name, given) for name, given in columns.items()}
    raw = read_table(path)
    _require_columns(raw, mapping, path)
    notes: list[str] = []
    patient = _patient_column(raw, mapping, notes)
    raw = _one_row_a_patient(raw, patient, path)
    mapping = {name: Column(name) for name in INPUTS[1:] if name in raw} | mapping
    used = {entry.column for entry in mapping.values()}
    given = {name: _canonical(raw, name, entry, path) for name, entry in mapping.items() if name != "patient"}
    kept = (*_NUMBERS, *_TEXTS, "refractory", "second_event", *_DATES)
    plain = {name: given[name] for name in kept if name in given}
    table = pd.DataFrame(plain, index=raw.index).join(outcome(pd.DataFrame(given, index=raw.index), path, notes))
    table = table.join(_other_columns(raw, used | {patient}, set(table.columns), notes))
    if not {"event", "death"} & set(table):
        notes.append(
            "warning: clinical: no outcome is recognised; say which columns hold it, for example "
            "--map event=COLUMN --map event_time=COLUMN:days (or [clinical] in the configuration)"
        )
    notes += _doubts(table)
    return table.sort_index(), notes


def _doubts(table: pd.DataFrame) -> list[str]:
    """Values that look like another unit, or like a slip of the pen."""
    likely = (
        ("wbc", 1000, "is it in cells/uL instead of 10^9/L?"),
        ("mrd", 0.5, "is it in percent? then give its unit"),
        ("event_time", 30, "is it in days or months? then give its unit"),
        ("death_time", 30, "is it in days or months? then give its unit"),
    )
    ages = table["age"].dropna() if "age" in table else pd.Series(dtype=float)
    strange = ages[(ages < 0) | (ages > _OLDEST)]
    impossible = [f"warning: clinical: the age of {patient} is {age:g} years" for patient, age in strange.items()]
    return impossible + [
        f"warning: clinical: the median of {name} is {table[name].median():g}; {question}"
        for name, limit, question in likely
        if name in table and table[name].notna().any() and table[name].median() > limit
    ]


def _require_columns(raw: pd.DataFrame, mapping: Mapping[str, Column], path: Path) -> None:
    for name, entry in mapping.items():
        if entry.column not in raw:
            raise DataError(
                f"no column '{entry.column}' (for '{name}'); there are {', '.join(map(str, raw.columns))}",
                where=str(path),
                fix="name columns as the file does",
            )


def _patient_column(raw: pd.DataFrame, mapping: Mapping[str, Column], notes: list[str]) -> str:
    if "patient" in mapping:
        return mapping["patient"].column
    found = next((name for name in ("patient", "patient_id", "sample_id", "sample") if name in raw), raw.columns[0])
    notes.append(f"clinical: patients are taken from column '{found}'")
    return str(found)


def _one_row_a_patient(raw: pd.DataFrame, patient: str, path: Path) -> pd.DataFrame:
    if (raw[patient] == "").any():
        raise DataError(f"a patient has no id in column '{patient}'", where=str(path), fix="give every row an id")
    distinct = raw[~raw.duplicated()]
    rows = distinct.set_index(pd.Index([parse(one).patient for one in distinct[patient]], name="sample", dtype=object))
    if not rows.index.is_unique:
        twice = rows.index[rows.index.duplicated()].unique()
        raise DataError(
            f"several rows that differ for {len(twice)} of the patients: {', '.join(twice[:5])}",
            where=str(path),
            fix="keep one row a patient",
        )
    return rows


def _canonical(raw: pd.DataFrame, name: str, entry: Column, path: Path) -> pd.Series:
    cells = raw[entry.column].map(lambda cell: entry.values.get(cell, cell))
    missing = cells.isin(NA_WORDS)
    if name in _TEXTS:
        return cells.mask(missing)
    words = _EVENT_WORDS if name in _EVENTS else _WORDS if name in _FLAGS else {}
    numbers = cells.map(lambda cell: _read(cell, words))
    strange = cells[numbers.isna() & ~missing]
    if len(strange):
        listed = ", ".join(f"{patient} '{cell}'" for patient, cell in strange.head(5).items())
        raise DataError(
            f"column '{entry.column}': {len(strange)} values are not understood as {name}: {listed}",
            where=str(path),
            fix="map them with 'values', for example values = {Deceased = 1, Living = 0}"
            if words
            else "expected numbers",
        )
    return numbers.astype(float) * _PER_UNIT[entry.unit or "years"]


def _read(cell: str, words: Mapping[str, float]) -> float:
    """Number of a cell; where there are words, only a word, with or without cBioPortal's ``1:`` before it."""
    if not words:
        return float(cell) if _NUMBER.fullmatch(cell) else np.nan
    head, colon, rest = cell.partition(":")
    code = head.strip() if colon and head.strip().isdigit() and rest else cell
    plain = re.sub(r"[\s_-]", "", code.lower())
    plain = re.sub(r"\.0+$", "", plain)
    return words.get(plain, np.nan)


def _other_columns(raw: pd.DataFrame, used: set[str], taken: set[str], notes: list[str]) -> pd.DataFrame:
    """Every other column under its own name, numeric if all its values are numbers."""
    others = {}
    for name in raw.columns:
        if name in used:
            continue
        stored = str(name).replace("/", "_") or "unnamed"
        if stored in taken or stored in others or stored == "sample":
            stored = f"{stored}_in_file"
            notes.append(f"clinical: column '{name}' is stored as '{stored}'")
        others[stored] = _typed(raw[name])
    return pd.DataFrame(others, index=raw.index)


def _typed(cells: pd.Series) -> pd.Series:
    present = cells[~cells.isin(NA_WORDS)]
    numeric = len(present) and all(_NUMBER.fullmatch(one) and not _PADDED.fullmatch(one) for one in present)
    if not numeric:
        return cells.mask(cells.isin(NA_WORDS))
    return present.astype(float).reindex(cells.index)


# --- the first event ----------------------------------------------------------------------------------------------


def outcome(given: pd.DataFrame, path: Path, notes: list[str]) -> pd.DataFrame:
    """First event, its time, death and relapse, from whatever of them is given.

    The first of relapse and second malignancy; else death in remission; else censored at the last follow-up. A
    refractory patient never was in remission: event and time are NaN unless they are given.

    Parameters
    ----------
    given : pandas.DataFrame
        Canonical columns, NaN where missing, times in years.
    path : pathlib.Path
        The file, for errors.
    notes : list of str
        Gets what was derived.

    Raises
    ------
    DataError
        Lists every patient with an event that has no time, a negative time, or a code that is no event.
    """
    result = given[[name for name in ("death", "death_time") if name in given]].copy()
    if "event" in given:
        result["event"] = given["event"]
        if "event_time" in given:
            result["event_time"] = given["event_time"]
        notes.append("clinical: event is taken from the file")
    elif {"relapse", "relapse_time"} <= set(given):
        result = result.join(_first_event(given))
        notes.append("clinical: event and event_time are derived from relapse, death and second malignancy")
    _refuse_bad_times(given, result, path)
    if "event" in result:
        result["relapse"] = (result["event"] == 1).astype(float).where(result["event"].notna())
        if "relapse" in given:
            result["relapse"] = result["relapse"].fillna(given["relapse"])
    elif "relapse" in given:
        result["relapse"] = given["relapse"]
        notes.append("clinical: relapse has no time, so there are no curves")
    order = [variable.name for variable in NODES["clinical"] if variable.name in result]
    return result[order]


def _first_event(given: pd.DataFrame) -> pd.DataFrame:
    nothing = pd.Series(np.nan, index=given.index)
    relapse, relapse_time = given["relapse"], given["relapse_time"]
    second, second_time = (given.get(name, nothing) for name in ("second_malignancy", "second_malignancy_time"))
    death, death_time = (given.get(name, nothing) for name in ("death", "death_time"))
    follow_up = death_time.fillna(relapse_time)
    second_first = (second == 1) & ~((relapse == 1) & ~(second_time < relapse_time))
    cases = [second_first, relapse == 1, relapse.isna(), death == 1]
    event = np.select(cases, [3.0, 1.0, np.nan, 2.0], default=0.0)
    time = np.select(cases, [second_time, relapse_time, nothing, death_time], default=follow_up)
    table = pd.DataFrame({"event": event, "event_time": time}, index=given.index)
    if "refractory" in given:
        table[given["refractory"] == 1] = np.nan
    return table


def _refuse_bad_times(given: pd.DataFrame, result: pd.DataFrame, path: Path) -> None:
    """List every patient whose outcome cannot be right, all faults at once."""
    faults: list[str] = []
    for name in (name for name in _TIMES if name in given):
        faults += [
            f"{patient}: {name} {time:g} is negative" for patient, time in given.loc[given[name] < 0, name].items()
        ]
    pairs = [("death", "death_time"), ("event", "event_time")]
    for event, time in ((event, time) for event, time in pairs if {event, time} <= set(result)):
        happened = result[event].notna() if event == "event" else result[event] == 1
        undated = happened & result[time].isna()
        faults += [
            f"{patient}: {event} {result.at[patient, event]:g} without {time}" for patient in result.index[undated]
        ]
    faults += _contradictions(given, result)
    if faults:
        raise DataError(
            f"{len(faults)} outcomes cannot be right:\n    " + "\n    ".join(faults),
            where=str(path),
            fix="correct the table, or leave the event empty where it is unknown",
        )


#: Orders in which things cannot have happened: what came too early, after what it must come.
_ORDERS = (
    ("event_time", "remission_time", "a relapse before the remission"),
    ("death_time", "remission_time", "death or last follow-up before the remission"),
    ("death_time", "transplant_time", "death or last follow-up before the transplant"),
    ("death_time", "event_time", "death or last follow-up before the first event"),
    ("second_remission_time", "event_time", "second remission before the relapse"),
    ("second_event_time", "event_time", "second event before the relapse"),
    ("death_time", "second_event_time", "death or last follow-up before the second event"),
    ("event_time", "entry_time", "the first event or last follow-up before the entry"),
)
#: Years by which dates in whole months may seem to be out of order.
_ROUNDING = 0.1


def _contradictions(given: pd.DataFrame, result: pd.DataFrame) -> list[str]:
    """Courses of disease that cannot have been, one line a patient."""
    nothing = pd.Series(np.nan, index=given.index)
    course = {name: result.get(name, given.get(name, nothing)) for name in (*_TIMES, *_EVENTS)}
    relapsed = course["event"] == 1
    faults = []
    for early, late, said in _ORDERS:
        wrong = course[early] < course[late] - _ROUNDING
        if early == "event_time" and late == "remission_time":
            wrong &= relapsed
        faults += [
            f"{patient}: {said} ({early} {course[early][patient]:g}, {late} {course[late][patient]:g} years)"
            for patient in given.index[wrong]
        ]
    for name in ("second_remission_time", "second_event"):
        alone = course[name].notna() & ~relapsed & course["event"].notna()
        faults += [f"{patient}: {name} without a relapse" for patient in given.index[alone]]
    undated = course["second_event"].notna() & course["second_event_time"].isna()
    return faults + [f"{patient}: second_event without second_event_time" for patient in given.index[undated]]
