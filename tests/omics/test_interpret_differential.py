"""Moderated tests of subtypes: against limma, least squares written out, and data with and without differences."""

from __future__ import annotations

import re

import dask
import dask.array as da
import numpy as np
import pandas as pd
import pytest
import xarray as xr
from scipy import stats
from scipy.optimize import brentq
from scipy.special import digamma, polygamma

from omics import blocks, cohort
from omics.interpret.differential import COLUMNS, differential, most_different, variance_prior
from omics.schema import DataError, UsageError
from tests.references import TOLERANCES

NUMBERS = ("difference", "statistic", "p_value", "q_value", "mean_inside", "mean_outside")

# Two runs of limma's own tests (tests/limma-Tests.Rout.save of Bioconductor's limma; Smyth and colleagues). The data
# are what R's rnorm gives for their seeds: 0, after the draws that stand before it in that file, and 123.
SIX_ARRAYS = """
1.73997994116 0.07990565766 0.06671114846 -0.08307255297 0.41827591231 -0.19767359993 0.19815938415 -0.00397671004 -0.27944408962 0.36440674304
1.37349789035 -0.15784574082 -0.46242077007 0.05829632097 0.07932676483 -0.33562055061 0.19528588684 -0.30987007157 0.19776044983 0.07134881992
2.21458278413 -0.28154491176 0.02860620290 -0.13884582599 -0.44066464683 0.04580595166 0.53212878340 -0.19442128005 -0.05994524270 0.20677311989
0.01084365295 0.58306089368 0.22116412014 0.69640017991 0.10467280389 -0.34017499838 0.12640058037 -0.27736687704 -0.30211870984 -0.05684229903
0.28017501005 0.10317299987 0.24420608294 0.27460230068 -0.05155563913 -0.72066933408 -0.05241338650 0.65073476081 0.01751504984 -0.40647433486
-0.11026522967 -0.28035527375 -0.01249176602 0.20283360167 0.25993084404 0.07055250744 -0.28019103998 0.24397565018 0.40449556654 0.67556483278
"""  # noqa: E501
NINE_ARRAYS = """
-0.5604756466 -0.2301774895 1.5587083141 0.0705083914 nan
1.7150649869 0.4609162060 -1.2650612346 -0.6868528519 nan
1.2240817974 0.3598138271 0.4007714506 0.1106827159 -0.5558411348
3.7869131368 2.4978504782 0.0333828434 2.7013559016 1.5272085923
0.9321762940 1.7820250853 0.9739955517 1.2711087707 1.3749607322
0.3133066893 2.8377870445 2.1533731178 0.8618630630 3.2538149211
-1.5735357785 -2.2950714830 -1.1048743390 -1.1218665125 -1.1784189184
-1.3113597459 -1.4460823465 -2.0619117106 -2.3059626637 -2.3804710010
-2.6947069789 -2.2079172780 -3.2653963516 0.1689559653 -0.7920380017
"""


def parsed(text: str) -> np.ndarray:
    return np.array([[float(number) for number in line.split()] for line in text.strip().splitlines()])


def layer(x: np.ndarray) -> xr.DataArray:
    n, p = x.shape
    ids = np.array([f"P{i:04d}" for i in range(n)], dtype=object)
    return xr.DataArray(
        x, {"sample": ids, "feature": np.array([f"F{j}" for j in range(p)], dtype=object)}, ("sample", "feature")
    )


def labelled(values: xr.DataArray, names) -> pd.Series:
    return pd.Series(np.array(names, dtype=object), pd.Index(values["sample"].values))


def drawn(seed: int, n: int = 40, p: int = 60, missing: float = 0.1):
    """Three subtypes, a difference in half of the features, two covariates that follow the subtypes a little."""
    rng = np.random.default_rng(seed)
    code = rng.choice(3, n, p=[0.4, 0.35, 0.25])
    age, sex = rng.normal(size=n) + 0.5 * code, rng.random(n) < 0.3 + 0.15 * code
    x = rng.normal(size=(n, p)) * np.sqrt(stats.invgamma(4, scale=3).rvs(p, random_state=rng))
    x[:, ::2] += code[:, None]
    x += 0.7 * age[:, None] + 1.3 * sex[:, None] + 5
    x[rng.random(x.shape) < missing] = np.nan
    values = layer(x)
    labels = labelled(values, [f"S{k}" for k in code])
    covariates = pd.DataFrame({"age": age, "sex": np.where(sex, "male", "female")}, labels.index)
    return values, labels, covariates


