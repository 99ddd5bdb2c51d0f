"""Pairs of CpG and gene: against scipy pair by pair; pairs planted, driven by subtypes alone, and none."""

from __future__ import annotations

import re

import dask.array as da
import numpy as np
import pandas as pd
import pytest
import xarray as xr
from scipy import stats

from omics import blocks
from omics.interpret.concordance import COLUMNS, concordant_pairs, correlations
from omics.interpret.differential import differential
from omics.schema import DataError, UsageError
from tests.references import TOLERANCES

SIZES = {"S1": 40, "S2": 30, "S3": 20}


def layer(x: np.ndarray, prefix: str, genes, samples) -> xr.DataArray:
    names = np.array([f"{prefix}{j}" for j in range(x.shape[1])], dtype=object)
    coords = {"sample": samples, "feature": names, "gene": ("feature", np.array(genes, dtype=object))}
    return xr.DataArray(x, coords, ("sample", "feature"))


def drawn(seed: int, n_genes: int = 60, linked: int = 10, within: float = -0.7):
    """Gene j has CpGs 2j and 2j + 1. The first 40 genes and their CpGs differ in S1, of spreads that do too.

    The first CpG of the first `linked` genes follows its gene among the patients of a subtype, by `within`.
    """
    rng = np.random.default_rng(seed)
    label = np.repeat(list(SIZES), list(SIZES.values()))
    n, inside = len(label), label == "S1"
    spread = np.where(inside, 1.0, 0.3)[:, None]
    e = rng.normal(size=(n, n_genes))
    m = rng.normal(size=(n, 2 * n_genes))
    m[:, : 2 * linked : 2] = within * e[:, :linked] + np.sqrt(1 - within**2) * m[:, : 2 * linked : 2]
    e, m = e * spread, m * spread
    e[inside, :40] += 2
    m[inside, :80] -= 2
    ids = np.array([f"P{i:03d}" for i in range(n)], dtype=object)
    methylation = layer(m, "cg", [f"G{j // 2}" for j in range(2 * n_genes)], ids)
    expression = layer(e, "ENSG", [f"G{j}" for j in range(n_genes)], ids)
    return methylation, expression, pd.Series(label, ids)


def pairs_of(methylation, expression, labels, **options) -> pd.DataFrame:
    tests = (differential(one, labels) for one in (methylation, expression))
    return concordant_pairs(methylation, expression, labels, *tests, **options)


def by_scipy(x: np.ndarray, y: np.ndarray, label: np.ndarray) -> tuple[float, float, float, int]:
    """One pair, from scipy's correlation of each subtype."""
    known = np.isfinite(x) & np.isfinite(y)
    x, y, label = x[known], y[known], label[known]
    weights, rho = [], []
    for name in np.unique(label):
        one = label == name
        if np.ptp(x[one]) > 0 and np.ptp(y[one]) > 0:
            weights.append(one.sum() - 1)
            rho.append(stats.spearmanr(x[one], y[one]).statistic)
    within = np.average(rho, weights=weights)
    df = sum(weights) - 1
    p = 2 * stats.t.sf(abs(within) * np.sqrt(df / (1 - within**2)), df)
    return stats.spearmanr(x, y).statistic, within, p, len(x)


def test_every_number_of_a_pair_equals_its_definition():
    rng = np.random.default_rng(1)
    methylation, expression, labels = drawn(1)
    m, e = methylation.values.copy(), expression.values.copy()
    m[rng.random(m.shape) < 0.1], e[rng.random(e.shape) < 0.1] = np.nan, np.nan
    e[:, :20] = np.round(e[:, :20])  # ties
    e[labels == "S2", 3] = 0.0  # constant in a subtype
    methylation = methylation.copy(data=m).isel(sample=slice(None, None, -1))
    expression = expression.copy(data=e).isel(sample=slice(3, None))
    labels = labels.drop("P050")
    tests = [differential(one, labels) for one in (methylation, expression)]
    table = concordant_pairs(methylation, expression, labels, *tests)
    assert list(table) == COLUMNS
    assert [table[key].dtype.kind for key in COLUMNS] == list("OOOOffiffffO")
    assert len(table) >= 75
    both = labels.index.intersection(expression["sample"].values)
    for row in table.itertuples():
        x = methylation.sel(sample=both, feature=row.cpg).values
        y = expression.sel(sample=both, feature=row.feature).values
        expected = by_scipy(x, y, labels[both].to_numpy())
        np.testing.assert_allclose((row.r, row.r_within, row.p_value, row.n), expected, rtol=1e-8, atol=1e-12)
        first, second = (
            test.sel(feature=name).where(test["q_value"].sel(feature=name) < 0.05)
            for test, name in zip(tests, (row.cpg, row.feature), strict=True)
        )
        least = np.minimum(np.abs(first["statistic"]), np.abs(second["statistic"]))
        assert row.subtype == least.idxmax("subtype").item()
        differences = [one["difference"].sel(subtype=row.subtype).item() for one in (first, second)]
        assert [row.difference_methylation, row.difference_expression] == differences
        assert row.direction == ("opposite" if np.prod(differences) < 0 else "same")
    np.testing.assert_allclose(table["q_value"], stats.false_discovery_control(table["p_value"]))
    assert table["p_value"].is_monotonic_increasing


