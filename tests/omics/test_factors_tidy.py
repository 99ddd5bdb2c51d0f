"""Long tables of a factor model."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

from omics.factors.tidy import tidy
from omics.schema import DataError, UsageError, view_names
from tests.models import VIEWS, K, make_tree


def test_tidy_tables_hold_every_number_once():
    tree = make_tree()
    factors = tidy(tree, "factors")
    assert list(factors) == ["sample", "group", "factor", "score", "score_sd"]
    wide = factors.pivot(index="sample", columns="factor", values="score")
    np.testing.assert_array_equal(wide, tree["factors"]["score"])
    assert (factors.groupby("sample")["group"].first() == tree["factors"]["group"].to_series()).all()
    weights = tidy(tree, "weights")
    assert list(weights) == ["view", "feature", "gene", "factor", "weight"]
    assert len(weights) == K * sum(size for _, size in VIEWS.values())
    for name in view_names(tree):
        own = weights[weights["view"] == name].pivot(index="feature", columns="factor", values="weight")
        np.testing.assert_array_equal(own.loc[tree[f"views/{name}"]["feature"]], tree[f"views/{name}"]["weight"])
    variance = tidy(tree, "variance").set_index(["view", "group", "factor"])["r2"]
    assert variance.index.is_unique
    assert len(variance) == 3 * 3 * (K + 1)
    assert variance["reads", "girls", "Factor2"] == tree["variance"]["r2_group"].sel(
        view="reads", group="girls", factor="Factor2"
    )
    assert variance["reads", "all", "all"] == tree["variance"]["r2_total"].sel(view="reads")


def test_a_table_that_there_is_not():
    with pytest.raises(UsageError, match=r"(?s)'genes'.*factors, weights, variance"):
        tidy(make_tree(), "genes")
    with pytest.raises(DataError, match="no factor model"):
        tidy(xr.DataTree(), "weights")
