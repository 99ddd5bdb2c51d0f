"""Names of subtypes that last over runs and cohorts."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from omics.schema import NODES, DataError, UsageError
from omics.subtypes.matching import match, match_centres, rename


def random_labels(rng: np.random.Generator, n: int, n_groups: int) -> pd.Series:
    return pd.Series([f"S{k + 1}" for k in rng.integers(0, n_groups, n)], index=[f"P{i:03d}" for i in range(n)])


def similar(rng: np.random.Generator) -> tuple[pd.Series, pd.Series]:
    """Two runs on overlapping patients that agree on some."""
    reference = random_labels(rng, 60, 4)
    labels = rename(reference, {"S1": "S3", "S2": "S1", "S3": "S2", "S4": "S4"})
    changed = rng.random(60) < rng.choice([0.1, 0.3, 0.5])
    labels[changed] = random_labels(rng, 60, 5)[changed]
    return labels.iloc[8:].sample(frac=1, random_state=1), reference.iloc[:52]


@pytest.mark.parametrize("seed", range(12))
def test_partners_have_the_largest_sum_of_jaccard_indices(seed):
    labels, reference = similar(np.random.default_rng(seed))
    both = set(labels.index) & set(reference.index)
    ours, theirs = ({k: set(s.index[s == k]) & both for k in sorted(set(s))} for s in (labels, reference))
    jaccard = {(a, b): len(ours[a] & theirs[b]) / len(ours[a] | theirs[b]) for a in ours for b in theirs}
    same = {pair: value for pair, value in jaccard.items() if value >= 0.5}
    orders = permutations([*theirs, "nobody"])
    best = max(sum(same.get(pair, 0) for pair in zip(ours, order, strict=False)) for order in orders)
    mapping = match(labels, reference)
    kept = {a: b for a, b in mapping.items() if b in theirs}
    assert sum(jaccard[pair] for pair in kept.items()) == pytest.approx(best)
    assert all(jaccard[pair] >= 0.5 for pair in kept.items())
    assert len(set(mapping.values())) == len(mapping) == len(ours)
    assert not (set(mapping.values()) - set(kept.values())) & set(theirs)


def test_the_same_subtypes_get_the_same_names_in_any_order():
    rng = np.random.default_rng(3)
    labels, reference = similar(rng)
    mapping = match(labels, reference)
    assert match(labels.iloc[::-1], reference.sample(frac=1, random_state=0)) == mapping
    assert match(reference, reference) == {name: name for name in ("S1", "S2", "S3", "S4")}
    renamed = rename(labels, mapping)
    assert match(renamed, reference) == {name: name for name in set(renamed)}


def test_new_subtypes_get_fresh_names_the_largest_first():
    reference = pd.Series(["S1"] * 20 + ["S2"] * 20 + ["S4"], index=range(41))
    labels = pd.Series(["b"] * 20 + ["d"] * 8 + ["c"] * 6 + ["a"] * 6 + ["unassigned"], index=range(41))
    assert match(labels, reference) == {"b": "S1", "d": "S3", "a": "S5", "c": "S6", "unassigned": "unassigned"}


def test_of_two_equal_halves_the_first_by_name_is_the_partner():
    labels, reference = pd.Series(["b"] * 5 + ["a"] * 5), pd.Series(["S1"] * 10)
    assert match(labels, reference) == match(labels[::-1], reference) == {"a": "S1", "b": "S2"}


def test_who_is_unassigned_in_the_reference_is_of_no_subtype_there():
    reference = pd.Series(["S1"] * 9 + ["unassigned"] * 9)
    assert match(pd.Series(["S2"] * 9 + ["S1"] * 9), reference) == {"S2": "S1", "S1": "S2"}


def test_two_weak_partners_do_not_part_a_pair_that_is_the_same():
    reference = pd.Series(["S1"] * 8 + ["S2"] * 4)
    labels = pd.Series(["a"] * 6 + ["b"] * 2 + ["a"] * 4)  # a: 0.5 with S1 and 0.4 with S2; b: 0.25 with S1
    assert match(labels, reference) == {"a": "S1", "b": "S3"}


def test_runs_without_shared_patients_are_refused():
    with pytest.raises(DataError, match="share no patient"):
        match(pd.Series(["S1"], index=["A"]), pd.Series(["S1"], index=["B"]))
    with pytest.raises(DataError, match="duplicate sample id: A"):
        match(pd.Series(["S1", "S2"], index=["A", "A"]), pd.Series(["S1"], index=["A"]))
    with pytest.raises(UsageError, match="no new name for S2"):
        rename(pd.Series(["S1", "S2", None]), {"S1": "S4"})


def model(centre: np.ndarray, variance: float = 0.25, shared: float = 0.0) -> xr.Dataset:
    """``NODES["subtype_model"]`` with these centres, shape (subtype, factor), in scores as they are."""
    n, n_factors = centre.shape
    factor = [f"Factor{j + 1}" for j in range(n_factors)]
    per_factor = {"low": -9.0, "high": 9.0, "mean": 0.0, "scale": 1.0}
    return xr.Dataset(
        {
            "mean": (("subtype", "factor"), centre),
            "covariance": (("factor", "other_factor"), np.eye(n_factors) * variance + shared),
            **{one.name: ("subtype", np.full(n, 1 / n)) for one in NODES["subtype_model"] if one.dims == ("subtype",)},
            **{f"factor_{name}": ("factor", np.full(n_factors, value)) for name, value in per_factor.items()},
            "reach": ((), 9.0),
        },
        {"subtype": [f"S{k + 1}" for k in range(n)], "factor": factor, "other_factor": factor},
    )


def test_centres_do_not_depend_on_standardisation_or_order():
    reference = model(np.random.default_rng(1).normal(scale=3, size=(4, 5)), shared=0.1)
    backwards = slice(None, None, -1)
    turned = reference.isel(factor=backwards, other_factor=backwards, subtype=[2, 0, 3, 1])
    moved = turned.assign_coords(subtype=["a", "b", "c", "d"]).assign(
        mean=(turned["mean"] - 0.7).assign_coords(subtype=["a", "b", "c", "d"]) / 3.0,
        covariance=turned["covariance"] / 9,
        factor_mean=turned["factor_mean"] + 0.7,
        factor_scale=turned["factor_scale"] * 3.0,
    )
    assert match_centres(moved, reference) == {"a": "S3", "b": "S1", "c": "S4", "d": "S2"}
    away = moved.assign(mean=moved["mean"] + xr.DataArray([9.0, 0, 0, 0], dims="subtype"))
    assert match_centres(away, reference) == {"a": "S5", "b": "S1", "c": "S4", "d": "S2"}
    assert match_centres(moved.isel(factor=slice(4), other_factor=slice(4)), reference) == match_centres(
        moved, reference
    )


def test_a_centre_goes_to_one_that_is_nearer_than_half_way_to_the_next():
    def one_factor(*centres: float) -> xr.Dataset:
        return model(np.array(centres)[:, None])

    assert match_centres(one_factor(1.1), one_factor(0.0, 2.0)) == {"S1": "S2"}
    assert match_centres(one_factor(1.0), one_factor(0.0, 2.0)) == {"S1": "S3"}
    assert match_centres(one_factor(1.28), one_factor(0.0)) == {"S1": "S1"}  # 2.56 spreads away: the limit is 2.576
    assert match_centres(one_factor(1.30), one_factor(0.0)) == {"S1": "S2"}
    assert match_centres(one_factor(0.1, 0.2), one_factor(0.0, 2.0)) == {"S1": "S1", "S2": "S3"}


def test_a_centre_is_further_away_across_a_correlation_than_along_it():
    reference = model(np.array([[0.0, 0.0]]), variance=0.05, shared=0.2)  # correlation 0.8, variance 0.25
    assert match_centres(model(np.array([[1.0, 1.0]])), reference) == {"S1": "S1"}
    assert match_centres(model(np.array([[1.0, -1.0]])), reference) == {"S1": "S2"}


def test_models_that_cannot_be_compared_are_refused():
    reference = model(np.zeros((1, 2)))
    with pytest.raises(DataError, match="no factor in common"):
        match_centres(reference.assign_coords(factor=["A", "B"]), reference)
    with pytest.raises(DataError, match="'covariance'"):
        match_centres(reference.drop_vars("covariance"), reference)
