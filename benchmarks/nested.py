"""Nested cross-validation with MOFA refitted in every fold, against the time that mofapy2 would take for the fits.

Run ``python -m benchmarks.nested [--smoke] [--json FILE]``. 300 patients with 5,000 genes, 20,000 CpGs and 200 genes
mutated or not; 5 repeats of 5 outer folds, each with 5 inner ones: 150 factor fits, and with them the choice of
penalties, predictions and intervals of three rows of predictors. Our time is that of the whole evaluation. mofapy2's is
that of its fits alone, from the prepared rows in memory, with all cores for its BLAS: measured on the training patients
of one inner and one outer fold, and extrapolated by iteration, since some folds need several times as many as others.
How many iterations mofapy2 would make in a fold is what our engine makes with ``compat``, which follows it number for
number; where it was measured, both are printed. The last line reads ``vs_mofapy2=X fits=N two_workers=Y``.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import xarray as xr

from benchmarks._mofa import Planted
from benchmarks._mofapy2 import Reference
from omics import blocks, cohort
from omics.artefact import Provenance
from omics.blocks import each
from omics.factors import MOFA
from omics.factors.state import Layer
from omics.predict import Question, Scheme, evaluate
from omics.predict.nested import study_of
from omics.predict.splits import OuterFold, Split
from omics.prepare import Recipe, prepare
from omics.schema import view_names
from pipelines import cluster

FACTORS = 10
_SIZES = {"expression": 5000, "methylation": 20_000, "mutation": 200}
_SMOKE = {"expression": 300, "methylation": 600, "mutation": 40}


def planted_cohort(patients: int, sizes: dict[str, int]) -> xr.DataTree:
    """Three layers that share ten factors; the first drives relapse."""
    planted = Planted(patients)
    rng = np.random.default_rng(1)
    ids = np.array([f"P{i:04d}" for i in range(patients)], dtype=object)
    nodes = {}
    for number, (name, size) in enumerate(sizes.items()):
        binary = name == "mutation"
        values = planted.genes(number, size) if binary else planted.gaussian(number, size)
        nodes[f"/views/{name}"] = xr.Dataset(
            {"value": (("sample", "feature"), values)},
            {"sample": ids, "feature": np.array([f"{name}{j}" for j in range(size)], dtype=object)},
            {"kind": name, "likelihood": "bernoulli" if binary else "gaussian", "units": "1" if binary else "log2"},
        )
    relapse = rng.exponential(1 / (0.05 * np.exp(0.8 * planted.scores[:, 0])))
    death, censored = rng.exponential(50, patients), rng.uniform(4, 9, patients)
    time_ = np.minimum(np.minimum(relapse, death), censored)
    clinical = pd.DataFrame(
        {
            "age": rng.uniform(1, 18, patients),
            "wbc": np.exp(rng.normal(3, 1, patients)),
            "event": np.where(time_ == relapse, 1.0, np.where(time_ == death, 2.0, 0.0)),
            "event_time": time_,
        },
        index=pd.Index(ids, name="sample"),
    )
    return xr.DataTree.from_dict({"/clinical": cohort.from_table(clinical, "sample"), **nodes})


def published(tree: xr.DataTree, path: Path) -> Path:
    """The cohort prepared, with all its features."""
    parameters: dict[str, Any] = {"n_features": 1_000_000, "min_carriers": 1}
    cohort.save(prepare(tree, **parameters), path, Provenance("prepared", parameters))
    return path


def ours(store: Path, scheme: Scheme, workers: int) -> float:
    """Seconds of the whole evaluation."""
    with cluster.on("local", workers=workers):
        began = time.perf_counter()
        result = evaluate(store, models=("logistic",), mofa={"n_factors": FACTORS}, scheme=scheme, n_bootstrap=1000)
        seconds = time.perf_counter() - began
    failed = cohort.to_table(cohort.node(result, "folds"))["error"].notna().sum()
    if failed:
        raise RuntimeError(f"{failed} fits failed")
    return seconds


def ready(split: Split, store: Path) -> xr.DataTree:
    """The training patients of a split, prepared as a fit gets them."""
    rows = cohort.select(cohort.open(store, noun="prepared"), split[0])
    return Recipe.of(rows).fit_transform(rows)


def iterations(split: Split, store: Path) -> int:
    """Iterations until mofapy2's order of updates stops."""
    with blocks.alone():
        return int(
            MOFA(n_factors=FACTORS, compat=True, dtype="float64").fit(ready(split, store)).restarts_["iterations"][0]
        )


