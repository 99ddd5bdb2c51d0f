"""Regression of hazards: Cox (by cause, strata, late entry, time-varying transplant), its test, and Fine-Gray."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from scipy.special import ndtri
from scipy.stats import chi2, norm

from omics.columns import is_numeric
from omics.outcome.curves import risk_table
from omics.outcome.finegray import fit_fine_gray
from omics.schema import DataError

_STEPS = 50
_CONVERGED = 1e-10
# A coefficient of this size, times the typical step of its covariate, is on its way to infinity: if it has a finite
# estimate, the ratio of hazards of two groups is at most about (patients) x (events), and exp(15) is 3 million.
_RUNAWAY = 15.0
_FIX = "leave the covariate out, or join its values"


class Regression(NamedTuple):
    """A fitted regression.

    Attributes
    ----------
    table : DataFrame
        ``term, coefficient, hazard_ratio, se, lower, upper, z, p_value``; of Fine-Gray, subdistribution hazard ratios.
    log_likelihood, log_likelihood_null : float
        Partial log-likelihood with the coefficients, and without.
    n, events, n_missing : int
        Rows and events that were used, and rows left out because a covariate is missing.
    """

    table: pd.DataFrame
    log_likelihood: float
    log_likelihood_null: float
    n: int
    events: int
    n_missing: int


class _Stratum(NamedTuple):
    """Rows of one stratum; `times` are its distinct event times, `at` the number of each event's time."""

    x: np.ndarray
    stop: np.ndarray
    entry: np.ndarray
    times: np.ndarray
    deaths: np.ndarray
    at: np.ndarray


class _Sums(NamedTuple):
    """Over the strata: log-likelihood, score, information, and their parts at each event time and Efron step."""

    log_likelihood: float
    score: np.ndarray
    information: np.ndarray


def cox(
    time: Any,
    event: Any,
    covariates: pd.DataFrame,
    *,
    cause: int | None = None,
    entry: Any = None,
    strata: Any = None,
    confidence: float = 0.95,
) -> Regression:
    """Cox regression with Efron's ties: ``h(t | x) = h_s(t) exp(x b)``.

    Parameters
    ----------
    time, event : array-like, shape (row,)
        Time and code of the event; 0 is censored.
    covariates : DataFrame
        Numbers as they are, texts as indicators against their first value in sorted order.
    cause : int, optional
        Cause of interest, other events censor (cause-specific hazard); by default any event counts.
    entry : array-like, shape (row,), optional
        Time at which each row begins to be at risk: late entry, or the start of an interval of
        :func:`transplant_intervals`.
    strata : array-like, shape (row,), optional
        Groups with baseline hazards of their own.
    confidence : float
        Level of the intervals.

    Raises
    ------
    DataError
        Shapes differ, a covariate is constant or depends on the others, there are no events or fewer than
        coefficients, or a coefficient has no finite estimate.

    References
    ----------
    Efron. JASA 1977;72:557-565. Prentice et al. Biometrics 1978;34:541-554.
    """
    rows = _rows(time, event, covariates, cause=cause, entry=entry, strata=strata)
    beta, sums, null = _newton(rows)
    table = wald(rows.names, beta, _solved(sums.information, np.eye(len(beta))), confidence)
    return Regression(table, sums.log_likelihood, null.log_likelihood, rows.n, rows.events, rows.n_missing)


