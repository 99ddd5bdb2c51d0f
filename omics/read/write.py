"""Stream the matrix of one layer into the staging folder of a cohort, checking every value on its way."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import zarr

from omics.cohort import ViewWriter
from omics.read.match import Selection
from omics.read.matrix import Block, Matrix
from omics.read.tables import read_probes
from omics.read.values import Layer, refuse_bad_ids
from omics.schema import DataError

#: Gets the name of a layer and the number of features read so far.
Progress = Callable[[str, int], None]


@dataclass
class _Tally:
    """What was seen of a layer so far."""

    layer: Layer
    selection: Selection
    path: Path
    seen: set[str] = field(default_factory=set)
    summaries: int = 0
    empty: int = 0
    measured: np.ndarray | int = 0

    def features(self, block: Block) -> Block:
        """The features of a block that have a value, for the patients of the selection; all values checked."""
        refuse_bad_ids(block.features, self.seen, block.lines, self.path)
        real = np.array([self.layer.is_feature(one) for one in block.features])
        chosen = _keep(block._replace(values=self.selection.take(block.values)), real)
        self.layer.check(chosen, self.selection.patients, self.path)
        present = ~np.isnan(chosen.values)
        self.measured = self.measured + present.sum(axis=1)
        kept = _keep(chosen, present.any(axis=0))
        self.summaries += len(block.features) - len(chosen.features)
        self.empty += len(chosen.features) - len(kept.features)
        return kept

    def notes(self, units: str) -> list[str]:
        """What is worth knowing, in words."""
        name, count = self.layer.name, len(self.seen) - self.summaries - self.empty
        said = [f"{name}: {count:,} features kept, units {units}"]
        if self.empty:
            said.append(f"{name}: {self.empty:,} features dropped, they have no value")
        if self.summaries:
            said.append(f"{name}: {self.summaries:,} summary rows of the counting program dropped")
        without = [self.selection.patients[row] for row in np.flatnonzero(self.measured == 0)]
        if without:
            said.append(f"{name}: {len(without):,} patients have no value at all: {', '.join(without[:5])}")
        return said


def _keep(block: Block, good: np.ndarray) -> Block:
    if good.all():
        return block
    places = np.flatnonzero(good).tolist()
    numbers = [block.lines[place] for place in places] if len(block.lines) else ()
    return Block([block.features[place] for place in places], block.values[:, places], numbers)


def write_matrix(
    staging: Path,
    layer: Layer,
    matrix: Matrix,
    selection: Selection,
    *,
    probes: Path | None = None,
    progress: Progress | None = None,
) -> list[str]:
    """Stream a matrix into ``/views/<layer>`` and return notes on what was kept.

    Parameters
    ----------
    staging : pathlib.Path
        Staging folder of the cohort.
    layer : Layer
        Checks the values and tells their units.
    matrix : Matrix
        The open file.
    selection : Selection
        The patients that are kept.
    probes : pathlib.Path, optional
        Annotation of the features.
    progress : callable, optional
        See :data:`Progress`.

    Raises
    ------
    DataError
        A value or an id is wrong, or no feature has a value.
    """
    attrs = {"kind": layer.kind, "likelihood": "gaussian"}
    writer = ViewWriter(staging, layer.name, selection.patients, attrs)
    tally = _Tally(layer, selection, matrix.path)
    for block in matrix.blocks:
        kept = tally.features(block)
        writer.append(kept.features, kept.values)
        if progress:
            progress(layer.name, len(tally.seen))
    if not writer.features:
        raise DataError(f"{layer.name} has no feature with a value", where=str(matrix.path), fix="check the file")
    units = layer.units(matrix.path)
    notes = tally.notes(units)
    writer.close(_annotation(writer.features, probes, notes) if probes else None)
    group = zarr.open_group(staging, mode="r+")[f"views/{layer.name}"]
    group.attrs["units"] = units  # known only now that all values were seen
    return notes


def _annotation(features: list[str], probes: Path, notes: list[str]) -> dict[str, Any]:
    table = read_probes(probes)
    notes.append(f"methylation: {int(table.index.isin(features).sum()):,} of {len(features):,} probes are annotated")
    here = table.reindex(features)
    return {
        "gene": here["gene"].fillna("").tolist(),
        "chromosome": here["chromosome"].fillna("").tolist(),
        "position": here["position"].fillna(-1).astype(np.int64).tolist(),
    }
