"""HDF5 interchange against mofapy2 and mofax themselves, round trips, and names that MOFA2 cannot have."""

from __future__ import annotations

import json
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest
import xarray as xr

from omics.cohort import from_table
from omics.factors import MOFA, hdf5, hdf5_import
from omics.factors.hdf5 import export_hdf5, import_hdf5
from omics.schema import DataError, UsageError
from tests.models import (
    GROUPS,
    VIEWS,
    K,
    edited,
    make_cohort,
    make_tree,
    make_values,
    names,
    objects,
    sorted_by_group,
    trained,
    written,
)


@pytest.fixture(scope="module")
def mofapy2(tmp_path_factory):
    """(trained model, values, file with data, the same with Tau)."""
    values = make_values()
    entry, folder = trained(values), tmp_path_factory.mktemp("mofapy2")
    entry.save(str(folder / "plain.hdf5"))
    entry.save(str(folder / "tau.hdf5"), expectations=["W", "Z", "Tau"])
    entry.save(str(folder / "without.hdf5"), save_data=False)
    return entry, values, folder


def order_of(entry) -> np.ndarray:
    """Factors as mofapy2 sorts them when it saves."""
    return np.argsort(np.sum(entry.model.calculate_variance_explained(), axis=(0, 1)))[::-1]


def test_a_model_of_mofapy2_is_imported_as_it_was(mofapy2):
    entry, _, folder = mofapy2
    tree, order = import_hdf5(folder / "plain.hdf5"), order_of(entry)
    nodes = entry.model.nodes
    np.testing.assert_array_equal(tree["factors"]["score"], nodes["Z"].getExpectation()[:, order])
    assert tree["factors"]["sample"].to_numpy().tolist() == [s for group in names()[0] for s in group]
    assert tree["factors"]["group"].to_numpy().tolist() == [g for g, size in GROUPS.items() for _ in range(size)]
    for node, (name, (likelihood, _)), features in zip(nodes["W"].getNodes(), VIEWS.items(), names()[1], strict=True):
        view = tree[f"views/{name}"]
        np.testing.assert_array_equal(view["weight"], node.getExpectation()[:, order])
        assert view["feature"].to_numpy().tolist() == features
        assert view.attrs["likelihood"] == likelihood
    r2 = np.array(entry.model.calculate_variance_explained())[:, :, order]
    np.testing.assert_allclose(tree["variance"]["r2_group"], r2, rtol=1e-12)
    elbo = entry.model.train_stats["elbo"]
    np.testing.assert_array_equal(tree["trace"]["elbo"], elbo[np.isfinite(elbo)])
    assert tree["restarts"]["elbo"].item() == elbo[np.isfinite(elbo)][-1]
    assert (tree["restarts"]["seed"].item(), tree["restarts"]["converged"].item()) == (3, 0)
    parameters = json.loads(tree.attrs["mofa"])
    expected = {"n_factors": K, "max_iter": 60, "spikeslab_weights": True, "spikeslab_factors": False, "compat": True}
    assert parameters.items() >= expected.items()


def test_intercept_and_noise_of_a_model_of_mofapy2(mofapy2):
    entry, values, folder = mofapy2
    plain, tau = import_hdf5(folder / "plain.hdf5"), import_hdf5(folder / "tau.hdf5")
    mean = [np.nanmean(y, axis=0) for y in values["expression"]]
    np.testing.assert_allclose(plain["views/expression"]["intercept"], mean, rtol=1e-12)
    noise = entry.model.nodes["Tau"].getNodes()
    exact = noise[0].getExpectations()["E"][[0, -1]]
    np.testing.assert_array_equal(tau["views/expression"]["precision"], exact)
    estimated = plain["views/expression"]["precision"].to_numpy()
    assert 0.9 < np.median(estimated / exact) < 1.6, "the residuals alone, which overfit in 20 samples"
    curvature = 0.25 + 0.17 * np.nanmax(np.concatenate(values["reads"]), axis=0)
    np.testing.assert_allclose(plain["views/reads"]["precision"], [curvature, curvature])
    assert np.isnan(plain["views/mutation"]["precision"]).all()
    pseudo = entry.model.nodes["Y"].getNodes()
    for index, name, error in ((1, "mutation", 0.2), (2, "reads", 0.01)):
        np.testing.assert_allclose(plain[f"views/{name}"]["intercept"][0], pseudo[index].means, atol=error)
        np.testing.assert_array_equal(*plain[f"views/{name}"]["intercept"])
    moments = entry.model.nodes["Z"].getExpectations()
    sd = np.sqrt(moments["E2"] - moments["E"] ** 2)[:, order_of(entry)]
    np.testing.assert_allclose(tau["factors"]["score_sd"], sd, rtol=0.15)


