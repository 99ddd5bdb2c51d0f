"""The prediction room: no leak, scikit-learn drives it, what cannot be fitted is told."""

from __future__ import annotations

from pathlib import Path

import dask
import numpy as np
import pandas as pd
import pytest
import xarray as xr
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedKFold, cross_val_predict, cross_validate

from omics import cohort
from omics.artefact import digest
from omics.predict import MODELS, Model, OutcomeClassifier, Question, Scheme, evaluate, train
from omics.predict.learning import target_of
from omics.schema import DataError, UsageError
from tests.driven import HORIZON, MOFA, classifier, outcomes, published, raw_cohort


@pytest.fixture(scope="module")
def tree() -> xr.DataTree:
    return raw_cohort()


@pytest.fixture(scope="module")
def store(tree: xr.DataTree, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return published(tree, tmp_path_factory.mktemp("predict") / "prepared.zarr")


@pytest.fixture(scope="module")
def patients(store: Path) -> tuple[np.ndarray, np.ndarray]:
    return outcomes(store)


def evaluated(store: Path, n_folds: int = 3, n_repeats: int = 1, **parameters: object) -> xr.DataTree:
    scheme = Scheme(n_folds=n_folds, n_inner=2, n_repeats=n_repeats)
    usual = {"horizon": HORIZON, "models": ("logistic",), "mofa": MOFA, "n_bootstrap": 20, "scheme": scheme}
    return evaluate(store, **{**usual, **parameters})


def trained_arrays(fitted: OutcomeClassifier) -> dict[str, np.ndarray]:
    """Every array that the chain learnt."""
    arrays: dict[str, np.ndarray] = {}
    assert fitted.representation_ is not None
    for tree in (fitted.representation_.recipe.to_tree(), fitted.representation_.mofa.to_tree()):
        for part in tree.subtree:
            for name, array in part.to_dataset(inherit=False).variables.items():
                arrays[f"{part.path}/{name}"] = np.asarray(array)
    model = fitted.pipeline_["model"]
    arrays |= {"coef": model.coef_, "intercept": model.intercept_}
    scaler = fitted.pipeline_["encode"].named_transformers_["numbers"]["scale"]
    return arrays | {"mean": scaler.mean_, "scale": scaler.scale_}


def with_noise_rows(tree: xr.DataTree, rows: np.ndarray) -> xr.DataTree:
    """The same cohort with the values, the outcome and the clinical data of `rows` replaced."""
    rng = np.random.default_rng(99)
    nodes = {}
    for part in tree.subtree:
        data = part.to_dataset(inherit=False).copy(deep=True)
        if "sample" in data.dims:
            hit = np.isin(data.indexes["sample"], rows)
            for name, array in data.data_vars.items():
                if array.dtype.kind == "f":
                    noise = rng.random(array.shape).astype(array.dtype)
                    bernoulli = data.attrs.get("likelihood") == "bernoulli"
                    noise = np.round(noise) if bernoulli or name == "event" else noise
                    where = hit if array.ndim == 1 else hit[:, None]
                    data[name] = (array.dims, np.where(where, noise, array), array.attrs)
        nodes[part.path] = data
    return xr.DataTree.from_dict(nodes)


def test_held_out_rows_leave_every_trained_array_bit_identical(tree, store, patients, tmp_path):
    ids, y = patients
    held = ids[::4]
    train_ids, train_y = ids[~np.isin(ids, held)], y[~np.isin(ids, held)]
    noisy = published(with_noise_rows(tree, held), tmp_path / "noisy.zarr")
    assert digest(noisy) != digest(store)
    first = trained_arrays(classifier(store).fit(train_ids, train_y))
    second = trained_arrays(classifier(noisy).fit(train_ids, train_y))
    assert first.keys() == second.keys()
    assert len(first) > 10
    for name, array in first.items():
        assert array.tobytes() == second[name].tobytes() if array.dtype != object else list(array) == list(second[name])
    third = trained_arrays(classifier(noisy).fit(ids, y))  # the check can fail: here the noise is trained on
    assert any(
        third[name].shape != array.shape or not np.array_equal(third[name], array) for name, array in first.items()
    )


@pytest.mark.slow
def test_scikit_learn_drives_it_and_agrees_with_evaluate(store, patients):
    ids, y = patients
    result = evaluated(store, n_bootstrap=50, random_state=7)
    table = cohort.to_table(cohort.node(result, "predictions"))
    ours = table[table["features"] == "both"].set_index("sample")
    folds = [(~np.isin(ids, part.index), np.isin(ids, part.index)) for _, part in ours.groupby("fold")]
    splits = [(np.flatnonzero(train), np.flatnonzero(test)) for train, test in folds]
    theirs = cross_val_predict(classifier(store, random_state=7), ids, y, cv=splits, method="predict_proba")[:, 1]
    np.testing.assert_allclose(ours.loc[ids, "probability"].to_numpy(dtype=float), theirs, rtol=1e-12)


def test_cross_validate_runs_as_it_is(store, patients):
    ids, y = patients
    scores = cross_validate(
        clone(classifier(store, features="clinical")), ids, y, scoring="roc_auc", cv=StratifiedKFold(3)
    )
    assert np.isfinite(scores["test_score"]).all()


def test_evaluate_finds_the_planted_driver_and_shows_three_rows(store):
    result = evaluated(store, n_bootstrap=200)
    metrics = cohort.to_table(cohort.node(result, "metrics")).query("metric == 'auc'").set_index("features")
    assert set(metrics.index) == {"clinical", "omics", "both"}
    assert metrics.loc["omics", "lower"] > 0.5
    assert (metrics["lower"] <= metrics["estimate"]).all()
    assert (metrics["estimate"] <= metrics["upper"]).all()
    differences = cohort.to_table(cohort.node(result, "differences"))
    assert {"both - clinical", "omics - clinical"} <= set(differences["comparison"])
    # the pooled figure is the weighted mean of the folds' own areas
    table = cohort.to_table(cohort.node(result, "predictions")).query("features == 'omics' and weight > 0")
    pairs, areas = [], []
    for _, fold in table.groupby("fold"):
        won = np.outer(fold["weight"] * fold["outcome"], fold["weight"] * (1 - fold["outcome"])).sum()
        areas.append(roc_auc_score(fold["outcome"], fold["probability"], sample_weight=fold["weight"]))
        pairs.append(won)
    assert metrics.loc["omics", "estimate"] == pytest.approx(np.average(areas, weights=pairs), abs=1e-9)


def test_every_patient_is_held_out_once_a_repeat(store):
    result = evaluated(store, n_repeats=2, n_bootstrap=50)
    table = cohort.to_table(cohort.node(result, "predictions"))
    counts = table.groupby(["repeat", "features", "sample"]).size()
    assert (counts == 1).all()
    assert table["probability"].between(0, 1).all()
    splits = table.query("features == 'both'").pivot(index="sample", columns="repeat", values="fold")
    assert (splits[0] != splits[1]).any()


@pytest.mark.slow
def test_the_scheduler_does_not_change_a_number(store):
    def run(scheduler: str) -> pd.DataFrame:
        with dask.config.set(scheduler=scheduler):
            result = evaluated(store, n_folds=2)
        return cohort.to_table(cohort.node(result, "predictions"))

    pd.testing.assert_frame_equal(run("synchronous"), run("threads"))


def test_the_label_of_a_censored_patient_is_not_used(store, patients):
    ids, y = patients
    weight = target_of(cohort.clinical_table(cohort.open(store)), list(ids), Question(horizon=HORIZON)).weight
    assert (weight == 0).any()
    flipped = np.where(weight == 0, 1 - y, y)
    first = classifier(store, features="clinical").fit(ids, y)
    second = classifier(store, features="clinical").fit(ids, flipped)
    assert first.pipeline_["model"].coef_.tobytes() == second.pipeline_["model"].coef_.tobytes()


def test_a_model_that_cannot_be_fitted_is_listed(store, monkeypatch):
    class Broken(LogisticRegression):
        def fit(self, X, y, sample_weight=None):
            raise ValueError("singular")

    monkeypatch.setitem(MODELS, "broken", Model(lambda seed: Broken(), [{}]))
    result = evaluated(store, n_folds=2, models=("logistic", "broken"))
    folds = cohort.to_table(cohort.node(result, "folds")).set_index("model")
    assert folds.loc["broken", "error"].str.contains("singular").all()
    assert folds.loc["logistic", "error"].isna().all()
    metrics = cohort.to_table(cohort.node(result, "metrics")).set_index("model")
    assert metrics.loc["broken", "estimate"].isna().all()


def test_a_row_that_cannot_be_fitted_leaves_the_others_their_figures(store, monkeypatch):
    class Picky(LogisticRegression):
        def fit(self, X, y, sample_weight=None):
            if X.shape[1] == 6:  # three factors beside age, sex and white count
                raise ValueError("too many")
            return super().fit(X, y, sample_weight)

    monkeypatch.setitem(MODELS, "picky", Model(lambda seed: Picky(), [{}]))
    result = evaluated(store, n_folds=2, models=("picky",))
    metrics = cohort.to_table(cohort.node(result, "metrics")).query("metric == 'auc'").set_index("features")["estimate"]
    assert metrics.notna().to_dict() == {"clinical": True, "omics": True, "both": False}
    gaps = cohort.to_table(cohort.node(result, "differences")).set_index("comparison")["estimate"]
    assert gaps.notna().to_dict() == {"both - clinical": False, "omics - clinical": True, "both - omics": False}


def test_one_class_is_refused(tree, tmp_path):
    clinical = cohort.clinical_table(tree).assign(event=0.0)
    nodes = {f"/views/{n}": cohort.node(tree, f"views/{n}") for n in ("expression", "methylation", "mutation")}
    path = published(
        xr.DataTree.from_dict({"/clinical": cohort.from_table(clinical, "sample"), **nodes}), tmp_path / "p.zarr"
    )
    with pytest.raises(DataError, match="0 events"):
        evaluate(path, horizon=HORIZON, mofa=MOFA)
    with pytest.raises(DataError, match="0 events"):
        train(path, tmp_path / "model", horizon=HORIZON, mofa=MOFA)
    assert not (tmp_path / "model").exists()


def test_unknown_words_are_refused(store, patients):
    ids, y = patients
    with pytest.raises(UsageError, match="logistic"):
        evaluate(store, models=("svm",))
    with pytest.raises(UsageError, match="clinical"):
        classifier(store, features="everything").fit(ids, y)
    with pytest.raises(UsageError, match="karyotype"):
        evaluate(store, horizon=HORIZON, clinical_variables=("karyotype",))


@pytest.mark.slow
def test_noise_gives_no_prediction(tmp_path):
    """Over seeds without any effect, about 95 % of the intervals cover 0.5."""
    covered = []
    for seed in range(12):
        store = published(raw_cohort(n=120, seed=100 + seed, effect=0.0), tmp_path / f"{seed}.zarr")
        result = evaluated(store, n_bootstrap=300)
        metrics = cohort.to_table(cohort.node(result, "metrics")).query("metric == 'auc' and features == 'omics'")
        covered.append(bool(((metrics["lower"] <= 0.5) & (metrics["upper"] >= 0.5)).all()))
    assert sum(covered) >= 10
