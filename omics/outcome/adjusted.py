"""Does a grouping of patients, such as a molecular subtype, mean relapse beyond what is known of them anyway."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations, product
from typing import Any, NamedTuple, cast

import numpy as np
import pandas as pd
from scipy.special import gammaln
from scipy.stats import chi2
from scipy.stats.contingency import association

from omics.columns import is_numeric
from omics.outcome import covariates as known
from omics.outcome.covariates import EVENTS_PER_PARAMETER, GROUP, SITE, Covariates
from omics.outcome.curves import CENSORED, RELAPSE, risk_table
from omics.outcome.endpoints import ENDPOINTS, endpoint, supported
from omics.outcome.finegray import FineGray, fit_fine_gray
from omics.outcome.regression import cox, proportional_hazards_test, refuse_runaway, wald
from omics.schema import DataError
from omics.stats import eta_squared

#: A column of a design: the covariate, and its level or "".
Column = tuple[str, str]
#: Sites that Fine-Gray, which has no strata, takes as a covariate.
_MOST_SITES = 5
#: Share of a column's length that others leave over, below which they determine it.
_DEPENDENT = 1e-6
#: Patients of each group that Wald's test of Fine-Gray regression needs: its variance, a sum of squares over patients,
#: vanishes for a small group once its coefficient is fitted. Without an effect 85, 9, 2, 1 and 0 % of its p-values are
#: below 0.001 for 1, 3, 5, 8 and 12 of 120 patients, and none of those of the ratio of pseudo-likelihoods.
_FEWEST_FOR_WALD = 10

_ESTIMATES = ["hazard_ratio", "lower", "upper", "p_value"]
_TERMS = {
    "endpoint": "object", "model": "object", "adjusted": "int64", "term": "object", "group": "object",
    "hazard_ratio": "float64", "lower": "float64", "upper": "float64", "p_value": "float64", "n": "int64",
    "events": "int64",
}  # fmt: skip
_TESTS = {
    "endpoint": "object", "model": "object", "adjusted": "int64", "statistic": "float64", "df": "int64",
    "p_value": "float64", "proportional_p": "float64", "n": "int64", "events": "int64", "covariates": "object",
    "strata": "object", "left_out": "object", "remark": "object",
}  # fmt: skip


class _Task(NamedTuple):
    """One regression: outcome (``time, event, entry, happened``), groups, covariates and strata of its patients."""

    outcome: pd.DataFrame
    group: pd.Series
    covariates: Covariates
    strata: pd.Series | None
    reference: str

    @property
    def table(self) -> pd.DataFrame:
        """Covariates, and the grouping last."""
        return self.covariates.table.assign(**{GROUP: self.group})

    def design(self) -> pd.DataFrame:
        """Columns (covariate, level), those of the grouping last."""
        return known.indicators(self.table, {GROUP: self.reference})


class _Told(NamedTuple):
    """Columns of a design, those of them that the ones before do not determine, and those that all others do not."""

    columns: pd.Index
    independent: list[Column]
    estimable: list[Column]


class _Fit(NamedTuple):
    """Estimates by column of the design, the test of the grouping, and what there is to say of it."""

    estimates: pd.DataFrame
    statistic: float
    df: int
    proportional_p: float
    remarks: list[str]


def adjusted(
    clinical: pd.DataFrame, groups: pd.Series, covariates: Sequence[str] | None = None
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Hazard ratios of groups, and the test that there are none, alone and beside what is known of the patients.

    For each endpoint that the clinical table supports: Cox regression, or, where other events compete, Cox regression
    of the cause and Fine-Gray regression. With b the coefficients of the groups but the largest, which is the
    reference, b = 0 is tested in Cox regression by the likelihood ratio ``2 (l(b, c) - l(0, c'))``, c the
    coefficients of the covariates, and in Fine-Gray regression, whose likelihood has no such distribution, by Wald's
    ``b' V^-1 b``.

    A group without event has the hazard ratio 0: its coefficient b_g has no finite estimate, but the likelihood has a
    limit, as ``exp(b_g)`` is then only in the sums over those at risk: the likelihood of the other patients alone. So
    the likelihood ratio needs no estimate, leaves nobody out, and the group costs its degree of freedom. The same holds
    of a group whose events come when, in their stratum, only its own patients are at risk, and, with an infinite hazard
    ratio, of one whose patients are gone before others have an event: in the limit it is a stratum of its own.
    Fine-Gray regression is then tested by the ratio of its pseudo-likelihoods, whose distribution is nearly that; as it
    is if a group has fewer than 10 patients, of which no interval is given either: the variance would be too small.
    Should the largest group be without event, the largest that has one is the reference.

    Degrees of freedom are what the groups add to the rank of the covariates, within strata. A term that the others
    determine, such as a copy of a known subtype, has no hazard ratio; if covariates or strata determine all groups,
    nothing is tested. If a regression cannot be fitted, it is without the one covariate, else the two, most associated
    with the groups of those without which it can be, as if they had not been asked for; ``left_out`` names them.

    Parameters
    ----------
    clinical : pandas.DataFrame
        Clinical table, indexed by sample.
    groups : pandas.Series
        Group of each patient, indexed by sample; patients without a group are left out.
    covariates : sequence of str, optional
        Columns to adjust for, the most important first; by default those of :data:`~omics.outcome.covariates.KNOWN`.
        ``site`` divides the patients of Cox regression into strata; Fine-Gray regression takes up to 5 sites as a
        covariate, the least important. See :func:`~omics.outcome.covariates.complete` for what is left out, and
        :func:`~omics.outcome.covariates.afforded` for what is pooled and dropped where events are few.

    Returns
    -------
    terms : pandas.DataFrame
        ``endpoint, model, adjusted, term, group, hazard_ratio, lower, upper, p_value, n, events``, a row for each
        covariate, and for each level (``group``) of a text; ``term`` is "group" for the grouping. A reference has the
        hazard ratio 1 and no interval. ``n`` and ``events`` are those of the level.
    tests : pandas.DataFrame
        ``endpoint, model, adjusted, statistic, df, p_value, proportional_p, n, events, covariates, strata, left_out,
        remark``: the joint test of the groups, and the p-value of the test that their hazard ratios do not change with
        time (Cox). Where nothing can be tested, statistic and p-value are NaN and ``remark`` says why.

    Raises
    ------
    UsageError
        A covariate is not there, or is part of the outcome.
    DataError
        As the endpoints: unknown event codes or negative times.

    Notes
    -----
    Unadjusted regressions use all patients with a group, adjusted ones those who have all covariates. Residual disease
    counts as known at diagnosis, though it is measured weeks later: it says what the grouping adds to it, not what
    could have been predicted.

    References
    ----------
    Cox. JRSS B 1972;34:187-220. Fine, Gray. JASA 1999;94:496-509. Vittinghoff, McCulloch. Am J Epidemiol
    2007;165:710-718 (events per parameter). Albert, Anderson. Biometrika 1984;71:1-10 (estimates that do not exist).
    """
    names = known.covariates_of(clinical, covariates)
    patients = clinical.loc[clinical.index.isin(groups.dropna().index)]
    members = groups.loc[patients.index].astype(str)
    uses = [[], names] if names or covariates is None else [[]]
    terms, tests = [], []
    for name in supported(patients):
        outcome = endpoint(patients, name)
        outcome = outcome.assign(happened=outcome["event"] == RELAPSE)  # the event of interest is 1 everywhere
        models = ("cause_specific_cox", "fine_gray") if ENDPOINTS[name].competing else ("cox",)
        for model, (number, columns) in product(models, enumerate(uses)):
            labels = {"endpoint": name, "model": model, "adjusted": number}
            task, fit, why = _fitted(outcome, members, patients.loc[outcome.index, columns], model)
            terms += [] if fit is None else [labels | row for row in _term_rows(task, fit)]
            tests.append(labels | _test_row(task, fit, why))
    return _table(terms, _TERMS), _table(tests, _TESTS)


