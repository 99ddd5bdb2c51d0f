"""One .h5mu file, read back by hand as its format says, and by mudata where it is installed."""

from __future__ import annotations

import tracemalloc
import warnings
from pathlib import Path
from typing import Any

import dask.array as da
import h5py
import numpy as np
import pandas as pd
import pytest
import xarray as xr

from omics.export import write_h5mu
from omics.schema import DataError

HOSTILE = ["=cmd()", "</script><img src=x onerror=alert(1)>", "Zoë\t\n'\"", "a/b", ""]
PATIENTS = np.array([*HOSTILE, *(f"P{i}" for i in range(6))], dtype=object)
ROWS = {"expression": slice(2, 11), "mutation": slice(8, None, -1)}


def view(samples: np.ndarray, features: list[str], seed: int = 0, **coords: Any) -> xr.Dataset:
    values = np.random.default_rng(seed).normal(size=(len(samples), len(features))).astype(np.float32)
    values[::3, ::2] = np.nan
    return xr.Dataset(
        {"value": (("sample", "feature"), values)},
        coords={"sample": samples, "feature": np.array(features, dtype=object)}
        | {name: ("feature", np.array(column)) for name, column in coords.items()},
        attrs={"kind": "expression", "likelihood": "gaussian", "units": "log2cpm"},
    )


def make_views() -> dict[str, xr.Dataset]:
    genes = np.array(["TP53", "", "Ä/B"], dtype=object)
    return {
        "mutation": view(PATIENTS[ROWS["mutation"]], ["TP53", "NRAS", "x/y"], 1, gene=genes, position=[7, -1, 2**40]),
        "expression": view(PATIENTS[ROWS["expression"]], ["CD19", "TP53"]),
    }


def make_weights() -> dict[str, xr.Dataset]:
    """Of features in another order than in the view, and not all."""
    weight = (("factor", "feature"), np.arange(6.0).reshape(3, 2))
    return {"mutation": xr.Dataset({"weight": weight}, coords={"feature": np.array(["x/y", "TP53"], dtype=object)})}


def make_obs() -> pd.DataFrame:
    columns = {
        "age": np.arange(11.0) / 3,
        "n": np.arange(11),
        "sex": ["f", "m", np.nan, "", *"mfmfmfm"],
        "unknown": np.full(11, np.nan, dtype=object),
        "id": [f"id{i}" for i in range(11)],
    }
    return pd.DataFrame(columns, index=pd.Index(PATIENTS, dtype=object)).astype({"age": np.float64})


SCORES = np.random.default_rng(3).normal(size=(11, 3))
UNS = {
    "text": "Zoë",
    "deep": {"number": 3, "share": 0.1, "flag": True, "names": np.array(["b", "a"], dtype=object)},
    "table": pd.DataFrame({"a": [0.1, np.nan], "b": ["x", "x"], "flag": [True, False]}),
    "none": pd.DataFrame({"a": np.array([], dtype=object)}),
}


def written(path: Path, **changes: Any) -> Path:
    given = {"obs": make_obs(), "obsm": {"X_mofa": SCORES}, "weights": make_weights(), "uns": UNS, **changes}
    write_h5mu(path, given.pop("views", make_views()), **given)
    return path


# --- the format, by hand --------------------------------------------------------------------------------------------


def decoded(item: h5py.Group | h5py.Dataset) -> Any:
    """An element as its attributes say that it is to be read; an unknown encoding is a KeyError."""
    decode = {
        ("dict", "0.1.0"): lambda: {name: decoded(part) for name, part in item.items()},
        ("anndata", "0.1.0"): lambda: {name: decoded(part) for name, part in item.items()},
        ("array", "0.2.0"): lambda: item[()],
        ("numeric-scalar", "0.2.0"): lambda: item[()],
        ("string", "0.2.0"): lambda: item.asstr()[()],
        ("string-array", "0.2.0"): lambda: item.asstr()[...],
        ("categorical", "0.2.0"): lambda: pd.Categorical.from_codes(item["codes"][()], decoded(item["categories"])),
        ("dataframe", "0.2.0"): lambda: pd.DataFrame(
            {name: decoded(item[name]) for name in item.attrs["column-order"]},
            index=decoded(item[item.attrs["_index"]]),
        ),
    }
    return decode[item.attrs["encoding-type"], item.attrs["encoding-version"]]()