def test_variance_over_all_groups_is_that_of_the_data_together(mofapy2):
    _, values, folder = mofapy2
    tree = import_hdf5(folder / "plain.hdf5")
    y = np.concatenate([own - np.nanmean(own, axis=0) for own in values["expression"]])
    z, w = tree["factors"]["score"].to_numpy(), tree["views/expression"]["weight"].to_numpy()
    r2 = [1 - np.nansum((y - np.outer(z[:, k], w[:, k])) ** 2) / np.nansum(y**2) for k in range(K)]
    np.testing.assert_allclose(tree["variance"]["r2"].sel(view="expression"), r2, rtol=1e-9, atol=1e-12)
    total = 1 - np.nansum((y - z @ w.T) ** 2) / np.nansum(y**2)
    np.testing.assert_allclose(tree["variance"]["r2_total"].sel(view="expression"), total, rtol=1e-9)


def with_groups(cohort: xr.DataTree, column: str) -> xr.DataTree:
    """The cohort with a clinical table that says the group of each patient."""
    table = pd.DataFrame(
        {column: np.repeat(list(GROUPS), list(GROUPS.values()))}, index=[s for g in names()[0] for s in g]
    )
    clinical = from_table(table.rename_axis("sample"), "sample")
    nodes = {part.path: part.to_dataset(inherit=False) for part in cohort.subtree}
    return xr.DataTree.from_dict({**nodes, "/clinical": clinical})


def test_an_imported_model_projects_new_patients(mofapy2):
    _, values, folder = mofapy2
    cohort = with_groups(make_cohort(values), "group")
    with pytest.raises(DataError, match="units"):
        MOFA.from_tree(import_hdf5(folder / "plain.hdf5")).transform(cohort)
    tree = import_hdf5(folder / "plain.hdf5", units={"expression": "M"})
    with pytest.raises((DataError, UsageError), match="'group'"):
        MOFA.from_tree(tree).transform(with_groups(make_cohort(values), "site"))
    projected = MOFA.from_tree(tree).transform(cohort)["score"].sel(sample=tree["factors"]["sample"])
    for k in np.flatnonzero(tree["variance"]["active"].to_numpy()):
        assert np.corrcoef(projected[:, k], tree["factors"]["score"][:, k])[0, 1] > 0.98


@pytest.mark.parametrize(
    "options",
    [{"scale_views": True}, {"scale_groups": True}, {"scale_groups": True, "center_groups": False}],
)
def test_a_scaled_view_is_in_no_known_units(tmp_path, options):
    values = make_values()
    values["expression"][1] += 5  # so that uncentred groups differ, and all together have another sd than each
    trained(values, iterations=3, **options).save(str(tmp_path / "m.hdf5"))
    tree = import_hdf5(tmp_path / "m.hdf5")
    assert "scaled" in tree["views/expression"].attrs["units"]
    assert tree["views/mutation"].attrs["units"] == "1"
    with pytest.raises(UsageError, match="scaled the view"):
        import_hdf5(tmp_path / "m.hdf5", units={"expression": "M"})
    with pytest.raises(UsageError, match="no view 'protein'"):
        import_hdf5(tmp_path / "m.hdf5", units={"protein": "M"})


def test_nothing_was_taken_off_data_that_were_not_centred(tmp_path):
    trained(make_values(), iterations=3, center_groups=False).save(str(tmp_path / "m.hdf5"))
    np.testing.assert_allclose(import_hdf5(tmp_path / "m.hdf5")["views/expression"]["intercept"], 0, atol=1e-12)


def test_a_model_saved_without_data_is_refused_with_the_way_out(mofapy2):
    with pytest.raises(DataError, match=r"(?s)is missing.*without.hdf5.*save_data=True"):
        import_hdf5(mofapy2[2] / "without.hdf5")


