"""Figures of the predictions of held-out patients: discrimination, calibration, net benefit, and paired differences."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from omics.outcome import Interval, auc, auc_difference, auc_interval, brier_interval

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


def figures(predictions: pd.DataFrame, n_bootstrap: int, random_state: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """AUC and Brier score of each row, and paired differences of AUC; pairs count within a fold and repeat."""
    drawn: dict[str, Any] = {"n_bootstrap": n_bootstrap, "random_state": random_state}
    parts = {key: scores_of(table) for key, table in predictions.groupby(KEYS, sort=False)}
    metrics, differences = [], []
    for key, part in parts.items():
        row = dict(zip(KEYS, key, strict=True))
        area = _or_nothing(auc_interval, part, **drawn)
        score = _or_nothing(brier_interval, part, **drawn)
        metrics += [{**row, "metric": "auc", **area._asdict()}, {**row, "metric": "brier", **score._asdict()}]
    for features, representation, model in parts:
        for one, other in _COMPARISONS:
            reference = (other, "" if other == "clinical" else representation, model)
            if features == one and reference in parts:
                gap = _or_nothing(auc_difference, parts[one, representation, model], parts[reference], **drawn)
                row = {"comparison": f"{one} - {other}", "representation": representation, "model": model}
                differences.append({**row, "metric": "auc", **gap._asdict()})
    columns = ["comparison", "representation", "model", "metric", "estimate", "lower", "upper"]
    return pd.DataFrame(metrics), pd.DataFrame(differences, columns=columns)


def areas(predictions: pd.DataFrame) -> pd.Series:
    """AUC of each row, without an interval; NaN where it has none."""
    found = {}
    for key, table in predictions.groupby(KEYS, sort=False):
        part = scores_of(table)
        whole = np.isfinite(part.probability).any() and len(np.unique(part.outcome[part.weight > 0])) == 2
        found[key] = auc(part.outcome, part.probability, part.weight, part.fold) if whole else np.nan
    index = pd.MultiIndex.from_tuples(list(found), names=KEYS)
    return pd.Series(list(found.values()), index=index)


def _or_nothing(figure: Callable[..., Interval], part: Scores, other: Scores | None = None, **drawn: Any) -> Interval:
    """The figure, or NaN where no fold of the model could be fitted."""
    compared = [one.probability for one in (part, other) if one is not None]
    if any(np.isnan(scores).all() for scores in compared):
        return Interval(np.nan, np.nan, np.nan, 0, 0)
    return figure(part.outcome, *compared, part.weight, part.fold, **drawn)
