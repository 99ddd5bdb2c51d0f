"""What is known of patients anyway, made ready to adjust for: scaled, complete, pooled, and as much as events allow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
import pandas as pd

from omics.columns import is_numeric
from omics.outcome.endpoints import ENDPOINTS
from omics.outcome.predictors import OUTCOME_COLUMNS
from omics.schema import UsageError

#: What is known at diagnosis and early in treatment, the most important first.
KNOWN = ("subtype", "mrd", "nci_risk", "age", "wbc", "site")
#: Where patients were treated: it divides them into strata.
SITE = "site"
#: Name of the grouping whose effect is asked for, among the terms of a regression.
GROUP = "group"
#: Level in which rare ones are pooled.
OTHER = "other"
#: Events that a regression needs for each of its parameters.
EVENTS_PER_PARAMETER = 5
#: Covariates that enter as log10, and the smallest value that is told from 0: the limit of what an assay detects.
FLOORS: Mapping[str, float] = MappingProxyType({"mrd": 1e-5, "wbc": 0.1})

_MOST_MISSING = 0.4
_FEWEST_PATIENTS = 5


class Covariates(NamedTuple):
    """Covariates of the patients who have them all.

    Attributes
    ----------
    table : pandas.DataFrame, shape (patient, covariate)
        Numbers, and levels as text; the most important first.
    left_out : list of str
        Covariates, and how many patients, that are left out, each with the reason.
    remarks : list of str
        What was done to the covariates.
    """

    table: pd.DataFrame
    left_out: list[str]
    remarks: list[str]


def covariates_of(clinical: pd.DataFrame, wanted: Sequence[str] | None) -> list[str]:
    """Columns to adjust for: those `wanted`, or those of :data:`KNOWN` that there are.

    Raises
    ------
    UsageError
        A wanted column is not there, is part of the outcome, or has the name of the grouping; all are named.
    """
    if wanted is None:
        return [name for name in KNOWN if name in clinical]
    outcomes = {*OUTCOME_COLUMNS, *ENDPOINTS["refractory"].columns}
    faults = [f"'{name}' is not a clinical column" for name in wanted if name not in clinical]
    faults += [f"'{name}' is part of the outcome" for name in wanted if name in outcomes]
    faults += [f"'{name}' is what the grouping itself is called" for name in wanted if name == GROUP]
    if faults:
        allowed = [str(name) for name in clinical if name not in {*outcomes, GROUP}]
        raise UsageError("; ".join(faults), where="covariates", fix=f"choose from {', '.join(allowed)}")
    return list(dict.fromkeys(wanted))


def complete(clinical: pd.DataFrame) -> Covariates:
    """Covariates as they enter a regression, of the patients who have them all.

    Residual disease and white count enter as ``log10(max(value, floor))`` with the floors of :data:`FLOORS`, unless
    they have but two values. A covariate that is missing in more than 40 % of the patients, or has one value, is left
    out before patients are.

    Parameters
    ----------
    clinical : pandas.DataFrame
        Columns to use, of the patients of one endpoint.
    """
    columns, left_out = {}, []
    for name in map(str, clinical):
        column = _scaled(clinical[name])
        if column.name != name and column.name in clinical:  # a column of the user's is called so
            column = column.rename(f"{column.name} (of {name})")
        missing = column.isna().mean()
        if missing > _MOST_MISSING:
            left_out.append(f"{name} (missing in {100 * missing:.0f} % of patients)")
        elif column.nunique() < 2:
            left_out.append(f"{name} (one value)")
        else:
            columns[column.name] = column
    table = pd.DataFrame(columns, index=clinical.index)
    whole = table.notna().all(axis=1)
    if not whole.all():
        left_out.append(f"{(~whole).sum()} of {len(table)} patients (a covariate is missing)")
    return Covariates(table[whole], left_out, [])


def afforded(covariates: Covariates, happened: pd.Series, spent: int) -> Covariates:
    """Covariates with rare levels pooled, and no more of them than the events allow.

    Levels of a text that have fewer than 5 patients or no event are pooled as "other"; if that is still too small, the
    smallest level joins it. Then, while there are fewer than 5 events for each parameter, the first of these that can
    be done is done:

    1. in a text with more than two levels, one of which has fewer than 5 events, the level with the fewest is pooled
       (the last such text first);
    2. of the last covariate, if it is a text with more than two levels, the level with the fewest events is pooled;
    3. the last covariate is dropped.

    Parameters
    ----------
    covariates : Covariates
        As from :func:`complete`.
    happened : pandas.Series of bool
        Whether each of the patients had the event.
    spent : int
        Parameters that the grouping needs.

    Returns
    -------
    Covariates
        With what was pooled or dropped for want of events in ``remarks``, and what does not vary in ``left_out``.
    """
    if not happened.any():
        return covariates
    table, left_out = {}, list(covariates.left_out)
    for name, column in covariates.table.items():
        kept = column if is_numeric(column) else _pooled(column, happened)
        why = _too_rare(kept, happened)
        if why:
            left_out.append(f"{name} ({why})")
        else:
            table[name] = kept
    usable = pd.DataFrame(table, index=covariates.table.index)
    left = usable
    while len(left.columns) and happened.sum() < EVENTS_PER_PARAMETER * (spent + parameters(left)):
        left = _cheaper(left, happened)
    return Covariates(left, left_out, [*covariates.remarks, *_said(covariates.table, usable, left)])


def parameters(table: pd.DataFrame) -> int:
    """Coefficients that covariates need: one for a number, one less than its levels for a text."""
    return sum(1 if is_numeric(column) else column.nunique() - 1 for _, column in table.items())


def levels(column: pd.Series, reference: str | None = None) -> list[str]:
    """Levels of a text, the reference first: by default the one with most patients."""
    count = column.value_counts().sort_index().sort_values(ascending=False, kind="stable")
    first = str(count.index[0]) if reference is None else reference
    return [first, *sorted(set(column) - {first})]


def indicators(table: pd.DataFrame, references: Mapping[str, str] | None = None) -> pd.DataFrame:
    """Design of the covariates: numbers as they are, and 0 or 1 for each level of a text but its reference.

    Returns
    -------
    pandas.DataFrame, shape (patient, parameter)
        Columns are pairs: the covariate, and its level or "".
    """
    columns: dict[tuple[str, str], pd.Series] = {}
    for name, column in table.items():
        term = str(name)
        if is_numeric(column):
            columns[term, ""] = column.astype(float)
        else:
            others = levels(column, (references or {}).get(term))[1:]
            columns |= {(term, level): (column == level).astype(float) for level in others}
    names = (
        pd.MultiIndex.from_tuples(list(columns), names=["term", "group"])
        if columns
        else pd.MultiIndex([[], []], [[], []])
    )
    return pd.DataFrame(
        np.column_stack(list(columns.values())) if columns else np.empty((len(table), 0)), table.index, names
    )


def _scaled(column: pd.Series) -> pd.Series:
    if not is_numeric(column) or column.name == SITE:
        text = column.astype(object)
        return text.where(text.notna() & (text != ""), np.nan).map(str, na_action="ignore")
    floor = FLOORS.get(str(column.name))
    if floor is None or column.nunique() <= 2:
        return column.astype(float)
    logarithm = np.log10(column.astype(float).clip(lower=floor))
    return pd.Series(logarithm, column.index, name=f"log10 {column.name}")


def _counts(column: pd.Series, happened: pd.Series) -> pd.DataFrame:
    """Patients and events of each level, sorted by name."""
    return happened.groupby(column).agg(["size", "sum"])


def _pooled(column: pd.Series, happened: pd.Series) -> pd.Series:
    """The text with levels of fewer than 5 patients, or without event, as "other"."""
    while True:
        count = _counts(column, happened)
        rare = count.index[(count["size"] < _FEWEST_PATIENTS) | (count["sum"] < 1)]
        if not len(rare) or len(count) < 2:
            return column
        joined = list(rare)
        if joined == [OTHER]:
            joined.append(count["size"].drop(OTHER).idxmin())
        column = column.mask(column.isin(joined), OTHER)


def _too_rare(column: pd.Series, happened: pd.Series) -> str:
    """Why a covariate cannot have a coefficient; empty if it can."""
    if column.nunique() < 2:
        return "one value" if is_numeric(column) else f"no two levels with {_FEWEST_PATIENTS} patients and an event"
    if is_numeric(column) and column.nunique() == 2:
        count = _counts(column, happened)
        if (count["size"] < _FEWEST_PATIENTS).any() or (count["sum"] < 1).any():
            return f"fewer than {_FEWEST_PATIENTS} patients, or no event, at one of two values"
    return ""


def _cheaper(table: pd.DataFrame, happened: pd.Series) -> pd.DataFrame:
    """The table with one parameter less."""
    divided = [name for name in table if not is_numeric(table[name]) and table[name].nunique() > 2]
    poor = [name for name in divided if _counts(table[name], happened)["sum"].min() < EVENTS_PER_PARAMETER]
    last = table.columns[-1]
    if not poor and last not in divided:
        return table.drop(columns=last)
    name = poor[-1] if poor else last
    rarest = _counts(table[name], happened)["sum"].sort_values(kind="stable").index
    joined = [OTHER, *rarest.drop(OTHER)[:1]] if OTHER in rarest else list(rarest[:2])
    return table.assign(**{str(name): table[name].mask(table[name].isin(joined), OTHER)})


def _said(given: pd.DataFrame, usable: pd.DataFrame, left: pd.DataFrame) -> list[str]:
    """What became of the covariates, in words."""
    said = []
    for name in (name for name in left if not is_numeric(left[name])):
        members = sorted(given[name][left[name] == OTHER].unique())
        if len(members) and members != [OTHER]:
            said.append(f"{name}: {', '.join(members)} pooled as {OTHER}")
    dropped = [str(name) for name in usable if name not in left]
    if dropped:
        said.append(f"dropped for fewer than {EVENTS_PER_PARAMETER} events per parameter: {', '.join(dropped)}")
    return said
