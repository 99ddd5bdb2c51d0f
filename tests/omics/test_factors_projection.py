"""The posterior of new patients against dense linear algebra, an optimiser, and itself in other company."""

from __future__ import annotations

import time

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.special import expit

from omics.factors.projection import posterior
from omics.factors.state import Weights

N_FACTORS = 5


def make_weights(likelihood: str, n_features: int, rng: np.random.Generator, n_factors: int = N_FACTORS) -> Weights:
    mean = rng.normal(size=(n_features, n_factors)) * (rng.random((n_features, n_factors)) < 0.6)
    shift = rng.normal(size=n_features) * {"gaussian": 3.0}.get(likelihood, 0.5)
    precision = np.full(n_features, np.nan) if likelihood == "bernoulli" else rng.gamma(4.0, 0.25, n_features) + 0.2
    if likelihood == "poisson":
        precision = 0.25 + 0.17 * 6 * np.ones(n_features)
    return Weights(likelihood, mean, mean**2 + rng.gamma(1.0, 0.02, mean.shape), shift, precision)


def make_values(weights: Weights, n_samples: int, rng: np.random.Generator, *, missing: float = 0.1) -> np.ndarray:
    eta = rng.normal(size=(n_samples, weights.mean.shape[1])) @ weights.mean.T
    if weights.likelihood == "gaussian":
        values = eta + weights.shift + rng.normal(size=eta.shape) / np.sqrt(weights.precision)
    elif weights.likelihood == "bernoulli":
        values = (rng.random(eta.shape) < expit(eta)).astype(float)
    else:
        values = rng.poisson(np.logaddexp(0, eta)).astype(float)
    values[rng.random(values.shape) < missing] = np.nan
    return values


def dense_gaussian(rows: list[np.ndarray], weights: list[Weights]) -> tuple[np.ndarray, np.ndarray]:
    """Condition the joint Gaussian of (z, y) on one patient's y: a D x D solve, another road than ours."""
    seen = [~np.isnan(row) for row in rows]
    loading = np.concatenate([w.mean[s] for w, s in zip(weights, seen, strict=True)])
    noise = np.concatenate([1 / w.precision[s] for w, s in zip(weights, seen, strict=True)])
    residual = np.concatenate([(r - w.shift)[s] for r, w, s in zip(rows, weights, seen, strict=True)])
    spread = np.concatenate([(w.square - w.mean**2)[s] for w, s in zip(weights, seen, strict=True)])
    prior = np.diag(1 / (1 + (spread / noise[:, None]).sum(axis=0)))  # uncertain weights shrink like a tighter prior
    gain = prior @ loading.T @ np.linalg.inv(loading @ prior @ loading.T + np.diag(noise))
    return gain @ residual, np.sqrt(np.diag(prior - gain @ loading @ prior))


def test_gaussian_posterior_is_the_conditional_of_the_joint_gaussian():
    rng = np.random.default_rng(1)
    weights = [make_weights("gaussian", n, rng) for n in (60, 35)]
    values = [make_values(w, 12, rng, missing=0.2) for w in weights]
    values[0][3] = np.nan  # a whole view
    values[1][4, 5:] = np.nan  # nearly a whole view
    values[0][5] = values[1][5] = np.nan  # everything: the prior is left
    mean, sd = posterior(list(zip(values, weights, strict=True)))
    for n in range(12):
        expected_mean, expected_sd = dense_gaussian([v[n] for v in values], weights)
        np.testing.assert_allclose(mean[n], expected_mean, atol=1e-8, rtol=0)
        np.testing.assert_allclose(sd[n], expected_sd, atol=1e-8, rtol=0)
    np.testing.assert_array_equal(mean[5], 0.0)
    np.testing.assert_array_equal(sd[5], 1.0)


def fixed_point(row: np.ndarray, weights: Weights, *, start: float) -> tuple[np.ndarray, np.ndarray]:
    """One patient, entry by entry, iterated from another start."""
    n_factors = weights.mean.shape[1]
    mean, covariance = np.full(n_factors, start), 0.3 * np.eye(n_factors)
    for _ in range(5000):
        precision, linear = np.eye(n_factors), np.zeros(n_factors)
        for y, w, w2, shift, noise in zip(row, *weights[1:], strict=True):
            if np.isnan(y):
                continue
            eta = w @ mean
            if weights.likelihood == "bernoulli":
                zeta = np.sqrt(eta**2 + w @ covariance @ w + (w2 - w**2) @ (mean**2 + np.diag(covariance)))
                tau = np.tanh(zeta / 2) / (2 * zeta)
                pseudo = (y - 0.5) / tau - shift
            else:
                tau = noise
                rate = np.log1p(np.exp(eta)) + 1e-4
                pseudo = eta - expit(eta) * (1 - y / rate) / tau - shift
            precision += tau * (np.outer(w, w) + np.diag(w2 - w**2))
            linear += tau * pseudo * w
        covariance = np.linalg.inv(precision)
        new = covariance @ linear
        if np.abs(new - mean).max() < 1e-13:
            break
        mean = new
    return new, np.sqrt(np.diag(covariance))


