"""Curves and tests between groups: identities, degenerate input, and whole tables. Golden values are elsewhere."""

from itertools import combinations

import numpy as np
import pandas as pd
import pytest
from scipy.stats import kstest

from omics.outcome import compare, cumulative_incidence, gray_test, kaplan_meier, logrank_test, over_solutions
from omics.outcome.comparison import group_test
from omics.schema import NODES, DataError

TESTS = [gray_test, logrank_test]


def _patients(n: int = 120, seed: int = 0, effect: float = 0.0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Tied times, three kinds of event, censoring; the second of two groups relapses more by `effect`."""
    rng = np.random.default_rng(seed)
    group = np.array(["A", "B"])[rng.integers(0, 2, n)]
    rates = np.where((group == "B")[:, None], [0.15 + effect, 0.08, 0.04], [0.15, 0.08, 0.04])
    latent = np.column_stack([rng.uniform(1, 9, n), rng.exponential(1 / rates)])
    return np.ceil(latent.min(axis=1) * 4) / 4, latent.argmin(axis=1), group


def _clinical(n: int = 120, seed: int = 0) -> pd.DataFrame:
    time, event, group = _patients(n, seed, effect=0.4)
    clinical = pd.DataFrame({"event": event.astype(float), "event_time": time, "group": group})
    clinical["death"], clinical["death_time"] = (event == 2).astype(float), time
    clinical["refractory"] = (np.arange(n) < 3).astype(float)
    return clinical.set_index(pd.Index([f"P{i}" for i in range(n)], name="sample"))


def test_incidences_of_all_causes_and_survival_add_up_to_one():
    time, event, _ = _patients()
    curves = [cumulative_incidence(time, event, cause=cause) for cause in (1, 2, 3)]
    total = sum(curve["estimate"] for curve in curves) + kaplan_meier(time, event)["estimate"]
    np.testing.assert_allclose(total, 1.0, rtol=1e-12)


def test_one_minus_survival_overstates_relapse_where_deaths_compete():
    time, event, _ = _patients()
    naive = 1 - kaplan_meier(time, event == 1)["estimate"].iloc[-1]
    assert naive > cumulative_incidence(time, event)["estimate"].iloc[-1] + 0.05


def test_without_competing_events_incidence_is_one_minus_survival():
    time, event, _ = _patients()
    incidence, survival = cumulative_incidence(time, event == 1), kaplan_meier(time, event == 1)
    np.testing.assert_allclose(incidence["estimate"], 1 - survival["estimate"], rtol=1e-12)
    assert incidence["events"].equals(survival["events"])


def test_curve_starts_at_time_zero_and_counts_everybody():
    curve = cumulative_incidence([2.0, 1.0, 2.0, 3.0], [1, 2, 0, 1])
    assert curve.columns.tolist() == ["time", "estimate", "lower", "upper", "at_risk", "events"]
    assert curve["time"].tolist() == [0, 1, 2, 3]
    assert curve["at_risk"].tolist() == [4, 4, 3, 1]
    assert curve["events"].tolist() == [0, 0, 1, 1]
    np.testing.assert_allclose(curve["estimate"], [0, 0, 0.25, 0.75])


def test_interval_holds_the_estimate_and_is_unknown_before_the_first_event():
    time, event, _ = _patients()
    for curve in (cumulative_incidence(time, event), kaplan_meier(time, event)):
        inside = curve["estimate"].between(0, 1, inclusive="neither")
        part = curve[inside]
        assert ((part["lower"] > 0) & (part["lower"] < part["estimate"])).all()
        assert ((part["upper"] < 1) & (part["upper"] > part["estimate"])).all()
        assert curve.loc[~inside, ["lower", "upper"]].isna().all(axis=None)


def test_wider_confidence_is_wider():
    time, event, _ = _patients()
    narrow, wide = (cumulative_incidence(time, event, confidence=c).iloc[-1] for c in (0.8, 0.99))
    assert wide["lower"] < narrow["lower"] < narrow["upper"] < wide["upper"]


@pytest.mark.slow
def test_intervals_of_incidence_cover_the_truth():
    rng = np.random.default_rng(1)
    truth = 0.15 / 0.23 * (1 - np.exp(-0.23 * 3.0))  # exponential relapse 0.15 a year, competing 0.08
    hits = []
    for _ in range(600):
        latent = np.column_stack([rng.uniform(1, 9, 150), rng.exponential(1 / np.array([0.15, 0.08]), (150, 2))])
        curve = cumulative_incidence(latent.min(axis=1), latent.argmin(axis=1))
        last = curve[curve["time"] <= 3.0].iloc[-1]
        hits.append(last["lower"] <= truth <= last["upper"])
    assert 0.925 <= np.mean(hits) <= 0.975


@pytest.mark.parametrize("test", TESTS)
def test_statistic_does_not_depend_on_order_or_names(test):
    time, event, group = _patients(effect=0.2)
    order = np.random.default_rng(1).permutation(len(time))
    first = test(time, event, group)
    second = test(time[order], event[order], np.where(group == "A", 9, 4)[order])
    assert second.statistic == pytest.approx(first.statistic, rel=1e-10)
    assert second[1:] == pytest.approx(first[1:])


@pytest.mark.parametrize("test", TESTS)
def test_group_gone_before_the_first_event_says_nothing(test):
    time, event, group = _patients(effect=0.2)
    more = [np.append(time + 1, [0.5, 0.5]), np.append(event, [0, 0]), np.append(group, ["Z", "Z"])]
    alone, with_others = test(time + 1, event, group), test(*more)
    assert with_others[:3] == pytest.approx(alone[:3])
    assert with_others.n == alone.n + 2


@pytest.mark.parametrize("test", TESTS)
def test_no_events_no_verdict(test):
    result = test([1.0, 2.0, 3.0], [0, 0, 0], ["A", "B", "B"])
    assert np.isnan(result.statistic)
    assert np.isnan(result.p_value)
    assert (result.n, result.events) == (3, 0)


@pytest.mark.parametrize("test", TESTS)
def test_group_without_events_is_compared(test):
    time, event, group = _patients()
    result = test(time, np.where(group == "A", 0, event), group)
    assert result.p_value < 0.001


@pytest.mark.parametrize("test", TESTS)
@pytest.mark.parametrize("group", [["A", "A"], ["A", None]])
def test_fewer_than_two_groups_is_an_error(test, group):
    with pytest.raises(DataError, match="at least two groups"):
        test([1.0, 2.0], [1, 1], np.array(group, dtype=object))


@pytest.mark.parametrize("time", [[], [1.0], [1.0, np.nan], [1.0, -1.0]])
def test_bad_times_are_refused(time):
    with pytest.raises(DataError, match="time"):
        kaplan_meier(time, [1, 0] if time else [])


@pytest.mark.slow
@pytest.mark.parametrize("test", TESTS)
def test_p_values_are_uniform_without_effect(test):
    p_values = [test(*_patients(150, seed)).p_value for seed in range(400)]
    assert kstest(p_values, "uniform").pvalue > 0.01


# --- few events in a group: by permutation --------------------------------------------------------------------------


def _outcome(time, event, entry=0.0) -> pd.DataFrame:
    return pd.DataFrame({"time": np.asarray(time, float), "event": event, "entry": entry})


def _of_sizes(seed: int, *sizes: int) -> tuple[pd.DataFrame, pd.Series]:
    """Groups of these sizes that do not differ."""
    time, event, _ = _patients(sum(sizes), seed)
    return _outcome(time, np.minimum(event, 2)), pd.Series(np.repeat([f"g{i}" for i in range(len(sizes))], sizes))


@pytest.mark.parametrize("competing", [True, False])
def test_the_p_value_of_a_small_group_is_that_of_all_ways_to_deal_it_out(competing):
    time, event = [1, 2, 2, 3, 4, 5, 6, 6, 7, 8], [1, 1, 1, 2, 1, 1, 0, 2, 1, 0]
    outcome, group = _outcome(time, event), pd.Series(list("aaabbbabbb"))

    def limit(members: tuple[int, ...]) -> float:
        of = np.isin(np.arange(10), members)
        return (gray_test(time, event, of) if competing else logrank_test(time, event, of)).p_value

    every = np.array([limit(members) for members in combinations(range(10), 4)])
    exact = (every <= limit((0, 1, 2, 6)) * (1 + 1e-9)).mean()
    name, found = group_test(outcome, group, competing=competing)
    assert name.endswith("_permuted")
    assert 0.01 < exact < 0.5
    assert found.p_value == pytest.approx(exact, abs=exact / 2)  # 20 that reach it are enough
    assert found.statistic == (gray_test if competing else logrank_test)(time, event, group).statistic


def _followed_longer(seed: int) -> tuple[pd.DataFrame, pd.Series]:
    """Eight of 108 patients are followed for years, the others hardly; their hazards are the same."""
    rng = np.random.default_rng([seed, 8])
    group = pd.Series(np.repeat(["a", "b"], [100, 8]))
    censored = np.where(group == "a", rng.exponential(0.5, 108), rng.uniform(8, 10, 108))
    event = rng.exponential(1 / 0.05, 108)
    return _outcome(np.minimum(event, censored), (event <= censored).astype(int)), group


def test_small_groups_are_rarely_significant_by_permutation_and_often_by_the_limit():
    trials = [_of_sizes(seed, 60, 5, 5) for seed in range(120)]
    few = np.array([group_test(*one, competing=False)[1].p_value for one in trials])
    limit = np.array([logrank_test(one["time"], one["event"], of).p_value for one, of in trials])
    assert kstest(few, "uniform").pvalue > 0.01
    assert (few <= 0.02).sum() <= 7  # 2.4 expected; 1 in 100 times more than 6
    assert (limit <= 0.02).sum() > (few <= 0.02).sum()


def test_a_group_that_was_followed_longer_is_not_different_for_that():
    p_value = np.array([group_test(*_followed_longer(seed), competing=False)[1].p_value for seed in range(80)])
    assert (p_value <= 0.05).sum() <= 9  # 4 expected; 1 in 100 times more than 9


@pytest.mark.slow
def test_gray_test_of_small_groups_is_calibrated_too():
    for trial in (_followed_longer, lambda seed: _of_sizes(seed, 60, 5, 5)):
        p_value = np.array([group_test(*trial(seed), competing=True)[1].p_value for seed in range(80)])
        assert (p_value <= 0.05).sum() <= 9


@pytest.mark.parametrize(
    ("sizes", "competing", "name"),
    [((40, 40), True, "gray"), ((80, 6), True, "gray_permuted"), ((80, 6), False, "logrank_permuted")],
)
def test_a_group_that_expects_few_events_is_permuted(sizes, competing, name):
    outcome, group = _of_sizes(1, *sizes)
    assert group_test(outcome, group, competing=competing)[0] == name


def test_a_large_group_that_was_hardly_followed_expects_few_events():
    outcome, group = _of_sizes(4, 60, 60)
    assert group_test(outcome, group, competing=False)[0] == "logrank"
    short = (group == "g1").to_numpy() & (outcome["time"] > 0.4).to_numpy()
    outcome.loc[short, ["time", "event"]] = [0.4, 0]
    assert group_test(outcome, group, competing=False)[0] == "logrank_permuted"


def test_a_group_that_was_never_at_risk_changes_nothing():
    outcome, group = _of_sizes(5, 60, 60)
    outcome["time"] += 1
    gone = pd.concat([outcome, _outcome([0.5] * 3, [0] * 3)], ignore_index=True)
    of = pd.concat([group, pd.Series(["g2"] * 3)], ignore_index=True)
    for competing in (True, False):
        name, found = group_test(gone, of, competing=competing)
        expected = group_test(outcome, group, competing=competing)
        assert (name, found.df, found.p_value) == (expected[0], expected[1].df, pytest.approx(expected[1].p_value))
    alone = of.where(of != "g1", "g0")  # of the two that are left, one is never at risk
    assert np.isnan(group_test(gone, alone, competing=False)[1].p_value)


def test_the_order_of_patients_changes_no_p_value():
    outcome, group = _of_sizes(2, 60, 5, 5)
    turned = np.random.default_rng(0).permutation(len(group))
    again = group_test(outcome.iloc[turned], group.iloc[turned], competing=True)[1].p_value
    first, other = (group_test(outcome, group, competing=True, random_state=s)[1].p_value for s in (0, 1))
    assert again == first
    assert 0 < abs(other - first) < 0.2


def test_late_entry_counts_in_a_permutation_and_stops_grays_test():
    outcome, group = _of_sizes(3, 60, 6)
    late = outcome.assign(entry=np.where(np.arange(66) % 2, outcome["time"] / 2, 0.0))
    name, found = group_test(late, group, competing=False)
    assert name == "logrank_permuted"
    assert found.statistic == logrank_test(late["time"], late["event"], group, entry=late["entry"]).statistic
    name, found = group_test(late, group, competing=True)
    assert name == "gray"
    assert np.isnan(found.p_value)


def test_compare_gives_every_endpoint_as_declared():
    clinical = _clinical()
    groups = clinical["group"].drop("P7")
    curves, tests = compare(clinical.drop(columns="group"), groups)
    assert curves.columns.tolist() == [variable.name for variable in NODES["curves"]]
    assert tests.columns.tolist() == [variable.name for variable in NODES["tests"]]
    assert tests[["endpoint", "test"]].to_numpy().tolist() == [
        ["relapse", "gray"],
        ["event_free", "logrank"],
        ["overall", "logrank"],
        ["after_relapse", "logrank"],
    ]
    relapses = int((clinical["event"].drop("P7") == 1).sum())
    assert tests["n"].tolist() == [116, 119, 119, relapses]  # 3 refractory patients cannot relapse, 1 has no group
    assert tests["p_value"].iloc[0] < 0.01
    counted = curves.groupby("endpoint")["events"].sum()
    assert counted.to_dict() == tests.set_index("endpoint")["events"].to_dict()
    assert set(curves["group"]) == {"A", "B"}


def test_compare_takes_the_same_patients_as_by_hand():
    clinical = _clinical().drop(columns="refractory")
    curves, tests = compare(clinical, clinical["group"])
    by_hand = gray_test(clinical["event_time"], clinical["event"], clinical["group"])
    assert tests["statistic"].iloc[0] == by_hand.statistic
    part = clinical[clinical["group"] == "B"]
    expected = cumulative_incidence(part["event_time"], part["event"])
    rows = curves[(curves["group"] == "B") & (curves["endpoint"] == "relapse")].reset_index(drop=True)
    pd.testing.assert_frame_equal(rows[expected.columns], expected)


def test_compare_with_one_group_draws_but_does_not_test():
    clinical = _clinical()
    curves, tests = compare(clinical, pd.Series("S1", index=clinical.index))
    assert set(curves["endpoint"]) == {"relapse", "event_free", "overall", "after_relapse"}
    assert tests.empty


def test_compare_without_outcome_is_empty_but_declared():
    clinical = _clinical()
    curves, tests = compare(clinical[["refractory"]], clinical["group"])
    assert curves.empty
    assert tests.empty
    assert curves.columns.tolist() == [variable.name for variable in NODES["curves"]]
    assert curves.dtypes["at_risk"] == "int64"


def test_samples_of_relapse_are_not_compared_by_induction():
    clinical = _clinical()
    assert "refractory" in set(over_solutions(clinical, {"a": clinical["group"]})["endpoint"])
    clinical.attrs["timepoint"] = "relapse"
    assert set(over_solutions(clinical, {"a": clinical["group"]})["endpoint"]) == {"after_relapse"}
