"""Raw files to a cohort store: open all, match the patients, then stream each matrix through once."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import pandas as pd
import xarray as xr

from omics import artefact, cohort
from omics.read import lines
from omics.read.clinical import read_clinical
from omics.read.maf import Mutations, carrier_matrix, choose, read_maf, read_sequenced
from omics.read.match import Account, Selection, account, check_choice, require_overlap, select
from omics.read.matrix import Matrix, open_matrix
from omics.read.values import Expression, Layer, Methylation
from omics.read.write import Progress, write_matrix
from omics.schema import UsageError, check_cohort, describe


@dataclass(frozen=True)
class Sources:
    """Files of a cohort; any subset with at least one layer.

    Attributes
    ----------
    methylation : path, optional
        Betas, TSV, CSV or parquet.
    expression : path, optional
        Counts or logarithms, TSV, CSV or parquet.
    mutations : path, optional
        MAF.
    clinical : path, optional
        One row a patient, TSV or CSV.
    sequenced : path, optional
        Ids of all sequenced samples, with or without a mutation.
    probes : path, optional
        Annotation of the methylation probes.
    """

    methylation: str | os.PathLike[str] | None = None
    expression: str | os.PathLike[str] | None = None
    mutations: str | os.PathLike[str] | None = None
    clinical: str | os.PathLike[str] | None = None
    sequenced: str | os.PathLike[str] | None = None
    probes: str | os.PathLike[str] | None = None

    def paths(self) -> dict[str, Path]:
        """Name and path of each file that is given."""
        given = {one.name: getattr(self, one.name) for one in fields(self)}
        return {name: Path(path) for name, path in given.items() if path is not None}


def ingest(
    output: str | os.PathLike[str],
    sources: Sources,
    *,
    clinical_columns: Mapping[str, str | Mapping[str, Any]] | None = None,
    timepoint: str = "diagnosis",
    orientation: str = "auto",
    on_duplicate: str = "error",
    overwrite: bool = False,
    progress: Progress | None = None,
) -> Account:
    """Write raw files into a cohort store, matched by patient, and say what was kept and why.

    Matrices are streamed: memory holds a few blocks of features, never a matrix.

    Parameters
    ----------
    output : path
        The cohort store to be.
    sources : Sources
        The files.
    clinical_columns : mapping, optional
        Canonical name to column, or to ``{"column": ..., "unit": ..., "values": {...}}``;
        the names are :data:`omics.read.clinical.INPUTS`.
    timepoint : {"diagnosis", "relapse"}
        Which samples are kept, one a patient.
    orientation : {"auto", "features-by-samples", "samples-by-features"}
        How the matrices are written; "auto" tells it from their ids.
    on_duplicate : {"error", "first", "mean"}
        What to do with several samples of one patient (of mutations, "mean" takes those of any).
    overwrite : bool
        Replace an artefact that is at `output`.
    progress : callable, optional
        Called with the name of a layer and the number of features read so far.

    Returns
    -------
    Account
        What was found, kept, dropped and shared; also stored in ``/account`` and ``/excluded``.

    Raises
    ------
    DataError
        A file is missing, damaged or invalid, or files share no patient.
    UsageError
        An option is none of its choices, no layer is given, or `output` exists.
    """
    check_choice("timepoint", timepoint, ("diagnosis", "relapse"))
    check_choice("orientation", orientation, ("auto", "features-by-samples", "samples-by-features"))
    check_choice("on_duplicate", on_duplicate, ("error", "first", "mean"))
    paths = _require_layers(sources.paths())
    columns = dict(clinical_columns or {})
    parameters: dict[str, Any] = {
        "files": {name: path.name for name, path in paths.items()},
        "clinical_columns": columns,
        "timepoint": timepoint,
        "orientation": orientation,
        "on_duplicate": on_duplicate,
    }
    provenance = artefact.Provenance("cohort", parameters, list(paths.values()))
    with artefact.publish(output, provenance, overwrite=overwrite) as staging:
        opened = _open(paths, columns, staging, timepoint=timepoint, orientation=orientation, on_duplicate=on_duplicate)
        parameters["detected"] = {name: matrix.orientation for name, (_, matrix, _) in opened.matrices.items()}
        groups = opened.patients()
        require_overlap(groups)
        for name, (layer, matrix, selection) in opened.matrices.items():
            annotation = paths.get("probes") if name == "methylation" else None
            opened.notes.extend(write_matrix(staging, layer, matrix, selection, probes=annotation, progress=progress))
        if opened.mutations is not None:
            _write_mutations(staging, *opened.mutations)
        kept = account(opened.selections(), groups.get("clinical"), opened.notes)
        _write_tables(staging, opened.clinical, kept, timepoint)
        _check(staging)
    return kept


def _require_layers(paths: dict[str, Path]) -> dict[str, Path]:
    if not {"methylation", "expression", "mutations"} & set(paths):
        raise UsageError("no layer is given", fix="give at least one of methylation, expression, mutations")
    for extra, layer in (("probes", "methylation"), ("sequenced", "mutations")):
        if extra in paths and layer not in paths:
            raise UsageError(f"{extra} is given without {layer}", fix=f"leave it out, or give {layer}")
    for path in paths.values():
        lines.require_file(path)
    return paths


# --- open and match -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Opened:
    """All files, open, with the patients chosen and nothing written."""

    clinical: pd.DataFrame | None
    matrices: dict[str, tuple[Layer, Matrix, Selection]]
    mutations: tuple[Mutations, Selection] | None
    notes: list[str]

    def selections(self) -> list[Selection]:
        chosen = [selection for _, _, selection in self.matrices.values()]
        return [*chosen, self.mutations[1]] if self.mutations else chosen

    def patients(self) -> dict[str, list[str]]:
        groups = {one.layer: one.patients for one in self.selections()}
        return groups if self.clinical is None else {**groups, "clinical": list(self.clinical.index)}


def _open(
    paths: Mapping[str, Path], columns: Mapping[str, Any], staging: Path, *, orientation: str, **rules: str
) -> _Opened:
    notes: list[str] = []
    clinical = None
    if "clinical" in paths:
        clinical, notes = read_clinical(paths["clinical"], columns)
    mutations = _open_mutations(paths, notes, rules) if "mutations" in paths else None
    known = set() if clinical is None else set(clinical.index)
    if mutations:
        known.update(mutations[0].samples)
    matrices: dict[str, tuple[Layer, Matrix, Selection]] = {}
    for layer in (Methylation(), Expression()):
        if layer.name in paths:
            path, spool = paths[layer.name], staging / f"{layer.name}.spool"
            matrix = open_matrix(path, known=known, orientation=orientation, spool=spool)
            chosen = select(layer.name, matrix.samples, where=str(path), **rules)
            notes.append(f"{layer.name}: {matrix.orientation} ({matrix.evidence})")
            matrices[layer.name] = (layer, matrix, chosen)
    opened = _Opened(clinical, matrices, mutations, notes)
    notes += [
        f"{one.layer}: {one.unparsed:,} ids are no TCGA or TARGET barcode, taken as they are, as diagnosis"
        for one in opened.selections()
        if one.unparsed
    ]
    return opened


def _open_mutations(
    paths: Mapping[str, Path], notes: list[str], rules: Mapping[str, str]
) -> tuple[Mutations, Selection]:
    mutations = read_maf(paths["mutations"])
    sequenced = read_sequenced(paths["sequenced"]) if "sequenced" in paths else None
    notes += mutations.notes
    if sequenced is None:
        notes.append("mutation: no list of sequenced samples; only samples that occur in the MAF are rows")
    return mutations, choose(mutations, sequenced, paths["mutations"], **rules)


# --- write --------------------------------------------------------------------------------------------------------


def _write_mutations(staging: Path, mutations: Mutations, selection: Selection) -> None:
    genes, values = carrier_matrix(mutations, selection)
    # A MAF lists what is mutated: in a patient who was sequenced, a gene that it does not list is not.
    attrs = {"kind": "mutation", "likelihood": "bernoulli", "units": "1", "unlisted": 0.0}
    writer = cohort.ViewWriter(staging, "mutation", selection.patients, attrs)
    writer.append(genes, values)
    writer.close({"gene": genes, "chromosome": [mutations.chromosome[gene] for gene in genes]})


def _write_tables(staging: Path, clinical: pd.DataFrame | None, kept: Account, timepoint: str) -> None:
    nodes = {
        "account": describe(cohort.from_table(kept.table), "account").assign_attrs(notes=list(kept.notes)),
        "excluded": describe(cohort.from_table(kept.excluded), "excluded"),
    }
    if clinical is not None:
        # of which samples the layers are: it travels with the clinical table, so that no model of diagnosis learns
        # from relapse
        described = describe(cohort.from_table(clinical, "sample"), "clinical")
        nodes["clinical"] = described.assign_attrs(timepoint=timepoint)
    for name, dataset in nodes.items():
        cohort.write_node(dataset, staging, name)


def _check(staging: Path) -> None:
    with xr.open_datatree(staging, engine="zarr", chunks={}, consolidated=False) as tree:
        check_cohort(tree, where="the cohort that was just written")
