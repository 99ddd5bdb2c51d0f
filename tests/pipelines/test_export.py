"""``omics export`` and ``omics import``: files that other programs open, and factors that they learned."""

from __future__ import annotations

import json
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest
import xarray as xr

from omics import cohort
from omics.artefact import Provenance, read_manifest
from omics.prepare import Recipe, prepare
from omics.schema import view_names

SAMPLES = np.array([*(f"P{i:02d}" for i in range(29)), "=cmd()"], dtype=object)
K = 2


def make_cohort() -> xr.DataTree:
    """Expression of 30 patients, of whom two lack it, with features that the recipe will drop."""
    rng = np.random.default_rng(0)
    values = rng.normal(size=(28, 40)) * np.linspace(0.1, 2, 40) + 7
    values[rng.random(values.shape) < 0.05] = np.nan
    view = xr.Dataset(
        {"value": (("sample", "feature"), values.astype(np.float32))},
        coords={"sample": SAMPLES[2:], "feature": np.array([f"G{i}" for i in range(40)], dtype=object)},
        attrs={"kind": "expression", "likelihood": "gaussian", "units": "log2cpm"},
    )
    clinical = pd.DataFrame({"age": np.arange(30.0)}, index=pd.Index(SAMPLES, name="sample"))
    return xr.DataTree.from_dict({"/views/expression": view, "/clinical": cohort.from_table(clinical, "sample")})


def make_factors(prepared: xr.DataTree) -> tuple[xr.DataTree, xr.DataTree]:
    """A factor artefact with its fitted recipe, its numbers random, and the cohort as the fit saw it."""
    rng = np.random.default_rng(1)
    recipe = Recipe.of(prepared)
    ready = recipe.fit_transform(prepared)
    features = ready["views/expression"]["feature"].to_numpy()
    names = {"factor": np.array(["Factor1", "Factor2"], dtype=object), "group": np.array(["all"], dtype=object)}
    weight = rng.normal(size=(features.size, K))
    nodes = {
        "/factors": xr.Dataset(
            {
                "score": (("sample", "factor"), rng.normal(size=(30, K))),
                "score_sd": (("sample", "factor"), rng.random((30, K))),
            },
            coords={"sample": SAMPLES, "factor": names["factor"]},
        ),
        "/views/expression": xr.Dataset(
            {
                "weight": (("feature", "factor"), weight),
                "weight_square": (("feature", "factor"), weight**2),
                "intercept": (("group", "feature"), rng.normal(size=(1, features.size))),
                "precision": (("group", "feature"), np.ones((1, features.size))),
            },
            coords={"feature": features, **names},
            attrs=ready["views/expression"].attrs,
        ),
        "/variance": xr.Dataset(
            {"r2": (("view", "factor"), [[0.25, 0.5]]), "r2_total": ("view", [0.75]), "active": ("factor", [1, 1])},
            coords={"view": np.array(["expression"], dtype=object), "factor": names["factor"]},
        ),
        "/restarts": xr.Dataset(
            {"elbo": ("restart", [-9.5]), "iterations": ("restart", [7]), "seed": ("restart", [1])}
            | {"start": ("restart", np.array(["pca"], dtype=object)), "converged": ("restart", [1])}
        ),
        "/clinical": cohort.node(prepared, "clinical"),
    }
    learned = {part.path: part.to_dataset(inherit=False) for part in recipe.to_tree().subtree}
    root = xr.Dataset(attrs={**recipe.to_tree().attrs, "mofa": json.dumps({"n_factors": K})})
    return xr.DataTree.from_dict({**learned, **nodes, "/": root}), ready


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> tuple[Path, xr.DataTree]:
    """Folder with prepared.zarr and factors.zarr, and the cohort as the fit saw it."""
    folder = tmp_path_factory.mktemp("made")
    prepared = prepare(make_cohort(), n_features=12)
    cohort.save(prepared, folder / "prepared.zarr", Provenance("prepared"))
    tree, ready = make_factors(prepared)
    cohort.save(tree, folder / "factors.zarr", Provenance("factors", {"seed": 1}))
    return folder, ready


