"""Groups beside what is known: R's survival and cmprsk, brute force, what was planted, and what cannot be fitted."""

from __future__ import annotations

from itertools import combinations, product
from math import comb
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.optimize import minimize_scalar
from scipy.stats import kstest

from omics.outcome import adjusted, compare, over_solutions, solutions
from omics.outcome.covariates import Covariates, afforded, complete, parameters
from omics.schema import UsageError

GOLDEN = Path(__file__).parent / "golden"
RTOL = 1e-6
#: What R calls the terms.
IN_R = {"log10 mrd": "lmrd", "log10 wbc": "lwbc"}


@pytest.fixture(scope="module")
def patients() -> pd.DataFrame:
    """Synthetic patients whose values R has computed."""
    return pd.read_csv(GOLDEN / "adjusted_patients.csv", index_col="sample")


def golden(case: str) -> pd.DataFrame:
    table = pd.read_csv(GOLDEN / "adjusted.tsv", sep="\t", keep_default_na=False)
    return table[table["case"] == case].astype({"value": float})


def cohort(n: int, seed: int, *, subtype: float = 0.0, group: float = 0.0, proxy: float = 0.0) -> pd.DataFrame:
    """Patients with a known subtype and a group that copies it in a share `proxy`; log hazards of both."""
    rng = np.random.default_rng(seed)
    known, own = rng.integers(3, size=n), rng.integers(3, size=n)
    member = np.where(rng.random(n) < proxy, known, own)
    age = rng.uniform(1, 17, n)
    relapse = rng.exponential(1 / (0.06 * np.exp(subtype * (known == 1) + group * (member == 2))))
    death, lost = rng.exponential(60.0, n), rng.uniform(2, 8, n)
    first = np.minimum(relapse, death)
    return pd.DataFrame(
        {
            "group": np.array(["g1", "g2", "g3"])[member],
            "subtype": np.array(["a", "b", "c"])[known],
            "age": age,
            "event": np.where(first > lost, 0.0, np.where(relapse < death, 1.0, 2.0)),
            "event_time": np.minimum(first, lost),
        },
        index=[f"P{i}" for i in range(n)],
    )


def one(table: pd.DataFrame, endpoint: str, model: str, number: int = 1) -> pd.Series:
    rows = table[(table["endpoint"] == endpoint) & (table["model"] == model) & (table["adjusted"] == number)]
    assert len(rows) == 1
    return rows.iloc[0]


# --- R ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("case", "endpoint", "model"),
    [
        ("all", "relapse", "cause_specific_cox"),
        ("all", "relapse", "fine_gray"),
        ("all", "event_free", "cox"),
        ("all", "overall", "cox"),
        ("silent", "relapse", "cause_specific_cox"),
        ("silent", "relapse", "fine_gray"),
    ],
)
@pytest.mark.parametrize("number", [0, 1])
def test_as_survival_and_cmprsk(patients, case, endpoint, model, number):
    table = patients
    if case == "silent":
        table = table.assign(event=table["event"].mask((table["group"] == "D") & (table["event"] == 1), 0.0))
    columns = ["event", "event_time", "refractory"] if endpoint != "overall" else ["death", "death_time"]
    known = ["subtype", "mrd", "nci_risk", "age", "wbc", "site"]
    terms, tests = adjusted(table[columns + known], table["group"])
    test = one(tests, endpoint, model, number)
    values = golden(case)
    values = values[(values["endpoint"] == endpoint) & (values["model"] == model) & (values["adjusted"] == number)]
    single = values[values["term"] == ""].set_index("quantity")["value"]
    for name, value in single.items():
        assert test[name] == pytest.approx(value, rel=RTOL), name
    assert test["df"] == 3
    assert test["strata"] == ("site" if number and model != "fine_gray" else "")
    rows = terms[(terms["endpoint"] == endpoint) & (terms["model"] == model) & (terms["adjusted"] == number)]
    names = rows["term"].replace(IN_R) + rows["group"]
    compared = 0
    for quantity, column in [
        ("hazard_ratio", "hazard_ratio"),
        ("lower", "lower"),
        ("upper", "upper"),
        ("p", "p_value"),
    ]:
        expected = values[(values["quantity"] == quantity)].set_index("term")["value"]
        np.testing.assert_allclose(rows.set_index(names).loc[expected.index, column], expected, rtol=RTOL)
        compared += len(expected)
    assert compared >= (2 if number == 0 else 8)


