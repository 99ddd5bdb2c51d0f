"""Memory of the factor model: in memory over that of the data, out of core in all; a pass against just reading.

Run ``python -m benchmarks.mofa_memory [--features N] [--samples N] [--folder F]``. Each measurement has a process of
its own. What is in memory before the fit, arrays included, does not count. Out of core a store is made in a temporary
folder, block by block, and removed afterwards; it takes 4 bytes a value, and as much again for scratch files with
``hold="disk"``, which ``hold="auto"`` takes where there is room. Passes and the yardstick, reading all chunks once with
dask and zarr on two threads, take turns in one process. The last line has the worst of each kind.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import tempfile
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import dask
import numpy as np
import xarray as xr

from benchmarks._mofa import Planted, cores, in_child, median, print_table, resident, write_json
from omics import cohort
from omics.artefact import Provenance, publish
from omics.blocks import features_per_block
from omics.factors.mofa import MOFA
from omics.factors.places import BLOCK_BYTES, layout, waves_of

_ATTRS = {"kind": "methylation", "likelihood": "gaussian", "units": "M value"}
_GIB = 2**30
#: Passes of a fit: the first includes loading, the last the end.
_PASSES = 7


# --- in a process of its own ------------------------------------------------------------------------------------------


def make_store(job: Mapping[str, Any]) -> dict[str, Any]:
    """Write a cohort of one view, never whole in memory."""
    n_samples, n_features = job["samples"], job["features"]
    planted, step = Planted(n_samples), features_per_block(n_samples)
    with publish(job["store"], Provenance("prepared")) as staging:
        writer = cohort.ViewWriter(staging, "methylation", _samples(n_samples), _ATTRS)
        for start in range(0, n_features, step):
            width = min(step, n_features - start)
            writer.append(_features(start, width), planted.block(0, start, width))
        writer.close()
    return {"peak": resident("VmHWM")}


def _samples(n: int) -> list[str]:
    return [f"P{i:05d}" for i in range(n)]


def _features(start: int, width: int) -> list[str]:
    return [f"cg{i:08d}" for i in range(start, start + width)]


def in_arrays(n_samples: int, n_features: int) -> xr.DataTree:
    """The same cohort as arrays in memory."""
    view = xr.Dataset(
        {"value": (("sample", "feature"), Planted(n_samples).gaussian(0, n_features))},
        coords={"sample": np.array(_samples(n_samples), object), "feature": np.array(_features(0, n_features), object)},
        attrs=_ATTRS,
    )
    return xr.DataTree.from_dict({"/views/methylation": view})


def run_fit(job: Mapping[str, Any]) -> dict[str, Any]:
    """Fit, and tell resident memory before and at its peak, seconds of passes and of reading all chunks."""
    MOFA(n_factors=2, max_iter=3, hold="memory").fit(in_arrays(24, 200))  # imports and compilation
    tree = cohort.open(job["store"]) if job["store"] else in_arrays(job["samples"], job["features"])
    cohort.node(tree, "views/methylation")["value"][:1, :1].compute()  # what reading imports and starts
    _forget_peak()
    baseline = resident()
    watch = _Watch(tree, job)
    model = MOFA(
        n_factors=job["factors"], max_iter=job["passes"], hold=job["hold"], start=job["start"], convergence="slow"
    )
    model.fit(tree, watch=watch)
    return {
        "baseline": baseline,
        "peak": resident("VmHWM"),
        "peaks": {"loading and first pass": watch.peaks[0], "passes": watch.peaks[-2]},
        "first": watch.passes[0],
        "passes": watch.passes[1:-1],
        "reads": watch.reads,
    }


def _forget_peak() -> None:
    """Let the most resident so far begin anew, where the system allows it."""
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")


class _Watch:
    """Is told about every pass; reads all chunks between two passes if the job wants it."""

    def __init__(self, tree: xr.DataTree, job: Mapping[str, Any]) -> None:
        self._values = cohort.node(tree, "views/methylation")["value"].data
        self._job = job
        self.passes: list[float] = []
        self.peaks: list[int] = []
        self.reads: list[float] = []
        self._began = time.perf_counter()

    def __call__(self, _: object) -> None:
        self.passes.append(time.perf_counter() - self._began)
        self.peaks.append(resident("VmHWM"))
        if self._job["read"]:
            self._cool()
            self.reads.append(read_all(self._values))
        self._cool()
        self._began = time.perf_counter()

    def _cool(self) -> None:
        if self._job["cold"]:
            drop_cache(Path(self._job["folder"]))


def read_all(values: Any) -> float:
    """Seconds to read every chunk once and throw it away."""
    took = dask.delayed(_throw_away, pure=False)
    chunks = values.to_delayed().ravel()
    began = time.perf_counter()
    dask.compute(*[took(chunk) for chunk in chunks])
    return time.perf_counter() - began


def _throw_away(chunk: np.ndarray) -> int:
    return int(chunk.nbytes)


def drop_cache(folder: Path) -> None:
    """Ask the system to forget the content of all files below `folder`."""
    for file in folder.rglob("*"):
        if file.is_file():
            handle = os.open(file, os.O_RDONLY)
            try:
                os.fsync(handle)
                os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
            finally:
                os.close(handle)


def run_job(job: Mapping[str, Any]) -> None:
    """What the child does; prints JSON."""
    with cores(), dask.config.set({"temporary-directory": job["folder"]}):
        print(json.dumps(make_store(job) if job["hold"] == "make" else run_fit(job)))


def child(folder: str, **job: Any) -> dict[str, Any]:
    """Run one job in a process of its own."""
    defaults = {"folder": folder, "store": "", "start": "random", "read": False, "cold": False, "passes": _PASSES}
    return in_child("benchmarks.mofa_memory", {**defaults, **job})


# --- the law ----------------------------------------------------------------------------------------------------------


def state_bytes(n_features: int, n_factors: int) -> int:
    """What the engine keeps of the features: two float32 moments a factor; noise and intercept in float64."""
    return n_features * (2 * 4 * n_factors + 16)


def law(n_samples: int, n_features: int, n_factors: int, hold: str, start: str) -> dict[str, float]:
    """Bytes by which memory grows, part by part, beyond what Python and its libraries take."""
    threads, waves = 2, waves_of(4 * n_samples * n_features)
    parts = len(layout([(n_samples, n_features, True)], waves, 4)) // waves
    result = n_features * (2 * 8 * n_factors + 16)
    return {
        "data": 4 * n_samples * n_features if hold == "memory" else 0,
        "state": state_bytes(n_features, n_factors),
        "weights in float64, twice at the end": 2 * result,
        "names and facts of features": n_features * (120 + 17 + (0 if hold == "store" else 56)),
        "blocks being read, unpacked and packed": threads * 5 * BLOCK_BYTES,
        "sums of a wave and of all": (parts + 2 * waves) * 8 * n_factors * n_samples,
        "Gram matrices of the PCA start": 11 * 8 * n_samples**2 if start == "pca" else 0,
    }


def say_law(baseline: float, options: argparse.Namespace) -> None:
    """Print the law at the size measured and at 5,000 samples."""
    sizes = [(options.samples, "random"), (5_000, "random"), (5_000, "pca")]
    laws = [law(n, options.features, options.factors, "store", start) for n, start in sizes]
    print(f"\nThe law for hold=store, {options.features:,} features, {options.factors} factors, MiB:")
    header = ["", *[f"{n:,} samples, {start}" for n, start in sizes]]
    rows = [[name, *[part[name] / 2**20 for part in laws]] for name in laws[0]]
    rows.append(["Python and its libraries", *[baseline / 2**20] * len(laws)])
    rows.append(["all", *[(sum(part.values()) + baseline) / 2**20 for part in laws]])
    print_table(header, rows)


# --- measurements -----------------------------------------------------------------------------------------------------


def measure_memory(folder: str, options: argparse.Namespace) -> dict[str, Any]:
    """Peak of an in-memory fit over data and state: of a store that is read, and of arrays that are there already."""
    size = {"samples": options.memory_samples, "features": options.memory_features, "factors": options.factors}
    store = str(Path(folder) / "small.zarr")
    child(folder, hold="make", **{**size, "store": store})
    data = 4 * size["samples"] * size["features"]
    state = state_bytes(size["features"], size["factors"])
    print(f"in memory: {size['samples']:,} x {size['features']:,}, {data / 2**20:.0f} MiB of data", flush=True)
    figures = {}
    for name, path in (("store", store), ("arrays", "")):
        for start in ("pca", "random"):
            found = child(folder, hold="memory", start=start, **{**size, "store": path})
            extra = found["peak"] - found["baseline"]
            found |= {"ratio": extra / (data + state), "beyond_data": extra - data}
            figures[f"{name}, {start}"] = found
            print(f"  from {name}, {start} start: {found['ratio']:.2f}x data and state; {said(found)}", flush=True)
    shutil.rmtree(store)
    return figures


def said(found: Mapping[str, Any]) -> str:
    """Most memory so far at the end of each stage, beyond what Python and its libraries take."""
    stages = {**found["peaks"], "end": found["peak"]}
    return ", ".join(f"{name} {(peak - found['baseline']) / 2**20:.0f}" for name, peak in stages.items()) + " MiB"


def measure_out_of_core(folder: str, options: argparse.Namespace) -> dict[str, Any]:
    """Peak, and passes against reads, of a store larger than memory should be."""
    size = {"samples": options.samples, "features": options.features, "factors": options.factors}
    store = str(Path(folder) / "large.zarr")
    data = 4 * options.samples * options.features
    free = shutil.disk_usage(folder).free
    if free < 2.2 * data:
        raise SystemExit(f"{2.2 * data / _GIB:.1f} GiB of disk are needed, {free / _GIB:.1f} are free: use --folder")
    began = time.perf_counter()
    made = child(folder, hold="make", **{**size, "store": store})
    print(
        f"out of core: {options.samples:,} x {options.features:,}, {data / _GIB:.2f} GiB, made in "
        f"{time.perf_counter() - began:.0f} s with {made['peak'] / _GIB:.2f} GiB resident",
        flush=True,
    )
    figures = {}
    for hold in ("store", "disk"):
        common = {**size, "store": store, "hold": hold, "cold": options.cold}
        found = child(folder, read=True, **common)
        pca = child(folder, start="pca", **{**common, "passes": 2})
        found |= {"pca_seconds": pca["first"] - found["first"], "pca_peak": pca["peak"]}
        found |= {"pass": median(found["passes"]), "read": median(found["reads"])}
        figures[hold] = {**found, "over_read": found["pass"] / found["read"]}
    shutil.rmtree(store)
    return figures


def say_out_of_core(figures: Mapping[str, Mapping[str, Any]]) -> None:
    """Print passes, reads and peaks."""
    header = ("hold", "peak GiB", "pass s", "read s", "pass/read", "until 1st pass s", "PCA adds s", "its peak GiB")
    rows = [
        [
            hold,
            found["peak"] / _GIB,
            found["pass"],
            found["read"],
            found["over_read"],
            found["first"],
            found["pca_seconds"],
            found["pca_peak"] / _GIB,
        ]
        for hold, found in figures.items()
    ]
    print_table(header, rows)
    for hold, found in figures.items():
        print(f"most so far with hold={hold}: {said(found)}")


def main() -> None:
    """Measure both, print the law."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, default=2_000, help="of the store out of core")
    parser.add_argument("--features", type=int, default=850_000)
    parser.add_argument("--memory-samples", type=int, default=2_000, help="of the fit in memory")
    parser.add_argument("--memory-features", type=int, default=70_000)
    parser.add_argument("--factors", type=int, default=15)
    parser.add_argument("--folder", type=Path, help="where the temporary store is made")
    parser.add_argument("--cold", action="store_true", help="drop the system's cache before every pass and read")
    parser.add_argument("--smoke", action="store_true", help="only see that it runs")
    parser.add_argument("--json", type=Path, help="write all figures there")
    parser.add_argument("--job", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.job:
        run_job(json.loads(options.job))
        return
    if options.smoke:
        options.samples, options.features, options.memory_samples, options.memory_features = 60, 3_000, 40, 1_000
        options.factors = 3
    with tempfile.TemporaryDirectory(dir=options.folder, prefix="mofa-memory-") as folder:
        memory = measure_memory(folder, options)
        large = measure_out_of_core(folder, options)
    say_out_of_core(large)
    say_law(large["store"]["baseline"], options)
    last = {
        "memory_ratio": max(found["ratio"] for found in memory.values()),
        "peak_gib": max(found["peak"] for found in large.values()) / _GIB,
        **{f"pass_over_read_{hold}": found["over_read"] for hold, found in large.items()},
    }
    sizes = {name: value for name, value in vars(options).items() if isinstance(value, int)}
    write_json(options.json, {"size": sizes, "memory": memory, "out_of_core": large, "last": last})
    print(" ".join(f"{name}={value:.2f}" for name, value in last.items()))


if __name__ == "__main__":
    main()
