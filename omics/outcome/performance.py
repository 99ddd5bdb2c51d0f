"""How good is a predicted risk within a horizon, where other events compete: concordance, accuracy, calibration.

The risk is that of the cause of interest (code 1) within the horizon. A patient stopped by a competing event never has
the event of interest: such a patient is compared with every patient who has it, and counts as 0 for the Brier score.
Censoring is handled by inverse-probability weights with the marginal Kaplan-Meier estimate G of being uncensored.
Predictions may be repeated, and come in folds, as in :mod:`omics.outcome.metrics`, whose intervals are used here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from scipy.special import expit, logit

from omics.outcome.curves import CENSORED
from omics.outcome.horizon import uncensored_before, within
from omics.outcome.metrics import auc_interval, brier, brier_interval, multiplicities, quantile_of, ratio, variance_of
from omics.schema import DataError, UsageError

#: Risks are kept this far from 0 and 1 where their logit is taken.
_CLIP = 1e-6
_NEWTON_STEPS = 25
_CONVERGED = 1e-10


class Known(NamedTuple):
    """Patients with a time, and their predictions: `risk` and `fold` have shape (repeat, patient).

    Attributes
    ----------
    time, event : ndarray, shape (patient,)
        Time and code of the event.
    risk : ndarray
        Predicted risk, NaN where there is none.
    fold : ndarray
        Fold of each prediction: risks of different models are not compared with each other.
    outcome, weight : ndarray, shape (patient,)
        Class at the horizon and its weight, as of :func:`omics.outcome.within`.
    horizon : float
        Time within which the event is predicted.
    """

    time: np.ndarray
    event: np.ndarray
    risk: np.ndarray
    fold: np.ndarray
    outcome: np.ndarray
    weight: np.ndarray
    horizon: float


def known_of(time: Any, event: Any, risk: Any, *, horizon: float, fold: Any = None) -> Known:
    """Check times, events and risks, and keep the patients of known time.

    Parameters
    ----------
    time, event : array-like, shape (patient,)
        Time and code of the event (0 censored, 1 of interest, others compete); NaN where unknown.
    risk : array-like, shape (patient,) or (repeat, patient)
        Predicted probability of the event of interest within the horizon.
    horizon : float
        In the units of `time`.
    fold : array-like, shape of `risk`, optional
        Fold in which the prediction was made.

    Raises
    ------
    UsageError
        The horizon is not positive.
    DataError
        Shapes differ, a risk is not between 0 and 1, or nobody was followed up to the horizon.
    """
    time, event = np.asarray(time, dtype=float), np.asarray(event, dtype=float)
    risk = np.atleast_2d(np.asarray(risk, dtype=float))
    if time.shape != event.shape or risk.shape[1:] != time.shape:
        raise DataError(
            f"times have shape {time.shape}, events {event.shape}, risks {risk.shape}", fix="one of each a patient"
        )
    if ((risk < 0) | (risk > 1)).any():
        raise DataError("a risk is not between 0 and 1", fix="give probabilities")
    folds = np.broadcast_to(np.zeros(1) if fold is None else np.asarray(fold), risk.shape)
    has = np.isfinite(time) & np.isfinite(event) & np.isfinite(risk).any(axis=0)
    table = within(pd.DataFrame({"time": time[has], "event": event[has].astype(int)}), horizon)
    outcome, weight = table["outcome"].to_numpy(), table["weight"].to_numpy()
    return Known(time[has], event[has].astype(int), risk[:, has], folds[:, has], outcome, weight, horizon)


# --- concordance ------------------------------------------------------------------------------------------------------


def concordance(time: Any, event: Any, risk: Any, *, horizon: float, weighting: str = "uno", fold: Any = None) -> float:
    """Chance that, of two patients, the one with the earlier event of interest had the higher risk.

    ``sum w_ij ([r_i > r_j] + [r_i = r_j] / 2) / sum w_ij`` over pairs in which i has the event of interest at
    ``T_i <= horizon`` and j is followed longer, or was stopped by a competing event. Harrell: ``w_ij = 1``; Uno:
    ``w_ij = 1 / G(T_i-)^2``, and ``1 / (G(T_i-) G(T_j-))`` where j was stopped before.

    Parameters
    ----------
    time, event, risk, horizon, fold
        As for :func:`known_of`; only pairs within a fold count.
    weighting : {"uno", "harrell"}
        How pairs are weighted.

    Raises
    ------
    UsageError
        The weighting is unknown.
    DataError
        As :func:`known_of`, or no two patients can be compared.

    References
    ----------
    Uno et al. Stat Med 2011;30:1105-1117. Wolbers et al. Biostatistics 2014;15:526-539.
    """
    known = known_of(time, event, risk, horizon=horizon, fold=fold)
    concordant, total = (sum(one.sum() for one in part) for part in zip(*_pairs(known, weighting), strict=True))
    if not total > 0:
        raise DataError("no two patients can be compared", fix="predict an event that occurs within the horizon")
    return float(concordant / total)


def _pairs(known: Known, weighting: str) -> list[tuple[np.ndarray, np.ndarray]]:
    """Concordant and total weight of each pair (event, patient), for each repeat."""
    if weighting not in ("uno", "harrell"):
        raise UsageError(f"unknown weighting '{weighting}'", fix="choose uno or harrell")
    cases = np.flatnonzero((known.event == 1) & (known.time <= known.horizon))
    later = known.time > known.time[cases, None]
    censored_then = (known.time == known.time[cases, None]) & (known.event == CENSORED)
    stopped = (known.event > 1) & (known.time <= known.time[cases, None])
    weight = (later | censored_then | stopped).astype(float)
    if weighting == "uno":
        free = np.maximum(uncensored_before(known.time, known.time, known.event), 1e-12)
        own = free[cases, None]
        weight /= np.where(stopped, own * free, own**2)
    pairs = []
    for risk, fold in zip(known.risk, known.fold, strict=True):
        both = np.isfinite(risk[cases])[:, None] & np.isfinite(risk) & (fold[cases, None] == fold)
        total = np.where(both, weight, 0.0)
        higher = 0.5 * (risk[cases, None] > risk) + 0.5 * (risk[cases, None] >= risk)
        pairs.append((total * higher, total))
    return pairs


# --- accuracy ---------------------------------------------------------------------------------------------------------


def integrated_brier(time: Any, event: Any, risk: Any, times: Any) -> float:
    """Brier score integrated over time: trapezoids between `times`, divided by their span.

    Parameters
    ----------
    time, event : array-like, shape (patient,)
        As for :func:`known_of`.
    risk : array-like, shape (patient, time)
        Predicted risk within each of `times`.
    times : array-like, shape (time,)
        Ascending horizons, two at least.

    Raises
    ------
    DataError
        As :func:`known_of`, or `times` are not ascending.

    References
    ----------
    Graf, Schmoor, Sauerbrei, Schumacher. Stat Med 1999;18:2529-2545.
    """
    times, risk = np.asarray(times, dtype=float), np.asarray(risk, dtype=float)
    if times.size < 2 or (np.diff(times) <= 0).any() or risk.shape[1:] != times.shape:
        raise DataError(
            f"times are {times[:5]}, risks have shape {risk.shape}", fix="give ascending times, a column each"
        )
    scores = []
    for at, column in zip(times, risk.T, strict=True):
        known = known_of(time, event, column, horizon=float(at))
        scores.append(brier(known.outcome, known.risk, known.weight))
    return float(np.trapezoid(scores, times) / (times[-1] - times[0]))


def _ipa(known: Known, times: np.ndarray) -> list[np.ndarray]:
    """``1 - Brier / Brier of giving everybody the incidence``, for each repeat and each row of multiplicities."""
    found = []
    for risk in known.risk:
        weight = np.where(np.isfinite(risk), known.weight, 0.0)
        loss = weight * np.where(weight > 0, risk - known.outcome, 0.0) ** 2
        mean = ratio(times @ (weight * known.outcome), times @ weight)
        found.append(1.0 - ratio(times @ loss, (times @ weight) * mean * (1.0 - mean)))
    return found


# --- calibration ------------------------------------------------------------------------------------------------------


def _calibrated(known: Known, times: np.ndarray, *, slope: bool) -> list[np.ndarray]:
    """Slope, or intercept with the slope fixed at 1, for each repeat and each row of multiplicities.

    Weighted logistic regression of the class at the horizon on the logit of the risk, by Newton's method for all rows
    of multiplicities at once.
    """
    found = []
    for risk in known.risk:
        weight = times * np.where(np.isfinite(risk), known.weight, 0.0)  # (draw, patient)
        line = logit(np.clip(np.nan_to_num(risk, nan=0.5), _CLIP, 1.0 - _CLIP))
        found.append(_slope(weight, line, known.outcome) if slope else _intercept(weight, line, known.outcome))
    return found


def _intercept(weight: np.ndarray, line: np.ndarray, outcome: np.ndarray) -> np.ndarray:
    value = np.zeros(len(weight))
    for _ in range(_NEWTON_STEPS):
        chance = expit(value[:, None] + line)
        gradient = (weight * (outcome - chance)).sum(axis=1)
        curvature = (weight * chance * (1.0 - chance)).sum(axis=1)
        step = np.clip(ratio(gradient, curvature), -2.0, 2.0)
        value = value + step
        if np.nanmax(np.abs(step), initial=0.0) < _CONVERGED:
            break
    return value


def _slope(weight: np.ndarray, line: np.ndarray, outcome: np.ndarray) -> np.ndarray:
    if np.ptp(line) < 1e-9:
        return np.full(len(weight), np.nan)  # everybody has the same risk: there is no slope
    alpha, beta = np.zeros(len(weight)), np.ones(len(weight))
    for _ in range(_NEWTON_STEPS):
        chance = expit(alpha[:, None] + beta[:, None] * line)
        rest, spread = weight * (outcome - chance), weight * chance * (1.0 - chance)
        g0, g1 = rest.sum(axis=1), rest @ line
        h00, h01, h11 = spread.sum(axis=1), spread @ line, spread @ line**2
        determinant = h00 * h11 - h01**2
        steps = [ratio(h11 * g0 - h01 * g1, determinant), ratio(h00 * g1 - h01 * g0, determinant)]
        alpha, beta = (old + np.clip(step, -2.0, 2.0) for old, step in zip((alpha, beta), steps, strict=True))
        if np.nanmax(np.abs(steps), initial=0.0) < _CONVERGED:
            break
    return beta


def _observed_by_expected(known: Known, times: np.ndarray) -> list[np.ndarray]:
    """Incidence by the horizon over the mean risk, for each repeat and each row of multiplicities."""
    found = []
    for risk in known.risk:
        has = np.isfinite(risk)
        weight = np.where(has, known.weight, 0.0)
        observed = ratio(times @ (weight * known.outcome), times @ weight)
        found.append(ratio(observed, ratio(times @ np.where(has, risk, 0.0), times @ has.astype(float))))
    return found


# --- all of them, with intervals --------------------------------------------------------------------------------------


def _concordance_draws(weighting: str) -> Callable[[Known, np.ndarray], list[np.ndarray]]:
    def draws(known: Known, times: np.ndarray) -> list[np.ndarray]:
        cases = np.flatnonzero((known.event == 1) & (known.time <= known.horizon))
        events = times[:, cases]
        return [
            ratio(((events @ concordant) * times).sum(axis=1), ((events @ total) * times).sum(axis=1))
            for concordant, total in _pairs(known, weighting)
        ]

    return draws


class _Measure(NamedTuple):
    draws: Callable[[Known, np.ndarray], list[np.ndarray]]
    scale: str
    kind: str = "pairs"


#: Name -> how it is computed for multiplicities of patients, on which scale its interval is normal, and how much folds
#: that train each other widen it (see :mod:`omics.outcome.metrics`).
_MEASURES: Mapping[str, _Measure] = MappingProxyType(
    {
        "c_uno": _Measure(_concordance_draws("uno"), "logit"),
        "c_harrell": _Measure(_concordance_draws("harrell"), "logit"),
        "ipa": _Measure(_ipa, "plain"),
        "calibration_slope": _Measure(lambda known, times: _calibrated(known, times, slope=True), "plain"),
        "calibration_intercept": _Measure(
            lambda known, times: _calibrated(known, times, slope=False), "plain", "totals"
        ),
        "observed_expected": _Measure(_observed_by_expected, "log", "totals"),
    }
)


def performance(
    time: Any,
    event: Any,
    risk: Any,
    *,
    horizon: float,
    fold: Any = None,
    n_bootstrap: int = 1000,
    confidence: float = 0.95,
    random_state: int = 0,
) -> pd.DataFrame:
    """All measures of a predicted risk, with intervals.

    Parameters
    ----------
    time, event, risk, horizon, fold
        As for :func:`known_of`.
    n_bootstrap : int
        Draws of patients.
    confidence : float
        Level of the intervals.
    random_state : int
        Seed; the same seed draws the same patients.

    Returns
    -------
    DataFrame
        ``metric, estimate, lower, upper, n, events``; metrics auc (cumulative cases against those without the event at
        the horizon), brier, c_uno, c_harrell, ipa (index of prediction accuracy), calibration_slope,
        calibration_intercept (with the slope fixed at 1), observed_expected (incidence over mean risk).

    Raises
    ------
    UsageError, DataError
        As :func:`known_of`, or all patients of known outcome are of one class.

    References
    ----------
    Kattan, Gerds. Diagn Progn Res 2018;2:7 (IPA). Van Calster et al. BMC Med 2019;17:230 (calibration).
    """
    known = known_of(time, event, risk, horizon=horizon, fold=fold)
    drawn: dict[str, Any] = {"n_bootstrap": n_bootstrap, "confidence": confidence, "random_state": random_state}
    area = auc_interval(known.outcome, known.risk, known.weight, known.fold, **drawn)
    score = brier_interval(known.outcome, known.risk, known.weight, known.fold, **drawn)
    times = multiplicities(np.random.default_rng(random_state), n_bootstrap, len(known.time))
    rows = [{"metric": "auc", **area._asdict()}, {"metric": "brier", **score._asdict()}]
    for name, measure in _MEASURES.items():
        estimate = _mean(measure.draws(known, np.ones((1, len(known.time)))))
        variance = variance_of(known.fold, measure.draws(known, times), len(known.time), measure.kind)
        lower, upper = interval_ends(float(estimate), variance, measure.scale, confidence)
        rows.append(
            {"metric": name, "estimate": estimate, "lower": lower, "upper": upper, "n": area.n, "events": area.events}
        )
    return pd.DataFrame(rows)


def concordance_difference(
    time: Any,
    event: Any,
    risk: Any,
    reference: Any,
    *,
    horizon: float,
    fold: Any = None,
    n_bootstrap: int = 1000,
    confidence: float = 0.95,
    random_state: int = 0,
) -> tuple[float, float, float]:
    """Uno's concordance of `risk` minus that of `reference`, with the interval of paired draws.

    Parameters
    ----------
    time, event, risk, horizon, fold, n_bootstrap, confidence, random_state
        As for :func:`performance`.
    reference : array-like, shape of `risk`
        The other risk; a prediction that either lacks is left out of both.

    Raises
    ------
    UsageError, DataError
        As :func:`known_of`.
    """
    risk, reference = (np.atleast_2d(np.asarray(one, dtype=float)) for one in (risk, reference))
    if risk.shape != reference.shape:
        raise DataError(f"risks have shapes {risk.shape} and {reference.shape}", fix="give the same shape")
    both = np.isfinite(risk) & np.isfinite(reference)
    one, other = (
        known_of(time, event, np.where(both, values, np.nan), horizon=horizon, fold=fold)
        for values in (risk, reference)
    )
    times = multiplicities(np.random.default_rng(random_state), n_bootstrap, len(one.time))
    draws, whole = _MEASURES["c_uno"].draws, np.ones((1, len(one.time)))
    gaps = [first - second for first, second in zip(draws(one, times), draws(other, times), strict=True)]
    estimate = float(_mean(draws(one, whole)) - _mean(draws(other, whole)))
    lower, upper = interval_ends(estimate, variance_of(one.fold, gaps, len(one.time)), "plain", confidence)
    return estimate, lower, upper


def _mean(by_repeat: list[np.ndarray]) -> float:
    known = [float(one[0]) for one in by_repeat if np.isfinite(one[0])]
    return float(np.mean(known)) if known else np.nan


def interval_ends(estimate: float, variance: float, scale: str, confidence: float) -> tuple[float, float]:
    """Ends of an interval that is normal on the logit, the log or the plain scale."""
    width = quantile_of(confidence) * np.sqrt(variance)
    if scale == "plain" or not np.isfinite(estimate):
        return estimate - width, estimate + width
    if scale == "log":
        if estimate <= 0:
            return np.nan, np.nan
        factor = np.exp(width / estimate)
        return estimate / factor, estimate * factor
    if not 0 < estimate < 1:
        return np.nan, np.nan
    half = width / (estimate * (1.0 - estimate))
    return float(expit(logit(estimate) - half)), float(expit(logit(estimate) + half))
