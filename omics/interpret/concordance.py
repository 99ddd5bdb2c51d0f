"""Genes whose methylation and expression move together: across subtypes, and among the patients of one subtype.

Two features that differ between subtypes correlate over all patients, whatever they have to do with each other. What
is tested is therefore the correlation within the subtypes.

References
----------
Spearman (1904), American Journal of Psychology 15.
van Elteren (1960), Bulletin of the International Statistical Institute 37: ranks within strata.
Jones (2012), Nature Reviews Genetics 13: methylation of promoters and of gene bodies.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import dask
import dask.array as da
import numpy as np
import pandas as pd
import xarray as xr
from scipy.special import stdtr
from scipy.stats import rankdata

from omics.blocks import each, features_per_block, here, slices
from omics.columns import as_levels
from omics.interpret.genesets import split_symbols
from omics.schema import DataError, UsageError, refuse_duplicates
from omics.stats import q_values

#: Columns of :func:`concordant_pairs`.
TEXT, NUMBERS = ("gene", "cpg", "feature", "subtype"), ("r", "r_within", "p_value", "q_value")
DIFFERENCES = ("difference_methylation", "difference_expression")
COLUMNS = [*TEXT, *DIFFERENCES, "n", *NUMBERS, "direction"]
#: Whether methylation and expression of the subtype differ from the rest in the same direction.
OPPOSITE, SAME = "opposite", "same"


def concordant_pairs(
    methylation: xr.DataArray,
    expression: xr.DataArray,
    labels: pd.Series,
    differential_methylation: xr.Dataset,
    differential_expression: xr.Dataset,
    *,
    level: float = 0.05,
) -> pd.DataFrame:
    r"""Correlate each CpG with the expression of its gene, where both differ in one subtype.

    A pair is looked at if both have a q-value below `level` in the same subtype. Over all patients it then correlates
    by its selection, so that ``r``, Spearman's correlation of all, only describes. Within subtype `k`, of :math:`n_k`
    patients with both values, ranks are taken anew, and with their correlations :math:`\rho_k`

    .. math:: r_w = \frac{\sum_k (n_k - 1)\, \rho_k}{\sum_k (n_k - 1)}

    has mean 0 and variance :math:`1 / (N - K)` where the two are independent within each of the K subtypes, however
    means and spreads differ between them. :math:`r_w \sqrt{(N - K - 1) / (1 - r_w^2)}` is compared with Student's t of
    `N - K - 1` degrees of freedom. A subtype in which one of the two is constant, or that has a single patient, does
    not count. The selection is by means, and has no say in ranks within subtypes.

    The signs are reported, not judged: a methylated promoter goes with low expression, a methylated gene body often
    with high expression, and where a CpG lies may not be known.

    Parameters
    ----------
    methylation, expression : xarray.DataArray, shape (sample, feature)
        Prepared values with a coordinate ``gene``, ``;`` between several symbols; NumPy or dask. NaN is missing.
        Methylation is read once, block by block; of expression, the genes of selected pairs are held in memory.
    labels : pandas.Series
        Subtype of each patient, indexed by sample; a patient without one is left out.
    differential_methylation, differential_expression : xarray.Dataset
        What :func:`~omics.interpret.differential.differential` returned for the two and these labels.
    level : float
        Largest q-value of either, below 1.

    Returns
    -------
    pandas.DataFrame
        One row a gene, CpG and measured feature of the gene, the smallest p-value first:

        * ``gene, cpg, feature``; ``subtype``, the one in which both differ most: where the smaller of the two
          statistics is largest, of those in which both are below `level`;
        * ``difference_methylation, difference_expression`` of that subtype;
        * ``n`` patients with both values and a subtype, ``r`` over all of them, ``r_within``, ``p_value`` of that,
          two-sided, ``q_value`` (Benjamini-Hochberg over the table); NaN where nothing varies;
        * ``direction``, whether the two differences have opposite signs or the same.

    Raises
    ------
    UsageError
        `level` is not between 0 and 1.
    DataError
        A layer has no genes, a sample occurs twice, no patient has both layers and a label, or a feature that was
        tested is not in the layer.
    """
    if not 0 < level < 1:
        raise UsageError(f"level is {level}", where="level", fix="a q-value between 0 and 1")
    layers = {"methylation": methylation, "expression": expression}
    layers = {name: _checked(layer, name) for name, layer in layers.items()}
    found = {"methylation": differential_methylation, "expression": differential_expression}
    rows = _patients(layers, labels)
    tested = found["expression"]["subtype"].values
    subtypes = [name for name in found["methylation"]["subtype"].values if name in tested]
    tests = {name: _aligned(layers[name], found[name], subtypes, name) for name in layers}
    pairs = _selected(layers, tests, subtypes, level)
    r, r_within, p, n = _correlated(layers, rows, pairs)
    table = pairs.assign(n=n, r=r, r_within=r_within, p_value=p, q_value=q_values(p))
    opposite = np.sign(table[DIFFERENCES[0]]) * np.sign(table[DIFFERENCES[1]]) < 0
    table["direction"] = np.where(opposite, OPPOSITE, SAME)
    kinds = {**dict.fromkeys([*TEXT, "direction"], object), **dict.fromkeys([*DIFFERENCES, *NUMBERS], float), "n": int}
    return table.sort_values(["p_value", "gene", "cpg", "feature"], ignore_index=True)[COLUMNS].astype(kinds)


# --- patients and pairs -------------------------------------------------------------------------------------------


class _Patients(NamedTuple):
    """Rows of the ``methylation`` and ``expression`` of patients who have both, and ``group``, the subtype's number."""

    methylation: np.ndarray
    expression: np.ndarray
    group: np.ndarray


