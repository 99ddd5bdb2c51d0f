"""Endpoints: each kind of patient by hand, and weights against the Aalen-Johansen estimate."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from omics.outcome import cumulative_incidence, event_free, first_event, overall, relapse_within, supported
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
    assert relapse_within(clinical, 5.0).loc["refractory", "weight"] == 0
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
    table = relapse_within(clinical, 5.0)
    assert table.index.equals(clinical.index)
    known = table[table["weight"] > 0]["outcome"].to_dict()
    assert known == {"relapsed": 1, "died": 0, "second": 0, "healthy": 0}
    # only "left" is censored before 5 years, when 4 were still followed: those later stand for 4/3 patients
    weights = table["weight"].to_dict()
    assert weights["died"] == 1
    assert [weights[name] for name in ("relapsed", "second", "healthy")] == pytest.approx([4 / 3] * 3)
    assert table.attrs == {"definition": "relapse within 5 years of diagnosis", "refractory": 1, "unknown": 1}


def test_relapse_after_the_horizon_is_no_relapse(clinical):
    table = relapse_within(clinical, 1.5)
    assert table.loc["relapsed"].to_list() == [0, 1.0]
    assert table.loc["left"].to_list() == [0, 1.0]  # censored at the horizon itself: followed up to it


outcomes = st.lists(
    st.tuples(st.integers(0, 12), st.sampled_from([0, 0, 1, 1, 2, 3])), min_size=2, max_size=40
)  # few distinct times: many ties


@given(outcomes, st.integers(1, 12))
def test_weighted_share_of_relapses_is_the_cumulative_incidence(rows, horizon):
    time, event = np.array(rows, dtype=float).T
    clinical = pd.DataFrame({"event": event, "event_time": time})
    if time.max() < horizon and (event == 0).any():
        with pytest.raises(DataError, match="nobody was followed up"):
            relapse_within(clinical, horizon)
        return
    table = relapse_within(clinical, horizon)
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
    table = relapse_within(clinical, 5.0)
    assert table["weight"].tolist() == [1, 1, 0, 0]
    assert table["outcome"].tolist() == [1, 0, 0, 0]
    assert "as recorded" in table.attrs["definition"]
    assert (table.attrs["refractory"], table.attrs["unknown"]) == (1, 1)


def test_horizon_beyond_follow_up_is_refused(clinical):
    with pytest.raises(DataError, match="nobody was followed up to the horizon of 50 years; the longest time is 7"):
        relapse_within(clinical, 50.0)


@pytest.mark.parametrize("horizon", [0, -1.0, nan])
def test_horizon_must_be_positive(clinical, horizon):
    with pytest.raises(UsageError, match="horizon is"):
        relapse_within(clinical, horizon)


@pytest.mark.parametrize(
    ("endpoint", "column"), [(first_event, "event_time"), (event_free, "event"), (overall, "death_time")]
)
def test_missing_column_is_named(clinical, endpoint, column):
    with pytest.raises(DataError, match=f"needs the column '{column}'"):
        endpoint(clinical.drop(columns=column))


@pytest.mark.parametrize(
    ("endpoint", "column", "value", "message"),
    [
        (first_event, "event", 4, "'event' of died is 4"),
        (event_free, "event_time", -0.1, "'event_time' of died is -0.1"),
        (overall, "death", 2, "'death' of died is 2"),
    ],
)
def test_impossible_value_names_the_patient(clinical, endpoint, column, value, message):
    clinical.loc["died", column] = value
    with pytest.raises(DataError, match=message):
        endpoint(clinical)


def test_supported_endpoints(clinical):
    assert supported(clinical) == ["relapse", "event_free", "overall"]
    assert supported(clinical.drop(columns="death")) == ["relapse", "event_free"]
    assert supported(clinical.assign(event_time=nan)) == ["overall"]
    assert supported(clinical[[]]) == []
