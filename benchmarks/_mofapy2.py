"""mofapy2 as it is timed: built once through its own API, its iterations driven one by one or to its own stop."""

from __future__ import annotations

import io
import time
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from typing import Any, NamedTuple

import numpy as np
from threadpoolctl import threadpool_limits

from omics.factors.state import Layer


class Trained(NamedTuple):
    """How mofapy2's own fit ended.

    Attributes
    ----------
    elbo : float
        Bound at its stop.
    seconds : float
        From the first iteration to the stop; building the model and the bound before training are left out.
    iterations : int
        Until the stop.
    """

    elbo: float
    seconds: float
    iterations: int


class Reference:
    """One model of mofapy2.

    Parameters
    ----------
    layers : sequence of Layer
        The views; samples that lack one are NaN there.
    n_factors : int
        Factors.
    single : bool
        Its ``use_float32``.
    """

    def __init__(self, layers: Sequence[Layer], n_factors: int, *, single: bool = False) -> None:
        n_samples = 1 + max(int(layer.rows.max()) for layer in layers)
        with _contained():
            from mofapy2.run.entry_point import entry_point  # noqa: PLC0415 - it prints, and silences all warnings

            began = time.perf_counter()
            self._entry = entry_point()
            self._entry.set_data_options(scale_views=False, use_float32=single)
            self._entry.set_data_matrix(
                [[_padded(layer, n_samples)] for layer in layers], likelihoods=[layer.likelihood for layer in layers]
            )
            self._entry.set_model_options(factors=n_factors)  # spike-and-slab and ARD on weights, none on factors
            self._entry.set_train_options(seed=1, quiet=True)
            self._entry.build()
            self.setup = time.perf_counter() - began
        self._model = self._entry.model
        self._iteration = 0
        #: E[z] from which it starts.
        self.start: np.ndarray = np.array(self._model.nodes["Z"].Q.getParameters()["mean"], dtype=float)

    def iterate(self, threads: int) -> float:
        """Seconds of one iteration with that many threads of BLAS, without the bound."""
        options = self._entry.train_opts
        with _contained(), threadpool_limits(threads):
            if not self._iteration:
                self._model.setTrainOptions(options)
                self._model.precompute()
            self._iteration += 1
            began = time.perf_counter()
            for name in options["schedule"]:  # the body of BayesNet.iterate
                if name.startswith("Theta") and self._iteration < options["start_sparsity"]:
                    continue
                self._model.nodes[name].update()
            return time.perf_counter() - began

    def train(self, threads: int) -> Trained:
        """Fit with mofapy2's defaults until it stops."""
        journal: list[tuple[float, float]] = []  # its own record leaves the last check out
        compute = self._model.calculateELBO

        def noted() -> Any:
            terms = compute()
            journal.append((float(terms["total"]), time.perf_counter()))
            return terms

        self._model.calculateELBO = noted
        with _contained(), threadpool_limits(threads):
            self._entry.run()
        # It checks after iterations 1, 6, 11 ...; the first entry is from before.
        return Trained(journal[-1][0], journal[-1][1] - journal[0][1], 1 + 5 * (len(journal) - 2))


@contextmanager
def _contained() -> Iterator[None]:
    """Keep it quiet, and give NumPy's global generator and the warning filters back, both of which it sets."""
    state = np.random.get_state()  # noqa: NPY002
    with warnings.catch_warnings(), np.errstate(all="ignore"), redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        yield
    np.random.set_state(state)  # noqa: NPY002


def _padded(layer: Layer, n_samples: int) -> np.ndarray:
    values = np.full((n_samples, layer.values.shape[1]), np.nan, np.float32)
    values[layer.rows] = layer.values
    return values
