"""Gene sets of any ranking of genes: gene set enrichment analysis of a list that is ranked already.

Genes are permuted, so that correlated genes are taken for independent. Where there are samples,
:func:`omics.interpret.sets.factor_enrichment` does better; this is for rankings that came without them.

References
----------
Subramanian et al. (2005), PNAS 102: gene set enrichment analysis (GSEA).
Fang, Liu and Peltz (2023), Bioinformatics 39: GSEApy.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import false_discovery_control

from omics.interpret.genesets import BETWEEN, LARGEST, LISTED, SMALLEST, membership
from omics.interpret.sets import COLUMNS
from omics.schema import DataError, UsageError, refuse_duplicates

#: What a statistic of 0 is taken for, as a share of the largest: a set of nothing but 0 has no running sum.
NEARLY_NOTHING = 1e-12


def preranked(
    rank: pd.Series,
    sets: Mapping[str, Sequence[str]],
    n_permutations: int = 1000,
    random_state: int = 0,
    *,
    smallest: int = SMALLEST,
    largest: int = LARGEST,
    listed: int = LISTED,
) -> pd.DataFrame:
    r"""Test whether the genes of a set gather at an end of a ranking, with GSEApy, which need not be installed else.

    The statistic is the normalised enrichment score: the largest deviation from 0 of

    .. math::
        \sum_{i \le j,\ i \in \text{set}} \frac{|r_i|}{\sum_{k \in \text{set}} |r_k|}
        - \sum_{i \le j,\ i \notin \text{set}} \frac{1}{p - m}

    over ranks `j`, divided by the mean of those of the same sign when genes are permuted; `m` of `p` genes are in the
    set. Its p-value is the share of these that are at least as large. A share of 0 is given as
    1 / `n_permutations`: with many sets, q-values become small only if there are more permutations. GSEApy warns of
    equal statistics on standard error; here the order of their genes is that of the symbols, and not arbitrary.

    Parameters
    ----------
    rank : pandas.Series
        Statistic of each gene, indexed by symbol; a gene without one is left out. Its name is the factor of the table.
    sets : mapping of str to sequence of str
        Genes of each set. They are given to GSEApy as they are; nothing is looked up elsewhere.
    n_permutations : int
        Permutations of genes.
    random_state : int
        Seed of the permutations.
    smallest, largest : int
        Fewest and most ranked genes of a set that is tested.
    listed : int
        Genes that a row lists.

    Returns
    -------
    pandas.DataFrame
        ``factor, set, direction`` (up or down, the end at which the set is), ``n_genes, statistic, p_value, q_value``
        (Benjamini-Hochberg over the table), ``leading``, the first genes of the leading edge; sorted by p-value.

    Raises
    ------
    UsageError
        GSEApy is not installed, there are no permutations, or no set has the right size.
    DataError
        A gene occurs twice, a statistic is infinite or all are 0, or no gene is known.

    References
    ----------
    Subramanian et al. (2005), PNAS 102. Fang, Liu and Peltz (2023), Bioinformatics 39.
    """
    gseapy = _gseapy()
    if n_permutations < 1:
        raise UsageError(f"{n_permutations} permutations", where="n_permutations", fix="ask for one at least")
    ranked = _ranked(rank)
    # GSEApy capitalises symbols that it takes for human: it is given codes, in an order that only the ranking decides
    codes = {gene: f"g{place}" for place, gene in enumerate(ranked.index)}
    symbols = np.array(sorted(codes), dtype=object)
    names, member = membership(sets, symbols, smallest, largest)
    within = np.split(symbols[member.indices], member.indptr[1:-1])
    result = gseapy.prerank(
        rnk=ranked.rename(codes),
        gene_sets={f"s{i}": [codes[gene] for gene in genes] for i, genes in enumerate(within)},
        outdir=None,
        min_size=1,
        max_size=len(ranked),
        permutation_num=n_permutations,
        weight=1.0,
        ascending=None,
        threads=1,
        no_plot=True,
        seed=random_state,
    ).res2d
    sizes = np.diff(member.indptr)
    return _tidy(result, str(rank.name or ""), names, sizes, ranked.index, n_permutations, listed)


def _gseapy() -> Any:
    try:
        return importlib.import_module("gseapy")
    except ImportError as fault:
        raise UsageError(
            "a ranking is tested by GSEApy, which is not installed", where="gseapy", fix="pip install 'gseapy>=1.3'"
        ) from fault


def _ranked(rank: pd.Series) -> pd.Series:
    """Genes with a statistic, the largest first; equal ones in the order of their symbols."""
    known = rank.astype(float).dropna()
    refuse_duplicates(known.index, "gene", "rank")
    if np.isinf(known).any():
        raise DataError(
            f"the statistic of {known.index[np.isinf(known)][0]} is infinite", where="rank", fix="leave the gene out"
        )
    largest = known.abs().max()
    if not largest > 0:
        raise DataError("no gene has a statistic other than 0", where="rank", fix="rank the genes by something")
    known = known.sort_index().sort_values(ascending=False, kind="stable")
    return known.where(known != 0, NEARLY_NOTHING * largest)


def _tidy(
    result: pd.DataFrame,
    factor: str,
    names: list[str],
    sizes: np.ndarray,
    ranked: pd.Index,
    n_permutations: int,
    listed: int,
) -> pd.DataFrame:
    """GSEApy's table in our columns, codes as symbols again."""
    place = result["Term"].str[1:].astype(int).to_numpy()
    score = result["NES"].to_numpy(dtype=float)
    p = np.clip(result["NOM p-val"].to_numpy(dtype=float), 1 / n_permutations, 1.0)
    edges = [[ranked[int(code[1:])] for code in text.split(BETWEEN) if code] for text in result["Lead_genes"]]
    table = pd.DataFrame(
        {
            "factor": factor,
            "set": np.array(names, dtype=object)[place],
            "direction": np.where(score >= 0, "up", "down").astype(object),
            "n_genes": sizes[place].astype(int),
            "statistic": score,
            "p_value": p,
            "q_value": false_discovery_control(p),
            "leading": [BETWEEN.join(edge[:listed]) for edge in edges],
        }
    )
    return table.sort_values(["p_value", "set"], ignore_index=True)[COLUMNS]