# --- least squares, written out -----------------------------------------------------------------------------------


def by_lstsq(y, label, z, subtype):
    """Difference, its unscaled variance, residual variance and df of one feature, from the whole design matrix."""
    known = np.isfinite(y)
    y, label, z = y[known], label[known], z[known]
    names = sorted(set(label))
    design = np.column_stack([*(label == name for name in names), z]).astype(float)
    coefficient, _, rank, _ = np.linalg.lstsq(design, y, rcond=None)
    others = (label != subtype).sum()
    contrast = [1.0 if name == subtype else -(label == name).sum() / others for name in names] + [0.0] * z.shape[1]
    unscaled = contrast @ np.linalg.pinv(design.T @ design) @ contrast
    residual = y - design @ coefficient
    return contrast @ coefficient, unscaled, residual @ residual / (len(y) - rank), len(y) - rank


def by_moments(s2, d):
    """Smyth's prior, its equation solved by bisection."""
    e = np.log(s2) - digamma(d / 2) + np.log(d / 2)
    target = np.sum((e - e.mean()) ** 2) / (len(e) - 1) - np.mean(polygamma(1, d / 2))
    half = np.exp(brentq(lambda log_y: polygamma(1, np.exp(log_y)) - target, -20, 20, xtol=1e-14))
    return 2 * half, np.exp(e.mean() + digamma(half) - np.log(half))


@pytest.mark.parametrize("adjusted", [False, True])
@pytest.mark.parametrize("missing", [0.0, 0.15])
def test_every_number_equals_least_squares_written_out(adjusted, missing):
    values, labels, covariates = drawn(1, missing=missing)
    found = differential(values, labels, covariates if adjusted else None)
    z = np.column_stack([covariates["age"], covariates["sex"] == "male"])[:, : 2 * adjusted]
    x, label = values.values, labels.to_numpy()
    fits = {name: np.array([by_lstsq(y, label, z, name) for y in x.T]).T for name in ("S0", "S1", "S2")}
    _, _, s2, d = fits["S0"]
    d0, s02 = by_moments(s2, d)
    assert (float(found["prior_df"]), float(found["prior_variance"])) == pytest.approx((d0, s02), rel=1e-8)
    for name, (difference, unscaled, _, _) in fits.items():
        one, inside = found.sel(subtype=name), label == name
        t = difference / np.sqrt(unscaled * (d0 * s02 + d * s2) / (d0 + d))
        p = 2 * stats.t.sf(np.abs(t), d0 + d)
        expected = (difference, t, p, stats.false_discovery_control(p))
        means = (np.nanmean(x[inside], axis=0), np.nanmean(x[~inside], axis=0))
        for key, array in zip(NUMBERS, expected + means, strict=True):
            np.testing.assert_allclose(one[key], array, rtol=TOLERANCES["posterior"], atol=1e-12, err_msg=key)
        assert int(one["n"]) == inside.sum()
    assert found.attrs == {"left_out": [], "n_samples": len(label)}


def test_two_groups_without_shrinkage_are_the_t_test():
    values, labels, _ = drawn(2, p=1)
    labels = labels.replace("S2", "S1")  # one feature has nobody to borrow from
    x, inside = values.values[:, 0], (labels == "S0").to_numpy()
    expected = stats.ttest_ind(x[inside], x[~inside], nan_policy="omit")
    found = differential(values, labels)
    assert found["statistic"].values.ravel() == pytest.approx([expected.statistic, -expected.statistic])
    assert found["p_value"].values.ravel() == pytest.approx([expected.pvalue] * 2)


# --- limma --------------------------------------------------------------------------------------------------------


