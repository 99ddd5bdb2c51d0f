"""The reference engine and the naive model against mofapy2 called by its own API; the engine's side effects."""

from __future__ import annotations

import subprocess
import sys

import dask
import dask.array as da
import numpy as np
import pytest

from omics.factors import reference
from omics.factors.state import Layer, Options, Start
from omics.schema import DataError, UsageError
from tests.references import (
    TOLERANCES,
    contained,
    first_scores,
    make_layers,
    mofapy2_entry,
    mofapy2_run,
    naive_fit,
    stopping_iteration,
)

OPTIONS = Options(max_iter=70, dtype="float64")
MIXED = ("gaussian", "bernoulli", "poisson")
RTOL = TOLERANCES["mofapy2"]


def switched(names: tuple[str, ...]) -> list[Options]:
    """All combinations of some options on and off."""
    return [
        OPTIONS._replace(**{name: bool(number >> bit & 1) for bit, name in enumerate(names)})
        for number in range(2 ** len(names))
    ]


PRIORS = switched(("spikeslab_weights", "ard_weights", "spikeslab_factors", "ard_factors"))
SCALES = switched(("weight_views", "scale_views", "scale_groups"))[1:]
EVERYTHING = OPTIONS._replace(spikeslab_factors=True, ard_factors=True, weight_views=True, scale_groups=True)
CASES = [
    *[(MIXED, options) for options in [*PRIORS, *SCALES, EVERYTHING]],
    *[
        (likelihoods, OPTIONS)
        for likelihoods in (("gaussian", "gaussian"), ("gaussian",), ("bernoulli",), ("poisson",))
    ],
]


def name(case: object) -> str:
    if isinstance(case, Options):
        return "+".join(key for key, value in case._asdict().items() if value is True)
    return "-".join(case)


def nobody_in_last_group(layer: Layer, groups: np.ndarray) -> Layer:
    own = groups[layer.rows] < groups[-1]
    return layer._replace(values=layer.values[own], rows=layer.rows[own])


# --- the naive model --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("likelihoods", "options"), CASES, ids=name)
def test_naive_model_is_mofapy2_term_by_term(likelihoods, options):
    layers, groups = make_layers(likelihoods, groups=2)
    expected = mofapy2_run(layers, groups, options, 3, 70)
    got = naive_fit(layers, groups, Start(3, score=expected.start), options, 70)
    assert set(got.terms) == set(expected.terms)
    assert len(expected.terms) == 71
    np.testing.assert_allclose(got.terms[expected.terms.columns], expected.terms, rtol=RTOL)
    for field in ("score", "score_square", "weight", "weight_square", "precision", "intercept"):
        for ours, theirs in zip(getattr(got, field), getattr(expected, field), strict=True):
            np.testing.assert_allclose(ours, theirs, rtol=RTOL, atol=RTOL)


@pytest.mark.parametrize("start_sparsity", [1, 5])
def test_naive_model_learns_theta_when_mofapy2_does(start_sparsity):
    layers, groups = make_layers(("gaussian", "gaussian"), groups=3, n_samples=45)
    options = OPTIONS._replace(spikeslab_factors=True)
    expected = mofapy2_run(layers, groups, options, 3, 8, start_sparsity)
    got = naive_fit(layers, groups, Start(3, score=expected.start), options, 8, start_sparsity)
    np.testing.assert_allclose(got.terms[expected.terms.columns], expected.terms, rtol=RTOL)
    learnt = expected.terms["ThetaW"] != 0
    assert learnt.tolist() == [i >= start_sparsity for i in range(9)]


def test_naive_model_is_mofapy2_where_a_group_lacks_a_view():
    layers, groups = make_layers(("gaussian", "gaussian", "poisson"), groups=2, n_samples=40)
    layers[1] = nobody_in_last_group(layers[1], groups)
    options = OPTIONS._replace(ard_factors=True, scale_groups=True)
    expected = mofapy2_run(layers, groups, options, 3, 30)
    got = naive_fit(layers, groups, Start(3, score=expected.start), options, 30)
    np.testing.assert_allclose(got.terms[expected.terms.columns], expected.terms, rtol=RTOL)


# --- numbers of the engine --------------------------------------------------------------------------------------------


def run_mofapy2(layers: list[Layer], groups: np.ndarray, options: Options, n_factors: int):
    """mofapy2 as its manual says, until it converges; its start, bounds and iterations."""
    with contained():
        entry = mofapy2_entry(
            layers, groups, options, n_factors, iter=options.max_iter + 1, convergence_mode=options.convergence
        )
        entry.build()
        start = first_scores(entry)
        entry.run()
        final = float(entry.model.calculateELBO()["total"])
    record = entry.model.train_stats["elbo"]
    return entry, start, [*record[1:][~np.isnan(record[1:])], final]


