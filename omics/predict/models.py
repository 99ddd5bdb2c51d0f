"""Models that learn what is to be predicted from a table of patients: a registry, and the encoding for all of them."""

from __future__ import annotations

import pkgutil
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, clone
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import GradientBoostingClassifier, RandomForestClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from omics.columns import is_text
from omics.predict.hazards import GRIDS, CauseHazards, SubdistributionHazard
from omics.schema import UsageError

#: The three rows that are always shown beside each other.
FEATURES = ("clinical", "omics", "both")
#: White counts span 0.5-900 x 10^9/L and residual disease six decades: their effect is closer to linear in the
#: logarithm. The floors are the limits of detection.
_LOG_FLOOR: Mapping[str, float] = MappingProxyType({"wbc": 0.1, "mrd": 1e-5})


class Model(NamedTuple):
    """A way to learn what is to be predicted.

    Attributes
    ----------
    build : callable
        ``random_state -> estimator`` with ``predict_proba``.
    grid : sequence of mapping
        Settings from which the inner loop chooses.
    learns : {"class", "time"}
        What it is fitted to: the class at the horizon (0 or 1, with weights for censoring, by ``sample_weight`` where
        the estimator takes it, else by repeating patients), or time and code of the first event, shape (patient, 2).
    """

    build: Callable[[int], BaseEstimator]
    grid: Sequence[Mapping[str, Any]]
    learns: str = "class"


def _logistic(random_state: int) -> BaseEstimator:
    return LogisticRegression(solver="saga", l1_ratio=0.5, max_iter=20_000, tol=1e-3, random_state=random_state)


def _forest(random_state: int) -> BaseEstimator:
    # one job: trees summed in a fixed order, and dask already uses the cores
    return RandomForestClassifier(n_estimators=200, random_state=random_state, n_jobs=1)


def _boosting(random_state: int) -> BaseEstimator:
    return GradientBoostingClassifier(learning_rate=0.05, subsample=0.7, random_state=random_state)


def _hazards(name: str) -> Callable[[int], BaseEstimator]:
    if name == "fine_gray":
        return lambda random_state: SubdistributionHazard()  # nothing in it is random
    return lambda random_state: CauseHazards(base=name, random_state=random_state)


#: Name -> model. Add an entry, or give ``module:name``, to offer another estimator everywhere. No class weights: they
#: would ruin the calibration of the probabilities; a rare class wants another threshold, not another prior.
MODELS: dict[str, Model] = {
    "logistic": Model(_logistic, [{"C": c, "l1_ratio": mix} for c in (0.01, 0.05, 0.25, 1.0) for mix in (0.1, 0.9)]),
    "forest": Model(_forest, [{"min_samples_leaf": leaf} for leaf in (5, 15)]),
    "boosting": Model(_boosting, [{"n_estimators": n, "max_depth": depth} for n in (20, 60) for depth in (1, 3)]),
    **{name: Model(_hazards(name), grid, "time") for name, grid in GRIDS.items()},
}


def model_named(name: str) -> Model:
    """The registered model of that name, or the user's own, ``module:name``: a Model, an estimator, or its class.

    Raises
    ------
    UsageError
        There is none, or it has no ``predict_proba``.
    """
    if name in MODELS:
        return MODELS[name]
    found = imported(name, "model", MODELS)
    if isinstance(found, Model):
        return found
    if not callable(getattr(found, "predict_proba", None)) or not callable(getattr(found, "fit", None)):
        raise UsageError(
            f"model '{name}' is {found!r}", fix="name a Model, or a scikit-learn classifier with predict_proba"
        )
    return Model(partial(_users, found), [{}])


def _users(found: Any, random_state: int) -> BaseEstimator:
    estimator = found() if isinstance(found, type) else clone(found)
    if "random_state" in estimator.get_params():
        estimator.set_params(random_state=random_state)
    return estimator


def imported(name: str, what: str, known: Iterable[str]) -> Any:
    """The object that ``module:name`` names.

    Raises
    ------
    UsageError
        The text has another form, or there is no such object.
    """
    if ":" not in name:
        raise UsageError(
            f"unknown {what} '{name}'", fix=f"choose from {', '.join(sorted(known))}, or give your own as module:name"
        )
    try:
        return pkgutil.resolve_name(name)
    except (ImportError, AttributeError, ValueError) as error:
        raise UsageError(
            f"{what} '{name}' cannot be imported: {error}", fix="put its module on PYTHONPATH, for every worker too"
        ) from error


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


def encoding(table: pd.DataFrame) -> ColumnTransformer:
    """Unfitted encoding of `table`: numbers imputed by their median and standardised, texts as indicators."""
    text = [str(name) for name in table if is_text(table[name])]
    numbers = [str(name) for name in table if name not in text]
    numeric = Pipeline(
        [("impute", SimpleImputer(strategy="median", keep_empty_features=True)), ("scale", StandardScaler())]
    )
    indicator = Pipeline(
        [
            ("impute", SimpleImputer(strategy="constant", fill_value="missing")),
            ("indicator", OneHotEncoder(drop="if_binary", handle_unknown="ignore", sparse_output=False)),
        ]
    )
    return ColumnTransformer([("numbers", numeric, numbers), ("text", indicator, text)])


def probability(pipeline: Pipeline, table: pd.DataFrame) -> np.ndarray:
    """Probability of relapse of each row, shape (sample,)."""
    with unseen_texts():
        return np.asarray(pipeline.predict_proba(table)[:, 1])


@contextmanager
def unseen_texts() -> Iterator[None]:
    """A text that was not seen in training is none of the known ones: encoded as zeros, without a warning each time."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Found unknown categories", UserWarning)
        yield
