"""The prediction room: no leak, scikit-learn drives it, bundles are frozen."""

from __future__ import annotations

import shutil
import subprocess
import sys
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
from omics.artefact import Provenance, digest, verify
from omics.predict import MODELS, Model, OutcomeClassifier, Question, Scheme, evaluate, frozen, load, predict, train
from omics.predict.learning import target_of
from omics.prepare import prepare
from omics.schema import DataError, IntegrityError, UsageError

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


def publish_prepared(tree: xr.DataTree, path: Path) -> Path:
    parameters = {"n_features": 40}
    cohort.save(prepare(tree, **parameters), path, Provenance("prepared", parameters))
    return path


@pytest.fixture(scope="module")
def tree() -> xr.DataTree:
    return raw_cohort()


@pytest.fixture(scope="module")
def store(tree: xr.DataTree, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return publish_prepared(tree, tmp_path_factory.mktemp("predict") / "prepared.zarr")


@pytest.fixture(scope="module")
def patients(store: Path) -> tuple[np.ndarray, np.ndarray]:
    prepared = cohort.open(store)
    ids = cohort.samples(prepared)
    return ids, target_of(cohort.clinical_table(prepared), list(ids), Question(horizon=HORIZON)).outcome


def classifier(store: Path, **parameters: object) -> OutcomeClassifier:
    return OutcomeClassifier(**{"store": store, "horizon": HORIZON, "mofa": MOFA, "n_inner": 2, **parameters})


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
    noisy = publish_prepared(with_noise_rows(tree, held), tmp_path / "noisy.zarr")
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
    result = evaluate(
        store,
        horizon=HORIZON,
        models=("logistic",),
        mofa=MOFA,
        n_bootstrap=50,
        random_state=7,
        scheme=Scheme(n_folds=3, n_inner=2),
    )
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
    result = evaluate(
        store, horizon=HORIZON, models=("logistic",), mofa=MOFA, n_bootstrap=200, scheme=Scheme(n_folds=3, n_inner=2)
    )
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
    result = evaluate(
        store,
        horizon=HORIZON,
        models=("logistic",),
        mofa=MOFA,
        n_bootstrap=50,
        scheme=Scheme(n_folds=3, n_inner=2, n_repeats=2),
    )
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
            result = evaluate(
                store,
                horizon=HORIZON,
                models=("logistic",),
                mofa=MOFA,
                n_bootstrap=20,
                scheme=Scheme(n_folds=2, n_inner=2),
            )
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
    result = evaluate(
        store,
        horizon=HORIZON,
        models=("logistic", "broken"),
        mofa=MOFA,
        n_bootstrap=20,
        scheme=Scheme(n_folds=2, n_inner=2),
    )
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
    result = evaluate(
        store, horizon=HORIZON, models=("picky",), mofa=MOFA, n_bootstrap=20, scheme=Scheme(n_folds=2, n_inner=2)
    )
    metrics = cohort.to_table(cohort.node(result, "metrics")).query("metric == 'auc'").set_index("features")["estimate"]
    assert metrics.notna().to_dict() == {"clinical": True, "omics": True, "both": False}
    gaps = cohort.to_table(cohort.node(result, "differences")).set_index("comparison")["estimate"]
    assert gaps.notna().to_dict() == {"both - clinical": False, "omics - clinical": True, "both - omics": False}


def test_one_class_is_refused(tree, tmp_path):
    clinical = cohort.clinical_table(tree).assign(event=0.0)
    nodes = {f"/views/{n}": cohort.node(tree, f"views/{n}") for n in ("expression", "methylation", "mutation")}
    path = publish_prepared(
        xr.DataTree.from_dict({"/clinical": cohort.from_table(clinical, "sample"), **nodes}), tmp_path / "p.zarr"
    )
    with pytest.raises(DataError, match="0 events"):
        evaluate(path, horizon=HORIZON, mofa=MOFA)
    with pytest.raises(DataError, match="0 events"):
        train(path, tmp_path / "model", horizon=HORIZON, mofa=MOFA)
    assert not (tmp_path / "model").exists()


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
        store = publish_prepared(raw_cohort(n=120, seed=100 + seed, effect=0.0), tmp_path / f"{seed}.zarr")
        result = evaluate(
            store,
            horizon=HORIZON,
            models=("logistic",),
            mofa=MOFA,
            n_bootstrap=300,
            scheme=Scheme(n_folds=3, n_inner=2),
        )
        metrics = cohort.to_table(cohort.node(result, "metrics")).query("metric == 'auc' and features == 'omics'")
        covered.append(bool(((metrics["lower"] <= 0.5) & (metrics["upper"] >= 0.5)).all()))
    assert sum(covered) >= 10


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
