"""The streaming engine: what changes nothing, several fits in one pass, factors that are dropped, odd shapes."""

from __future__ import annotations

import dask
import numpy as np
import pytest

from omics.factors import places, stream
from omics.factors.state import Options, Start
from tests.references import TOLERANCES, make_layers
from tests.streaming import assert_equal_fits, assert_identical_fits, many_parts, many_waves, noise, run

OPTIONS = Options(dtype="float64", check_every=1, max_iter=30)
ALL = ["gaussian", "bernoulli", "poisson"]


@pytest.fixture(autouse=True)
def waves(monkeypatch):
    """Several waves a pass; test data are too small for threads."""
    many_waves(monkeypatch)
    with dask.config.set(scheduler="synchronous"):
        yield


# --- what changes nothing ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("compat", [False, True])
def test_the_order_of_samples_and_views_changes_nothing(compat):
    layers, codes = make_layers(ALL, n_samples=40, groups=2)
    options, start = OPTIONS._replace(compat=compat), noise(40)
    (expected,), _ = run(layers, codes, [start], options)
    rng = np.random.default_rng(3)
    order = np.concatenate([rng.permutation(np.flatnonzero(codes == g)) for g in (0, 1)])  # new sample -> old
    moved = [
        layer._replace(values=layer.values[own], rows=np.argsort(order)[layer.rows][own])
        for layer in layers
        for own in [rng.permutation(layer.rows.size)]
    ]
    (got,), _ = run(moved[::-1], codes, [Start(3, score=start.score[order])], options)
    back = np.argsort(order)
    assert_equal_fits(
        got._replace(
            score=got.score[back],
            score_square=got.score_square[back],
            weights=got.weights[::-1],
            explained=got.explained[::-1],
        ),
        expected,
        TOLERANCES["chunking float64"],
    )


@pytest.mark.parametrize("compat", [False, True])
def test_the_order_of_features_changes_nothing(compat):
    """In mofapy2's order of updates at any time; in ours, whose waves have others then, at the end."""
    layers, codes = make_layers(["gaussian", "gaussian"], n_samples=40, groups=2, missing=0.05)
    options = OPTIONS._replace(compat=compat, max_iter=30 if compat else 800, convergence="slow", check_every=5)
    (expected,), _ = run(layers, codes, [Start(3)], options)
    orders = [np.random.default_rng(v).permutation(layer.values.shape[1]) for v, layer in enumerate(layers)]
    moved = [layer._replace(values=layer.values[:, order]) for layer, order in zip(layers, orders, strict=True)]
    (got,), _ = run(moved, codes, [Start(3)], options)
    if not compat:
        assert abs(got.elbo - expected.elbo) < 1e-5 * abs(expected.elbo)
        np.testing.assert_allclose(got.score, expected.score, atol=0.01)
        return
    rtol = TOLERANCES["chunking float64"]
    np.testing.assert_allclose(got.trace, expected.trace, rtol=rtol)
    np.testing.assert_allclose(got.score, expected.score, rtol=rtol, atol=rtol)
    for ours, theirs, order in zip(got.weights, expected.weights, orders, strict=True):
        np.testing.assert_allclose(ours.mean, theirs.mean[order], rtol=rtol, atol=rtol)
        np.testing.assert_allclose(ours.precision, theirs.precision[:, order], rtol=rtol)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("compat", [False, True])
def test_where_data_are_cut_changes_nothing(dtype, compat, monkeypatch):
    """Blocks of any size; parts too in mofapy2's order of updates (in ours they say which features share a wave)."""
    layers, codes = make_layers(["gaussian", *ALL], n_samples=40, n_features=150, groups=2)
    options = OPTIONS._replace(compat=compat, dtype=dtype, max_iter=15)
    (expected,), _ = run(layers, codes, [Start(3)], options)
    monkeypatch.setattr(places, "BLOCK_BYTES", 1000)
    if compat:
        many_parts(monkeypatch)
    (got,), _ = run(layers, codes, [Start(3)], options)
    assert_equal_fits(got, expected, 10 * TOLERANCES[f"chunking {dtype}"])


def test_the_number_of_threads_changes_no_bit(monkeypatch):
    many_parts(monkeypatch)
    layers, codes = make_layers(ALL, n_samples=40, n_features=100)
    fits = []
    for config in ({"scheduler": "synchronous"}, *({"scheduler": "threads", "num_workers": n} for n in (1, 2, 5))):
        with dask.config.set(config):
            fits += run(layers, codes, [Start(3)], OPTIONS._replace(dtype="float32"))[0]
    for other in fits[1:]:
        assert_identical_fits(other, fits[0])


def test_arguments_stay_as_they_are():
    layers, codes = make_layers(ALL)
    copies, start = [layer.values.copy() for layer in layers], noise(30)
    score = start.score.copy()
    run(layers, codes, [start], OPTIONS)
    for layer, copy in zip(layers, copies, strict=True):
        np.testing.assert_array_equal(layer.values, copy)
    np.testing.assert_array_equal(start.score, score)


# --- several fits in one pass -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("compat", [False, True])
@pytest.mark.parametrize("likelihoods", ["gaussian gaussian", "gaussian bernoulli poisson"])
def test_fits_that_share_passes_are_those_alone(likelihoods, compat, monkeypatch):
    """Of different sizes, which converge after different passes; only the best has weights."""
    monkeypatch.setattr(stream, "N_WAVES", 3)
    layers, codes = make_layers(likelihoods.split(), n_samples=50, groups=2)
    starts = [noise(50, 5, 1), Start(2), noise(50, 3, 2), noise(50, 3, 4)]
    options = OPTIONS._replace(compat=compat, check_every=5, max_iter=400)
    together, reports = run(layers, codes, starts, options)
    alone = [run(layers, codes, [start], options)[0][0] for start in starts]
    assert len({fit.iterations for fit in alone}) >= 3
    assert all(fit.converged for fit in alone)
    assert len({len(report.fits) for report in reports}) >= 3
    best = int(np.argmax([fit.elbo for fit in alone]))
    for f, (got, expected) in enumerate(zip(together, alone, strict=True)):
        assert bool(got.weights) == (f == best)
        shown = expected if got.weights else expected._replace(weights=())
        assert_equal_fits(got, shown, TOLERANCES["chunking float64"])
