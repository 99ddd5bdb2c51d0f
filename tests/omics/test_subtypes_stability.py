"""The mixture, the stability and the null against brute force and against what they promise."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy.stats import multivariate_normal, skew
from sklearn.metrics import adjusted_rand_score

from omics.subtypes import counting, mixture, null, stability
from omics.subtypes.algorithms import Data


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(5)


@pytest.fixture
def z(rng) -> np.ndarray:
    centres = rng.normal(scale=3, size=(3, 4))
    return centres[rng.integers(3, size=60)] + rng.normal(size=(60, 4))


# --- mixture ------------------------------------------------------------------------------------------------------


def test_a_step_of_em_equals_brute_force(z, rng):
    weight = rng.integers(0, 3, size=(2, 60)).astype(float)
    runs = mixture.Runs.of(z, weight)
    root = 0.3 * rng.normal(size=(2, 4, 4)) + np.eye(4)
    current = mixture.Mixtures(rng.normal(size=(2, 3, 4)), root @ root.transpose(0, 2, 1), rng.dirichlet([2] * 3, 2))
    share, likelihood = mixture.expect(runs, current)
    updated = mixture.maximise(runs, share)
    for run in range(2):
        density = np.array([multivariate_normal(mean, current.covariance[run]).pdf(z) for mean in current.mean[run]])
        joint = density * current.mixing[run][:, None]
        expected = weight[run] * joint / joint.sum(axis=0)
        np.testing.assert_allclose(share[run], expected, rtol=1e-9, atol=1e-12)
        constant = 0.5 * 4 * np.log(2 * np.pi) * weight[run].sum()
        np.testing.assert_allclose(likelihood[run] - constant, weight[run] @ np.log(joint.sum(axis=0)), rtol=1e-9)
        mean = expected @ z / expected.sum(axis=1, keepdims=True)
        n = weight[run].sum()
        within = sum((z - mean[k]).T @ np.diag(expected[k]) @ (z - mean[k]) for k in range(3)) / n
        within[~np.eye(4, dtype=bool)] /= 2
        np.testing.assert_allclose(updated.mean[run], mean, rtol=1e-6)
        np.testing.assert_allclose(updated.covariance[run], within, rtol=1e-6, atol=1e-9)
        np.testing.assert_allclose(updated.mixing[run], expected.sum(axis=1) / weight[run].sum(), rtol=1e-6)


def test_the_likelihood_never_falls(z, rng, monkeypatch):
    monkeypatch.setattr(mixture, "KEPT", 1.0)  # with less, it is not the likelihood that is maximised
    runs = mixture.Runs.of(z, np.ones((5, 60)))
    current = mixture.Mixtures(rng.normal(size=(5, 4, 4)), np.tile(np.eye(4), (5, 1, 1)), np.full((5, 4), 0.25))
    likelihoods = []
    for _ in range(30):
        share, likelihood = mixture.expect(runs, current)
        current = mixture.maximise(runs, share)
        likelihoods.append(likelihood)
    assert (np.diff(likelihoods, axis=0) > -1e-6).all()


def test_a_patient_of_weight_zero_is_not_there(z, rng):
    weight = stability.subsamples(60, 4, rng)
    uniform = rng.random((4, 5, 3))
    label = mixture.fit(z, weight, uniform)[1]
    for run, drawn in enumerate(weight.astype(bool)):
        alone = mixture.fit(z[drawn], np.ones((1, drawn.sum())), uniform[run : run + 1])[1][0]
        assert adjusted_rand_score(label[run, drawn], alone) == 1


def test_batches_do_not_change_the_fit(z, rng, monkeypatch):
    weight, uniform = stability.subsamples(60, 6, rng), rng.random((6, 5, 3))
    together = mixture.fit(z, weight, uniform)[1]
    monkeypatch.setattr(mixture, "BATCH_VALUES", 1)
    alone = mixture.fit(z, weight, uniform)[1]
    for run, drawn in enumerate(weight.astype(bool)):
        assert adjusted_rand_score(alone[run, drawn], together[run, drawn]) == 1


def test_distances_equal_brute_force(rng):
    root = rng.normal(size=(5, 3, 3))
    covariance, difference = root @ root.transpose(0, 2, 1) + np.eye(3), rng.normal(size=(5, 4, 3))
    expected = [[d @ np.linalg.solve(c, d) for d in rows] for rows, c in zip(difference, covariance, strict=True)]
    np.testing.assert_allclose(mixture.squared_distance(difference, covariance), expected)


def test_correlations_within_clusters_tell_who_is_where(rng, monkeypatch):
    label = np.repeat([0, 1], [120, 80])
    within = np.eye(4)
    within[0, 1] = within[1, 0] = 0.8
    z = rng.multivariate_normal(np.zeros(4), within, 200) + np.outer(label, [3.5, 0, 0, 0])
    z, start = (z - z.mean(axis=0)) / z.std(axis=0), rng.random((1, 16, 2))
    with_them = adjusted_rand_score(label, mixture.fit(z, np.ones((1, 200)), start)[1][0])
    monkeypatch.setattr(mixture, "KEPT", 0.0)
    without = adjusted_rand_score(label, mixture.fit(z, np.ones((1, 200)), start)[1][0])
    assert with_them > 0.9
    assert without < 0.85


# --- stability ----------------------------------------------------------------------------------------------------


def drawn_labels(rng: np.random.Generator, n_subtypes: int = 3, runs: int = 5, n: int = 40) -> np.ndarray:
    """Random clusterings of subsamples, some of whose patients agree."""
    label = rng.integers(0, n_subtypes, (runs, n))
    label[:, : n // 2] = 0
    return np.where(stability.subsamples(n, runs, rng) > 0, label, counting.ABSENT)


def test_rand_index_equals_scikit_learn_on_shared_patients(rng):
    label = drawn_labels(rng)
    found = counting.rand_between(label, 3)
    for a in range(5):
        for b in range(5):
            both = (label[a] >= 0) & (label[b] >= 0)
            assert found[a, b] == pytest.approx(adjusted_rand_score(label[a, both], label[b, both]), abs=1e-12)


def test_rand_index_of_one_cluster_is_agreement():
    assert (counting.rand_between(np.zeros((3, 9), int), 2) == 1).all()


def test_jaccard_equals_sets(rng):
    reference, label = rng.integers(0, 3, 40), drawn_labels(rng)
    found = counting.jaccard_each(reference, label, 3)
    for run in range(5):
        drawn = set(np.flatnonzero(label[run] >= 0))
        others = [set(np.flatnonzero(label[run] == k)) for k in range(3)]
        for ours in range(3):
            a = set(np.flatnonzero(reference == ours)) & drawn
            assert found[run, ours] == pytest.approx(max(len(a & b) / len(a | b) for b in others))


def test_ambiguity_equals_a_count_of_pairs(rng, monkeypatch):
    label = drawn_labels(rng, runs=12)
    monkeypatch.setattr(counting, "_STRIP", 7)
    monkeypatch.setattr(counting, "_ENTRIES", 300)
    pac, ambiguity = counting.consensus(label, 3)
    ambiguous, pairs, expected = 0, 0, np.zeros(40)
    for i, j in itertools.permutations(range(40), 2):
        both = (label[:, i] >= 0) & (label[:, j] >= 0)
        m, s = both.sum(), (both & (label[:, i] == label[:, j])).sum()
        expected[i] += 4 * s * (m - s) / (m * (m - 1)) / 39
        ambiguous, pairs = ambiguous + (0.1 < s / m < 0.9), pairs + 1
    assert pac == pytest.approx(ambiguous / pairs)
    np.testing.assert_allclose(ambiguity, expected, rtol=1e-6)
    halves = [counting.consensus(part, 3)[0] for part in (label[:6], label[6:])]
    assert counting.consensus(label, 3, groups=2)[0] == pytest.approx(np.mean(halves))


def test_pairs_that_fewer_than_two_resamples_have_are_not_called_certain():
    label = np.array([[0, 0, 1, 1, -1], [0, 1, 0, 1, -1], [0, -1, -1, -1, 0]])
    ambiguity = counting.consensus(label, 2)[1]
    # of the first: with the second and third 4 * 1 * 1 / (2 * 1) = 2, with the fourth 0; the last has nobody twice
    np.testing.assert_allclose(ambiguity, [4 / 3, 4 / 3, 4 / 3, 4 / 3, 0])


def test_cluster_free_data_are_measured_no_more_finely_than_the_data(z, monkeypatch):
    counted: dict[int, set[int]] = {}
    measure = stability.measure

    def counting_measure(reference, label, number):
        counted.setdefault(number, set()).add(len(label))
        return measure(reference, label, number)

    monkeypatch.setattr(stability, "measure", counting_measure)
    data = Data(z, np.ones(z.shape[1]), np.zeros(z.shape[1], int))
    stability.against_null(data, [2, 3], 5, 2, 0)
    assert counted == {2: {5}, 3: {5}}
    counted.clear()
    stability.against_null(data, [2, 3], 26, 2, 0)
    assert counted == {2: {26, 24}, 3: {26, 6}}


def test_few_resamples_do_not_make_noise_significant():
    found = []
    for seed in range(60):
        z = np.random.default_rng([seed, 4]).normal(size=(40, 3))
        data = Data(z, np.ones(3), np.zeros(3, int))
        found.append(stability.against_null(data, [2], 2, 9, seed).p_overall)
    assert (np.array(found) <= 0.1).sum() <= 10  # 6 expected; it was 13 when cluster-free data had 24 subsamples


def test_leaving_out_columns_leaves_every_layer_one(rng):
    data = Data(np.zeros((4, 8)), np.ones(8), np.array([0, 0, 0, 0, 0, 1, 2, 2]))
    kept = [stability._some_columns(data, rng) for _ in range(20)]
    assert {tuple(np.bincount(data.layer[one])) for one in kept} == {(4, 1, 2)}
    assert len({tuple(one) for one in kept}) > 3


def test_tasks_of_resamples_do_not_change_them(rng, z, monkeypatch):
    data = Data(z, np.ones(4), np.zeros(4, int))
    whole = stability.resample(data, 3, 7, [1])
    parts = [stability.resample(data, 3, 7, [1], part=slice(a, a + 3)) for a in (0, 3, 6)]
    for one, other in zip(np.concatenate(parts), whole, strict=True):
        assert ((one == counting.ABSENT) == (other == counting.ABSENT)).all()
        assert adjusted_rand_score(one, other) == 1  # clusters may change their number, not their members
    assert ((whole == counting.ABSENT).sum(axis=1) == 12).all()


def test_bootstrap_of_resamples_equals_their_repetition(rng, z):
    data = Data(z, np.ones(4), np.zeros(4, int))
    label, reference = stability.resample(data, 4, 5, [1]), stability.cluster_all(data, 4, [1])
    one = stability.measure(reference, label, 4)
    again = stability._reweighted(one, np.array([2, 0, 1, 1, 1]) / 5)
    assert again.jaccard == pytest.approx(stability.measure(reference, label[[0, 0, 2, 3, 4]], 4).jaccard)
    chosen = [0, 0, 2, 3, 4]
    pairs = [one.rand_between[a, b] for a, b in itertools.combinations(chosen, 2) if a != b]
    assert again.rand == pytest.approx(np.mean(pairs))


def test_a_subsample_is_four_fifths_of_the_patients(rng):
    weight = stability.subsamples(50, 30, rng)
    assert (weight.sum(axis=1) == 40).all()
    assert len(np.unique(weight, axis=0)) == 30


def test_p_value_counts_the_observed_one_in():
    free = np.array([[0.1, 0.5], [0.2, 0.6], [0.3, 0.7]])
    np.testing.assert_allclose(stability.tail_share(np.array([0.25, 0.8]), free), [0.5, 0.25])


def test_an_extreme_value_is_not_bounded_by_the_number_of_data_sets(rng):
    free = rng.uniform(0.4, 0.5, (40, 1))
    assert stability.standardised(np.array([0.99]), free)[0, 0] > 10


# --- the null -----------------------------------------------------------------------------------------------------


def _samples(kind: str, n: int, rng: np.random.Generator) -> np.ndarray:
    normal = rng.normal(size=n)
    return {
        "normal": normal,
        "skewed": np.exp(normal),
        "heavy": rng.standard_t(3, n),
        "two": np.where(rng.random(n) < 0.3, normal + 8, normal),
        "tied": np.round(normal, 1),
    }[kind]


@pytest.mark.parametrize("kind", ["normal", "skewed", "heavy", "two", "tied"])
def test_a_margin_has_one_mode(kind, rng):
    margin = null.unimodal(_samples(kind, 200, rng))
    with np.errstate(divide="ignore"):
        density = np.diff(margin.probability) / np.diff(margin.value)
    rise = np.sign(np.diff(density[np.isfinite(density)]))
    rise = rise[np.abs(np.diff(density[np.isfinite(density)])) > 1e-9]
    assert (np.diff(rise) <= 0).all(), "the density rises again after it has fallen"


def test_a_margin_with_one_mode_is_kept_and_two_modes_are_filled(rng):
    def distance(x: np.ndarray) -> float:
        margin, ordered = null.unimodal(x), np.sort(x)
        there = np.interp(ordered, margin.value, margin.probability)
        return float(np.abs(there - (np.arange(len(x)) + 0.5) / len(x)).max())

    assert distance(_samples("normal", 400, rng)) < 0.04
    assert distance(_samples("skewed", 400, rng)) < 0.04
    assert distance(_samples("two", 400, rng)) > 0.07


def _many(data: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    made = null.Null.of(data)
    return np.concatenate([made.draw(rng) for _ in range(40)])


def test_the_null_lacks_what_the_data_lack(rng):
    data = rng.multivariate_normal([0, 0, 0], [[1, 0.6, 0], [0.6, 1, 0], [0, 0, 1]], 500)
    data[:150, 0] = data[350:, 1] = np.nan
    drawn = _many(data, rng)
    assert (np.isnan(drawn[:500]) == np.isnan(data)).all()
    both = ~np.isnan(drawn[:, :2]).any(axis=1)
    assert np.corrcoef(drawn[both, :2], rowvar=False)[0, 1] == pytest.approx(0.6, abs=0.08)


def test_the_null_keeps_correlation_and_skew_but_no_gap(rng):
    normal = rng.multivariate_normal([0, 0], [[1, 0.7], [0.7, 1]], 500)
    group = rng.random(500) < 0.3
    data = np.column_stack([normal[:, 0], np.exp(normal[:, 1]), np.where(group, 8, 0) + rng.normal(size=500)])
    drawn = _many(data, rng)
    correlation = [np.corrcoef(np.column_stack([x[:, 0], np.log(x[:, 1])]), rowvar=False)[0, 1] for x in (data, drawn)]
    assert correlation[1] == pytest.approx(correlation[0], abs=0.05)
    assert skew(drawn[:, 1]) == pytest.approx(skew(data[:, 1]), rel=0.25)
    assert ((data[:, 2] > 3.5) & (data[:, 2] < 4.5)).mean() < 0.01
    assert ((drawn[:, 2] > 3.5) & (drawn[:, 2] < 4.5)).mean() > 0.03
