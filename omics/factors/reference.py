"""The reference engine: mofapy2, called so that its side effects stay inside this module.

mofapy2 prints every iteration, silences all warnings when it is imported, seeds NumPy's global generator, keeps its
precision in a global, swallows Ctrl-C and turns any TypeError of its ``run()`` into ``sys.exit()``. It is kept as the
measure of every other engine, so its numbers are left alone and only the side effects are undone.

References
----------
Argelaguet et al. (2018), Molecular Systems Biology 14:e8124; Argelaguet et al. (2020), Genome Biology 21:111.
"""

from __future__ import annotations

import sys
import threading
import time
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from typing import Any, NamedTuple

import numpy as np

from omics import blocks
from omics.factors.layers import refuse
from omics.factors.packing import Facts
from omics.factors.start import pca_scores, random_scores
from omics.factors.state import Expectations, Explained, Layer, Options, Start, Weights
from omics.schema import UsageError

#: Importing and building touch state of the whole process, and fits run in threads.
_BUILDING = threading.Lock()


class _Matrix(NamedTuple):
    """One view as mofapy2 takes it.

    Attributes
    ----------
    values : numpy.ndarray, shape (sample, feature)
        Of all samples, NaN where missing; of a Gaussian view centred and scaled.
    likelihood : str
        gaussian, bernoulli or poisson.
    mean : numpy.ndarray, shape (group, feature)
        What was taken off.
    scale : numpy.ndarray, shape (group,)
        What was divided by, afterwards.
    """

    values: np.ndarray
    likelihood: str
    mean: np.ndarray
    scale: np.ndarray


def fit(layers: Sequence[Layer], groups: np.ndarray, starts: Sequence[Start], options: Options) -> list[Expectations]:
    """Fit by mofapy2; see :data:`omics.factors.state.Engine`.

    Fits run in parallel on dask's active scheduler. All views are held as dense matrices of all samples, and copied for
    each fit. `options.compat` changes nothing: the numbers are always mofapy2's.

    Parameters
    ----------
    layers : sequence of Layer
        The views.
    groups : numpy.ndarray, shape (sample,)
        Group of each sample, 0, 1, ..., never falling.
    starts : sequence of Start
        One a fit. Principal components are scaled to [-1, 1] also for spike-and-slab factors, where mofapy2 itself
        does not scale them.
    options : Options
        Priors, scaling and stopping rule. `dtype` float32 is mofapy2's ``use_float32``.

    Returns
    -------
    list of Expectations
        In the order of the starts. With ``scale_groups`` a weight has no unit, since each group has its own; it is left
        per standard deviation of the group.

    Raises
    ------
    UsageError
        `options.drop` is given: mofapy2 chooses the factor to drop by a random number of the whole process.
    DataError
        A view has values that its likelihood cannot have, or a feature without variance.
    KeyboardInterrupt
        The fit was interrupted.
    """
    if options.drop is not None:
        raise UsageError(
            f"drop is {options.drop:g}, but mofapy2 drops factors at random, from the first iteration on",
            fix="choose the engine stream, or leave drop out: factors that explain nothing are marked",
        )
    groups = np.asarray(groups)
    matrices = [_matrix(layer, groups, options) for layer in layers]
    scores = _scores(starts, matrices, groups.size)
    return blocks.each(_fit, scores, matrices, groups, options)


def _matrix(layer: Layer, groups: np.ndarray, options: Options) -> _Matrix:
    raw = np.asarray(layer.values, dtype=float)
    refuse(_facts(raw, layer.likelihood), layer)
    values = np.full((groups.size, raw.shape[1]), np.nan)
    values[layer.rows] = raw
    n_groups = int(groups[-1]) + 1
    mean, scale = np.zeros((n_groups, raw.shape[1])), np.ones(n_groups)
    if layer.likelihood == "gaussian":
        mean = np.stack([_mean(values[groups == g]) for g in range(n_groups)])
        values -= mean[groups]
        if options.scale_groups:
            scale = np.array([_spread(values[groups == g]) for g in range(n_groups)])
        elif options.scale_views:
            scale[:] = _spread(values)
        values /= scale[groups, None]
    return _Matrix(values.astype(options.dtype), layer.likelihood, mean, scale)


def _facts(raw: np.ndarray, likelihood: str) -> Facts:
    known = ~np.isnan(raw)
    possible = np.isfinite(raw)
    if likelihood == "bernoulli":
        possible = (raw == 0) | (raw == 1)
    elif likelihood == "poisson":
        possible &= (raw >= 0) & (raw == np.floor(raw))
    varies = np.where(known, raw, -np.inf).max(axis=0) > np.where(known, raw, np.inf).min(axis=0)
    none = np.zeros((1, raw.shape[1]))
    return Facts(none, none, varies, raw[known & ~possible][:5], 0, none)


