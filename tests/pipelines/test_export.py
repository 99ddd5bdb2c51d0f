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
        ("m.hdf5", ["--table", "factors"], "--table goes with a tsv only"),
        ("m.tsv", ["--table", "factors", "--data", "prepared.zarr"], "--data goes with a hdf5 only"),
        ("m.h5mu", ["--values"], "--values goes with a folder only"),
        ("m.h5mu", [], "give prepared.zarr or cohort.zarr too"),
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


# --- whole analyses -------------------------------------------------------------------------------------------------


def table(**columns) -> xr.Dataset:
    return cohort.from_table(pd.DataFrame(columns))


@pytest.fixture(scope="module")
def run(made) -> Path:
    """Folder of a run: what was made, subtypes of 27 of the patients, and predictions with two repeats."""
    folder, _ = made
    label = np.array(["S1", "S2"] * 13 + ["S1"], dtype=object)
    subtypes = {
        "/subtypes": xr.Dataset(
            {
                "label": ("sample", label),
                "probability": (("sample", "subtype"), np.linspace([0, 1], [1, 0], 27)),
                "ambiguity": ("sample", np.linspace(0, 1, 27)),
            },
            coords={"sample": SAMPLES[:2:-1], "subtype": np.array(["S1", "S2"], dtype=object)},
        ),
        "/tests": table(endpoint=["=relapse"], p_value=[0.1 + 0.2]),
        "/clinical": cohort.node(make_cohort(), "clinical"),
    }
    source = [folder / "factors.zarr"]
    cohort.save(xr.DataTree.from_dict(subtypes), folder / "subtypes.zarr", Provenance("subtypes", {"seed": 2}, source))
    predictions = table(
        sample=["P02", "P03"] * 2 + ["P02"],
        repeat=[0, 0, 1, 1, 0],
        features=["omics"] * 4 + ["clinical"],
        representation=["factors"] * 4 + [""],
        model=["logistic"] * 5,
        probability=[0.25, 0.5, 0.75, np.nan, 0.125],
    )
    evaluation = xr.DataTree.from_dict({"/predictions": predictions, "/": xr.Dataset(attrs={"endpoint": "relapse"})})
    cohort.save(evaluation, folder / "evaluation.zarr", Provenance("evaluation", {}, [folder / "prepared.zarr"]))
    return folder


def column(group: h5py.Group, name: str) -> list:
    """A column of a table of an .h5mu file; None where a text is missing."""
    item = group[name]
    if isinstance(item, h5py.Dataset):
        return item.asstr()[...].tolist() if item.dtype == object else item[...].tolist()
    categories = [*item["categories"].asstr()[...], None]
    return [categories[code] for code in item["codes"]]


def test_a_run_is_one_h5mu(omics, run, tmp_path):
    result = omics("export", run, tmp_path / "a.h5mu")
    assert result.exit_code == 0, result.stderr
    assert result.stdout == f"{tmp_path / 'a.h5mu'}\n"
    assert files(tmp_path) == {"a.h5mu"}
    prepared, factors = (cohort.open(run / f"{noun}.zarr") for noun in ("prepared", "factors"))
    with h5py.File(tmp_path / "a.h5mu") as file:
        obs, own = file["obs"], file["mod/expression"]
        assert column(obs, "_index") == list(SAMPLES[2:]), "who have a layer"
        assert column(obs, "age") == list(range(2, 30))
        assert column(obs, "subtypes_label")[:3] == [None, "S1", "S2"]
        assert column(obs, "subtypes_ambiguity")[-1] == 0
        assert column(obs, "subtypes_probability_S2")[-1] == 1
        assert column(obs, "evaluation_probability_omics_factors_logistic")[:2] == [0.5, 0.5], "mean over repeats"
        assert column(obs, "evaluation_probability_clinical_logistic")[0] == 0.125
        assert np.isnan(column(obs, "evaluation_probability_clinical_logistic")[1:]).all()
        np.testing.assert_array_equal(file["obsm/X_mofa"], factors["factors"]["score"].sel(sample=SAMPLES[2:]))
        np.testing.assert_array_equal(file["obsm/X_mofa_sd"], factors["factors"]["score_sd"].sel(sample=SAMPLES[2:]))
        np.testing.assert_array_equal(own["X"], prepared["views/expression"]["value"])
        assert own["X"].shape == (28, 40), "all features, though the model has 12"
        weight = factors["views/expression"]["weight"].reindex(feature=column(own["var"], "_index"))
        np.testing.assert_allclose(own["varm/LFs"], weight, rtol=1e-7)
        assert np.isfinite(own["varm/LFs"]).all(axis=1).sum() == 12
        uns = file["uns"]
        assert list(uns["mofa/factors"].asstr()) == ["Factor1", "Factor2"]
        assert column(uns["tables/factors.variance.view_factor"], "r2") == [0.25, 0.5]
        assert column(uns["tables/subtypes.tests"], "p_value") == [0.1 + 0.2]
        assert column(uns["tables/prepared.clinical"], "age") == list(range(30)), "those without a layer too"
        assert uns["values"].asstr()[()] == "prepared"
        assert json.loads(uns["provenance/subtypes/parameters"].asstr()[()]) == {"seed": 2}
        for noun in ("prepared", "factors", "subtypes", "evaluation"):
            digest = read_manifest(run / f"{noun}.zarr")["digest"]
            assert uns["provenance"][noun]["sha256"].asstr()[()] == digest
        assert str(run).encode() not in (tmp_path / "a.h5mu").read_bytes()


