"""Factor models to be exported and imported: made by hand, and trained by mofapy2."""

from __future__ import annotations

import json
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr
from scipy.special import expit

from omics.cohort import from_table
from omics.factors.hdf5 import export_hdf5

VIEWS = {"expression": ("gaussian", 14), "mutation": ("bernoulli", 9), "reads": ("poisson", 7)}
GROUPS = {"boys": 24, "girls": 19}
K = 3


def objects(names) -> np.ndarray:
    return np.array(list(names), dtype=object)


# --- models made by hand --------------------------------------------------------------------------------------------


def make_tree(seed: int = 0, groups: dict[str, int] = GROUPS, views: dict[str, tuple[str, int]] = VIEWS) -> xr.DataTree:
    """A factor model of random numbers, its samples in no order of groups."""
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.repeat(objects(groups), list(groups.values())))
    samples = objects(f"P{i:03d}" for i in range(labels.size))
    factor, group, view = objects(f"Factor{k + 1}" for k in range(K)), objects(groups), objects(views)
    nodes = {
        "/": xr.Dataset(attrs={"mofa": json.dumps({"n_factors": K, "max_iter": 77, "random_state": 5})}),
        "/factors": xr.Dataset(
            {
                "score": (("sample", "factor"), rng.normal(size=(labels.size, K))),
                "score_sd": (("sample", "factor"), rng.random((labels.size, K))),
                "group": ("sample", labels),
            },
            coords={"sample": samples, "factor": factor},
        ),
    }
    for name, (likelihood, size) in views.items():
        weight, rows = rng.normal(size=(size, K)).astype(np.float32), (len(groups), size)
        nodes[f"/views/{name}"] = xr.Dataset(
            {
                "weight": (("feature", "factor"), weight),
                "weight_square": (("feature", "factor"), weight**2 + 0.1),
                "intercept": (("group", "feature"), rng.normal(size=rows)),
                "scale": ("group", 1 + rng.random(len(groups)) * (likelihood == "gaussian")),
                "precision": (("group", "feature"), rng.random(rows) * (1 if likelihood != "bernoulli" else np.nan)),
            },
            coords={
                "feature": objects(f"{name[0]}{i}" for i in range(size)),
                "factor": factor,
                "group": group,
                "gene": ("feature", objects(f"GENE{i};B" if i else "" for i in range(size))),
            },
            attrs={"kind": name, "likelihood": likelihood, "units": "M" if likelihood == "gaussian" else "1"},
        )
    first = nodes[f"/views/{next(iter(views))}"]
    nodes[f"/views/{next(iter(views))}"] = first.assign_coords(position=("feature", np.arange(first.sizes["feature"])))
    nodes["/variance"] = xr.Dataset(
        {
            "r2": (("view", "factor"), rng.random((len(views), K)) / 4),
            "r2_total": ("view", rng.random(len(views))),
            "r2_group": (("group", "view", "factor"), rng.random((len(groups), len(views), K)) / 4),
            "r2_total_group": (("group", "view"), rng.random((len(groups), len(views)))),
            "active": ("factor", np.array([1, 1, 0], dtype=np.int8)),
        },
        coords={"view": view, "factor": factor, "group": group},
    )
    nodes["/restarts"] = xr.Dataset(
        {
            "elbo": ("restart", np.array([-100.5, -101.25])),
            "iterations": ("restart", np.array([40, 77])),
            "seed": ("restart", np.array([5, 2**40])),
            "start": ("restart", objects(["pca", "random"])),
            "converged": ("restart", np.array([1, 0])),
        }
    )
    nodes["/trace"] = xr.Dataset(
        {"elbo": ("check", np.array([-300.0, -120, -100.5])), "seconds": ("check", np.array([0.5, 1.25, 2]))}
    )
    some = samples[5:20]
    clinical = pd.DataFrame({"sex": objects("mf" * 7 + "m"), "age": rng.random(15) * 18}, index=pd.Index(some))
    clinical.loc[samples[7]] = [np.nan, np.nan]
    nodes["/clinical"] = from_table(clinical.rename_axis("sample"), "sample")
    return xr.DataTree.from_dict(nodes)


