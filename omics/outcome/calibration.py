"""Predicted risks beside what happened, and beside what one would do: calibration by groups and decision curve."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from omics.outcome.curves import incidence, risk_table
from omics.outcome.metrics import quantile_of
from omics.outcome.performance import Known, interval_ends, known_of
from omics.schema import DataError

#: Risks from which one might treat.
THRESHOLDS = (0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5)


def calibration_table(
    time: Any, event: Any, risk: Any, *, horizon: float, n_groups: int = 5, least_events: int = 3
) -> pd.DataFrame:
    """Observed incidence against predicted risk, by groups of risk.

    Parameters
    ----------
    time, event, risk, horizon
        As for :func:`known_of`; repeated risks of a patient are averaged.
    n_groups : int
        Groups of equal size; fewer where a group would have too few events.
    least_events : int
        Events of interest that a group needs.

    Returns
    -------
    DataFrame
        ``group, n, events, predicted`` (mean risk), ``observed, lower, upper`` (Aalen-Johansen at the horizon).
    """
    known = known_of(time, event, risk, horizon=horizon)
    mean = np.nanmean(known.risk, axis=0)
    happened = (known.event == 1) & (known.time <= horizon)
    for groups in range(n_groups, 0, -1):
        edges = np.unique(np.quantile(mean, np.linspace(0, 1, groups + 1)[1:-1]))
        group = np.searchsorted(edges, mean, side="right")
        if min(int(happened[group == g].sum()) for g in np.unique(group)) >= least_events:
            break
    rows = []
    for number, g in enumerate(np.unique(group)):
        rows.append({"group": number, **_observed(known, group == g), "predicted": float(mean[group == g].mean())})
    columns = ["group", "n", "events", "predicted", "observed", "lower", "upper"]
    return pd.DataFrame(rows)[columns]


def _observed(known: Known, rows: np.ndarray) -> dict[str, Any]:
    estimate, variance = _incidence_at(known, rows)
    lower, upper = interval_ends(estimate, variance, "logit", 0.95)
    happened = (known.event == 1) & (known.time <= known.horizon)
    return {
        "n": int(rows.sum()),
        "events": int(happened[rows].sum()),
        "observed": estimate,
        "lower": lower,
        "upper": upper,
    }


def _incidence_at(known: Known, rows: np.ndarray) -> tuple[float, float]:
    """Aalen-Johansen incidence at the horizon of some patients, and its variance."""
    table = risk_table(known.time[rows], known.event[rows], cause=1)
    before = int(np.searchsorted(table.time, known.horizon, side="right"))
    if not before:
        return 0.0, 0.0
    estimate, variance = incidence(table)
    return float(estimate[before - 1]), float(variance[before - 1])


def decision_curve(
    time: Any,
    event: Any,
    risk: Any,
    *,
    horizon: float,
    thresholds: Any = THRESHOLDS,
    n_bootstrap: int = 200,
    random_state: int = 0,
) -> pd.DataFrame:
    """Net benefit of treating those whose risk reaches a threshold, of treating all, and of treating none.

    ``F_flagged P(flagged) - (1 - F_flagged) P(flagged) t / (1 - t)`` with F the Aalen-Johansen incidence at the
    horizon.

    Parameters
    ----------
    time, event, risk, horizon
        As for :func:`known_of`; repeated risks of a patient are averaged.
    thresholds : array-like
        Risks t between 0 and 1 from which one would treat.
    n_bootstrap : int
        Resamples of patients for the intervals.
    random_state : int
        Seed.

    Returns
    -------
    DataFrame
        ``threshold, net_benefit, lower, upper, all, flagged``: net benefit of the model with its interval, of treating
        all, and the share that is flagged; treating none has 0.

    Raises
    ------
    DataError
        As :func:`known_of`, or a threshold is not between 0 and 1.

    References
    ----------
    Vickers, Cronin, Elkin, Gonen. BMC Med Inform Decis Mak 2008;8:53.
    """
    thresholds = np.asarray(thresholds, dtype=float)
    if ((thresholds <= 0) | (thresholds >= 1)).any():
        raise DataError(f"thresholds are {thresholds}", fix="give risks between 0 and 1")
    known = known_of(time, event, risk, horizon=horizon)
    mean = np.nanmean(known.risk, axis=0)
    n = len(mean)
    drawn = np.random.default_rng(random_state).integers(0, n, size=(n_bootstrap, n))
    times_drawn = np.array([np.bincount(rows, minlength=n) for rows in drawn])
    once = np.ones((1, n))
    rows = []
    for threshold in thresholds:
        flagged = mean >= threshold
        spread = quantile_of(0.95) * np.std(_net_benefit(known, times_drawn * flagged, threshold), ddof=1)
        benefit = float(_net_benefit(known, once * flagged, threshold)[0])
        rows.append(
            {
                "threshold": threshold,
                "net_benefit": benefit,
                "lower": benefit - spread,
                "upper": benefit + spread,
                "all": float(_net_benefit(known, once, threshold)[0]),
                "flagged": float(flagged.mean()),
            }
        )
    return pd.DataFrame(rows)


def _net_benefit(known: Known, weight: np.ndarray, threshold: float) -> np.ndarray:
    """Net benefit in each draw, where each flagged patient counts `weight` times, (draw, patient)."""
    happens = _incidence_of_draws(known, weight)
    odds = threshold / (1.0 - threshold)
    share = weight.sum(axis=1) / weight.shape[1]
    return np.asarray(share * (happens - (1.0 - happens) * odds) + 0.0)  # of nobody 0, and not -0


def _incidence_of_draws(known: Known, weight: np.ndarray) -> np.ndarray:
    """Aalen-Johansen incidence at the horizon in each draw, as of patients who stand there `weight` times."""
    order = np.argsort(known.time, kind="stable")
    time, event = known.time[order], known.event[order]
    starts = np.flatnonzero(np.diff(time, prepend=-np.inf) > 0)
    counts = (weight[:, order] * of for of in (1.0, event == 1, event > 1))
    everybody, own, competing = (np.add.reduceat(of, starts, axis=1) for of in counts)
    at_risk = np.maximum(np.cumsum(everybody[:, ::-1], axis=1)[:, ::-1], 1.0)  # where nobody is, nothing happens
    free = np.cumprod(1.0 - (own + competing) / at_risk, axis=1)
    free_before = np.concatenate([np.ones((len(free), 1)), free[:, :-1]], axis=1)
    steps = (free_before * own / at_risk)[:, time[starts] <= known.horizon]
    return np.asarray(np.cumsum(steps, axis=1)[:, -1:].sum(axis=1))  # the last, or 0 where no time is within
