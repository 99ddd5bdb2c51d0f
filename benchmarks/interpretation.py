"""Is what was planted found, and how much that was not: gene sets, drivers of subtypes, mutations gained at relapse.

Run ``python -m benchmarks.interpretation [--seeds N] [--smoke] [--json FILE]``. Each seed is a simulated cohort of
its own population, with its raw files: 300 patients, 600 genes and 600 CpGs, and the relapses of 1,500 patients, as
only one in twenty has a sample of both times. What is given are the true factors and subtypes, so that it is known of
each finding whether it is one. False are, at q-values of 0.05:

- a set on a subtype or factor that has nothing to do with it: sets of another factor, whose genes rise together, sets
  of genes that the site moves, and genes at random. A patient has one subtype, so that the genes of one truly fall with
  the others;
- a gene that all subtypes carry alike, or that is found in the wrong direction. Asked for are the drivers that 15 %
  more of the patients of a subtype carry than of the others; weaker ones may be found too;
- a gene gained or lost by chance, where 15 % of the calls are missed at either time, and those of 20 long genes come
  and go in 10 % of the patients.

Then p-values where there is nothing: scores that mean nothing, each on a set of correlated genes
(``factor_enrichment``), which must be uniform; and the leading CpGs of a factor on the genes of CpGs that carry another
one (``cpg_enrichment``), which are whole numbers of hits, rounded down, and may be too large but not too small.

The last line reads ``sets_power=. sets_fdr=. drivers_power=. drivers_fdr=. gained_power=. gained_fdr=. null_ks=.
null_cpgs_ks=.``: mean share of the planted that is found, mean share of false findings, and the p-values of
Kolmogorov's tests, two-sided of the sets, one-sided (too many small ones) of the CpGs.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import kstest

from benchmarks._interpretation import trial
from omics.blocks import each
from pipelines import cluster

WHAT = ("sets", "drivers", "gained")
LEVELS = (0.01, 0.05, 0.1, 0.5)


def summary(trials: list[dict[str, Any]]) -> pd.DataFrame:
    """Power and false discovery proportion, mean over the seeds, with the standard error of the latter."""
    rows = {}
    for what in WHAT:
        fdp = np.array([one[what].fdp for one in trials])
        rows[what] = {
            "power": np.mean([one[what].power for one in trials]),
            "findings": np.mean([one[what].findings for one in trials]),
            "fdr": fdp.mean(),
            "error": fdp.std() / np.sqrt(len(fdp)),
        }
    return pd.DataFrame(rows).T


def p_values(trials: list[dict[str, Any]], what: str) -> np.ndarray:
    """All p-values of the trials where there is nothing."""
    return np.concatenate([one[what] for one in trials])


def main() -> None:
    """Run all trials."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, help="cohorts (20)")
    parser.add_argument("--smoke", action="store_true", help="two cohorts, to see that it runs")
    parser.add_argument("--json", type=Path, help="write what each seed gave to this file")
    options = parser.parse_args()
    began = time.perf_counter()
    with cluster.on("local"):
        trials = each(trial, range(options.seeds or (2 if options.smoke else 20)))
    table = summary(trials)
    print(table.to_string(float_format="{:.3f}".format))
    null = {what: p_values(trials, what) for what in ("null_sets", "null_cpgs")}
    for what, p in null.items():
        shares = "  ".join(f"{(p <= level).mean():.3f} at {level}" for level in LEVELS)
        print(f"{what}: {len(p)} p-values, share at or below a level: {shares}")
    print(f"{len(trials)} cohorts, {time.perf_counter() - began:.0f} s")
    if options.json:
        rows = [{**one, **{what: one[what]._asdict() for what in WHAT}} for one in trials]
        options.json.write_text(json.dumps(rows, indent=1, default=np.ndarray.tolist), encoding="utf-8")
    figures = " ".join(f"{what}_{name}={row[name]:.3f}" for what, row in table.iterrows() for name in ("power", "fdr"))
    sets, cpgs = kstest(null["null_sets"], "uniform"), kstest(null["null_cpgs"], "uniform", alternative="greater")
    print(f"{figures} null_ks={sets.pvalue:.3f} null_cpgs_ks={cpgs.pvalue:.3f}")


if __name__ == "__main__":
    main()
