"""The benchmarks run, and say at the end what they are asked for; their figures are not judged here."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "figures"),
    [
        ("mofa_speed", {"vs_mofapy2", "vs_floor", "same_elbo"}),
        ("mofa_memory", {"memory_ratio", "peak_gib", "pass_over_read_store", "pass_over_read_disk"}),
        (
            "mofa_scale",
            {f"{kind}_{axis}" for kind in ("bend", "slope") for axis in ("samples", "features", "factors")}
            | {"two_workers"},
        ),
        ("nested", {"vs_mofapy2", "fits", "two_workers"}),
        ("structure", {"ari", "k_right", "null_rejected"}),
        (
            "interpretation",
            {f"{what}_{name}" for what in ("sets", "drivers", "gained") for name in ("power", "fdr")} | {"null_ks"},
        ),
        ("resampling", {"vs_sklearn", "seconds", "peak_gib"}),
        ("report", {"seconds", "peak_gib", "page_mb"}),
    ],
)
def test_a_benchmark_ends_with_its_figures(name, figures, tmp_path: Path):
    command = [sys.executable, "-m", f"benchmarks.{name}", "--smoke", "--json", str(tmp_path / "figures.json")]
    done = subprocess.run(command, check=False, cwd=ROOT, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stderr
    last = dict(pair.split("=") for pair in done.stdout.splitlines()[-1].split())
    assert figures <= set(last)
    assert all(math.isfinite(float(last[figure])) for figure in figures)
    assert json.loads((tmp_path / "figures.json").read_text())
