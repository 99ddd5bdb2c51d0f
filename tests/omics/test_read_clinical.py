"""The clinical table: columns, units, missing words, and the first event."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from omics.read.clinical import read_clinical
from omics.read.tables import read_probes, read_table
from omics.schema import DataError, UsageError


def written(tmp_path, rows: dict[str, list[object]], name="clinical.tsv", separator="\t"):
    path = tmp_path / name
    pd.DataFrame(rows).to_csv(path, sep=separator, index=False)
    return path


def read(tmp_path, rows, **columns):
    return read_clinical(written(tmp_path, rows), columns)


def test_mapping_units_and_values(tmp_path):
    table, _ = read(
        tmp_path,
        {
            "id": ["p2", "p1"],
            "age_days": [3652.5, 365.25],
            "mrd_pct": [1.0, "ND"],
            "gender": ["F", "M"],
            "os": ["tot", "lebt"],
            "os_months": [12, 24],
            "hospital": [1, 2],
        },
        patient="id",
        age={"column": "age_days", "unit": "days"},
        mrd={"column": "mrd_pct", "unit": "percent"},
        sex={"column": "gender", "values": {"F": "female"}},
        death={"column": "os", "values": {"tot": 1, "lebt": 0}},
        death_time={"column": "os_months", "unit": "months"},
        site="hospital",
    )
    assert table.index.tolist() == ["p1", "p2"]
    assert table.index.name == "sample"
    assert table.loc["p2"].to_dict() == {
        "age": 10.0,
        "mrd": 0.01,
        "sex": "female",
        "site": "1",
        "death": 1.0,
        "death_time": 1.0,
    }
    assert np.isnan(table.at["p1", "mrd"])


def test_names_that_are_already_canonical_and_other_columns(tmp_path):
    table, notes = read(
        tmp_path,
        {
            "patient_id": ["TCGA-AB-0001-03A", "TCGA-AB-0002-03A"],
            "age": [3, 4],
            "code": ["001", "002"],
            "blasts": [50, "NA"],
            "karyotype": ["Unknown", "N/A"],
            "sample": ["x", "y"],
            "a/b": [1, 2],
        },
    )
    assert table.index.tolist() == ["TCGA-AB-0001", "TCGA-AB-0002"]
    assert table["age"].tolist() == [3.0, 4.0]
    assert table["code"].tolist() == ["001", "002"]
    assert table["blasts"].tolist()[0] == 50.0
    assert table["blasts"].dtype == float
    assert table["karyotype"].iloc[0] == "Unknown"
    assert table["karyotype"].isna().tolist() == [False, True]
    assert table["sample_in_file"].tolist() == ["x", "y"]
    assert table["a_b"].tolist() == [1.0, 2.0]
    assert "clinical: patients are taken from column 'patient_id'" in notes


def outcomes(tmp_path, rows, **columns):
    table, _ = read(tmp_path, {"patient": list("abcdefgh")[: len(next(iter(rows.values())))], **rows}, **columns)
    return table


def test_first_event_of_every_history(tmp_path):
    """One patient a case, the answer written by hand."""
    table = outcomes(
        tmp_path,
        {
            #                  relapse, then death | death | alive | second first | second after | tie | refractory | ?
            "relapse": [1, 0, 0, 1, 1, 1, 0, ""],
            "relapse_time": [2, 3, 9, 5, 1, 2, "", ""],
            "death": [1, 1, 0, 1, 0, 0, 1, 1],
            "death_time": [4, 3, 10, 6, 7, 8, 0.5, 2],
            "second_malignancy": [0, 0, 0, 1, 1, 1, 0, 0],
            "second_malignancy_time": ["", "", "", 4, 6, 2, "", ""],
            "refractory": [0, 0, 0, 0, 0, 0, 1, 0],
        },
    )
    np.testing.assert_array_equal(table["event"], [1, 2, 0, 3, 1, 1, np.nan, np.nan])
    np.testing.assert_array_equal(table["event_time"], [2, 3, 10, 4, 1, 2, np.nan, np.nan])
    np.testing.assert_array_equal(table["relapse"], [1, 0, 0, 0, 1, 1, 0, np.nan])


def test_follow_up_without_deaths(tmp_path):
    table = outcomes(tmp_path, {"relapse": [1, 0], "relapse_time": [1, 5]})
    assert table[["event", "event_time"]].to_numpy().tolist() == [[1, 1], [0, 5]]


@pytest.mark.parametrize(
    "words",
    [
        ["Relapse", "Death in remission", "Second malignancy", "Censored"],
        ["1", "2", "3", "0"],
        ["1:Relapsed", "2:DECEASED", "3:SMN", "0:CENSORED"],
        ["1.0", "2.0", "3.0", "0.0"],
        ["relapsed", "death", "second_cancer", "none"],
        ["relapse", "dead", "SMN", "None"],
    ],
)
def test_event_in_words_and_codes(tmp_path, words):
    table = outcomes(tmp_path, {"event": words, "event_time": [1, 2, 3, 4]})
    assert table["event"].tolist() == [1, 2, 3, 0]
    assert table["relapse"].tolist() == [1, 0, 0, 0]


@pytest.mark.parametrize(
    "words", [["1:DECEASED", "0:LIVING"], ["Dead", "Alive"], ["yes", "No"], ["True", "False"], ["1.0", "0"]]
)
def test_death_in_words(tmp_path, words):
    assert outcomes(tmp_path, {"death": words})["death"].tolist() == [1, 0]


def test_relapse_without_times_gives_no_event(tmp_path):
    table, notes = read(tmp_path, {"patient": ["a", "b"], "relapse": [1, 0]})
    assert "event" not in table
    assert table["relapse"].tolist() == [1, 0]
    assert any("no time" in note for note in notes)


def test_every_wrong_outcome_is_listed(tmp_path):
    with pytest.raises(DataError) as caught:
        outcomes(
            tmp_path,
            {
                "relapse": [1, 1, 0, 0, 1],
                "relapse_time": ["", -2, 1, 1, 1],
                "death": [0, 0, 1, 0, 0],
                "death_time": [1, 1, "", -1, 1],
            },
        )
    message = str(caught.value)
    assert "a: event 1 without event_time" in message
    assert "b: relapse_time -2 is negative" in message
    assert "c: death 1 without death_time" in message
    assert "d: death_time -1 is negative" in message
    assert "    e: " not in message


@pytest.mark.parametrize(
    ("rows", "what"),
    [
        ({"event": ["4"], "event_time": [1]}, "a '4'"),
        ({"event": ["progress"], "event_time": [1]}, "a 'progress'"),
        ({"relapse": ["2"]}, "not understood as relapse: a '2'"),
        ({"age": ["old"]}, "not understood as age: a 'old'"),
    ],
)
def test_codes_and_words_that_are_none(tmp_path, rows, what):
    with pytest.raises(DataError, match=what):
        outcomes(tmp_path, rows)


@pytest.mark.parametrize(
    ("rows", "unit"),
    [
        ({"wbc": [50_000, 3_000]}, "cells/uL"),
        ({"mrd": [1.5, 2]}, "percent"),
        ({"event": [0, 1], "event_time": [700, 365]}, "days or months"),
    ],
)
def test_values_in_another_unit_are_doubted(tmp_path, rows, unit):
    _, notes = read(tmp_path, {"patient": ["a", "b"], **rows})
    assert any(unit in note for note in notes)
    _, notes = read(tmp_path, {"patient": ["a", "b"], **{name: [0, 0.01] for name in rows if name != "event"}})
    assert not any(unit in note for note in notes)


def test_duplicate_patients(tmp_path):
    rows = {"patient": ["a", "a", "b"], "age": [1, 1, 2]}
    table, _ = read(tmp_path, rows)
    assert table.index.tolist() == ["a", "b"]
    with pytest.raises(DataError, match="several rows that differ for 1 of the patients: a"):
        read(tmp_path, rows | {"age": [1, 3, 2]})


def test_patient_without_id(tmp_path):
    with pytest.raises(DataError, match="a patient has no id"):
        read(tmp_path, {"patient": ["a", ""], "age": [1, 2]})


@pytest.mark.parametrize(
    ("columns", "kind", "what"),
    [
        ({"colour": "x"}, UsageError, "unknown clinical column"),
        ({"age": {"column": "age", "unit": "weeks"}}, UsageError, "unit is 'weeks'"),
        ({"wbc": {"column": "age", "unit": "years"}}, UsageError, "unit is 'years'"),
        ({"age": {"name": "age"}}, UsageError, "got the keys name"),
        ({"age": "Age"}, DataError, "no column 'Age'.*there are patient, age"),
    ],
)
def test_wrong_mappings(tmp_path, columns, kind, what):
    with pytest.raises(kind, match=what):
        read(tmp_path, {"patient": ["a"], "age": [1]}, **columns)


# --- tables -------------------------------------------------------------------------------------------------------


def test_cbioportal_comments_quotes_and_trailing_tabs(tmp_path):
    path = tmp_path / "t.tsv"
    path.write_text('#Patient\tAge\n#STRING\tNUMBER\nid\tname\t\na\t5" tall\t\n#b\t"x\t\n\n')
    table = read_table(path)
    assert table.to_dict("list") == {"id": ["a", "#b"], "name": ['5" tall', '"x']}


def test_csv_quotes_enclose(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text('id,name\na,"Doe, Jane"\n')
    assert read_table(path).to_dict("list") == {"id": ["a"], "name": ["Doe, Jane"]}


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("id\tage\na\t1\t2\n", "3 fields, the header has 2"),
        ("id\tage\na\n", "1 fields"),
        ("id\tage\n", "no rows"),
        ("id\tid\na\tb\n", "duplicate column: id"),
    ],
)
def test_bad_tables(tmp_path, text, what):
    path = tmp_path / "t.tsv"
    path.write_text(text)
    with pytest.raises(DataError, match=what):
        read_table(path)


def test_line_of_a_bad_row_counts_comments(tmp_path):
    path = tmp_path / "t.tsv"
    path.write_text("#a\n#b\nid\tage\na\t1\nb\n")
    with pytest.raises(DataError, match="line 5"):
        read_table(path)


def test_probe_annotation_by_name(tmp_path):
    path = tmp_path / "p.tsv"
    path.write_text("start\tGene_Symbol\tseqnames\tprobeID\n12\tTP53;WRAP53\tchr17\tcg1\nNA\tNA\tchrX\tcg2\n")
    table = read_probes(path)
    assert table.loc["cg1"].tolist() == ["TP53;WRAP53", "chr17", 12]
    assert table.loc["cg2"].tolist() == ["", "chrX", -1]
    path.write_text("probe\nchr1\nchr1\n".replace("\n", "\tx\n"))
    with pytest.raises(DataError, match="duplicate probe: chr1"):
        read_probes(path)
    path.write_text("what\tstart\nx\t1\n")
    with pytest.raises(DataError, match="no column of probe ids"):
        read_probes(path)


COURSE = {
    "patient": ["p1", "p2", "p3"],
    "event": [1, 0, 2],
    "event_time": [2.0, 5.0, 1.0],
    "death": [1, 0, 1],
    "death_time": [4.0, 5.0, 1.0],
    "remission_time": [0.1, 0.1, 0.1],
    "second_remission_time": [2.3, np.nan, np.nan],
    "second_event": [1, np.nan, np.nan],
    "second_event_time": [3.0, np.nan, np.nan],
    "transplant_time": [2.5, np.nan, np.nan],
    "stratum": ["SR", "HR", "HR"],
}


def test_the_course_after_relapse_is_kept(tmp_path):
    table, _ = read_clinical(
        written(tmp_path, COURSE), {"transplant_time": {"column": "transplant_time", "unit": "months"}}
    )
    assert table.loc["p1", "second_event"] == 1
    assert table.loc["p1", "second_event_time"] == 3.0
    assert table.loc["p1", "transplant_time"] == pytest.approx(2.5 / 12)
    assert table["stratum"].tolist() == ["SR", "HR", "HR"]


@pytest.mark.parametrize(
    ("patient", "change", "said"),
    [
        (0, {"remission_time": 2.5}, "p1: a relapse before the remission"),
        (2, {"death_time": 0.5}, "p3: death or last follow-up before the first event"),
        (0, {"transplant_time": 4.5}, "p1: death or last follow-up before the transplant"),
        (0, {"second_remission_time": 1.0}, "p1: second remission before the relapse"),
        (0, {"second_event_time": 1.0}, "p1: second event before the relapse"),
        (1, {"second_event": 1, "second_event_time": 5.0}, "p2: second_event without a relapse"),
        (0, {"second_event_time": np.nan}, "p1: second_event without second_event_time"),
        (2, {"second_remission_time": 0.9}, "p3: second_remission_time without a relapse"),
        (1, {"transplant_time": -0.2}, "p2: transplant_time -0.2 is negative"),
    ],
)
def test_a_course_that_cannot_be_names_the_patient(tmp_path, patient, change, said):
    rows = {name: list(values) for name, values in COURSE.items()}
    for name, value in change.items():
        rows[name][patient] = value
    with pytest.raises(DataError, match=said):
        read(tmp_path, rows)


def test_dates_in_whole_months_may_seem_out_of_order(tmp_path):
    rows = {**COURSE, "death_time": [4.0, 5.0, 0.95]}
    table, _ = read(tmp_path, rows)
    assert table.loc["p3", "death_time"] == 0.95
