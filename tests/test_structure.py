"""Over many seeds, subtypes are found where they are and nowhere else, and mean relapse only where they do."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.stats import kstest

from benchmarks._structure import null_trial, planted, trial
from benchmarks.structure import KINDS, SEARCH
from omics.blocks import alone, each
from omics.outcome import gray_test
from omics.subtypes import Subtypes
from pipelines import cluster
from tests.omics.test_subtypes import QUICK, factors

pytestmark = pytest.mark.slow


def _clusters(seed: int, n: int = 200) -> tuple[Subtypes, np.ndarray]:
    """What is found in scores with three clear clusters."""
    rng = np.random.default_rng([seed, 5])
    label = rng.choice(3, n, p=[0.5, 0.3, 0.2])
    centre = 5 * np.eye(3, 6)
    score = centre[label] + rng.normal(size=(n, 6))
    search = {**QUICK, "n_null": 59, "n_resamples": 30, "random_state": seed}
    return Subtypes(**search).fit(factors(score / score.std(axis=0))), label


def _outcome(seed: int, log_hazard: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Relapse, competing death and censoring."""
    rng = np.random.default_rng([seed, 6])
    relapse = rng.exponential(1 / (0.08 * np.exp(log_hazard)))
    death, censored = rng.exponential(40, len(log_hazard)), rng.uniform(3, 9, len(log_hazard))
    time = np.minimum(np.minimum(relapse, death), censored)
    return time, np.where(time == relapse, 1, np.where(time == death, 2, 0))


def relapse_trial(seed: int, effect: float) -> dict[str, float]:
    """Gray's test of the clusters found, however many, and of the true ones."""
    with alone():
        found, label = _clusters(seed)
    time, event = _outcome(seed, effect * (label == 2))
    p = gray_test(time, event, found.labels_.to_numpy()).p_value if found.n_subtypes_ > 1 else np.nan
    return {"k": found.n_subtypes_, "found": p, "true": gray_test(time, event, label).p_value}


def test_p_values_of_relapse_are_uniform_without_a_difference_also_after_choosing_the_number():
    with cluster.on("local"):
        table = pd.DataFrame(each(relapse_trial, range(100), 0.0))
    assert (table["k"] > 1).mean() > 0.95
    assert kstest(table["found"].dropna(), "uniform").pvalue > 0.01
    assert (table["found"] <= 0.05).mean() == pytest.approx(0.05, abs=0.05)


def test_a_planted_difference_is_found_as_often_as_with_the_true_subtypes():
    with cluster.on("local"):
        table = pd.DataFrame(each(relapse_trial, range(80), 0.9))
    nominal = (table["true"] <= 0.05).mean()
    assert 0.6 < nominal < 0.98, "the effect must leave something to lose"
    assert (table["found"] <= 0.05).mean() >= nominal - 0.05


def test_the_right_number_in_nine_of_ten_cohorts_and_who_is_who():
    tasks = [(seed, 2 + seed % 7, 10.0) for seed in range(50)]
    with cluster.on("local"):
        table = pd.DataFrame(each(trial, tasks, SEARCH))
    assert (table["found"] == table["k"]).mean() >= 0.9
    assert table["ours"].mean() >= 0.9


def test_no_structure_in_nineteen_of_twenty_cohorts_without():
    with cluster.on("local"):
        table = pd.DataFrame(each(null_trial, [(seed, KINDS[seed % 4]) for seed in range(100)], SEARCH))
    assert table["claimed"].mean() <= 0.05
    assert table["resampling"].mean() > 0.1, "stability under resampling alone claims structure"


def test_planted_shares_are_as_asked():
    for n_subtypes in range(2, 9):
        share = planted(1, n_subtypes, 8.0).label.value_counts(normalize=True)
        assert len(share) == n_subtypes
        assert share.min() > 0.02
