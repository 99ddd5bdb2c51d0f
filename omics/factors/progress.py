"""What a run of fits is made of while it is under way: state, journals, reports, and the snapshot to go on from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from omics.factors.block import Learned, Sums, taken
from omics.factors.state import Expectations, Explained, Weights
from omics.factors.updates import Beta, Factors, Gamma, Shrinkage, taken_side

Terms = Mapping[str, np.ndarray]


class Report(NamedTuple):
    """What a watcher is told after each pass.

    Attributes
    ----------
    iteration, max_iter : int
        Passes done, and at most.
    fits : tuple of int
        Starts that are still under way.
    elbo : numpy.ndarray or None
        Their bounds, where they were computed.
    terms : mapping of str to numpy.ndarray
        The same, term by term.
    traffic : int
        Bytes of moments and sums that travelled in this pass; in one process, that a single task would bring.
    """

    iteration: int
    max_iter: int
    fits: tuple[int, ...]
    elbo: np.ndarray | None
    terms: Terms
    traffic: int


class State(NamedTuple):
    """All that changes but the state of the features.

    Attributes
    ----------
    fits : numpy.ndarray, shape (F + 1,)
        First factor of each fit, and the number of all.
    factors : Factors
        Posterior of the factors.
    weight_side, factor_side : Shrinkage
        Hyperparameters of the weights by view, of the factors by group.
    told : tuple of dict of int to Sums
        By wave, by view: what was last heard.
    spike_log : numpy.ndarray, shape (wave, view, K)
        ``sum (1 - S) ln v0`` of the features of a wave.
    """

    fits: np.ndarray
    factors: Factors
    weight_side: Shrinkage
    factor_side: Shrinkage
    told: tuple[Mapping[int, Sums], ...]
    spike_log: np.ndarray


class Journal(NamedTuple):
    """How one fit has gone so far.

    Attributes
    ----------
    trace, seconds : list of float
        Bounds, and when they were computed.
    first : float
        The bound before the first iteration, against which changes are measured.
    calm : int
        Checks in a row at which the bound had hardly changed.
    """

    trace: list[float]
    seconds: list[float]
    first: float
    calm: int

    def with_bound(self, bound: float, now: float, threshold: float) -> Journal:
        """Note a bound; a fit has converged when it was calm twice in a row."""
        calm = bool(self.trace) and 100 * abs((bound - self.trace[-1]) / self.first) < threshold
        return Journal([*self.trace, bound], [*self.seconds, now], self.first, self.calm + 1 if calm else 0)


class Snapshot(NamedTuple):
    """All that a run needs to go on, beside the data.

    Attributes
    ----------
    iteration : int
        Passes done.
    fits : tuple of int
        Starts under way.
    state : State
        Of the factors and their hyperparameters.
    learned : list of list of Learned
        Of the features, by part and block.
    journals : list of Journal
        By start.
    ended : dict of int to Expectations
        Starts that have ended.
    """

    iteration: int
    fits: tuple[int, ...]
    state: State
    learned: list[list[Learned]]
    journals: list[Journal]
    ended: dict[int, Expectations]


#: What a checkpoint is made of; nothing else can be in one.
SAVED = (Snapshot, State, Factors, Shrinkage, Gamma, Beta, Sums, Learned, Journal, Expectations, Weights, Explained)


def taken_state(state: State, factors: np.ndarray, kept: np.ndarray) -> State:
    """The state of some factors and fits alone."""
    sizes = [np.sum((factors >= state.fits[f]) & (factors < state.fits[f + 1])) for f in kept]
    fits = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
    old = state.factors
    return State(
        fits,
        Factors(
            np.ascontiguousarray(old.mean[factors]),
            np.ascontiguousarray(old.square[factors]),
            old.sums[:, factors],
            old.alpha[:, factors],
        ),
        taken_side(state.weight_side, factors),
        taken_side(state.factor_side, factors),
        tuple({v: taken(sums, state.fits, factors, kept, fits) for v, sums in heard.items()} for heard in state.told),
        state.spike_log[:, :, factors],
    )
