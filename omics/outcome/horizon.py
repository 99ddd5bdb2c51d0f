"""An endpoint within a horizon as a class, with weights for those whose outcome censoring hides."""

from __future__ import annotations

import numpy as np
import pandas as pd

from omics.outcome.curves import CENSORED, RELAPSE, risk_table
from omics.outcome.endpoints import endpoint, endpoint_named, refractory, supported
from omics.schema import DataError, UsageError


def within(table: pd.DataFrame, horizon: float, *, cause: int = 1) -> pd.DataFrame:
    """The event of interest by `horizon` as a class; censoring is handled by weights, not by dropping patients.

    The weight of a patient whose outcome is known is ``1 / G(min(T, horizon)-)``, where G is the Kaplan-Meier
    estimate of the censoring distribution in the patients given (at equal times events come before censorings). Then
    the weighted share of events is the Aalen-Johansen cumulative incidence at the horizon. A patient who came under
    observation late is known only because nothing had happened before, so has weight 0.

    Parameters
    ----------
    table : pandas.DataFrame
        ``time``, ``event`` and perhaps ``entry``, as of :func:`endpoint`.
    horizon : float
        Years from time zero.
    cause : int
        Code of the event of interest; others but 0 compete with it.

    Returns
    -------
    pandas.DataFrame
        ``outcome`` (1 if the event came by the horizon, 0 if followed up to it or stopped by a competing event before)
        and ``weight`` (0 where the outcome is not known), in the rows of `table`; ``attrs`` as of `table`, with
        ``late_entry``.

    Raises
    ------
    UsageError
        The horizon is not positive.
    DataError
        Nobody was followed up to the horizon.

    References
    ----------
    Graf, Schmoor, Sauerbrei, Schumacher. Statistics in Medicine 1999;18:2529-2545.
    """
    if not horizon > 0:
        raise UsageError(f"horizon is {horizon}", fix="give a positive number of years")
    early = table["entry"].to_numpy() <= 0 if "entry" in table else np.ones(len(table), dtype=bool)
    time, event = table["time"].to_numpy()[early], table["event"].to_numpy()[early]
    followed = (time >= horizon) | (event != CENSORED)
    if not followed.any() or (time.max() < horizon and (event == CENSORED).any()):
        raise DataError(
            f"nobody was followed up to the horizon of {horizon:g} years; the longest time is {time.max(initial=0):g}",
            where="clinical table, times of the endpoint",
            fix="choose a shorter horizon, or check that the times are in years",
        )
    at = np.minimum(time, horizon)
    index = table.index[early]
    result = pd.DataFrame({"outcome": 0, "weight": 0.0}, index=table.index)
    result.loc[index, "outcome"] = ((event == cause) & (time <= horizon)).astype(int)
    result.loc[index[followed], "weight"] = 1.0 / uncensored_before(at[followed], time, event)
    result.attrs = {**table.attrs, "late_entry": int((~early).sum())}
    return result


def as_class(clinical: pd.DataFrame, name: str, horizon: float, *, landmark: float | None = None) -> pd.DataFrame:
    """An endpoint within a horizon as a class with weights, for every row of the clinical table.

    Parameters
    ----------
    clinical : pandas.DataFrame
        Clinical table, indexed by sample.
    name : str
        Key of :data:`ENDPOINTS`.
    horizon : float
        Years from time zero, or from the landmark; of no meaning for an endpoint without times.
    landmark : float, optional
        As for :func:`endpoint`.

    Returns
    -------
    pandas.DataFrame
        As of :func:`within`, with a row for each row of `clinical`; weight 0 where the outcome is not known and for
        patients who are not at risk. If no patient has an event time, relapse is taken as column ``relapse`` records
        it. ``attrs["definition"]`` says which definition was used.

    Raises
    ------
    UsageError, DataError
        As :func:`endpoint` and :func:`within`.
    """
    chosen = endpoint_named(name)
    if chosen.derive is None or (name == "relapse" and "relapse" in clinical and name not in supported(clinical)):
        if landmark is not None:
            raise UsageError(f"'{name}' has no times here, so no landmark", fix="leave the landmark out")
        return _as_recorded(clinical, name)
    known = within(endpoint(clinical, name, landmark=landmark), horizon)
    table = known.reindex(clinical.index).fillna({"outcome": 0, "weight": 0.0}).astype({"outcome": int})
    since = f"{chosen.time_zero} + {landmark:g} years" if landmark else chosen.time_zero
    table.attrs = {"definition": f"{name.replace('_', ' ')} within {horizon:g} years of {since}", **known.attrs}
    return table


def _as_recorded(clinical: pd.DataFrame, name: str) -> pd.DataFrame:
    if name not in clinical:
        raise DataError(
            f"endpoint '{name}' needs the column '{name}'",
            where="clinical table",
            fix=f"ingest again and say where it is, for example --map {name}=COLUMN",
        )
    failed = refractory(clinical) if name == "relapse" else pd.Series(False, index=clinical.index)
    known = clinical[name].notna() & ~failed
    table = pd.DataFrame({"outcome": (clinical[name] == 1).astype(int).where(known, 0), "weight": known.astype(float)})
    table.attrs = {
        "definition": f"{name} at any time, as recorded: there are no event times",
        "refractory": int(failed.sum()),
        "unknown": int((~known & ~failed).sum()),
    }
    return table


def uncensored_before(at: np.ndarray, time: np.ndarray, event: np.ndarray) -> np.ndarray:
    """G(at-): the chance to be still uncensored just before each time of `at`."""
    table = risk_table(time, event, cause=RELAPSE)
    left = table.at_risk - table.events - table.competing  # at risk of censoring: events come first
    stays = 1.0 - np.divide(table.censored, left, out=np.zeros(len(left)), where=left > 0)
    uncensored = np.concatenate([[1.0], np.cumprod(stays)])
    return uncensored[np.searchsorted(table.time, at, side="left")]
