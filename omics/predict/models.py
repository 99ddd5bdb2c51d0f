"""Models that learn relapse from a table of patients: a registry, and the encoding that each of them gets."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import RandomForestClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from omics.schema import UsageError

#: The three rows that are always shown beside each other.
FEATURES = ("clinical", "omics", "both")
#: Clinical variables that are used where the cohort has them, all known by the end of induction.
CLINICAL_VARIABLES = ("age", "sex", "wbc", "mrd", "nci_risk")
#: White counts span 0.5-900 x 10^9/L and residual disease six decades: their effect is closer to linear in the
#: logarithm. The floors are the limits of detection.
_LOG_FLOOR: Mapping[str, float] = MappingProxyType({"wbc": 0.1, "mrd": 1e-5})


class Model(NamedTuple):
    """A way to learn relapse.

    Attributes
    ----------
    build : callable
        ``random_state -> estimator`` with ``predict_proba`` and ``fit(X, y, sample_weight)``.
    grid : sequence of mapping
        Settings from which the inner loop chooses.
    """

    build: Callable[[int], BaseEstimator]
    grid: Sequence[Mapping[str, Any]]


def _logistic(random_state: int) -> BaseEstimator:
    return LogisticRegression(solver="saga", l1_ratio=0.5, max_iter=20_000, tol=1e-3, random_state=random_state)


def _forest(random_state: int) -> BaseEstimator:
    # one job: trees summed in a fixed order, and dask already uses the cores
    return RandomForestClassifier(n_estimators=200, random_state=random_state, n_jobs=1)


#: Name -> model. Add an entry to offer another scikit-learn classifier everywhere. No class weights: they would
#: ruin the calibration of the probabilities; a rare class wants another threshold, not another prior.
MODELS: dict[str, Model] = {
    "logistic": Model(_logistic, [{"C": c, "l1_ratio": mix} for c in (0.01, 0.05, 0.25, 1.0) for mix in (0.1, 0.9)]),
    "forest": Model(_forest, [{"min_samples_leaf": leaf} for leaf in (5, 15)]),
}


def model_named(name: str) -> Model:
    """The registered model of that name.

    Raises
    ------
    UsageError
        There is none.
    """
    if name not in MODELS:
        raise UsageError(f"unknown model '{name}'", fix=f"choose from {', '.join(sorted(MODELS))}")
    return MODELS[name]


def clinical_columns(clinical: pd.DataFrame, wanted: Sequence[str] | None) -> list[str]:
    """Names of the clinical predictors: those `wanted`, or the standard ones that the table has.

    Raises
    ------
    UsageError
        A wanted column is not in the table.
    """
    if wanted is None:
        return [name for name in CLINICAL_VARIABLES if name in clinical and clinical[name].notna().any()]
    absent = [name for name in wanted if name not in clinical]
    if absent:
        raise UsageError(
            f"no clinical column {', '.join(absent)}", fix=f"there are {', '.join(map(str, clinical.columns))}"
        )
    return list(wanted)


def design_table(scores: pd.DataFrame | None, clinical: pd.DataFrame, columns: Sequence[str]) -> pd.DataFrame:
    """Predictors of each patient, before anything learns: factor scores beside clinical variables.

    Parameters
    ----------
    scores : DataFrame, shape (sample, factor), or None
        Factor scores; None for clinical predictors alone.
    clinical : DataFrame
        Clinical table with a row for every sample.
    columns : sequence of str
        Clinical predictors; empty for factors alone. White count and residual disease enter as log10.
    """
    parts = [] if scores is None else [scores]
    rows = clinical if scores is None else clinical.loc[scores.index]
    if columns:
        chosen = rows[list(columns)].copy()
        for name, floor in _LOG_FLOOR.items():
            if name in chosen:
                chosen[name] = np.log10(chosen[name].astype(float).clip(lower=floor))
        parts.append(chosen)
    return pd.concat(parts, axis=1)


def build_pipeline(table: pd.DataFrame, model: str, settings: Mapping[str, Any], random_state: int) -> Pipeline:
    """Unfitted pipeline for `table`: impute, scale, one-hot, then the model with `settings`."""
    text = [str(name) for name in table if table[name].dtype.kind in "OTU"]
    numbers = [str(name) for name in table if name not in text]
    encode = ColumnTransformer(
        [
            (
                "numbers",
                Pipeline(
                    [
                        ("impute", SimpleImputer(strategy="median", keep_empty_features=True)),
                        ("scale", StandardScaler()),
                    ]
                ),
                numbers,
            ),
            (
                "text",
                Pipeline(
                    [
                        ("impute", SimpleImputer(strategy="constant", fill_value="missing")),
                        ("indicator", OneHotEncoder(drop="if_binary", handle_unknown="ignore", sparse_output=False)),
                    ]
                ),
                text,
            ),
        ]
    )
    estimator = model_named(model).build(random_state).set_params(**settings)
    return Pipeline([("encode", encode), ("model", estimator)])


def probability(pipeline: Pipeline, table: pd.DataFrame) -> np.ndarray:
    """Probability of relapse of each row, shape (sample,)."""
    return np.asarray(pipeline.predict_proba(table)[:, 1])
