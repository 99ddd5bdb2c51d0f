"""Tests of tables and ranks: against counting, every possible choice, and scipy."""

from __future__ import annotations

import itertools
from collections import Counter

import numpy as np
import pytest
from scipy import stats

from omics.stats import EXACT, auc, eta_squared, fisher, kruskal, mann_whitney, odds_ratio, q_values, spearman

# --- tables -------------------------------------------------------------------------------------------------------


def test_fisher_is_that_of_every_possible_table():
    n, rng = 9, np.random.default_rng(0)
    for c, m in rng.integers(1, n, (8, 2)):
        overlaps = [len(set(chosen) & set(range(m))) for chosen in itertools.combinations(range(n), c)]
        share = {k: times / len(overlaps) for k, times in Counter(overlaps).items()}
        a = np.array(sorted(share))
        brute = [sum(p for p in share.values() if p <= share[k] + 1e-12) for k in a]
        np.testing.assert_allclose(fisher(a, np.full(len(a), c), np.full(len(a), m), n), brute, rtol=1e-9)
    nothing = np.zeros(0, dtype=int)
    assert fisher(nothing, nothing, nothing, 5).shape == (0,)


@pytest.mark.parametrize("n", [2, 7, 20, 60, 400, 800])
def test_fisher_is_that_of_scipy(n):
    rng = np.random.default_rng(n)
    first, second = rng.integers(1, n, (2, 60))
    first[:20] = n // 2  # symmetric margins: the other tail has tables that are exactly as likely
    low, high = np.maximum(0, first + second - n), np.minimum(first, second)
    both = rng.integers(low, high + 1)
    both[20:30], both[30:40] = low[20:30], high[30:40]
    theirs = [
        stats.fisher_exact([[a, c - a], [m - a, n - c - m + a]]).pvalue
        for a, c, m in zip(both, first, second, strict=True)
    ]
    np.testing.assert_allclose(fisher(both, first, second, n), theirs, rtol=1e-8, atol=1e-300)


def test_odds_of_empty_cells():
    a, b, c, d = np.array([[3, 1, 2, 4], [3, 0, 2, 4], [0, 0, 2, 4]]).T
    np.testing.assert_array_equal(odds_ratio(a, b, c, d), [6.0, np.inf, np.nan])


def test_q_values_are_those_of_brute_force_and_leave_out_what_was_not_tested():
    for p in (np.array([0.01, np.nan, 0.03, 0.9, 0.02, 0.01]), np.ones(3), np.random.default_rng(1).random(40) ** 3):
        known = p[~np.isnan(p)]
        brute = [min(1, *(len(known) * cut / (known <= cut).sum() for cut in known if cut >= one)) for one in known]
        np.testing.assert_allclose(q_values(p)[~np.isnan(p)], brute, rtol=1e-12)
        np.testing.assert_array_equal(np.isnan(q_values(p)), np.isnan(p))
    assert len(q_values(np.zeros(0))) == 0


# --- ranks --------------------------------------------------------------------------------------------------------


def drawn(n: int, seed: int) -> np.ndarray:
    """Columns without ties, with some, with many, and a constant one."""
    values = np.random.default_rng(seed).normal(size=(n, 4))
    values[:, 1], values[:, 2], values[:, 3] = values[:, 1].round(1), values[:, 2] > 0, 7.0
    return values


@pytest.mark.parametrize("n_inside", [1, EXACT, EXACT + 1, 30])
def test_mann_whitney_is_that_of_scipy_column_by_column(n_inside):
    n = 60
    values, inside = drawn(n, n_inside), np.random.default_rng(0).permutation(np.arange(n) < n_inside)
    for one in (inside, ~inside):
        area, p = mann_whitney(values, one)
        theirs = [stats.mannwhitneyu(column[one], column[~one]) for column in values.T]  # exact where it can be
        np.testing.assert_allclose(p, [each.pvalue for each in theirs], rtol=1e-9)
        won = np.sign(values[one][:, None] - values[~one]).mean(axis=(0, 1)) / 2 + 0.5
        np.testing.assert_allclose(area, won, rtol=1e-12)
        np.testing.assert_array_equal(area, auc(values, one))
    assert (area[3], p[3]) == (0.5, 1.0)


def test_mann_whitney_of_few_is_that_of_every_choice():
    values = np.random.default_rng(3).normal(size=(9, 1))
    inside = np.arange(9) < 4
    rank = stats.rankdata(values)
    far = np.array([abs(rank[list(chosen)].sum() - 20) for chosen in itertools.combinations(range(9), 4)])
    assert mann_whitney(values, inside)[1][0] == pytest.approx((far >= abs(rank[inside].sum() - 20)).mean(), rel=1e-12)


def test_kruskal_is_that_of_scipy():
    values, group = drawn(50, 5), np.random.default_rng(5).choice(["a", "b", "c"], 50)
    share, p = kruskal(values, group)
    for j in range(3):
        theirs = stats.kruskal(*(values[group == name, j] for name in "abc"))
        assert share[j] == pytest.approx(theirs.statistic / 49, rel=1e-9)
        assert p[j] == pytest.approx(theirs.pvalue, rel=1e-9)
    assert (share[3], p[3]) == (0.0, 1.0)


def test_spearman_is_that_of_scipy():
    values, other = drawn(40, 6), np.random.default_rng(6).normal(size=40).round(1)
    values[:, 0] += other
    r, p = spearman(values, other)
    theirs = [stats.spearmanr(column, other) for column in values.T[:3]]
    np.testing.assert_allclose(r[:3], [each.statistic for each in theirs], rtol=1e-9)
    np.testing.assert_allclose(p[:3], [each.pvalue for each in theirs], rtol=1e-8)
    assert (r[3], p[3]) == (0.0, 1.0)
    r, p = spearman(np.column_stack([other, -(other**3)]), other)
    np.testing.assert_allclose((r, p), ([1.0, -1.0], [0.0, 0.0]), atol=1e-12)


def test_eta_squared_is_the_share_between_groups():
    values, group = drawn(30, 7), np.arange(30) % 3
    within = sum(values[group == g].var(axis=0) * (group == g).sum() for g in range(3))
    eta = eta_squared(values, group)
    np.testing.assert_allclose(eta[:3], (1 - within / (values.var(axis=0) * 30).clip(1e-300))[:3], rtol=1e-9)
    assert eta[3] == 0.0
    assert eta_squared(group[:, None] * 2.5, group)[0] == pytest.approx(1.0, abs=1e-12)
