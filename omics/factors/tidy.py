"""A factor model as tidy tables: one row a value, for spreadsheets, R and plots."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np
import pandas as pd
import xarray as xr

from omics.cohort import node
from omics.schema import DataError, UsageError, check, view_names


def tidy(tree: xr.DataTree, what: str) -> pd.DataFrame:
    """One part of a factor model as a long table, for spreadsheets, R and plots.

    Parameters
    ----------
    tree : xarray.DataTree
        A fitted factor model.
    what : {"factors", "weights", "variance"}
        ``factors``: sample, group, factor, score, score_sd. ``weights``: view, feature, gene (if a view has it),
        factor, weight. ``variance``: view, group, factor, r2, where the factor "all" stands for all together, and the
        group "all", if there are several, for all samples.

    Raises
    ------
    UsageError
        `what` is none of these.
    DataError
        The tree is no factor model.
    """
    if what not in TABLES:
        raise UsageError(f"there is no table {what!r}", fix=f"choose {', '.join(TABLES)}")
    return TABLES[what](tree)


def _tidy_factors(tree: xr.DataTree) -> pd.DataFrame:
    factors = check(part_of(tree, "factors"), "factors", where="/factors")
    group = xr.DataArray(group_labels(tree, factors), dims="sample")
    long = factors[["score", "score_sd"]].assign_coords(group=group).to_dataframe().reset_index()
    return long[["sample", "group", "factor", "score", "score_sd"]]


def _tidy_weights(tree: xr.DataTree) -> pd.DataFrame:
    parts = []
    for name in view_names(tree):
        table = check(part_of(tree, f"views/{name}"), "weights", where=f"/views/{name}")
        parts.append(table["weight"].to_dataframe().reset_index().assign(view=name))
    if not parts:
        raise DataError("this tree is no factor model", where="node '/views'", fix="give what omics factors wrote")
    long = pd.concat(parts, ignore_index=True)
    return long[[name for name in ("view", "feature", "gene", "factor", "weight") if name in long]]


def _tidy_variance(tree: xr.DataTree) -> pd.DataFrame:
    variance = check(part_of(tree, "variance"), "variance", where="/variance")
    parts = []
    if "r2_group" in variance:
        parts = [_long(variance["r2_group"]), _long(variance["r2_total_group"], factor="all")]
    if len(parts) == 0 or variance.sizes["group"] > 1:
        parts += [_long(variance["r2"], group="all"), _long(variance["r2_total"], group="all", factor="all")]
    return pd.concat(parts, ignore_index=True)


def _long(array: xr.DataArray, **labels: str) -> pd.DataFrame:
    return array.to_dataframe("r2").reset_index().assign(**labels)[["view", "group", "factor", "r2"]]


#: What :func:`tidy` gives, by name.
TABLES: Mapping[str, Callable[[xr.DataTree], pd.DataFrame]] = MappingProxyType(
    {"factors": _tidy_factors, "weights": _tidy_weights, "variance": _tidy_variance}
)


def part_of(tree: xr.DataTree, path: str) -> xr.Dataset:
    """One node of a factor model, in memory.

    Raises
    ------
    DataError
        There is none.
    """
    try:
        return node(tree, path).compute()
    except (KeyError, TypeError):
        raise DataError(
            "this tree is no factor model", where=f"node '/{path}' is missing", fix="give what omics factors wrote"
        ) from None


def group_labels(tree: xr.DataTree, factors: xr.Dataset) -> np.ndarray:
    """Group of each sample; one that the model does not name is ``single_group``, as in MOFA2.

    Raises
    ------
    DataError
        There are several groups, and it is unknown which sample is of which.
    """
    if "group" in factors:
        return factors["group"].to_numpy().astype(object)
    intercepts = [part_of(tree, f"views/{name}")["intercept"] for name in view_names(tree)[:1]]
    known = [label for array in intercepts if "group" in array.coords for label in array["group"].to_numpy()]
    if len(known) > 1:
        raise DataError(
            f"the model has the groups {', '.join(map(str, known))}, but not which sample is of which",
            where="/factors",
            fix="add the variable group(sample)",
        )
    return np.full(factors.sizes["sample"], known[0] if known else "single_group", dtype=object)
