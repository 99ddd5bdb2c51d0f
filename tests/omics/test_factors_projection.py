"""The posterior of new patients against dense linear algebra, an optimiser, and itself in other company."""

from __future__ import annotations

import time
import tracemalloc

import dask
import dask.array as da
import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.special import expit
from threadpoolctl import threadpool_limits

from omics.factors.likelihoods import PSEUDO
from omics.factors.patientwise import product
from omics.factors.projection import Projected, posterior
from omics.factors.state import Weights
from omics.schema import DataError

N_FACTORS = 5


def make_weights(
    likelihood: str, n_features: int, rng: np.random.Generator, n_factors: int = N_FACTORS, n_groups: int = 1
) -> Weights:
    mean = rng.normal(size=(n_features, n_factors)) * (rng.random((n_features, n_factors)) < 0.6)
    shape = (n_groups, n_features)
    intercept = rng.normal(size=shape) * {"gaussian": 3.0}.get(likelihood, 0.5)
    precision = np.full(shape, np.nan) if likelihood == "bernoulli" else rng.gamma(4.0, 0.25, shape) + 0.2
    if likelihood == "poisson":
        precision = np.full(shape, 0.25 + 0.17 * 6)
    return Weights(likelihood, mean, mean**2 + rng.gamma(1.0, 0.02, mean.shape), intercept, precision)


def make_values(weights: Weights, groups: np.ndarray, rng: np.random.Generator, *, missing: float = 0.1) -> np.ndarray:
    eta = rng.normal(size=(groups.size, weights.mean.shape[1])) @ weights.mean.T + weights.intercept[groups]
    if weights.likelihood == "gaussian":
        values = eta + rng.normal(size=eta.shape) / np.sqrt(weights.precision[groups])
    elif weights.likelihood == "bernoulli":
        values = (rng.random(eta.shape) < expit(eta)).astype(float)
    else:
        values = rng.poisson(np.logaddexp(0, eta)).astype(float)
    values[rng.random(values.shape) < missing] = np.nan
    return values


def whole(values: np.ndarray, weights: Weights) -> Projected:
    """A view that all patients have, with all features in the order of the model."""
    return Projected(values, np.arange(values.shape[0]), np.arange(values.shape[1]), weights)


def one_group(values: np.ndarray) -> np.ndarray:
    return np.zeros(len(values), dtype=int)


# --- brute force --------------------------------------------------------------------------------------------------


def dense_gaussian(rows: list[np.ndarray], weights: list[Weights], group: int) -> tuple[np.ndarray, np.ndarray]:
    """Condition the joint Gaussian of (z, y) on one patient's y: a D x D solve, another road than ours."""
    seen = [~np.isnan(row) for row in rows]
    loading = np.concatenate([w.mean[s] for w, s in zip(weights, seen, strict=True)])
    noise = np.concatenate([1 / w.precision[group, s] for w, s in zip(weights, seen, strict=True)])
    residual = np.concatenate([(r - w.intercept[group])[s] for r, w, s in zip(rows, weights, seen, strict=True)])
    spread = np.concatenate([(w.square - w.mean**2)[s] for w, s in zip(weights, seen, strict=True)])
    prior = np.diag(1 / (1 + (spread / noise[:, None]).sum(axis=0)))  # uncertain weights shrink like a tighter prior
    gain = prior @ loading.T @ np.linalg.inv(loading @ prior @ loading.T + np.diag(noise))
    return gain @ residual, np.sqrt(np.diag(prior - gain @ loading @ prior))


def test_gaussian_posterior_is_the_conditional_of_the_joint_gaussian():
    rng = np.random.default_rng(1)
    groups = rng.integers(0, 3, 14)
    weights = [make_weights("gaussian", n, rng, n_groups=3) for n in (60, 35)]
    values = [make_values(w, groups, rng, missing=0.2) for w in weights]
    values[0][3] = np.nan  # a whole view
    values[1][4, 5:] = np.nan  # nearly a whole view
    values[0][5] = values[1][5] = np.nan  # everything: the prior is left
    mean, sd = posterior([whole(v, w) for v, w in zip(values, weights, strict=True)], groups)
    for n, group in enumerate(groups):
        expected_mean, expected_sd = dense_gaussian([v[n] for v in values], weights, group)
        np.testing.assert_allclose(mean[n], expected_mean, atol=1e-8, rtol=0)
        np.testing.assert_allclose(sd[n], expected_sd, atol=1e-8, rtol=0)
    np.testing.assert_array_equal(mean[5], 0.0)
    np.testing.assert_array_equal(sd[5], 1.0)