def test_equals_limma_where_variances_differ_by_chance():
    values = layer(parsed(SIX_ARRAYS))
    one = differential(values, labelled(values, ["first"] * 3 + ["last"] * 3)).sel(subtype="last")
    t = [-6.8894222, 1.0244023, 1.0975061, 1.7901232, 0.3427908, -0.6729784, -1.5148301, 1.5065768, 0.3500330]
    p = [2.674199e-08, 3.118009e-01, 2.789833e-01, 8.100587e-02, 7.335508e-01, 5.048308e-01, 1.376783e-01, 1.397766e-01]
    q = [2.674199e-07, 5.196681e-01, 5.196681e-01, 3.494414e-01, 7.335508e-01, 7.098782e-01, 3.494414e-01, 3.494414e-01]
    np.testing.assert_allclose(one["statistic"][:9], t, rtol=1e-6)
    np.testing.assert_allclose(one["p_value"][:8], p, rtol=1e-6)
    np.testing.assert_allclose(one["q_value"][:8], q, rtol=1e-6)
    assert np.isinf(one["prior_df"])


def test_prior_equals_limma_with_missing_values():
    sigma, df = np.array([1.3425032, 0.4647155, 1.1993444, 0.9428569, 0.9421509]), np.array([6.0, 6, 6, 6, 4])
    assert variance_prior(sigma**2, df) == pytest.approx((9.306153, 0.923179), rel=1e-6)
    values = layer(parsed(NINE_ARRAYS))
    found = differential(values, labelled(values, ["mu"] * 3 + ["alpha"] * 3 + ["beta"] * 3))
    assert float(found["prior_df"]) == pytest.approx(9.306153, rel=1e-6)
    # limma's posterior variances and total degrees of freedom, in a contrast with the same variance as theirs
    s2 = np.array([1.2677996, 0.6459499, 1.1251558, 0.9097727])
    one = found.sel(subtype="alpha").isel(feature=slice(4))
    np.testing.assert_allclose(one["difference"] / one["statistic"], np.sqrt(s2 * (1 / 3 + 1 / 6)), rtol=1e-6)
    np.testing.assert_allclose(one["p_value"], 2 * stats.t.sf(np.abs(one["statistic"]), 15.30615), rtol=1e-5)
    assert np.isnan(found["p_value"].sel(feature="F4", subtype="mu"))  # one of three is known


# --- differences planted and not ----------------------------------------------------------------------------------


def test_p_values_are_uniform_where_nothing_differs():
    found = []
    for seed in range(8):
        rng = np.random.default_rng(100 + seed)
        sd = np.sqrt(stats.invgamma(3, scale=2).rvs(500, random_state=rng))
        values = layer(rng.normal(size=(30, 500)) * sd)
        covariates = pd.DataFrame({"age": rng.normal(size=30)}, values["sample"].values)
        labels = labelled(values, rng.permutation(["a"] * 6 + ["b"] * 10 + ["c"] * 14))
        found.append(differential(values, labels, covariates).sel(subtype=["a"])["p_value"].values.ravel())
    assert stats.kstest(np.concatenate(found), "uniform").pvalue > 0.01


def test_planted_differences_are_found_and_false_ones_kept_to_their_rate():
    false, power = [], []
    for seed in range(12):
        rng = np.random.default_rng(seed)
        x = rng.normal(size=(60, 1000)) * np.sqrt(stats.invgamma(4, scale=3).rvs(1000, random_state=rng))
        x[:20, :100] += 1.5
        values = layer(x)
        q = differential(values, labelled(values, ["a"] * 20 + ["b"] * 40)).sel(subtype="a")["q_value"].values
        false.append((q[100:] < 0.1).sum() / max((q < 0.1).sum(), 1))
        power.append((q[:100] < 0.1).mean())
    assert np.mean(power) > 0.9
    assert 0.03 < np.mean(false) < 0.11


def test_shrinkage_finds_more_with_few_patients():
    rng = np.random.default_rng(5)
    x = rng.normal(size=(6, 2000))
    x[:3, :100] += 3
    values = layer(x)
    q = differential(values, labelled(values, ["a"] * 3 + ["b"] * 3)).sel(subtype="a")["q_value"].values
    plain = stats.false_discovery_control(stats.ttest_ind(x[:3], x[3:]).pvalue)
    assert (q[:100] < 0.1).sum() > 20 + (plain[:100] < 0.1).sum()