def _task(outcome: pd.DataFrame, members: pd.Series, columns: pd.DataFrame, model: str) -> _Task:
    """The regression that can be made of the patients and columns."""
    complete = known.complete(columns)
    outcome = outcome.loc[complete.table.index]
    group = members.loc[outcome.index].rename(GROUP)
    complete, strata = _without_site(complete, model)
    ready = known.afforded(complete, outcome["happened"], max(group.nunique() - 1, 0))
    reference, why = _reference(group, members, outcome["happened"])
    return _Task(outcome, group, ready._replace(remarks=[*ready.remarks, *why]), strata, reference)


def _without_site(complete: Covariates, model: str) -> tuple[Covariates, pd.Series | None]:
    """Covariates without the site, and strata; for Fine-Gray, with few sites as the last covariate, and no strata."""
    if SITE not in complete.table:
        return complete, None
    site, rest = complete.table[SITE], complete.table.drop(columns=SITE)
    if model != "fine_gray":
        return complete._replace(table=rest), site
    if site.nunique() <= _MOST_SITES:
        return complete._replace(table=rest.assign(**{SITE: site})), None
    why = f"{SITE} (Fine-Gray regression has no strata, and {site.nunique()} sites are too many for a covariate)"
    return complete._replace(table=rest, left_out=[*complete.left_out, why]), None