def spread(layer: Layer, groups: np.ndarray) -> float:
    """Standard deviation of a view around the means of its features in each group."""
    own = groups[layer.rows]
    return np.nanstd(np.concatenate([y - np.nanmean(y, axis=0) for y in (layer.values[own == g] for g in set(own))]))


@pytest.mark.parametrize("options", [OPTIONS, EVERYTHING._replace(scale_groups=False, scale_views=True)], ids=name)
@pytest.mark.parametrize("likelihoods", [("gaussian", "gaussian"), MIXED], ids=name)
def test_numbers_are_those_of_mofapy2_from_the_same_start(likelihoods, options):
    layers, groups = make_layers(likelihoods, groups=2)
    entry, start, trace = run_mofapy2(layers, groups, options, 3)
    (fit,) = reference.fit(layers, groups, [Start(3, score=start)], options)
    nodes = entry.model.nodes
    np.testing.assert_allclose(fit.trace[-1], trace[-1], rtol=RTOL)
    np.testing.assert_allclose(fit.trace[: len(trace) - 1], trace[:-1], rtol=RTOL)
    np.testing.assert_allclose(fit.score, nodes["Z"].getExpectations()["E"], rtol=RTOL, atol=RTOL)
    np.testing.assert_allclose(fit.score_square, nodes["Z"].getExpectations()["E2"], rtol=RTOL, atol=RTOL)
    for m, (layer, part) in enumerate(zip(layers, fit.weights, strict=True)):
        unit = spread(layer, groups) if options.scale_views and layer.likelihood == "gaussian" else 1.0
        moments = nodes["W"].getNodes()[m].getExpectations()
        np.testing.assert_allclose(part.mean, unit * moments["E"], rtol=RTOL, atol=RTOL)
        np.testing.assert_allclose(part.square, unit**2 * moments["E2"], rtol=RTOL, atol=RTOL)
        if layer.likelihood == "gaussian":
            noise = nodes["Tau"].getNodes()[m].getExpectations(expand=False)["E"]
            np.testing.assert_allclose(part.precision, noise / unit**2, rtol=RTOL)
            np.testing.assert_allclose(part.intercept, entry.intercepts[m], rtol=RTOL)


def test_variance_explained_is_that_of_mofapy2_on_complete_data():
    layers, groups = make_layers(MIXED, groups=2, missing=0, absent=0)
    options = OPTIONS._replace(scale_views=True)
    entry, start, _ = run_mofapy2(layers, groups, options, 3)
    (fit,) = reference.fit(layers, groups, [Start(3, score=start)], options)
    with contained():
        entry.model.nodes["Y"].update()  # its pseudo-data are of the factors before the last iteration
        r2 = np.stack(entry.model.calculate_variance_explained())  # group, view, factor
        r2_total = np.stack(entry.model.calculate_variance_explained(total=True))
    for m, part in enumerate(fit.explained):
        np.testing.assert_allclose(part.r2, r2[:, m], rtol=1e-7, atol=RTOL)
        np.testing.assert_allclose(part.r2_total, r2_total[:, m], rtol=1e-7)
    y = layers[0].values - np.stack([layers[0].values[groups == g].mean(axis=0) for g in (0, 1)])[groups]
    np.testing.assert_allclose(fit.explained[0].total, [np.sum(y[groups == g] ** 2) for g in (0, 1)])
    np.testing.assert_allclose(fit.explained[0].scale, np.sqrt(np.mean(y**2)))


def test_variance_explained_counts_observed_entries_only():
    layers, groups = make_layers(MIXED, groups=2, missing=0.3, absent=0.3)
    (fit,) = reference.fit(layers, groups, [Start(3)], OPTIONS)
    layer, weights, part = layers[0], fit.weights[0], fit.explained[0]
    for g in range(2):
        own = groups[layer.rows] == g
        y = layer.values[own] - weights.intercept[g]
        z, total = fit.score[layer.rows[own]], np.nansum(y**2)
        for k in range(3):
            share = 1 - np.nansum((y - np.outer(z[:, k], weights.mean[:, k])) ** 2) / total
            np.testing.assert_allclose(part.r2[g, k], share, atol=1e-12)
        np.testing.assert_allclose(part.r2_total[g], 1 - np.nansum((y - z @ weights.mean.T) ** 2) / total)


