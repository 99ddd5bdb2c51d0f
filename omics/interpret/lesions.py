"""Lesions of patients: mutations, fusions, deletions and amplifications in one table, and who was looked at for what.

That no lesion was found means something only where it was looked for. :func:`measured` keeps that, by kind of lesion,
as a table of sample by what was looked at: a gene, two fused genes (``ETV6::RUNX1``), or :data:`ANY` gene.

References
----------
Mermel et al. (2011), Genome Biology 12: GISTIC, from which the levels of copy number are.
Stanulla et al. (2018), Journal of Clinical Oncology 36: IKZF1plus.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from typing import NamedTuple

import numpy as np
import pandas as pd

from omics.columns import UNNAMED, in_order
from omics.interpret.knowledge import BETWEEN, NO_GENE, symbol_of, table
from omics.interpret.mutation_calls import checked, ids, typed
from omics.schema import DataError

#: Kinds of lesion.
MUTATION, FUSION, DELETION, AMPLIFICATION = KINDS = ("mutation", "fusion", "deletion", "amplification")
#: Stands for every gene: an exome, not a panel.
ANY = "*"
#: Between the genes of a fusion, the 5' one first.
FUSED = "::"
#: What tells that something was looked at, or was not.
MEASURED, NOT_MEASURED = "measured", "not measured"
#: Levels of GISTIC up to which a gene is deleted, one copy or so, and from which it is amplified, many copies.
DELETED, AMPLIFIED = -1, 2
#: Texts of clinical columns, in lower case, that say nothing.
SILENT_TEXTS = ("", "na", "n.a.", "nan", "n.d.", "nd", "unknown", "not tested", "not done", "not available")

_COLUMNS = ("sample", "gene", "lesion", "detail", "classification", "source")
_SYMBOL = r"[A-Z][A-Za-z0-9]*(?:-[A-Z0-9]+)*"
_PAIR = re.compile(rf"({_SYMBOL})\s*::\s*({_SYMBOL})")
_LOOSE = re.compile(r"([A-Z][A-Za-z0-9]*)\s*[-/_]\s*([A-Z][A-Za-z0-9]*)")
_ALONE = re.compile(r"([A-Z][A-Z0-9]+)\s*[- ]?\s*(?:rearranged|rearrangement|translocation|fusion|r)\b")
_PHRASES = re.compile(r"[;,|+&]| and | or ")
_UNNAMED = re.compile(rf"(?:.*[ /-])?(?:{'|'.join(map(re.escape, UNNAMED))})", re.IGNORECASE)
_DENIED = re.compile(r"\b(?:no|not|non|without|negative|neg|absent|wild-?type|wt)\b|[- ]like\b", re.IGNORECASE)
_SUFFIX = re.compile(r"[_ -](ITD|TKD|PTD)$")


def lesions(
    *,
    calls: pd.DataFrame | None = None,
    mutation_matrix: pd.DataFrame | None = None,
    fusions: pd.Series | pd.DataFrame | None = None,
    copy_number: pd.DataFrame | None = None,
) -> pd.DataFrame:
    """Every lesion of every patient, one row each.

    Parameters
    ----------
    calls : pandas.DataFrame, optional
        Calls as :mod:`omics.interpret.mutation_calls` says; the altering ones are lesions.
    mutation_matrix : pandas.DataFrame, shape (sample, gene), optional
        1 where the sample carries a mutation, 0 where not, NaN where unknown; what the calls show already is not
        repeated.
    fusions : pandas.Series or pandas.DataFrame, optional
        Clinical columns that name fusions, by sample: ``ETV6::RUNX1``, ``BCR-ABL1`` or ``ETV6/RUNX1`` where both are
        genes of the knowledge tables, ``KMT2A-rearranged``. A phrase that denies (``BCR::ABL1 negative``), and a
        class that only resembles (``BCR::ABL1-like``), names none.
    copy_number : pandas.DataFrame, shape (sample, gene), optional
        Levels of GISTIC, -2 to 2. -1 and -2 are deletions; 2 is an amplification, 1, a gain of few copies, is none.

    Returns
    -------
    pandas.DataFrame
        Text, by sample and gene: ``sample, gene`` (current symbol), ``lesion`` (one of :data:`KINDS`), ``detail``
        (change of protein; the fusion, of which each gene has a row; the level of GISTIC; or empty),
        ``classification`` (class of the call), ``source`` (calls, mutation matrix, the clinical column, copy number).

    Raises
    ------
    DataError
        As :func:`~omics.interpret.mutation_calls.checked`; a matrix has values that it may not have; or a sample
        occurs twice.
    """
    parts = [
        pd.DataFrame(columns=_COLUMNS, dtype=object),
        *(_of_calls(calls) if calls is not None else ()),
        *(_of_matrix(mutation_matrix) if mutation_matrix is not None else ()),
        *(_of_fusions(fusions) if fusions is not None else ()),
        *(_of_copies(copy_number) if copy_number is not None else ()),
    ]
    rows = pd.concat(parts, ignore_index=True)
    known = rows[rows["source"] == "calls"]
    repeated = (rows["source"] == "mutation matrix") & pd.MultiIndex.from_frame(rows[["sample", "gene"]]).isin(
        pd.MultiIndex.from_frame(known[["sample", "gene"]])
    )
    rows = rows[~repeated].drop_duplicates(ignore_index=True)
    return typed(rows.sort_values(list(_COLUMNS), ignore_index=True), text=_COLUMNS)


def measured(
    *,
    sequenced: Iterable[str] | None = None,
    panel: Iterable[str] | None = None,
    mutation_matrix: pd.DataFrame | None = None,
    fusions: pd.Series | pd.DataFrame | None = None,
    copy_number: pd.DataFrame | None = None,
) -> dict[str, pd.DataFrame]:
    """Who was looked at for what, by kind of lesion.

    Parameters
    ----------
    sequenced : iterable of str, optional
        Ids of all sequenced samples, with or without a mutation. Without it, only what the matrix knows is known.
    panel : iterable of str, optional
        Genes that were sequenced in them; by default all.
    mutation_matrix, fusions, copy_number : optional
        As in :func:`lesions`. A patient of whom a clinical column names a fusion or a class was looked at for the
        fusions that the column names in anyone who is given, and for no others: of a patient alone, for its own. Who
        is "other", "NOS" or the like (:data:`~omics.columns.UNNAMED`) need not have been looked at for any.

    Returns
    -------
    dict of str to pandas.DataFrame of bool, shape (sample, what)
        For every kind of :data:`KINDS`; columns are genes, fusions, or :data:`ANY`, which holds for genes that are not
        columns.

    Raises
    ------
    DataError
        As :func:`lesions`.
    """
    found = {kind: pd.DataFrame() for kind in KINDS}
    if mutation_matrix is not None:
        found[MUTATION] = _matrix(mutation_matrix, (0, 1), "mutation_matrix").notna()
    if sequenced is not None:
        found[MUTATION] = _with_sequenced(found[MUTATION], ids(sequenced), panel)
    if fusions is not None:
        found[FUSION] = _looked_at(fusions)
    if copy_number is not None:
        found[DELETION] = found[AMPLIFICATION] = _matrix(copy_number, range(-2, 3), "copy_number").notna()
    return found


def profile(copy_number: pd.DataFrame, known: pd.DataFrame | None = None) -> pd.DataFrame:
    r"""Regions of the UKALL copy-number profile, and IKZF1plus, of every patient.

    A region is altered where any of its genes is deleted (GISTIC -1 or -2), and not altered where all were measured and
    none is. PAR1 is more than CRLF2, which its usual deletion spares: a column PAR1 tells of it, a deleted CRLF2
    does, and a CRLF2 that is kept does not. Of IKZF1plus,

    .. math:: \mathrm{IKZF1} \wedge (\mathrm{CDKN2A} \vee \mathrm{CDKN2B} \vee \mathrm{PAX5} \vee \mathrm{PAR1})
              \wedge \neg\,\mathrm{ERG},

    each is true, false or not known, and so is the whole. Groups of risk are not derived: none ships with a reference.

    Parameters
    ----------
    copy_number : pandas.DataFrame, shape (sample, gene)
        As in :func:`lesions`.
    known : pandas.DataFrame, optional
        Table ``cna_profile``; by default the one that ships.

    Returns
    -------
    pandas.DataFrame
        By sample and region: ``sample, region`` (the last one IKZF1plus), ``altered`` (yes, no, or empty), ``known``
        (:data:`MEASURED` or :data:`NOT_MEASURED`), ``definition, reference, caveat``.

    Raises
    ------
    DataError
        As :func:`lesions`.

    References
    ----------
    Stanulla et al. (2018).
    """
    known = table("cna_profile") if known is None else known
    levels = _matrix(copy_number, range(-2, 3), "copy_number")
    deleted = (levels <= DELETED).astype("boolean").mask(levels.isna())
    rows = known[known["role"] == "profile gene"]
    members = {str(region): list(part["symbol"]) for region, part in rows.groupby("region", sort=False)}
    states = {region: _region(deleted, region, genes) for region, genes in members.items()}
    partners = [_of(deleted, gene) for gene in ("CDKN2A", "CDKN2B", "PAX5")] + [states["PAR1"]]
    states["IKZF1plus"] = _of(deleted, "IKZF1") & _any(partners) & ~_of(deleted, "ERG")
    said = pd.concat([rows, known[(known["role"] == "definition") & (known["region"] == "IKZF1plus")]])
    said = said.drop_duplicates("region").set_index("region")
    found = (
        pd.DataFrame(states).rename_axis("sample").reset_index().melt("sample", var_name="region", value_name="state")
    )
    found = found.sort_values("sample", kind="stable", ignore_index=True)
    found["altered"] = found["state"].map({True: "yes", False: "no"}).astype(object).fillna("")
    found["known"] = np.where(found["state"].isna(), NOT_MEASURED, MEASURED)
    columns = ["definition", "reference", "caveat"]
    found[columns] = said.reindex(found["region"])[columns].fillna("").to_numpy()
    return typed(found, text=("sample", "region", "altered", "known", *columns))


# --- mutations and copies -----------------------------------------------------------------------------------------


def _gene_of(name: str) -> tuple[str, str]:
    """Current symbol, and the kind of mutation that the name tells: FLT3_ITD is one of FLT3."""
    kind = _SUFFIX.search(name.strip())
    return symbol_of(_SUFFIX.sub("", name.strip())), kind[1] if kind else ""


def _of_calls(calls: pd.DataFrame) -> Iterator[pd.DataFrame]:
    # one call at a time, since what is known of it beside the class is not kept when repeats are counted once
    alone = calls.reset_index(drop=True)
    kept = checked(alone.assign(HGVSp=alone.index.astype(str), start=np.nan), None)
    rows = alone.loc[kept.loc[kept["altering"], "variant"].astype(int)]
    if rows.empty:
        return
    named = rows["gene"].astype(str).map(_gene_of)
    change = rows["HGVSp"] if "HGVSp" in rows else pd.Series("", rows.index, dtype=object)
    change = change.astype(object).where(change.notna(), "").astype(str).str.strip()
    yield pd.DataFrame(
        {
            "sample": rows["sample"].astype(str).str.strip(),
            "gene": named.str[0],
            "lesion": MUTATION,
            "detail": change.where(change != "", named.str[1]),
            "classification": rows["classification"].astype(str).str.strip(),
            "source": "calls",
        }
    )


def _of_matrix(matrix: pd.DataFrame) -> Iterator[pd.DataFrame]:
    values = _frame(matrix, "mutation_matrix")
    _refuse_values(values, (0, 1), "mutation_matrix")
    row, column = np.nonzero(values.to_numpy(dtype=float) == 1)
    if len(row):
        named = [_gene_of(str(name)) for name in values.columns]
        gene, detail = (np.array(part, dtype=object)[column] for part in zip(*named, strict=True))
        yield pd.DataFrame(
            {
                "sample": values.index.to_numpy()[row],
                "gene": gene,
                "lesion": MUTATION,
                "detail": detail,
                "classification": "",
                "source": "mutation matrix",
            }
        )


def _of_copies(copy_number: pd.DataFrame) -> Iterator[pd.DataFrame]:
    levels = _matrix(copy_number, range(-2, 3), "copy_number")
    values = levels.to_numpy()
    for kind, where in ((DELETION, values <= DELETED), (AMPLIFICATION, values >= AMPLIFIED)):
        row, column = np.nonzero(where)
        yield pd.DataFrame(
            {
                "sample": levels.index.to_numpy()[row],
                "gene": levels.columns.to_numpy()[column],
                "lesion": kind,
                "detail": [f"GISTIC {level:+.0f}" for level in values[row, column]],
                "classification": "",
                "source": "copy number",
            },
            dtype=object,
        )


def _matrix(matrix: pd.DataFrame, allowed: Iterable[int], where: str) -> pd.DataFrame:
    """Numbers by sample and current symbol; of columns that are one gene, the value farthest from 0."""
    values = _frame(matrix, where)
    _refuse_values(values, allowed, where)
    values = values.set_axis([_gene_of(str(name))[0] for name in values.columns], axis=1)
    if values.columns.is_unique:
        return values
    by_gene = values.T.groupby(level=0, sort=False)
    low, high = by_gene.min().T, by_gene.max().T
    return high.where(high >= -low, low)


def _frame(matrix: pd.DataFrame, where: str) -> pd.DataFrame:
    index = pd.Index(matrix.index, dtype=object).astype(str)
    if not index.is_unique:
        twice = index[index.duplicated()][0]
        raise DataError(f"duplicate sample: {twice}", where=where, fix="every sample must occur once")
    return matrix.set_axis(index).astype(float)


def _refuse_values(values: pd.DataFrame, allowed: Iterable[int], where: str) -> None:
    numbers = values.to_numpy()
    wrong = numbers[~np.isnan(numbers) & ~np.isin(numbers, list(allowed))]
    if len(wrong):
        raise DataError(
            f"{len(wrong)} values are none of {', '.join(map(str, allowed))}, for example {wrong[0]:g}",
            where=where,
            fix="give carriers as 0 and 1, and copy numbers as levels of GISTIC, not as log-ratios",
        )


def _with_sequenced(matrix: pd.DataFrame, sequenced: pd.Index, panel: Iterable[str] | None) -> pd.DataFrame:
    """What the matrix knows, and the genes that were sequenced besides."""
    genes = [ANY] if panel is None else [symbol_of(gene) for gene in panel]
    samples = matrix.index.union(sequenced)
    found = matrix.reindex(samples, fill_value=False).astype(bool)
    listed = found.columns if panel is None else found.columns.intersection(genes)
    found.loc[~samples.isin(matrix.index), listed] = True  # the matrix says nothing of them
    beside = [gene for gene in dict.fromkeys(genes) if gene not in found.columns]
    inside = np.repeat(samples.isin(sequenced)[:, None], len(beside), axis=1)
    return pd.concat([found, pd.DataFrame(inside, samples, beside)], axis=1)


# --- fusions ------------------------------------------------------------------------------------------------------


class Named(NamedTuple):
    """A fusion that a text names; the partner is empty where it names none."""

    five: str
    three: str

    @property
    def name(self) -> str:
        """As ``ETV6::RUNX1``, or the one gene."""
        return FUSED.join(filter(None, self))


def fusions_in(text: str) -> list[Named]:
    """Fusions that a text names, with current symbols."""
    found: dict[Named, None] = {}
    for phrase in _PHRASES.split(text):
        if _DENIED.search(phrase):
            continue
        pairs = [Named(symbol_of(a), symbol_of(b)) for a, b in _PAIR.findall(phrase)]
        if not pairs:
            loose = (Named(symbol_of(a), symbol_of(b)) for a, b in _LOOSE.findall(phrase))
            pairs = [pair for pair in loose if set(pair) <= fused_genes()]
        alone = [] if pairs else [symbol_of(gene) for gene in _ALONE.findall(phrase)]
        found.update(dict.fromkeys(pairs + [Named(gene, "") for gene in alone if gene in fused_genes()]))
    return list(found)


@cache
def fused_genes() -> frozenset[str]:
    """Symbols of the genes that the tables that ship name in fusions."""
    subtypes, fusions = table("subtypes"), table("fusions")
    classes = subtypes.loc[subtypes["role"] == "fusion", "symbol"].str.split(BETWEEN).explode()
    return frozenset({*classes, *fusions["gene5"], *fusions["gene3"]} - {NO_GENE})


def _texts(fusions: pd.Series | pd.DataFrame) -> Iterator[tuple[str, pd.Series]]:
    """Each column, without what says nothing."""
    columns = fusions.to_frame() if isinstance(fusions, pd.Series) else fusions
    index = pd.Index(columns.index, dtype=object).astype(str)
    if not index.is_unique:
        twice = index[index.duplicated()][0]
        raise DataError(f"duplicate sample: {twice}", where="fusions", fix="every sample must occur once")
    for name, column in columns.set_axis(index).items():
        text = column.dropna().astype(str).str.strip()
        yield str(name), text[~text.str.lower().isin(SILENT_TEXTS)]


def _of_fusions(fusions: pd.Series | pd.DataFrame) -> Iterator[pd.DataFrame]:
    for source, text in _texts(fusions):
        named = {one: fusions_in(one) for one in text.unique()}
        rows = [
            (sample, gene, FUSION, one.name if one.three else "partner not named", "", source)
            for sample, said in text.items()
            for one in named[said]
            for gene in filter(None, one)
        ]
        yield pd.DataFrame(rows, columns=_COLUMNS, dtype=object)


def _looked_at(fusions: pd.Series | pd.DataFrame) -> pd.DataFrame:
    """Which fusions, or genes with any partner, were looked for."""
    columns: dict[str, pd.Series] = {}
    texts = list(_texts(fusions))
    samples = pd.Index(in_order({sample for _, text in texts for sample in text.index}), dtype=object)
    for _, text in texts:
        named = {said: fusions_in(said) for said in text.unique()}
        classed = text[[bool(named[said]) or not _is_unnamed(said) for said in text]]
        told = pd.Series(samples.isin(classed.index), samples)
        for name in {one.name for several in named.values() for one in several}:
            columns[name] = columns[name] | told if name in columns else told
    return pd.DataFrame(columns, index=samples, dtype=bool)[sorted(columns)]


def _is_unnamed(text: str) -> bool:
    """Whether any part of the text says that no class was found: "B-ALL, other", "AML NOS"."""
    return any(_UNNAMED.fullmatch(phrase.strip()) for phrase in _PHRASES.split(text))


# --- three values -------------------------------------------------------------------------------------------------


def _of(deleted: pd.DataFrame, gene: str) -> pd.Series:
    """Whether the gene is deleted, NA where unknown."""
    return deleted[gene] if gene in deleted else pd.Series(pd.NA, deleted.index, dtype="boolean")


def _any(states: Iterable[pd.Series]) -> pd.Series:
    first, *others = states
    for state in others:
        first = first | state
    return first


def _region(deleted: pd.DataFrame, region: str, genes: list[str]) -> pd.Series:
    inside = _any(_of(deleted, gene) for gene in genes)
    if region != "PAR1":
        return inside
    return _of(deleted, region).mask(inside.fillna(False).astype(bool), True)


def looked_for(looked: Mapping[str, pd.DataFrame], kind: str, names: Iterable[str], samples: pd.Index) -> pd.Series:
    """Whether each sample was looked at, for this kind of lesion, for any of the genes or fusions.

    Parameters
    ----------
    looked : mapping of str to pandas.DataFrame
        Of :func:`measured`.
    kind : str
        One of :data:`KINDS`.
    names : iterable of str
        Genes or fusions.
    samples : pandas.Index
        Whom to tell of.

    Returns
    -------
    pandas.Series of bool
    """
    frame = looked.get(kind, pd.DataFrame())
    columns = [name if name in frame else ANY for name in names]
    told = frame[[name for name in dict.fromkeys(columns) if name in frame]].any(axis=1)
    return told.reindex(samples, fill_value=False).astype(bool)
