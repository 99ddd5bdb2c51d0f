"""Pure noise through the whole evaluation: does it report chance, and does the audit catch a step that leaks.

Run ``python -m benchmarks.leakage [--seeds N] [--json FILE]``. Each seed makes 250 patients, 38 of them with a relapse,
and 8,000 features, none of which means anything; the evaluation refits everything in every fold. Then the same with a
representation that chooses its features on all patients of the store, held-out ones too, as many published analyses do,
with ``audit=True``. The last line reads ``auc_in_fold=X covered=Y leaky_auc=Z caught=yes|no``: mean AUC over the seeds,
share of the intervals that cover 0.5, AUC of the leaky step, and whether the audit found it.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from omics import cohort
from omics.artefact import Provenance
from omics.predict import Chosen, Scheme, Training, evaluate, failures
from omics.predict.representations import correlation
from omics.prepare import Recipe, prepare
from pipelines import cluster

PATIENTS, EVENTS, FEATURES = 250, 38, 8000
#: What the leaky step chooses; with more, it would give 1.
_CHOSEN = 30
_LEAKY = "benchmarks.leakage:leaky"


def noise_cohort(patients: int, events: int, features: int, seed: int) -> xr.DataTree:
    """One layer and a clinical table of pure noise; everybody is followed to the horizon of 5 years or an event."""
    rng = np.random.default_rng(seed)
    ids = np.array([f"P{i:03d}" for i in range(patients)], dtype=object)
    event = np.zeros(patients)
    event[rng.choice(patients, events, replace=False)] = 1
    clinical = pd.DataFrame(
        {
            "age": rng.uniform(1, 18, patients),
            "wbc": np.exp(rng.normal(3, 1, patients)),
            "event": event,
            "event_time": np.where(event == 1, rng.uniform(0.5, 4.5, patients), rng.uniform(5, 9, patients)),
        },
        index=pd.Index(ids, name="sample"),
    )
    view = xr.Dataset(
        {"value": (("sample", "feature"), rng.normal(size=(patients, features)).astype(np.float32))},
        {"sample": ids, "feature": np.array([f"g{j}" for j in range(features)], dtype=object)},
        {"kind": "expression", "likelihood": "gaussian", "units": "log2"},
    )
    return xr.DataTree.from_dict({"/clinical": cohort.from_table(clinical, "sample"), "/views/expression": view})


def published(tree: xr.DataTree, path: Path) -> Path:
    """The cohort prepared, with all its features."""
    parameters = {"n_features": 1_000_000}
    cohort.save(prepare(tree, **parameters), path, Provenance("prepared", parameters))
    return path


def leaky(training: Training) -> Chosen:
    """Features most correlated with relapse over all patients of the store, held-out ones included: never do this."""
    everyone = cohort.open(training.store, noun="prepared")
    clinical = cohort.clinical_table(everyone)
    view = cohort.node(Recipe.of(everyone).fit_transform(everyone), "views/expression")
    relapsed = (clinical["event"] == 1).astype(float).reindex(view.indexes["sample"])
    strength = np.abs(correlation(view["value"].transpose("sample", "feature").to_numpy(), relapsed))
    best = np.sort(np.argsort(-strength, kind="stable")[:_CHOSEN])
    return Chosen(training.recipe, {"expression": [str(view.indexes["feature"][i]) for i in best]})


def areas(result: xr.DataTree) -> pd.DataFrame:
    """AUC of each row that uses the layer."""
    table = cohort.to_table(cohort.node(result, "metrics")).fillna({"representation": ""})
    return table[(table["metric"] == "auc") & (table["features"] != "clinical")]


def honest(seed: int, folder: Path) -> pd.DataFrame:
    """AUC of every row on one noise cohort, MOFA and feature choice refitted inside every fold."""
    store = published(noise_cohort(PATIENTS, EVENTS, FEATURES, seed), folder / f"{seed}.zarr")
    settings: dict[str, Any] = {"models": ("logistic", "coxnet"), "representations": ("factors", "screened")}
    result = evaluate(store, mofa={"n_factors": 5}, n_bootstrap=500, random_state=seed, **settings)
    return areas(result).assign(seed=seed)


def leak(folder: Path) -> tuple[float, bool]:
    """AUC of the leaky step, and whether the audit names it."""
    store = published(noise_cohort(PATIENTS, EVENTS, FEATURES, 0), folder / "leaky.zarr")
    result = evaluate(
        store, models=("logistic",), representations=(_LEAKY,), scheme=Scheme(n_inner=2), n_bootstrap=200, audit=True,
        scratch=folder,
    )  # fmt: skip
    found = areas(result)
    caught = failures(cohort.to_table(cohort.node(result, "audit")))
    for one in caught[:4]:
        print(f"audit: {one}")
    return float(found.loc[found["features"] == "omics", "estimate"].iloc[0]), any(_LEAKY in one for one in caught)


def main() -> None:
    """Run the seeds, then the leak."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=20, help="noise cohorts (20)")
    parser.add_argument("--json", type=Path, help="write all figures to this file")
    options = parser.parse_args()
    tables = []
    with tempfile.TemporaryDirectory() as name, cluster.on("local"):
        for seed in range(options.seeds):
            began = time.perf_counter()
            tables.append(honest(seed, Path(name)))
            omics = tables[-1].set_index(["features", "representation", "model"])["estimate"]
            best = omics["omics", "best", "best"]
            said = f"factors {omics['omics', 'factors', 'logistic']:.3f}, best of four {best:.3f}"
            print(f"seed {seed}: {said} ({time.perf_counter() - began:.0f} s)", flush=True)
        leaky_auc, caught = leak(Path(name))
    table = pd.concat(tables, ignore_index=True)
    table["covers"] = (table["lower"] <= 0.5) & (table["upper"] >= 0.5)
    by_row = table.groupby(["features", "representation", "model"])[["estimate", "covers"]].mean()
    print(by_row.to_string(float_format="{:.3f}".format))
    figures = {
        "auc_in_fold": float(table["estimate"].mean()),
        "covered": float(table["covers"].mean()),
        "leaky_auc": leaky_auc,
        "caught": caught,
    }
    if options.json:
        rows = by_row.reset_index().to_dict("records")
        options.json.write_text(json.dumps({**figures, "rows": rows}, indent=1), encoding="utf-8")
    print(
        f"auc_in_fold={figures['auc_in_fold']:.3f} covered={figures['covered']:.3f} leaky_auc={leaky_auc:.3f} "
        f"caught={'yes' if caught else 'no'}"
    )


if __name__ == "__main__":
    main()
