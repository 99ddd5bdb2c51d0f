"""Subtypes in another cohort: patients who belong nowhere, and groups that come back or do not."""

from __future__ import annotations

from itertools import combinations
from typing import NamedTuple

import dask
import numpy as np
import pandas as pd
import pytest
import xarray as xr
from scipy.spatial.distance import cdist
from scipy.stats import chi, fisher_exact, multivariate_normal
from sklearn.metrics import adjusted_rand_score

from omics import cohort
from omics.schema import DataError, UsageError
from omics.subtypes import Subtypes
from omics.subtypes.assignment import assign
from omics.subtypes.matching import match_centres, rename
from omics.subtypes.replication import in_group_proportion, moves, prediction_strength, replicate

N_FACTORS = 9


def factors(score: np.ndarray, sd: float | np.ndarray = 0.1, prefix: str = "P") -> xr.Dataset:
    """``NODES["factors"]`` of an array, shape (sample, factor)."""
    return xr.Dataset(
        {
            "score": (("sample", "factor"), score),
            "score_sd": (("sample", "factor"), np.broadcast_to(sd, score.shape).copy()),
        },
        coords={
            "sample": np.array([f"{prefix}{i:04d}" for i in range(len(score))], dtype=object),
            "factor": np.array([f"Factor{j + 1}" for j in range(score.shape[1])], dtype=object),
        },
    )


