"""The streaming engine: what changes nothing, several fits in one pass, factors that are dropped, odd shapes."""

from __future__ import annotations

from functools import partial
from itertools import pairwise

import dask
import numpy as np
import pytest

from omics.factors import places, sweep
from omics.factors.state import Layer, Options, Start
from tests.references import TOLERANCES, make_layers
from tests.streaming import assert_equal_fits, assert_identical_fits, many_parts, many_waves, noise, run

OPTIONS = Options(dtype="float64", check_every=1, max_iter=30)
ALL = ["gaussian", "bernoulli", "poisson"]


@pytest.fixture(autouse=True)
def waves(monkeypatch):
    """Several waves a pass; test data are too small for threads."""
    many_waves(monkeypatch, 3)
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


def placed(tuples: tuple, rng: np.random.Generator) -> tuple:
    """Copies of named tuples whose arrays lie among small ones that are given back, wherever there is room."""
    others = [np.empty(int(size)) for size in rng.integers(1, 400, 60)]
    arrays = [array for one in tuples for array in one if isinstance(array, np.ndarray)]
    copies = {}
    for i in rng.permutation(len(arrays)):
        copies[id(arrays[i])] = arrays[i].copy()
        del others[int(rng.integers(len(others)))]
    return tuple(type(one)(*(copies.get(id(array), array) for array in one)) for one in tuples)


@pytest.mark.parametrize("likelihood", ALL)
def test_where_arrays_lie_changes_nothing(monkeypatch, likelihood):
    """Compiled loops may ask whether arrays overlap; the answer must not decide in which order numbers are added."""
    rng, kernels = np.random.default_rng(0), {name: getattr(sweep, name) for name in ("visit", "visit_pointwise")}
    visited = []

    def visit(kernel, block, moments, prior, fits, mode, *state):
        outcomes = set()
        for _ in range(300 if kernel is kernels["visit"] else 60):
            block_, moments_, prior_, old, new, sums = placed((block, moments, prior, *state), rng)
            kernel(block_, moments_, prior_, fits, mode, old, new, sums)
            outcomes.add(b"".join(array.tobytes() for array in (*new, *sums)))
        visited.append(len(outcomes))
        kernel(block, moments, prior, fits, mode, *state)

    for name, kernel in kernels.items():
        monkeypatch.setattr(sweep, name, partial(visit, kernel))
    layers, codes = make_layers([likelihood], n_samples=80, n_features=300)
    run(layers, codes, [noise(80, 4, i) for i in range(4)], OPTIONS._replace(max_iter=3, dtype="float32"))
    assert visited
    assert set(visited) == {1}


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


@pytest.mark.parametrize("n_waves", [1, 8])
def test_parts_have_every_feature_once(n_waves):
    """Of views of any size; waves of a view are of like size."""
    rng = np.random.default_rng(0)
    for _ in range(300):
        shapes = [
            (int(10 ** rng.uniform(0.3, 4)), int(10 ** rng.uniform(0, 6)), bool(rng.integers(2))) for _ in range(2)
        ]
        parts = places.layout(shapes, n_waves, int(rng.choice([4, 8])))
        for v, (_, n_features, _) in enumerate(shapes):
            cuts = [cut for part in parts if part.view == v for cut in part.cuts]
            assert all(start < stop for start, stop in cuts)
            edges = sorted(cuts)
            assert edges[0][0] == 0
            assert edges[-1][1] == n_features
            assert all(left[1] == right[0] for left, right in pairwise(edges))
            sizes = np.bincount([p.wave for p in parts if p.view == v], [p.n_features for p in parts if p.view == v])
            if n_features > 1000 * n_waves:
                assert sizes.max() < 4 * sizes.mean()


def test_equal_fits_leave_one_with_weights():
    layers, codes = make_layers(["gaussian", "gaussian"], n_samples=40, absent=0.0)
    for compat in (False, True):
        fits, _ = run(layers, codes, [noise(40), noise(40), Start(2)], Options(compat=compat))
        assert fits[0].elbo == fits[1].elbo
        best = int(np.argmax([fit.elbo for fit in fits]))
        assert [bool(fit.weights) for fit in fits] == [f == best for f in range(3)]


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
def test_fits_that_share_passes_are_those_alone(likelihoods, compat):
    """Of different sizes, which converge after different passes; only the best has weights."""
    layers, codes = make_layers(likelihoods.split(), n_samples=50, groups=2)
    starts = [noise(50, 4, 5), Start(2), noise(50, 3, 2)]
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


# --- factors that are dropped -----------------------------------------------------------------------------------------


def planted(n_samples: int, n_features: int, n_factors: int, seed: int = 0) -> list[Layer]:
    """Two Gaussian layers, the first factor in both, the last in the second alone."""
    rng = np.random.default_rng(seed)
    scores, layers = rng.normal(size=(n_samples, n_factors)), []
    for v in range(2):
        weights = rng.normal(size=(n_factors, n_features))
        if v == 0:
            weights[-1] = 0
        values = scores @ weights + rng.normal(size=(n_samples, n_features))
        layers.append(Layer(values, "gaussian", np.arange(n_samples)))
    return layers


@pytest.mark.parametrize("compat", [False, True])
@pytest.mark.parametrize("start", [Start(8), Start(8, seed=1)], ids=["pca", "noise"])
def test_factors_that_explain_nothing_are_dropped(start, compat):
    layers, groups = planted(100, 80, 3), np.zeros(100, int)
    options = OPTIONS._replace(drop=0.01, max_iter=500, check_every=5, compat=compat)
    (got,), _ = run(layers, groups, [start], options)
    assert got.score.shape == (100, 3)
    assert all(weights.mean.shape == (80, 3) for weights in got.weights)
    assert np.max([explained.r2 for explained in got.explained], axis=(0, 1)).min() > 0.1
    (kept,), _ = run(layers, groups, [start], options._replace(drop=None))
    assert kept.score.shape == (100, 8)
    (again,), _ = run(layers, groups, [start], options)
    assert_identical_fits(again, got)


