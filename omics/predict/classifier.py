"""The whole chain from sample ids to the probability of an outcome as one scikit-learn classifier.

``X`` is the array of sample ids: the classifier opens the prepared store and takes those rows. So scikit-learn's
own ``cross_validate`` drives it, a few ids travel instead of matrices, and everything that learns (filters,
scaling, MOFA, imputation, penalty, model) is fitted on the training rows alone.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.validation import check_is_fitted
from threadpoolctl import threadpool_limits

from omics import cohort
from omics.blocks import each
from omics.outcome import predictors, with_timing
from omics.predict.learning import FoldScores, Learner, Question, target_of
from omics.predict.models import FEATURES, design_table, probability
from omics.predict.representations import Fitted, fold_tables, representation_named, training_of
from omics.predict.splits import UNKNOWN, group_of, inner_splits
from omics.schema import DataError, UsageError


class OutcomeClassifier(ClassifierMixin, BaseEstimator):
    """An endpoint within a horizon, from sample ids of a prepared store.

    Parameters
    ----------
    store : path
        Prepared cohort.
    features : {"both", "omics", "clinical"}
        Predictors.
    model : str
        Name in :data:`omics.predict.MODELS`, or ``module:name``.
    representation : str
        Name in :data:`omics.predict.REPRESENTATIONS`, or ``module:name``.
    endpoint : str
        Name in :data:`omics.outcome.ENDPOINTS`.
    horizon : float
        Years from time zero, or from the landmark, within which an event counts.
    landmark : float, optional
        Years from time zero at which the prediction is made.
    clinical_variables : sequence of str, optional
        Clinical predictors; by default the standard ones that the cohort has.
    known_at : mapping, optional
        Clinical column -> years from diagnosis at which it is known.
    mofa : mapping, optional
        Parameters of :class:`omics.factors.MOFA`.
    n_inner : int
        Inner folds on which settings are chosen; MOFA is refitted inside each.
    random_state : int
        Seed of the inner folds and the model.

    Attributes
    ----------
    classes_ : ndarray
        ``[0, 1]``.
    representation_ : Fitted or None
        What was learnt from the layers; None for clinical predictors alone.
    pipeline_ : sklearn.pipeline.Pipeline
        Fitted encoding and model.
    settings_ : dict
        Settings that the inner loop chose.
    columns_ : list of str
        Clinical predictors.
    table_ : DataFrame
        Predictors of the training patients.
    """

    def __init__(
        self,
        *,
        store: str | os.PathLike[str],
        features: str = "both",
        model: str = "logistic",
        representation: str = "factors",
        endpoint: str = "relapse",
        horizon: float = 5.0,
        landmark: float | None = None,
        clinical_variables: Sequence[str] | None = None,
        known_at: Mapping[str, float] | None = None,
        mofa: Mapping[str, Any] | None = None,
        n_inner: int = 3,
        random_state: int = 0,
    ) -> None:
        self.store = store
        self.features = features
        self.model = model
        self.representation = representation
        self.endpoint = endpoint
        self.horizon = horizon
        self.landmark = landmark
        self.clinical_variables = clinical_variables
        self.known_at = known_at
        self.mofa = mofa
        self.n_inner = n_inner
        self.random_state = random_state

    @threadpool_limits.wrap(limits=1)
    def fit(self, X: np.ndarray, y: np.ndarray) -> OutcomeClassifier:
        """Fit everything on the samples `X` with labels `y` (0/1).

        Patients whose outcome is unknown at the horizon train the integration but not the classifier, whatever
        their label says; the others count with inverse-probability-of-censoring weights.
        """
        if self.features not in FEATURES:
            raise UsageError(f"unknown features '{self.features}'", fix=f"choose from {', '.join(FEATURES)}")
        question = Question(self.endpoint, self.horizon, self.landmark)
        samples = np.asarray(X, dtype=object)
        rows, clinical = self._rows(samples)
        self.columns_ = self._columns(clinical, question)
        outcome = pd.Series(np.asarray(y, dtype=int), index=samples)
        known = target_of(clinical, samples, question).weight > 0
        stratum = pd.Series(np.where(known, outcome, UNKNOWN), index=samples)
        splits = inner_splits(stratum, self.n_inner, self.random_state, group_of(clinical, samples, None))
        learner = Learner(self.model, question, outcome, clinical, self.columns_, self.random_state)
        self.settings_, _ = learner.choose(splits, self._inner(splits, clinical, question))
        self.representation_: Fitted | None = None
        scores = None
        if self.features != "clinical":
            training = training_of(rows, samples, self.store, self.mofa or {}, clinical, question)
            self.representation_ = representation_named(self.representation).fit(training)
            scores = self.representation_.scores(rows)
        self.table_ = learner.table(scores, samples)
        self.pipeline_ = learner.fit(self.table_, self.settings_)
        self.classes_ = np.array([0, 1])
        return self

    def table(self, X: np.ndarray) -> pd.DataFrame:
        """Predictors of the samples `X`, as the model gets them."""
        check_is_fitted(self, "pipeline_")
        samples = np.asarray(X, dtype=object)
        rows, clinical = self._rows(samples)
        scores = self.representation_.scores(rows).loc[samples] if self.representation_ else None
        return design_table(scores, clinical.reindex(samples), self.columns_)

    def predict_proba(self, X: np.ndarray) -> np.ndarray:
        """Probabilities of no event and of the event of interest, shape (sample, 2)."""
        chance = probability(self.pipeline_, self.table(X))
        return np.column_stack([1 - chance, chance])

    def predict(self, X: np.ndarray) -> np.ndarray:
        """1 where the event is the likelier outcome."""
        return (self.predict_proba(X)[:, 1] > 0.5).astype(int)

    def _rows(self, samples: np.ndarray) -> tuple[Any, pd.DataFrame]:
        rows = cohort.select(cohort.open(self.store, noun="prepared"), samples)
        return rows, with_timing(cohort.clinical_table(rows))

    def _columns(self, clinical: pd.DataFrame, question: Question) -> list[str]:
        if self.features == "omics":
            return []
        chosen = predictors(
            clinical,
            self.clinical_variables,
            endpoint=question.endpoint,
            landmark=question.landmark,
            known_at=self.known_at,
        )
        return chosen.columns

    def _inner(self, splits: Any, clinical: pd.DataFrame, question: Question) -> list[FoldScores | None]:
        if self.features == "clinical":
            return [None] * len(splits)
        names = [self.representation]
        fitted = each(fold_tables, splits, self.store, dict(self.mofa or {}), names, clinical, question)
        for one in fitted:
            if one.errors:
                raise DataError(f"an inner fold cannot be fitted: {one.errors[self.representation]}", fix="see there")
        return [one.tables[self.representation] for one in fitted]
