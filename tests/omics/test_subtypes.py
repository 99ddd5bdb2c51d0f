"""The subtype estimator: finds what is planted, finds nothing in nothing, and depends on nothing that it should not."""

from __future__ import annotations

import dask
import numpy as np
import pandas as pd
import pytest
import xarray as xr
from sklearn.base import clone
from sklearn.metrics import adjusted_mutual_info_score, adjusted_rand_score

from benchmarks._structure import integrated, layers_of
from benchmarks._structure import planted as planted_cohort
from omics import cohort
from omics.artefact import Provenance
from omics.schema import NODES, DataError, UsageError, check
from omics.subtypes import ALGORITHMS, Subtypes, agreement, clustering
from omics.subtypes.stability import Comparison, Stability

QUICK = {"max_subtypes": 5, "n_resamples": 10, "n_null": 39}


def factors(score: np.ndarray, sd: float | np.ndarray = 0.1) -> xr.Dataset:
    """``NODES["factors"]`` of an array, shape (sample, factor)."""
    return xr.Dataset(
        {"score": (("sample", "factor"), score), "score_sd": (("sample", "factor"), np.full(score.shape, sd))},
        coords={
            "sample": np.array([f"P{i:04d}" for i in range(len(score))], dtype=object),
            "factor": np.array([f"Factor{j + 1}" for j in range(score.shape[1])], dtype=object),
        },
    )


def planted(
    seed: int, n_subtypes: int = 4, n: int = 200, separation: float = 8.0, n_noise: int = 4
) -> tuple[xr.Dataset, np.ndarray]:
    """Clusters of unequal size in six factors, and factors without any."""
    rng = np.random.default_rng([seed, 1])
    share = np.linspace(0.06, 0.3, n_subtypes)
    label = rng.choice(n_subtypes, n, p=share / share.sum())
    centre = rng.normal(size=(n_subtypes, 6))
    distance = np.linalg.norm(centre[:, None] - centre, axis=2)
    centre *= separation / np.median(distance[np.triu_indices(n_subtypes, 1)])
    score = np.hstack([centre[label] + rng.normal(size=(n, 6)), rng.normal(size=(n, n_noise))])
    return factors(score / score.std(axis=0)), label


def cluster_free(kind: str, seed: int, n: int = 200) -> xr.Dataset:
    """Correlated factors without clusters."""
    rng = np.random.default_rng([seed, 2])
    normal = rng.normal(size=(n, 3)) @ rng.normal(size=(3, 8)) + rng.normal(size=(n, 8))
    normal /= normal.std(axis=0)
    curve = np.column_stack([normal[:, :2], normal[:, 0] ** 2, normal[:, 3:]])
    tails = np.sqrt(rng.chisquare(4, size=(n, 1)) / 4)
    return factors({"normal": normal, "skewed": np.exp(0.7 * normal), "heavy": normal / tails, "curved": curve}[kind])


@pytest.fixture(scope="module")
def truth() -> tuple[xr.Dataset, np.ndarray]:
    return planted(3)


@pytest.fixture(scope="module")
def fitted(truth) -> Subtypes:
    return Subtypes(**QUICK).fit(truth[0])


# --- what is found ------------------------------------------------------------------------------------------------


def test_planted_subtypes_are_found(truth, fitted):
    assert fitted.n_subtypes_ == 4
    assert adjusted_rand_score(truth[1], fitted.labels_) > 0.95
    assert fitted.p_value_ == 0.025
    chosen = fitted.stability_.sel(n_subtypes=4)
    assert chosen["stability"] > chosen["null_upper"]
    assert chosen["weakest"] == fitted.model_["jaccard"].min() > 0.75
    assert chosen["pac"] < chosen["pac_null"]
    assert chosen["pac_p_value"] == 0.025
    assert (fitted.model_["jaccard_p"] < 0.05).all()
    assert fitted.number_shares_[4] > 0.9


@pytest.mark.parametrize("kind", ["normal", "skewed", "heavy", "curved"])
def test_no_structure_is_an_answer(kind):
    found = Subtypes(**QUICK).fit(cluster_free(kind, 1))
    assert found.n_subtypes_ == 1
    assert found.p_value_ > 0.025
    assert set(found.labels_) == {"S1"}
    assert (found.probability_.to_numpy() == 1).all()


