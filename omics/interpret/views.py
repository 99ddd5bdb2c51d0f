"""What may resist, and what could be targeted: lesions of patients beside what the knowledge tables say of them.

A row is a lead to be looked into, never advice: ``agrees`` tells whether the lesion is what the table means, as far as
that can be told, and every row carries its reference, its caveat, and where it comes from. Where nothing was looked
at, a row says so in ``known``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
import pandas as pd

from omics.columns import in_order
from omics.interpret.alterations import NO, TO_CHECK, YES, Alteration, agrees, parsed
from omics.interpret.antigens import percentiles
from omics.interpret.knowledge import BETWEEN, table
from omics.interpret.lesions import ANY, FUSED, FUSION, MEASURED, NOT_MEASURED, fused_genes, looked_for
from omics.interpret.mutation_calls import typed
from omics.interpret.patients import View, labels_of
from omics.stats import fisher, odds_ratio, q_values

#: Fewest carriers, in all subtypes together, of a lesion that is tested.
FEWEST = 3

_COUNTS = ("n_with", "n_to_check", "n_known", "n_with_others", "n_known_others")
_NUMBERS = ("share", "share_others", "odds_ratio", "p_value", "q_value")
_SAID = ("role", "statement", "evidence", "reference", "origin", "caveat")
_RESISTANCE = ("gene", "drug")
_TARGETS = ("target", "indication", "agents")
_APPROVAL = ("status", "region", "status_date")


class Entry(NamedTuple):
    """One row of a knowledge table: what it asks for, and of which genes a lesion may be it."""

    asked: Alteration
    carriers: tuple[str, ...]


def resistance_view(
    lesions: pd.DataFrame,
    measured: Mapping[str, pd.DataFrame],
    labels: pd.Series | None = None,
    known: pd.DataFrame | None = None,
) -> View:
    """Which lesions may let blasts escape which drug, by patient and by subtype.

    Parameters
    ----------
    lesions : pandas.DataFrame
        Of :func:`omics.interpret.lesions.lesions`.
    measured : mapping of str to pandas.DataFrame
        Of :func:`omics.interpret.lesions.measured`.
    labels : pandas.Series, optional
        Subtype, indexed by sample.
    known : pandas.DataFrame, optional
        Table ``resistance``, with the user's rows; by default the one that ships.

    Returns
    -------
    View
        ``patients``, by sample: ``sample, subtype, gene, lesion, detail, drug, alteration, agrees`` (yes, no, to be
        checked), ``role, statement, evidence, reference, origin, caveat, known``. Besides the lesions there is a row
        for each gene and drug, and kind of lesion that the table means, where the patient was not looked at; its
        ``known`` is "not measured". What lesions cannot show, such as high expression, is never measured here.

        ``subtypes``, one row for each subtype, ``gene, drug`` and ``lesion``: ``n_with`` patients with a lesion that
        may be the one meant, ``n_to_check`` of them for whom that is to be checked, ``n_known`` patients looked at,
        ``n_with_others, n_known_others`` in all other subtypes, ``share, share_others, odds_ratio, p_value`` (Fisher's
        exact test, two-sided, where :data:`FEWEST` patients have it, else NaN), ``q_value`` (Benjamini-Hochberg over
        the table; a lesion that stands at several drugs is one test), ``known``.

    Raises
    ------
    DataError
        A sample has two labels.
    """
    known = table("resistance") if known is None else known
    rows = known.rename(columns={"symbol": "gene_asked"}).assign(gene=known["symbol"])
    samples = _samples(lesions, measured, labels)
    found = _found(rows, "alteration", _RESISTANCE, lesions, measured, labels_of(labels, samples))
    text = ("sample", "subtype", "gene", "lesion", "detail", "drug", "alteration", "agrees", *_SAID, "known")
    return View(typed(found.patients[list(text)], text=text), found.subtypes)


def targets_view(
    lesions: pd.DataFrame,
    measured: Mapping[str, pd.DataFrame],
    labels: pd.Series | None = None,
    expression: pd.DataFrame | None = None,
    known: pd.DataFrame | None = None,
) -> View:
    """Which lesions could be targeted, with which agents, and how much of the target is expressed.

    Parameters
    ----------
    lesions, measured, labels
        As in :func:`resistance_view`.
    expression : pandas.DataFrame, shape (sample, gene), optional
        Prepared logarithms of the whole cohort.
    known : pandas.DataFrame, optional
        Table ``targets``, with the user's rows; by default the one that ships.

    Returns
    -------
    View
        ``patients``, by sample: ``sample, subtype, gene, lesion, detail, target, indication`` (in whom, says the
        table), ``agents, status, region, status_date, agrees, role, statement, evidence, reference, origin, caveat,
        known``, and ``percentile`` of the target's expression in the cohort, NaN where not measured. An indication
        that no lesion shows (T lineage; relapse) is a row for every patient, "not measured", as is a kind of lesion
        for which the patient was not looked at.

        ``subtypes``, one row for each subtype, ``target, indication, agents`` and ``lesion``, further as in
        :func:`resistance_view`.

    Raises
    ------
    DataError
        A sample has two labels, or as :func:`omics.interpret.antigens.expressed`.
    """
    known = table("targets") if known is None else known
    rows = known.rename(columns={"symbol": "target", "lesion": "indication"})
    rows = rows.assign(gene_asked=rows["target"])
    samples = _samples(lesions, measured, labels, expression)
    found = _found(rows, "indication", _TARGETS, lesions, measured, labels_of(labels, samples))
    text = ("sample", "subtype", "gene", "lesion", "detail", *_TARGETS, *_APPROVAL, "agrees", *_SAID, "known")
    rank = percentiles(expression, rows["target"])
    patients = found.patients[list(text)]
    places = (
        rank.index.get_indexer(pd.Index(patients["sample"])),
        rank.columns.get_indexer(pd.Index(patients["target"])),
    )
    values = np.vstack([rank.to_numpy(dtype=float), np.full((1, rank.shape[1]), np.nan)])  # -1 is who is absent
    return View(typed(patients.assign(percentile=values[places]), text=text, float=("percentile",)), found.subtypes)


# --- entries ------------------------------------------------------------------------------------------------------


def _found(
    rows: pd.DataFrame,
    words: str,
    keys: Sequence[str],
    lesions: pd.DataFrame,
    measured: Mapping[str, pd.DataFrame],
    label: pd.Series,
) -> View:
    """Lesions beside the rows of a table; rows are one group where they agree in the keys."""
    rows = rows.reset_index(drop=True)
    symbols = _symbols() | frozenset(rows["gene_asked"])
    entries = [_entry(text, gene, symbols) for text, gene in zip(rows[words], rows["gene_asked"], strict=True)]
    classes = _classes()
    samples = label.index
    hits = _hits(lesions, entries, classes)
    groups = rows.groupby(list(keys), sort=False).ngroup()
    group_of = rows[list(keys)].groupby(groups).first()
    hits["group"] = groups[hits["entry"]].to_numpy()
    patients, counts = [_with_rows(hits, rows)], []
    for group, part in rows.groupby(groups):
        mine, inside = [entries[entry] for entry in part.index], hits[hits["group"] == group]
        for kind in dict.fromkeys(kind for one in mine for kind in one.asked.kinds or ("",)):
            looked = _looked(mine, kind, measured, samples, classes)
            patients.append(_gaps(part, mine, kind, samples[~looked], inside))
            counts.append(_counted(inside[inside["lesion"] == kind], looked, label).assign(group=group, lesion=kind))
    table_ = pd.concat(patients, ignore_index=True)
    table_["subtype"] = label.reindex(table_["sample"]).to_numpy(dtype=object)
    table_["order"] = table_["agrees"].map({YES: 0, TO_CHECK: 1, NO: 2}).fillna(3)
    place = pd.Series(np.arange(len(samples)), samples)[table_["sample"]].to_numpy()
    table_ = table_.assign(place=place).sort_values(["place", "order"], kind="stable", ignore_index=True)
    return View(table_, _tested(pd.concat(counts, ignore_index=True), group_of))


def _entry(words: str, symbol: str, symbols: frozenset[str]) -> Entry:
    asked = parsed(words, symbols)
    # of two fused genes the one that is the target counts, so that BCR::JAK2 is no candidate for BCR::ABL1
    return Entry(asked, asked.genes or (symbol,))


@cache
def _symbols() -> frozenset[str]:
    """Genes that words of a table may name: those of the tables that ship."""
    columns = [table(name)["symbol"] for name in ("resistance", "subtypes", "targets")]
    return fused_genes().union(*(symbols.split(BETWEEN) for column in columns for symbols in column))


@cache
def _classes() -> Mapping[frozenset[str], str]:
    """Subtypes of each fusion that ships, whichever gene comes first."""
    found: dict[frozenset[str], str] = {}
    for five, three, subtype in table("fusions")[["gene5", "gene3", "subtype"]].itertuples(index=False):
        pair = frozenset((five, three))
        found[pair] = "; ".join(filter(None, (found.get(pair), subtype)))
    return MappingProxyType(found)


def _samples(
    lesions: pd.DataFrame, measured: Mapping[str, pd.DataFrame], *given: pd.Series | pd.DataFrame | None
) -> pd.Index:
    """Everyone of whom anything is known."""
    indices = [pd.Index(one.index, dtype=object).astype(str) for one in (*measured.values(), *given) if one is not None]
    return pd.Index(in_order(set(lesions["sample"]).union(*indices)), dtype=object)


def _hits(lesions: pd.DataFrame, entries: list[Entry], classes: Mapping[frozenset[str], str]) -> pd.DataFrame:
    """Each lesion of a gene that an entry names, and whether it is what the entry means."""
    pairs = [(number, gene) for number, entry in enumerate(entries) for gene in entry.carriers]
    hits = lesions.merge(pd.DataFrame(pairs, columns=["entry", "gene"]), on="gene")
    facts = ["entry", "lesion", "detail", "classification"]
    one = hits[facts].drop_duplicates()
    one["agrees"] = [
        agrees(entries[number].asked, lesion, detail, kind, classes.get(frozenset(detail.split(FUSED)), ""))
        for number, lesion, detail, kind in one.itertuples(index=False)
    ]
    return hits.merge(one, on=facts)


def _looked(
    entries: list[Entry],
    kind: str,
    measured: Mapping[str, pd.DataFrame],
    samples: pd.Index,
    classes: Mapping[frozenset[str], str],
) -> pd.Series:
    """Who was looked at for all that the entries mean by this kind of lesion."""
    told = pd.Series(bool(kind), samples)
    for entry in (one for one in entries if kind in one.asked.kinds):
        for gene in entry.carriers:
            names = [gene] if kind != FUSION else _names(entry, gene, measured, classes)
            told &= looked_for(measured, kind, names, samples)
    return told


def _names(
    entry: Entry, gene: str, measured: Mapping[str, pd.DataFrame], classes: Mapping[frozenset[str], str]
) -> list[str]:
    """Fusions that were looked for, and may be the one meant."""
    looked = [name for name in measured.get(FUSION, pd.DataFrame()).columns if gene in name.split(FUSED)]
    meant = [n for n in looked if agrees(entry.asked, FUSION, n, "", classes.get(frozenset(n.split(FUSED)), "")) != NO]
    return [*meant, ANY]


# --- rows of patients ---------------------------------------------------------------------------------------------


def _with_rows(hits: pd.DataFrame, rows: pd.DataFrame) -> pd.DataFrame:
    """Each hit with what the table says."""
    said = rows.drop(columns=["gene"], errors="ignore")
    return hits.join(said, on="entry").assign(known=MEASURED)


def _gaps(part: pd.DataFrame, entries: list[Entry], kind: str, unseen: pd.Index, inside: pd.DataFrame) -> pd.DataFrame:
    """One row for each patient who was not looked at, unless the patient has such a lesion all the same."""
    have = set(inside.loc[(inside["lesion"] == kind) & (inside["agrees"] != NO), "sample"])
    samples = [sample for sample in unseen if sample not in have]
    same = {str(name): values.iloc[0] if values.nunique() == 1 else "" for name, values in part.items()}
    genes = "; ".join(dict.fromkeys(gene for entry in entries for gene in entry.carriers))
    row = same | {"gene": genes, "lesion": kind, "detail": "", "agrees": "" if kind else TO_CHECK}
    return pd.DataFrame({"sample": pd.Series(samples, dtype=object)}).assign(**row, known=NOT_MEASURED)


# --- counts of subtypes -------------------------------------------------------------------------------------------


def _counted(hits: pd.DataFrame, looked: pd.Series, label: pd.Series) -> pd.DataFrame:
    """Patients of each subtype, and of all others, with the lesion, and looked at."""
    may = hits[hits["agrees"] != NO]
    has = pd.Series(label.index.isin(may["sample"]), label.index) & looked
    sure = pd.Series(label.index.isin(may.loc[may["agrees"] == YES, "sample"]), label.index)
    flags = pd.DataFrame({"n_with": has, "n_to_check": has & ~sure, "n_known": looked})[label != ""]
    inside = flags.groupby(label[label != ""]).sum().astype("int64")
    inside = inside.reindex(in_order(inside.index)).rename_axis("subtype")
    others = inside.sum() - inside
    return inside.assign(n_with_others=others["n_with"], n_known_others=others["n_known"]).reset_index()


def _tested(counts: pd.DataFrame, group_of: pd.DataFrame) -> pd.DataFrame:
    """Shares and exact tests; the table is one family."""
    a, known, c, others = (counts[name].to_numpy() for name in ("n_with", "n_known", *_COUNTS[3:]))
    p = np.full(len(counts), np.nan)
    testable = (known > 0) & (others > 0) & (a + c >= FEWEST)
    for n in np.unique((known + others)[testable]):
        rows = testable & (known + others == n)
        p[rows] = fisher(a[rows], known[rows], (a + c)[rows], int(n))
    with np.errstate(invalid="ignore"):
        counts = counts.assign(share=a / known, share_others=c / others)
    odds = odds_ratio(a, known - a, c, others - c)
    found = counts.assign(odds_ratio=np.where((known > 0) & (others > 0), odds, np.nan), p_value=p)
    names = list(group_of.columns)
    found[names] = group_of.loc[found["group"], names].to_numpy()
    test = [names[0], "subtype", "lesion", *_COUNTS, "p_value"]
    alone = found.loc[~found.duplicated(test), test]
    found = found.merge(alone.assign(q_value=q_values(alone["p_value"].to_numpy())), on=test, how="left")
    found["known"] = np.where(found["n_known"] > 0, MEASURED, NOT_MEASURED)
    order = {name: number for number, name in enumerate(in_order(found["subtype"].unique()))}
    found = found.assign(order=found["subtype"].map(order)).sort_values("order", kind="stable", ignore_index=True)
    text = ("subtype", *names, "lesion", "known")
    return typed(
        found[["subtype", *names, "lesion", *_COUNTS, *_NUMBERS, "known"]], text=text, integer=_COUNTS, float=_NUMBERS
    )
