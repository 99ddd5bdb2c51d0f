"""Endpoints of the clinical table: what happened to each patient, when, and what is not known.

Each endpoint has a time zero: diagnosis, remission, or first relapse. A refractory patient never reached the remission
from which one can relapse: such a patient has an event at time 0 for event-free survival, is not at risk of relapse,
and is what the endpoint ``refractory`` asks about.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from omics.outcome.curves import CENSORED, RELAPSE
from omics.schema import EVENT_CODES, DataError, UsageError

_ALIVE_OR_DEAD: Mapping[int, str] = MappingProxyType({0: "alive", 1: "dead"})
#: Codes of the columns that hold events.
_CODES: Mapping[str, Mapping[int, str]] = MappingProxyType(
    {"event": EVENT_CODES, "second_event": EVENT_CODES, "death": _ALIVE_OR_DEAD}
)


class Endpoint(NamedTuple):
    """What is followed, from when, and what competes with it.

    Attributes
    ----------
    columns : tuple of str
        Columns of the clinical table that it needs.
    meaning : str
        One line for people.
    time_zero : {"diagnosis", "remission", "relapse"}
        When time begins.
    competing : bool
        Whether other events compete with it (code 1 is the event of interest, others but 0 compete): then its curve is
        a cumulative incidence, else a survival.
    derive : callable or None
        Clinical table -> ``time``, ``event``; None for a class without times, as column ``columns[0]`` says it.
    """

    columns: tuple[str, ...]
    meaning: str
    time_zero: str
    competing: bool
    derive: Callable[[pd.DataFrame], pd.DataFrame] | None


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
    _check(clinical, "relapse")
    return _known(clinical["event_time"], clinical["event"], {"refractory": refractory(clinical)})


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
    _check(clinical, "event_free")
    failed = refractory(clinical)
    return _known(clinical["event_time"].mask(failed, 0.0), _any(clinical["event"]).mask(failed, 1.0))


def relapse_free(clinical: pd.DataFrame) -> pd.DataFrame:
    """Time from remission to relapse or death of any cause, for the patients who reached it.

    A second malignancy is no event: such a patient is followed to death or the last follow-up where that is known, else
    to the second malignancy.

    Parameters
    ----------
    clinical : pandas.DataFrame
        As for :func:`first_event`, with ``remission_time`` (years from diagnosis; missing where never reached).

    Returns
    -------
    pandas.DataFrame
        ``time`` (years from remission) and ``event`` (0 or 1). ``attrs`` counts ``no_remission`` and ``unknown``.

    Raises
    ------
    DataError
        As :func:`first_event`, or an event came before the remission.
    """
    _check(clinical, "relapse_free")
    event, time = clinical["event"], clinical["event_time"]
    second = event == 3
    if {"death", "death_time"} <= set(clinical):
        time = time.mask(second, clinical["death_time"])
        event = event.mask(second, clinical["death"])
    happened = event.isin([1, 2]).astype(float).where(event.notna())
    return _since(clinical["remission_time"], "remission_time", time, happened, "no_remission")


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
    _check(clinical, "overall")
    return _known(clinical["death_time"], clinical["death"])


def after_relapse(clinical: pd.DataFrame) -> pd.DataFrame:
    """Time from first relapse to death of any cause, for the patients whose first event was relapse.

    Returns
    -------
    pandas.DataFrame
        ``time`` (years from relapse) and ``event`` (1 if dead). ``attrs`` counts ``no_relapse`` and ``unknown``.

    Raises
    ------
    DataError
        A column is missing, a code is unknown, or death or last follow-up came before the relapse.
    """
    _check(clinical, "after_relapse")
    return _since(relapse_time(clinical), "event_time", clinical["death_time"], clinical["death"], "no_relapse")


def second_remission(clinical: pd.DataFrame) -> pd.DataFrame:
    """Time from first relapse to second remission (code 1), with which death (code 2) competes.

    Returns
    -------
    pandas.DataFrame
        ``time`` (years from relapse) and ``event``. ``attrs`` counts ``no_relapse`` and ``unknown``.

    Raises
    ------
    DataError
        As :func:`after_relapse`.
    """
    _check(clinical, "second_remission")
    reached = clinical["second_remission_time"].notna()
    time = clinical["death_time"].mask(reached, clinical["second_remission_time"])
    event = (2.0 * clinical["death"]).mask(reached, 1.0)
    return _since(relapse_time(clinical), "event_time", time, event, "no_relapse")


def second_event(clinical: pd.DataFrame) -> pd.DataFrame:
    """Time from first relapse to the next event: second relapse, death, second malignancy.

    Returns
    -------
    pandas.DataFrame
        ``time`` (years from relapse) and ``event`` (0 or 1). ``attrs`` counts ``no_relapse`` and ``unknown``.

    Raises
    ------
    DataError
        As :func:`after_relapse`.
    """
    _check(clinical, "second_event")
    event = _any(clinical["second_event"])
    return _since(relapse_time(clinical), "event_time", clinical["second_event_time"], event, "no_relapse")


#: Name -> endpoint.
ENDPOINTS: Mapping[str, Endpoint] = MappingProxyType(
    {
        "relapse": Endpoint(
            ("event", "event_time"), "relapse as first event, in those not refractory", "diagnosis", True, first_event
        ),
        "event_free": Endpoint(
            ("event", "event_time"),
            "induction failure, relapse, death or second malignancy",
            "diagnosis",
            False,
            event_free,
        ),
        "relapse_free": Endpoint(
            ("event", "event_time", "remission_time"), "relapse or death after remission", "remission", False,
            relapse_free,
        ),
        "overall": Endpoint(("death", "death_time"), "death of any cause", "diagnosis", False, overall),
        "after_relapse": Endpoint(
            ("event", "event_time", "death", "death_time"), "death after first relapse", "relapse", False, after_relapse
        ),
        "second_remission": Endpoint(
            ("event", "event_time", "death", "death_time", "second_remission_time"),
            "second remission after first relapse",
            "relapse",
            True,
            second_remission,
        ),
        "second_event": Endpoint(
            ("event", "event_time", "second_event", "second_event_time"),
            "second relapse, death or second malignancy after first relapse",
            "relapse",
            False,
            second_event,
        ),
        "refractory": Endpoint(("refractory",), "failure of induction", "diagnosis", False, None),
    }
)  # fmt: skip


def measured_at_relapse(clinical: pd.DataFrame) -> bool:
    """Whether samples were taken at relapse, so that what happened before cannot be compared by them."""
    return bool(clinical.attrs.get("timepoint") == "relapse")


def supported(clinical: pd.DataFrame) -> list[str]:
    """Endpoints with times for which `clinical` has at least one patient, in the order of :data:`ENDPOINTS`.

    What was measured at relapse (the attribute ``timepoint`` of `clinical`) cannot be compared by what happened before:
    then only endpoints that count from relapse are supported.
    """
    at_relapse = measured_at_relapse(clinical)
    return [
        name
        for name, one in ENDPOINTS.items()
        if one.derive is not None
        and (one.time_zero == "relapse" or not at_relapse)
        and set(one.columns) <= set(clinical.columns)
        and clinical[list(one.columns[:2])].notna().all(axis=1).any()
        and len(one.derive(clinical))
    ]


def endpoint(clinical: pd.DataFrame, name: str, *, landmark: float | None = None) -> pd.DataFrame:
    """Time and event of an endpoint, from its time zero or from a landmark after it.

    Parameters
    ----------
    clinical : pandas.DataFrame
        Clinical table, indexed by sample; with ``entry_time`` (years from diagnosis) where patients came under
        observation later than at diagnosis.
    name : str
        Key of :data:`ENDPOINTS`.
    landmark : float, optional
        Years from time zero; patients with an event up to it, or followed no longer, are left out, and time counts
        from it.

    Returns
    -------
    pandas.DataFrame
        ``time``, ``event`` and ``entry`` (0 for those followed from time zero), indexed by sample. ``attrs`` counts
        who is left out, and why.

    Raises
    ------
    UsageError
        The endpoint is unknown or has no times, or the landmark is negative.
    DataError
        As the endpoint itself, or follow-up ended before it began.

    References
    ----------
    Anderson, Cain, Gelber. J Clin Oncol 1983;1:710-719 (landmarks).
    """
    chosen = endpoint_named(name)
    if chosen.derive is None:
        raise UsageError(f"endpoint '{name}' has no times", fix="it can be predicted, but has no curve and no landmark")
    if landmark is not None and not landmark >= 0:
        raise UsageError(f"the landmark is {landmark}", fix="give years from time zero")
    table = chosen.derive(clinical)
    table = table.assign(entry=_entry(clinical, chosen).reindex(table.index))
    late = table.index[(table["entry"] >= table["time"]) & (table["entry"] > 0)]
    if len(late):
        raise DataError(
            f"follow-up of {late[0]} ends at {table.at[late[0], 'time']:g} years, before it begins",
            where="clinical column 'entry_time'",
            fix="correct the entry, or leave the patient out",
        )
    if landmark is None:
        return table
    reached = table[table["time"] > landmark]
    shifted = reached.assign(time=reached["time"] - landmark, entry=(reached["entry"] - landmark).clip(lower=0.0))
    shifted.attrs = {**table.attrs, "before_landmark": len(table) - len(reached)}
    return shifted


def endpoint_named(name: str) -> Endpoint:
    """The endpoint of that name.

    Raises
    ------
    UsageError
        There is none.
    """
    if name not in ENDPOINTS:
        raise UsageError(f"unknown endpoint '{name}'", fix=f"choose from {', '.join(ENDPOINTS)}")
    return ENDPOINTS[name]


def relapse_time(clinical: pd.DataFrame) -> pd.Series:
    """Years from diagnosis to first relapse, NaN where the first event was not relapse."""
    return clinical["event_time"].where(clinical["event"] == RELAPSE)


def relapse_timing(clinical: pd.DataFrame, *, very_early: float = 1.5, early: float = 3.0) -> pd.Series:
    """Very early, early or late relapse, by time since diagnosis; None where the first event was not relapse.

    Parameters
    ----------
    clinical : pandas.DataFrame
        With ``event`` and ``event_time``.
    very_early, early : float
        Years before which a relapse is very early, and early. By default 18 and 36 months from diagnosis, as the
        Children's Oncology Group reports survival; groups differ (BFM counts from the end of treatment), so set them.

    Raises
    ------
    UsageError
        The limits are not ascending.

    References
    ----------
    Nguyen et al. Leukemia 2008;22:2142-2150 (PMID:18818707).
    """
    if not 0 < very_early < early:
        raise UsageError(f"limits are {very_early} and {early} years", fix="give ascending times")
    time = relapse_time(clinical)
    names = np.select([time < very_early, time < early, time.notna()], ["very early", "early", "late"], default="")
    return pd.Series(names, index=clinical.index, dtype=object).mask(time.isna(), None)


def refractory(clinical: pd.DataFrame) -> pd.Series:
    """Whether induction failed, False where that is not known."""
    if "refractory" not in clinical:
        return pd.Series(False, index=clinical.index)
    return clinical["refractory"] == 1


def _any(event: pd.Series) -> pd.Series:
    return (event != CENSORED).astype(float).where(event.notna())


def _known(time: pd.Series, event: pd.Series, excluded: Mapping[str, pd.Series] | None = None) -> pd.DataFrame:
    """Rows that have both a time and an event, without those `excluded`; counts what is left out."""
    table = pd.DataFrame({"time": time.astype(float), "event": event})
    attrs: dict[Hashable | None, Any] = {}
    for reason, rows in (excluded or {}).items():
        attrs[reason] = int(rows.sum())
        table = table[~rows]
    complete = table.dropna().astype({"event": int})
    complete.attrs = attrs | {"unknown": len(table) - len(complete)}
    return complete


def _since(zero: pd.Series, column: str, time: pd.Series, event: pd.Series, never: str) -> pd.DataFrame:
    """Times from `zero` (of `column`), for the patients who have one."""
    table = _known(time - zero, event, {never: zero.isna()})
    before = table.index[table["time"] < 0]
    if len(before):
        early = -float(table["time"][before[0]])
        raise DataError(
            f"an event or the last follow-up of {before[0]} comes {early:g} years before '{column}'",
            where="clinical table",
            fix="correct the times; all count from diagnosis",
        )
    return table


def _entry(clinical: pd.DataFrame, chosen: Endpoint) -> pd.Series:
    """Years from the endpoint's time zero at which follow-up began, 0 where it began with it."""
    if "entry_time" not in clinical:
        return pd.Series(0.0, index=clinical.index)
    entry = clinical["entry_time"].fillna(0.0)
    if chosen.time_zero == "relapse":
        entry = entry - relapse_time(clinical)
    elif chosen.time_zero == "remission":
        entry = entry - clinical["remission_time"]
    return entry.clip(lower=0.0)


