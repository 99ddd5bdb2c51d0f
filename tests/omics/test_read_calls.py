"""Calls of a MAF, by patient: places, protein changes and allele fractions; real files against csv."""

from __future__ import annotations

import csv
import gzip

import numpy as np
import pandas as pd
import pytest

from omics.interpret.mutation_calls import checked
from omics.read import read_calls
from omics.schema import DataError, UsageError

HEADER = ["Hugo_Symbol", "Variant_Classification", "Tumor_Sample_Barcode"]


def written(tmp_path, rows, header=HEADER):
    path = tmp_path / "m.maf"
    path.write_text("#version 2.4\n" + "\n".join("\t".join(row) for row in [header, *rows]) + "\n")
    return path


def test_calls_are_of_patients_as_in_ingest(tmp_path):
    rows = [
        ["TP53", "Silent", "TARGET-10-PAA-09A-01D"],
        ["KRAS", "Missense_Mutation", "TARGET-10-PAA-04A-01D"],
        ["NRAS", "ITD", "TARGET-10-PAB-03A"],
        ["NRAS", "", "TARGET-10-PAB-03A"],
    ]
    path = written(tmp_path, rows)
    found = read_calls(path)
    assert list(found.columns) == ["sample", "gene", "classification"]
    assert found.to_numpy().tolist() == [["TARGET-10-PAA", "TP53", "Silent"], ["TARGET-10-PAB", "NRAS", "ITD"]]
    assert "1 without a classification" in found.attrs["notes"][2]
    assert read_calls(path, timepoint="relapse")["gene"].tolist() == ["KRAS"]
    one = read_calls(path, ["TARGET-10-PAB", "TARGET-10-PAZ"])
    assert one["sample"].unique().tolist() == ["TARGET-10-PAB"]
    assert "2 of other patients" in one.attrs["notes"][1]
    with pytest.raises(DataError, match="no call is of a patient of the cohort"):
        read_calls(path, ["PAB"])
    with pytest.raises(UsageError, match="timepoint is 'both'"):
        read_calls(path, timepoint="both")


def test_several_samples_of_a_patient(tmp_path):
    path = written(tmp_path, [["A", "Silent", "TARGET-10-PAA-09A"], ["B", "Silent", "TARGET-10-PAA-03A"]])
    with pytest.raises(DataError, match="several diagnosis samples"):
        read_calls(path)
    assert read_calls(path, on_duplicate="first")["gene"].tolist() == ["A"]
    assert read_calls(path, on_duplicate="mean")["gene"].tolist() == ["A", "B"]


@pytest.mark.parametrize(
    ("columns", "values", "vaf", "note"),
    [
        (["t_alt_count", "t_ref_count", "VAF"], [["5", "15", "9"], ["", "7", "9"]], [0.25, np.nan], "counts of reads"),
        (["t_alt_count", "t_ref_count", "VAF"], [["5", ".", "0.4"], ["5", ".", "1"]], [0.4, 1.0], ""),
        (["t_alt_count", "i_TumorVAF_WU"], [["5", "45.66"], ["5", "0.5"]], [0.4566, 0.005], "percents (largest 45.66)"),
        (["tumor_vaf"], [["NA"], ["."]], [np.nan, np.nan], "no allele fractions"),
    ],
)
def test_allele_fractions(tmp_path, columns, values, vaf, note):
    rows = [["G", "Missense_Mutation", f"S{i}", *cells] for i, cells in enumerate(values)]
    found = read_calls(written(tmp_path, rows, HEADER + columns))
    np.testing.assert_allclose(checked(found, None)["vaf"], vaf)
    assert note in found.attrs["notes"][-1]


def test_places_and_changes_of_protein(tmp_path):
    header = [*HEADER, "chromosome", "START_POSITION", "Reference_Allele", "Tumor_Seq_Allele2", "HGVSp", "HGVSp_Short"]
    rows = [
        ["A", "Missense_Mutation", "S1", "chr1", "12", "C", "T", "p.Arg2His", "p.R2H"],
        ["A", "Missense_Mutation", "S1", "1", "12", "C", "T", "p.Arg2His", "p.R2H"],
        ["A", "ITD", "S1", "1", "NA", "-", "TT", ".", "."],
    ]
    found = read_calls(written(tmp_path, rows, header))
    assert found["start"].tolist() == [12, 12, pd.NA]
    assert found["HGVSp"].tolist() == ["p.R2H", "p.R2H", ""]
    assert checked(found, None)["variant"].tolist() == ["", "1:12:C:T"]


def test_nothing_and_what_is_refused(tmp_path):
    assert read_calls(written(tmp_path, [])).shape == (0, 3)
    rows = [["A", "Silent", "S1", "37"], ["A", "Silent", "S1", "GRCh38"]]
    with pytest.raises(DataError, match="genome builds are mixed"):
        read_calls(written(tmp_path, rows, [*HEADER, "NCBI_Build"]))


@pytest.mark.shared
def test_real_files_against_csv(shared_data):
    path = shared_data / "laml" / "mutations.maf.gz"
    with gzip.open(path, "rt") as handle:
        theirs = list(csv.DictReader(handle, delimiter="\t", quoting=csv.QUOTE_NONE))
    ours = read_calls(path)
    assert len(ours) == len(theirs) == 2207
    assert ours["sample"].str.fullmatch(r"TCGA-AB-\d{4}").all()
    assert ours["HGVSp"].tolist() == [row["Protein_Change"].replace("NA", "") for row in theirs]
    percents = np.array([float(row["i_TumorVAF_WU"].replace("NA", "nan")) for row in theirs])
    np.testing.assert_allclose(ours["vaf"], percents / 100)
    assert "divided by 100" in ours.attrs["notes"][-1]
    checked(ours, None)

    study = shared_data / "formats" / "cbioportal" / "study_es_0" / "data_mutations_extended.maf"
    calls = read_calls(study, on_duplicate="mean")
    with study.open() as handle:
        lines = [line for line in handle if not line.startswith("#")]
    ids = [row["Tumor_Sample_Barcode"] for row in csv.DictReader(lines, delimiter="\t", quoting=csv.QUOTE_NONE)]
    assert len(calls) == sum(not one.startswith("TCGA") or one[12:15] in ("", "-01", "-03") for one in ids) > 25
    assert checked(calls, None)["vaf"].max() <= 1
    apl = read_calls(shared_data / "formats" / "maf" / "APL_primary.maf.gz")
    assert (apl["classification"] == "ITD").sum() == 45
