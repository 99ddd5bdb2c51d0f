"""Gene sets: read from GMT files, and matched with the genes that were measured."""

from __future__ import annotations

import gzip
import zlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy.sparse import csr_array

from omics.schema import DataError, UsageError

#: Fewest and most measured genes of a set that is tested: fewer are single genes, more are no process.
SMALLEST, LARGEST = 5, 500
#: Genes that a row lists.
LISTED = 10
#: What stands between two symbols of one feature, and between the genes that a row lists.
BETWEEN = ";"

_GZIP = b"\x1f\x8b"
_SHAPE = "each line is: name, description, genes, with tabs between"


def read_gmt(path: str | Path) -> dict[str, list[str]]:
    """Read gene sets, as MSigDB, Reactome and Enrichr give them away: name, description and genes, tabs between.

    Parameters
    ----------
    path : str or pathlib.Path
        A GMT file in UTF-8, gzip or not, which its first bytes tell. Blank lines are skipped.

    Returns
    -------
    dict of str to list of str
        Genes of each set, in the order of the file; a gene that a set names twice is taken once.

    Raises
    ------
    DataError
        There is no such file, it is not text, or holds no sets; with the number of the line, a line has fewer than
        three fields, a set has no name, no genes, or the name of an earlier one.

    References
    ----------
    Liberzon et al. (2011), Bioinformatics 27: MSigDB 3.0 and its formats.
    """
    sets: dict[str, list[str]] = {}
    line_of: dict[str, int] = {}
    for number, line in enumerate(_text(Path(path)).split("\n"), start=1):
        if not line.strip():
            continue
        where = f"{path}, line {number}"
        name, genes = _parsed(line, where)
        if name in sets:
            raise DataError(
                f"the set {name} occurs twice, first in line {line_of[name]}",
                where=where,
                fix="rename one of them, or keep one",
            )
        sets[name], line_of[name] = genes, number
    if not sets:
        raise DataError("there are no gene sets", where=str(path), fix=_SHAPE)
    return sets


def _text(path: Path) -> str:
    if not path.is_file():
        raise DataError("no such file", where=str(path), fix="check the path")
    raw = path.read_bytes()
    try:
        return (gzip.decompress(raw) if raw.startswith(_GZIP) else raw).decode("utf-8-sig")
    except (OSError, EOFError, zlib.error) as fault:
        raise DataError(f"the gzip file is damaged: {fault}", where=str(path), fix="download it again") from fault
    except UnicodeDecodeError as fault:
        raise DataError(
            f"this is not UTF-8 text: {fault}", where=str(path), fix=f"save it as text; {_SHAPE}"
        ) from fault


def _parsed(line: str, where: str) -> tuple[str, list[str]]:
    """Name and genes of one line."""
    fields = [field.strip() for field in line.split("\t")]
    if len(fields) < 3:
        raise DataError(f"{len(fields)} field(s), at least 3 are needed", where=where, fix=_SHAPE)
    name, genes = fields[0], list(dict.fromkeys(gene for gene in fields[2:] if gene))
    if not name:
        raise DataError("the set has no name", where=where, fix=_SHAPE)
    if not genes:
        raise DataError(f"the set {name} is empty", where=where, fix="give it genes, or take the line out")
    return name, genes


# --- sets and what was measured -----------------------------------------------------------------------------------


class Matched(NamedTuple):
    """Gene sets in the spelling of the measured genes.

    Attributes
    ----------
    sets : dict of str to list of str
        Measured genes of each set, sorted; a set may have none.
    n_genes : int
        Distinct genes of all sets, as they are spelled there.
    n_exact : int
        Of these, genes that were measured under the very same symbol.
    n_folded : int
        Others that were measured under a symbol that differs in case alone.
    """

    sets: dict[str, list[str]]
    n_genes: int
    n_exact: int
    n_folded: int

    @property
    def n_known(self) -> int:
        """Genes of the sets that were measured."""
        return self.n_exact + self.n_folded

    def __str__(self) -> str:
        folded = f", {self.n_folded:,} of them but for case" if self.n_folded else ""
        return f"{self.n_known:,} of the {self.n_genes:,} genes of all sets are measured{folded}"