def test_what_is_left_is_a_fit_of_its_own():
    """Dropped factors leave nothing behind: the bound is that of a fit that goes on from the factors left."""
    layers, groups = planted(100, 80, 3), np.zeros(100, int)
    options = OPTIONS._replace(max_iter=500, check_every=5, convergence="slow")
    (dropped,), _ = run(layers, groups, [Start(8, seed=2)], options._replace(drop=0.01))
    (alone,), _ = run(layers, groups, [Start(3, score=dropped.score)], options)
    assert dropped.score.shape[1] == 3
    np.testing.assert_allclose(dropped.elbo, alone.elbo, rtol=1e-5)
    assert dropped.converged


def test_fits_that_share_passes_drop_as_alone():
    layers, groups = planted(100, 80, 3), np.zeros(100, int)
    options = OPTIONS._replace(drop=0.01, max_iter=200, check_every=5)
    starts = [Start(8, seed=1), Start(2, seed=2), Start(5, seed=3)]
    together, _ = run(layers, groups, starts, options)
    alone = [run(layers, groups, [start], options)[0][0] for start in starts]
    assert [fit.score.shape[1] for fit in together] == [3, 2, 3]
    for got, expected in zip(together, alone, strict=True):
        shown = expected if got.weights else expected._replace(weights=())
        assert_equal_fits(got, shown, TOLERANCES["chunking float64"])


def test_one_factor_is_always_left():
    layers = [Layer(np.random.default_rng(0).normal(size=(40, 30)), "gaussian", np.arange(40))]
    (got,), _ = run(layers, np.zeros(40, int), [Start(4, seed=0)], OPTIONS._replace(drop=0.9, max_iter=100))
    assert got.score.shape == (40, 1)
    assert np.isfinite(got.elbo)


# --- odd shapes -------------------------------------------------------------------------------------------------------


def odd() -> dict[str, tuple[list[Layer], np.ndarray]]:
    """Layers and groups that are small, narrow or hollow in some way."""
    cases = {name: make_layers(ALL, n_samples=24, groups=2, absent=0.0) for name in ("carriers", "entry", "counts")}
    layers, codes = cases["carriers"]
    layers[1].values[codes == 1] = np.where(np.isnan(layers[1].values[codes == 1]), np.nan, 0.0)  # in one group none
    layers, codes = cases["entry"]
    for layer in layers:
        layer.values[5] = np.nan
    layers[0].values[5, 3] = 1.5
    cases["nothing"] = make_layers(ALL, n_samples=24, groups=2, absent=0.0)
    for layer in cases["nothing"][0]:
        layer.values[7] = np.nan
    cases["counts"][0][2].values[3, 4] = 1e6
    narrow = [layer._replace(values=layer.values[:, :1]) for layer in make_layers(ALL, n_samples=24)[0]]
    cases["one feature"] = narrow, np.zeros(24, int)
    three = [layer._replace(values=layer.values[:, :3]) for layer in make_layers(ALL, n_samples=24)[0]]
    cases["fewer features than factors"] = three, np.zeros(24, int)
    cases["two samples in a group"] = make_layers(ALL, n_samples=24, absent=0.0)[0], np.repeat([0, 1], [22, 2])
    layers, codes = make_layers(ALL, n_samples=24, groups=3, absent=0.0)
    own = np.flatnonzero(codes != 1)
    layers[1:] = [layer._replace(values=layer.values[own], rows=own) for layer in layers[1:]]
    cases["a group without a layer"] = layers, codes
    layers, codes = make_layers(ALL, n_samples=24, absent=0.0)
    some = np.arange(23)
    cases["a last sample without a layer"] = [y._replace(values=y.values[some], rows=some) for y in layers], codes
    cases["two samples"] = [Layer(np.array([[1.0, 2, 3], [2, 1, 3.5]]), "gaussian", np.arange(2))], np.zeros(2, int)
    return cases


@pytest.mark.parametrize(("compat", "dtype"), [(False, "float32"), (True, "float64")])
@pytest.mark.parametrize("name", odd())
def test_odd_shapes_give_finite_numbers(name, dtype, compat):
    layers, groups = odd()[name]
    n_factors = min(4, groups.size - 1)
    starts = [noise(groups.size, n_factors), Start(n_factors)]
    fits, _ = run(layers, groups, starts, OPTIONS._replace(compat=compat, dtype=dtype, max_iter=40))
    for fit in fits:
        assert np.isfinite(fit.trace).all()
        assert np.isfinite(fit.score).all()
        assert (fit.score_square >= fit.score**2).all()
        for layer, weights in zip(layers, fit.weights, strict=False):
            assert np.isfinite([weights.mean, weights.square]).all()
            assert np.isfinite(weights.intercept).all()
            assert np.isfinite(weights.precision).all() or layer.likelihood != "gaussian"
        for explained in fit.explained:
            assert np.isfinite(explained.r2).all()
            assert np.isfinite(explained.r2_total).all()


def test_a_sample_about_which_nothing_is_known_has_the_prior():
    layers, groups = odd()["nothing"]
    (got,), _ = run(layers, groups, [noise(24)], OPTIONS)
    np.testing.assert_allclose(got.score[7], 0, atol=1e-9)
    np.testing.assert_allclose(got.score_square[7], 1, rtol=1e-9)
