"""The arrays of a fit as labelled Datasets, in the order, sign and units in which people read them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import xarray as xr
from scipy.optimize import linear_sum_assignment

from omics.factors.state import Expectations, Explained, Start, Weights
from omics.schema import describe

#: A factor that explains less of every view is marked as inactive; it is kept, so that models stay comparable.
INACTIVE = 1e-4


def pooled(share: Explained) -> tuple[np.ndarray, float]:
    """Variance explained over all groups together: by factor, and by all."""
    weight = share.total / share.total.sum() if share.total.sum() > 0 else np.zeros_like(share.total)
    return weight @ share.r2, float(weight @ share.r2_total)


def arranged(fit: Expectations) -> Expectations:
    """Factors by the variance that they explain, summed over views; the largest scaled weight of each is positive."""
    order = np.argsort(-sum(pooled(share)[0] for share in fit.explained), kind="stable")
    ends = [
        (part.mean.max(axis=0) / share.scale, part.mean.min(axis=0) / share.scale)
        for part, share in zip(fit.weights, fit.explained, strict=True)
    ]
    highest, lowest = (np.stack(some) for some in zip(*ends, strict=True))
    sign = np.where(highest.max(axis=0) < -lowest.min(axis=0), -1.0, 1.0)[order]
    return fit._replace(
        score=fit.score[:, order] * sign,
        score_square=fit.score_square[:, order],
        weights=tuple(
            part._replace(mean=_times(part.mean[:, order], sign), square=part.square[:, order]) for part in fit.weights
        ),
        explained=tuple(share._replace(r2=share.r2[:, order]) for share in fit.explained),
    )


def _times(own: np.ndarray, factor: np.ndarray) -> np.ndarray:
    own *= factor
    return own


def stability(score: np.ndarray, others: Sequence[np.ndarray]) -> np.ndarray:
    """``|r|`` of each factor with the one that it is matched with in each other fit, shape (fit, factor).

    Factors are matched one to one so that the sum of ``|r|`` is largest. One that does not vary matches nothing.
    """
    r = [_matched(score, other)[1] for other in others]
    return np.minimum(np.abs(np.reshape(r, (len(others), score.shape[1]))), 1.0)


def _matched(score: np.ndarray, other: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Of each factor, the number of the one that it is matched with in a fit of as many, and their r."""
    r = _standardised(score).T @ _standardised(other) / len(score)
    mine, theirs = linear_sum_assignment(-np.abs(r))
    return theirs, r[mine, theirs]


def _standardised(score: np.ndarray) -> np.ndarray:
    sd = score.std(axis=0)
    return np.where(sd > 1e-12, (score - score.mean(axis=0)) / np.maximum(sd, 1e-12), 0.0)


def factor_names(n_factors: int) -> np.ndarray:
    """``Factor1`` and so on."""
    return np.array([f"Factor{k}" for k in range(1, n_factors + 1)], dtype=object)


def factors_table(score: np.ndarray, score_sd: np.ndarray, samples: np.ndarray, groups: np.ndarray) -> xr.Dataset:
    """Scores and their standard deviations as NODES["factors"]."""
    dims = ("sample", "factor")
    return describe(
        xr.Dataset(
            {
                "score": (dims, score),
                "score_sd": (dims, score_sd),
                "group": ("sample", np.asarray(groups, dtype=object)),
            },
            coords={"sample": np.asarray(samples, dtype=object), "factor": factor_names(score.shape[1])},
        ),
        "factors",
    )


def weights_table(weights: Weights, view: xr.Dataset, groups: np.ndarray, scale: np.ndarray) -> xr.Dataset:
    """Weights as NODES["weights"], in the units of the view: ``y = scale (intercept + z'w)`` with scale 1 as a rule."""
    dims = ("feature", "factor")
    annotation = {name: coord for name, coord in view.coords.items() if coord.dims == ("feature",)}
    return describe(
        xr.Dataset(
            {
                "weight": (dims, weights.mean),
                "weight_square": (dims, weights.square),
                "intercept": (("group", "feature"), weights.intercept),
                "precision": (("group", "feature"), weights.precision),
                "scale": ("group", scale),
            },
            coords={**annotation, "factor": factor_names(weights.mean.shape[1]), "group": groups},
            attrs=view.attrs,
        ),
        "weights",
    )


