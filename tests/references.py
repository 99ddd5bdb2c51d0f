"""What the factor model is measured against: tolerances, test data, mofapy2 by its own API, and the naive model."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import MappingProxyType

import numpy as np
from scipy.special import expit

from omics.factors.state import Layer, Options
from tests.naive import START_SPARSITY, Run, naive_fit, naive_iteration, padded

__all__ = [
    "TOLERANCES",
    "Run",
    "contained",
    "first_scores",
    "make_layers",
    "mofapy2_entry",
    "mofapy2_run",
    "naive_fit",
    "naive_iteration",
    "padded",
    "stopping_iteration",
]

#: Relative tolerances of tests that compare numbers.
TOLERANCES = MappingProxyType(
    {
        "chunking float64": 1e-10,  # same data, other blocks
        "chunking float32": 1e-5,
        "mofapy2": 1e-9,  # every term of the bound of every iteration, float64, same start
        "posterior": 1e-8,  # brute force
        "r": 1e-6,  # golden values of survival and cmprsk
        "bound": 1e-9,  # the bound never falls by more
    }
)


# --- data -------------------------------------------------------------------------------------------------------------


def make_layers(
    likelihoods: Sequence[str],
    *,
    n_samples: int = 30,
    n_features: int = 20,
    n_factors: int = 3,
    groups: int = 1,
    missing: float = 0.1,
    absent: float = 0.1,
    seed: int = 0,
) -> tuple[list[Layer], np.ndarray]:
    """Raw layers of planted factors, and the group of each sample.

    Views after the first have 5 features more each, so that they weigh differently. Of each view a share `missing` of
    the entries and a share `absent` of the samples are lacking; every feature keeps two values.
    """
    rng = np.random.default_rng(seed)
    codes = np.sort(np.arange(n_samples) % groups)
    scores = rng.normal(size=(n_samples, n_factors))
    layers = []
    for m, likelihood in enumerate(likelihoods):
        width = n_features + 5 * m
        weights = rng.normal(size=(n_factors, width)) * (rng.random((n_factors, width)) < 0.7)
        values = _drawn(likelihood, scores @ weights, codes, rng)
        holes = rng.random(values.shape) < missing
        holes[:2] = False
        values[holes] = np.nan
        if likelihood != "gaussian":
            values[0], values[1] = 0.0, 1.0  # no feature is constant
        own = rng.random(n_samples) >= absent
        own[:2] = True
        layers.append(Layer(values[own], likelihood, np.flatnonzero(own)))
    return layers, codes


def _drawn(likelihood: str, eta: np.ndarray, codes: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    if likelihood == "bernoulli":
        return (rng.random(eta.shape) < expit(eta)).astype(float)
    if likelihood == "poisson":
        return rng.poisson(np.logaddexp(0, eta)).astype(float)
    shift = 2 * rng.normal(size=(codes[-1] + 1, eta.shape[1]))
    return (eta + rng.normal(size=eta.shape)) * (1.5 + codes[:, None]) + shift[codes]


# --- mofapy2 ----------------------------------------------------------------------------------------------------------


@contextmanager
def contained() -> Iterator[None]:
    """Give NumPy's global generator and the warning filters back, both of which mofapy2 sets."""
    state = np.random.get_state()  # noqa: NPY002
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        yield
    np.random.set_state(state)  # noqa: NPY002


def mofapy2_entry(layers: Sequence[Layer], groups: np.ndarray, options: Options, n_factors: int, **train: object):
    """mofapy2's entry point, told the data and the options as its manual says; call within :func:`contained`."""
    from mofapy2.run.entry_point import entry_point

    n_groups = int(groups[-1]) + 1
    full = [padded(layer, groups.size) for layer in layers]
    entry = entry_point()
    entry.set_data_options(scale_views=options.scale_views, scale_groups=options.scale_groups)
    entry.set_data_matrix(
        [[values[groups == g] for g in range(n_groups)] for values in full],
        likelihoods=[layer.likelihood for layer in layers],
        groups_names=[f"group{g:03d}" for g in range(n_groups)],  # it sorts them as text
    )
    entry.set_model_options(
        factors=n_factors,
        spikeslab_weights=options.spikeslab_weights,
        spikeslab_factors=options.spikeslab_factors,
        ard_weights=options.ard_weights,
        ard_factors=options.ard_factors,
    )
    entry.set_train_options(weight_views=options.weight_views, seed=1, **train)
    return entry


def first_scores(entry) -> np.ndarray:
    """E[z] of a model that was built and has not run yet."""
    parameters = entry.model.nodes["Z"].Q.getParameters()
    return parameters["mean_B1" if "mean_B1" in parameters else "mean"].copy()


def mofapy2_run(
    layers: Sequence[Layer],
    groups: np.ndarray,
    options: Options,
    n_factors: int,
    iterations: int,
    start_sparsity: int = START_SPARSITY,
) -> Run:
    """Run mofapy2 for an exact number of iterations from its own principal components."""
    with contained():
        train = {"iter": iterations + 1, "freqELBO": 1, "nostop": True, "startSparsity": start_sparsity}
        entry = mofapy2_entry(layers, groups, options, n_factors, **train)
        entry.build()
        start = first_scores(entry)
        entry.run()
    nodes, stats = entry.model.nodes, entry.model.train_stats
    terms = stats["elbo_terms"].iloc[: iterations + 1].assign(total=stats["elbo"][: iterations + 1])
    scores = nodes["Z"].getExpectations()
    weights = [node.getExpectations() for node in nodes["W"].getNodes()]
    precision, intercept = [], []
    for m, layer in enumerate(layers):
        shape = (int(groups[-1]) + 1, layer.values.shape[1])
        tau, y = nodes["Tau"].getNodes()[m], nodes["Y"].getNodes()[m]
        if layer.likelihood == "gaussian":
            precision.append(tau.getExpectations(expand=False)["E"])
            intercept.append(np.nan_to_num(entry.intercepts[m]))  # NaN where a group lacks a feature
        else:
            value = np.max(tau.getValue(), axis=0) if layer.likelihood == "poisson" else np.nan
            precision.append(np.broadcast_to(value, shape))
            intercept.append(np.broadcast_to(np.asarray(y.means), shape))
    return Run(
        start,
        terms,
        scores["E"],
        scores["E2"],
        [moments["E"] for moments in weights],
        [moments["E2"] for moments in weights],
        precision,
        intercept,
    )


def stopping_iteration(totals: Sequence[float], convergence: str, every: int = 5) -> int | None:
    """Iteration after which mofapy2 stops, from the bounds at the start and after each iteration; None if it does not.

    Bounds are compared after iterations 1, 1 + `every`, ...: a change is small if it is less than this percentage of
    the bound at the start, and two small changes in a row end the fit.
    """
    percent = {"fast": 5e-4, "medium": 5e-5, "slow": 5e-6}[convergence]
    checks = np.arange(1, len(totals), every)
    small = np.abs(np.diff(np.asarray(totals)[checks]) / totals[0]) * 100 < percent
    ends = np.flatnonzero(small[1:] & small[:-1])
    return int(checks[ends[0] + 2]) if ends.size else None