def fixed_point(
    row: np.ndarray, weights: Weights, group: int, *, compat: bool, start: float
) -> tuple[np.ndarray, np.ndarray]:
    """One patient, entry by entry and by plain steps, iterated from another start."""
    n_factors = weights.mean.shape[1]
    mean, covariance = np.full(n_factors, start), 0.3 * np.eye(n_factors)
    before = covariance
    for _ in range(20000):
        precision, linear = np.eye(n_factors), np.zeros(n_factors)
        features = zip(row, *weights[1:3], weights.intercept[group], weights.precision[group], strict=True)
        for y, w, w2, shift, noise in features:
            if np.isnan(y):
                continue
            b = 0.0 if compat else shift
            eta = b + w @ mean
            if weights.likelihood == "bernoulli":
                zeta = np.sqrt(eta**2 + w @ covariance @ w + (w2 - w**2) @ (mean**2 + np.diag(covariance)))
                tau = np.tanh(zeta / 2) / (2 * zeta)
                pseudo = (y - 0.5) / tau - shift
            else:
                tau = noise if compat else 0.25 + 0.17 * y
                rate = np.log1p(np.exp(eta)) + (1e-4 if compat else 0.0)
                pseudo = eta - expit(eta) * (1 - y / rate) / tau - shift
            precision += tau * (np.outer(w, w) + np.diag(w2 - w**2))
            linear += tau * pseudo * w
        covariance = np.linalg.inv(precision)
        new = covariance @ linear
        change = np.abs(new - mean).max() + np.abs(covariance - before).max()
        mean, before = new, covariance
        if change < 1e-13:
            break
    return mean, np.sqrt(np.diag(covariance))


@pytest.mark.parametrize("likelihood", ["bernoulli", "poisson"])
@pytest.mark.parametrize("compat", [False, True])
def test_pseudo_data_are_iterated_to_the_fixed_point(likelihood, compat):
    rng = np.random.default_rng(2)
    weights = make_weights(likelihood, 25, rng, n_factors=3, n_groups=2)
    groups = np.array([1, 0, 1, 0])
    values = make_values(weights, groups, rng)
    values[3] = np.nan
    mean, sd = posterior([whole(values, weights)], groups, compat=compat)
    for n, row in enumerate(values[:3]):
        expected_mean, expected_sd = fixed_point(row, weights, groups[n], compat=compat, start=0.7)
        np.testing.assert_allclose(mean[n], expected_mean, atol=1e-8, rtol=0)
        np.testing.assert_allclose(sd[n], expected_sd, atol=1e-8, rtol=0)
    np.testing.assert_array_equal(mean[3], 0.0)
    np.testing.assert_array_equal(sd[3], 1.0)


def test_covariance_converges_where_the_mean_never_moves():
    """Each feature twice, once with 0 and once with 1: the mean stays 0, zeta does not."""
    mean = np.repeat(np.random.default_rng(23).normal(size=(6, 2)) * 3, 2, axis=0)
    weights = Weights("bernoulli", mean, mean**2, np.zeros((1, 12)), np.full((1, 12), np.nan))
    values = np.resize([0.0, 1.0], (1, 12))
    score, sd = posterior([whole(values, weights)], one_group(values))
    np.testing.assert_allclose(score, 0.0, atol=1e-12)
    np.testing.assert_allclose(sd[0], fixed_point(values[0], weights, 0, compat=False, start=0.7)[1], atol=1e-8)