def test_planted_pairs_are_found_and_pairs_of_the_subtypes_alone_are_not():
    table = pairs_of(*drawn(2))
    planted = table["cpg"].isin([f"cg{2 * j}" for j in range(10)])
    assert planted.sum() == 10
    assert (table.loc[planted, "q_value"] < 1e-4).all()
    assert table.loc[planted, "r_within"].between(-0.85, -0.45).all()
    driven = table[~planted]
    assert len(driven) >= 68
    assert (driven["r"] < -0.5).all()  # all of it by subtype
    assert abs(driven["r_within"].mean()) < 0.05
    assert (driven["r_within"].abs() < 0.35).all()
    assert (driven["q_value"] < 0.05).sum() <= 4
    assert (table["subtype"] == "S1").all()
    assert (table["direction"] == "opposite").all()


def test_p_values_are_uniform_where_only_subtypes_tie_the_layers():
    p = np.concatenate([pairs_of(*drawn(100 + seed, linked=0))["p_value"] for seed in range(8)])
    assert len(p) > 500
    assert stats.kstest(p, "uniform").pvalue > 0.01
    assert (p < 0.05).mean() == pytest.approx(0.05, abs=0.02)


def test_residuals_of_unlike_spread_would_not_be_uniform():
    """Why ranks are taken within the subtype: pooled residuals of two spreads find pairs in noise."""
    pooled, within = [], []
    group = np.repeat([0, 1], [20, 80])
    spread = np.where(group == 0, 6.0, 0.3)[:, None]
    for seed in range(10):
        x, y = np.random.default_rng(seed).normal(size=(2, 100, 100)) * spread
        within.append(correlations(x, y, group)[2])
        for one in (x, y):
            for k in (0, 1):
                one[group == k] -= one[group == k].mean(axis=0)
        pooled += [stats.pearsonr(a, b).pvalue for a, b in zip(x.T, y.T, strict=True)]
    assert (np.array(pooled) < 0.05).mean() > 0.2
    assert (np.concatenate(within) < 0.05).mean() == pytest.approx(0.05, abs=0.02)


def test_a_cpg_of_several_genes_and_a_gene_of_several_features():
    methylation, expression, labels = drawn(3, n_genes=8)
    genes = methylation["gene"].values.copy()
    genes[0], genes[2], genes[4], genes[6] = "G0;G1;G0", "", "ABSENT", None
    methylation = methylation.assign_coords(gene=("feature", genes))
    again = expression.isel(feature=[1]).assign_coords(feature=np.array(["again"], dtype=object))
    table = pairs_of(methylation, xr.concat([expression, again], "feature"), labels)
    of = table.groupby("cpg")[["gene", "feature"]].apply(lambda rows: sorted(map(tuple, rows.to_numpy())))
    assert of["cg0"] == [("G0", "ENSG0"), ("G1", "ENSG1"), ("G1", "again")]
    assert of["cg3"] == [("G1", "ENSG1"), ("G1", "again")]
    assert of["cg5"] == [("G2", "ENSG2")]
    assert not {"cg2", "cg4", "cg6"} & set(of.index)
    assert not table.duplicated(["gene", "cpg", "feature"]).any()


def test_both_must_differ_in_the_same_subtype():
    methylation, expression, labels = drawn(4)
    tests = [differential(one, labels) for one in (methylation, expression)]
    for test in tests:
        test["q_value"][:] = 1.0
    tests[0]["q_value"][1, 0] = tests[1]["q_value"][2, 0] = 0.001  # gene 0 in two subtypes
    tests[0]["q_value"][1, 2] = tests[1]["q_value"][1, 1] = 0.049  # gene 1 in one
    tests[0]["q_value"][0, 4], tests[1]["q_value"][0, 2] = 0.001, 0.05
    table = concordant_pairs(methylation, expression, labels, *tests)
    assert table[["gene", "cpg", "subtype"]].to_numpy().tolist() == [["G1", "cg2", "S2"]]
    wider = concordant_pairs(methylation, expression, labels, *tests, level=0.06)
    assert wider["gene"].tolist() == ["G1", "G2"] or wider["gene"].tolist() == ["G2", "G1"]
    none = concordant_pairs(methylation, expression, labels, *tests, level=0.0005)
    assert none.empty
    assert list(none) == COLUMNS
    assert [none[key].dtype for key in COLUMNS] == [table[key].dtype for key in COLUMNS]


