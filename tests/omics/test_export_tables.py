"""Artefacts as tidy tables: every value is there once, under its declared name."""

from __future__ import annotations

import csv

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from omics.export import COLUMNS, dictionary, frames, tables, write_table, write_values
from omics.schema import NODES
from tests.models import GROUPS, VIEWS, K, make_tree, objects


def by_name(tree: xr.DataTree, noun: str = "factors") -> dict:
    return {table.name: table for table in tables(tree, noun)}


def lines(path) -> list[list[str]]:
    """A TSV file read by nothing but the csv module."""
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.reader(file, delimiter="\t"))


def make_cohort() -> xr.DataTree:
    view = xr.Dataset(
        {"value": (("sample", "feature"), np.array([[0.1, np.nan, 3], [1e-7, 2, -1]], dtype=np.float32))},
        coords={"sample": objects(["=cmd()", "P2"]), "feature": objects(["f", "-1", "@x"]),
                "gene": ("feature", objects(["A;B", "", "C"]))},
        attrs={"kind": "methylation", "likelihood": "gaussian"},
    )  # fmt: skip
    account = xr.Dataset({"layer": ("row", objects(["all"])), "samples": ("row", [2])}, attrs={"notes": ["a", "b"]})
    clinical = xr.Dataset(
        {"age": ("sample", [1 / 3, np.nan]), "=x": ("sample", objects(["-7,+8", "\t=1"]))},
        coords={"sample": view["sample"]},
    )
    nodes = {"/views/methylation": view, "/account": account, "/clinical": clinical, "/": xr.Dataset(attrs={"k": "v"})}
    return xr.DataTree.from_dict(nodes)


