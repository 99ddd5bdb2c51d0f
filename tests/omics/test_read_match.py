"""Barcodes, the choice of one sample a patient, and the account."""

from __future__ import annotations

import numpy as np
import pytest

from omics.read.barcodes import parse
from omics.read.match import account, require_overlap, select
from omics.schema import DataError


@pytest.mark.parametrize(
    ("identifier", "patient", "timepoint"),
    [
        ("TCGA-AB-2803-03A-01T-0734-13", "TCGA-AB-2803", "diagnosis"),
        ("TCGA-AB-2803-03", "TCGA-AB-2803", "diagnosis"),
        ("TCGA-AB-2803", "TCGA-AB-2803", "diagnosis"),
        ("TCGA-AB-2803-11A-01D", "TCGA-AB-2803", "normal"),
        ("TARGET-10-PASRLS-09A-01R", "TARGET-10-PASRLS", "diagnosis"),
        ("TARGET-10-PASRLS-03B-02R", "TARGET-10-PASRLS", "diagnosis"),
        ("TARGET-10-PASRLS-04A-01R", "TARGET-10-PASRLS", "relapse"),
        ("TARGET-10-PASRLS-40A.3-01R", "TARGET-10-PASRLS", "relapse"),
        ("TARGET-10-PASRLS-41A-01R", "TARGET-10-PASRLS", "post-treatment"),
        *((f"TARGET-10-PASRLS-{code}A-01R", "TARGET-10-PASRLS", "normal") for code in (10, 11, 12, 14, 15, 99)),
        *(
            (f"TARGET-10-PASRLS-{code}A", "TARGET-10-PASRLS", "control, cell line or xenograft")
            for code in (13, 20, 50, 60, 61)
        ),
        ("TARGET-10-PASRLS-77A", "TARGET-10-PASRLS", "sample type 77"),
    ],
)
def test_barcodes(identifier, patient, timepoint):
    assert parse(identifier) == (patient, timepoint, True)


@pytest.mark.parametrize("identifier", ["0121C", "NA", "tcga-ab-2803", "TCGA-AB-28033", "S-03A", "TCGA-AB-2803-3"])
def test_other_ids_are_taken_as_they_are(identifier):
    assert parse(identifier) == (identifier, "diagnosis", False)


IDS = ["TARGET-10-PAB-09A", "TARGET-10-PAA-40A", "TARGET-10-PAA-09A", "TARGET-10-PAB-10A", "TARGET-10-PAC-50A"]
RULES = {"timepoint": "diagnosis", "on_duplicate": "error", "where": "file.tsv"}


def test_one_timepoint_is_kept_and_the_rest_listed():
    chosen = select("expression", IDS, **RULES)
    assert chosen.patients == ["TARGET-10-PAA", "TARGET-10-PAB"]
    assert chosen.members == [[2], [0]]
    assert chosen.excluded == [
        ("expression", "TARGET-10-PAA-40A", "relapse"),
        ("expression", "TARGET-10-PAB-10A", "normal"),
        ("expression", "TARGET-10-PAC-50A", "control, cell line or xenograft"),
    ]
    relapse = select("expression", IDS, **RULES | {"timepoint": "relapse"})
    assert (relapse.patients, relapse.members) == (["TARGET-10-PAA"], [[1]])


def test_timepoint_that_nobody_has():
    with pytest.raises(DataError, match="no sample of the timepoint 'relapse'; there are: diagnosis"):
        select("expression", ["a", "b"], **RULES | {"timepoint": "relapse"})


def test_several_samples_of_a_patient():
    ids = [*IDS, "TARGET-10-PAB-03A"]
    with pytest.raises(DataError, match="TARGET-10-PAB-09A, TARGET-10-PAB-03A") as caught:
        select("expression", ids, **RULES)
    assert "file.tsv" in str(caught.value)
    values = np.float32([[1, np.nan, np.nan], [9, 9, 9], [5, 6, 7], [9, 9, 9], [9, 9, 9], [3, 4, np.nan]])
    first = select("expression", ids, **RULES | {"on_duplicate": "first"})
    np.testing.assert_array_equal(first.take(values), np.float32([[5, 6, 7], [1, np.nan, np.nan]]))
    assert ("expression", "TARGET-10-PAB-03A", "another sample of the patient came first") in first.excluded
    mean = select("expression", ids, **RULES | {"on_duplicate": "mean"})
    np.testing.assert_array_equal(mean.take(values), np.float32([[5, 6, 7], [2, 4, np.nan]]))


@pytest.mark.parametrize(
    ("ids", "what"), [(["a", "b", "a"], "duplicate sample id: a"), (["a", ""], "sample 2 has no id")]
)
def test_bad_sample_ids(ids, what):
    with pytest.raises(DataError, match=what):
        select("expression", ids, **RULES | {"on_duplicate": "first"})


def test_no_overlap_shows_five_of_each():
    first, second = [f"a{number}" for number in range(9)], [f"b{number}" for number in range(9)]
    with pytest.raises(DataError, match="methylation has a0, a1, a2, a3, a4; expression has b0, b1, b2, b3, b4\n"):
        require_overlap({"methylation": first, "expression": second})
    require_overlap({"methylation": first, "expression": ["b0", "a8"]})


@pytest.mark.parametrize("other", ["tcga.ab.2803", "TCGA_AB_2803", "TCGAAB2803 "])
def test_ids_that_differ_in_punctuation_get_a_hint(other):
    with pytest.raises(DataError) as caught:
        require_overlap({"methylation": ["TCGA-AB-2803"], "clinical": [other]})
    assert "differ in case or punctuation" in caught.value.fix
    with pytest.raises(DataError) as caught:
        require_overlap({"methylation": ["X001"], "clinical": ["001"]})
    assert "X001 and 001" in caught.value.fix


def test_account_counts_what_a_set_counts():
    one = select("methylation", ["a", "b", "c", "TARGET-10-PAA-40A"], **RULES)
    two = select("expression", ["b", "c", "d"], **RULES)
    kept = account([one, two], ["a", "b", "x", "y"], ["said"])
    counted = {(layer, what, reason): number for layer, what, reason, number in kept.table.itertuples(index=False)}
    assert counted == {
        ("methylation", "in file", ""): 4,
        ("methylation", "kept", ""): 3,
        ("methylation", "dropped", "relapse"): 1,
        ("methylation", "kept without a clinical row", ""): 1,
        ("expression", "in file", ""): 3,
        ("expression", "kept", ""): 3,
        ("expression", "kept without a clinical row", ""): 2,
        ("methylation & expression", "shared", ""): 2,
        ("all", "in all layers", ""): 2,
        ("all", "in any layer", ""): 4,
        ("clinical", "in file", ""): 4,
        ("clinical", "without any layer", ""): 2,
    }
    assert kept.notes[0] == "said"
    assert any("without a clinical row: c, d" in note for note in kept.notes)
    text = kept.text().splitlines()
    assert text[0] == "Samples"
    assert len({line.index(what) for line, what in zip(text[1:13], kept.table["what"], strict=True)}) == 1  # aligned


def test_small_overlap_is_a_warning():
    one = select("methylation", [f"a{number}" for number in range(20)], **RULES)
    two = select("expression", ["a0", *(f"b{number}" for number in range(20))], **RULES)
    assert any("only 1 patients have all layers" in note for note in account([one, two], None, []).notes)
