"""Lesions: what each source says, by current symbol; who was looked at; the copy-number profile by its truth table."""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd
import pytest

from omics.interpret.knowledge import table
from omics.interpret.lesions import (
    AMPLIFICATION,
    ANY,
    DELETION,
    FUSION,
    MEASURED,
    MUTATION,
    NOT_MEASURED,
    fusions_in,
    lesions,
    looked_for,
    measured,
    profile,
)
from omics.read import read_calls
from omics.schema import DataError

COLUMNS = ["sample", "gene", "lesion", "detail", "classification", "source"]


def test_all_sources_in_one_table():
    calls = pd.DataFrame(
        {
            "sample": ["b", "a", "a", "a", "a", "a"],
            "gene": ["WHSC1", "TP53", "TP53", "KRAS", "Unknown", "FLT3_ITD"],
            "classification": [
                "Missense_Mutation",
                "Nonsense_Mutation",
                "Silent",
                "Intron",
                "Missense_Mutation",
                "ITD",
            ],
            "HGVSp": ["p.E1099K", "p.R213*", "p.P1P", "", "p.A1T", np.nan],
        }
    )
    matrix = pd.DataFrame({"TP53": [1, 1, np.nan], "MLL_PTD": [0, 1, 0]}, index=["a", "b", "c"])
    clinical = pd.DataFrame({"fusion": ["MLL-AF4", None, "none"], "subtype": ["x", "CRLF2 rearranged", "B-other"]})
    copies = pd.DataFrame({"IKZF1": [-1, 0, -2], "ERG": [2, 1, np.nan]}, index=["a", "b", "c"])
    found = lesions(calls=calls, mutation_matrix=matrix, fusions=clinical.set_axis(["a", "b", "c"]), copy_number=copies)
    assert list(found.columns) == COLUMNS
    assert [tuple(row) for row in found.to_numpy()] == [
        ("a", "AFF1", "fusion", "KMT2A::AFF1", "", "fusion"),
        ("a", "ERG", "amplification", "GISTIC +2", "", "copy number"),
        ("a", "FLT3", "mutation", "ITD", "ITD", "calls"),
        ("a", "IKZF1", "deletion", "GISTIC -1", "", "copy number"),
        ("a", "KMT2A", "fusion", "KMT2A::AFF1", "", "fusion"),
        ("a", "TP53", "mutation", "p.R213*", "Nonsense_Mutation", "calls"),
        ("b", "CRLF2", "fusion", "partner not named", "", "subtype"),
        ("b", "KMT2A", "mutation", "PTD", "", "mutation matrix"),
        ("b", "NSD2", "mutation", "p.E1099K", "Missense_Mutation", "calls"),
        ("b", "TP53", "mutation", "", "", "mutation matrix"),
        ("c", "IKZF1", "deletion", "GISTIC -2", "", "copy number"),
    ]


def test_nothing_is_a_table_of_the_same_columns():
    for found in (lesions(), lesions(calls=pd.DataFrame(columns=["sample", "gene", "classification"]))):
        assert list(found.columns) == COLUMNS
        assert found.empty


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("ETV6::RUNX1", ["ETV6::RUNX1"]),
        ("BCR-ABL1", ["BCR::ABL1"]),
        ("TCF3/PBX1", ["TCF3::PBX1"]),
        ("t(12;21) ETV6::RUNX1, P2RY8 :: CRLF2", ["ETV6::RUNX1", "P2RY8::CRLF2"]),
        ("MLL translocation, poor risk", ["KMT2A"]),
        ("KMT2Ar", ["KMT2A"]),
        ("DUX4-rearranged", ["DUX4"]),
        ("BCR::ABL1-like", []),
        ("ETV6-RUNX1 like", []),
        ("BCR::ABL1 negative", []),
        ("no KMT2A-rearrangement", []),
        ("FLT3-ITD", []),
        ("KRAS/NRAS", []),
        ("B-other; T-ALL", []),
    ],
)
def test_fusions_that_a_text_names(text, names):
    assert [one.name for one in fusions_in(text)] == names


