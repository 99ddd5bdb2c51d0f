"""Gene sets of selected CpGs, with the bias towards genes of many probes taken off.

A gene with a hundred probes on the array is hit by a selection of CpGs that means nothing, and genes of development
and of neurons have hundreds: untreated, any list of CpGs is "enriched" for them.

References
----------
Geeleher et al. (2013), Bioinformatics 29: the bias.
Phipson, Maksimovic and Oshlack (2016), Bioinformatics 32: missMethyl, gometh.
Maksimovic, Oshlack and Phipson (2021), Genome Biology 22: CpGs of several genes.
Young et al. (2010), Genome Biology 11: goseq, the same for long transcripts.
Wallenius (1963), Stanford University: the noncentral hypergeometric distribution.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from scipy.optimize import brentq
from scipy.sparse import csc_array, csr_array
from scipy.stats import false_discovery_control, nchypergeom_wallenius
from sklearn.isotonic import IsotonicRegression

from omics.interpret.genesets import LARGEST, SMALLEST, membership, split_symbols
from omics.schema import DataError, refuse_duplicates

#: Columns of :func:`cpg_enrichment`.
COLUMNS = ["set", "n_genes", "n_hit", "expected", "p_value", "q_value"]
#: Bins of genes by number of probes: at most so many, with at least so many genes.
MOST_BINS, FEWEST_GENES = 30, 50
#: Hits that a bin is given beforehand, in the proportion that a random selection would have.
PRIOR = 5.0


def cpg_enrichment(
    selected: pd.Index,
    all_cpgs: pd.Series,
    sets: Mapping[str, Sequence[str]],
    *,
    correct: bool = True,
    smallest: int = SMALLEST,
    largest: int = LARGEST,
) -> pd.DataFrame:
    r"""Test whether selected CpGs hit the genes of a set more often than their number of probes explains.

    A gene is hit if one of its CpGs is selected. :func:`hit_probability` says how likely that is for a gene of so many
    probes. With :math:`\bar p_\text{in}` and :math:`\bar p_\text{out}` its mean inside and outside the set, the hits
    inside follow Wallenius' noncentral hypergeometric distribution with odds

    .. math:: \omega = \frac{\log(1 - \bar p_\text{in})}{\log(1 - \bar p_\text{out})},

    which gives the set the expected number of hits that its probabilities sum to. (goseq and gometh take
    :math:`\bar p_\text{in} / \bar p_\text{out}`: the same where hits are rare, too small where a gene of many probes
    is nearly always hit.) A selected CpG of several genes of one set is shared out among them, and the number of hits
    rounded down: one CpG in a cluster of genes that share it is one hit.

    Parameters
    ----------
    selected : pandas.Index
        CpGs that were selected; a repeated one counts once.
    all_cpgs : pandas.Series
        Gene symbols, ``;`` between several, of every CpG that could have been selected; missing or empty where it has
        none. What is not on the list, such as a CpG that a filter removed, must not be given.
    sets : mapping of str to sequence of str
        Genes of each set.
    correct : bool
        False takes every gene for equally likely: the hypergeometric test, for comparison.
    smallest, largest : int
        Fewest and most genes with a CpG of a set that is tested.

    Returns
    -------
    pandas.DataFrame
        ``set, n_genes`` (with a CpG), ``n_hit, expected``, ``p_value`` (of as many hits or more), ``q_value``
        (Benjamini-Hochberg over the table); sorted by p-value.

    Raises
    ------
    UsageError
        No set has the right size.
    DataError
        A CpG of the list occurs twice, a selected one is not on it, none that is selected has a gene, or no gene of
        any set is known.

    References
    ----------
    Geeleher et al. (2013), Bioinformatics 29. Phipson, Maksimovic and Oshlack (2016), Bioinformatics 32.
    """
    refuse_duplicates(all_cpgs.index, "CpG", "all_cpgs")
    unknown = selected.difference(all_cpgs.index)
    if len(unknown):
        raise DataError(
            f"{len(unknown):,} selected CpGs are not among all CpGs, as {unknown[0]}",
            where="selected",
            fix="give the genes of every CpG that could have been selected",
        )
    cpg, gene, symbols = split_symbols(all_cpgs)
    chosen = all_cpgs.index.isin(selected)[cpg]
    if not chosen.any():
        raise DataError("no selected CpG has a gene", where="selected", fix="select more CpGs, or check the genes")
    names, member = membership(sets, symbols, smallest, largest)
    probes = np.bincount(gene, minlength=len(symbols))
    hit = np.bincount(gene[chosen], minlength=len(symbols)) > 0
    probability = hit_probability(probes, hit) if correct else np.full(len(symbols), hit.mean())
    links = csc_array((np.ones(chosen.sum()), (cpg[chosen], gene[chosen])), shape=(len(all_cpgs), len(symbols)))
    size, n_hit, expected = np.diff(member.indptr), _shared_hits(member, links), member @ probability
    odds = _odds(expected / size, (probability.sum() - expected) / (len(symbols) - size))
    p = upper_tail(n_hit, size, odds, len(symbols), int(hit.sum()), expected)
    columns = (np.array(names, dtype=object), size.astype(int), n_hit, expected, p, false_discovery_control(p))
    table = pd.DataFrame(dict(zip(COLUMNS, columns, strict=True)))
    return table.sort_values(["p_value", "set"], ignore_index=True)


def _shared_hits(member: csr_array, links: csc_array) -> np.ndarray:
    """Genes of each set that are hit, a CpG of several of them shared out; whole hits."""
    hits = np.zeros(member.shape[0], dtype=int)
    for row in range(member.shape[0]):
        genes = member.indices[member.indptr[row] : member.indptr[row + 1]]
        part = links[:, genes]
        if part.nnz:
            times = np.unique(part.indices, return_inverse=True, return_counts=True)
            share = 1 / times[2][times[1]]
            column = np.repeat(np.arange(len(genes)), np.diff(part.indptr))
            whole = np.minimum(np.bincount(column, weights=share), 1.0).sum()
            hits[row] = int(whole + 1e-9)  # three thirds are one
    return hits


def _odds(inside: np.ndarray, outside: np.ndarray) -> np.ndarray:
    inside, outside = (np.clip(one, 1e-12, 1 - 1e-12) for one in (inside, outside))
    return np.asarray(np.log1p(-inside) / np.log1p(-outside))


# --- how likely a gene is hit -------------------------------------------------------------------------------------


def hit_probability(probes: np.ndarray, hit: np.ndarray) -> np.ndarray:
    r"""Probability that a gene is hit, as a function of its number of probes that never falls.

    CpGs that are selected at random hit a gene of `k` probes with probability :math:`1 - e^{-\lambda k}`. Genes are
    binned by `k`; the hits of a bin are compared with those of this curve, and the probability corrected by

    .. math:: \frac{\text{hits} + a}{\text{hits of the curve} + a}

    with `a` = 5, so that few hits leave the curve as it is. The hazards :math:`-\log(1 - p)` of the bins are made
    monotone by isotonic regression, interpolated between bins on logarithmic scales, taken as proportional to `k`
    beyond the first and the last, and scaled so that the probabilities sum to the number of hits.

    Parameters
    ----------
    probes : numpy.ndarray of int, shape (gene,)
        CpGs of each gene, 1 or more.
    hit : numpy.ndarray of bool, shape (gene,)
        Whether one of them is selected.

    Returns
    -------
    numpy.ndarray, shape (gene,)

    References
    ----------
    Young et al. (2010), Genome Biology 11: the probability weighting function.
    """
    n_hit = int(hit.sum())
    if n_hit in (0, len(hit)):
        return hit.astype(float)
    k = probes.astype(float)
    rate = _scale(k, n_hit)
    curve = -np.expm1(-rate * k)
    edges = np.unique(np.quantile(k, np.linspace(0, 1, max(1, min(MOST_BINS, len(k) // FEWEST_GENES)) + 1)[1:-1]))
    code = np.searchsorted(edges, k, side="left")
    code = np.unique(code, return_inverse=True)[1]
    n, hits, likely = (np.bincount(code, weights=one) for one in (np.ones(len(k)), hit, curve))
    centre = -np.log1p(-likely / n) / rate  # probes for which the curve gives the bin's mean
    p = np.minimum(likely / n * (hits + PRIOR) / (likely + PRIOR), 1 - 0.5 / (n + 1))
    log_hazard = IsotonicRegression().fit_transform(np.log(centre), np.log(-np.log1p(-p)), sample_weight=n)
    log_k = np.log(k)
    inner = np.clip(log_k, np.log(centre[0]), np.log(centre[-1]))
    hazard = np.exp(np.interp(log_k, np.log(centre), log_hazard) + log_k - inner)
    return np.asarray(-np.expm1(-_scale(hazard, n_hit) * hazard))


def _scale(hazard: np.ndarray, total: int) -> float:
    """The number by which hazards are to be multiplied that the probabilities may sum to `total`."""
    low = np.log(total / hazard.sum()) - 1e-9  # as 1 - exp(-h) <= h

    def excess(log_scale: float) -> float:
        return float(-np.expm1(-np.exp(log_scale) * hazard).sum()) - total

    high = low + 1.0
    while excess(high) < 0:
        high += 1.0
    return float(np.exp(brentq(excess, low, high, xtol=1e-12)))


def upper_tail(
    n_hit: np.ndarray, size: np.ndarray, odds: np.ndarray, n_genes: int, n_drawn: int, expected: np.ndarray
) -> np.ndarray:
    r"""Probability of as many hits or more: the sum of Wallenius' probabilities, so that small ones keep their digits.

    Parameters
    ----------
    n_hit, size : numpy.ndarray of int, shape (set,)
        Hits inside, and genes of the set.
    odds : numpy.ndarray, shape (set,)
        Odds of a gene inside against one outside.
    n_genes, n_drawn : int
        All genes, and all that are hit.
    expected : numpy.ndarray, shape (set,)
        Hits expected inside; terms more than ten standard deviations beyond this, and the observed, are left out.

    Returns
    -------
    numpy.ndarray, shape (set,)
    """
    most, least = np.minimum(size, n_drawn), np.maximum(n_hit, n_drawn - (n_genes - size))
    reach = np.ceil(np.maximum(expected, least) + 10 * np.sqrt(expected) + 10).astype(int)
    count = np.maximum(np.minimum(most, reach) - least, 0) + 1
    row, starts = np.repeat(np.arange(len(size)), count), np.concatenate([[0], np.cumsum(count)[:-1]])
    k = least[row] + np.arange(len(row)) - starts[row]
    p = nchypergeom_wallenius.pmf(k, n_genes, size[row], n_drawn, odds[row])
    tail = np.minimum(np.add.reduceat(p, starts), 1.0)
    return np.where(n_hit <= np.maximum(n_drawn - (n_genes - size), 0), 1.0, tail)
