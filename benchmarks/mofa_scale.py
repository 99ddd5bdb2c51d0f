"""Time per iteration of the factor model over a tenfold range of samples, features and factors; one and two workers.

Run ``python -m benchmarks.mofa_scale [--plot F.png] [--json F]``. In one process with two threads all sizes are timed
in turns. A straight line, time = a + b size, is put through them; how far the worst of them is from it says how linear
they are, and the slope of the logarithms how much of the time is `a`: 1 is none. Then clusters of one and of two worker
processes, one thread each, are started in turns, since one that only waits would take time from the other, and load the
same data; bytes that a pass moves are those that the engine counts, and those that the loopback device saw (which other
programs may use as well).
"""

from __future__ import annotations

import argparse
import logging
import time
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

import dask.array as da
import matplotlib as mpl
import numpy as np
import psutil
from distributed import Client, LocalCluster

from benchmarks._mofa import Ours, Planted, alternate, cores, gaussian_layers, median, print_table, write_json
from omics.factors.places import Here
from omics.factors.state import Layer, Options, Start


class Sizes(NamedTuple):
    """Sizes to be timed, the first of each as long as the others vary.

    Attributes
    ----------
    samples, features, factors : tuple of int
        Tenfold ranges.
    fixed : tuple of int
        Samples, features and factors of what does not vary.
    cluster : tuple of int
        Samples and features of the data that workers hold.
    repeats : int
        Iterations timed of each.
    """

    samples: tuple[int, ...]
    features: tuple[int, ...]
    factors: tuple[int, ...]
    fixed: tuple[int, int, int]
    cluster: tuple[int, int]
    repeats: int


FULL = Sizes(
    (300, 750, 1_500, 3_000),
    (20_000, 50_000, 100_000, 200_000),
    (5, 10, 20, 50),
    (500, 70_000, 15),
    (2_000, 850_000),
    10,
)
SMOKE = Sizes((40, 100, 400), (200, 500, 2_000), (2, 5, 20), (60, 400, 3), (400, 44_000), 2)
_OPTIONS = Options(convergence="slow")
AXES = ("samples", "features", "factors")


# --- one process ------------------------------------------------------------------------------------------------------


def time_axis(axis: int, sizes: Sizes) -> dict[int, float]:
    """Seconds of an iteration by size along one axis."""
    contenders = {}
    with cores():
        for value in sizes[axis]:
            shape = list(sizes.fixed)
            shape[axis] = value
            n_samples, n_features, n_factors = shape
            layers = gaussian_layers(n_samples, [n_features])
            contenders[value] = Ours(layers, [Start(n_factors, 0)], _OPTIONS)
        seconds = alternate(contenders, sizes.repeats)
    return {value: median(times) for value, times in seconds.items()}


def slope_of(seconds: Mapping[int, float]) -> float:
    """Slope of the logarithms."""
    return float(np.polyfit(np.log(list(seconds)), np.log(list(seconds.values())), 1)[0])


def bend_of(seconds: Mapping[int, float]) -> float:
    """Largest relative distance from the straight line that is nearest in relative terms."""
    size, took = np.array(list(seconds), dtype=float), np.array(list(seconds.values()))
    design = np.column_stack([np.ones(size.size), size]) / took[:, None]
    line = np.linalg.lstsq(design, np.ones(size.size), rcond=None)[0]
    return float(np.abs(design @ line - 1).max())


def plot(path: Path, seconds: Mapping[str, Mapping[int, float]], slopes: Mapping[str, float], sizes: Sizes) -> None:
    """Three panels, each with what growth in proportion to the largest size would be."""
    mpl.use("Agg")
    from matplotlib import pyplot  # noqa: PLC0415 - after the choice of what draws

    figure, panels = pyplot.subplots(1, 3, figsize=(11, 3.6), sharey=True, layout="constrained")
    for i, (panel, (axis, times)) in enumerate(zip(panels, seconds.items(), strict=True)):
        x, y = np.array(list(times), dtype=float), 1000 * np.array(list(times.values()))
        fixed = ", ".join(f"{sizes.fixed[j]:,} {name}" for j, name in enumerate(AXES) if j != i)
        panel.loglog(x, y, "o-", color="#1b6ca8", label=f"measured, slope {slopes[axis]:.2f}")
        panel.loglog(x, y[-1] * x / x[-1], "--", color="0.6", label="in proportion")
        panel.set(xlabel=axis, title=fixed)
        panel.set_xticks(x, [f"{value:,.0f}" for value in x])
        panel.set_xticks([], minor=True)
        panel.legend(frameon=False)
    panels[0].set_ylabel("ms per iteration")
    figure.savefig(path, dpi=150)
    pyplot.close(figure)


# --- workers ----------------------------------------------------------------------------------------------------------