@pytest.mark.parametrize("missing", [0.0, 0.1])
def test_principal_components_are_those_of_mofapy2_up_to_sign_and_its_randomised_solver(missing):
    layers, groups = make_layers(("gaussian", "gaussian", "bernoulli"), groups=2, missing=missing)
    options = OPTIONS._replace(max_iter=1, scale_views=True)
    _, start, _ = run_mofapy2(layers, groups, options, 3)
    theirs, ours = (reference.fit(layers, groups, [one], options)[0].score for one in (Start(3, score=start), Start(3)))
    for k in range(3):
        same = np.sign(ours[:, k] @ theirs[:, k])
        np.testing.assert_allclose(ours[:, k], same * theirs[:, k], atol=1e-5)


def test_scaled_weights_explain_raw_values():
    layers, groups = make_layers(("gaussian", "gaussian"), missing=0, absent=0, n_samples=60)
    for options in (OPTIONS, OPTIONS._replace(scale_views=True), OPTIONS._replace(scale_groups=True)):
        (fit,) = reference.fit(layers, groups, [Start(3)], options)
        for layer, weights in zip(layers, fit.weights, strict=True):
            residual = layer.values - weights.intercept - fit.score @ weights.mean.T
            spread = fit.score**2 @ (weights.square - weights.mean**2).T
            spread += (fit.score_square - fit.score**2) @ weights.square.T
            noise = np.mean(residual**2 + spread, axis=0)
            np.testing.assert_allclose(weights.precision[0] * noise, 1, rtol=0.01)  # the prior is weak


def test_random_start_is_standard_normal_by_seed():
    layers, groups = make_layers(("gaussian",))
    score = np.random.default_rng(5).standard_normal((groups.size, 2))
    by_seed, by_score = reference.fit(layers, groups, [Start(2, seed=5), Start(2, score=score)], OPTIONS)
    np.testing.assert_array_equal(by_seed.score, by_score.score)


def test_single_precision_is_near():
    layers, groups = make_layers(MIXED, groups=2)
    options = OPTIONS._replace(max_iter=10)
    double, single = (
        reference.fit(layers, groups, [Start(3)], options._replace(dtype=dtype))[0] for dtype in ("float64", "float32")
    )
    np.testing.assert_allclose(single.score, double.score, atol=2e-3)
    assert np.any(single.score != double.score)
    assert single.score.dtype == single.weights[0].mean.dtype == float
    from mofapy2 import config

    assert not config.use_float32  # it is a global of mofapy2


# --- stopping, schedulers, kinds of input -----------------------------------------------------------------------------


def test_bound_of_gaussian_layers_never_falls():
    layers, groups = make_layers(("gaussian", "gaussian"), seed=3)
    options = OPTIONS._replace(max_iter=500, check_every=1)
    (fit,) = reference.fit(layers, groups, [Start(5, seed=1)], options)
    assert np.diff(fit.trace).min() > -TOLERANCES["bound"] * abs(fit.elbo)
    assert fit.converged
    assert len(fit.trace) == fit.iterations < 500


@pytest.mark.parametrize("convergence", ["fast", "medium"])
def test_stops_by_mofapy2_s_rule(convergence):
    layers, groups = make_layers(("gaussian", "bernoulli"), groups=2)
    run = mofapy2_run(layers, groups, OPTIONS, 3, 400)
    options = OPTIONS._replace(max_iter=400, convergence=convergence)
    (fit,) = reference.fit(layers, groups, [Start(3, score=run.start)], options)
    assert fit.converged
    assert fit.iterations == stopping_iteration(run.terms["total"].to_numpy(), convergence)
    np.testing.assert_allclose(fit.trace, run.terms["total"][1 : fit.iterations + 1 : 5], rtol=RTOL)


@pytest.mark.parametrize(("max_iter", "checks"), [(1, 1), (6, 2), (7, 3), (11, 3)])
def test_stops_at_max_iter_and_says_so(max_iter, checks):
    layers, groups = make_layers(("gaussian",))
    options = OPTIONS._replace(max_iter=max_iter)
    (fit,) = reference.fit(layers, groups, [Start(2, seed=1)], options)
    assert (fit.iterations, fit.converged) == (max_iter, False)
    assert fit.trace.size == fit.seconds.size == checks  # after 1, 6, 11 and the last
    assert fit.seconds[0] > 0
    assert np.all(np.diff(fit.seconds) > 0)


