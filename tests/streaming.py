"""Helpers of tests of the streaming engine."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from omics import blocks
from omics import cohort as store
from omics.artefact import Provenance
from omics.factors import MOFA, places, stream
from omics.factors.state import Expectations, Layer, Options, Start
from omics.factors.stream import Report
from tests.references import make_layers


def run(
    layers: Sequence[Layer], groups: np.ndarray, starts: Sequence[Start], options: Options, **where: object
) -> tuple[list[Expectations], list[Report]]:
    """Fits, and what their watcher was told after each pass."""
    reports: list[Report] = []
    return stream.fit(layers, groups, starts, options, watch=reports.append, **where), reports


def noise(n_samples: int, n_factors: int = 3, seed: int = 0) -> Start:
    """Start from given scores."""
    return Start(n_factors, score=np.random.default_rng(seed).normal(size=(n_samples, n_factors)))


def no_fit_converges(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "THRESHOLDS", {"fast": -1.0})


def many_waves(monkeypatch: pytest.MonkeyPatch, n_waves: int = 8) -> None:
    """Several waves a pass, as large data have."""
    monkeypatch.setattr(places, "WAVE_BYTES", 1)
    monkeypatch.setattr(places, "N_WAVES", n_waves)


def many_parts(monkeypatch: pytest.MonkeyPatch, times: int = 1) -> None:
    """Cut test data into many parts, and parts into many blocks, as large data are."""
    monkeypatch.setattr(places, "_SMALL_PART", 0)
    monkeypatch.setattr(places, "PART_BYTES", 2000 * times)
    monkeypatch.setattr(places, "BLOCK_BYTES", 1000 * times)


def assert_equal_fits(one: Expectations, other: Expectations, rtol: float) -> None:
    """Within a tolerance, relative to 1 where a number is small."""
    assert (one.iterations, one.converged) == (other.iterations, other.converged)
    for ours, theirs in zip(_arrays(one), _arrays(other), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=rtol, atol=rtol)


def assert_identical_fits(one: Expectations, other: Expectations) -> None:
    """Bit for bit."""
    assert (one.iterations, one.converged) == (other.iterations, other.converged)
    for ours, theirs in zip(_arrays(one), _arrays(other), strict=True):
        np.testing.assert_array_equal(ours, theirs, strict=True)


def _arrays(fit: Expectations) -> list[np.ndarray]:
    parts = [fit.score, fit.score_square, fit.trace, *fit.scales]
    for weights in fit.weights:
        parts += [weights.mean, weights.square, weights.intercept, weights.precision]
    for explained in fit.explained:
        parts += [explained.r2, explained.r2_total, explained.total, np.asarray(explained.scale)]
    return parts


def cohort(
    n_samples: int = 60, likelihoods: Sequence[str] = ("gaussian", "bernoulli", "gaussian"), seed: int = 0
) -> xr.DataTree:
    """Views ``/views/view0`` ... of planted factors, with missing entries and patients who lack a view."""
    layers, _ = make_layers(likelihoods, n_samples=n_samples, n_features=90, missing=0.05, seed=seed)
    views = {}
    for v, layer in enumerate(layers):
        ids, features = ([f"{kind}{i:04d}" for i in range(n)] for kind, n in zip("Pf", (n_samples, 200), strict=True))
        views[f"/views/view{v}"] = xr.Dataset(
            {"value": (("sample", "feature"), layer.values.astype(np.float32))},
            coords={
                "sample": np.array(ids, dtype=object)[layer.rows],
                "feature": np.array(features[: layer.values.shape[1]], dtype=object),
            },
            attrs={"kind": f"view{v}", "likelihood": layer.likelihood, "units": "1"},
        )
    return xr.DataTree.from_dict(views)


def stored(tree: xr.DataTree, path: Path, monkeypatch: pytest.MonkeyPatch) -> xr.DataTree:
    """The same cohort, opened from a store of chunks of 32 samples and 16 features."""
    with monkeypatch.context() as patch:
        patch.setattr(blocks, "features_per_block", lambda *_: 16)
        patch.setattr(store, "features_per_block", lambda *_: 16)
        patch.setattr(store, "BLOCK_SAMPLES", 32)
        store.save(tree, path, Provenance("cohort"))
    opened = store.open(path)
    assert opened["views/view0/value"].chunks[1][0] == 16
    return opened


def assert_identical_models(one: MOFA, other: MOFA) -> None:
    """Bit for bit, but for the time that it took."""
    xr.testing.assert_identical(one.to_tree(), other.to_tree())