class Theirs(NamedTuple):
    """A fit of mofapy2: seconds to build the model, seconds of an iteration, and iterations to its own stop."""

    patients: int
    build: float
    each: float
    iterations: int

    def seconds(self, iterations: float) -> float:
        """Of a fit on as many patients that needs so many iterations."""
        return self.build + self.each * iterations


def theirs(split: Split, store: Path, cores: int) -> Theirs:
    """mofapy2 on the training patients of a split."""
    tree = ready(split, store)
    layers = []
    for name in view_names(tree):
        view = cohort.node(tree, f"views/{name}")
        values = np.ascontiguousarray(view["value"].transpose("sample", "feature").to_numpy(), dtype=np.float32)
        layers.append(Layer(values, view.attrs["likelihood"], np.arange(len(values))))
    reference = Reference(layers, FACTORS)
    trained = reference.train(cores)
    return Theirs(len(split[0]), reference.setup, trained.seconds / trained.iterations, trained.iterations)


def extrapolated(outer: Sequence[OuterFold], store: Path) -> tuple[float, list[Theirs]]:
    """Seconds of mofapy2 for all fits, and what was measured."""
    with cluster.on("local", workers=2):
        inner = each(iterations, [split for fold in outer for split in fold.inner], store)
        whole = each(iterations, [(fold.train, fold.held_out) for fold in outer], store)
    total, measured = 0.0, []
    for split, counted in ((outer[0].inner[0], inner), ((outer[0].train, outer[0].held_out), whole)):
        fit = theirs(split, store, 2)
        print(
            f"mofapy2, {fit.patients} patients: {fit.seconds(fit.iterations):.1f} s, {fit.iterations} iterations"
            f" (compat {counted[0]}); {len(counted)} such fits need {min(counted)} to {max(counted)},"
            f" {np.mean(counted):.0f} in the mean",
            flush=True,
        )
        total += sum(map(fit.seconds, counted))
        measured.append(fit)
    return total, measured


def main() -> None:
    """Measure both, and say the ratio."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--smoke", action="store_true", help="small sizes, to see that it runs")
    parser.add_argument("--json", type=Path, help="write all figures to this file")
    options = parser.parse_args()
    patients, sizes = (90, _SMOKE) if options.smoke else (300, _SIZES)
    scheme = Scheme(n_folds=2, n_inner=2) if options.smoke else Scheme(n_folds=5, n_inner=5, n_repeats=5)
    fits = scheme.n_folds * scheme.n_repeats * (scheme.n_inner + 1)
    with tempfile.TemporaryDirectory() as folder:
        store = published(planted_cohort(patients, sizes), Path(folder) / "prepared.zarr")
        seconds = {workers: ours(store, scheme, workers) for workers in (2, 1)}
        print(f"ours, {fits} fits and all else: {seconds[2]:.1f} s with two workers, {seconds[1]:.1f} s with one")
        study = study_of(store, Question(horizon=5.0), models=("logistic",), scheme=scheme)
        total, measured = extrapolated(study.outer(), store)
    print(f"mofapy2, {fits} fits: {total:.0f} s, extrapolated from {len(measured)}")
    figures = {
        "vs_mofapy2": total / seconds[2],
        "fits": fits,
        "two_workers": seconds[1] / seconds[2],
    }
    if options.json:
        options.json.write_text(
            json.dumps(
                {
                    **figures,
                    "ours": {str(k): v for k, v in seconds.items()},
                    "mofapy2": [fit._asdict() for fit in measured],
                },
                indent=1,
            ),
            encoding="utf-8",
        )
    print(f"vs_mofapy2={figures['vs_mofapy2']:.1f} fits={fits} two_workers={figures['two_workers']:.2f}")


if __name__ == "__main__":
    main()
