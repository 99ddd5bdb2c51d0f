"""Are planted subtypes found, and is nothing found in nothing: ours beside k-means on PCA, SNF and plain consensus.

Run ``python -m benchmarks.structure [--seeds N] [--smoke] [--plot FILE] [--json FILE]``. Each cohort has 300 patients,
two layers of 300 and 400 features with 12 latent factors, a site whose batch shifts every feature, and a fifth of the
patients without one layer. Of the factors six hold the subtypes: 2 to 8, of 5 to 40 % of the patients each. The whole
way is gone: preparation with the batch taken off, MOFA, the choice of the number, the clusters.

- a curve of the adjusted Rand index against the separation of the subtypes (distance of two typical centres in standard
  deviations of a factor); the others are told the true number, ours finds it, and `told` is ours with it;
- the share of cohorts, well separated, whose number of subtypes is found;
- the share of cohorts without clusters, whose factors are correlated, skewed, heavy-tailed or curved, in which some
  are claimed; how often resampling alone would claim them (some number of which all clusters have a mean Jaccard index
  of 0.75), and the proportion of ambiguous pairs of plain consensus alone (below 0.1 for 2 or 3 clusters).

The last line reads ``ari=X k_right=Y null_rejected=Z``: mean index of ours at the largest separation, share of right
numbers there, and share of cluster-free cohorts in which subtypes were claimed.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from benchmarks._structure import null_trial, trial
from omics.blocks import each
from pipelines import cluster

SEPARATIONS = (2.0, 3.0, 4.0, 6.0, 8.0, 10.0)
KINDS = ("normal", "skewed", "heavy", "curved")
#: Settings of the search for subtypes, smaller than the default ones, and the smallest ones that work.
SEARCH: dict[str, Any] = {"max_subtypes": 10, "n_resamples": 30, "n_null": 59}
SMOKE: dict[str, Any] = {"max_subtypes": 4, "n_resamples": 6, "n_null": 39}


def _drawn(curve: pd.DataFrame, file: Path) -> None:
    figure = Figure(figsize=(5, 3.6))
    axes = figure.subplots()
    for name in curve.columns:
        axes.plot(curve.index, curve[name], "o-", label=name)
    axes.set_xlabel("separation of subtypes, standard deviations")
    axes.set_ylabel("adjusted Rand index")
    axes.legend()
    figure.savefig(file, bbox_inches="tight")


def main() -> None:
    """Run all trials."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, help="cohorts at each separation (10); twice as many without clusters")
    parser.add_argument("--smoke", action="store_true", help="the smallest search that works, to see that it runs")
    parser.add_argument("--plot", type=Path, help="draw the curve into this file")
    parser.add_argument("--json", type=Path, help="write all rows to this file")
    options = parser.parse_args()
    search = SMOKE if options.smoke else SEARCH
    separations = SEPARATIONS[-1:] if options.smoke else SEPARATIONS
    sizes = (2, 3) if options.smoke else range(2, 9)
    seeds = range(options.seeds or (2 if options.smoke else 10))
    tasks = [(seed, sizes[seed % len(sizes)], s) for s in separations for seed in seeds]
    empty = [(seed, KINDS[seed % len(KINDS)]) for seed in range(2 * len(seeds))]
    began = time.perf_counter()
    with cluster.on("local"):
        rows = pd.DataFrame(each(trial, tasks, search))
        null = pd.DataFrame(each(null_trial, empty, search))
    curve = rows.groupby("separation")[["ours", "told", "kmeans_pca", "consensus", "snf"]].mean()
    curve["k_right"] = (rows["k"] == rows["found"]).groupby(rows["separation"]).mean()
    print(curve.to_string(float_format="{:.3f}".format))
    print(null.groupby("kind")[["claimed", "resampling", "pac"]].mean().to_string(float_format="{:.3f}".format))
    print(f"{len(rows) + len(null)} cohorts, {time.perf_counter() - began:.0f} s")
    if options.plot:
        _drawn(curve.drop(columns="k_right"), options.plot)
    if options.json:
        both = {"planted": rows.to_dict("records"), "cluster_free": null.to_dict("records")}
        options.json.write_text(json.dumps(both, indent=1, default=float), encoding="utf-8")
    best = curve.iloc[-1]
    print(f"ari={best['ours']:.3f} k_right={best['k_right']:.3f} null_rejected={null['claimed'].mean():.3f}")


if __name__ == "__main__":
    main()
