"""Leading features: against a computation feature by feature, on planted restarts, lazily, and on a real fit."""

from __future__ import annotations

import tracemalloc

import dask
import dask.array as da
import numpy as np
import pandas as pd
import pytest
import xarray as xr

from omics import cohort as store
from omics.factors import MOFA
from omics.factors.tables import factor_names, factors_table, restart_scores_table
from omics.interpret.leading import leading_features
from omics.schema import DataError, UsageError, view_names
from tests.streaming import cohort

COLUMNS = ["factor", "layer", "feature", "gene", "rank", "weight", "share", "correlation", "stability"]


def names(letter: str, n: int) -> np.ndarray:
    return np.array([f"{letter}{i:05d}" for i in range(n)], dtype=object)


def weights_of(weight: np.ndarray, gene: np.ndarray | None = None) -> xr.Dataset:
    n_features, n_factors = weight.shape
    table = xr.Dataset(
        {
            "weight": (("feature", "factor"), weight),
            "weight_square": (("feature", "factor"), weight**2),
            "intercept": (("group", "feature"), np.zeros((1, n_features))),
            "precision": (("group", "feature"), np.ones((1, n_features))),
        },
        coords={"feature": names("f", n_features), "factor": factor_names(n_factors), "group": ["all"]},
    )
    return table if gene is None else table.assign_coords(gene=("feature", gene))


def scores_of(score: np.ndarray, others: list[np.ndarray]) -> tuple[xr.Dataset, xr.Dataset | None]:
    samples = names("P", len(score))
    best = factors_table(score, np.ones_like(score), samples, np.full(len(score), "all", dtype=object))
    return best, restart_scores_table(score, dict(enumerate(others, 1)), samples) if others else None


def values_of(values: np.ndarray, rows: np.ndarray | None = None) -> xr.DataArray:
    rows = np.arange(len(values)) if rows is None else rows
    coords = {"sample": names("P", rows.max() + 1)[rows], "feature": names("f", values.shape[1])}
    return xr.DataArray(values, dims=("sample", "feature"), coords=coords)


def drawn(seed: int, n_samples: int = 60, n_features: int = 40, n_factors: int = 3):
    """Scores of a fit and of restarts like it, and values of a layer that some lack and of which some are missing."""
    rng = np.random.default_rng(seed)
    score = rng.normal(size=(n_samples, n_factors))
    weight = rng.normal(size=(n_features, n_factors))
    rows = np.sort(rng.permutation(n_samples)[: n_samples - 8])
    values = (score @ weight.T + rng.normal(size=(n_samples, n_features)))[rows] + 3
    values[rng.random(values.shape) < 0.05] = np.nan
    others = [-(score + rng.normal(size=score.shape))[:, ::-1] for _ in range(4)]
    return weight, score, others, values.astype(np.float32), rows


# --- one by one ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("chunks", [None, 7, 40])
def test_every_row_is_that_of_a_computation_one_by_one(chunks):
    weight, score, others, values, rows = drawn(0)
    best, restarts = scores_of(score, others)
    layer = values_of(values if chunks is None else da.from_array(values, chunks=(30, chunks)), rows)
    table = leading_features({"layer": weights_of(weight)}, {"layer": layer}, best, restarts, n=6)
    assert list(table.columns) == COLUMNS
    assert len(table) == 3 * 6
    filled = values.astype(float) - np.nanmean(values.astype(float), axis=0)
    filled[np.isnan(filled)] = 0.0
    lead = np.zeros((4, 3, 40), dtype=bool)
    for own, other in zip(lead, restarts["score"].to_numpy(), strict=True):
        design = np.column_stack([np.ones(len(rows)), other[rows]])
        sizes = np.abs([np.linalg.lstsq(design, y, rcond=None)[0][1:] for y in filled.T])
        for k in range(3):
            own[k, np.argsort(sizes[:, k])[-6:]] = True
    for row in table.itertuples():
        k, d = int(row.factor[6:]) - 1, int(row.feature[1:])
        assert row.rank == 1 + (np.abs(weight[:, k]) > abs(weight[d, k])).sum()
        assert row.weight == weight[d, k]
        assert row.share == pytest.approx(weight[d, k] ** 2 / (weight[:, k] ** 2).sum())
        known = ~np.isnan(values[:, d])
        assert row.correlation == pytest.approx(np.corrcoef(score[rows][known, k], values[known, d])[0, 1], rel=1e-6)
        assert row.stability == lead[:, k, d].mean()
    assert table["stability"].nunique() > 2  # else nothing was compared