def test_a_few_outliers_are_not_a_subtype():
    scores = cluster_free("normal", 4)
    scores["score"][:3, 0] = 40.0
    found = Subtypes(**QUICK).fit(scores)
    assert found.n_subtypes_ == 1
    three = Subtypes(n_subtypes=3, n_resamples=5, n_null=1).fit(scores)
    assert three.labels_.value_counts().min() > 3


@pytest.mark.parametrize(("n", "outliers"), [(60, 4), (150, 4), (300, 5)])
def test_fewer_outliers_than_a_subtype_has_do_not_hide_the_others(n, outliers):
    scores, label = planted(8, n_subtypes=3, n=n)
    scores["score"][:outliers, 0] = 1e6
    found = Subtypes(**QUICK).fit(scores)
    assert found.n_subtypes_ == 3
    assert adjusted_rand_score(label[outliers:], found.labels_.iloc[outliers:]) > 0.9


def test_a_subtype_of_the_smallest_size_is_not_cut_off():
    scores, _ = planted(5, n_subtypes=3, n=150)
    scores["score"][:5, 0] = 9.0
    model = Subtypes(n_subtypes=4, n_resamples=2, n_null=1).fit(scores).model_
    assert float(model["factor_high"].sel(factor="Factor1")) == 9.0


def test_other_clusterings_find_each_subtype_again_or_not(fitted):
    """By hand: one the same under other names, one with S1 and S2 together and S3 cut in two."""
    label = fitted.labels_
    third = label.index[label == "S3"]
    other = label.replace({"S1": "x", "S2": "x"})
    other[third[:10]] = "y"
    found = fitted.refound([label.map({"S1": "d", "S2": "c", "S3": "b", "S4": "a"}).iloc[::-1], other])
    n = label.value_counts()
    merged = {name: n[name] / (n["S1"] + n["S2"]) for name in ("S1", "S2")}
    largest = max(10, n["S3"] - 10) / n["S3"]
    expected = [(1 + merged["S1"]) / 2, (1 + merged["S2"]) / 2, (1 + largest) / 2, 1.0]
    np.testing.assert_allclose(found.model_["jaccard_features"], expected)
    assert "jaccard_features" not in fitted.model_
    with pytest.raises(DataError, match="lacks a patient"):
        fitted.refound([label.iloc[1:]])


def test_a_new_cohort_is_assigned(truth, fitted):
    scores, label = truth
    rng = np.random.default_rng(8)
    others = scores.assign(score=scores["score"] + rng.normal(scale=0.05, size=scores["score"].shape))
    assert adjusted_rand_score(label, fitted.predict(others)) > 0.95


def test_labels_are_numbered_by_size(fitted):
    size = fitted.labels_.value_counts().reindex(list(fitted.model_.indexes["subtype"]))
    assert list(size.index) == ["S1", "S2", "S3", "S4"]
    assert size.is_monotonic_decreasing


def test_probabilities_sum_to_one_and_the_largest_is_the_label(fitted):
    np.testing.assert_allclose(fitted.probability_.sum(axis=1), 1)
    assert (fitted.probability_.idxmax(axis=1) == fitted.labels_).all()


def test_probabilities_are_calibrated():
    scores, label = planted(5, n_subtypes=2, n=3000, separation=3)
    found = Subtypes(n_subtypes=2, n_resamples=2, n_null=1).fit(scores)
    sure = found.probability_.max(axis=1)
    right = (found.labels_ == "S1") == (label == 1)
    doubtful = (sure > 0.6) & (sure < 0.9)
    assert right[doubtful].mean() == pytest.approx(sure[doubtful].mean(), abs=0.07)


def test_an_uncertain_factor_has_no_say(truth):
    scores, label = truth
    flag = np.random.default_rng(1).permutation(np.arange(200) < 100) * 1e-2  # two clean groups, but nothing is known
    vague = factors(np.column_stack([scores["score"], flag]), np.array([0.1] * 10 + [0.9]))
    found = Subtypes(**QUICK, n_subtypes=4).fit(vague)
    assert "Factor11" not in found.model_.indexes["factor"]
    assert adjusted_rand_score(label, found.labels_) > 0.95


