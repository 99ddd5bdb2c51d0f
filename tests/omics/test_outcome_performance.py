"""Measures of a predicted risk: R's riskRegression and survival, brute force, and what must hold whatever the data."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit, logit
from sksurv.metrics import concordance_index_censored

from omics.outcome import (
    auc,
    brier,
    calibration_table,
    concordance,
    concordance_difference,
    cumulative_incidence,
    decision_curve,
    integrated_brier,
    performance,
)
from omics.outcome.performance import known_of
from omics.schema import DataError, UsageError
from tests.aml import first_events

GOLDEN = Path(__file__).parent / "golden"
RTOL = 1e-6
HORIZON = {"synthetic": 3.0, "aml": 1096.0}


def _synthetic() -> pd.DataFrame:
    table = pd.read_csv(GOLDEN / "outcome_patients.csv")
    first = sorted(table["group"].unique())[0]
    line = -1 + 0.8 * np.sin(np.arange(1, len(table) + 1)) + np.where(table["group"] == first, 0.5, 0.0)
    return table.assign(line=np.round(1000 * line) / 1000)


def _aml(folder: Path) -> pd.DataFrame:
    table = first_events(folder)
    made = pd.DataFrame(
        {
            "time": table["time"],
            "event": table["event"],
            "line": -0.5 + 0.02 * (table["AOD"] - 50) + 0.3 * np.log10(table["wbc"] + 1),
        }
    )
    return made.dropna().assign(line=lambda table: np.round(1000 * table["line"]) / 1000)


@pytest.fixture(params=["synthetic", pytest.param("aml", marks=pytest.mark.shared)])
def case(request: pytest.FixtureRequest) -> tuple[pd.DataFrame, float, pd.DataFrame]:
    """Patients, horizon, and R's values."""
    golden = pd.read_csv(GOLDEN / "performance.tsv", sep="\t")
    golden = golden[golden["table"] == request.param]
    synthetic = request.param == "synthetic"
    patients = _synthetic() if synthetic else _aml(request.getfixturevalue("shared_data"))
    return patients, HORIZON[request.param], golden


