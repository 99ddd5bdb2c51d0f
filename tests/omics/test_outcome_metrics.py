"""AUC and Brier score against brute force and scikit-learn; their intervals against explicit resampling."""

import time

import numpy as np
import pytest
from scipy.special import logit
from scipy.stats import norm
from sklearn.metrics import brier_score_loss, roc_auc_score

from omics.outcome import auc, auc_difference, auc_interval, brier, brier_interval
from omics.outcome.metrics import _draw_by_class, _scored
from omics.schema import DataError


def _data(n: int = 60, repeats: int = 3, seed: int = 0) -> dict[str, np.ndarray]:
    """Scores with ties, weights some of which are 0, four folds a repeat."""
    rng = np.random.default_rng(seed)
    outcome = np.resize([1, 0, 0, 0], n)
    return {
        "outcome": outcome,
        "score": np.round(0.8 * outcome + rng.normal(size=(repeats, n)), 1),
        "weight": rng.uniform(0.5, 2.0, (repeats, n)) * (rng.random((repeats, n)) > 0.1),
        "strata": rng.integers(0, 4, (repeats, n)),
    }


def _brute_force(outcome, score, weight, strata) -> float:
    concordant = total = 0.0
    for s, w, g in zip(score, weight, strata, strict=True):
        for i in np.flatnonzero(outcome == 1):
            for j in np.flatnonzero(outcome == 0):
                if g[i] == g[j]:
                    concordant += w[i] * w[j] * (1.0 if s[i] > s[j] else 0.5 if s[i] == s[j] else 0.0)
                    total += w[i] * w[j]
    return concordant / total


def test_auc_as_brute_force():
    data = _data()
    assert auc(**data) == pytest.approx(_brute_force(**data), rel=1e-12)


def test_auc_as_scikit_learn():
    data = _data(repeats=1)
    outcome, score, weight = data["outcome"], data["score"][0], data["weight"][0]
    assert auc(outcome, score) == pytest.approx(roc_auc_score(outcome, score), rel=1e-12)
    assert auc(outcome, score, weight) == pytest.approx(roc_auc_score(outcome, score, sample_weight=weight), rel=1e-12)


def test_scores_of_different_folds_are_not_compared():
    data = _data()
    shifted = data["score"] + 100.0 * data["strata"]
    assert auc(**{**data, "score": shifted}) == pytest.approx(auc(**data), rel=1e-12)
    assert auc(data["outcome"], shifted) != pytest.approx(auc(data["outcome"], data["score"]), abs=0.01)


def test_missing_score_is_a_missing_prediction():
    data = _data(repeats=1)
    kept = np.arange(60) != 4
    holed = np.where(kept, data["score"], np.nan)
    fewer = {name: array[..., kept] for name, array in data.items()}
    assert auc(**{**data, "score": holed}) == pytest.approx(auc(**fewer), rel=1e-12)
    assert auc_interval(**{**data, "score": holed}) == auc_interval(**fewer)


def _drawn_by_hand(data: dict[str, np.ndarray], repeat: int, n_bootstrap: int) -> list[float]:
    """AUC of one repeat in patients that are really repeated as often as they were drawn."""
    scored = _scored(**data)
    outcome, known = data["outcome"], scored.known
    drawn = []
    for a, b in zip(*(m.astype(int) for m in _draw_by_class(scored, n_bootstrap, 3)), strict=True):
        of_events = np.repeat(np.flatnonzero(known & (outcome == 1)), a)
        rows = np.concatenate([of_events, np.repeat(np.flatnonzero(known & (outcome == 0)), b)])
        drawn.append(auc(outcome[rows], *(data[name][repeat, rows] for name in ("score", "weight", "strata"))))
    return drawn