def test_a_cohort_alone_is_an_h5mu(omics, run, tmp_path):
    cohort.save(make_cohort(), tmp_path / "cohort.zarr", Provenance("cohort"))
    assert omics("export", tmp_path / "cohort.zarr", tmp_path / "a.h5mu").exit_code == 0
    with h5py.File(tmp_path / "a.h5mu") as file:
        assert file["uns/values"].asstr()[()] == "cohort"
        assert set(file["obsm"]) == {"expression"}
        np.testing.assert_array_equal(file["mod/expression/X"], make_cohort()["views/expression"]["value"])
    assert omics("export", tmp_path / "cohort.zarr", run / "factors.zarr", tmp_path / "b.h5mu").exit_code == 0


def test_patients_without_clinical_data_are_kept(omics, tmp_path):
    nodes = {part.path: part.to_dataset(inherit=False) for part in make_cohort().subtree}
    nodes["/clinical"] = nodes["/clinical"].isel(sample=[5, 3])
    cohort.save(xr.DataTree.from_dict(nodes), tmp_path / "cohort.zarr", Provenance("cohort"))
    assert omics("export", tmp_path / "cohort.zarr", tmp_path / "a.h5mu").exit_code == 0
    with h5py.File(tmp_path / "a.h5mu") as file:
        ids = column(file["obs"], "_index")
        assert ids[:2] == ["P05", "P03"]
        assert ids[2:] == sorted(set(SAMPLES[2:]) - {"P05", "P03"})
        np.testing.assert_array_equal(column(file["obs"], "age"), [5, 3, *[np.nan] * 26])


def test_a_run_is_a_folder_of_tables(omics, run, tmp_path):
    result = omics("export", run, f"{tmp_path / 'tables'}/")
    assert result.exit_code == 0, result.stderr
    found = files(tmp_path / "tables")
    assert {"subtypes.tests.tsv", "factors.views.expression.feature_factor.tsv", "columns.tsv"} < found
    clinical = [name for name in found if ".clinical." in name]
    assert clinical == ["prepared.clinical.tsv"], "it travels along, and is there once"
    listed = omics("info", tmp_path / "tables", "--json")
    assert "subtypes.tests.tsv" in json.loads(listed.stdout)["tables"], listed.stderr
    tests = (tmp_path / "tables" / "subtypes.tests.tsv").read_text(encoding="utf-8")
    assert tests == "endpoint\tp_value\n'=relapse\t0.30000000000000004\n"
    weights = pd.read_csv(tmp_path / "tables" / "factors.views.expression.feature_factor.tsv", sep="\t")
    model = cohort.open(run / "factors.zarr")["views/expression"]["weight"]
    pd.testing.assert_series_equal(
        weights.set_index(["feature", "factor"])["weight"].sort_index(), model.to_series().sort_index()
    )
    columns = pd.read_csv(tmp_path / "tables" / "columns.tsv", sep="\t", keep_default_na=False)
    for name, own in columns.groupby("table"):
        header = (tmp_path / "tables" / f"{name}.tsv").read_text(encoding="utf-8").split("\n")[0].split("\t")
        assert list(own["column"]) == header
    assert set(columns["table"] + ".tsv") | {"columns.tsv", "manifest.json", "run.json"} == found
    assert omics("check", tmp_path / "tables", "--hashes").exit_code == 0