def _mean(values: np.ndarray) -> np.ndarray:
    """Mean of each feature; 0 of a feature that nobody in the group has, where NumPy would warn."""
    return np.nansum(values, axis=0) / np.maximum(1, np.sum(~np.isnan(values), axis=0))


def _spread(centred: np.ndarray) -> float:
    """Standard deviation of all entries; 1 if there is none."""
    known = centred[~np.isnan(centred)]
    return float(np.std(known)) if known.size and np.ptp(known) > 0 else 1.0


def _scores(starts: Sequence[Start], matrices: Sequence[_Matrix], n_samples: int) -> list[np.ndarray]:
    gram = None
    if any(start.score is None and start.seed is None for start in starts):
        gram = sum(_gram(matrix.values) for matrix in matrices)
    scores = []
    for start in starts:
        if start.score is not None:
            score = np.array(start.score, dtype=float)
        elif start.seed is not None:
            score = random_scores(n_samples, start.n_factors, start.seed)
        else:
            score = pca_scores(np.asarray(gram), start.n_factors)
        scores.append(score)
    return scores


def _gram(values: np.ndarray) -> np.ndarray:
    centred = np.nan_to_num(values - _mean(values)).astype(float)  # NaN -> 0, the mean
    return centred @ centred.T


def _fit(score: np.ndarray, matrices: Sequence[_Matrix], groups: np.ndarray, options: Options) -> Expectations:
    began = time.monotonic()
    with np.errstate(all="ignore"):  # 0 ln 0 and saturated sigmoids are meant
        with _BUILDING:
            model = _build(score, matrices, groups, options)
        journal = _watched(model)
        model.iterate()
        if not model.trained:  # mofapy2 swallowed it
            raise KeyboardInterrupt
        record = model.train_stats["elbo"]  # a row an iteration, cut at the one that converged
        converged = record.size <= options.max_iter
        iterations = record.size if converged else options.max_iter
        if iterations % options.check_every != 1 % options.check_every:
            model.calculateELBO()  # the last check was of an earlier state
        model.nodes["Y"].update()  # pseudo-data of the last factors, for the variance explained
    bounds = journal[1:]  # the first is from before the first iteration
    scores = model.nodes["Z"].getExpectations()
    views = range(len(matrices))
    return Expectations(
        score=np.array(scores["E"], dtype=float),
        score_square=np.array(scores["E2"], dtype=float),
        weights=tuple(_weights(model, m, matrices[m]) for m in views),
        explained=tuple(_explained(model, m, groups, matrices[m].scale) for m in views),
        trace=np.array([bound for bound, _ in bounds]),
        seconds=np.array([now - began for _, now in bounds]),
        iterations=int(iterations),
        converged=bool(converged),
    )


def _watched(model: Any) -> list[tuple[float, float]]:
    """Note each bound that the model computes, and when; its own record ends one check earlier, and has no times."""
    journal: list[tuple[float, float]] = []
    compute = model.calculateELBO

    def noted() -> Any:
        terms = compute()
        journal.append((float(terms["total"]), time.monotonic()))
        return terms

    model.calculateELBO = noted
    return journal


def _build(score: np.ndarray, matrices: Sequence[_Matrix], groups: np.ndarray, options: Options) -> Any:
    """A mofapy2 model that starts from `score` instead of its own randomised principal components."""
    entry_point, build_model, network = _import()
    entry = entry_point.entry_point()
    with _globals_kept(entry_point):
        entry.set_data_options(use_float32=options.dtype == "float32")
        _give(entry, matrices, groups)
        _set(entry, score.shape[1], options)
        builder = build_model.buildBiofam(
            entry.data, entry.dimensionalities, entry.data_opts, entry.model_opts, entry.train_opts
        )

        def start() -> None:
            weighted = entry.train_opts["weight_views"]
            if options.spikeslab_factors:
                builder.init_model.initSZ(qmean_T1=score, weight_views=weighted)
            else:
                builder.init_model.initZ(qmean=score, weight_views=weighted)

        builder.build_Z = start
        builder.main()
    model = network.BayesNet(entry.dimensionalities, builder.get_nodes())
    model.setTrainOptions(entry.train_opts)
    return model


def _give(entry: Any, matrices: Sequence[_Matrix], groups: np.ndarray) -> None:
    """Set what ``set_data_matrix`` sets; that one copies thrice, and warns of features that a group lacks."""
    entry.data = [matrix.values.copy() for matrix in matrices]  # NaN becomes 0 in place
    entry.likelihoods = [matrix.likelihood for matrix in matrices]
    entry.data_opts["samples_groups"] = groups
    entry.data_opts["views_names"] = [f"view{m}" for m in range(len(matrices))]
    entry.dimensionalities = {
        "M": len(matrices),
        "G": int(groups[-1]) + 1,
        "N": groups.size,
        "D": [matrix.values.shape[1] for matrix in matrices],
    }


