"""What the benchmarks of the factor model share: planted data, two cores, the machine, memory of a process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import dask
import numpy as np
from scipy.special import expit
from threadpoolctl import threadpool_info, threadpool_limits

from omics.factors.holding import Holding
from omics.factors.state import Layer, Options, Start
from omics.factors.stream import Run

_LIBRARIES = ("numpy", "numba", "scipy", "dask", "distributed", "zarr", "mofapy2", "threadpoolctl")
#: Planted factors, and features that are drawn together.
_PLANTED, _DRAWN = 10, 4096


# --- data -------------------------------------------------------------------------------------------------------------


class Planted:
    """Views of ten factors of unequal strength: some shared, some of one view, few weights other than zero.

    Factors of like strength are mixed by principal components, and the weakest are at the limit of what can be seen, so
    that a fit does not converge at once.

    Parameters
    ----------
    n_samples : int
        Samples.
    seed : int
        Everything follows from it.
    """

    def __init__(self, n_samples: int, seed: int = 0) -> None:
        self.seed = seed
        self.scores = np.random.default_rng(seed).standard_normal((n_samples, _PLANTED), dtype=np.float32)

    def block(self, view: int, start: int, width: int) -> np.ndarray:
        """Features `start` to `start + width` of a Gaussian view, float32; `start` alone decides what is drawn."""
        rng = np.random.default_rng([self.seed, view, start])
        weights = rng.standard_normal((_PLANTED, width), dtype=np.float32)
        for k, (strength, density) in enumerate(zip(*_strengths(), strict=True)):
            here = k % 3 == 0 or k % 3 == 1 + view % 2
            weights[k] *= strength * here * (rng.random(width, dtype=np.float32) < density)
        values = rng.standard_normal((len(self.scores), width), dtype=np.float32)
        values *= rng.uniform(0.5, 1.5, width).astype(np.float32)
        values += self.scores @ weights
        return values + rng.standard_normal(width, dtype=np.float32)

    def gaussian(self, view: int, width: int) -> np.ndarray:
        """A whole view."""
        values = np.empty((len(self.scores), width), np.float32)
        for start in range(0, width, _DRAWN):
            stop = min(start + _DRAWN, width)
            values[:, start:stop] = self.block(view, start, stop - start)
        return values

    def genes(self, view: int, width: int) -> np.ndarray:
        """A binary view of rare mutations."""
        rng = np.random.default_rng([self.seed, view])
        weights = rng.normal(size=(_PLANTED, width)) * (rng.random((_PLANTED, width)) < 0.2)
        values = (rng.random((len(self.scores), width)) < expit(self.scores @ weights - 2.0)).astype(np.float32)
        values[0], values[1] = 0.0, 1.0  # no gene is constant
        return values


def _strengths() -> tuple[np.ndarray, np.ndarray]:
    return np.geomspace(0.8, 0.08, _PLANTED), np.geomspace(0.4, 0.05, _PLANTED)


def gaussian_layers(n_samples: int, widths: Sequence[int], seed: int = 0) -> list[Layer]:
    """Complete Gaussian layers."""
    planted = Planted(n_samples, seed)
    rows = np.arange(n_samples)
    return [Layer(planted.gaussian(v, width), "gaussian", rows) for v, width in enumerate(widths)]


# --- running ----------------------------------------------------------------------------------------------------------


@contextmanager
def cores(n: int = 2) -> Iterator[None]:
    """Run dask tasks on `n` threads, and BLAS on one."""
    with dask.config.set(scheduler="threads", num_workers=n), threadpool_limits(1):
        yield


class Ours:
    """The engine, an iteration at a time; begun anew, out of the clock's sight, when all its fits have converged.

    Parameters
    ----------
    layers, starts, options
        As of :class:`omics.factors.stream.Run`.
    """

    WARM = 2

    def __init__(self, layers: Sequence[Layer], starts: Sequence[Start], options: Options) -> None:
        n_samples = 1 + max(int(layer.rows.max()) for layer in layers)
        self._arguments = (layers, np.zeros(n_samples, dtype=int), starts, options)
        self.setup = 0.0
        self._begin()

    def _begin(self) -> None:
        began = time.perf_counter()
        self.run = Run(*self._arguments, Holding())
        self.setup = time.perf_counter() - began
        for _ in range(self.WARM):
            self.traffic = self.run.iterate().traffic

    def __call__(self) -> float:
        """Seconds of one iteration."""
        if len(self.run.fits) < len(self._arguments[2]):
            self._begin()
        began = time.perf_counter()
        self.run.iterate()
        return time.perf_counter() - began


def alternate(contenders: Mapping[Any, Callable[[], float]], repeats: int) -> dict[Any, list[float]]:
    """Time all contenders in turns, so that what else the machine does hits them alike; seconds by contender."""
    seconds: dict[Any, list[float]] = {name: [] for name in contenders}
    for _ in range(repeats):
        for name, contender in contenders.items():
            seconds[name].append(contender())
    return seconds


def median(seconds: Sequence[float]) -> float:
    """Median as a Python number."""
    return float(np.median(seconds))


# --- memory -----------------------------------------------------------------------------------------------------------


def resident(key: str = "VmRSS") -> int:
    """Resident bytes of this process, or with ``VmHWM`` the most so far.

    ``getrusage`` would count what the parent had when it started this process.
    """
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(status.partition(f"{key}:")[2].split()[0]) * 1024


def in_child(module: str, job: Mapping[str, Any]) -> dict[str, Any]:
    """Run ``python -m module --job JSON`` in a fresh process; the last line that it prints is JSON."""
    command = [sys.executable, "-m", module, "--job", json.dumps(job)]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{job} failed:\n{done.stderr}")
    return dict(json.loads(done.stdout.splitlines()[-1]))


# --- saying it --------------------------------------------------------------------------------------------------------


def machine() -> dict[str, Any]:
    """What the figures depend on: no paths, no names of hosts."""
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    model = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown")
    keys = ("internal_api", "version", "architecture", "threading_layer")
    pools = [pool for pool in threadpool_info() if pool["user_api"] == "blas"]
    return {
        "cpu": model,
        "cores": os.cpu_count(),
        "python": sys.version.split()[0],
        "versions": {name: _version(name) for name in _LIBRARIES},
        "blas": [{key: pool.get(key) for key in keys} for pool in pools],
    }


def _version(library: str) -> str:
    try:
        return version(library)
    except PackageNotFoundError:
        return "not installed"


def write_json(path: Path | None, figures: Mapping[str, Any]) -> None:
    """Write figures and what the machine is; nothing if there is no path."""
    if path:
        path.write_text(json.dumps({"machine": machine(), **figures}, indent=1) + "\n", encoding="utf-8")


def print_table(header: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """Print rows of text and numbers under a header, aligned."""
    lines = [list(header), *[[_cell(value) for value in row] for row in rows]]
    widths = [max(len(line[i]) for line in lines) for i in range(len(header))]
    for line in lines:
        first, *rest = (
            text.ljust(w) if i == 0 else text.rjust(w) for i, (text, w) in enumerate(zip(line, widths, strict=True))
        )
        print("  ".join([first, *rest]), flush=True)


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    return value if isinstance(value, str) else f"{value:.{2 if abs(value) < 100 else 0}f}"
