"""The equations of the factor model written out naively: plain NumPy over dense arrays with masks, no tricks.

Slow, and easy to compare with the equations. It gives mofapy2's numbers for all options and likelihoods.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy.special import betaln, digamma, expit, gammaln, xlogy

from omics.factors.state import Layer, Options, Start

#: Iteration from which theta is learnt.
START_SPARSITY = 50


class Run(NamedTuple):
    """A fit by an exact number of iterations; Gaussian views are centred and scaled.

    Attributes
    ----------
    start : numpy.ndarray, shape (sample, factor)
        First E[z].
    terms : pandas.DataFrame
        Terms of the bound by mofapy2's names and their total; row 0 is the start, row i follows iteration i.
    score, score_square : numpy.ndarray, shape (sample, factor)
        Last E[z], E[z^2].
    weight, weight_square : list of numpy.ndarray, shape (feature, factor)
        Last E[w], E[w^2] by view.
    precision : list of numpy.ndarray, shape (group, feature)
        Last E[tau] by view; NaN of a Bernoulli view.
    intercept : list of numpy.ndarray, shape (group, feature)
        Raw mean of a Gaussian view; else what was taken off the last pseudo-data.
    """

    start: np.ndarray
    terms: pd.DataFrame
    score: np.ndarray
    score_square: np.ndarray
    weight: list[np.ndarray]
    weight_square: list[np.ndarray]
    precision: list[np.ndarray]
    intercept: list[np.ndarray]


# --- distributions of the naive model ---------------------------------------------------------------------------------


@dataclass
class Gamma:
    """Posterior Gamma(a, b) of precisions with the prior Gamma(prior, prior)."""

    a: np.ndarray
    b: np.ndarray
    prior: float

    @property
    def mean(self) -> np.ndarray:
        return self.a / self.b

    @property
    def log(self) -> np.ndarray:
        return digamma(self.a) - np.log(self.b)

    def bound(self) -> float:
        """E[ln p] - E[ln q]."""

        def energy(a, b):
            return np.sum(a * np.log(b) - gammaln(a) + (a - 1) * self.log - b * self.mean)

        return energy(np.full_like(self.a, self.prior), np.full_like(self.b, self.prior)) - energy(self.a, self.b)


@dataclass
class Beta:
    """Posterior Beta(a, b) of probabilities with the prior Beta(1, 1)."""

    a: np.ndarray
    b: np.ndarray

    @property
    def log(self) -> np.ndarray:
        return digamma(self.a) - digamma(self.a + self.b)

    @property
    def log_not(self) -> np.ndarray:
        return digamma(self.b) - digamma(self.a + self.b)

    def bound(self) -> float:
        """E[ln p] - E[ln q], ln B(1, 1) being 0."""
        return -np.sum((self.a - 1) * self.log + (self.b - 1) * self.log_not - betaln(self.a, self.b))


@dataclass
class Spike:
    """Posterior of x = s v by row and factor, with the prior precision of v and the prior of s by set of rows.

    v given s = 1 is N(mu, var), given s = 0 it is N(0, off). Without spikes s = 1.
    """

    mu: np.ndarray
    sets: np.ndarray  # of each row: its group for factors, 0 for weights
    alpha: Gamma | None
    theta: Beta | None
    var: np.ndarray = field(init=False)
    off: np.ndarray = field(init=False)
    on: np.ndarray = field(init=False)

    def __post_init__(self) -> None:
        self.var, self.off, self.on = np.ones_like(self.mu), np.ones_like(self.mu), np.ones_like(self.mu)

    @property
    def mean(self) -> np.ndarray:
        return self.on * self.mu

    @property
    def square(self) -> np.ndarray:
        return self.on * (self.mu**2 + self.var)

    @property
    def slab_square(self) -> np.ndarray:
        """E[v^2]."""
        return self.square + (1 - self.on) * self.off

    @property
    def precision(self) -> np.ndarray:
        return self.alpha.mean[self.sets] if self.alpha else np.ones_like(self.mu)

    def update(self, A: np.ndarray, B: np.ndarray, P: np.ndarray) -> None:
        """Factor by factor, from sums by row: A_rk of E[x^2], B_rk of y E[x], P_rkl of products of two factors."""
        for k in range(self.mu.shape[1]):
            alpha = self.precision[:, k]
            others = np.arange(self.mu.shape[1]) != k
            c = B[:, k] - np.sum(P[:, k, others] * self.mean[:, others], axis=1)
            p = A[:, k] + alpha
            self.var[:, k], self.mu[:, k] = 1 / p, c / p
            if self.theta:
                odds = (self.theta.log - self.theta.log_not)[self.sets, k]
                self.on[:, k] = expit(odds + np.log(alpha) / 2 - np.log(p) / 2 + c**2 / (2 * p))
        self.off = 1 / self.precision

    def update_alpha(self) -> None:
        for g in range(len(self.alpha.a)):
            self.alpha.a[g] = self.alpha.prior + np.sum(self.sets == g) / 2
            self.alpha.b[g] = self.alpha.prior + self.slab_square[self.sets == g].sum(axis=0) / 2

    def update_theta(self) -> None:
        for g in range(len(self.theta.a)):
            self.theta.a[g] = 1 + self.on[self.sets == g].sum(axis=0)
            self.theta.b[g] = 1 + (1 - self.on[self.sets == g]).sum(axis=0)

    def bound(self) -> float:
        """E[ln p] - E[ln q]; as in mofapy2, ln off is of the precision that is already updated."""
        log_alpha = self.alpha.log[self.sets] if self.alpha else np.zeros_like(self.mu)
        slab = np.sum(log_alpha - self.precision * self.slab_square + 1) / 2
        slab += np.sum(self.on * np.log(self.var) - (1 - self.on) * np.log(self.precision)) / 2
        if not self.theta:
            return slab
        prior = self.on * self.theta.log[self.sets] + (1 - self.on) * self.theta.log_not[self.sets]
        return slab + np.sum(prior - xlogy(self.on, self.on) - xlogy(1 - self.on, 1 - self.on))


# --- likelihoods of the naive model -----------------------------------------------------------------------------------


@dataclass
class View:
    """One view: data y with 0 where missing, o = 1 where observed, tau by entry."""

    y: np.ndarray
    o: np.ndarray
    groups: np.ndarray
    omega: float
    w: Spike
    tau: np.ndarray = field(init=False)
    shift: np.ndarray = field(init=False)

    def __post_init__(self) -> None:
        """Set tau before the first iteration."""

    def expected(self, z: Spike) -> tuple[np.ndarray, np.ndarray]:
        """E[z.w] and E[(z.w)^2] by entry."""
        mean = z.mean @ self.w.mean.T
        return mean, mean**2 - z.mean**2 @ (self.w.mean**2).T + z.square @ self.w.square.T

    def target(self, z: Spike) -> np.ndarray:
        """What the factors are to explain: the data, or pseudo-data."""
        return self.y

    def precision(self) -> np.ndarray:
        """E[tau] by group and feature."""
        return np.full((self.groups[-1] + 1, self.y.shape[1]), np.nan)


class GaussianView(View):
    def __post_init__(self) -> None:
        self.noise = Gamma(*np.ones((2, self.groups[-1] + 1, self.y.shape[1])), prior=1e-3)
        self.tau = self.noise.mean[self.groups]

    def residual(self, z: Spike) -> np.ndarray:
        mean, square = self.expected(z)
        return self.y**2 - 2 * self.y * mean + square

    def update_tau(self, z: Spike) -> None:
        for g in range(len(self.noise.a)):
            own = self.o * (self.groups == g)[:, None]
            self.noise.a[g] = 1e-3 + own.sum(axis=0) / 2
            self.noise.b[g] = 1e-3 + np.sum(own * self.residual(z), axis=0) / 2
        self.tau = self.noise.mean[self.groups]

    def bound(self, z: Spike) -> float:
        log = self.noise.log[self.groups] - np.log(2 * np.pi)
        return np.sum(self.o * (log - self.tau * self.residual(z))) / 2

    def precision(self) -> np.ndarray:
        return self.noise.mean


class BernoulliView(View):
    def __post_init__(self) -> None:
        self.tau = np.ones_like(self.y)

    @property
    def curvature(self) -> np.ndarray:
        return np.tanh(self.zeta / 2) / (4 * self.zeta)

    def target(self, z: Spike) -> np.ndarray:
        self.zeta = np.sqrt(self.expected(z)[1])
        pseudo = (2 * self.y - 1) / (4 * self.curvature)
        self.shift = pseudo.mean(axis=0)  # over all samples; missing entries count as y = 0
        return pseudo - self.shift

    def update_tau(self, z: Spike) -> None:
        self.tau = 2 * self.curvature  # of the moments before this iteration

    def bound(self, z: Spike) -> float:
        mean, square = self.expected(z)
        linear = ((2 * self.y - 1) * mean - self.zeta) / 2 - np.log1p(np.exp(-self.zeta))
        return np.sum(self.o * (linear - self.curvature * (square - self.zeta**2)))


class PoissonView(View):
    def __post_init__(self) -> None:
        self.tau = np.broadcast_to(0.25 + 0.17 * self.y.max(axis=0), self.y.shape)

    def update_tau(self, z: Spike) -> None:
        """It stays."""

    def slope(self) -> tuple[np.ndarray, np.ndarray]:
        rate = np.log1p(np.exp(self.zeta)) + 1e-4
        return rate, expit(self.zeta) * (1 - self.y / rate)

    def target(self, z: Spike) -> np.ndarray:
        self.zeta = self.expected(z)[0]
        pseudo = self.o * (self.zeta - self.slope()[1] / self.tau)
        self.shift = pseudo.mean(axis=0)  # over all samples; missing entries count as 0
        return pseudo - self.shift

    def bound(self, z: Spike) -> float:
        (mean, square), (rate, slope) = self.expected(z), self.slope()
        quadratic = self.tau * (square - 2 * mean * self.zeta + self.zeta**2) / 2
        return -np.sum(self.o * (quadratic + (mean - self.zeta) * slope + rate - self.y * np.log(rate)))

    def precision(self) -> np.ndarray:
        return np.broadcast_to(self.tau[0], (self.groups[-1] + 1, self.y.shape[1]))


VIEWS = {"gaussian": GaussianView, "bernoulli": BernoulliView, "poisson": PoissonView}


# --- the naive model --------------------------------------------------------------------------------------------------


def naive_iteration(views: Sequence[View], z: Spike, *, learn_theta: bool) -> None:
    """Update everything once, in mofapy2's order."""
    targets = [view.target(z) for view in views]
    for view, y in zip(views, targets, strict=True):
        t = view.o * view.tau
        view.w.update(
            np.einsum("nd,nk->dk", t, z.square),
            np.einsum("nd,nk->dk", t * y, z.mean),
            np.einsum("nd,nk,nl->dkl", t, z.mean, z.mean),
        )
    _update_priors([view.w for view in views], learn_theta=learn_theta)
    z.update(
        sum(v.omega * np.einsum("nd,dk->nk", v.o * v.tau, v.w.square) for v in views),
        sum(v.omega * np.einsum("nd,dk->nk", v.o * v.tau * y, v.w.mean) for v, y in zip(views, targets, strict=True)),
        sum(v.omega * np.einsum("nd,dk,dl->nkl", v.o * v.tau, v.w.mean, v.w.mean) for v in views),
    )
    _update_priors([z], learn_theta=learn_theta)
    for view in views:
        view.update_tau(z)


