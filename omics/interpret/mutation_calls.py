"""Calls of mutations, checked at the door and counted once, and who carries what.

Every function of this room that takes `calls` takes one row for a call:

======================================  =======  ================================================================
column                                  needed   what
======================================  =======  ================================================================
``sample, gene, classification``        yes      id, symbol, variant classification as in a MAF (or ``ITD``, ...)
``start``                               no       position; a variant is known by it, with those that are there of
``chromosome, reference, alternative``  no       the rest of the place and the alleles: give them, or two
                                                 substitutions at one position are one
``HGVSp``                               no       what a variant is known by where there is no position
``vaf``                                 no       variant allele fraction, 0 to 1, or the two counts of reads:
``t_alt_count, t_ref_count``            no       the fraction is the share of the first
======================================  =======  ================================================================

A call that repeats (same sample, gene and variant: several callers report it, or several transcripts) counts once, and
as altering if any of the repeats says so. Calls of unknown variant are never taken for repeats.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
import pandas as pd

from omics.schema import DataError, refuse_duplicates

#: Classes that leave the protein as it is, in lower case: all others, ITD and fusions among them, alter the gene.
SILENT = frozenset(
    {
        *("silent", "splice_region", "intron", "3'utr", "5'utr", "3'flank", "5'flank", "igr", "targeted_region"),
        *("rna", "lincrna", "de_novo_start_inframe", "de_novo_start_outofframe"),
    }
)
#: Names, in lower case, of what lies between genes.
NO_GENE = ("", "unknown")

_REQUIRED = ("sample", "gene", "classification")
_PLACE = ("chromosome", "start", "reference", "alternative")
_READS = ("t_alt_count", "t_ref_count")
_KEY = ["sample", "gene", "variant"]
_KINDS: Mapping[str, str] = {"text": "object", "integer": "int64", "float": "float64"}


def ids(sequenced: Iterable[str], where: str = "sequenced") -> pd.Index:
    """Ids of the sequenced samples, sorted.

    Parameters
    ----------
    sequenced : iterable of str
        Ids of all samples that were sequenced, with or without a mutation.
    where : str
        What an error names.

    Raises
    ------
    DataError
        There is none, or one occurs twice.
    """
    found = pd.Index(list(sequenced), dtype=object).astype(str).sort_values()
    if found.empty:
        raise DataError("there is no sequenced sample", where=where, fix="give the ids of all samples sequenced")
    refuse_duplicates(found, "sample", where)
    return found


def checked(calls: pd.DataFrame, samples: pd.Index | None, where: str = "calls") -> pd.DataFrame:
    """The calls in an order of their own, each once, with what can be said of them.

    Parameters
    ----------
    calls : pandas.DataFrame
        One row a call, as the module says.
    samples : pandas.Index or None
        Of :func:`ids`; None if any sample is welcome.
    where : str
        What an error names.

    Returns
    -------
    pandas.DataFrame
        ``sample, gene, classification, variant`` (empty where unknown), ``altering`` (the class is not in
        :data:`SILENT`, and the gene is known) and ``vaf`` (NaN where unknown).

    Raises
    ------
    DataError
        A column is missing, a sample or a class is empty, a sample was not sequenced, a VAF is outside of 0 to 1, or
        a count of reads is negative.
    """
    missing = [name for name in _REQUIRED if name not in calls.columns]
    if missing:
        raise DataError(
            f"column {', '.join(missing)} is missing", where=where, fix=f"calls have the columns {', '.join(_REQUIRED)}"
        )
    calls = calls.reset_index(drop=True)
    gene = _text(calls["gene"])
    table = pd.DataFrame({"sample": _text(calls["sample"]), "gene": gene, "classification": _text(calls[_REQUIRED[2]])})
    for name in ("sample", "classification"):
        if (table[name] == "").any():
            raise DataError(f"a call has no {name}", where=where, fix=f"give every call its {name}, or leave it out")
    if samples is not None:
        refuse_unknown(table["sample"], samples, where)
    known = ~gene.str.lower().isin(NO_GENE)
    silent = table["classification"].str.lower().isin(SILENT)
    table = table.assign(variant=_variant(calls), altering=known & ~silent, vaf=_fraction(calls, where))
    order = table.assign(passive=~table["altering"]).sort_values([*_KEY, "passive", "classification", "vaf"])
    repeated = order.duplicated(_KEY) & (order["variant"] != "")
    return order.loc[~repeated, [*_KEY[:2], "classification", "variant", "altering", "vaf"]].reset_index(drop=True)


def refuse_unknown(found: Iterable[str], samples: pd.Index, where: str) -> None:
    """A :class:`~omics.schema.DataError` if a sample was not sequenced."""
    unknown = sorted(set(found).difference(samples))
    if unknown:
        raise DataError(
            f"{len(unknown)} samples were not sequenced: {', '.join(unknown[:5])}",
            where=where,
            fix="complete the list of sequenced samples, or leave their calls out",
        )


def has_variants(calls: pd.DataFrame) -> bool:
    """Whether the calls tell one variant of a gene from another: they have a position, or a change of protein."""
    return bool({"start", "HGVSp"} & set(calls.columns))


def carriers(altering: pd.DataFrame, samples: pd.Index, genes: pd.Index | None = None) -> pd.DataFrame:
    """Who carries an altering call of which gene.

    Parameters
    ----------
    altering : pandas.DataFrame
        Rows of :func:`checked`; what is not altering is not looked at.
    samples : pandas.Index
        All sequenced samples.
    genes : pandas.Index, optional
        Columns; by default all genes with a carrier, sorted. One without a carrier is False throughout.

    Returns
    -------
    pandas.DataFrame of bool, shape (sample, gene)
    """
    rows = altering[altering["altering"]]
    genes = pd.Index(sorted(rows["gene"].unique()), dtype=object) if genes is None else genes
    rows = rows[rows["gene"].isin(genes)]
    carried = np.zeros((len(samples), len(genes)), dtype=bool)
    carried[samples.get_indexer(pd.Index(rows["sample"])), genes.get_indexer(pd.Index(rows["gene"]))] = True
    return pd.DataFrame(carried, samples, genes)


def often(carried: pd.DataFrame, least: int) -> pd.DataFrame:
    """The genes of :func:`carriers` with at least so many carriers."""
    return carried.loc[:, carried.sum(axis=0) >= least]


def typed(table: pd.DataFrame, **kinds: Iterable[str]) -> pd.DataFrame:
    """The columns named, in that order and of that kind (text, integer, float), also where there is no row."""
    columns = {name: _KINDS[kind] for kind, names in kinds.items() for name in names}
    order = [name for name in table.columns if name in columns]
    return table[order].astype({name: columns[name] for name in order})


# --- what is known of a call --------------------------------------------------------------------------------------


def _text(column: pd.Series) -> pd.Series:
    """As text without blanks around it; empty where missing."""
    return column.astype(object).where(column.notna(), "").astype(str).str.strip()


def _variant(calls: pd.DataFrame) -> pd.Series:
    """Position and alleles; where the position is unknown the change of protein; else empty."""
    protein = _text(calls["HGVSp"]) if "HGVSp" in calls else pd.Series("", calls.index, dtype=object)
    if "start" not in calls:
        return protein
    start = pd.to_numeric(calls["start"], errors="coerce").astype("Int64")
    parts = {name: _text(calls[name]) for name in _PLACE if name in calls} | {"start": start.astype(str)}
    if "chromosome" in parts:
        parts["chromosome"] = parts["chromosome"].str.replace("^chr", "", case=False, regex=True)
    first, *others = (parts[name] for name in _PLACE if name in parts)
    place = sum((":" + other for other in others), first)
    return place.astype(object).where(start.notna(), protein)


def _fraction(calls: pd.DataFrame, where: str) -> pd.Series:
    """Variant allele fraction of each call; NaN where unknown."""
    if "vaf" in calls:
        vaf = pd.to_numeric(calls["vaf"]).astype(float)
    elif set(_READS) <= set(calls.columns):
        alternative, reference = (pd.to_numeric(calls[name]).astype(float) for name in _READS)
        if (alternative < 0).any() or (reference < 0).any():
            raise DataError("a count of reads is negative", where=where, fix=f"check {' and '.join(_READS)}")
        depth = alternative + reference
        vaf = (alternative / depth.where(depth > 0)).astype(float)
    else:
        return pd.Series(np.nan, calls.index)
    outside = vaf[(vaf < 0) | (vaf > 1)]
    if len(outside):
        raise DataError(
            f"{len(outside)} VAFs are outside of 0 to 1: {', '.join(map(str, outside[:5]))}",
            where=where,
            fix="a VAF is a fraction: divide percents by 100",
        )
    return vaf
