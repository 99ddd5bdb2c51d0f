"""Models of time to event that predict the chance of a cause within a horizon, where other causes compete.

Each cause has its own hazard; with ``S(t-)`` the chance to be free of all just before t, the chance of the cause of
interest within the horizon is ``F = sum_{t <= horizon} S(t-) dH_1(t)``, ``S(t) = prod_{s <= t} (1 - dH_1 - dH_2)``.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.exceptions import ConvergenceWarning
from sksurv.ensemble import RandomSurvivalForest
from sksurv.linear_model import CoxnetSurvivalAnalysis
from sksurv.util import Surv

from omics.outcome import within
from omics.outcome.curves import CENSORED
from omics.outcome.finegray import fit_fine_gray

#: With fewer events than this, the hazard of the competing causes is taken to be the same for all patients.
COMPETING_AT_LEAST = 10


class CauseHazards(ClassifierMixin, BaseEstimator):
    """Cause-specific hazards of relapse and of what competes with it, combined to a risk within a horizon.

    Parameters
    ----------
    base : {"coxnet", "survival_forest"}
        Cox regression with an elastic net, or a random survival forest, for each cause.
    horizon : float
        Time within which the event is predicted, in the units of the times.
    penalty : float
        Strength of the elastic net (``coxnet``).
    l1_ratio : float
        Share of the L1 penalty (``coxnet``).
    min_samples_leaf : int
        Patients in a leaf at least (``survival_forest``).
    n_estimators : int
        Trees (``survival_forest``).
    random_state : int
        Seed (``survival_forest``).

    Attributes
    ----------
    classes_ : ndarray
        ``[0, 1]``: event of interest within the horizon or not.
    times_ : ndarray
        Distinct event times up to the horizon.
    hazards_ : list
        Fitted estimator of each cause; None where nothing could be learnt and the hazard is the same for all.
    marginal_ : ndarray, shape (2, time)
        Nelson-Aalen increments of each cause over all patients.

    References
    ----------
    Prentice et al. Biometrics 1978;34:541-554.
    """

    def __init__(
        self,
        *,
        base: str = "coxnet",
        horizon: float = 5.0,
        penalty: float = 0.1,
        l1_ratio: float = 0.5,
        min_samples_leaf: int = 15,
        n_estimators: int = 200,
        random_state: int = 0,
    ) -> None:
        self.base = base
        self.horizon = horizon
        self.penalty = penalty
        self.l1_ratio = l1_ratio
        self.min_samples_leaf = min_samples_leaf
        self.n_estimators = n_estimators
        self.random_state = random_state

    def fit(self, X: np.ndarray, y: np.ndarray) -> CauseHazards:
        """Fit on predictors (patient, feature) and ``y`` (patient, 2): time and code of the first event."""
        X = np.asarray(X, dtype=float)
        time, event = np.asarray(y, dtype=float).T
        self.times_ = np.unique(time[(event != CENSORED) & (time <= self.horizon)])
        causes = (event == 1, (event != CENSORED) & (event != 1))
        self.marginal_ = np.stack([_nelson_aalen(time, occurred, self.times_) for occurred in causes])
        fewest = (1, COMPETING_AT_LEAST)
        self.hazards_ = [
            self._hazard(X, time, occurred) if occurred.sum() >= least else None
            for occurred, least in zip(causes, fewest, strict=True)
        ]
        self.classes_ = np.array([0, 1])
        self.n_features_in_ = X.shape[1]
        return self

    def predict_proba(self, X: np.ndarray) -> np.ndarray:
        """Probabilities of no event of interest within the horizon, and of one, shape (patient, 2)."""
        X = np.asarray(X, dtype=float)
        steps = [self._increments(X, cause) for cause in (0, 1)]  # each (patient, time)
        leaves = np.clip(1.0 - steps[0] - steps[1], 0.0, 1.0)
        free_before = np.concatenate([np.ones((len(X), 1)), np.cumprod(leaves, axis=1)[:, :-1]], axis=1)
        risk = np.clip((free_before * steps[0]).sum(axis=1), 0.0, 1.0)
        return np.column_stack([1.0 - risk, risk])

    def predict(self, X: np.ndarray) -> np.ndarray:
        """1 where the event of interest is the likelier outcome."""
        return (self.predict_proba(X)[:, 1] > 0.5).astype(int)

    def _hazard(self, X: np.ndarray, time: np.ndarray, occurred: np.ndarray) -> Any:
        outcome = Surv.from_arrays(occurred, np.maximum(time, np.finfo(float).tiny))
        if self.base == "coxnet":
            # the penalty may well switch every predictor off: then the hazard is the same for all
            if _largest_penalty(X, time, occurred) <= self.penalty * self.l1_ratio:
                return None
            model = CoxnetSurvivalAnalysis(
                alphas=[self.penalty], l1_ratio=self.l1_ratio, fit_baseline_model=True, max_iter=20_000
            )
            with warnings.catch_warnings(), np.errstate(divide="ignore", over="ignore", invalid="ignore"):
                warnings.filterwarnings("ignore", "all coefficients are zero", UserWarning)
                warnings.filterwarnings("error", "Optimization terminated early", ConvergenceWarning)
                try:
                    model.fit(X, outcome)
                except ConvergenceWarning as error:
                    raise ArithmeticError(f"the Cox model does not converge at penalty {self.penalty:g}") from error
                if not np.isfinite(self._functions(model, X[:1])[0].y).all():
                    raise ArithmeticError(f"the Cox model diverges at penalty {self.penalty:g}")
            return model if np.any(model.coef_) else None
        forest = RandomSurvivalForest(
            n_estimators=self.n_estimators,
            min_samples_leaf=self.min_samples_leaf,
            random_state=self.random_state,
            n_jobs=1,  # dask already uses the cores
        )
        return forest.fit(X, outcome)

    def _increments(self, X: np.ndarray, cause: int) -> np.ndarray:
        """Steps of the cumulative hazard at each time, shape (patient, time)."""
        model = self.hazards_[cause]
        if model is None:
            return np.broadcast_to(self.marginal_[cause], (len(X), len(self.times_)))
        if not len(self.times_):
            return np.zeros((len(X), 0))
        if self.base == "coxnet":
            curves = [_at(curve.x, curve.a * curve.y + curve.b, self.times_) for curve in self._functions(model, X)]
            cumulative = np.stack(curves)
        else:
            known = np.asarray(model.unique_times_)
            values = model.predict_cumulative_hazard_function(X, return_array=True)
            cumulative = np.stack([_at(known, value, self.times_) for value in values])
        return np.diff(cumulative, axis=1, prepend=0.0)

    def _functions(self, model: Any, X: np.ndarray) -> Any:
        return model.predict_cumulative_hazard_function(X)


def _at(known: np.ndarray, values: np.ndarray, times: np.ndarray) -> np.ndarray:
    """Step function of `values` at `known` times, read at `times`; 0 before the first."""
    return np.concatenate([[0.0], values])[np.searchsorted(known, times, side="right")]


def _nelson_aalen(time: np.ndarray, occurred: np.ndarray, times: np.ndarray) -> np.ndarray:
    at_risk = (time[:, None] >= times).sum(axis=0)
    return ((time[:, None] == times) & occurred[:, None]).sum(axis=0) / np.maximum(at_risk, 1)


def _largest_penalty(X: np.ndarray, time: np.ndarray, occurred: np.ndarray) -> float:
    """Largest ``|gradient| / n`` of the partial log-likelihood at 0: an L1 penalty above it leaves no predictor."""
    order = np.argsort(-time, kind="stable")
    totals = np.cumsum(X[order], axis=0)
    last = np.searchsorted(-time[order], -time[order], side="right") - 1  # all who are at risk, ties included
    means = totals[last] / (last + 1)[:, None]
    gradient = ((X[order] - means) * occurred[order][:, None]).sum(axis=0)
    return float(np.abs(gradient).max(initial=0.0) / len(time))


class SubdistributionHazard(ClassifierMixin, BaseEstimator):
    """Fine-Gray regression on few predictors: ``F(h | x) = 1 - exp(-L(h) exp(x b))`` for the cause of interest.

    The predictors are those most correlated with the outcome at the horizon among the rows of the fit.

    Parameters
    ----------
    horizon : float
        Time within which the event is predicted, in the units of the times.
    n_predictors : int
        Predictors at most; fewer where there are fewer than five events for each.

    Attributes
    ----------
    chosen_ : ndarray of int
        Columns used.
    coefficient_ : ndarray
        Log subdistribution hazard ratios.
    baseline_ : float
        Cumulative baseline subdistribution hazard at the horizon.

    References
    ----------
    Fine, Gray. JASA 1999;94:496-509.
    """

    def __init__(self, *, horizon: float = 5.0, n_predictors: int = 4) -> None:
        self.horizon = horizon
        self.n_predictors = n_predictors

    def fit(self, X: np.ndarray, y: np.ndarray) -> SubdistributionHazard:
        """Fit on predictors (patient, feature) and ``y`` (patient, 2): time and code of the first event."""
        X = np.asarray(X, dtype=float)
        time, event = np.asarray(y, dtype=float).T
        known = within(pd.DataFrame({"time": time, "event": event.astype(int)}), self.horizon)
        weight = known["weight"].to_numpy()
        outcome = known["outcome"].to_numpy() - np.average(known["outcome"], weights=weight)
        centred = X - np.average(X, axis=0, weights=weight)
        size = np.sqrt((weight[:, None] * centred**2).sum(axis=0))
        strength = np.divide(np.abs((weight * outcome) @ centred), size, out=np.zeros(X.shape[1]), where=size > 1e-12)
        most = min(self.n_predictors, int((event == 1).sum()) // 5, int((size > 1e-12).sum()))
        self.chosen_ = np.sort(np.argsort(-strength, kind="stable")[: max(most, 1)])
        fitted = fit_fine_gray(time, event.astype(int), X[:, self.chosen_], 1)
        before = int(np.searchsorted(fitted.times, self.horizon, side="right"))
        self.coefficient_ = fitted.coefficient
        self.baseline_ = float(fitted.hazard[before - 1]) if before else 0.0
        self.classes_ = np.array([0, 1])
        self.n_features_in_ = X.shape[1]
        return self

    def predict_proba(self, X: np.ndarray) -> np.ndarray:
        """Probabilities of no event of interest within the horizon, and of one, shape (patient, 2)."""
        line = np.asarray(X, dtype=float)[:, self.chosen_] @ self.coefficient_
        risk = -np.expm1(-self.baseline_ * np.exp(np.clip(line, -50.0, 50.0)))
        return np.column_stack([1.0 - risk, risk])

    def predict(self, X: np.ndarray) -> np.ndarray:
        """1 where the event of interest is the likelier outcome."""
        return (self.predict_proba(X)[:, 1] > 0.5).astype(int)


#: Settings from which the inner loop chooses.
GRIDS: Mapping[str, list[dict[str, Any]]] = MappingProxyType(
    {
        "coxnet": [{"penalty": p, "l1_ratio": mix} for p in (0.02, 0.05, 0.1, 0.2, 0.5) for mix in (0.1, 0.9)],
        "survival_forest": [{"min_samples_leaf": leaf} for leaf in (10, 25)],
        "fine_gray": [{"n_predictors": n} for n in (1, 2, 4, 8)],
    }
)