def _update_priors(parts: Sequence[Spike], *, learn_theta: bool) -> None:
    for part in parts:
        if part.alpha:
            part.update_alpha()
        if part.theta and learn_theta:
            part.update_theta()


def naive_bound(views: Sequence[View], z: Spike) -> dict[str, float]:
    """Terms of the bound by mofapy2's names."""
    terms = {
        "Z": z.bound(),
        "W": sum(v.omega * v.w.bound() for v in views),
        "Tau": sum(v.omega * v.noise.bound() for v in views if isinstance(v, GaussianView)),
        "Y": sum(v.omega * v.bound(z) for v in views),
    }
    if z.alpha:
        terms["AlphaZ"] = z.alpha.bound()
    if views[0].w.alpha:
        terms["AlphaW"] = sum(v.omega * v.w.alpha.bound() for v in views)
    if z.theta:
        terms["ThetaZ"] = z.theta.bound()
    if views[0].w.theta:
        terms["ThetaW"] = sum(v.omega * v.w.theta.bound() for v in views)
    return terms | {"total": sum(terms.values())}


def naive_fit(
    layers: Sequence[Layer],
    groups: np.ndarray,
    start: Start,
    options: Options,
    iterations: int,
    start_sparsity: int = START_SPARSITY,
) -> Run:
    """Fit for an exact number of iterations from given scores."""
    first = np.array(start.score, dtype=float)
    z = _spike(first.copy(), groups, options.ard_factors, options.spikeslab_factors)
    inverse = np.array([1 / layer.values.shape[1] for layer in layers])
    omegas = inverse / inverse.mean() if options.weight_views else np.ones(len(layers))
    views, means = [], []
    for layer, omega in zip(layers, omegas, strict=True):
        values, mean = preprocessed(layer, groups, options)
        w = np.zeros((values.shape[1], first.shape[1]))
        weights = _spike(w, np.zeros(len(w), int), options.ard_weights, options.spikeslab_weights)
        known = ~np.isnan(values)
        views.append(VIEWS[layer.likelihood](np.where(known, values, 0.0), known * 1.0, groups, omega, weights))
        means.append(mean)
    for view in views:
        view.target(z)  # mofapy2 makes pseudo-data before the first bound
    terms = [naive_bound(views, z)]
    for i in range(1, iterations + 1):
        naive_iteration(views, z, learn_theta=i >= start_sparsity)
        terms.append(naive_bound(views, z))
    return Run(
        first,
        pd.DataFrame(terms),
        z.mean,
        z.square,
        [view.w.mean for view in views],
        [view.w.square for view in views],
        [view.precision() for view in views],
        [
            mean if isinstance(view, GaussianView) else np.broadcast_to(view.shift, mean.shape)
            for view, mean in zip(views, means, strict=True)
        ],
    )