@pytest.mark.parametrize("by", ["group", "subtype", "site"])
def test_failure_of_induction_as_r(patients, by):
    name, result = solutions.exact_test(patients["refractory"] == 1, patients[by])
    values = golden("all")
    values = values[(values["endpoint"] == "refractory") & (values["model"] == by)].set_index("quantity")["value"]
    assert name == "fisher"
    assert result.statistic == pytest.approx(values["statistic"], rel=RTOL)
    assert result.p_value == pytest.approx(values["p_value"], rel=RTOL)


# --- groups without event, and groups that say nothing ----------------------------------------------------------------


def test_a_group_without_event_has_hazard_ratio_0_and_its_patients_count(patients):
    silent = patients.assign(event=patients["event"].mask((patients["group"] == "D") & (patients["event"] == 1), 0.0))
    terms, tests = adjusted(silent, patients["group"], ["age"])
    for model, number in product(["cause_specific_cox", "fine_gray"], [0, 1]):
        test = one(tests, "relapse", model, number)
        row = one(terms[(terms["term"] == "group") & (terms["group"] == "D")], "relapse", model, number)
        assert "no event in D" in test["remark"]
        assert (row["hazard_ratio"], row["events"]) == (0.0, 0)
        assert np.isnan([row["lower"], row["upper"], row["p_value"]]).all()
        at_risk = patients[(patients["refractory"] == 0) & (patients["age"].notna() | (number == 0))]
        assert (test["n"], row["n"]) == (len(at_risk), (at_risk["group"] == "D").sum())
        assert test["p_value"] < 1e-4


def test_one_of_two_groups_without_event():
    table = cohort(200, 1)
    two = table["group"].replace("g3", "g2")
    table["event"] = table["event"].mask((two == "g2") & (table["event"] == 1), 0.0)
    terms, tests = adjusted(table, two, [])
    test = one(tests, "relapse", "cause_specific_cox", 0)
    # by the definition: the likelihood without group g2, against that of all
    order = np.argsort(table["event_time"].to_numpy())
    happened = (table["event"] == 1).to_numpy()[order]
    at_risk, own = np.arange(200, 0, -1), np.cumsum((two == "g1").to_numpy()[order][::-1])[::-1]
    assert test["statistic"] == pytest.approx(2 * np.log(at_risk[happened] / own[happened]).sum(), rel=1e-10)
    assert test["df"] == 1
    # the largest group has no event, so the other is the reference
    row = one(terms[terms["hazard_ratio"] == 1], "relapse", "cause_specific_cox", 0)
    assert (two == "g2").sum() > (two == "g1").sum()
    assert row["group"] == "g1"
    assert "the reference is g1: g2, the largest group, has no event here" in test["remark"]


def test_a_group_whose_events_come_when_only_its_own_are_left():
    table = cohort(150, 16).assign(site=np.where(np.arange(150) < 75, "S1", "S2"))
    two, last = table["group"].replace("g3", "g1"), np.arange(150) % 25 == 0
    two = two.mask(last, "g2")
    spared = (two == "g2") & ~last
    table["event"] = table["event"].mask(spared, 0.0).mask(last, 1.0)
    table["event_time"] = table["event_time"].mask(last, 9.0 + np.arange(150) / 25)  # after everybody else of the site
    terms, tests = adjusted(table, two, ["age", "site"])
    test = one(tests, "relapse", "cause_specific_cox")
    row = one(terms[terms["group"] == "g2"], "relapse", "cause_specific_cox")
    assert (row["hazard_ratio"], row["events"]) == (0, 6)
    assert "no event at which other groups are at risk in g2" in test["remark"]

    def likelihood(age, group):
        """Partial likelihood within sites, by the definition; there are no ties."""
        line, total = age * table["age"] / 10 + group * (two == "g2"), 0.0
        for name in table.index[table["event"] == 1]:
            at_risk = (table["event_time"] >= table.at[name, "event_time"]) & (table["site"] == table.at[name, "site"])
            total += line[name] - np.log(np.exp(line[at_risk]).sum())
        return total

    without, beside = (-minimize_scalar(lambda b, g=g: -likelihood(b, g), bounds=(-2, 2)).fun for g in (0, -30))
    assert test["statistic"] == pytest.approx(2 * (beside - without), rel=1e-4)
    assert test["df"] == 1


