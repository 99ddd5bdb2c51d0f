"""Which gene sets follow a factor: a competitive test that knows that the genes of a set are correlated.

The genes of a process rise and fall together, whatever moves them. Where a factor happens to follow one of them it
follows all, so that a test that takes genes for independent finds sets in noise. Here the difference between the mean
of a set and that of all other genes has the variance that their correlations beside the factor give it.

References
----------
Frost, Li and Moore (2015), BioData Mining 8: principal component gene set enrichment (PCGSE).
Wu and Smyth (2012), Nucleic Acids Research 40: CAMERA, the variance inflation factor of correlated genes.
Benjamini and Hochberg (1995), Journal of the Royal Statistical Society B 57.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy.sparse import csr_array
from scipy.special import stdtr
from scipy.stats import false_discovery_control

from omics.interpret.genesets import BETWEEN, LARGEST, LISTED, SMALLEST, membership, split_symbols
from omics.schema import DataError, UsageError, refuse_duplicates

#: Columns of every table of sets that are tested on a factor or a ranking.
COLUMNS = ["factor", "set", "direction", "n_genes", "statistic", "p_value", "q_value", "leading"]
#: Statistics of a feature, and directions of a set.
STATISTICS, DIRECTIONS = ("fisher", "correlation", "weight"), ("up", "down", "two-sided")
#: Fewest samples that have both values and scores.
FEWEST_SAMPLES = 5

# share of a feature's variance beside the factor below which nothing but rounding is left
_NOTHING = 1e-12


class _Measured(NamedTuple):
    """What all factors share: features that vary and have a gene, and the sets of them.

    ``x`` (feature, sample) has rows of mean 0 and length 1, ``f`` (sample, factor) such columns, 0 where constant.
    ``feature`` are the features' names; ``pair`` are features sorted by gene, those of gene g from ``first[g]``.
    ``in_set`` is (set, feature), ``genes_in`` (set, gene).
    """

    x: np.ndarray
    f: np.ndarray
    feature: pd.Index
    pair: np.ndarray
    first: np.ndarray
    symbols: np.ndarray
    names: list[str]
    in_set: csr_array
    genes_in: csr_array


class SetTest(NamedTuple):
    """Tests of all sets on one factor.

    Attributes
    ----------
    t : numpy.ndarray, shape (set,)
        Difference of the means of the features inside and outside, by its standard error.
    p_value : numpy.ndarray, shape (direction, set)
        One row for each of :data:`DIRECTIONS`.
    outside : numpy.ndarray, shape (set,)
        Mean statistic of the features outside.
    """

    t: np.ndarray
    p_value: np.ndarray
    outside: np.ndarray


def factor_enrichment(
    values: pd.DataFrame,
    scores: pd.DataFrame,
    genes: pd.Series,
    sets: Mapping[str, Sequence[str]],
    *,
    statistic: str = "fisher",
    weights: pd.DataFrame | None = None,
    smallest: int = SMALLEST,
    largest: int = LARGEST,
    listed: int = LISTED,
) -> pd.DataFrame:
    r"""Test for every factor and set whether the set's features follow the factor more, or less, than all others.

    With :math:`z_j` the statistic of feature `j`, `m` of the `p` features inside the set and `n` samples,

    .. math::
        t = \frac{\bar z_\text{in} - \bar z_\text{out}}{s \sqrt{\max\{v,\ 1 / m + 1 / (p - m)\}}},\qquad
        v = \frac{(p - 2)\, \| \bar u_\text{in} - \bar u_\text{out} \|^2}
                 {p - m \| \bar u_\text{in} \|^2 - (p - m) \| \bar u_\text{out} \|^2},

    where `s` is the standard deviation of `z` inside and outside, pooled, and :math:`\bar u` the mean of the features'
    residuals, of length 1, after the factor was regressed out. With `R` their correlations, and `a` the weights of the
    difference (:math:`1 / m` inside, :math:`-1 / (p - m)` outside), :math:`a^\top R a` above is the variance of the
    difference, and below is what the correlations leave of :math:`s^2`: what all genes share (the depth of sequencing,
    a few genes that take most of the reads) moves neither. It is compared with Student's t of
    :math:`\min(n - 2,\ p - 2)` degrees of freedom, on either side and on both. Where no genes outside are correlated
    this is CAMERA's test, with the inflation :math:`1 + (m - 1) \bar\rho`. As only sums of residuals are needed,
    no matrix of correlations is made. Features without a gene, or that do not vary, are left out; a gap counts as the
    feature's mean. A feature of several genes is in the sets of each. "Two-sided" is a shift of the mean, up or down,
    and not some genes up and others down.

    Parameters
    ----------
    values : pandas.DataFrame
        Prepared values, (sample, feature).
    scores : pandas.DataFrame
        Factors, (sample, factor). Samples without values are left out.
    genes : pandas.Series
        Symbol(s) of each feature, ``;`` between several.
    sets : mapping of str to sequence of str
        Genes of each set.
    statistic : {"fisher", "correlation", "weight"}
        :math:`z_j`: the correlation with the factor, Fisher's transform of it, :math:`\sqrt{n - 3}` artanh, or the
        feature's weight in the factor model.
    weights : pandas.DataFrame, optional
        Weights, (feature, factor), for the statistic "weight" and for no other.
    smallest, largest : int
        Fewest and most measured genes of a set that is tested.
    listed : int
        Genes that a row lists.

    Returns
    -------
    pandas.DataFrame
        Sorted by factor, in the order of `scores`, then by p-value.

        * ``factor, set, direction`` (up, down, two-sided);
        * ``n_genes`` measured genes of the set, ``statistic`` t;
        * ``p_value``, ``q_value`` (Benjamini-Hochberg over all factors, sets and directions);
        * ``leading`` genes, ``;`` between: those that are furthest on the side of the set from the mean outside, each
          by its furthest feature.

    Raises
    ------
    UsageError
        No such statistic, weights are absent or not asked for, or no set has the right size.
    DataError
        An id occurs twice, a score or weight is not finite, fewer than five samples are common, or no gene is known.

    References
    ----------
    Frost, Li and Moore (2015), BioData Mining 8. Wu and Smyth (2012), Nucleic Acids Research 40.
    """
    _refuse(statistic, weights)
    measured = _measured(values, scores, genes, sets, smallest, largest)
    rows = []
    for k, factor in enumerate(scores.columns):
        r = np.clip(measured.x @ measured.f[:, k], -1.0, 1.0)
        z = _weight(weights, measured.feature, factor) if weights is not None else _transformed(r, statistic, measured)
        test = set_test(z, r, measured.x, measured.in_set)
        rows.append(_factor_rows(str(factor), test, z, measured, listed))
    found = pd.concat(rows, ignore_index=True)
    found["q_value"] = false_discovery_control(found["p_value"])
    keys = ["order", "p_value", "set", "direction"]
    order = np.repeat(np.arange(scores.shape[1]), [len(one) for one in rows])
    return found.assign(order=order).sort_values(keys, ignore_index=True)[COLUMNS]


def set_test(z: np.ndarray, r: np.ndarray, x: np.ndarray, in_set: csr_array) -> SetTest:
    """Test all sets on one factor; the formula is that of :func:`factor_enrichment`.

    Parameters
    ----------
    z, r : numpy.ndarray, shape (feature,)
        Statistic of each feature, and its correlation with the factor.
    x : numpy.ndarray, shape (feature, sample)
        Features of mean 0 and length 1.
    in_set : scipy.sparse.csr_array, shape (set, feature)
        1 where the feature is in the set.

    Returns
    -------
    SetTest
    """
    p, m = len(z), np.diff(in_set.indptr)
    centre = z.mean()
    z = z - centre  # so that squares lose no digits
    inside = in_set @ z / m
    outside = -inside * m / (p - m)
    difference = inside - outside
    within = np.maximum(z @ z - difference**2 * m * (p - m) / p, 0.0) / (p - 2)
    error = np.sqrt(within * np.maximum(_variance(r, x, in_set), 1 / m + 1 / (p - m)))
    t = np.divide(difference, error, out=np.zeros(len(m)), where=error > 0)
    df = min(x.shape[1] - 2, p - 2)
    up, down = stdtr(df, -t), stdtr(df, t)
    return SetTest(t, np.array([up, down, np.minimum(2 * np.minimum(up, down), 1.0)]), outside + centre)


def _variance(r: np.ndarray, x: np.ndarray, in_set: csr_array) -> np.ndarray:
    r"""Variance of the difference of means, by that within, which the correlations of residuals foretell of each set.

    The sum of residuals of length 1 is :math:`\sum_j w_j (x_j - r_j f)`, :math:`w_j = (1 - r_j^2)^{-1/2}`. As `f` has
    length 1 and :math:`f^\top x_j = r_j`, the product of two such sums is that of :math:`\sum_j w_j x_j` less that of
    :math:`\sum_j w_j r_j`.
    """
    left = 1 - r**2
    w = np.divide(1.0, np.sqrt(left), out=np.zeros_like(left), where=left > _NOTHING)
    scaled = in_set.copy()
    scaled.data = w[in_set.indices]
    total, along = scaled @ x, scaled @ r  # (set, sample), (set,)
    total_all, along_all = w @ x, w @ r
    p, m = len(r), np.diff(in_set.indptr)
    inside = (total**2).sum(axis=1) - along**2
    with_all = total @ total_all - along * along_all
    outside = total_all @ total_all - along_all**2 - 2 * with_all + inside
    between = inside / m**2 - 2 * (with_all - inside) / (m * (p - m)) + outside / (p - m) ** 2
    within = (np.count_nonzero(w) - inside / m - outside / (p - m)) / (p - 2)
    return np.divide(between, within, out=np.zeros(len(m)), where=within > _NOTHING)


def _transformed(r: np.ndarray, statistic: str, measured: _Measured) -> np.ndarray:
    if statistic == "correlation":
        return r
    return np.sqrt(measured.x.shape[1] - 3) * np.arctanh(np.clip(r, _NOTHING - 1, 1 - _NOTHING))


def _weight(weights: pd.DataFrame, features: pd.Index, factor: object) -> np.ndarray:
    """Weights of one factor; they must be there for every feature."""
    if factor not in weights.columns:
        raise UsageError(f"there are no weights of {factor}", where="weights", fix=f"one of {list(weights)}")
    weight = weights[factor].reindex(features).to_numpy(dtype=float)
    if not np.isfinite(weight).all():
        first = features[~np.isfinite(weight)][0]
        raise DataError(f"{first} has no finite weight", where="weights", fix="give weights of the same view")
    return weight


# --- what is measured ---------------------------------------------------------------------------------------------


def _refuse(statistic: str, weights: pd.DataFrame | None) -> None:
    if statistic not in STATISTICS:
        raise UsageError(f"there is no statistic {statistic}", where="statistic", fix=f"one of {STATISTICS}")
    if (statistic == "weight") != (weights is not None):
        raise UsageError(
            f"the statistic {statistic} {'needs' if weights is None else 'does not use'} weights",
            where="weights",
            fix="give weights with the statistic weight, and with no other",
        )
    if weights is not None:
        refuse_duplicates(weights.index, "feature", "weights")


def _measured(
    values: pd.DataFrame,
    scores: pd.DataFrame,
    genes: pd.Series,
    sets: Mapping[str, Sequence[str]],
    smallest: int,
    largest: int,
) -> _Measured:
    """Samples that have both, features that vary and have a gene, and sets of a size that can be tested."""
    refuse_duplicates(genes.index, "feature", "genes")
    x, f = _aligned(values, scores)
    known = genes.reindex(values.columns)
    used = x.any(axis=1) & known.notna().to_numpy() & (known.astype(str).str.strip(f" {BETWEEN}") != "").to_numpy()
    pair, gene, symbols = split_symbols(known[used])
    names, genes_in = membership(sets, symbols, smallest, largest)
    links = csr_array((np.ones(len(pair)), (gene, pair)), shape=(len(symbols), int(used.sum())))
    in_set = csr_array(genes_in @ links)
    in_set.data[:] = 1.0  # a feature of two genes of the set is in it once
    some = np.diff(in_set.indptr) < in_set.shape[1]
    if not some.any():
        raise UsageError("every set holds every feature", where="sets", fix="give the features of other genes too")
    first = np.flatnonzero(np.diff(gene, prepend=-1))
    kept = [name for name, one in zip(names, some, strict=True) if one]
    return _Measured(
        np.ascontiguousarray(x[used]),
        f,
        values.columns[used],
        pair,
        first,
        symbols,
        kept,
        csr_array(in_set[some]),
        csr_array(genes_in[some]),
    )


def _aligned(values: pd.DataFrame, scores: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Features (feature, sample) and factors (sample, factor) of the samples that have both, each of length 1."""
    for index, noun, where in (
        (values.index, "sample", "values"),
        (values.columns, "feature", "values"),
        (scores.index, "sample", "scores"),
        (scores.columns, "factor", "scores"),
    ):
        refuse_duplicates(index, noun, where)
    samples = values.index.intersection(scores.index).sort_values()
    if len(samples) < FEWEST_SAMPLES:
        raise DataError(
            f"{len(samples)} samples have both values and scores, at least {FEWEST_SAMPLES} are needed",
            where="values, scores",
            fix="give both for the same patients",
        )
    x, f = (one.loc[samples].to_numpy(dtype=float).T for one in (values, scores))
    if not np.isfinite(f).all():
        raise DataError("a score is not finite", where="scores", fix="leave the patient out, or fit the factors again")
    if np.isinf(x).any():
        raise DataError("a value is infinite", where="values", fix="prepare the view again; a gap is NaN")
    return _unit_rows(x), _unit_rows(f).T