def lazy_layer(n_samples: int, n_features: int) -> Layer:
    """A layer whose blocks the workers draw themselves."""
    step = max(1, min(8_192, n_features // 8))
    widths = [min(step, n_features - start) for start in range(0, n_features, step)]
    values = da.map_blocks(_drawn, chunks=((n_samples,), tuple(widths)), dtype=np.float32, meta=np.empty((0, 0), "f4"))
    return Layer(values, "gaussian", np.arange(n_samples))


def _drawn(block_info: Any = None) -> np.ndarray:
    (rows, (start, stop)) = block_info[None]["array-location"]
    return Planted(rows[1] - rows[0]).block(0, start, stop - start)


class Away:
    """The engine on a cluster of `n_workers` processes of this machine."""

    def __init__(self, n_workers: int, size: tuple[int, int], n_factors: int) -> None:
        self._cluster = LocalCluster(
            n_workers=n_workers,
            threads_per_worker=1,
            processes=True,
            host="127.0.0.1",
            dashboard_address="127.0.0.1:0",
            silence_logs=logging.CRITICAL,
        )
        self._client = Client(self._cluster, set_as_default=False, direct_to_workers=True)
        with self._client.as_current():
            self._ours = Ours([lazy_layer(*size)], [Start(n_factors, 0)], _OPTIONS)
        if isinstance(self._ours.run.sweep.place, Here):
            raise SystemExit("the engine keeps data this small in one process: give --cluster more")
        self.traffic, self.loopback = self._ours.traffic, []

    def __call__(self) -> float:
        """Seconds of one iteration; notes what the loopback device saw."""
        with self._client.as_current():
            before = _loopback()
            seconds = self._ours()
            self.loopback.append(_loopback() - before)
            return seconds

    def close(self) -> None:
        """Stop the workers."""
        self._client.close()
        self._cluster.close()


def _loopback() -> int:
    return int(psutil.net_io_counters(pernic=True)["lo"].bytes_sent)


def time_workers(sizes: Sizes, turns: int = 2) -> dict[str, Any]:
    """One worker against two, in turns."""
    logging.getLogger("distributed").setLevel(logging.CRITICAL)  # closing a cluster is told in twenty lines
    seconds: dict[int, list[float]] = {1: [], 2: []}
    found: dict[str, Any] = {}
    for n in sorted(seconds) * turns:
        with closing(Away(n, sizes.cluster, sizes.fixed[2])) as away:
            away()  # the first visit makes the weights
            seconds[n] += [away() for _ in range(sizes.repeats)]
            found[str(n)] = {
                "seconds": median(seconds[n]),
                "counted_bytes": away.traffic,
                "loopback_bytes": median(away.loopback),
            }
    return found


def main() -> None:
    """Time all axes, draw them, then the workers."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--plot", type=Path, help="draw the figure there (png)")
    parser.add_argument("--cluster", type=int, nargs=2, metavar=("SAMPLES", "FEATURES"), help="data of the workers")
    parser.add_argument("--smoke", action="store_true", help="only see that it runs")
    parser.add_argument("--json", type=Path, help="write all figures there")
    options = parser.parse_args()
    sizes = SMOKE if options.smoke else FULL
    sizes = sizes._replace(cluster=tuple(options.cluster)) if options.cluster else sizes
    seconds = {}
    for i, axis in enumerate(AXES):
        began = time.perf_counter()
        seconds[axis] = time_axis(i, sizes)
        print(f"{axis}: {time.perf_counter() - began:.0f} s", flush=True)
        print_table((axis, "ms"), [[f"{value:,}", 1000 * took] for value, took in seconds[axis].items()])
    slopes = {axis: slope_of(times) for axis, times in seconds.items()}
    if options.plot:
        plot(options.plot, seconds, slopes, sizes)
    workers = time_workers(sizes)
    ratio = workers["1"]["seconds"] / workers["2"]["seconds"]
    print(f"{sizes.cluster[0]:,} samples x {sizes.cluster[1]:,} features on workers")
    header = ("workers", "ms", "MB a pass, counted", "MB a pass, loopback")
    keys = ("counted_bytes", "loopback_bytes")
    print_table(header, [[n, 1000 * w["seconds"], *(w[key] / 1e6 for key in keys)] for n, w in workers.items()])
    last = {
        **{f"bend_{axis}": bend_of(times) for axis, times in seconds.items()},
        **{f"slope_{axis}": slope for axis, slope in slopes.items()},
        "two_workers": ratio,
    }
    write_json(options.json, {"sizes": sizes._asdict(), "seconds": seconds, "workers": workers, "last": last})
    print(" ".join(f"{name}={value:.2f}" for name, value in last.items()))


if __name__ == "__main__":
    main()