@pytest.mark.parametrize("model", ["cause_specific_cox", "fine_gray"])
def test_a_small_group_whose_events_come_before_all_others(model):
    table, first = cohort(120, 21), np.arange(120) < 3
    table["event_time"] = (table["event_time"] + 1).mask(first, 0.1 + np.arange(120) / 10)
    table["event"] = table["event"].mask(first, 1.0)
    terms, tests = adjusted(table, pd.Series(np.where(first, "c", "a"), table.index), ["age"])
    test = one(tests, "relapse", model, 0)
    # in the limit the three are drawn from themselves, without groups from all: 1 of so many draws of three
    assert test["statistic"] == pytest.approx(2 * np.log(comb(120, 3)), rel=1e-6)
    assert test["df"] == 1
    assert "no event of other groups while c (3 patients) at risk: tested by the limit" in test["remark"]
    assert 1e-7 < one(tests, "relapse", model)["p_value"] < 1e-5
    row = one(terms[terms["group"] == "c"], "relapse", model)
    assert row[["hazard_ratio", "upper"]].tolist() == [np.inf, np.inf]
    assert row[["lower", "p_value"]].isna().all()


def test_fine_gray_needs_no_variance_of_a_group_of_one():
    for seed in range(20):
        table = cohort(100, 300 + seed)
        alone = table.index == table.index[table["event"] == 1][10]
        terms, tests = adjusted(table, pd.Series(np.where(alone, "b", "a"), table.index), [])
        test = one(tests, "relapse", "fine_gray", 0)
        assert test["p_value"] > 1e-4  # by Wald's test half of them are below
        assert "fewer than 10 patients, so without interval: b" in test["remark"]
        row = one(terms[terms["group"] == "b"], "relapse", "fine_gray", 0)
        assert np.isnan([row["lower"], row["upper"], row["p_value"]]).all()
        assert 0 < row["hazard_ratio"] < 1000


def test_a_copy_of_the_known_subtype_adds_nothing_and_says_so():
    table = cohort(300, 2, subtype=1.0)
    terms, tests = adjusted(table, table["subtype"])
    for model in ("cause_specific_cox", "fine_gray"):
        assert one(tests, "relapse", model, 0)["p_value"] < 0.01
        test = one(tests, "relapse", model)
        assert test["df"] == 0
        assert np.isnan([test["statistic"], test["p_value"]]).all()
        assert "nothing is left to test" in test["remark"]
    known = terms[(terms["adjusted"] == 1) & terms["term"].isin(["group", "subtype"]) & (terms["hazard_ratio"] != 1)]
    assert known["hazard_ratio"].isna().all()
    assert terms.loc[(terms["adjusted"] == 1) & (terms["term"] == "age"), "hazard_ratio"].notna().all()


