"""Matrices as blocks of features: text, gzip or not, and parquet, whichever way round they are written.

Text is parsed in blocks of lines. The cells of a block, the ids taken off, become one long column that Arrow
parses in C; only a block with a fault is looked at cell by cell, so that the error can say where it is.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from omics.blocks import BLOCK_BYTES, slices
from omics.read import lines
from omics.read.barcodes import parse
from omics.read.lines import Lines
from omics.schema import DataError

Orientation = Literal["features-by-samples", "samples-by-features"]

#: Words for "missing" in a matrix; in an id they are text like any other.
NA_WORDS = ("", "NA", "N/A", "NaN", "nan", "na", "null", "NULL", "None", "#N/A", ".")
_FEATURE = re.compile(r"cg\d{8}(_.*)?|ch\.[\dXY]+\..*|rs\d+|nv-.*|ENS[A-Z]*[GT]\d{11}(\..*)?", re.ASCII)
_FRACTION = re.compile(rb"-?\d*\.\d+(e-?\d+)?")
#: Ids that are looked at to tell which way round a matrix is.
_LOOKED_AT = 500


class Block(NamedTuple):
    """Some features of all samples of a file.

    Attributes
    ----------
    features : list of str
        Ids.
    values : numpy.ndarray, shape (sample, feature)
        float32, NaN where missing.
    lines : sequence of int
        Line of each feature; empty where a line is not a feature.
    """

    features: list[str]
    values: np.ndarray
    lines: Sequence[int]


@dataclass(frozen=True)
class Matrix:
    """A matrix file that is open and not yet read.

    Attributes
    ----------
    path : pathlib.Path
        The file.
    samples : list of str
        Ids as in the file, in its order.
    orientation : str
        How the file is written.
    evidence : str
        What the orientation was told from.
    blocks : iterator of Block
        Goes through the file once.
    """

    path: Path
    samples: list[str]
    orientation: Orientation
    evidence: str
    blocks: Iterator[Block]


def open_matrix(path: Path, *, known: Collection[str], orientation: str, spool: Path) -> Matrix:
    """Open a matrix file and find out which way round it is.

    Parameters
    ----------
    path : pathlib.Path
        TSV or CSV, gzip or not, or parquet.
    known : collection of str
        Ids of patients or samples that other files name.
    orientation : str
        "auto", or one of :data:`Orientation`.
    spool : pathlib.Path
        File in which a text of samples x features is turned round; it goes away when the blocks were read.

    Raises
    ------
    DataError
        The file cannot be read, or `orientation` contradicts its ids.
    """
    if path.suffix in (".parquet", ".pq"):
        return _open_parquet(path, known, orientation)
    return _open_text(path, known, orientation, spool)


# --- which way round ----------------------------------------------------------------------------------------------


def detect(columns: Sequence[str], rows: Sequence[str], known: Collection[str]) -> tuple[Orientation, str, bool]:
    """Which way round a matrix is, what tells, and whether that is certain.

    Parameters
    ----------
    columns, rows : sequence of str
        Ids along either axis; some are enough.
    known : collection of str
        Ids of samples or patients.
    """
    named = {"columns": columns[:_LOOKED_AT], "rows": rows[:_LOOKED_AT]}
    samples = {axis: _share(ids, lambda one: _is_sample(one, known)) for axis, ids in named.items()}
    features = {axis: _share(ids, lambda one: _FEATURE.fullmatch(one) is not None) for axis, ids in named.items()}
    balance = samples["columns"] + features["rows"] - samples["rows"] - features["columns"]
    if balance == 0:
        return "features-by-samples", "assumed, no id tells; rows are taken as features", False
    across, down = ("samples", "features") if balance > 0 else ("features", "samples")
    shares = {"samples": samples, "features": features}
    said = [f"{axis} hold ids of {what}" for axis, what in (("columns", across), ("rows", down)) if shares[what][axis]]
    return "features-by-samples" if balance > 0 else "samples-by-features", ", ".join(said), True


def _share(ids: Sequence[str], predicate: Callable[[str], bool]) -> float:
    return sum(map(predicate, ids)) / max(len(ids), 1)


def _is_sample(identifier: str, known: Collection[str]) -> bool:
    barcode = parse(identifier)
    return barcode.known or identifier in known


def _settle(
    path: Path, columns: Sequence[str], rows: Sequence[str], known: Collection[str], wanted: str
) -> tuple[Orientation, str]:
    found, evidence, certain = detect(columns, rows, known)
    if wanted == "auto" or wanted == found:
        return found, evidence
    if certain:
        raise DataError(
            f"the matrix is transposed: it is {found} ({evidence}), read as {wanted}",
            where=str(path),
            fix=f"give orientation '{found}' or 'auto'",
        )
    return ("samples-by-features" if found == "features-by-samples" else "features-by-samples"), "as told"


# --- text ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Table:
    """Header of a text matrix, and how to parse its lines."""

    path: Path
    columns: list[str]
    separator: bytes

    def rows(self, blocks: Iterator[Lines]) -> Iterator[tuple[list[str], np.ndarray, Sequence[int]]]:
        """Ids, values (row, column) and line numbers of each block of lines."""
        for block in blocks:
            text = block.text.split(b"\n")
            text.pop()
            numbers: Sequence[int] = range(block.first, block.first + len(text))
            if not all(text):
                numbers = [number for number, line in zip(numbers, text, strict=True) if line]
                text = [line for line in text if line]
            if text:
                yield self._parse(text, numbers)

    def _parse(self, text: list[bytes], numbers: Sequence[int]) -> tuple[list[str], np.ndarray, Sequence[int]]:
        width, separator = len(self.columns), self.separator
        if any(line.count(separator) != width for line in text):
            text = [self._one_row(line, number) for line, number in zip(text, numbers, strict=True)]
        cells = [line.partition(separator) for line in text]
        body = b"\n".join([cell[2] for cell in cells]).replace(separator, b"\n") + b"\n"
        try:
            values = _floats(body)
        except pa.ArrowInvalid:
            self._raise_for_text(text, numbers)
            raise
        return [_name(cell[0]) for cell in cells], values.reshape(len(text), width), numbers

    def _one_row(self, line: bytes, number: int) -> bytes:
        found = line.count(self.separator)
        if found == len(self.columns) + 1 and line.endswith(self.separator):
            return line[: -len(self.separator)]
        if found != len(self.columns):
            raise DataError(
                f"{found + 1} fields, the header has {len(self.columns) + 1}",
                where=f"{self.path}, line {number}",
                fix="every row must have one field for each column; the file may be cut or joined wrongly",
            )
        return line

    def _raise_for_text(self, text: list[bytes], numbers: Sequence[int]) -> None:
        for line, number in zip(text, numbers, strict=True):
            name, *cells = line.decode().split(self.separator.decode())
            for column, cell in zip(self.columns, cells, strict=True):
                if cell not in NA_WORDS and not _is_number(cell):
                    raise DataError(
                        f"'{cell}' is not a number",
                        where=f"{self.path}, line {number}, row '{name}', column '{column}'",
                        fix=f"values are numbers with a decimal point, or one of {', '.join(filter(None, NA_WORDS))}",
                    )


def _open_text(path: Path, known: Collection[str], wanted: str, spool: Path) -> Matrix:
    blocks = lines.read(path)
    table, first = _header(path, next(blocks))
    parsed = table.rows(_with(first, blocks))
    head = next(parsed, None)
    if head is None:
        raise DataError("the file has a header and no rows", where=str(path), fix="get the file again")
    orientation, evidence = _settle(path, table.columns, head[0], known, wanted)
    rows = _with(head, parsed)
    if orientation == "features-by-samples":
        turned = (Block(ids, values.T, numbers) for ids, values, numbers in rows)
        return Matrix(path, table.columns, orientation, evidence, turned)
    samples = _spool(rows, spool)
    return Matrix(path, samples, orientation, evidence, _spooled(spool, len(samples), table.columns))


def _header(path: Path, block: Lines) -> tuple[_Table, Lines]:
    """Table of the first line that is no comment, and the lines below it."""
    line, _, rest = block.text.partition(b"\n")
    number = block.first
    while line.startswith(b"#") and b"\t" not in line and rest:
        line, _, rest = rest.partition(b"\n")
        number += 1
    separator = b"\t" if b"\t" in line else b","
    if separator not in line:
        raise DataError(
            "the header has one field only",
            where=f"{path}, line {number}",
            fix="fields are separated by tabs or commas",
        )
    cells = line.split(separator)
    row = rest.partition(b"\n")[0]
    short = row.count(separator) == len(cells)
    if short and not _all_end_with(rest, separator):  # R's write.table names no column for the row names
        cells = [b"", *cells]
    elif not cells[-1]:
        cells.pop()
    if all(_FRACTION.fullmatch(cell) for cell in cells[1:]):
        raise DataError(
            "the first line holds numbers, not names", where=f"{path}, line {number}", fix="put a header above the rows"
        )
    return _Table(path, [_name(cell) for cell in cells[1:]], separator), Lines(number + 1, rest)


def _all_end_with(text: bytes, separator: bytes) -> bool:
    return all(line.endswith(separator) for line in text.split(b"\n") if line)


def _with(first: lines.T, rest: Iterator[lines.T]) -> Iterator[lines.T]:
    yield first
    yield from rest


def _name(cell: bytes) -> str:
    """Text of an id; one pair of quotes round the whole cell, as R writes, is no part of it."""
    text = cell.decode()
    return text[1:-1] if len(text) > 1 and text[0] == text[-1] == '"' and '"' not in text[1:-1] else text


def _floats(body: bytes) -> np.ndarray:
    """Numbers of a text of one number a line, as float32."""
    table = pyarrow.csv.read_csv(
        pa.BufferReader(body),
        read_options=pyarrow.csv.ReadOptions(column_names=["value"], use_threads=False, block_size=len(body) + 1),
        parse_options=pyarrow.csv.ParseOptions(delimiter="\t", quote_char=False, ignore_empty_lines=False),
        convert_options=pyarrow.csv.ConvertOptions(column_types={"value": pa.float32()}, null_values=NA_WORDS),
    )
    return table.column(0).to_numpy()


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return "_" not in cell


def _spool(rows: Iterator[tuple[list[str], np.ndarray, Sequence[int]]], spool: Path) -> list[str]:
    """Write the rows to `spool` as raw float32; return their ids."""
    samples: list[str] = []
    with spool.open("wb") as handle:
        for ids, values, _ in rows:
            samples.extend(ids)
            values.tofile(handle)
    return samples


def _spooled(spool: Path, n_samples: int, features: list[str]) -> Iterator[Block]:
    """Blocks of features of what :func:`_spool` wrote; reads, since pages of a map would count as memory."""
    with spool.open("rb") as handle:
        for part in slices(len(features), max(1, BLOCK_BYTES // (4 * n_samples))):
            values = np.empty((n_samples, part.stop - part.start), dtype=np.float32)
            for row in range(n_samples):
                handle.seek(4 * (row * len(features) + part.start))
                handle.readinto(values[row].data)
            yield Block(features[part], values, ())
    spool.unlink()


# --- parquet ------------------------------------------------------------------------------------------------------


def _open_parquet(path: Path, known: Collection[str], wanted: str) -> Matrix:
    lines.require_file(path)
    try:
        file = pyarrow.parquet.ParquetFile(path, pre_buffer=False)
    except (pa.ArrowInvalid, OSError) as error:
        raise DataError(f"this is no parquet file ({error})", where=str(path), fix="get the file again") from error
    schema = file.schema_arrow
    texts = [field.name for field in schema if pa.types.is_string(field.type) or pa.types.is_large_string(field.type)]
    columns = [field.name for field in schema if pa.types.is_floating(field.type) or pa.types.is_integer(field.type)]
    if len(texts) != 1 or len(columns) + 1 != len(schema):
        raise DataError(
            f"{len(texts)} columns of text and {len(columns)} of numbers, of {len(schema)}",
            where=str(path),
            fix="one column of text (the ids of the rows) and columns of numbers are expected",
        )
    rows = file.read(columns=texts).column(0).to_pylist()
    if not rows:
        raise DataError("the file has no rows", where=str(path), fix="get the file again")
    orientation, evidence = _settle(path, columns, rows, known, wanted)
    if orientation == "features-by-samples":
        return Matrix(path, columns, orientation, evidence, _parquet_rows(file, texts[0], columns))
    return Matrix(path, rows, orientation, evidence, _parquet_columns(file, len(rows), columns))


def _parquet_rows(file: pyarrow.parquet.ParquetFile, index: str, columns: list[str]) -> Iterator[Block]:
    for batch in file.iter_batches(batch_size=max(1, BLOCK_BYTES // (4 * len(columns))), columns=[index, *columns]):
        yield Block(batch.column(index).to_pylist(), _values(batch, columns), ())


def _parquet_columns(file: pyarrow.parquet.ParquetFile, n_samples: int, columns: list[str]) -> Iterator[Block]:
    for part in slices(len(columns), max(1, BLOCK_BYTES // (4 * n_samples))):
        names = columns[part]
        yield Block(names, np.ascontiguousarray(_values(file.read(columns=names), names).T), ())


def _values(table: pa.RecordBatch | pa.Table, columns: list[str]) -> np.ndarray:
    """Columns of a parquet table as rows of float32."""
    values = np.empty((len(columns), table.num_rows), dtype=np.float32)
    for row, name in enumerate(columns):
        column = table.column(name)
        values[row] = column.to_numpy(zero_copy_only=False) if isinstance(column, pa.Array) else column.to_numpy()
    return values
