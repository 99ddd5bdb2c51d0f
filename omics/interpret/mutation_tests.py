"""The exact test of pairs, many at once, and the log-odds of small counts.

References
----------
McNemar (1947), Psychometrika 12: the test of pairs.
Haldane (1956), Annals of Human Genetics 20; Anscombe (1956), Biometrika 43: one half added to each cell.
"""

from __future__ import annotations

import numpy as np
from scipy.stats import binom


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


def log_odds(a: np.ndarray, b: np.ndarray, c: np.ndarray, d: np.ndarray) -> np.ndarray:
    """Natural logarithm of the odds ratio, one half added to each cell: finite for every table."""
    return np.log((a + 0.5) * (d + 0.5) / ((b + 0.5) * (c + 0.5)))
