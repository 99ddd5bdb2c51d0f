"""Which features differ between a subtype and all other patients: moderated t-tests, block by block.

The variance of a feature is shrunken towards that of all features, so that a gene that hardly varies by chance is not
first, and few patients go further.

References
----------
Smyth (2004), Statistical Applications in Genetics and Molecular Biology 3:3: linear models and empirical Bayes.
Du et al. (2010), BMC Bioinformatics 11: M-values are tested, beta values shown.
Benjamini and Hochberg (1995), Journal of the Royal Statistical Society B 57.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import xarray as xr
from scipy.special import digamma, polygamma, stdtr

from omics.blocks import map_blocks
from omics.columns import as_levels, in_order, is_categorical
from omics.schema import DataError, UsageError, refuse_duplicates
from omics.stats import q_values

#: Fewest patients of a subtype, and of the others, who have a value.
FEWEST = 3
#: Columns of :func:`most_different`.
COLUMNS = ["subtype", "feature", "gene", "difference", "statistic", "p_value", "q_value", "rank"]

# what a variance is raised to before its logarithm is taken, as a share of the median
_FLOOR = 1e-5
# share of the largest eigenvalue, or of a contrast's square, below which nothing but rounding is left
_NOTHING = 1e-9


class Design(NamedTuple):
    """Who is in the model of every feature.

    Attributes
    ----------
    rows : numpy.ndarray of int, shape (patient,)
        Rows of the values.
    member : numpy.ndarray, shape (patient, group)
        1 where the patient is of the subtype; each is of one.
    covariates : numpy.ndarray, shape (patient, covariate)
        Of mean 0 and variance 1; there may be none.
    tested : numpy.ndarray of int, shape (subtype,)
        Groups that are tested; the others are in the model, and among the other patients.
    """

    rows: np.ndarray
    member: np.ndarray
    covariates: np.ndarray
    tested: np.ndarray


class Fitted(NamedTuple):
    """What is kept of a block.

    Attributes
    ----------
    mean_inside, mean_outside, difference : numpy.ndarray, shape (subtype, feature)
        NaN where no patient has a value.
    unscaled : numpy.ndarray, shape (subtype, feature)
        Variance of the difference by that of the residuals; NaN where it is not tested.
    variance, df : numpy.ndarray, shape (feature,)
        Residual variance and its degrees of freedom; a feature that is constant has none.
    """

    mean_inside: np.ndarray
    mean_outside: np.ndarray
    difference: np.ndarray
    unscaled: np.ndarray
    variance: np.ndarray
    df: np.ndarray


class Prior(NamedTuple):
    """What all features say about the variance of one: ``df`` degrees of freedom, around ``variance``."""

    df: float
    variance: float


def differential(values: xr.DataArray, labels: pd.Series, covariates: pd.DataFrame | None = None) -> xr.Dataset:
    r"""Test every feature of a layer for a difference between each subtype and all other patients.

    The model of a feature is one mean a subtype, and the covariates :math:`z`, by least squares over the patients who
    have a value. Of subtype `k`, with :math:`n_k` patients and :math:`n_{-k}` others,

    .. math::
        \delta_k = \bar y_k - \bar y_{-k} - (\bar z_k - \bar z_{-k})^\top \hat\gamma,\qquad
        t_k = \frac{\delta_k}{\tilde s \sqrt{u_k}},\qquad
        u_k = \frac{1}{n_k} + \frac{1}{n_{-k}} + d_k^\top (Z_w^\top Z_w)^{-1} d_k,

    :math:`d_k = \bar z_k - \bar z_{-k}` and :math:`Z_w` the covariates less their mean within the subtype. The
    residual variance :math:`s^2` with `d` degrees of freedom is shrunken towards the prior of :func:`variance_prior`,

    .. math:: \tilde s^2 = \frac{d_0 s_0^2 + d s^2}{d_0 + d},

    and `t` is compared with Student's t of :math:`d_0 + d` degrees of freedom, though no more than all features have
    together. Where the subtypes were made of these very values, the figures describe, and test nothing.

    Parameters
    ----------
    values : xarray.DataArray, shape (sample, feature)
        Prepared values, M-values or logarithms; NumPy or dask, which is read once, block by block. NaN is missing.
    labels : pandas.Series
        Subtype, or any other label, of each patient, indexed by sample; a patient without one is left out.
    covariates : pandas.DataFrame, optional
        What is adjusted for, indexed by sample; text is taken for categories. A patient of whom one is unknown is left
        out, and so is a covariate that is the same for all.

    Returns
    -------
    xarray.Dataset
        Over ``subtype`` (in natural order) and ``feature``:

        * ``difference, statistic, p_value`` (two-sided), ``q_value`` (Benjamini-Hochberg over the features of the
          subtype), ``mean_inside, mean_outside`` (as measured, not adjusted). A feature that is constant, or of which
          fewer than 3 patients inside or outside have a value, has no statistic; NaN is also a difference that the
          covariates of these patients explain;
        * ``n`` (subtype), patients in the model; ``prior_df`` (infinite where all features vary alike) and
          ``prior_variance``, which are single numbers;
        * ``gene`` of the features, if there is one;
        * attributes: ``left_out``, subtypes of fewer than 3 patients (they still are among the others of the rest), or
          with fewer than 3 others; ``n_samples`` patients in the model.

    Raises
    ------
    DataError
        A sample occurs twice, no patient has both values and a label, a value is infinite, a covariate is neither
        text nor a number, or the covariates say which subtype a patient has.

    References
    ----------
    Smyth (2004), Statistical Applications in Genetics and Molecular Biology 3:3.
    """
    values = values.transpose("sample", "feature")
    label = _known(values.indexes["sample"], labels, covariates)
    names = in_order(label.unique())
    design, left_out = _design(values.indexes["sample"], label, names, covariates)
    subtypes = [names[k] for k in design.tested]
    parts = _gathered(map_blocks(partial(fitted, design=design), values.data), len(subtypes))
    prior = variance_prior(parts.variance, parts.df)
    statistic, p = _tests(parts, prior)
    q = np.empty_like(p)
    for row, p_row in zip(q, p, strict=True):
        row[:] = q_values(p_row)
    both = ("subtype", "feature")
    table = {"difference": parts.difference, "statistic": statistic, "p_value": p, "q_value": q}
    means = {"mean_inside": parts.mean_inside, "mean_outside": parts.mean_outside}
    coords: dict[str, Any] = {"subtype": np.array(subtypes, dtype=object), "feature": values["feature"].to_numpy()}
    if "gene" in values.coords:
        coords["gene"] = ("feature", values["gene"].to_numpy())
    return xr.Dataset(
        {name: (both, array) for name, array in (table | means).items()}
        | {
            "n": ("subtype", design.member.sum(axis=0).astype(int)[design.tested]),
            "prior_df": ((), prior.df),
            "prior_variance": ((), prior.variance),
        },
        coords,
        {"left_out": left_out, "n_samples": len(label)},
    )


def most_different(dataset: xr.Dataset, n: int) -> pd.DataFrame:
    """The features that differ most, of each subtype.

    Parameters
    ----------
    dataset : xarray.Dataset
        What :func:`differential` returned.
    n : int
        Most features of a subtype; one that was not tested is not among them.

    Returns
    -------
    pandas.DataFrame
        ``subtype, feature, gene`` (empty where unknown), ``difference, statistic, p_value, q_value, rank``: 1 is the
        smallest p-value of the subtype, the largest statistic among equal ones.

    Raises
    ------
    UsageError
        `n` is not positive.
    """
    if n < 1:
        raise UsageError(f"n is {n}", where="leading", fix="ask for one feature at least")
    feature = dataset["feature"].to_numpy()
    gene = dataset["gene"].to_numpy() if "gene" in dataset.coords else np.full(len(feature), "", dtype=object)
    tables = []
    for name in dataset["subtype"].to_numpy():
        one = dataset.sel(subtype=name)
        p, statistic = one["p_value"].to_numpy(), one["statistic"].to_numpy()
        best = np.lexsort((-np.abs(statistic), p))[: min(n, int(np.isfinite(p).sum()))]
        numbers = {key: one[key].to_numpy()[best] for key in COLUMNS[3:7]}
        keys = {"subtype": str(name), "feature": feature[best], "gene": gene[best]}
        tables.append(pd.DataFrame(keys | numbers | {"rank": np.arange(1, len(best) + 1)}))
    table = pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(columns=COLUMNS)
    kinds = {**dict.fromkeys(COLUMNS[:3], object), **dict.fromkeys(COLUMNS[3:7], float), "rank": int}
    return table[COLUMNS].astype(kinds)


def variance_prior(variance: np.ndarray, df: np.ndarray) -> Prior:
    r"""Prior of residual variances, from the first two moments of their logarithms.

    With :math:`e_j = \log s_j^2 - \psi(d_j / 2) + \log(d_j / 2)` of `m` features, :math:`d_0` and :math:`s_0^2` solve

    .. math::
        \psi'(d_0 / 2) = \frac{1}{m - 1} \sum_j (e_j - \bar e)^2 - \frac{1}{m} \sum_j \psi'(d_j / 2), \qquad
        \log s_0^2 = \bar e + \psi(d_0 / 2) - \log(d_0 / 2).

    Where the right side of the first is not positive, the variances differ by chance alone: :math:`d_0` is infinite
    and :math:`s_0^2` their mean, weighted by degrees of freedom. A variance below 1e-5 of the median counts as that.

    Parameters
    ----------
    variance, df : numpy.ndarray, shape (feature,)
        Residual variances and their degrees of freedom; features without any are left out.

    Returns
    -------
    Prior
        Of 0 degrees of freedom, so that nothing is shrunken, where fewer than two features have a variance.

    References
    ----------
    Smyth (2004), section 6.2.
    """
    usable = (df > 0) & np.isfinite(variance)
    s2, d = variance[usable], df[usable]
    middle = float(np.median(s2)) if len(s2) > 1 else 0.0
    if middle <= 0:
        return Prior(0.0, 0.0)
    e = np.log(np.maximum(s2, _FLOOR * middle)) - digamma(d / 2) + np.log(d / 2)
    beyond = float(e.var(ddof=1) - polygamma(1, d / 2).mean())
    if beyond <= 0:
        return Prior(np.inf, float(s2 @ d / d.sum()))
    half = _inverse_trigamma(beyond)
    return Prior(2 * half, float(np.exp(e.mean() + digamma(half) - np.log(half))))


def _inverse_trigamma(x: float) -> float:
    """The y of ``trigamma(y) = x``, by Newton's method on 1 / trigamma, which is convex (Smyth 2004, appendix)."""
    y, step = 0.5 + 1 / x, np.inf
    while abs(step) > 1e-12 * y:
        trigamma = float(polygamma(1, y))
        step = trigamma * (1 - trigamma / x) / float(polygamma(2, y))
        y += step
    return y