def test_blocks_of_features_change_nothing(mofapy2, tmp_path, monkeypatch):
    _, values, folder = mofapy2
    whole = import_hdf5(folder / "tau.hdf5")
    export_hdf5(whole, tmp_path / "whole.hdf5", cohort=make_cohort(values))
    for module in (hdf5, hdf5_import):
        monkeypatch.setattr(module, "features_per_block", lambda *_: 4)
    blocked = import_hdf5(folder / "tau.hdf5")
    xr.testing.assert_allclose(blocked, whole, rtol=1e-12)
    export_hdf5(whole, tmp_path / "blocked.hdf5", cohort=make_cohort(values).chunk(feature=3))
    with h5py.File(tmp_path / "whole.hdf5") as one, h5py.File(tmp_path / "blocked.hdf5") as other:
        for name in (f"data/{view}/{group}" for view in VIEWS for group in GROUPS):
            np.testing.assert_array_equal(one[name], other[name])


# --- the layout -----------------------------------------------------------------------------------------------------


def contents(path: Path) -> dict[str, tuple]:
    """Shape, kind of values and names of attributes by path; of a group, None."""
    found = {}

    def note(name: str, item) -> None:
        array = isinstance(item, h5py.Dataset)
        found[name] = (item.shape, item.dtype.kind, sorted(item.attrs)) if array else None

    with h5py.File(path) as file:
        file.visititems(note)
    return found


def test_our_file_has_all_that_mofapy2s_has(mofapy2, tmp_path):
    """The same model, written by mofapy2 and by us: groups, arrays, shapes, kinds, attributes, and values."""
    _, values, folder = mofapy2
    ours = written(import_hdf5(folder / "plain.hdf5"), tmp_path, cohort=make_cohort(values))
    theirs, mine = contents(folder / "plain.hdf5"), contents(ours)
    for name in ("training_stats/elbo", "training_stats/time", "training_stats/number_factors"):
        # one entry a check of the bound, where mofapy2 has NaN for the iterations between
        assert mine[name][1:] == theirs.pop(name)[1:]
    assert {name: mine.get(name, "missing") for name in theirs} == theirs
    assert not {name.split("/")[0] for name in set(mine) - set(theirs)} - {"omics", "training_stats"}
    with h5py.File(folder / "plain.hdf5") as one, h5py.File(ours) as other:
        numbers = [name for name, what in theirs.items() if what and what[1] == "f"]
        assert len(numbers) > 20
        for name in numbers:
            if not name.startswith(("intercepts/mutation", "intercepts/reads", "training_opts")):
                np.testing.assert_allclose(other[name], one[name], rtol=1e-6, atol=1e-6, err_msg=name)
        for name in (name for name, what in theirs.items() if what and what[1] in "SO"):
            assert np.array_equal(other[name][()], one[name][()]), name
        for name in ("training_opts", "model_options/ard_weights"):
            np.testing.assert_array_equal(other[name].attrs["names"], one[name].attrs["names"])
        assert other["training_opts"][0] == one["training_opts"][0]


@pytest.mark.parametrize("with_data", [False, True])
def test_mofax_reads_what_we_wrote(tmp_path, with_data):
    mofax = pytest.importorskip("mofax", reason="mofax is an optional test dependency")
    tree = make_tree()
    options = {}
    if with_data:
        values = make_values()
        tree = edited(tree, "/factors", lambda d: d.assign_coords(sample=objects(s for g in names()[0] for s in g)))
        tree = edited(tree, "/clinical", lambda d: None)
        options["cohort"] = make_cohort(values)
    model = mofax.mofa_model(str(written(tree, tmp_path, **options)))
    try:
        factors = model.get_factors(df=True)
        expected = tree["factors"]["score"].to_pandas()
        np.testing.assert_array_equal(factors.loc[expected.index], expected)
        for name in VIEWS:
            weights, table = model.get_weights(views=name, df=True), tree[f"views/{name}"]
            assert list(weights.index) == list(table["feature"].to_numpy())
            np.testing.assert_array_equal(weights, table["weight"])
        r2 = model.get_variance_explained().set_index(["Group", "View", "Factor"])["R2"]
        ours = tree["variance"]["r2_group"].to_series()
        np.testing.assert_allclose(r2.loc[ours.index], 100 * ours, rtol=1e-12)
        assert model.samples_metadata["group"].to_dict() == tree["factors"]["group"].to_series().to_dict()
        assert model.likelihoods == [likelihood for likelihood, _ in VIEWS.values()]
        assert set(model.features_metadata["gene"]) >= {"", "GENE1;B"}
        if with_data:
            data = model.get_data(views="expression", df=True)
            assert data.shape == (sum(GROUPS.values()), VIEWS["expression"][1])
        else:
            sex = model.samples_metadata["sex"]
            assert (sex[tree["clinical"].indexes["sample"][[0, 2]]] == ["m", ""]).all()
    finally:
        model.close()


