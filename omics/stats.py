"""Tests of tables and of ranks, many at once, and the false discovery rate of their p-values.

References
----------
Fisher (1935), Journal of the Royal Statistical Society 98: the exact test of a 2 x 2 table.
Mann and Whitney (1947), Annals of Mathematical Statistics 18. Kruskal and Wallis (1952), JASA 47.
Spearman (1904), American Journal of Psychology 15.
Benjamini and Hochberg (1995), Journal of the Royal Statistical Society B 57.
Tomczak and Tomczak (2014), Trends in Sport Sciences 21: effect sizes of rank tests.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy.special import betainc, chdtrc, gammaln, ndtr
from scipy.stats import false_discovery_control, mannwhitneyu, rankdata

#: Tables whose probability is larger than that of the observed one by less than this factor, less 1, are as likely.
TIE = 1e-7
#: Samples of the smaller group up to which the test of Mann and Whitney is exact, if there are no ties.
EXACT = 8
#: Tables looked at together, so that memory stays small.
_TOGETHER = 4096


def fisher(both: np.ndarray, first: np.ndarray, second: np.ndarray, n: int) -> np.ndarray:
    r"""Two-sided p-values of Fisher's exact test.

    .. math:: p = \sum_{k:\,P(k) \le P(a)} P(k), \qquad P(k) = \binom{m}{k} \binom{n - m}{c - k} \Big/ \binom{n}{c}

    Parameters
    ----------
    both : numpy.ndarray of int, shape (test,)
        Samples with both properties, `a`.
    first, second : numpy.ndarray of int, shape (test,)
        Samples with the one, `c`, and with the other, `m`.
    n : int
        All samples.

    Returns
    -------
    numpy.ndarray, shape (test,)

    References
    ----------
    Fisher (1935).
    """
    tables, of = np.unique(np.column_stack([both, first, second]), axis=0, return_inverse=True)
    log_factorial = gammaln(np.arange(n + 1) + 1.0)
    p = [_fisher(tables[start : start + _TOGETHER], log_factorial) for start in range(0, len(tables), _TOGETHER)]
    return np.concatenate([np.zeros(0), *p])[of.ravel()]


def _fisher(tables: np.ndarray, log_factorial: np.ndarray) -> np.ndarray:
    n = len(log_factorial) - 1
    a, c, m = tables.T[:, :, None]
    low, high = np.maximum(0, c + m - n), np.minimum(c, m)
    k = low + np.arange((high - low).max() + 1)  # (test, table)
    possible = k <= high
    k = np.minimum(k, high)
    cells, margins = (k, m - k, c - k, n - m - c + k), (m, n - m, c, n - c)
    log_p = sum(log_factorial[margin] for margin in margins) - sum(log_factorial[cell] for cell in cells)
    log_p -= log_factorial[n]
    unlikely = possible & (log_p <= np.take_along_axis(log_p, a - low, axis=1) + TIE)
    return np.minimum(np.where(unlikely, np.exp(log_p), 0.0).sum(axis=1), 1.0)


def odds_ratio(a: np.ndarray, b: np.ndarray, c: np.ndarray, d: np.ndarray) -> np.ndarray:
    """Sample odds ratio `a d / (b c)`; infinite where only `b c` is 0, NaN where both are."""
    above, below = np.asarray(a * d, dtype=float), np.asarray(b * c, dtype=float)
    empty = np.where(above > 0, np.inf, np.nan)
    return np.divide(above, below, out=empty, where=below > 0)


def q_values(p: np.ndarray) -> np.ndarray:
    """Benjamini-Hochberg: the smallest false discovery rate at which each test would be called; NaN is no test."""
    p = np.asarray(p, dtype=float)
    q, tested = np.full(len(p), np.nan), ~np.isnan(p)
    if tested.any():
        q[tested] = false_discovery_control(p[tested], method="bh")
    return q


def spearman(values: np.ndarray, other: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    r"""Spearman's correlation of each column with `other`, and its two-sided p-value.

    .. math:: t = \rho \sqrt{(n - 2) / (1 - \rho^2)}

    is compared with Student's t with `n - 2` degrees of freedom.

    Parameters
    ----------
    values : numpy.ndarray, shape (sample, test)
        A constant column has no correlation, 0.
    other : numpy.ndarray, shape (sample,)
        At least 3 samples.

    Returns
    -------
    correlation, p_value : numpy.ndarray, shape (test,)
    """
    rank, x = rankdata(values, axis=0), rankdata(other)
    rank, x = rank - rank.mean(axis=0), x - x.mean()
    size = np.sqrt((rank**2).sum(axis=0) * (x**2).sum())
    r = np.clip(np.divide(x @ rank, size, out=np.zeros_like(size), where=size > 0), -1.0, 1.0)
    return r, betainc(len(x) / 2 - 1, 0.5, 1 - r**2)  # the two tails of Student's t


def auc(values: np.ndarray, inside: np.ndarray) -> np.ndarray:
    """Probability that a sample inside has the larger value, ties counted half.

    Parameters
    ----------
    values : numpy.ndarray, shape (sample, test)
        Numbers.
    inside : numpy.ndarray of bool, shape (sample,)
        True of some samples, and not of all.

    Returns
    -------
    numpy.ndarray, shape (test,)
    """
    rank = rankdata(values, axis=0)[inside]
    n = len(rank)
    return np.asarray((rank.sum(axis=0) - n * (n + 1) / 2) / (n * (len(inside) - n)))


def mann_whitney(values: np.ndarray, inside: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    r"""Probability that a sample inside has the larger value, and the two-sided p-value of Mann and Whitney.

    With n samples inside, m outside, and r the ranks of all, the p-value is that of

    .. math:: z = \frac{|\text{AUC} - 1/2|\, n m - 1/2}{\sqrt{n m \operatorname{var}(r) / (n + m)}}

    by the normal distribution: with corrections for ties and continuity. It is exact for a column without ties if
    :data:`EXACT` samples, or fewer, are inside or outside.

    Parameters
    ----------
    values : numpy.ndarray, shape (sample, test)
        Numbers.
    inside : numpy.ndarray of bool, shape (sample,)
        True of some samples, and not of all.

    Returns
    -------
    auc, p_value : numpy.ndarray, shape (test,)
        As of :func:`auc`; 1/2 and 1 for a constant column.

    References
    ----------
    Mann and Whitney (1947).
    """
    area, n, m = auc(values, inside), int(inside.sum()), int((~inside).sum())
    sd = np.sqrt(n * m / (n + m) * rankdata(values, axis=0).var(axis=0, ddof=1))
    z = np.divide(np.abs(area - 0.5) * n * m - 0.5, sd, out=np.full_like(sd, -np.inf), where=sd > 0)
    p = np.minimum(2 * ndtr(-z), 1.0)
    distinct = (np.diff(np.sort(values, axis=0), axis=0) > 0).all(axis=0)
    if min(n, m) <= EXACT and distinct.any():
        small = values[:, distinct]
        p[distinct] = mannwhitneyu(small[inside], small[~inside], axis=0, method="exact").pvalue
    return area, p


def kruskal(values: np.ndarray, group: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    r"""Share of the variance of each column's ranks that is between groups, and the p-value of Kruskal and Wallis.

    .. math:: \frac{\sum_g n_g (\bar r_g - \bar r)^2}{\sum_i (r_i - \bar r)^2} = \frac{H}{n - 1}

    H is the Kruskal-Wallis statistic, corrected for ties, and compared with :math:`\chi^2`. The share is the eta
    squared of the ranks, which Tomczak and Tomczak call the epsilon squared of the test.

    Parameters
    ----------
    values : numpy.ndarray, shape (sample, test)
        Numbers.
    group : numpy.ndarray, shape (sample,)
        At least two groups.

    Returns
    -------
    share, p_value : numpy.ndarray, shape (test,)
    """
    share = eta_squared(rankdata(values, axis=0), group)
    return share, chdtrc(len(pd.unique(group)) - 1, (len(group) - 1) * share)


def eta_squared(values: np.ndarray, group: np.ndarray) -> np.ndarray:
    """Share of each column's variance that is between groups; values (sample, column), 0 for a constant column."""
    centred = values - values.mean(axis=0)
    code = pd.factorize(group)[0]
    sums = np.zeros((code.max() + 1, values.shape[1]))
    np.add.at(sums, code, centred)
    between, whole = (sums**2 / np.bincount(code)[:, None]).sum(axis=0), (centred**2).sum(axis=0)
    return np.minimum(np.divide(between, whole, out=np.zeros_like(whole), where=whole > 0), 1.0)