def test_every_value_of_a_model_is_in_one_table():
    tree = make_tree()
    found = by_name(tree)
    flat = {name: pd.concat(frames(table), ignore_index=True) for name, table in found.items()}
    for part in tree.subtree:
        for name, array in part.to_dataset(inherit=False).data_vars.items():
            path = part.path.strip("/").replace("/", ".")
            homes = [t for t in found if t.startswith(f"factors.{path}") and name in flat[t].columns]
            assert len(homes) == 1, (path, name)
            table = flat[homes[0]]
            keys = [dim for dim in array.dims if dim in table]
            assert len(table) == array.size
            for _, row in table.iloc[:: max(1, len(table) // 7)].iterrows():
                at = {dim: row[dim] if dim in array.indexes else int(row[dim]) for dim in keys}
                label = {dim: value for dim, value in at.items() if dim in array.indexes}
                value = array.sel(label).isel({dim: v for dim, v in at.items() if dim not in label}).item()
                assert row[name] == value or (row[name] != row[name] and value != value)
    assert "factors.variance.view_factor" in found
    assert "factors.restarts" in found, "one kind of dimensions needs no suffix"
    expected = ["feature", "factor", "gene", "position", "weight", "weight_square"]
    assert found["factors.views.expression.feature_factor"].columns == expected, "as the schema orders them"


def test_files_round_trip_and_no_cell_is_a_formula(tmp_path):
    found = by_name(make_cohort(), "cohort")
    assert list(found) == [
        "cohort.account",
        "cohort.clinical",
        "cohort.views.methylation.feature",
        "cohort.views.methylation.sample",
        "cohort.attributes",
    ], "values are no table"
    for name, table in found.items():
        write_table(table, tmp_path / name)
    assert lines(tmp_path / "cohort.clinical") == [
        ["sample", "age", "'=x"],
        ["'=cmd()", "0.3333333333333333", "'-7,+8"],
        ["P2", "", "'\t=1"],
    ]
    assert lines(tmp_path / "cohort.views.methylation.feature") == [
        ["feature", "gene"],
        ["f", "A;B"],
        ["-1", ""],
        ["'@x", "C"],
    ]
    assert lines(tmp_path / "cohort.views.methylation.sample") == [["sample"], ["'=cmd()"], ["P2"]]
    assert lines(tmp_path / "cohort.attributes")[0] == ["node", "name", "value"]
    assert ["/account", "notes", '["a", "b"]'] in lines(tmp_path / "cohort.attributes")
    assert ["/", "k", "v"] in lines(tmp_path / "cohort.attributes")


def test_values_are_features_down_and_patients_across(tmp_path):
    view = make_cohort()["views/methylation"].to_dataset()
    write_values(view, tmp_path / "v.tsv")
    found = lines(tmp_path / "v.tsv")
    assert found[0] == ["feature", "'=cmd()", "P2"]
    assert [row[0] for row in found[1:]] == ["f", "-1", "'@x"]
    numbers = np.array([[float(cell or "nan") for cell in row[1:]] for row in found[1:]], dtype=np.float32)
    np.testing.assert_array_equal(numbers, view["value"].to_numpy().T)


def test_blocks_of_features_are_joined_without_seam(tmp_path, monkeypatch):
    view = make_cohort()["views/methylation"].to_dataset().chunk(feature=1)
    write_values(view, tmp_path / "whole")
    monkeypatch.setattr("omics.blocks.BLOCK_BYTES", 2 * 4 * 2)
    write_values(view, tmp_path / "blocks")
    assert (tmp_path / "whole").read_bytes() == (tmp_path / "blocks").read_bytes()


def test_a_table_in_blocks_has_one_header(tmp_path, monkeypatch):
    table = by_name(make_tree())["factors.views.expression.feature_group"]
    write_table(table, tmp_path / "whole")
    monkeypatch.setattr("omics.blocks.BLOCK_BYTES", 8 * len(GROUPS) * 4)
    assert len(list(frames(table))) == 4, "14 features, four at a time"
    write_table(table, tmp_path / "blocks")
    assert (tmp_path / "whole").read_bytes() == (tmp_path / "blocks").read_bytes()


def test_the_dictionary_explains_each_column():
    explained = pd.concat([dictionary(table) for table in tables(make_tree(), "factors")])
    assert tuple(explained.columns) == COLUMNS
    rows = explained.set_index(["table", "column"])
    for node, table, names in (
        ("factors", "factors.factors.sample_factor", ["score", "score_sd"]),
        ("weights", "factors.views.expression.feature_factor", ["weight", "weight_square", "gene", "position"]),
        ("trace", "factors.trace", ["elbo", "seconds"]),
    ):
        declared = {variable.name: variable for variable in NODES[node]}
        for name in names:
            assert tuple(rows.loc[(table, name)]) == (declared[name].kind, declared[name].meaning, declared[name].units)
    assert tuple(rows.loc[("factors.trace", "check")]) == ("integer", "computation of the bound, from 0", "1")
    undeclared = pd.concat([dictionary(table) for table in tables(make_cohort(), "cohort")]).set_index("column")
    assert tuple(undeclared.loc["=x", ["kind", "meaning"]]) == ("text", "as in the clinical table")


def test_scalars_and_bytes_of_a_classifier():
    tree = xr.DataTree.from_dict(
        {
            "/recipe/x": xr.Dataset({"scale": 2.5, "mean": ("feature", [1.0])}, coords={"feature": objects("f")}),
            "/classifier": xr.Dataset({"skops": ("byte", np.zeros(9, dtype=np.uint8))}),
        }
    )
    found = by_name(tree, "model")
    assert set(found) == {"model.recipe.x.all", "model.recipe.x.feature"}
    (scalars,) = frames(found["model.recipe.x.all"])
    assert scalars.to_dict("list") == {"scale": [2.5]}


@pytest.mark.parametrize("node", sorted(set(NODES) - {"view", "weights"}))
def test_every_declared_node_can_be_a_table(node, tmp_path):
    """Of whatever the schema declares, with no rows but all columns."""
    kinds = {"float": np.float64, "integer": np.int64, "text": object}
    data = {v.name: (v.dims, np.zeros([0] * len(v.dims), dtype=kinds[v.kind])) for v in NODES[node]}
    names = set()
    for table in tables(xr.DataTree.from_dict({f"/{node}": xr.Dataset(data)}), "any"):
        write_table(table, tmp_path / table.name)
        header, *rows = lines(tmp_path / table.name)
        assert len(rows) == (not table.dims), "a single number has a row, and nothing else"
        names |= set(header)
        assert list(dictionary(table)["column"]) == header
    assert names >= set(data)


def test_the_size_of_the_model_is_that_of_its_tables():
    found = by_name(make_tree())
    table = pd.concat(frames(found["factors.views.reads.feature_factor"]))
    assert len(table) == VIEWS["reads"][1] * K
