"""Resampling of clusters: ours against a straightforward scikit-learn loop that gives the same figures.

Run ``python -m benchmarks.resampling [--smoke] [--json FILE]``. 2,000 patients x 15 factors with six clusters, 1,000
subsamples for each of 2 to 10 clusters: the clustering of each subsample (a Gaussian mixture, the best of 16 starts),
the proportion of ambiguous pairs of patients, each patient's ambiguity, each cluster's Jaccard index, and the adjusted
Rand index of every pair of subsamples. The loop fits ``sklearn.mixture.GaussianMixture`` with as many starts, adds to a
matrix of patients x patients, and calls ``adjusted_rand_score``; it is measured on a few subsamples and pairs, with all
cores for its BLAS, and extrapolated. The last line reads ``vs_sklearn=X seconds=S peak_gib=G``.
"""

from __future__ import annotations

import argparse
import json
import resource
import time
from pathlib import Path

import numpy as np
from sklearn.metrics import adjusted_rand_score
from sklearn.mixture import GaussianMixture

from omics.subtypes import stability
from omics.subtypes.algorithms import Data
from pipelines import cluster

PATIENTS, FACTORS, CLUSTERS = 2000, 15, 6
_MEASURED_FITS, _MEASURED_PAIRS = 3, 200


def scores(patients: int) -> np.ndarray:
    """Standardised factors with six clusters, some of which overlap."""
    rng = np.random.default_rng(1)
    centre = rng.normal(size=(CLUSTERS, FACTORS))
    z = centre[rng.integers(CLUSTERS, size=patients)] + rng.normal(size=(patients, FACTORS))
    return np.asarray(z / z.std(axis=0))


def loop(z: np.ndarray, number: int) -> tuple[float, float]:
    """Seconds of the loop for one subsample, and for one pair of subsamples."""
    rng = np.random.default_rng(number)
    both, together = np.zeros((len(z), len(z))), np.zeros((len(z), len(z)))
    labels = np.full((_MEASURED_FITS, len(z)), -1)
    began = time.perf_counter()
    for run in range(_MEASURED_FITS):
        drawn = np.sort(rng.permutation(len(z))[: round(stability.SUBSAMPLE * len(z))])
        model = GaussianMixture(
            number, covariance_type="tied", n_init=stability.STARTS, init_params="k-means++", random_state=run
        )
        labels[run, drawn] = model.fit_predict(z[drawn])
        both[np.ix_(drawn, drawn)] += 1
        together[np.ix_(drawn, drawn)] += labels[run, drawn][:, None] == labels[run, drawn]
    fit = (time.perf_counter() - began) / _MEASURED_FITS
    shared = (labels[0] >= 0) & (labels[1] >= 0)
    began = time.perf_counter()
    for _ in range(_MEASURED_PAIRS):
        shared = (labels[0] >= 0) & (labels[1] >= 0)
        adjusted_rand_score(labels[0, shared], labels[1, shared])
    return fit, (time.perf_counter() - began) / _MEASURED_PAIRS


def main() -> None:
    """Measure both."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--smoke", action="store_true", help="a small run, to see that it works")
    parser.add_argument("--json", type=Path, help="write all figures to this file")
    options = parser.parse_args()
    patients, resamples, numbers = (200, 12, [2, 3]) if options.smoke else (PATIENTS, 1000, list(range(2, 11)))
    z = scores(patients)
    data = Data(z, np.ones(FACTORS), np.zeros(FACTORS, int))
    stability.observed(data, [2], 2, 1, "mixture")  # compiles
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    began = time.perf_counter()
    with cluster.on("threads"):
        found = stability.observed(data, numbers, resamples, 1, "mixture")
    ours = time.perf_counter() - began
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    each_fit, each_pair = np.array([loop(z, number) for number in numbers]).T
    pairs = resamples * (resamples - 1) / 2
    fits, rand = resamples * each_fit.sum(), pairs * each_pair.sum()
    print("clusters  rand   weakest   pac")
    for number, one in zip(numbers, found, strict=True):
        print(f"{number:8}  {one.rand:.3f}    {one.jaccard.min():.3f}  {one.pac:.3f}")
    print(f"ours: {ours:.1f} s for {resamples} subsamples x {len(numbers)} numbers; {before / 2**20:.2f} GiB before")
    print(
        f"scikit-learn, extrapolated: {fits:.0f} s for fits and consensus, {rand:.0f} s for Rand indices of all pairs"
    )
    print(f"without the Rand indices in the loop: {fits / ours:.1f}x")
    figures = {
        "vs_sklearn": (fits + rand) / ours,
        "seconds": ours,
        "peak_gib": peak,
        "loop_fits": fits,
        "loop_rand": rand,
    }
    if options.json:
        options.json.write_text(json.dumps(figures, indent=1), encoding="utf-8")
    print(f"vs_sklearn={figures['vs_sklearn']:.1f} seconds={ours:.1f} peak_gib={peak:.2f}")


if __name__ == "__main__":
    main()