def test_order_layers_and_genes():
    weight, score, others, values, rows = drawn(1)
    gene = names("G", 40)
    layers = {"b": weights_of(weight, gene), "a": weights_of(weight[:4] * np.array([1, 1, 0]))}
    best, restarts = scores_of(score, others)
    table = leading_features(layers, {"b": values_of(values, rows)}, best, restarts, n=5)
    assert table["factor"].tolist() == [f"Factor{k}" for k in (1, 2, 3) for _ in range(9)]
    assert table["layer"].tolist() == (["a"] * 4 + ["b"] * 5) * 3
    assert table["rank"].tolist() == [1, 2, 3, 4, 1, 2, 3, 4, 5] * 3
    of_b = table["layer"] == "b"
    assert (table.loc[of_b, "gene"] == table.loc[of_b, "feature"].str.replace("f", "G")).all()
    assert (table.loc[~of_b, "gene"] == "").all()
    assert table.loc[~of_b, ["correlation", "stability"]].isna().all(axis=None)  # no values, and all of four lead
    nothing = table[~of_b & (table["factor"] == "Factor3")]
    assert nothing["feature"].tolist() == ["f00000", "f00001", "f00002", "f00003"]
    assert (nothing["share"] == 0).all()


def test_features_and_samples_are_matched_by_name():
    weight, score, others, values, rows = drawn(2)
    best, restarts = scores_of(score, others)
    layer = values_of(values, rows)
    coords = {"sample": [*layer["sample"].to_numpy(), "unknown"], "feature": ["new", *layer["feature"].to_numpy()]}
    mixed = xr.DataArray(np.pad(values, ((0, 1), (1, 0)), constant_values=100), coords, ("sample", "feature"))
    mixed = mixed.isel(feature=slice(None, None, -1), sample=np.random.default_rng(0).permutation(len(rows) + 1))
    expected = leading_features({"layer": weights_of(weight)}, {"layer": layer}, best, restarts, n=6)
    table = leading_features({"layer": weights_of(weight)}, {"layer": mixed}, best, restarts, n=6)
    pd.testing.assert_frame_equal(table, expected)


# --- stability ----------------------------------------------------------------------------------------------------


def test_a_factor_that_restarts_do_not_find_again_is_unstable():
    """Seven of ten restarts have a third factor in the place of the second."""
    rng = np.random.default_rng(3)
    truth, weight = rng.normal(size=(120, 3)), np.zeros((300, 3))
    for k in range(3):
        weight[20 * k : 20 * k + 20, k] = 2.0 + rng.random(20)
    values = truth @ weight.T + rng.normal(size=(120, 300))
    found = [truth[:, [2, 0]] if i < 7 else truth[:, [1, 0]] for i in range(10)]
    best, restarts = scores_of(truth[:, :2], [0.1 * rng.normal(size=(120, 2)) - one for one in found])
    layer = {"layer": values_of(values)}
    table = leading_features({"layer": weights_of(weight[:, :2])}, layer, best, restarts, n=20)
    stability = table.groupby("factor")["stability"].unique().map(list).to_dict()
    assert stability == {"Factor1": [1.0], "Factor2": [0.3]}