# --- blocks, order, gaps ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("chunks", [(-1, 7), (11, 13), (-1, -1)])
def test_chunks_and_order_do_not_matter(chunks, monkeypatch):
    values, labels, covariates = drawn(3)
    whole = differential(values, labels, covariates)
    lazy = differential(values.copy(data=da.from_array(values.values, chunks=chunks)), labels, covariates)
    shuffled = values.isel(sample=np.random.default_rng(0).permutation(40)).T
    monkeypatch.setattr(blocks, "BLOCK_BYTES", 40 * 8 * 5)
    small = differential(shuffled, labels[::-1], covariates.sample(frac=1, random_state=0))
    for other in (lazy, small):
        assert other["feature"].identical(whole["feature"])
        for key in (*NUMBERS, "n", "prior_df"):
            np.testing.assert_allclose(other[key], whole[key], rtol=TOLERANCES["chunking float64"], atol=1e-13)


def test_values_are_read_once_and_one_block_at_a_time():
    seen = []

    def read(block_id):
        seen.append(block_id)
        return np.random.default_rng(block_id[1]).normal(size=(30, 50)).astype(np.float32)

    lazy = da.map_blocks(read, chunks=((30,), (50,) * 8), dtype=np.float32, meta=np.empty((0, 0), np.float32))
    values = layer(np.empty((30, 400))).copy(data=lazy)
    with dask.config.set(scheduler="synchronous"):
        found = differential(values, labelled(values, ["a", "b"] * 15))
    assert sorted(seen) == [(0, j) for j in range(8)]
    assert found["p_value"].notnull().all()
    assert all(found[key].dtype == float for key in NUMBERS)


def test_patients_without_label_values_or_covariate_are_left_out():
    values, labels, covariates = drawn(4)
    covariates.iloc[0, 0], covariates.iloc[1, 1], labels.iloc[2] = np.nan, "", None
    alone = pd.concat([labels, pd.Series({"elsewhere": "S0"})])
    found = differential(values, alone, covariates)
    assert found.attrs["n_samples"] == 37
    rest = values.isel(sample=slice(3, None))
    xr.testing.assert_allclose(found, differential(rest, labels[3:], covariates[3:]))


def test_a_small_subtype_is_left_out_and_said():
    values, labels, _ = drawn(5, missing=0.0)
    labels.iloc[:2] = "S9"
    found = differential(values, labels)
    assert found.attrs["left_out"] == ["S9"]
    assert found["subtype"].values.tolist() == ["S0", "S1", "S2"]
    x, inside = values.values, (labels == "S0").to_numpy()
    np.testing.assert_allclose(found["mean_outside"].sel(subtype="S0"), x[~inside].mean(axis=0))  # S9 is of the rest
    alone = differential(values, pd.Series("S1", labels.index))
    assert alone.sizes["subtype"] == 0
    assert alone.attrs["left_out"] == ["S1"]
    assert most_different(alone, 3).empty


def test_features_that_cannot_be_tested():
    values, labels, _ = drawn(6, p=30, missing=0.0)
    x = values.values.copy()
    x[:, 0] = 0.1
    x[:, 1] = np.nan
    inside = np.flatnonzero(labels == "S0")
    x[inside[2:], 2] = np.nan
    x[inside, 3] = np.nan
    found = differential(values.copy(data=x), labels)
    one = found.sel(subtype="S0")
    assert np.flatnonzero(np.isnan(one["p_value"])).tolist() == [0, 1, 2, 3]
    assert np.flatnonzero(np.isnan(found["q_value"].sel(subtype="S1"))).tolist() == [0, 1]
    assert one["difference"].values[0] == 0
    assert one["difference"].values[2] == pytest.approx(x[inside[:2], 2].mean() - x[labels != "S0", 2].mean())
    assert np.isnan(one["difference"].values[[1, 3]]).all()
    assert found["mean_outside"].sel(subtype="S0").values[3] == pytest.approx(x[labels != "S0", 3].mean())
    tested = values.isel(feature=slice(2, None)).copy(data=x[:, 2:])
    xr.testing.assert_allclose(
        differential(tested, labels), found.isel(feature=slice(2, None))
    )  # the others do not mind