# --- patients -----------------------------------------------------------------------------------------------------


def _known(samples: pd.Index, labels: pd.Series, covariates: pd.DataFrame | None) -> pd.Series:
    """Label of each patient who has values, a label and all covariates, in the order of the values."""
    refuse_duplicates(samples, "sample", "values")
    refuse_duplicates(labels.index, "sample", "labels")
    label = as_levels(labels.dropna())
    if covariates is not None:
        refuse_duplicates(covariates.index, "sample", "covariates")
        unknown = (covariates.isna() | (covariates.astype(object) == "")).any(axis=1)
        label = label[label.index.isin(covariates.index[~unknown])]
    label = label.reindex(samples[samples.isin(label.index)])
    if label.empty:
        raise DataError(
            "no patient has values, a label and all covariates",
            where="differential",
            fix="check that the ids are the same",
        )
    return label


def _design(
    samples: pd.Index, label: pd.Series, names: Sequence[str], covariates: pd.DataFrame | None
) -> tuple[Design, list[str]]:
    """Who is in the model, and the subtypes that are too small to be tested."""
    member = (label.to_numpy()[:, None] == np.array(names, dtype=object)).astype(float)
    size = member.sum(axis=0)
    enough = (size >= FEWEST) & (len(label) - size >= FEWEST)
    z = _numbers(covariates.loc[label.index]) if covariates is not None else np.empty((len(label), 0))
    design = Design(samples.get_indexer(pd.Index(label.index)), member, z, np.flatnonzero(enough))
    told = ~_estimable(design)
    if told.any():
        raise DataError(
            f"the covariates say who has {', '.join(names[int(k)] for k in design.tested[told])}",
            where="covariates",
            fix="leave out the covariate that follows the subtype",
        )
    return design, [names[int(k)] for k in np.flatnonzero(~enough)]


