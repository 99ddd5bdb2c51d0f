"""The section on mutations: who carries what, burden, pairs of genes, subtypes, relapse, and what relapse brings."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from omics.report import oncoprint, reading
from omics.report.content import Cell, Figure, Part, Row, Section, Table
from omics.report.reading import Artefacts, records
from omics.report.tables import (
    by_subtype,
    capped,
    counted,
    decimals,
    how_many,
    part_of,
    probability,
    ratio,
    read,
    text,
)
from omics.report.words import MISSING, clean, count, listing, number

#: A track of more levels would have a legend that nobody can read.
MAX_LEVELS = 4


def mutations_section(artefacts: Artefacts) -> Section | None:
    """Oncoprint, burden, pairs of genes, enrichment, relapse, change from diagnosis to relapse, copy numbers."""
    tree = artefacts.interpretation
    parts: list[Part] = [
        *_oncoprint(artefacts),
        *_burden(tree),
        *_subtypes(tree),
        *_relapse(tree),
        *_evolution(tree),
        *_pairs(tree),
        *_profile(artefacts),
    ]
    if not parts:
        return None
    lead = (
        "Calls that alter a gene, among the patients who were sequenced. Fisher's exact tests, two-sided, unless "
        "another is named; q is the false discovery rate over the table. Where mutations were a layer of the factors, "
        "a test against the subtypes is circular: description, not evidence."
    )
    return Section("mutations", "Mutations", lead, parts)


# --- who carries what ---------------------------------------------------------------------------------------------


def _oncoprint(artefacts: Artefacts) -> list[Part]:
    tree = artefacts.interpretation
    cells, genes, samples = (read(tree, name) for name in ("oncoprint", "oncoprint_genes", "oncoprint_samples"))
    if cells is None or genes is None or samples is None:
        return []
    names = reading.subtype_names(artefacts.subtypes)
    svg = oncoprint.oncoprint(cells, genes, samples, _tracks(artefacts.clinical), names=names)
    carriers = cells["sample"].nunique()
    caption = (
        f"{count(len(samples), 'patient')} were sequenced; {carriers:,} carry one of the {len(genes)} genes shown. "
        "White in a track: not known. Relapse: seen so far, however long the patient was followed."
    )
    return [Figure(svg, caption), _gene_table(genes)]


def _tracks(clinical: pd.DataFrame) -> pd.DataFrame:
    """Relapse, the subtype that was known, risk, sex: those that the clinical table has."""
    tracks = pd.DataFrame(index=clinical.index)
    relapsed = next((clinical[name] for name in ("relapse", "event") if name in clinical), None)
    if relapsed is not None:
        tracks["relapse"] = (relapsed == 1).map({True: "yes", False: "no"}).where(relapsed.notna())
    named = {"subtype": "known subtype", "nci_risk": "NCI risk", "sex": "sex"}
    for column, title in named.items():
        if column in clinical and clinical[column].nunique() <= MAX_LEVELS:
            tracks[title] = clinical[column]
    return tracks


def _gene_table(genes: pd.DataFrame) -> Table:
    rows: list[Row] = [
        [clean(row.gene, 40), part_of(row.n_mutated, row.n), counted(row.n_calls)] for row in records(genes)
    ]
    return Table("Mutated genes", ("Gene", "Carriers", "Calls"), "lrr", rows)


def _burden(tree: xr.DataTree | None) -> list[Part]:
    """Calls and heterogeneity of all patients, and of each subtype."""
    table, samples = read(tree, "burden"), read(tree, "oncoprint_samples")
    if table is None:
        return []
    label = {} if samples is None else samples.set_index("sample")["subtype"].to_dict()
    named = table.assign(subtype=[label.get(one, "") for one in table["sample"]])
    groups = [("All", named), *((name, rows) for name, rows in by_subtype(named) if name)]
    known = {column: said for column, said in _BURDEN.items() if table[column].notna().any()}
    math = "math" in known
    rows: list[Row] = [
        [clean(name, 40), counted(len(part)), *(_spread(part[column], digits) for column, (_, digits) in known.items()),
         *([counted(int(part["math"].notna().sum()))] if math else [])]
        for name, part in groups
    ]  # fmt: skip
    head = ("Subtype", "Patients", *(title for title, _ in known.values()), *(["With MATH"] if math else []))
    unknown = [title for column, (title, _) in _BURDEN.items() if column not in known]
    left_out = f" Left out, as not known of anybody: {listing(unknown)}." if unknown else ""
    note = (
        "Median (quartiles). VAF: allele fraction. MATH: 100 times the scaled median absolute deviation of the allele "
        f"fractions by their median; not known with few variants or without allele fractions.{left_out}"
    )
    return [Table("Burden and heterogeneity", head, "l" + "r" * (len(head) - 1), rows, note)]


_BURDEN = {
    "n_non_silent": ("Altering calls", 0),
    "per_megabase": ("All calls per Mb", 2),
    "median_vaf": ("Median VAF", 2),
    "math": ("MATH", 1),
}


def _spread(values: pd.Series, digits: int) -> str:
    known = values.to_numpy(dtype=float)
    known = known[np.isfinite(known)]
    if not known.size:
        return MISSING
    low, middle, high = (number(float(q), digits) for q in np.quantile(known, (0.25, 0.5, 0.75)))
    return f"{middle} ({low} to {high})"


# --- what goes with what ------------------------------------------------------------------------------------------


def _subtypes(tree: xr.DataTree | None) -> list[Part]:
    table = read(tree, "mutation_subtypes")
    if table is None:
        return []
    shown, cut = capped(table.sort_values("p_value", kind="stable"))
    rows: list[Row] = [[clean(row.subtype, 40), clean(row.gene, 40), *_contrast(row)] for row in records(shown)]
    head = ("Subtype", "Gene", "Carriers inside", "Carriers outside", "Odds ratio", "p-value", "q-value")
    return [Table("Mutated genes by subtype", head, "llrrrrr", rows, f"{how_many(table)}{cut}")]


def _relapse(tree: xr.DataTree | None) -> list[Part]:
    table = read(tree, "mutation_relapse")
    if table is None:
        return []
    shown, cut = capped(table.sort_values("p_value", kind="stable"))
    rows: list[Row] = [[clean(row.gene, 40), *_contrast(row)] for row in records(shown)]
    head = ("Gene", "Relapsed", "Did not", "Odds ratio", "p-value", "q-value")
    note = (
        "Carriers among patients who relapsed by the horizon of the interpretation, and among those who were followed "
        f"so far, or died, without. {how_many(table)}{cut}"
    )
    return [Table("Mutated genes and relapse", head, "lrrrrr", rows, note)]


def _contrast(row: Any) -> list[Cell]:
    inside, cluster, mutated, n = row.n_inside, row.n_cluster, row.n_mutated, row.n
    return [part_of(inside, cluster), part_of(mutated - inside, n - cluster), ratio(row.effect),
            probability(row.p_value), probability(row.q_value)]  # fmt: skip


def _pairs(tree: xr.DataTree | None) -> list[Part]:
    table = read(tree, "gene_pairs")
    if table is None:
        return []
    shown, cut = capped(table.sort_values("p_value", kind="stable"), 200)
    rows: list[Row] = [
        [clean(row.gene_a, 40), clean(row.gene_b, 40), text(row.direction), f"{row.n_a:,}", f"{row.n_b:,}",
         counted(row.n_both), decimals(row.expected, 1), decimals(row.expected_by_burden, 1),
         ratio(_exp(row.log_odds)), probability(row.q_fisher), probability(row.p_value), probability(row.q_value)]
        for row in records(shown)
    ]  # fmt: skip
    head = ("Gene", "And", "They occur", "First", "Second", "Both", "Expected", "Given burden", "Odds ratio",
            "q (Fisher)", "p-value", "q-value")  # fmt: skip
    note = (
        f"{count(int(table['n'].max()), 'patient')}. Given burden: expected if patients keep their number of altered "
        f"genes, which the p- and q-value allow for and Fisher's test does not. {how_many(table, 'pair')}{cut}"
    )
    return [Table("Genes mutated together, or apart", head, "lllrrrrrrrrr", rows, note)]


def _exp(log_odds: float) -> float:
    return math.exp(log_odds) if log_odds < 700 else math.inf


# --- from diagnosis to relapse ------------------------------------------------------------------------------------


def _evolution(tree: xr.DataTree | None) -> list[Part]:
    genes, patients, apart = (read(tree, f"evolution_{name}") for name in ("genes", "patients", "unpaired"))
    parts = [] if genes is None else [_paired(genes)]
    parts += [] if patients is None else [_of_patients(patients)]
    return [*parts, *([] if apart is None else [_unpaired(apart)])]


def _paired(table: pd.DataFrame) -> Table:
    shown, cut = capped(table.sort_values("p_value", kind="stable"))
    rows: list[Row] = [
        [clean(row.gene, 40), part_of(row.n_diagnosis, row.n), part_of(row.n_relapse, row.n), counted(row.gained),
         counted(row.lost), counted(row.kept), counted(row.replaced), probability(row.p_value),
         probability(row.q_value)]
        for row in records(shown)
    ]  # fmt: skip
    head = ("Gene", "At diagnosis", "At relapse", "Gained", "Lost", "Kept", "Replaced", "p-value", "q-value")
    none = "No gene changed in enough patients to be tested: no q-values."
    tested = how_many(table) if table["q_value"].notna().any() else none
    note = (
        f"{count(int(table['n'].max()), 'pair')} of samples. Exact test of gained against lost (McNemar). Replaced: of "
        f"those who keep the gene mutated, patients without a variant in common. {tested}{cut}"
    )
    return Table("From diagnosis to relapse, in pairs", head, "lrrrrrrrr", rows, note)


def _of_patients(table: pd.DataFrame) -> Table:
    shown, cut = capped(table, 1000)
    rows: list[Row] = [
        [Cell(clean(row.patient, 40), sample=clean(row.patient)), clean(row.gene, 40), text(row.status),
         decimals(row.n_shared, 0)]
        for row in records(shown)
    ]  # fmt: skip
    head = ("Patient", "Gene", "At relapse", "Variants in common")
    return Table("Gained, lost and kept, by patient", head, "lllr", rows, cut.strip())


def _unpaired(table: pd.DataFrame) -> Table:
    shown, cut = capped(table.sort_values("p_value", kind="stable"))
    rows: list[Row] = [
        [clean(row.gene, 40), part_of(row.n_diagnosis, row.diagnosis), part_of(row.n_relapse, row.relapse),
         ratio(row.effect), probability(row.p_value), probability(row.q_value)]
        for row in records(shown)
    ]  # fmt: skip
    head = ("Gene", "At diagnosis", "At relapse", "Odds ratio", "p-value", "q-value")
    note = f"Other patients at relapse than at diagnosis. {how_many(table)}{cut}"
    return Table("Diagnosis and relapse, other patients", head, "lrrrrr", rows, note)


# --- copy numbers -------------------------------------------------------------------------------------------------


def _profile(artefacts: Artefacts) -> list[Part]:
    """Altered regions of those who were looked at: of all, and of each subtype."""
    table = read(artefacts.interpretation, "cna_profile")
    if table is None:
        return []
    known = table[table["altered"] != ""]
    label, names = reading.labels(artefacts.subtypes), reading.subtype_names(artefacts.subtypes)
    subtype = known["sample"].map(label.to_dict())
    groups = [known, *(known[(subtype == name).to_numpy()] for name in names)]
    rows: list[Row] = [
        [clean(region, 40), *(_altered(group[group["region"] == region]) for group in groups)]
        for region in dict.fromkeys(table["region"])
    ]
    head = ("Region", "All", *(clean(name, 14) for name in names))
    note = "Altered, of the patients whose region is known."
    return [Table("Copy-number profile", head, "l" + "r" * (1 + len(names)), rows, note)]


def _altered(rows: pd.DataFrame) -> Cell:
    return part_of(int((rows["altered"] == "yes").sum()), len(rows))
