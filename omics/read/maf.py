"""Mutations from a MAF: which genes of which sequenced sample carry a non-synonymous variant."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from omics.read import lines
from omics.read.match import Selection, select
from omics.schema import DataError

#: Classes known to change the protein.
NON_SYNONYMOUS = frozenset(
    {
        "Frame_Shift_Del",
        "Frame_Shift_Ins",
        "ITD",
        "In_Frame_Del",
        "In_Frame_Ins",
        "Missense_Mutation",
        "Nonsense_Mutation",
        "Nonstop_Mutation",
        "Splice_Site",
        "Translation_Start_Site",
    }
)
#: Classes that leave it as it is, in lower case. A class that is neither counts as altering, and is named.
SILENT = frozenset(
    {
        *("silent", "splice_region", "intron", "3'utr", "5'utr", "3'flank", "5'flank", "igr", "targeted_region"),
        *("rna", "lincrna", "de_novo_start_inframe", "de_novo_start_outofframe"),
    }
)
#: Names, in lower case, of what lies between genes.
NO_GENE = ("", "unknown")

_KNOWN = frozenset(name.lower() for name in NON_SYNONYMOUS)
_REQUIRED = ("hugo_symbol", "variant_classification", "tumor_sample_barcode")
_VARIANT = ("tumor_sample_barcode", "chromosome", "start_position", "reference_allele", "tumor_seq_allele2")


@dataclass(frozen=True)
class Mutations:
    """What a MAF says.

    Attributes
    ----------
    samples : list of str
        Ids in the order in which they occur.
    carriers : dict
        Gene to ids of the samples with a non-synonymous variant.
    chromosome : dict
        Gene to chromosome, as in the file.
    notes : list of str
        Counts of what was read and left out.
    """

    samples: list[str]
    carriers: dict[str, set[str]]
    chromosome: dict[str, str]
    notes: list[str]


def read_maf(path: Path) -> Mutations:
    """Read a MAF, plain or gzip.

    Lines that begin with ``#`` are skipped; the header is found by ``Hugo_Symbol``. A variant that repeats (same
    sample, position and alleles; several callers report it, or several transcripts) counts once, as non-synonymous if
    any of the repeats says so; ``Unknown`` genes are intergenic and left out, as is a call without a class.

    Raises
    ------
    DataError
        There is no header, a row has another number of fields, or genome builds are mixed.
    """
    samples: dict[str, None] = {}
    carriers: dict[str, set[str]] = {}
    chromosome: dict[str, str] = {}
    variants: dict[tuple[str, ...], bool] = {}
    builds: dict[str, int] = {}
    unusual: Counter[str] = Counter()
    n = 0
    for number, row in rows(path):
        n += 1
        sample, gene, kind = row["tumor_sample_barcode"], row["hugo_symbol"], row["variant_classification"]
        samples.setdefault(sample)
        builds.setdefault(build_of(row.get("ncbi_build", "")), number)
        variant = (gene, *(row.get(name, "") for name in _VARIANT))
        alters = gene.lower() not in NO_GENE and alters_protein(kind)
        variants[variant] = variants.get(variant, False) or alters
        if alters:
            carriers.setdefault(gene, set()).add(sample)
            chromosome.setdefault(gene, row.get("chromosome", ""))
            unusual.update([] if kind.lower() in _KNOWN else [kind])
    refuse_mixed(builds, path)
    intergenic = sum(gene.lower() in NO_GENE for gene, *_ in variants)
    silent = len(variants) - intergenic - sum(variants.values())
    build = next(iter(builds), "") or "not given"
    notes = [
        f"mutation: {len(variants):,} variants in {len(samples):,} samples, genome build {build}; left out: "
        f"{n - len(variants):,} repeated, {intergenic:,} intergenic, {silent:,} silent or outside of genes"
    ]
    if unusual:
        named = ", ".join(f"{kind} ({count:,})" for kind, count in unusual.most_common(5))
        notes.append(f"mutation: classes that are no usual ones count as non-synonymous: {named}")
    return Mutations(list(samples), carriers, chromosome, notes)


def alters_protein(kind: str) -> bool:
    """Whether a call of this class changes the protein; one without a class is not known to."""
    return kind != "" and kind.lower() not in SILENT


def rows(path: Path) -> Iterator[tuple[int, dict[str, str]]]:
    """Number and fields of each row, by lower-case name (``End_position`` and ``End_Position`` both occur)."""
    header: list[str] = []
    for block in lines.read(path):
        for number, line in enumerate(block.text.decode().split("\n"), block.first):
            if not line or line.startswith("#"):
                continue
            cells = line.split("\t")
            if not header:
                header = _header(cells, path, number)
                continue
            if len(cells) != len(header):
                raise DataError(
                    f"{len(cells)} fields, the header has {len(header)}",
                    where=f"{path}, line {number}",
                    fix="every row must have one field for each column; the file may be cut or joined wrongly",
                )
            yield number, dict(zip(header, cells, strict=True))
    if not header:
        raise DataError("there is no header", where=str(path), fix="a MAF has a line that begins with Hugo_Symbol")


def _header(cells: list[str], path: Path, number: int) -> list[str]:
    header = [cell.lower() for cell in cells]
    missing = [name for name in _REQUIRED if name not in header]
    if missing:
        raise DataError(
            f"this is no MAF: column {', '.join(missing)} is missing",
            where=f"{path}, line {number}",
            fix="a MAF has the columns Hugo_Symbol, Variant_Classification and Tumor_Sample_Barcode",
        )
    return header


def build_of(value: str) -> str:
    """One name for each genome build."""
    for name, digits in (("GRCh37", ("37", "19")), ("GRCh38", ("38",)), ("NCBI36", ("36", "18"))):
        if value.endswith(digits):
            return name
    return value


def refuse_mixed(builds: dict[str, int], path: Path) -> None:
    """Refuse a file with several builds, each with the line on which it first occurs."""
    if len(builds) > 1:
        (first, line), (second, other) = list(builds.items())[:2]
        raise DataError(
            f"genome builds are mixed: {first or 'none'} (line {line}), {second or 'none'} (line {other})",
            where=str(path),
            fix="lift all variants to one build",
        )


def read_sequenced(path: Path) -> list[str]:
    """Ids of the sequenced samples: one a line, or the ``case_list_ids`` of a cBioPortal case list.

    Raises
    ------
    DataError
        There is no id.
    """
    ids: list[str] = []
    for line in lines.read_all(path).split("\n"):
        key, colon, value = line.partition(":")
        if colon and key == "case_list_ids":
            return value.split()
        if line.strip() and not line.startswith("#"):
            ids.append(line.strip())
    if not ids:
        raise DataError("there is no sample id", where=str(path), fix="write one id a line")
    return ids


def choose(mutations: Mutations, sequenced: list[str] | None, path: Path, **rules: str) -> Selection:
    """Choose the sequenced patients; without a list, those that occur in the MAF, never others.

    Parameters
    ----------
    mutations : Mutations
        Of the MAF.
    sequenced : list of str, optional
        Ids of all sequenced samples, with or without a variant.
    path : pathlib.Path
        The MAF, for errors.
    **rules
        ``timepoint`` and ``on_duplicate`` of :func:`omics.read.match.select`.

    Raises
    ------
    DataError
        There is no list, and nothing in the MAF; or a sample of the MAF is not in the list.
    """
    if sequenced is None:
        if not mutations.carriers:
            raise DataError(
                "the MAF has no non-synonymous variant",
                where=str(path),
                fix="get the file again; if nothing was found in these samples, give the list of sequenced samples",
            )
        return select("mutation", mutations.samples, where=str(path), **rules)
    listed = select("mutation", sequenced, where="list of sequenced samples", **rules)
    if not mutations.samples:
        return replace(listed, members=[[] for _ in listed.patients])
    chosen = select("mutation", mutations.samples, where=str(path), **rules)
    unlisted = sorted(set(chosen.patients).difference(listed.patients))
    if unlisted:
        raise DataError(
            f"{len(unlisted)} patients of the MAF are not in the list of sequenced samples: {', '.join(unlisted[:5])}",
            where=str(path),
            fix="complete the list, or leave it out",
        )
    positions = dict(zip(chosen.patients, chosen.members, strict=True))
    members = [positions.get(patient, []) for patient in listed.patients]
    excluded = list(dict.fromkeys(listed.excluded + chosen.excluded))
    return replace(listed, members=members, excluded=excluded)


def carrier_matrix(mutations: Mutations, selection: Selection) -> tuple[list[str], np.ndarray]:
    """Genes with a carrier among the selected patients, and who carries them.

    Parameters
    ----------
    mutations : Mutations
        Of the MAF.
    selection : Selection
        Of its samples; a patient with several samples carries what any of them carries.

    Returns
    -------
    genes : list of str
        Sorted.
    values : numpy.ndarray, shape (patient, gene)
        0 or 1, float32.
    """
    patient_of = {mutations.samples[place]: row for row, places in enumerate(selection.members) for place in places}
    carriers = {
        gene: rows
        for gene, samples in sorted(mutations.carriers.items())
        if (rows := [patient_of[sample] for sample in samples if sample in patient_of])
    }
    values = np.zeros((len(selection.patients), len(carriers)), dtype=np.float32)
    for column, rows in enumerate(carriers.values()):
        values[rows, column] = 1
    return list(carriers), values