def test_data_are_the_values_less_the_intercept_of_their_group(tmp_path):
    values, tree = make_values(), make_tree()
    ids, groups = objects(s for g in names()[0] for s in g), tree["factors"]["group"].to_numpy()
    tree = edited(tree, "/factors", lambda d: d.assign_coords(sample=ids))
    with h5py.File(written(tree, tmp_path, cohort=make_cohort(values))) as file:
        for group, own in ((g, groups == g) for g in GROUPS):
            assert file[f"samples/{group}"].asstr()[...].tolist() == ids[own].tolist()
            table = tree["views/expression"].sel(group=group)
            y = np.concatenate(values["expression"])[own] / table["scale"].item() - table["intercept"].data
            raw = table["scale"].item() * table["intercept"]
            np.testing.assert_allclose(file[f"intercepts/expression/{group}"], raw, rtol=1e-12)
            np.testing.assert_allclose(file[f"data/expression/{group}"], y, rtol=1e-5, atol=1e-6)
            for name in ("mutation", "reads"):
                np.testing.assert_array_equal(file[f"data/{name}/{group}"], np.concatenate(values[name])[own])


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda c: edited(c, "/views/reads", lambda d: None), "lacks a view"),
        (lambda c: edited(c, "/views/reads", lambda d: d.isel(feature=slice(1, None))), r"1 features \('r0'\)"),
        (lambda c: edited(c, "/views/reads", lambda d: d.assign_coords(sample=d["sample"] + "x")), "all samples"),
        (lambda c: edited(c, "/views/reads", lambda d: d.assign_attrs(likelihood="gaussian")), "likelihood"),
    ],
)
def test_a_cohort_that_is_not_of_the_model_is_refused(tmp_path, damage, words):
    tree = edited(make_tree(), "/factors", lambda d: d.assign_coords(sample=objects(s for g in names()[0] for s in g)))
    with pytest.raises(DataError, match=rf"(?s){words}.*/views/reads"):
        written(tree, tmp_path, cohort=damage(make_cohort(make_values())))
    assert list(tmp_path.iterdir()) == []


# --- round trips, names ---------------------------------------------------------------------------------------------


def assert_same(got: xr.DataTree, expected: xr.DataTree) -> None:
    """Equal values, labels, attributes of nodes and kinds of values; descriptions of variables may differ."""
    assert {part.path for part in got.subtree} == {part.path for part in expected.subtree}
    assert json.loads(got.attrs["mofa"]) == json.loads(expected.attrs["mofa"])
    for part in expected.subtree:
        if part.path != "/":
            ours, theirs = got[part.path].to_dataset(inherit=False), part.to_dataset(inherit=False)
            xr.testing.assert_equal(ours, theirs)
            assert ours.attrs == theirs.attrs
            kinds = {name: array.dtype.kind for name, array in theirs.variables.items()}
            assert {name: array.dtype.kind for name, array in ours.variables.items()} == kinds


@pytest.mark.parametrize("groups", [GROUPS, {"single_group": 31}])
def test_what_is_exported_is_imported_unchanged(tmp_path, groups):
    tree = make_tree(groups=groups)
    assert_same(import_hdf5(written(tree, tmp_path)), sorted_by_group(tree))