def test_the_number_may_be_given(truth):
    found = Subtypes(n_subtypes=3, n_resamples=4, n_null=2).fit(truth[0])
    assert found.n_subtypes_ == len(set(found.labels_)) == 3
    assert list(found.stability_["n_subtypes"].to_numpy()) == [3]
    assert Subtypes(n_subtypes=1).fit(truth[0]).n_subtypes_ == 1


# --- what it does not depend on -----------------------------------------------------------------------------------


def test_the_order_of_patients_does_not_matter(truth, fitted):
    order = np.random.default_rng(0).permutation(200)
    again = Subtypes(**QUICK).fit(truth[0].isel(sample=order))
    pd.testing.assert_series_equal(again.labels_, fitted.labels_.iloc[order])
    xr.testing.assert_identical(again.model_, fitted.model_)
    xr.testing.assert_identical(again.stability_, fitted.stability_)


def test_the_scale_and_sign_of_a_factor_do_not_matter(truth, fitted):
    scale = xr.DataArray([-5.0, 0.2, *[1.0] * 8], dims="factor")
    scaled = truth[0].assign(score=truth[0]["score"] * scale, score_sd=truth[0]["score_sd"] * abs(scale))
    pd.testing.assert_series_equal(Subtypes(**QUICK, n_subtypes=4).fit(scaled).labels_, fitted.labels_)


def test_a_patient_alone_gets_the_same_bits(truth, fitted):
    together = fitted.predict_proba(truth[0])
    for i in (0, 17, 199):
        alone = fitted.predict_proba(truth[0].isel(sample=[i]))
        assert (alone.to_numpy() == together.iloc[[i]].to_numpy()).all()


def test_factors_are_matched_by_name(truth, fitted):
    turned = truth[0].isel(factor=slice(None, None, -1))
    pd.testing.assert_frame_equal(fitted.predict_proba(turned), fitted.probability_)


def test_the_scheduler_does_not_matter(truth, fitted):
    with dask.config.set(scheduler="synchronous"):
        again = clone(fitted).fit(truth[0])
    xr.testing.assert_identical(again.stability_, fitted.stability_)
    xr.testing.assert_identical(again.model_, fitted.model_)


def test_the_seed_hardly_matters(truth, fitted):
    again = Subtypes(**{**QUICK, "n_resamples": 40}, random_state=9).fit(truth[0])
    assert adjusted_rand_score(again.labels_, fitted.labels_) > 0.95


def test_the_order_of_features_and_of_patients_in_the_files_does_not_matter():
    """From the layers on: preparation, MOFA, subtypes."""
    tree = planted_cohort(1, 3, 8.0).tree
    rng = np.random.default_rng(0)
    shuffled = {}
    for part in tree.subtree:
        dataset = part.to_dataset(inherit=False)
        orders = {dim: rng.permutation(size) for dim, size in dataset.sizes.items()}
        shuffled[part.path] = dataset.isel(orders) if orders else dataset
    first, second = (
        Subtypes(n_subtypes=3, n_resamples=2, n_null=1).fit(integrated(one)[1]).labels_
        for one in (tree, xr.DataTree.from_dict(shuffled))
    )
    assert first.nunique() == 3
    pd.testing.assert_series_equal(second.sort_index(), first.sort_index())


def test_the_order_of_factors_does_not_matter(truth, fitted):
    many = truth[0].isel(factor=slice(None, None, -1))
    turned = clone(fitted).fit(many)
    pd.testing.assert_series_equal(turned.labels_, fitted.labels_)
    pd.testing.assert_frame_equal(turned.ambiguity_, fitted.ambiguity_)
    xr.testing.assert_identical(turned.stability_, fitted.stability_)
    xr.testing.assert_identical(turned.model_, fitted.model_)


