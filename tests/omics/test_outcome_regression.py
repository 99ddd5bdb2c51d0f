"""Regression of hazards: R's survival and cmprsk, brute force, and what must hold whatever the data."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from omics.outcome import cox, fine_gray, logrank_test, proportional_hazards_test, transplant_intervals
from omics.schema import DataError
from tests.aml import first_events

GOLDEN = Path(__file__).parent / "golden"
RTOL = 1e-6


def _synthetic() -> pd.DataFrame:
    table = pd.read_csv(GOLDEN / "outcome_patients.csv")
    number = np.arange(1, len(table) + 1)
    return table.assign(x=np.sin(number), half=number % 2, entry=np.where(number % 3 == 0, 0.3, 0.0))


def _aml(folder: Path) -> pd.DataFrame:
    table = first_events(folder)
    made = pd.DataFrame(
        {
            "time": table["time"],
            "event": table["event"],
            "x": np.log10(table["wbc"] + 1),
            "group": table["Study"],
            "entry": table["CR_date"].fillna(0.0),
            "half": table["gender"],
        }
    )
    return made.dropna()


@pytest.fixture(params=["synthetic", pytest.param("aml", marks=pytest.mark.shared)])
def case(request: pytest.FixtureRequest) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Patients, and R's values."""
    golden = pd.read_csv(GOLDEN / "regression.tsv", sep="\t")
    golden = golden[golden["table"] == request.param]
    synthetic = request.param == "synthetic"
    return _synthetic() if synthetic else _aml(request.getfixturevalue("shared_data")), golden


def assert_as_r(fit, test, values: pd.DataFrame) -> None:
    by = {name: rows["value"].to_numpy() for name, rows in values.groupby("quantity", sort=False)}
    np.testing.assert_allclose(fit.table["coefficient"], by["coefficient"], rtol=RTOL)
    np.testing.assert_allclose(fit.table["se"], by["se"], rtol=RTOL)
    np.testing.assert_allclose([fit.log_likelihood_null, fit.log_likelihood], by["log_likelihood"], rtol=RTOL)
    np.testing.assert_allclose(test["statistic"], by["zph"], rtol=RTOL)
    assert test["df"].tolist() == by["zph_df"].astype(int).tolist()


@pytest.mark.parametrize("model", ["any", "cause", "strata", "entry"])
def test_cox_and_its_test_as_survival(case, model):
    patients, golden = case
    rows = patients[patients["time"] > patients["entry"]] if model == "entry" else patients
    more = {
        "any": {},
        "cause": {"cause": 1},
        "strata": {"strata": rows["group"]},
        "entry": {"entry": rows["entry"]},
    }[model]
    covariates = rows[["x"] if model == "strata" else ["x", "group"]]
    fit = cox(rows["time"], rows["event"], covariates, **more)
    test = proportional_hazards_test(rows["time"], rows["event"], covariates, **more)
    assert_as_r(fit, test, golden[golden["model"] == model])
    assert fit.n == len(rows)


def test_fine_gray_as_cmprsk(case):
    patients, golden = case
    fit = fine_gray(patients["time"], patients["event"], patients[["x", "group"]])
    values = golden[golden["model"] == "fine_gray"].set_index("quantity")["value"]
    np.testing.assert_allclose(fit.table["coefficient"], values["coefficient"], rtol=RTOL)
    np.testing.assert_allclose(fit.table["se"], values["se"], rtol=RTOL)


def test_stratified_logrank_as_survival(case):
    patients, golden = case
    result = logrank_test(patients["time"], patients["event"], patients["half"], strata=patients["group"])
    expected = golden.loc[golden["model"] == "logrank_strata", "value"].item()
    assert result.statistic == pytest.approx(expected, rel=RTOL)
    assert result.df == 1


@pytest.mark.shared
def test_transplant_as_it_happens_as_survival(shared_data):
    table = pd.read_csv(shared_data / "aml_outcomes" / "clinical.tsv", sep="\t", index_col="patient_id")
    table = table[table[["OS", "Status", "AOD"]].notna().all(axis=1) & ~(table["TPL_date"] > table["OS"])]
    rows = transplant_intervals(table["OS"], table["Status"], table["TPL_date"])
    rows = rows[rows["stop"] > rows["start"]]
    covariates = pd.DataFrame({"transplant": rows["transplant"], "age": table.loc[rows["patient"], "AOD"].to_numpy()})
    fit = cox(rows["stop"], rows["event"], covariates, entry=rows["start"])
    test = proportional_hazards_test(rows["stop"], rows["event"], covariates, entry=rows["start"])
    golden = pd.read_csv(GOLDEN / "regression.tsv", sep="\t")
    assert_as_r(fit, test, golden[golden["model"] == "transplant"])


# --- brute force and properties ---------------------------------------------------------------------------------------


def simulated(n: int, seed: int, effect: float = 0.8):
    rng = np.random.default_rng(seed)
    x = pd.DataFrame({"a": rng.normal(size=n), "b": rng.choice(["u", "v", "w"], n)})
    time = np.ceil(rng.exponential(1 / (0.1 * np.exp(effect * x["a"]))) * 2) / 2  # ties
    censored = np.ceil(rng.uniform(3, 20, n) * 2) / 2
    event = np.where(time <= censored, rng.choice([1, 2], n, p=[0.7, 0.3]), 0)
    return np.minimum(time, censored), event, x