def opened(path: Path) -> dict[str, Any]:
    with h5py.File(path) as file:
        assert file.attrs["encoding-type"] == "MuData"
        assert file.attrs["encoding-version"] == "0.1.0"
        assert file.attrs["axis"] == 0
        parts = {name: decoded(part) for name, part in file.items() if name != "mod"}
        modalities = {name: decoded(file["mod"][name]) for name in file["mod"].attrs["mod-order"]}
    return {**parts, "mod": modalities}


def test_everything_is_read_back_by_hand(tmp_path):
    path, views = written(tmp_path / "a.h5mu"), make_views()
    assert path.read_bytes().startswith(b"MuData (format-version=0.1.0;")
    found = opened(path)
    assert list(found["mod"]) == ["mutation", "expression"], "the order in which they were given"
    for name, modality in found["mod"].items():
        assert set(modality) == {"X", "obs", "var", "obsm", "varm", "obsp", "varp", "layers", "uns"}
        np.testing.assert_array_equal(modality["X"], views[name]["value"].to_numpy())
        assert modality["X"].dtype == np.float32
        assert list(modality["obs"].index) == list(PATIENTS[ROWS[name]])
        assert modality["uns"] == {"kind": "expression", "likelihood": "gaussian", "units": "log2cpm"}
    var = found["mod"]["mutation"]["var"]
    assert list(var.index) == ["TP53_mutation", "NRAS", "x/y"], "ids are unique over the layers"
    assert list(var["feature"]) == ["TP53", "NRAS", "x/y"]
    assert list(found["mod"]["expression"]["var"].index) == ["CD19", "TP53_expression"]
    assert list(var["gene"].astype(object).fillna("-")) == ["TP53", "-", "Ä/B"]
    assert list(var["position"]) == [7, -1, 2**40]
    weight = [[1, 3, 5], [np.nan] * 3, [0, 2, 4]]
    np.testing.assert_array_equal(found["mod"]["mutation"]["varm"]["LFs"], weight)
    assert found["mod"]["expression"]["varm"] == {}


def test_patients_and_features_are_mapped(tmp_path):
    found = opened(written(tmp_path / "a.h5mu"))
    obs = make_obs()
    obs["sex"] = pd.Categorical(obs["sex"].replace("", np.nan))
    obs["unknown"] = pd.Categorical(obs["unknown"])
    pd.testing.assert_frame_equal(found["obs"], obs, check_index_type=False, check_categorical=False)
    np.testing.assert_array_equal(found["obsm"]["X_mofa"], SCORES)
    assert list(found["var"].index) == ["TP53_mutation", "NRAS", "x/y", "CD19", "TP53_expression"]
    for axis, maps, flags in (("obs", "obsmap", "obsm"), ("var", "varmap", "varm")):
        for name, modality in found["mod"].items():
            ids, place = found[axis].index.to_numpy(), found[maps][name]
            assert place.dtype == np.uint32
            assert sorted(place[place > 0]) == list(range(1, len(modality[axis]) + 1))
            assert list(modality[axis].index[place[place > 0] - 1]) == list(ids[place > 0])
            np.testing.assert_array_equal(found[flags][name][:, 0], place > 0)


def test_unstructured_parts_are_read_back(tmp_path):
    found = opened(written(tmp_path / "a.h5mu"))["uns"]
    assert (found["text"], found["deep"]["number"], found["deep"]["share"], found["deep"]["flag"]) == (
        "Zoë",
        3,
        0.1,
        True,
    )
    assert list(found["deep"]["names"]) == ["b", "a"]
    pd.testing.assert_frame_equal(found["table"].astype({"b": object}), UNS["table"])
    assert found["none"].shape == (0, 1)


def test_bytes_are_the_same_again(tmp_path):
    assert written(tmp_path / "a.h5mu").read_bytes() == written(tmp_path / "b.h5mu").read_bytes()


def test_views_without_features_or_patients_are_written(tmp_path):
    views = {"none": view(PATIENTS, []), "nobody": view(PATIENTS[:0], ["f"])}
    weights = {
        "none": xr.Dataset(
            {"weight": (("feature", "factor"), np.ones((0, 2)))}, coords={"feature": views["none"]["feature"]}
        )
    }
    found = opened(written(tmp_path / "a.h5mu", views=views, weights=weights))["mod"]
    assert {name: modality["X"].shape for name, modality in found.items()} == {"none": (11, 0), "nobody": (0, 1)}
    assert found["none"]["varm"]["LFs"].shape == (0, 2)


