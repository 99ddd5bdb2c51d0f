"""Cohorts to prepare, with gaps and ends, and every step of preparing."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import xarray as xr

from omics.cohort import node
from omics.prepare import Centre, DropMissing, DropRare, Impute, RemoveBatch, Scale, Step, TopVariance

STEPS: tuple[Step, ...] = (
    DropMissing(max_missing=0.3),
    DropRare(min_carriers=2),
    RemoveBatch(column="site"),
    TopVariance(n_features=12),
    Centre(),
    Scale(),
    Impute(strategy="median"),
)


def text(values: Sequence[str]) -> np.ndarray:
    return np.array(values, dtype=object)


def a_view(values: np.ndarray, samples: Sequence[str], prefix: str, **attrs: str) -> xr.Dataset:
    return xr.Dataset(
        {"value": (("sample", "feature"), values.astype(np.float32))},
        coords={"sample": text(samples), "feature": text([f"{prefix}{i:03d}" for i in range(values.shape[1])])},
        attrs={"likelihood": "gaussian"} | attrs,
    )


def a_cohort(n: int = 40, seed: int = 0) -> xr.DataTree:
    """Betas with ends and gaps of all, counts of all but three, mutations of all but five; two sites and an unknown."""
    rng = np.random.default_rng(seed)
    samples = [f"P{i:03d}" for i in range(n)]
    beta = rng.beta(0.5, 0.5, (n, 30))
    beta[rng.random(beta.shape) < 0.2] = np.nan
    beta[:, 3], beta[0, 0], beta[1, 0] = 0.5, 0.0, 1.0
    counts = rng.negative_binomial(2, 0.02, (n - 3, 25)) + rng.integers(0, 2, (n - 3, 25)) / 3  # RSEM has fractions
    mutated = rng.random((n - 5, 10)) < np.linspace(0, 0.5, 10)
    mutated[:, 9] = True
    clinical = xr.Dataset(
        {"site": ("sample", text([("A", "B", "")[i % 3] for i in range(n)]))}, coords={"sample": text(samples)}
    )
    chromosome = ("feature", text([("chr1", "chrX", "2")[i % 3] for i in range(30)]))
    return xr.DataTree.from_dict(
        {
            "/views/methylation": a_view(beta, samples, "cg", kind="methylation", units="beta").assign_coords(
                chromosome=chromosome
            ),
            "/views/expression": a_view(counts, samples[3:], "G", kind="expression", units="counts"),
            "/views/mutation": a_view(mutated, samples[:-5], "M", kind="mutation", units="1", likelihood="bernoulli"),
            "/clinical": clinical,
            "/account": xr.Dataset({"layer": ("row", text(["all"])), "samples": ("row", [n])}),
        }
    )


def values(tree: xr.DataTree, view: str) -> np.ndarray:
    return node(tree, f"views/{view}")["value"].to_numpy()


def gaussian(block: np.ndarray, sites: Sequence[str] = ()) -> xr.DataTree:
    """A cohort of one Gaussian view."""
    samples = [f"P{i:03d}" for i in range(len(block))]
    nodes = {"/views/x": a_view(block, samples, "F", kind="expression", units="log2")}
    if sites:
        nodes["/clinical"] = xr.Dataset({"site": ("sample", text(sites))}, coords={"sample": text(samples)})
    return xr.DataTree.from_dict(nodes)


def gappy(shape: tuple[int, int], seed: int = 0, missing: float = 0.3) -> np.ndarray:
    rng = np.random.default_rng(seed)
    block = rng.normal(3, 2, shape)
    block[rng.random(shape) < missing] = np.nan
    return block.astype(np.float32)
