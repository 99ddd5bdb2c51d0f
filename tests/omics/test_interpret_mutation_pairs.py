"""Genes that are mutated together or apart: against enumeration of all matrices, scipy, and what is planted."""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from omics.interpret.mutation_pairs import pairs_of_genes, shuffle
from omics.stats import q_values
from tests.mutated import calls_from, drawn, names


def matrices(margins: tuple[list[int], list[int]]) -> list[np.ndarray]:
    """All matrices of 0 and 1 with these margins."""
    rows, columns = margins
    choices = [[np.isin(range(len(columns)), c) for c in itertools.combinations(range(len(columns)), k)] for k in rows]
    every = (np.array(chosen) for chosen in itertools.product(*choices))
    return [one for one in every if (one.sum(axis=0) == columns).all()]


def test_shuffling_keeps_both_margins():
    for seed in range(20):
        rng = np.random.default_rng(seed)
        carried = rng.random((30, 12)) < rng.random((30, 1)) * rng.random(12)
        other = shuffle(carried, seed)
        np.testing.assert_array_equal(other.sum(axis=0), carried.sum(axis=0))
        np.testing.assert_array_equal(other.sum(axis=1), carried.sum(axis=1))
        assert (other != carried).any()
        np.testing.assert_array_equal(shuffle(carried, seed), other)


def test_shuffling_visits_all_matrices_equally_often():
    carried = np.array([[1, 1, 0, 0], [1, 0, 1, 0], [0, 0, 1, 1], [1, 0, 0, 0]], dtype=bool)
    every = {one.tobytes(): k for k, one in enumerate(matrices(([2, 2, 2, 1], [3, 1, 2, 1])))}
    visits = np.zeros(len(every))
    for seed in range(3000):
        visits[every[shuffle(carried, seed, steps=6).tobytes()]] += 1
    assert len(every) > 20
    assert stats.chisquare(visits).pvalue > 1e-3


def test_the_test_by_burden_is_that_of_every_matrix():
    carried = np.array(
        [[1, 1, 1, 1, 0], [1, 1, 0, 1, 1], [0, 0, 1, 0, 0], [1, 0, 0, 0, 0], [0, 1, 0, 0, 0]], dtype=bool
    )
    every = np.array(matrices((carried.sum(axis=1).tolist(), carried.sum(axis=0).tolist())))
    table = pairs_of_genes(calls_from(carried, names(5)), names(5), min_mutated=2, permutations=40_000)
    assert len(table) == 6
    for row in table.itertuples():
        a, b = int(row.gene_a[1:]), int(row.gene_b[1:])
        overlap = (every[:, :, a] & every[:, :, b]).sum(axis=1)
        assert row.expected_by_burden == pytest.approx(overlap.mean(), abs=0.02)
        assert row.p_together == pytest.approx((overlap >= row.n_both).mean(), abs=0.015)
        assert row.p_apart == pytest.approx((overlap <= row.n_both).mean(), abs=0.015)
        assert row.p_value == min(1, 2 * min(row.p_together, row.p_apart))
        assert row.direction == ("together" if row.n_both > row.expected_by_burden else "apart")


