"""Factors against clinical columns: every row against scipy or the Cox regression, by hand, and what is left out."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from omics.interpret.associations import RARE, associations
from omics.outcome.regression import cox
from omics.schema import DataError, UsageError
from tests.planted import mixed

COLUMNS = (
    "factor, variable, kind, test, level, n, effect, effect_name, lower, upper, events, p_value, q_value, circular"
)


def scored(samples: pd.Index, seed: int = 0, n_factors: int = 3) -> pd.DataFrame:
    values = np.random.default_rng([seed, 7]).normal(size=(len(samples), n_factors))
    return pd.DataFrame(values, samples, [f"Factor{k + 1}" for k in range(n_factors)])


def column(values, samples: pd.Index) -> pd.DataFrame:
    return pd.DataFrame({"it": pd.Series(values, samples)})


def test_every_row_is_what_scipy_gives():
    labels, clinical = mixed(1)
    clinical["ties"] = clinical["age"].clip(upper=4)
    scores = scored(clinical.index, 1)
    scores["Factor3"] = scores["Factor3"].round(1)  # ties on this side too
    table = associations(scores, clinical.sample(frac=1, random_state=0), {"cluster": labels})
    assert ", ".join(table.columns) == COLUMNS
    assert set(table["variable"]) == {*clinical.columns, "cluster"}
    assert len(table) == 3 * (clinical.shape[1] + 1)
    values = clinical.assign(cluster=labels, plate=clinical["plate"].astype(str))
    for row in table.itertuples():
        value = values[row.variable].dropna()
        score = scores.loc[value.index, row.factor]
        if row.kind == "number":
            theirs = stats.spearmanr(score, value)
            assert (row.test, row.effect_name, row.level) == ("spearman", "correlation", "")
            assert row.effect == pytest.approx(theirs.statistic, rel=1e-9)
        elif row.kind == "two levels":
            inside = (
                value.astype(float).astype(int).astype(str) == row.level
                if row.variable == "down"
                else (value.astype(str) == row.level)
            )
            theirs = stats.mannwhitneyu(score[inside], score[~inside], method="asymptotic")
            above = (score[inside].to_numpy()[:, None] - score[~inside].to_numpy()) / 2
            assert (row.test, row.effect_name) == ("mannwhitney", "auc")
            assert row.effect == pytest.approx((np.sign(above) / 2 + 0.5).mean(), rel=1e-9)
        else:
            theirs = stats.kruskal(*(score[value == level] for level in value.unique()))
            assert (row.kind, row.test, row.effect_name, row.level) == ("levels", "kruskal", "epsilon squared", "")
            assert row.effect == pytest.approx(theirs.statistic / (len(value) - 1), rel=1e-9)
        assert (row.n, row.events) == (len(value), -1)
        assert row.p_value == pytest.approx(theirs.pvalue, rel=1e-8)
    assert table[["lower", "upper"]].isna().all(axis=None)


def test_all_tests_are_one_family():
    labels, clinical = mixed(2)
    scores = scored(clinical.index, 2).assign(Factor1=lambda s: s["Factor1"] + 2.0 * (clinical["site"] == "North"))
    time = pd.Series(np.random.default_rng(2).exponential(size=len(labels)), labels.index)
    table = associations(scores, clinical, survival={"death": by_cox(time, clinical["down"].fillna(0.0))})
    p = table["p_value"].to_numpy()
    assert (table["variable"] == "death").sum() == 3
    brute = [min(1, *(len(p) * cut / (p <= cut).sum() for cut in p if cut >= one)) for one in p]
    np.testing.assert_allclose(table["q_value"], brute, rtol=1e-12)
    assert table["p_value"].is_monotonic_increasing
    assert table.iloc[0][["factor", "variable"]].tolist() == ["Factor1", "site"]


def test_what_the_factors_were_learnt_from_is_a_family_of_its_own():
    """A cluster that follows the first factor must not loosen the q-values of what the clinic knows."""
    _, clinical = mixed(4)
    scores = scored(clinical.index, 4)
    made = pd.Series(np.where(scores["Factor1"] > 0, "up", "down"), scores.index)
    found = associations(scores, clinical, {"subtypes found": made}, circular=("subtypes found", "not there"))
    clinic = found[found["circular"] == 0].reset_index(drop=True)
    pd.testing.assert_frame_equal(clinic, associations(scores, clinical))
    own = found[found["circular"] == 1]
    assert set(own["variable"]) == {"subtypes found"}
    p = own["p_value"].to_numpy()
    brute = [min(1, *(len(p) * cut / (p <= cut).sum() for cut in p if cut >= one)) for one in p]
    np.testing.assert_allclose(own["q_value"], brute, rtol=1e-12)
    together = associations(scores, clinical, {"subtypes found": made})
    apart = together[together["variable"] != "subtypes found"].reset_index(drop=True)
    assert apart["q_value"].min() < clinic["q_value"].min()


def test_a_clinical_table_without_columns_is_none():
    labels, _ = mixed(4)
    scores = scored(labels.index, 4)
    nothing = pd.DataFrame(index=pd.Index([], name="sample", dtype=object))
    found = associations(scores, nothing, {"cluster": labels})
    assert set(found["variable"]) == {"cluster"}
    pd.testing.assert_frame_equal(found, associations(scores, pd.DataFrame(index=scores.index), {"cluster": labels}))


@pytest.mark.parametrize(
    ("values", "level"),
    [
        (["f", "m"], "m"),
        ([False, True], "True"),
        ([0.0, 1.0], "1"),
        ([9, 10], "10"),
        (pd.Categorical(["low", "high"]), "low"),
    ],
)
def test_the_effect_speaks_of_the_last_of_two_levels(values, level):
    samples = pd.Index([f"P{i}" for i in range(40)])
    it = pd.Series(values).take(np.repeat([0, 1], 20))
    first = it.astype(str).str.removesuffix(".0").to_numpy() != level
    scores = pd.DataFrame({"Factor1": np.where(first, -1.0, 1.0) + np.linspace(0, 0.5, 40)}, samples)
    row = associations(scores, column(it.to_numpy(), samples)).iloc[0]
    assert row[["kind", "level", "effect"]].tolist() == ["two levels", level, 1.0]


def test_a_level_of_few_patients_is_tested_exactly():
    """Three patients are the highest of 60: of all ways to choose three, two are as extreme."""
    samples = pd.Index([f"P{i}" for i in range(60)])
    scores = pd.DataFrame({"Factor1": np.arange(60.0), "Factor2": np.zeros(60)}, samples)
    table = associations(scores, column(np.repeat(["a", "b"], [57, 3]), samples)).set_index("factor")
    assert table.loc["Factor1", "p_value"] == pytest.approx(2 / (60 * 59 * 58 / 6), rel=1e-9)
    assert table.loc["Factor2", ["effect", "p_value"]].tolist() == [0.5, 1.0]


def test_what_is_tested_and_how():
    labels, clinical = mixed(3)
    n, samples = len(labels), labels.index
    every = np.arange(n)
    clinical = pd.DataFrame(
        {
            "age": clinical["age"],
            "stage": every % 4,
            "batch": every % 3,
            "kit": np.where(every % 2, 3.0, 7.0),
            "nullable": pd.array([1.5, 2.5, 3.0, 4.0] * (n // 4), dtype="Float64"),
            "sex": clinical["sex"],
            "refractory": (every % 5 == 0).astype(float),
            "race": np.where(every < RARE - 1, "rare", np.where(every % 2, "a", "b")),  # two are left
            "levels": [f"level {i % 30}" for i in range(n)],
            "too many": [f"level {i % 31}" for i in range(n)],
            "name": [f"patient {i}" for i in range(n)],
            "patient_id": every,
            "plate_id": every % 4,
            "seen": pd.date_range("2020-01-01", periods=n),
            "constant": "one",
            "same": 7.5,
            "nearly constant": np.where(every == 0, "one", "other"),
            "nothing": np.nan,
            "few": np.where(every < 9, every, np.nan),
            "enough": np.where(every < 10, every, np.nan),
            "relapse": (every % 3 == 0).astype(float),
            "event": every % 2,
            "event_time": every / 7,
            "mrd_time": every / 9,
            "blank": np.where(every % 2, "", "said"),
        },
        samples,
    )
    table = associations(scored(samples), clinical)
    kinds = table.groupby("variable")["kind"].unique().str.join("")
    assert kinds.to_dict() == {
        **dict.fromkeys(("age", "stage", "nullable", "enough"), "number"),
        **dict.fromkeys(("kit", "sex", "refractory", "race", "relapse"), "two levels"),
        **dict.fromkeys(("batch", "levels", "plate_id"), "levels"),
    }
    assert set(table.loc[table["variable"] == "race", "n"]) == {n - RARE + 1}


def by_cox(time: pd.Series, event: pd.Series):
    def regression(score: pd.Series):
        fit = cox(time[score.index], event[score.index], score.to_frame("score"))
        row = fit.table.iloc[0]
        return row["hazard_ratio"], row["lower"], row["upper"], row["p_value"], fit.n, fit.events

    return regression


def test_a_hazard_ratio_is_that_of_one_standard_deviation():
    rng = np.random.default_rng(5)
    samples = pd.Index([f"P{i}" for i in range(150)])
    scores = pd.DataFrame({"Factor1": 3 + 2 * rng.normal(size=150), "Factor2": rng.normal(size=150)}, samples)
    scores["Factor3"] = 0.0
    time = pd.Series(rng.exponential(np.exp(-0.5 * scores["Factor1"])), samples)
    event = pd.Series((rng.random(150) < 0.8).astype(float), samples)
    table = associations(scores, pd.DataFrame(index=samples), survival={"death": by_cox(time, event)})
    assert table["factor"].tolist() == ["Factor1", "Factor2"]  # one that does not vary has no hazard ratio
    for row in table.itertuples():
        plain = cox(time, event, scores[[row.factor]]).table.iloc[0]
        sd = scores[row.factor].std()
        expected = np.exp(plain["coefficient"] * sd), plain["lower"] ** sd, plain["upper"] ** sd, plain["p_value"]
        assert (row.effect, row.lower, row.upper, row.p_value) == pytest.approx(expected, rel=1e-6)
        assert (row.kind, row.test, row.effect_name) == ("time to event", "cox", "hazard ratio")
        assert (row.n, row.events) == (150, int(event.sum()))


def test_a_regression_without_an_estimate_costs_no_other_row():
    labels, clinical = mixed(6)
    scores = scored(labels.index)
    nobody = by_cox(pd.Series(1.0, labels.index), pd.Series(0.0, labels.index))
    table = associations(scores, clinical, survival={"death": nobody})
    lost = table[table["variable"] == "death"]
    assert len(lost) == 3
    assert lost[["effect", "lower", "upper", "p_value", "q_value"]].isna().all(axis=None)
    rest = table[table["variable"] != "death"].reset_index(drop=True)
    pd.testing.assert_frame_equal(rest, associations(scores, clinical))


def test_nothing_to_test_is_an_empty_table_of_the_same_columns():
    samples = mixed(0)[0].index
    table = associations(scored(samples), column("one", samples))
    assert table.empty
    assert table.dtypes.equals(associations(scored(samples), column(np.arange(len(samples)), samples)).dtypes)


def test_what_is_refused():
    labels, clinical = mixed(0)
    scores = scored(labels.index)
    with pytest.raises(DataError, match="score is not finite"):
        associations(scores.where(scores > -1), clinical)
    with pytest.raises(DataError, match="duplicate sample: P0000"):
        associations(scores, pd.concat([clinical, clinical.iloc[:1]]))
    with pytest.raises(DataError, match="no patient has both"):
        associations(scores, clinical.rename("Q{}".format))
    with pytest.raises(UsageError, match="sex is a clinical column too"):
        associations(scores, clinical, {"sex": labels})
