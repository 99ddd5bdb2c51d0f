"""Over 200 simulated cohorts, intervals cover what the models do on other patients of the same population."""

from __future__ import annotations

import tempfile
from pathlib import Path

import dask
import numpy as np
import pandas as pd
import pytest
import xarray as xr

from omics import cohort
from omics.artefact import Provenance
from omics.blocks import each
from omics.outcome import performance
from omics.predict import OutcomeClassifier, Question, Scheme, evaluate
from omics.predict.learning import target_of
from omics.prepare import prepare

SEEDS, PATIENTS, OTHERS = 200, 160, 1500
HORIZON = 5.0
MOFA = {"n_factors": 3, "max_iter": 25}
METRICS = ["auc", "c_uno", "brier", "ipa"]


def population(n: int, seed: int, gain: float) -> xr.DataTree:
    """Two layers of three factors; age drives relapse, and with `gain` the first factor as well."""
    rng = np.random.default_rng(seed)
    z, age = rng.normal(size=(n, 3)), rng.normal(size=n)
    ids = np.array([f"P{i:05d}" for i in range(n)], dtype=object)
    nodes = {}
    for name, size in (("expression", 40), ("methylation", 50)):
        values = z @ rng.normal(size=(3, size)) + rng.normal(size=(n, size))
        nodes[f"/views/{name}"] = xr.Dataset(
            {"value": (("sample", "feature"), values.astype(np.float32))},
            {"sample": ids, "feature": np.array([f"{name}{j}" for j in range(size)], dtype=object)},
            {"kind": name, "likelihood": "gaussian", "units": "log2"},
        )
    relapse = rng.exponential(1 / (0.06 * np.exp(0.6 * age + gain * z[:, 0])))
    death, censored = rng.exponential(1 / 0.02, n), rng.uniform(3, 10, n)
    time = np.minimum(np.minimum(relapse, death), censored)
    event = np.where(time == relapse, 1.0, np.where(time == death, 2.0, 0.0))
    clinical = pd.DataFrame(
        {"age": 9 + 3 * age, "event": event, "event_time": time}, index=pd.Index(ids, name="sample")
    )
    return xr.DataTree.from_dict({"/clinical": cohort.from_table(clinical, "sample"), **nodes})


def trial(seed: int, gain: float) -> pd.DataFrame:
    """Estimates and intervals of one cohort beside what the models do on the other patients."""
    with dask.config.set(scheduler="synchronous"), tempfile.TemporaryDirectory() as folder:
        everyone = population(PATIENTS + OTHERS, seed, gain)
        ids = cohort.samples(everyone)
        store, whole = Path(folder) / "prepared.zarr", Path(folder) / "all.zarr"
        cohort.save(prepare(cohort.select(everyone, ids[:PATIENTS])), store, Provenance("prepared", {}))
        cohort.save(prepare(everyone), whole, Provenance("prepared", {}))
        settings = {"horizon": HORIZON, "mofa": MOFA, "random_state": seed}
        scheme = Scheme(n_folds=5, n_inner=3)
        result = evaluate(store, models=("logistic",), scheme=scheme, n_bootstrap=400, **settings)
        found = cohort.to_table(cohort.node(result, "metrics")).set_index(["features", "metric"])
        clinical = cohort.clinical_table(everyone)
        target = target_of(clinical, ids[:PATIENTS], Question(horizon=HORIZON))
        rows, truths = [], {}
        for features in ("clinical", "omics", "both"):
            model = OutcomeClassifier(store=store, features=features, **settings).fit(ids[:PATIENTS], target.outcome)
            model.store = whole
            others = clinical.loc[ids[PATIENTS:]]
            risk = model.predict_proba(ids[PATIENTS:])[:, 1]
            true = performance(others["event_time"], others["event"], risk, horizon=HORIZON, n_bootstrap=2)
            truths[features] = true.set_index("metric")["estimate"]
            for metric in [*METRICS, "calibration_slope"]:
                row = found.loc[(features, metric)]
                rows.append([features, metric, row["estimate"], row["lower"], row["upper"], truths[features][metric]])
        gaps = cohort.to_table(cohort.node(result, "differences")).set_index(["comparison", "metric"])
        for metric in ("auc", "c_uno"):
            row = gaps.loc[("both - clinical", metric)]
            truth = truths["both"][metric] - truths["clinical"][metric]
            rows.append(["both - clinical", metric, row["estimate"], row["lower"], row["upper"], truth])
    columns = ["row", "metric", "estimate", "lower", "upper", "truth"]
    return pd.DataFrame(rows, columns=columns).assign(seed=seed)


def trials(gain: float, seeds: int = SEEDS) -> pd.DataFrame:
    with dask.config.set(scheduler="processes"):
        table = pd.concat(each(trial, range(seeds), gain), ignore_index=True)
    return table.assign(covers=(table["lower"] <= table["truth"]) & (table["truth"] <= table["upper"]))


def found(table: pd.DataFrame) -> pd.DataFrame:
    """What both kinds of predictors add to the clinical ones alone."""
    return table[(table["row"] == "both - clinical") & (table["metric"] == "auc")]


@pytest.mark.slow
def test_intervals_cover_and_a_planted_gain_is_found():
    table = trials(gain=1.0)
    rows = table[table["metric"].isin(METRICS)]

    assert 0.92 <= rows["covers"].mean() <= 0.98
    for _, covered in rows.groupby("metric")["covers"]:
        assert 0.92 <= covered.mean() <= 0.99
    for _, covered in rows.groupby(["row", "metric"])["covers"]:
        assert covered.mean() > 0.90
    slope = table[(table["metric"] == "calibration_slope") & (table["row"] != "clinical")]
    assert slope["estimate"].median() == pytest.approx(1.0, abs=0.1)
    gap = found(table)
    assert gap["estimate"].mean() == pytest.approx(gap["truth"].mean(), abs=0.015)
    assert (gap["lower"] > 0).mean() > 0.4  # of 160 patients 55 relapse


@pytest.mark.slow
def test_an_absent_gain_is_not_found():
    gap = found(trials(gain=0.0))
    assert (gap["lower"] > 0).mean() < 0.05
    assert 0.92 <= gap["covers"].mean() <= 0.98