def test_only_what_has_a_hazard_ratio_of_its_own_is_given_one():
    table = cohort(400, 3)
    # g1 divides into a1 and a2, and subtype a is both: a2 is told from a1, but neither from what is not a
    groups = table["subtype"].mask(table["subtype"] == "a", "a" + (table["age"] > 9).astype(int).astype(str))
    groups = groups.replace("b", "c")
    terms, tests = adjusted(table, groups, ["subtype"])
    test = one(tests, "relapse", "cause_specific_cox")
    indicator = pd.get_dummies(table["subtype"]).to_numpy(float)
    both = np.hstack([indicator, pd.get_dummies(groups).to_numpy(float)])
    assert test["df"] == np.linalg.matrix_rank(both) - np.linalg.matrix_rank(indicator) == 1
    found = terms[(terms["model"] == "cause_specific_cox") & (terms["adjusted"] == 1)].set_index(["term", "group"])
    assert found["hazard_ratio"].drop([("group", "c")]).isna().sum() == 3
    assert {level for level in ("group a0", "group a1", "subtype a") if level in test["remark"]} == {
        level
        for level in ("group a0", "group a1", "subtype a")
        if np.isnan(found.loc[tuple(level.split()), "hazard_ratio"])
    }


def test_who_dies_before_the_first_relapse_says_something_to_fine_gray_only():
    table = cohort(200, 15)
    early = table["group"] == "g3"
    table = table.assign(event_time=(table["event_time"] + 0.5).mask(early, 0.1), event=table["event"].mask(early, 2.0))
    terms, tests = adjusted(table, table["group"], [])
    assert one(tests, "relapse", "cause_specific_cox", 0)["df"] == 1
    assert one(tests, "relapse", "fine_gray", 0)["df"] == 2
    ratio = terms[(terms["endpoint"] == "relapse") & (terms["group"] == "g3")].set_index("model")["hazard_ratio"]
    assert np.isnan(ratio["cause_specific_cox"])
    assert ratio["fine_gray"] == 0


def test_groups_that_are_the_sites_are_not_tested_within_sites():
    table = cohort(200, 4).assign(site=lambda t: t["group"].replace("g3", "g2"))
    _, tests = adjusted(table, table["site"], ["age", "site"])
    assert one(tests, "relapse", "cause_specific_cox")["df"] == 0
    _, tests = adjusted(table, table["group"], ["age", "site"])
    assert one(tests, "relapse", "cause_specific_cox")["df"] == 1
    assert one(tests, "relapse", "fine_gray")["df"] == 1


# --- covariates -------------------------------------------------------------------------------------------------------


def test_missing_and_constant_covariates_are_left_out_and_named():
    table = cohort(300, 5)
    table["wbc"] = np.where(np.arange(300) < 150, np.nan, 10.0 + np.arange(300))
    table["nci_risk"] = "High"
    table["mrd"] = np.where(np.arange(300) % 10 == 0, np.nan, 1e-3 * (1 + np.arange(300) % 7))
    table.loc[table.index[1], "subtype"] = ""
    _, tests = adjusted(table, table["group"])
    test = one(tests, "event_free", "cox")
    assert test["covariates"] == "subtype, log10 mrd, age"
    assert test["left_out"] == (
        "nci_risk (one value); wbc (missing in 50 % of patients); 31 of 300 patients (a covariate is missing)"
    )
    assert (test["n"], one(tests, "event_free", "cox", 0)["n"]) == (269, 300)


def test_how_covariates_are_scaled():
    raw = pd.DataFrame({"mrd": [0.0, 1e-6, 1e-3, 0.1], "wbc": [0.0, 1.0, 10.0, 100.0], "age": [1, 2, 3, 4]})
    table = complete(raw).table
    np.testing.assert_allclose(table[["log10 mrd", "log10 wbc"]].T, [[-5, -5, -3, -1], [-1, 0, 1, 2]])
    assert [*complete(raw.assign(**{"log10 wbc": raw["age"]})).table][1::2] == ["log10 wbc (of wbc)", "log10 wbc"]
    assert complete(raw.assign(mrd=[0.0, 1.0, 0.0, 1.0])).table["mrd"].tolist() == [0, 1, 0, 1]