def proportional_hazards_test(
    time: Any,
    event: Any,
    covariates: pd.DataFrame,
    *,
    cause: int | None = None,
    entry: Any = None,
    strata: Any = None,
) -> pd.DataFrame:
    """Score test that the coefficients do not change with time, for each covariate and for all together (GLOBAL).

    Time enters as 1 minus the Kaplan-Meier estimate just before it. With U the score and V the information of adding
    ``x g(t)`` to the model, the statistic is ``U' V^-1 U``.

    Parameters
    ----------
    time, event, covariates, cause, entry, strata
        As for :func:`cox`.

    Returns
    -------
    DataFrame
        ``term, statistic, df, p_value``; a text covariate is one term.

    Raises
    ------
    DataError
        As :func:`cox`.

    References
    ----------
    Grambsch, Therneau. Biometrika 1994;81:515-526.
    """
    rows = _rows(time, event, covariates, cause=cause, entry=entry, strata=strata)
    beta, _, _ = _newton(rows)
    p = len(beta)
    score, information = np.zeros(2 * p), np.zeros((2 * p, 2 * p))
    steps = _transformed_times(rows)
    for stratum in rows.strata:
        gradient, curvature = _by_time(stratum, beta)  # (time, p), (time, p, p)
        g = steps(stratum.times)
        score[p:] += g @ gradient
        total = [np.tensordot(weight, curvature, axes=1) for weight in (np.ones_like(g), g, g**2)]
        information += np.block([[total[0], total[1]], [total[1], total[2]]])
    found = []
    for term in [*dict.fromkeys(rows.terms), "GLOBAL"]:
        members = [j for j, name in enumerate(rows.terms) if term in (name, "GLOBAL")]
        kept = [*range(p), *(p + j for j in members)]
        part = information[np.ix_(kept, kept)]
        statistic = float(score[kept] @ _solved(part, score[kept]))
        df = len(members)
        found.append({"term": term, "statistic": statistic, "df": df, "p_value": float(chi2.sf(statistic, df))})
    return pd.DataFrame(found)


def fine_gray(
    time: Any, event: Any, covariates: pd.DataFrame, *, cause: int = 1, confidence: float = 0.95
) -> Regression:
    """Fine-Gray regression: proportional hazards of the subdistribution of one cause.

    A patient stopped by another cause stays at risk, with the chance of not being censored as weight.

    Parameters
    ----------
    time, event : array-like, shape (patient,)
        Time and code of the event; 0 is censored.
    covariates : DataFrame
        As for :func:`cox`.
    cause : int
        Cause of interest; others but 0 compete.
    confidence : float
        Level of the intervals.

    Raises
    ------
    DataError
        As :func:`cox`.

    References
    ----------
    Fine, Gray. JASA 1999;94:496-509.
    """
    rows = _rows(time, event, covariates, cause=cause, entry=None, strata=None)
    fitted = fit_fine_gray(rows.time, rows.code, rows.x, cause)
    refuse_runaway(fitted.coefficient, rows.x, rows.names)
    table = wald(rows.names, fitted.coefficient, fitted.variance, confidence)
    return Regression(table, fitted.log_likelihood, fitted.log_likelihood_null, rows.n, rows.events, rows.n_missing)


def transplant_intervals(time: Any, event: Any, transplant_time: Any, index: Any = None) -> pd.DataFrame:
    """Rows before and after transplant, so that nobody counts as transplanted before it.

    Parameters
    ----------
    time, event : array-like, shape (patient,)
        Time and code of the event.
    transplant_time : array-like, shape (patient,)
        Time of transplant, NaN where there was none. At the time of the event itself it changes nothing.
    index : array-like, shape (patient,), optional
        Ids; by default those of `time` where it is a Series, else numbers.

    Returns
    -------
    DataFrame
        ``patient, start, stop, event, transplant`` (0 or 1), one or two rows a patient: give ``start`` to :func:`cox`
        as ``entry``.

    Raises
    ------
    DataError
        A transplant comes after the last follow-up, or before time zero.

    References
    ----------
    Mantel, Byar. JASA 1974;69:81-86.
    """
    own = time.index if isinstance(time, pd.Series) else np.arange(len(time))
    names = pd.Index(own if index is None else index)
    stop, code = np.asarray(time, dtype=float), np.asarray(event)
    moved = np.asarray(transplant_time, dtype=float)
    for wrong, said in ((moved > stop, "after the last follow-up"), (moved < 0, "before time zero")):
        if wrong.any():
            first = int(np.argmax(wrong))
            raise DataError(
                f"the transplant of {names[first]} at {moved[first]:g} comes {said} ({stop[first]:g})",
                where="transplant times",
                fix="correct the times; both count from the same time zero",
            )
    divided = (moved > 0) & (moved < stop)
    from_start = moved <= 0  # transplanted at time zero
    before = pd.DataFrame(
        {
            "patient": names,
            "start": 0.0,
            "stop": np.where(divided, moved, stop),
            "event": np.where(divided, 0, code),
            "transplant": from_start.astype(int),
        }
    )
    after = pd.DataFrame({"patient": names, "start": moved, "stop": stop, "event": code, "transplant": 1})[divided]
    return pd.concat([before, after]).sort_values(["patient", "start"], kind="stable").reset_index(drop=True)


