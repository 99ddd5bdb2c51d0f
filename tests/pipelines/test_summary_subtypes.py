"""Subtypes in words: what was adjusted for, what was left out, and why there is no structure."""

from __future__ import annotations

import numpy as np
import pytest

from omics.subtypes import Subtypes
from pipelines import summary_subtypes
from tests.omics.test_subtypes import QUICK, factors


@pytest.mark.parametrize(
    ("row", "said"),
    [
        (
            {"left_out": "subtype: it fails with it; nci_risk (one value); 3 of 9 patients (a covariate is missing)"},
            "p = 0.03 beside mrd, age (subtype left out: it fails with it; nci_risk left out: one value) (5 events "
            "of 9 patients)",
        ),
        (
            {"remark": "5 events for 5 parameters: fewer than 5 for each; nothing of interest"},
            "p = 0.03 beside mrd, age (5 events of 9 patients); beware: 5 events for 5 parameters: fewer than 5 for "
            "each",
        ),
        (
            {"p_value": np.nan, "covariates": "", "left_out": "a (one value)",
             "remark": "not fitted: no covariate is left to adjust for: a (one value)"},
            "not tested (5 events of 9 patients); not fitted: no covariate is left to adjust for: a (one value)",
        ),
        (
            {"remark": "dropped for fewer than 5 events per parameter: wbc"},
            "p = 0.03 beside mrd, age (5 events of 9 patients); dropped for fewer than 5 events per parameter: wbc; "
            "name the most important first (--covariates): the last are dropped first",
        ),
        (
            {"strata": "site",
             "remark": "subtype: A, B pooled as other; dropped for fewer than 5 events per parameter: wbc"},
            "p = 0.03 beside mrd, age, site (5 events of 9 patients); subtype: A, B pooled as other; dropped for fewer "
            "than 5 events per parameter: wbc; name the most important first (--covariates): the last are dropped "
            "first (site stays: strata take no events)",
        ),
    ],
)  # fmt: skip
def test_the_sentence_names_what_was_not_adjusted_for_and_warns(row, said):
    given = {"endpoint": "relapse", "model": "cox", "adjusted": 1, "p_value": 0.03, "n": 9, "events": 5,
             "covariates": "mrd, age", "strata": "", "left_out": "", "remark": np.nan} | row  # fmt: skip
    assert summary_subtypes._beside_what_is_known([given]) == {"beside_what_is_known": [f"relapse: {said}"]}


@pytest.mark.parametrize(
    ("p_value", "weakest", "said"),
    [
        (0.2, 0.8, "(p = 0.2)"),
        (0.03, 0.8, "(p = 0.03; of clusters as little stable as these p <= 0.025 is asked)"),
        (
            0.02,
            0.6,
            "(p = 0.02; of clusters as little stable as these p <= 0.01 is asked, for which it takes 99 cluster-free "
            "data sets (--null-sets))",
        ),
        (0.03, 0.4, "(p = 0.03)"),  # no p-value would be small enough: a cluster dissolves
    ],
)
def test_no_structure_tells_which_level_was_asked(p_value, weakest, said):
    one = Subtypes(**QUICK | {"max_subtypes": 2}).fit(factors(np.random.default_rng(1).normal(size=(60, 3))))
    assert one.n_subtypes_ == 1
    one.p_value_ = p_value
    one.stability_ = one.stability_.assign(weakest=("n_subtypes", [weakest]), p_value=("n_subtypes", [0.01]))
    assert summary_subtypes.subtypes(one.to_tree())["in_words"].endswith(said)


def test_a_number_that_was_asked_for_is_called_so():
    asked = Subtypes(n_subtypes=1, n_resamples=2, n_null=1).fit(factors(np.random.default_rng(1).normal(size=(60, 3))))
    assert summary_subtypes.subtypes(asked.to_tree())["in_words"] == "one group was asked for"