def test_rare_levels_are_pooled():
    level = ["a"] * 40 + ["b"] * 30 + ["c"] * 10 + ["d"] * 4 + ["e"] * 3
    happened = pd.Series([True] * 20 + [False] * 20 + [True] * 15 + [False] * 15 + [False] * 10 + [True] * 7)
    given = complete(pd.DataFrame({"subtype": level, "rare": [1.0] * 3 + [0.0] * 84}))
    ready = afforded(given, happened, 1)
    assert ready.table["subtype"].value_counts().to_dict() == {"a": 40, "b": 30, "other": 17}
    assert ready.remarks == ["subtype: c, d, e pooled as other"]
    assert ready.left_out == ["rare (fewer than 5 patients, or no event, at one of two values)"]
    # "other" has no event either, so the smallest level joins it
    ready = afforded(given, happened & (np.arange(87) < 70), 1)
    assert ready.table["subtype"].value_counts().to_dict() == {"other": 47, "a": 40}


@pytest.mark.parametrize(
    ("spent", "columns", "levels", "said"),
    [
        (1, "subtype nci_risk age", "abcde", []),
        (2, "subtype nci_risk age", "abc", ["subtype: d, e pooled as other"]),
        (3, "subtype nci_risk", "abc", ["subtype: d, e pooled as other", "age"]),
        (4, "subtype", "abc", ["subtype: d, e pooled as other", "nci_risk, age"]),
        (5, "subtype", "ab", ["subtype: c, d, e pooled as other", "nci_risk, age"]),
        (6, "subtype", "a", ["subtype: b, c, d, e pooled as other", "nci_risk, age"]),
        (7, "", "", ["subtype, nci_risk, age"]),
    ],
)
def test_covariates_are_given_up_in_order_until_there_are_five_events_for_each(spent, columns, levels, said):
    events, size = np.array([15, 9, 6, 3, 2]), 20
    table = pd.DataFrame(
        {"subtype": np.repeat(list("abcde"), size), "nci_risk": ["x", "y"] * 50, "age": np.arange(100)}
    )
    happened = pd.Series(np.arange(100) % size < np.repeat(events, size))
    ready = afforded(Covariates(table, [], []), happened, spent)
    assert 5 * (spent + parameters(ready.table)) <= 35
    assert list(ready.table) == columns.split()
    if levels:
        assert set(ready.table["subtype"]) == {*levels, *(["other"] if len(levels) < 5 else [])}
    dropped = "dropped for fewer than 5 events per parameter: "
    assert ready.remarks == [text if "pooled" in text else dropped + text for text in said]


def test_few_events_are_said_and_without_covariates_nothing_is_adjusted():
    table = cohort(60, 7)
    table["event"] = table["event"].where(np.cumsum(table["event"] == 1) <= 9, 0.0)
    _, tests = adjusted(table, table["group"])
    assert one(tests, "relapse", "cause_specific_cox", 0)["remark"].startswith(
        "9 events for 2 parameters: fewer than 5"
    )
    test = one(tests, "relapse", "cause_specific_cox")
    assert "per parameter: subtype, age; not fitted: no covariate is left to adjust for" in test["remark"]
    assert np.isnan(test["p_value"])
    assert set(adjusted(table, table["group"], [])[1]["adjusted"]) == {0}


def test_what_cannot_be_fitted_has_a_row_that_says_why():
    table = cohort(120, 8)
    _, tests = adjusted(table, pd.Series("all", table.index))
    assert tests["p_value"].isna().all()
    assert tests["remark"].str.contains("there is only one group").all()
    _, tests = adjusted(table.assign(event=0.0), table["group"])
    assert tests["remark"].str.contains("there is no event").all()
    late = table.assign(entry_time=np.where(np.arange(120) % 2, 0.5 * table["event_time"], 0.0))
    _, tests = adjusted(late, table["group"])
    assert "under observation late" in one(tests, "relapse", "fine_gray")["remark"]
    assert one(tests, "relapse", "cause_specific_cox")["p_value"] > 0
    many = table.assign(site=[f"S{i % 7}" for i in range(120)])
    _, tests = adjusted(many, table["group"])
    assert "7 sites are too many" in one(tests, "relapse", "fine_gray")["left_out"]
    assert one(tests, "relapse", "cause_specific_cox")["strata"] == "site"
    nobody = adjusted(table, pd.Series("a", ["somebody else"]))
    assert [len(part) for part in nobody] == [0, 0]