# --- data -------------------------------------------------------------------------------------------------------------


class _Rows(NamedTuple):
    """Checked input: design matrix with names of its columns and of the covariates they come from."""

    x: np.ndarray
    names: list[str]
    terms: list[str]
    time: np.ndarray
    code: np.ndarray
    happened: np.ndarray
    entry: np.ndarray
    strata: list[_Stratum]
    n_missing: int

    @property
    def n(self) -> int:
        """Rows used."""
        return len(self.time)

    @property
    def events(self) -> int:
        """Events of interest."""
        return int(self.happened.sum())


def _rows(time: Any, event: Any, covariates: pd.DataFrame, *, cause: int | None, entry: Any, strata: Any) -> _Rows:
    time, event = np.asarray(time, dtype=float), np.asarray(event, dtype=float)
    start = np.zeros(len(time)) if entry is None else np.asarray(entry, dtype=float)
    if not len(time) == len(event) == len(covariates) == len(start):
        raise DataError(
            f"{len(time)} times, {len(event)} events, {len(covariates)} rows of covariates, {len(start)} entries",
            fix="give one of each for every row",
        )
    group = np.zeros(len(time), dtype=int) if strata is None else pd.factorize(np.asarray(strata), sort=True)[0]
    known = covariates.notna().all(axis=1).to_numpy() & np.isfinite(time) & np.isfinite(event) & (group >= 0)
    if (known & ~((start < time) | ((time == 0) & (start == 0)))).any():
        raise DataError("a row ends before it begins", where="entry", fix="leave out rows that are never at risk")
    x, names, terms = _design(covariates[known])
    time, code, start, group = time[known], event[known].astype(int), start[known], group[known]
    happened = code > 0 if cause is None else code == cause
    _refuse_design(x, names, int(happened.sum()))
    x = x - x.mean(axis=0)  # nothing changes but the rounding
    each = [group == g for g in np.unique(group)]
    parts = [_stratum(x[part], time[part], start[part], happened[part]) for part in each]
    return _Rows(x, names, terms, time, code, happened, start, parts, int((~known).sum()))


def _design(covariates: pd.DataFrame) -> tuple[np.ndarray, list[str], list[str]]:
    columns, names, terms = [], [], []
    for name in covariates:
        values = covariates[name]
        if is_numeric(values):
            columns.append(values.to_numpy(dtype=float))
            names.append(str(name))
            terms.append(str(name))
            continue
        for level in sorted(values.astype(str).unique())[1:]:
            columns.append((values.astype(str) == level).to_numpy(dtype=float))
            names.append(f"{name}={level}")
            terms.append(str(name))
    return np.column_stack(columns) if columns else np.empty((len(covariates), 0)), names, terms


def _refuse_design(x: np.ndarray, names: list[str], events: int) -> None:
    if not names:
        raise DataError("no covariate varies", where="covariates", fix="give at least one with two values")
    if events < len(names):
        raise DataError(
            f"{events} events for {len(names)} coefficients", where="covariates", fix="use fewer covariates"
        )
    spread = x.std(axis=0)
    if (spread == 0).any():
        raise DataError(
            f"'{names[int(np.argmin(spread))]}' has one value", where="covariates", fix="leave the covariate out"
        )
    scaled = (x - x.mean(axis=0)) / spread
    if np.linalg.matrix_rank(scaled, tol=1e-7 * len(x) ** 0.5) < x.shape[1]:
        raise DataError(
            f"covariates depend on each other: {', '.join(names)}", where="covariates", fix="leave one of them out"
        )


