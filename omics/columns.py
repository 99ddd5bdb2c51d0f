"""What a column of a table is: outcome, place or run, levels or numbers, by name and values; the order of names."""

from __future__ import annotations

import re
from collections.abc import Iterable

import pandas as pd

#: Levels that a column needs, and may have, to be looked at level by level: an id or free text has more.
FEWEST_LEVELS, MOST_LEVELS = 2, 30
#: Columns that tell what became of a patient, as is every ``*_time``; they may not explain what a subtype is.
OUTCOMES = ("event", "relapse", "death", "second_malignancy", "second_event", "refractory", "vital_status")
#: Words for what happens to a patient, and what a column may tell of it: the site of a relapse, the days to death.
HAPPENINGS = ("event", "relapse", "relapsed", "remission", "death", "died")
DETAILS = (
    *("site", "location", "date", "day", "days", "year", "age", "type", "status", "cause"),
    *("first", "second", "complete", "of", "at", "in", "to"),
)
#: End of the name of a column of times; before it stands the name of the event.
TIME = "_time"
#: Places and runs: last words of the names of columns that tell how a sample was handled; a number there is a name.
PLACES = ("site", "hospital", "centre", "center", "laboratory", "lab", "study", "cohort")
RUNS = ("batch", "protocol", "plate", "platform", "array", "chip", "slide", "lane", "run")
TECHNICAL = (*PLACES, *RUNS)
#: Columns that name known subtypes, in any case; they come before all other labels.
KNOWN = ("subtype", "molecular_subtype", "cytogenetic_code", "cytogenetics", "fusion", "immunophenotype", "fab")
#: Columns that name disease entities, which clusters may split and join, as they may those whose last word is of KNOWN;
#: another label (a class of risk, a race, a treatment) only says what is commoner in a cluster, or the same as it.
ENTITIES = (*KNOWN, "lineage", "karyotype", "diagnosis", "entity", "cancer_type_detailed", "oncotree_code")
#: Levels that name no subtype, in lower case: who has one is of unknown subtype, and need not have been tested for any.
UNNAMED = (
    "b-other",
    "b other",
    "other",
    "others",
    "unknown",
    "unclassified",
    "undetermined",
    "not done",
    "nos",
    "na",
    "n/a",
)
#: Name of such a column that is none where it is the last of several words: a risk group, an age group.
GROUP = "group"


def is_outcome(name: str) -> bool:
    """Whether the column tells what became of the patient: one of :data:`OUTCOMES`, a time, or a detail of an event."""
    words = set(_words(name))
    told = bool(words.intersection(HAPPENINGS)) and words.issubset((*HAPPENINGS, *DETAILS))
    return told or name.casefold() in OUTCOMES or name.casefold().endswith(TIME)


def is_technical(name: str) -> bool:
    """Whether the column tells how the sample was handled: its last word, but for "id", is in :data:`TECHNICAL`."""
    return _is_place_or_run(name) and not is_outcome(name)


def is_entity(name: str) -> bool:
    """Whether the column names disease entities."""
    return name.casefold() in ENTITIES or any(word in KNOWN for word in _words(name)[-1:])


def is_text(column: pd.Series) -> bool:
    """Whether the column holds text or categories."""
    return column.dtype.kind in "OTU"


def is_numeric(column: pd.Series) -> bool:
    """Whether a regression takes the values as they are: numbers, or booleans as 0 and 1."""
    return column.dtype.kind in "fiub"


def is_categorical(name: str, known: pd.Series) -> bool:
    """Whether the known values of a column are levels.

    Text, booleans, numbers that are all 0 or 1, places and runs are; and few whole numbers that name disease entities.
    """
    if is_text(known) or known.dtype.kind == "b" or _is_place_or_run(name):
        return True
    if known.dtype.kind not in "iuf":
        return False
    coded = is_entity(name) and known.nunique() <= MOST_LEVELS and bool((known % 1 == 0).all())
    return coded or bool(known.isin([0, 1]).all())


def as_levels(known: pd.Series) -> pd.Series:
    """Levels as text, whole numbers without decimals; an empty text is unknown."""
    whole = known.dtype.kind in "iuf" and bool((known % 1 == 0).all())
    text = (known.astype("int64") if whole else known).astype(str).str.strip()
    return text[text != ""]


def in_order(names: Iterable[str]) -> list[str]:
    """Names sorted as people do: S2 before S10, and S2 before S02."""
    return sorted(map(str, names), key=_by_number)


def _words(name: str) -> list[str]:
    return [word for word in re.split(r"[^a-z0-9]+", name.casefold()) if word]


def _is_place_or_run(name: str) -> bool:
    words = [word for word in _words(name) if word != "id"]
    return words == [GROUP] or any(word in TECHNICAL for word in words[-1:])


def _by_number(name: str) -> tuple[list[str | int], int, str]:
    """Texts and numbers in turn; where names differ in leading zeros alone, the shorter is first."""
    parts = re.split(r"(\d+)", name)
    return [int(part) if part.isdecimal() else part for part in parts], len(name), name
