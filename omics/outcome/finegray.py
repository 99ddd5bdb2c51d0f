"""Fine-Gray regression: coefficients by comprisk, their variance by the formula of the paper.

comprisk's own sandwich leaves out that the censoring weights are estimated; cmprsk does not, so it is added here.
"""

from __future__ import annotations

from typing import NamedTuple

import comprisk
import numpy as np

from omics.outcome.curves import CENSORED
from omics.schema import DataError


class FineGray(NamedTuple):
    """Fitted regression.

    Attributes
    ----------
    coefficient : ndarray, shape (p,)
        Log subdistribution hazard ratios.
    variance : ndarray, shape (p, p)
        Their variance.
    log_likelihood, log_likelihood_null : float
        Partial log-likelihood with and without them.
    times, hazard : ndarray, shape (K,)
        Distinct times of the cause, and the baseline cumulative subdistribution hazard there (covariates 0).
    """

    coefficient: np.ndarray
    variance: np.ndarray
    log_likelihood: float
    log_likelihood_null: float
    times: np.ndarray
    hazard: np.ndarray


class _Process(NamedTuple):
    """What the estimating equation is made of; K distinct times of the cause, n patients.

    Attributes
    ----------
    times : ndarray, shape (K,)
        Distinct times of the cause of interest.
    mean : ndarray, shape (K, p)
        Weighted mean of the covariates of those at risk.
    jump : ndarray, shape (K,)
        Steps of the baseline subdistribution hazard.
    at_risk : ndarray, shape (n, K)
        Weight of each patient at each time, 0 where not at risk.
    information : ndarray, shape (p, p)
        Minus the second derivative of the log-likelihood.
    """

    times: np.ndarray
    mean: np.ndarray
    jump: np.ndarray
    at_risk: np.ndarray
    information: np.ndarray


@np.errstate(over="ignore", divide="ignore", invalid="ignore")  # what diverges is told by the coefficients
def fit_fine_gray(time: np.ndarray, event: np.ndarray, x: np.ndarray, cause: int) -> FineGray:
    """Fit proportional subdistribution hazards.

    Parameters
    ----------
    time, event : ndarray, shape (n,)
        Time and code of the event.
    x : ndarray, shape (n, p)
        Covariates.
    cause : int
        Cause of interest.

    Raises
    ------
    DataError
        The events do not tell the coefficients. One that is merely very large is for the caller to refuse.

    References
    ----------
    Fine, Gray. JASA 1999;94:496-509 (variance: section 3 and appendix).
    """
    try:
        return _fitted(time, event, x, cause)
    except (RuntimeError, np.linalg.LinAlgError):  # comprisk's word for a singular information, and numpy's
        raise DataError(
            "the events are too few, or too much alike, to tell the coefficients",
            where="covariates",
            fix="leave a covariate out, or join its values",
        ) from None


def _fitted(time: np.ndarray, event: np.ndarray, x: np.ndarray, cause: int) -> FineGray:
    model = comprisk.FineGrayRegression(cause=cause, cencode=CENSORED, max_iter=100, gtol=1e-12)
    model.fit(x, time=time, event=event)
    beta = np.asarray(model.coef_, dtype=float)
    process = _process(time, event, x, beta, cause)
    residual = _score_residuals(process, time, event, x, beta, cause) + _censoring_residuals(
        process, time, event, x, beta, cause
    )
    bread = np.linalg.inv(process.information)
    variance = bread @ (residual.T @ residual) @ bread
    likelihoods = float(model.log_likelihood_), float(model.log_likelihood_null_)
    return FineGray(beta, variance, *likelihoods, process.times, np.cumsum(process.jump))


def _free_before(time: np.ndarray, event: np.ndarray, at: np.ndarray) -> np.ndarray:
    """Kaplan-Meier estimate of being uncensored just before each of `at`; all with that time are at risk."""
    distinct, number = np.unique(time, return_inverse=True)
    left = np.bincount(number, weights=event == CENSORED)
    at_risk = np.cumsum(np.bincount(number)[::-1])[::-1]
    free = np.concatenate([[1.0], np.cumprod(1.0 - left / at_risk)])
    return free[np.searchsorted(distinct, at, side="left")]


def _process(time: np.ndarray, event: np.ndarray, x: np.ndarray, beta: np.ndarray, cause: int) -> _Process:
    times, deaths = np.unique(time[event == cause], return_counts=True)
    at_risk = (time[:, None] >= times).astype(float)
    stopped = (event != CENSORED) & (event != cause)
    own, then = _free_before(time, event, time[stopped]), _free_before(time, event, times)
    at_risk[stopped] = np.where(time[stopped, None] >= times, 1.0, then / own[:, None])
    weight = at_risk * np.exp(x @ beta)[:, None]
    total = weight.sum(axis=0)
    mean = (weight.T @ x) / total[:, None]
    p = x.shape[1]
    square = (weight.T @ (x[:, :, None] * x[:, None, :]).reshape(len(x), p * p)).reshape(-1, p, p)
    spread = square / total[:, None, None] - mean[:, :, None] * mean[:, None, :]
    return _Process(times, mean, deaths / total, at_risk, np.tensordot(deaths.astype(float), spread, axes=1))


def _score_residuals(
    process: _Process, time: np.ndarray, event: np.ndarray, x: np.ndarray, beta: np.ndarray, cause: int
) -> np.ndarray:
    """``eta_i = int (x_i - mean) w_i dM_i``, shape (n, p)."""
    compensator = process.at_risk * np.exp(x @ beta)[:, None] * process.jump  # (n, K)
    residual = compensator @ process.mean - compensator.sum(axis=1)[:, None] * x
    own = event == cause
    residual[own] += x[own] - process.mean[np.searchsorted(process.times, time[own])]
    return residual


def _censoring_residuals(
    process: _Process, time: np.ndarray, event: np.ndarray, x: np.ndarray, beta: np.ndarray, cause: int
) -> np.ndarray:
    """``psi_i = int q / pi dM^c_i``: what the estimated weights add, shape (n, p)."""
    censored = np.unique(time[event == CENSORED])
    if not len(censored):
        return np.zeros_like(x)
    stopped = (event != CENSORED) & (event != cause)
    # q(u): over those stopped before u, what they add to the score from u on
    compensator = process.at_risk[stopped] * np.exp(x[stopped] @ beta)[:, None] * process.jump  # (s, K)
    q = np.zeros((len(censored), x.shape[1]))
    for number, u in enumerate(censored):
        early, late = time[stopped] < u, process.times >= u
        part = compensator[np.ix_(early, late)]
        q[number] = part.sum(axis=1) @ x[stopped][early] - part.sum(axis=0) @ process.mean[late]
    count = np.array([np.sum((time == u) & (event == CENSORED)) for u in censored])
    at_risk = np.array([np.sum(time >= u) for u in censored])
    step = q / at_risk[:, None]
    running = np.concatenate([np.zeros((1, x.shape[1])), np.cumsum(step * (count / at_risk)[:, None], axis=0)])
    residual = -running[np.searchsorted(censored, time, side="right")]
    own = event == CENSORED
    residual[own] += step[np.searchsorted(censored, time[own])]
    return residual