def _reference(group: pd.Series, members: pd.Series, happened: pd.Series) -> tuple[str, list[str]]:
    """The largest group of all, or, if it has no event here, of those that have, with a remark."""
    largest = known.levels(members)[0]
    eventful = group[group.isin(group[happened])]
    if largest in set(eventful) or eventful.empty:
        return largest, []
    chosen = known.levels(eventful)[0]
    return chosen, [f"the reference is {chosen}: {largest}, the largest group, has no event here"]


def _fitted(
    outcome: pd.DataFrame, members: pd.Series, columns: pd.DataFrame, model: str
) -> tuple[_Task, _Fit | None, str]:
    """The regression beside the columns, or all but the fewest without which it can be fitted; else None, and why."""
    task = _task(outcome, members, columns, model)
    why = _refusal(task, model, bool(len(columns.columns)))
    if why:
        return task, None, why
    fit, why = _attempt(task, model)
    # without any covariate it must be possible: else they are not what is in the way
    if fit is not None or _attempt(_task(outcome, members, columns[[]], model), model)[0] is None:
        return task, fit, why
    found = _associations(task)
    for gone in (*combinations(found, 1), *combinations(found, 2)):
        without = columns.drop(columns=[name if name in columns else name.removeprefix("log10 ") for name in gone])
        other = _task(outcome, members, without, model)
        fit = None if _refusal(other, model, True) else _attempt(other, model)[0]
        if fit is not None and fit.df > 0:
            said = f"{', '.join(gone)}: {why.partition(': ')[0]} with {'it' if len(gone) == 1 else 'them'}"
            alike = ", ".join(f"{found[one]:.2f}" for one in gone)
            left_out = [f"{said}, association with the groups {alike} of 1", *other.covariates.left_out]
            return other._replace(covariates=other.covariates._replace(left_out=left_out)), fit, ""
    return task, None, why


def _refusal(task: _Task, model: str, with_covariates: bool) -> str:
    """Why there is nothing to fit, whatever the covariates; empty if there is."""
    if not task.outcome["happened"].any():
        return "there is no event"
    if task.group.nunique() < 2:
        return "there is only one group"
    if model == "fine_gray" and (task.outcome["entry"] > 0).any():
        return "patients came under observation late, which Fine-Gray regression does not know of"
    if with_covariates and task.strata is None and task.covariates.table.empty:
        columns = [one for one in task.covariates.left_out if not one.endswith("(a covariate is missing)")]
        return "no covariate is left to adjust for" + (f": {', '.join(columns)}" if columns else "")
    return ""


def _attempt(task: _Task, model: str) -> tuple[_Fit | None, str]:
    """The fit, or None, and why there is none."""
    try:
        return (_fine_gray(task) if model == "fine_gray" else _cox(task)), ""
    except (DataError, np.linalg.LinAlgError) as error:
        return None, error.what if isinstance(error, DataError) else "the information is singular"


def _associations(task: _Task) -> dict[str, float]:
    """Association of each covariate with the groups, the strongest first: Cramer's V, of a number the root of eta^2."""
    table = task.covariates.table if task.strata is None else task.covariates.table.assign(**{SITE: task.strata})
    found = {}
    for name, column in table.items():
        if is_numeric(column):
            found[str(name)] = float(eta_squared(column.to_numpy(float)[:, None], task.group.to_numpy())[0]) ** 0.5
        else:
            found[str(name)] = float(association(pd.crosstab(column, task.group).to_numpy(), method="cramer"))
    return dict(sorted(found.items(), key=lambda one: -one[1]))