def _set(entry: Any, n_factors: int, options: Options) -> None:
    entry.set_model_options(
        factors=n_factors,
        spikeslab_weights=options.spikeslab_weights,
        spikeslab_factors=options.spikeslab_factors,
        ard_weights=options.ard_weights,
        ard_factors=options.ard_factors,
    )
    entry.set_train_options(
        iter=options.max_iter + 1,  # it counts from 1 and leaves the last out
        freqELBO=options.check_every,
        convergence_mode=options.convergence,
        weight_views=options.weight_views,
        seed=0,  # nothing is drawn
        quiet=True,
    )


@contextmanager
def _globals_kept(entry_point: Any) -> Iterator[None]:
    """Give mofapy2's precision, which matters while it builds, and NumPy's generator back as they were."""
    precision = entry_point.config.use_float32
    state = np.random.get_state()  # noqa: NPY002 - mofapy2 seeds the global generator
    try:
        yield
    finally:
        entry_point.config.use_float32 = precision
        np.random.set_state(state)  # noqa: NPY002


@cache
def _import() -> tuple[Any, Any, Any]:
    """mofapy2's modules, imported when first needed (it takes a second) and made silent."""
    with warnings.catch_warnings():  # its import filters all warnings away, for everybody
        from mofapy2.build_model import build_model  # noqa: PLC0415
        from mofapy2.core import BayesNet  # noqa: PLC0415
        from mofapy2.run import entry_point  # noqa: PLC0415
    # Fits run in threads, so the process's stdout must not be redirected: each module gets a print of its own.
    for name, module in sys.modules.items():
        if name.startswith("mofapy2."):
            vars(module)["print"] = _silent
    return entry_point, build_model, BayesNet


def _silent(*_: object, **__: object) -> None:
    """Stand in for ``print``."""


def _weights(model: Any, index: int, matrix: _Matrix) -> Weights:
    """Posterior of the weights of one view in the units of its values."""
    moments = model.nodes["W"].getNodes()[index].getExpectations()
    noise = model.nodes["Tau"].getNodes()[index]
    unit = matrix.scale[0] if (matrix.scale == matrix.scale[0]).all() else 1.0
    intercept, precision = matrix.mean, np.full(matrix.mean.shape, np.nan)
    if matrix.likelihood == "gaussian":
        precision = np.asarray(noise.getExpectations(expand=False)["E"], dtype=float) / matrix.scale[:, None] ** 2
    else:
        means = np.asarray(model.nodes["Y"].getNodes()[index].means, dtype=float)
        intercept = np.broadcast_to(means, intercept.shape).copy()
    if matrix.likelihood == "poisson":
        highest = np.asarray(noise.getValue(), dtype=float).max(axis=0)  # constant by feature; 0 where masked
        precision = np.broadcast_to(highest, precision.shape).copy()
    mean, square = (np.array(moments[moment], dtype=float) for moment in ("E", "E2"))
    return Weights(matrix.likelihood, unit * mean, unit**2 * square, intercept, precision)


def _explained(model: Any, index: int, groups: np.ndarray, scale: np.ndarray) -> Explained:
    """Variance explained of the data, or of the last pseudo-data."""
    node = model.nodes["Y"].getNodes()[index]
    observed = ~node.getMask(full=True)
    y = np.where(observed, node.getExpectation(), 0.0)
    z, w = (np.asarray(part, dtype=float) for part in (model.nodes["Z"].getExpectation(), _means_of(model, index)))
    fitted = z * (y @ w)  # sum_d y z_k w_k
    own = z**2 * (observed @ w**2)  # sum_d (z_k w_k)^2
    residual = np.sum((y - np.where(observed, z @ w.T, 0.0)) ** 2, axis=1)
    square = np.sum(y**2, axis=1)

    def by_group(values: np.ndarray) -> np.ndarray:
        return np.stack([values[groups == g].sum(axis=0) for g in range(scale.size)])

    total = by_group(square)
    some = np.where(total > 0, total, 1.0)  # a group may lack the view
    r2_total = np.where(total > 0, 1 - by_group(residual) / some, 0.0)
    raw = total * scale**2
    return Explained(
        by_group(2 * fitted - own) / some[:, None], r2_total, raw, float(np.sqrt(raw.sum() / observed.sum()))
    )


def _means_of(model: Any, index: int) -> np.ndarray:
    return np.asarray(model.nodes["W"].getNodes()[index].getExpectation())