def files(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


@pytest.mark.parametrize("name", ["model.hdf5", "model.h5", "MODEL.HDF5"])
def test_export_and_import_give_the_same_factors(omics, made, tmp_path, name):
    folder, _ = made
    result = omics("export", folder / "factors.zarr", tmp_path / name)
    assert (result.exit_code, result.stdout) == (0, f"{tmp_path / name}\n"), result.stderr
    result = omics("import", tmp_path / name, tmp_path / "f.zarr")
    assert result.exit_code == 0, result.stderr
    assert result.stdout.startswith(f"{tmp_path / 'f.zarr'}: ")
    assert files(tmp_path) == {name, "f.zarr"}
    manifest = read_manifest(tmp_path / "f.zarr")
    assert manifest["noun"] == "factors"
    assert [entry["path"] for entry in manifest["inputs"]] == [name]
    ours, back = (cohort.open(at, noun="factors", hashes=True) for at in (folder / "factors.zarr", tmp_path / "f.zarr"))
    for path in ("factors", "views/expression", "variance", "clinical"):
        expected = cohort.node(ours, path)
        xr.testing.assert_equal(cohort.node(back, path)[list(expected.data_vars)].compute(), expected.compute())
    assert view_names(back) == ["expression"]


def test_the_data_in_the_file_are_those_that_the_fit_saw(omics, made, tmp_path):
    folder, ready = made
    path = tmp_path / "m.hdf5"
    result = omics("export", folder / "factors.zarr", path, "--data", folder / "prepared.zarr")
    assert result.exit_code == 0, result.stderr
    view = ready["views/expression"].to_dataset().compute()
    assert view.sizes["feature"] == 12, "the recipe chose"
    intercept = cohort.open(folder / "factors.zarr")["views/expression"]["intercept"].to_numpy()[0]
    with h5py.File(path) as file:
        samples = file["samples/all"].asstr()[...]
        expected = view["value"].reindex(sample=samples).to_numpy() - intercept
        np.testing.assert_allclose(file["data/expression/all"], expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("table", ["factors", "weights", "variance"])
def test_a_table_is_one_line_a_value(omics, made, tmp_path, table):
    folder, _ = made
    path = tmp_path / "t.tsv"
    assert omics("export", folder / "factors.zarr", path, "--table", table).exit_code == 0
    frame = pd.read_csv(path, sep="\t")
    assert len(frame) == {"factors": 30 * K, "weights": 12 * K, "variance": K + 1}[table]
    if table == "factors":
        assert "'=cmd()" in set(frame["sample"]), "a spreadsheet would compute it"
        model = cohort.open(folder / "factors.zarr")["factors"]
        np.testing.assert_allclose(
            frame.pivot(index="sample", columns="factor", values="score").loc["P05"], model["score"].sel(sample="P05")
        )
    assert files(tmp_path) == {"t.tsv"}


@pytest.mark.parametrize(
    ("output", "options", "words"),
    [
        ("m.csv", [], "the ending '.csv' says no format"),
        ("m", [], "says no format"),
        ("m.tsv", [], "--table factors|weights|variance"),
        ("m.hdf5", ["--table", "factors"], "with a .tsv only"),
        ("m.tsv", ["--table", "factors", "--data", "prepared.zarr"], "without data"),
    ],
)
def test_what_cannot_be_exported_is_refused(omics, made, tmp_path, output, options, words):
    result = omics("export", made[0] / "factors.zarr", tmp_path / output, *options)
    assert result.exit_code == 2
    assert words in result.stderr
    assert files(tmp_path) == set()


def test_nothing_is_written_over_unasked(omics, made, tmp_path):
    folder, _ = made
    for name, options in (("m.hdf5", []), ("m.tsv", ["--table", "weights"])):
        (tmp_path / name).write_text("precious")
        call = ("export", folder / "factors.zarr", tmp_path / name, *options)
        assert omics(*call).exit_code == 2
        assert (tmp_path / name).read_text() == "precious"
        assert omics(*call, "--overwrite").exit_code == 0
        assert (tmp_path / name).read_bytes() != b"precious"
    assert omics("import", tmp_path / "m.hdf5", tmp_path / "f.zarr").exit_code == 0
    assert omics("import", tmp_path / "m.hdf5", tmp_path / "f.zarr").exit_code == 2
    assert omics("import", tmp_path / "m.hdf5", tmp_path / "f.zarr", "--overwrite").exit_code == 0


def test_wrong_inputs_leave_nothing_behind(omics, made, tmp_path):
    folder, _ = made
    assert omics("export", folder / "prepared.zarr", tmp_path / "m.hdf5").exit_code == 2
    (tmp_path / "no.hdf5").write_text("no")
    refused = omics("import", tmp_path / "no.hdf5", tmp_path / "f.zarr")
    assert refused.exit_code == 3
    assert "no HDF5 file" in refused.stderr
    assert omics("import", tmp_path / "none.hdf5", tmp_path / "f.zarr").exit_code == 2
    assert files(tmp_path) == {"no.hdf5"}


def test_units_of_views_are_told(omics, made, tmp_path):
    folder, _ = made
    omics("export", folder / "factors.zarr", tmp_path / "m.hdf5")
    result = omics("import", tmp_path / "m.hdf5", tmp_path / "f.zarr", "--units", "expression=log2 TPM")
    assert result.exit_code == 0, result.stderr
    assert cohort.open(tmp_path / "f.zarr")["views/expression"].attrs["units"] == "log2 TPM"
    for wrong in ("expression", "=M", "protein=M"):
        assert omics("import", tmp_path / "m.hdf5", tmp_path / "g.zarr", "--units", wrong).exit_code == 2