def _test_row(task: _Task, fit: _Fit | None, why: str) -> dict[str, object]:
    covariates = task.covariates
    row = {
        "statistic": np.nan, "df": 0, "p_value": np.nan, "proportional_p": np.nan, "n": len(task.outcome),
        "events": int(task.outcome["happened"].sum()), "covariates": ", ".join(map(str, covariates.table)),
        "strata": "" if task.strata is None else SITE, "left_out": "; ".join(covariates.left_out),
    }  # fmt: skip
    if fit is None:
        return row | {"remark": "; ".join([*covariates.remarks, f"not fitted: {why}"])}
    if fit.df > 0:
        row |= {"statistic": fit.statistic, "df": fit.df, "p_value": float(chi2.sf(fit.statistic, fit.df))}
    return row | {"proportional_p": fit.proportional_p, "remark": "; ".join([*covariates.remarks, *fit.remarks])}


# --- the regressions --------------------------------------------------------------------------------------------------


def _cox(task: _Task) -> _Fit:
    x, endless = task.design(), _endless(task, task.outcome["time"])
    told = _told(task, x, task.outcome["time"])
    limit = task._replace(strata=_apart(task, list(endless)))
    seen = _told(limit, x, task.outcome["time"])
    fitted, likelihood = _partial(limit, x[seen.independent])
    _, without = _partial(task, x[[column for column in told.independent if not _is_group(column)]])
    found = fitted.loc[np.array([column in seen.estimable for column in seen.independent], dtype=bool)]
    df, remarks, estimates = _judged(task, told, found, endless)
    return _Fit(estimates, max(2 * (likelihood - without), 0.0), df, _proportional(limit, x[seen.independent]), remarks)


def _endless(task: _Task, stays: pd.Series) -> dict[str, float]:
    """Groups whose hazard ratio goes to 0 or to infinity: each has a limit, as has the likelihood.

    To 0: no event at which another group is at risk. To infinity: there is, and all leave before others have an event.
    `stays` is until when each patient is at risk.
    """
    number, names = pd.factorize(task.group, sort=True)
    o = task.outcome.assign(number=number, stays=stays.clip(upper=task.outcome["time"].max() + 1))
    own, others = np.zeros(len(names)), np.zeros(len(names))
    for _, part in o.groupby(_strata(task)):
        group, entry = part["number"].to_numpy(), part["entry"]
        table = risk_table(part["stays"], part["happened"], cause=1, group=group, entry=entry, groups=len(names))
        opposed = table.at_risk.sum(axis=1, keepdims=True) > table.at_risk
        own += (table.events * opposed).sum(axis=0)
        others += ((table.events.sum(axis=1, keepdims=True) - table.events) * (table.at_risk > 0)).sum(axis=0)
    if len(names) == 2:  # what is said of one holds of the other, turned round
        own, others = (np.where(names == task.reference, np.nan, part) for part in (own, others))
    return dict.fromkeys(names[own == 0], 0.0) | dict.fromkeys(names[(own > 0) & (others == 0)], np.inf)


def _apart(task: _Task, endless: list[str]) -> pd.Series | None:
    """Strata in which each of these groups is by itself: what remains of the likelihood in the limit."""
    if not endless:
        return task.strata
    own = task.group.where(task.group.isin(endless), "")
    return pd.Series(pd.MultiIndex.from_arrays([_strata(task), own]).factorize()[0], task.outcome.index)


def _strata(task: _Task) -> np.ndarray:
    """Number of each patient's stratum."""
    return np.zeros(len(task.outcome), dtype=int) if task.strata is None else pd.factorize(task.strata)[0]


def _partial(task: _Task, x: pd.DataFrame) -> tuple[pd.DataFrame, float]:
    """Estimates of Cox regression by column, and the partial log-likelihood; without columns, that of no effect.

    With Y at risk and d events at each time, Efron's likelihood of no effect is ``sum log (Y - d)! / Y!``.
    """
    o = task.outcome
    if len(x.columns):
        fit = cox(o["time"], o["event"], _flat(x), cause=RELAPSE, entry=o["entry"], strata=task.strata)
        return fit.table[_ESTIMATES].set_axis(x.columns), fit.log_likelihood
    total = 0.0
    for _, part in o.groupby(_strata(task)):
        table = risk_table(part["time"], part["happened"], cause=1, entry=part["entry"])
        total += float((gammaln(table.at_risk - table.events + 1) - gammaln(table.at_risk + 1)).sum())
    return pd.DataFrame(columns=_ESTIMATES, index=x.columns, dtype=float), total


