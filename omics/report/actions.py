"""What may resist, what could be targeted, which antigen is there, and which pharmacogene the germline must be asked.

Of the lesions, those that are not what a knowledge table means are never shown; where nobody looked, it is said.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import xarray as xr

from omics.report import grids
from omics.report.content import Cell, Figure, Part, Remark, Row, Section, Table
from omics.report.reading import Artefacts, records
from omics.report.tables import (
    capped,
    counted,
    decimals,
    distinct,
    how_many,
    in_order,
    joined,
    part_of,
    percentile,
    probability,
    ratio,
    read,
    sentence,
    share,
    text,
)
from omics.report.words import MISSING, clean, count, natural, percent

#: Most rows of a table of patients.
MAX_PATIENTS = 3000
_MEASURED = "measured"
_NO_ADVICE = (
    "This section and the next ones are leads for research, no advice on treatment: a lesion or a transcript in a data "
    "file is not a validated test, approvals differ by country and age, and what a table does not name may matter more."
)
_KNOWN = ("role", "statement", "caveat", "evidence", "reference", "origin")
_KNOWN_HEAD = ("Role", "What is known, and its limits", "Evidence; reference", "From")
_APPROVAL = ("status", "region", "status_date")


def action_sections(artefacts: Artefacts) -> list[Section]:
    """The sections that there are; the first says that none of it is advice."""
    made = (_resistance, _targets, _antigens, _toxicity)
    found = [section for make in made if (section := make(artefacts.interpretation)) is not None]
    if not found:
        return []
    first, *others = found
    return [Section(first.key, first.title, first.lead, [Remark(_NO_ADVICE), *first.parts]), *others]


def shown(table: pd.DataFrame) -> pd.DataFrame:
    """Rows of patients with a lesion that is, or may be, what the knowledge table means."""
    return table[(table["known"] == _MEASURED) & (table["agrees"] != "no")]


def looked_at(patients: pd.DataFrame, subtypes: pd.DataFrame | None) -> dict[str, int]:
    """Kinds of lesions that were looked for, and in how many patients; 0 where the number is not known."""
    found = dict.fromkeys(distinct(patients.loc[patients["known"] == _MEASURED, "lesion"]), 0)
    if subtypes is not None:
        rows = subtypes[subtypes["known"] == _MEASURED]
        everyone = (rows["n_known"] + rows["n_known_others"]).groupby(rows["lesion"]).max()
        found |= {str(lesion): int(n) for lesion, n in everyone.items() if n > 0}
    return {lesion: found[lesion] for lesion in distinct(found)}


# --- lesions ------------------------------------------------------------------------------------------------------


class _View(NamedTuple):
    """How a view is told: its nodes, columns that name a row of the knowledge table, and what its lesions do.

    Attributes
    ----------
    node : str
        Start of the names of the nodes.
    names : mapping
        Column -> heading, of what names a row.
    further : tuple of str
        More columns of the row, in one cell, and its heading first.
    which : str
        What the lesions do.
    """

    node: str
    names: Mapping[str, str]
    further: tuple[str, ...]
    which: str


_RESIST = _View(
    "resistance", {"gene": "Gene", "drug": "Drug"}, ("Alteration meant", "alteration"), "may let blasts escape a drug"
)
_TARGET = _View(
    "targets",
    {"target": "Target", "indication": "Lesion or group meant", "agents": "Agents"},
    ("Approval", *_APPROVAL),
    "could be targeted",
)


def _resistance(tree: xr.DataTree | None) -> Section | None:
    parts = _lesions(tree, _RESIST)
    lead = "Lesions that may let blasts escape a drug: by subtype, what is known of them, by patient."
    return Section("resistance", "What may resist", lead, parts) if parts else None


def _targets(tree: xr.DataTree | None) -> Section | None:
    parts = _lesions(tree, _TARGET)
    lead = (
        "Lesions for which agents exist: by subtype, what is known of the agents and where they are approved, by "
        "patient. Expression is the percentile of the target's mRNA in this cohort."
    )
    return Section("targets", "What could be targeted", lead, parts) if parts else None


def _lesions(tree: xr.DataTree | None, view: _View) -> list[Part]:
    """By subtype, what is known, by patient, and who was not looked at."""
    subtypes, patients = (read(tree, f"{view.node}_{of}") for of in ("subtypes", "patients"))
    if patients is not None and not looked_at(patients, subtypes):
        return [Remark(f"Lesions that {view.which}: not looked at in anybody."), *_not_looked_at(patients, view)]
    parts: list[Part] = [] if subtypes is None else [_of_subtypes(subtypes, view)]
    if patients is not None:
        hits = shown(patients)
        parts += [_known(hits, view), _of_patients(hits, view)] if len(hits) else [Remark(_NOBODY)]
        parts += _not_looked_at(patients, view)
    return parts


_NOBODY = "No patient who was looked at has such a lesion."


def _of_subtypes(table: pd.DataFrame, view: _View) -> Part:
    """Share of each subtype with a lesion, of those looked at, against all others."""
    looked = table[table["known"] == _MEASURED]
    found = looked[looked["n_with"] > 0]
    if found.empty:
        return Remark(f"Lesions that {view.which}: no patient of a subtype who was looked at has one.")
    same = ["subtype", "gene" if "gene" in found else "indication", "lesion", "n_with"]  # whatever the drug or agent
    first, cut = capped(in_order(found, "subtype").sort_values("q_value", kind="stable"))
    rows: list[Row] = [
        [clean(row.subtype, 40), *(text(getattr(row, name), 80) for name in view.names), text(row.lesion),
         part_of(row.n_with, row.n_known), counted(row.n_to_check), part_of(row.n_with_others, row.n_known_others),
         ratio(row.odds_ratio), probability(row.p_value), probability(row.q_value)]
        for row in records(first)
    ]  # fmt: skip
    head = ("Subtype", *view.names.values(), "Lesion", "With it", "To be checked", "Others with it",
            "Odds ratio", "p-value", "q-value")  # fmt: skip
    note = (
        "With it: patients whose lesion is or may be the one meant, of those looked at; to be checked: those of them "
        f"for whom the data do not tell. Fisher's exact test against all other subtypes, circular where such lesions "
        f"were a layer of the factors. {how_many(found.drop_duplicates(same))} Left out: "
        f"{len(looked) - len(found):,} rows of lesions that nobody of the subtype has, {len(table) - len(looked):,} of "
        f"lesions that were not looked for.{cut}"
    )
    return Table(f"Lesions that {view.which}, by subtype", head, "l" * (2 + len(view.names)) + "rrrrrr", rows, note)


def _by_patients(table: pd.DataFrame, keys: Sequence[str]) -> list[list[Any]]:
    """Each combination of the keys, and how many patients have it, the most frequent first."""
    counts = table.groupby(list(keys), sort=False)["sample"].nunique().sort_values(ascending=False, kind="stable")
    return [[*said, int(n)] for *said, n in counts.reset_index().to_numpy().tolist()]


def _known(hits: pd.DataFrame, view: _View) -> Table:
    """Each row of the knowledge table that a patient of the cohort meets."""
    further, *columns = view.further
    keys = [*view.names, *columns, *_KNOWN]
    rows: list[Row] = []
    for *said, n in _by_patients(hits, keys):
        one = dict(zip(keys, said, strict=True))
        named = [text(one[name], 80) for name in view.names]
        rows.append([*named, joined(*(one[name] for name in columns)), *_told(one), counted(n)])
    head = (*view.names.values(), further, *_KNOWN_HEAD, "Patients")
    note = "Rows of the knowledge tables that a lesion of a patient meets, with the number of such patients."
    align = "l" * (len(head) - 1) + "r"
    return Table(f"What is known of the lesions that {view.which}", head, align, rows, note)


def _told(one: Mapping[Any, str]) -> list[str]:
    """What a row of a knowledge table says, below :data:`_KNOWN_HEAD`."""
    limits = sentence(one["statement"], one["caveat"])
    return [text(one["role"], 40), limits, joined(one["evidence"], one["reference"]), text(one["origin"], 60)]


def _of_patients(hits: pd.DataFrame, view: _View) -> Table:
    targets = "percentile" in hits
    columns = {name: title for name, title in view.names.items() if name not in ("gene", "indication")}
    first, cut = capped(hits, MAX_PATIENTS)
    rows: list[Row] = [
        [_patient(row.sample), text(row.subtype, 40), text(row.gene, 40), text(row.lesion), text(row.detail, 60),
         *(text(getattr(row, name), 80) for name in columns), text(row.agrees),
         *([percentile(row.percentile)] if targets else [])]
        for row in records(first)
    ]  # fmt: skip
    head = ("Patient", "Subtype", "Gene", "Lesion", "Change", *columns.values(), "Is it what is meant?",
            *(["Expression"] if targets else []))  # fmt: skip
    note = (
        f"{count(hits['sample'].nunique(), 'patient')} with such a lesion. A patient who is not here has none of those "
        f"looked for, or was not looked at: see the table below.{cut}"
    )
    return Table(f"Lesions that {view.which}, by patient", head, "l" * (6 + len(columns)) + "r" * targets, rows, note)


def _patient(sample: object) -> Cell:
    return Cell(clean(sample, 60), sample=clean(sample))


def _not_looked_at(table: pd.DataFrame, view: _View) -> list[Table]:
    """For how many patients the data cannot show a lesion."""
    unseen = table[table["known"] != _MEASURED]
    if unseen.empty:
        return []
    keys = list(dict.fromkeys([*view.names, "lesion"]))
    rows: list[Row] = [
        [*(text(one, 80) for one in said), lesion or "no lesion shows it", counted(n)]
        for *said, lesion, n in _by_patients(unseen, keys)
    ]
    note = (
        f"Patients, of {table['sample'].nunique():,} in the table, who were not looked at for this: whether they have "
        "it is not known."
    )
    head = (*view.names.values(), "Lesion", "Patients")
    return [Table(f"Not looked at: lesions that {view.which}", head, "l" * len(keys) + "r", rows, note)]


# --- antigens -----------------------------------------------------------------------------------------------------

_SURFACE = (
    "mRNA is not surface protein: expression that is high or even here does not show that blasts carry the antigen. "
    "Flow cytometry must confirm it."
)


def _antigens(tree: xr.DataTree | None) -> Section | None:
    table, patients = read(tree, "antigens_subtypes"), read(tree, "antigens_patients")
    if table is None and patients is None:
        return None
    lead = (
        "Expression of surface antigens for which antibodies, engagers or CAR-T exist, as percentiles in this cohort: "
        "they compare patients of one antigen, not antigens with each other."
    )
    if not any((one["known"] == _MEASURED).any() for one in (table, patients) if one is not None):
        return Section("antigens", "Which antigen", lead, [Remark("The expression of no antigen was measured.")])
    parts: list[Part] = [Remark(_SURFACE, True)]
    if table is not None:
        parts += [*_antigen_figure(table), _antigen_table(table), _therapies(table)]
    if patients is not None:
        parts.append(_antigens_of_patients(patients))
    return Section("antigens", "Which antigen", lead, parts)


def _measured(table: pd.DataFrame) -> pd.DataFrame:
    """One row for each antigen of each subtype that was measured."""
    return table[table["known"] == _MEASURED].drop_duplicates(["subtype", "gene", "antigen"])


def _antigen_figure(table: pd.DataFrame) -> list[Part]:
    found = _measured(table)
    if found.empty:
        return [Remark("The expression of no antigen was measured.")]
    drawn = pd.DataFrame({
        "subtype": found["subtype"], "antigen": found["antigen"], "percentile": found["median_percentile"] / 100,
        "homogeneity": 1 - found["share_low"],
    })  # fmt: skip
    caption = "Homogeneity: share of the patients above the lowest tenth of the cohort."
    return [Figure(grids.antigens(drawn), caption)]


def _antigen_table(table: pd.DataFrame) -> Table:
    found = _measured(table)
    unseen = sorted(set(table["antigen"]) - set(found["antigen"]), key=natural)
    rows: list[Row] = [
        [clean(row.antigen, 40), clean(row.subtype, 40), clean(row.gene, 40), counted(row.n),
         percentile(row.median_percentile), share(row.share_above_median), share(row.share_low), decimals(row.spread),
         decimals(row.bimodality), decimals(row.bimodality_cohort)]
        for row in records(found)
    ]  # fmt: skip
    head = ("Antigen", "Subtype", "Gene", "Patients", "Median percentile", "Above median", "Low", "Spread",
            "Bimodality", "Of the cohort")  # fmt: skip
    note = (
        "Low: share at or below the lowest tenth of the cohort. Spread: interquartile range by that of the cohort, "
        "below 1 is more homogeneous. Bimodality: above 0.56 some may have it and others not."
        + (f" Not measured: {', '.join(clean(one, 30) for one in unseen)}." if unseen else "")
    )
    return Table("Antigens by subtype", head, "lllrrrrrrr", rows, note)


def _therapies(table: pd.DataFrame) -> Table:
    """Each row of the knowledge table once, whatever the subtype."""
    keys = ["antigen", "modality", "agents", *_APPROVAL, "escape", *_KNOWN]
    rows: list[Row] = [
        [clean(one["antigen"], 40), text(one["modality"], 60), text(one["agents"], 80),
         joined(*(one[name] for name in _APPROVAL)), text(one["escape"]), *_told(one)]
        for one in table[keys].drop_duplicates().to_dict("records")
    ]  # fmt: skip
    head = ("Antigen", "Modality", "Agents", "Approval", "Known escape", *_KNOWN_HEAD)
    note = f"Measured here or not. To confirm: {'; '.join(clean(one) for one in distinct(table['confirm']))}."
    return Table("Antigens: therapies, escape and what is known", head, "l" * len(head), rows, note)


def _antigens_of_patients(table: pd.DataFrame) -> Table:
    """Percentiles of each patient, one column an antigen that was measured."""
    found = table[table["known"] == _MEASURED]
    antigens = list(dict.fromkeys(found["antigen"]))
    wide = found.drop_duplicates(["sample", "antigen"]).pivot(index="sample", columns="antigen", values="percentile")
    label = table.drop_duplicates("sample").set_index("sample")["subtype"]
    first, cut = capped(wide.reindex(columns=antigens), MAX_PATIENTS)
    rows: list[Row] = [
        [_patient(sample), text(label[sample], 40), *(_tinted(value) for value in values)]
        for sample, values in zip(first.index, first.to_numpy(dtype=float), strict=True)
    ]
    everyone = table["sample"].nunique()
    note = (
        f"Percentile of expression in the cohort; {count(everyone - len(wide), 'patient')} of {everyone:,} were not "
        f"measured.{cut}"
    )
    return Table("Antigens by patient", ("Patient", "Subtype", *(clean(one, 20) for one in antigens)),
                 "ll" + "c" * len(antigens), rows, note)  # fmt: skip


def _tinted(value: float) -> Cell | str:
    return Cell(f"{value:.0f}", round(0.008 * float(value), 1)) if np.isfinite(value) else MISSING


# --- toxicity -----------------------------------------------------------------------------------------------------


def _toxicity(tree: xr.DataTree | None) -> Section | None:
    table = read(tree, "pharmacogenes")
    if table is None:
        return None
    tested = table[table["sample"] != ""]
    parts: list[Part] = [_to_test(table)]
    if tested.empty:
        parts.append(Remark("No germline table was given: nothing is known of the patients of this cohort."))
    else:
        parts.append(_carriers(tested))
    lead = (
        "Which variants of the germline may make a drug toxic, and what would have to be tested. Germline only: calls "
        "of a tumour do not tell, and are not read."
    )
    return Section("toxicity", "Toxicity: what the germline must be asked", lead, parts)


def _to_test(table: pd.DataFrame) -> Table:
    keys = ["drug", "toxicity", "gene", "variant", "requires", "cpic", *_KNOWN]
    rows: list[Row] = [
        [*(text(one[name], 80) for name in keys[:6]), *_told(one)]
        for one in table[keys].drop_duplicates().to_dict("records")
    ]
    head = ("Drug", "Toxicity", "Gene", "Variant", "Sample", "Guideline", *_KNOWN_HEAD)
    return Table("Pharmacogenes to be tested", head, "l" * len(head), rows)


def _carriers(table: pd.DataFrame) -> Table:
    """Variants found that are, or may be, those asked for."""
    found = table[(table["known"] == _MEASURED) & table["agrees"].isin(["yes", "to be checked"])]
    first, cut = capped(found, MAX_PATIENTS)
    columns: Sequence[str] = ("gene", "variant", "found", "agrees", "drug", "toxicity", "evidence")
    rows: list[Row] = [[_patient(row.sample), *(_said(row, name) for name in columns)] for row in records(first)]
    head = ("Patient", "Gene", "Variant asked for", "Found", "Is it the one?", "Drug", "Toxicity", "Evidence")
    people = table["sample"].nunique()
    unseen = table[table["known"] != _MEASURED]
    note = (
        f"{count(found['sample'].nunique(), 'patient')} of {people:,} in the germline table. "
        f"{count(len(unseen), 'pair')} of patient and variant were not measured ({percent(len(unseen) / len(table))}): "
        f"that a patient is not here does not say that the gene is normal.{cut}"
    )
    return Table("Pharmacogene variants by patient", head, "l" * len(head), rows, note)


def _said(row: Any, name: str) -> str:
    return text(getattr(row, name), 80)
