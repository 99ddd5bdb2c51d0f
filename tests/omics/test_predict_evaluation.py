"""Evaluation: models, representations, endpoints, permutations, and the audit, which a leak does not pass."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from benchmarks.leakage import noise_cohort
from benchmarks.leakage import published as keep_all
from omics import cohort
from omics.predict import Chosen, Scheme, Training, evaluate, failures
from omics.predict.audit import with_noise
from omics.schema import NODES, DataError, UsageError
from tests.driven import published, raw_cohort

MOFA = {"n_factors": 3, "max_iter": 15}
SCHEME = Scheme(n_folds=3, n_inner=2)
QUICK = {"horizon": 5.0, "models": ("logistic",), "mofa": MOFA, "scheme": SCHEME, "n_bootstrap": 100}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return published(raw_cohort(), tmp_path_factory.mktemp("evaluation") / "prepared.zarr")


def table(result: xr.DataTree, name: str) -> pd.DataFrame:
    found = cohort.to_table(cohort.node(result, name))
    return found.fillna({c: "" for c in ("representation", "error") if c in found})


# --- the audit --------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_the_audit_catches_feature_choice_outside_of_the_folds(tmp_path):
    path = keep_all(noise_cohort(150, 40, 4000, 1), tmp_path / "p.zarr")
    result = evaluate(
        path, **{**QUICK, "representations": ("screened", "benchmarks.leakage:leaky")}, audit=True, scratch=tmp_path
    )
    areas = table(result, "metrics").query("metric == 'auc' and features == 'omics'").set_index("representation")
    assert areas.loc["benchmarks.leakage:leaky", "estimate"] > 0.85
    assert areas.loc["screened", "lower"] < 0.5 < areas.loc["screened", "upper"]
    failed = failures(table(result, "audit"))
    assert any("noise" in one and "leaky" in one for one in failed)
    assert not any("screened" in one for one in failed)
    audit = table(result, "audit")
    permuted = audit[audit["check"] == "permutation"].set_index("what")["passed"]
    assert permuted[[name for name in permuted.index if "leaky" in name and "omics" in name]].eq(0).all()
    assert permuted[[name for name in permuted.index if "leaky" not in name and "best" not in name]].eq(1).all()
    assert not list(tmp_path.glob(".audit-*")), "copies of the store are cleared away"


@pytest.mark.slow  # an honest run is audited from the command line too
def test_an_honest_run_passes_its_audit(store, tmp_path):
    result = evaluate(store, **{**QUICK, "representations": ("factors", "loadings")}, audit=True, scratch=tmp_path)
    audit = table(result, "audit")
    assert failures(audit) == []
    assert (audit["check"] == "noise").sum() == SCHEME.n_folds
    assert audit.loc[audit["check"] == "noise", "detail"].str.contains("to the last bit").all()
    seen = table(result, "seen")
    assert (seen["held_out_rows"] == 0).all()
    assert (seen.loc[seen["split"] == "outer", "rows"] < 90).all()
    for name in ("audit", "seen"):
        assert list(table(result, name).columns) == [variable.name for variable in NODES[name]]


def test_the_noise_replaces_all_of_the_held_out_and_nothing_else(store):
    tree = cohort.open(store)
    rows = cohort.samples(tree)[::3]
    noisy = with_noise(tree, rows, seed=1)
    for name in ("expression", "methylation", "mutation"):
        before, after = (cohort.node(one, f"views/{name}")["value"].to_pandas() for one in (tree, noisy))
        hit = before.index.isin(rows)
        assert before[~hit].equals(after[~hit])
        same = (before[hit] == after[hit]).to_numpy().mean()
        assert same < (0.7 if name == "mutation" else 0.001)
    before, after = cohort.clinical_table(tree), cohort.clinical_table(noisy)
    hit = before.index.isin(rows)
    pd.testing.assert_frame_equal(before[~hit], after[~hit])
    assert (before.loc[hit, "event_time"] != after.loc[hit, "event_time"]).mean() > 0.8
    assert (before.loc[hit, "age"] != after.loc[hit, "age"]).all()


# --- what is evaluated ------------------------------------------------------------------------------------------------


def test_the_best_of_many_is_chosen_by_the_inner_folds(store):
    result = evaluate(store, **{**QUICK, "models": ("logistic", "coxnet"), "representations": ("factors", "loadings")})
    predictions, folds = table(result, "predictions"), table(result, "folds")
    rows = predictions.set_index(["features", "representation", "model", "sample"])["probability"].sort_index()
    best = folds[folds["model"] == "best"]
    assert len(best) == 3 * SCHEME.n_folds
    for row in best.itertuples():
        chosen = json.loads(row.chosen)
        assert chosen["model"] in ("logistic", "coxnet")
        held = predictions.query("fold == @row.fold")["sample"].unique()
        own = rows.loc[row.features, row.representation, "best"][held]
        copied = rows.loc[row.features, chosen["representation"], chosen["model"]][held]
        pd.testing.assert_series_equal(own, copied)
    assert set(table(result, "metrics")["model"]) == {"logistic", "coxnet", "best"}


def test_planning_counts_parameters_and_events(store):
    result = evaluate(store, **QUICK)
    planned = table(result, "planning").set_index("features")
    assert planned.loc["clinical", "parameters"] == 3
    assert planned.loc["omics", "parameters"] == 3
    assert planned.loc["both", "parameters"] == 6
    known = table(result, "predictions").query("features == 'omics' and weight > 0")
    assert planned["events"].eq(known["outcome"].sum()).all()
    assert planned.loc["both", "needed"] > planned.loc["omics", "needed"]
    assert not planned["enough"].any()


def test_endpoints_landmarks_and_predictors(store):
    result = evaluate(store, **{**QUICK, "endpoint": "event_free", "landmark": 0.5, "horizon": 3.0})
    assert (
        result.attrs["question"] == "event free within 3 years of diagnosis, for patients event-free 0.5 years after it"
    )
    clinical = cohort.clinical_table(cohort.open(store))
    predictions = table(result, "predictions")
    early = clinical.index[clinical["event_time"] <= 0.5]
    assert predictions.loc[predictions["sample"].isin(early), "weight"].eq(0).all()
    with pytest.raises(UsageError, match="'event_time' is part of the outcome"):
        evaluate(store, **QUICK, clinical_variables=("age", "event_time"))
    with pytest.raises(UsageError, match="unknown endpoint 'remission'"):
        evaluate(store, **{**QUICK, "endpoint": "remission"})


def test_relapse_samples_are_refused(tmp_path):
    tree = raw_cohort()
    nodes = {part.path: part.to_dataset(inherit=False) for part in tree.subtree}
    nodes["/clinical"] = nodes["/clinical"].assign_attrs(timepoint="relapse")
    path = published(xr.DataTree.from_dict(nodes), tmp_path / "p.zarr")
    with pytest.raises(DataError, match="taken at relapse"):
        evaluate(path, **QUICK)


def test_permutations_tell_what_chance_gives(store):
    result = evaluate(store, **QUICK, n_permutations=4)
    null = table(result, "permutations").set_index("features")
    assert null["null_mean"].between(0.35, 0.65).all()
    assert null.loc["omics", "p_value"] == 0.2  # the planted driver: better than all four
    assert (null["permutations"] == 4).all()


def test_a_representation_that_fails_is_listed(store):
    name = f"{__name__}:broken"
    result = evaluate(store, **{**QUICK, "representations": ("factors", name)})
    folds = table(result, "folds")
    assert folds.loc[folds["representation"] == name, "error"].str.contains("nothing to see").all()
    assert (folds.loc[folds["representation"] == "factors", "error"] == "").all()


def broken(training: Training) -> Chosen:
    raise ValueError("nothing to see")


@pytest.mark.parametrize("representation", ["layers", "loadings", "screened"])
def test_representations_find_the_planted_driver(store, representation):
    result = evaluate(store, **{**QUICK, "representations": (representation,)})
    areas = table(result, "metrics").query("metric == 'auc'").set_index("features")
    assert areas.loc["omics", "lower"] > 0.5


def test_leaving_out_a_site_and_a_split_file(tmp_path):
    tree = raw_cohort()
    nodes = {part.path: part.to_dataset(inherit=False) for part in tree.subtree}
    ids = nodes["/clinical"].indexes["sample"]
    nodes["/clinical"] = nodes["/clinical"].assign(
        site=("sample", np.array([f"S{i % 3}" for i in range(len(ids))], object))
    )
    path = published(xr.DataTree.from_dict(nodes), tmp_path / "p.zarr")
    result = evaluate(path, **{**QUICK, "scheme": Scheme(leave_out="site", n_inner=2)})
    assert set(table(result, "folds")["held_out"]) == {"S0", "S1", "S2"}
    pd.DataFrame({"sample": ids, "fold": [i % 2 for i in range(len(ids))]}).to_csv(tmp_path / "s.csv", index=False)
    result = evaluate(path, **{**QUICK, "scheme": Scheme(file=tmp_path / "s.csv", n_inner=2)})
    held = table(result, "predictions").query("features == 'omics'").set_index("sample")["fold"]
    assert held.to_dict() == {sample: i % 2 for i, sample in enumerate(ids)}
