"""Do groups differ in outcome: each clustering that was looked at, corrected for how many these are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import gammaln
from scipy.stats import chi2

from omics.outcome.comparison import GroupTest, group_test
from omics.outcome.endpoints import ENDPOINTS, endpoint, measured_at_relapse, supported

_COLUMNS = {
    "endpoint": "object", "solution": "object", "n_groups": "int64", "test": "object", "statistic": "float64",
    "df": "int64", "p_value": "float64", "p_adjusted": "float64", "n": "int64", "events": "int64",
}  # fmt: skip
_REFRACTORY = "refractory"
#: Tables of half the groups that Fisher's test lists; beyond, Pearson's statistic has its limiting distribution.
_MOST_TABLES = 2_000_000


def over_solutions(
    clinical: pd.DataFrame, solutions: Mapping[str, pd.Series], *, random_state: int = 0
) -> pd.DataFrame:
    """Test of every clustering for every endpoint that the clinical table supports.

    Endpoints with which others compete are tested by Gray's test, the others by the log-rank test, either by
    permutation where a group expects few events (:func:`~omics.outcome.comparison.group_test`), and failure of
    induction by Fisher's exact test of the groups (Pearson's where the tables to be counted are too many). The
    p-values of one endpoint are adjusted over all solutions by Holm's method: of m p-values in ascending order,
    ``p_(i)`` becomes ``max_{j <= i} min(1, (m - j + 1) p_(j))``.

    Parameters
    ----------
    clinical : pandas.DataFrame
        Clinical table, indexed by sample.
    solutions : mapping
        Name of a clustering -> group of each patient, indexed by sample; patients without a group are left out of it.
        All clusterings that were looked at, or the correction is too small.
    random_state : int
        Seed of the permutations.

    Returns
    -------
    pandas.DataFrame
        ``endpoint, solution, n_groups, test, statistic, df, p_value, p_adjusted, n, events``; ``test`` is gray,
        logrank, either with ``_permuted``, fisher or chi2, ``statistic`` of the last two Pearson's. Statistic and
        p-values are NaN where there is one group, no event, or, for Gray's test, which does not know of it, where
        patients came under observation late; such a solution does not count in the correction.

    Raises
    ------
    DataError
        As the endpoints: unknown event codes or negative times.

    References
    ----------
    Holm. Scand J Stat 1979;6:65-70. Gray. Annals of Statistics 1988;16:1141-1154. Freeman, Halton. Biometrika
    1951;38:141-149.
    """
    grouped = set().union(*(of.dropna().index for of in solutions.values()))
    clinical = clinical.loc[clinical.index.isin(grouped)]
    names = supported(clinical)
    if _REFRACTORY in clinical and clinical[_REFRACTORY].notna().any() and not measured_at_relapse(clinical):
        names.append(_REFRACTORY)
    tables = [pd.DataFrame(columns=list(_COLUMNS))]
    for name in names:
        rows = [
            {"endpoint": name, "solution": key, **_row(clinical, name, of, random_state)}
            for key, of in solutions.items()
        ]
        table = pd.DataFrame(rows, columns=list(_COLUMNS))
        tables.append(table.assign(p_adjusted=holm(table["p_value"].to_numpy(float))))
    filled = [table for table in tables if len(table)]
    return (pd.concat(filled, ignore_index=True) if filled else tables[0]).astype(_COLUMNS)


def holm(p_values: np.ndarray) -> np.ndarray:
    """P-values adjusted by Holm's method; NaN stays, and does not count."""
    tested = np.flatnonzero(np.isfinite(p_values))
    order = tested[np.argsort(p_values[tested], kind="stable")]
    result = np.full(len(p_values), np.nan)
    result[order] = np.minimum(np.maximum.accumulate(p_values[order] * np.arange(len(order), 0, -1)), 1.0)
    return result