def _proportional(task: _Task, x: pd.DataFrame) -> float:
    """P-value of the test that the coefficients of the groups together do not change with time."""
    own = [level for term, level in _columns(x) if term == GROUP]
    if not own:
        return np.nan
    alone = _flat(x[[column for column in _columns(x) if column[0] != GROUP]])
    table = alone.assign(**{GROUP: task.group.where(task.group.isin(own), "")})  # "" sorts first: the reference
    time, event, entry = (task.outcome[name] for name in ("time", "event", "entry"))
    try:
        tests = proportional_hazards_test(time, event, table, cause=RELAPSE, entry=entry, strata=task.strata)
    except DataError:  # all events at one time: nothing can change
        return np.nan
    return float(tests.loc[tests["term"] == GROUP, "p_value"].item())


def _fine_gray(task: _Task) -> _Fit:
    x, o = task.design(), task.outcome
    stays = o["time"].mask((o["event"] != CENSORED) & ~o["happened"], np.inf)
    told, endless = _told(task, x, stays), _endless(task, stays)
    kept = x[told.independent]
    if not len(kept.columns):
        raise DataError("nobody of another group is at risk at any event")
    if o["happened"].sum() < len(kept.columns):
        raise DataError(f"{o['happened'].sum()} events for {len(kept.columns)} coefficients")
    own = np.array([_is_group(column) for column in _columns(kept)])
    no_end = list(task.group.unique() if task.reference in endless else endless)
    sure = np.array([column in told.estimable and not _is_group(column, no_end) for column in _columns(kept)])
    fit = _subdistribution(task, kept)
    names = [str(name) for name in _flat(kept.loc[:, sure])]
    refuse_runaway(fit.coefficient[sure], kept.to_numpy()[:, sure], names)
    table = wald(names, fit.coefficient[sure], fit.variance[np.ix_(sure, sure)])
    found = table[_ESTIMATES].set_axis(kept.columns[sure])
    small = [str(one) for one, n in task.group.value_counts().sort_index().items() if n < _FEWEST_FOR_WALD]
    found.loc[[_is_group(column, small) for column in _columns(kept.loc[:, sure])], _ESTIMATES[1:]] = np.nan
    df, remarks, estimates = _judged(task, told, found, endless)
    if small:
        remarks.append(f"fewer than {_FEWEST_FOR_WALD} patients, so without interval: {', '.join(small)}")
    if small or endless:
        without = _subdistribution(task, kept.loc[:, ~own]).log_likelihood if not own.all() else fit.log_likelihood_null
        statistic = max(2 * (fit.log_likelihood - without), 0.0)
        remarks.append("tested by the ratio of pseudo-likelihoods")
    else:
        b, variance = fit.coefficient[own], fit.variance[np.ix_(own, own)]
        statistic = float(b @ np.linalg.solve(variance, b))
    return _Fit(estimates, statistic, df, np.nan, remarks)


def _subdistribution(task: _Task, x: pd.DataFrame) -> FineGray:
    """Fine-Gray regression; a coefficient that runs to infinity stops where the likelihood no longer changes."""
    design = x.to_numpy()
    time, event = task.outcome["time"].to_numpy(float), task.outcome["event"].to_numpy()
    return fit_fine_gray(time, event, design - design.mean(axis=0), RELAPSE)


# --- designs and rows -------------------------------------------------------------------------------------------------


def _columns(x: pd.DataFrame) -> list[Column]:
    return cast("list[Column]", x.columns.tolist())


def _is_group(column: Column, among: list[str] | None = None) -> bool:
    return column[0] == GROUP and (among is None or column[1] in among)


def _told(task: _Task, x: pd.DataFrame, stays: pd.Series) -> _Told:
    """Which columns vary by themselves within strata, over patients who are at risk at some event.

    The information of a regression has the rank of these columns. `stays` is until when each patient is at risk.
    """
    seen, stratum = _ever_at_risk(task, stays)
    values = x.to_numpy()
    belongs = np.eye(stratum.max(initial=0) + 1)[stratum[seen]]  # (patient, stratum)
    within = values[seen] - belongs @ (belongs.T @ values[seen] / np.maximum(belongs.sum(axis=0), 1)[:, None])
    size = np.linalg.norm(values - values.mean(axis=0), axis=0)
    scaled = within / np.where(size > 0, size, 1.0)
    basis, independent = np.empty((len(scaled), 0)), []
    for number, column in enumerate(_columns(x)):
        rest = scaled[:, number] - basis @ (basis.T @ scaled[:, number])
        rest -= basis @ (basis.T @ rest)
        if np.linalg.norm(rest) > _DEPENDENT:
            basis = np.column_stack([basis, rest / np.linalg.norm(rest)])
            independent.append(column)
    _, directions = np.linalg.eigh(scaled.T @ scaled)
    idle = directions[:, : len(x.columns) - len(independent)]  # along these, coefficients change nothing
    unique = (np.abs(idle) < 1e-4).all(axis=1)
    return _Told(x.columns, independent, [column for column, one in zip(_columns(x), unique, strict=True) if one])