def test_subtypes_and_features_that_one_layer_lacks():
    methylation, expression, labels = drawn(5)
    absent = labels.index[labels == "S2"][2:]  # S2 is left out of the tests of expression
    expression = expression.drop_sel(sample=absent.to_numpy())
    tests = [differential(one, labels) for one in (methylation, expression)]
    assert tests[1].attrs["left_out"] == ["S2"]
    whole = concordant_pairs(methylation, expression, labels, *tests)
    assert "S2" not in set(whole["subtype"])
    assert (whole["n"] == 62).all()
    some = [test.isel(feature=slice(None, None, -2)) for test in tests]  # fewer features, in another order
    fewer = concordant_pairs(methylation, expression, labels, *some)
    cpg, feature = whole["cpg"].isin(some[0]["feature"].values), whole["feature"].isin(some[1]["feature"].values)
    expected = whole[cpg & feature].reset_index(drop=True)
    pd.testing.assert_frame_equal(fewer.drop(columns="q_value"), expected.drop(columns="q_value"))


@pytest.mark.parametrize("chunks", [(-1, 7), (13, 50)])
def test_chunks_do_not_matter(chunks, monkeypatch):
    methylation, expression, labels = drawn(6)
    tests = [differential(one, labels) for one in (methylation, expression)]
    whole = concordant_pairs(methylation, expression, labels, *tests)
    lazy = [one.copy(data=da.from_array(one.values, chunks=chunks)) for one in (methylation, expression)]
    rtol = TOLERANCES["chunking float64"]
    pd.testing.assert_frame_equal(concordant_pairs(*lazy, labels, *tests), whole, rtol=rtol)
    monkeypatch.setattr(blocks, "BLOCK_BYTES", 90 * 8 * 3)
    pd.testing.assert_frame_equal(concordant_pairs(methylation, expression, labels, *tests), whole, rtol=rtol)


def test_only_blocks_with_a_pair_are_read_and_once():
    methylation, expression, labels = drawn(7)
    tests = [differential(one, labels) for one in (methylation, expression)]
    tests[0]["q_value"][:, 30:] = 1.0
    seen = []

    def read(block, block_id):
        seen.append(block_id)
        return block

    values = da.from_array(methylation.values, chunks=(-1, 10))
    lazy = methylation.copy(data=values.map_blocks(read, dtype=float, meta=np.empty((0, 0))))
    table = concordant_pairs(lazy, expression, labels, *tests)
    assert sorted(seen) == [(0, 0), (0, 1), (0, 2)]
    assert len(table) == 30


def test_what_nothing_can_be_said_of_is_nan():
    rng = np.random.default_rng(8)
    x, y, group = rng.normal(size=(12, 5)), rng.normal(size=(12, 5)), np.repeat([0, 1, 2], [6, 5, 1])
    y[:, 0] = 3.0
    x[:, 1] = np.nan
    y[:, 2] = 2 * x[:, 2]
    y[:11, 3] = group[:11]  # constant in each
    x[1:, 4] = np.nan
    r, r_within, p, n = correlations(x, y, group)
    assert np.isnan(r).tolist() == [True, True, False, False, True]
    assert np.isnan(r_within).tolist() == np.isnan(p).tolist() == [True, True, False, True, True]
    assert (r[2], r_within[2], p[2]) == (pytest.approx(1), 1, 0)
    assert n.tolist() == [12, 0, 12, 12, 1]


def test_what_cannot_be_right_is_refused():
    methylation, expression, labels = drawn(9)
    tests = [differential(one, labels) for one in (methylation, expression)]
    twice = xr.concat([expression, expression.isel(sample=[0])], "sample")
    for arguments, what, where in (
        ((methylation.drop_vars("gene"), expression, labels), "the features have no genes", "methylation"),
        ((methylation, expression.drop_vars("gene"), labels), "the features have no genes", "expression"),
        ((methylation, twice, labels), "duplicate sample: P000", "expression"),
        ((methylation, expression, labels.rename(lambda one: "x" + one)), "no patient has both", "labels"),
        ((methylation, expression.isel(feature=slice(1, None)), labels), "'ENSG0' was tested and is not", "expression"),
    ):
        with pytest.raises(DataError, match=re.escape(what)) as error:
            concordant_pairs(*arguments, *tests)
        assert error.value.where == where
        assert error.value.fix
    for level in (0.0, 1.0):
        with pytest.raises(UsageError, match="level is"):
            concordant_pairs(methylation, expression, labels, *tests, level=level)