def test_interval_as_explicit_resampling_of_patients():
    data = _data()
    interval = auc_interval(**data, n_bootstrap=50, random_state=3)
    variance = np.mean([np.var(_drawn_by_hand(data, repeat, 50)) for repeat in range(3)])
    variance *= interval.events / (interval.events - 1) * 7 / 4
    slope = interval.estimate * (1 - interval.estimate)
    expected = logit(interval.estimate) + norm.ppf([0.025, 0.975]) * np.sqrt(variance) / slope
    assert logit([interval.lower, interval.upper]) == pytest.approx(expected, rel=1e-9)
    assert interval.estimate == auc(**data)
    known = (data["weight"] > 0).any(axis=0)
    assert (interval.n, interval.events) == (known.sum(), data["outcome"][known].sum())


def test_folds_widen_the_interval():
    """Scores of one fixed model and of four overlapping ones are not equally sure."""
    data = _data(400, repeats=1)
    one_model = auc_interval(data["outcome"], data["score"])
    four = auc_interval(data["outcome"], data["score"], strata=data["strata"])
    assert (four.upper - four.lower) / (one_model.upper - one_model.lower) == pytest.approx(np.sqrt(7 / 4), rel=0.1)


def test_repeat_that_failed_counts_for_nothing():
    data = _data(repeats=2)
    failed = {**data, "score": np.stack([data["score"][0], np.full(60, np.nan)])}
    alone = {name: array[:1] if array.ndim == 2 else array for name, array in data.items()}
    assert auc_interval(**failed) == auc_interval(**alone)
    for each in (failed, alone):
        each["probability"] = norm.cdf(each.pop("score"))
    assert brier_interval(**failed) == brier_interval(**alone)


def test_one_event_gives_no_interval():
    interval = auc_interval([1, 0, 0, 0], [0.4, 0.3, 0.5, 0.1])
    assert interval.estimate == pytest.approx(2 / 3)
    assert np.isnan([interval.lower, interval.upper]).all()


def test_resampling_keeps_the_number_of_events():
    events, others = _draw_by_class(_scored(**_data()), 20, random_state=0)
    assert (events.sum(axis=1) == events.shape[1]).all()
    assert (others.sum(axis=1) == others.shape[1]).all()


def test_repeats_of_the_same_predictions_do_not_narrow_the_interval():
    data = _data(repeats=1)
    outcome, score = data["outcome"], data["score"]
    assert auc_interval(outcome, np.repeat(score, 5, axis=0)) == pytest.approx(auc_interval(outcome, score), rel=1e-10)


def test_equal_models_do_not_differ():
    data = _data()
    difference = auc_difference(data["outcome"], data["score"], 2 * data["score"] + 1, data["weight"], data["strata"])
    assert difference[:3] == (0.0, 0.0, 0.0)


def test_difference_is_that_of_the_two_scores_and_is_paired():
    data = _data(200, repeats=1)
    near = data["score"] + np.random.default_rng(5).normal(scale=0.2, size=data["score"].shape)
    difference = auc_difference(data["outcome"], data["score"], near)
    assert difference.estimate == pytest.approx(auc(data["outcome"], data["score"]) - auc(data["outcome"], near))
    single = auc_interval(data["outcome"], data["score"])
    assert difference.upper - difference.lower < 0.5 * (single.upper - single.lower)


def test_prediction_that_one_model_lacks_counts_for_neither():
    data = _data(repeats=1)
    other = -data["score"]
    holed = np.where(np.arange(60) == 4, np.nan, other)
    kept = np.arange(60) != 4
    expected = auc_difference(data["outcome"][kept], data["score"][:, kept], other[:, kept])
    assert auc_difference(data["outcome"], data["score"], holed) == expected
    assert auc_difference(data["outcome"], holed, data["score"]).estimate == pytest.approx(-expected.estimate)


def test_same_seed_same_interval():
    data = _data()
    assert auc_interval(**data, random_state=1) == auc_interval(**data, random_state=1)
    assert auc_interval(**data, random_state=1) != auc_interval(**data, random_state=2)