def test_fits_are_the_same_alone_and_together_on_any_scheduler():
    layers, groups = make_layers(("gaussian", "bernoulli"), groups=2)
    starts = [Start(3), Start(3, seed=1), Start(2, seed=2)]
    alone = [reference.fit(layers, groups, [start], OPTIONS)[0] for start in starts]
    for scheduler in ("synchronous", "threads"):
        with dask.config.set(scheduler=scheduler):
            together = reference.fit(layers, groups, starts, OPTIONS)
        for one, other in zip(alone, together, strict=True):
            np.testing.assert_array_equal(one.score, other.score)
            np.testing.assert_array_equal(one.trace, other.trace)


def test_lazy_values_give_the_same():
    layers, groups = make_layers(("gaussian", "poisson"))
    lazy = [layer._replace(values=da.from_array(layer.values, chunks=(-1, 7))) for layer in layers]
    fits = [reference.fit(views, groups, [Start(2)], OPTIONS)[0] for views in (layers, lazy)]
    np.testing.assert_array_equal(fits[0].score, fits[1].score)


def test_group_without_a_view_is_fitted_from_the_others():
    layers, groups = make_layers(("gaussian", "gaussian", "bernoulli"), groups=2, n_samples=40)
    layers[1] = nobody_in_last_group(layers[1], groups)
    options = OPTIONS._replace(scale_groups=True, max_iter=30)
    (fit,) = reference.fit(layers, groups, [Start(3)], options)
    assert np.isfinite(fit.score).all()
    assert np.isfinite(fit.elbo)
    assert fit.explained[1].total[1] == fit.explained[1].r2_total[1] == 0
    np.testing.assert_array_equal(fit.weights[1].intercept[1], 0)


# --- faults and side effects ------------------------------------------------------------------------------------------


def test_dropping_factors_is_refused():
    layers, groups = make_layers(("gaussian",))
    with pytest.raises(UsageError, match=r"at random"):
        reference.fit(layers, groups, [Start(2)], OPTIONS._replace(drop=0.01))


@pytest.mark.parametrize(("likelihood", "value"), [("gaussian", np.inf), ("bernoulli", 2), ("poisson", 1.5)])
def test_values_that_a_likelihood_cannot_have_are_refused(likelihood, value):
    (layer,), groups = make_layers((likelihood,))
    layer.values[3, 4] = value
    with pytest.raises(DataError, match=f"{value:g}"):
        reference.fit([layer], groups, [Start(2)], OPTIONS)


@pytest.mark.parametrize("likelihood", MIXED)
def test_features_without_variance_are_refused(likelihood):
    (layer,), groups = make_layers((likelihood,))
    layer.values[:, 4] = 1.0
    layer.values[:, 5] = np.nan
    with pytest.raises(DataError, match="2 of 20 features"):
        reference.fit([layer], groups, [Start(2)], OPTIONS)


def test_arguments_and_global_generator_are_untouched_and_nothing_is_printed(capsys):
    layers, groups = make_layers(MIXED)
    start = np.random.default_rng(2).normal(size=(groups.size, 3))
    copies = [layer.values.copy() for layer in layers], start.copy()
    with contained():
        np.random.seed(12345)  # noqa: NPY002
        before = np.random.get_state()[1].copy()  # noqa: NPY002
        reference.fit(layers, groups, [Start(3, score=start)], OPTIONS._replace(max_iter=3))
        np.testing.assert_array_equal(np.random.get_state()[1], before)  # noqa: NPY002
    for layer, copy in zip(layers, copies[0], strict=True):
        np.testing.assert_array_equal(layer.values, copy)
    np.testing.assert_array_equal(start, copies[1])
    assert capsys.readouterr() == ("", "")


def test_first_import_of_mofapy2_leaves_warning_filters_alone():
    program = (
        "import sys, warnings, numpy as np\n"
        "from omics.factors import reference; from omics.factors.state import Layer, Options, Start\n"
        "before = list(warnings.filters)\n"
        "assert 'mofapy2' not in sys.modules\n"
        "y = np.random.default_rng(1).normal(size=(20, 15))\n"
        "layer = Layer(y, 'gaussian', np.arange(20))\n"
        "reference.fit([layer], np.zeros(20, int), [Start(2)], Options(max_iter=2))\n"
        "assert 'mofapy2' in sys.modules\n"
        "assert warnings.filters == before, warnings.filters[:3]\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize("fault", [TypeError("planted"), KeyboardInterrupt()])
def test_real_errors_surface(monkeypatch, fault):
    from mofapy2.core.nodes.Z_nodes import Z_Node

    def fail(*_, **__):
        raise fault

    monkeypatch.setattr(Z_Node, "updateParameters", fail)
    layers, groups = make_layers(("gaussian",))
    with pytest.raises(type(fault)):
        reference.fit(layers, groups, [Start(2, seed=1)], OPTIONS)
