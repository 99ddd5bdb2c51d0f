"""The features that a factor rests on in each layer, and whether other restarts of the fit find the same ones."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

import numpy as np
import pandas as pd
import xarray as xr
from threadpoolctl import threadpool_limits

from omics.blocks import map_blocks
from omics.interpret.mutation_calls import typed
from omics.schema import DataError, UsageError, check

#: Features of a factor and layer that are listed.
LISTED = 50
#: Standard deviation below which a factor does not vary.
STILL = 1e-12
#: Relative difference of two coefficients that are the same but for rounding.
ROUNDING = 1e-9

_TEXTS, _NUMBERS = ("factor", "layer", "feature", "gene"), ("weight", "share", "correlation", "stability")


@threadpool_limits.wrap(limits=1)  # threads of BLAS inside threads of dask: slower
def leading_features(
    weights: Mapping[str, xr.Dataset],
    values: Mapping[str, xr.DataArray] | None,
    scores: xr.Dataset,
    restart_scores: xr.Dataset | None,
    n: int = LISTED,
) -> pd.DataFrame:
    r"""List the features of largest ``|weight|`` of every factor and layer, and in how many restarts they lead too.

    Of a restart `r` only the scores `Z` are kept. Its weights are taken to be the least-squares coefficients of all its
    factors together,

    .. math:: W_r = (Z_r^\top Z_r)^{+} Z_r^\top Y, \qquad \text{columns of } Z_r \text{ and } Y \text{ centred},

    over the patients who have the layer; a value that is missing of one of them counts as the mean of its feature,
    which draws the coefficients of that feature towards 0. ``stability`` is the share of restarts in which ``|w|`` of
    the feature is among the `n` largest of the matched factor. The restart that was kept does not count: its own
    features would agree with themselves. A factor that does not vary in a restart has no leading features there. The
    coefficients are not shrunk as the weights of a fit are, and those of a binary layer are differences of probability,
    not of log-odds, so that the share is rather too small: compare features of one layer by it. It is NaN in a layer of
    no more than `n` features, as all would lead.

    Values are read twice: once in blocks of features, of which no more is kept than the `n` largest coefficients, and
    once for the listed features alone.

    Parameters
    ----------
    weights : mapping of str to xarray.Dataset
        By layer, weight(feature, factor) and the coordinates of the features: ``MOFA.weights_``.
    values : mapping of str to xarray.DataArray, optional
        By layer, (sample, feature) as it was given to the fit, lazy or not; a layer may be absent.
    scores : xarray.Dataset
        score(sample, factor): ``MOFA.factors_``.
    restart_scores : xarray.Dataset, optional
        score(restart, sample, factor): ``MOFA.restart_scores_``.
    n : int
        Features listed by factor and layer.

    Returns
    -------
    pandas.DataFrame
        By factor, layer and rank:

        * ``factor, layer, feature, gene`` (empty where the layer does not tell), ``rank`` from 1;
        * ``weight`` in units of the layer, ``share`` of the sum of the factor's squared weights in the layer;
        * ``correlation`` of value and score over the patients of known value, NaN without values or variance;
        * ``stability``, NaN without values or restarts.

    Raises
    ------
    UsageError
        `n` is below 1.
    DataError
        Weights, scores and restarts are not of the same factors and samples, or values lack a feature of the weights.

    References
    ----------
    Argelaguet et al. (2018), Molecular Systems Biology 14:e8124.
    """
    if n < 1:
        raise UsageError(f"{n} features", where="n", fix="ask for one at least")
    score, others = _aligned_scores(scores, restart_scores)
    parts = []
    for place, name in enumerate(sorted(weights)):
        table = check(weights[name], "weights", where=f"weights of {name}")
        _refuse_other(table.indexes["factor"], scores.indexes["factor"], f"weights of {name}", "factors")
        part, order = _listed(table, name, n)
        if values is not None and name in values:
            part = part.assign(**_seen(_aligned(values[name], table, score, name), order, score, others, n))
        parts.append(part.assign(place=place))
    found = pd.concat(parts).sort_values(["number", "place", "rank"], ignore_index=True)
    return typed(found, text=_TEXTS, integer=("rank",), float=_NUMBERS)


# --- what belongs together ----------------------------------------------------------------------------------------


def _aligned_scores(scores: xr.Dataset, restart_scores: xr.Dataset | None) -> tuple[xr.DataArray, xr.DataArray | None]:
    score = check(scores, "factors", where="scores")["score"]
    if restart_scores is None:
        return score, None
    others = check(restart_scores, "restart_scores", where="restart_scores")
    for dim in ("sample", "factor"):
        _refuse_other(others.indexes[dim], score.indexes[dim], "restart_scores", f"{dim}s")
    return score, others["score"]


def _refuse_other(got: pd.Index, expected: pd.Index, where: str, noun: str) -> None:
    if not got.equals(expected):
        raise DataError(f"other {noun} than those of the scores", where=where, fix="take both from one factor model")


def _aligned(values: xr.DataArray, table: xr.Dataset, score: xr.DataArray, name: str) -> xr.DataArray:
    """Values of the features of the weights, in their order, of patients with scores."""
    columns = values.indexes["feature"].get_indexer(table.indexes["feature"])
    if (columns < 0).any():
        absent = table.indexes["feature"][columns < 0][0]
        raise DataError(f"there is no {absent}", where=f"values of {name}", fix="give the layer as the fit had it")
    rows = values.indexes["sample"].isin(score.indexes["sample"])
    if not np.array_equal(columns, np.arange(values.sizes["feature"])):
        values = values.isel(feature=columns)
    return values if rows.all() else values.isel(sample=np.flatnonzero(rows))


# --- one layer ----------------------------------------------------------------------------------------------------


def _listed(table: xr.Dataset, name: str, n: int) -> tuple[pd.DataFrame, np.ndarray]:
    """Features of largest ``|weight|`` by factor, the first of equal ones first; and their places, (rank, factor)."""
    weight = np.asarray(table["weight"].data)
    columns = [np.argsort(-np.abs(weight[:, k]), kind="stable")[:n] for k in range(weight.shape[1])]
    order = np.stack(columns, axis=1)  # (rank, factor)
    total = np.einsum("dk,dk->k", weight, weight, dtype=float)
    largest = np.take_along_axis(weight, order, axis=0).astype(float)
    share = np.divide(largest**2, total, out=np.zeros_like(largest), where=total > 0)
    number = np.broadcast_to(np.arange(order.shape[1]), order.shape)
    feature = table.indexes["feature"].to_numpy(dtype=object)
    gene = table["gene"].to_numpy() if "gene" in table.coords else np.full(len(feature), "", dtype=object)
    rows = {
        "factor": table.indexes["factor"].to_numpy(dtype=object)[number],
        "layer": np.full(order.shape, name, dtype=object),
        "feature": feature[order],
        "gene": gene[order],
        "rank": np.broadcast_to(np.arange(1, len(order) + 1)[:, None], order.shape),
        "weight": largest,
        "share": share,
        "correlation": np.full(order.shape, np.nan),
        "stability": np.full(order.shape, np.nan),
        "number": number,
    }
    return pd.DataFrame({key: array.ravel() for key, array in rows.items()}), order


def _seen(
    values: xr.DataArray, order: np.ndarray, score: xr.DataArray, others: xr.DataArray | None, n: int
) -> dict[str, np.ndarray]:
    """Correlation and stability of the features at `order`, (rank, factor), in one row."""
    wanted, place = np.unique(order, return_inverse=True)
    at = (np.arange(order.shape[1]), place.reshape(order.shape))
    listed = values.isel(feature=wanted).to_numpy()
    present = score.indexes["sample"].get_indexer(values.indexes["sample"])
    found = {"correlation": _correlation(score.to_numpy()[present], listed)[at].ravel()}
    if others is not None and values.sizes["feature"] > n:
        projector = np.concatenate([_projector(one[present]) for one in others.to_numpy().astype(float)])
        last = _last_of_leading(projector, values.data, n)[:, None]
        leads = (np.abs(projector @ _centred(listed)) >= last * (1 - ROUNDING)) & (last > 0)  # (restart factor, wanted)
        share = leads.reshape(others.sizes["restart"], -1, len(wanted)).mean(axis=0)
        found["stability"] = share[at].ravel()
    return found


def _last_of_leading(projector: np.ndarray, values: np.ndarray, n: int) -> np.ndarray:
    """The n-th largest ``|coefficient|`` of every row of `projector`."""
    largest = map_blocks(partial(_largest, projector=projector, n=n), values)
    return _largest_of(np.concatenate(largest, axis=1), n).min(axis=1)


def _largest(block: np.ndarray, projector: np.ndarray, n: int) -> np.ndarray:
    return _largest_of(np.abs(projector @ _centred(block)), n)


def _largest_of(sizes: np.ndarray, n: int) -> np.ndarray:
    """The n largest of each row, in no order."""
    return sizes if sizes.shape[1] <= n else np.partition(sizes, -n, axis=1)[:, -n:]


def _projector(score: np.ndarray) -> np.ndarray:
    """What gives the coefficients of centred values when it is multiplied with them, (factor, sample)."""
    centred = _varying(score)
    return np.linalg.pinv(centred) * (centred != 0).any(axis=0)[:, None]


def _varying(score: np.ndarray) -> np.ndarray:
    """Scores less their mean; 0 where they do not vary or are not finite, as of a restart that diverged."""
    finite = np.where(np.isfinite(score).all(axis=0), score, 0.0)
    return np.where(finite.std(axis=0) > STILL, finite - finite.mean(axis=0), 0.0)


def _centred(values: np.ndarray) -> np.ndarray:
    """Values less the mean of their feature; 0 where missing."""
    known = ~np.isnan(values)
    filled = np.where(known, values, 0.0).astype(float)
    return np.where(known, filled - filled.sum(axis=0) / np.maximum(known.sum(axis=0), 1), 0.0)


def _correlation(score: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Pearson's r of every factor with every feature over the patients of known value, (factor, feature)."""
    z, y, known = _varying(score), _centred(values), (~np.isnan(values)).astype(float)
    n = np.maximum(known.sum(axis=0), 1.0)
    spread = np.maximum((z**2).T @ known - (z.T @ known) ** 2 / n, 0.0) * (y**2).sum(axis=0)
    r = np.divide(z.T @ y, np.sqrt(spread), out=np.full(spread.shape, np.nan), where=spread > 0)
    return np.clip(r, -1.0, 1.0)
