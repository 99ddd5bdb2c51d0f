"""Cohorts from which no factors can be learnt: one clear error that says where, before any iteration."""

from __future__ import annotations

import dask
import numpy as np
import pytest
import xarray as xr

from omics import cohort as store
from omics.factors import MOFA
from omics.factors.sweep import Sweep
from omics.schema import DataError
from tests.streaming import cohort, many_parts, stored


@pytest.fixture(autouse=True)
def many(monkeypatch):
    """Many parts: what is wrong may be in any."""
    many_parts(monkeypatch)
    with dask.config.set(scheduler="synchronous"):
        yield


def edited(name: str, edit, likelihoods=("gaussian", "bernoulli", "poisson")) -> xr.DataTree:
    """A cohort of which one view is ``edit(view)``."""
    tree = cohort(30, likelihoods)
    views = {f"/views/{n}": store.node(tree, f"views/{n}") for n in tree["views"].children}
    views[f"/views/{name}"] = edit(views[f"/views/{name}"].copy(deep=True))
    return xr.DataTree.from_dict(views)


def entry(value: float, sample: int = -1, feature: int = -1):
    """Put a value somewhere; by default into the last block."""

    def edit(view: xr.Dataset) -> xr.Dataset:
        view["value"][sample, feature] = value
        return view

    return edit


def constant(value: float):
    return lambda view: view.assign(value=xr.full_like(view["value"], value))


def one_apiece(view: xr.Dataset) -> xr.Dataset:
    """Each feature has one value."""
    view["value"][1:] = np.nan
    view["value"][0] = 0.5
    return view


def renamed(view: xr.Dataset) -> xr.Dataset:
    return view.assign_coords(sample=np.array([f"aliquot {s}" for s in view["sample"].to_numpy()], dtype=object))


#: What is done to which view, and what the error says.
CASES = {
    "no common sample": ("view2", renamed, "no sample links", "/views/view2"),
    "no variance": ("view0", constant(3.0), "no feature has variance", "/views/view0"),
    "no variance, binary": ("view1", constant(1.0), "no feature has variance", "/views/view1"),
    "no variance, counts": ("view2", constant(0.0), "no feature has variance", "/views/view2"),
    "no value": ("view0", constant(np.nan), "no value at all", "/views/view0"),
    "one value": ("view0", one_apiece, "no feature has variance", "/views/view0"),
    "infinite": ("view0", entry(np.inf), "cannot be gaussian, for example inf", "/views/view0"),
    "minus infinite": ("view0", entry(-np.inf, 0, 0), "cannot be gaussian, for example -inf", "/views/view0"),
    "infinite binary": ("view1", entry(np.inf), "cannot be bernoulli, for example inf", "/views/view1"),
    "infinite counts": ("view2", entry(np.inf), "cannot be poisson, for example inf", "/views/view2"),
    "a two": ("view1", entry(2.0), "cannot be bernoulli, for example 2", "/views/view1"),
    "a share": ("view1", entry(0.5, 0, 0), "cannot be bernoulli, for example 0.5", "/views/view1"),
    "a negative count": ("view2", entry(-1.0), "cannot be poisson, for example -1", "/views/view2"),
    "a broken count": ("view2", entry(1.5, 4, 40), "cannot be poisson, for example 1.5", "/views/view2"),
}


def refused(tree: xr.DataTree, monkeypatch, **parameters) -> DataError:
    """The error, with nothing fitted before it."""

    def never(*_):
        raise AssertionError("there was an iteration")

    monkeypatch.setattr(Sweep, "visit", never)
    with pytest.raises(DataError) as caught:
        MOFA(**{"n_factors": 3} | parameters).fit(tree, watch=never)
    assert caught.value.fix
    return caught.value


@pytest.mark.parametrize("compat", [False, True])
@pytest.mark.parametrize("name", CASES)
def test_one_clear_error_before_any_iteration(name, compat, monkeypatch):
    view, edit, words, where = CASES[name]
    error = refused(edited(view, edit), monkeypatch, compat=compat)
    assert words in str(error)
    assert where in str(error)


@pytest.mark.parametrize("hold", ["memory", "disk", "store"])
@pytest.mark.parametrize("name", ["no common sample", "no variance", "infinite", "a two", "a negative count"])
def test_of_a_store_too(name, hold, tmp_path, monkeypatch):
    view, edit, words, where = CASES[name]
    tree = stored(edited(view, edit), tmp_path / "cohort.zarr", monkeypatch)
    error = refused(tree, monkeypatch, hold=hold)
    assert words in str(error)
    assert where in str(error)


def test_features_without_variance_are_named(monkeypatch):
    def edit(view: xr.Dataset) -> xr.Dataset:
        view["value"][:, [2, 50]] = 1.0
        return view

    error = refused(edited("view0", edit), monkeypatch)
    assert "2 of 90 features have no variance" in str(error)
    assert "f0002, f0050" in str(error)


@pytest.mark.parametrize("n_factors", [30, 31, [2, 200]])
def test_more_factors_than_samples(n_factors, monkeypatch):
    error = refused(cohort(30), monkeypatch, n_factors=n_factors)
    assert f"{max(np.atleast_1d(n_factors))} factors are too many for 30 samples" in str(error)


def test_views_that_hang_together_in_a_chain_are_fitted():
    """View 0 and view 2 share no sample, but each shares some with view 1."""
    tree = cohort(40)
    parts = {"view0": slice(0, 18), "view1": slice(0, 40), "view2": slice(22, 40)}
    ids = store.samples(tree)
    views = {}
    for name, part in parts.items():
        view = store.node(tree, f"views/{name}")
        views[f"/views/{name}"] = view.isel(sample=np.isin(view["sample"], ids[part]))
    varied = {}
    for name, view in views.items():
        known = view["value"]
        varied[name] = view.isel(feature=np.flatnonzero((known.max("sample") > known.min("sample")).to_numpy()))
    model = MOFA(n_factors=2, max_iter=5).fit(xr.DataTree.from_dict(varied))
    assert np.isfinite(model.factors_["score"]).all()
    apart = {name: view for name, view in varied.items() if name != "/views/view1"}
    with pytest.raises(DataError, match="no sample links /views/view2"):
        MOFA(n_factors=2).fit(xr.DataTree.from_dict(apart))