def test_efrons_likelihood_by_the_definition():
    time, event, x = simulated(40, 1)
    fit = cox(time, event, x[["a"]])
    beta = fit.table["coefficient"].item()
    expected = 0.0
    for t in np.unique(time[event > 0]):
        at_risk = np.exp(beta * x["a"].to_numpy()[time >= t])
        dead = x["a"].to_numpy()[(time == t) & (event > 0)]
        for turn in range(len(dead)):
            expected += beta * dead[turn]
            expected -= np.log(at_risk.sum() - turn / len(dead) * np.exp(beta * dead).sum())
    assert fit.log_likelihood == pytest.approx(expected, rel=1e-10)


def test_neither_order_nor_scale_nor_an_entry_at_zero_changes_anything():
    time, event, x = simulated(150, 2)
    whole = cox(time, event, x, cause=1)
    other = np.random.default_rng(0).permutation(150)
    shuffled = cox(time[other], event[other], x.iloc[other], cause=1, entry=np.zeros(150), strata=["one"] * 150)
    pd.testing.assert_frame_equal(shuffled.table, whole.table, rtol=1e-8)
    scaled = cox(time * 365.25, event, x.assign(a=x["a"] * 100 + 3), cause=1)
    assert scaled.table["coefficient"][0] * 100 == pytest.approx(whole.table["coefficient"][0], rel=1e-8)
    assert scaled.table["p_value"][0] == pytest.approx(whole.table["p_value"][0], rel=1e-6)


def test_the_test_finds_an_effect_that_wears_off_and_no_other():
    rng = np.random.default_rng(5)
    x = rng.normal(size=1500)
    early = rng.exponential(1 / (0.5 * np.exp(x)))
    time = np.where(early < 1, early, 1 + rng.exponential(2, 1500))  # no effect after time 1
    gone = proportional_hazards_test(time, np.ones(1500), pd.DataFrame({"x": x}))
    assert gone.loc[0, "p_value"] < 1e-6
    stays = proportional_hazards_test(rng.exponential(1 / np.exp(x)), np.ones(1500), pd.DataFrame({"x": x}))
    assert stays.loc[0, "p_value"] > 0.01


def test_a_transplant_that_does_nothing_seems_to_save_lives_unless_it_counts_from_its_time():
    rng = np.random.default_rng(6)
    death, waiting = rng.exponential(3, 800), rng.uniform(0, 6, 800)
    time, event = np.minimum(death, 10), (death < 10).astype(int)
    transplant = np.where(waiting < time, waiting, np.nan)
    naive = cox(time, event, pd.DataFrame({"transplant": np.isfinite(transplant).astype(float)})).table.iloc[0]
    rows = transplant_intervals(time, event, transplant)
    right = cox(rows["stop"], rows["event"], rows[["transplant"]], entry=rows["start"]).table.iloc[0]
    assert naive["upper"] < 0.7
    assert right["lower"] < 1 < right["upper"]
    assert rows.groupby("patient")["event"].sum().eq(event).all()
    assert (rows["stop"] - rows["start"]).sum() == pytest.approx(time.sum())


def test_transplants_at_the_ends_of_follow_up():
    rows = transplant_intervals([2.0, 3.0, 4.0], [1, 0, 1], [0.0, 3.0, np.nan], index=["a", "b", "c"])
    assert rows["transplant"].tolist() == [1, 0, 0]
    with pytest.raises(DataError, match="transplant of b at 9 comes after the last follow-up"):
        transplant_intervals([2.0, 3.0], [1, 0], [np.nan, 9.0], index=["a", "b"])
    with pytest.raises(DataError, match="before time zero"):
        transplant_intervals([2.0], [1], [-1.0])


def test_fine_gray_finds_the_subdistribution_effect_and_its_interval():
    estimates, inside = [], 0
    for seed in range(40):
        rng = np.random.default_rng(seed)
        x = rng.normal(size=300)
        # Fine and Gray's own scheme: the incidence of cause 1 is 1 - (1 - p (1 - exp(-t)))^exp(b x)
        share = 1 - (1 - 0.4) ** np.exp(0.5 * x)
        cause = np.where(rng.random(300) < share, 1, 2)
        u = rng.random(300) * np.where(cause == 1, share, 1)
        first = -np.log(1 - (1 - (1 - u) ** np.exp(-0.5 * x)) / 0.4, where=cause == 1, out=np.ones(300))
        time = np.where(cause == 1, first, rng.exponential(np.exp(-0.2 * x)))
        censored = rng.uniform(0.5, 4, 300)
        event = np.where(time <= censored, cause, 0)
        row = fine_gray(np.minimum(time, censored), event, pd.DataFrame({"x": x})).table.iloc[0]
        estimates.append(row["coefficient"])
        inside += row["lower"] <= np.exp(0.5) <= row["upper"]
    assert np.mean(estimates) == pytest.approx(0.5, abs=0.05)
    assert inside >= 34


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda x, event: x.assign(c=1.0), "'c' has one value"),
        (lambda x, event: x.assign(c=2 * x["a"] + 1), "depend on each other"),
        (lambda x, event: x.assign(c=(event > 0).astype(float) + 0.001 * x["a"]), "no finite coefficient"),
        (lambda x, event: x.assign(**{f"c{i}": np.sin(np.arange(60) * i) for i in range(1, 59)}), "events for"),
        (lambda x, event: x.head(10), "10 rows of covariates"),
    ],
)
def test_what_has_no_answer_is_refused(change, message):
    time, event, x = simulated(60, 7)
    with pytest.raises(DataError, match=message):
        cox(time, event, change(x, event))