@pytest.mark.parametrize("algorithm", [name for name, one in ALGORITHMS.items() if not one.layers])
def test_every_algorithm_finds_what_is_planted(truth, algorithm):
    found = Subtypes(algorithm=algorithm, n_subtypes=4, n_resamples=4, n_null=2).fit(truth[0])
    assert found.model_["jaccard"].min() > 0.75
    assert adjusted_rand_score(truth[1], found.labels_) > 0.85
    assert adjusted_rand_score(found.predict(truth[0]), found.labels_) > 0.85


@pytest.mark.parametrize("algorithm", [name for name, one in ALGORITHMS.items() if one.layers])
def test_layers_are_fused_for_patients_who_lack_some(algorithm):
    made = planted_cohort(2, 3, 10.0)
    ready, scores = integrated(made.tree)
    found = Subtypes(algorithm=algorithm, n_subtypes=3, n_resamples=4, n_null=2).fit(scores, layers=layers_of(ready))
    assert adjusted_rand_score(made.label.reindex(found.labels_.index), found.labels_) > 0.9
    with pytest.raises(UsageError, match=f"{algorithm} fuses layers, and was given none"):
        Subtypes(algorithm=algorithm).fit(scores)


def test_a_distance_heeds_what_a_factor_explains(truth):
    """Two factors that separate, one of which explains nothing of the data."""
    rng = np.random.default_rng(4)
    halves = [rng.permutation(np.arange(200) < 100) for _ in range(2)]
    score = factors(np.column_stack([8.0 * half + rng.normal(size=200) for half in halves]))
    heeded = score.assign(explained=("factor", [0.3, 1e-4]))
    found = Subtypes(algorithm="kmeans", n_subtypes=2, n_resamples=2, n_null=1).fit(heeded)
    assert adjusted_rand_score(halves[0], found.labels_) > 0.9


def test_ambiguity_tells_the_patients_between(truth, fitted):
    scores, label = truth
    centre = [scores["score"].to_numpy()[label == k].mean(axis=0) for k in (0, 1)]
    between = scores.copy(deep=True)
    between["score"][:6] = np.mean(centre, axis=0) + np.random.default_rng(1).normal(scale=0.05, size=(6, 10))
    found = Subtypes(**QUICK).fit(between).ambiguity_
    assert found["ambiguity"].iloc[:6].min() > found["ambiguity"].iloc[6:].quantile(0.9)
    assert found["p_value"].iloc[:6].min() > found["p_value"].iloc[6:].median()


def test_names_are_given(fitted):
    turned = {"S1": "S2", "S2": "S1", "S3": "S3", "S4": "S9"}
    other = fitted.renamed(turned)
    assert (other.labels_ == fitted.labels_.map(turned)).all()
    assert list(other.model_.indexes["subtype"]) == ["S2", "S1", "S3", "S9"]
    assert list(other.probability_.columns) == ["S2", "S1", "S3", "S9"]
    assert list(fitted.model_.indexes["subtype"]) == ["S1", "S2", "S3", "S4"]
    with pytest.raises(UsageError, match="a name of its own"):
        fitted.renamed({**turned, "S4": "S3"})


# --- stores -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("n_subtypes", [None, 1])
def test_the_stored_model_is_the_model(truth, n_subtypes, tmp_path):
    made = Subtypes(**QUICK, n_subtypes=n_subtypes).fit(truth[0])
    cohort.save(made.to_tree(), tmp_path / "S.zarr", Provenance("subtypes"))
    tree = cohort.open(tmp_path / "S.zarr", noun="subtypes")
    for name in ("subtypes", "subtype_model", "stability"):
        check(cohort.node(tree, name), name, where=name)
        assert {variable.name for variable in NODES[name] if variable.required} == set(
            cohort.node(tree, name).data_vars
        )
    again = Subtypes.from_tree(tree)
    assert again.get_params() == made.get_params()
    assert (again.n_subtypes_, again.p_value_) == (made.n_subtypes_, made.p_value_)
    pd.testing.assert_series_equal(again.labels_, made.labels_)
    pd.testing.assert_frame_equal(again.predict_proba(truth[0]), made.probability_)


# --- what is refused ----------------------------------------------------------------------------------------------


