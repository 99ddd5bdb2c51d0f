"""Gene sets: GMT files, and sets of factors, rankings and CpGs against brute force, simulation and each other."""

from __future__ import annotations

import gzip
import re
import sys

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from scipy.integrate import quad
from scipy.special import comb

from omics.interpret.genesets import match_genes, read_gmt, split_symbols
from omics.interpret.probes import cpg_enrichment, hit_probability, upper_tail
from omics.interpret.ranked import preranked
from omics.interpret.sets import COLUMNS, DIRECTIONS, factor_enrichment
from omics.schema import DataError, UsageError

Drawn = tuple[pd.DataFrame, pd.DataFrame, pd.Series, dict[str, list[str]]]


def drawn(seed, rho=0.25, n=60, p=1500, n_sets=20, size=20, n_factors=5) -> Drawn:
    """Sets whose genes are correlated by `rho` among themselves, and factors that follow none of them."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, p))
    common = np.repeat(rng.normal(size=(n, n_sets)), size, axis=1)
    x[:, : n_sets * size] = np.sqrt(1 - rho) * x[:, : n_sets * size] + np.sqrt(rho) * common
    genes = [f"G{i}" for i in range(p)]
    samples = [f"P{i}" for i in range(n)]
    scores = pd.DataFrame(rng.normal(size=(n, n_factors)), samples, [f"Factor{i}" for i in range(n_factors)])
    sets = {f"S{i}": genes[i * size : (i + 1) * size] for i in range(n_sets)}
    return pd.DataFrame(x, samples, genes), scores, pd.Series(genes, genes), sets


def naive(values: pd.DataFrame, scores: pd.DataFrame, sets: dict[str, list[str]]) -> list[float]:
    """p-values of a t-test that takes genes for independent."""
    found = []
    for factor in scores:
        z = np.arctanh(values.corrwith(scores[factor]))
        found += [stats.ttest_ind(z[genes], z.drop(genes)).pvalue for genes in sets.values()]
    return found


def foretold(correlation: np.ndarray, inside: np.ndarray) -> float:
    """Variance of the difference of two means of correlated numbers, by that expected within the two groups."""
    m, p = inside.sum(), len(inside)
    weight = np.where(inside, 1 / m, -1 / (p - m))
    same = np.equal.outer(inside, inside) / np.where(inside, m, p - m)
    return weight @ correlation @ weight / (np.trace((np.eye(p) - same) @ correlation) / (p - 2))


# --- files and symbols --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("packed", [False, True])
def test_gmt_is_read(tmp_path, packed):
    text = b"HEDGEHOG\thttp://x\tPTCH1\tSHH\tPTCH1\t\r\n\nB CELLS\t\t CD19\tPAX5\t\n"
    path = tmp_path / "sets.gmt"  # what tells gzip are the first bytes, not the name
    path.write_bytes(gzip.compress(text) if packed else b"\xef\xbb\xbf" + text)
    assert read_gmt(path) == {"HEDGEHOG": ["PTCH1", "SHH"], "B CELLS": ["CD19", "PAX5"]}


@pytest.mark.parametrize(
    ("content", "what", "line"),
    [
        (b"A\tx\tG1\nB\tx\tG1\nA\tx\tG2\n", "the set A occurs twice, first in line 1", 3),
        (b"A\tx\tG1\n\nB\tx\n", "2 field(s), at least 3 are needed", 3),
        (b"A\tx\tG1\nB\tx\t\t \t\n", "the set B is empty", 2),
        (b"\tx\tG1\n", "the set has no name", 1),
        (b"\n\n", "there are no gene sets", None),
        (b"A\tx\t\xff\xfe\n", "this is not UTF-8 text", None),
        (gzip.compress(b"A\tx\tG1\n" * 50, mtime=0)[:-9], "the gzip file is damaged", None),
    ],
)
def test_gmt_that_is_wrong_is_refused_with_the_line(tmp_path, content, what, line):
    path = tmp_path / "sets.gmt"
    path.write_bytes(content)
    with pytest.raises(DataError, match=re.escape(what)) as error:
        read_gmt(path)
    assert error.value.where == (f"{path}, line {line}" if line else str(path))
    assert error.value.fix


def test_gmt_that_is_not_there(tmp_path):
    with pytest.raises(DataError, match="no such file"):
        read_gmt(tmp_path / "absent.gmt")


def test_symbols_are_matched_as_written_then_without_case():
    measured = ["C1orf112", "TP53", "MYC", "Myc", "PAX5"]
    matched = match_genes({"A": ["C1ORF112", "TP53", "tp53", "nowhere"], "B": ["myc", "MYC"], "C": ["none"]}, measured)
    assert matched.sets == {"A": ["C1orf112", "TP53"], "B": ["MYC"], "C": []}
    assert (matched.n_genes, matched.n_exact, matched.n_folded, matched.n_known) == (7, 2, 2, 4)
    assert str(matched) == "4 of the 7 genes of all sets are measured, 2 of them but for case"
    with pytest.raises(DataError, match="none of the 1 genes"):
        match_genes({"A": ["ENSG1"]}, measured)
    with pytest.raises(UsageError, match="no gene sets"):
        match_genes({}, measured)


def test_symbols_of_a_feature_are_split():
    feature, gene, symbols = split_symbols(pd.Series(["B;A;B", None, "", " A ", "C; "], list("vwxyz")))
    assert list(symbols) == ["A", "B", "C"]
    assert list(zip(feature, symbols[gene], strict=True)) == [(0, "A"), (3, "A"), (0, "B"), (4, "C")]


# --- sets of factors ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("statistic", ["fisher", "correlation", "weight"])
def test_statistic_and_p_are_those_of_brute_force(statistic):
    values, scores, genes, sets = drawn(1, n=40, p=120, n_sets=3, n_factors=2)
    values.iloc[:, :8] += 2 * scores[["Factor0"]].to_numpy()
    sets["wide"] = sets["S0"][:15] + sets["S2"][5:] + ["unmeasured"]
    weights = pd.DataFrame(np.random.default_rng(0).normal(size=(120, 2)), values.columns, scores.columns)
    weights = weights if statistic == "weight" else None
    table = factor_enrichment(values, scores, genes, sets, statistic=statistic, weights=weights)
    assert list(table.columns) == COLUMNS
    assert len(table) == 2 * 4 * 3
    n, p = values.shape
    for row in table.itertuples():
        f, inside = scores[row.factor].to_numpy(), values.columns.isin(sets[row.set])
        r = values.corrwith(scores[row.factor]).to_numpy()
        z = weights[row.factor].to_numpy() if statistic == "weight" else np.arctanh(r) if statistic == "fisher" else r
        design = np.column_stack([np.ones(n), f])
        residual = values.to_numpy() - design @ np.linalg.lstsq(design, values.to_numpy(), rcond=None)[0]
        m = inside.sum()
        variance = foretold(np.corrcoef(residual.T), inside)
        pooled = ((m - 1) * z[inside].var(ddof=1) + (p - m - 1) * z[~inside].var(ddof=1)) / (p - 2)
        error = np.sqrt(pooled * max(variance, 1 / m + 1 / (p - m)))
        t = (z[inside].mean() - z[~inside].mean()) / error
        tail = {"up": stats.t.sf(t, n - 2), "down": stats.t.cdf(t, n - 2), "two-sided": 2 * stats.t.sf(abs(t), n - 2)}
        assert row.statistic == pytest.approx(t, rel=1e-9)
        assert row.p_value == pytest.approx(tail[row.direction], rel=1e-8)
        assert row.n_genes == m
        sign = {"up": 1, "down": -1, "two-sided": np.sign(t)}[row.direction]
        height = pd.Series(sign * z, values.columns)[inside].sort_values(ascending=False)
        assert row.leading == ";".join(height[height > sign * z[~inside].mean()].index[:10])
    np.testing.assert_allclose(table["q_value"], stats.false_discovery_control(table["p_value"]))
    assert list(table["factor"].unique()) == list(scores)
    assert table.groupby("factor")["p_value"].apply(lambda one: one.is_monotonic_increasing).all()


@pytest.mark.parametrize("rho", [0.2, 0.3])
def test_p_values_are_uniform_where_genes_of_a_set_are_correlated_and_naive_ones_are_not(rho):
    ours = pd.concat([factor_enrichment(*drawn([seed, 3], rho)) for seed in range(20)])
    for direction in DIRECTIONS:
        p = ours.loc[ours["direction"] == direction, "p_value"]
        assert len(p) == 2000
        assert stats.kstest(p, "uniform").pvalue > 0.01, direction
        assert (p <= 0.05).mean() == pytest.approx(0.05, abs=0.015)
    values, scores, _, sets = drawn([0, 3], rho)
    theirs = naive(values, scores, sets)
    assert stats.kstest(theirs, "uniform").pvalue < 1e-4
    assert np.mean(np.array(theirs) <= 0.05) > 0.2


def test_what_all_genes_share_neither_hides_a_set_nor_makes_one():
    """Depth, or composition: every value of a patient is shifted, and p-values stay uniform."""
    p = []
    for seed in range(20):
        values, scores, genes, sets = drawn([seed, 8], 0.2, p=500)
        shared = np.random.default_rng([seed, 9]).normal(size=(len(values), 1))
        p += list(factor_enrichment(values + shared, scores, genes, sets).query("direction == 'two-sided'")["p_value"])
    assert len(p) == 2000
    assert stats.kstest(p, "uniform").pvalue > 0.01
    assert np.mean(np.array(p) <= 0.05) == pytest.approx(0.05, abs=0.015)


def test_independent_genes_are_never_called_more_often_than_they_should():
    ours = pd.concat([factor_enrichment(*drawn([seed, 4], 0.0)) for seed in range(10)])
    assert stats.kstest(ours["p_value"], "uniform", alternative="greater").pvalue > 0.01


def test_planted_sets_are_found_in_their_direction_and_few_others():
    false, found = [], []
    for seed in range(15):
        values, scores, genes, sets = drawn([seed, 5], n=120, p=1000)
        for name, sign in (("S0", 1), ("S1", 1), ("S2", -1)):
            values[sets[name]] += sign * 0.7 * scores[["Factor1"]].to_numpy()
        table = factor_enrichment(values, scores, genes, sets)
        called = table[table["q_value"] <= 0.1]
        truth = {("Factor1", name, way) for name in ("S0", "S1") for way in ("up", "two-sided")}
        truth |= {("Factor1", "S2", way) for way in ("down", "two-sided")}
        calls = set(called[["factor", "set", "direction"]].itertuples(index=False, name=None))
        found.append(len(calls & truth) / len(truth))
        false.append(len(calls - truth) / max(len(calls), 1))
    assert np.mean(found) > 0.9
    assert np.mean(false) <= 0.1


def test_order_of_features_samples_sets_and_patients_without_values_change_nothing():
    values, scores, genes, sets = drawn(6, p=300, n_sets=5)
    rng = np.random.default_rng(6)
    values = values.mask(rng.random(values.shape) < 0.02)
    table = factor_enrichment(values, scores, genes, sets)
    shuffled = values.sample(frac=1, random_state=1).sample(frac=1, axis=1, random_state=2)
    more = pd.concat([scores.iloc[::-1], scores.iloc[:3].set_axis(["X", "Y", "Z"]) * 9])
    turned = {name: sets[name][::-1] for name in reversed(sets)}
    other = factor_enrichment(shuffled, more, genes.sample(frac=1, random_state=3), turned)
    keys = ["factor", "set", "direction"]
    pd.testing.assert_frame_equal(
        table.sort_values(keys, ignore_index=True), other.sort_values(keys, ignore_index=True), rtol=1e-8
    )


def test_features_of_several_genes_and_of_none():
    values, scores, genes, _ = drawn(7, p=60, n_sets=2)
    values["flat"], values["G6"] = 1.0, values["G5"]
    values["G59"] = scores["Factor0"] * 2 + 1  # the factor itself: it leaves no residual
    genes = pd.concat([genes, pd.Series("H9", ["flat"])])
    genes[["G0", "G1", "G2", "G3", "G4"]] = ["H1;H2", "H2", "H3;;H3", "H4", None]
    sets = {"H": ["H1", "H2", "H3", "H4", "H9"], "pair": ["G5", "G6"], "best": ["G58", "G59"]}
    sets["all"] = [*sets["H"], *(f"G{i}" for i in range(5, 60))]  # nothing is left outside
    table = factor_enrichment(values, scores, genes, sets, smallest=2).set_index(["factor", "set", "direction"])
    assert set(table.index.get_level_values("set")) == {"H", "pair", "best"}
    assert set(table.xs("H", level="set")["n_genes"]) == {4}
    assert table.loc[("Factor0", "best", "up"), "leading"].startswith("G59")
    assert np.isfinite(table["p_value"]).all()
    alone = factor_enrichment(values, scores, genes.replace("H1;H2", "H1"), sets, smallest=2)
    alone = alone.set_index(table.index.names).loc[table.index]  # G0 is in H once, be it for one gene or for two
    np.testing.assert_allclose(alone["statistic"], table["statistic"], rtol=1e-12)
    # two features that are one and the same are one: the variance of their mean is that of either
    used = values[genes.dropna().index.drop("flat")]
    r = used.corrwith(scores["Factor1"])
    z = np.arctanh(r.to_numpy())
    inside = r.index.isin(["G5", "G6"])
    within = (z[~inside].var() * (~inside).sum() + z[inside].var() * 2) / (len(z) - 2)
    design = np.column_stack([np.ones(len(used)), scores["Factor1"]])
    residual = used.to_numpy() - design @ np.linalg.lstsq(design, used.to_numpy(), rcond=None)[0]
    correlation = np.corrcoef(residual.T)
    assert correlation[np.ix_(inside, inside)] == pytest.approx(1.0)
    t = (z[inside].mean() - z[~inside].mean()) / np.sqrt(within * foretold(correlation, inside))
    assert table.loc[("Factor1", "pair", "up"), "statistic"] == pytest.approx(t, rel=1e-8)


def test_a_constant_factor_follows_no_set():
    values, scores, genes, sets = drawn(8, p=200, n_sets=3)
    table = factor_enrichment(values, scores.assign(Factor0=1.0)[["Factor0"]], genes, sets)
    assert (table["statistic"] == 0).all()
    assert (table.loc[table["direction"] == "two-sided", "p_value"] == 1).all()


@pytest.mark.parametrize(
    ("change", "error", "what"),
    [
        ({"statistic": "rank"}, UsageError, "there is no statistic rank"),
        ({"statistic": "weight"}, UsageError, "needs weights"),
        ({"weights": pd.DataFrame()}, UsageError, "does not use weights"),
        ({"statistic": "weight", "weights": pd.DataFrame({"Factor0": [1.0]}, ["G0"])}, DataError, "G1 has no finite"),
        ({"statistic": "weight", "weights": pd.DataFrame({"F": [1.0]}, ["G0"])}, UsageError, "no weights of Factor0"),
        ({"smallest": 30}, UsageError, "no set has between 30 and 99 measured genes; they have 20 to 20"),
        ({"smallest": 9, "largest": 8}, UsageError, "no set has between 9 and 8"),
        ({"sets": {"A": ["X"]}}, DataError, "none of the 1 genes"),
        ({"genes": pd.Series(["A", "B"], ["G0", "G0"])}, DataError, "duplicate feature: G0"),
        ({"scores": pd.DataFrame({"F": [1.0, 2.0]}, ["P0", "P1"])}, DataError, "2 samples have both"),
        ({"scores": pd.DataFrame({"F": [np.nan] * 9}, [f"P{i}" for i in range(9)])}, DataError, "score is not finite"),
    ],
)
def test_what_cannot_be_tested_is_refused(change, error, what):
    values, scores, genes, sets = drawn(9, p=100, n_sets=2)
    arguments = {"values": values, "scores": scores, "genes": genes, "sets": sets} | change
    with pytest.raises(error, match=re.escape(what)):
        factor_enrichment(**arguments)


# --- sets of rankings ---------------------------------------------------------------------------------------------


def running_sum(rank: np.ndarray, inside: np.ndarray) -> float:
    """Enrichment score, by walking down the ranking."""
    best = height = 0.0
    for place in np.argsort(-rank):
        height += abs(rank[place]) / abs(rank[inside]).sum() if inside[place] else -1 / (~inside).sum()
        best = height if abs(height) > abs(best) else best
    return best


def test_a_ranking_is_tested_as_by_permuting_it():
    pytest.importorskip("gseapy", reason="the optional extra sets is not installed")
    rng = np.random.default_rng(0)
    rank = pd.Series(rng.normal(size=200), [f"Gene{i}" for i in range(200)], name="Factor3")
    order = rank.sort_values().index
    sets = {f"any{i}": list(rng.choice(order, 20, replace=False)) for i in range(4)}
    sets |= {"low": [gene.upper() for gene in order[:20:2]], "high": list(order[-24::2])}
    table = preranked(rank, sets)
    assert list(table.columns) == COLUMNS
    assert set(table["factor"]) == {"Factor3"}
    np.testing.assert_allclose(table["q_value"], stats.false_discovery_control(table["p_value"]))
    rows = table.set_index("set")
    assert set(table["set"][:2]) == {"low", "high"}
    assert rows.loc["low", ["direction", "n_genes", "p_value"]].tolist() == ["down", 10, 0.001]
    assert rows.loc["high", "leading"].split(";") == list(order[-24::2][::-1][:10])
    for name in ("any0", "any1", "high"):
        inside = rank.index.isin(sets[name])
        score = running_sum(rank.to_numpy(), inside)
        null = np.array([running_sum(rank.to_numpy(), rng.permutation(inside)) for _ in range(600)])
        null = null[np.sign(null) == np.sign(score)]
        assert rows.loc[name, "statistic"] == pytest.approx(score / abs(null.mean()), rel=0.1)
        assert rows.loc[name, "p_value"] == pytest.approx((abs(null) >= abs(score)).mean(), abs=0.1)
    again = preranked(rank.sample(frac=1, random_state=1), dict(reversed(sets.items())))
    pd.testing.assert_frame_equal(table, again)


def test_a_ranking_of_nothing_is_refused_and_zeros_are_not():
    pytest.importorskip("gseapy", reason="the optional extra sets is not installed")
    rank = pd.Series(np.arange(40.0) - 30, [f"G{i}" for i in range(40)])
    sets = {"A": [f"G{i}" for i in range(8)], "B": [f"G{i}" for i in range(30, 38)]}
    sparse = rank.clip(lower=0)
    table = preranked(sparse, sets, 50)
    assert list(table["set"]) == ["B", "A"]
    assert np.isfinite(table["statistic"]).all()
    sparse[:] = [0.0] * 38 + [1.0, 2.0]  # most permuted sets are of nothing but 0
    table = preranked(sparse, {"A": sets["A"], "C": [f"G{i}" for i in range(32, 40)]}, 200)
    assert table.loc[table["set"] == "C", "p_value"].item() < 0.2
    for wrong, what in (
        (rank * 0, "other than 0"),
        (rank.replace(0, np.inf), "G30 is infinite"),
        (pd.concat([rank, rank[:1]]), "duplicate gene: G0"),
    ):
        with pytest.raises(DataError, match=what):
            preranked(wrong, sets)
    with pytest.raises(UsageError, match="0 permutations"):
        preranked(rank, sets, 0)


def test_without_gseapy_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "gseapy", None)
    with pytest.raises(UsageError, match="not installed") as error:
        preranked(pd.Series([1.0], ["A"]), {"S": ["A"]})
    assert "pip install" in error.value.fix


# --- sets of CpGs -------------------------------------------------------------------------------------------------


def array(seed=0, n_genes=2000):
    """An array on which genes have from 1 to hundreds of probes, and sets of genes of many, few and any number."""
    rng = np.random.default_rng(seed)
    probes = np.clip(np.exp(rng.normal(2.0, 1.0, n_genes)).astype(int), 1, 400)
    genes, order = np.array([f"G{i}" for i in range(n_genes)], dtype=object), np.argsort(probes, kind="stable")
    pools = {"many": order[-200:], "few": order[:500], "any": order}
    sets = {f"{name}{i}": list(genes[rng.choice(pool, 40, False)]) for name, pool in pools.items() for i in range(10)}
    cpgs = pd.Series(np.repeat(genes, probes))
    return cpgs.set_axis([f"cg{i:06}" for i in range(len(cpgs))]), sets, probes


@pytest.mark.parametrize("share", [0.002, 0.02, 0.2])
def test_random_cpgs_enrich_genes_of_many_probes_only_without_the_correction(share):
    cpgs, sets, _ = array()
    rng = np.random.default_rng(1)
    drawn_cpgs = [cpgs.index[rng.random(len(cpgs)) < share] for _ in range(8)]
    ours = pd.concat([cpg_enrichment(one, cpgs, sets) for one in drawn_cpgs])
    theirs = pd.concat([cpg_enrichment(one, cpgs, sets, correct=False) for one in drawn_cpgs])
    for kind in ("many", "few", "any"):
        corrected, crude = (one[one["set"].str.startswith(kind)] for one in (ours, theirs))
        assert (corrected["p_value"] <= 0.05).mean() <= 0.1
        assert corrected["n_hit"].sum() == pytest.approx(corrected["expected"].sum(), rel=0.2, abs=8)
        if kind == "many":
            assert (crude["p_value"] <= 0.05).mean() > 0.5


def test_a_set_that_is_hit_beyond_its_probes_is_found():
    cpgs, sets, _ = array()
    rng = np.random.default_rng(2)
    chance = 0.01 + 0.4 * cpgs.isin(sets["few3"]) + 0.1 * cpgs.isin(sets["many4"])
    selected = cpgs.index[rng.random(len(cpgs)) < chance]
    table = cpg_enrichment(selected, cpgs, sets)
    assert ", ".join(table.columns) == "set, n_genes, n_hit, expected, p_value, q_value"
    assert set(table["set"][:2]) == {"few3", "many4"}
    assert (table["q_value"][:2] < 1e-3).all()
    np.testing.assert_allclose(table["q_value"], stats.false_discovery_control(table["p_value"]))
    shuffled = cpg_enrichment(selected[::-1], cpgs.sample(frac=1, random_state=0), dict(reversed(sets.items())))
    pd.testing.assert_frame_equal(table, shuffled, rtol=1e-9)


def test_without_the_correction_it_is_the_hypergeometric_test():
    cpgs, sets, probes = array()
    selected = cpgs.index[::37]
    hit = set(cpgs[selected])
    for row in cpg_enrichment(selected, cpgs, sets, correct=False).itertuples():
        assert row.n_hit == len(hit & set(sets[row.set]))
        assert row.expected == pytest.approx(40 * len(hit) / len(probes))
        p = stats.hypergeom.sf(row.n_hit - 1, len(probes), 40, len(hit))
        assert row.p_value == pytest.approx(p, rel=1e-6)


def test_tail_is_that_of_the_integral_of_wallenius():
    def density(k, n, m, draws, odds):
        rest = odds * (m - k) + n - m - draws + k

        def part(v):  # of the integral over t = v ** rest, which is not all near 0
            return rest * v ** (rest - 1) * (1 - v**odds) ** k * (1 - v) ** (draws - k)

        return comb(m, k) * comb(n - m, draws - k) * quad(part, 0, 1)[0]

    n, draws = 60, 22
    for m, odds, k in ((10, 2.5, 6), (10, 0.3, 2), (25, 1.0, 15), (10, 5.0, 0), (50, 2.0, 12)):
        brute = sum(density(i, n, m, draws, odds) for i in range(max(k, draws - n + m), min(m, draws) + 1))
        one = [np.array([value]) for value in (k, m, odds)]
        assert upper_tail(*one, n, draws, np.array([m * draws / n]))[0] == pytest.approx(brute, rel=1e-6)


def test_probability_of_a_hit_follows_the_probes_and_never_falls():
    rng = np.random.default_rng(3)
    k = np.clip(np.exp(rng.normal(2.3, 1.0, 20000)).astype(int), 1, 500)
    for truth in (1 - 0.97**k, 0.02 + 0.3 * k / (k + 30)):  # a random selection, and one that is not
        hit = rng.random(len(k)) < truth
        p = hit_probability(k, hit)
        assert p.sum() == pytest.approx(hit.sum(), rel=1e-9)
        assert (np.diff(p[np.argsort(k)]) >= -1e-12).all()
        assert np.abs(p - truth).mean() < 0.02
    few = hit_probability(k, np.arange(len(k)) < 3)
    np.testing.assert_allclose(few / few.sum(), k / k.sum(), rtol=0.6)
    assert (hit_probability(k, np.ones(len(k), dtype=bool)) == 1).all()


def test_a_cpg_of_many_genes_of_a_set_is_one_hit():
    cpgs, _, _ = array(n_genes=300)
    cluster = [f"PCDHG{i}" for i in range(12)]
    cpgs = pd.concat([cpgs, pd.Series([";".join(cluster)] * 5, [f"shared{i}" for i in range(5)])])
    sets = {"cluster": cluster, "other": [*cluster[:1], *(f"G{i}" for i in range(9))]}
    table = cpg_enrichment(pd.Index(["shared0", *cpgs.index[cpgs == "G0"]]), cpgs, sets).set_index("set")
    assert table["n_hit"].to_dict() == {"cluster": 1, "other": 2}
    assert cpg_enrichment(pd.Index([f"shared{i}" for i in range(5)]), cpgs, sets)["n_hit"].max() == 5


def test_cpgs_that_cannot_be_tested_are_refused():
    cpgs, sets, _ = array(n_genes=300)
    sets = {"A": ["G1", "G2", "G3", "G4", "G5"]}
    bare = pd.concat([cpgs, pd.Series([None, ""], ["bare1", "bare2"])])
    for selected, every, what in (
        (["cg000000", "cgX"], cpgs, "1 selected CpGs are not among all CpGs, as cgX"),
        (["cg000000"], pd.concat([cpgs, cpgs[:1]]), "duplicate CpG: cg000000"),
        (["bare1", "bare2"], bare, "no selected CpG has a gene"),
        (["cg000000"], cpgs + "x", "none of the 5 genes"),
    ):
        with pytest.raises(DataError, match=re.escape(what)):
            cpg_enrichment(pd.Index(selected), every, sets)
    whole = cpg_enrichment(cpgs.index, cpgs, sets)
    assert whole[["n_hit", "p_value"]].to_numpy().tolist() == [[5, 1.0]]
