"""Views of a cohort as layers of an engine, and what no engine can learn from."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import xarray as xr

from omics.factors.likelihoods import POSSIBLE
from omics.factors.packing import Facts
from omics.factors.state import Layer
from omics.schema import DataError


def layer_of(view: xr.Dataset, samples: np.ndarray, name: str) -> Layer:
    """One view of a cohort; its values stay lazy if they are.

    Parameters
    ----------
    view : xarray.Dataset
        ``value(sample, feature)``.
    samples : numpy.ndarray
        Ids of all samples of the fit, in their order.
    name : str
        Name of the view.
    """
    rows = pd.Index(samples).get_indexer(view.indexes["sample"])
    return Layer(view["value"].data, view.attrs["likelihood"], rows, f"/views/{name}", view.indexes["feature"].tolist())


def refuse_apart(layers: Sequence[Layer]) -> None:
    """Refuse views that no sample links: their factors could have nothing to do with each other.

    Raises
    ------
    DataError
        There are some.
    """
    linked, rest = set(layers[0].rows.tolist()), list(layers[1:])
    while rest:
        near = [layer for layer in rest if linked.intersection(layer.rows.tolist())]
        if not near:
            raise DataError(
                f"no sample links {', '.join(layer.name for layer in rest)} with the other views",
                where="cohort",
                fix="compare the sample ids of the views: aliquot, sample and patient ids differ",
            )
        for layer in near:
            linked.update(layer.rows.tolist())
        rest = [layer for layer in rest if not any(layer is one for one in near)]


def refuse(facts: Facts, layer: Layer) -> None:
    """Refuse values that the likelihood cannot have, and features from which nothing can be learnt.

    Raises
    ------
    DataError
        There are some; up to five are named.
    """
    if facts.wrong.size:
        raise DataError(
            f"values cannot be {layer.likelihood}, for example {facts.wrong[0]:g}",
            where=layer.name,
            fix=f"a {layer.likelihood} view holds {POSSIBLE[layer.likelihood][1]}, NaN where missing; prepare it, or "
            "mend its likelihood",
        )
    flat = np.flatnonzero(~facts.varies)
    if flat.size:
        named = ", ".join(str(layer.features[i]) for i in flat[:5]) if len(layer.features) else str(flat[:5].tolist())
        several = (
            "no feature has"
            if flat.size == facts.varies.size
            else f"{flat.size} of {facts.varies.size} features have no"
        )
        raise DataError(
            f"{several} variance, or no value at all, in these samples: {named}",
            where=layer.name,
            fix="fit the recipe of omics prepare on the same samples; it drops them",
        )
