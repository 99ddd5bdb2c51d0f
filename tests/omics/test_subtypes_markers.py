"""Marker features: what is planted is ranked first, and panels are judged on patients on whom they were not chosen."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from omics import cohort
from omics.schema import check
from omics.subtypes import markers, panels


@pytest.fixture(scope="module")
def made() -> tuple[dict[str, pd.DataFrame], pd.Series]:
    """Three subtypes; two features of each layer tell each, the others nothing."""
    rng = np.random.default_rng(3)
    n = 150
    ids = np.array([f"P{i:03d}" for i in range(n)], dtype=object)
    label = pd.Series(np.array(["S1", "S2", "S3"], dtype=object)[rng.choice(3, n, p=[0.5, 0.3, 0.2])], ids)
    layers = {}
    for name, size in (("expression", 60), ("methylation", 80)):
        x = rng.normal(size=(n, size))
        for k in range(3):
            x[label == f"S{k + 1}", 2 * k : 2 * k + 2] += 3
        keep = rng.random(n) > (0.2 if name == "methylation" else 0)
        layers[name] = pd.DataFrame(x[keep], ids[keep], [f"{name}{j}" for j in range(size)])
    return layers, label


def test_planted_markers_are_ranked_first(made):
    table = markers(*made, n=4)  # the markers of a large subtype tell the others too, by their absence
    check(cohort.from_table(table), "markers", where="markers")
    for (subtype, layer), rows in table.groupby(["subtype", "layer"]):
        k = int(subtype[1]) - 1
        planted = {f"{layer}{2 * k}", f"{layer}{2 * k + 1}"}
        assert planted < set(rows["feature"])
        assert rows.loc[rows["rank"] == 1, "feature"].iloc[0] in planted


def test_figures_of_a_marker_equal_their_definition(made):
    layers, label = made
    row = markers(layers, label, n=1).iloc[0]
    x, inside = layers[row["layer"]][row["feature"]], label[layers[row["layer"]].index]
    assert row["auc"] == pytest.approx(roc_auc_score(inside == row["subtype"], x))
    within = np.sqrt(sum(((x[inside == k] - x[inside == k].mean()) ** 2).sum() for k in set(inside)) / (len(x) - 3))
    ours = inside == row["subtype"]
    assert row["difference"] == pytest.approx((x[ours].mean() - x[~ours].mean()) / within)
    assert row["n"] == ours.sum()


def test_order_and_gaps_do_not_matter(made):
    layers, label = made
    table = markers(layers, label)
    shuffled = {name: one.sample(frac=1, random_state=1) for name, one in layers.items()}
    pd.testing.assert_frame_equal(markers(shuffled, label[::-1]), table)
    holed = {name: one.mask(np.random.default_rng(0).random(one.shape) < 0.02) for name, one in layers.items()}
    again = markers(holed, label, n=4)
    assert set(again["feature"]) == set(table[table["rank"] <= 4]["feature"])


def test_a_small_panel_tells_the_subtypes(made):
    table = panels(*made).set_index(["layer", "per_subtype"])
    check(cohort.from_table(table.reset_index()), "panels", where="panels")
    assert set(table.index.get_level_values("layer")) == {"expression", "methylation", "all"}
    assert (table.xs(2, level="per_subtype")["balanced_accuracy"] > 0.9).all()
    assert table.loc[("all", 2), "n"] == len(made[0]["methylation"])


def test_a_panel_of_noise_is_not_better_than_chance(made):
    label = made[1]
    rng = np.random.default_rng(7)
    found = []
    for _ in range(12):
        dealt = pd.Series(rng.permutation(label.to_numpy()), label.index)
        noise = {"expression": pd.DataFrame(rng.normal(size=(150, 2000)), label.index).rename(columns=str)}
        found.append(panels(noise, dealt, sizes=(5,))["balanced_accuracy"][0])
    assert np.mean(found) == pytest.approx(1 / 3, abs=0.04)  # chosen outside the folds, it would be above 0.6


def test_one_subtype_has_no_markers_and_one_patient_no_panel(made):
    layers, label = made
    assert markers(layers, pd.Series("S1", label.index)).empty
    assert panels(layers, pd.Series("S1", label.index)).empty
    alone = label.where(label.index != "P000", "S9")
    expected = panels(layers, label.drop("P000"))
    pd.testing.assert_frame_equal(panels(layers, alone), expected)


def test_labels_may_be_numbers_and_some_missing(made):
    layers, label = made
    number = label.map({"S1": 1.0, "S2": 2.0, "S3": 3.0}).where(label.index != "P001")
    known = label.drop("P001").map({"S1": "1.0", "S2": "2.0", "S3": "3.0"})
    pd.testing.assert_frame_equal(markers(layers, number, n=3), markers(layers, known, n=3))
    pd.testing.assert_frame_equal(panels(layers, number, sizes=(2,)), panels(layers, known, sizes=(2,)))