class World(NamedTuple):
    """Five subtypes in six factors of variance 1, and three factors without any."""

    centre: np.ndarray
    scale: np.ndarray
    share: np.ndarray

    @classmethod
    def of(cls, seed: int, separation: float = 8.0) -> World:
        rng, share = np.random.default_rng([seed, 7]), np.array([0.28, 0.24, 0.2, 0.16, 0.12])
        centre = rng.normal(size=(5, 6))
        distance = np.linalg.norm(centre[:, None] - centre, axis=2)
        centre *= separation / np.median(distance[np.triu_indices(5, 1)])
        centre -= share @ centre
        return cls(centre, np.sqrt(share @ centre**2 + 1), share)

    def draw(self, seed: int, n: int, without: int | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Scores and true subtypes of n patients, none of whom is of the subtype `without`."""
        rng, share = np.random.default_rng([seed, 1]), self.share.copy()
        if without is not None:
            share[without] = 0
        label = rng.choice(5, n, p=share / share.sum())
        score = (self.centre[label] + rng.normal(size=(n, 6))) / self.scale
        return np.hstack([score, rng.normal(size=(n, N_FACTORS - 6))]), label


def fitted(score: np.ndarray, n_subtypes: int) -> Subtypes:
    return Subtypes(n_subtypes=n_subtypes, n_resamples=2, n_null=1).fit(factors(score, prefix="R"))


@pytest.fixture(scope="module")
def world() -> World:
    return World.of(2)


@pytest.fixture(scope="module")
def reference(world) -> Subtypes:
    """Four of the five subtypes: the reference lacks the third."""
    return fitted(world.draw(1, 300, without=2)[0], 4)


@pytest.fixture(scope="module")
def scores(world) -> xr.Dataset:
    return factors(world.draw(2, 250, without=2)[0])


@pytest.fixture(scope="module")
def found(reference, scores):
    return replicate(reference, scores, n_null=39)


# --- one patient --------------------------------------------------------------------------------------------------


def test_certain_scores_have_the_probabilities_of_the_mixture(reference, scores):
    certain = scores.assign(score_sd=scores["score_sd"] * 0)
    table = assign(reference.model_, certain).set_index("sample")
    probability = reference.predict_proba(scores)
    np.testing.assert_allclose(table["probability"], probability.max(axis=1), rtol=1e-12)
    assert (table["nearest"] == reference.predict(scores)).all()
    np.testing.assert_allclose(table["limit"], chi.ppf(0.99, N_FACTORS), rtol=1e-12)
    m = reference.model_
    z = (scores["score"] - m["factor_mean"]) / m["factor_scale"]
    centre, precision = (
        m["mean"].sel(subtype=table["nearest"].to_numpy()).to_numpy(),
        np.linalg.inv(m["covariance"].to_numpy()),
    )
    away = z.to_numpy() - centre
    distance = [np.sqrt(away[i] @ precision @ away[i]) for i in range(9)]
    np.testing.assert_allclose(table["distance"].iloc[:9], distance, rtol=1e-10)


@pytest.mark.parametrize("sd", [0.3, 0.8, 1.0, 1.4])
def test_an_uncertain_patient_equals_brute_force(reference, scores, sd):
    m, row = reference.model_, scores.isel(sample=[5]) * 1.0
    row["score_sd"][0, ::2] = sd
    table = assign(m, row).iloc[0]
    scale, mean = m["factor_scale"].to_numpy(), m["factor_mean"].to_numpy()
    s, raw = (row[name].to_numpy()[0] for name in ("score_sd", "score"))
    keep = [min(1.0, max(0.0, (max(1.0, a * a) - b * b) / (a * a))) for a, b in zip(scale, s, strict=True)]
    joint, there = [], []
    for k in range(4):
        centre = np.array(keep) * (m["mean"].to_numpy()[k] * scale + mean)  # in scores, whose zero does not move
        spread = np.outer(keep * scale, keep * scale) * m["covariance"].to_numpy() + np.diag(s**2)
        cut = np.clip(raw, m["factor_low"], m["factor_high"])
        joint.append(float(m["mixing"][k]) * multivariate_normal(centre, spread).pdf(cut))
        there.append(np.sqrt((raw - centre) @ np.linalg.inv(spread) @ (raw - centre)))
    first = int(np.argmax(joint))
    assert table["nearest"] == f"S{first + 1}"
    assert table["probability"] == pytest.approx(max(joint) / sum(joint), rel=1e-9)
    ratio = table["distance"] / table["limit"]
    assert ratio == pytest.approx(there[first] / chi.ppf(0.99, N_FACTORS), rel=1e-9)


def test_a_patient_alone_gets_the_same_bits(reference, scores, found):
    for i in (0, 17, 249):
        alone = assign(reference.model_, scores.isel(sample=[i]))
        pd.testing.assert_frame_equal(alone, found.assignment.iloc[[i]].reset_index(drop=True), check_exact=True)


def test_both_sides_of_the_covariance_are_in_the_order_of_the_factors(reference, scores, found):
    turned = reference.model_.isel(factor=[3, 0, 8, 1, 2, 7, 4, 6, 5])
    table = assign(turned, scores)
    assert (table["nearest"] == found.assignment["nearest"]).all()
    np.testing.assert_allclose(table["distance"], found.assignment["distance"], rtol=1e-9)
    with pytest.raises(DataError, match="covariance lacks factor Factor1"):
        assign(reference.model_.isel(other_factor=slice(1, None)), scores)


def test_who_is_infinitely_far_away_is_outside(reference, scores):
    far = scores.isel(sample=[0]) * 1.0
    far["score"][0, 0] = 1e200
    row = assign(reference.model_, far).iloc[0]
    assert (row["label"], row["outside"]) == ("unassigned", 1)


def drawn_from(model: xr.Dataset, n: int, rng: np.random.Generator) -> np.ndarray:
    """Scores of the mixture itself."""
    label = rng.choice(model.sizes["subtype"], n, p=model["mixing"].to_numpy())
    mean = model["mean"].to_numpy()[label]
    z = mean + rng.normal(size=mean.shape) @ np.linalg.cholesky(model["covariance"].to_numpy()).T
    return z * model["factor_scale"].to_numpy() + model["factor_mean"].to_numpy()


def test_one_in_a_hundred_of_the_same_mixture_is_outside(reference):
    score = drawn_from(reference.model_, 5000, np.random.default_rng(4))
    outside = assign(reference.model_, factors(score, 0.0))["outside"].mean()
    assert outside == pytest.approx(0.01, abs=0.004)  # three standard errors


def test_uncertain_patients_of_the_same_mixture_are_not_outside_more_often(reference):
    rng, sd = np.random.default_rng(5), 0.4
    score = drawn_from(reference.model_, 5000, rng)
    scale = reference.model_["factor_scale"].to_numpy()
    keep = np.minimum(1, (np.maximum(1, scale**2) - sd**2) / scale**2)
    vague = factors(keep * score + rng.normal(scale=sd, size=score.shape), sd)
    outside = assign(reference.model_, vague)["outside"].mean()
    assert outside == pytest.approx(0.01, abs=0.004)
    certain = assign(reference.model_, vague.assign(score_sd=vague["score_sd"] * 0))["outside"].mean()
    assert certain > 0.05  # and it is because their uncertainty is counted


@pytest.mark.parametrize("sd", [0.8, 0.95])
def test_patients_who_lack_layers_are_flagged_rather_than_forced(world, reference, sd):
    score, label = world.draw(6, 600, without=2)
    rng, known = np.random.default_rng(0), 1 - sd**2
    lacking = score.copy()
    lacking[:, :6] = known * score[:, :6] + np.sqrt(known) * sd * rng.normal(size=(600, 6))
    whole = assign(reference.model_, factors(score))
    vague = assign(reference.model_, factors(lacking, np.array([sd] * 6 + [0.1] * 3)))
    truth = whole["nearest"].groupby(label).transform(lambda names: names.mode()[0])
    assert whole["ambiguous"].mean() < 0.02
    assert vague["ambiguous"].mean() > 0.4
    forced = vague["label"] != "unassigned"
    assert (vague["label"] != truth)[forced].sum() < 0.05 * len(vague)
    assert vague["probability"].mean() < whole["probability"].mean() - 0.2
    assert (
        vague["reason"][vague["ambiguous"] == 1].str.fullmatch(r".*ambiguous: S\d \(0\.\d+\) or S\d \(0\.\d+\)").all()
    )


def test_of_whom_nothing_is_known_has_the_shares_of_the_reference(reference):
    table = assign(reference.model_, factors(np.zeros((1, N_FACTORS)), 1.0))
    largest = reference.model_["mixing"].max()
    assert table["probability"][0] == pytest.approx(float(largest), rel=0.05)
    assert table.loc[0, ["label", "outside"]].tolist() == ["unassigned", 0]


# --- the groups of a cohort ---------------------------------------------------------------------------------------


def test_in_group_proportion_equals_brute_force():
    rng = np.random.default_rng(1)
    point, label = rng.normal(size=(40, 3)), rng.integers(0, 3, 40)
    distance = cdist(point, point)
    expected = []
    for k in range(3):
        members = np.flatnonzero(label == k)
        nearest = [min(set(range(40)) - {i}, key=lambda j, i=i: distance[i, j]) for i in members]
        expected.append(np.mean([label[j] == k for j in nearest]))
    np.fill_diagonal(distance, np.inf)
    share = in_group_proportion(label, distance.argmin(axis=1), 5)
    np.testing.assert_allclose(share, [*expected, np.nan, np.nan])


def test_the_table_has_the_in_group_proportion_of_the_cohort(reference, scores, found):
    model = reference.model_
    z = (scores["score"].clip(model["factor_low"], model["factor_high"]) - model["factor_mean"]) / model["factor_scale"]
    distance = cdist(z, z, "mahalanobis", VI=np.linalg.inv(model["covariance"].to_numpy()))
    np.fill_diagonal(distance, np.inf)
    table = found.assignment
    group = table["nearest"].where(table["outside"] == 0, "outside").to_numpy()
    same = group[distance.argmin(axis=1)] == group
    for row in found.subtypes.itertuples():
        assert row.in_group == pytest.approx(same[group == row.subtype].mean())


def test_prediction_strength_equals_pairs():
    rng = np.random.default_rng(2)
    own, group = rng.integers(0, 3, 30), rng.integers(0, 4, 30)
    own[0] = 3  # a cluster of one has no pairs
    by_group, weakest = prediction_strength(own, group, 6)
    by_cluster = [
        np.mean([group[i] == group[j] for i, j in combinations(np.flatnonzero(own == c), 2)]) for c in range(3)
    ]
    assert weakest == pytest.approx(min(by_cluster))
    pairs = [(i, j) for i in range(30) for j in range(30) if i != j and own[i] == own[j]]
    strength = {i: np.mean([group[i] == group[j] for a, j in pairs if a == i]) for i in range(1, 30)}
    expected = [np.mean([strength[i] for i in range(1, 30) if group[i] == k]) for k in range(4)]
    np.testing.assert_allclose(by_group, [*expected, np.nan, np.nan])


def test_a_small_group_that_a_large_one_swallows_is_not_kept():
    strength, weakest = prediction_strength(np.zeros(100, int), np.repeat([0, 1], [90, 10]), 2)
    np.testing.assert_allclose(strength, [89 / 99, 9 / 99])
    assert weakest == pytest.approx(1 - 2 * 90 * 10 / (100 * 99))


# --- what comes back ----------------------------------------------------------------------------------------------


def test_planted_subtypes_replicate(world, found):
    label = world.draw(2, 250, without=2)[1]
    table, subtypes, overall = found.assignment, found.subtypes, found.overall.iloc[0]
    assert (table["label"] != "unassigned").mean() > 0.97
    assert adjusted_rand_score(label, table["nearest"]) > 0.97
    assert list(subtypes["subtype"]) == ["S1", "S2", "S3", "S4"]
    assert (subtypes["in_group"] > 0.9).all()
    assert subtypes["p_value"].tolist() == [1 / 40] * 4
    assert (subtypes["prediction_strength"] > 0.9).all()
    assert (subtypes["replicates"] == 1).all()
    assert subtypes["verdict"].str.match(r"S\d replicates: \d+ of \d+ patients nearest to it are assigned").all()
    assert overall["ari"] > 0.95
    assert (overall["n"], overall["own_subtypes"], overall["note"]) == (250, 4, "")


def test_the_tables_agree_with_each_other(reference, found):
    table, subtypes, overall = found.assignment, found.subtypes.set_index("subtype"), found.overall.iloc[0]
    assert overall["n_unassigned"] == (table["label"] == "unassigned").sum() == (table["reason"] != "").sum()
    assert overall["n_outside"] == (table["distance"] > table["limit"]).sum()
    assert overall["n_ambiguous"] == (table["probability"] < 0.6).sum()
    inside = table[table["outside"] == 0]
    for name, row in subtypes.iterrows():
        assert row["n"] == (table["nearest"] == name).sum()
        assert row["assigned"] == (table["label"] == name).sum()
        assert row["unassigned"] == pytest.approx(1 - row["assigned"] / row["n"])
        assert row["distance"] == pytest.approx(table.loc[table["nearest"] == name, "distance"].mean())
        there, here = (reference.labels_ == name), inside["nearest"] == name
        assert (row["share_reference"], row["share"]) == pytest.approx((there.mean(), here.mean()))
        counts = [[there.sum(), (~there).sum()], [here.sum(), (~here).sum()]]
        assert row["share_p_value"] == pytest.approx(fisher_exact(counts)[1])
    for name, stored in zip(found._fields, found, strict=True):
        assert len(cohort.from_table(stored).data_vars) == stored.shape[1], name


def test_patients_of_a_subtype_that_the_reference_lacks_are_unassigned(world, reference):
    score, label = world.draw(3, 250)
    found = replicate(reference, factors(score), n_null=39)
    unassigned = (found.assignment["label"] == "unassigned").to_numpy()
    assert unassigned[label == 2].mean() > 0.85
    assert unassigned[label != 2].mean() < 0.05
    assert (found.subtypes["replicates"] == 1).all()  # and what is there is still seen
    assert found.overall["own_subtypes"][0] == 5
    assert found.overall["ari"][0] > 0.9


def test_a_subtype_that_is_not_there_cannot_be_judged(world, reference):
    score, label = world.draw(3, 250, without=2)
    names = assign(reference.model_, factors(score))["nearest"]
    gone = names[label == 0].mode()[0]
    found = replicate(reference, factors(score[label != 0]), n_null=19).subtypes.set_index("subtype")
    assert found["replicates"][gone] == -1
    assert found["verdict"][gone].startswith(f"{gone} cannot be judged: patients nearest to it: 0")
    assert found["share_p_value"][gone] < 1e-6
    assert np.isnan(found.loc[gone, ["in_group", "p_value", "p_permuted", "prediction_strength"]].astype(float)).all()


def test_a_subtype_that_lies_elsewhere_does_not_replicate(world, reference):
    score, label = world.draw(3, 250, without=2)
    gone = assign(reference.model_, factors(score))["nearest"][label == 1].mode()[0]
    score[label == 1, 6:] += 2.0  # in factors that tell no subtypes apart
    found = replicate(reference, factors(score), n_null=39)
    row = found.subtypes.set_index("subtype").loc[gone]
    assert row["unassigned"] > 0.5
    assert row["replicates"] == 0
    assert row["verdict"].startswith(f"{gone} does not:")
    assert (found.subtypes.loc[found.subtypes["subtype"] != gone, "replicates"] == 1).all()


def test_nothing_replicates_in_a_cohort_without_clusters():
    found = []
    for seed in range(5):
        score = World.of(seed, separation=6).draw(1, 250, without=2)[0]
        rng = np.random.default_rng(seed)
        free = rng.multivariate_normal(score.mean(axis=0), np.cov(score, rowvar=False), 200)
        found.append(replicate(fitted(score, 4), factors(free), n_null=19))
    subtypes, overall = (pd.concat([getattr(one, name) for one in found]) for name in ("subtypes", "overall"))
    assert (subtypes["p_value"] <= 0.05).mean() < 0.2  # 20 tests of level 0.05: P(> 3) = 0.016
    assert 0.3 < subtypes["p_value"].mean() < 0.7
    assert (overall["prediction_strength"] < 0.7).all()
    assert (subtypes["replicates"] == 1).sum() == 0
    assert subtypes["verdict"].str.contains("does not: .* but ").sum() > 10


def test_permuted_centres_make_other_groups():
    world = World.of(2, separation=5)
    found = replicate(fitted(world.draw(1, 300)[0], 5), factors(world.draw(2, 300)[0]), n_null=39)
    assert (found.subtypes["p_permuted"] < 0.15).all()
    one = World(world.centre * [1, 0, 0, 0, 0, 0], world.scale, world.share)  # with one factor, all orders are the same
    found = replicate(fitted(one.draw(1, 300)[0], 3), factors(one.draw(2, 300)[0]), n_null=19)
    assert found.subtypes["p_permuted"].median() > 0.2


def test_subtypes_of_two_cohorts_get_the_same_names(world, reference):
    other, label = world.draw(5, 400)  # with the subtype that the reference lacks
    model = fitted(other, 5)
    mapping = match_centres(model.model_, reference.model_)
    assert sorted(mapping.values()) == ["S1", "S2", "S3", "S4", "S5"]
    renamed = rename(model.labels_, mapping)
    inside = label != 2
    assert set(renamed[~inside]) == {"S5"}
    expected = reference.predict(factors(other, prefix="R"))
    assert (renamed[inside] == expected[inside]).mean() > 0.97


# --- what it does not depend on -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def blurred(world) -> xr.Dataset:
    """A cohort without clusters, so that its p-values are not all the smallest."""
    score = world.draw(1, 300, without=2)[0]
    rng = np.random.default_rng(1)
    return factors(rng.multivariate_normal(score.mean(axis=0), np.cov(score, rowvar=False), 150))


def test_order_scheduler_and_chunks_do_not_matter(reference, blurred):
    order = np.random.default_rng(0).permutation(150)
    found = replicate(reference, blurred, n_null=39)
    again = replicate(reference, blurred.isel(sample=order, factor=slice(None, None, -1)), n_null=39)
    expected = found.assignment.iloc[order].reset_index(drop=True)
    pd.testing.assert_frame_equal(again.assignment, expected, check_exact=True)
    pd.testing.assert_frame_equal(again.subtypes, found.subtypes, check_exact=True)
    pd.testing.assert_frame_equal(again.overall, found.overall, check_exact=True)
    with dask.config.set(scheduler="synchronous"):
        once_more = replicate(reference, blurred.chunk(sample=50), n_null=39)
    for one, two in zip(once_more, found, strict=True):
        pd.testing.assert_frame_equal(one, two, check_exact=True)


def test_patients_who_lack_a_layer_do_not_make_a_group(world, reference, scores, found):
    score, _ = world.draw(7, 60, without=2)
    lacking = factors(np.hstack([score[:, :2], score[:, 2:6] * 0, score[:, 6:]]), prefix="Q")
    lacking["score_sd"][:, 2:6] = 1.0
    with_them = replicate(reference, xr.concat([scores, lacking], "sample"), n_null=39)
    columns = ["in_group", "p_value", "p_permuted", "prediction_strength"]
    pd.testing.assert_frame_equal(with_them.subtypes[columns], found.subtypes[columns])
    assert with_them.overall[["n", "n_known"]].iloc[0].tolist() == [310, 250]


def test_a_layer_that_the_whole_cohort_lacks_is_left_out(world):
    reference = fitted(world.draw(1, 300, without=2)[0], 4)
    score, _ = world.draw(2, 250, without=2)
    score[:, 8] = 0.0
    found = replicate(reference, factors(score, np.array([0.1] * 8 + [1.0])), n_null=39)
    assert found.overall["n_known"][0] == 250
    assert (found.subtypes["replicates"] == 1).all()


# --- too little, and what is refused ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("n", "note"), [(1, "1 patients are known well enough"), (12, "12 patients are too few for 4")]
)
def test_too_few_patients_are_assigned_but_not_judged(reference, scores, found, n, note):
    few = replicate(reference, scores.isel(sample=slice(n)), n_null=19)
    pd.testing.assert_frame_equal(few.assignment, found.assignment.iloc[:n], check_exact=True)
    assert np.isnan(few.subtypes["prediction_strength"]).all()
    assert np.isnan(few.overall.loc[0, ["ari", "prediction_strength"]].astype(float)).all()
    assert note in few.overall["note"][0]
    assert few.overall["own_subtypes"][0] == 0
    assert (few.subtypes["replicates"] == -1).all()
    assert few.subtypes["verdict"].str.contains("cannot be judged").all()


def test_one_subtype_cannot_be_told_from_others(world, scores):
    found = replicate(fitted(world.draw(1, 100)[0], 1), scores, n_null=19)
    assert found.subtypes["replicates"].tolist() == [-1]
    assert found.subtypes["p_permuted"].tolist() == [1.0]
    assert found.subtypes["verdict"][0] == "S1 cannot be judged: there is no other subtype"


def _changed(scores: xr.Dataset, name: str, value: float) -> xr.Dataset:
    changed = scores.copy(deep=True)
    changed[name][7, 2] = value
    return changed


@pytest.mark.parametrize(
    ("change", "parameters", "error", "words"),
    [
        (lambda s: s.drop_sel(factor="Factor2"), {}, DataError, "factor Factor2 of the subtypes is absent"),
        (lambda s: _changed(s, "score", np.nan), {}, DataError, "1 patients have .* not finite, first P0007"),
        (lambda s: _changed(s, "score_sd", np.inf), {}, DataError, "not finite, first P0007"),
        (lambda s: s.drop_vars("score_sd"), {}, DataError, "'score_sd'"),
        (lambda s: s.isel(sample=slice(0)), {}, DataError, "there is no patient"),
        (lambda s: s.isel(sample=[0, 1, 1]), {}, DataError, "duplicate sample id: P0001"),
        (lambda s: s, {"n_null": 18}, UsageError, "n_null is 18"),
        (lambda s: s, {"random_state": -1}, UsageError, "random_state is -1"),
    ],
)
def test_wrong_input_is_refused(reference, scores, change, parameters, error, words):
    with pytest.raises(error, match=words):
        replicate(reference, change(scores), **parameters)


# --- from diagnosis to relapse ------------------------------------------------------------------------------------


def test_moves_from_diagnosis_to_relapse():
    first = pd.Series({"D": "S1", "A": "S1", "C": "S2", "B": "S1", "E": "S2", "only": "S3", "lost": "S1"})
    second = pd.Series({"E": "S2", "B": "S1", "A": "S1", "C": "unassigned", "D": "S2", "late": "S1", "lost": None})
    table = moves(first, second)
    assert table.to_dict("split")["data"] == [
        ["S1", "S1", 2, "A, B", 2 / 3],
        ["S1", "S2", 1, "D", 2 / 3],
        ["S2", "S2", 1, "E", 0.5],
        ["S2", "unassigned", 1, "C", 0.5],
    ]
    assert list(table.columns) == ["from", "to", "n", "patients", "stayed"]
    with pytest.raises(DataError, match="no patient has both"):
        moves(first[["only"]], second[["late"]])
    with pytest.raises(DataError, match="patient A occurs twice"):
        moves(first, pd.concat([second, second[["A"]]]))
