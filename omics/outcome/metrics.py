"""How good is a prediction: area under the ROC curve and Brier score, with intervals.

Predictions may be repeated, as in repeated cross-validation: arrays then have shape (repeat, patient), and a patient is
resampled with all repeats, which are not independent.

Intervals. Patients are resampled B times, with all repeats of theirs; the interval is normal, on the logit scale
(differences: plain). The models of a cross-validation were trained on patients who overlap, and on those whom the other
folds hold out, which resampling patients does not show. With v the variance over the draws, the variance is

- of measures that set predictions against outcomes (AUC, concordance, differences of them, calibration slope, IPA)
  ``7/4 v``, with v that of one repeat. Where nothing is to be learnt, every pair of patients counts twice, once with
  either as the one held out, and v is half of the variance; where a strong signal makes all models alike, v is all of
  it. Which of the two it is, a cross-validation does not tell; the constant leans to the careful side;
- of mean losses (Brier score) ``K/(K - 1) v`` for K folds, with v that of the mean over the repeats;
- of totals (observed by expected events, calibration in the large) v: one event more in a fold is one more in the
  training rows of the others, which raises what they expect.

On cohorts of 160 patients (8 or 100 predictors that carry nothing, little or much; 1 and 5 repeats; 200 seeds each)
95 % intervals covered, in this order, 94 to 98 % (AUC, concordance; with v alone 86 to 95 %), 90 to 98 % (slope, IPA),
94 to 99 % and 95 to 98 %.

References
----------
Nadeau, Bengio. Inference for the generalization error. Machine Learning 2003;52:239-281.
Bayle et al. Cross-validation confidence intervals for test error. NeurIPS 2020;33:16339-16350.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
from scipy.special import expit, logit, ndtri

from omics.schema import DataError


class Interval(NamedTuple):
    """Estimate with its interval.

    Attributes
    ----------
    estimate : float
        Point estimate.
    lower, upper : float
        Ends of the interval; NaN where no variance can be estimated (one event, or a measure of exactly 0 or 1).
    n : int
        Patients with known outcome and a score.
    events : int
        Relapses among them.
    """

    estimate: float
    lower: float
    upper: float
    n: int
    events: int


class _Scored(NamedTuple):
    """Checked input: `outcome` (patient,), the others (repeat, patient); weight 0 where nothing is known."""

    outcome: np.ndarray
    score: np.ndarray
    weight: np.ndarray
    strata: np.ndarray

    @property
    def known(self) -> np.ndarray:
        """Patients whose outcome and score are known at least once."""
        return np.any(self.weight > 0, axis=0)

    @property
    def events(self) -> int:
        """Events among the known patients."""
        return int(self.outcome[self.known].sum())

    @property
    def others(self) -> int:
        """Non-events among the known patients."""
        return int(self.known.sum()) - self.events


class _Pairs(NamedTuple):
    """Pairs of an event and a non-event of the same stratum; both of shape (event, non-event)."""

    concordant: np.ndarray
    total: np.ndarray

    def auc(self, events: np.ndarray, others: np.ndarray) -> np.ndarray:
        """AUC for each row of multiplicities, shapes (draw, event) and (draw, non-event); NaN without pairs."""
        concordant = ((events @ self.concordant) * others).sum(axis=1)
        total = ((events @ self.total) * others).sum(axis=1)
        return ratio(concordant, total)


def auc(outcome: Any, score: Any, weight: Any = None, strata: Any = None) -> float:
    """Weighted area under the ROC curve (Mann-Whitney; ties count one half).

    ``sum w_i w_j ([s_i > s_j] + [s_i = s_j] / 2) / sum w_i w_j`` over events i and non-events j of the same stratum.

    Parameters
    ----------
    outcome : array-like of 0 and 1, shape (patient,)
        Class of each patient.
    score : array-like, shape (patient,) or (repeat, patient)
        Higher means more likely 1; NaN where there is no prediction.
    weight : array-like, shape of `score` or (patient,), optional
        Weights such as those of :func:`omics.outcome.as_class`; 0 or NaN leaves the patient out.
    strata : array-like, shape of `score` or (patient,), optional
        Only pairs within a stratum count: scores of different models, as from different folds, are not comparable.

    Raises
    ------
    DataError
        The outcome has one class, is not 0 or 1, shapes differ, or no stratum has both classes.
    """
    return _auc(_pairs(_scored(outcome, score, weight, strata)))


def auc_interval(
    outcome: Any,
    score: Any,
    weight: Any = None,
    strata: Any = None,
    *,
    n_bootstrap: int = 1000,
    confidence: float = 0.95,
    random_state: int = 0,
) -> Interval:
    """AUC with its interval.

    Events and non-events are resampled apart, so that every draw has as many of each; not within folds as well, since
    the few events of a fold, resampled among themselves, vary too little.

    Parameters
    ----------
    outcome, score, weight : array-like
        As for :func:`auc`.
    strata : array-like, optional
        As for :func:`auc`; taken for the folds of a cross-validation, whose models the other folds trained.
    n_bootstrap : int
        Draws.
    confidence : float
        Level of the interval.
    random_state : int
        Seed; the same seed draws the same patients.

    Raises
    ------
    DataError
        As :func:`auc`.
    """
    scored = _scored(outcome, score, weight, strata)
    pairs = _pairs(scored)
    drawn = _draw_by_class(scored, n_bootstrap, random_state)
    variance = variance_of(scored.strata, [one.auc(*drawn) for one in pairs], min(scored.events, scored.others))
    return _on_logit_scale(scored, _auc(pairs), variance, confidence)


def auc_difference(
    outcome: Any,
    score: Any,
    reference: Any,
    weight: Any = None,
    strata: Any = None,
    *,
    n_bootstrap: int = 1000,
    confidence: float = 0.95,
    random_state: int = 0,
) -> Interval:
    """AUC of `score` minus AUC of `reference` on the same patients, with the interval of paired draws.

    Parameters
    ----------
    outcome, score, weight, strata : array-like
        As for :func:`auc_interval`.
    reference : array-like, shape of `score`
        The other score; a prediction that either lacks is left out of both.
    n_bootstrap, confidence, random_state
        As for :func:`auc_interval`.

    Raises
    ------
    DataError
        As :func:`auc`.
    """
    first, second = _scored(outcome, score, weight, strata), _scored(outcome, reference, weight, strata)
    if first.score.shape != second.score.shape:
        raise DataError(f"scores have shapes {first.score.shape} and {second.score.shape}", fix="give the same shape")
    both = np.where(second.weight > 0, first.weight, 0.0)
    first, second = first._replace(weight=both), second._replace(weight=both)
    pairs, other_pairs = _pairs(first), _pairs(second)
    drawn = _draw_by_class(first, n_bootstrap, random_state)
    draws = [one.auc(*drawn) - other.auc(*drawn) for one, other in zip(pairs, other_pairs, strict=True)]
    difference = _auc(pairs) - _auc(other_pairs)
    half_width = quantile_of(confidence) * np.sqrt(variance_of(first.strata, draws, min(first.events, first.others)))
    n = first.events + first.others
    return Interval(difference, difference - float(half_width), difference + float(half_width), n, first.events)


def brier(outcome: Any, probability: Any, weight: Any = None) -> float:
    """Weighted Brier score ``sum w (y - p)^2 / sum w``.

    Parameters
    ----------
    outcome : array-like of 0 and 1, shape (patient,)
        Class of each patient.
    probability : array-like, shape (patient,) or (repeat, patient)
        Predicted probability of 1; NaN where there is no prediction.
    weight : array-like, shape of `probability` or (patient,), optional
        As for :func:`auc`.

    Raises
    ------
    DataError
        As :func:`auc`.
    """
    loss, weight = _losses(_scored(outcome, probability, weight, None))
    return float(loss.sum() / weight.sum())


def brier_interval(
    outcome: Any,
    probability: Any,
    weight: Any = None,
    strata: Any = None,
    *,
    n_bootstrap: int = 1000,
    confidence: float = 0.95,
    random_state: int = 0,
) -> Interval:
    """Brier score with its interval.

    Patients are resampled whatever their class, since the Brier score depends on how common events are.

    Parameters
    ----------
    outcome, probability, weight : array-like
        As for :func:`brier`.
    strata : array-like, optional
        Folds, as for :func:`auc_interval`; the score itself does not depend on them.
    n_bootstrap, confidence, random_state
        As for :func:`auc_interval`.

    Raises
    ------
    DataError
        As :func:`auc`.
    """
    scored = _scored(outcome, probability, weight, strata)
    loss, weight = _losses(scored)  # (repeat, patient)
    n = loss.shape[1]
    times = multiplicities(np.random.default_rng(random_state), n_bootstrap, n)
    draws = [ratio(times @ one, times @ total) for one, total in zip(loss, weight, strict=True)]
    variance = variance_of(scored.strata, draws, n, "losses")
    return _on_logit_scale(scored, float(loss.sum() / weight.sum()), variance, confidence)


def _scored(outcome: Any, score: Any, weight: Any, strata: Any) -> _Scored:
    score = np.atleast_2d(np.asarray(score, dtype=float))  # (repeat, patient)
    outcome = np.asarray(outcome, dtype=float)
    if outcome.shape != score.shape[1:] or not np.isin(outcome, (0.0, 1.0)).all():
        raise DataError(
            f"outcome has shape {outcome.shape} and values {np.unique(outcome)[:5]}, scores have shape {score.shape}",
            fix="give one outcome, 0 or 1, for each patient",
        )
    weight = np.broadcast_to(np.ones(1) if weight is None else np.asarray(weight, dtype=float), score.shape)
    weight = np.where(np.isfinite(score) & (weight > 0), weight, 0.0)
    strata = np.broadcast_to(np.zeros(1) if strata is None else np.asarray(strata), score.shape)
    scored = _Scored(outcome, score, weight, strata)
    classes = np.unique(outcome[scored.known])
    if len(classes) < 2:
        raise DataError(
            f"the {scored.known.sum()} patients of known outcome are all of class {', '.join(map(str, classes))}",
            where="outcome",
            fix="a prediction can be judged only where some patients relapsed and some did not",
        )
    return scored


def _pairs(scored: _Scored) -> list[_Pairs]:
    """Weighted pairs of each repeat."""
    event = scored.known & (scored.outcome == 1)
    other = scored.known & (scored.outcome == 0)
    pairs = []
    for score, weight, stratum in zip(scored.score, scored.weight, scored.strata, strict=True):
        total = np.outer(weight[event], weight[other]) * (stratum[event, None] == stratum[other])
        above, below = score[event, None], score[other]
        pairs.append(_Pairs(total * (0.5 * (above > below) + 0.5 * (above >= below)), total))
    if not any(one.total.any() for one in pairs):
        raise DataError("no stratum has patients of both classes", where="strata", fix="use fewer, larger folds")
    return pairs


def _auc(pairs: list[_Pairs]) -> float:
    """AUC over the pairs of all repeats."""
    return float(sum(one.concordant.sum() for one in pairs) / sum(one.total.sum() for one in pairs))


def _losses(scored: _Scored) -> tuple[np.ndarray, np.ndarray]:
    """Weighted squared errors and weights of the known patients, shape (repeat, patient)."""
    error = np.where(scored.weight > 0, scored.score - scored.outcome, 0.0)
    return (scored.weight * error**2)[:, scored.known], scored.weight[:, scored.known]


#: What kind of measure it is -> by what its variance grows in cross-validation with K folds (see the top of this file).
_OVERLAP: Mapping[str, Callable[[float], float]] = MappingProxyType(
    {"pairs": lambda folds: 7 / 4, "losses": lambda folds: folds / (folds - 1.0), "totals": lambda folds: 1.0}
)


def variance_of(strata: np.ndarray, draws: list[np.ndarray], smallest: int, kind: str = "pairs") -> float:
    """Variance of a measure from its draws in each repeat, widened for folds whose training patients overlap.

    Parameters
    ----------
    strata : ndarray, shape (repeat, patient)
        Folds.
    draws : list of ndarray
        Values of the measure over the draws, for each repeat.
    smallest : int
        Size of the smallest group that was resampled.
    kind : {"pairs", "losses", "totals"}
        What kind of measure it is.
    """
    if smallest < 2:
        return np.nan
    unbiased = smallest / (smallest - 1.0)  # a bootstrap of m patients shows (m - 1) / m of their variance
    folds = float(np.mean([len(np.unique(fold)) for fold in strata]))
    repeats = [drawn for drawn in draws if np.isfinite(drawn).any()]  # the fits of a whole repeat may have failed
    if not repeats:
        return np.nan
    of_mean = np.nanvar(np.mean(repeats, axis=0))
    if folds == 1:
        return float(unbiased * of_mean)
    spread = np.mean(np.nanvar(repeats, axis=1)) if kind == "pairs" else of_mean
    return float(unbiased * _OVERLAP[kind](folds) * spread)


def ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """Part by whole, NaN where there is nothing."""
    return np.divide(part, whole, out=np.full(len(whole), np.nan), where=whole > 0)


def _on_logit_scale(scored: _Scored, estimate: float, variance: float, confidence: float) -> Interval:
    inside = estimate if 0 < estimate < 1 else np.nan
    half_width = quantile_of(confidence) * np.sqrt(variance) / (inside * (1.0 - inside))
    lower, upper = expit(logit(inside) - half_width), expit(logit(inside) + half_width)
    return Interval(estimate, float(lower), float(upper), scored.events + scored.others, scored.events)


def quantile_of(confidence: float) -> float:
    """Quantile of the normal distribution for a two-sided interval."""
    return float(ndtri(0.5 + confidence / 2.0))


def _draw_by_class(scored: _Scored, n_bootstrap: int, random_state: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(random_state)
    return multiplicities(rng, n_bootstrap, scored.events), multiplicities(rng, n_bootstrap, scored.others)


def multiplicities(rng: np.random.Generator, n_bootstrap: int, n: int) -> np.ndarray:
    """How often each of `n` patients is drawn, shape (draw, patient)."""
    return rng.multinomial(n, np.full(n, 1.0 / n), size=n_bootstrap).astype(float)