def _ever_at_risk(task: _Task, stays: pd.Series) -> tuple[np.ndarray, np.ndarray]:
    """Whether each patient is at risk at some event of the stratum, and the number of the stratum."""
    o = task.outcome
    stratum = _strata(task)
    begins, ends = o["entry"].where(o["entry"] > 0, -np.inf).to_numpy(), stays.to_numpy(float)
    time, happened, seen = o["time"].to_numpy(float), o["happened"].to_numpy(bool), np.zeros(len(o), dtype=bool)
    for one in np.unique(stratum):
        rows = stratum == one
        times = np.sort(time[rows & happened])
        last, first = (np.searchsorted(times, at[rows], side="right") for at in (ends, begins))
        seen[rows] = last > first
    return seen, stratum


def _flat(x: pd.DataFrame) -> pd.DataFrame:
    return x.set_axis([f"{term}={level}" if level else term for term, level in _columns(x)], axis=1)


def _judged(
    task: _Task, told: _Told, found: pd.DataFrame, endless: dict[str, float]
) -> tuple[int, list[str], pd.DataFrame]:
    """Degrees of freedom of the test, what a reader must know of it, and an estimate, or NaN, for every column."""
    df = sum(_is_group(column) for column in told.independent)
    estimates = found.reindex(told.columns)
    for group, limit in endless.items():
        if (GROUP, group) in told.estimable:
            estimates.loc[[(GROUP, group)], ["hazard_ratio", "upper"] if limit else ["hazard_ratio"]] = limit
    remarks, events, needed = [], int(task.outcome["happened"].sum()), len(estimates)
    if events < EVENTS_PER_PARAMETER * needed:
        remarks.append(f"{events} events for {needed} parameters: fewer than {EVENTS_PER_PARAMETER} for each")
    falling = [group for group, limit in endless.items() if not limit]
    if falling:
        against = (
            " at which other groups are at risk" if task.group[task.outcome["happened"]].isin(falling).any() else ""
        )
        remarks.append(f"no event{against} in {', '.join(falling)}: tested by the limit of the likelihood")
    if len(falling) < len(endless):
        rising = [f"{one} ({(task.group == one).sum()} patients)" for one in endless if one not in falling]
        remarks.append(
            f"no event of other groups while {', '.join(rising)} at risk: tested by the limit of the likelihood"
        )
    if df == 0:
        remarks.append("nothing is left to test: covariates, strata or who is at risk determine the groups")
    given = estimates["hazard_ratio"].notna().to_numpy()
    lost = [" ".join(column).strip() for column, one in zip(estimates.index, given, strict=True) if not one]
    if lost:
        remarks.append(f"not told apart from other terms or strata, so without hazard ratio: {', '.join(lost)}")
    return df, remarks, estimates


def _term_rows(task: _Task, fit: _Fit) -> list[dict[str, Any]]:
    """Rows of the terms, the grouping first; of a text the reference, with hazard ratio 1, and its other levels."""
    rows: list[dict[str, Any]] = []
    happened, table = task.outcome["happened"], task.table
    found = cast("dict[Column, dict[str, Any]]", fit.estimates.to_dict("index"))
    for term in (GROUP, *task.covariates.table):
        if (term, "") in found:
            row = {"term": term, "group": "", "n": len(happened), "events": int(happened.sum())}
            rows.append(row | found[term, ""])
            continue
        for level in known.levels(table[term], task.reference if term == GROUP else None):
            members = happened[table[term] == level]
            row = {"term": term, "group": level, "n": len(members), "events": int(members.sum())}
            rows.append(row | found.get((term, level), {"hazard_ratio": 1.0}))
    return rows


def _table(rows: list[dict[str, Any]], kinds: dict[str, str]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=list(kinds)).astype(kinds)
