"""The streaming engine's own order of updates: against a naive model, against equations, and against mofapy2's."""

from __future__ import annotations

from collections.abc import Sequence

import dask
import numpy as np
import pandas as pd
import pytest
from scipy.special import expit

from omics.factors import places
from omics.factors.imputation import impute
from omics.factors.state import Layer, Options, Start
from tests.naive_waves import waves_fit
from tests.references import TOLERANCES, make_layers
from tests.streaming import many_parts, many_waves, no_fit_converges, noise, run

OPTIONS = Options(dtype="float64", check_every=1, max_iter=24)
SETS = ["gaussian", "bernoulli", "poisson", "gaussian gaussian", "gaussian bernoulli poisson"]


@pytest.fixture(autouse=True)
def quick():
    """Test data are too small for threads."""
    with dask.config.set(scheduler="synchronous"):
        yield


@pytest.fixture
def endless(monkeypatch):
    no_fit_converges(monkeypatch)


def columns(layers: Sequence[Layer], options: Options, n_waves: int) -> list[list[np.ndarray]]:
    """By wave and view the features that are visited."""
    shapes = [(*layer.values.shape, layer.likelihood == "gaussian") for layer in layers]
    parts = places.layout(shapes, n_waves, np.dtype(options.dtype).itemsize)
    return [
        [
            np.concatenate(
                [np.arange(*cut) for p in parts if (p.wave, p.view) == (wave, v) for cut in p.cuts] or [np.arange(0)]
            )
            for v in range(len(layers))
        ]
        for wave in range(n_waves)
    ]


# --- against the naive model ------------------------------------------------------------------------------------------

CASES = [
    *[(likelihoods, {}) for likelihoods in SETS],
    ("gaussian bernoulli poisson", {"spikeslab_weights": False}),
    ("gaussian bernoulli poisson", {"spikeslab_weights": False, "ard_weights": False}),
    ("gaussian bernoulli poisson", {"spikeslab_factors": True, "ard_factors": True, "weight_views": True}),
    ("gaussian gaussian", {"spikeslab_factors": True, "scale_groups": True}),
    ("gaussian bernoulli", {"ard_factors": True, "scale_views": True, "weight_views": True}),
]


@pytest.mark.parametrize("waves", [1, 8])
@pytest.mark.parametrize(("likelihoods", "changes"), CASES)
def test_every_term_of_every_iteration_is_that_of_the_naive_model(likelihoods, changes, waves, endless, monkeypatch):
    """Brute force over all arrays; past the 20th iteration, from which theta is learnt."""
    if waves > 1:
        many_waves(monkeypatch)
        many_parts(monkeypatch)
    options = OPTIONS._replace(**changes)
    layers, groups = make_layers(likelihoods.split(), groups=2)
    start = noise(groups.size)
    model, expected = waves_fit(layers, groups, start, options, columns(layers, options, waves), options.max_iter)
    (got,), reports = run(layers, groups, [start], options)
    terms = pd.DataFrame([{name: float(value[0]) for name, value in r.terms.items()} for r in reports[1:]])
    assert set(terms) == set(expected)
    rtol = TOLERANCES["mofapy2"]
    np.testing.assert_allclose(terms, expected[terms.columns][1:], rtol=rtol, atol=1e-9)
    np.testing.assert_allclose(got.score, model.z.mean, rtol=rtol, atol=rtol)
    np.testing.assert_allclose(got.score_square, model.z.square, rtol=rtol, atol=rtol)
    np.testing.assert_allclose(got.elbo, sum(model.bound().values()), rtol=rtol)
    if options.scale_views or options.scale_groups:
        return  # units are compared with mofapy2
    for v, weights in enumerate(got.weights):
        np.testing.assert_allclose(weights.mean, model.side_by_side(v, lambda b: b.w.mean), rtol=rtol, atol=rtol)
        np.testing.assert_allclose(weights.square, model.side_by_side(v, lambda b: b.w.square), rtol=rtol, atol=rtol)
        if layers[v].likelihood == "gaussian":
            precision = model.side_by_side(v, lambda b: b.noise.mean.T)
            np.testing.assert_allclose(weights.precision.T, precision, rtol=rtol)
        else:
            intercept = model.side_by_side(v, lambda b: b.b.T)
            np.testing.assert_allclose(weights.intercept.T, intercept, rtol=1e-8, atol=1e-8)


