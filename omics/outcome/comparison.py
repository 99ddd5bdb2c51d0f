"""Do groups of patients differ: Gray's test, the log-rank test, and both for every endpoint of a clinical table."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import comprisk
import numpy as np
import pandas as pd
from scipy.stats import chi2

from omics.outcome.curves import CENSORED, RELAPSE, RiskTable, cumulative_incidence, kaplan_meier, risk_table
from omics.outcome.endpoints import ENDPOINTS, endpoint, supported
from omics.schema import NODES, DataError

#: Where a group expects fewer events than this, the chi-square distribution is too far off (Cochran 1954).
FEWEST_EXPECTED = 5
#: Draws of the groups then, at most, and how many that reach the observed value are enough.
DRAWS, ENOUGH = 999, 20


class GroupTest(NamedTuple):
    """Result of a test that groups do not differ; statistic and p-value are NaN where nothing can be compared.

    Attributes
    ----------
    statistic : float
        Chi-square statistic.
    df : int
        Degrees of freedom: groups that were at risk at some event, minus one.
    p_value : float
        Two-sided p-value.
    n : int
        Patients.
    events : int
        Events of the endpoint.
    """

    statistic: float
    df: int
    p_value: float
    n: int
    events: int


def gray_test(time: Any, event: Any, group: Any, *, cause: int = RELAPSE) -> GroupTest:
    """Gray's test that the cumulative incidence of one cause is the same in all groups.

    Parameters
    ----------
    time, event : array-like, shape (patient,)
        Time and code of the first event; 0 is censored.
    group : array-like, shape (patient,)
        Group of each patient.
    cause : int
        Code of the cause of interest; every other code but 0 competes with it.

    Raises
    ------
    DataError
        There are fewer than two groups, a group is missing, or as :func:`~omics.outcome.curves.risk_table`.

    References
    ----------
    Gray. Annals of Statistics 1988;16:1141-1154.
    """
    number = _group_numbers(group)
    table = risk_table(time, event, cause=cause, group=number)
    compared = np.flatnonzero(_compared(table))
    rows = np.isin(number, compared)
    n, events = len(number), int(table.events.sum())
    if len(compared) < 2:
        return GroupTest(np.nan, max(len(compared) - 1, 0), np.nan, n, events)
    result = comprisk.gray_test(np.asarray(time)[rows], np.asarray(event)[rows], number[rows], cause=cause)
    return GroupTest(result.stat, result.df, result.pvalue, n, events)


def logrank_test(
    time: Any, event: Any, group: Any, *, entry: Any | None = None, strata: Any | None = None
) -> GroupTest:
    """Log-rank test that survival is the same in all groups.

    With ``e_g = sum_t d Y_g / Y`` the events expected in group g and the hypergeometric covariance
    ``V = sum_t d (Y - d) / (Y - 1) (diag(Y_g / Y) - Y_g Y_h / Y^2)``, the statistic is ``(d - e)' V^- (d - e)``.

    Parameters
    ----------
    time, event : array-like, shape (patient,)
        Time and event; 0 is censored, every other code is an event.
    group : array-like, shape (patient,)
        Group of each patient.
    entry : array-like, shape (patient,), optional
        Time at which follow-up of each patient began, by default 0.
    strata : array-like, shape (patient,), optional
        Groups within which patients are compared; excesses and covariances are summed over them.

    Raises
    ------
    DataError
        As :func:`gray_test`.
    """
    number = _group_numbers(group)
    time, happened = np.asarray(time, dtype=float), np.asarray(event) != CENSORED
    start = np.zeros(len(time)) if entry is None else np.asarray(entry, dtype=float)
    stratum = np.zeros(len(time), dtype=int) if strata is None else _group_numbers(strata, least=1)
    groups = number.max() + 1
    excess, covariance = np.zeros(groups), np.zeros((groups, groups))
    compared = np.zeros(groups, dtype=bool)
    for one in np.unique(stratum):
        rows = stratum == one
        table = risk_table(time[rows], happened[rows], cause=1, group=number[rows], entry=start[rows], groups=groups)
        expected, spread = _hypergeometric(table)
        excess += table.events.sum(axis=0) - expected
        covariance += spread
        compared |= _compared(table)
    n, events, df = len(number), int(happened.sum()), max(int(compared.sum()) - 1, 0)
    if df < 1:
        return GroupTest(np.nan, df, np.nan, n, events)
    kept = np.flatnonzero(compared)[:-1]
    statistic = float(excess[kept] @ np.linalg.pinv(covariance[np.ix_(kept, kept)], hermitian=True) @ excess[kept])
    return GroupTest(statistic, df, float(chi2.sf(statistic, df)), n, events)


def _hypergeometric(table: RiskTable) -> tuple[np.ndarray, np.ndarray]:
    """Events expected in each group, and their covariance."""
    total, at_risk = table.events.sum(axis=1), table.at_risk.sum(axis=1)
    share = np.divide(table.at_risk, at_risk[:, None], out=np.zeros_like(table.at_risk), where=at_risk[:, None] > 0)
    scale = total * (at_risk - total) / np.maximum(at_risk - 1.0, 1.0)
    return total @ share, np.diag(scale @ share) - (share * scale[:, None]).T @ share


def group_test(
    outcome: pd.DataFrame, group: pd.Series, *, competing: bool, random_state: int = 0
) -> tuple[str, GroupTest]:
    """Gray's test where events compete, else the log-rank test; by permutation where a group expects few events.

    The limiting distribution calls small groups different too often. Then groups are dealt out anew, and the p-value is
    the share of draws in which that of the limit is as small as the observed one: ``20 / L`` if the twentieth such draw
    is the L-th, or else ``(1 + reached) / 1000`` of 999 draws. As the statistic carries its own variance, this holds
    nearly also where groups were not followed equally long. The order of patients does not matter.

    Parameters
    ----------
    outcome : pandas.DataFrame
        ``time, event, entry`` of each patient, as :func:`~omics.outcome.endpoints.endpoint`.
    group : pandas.Series
        Group of each patient, in the same order.
    competing : bool
        Whether events of other codes than 1 compete; else every code but 0 is an event.
    random_state : int
        Seed of the draws.

    Returns
    -------
    name : {"gray", "logrank", "gray_permuted", "logrank_permuted"}
        Permuted where a group that is at risk at some event expects fewer than five, by the patients of all groups.
    test : GroupTest
        NaN where there is one group, nothing can be compared, or, for Gray's test, which does not know of it, where
        patients came under observation late.

    References
    ----------
    Cochran. Biometrics 1954;10:417-451: five expected. Besag, Clifford. Biometrika 1991;78:301-304: when to stop.
    Janssen. Statistics & Probability Letters 1997;36:9-21: permutation of statistics with their own variance.
    """
    name, groups = "gray" if competing else "logrank", group.nunique()
    time, event, entry = (outcome[column].to_numpy(dtype=float) for column in ("time", "event", "entry"))
    happened = event == RELAPSE if competing else event != CENSORED
    if groups < 2 or (competing and (entry > 0).any()):
        return name, GroupTest(np.nan, max(groups - 1, 0), np.nan, len(group), int(happened.sum()))

    def run(of: np.ndarray) -> GroupTest:
        return gray_test(time, event, of) if competing else logrank_test(time, event, of, entry=entry)

    number = _group_numbers(group)
    result = run(number)
    table = risk_table(time, happened, cause=1, group=number, entry=entry)
    expected = _hypergeometric(table)[0][_compared(table)]
    if not np.isfinite(result.p_value) or expected.min() >= FEWEST_EXPECTED:
        return name, result
    order = np.lexsort((number, np.bincount(number)[number], entry, event, time))
    time, event, entry = time[order], event[order], entry[order]
    p_value = _share_of_draws(run, number[order], result.p_value, random_state)
    return f"{name}_permuted", result._replace(p_value=p_value)


def _share_of_draws(
    run: Callable[[np.ndarray], GroupTest], number: np.ndarray, observed: float, random_state: int
) -> float:
    """Share of the draws of the groups whose p-value is at most the observed one; one without any is not."""
    rng, reached = np.random.default_rng(random_state), 0
    for draw in range(1, DRAWS + 1):
        reached += bool(run(rng.permutation(number)).p_value <= observed * (1 + 1e-9))
        if reached == ENOUGH:
            return reached / draw
    return (1 + reached) / (1 + DRAWS)


def compare(clinical: pd.DataFrame, groups: pd.Series, *, random_state: int = 0) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Curves of each group, and tests between groups, for every endpoint that the clinical table supports.

    An endpoint with which other events compete, such as relapse, is compared by cumulative incidence and Gray's test;
    the others by Kaplan-Meier and the log-rank test (:func:`group_test`). Where patients came under observation late,
    Gray's test, which does not know of that, is left out.

    Parameters
    ----------
    clinical : pandas.DataFrame
        Clinical table, indexed by sample.
    groups : pandas.Series
        Group of each patient, indexed by sample; patients without a group are left out.
    random_state : int
        Seed of the permutations.

    Returns
    -------
    curves, tests : pandas.DataFrame
        Columns of ``curves`` and ``tests`` in :data:`omics.schema.NODES`; without rows if the table supports no
        endpoint, and no tests if there is only one group.

    Raises
    ------
    DataError
        As the endpoints: unknown event codes or negative times.
    """
    members = groups.dropna()
    patients = clinical.loc[clinical.index.isin(members.index)]
    curves, tests = [_empty("curves")], [_empty("tests")]
    for name in supported(patients):
        competing = ENDPOINTS[name].competing
        outcome = endpoint(patients, name)
        label = members.loc[outcome.index].astype(str)
        curve = cumulative_incidence if competing else kaplan_meier
        for group in sorted(label.unique()):
            part = outcome[label == group]
            drawn = curve(part["time"], part["event"], entry=part["entry"])
            curves.append(drawn.assign(group=group, endpoint=name))
        if label.nunique() > 1 and not (competing and (outcome["entry"] > 0).any()):
            test, result = group_test(outcome, label, competing=competing, random_state=random_state)
            tests.append(pd.DataFrame([{"endpoint": name, "test": test, **result._asdict()}]))
    return _stack(curves), _stack(tests)


_DTYPES = {"float": "float64", "integer": "int64", "text": "object"}


def _empty(node: str) -> pd.DataFrame:
    return pd.DataFrame({v.name: pd.Series(dtype=_DTYPES[v.kind]) for v in NODES[node]})


def _stack(tables: list[pd.DataFrame]) -> pd.DataFrame:
    """Rows of all tables below each other, in the columns of the first, which has no rows."""
    empty, *filled = tables
    return pd.concat(filled, ignore_index=True)[list(empty.columns)] if filled else empty


def _group_numbers(group: Any, *, least: int = 2) -> np.ndarray:
    number, names = pd.factorize(np.asarray(group), sort=True)
    if len(names) < least or (number < 0).any():
        raise DataError(
            f"groups are {list(names)}, {int((number < 0).sum())} patients have none",
            fix="a test needs at least two groups, and a group for every patient",
        )
    return number


def _compared(table: RiskTable) -> np.ndarray:
    """Groups that have somebody at risk at an event of any group; the others say nothing."""
    return (table.at_risk[table.events.sum(axis=1) > 0] > 0).any(axis=0)
