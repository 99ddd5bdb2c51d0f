"""Methods text and TRIPOD+AI sheet: what is recorded, with its numbers, and no word on what is not."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import xarray as xr

from omics.report.prose import REFERENCES, methods
from omics.report.reading import Artefacts
from omics.report.tripod import AUTHORS, ITEMS, answers, tripod_section
from tests.interpreted import make_interpretation

Trees = dict[str, Any]
#: Sub-items of the 27 items of Collins et al. 2024; an item without letters has one.
LETTERS = {3: "abc", 5: "ab", 6: "abc", 8: "abc", 9: "abc", 12: "abcdefg", 18: "abcdef", 20: "abc", 23: "ab", 27: "abc"}


@pytest.fixture
def given(trees: Trees) -> tuple[Artefacts, dict[str, Any]]:
    prepared = trees["cohort"].copy()
    prepared.attrs["recipe"] = (
        '[{"step": "DropMissing", "max_missing": 0.15}, {"step": "TopVariance", "n_features": 4321}, '
        '{"step": "Mine", "depth": 3}]'
    )
    evaluation = trees["evaluation"].copy()
    evaluation.attrs |= {"question": "relapse within 4 years", "n_folds": 7, "n_repeats": 2, "patients": 180,
                         "known": 170, "events": 41}  # fmt: skip
    subtypes = trees["subtypes"].copy()
    subtypes.attrs["subtypes"] = (
        '{"algorithm": "mixture", "n_subtypes": null, "max_subtypes": 9, "n_resamples": 60, "n_null": 33, '
        '"p_value": 0.021, "number_shares": {}}'
    )
    manifests = {
        **trees["manifests"],
        "evaluation": {"parameters": {"n_inner": 6, "group_by": "site", "seed": 11}, "digest": "aa" * 32},
        "model": {"digest": "bb" * 32, "run": {"versions": {"omics-all": "0.1.0"}}},
    }
    return Artefacts(trees["cohort"], prepared, trees["factors"], subtypes, evaluation), manifests


def test_methods_say_the_settings_that_were_used(given: tuple[Artefacts, dict[str, Any]]) -> None:
    words = "\n".join(methods(*given)).replace("\N{NO-BREAK SPACE}", " ")
    for said in (
        "lacking more than 15 % of their values", "the 4,321 features of largest variance", "the step Mine was applied "
        "(depth = 3)", "fitted by mofapy2", "Factors asked for: 8; in the model: 8",
        "up to 9, was chosen by stability over 60 subsamples", "against 33 data sets without clusters",
        "4 subtypes (p = 0.021 against no structure)", "relapse within 4 years",
        "7 outer folds, 6 inner folds, 2 repeats", "no group of 'site' divided",
        "Of 180 patients, the outcome at the horizon was known in 170, of whom 41",
        "Gray's test", "regression were apart by site",
        "dealing the outcomes out anew 19 times", "passed 2 of 2 checks", "numpy 2.1", "evaluation 11",
    ):  # fmt: skip
        assert said in words, said


def test_methods_say_of_an_interpretation_what_it_holds(given: tuple[Artefacts, dict[str, Any]]) -> None:
    artefacts, manifests = given
    label = artefacts.subtypes["subtypes"]["label"].to_series()  # type: ignore[index]
    tree = make_interpretation(label)
    whole = replace(artefacts, interpretation=tree)
    said = "\n".join(methods(whole, {**manifests, "interpretation": {"parameters": {"adjust": ["site"]}}}))
    assert "by moderated t, adjusted for site (Smyth 2004)" in said
    assert "Smyth GK. Linear models" in said
    without = tree.drop_nodes([name for name in tree.children if name != "associations"])
    fewer = "\n".join(methods(replace(artefacts, interpretation=without), manifests))
    assert "moderated t" not in fewer
    assert "Benjamini and Hochberg 1995" in fewer


def test_every_citation_is_listed_and_nothing_else(given: tuple[Artefacts, dict[str, Any]]) -> None:
    paragraphs = methods(*given)
    at = paragraphs.index("References")
    cited = {key for key in REFERENCES if any(key in text for text in paragraphs[:at])}
    assert [REFERENCES[key] for key in sorted(cited)] == paragraphs[at + 1 :]
    names = r"[A-Z][a-z]+(?: and [A-Z][a-z]+| et al\.)? (?:19|20)\d\d"
    assert set(re.findall(names, " ".join(paragraphs[:at]))) == cited
    assert len(cited) >= 8


def test_methods_are_silent_on_what_was_not_done(trees: Trees) -> None:
    words = " ".join(methods(Artefacts(factors=trees["factors"]), {}))
    assert "factor analysis" in words
    for word in ("cluster", "subtype", "cross-validation", "Gray", "Kaplan", "Software", "seed", "Riley"):
        assert word not in words
    assert methods(Artefacts(), {}) == []


def test_no_structure_and_a_number_given_beforehand(trees: Trees, make_trees: Callable[..., Trees]) -> None:
    one = make_trees(60, names=["S1"])["subtypes"]
    assert "one group, that is, no structure" in " ".join(methods(Artefacts(subtypes=one), {}))
    fixed = trees["subtypes"].copy()
    fixed.attrs["subtypes"] = '{"n_subtypes": 4}'
    words = " ".join(methods(Artefacts(subtypes=fixed), {}))
    assert "The number of subtypes, 4, was given beforehand." in words
    assert "chosen by stability" not in words


def test_the_sheet_has_every_item_once() -> None:
    expected = [f"{i}{letter}" for i in range(1, 28) for letter in LETTERS.get(i, " ")]
    assert [item.number for item in ITEMS] == [number.strip() for number in expected]


def test_the_sheet_answers_only_what_is_recorded(given: tuple[Artefacts, dict[str, Any]]) -> None:
    said = answers(*given)
    assert "relapse within 4 years" in said["8a"]
    assert "7 outer folds, 6 inner folds" in said["12a"].replace("\N{NO-BREAK SPACE}", " ")
    assert "site" in said["12d"]
    assert "needed 640" in said["10"]
    assert "0.71 (0.63 to 0.78)" in said["23a"]
    assert "bbbbbbbbbbbb" in said["22"]
    assert not {"2", "3a", "5b", "6b", "14", "17", "18a", "19", "25", "26"} & set(said)
    bare = answers(Artefacts(evaluation=given[0].evaluation), {})
    assert not {"7", "11", "12d", "18f", "20b", "22"} & set(bare)
    section = tripod_section(*given)
    assert section is not None
    rows = {str(row[0]): str(row[3]) for row in section.parts[1].rows}
    assert {number for number, text in rows.items() if text == AUTHORS} == {i.number for i in ITEMS} - set(said)


def test_no_sheet_without_a_prediction(trees: Trees) -> None:
    assert tripod_section(Artefacts(subtypes=trees["subtypes"]), {}) is None


def test_hostile_settings_are_text_on_one_line(trees: Trees) -> None:
    evaluation = trees["evaluation"].copy()
    evaluation.attrs |= {
        "question": "a\nb\x1b[31m",
        "clinical_variables": np.array(["x\ty", "</script>"], dtype=object),
    }
    tree = xr.DataTree.from_dict({part.path: part.to_dataset(inherit=False) for part in evaluation.subtree})
    words = " ".join(methods(Artefacts(evaluation=tree), {}))
    assert not re.search(r"[\x00-\x1f]", words)
    assert "x y and </script>" in words