def match_genes(sets: Mapping[str, Sequence[str]], measured: Iterable[str]) -> Matched:
    """Find the genes of sets among those that were measured.

    A symbol is looked up as it is written. Only where that fails is case ignored, as C1ORF112 and C1orf112 are one
    gene, and only if a single measured symbol then fits.

    Parameters
    ----------
    sets : mapping of str to sequence of str
        Genes of each set, as :func:`read_gmt` gives them.
    measured : iterable of str
        Symbols of the measured genes.

    Returns
    -------
    Matched
        Its text says how many of the genes of all sets are known.

    Raises
    ------
    UsageError
        There are no sets.
    DataError
        No gene of any set was measured.
    """
    if not sets:
        raise UsageError("there are no gene sets", where="sets", fix="read them with read_gmt")
    known = set(measured)
    times = Counter(gene.casefold() for gene in known)
    folded = {gene.casefold(): gene for gene in known if times[gene.casefold()] == 1}
    symbols = {gene for genes in sets.values() for gene in genes}
    exact = symbols & known
    found = {gene: gene for gene in exact}
    found |= {gene: folded[gene.casefold()] for gene in symbols - known if gene.casefold() in folded}
    if not found:
        raise DataError(
            f"none of the {len(symbols):,} genes of the sets was measured: sets have {sorted(symbols)[:3]}, "
            f"features {sorted(known)[:3]}",
            where="sets",
            fix="use sets of the same symbols as the features have, HGNC's",
        )
    spelled = {name: sorted({found[gene] for gene in genes if gene in found}) for name, genes in sets.items()}
    return Matched(spelled, len(symbols), len(exact), len(found) - len(exact))


def split_symbols(genes: pd.Series) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Pairs of a feature and a gene, from symbols with ``;`` between; a gene that a feature repeats is taken once.

    Parameters
    ----------
    genes : pandas.Series
        Symbols of each feature; missing or empty where it has none.

    Returns
    -------
    feature, gene : numpy.ndarray of int, shape (pair,)
        Positions in `genes` and in `symbols`, sorted by gene, then by feature.
    symbols : numpy.ndarray of str, shape (gene,)
        All genes, sorted.
    """
    text = genes.astype(object).where(genes.notna(), "").astype(str).reset_index(drop=True)
    long = text.str.split(BETWEEN).explode().str.strip()
    long = long[long != ""]
    gene, symbols = pd.factorize(long.to_numpy(dtype=object), sort=True)
    pair = np.unique(gene.astype(np.int64) * max(len(text), 1) + long.index.to_numpy(dtype=np.int64))
    return pair % max(len(text), 1), pair // max(len(text), 1), np.asarray(symbols, dtype=object)


def membership(
    sets: Mapping[str, Sequence[str]], symbols: np.ndarray, smallest: int, largest: int
) -> tuple[list[str], csr_array]:
    """Which measured genes are in which set.

    Parameters
    ----------
    sets : mapping of str to sequence of str
        Gene sets, matched by :func:`match_genes`.
    symbols : numpy.ndarray of str, shape (gene,)
        Measured genes.
    smallest, largest : int
        Fewest and most measured genes of a set that is kept; one of all genes has nothing to be compared with.

    Returns
    -------
    names : list of str
        Sets that are kept, sorted.
    member : scipy.sparse.csr_array, shape (set, gene)
        1 where the gene is in the set.

    Raises
    ------
    UsageError
        `smallest` and `largest` leave no room, or no set.
    """
    if not 1 <= smallest <= largest:
        raise UsageError(
            f"no set has between {smallest} and {largest} genes",
            where="smallest, largest",
            fix="1 <= smallest <= largest",
        )
    matched = match_genes(sets, symbols).sets
    most = min(largest, len(symbols) - 1)
    names = sorted(name for name, genes in matched.items() if smallest <= len(genes) <= most)
    if not names:
        sizes = sorted(len(genes) for genes in matched.values())
        raise UsageError(
            f"no set has between {smallest} and {most} measured genes; they have {sizes[0]} to {sizes[-1]}",
            where="sets",
            fix="allow smaller or larger sets",
        )
    place = pd.Index(symbols)
    columns = [np.sort(place.get_indexer(pd.Index(matched[name]))) for name in names]
    starts = np.concatenate([[0], np.cumsum([len(one) for one in columns])])
    joined = np.concatenate(columns)
    return names, csr_array((np.ones(len(joined)), joined, starts), shape=(len(names), len(symbols)))
