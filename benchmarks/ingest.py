"""Ingest of a gzipped beta TSV against ``pandas.read_csv`` of the same file: seconds and peak memory.

Run ``python -m benchmarks.ingest [--features N] [--samples N]``. The file is made first; each contender runs in a
process of its own. ``pandas.read_csv`` only parses; ingest also checks every value and writes a verified store.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
import zlib
from pathlib import Path

import numpy as np
import pandas as pd

from omics.read import Sources, ingest

_ROWS = 2000
_DIGITS = 4


def write_betas(path: Path, n_features: int, n_samples: int) -> None:
    """Write random betas of two modes, 1 % missing, in blocks of rows."""
    rng = np.random.default_rng(0)
    steps = 10**_DIGITS
    cells = np.array([f"\t{step / steps:.{_DIGITS}f}".encode() for step in range(steps + 1)] + [b"\tNA".ljust(7)])
    packer = zlib.compressobj(level=1, wbits=31)
    with path.open("wb") as handle:
        handle.write(packer.compress(b"feature" + b"".join(b"\tP%05d" % one for one in range(n_samples)) + b"\n"))
        for start in range(0, n_features, _ROWS):
            count = min(_ROWS, n_features - start)
            centre = np.where(rng.random((count, 1)) < 0.5, rng.beta(2, 12, (count, 1)), rng.beta(12, 2, (count, 1)))
            betas = np.clip(centre + 0.06 * rng.standard_normal((count, n_samples), dtype=np.float32), 0, 1)
            codes = np.where(rng.random(betas.shape, dtype=np.float32) < 0.01, steps + 1, (betas * steps).astype(int))
            rows = cells[codes].view(f"S{cells.itemsize * n_samples}").ravel().tolist()
            text = b"".join(b"cg%08d%s\n" % (start + row, line) for row, line in enumerate(rows))
            handle.write(packer.compress(text.replace(b"NA    ", b"NA")))
        handle.write(packer.flush())


def run_contender(name: str, path: Path) -> None:
    """Time one contender and print seconds and peak GiB as JSON."""
    start = time.perf_counter()
    if name == "pandas":
        pd.read_csv(path, sep="\t", index_col=0)
    else:
        ingest(path.with_suffix(".zarr"), Sources(methylation=path))
    print(json.dumps({"seconds": time.perf_counter() - start, "peak_gib": _peak_gib()}))


def _peak_gib() -> float:
    """Highest resident memory of this process; ``getrusage`` would count the parent's too."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(status.partition("VmHWM:")[2].split()[0]) / 2**20


def measure(name: str, path: Path) -> dict[str, float]:
    """Run one contender in a fresh process."""
    command = [sys.executable, "-m", "benchmarks.ingest", "--contender", name, "--file", str(path)]
    answer = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    figures = json.loads(answer.splitlines()[-1])
    print(f"{name:<8}  {figures['seconds']:8.1f} s  {figures['peak_gib']:6.2f} GiB", flush=True)
    return dict(figures)


def main() -> None:
    """Make the file, run both, print the ratio."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--features", type=int, default=450_000)
    parser.add_argument("--samples", type=int, default=500)
    parser.add_argument("--contender", choices=("pandas", "omics"), help=argparse.SUPPRESS)
    parser.add_argument("--file", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.contender:
        run_contender(options.contender, options.file)
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "betas.tsv.gz"
        write_betas(path, options.features, options.samples)
        print(f"{options.features:,} x {options.samples:,}, {path.stat().st_size / 2**20:.0f} MiB gzipped", flush=True)
        reference, ours = measure("pandas", path), measure("omics", path)
    ratio = ours["seconds"] / reference["seconds"]
    print(f"ingest_over_pandas={ratio:.2f} peak_gib={ours['peak_gib']:.2f}")


if __name__ == "__main__":
    main()
