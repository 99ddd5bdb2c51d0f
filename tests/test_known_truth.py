"""On simulated cohorts the program finds what was planted, and on a null cohort nothing."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pandas as pd
import pytest
from sklearn.metrics import adjusted_rand_score

from omics import cohort, predict
from omics.artefact import Provenance
from omics.outcome import auc, compare
from omics.predict.learning import target_of
from omics.prepare import prepare
from omics.simulate import CLINICAL_COLUMNS, simulate
from pipelines import config, steps

DEMO = Path(config.__file__).parent / "configs" / "demo.toml"
SETTINGS = tomllib.loads(DEMO.read_text(encoding="utf-8"))
SEED = SETTINGS["seed"]


def ingested(folder: Path, **sizes: object) -> Path:
    """Cohort of the simulated files."""
    files = simulate(folder / "data", seed=SEED, **sizes)
    names = {name: files[name] for name in SETTINGS["ingest"]}
    steps.ingest(folder / "cohort.zarr", config.Ingest(**names), CLINICAL_COLUMNS)
    return folder


def clustered(folder: Path) -> Path:
    """The first steps of ``omics demo``, with its settings and fewer cluster-free data sets."""
    quick = config.Subtypes(**{**SETTINGS["subtypes"], "null_sets": 39})
    steps.prepare(folder / "cohort.zarr", folder / "prepared.zarr", config.Prepare(**SETTINGS["prepare"]))
    steps.factors(folder / "prepared.zarr", folder / "factors.zarr", config.Factors(**SETTINGS["factors"]), seed=SEED)
    steps.subtypes(folder / "factors.zarr", folder / "subtypes.zarr", quick, seed=SEED)
    return folder


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return clustered(ingested(tmp_path_factory.mktemp("planted")))


@pytest.fixture(scope="module")
def null(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return clustered(ingested(tmp_path_factory.mktemp("null"), null=True))


def truth_of(folder: Path) -> pd.DataFrame:
    return pd.read_csv(folder / "data" / "truth" / "patients.tsv", sep="\t", index_col="patient")


def test_planted_subtypes_and_their_relapse_are_found(planted):
    tree = cohort.open(planted / "subtypes.zarr")
    found = cohort.node(tree, "subtypes")["label"].to_series()
    truth = truth_of(planted)["subtype"][found.index]
    assert adjusted_rand_score(truth, found) >= 0.9
    tests = cohort.to_table(cohort.node(tree, "tests")).set_index("endpoint")["p_value"]
    assert tests["relapse"] < 0.05
    assert tests["event_free"] < 0.05
    # subtypes found tell about relapse what the planted ones do
    _, planted_tests = compare(cohort.clinical_table(tree), truth)
    gray = planted_tests.set_index("endpoint").loc["relapse", "p_value"]
    assert gray < 0.05


def test_factors_recover_the_planted_ones(planted):
    scores = cohort.node(cohort.open(planted / "factors.zarr"), "factors")["score"].to_pandas()
    resistance = truth_of(planted)["resistance"][scores.index]
    assert scores.corrwith(resistance).abs().max() > 0.9


def test_nothing_is_found_where_nothing_is(null):
    tree = cohort.open(null / "subtypes.zarr")
    assert set(cohort.node(tree, "subtypes")["label"].values) == {"S1"}
    assert cohort.to_table(cohort.node(tree, "tests")).empty


@pytest.mark.slow
def test_no_prediction_on_the_null_cohort(null):
    settings = config.Evaluate(**SETTINGS["evaluate"])
    steps.evaluate(null / "prepared.zarr", null / "evaluation.zarr", settings, seed=SEED)
    metrics = cohort.to_table(cohort.node(cohort.open(null / "evaluation.zarr"), "metrics")).query("metric == 'auc'")
    assert len(metrics) == 9  # two models, and the best of them by the inner folds
    assert (metrics["lower"] <= 0.5).all()
    assert (metrics["upper"] >= 0.5).all()


@pytest.mark.slow
def test_intervals_cover_the_truth_of_the_population(tmp_path):
    """The truth: how a model trained on the same 360 patients does on 3,000 others of the same population."""
    folder = ingested(tmp_path, n_patients=3360)
    everyone = cohort.open(folder / "cohort.zarr")
    ids = pd.Index(truth_of(folder).index)  # the first patients are those of the default cohort
    parameters = config.parameters(config.Prepare(**SETTINGS["prepare"]))
    store = folder / "prepared.zarr"
    cohort.save(prepare(cohort.select(everyone, ids[:360]), **parameters), store, Provenance("prepared", parameters))
    settings = config.Evaluate(**SETTINGS["evaluate"])
    steps.evaluate(store, folder / "evaluation.zarr", settings, seed=SEED)
    metrics = cohort.to_table(cohort.node(cohort.open(folder / "evaluation.zarr"), "metrics"))
    metrics = metrics.query("metric == 'auc' and model == 'logistic'").set_index("features")
    others = cohort.select(everyone, ids[360:])
    asked = {name: getattr(settings, name) for name in ("endpoint", "horizon", "landmark")}
    target = target_of(cohort.clinical_table(others), ids[360:], predict.Question(**asked))
    for features, row in metrics.iterrows():
        model = folder / f"model-{features}"
        mofa = {"n_factors": settings.n_factors}
        predict.train(store, model, features=str(features), mofa=mofa, random_state=SEED, **asked)
        predicted = predict.predict(predict.load(model), others).set_index("sample")["probability"][ids[360:]]
        true = auc(target.outcome, predicted, target.weight)
        assert row["lower"] <= true <= row["upper"], f"{features}: {true} outside of {row['lower']} to {row['upper']}"