def simulated(n: int, seed: int, effect: float = 1.0):
    """Time, event and true risk within 5 years, two causes."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=n)
    one, two = 0.06 * np.exp(effect * x), np.full(n, 0.03)
    first, second, censored = rng.exponential(1 / one), rng.exponential(1 / two), rng.uniform(2, 14, n)
    time = np.minimum(np.minimum(first, second), censored)
    event = np.where(time == first, 1, np.where(time == second, 2, 0))
    return time, event, one / (one + two) * (1 - np.exp(-5 * (one + two)))


# --- R ----------------------------------------------------------------------------------------------------------------


def test_auc_brier_and_accuracy_as_riskregression(case):
    patients, horizon, golden = case
    for at in golden.loc[golden["quantity"] == "auc", "time"]:
        values = golden[golden["time"] == at].set_index("quantity")["value"]
        risk = expit(patients["line"] + np.log(at / horizon))
        known = known_of(patients["time"], patients["event"], risk, horizon=at)
        assert auc(known.outcome, known.risk, known.weight) == pytest.approx(values["auc"], rel=RTOL)
        assert brier(known.outcome, known.risk, known.weight) == pytest.approx(values["brier"], rel=RTOL)
        table = performance(patients["time"], patients["event"], risk, horizon=at, n_bootstrap=2).set_index("metric")
        assert table.loc["ipa", "estimate"] == pytest.approx(values["ipa"], rel=1e-5, abs=1e-7)
        assert table.loc["auc", "estimate"] == pytest.approx(values["auc"], rel=RTOL)


def test_integrated_brier_is_the_trapezoid_of_riskregressions_scores(case):
    patients, horizon, golden = case
    values = golden[golden["quantity"] == "brier"]
    times = values["time"].to_numpy()
    risks = expit(patients["line"].to_numpy()[:, None] + np.log(times / horizon))
    expected = np.trapezoid(values["value"], times) / (times[-1] - times[0])
    assert integrated_brier(patients["time"], patients["event"], risks, times) == pytest.approx(expected, rel=RTOL)


@pytest.mark.parametrize(
    ("quantity", "weighting", "competing"),
    [("c_harrell", "harrell", False), ("c_uno", "uno", False), ("c_harrell_competing", "harrell", True)],
)
def test_concordance_as_survival(case, quantity, weighting, competing):
    patients, horizon, golden = case
    event = patients["event"] if competing else (patients["event"] > 0).astype(int)
    found = concordance(patients["time"], event, expit(patients["line"]), horizon=horizon, weighting=weighting)
    assert found == pytest.approx(golden.set_index("quantity").loc[quantity, "value"], rel=RTOL)


def test_calibration_as_a_weighted_glm(case):
    patients, horizon, golden = case
    values = golden.set_index("quantity")["value"]
    found = performance(patients["time"], patients["event"], expit(patients["line"]), horizon=horizon, n_bootstrap=2)
    found = found.set_index("metric")["estimate"]
    for name in ("calibration_slope", "calibration_intercept", "observed_expected"):
        assert found[name] == pytest.approx(values[name], rel=RTOL)


# --- brute force and properties ---------------------------------------------------------------------------------------


def test_concordance_by_counting_pairs():
    time, event, risk = simulated(60, 3)
    time, risk = np.round(time, 1), np.round(risk, 2)  # ties of both
    fold = np.arange(60) % 3
    won = pairs = 0.0
    for i in range(60):
        for j in range(60):
            if i == j or event[i] != 1 or time[i] > 5 or fold[i] != fold[j]:
                continue
            later = time[j] > time[i] or (time[j] == time[i] and event[j] == 0)
            if later or (event[j] > 1 and time[j] <= time[i]):
                pairs += 1
                won += 1.0 if risk[i] > risk[j] else 0.5 if risk[i] == risk[j] else 0.0
    found = concordance(time, event, risk, horizon=5, weighting="harrell", fold=fold[None])
    assert found == pytest.approx(won / pairs, abs=1e-12)


def test_without_competition_and_horizon_it_is_that_of_scikit_survival():
    time, event, risk = simulated(120, 4)
    event = np.where(event == 2, 0, event)
    theirs = concordance_index_censored(event == 1, time, risk)[0]
    longest = time[event == 1].max()
    found = concordance(time, event, risk, horizon=longest, weighting="harrell")
    assert found == pytest.approx(theirs, abs=1e-12)


def test_ranking_does_not_depend_on_scale_nor_on_the_order_of_patients():
    time, event, risk = simulated(150, 5)
    other = np.random.default_rng(1).permutation(150)
    whole = performance(time, event, risk, horizon=5, n_bootstrap=2).set_index("metric")["estimate"]
    shuffled = performance(time[other], event[other], risk[other], horizon=5, n_bootstrap=2).set_index("metric")
    np.testing.assert_allclose(shuffled["estimate"], whole, rtol=1e-9)
    scaled = performance(time, event, risk**3, horizon=5, n_bootstrap=2).set_index("metric")["estimate"]
    for name in ("auc", "c_uno", "c_harrell"):
        assert scaled[name] == pytest.approx(whole[name], abs=1e-12)
    assert scaled["calibration_slope"] < 0.7 * whole["calibration_slope"]


def test_the_true_risk_is_calibrated_and_a_distorted_one_is_not():
    time, event, risk = simulated(4000, 106)
    table = performance(time, event, risk, horizon=5, n_bootstrap=100).set_index("metric")
    for name, truth in {"calibration_slope": 1, "calibration_intercept": 0, "observed_expected": 1}.items():
        assert table.loc[name, "lower"] < truth < table.loc[name, "upper"]
    assert table.loc["ipa", "lower"] > 0
    wrong = expit(2 * logit(risk) + 1)
    table = performance(time, event, wrong, horizon=5, n_bootstrap=100).set_index("metric")
    assert table.loc["calibration_slope", "estimate"] == pytest.approx(0.5, abs=0.06)
    assert table.loc["calibration_slope", "upper"] < 1
    assert table.loc["observed_expected", "upper"] < 1


def test_calibration_table_and_decision_curve_of_the_true_risk():
    time, event, risk = simulated(4000, 7)
    table = calibration_table(time, event, risk, horizon=5)
    assert len(table) == 5
    assert table["n"].sum() == 4000
    assert ((table["lower"] <= table["predicted"]) & (table["predicted"] <= table["upper"])).sum() >= 4
    few = calibration_table(time[:40], event[:40], risk[:40], horizon=5)
    assert (few["events"] >= 3).all() or len(few) == 1
    curve = decision_curve(time, event, risk, horizon=5, thresholds=[0.1, 0.2, 0.4], n_bootstrap=50)
    assert (curve["net_benefit"] >= np.maximum(curve["all"], 0) - 0.005).all()
    assert (curve["lower"] < curve["net_benefit"]).all()
    whole = cumulative_incidence(time, event)
    share = whole.loc[whole["time"] <= 5, "estimate"].iloc[-1]
    assert curve.loc[1, "all"] == pytest.approx(share - (1 - share) * 0.25, abs=1e-12)
    nobody = decision_curve(time, event, np.zeros(4000), horizon=5, thresholds=[0.1], n_bootstrap=5)
    assert nobody.loc[0, ["net_benefit", "flagged"]].eq(0).all()
    assert not np.signbit(nobody.loc[0, "net_benefit"])


def test_net_benefit_varies_as_over_patients_drawn_with_replacement():
    time, event, risk = simulated(60, 3)
    time = np.ceil(2 * time) / 2  # ties

    def benefit(of: np.ndarray) -> float:
        flagged = of[risk[of] >= 0.3]
        curve = cumulative_incidence(time[flagged], event[flagged])
        share = curve.loc[curve["time"] <= 2, "estimate"].iloc[-1]
        return len(flagged) / len(of) * (share - (1 - share) * 0.3 / 0.7)

    row = decision_curve(time, event, risk, horizon=2, thresholds=[0.3], n_bootstrap=40, random_state=5).iloc[0]
    drawn = np.random.default_rng(5).integers(0, 60, size=(40, 60))
    spread = 1.959963984540054 * np.std([benefit(of) for of in drawn], ddof=1)
    assert row["net_benefit"] == pytest.approx(benefit(np.arange(60)), abs=1e-12)
    assert row["lower"] == pytest.approx(row["net_benefit"] - spread, abs=1e-12)
    assert row["upper"] == pytest.approx(row["net_benefit"] + spread, abs=1e-12)


def test_random_and_perfect_risks():
    time, event, _ = simulated(800, 8)
    noise = np.random.default_rng(2).random(800)
    assert concordance(time, event, noise, horizon=5) == pytest.approx(0.5, abs=0.05)
    perfect = np.where(event == 1, 1 - np.minimum(time, 100) / 101, 0.0)
    assert concordance(time, event, perfect, horizon=5) == 1.0


def test_intervals_of_uno_cover_the_truth():
    time, event, risk = simulated(40_000, 9)
    truth = concordance(time[:8000], event[:8000], risk[:8000], horizon=5)
    covered = 0
    for start in range(8000, 8000 + 100 * 150, 150):
        rows = slice(start, start + 150)
        table = performance(time[rows], event[rows], risk[rows], horizon=5, n_bootstrap=150).set_index("metric")
        covered += table.loc["c_uno", "lower"] <= truth <= table.loc["c_uno", "upper"]
    assert covered >= 89  # of 100: below that a 95 % interval has a chance of 1 in 100


def test_repeats_and_folds_widen_as_in_cross_validation():
    time, event, risk = simulated(150, 10)
    once = performance(time, event, risk, horizon=5, n_bootstrap=200).set_index("metric")
    fold = np.arange(150)[None] % 5
    folded = performance(time, event, risk, horizon=5, fold=fold, n_bootstrap=200).set_index("metric")
    widths = [(table["upper"] - table["lower"])["ipa"] for table in (folded, once)]
    assert widths[0] / widths[1] == pytest.approx(np.sqrt(7 / 4), rel=0.1)
    gap = concordance_difference(time, event, risk, risk, horizon=5, fold=fold, n_bootstrap=50)
    assert gap == (0.0, 0.0, 0.0)
    estimate, lower, upper = concordance_difference(time, event, risk, 1 - risk, horizon=5, n_bootstrap=200)
    assert lower < estimate < upper
    assert lower > 0


def test_missing_predictions_and_constant_risks_leave_figures():
    time, event, risk = simulated(120, 11)
    gaps = np.where(np.arange(120) % 5 == 0, np.nan, risk)
    table = performance(time, event, np.stack([risk, gaps]), horizon=5, n_bootstrap=20)
    assert np.isfinite(table["estimate"]).all()
    table = performance(time, event, np.full(120, 0.2), horizon=5, n_bootstrap=20).set_index("metric")
    assert np.isnan(table.loc["calibration_slope", "estimate"])
    assert table.loc["c_uno", "estimate"] == 0.5
    extreme = performance(time, event, (risk > 0.2).astype(float), horizon=5, n_bootstrap=20)
    assert np.isfinite(extreme["estimate"]).all()


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"risk": [0.1, 1.2, 0.3]}, DataError, "between 0 and 1"),
        ({"risk": [0.1, 0.2]}, DataError, "shape"),
        ({"horizon": 0.0}, UsageError, "horizon"),
        ({"horizon": 99.0}, DataError, "nobody was followed up"),
        ({"weighting": "inverse"}, UsageError, "unknown weighting"),
    ],
)
def test_nonsense_is_refused(change, error, message):
    arguments = {"time": [1.0, 2.0, 3.0], "event": [1, 0, 1], "risk": [0.5, 0.2, 0.3], "horizon": 2.0}
    with pytest.raises(error, match=message):
        concordance(**{**arguments, **change})


def test_thresholds_and_times_are_checked():
    time, event, risk = simulated(50, 12)
    with pytest.raises(DataError, match="thresholds"):
        decision_curve(time, event, risk, horizon=5, thresholds=[0.0])
    with pytest.raises(DataError, match="ascending"):
        integrated_brier(time, event, np.stack([risk, risk], axis=1), [3.0, 2.0])
