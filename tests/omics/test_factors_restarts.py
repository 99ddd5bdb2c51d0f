"""What is kept of the restarts that were not the best: their factors, in the order and sign of the best one's."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from omics import cohort as store
from omics.artefact import Provenance
from omics.factors import ENGINES, MOFA
from omics.factors.layers import layer_of
from omics.factors.state import Options, Start
from omics.factors.tables import restart_scores_table, stability
from omics.schema import check, view_names
from tests.streaming import cohort

K = 3


@pytest.fixture(scope="module")
def tree() -> xr.DataTree:
    return cohort()


@pytest.fixture(scope="module")
def fitted(tree) -> MOFA:
    return MOFA(n_factors=K, n_restarts=4, max_iter=60, random_state=3).fit(tree)


def correlations(score: np.ndarray, other: np.ndarray) -> np.ndarray:
    return np.corrcoef(score.T, other.T)[: score.shape[1], score.shape[1] :]


def test_factors_are_matched_as_the_best_of_all_orders_and_turned():
    rng = np.random.default_rng(0)
    score = rng.normal(size=(50, 4))
    others = [(score + rng.normal(size=score.shape))[:, rng.permutation(4)] * rng.choice([-1, 1], 4) for _ in range(6)]
    table = restart_scores_table(score, dict(zip((0, 2, 3, 4, 5, 7), others, strict=True)), np.arange(50).astype(str))
    assert table["restart"].to_numpy().tolist() == [0, 2, 3, 4, 5, 7]
    for aligned, other, r in zip(table["score"].to_numpy(), others, stability(score, others), strict=True):
        everything = np.abs(correlations(score, other))
        orders = list(itertools.permutations(range(4)))
        best = list(orders[int(np.argmax([everything[range(4), order].sum() for order in orders]))])
        np.testing.assert_allclose(np.abs(aligned), np.abs(other[:, best]), rtol=1e-6)
        signed = np.diag(correlations(score, aligned))
        assert (signed > 0).all()
        np.testing.assert_allclose(r, signed, rtol=1e-6)
    turned = {int(np.sign(one)) for other in others for one in np.diag(correlations(score, other))}
    assert turned == {-1, 1}  # else the test tells nothing of signs


def test_a_factor_that_does_not_vary_is_kept_as_it_is():
    score = np.random.default_rng(1).normal(size=(20, 2))
    other = np.column_stack([np.full(20, 0.5), -score[:, 1]])
    aligned = restart_scores_table(score, {1: other}, np.arange(20).astype(str))["score"].to_numpy()[0]
    np.testing.assert_allclose(aligned, np.column_stack([np.full(20, 0.5), score[:, 1]]), rtol=1e-6)


def test_kept_scores_are_those_of_fits_one_by_one(tree, fitted):
    table = check(fitted.restart_scores_, "restart_scores", where="restart_scores")
    best = int(np.argmax(fitted.restarts_["elbo"].to_numpy()))
    assert table["restart"].to_numpy().tolist() == [one for one in range(4) if one != best]
    assert table["score"].dtype == np.float32
    assert table.indexes["sample"].equals(fitted.factors_.indexes["sample"])
    assert table.indexes["factor"].equals(fitted.factors_.indexes["factor"])
    ids = store.samples(tree)
    layers = [layer_of(store.node(tree, f"views/{name}"), ids, name) for name in view_names(tree)]
    for restart in table["restart"].to_numpy():
        seed = int(fitted.restarts_["seed"][restart])
        start = Start(K) if seed == -1 else Start(K, seed)
        alone = ENGINES["stream"](layers, np.zeros(len(ids), int), [start], Options(max_iter=60))[0]
        kept = table["score"].sel(restart=restart, sample=ids).to_numpy()
        assert sorted(np.abs(correlations(kept, alone.score)).argmax(axis=1)) == list(range(K))
        np.testing.assert_allclose(np.abs(correlations(kept, alone.score)).max(axis=1), 1.0, rtol=1e-4)
        np.testing.assert_allclose(np.sort(kept.std(axis=0)), np.sort(alone.score.std(axis=0)), rtol=1e-3)
    r = [np.diag(correlations(fitted.factors_["score"].to_numpy(), one)) for one in table["score"].to_numpy()]
    np.testing.assert_allclose(np.mean(r, axis=0), fitted.variance_["stability"], rtol=1e-5)


def test_they_travel_with_the_model(fitted, tmp_path: Path):
    store.save(fitted.to_tree(), tmp_path / "factors.zarr", Provenance("factors"))
    loaded = MOFA.from_tree(store.open(tmp_path / "factors.zarr", noun="factors"))
    xr.testing.assert_identical(loaded.restart_scores_, fitted.restart_scores_)
    xr.testing.assert_equal(loaded.to_tree(), fitted.to_tree())


@pytest.mark.parametrize("parameters", [{"n_factors": K}, {"n_factors": [2, 3]}])
def test_there_are_none_without_another_restart_of_as_many_factors(tree, parameters):
    model = MOFA(max_iter=5, **parameters).fit(tree)
    assert model.restart_scores_ is None
    assert "restart_scores" not in model.to_tree().children
    assert MOFA.from_tree(model.to_tree()).restart_scores_ is None
