"""Read a factor model from HDF5: one that mofapy2 (or MOFA2 in R) trained, or one that ``export_hdf5`` wrote.

The file of mofapy2 holds E[z] and E[w], but no second moments, hardly ever the noise, and neither units nor scales. So
of such a model

* ``weight_square`` is the square of the weight, and the uncertainty of the weights is left out of every sd;
* ``precision`` is that of ``expectations/Tau`` if it was saved, else estimated from the residuals of the data in the
  file, with mofapy2's prior;
* ``score_sd`` is that of factors that are independent a posteriori, with the prior N(0, 1);
* ``intercept`` is what was taken off the data (0 if they were not centred); that of a binary or count view is the mean
  of the pseudo-data, as in mofapy2, from the moments above;
* of a model of several groups, cohorts to be projected say the group of each patient in the clinical column ``group``;
* r2 over all groups is the mean over the groups, weighted by their sums of squares.

A view that was scaled (``scale_views``, ``scale_groups``) has weights in unknown units: its ``units`` say so, and
projecting new patients is refused there. Columns of the samples' metadata become ``/clinical`` under their own names;
one that has a name of ours (``age``, ``event_time``) is taken to be in our units.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from omics.blocks import features_per_block, slices
from omics.cohort import from_table
from omics.factors.hdf5_estimate import Estimate, estimate, joined
from omics.factors.hdf5_reader import Reader, opened
from omics.schema import LIKELIHOODS, NODES, UsageError, check, describe

#: Group of the file with what mofapy2's layout has no place for.
OWN = "omics"
#: A factor that explains less of every view is inactive.
_INACTIVE = 1e-4
_SCALED = "unknown: the view was scaled by the fit"
_SAVE = "save the model again with mofapy2's save(save_data=True)"


def import_hdf5(path: str | os.PathLike[str], *, units: Mapping[str, str] | None = None) -> xr.DataTree:
    """Read a factor model from HDF5.

    Parameters
    ----------
    path : path
        What mofapy2, MOFA2 or :func:`omics.factors.hdf5.export_hdf5` wrote.
    units : mapping of str to str, optional
        By view: units of the values that the model was fitted on, as in a cohort that is to be projected. The file of
        mofapy2 does not say them.

    Returns
    -------
    xarray.DataTree
        What :meth:`omics.factors.MOFA.from_tree` takes; samples by group, in the order of the file.

    Raises
    ------
    UsageError
        There is no such file, or `units` names a view that it has not or that was scaled.
    DataError
        It is no such model, damaged, or saved without what is needed; the error names it.
    """
    source = Path(path)
    if not source.is_file():
        raise UsageError("there is no such file", where=str(source), fix="check the path")
    with opened(source) as reader:
        tree = _tree(reader)
    for name, unit in (units or {}).items():
        if name not in tree["views"].children:
            known = ", ".join(sorted(tree["views"].children))
            raise UsageError(f"there is no view '{name}'", where=str(source), fix=f"the model has {known}")
        if tree[f"views/{name}"].attrs["units"] == _SCALED:
            raise UsageError(
                f"the weights of '{name}' are in no known units: mofapy2 scaled the view",
                where=str(source),
                fix="fit it with scale_views=False and scale_groups=False, or give no units",
            )
        tree[f"views/{name}"].attrs["units"] = unit
    return tree


# --- what every such file has ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Layout:
    """Names, options and first moments.

    Attributes
    ----------
    samples, features : dict of str to numpy.ndarray
        Ids by group, and by view.
    rows : dict of str to slice
        Rows of each group.
    likelihoods : dict of str to str
        By view.
    score : numpy.ndarray, shape (sample, factor)
        E[z].
    weights : dict of str to numpy.ndarray of shape (feature, factor)
        E[w] by view.
    """

    samples: dict[str, np.ndarray]
    features: dict[str, np.ndarray]
    rows: dict[str, slice]
    likelihoods: dict[str, str]
    score: np.ndarray
    weights: dict[str, np.ndarray]

    @property
    def sizes(self) -> dict[str, int]:
        """Lengths of the dimensions of ``/variance``."""
        return {"view": len(self.features), "group": len(self.rows), "factor": self.score.shape[1]}


@dataclass(frozen=True)
class _Rest:
    """What files differ in.

    Attributes
    ----------
    mofa : str
        Parameters of the estimator, JSON.
    names : list of str
        Names of the factors.
    score_sd : numpy.ndarray, shape (sample, factor)
        Posterior sd of the factors.
    views : dict of str to xarray.Dataset
        Nodes of the weights.
    variance, restarts : xarray.Dataset
        Nodes of the tree.
    """

    mofa: str
    names: list[str]
    score_sd: np.ndarray
    views: dict[str, xr.Dataset]
    variance: xr.Dataset
    restarts: xr.Dataset


def _tree(reader: Reader) -> xr.DataTree:
    layout = _layout(reader)
    rest = (_own if reader.has(OWN) else _learned)(reader, layout)
    group = np.repeat(np.array(list(layout.samples), dtype=object), [ids.size for ids in layout.samples.values()])
    moments = {"score": layout.score, "score_sd": rest.score_sd}
    factors = xr.Dataset(
        {**{name: (("sample", "factor"), array) for name, array in moments.items()}, "group": ("sample", group)},
        coords={"sample": np.concatenate(list(layout.samples.values()))},
    )
    nodes = {
        "factors": factors,
        **{f"views/{name}": table for name, table in rest.views.items()},
        "variance": rest.variance,
        "restarts": rest.restarts,
        "trace": _trace(reader),
        **_clinical(reader, layout),
    }
    for path, dataset in nodes.items():
        kind = "weights" if path.startswith("views/") else path
        named = dataset.assign_coords(factor=_objects(rest.names)) if "factor" in dataset.dims else dataset
        nodes[path] = check(describe(named, kind), kind, where=f"{reader.where}, /{path}")
    return xr.DataTree.from_dict({"/": xr.Dataset(attrs={"mofa": rest.mofa}), **nodes})


def _layout(reader: Reader) -> _Layout:
    views, groups = (_distinct(reader, reader.text(f"{what}/{what}"), f"{what}/{what}") for what in ("views", "groups"))
    wrong = [name for name in (*views, *groups) if "/" in name or name in ("", ".", "..")]
    if wrong or not views or not groups:
        raise reader.fault(f"there is no view or group, or one with an impossible name: {wrong}")
    samples = {group: reader.text(f"samples/{group}") for group in groups}
    _distinct(reader, np.concatenate(list(samples.values())), "samples")
    features = {view: np.array(_distinct(reader, reader.text(f"features/{view}"), f"features/{view}"), dtype=object)
                for view in views}  # fmt: skip
    n_factors = reader.shape(f"expectations/Z/{groups[0]}", 2)[0]
    score = [reader.numbers(f"expectations/Z/{g}", (n_factors, ids.size)).T for g, ids in samples.items()]
    weights = {v: reader.numbers(f"expectations/W/{v}", (n_factors, ids.size)).T for v, ids in features.items()}
    likelihoods = reader.text("model_options/likelihoods", len(views))
    unknown = sorted(set(likelihoods) - set(LIKELIHOODS))
    if unknown:
        raise reader.fault(f"likelihood {unknown[0]!r} is none of {', '.join(LIKELIHOODS)}")
    ends = np.cumsum([ids.size for ids in samples.values()])
    rows = {g: slice(int(end) - ids.size, int(end)) for (g, ids), end in zip(samples.items(), ends, strict=True)}
    likelihood = dict(zip(views, map(str, likelihoods), strict=True))
    return _Layout(samples, features, rows, likelihood, np.concatenate(score), weights)


def _distinct(reader: Reader, names: np.ndarray, path: str) -> list[str]:
    listed = [str(name) for name in names]
    if len(set(listed)) < len(listed):
        twice = next(name for name in listed if listed.count(name) > 1)
        raise reader.fault(f"'{path}' has duplicate names, for example {twice!r}")
    return listed


def _trace(reader: Reader) -> xr.Dataset:
    size = reader.shape("training_stats/elbo", 1)
    elbo = reader.numbers("training_stats/elbo", size)
    seconds = np.cumsum(np.nan_to_num(reader.numbers("training_stats/time", size)))
    known = np.isfinite(elbo)
    timed = {"seconds": ("check", seconds[known])} if seconds.any() else {}  # a model of ours has no times
    return xr.Dataset({"elbo": ("check", elbo[known]), **timed})


def _clinical(reader: Reader, layout: _Layout) -> dict[str, xr.Dataset]:
    """Metadata of the samples, where there are any."""
    if not reader.has("samples_metadata"):
        return {}
    parts = []
    for group, ids in layout.samples.items():
        base = f"samples_metadata/{group}"
        columns = {name: reader.column(f"{base}/{name}", ids.size) for name in reader.names(base)}
        parts.append(pd.DataFrame(columns, index=pd.Index(ids, name="sample")))
    table = pd.concat(parts).drop(columns=["sample", "group"], errors="ignore")
    for declared in NODES["clinical"]:  # whole numbers are as good as floats
        if declared.name in table and declared.kind == "float" and table[declared.name].dtype.kind in "iub":
            table[declared.name] = table[declared.name].astype(float)
    return {"clinical": from_table(table, "sample")} if len(table.columns) else {}


# --- a file of ours -------------------------------------------------------------------------------------------------


def _own(reader: Reader, layout: _Layout) -> _Rest:
    n_factors = layout.sizes["factor"]
    score_sd = [reader.numbers(f"{OWN}/score_sd/{g}", (n_factors, ids.size)).T for g, ids in layout.samples.items()]
    names = [str(name) for name in reader.json(f"{OWN}/factors", list)]
    if len(set(names)) != n_factors:
        raise reader.fault(f"'{OWN}/factors' has {len(set(names))} names: {n_factors} were expected")
    variance = {}
    for variable in NODES["variance"]:
        if variable.name in reader.names(f"{OWN}/variance"):
            shape = tuple(layout.sizes[dim] for dim in variable.dims)
            array = reader.numbers(f"{OWN}/variance/{variable.name}", shape)
            variance[variable.name] = (variable.dims, array.astype(np.int8) if variable.kind == "integer" else array)
    views = {name: _own_view(reader, layout, name) for name in layout.features}
    coords = {"view": list(layout.features), "group": list(layout.rows)}
    mofa = json.dumps(reader.json(f"{OWN}/mofa", dict))
    return _Rest(mofa, names, np.concatenate(score_sd), views, _labelled(variance, coords), _own_restarts(reader))


def _own_restarts(reader: Reader) -> xr.Dataset:
    path, columns = f"{OWN}/restarts", {}
    for name, values in reader.json(path, dict).items():
        if not isinstance(values, list) or not all(isinstance(value, str | int | float) for value in values):
            raise reader.fault(f"'{path}' has a column '{name}' that is no list of numbers or texts")
        text = any(isinstance(value, str) for value in values)
        with reader.reading(path):  # an integer that is too large
            columns[name] = ("restart", _objects(values) if text else np.array(values))
    with reader.reading(path):  # columns of different lengths
        return xr.Dataset(columns)


def _own_view(reader: Reader, layout: _Layout, name: str) -> xr.Dataset:
    base, n_features, n_factors = f"{OWN}/view/{name}", layout.features[name].size, layout.sizes["factor"]
    data = {
        "weight": layout.weights[name],
        "weight_square": reader.numbers(f"{base}/weight_square", (n_factors, n_features)).T,
        "intercept": reader.numbers(f"{base}/intercept", (len(layout.rows), n_features)),
        "precision": reader.numbers(f"{base}/precision", (len(layout.rows), n_features)),
    }
    if reader.has(f"{base}/scale"):
        data["scale"] = reader.numbers(f"{base}/scale", (len(layout.rows),))
    annotation = {
        str(column): ("feature", reader.column(f"features_metadata/{name}/{column}", n_features))
        for column in reader.json(f"{base}/annotation", list)
    }
    attrs = {"kind": name, "units": "unknown", **reader.json(f"{base}/attrs", dict)}
    attrs["likelihood"] = layout.likelihoods[name]
    table = _weights(data, reader.text(f"{base}/id", n_features), layout, attrs)
    return table.assign_coords(annotation)


def _weights(data: Mapping[str, np.ndarray], ids: np.ndarray, layout: _Layout, attrs: dict[str, Any]) -> xr.Dataset:
    dims = {variable.name: variable.dims for variable in NODES["weights"]}
    arrays = {name: (dims[name], array) for name, array in data.items()}
    return xr.Dataset(arrays, coords={"feature": ids, "group": _objects(layout.rows)}, attrs=attrs)


def _labelled(arrays: Mapping[str, Any], coords: Mapping[str, list[str]]) -> xr.Dataset:
    dataset = xr.Dataset(arrays)
    return dataset.assign_coords({dim: _objects(names) for dim, names in coords.items() if dim in dataset.dims})


def _objects(names: Any) -> np.ndarray:
    return np.array(list(names), dtype=object)


def _intercepts(reader: Reader, layout: _Layout, name: str) -> np.ndarray:
    shape = (layout.features[name].size,)
    return np.stack([reader.numbers(f"intercepts/{name}/{group}", shape, fix=_SAVE) for group in layout.rows])


# --- a file of mofapy2 ----------------------------------------------------------------------------------------------


def _learned(reader: Reader, layout: _Layout) -> _Rest:
    estimates = {name: _estimate(reader, layout, name) for name in layout.features}
    views = {}
    for name, found in estimates.items():
        gaussian = layout.likelihoods[name] == "gaussian"
        units = _SCALED if gaussian and found.scaled else "unknown" if gaussian else "1"
        weight = layout.weights[name]
        data = {"weight": weight, "weight_square": weight**2, "intercept": found.intercept}
        attrs = {"kind": name, "likelihood": layout.likelihoods[name], "units": units}
        data |= {"precision": found.precision, "scale": np.ones(len(layout.rows))}
        views[name] = _weights(data, layout.features[name], layout, attrs)
    score_sd = 1 / np.sqrt(1 + np.sum([found.information for found in estimates.values()], axis=0))
    total = np.stack([found.total for found in estimates.values()], axis=1)
    names = [f"Factor{k}" for k in range(1, layout.sizes["factor"] + 1)]
    parameters, restarts = _parameters(reader, layout)
    return _Rest(json.dumps(parameters), names, score_sd, views, _variance(reader, layout, total), restarts)


def _estimate(reader: Reader, layout: _Layout, name: str) -> Estimate:
    """One pass over the data of a view, in blocks of features."""
    n_features, likelihood = layout.features[name].size, layout.likelihoods[name]
    rows, saved, parts = list(layout.rows.values()), f"expectations/Tau/{name}", []
    for block in slices(n_features, features_per_block(len(layout.score), 8)):
        values = _block(reader, layout, f"data/{name}", block, n_features)
        tau = _block(reader, layout, saved, block, n_features) if reader.has(saved) else None
        parts.append(estimate(values, layout.score, layout.weights[name][block], rows, likelihood, tau))
    found = joined(parts)
    if likelihood == "gaussian":
        return replace(found, intercept=found.intercept + _intercepts(reader, layout, name))
    return found


def _block(reader: Reader, layout: _Layout, path: str, block: slice, n_features: int) -> np.ndarray:
    return np.concatenate(
        [
            reader.numbers(f"{path}/{group}", (ids.size, n_features), np.s_[:, block], fix=_SAVE)
            for group, ids in layout.samples.items()
        ]
    )


def _variance(reader: Reader, layout: _Layout, total: np.ndarray) -> xr.Dataset:
    """Variance explained by group as the file has it, and over all groups."""
    n_views, n_factors = len(layout.features), layout.sizes["factor"]
    base = "variance_explained"
    each = np.stack([reader.numbers(f"{base}/r2_per_factor/{g}", (n_views, n_factors)) for g in layout.rows]) / 100
    whole = np.stack([reader.numbers(f"{base}/r2_total/{g}", (n_views,)) for g in layout.rows]) / 100
    share = total / np.maximum(total.sum(axis=0), np.finfo(float).tiny)
    pooled = np.nansum(each * share[:, :, None], axis=0)
    arrays = {
        "r2": (("view", "factor"), pooled),
        "r2_total": ("view", np.nansum(whole * share, axis=0)),
        "r2_group": (("group", "view", "factor"), each),
        "r2_total_group": (("group", "view"), whole),
        "active": ("factor", (pooled.max(axis=0) >= _INACTIVE).astype(np.int8)),
    }
    return _labelled(arrays, {"view": list(layout.features), "group": list(layout.rows)})


def _parameters(reader: Reader, layout: _Layout) -> tuple[dict[str, Any], xr.Dataset]:
    """Parameters of the estimator, and the one fit as the node of the restarts."""
    options = reader.numbers("training_opts", reader.shape("training_opts", 1))
    elbo = reader.numbers("training_stats/elbo", reader.shape("training_stats/elbo", 1))
    max_iter, seed = (int(value) if np.isfinite(value) else 0 for value in (options[0], options[-1]))
    switches = ("spikeslab_weights", "ard_weights", "spikeslab_factors", "ard_factors")
    parameters: dict[str, Any] = {"n_factors": layout.sizes["factor"], "engine": "mofapy2", "max_iter": max_iter}
    parameters |= {name: _switch(reader, f"model_options/{name}") for name in switches}
    finite, converged = elbo[np.isfinite(elbo)], elbo.size < max_iter
    restarts = {
        "elbo": finite[-1:] if finite.size else np.array([np.nan]),
        "iterations": np.array(
            [elbo.size if converged else max(max_iter - 1, 0)]
        ),  # it counts from 1 and leaves the last out
        "seed": np.array([seed]),
        "start": _objects(["pca"]),
        "converged": np.array([converged], dtype=np.int8),
        "n_factors": np.array([layout.sizes["factor"]]),
    }
    groups = "group" if len(layout.rows) > 1 else None  # or new patients would pass for those of the first group
    return parameters | {"groups": groups, "random_state": seed, "compat": True}, xr.Dataset(
        {n: ("restart", array) for n, array in restarts.items()}
    )


def _switch(reader: Reader, path: str) -> bool:
    text = reader.one_text(path)
    if text not in ("True", "False"):
        raise reader.fault(f"'{path}' is {text!r}, neither True nor False")
    return text == "True"
