"""Bundles: frozen, checked, without patients; one predicts as it was trained, and says what limits a prediction."""

from __future__ import annotations

import shutil
import subprocess
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from omics import cohort
from omics.artefact import Provenance, digest, verify
from omics.predict import MODELS, Model, OutcomeClassifier, Question, Scheme, evaluate, frozen, load, predict, train
from omics.predict.learning import target_of
from omics.schema import IntegrityError, UsageError
from omics.subtypes import Subtypes
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


@pytest.fixture(scope="module")
def bundle_path(store: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("bundle") / "model"
    train(store, path, horizon=HORIZON, mofa=MOFA, n_inner=2)
    return path


def test_one_patient_alone_gets_the_answer_of_the_cohort(bundle_path):
    bundle, new = load(bundle_path), raw_cohort(n=90, seed=5)
    together = predict(bundle, new).set_index("sample")
    for sample in ["P000", "P002", "P082", "P050"]:  # no expression, the same, no methylation, all layers
        alone = predict(bundle, cohort.select(new, [sample])).set_index("sample")
        assert alone.loc[sample, "probability"] == together.loc[sample, "probability"]
        assert alone.loc[sample, "score_sd"] == together.loc[sample, "score_sd"]
        assert alone.loc[sample, "layers"] == together.loc[sample, "layers"]
    assert "expression" in together.loc["P000", "missing"]
    assert "wbc" in together.loc["P003", "missing"]
    assert together.loc["P000", "score_sd"] > together.loc["P050", "score_sd"]


def test_forest_bundle_too_and_it_predicts_like_the_classifier(store, tree, patients, tmp_path):
    ids, y = patients
    train(store, tmp_path / "model", model="forest", horizon=HORIZON, mofa=MOFA, n_inner=2)
    ours = predict(load(tmp_path / "model"), tree).set_index("sample")
    fitted = classifier(store, model="forest").fit(ids, y)
    np.testing.assert_allclose(ours.loc[ids, "probability"], fitted.predict_proba(ids)[:, 1], rtol=1e-12)
    assert roc_auc_score(y, ours.loc[ids, "probability"]) > 0.7


def test_the_same_training_gives_the_same_digest_in_another_process(store, tmp_path):
    train(store, tmp_path / "here", features="clinical", horizon=HORIZON)
    there = str(tmp_path / "there")
    code = f"from omics.predict import train; train({str(store)!r}, {there!r}, features='clinical', horizon={HORIZON})"
    subprocess.run([sys.executable, "-c", code], check=True)
    assert digest(tmp_path / "here") == digest(there)


def test_a_bundle_holds_no_patient(bundle_path, patients):
    tree = cohort.open(bundle_path)
    text = [v for part in tree.subtree for v in part.to_dataset(inherit=False).variables.values() if v.dtype == object]
    assert any("expression1" in set(array.values.ravel()) for array in text)
    assert not any(set(patients[0]) & set(array.values.ravel()) for array in text)
    assert "P000" not in str(tree.attrs)
    card = load(bundle_path).card
    assert card["patients"] == len(patients[0])
    assert "research use only" in card["intended_use"]


def test_a_changed_bundle_is_refused(bundle_path, tmp_path):
    for victim in ("zarr.json", "classifier/skops/c/0"):
        copy = tmp_path / victim.replace("/", "-")
        shutil.copytree(bundle_path, copy)
        content = bytearray((copy / victim).read_bytes())
        content[len(content) // 2] ^= 1
        (copy / victim).write_bytes(bytes(content))
        with pytest.raises(IntegrityError):
            load(copy)


def test_a_type_that_is_not_ours_is_refused_even_with_a_valid_manifest(store, tmp_path, monkeypatch):
    class Foreign(LogisticRegression):
        pass

    monkeypatch.setitem(MODELS, "foreign", Model(lambda seed: Foreign(), [{}]))
    settings = {"model": "foreign", "features": "clinical", "horizon": HORIZON, "n_inner": 2}
    with pytest.raises(UsageError, match=r"holds types that a bundle may not: .*Foreign"):
        train(store, tmp_path / "model", **settings)
    assert not (tmp_path / "model").exists()
    name = f"{Foreign.__module__}.{Foreign.__qualname__}"
    with monkeypatch.context() as patch:  # as if somebody else had written it
        patch.setattr(frozen, "TRUSTED", (*frozen.TRUSTED, name, f"{Foreign.__module__}.Foreign"))
        train(store, tmp_path / "model", **settings)
    verify(tmp_path / "model", hashes=True)
    with pytest.raises(IntegrityError, match="not ours"):
        load(tmp_path / "model")


# --- what a bundle says of a patient ---------------------------------------------------------------------------------


def test_missing_layers_widen_the_interval_and_the_share_of_features_is_told(bundle_path):
    bundle, new = load(bundle_path), raw_cohort(n=90, seed=5)
    found = predict(bundle, new).set_index("sample")
    assert ((found["lower"] <= found["probability"]) & (found["probability"] <= found["upper"])).all()
    nodes = {part.path: part.to_dataset(inherit=False) for part in new.subtree}
    poor = xr.DataTree.from_dict({path: nodes[path] for path in ("/clinical", "/views/mutation")})
    bare = predict(bundle, poor).set_index("sample")
    assert (bare["upper"] - bare["lower"]).mean() > 2 * (found["upper"] - found["lower"]).mean()
    assert (found["features"] == 1).sum() > 70
    assert (bare["features"] < 0.5).all()
    half = nodes["/views/expression"].isel(feature=slice(0, None, 2))
    fewer = predict(bundle, xr.DataTree.from_dict({**nodes, "/views/expression": half})).set_index("sample")
    assert fewer.loc["P050", "features"] < 1


def test_patients_unlike_the_training_ones_are_flagged(bundle_path):
    bundle, new = load(bundle_path), raw_cohort()
    assert (predict(bundle, new)["outside"] == "").mean() > 0.95
    other = predict(bundle, raw_cohort(seed=5))  # the same features, with another meaning
    assert other["outside"].str.contains("is not reproduced by the factors").mean() > 0.5
    nodes = {part.path: part.to_dataset(inherit=False) for part in new.subtree}
    scaled = nodes["/views/expression"].assign(value=nodes["/views/expression"]["value"] * 8)
    found = predict(bundle, xr.DataTree.from_dict({**nodes, "/views/expression": scaled})).set_index("sample")
    has = scaled.indexes["sample"]
    assert (found.loc[has, "outside"] != "").mean() > 0.9
    clinical = cohort.clinical_table(new).assign(age=170.0, sex="unknown")
    odd = predict(bundle, xr.DataTree.from_dict({**nodes, "/clinical": cohort.from_table(clinical, "sample")}))
    assert odd["outside"].str.contains("age is 170").all()
    assert odd["outside"].str.contains("sex is 'unknown', not seen").all()


@pytest.mark.parametrize(
    "settings",
    [
        {"representation": "loadings", "model": "coxnet"},
        {"representation": "layers", "model": "boosting", "features": "omics"},
        {"features": "clinical", "model": "fine_gray", "endpoint": "event_free", "landmark": 0.2},
    ],
)
def test_every_kind_of_bundle_predicts_as_it_was_trained(store, tree, patients, tmp_path, settings):
    ids, _ = patients
    train(store, tmp_path / "model", horizon=HORIZON, mofa=MOFA, n_inner=2, **settings)
    bundle = load(tmp_path / "model")
    found = predict(bundle, tree).set_index("sample")
    fitted = OutcomeClassifier(store=store, horizon=HORIZON, mofa=MOFA, n_inner=2, **settings)
    question = Question(settings.get("endpoint", "relapse"), HORIZON, settings.get("landmark"))
    outcome = target_of(cohort.clinical_table(cohort.open(store)), list(ids), question).outcome
    expected = fitted.fit(ids, outcome).predict_proba(ids)[:, 1]
    np.testing.assert_allclose(found.loc[ids, "probability"], expected, rtol=1e-9)
    alone = predict(bundle, cohort.select(tree, ["P050"])).set_index("sample")
    assert (
        alone.loc["P050", ["probability", "lower", "upper"]].tolist()
        == found.loc["P050", ["probability", "lower", "upper"]].tolist()
    )
    assert bundle.card["outcome"] == question.meaning


def test_subtypes_travel_in_the_bundle(store, tree, tmp_path):
    with pytest.MonkeyPatch.context() as patch:  # few resamples: how stable subtypes are is not asked here
        patch.setattr("omics.predict.bundle.Subtypes", partial(Subtypes, n_subtypes=2, n_resamples=2, n_null=2))
        train(store, tmp_path / "model", horizon=HORIZON, mofa=MOFA, n_inner=2, subtypes=True)
    found = predict(load(tmp_path / "model"), tree)
    assert found["subtype"].str.fullmatch(r"S\d+").all()
    assert found["subtype_probability"].between(0, 1).all()
    with pytest.raises(UsageError, match="subtypes need factors"):
        train(store, tmp_path / "other", features="clinical", horizon=HORIZON, subtypes=True)
    assert not (tmp_path / "other").exists()


def test_the_card_quotes_the_evaluation_and_fills_tripod(store, tmp_path):
    settings = {"horizon": HORIZON, "mofa": MOFA}
    result = evaluate(store, models=("logistic",), scheme=Scheme(n_folds=2, n_inner=2), n_bootstrap=50, **settings)
    cohort.save(result, tmp_path / "e.zarr", Provenance("evaluation", {}, [store]))
    train(store, tmp_path / "model", evaluation=tmp_path / "e.zarr", n_inner=2, **settings)
    card = load(tmp_path / "model").card
    metrics = cohort.to_table(cohort.node(result, "metrics")).query("features == 'both'").set_index("metric")
    quoted = {row["metric"]: row["estimate"] for row in card["performance"]}
    assert quoted["auc"] == pytest.approx(metrics.loc["auc", "estimate"])
    assert f"auc {quoted['auc']:.3f}" in card["tripod"]["23 model performance"]
    assert card["tripod"]["17 ethical approval"] == "for the author"
    assert f"{card['events']} events" in card["tripod"]["10 sample size"]
    with pytest.raises(UsageError, match="the evaluation asks for"):
        train(store, tmp_path / "no", evaluation=tmp_path / "e.zarr", horizon=3.0, mofa=MOFA)
    cohort.save(result, tmp_path / "other.zarr", Provenance("evaluation", {}, [tmp_path / "e.zarr"]))
    with pytest.raises(UsageError, match="of another cohort"):
        train(store, tmp_path / "no", evaluation=tmp_path / "other.zarr", **settings)


def test_a_representation_of_ones_own_is_evaluated_but_not_frozen(store, tmp_path):
    with pytest.raises(UsageError, match="which a bundle cannot hold"):
        train(store, tmp_path / "model", representation=f"{__name__}:plain", horizon=HORIZON, n_inner=2)
    assert not (tmp_path / "model").exists()


class plain:  # noqa: N801 - named as a user would name a function
    """Mean of each layer."""

    def __init__(self, training: object) -> None:
        pass

    def scores(self, rows: xr.DataTree) -> pd.DataFrame:
        ids = pd.Index(cohort.samples(rows), name="sample")
        view = cohort.node(rows, "views/mutation")
        return pd.DataFrame({"mean": view["value"].mean("feature").to_series().reindex(ids)})
