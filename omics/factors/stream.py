"""The streaming engine: MOFA's updates in one reading of the data an iteration, for several fits at once.

An iteration visits the blocks of features in waves. A visit updates noise and weights and returns sums of the size
of the factors; after each wave alpha, theta and the factors are updated with what is known of all blocks: new sums
of the wave just visited, older ones of the others. Each step is a coordinate ascent of the same bound in another
order (memoised variational inference), which needs fewer passes than the usual order, all weights and then all
factors. That order, mofapy2's, is one wave: `compat`.

References
----------
Argelaguet et al. (2018), Molecular Systems Biology 14:e8124; Argelaguet et al. (2020), Genome Biology 21:111.
Hughes and Sudderth (2013), Memoized online variational inference, NeurIPS.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from functools import reduce
from itertools import pairwise
from typing import Any

import numpy as np

from omics.factors.block import Learned, Mode, Moments, Sums, total
from omics.factors.checkpoint import Checkpoint
from omics.factors.kernels import SECOND, SWITCH
from omics.factors.places import waves_of
from omics.factors.progress import Journal, Report, Snapshot, State, Terms, taken_state
from omics.factors.start import pca_scores, random_scores
from omics.factors.state import Expectations, Explained, Layer, Options, Start, Weights
from omics.factors.sweep import Holding, Sweep, Visit
from omics.factors.updates import (
    Factors,
    Told,
    data_of,
    gaussian_constant,
    likelihood_now,
    moments_of,
    new_shrinkage,
    side_terms,
    start_noise,
    start_terms,
    updated_alpha,
    updated_factors,
    updated_theta,
)

#: Iteration from which theta is learnt, in the order of waves and in mofapy2's.
START_SPARSITY, START_SPARSITY_COMPAT = 20, 50
#: Iterations without a factor being dropped: its weights have to grow first.
DROP_AFTER = 20
#: Iterations after which what workers hold no longer depends on tasks before.
RENEW_EVERY = 25
#: 100 |change of the bound / first bound| below which a fit has converged, twice in a row.
THRESHOLDS: Mapping[str, float] = {"fast": 5e-4, "medium": 5e-5, "slow": 5e-6}


def fit(
    layers: Sequence[Layer],
    groups: np.ndarray,
    starts: Sequence[Start],
    options: Options,
    *,
    holding: Holding | None = None,
    watch: Callable[[Report], None] | None = None,
    checkpoint: Checkpoint | None = None,
) -> list[Expectations]:
    """Fit every start, all of them in the same passes over the data; see :data:`omics.factors.state.Engine`.

    Only the fit of the highest bound comes with its weights.

    Parameters
    ----------
    holding : Holding, optional
        Where the data lie between passes; in memory if not given.
    watch : callable, optional
        Is told about every pass.
    checkpoint : Checkpoint, optional
        From where to go on, and where to keep the state; who has the results in safety clears it.

    Raises
    ------
    DataError
        There are values that cannot be, or from which nothing can be learnt: before anything is fitted.
    KeyboardInterrupt, SystemExit
        The fit was interrupted; a note says where its state is kept.
    """
    run = Run(layers, groups, starts, options, holding or Holding())
    if checkpoint and (saved := checkpoint.load()):
        run.restore(saved)
    try:
        while run.fits:
            report = run.iterate()
            if watch:
                watch(report)
            if run.fits and checkpoint and checkpoint.due():
                checkpoint.save(run.snapshot())
            elif run.iteration % RENEW_EVERY == 0:
                run.sweep.renew()
    except (KeyboardInterrupt, SystemExit) as interrupt:
        if checkpoint and run.iteration:
            interrupt.add_note(_kept(checkpoint, run))
        raise
    return run.results()


def _kept(checkpoint: Checkpoint, run: Run) -> str:
    """Keep the state of a run that was interrupted, and say so; that it cannot be kept must not hide the interrupt."""
    try:
        checkpoint.save(run.snapshot())
    except OSError as error:
        return f"the state after iteration {run.iteration} could not be kept: {error}"
    return f"the state after iteration {run.iteration} is kept; go on with --resume"


class Run:
    """Fits under way.

    Parameters
    ----------
    layers, groups, starts, options, holding
        As of :func:`fit`.
    """

    def __init__(
        self, layers: Sequence[Layer], groups: np.ndarray, starts: Sequence[Start], options: Options, holding: Holding
    ) -> None:
        self.options, self.groups, self.layers = options, groups, layers
        self.n_groups = int(groups[-1]) + 1
        self.began = time.monotonic()
        size = sum(np.prod(layer.values.shape) for layer in layers) * np.dtype(options.dtype).itemsize
        n_waves = 1 if options.compat else waves_of(int(size))
        self.sweep = Sweep(layers, groups, options, n_waves, holding)
        self.group_sizes = np.bincount(groups, minlength=self.n_groups).astype(float)
        self.view_sizes = np.array([view.n_features for view in self.sweep.views], dtype=float)
        self.iteration = 0
        self.fits: tuple[int, ...] = tuple(range(len(starts)))
        self.journals = [Journal([], [], float("nan"), 0) for _ in starts]
        self.ended: dict[int, Expectations] = {}
        self.state = self._begin(starts)

    def _begin(self, starts: Sequence[Start]) -> State:
        """Scores as asked for, everything else as mofapy2 starts."""
        n_samples = self.groups.size
        gram = self.sweep.gram() if any(s.seed is None and s.score is None for s in starts) else None
        scores = [_scores(start, n_samples, gram) for start in starts]
        fits = np.concatenate([[0], np.cumsum([score.shape[1] for score in scores])]).astype(np.int64)
        mean = np.ascontiguousarray(np.concatenate(scores, axis=1).T, dtype=float)
        n_factors = len(mean)
        ard_w, ard_z = self.options.ard_weights, self.options.ard_factors
        spike_w, spike_z = self.options.spikeslab_weights, self.options.spikeslab_factors
        return State(
            fits,
            Factors(mean, mean**2 + 1.0, np.zeros((self.n_groups, n_factors, 4)), np.ones((self.n_groups, n_factors))),
            new_shrinkage(len(self.layers), n_factors, ard=ard_w, spike=spike_w),
            new_shrinkage(self.n_groups, n_factors, ard=ard_z, spike=spike_z),
            tuple({} for _ in range(self.sweep.n_waves)),
            np.zeros((self.sweep.n_waves, len(self.layers), n_factors)),
        )

    def snapshot(self) -> Snapshot:
        """The state after the last whole iteration; what the workers hold is fetched, and given back to them anew."""
        learned = self.sweep.renew()
        return Snapshot(self.iteration, self.fits, self.state, learned, self.journals, self.ended)

    def restore(self, saved: Snapshot) -> None:
        """Go on from a snapshot of a run on the same data."""
        self.iteration, self.fits, self.state = saved.iteration, saved.fits, saved.state
        self.journals, self.ended = list(saved.journals), dict(saved.ended)
        self.sweep.restore(saved.learned)
        self.began -= max((journal.seconds[-1] for journal in self.journals if journal.seconds), default=0.0)

    # --- one iteration --------------------------------------------------------------------------------------------

    def iterate(self) -> Report:
        """One pass: every wave is visited, and after each the factors follow; if it is interrupted, none of it was."""
        before = (
            self.iteration,
            self.fits,
            self.state,
            list(self.sweep.learned),
            list(self.journals),
            dict(self.ended),
        )
        try:
            return self._iterate()
        except BaseException:  # Ctrl-C and SIGTERM too: what is kept then must be a whole iteration
            self.iteration, self.fits, self.state, self.sweep.learned, self.journals, self.ended = before
            raise

    def _iterate(self) -> Report:
        self.iteration += 1
        checked = self._checks(self.iteration)
        explain = checked and self.options.drop is not None and self.iteration > DROP_AFTER
        mode = Mode(self.iteration > 1, True, explain, self.options.compat)
        before = (self.state, list(self.sweep.learned))
        traffic = 0
        heard: Mapping[int, Sums] = {}
        later = self._later()
        for wave in range(self.sweep.n_waves):
            # 1. noise and weights of the wave's features, from the factors as they are now
            traffic += self._visit(wave, mode, entropy=checked)
            heard = _added(heard, self.state.told[wave])
            if self.iteration == 1 and wave < self.sweep.n_waves - 1:
                continue  # the factors must have heard of every feature once
            # 2. alpha and theta of the weights, factors, alpha and theta of the factors
            self._follow(self._by_view(_added(heard, later[wave])))
        if self.iteration == 1:
            self._measure(before[0])
        terms = self._bound(checked, before)
        elbo = np.sum(list(terms.values()), axis=0) if terms else None
        report = Report(self.iteration, self.options.max_iter, self.fits, elbo, terms, traffic)
        self._end(elbo, before if self.options.compat else None)
        if explain and self.fits:
            self._drop()
        return report

    def _checks(self, iteration: int) -> bool:
        every = self.options.check_every
        return (
            (iteration - 1) % every == 0 and (iteration > 1 or self.options.compat)
        ) or iteration == self.options.max_iter

    def _moments(self, state: State) -> list[Moments]:
        return [
            moments_of(state.factors, view.rows.samples, view.rows.bounds, state.fits, view.like)
            for view in self.sweep.views
        ]

    def _visit(self, wave: int, mode: Mode, *, entropy: bool) -> int:
        state = self.state
        brought = {
            v: Visit(
                moments,
                state.weight_side.prior(v, entropy=entropy),
                state.fits,
                mode,
                view.rows.samples.size,
                view.local,
            )
            for v, (view, moments) in enumerate(zip(self.sweep.views, self._moments(state), strict=True))
        }
        heard, traffic = self.sweep.visit(wave, brought)
        spike_log = state.spike_log.copy()
        for v, sums in heard.items():
            n_features = self.sweep.features_of(wave, v)
            spike_log[wave, v] = -(n_features - sums.prior[:, SWITCH]) * np.log(brought[v].prior.alpha)
        told = tuple({**old, **heard} if w == wave else old for w, old in enumerate(state.told))
        self.state = state._replace(told=told, spike_log=spike_log)
        return traffic

    def _told(self, state: State) -> list[Told]:
        return self._by_view(reduce(_added, state.told))

    def _by_view(self, heard: Mapping[int, Sums]) -> list[Told]:
        return [Told(heard[v], view.rows.samples, view.omega) for v, view in enumerate(self.sweep.views)]

    def _later(self) -> list[Mapping[int, Sums]]:
        """What the waves after each one told in the pass before, added up."""
        later: list[Mapping[int, Sums]] = [{}]
        for heard in self.state.told[:0:-1]:
            later.append(_added(later[-1], heard))
        return later[::-1]

    def _follow(self, told: list[Told]) -> None:
        state = self.state
        sparse = self.iteration >= (START_SPARSITY_COMPAT if self.options.compat else START_SPARSITY)
        prior = np.stack([view.sums.prior for view in told])
        weights = updated_alpha(state.weight_side, prior[:, :, SECOND], self.view_sizes)
        weights = updated_theta(weights, prior[:, :, SWITCH], self.view_sizes) if sparse else weights
        data = data_of(told, state.fits, self.groups)
        factors = updated_factors(state.factors, data, state.factor_side, state.fits, self.groups)
        side = updated_alpha(state.factor_side, factors.sums[:, :, SECOND], self.group_sizes)
        side = updated_theta(side, factors.sums[:, :, SWITCH], self.group_sizes) if sparse else side
        self.state = state._replace(weight_side=weights, factors=factors, factor_side=side)

    # --- the bound ------------------------------------------------------------------------------------------------

    def _side_terms(self, state: State) -> dict[str, np.ndarray]:
        """Terms of weights, factors and their hyperparameters."""
        told = np.stack([view.sums.prior for view in self._told(state)])
        weights = np.concatenate([told, state.spike_log.sum(axis=0)[:, :, None]], axis=2)
        rest = -(self.group_sizes[:, None] - state.factors.sums[:, :, SWITCH]) * np.log(state.factors.alpha)
        factors = np.concatenate([state.factors.sums, rest[:, :, None]], axis=2)
        compat, fits = self.options.compat, state.fits
        omega, ones = np.array([view.omega for view in self.sweep.views]), np.ones(self.n_groups)
        w = side_terms(state.weight_side, weights, self.view_sizes, fits, compat=compat, omega=omega)
        z = side_terms(state.factor_side, factors, self.group_sizes, fits, compat=compat, omega=ones)
        names = {"of": "", "alpha": "Alpha", "theta": "Theta"}
        return {
            **{f"{names[key]}W": value for key, value in w.items()},
            **{f"{names[key]}Z": value for key, value in z.items()},
        }

    def _likelihood(self, heard: Sequence[Told], state: State | None) -> dict[str, np.ndarray]:
        """Terms of data and noise: of the state that is held if it is given, else of the one before the visit."""
        y = tau = np.zeros(len(heard[0].sums.data))
        moments = self._moments(state) if state else []
        for v, (told, view) in enumerate(zip(heard, self.sweep.views, strict=True)):
            data = told.sums.data
            fitted = data[:, 0] - data[:, 1]
            if state:
                fitted = likelihood_now(told, state.factors, moments[v], state.fits)
            y = y + view.omega * (fitted + gaussian_constant(view.n_observed))
            tau = tau + view.omega * data[:, 2]
        return {"Y": y, "Tau": tau}

    def _measure(self, start: State) -> None:
        """The bound before the first iteration, of which the first visit has found what depends on the data."""
        sweep, state = self.sweep, self.state
        by_view = []
        for view, told in zip(sweep.views, self._told(state), strict=True):
            data, pointwise = told.sums.data, view.like.pointwise
            # Without compat a binary or count view has touched anew: nearly the bound of the start, and only a measure.
            found = data[:, 0] - 0.5 * data[:, 3] if pointwise and not self.options.compat else -data[:, 1]
            found = data[:, 0] if pointwise and self.options.compat else found
            by_view.append(
                found + (0.0 if pointwise else start_noise(view.n_observed, self.n_groups * view.n_features))
            )
        omega = np.array([view.omega for view in sweep.views])
        for f, (first, last) in enumerate(pairwise(state.fits)):
            sides = omega @ start_terms(state.weight_side, self.view_sizes, last - first)
            sides += start_terms(state.factor_side, self.group_sizes, last - first).sum()
            scores = start.factors.mean[first:last]
            value = omega @ np.array([found[f] for found in by_view]) + sides - 0.5 * np.sum(scores**2)
            self.journals[self.fits[f]] = self.journals[self.fits[f]]._replace(first=float(value))

    def _bound(self, checked: bool, before: tuple[State, list[Any]]) -> Terms:
        """Terms of the bound, if they are known now: mofapy2's need what the next visit finds."""
        if not self.options.compat:
            if not checked:
                return {}
            return {**self._likelihood(self._told(self.state), self.state), **self._side_terms(self.state)}
        terms: Terms = {}
        if self._checks(self.iteration - 1) and self.iteration > 1:
            terms = {**self._likelihood(self._told(self.state), None), **self._side_terms(before[0])}
        return terms

    def _end(self, elbo: np.ndarray | None, before: tuple[State, list[Any]] | None) -> None:
        """Note the bounds; end the fits that have converged, and all after the last iteration."""
        now, threshold = time.monotonic() - self.began, THRESHOLDS[self.options.convergence]
        state, learned = before or (self.state, self.sweep.learned)
        done = []
        if elbo is not None:
            for f, bound in zip(self.fits, elbo, strict=True):
                self.journals[f] = self.journals[f].with_bound(float(bound), now, threshold)
                if self.journals[f].calm == 2:
                    done.append(f)
        iteration = self.iteration - 1 if before else self.iteration
        for f in done:
            self._finish(f, state, learned, iteration, converged=True)
        if self.iteration == self.options.max_iter:
            for f in self.fits:
                if f not in done:
                    self._finish(f, self.state, self.sweep.learned, self.iteration, converged=False)
            self.fits = ()
        elif done:
            self._keep([i for i, f in enumerate(self.fits) if f not in done])

    # --- fewer fits or factors ------------------------------------------------------------------------------------

    def _keep(self, kept: Sequence[int], factors: np.ndarray | None = None) -> None:
        """Go on with some of the fits, and some of their factors (all, if not given)."""
        fits = self.state.fits
        if factors is None:
            factors = np.concatenate([np.arange(fits[f], fits[f + 1]) for f in kept] or [np.arange(0)])
        self.fits = tuple(self.fits[f] for f in kept)
        if self.fits:
            self.sweep.learned = self.sweep.chosen(self.sweep.learned, factors, np.asarray(kept))
            self.state = taken_state(self.state, factors, np.asarray(kept))

    def _drop(self) -> None:
        """Go on without the factors that explained less than `drop` of every view in every group in this pass.

        One is always left. What a fit has lost makes it another model, so its bound is compared anew.
        """
        fits, worth = self.state.fits, self.options.drop or 0.0
        most = np.max([_shares(told.sums, fits).max(axis=0) for told in self._told(self.state)], axis=0)
        stays = most >= worth
        for f, (first, last) in enumerate(pairwise(fits)):
            if not stays[first:last].any():
                stays[first + int(np.argmax(most[first:last]))] = True
            if not stays[first:last].all():
                self.journals[self.fits[f]] = self.journals[self.fits[f]]._replace(calm=0)
        if not stays.all():
            self._keep(list(range(len(self.fits))), np.flatnonzero(stays))

    # --- the end --------------------------------------------------------------------------------------------------

    def _finish(self, f: int, state: State, learned: list[Any], iteration: int, *, converged: bool) -> None:
        """A last visit without learning: noise, bound and variance explained of the state at the end."""
        at = self.fits.index(f)
        factors = np.arange(state.fits[at], state.fits[at + 1])
        kept = np.array([at])
        own = taken_state(state, factors, kept)
        final = self.sweep.chosen(learned, factors, kept)
        mode = Mode(True, False, True, self.options.compat)
        brought = {
            v: Visit(
                moments, own.weight_side.prior(v, entropy=True), own.fits, mode, view.rows.samples.size, view.local
            )
            for v, (view, moments) in enumerate(zip(self.sweep.views, self._moments(own), strict=True))
        }
        heard, _ = self.sweep.visit(None, brought, final)
        if len(self.ended) + 1 == len(self.journals):
            self.sweep.release()  # before weights and tables take memory
        told = self._by_view(heard)
        likelihood = self._likelihood(told, None if self.options.compat else own)
        terms = {**likelihood, **self._side_terms(own)}
        bound = float(sum(term[0] for term in terms.values()))
        journal = self.journals[f]
        ended = not (self.options.compat and converged)  # mofapy2's last bound is that of the end itself
        best = max((fit.elbo for fit in self.ended.values()), default=-np.inf)
        for other, fit_ in self.ended.items():
            if bound > best:
                self.ended[other] = fit_._replace(weights=())
        self.ended[f] = Expectations(
            score=own.factors.mean.T.copy(),
            score_square=own.factors.square.T.copy(),
            weights=self._weights(final) if bound > best or not np.isfinite(best) else (),
            explained=tuple(
                _explained(heard[v], view.like.inverse, view.n_observed) for v, view in enumerate(self.sweep.views)
            ),
            trace=np.array([*journal.trace, *[bound] * ended]),
            seconds=np.array([*journal.seconds, *[time.monotonic() - self.began] * ended]),
            iterations=iteration,
            converged=converged,
            scales=tuple(1.0 / view.like.inverse for view in self.sweep.views)
            if self.options.scale_groups and self.n_groups > 1
            else (),
        )

    def _weights(self, final: Sequence[Any]) -> tuple[Weights, ...]:
        """Posterior of the weights of all features, in the units of the values."""
        learned = self.sweep.state(final)
        return tuple(_of_view(self.sweep, v, layer, learned, self.options) for v, layer in enumerate(self.layers))

    def results(self) -> list[Expectations]:
        """All fits, in the order of the starts."""
        return [self.ended[f] for f in sorted(self.ended)]


