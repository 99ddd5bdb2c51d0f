"""What values of a layer may be: betas in [0, 1], counts, log expression; and what a wrong value looks like."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np

from omics.read.matrix import Block
from omics.schema import DataError

#: Rows that counting programs add below or above the genes.
_SUMMARY_ROW = re.compile(r"N_(unmapped|multimapping|noFeature|ambiguous)|__\w+", re.ASCII)
#: No log2 of a count or of an intensity is larger.
_LARGEST_LOG2 = 30.0


class Layer(Protocol):
    """Check the blocks of one layer as they pass."""

    name: str
    kind: str

    def is_feature(self, identifier: str) -> bool:
        """Whether the row is a feature, not a summary."""

    def check(self, block: Block, samples: Sequence[str], path: Path) -> None:
        """Refuse values that cannot be."""

    def units(self, path: Path) -> str:
        """Units of all that was checked."""


class Methylation:
    """Betas: every value in [0, 1]."""

    name = kind = "methylation"

    def is_feature(self, identifier: str) -> bool:
        """Every row is a probe."""
        return True

    def check(self, block: Block, samples: Sequence[str], path: Path) -> None:
        """Refuse a beta outside of [0, 1].

        Raises
        ------
        DataError
            With file, line, feature, sample, value, and what it looks like.
        """
        with np.errstate(invalid="ignore"):
            wrong = (block.values < 0) | (block.values > 1)
        if wrong.any():
            raise refusal(block, wrong, samples, path, "beta", f"betas lie in [0, 1]; {_looks_like(block.values)}")

    def units(self, path: Path) -> str:
        """Betas."""
        return "beta"


def _looks_like(values: np.ndarray) -> str:
    finite = values[np.isfinite(values)]
    if finite.size and finite.min() < 0:
        return "the values look like M-values: give betas, 2^M / (2^M + 1)"
    outside = np.mean(finite > 1) if finite.size else 0
    if outside > 0.5 and finite.max() <= 100:
        return "the values look like percent: divide them by 100"
    return "correct the value, or write NA"


class Expression:
    """Counts (integers from 0), or logarithms; all values together tell which."""

    name = kind = "expression"

    def __init__(self) -> None:
        self._integers = True
        self._lowest, self._highest = np.inf, -np.inf

    def is_feature(self, identifier: str) -> bool:
        """Every row but the summaries of STAR and HTSeq."""
        return _SUMMARY_ROW.fullmatch(identifier) is None

    def check(self, block: Block, samples: Sequence[str], path: Path) -> None:
        """Refuse infinite values, and remember whether all are integers.

        Raises
        ------
        DataError
            With file, line, feature, sample and value.
        """
        infinite = np.isinf(block.values)
        if infinite.any():
            raise refusal(block, infinite, samples, path, "expression value", "write NA for a missing value")
        present = block.values[~np.isnan(block.values)]
        if present.size:
            self._lowest = min(self._lowest, float(present.min()))
            self._highest = max(self._highest, float(present.max()))
            self._integers = self._integers and bool(np.all(present == np.rint(present)))

    def units(self, path: Path) -> str:
        """``counts`` or ``log2``.

        Raises
        ------
        DataError
            Counts are negative, or the values are neither counts nor logarithms.
        """
        if self._integers and self._lowest < 0:
            raise DataError(f"negative count: {self._lowest:g}", where=str(path), fix="counts are integers from 0")
        if self._integers:
            return "counts"
        if self._highest > _LARGEST_LOG2:
            raise DataError(
                f"expression is neither counts nor log2: it has fractions, and its largest value is {self._highest:g}",
                where=str(path),
                fix="this looks like TPM, FPKM or expected counts: give integer counts, or log2(value + 1)",
            )
        return "log2"


def refusal(block: Block, wrong: np.ndarray, samples: Sequence[str], path: Path, what: str, fix: str) -> DataError:
    """Error that names the first wrong value of a block, in the order of the file.

    Parameters
    ----------
    block : Block
        Values of the kept patients.
    wrong : numpy.ndarray of bool, shape (sample, feature)
        Which values are wrong.
    samples : sequence of str
        Ids of the rows.
    path : pathlib.Path
        The file.
    what, fix : str
        Name of the value, and what to do.
    """
    column, row = np.argwhere(wrong.T)[0]
    line = f", line {block.lines[column]}" if len(block.lines) else ""
    return DataError(
        f"{what} {block.values[row, column]:g}",
        where=f"{path}{line}, feature {block.features[column]}, sample {samples[row]}",
        fix=fix,
    )


def refuse_bad_ids(features: Iterable[str], seen: set[str], lines: Sequence[int], path: Path) -> None:
    """Refuse a feature that has no id or occurs twice, and remember the others.

    Parameters
    ----------
    features : iterable of str
        Ids of a block.
    seen : set of str
        Ids of the blocks before; grows.
    lines : sequence of int
        Line of each feature, or empty.
    path : pathlib.Path
        The file.

    Raises
    ------
    DataError
        With the id and its line.
    """
    for place, identifier in enumerate(features):
        if identifier in seen or not identifier:
            line = f", line {lines[place]}" if len(lines) else ""
            raise DataError(
                f"duplicate feature id: '{identifier}'" if identifier else "a feature has no id",
                where=f"{path}{line}",
                fix="every feature must occur once; choose or combine the rows",
            )
        seen.add(identifier)
