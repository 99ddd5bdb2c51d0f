"""What may predict an endpoint, and what is refused by name."""

import numpy as np
import pandas as pd
import pytest

from omics.outcome import predictors, refuse_relapse_samples, with_timing
from omics.schema import DataError, UsageError


@pytest.fixture
def clinical() -> pd.DataFrame:
    rng = np.random.default_rng(3)
    n = 60
    event = rng.integers(0, 3, n).astype(float)
    time = rng.uniform(0.3, 8, n)
    death = (event == 2) | (rng.random(n) < 0.2)
    return pd.DataFrame(
        {
            "age": rng.uniform(1, 17, n),
            "sex": rng.choice(["F", "M"], n),
            "mrd": rng.random(n),
            "event": event,
            "event_time": time,
            "death": death.astype(float),
            "death_time": time + 1,
            "noise": rng.normal(size=n),
        },
        index=[f"P{i}" for i in range(n)],
    )


def test_standard_predictors_wait_for_the_landmark(clinical):
    at_diagnosis = predictors(clinical, None, endpoint="relapse")
    assert at_diagnosis.columns == ["age", "sex"]
    assert "0.09 years after diagnosis" in at_diagnosis.left_out["mrd"]
    assert predictors(clinical, None, endpoint="relapse", landmark=0.1).columns == ["age", "sex", "mrd"]
    early = predictors(clinical, None, endpoint="relapse", known_at={"mrd": 0.0})  # day 8 blood, say, called mrd
    assert early.columns == ["age", "sex", "mrd"]


def test_a_date_beside_a_column_decides(clinical):
    dated = clinical.assign(biopsy=1.0, biopsy_time=0.0)
    assert predictors(dated, ["biopsy"], endpoint="relapse").columns == ["biopsy"]
    dated.loc["P7", "biopsy_time"] = 0.5
    with pytest.raises(UsageError, match=r"'biopsy' is dated after the prediction is made: P7 has 0\.5 years in"):
        predictors(dated, ["biopsy"], endpoint="relapse")
    assert predictors(dated, ["biopsy"], endpoint="relapse", landmark=0.5).columns == ["biopsy"]


@pytest.mark.parametrize("column", ["event", "event_time", "death", "death_time"])
def test_the_outcome_is_no_predictor(clinical, column):
    with pytest.raises(UsageError, match=f"'{column}' is part of the outcome"):
        predictors(clinical, ["age", column], endpoint="relapse", landmark=0.1)


@pytest.mark.parametrize(
    ("made", "message"),
    [
        (lambda t: t["event"] == 1, "copies 'event'"),
        (lambda t: np.where(t["death"] == 1, "deceased", "living"), "copies 'death'"),
        (lambda t: t["event_time"] * 365.25 + 3, "copies 'event_time'"),
        (lambda t: t["event_time"].where(t["event"] == 1), "is there only for patients with 'event'"),
    ],
)
def test_hidden_copies_are_refused_by_name(clinical, made, message):
    column = pd.Series(np.asarray(made(clinical)), index=clinical.index)
    with pytest.raises(UsageError, match=f"'status_2' {message}"):
        predictors(clinical.assign(status_2=column), ["noise", "status_2"], endpoint="relapse")
    assert predictors(clinical, ["noise"], endpoint="relapse").columns == ["noise"]


def test_all_that_is_refused_is_named_at_once(clinical):
    with pytest.raises(UsageError, match=r"2 predictors cannot be used: 'death' .*; 'mrd' "):
        predictors(clinical, ["age", "death", "mrd"], endpoint="relapse")
    with pytest.raises(UsageError, match="no clinical column karyotype"):
        predictors(clinical, ["karyotype"], endpoint="relapse")


def test_after_relapse_its_timing_may_be_used(clinical):
    table = with_timing(clinical)
    assert predictors(table, None, endpoint="after_relapse").columns == ["age", "sex", "mrd", "relapse_timing"]
    with pytest.raises(UsageError, match="'relapse_timing' is known only at relapse"):
        predictors(table, ["relapse_timing"], endpoint="relapse")


def test_relapse_samples_are_no_input_from_diagnosis_on():
    refuse_relapse_samples("diagnosis", "relapse")
    refuse_relapse_samples("relapse", "after_relapse")
    with pytest.raises(DataError, match="taken at relapse"):
        refuse_relapse_samples("relapse", "event_free")
