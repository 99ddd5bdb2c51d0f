"""Mutations of a cohort: who carries which, how many, in how many clones, and who has more of them.

The calls are as :mod:`omics.interpret.mutation_calls` says. All shares are of the samples that were sequenced.

References
----------
Gu et al. (2016), Bioinformatics 32: oncoprints, in the order of memo sort. Mroz and Rocco (2013), Oral Oncology 49.
Fisher (1935), Journal of the Royal Statistical Society 98. Benjamini and Hochberg (1995), JRSS B 57.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
import pandas as pd

from omics.columns import in_order
from omics.interpret.mutation_calls import carriers, checked, ids, often, typed
from omics.interpret.patients import labels_of
from omics.schema import DataError, UsageError
from omics.stats import fisher, odds_ratio, q_values

#: What a gene with several altering variants in one sample shows.
MULTI_HIT = "Multi_Hit"
#: Makes the median absolute deviation of normal values their standard deviation.
MAD_SCALE = 1.4826
#: Names of the two groups of patients whose event is known.
EVENT, NO_EVENT = "event", "no event"

_ENRICHED = ("subtype", "gene"), ("n_inside", "n_cluster", "n_mutated", "n")
_SHARES = ("share_inside", "share_outside", "effect", "p_value", "q_value")


class Oncoprint(NamedTuple):
    """What an oncoprint draws.

    Attributes
    ----------
    matrix : pandas.DataFrame of str, shape (gene, sample)
        Class of the altering call, :data:`MULTI_HIT` where there are several, empty where there is none.
    cells : pandas.DataFrame
        The same, one row for each that is not empty, in the order of the drawing: ``gene, sample, subtype,
        classification, n_calls``.
    genes : pandas.DataFrame
        ``gene, n_mutated, n`` (sequenced), ``share, n_calls``, the most frequent gene first.
    samples : pandas.DataFrame
        ``sample, subtype`` (empty where unknown), ``n_calls`` (altering, of all genes), in the order of the drawing.
    """

    matrix: pd.DataFrame
    cells: pd.DataFrame
    genes: pd.DataFrame
    samples: pd.DataFrame


def oncoprint(
    calls: pd.DataFrame, sequenced: Iterable[str], labels: pd.Series | None = None, top: int = 30
) -> Oncoprint:
    r"""Matrix of the most frequent genes, genes by frequency and samples by memo sort within their subtype.

    Memo sort puts the carriers of the first gene first, among them those of the second, and so on: samples fall by

    .. math:: \sum_{j=1}^{J} 2^{J-j} x_{ij},

    :math:`x_{ij}` 1 if sample `i` carries gene `j`. Ties, of genes and of samples, go by name; subtypes are in natural
    order, samples without one last.

    Parameters
    ----------
    calls : pandas.DataFrame
        One row a call.
    sequenced : iterable of str
        Ids of all sequenced samples.
    labels : pandas.Series, optional
        Subtype, indexed by sample; of samples that were not sequenced it is not looked at.
    top : int
        Most genes shown.

    Returns
    -------
    Oncoprint

    Raises
    ------
    UsageError
        `top` is not positive.
    DataError
        As :func:`~omics.interpret.mutation_calls.checked`, or a sample has two labels.

    References
    ----------
    Gu et al. (2016).
    """
    if top < 1:
        raise UsageError(f"top is {top}", where="oncoprint", fix="show at least one gene")
    samples = ids(sequenced)
    altering = checked(calls, samples).query("altering")
    genes = _frequencies(altering, len(samples)).head(top).reset_index(drop=True)
    shown = pd.Index(genes["gene"])
    subtype = labels_of(labels, samples)
    order = _memo_sort(carriers(altering, samples, shown), subtype)
    cells = _cells(altering[altering["gene"].isin(shown)])
    rows, columns = shown.get_indexer(pd.Index(cells["gene"])), order.get_indexer(pd.Index(cells["sample"]))
    matrix = np.full((len(shown), len(order)), "", dtype=object)
    matrix[rows, columns] = cells["classification"]
    cells = cells.assign(subtype=subtype[cells["sample"]].to_numpy(dtype=object)).iloc[np.lexsort((columns, rows))]
    counts = altering["sample"].value_counts().reindex(order, fill_value=0).to_numpy()
    table = pd.DataFrame({"sample": order, "subtype": subtype[order].to_numpy(dtype=object), "n_calls": counts})
    cells = cells[["gene", "sample", "subtype", "classification", "n_calls"]].reset_index(drop=True)
    return Oncoprint(
        pd.DataFrame(matrix, shown.rename("gene"), order.rename("sample")),
        typed(cells, text=("gene", "sample", "subtype", "classification"), integer=("n_calls",)),
        genes,
        typed(table, text=("sample", "subtype"), integer=("n_calls",)),
    )


def _frequencies(altering: pd.DataFrame, n: int) -> pd.DataFrame:
    """Genes with a carrier, the most frequent first."""
    table = altering.groupby("gene").agg(n_mutated=("sample", "nunique"), n_calls=("sample", "size")).reset_index()
    table = table.assign(n=n, share=table["n_mutated"] / n).sort_values(["n_mutated", "gene"], ascending=[False, True])
    table = table[["gene", "n_mutated", "n", "share", "n_calls"]]
    return typed(table, text=("gene",), integer=("n_mutated", "n", "n_calls"), float=("share",))


def _cells(altering: pd.DataFrame) -> pd.DataFrame:
    """What each sample shows for each gene, and of how many calls."""
    table = altering.groupby(["gene", "sample"], as_index=False).agg(
        classification=("classification", "first"), n_calls=("classification", "size")
    )
    return table.assign(classification=table["classification"].mask(table["n_calls"] > 1, MULTI_HIT))


def _memo_sort(carried: pd.DataFrame, subtype: pd.Series) -> pd.Index:
    """Samples in the order of the drawing."""
    names = [*in_order(name for name in subtype.unique() if name), ""]
    group = pd.Index(names).get_indexer(pd.Index(subtype))
    keys = (*(~carried.to_numpy(dtype=bool)).T[::-1], group)  # the last key counts most; ties stay as they are, by id
    return carried.index[np.lexsort(keys)]


def burden(calls: pd.DataFrame, sequenced: Iterable[str], megabases: float | None = None) -> pd.DataFrame:
    """How many mutations each sample has.

    Parameters
    ----------
    calls : pandas.DataFrame
        One row a call.
    sequenced : iterable of str
        Ids of all sequenced samples: one without a call has 0.
    megabases : float, optional
        Size of what was sequenced well enough to call.

    Returns
    -------
    pandas.DataFrame
        By sample: ``sample, n`` (all calls), ``n_non_silent`` (those that alter a gene), ``per_megabase,
        non_silent_per_megabase`` (NaN without a size).

    Raises
    ------
    UsageError
        The size is not positive.
    DataError
        As :func:`~omics.interpret.mutation_calls.checked`.
    """
    if megabases is not None and not megabases > 0:
        raise UsageError(f"megabases is {megabases}", where="burden", fix="a whole exome has 30 to 50")
    samples = ids(sequenced)
    table = checked(calls, samples)
    found = pd.DataFrame({"sample": samples})
    for name, rows in (("n", table), ("n_non_silent", table[table["altering"]])):
        found[name] = rows["sample"].value_counts().reindex(samples, fill_value=0).to_numpy()
    size = np.nan if megabases is None else megabases
    found = found.assign(per_megabase=found["n"] / size, non_silent_per_megabase=found["n_non_silent"] / size)
    floats = ("per_megabase", "non_silent_per_megabase")
    return typed(found, text=("sample",), integer=("n", "n_non_silent"), float=floats)


def math_score(
    calls: pd.DataFrame, sequenced: Iterable[str] | None = None, min_variants: int = 5, min_vaf: float = 0.0
) -> pd.DataFrame:
    r"""Mutant-allele tumour heterogeneity of each sample: how widely its allele fractions differ.

    .. math:: \mathrm{MATH} = 100 \cdot \frac{1.4826\, \operatorname{median}_v |f_v - \tilde f|}{\tilde f},

    :math:`f_v` the variant allele fractions, :math:`\tilde f` their median. Silent variants mark clones as well as
    others, and count. Copy number is not known here: variants of lost or gained arms raise the score, as clones do.

    Parameters
    ----------
    calls : pandas.DataFrame
        One row a call, with ``vaf``, or ``t_alt_count`` and ``t_ref_count``; a call of unknown fraction is left out.
    sequenced : iterable of str, optional
        Ids of all sequenced samples; by default those that have a call.
    min_variants : int
        Fewest variants of a sample that has a score.
    min_vaf : float
        Fractions that do not exceed it are left out: 0 is what was called elsewhere, and not seen in these reads.

    Returns
    -------
    pandas.DataFrame
        By sample: ``sample, n`` (variants), ``median_vaf, math``; the last two NaN where there are too few.

    Raises
    ------
    UsageError
        The calls have neither fractions nor counts of reads, or a minimum is impossible.
    DataError
        As :func:`~omics.interpret.mutation_calls.checked`.

    References
    ----------
    Mroz and Rocco (2013), Oral Oncology 49.
    """
    if not ("vaf" in calls or {"t_alt_count", "t_ref_count"} <= set(calls.columns)):
        raise UsageError("no allele fractions", where="calls", fix="give vaf, or t_alt_count and t_ref_count")
    if min_variants < 1 or not 0 <= min_vaf < 1:
        raise UsageError(
            f"min_variants is {min_variants}, min_vaf {min_vaf}", where="math_score", fix="at least 1, and 0 to 1"
        )
    samples = None if sequenced is None else ids(sequenced)
    table = checked(calls, samples)
    shown = pd.Index(sorted(table["sample"].unique()), dtype=object) if samples is None else samples
    vaf = table.loc[table["vaf"] > min_vaf].groupby("sample")["vaf"]
    n, median = vaf.size(), vaf.median()
    mad = vaf.agg(lambda values: (values - values.median()).abs().median()).astype(float)
    scores = pd.DataFrame({"median_vaf": median, "math": 100 * MAD_SCALE * mad / median}).where(n >= min_variants)
    found = pd.DataFrame({"sample": shown, "n": n.reindex(shown, fill_value=0).to_numpy()})
    found[["median_vaf", "math"]] = scores.reindex(shown).to_numpy(dtype=float)
    return typed(found, text=("sample",), integer=("n",), float=("median_vaf", "math"))


def enriched(calls: pd.DataFrame, sequenced: Iterable[str], labels: pd.Series, min_mutated: int = 3) -> pd.DataFrame:
    """Test every gene in every subtype against all other samples, by Fisher's exact test.

    The least number of carriers is counted over all subtypes together, and so says nothing of where they are: the
    rest of the table is a family of its own right.

    Parameters
    ----------
    calls : pandas.DataFrame
        One row a call; the altering ones count.
    sequenced : iterable of str
        Ids of all sequenced samples.
    labels : pandas.Series
        Subtype, indexed by sample. Samples without one, or not sequenced, are left out.
    min_mutated : int
        Fewest carriers, among the samples tested, of a gene that is tested.

    Returns
    -------
    pandas.DataFrame
        Sorted by p-value within the subtype; empty where there is one subtype, or no such gene.

        * ``subtype, gene``;
        * ``n_inside`` carriers in the subtype, ``n_cluster`` samples of it, ``n_mutated`` carriers, ``n`` samples;
        * ``share_inside, share_outside`` of carriers, ``effect`` (odds ratio, infinite where only its divisor is 0),
          ``p_value``, ``q_value`` (Benjamini-Hochberg over the whole table).

    Raises
    ------
    UsageError
        `min_mutated` is not positive.
    DataError
        As :func:`~omics.interpret.mutation_calls.checked`; a sample has two labels, or no sequenced sample has one.

    References
    ----------
    Fisher (1935); Benjamini and Hochberg (1995).
    """
    if min_mutated < 1:
        raise UsageError(f"min_mutated is {min_mutated}", where="enriched", fix="a gene has at least one carrier")
    samples = ids(sequenced)
    carried = carriers(checked(calls, samples), samples)
    label = labels_of(labels, samples)
    label = label[label != ""]
    if label.empty:
        raise DataError("no sequenced sample has a label", where="labels", fix="are the ids those of the calls?")
    return _tested(often(carried.loc[label.index], min_mutated), label)


def _tested(carried: pd.DataFrame, label: pd.Series) -> pd.DataFrame:
    """Fisher's test of every subtype and gene."""
    names, n = in_order(label.unique()), len(label)
    names = names if len(names) > 1 else []
    member = np.equal.outer(np.array(names, dtype=object), label.to_numpy(dtype=object)).astype(int)
    inside = member.reshape(len(names), n) @ carried.to_numpy(dtype=int)
    shape = inside.shape
    cluster = np.broadcast_to(member.sum(axis=-1).reshape(-1, 1), shape).ravel()
    mutated = np.broadcast_to(carried.to_numpy(dtype=int).sum(axis=0), shape).ravel()
    order = np.repeat(np.arange(len(names)), shape[1])
    a, outside = inside.ravel(), n - cluster
    rows = pd.DataFrame(
        {
            "subtype": np.array(names, dtype=object)[order],
            "gene": np.tile(carried.columns.to_numpy(dtype=object), len(names)),
            "n_inside": a,
            "n_cluster": cluster,
            "n_mutated": mutated,
            "n": n,
            "share_inside": a / cluster,
            "share_outside": (mutated - a) / outside,
            "effect": odds_ratio(a, cluster - a, mutated - a, outside - mutated + a),
            "p_value": fisher(a, cluster, mutated, n),
        }
    )
    rows["q_value"] = q_values(rows["p_value"].to_numpy())
    rows = rows.assign(order=order).sort_values(["order", "p_value", "gene"], ignore_index=True)
    return typed(rows, text=_ENRICHED[0], integer=_ENRICHED[1], float=_SHARES)