def test_mudata_reads_the_same(tmp_path):
    mudata = pytest.importorskip("mudata", reason="mudata is not installed")
    path, views = written(tmp_path / "a.h5mu"), make_views()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # mudata tells of its own future
        found = mudata.read(path)
    assert list(found.mod) == list(views)
    order = pd.Index(PATIENTS).get_indexer(found.obs_names)  # it sorts them by layer
    assert sorted(order) == list(range(11))
    assert list(found.obs["n"]) == list(order)
    assert found.obs["sex"].isna().sum() == 2
    np.testing.assert_array_equal(found.obsm["X_mofa"], SCORES[order])
    assert found.uns["deep"]["share"] == 0.1
    for name, modality in found.mod.items():
        np.testing.assert_array_equal(modality.X, views[name]["value"].to_numpy())
        assert list(modality.obs_names) == list(PATIENTS[ROWS[name]])
        np.testing.assert_array_equal(found.obsmap[name] > 0, np.isin(found.obs_names, modality.obs_names))
    assert list(found["mutation"].var["position"]) == [7, -1, 2**40]
    assert found["mutation"].varm["LFs"][0, 2] == 5


# --- memory ---------------------------------------------------------------------------------------------------------


def test_memory_does_not_grow_with_the_features(tmp_path):
    n, width, blocks = 1024, 2048, 6
    values = da.concatenate(
        [da.full((n, width), k, chunks=(n, width), dtype=np.float32) for k in range(blocks)], axis=1
    )
    many = xr.Dataset(
        {"value": (("sample", "feature"), values)},
        coords={dim: np.array([f"{dim}{i}" for i in range(size)], dtype=object) for dim, size in
                zip(("sample", "feature"), values.shape, strict=True)},
        attrs={"kind": "methylation", "likelihood": "gaussian"},
    )  # fmt: skip
    tracemalloc.start()
    try:
        write_h5mu(tmp_path / "a.h5mu", {"methylation": many}, obs=pd.DataFrame(index=many.indexes["sample"]))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < values.nbytes / 2, f"50 MB of values, 8 MB a block, {peak / 1e6:.0f} MB at the peak"
    with h5py.File(tmp_path / "a.h5mu") as file:
        found = file["mod/methylation/X"]
        np.testing.assert_array_equal(found[7], np.repeat(np.arange(blocks), width))


# --- what is refused ------------------------------------------------------------------------------------------------


def renamed(features: list[str]) -> dict[str, xr.Dataset]:
    views = make_views()
    return {**views, "expression": views["expression"].assign_coords(feature=np.array(features, dtype=object))}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"views": renamed(["TP53", "TP53_mutation"])}, "not unique over the layers.*TP53_mutation"),
        ({"views": renamed(["a\0b", "c"])}, r"HDF5 cannot hold: 'a\\x00b'"),
        ({"views": renamed(["a\ud800", "c"])}, "HDF5 cannot hold"),
        ({"views": {"a/b": make_views()["expression"], **make_views()}}, "contain '/': 'a/b'"),
        ({"obs": make_obs().iloc[:-1]}, "1 patients are in obs or in a layer only: 'P5'"),
        ({"obs": make_obs().reindex([*PATIENTS, "P9"])}, "in obs or in a layer only: 'P9'"),
        ({"obs": pd.concat([make_obs(), make_obs()])}, "obs repeats ids"),
        ({"obs": make_obs().rename(columns={"n": "_index"})}, "occur twice, or are _index"),
        ({"obs": make_obs().rename(columns={"n": "age"})}, "occur twice.*'age'"),
        ({"obs": make_obs().rename(columns={"n": "mg/l"})}, "contain '/': 'mg/l'"),
        ({"obs": pd.DataFrame(0.0, make_obs().index, range(5000))}, "5000 columns; HDF5 holds 4000"),
        ({"uns": {"": 1}}, "cannot be empty"),
        ({"weights": {"protein": make_weights()["mutation"]}}, "lacks a layer of the model"),
        (
            {"views": {**make_views(), "mutation": make_views()["mutation"].isel(feature=[0, 1])}},
            "lacks 1 features of the model: 'x/y'",
        ),
    ],
)
def test_what_cannot_be_written_is_refused(tmp_path, changes, words):
    with pytest.raises(DataError, match=words):
        written(tmp_path / "a.h5mu", **changes)
