"""Take from the artefacts what the sections show; nodes are checked against the schema at this door."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from omics import cohort
from omics.report.words import natural
from omics.schema import check, view_names


@dataclass(frozen=True)
class Artefacts:
    """The trees of one analysis; each may be missing."""

    cohort: xr.DataTree | None = None
    prepared: xr.DataTree | None = None
    factors: xr.DataTree | None = None
    subtypes: xr.DataTree | None = None
    evaluation: xr.DataTree | None = None
    interpretation: xr.DataTree | None = None
    replication: xr.DataTree | None = None

    @property
    def source(self) -> xr.DataTree | None:
        """The tree that knows the layers: the cohort, or what was prepared from it."""
        return self.prepared if self.cohort is None else self.cohort

    @property
    def clinical(self) -> pd.DataFrame:
        """The clinical table, from the first artefact that has one."""
        trees = (self.source, self.subtypes, self.factors, self.evaluation, self.interpretation)
        found = next((table for tree in trees if (table := frame(tree, "clinical")) is not None), None)
        return pd.DataFrame() if found is None else found


def dataset(tree: xr.DataTree | None, path: str, node: str | None = None) -> xr.Dataset | None:
    """A checked node, or None where the tree has no such node."""
    if tree is None or path not in tree.children:
        return None
    return check(cohort.node(tree, path), node or path, where=f"/{path}")


def frame(tree: xr.DataTree | None, path: str) -> pd.DataFrame | None:
    """A checked node of one dimension as a table, or None where the tree has no such node or it has no rows."""
    if tree is None or path not in tree.children or not all(cohort.node(tree, path).sizes.values()):
        return None
    found = dataset(tree, path)
    return None if found is None else cohort.to_table(found)


def below(tree: xr.DataTree | None, path: str) -> dict[str, xr.Dataset]:
    """The checked nodes below one, by name."""
    names = [] if tree is None or path not in tree.children else sorted(tree.children[path].children)
    nodes = {name: cohort.node(tree, f"{path}/{name}") for name in names}  # type: ignore[arg-type]
    return {name: check(found, path, where=f"/{path}/{name}") for name, found in nodes.items()}


def membership(tree: xr.DataTree) -> pd.DataFrame:
    """Which patient has which layer: boolean, shape (sample, layer)."""
    ids = {name: cohort.node(tree, f"views/{name}").indexes["sample"] for name in view_names(tree)}
    everyone = pd.Index(sorted(set().union(*ids.values())), name="sample", dtype=object)
    return pd.DataFrame({name: everyone.isin(index) for name, index in ids.items()}, index=everyone)


def labels(tree: xr.DataTree | None) -> pd.Series:
    """Subtype of each patient; empty where there is no artefact or no label."""
    found = dataset(tree, "subtypes")
    if found is None:
        return pd.Series(dtype=object)
    label = found["label"].to_series()
    return label[(label != "") & label.notna()].astype(str)


def subtype_names(tree: xr.DataTree | None) -> list[str]:
    """All subtypes in natural order: S2 before S10."""
    return sorted(labels(tree).unique(), key=natural)


def one_group_asked_for(tree: xr.DataTree | None) -> bool:
    """Whether the number of subtypes was given as 1: that there is no structure was then not found out."""
    settings = {} if tree is None else json.loads(tree.attrs.get("subtypes", "{}"))
    return bool(settings.get("n_subtypes") == 1)


def scores(tree: xr.DataTree | None) -> pd.DataFrame:
    """Factor scores, shape (sample, factor); empty where there is no artefact."""
    found = dataset(tree, "factors")
    return pd.DataFrame() if found is None else matrix(found["score"].transpose("sample", "factor"))


def matrix(array: xr.DataArray) -> pd.DataFrame:
    """A two-dimensional array as a table."""
    return pd.DataFrame(array.to_numpy(), *(array.indexes[dim] for dim in array.dims))


def records(table: pd.DataFrame) -> Iterator[Any]:
    """Rows as tuples with the columns as attributes."""
    return iter(table.itertuples())


def leading_features(tree: xr.DataTree, view: str, n: int) -> list[list[tuple[str, float]]]:
    """For each factor, the `n` features of `view` with the largest absolute weights: name and weight."""
    weights = check(cohort.node(tree, f"views/{view}"), "weights", where=f"/views/{view}").compute()
    weight = weights["weight"].transpose("feature", "factor").to_numpy()
    names = feature_names(weights)
    order = np.argsort(-np.abs(np.nan_to_num(weight)), axis=0, kind="stable")[:n]
    return [[(names[i], float(weight[i, k])) for i in order[:, k]] for k in range(weight.shape[1])]


def feature_names(weights: xr.Dataset) -> list[str]:
    """Gene symbols where they are known, with the id where it says more: a CpG within its gene."""
    ids = [str(name) for name in weights["feature"].to_numpy()]
    if "gene" not in weights.variables:
        return ids
    genes = ["; ".join(dict.fromkeys(str(gene).split(";"))) for gene in weights["gene"].to_numpy()]
    repeated = len(set(genes)) < len(genes)
    return [i if not g or g == i else f"{g} ({i})" if repeated else g for i, g in zip(ids, genes, strict=True)]


def separation(values: pd.DataFrame, label: pd.Series) -> pd.Series:
    """Share of each factor's variance that lies between subtypes (eta squared)."""
    both = values.loc[values.index.intersection(label.index)]
    between = both.groupby(label.loc[both.index]).transform("mean").var(ddof=0)
    return (between / both.var(ddof=0).replace(0, np.nan)).fillna(0.0)
