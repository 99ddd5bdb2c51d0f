"""The reference engine: mofapy2, called so that its side effects stay inside this module.

mofapy2 prints every iteration, silences all warnings when it is imported, seeds NumPy's global generator, swallows
Ctrl-C and turns any TypeError of its ``run()`` into ``sys.exit()``. It is kept as the measure of every other engine,
so its numbers are left alone and only the side effects are undone.

References
----------
Argelaguet et al. (2018), Molecular Systems Biology 14:e8124; Argelaguet et al. (2020), Genome Biology 21:111.
"""

from __future__ import annotations

import sys
import threading
import warnings
from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np

from omics.factors.state import Expectations, Layer, Options, Weights

#: Importing and building touch state of the whole process, and restarts run in threads.
_BUILDING = threading.Lock()


def fit(layers: Sequence[Layer], start: np.ndarray, options: Options) -> Expectations:
    """Fit by mofapy2; see :data:`omics.factors.state.Engine`.

    Raises
    ------
    KeyboardInterrupt
        The fit was interrupted.
    """
    with np.errstate(all="ignore"):  # 0 ln 0 and saturated sigmoids are meant
        with _BUILDING:
            model = _build(layers, start, options)
        model.iterate()
        if not model.trained:  # mofapy2 swallowed it
            raise KeyboardInterrupt
        final = float(model.calculateELBO()["total"])  # mofapy2's own record ends one check earlier
    record = np.asarray(model.train_stats["elbo"], dtype=float)
    converged = record.size <= options.max_iter
    scores = model.nodes["Z"].getExpectations()
    return Expectations(
        score=np.array(scores["E"]),
        score_square=np.array(scores["E2"]),
        weights=tuple(_weights(model, index, layer.likelihood) for index, layer in enumerate(layers)),
        trace=np.append(record[~np.isnan(record)], final),
        iterations=record.size if converged else options.max_iter,
        converged=converged,
    )


def _build(layers: Sequence[Layer], start: np.ndarray, options: Options) -> Any:
    """A mofapy2 model that starts from `start` instead of its own randomised principal components."""
    entry_point, build_model, network = _import()
    entry = entry_point.entry_point()
    entry.set_data_options(center_groups=False)  # the layers are centred
    entry.set_data_matrix([[layer.values] for layer in layers], likelihoods=[layer.likelihood for layer in layers])
    entry.set_model_options(
        factors=start.shape[1],
        spikeslab_weights=options.spikeslab_weights,
        ard_weights=options.ard_weights,
    )
    entry.set_train_options(
        iter=options.max_iter + 1,  # it counts from 1 and leaves the last out
        convergence_mode=options.convergence,
        seed=0,  # nothing is drawn
        quiet=True,
    )
    builder = build_model.buildBiofam(
        entry.data, entry.dimensionalities, entry.data_opts, entry.model_opts, entry.train_opts
    )
    builder.build_Z = lambda: builder.init_model.initZ(qmean=start)
    state = np.random.get_state()  # noqa: NPY002 - mofapy2 seeds the global generator
    try:
        builder.main()
    finally:
        np.random.set_state(state)  # noqa: NPY002
    model = network.BayesNet(entry.dimensionalities, builder.get_nodes())
    model.setTrainOptions(entry.train_opts)
    return model


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


def _weights(model: Any, index: int, likelihood: str) -> Weights:
    moments = model.nodes["W"].getNodes()[index].getExpectations()
    noise = model.nodes["Tau"].getNodes()[index]
    observed = model.nodes["Y"].getNodes()[index]
    n_features = moments["E"].shape[0]
    precision = np.full(n_features, np.nan)
    shift = np.zeros(n_features)
    if likelihood == "gaussian":
        precision = np.array(noise.getExpectations(expand=False)["E"][0])
    else:
        shift = np.array(observed.means)
    if likelihood == "poisson":
        precision = np.asarray(noise.getValue()).max(axis=0)  # constant by feature; masked entries were zeroed
    return Weights(likelihood, np.array(moments["E"]), np.array(moments["E2"]), shift, precision)