def _numbers(covariates: pd.DataFrame) -> np.ndarray:
    """Covariates as columns of mean 0 and variance 1: categories as indicators of all levels but the first."""
    columns = [np.empty((len(covariates), 0))]
    for name, column in covariates.items():
        if is_categorical(str(name), column):
            numbers = pd.get_dummies(column.astype(str), drop_first=True).to_numpy(dtype=float)
        elif column.dtype.kind in "iuf":
            numbers = column.to_numpy(dtype=float)[:, None]
        else:
            raise DataError(f"'{name}' holds {column.dtype}", where="covariates", fix="give numbers or text")
        columns.append(numbers)
    z = np.hstack(columns)
    if not np.isfinite(z).all():
        raise DataError("a covariate is infinite", where="covariates", fix="make it missing, or correct it")
    z = z[:, z.max(axis=0, initial=-np.inf) > z.min(axis=0, initial=np.inf)]
    return np.asarray((z - z.mean(axis=0)) / z.std(axis=0))


def _estimable(design: Design) -> np.ndarray:
    """Whether each tested subtype can be told from the covariates, were no value missing."""
    _, effect = _adjustment(design, np.ones((len(design.rows), 1)), design.member.sum(axis=0)[:, None])
    return np.asarray(np.isfinite(effect.unscaled[:, 0]))


