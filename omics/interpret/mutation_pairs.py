r"""Which genes are mutated together, and which shun each other, beyond what the samples' burden explains.

Fisher's test takes all samples to be alike. They are not: in a cohort with a few hypermutated samples any two genes
meet there, and seem to belong together. The second test lets every sample have a burden, and every gene a frequency, of
its own,

.. math:: \operatorname{logit} P(x_{ij} = 1) = \alpha_i + \beta_j,

and conditions on what is sufficient for both, the margins of the matrix: how many genes each sample has mutated, and
how many samples each gene. All matrices of the same margins are then equally likely, whatever the burdens are, and
nothing has to be estimated. They are visited by curveball trades, in which two samples pool the genes that only one of
them has and deal them out anew, each as many as before.

Steps of a chain are not independent, so the observed matrix is put at a random place of it: the chain runs from it
forwards and backwards (trades are as likely in either direction), and by symmetry the observed matrix is as likely to
have any rank among the visited as any other. The p-values are valid for a chain of any length.

References
----------
Strona et al. (2014), Nature Communications 5: the curveball. Carstens (2015), Physical Review E 91: it is uniform.
Besag and Clifford (1989), Biometrika 76: the serial test by a chain. Rasch (1960): the model.
Canisius, Martens and Wessels (2016), Genome Biology 17: spurious co-occurrence by burden.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd
from numba import njit

from omics.interpret.mutation_calls import carriers, checked, ids, often, typed
from omics.interpret.mutation_tests import log_odds
from omics.schema import UsageError
from omics.stats import fisher, q_values

TOGETHER, APART = "together", "apart"
#: Matrices visited for each pair by default, and between which numbers.
PER_PAIR, BETWEEN = 100, (20_000, 100_000)

_TEXTS = ("gene_a", "gene_b", "direction")
_COUNTS = ("n", "n_a", "n_b", "n_both")
_NUMBERS = ("expected", "log_odds", "p_fisher", "q_fisher", "expected_by_burden")
_TESTS = ("p_together", "p_apart", "p_value", "q_value")


def pairs_of_genes(
    calls: pd.DataFrame,
    sequenced: Iterable[str],
    genes: Sequence[str] | None = None,
    min_mutated: int = 5,
    permutations: int | None = None,
    seed: int = 0,
) -> pd.DataFrame:
    r"""Test every pair of genes for samples that carry both, by Fisher's test and by one that knows of burden.

    Of `B` matrices visited, and with the observed overlap `a`,

    .. math:: p_{together} = \frac{1 + \#\{a_b \ge a\}}{B + 1}, \qquad p_{apart} = \frac{1 + \#\{a_b \le a\}}{B + 1},

    and the p-value is twice the smaller, at least :math:`2 / (B + 1)`.

    Parameters
    ----------
    calls : pandas.DataFrame
        One row a call; the altering ones count. Give those of all genes, also of the ones that are not tested: they
        are the samples' burden.
    sequenced : iterable of str
        Ids of all sequenced samples.
    genes : sequence of str, optional
        Genes to test, whatever their frequency, if they have a carrier; by default all with `min_mutated` of them.
    min_mutated : int
        Fewest carriers of a gene that is tested by default.
    permutations : int, optional
        Matrices visited, `B`; by default 100 for each pair, that one pair alone can have a small q-value, but no fewer
        than 20,000 and no more than 100,000.
    seed : int
        Of the trades.

    Returns
    -------
    pandas.DataFrame
        By p-value, then by that of Fisher; empty where fewer than two genes are left. `a` and `b` are in alphabetical
        order.

        * ``gene_a, gene_b``, ``n`` samples, ``n_a, n_b, n_both`` carriers;
        * ``expected`` carriers of both if all samples are alike, ``log_odds`` (natural, one half added to each cell),
          ``p_fisher, q_fisher``;
        * ``expected_by_burden`` carriers of both, the mean of the matrices, ``direction`` (together or apart, as the
          observed number is above that, or not), ``p_together, p_apart`` one-sided, ``p_value, q_value`` two-sided.

    Raises
    ------
    UsageError
        A gene is named that occurs in no call or twice; `permutations` or `min_mutated` is not positive.
    DataError
        As :func:`~omics.interpret.mutation_calls.checked`.

    References
    ----------
    Fisher (1935); Strona et al. (2014); Besag and Clifford (1989).
    """
    for name, value in (("permutations", permutations), ("min_mutated", min_mutated)):
        if value is not None and value < 1:
            raise UsageError(f"{name} is {value}", where="pairs_of_genes", fix="at least 1")
    samples = ids(sequenced)
    table = checked(calls, samples)
    carried = carriers(table, samples)
    tested = _chosen(genes, table, carried) if genes is not None else often(carried, min_mutated).columns
    place = np.full(carried.shape[1], -1)
    place[carried.columns.get_indexer(tested)] = np.arange(len(tested))
    a, b = np.triu_indices(len(tested), k=1)
    visited = int(np.clip(PER_PAIR * len(a), *BETWEEN)) if permutations is None else permutations
    both, *burden = _conditional(carried.to_numpy(dtype=bool), place, visited, seed)
    return _with_burden(_table(tested, both, len(samples), (a, b)), *(sums[a, b] / (visited + 1) for sums in burden))


def _chosen(genes: Sequence[str], table: pd.DataFrame, carried: pd.DataFrame) -> pd.Index:
    """Genes that were named and have a carrier, sorted."""
    absent = sorted(set(genes).difference(table["gene"]))
    twice = [gene for gene, times in Counter(genes).items() if times > 1]
    if absent or twice:
        what = f"no call is of {', '.join(absent[:5])}" if absent else f"{twice[0]} is named twice"
        raise UsageError(what, where="genes", fix="name genes of the calls, each once")
    return carried.columns[carried.columns.isin(genes)]


def _table(genes: pd.Index, both: np.ndarray, n: int, pair: tuple[np.ndarray, np.ndarray]) -> pd.DataFrame:
    """Counts and Fisher's test of every pair."""
    a, b = pair
    n_a, n_b, n_both = both[a, a], both[b, b], both[a, b]
    names = genes.to_numpy(dtype=object)
    p = fisher(n_both, n_a, n_b, n)
    return pd.DataFrame(
        {
            "gene_a": names[a],
            "gene_b": names[b],
            "n": n,
            "n_a": n_a,
            "n_b": n_b,
            "n_both": n_both,
            "expected": n_a * n_b / n,
            "log_odds": log_odds(n_both, n_a - n_both, n_b - n_both, n - n_a - n_b + n_both),
            "p_fisher": p,
            "q_fisher": q_values(p),
        }
    )


def _with_burden(rows: pd.DataFrame, mean: np.ndarray, together: np.ndarray, apart: np.ndarray) -> pd.DataFrame:
    p = np.minimum(2 * np.minimum(together, apart), 1.0)
    rows = rows.assign(
        expected_by_burden=mean,
        direction=np.where(rows["n_both"] > mean, TOGETHER, APART),
        p_together=together,
        p_apart=apart,
        p_value=p,
        q_value=q_values(p),
    )
    rows = rows.sort_values(["p_value", "p_fisher", "gene_a", "gene_b"], ignore_index=True)
    return typed(rows, text=_TEXTS, integer=_COUNTS, float=(*_NUMBERS, *_TESTS))


# --- matrices of the same margins ---------------------------------------------------------------------------------


def shuffle(carried: np.ndarray, seed: int, steps: int = 10) -> np.ndarray:
    """Another matrix with the margins of this one.

    Parameters
    ----------
    carried : numpy.ndarray of bool, shape (sample, gene)
        Who carries what.
    seed : int
        Of the trades.
    steps : int
        Each is as many trades as there are samples.

    Returns
    -------
    numpy.ndarray of bool, shape (sample, gene)
        With the same number of carriers of every gene, and of genes of every sample.

    References
    ----------
    Strona et al. (2014), Nature Communications 5.
    """
    first, genes = _rows(carried)
    none = np.zeros((0, 0), dtype=np.int64)
    place = np.full(carried.shape[1], -1)
    _walk(np.random.default_rng(seed), genes, first, place, steps, none, none, none, none)
    other = np.zeros_like(carried, dtype=bool)
    other[np.repeat(np.arange(len(carried)), np.diff(first)), genes] = True
    return other


def _rows(carried: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where the genes of each sample begin, and the genes of one sample after another."""
    first = np.concatenate([[0], np.cumsum(carried.sum(axis=1))])
    return first, np.ascontiguousarray(np.nonzero(carried)[1])


def _conditional(
    carried: np.ndarray, place: np.ndarray, permutations: int, seed: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Observed overlaps; sum of those of all matrices, this included, and how many are as large, and as small."""
    first, genes = _rows(carried)
    shown = carried[:, place >= 0].astype(np.int64)
    observed = shown.T @ shown  # columns are in the order of place
    more, less, total = (np.ones_like(observed), np.ones_like(observed), observed.copy())
    rng = np.random.default_rng(seed)
    before = int(rng.integers(permutations + 1))
    for steps in (before, permutations - before):
        _walk(rng, genes.copy(), first, place, steps, observed, more, less, total)
    return observed, total, more, less


@njit(cache=True, nogil=True)
def _walk(
    rng: np.random.Generator,
    genes: np.ndarray,
    first: np.ndarray,
    place: np.ndarray,
    steps: int,
    observed: np.ndarray,
    more: np.ndarray,
    less: np.ndarray,
    total: np.ndarray,
) -> None:
    """Trade, and after as many trades as there are samples count the overlaps of the genes that have a place."""
    n, n_tested = len(first) - 1, len(observed)
    if n < 2:
        more += steps
        less += steps
        total += steps * observed
        return
    mark = np.zeros(len(place), np.int8)
    pool = np.empty(len(place), np.int64)
    here = np.empty(n_tested, np.int64)
    for _ in range(steps):
        for _ in range(n):
            one, other = int(rng.random() * n), int(rng.random() * (n - 1))
            _trade(rng, genes, first, one, other + (other >= one), mark, pool)
        overlap = np.zeros((n_tested, n_tested), np.int64)
        for sample in range(n):
            n_here = 0
            for gene in genes[first[sample] : first[sample + 1]]:
                if place[gene] >= 0:
                    here[n_here] = place[gene]
                    n_here += 1
            for a in here[:n_here]:
                for b in here[:n_here]:
                    overlap[a, b] += 1
        more += overlap >= observed
        less += overlap <= observed
        total += overlap


@njit(cache=True, nogil=True)
def _trade(
    rng: np.random.Generator,
    genes: np.ndarray,
    first: np.ndarray,
    one: int,
    other: int,
    mark: np.ndarray,
    pool: np.ndarray,
) -> None:
    """Deal out anew what only one of two samples has; `mark` is 0 before and after, and 2 for what both have."""
    mine, theirs = genes[first[one] : first[one + 1]], genes[first[other] : first[other + 1]]
    for gene in mine:
        mark[gene] = 1
    n_pool = 0
    for gene in theirs:
        if mark[gene] == 1:
            mark[gene] = 2
        else:
            pool[n_pool] = gene
            n_pool += 1
    for gene in mine:
        if mark[gene] == 1:
            pool[n_pool] = gene
            n_pool += 1
    _deal(rng, theirs, mark, pool, _deal(rng, mine, mark, pool, n_pool))
    for gene in mine:
        mark[gene] = 0


@njit(cache=True, nogil=True)
def _deal(rng: np.random.Generator, row: np.ndarray, mark: np.ndarray, pool: np.ndarray, n_pool: int) -> int:
    """Draw from the pool for each gene of the row that is not of both; how many are left."""
    for position in range(len(row)):
        if mark[row[position]] < 2:
            mark[row[position]] = 0
            drawn = int(rng.random() * n_pool)
            n_pool -= 1
            row[position], pool[drawn] = pool[drawn], pool[n_pool]
    return n_pool
