"""What goes into an engine and what comes out of it: arrays and a few options, no labels."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np


class Layer(NamedTuple):
    """One view as an engine sees it.

    Attributes
    ----------
    values : numpy.ndarray, shape (sample, feature)
        float64, NaN where missing; a Gaussian layer is centred by feature.
    likelihood : str
        gaussian, bernoulli or poisson.
    """

    values: np.ndarray
    likelihood: str


class Options(NamedTuple):
    """Priors and stopping rule of a fit.

    Attributes
    ----------
    spikeslab_weights : bool
        Weights w = s v with s ~ Bernoulli(theta), theta per view and factor.
    ard_weights : bool
        v ~ N(0, 1/alpha), alpha per view and factor.
    max_iter : int
        Iterations at most.
    convergence : str
        fast, medium or slow: 100 |change of the bound / first bound| below 5e-4, 5e-5 or 5e-6, twice in a row.
    """

    spikeslab_weights: bool
    ard_weights: bool
    max_iter: int
    convergence: str


class Weights(NamedTuple):
    """Posterior of the weights and the noise of one view.

    Attributes
    ----------
    likelihood : str
        gaussian, bernoulli or poisson.
    mean : numpy.ndarray, shape (feature, factor)
        E[w].
    square : numpy.ndarray, shape (feature, factor)
        E[w^2].
    shift : numpy.ndarray, shape (feature,)
        What is taken off the (pseudo-)data before the factors.
    precision : numpy.ndarray, shape (feature,)
        E[tau]; NaN for Bernoulli, where it depends on the sample.
    """

    likelihood: str
    mean: np.ndarray
    square: np.ndarray
    shift: np.ndarray
    precision: np.ndarray


class Expectations(NamedTuple):
    """A fitted model.

    Attributes
    ----------
    score, score_square : numpy.ndarray, shape (sample, factor)
        E[z] and E[z^2].
    weights : tuple of Weights
        One a layer.
    trace : numpy.ndarray
        Evidence lower bound whenever it was computed; the last is that of the state returned.
    iterations : int
        Iterations done.
    converged : bool
        Whether the stopping rule was met.
    """

    score: np.ndarray
    score_square: np.ndarray
    weights: tuple[Weights, ...]
    trace: np.ndarray
    iterations: int
    converged: bool

    @property
    def elbo(self) -> float:
        """Evidence lower bound at the end, in nats."""
        return float(self.trace[-1])


#: ``engine(layers, start, options)``; `start` is the first E[z], shape (sample, factor). A pure function: same
#: arguments, same answer, in any thread or process; its arguments stay as they are.
Engine = Callable[[Sequence[Layer], np.ndarray, Options], Expectations]