# --- one block ----------------------------------------------------------------------------------------------------


def fitted(block: np.ndarray, design: Design) -> Fitted:
    """Means, differences and residual variances of a block of features, in float64.

    Parameters
    ----------
    block : numpy.ndarray, shape (sample, feature)
        Values of all samples, NaN where missing.
    design : Design
        Who is in the model.

    Returns
    -------
    Fitted

    Raises
    ------
    DataError
        A value is infinite.
    """
    y = block[design.rows].astype(float, copy=False)
    known, low, constant = _centred(y)
    count = design.member.T @ known  # (group, feature), or one column where nothing is missing
    total = design.member.T @ y
    mean = _by(total, count)
    n_in, n_out = count[design.tested], count.sum(axis=0) - count[design.tested]
    inside, outside = mean[design.tested], _by(total.sum(axis=0) - total[design.tested], n_out)
    within, effect = _adjustment(design, known, count)
    gamma = within.coefficients(y, mean)  # (covariate, feature)
    y -= design.member @ (mean - within.mean_times(gamma))  # residuals, in place: blocks are large
    y -= design.covariates @ gamma
    y *= known
    df = np.broadcast_to(count.sum(axis=0) - (count > 0).sum(axis=0) - within.rank, low.shape)
    df = np.where(constant, 0.0, np.maximum(df, 0))
    square = np.einsum("nf,nf->f", y, y)
    few = np.minimum(n_in, n_out) < FEWEST
    unscaled = effect.unscaled + 1 / np.maximum(n_in, 1) + 1 / np.maximum(n_out, 1)
    nothing = (np.minimum(n_in, n_out) == 0) | np.isnan(effect.unscaled)
    difference = inside - outside - np.einsum("kqf,qf->kf", effect.contrast, gamma)
    return Fitted(
        np.where(n_in > 0, inside + low, np.nan),
        np.where(n_out > 0, outside + low, np.nan),
        np.where(nothing, np.nan, difference),
        np.broadcast_to(np.where(few, np.nan, unscaled), inside.shape),
        np.where(df > 0, square / np.maximum(df, 1), np.nan),
        df,
    )