def _added(one: Mapping[int, Sums], other: Mapping[int, Sums]) -> Mapping[int, Sums]:
    """Sums by view; a view may be in one of them alone."""
    return {v: total([heard[v] for heard in (one, other) if v in heard]) for v in sorted({*one, *other})}


def _scores(start: Start, n_samples: int, gram: np.ndarray | None) -> np.ndarray:
    if start.score is not None:
        return np.asarray(start.score, dtype=float)
    if start.seed is not None:
        return random_scores(n_samples, start.n_factors, start.seed)
    assert gram is not None
    return pca_scores(gram, start.n_factors)


def _shares(sums: Sums, fits: np.ndarray) -> np.ndarray:
    """Variance explained by group and factor, of several fits."""
    square = np.repeat(sums.residual[1], np.diff(fits), axis=0).T
    return np.where(square > 0, sums.explained / np.where(square > 0, square, 1.0), 0.0)


def _explained(sums: Sums, inverse: np.ndarray, n_observed: float) -> Explained:
    """Variance explained of a single fit."""
    residual, square = sums.residual[0, 0], sums.residual[1, 0]
    some = np.where(square > 0, square, 1.0)
    total_ = square / inverse**2
    rms = float(np.sqrt(total_.sum() / n_observed)) if n_observed else 1.0
    fits = np.array([0, sums.explained.shape[1]])
    return Explained(_shares(sums, fits), np.where(square > 0, 1 - residual / some, 0.0), total_, rms)


def _of_view(sweep: Sweep, v: int, layer: Layer, learned: Sequence[Sequence[Learned]], options: Options) -> Weights:
    def side_by_side(name: str) -> np.ndarray:
        return sweep.by_feature(v, [[getattr(block, name) for block in part] for part in learned])

    def scaled(moments: np.ndarray, scale: float) -> np.ndarray:
        result = np.empty(moments.shape[::-1])
        return np.multiply(moments.T, scale, out=result)  # in place: with wide data, copies are what takes memory

    inverse, gaussian = sweep.views[v].like.inverse, layer.likelihood == "gaussian"
    by_group = options.scale_groups and gaussian and inverse.size > 1
    mean = sweep.facts[v].mean
    one = 1.0 if by_group else 1.0 / inverse[0]
    tau = side_by_side("tau")[0]
    intercept = mean * (inverse[:, None] if by_group else 1.0) if gaussian else side_by_side("intercept")[0]
    return Weights(
        layer.likelihood,
        scaled(side_by_side("mean"), one),
        scaled(side_by_side("square"), one**2),
        intercept,
        tau / one**2 if gaussian or (layer.likelihood == "poisson" and options.compat) else np.full_like(tau, np.nan),
    )