def test_restarts_of_which_nothing_is_left_find_nothing():
    weight, score, others, values, rows = drawn(4)
    best, restarts = scores_of(score, others)
    layer = {"layer": values_of(values, rows)}
    whole = leading_features({"layer": weights_of(weight)}, layer, best, restarts, n=6)
    spoiled = restarts["score"].to_numpy().copy()
    spoiled[0], spoiled[1, :, 1], spoiled[2, 5, 1] = np.nan, 0.25, np.inf
    restarts["score"] = restarts["score"].dims, spoiled
    table = leading_features({"layer": weights_of(weight)}, layer, best, restarts, n=6)
    assert table.loc[table["factor"] == "Factor2", "stability"].max() <= 0.25
    of_first = leading_features({"layer": weights_of(weight)}, layer, best, restarts.isel(restart=[3]), n=6)
    assert of_first.loc[of_first["factor"] == "Factor2", "stability"].max() == 1.0
    drop = (whole["stability"] - table["stability"])[table["factor"] == "Factor1"]
    assert (drop <= 0.5).all()


def test_features_that_are_alike_lead_together():
    """Copies of one feature are as large in every restart, in whatever blocks they lie."""
    rng = np.random.default_rng(5)
    score = rng.normal(size=(50, 1))
    weight = np.concatenate([np.full((6, 1), 2.0), 0.1 * rng.random((100, 1))])
    values = score @ weight.T + 0.01 * rng.normal(size=(50, 106))
    values[:, :6] = values[:, [0]]
    values = values[:, mixed := rng.permutation(106)]
    best, restarts = scores_of(score, [score + 0.1 * rng.normal(size=score.shape) for _ in range(3)])
    layer = values_of(da.from_array(values, chunks=(-1, 9)))
    table = leading_features({"layer": weights_of(weight[mixed])}, {"layer": layer}, best, restarts, n=4)
    assert (table["stability"] == 1.0).all()


def test_memory_does_not_grow_with_the_features():
    rng = np.random.default_rng(6)
    n_samples, n_features = 200, 60_000
    blocks = da.random.default_rng(0).normal(size=(n_samples, n_features), chunks=(n_samples, 1_000))
    score = rng.normal(size=(n_samples, 3))
    best, restarts = scores_of(score, [score + rng.normal(size=score.shape) for _ in range(5)])
    weights = {"layer": weights_of(rng.normal(size=(n_features, 3)).astype(np.float32))}
    layer = {"layer": values_of(blocks)}
    with dask.config.set(scheduler="synchronous"):
        tracemalloc.start()
        table = leading_features(weights, layer, best, restarts)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert table["stability"].notna().all()
    assert peak < blocks.nbytes / 4


def test_a_fit_and_its_restarts_go_straight_in():
    tree = cohort()
    model = MOFA(n_factors=3, n_restarts=4, max_iter=100, random_state=3).fit(tree)
    values = {name: store.node(tree, f"views/{name}")["value"] for name in view_names(tree)}
    table = leading_features(model.weights_, values, model.factors_, model.restart_scores_, n=8)
    assert set(table["layer"]) == set(values)
    assert table["stability"].between(0, 1).all()
    first = table[(table["layer"] == "view0") & (table["rank"] <= 3)]
    assert first["stability"].mean() > 0.8
    assert (np.sign(first["correlation"]) == np.sign(first["weight"])).all()
    bare = leading_features(model.weights_, None, model.factors_, None, n=8)
    assert bare[["correlation", "stability"]].isna().all(axis=None)
    pd.testing.assert_frame_equal(bare[COLUMNS[:7]], table[COLUMNS[:7]])


def test_what_is_refused():
    weight, score, others, values, rows = drawn(7)
    best, restarts = scores_of(score, others)
    weights, layer = {"layer": weights_of(weight)}, {"layer": values_of(values, rows)}
    with pytest.raises(UsageError, match="0 features"):
        leading_features(weights, layer, best, restarts, n=0)
    with pytest.raises(DataError, match="other factors"):
        leading_features({"layer": weights_of(weight[:, :2])}, layer, best, restarts)
    with pytest.raises(DataError, match="other samples"):
        leading_features(weights, layer, best, restarts.isel(sample=slice(1, None)))
    with pytest.raises(DataError, match="there is no f00000"):
        leading_features(weights, {"layer": layer["layer"].isel(feature=slice(1, None))}, best, restarts)