class _Test(NamedTuple):
    """Of one layer, (subtype, feature), features in the order of the layer; ``row`` of each subtype of both layers."""

    row: np.ndarray
    q_value: np.ndarray
    statistic: np.ndarray
    difference: np.ndarray


def _checked(layer: xr.DataArray, where: str) -> xr.DataArray:
    if "gene" not in layer.coords:
        raise DataError("the features have no genes", where=where, fix="annotate the layer when it is read")
    refuse_duplicates(layer.indexes["sample"], "sample", where)
    return layer.transpose("sample", "feature")


def _patients(layers: dict[str, xr.DataArray], labels: pd.Series) -> _Patients:
    refuse_duplicates(labels.index, "sample", "labels")
    label = as_levels(labels.dropna())
    first, second = (layer.indexes["sample"] for layer in layers.values())
    both = first[first.isin(second) & first.isin(label.index)]
    if both.empty:
        raise DataError("no patient has both layers and a label", where="labels", fix="check that the ids are the same")
    return _Patients(first.get_indexer(both), second.get_indexer(both), pd.factorize(label[both])[0])


def _aligned(layer: xr.DataArray, found: xr.Dataset, subtypes: list[str], where: str) -> _Test:
    """Tests of each feature of the layer; NaN for one that was not tested."""
    place = layer.indexes["feature"].get_indexer(found.indexes["feature"])
    if (place < 0).any():
        name = found["feature"].values[place < 0][0]
        raise DataError(f"'{name}' was tested and is not there", where=where, fix="give the layer that was tested")
    as_tested = np.array_equal(place, np.arange(layer.sizes["feature"]))
    tests = []
    for name in _Test._fields[1:]:
        values = found[name].transpose("subtype", "feature").to_numpy()
        if not as_tested:
            full = np.full((len(values), layer.sizes["feature"]), np.nan)
            full[:, place] = values
            values = full
        tests.append(values)
    return _Test(found.indexes["subtype"].get_indexer(pd.Index(subtypes, dtype=object)), *tests)


def _selected(
    layers: dict[str, xr.DataArray], tests: dict[str, _Test], subtypes: list[str], level: float
) -> pd.DataFrame:
    """Pairs that differ in one subtype, with the places of their features, sorted by CpG."""
    genes = [_genes(layers[name], tests[name], level, name) for name in layers]
    pairs = genes[0].merge(genes[1], on="gene").sort_values(list(layers), kind="stable", ignore_index=True)
    first, second = tests.values()
    at, by = pairs["methylation"].to_numpy(dtype=int), pairs["expression"].to_numpy(dtype=int)
    best, subtype = np.full(len(pairs), -np.inf), np.full(len(pairs), -1)
    for k, (i, j) in enumerate(zip(first.row, second.row, strict=True)):  # one at a time: pairs are many
        both = (first.q_value[i, at] < level) & (second.q_value[j, by] < level)
        strength = np.where(both, np.minimum(np.abs(first.statistic[i, at]), np.abs(second.statistic[j, by])), -np.inf)
        subtype = np.where(strength > best, k, subtype)
        best = np.maximum(best, strength)
    kept = subtype >= 0
    at, by, subtype = at[kept], by[kept], subtype[kept]
    changes = first.difference[first.row[subtype], at], second.difference[second.row[subtype], by]
    return pairs[kept].assign(
        cpg=layers["methylation"]["feature"].to_numpy()[at],
        feature=layers["expression"]["feature"].to_numpy()[by],
        subtype=np.array(subtypes, dtype=object)[subtype],
        **dict(zip(DIFFERENCES, changes, strict=True)),
    )


def _genes(layer: xr.DataArray, test: _Test, level: float, name: str) -> pd.DataFrame:
    """Features that differ in any subtype, by their place in the layer, and their genes."""
    place = np.flatnonzero((test.q_value < level).any(axis=0))
    feature, gene, symbols = split_symbols(pd.Series(layer["gene"].to_numpy()[place]))
    return pd.DataFrame({name: place[feature], "gene": symbols[gene]})


