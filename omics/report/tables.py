"""Cells that the sections of the interpretation share: numbers that sort, counts, and tables that end somewhere."""

from __future__ import annotations

import math
from collections.abc import Iterable

import pandas as pd
import xarray as xr

from omics.report import reading
from omics.report.content import Cell
from omics.report.words import MISSING, clean, count, interval, natural, number, p_value, percent

#: Differences and tests count below this q-value.
LEVEL = 0.05
#: Most rows of a table of tests: all of them are in the folder of numbers.
MAX_ROWS = 300


def read(tree: xr.DataTree | None, path: str) -> pd.DataFrame | None:
    """A checked table whose missing texts are empty, or None where there is none."""
    table = reading.frame(tree, path)
    if table is None:
        return None
    texts = [name for name, column in table.items() if not pd.api.types.is_numeric_dtype(column)]
    return table.fillna(dict.fromkeys(texts, ""))


def capped(table: pd.DataFrame, limit: int = MAX_ROWS) -> tuple[pd.DataFrame, str]:
    """The first rows, and a sentence if that is not all."""
    if len(table) <= limit:
        return table, ""
    return table.head(limit), f" The first {limit:,} of {len(table):,} rows; all are in the folder of numbers."


def in_order(table: pd.DataFrame, column: str) -> pd.DataFrame:
    """Rows in the natural order of a column: S2 before S10; those of one value as they were."""
    values = table[column].to_list()
    return table.iloc[sorted(range(len(values)), key=lambda i: natural(values[i]))]


def by_subtype(table: pd.DataFrame, by: str = "subtype") -> list[tuple[str, pd.DataFrame]]:
    """The rows of each subtype, in natural order."""
    return sorted(((str(name), rows) for name, rows in table.groupby(by, sort=False)), key=lambda one: natural(one[0]))


def named(feature: object, gene: object, width: int = 40) -> str:
    """Gene and feature, or the one that there is."""
    genes = dict.fromkeys(str(gene).split(";") if isinstance(gene, str) else [])
    known = "; ".join(one for one in genes if one)
    return clean(f"{known} ({feature})" if known and known != feature else feature, width)


def text(value: object, width: int = 200) -> str:
    """A text, or a dash."""
    return clean(value, width) or MISSING if isinstance(value, str) else MISSING


def probability(p: float) -> Cell:
    """A p- or q-value below a heading that says which."""
    said = p_value(p).removeprefix("p").replace("=", "").strip() if math.isfinite(p) else MISSING
    return Cell(said, value=p)


def decimals(value: float, digits: int = 2, *, signed: bool = False) -> Cell:
    """A number that sorts by all its digits."""
    return Cell("∞" if value == math.inf else number(value, digits, signed=signed), value=value)


def ratio(value: float) -> Cell:
    """An odds or hazard ratio: the larger, the fewer digits mean something."""
    return decimals(value, 2 if value < 10 else 1 if value < 100 else 0)


def percentile(value: float) -> Cell:
    """A percentile, 0 to 100."""
    return decimals(value, 0)


def share(value: float, digits: int = 0) -> Cell:
    """A share in per cent."""
    return Cell(percent(value, digits), value=value)


def part_of(n: int, whole: int) -> Cell:
    """How many of how many, with the share: "14 of 71 (20 %)"."""
    return (
        Cell(f"{n:,} of {whole:,} ({percent(n / whole)})", value=n / whole) if whole else Cell(MISSING, value=math.nan)
    )


def counted(n: int) -> Cell:
    """A count; a dash for what has none."""
    return Cell(f"{n:,}", value=n) if n >= 0 else Cell(MISSING, value=math.nan)


def sentence(*texts: object) -> str:
    """Texts that there are, one after the other, each with its full stop."""
    said = [clean(one, 300) for one in texts if isinstance(one, str) and one]
    return " ".join(one if one[-1:] in ".?!" else f"{one}." for one in said) or MISSING


def joined(*texts: object) -> str:
    """Texts that there are, with semicolons between them."""
    return clean("; ".join(one for one in texts if isinstance(one, str) and one), 300) or MISSING


def ends(lower: float, upper: float) -> str:
    """The ends of an interval, or a dash."""
    return interval(lower, upper) if math.isfinite(lower) and math.isfinite(upper) else MISSING


def sure(table: pd.DataFrame) -> pd.DataFrame:
    """Rows below :data:`LEVEL`."""
    return table[table["q_value"] < LEVEL]


def how_many(table: pd.DataFrame, noun: str = "test") -> str:
    """How many tests, and how many of them count."""
    tested = table["q_value"].notna().sum()
    return f"{count(int(tested), noun)}; q below {LEVEL} in {len(sure(table)):,}."


def one_direction(table: pd.DataFrame, by: str) -> pd.DataFrame:
    """Each set of each group and layer once: its two-sided test, with the direction, and the genes, that are surer.

    A set without a two-sided test has its surest row.
    """
    keys = [by, "layer", "set"]
    ranked = table.sort_values("p_value", kind="stable")
    both = ranked["direction"] == "two-sided"
    sides = ranked[~both].drop_duplicates(keys).set_index(keys)[["direction", "leading"]]
    tests = ranked.assign(one_sided=~both).sort_values("one_sided", kind="stable").drop_duplicates(keys)
    told = sides.reindex(pd.MultiIndex.from_frame(tests[keys]))
    told.index = tests.index
    found = {name: told[name].fillna(tests[name]) for name in ("direction", "leading")}
    return tests.drop(columns="one_sided").assign(**found).sort_values(["p_value", "set"], kind="stable")


def distinct(values: Iterable[object]) -> list[str]:
    """Texts that are not empty, each once, in natural order."""
    return sorted({str(value) for value in values if isinstance(value, str) and value}, key=natural)
