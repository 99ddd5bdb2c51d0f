"""Curves over time from counts at distinct times: Kaplan-Meier and Aalen-Johansen.

At equal times events come before censorings: a patient censored at t is at risk at t.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from scipy.special import ndtri

from omics.schema import EVENT_CODES, DataError

_CODES = {name: code for code, name in EVENT_CODES.items()}
CENSORED = _CODES["censored"]
RELAPSE = _CODES["relapse"]
#: A share this near to 1 is 1, but for sums in another order; its logarithm would be rounding error only.
_ROUNDING = 1e-12


class RiskTable(NamedTuple):
    """Counts at the distinct times; shape (time,), or (time, group) where groups were given.

    Attributes
    ----------
    time : numpy.ndarray
        Distinct times, ascending, shape (time,).
    at_risk : numpy.ndarray
        Patients at risk just before each time, Y.
    events : numpy.ndarray
        Events of the cause of interest, d.
    competing : numpy.ndarray
        Events of other causes.
    censored : numpy.ndarray
        Censorings.
    """

    time: np.ndarray
    at_risk: np.ndarray
    events: np.ndarray
    competing: np.ndarray
    censored: np.ndarray


def risk_table(
    time: Any,
    event: Any,
    *,
    cause: int,
    group: np.ndarray | None = None,
    entry: Any | None = None,
    groups: int | None = None,
) -> RiskTable:
    """Count events, censorings and patients at risk at each distinct time.

    Parameters
    ----------
    time, event : array-like, shape (patient,)
        Time and code of the event; code 0 is censored.
    cause : int
        Code of the cause of interest.
    group : numpy.ndarray of int, shape (patient,), optional
        Group numbers 0, 1, ...; counts then have a second dimension.
    groups : int, optional
        Number of groups; by default one more than the largest number in `group`.
    entry : array-like, shape (patient,), optional
        Time at which follow-up of each patient began, by default 0 (delayed entry: left truncation); a patient is at
        risk after it.

    Raises
    ------
    DataError
        There are no patients, lengths differ, a time is negative or missing, or not after the entry.
    """
    time, event = np.asarray(time, dtype=float), np.asarray(event)
    if time.ndim != 1 or time.shape != event.shape or not time.size:
        raise DataError(f"time and event have shapes {time.shape} and {event.shape}", fix="one of each a patient")
    if not (time >= 0).all() or not np.isfinite(time).all():
        raise DataError("a time is negative, infinite or missing", fix="leave out patients without a time")
    distinct, row = np.unique(time, return_inverse=True)
    column = np.zeros(len(time), dtype=int) if group is None else group
    kind = np.where(event == cause, 1, np.where(event == CENSORED, 0, 2))
    width = column.max() + 1 if groups is None else groups
    counts = np.zeros((len(distinct), width, 3))  # time, group, kind
    np.add.at(counts, (row, column, kind), 1)
    at_risk = np.cumsum(counts.sum(axis=2)[::-1], axis=0)[::-1]
    if entry is not None:
        at_risk = at_risk - _not_yet(np.asarray(entry, dtype=float), time, column, distinct, width)
    parts = (at_risk, counts[..., 1], counts[..., 2], counts[..., 0])
    return RiskTable(distinct, *(part[:, 0] if group is None else part for part in parts))


def _not_yet(entry: np.ndarray, time: np.ndarray, column: np.ndarray, distinct: np.ndarray, width: int) -> np.ndarray:
    """How many patients enter at each time or after it, shape (time, group)."""
    if entry.shape != time.shape or not ((entry < time) | ((entry == 0) & (time == 0))).all():
        raise DataError("a time is not after the entry", fix="leave out patients whose follow-up ends as it begins")
    late = np.zeros((len(distinct) + 1, width))
    np.add.at(late, (np.searchsorted(distinct, entry, side="right"), column), np.where(entry > 0, 1.0, 0.0))
    return np.cumsum(late[::-1], axis=0)[::-1][1:]


def survival(table: RiskTable) -> tuple[np.ndarray, np.ndarray]:
    """Kaplan-Meier estimate at each time of `table` and its variance.

    ``S(t) = prod_{s <= t} (1 - d/Y)``; Greenwood: ``Var S(t) = S(t)^2 sum_{s <= t} d / (Y (Y - d))``.
    """
    estimate = np.cumprod(1.0 - table.events / table.at_risk)
    left = table.at_risk - table.events
    terms = np.divide(table.events, table.at_risk * left, out=np.zeros(len(left)), where=left > 0)
    return estimate, estimate**2 * np.cumsum(terms)


def incidence(table: RiskTable) -> tuple[np.ndarray, np.ndarray]:
    """Aalen-Johansen cumulative incidence at each time of `table` and its variance.

    With S the Kaplan-Meier estimate of being free of any event, ``F(t) = sum_{s <= t} S(s-) d/Y``. An event at s moves
    F(t) by ``-(F(t) - F(s)) / S(s)``, and by one more if it is of the cause of interest; the variance sums the squares
    of these times ``S(s-)^2 d/Y^2 (Y - d)/(Y - 1)``, for each cause apart (as R's `cmprsk::cuminc` does).

    References
    ----------
    Aalen. Annals of Statistics 1978;6:534-545. Gray. Annals of Statistics 1988;16:1141-1154.
    """
    free = np.cumprod(1.0 - (table.events + table.competing) / table.at_risk)  # S(t)
    free_before = np.concatenate([[1.0], free[:-1]])
    estimate = np.cumsum(free_before * table.events / table.at_risk)
    ends = free <= 0
    inverse = np.divide(1.0, free, out=np.zeros(len(free)), where=~ends)
    # (own + (F(s) - F(t)) / S(s))^2 is a polynomial in F(t), so three running sums give every t at once
    square, mixed, constant = np.zeros((3, len(free)))
    for counts, own in ((table.events, 1.0), (table.competing, 0.0)):
        ties = 1.0 - (counts - 1.0) / np.maximum(table.at_risk - 1.0, 1.0)
        spread = free_before**2 * counts * np.where(counts > 1, ties, 1.0) / table.at_risk**2
        shift = own + estimate * inverse
        square += inverse**2 * spread
        mixed += inverse * shift * spread
        constant += shift**2 * spread
    variance = np.cumsum(constant) - 2.0 * estimate * np.cumsum(mixed) + estimate**2 * np.cumsum(square)
    return estimate, np.maximum(variance, 0.0)


def kaplan_meier(time: Any, event: Any, *, entry: Any | None = None, confidence: float = 0.95) -> pd.DataFrame:
    """Kaplan-Meier survival curve.

    Parameters
    ----------
    time : array-like, shape (patient,)
        Time to the event or to last follow-up.
    event : array-like, shape (patient,)
        0 if censored; every other code is an event.
    entry : array-like, shape (patient,), optional
        As for :func:`risk_table`.
    confidence : float
        Level of the pointwise interval.

    Returns
    -------
    pandas.DataFrame
        ``time, estimate, lower, upper, at_risk, events``: one row for time 0 and each distinct time of event or
        censoring. Greenwood's variance, interval on the log(-log) scale; it is NaN where the estimate is 0 or 1, since
        no variance can be estimated there.

    Raises
    ------
    DataError
        There are no patients, lengths differ, or a time is negative or missing.
    """
    table = risk_table(time, np.asarray(event) != CENSORED, cause=1, entry=entry)
    return _curve(table, *survival(table), start=1.0, confidence=confidence)


def cumulative_incidence(
    time: Any, event: Any, *, cause: int = RELAPSE, entry: Any | None = None, confidence: float = 0.95
) -> pd.DataFrame:
    """Aalen-Johansen cumulative incidence of one cause in the presence of the others.

    Parameters
    ----------
    time : array-like, shape (patient,)
        Time to the first event or to last follow-up.
    event : array-like, shape (patient,)
        Code of the first event; 0 if censored.
    cause : int
        Code of the cause of interest; every other code but 0 competes with it.
    entry : array-like, shape (patient,), optional
        As for :func:`risk_table`.
    confidence : float
        Level of the pointwise interval.

    Returns
    -------
    pandas.DataFrame
        As :func:`kaplan_meier`, with the variance of :func:`incidence`.

    Raises
    ------
    DataError
        As :func:`kaplan_meier`.
    """
    table = risk_table(time, event, cause=cause, entry=entry)
    return _curve(table, *incidence(table), start=0.0, confidence=confidence)


def _curve(
    table: RiskTable, estimate: np.ndarray, variance: np.ndarray, *, start: float, confidence: float
) -> pd.DataFrame:
    lower, upper = _interval(estimate, variance, confidence)
    curve = pd.DataFrame(
        {
            "time": table.time,
            "estimate": estimate,
            "lower": lower,
            "upper": upper,
            "at_risk": table.at_risk.astype(int),
            "events": table.events.astype(int),
        }
    )
    if table.time[0] == 0:
        return curve
    first = int(curve["at_risk"].iloc[0])
    origin = pd.DataFrame({"time": [0.0], "estimate": start, "at_risk": first, "events": 0})
    return pd.concat([origin, curve], ignore_index=True)[list(curve.columns)]


def _interval(estimate: np.ndarray, variance: np.ndarray, confidence: float) -> tuple[np.ndarray, np.ndarray]:
    """Interval on the log(-log p) scale: ``p ** exp(-+ z se / (p log p))``, NaN where p is 0, or 1 but for rounding."""
    inside = (estimate > 0) & (estimate < 1 - _ROUNDING)
    p = np.where(inside, estimate, np.nan)
    half_width = ndtri(0.5 + confidence / 2.0) * np.sqrt(variance) / np.abs(p * np.log(p))
    return p ** np.exp(half_width), p ** np.exp(-half_width)