def _centred(y: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Take the smallest value off each feature, in place, and fill gaps with 0.

    Returns 1 where a value is known (one column of ones if all are), what was taken off, and which features are
    constant. A constant feature becomes exactly 0, which no other centre would give.
    """
    finite = np.isfinite(y)
    if finite.all():
        low, high, known = y.min(axis=0), y.max(axis=0), np.ones((len(y), 1))
    else:
        if np.isinf(y).any():
            raise DataError("a value is infinite", where="values", fix="prepare the layer: beta values of 0 and 1")
        low = np.where(finite, y, np.inf).min(axis=0)
        high = np.where(finite, y, -np.inf).max(axis=0)
        low = np.where(np.isfinite(low), low, 0.0)
        known = finite.astype(float)
        np.copyto(y, low, where=~finite)
    y -= low
    return known, low, ~(high > low)


def _by(total: np.ndarray, count: np.ndarray) -> np.ndarray:
    return np.asarray(total / np.maximum(count, 1))


class _Within(NamedTuple):
    """Covariates less their mean within the group, over the patients with a value.

    ``z`` (patient, covariate) as they are, ``mean`` (group, covariate, feature) of ``patients`` (group, feature), and
    the ``inverse`` (feature, covariate, covariate) of their sums of squares, which has this ``rank`` (feature).
    """

    z: np.ndarray
    mean: np.ndarray
    patients: np.ndarray
    inverse: np.ndarray
    rank: np.ndarray

    def coefficients(self, y: np.ndarray, mean: np.ndarray) -> np.ndarray:
        """Least squares of `y`, 0 where unknown, with group means `mean`, on the covariates within groups."""
        product = self.z.T @ y - np.einsum("gqf,gf->qf", self.mean, self.patients * mean)
        return np.einsum("fqr,rf->qf", self.inverse, product)

    def mean_times(self, gamma: np.ndarray) -> np.ndarray:
        """What the covariates make of the mean of each group, (group, feature)."""
        return np.einsum("gqf,qf->gf", self.mean, gamma)


class _Effect(NamedTuple):
    """Difference of the covariates, ``contrast`` (subtype, covariate, feature), and what it adds to the variance."""

    contrast: np.ndarray
    unscaled: np.ndarray


def _adjustment(design: Design, known: np.ndarray, count: np.ndarray) -> tuple[_Within, _Effect]:
    """What the covariates do to each subtype, for every pattern of known values: one for all, or one a feature."""
    z, n_features = design.covariates, known.shape[1]
    n, q = z.shape
    groups = design.member.shape[1]
    per_group = (design.member[:, :, None] * z[:, None, :]).reshape(n, groups * q)
    total = (per_group.T @ known).reshape(groups, q, n_features)
    mean = _by(total, count[:, None])
    square = ((z[:, :, None] * z[:, None, :]).reshape(n, q * q).T @ known).reshape(q, q, n_features)
    square = np.moveaxis(square - np.einsum("gqf,grf->qrf", total, mean), -1, 0)
    value, vector = np.linalg.eigh(square)
    varies = value > _NOTHING * n
    scaled = vector * np.where(varies, 1 / np.sqrt(np.where(varies, value, 1.0)), 0.0)[:, None, :]
    within = _Within(z, mean, count, scaled @ np.swapaxes(scaled, 1, 2), varies.sum(axis=1))
    n_out = count.sum(axis=0) - count[design.tested]
    contrast = mean[design.tested] - _by(total.sum(axis=0) - total[design.tested], n_out[:, None])
    turned = np.einsum("fqr,kqf->kfr", vector, contrast)
    beside = np.where(varies, 0.0, turned**2).sum(axis=2) > _NOTHING * np.maximum((contrast**2).sum(axis=1), 1.0)
    added = (np.einsum("fqr,kqf->kfr", scaled, contrast) ** 2).sum(axis=2)
    return within, _Effect(contrast, np.where(beside, np.nan, added))


# --- all features -------------------------------------------------------------------------------------------------


def _gathered(blocks: list[Fitted], n_subtypes: int) -> Fitted:
    """All blocks side by side; each variable is let go as soon as it is copied."""
    wide = list(zip(*blocks, strict=True))
    blocks.clear()
    if not wide:
        wide = [(np.empty((n_subtypes, 0)),)] * 4 + [(np.empty(0),)] * 2
    return Fitted(*(np.concatenate(wide.pop(0), axis=-1) for _ in Fitted._fields))


def _tests(parts: Fitted, prior: Prior) -> tuple[np.ndarray, np.ndarray]:
    """Moderated t and its two-sided p-value, (subtype, feature); t takes the place of the unscaled variances."""
    df, variance = parts.df, np.where(parts.df > 0, parts.variance, 0.0)
    if np.isinf(prior.df):
        shrunken = np.full(len(df), prior.variance)
    else:
        shrunken = (prior.df * prior.variance + df * variance) / np.maximum(prior.df + df, _NOTHING)
    all_df = np.where(df > 0, np.minimum(prior.df + df, df.sum()), np.nan)
    shrunken = np.where((df > 0) & (shrunken > 0), shrunken, np.nan)
    statistic, p = parts.unscaled, np.empty_like(parts.unscaled)
    for row, difference, p_row in zip(statistic, parts.difference, p, strict=True):
        row[:] = difference / np.sqrt(row * shrunken)
        p_row[:] = 2 * stdtr(all_df, -np.abs(row))
    return statistic, p