def _changed(scores: xr.Dataset, factor: int, value: float, rows: slice = slice(None)) -> xr.Dataset:
    changed = scores.copy(deep=True)
    changed["score"][rows, factor] = value
    return changed


@pytest.mark.parametrize(
    ("parameters", "change", "error", "words"),
    [
        ({}, lambda s: _changed(s, 2, 1.5), DataError, "constant factor: Factor3"),
        ({}, lambda s: _changed(s, 2, np.nan, slice(7, 8)), DataError, "not finite, first P0007"),
        ({}, lambda s: s.isel(sample=slice(9)), DataError, "9 patients are too few for 2 subtypes"),
        ({"n_subtypes": 41}, lambda s: s, DataError, "200 patients are too few for 41 subtypes"),
        ({}, lambda s: s.isel(sample=[0, 1, 1]), DataError, "duplicate sample id: P0001"),
        ({}, lambda s: s.drop_vars("score"), DataError, "'score'"),
        ({"n_subtypes": 0}, lambda s: s, UsageError, "n_subtypes is 0"),
        ({"n_null": 38}, lambda s: s, UsageError, "n_null is 38"),
        ({"n_resamples": 1}, lambda s: s, UsageError, "n_resamples is 1"),
        ({"random_state": -1}, lambda s: s, UsageError, "random_state is -1"),
        ({"random_state": None}, lambda s: s, UsageError, "random_state is None"),
        ({"n_subtypes": "3"}, lambda s: s, UsageError, "n_subtypes is '3'"),
        ({"n_subtypes": 2.5}, lambda s: s, UsageError, "n_subtypes is 2.5"),
        ({}, lambda s: s.isel(sample=slice(0)), DataError, "scores are \\(0, "),
        ({}, lambda s: s.isel(factor=slice(0)), DataError, "scores are \\(200, 0\\)"),
        ({}, lambda s: s.isel(factor=[0, 1, 1]), DataError, "factor Factor2 stands twice"),
        ({}, lambda s: s.assign(score_sd=s["score_sd"] * np.nan), DataError, "score_sd that is no standard deviation"),
        ({}, lambda s: s.assign(score_sd=-s["score_sd"]), DataError, "score_sd that is no standard deviation"),
    ],
)
def test_wrong_input_is_refused(truth, parameters, change, error, words):
    with pytest.raises(error, match=words):
        Subtypes(**parameters).fit(change(truth[0]))


@pytest.mark.parametrize("scores", [np.zeros((50, 3)), pd.DataFrame(np.zeros((50, 3)))])
def test_scores_that_are_no_dataset_are_refused(scores):
    with pytest.raises(UsageError, match=f"scores are a {type(scores).__name__}"):
        Subtypes().fit(scores)


def test_scores_of_another_factor_model_are_refused(truth, fitted):
    with pytest.raises(DataError, match="factor Factor2 of the subtypes is absent"):
        fitted.predict(truth[0].drop_sel(factor="Factor2"))
    with pytest.raises(DataError, match="holds no subtypes"):
        Subtypes.from_tree(xr.DataTree())


# --- agreement ----------------------------------------------------------------------------------------------------


def test_agreement_with_known_labels():
    labels = pd.Series(["S1"] * 6 + ["S2"] * 6, index=[f"P{i}" for i in range(12)], name="label")
    clinical = pd.DataFrame(
        {
            "subtype": ["a"] * 6 + ["b"] * 5 + [None],
            "sex": pd.Categorical(["f", "m"] * 6),
            "site": ["north"] * 12,
            "age": np.arange(12.0),
            "note": [f"free text {i}" for i in range(12)],
        },
        index=labels.index[::-1],
    ).iloc[::-1]
    clinical.index = labels.index
    table = agreement(labels, clinical)
    assert list(table["label"]) == ["subtype", "note", "sex"]
    assert table.loc[0, ["ari", "ami", "n"]].tolist() == [1.0, 1.0, 11]
    known = clinical["sex"].astype(str)
    assert table.loc[2, "ari"] == pytest.approx(adjusted_rand_score(known, labels))
    assert table.loc[2, "ami"] == pytest.approx(adjusted_mutual_info_score(known, labels))
    check(cohort.from_table(table), "agreement", where="agreement")