def with_event(calls: pd.DataFrame, sequenced: Iterable[str], event: pd.Series, min_mutated: int = 3) -> pd.DataFrame:
    """Test every gene for carriers among patients with an event, such as relapse, against those without.

    The event is a class here: when it came, and how long others were followed, does not count, and a patient who was
    followed too briefly to tell is best given as unknown.

    Parameters
    ----------
    calls : pandas.DataFrame
        One row a call; the altering ones count.
    sequenced : iterable of str
        Ids of all sequenced samples.
    event : pandas.Series of bool
        Whether the patient had it, indexed by sample; unknown ones, and those not sequenced, are left out.
    min_mutated : int
        Fewest carriers, among the samples tested, of a gene that is tested.

    Returns
    -------
    pandas.DataFrame
        By p-value: as :func:`enriched`, inside being the patients with the event, without ``subtype``; empty where
        all had it, or none.

    Raises
    ------
    UsageError
        `min_mutated` is not positive.
    DataError
        As :func:`enriched`, or an event is neither true nor false.

    References
    ----------
    Fisher (1935); Benjamini and Hochberg (1995).
    """
    known = event.dropna()
    if not known.isin([False, True]).all():
        wrong = known[~known.isin([False, True])].iloc[0]
        raise DataError(f"event {wrong} is neither true nor false", where="event", fix="compare codes, == 1 say")
    label = known.astype(bool).map({True: EVENT, False: NO_EVENT}).astype(object)
    table = enriched(calls, sequenced, label, min_mutated)
    table = table[table["subtype"] == EVENT].reset_index(drop=True)  # the other half of the table is its mirror
    return table.assign(q_value=q_values(table["p_value"].to_numpy())).drop(columns="subtype")