def exact_test(happened: Any, group: Any) -> tuple[str, GroupTest]:
    """Fisher's exact test that a share is the same in all groups (Freeman and Halton's for more than two).

    The p-value is the chance of a table, given its margins, that is no likelier than the one observed, where a table
    with k_g of the n_g patients of each group has the chance ``prod_g C(n_g, k_g) / C(n, k)``.

    Parameters
    ----------
    happened : array-like of bool, shape (patient,)
        Whether it happened to each patient.
    group : array-like, shape (patient,)
        Group of each patient.

    Returns
    -------
    name : {"fisher", "chi2"}
        Whether the p-value is exact, or, where there are more than two million tables to count, that of Pearson's
        statistic.
    test : GroupTest
        With Pearson's statistic; NaN where there is one group, or no event, or no patient without.
    """
    happened, number = np.asarray(happened, dtype=bool), np.unique(np.asarray(group), return_inverse=True)[1]
    size, events = np.bincount(number), np.bincount(number, weights=happened).astype(int)
    n, total = len(happened), int(happened.sum())
    df = len(size) - 1
    if df < 1 or total in (0, n):
        return "fisher", GroupTest(np.nan, max(df, 0), np.nan, n, total)
    expected = size * total / n
    statistic = float(((events - expected) ** 2 / expected).sum() / (1 - total / n))
    fewer = events if 2 * total <= n else size - events
    p_value = _exact(size, fewer)
    if p_value is None:
        return "chi2", GroupTest(statistic, df, float(chi2.sf(statistic, df)), n, total)
    return "fisher", GroupTest(statistic, df, p_value, n, total)


def _row(clinical: pd.DataFrame, name: str, groups: pd.Series, random_state: int) -> dict[str, Any]:
    """One solution and endpoint, without its adjusted p-value."""
    members = groups.dropna().astype(str)
    patients = clinical.loc[clinical.index.isin(members.index)]
    if name == _REFRACTORY:
        failed = patients[_REFRACTORY].dropna() == 1
        label = members.loc[failed.index]
        test, result = exact_test(failed, label)
        return {"n_groups": label.nunique(), "test": test, **result._asdict()}
    outcome = endpoint(patients, name)
    label = members.loc[outcome.index]
    test, result = group_test(outcome, label, competing=ENDPOINTS[name].competing, random_state=random_state)
    return {"n_groups": label.nunique(), "test": test, **result._asdict()}


def _exact(size: np.ndarray, events: np.ndarray) -> float | None:
    """P-value of Fisher's test, None where too many tables would be listed.

    The groups are divided into two halves, and the tables of each half listed by the events in them: the chance of a
    whole table is that of its halves, so of those sorted by it, a search finds which go with a table of the others.
    """
    total = int(events.sum())
    order = np.argsort(size, kind="stable")
    halves = size[order[::2]], size[order[1::2]]
    if sum(_count(half, total) for half in halves) > _MOST_TABLES:
        return None
    ones, others = (_listed(half, total) for half in halves)
    whole = _log_choose(size.sum(), total)
    observed = float(_log_choose(size, events).sum()) + 1e-7  # as likely, but for rounding
    p_value = 0.0
    for k, one in ones.items():
        other = np.sort(others.get(total - k, np.empty(0)))
        if other.size:
            below = np.concatenate([[0.0], np.cumsum(np.exp(other - other[-1]))])
            found = below[np.searchsorted(other, observed - one, side="right")]
            p_value += float((np.exp(one + other[-1] - whole) * found).sum())
    return min(p_value, 1.0)


def _count(size: np.ndarray, total: int) -> int:
    """How many tables of these groups have at most `total` events."""
    ways = np.ones(1)
    for n in size:
        ways = np.convolve(ways, np.ones(min(n, total) + 1))[: total + 1]
    return int(ways.sum())


def _listed(size: np.ndarray, total: int) -> dict[int, np.ndarray]:
    """Events in these groups -> log of the number of ways to each of the tables that have them."""
    tables = {0: np.zeros(1)}
    for n in size:
        grown: dict[int, list[np.ndarray]] = {}
        for k, ways in tables.items():
            for more in range(min(int(n), total - k) + 1):
                grown.setdefault(k + more, []).append(ways + _log_choose(n, more))
        tables = {k: np.concatenate(parts) for k, parts in grown.items()}
    return tables


def _log_choose(n: Any, k: Any) -> Any:
    return gammaln(n + 1.0) - gammaln(k + 1.0) - gammaln(n - k + 1.0)