# --- correlations -------------------------------------------------------------------------------------------------


def _correlated(layers: dict[str, xr.DataArray], rows: _Patients, pairs: pd.DataFrame) -> tuple[np.ndarray, ...]:
    """Correlation, correlation within subtypes, its p-value and patients of each pair, in the order of the pairs."""
    chosen, column = np.unique(pairs["expression"].to_numpy(dtype=int), return_inverse=True)
    expression = layers["expression"].isel(feature=chosen).to_numpy()[rows.expression]
    values = layers["methylation"].data
    if not isinstance(values, da.Array):
        values = np.asarray(values)
    at = pairs["methylation"].to_numpy(dtype=int)
    tasks = [_Task(_columns(values, part), at[pair] - part.start, column[pair]) for part, pair in _by_block(values, at)]
    done = [np.empty((4, 0)), *each(_of_block, tasks, expression, rows)]
    r, r_within, p, n = np.concatenate(done, axis=1)
    return r, r_within, p, n


class _Task(NamedTuple):
    """A block of methylation, and of each pair the column there and in the expression."""

    values: Any
    cpg: np.ndarray
    gene: np.ndarray


def _by_block(values: Any, at: np.ndarray) -> Iterator[tuple[slice, slice]]:
    """Blocks of features that a pair needs, and the pairs that they hold; `at` are the pairs' features, sorted."""
    n_features = values.shape[1]
    if isinstance(values, da.Array):
        ends = np.cumsum(values.chunks[1])
    else:
        ends = np.array([part.stop for part in slices(n_features, features_per_block(*values.shape[:1]))], dtype=int)
    starts = np.concatenate([[0], ends[:-1]])
    cuts = np.searchsorted(at, [starts, ends])
    for start, end, first, last in zip(starts, ends, *cuts, strict=True):
        if first < last:
            yield slice(int(start), int(end)), slice(int(first), int(last))


def _columns(values: Any, part: slice) -> Any:
    """The block, with no more of dask's graph than it needs."""
    block = values[:, part]
    return dask.optimize(block)[0] if isinstance(block, da.Array) else block


def _of_block(task: _Task, expression: np.ndarray, rows: _Patients) -> np.ndarray:
    """Correlation, correlation within, its p-value and patients, (4, pair); few pairs at a time."""
    block = here(task.values) if isinstance(task.values, da.Array) else task.values
    found = [np.empty((4, 0))]
    for few in slices(len(task.cpg), features_per_block(len(rows.group), 8)):
        x = block[np.ix_(rows.methylation, task.cpg[few])].astype(float)
        y = expression[:, task.gene[few]].astype(float)
        found.append(np.stack(correlations(x, y, rows.group)))
    return np.concatenate(found, axis=1)


def correlations(
    x: np.ndarray, y: np.ndarray, group: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Spearman's correlation of each column of `x` with that of `y`, over all, and within groups.

    Parameters
    ----------
    x, y : numpy.ndarray, shape (patient, pair)
        NaN is missing; a patient counts who has both.
    group : numpy.ndarray of int, shape (patient,)
        Group of each patient.

    Returns
    -------
    r, r_within, p_value, n : numpy.ndarray, shape (pair,)
        As :func:`concordant_pairs` says.
    """
    lacking = np.isnan(x) | np.isnan(y)
    x, y = np.where(lacking, np.nan, x), np.where(lacking, np.nan, y)
    within, patients, groups = np.zeros(x.shape[1]), np.zeros(x.shape[1]), np.zeros(x.shape[1])
    for k in np.unique(group):
        one = group == k
        rho, n = _spearman(x[one], y[one])
        counts = ~np.isnan(rho)
        within += np.where(counts, (n - 1) * rho, 0.0)
        patients += np.where(counts, n, 0)
        groups += counts
    df = patients - groups
    r_within = np.clip(np.divide(within, df, out=np.full_like(within, np.nan), where=df > 1), -1.0, 1.0)
    with np.errstate(divide="ignore"):  # a correlation of 1 is infinitely significant
        t = r_within * np.sqrt((df - 1) / (1 - r_within**2))
    r, n = _spearman(x, y)
    return r, r_within, 2 * stdtr(np.where(df > 1, df - 1, np.nan), -np.abs(t)), n


def _spearman(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Correlation of ranks of each pair of columns, NaN where one is constant, and patients; both lack the same."""
    n = (~np.isnan(x)).sum(axis=0)
    a, b = (np.nan_to_num(rankdata(one, axis=0, nan_policy="omit") - (n + 1) / 2) for one in (x, y))
    size = np.sqrt(np.einsum("np,np->p", a, a) * np.einsum("np,np->p", b, b))
    product = np.einsum("np,np->p", a, b)
    return np.divide(product, size, out=np.full(len(n), np.nan), where=size > 0), n
