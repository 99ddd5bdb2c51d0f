"""A cohort whose first factor drives relapse, prepared, and a classifier of it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr

from omics import cohort
from omics.artefact import Provenance
from omics.predict import OutcomeClassifier, Question
from omics.predict.learning import target_of
from omics.prepare import prepare

MOFA = {"n_factors": 3, "max_iter": 25}
HORIZON = 5.0


def raw_cohort(n: int = 90, seed: int = 0, effect: float = 2.0) -> xr.DataTree:
    """Two Gaussian layers and mutations that share three factors; the first drives relapse."""
    rng = np.random.default_rng(seed)
    z = rng.normal(size=(n, 3))
    ids = np.array([f"P{i:03d}" for i in range(n)], dtype=object)

    def layer(d: int, missing: slice) -> tuple[np.ndarray, np.ndarray]:
        y = z @ rng.normal(size=(3, d)) + rng.normal(size=(n, d))
        keep = np.ones(n, dtype=bool)
        keep[missing] = False
        return y[keep].astype(np.float32), ids[keep]

    def view(y: np.ndarray, rows: np.ndarray, kind: str, likelihood: str, units: str) -> xr.Dataset:
        features = np.array([f"{kind}{j}" for j in range(y.shape[1])], dtype=object)
        return xr.Dataset(
            {"value": (("sample", "feature"), y)},
            {"sample": rows, "feature": features},
            {"kind": kind, "likelihood": likelihood, "units": units},
        )

    expression, e_rows = layer(50, slice(0, 8))
    methylation, m_rows = layer(60, slice(80, 85))
    methylation = 1 / (1 + np.exp(-methylation / 2))
    mutation = (rng.random((n, 20)) < 0.25).astype(np.float32)
    hazard = 0.05 * np.exp(effect * z[:, 0])
    relapse, death = rng.exponential(1 / hazard), rng.exponential(1 / 0.02, n)
    follow = rng.uniform(3, 9, n)
    time = np.minimum(np.minimum(relapse, death), follow)
    event = np.where(time == relapse, 1.0, np.where(time == death, 2.0, 0.0))
    clinical = pd.DataFrame(
        {
            "age": rng.uniform(1, 18, n),
            "sex": rng.choice(["F", "M"], n),
            "wbc": np.exp(rng.normal(3, 1, n)),
            "event": event,
            "event_time": time,
        },
        index=pd.Index(ids, name="sample"),
    )
    clinical.loc[ids[3], "wbc"] = np.nan
    return xr.DataTree.from_dict(
        {
            "/clinical": cohort.from_table(clinical, "sample"),
            "/views/expression": view(expression, e_rows, "expression", "gaussian", "log2"),
            "/views/methylation": view(methylation, m_rows, "methylation", "gaussian", "beta"),
            "/views/mutation": view(mutation, ids, "mutation", "bernoulli", "1"),
        }
    )


def published(tree: xr.DataTree, path: Path) -> Path:
    """Prepare a cohort, with 40 features a layer, and save it."""
    parameters = {"n_features": 40}
    cohort.save(prepare(tree, **parameters), path, Provenance("prepared", parameters))
    return path


def outcomes(store: Path) -> tuple[np.ndarray, np.ndarray]:
    """Ids of the patients, and whether each relapses within the horizon."""
    prepared = cohort.open(store)
    ids = cohort.samples(prepared)
    return ids, target_of(cohort.clinical_table(prepared), list(ids), Question(horizon=HORIZON)).outcome


def classifier(store: Path, **parameters: object) -> OutcomeClassifier:
    """A classifier of the store, with what the parameters change."""
    return OutcomeClassifier(**{"store": store, "horizon": HORIZON, "mofa": MOFA, "n_inner": 2, **parameters})