def test_every_pair_is_what_counting_and_scipy_give_whatever_the_order():
    calls, samples = drawn(6)
    table = pairs_of_genes(calls, samples, permutations=200)
    altering = calls[~calls["classification"].isin(["Silent", "Intron"])]
    has = {gene: np.isin(samples, rows["sample"]) for gene, rows in altering.groupby("gene")}
    often = sorted(gene for gene in has if has[gene].sum() >= 5)
    assert sorted(zip(table["gene_a"], table["gene_b"], strict=True)) == list(itertools.combinations(often, 2))
    for row in table.itertuples():
        one, other = has[row.gene_a], has[row.gene_b]
        counts = np.array([[(x & y).sum() for y in (other, ~other)] for x in (one, ~one)])
        assert (row.n_a, row.n_b, row.n_both, row.n) == (one.sum(), other.sum(), counts[0, 0], 40)
        assert row.expected == pytest.approx(one.sum() * other.sum() / 40)
        assert row.p_fisher == pytest.approx(stats.fisher_exact(counts).pvalue, rel=1e-9)
        smoothed = stats.contingency.odds_ratio((counts * 2 + 1), kind="sample").statistic
        assert row.log_odds == pytest.approx(np.log(smoothed))
    for p, q in (("p_value", "q_value"), ("p_fisher", "q_fisher")):
        np.testing.assert_array_equal(table[q], q_values(table[p].to_numpy()))
    again = pairs_of_genes(calls.sample(frac=1, random_state=1), samples[::-1], permutations=200)
    pd.testing.assert_frame_equal(again, table)
    other = pairs_of_genes(calls, samples, permutations=200, seed=1)
    assert not other["p_value"].equals(table["p_value"])
    few = pairs_of_genes(calls, samples, genes=["g3", "g1"], permutations=200)
    mine = table.set_index(["gene_a", "gene_b"]).loc[[("g1", "g3")]].reset_index()
    columns = ["gene_a", "gene_b", "n_both", "p_fisher", "expected_by_burden", "p_value"]  # the rest remains the burden
    pd.testing.assert_frame_equal(few[columns], mine[columns])


def cohort_of_burdens(seed: int) -> np.ndarray:
    """120 samples; 5 of them hypermutated: 12 genes of 6 %, tested, and 300 rare ones."""
    rng = np.random.default_rng(seed)
    share = np.concatenate([np.full(12, 0.06), np.full(300, 0.015)])
    odds = np.where(np.arange(120) < 5, 30.0, 1.0)[:, None] * share / (1 - share)
    return rng.random((120, 312)) < odds / (1 + odds)


def test_hypermutated_samples_bring_genes_together_by_fisher_but_not_by_burden():
    genes = [f"g{j:02d}" for j in range(12)]
    plain, by_burden, together = [], [], []
    for seed in range(10):
        calls = calls_from(cohort_of_burdens(seed), names(120))
        table = pairs_of_genes(calls, names(120), genes=genes, permutations=5_000)
        met = table["log_odds"] > 0
        plain.append([((table["p_fisher"] <= 0.05) & met).mean(), ((table["q_fisher"] < 0.05) & met).any()])
        by_burden.append((table["q_value"] < 0.05).any())
        together.extend(table["p_together"])
    assert (np.mean(plain, axis=0) > [0.25, 0.75]).all()
    assert sum(by_burden) <= 1
    assert np.mean(np.array(together) <= 0.05) <= 0.06


def test_planted_pairs_are_found_among_hypermutated_samples():
    rng = np.random.default_rng(7)
    carried = cohort_of_burdens(7)
    carried[5:, :4] = False
    carried[np.arange(5, 65), np.repeat([0, 1], 30)] = True  # g00 and g01 exclude each other: RAS and its like
    for gene in (2, 3):
        carried[rng.choice(np.arange(70, 85), 12, replace=False), gene] = True  # g02 and g03 are of the same samples
    table = pairs_of_genes(calls_from(carried, names(120)), names(120), genes=[f"g{j:02d}" for j in range(12)])
    table = table.set_index(["gene_a", "gene_b"])
    found = table[table["q_value"] < 0.05]
    assert found["direction"].to_dict()["g00", "g01"] == "apart"
    assert found["direction"].to_dict()["g02", "g03"] == "together"


def test_the_test_by_burden_keeps_its_level_for_the_shortest_chain():
    """With 19 matrices, and a chain that hardly moves, the observed one is the most extreme once in 20 times."""
    first = []
    for seed in range(250):
        rng = np.random.default_rng(seed)
        odds = np.exp(rng.normal(size=(12, 1)) + rng.normal(size=5))
        carried = rng.random((12, 5)) < odds / (1 + odds)
        table = pairs_of_genes(calls_from(carried, names(12)), names(12), None, 1, permutations=19, seed=seed)
        if len(table):
            first.append(
                table.sort_values(["gene_a", "gene_b"]).iloc[0][["p_together", "p_apart"]].to_numpy(dtype=float)
            )
    share = (np.array(first) <= 0.2).mean(axis=0)
    assert len(first) > 220
    assert (share <= 0.2 + 3 * np.sqrt(0.2 * 0.8 / len(first))).all()