def edited(tree: xr.DataTree, path: str, edit) -> xr.DataTree:
    """The tree with one node replaced by ``edit(dataset)``, or left out where that is None."""
    nodes = {part.path: part.to_dataset(inherit=False) for part in tree.subtree}
    nodes[path] = edit(nodes[path])
    return xr.DataTree.from_dict({name: dataset for name, dataset in nodes.items() if dataset is not None})


def sorted_by_group(tree: xr.DataTree) -> xr.DataTree:
    """What is exported, in the order in which it is imported."""
    order = np.argsort(tree["factors"]["group"].to_numpy(), kind="stable")
    tree = edited(tree, "/factors", lambda dataset: dataset.isel(sample=order))
    ids = tree["factors"].indexes["sample"]
    return edited(tree, "/clinical", lambda dataset: dataset.reindex(sample=ids, fill_value={"age": np.nan, "sex": ""}))


def written(tree: xr.DataTree, folder: Path, **options) -> Path:
    export_hdf5(tree, folder / "model.hdf5", **options)
    return folder / "model.hdf5"


# --- models trained by mofapy2 --------------------------------------------------------------------------------------


def make_values(seed: int = 1) -> dict[str, list[np.ndarray]]:
    """Values by view and group with two planted factors, scattered NaN, and patients who lack a layer."""
    rng = np.random.default_rng(seed)
    scores = [rng.normal(size=(size, 2)) for size in GROUPS.values()]
    values = {}
    for name, (likelihood, size) in VIEWS.items():
        weight, mean = rng.normal(size=(2, size)), rng.normal(size=size) * 3
        values[name] = []
        for z in scores:
            eta = z @ weight
            if likelihood == "gaussian":
                y = eta + mean + 0.3 * rng.normal(size=eta.shape)
            elif likelihood == "bernoulli":
                y = (rng.random(eta.shape) < expit(2 * eta)).astype(float)
            else:
                y = rng.poisson(np.logaddexp(0, eta)).astype(float)
            y[rng.random(y.shape) < 0.05] = np.nan
            y[: 2 if name == "mutation" else 0] = np.nan
            values[name].append(y)
    return values


def names() -> tuple[list[list[str]], list[list[str]]]:
    samples = [[f"{group[0]}{i:02d}" for i in range(size)] for group, size in GROUPS.items()]
    return samples, [[f"{name[0]}{i}" for i in range(size)] for name, (_, size) in VIEWS.items()]


def make_cohort(values: dict[str, list[np.ndarray]]) -> xr.DataTree:
    """The same values as a cohort, its rows shuffled."""
    samples, features = names()
    ids, nodes = objects(s for group in samples for s in group), {}
    for (name, (likelihood, _)), own in zip(VIEWS.items(), features, strict=True):
        view = xr.Dataset(
            {"value": (("sample", "feature"), np.concatenate(values[name]).astype(np.float32))},
            coords={"sample": ids, "feature": objects(own)},
            attrs={"kind": name, "likelihood": likelihood, "units": "M" if likelihood == "gaussian" else "1"},
        )
        there = view.isel(sample=np.flatnonzero(view["value"].notnull().any("feature")))
        nodes[f"/views/{name}"] = there.isel(sample=np.random.default_rng(2).permutation(there.sizes["sample"]))
    return xr.DataTree.from_dict(nodes)


def trained(values: dict[str, list[np.ndarray]], *, iterations: int = 60, **data_options):
    """A model that mofapy2 trained as its manual says, and NumPy's global generator as it was."""
    with warnings.catch_warnings():
        from mofapy2.run.entry_point import entry_point
    samples, features = names()
    entry = entry_point()
    entry.set_data_options(**data_options)
    entry.set_data_matrix(
        [[y.copy() for y in own] for own in values.values()],
        likelihoods=[likelihood for likelihood, _ in VIEWS.values()],
        views_names=list(VIEWS),
        groups_names=list(GROUPS),
        samples_names=samples,
        features_names=features,
    )
    entry.set_model_options(factors=K)
    entry.set_train_options(iter=iterations, convergence_mode="fast", seed=3, quiet=True)
    state = np.random.get_state()  # noqa: NPY002 - it is what mofapy2 seeds
    try:
        with np.errstate(all="ignore"):
            entry.build()
            entry.run()
    finally:
        np.random.set_state(state)  # noqa: NPY002
    return entry
