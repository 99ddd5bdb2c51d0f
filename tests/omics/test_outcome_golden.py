"""Curves, tests and weights against R's survival and cmprsk; the numbers come from golden/outcome.R."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from omics.outcome import as_class, cumulative_incidence, gray_test, kaplan_meier, logrank_test
from omics.outcome.curves import incidence, risk_table, survival
from tests.aml import first_events

GOLDEN = Path(__file__).parent / "golden"
RTOL = 1e-6
HORIZON = {"synthetic": 3.0, "aml": 1096.0}


def _synthetic() -> pd.DataFrame:
    return pd.read_csv(GOLDEN / "outcome_patients.csv", index_col="sample")


def _aml(folder: Path) -> pd.DataFrame:
    patients = first_events(folder).rename(columns={"M_Risk": "group"})
    return patients.loc[patients["group"].notna(), ["time", "event", "group"]]


@pytest.fixture(params=["synthetic", pytest.param("aml", marks=pytest.mark.shared)])
def case(request: pytest.FixtureRequest) -> tuple[str, pd.DataFrame, pd.DataFrame]:
    """Name, patients, and R's values for them."""
    golden = pd.read_csv(GOLDEN / "outcome.tsv", sep="\t", keep_default_na=False, na_values=["NA"])
    golden = golden[golden["table"] == request.param]
    if request.param == "synthetic":
        return request.param, _synthetic(), golden
    return request.param, _aml(request.getfixturevalue("shared_data")), golden


def _parts(patients: pd.DataFrame, golden: pd.DataFrame, quantity: str):
    """Patients and R's values over time, for all patients together and for each group."""
    rows = golden[golden["quantity"] == quantity]
    assert set(rows["group"]) == {"", *patients["group"]}
    for group, values in rows.groupby("group"):
        yield patients if group == "" else patients[patients["group"] == group], values


def _at(table: pd.DataFrame | dict, column: str, times: pd.Series) -> np.ndarray:
    """Step function of the curve at `times`, 0 before its first time."""
    row = np.searchsorted(table["time"], times, side="right") - 1
    return np.where(row >= 0, np.asarray(table[column])[np.maximum(row, 0)], 0.0)


@pytest.mark.parametrize("column", ["estimate", "lower", "upper"])
def test_kaplan_meier_as_r(case, column):
    _, patients, golden = case
    for part, values in _parts(patients, golden, f"km_{column}"):
        curve = kaplan_meier(part["time"], part["event"])
        # before the first event R gives the interval [1, 1], as if nothing could happen; we say that it is not known
        expected = values["value"].where((values["value"] < 1) | (column == "estimate"))
        np.testing.assert_allclose(_at(curve, column, values["time"]), expected, rtol=RTOL)


@pytest.mark.parametrize(
    ("quantity", "kernel", "anything"), [("km_variance", survival, True), ("incidence_variance", incidence, False)]
)
def test_variances_as_r(case, quantity, kernel, anything):
    _, patients, golden = case
    for part, values in _parts(patients, golden, quantity):
        table = risk_table(part["time"], part["event"] > 0 if anything else part["event"], cause=1)
        variance = {"time": table.time, "variance": kernel(table)[1]}
        np.testing.assert_allclose(_at(variance, "variance", values["time"]), values["value"], rtol=RTOL)


def test_cumulative_incidence_as_r(case):
    _, patients, golden = case
    for part, values in _parts(patients, golden, "incidence_estimate"):
        curve = cumulative_incidence(part["time"], part["event"])
        np.testing.assert_allclose(_at(curve, "estimate", values["time"]), values["value"], rtol=RTOL)


def test_numbers_at_risk_as_r(case):
    _, patients, golden = case
    for part, values in _parts(patients, golden, "at_risk"):
        curve = kaplan_meier(part["time"], part["event"])
        at_risk = [curve.loc[curve["time"] >= time, "at_risk"].iloc[:1].sum() for time in values["time"]]
        assert at_risk == values["value"].astype(int).tolist()


@pytest.mark.parametrize(("name", "test"), [("gray", gray_test), ("logrank", logrank_test)])
def test_tests_between_groups_as_r(case, name, test):
    _, patients, golden = case
    values = golden.set_index("quantity")["value"]
    result = test(patients["time"], patients["event"], patients["group"])
    assert result.statistic == pytest.approx(values[f"{name}_statistic"], rel=RTOL)
    assert result.p_value == pytest.approx(values[f"{name}_p_value"], rel=RTOL, abs=0)
    assert result.df == patients["group"].nunique() - 1
    assert result.n == len(patients)
    assert result.events == (patients["event"] == 1 if name == "gray" else patients["event"] > 0).sum()


def test_censoring_weights_as_r(case):
    name, patients, golden = case
    values = golden.set_index("quantity")["value"]
    table = as_class(patients.rename(columns={"time": "event_time"}), "relapse", HORIZON[name])
    assert (table["weight"] > 0).sum() == values["weight_known"]
    assert table["weight"].max() == pytest.approx(values["weight_largest"], rel=RTOL)
    assert (table["weight"] ** 2).sum() == pytest.approx(values["weight_squares"], rel=RTOL)
    assert (table["weight"] * table["outcome"]).sum() == pytest.approx(values["weight_of_relapses"], rel=RTOL)