def _stratum(x: np.ndarray, stop: np.ndarray, entry: np.ndarray, happened: np.ndarray) -> _Stratum:
    times, at = np.unique(stop[happened], return_inverse=True)
    since = np.where(entry <= 0, -np.inf, entry)  # who is there from the start is at risk at time zero too
    return _Stratum(x, stop, since, times, np.flatnonzero(happened), at)


# --- the partial likelihood -------------------------------------------------------------------------------------------


def _newton(rows: _Rows) -> tuple[np.ndarray, _Sums, _Sums]:
    """Coefficients of the largest partial likelihood, and the sums there and at zero."""
    beta = np.zeros(rows.x.shape[1])
    null = sums = _sums(rows.strata, beta)
    for _ in range(_STEPS):
        step = _solved(sums.information, sums.score)
        new, tried = _shortened(rows.strata, beta, step, sums)
        moved = tried.log_likelihood - sums.log_likelihood
        beta, sums = new, tried
        refuse_runaway(beta, rows.x, rows.names, 2 * _RUNAWAY)  # less far may be a step too long, which is taken back
        if abs(moved) < _CONVERGED * (abs(sums.log_likelihood) + 1) and np.abs(step).max() < 1e-8:
            refuse_runaway(beta, rows.x, rows.names)
            return beta, sums, null
    refuse_runaway(beta, rows.x, rows.names)
    raise DataError("the regression does not converge", where="covariates", fix="use fewer, less extreme covariates")


def _shortened(strata: list[_Stratum], beta: np.ndarray, step: np.ndarray, sums: _Sums) -> tuple[np.ndarray, _Sums]:
    """The step, halved until the likelihood does not fall."""
    for _ in range(20):
        with np.errstate(over="ignore", divide="ignore", invalid="ignore"):  # a step too far is told by its likelihood
            tried = _sums(strata, beta + step)
        if tried.log_likelihood >= sums.log_likelihood - 1e-9 * (abs(sums.log_likelihood) + 1):
            break
        step = step / 2
    return beta + step, tried


def _solved(information: np.ndarray, score: np.ndarray) -> np.ndarray:
    """``information^-1 score``, if there is such a thing."""
    try:
        return np.linalg.solve(information, score)
    except np.linalg.LinAlgError:
        raise DataError(
            "the events are too few, or too much alike, to tell the coefficients or their change with time",
            where="covariates",
            fix=_FIX,
        ) from None


def refuse_runaway(beta: np.ndarray, x: np.ndarray, names: Sequence[str], limit: float = _RUNAWAY) -> None:
    """Raise a :class:`~omics.schema.DataError` if a coefficient is on its way to infinity; `x` is (row, covariate)."""
    size = np.abs(beta) * _step(x)
    if not np.isfinite(size).all() or size.max(initial=0.0) > limit:
        raise DataError(
            f"the regression does not converge: '{names[int(np.argmax(np.nan_to_num(size, nan=np.inf)))]}' separates "
            "those with an event from those without, so it has no finite coefficient",
            where="covariates",
            fix=_FIX,
        )


def _step(x: np.ndarray) -> np.ndarray:
    """How far those who differ from the median are from it, a root mean square for each covariate.

    Of a covariate of 0 and 1 that is 1, however few have it; their standard deviation is 0.16 where 3 of 120 do, and
    would let a coefficient of 60 pass. Of a continuous covariate it is the standard deviation, or little more. The
    range will not do: one outlier makes it as large as one likes, beside a coefficient that is quite finite.
    """
    apart = x - np.quantile(x, 0.5, axis=0, method="lower")
    return np.sqrt((apart**2).sum(axis=0) / np.maximum((apart != 0).sum(axis=0), 1))


def _sums(strata: list[_Stratum], beta: np.ndarray) -> _Sums:
    p = len(beta)
    log_likelihood, score, information = 0.0, np.zeros(p), np.zeros((p, p))
    for stratum in strata:
        line = stratum.x @ beta
        log_likelihood += float(line[stratum.deaths].sum()) - _log_risk(stratum, beta)
        gradient, curvature = _by_time(stratum, beta)
        score += gradient.sum(axis=0)
        information += curvature.sum(axis=0)
    return _Sums(log_likelihood, score, information)