def _unit_rows(x: np.ndarray) -> np.ndarray:
    """Rows of mean 0 and length 1, gaps at the mean; 0 where nothing varies but rounding."""
    known = ~np.isnan(x)
    filled = np.where(known, x, 0.0)
    centred = np.where(known, filled - filled.sum(axis=1, keepdims=True) / np.maximum(known.sum(axis=1), 1)[:, None], 0)
    length = np.sqrt((centred**2).sum(axis=1, keepdims=True))
    varies = length > 1e-10 * np.abs(filled).max(axis=1, keepdims=True, initial=0.0)
    return np.divide(centred, length, out=np.zeros_like(centred), where=varies)


# --- rows ---------------------------------------------------------------------------------------------------------


def _factor_rows(factor: str, test: SetTest, z: np.ndarray, measured: _Measured, listed: int) -> pd.DataFrame:
    """Rows of one factor: every set up, down and two-sided."""
    by_gene = z[measured.pair]
    top, bottom = (side.reduceat(by_gene, measured.first) for side in (np.maximum, np.minimum))
    up = _leading(top, test.outside, measured, listed)
    down = _leading(-bottom, -test.outside, measured, listed)
    both = [one if t >= 0 else other for one, other, t in zip(up, down, test.t, strict=True)]
    n_sets, size = len(measured.names), np.diff(measured.genes_in.indptr)
    return pd.DataFrame(
        {
            "factor": factor,
            "set": np.tile(np.array(measured.names, dtype=object), len(DIRECTIONS)),
            "direction": np.repeat(np.array(DIRECTIONS, dtype=object), n_sets),
            "n_genes": np.tile(size, len(DIRECTIONS)).astype(int),
            "statistic": np.tile(test.t, len(DIRECTIONS)),
            "p_value": test.p_value.ravel(),
            "leading": [*up, *down, *both],
        }
    )


def _leading(height: np.ndarray, outside: np.ndarray, measured: _Measured, listed: int) -> list[str]:
    """Highest genes of each set that are above the mean outside; equal ones in the order of their symbols."""
    order = np.argsort(-height, kind="stable")
    place = np.empty(len(order), dtype=int)
    place[order] = np.arange(len(order))
    starts = measured.genes_in.indptr
    row = np.repeat(np.arange(len(starts) - 1), np.diff(starts))
    ranked = place[measured.genes_in.indices]
    ranked = ranked[np.lexsort((ranked, row))]
    symbols, sorted_height = measured.symbols[order], height[order]
    texts = []
    for start, stop, least in zip(starts[:-1], starts[1:], outside, strict=True):
        best = ranked[start : min(stop, start + listed)]
        texts.append(BETWEEN.join(symbols[best[sorted_height[best] > least]]))
    return texts