def test_a_covariate_that_explains_a_subtype_among_those_known():
    values, labels, covariates = drawn(7, missing=0.0)
    site = np.where(labels == "S0", "A", "B")
    for told in (pd.DataFrame({"site": site}, labels.index), pd.DataFrame({"code": (site == "A") + 1}, labels.index)):
        with pytest.raises(DataError, match="the covariates say who has S0"):
            differential(values, labels, told)
    mixed = pd.DataFrame({"site": site}, labels.index)
    moved = np.flatnonzero(labels == "S1")[:3]
    mixed.iloc[moved] = "A"
    x = values.values.copy()
    x[moved, 0] = np.nan  # of this feature, all others of A are of S0
    found = differential(values.copy(data=x), labels, mixed)
    assert np.isnan(found[["difference", "p_value"]].sel(subtype="S0").to_array().values[:, 0]).all()
    assert np.isfinite(found["p_value"].sel(subtype="S0").values[1:]).all()
    twice = covariates.assign(again=2 * covariates["age"] + 3, same=1.5)
    xr.testing.assert_allclose(differential(values, labels, twice), differential(values, labels, covariates))


def test_labels_of_any_kind_and_genes_travel():
    values, labels, _ = drawn(8)
    values = values.assign_coords(gene=("feature", np.array([f"G{j};H" for j in range(60)], dtype=object)))
    found = differential(values, (labels == "S0").astype(float).mask(labels == "S2"))
    assert found["subtype"].values.tolist() == ["0", "1"]
    np.testing.assert_allclose(found["difference"][0], -found["difference"][1])
    assert found["gene"].values[3] == "G3;H"
    many = differential(values, labels.replace({"S0": "S10", "S1": "S2", "S2": "S1"}))
    assert many["subtype"].values.tolist() == ["S1", "S2", "S10"]


def test_what_cannot_be_right_is_refused():
    values, labels, covariates = drawn(9)
    infinite = values.values.copy()
    infinite[3, 3] = np.inf
    for arguments, what in (
        ((values, labels.rename(lambda name: "x" + name)), "no patient has values, a label and all covariates"),
        ((values, pd.concat([labels, labels[:1]])), "duplicate sample: P0000"),
        ((values, labels, pd.concat([covariates, covariates[:1]])), "duplicate sample: P0000"),
        ((values.copy(data=infinite), labels), "a value is infinite"),
        ((values, labels, covariates.assign(day=pd.Timestamp("2020-01-01"))), "'day' holds datetime64"),
        ((values, labels, covariates.assign(age=np.inf)), "a covariate is infinite"),
    ):
        with pytest.raises(DataError, match=re.escape(what)) as error:
            differential(*arguments)
        assert error.value.where
        assert error.value.fix


# --- the leading features, and the store --------------------------------------------------------------------------


def test_leading_features_are_those_of_the_smallest_p_value():
    values, labels, _ = drawn(10)
    x = values.values.copy()
    x[:, 5] = 1.0
    found = differential(values.copy(data=x), labels)
    table = most_different(found, 4)
    assert list(table) == COLUMNS
    assert [table[key].dtype.kind for key in COLUMNS] == list("OOOffffi")
    assert table["gene"].eq("").all()
    for name, rows in table.groupby("subtype"):
        p = found["p_value"].sel(subtype=name).to_series().dropna().sort_values()
        assert rows["feature"].tolist() == p.index[:4].tolist()
        assert rows["p_value"].tolist() == p.iloc[:4].tolist()
        assert rows["rank"].tolist() == [1, 2, 3, 4]
    every = most_different(found, 1000)
    assert len(every) == 3 * 59
    with pytest.raises(UsageError, match="n is 0"):
        most_different(found, 0)


def test_equal_p_values_go_by_the_statistic():
    found = xr.Dataset(
        {
            **dict.fromkeys(("difference", "q_value"), (("subtype", "feature"), [[1.0, 1, 1]])),
            "p_value": (("subtype", "feature"), [[0.0, 0, 0.1]]),  # too small to be told from 0
            "statistic": (("subtype", "feature"), [[40.0, -50, 1]]),
        },
        {"subtype": ["S1"], "feature": ["A", "B", "C"], "gene": ("feature", ["GA", "GB", ""])},
    )
    table = most_different(found, 2)
    assert table[["feature", "gene", "rank"]].to_numpy().tolist() == [["B", "GB", 1], ["A", "GA", 2]]
    assert cohort.from_table(table)["gene"].dtype == object
