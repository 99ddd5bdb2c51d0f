"""Preparing: what needs no other patient, and each step that learns, against brute force."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

from omics.cohort import node, select
from omics.prepare import (
    Centre,
    DropMissing,
    DropRare,
    Impute,
    Recipe,
    RemoveBatch,
    Scale,
    Step,
    TopVariance,
    prepare,
    transforms,
)
from omics.schema import DataError, UsageError, view_names
from tests.unprepared import STEPS, a_cohort, a_view, gappy, gaussian, values

# --- what needs no other patient ----------------------------------------------------------------------------------


def test_m_values_are_log_odds_and_finite_at_the_ends() -> None:
    beta = np.array([[0.0, 0.0005, 0.001, 0.25, 0.5, 0.8, 0.999, 1.0, np.nan]], dtype=np.float32)
    inside = np.clip(beta.astype(float), 0.001, 0.999)
    m = transforms.m_values(beta)
    assert m.dtype == np.float32
    np.testing.assert_allclose(m, np.log2(inside / (1 - inside)), rtol=1e-4, atol=1e-6)
    assert m[0, 4] == 0
    np.testing.assert_allclose(m[0, [0, -2]], [-9.964, 9.964], atol=1e-3)


def test_log_cpm_is_that_of_voom() -> None:
    counts = np.array([[0, 10, 90.5, np.nan], [5, 0, 0, 0]], dtype=np.float32)
    size = transforms.library_size(counts)
    np.testing.assert_array_equal(size, [100.5, 5])
    by_hand = [[np.log2((c + 0.5) / (n + 1) * 1e6) for c in row] for row, n in zip(counts, [100.5, 5], strict=True)]
    np.testing.assert_allclose(transforms.log_cpm(counts, size), by_hand, rtol=1e-6)


@given(arrays(np.float32, (3, 17), elements=st.floats(0, 2**24, width=32)), st.randoms(use_true_random=False))
@settings(max_examples=50, deadline=None)
def test_library_size_does_not_depend_on_order_or_memory_layout(counts: np.ndarray, random: Any) -> None:
    order = list(range(17))
    random.shuffle(order)
    size = transforms.library_size(counts)
    np.testing.assert_array_equal(transforms.library_size(np.asfortranarray(counts[:, order])), size)
    np.testing.assert_array_equal(transforms.library_size(counts[1:2]), size[1:2])


def test_prepare_transforms_by_units_and_keeps_the_rest() -> None:
    tree = a_cohort()
    prepared = prepare(tree)
    np.testing.assert_array_equal(values(prepared, "methylation"), transforms.m_values(values(tree, "methylation")))
    np.testing.assert_array_equal(values(prepared, "mutation"), values(tree, "mutation"))
    units = {name: node(prepared, f"views/{name}").attrs["units"] for name in view_names(prepared)}
    assert units == {"methylation": "M", "expression": "log2cpm", "mutation": "1"}
    assert {values(prepared, name).dtype for name in units} == {np.dtype(np.float32)}
    for path in ("clinical", "account"):
        xr.testing.assert_identical(node(prepared, path), node(tree, path))
    assert "recipe" not in tree.attrs


def test_log2_expression_stays_as_it_is() -> None:
    tree = gaussian(gappy((5, 6)))
    np.testing.assert_array_equal(values(prepare(tree), "x"), values(tree, "x"))


@pytest.mark.parametrize("mask", [["chrX"], ["X"], ["CHRX"], [f"cg{i:03d}" for i in range(1, 30, 3)]])
def test_mask_drops_by_chromosome_or_id(mask: list[str]) -> None:
    tree = a_cohort()
    kept = node(prepare(tree, mask=mask), "views/methylation")
    expected = [f"cg{i:03d}" for i in range(30) if i % 3 != 1]
    assert kept.indexes["feature"].tolist() == expected
    assert set(kept["chromosome"].values) == {"chr1", "2"}
    assert node(prepare(tree, mask=mask), "views/expression").sizes["feature"] == 25


def test_mask_that_cannot_work_is_refused() -> None:
    with pytest.raises(UsageError, match="knows the chromosomes"):
        prepare(gaussian(gappy((5, 4))), mask=["chrY"])
    with pytest.raises(DataError, match="leaves no feature"):
        prepare(a_cohort(), mask=["1", "X", "2"])


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"max_missing": 20}, "max_missing is 20"),
        ({"n_features": 0}, "n_features is 0"),
        ({"min_carriers": 0}, "min_carriers is 0"),
        ({"batch": "hospital"}, "no column 'hospital'"),
    ],
)
def test_options_out_of_range_are_refused(options: dict[str, Any], says: str) -> None:
    with pytest.raises(UsageError, match=says):
        prepare(a_cohort(), **options)


# --- each step against brute force --------------------------------------------------------------------------------


def test_drop_missing_keeps_features_up_to_the_share() -> None:
    block = np.zeros((10, 4))
    for feature, missing in enumerate((0, 2, 3, 10)):
        block[:missing, feature] = np.nan
    kept = DropMissing(max_missing=0.2).fit_transform(gaussian(block))
    assert node(kept, "views/x").indexes["feature"].tolist() == ["F000", "F001"]


def test_drop_rare_counts_carriers_and_leaves_gaussian_views() -> None:
    ones = np.array([[1, 1, 1, 0], [0, 1, 1, np.nan], [0, 0, 1, 0], [np.nan, np.nan, np.nan, 0]])
    tree = xr.DataTree.from_dict(
        {
            "/views/m": a_view(ones, list("abcd"), "M", kind="mutation", likelihood="bernoulli"),
            "/views/x": a_view(ones, list("abcd"), "F", kind="expression"),
        }
    )
    kept = DropRare(min_carriers=2).fit_transform(tree)
    assert node(kept, "views/m").indexes["feature"].tolist() == ["M001"]  # M002: every known sample carries it
    assert node(kept, "views/x").sizes["feature"] == 4


@pytest.mark.parametrize("constant", [0.1, 1e-30, 1 / 3, 3e7])
def test_variance_of_what_is_there(constant: float) -> None:
    block = gappy((31, 6))
    block[:, 3], block[1:, 4], block[:, 5] = constant, np.nan, np.nan
    expected = [np.nanvar(column, ddof=1) for column in block[:, :3].astype(float).T]
    np.testing.assert_allclose(transforms.variance(block)[:3], expected, rtol=1e-12)
    assert transforms.variance(block)[3:].tolist() == [0, 0, 0]


def test_top_variance_keeps_the_largest_in_their_order_without_constants() -> None:
    block = gappy((30, 50))
    block[:, 7], block[:, 8], block[1:, 9] = 0.1, np.nan, np.nan
    variance = np.array([np.nanvar(column, ddof=1) if np.isfinite(column).sum() > 1 else 0.0 for column in block.T])
    variance[7] = 0
    for n_features in (10, 1):
        kept = TopVariance(n_features=n_features).fit_transform(gaussian(block))
        expected = sorted(np.argsort(-variance)[:n_features])
        np.testing.assert_array_equal(values(kept, "x"), block[:, expected])
    everything = TopVariance(n_features=None).fit_transform(gaussian(block))
    assert node(everything, "views/x").sizes["feature"] == 47


def test_ties_of_variance_are_broken_by_id_whatever_the_order() -> None:
    tree = gaussian(np.repeat(gappy((8, 1), missing=0), 6, axis=1))
    for order in (range(6), [5, 3, 1, 0, 2, 4]):
        shuffled = xr.DataTree.from_dict({"/views/x": node(tree, "views/x").isel(feature=list(order))})
        kept = TopVariance(n_features=3).fit_transform(shuffled)
        assert sorted(node(kept, "views/x").indexes["feature"]) == ["F000", "F001", "F002"]


def test_remove_batch_takes_off_a_planted_offset_and_lists_unknown_sites() -> None:
    rng = np.random.default_rng(0)
    clean = rng.normal(size=(90, 20)).astype(np.float32)
    clean[rng.random(clean.shape) < 0.1] = np.nan
    sites = [("A", "B", "")[i % 3] for i in range(90)]
    planted = clean + np.array([{"A": 3.0, "B": -3.0, "": 0.0}[site] for site in sites])[:, None]
    step = RemoveBatch(column="site").fit(gaussian(planted, sites))
    after = values(step.transform(gaussian(planted, sites)), "x")
    offset = step.state_["x"]["offset"].sel(batch="A")
    rows = np.arange(90) % 3 == 0
    np.testing.assert_allclose(offset, np.nanmean(planted[rows], 0) - np.nanmean(planted, 0), atol=1e-5)
    for site in range(2):
        here = np.nanmean(after[site::3], axis=0)
        np.testing.assert_allclose(here, np.nanmean(planted, axis=0), atol=1e-4)
    assert abs(np.nanmean(planted[0::3] - planted[1::3])) > 5 > 0.1 > abs(np.nanmean(after[0::3] - after[1::3]))

    other = gaussian(planted[:3], ["C", "A", ""])
    moved = step.transform(other)
    np.testing.assert_array_equal(values(moved, "x")[[0, 2]], values(other, "x")[[0, 2]])
    np.testing.assert_allclose(values(moved, "x")[1], planted[1] - offset, rtol=1e-5)
    assert node(moved, "views/x").attrs["unknown_batch"] == ["P000", "P002"]
    without_clinical = step.transform(gaussian(planted[:3]))
    np.testing.assert_array_equal(values(without_clinical, "x"), planted[:3].astype(np.float32))


def test_site_without_any_value_of_a_feature_has_no_offset() -> None:
    block = gappy((10, 3), missing=0)
    block[:5, 0] = np.nan
    step = RemoveBatch(column="site").fit(gaussian(block, ["A"] * 5 + ["B"] * 5))
    assert step.state_["x"]["offset"].sel(batch="A").values[0] == 0


@pytest.mark.parametrize("sites", [(), ("",) * 5])
def test_batch_column_that_says_nothing_is_refused(sites: tuple[str, ...]) -> None:
    with pytest.raises(UsageError, match="site"):
        RemoveBatch(column="site").fit(gaussian(gappy((5, 4)), sites))


def test_centre_takes_off_the_mean_of_what_is_there() -> None:
    block = gappy((25, 9))
    centred = values(Centre().fit_transform(gaussian(block)), "x")
    np.testing.assert_allclose(centred, block - np.nanmean(block.astype(float), axis=0), atol=1e-6)


@pytest.mark.parametrize("width", [1, 4, 9])
def test_scale_divides_by_one_number_a_view(width: int) -> None:
    block = gappy((25, 9)) + 1000
    chunked = gaussian(block).chunk({"feature": width})
    step = Scale().fit(chunked)
    np.testing.assert_allclose(step.state_["x"]["scale"], np.nanstd(block.astype(float)), rtol=1e-10)
    np.testing.assert_allclose(values(step.transform(chunked), "x"), block / np.nanstd(block.astype(float)), rtol=1e-6)


def test_scale_of_a_constant_view_is_one() -> None:
    assert float(Scale().fit(gaussian(np.ones((4, 3)))).state_["x"]["scale"]) == 1


@pytest.mark.parametrize(("strategy", "reference"), [("mean", np.nanmean), ("median", np.nanmedian)])
@pytest.mark.parametrize("n", [7, 8])
def test_impute_fills_what_is_missing(strategy: str, reference: Callable[..., np.ndarray], n: int) -> None:
    block = gappy((n, 9))
    block[0], block[1:, 0] = 1, np.nan
    filled = values(Impute(strategy=strategy).fit_transform(gaussian(block)), "x")
    expected = np.where(np.isnan(block), reference(block.astype(float), axis=0), block)
    np.testing.assert_allclose(filled, expected, rtol=1e-6)


def test_impute_refuses_an_unknown_strategy() -> None:
    with pytest.raises(UsageError, match="unknown strategy 'zero'"):
        Impute(strategy="zero").fit(gaussian(gappy((5, 4))))


@pytest.mark.parametrize("step", STEPS, ids=lambda step: type(step).__name__)
def test_steps_are_estimators(step: Step) -> None:
    twin = clone(step)
    assert twin.get_params() == step.get_params()
    tree = prepare(a_cohort())
    with pytest.raises(NotFittedError):
        step.transform(tree)
    fitted = twin.fit(tree)
    assert fitted is twin
    for name in view_names(tree):
        xr.testing.assert_equal(
            node(fitted.transform(tree), f"views/{name}"), node(clone(step).fit_transform(tree), f"views/{name}")
        )


@pytest.mark.parametrize("step", STEPS, ids=lambda step: type(step).__name__)
def test_steps_do_not_depend_on_chunks(step: Step) -> None:
    tree = prepare(a_cohort())
    chunked = tree.chunk({"sample": 7, "feature": 4})
    one, other = clone(step).fit(tree), clone(step).fit(chunked)
    for name in view_names(tree):
        xr.testing.assert_allclose(one.state_[name], other.state_[name], rtol=1e-10)
        np.testing.assert_array_equal(values(one.transform(tree), name), values(one.transform(chunked), name))


def test_step_that_leaves_no_feature_says_so() -> None:
    with pytest.raises(DataError, match=r"none of 10 features is left after DropRare\(min_carriers=99\)") as error:
        Recipe([DropRare(min_carriers=99)]).fit(a_cohort())
    assert error.value.where == "mutation"


def test_view_without_samples_cannot_be_learned_from() -> None:
    with pytest.raises(DataError, match="no sample to learn from"):
        Recipe([Centre()]).fit(select(a_cohort(), ["P000"]))  # has no expression
