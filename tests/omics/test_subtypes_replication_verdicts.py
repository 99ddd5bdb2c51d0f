"""What must not be said of a subtype in another cohort: where a test has no power, and where the cohort is no other."""

from __future__ import annotations

import re
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from sklearn.metrics import adjusted_rand_score

from omics.report.replication import shared_warning
from omics.subtypes import Subtypes
from omics.subtypes import replication as room
from omics.subtypes.assignment import assign
from omics.subtypes.matching import withheld
from omics.subtypes.replication import replicate
from tests.omics.test_subtypes_replication import World, factors, fitted

FAR = 12.0


@pytest.fixture(scope="module")
def world() -> World:
    """Subtypes that lie so far apart that cohorts without clusters have few patients near each."""
    return World.of(2, FAR)


@pytest.fixture(scope="module")
def reference(world: World) -> Subtypes:
    return fitted(world.draw(1, 300, without=2)[0], 4)


def with_few(world: World, reference: Subtypes, n: int) -> tuple[xr.Dataset, str]:
    """A cohort with n patients of one subtype, and its name."""
    score, label = world.draw(3, 250, without=2)
    name = assign(reference.model_, factors(score))["nearest"][label == 0].mode()[0]
    return factors(score[[*np.flatnonzero(label != 0), *np.flatnonzero(label == 0)[:n]]]), name


# --- power ----------------------------------------------------------------------------------------------------------


def test_a_subtype_whose_figures_could_not_be_better_does_not_fail(world, reference):
    found = replicate(reference, factors(world.draw(2, 60, without=2)[0]), n_null=39).subtypes
    missed = found[found["p_value"] > 0.05]
    assert len(missed) > 1
    assert (missed["in_group"] == 1).all()
    assert (missed["replicates"] == -1).all()
    said = r"S\d cannot be judged: .* 100 % have .*, but the test has no power, as p could be no less than 0\.\d+"
    assert missed["verdict"].str.match(said).all()


def test_a_cohort_without_clusters_that_has_no_such_group_does_not_speak_for_it(world, reference):
    scores, name = with_few(world, reference, 6)
    row = replicate(reference, scores, n_null=39).subtypes.set_index("subtype").loc[name]
    assert (row["assigned"], row["in_group"], row["replicates"]) == (6, 1, -1)
    said = re.search(r"could be no less than (.*) against the (\d+) cohorts .* that have the group", row["verdict"])
    assert said is not None
    assert float(said[1]) == pytest.approx(row["p_value"], abs=5e-4)
    assert int(said[2]) < 39


def test_subtypes_that_could_not_be_clearer_replicate(world, reference):
    found = replicate(reference, factors(world.draw(4, 250, without=2)[0]), n_null=99)
    assert (found.subtypes["replicates"] == 1).all(), found.subtypes["verdict"].tolist()
    assert found.overall.loc[0, "own_subtypes"] == 4


@pytest.mark.parametrize("kind", ["heavy", "skewed"])
def test_cohorts_without_clusters_of_other_shapes_replicate_nothing(world, reference, kind):
    score = world.draw(1, 300, without=2)[0]
    rng = np.random.default_rng(3)
    drawn = rng.multivariate_normal(np.zeros(score.shape[1]), np.corrcoef(score, rowvar=False), 200)
    shape = drawn / np.sqrt(rng.chisquare(4, 200) / 4)[:, None] if kind == "heavy" else np.exp(0.6 * drawn)
    free = (shape - shape.mean(axis=0)) / shape.std(axis=0) * score.std(axis=0) + score.mean(axis=0)
    found = replicate(reference, factors(free), n_null=39).subtypes
    assert (found["replicates"] == 0).all(), found["verdict"].tolist()


# --- limits ---------------------------------------------------------------------------------------------------------


def test_few_patients_of_the_reference_or_like_them_are_outside_whatever_their_tails(world):
    """Of t distributions with 5 degrees of freedom 8 and 10 % are beyond the 99 % quantile of a Gaussian."""
    score, label = world.draw(1, 2000, without=2)
    centre = np.array([score[label == one].mean(axis=0) if one != 2 else np.zeros(score.shape[1]) for one in range(5)])
    tails = np.sqrt(np.random.default_rng(1).chisquare(5, 2000) / 5)[:, None]
    score = centre[label] + (score - centre[label]) / tails
    fit = fitted(score[:1000], 4)
    own, new = (assign(fit.model_, factors(part))["outside"].mean() for part in (score[:1000], score[1000:]))
    assert max(own, new) < room.MANY_OUTSIDE


def test_a_few_far_away_do_not_move_the_limit(world):
    score = world.draw(1, 300, without=2)[0]
    plain = float(fitted(score, 4).model_["reach"])
    score[:6, :6] += 30.0
    fit = fitted(score, 4)
    assert plain <= float(fit.model_["reach"]) < 1.25 * plain
    assert assign(fit.model_, factors(score))["outside"][:6].all()


def test_a_group_of_one_has_no_p_value(world, reference):
    scores, name = with_few(world, reference, 1)
    row = replicate(reference, scores, n_null=39).subtypes.set_index("subtype").loc[name]
    assert (row["n"], row["in_group"], row["replicates"]) == (1, 0, -1)
    assert np.isnan(row[["p_value", "p_permuted"]].astype(float)).all()


