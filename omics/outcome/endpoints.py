"""Endpoints of the clinical table: what happened to each patient, when, and what is not known.

Time zero is diagnosis. A refractory patient never reached the remission from which one can relapse: such a patient
has an event at time 0 for event-free survival and is not at risk of relapse.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
import pandas as pd

from omics.outcome.curves import CENSORED, RELAPSE, risk_table
from omics.schema import EVENT_CODES, DataError, UsageError

#: Columns of the clinical table that each endpoint needs.
ENDPOINT_COLUMNS: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "relapse": ("event", "event_time"),
        "event_free": ("event", "event_time"),
        "overall": ("death", "death_time"),
    }
)


def supported(clinical: pd.DataFrame) -> list[str]:
    """Endpoints for which `clinical` has at least one patient: among relapse, event_free, overall."""
    return [
        endpoint
        for endpoint, columns in ENDPOINT_COLUMNS.items()
        if set(columns) <= set(clinical.columns) and clinical[list(columns)].notna().all(axis=1).any()
    ]


def first_event(clinical: pd.DataFrame) -> pd.DataFrame:
    """Time and code of the first event, for the patients at risk of relapse.

    Parameters
    ----------
    clinical : pandas.DataFrame
        Indexed by sample; ``event`` (codes of :data:`omics.schema.EVENT_CODES`), ``event_time`` (years from
        diagnosis), and ``refractory`` where known.

    Returns
    -------
    pandas.DataFrame
        ``time`` (years) and ``event`` (code), indexed by sample, one row for each patient of known outcome who was
        not refractory. ``attrs`` counts who is left out: ``refractory`` and ``unknown``.

    Raises
    ------
    DataError
        A column is missing, an event code is unknown, or a time is negative.
    """
    _check(clinical, "relapse", codes=EVENT_CODES)
    return _known(clinical["event_time"], clinical["event"], refractory(clinical))


def event_free(clinical: pd.DataFrame) -> pd.DataFrame:
    """Time to the first of induction failure (time 0), relapse, death and second malignancy.

    Parameters
    ----------
    clinical : pandas.DataFrame
        As for :func:`first_event`.

    Returns
    -------
    pandas.DataFrame
        ``time`` (years) and ``event`` (1 if any event, else 0), for the patients of known outcome; a refractory
        patient has an event at time 0. ``attrs["unknown"]`` counts the others.

    Raises
    ------
    DataError
        As :func:`first_event`.
    """
    _check(clinical, "event_free", codes=EVENT_CODES)
    failed = refractory(clinical)
    event = (clinical["event"] != CENSORED).astype(float).where(clinical["event"].notna())
    return _known(clinical["event_time"].mask(failed, 0.0), event.mask(failed, 1.0))


def overall(clinical: pd.DataFrame) -> pd.DataFrame:
    """Time to death of any cause.

    Parameters
    ----------
    clinical : pandas.DataFrame
        Indexed by sample; ``death`` (0 or 1) and ``death_time`` (years from diagnosis to death or last follow-up).

    Returns
    -------
    pandas.DataFrame
        ``time`` (years) and ``event`` (1 if dead, else 0), for the patients of known outcome;
        ``attrs["unknown"]`` counts the others.

    Raises
    ------
    DataError
        A column is missing, ``death`` is neither 0 nor 1, or a time is negative.
    """
    _check(clinical, "overall", codes={0: "alive", 1: "dead"})
    return _known(clinical["death_time"], clinical["death"])


def relapse_within(clinical: pd.DataFrame, horizon: float) -> pd.DataFrame:
    """Relapse by `horizon` as a class; censoring is handled by weights, not by dropping patients.

    The weight of a patient whose outcome is known is ``1 / G(min(T, horizon)-)``, where G is the Kaplan-Meier
    estimate of the censoring distribution in the patients given (at equal times events come before censorings). Then
    the weighted share of relapses is the Aalen-Johansen cumulative incidence at the horizon.

    Parameters
    ----------
    clinical : pandas.DataFrame
        As for :func:`first_event`. If no patient has an event time, column ``relapse`` is taken as it is, weight 1.
    horizon : float
        Years from diagnosis.

    Returns
    -------
    pandas.DataFrame
        A row for each row of `clinical`: ``outcome`` is 1 if the patient relapsed by the horizon, 0 if followed up to
        it or stopped by a competing event before; ``weight`` is 0, and ``outcome`` meaningless, where the outcome is
        not known (censored before the horizon, or missing) and for refractory patients. ``attrs["definition"]`` says
        which definition was used; ``attrs`` also counts ``refractory`` and ``unknown`` (missing) patients.

    Raises
    ------
    UsageError
        The horizon is not positive.
    DataError
        As :func:`first_event`, or nobody was followed up to the horizon.

    References
    ----------
    Graf, Schmoor, Sauerbrei, Schumacher. Statistics in Medicine 1999;18:2529-2545.
    """
    if not horizon > 0:
        raise UsageError(f"horizon is {horizon}", fix="give a positive number of years")
    if "relapse" not in supported(clinical) and "relapse" in clinical:
        return _relapse_as_recorded(clinical)
    known = first_event(clinical)
    time, event = known["time"].to_numpy(), known["event"].to_numpy()
    followed = (time >= horizon) | (event != CENSORED)
    if not followed.any() or (time.max() < horizon and (event == CENSORED).any()):
        raise DataError(
            f"nobody was followed up to the horizon of {horizon:g} years; the longest time is {time.max(initial=0):g}",
            where="clinical column 'event_time'",
            fix="choose a shorter horizon, or check that the times are in years",
        )
    at = np.minimum(time, horizon)
    table = pd.DataFrame({"outcome": 0, "weight": 0.0}, index=clinical.index)
    table.loc[known.index, "outcome"] = ((event == RELAPSE) & (time <= horizon)).astype(int)
    table.loc[known.index[followed], "weight"] = 1.0 / _uncensored_before(at[followed], time, event)
    table.attrs = {"definition": f"relapse within {horizon:g} years of diagnosis", **known.attrs}
    return table


def refractory(clinical: pd.DataFrame) -> pd.Series:
    """Whether induction failed, False where that is not known."""
    if "refractory" not in clinical:
        return pd.Series(False, index=clinical.index)
    return clinical["refractory"] == 1


def _relapse_as_recorded(clinical: pd.DataFrame) -> pd.DataFrame:
    failed = refractory(clinical)
    known = clinical["relapse"].notna() & ~failed
    outcome = (clinical["relapse"] == 1).astype(int)
    table = pd.DataFrame({"outcome": outcome.where(known, 0), "weight": known.astype(float)})
    table.attrs = {
        "definition": "relapse at any time, as recorded: there are no event times",
        "refractory": int(failed.sum()),
        "unknown": int((~known & ~failed).sum()),
    }
    return table


def _uncensored_before(at: np.ndarray, time: np.ndarray, event: np.ndarray) -> np.ndarray:
    """G(at-): the chance to be still uncensored just before each time of `at`."""
    table = risk_table(time, event, cause=RELAPSE)
    left = table.at_risk - table.events - table.competing  # at risk of censoring: events come first
    stays = 1.0 - np.divide(table.censored, left, out=np.zeros(len(left)), where=left > 0)
    uncensored = np.concatenate([[1.0], np.cumprod(stays)])
    return uncensored[np.searchsorted(table.time, at, side="left")]


def _known(time: pd.Series, event: pd.Series, excluded: pd.Series | None = None) -> pd.DataFrame:
    """Rows that have both a time and an event, without those `excluded`; counts what is left out."""
    table = pd.DataFrame({"time": time.astype(float), "event": event})
    attrs: dict[Hashable | None, Any] = {}
    if excluded is not None:
        attrs["refractory"] = int(excluded.sum())
        table = table[~excluded]
    complete = table.dropna().astype({"event": int})
    complete.attrs = attrs | {"unknown": len(table) - len(complete)}
    return complete


def _check(clinical: pd.DataFrame, endpoint: str, *, codes: Mapping[int, str]) -> None:
    event, time = ENDPOINT_COLUMNS[endpoint]
    missing = [column for column in (event, time) if column not in clinical]
    if missing:
        raise DataError(
            f"endpoint '{endpoint}' needs the column {' and '.join(map(repr, missing))}",
            where="clinical table",
            fix="ingest again and say where it is, for example --map event=COLUMN --map event_time=COLUMN:days; "
            f"there are: {', '.join(map(str, clinical.columns)) or 'no columns'}",
        )
    strange = clinical.loc[clinical[event].notna() & ~clinical[event].isin(list(codes)), event]
    if len(strange):
        raise DataError(
            f"'{event}' of {strange.index[0]} is {strange.iloc[0]}",
            where="clinical table",
            fix="expected " + ", ".join(f"{code} ({name})" for code, name in codes.items()),
        )
    early = clinical.loc[clinical[time] < 0, time]
    if len(early):
        raise DataError(
            f"'{time}' of {early.index[0]} is {early.iloc[0]}",
            where="clinical table",
            fix="times count from diagnosis and are not negative",
        )