def test_tables_are_the_same_again_and_values_come_when_asked(omics, run, tmp_path):
    one, two, three = (tmp_path / name for name in ("one", "two", "three"))
    for folder, more in ((one, ()), (two, ()), (three, ("--values",))):
        assert omics("export", run, f"{folder}/", *more).exit_code == 0
    assert read_manifest(one)["digest"] == read_manifest(two)["digest"]
    assert files(three) - files(one) == {"prepared.views.expression.values.tsv"}
    values = pd.read_csv(three / "prepared.views.expression.values.tsv", sep="\t", index_col=0).astype("float32")
    view = cohort.open(run / "prepared.zarr")["views/expression"]["value"]
    np.testing.assert_array_equal(values.to_numpy(), view.to_numpy().T)
    assert list(values.columns) == ["'=cmd()" if s == "=cmd()" else s for s in view["sample"].to_numpy()]


def test_one_artefact_is_a_folder_of_tables(omics, run, tmp_path):
    (tmp_path / "t").mkdir()
    assert omics("export", run / "subtypes.zarr", tmp_path / "t", "--overwrite").exit_code == 2, "not made by omics"
    (tmp_path / "t").rmdir()
    assert omics("export", run / "subtypes.zarr", f"{tmp_path / 't'}/").exit_code == 0
    assert {name.split(".")[0] for name in files(tmp_path / "t")} == {"subtypes", "columns", "manifest", "run"}
    assert omics("export", run / "subtypes.zarr", tmp_path / "t").exit_code == 2
    assert omics("export", run / "factors.zarr", tmp_path / "t", "--overwrite").exit_code == 0
    assert "factors.restarts.tsv" in files(tmp_path / "t")


def test_an_artefact_is_never_replaced_by_tables(omics, run, tmp_path):
    cohort.save(make_cohort(), tmp_path / "cohort.zarr", Provenance("cohort"))
    result = omics("export", run, tmp_path / "cohort.zarr", "--overwrite")
    assert result.exit_code == 2
    assert "an artefact, not tables" in result.stderr
    assert omics("check", tmp_path / "cohort.zarr", "--hashes").exit_code == 0


def test_factors_of_a_run_are_exported_as_before(omics, run, tmp_path):
    for name, more in (("m.hdf5", []), ("m.tsv", ["--table", "weights"])):
        assert omics("export", run, tmp_path / name, *more).exit_code == 0
        assert omics("export", run / "factors.zarr", tmp_path / f"own-{name}", *more).exit_code == 0
        assert (tmp_path / name).read_bytes() == (tmp_path / f"own-{name}").read_bytes()


def test_artefacts_that_do_not_belong_together_are_refused(omics, run, tmp_path):
    other = make_cohort().map_over_datasets(lambda node: node + 1 if "value" in node else node)
    cohort.save(prepare(other, n_features=12), tmp_path / "prepared.zarr", Provenance("prepared"))
    result = omics("export", tmp_path / "prepared.zarr", run / "evaluation.zarr", tmp_path / "a.h5mu")
    assert result.exit_code == 3
    assert "evaluation.zarr was made from another prepared.zarr" in result.stderr
    twice = omics("export", run, tmp_path / "prepared.zarr", tmp_path / "a.h5mu")
    assert twice.exit_code == 2
    assert "two prepared artefacts" in twice.stderr
    assert omics("export", tmp_path, tmp_path / "a.h5mu").exit_code == 0, "a folder with a cohort only"
    assert omics("export", tmp_path / "none.zarr", tmp_path / "b.h5mu").exit_code == 2
    assert files(tmp_path) == {"prepared.zarr", "a.h5mu"}


def test_nothing_is_left_where_an_export_fails(omics, tmp_path):
    long = "x" * 240
    nodes = {part.path: part.to_dataset(inherit=False) for part in make_cohort().subtree}
    nodes[f"/views/{long}"] = nodes["/views/expression"]
    nodes["/clinical"] = nodes["/clinical"].assign(_index=nodes["/clinical"]["age"])
    cohort.save(xr.DataTree.from_dict(nodes), tmp_path / "cohort.zarr", Provenance("cohort"))
    result = omics("export", tmp_path / "cohort.zarr", tmp_path / "a.h5mu")
    assert result.exit_code == 3, "the file was begun when the name was met"
    result = omics("export", tmp_path / "cohort.zarr", f"{tmp_path / 'tables'}/")
    assert result.exit_code == 4, "other tables were written before this one, whose name is too long"
    assert files(tmp_path) == {"cohort.zarr"}


def test_no_h5mu_is_written_over_unasked(omics, run, tmp_path):
    (tmp_path / "a.h5mu").write_text("precious")
    assert omics("export", run, tmp_path / "a.h5mu").exit_code == 2
    assert (tmp_path / "a.h5mu").read_text() == "precious"
    assert omics("export", run, tmp_path / "a.h5mu", "--overwrite").exit_code == 0
    assert h5py.is_hdf5(tmp_path / "a.h5mu")
