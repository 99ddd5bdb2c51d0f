"""Calls of mutations from a MAF: every variant of every patient, with its allele fraction and change of protein."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

import pandas as pd

from omics.read.maf import build_of, read_sequenced, refuse_mixed, rows
from omics.read.match import check_choice, select
from omics.schema import DataError

#: Columns of a MAF, in lower case, from which a column of calls is taken: the first that has a value.
COLUMNS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "sample": ("tumor_sample_barcode",),
        "gene": ("hugo_symbol",),
        "classification": ("variant_classification",),
        "chromosome": ("chromosome",),
        "start": ("start_position",),
        "reference": ("reference_allele",),
        "alternative": ("tumor_seq_allele2",),
        "HGVSp": ("hgvsp_short", "hgvsp", "protein_change", "amino_acid_change", "aachange"),
        "t_alt_count": ("t_alt_count",),
        "t_ref_count": ("t_ref_count",),
        "vaf": ("vaf", "t_vaf", "tumor_vaf", "i_tumorvaf_wu"),
    }
)
#: What stands for no value.
MISSING = ("", ".", "NA")

_ALWAYS = ("sample", "gene", "classification")
_READS = ("t_alt_count", "t_ref_count")
_NUMBERS = ("start", *_READS, "vaf")


def read_calls(
    path: str | os.PathLike[str],
    samples: Sequence[str] | None = None,
    *,
    timepoint: str = "diagnosis",
    on_duplicate: str = "error",
) -> pd.DataFrame:
    """Read the calls of a MAF, or of a mutation file of cBioPortal, one row each, by patient.

    Allele fractions come from the two counts of reads where a call has both, else from a column of fractions. One
    whose largest value exceeds 1 holds percents, and is divided by 100. All calls are returned, silent ones too.

    Parameters
    ----------
    path : path
        The file, plain or gzip.
    samples : sequence of str, optional
        Patients of the cohort; calls of others are left out. By default all patients of the file.
    timepoint : {"diagnosis", "relapse"}
        Of which samples the calls are taken, as in :func:`omics.read.ingest`.
    on_duplicate : {"error", "first", "mean"}
        What to do with several samples of one patient; "mean" takes the calls of any.

    Returns
    -------
    pandas.DataFrame
        In the order of the file: ``sample`` (the patient), ``gene, classification``, and where the file has a value
        ``chromosome, start`` (Int64), ``reference, alternative, HGVSp`` (change of protein), and either
        ``t_alt_count, t_ref_count`` or ``vaf`` (float, 0 to 1). ``attrs["notes"]``: what was detected and left out.

    Raises
    ------
    DataError
        The file is no MAF, or damaged; genome builds are mixed; a patient has several samples; none is of the
        timepoint; or no call is of one of `samples`.
    UsageError
        An option is none of its choices.
    """
    check_choice("timepoint", timepoint, ("diagnosis", "relapse"))
    check_choice("on_duplicate", on_duplicate, ("error", "first", "mean"))
    path = Path(path)
    table = _table(path)
    notes = [f"calls: {len(table):,} in {table['sample'].nunique():,} samples"]
    if len(table):
        table = _matched(table, samples, path, notes, timepoint=timepoint, on_duplicate=on_duplicate)
    classless = table["classification"] == ""
    if classless.any():
        notes.append(f"calls: {int(classless.sum()):,} without a classification are left out")
    found = _numbered(table[~classless].reset_index(drop=True), notes)
    found.attrs["notes"] = notes
    return found


def read_patients(
    path: str | os.PathLike[str], *, timepoint: str = "diagnosis", on_duplicate: str = "error"
) -> list[str]:
    """Patients of a list of sequenced samples, one id a line, as :func:`read_calls` names them.

    Raises
    ------
    DataError
        The list cannot be read or is empty, a patient has several samples, or none is of the timepoint.
    UsageError
        An option is none of its choices.
    """
    check_choice("timepoint", timepoint, ("diagnosis", "relapse"))
    check_choice("on_duplicate", on_duplicate, ("error", "first", "mean"))
    listed = read_sequenced(Path(path))
    return select("mutation", listed, where=str(path), timepoint=timepoint, on_duplicate=on_duplicate).patients


def _table(path: Path) -> pd.DataFrame:
    """Every row of the file as text, empty where there is no value, and only the columns that have one."""
    wanted = [name for names in COLUMNS.values() for name in names]
    builds: dict[str, int] = {}
    cells: dict[str, list[str]] = {name: [] for name in wanted}
    for number, row in rows(path):
        builds.setdefault(build_of(row.get("ncbi_build", "")), number)
        for name in wanted:
            cells[name].append(row.get(name, "").strip())
    refuse_mixed(builds, path)
    filled = {name for name, column in cells.items() if any(value not in MISSING for value in column)}
    columns = {}
    for name, names in COLUMNS.items():
        source = next((one for one in names if one in filled), names[0] if name in _ALWAYS else None)
        if source is not None:
            columns[name] = pd.Series(cells[source], dtype=object)
    table = pd.DataFrame(columns)
    optional = [name for name in table.columns if name not in _ALWAYS]
    table[optional] = table[optional].mask(table[optional].isin(MISSING), "")
    return table


def _matched(
    table: pd.DataFrame, samples: Sequence[str] | None, path: Path, notes: list[str], **rules: str
) -> pd.DataFrame:
    """The calls of the patients chosen, named by patient."""
    ids = list(table["sample"].drop_duplicates())
    chosen = select("mutation", ids, where=str(path), **rules)
    wanted = set(chosen.patients if samples is None else samples)
    patient_of = {
        ids[place]: patient
        for patient, places in zip(chosen.patients, chosen.members, strict=True)
        for place in places
        if patient in wanted
    }
    if not patient_of:
        raise DataError(
            "no call is of a patient of the cohort",
            where=str(path),
            fix="is it the MAF that was ingested? Patients there: " + ", ".join(chosen.patients[:5]),
        )
    patient = table["sample"].map(patient_of)
    if patient.isna().any():
        notes.append(
            f"calls: {int(patient.isna().sum()):,} of other patients, or of samples that are not taken, are left out"
        )
    return table.assign(sample=patient.astype(object))[patient.notna()]


def _numbered(table: pd.DataFrame, notes: list[str]) -> pd.DataFrame:
    """Numbers as such, and one way only to know the allele fraction."""
    numbers = {name: pd.to_numeric(table[name], errors="coerce") for name in _NUMBERS if name in table}
    table = table.assign(**{name: column.astype(float) for name, column in numbers.items()})
    if "start" in table:
        table["start"] = table["start"].astype("Int64")
    counted = set(_READS) <= set(table.columns) and bool(table[list(_READS)].notna().all(axis=1).any())
    if counted:
        notes.append("calls: allele fractions are from counts of reads")
        return table.drop(columns="vaf", errors="ignore")
    table = table.drop(columns=[name for name in _READS if name in table])
    if "vaf" not in table:
        notes.append("calls: no allele fractions")
    elif table["vaf"].max() > 1:
        notes.append(f"calls: allele fractions are percents (largest {table['vaf'].max():g}), divided by 100")
        table["vaf"] = table["vaf"] / 100
    return table
