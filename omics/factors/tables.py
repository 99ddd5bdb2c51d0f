"""The arrays of a fit as labelled Datasets, in the order, sign and units in which people read them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import xarray as xr

from omics.factors.state import Expectations, Weights
from omics.factors.variance import Explained
from omics.schema import describe

#: A factor that explains less of every view is marked as inactive; it is kept, so that models stay comparable.
INACTIVE = 1e-4


def arranged(fit: Expectations, shares: Sequence[Explained]) -> tuple[Expectations, list[Explained]]:
    """Factors by the variance that they explain, summed over views; the largest scaled weight of each is positive."""
    order = np.argsort(-sum(share.r2 for share in shares), kind="stable")
    scaled = np.concatenate([part.mean / share.scale for part, share in zip(fit.weights, shares, strict=True)])
    largest = np.take_along_axis(scaled, np.abs(scaled).argmax(axis=0)[None], axis=0)[0]
    sign = np.where(largest < 0, -1.0, 1.0)[order]
    weights = tuple(
        part._replace(mean=part.mean[:, order] * sign, square=part.square[:, order]) for part in fit.weights
    )
    ordered = fit._replace(score=fit.score[:, order] * sign, score_square=fit.score_square[:, order], weights=weights)
    return ordered, [share._replace(r2=share.r2[order]) for share in shares]


def factor_names(n_factors: int) -> np.ndarray:
    """``Factor1`` and so on."""
    return np.array([f"Factor{k}" for k in range(1, n_factors + 1)], dtype=object)


def factors_table(score: np.ndarray, score_sd: np.ndarray, samples: np.ndarray) -> xr.Dataset:
    """Scores and their standard deviations as NODES["factors"]."""
    dims = ("sample", "factor")
    return describe(
        xr.Dataset(
            {"score": (dims, score), "score_sd": (dims, score_sd)},
            coords={"sample": np.asarray(samples, dtype=object), "factor": factor_names(score.shape[1])},
        ),
        "factors",
    )


def weights_table(weights: Weights, view: xr.Dataset, mean: np.ndarray, sd: float) -> xr.Dataset:
    """Weights as NODES["weights"], back in the units of the view: ``y = intercept + z'w``."""
    dims = ("feature", "factor")
    annotation = {name: coord for name, coord in view.coords.items() if coord.dims == ("feature",)}
    return describe(
        xr.Dataset(
            {
                "weight": (dims, weights.mean * sd),
                "weight_square": (dims, weights.square * sd**2),
                "intercept": ("feature", mean + weights.shift * sd),
                "precision": ("feature", weights.precision / sd**2),
            },
            coords={**annotation, "factor": factor_names(weights.mean.shape[1])},
            attrs=view.attrs,
        ),
        "weights",
    )


def to_weights(table: xr.Dataset) -> Weights:
    """The inverse of :func:`weights_table`, in the units of the view."""
    names = ("weight", "weight_square", "intercept", "precision")
    # One memory layout, whether fitted or read from a store: BLAS rounds by layout.
    return Weights(table.attrs["likelihood"], *(np.ascontiguousarray(table[name].data) for name in names))


def variance_table(shares: Sequence[Explained], names: Sequence[str]) -> xr.Dataset:
    """Variance explained as NODES["variance"]."""
    r2 = np.stack([share.r2 for share in shares])
    return describe(
        xr.Dataset(
            {
                "r2": (("view", "factor"), r2),
                "r2_total": ("view", np.array([share.r2_total for share in shares])),
                "active": ("factor", (r2.max(axis=0) >= INACTIVE).astype(np.int8)),
            },
            coords={"view": np.asarray(names, dtype=object), "factor": factor_names(r2.shape[1])},
        ),
        "variance",
    )


def restarts_table(fits: Sequence[Expectations], seeds: np.ndarray) -> xr.Dataset:
    """All restarts as NODES["restarts"], in the order in which they were asked for."""
    starts = ["pca", *["random"] * (len(fits) - 1)]
    return describe(
        xr.Dataset(
            {
                "elbo": ("restart", np.array([fit.elbo for fit in fits])),
                "iterations": ("restart", np.array([fit.iterations for fit in fits])),
                "seed": ("restart", seeds.astype(np.int64)),
                "start": ("restart", np.array(starts, dtype=object)),
                "converged": ("restart", np.array([fit.converged for fit in fits], dtype=np.int8)),
            }
        ),
        "restarts",
    )