@pytest.mark.parametrize("options", [{}, {"groups": "site"}, {"groups": "site", "scale_groups": True}])
def test_a_fit_of_our_own_goes_out_and_comes_back(tmp_path, options):
    cohort = with_groups(make_cohort(make_values()), "site")
    model = MOFA(n_factors=K, n_restarts=2, max_iter=30, **options).fit(cohort)
    back = import_hdf5(written(model.to_tree(), tmp_path, cohort=cohort))
    carried = model.to_tree()
    del carried["restart_scores"]  # the layout has one fit
    assert_same(back, carried)
    ours, theirs = model.transform(cohort), MOFA.from_tree(back).transform(cohort)
    xr.testing.assert_equal(theirs, ours)
    with h5py.File(tmp_path / "model.hdf5") as file:  # its data, factors and weights explain what it says
        for group in file["samples"]:
            y, z = file[f"data/expression/{group}"][...], file[f"expectations/Z/{group}"][...].T
            rest = y - z @ file["expectations/W/expression"][...]
            r2 = 1 - np.nansum(rest**2) / np.nansum(y**2)
            np.testing.assert_allclose(file[f"variance_explained/r2_total/{group}"][0], 100 * r2, rtol=1e-4)


def test_stored_artefacts_are_exported_as_those_in_memory(tmp_path):
    from omics.artefact import Provenance
    from omics.cohort import open as open_artefact
    from omics.cohort import save

    tree = make_tree()
    save(tree, tmp_path / "f.zarr", Provenance("factors"))
    export_hdf5(open_artefact(tmp_path / "f.zarr"), tmp_path / "stored.hdf5")
    export_hdf5(tree, tmp_path / "memory.hdf5")
    assert (tmp_path / "stored.hdf5").read_bytes() == (tmp_path / "memory.hdf5").read_bytes(), "and reproducible"


def test_a_model_without_groups_trace_and_clinical_table(tmp_path):
    tree = make_tree(groups={"g": 20})
    tree = edited(edited(tree, "/clinical", lambda d: None), "/trace", lambda d: None)
    tree = edited(tree, "/factors", lambda d: d.drop_vars("group"))
    tree = edited(tree, "/variance", lambda d: d.drop_vars(["r2_group", "r2_total_group", "group"]))
    for name in VIEWS:
        tree = edited(tree, f"/views/{name}", lambda d: d.drop_vars("group"))
    back = import_hdf5(written(tree, tmp_path))
    assert set(back["factors"]["group"].to_numpy()) == {"single_group"}
    xr.testing.assert_equal(back["variance"].to_dataset(), tree["variance"].to_dataset())
    with h5py.File(tmp_path / "model.hdf5") as file:
        np.testing.assert_allclose(
            file["variance_explained/r2_per_factor/single_group"], 100 * tree["variance"]["r2"], rtol=1e-12
        )


def test_features_that_views_share_get_the_view_appended_and_come_back(tmp_path):
    tree = make_tree()
    tree = edited(tree, "/views/mutation", lambda d: d.assign_coords(feature=objects(f"e{i}" for i in range(9))))
    path = written(tree, tmp_path)
    with h5py.File(path) as file:
        features = {name: file[f"features/{name}"].asstr()[...].tolist() for name in VIEWS}
    assert features["mutation"][:2] == ["e0_mutation", "e1_mutation"]
    assert features["expression"][8:10] == ["e8_expression", "e9"], "only where it is needed"
    assert_same(import_hdf5(path), sorted_by_group(tree))


def renamed(**names):
    def edit(dataset: xr.Dataset) -> xr.Dataset:
        for dim, (old, new) in names.items():
            ids = dataset[dim].to_numpy().astype(object)
            ids[ids == old] = new
            dataset = dataset.assign_coords({dim: ids}) if dim in dataset.coords else dataset.assign({dim: (dim, ids)})
        return dataset

    return edit