# --- the bound --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("changes", [{}, {"spikeslab_factors": True, "ard_factors": True, "weight_views": True}])
@pytest.mark.parametrize(("groups", "holes"), [(1, 0.0), (2, 0.2)])
@pytest.mark.parametrize("likelihoods", SETS)
def test_the_bound_never_falls(likelihoods, groups, holes, changes, endless, monkeypatch):
    many_waves(monkeypatch)
    layers, codes = make_layers(
        likelihoods.split(), n_samples=40, n_features=40, groups=groups, missing=holes, absent=holes, seed=5
    )
    (got,), reports = run(layers, codes, [noise(40, 4)], OPTIONS._replace(max_iter=40, **changes))
    bounds = np.array([report.elbo[0] for report in reports[1:]])
    np.testing.assert_array_equal(bounds, got.trace[:-1])
    assert np.diff(got.trace).min() > -TOLERANCES["bound"] * np.abs(got.elbo)
    assert got.elbo > bounds[0]


def test_mofapy2_has_no_such_bound(endless):
    """Without an intercept it falls."""
    layers, codes = make_layers(["bernoulli"], n_samples=40, n_features=40, missing=0.2, seed=3)
    (got,), _ = run(layers, codes, [Start(4, seed=3)], OPTIONS._replace(max_iter=48, compat=True))
    assert np.diff(got.trace).min() < -1e-5 * np.abs(got.elbo)


def test_at_the_end_factors_are_the_exact_posterior_given_the_weights(endless, monkeypatch):
    """For each sample: mean (I + sum tau E[w w'])^-1 sum tau y E[w], which is no update of ours; and its variances."""
    many_waves(monkeypatch)
    layers, codes = make_layers(["gaussian", "gaussian"], n_samples=40, n_features=60, groups=2, missing=0.2)
    (got,), _ = run(layers, codes, [noise(40)], OPTIONS._replace(max_iter=400, spikeslab_weights=False))
    for n in range(40):
        precision, linear = np.eye(3), np.zeros(3)
        for layer, weights in zip(layers, got.weights, strict=True):
            for y in layer.values[layer.rows == n]:
                known = ~np.isnan(y)
                tau, w = weights.precision[codes[n], known], weights.mean[known]
                precision += (tau[:, None] * w).T @ w
                precision += np.diag(tau @ (weights.square[known] - w**2))
                linear += (tau * (y[known] - weights.intercept[codes[n], known])) @ w
        np.testing.assert_allclose(got.score[n], np.linalg.solve(precision, linear), rtol=0, atol=1e-4)
        np.testing.assert_allclose(got.score_square[n] - got.score[n] ** 2, 1 / np.diag(precision), rtol=1e-3)


# --- against mofapy2's order and bounds -------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", [0, 1])
def test_waves_need_fewer_passes_to_the_same_bound(seed, endless, monkeypatch):
    """They need 35-37 where mofapy2's order needs 58-63."""
    many_waves(monkeypatch)
    rng = np.random.default_rng(seed)
    scores = rng.normal(size=(100, 4))
    layers = []
    for n_features in (200, 300):
        weights = rng.normal(size=(4, n_features)) * (rng.random((4, n_features)) < 0.5)
        layers.append(Layer(scores @ weights + 1.5 * rng.normal(size=(100, n_features)), "gaussian", np.arange(100)))
    options = OPTIONS._replace(max_iter=60, spikeslab_weights=False)
    usual, ours = (
        run(layers, np.zeros(100, int), [Start(4, seed=seed)], options._replace(compat=compat))[0][0].trace
        for compat in (True, False)
    )
    assert len(usual) == 60
    passes = 2 + int(np.argmax(ours[:-1] >= usual[-1]))  # the first bound follows the second pass
    assert passes < 60 / 1.4
    assert ours[-1] > usual[-1]


@pytest.mark.parametrize("seed", [0, 1])
def test_binary_entries_held_out_are_likelier_with_an_intercept(seed):
    """Rare and common features: -0.39 nats an entry, -0.63 with mofapy2's bound, -0.48 with frequencies alone."""
    rng = np.random.default_rng(seed)
    scores, common = rng.normal(size=(150, 3)), rng.uniform(-4, 4, 80)
    p = expit(scores @ (1.5 * rng.normal(size=(3, 80)) * (rng.random((3, 80)) < 0.6)) + common)
    y = (rng.random(p.shape) < p) * 1.0
    y[0], y[1] = 0.0, 1.0
    held_out = rng.random(y.shape) < 0.1
    held_out[:2] = False
    layers, groups = [Layer(np.where(held_out, np.nan, y), "bernoulli", np.arange(150))], np.zeros(150, int)

    def log_likelihood(q: np.ndarray) -> float:
        return float(np.mean((y * np.log(q) + (1 - y) * np.log1p(-q))[held_out]))

    ours, theirs = (
        log_likelihood(impute(fit.score, fit.weights[0], groups, compat=compat))
        for compat in (False, True)
        for (fit,) in [run(layers, groups, [Start(3)], Options(compat=compat, dtype="float64"))[0]]
    )
    frequencies = log_likelihood(np.nanmean(layers[0].values, axis=0) * np.ones_like(y))
    assert log_likelihood(p) > ours > frequencies + 0.05
    assert ours > theirs + 0.1
