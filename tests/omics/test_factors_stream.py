"""The streaming engine in mofapy2's order of updates against mofapy2 itself, number for number."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations, product

import dask
import numpy as np
import pandas as pd
import pytest

from omics.factors.state import Expectations, Layer, Options, Start
from tests.naive import preprocessed
from tests.references import TOLERANCES, Run, make_layers, mofapy2_run, stopping_iteration
from tests.streaming import many_parts, no_fit_converges, run

RTOL = TOLERANCES["mofapy2"]
ITERATIONS, K = 70, 3
OPTIONS = Options(max_iter=ITERATIONS, dtype="float64", compat=True, check_every=1)

#: What a case chooses; every three choices of different rows are together in some case.
CHOICES = {
    "likelihoods": ("gaussian gaussian", "gaussian bernoulli", "gaussian poisson", "gaussian bernoulli poisson"),
    "groups": (1, 3),
    "holes": (0.0, 0.1),  # share of entries and of samples that a view lacks
    "small": (False, True),  # many small parts and blocks instead of one
    **dict.fromkeys(("spikeslab_weights", "spikeslab_factors", "ard_weights", "ard_factors"), (True, False)),
    **dict.fromkeys(("weight_views", "scale_views", "scale_groups"), (False, True)),
}


def covering(choices: dict[str, tuple], strength: int, seed: int = 0) -> list[dict]:
    """Few cases that have every combination of values of `strength` choices, found greedily."""
    rng = np.random.default_rng(seed)
    sizes = [len(values) for values in choices.values()]
    wanted = {
        tuple(zip(columns, values, strict=True))
        for columns in combinations(range(len(sizes)), strength)
        for values in product(*(range(sizes[c]) for c in columns))
    }
    cases = []
    while wanted:
        tried = []
        for _ in range(30):
            case = [int(rng.integers(size)) for size in sizes]
            for column, value in sorted(wanted)[int(rng.integers(len(wanted)))]:
                case[column] = value
            tried.append((case, {w for w in wanted if all(case[column] == value for column, value in w)}))
        best, covered = max(tried, key=lambda item: len(item[1]))
        wanted -= covered
        cases.append({name: values[i] for (name, values), i in zip(choices.items(), best, strict=True)})
    return cases


def named(case: dict) -> str:
    words = [case["likelihoods"].replace(" ", "-"), *(name for name, value in case.items() if value is True)]
    return f"{'+'.join(words)}-{case['groups']}groups-{case['holes']}"


@pytest.fixture(autouse=True)
def quick():
    """Test data are too small for threads."""
    with dask.config.set(scheduler="synchronous"):
        yield


@pytest.fixture
def endless(monkeypatch):
    no_fit_converges(monkeypatch)


def fitted(layers: Sequence[Layer], groups: np.ndarray, start: np.ndarray, options: Options):
    """The fit, and what its watcher was told after each pass."""
    (fit,), reports = run(layers, groups, [Start(start.shape[1], score=start)], options)
    return fit, reports


def assert_same(
    got: Expectations, expected: Run, layers: Sequence[Layer], groups: np.ndarray, options: Options
) -> None:
    """The same posterior of everything; `expected` has Gaussian views centred and scaled."""

    def same(ours, theirs):
        np.testing.assert_allclose(ours, theirs, rtol=RTOL, atol=RTOL)

    same(got.score, expected.score)
    same(got.score_square, expected.score_square)
    for v, (layer, weights) in enumerate(zip(layers, got.weights, strict=True)):
        unit = by_group = 1.0
        if layer.likelihood == "gaussian" and got.scales:
            by_group = got.scales[v][:, None]
        elif layer.likelihood == "gaussian":
            plain, scaled = (preprocessed(layer, groups, o)[0] for o in (OPTIONS, options))
            unit = np.sqrt(np.nansum(plain**2) / np.nansum(scaled**2))
        same(weights.mean / unit, expected.weight[v])
        same(weights.square / unit**2, expected.weight_square[v])
        same(weights.precision * unit**2, expected.precision[v])
        if layer.likelihood == "gaussian":  # mofapy2's others are older than its last factors
            same(weights.intercept * by_group, expected.intercept[v])


# --- number for number ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", covering(CHOICES, 3), ids=named)
def test_every_term_of_every_iteration_is_that_of_mofapy2(case, endless, monkeypatch):
    """70 iterations, past the 50th, from which theta is learnt."""
    if case["small"]:
        many_parts(monkeypatch)
    options = OPTIONS._replace(**{name: value for name, value in case.items() if name in Options._fields})
    layers, groups = make_layers(
        case["likelihoods"].split(), groups=case["groups"], missing=case["holes"], absent=case["holes"]
    )
    expected = mofapy2_run(layers, groups, options, K, ITERATIONS)
    got, reports = fitted(layers, groups, expected.start, options)
    assert len(reports) == got.iterations == ITERATIONS
    assert reports[0].terms == {}  # the terms of an iteration come one pass late
    terms = pd.DataFrame([{key: float(value[0]) for key, value in report.terms.items()} for report in reports[1:]])
    assert {*terms, "total"} == set(expected.terms)
    np.testing.assert_allclose(terms, expected.terms[terms.columns][1:ITERATIONS], rtol=RTOL)
    np.testing.assert_allclose(got.trace, expected.terms["total"][1:], rtol=RTOL)
    assert_same(got, expected, layers, groups, options)


def test_the_cases_cover_what_they_should():
    cases = covering(CHOICES, 3)
    for names in combinations(CHOICES, 3):
        assert {tuple(case[n] for n in names) for case in cases} == set(product(*(CHOICES[n] for n in names)))
    assert len(cases) < 40


@pytest.mark.parametrize("holes", [0.0, 0.1], ids=["complete", "missing"])
@pytest.mark.parametrize("groups", [1, 2])
def test_float32_stays_near(holes, groups, endless):
    """After 70 iterations factors are within 1e-5 of their scale."""
    layers, codes = make_layers(
        ("gaussian", "gaussian"), n_samples=100, n_features=300, groups=groups, missing=holes, absent=holes
    )
    expected = mofapy2_run(layers, codes, OPTIONS, K, ITERATIONS)
    got, _ = fitted(layers, codes, expected.start, OPTIONS._replace(dtype="float32"))
    error = np.abs(got.score - expected.score).max(axis=0) / expected.score.std(axis=0)
    assert error.max() < 1e-5


@pytest.mark.parametrize("convergence", ["fast", "medium"])
@pytest.mark.parametrize("likelihoods", ["gaussian gaussian", "gaussian bernoulli poisson"])
def test_it_stops_after_the_iteration_after_which_mofapy2_does(likelihoods, convergence):
    options = OPTIONS._replace(convergence=convergence, check_every=5, max_iter=400, spikeslab_factors=True)
    layers, groups = make_layers(likelihoods.split(), groups=2)
    expected = mofapy2_run(layers, groups, options, K, 400)
    stop = stopping_iteration(expected.terms["total"], convergence)
    got, _ = fitted(layers, groups, expected.start, options)
    assert (got.iterations, got.converged) == ((stop, True) if stop else (400, False))
    checks = [*range(1, got.iterations + 1, 5)]
    if checks[-1] != got.iterations:
        checks.append(got.iterations)
    np.testing.assert_allclose(got.trace, expected.terms["total"].iloc[checks], rtol=RTOL)
    at_the_end, one_later = (mofapy2_run(layers, groups, options, K, got.iterations + i) for i in (0, 1))
    assert_same(got, at_the_end, layers, groups, options)
    for layer, weights, later in zip(layers, got.weights, one_later.intercept, strict=True):
        if layer.likelihood != "gaussian":  # taken off the pseudo-data of the last factors, as it would be next
            np.testing.assert_allclose(weights.intercept, later, rtol=RTOL)
