"""Figures of the predictions of held-out patients: discrimination, calibration, net benefit, and paired differences."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from omics.outcome import (
    Interval,
    auc,
    auc_difference,
    auc_interval,
    brier_interval,
    calibration_table,
    concordance_difference,
    decision_curve,
    performance,
)
from omics.schema import NODES

#: What tells one set of predictions from another.
KEYS = ["features", "representation", "model"]
#: Which rows are compared; the first is what omics adds to what a clinic knows already.
_COMPARISONS = (("both", "clinical"), ("omics", "clinical"), ("both", "omics"))


class Scores(NamedTuple):
    """Predictions of one model on one set of predictors; `probability` and `fold` have shape (repeat, patient)."""

    outcome: np.ndarray
    weight: np.ndarray
    time: np.ndarray
    event: np.ndarray
    probability: np.ndarray
    fold: np.ndarray

    @property
    def timed(self) -> bool:
        """Whether times are known: not so for a class as it was recorded."""
        return bool(np.isfinite(self.time).any())


def scores_of(table: pd.DataFrame) -> Scores:
    """Predictions of one model on one set of predictors, patients in columns."""
    wide = table.pivot(index="repeat", columns="sample", values=["probability", "fold"])
    known = table.drop_duplicates("sample").set_index("sample").loc[wide["probability"].columns]
    return Scores(
        known["outcome"].to_numpy(),
        known["weight"].to_numpy(),
        known["time"].to_numpy(float),
        known["event"].to_numpy(float),
        wide["probability"].to_numpy(float),
        wide["fold"].to_numpy(),
    )


def figures(predictions: pd.DataFrame, horizon: float, n_bootstrap: int, random_state: int) -> dict[str, pd.DataFrame]:
    """All figures of each row, and paired differences; pairs count within a fold and repeat.

    Parameters
    ----------
    predictions : DataFrame
        As of :func:`omics.predict.nested.predictions`.
    horizon : float
        Time within which the event is predicted.
    n_bootstrap : int
        Resamples of patients.
    random_state : int
        Their seed.

    Returns
    -------
    dict
        ``metrics`` and ``differences``, and for endpoints with times ``calibration`` and ``decision``.
    """
    drawn: dict[str, Any] = {"n_bootstrap": n_bootstrap, "random_state": random_state}
    parts: dict[Any, Scores] = {key: scores_of(table) for key, table in predictions.groupby(KEYS, sort=False)}
    metrics, calibration, decision = [], [], []
    for key, part in parts.items():
        row: dict[str, Any] = dict(zip(KEYS, key, strict=True))
        metrics.append(_metrics(part, horizon, drawn).assign(**row))
        if part.timed and np.isfinite(part.probability).any():
            asked = (part.time, part.event, part.probability)
            calibration.append(calibration_table(*asked, horizon=horizon).assign(**row))
            decision.append(decision_curve(*asked, horizon=horizon, random_state=random_state).assign(**row))
    tables = {"metrics": pd.concat(metrics, ignore_index=True), "differences": _differences(parts, horizon, drawn)}
    if calibration:
        tables["calibration"] = pd.concat(calibration, ignore_index=True)
        tables["decision"] = pd.concat(decision, ignore_index=True)
    return {name: _in_order(table, name) for name, table in tables.items()}


def _in_order(table: pd.DataFrame, node: str) -> pd.DataFrame:
    return table[[variable.name for variable in NODES[node]]]


def _metrics(part: Scores, horizon: float, drawn: dict[str, Any]) -> pd.DataFrame:
    """AUC and Brier score, and all others where there are times; NaN where no fold of the model could be fitted."""
    if np.isnan(part.probability).all():
        nothing = Interval(np.nan, np.nan, np.nan, 0, 0)
        return pd.DataFrame([{"metric": name, **nothing._asdict()} for name in ("auc", "brier")])
    asked = (part.outcome, part.probability, part.weight, part.fold)
    area, score = auc_interval(*asked, **drawn), brier_interval(*asked, **drawn)
    rows = [{"metric": "auc", **area._asdict()}, {"metric": "brier", **score._asdict()}]
    if not part.timed:
        return pd.DataFrame(rows)
    more = performance(part.time, part.event, part.probability, horizon=horizon, fold=part.fold, **drawn)
    return pd.concat([pd.DataFrame(rows), more[~more["metric"].isin(["auc", "brier"])]], ignore_index=True)


def _differences(parts: dict[Any, Scores], horizon: float, drawn: dict[str, Any]) -> pd.DataFrame:
    """Paired differences of AUC, and of Uno's concordance where there are times."""
    rows = []
    for features, representation, model in parts:
        for one, other in _COMPARISONS:
            reference = (other, "" if other == "clinical" else representation, model)
            if features == one and reference in parts:
                row = {"comparison": f"{one} - {other}", "representation": representation, "model": model}
                gaps = _gaps(parts[one, representation, model], parts[reference], horizon, drawn)
                rows += [{**row, **gap} for gap in gaps]
    return pd.DataFrame(rows, columns=["comparison", "representation", "model", "metric", "estimate", "lower", "upper"])


def _gaps(part: Scores, other: Scores, horizon: float, drawn: dict[str, Any]) -> list[dict[str, Any]]:
    if any(np.isnan(one.probability).all() for one in (part, other)):
        return [{"metric": "auc", "estimate": np.nan, "lower": np.nan, "upper": np.nan}]
    gap = auc_difference(part.outcome, part.probability, other.probability, part.weight, part.fold, **drawn)
    rows: list[dict[str, Any]] = [{"metric": "auc", "estimate": gap.estimate, "lower": gap.lower, "upper": gap.upper}]
    if part.timed:
        asked = (part.time, part.event, part.probability, other.probability)
        estimate, lower, upper = concordance_difference(*asked, horizon=horizon, fold=part.fold, **drawn)
        rows.append({"metric": "c_uno", "estimate": estimate, "lower": lower, "upper": upper})
    return rows


def areas(predictions: pd.DataFrame) -> pd.Series:
    """AUC of each row, without an interval; NaN where it has none."""
    found = {}
    for key, table in predictions.groupby(KEYS, sort=False):
        part = scores_of(table)
        whole = np.isfinite(part.probability).any() and len(np.unique(part.outcome[part.weight > 0])) == 2
        found[key] = auc(part.outcome, part.probability, part.weight, part.fold) if whole else np.nan
    index = pd.MultiIndex.from_tuples(list(found), names=KEYS)
    return pd.Series(list(found.values()), index=index)
