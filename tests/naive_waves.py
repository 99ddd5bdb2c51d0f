"""The order of updates that is ours, wave by wave, written out naively: dense arrays with masks, no memory of sums.

Unlike mofapy2's, every step is a coordinate ascent of one bound, which has an intercept for binary and count views.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from scipy.special import expit, xlogy

from omics.factors.state import Layer, Options, Start
from tests.naive import Beta, Gamma, Spike, preprocessed

#: Iteration from which theta is learnt.
START_SPARSITY = 20


def spike_bound(part: Spike) -> float:
    """E[ln p] - E[ln q] of s and v, each with the variance that it had when it was updated."""
    log_alpha = part.alpha.log[part.sets] if part.alpha else np.zeros_like(part.mu)
    bound = np.sum(log_alpha - part.precision * part.slab_square + 1) / 2
    bound += np.sum(part.on * np.log(part.var) + (1 - part.on) * np.log(part.off)) / 2
    if not part.theta:
        return bound
    prior = part.on * part.theta.log[part.sets] + (1 - part.on) * part.theta.log_not[part.sets]
    return bound + np.sum(prior - xlogy(part.on, part.on) - xlogy(1 - part.on, 1 - part.on))


@dataclass
class Block:
    """Some features of one view: data y with 0 where missing, o = 1 where observed, what the touching bound is."""

    likelihood: str
    y: np.ndarray
    o: np.ndarray
    groups: np.ndarray
    w: Spike
    tau: np.ndarray = field(init=False)
    noise: Gamma = field(init=False)
    b: np.ndarray = field(init=False)
    zeta: np.ndarray = field(init=False)
    target: np.ndarray = field(init=False)

    def __post_init__(self) -> None:
        self.tau, self.target = np.ones_like(self.y), self.y.copy()
        self.noise = Gamma(*np.ones((2, self.groups[-1] + 1, self.y.shape[1])), prior=1e-3)
        mean = (self.by_group(self.o * self.y) + 0.5) / (self.by_group(self.o) + 1)
        with np.errstate(invalid="ignore", divide="ignore"):
            self.b = np.log(np.expm1(mean)) if self.likelihood == "poisson" else np.log(mean / (1 - mean))

    def by_group(self, entries: np.ndarray) -> np.ndarray:
        return np.stack([entries[self.groups == g].sum(axis=0) for g in range(self.groups[-1] + 1)])

    def expected(self, z: Spike, *, intercept: bool) -> tuple[np.ndarray, np.ndarray]:
        """E[eta] and E[eta^2]."""
        mean = z.mean @ self.w.mean.T
        variance = z.square @ self.w.square.T - z.mean**2 @ (self.w.mean**2).T
        mean = mean + (self.b[self.groups] if intercept else 0)
        return mean, mean**2 + variance

    def touch(self, z: Spike) -> None:
        """Update the noise, or where the bound touches and then the intercept."""
        if self.likelihood == "gaussian":
            mean, square = self.expected(z, intercept=False)
            self.noise.a = 1e-3 + self.by_group(self.o) / 2
            self.noise.b = 1e-3 + self.by_group(self.o * (self.y**2 - 2 * self.y * mean + square)) / 2
            self.tau = self.noise.mean[self.groups]
            return
        mean, square = self.expected(z, intercept=True)
        if self.likelihood == "bernoulli":
            self.zeta = np.sqrt(square)
            self.tau = np.tanh(self.zeta / 2) / (2 * self.zeta)
            pseudo = (self.y - 0.5) / self.tau
        else:
            self.zeta = mean
            self.tau = 0.25 + 0.17 * self.y
            pseudo = self.zeta - self.slope()[1] / self.tau
        without = pseudo - self.expected(z, intercept=False)[0]
        weight = self.by_group(self.o * self.tau)
        self.b = np.where(weight > 0, self.by_group(self.o * self.tau * without) / np.maximum(weight, 1e-300), self.b)
        self.target = pseudo - self.b[self.groups]

    def slope(self) -> tuple[np.ndarray, np.ndarray]:
        rate = np.logaddexp(0, self.zeta)
        return rate, expit(self.zeta) * (1 - self.y / rate)

    def sums(self, of: Spike, *, transposed: bool) -> tuple[np.ndarray, ...]:
        """What the data say about the weights, given the factors; or the reverse."""
        t, y = self.o * self.tau, self.target
        if transposed:
            t, y = t.T, y.T
        linear = np.einsum("nd,nk->dk", t * y, of.mean)
        return np.einsum("nd,nk->dk", t, of.square), linear, np.einsum("nd,nk,nl->dkl", t, of.mean, of.mean)

    def bound(self, z: Spike) -> float:
        """Of the data, from what the likelihood is bounded by."""
        mean, square = self.expected(z, intercept=self.likelihood != "gaussian")
        if self.likelihood == "gaussian":
            error = self.o * (self.y**2 - 2 * self.y * mean + square)
            known = self.by_group(self.o)
            return np.sum(known * (self.noise.log - np.log(2 * np.pi))) / 2 - np.sum(self.tau * error) / 2
        if self.likelihood == "bernoulli":
            linear = ((2 * self.y - 1) * mean - self.zeta) / 2 - np.log1p(np.exp(-self.zeta))
            return np.sum(self.o * (linear - self.tau / 2 * (square - self.zeta**2)))
        rate, slope = self.slope()
        distance = square - 2 * mean * self.zeta + self.zeta**2
        terms = self.tau * distance / 2 + (mean - self.zeta) * slope + rate - self.y * np.log(rate)
        return -np.sum(self.o * terms)


class Waves:
    """The model under way.

    Parameters
    ----------
    layers, groups, start, options
        As of an engine.
    columns : sequence of sequence of numpy.ndarray
        By wave, by view: positions of the features that are visited.
    """

    def __init__(
        self,
        layers: Sequence[Layer],
        groups: np.ndarray,
        start: Start,
        options: Options,
        columns: Sequence[Sequence[np.ndarray]],
    ) -> None:
        self.options, self.groups, self.columns = options, groups, columns
        n_views, first = len(layers), np.array(start.score, dtype=float)
        n_factors, n_groups = first.shape[1], groups[-1] + 1

        def hyper(rows: int, ard: bool, spike: bool) -> tuple[Gamma | None, Beta | None]:
            ones = np.ones((2, rows, n_factors))
            return Gamma(*ones.copy(), prior=1e-14) if ard else None, Beta(*ones.copy()) if spike else None

        self.z = Spike(first.copy(), groups, *hyper(n_groups, options.ard_factors, options.spikeslab_factors))
        sizes = np.array([layer.values.shape[1] for layer in layers])
        self.omega = n_views / sizes / np.sum(1 / sizes) if options.weight_views else np.ones(n_views)
        self.priors = [hyper(1, options.ard_weights, options.spikeslab_weights) for _ in layers]
        self.blocks: list[list[Block]] = [[] for _ in columns]
        for v, layer in enumerate(layers):
            values, _ = preprocessed(layer, groups, options)
            for wave, own in enumerate(columns):
                y = values[:, own[v]]
                w = Spike(np.zeros((y.shape[1], n_factors)), np.zeros(y.shape[1], int), *self.priors[v])
                known = ~np.isnan(y)
                self.blocks[wave].append(Block(layer.likelihood, np.where(known, y, 0.0), known * 1.0, groups, w))

    def of_view(self, v: int) -> list[Block]:
        return [wave[v] for wave in self.blocks]

    def side_by_side(self, v: int, what) -> np.ndarray:
        """``what(block)``, a row for each feature, of all features of a view in their order."""
        order = np.argsort(np.concatenate([own[v] for own in self.columns]))
        return np.concatenate([what(block) for block in self.of_view(v)])[order]

    def iterate(self, iteration: int) -> None:
        for wave in self.blocks:
            for block in wave:
                if iteration > 1 or block.likelihood != "gaussian":
                    block.touch(self.z)
                block.w.update(*block.sums(self.z, transposed=False))
            if iteration > 1 or wave is self.blocks[-1]:
                self.follow(iteration)

    def follow(self, iteration: int) -> None:
        """Update all that is no feature's own."""
        for v, (alpha, theta) in enumerate(self.priors):
            parts = [block.w for block in self.of_view(v)]
            n_features = sum(len(part.mu) for part in parts)
            if alpha:
                alpha.a[:] = 1e-14 + n_features / 2
                alpha.b[0] = 1e-14 + sum(part.slab_square.sum(axis=0) for part in parts) / 2
            if theta and iteration >= START_SPARSITY:
                on = sum(part.on.sum(axis=0) for part in parts)
                theta.a[0], theta.b[0] = 1 + on, 1 + n_features - on
        told = [
            [omega * s for s in block.sums(block.w, transposed=True)]
            for wave in self.blocks
            for omega, block in zip(self.omega, wave, strict=True)
        ]
        self.z.update(*(sum(parts) for parts in zip(*told, strict=True)))
        if self.z.alpha:
            self.z.update_alpha()
        if self.z.theta and iteration >= START_SPARSITY:
            self.z.update_theta()

    def bound(self) -> dict[str, float]:
        """Terms by mofapy2's names."""

        def over_views(term) -> float:
            return sum(omega * term(v) for v, omega in enumerate(self.omega))

        gaussian = [[b for b in self.of_view(v) if b.likelihood == "gaussian"] for v in range(len(self.omega))]
        terms = {
            "Z": spike_bound(self.z),
            "W": over_views(lambda v: sum(spike_bound(block.w) for block in self.of_view(v))),
            "Y": over_views(lambda v: sum(block.bound(self.z) for block in self.of_view(v))),
            "Tau": over_views(lambda v: sum(block.noise.bound() for block in gaussian[v])),
        }
        of_weights = {"AlphaW": [alpha for alpha, _ in self.priors], "ThetaW": [theta for _, theta in self.priors]}
        for name, hyper in of_weights.items():
            if hyper[0]:
                terms[name] = over_views(lambda v, hyper=hyper: hyper[v].bound())
        terms.update({"AlphaZ": self.z.alpha.bound()} if self.z.alpha else {})
        terms.update({"ThetaZ": self.z.theta.bound()} if self.z.theta else {})
        return terms


def waves_fit(
    layers: Sequence[Layer],
    groups: np.ndarray,
    start: Start,
    options: Options,
    columns: Sequence[Sequence[np.ndarray]],
    iterations: int,
) -> tuple[Waves, pd.DataFrame]:
    """Fit for an exact number of iterations; row i of the terms follows iteration i + 1."""
    model = Waves(layers, groups, start, options, columns)
    terms = []
    for i in range(1, iterations + 1):
        model.iterate(i)
        terms.append(model.bound())
    for wave in model.blocks:  # the last visit
        for block in wave:
            block.touch(model.z)
    return model, pd.DataFrame(terms)