@pytest.mark.parametrize(
    ("changed", "judged", "words"),
    [
        ({}, 1, "S1 replicates"),
        ({"p_value": 0.2}, 0, "but 100 % have their nearest neighbour in it (p = 0.200)"),
        (
            {"p_value": 0.2, "in_group": 0.8, "least_p": 0.06},
            -1,
            "no less than 0.060 against the 150 cohorts",
        ),
        ({"p_value": 0.2, "least_p": 0.06, "prediction_strength": 0.5}, 0, "but prediction strength 0.50"),
        ({"assigned": 4}, 0, "S1 does not: only 4 of 22 patients"),
        ({"assigned": 4, "within": 20}, -1, "of 20 patients within its limit 4 are assigned"),
    ],
)
def test_does_not_is_said_where_something_failed_that_could_have_been_met(changed, judged, words):
    row: dict[str, Any] = {"subtype": "S1", "n": 22, "assigned": 20, "within": 20, "in_group": 1.0, "p_value": 0.01,
                           "least_p": 0.01, "n_free": 150, "prediction_strength": 0.9}  # fmt: skip
    row |= {"within": changed.get("assigned", 20)} | changed
    found = room._verdict(SimpleNamespace(**row), 4, "")
    assert found[0] == judged
    assert words in found[1]


# --- agreement ------------------------------------------------------------------------------------------------------


def test_the_rand_index_is_over_the_assigned(world, reference, monkeypatch):
    score = world.draw(2, 200, without=2)[0]
    score[:150, 6:] += 4.0  # beyond the limit of their subtypes
    own = np.arange(200) % 3
    monkeypatch.setattr(room, "_cluster", lambda *_: (own, ""))
    found = replicate(reference, factors(score), n_null=19)
    assigned = (found.assignment["label"] != "unassigned").to_numpy()
    assert 40 < assigned.sum() < 60
    overall = found.overall.iloc[0]
    assert (overall["n_known"], overall["n_compared"]) == (200, assigned.sum())
    assert overall["ari"] == pytest.approx(adjusted_rand_score(found.assignment["nearest"][assigned], own[assigned]))


@pytest.mark.parametrize(("one_subtype", "n"), [(False, 2), (True, 20)])
def test_too_few_or_one_group_have_no_rand_index(world, reference, one_subtype, n):
    score, label = world.draw(2, 200, without=2)
    order = np.argsort(label != 0, kind="stable") if one_subtype else np.arange(200)
    score = score[order]
    score[n:, 6:] += 8.0
    overall = replicate(reference, factors(score), n_null=19).overall.iloc[0]
    assert n - 2 <= overall["n_compared"] <= n
    assert overall["own_subtypes"] > 1
    assert np.isnan(overall["ari"])
    assert overall["note"].startswith("no adjusted Rand index: ")


# --- patients of the reference --------------------------------------------------------------------------------------


def test_the_patients_of_the_reference_are_no_other_cohort(world, reference):
    score = world.draw(1, 300, without=2)[0]
    found = replicate(reference, factors(score, prefix="R"), n_null=19).subtypes
    assert (found["p_value"] <= 0.05).all()
    assert (found["replicates"] == -1).all()
    said = [f"{name} cannot be judged: 300 of 300 patients are in the reference too" for name in found["subtype"]]
    assert found["verdict"].tolist() == said


def moved(**n: int) -> pd.DataFrame:
    return pd.DataFrame({"from": "S1", "to": list(n), "n": list(n.values()), "patients": "", "stayed": 1.0})


@pytest.mark.parametrize(
    ("moves", "replicates"),
    [
        (None, [1, 0, -1]),
        (moved(), [1, 0, -1]),
        (moved(S1=5), [1, 0, -1]),
        (moved(S1=6, S2=5), [-1, -1, -1]),
        (moved(S2=3), [1, -1, -1]),
        (moved(unassigned=11), [-1, -1, -1]),
    ],
)
def test_a_verdict_is_withheld_where_many_are_shared(moves, replicates):
    table = pd.DataFrame({"subtype": ["S1", "S2", "S3"], "n": [60, 30, 10], "assigned": [55, 20, 2],
                          "replicates": [1, 0, -1], "verdict": "said"})  # fmt: skip
    found = withheld(table, moves)
    assert found["replicates"].tolist() == replicates
    changed = found["replicates"] != table["replicates"]
    assert found["verdict"][changed].str.fullmatch(r"S\d cannot be judged: .* are in the reference too").all()
    assert (found["verdict"][~changed] == "said").all()
    assert table["replicates"].tolist() == [1, 0, -1]
    pd.testing.assert_frame_equal(withheld(found, moves), found)


def test_who_is_shared_is_said_in_a_sentence():
    assert shared_warning(None) == shared_warning(moved()) == ""
    assert shared_warning(moved(S1=1)).startswith("1 patient is in the reference too: ")
    assert shared_warning(moved(S1=1200, S2=1)).startswith("1,201 patients are in the reference too: ")