@pytest.mark.parametrize("name", ["a/b", "data", "", ".", "Größe"])
def test_names_of_views_and_groups_that_mofa2_cannot_have(tmp_path, name):
    if name not in ("", ".", "a/b"):  # a tree has no such node
        with pytest.raises(DataError, match=r"(?s)view names.*rename"):
            written(make_tree(views={**VIEWS, name: ("gaussian", 3)}), tmp_path)
    with pytest.raises(DataError, match=r"(?s)group names.*rename"):
        written(make_tree(groups={**GROUPS, name: 3}), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_names_of_samples_and_features_that_mofa2_cannot_have(tmp_path):
    tree = make_tree()
    with pytest.raises(DataError, match=r"(?s)1 are not: 'Jürgen'\n.*sample names.*rename"):
        written(edited(tree, "/factors", renamed(sample=("P001", "Jürgen"))), tmp_path)
    with pytest.raises(DataError, match=r"(?s)'β2M'.*feature of view 'reads'"):
        written(edited(tree, "/views/reads", renamed(feature=("r1", "β2M"))), tmp_path)
    clash = edited(tree, "/views/mutation", renamed(feature=("m1", "e1")))
    clash = edited(clash, "/views/reads", renamed(feature=("r1", "e1_mutation")))
    with pytest.raises(DataError, match="'e1_mutation'"):
        written(clash, tmp_path)
    with pytest.raises(DataError, match=r"(?s)'views'.*clinical column"):
        written(edited(tree, "/clinical", lambda d: d.rename(sex="views")), tmp_path)


def test_text_that_is_not_ascii_in_tables_is_kept(tmp_path):
    tree = edited(make_tree(), "/clinical", lambda d: d.rename(sex="site").assign(site=d["sex"] + "ünchen"))
    tree = edited(tree, "/views/reads", lambda d: d.assign_coords(gene=("feature", objects(["HLA-β"] * 7))))
    back = import_hdf5(written(tree, tmp_path))
    assert set(back["clinical"]["site"].to_numpy()) == {"", "ünchen", "münchen", "fünchen"}
    assert set(back["views/reads"]["gene"].to_numpy()) == {"HLA-β"}


@pytest.mark.parametrize("path", ["/factors", "/variance", "/restarts", "/views/reads"])
def test_a_tree_that_is_no_factor_model(tmp_path, path):
    tree = edited(make_tree(), path, lambda d: xr.Dataset())
    with pytest.raises(DataError, match=path):
        written(tree, tmp_path)
    with pytest.raises(DataError, match="no factor model"):
        written(edited(make_tree(), "/", lambda d: xr.Dataset()), tmp_path)


def test_groups_need_their_own_variance_and_their_samples(tmp_path):
    with pytest.raises(DataError, match=r"(?s)several groups.*r2_group"):
        written(edited(make_tree(), "/variance", lambda d: d.drop_vars("r2_group")), tmp_path)
    with pytest.raises(DataError, match=r"(?s)groups boys, girls.*group\(sample\)"):
        written(edited(make_tree(), "/factors", lambda d: d.drop_vars("group")), tmp_path)


def test_a_layer_that_a_group_lacks_explains_nothing_there(tmp_path):
    """MOFA2 compares the largest value with 1, and stops at NaN."""

    def lacking(variance: xr.Dataset) -> xr.Dataset:
        there = (variance["group"] != "boys") | (variance["view"] != "reads")
        return variance.assign({n: variance[n].where(there) for n in ("r2_group", "r2_total_group")})

    tree = edited(make_tree(), "/variance", lacking)
    with h5py.File(written(tree, tmp_path)) as file:
        np.testing.assert_array_equal(file["variance_explained/r2_per_factor/boys"][2], np.zeros(K))
        assert file["variance_explained/r2_total/boys"][2] == 0
    back = import_hdf5(tmp_path / "model.hdf5")["variance"]["r2_group"]
    assert np.isnan(back.sel(group="boys", view="reads")).all(), "but we know better"


def test_the_file_is_whole_or_not_there_and_never_written_over_unasked(tmp_path, monkeypatch):
    path = written(make_tree(), tmp_path)
    before = path.read_bytes()
    with pytest.raises(UsageError, match="exists"):
        export_hdf5(make_tree(seed=1), path)
    assert path.read_bytes() == before

    def full(*_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(hdf5, "_write_own", full)
        with pytest.raises(OSError, match="No space"):
            export_hdf5(make_tree(seed=1), path, overwrite=True)
    assert path.read_bytes() == before
    export_hdf5(make_tree(seed=1), path, overwrite=True)
    assert path.read_bytes() != before
    assert list(tmp_path.iterdir()) == [path]
    with pytest.raises(UsageError, match="exists"):
        export_hdf5(make_tree(), tmp_path, overwrite=True)
