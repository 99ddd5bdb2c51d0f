"""Antigens on blasts as far as expression tells: how much of each, in how many patients, and how evenly.

Every statement is relative to the cohort: a value is a percentile among its patients, and none says how many molecules
a cell has. :data:`CAVEAT` belongs to every row.

References
----------
Pfister et al. (2013), Frontiers in Psychology 4: the bimodality coefficient, 5/9 for a uniform distribution.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pandas as pd
from scipy.stats import kurtosis, skew

from omics.columns import in_order
from omics.interpret.alterations import NO, YES
from omics.interpret.knowledge import symbol_of, table
from omics.interpret.lesions import MEASURED, NOT_MEASURED
from omics.interpret.mutation_calls import typed
from omics.interpret.patients import View, labels_of
from omics.schema import DataError

#: What belongs to every row.
CAVEAT = "mRNA is not surface protein: flow cytometry must confirm"
#: Percentile of the cohort up to which expression counts as low: its lowest tenth, which may still be plenty.
LOW = 10.0
#: Fewest patients of whom a spread and a shape are told.
FEWEST = 5

_KEYS = ("subtype", "gene", "antigen")
_NUMBERS = ("median_percentile", "share_above_median", "share_low", "spread", "bimodality", "bimodality_cohort")
_SAID = ("role", "modality", "agents", "status", "region", "status_date", "escape", "confirm", "statement", "evidence")
_SOURCE = ("reference", "origin", "caveat", "known")


def percentiles(expression: pd.DataFrame | None, genes: Iterable[str]) -> pd.DataFrame:
    r"""Where each patient stands in the cohort, by gene.

    .. math:: 100 \, \frac{r_{ij} - \tfrac{1}{2}}{n_j},

    :math:`r_{ij}` the rank of patient `i` among the :math:`n_j` whose gene `j` was measured, ties sharing the mean.

    Parameters
    ----------
    expression : pandas.DataFrame, shape (sample, gene), optional
        Logarithms; columns are symbols or aliases.
    genes : iterable of str
        Current symbols.

    Returns
    -------
    pandas.DataFrame, shape (sample, gene)
        NaN where not measured, the whole column where the gene was not.

    Raises
    ------
    DataError
        As :func:`expressed`.
    """
    values = expressed(expression, genes)
    return 100 * (values.rank() - 0.5) / values.notna().sum()


def expressed(expression: pd.DataFrame | None, genes: Iterable[str]) -> pd.DataFrame:
    """Expression of the genes by current symbol; NaN where not measured.

    Raises
    ------
    DataError
        A sample occurs twice, two columns are one gene, or a value is infinite.
    """
    wanted = list(dict.fromkeys(genes))
    if expression is None:
        return pd.DataFrame(columns=wanted, dtype=float)
    symbols = pd.Index([symbol_of(str(name)) for name in expression.columns], dtype=object)
    values = expression.loc[:, symbols.isin(wanted)].set_axis(symbols[symbols.isin(wanted)], axis=1).astype(float)
    values = values.set_axis(pd.Index(values.index, dtype=object).astype(str))
    for what, names in (("sample", values.index), ("gene", values.columns)):
        if not names.is_unique:
            twice = names[names.duplicated()][0]
            raise DataError(f"duplicate {what}: {twice}", where="expression", fix=f"every {what} must occur once")
    if np.isinf(values.to_numpy()).any():
        raise DataError("a value is infinite", where="expression", fix="take logarithms of counts plus one")
    return values.reindex(columns=wanted)


def antigens_view(
    expression: pd.DataFrame | None, labels: pd.Series | None = None, known: pd.DataFrame | None = None
) -> View:
    r"""Which antigens are there, in how many patients of each subtype, and how evenly.

    Parameters
    ----------
    expression : pandas.DataFrame, shape (sample, gene), optional
        Prepared logarithms of the whole cohort; without it every row says "not measured".
    labels : pandas.Series, optional
        Subtype, indexed by sample.
    known : pandas.DataFrame, optional
        Table ``antigens``, with the user's rows; by default the one that ships.

    Returns
    -------
    View
        ``subtypes``, by subtype, one row for each row of the table:

        * ``subtype, gene, antigen``;
        * ``n`` patients measured; ``median_percentile``; ``share_above_median`` of them above the median of the cohort;
          ``share_low``: at or below percentile :data:`LOW`, a tenth in the cohort, and more than that where a subtype
          has little or none;
        * ``spread``: interquartile range of the subtype by that of the cohort, below 1 where it is more homogeneous;
          ``bimodality`` of the subtype and ``bimodality_cohort``, (skewness^2 + 1) / (kurtosis + 3 (n - 1)^2 / ((n - 2)
          (n - 3))), above 5/9 where some may have it and others not; NaN below :data:`FEWEST` patients;
        * ``role, modality, agents, status, region, status_date, escape, confirm, statement, evidence, reference,
          origin, caveat`` of the table, and ``known``.

        ``patients``, by sample: ``sample, subtype, gene, antigen, percentile, low`` (yes, no, or empty), ``confirm,
        known``.

    Raises
    ------
    DataError
        As :func:`expressed`, or a sample has two labels.

    References
    ----------
    Pfister et al. (2013).
    """
    known = table("antigens") if known is None else known
    values = expressed(expression, known["symbol"])
    rank = percentiles(expression, known["symbol"])
    samples = pd.Index(in_order({*values.index, *(labels.index.astype(str) if labels is not None else ())}))
    label = labels_of(labels, samples)
    return View(_patients(rank.reindex(samples), label, known), _subtypes(values, rank, label, known))


def _patients(rank: pd.DataFrame, label: pd.Series, known: pd.DataFrame) -> pd.DataFrame:
    antigens = known.drop_duplicates(["symbol", "antigen"])[["symbol", "antigen", "confirm"]]
    rows = label.rename_axis("sample").rename("subtype").reset_index().merge(antigens, how="cross")
    rows = rows.rename(columns={"symbol": "gene"})
    places = rank.index.get_indexer(pd.Index(rows["sample"])), rank.columns.get_indexer(pd.Index(rows["gene"]))
    rows["percentile"] = rank.to_numpy(dtype=float)[places]
    rows["low"] = np.where(rows["percentile"].isna(), "", np.where(rows["percentile"] <= LOW, YES, NO))
    rows["known"] = np.where(rows["percentile"].isna(), NOT_MEASURED, MEASURED)
    rows = rows[["sample", "subtype", "gene", "antigen", "percentile", "low", "confirm", "known"]]
    text = ("sample", "subtype", "gene", "antigen", "low", "confirm", "known")
    return typed(rows, text=text, float=("percentile",))


def _subtypes(values: pd.DataFrame, rank: pd.DataFrame, label: pd.Series, known: pd.DataFrame) -> pd.DataFrame:
    genes = list(dict.fromkeys(known["symbol"]))
    names = in_order(name for name in label.unique() if name)
    rows = [
        {"subtype": name, "gene": gene, **_summary(values[gene], rank[gene], label.index[label == name])}
        for name in names
        for gene in genes
    ]
    table_ = pd.DataFrame(rows, columns=["subtype", "gene", "n", *_NUMBERS])
    found = table_.merge(known.rename(columns={"symbol": "gene"}), on="gene")
    found["known"] = np.where(found["n"] > 0, MEASURED, NOT_MEASURED)
    found = found[[*_KEYS, "n", *_NUMBERS, *_SAID, *_SOURCE]]
    return typed(found, text=(*_KEYS, *_SAID, *_SOURCE), integer=("n",), float=_NUMBERS)


def _summary(cohort: pd.Series, rank: pd.Series, members: pd.Index) -> dict[str, float]:
    """What one subtype has of one antigen."""
    cohort = cohort.dropna()
    inside = cohort[cohort.index.isin(members)]
    place = rank[inside.index]
    width = _width(cohort)
    return {
        "n": len(inside),
        "median_percentile": place.median(),
        "share_above_median": (inside > cohort.median()).mean(),
        "share_low": (place <= LOW).mean(),
        "spread": _width(inside) / width if width > 0 else np.nan,
        "bimodality": _bimodality(inside),
        "bimodality_cohort": _bimodality(cohort),
    }


def _width(values: pd.Series) -> float:
    """Interquartile range."""
    return float(values.quantile(0.75) - values.quantile(0.25)) if len(values) >= FEWEST else np.nan


def _bimodality(values: pd.Series) -> float:
    """Bimodality coefficient, of unbiased skewness and excess kurtosis."""
    n = len(values)
    if n < FEWEST or np.ptp(values.to_numpy()) == 0:
        return np.nan
    above = float(skew(values, bias=False)) ** 2 + 1
    return above / (float(kurtosis(values, bias=False)) + 3 * (n - 1) ** 2 / ((n - 2) * (n - 3)))
