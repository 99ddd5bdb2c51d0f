"""Sentences on clusters whose columns are coded, named or filled in ways that once misled them."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from omics.subtypes import agreement
from omics.subtypes.enrichment import enrichment, number_text
from omics.subtypes.novelty import verdicts
from tests.planted import patients

ALL = "100 % of {0} carry it, 100 % of all who do are in {0}"


def of_column(name: str, *groups: tuple[str, int, object]) -> tuple[pd.Series, pd.DataFrame]:
    """Labels and a clinical table of one column: subtype, number, value."""
    return patients(*((subtype, n, {name: value}) for subtype, n, value in groups))


def said(labels: pd.Series, clinical: pd.DataFrame, layers=None, **others) -> dict[str, str]:
    """The sentence on each subtype."""
    found = verdicts(labels, clinical, enrichment(labels, clinical, layers), **others)
    return dict(zip(found["subtype"], found["sentence"], strict=True))


# --- labels that are numbers --------------------------------------------------------------------------------------


@pytest.mark.parametrize(("yes", "no"), [(1, 0), (1.0, 0.0), (True, False), ("Yes", "No")])
def test_a_lesion_is_a_label_however_its_yes_is_coded(yes, no):
    found = said(*of_column("ETV6::RUNX1", ("S1", 70, no), ("S2", 50, yes), ("S3", 5, no), ("S3", 5, None)))
    assert found["S2"] == f"S2 equals ETV6::RUNX1 ({ALL.format('S2')})."
    assert found["S1"] == "S1 matches no known label; nothing is enriched."


@pytest.mark.parametrize("column", ["fab", "Cytogenetic_Code", "clinical_subtype", "karyotype"])
@pytest.mark.parametrize("code", [int, float, "{:d}".format])
def test_codes_of_subtypes_are_labels(column, code):
    groups = (("S1", 40, 1), ("S2", 40, 2), ("S2", 2, 1), ("S3", 20, 3), ("S3", 20, 4), ("S4", 20, 5), ("S5", 20, 5))
    labels, clinical = of_column(column, *((name, n, code(value)) for name, n, value in groups))
    found = said(labels, clinical)
    assert found["S1"] == f"S1 equals {column} 1 (100 % of S1 carry it, 95 % of all who do are in S1)."
    assert found["S3"].startswith(f"S3 joins {column} 3 and {column} 4 (")
    assert found["S4"].startswith(f"S4 and S5 split {column} 5: ")


def test_measurements_and_calls_of_genes_are_no_labels():
    numbers = {"mrd": (3, 1), "age": (12, 4), "wbc": (50, 5), "age_at_diagnosis": (9, 2)}
    for name, values in numbers.items():
        found = said(*of_column(name, *zip(("S1", "S2"), (30, 40), values, strict=True)))
        assert found["S1"].startswith(
            f"S1 has no known label to be compared with; {name} is higher: median {values[0]} against {values[1]} "
        )
    found = said(*of_column("NRAS mutation", ("S1", 30, 1.0), ("S2", 40, 0.0)))
    assert found["S1"].startswith("S1 has no known label to be compared with; most enriched: NRAS mutation (")


# --- where few patients have another name -------------------------------------------------------------------------


@pytest.mark.parametrize(("strays", "share"), [(0, "100 %"), (4, "90 %")])
def test_names_that_are_all_within_the_cluster_are_joined(strays, share):
    """The clinic names A and B alone: with who is of neither, B-other, nobody else is left to compare."""
    groups = (("S1", 34, "A"), ("S1", 36, "B"), ("S2", strays, "B"), ("S2", 50, "B-other"), ("S3", 30, "B-other"))
    found = said(*of_column("subtype", *groups))
    assert found["S1"] == f"S1 joins A and B (100 % and {share} of them are in S1; together they are 100 % of it)."
    assert all(found[one].startswith(f"{one} matches no known label") for one in ("S2", "S3"))


def test_one_patient_of_another_name_does_not_hide_what_the_cluster_is():
    groups = (("S1", 66, "A"), ("S1", 1, "B"), ("S2", 4, "A"), ("S2", 50, "B-other"))
    assert said(*of_column("subtype", *groups))["S1"] == (
        "S1 equals A (99 % of S1 carry it, 94 % of all who do are in S1)."
    )
    split = (("S1", 40, "A"), ("S2", 40, "A"), ("S2", 1, "B"), ("S3", 60, "B-other"))
    assert said(*of_column("subtype", *split))["S1"].startswith("S1 and S2 split A: ")


def test_where_many_have_another_name_who_has_none_does_not_count():
    """With the 160 of S1 whom the clinic could not name, phi would be 0.26; among those with a name it is 1."""
    found = said(*of_column("subtype", ("S1", 82, "DUX4"), ("S1", 160, "B-other"), ("S2", 40, "KMT2A")))
    assert found["S1"] == (
        "S1 looks like DUX4 (34 % of S1 carry it, 100 % of all who do are in S1; 66 % of S1 have no named subtype)."
    )


def test_a_subtype_in_many_parts_is_as_strong_as_their_union():
    """All with a name are in S1 to S6; phi of their union and A is 0.98, and that of S1 and its site is 1."""
    names = [f"S{k}" for k in range(1, 7)]
    groups = (*((one, 20, "A") for one in names), ("S1", 2, "B"), ("S7", 60, "B-other"))
    labels, clinical = of_column("subtype", *groups)
    assert said(labels, clinical)["S1"].startswith("S1, S2, S3, S4, S5 and S6 split A: 91 % of S1 carry it; ")
    site = clinical.assign(site=np.where(labels == "S1", "North", "South"))
    assert said(labels, site)["S1"].startswith("S1 follows site: 100 % come from North (0 % of the others")


def test_names_that_all_clusters_share_explain_none():
    """All who have a name are of A, as many in one cluster as in the other, and so are those without one."""
    groups = [(name, n, level) for name in ("S1", "S2") for n, level in ((40, "A"), (1, "B"), (20, "B-other"))]
    labels, clinical = of_column("subtype", *groups)
    assert set(verdicts(labels, clinical, enrichment(labels, clinical))["kind"]) == {"new"}


# --- names of columns ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("column", ["relapse_site", "Relapse_Date", "remission", "site_of_relapse"])
def test_details_of_a_relapse_explain_no_cluster(column):
    labels, clinical = of_column(column, ("S1", 70, "CNS"), ("S2", 50, "BM"))
    assert enrichment(labels, clinical).empty
    with_age = clinical.assign(age=np.resize([4.0, 6.0], 120))
    assert said(labels, with_age)["S2"] == "S2 has no known label to be compared with."


def test_a_site_and_a_kind_of_sample_are_what_they_were():
    for column in ("site", "treatment_site", "sequencing_site"):
        found = said(*of_column(column, ("S1", 70, "CNS"), ("S2", 50, "BM")))
        assert found["S2"].startswith(f"S2 follows {column}: 100 % come from BM (")
    found = said(*of_column("sample_type", ("S1", 70, "diagnosis"), ("S2", 50, "relapse")))
    assert found["S2"] == f"S2 equals sample_type relapse ({ALL.format('S2')})."


@pytest.mark.parametrize("taken", [["layer expression"], ["layer expression", "layer expression (layer)"]])
def test_a_clinical_column_with_the_name_of_a_layer_is_another_column(taken):
    labels, clinical = patients(
        *((one, n, dict.fromkeys(taken, level)) for one, n, level in (("S1", 40, "present"), ("S2", 60, "absent")))
    )
    found = said(labels, clinical, {"expression": labels.index})
    assert found["S1"] == f"S1 equals layer expression present ({ALL.format('S1')})."
    table = enrichment(labels, clinical, {"expression": labels.index[40:]})
    assert not table.duplicated(["subtype", "label", "level"]).any()
    layer = (set(table["label"]) - set(taken)).pop()
    lack = table.set_index(["subtype", "label", "level"]).loc[("S1", layer, "absent")]
    assert (len(table), lack["n_inside"]) == (4 * len(taken) + 4, 40)
    assert layer == f"{taken[-1]} (layer)"
    rest = clinical.assign(**dict.fromkeys(taken, np.resize(["present", "absent"], 100)))
    what = layer.removeprefix("layer ")
    assert said(labels, rest, {"expression": labels.index[40:]})["S1"] == (
        f"S1 follows the lack of {what}: 100 % lack it (0 % of the others, q < 0.001)."
    )


# --- numbers ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "text"),
    [
        *((0.0, "0"), (0.1374, "0.137"), (21.64, "21.6"), (-4, "-4"), (999.4, "999"), (999.7, "1,000")),
        *((2004, "2004"), (2004.5, "2004.5"), (2213.7, "2,214"), (2210, "2,210"), (9999, "9,999"), (-2300, "-2,300")),
        *((10_049, "10,000"), (156_204.3, "156,000"), (1.5e9, "1,500,000,000"), (np.inf, "inf")),
    ],
)
def test_numbers_have_no_powers_of_ten(value, text):
    assert number_text(value) == text


def test_medians_are_plain_numbers():
    labels, clinical = patients(
        ("S1", 40, {"year": 2004, "wbc_per_ul": 156_204.0}), ("S2", 50, {"year": 2001, "wbc_per_ul": 2_210.0})
    )
    assert "; year is higher: median 2004 against 2001 in the others (" in said(labels, clinical[["year"]])["S1"]
    assert "median 156,000 against 2,210 in the others (" in said(labels, clinical[["wbc_per_ul"]])["S1"]


def test_codes_of_subtypes_agree_as_their_names_do():
    labels = pd.Series(np.repeat(["S1", "S2", "S3"], 20), index=[f"p{i}" for i in range(60)])
    named = pd.Series(np.repeat(["M1", "M3", "M5", "M3"], [25, 15, 10, 10]), index=labels.index)
    clinical = pd.DataFrame({"fab": named.str[1].astype(float), "age": np.arange(60.0) // 10})
    found = agreement(labels, clinical)
    assert found["label"].tolist() == ["fab"]
    pd.testing.assert_frame_equal(found, agreement(labels, clinical[[]].assign(fab=named)))
