"""The reference engine against mofapy2 called by its own API, and its side effects on the process."""

from __future__ import annotations

import subprocess
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest
from scipy.special import expit

from omics.factors import reference
from omics.factors.start import pca_start, random_start
from omics.factors.state import Layer, Options

OPTIONS = Options(spikeslab_weights=True, ard_weights=True, max_iter=70, convergence="fast")


def make_layers(likelihoods: tuple[str, ...], *, seed: int = 0, missing: bool = True) -> list[Layer]:
    """Raw layers of 40 samples, three planted factors, scattered NaN and samples without a layer."""
    rng = np.random.default_rng(seed)
    scores = rng.normal(size=(40, 3))
    layers = []
    for likelihood in likelihoods:
        eta = scores @ (rng.normal(size=(3, 30)) * (rng.random((3, 30)) < 0.7))
        if likelihood == "gaussian":
            values = eta + rng.normal(size=eta.shape) + 2 * rng.normal(size=30)
        elif likelihood == "bernoulli":
            values = (rng.random(eta.shape) < expit(eta)).astype(float)
        else:
            values = rng.poisson(np.logaddexp(0, eta)).astype(float)
        if missing:
            values[rng.random(values.shape) < 0.05] = np.nan
            values[rng.random(40) < 0.1] = np.nan
        layers.append(Layer(values, likelihood))
    return layers


def centred(layers: list[Layer]) -> list[Layer]:
    return [
        Layer(y - np.nanmean(y, axis=0), likelihood) if likelihood == "gaussian" else Layer(y, likelihood)
        for y, likelihood in layers
    ]


@contextmanager
def kept_generator() -> Iterator[None]:
    """Give NumPy's global generator back as it was."""
    state = np.random.get_state()  # noqa: NPY002 - it is what mofapy2 seeds
    yield
    np.random.set_state(state)  # noqa: NPY002


def plain_mofapy2(layers: list[Layer], options: Options, n_factors: int):
    """mofapy2 as its manual says: it centres, starts from its own principal components, and is told to run()."""
    with warnings.catch_warnings():
        from mofapy2.run.entry_point import entry_point
    entry = entry_point()
    entry.set_data_options()
    entry.set_data_matrix([[y.copy()] for y, _ in layers], likelihoods=[likelihood for _, likelihood in layers])
    entry.set_model_options(
        factors=n_factors, spikeslab_weights=options.spikeslab_weights, ard_weights=options.ard_weights
    )
    entry.set_train_options(iter=options.max_iter + 1, convergence_mode=options.convergence, seed=1)
    with kept_generator(), np.errstate(all="ignore"):
        entry.build()
        start = entry.model.nodes["Z"].Q.getParameters()["mean"].copy()
        entry.run()
        final = float(entry.model.calculateELBO()["total"])
    record = entry.model.train_stats["elbo"]
    return entry.model, start, np.append(record[~np.isnan(record)], final)


@pytest.mark.parametrize("spikeslab", [True, False])
@pytest.mark.parametrize("likelihoods", [("gaussian", "gaussian"), ("gaussian", "bernoulli"), ("gaussian", "poisson")])
def test_numbers_are_those_of_mofapy2_from_the_same_start(likelihoods, spikeslab):
    layers = make_layers(likelihoods)
    options = OPTIONS._replace(spikeslab_weights=spikeslab)
    model, start, trace = plain_mofapy2(layers, options, 4)
    fit = reference.fit(centred(layers), start, options)
    np.testing.assert_allclose(fit.trace, trace, rtol=1e-9)
    np.testing.assert_allclose(fit.score, model.nodes["Z"].getExpectations()["E"], rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(fit.score_square, model.nodes["Z"].getExpectations()["E2"], rtol=1e-9, atol=1e-9)
    for part, node in zip(fit.weights, model.nodes["W"].getNodes(), strict=True):
        np.testing.assert_allclose(part.mean, node.getExpectations()["E"], rtol=1e-9, atol=1e-9)
        np.testing.assert_allclose(part.square, node.getExpectations()["E2"], rtol=1e-9, atol=1e-9)
    noise = model.nodes["Tau"].getNodes()[0].getExpectations()["E"]
    np.testing.assert_allclose(fit.weights[0].precision, noise.max(axis=0), rtol=1e-9)


@pytest.mark.parametrize("missing", [False, True])
def test_start_is_that_of_mofapy2_up_to_sign_and_its_randomised_solver(missing):
    layers = make_layers(("gaussian", "gaussian", "bernoulli"), missing=missing)
    _, start, _ = plain_mofapy2(layers, OPTIONS._replace(max_iter=1), 3)
    ours = pca_start(centred(layers), 3)
    for k in range(3):
        sign = np.sign(ours[:, k] @ start[:, k])
        np.testing.assert_allclose(ours[:, k], sign * start[:, k], atol=1e-6)


def test_bound_of_gaussian_layers_never_falls():
    layers = centred(make_layers(("gaussian", "gaussian"), seed=3))
    fit = reference.fit(layers, random_start(40, 5, seed=1), OPTIONS._replace(max_iter=300))
    assert np.diff(fit.trace).min() > -1e-6
    assert fit.converged
    assert fit.iterations < 300


def test_stops_at_max_iter_and_says_so():
    fit = reference.fit(centred(make_layers(("gaussian",))), random_start(40, 2, seed=1), OPTIONS._replace(max_iter=7))
    assert (fit.iterations, fit.converged) == (7, False)


def test_arguments_and_global_generator_are_untouched_and_nothing_is_printed(capsys):
    layers = make_layers(("gaussian", "bernoulli", "poisson"))
    start = random_start(40, 3, seed=2)
    copies = [layer.values.copy() for layer in layers], start.copy()
    with kept_generator():
        np.random.seed(12345)  # noqa: NPY002
        before = np.random.get_state()[1].copy()  # noqa: NPY002
        reference.fit(layers, start, OPTIONS._replace(max_iter=3))
        np.testing.assert_array_equal(np.random.get_state()[1], before)  # noqa: NPY002
    for layer, copy in zip(layers, copies[0], strict=True):
        np.testing.assert_array_equal(layer.values, copy)
    np.testing.assert_array_equal(start, copies[1])
    assert capsys.readouterr() == ("", "")


def test_first_import_of_mofapy2_leaves_warning_filters_alone():
    program = (
        "import sys, warnings, numpy as np\n"
        "from omics.factors import reference; from omics.factors.state import Layer, Options\n"
        "before = list(warnings.filters)\n"
        "assert 'mofapy2' not in sys.modules\n"
        "y = np.random.default_rng(1).normal(size=(20, 15))\n"
        "reference.fit([Layer(y, 'gaussian')], y[:, :2], Options(True, True, 2, 'fast'))\n"
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
    with pytest.raises(type(fault)):
        reference.fit(make_layers(("gaussian",)), random_start(40, 2, seed=1), OPTIONS)