def _spike(mu: np.ndarray, sets: np.ndarray, ard: bool, spike: bool) -> Spike:
    shape = (2, sets[-1] + 1, mu.shape[1])
    return Spike(
        mu, sets, Gamma(*np.ones(shape), prior=1e-14) if ard else None, Beta(*np.ones(shape)) if spike else None
    )


def preprocessed(layer: Layer, groups: np.ndarray, options: Options) -> tuple[np.ndarray, np.ndarray]:
    """Values of all samples, centred and scaled if Gaussian; and the mean of each feature in each group."""
    values = padded(layer, groups.size)
    mean = np.zeros((groups[-1] + 1, values.shape[1]))
    if layer.likelihood != "gaussian":
        return values, mean
    for g in range(len(mean)):
        own = values[groups == g]
        mean[g] = np.nansum(own, axis=0) / np.maximum(1, np.sum(~np.isnan(own), axis=0))
        values[groups == g] -= mean[g]
    if options.scale_views:
        values /= np.nanstd(values)
    if options.scale_groups:
        for g in np.unique(groups[layer.rows]):
            values[groups == g] /= np.nanstd(values[groups == g])
    return values, mean


def padded(layer: Layer, n_samples: int) -> np.ndarray:
    """Values of all samples; NaN for those that the view lacks."""
    values = np.full((n_samples, layer.values.shape[1]), np.nan)
    values[layer.rows] = np.asarray(layer.values)
    return values