@pytest.mark.parametrize("likelihood", ["bernoulli", "poisson"])
def test_pseudo_data_are_iterated_to_the_fixed_point(likelihood):
    rng = np.random.default_rng(2)
    weights = make_weights(likelihood, 25, rng, n_factors=3)
    values = make_values(weights, 3, rng)
    mean, sd = posterior([(values, weights)])
    for n, row in enumerate(values):
        expected_mean, expected_sd = fixed_point(row, weights, start=0.7)
        np.testing.assert_allclose(mean[n], expected_mean, atol=1e-8, rtol=0)
        np.testing.assert_allclose(sd[n], expected_sd, atol=1e-8, rtol=0)


def test_bernoulli_posterior_maximises_the_jaakkola_bound():
    """One factor, known weights, no shift: the bound as a function of (mean, log sd), maximised by an optimiser."""
    rng = np.random.default_rng(3)
    w = rng.normal(size=30)
    y = (rng.random(30) < expit(1.2 * w)).astype(float)

    def negative_bound(parameters):
        mean, variance = parameters[0], np.exp(2 * parameters[1])
        zeta = np.abs(w) * np.sqrt(mean**2 + variance)  # the best local parameter, at which its own term vanishes
        likelihood = np.sum(np.log(expit(zeta)) + ((2 * y - 1) * w * mean - zeta) / 2)
        divergence = (variance + mean**2 - 1) / 2 - parameters[1]
        return divergence - likelihood

    best = minimize(negative_bound, [0.0, 0.0], method="Nelder-Mead", options={"xatol": 1e-9, "fatol": 1e-12})
    weights = Weights("bernoulli", w[:, None], w[:, None] ** 2, np.zeros(30), np.full(30, np.nan))
    mean, sd = posterior([(y[None], weights)])
    np.testing.assert_allclose([mean[0, 0], sd[0, 0]], [best.x[0], np.exp(best.x[1])], atol=1e-6)


def mixed(n_samples: int, sizes: tuple[int, int, int], seed: int) -> list[tuple[np.ndarray, Weights]]:
    rng = np.random.default_rng(seed)
    weights = [
        make_weights(likelihood, size, rng)
        for likelihood, size in zip(("gaussian", "gaussian", "bernoulli"), sizes, strict=True)
    ]
    views = [(make_values(w, n_samples, rng, missing=0.05), w) for w in weights]
    for values, _ in views:
        values[rng.random(n_samples) < 0.2] = np.nan
    return views


def test_one_patient_alone_is_bitwise_the_same_as_in_any_company():
    views = mixed(150, (301, 97, 33), seed=4)
    mean, sd = posterior(views)
    for n in range(150):
        alone = posterior([(values[n : n + 1], weights) for values, weights in views])
        np.testing.assert_array_equal(alone[0][0], mean[n])
        np.testing.assert_array_equal(alone[1][0], sd[n])
    order = np.random.default_rng(5).permutation(150)[:90]
    shuffled = posterior([(values[order], weights) for values, weights in views])
    np.testing.assert_array_equal(shuffled[0], mean[order])


def test_sd_grows_as_entries_and_views_go_missing():
    rng = np.random.default_rng(6)
    weights = [make_weights("gaussian", 40, rng) for _ in range(2)]
    first, second = (make_values(w, 20, rng, missing=0.0) for w in weights)
    holed = np.where(rng.random(second.shape) < 0.3, np.nan, second)
    sds = [
        posterior([(first, weights[0]), (rest, weights[1])])[1]
        for rest in (second, holed, np.full_like(second, np.nan))
    ]
    assert (sds[0] < sds[1]).all()
    assert (sds[1] < sds[2]).all()
    assert (sds[2] < 1).all()


@pytest.mark.slow
def test_a_cohort_of_360_takes_well_under_a_second():
    views = mixed(360, (5000, 1000, 60), seed=7)
    begun = time.perf_counter()
    posterior(views)
    assert time.perf_counter() - begun < 1.5