def test_agreement_matches_patients_by_id(truth, fitted):
    shuffled = pd.DataFrame({"subtype": fitted.labels_}).sample(frac=1, random_state=0)
    assert agreement(fitted.labels_, shuffled)["ari"].tolist() == [1.0]


def test_agreement_refuses_a_patient_twice_and_leaves_out_who_has_no_subtype(truth, fitted):
    known = pd.DataFrame({"subtype": fitted.labels_})
    with pytest.raises(DataError, match="duplicate sample id"):
        agreement(fitted.labels_, pd.concat([known, known.iloc[:1]]))
    partly = fitted.labels_.where(np.arange(len(fitted.labels_)) > 4)
    assert agreement(partly, known)["n"].tolist() == [len(known) - 5]


def test_agreement_without_labels_is_an_empty_table(fitted):
    table = agreement(fitted.labels_, pd.DataFrame(index=fitted.labels_.index))
    assert list(table.columns) == ["label", "ari", "ami", "n"]
    assert table.empty


@pytest.mark.parametrize(
    ("weakest", "p_overall", "chosen"),
    [
        ([0.9, 0.8, 0.6], 0.025, 3),  # the largest number that is valid and about as stable as the best
        ([0.9, 0.8, 0.6], 0.03, 1),
        ([0.96, 0.8, 0.6], 0.05, 3),  # clusters that other draws hardly change need be less clear
        ([0.96, 0.8, 0.6], 0.06, 1),
        ([0.94, 0.8, 0.6], 0.05, 1),
        ([0.7, 0.7, 0.6], 0.025, 1),  # none is valid: at the usual level that is no structure
        ([0.7, 0.7, 0.6], 0.01, 3),  # but where the null is beaten clearly, the largest about as stable as the best
        ([0.9, 0.7, 0.6], 0.025, 2),  # of these, one that is valid comes first
        ([0.4, 0.4, 0.9], 0.025, 4),  # one that dissolves is no measure of the best, however stable the others are
        ([0.6, 0.4, 0.9], 0.025, 2),  # a valid one is not taken if another is much more stable on the whole
        ([0.4, 0.5, 0.3], 0.01, 1),  # all dissolve: nothing that could be named
    ],
)
def test_the_rule_that_chooses_the_number(weakest, p_overall, chosen):
    assert chosen_of([0.9, 0.88, 0.8], weakest, p_overall) == chosen


def test_how_much_less_stable_a_larger_number_may_be_depends_on_how_stable_the_best_is():
    assert chosen_of([1.0, 0.975, 0.96], [0.9] * 3, 0.01) == 3
    assert chosen_of([0.8, 0.755, 0.74], [0.9] * 3, 0.01) == 3


def chosen_of(rand: list[float], weakest: list[float], p_overall: float) -> int:
    """The number of 2, 3 and 4 that is chosen for these stabilities."""

    def stability(index, weak):
        return Stability(index, np.array([1.0, weak]), 0.1, 0.1, np.zeros(2), np.ones((2, 2)), np.ones((2, 2)))

    observed = [stability(index, weak) for index, weak in zip(rand, weakest, strict=True)]
    return clustering._choose(Comparison([2, 3, 4], observed, [[stability(0.2, 0.5)] * 3] * 99, p_overall))


# --- over seeds ---------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("n_subtypes", range(2, 9))
def test_the_right_number_over_seeds(n_subtypes):
    scores, label = planted(40 + n_subtypes, n_subtypes=n_subtypes, n=360, separation=10, n_noise=6)
    found = Subtypes(n_null=39).fit(scores)
    assert found.n_subtypes_ == n_subtypes
    assert adjusted_rand_score(label, found.labels_) >= 0.9


@pytest.mark.slow
def test_false_positives_are_rare_over_seeds():
    kinds = ("normal", "skewed", "heavy", "curved")
    found = [Subtypes(**QUICK, random_state=seed).fit(cluster_free(kind, seed)) for kind in kinds for seed in range(10)]
    assert sum(one.n_subtypes_ > 1 for one in found) <= 5  # 2 expected of 40 at most; P(> 5) = 0.01
