"""Inherited variants that go with toxicity: what to test, and what a germline table says.

Blasts gain, lose and mutate these genes, and are most of a diagnostic sample: what a tumour shows is not what the
liver has. So only a table that says it is of the germline is looked at; anything else is refused.
"""

from __future__ import annotations

import re

import numpy as np
import pandas as pd

from omics.columns import in_order
from omics.interpret.alterations import NO, TO_CHECK, YES
from omics.interpret.knowledge import symbol_of, table
from omics.interpret.lesions import MEASURED, NOT_MEASURED
from omics.interpret.mutation_calls import typed
from omics.schema import DataError

#: What the column ``sample_type`` must say of every row.
GERMLINE = "germline"

_NEEDED = ("sample", "gene", "variant", "sample_type")
_TUMOUR = ("tumor_sample_barcode", "t_alt_count", "t_ref_count", "tumor_seq_allele2", "vaf", "classification")
_TUMOUR_ID = re.compile(r"(?:TCGA-[A-Z0-9]{2}-[A-Z0-9]{4}|TARGET-\d{2}-[A-Z0-9]+)-(?:0\d|4\d)(?:\D.*)?")
_FIX = (
    f"give rows of sample, gene, variant and sample_type, the last '{GERMLINE}', read from remission or other normal "
    "cells; without such a table leave it out, and the view tells what to test"
)
_STAR = re.compile(r"\*\d+(?::\d+)?[A-Z]?")
_RS = re.compile(r"rs\d+", re.IGNORECASE)
_TEXT = ("sample", "drug", "toxicity", "gene", "variant", "found", "agrees", "requires", "role", "cpic", "statement")
_SOURCE = ("evidence", "reference", "origin", "caveat", "known")


def pharmacogenes_view(germline: pd.DataFrame | None = None, known: pd.DataFrame | None = None) -> pd.DataFrame:
    """What to test before which drug, and which of it patients carry.

    Parameters
    ----------
    germline : pandas.DataFrame, optional
        ``sample, gene, variant`` (as ``*3A``, ``*1/*3A``, ``rs924607 TT``), ``sample_type``, which must be "germline"
        in every row.
    known : pandas.DataFrame, optional
        Table ``pharmacogenes``, with the user's rows; by default the one that ships.

    Returns
    -------
    pandas.DataFrame
        Text, by sample and drug; without a table one row for each row of ours, with an empty ``sample``: ``sample,
        drug, toxicity, gene, variant`` (asked for), ``found`` (what the patient has), ``agrees`` (yes, no, to be
        checked, or empty), ``requires`` (germline only), ``role, cpic, statement, evidence, reference, origin, caveat,
        known``. A gene of which the table has no row in a patient is "not measured": it does not tell whether it was
        looked at.

    Raises
    ------
    DataError
        The table does not say that it is of the germline, or looks as if it were of a tumour.
    """
    known = table("pharmacogenes") if known is None else known
    rows = known.rename(columns={"symbol": "gene", "sample": "requires"}).reset_index(drop=True)
    if germline is None:
        found = rows.assign(sample="", found="", agrees="", known=NOT_MEASURED, place=0)
    else:
        refuse_tumour(germline)
        found = _compared(germline, rows)
    found = found.sort_values(["place", "drug", "toxicity", "gene"], kind="stable", ignore_index=True)
    return typed(found[[*_TEXT, *_SOURCE]], text=(*_TEXT, *_SOURCE))


def refuse_tumour(germline: pd.DataFrame, where: str = GERMLINE) -> None:
    """Refuse a table that does not say that it is of the germline, or looks as if it were of a tumour.

    Parameters
    ----------
    germline : pandas.DataFrame
        As :func:`pharmacogenes_view` takes it.
    where : str, optional
        File that it is of.

    Raises
    ------
    DataError
        With what tells it.
    """
    columns = [str(name) for name in germline.columns]
    signs = [name for name in columns if name.lower() in _TUMOUR]
    missing = [name for name in _NEEDED if name not in columns]
    if signs:
        why = f"column {', '.join(signs)} is of a table of tumour calls"
    elif missing:
        why = f"there is no column {', '.join(missing)}, so that nothing says it is of the germline"
    else:
        why = _sign_of_tumour(germline)
    if why:
        raise DataError(f"pharmacogenes are read from the germline only: {why}", where=where, fix=_FIX)


def _sign_of_tumour(germline: pd.DataFrame) -> str:
    """Which row is not of the germline; empty if all are."""
    kind = germline["sample_type"].astype(object)
    other = kind[kind.isna() | (kind.astype(str).str.strip().str.lower() != GERMLINE)]
    if len(other):
        return f"sample_type is '{other.iloc[0]}' in {len(other)} rows"
    ids = germline["sample"].astype(str)
    tumour = ids[ids.str.fullmatch(_TUMOUR_ID)]
    return f"{tumour.iloc[0]} is the barcode of a tumour sample" if len(tumour) else ""


def _compared(germline: pd.DataFrame, rows: pd.DataFrame) -> pd.DataFrame:
    """Every patient beside every row."""
    held = pd.DataFrame(
        {
            "sample": germline["sample"].astype(str).str.strip(),
            "gene": [symbol_of(str(gene)) for gene in germline["gene"]],
            "has": germline["variant"].astype(object).where(germline["variant"].notna(), "").astype(str).str.strip(),
        }
    )
    held = held.groupby(["sample", "gene"], as_index=False).agg(has=("has", list))
    samples = in_order(held["sample"].unique())
    everyone = pd.DataFrame({"sample": pd.Series(samples, dtype=object), "place": np.arange(len(samples))})
    found = everyone.merge(rows, how="cross").merge(held, on=["sample", "gene"], how="left")
    told = found["has"].notna()
    has = [one if yes else [] for one, yes in zip(found["has"], told, strict=True)]
    best = [_best(asked, variants) for asked, variants in zip(found["variant"], has, strict=True)]
    return found.assign(
        found=["; ".join(sorted(set(filter(None, one)))) for one in has],
        agrees=best,
        known=np.where(told, MEASURED, NOT_MEASURED),
    )


def _best(asked: str, variants: list[str]) -> str:
    found = {_same(asked, one) for one in variants}
    return next((answer for answer in (YES, TO_CHECK, NO) if answer in found), "")


def _same(asked: str, has: str) -> str:
    """Whether a variant is one that is asked for; a number of dbSNP alone does not tell which allele there is."""
    if has and has.casefold() == asked.casefold():
        return YES
    stars, numbers = set(_STAR.findall(asked)), {one.lower() for one in _RS.findall(asked)}
    if stars & set(_STAR.findall(has)):
        return YES
    named = _STAR.search(has) if stars else _RS.search(has)
    if not (stars or numbers) or not named or numbers & {one.lower() for one in _RS.findall(has)}:
        return TO_CHECK
    return NO