def test_every_fusion_that_ships_is_read_in_both_forms():
    for five, three in table("fusions")[["gene5", "gene3"]].itertuples(index=False):
        for between in ("::", "-", "/"):
            assert [one.name for one in fusions_in(f"{five}{between}{three}")] == [f"{five}::{three}"]


def test_who_was_looked_at():
    matrix = pd.DataFrame({"MLL": [1.0, np.nan], "TP53": [0.0, 0.0]}, index=["a", "b"])
    texts = pd.Series({"a": "BCR::ABL1", "b": "hyperdiploid", "c": "N.D.", "d": np.nan})
    copies = pd.DataFrame({"IKZF1": [0, np.nan]}, index=["a", "b"])
    looked = measured(sequenced=["a", "z"], mutation_matrix=matrix, fusions=texts, copy_number=copies)
    samples = pd.Index(["a", "b", "c", "z", "new"])

    def who(kind, *names):
        return samples[looked_for(looked, kind, names, samples)].tolist()

    assert who(MUTATION, "KMT2A") == ["a", "z"]
    assert who(MUTATION, "TP53") == ["a", "b", "z"]
    assert who(MUTATION, "NT5C2") == ["a", "z"]
    assert who(FUSION, "BCR::ABL1") == ["a", "b"]
    assert who(FUSION, "ETV6::RUNX1") == who(FUSION, ANY) == []
    assert who(DELETION, "IKZF1") == who(AMPLIFICATION, "IKZF1") == ["a"]
    assert who(DELETION, "PAX5") == []
    assert who(MUTATION) == []
    panel = measured(sequenced=["a"], panel=["WHSC1"])
    assert panel[MUTATION].columns.tolist() == ["NSD2"]
    mixed = measured(sequenced=["a", "z"], panel=["TP53", "NSD2"], mutation_matrix=matrix)[MUTATION]
    expected = {"KMT2A": [True, False, False], "TP53": [True, True, True], "NSD2": [True, False, True]}
    pd.testing.assert_frame_equal(mixed, pd.DataFrame(expected, ["a", "b", "z"]), check_names=False)
    wide = pd.DataFrame(np.zeros((2, 300)), ["a", "b"], [f"g{number}" for number in range(300)])
    assert measured(sequenced=["a", "b"], mutation_matrix=wide)[MUTATION].all(axis=None)
    assert measured()[MUTATION].empty


@pytest.mark.parametrize(
    ("text", "looked"),
    [
        ("hyperdiploid", True),
        ("normal", True),
        ("none", True),
        ("BCR::ABL1 negative", True),
        ("Philadelphia chromosome", True),
        ("ETV6::RUNX1; other", True),
        ("B-other", False),
        ("b-OTHER", False),
        ("Other", False),
        ("B-ALL, other", False),
        ("AML NOS", False),
        ("B-ALL/other", False),
        ("unclassified", False),
        ("FISH not done", False),
        ("N/A", False),
    ],
)
def test_who_has_no_class_need_not_have_been_looked_at(text, looked):
    texts = pd.Series({"a": "BCR::ABL1", "b": text})
    found = measured(fusions=texts)[FUSION]
    assert found["BCR::ABL1"].to_dict() == {"a": True, "b": looked}
    alone = measured(fusions=texts[["b"]])[FUSION]
    assert list(alone) == (["ETV6::RUNX1"] if "ETV6" in text else []), "of a patient alone, its own fusions"
    beside = measured(fusions=pd.DataFrame({"subtype": texts, "fusion": ["none", "none"]}))[FUSION]
    assert beside["BCR::ABL1"].to_dict() == {"a": True, "b": looked}, "another column does not tell of this one"


@pytest.mark.parametrize(
    ("given", "what"),
    [
        ({"copy_number": pd.DataFrame({"A": [-0.4]}, index=["s"])}, "none of -2, -1, 0, 1, 2, for example -0.4"),
        ({"mutation_matrix": pd.DataFrame({"A": [2]}, index=["s"])}, "none of 0, 1, for example 2"),
        ({"mutation_matrix": pd.DataFrame({"A": [0, 1]}, index=["s", "s"])}, "duplicate sample: s"),
        ({"fusions": pd.Series(["x", "y"], index=["s", "s"])}, "duplicate sample: s"),
    ],
)
def test_what_is_refused(given, what):
    for function in (lesions, measured):
        with pytest.raises(DataError, match=what):
            function(**given)