def _efron(stratum: _Stratum, values: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Sums of `values` over those at risk at each event time, over those who die then, and how many these are."""
    p = values.shape[1]
    deaths = np.zeros((len(stratum.times), p))
    np.add.at(deaths, stratum.at, values[stratum.deaths])
    count = np.bincount(stratum.at, minlength=len(stratum.times))
    return _from(stratum.stop, values, stratum.times) - _from(stratum.entry, values, stratum.times), deaths, count


def _from(when: np.ndarray, values: np.ndarray, times: np.ndarray) -> np.ndarray:
    """Sum of `values` over the rows whose `when` is not before each of `times`."""
    order = np.argsort(when, kind="stable")
    totals = np.concatenate([np.cumsum(values[order][::-1], axis=0)[::-1], np.zeros((1, values.shape[1]))])
    return totals[np.searchsorted(when[order], times, side="left")]


def _log_risk(stratum: _Stratum, beta: np.ndarray) -> float:
    weight = np.exp(stratum.x @ beta)[:, None]
    at_risk, deaths, count = _efron(stratum, weight)
    return float(sum(np.log((at_risk - share * deaths)[count > turn]).sum() for turn, share in _turns(count)))


def _turns(count: np.ndarray) -> Any:
    """Efron's steps: the number of the tied event, and the share of the tied who have left, at each time."""
    return ((turn, (turn / np.maximum(count, 1))[:, None]) for turn in range(int(count.max(initial=0))))


def _by_time(stratum: _Stratum, beta: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Score and information at each event time, shapes (time, p) and (time, p, p)."""
    x, p = stratum.x, len(beta)
    weight = np.exp(x @ beta)
    square = (x[:, :, None] * x[:, None, :]).reshape(len(x), p * p)
    values = weight[:, None] * np.hstack([np.ones((len(x), 1)), x, square])
    at_risk, deaths, count = _efron(stratum, values)
    gradient = np.zeros((len(stratum.times), p))
    np.add.at(gradient, stratum.at, x[stratum.deaths])
    curvature = np.zeros((len(stratum.times), p, p))
    for turn, share in _turns(count):
        left = (at_risk - share * deaths)[count > turn]
        mean = left[:, 1 : p + 1] / left[:, :1]
        gradient[count > turn] -= mean
        second = (left[:, p + 1 :] / left[:, :1]).reshape(-1, p, p)
        curvature[count > turn] += second - mean[:, :, None] * mean[:, None, :]
    return gradient, curvature


def _transformed_times(rows: _Rows) -> Any:
    """``t -> 1 - S(t-)``, S the Kaplan-Meier estimate over all rows."""
    table = risk_table(rows.time, rows.happened.astype(int), cause=1, entry=rows.entry)
    survival = np.concatenate([[1.0], np.cumprod(1.0 - table.events / np.maximum(table.at_risk, 1))])
    return lambda times: 1.0 - survival[np.searchsorted(table.time, times, side="left")]


def wald(names: Sequence[str], beta: np.ndarray, variance: np.ndarray, confidence: float = 0.95) -> pd.DataFrame:
    """Table of :class:`Regression`; a :class:`~omics.schema.DataError` if a variance is none."""
    square = np.diag(variance)
    if not (square > 0).all():
        name = names[int(np.argmin(np.nan_to_num(square, nan=-np.inf)))]
        raise DataError(f"the coefficient of '{name}' has no finite interval", where="covariates", fix=_FIX)
    se = np.sqrt(square)
    width = ndtri(0.5 + confidence / 2) * se
    z = beta / se
    with np.errstate(over="ignore"):  # per unit of a covariate of tiny numbers, a ratio may be beyond all numbers
        ratio, lower, upper = np.exp([beta, beta - width, beta + width])
    return pd.DataFrame(
        {
            "term": names,
            "coefficient": beta,
            "hazard_ratio": ratio,
            "se": se,
            "lower": lower,
            "upper": upper,
            "z": z,
            "p_value": 2 * norm.sf(np.abs(z)),
        }
    )