def test_brier_as_scikit_learn():
    data = _data(repeats=1)
    outcome, probability, weight = data["outcome"], norm.cdf(data["score"][0]), data["weight"][0]
    expected = brier_score_loss(outcome, probability, sample_weight=weight)
    assert brier(outcome, probability, weight) == pytest.approx(expected, rel=1e-12)
    interval = brier_interval(outcome, probability, weight)
    assert interval.estimate == pytest.approx(expected, rel=1e-12)
    assert interval.lower < expected < interval.upper


def test_perfect_prediction():
    outcome = np.array([1, 0, 0, 1])
    for interval, value in ((auc_interval(outcome, outcome), 1.0), (brier_interval(outcome, outcome), 0.0)):
        assert interval.estimate == value
        assert np.isnan([interval.lower, interval.upper]).all()  # no variance: nothing can be said


@pytest.mark.parametrize("measure", [auc, auc_interval, brier, brier_interval])
def test_one_class_is_refused(measure):
    with pytest.raises(DataError, match=r"the 3 patients of known outcome are all of class 0"):
        measure([0, 0, 0, 1], [0.1, 0.2, 0.3, 0.4], [1, 1, 1, 0])


@pytest.mark.parametrize("outcome", [[0, 1], [0, 1, 2], [0, 1, np.nan]])
def test_outcome_must_be_0_or_1_for_each_score(outcome):
    with pytest.raises(DataError, match="outcome has shape"):
        auc(outcome, [0.1, 0.2, 0.3])


def test_strata_of_one_class_each_are_refused():
    with pytest.raises(DataError, match="no stratum"):
        auc([0, 0, 1], [0.1, 0.2, 0.3], strata=[0, 0, 1])


def test_interval_of_repeated_cross_validation_is_fast():
    data = _data(300, repeats=5)
    start = time.perf_counter()
    auc_interval(**data, n_bootstrap=1000)
    assert time.perf_counter() - start < 2.0  # measured: 0.05 s


@pytest.mark.slow
def test_intervals_cover_the_truth():
    """A fixed model, scored in 400 cohorts of 200 patients with 30 relapses, and two models of equal worth."""
    outcome = np.resize([1] * 3 + [0] * 17, 200)
    truth = norm.cdf(0.8 / np.sqrt(2))
    rng = np.random.default_rng(7)
    covered, equal = [], []
    for seed in range(400):
        shared = 0.8 * outcome + rng.normal(scale=np.sqrt(0.5), size=200)
        first, second = shared + rng.normal(scale=np.sqrt(0.5), size=(2, 200))
        interval = auc_interval(outcome, first, random_state=seed)
        difference = auc_difference(outcome, first, second, random_state=seed)
        covered.append(interval.lower <= truth <= interval.upper)
        equal.append(difference.lower <= 0 <= difference.upper)
    assert 0.92 <= np.mean(covered) <= 0.98
    assert 0.92 <= np.mean(equal) <= 0.98


@pytest.mark.slow
@pytest.mark.parametrize("repeats", [1, 3])
def test_intervals_of_cross_validation_cover_the_truth(repeats):
    """Ridge models of ten features of noise, refitted in each of five folds: the truth is 0.5."""
    n, n_folds = 150, 5
    outcome = np.resize([1] + [0] * 5, n)
    rng = np.random.default_rng(2)
    covered = []
    for seed in range(300):
        features = rng.normal(size=(n, 10))
        fold = np.argsort(rng.random((repeats, n)), axis=1) % n_folds
        score = np.empty((repeats, n))
        for repeat in range(repeats):
            for k in range(n_folds):
                held_out = fold[repeat] == k
                train, y = features[~held_out], outcome[~held_out] - outcome[~held_out].mean()
                slopes = np.linalg.solve(train.T @ train + 10 * np.eye(10), train.T @ y)
                score[repeat, held_out] = features[held_out] @ slopes
        interval = auc_interval(outcome, score, strata=fold, n_bootstrap=300, random_state=seed)
        covered.append(interval.lower <= 0.5 <= interval.upper)
    assert 0.92 <= np.mean(covered) <= 0.98