def test_views_of_all_likelihoods_inform_one_posterior():
    """At the fixed point the posterior is that of Gaussian views which hold the pseudo-data."""
    rng = np.random.default_rng(8)
    groups = np.array([0, 1, 1])
    weights = [make_weights(k, 20, rng, n_groups=2) for k in ("gaussian", "bernoulli", "poisson")]
    values = [make_values(w, groups, rng) for w in weights]
    mean, sd = posterior([whole(v, w) for v, w in zip(values, weights, strict=True)], groups)
    for n, group in enumerate(groups):
        rows, gaussians = [values[0][n]], [weights[0]]
        covariance = np.diag(sd[n] ** 2)
        for _ in range(200):  # the covariance, given the mean that we found
            rows, gaussians = rows[:1], gaussians[:1]
            for y, w in zip(values[1:], weights[1:], strict=True):
                own = w.mean @ mean[n]
                second = covariance + np.outer(mean[n], mean[n])
                square = np.einsum("dk,kl,dl->d", w.mean, second, w.mean) + (w.square - w.mean**2) @ np.diag(second)
                pseudo = PSEUDO[w.likelihood, False](y[n], own, square, w.intercept[group], w.precision[group])
                rows.append(pseudo.values)
                at_group = np.tile(pseudo.precision, (2, 1))
                gaussians.append(w._replace(intercept=np.zeros((2, 20)), precision=at_group))
            loading, tau, spread = (
                np.concatenate(parts)
                for parts in zip(
                    *[
                        (g.mean[s], g.precision[group, s], (g.square - g.mean**2)[s])
                        for g, s in zip(gaussians, [~np.isnan(r) for r in rows], strict=True)
                    ],
                    strict=True,
                )
            )
            covariance = np.linalg.inv(np.eye(N_FACTORS) + (loading.T * tau) @ loading + np.diag(tau @ spread))
        expected_mean, expected_sd = dense_gaussian(rows, gaussians, group)
        np.testing.assert_allclose(mean[n], expected_mean, atol=1e-8, rtol=0)
        np.testing.assert_allclose(sd[n], expected_sd, atol=1e-8, rtol=0)


# --- an optimiser -------------------------------------------------------------------------------------------------


def test_bernoulli_posterior_maximises_the_jaakkola_bound():
    """One factor, known weights: the bound as a function of (mean, log sd), maximised by an optimiser."""
    rng = np.random.default_rng(3)
    w, b = rng.normal(size=30), rng.normal(size=30) - 1
    y = (rng.random(30) < expit(1.2 * w + b)).astype(float)

    def negative_bound(parameters):
        mean, variance = parameters[0], np.exp(2 * parameters[1])
        zeta = np.sqrt((b + w * mean) ** 2 + w**2 * variance)  # the best one, at which its own term vanishes
        likelihood = np.sum(np.log(expit(zeta)) + ((2 * y - 1) * (b + w * mean) - zeta) / 2)
        divergence = (variance + mean**2 - 1) / 2 - parameters[1]
        return divergence - likelihood

    best = minimize(negative_bound, [0.0, 0.0], method="Nelder-Mead", options={"xatol": 1e-9, "fatol": 1e-12})
    weights = Weights("bernoulli", w[:, None], w[:, None] ** 2, b[None], np.full((1, 30), np.nan))
    mean, sd = posterior([whole(y[None], weights)], np.array([0]))
    np.testing.assert_allclose([mean[0, 0], sd[0, 0]], [best.x[0], np.exp(best.x[1])], atol=1e-6)


@pytest.mark.parametrize("level", [0.0, 3.0, 300.0])
def test_poisson_mean_is_the_mode_even_where_counts_are_large(level):
    """With known weights the bound touches at the mode; plain steps would need 100,000 iterations at the last level."""
    rng = np.random.default_rng(9)
    w = rng.normal(size=(40, 2)) * (1 + level / 10)
    b = np.full(40, level)
    y = rng.poisson(np.logaddexp(0, b + w @ [1.0, -0.5])).astype(float)

    def negative(z):
        eta = b + w @ z
        rate = np.logaddexp(0, eta)
        slope = expit(eta) * (1 - y / rate)
        return z @ z / 2 + np.sum(rate - y * np.log(rate)), z + w.T @ slope

    best = minimize(negative, np.zeros(2), jac=True, method="BFGS", options={"gtol": 1e-9})
    precision = np.full((1, 40), np.nan)  # it depends on the count
    mean, sd = posterior([whole(y[None], Weights("poisson", w, w**2, b[None], precision))], np.array([0]))
    np.testing.assert_allclose(mean[0], best.x, atol=1e-6)
    expected = np.linalg.inv(np.eye(2) + (w * (0.25 + 0.17 * y)[:, None]).T @ w)
    np.testing.assert_allclose(sd[0], np.sqrt(np.diag(expected)), atol=1e-10)


