"""Recipes: lazy, the same for a patient alone, fitted on training rows alone, unfitted in a store and back."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import dask
import numpy as np
import pytest
import xarray as xr
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

from omics import cohort
from omics.artefact import Provenance
from omics.cohort import node, select
from omics.prepare import Centre, Recipe, prepare
from omics.schema import DataError, IntegrityError, UsageError, view_names
from tests.unprepared import STEPS, a_cohort, gappy, gaussian, text, values


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("prepare") / "cohort.zarr"
    cohort.save(a_cohort(), path, Provenance("cohort"))
    return path


@pytest.fixture
def prepared() -> xr.DataTree:
    return prepare(a_cohort(), batch="site", min_carriers=2, max_missing=0.3, n_features=12)


def test_prepare_and_transform_compute_nothing(store: Path) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("computed")

    opened = cohort.open(store)
    recipe = Recipe(STEPS).fit(prepare(opened))
    with dask.config.set(scheduler=refuse):
        lazy = prepare(opened, mask=["chrX", "cg000"], batch="site")
        recipe.transform(select(lazy, ["P004", "P002"]))
        with pytest.raises(AssertionError, match="computed"):
            lazy["views/expression"].compute()
    for name in view_names(opened):
        before, after = node(opened, f"views/{name}")["value"], node(lazy, f"views/{name}")["value"]
        assert before.data.numblocks == after.data.numblocks


@pytest.mark.parametrize("patient", ["P003", "P017", "P034"])
def test_patient_alone_is_prepared_bitwise_as_within_the_cohort(store: Path, tmp_path: Path, patient: str) -> None:
    whole = prepare(cohort.open(store), batch="site")
    cohort.save(select(cohort.open(store), [patient]), tmp_path / "one.zarr", Provenance("cohort"))
    alone = prepare(cohort.open(tmp_path / "one.zarr"), batch="site")
    recipe = Recipe(STEPS).fit(whole)
    for tree, other in ((whole, alone), (recipe.transform(whole), recipe.transform(alone))):
        for name in view_names(tree):
            np.testing.assert_array_equal(values(select(tree, [patient]), name), values(other, name))


def test_recipe_travels_unfitted_in_the_prepared_store(prepared: xr.DataTree, tmp_path: Path) -> None:
    cohort.save(prepared, tmp_path / "p.zarr", Provenance("prepared"))
    recipe = Recipe.of(cohort.open(tmp_path / "p.zarr"))
    assert [type(step).__name__ for step in recipe.steps] == [
        "DropMissing", "DropRare", "RemoveBatch", "TopVariance", "Centre", "Scale",
    ]  # fmt: skip
    assert recipe.steps[3].get_params() == {"n_features": 12}
    assert [type(s).__name__ for s in Recipe.of(prepare(a_cohort(), scale=False)).steps][-1] == "Centre"
    with pytest.raises(NotFittedError):
        recipe.transform(prepared)


@pytest.mark.parametrize(
    ("recipe", "says", "fix"),
    [
        ([{"step": "Centrr"}], "unknown step 'Centrr'", "did you mean 'Centre'"),
        ([{"step": "Quantile"}], "unknown step 'Quantile'", "known: Centre, "),
        ([{"n_features": 3}], "unknown step 'None'", "known"),
        ([{"step": "TopVariance", "n_feature": 3}], "no parameter 'n_feature'", "did you mean 'n_features'"),
        ([{"step": "Centre", "by": 1}], "no parameter 'by'", "known: none"),
        ({"step": "Centre"}, "no list of steps", "expected"),
        (["Centre"], "no list of steps", "expected"),
    ],
)
def test_recipe_with_unknown_words_is_refused(recipe: Any, says: str, fix: str) -> None:
    with pytest.raises(UsageError, match=says) as error:
        Recipe.from_json(json.dumps(recipe))
    assert fix in str(error.value.fix)


def test_recipe_that_is_no_json_or_absent_is_refused() -> None:
    with pytest.raises(UsageError, match="no JSON"):
        Recipe.from_json("[")
    with pytest.raises(UsageError, match="not prepared"):
        Recipe.of(a_cohort())
    with pytest.raises(UsageError, match="occurs twice"):
        Recipe([Centre(), Centre()]).fit(a_cohort())


def test_recipe_equals_its_steps_one_after_the_other(prepared: xr.DataTree) -> None:
    recipe = Recipe(STEPS)
    fitted = recipe.fit_transform(prepared)
    transformed = recipe.transform(prepared)
    step_by_step = prepared
    for step in STEPS:
        step_by_step = clone(step).fit_transform(step_by_step)
    for name in view_names(prepared):
        xr.testing.assert_identical(node(fitted, f"views/{name}"), node(transformed, f"views/{name}").compute())
        xr.testing.assert_identical(node(fitted, f"views/{name}"), node(step_by_step, f"views/{name}").compute())
    assert not any(hasattr(step, "state_") for step in STEPS)


def test_default_recipe_against_plain_numpy() -> None:
    prepared = prepare(a_cohort(), max_missing=0.25, n_features=12, min_carriers=2)
    fitted = Recipe.of(prepared).fit_transform(prepared)
    m = values(prepared, "methylation").astype(float)
    m = m[:, np.isnan(m).mean(axis=0) <= 0.25]
    variance = np.nanvar(m, axis=0, ddof=1)
    m = m[:, variance >= np.sort(variance)[-12]]
    m -= np.nanmean(m, axis=0)
    np.testing.assert_allclose(values(fitted, "methylation"), m / np.nanstd(m), rtol=1e-5, atol=1e-6)
    mutated = values(prepared, "mutation")
    carriers = mutated.sum(axis=0)
    expected = mutated[:, (carriers >= 2) & (carriers < len(mutated))]
    np.testing.assert_array_equal(values(fitted, "mutation"), expected)


def test_values_of_rows_not_fitted_on_do_not_touch_the_fitted_state(prepared: xr.DataTree) -> None:
    train, held_out = cohort.samples(prepared)[::2], cohort.samples(prepared)[1::2]
    spoiled = prepared.copy(deep=True)
    for name in view_names(spoiled):
        rows = spoiled[f"views/{name}"].indexes["sample"].isin(held_out)
        spoiled[f"views/{name}/value"].values[rows] = np.random.default_rng(1).normal(1e6, 1e6)
    spoiled["clinical/site"].values[1::2] = "Z"
    before = Recipe(STEPS).fit(select(prepared, train)).to_tree()
    after = Recipe(STEPS).fit(select(spoiled, train)).to_tree()
    xr.testing.assert_identical(before, after)
    assert not before.identical(Recipe(STEPS).fit(spoiled).to_tree())


def test_fitted_state_is_bitwise_the_same_under_every_scheduler(prepared: xr.DataTree) -> None:
    chunked, states = prepared.chunk({"feature": 4}), []
    for scheduler in ("threads", "synchronous"):
        with dask.config.set(scheduler=scheduler):
            states.append(Recipe(STEPS).fit(chunked).to_tree())
    xr.testing.assert_identical(*states)


def test_order_of_samples_and_features_changes_nothing_but_order(prepared: xr.DataTree) -> None:
    rng = np.random.default_rng(3)
    shuffled = select(prepared, rng.permutation(cohort.samples(prepared)))
    for name in view_names(shuffled):
        view = node(shuffled, f"views/{name}")
        shuffled[f"views/{name}"] = xr.DataTree(view.isel(feature=rng.permutation(view.sizes["feature"])))
    one, other = Recipe(STEPS).fit_transform(prepared), Recipe(STEPS).fit_transform(shuffled)
    for name in view_names(prepared):
        there = node(other, f"views/{name}")["value"].sel(
            sample=one[f"views/{name}"].indexes["sample"], feature=one[f"views/{name}"].indexes["feature"]
        )
        np.testing.assert_allclose(there, values(one, name), rtol=1e-5, atol=1e-5)


def test_fitted_state_round_trips_exactly_through_a_store(prepared: xr.DataTree, tmp_path: Path) -> None:
    recipe = Recipe(STEPS).fit(prepared)
    cohort.save(recipe.to_tree(), tmp_path / "model.zarr", Provenance("model"))
    loaded = Recipe.from_tree(cohort.open(tmp_path / "model.zarr"))
    xr.testing.assert_identical(loaded.to_tree(), recipe.to_tree())
    xr.testing.assert_identical(loaded.transform(prepared), recipe.transform(prepared))
    assert set(recipe.to_tree()["recipe/methylation"].data_vars) == {"offset", "mean", "scale", "substitute"}
    with pytest.raises(IntegrityError, match="no fitted recipe"):
        Recipe.from_tree(prepared)


def test_new_cohort_is_matched_by_feature_id(prepared: xr.DataTree) -> None:
    recipe = Recipe(STEPS[:-1]).fit(prepared)
    reference = node(recipe.transform(prepared), "views/methylation")
    kept = reference.indexes["feature"]
    view = node(prepared, "views/methylation")
    there = [feature for feature in view.indexes["feature"][::-1] if feature not in kept[:2]]
    new = view.sel(feature=there).assign_coords(feature=text([f if f in kept else f"new-{f}" for f in there]))
    tree = xr.DataTree.from_dict({"/views/methylation": new, "/clinical": node(prepared, "clinical")})
    result = recipe.transform(tree)
    assert view_names(result) == ["methylation"]  # absent views stay absent
    matched = node(result, "views/methylation")
    assert matched.attrs["absent_features"] == kept[:2].tolist()
    assert reference.attrs["absent_features"] == []
    np.testing.assert_array_equal(matched["chromosome"], reference["chromosome"])
    assert np.isnan(matched["value"][:, :2]).all()
    np.testing.assert_array_equal(matched["value"][:, 2:], reference["value"][:, 2:])


def test_patient_without_a_layer_has_no_row_there(store: Path) -> None:
    prepared = prepare(cohort.open(store), batch="site")
    transformed = Recipe(STEPS).fit(prepared).transform(select(prepared, ["P000"])).compute()
    assert values(transformed, "expression").shape == (0, 12)
    assert values(transformed, "methylation").shape == (1, 12)


def test_cohort_of_other_ids_and_unknown_views(prepared: xr.DataTree) -> None:
    recipe = Recipe(STEPS).fit(prepared)
    strange = gaussian(gappy((4, 5)))
    strange["views/methylation"] = xr.DataTree(node(strange, "views/x"))
    with pytest.raises(DataError, match=r"none of the 12 features is there: cg.* expected, F000.* found"):
        recipe.transform(strange)
    assert view_names(Recipe([Centre()]).fit(prepared).transform(gaussian(gappy((4, 5))))) == []


def test_chosen_features_are_in_memory_after_fitting_and_lazy_after_transform(store: Path) -> None:
    prepared = prepare(cohort.open(store), n_features=5)
    recipe = Recipe.of(prepared)
    assert node(recipe.fit_transform(prepared), "views/methylation").chunks == {}
    assert node(recipe.transform(prepared), "views/methylation").chunks