# --- profile ------------------------------------------------------------------------------------------------------


def kleene(values, genes):
    """IKZF1plus by enumeration: what is the same for every way to fill in what is not known."""
    answers = set()
    for filled in itertools.product(*([value] if value is not None else [True, False] for value in values)):
        state = dict(zip(genes, filled, strict=True))
        answers.add(state["IKZF1"] and any(state[g] for g in ("CDKN2A", "CDKN2B", "PAX5", "PAR1")) and not state["ERG"])
    return {True: "yes", False: "no"}[answers.pop()] if len(answers) == 1 else ""


def test_ikzf1plus_is_known_where_every_way_to_fill_the_gaps_agrees():
    genes = ("IKZF1", "CDKN2A", "CDKN2B", "PAX5", "PAR1", "ERG")
    states = list(itertools.product([True, False, None], repeat=6))
    level = {True: -1.0, False: 0.0, None: np.nan}
    copies = pd.DataFrame([[level[one] for one in state] for state in states], columns=list(genes))
    found = profile(copies.set_axis([f"{i:03d}" for i in range(len(states))]))
    plus = found[found["region"] == "IKZF1plus"]
    assert plus["altered"].tolist() == [kleene(state, genes) for state in states]
    assert set(plus["reference"]) == {"PMID:29498923"}
    assert (plus["known"] == np.where(plus["altered"] == "", NOT_MEASURED, MEASURED)).all()


def test_the_rule_of_ikzf1plus_is_that_of_the_table():
    rows = table("cna_profile").query("role == 'definition' and region == 'IKZF1plus'")
    assert rows["definition"].tolist() == [
        "IKZF1 deleted, and CDKN2A, CDKN2B, PAX5 or PAR1 deleted, and ERG not deleted"
    ]


def test_regions_of_the_profile():
    copies = pd.DataFrame(
        {"CDKN2A": [0, -2, 0], "CDKN2B": [0, 0, np.nan], "CRLF2": [-1, 0, 0], "RB1": [1, 2, -2]}, index=["a", "b", "c"]
    )
    found = profile(copies).pivot(index="sample", columns="region", values="altered")
    assert found["CDKN2A/B"].tolist() == ["no", "yes", ""]
    assert found["PAR1"].tolist() == ["yes", "", ""]  # a kept CRLF2 tells nothing of PAR1
    assert found["RB1"].tolist() == ["no", "no", "yes"]
    assert set(found["ETV6"]) == {""}
    regions = table("cna_profile").query("role == 'profile gene'")["region"].unique()
    assert set(found.columns) == {*regions, "IKZF1plus"}
    assert len(regions) == 8
    told = profile(copies.assign(PAR1=[0, 0, -1]))
    assert told.loc[told["region"] == "PAR1", "altered"].tolist() == ["yes", "no", "yes"]


# --- real patients ------------------------------------------------------------------------------------------------


@pytest.mark.shared
def test_carriers_of_real_patients_are_those_of_another_count(shared_data):
    calls = read_calls(shared_data / "laml" / "mutations.maf.gz")
    clinical = pd.read_csv(shared_data / "laml" / "clinical.tsv", sep="\t", index_col="patient_id")
    found = lesions(calls=calls, fusions=clinical["cytogenetic_code"])
    mutated = found[found["lesion"] == "mutation"].groupby("gene")["sample"].nunique()
    altering = calls[~calls["classification"].isin(["Silent", "RNA", "Intron", "IGR", "5'Flank"])]
    for gene, expected in (("FLT3", 52), ("NPM1", 33), ("DNMT3A", 48)):
        assert mutated[gene] == altering.loc[altering["gene"] == gene, "sample"].nunique() == expected
    fused = found[found["lesion"] == "fusion"].groupby("gene")["sample"].nunique()
    assert (fused["ABL1"], fused["KMT2A"]) == (3, 7)
    apl = lesions(calls=read_calls(shared_data / "formats" / "maf" / "APL_primary.maf.gz"))
    assert ((apl["gene"] == "FLT3") & (apl["classification"] == "ITD")).sum() == 45
