"""What a cluster is: every kind of verdict planted and found, with its numbers."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from omics.schema import DataError, UsageError
from omics.subtypes.enrichment import enrichment, factor_associations, following, phi
from omics.subtypes.novelty import KINDS, verdicts
from tests.planted import mixed, patients


def judged(labels: pd.Series, clinical: pd.DataFrame, layers=None, **others) -> pd.DataFrame:
    """Verdicts, indexed by subtype."""
    found = verdicts(labels, clinical, enrichment(labels, clinical, layers), **others)
    assert list(found.columns) == ["subtype", "n", "kind", "label", "level", "sentence"]
    assert set(found["kind"]) <= set(KINDS)
    return found.set_index("subtype")


# --- verdicts -----------------------------------------------------------------------------------------------------


def test_a_known_subtype_is_recognised():
    found = judged(
        *patients(
            ("S1", 38, {"subtype": "ETV6::RUNX1"}),
            ("S1", 2, {"subtype": "TCF3::PBX1"}),
            ("S2", 2, {"subtype": "ETV6::RUNX1"}),
            ("S2", 60, {"subtype": "TCF3::PBX1"}),
        )
    )
    assert found.loc["S1"].tolist() == [
        40,
        "known",
        "subtype",
        "ETV6::RUNX1",
        "S1 equals ETV6::RUNX1 (95 % of S1 carry it, 95 % of all who do are in S1).",
    ]
    assert found.loc["S2", "sentence"] == "S2 equals TCF3::PBX1 (97 % of S2 carry it, 97 % of all who do are in S2)."


def test_precision_without_strength_is_no_explanation():
    """Nine in ten of everybody are of the level, so nine in ten of any cluster are."""
    found = judged(
        *patients(*((one, n, {"subtype": level}) for one in ("S1", "S2") for n, level in ((90, "A"), (10, "B"))))
    )
    assert list(found["kind"]) == ["new", "new"]
    site = judged(
        *patients(*((one, n, {"site": level}) for one in ("S1", "S2") for n, level in ((90, "A"), (10, "B"))))
    )
    assert list(site["kind"]) == ["new", "new"]
    assert phi(*np.array([[90.0], [100], [180], [200]]))[0] == 0


@pytest.mark.parametrize("column", ["subtype", "site"])
def test_what_is_sure_but_weak_is_no_explanation(column):
    """All of the cluster are of a level of which 80 % of everybody are: q is small, and so is phi, 0.25."""
    groups = (("S1", 120, {column: "A"}), ("S1", 40, {column: "B"}), ("S2", 40, {column: "A"}))
    labels, clinical = patients(*groups)
    table = enrichment(labels, clinical)
    assert table["q_value"].max() < 0.001
    assert list(verdicts(labels, clinical, table)["kind"]) == ["new", "new"]


def test_patients_without_a_named_subtype_do_not_count_against_it():
    """The clinic had no test for DUX4: it calls 60 % of the cluster B-other."""
    found = judged(
        *patients(
            ("S1", 60, {"subtype": "BCR::ABL1"}),
            ("S2", 16, {"subtype": "DUX4"}),
            ("S2", 24, {"subtype": "B-other"}),
            ("S3", 30, {"subtype": "B-other"}),
            ("S3", 4, {"subtype": "BCR::ABL1"}),
        )
    )
    assert found.loc["S2", "kind"] == "known"
    assert found.loc["S2", "sentence"] == (
        "S2 looks like DUX4 (40 % of S2 carry it, 100 % of all who do are in S2; 60 % of S2 have no named subtype)."
    )
    assert found.loc["S3", ["kind", "level"]].tolist() == ["new", "B-other"]
    odds = 30 * 76 / (4 * 24)
    assert found.loc["S3", "sentence"] == (
        f"S3 matches no known label; most enriched: subtype B-other (odds ratio {odds:.1f}, q < 0.001)."
    )


def test_a_split_names_its_clusters_and_the_factor():
    labels, clinical = patients(
        ("S1", 60, {"subtype": "ETV6::RUNX1"}),
        ("S2", 40, {"subtype": "High hyperdiploid"}),
        ("S2", 2, {"subtype": "ETV6::RUNX1"}),
        ("S5", 30, {"subtype": "High hyperdiploid"}),
        ("S10", 2, {"subtype": "High hyperdiploid"}),
        ("S10", 20, {"subtype": "TCF3::PBX1"}),
    )
    rng = np.random.default_rng(0)
    scores = pd.DataFrame(rng.normal(size=(len(labels), 3)), labels.index, ["Factor1", "Factor2", "Factor3"])
    scores["Factor1"] += 50.0 * (labels == "S1")  # tells S1 from all others, and nothing of the split
    scores["Factor3"] += 4.0 * (labels == "S5")
    found = judged(labels, clinical, scores=scores.sample(frac=1, random_state=1))
    both = scores.loc[labels.isin(["S2", "S5"]), "Factor3"]
    groups = [both[labels[both.index] == one] for one in ("S2", "S5")]
    eta = 1 - sum(((one - one.mean()) ** 2).sum() for one in groups) / ((both - both.mean()) ** 2).sum()
    start = f"S2 and S5 split High hyperdiploid, by Factor3 (eta squared {eta:.2f}): "
    end = "; of all who do, 56 % are in S2 and 42 % are in S5."
    assert list(found.index) == ["S1", "S2", "S5", "S10"]
    assert list(found["kind"]) == ["known", "splits", "splits", "known"]
    assert found.loc["S2", "sentence"] == f"{start}95 % of S2 carry it{end}"
    assert found.loc["S5", "sentence"] == f"{start}100 % of S5 carry it{end}"
    assert ", by" not in judged(labels, clinical).loc["S2", "sentence"]


def test_part_of_a_subtype_whose_rest_is_scattered():
    groups = [(f"S{i}", n, {"subtype": "AB"[n == 40]}) for i in range(2, 8) for n in (40, 3)]
    labels, clinical = patients(
        ("S1", 50, {"subtype": "A"}), *((s, n, {"subtype": {40: "B", 3: "A"}[n]}) for s, n, _ in groups)
    )
    found = judged(labels, clinical)
    assert found.loc["S1", "kind"] == "splits"
    assert found.loc["S1", "sentence"] == "S1 is part of A: 100 % of S1 carry it; of all who do, 74 % are in S1."


def test_a_cluster_of_several_subtypes_joins_them():
    found = judged(
        *patients(
            ("S3", 27, {"subtype": "BCR::ABL1-like"}),
            ("S3", 20, {"subtype": "BCR::ABL1"}),
            ("S3", 3, {"subtype": "Rare"}),
            ("S4", 3, {"subtype": "BCR::ABL1-like"}),
            ("S4", 80, {"subtype": "ETV6::RUNX1"}),
        )
    )
    assert found.loc["S3", ["kind", "label", "level"]].tolist() == ["merges", "subtype", "BCR::ABL1; BCR::ABL1-like"]
    assert found.loc["S3", "sentence"] == (
        "S3 joins BCR::ABL1 and BCR::ABL1-like (100 % and 90 % of them are in S3; together they are 94 % of it)."
    )


def test_small_subtypes_within_part_of_a_large_one_do_not_make_the_cluster():
    """A and B are wholly within S3 (phi of both is 0.5), but are a third of it: the rest is a part of C."""
    found = judged(
        *patients(
            *(("S3", n, {"subtype": level}) for n, level in ((10, "A"), (10, "B"), (40, "C"))),
            *(("S4", n, {"subtype": level}) for n, level in ((80, "C"), (40, "D"))),
        )
    )
    assert found.loc["S3", "kind"] == "new"


SITES = [
    ("S1", 60, {"subtype": "A", "site": "South", "sex": "female"}),
    ("S2", 60, {"subtype": "B", "site": "South", "sex": "male"}),
    ("S4", 12, {"subtype": "A", "site": "North", "sex": "female"}),
    ("S4", 12, {"subtype": "B", "site": "North", "sex": "male"}),
    ("S4", 1, {"subtype": "B", "site": "South", "sex": "male"}),
]


def test_a_batch_is_recognised():
    found = judged(*patients(*SITES))
    assert list(found["kind"]) == ["known", "known", "technical"]
    assert found.loc["S4", ["label", "level"]].tolist() == ["site", "North"]
    assert found.loc["S4", "sentence"] == "S4 follows site: 96 % come from North (0 % of the others, q < 0.001)."


def test_sex_is_recognised():
    rng = np.random.default_rng(0)
    labels, clinical = patients(("S1", 40, {"sex": "male"}), ("S2", 38, {"sex": "female"}), ("S2", 2, {"sex": "male"}))
    found = judged(labels, clinical.assign(subtype=rng.choice(["A", "B", "C"], 80)))
    assert list(found["kind"]) == ["sex", "sex"]
    assert found.loc["S2", "sentence"] == "S2 follows sex: 95 % are female (0 % of the others, q < 0.001)."


def test_a_lack_of_data_is_recognised():
    rng = np.random.default_rng(0)
    labels, clinical = patients(("S1", 60, {}), ("S2", 20, {}))
    clinical = pd.DataFrame({"subtype": rng.choice(["A", "B", "C"], 80)}, labels.index)
    found = judged(labels, clinical, {"methylation": labels.index[6:61], "expression": labels.index[10:]})
    assert list(found["kind"]) == ["missing data", "missing data"]
    assert found.loc["S2", ["label", "level"]].tolist() == ["layer methylation", "absent"]
    assert found.loc["S2", "sentence"] == (
        "S2 follows the lack of methylation: 95 % lack it (10 % of the others, q < 0.001)."
    )
    assert found.loc["S1", "sentence"] == (
        "S1 follows the presence of methylation: 90 % have it (5 % of the others, q < 0.001)."
    )


@pytest.mark.parametrize(("strays", "kind"), [(0, "known"), (4, "technical")])
def test_a_batch_wins_only_if_it_is_the_stronger_explanation(strays, kind):
    """The cluster is one site and one subtype; with no strays the two are equal, and biology has it."""
    labels, clinical = patients(
        ("S1", 40 - strays, {"subtype": "A", "site": "North"}),
        ("S1", strays, {"subtype": "B", "site": "North"}),
        ("S2", strays, {"subtype": "A", "site": "South"}),
        ("S2", 60, {"subtype": "B", "site": "South"}),
    )
    found = judged(labels, clinical)
    assert list(found["kind"]) == [kind, kind]
    weaker = clinical.assign(site=np.where(np.arange(len(labels)) < 56, "North", "South"))
    assert list(judged(labels, weaker)["kind"]) == ["known", "known"]


@pytest.mark.parametrize(
    ("column", "levels", "kind", "words"),
    [
        ("site", ("North", "South"), "technical", "by site: 95 % of S2 come from North (10 % of S3, p < 0.001)."),
        ("sex", ("male", "female"), "sex", "by sex: 95 % of S2 are male (10 % of S3, p < 0.001)."),
    ],
)
def test_a_subtype_split_by_batch_or_sex_is_not_split_by_biology(column, levels, kind, words):
    one, other = ({"subtype": "A", column: level} for level in levels)
    rest = [
        ("S1", n, {"subtype": level, column: value})
        for level in "BC"
        for n, value in ((30, levels[0]), (30, levels[1]))
    ]
    labels, clinical = patients(("S2", 19, one), ("S2", 1, other), ("S3", 2, one), ("S3", 18, other), *rest)
    found = judged(labels, clinical)
    assert found.loc["S2", ["kind", "label", "level"]].tolist() == [kind, column, levels[0]]
    assert found.loc["S2", "sentence"] == f"S2 and S3 split A {words}"
    assert found.loc["S3", ["kind", "level"]].tolist() == [kind, levels[1]]
    balanced = clinical.assign(**{column: np.resize(levels, len(labels))})
    assert judged(labels, balanced).loc[["S2", "S3"], "kind"].tolist() == ["splits", "splits"]


def test_a_split_that_a_batch_hardly_tells_is_one_of_biology():
    """Nine in ten of one come from North, and six in ten of the other: p = 0.004, phi = 0.35."""
    sites = (("S1", "B", 30, 30), ("S2", "A", 36, 4), ("S3", "A", 24, 16))
    found = judged(
        *patients(
            *((s, north, {"subtype": a, "site": "North"}) for s, a, north, _ in sites),
            *((s, south, {"subtype": a, "site": "South"}) for s, a, _, south in sites),
        )
    )
    assert list(found["kind"]) == ["known", "splits", "splits"]


def test_columns_that_name_subtypes_come_before_other_text():
    labels, clinical = patients(
        ("S1", 36, {"subtype": "A", "lineage": "T"}),
        ("S1", 4, {"subtype": "B", "lineage": "T"}),
        ("S2", 50, {"subtype": "B", "lineage": "B"}),
    )
    assert judged(labels, clinical).loc["S1", ["label", "level"]].tolist() == ["subtype", "A"]
    other = judged(labels, clinical, known=["lineage"]).loc["S1"]
    assert other["sentence"] == "S1 equals T (100 % of S1 carry it, 100 % of all who do are in S1)."
    only = judged(labels, clinical[["lineage"]]).loc["S1"]
    assert only["sentence"] == "S1 equals lineage T (100 % of S1 carry it, 100 % of all who do are in S1)."
    assert set(judged(labels, clinical, known=[])["kind"]) == {"new"}


def test_a_yes_may_name_a_subtype_and_a_no_may_not():
    labels, clinical = patients(("S1", 30, {"BCR_ABL1": 1.0}), ("S2", 70, {"BCR_ABL1": 0.0}))
    found = judged(labels, clinical, known=["BCR_ABL1"])
    assert found.loc["S1", "sentence"] == "S1 equals BCR_ABL1 (100 % of S1 carry it, 100 % of all who do are in S1)."
    assert list(found["kind"]) == ["known", "new"]
    text = judged(labels, pd.DataFrame({"fusion": np.where(labels == "S1", "BCR::ABL1", "unknown")}, labels.index))
    assert list(text["kind"]) == ["known", "new"]  # what is unknown is all that the one name can be told from


def test_a_new_cluster_says_what_is_commonest_and_which_number_differs():
    rng = np.random.default_rng(0)
    labels, clinical = patients(
        ("S1", 50, {"subtype": "A"}),
        ("S1", 30, {"subtype": "B"}),
        ("S6", 8, {"subtype": "A"}),
        ("S6", 22, {"subtype": "B"}),
    )
    age = np.where(labels == "S6", 12.0, 4.0) + rng.random(110).round(2)
    clinical = clinical.assign(age=age, wbc=rng.random(110))
    row = judged(labels, clinical).loc["S6"]
    q = enrichment(labels, clinical).set_index(["subtype", "label", "level"]).loc[("S6", "subtype", "B"), "q_value"]
    medians = [age[labels == "S6"], age[labels == "S1"]]
    assert row["kind"] == "new"
    assert row["sentence"] == (
        f"S6 matches no known label; most enriched: subtype B (odds ratio {22 * 50 / (30 * 8):.1f}, q = {q:.2g}); "
        f"age is higher: median {np.median(medians[0]):.3g} against {np.median(medians[1]):.3g} in the others "
        "(AUC 1.00, q < 0.001)."
    )
    alone = judged(labels, clinical[["wbc"]]).loc["S6"]
    assert alone["sentence"] == "S6 has no known label to be compared with."


# --- patients without a label -------------------------------------------------------------------------------------


@pytest.mark.parametrize(("rest", "level", "end"), [(None, "X", ", known of 8 of 40"), ("B-other", "B-other", "")])
def test_a_cluster_most_of_which_has_no_label_matches_none(rest, level, end):
    groups = (("S1", 8, "X"), ("S1", 32, rest), ("S2", 60, "Y"))
    found = judged(*patients(*((name, n, {"subtype": value}) for name, n, value in groups)))
    assert found.loc["S1", "sentence"].startswith(
        f"S1 matches no known label; most enriched: subtype {level} (odds ratio infinite, q < 0.001{end})"
    )
    assert list(found["kind"]) == ["new", "known"]
    assert found.loc["S2", "sentence"] == "S2 equals Y (100 % of S2 carry it, 100 % of all who do are in S2)."


def test_shares_are_of_all_patients_of_the_cluster():
    """Of the 24 patients of S5, 11 are known to be of DUX4, 3 are called B-other, and of 10 nothing is known."""
    labels, clinical = patients(
        ("S5", 11, {"subtype": "DUX4"}),
        ("S5", 3, {"subtype": "B-other"}),
        ("S5", 10, {}),
        ("S6", 57, {"subtype": "KMT2A"}),
        ("S6", 3, {"subtype": np.nan}),
    )
    found = judged(labels, clinical)
    assert found.loc["S5", ["kind", "level"]].tolist() == ["known", "DUX4"]
    assert found.loc["S5", "sentence"] == (
        "S5 looks like DUX4 (46 % of S5 carry it, 100 % of all who do are in S5; 12 % of S5 have no named subtype; "
        "42 % of S5 have no label)."
    )
    assert found.loc["S6", "sentence"] == (
        "S6 equals KMT2A (95 % of S6 carry it, 100 % of all who do are in S6; 5 % of S6 have no label)."
    )
    assert "known of" not in judged(labels, clinical, known=[]).loc["S5", "sentence"]  # said where most have no label
    row = enrichment(labels, clinical).set_index(["subtype", "level"]).loc[("S5", "DUX4")]
    assert row[["n_inside", "n_cluster", "n_level", "n"]].tolist() == [11, 14, 11, 71]  # nobody unknown is a negative


def test_parts_and_unions_are_shares_of_all_patients_too():
    groups = (("S1", 30, "A"), ("S1", 10, None), ("S2", 30, "A"), ("S3", 20, "B"), ("S3", 20, "C"), ("S3", 10, None))
    found = judged(*patients(*((name, n, {"subtype": level}) for name, n, level in groups)))
    assert found.loc["S1", "sentence"] == (
        "S1 and S2 split A: 75 % of S1 carry it; of all who do, 50 % are in S1 and 50 % are in S2; "
        "25 % of S1 have no label."
    )
    assert found.loc["S3", "sentence"] == (
        "S3 joins B and C (100 % and 100 % of them are in S3; together they are 80 % of it; 20 % of S3 have no label)."
    )
    groups = (*groups[:-1], ("S3", 50, None))
    few = judged(*patients(*((name, n, {"subtype": level}) for name, n, level in groups)))
    assert few.loc["S3", "kind"] == "new"  # 40 of 90


@pytest.mark.parametrize(("labelled", "verb"), [(60, "equals"), (4, "looks like")])
def test_a_label_of_few_patients_equals_nothing(labelled, verb):
    """All of S1 are of X, but of most others nobody knows whether they are."""
    found = judged(
        *patients(
            ("S1", 20, {"subtype": "X"}), ("S2", labelled, {"subtype": "Y"}), ("S2", 80 - labelled, {"subtype": None})
        )
    )
    end = "; 76 % of all patients have no label" if labelled == 4 else ""
    assert found.loc["S1", "sentence"] == (f"S1 {verb} X (100 % of S1 carry it, 100 % of all who do are in S1{end}).")


@pytest.mark.parametrize(("name", "done"), [("TP53 mutation", "sequenced"), ("del_9p", "tested")])
def test_who_was_not_sequenced_is_not_of_the_level(name, done):
    known = (("S5", 11, 1.0), ("S5", 13, np.nan), ("S6", 30, 0.0), ("S6", 6, np.nan))
    labels, clinical = patients(*((subtype, n, {name: value}) for subtype, n, value in known))
    found = judged(labels, clinical, known=[name])
    assert found.loc["S5", "sentence"] == (
        f"S5 looks like {name} (100 % of the 11 of S5 who were {done} carry it, 100 % of all who do are in S5; "
        f"54 % of S5 were not {done})."
    )
    most = clinical.assign(**{name: clinical[name].where(np.arange(60) >= 21, 1.0)})
    assert (
        judged(labels, most, known=[name])
        .loc["S5", "sentence"]
        .startswith(f"S5 equals {name} (100 % of the 21 of S5 who were {done} carry it")
    )
    few = clinical.assign(**{name: clinical[name].where(np.arange(60) >= 4)})
    assert judged(labels, few, known=[name]).loc["S5", "kind"] == "new"  # 7 of 24 are known to carry it


@pytest.mark.parametrize(("seen", "kind"), [(20, "technical"), (12, "new")])
def test_a_site_that_is_known_of_few_explains_nothing(seen, kind):
    found = judged(
        *patients(("S1", seen, {"site": "North"}), ("S1", 40 - seen, {"site": None}), ("S2", 60, {"site": "South"}))
    )
    assert found.loc["S1", "kind"] == kind
    if kind == "technical":
        assert found.loc["S1", "sentence"] == (
            "S1 follows site: 100 % of the 20 whose site is known come from North (0 % of the others, q < 0.001)."
        )


# --- what may be said of a column ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("column", "verb"),
    [
        *(("nci_risk", ""), ("risk_cyto", ""), ("cytogenetic_risk", ""), ("race", ""), ("arm", ""), ("stratum", "")),
        *(("subtype", "split"), ("Lineage", "split"), ("histology_subtype", "split")),
        *(("karyotype", "split"), ("diagnosis", "split"), ("FAB", "split"), ("known fusion", "split")),
    ],
)
def test_only_disease_entities_are_split(column, verb):
    labels, clinical = patients(
        *(("S1", n, {column: level}) for n, level in ((45, "Low"), (5, "High"))),
        *(("S2", n, {column: level}) for n, level in ((45, "Low"), (5, "High"))),
        ("S3", 60, {column: "High"}),
    )
    found = judged(labels, clinical)
    assert list(found["kind"]) == (["splits", "splits", "known"] if verb else ["new", "new", "known"])
    odds = 45 * 65 / (5 * 45)
    said = f"matches no known label; most enriched: {column} Low (odds ratio {odds:.1f}, q < 0.001)."
    start = "S1 and S2 split" if verb else f"S1 {said}"
    assert found.loc["S1", "sentence"].startswith(start)
    assert list(judged(labels, clinical, known=[column])["kind"]) == ["splits", "splits", "known"]


def test_only_disease_entities_are_joined():
    groups = (("S1", 20, "Low"), ("S1", 20, "Medium"), ("S2", 40, "High"))
    labels, clinical = patients(*((name, n, {"nci_risk": level}) for name, n, level in groups))
    assert list(judged(labels, clinical)["kind"]) == ["new", "known"]
    assert list(judged(labels, clinical.rename(columns={"nci_risk": "subtype"}))["kind"]) == ["merges", "known"]


# --- what it does not depend on, and what is refused --------------------------------------------------------------


@pytest.mark.slow
def test_random_clusters_are_new():
    clean, kinds = 0, 0
    for seed in range(60):
        labels, clinical = mixed(100 + seed)
        table = enrichment(labels, clinical, {"methylation": labels.index[::3]})
        clean += bool((table["q_value"] >= 0.05).all())
        kinds += set(verdicts(labels, clinical, table)["kind"]) == {"new"}
    assert clean >= 57
    assert kinds >= 57


def test_the_order_of_patients_does_not_matter():
    labels, clinical = patients(*SITES)
    clinical = clinical.assign(age=np.random.default_rng(1).random(len(labels)))
    scores = pd.DataFrame(np.random.default_rng(2).normal(size=(len(labels), 4)), labels.index, list("abcd"))
    table = enrichment(labels, clinical)
    shuffled = labels.sample(frac=1, random_state=3)
    again = enrichment(shuffled, clinical.sample(frac=1, random_state=4))
    pd.testing.assert_frame_equal(again, table, check_exact=True)
    pd.testing.assert_frame_equal(
        verdicts(shuffled, clinical, again, scores.sample(frac=1, random_state=5)),
        verdicts(labels, clinical, table, scores),
        check_exact=True,
    )


def test_patients_without_a_label_or_a_row_are_left_out():
    labels, clinical = mixed(7)
    gone = labels.index[:40]
    unlabelled = labels.where(~labels.index.isin(gone))
    table = enrichment(unlabelled, clinical)
    pd.testing.assert_frame_equal(table, enrichment(labels.drop(gone), clinical.drop(gone)))
    assert verdicts(unlabelled, clinical, table)["n"].sum() == len(labels) - 40
    pd.testing.assert_frame_equal(enrichment(labels, clinical.drop(gone)), table)


@pytest.mark.parametrize("columns", [[], ["subtype"]])
def test_nothing_known_gives_empty_tables(columns):
    labels, clinical = mixed(8)
    bare = clinical.loc[[], columns]
    table = enrichment(labels, bare)
    full = enrichment(labels, clinical)
    assert table.empty
    assert table.dtypes.to_dict() == full.dtypes.to_dict()
    nothing = verdicts(labels, bare, table)
    assert nothing.empty
    assert nothing.columns.tolist() == verdicts(labels, clinical, full).columns.tolist()
    scores = pd.DataFrame({"Factor1": np.arange(len(labels))}, labels.index)
    associations = factor_associations(scores, bare, columns)
    assert associations.empty
    assert following(associations) == []


def test_one_cluster_has_nothing_to_be_compared_with():
    labels, clinical = mixed(9)
    table = enrichment(labels.where(labels == "S1"), clinical)
    assert table.empty
    assert verdicts(labels.where(labels == "S1"), clinical, table).empty


def test_wrong_input_is_refused():
    labels, clinical = mixed(10)
    scores = pd.DataFrame({"Factor1": np.arange(len(labels))}, labels.index)
    twice = [*range(len(labels)), 3]
    with pytest.raises(DataError, match="duplicate sample id: P0003"):
        enrichment(labels.iloc[twice], clinical)
    with pytest.raises(DataError, match="duplicate sample id: P0003"):
        enrichment(labels, clinical.iloc[twice])
    with pytest.raises(DataError, match="duplicate column: age"):
        enrichment(labels, pd.concat([clinical, clinical[["age"]]], axis=1))
    with pytest.raises(UsageError, match="no column nonsense"):
        factor_associations(scores, clinical, ["age", "nonsense"])
    with pytest.raises(DataError, match="not finite"):
        factor_associations(scores.where(scores > 3), clinical, ["age"])
    with pytest.raises(UsageError, match="no column nonsense"):
        verdicts(labels, clinical, enrichment(labels, clinical), known=["nonsense"])
    with pytest.raises(UsageError, match="no patient is of S1"):
        verdicts(labels.replace("S1", "S3"), clinical, enrichment(labels, clinical))