def _check(clinical: pd.DataFrame, name: str) -> None:
    columns = ENDPOINTS[name].columns
    missing = [column for column in columns if column not in clinical]
    if missing:
        raise DataError(
            f"endpoint '{name}' needs the column {' and '.join(map(repr, missing))}",
            where="clinical table",
            fix="ingest again and say where it is, for example --map event=COLUMN --map event_time=COLUMN:days; "
            f"there are: {', '.join(map(str, clinical.columns)) or 'no columns'}",
        )
    for column in columns:
        if column in _CODES:
            _check_codes(clinical[column], _CODES[column])
        else:
            _check_times(clinical[column])


def _check_codes(event: pd.Series, codes: Mapping[int, str]) -> None:
    strange = event[event.notna() & ~event.isin(list(codes))]
    if len(strange):
        raise DataError(
            f"'{event.name}' of {strange.index[0]} is {strange.iloc[0]}",
            where="clinical table",
            fix="expected " + ", ".join(f"{code} ({name})" for code, name in codes.items()),
        )


def _check_times(time: pd.Series) -> None:
    early = time[time < 0]
    if len(early):
        raise DataError(
            f"'{time.name}' of {early.index[0]} is {early.iloc[0]}",
            where="clinical table",
            fix="times count from diagnosis and are not negative",
        )