#: On its way to infinity, whether the information becomes singular first is up to the last bits of the machine.
_DIVERGES = "no finite coefficient|too few, or too much alike"


@pytest.mark.parametrize(
    ("model", "x", "event", "message"),
    [
        (cox, [0.019, 234.153, 0.077, 0.009], [0, 1, 1, 1], "no finite coefficient"),
        (cox, [0.004, 0.325, 1.129, 0.056, 2.0, 0.099, 5.074, 3995.056], [0, 1, 1, 0, 0, 0, 1, 1], "no finite coeff"),
        (cox, [1.663, 29.197, 0.051, 2.417], [0, 0, 0, 1], "too few, or too much alike"),
        (proportional_hazards_test, [1.663, 29.197, 0.051, 2.417], [0, 0, 0, 1], "too few, or too much alike"),
        (fine_gray, [0.142, 0.592, 147.109, 7.224], [1, 1, 0, 1], _DIVERGES),
        (fine_gray, [0.765, 0.006, 53.098, 0.372], [0, 2, 1, 1], _DIVERGES),
        (fine_gray, [0.0, 46.106, 0.235, 0.317], [1, 2, 0, 1], _DIVERGES),
        (fine_gray, [0, 0, 1, 0], [2, 0, 0, 1], "too few, or too much alike"),
        (fine_gray, [0, 1, 0, 0, 0, 0], [2, 0, 0, 0, 1, 0], "'a' has no finite interval"),
    ],
)
def test_what_diverges_is_refused_and_warns_of_nothing(model, x, event, message):
    time = np.arange(1, len(x) + 1.0)
    with pytest.raises(DataError, match=message):  # and pytest makes every warning an error
        model(time, event, pd.DataFrame({"a": x}))


@pytest.mark.parametrize("model", [cox, fine_gray])
@pytest.mark.parametrize("share", [0.02, 0.5])
def test_events_of_some_before_all_others_are_refused_however_few_they_are(model, share):
    first = np.arange(150) < 150 * share
    event = np.where(first, 1, np.arange(150) % 3)
    with pytest.raises(DataError, match=r"does not converge: 'a' separates .* no finite coefficient"):
        model(np.arange(1, 151.0), event, pd.DataFrame({"a": first.astype(float)}))


@pytest.mark.parametrize("model", [cox, fine_gray])
def test_a_covariate_with_an_outlier_is_no_runaway(model):
    rng = np.random.default_rng(11)
    x = np.append(
        rng.normal(size=399), 40.0
    )  # 20 standard deviations, and far more than 15 in units of its coefficient
    time = rng.exponential(1 / np.exp(np.append(1.2 * x[:399], 10.0)))
    event = np.append(rng.choice([0, 1, 2], 399, p=[0.2, 0.7, 0.1]), 1)
    row = model(time, event, pd.DataFrame({"a": x})).table.iloc[0]
    assert row["lower"] < row["hazard_ratio"] < row["upper"]
    assert 0.2 < row["coefficient"] < 2
    assert row["coefficient"] * np.ptp(x) > 15


def test_nothing_can_change_with_time_when_all_events_are_at_one():
    x = pd.DataFrame({"a": [1.0, 2.0, 0.0, 0.0, 1.5]})
    with pytest.raises(DataError, match="their change with time"):
        proportional_hazards_test([1.0, 1.0, 1.0, 2.0, 3.0], [1, 1, 1, 0, 0], x)


@pytest.mark.parametrize("model", [cox, fine_gray])
def test_a_ratio_beyond_all_numbers_is_infinite(model):
    time, event, x = simulated(60, 9, effect=0.0)
    fit = model(time, event, x[["a"]]).table.iloc[0]
    tiny = model(time, event, x[["a"]] * 1e-6).table.iloc[0]
    assert tiny["coefficient"] == pytest.approx(fit["coefficient"] * 1e6, rel=1e-6)
    assert tiny["p_value"] == pytest.approx(fit["p_value"], rel=1e-6)
    assert (tiny["lower"], tiny["upper"]) == (0.0, np.inf)


def test_rows_that_lack_a_covariate_are_counted():
    time, event, x = simulated(60, 8)
    x.loc[3, "a"] = np.nan
    fit = cox(time, event, x)
    assert (fit.n, fit.n_missing) == (59, 1)
    with pytest.raises(DataError, match="ends before it begins"):
        cox(time, event, x[["a"]], entry=time + 1)