def test_the_covariate_that_prevents_a_fit_is_left_out_and_named():
    table = cohort(300, 22, proxy=0.8)
    first = np.arange(300) < 6  # a level of the known subtype that is gone before anybody else relapses
    table["event_time"] = (table["event_time"] + 1).mask(first, 0.1 + np.arange(300) / 100)
    table = table.assign(event=table["event"].mask(first, 1.0), subtype=table["subtype"].mask(first, "z"))
    tests, rest = (adjusted(table, table["group"], names)[1] for names in (["age", "subtype"], ["age"]))
    for model in ("cause_specific_cox", "fine_gray"):
        test = one(tests, "relapse", model)
        assert test["left_out"].startswith("subtype: the regression does not converge with it, association with")
        assert test[["p_value", "covariates"]].equals(one(rest, "relapse", model)[["p_value", "covariates"]])
    _, tests = adjusted(table.assign(also=table["subtype"]), table["group"], ["also", "age", "subtype"])  # both must go
    test = one(tests, "relapse", "cause_specific_cox")
    assert (test["covariates"], test["left_out"].split(": ")[0]) == ("age", "also, subtype")
    # nothing else is there to adjust for
    test = one(adjusted(table, table["group"], ["subtype"])[1], "relapse", "cause_specific_cox")
    assert (test["covariates"], test["left_out"], test["df"]) == ("subtype", "", 0)
    assert test["remark"].startswith("not fitted: the regression does not converge")


def test_why_no_covariate_is_left_is_said_of_each():
    table = cohort(120, 23).assign(same="x", none=np.nan, name=[f"N{i}" for i in range(120)])
    test = one(adjusted(table, table["group"], ["same", "none", "name"])[1], "relapse", "cause_specific_cox")
    assert test["remark"] == (
        "not fitted: no covariate is left to adjust for: same (one value), none (missing in 100 % of patients), "
        "name (no two levels with 5 patients and an event)"
    )


def test_what_may_not_be_adjusted_for():
    table = cohort(30, 9)
    with pytest.raises(UsageError, match="'nothing' is not a clinical column; 'event_time' is part of the outcome"):
        adjusted(table, table["group"], ["nothing", "event_time"])
    with pytest.raises(UsageError, match="what the grouping itself is called"):
        adjusted(table, table["group"], ["group"])


# --- what was planted -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(3))
def test_an_effect_of_its_own_stays_and_a_proxy_loses_it(seed):
    own = cohort(1500, seed, subtype=1.0, group=0.7)
    proxy = cohort(1500, 10 + seed, subtype=1.0, proxy=0.7)
    for table, stays in ((own, True), (proxy, False)):
        _, tests = adjusted(table, table["group"])
        for endpoint, model in [("relapse", "cause_specific_cox"), ("relapse", "fine_gray"), ("event_free", "cox")]:
            assert one(tests, endpoint, model, 0)["p_value"] < 1e-4
            assert (one(tests, endpoint, model, 1)["p_value"] < 1e-4) == stays
            assert stays or one(tests, endpoint, model, 1)["p_value"] > 0.01


@pytest.mark.slow
def test_p_values_are_uniform_where_there_is_no_effect():
    found = []
    for seed in range(60):
        table = cohort(120, 1000 + seed, subtype=1.0)
        found.append(adjusted(table, table["group"])[1])
    tests = pd.concat(found)
    for (_, _, number), rows in tests.groupby(["endpoint", "model", "adjusted"]):
        assert len(rows) == 60
        assert kstest(rows["p_value"], "uniform").pvalue > 0.01
        if number and rows["proportional_p"].notna().all():
            assert kstest(rows["proportional_p"], "uniform").pvalue > 0.01


# --- every solution ---------------------------------------------------------------------------------------------------


