"""Exact tests of counts, many at once.

References
----------
Fisher (1935), Journal of the Royal Statistical Society 98: the exact test of a 2 x 2 table.
McNemar (1947), Psychometrika 12: the test of pairs. Benjamini and Hochberg (1995), JRSS B 57.
Haldane (1956), Annals of Human Genetics 20; Anscombe (1956), Biometrika 43: one half added to each cell.
"""

from __future__ import annotations

import numpy as np
from scipy.stats import binom, false_discovery_control, hypergeom

#: Tables whose probability is larger than that of the observed one by less than this factor, less 1, are as likely.
TIE = 1e-7
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
    p = [_fisher(tables[start : start + _TOGETHER], n) for start in range(0, len(tables), _TOGETHER)]
    return np.concatenate([np.zeros(0), *p])[of.ravel()]


def _fisher(tables: np.ndarray, n: int) -> np.ndarray:
    a, c, m = tables.T[:, :, None]
    k = np.arange(np.minimum(c, m).max() + 1)
    p = hypergeom.pmf(k, n, m, c)
    observed = np.take_along_axis(p, a, axis=1)
    return np.minimum(np.where(p <= observed * (1 + TIE), p, 0.0).sum(axis=1), 1.0)


def mcnemar(gained: np.ndarray, lost: np.ndarray) -> np.ndarray:
    r"""Two-sided p-values of the exact test of pairs: those that changed did so either way with the same chance.

    .. math:: p = \min\left(1,\; 2 \sum_{k \le \min(b, c)} \binom{b + c}{k} 2^{-(b + c)}\right)

    Parameters
    ----------
    gained, lost : numpy.ndarray of int, shape (test,)
        Pairs with the property at the second time alone, `b`, and at the first alone, `c`.

    Returns
    -------
    numpy.ndarray, shape (test,)

    References
    ----------
    McNemar (1947), in its exact form.
    """
    return np.minimum(2.0 * binom.cdf(np.minimum(gained, lost), gained + lost, 0.5), 1.0)


def q_values(p: np.ndarray) -> np.ndarray:
    """Benjamini-Hochberg: the smallest false discovery rate at which each test would be called; NaN is no test."""
    p = np.asarray(p, dtype=float)
    q, tested = np.full(len(p), np.nan), ~np.isnan(p)
    if tested.any():
        q[tested] = false_discovery_control(p[tested], method="bh")
    return q


def odds_ratio(a: np.ndarray, b: np.ndarray, c: np.ndarray, d: np.ndarray) -> np.ndarray:
    """Sample odds ratio `a d / (b c)`; infinite where only `b c` is 0, NaN where both are."""
    above, below = np.asarray(a * d, dtype=float), np.asarray(b * c, dtype=float)
    empty = np.where(above > 0, np.inf, np.nan)
    return np.divide(above, below, out=empty, where=below > 0)


def log_odds(a: np.ndarray, b: np.ndarray, c: np.ndarray, d: np.ndarray) -> np.ndarray:
    """Natural logarithm of the odds ratio, one half added to each cell: finite for every table."""
    return np.log((a + 0.5) * (d + 0.5) / ((b + 0.5) * (c + 0.5)))
