"""What a column of the clinical table is: outcome, place or run, levels or numbers; by its name and its values."""

from __future__ import annotations

import re

import pandas as pd

#: Levels that a column needs, and may have, to be tested level by level: an id or free text has more.
FEWEST_LEVELS, MOST_LEVELS = 2, 30
#: Columns that tell what became of a patient, as is every ``*_time``; they may not explain what a subtype is.
OUTCOMES = ("event", "relapse", "death", "second_malignancy", "second_event", "refractory", "vital_status")
#: End of the name of a column of times; before it stands the name of the event.
TIME = "_time"
#: Places and runs: last words of the names of columns that tell how a sample was handled; a number there is a name.
PLACES = ("site", "hospital", "centre", "center", "laboratory", "lab", "study", "cohort")
RUNS = ("batch", "protocol", "plate", "platform", "array", "chip", "slide", "lane", "run")
TECHNICAL = (*PLACES, *RUNS)
#: Name of such a column that is none where it is the last of several words: a risk group, an age group.
GROUP = "group"


def is_outcome(name: str) -> bool:
    """Whether the column tells what became of the patient."""
    return name.casefold() in OUTCOMES or name.casefold().endswith(TIME)


def is_technical(name: str) -> bool:
    """Whether the column tells how the sample was handled: its last word, but for "id", is in :data:`TECHNICAL`."""
    words = [word for word in re.split(r"[^a-z0-9]+", name.casefold()) if word and word != "id"]
    return words == [GROUP] or bool(words and words[-1] in TECHNICAL)


def is_text(column: pd.Series) -> bool:
    """Whether the column holds text or categories."""
    return isinstance(column.dtype, pd.CategoricalDtype) or column.dtype.kind in "OTU"


def is_categorical(name: str, known: pd.Series) -> bool:
    """Whether the known values of a column are levels: text, booleans, numbers that are all 0 or 1, places and runs."""
    if is_text(known) or known.dtype.kind == "b" or is_technical(name):
        return True
    return known.dtype.kind in "iuf" and bool(known.isin([0, 1]).all())


def as_levels(known: pd.Series) -> pd.Series:
    """Levels as text, whole numbers without decimals; an empty text is unknown."""
    whole = known.dtype.kind in "iuf" and bool((known % 1 == 0).all())
    text = (known.astype("int64") if whole else known).astype(str).str.strip()
    return text[text != ""]
