"""Known classes: planted ones are found, tiny ones do not crash, probabilities are calibrated, the model abstains."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from scipy.special import softmax

from omics import cohort, read
from omics.artefact import Provenance
from omics.predict import Scheme, evaluate_classes
from omics.predict.classes import _cooled, _deal, _temperature, _threshold
from omics.prepare import prepare
from omics.schema import NODES, DataError, UsageError

MOFA = {"n_factors": 4, "max_iter": 20}


def class_cohort(sizes: dict[str, int], seed: int, distance: float = 4.0) -> xr.DataTree:
    """One layer in which each class has a centre of its own; the last three patients have no class."""
    rng = np.random.default_rng(seed)
    label = np.concatenate([np.repeat(np.array(list(sizes), dtype=object), list(sizes.values())), [None] * 3])
    centres = {name: distance * rng.normal(size=3) for name in sizes}
    z = np.stack([centres.get(name, np.zeros(3)) + rng.normal(size=3) for name in label])
    y = z @ rng.normal(size=(3, 60)) + rng.normal(size=(len(label), 60))
    ids = np.array([f"P{i:03d}" for i in range(len(label))], dtype=object)
    clinical = pd.DataFrame(
        {"subtype": label, "age": rng.uniform(1, 18, len(label))}, index=pd.Index(ids, name="sample")
    )
    view = xr.Dataset(
        {"value": (("sample", "feature"), y.astype(np.float32))},
        {"sample": ids, "feature": np.array([f"g{j}" for j in range(60)], dtype=object)},
        {"kind": "expression", "likelihood": "gaussian", "units": "log2"},
    )
    return xr.DataTree.from_dict({"/clinical": cohort.from_table(clinical, "sample"), "/views/expression": view})


def published(tree: xr.DataTree, path: Path) -> Path:
    cohort.save(prepare(tree, n_features=60), path, Provenance("prepared", {"n_features": 60}))
    return path


def table(result: xr.DataTree, name: str) -> pd.DataFrame:
    found = cohort.to_table(cohort.node(result, name))
    assert list(found.columns) == [variable.name for variable in NODES[name]]
    return found


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> xr.DataTree:
    path = published(class_cohort({"A": 40, "B": 25, "C": 6, "D": 2}, 1), tmp_path_factory.mktemp("c") / "p.zarr")
    return evaluate_classes(
        path, "subtype", models=("logistic", "forest"), mofa=MOFA, scheme=Scheme(n_folds=3, n_inner=2), n_bootstrap=50
    )


def test_planted_classes_are_found_and_tiny_ones_said(result):
    recall = table(result, "class_recall").query("model == 'logistic'").set_index("truth")
    assert recall.loc[["A", "B"], "recall"].min() > 0.9
    assert recall["n"].to_dict() == {"A": 40, "B": 25, "C": 6, "D": 2}
    assert result.attrs["small"] == ["D"]
    assert result.attrs["known"] == 73
    assert table(result, "class_folds")["error"].isna().all()
    metrics = table(result, "class_metrics").query("model == 'logistic'").set_index("metric")
    assert metrics.loc["accuracy", "lower"] > 0.75
    assert metrics.loc["balanced_accuracy_favoured", "estimate"] >= metrics.loc["balanced_accuracy", "estimate"]


def test_every_patient_is_held_out_once_and_unknown_ones_are_not_judged(result):
    predictions = table(result, "class_predictions").query("model == 'logistic'")
    assert predictions["sample"].is_unique
    assert predictions["truth"].isna().sum() == 3
    metrics = table(result, "class_metrics")
    assert (metrics["n"] == 73).all()
    known = predictions.dropna(subset="truth")
    right = (known["truth"] == known["predicted"]).mean()
    assert metrics.query("model == 'logistic' and metric == 'accuracy'")["estimate"].item() == pytest.approx(right)


def test_without_structure_the_model_abstains_or_is_not_sure(tmp_path):
    path = published(class_cohort({"A": 40, "B": 40}, 2, distance=0.0), tmp_path / "p.zarr")
    found = evaluate_classes(path, "subtype", mofa=MOFA, scheme=Scheme(n_folds=3, n_inner=2), n_bootstrap=20)
    predictions = table(found, "class_predictions").dropna(subset="truth")
    assert predictions["abstains"].mean() > 0.7
    metrics = table(found, "class_metrics").set_index("metric")["estimate"]
    assert abs(metrics["overconfidence"]) < 0.15
    assert metrics["log_loss"] < 0.8  # of two classes, not to know is 0.69


def test_the_temperature_undoes_overconfidence():
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(3000, 4)) * 1.5
    truth = pd.Series([rng.choice(4, p=p) for p in softmax(logits, axis=1)]).map(lambda k: f"c{k}")
    sharp = pd.DataFrame(softmax(3 * logits, axis=1), columns=[f"c{k}" for k in range(4)])
    temperature = _temperature(sharp, truth)
    assert temperature == pytest.approx(3.0, rel=0.1)
    cooled = _cooled(sharp, temperature)
    assert cooled.max(axis=1).mean() == pytest.approx((cooled.idxmax(axis=1) == truth).mean(), abs=0.03)


def test_the_threshold_reaches_the_accuracy_and_no_more():
    sure = np.linspace(0.99, 0.5, 100)
    probability = pd.DataFrame({"a": sure, "b": 1 - sure})
    truth = pd.Series(np.where(np.arange(100) < 60, "a", "b"))
    threshold = _threshold(probability, truth, 0.9)
    answered = probability["a"] >= threshold
    assert (truth[answered] == "a").mean() >= 0.9
    assert answered.sum() == 66  # 60 right of 66
    assert _threshold(probability, pd.Series(["b"] * 100), 0.9) > 1.0


def test_even_two_patients_part_and_a_group_stays_together():
    label = pd.Series(["a"] * 10 + ["b"] * 2, index=[f"P{i}" for i in range(12)])
    fold = _deal(label, None, 5, np.random.default_rng(0))
    assert fold[10] != fold[11]
    assert np.bincount(fold, minlength=5).max() - np.bincount(fold, minlength=5).min() <= 1
    group = pd.Series([f"G{i // 2}" for i in range(12)], index=label.index)
    fold = _deal(label, group, 3, np.random.default_rng(0))
    assert all(fold[i] == fold[i + 1] for i in range(0, 12, 2))


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"column": "karyotype"}, DataError, "no clinical column 'karyotype'"),
        ({"column": "age"}, DataError, "of them with two patients or more"),
        ({"models": ("coxnet",)}, UsageError, "predicts times"),
        ({"representations": ("screened",)}, UsageError, "two classes"),
        ({"scheme": Scheme(leave_out="subtype")}, UsageError, "by folds"),
    ],
)
def test_what_cannot_be_classified_is_refused(tmp_path, arguments, error, message):
    path = published(class_cohort({"A": 10, "B": 10}, 3), tmp_path / "p.zarr")
    with pytest.raises(error, match=message):
        evaluate_classes(**{"store": path, "column": "subtype", "mofa": MOFA, **arguments})


@pytest.mark.slow
@pytest.mark.shared
def test_real_subtypes_with_classes_of_six_and_two(shared_data, tmp_path):
    folder = shared_data / "ball_methylation"
    sources = read.Sources(methylation=folder / "methylation_beta.tsv.gz", clinical=folder / "clinical.tsv")
    read.ingest(tmp_path / "c.zarr", sources, clinical_columns={"subtype": "Subtype_updated"})
    path = published(cohort.open(tmp_path / "c.zarr"), tmp_path / "p.zarr")
    found = evaluate_classes(path, "subtype", mofa={"n_factors": 15}, n_bootstrap=100)
    recall = table(found, "class_recall").set_index("truth")
    assert recall["n"].to_dict() == {
        "B-other": 94, "high hyperdiploid": 73, "ETV6::RUNX1": 52, "TCF3::PBX1": 6, "KMT2A-r": 2
    }  # fmt: skip
    assert recall.loc[["ETV6::RUNX1", "high hyperdiploid"], "recall"].min() > 0.75
    metrics = table(found, "class_metrics").set_index("metric")
    assert metrics.loc["accuracy", "lower"] > 0.7
    assert abs(metrics.loc["overconfidence", "estimate"]) < 0.1
    assert metrics.loc["accuracy_answered", "estimate"] > 0.85
    assert found.attrs["small"] == ["KMT2A-r"]
