"""Endpoints: each kind of patient by hand, and weights against the Aalen-Johansen estimate."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from omics.outcome import as_class, cumulative_incidence, endpoint, kaplan_meier, relapse_timing, supported, within
from omics.outcome.endpoints import event_free, first_event, overall
from omics.schema import DataError, UsageError

nan = np.nan


@pytest.fixture
def clinical() -> pd.DataFrame:
    rows = {
        "relapsed": (1, 2.0, 0, 1, 6.0),
        "died": (2, 1.0, 0, 1, 1.0),
        "second": (3, 4.0, 0, 0, 8.0),
        "healthy": (0, 7.0, 0, 0, 7.0),
        "left": (0, 1.5, nan, 0, 1.5),
        "refractory": (nan, nan, 1, 1, 0.5),
        "unknown": (nan, nan, 0, nan, nan),
    }
    columns = ["event", "event_time", "refractory", "death", "death_time"]
    return pd.DataFrame.from_dict(rows, orient="index", columns=columns).rename_axis("sample")


def _rows(table: pd.DataFrame) -> dict[str, tuple[float, int]]:
    return {str(name): (row["time"], int(row["event"])) for name, row in table.iterrows()}


def test_first_event_leaves_out_who_cannot_relapse(clinical):
    table = first_event(clinical)
    assert _rows(table) == {
        "relapsed": (2.0, 1),
        "died": (1.0, 2),
        "second": (4.0, 3),
        "healthy": (7.0, 0),
        "left": (1.5, 0),
    }
    assert table.attrs == {"refractory": 1, "unknown": 1}


def test_refractory_patient_stays_out_of_relapse_even_with_an_event(clinical):
    clinical.loc["refractory", ["event", "event_time"]] = [1, 0.3]
    assert "refractory" not in first_event(clinical).index
    assert as_class(clinical, "relapse", 5.0).loc["refractory", "weight"] == 0
    assert _rows(event_free(clinical))["refractory"] == (0.0, 1)


def test_event_free_counts_induction_failure_at_time_zero(clinical):
    table = event_free(clinical)
    assert _rows(table) == {
        "relapsed": (2.0, 1),
        "died": (1.0, 1),
        "second": (4.0, 1),
        "healthy": (7.0, 0),
        "left": (1.5, 0),
        "refractory": (0.0, 1),
    }
    assert table.attrs == {"unknown": 1}


def test_overall(clinical):
    table = overall(clinical)
    assert table["event"].sum() == 3
    assert table.loc["refractory", "time"] == 0.5
    assert table.attrs == {"unknown": 1}


def test_relapse_within_horizon(clinical):
    table = as_class(clinical, "relapse", 5.0)
    assert table.index.equals(clinical.index)
    known = table[table["weight"] > 0]["outcome"].to_dict()
    assert known == {"relapsed": 1, "died": 0, "second": 0, "healthy": 0}
    # only "left" is censored before 5 years, when 4 were still followed: those later stand for 4/3 patients
    weights = table["weight"].to_dict()
    assert weights["died"] == 1
    assert [weights[name] for name in ("relapsed", "second", "healthy")] == pytest.approx([4 / 3] * 3)
    assert table.attrs == {
        "definition": "relapse within 5 years of diagnosis",
        "refractory": 1,
        "unknown": 1,
        "late_entry": 0,
    }


def test_relapse_after_the_horizon_is_no_relapse(clinical):
    table = as_class(clinical, "relapse", 1.5)
    assert table.loc["relapsed"].to_list() == [0, 1.0]
    assert table.loc["left"].to_list() == [0, 1.0]  # censored at the horizon itself: followed up to it


outcomes = st.lists(
    st.tuples(st.integers(0, 12), st.sampled_from([0, 0, 1, 1, 2, 3])), min_size=2, max_size=40
)  # few distinct times: many ties


@given(outcomes, st.integers(1, 12))
@example([(0, 1), *[(1, 0)] * 6, (1, 1), (2, 1)], 1)  # at last all have relapsed: 1 but for rounding
def test_weighted_share_of_relapses_is_the_cumulative_incidence(rows, horizon):
    time, event = np.array(rows, dtype=float).T
    clinical = pd.DataFrame({"event": event, "event_time": time})
    if time.max() < horizon and (event == 0).any():
        with pytest.raises(DataError, match="nobody was followed up"):
            as_class(clinical, "relapse", horizon)
        return
    table = as_class(clinical, "relapse", horizon)
    curve = cumulative_incidence(time, event)
    expected = curve.loc[curve["time"] <= horizon, "estimate"].iloc[-1]
    assert (table["weight"] * table["outcome"]).sum() / len(rows) == pytest.approx(expected, abs=1e-12)
    assert table["weight"].sum() == pytest.approx(len(rows))
    unknown = (time < horizon) & (event == 0)
    assert (table["weight"].to_numpy() == 0).tolist() == unknown.tolist()


def test_without_times_relapse_is_taken_as_recorded():
    clinical = pd.DataFrame(
        {"relapse": [1.0, 0.0, nan, 1.0], "refractory": [0.0, nan, 0.0, 1.0], "event": nan, "event_time": nan},
        index=["a", "b", "c", "d"],
    )
    table = as_class(clinical, "relapse", 5.0)
    assert table["weight"].tolist() == [1, 1, 0, 0]
    assert table["outcome"].tolist() == [1, 0, 0, 0]
    assert "as recorded" in table.attrs["definition"]
    assert (table.attrs["refractory"], table.attrs["unknown"]) == (1, 1)


def test_horizon_beyond_follow_up_is_refused(clinical):
    with pytest.raises(DataError, match="nobody was followed up to the horizon of 50 years; the longest time is 7"):
        as_class(clinical, "relapse", 50.0)


@pytest.mark.parametrize("horizon", [0, -1.0, nan])
def test_horizon_must_be_positive(clinical, horizon):
    with pytest.raises(UsageError, match="horizon is"):
        as_class(clinical, "relapse", horizon)


@pytest.mark.parametrize(
    ("derive", "column"), [(first_event, "event_time"), (event_free, "event"), (overall, "death_time")]
)
def test_missing_column_is_named(clinical, derive, column):
    with pytest.raises(DataError, match=f"needs the column '{column}'"):
        derive(clinical.drop(columns=column))


@pytest.mark.parametrize(
    ("derive", "column", "value", "message"),
    [
        (first_event, "event", 4, "'event' of died is 4"),
        (event_free, "event_time", -0.1, "'event_time' of died is -0.1"),
        (overall, "death", 2, "'death' of died is 2"),
    ],
)
def test_impossible_value_names_the_patient(clinical, derive, column, value, message):
    clinical.loc["died", column] = value
    with pytest.raises(DataError, match=message):
        derive(clinical)


def test_supported_endpoints(clinical):
    assert supported(clinical) == ["relapse", "event_free", "overall", "after_relapse"]
    assert supported(clinical.drop(columns="death")) == ["relapse", "event_free"]
    assert supported(clinical.assign(event_time=nan)) == ["overall"]
    assert supported(clinical[[]]) == []
    clinical.attrs["timepoint"] = "relapse"
    assert supported(clinical) == ["after_relapse"]


@pytest.fixture
def relapsed() -> pd.DataFrame:
    """Patients after relapse, with the dates of all that came later."""
    rows = {
        # event, time, death, time, remission, second remission, second event, time
        "cured": (1, 2.0, 0, 9.0, 0.1, 2.25, 0, 9.0),
        "again": (1, 1.0, 1, 3.0, 0.1, 1.5, 1, 2.5),
        "never": (1, 4.0, 1, 4.5, 0.1, nan, 2, 4.5),
        "first": (0, 6.0, 0, 6.0, 0.2, nan, nan, nan),
        "second": (3, 5.0, 1, 8.0, 0.1, nan, nan, nan),
        "failed": (nan, nan, 1, 0.5, nan, nan, nan, nan),
    }
    columns = ["event", "event_time", "death", "death_time", "remission_time", "second_remission_time", "second_event",
               "second_event_time"]  # fmt: skip
    return pd.DataFrame.from_dict(rows, orient="index", columns=columns).rename_axis("sample")


def test_after_relapse_time_counts_from_relapse(relapsed):
    table = endpoint(relapsed, "after_relapse")
    assert _rows(table) == {"cured": (7.0, 0), "again": (2.0, 1), "never": (0.5, 1)}
    assert table.attrs == {"no_relapse": 3, "unknown": 0}
    assert _rows(endpoint(relapsed, "second_event")) == {"cured": (7.0, 0), "again": (1.5, 1), "never": (0.5, 1)}
    assert _rows(endpoint(relapsed, "second_remission")) == {"cured": (0.25, 1), "again": (0.5, 1), "never": (0.5, 2)}


def test_relapse_free_survival_begins_with_remission_and_a_second_malignancy_is_no_event(relapsed):
    table = endpoint(relapsed, "relapse_free")
    assert _rows(table)["again"] == (0.9, 1)
    assert _rows(table)["second"] == (7.9, 1)  # followed to death
    assert table.attrs["no_remission"] == 1


def test_relapse_timing(relapsed):
    assert relapse_timing(relapsed).dropna().to_dict() == {"cured": "early", "again": "very early", "never": "late"}
    with pytest.raises(UsageError, match="ascending"):
        relapse_timing(relapsed, very_early=3.0, early=2.0)


def test_a_landmark_leaves_out_who_did_not_reach_it_and_time_counts_from_it(relapsed):
    table = endpoint(relapsed, "event_free", landmark=2.0)
    assert _rows(table) == {"never": (2.0, 1), "first": (4.0, 0), "second": (3.0, 1)}  # "cured" relapsed at 2.0
    assert table.attrs["before_landmark"] == 2
    known = as_class(relapsed, "event_free", 3.0, landmark=2.0)
    assert known.index.equals(relapsed.index)
    assert known.loc[known["weight"] > 0, "outcome"].to_dict() == {"never": 1, "first": 0, "second": 1}


def test_late_entry_counts_from_time_zero_and_has_no_weight(relapsed):
    table = endpoint(relapsed.assign(entry_time=[0, 0, 2.0, 1.0, 0, 0]), "event_free", landmark=1.5)
    assert table["entry"].to_dict() == {"cured": 0, "never": 0.5, "first": 0, "second": 0}
    assert within(table, 3.0)["weight"].to_dict()["never"] == 0
    assert within(table, 3.0).attrs["late_entry"] == 1
    with pytest.raises(DataError, match="follow-up of again ends at 1 years, before it begins"):
        endpoint(relapsed.assign(entry_time=[0, 1.0, 0, 0, 0, 0]), "event_free")


def test_refractory_is_a_class_of_its_own(clinical):
    known = as_class(clinical, "refractory", 5.0)
    assert known["outcome"].sum() == 1
    assert known.loc["left", "weight"] == 0
    with pytest.raises(UsageError, match="no landmark"):
        as_class(clinical, "refractory", 5.0, landmark=1.0)
    with pytest.raises(UsageError, match="has no times"):
        endpoint(clinical, "refractory")
    with pytest.raises(UsageError, match="choose from relapse"):
        endpoint(clinical, "progression")


def test_an_event_before_its_time_zero_names_the_patient(relapsed):
    relapsed.loc["again", "death_time"] = 0.5
    with pytest.raises(DataError, match=r"last follow-up of again comes 0\.5 years before 'event_time'"):
        endpoint(relapsed, "after_relapse")


@given(outcomes, st.integers(0, 8))
def test_late_entry_agrees_with_counting_by_hand(rows, latest):
    time, event = np.array(rows, dtype=float).T
    time += 1.0
    entry = np.arange(len(time)) % (latest + 1) / (latest + 1) * time
    curve = kaplan_meier(time, event, entry=entry).set_index("time")
    alive = 1.0
    for t in np.unique(time):
        at_risk = int(np.sum((entry < t) & (t <= time)))
        alive *= 1 - np.sum((time == t) & (event > 0)) / at_risk
        assert curve.loc[t, "at_risk"] == at_risk
        assert curve.loc[t, "estimate"] == pytest.approx(alive, abs=1e-12)
