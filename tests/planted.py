"""Labels and clinical tables: of planted groups of patients, and of patients drawn at random."""

from __future__ import annotations

import numpy as np
import pandas as pd


def patients(*groups: tuple[str, int, dict[str, object]]) -> tuple[pd.Series, pd.DataFrame]:
    """Labels and a clinical table from groups of like patients: subtype, number, values."""
    rows = [(subtype, values) for subtype, n, values in groups for _ in range(n)]
    ids = pd.Index([f"P{i:04d}" for i in range(len(rows))], name="sample")
    clinical = pd.DataFrame([values for _, values in rows], index=ids)
    return pd.Series([subtype for subtype, _ in rows], index=ids, name="label"), clinical


def mixed(seed: int, n: int = 160) -> tuple[pd.Series, pd.DataFrame]:
    """Random clusters and random clinical values of every kind, some missing."""
    rng = np.random.default_rng([seed, 5])
    ids = pd.Index([f"P{i:04d}" for i in range(n)], name="sample")
    clinical = pd.DataFrame(
        {
            "subtype": rng.choice(["A", "B", "C", "B-other"], n, p=[0.5, 0.25, 0.15, 0.1]),
            "site": rng.choice(["North", "South"], n, p=[0.8, 0.2]),
            "sex": pd.Categorical(rng.choice(["female", "male"], n)),
            "down": rng.integers(0, 2, n).astype(float),
            "trial": rng.random(n) < 0.3,
            "plate": rng.integers(1, 5, n),
            "age": rng.gamma(2, 3, n).round(),
            "wbc": rng.lognormal(3, 1, n),
        },
        index=ids,
    )
    for name in ("subtype", "down", "age"):
        clinical[name] = clinical[name].where(rng.random(n) > 0.15)
    labels = pd.Series(rng.choice(["S1", "S2", "S10"], n, p=[0.5, 0.35, 0.15]), index=ids)
    return labels, clinical
