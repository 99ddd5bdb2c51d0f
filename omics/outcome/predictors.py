"""Which clinical columns may predict an endpoint: none that is the outcome, copies it, or was known only after it.

A predictor must be known when the prediction is made: at the endpoint's time zero, or at the landmark.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
import pandas as pd

from omics.columns import is_numeric
from omics.outcome.endpoints import endpoint_named, relapse_timing
from omics.schema import DataError, UsageError

#: Predictors that are used where the cohort has them.
STANDARD = ("age", "sex", "wbc", "mrd", "nci_risk")
#: What a patient's time to relapse says, once it has happened: very early, early or late.
TIMING = "relapse_timing"
#: Years from diagnosis at which a variable is known; residual disease is measured at the end of induction (day 33).
KNOWN_AT: Mapping[str, float] = MappingProxyType({"mrd": 33 / 365.25, "refractory": 33 / 365.25})
#: Columns that hold the course of the disease: never predictors from diagnosis on.
OUTCOME_COLUMNS = (
    "event",
    "event_time",
    "death",
    "death_time",
    "relapse",
    "remission_time",
    "second_remission_time",
    "second_event",
    "second_event_time",
    "transplant_time",
    "entry_time",
)
#: Fewer patients than this with a value cannot show that a column copies the outcome.
_ENOUGH = 20
#: A column that follows the outcome this closely is a copy of it.
_COPY = 0.999


class Chosen(NamedTuple):
    """Predictors, and those left out with the reason.

    Attributes
    ----------
    columns : list of str
        Predictors to use.
    left_out : mapping
        Standard predictor that the cohort has -> why it is not used.
    """

    columns: list[str]
    left_out: Mapping[str, str]


def predictors(
    clinical: pd.DataFrame,
    wanted: Sequence[str] | None,
    *,
    endpoint: str,
    landmark: float | None = None,
    known_at: Mapping[str, float] | None = None,
) -> Chosen:
    """The clinical predictors of an endpoint: those `wanted`, each checked, or the standard ones that may be used.

    Parameters
    ----------
    clinical : pandas.DataFrame
        Clinical table (:func:`with_timing` adds what may be used after relapse).
    wanted : sequence of str, optional
        Names of columns.
    endpoint : str
        Key of :data:`omics.outcome.ENDPOINTS`.
    landmark : float, optional
        Years from the endpoint's time zero at which the prediction is made.
    known_at : mapping, optional
        Column -> years from diagnosis at which it is known; beside :data:`KNOWN_AT`, and a column ``X_time`` beside
        ``X``, in years.

    Raises
    ------
    UsageError
        A wanted column is not there, is part of the outcome, copies it, or is known only later; all are named.
    """
    if wanted is None:
        present = [name for name in (*STANDARD, TIMING) if name in clinical and clinical[name].notna().any()]
        reasons = {name: unusable(clinical, name, endpoint, landmark, known_at) for name in present}
        return Chosen([name for name in present if not reasons[name]], {n: why for n, why in reasons.items() if why})
    absent = [name for name in wanted if name not in clinical]
    if absent:
        raise UsageError(
            f"no clinical column {', '.join(absent)}", fix=f"there are {', '.join(map(str, clinical.columns))}"
        )
    refused = {name: unusable(clinical, name, endpoint, landmark, known_at) for name in wanted}
    said = [f"'{name}' {why}" for name, why in refused.items() if why]
    if said:
        raise UsageError(
            f"{len(said)} predictors cannot be used: " + "; ".join(said),
            where="clinical predictors",
            fix="leave them out, or predict from a landmark after they are known",
        )
    return Chosen(list(wanted), {})


def unusable(
    clinical: pd.DataFrame,
    name: str,
    endpoint: str,
    landmark: float | None = None,
    known_at: Mapping[str, float] | None = None,
) -> str:
    """Why column `name` may not predict the endpoint, in words that follow its name; empty if it may."""
    after_relapse = endpoint_named(endpoint).time_zero == "relapse"
    if name in OUTCOME_COLUMNS or name in endpoint_named(endpoint).columns:
        return "is part of the outcome"
    if name == TIMING:
        return "" if after_relapse else "is known only at relapse"
    if after_relapse:  # what is known at diagnosis or in first remission is known then
        return ""
    late = _known_late(clinical, name, landmark or 0.0, known_at or {})
    return late or _copies(clinical, name)


def with_timing(clinical: pd.DataFrame) -> pd.DataFrame:
    """The clinical table with the timing of relapse as a column, where events are known."""
    if not {"event", "event_time"} <= set(clinical):
        return clinical
    return clinical.assign(**{TIMING: relapse_timing(clinical)})


def refuse_relapse_samples(timepoint: str, endpoint: str) -> None:
    """Refuse samples taken at relapse where prediction begins before it.

    Raises
    ------
    DataError
        The layers are of relapse samples, and the endpoint counts from diagnosis or remission.
    """
    zero = endpoint_named(endpoint).time_zero
    if timepoint == "relapse" and zero != "relapse":
        raise DataError(
            f"the layers are of samples taken at relapse, and '{endpoint}' is predicted from {zero} on",
            where="the cohort (ingested with timepoint 'relapse')",
            fix="ingest diagnosis samples, or predict after_relapse, second_remission or second_event",
        )


def _known_late(clinical: pd.DataFrame, name: str, moment: float, known_at: Mapping[str, float]) -> str:
    dated = f"{name}_time"
    if dated in clinical and clinical[dated].dtype.kind in "fiu":
        times = clinical[dated].where(clinical[name].notna())
        if (times > moment).any():
            return f"is dated after the prediction is made: {times.idxmax()} has {times.max():g} years in '{dated}'"
        return ""
    known = known_at.get(name, KNOWN_AT.get(name, 0.0))
    if known > moment:
        return f"is known {known:.2g} years after diagnosis: set the landmark to that or later"
    return ""


def _copies(clinical: pd.DataFrame, name: str) -> str:
    """Whether the values of a column, or where it has any, follow the outcome."""
    column = clinical[name]
    numeric = is_numeric(column)
    codes = column if numeric else pd.Series(pd.factorize(column)[0], column.index).replace(-1, np.nan)
    for flag in ("event", "death", "relapse"):
        if flag not in clinical or clinical[flag].nunique() < 2:
            continue
        happened = (clinical[flag] == (1 if flag == "event" else clinical[flag].max())).where(clinical[flag].notna())
        if _alike(column.notna().astype(float), happened) and column.isna().any():
            return f"is there only for patients with '{flag}'"
        if codes.nunique() == 2 and _alike(codes.astype(float), happened):
            return f"copies '{flag}'"
    for time in ("event_time", "death_time"):
        if time in clinical and numeric and _alike(column.rank(), clinical[time].rank()):
            return f"copies '{time}'"
    return ""


def _alike(one: pd.Series, other: pd.Series) -> bool:
    both = pd.concat([one.astype(float), other.astype(float)], axis=1).dropna()
    if len(both) < _ENOUGH or (both.nunique() < 2).any():
        return False
    return bool(np.abs(np.corrcoef(both.to_numpy().T)[0, 1]) >= _COPY)
