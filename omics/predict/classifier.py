"""The whole chain from sample ids to a probability of relapse as one scikit-learn classifier.

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
from omics.predict.integration import Integration, fold_scores, integrate
from omics.predict.learning import FoldScores, Learner, inner_splits, target_of
from omics.predict.models import FEATURES, clinical_columns, design_table, probability
from omics.schema import UsageError


class RelapseClassifier(ClassifierMixin, BaseEstimator):
    """Relapse within a horizon, from sample ids of a prepared store.

    Parameters
    ----------
    store : path
        Prepared cohort.
    features : {"both", "omics", "clinical"}
        Predictors.
    model : str
        Name in :data:`omics.predict.models.MODELS`.
    horizon : float
        Years from diagnosis within which a relapse counts.
    clinical_variables : sequence of str, optional
        Clinical predictors; by default the standard ones that the cohort has.
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
    integration_ : Integration or None
        Fitted recipe and MOFA; None for clinical predictors alone.
    pipeline_ : sklearn.pipeline.Pipeline
        Fitted encoding and model.
    settings_ : dict
        Settings that the inner loop chose.
    """

    def __init__(
        self,
        *,
        store: str | os.PathLike[str],
        features: str = "both",
        model: str = "logistic",
        horizon: float = 5.0,
        clinical_variables: Sequence[str] | None = None,
        mofa: Mapping[str, Any] | None = None,
        n_inner: int = 3,
        random_state: int = 0,
    ) -> None:
        self.store = store
        self.features = features
        self.model = model
        self.horizon = horizon
        self.clinical_variables = clinical_variables
        self.mofa = mofa
        self.n_inner = n_inner
        self.random_state = random_state

    @threadpool_limits.wrap(limits=1)
    def fit(self, X: np.ndarray, y: np.ndarray) -> RelapseClassifier:
        """Fit everything on the samples `X` with labels `y` (0/1).

        Patients whose outcome is unknown at the horizon train the integration but not the classifier, whatever
        their label says; the others count with inverse-probability-of-censoring weights.
        """
        if self.features not in FEATURES:
            raise UsageError(f"unknown features '{self.features}'", fix=f"choose from {', '.join(FEATURES)}")
        samples = np.asarray(X, dtype=object)
        rows = cohort.select(cohort.open(self.store, noun="prepared"), samples)
        clinical = cohort.clinical_table(rows)
        outcome = pd.Series(np.asarray(y, dtype=int), index=samples)
        known = target_of(clinical, samples, self.horizon).weight > 0
        splits = inner_splits(samples, np.where(known, outcome, 2), self.n_inner, self.random_state)
        inner: list[FoldScores | None] = [None] * len(splits)
        self.integration_: Integration | None = None
        if self.features != "clinical":
            inner = list(each(fold_scores, splits, self.store, dict(self.mofa or {})))
            self.integration_ = integrate(rows, self.mofa or {})
        self.columns_ = clinical_columns(clinical, self.clinical_variables) if self.features != "omics" else []
        learner = Learner(self.model, self.horizon, outcome, clinical, self.columns_, self.random_state)
        self.settings_ = learner.choose(splits, inner)
        scores = self.integration_.scores(rows) if self.integration_ else None
        self.pipeline_ = learner.fit(learner.table(scores, samples), self.settings_)
        self.classes_ = np.array([0, 1])
        return self

    def table(self, X: np.ndarray) -> pd.DataFrame:
        """Predictors of the samples `X`, as the model gets them."""
        check_is_fitted(self, "pipeline_")
        samples = np.asarray(X, dtype=object)
        rows = cohort.select(cohort.open(self.store, noun="prepared"), samples)
        clinical = cohort.clinical_table(rows).reindex(samples)
        scores = self.integration_.scores(rows).loc[samples] if self.integration_ else None
        return design_table(scores, clinical, self.columns_)

    def predict_proba(self, X: np.ndarray) -> np.ndarray:
        """Probabilities of no relapse and of relapse, shape (sample, 2)."""
        relapse = probability(self.pipeline_, self.table(X))
        return np.column_stack([1 - relapse, relapse])

    def predict(self, X: np.ndarray) -> np.ndarray:
        """1 where relapse is the likelier outcome."""
        return (self.predict_proba(X)[:, 1] > 0.5).astype(int)
