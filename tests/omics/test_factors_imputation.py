"""Values that factors lead to: against the formulas, lazily, and in little memory."""

from __future__ import annotations

import tracemalloc

import dask
import numpy as np
import pytest
import zarr

from omics.blocks import features_per_block
from omics.factors.imputation import impute, inverse
from omics.factors.state import Weights

DIRECT = {
    "gaussian": lambda eta: eta,
    "bernoulli": lambda eta: 1 / (1 + np.exp(-eta)),
    "poisson": lambda eta: np.log(1 + np.exp(eta)),
}


def make(likelihood: str, n_samples: int, n_features: int, dtype: type = float) -> tuple:
    rng = np.random.default_rng(1)
    mean = rng.normal(size=(n_features, 4)).astype(dtype)
    intercept = rng.normal(size=(2, n_features)) * 3
    weights = Weights(likelihood, mean, mean**2, intercept, np.full((2, n_features), np.nan))
    return rng.normal(size=(n_samples, 4)), weights, rng.integers(0, 2, n_samples)


@pytest.mark.parametrize("likelihood", list(DIRECT))
@pytest.mark.parametrize("compat", [False, True])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_values_are_those_of_the_formula(likelihood, compat, dtype):
    score, weights, groups = make(likelihood, 7, 11, dtype)
    expected = np.empty((7, 11))
    for n in range(7):
        for d in range(11):
            eta = float(score[n] @ weights.mean[d].astype(float))
            if likelihood == "gaussian" or not compat:
                eta += weights.intercept[groups[n], d]
            expected[n, d] = DIRECT[likelihood](eta)
    np.testing.assert_allclose(impute(score, weights, groups, compat=compat), expected, rtol=1e-12)
    lazy = inverse(score, weights, groups, compat=compat)
    assert lazy.dtype == np.float32
    np.testing.assert_allclose(lazy.compute(), expected, rtol=1e-6)


@pytest.mark.parametrize(("likelihood", "low", "high"), [("bernoulli", 0.0, 1.0), ("poisson", 0.0, 2000.0)])
def test_extreme_predictors_do_not_overflow(likelihood, low, high):
    weights = Weights(likelihood, np.array([[2.0]]), np.array([[4.0]]), np.zeros((1, 1)), np.ones((1, 1)))
    values = inverse(np.array([[-1000.0], [1000.0]]), weights, np.zeros(2, dtype=int)).compute()
    np.testing.assert_array_equal(values[:, 0], [low, high])


def test_nothing_is_computed_before_it_is_asked_for(monkeypatch):
    score, weights, groups = make("gaussian", 2100, 5000)
    calls = []

    def counted(*arguments, **options):
        calls.append(1)
        return impute(*arguments, **options)

    monkeypatch.setattr("omics.factors.imputation.impute", counted)
    lazy = inverse(score, weights, groups)
    assert not calls
    assert lazy.chunks[0] == (1024, 1024, 52)
    assert lazy.chunks[1][0] == features_per_block(2100)
    part = lazy[:10, :10].compute()
    assert len(calls) == 1  # one block needs no other
    np.testing.assert_allclose(part, impute(score, weights, groups)[:10, :10], rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("shape", [(0, 5), (1, 5), (3, 1), (1, 3_000_000)])
def test_odd_shapes(shape):
    lazy = inverse(*make("gaussian", *shape))
    assert lazy.shape == shape
    assert lazy.compute().shape == shape


def test_an_imputation_is_written_without_being_held(tmp_path):
    """200 x 100,000 are 80 MB; blocks of 8 MB go to the store one at a time."""
    score, weights, groups = make("gaussian", 200, 100_000, np.float32)
    lazy = inverse(score, weights, groups)
    store = zarr.create_array(tmp_path / "imputed.zarr", shape=lazy.shape, chunks=lazy.chunksize, dtype="float32")
    tracemalloc.start()
    with dask.config.set(scheduler="synchronous"):
        lazy.store(store, lock=False)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 200 * 100_000 * 4 * 0.6
    np.testing.assert_allclose(
        store[150:, 99_990:], impute(score, weights, groups)[150:, 99_990:], rtol=1e-5, atol=1e-5
    )