@pytest.mark.parametrize("compat", [False, True])
@pytest.mark.parametrize("likelihood", ["bernoulli", "poisson"])
def test_extreme_intercepts_give_finite_factors(likelihood, compat):
    rng = np.random.default_rng(10)
    weights = make_weights(likelihood, 30, rng)._replace(intercept=np.resize([-900.0, -40.0, 40.0, 0.0], (1, 30)))
    values = np.stack([np.zeros(30), np.ones(30), np.resize([0.0, 1.0], 30)])
    mean, sd = posterior([whole(values, weights)], one_group(values), compat=compat)
    assert np.isfinite(mean).all()
    assert (sd > 0).all()
    assert (sd <= 1).all()


# --- company, chunks, order ---------------------------------------------------------------------------------------


def mixed(n_samples: int, sizes: tuple[int, ...], seed: int) -> tuple[list[Projected], np.ndarray]:
    rng = np.random.default_rng(seed)
    groups = rng.integers(0, 2, n_samples)
    kinds = ("gaussian", "gaussian", "bernoulli", "poisson")
    views = []
    for likelihood, size in zip(kinds, sizes, strict=True):
        weights = make_weights(likelihood, size, rng, n_groups=2)
        values = make_values(weights, groups, rng, missing=0.05)
        values[::5] = np.nan_to_num(values[::5])  # some are complete
        values[1::9, : size // 3 * 2] = np.nan  # others lack most
        rows = np.flatnonzero(rng.random(n_samples) < 0.8)
        views.append(Projected(values[rows], rows, np.arange(size), weights))
    return views, groups


def only(views: list[Projected], groups: np.ndarray, patients: np.ndarray) -> tuple[list[Projected], np.ndarray]:
    """The same views of some patients, in the given order."""
    some = []
    for view in views:
        own = np.concatenate([np.flatnonzero(view.rows == patient) for patient in patients])
        rows = np.concatenate([np.flatnonzero(patients == row) for row in view.rows[own]]) if own.size else own
        some.append(view._replace(values=view.values[own], rows=rows.astype(int)))
    return some, groups[patients]


SIZES = (9001, 97, 33, 21)  # the first has three blocks, the last of another length


def test_one_patient_alone_is_bitwise_the_same_as_in_any_company():
    views, groups = mixed(150, SIZES, seed=4)
    mean, sd = posterior(views, groups)
    for n in range(0, 150, 3):
        alone = posterior(*only(views, groups, np.array([n])))
        np.testing.assert_array_equal(alone[0][0], mean[n])
        np.testing.assert_array_equal(alone[1][0], sd[n])
    order = np.random.default_rng(5).permutation(150)[:90]
    shuffled = posterior(*only(views, groups, order))
    np.testing.assert_array_equal(shuffled[0], mean[order])
    np.testing.assert_array_equal(shuffled[1], sd[order])


@pytest.mark.parametrize("chunks", [(-1, -1), (-1, 1000), (7, 4096), (50, 1), (1, -1)])
def test_chunks_do_not_change_a_bit(chunks):
    views, groups = mixed(40, (5000, 97, 33, 21) if chunks[1] != 1 else (60, 50, 33, 21), seed=11)
    mean, sd = posterior(views, groups)
    lazy = [view._replace(values=da.from_array(view.values, chunks=chunks)) for view in views]
    for scheduler in ("synchronous", "threads"):
        with dask.config.set(scheduler=scheduler):
            found = posterior(lazy, groups)
            alone = posterior(*only(lazy, groups, np.array([17])))
        np.testing.assert_array_equal(found[0], mean)
        np.testing.assert_array_equal(found[1], sd)
        np.testing.assert_array_equal(alone[0][0], mean[17])
        np.testing.assert_array_equal(alone[1][0], sd[17])


def test_layout_in_memory_does_not_change_a_bit():
    views, groups = mixed(20, SIZES, seed=11)
    turned = [view._replace(values=np.asfortranarray(view.values)) for view in views]
    np.testing.assert_array_equal(posterior(turned, groups)[0], posterior(views, groups)[0])
    rng = np.random.default_rng(24)
    rows, matrix = rng.normal(size=(30, 501)), rng.normal(size=(501, 7))
    np.testing.assert_array_equal(product(np.asfortranarray(rows), matrix), product(rows, matrix))
    np.testing.assert_allclose(product(rows, matrix), rows @ matrix, atol=1e-12)


def test_threads_of_blas_do_not_change_a_bit():
    views, groups = mixed(20, SIZES, seed=11)
    found = []
    for threads in (1, 2, 3):
        with threadpool_limits(threads):
            found.append(posterior(views, groups)[0])
    np.testing.assert_array_equal(found[1], found[0])
    np.testing.assert_array_equal(found[2], found[0])


@pytest.mark.slow
def test_processes_give_the_same_bits():
    views, groups = mixed(40, (5000, 97, 33, 21), seed=11)
    mean, _ = posterior(views, groups)
    lazy = [view._replace(values=da.from_array(view.values, chunks=(-1, 2000))) for view in views]
    with dask.config.set(scheduler="processes", num_workers=2):
        np.testing.assert_array_equal(posterior(views, groups)[0], mean)
        np.testing.assert_array_equal(posterior(lazy, groups)[0], mean)


def test_more_patients_than_a_block_of_them():
    views, groups = mixed(2500, (30, 20, 6, 5), seed=12)
    mean, _ = posterior(views, groups)
    lazy = [view._replace(values=da.from_array(view.values, chunks=(700, 8))) for view in views]
    np.testing.assert_array_equal(posterior(lazy, groups)[0], mean)
    last = posterior(*only(views, groups, np.array([2499])))[0]
    np.testing.assert_array_equal(last[0], mean[2499])


@pytest.mark.parametrize("lazy", [False, True])
def test_order_of_the_columns_does_not_matter(lazy):
    views, groups = mixed(40, SIZES, seed=13)
    mean, sd = posterior(views, groups)
    rng = np.random.default_rng(14)
    moved = []
    for view in views:
        size = view.columns.size
        place = rng.permutation(size + 5)[:size]  # five columns are none of the model's
        values = np.full((len(view.values), size + 5), 1e6)
        values[:, place] = view.values
        moved.append(view._replace(values=da.from_array(values, chunks=(-1, 500)) if lazy else values, columns=place))
    found = posterior(moved, groups)
    np.testing.assert_allclose(found[0], mean, atol=1e-10, rtol=0)
    np.testing.assert_allclose(found[1], sd, atol=1e-10, rtol=0)


def test_permuted_features_of_the_model_give_the_same_factors():
    views, groups = mixed(40, SIZES, seed=15)
    mean, sd = posterior(views, groups)
    rng = np.random.default_rng(16)
    permuted = []
    for view in views:
        order, w = rng.permutation(view.columns.size), view.weights
        weights = Weights(w.likelihood, w.mean[order], w.square[order], w.intercept[:, order], w.precision[:, order])
        permuted.append(view._replace(values=view.values[:, order], weights=weights))
    found = posterior(permuted, groups)
    np.testing.assert_allclose(found[0], mean, atol=1e-10, rtol=0)
    np.testing.assert_allclose(found[1], sd, atol=1e-10, rtol=0)


def test_a_column_that_lacks_counts_as_missing():
    views, groups = mixed(40, SIZES, seed=17)
    lacking, missing = [], []
    for view in views:
        absent = np.zeros(view.columns.size, dtype=bool)
        absent[2::3] = True
        columns = np.where(absent, -1, np.cumsum(~absent) - 1)
        lacking.append(view._replace(values=view.values[:, ~absent], columns=columns))
        missing.append(view._replace(values=np.where(absent, np.nan, view.values)))
    for found, expected in zip(posterior(lacking, groups), posterior(missing, groups), strict=True):
        np.testing.assert_allclose(found, expected, atol=1e-10, rtol=0)


@pytest.mark.parametrize("likelihood", ["gaussian", "bernoulli", "poisson"])
def test_a_view_without_a_shared_feature_or_patient_tells_nothing(likelihood):
    rng = np.random.default_rng(18)
    weights = make_weights(likelihood, 12, rng)
    values = make_values(weights, np.zeros(3, dtype=int), rng)
    none = Projected(values, np.arange(3), np.full(12, -1), weights)
    nobody = Projected(values[:0], np.arange(0), np.arange(12), weights)
    for view in (none, nobody):
        mean, sd = posterior([view], np.zeros(3, dtype=int))
        np.testing.assert_array_equal(mean, np.zeros((3, N_FACTORS)))
        np.testing.assert_array_equal(sd, np.ones((3, N_FACTORS)))
    empty = posterior([nobody], np.zeros(0, dtype=int))
    assert empty[0].shape == empty[1].shape == (0, N_FACTORS)


def test_weights_in_float32_are_taken_as_they_are():
    rng = np.random.default_rng(19)
    weights = make_weights("gaussian", 50, rng)
    single = weights._replace(mean=weights.mean.astype(np.float32), square=weights.square.astype(np.float32))
    double = weights._replace(mean=single.mean.astype(float), square=single.square.astype(float))
    values = make_values(weights, np.zeros(6, dtype=int), rng)
    np.testing.assert_array_equal(
        posterior([whole(values, single)], one_group(values))[0],
        posterior([whole(values, double)], one_group(values))[0],
    )


def test_sd_grows_as_entries_and_views_go_missing():
    rng = np.random.default_rng(6)
    groups = np.zeros(20, dtype=int)
    weights = [make_weights("gaussian", 40, rng) for _ in range(2)]
    first, second = (make_values(w, groups, rng, missing=0.0) for w in weights)
    holed = np.where(rng.random(second.shape) < 0.3, np.nan, second)
    sds = [
        posterior([whole(first, weights[0]), whole(rest, weights[1])], groups)[1]
        for rest in (second, holed, np.full_like(second, np.nan))
    ]
    assert (sds[0] < sds[1]).all()
    assert (sds[1] < sds[2]).all()
    assert (sds[2] < 1).all()


@pytest.mark.parametrize(("likelihood", "wrong"), [("gaussian", np.inf), ("bernoulli", 0.5), ("poisson", -1.0)])
@pytest.mark.parametrize("lazy", [False, True])
def test_impossible_values_are_refused_by_name(likelihood, wrong, lazy):
    rng = np.random.default_rng(20)
    weights = make_weights(likelihood, 12, rng)
    values = make_values(weights, np.zeros(3, dtype=int), rng)
    values[1, 4] = wrong
    view = whole(da.from_array(values) if lazy else values, weights)._replace(name="/views/odd")
    with pytest.raises(DataError, match=f"cannot be {likelihood}, for example {wrong:g}") as caught:
        posterior([view], one_group(values))
    assert caught.value.where == "/views/odd"


# --- memory and time ----------------------------------------------------------------------------------------------


def test_memory_does_not_grow_with_the_features():
    """200 patients x 100,000 features are 160 MB, made lazily; peak beyond the weights is a fraction."""
    rng = np.random.default_rng(21)
    mean = rng.normal(size=(100_000, 4)).astype(np.float32)
    weights = Weights("gaussian", mean, mean**2, np.zeros((1, 100_000)), np.ones((1, 100_000)))

    def block(block_info=None):
        rows, columns = block_info[None]["chunk-location"]
        made = np.random.default_rng([rows, columns]).normal(size=block_info[None]["chunk-shape"])
        made[made > 3] = np.nan
        return made

    values = da.map_blocks(block, chunks=((200,), (5000,) * 20), dtype=float, meta=np.empty((0, 0)))
    tracemalloc.start()
    with dask.config.set(scheduler="synchronous"):
        score, _ = posterior([whole(values, weights)], np.zeros(200, dtype=int))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert np.isfinite(score).all()
    assert peak < 200 * 100_000 * 8 / 3


@pytest.mark.slow
def test_a_wide_view_takes_seconds():
    rng = np.random.default_rng(22)
    mean = rng.normal(size=(70_000, 15)).astype(np.float32)
    weights = Weights("gaussian", mean, mean**2, np.zeros((1, 70_000)), np.ones((1, 70_000)))
    values = rng.normal(size=(500, 70_000)).astype(np.float32)
    values[rng.random(values.shape) < 0.01] = np.nan
    begun = time.perf_counter()
    posterior([whole(values, weights)], one_group(values))
    assert time.perf_counter() - begun < 5


@pytest.mark.slow
def test_a_cohort_of_360_takes_well_under_a_second():
    views, groups = mixed(360, (5000, 1000, 60, 40), seed=7)
    begun = time.perf_counter()
    posterior(views, groups)
    assert time.perf_counter() - begun < 1.5