def to_weights(table: xr.Dataset) -> Weights:
    """The inverse of :func:`weights_table`, less the scale."""
    names = ("weight", "weight_square", "intercept", "precision")
    # One memory layout, whether fitted or read from a store: BLAS rounds by layout.
    return Weights(table.attrs["likelihood"], *(np.ascontiguousarray(table[name].data) for name in names))


def variance_table(
    shares: Sequence[Explained], names: Sequence[str], groups: np.ndarray, matched: np.ndarray
) -> xr.Dataset:
    """Variance explained as NODES["variance"]; `matched` is what :func:`stability` gave."""
    r2, r2_total = (np.stack(parts) for parts in zip(*map(pooled, shares), strict=True))
    alone = np.full(r2.shape[1], np.nan)
    return describe(
        xr.Dataset(
            {
                "r2": (("view", "factor"), r2),
                "r2_total": ("view", r2_total),
                "r2_group": (("group", "view", "factor"), np.stack([share.r2 for share in shares], axis=1)),
                "r2_total_group": (("group", "view"), np.stack([share.r2_total for share in shares], axis=1)),
                "active": ("factor", (r2.max(axis=0) >= INACTIVE).astype(np.int8)),
                "stability": ("factor", matched.mean(axis=0) if len(matched) else alone),
                "stability_min": ("factor", matched.min(axis=0) if len(matched) else alone),
            },
            coords={"view": np.asarray(names, dtype=object), "factor": factor_names(r2.shape[1]), "group": groups},
        ),
        "variance",
    )


def restarts_table(fits: Sequence[Expectations], starts: Sequence[Start]) -> xr.Dataset:
    """All fits as NODES["restarts"], in the order in which they were asked for."""
    kinds = ["pca" if start.seed is None else "random" for start in starts]
    seeds = [-1 if start.seed is None else start.seed for start in starts]
    return describe(
        xr.Dataset(
            {
                "elbo": ("restart", np.array([fit.elbo for fit in fits])),
                "iterations": ("restart", np.array([fit.iterations for fit in fits])),
                "seed": ("restart", np.array(seeds, dtype=np.int64)),
                "start": ("restart", np.array(kinds, dtype=object)),
                "converged": ("restart", np.array([fit.converged for fit in fits], dtype=np.int8)),
                "n_factors": ("restart", np.array([fit.score.shape[1] for fit in fits])),
            }
        ),
        "restarts",
    )


def restart_scores_table(score: np.ndarray, others: Mapping[int, np.ndarray], samples: np.ndarray) -> xr.Dataset:
    """Scores of other fits as NODES["restart_scores"], in the order and sign of the factors that they match.

    They are matched as by :func:`stability`. Single precision tells features apart, at half the size.
    """
    aligned = np.empty((len(others), *score.shape), dtype=np.float32)
    for own, other in zip(aligned, others.values(), strict=True):
        theirs, r = _matched(score, other)
        own[:] = other[:, theirs] * np.where(r < 0, -1.0, 1.0)
    return describe(
        xr.Dataset(
            {"score": (("restart", "sample", "factor"), aligned)},
            coords={
                "restart": np.array(list(others), dtype=np.int64),
                "sample": np.asarray(samples, dtype=object),
                "factor": factor_names(score.shape[1]),
            },
        ),
        "restart_scores",
    )


def trace_table(fit: Expectations) -> xr.Dataset:
    """How the bound of a fit rose, as NODES["trace"]."""
    return describe(
        xr.Dataset({"elbo": ("check", fit.trace), "seconds": ("check", np.asarray(fit.seconds, dtype=float))}), "trace"
    )
