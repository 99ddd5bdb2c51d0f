"""Match the samples of all files by patient, and keep the account of what was kept, dropped and shared."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pandas as pd

from omics.read.barcodes import parse
from omics.schema import DataError, UsageError

#: Share of the smallest layer that should at least have all layers.
_SMALL_OVERLAP = 0.2


@dataclass(frozen=True)
class Selection:
    """The samples of one file that a cohort takes.

    Attributes
    ----------
    layer : str
        Name of the view.
    patients : list of str
        Sorted; one row of the view each.
    members : list of list of int
        Positions in the file of each patient's samples; several are averaged.
    in_file : int
        Samples in the file.
    excluded : list of tuple
        (layer, sample id as in the file, reason).
    unparsed : int
        Ids that are no TCGA or TARGET barcode.
    """

    layer: str
    patients: list[str]
    members: list[list[int]]
    in_file: int
    excluded: list[tuple[str, str, str]]
    unparsed: int

    def take(self, values: np.ndarray) -> np.ndarray:
        """Rows of `values`, shape (sample in file, feature), of the patients; shape (patient, feature)."""
        rows = values[[positions[0] for positions in self.members]]
        for row, positions in enumerate(self.members):
            if len(positions) > 1:
                rows[row] = _mean(values[positions])
        return rows


def _mean(values: np.ndarray) -> np.ndarray:
    """Mean over the rows of what is not NaN."""
    present = ~np.isnan(values)
    count = present.sum(axis=0)
    total = np.where(present, values, 0).sum(axis=0)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def select(layer: str, ids: Sequence[str], *, timepoint: str, on_duplicate: str, where: str) -> Selection:
    """Choose one row a patient from the sample ids of a file.

    Parameters
    ----------
    layer : str
        Name of the view.
    ids : sequence of str
        Samples as in the file.
    timepoint : {"diagnosis", "relapse"}
        Which samples are kept.
    on_duplicate : {"error", "first", "mean"}
        What is done with several samples of one patient.
    where : str
        The file.

    Raises
    ------
    DataError
        An id occurs twice, a patient has several samples, or nothing is left.
    """
    _refuse_twice(ids, where)
    barcodes = [parse(identifier) for identifier in ids]
    found: dict[str, list[int]] = defaultdict(list)
    excluded = []
    for position, (identifier, barcode) in enumerate(zip(ids, barcodes, strict=True)):
        if barcode.timepoint == timepoint:
            found[barcode.patient].append(position)
        else:
            excluded.append((layer, identifier, barcode.timepoint))
    several = {patient: positions for patient, positions in found.items() if len(positions) > 1}
    if several and on_duplicate == "error":
        patient, positions = next(iter(several.items()))
        raise DataError(
            f"{len(several)} patients have several {timepoint} samples, for example {patient}: "
            + ", ".join(ids[position] for position in positions),
            where=where,
            fix="choose what to do with them: on_duplicate 'first' or 'mean' (--on-duplicate)",
        )
    if several and on_duplicate == "first":
        for patient, positions in several.items():
            excluded += [
                (layer, ids[position], "another sample of the patient came first") for position in positions[1:]
            ]
            found[patient] = positions[:1]
    if not found:
        kinds = sorted({barcode.timepoint for barcode in barcodes})
        raise DataError(
            f"no sample of the timepoint '{timepoint}'; there are: {', '.join(kinds)}",
            where=where,
            fix="choose another timepoint or file",
        )
    patients = sorted(found)
    unparsed = sum(not barcode.known for barcode in barcodes)
    return Selection(layer, patients, [found[one] for one in patients], len(ids), excluded, unparsed)


def _refuse_twice(ids: Sequence[str], where: str) -> None:
    times = Counter(ids)
    if "" in times:
        raise DataError(f"sample {ids.index('') + 1} has no id", where=where, fix="give every sample an id")
    twice = [identifier for identifier, count in times.items() if count > 1]
    if twice:
        raise DataError(
            f"duplicate sample id: {', '.join(twice[:5])}", where=where, fix="every sample must occur once in a file"
        )


# --- account ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Account:
    """What ingest found, kept and dropped.

    Attributes
    ----------
    table : pandas.DataFrame
        Counts: layer, what, reason, samples.
    excluded : pandas.DataFrame
        Every dropped sample: layer, sample, reason.
    notes : tuple of str
        What was detected, derived or is worth knowing.
    """

    table: pd.DataFrame
    excluded: pd.DataFrame
    notes: tuple[str, ...]

    def text(self) -> str:
        """Block of aligned lines for a terminal."""
        width = self.table["layer"].str.len().max()
        count = max(len(f"{number:,}") for number in self.table["samples"])
        rows, before = ["Samples"], ""
        for layer, what, reason, samples in self.table.itertuples(index=False):
            name = "" if layer == before else layer
            rows.append(f"  {name:<{width}}  {samples:>{count},}  {what}{': ' if reason else ''}{reason}")
            before = layer
        return "\n".join([*rows, "Notes", *(f"  {note}" for note in self.notes)])


def account(selections: Sequence[Selection], clinical: Sequence[str] | None, notes: Iterable[str]) -> Account:
    """Count what each layer, each pair of layers and all layers have.

    Parameters
    ----------
    selections : sequence of Selection
        One a layer.
    clinical : sequence of str or None
        Patients of the clinical table, if there is one.
    notes : iterable of str
        Kept as they are; warnings are added.
    """
    rows: list[tuple[str, str, str, int]] = []
    patients = {one.layer: set(one.patients) for one in selections}
    warnings = []
    for one in selections:
        rows.append((one.layer, "in file", "", one.in_file))
        rows.append((one.layer, "kept", "", len(one.patients)))
        reasons = Counter(reason for _, _, reason in one.excluded)
        rows += [(one.layer, "dropped", reason, number) for reason, number in sorted(reasons.items())]
        if clinical is not None:
            without = sorted(patients[one.layer].difference(clinical))
            rows.append((one.layer, "kept without a clinical row", "", len(without)))
            if without:
                warnings.append(f"warning: {one.layer} has patients without a clinical row: {', '.join(without[:5])}")
    rows += [(f"{a} & {b}", "shared", "", len(patients[a] & patients[b])) for a, b in combinations(patients, 2)]
    complete, smallest = len(set.intersection(*patients.values())), min(map(len, patients.values()))
    if complete < _SMALL_OVERLAP * smallest:
        warnings.append(f"warning: only {complete:,} patients have all layers; the smallest layer has {smallest:,}")
    rows.append(("all", "in all layers", "", complete))
    rows.append(("all", "in any layer", "", len(set.union(*patients.values()))))
    if clinical is not None:
        rows.append(("clinical", "in file", "", len(clinical)))
        rows.append(("clinical", "without any layer", "", len(set(clinical).difference(*patients.values()))))
    excluded = [row for one in selections for row in one.excluded]
    return Account(
        pd.DataFrame(rows, columns=["layer", "what", "reason", "samples"]),
        pd.DataFrame(excluded, columns=["layer", "sample", "reason"], dtype=object),
        (*notes, *warnings),
    )


def require_overlap(groups: Mapping[str, Sequence[str]]) -> None:
    """Refuse files that share no patient with each other.

    Parameters
    ----------
    groups : mapping
        Patients of each layer, and of the clinical table.

    Raises
    ------
    DataError
        Two of them share nobody; the error gives five examples of each.
    """
    for first, second in combinations(groups, 2):
        if not set(groups[first]) & set(groups[second]):
            examples = [f"{name} has {', '.join(sorted(groups[name])[:5])}" for name in (first, second)]
            raise DataError(
                f"{first} and {second} share no patient: {'; '.join(examples)}",
                fix=_nearest(groups[first], groups[second]),
            )


def _nearest(first: Sequence[str], second: Sequence[str]) -> str:
    plain = {_plain(one): one for one in first}
    for other in sorted(second):
        if _plain(other) in plain:
            return f"write ids alike: {plain[_plain(other)]} and {other} differ in case or punctuation only"
    return "use the same ids in all files: patients, or TCGA or TARGET barcodes"


def _plain(identifier: str) -> str:
    """Id without case, punctuation and the X that R puts before a digit."""
    return re.sub(r"^x(?=\d)", "", re.sub(r"[^a-z0-9]", "", identifier.lower()))


def check_choice(name: str, value: str, choices: Sequence[str]) -> None:
    """Refuse a value that is none of `choices`.

    Raises
    ------
    UsageError
        With the choices.
    """
    if value not in choices:
        raise UsageError(f"{name} is '{value}'", fix=f"expected one of {', '.join(choices)}")
