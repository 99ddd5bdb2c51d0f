"""Small tables with a header: the clinical table and the annotation of the probes."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Literal

import pandas as pd

from omics.read import lines
from omics.schema import DataError


def read_table(path: Path) -> pd.DataFrame:
    """Read a TSV or CSV, gzip or not, as text.

    Lines above the header that begin with ``#`` are skipped. Quotes are literal in a TSV and enclose fields in a CSV.

    Raises
    ------
    DataError
        The table is empty, a row has another number of fields, or two columns have one name.
    """
    text = lines.read_all(path).split("\n")
    above = next((number for number, line in enumerate(text) if not line.startswith("#")), 0)
    separator = "\t" if "\t" in text[above] else ","
    quoting: Literal[0, 3] = csv.QUOTE_NONE if separator == "\t" else csv.QUOTE_MINIMAL
    reader = csv.reader(text[above:], delimiter=separator, quoting=quoting)
    header = next(reader, [])
    trailing = len(header) > 1 and not header[-1]
    width = len(header) - trailing
    rows = []
    for row in reader:
        if not row:
            continue
        if len(row) == width + 1 and not row[-1]:
            row.pop()
        if len(row) != width:
            raise DataError(
                f"{len(row)} fields, the header has {width}",
                where=f"{path}, line {above + reader.line_num}",
                fix="every row must have one field for each column; the file may be cut or joined wrongly",
            )
        rows.append(row)
    if not rows:
        raise DataError("the table has a header and no rows", where=str(path), fix="get the file again")
    table = pd.DataFrame(rows, columns=pd.Index(header[:width], dtype=object), dtype=object)
    if not table.columns.is_unique:
        twice = table.columns[table.columns.duplicated()].unique()
        raise DataError(f"duplicate column: {', '.join(map(str, twice))}", where=str(path), fix="rename one of them")
    return table


def read_probes(path: Path) -> pd.DataFrame:
    """Read an annotation of probes: gene, chromosome and position by probe id.

    Columns are found by name, whatever their case: probe (or probeID, feature, IlmnID, Name), gene (Gene_Symbol,
    UCSC_RefGene_Name), chromosome (seqnames, chr), position (start, MAPINFO). What is absent is "" or -1.

    Raises
    ------
    DataError
        There is no column of probe ids, an id occurs twice, or a position is no number.
    """
    table = read_table(path)
    by_name = {str(name).lower(): name for name in table.columns}
    index = _column(by_name, "probe", "probeid", "probe_id", "feature", "ilmnid", "name", "id")
    if index is None:
        raise DataError(
            f"no column of probe ids; there are {', '.join(map(str, table.columns))}",
            where=str(path),
            fix="name it 'probe'",
        )
    probes = pd.Index(table[index])
    if not probes.is_unique:
        raise DataError(
            f"duplicate probe: {probes[probes.duplicated()][0]}", where=str(path), fix="every probe must occur once"
        )
    gene = _column(by_name, "gene", "gene_symbol", "ucsc_refgene_name", "genes")
    chromosome = _column(by_name, "chromosome", "seqnames", "chr", "chrom")
    position = _column(by_name, "position", "start", "mapinfo", "pos")
    places = pd.to_numeric(table[position], errors="coerce") if position else pd.Series(-1, index=table.index)
    return pd.DataFrame(
        {
            "gene": _text(table, gene).to_numpy(),
            "chromosome": _text(table, chromosome).to_numpy(),
            "position": places.fillna(-1).astype("int64").to_numpy(),
        },
        index=probes,
    )


def _column(by_name: dict[str, str], *names: str) -> str | None:
    return next((by_name[name] for name in names if name in by_name), None)


def _text(table: pd.DataFrame, column: str | None) -> pd.Series:
    if column is None:
        return pd.Series("", index=table.index, dtype=object)
    return table[column].where(~table[column].isin(["NA", "."]), "")
