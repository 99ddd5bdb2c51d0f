"""What goes into an engine and what comes out of it: arrays and a few options, no labels."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np


class Layer(NamedTuple):
    """One view as an engine sees it.

    Attributes
    ----------
    values : numpy.ndarray or dask.array.Array, shape (own sample, feature)
        As measured: not centred, NaN where missing. A sample that lacks the view has no row.
    likelihood : str
        gaussian, bernoulli or poisson.
    rows : numpy.ndarray, shape (own sample,)
        Position of each row among the samples of the fit.
    name : str
        What an error calls it.
    features : sequence of str
        Ids of the columns, for errors.
    """

    values: Any
    likelihood: str
    rows: np.ndarray
    name: str = "view"
    features: Sequence[str] = ()


class Start(NamedTuple):
    """Where one fit starts.

    Attributes
    ----------
    n_factors : int
        Factors.
    seed : int or None
        Seed of standard normal scores; None starts from principal components.
    score : numpy.ndarray or None, shape (sample, factor)
        The first E[z] itself, instead of the above.
    """

    n_factors: int
    seed: int | None = None
    score: np.ndarray | None = None


class Options(NamedTuple):
    """Priors, scaling and stopping rule of a fit.

    Attributes
    ----------
    spikeslab_weights, spikeslab_factors : bool
        Weights w = s v with s ~ Bernoulli(theta), theta per view and factor; factors alike, theta per group and factor.
    ard_weights, ard_factors : bool
        v ~ N(0, 1/alpha), alpha per view and factor; factors alike, alpha per group and factor.
    scale_views, scale_groups : bool
        Divide each Gaussian view (in each group) by one number, its standard deviation.
    weight_views : bool
        Weight view m by M / D_m / sum(1 / D), so that views with many features do not outweigh the others.
    max_iter : int
        Iterations at most.
    convergence : str
        fast, medium or slow: 100 |change of the bound / first bound| below 5e-4, 5e-5 or 5e-6, twice in a row.
    dtype : str
        float32 or float64: of the data in memory, of the products with them, and of the weights.
    compat : bool
        mofapy2's numbers: all weights are updated before the factors, and its bounds for binary and count views.
    drop : float or None
        Drop a factor that explains less than this share of every view in every group.
    check_every : int
        Iterations between two values of the bound.
    """

    spikeslab_weights: bool = True
    ard_weights: bool = True
    spikeslab_factors: bool = False
    ard_factors: bool = False
    scale_views: bool = False
    scale_groups: bool = False
    weight_views: bool = False
    max_iter: int = 1000
    convergence: str = "fast"
    dtype: str = "float32"
    compat: bool = False
    drop: float | None = None
    check_every: int = 5


class Weights(NamedTuple):
    """Posterior of the weights and the noise of one view, in the units of its values.

    Attributes
    ----------
    likelihood : str
        gaussian, bernoulli or poisson.
    mean, square : numpy.ndarray, shape (feature, factor)
        E[w], E[w^2].
    intercept : numpy.ndarray, shape (group, feature)
        What is taken off the (pseudo-)data before the factors: the mean of the feature in the group (Gaussian), or the
        intercept of the linear predictor.
    precision : numpy.ndarray, shape (group, feature)
        E[tau]; NaN for Bernoulli, where it depends on the sample.
    """

    likelihood: str
    mean: np.ndarray
    square: np.ndarray
    intercept: np.ndarray
    precision: np.ndarray


class Explained(NamedTuple):
    """Variance explained in one view; of a binary or count view, that of its pseudo-data.

    Attributes
    ----------
    r2 : numpy.ndarray, shape (group, factor)
        ``1 - sum (y - z_k w_k)^2 / sum y^2`` over observed entries, one factor at a time.
    r2_total : numpy.ndarray, shape (group,)
        The same with all factors.
    total : numpy.ndarray, shape (group,)
        ``sum y^2`` of the group, in the units of the values: weighs the groups when they are pooled.
    scale : float
        Root mean square of y over all groups.
    """

    r2: np.ndarray
    r2_total: np.ndarray
    total: np.ndarray
    scale: float


class Expectations(NamedTuple):
    """A fitted model.

    Attributes
    ----------
    score, score_square : numpy.ndarray, shape (sample, factor)
        E[z] and E[z^2].
    weights : tuple of Weights
        One a layer.
    explained : tuple of Explained
        One a layer.
    trace : numpy.ndarray
        Evidence lower bound whenever it was computed; the last is that of the state returned.
    seconds : numpy.ndarray
        Time since the fit began, for each entry of `trace`.
    iterations : int
        Iterations done.
    converged : bool
        Whether the stopping rule was met.
    scales : tuple of numpy.ndarray
        One a layer, shape (group,), where groups were scaled by themselves: ``y = scale (intercept + z'w)``.
    """

    score: np.ndarray
    score_square: np.ndarray
    weights: tuple[Weights, ...]
    explained: tuple[Explained, ...]
    trace: np.ndarray
    seconds: np.ndarray
    iterations: int
    converged: bool
    scales: tuple[np.ndarray, ...] = ()

    @property
    def elbo(self) -> float:
        """Evidence lower bound at the end, in nats."""
        return float(self.trace[-1])


#: ``engine(layers, groups, starts, options)``: one fit a start. `groups` holds the group of each sample, as an integer
#: that never falls. Arguments stay as they are, and the same arguments give the same answer on any scheduler.
Engine = Callable[[Sequence[Layer], np.ndarray, Sequence[Start], Options], list[Expectations]]
