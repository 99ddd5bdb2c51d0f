"""What subtypes have more of, in numbers and words; which factors follow a column: against scipy and brute force."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from scipy.stats import false_discovery_control

from omics.columns import MOST_LEVELS
from omics.subtypes.enrichment import enrichment, factor_associations, following, listed, odds_text, percent, small
from omics.subtypes.novelty import verdicts
from tests.planted import mixed, patients

COLUMNS = (
    "subtype, label, level, test, n_inside, n_cluster, n_level, n, "
    "share_inside, share_outside, effect, p_value, q_value"
)


# --- tests of subtypes --------------------------------------------------------------------------------------------


def test_every_row_of_levels_is_what_counting_and_scipy_give():
    labels, clinical = mixed(1)
    table = enrichment(labels, clinical)
    assert ", ".join(table.columns) == COLUMNS
    rows = table[table["test"] == "fisher"]
    assert len(rows) == 3 * (4 + 2 + 2 + 2 + 2 + 4)
    text = clinical.assign(down=clinical["down"].map({0: "0", 1: "1"})).astype(object)
    for row in rows.itertuples():
        value = text[row.label].dropna().astype(str)
        inside, has = labels[value.index] == row.subtype, value == row.level
        counts = np.array([[(one & other).sum() for other in (has, ~has)] for one in (inside, ~inside)])
        assert (row.n_inside, row.n_cluster) == (counts[0, 0], counts[0].sum())
        assert (row.n_level, row.n) == (counts[:, 0].sum(), len(value))
        assert row.share_inside == pytest.approx(counts[0, 0] / counts[0].sum())
        assert row.share_outside == pytest.approx(counts[1, 0] / counts[1].sum())
        theirs = stats.fisher_exact(counts)
        assert row.effect == pytest.approx(theirs.statistic, rel=1e-12)
        assert row.p_value == pytest.approx(theirs.pvalue, rel=1e-9)


def test_every_row_of_numbers_is_that_of_mannwhitneyu():
    labels, clinical = mixed(2)
    table = enrichment(labels, clinical)
    rows = table[table["test"] == "mannwhitney"]
    assert sorted(set(rows["label"])) == ["age", "wbc"]
    assert len(rows) == 6
    for row in rows.itertuples():
        value = clinical[row.label].dropna()
        inside = (labels[value.index] == row.subtype).to_numpy()
        theirs = stats.mannwhitneyu(value[inside], value[~inside])
        assert row.p_value == pytest.approx(theirs.pvalue, rel=1e-9)
        assert row.effect == pytest.approx(theirs.statistic / (inside.sum() * (~inside).sum()), rel=1e-12)
        assert (row.share_inside, row.share_outside) == (value[inside].median(), value[~inside].median())
        assert (row.n_inside, row.n_cluster, row.n_level, row.n) == (inside.sum(), inside.sum(), len(value), len(value))
        assert row.level == ""


def test_the_whole_table_is_one_family():
    labels, clinical = mixed(3)
    clinical["site"] = np.where(labels == "S1", "North", "South")
    table = enrichment(labels, clinical)
    p = table["p_value"].to_numpy()
    brute = [min(1, *(len(p) * cut / (p <= cut).sum() for cut in p if cut >= one)) for one in p]
    np.testing.assert_allclose(table["q_value"], brute, rtol=1e-12)


def test_a_number_in_a_small_subtype_is_tested_exactly():
    """The three patients of the subtype are the oldest of 30: of all ways to choose three, two are as extreme."""
    labels, clinical = patients(("S1", 3, {}), ("S2", 27, {}))
    table = enrichment(labels, clinical.assign(age=np.arange(30.0)[::-1])).set_index("subtype")
    assert table.loc["S1", "p_value"] == pytest.approx(2 / (30 * 29 * 28 / 6), rel=1e-9)
    assert table["effect"].to_dict() == {"S1": 1.0, "S2": 0.0}


def test_rows_are_sorted_by_p_within_subtypes_in_natural_order():
    table = enrichment(*mixed(4))
    assert list(table["subtype"].unique()) == ["S1", "S2", "S10"]
    assert table.groupby("subtype")["p_value"].apply(lambda p: p.is_monotonic_increasing).all()


def test_what_is_tested_and_how():
    labels, clinical = mixed(5)
    clinical = clinical.assign(
        note=[f"text {i}" for i in range(len(clinical))],
        whole=[f"group {i % MOST_LEVELS}" for i in range(len(clinical))],
        constant="one",
        zero=0,
        same=7.5,
        nothing=np.nan,
        blank=np.where(np.arange(len(clinical)) % 2, "", "said"),
        seen=pd.Timestamp("2020-01-01"),
        nullable=pd.array([1.5, 2.5] * (len(clinical) // 2), dtype="Float64"),
        event=1.0 * (labels == "S1"),
        relapse=1.0 * (labels == "S1"),
        transplant_time=np.where(labels == "S1", 1.0, 2.0),
    )
    table = enrichment(labels, clinical)
    test = table.groupby("label")["test"].unique().str.join("")
    categorical = ("subtype", "site", "sex", "down", "trial", "plate", "whole")
    assert test.to_dict() == dict.fromkeys(categorical, "fisher") | dict.fromkeys(
        ("age", "wbc", "nullable"), "mannwhitney"
    )
    levels = table.groupby("label")["level"].unique().map(sorted)
    assert levels["down"] == ["0", "1"]
    assert levels["trial"] == ["False", "True"]
    assert levels["plate"] == ["1", "2", "3", "4"]


def test_missingness_of_a_layer_is_a_column():
    labels, clinical = patients(("S1", 10, {"sex": "f"}), ("S2", 20, {"sex": "m"}))
    has = labels.index[8:].append(pd.Index(["another cohort's"]))
    table = enrichment(labels, clinical.iloc[:0], {"methylation": has, "expression": labels.index})
    assert set(table["label"]) == {"layer methylation"}
    row = table.set_index(["subtype", "level"]).loc[("S1", "absent")]
    assert row[["n_inside", "n_cluster", "n_level", "n"]].tolist() == [8, 10, 8, 30]
    assert row["effect"] == np.inf
    assert row["p_value"] == pytest.approx(stats.fisher_exact([[8, 2], [0, 20]]).pvalue, rel=1e-9)


# --- what a level says --------------------------------------------------------------------------------------------


def said(labels: pd.Series, clinical: pd.DataFrame, known: list[str] | None = None) -> dict[str, str]:
    """The sentence on each subtype."""
    found = verdicts(labels, clinical, enrichment(labels, clinical), known=known)
    return dict(zip(found["subtype"], found["sentence"], strict=True))


@pytest.mark.parametrize(
    ("level", "words"),
    [
        *(("0", "subtype 0"), ("1", "subtype 1"), ("3", "subtype 3"), ("1.5", "subtype 1.5")),
        *(("No", "subtype = No"), ("Normal", "subtype = Normal"), ("Yes", "subtype = Yes"), ("M3", "M3")),
    ],
)
def test_any_level_of_several_may_be_named(level, words):
    """Codes of subtypes, a normal karyotype: only of two levels is one the absence of the other."""
    labels, clinical = patients(
        *((name, 30, {"subtype": value}) for name, value in (("S1", level), ("S2", "8"), ("S3", "9")))
    )
    assert said(labels, clinical)["S1"] == f"S1 equals {words} (100 % of S1 carry it, 100 % of all who do are in S1)."
    more = said(labels, clinical, known=[])["S1"]
    full = words if words.startswith("subtype") else f"subtype {words}"
    assert more.startswith(f"S1 has no known label to be compared with; most enriched: {full} (odds ratio infinite")


@pytest.mark.parametrize(
    ("levels", "words"),
    [
        (("1", "2"), ["equals subtype 1", "equals subtype 2"]),
        (("1", "0"), ["equals subtype", "matches no known label"]),
        (("Yes", "No"), ["equals subtype", "matches no known label"]),
        (("Yes", "unknown"), ["equals subtype", "matches no known label"]),
        (("BCR::ABL1", "Normal"), ["equals BCR::ABL1", "matches no known label"]),
    ],
)
def test_one_of_two_levels_may_be_a_no(levels, words):
    groups = [(name, 30, {"subtype": level}) for name, level in zip(("S1", "S2"), levels, strict=True)]
    found = said(*patients(*groups, ("S2", 2, {"subtype": "unknown"}), ("S2", 1, {"subtype": None})))
    for name, start in zip(("S1", "S2"), words, strict=True):
        assert found[name].startswith((f"{name} {start} (", f"{name} {start};"))


def test_what_may_be_chance_is_not_named():
    """A mutation of one patient in a cluster has an infinite odds ratio, and q = 0.27."""
    groups = (("S1", 1, "A", 1.0), ("S1", 9, "A", 0.0), ("S2", 60, "A", 0.0), ("S2", 3, "B", 0.0))
    labels, clinical = patients(*((name, n, {"subtype": a, "FLT3 mutation": hit}) for name, n, a, hit in groups))
    table = enrichment(labels, clinical)
    assert table["effect"].max() == np.inf
    assert 0.05 < table["q_value"].min() < 1
    found = verdicts(labels, clinical, table)
    assert found[["label", "level"]].to_numpy().tolist() == [["", ""]] * 2
    assert found["sentence"].tolist() == [
        f"{name} matches no known label; nothing is enriched." for name in ("S1", "S2")
    ]
    older = said(labels, clinical.assign(age=np.where(labels == "S1", 12.0, 4.0)))["S1"]
    assert older.startswith("S1 matches no known label; no label is enriched; age is higher: median 12 against 4")


def test_numbers_are_written_as_people_read_them():
    assert [percent(one) for one in (0, 0.001, 0.005, 0.126, 0.996, 1)] == [
        *("0 %", "< 1 %", "< 1 %", "13 %", "> 99 %", "100 %")
    ]
    assert [odds_text(one) for one in (0.04, 3.14, 99.96, 123.4, np.inf)] == ["0.0", "3.1", "100.0", "123", "infinite"]
    assert [small("q", one) for one in (1e-9, 0.001, 0.0234, 1.0)] == ["q < 0.001", "q = 0.001", "q = 0.023", "q = 1"]
    assert [listed(list(words)) for words in ("a", "ab", "abc")] == ["a", "a and b", "a, b and c"]


# --- tests of factors ---------------------------------------------------------------------------------------------


def test_factor_associations_are_those_of_scipy():
    labels, clinical = mixed(6)
    rng = np.random.default_rng(6)
    scores = pd.DataFrame(rng.normal(size=(len(labels), 3)).round(1), labels.index, ["Factor1", "Factor2", "Factor10"])
    scores["Factor2"] += 2.0 * (clinical["site"] == "North")
    scores["Factor10"] -= clinical["wbc"].rank() / 30
    table = factor_associations(scores, clinical.sample(frac=1, random_state=0), ["site", "plate", "age", "wbc"])
    assert list(table.columns) == ["factor", "label", "test", "n", "effect", "p_value", "q_value"]
    assert len(table) == 12
    assert table["effect"].is_monotonic_decreasing
    for row in table.itertuples():
        value = clinical[row.label].dropna()
        score = scores.loc[value.index, row.factor]
        assert row.n == len(value)
        if row.label in ("site", "plate"):
            theirs = stats.kruskal(*(score[value == level] for level in value.unique()))
            assert (row.test, row.effect) == ("kruskal", pytest.approx(theirs.statistic / (row.n - 1), rel=1e-9))
        else:
            theirs = stats.spearmanr(score, value)
            assert (row.test, row.effect) == ("spearman", pytest.approx(theirs.statistic**2, rel=1e-9))
        assert row.p_value == pytest.approx(theirs.pvalue, rel=1e-8)
    np.testing.assert_array_equal(table["q_value"], false_discovery_control(table["p_value"].to_numpy()))
    assert following(table) == ["Factor2", "Factor10"]
    assert following(table[table["label"] == "site"]) == ["Factor2"]
    assert following(table, least=0.99) == following(table, level=0.0) == []


def test_what_is_constant_follows_nothing():
    labels, clinical = patients(("S1", 20, {"site": "North", "sex": "f"}), ("S2", 20, {"site": "North", "sex": "m"}))
    scores = pd.DataFrame({"Factor1": np.ones(40), "Factor2": np.arange(40.0)}, labels.index)
    table = factor_associations(scores, clinical, ["site", "sex"]).set_index("factor")
    assert list(table["label"]) == ["sex", "sex"]
    assert table.loc["Factor1", ["effect", "p_value"]].tolist() == [0.0, 1.0]