def test_every_solution_as_compared_alone_and_holm_by_the_definition(patients):
    rng = np.random.default_rng(12)
    draws = {f"k{k}": pd.Series(rng.integers(k, size=len(patients)).astype(str), patients.index) for k in (2, 3, 4)}
    found = {"own": patients["group"], **draws, "one": pd.Series("x", patients.index), "few": draws["k2"].iloc[:80]}
    table = over_solutions(patients, found)
    assert list(table) == [
        "endpoint", "solution", "n_groups", "test", "statistic", "df", "p_value", "p_adjusted", "n", "events"
    ]  # fmt: skip
    for (endpoint, solution), row in table.set_index(["endpoint", "solution"]).iterrows():
        if solution == "one":
            assert np.isnan([row["statistic"], row["p_value"], row["p_adjusted"]]).all()
            assert row["n_groups"] == 1
        elif endpoint != "refractory":
            alone = compare(patients, found[solution])[1].set_index("endpoint").loc[endpoint]
            pd.testing.assert_series_equal(row[alone.index], alone, check_names=False, check_dtype=False)
    for _, rows in table[table["solution"] != "one"].groupby("endpoint"):
        p = rows["p_value"].to_numpy()
        # an adjusted p-value is the level at which the step-down method begins to reject
        expected = [
            max(min(1.0, p[j] * (p >= p[j]).sum()) for j in range(len(p)) if p[j] <= p[i]) for i in range(len(p))
        ]
        np.testing.assert_allclose(rows["p_adjusted"], expected, rtol=1e-12)
    assert set(table["endpoint"]) == {"relapse", "event_free", "overall", "after_relapse", "refractory"}
    assert table.loc[table["solution"] == "few", "n"].max() == 80


def test_solutions_that_cannot_be_tested_do_not_count():
    table = cohort(100, 13)
    late = table.assign(entry_time=table["event_time"] * np.where(np.arange(100) % 2, 0.8, 0.1))
    rows = over_solutions(late, {"a": table["group"], "b": table["subtype"]}).set_index("endpoint")
    assert rows.loc["relapse", "p_value"].isna().all()
    alone = [
        compare(late, late[name])[1].set_index("endpoint").loc["event_free", "p_value"] for name in ("group", "subtype")
    ]
    np.testing.assert_allclose(rows.loc["event_free", "p_value"], alone, rtol=1e-12)
    assert over_solutions(table[["age"]], {"a": table["group"]}).empty
    assert over_solutions(table, {}).empty
    alone = over_solutions(table, {"a": table["group"], "one": pd.Series("x", table.index)})
    pd.testing.assert_series_equal(alone["p_adjusted"], alone["p_value"], check_names=False)


@pytest.mark.parametrize("events", [3, 6, 8])
def test_fishers_test_by_counting(events):
    group = np.repeat(["a", "b", "c", "d"], [2, 3, 4, 1])
    observed = np.isin(np.arange(10), np.arange(events) * 3 % 10)
    size = {"a": 2, "b": 3, "c": 4, "d": 1}

    def ways(happened):
        return np.prod([comb(n, int(happened[group == g].sum())) for g, n in size.items()])

    as_rare = sum(
        ways(np.isin(np.arange(10), list(chosen))) <= ways(observed) for chosen in combinations(range(10), events)
    )
    name, result = solutions.exact_test(observed, group)
    assert (name, result.n, result.events, result.df) == ("fisher", 10, events, 3)
    assert result.p_value == pytest.approx(as_rare / comb(10, events), rel=1e-10)


def test_too_many_tables_are_pearsons(monkeypatch):
    rng = np.random.default_rng(14)
    group = rng.integers(4, size=3000)
    happened = rng.random(3000) < np.where(group == 0, 0.05, 0.03)
    exact = solutions.exact_test(happened, group)
    monkeypatch.setattr(solutions, "_MOST_TABLES", 1000)
    name, result = solutions.exact_test(happened, group)
    assert (exact[0], name) == ("fisher", "chi2")
    assert result.statistic == exact[1].statistic
    assert result.p_value == pytest.approx(exact[1].p_value, rel=0.2)
    assert np.isnan(solutions.exact_test(happened, np.zeros(3000))[1].p_value)
    assert np.isnan(solutions.exact_test(np.zeros(3000), group)[1].p_value)
