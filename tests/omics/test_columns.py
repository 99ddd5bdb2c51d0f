"""What columns are by name and values, and the order of names."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from omics.columns import (
    MOST_LEVELS,
    as_levels,
    in_order,
    is_categorical,
    is_entity,
    is_numeric,
    is_outcome,
    is_technical,
    is_text,
)

KINDS = {
    "text": (pd.Series(["a", "b"], dtype=object), True, False, True),
    "strings": (pd.Series(["a", "b"], dtype="string"), True, False, True),
    "category": (pd.Series(pd.Categorical(["a", "b"])), True, False, True),
    "category of numbers": (pd.Series(pd.Categorical([1, 2])), True, False, True),
    "booleans": (pd.Series([True, False]), False, True, True),
    "nullable booleans": (pd.Series([True, False], dtype="boolean"), False, True, True),
    "0 and 1": (pd.Series([0.0, 1.0]), False, True, True),
    "numbers": (pd.Series([0.0, 1.5]), False, True, False),
    "nullable integers": (pd.Series([1, 2], dtype="Int64"), False, True, False),
    "dates": (pd.Series(pd.to_datetime(["2020-01-01", "2020-01-02"])), False, False, False),
}


@pytest.mark.parametrize(("column", "text", "numeric", "categorical"), KINDS.values(), ids=KINDS)
def test_kind_of_a_column_by_its_values(column, text, numeric, categorical):
    assert (is_text(column), is_numeric(column)) == (text, numeric)
    assert is_categorical("age", column) == categorical
    assert is_categorical("batch", column), "a number of a batch is a name"


def test_names_of_columns_tell_what_they_are():
    assert all(map(is_technical, ("site", "Batch", "methylation_batch", "plate_id", "tissue source site", "group")))
    assert not any(map(is_technical, ("risk_group", "subtype", "age_group", "site_of_relapse", "id", "websites")))
    assert all(map(is_outcome, ("event", "Death", "second_event_time", "refractory")))
    assert not any(map(is_outcome, ("age", "mrd", "wbc", "time_zone")))
    assert all(map(is_entity, ("FAB", "karyotype", "clinical_subtype", "known fusion")))
    assert not any(map(is_entity, ("wbc_at_diagnosis", "year of diagnosis", "subtype_score", "mrd", "")))


def test_details_of_an_event_are_outcomes_wherever_it_was():
    told = ("relapse_site", "relapse_date", "Remission", "site of relapse", "date_of_death", "days_to_relapse")
    assert all(map(is_outcome, told))
    assert not any(map(is_technical, told))
    assert is_categorical("relapse_site", pd.Series([1, 2, 3])), "a number of a site is a name"
    handled = ("site", "treatment_site", "sequencing_site", "relapse_batch", "relapse_protocol", "death_study")
    assert all(map(is_technical, handled))
    assert not any(
        map(is_outcome, (*handled, "timepoint", "sample_type", "date", "relapse_risk", "event_free_mrd", ""))
    )


@pytest.mark.parametrize("column", ["fab", "Cytogenetic_Code", "karyotype", "clinical_subtype"])
def test_few_whole_numbers_name_disease_entities(column):
    codes = pd.Series(np.arange(2.0 * MOST_LEVELS) % MOST_LEVELS)
    assert is_categorical(column, codes)
    assert is_categorical(column, codes.astype("Int64"))
    assert not is_categorical(column, codes + 0.5)
    assert not is_categorical(column, pd.Series(np.arange(MOST_LEVELS + 1)))
    assert not any(is_categorical(name, codes) for name in ("mrd", "age", "wbc", "age_at_diagnosis", "risk"))


def test_levels_are_text_and_whole_numbers_have_no_decimals():
    assert as_levels(pd.Series([1.0, 2.0, 10.0])).tolist() == ["1", "2", "10"]
    assert as_levels(pd.Series([1.0, 2.5])).tolist() == ["1.0", "2.5"]
    assert as_levels(pd.Series([True, False])).tolist() == ["True", "False"]
    levels = as_levels(pd.Series([" b", "", "a ", "  "], index=list("wxyz")))
    assert levels.to_dict() == {"w": "b", "y": "a"}


def test_names_are_sorted_as_people_do():
    assert in_order(["S10", "S2", "B-other", "10", "9"]) == ["9", "10", "B-other", "S2", "S10"]
    assert in_order(pd.Index([10, 9])) == ["9", "10"]
    assert in_order(f"S{k}-{part}" for k in (11, 2) for part in "ba") == ["S2-a", "S2-b", "S11-a", "S11-b"]


def test_order_of_names_does_not_depend_on_the_order_given():
    names = ["S1", "S01", "S001", "S٢", "S2", "s2", "", "S", "S1a", "1S", "٣"]  # Arabic digits are digits too
    expected = in_order(names)
    for seed in range(20):
        shuffled = [names[k] for k in np.random.default_rng(seed).permutation(len(names))]
        assert in_order(shuffled) == expected
    assert expected.index("S1") < expected.index("S01") < expected.index("S001") < expected.index("S2")


def test_sorting_by_number_is_sorting_padded_names():
    rng = np.random.default_rng(0)
    names = [f"{'ABC'[rng.integers(3)]}{rng.integers(3000)}-{rng.integers(20)}" for _ in range(200)]

    def padded(name: str) -> str:
        head, tail = name.split("-")
        return f"{head[0]}{head[1:]:0>6}-{tail:0>6}"

    assert in_order(names) == sorted(names, key=padded)
