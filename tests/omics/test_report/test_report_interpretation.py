"""What an interpretation and a replication put on the page: the numbers of their tables, and no more."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from omics.cohort import from_table
from omics.report import actions, data, write_report
from tests.interpreted import make_interpretation, make_replication, make_terms

Make = Callable[..., Any]
Trees = dict[str, Any]
HOSTILE = "<img src=x onerror=alert(1)>"
BREAKOUT = "</script></style></svg><script>alert(2)</script>"
MADE = ["drivers", "differences", "mutations", "resistance", "targets", "antigens", "toxicity"]
SPACE = "\N{NO-BREAK SPACE}"


def plain(text: str) -> str:
    return text.replace(SPACE, " ")


@pytest.fixture(scope="module")
def label(trees: Trees) -> pd.Series:
    return trees["subtypes"]["subtypes/label"].to_series()


@pytest.fixture(scope="module")
def given(trees: Trees, label: pd.Series) -> Trees:
    names = sorted(label.unique())
    subtypes = trees["subtypes"].copy()
    subtypes["adjusted_terms"] = xr.DataTree(from_table(make_terms(names)))
    interpretation, replication = make_interpretation(label), make_replication(subtypes, names)
    return {**trees, "subtypes": subtypes, "interpretation": interpretation, "replication": replication}


@pytest.fixture(scope="module")
def told(given: Trees, tmp_path_factory: pytest.TempPathFactory, reader: Make) -> Any:
    path = tmp_path_factory.mktemp("interpreted") / "report.html"
    write_report(path, title="A cohort", **given)
    return reader(path.read_text(encoding="utf-8"))


def rows_of(tree: xr.DataTree, name: str) -> list[Any]:
    return list(tree[name].to_dataset().to_dataframe().itertuples())


# --- what is there --------------------------------------------------------------------------------------------------


def test_sections_stand_between_what_was_found_and_how_well_it_predicts(told: Any) -> None:
    ids = [key for key in told.ids() if key in {*MADE, "factors", "subtypes", "curves", "evaluation", "replication"}]
    assert ids == ["factors", "drivers", "subtypes", "differences", "curves", *MADE[2:], "evaluation", "replication"]
    assert "interpretation: what drives" not in told.words
    assert len(told.ids()) == len(set(told.ids()))


def test_an_interpretation_alone_makes_its_sections(given: Trees, page_with: Make, reader: Make) -> None:
    read = reader(page_with(interpretation=given["interpretation"]))
    assert [key for key in read.ids() if key in {*MADE, "curves", "replication"}] == MADE
    assert "replication: whether the subtypes are found in another cohort" in read.words


@pytest.mark.parametrize(
    ("nodes", "sections"),
    [
        (["associations"], ["drivers"]),
        (["concordance"], ["differences"]),
        (["evolution_unpaired"], ["mutations"]),
        (["targets_patients"], ["targets"]),
        (["antigens_patients", "pharmacogenes"], ["antigens", "toxicity"]),
    ],
)
def test_a_section_needs_but_one_of_its_tables(
    nodes: list[str], sections: list[str], given: Trees, page_with: Make, reader: Make
) -> None:
    part = xr.DataTree.from_dict({f"/{name}": given["interpretation"][name].to_dataset() for name in nodes})
    read = reader(page_with(interpretation=part))
    assert [key for key in read.ids() if key in MADE] == sections
    advice = read.words.count("no advice on treatment")
    assert advice == (1 if set(sections) & set(MADE[3:]) else 0)


def test_a_replication_alone_makes_its_section(given: Trees, page_with: Make, reader: Make) -> None:
    read = reader(page_with(replication=given["replication"]))
    assert "replication" in read.ids()
    words = plain(read.words)
    assert "Of 4 subtypes looked for in another cohort in 120 patients, 2 replicate; 1 cannot be judged." in words
    assert "Not replicated: S3." in words
    rows = {row[0]: row[1:3] for row in read.tables["Do the subtypes replicate?"][1:]}
    assert rows == {"S1": ["yes", "28 of 30"], "S2": ["yes", "27 of 30"], "S3": ["no", "12 of 30"],
                    "S4": ["cannot be judged", "2 of 30"]}  # fmt: skip
    assert read.tables["Patients who were classified before"][1] == ["S1", "S4", "3", "P1, P2, P3"]
    assert read.tables["Replication: Do the subtypes differ in outcome?"][1][1] == "Gray's test"


# --- what may resist, what could be targeted ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("view", "which"), [("resistance", "may let blasts escape a drug"), ("targets", "could be targeted")]
)
def test_a_lesion_that_is_not_meant_is_never_shown_and_who_was_not_looked_at_is_counted(
    view: str, which: str, told: Any, given: Trees
) -> None:
    table = rows_of(given["interpretation"], f"{view}_patients")
    head, *rows = told.tables[f"Lesions that {which}, by patient"]
    at = head.index("Is it what is meant?")
    meant = [row for row in table if row.known == "measured" and row.agrees in ("yes", "to be checked")]
    assert [(row[0], row[4], row[at]) for row in rows] == [(row.sample, row.detail, row.agrees) for row in meant]
    assert len(rows) == 2
    assert "SILLY" not in told.words
    _, *unseen = told.tables[f"Not looked at: lesions that {which}"]
    assert [row[-1] for row in unseen] == ["2"]
    assert [row[-1] for row in told.tables[f"What is known of the lesions that {which}"][1:]] == ["2"]


def test_lesions_by_subtype_have_their_counts_and_the_surest_first(told: Any, given: Trees) -> None:
    by = {row.gene: row for row in rows_of(given["interpretation"], "resistance_subtypes")}
    _, *rows = told.tables["Lesions that may let blasts escape a drug, by subtype"]
    assert [row[1] for row in rows] == ["NSD2", "NT5C2"]
    for row in rows:
        one = by[row[1]]
        assert row[0] == one.subtype
        assert plain(row[4]) == f"{one.n_with} of {one.n_known} ({100 * one.n_with / one.n_known:.0f} %)"
        assert row[5] == str(one.n_to_check)
        assert row[7] == ("∞" if np.isinf(one.odds_ratio) else f"{one.odds_ratio:.2f}")
    assert rows[0][-1] == "<\N{NO-BREAK SPACE}0.001"
    assert rows[1][-1] == "0.40"


def test_a_patient_of_a_table_can_be_looked_for(told: Any, given: Trees) -> None:
    who = {attrs["data-sample"] for tag, attrs in told.attributes if tag == "th" and attrs.get("data-sample")}
    assert set(given["interpretation"]["resistance_patients/sample"].to_numpy()[:2]) <= who


def test_approvals_and_sources_are_those_of_the_tables(told: Any) -> None:
    row = told.tables["What is known of the lesions that could be targeted"][1]
    assert row[:4] == ["MAP2K1", "mutated NRAS", "trametinib", "approved in ALL; EU; 2024-05"]
    assert row[5:7] == ["It is often there at relapse. One cohort.", "clinical; PMID:12345678"]


def test_expression_is_a_percentile(told: Any) -> None:
    assert [row[-1] for row in told.tables["Lesions that could be targeted, by patient"]] == ["Expression", "91", "40"]


def test_a_table_of_patients_ends_somewhere_and_says_so(
    given: Trees, page_with: Make, reader: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(actions, "MAX_PATIENTS", 1)
    part = xr.DataTree.from_dict({"/targets_patients": given["interpretation"]["targets_patients"].to_dataset()})
    read = reader(page_with(interpretation=part))
    assert len(read.tables["Lesions that could be targeted, by patient"]) == 2
    assert "The first 1 of 2 rows; all are in the folder of numbers." in read.words


@pytest.mark.parametrize("view", ["resistance", "targets"])
def test_where_nobody_was_looked_at_no_share_and_no_empty_table_is_shown(
    view: str, given: Trees, page_with: Make, reader: Make
) -> None:
    nodes = {}
    for name in (f"{view}_patients", f"{view}_subtypes"):
        table = given["interpretation"][name].to_dataset().to_dataframe().assign(known="not measured")
        if "agrees" not in table:
            table = table.assign(n_with=0, n_known=0, n_to_check=0, n_with_others=0, n_known_others=0, q_value=np.nan)
        nodes[f"/{name}"] = from_table(table)
    read = reader(page_with(interpretation=xr.DataTree.from_dict(nodes)))
    words = plain(read.words)
    assert words.count(": not looked at in anybody.") == 2  # in the summary, and in the section
    assert "0 of" not in words
    assert "0 %" not in words
    assert all(len(rows) > 1 for rows in read.tables.values())


def test_leads_that_are_certain_and_approved_stand_first(given: Trees, page_with: Make, reader: Make) -> None:
    subtypes, patients = (
        given["interpretation"][f"targets_{of}"].to_dataset().to_dataframe() for of in ("subtypes", "patients")
    )
    row = subtypes[subtypes["n_with"] == 14].iloc[0]
    leads = [("unclear", 14, 14, 1e-9), ("tried", 13, 0, 1e-8), ("partly", 11, 2, 1e-7), ("approved", 12, 0, 1e-3)]
    table = pd.DataFrame(
        [{**row, "indication": name, "n_with": n, "n_to_check": open_, "p_value": p, "q_value": p}
         for name, n, open_, p in leads]
    )  # fmt: skip
    status = {
        "unclear": "approved in ALL",
        "tried": "trial",
        "partly": "approved in ALL",
        "approved": "approved in ALL",
    }
    met = pd.concat([patients.assign(indication=name, status=said) for name, said in status.items()])
    nodes = {"/targets_subtypes": from_table(table), "/targets_patients": from_table(met.reset_index(drop=True))}
    words = reader(page_with(interpretation=xr.DataTree.from_dict(nodes))).words
    summary = words[words.index("More frequent than") : words.index("no advice on treatment")]
    at = [summary.find(f"{name} (trametinib)") for name in ("approved", "tried", "partly")]
    assert 0 < at[0] < at[1] < at[2]
    assert "unclear (" not in summary.split("What could be targeted")[0]
    only = {**nodes, "/targets_subtypes": from_table(table.head(1))}
    words = reader(page_with(interpretation=xr.DataTree.from_dict(only))).words
    assert "unclear (trametinib) in" in words


def test_each_set_is_counted_and_listed_once_whatever_the_direction(
    given: Trees, page_with: Make, reader: Make
) -> None:
    both = given["interpretation"]["factor_sets"].to_dataset().to_dataframe()
    up = both.assign(direction="up", p_value=both["p_value"] / 2, q_value=both["q_value"] / 2, leading="A;B;C;D;E;F")
    down = both.assign(direction="down", p_value=1.0, q_value=1.0)
    table = pd.concat([down, up, both]).reset_index(drop=True)
    read = reader(page_with(interpretation=xr.DataTree.from_dict({"/factor_sets": from_table(table)})))
    _, *rows = read.tables["Gene sets by factor"]
    assert [row[1] for row in rows] == [f"SET_{i}" for i in range(6)]
    assert {row[3] for row in rows} == {"up"}
    assert {row[-1] for row in rows} == {"A, B, C, D, E"}
    assert rows[3][6:8] == ["0.001", "0.010"]
    assert f"6 tests; q below 0.05 in {int((both['q_value'] < 0.05).sum())}." in plain(read.words)


def test_a_lesion_that_several_drugs_share_is_one_test(given: Trees, page_with: Make, reader: Make) -> None:
    table = given["interpretation"]["resistance_subtypes"].to_dataset().to_dataframe()
    twice = pd.concat([table, table.assign(drug="steroids")]).reset_index(drop=True)
    read = reader(page_with(interpretation=xr.DataTree.from_dict({"/resistance_subtypes": from_table(twice)})))
    assert len(read.tables["Lesions that may let blasts escape a drug, by subtype"]) == 1 + 4
    assert "2 tests; q below 0.05 in 1." in plain(read.words)


def test_a_factor_that_goes_with_a_site_is_a_warning(told: Any, given: Trees, page_with: Make, reader: Make) -> None:
    table = given["interpretation"]["associations"].to_dataset().to_dataframe()
    table["q_value"] = table["q_value"].where(table["variable"] != "site", 0.01)
    words = reader(page_with(interpretation=xr.DataTree.from_dict({"/associations": from_table(table)}))).words
    said = "Factors go with how samples were handled, at q below 0.05: site (Factor10)."
    assert words.count(said) == 2  # on top, and in the section
    assert said not in told.words


# --- antigens and toxicity ------------------------------------------------------------------------------------------


def test_antigens_say_what_mrna_is_not_and_who_was_not_measured(told: Any) -> None:
    assert "mRNA is not surface protein" in told.words
    assert told.words.index("mRNA is not surface protein") < told.words.index("Cohort and overlap", 200)
    _, *rows = told.tables["Antigens by subtype"]
    assert [row[:2] for row in rows] == [["CD19", f"S{i}"] for i in (1, 2, 3, 4)]
    assert rows[0][3:8] == ["40", "80", f"70{SPACE}%", f"5{SPACE}%", "0.80"]
    assert "Not measured: CD20." in told.words
    head, *patients = told.tables["Antigens by patient"]
    assert head == ["Patient", "Subtype", "CD19"]
    assert [row[2] for row in patients] == ["73"] * 3
    assert "1 patient of 4 were not measured" in plain(told.words)


def test_where_no_expression_was_measured_antigens_are_one_sentence(
    given: Trees, page_with: Make, reader: Make
) -> None:
    nodes = {
        f"/{name}": from_table(given["interpretation"][name].to_dataset().to_dataframe().assign(known="not measured"))
        for name in ("antigens_patients", "antigens_subtypes")
    }
    read = reader(page_with(interpretation=xr.DataTree.from_dict(nodes)))
    assert "The expression of no antigen was measured." in read.words
    assert "mRNA is not surface protein" not in read.words
    assert not [caption for caption in read.tables if caption.startswith("Antigens")]


def test_without_a_germline_table_it_is_said_what_to_test_and_nothing_of_patients(told: Any) -> None:
    assert told.tables["Pharmacogenes to be tested"][1][:5] == [
        "mercaptopurine", "myelosuppression", "TPMT", "*3A", "germline only",
    ]  # fmt: skip
    assert "No germline table was given" in told.words
    assert "Pharmacogene variants by patient" not in told.tables


def test_germline_variants_that_are_not_the_ones_asked_for_are_not_shown(
    given: Trees, page_with: Make, reader: Make
) -> None:
    rows = given["interpretation"]["pharmacogenes"].to_dataset().to_dataframe()
    held = {"a": ("yes", "*3A", "measured"), "b": ("no", "*1", "measured"), "c": ("", "", "not measured")}
    table = pd.concat(
        [rows.assign(sample=who, agrees=one, found=found, known=known) for who, (one, found, known) in held.items()]
    )
    part = xr.DataTree.from_dict({"/pharmacogenes": from_table(table.reset_index(drop=True))})
    read = reader(page_with(interpretation=part))
    assert [row[0] for row in read.tables["Pharmacogene variants by patient"][1:]] == ["a"]
    assert "1 patient of 3 in the germline table. 1 pair of patient and variant were not measured" in plain(read.words)


# --- factors, subtypes, mutations -------------------------------------------------------------------------------------


def test_associations_have_the_effects_of_the_table_and_circularity_is_said(told: Any, given: Trees) -> None:
    by = {(row.factor, row.variable): row for row in rows_of(given["interpretation"], "associations")}
    _, *rows = told.tables["Factors and clinical variables"]
    assert len(rows) == len(by)
    for factor, with_, effect, size, *_ in rows:
        row = by[factor, with_.split(":")[0]]
        assert size == ("–" if np.isnan(row.effect) else f"{row.effect:.2f}")
        assert effect.lower() == row.effect_name
    assert {row[1] for row in rows} >= {"sex: male", "NRAS mutation"}
    assert "7 tests" not in plain(told.words)  # the one without an estimate was not tested
    assert "6 tests; q below 0.05 in 2." in plain(told.words)
    assert "p- and q-values are circular: description, not evidence." in told.words


def test_the_heat_map_has_a_sign_where_there_is_one(told: Any) -> None:
    tips = {str(attrs["data-tip"]) for tag, attrs in told.attributes if attrs.get("data-tip") and tag != "td"}
    assert "sex: male, Factor1: −0.500, q = 0.002" in tips
    assert "NRAS mutation, Factor2: 0.400, q = 0.2" in tips
    assert "site, Factor10: 0.050, q = 0.6" in tips


def test_leading_features_have_their_stability_or_a_dash(told: Any) -> None:
    _, *rows = told.tables["Leading features of the factors, with their stability"]
    first = next(row for row in rows if row[0] == "Factor1" and row[1] == "expression")
    assert first[2:] == ["1", "GENE1 (expression1)", "1.000", f"20.0{SPACE}%", "0.50", "0.75"]
    assert {row[-1] for row in rows if row[0] == "Factor2"} <= {"–"}
    assert max(int(row[2]) for row in rows) == 10


def test_features_of_a_layer_that_the_factor_does_not_explain_are_left_out(told: Any, trees: Trees) -> None:
    r2 = trees["factors"]["variance/r2"].to_series()
    shown = {(row[0], row[1]) for row in told.tables["Leading features of the factors, with their stability"][1:]}
    for factor in ("Factor1", "Factor2"):
        for layer in ("expression", "methylation"):
            assert ((factor, layer) in shown) == (r2[layer, factor] >= 0.01)


def test_subtypes_have_as_many_volcanoes_as_can_be_taken_in(told: Any) -> None:
    drawn = [str(a["aria-label"]) for tag, a in told.attributes if tag == "svg" and "Volcano" in str(a["aria-label"])]
    assert len(drawn) == 8
    assert sum("S1, expression" in alt for alt in drawn) == sum("S1, methylation" in alt for alt in drawn) == 1


def test_many_subtypes_are_drawn_in_the_layer_of_genes_alone(page_with: Make, reader: Make, label: pd.Series) -> None:
    many = label.where(
        np.arange(len(label)) % 3 > 0, "S" + pd.Series(np.arange(len(label)) % 7 + 4, label.index).astype(str)
    )
    read = reader(page_with(interpretation=make_interpretation(many)))
    drawn = [str(a["aria-label"]) for tag, a in read.attributes if tag == "svg" and "Volcano" in str(a["aria-label"])]
    assert len(drawn) == 8
    assert not any("methylation" in alt for alt in drawn)
    assert "Not drawn, but in the tables: S9, S10 and methylation." in read.words


def test_mutations_have_carriers_burden_and_what_relapse_brings(told: Any, given: Trees) -> None:
    cells = given["interpretation"]["oncoprint"].to_dataset().to_dataframe()
    for gene, carriers, _ in told.tables["Mutated genes"][1:]:
        n = cells.loc[cells["gene"] == gene, "sample"].nunique()
        assert plain(carriers) == f"{n} of 60 ({100 * n / 60:.0f} %)"
    burden = told.tables["Burden and heterogeneity"]
    assert burden[1][:3] == ["All", "60", "4 (4 to 4)"]
    assert burden[1][-2:] == ["20.0 (20.0 to 20.0)", "59"]
    assert sum(int(row[1]) for row in burden[2:]) == 60
    assert told.tables["Mutated genes and relapse"][1] == [
        "M1", f"5 of 20 (25{SPACE}%)", f"2 of 40 (5{SPACE}%)", "∞", "0.004", "0.020",
    ]  # fmt: skip
    assert told.tables["From diagnosis to relapse, in pairs"][1] == [
        "NT5C2", f"0 of 20 (0{SPACE}%)", f"7 of 20 (35{SPACE}%)", "7", "0", "0", "0", "0.016", "0.030",
    ]  # fmt: skip
    assert told.tables["Copy-number profile"][1][1] == f"15 of 50 (30{SPACE}%)"
    assert f"{np.exp(1.5):.2f}" in told.tables["Genes mutated together, or apart"][1]


# --- outcome, summary, folder ---------------------------------------------------------------------------------------


def test_hazard_ratios_are_drawn_against_the_reference_and_none_that_has_no_estimate(told: Any) -> None:
    rows = told.tables["Hazard ratios"][1:]
    assert [row[5] for row in rows if row[4] == "S1"] == ["reference", "reference"]
    assert next(row[5:8] for row in rows if row[3] == "mrd") == ["2.20", "1.10 to 4.40", "0.020"]
    assert [row[5:8] for row in rows if row[3] == "risk"] == [["–", "–", "–"]] * 2
    alt = next(
        str(a["aria-label"]) for tag, a in told.attributes if tag == "svg" and "against S1" in str(a["aria-label"])
    )
    assert "Beside what is known, mrd: 2.20 (1.10 to 4.40)" in alt
    assert "risk: High: –" in alt
    assert "000000" not in alt


def test_summary_says_what_drives_what_resists_what_could_be_targeted(told: Any) -> None:
    words = plain(told.words)
    assert (
        "1 of 2 factors goes with the time to relapse: Factor1 (hazard ratio 2.50 (1.80 to 3.40) for one standard "
        "deviation, q < 0.001; 178 patients, 41 events)." in words
    )
    assert "1 mutated gene of 1 goes with relapse: M1 (5 of 20 who relapsed, 2 of 40 who did not, q = 0.020)." in words
    assert (
        "Lesions that may let blasts escape a drug, if they are or may be what the knowledge table means: mutation in "
        "2 of 150 looked at (1 %; 1 for certain)." in words
    )
    assert "More frequent than in other subtypes: NSD2 (thiopurines) in S3 (14 of 30 against 2 of 120, 3 to be" in words
    assert "FPGS" not in words.split("warning")[0]


def test_what_was_not_found_is_not_called_absent(given: Trees, page_with: Make, reader: Make) -> None:
    nodes = {}
    for name in ("associations", "mutation_relapse", "targets_patients", "targets_subtypes"):
        table = given["interpretation"][name].to_dataset().to_dataframe()
        nodes[f"/{name}"] = from_table(table.assign(q_value=0.3) if "q_value" in table else table)
    words = plain(reader(page_with(interpretation=xr.DataTree.from_dict(nodes))).words)
    assert "No factor goes with the time to relapse at q below 0.05 (3 factors tested; 41 events). That is not" in words
    assert (
        "No mutated gene goes with relapse at q below 0.05 (1 gene tested; 20 of those sequenced relapsed within "
        "the horizon). That is not" in words
    )
    assert "none is more frequent in a subtype at q below 0.05" in words


def test_results_are_in_the_folder_and_what_is_too_long_is_named(
    given: Trees, page_with: Make, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert data.MAX_ROWS > 100_000
    monkeypatch.setattr(data, "MAX_ROWS", 130)
    whole = given["interpretation"]
    nodes = {f"/{name}": whole[name].to_dataset() for name in ("resistance_patients", "concordance")}
    nodes |= {
        f"/differential/{name}": whole[f"differential/{name}"].to_dataset() for name in ("expression", "methylation")
    }
    replication = xr.DataTree.from_dict({"/replication": given["replication"]["replication"].to_dataset()})
    page_with(interpretation=xr.DataTree.from_dict(nodes), replication=replication)
    index = json.loads((tmp_path / "report_data/report.json").read_text())
    assert "numbers/interpretation-differential-methylation-by-subtype-feature.tsv" in index["numbers"]
    assert "numbers/replication-replication.tsv" in index["numbers"]
    assert index["too_long"] == ["interpretation: differential/expression"]
    table = pd.read_csv(tmp_path / "report_data/numbers/interpretation-resistance-patients.tsv", sep="\t")
    assert len(table) == 5


def test_flow_leads_from_the_files_to_the_patients_of_the_analysis(trees: Trees, page_with: Make, reader: Make) -> None:
    cohort = trees["cohort"].copy()
    rows = [["expression", "in file", "", 150], ["expression", "dropped", "normal", 10],
            ["expression", "kept", "", 140], ["all", "in any layer", "", 180],
            ["all", "in all layers", "", 90]]  # fmt: skip
    cohort["account"] = xr.DataTree(from_table(pd.DataFrame(rows, columns=["layer", "what", "reason", "samples"])))
    read = reader(page_with(**{**trees, "cohort": cohort}))
    alt = next(str(a["aria-label"]) for tag, a in read.attributes if tag == "svg" and "Flow" in str(a["aria-label"]))
    assert "expression: 150 in the file, 140 kept" in alt
    for step in ("in any layer (90 in all): 180.", "with factors: 180.", "with a subtype: 180."):
        assert step in alt


# --- hostile names --------------------------------------------------------------------------------------------------


def test_hostile_names_are_text_in_every_section(page_with: Make, reader: Make, label: pd.Series) -> None:
    nasty = HOSTILE + BREAKOUT
    text = page_with(interpretation=make_interpretation(label, nasty))
    read = reader(text)
    assert "img" not in {tag for tag, _ in read.attributes}
    assert [attrs for tag, attrs in read.attributes if tag == "script"] == [{}]
    shown = [caption for caption, rows in read.tables.items() if any(HOSTILE in cell for row in rows for cell in row)]
    assert set(read.tables) - set(shown) <= {
        "Burden and heterogeneity",
        "Antigens by patient",
        "Pharmacogene variants by patient",
    }
    assert not re.search(r"[\x00-\x08\x0b-\x1f]", text)
