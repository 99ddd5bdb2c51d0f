"""Stores give back what was put in, and the traps of xarray and zarr stay behind the door."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path

import dask.array as da
import numpy as np
import pandas as pd
import pytest
import xarray as xr
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from omics import cohort
from omics.artefact import Provenance, digest, publish
from omics.cohort import ViewWriter, from_table, node, select, to_table
from omics.schema import check_cohort

HERE = Provenance("cohort")
ATTRS = {"kind": "methylation", "likelihood": "gaussian", "units": "beta"}


def ids(prefix: str, count: int) -> np.ndarray:
    return np.array([f"{prefix}{i:05d}" for i in range(count)], dtype=object)


def a_view(values: np.ndarray, samples: Sequence[str] | None = None) -> xr.Dataset:
    n_samples, n_features = values.shape
    return xr.Dataset(
        {"value": (("sample", "feature"), values)},
        coords={
            "sample": ids("P", n_samples) if samples is None else np.array(samples, dtype=object),
            "feature": ids("cg", n_features),
        },
        attrs=ATTRS,
    )


def noise(n_samples: int, n_features: int) -> np.ndarray:
    values = np.random.default_rng(0).random((n_samples, n_features), dtype=np.float32)
    values[0, 0] = np.nan
    return values


@pytest.fixture
def tree() -> xr.DataTree:
    clinical = pd.DataFrame(
        {"sex": ["f", None, "m"], "age": [1.5, np.nan, 9.0], "own column": ["é", "NA", ""]},
        index=pd.Index(["P00002", "P00000", "P00001"], name="sample"),
    )
    return xr.DataTree.from_dict(
        {
            "/": xr.Dataset(attrs={"recipe": "[]"}),
            "/views/methylation": a_view(noise(3, 50)).assign_coords(gene=("feature", ids("G", 50))),
            "/views/expression": a_view(noise(2, 20), ["P00001", "X"]),
            "/clinical": from_table(clinical, "sample"),
            "/excluded": from_table(pd.DataFrame({"layer": ["a"], "sample": ["P9"], "reason": ["normal tissue"]})),
        }
    )


# --- save and open ------------------------------------------------------------------------------------------------


def test_round_trip_is_identical_and_lazy(tree: xr.DataTree, tmp_path: Path) -> None:
    cohort.save(tree, tmp_path / "c.zarr", HERE)
    opened = check_cohort(cohort.open(tmp_path / "c.zarr", noun="cohort"))
    xr.testing.assert_identical(opened.compute(), tree)
    for name in ("methylation", "expression"):
        assert isinstance(node(opened, f"views/{name}")["value"].data, da.Array)
    assert node(opened, "views/methylation")["gene"].dtype == object


def test_plain_xarray_opens_a_store_without_a_word(tree: xr.DataTree, tmp_path: Path) -> None:
    cohort.save(tree, tmp_path / "c.zarr", HERE)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        plain = xr.open_datatree(tmp_path / "c.zarr")
        np.testing.assert_array_equal(plain["views/methylation"]["value"], tree["views/methylation"]["value"])
        assert plain["clinical"]["own column"].values.tolist() == ["é", "NA", ""]
        plain.close()


def test_saving_a_lazy_tree_of_odd_chunks_writes_the_same_store(tree: xr.DataTree, tmp_path: Path) -> None:
    lazy = xr.DataTree.from_dict({part.path: part.to_dataset(inherit=False) for part in tree.subtree})
    for name, rows in (("methylation", 2), ("expression", 1)):
        view = node(tree, f"views/{name}")
        lazy[f"views/{name}"] = xr.DataTree(view.assign(value=view["value"].chunk(sample=rows, feature=7)))
    cohort.save(tree, tmp_path / "a.zarr", HERE)
    cohort.save(lazy, tmp_path / "b.zarr", HERE)
    assert digest(tmp_path / "a.zarr") == digest(tmp_path / "b.zarr")


def test_scalars_empty_text_and_empty_tables_survive(tmp_path: Path) -> None:
    empty = from_table(pd.DataFrame({"layer": pd.Series([], dtype=object), "samples": pd.Series([], dtype=int)}))
    kept = xr.DataTree.from_dict({"/a": xr.Dataset({"scale": 1.5, "note": ("x", ids("", 0))}), "/account": empty})
    cohort.save(kept, tmp_path / "c.zarr", Provenance("model"))
    opened = cohort.open(tmp_path / "c.zarr").compute()
    assert float(opened["a"]["scale"]) == 1.5
    assert opened["a"]["note"].shape == (0,)
    assert to_table(node(opened, "account")).columns.tolist() == ["layer", "samples"]


# --- writing block by block ---------------------------------------------------------------------------------------


def write_in_blocks(folder: Path, values: np.ndarray, sizes: Sequence[int]) -> None:
    with publish(folder, HERE) as staging:
        writer = ViewWriter(staging, "methylation", list(ids("P", len(values))), ATTRS)
        features, start = ids("cg", values.shape[1]), 0
        for size in sizes:
            writer.append(features[start : start + size].tolist(), values[:, start : start + size])
            start += size
        assert writer.features == features[:start].tolist()
        writer.close({"gene": [f"G{i}" for i in range(start)], "position": list(range(start))})


def written_directly(values: np.ndarray) -> xr.Dataset:
    n = values.shape[1]
    return a_view(values).assign_coords(gene=("feature", [f"G{i}" for i in range(n)]), position=("feature", range(n)))


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(sizes=st.lists(st.integers(1, 40), max_size=6), block=st.sampled_from([4, 16, 64]))
def test_blocks_of_any_size_make_the_same_view(
    tmp_path_factory: pytest.TempPathFactory, sizes: list[int], block: int
) -> None:
    values, folder = noise(5, max(sum(sizes), 1))[:, : sum(sizes)], tmp_path_factory.mktemp("blocks")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cohort, "features_per_block", lambda *_: block)
        write_in_blocks(folder / "a.zarr", values, sizes)
    opened = cohort.open(folder / "a.zarr")["views/methylation"].to_dataset().compute()
    for name, expected in written_directly(values).variables.items():
        np.testing.assert_array_equal(opened[name], expected)
    assert opened.attrs == ATTRS


def test_more_than_a_block_is_stored_in_whole_blocks_of_the_store(tmp_path: Path) -> None:
    values = noise(1100, 5000)  # two rows of chunks, three columns
    write_in_blocks(tmp_path / "a.zarr", values, [1, 2047, 2500, 452])
    opened = cohort.open(tmp_path / "a.zarr")["views/methylation/value"]
    assert opened.chunks == ((1024, 76), (2048, 2048, 904))
    np.testing.assert_array_equal(opened, values)


def test_view_written_in_blocks_opens_in_plain_xarray_with_nan(tmp_path: Path) -> None:
    write_in_blocks(tmp_path / "a.zarr", noise(5, 30), [30])
    with xr.open_datatree(tmp_path / "a.zarr") as plain:
        assert np.isnan(plain["views/methylation"]["value"].values[0, 0])
        assert plain["views/methylation"]["value"].attrs["long_name"] == "measured value, NaN where missing"


# --- tables -------------------------------------------------------------------------------------------------------


def test_tables_round_trip_through_a_store(tmp_path: Path) -> None:
    table = pd.DataFrame(
        {
            "text": ["a", None, "NA"],
            "number": [1.5, np.nan, -0.0],
            "count": [1, 2, 3],
            "flag": [True, False, True],
            "group": pd.Categorical(["x", None, "y"]),
            "maybe count": pd.array([1, None, 3], dtype="Int64"),
            "maybe flag": pd.array([True, None, False], dtype="boolean"),
            "mixed": ["a", 2, None],
        },
        index=pd.Index(["P1", "P2", "P3"], name="sample"),
    )
    cohort.save(xr.DataTree.from_dict({"/t": from_table(table, "sample")}), tmp_path / "t.zarr", HERE)
    back = to_table(node(cohort.open(tmp_path / "t.zarr"), "t"))
    expected = pd.DataFrame(
        {
            "text": ["a", None, "NA"],
            "number": [1.5, np.nan, -0.0],
            "count": [1, 2, 3],
            "flag": np.array([1, 0, 1], dtype=np.int8),
            "group": ["x", None, "y"],
            "maybe count": [1.0, np.nan, 3.0],
            "maybe flag": [1.0, np.nan, 0.0],
            "mixed": ["a", "2", None],
        },
        index=table.index,
    )
    assert back["text"].isna().tolist() == back["group"].isna().tolist() == [False, True, False]
    pd.testing.assert_frame_equal(
        back[list(expected)].fillna({"text": "-", "group": "-", "mixed": "-"}),
        expected.fillna({"text": "-", "group": "-", "mixed": "-"}),
    )


def test_clinical_table_has_missing_text_as_missing(tree: xr.DataTree) -> None:
    table = cohort.clinical_table(tree)
    assert table.index.tolist() == ["P00002", "P00000", "P00001"]
    assert table["sex"].isna().tolist() == [False, True, False]
    assert cohort.clinical_table(xr.DataTree()).empty


# --- rows ---------------------------------------------------------------------------------------------------------


def test_select_keeps_the_given_order_and_what_each_node_has(tree: xr.DataTree) -> None:
    chosen = select(tree, ["X", "P00002", "nobody", "P00001"])
    assert node(chosen, "views/methylation").indexes["sample"].tolist() == ["P00002", "P00001"]
    assert node(chosen, "views/expression").indexes["sample"].tolist() == ["X", "P00001"]
    assert node(chosen, "clinical").indexes["sample"].tolist() == ["P00002", "P00001"]
    np.testing.assert_array_equal(chosen["views/methylation/value"], tree["views/methylation/value"][[2, 1]])
    xr.testing.assert_identical(node(chosen, "excluded"), node(tree, "excluded"))
    assert chosen.attrs == tree.attrs


def test_select_from_a_store_of_several_row_chunks_stays_lazy_and_whole(tmp_path: Path) -> None:
    values = noise(2500, 3)
    cohort.save(xr.DataTree.from_dict({"/views/m": a_view(values)}), tmp_path / "c.zarr", HERE)
    rows = np.random.default_rng(1).permutation(2500)[:1500]
    chosen = select(cohort.open(tmp_path / "c.zarr"), ids("P", 2500)[rows])["views/m/value"]
    assert isinstance(chosen.data, da.Array)
    assert chosen.data.numblocks[0] == 1
    np.testing.assert_array_equal(chosen, values[rows])


def test_select_nobody_leaves_empty_views(tree: xr.DataTree) -> None:
    assert node(select(tree, []), "views/methylation").sizes == {"sample": 0, "feature": 50}


def test_samples_are_those_of_any_view(tree: xr.DataTree) -> None:
    assert cohort.samples(tree).tolist() == ["P00000", "P00001", "P00002", "X"]


def test_node_is_not_a_variable(tree: xr.DataTree) -> None:
    with pytest.raises(TypeError, match="not a node"):
        node(tree, "views/methylation/value")
