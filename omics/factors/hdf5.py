"""Interchange: a factor model as the HDF5 file that mofapy2 writes and MOFA2 (R) and mofax read.

:func:`export_hdf5` writes that layout, :func:`import_hdf5` reads a model that mofapy2 or :func:`export_hdf5` wrote.

What the layout has no place for (second moments, noise, kind and units of the views, pooled variance, all restarts) is
in one group of our own, ``/omics``, which other programs leave alone; with it, what is exported is imported unchanged,
but for the scores of the restarts that were not kept.
Weights and data are in the units of the view, also where the fit scaled it; where it scaled the groups, in units of
their standard deviations, as in mofapy2. ``intercepts`` are means of the values as measured, but those of a binary or
count view are the model's, which MOFA2 ignores. A layer that a whole group lacks has 0 % of its variance explained,
since MOFA2 does not open a file with NaN there.

MOFA2 wants ids that are unique over all views. Like it, we append ``_<view>`` to those, and only those, that several
views share (``TP53`` of mutations and of expression); :func:`import_hdf5` undoes it. Patients who are in the clinical
table but not in the fit are left out.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import h5py
import numpy as np
import pandas as pd
import xarray as xr

from omics.blocks import BLOCK_SAMPLES, features_per_block, slices
from omics.cohort import clinical_table, node
from omics.factors.hdf5_import import OWN, import_hdf5
from omics.factors.tidy import group_labels, part_of
from omics.schema import NODES, DataError, UsageError, check, check_view, view_names

__all__ = ["export_hdf5", "import_hdf5"]

#: Names by which MOFA2 decides, anywhere in the file, what the file holds.
_RESERVED = frozenset(
    {"data", "intercepts", "covariates", "cov_samples", "cov_samples_transformed", "imputed_data", "samples_metadata"}
    | {"features_metadata", "variance_explained", "views"}
)
#: What stands for a missing value, by kind of the column.
_MISSING: Mapping[str, Any] = MappingProxyType({"f": np.nan, "i": -1, "u": 0, "b": False, "O": "", "T": "", "U": ""})
_TEXT = h5py.string_dtype(encoding="utf-8")
_PACKED: Mapping[str, Any] = MappingProxyType({"compression": "gzip", "compression_opts": 4, "shuffle": True})


@dataclass(frozen=True)
class _Model:
    """A factor model, checked and in memory, with the names that it has in the file.

    Attributes
    ----------
    parameters : dict
        Of the estimator.
    factors, variance : xarray.Dataset
        Nodes of the tree.
    views : dict of str to xarray.Dataset
        Weights by view.
    rows : dict of str to numpy.ndarray
        By group, in the order of the labels: positions of its samples.
    features : dict of str to numpy.ndarray
        By view: names of the features in the file.
    """

    parameters: dict[str, Any]
    factors: xr.Dataset
    variance: xr.Dataset
    views: dict[str, xr.Dataset]
    rows: dict[str, np.ndarray]
    features: dict[str, np.ndarray]


def export_hdf5(
    tree: xr.DataTree,
    path: str | os.PathLike[str],
    *,
    cohort: xr.DataTree | None = None,
    overwrite: bool = False,
) -> None:
    """Write a factor model as mofapy2 would, for MOFA2 in R and mofax.

    Parameters
    ----------
    tree : xarray.DataTree
        A fitted factor model.
    path : path
        The file to be; it appears whole or not at all.
    cohort : xarray.DataTree, optional
        What the model was fitted on, after the recipe. Its values are written too, Gaussian ones less the intercept,
        block by block. Without them both programs open the file all the same: what draws data has none to draw.
    overwrite : bool
        Replace a file that is there.

    Raises
    ------
    UsageError
        `path` exists and `overwrite` is not set.
    DataError
        The tree is no factor model, a name is one that MOFA2 cannot have, several groups have no variance by group, or
        the cohort lacks a view or a feature of the model.
    """
    target = Path(path)
    if target.is_dir() or (target.exists() and not overwrite):
        raise UsageError("the output exists", where=str(target), fix="ask to overwrite it, or name another output")
    model = _checked(tree)
    samples, clinical = model.factors.indexes["sample"], clinical_table(tree)
    _refuse_names(clinical.columns, "clinical column")
    sources = (
        {} if cohort is None else {name: _source(cohort, name, table, samples) for name, table in model.views.items()}
    )
    with _whole(target) as aside, h5py.File(aside, "w") as file:
        _write_names(file, model)
        _write_metadata(file, model, clinical)
        _write_expectations(file, model)
        _write_options(file, model)
        _write_training(file, tree, model)
        _write_variance(file, model)
        _write_own(file, tree, model)
        for name, view in sources.items():
            _write_data(file, name, view, model)


# --- the model, and names that MOFA2 can have -----------------------------------------------------------------------


def _checked(tree: xr.DataTree) -> _Model:
    factors = check(part_of(tree, "factors"), "factors", where="/factors")
    variance = check(part_of(tree, "variance"), "variance", where="/variance")
    check(part_of(tree, "restarts"), "restarts", where="/restarts")
    if not view_names(tree) or "mofa" not in tree.attrs:
        raise DataError("this tree is no factor model", where="attribute 'mofa'", fix="give what omics factors wrote")
    views = {n: check(part_of(tree, f"views/{n}"), "weights", where=f"/views/{n}") for n in view_names(tree)}
    labels = group_labels(tree, factors)
    rows = {str(group): np.flatnonzero(labels == group) for group in sorted(set(labels))}
    _refuse_names(views, "view")
    _refuse_names(rows, "group")
    _refuse_text(factors.indexes["sample"].tolist(), "sample")
    for name, table in views.items():
        _refuse_text(table.indexes["feature"].tolist(), f"feature of view '{name}'")
    return _Model(json.loads(tree.attrs["mofa"]), factors, variance, views, rows, _unique_over_views(views))


def _refuse_names(names: Iterable[str], what: str) -> None:
    """Refuse what cannot be the name of a group or array of HDF5, or would mislead MOFA2."""
    listed = [str(name) for name in names]
    _refuse_text(listed, what)
    wrong = [n for n in listed if "/" in n or "\0" in n or n in ("", ".", "..") or n in _RESERVED]
    if wrong:
        raise DataError(
            f"MOFA2 cannot have {what} names that are empty, contain '/', or are words of its own: {_some(wrong)}",
            where=f"{what} names",
            fix="rename them",
        )


def _refuse_text(names: Sequence[str], what: str) -> None:
    wrong = [str(name) for name in names if not str(name).isascii()]
    if wrong:
        raise DataError(
            f"MOFA2 wants ASCII names, and {len(wrong)} are not: {_some(wrong)}",
            where=f"{what} names",
            fix="rename them",
        )


def _some(names: Sequence[str]) -> str:
    return ", ".join(repr(name) for name in names[:5]) + (", ..." if len(names) > 5 else "")


def _unique_over_views(views: Mapping[str, xr.Dataset]) -> dict[str, np.ndarray]:
    """Names of the features, with ``_<view>`` after those that several views share."""
    found = Counter(feature for table in views.values() for feature in table.indexes["feature"])
    named = {
        view: np.array([f"{f}_{view}" if found[f] > 1 else f for f in table.indexes["feature"]], dtype=object)
        for view, table in views.items()
    }
    after = Counter(feature for names in named.values() for feature in names)
    twice = [feature for feature, count in after.items() if count > 1]
    if twice:
        raise DataError(
            f"feature ids are not unique over the views, even with the view appended: {_some(twice)}",
            where="feature names",
            fix="rename them",
        )
    return named


# --- the layout -----------------------------------------------------------------------------------------------------


@contextmanager
def _whole(target: Path) -> Iterator[Path]:
    """Yield a hidden path beside `target` that becomes it in one rename when the block ends well."""
    target.parent.mkdir(parents=True, exist_ok=True)
    aside = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        yield aside
        with aside.open("rb") as handle:
            os.fsync(handle.fileno())
        aside.replace(target)
    finally:
        aside.unlink(missing_ok=True)


def _write_names(file: h5py.File, model: _Model) -> None:
    file["groups/groups"] = np.array(list(model.rows), dtype=_TEXT)
    file["views/views"] = np.array(list(model.views), dtype=_TEXT)
    for group, rows in model.rows.items():
        file.create_dataset(f"samples/{group}", data=model.factors["sample"].to_numpy()[rows], dtype=_TEXT)
    for name, features in model.features.items():
        file.create_dataset(f"features/{name}", data=features, dtype=_TEXT)


def _write_metadata(file: h5py.File, model: _Model, clinical: pd.DataFrame) -> None:
    for group, rows in model.rows.items():
        own = clinical.reindex(model.factors.indexes["sample"][rows])
        for column in sorted(clinical.columns):
            file[f"samples_metadata/{group}/{column}"] = _column(own[column])
    known = {column: table[column] for table in model.views.values() for column in _annotation(table)}
    _refuse_names(known, "feature annotation")
    for name, table in model.views.items():  # the same columns in each, or R could not bind them
        for column, like in known.items():
            filler = np.full(table.sizes["feature"], _MISSING[like.dtype.kind], dtype=like.dtype)
            values = table[column].to_numpy() if column in table.coords else filler
            file[f"features_metadata/{name}/{column}"] = _column(pd.Series(values))


def _annotation(table: xr.Dataset) -> list[str]:
    """Coordinates of the features besides their ids."""
    return sorted(str(name) for name, array in table.coords.items() if array.dims == ("feature",) and name != "feature")


def _column(values: pd.Series) -> np.ndarray:
    """Numbers as they are, text of fixed width: what R reads as one vector."""
    if values.dtype.kind in "fiub":
        return values.to_numpy()
    return np.array([str(value).encode() for value in values.astype(object).where(values.notna(), "")], dtype="S")


def _write_expectations(file: h5py.File, model: _Model) -> None:
    score = model.factors["score"].transpose("factor", "sample").to_numpy()
    for group, rows in model.rows.items():
        file.create_dataset(f"expectations/Z/{group}", data=score[:, rows], **_PACKED)
    for name, table in model.views.items():
        file.create_dataset(f"expectations/W/{name}", data=table["weight"].to_numpy().T, **_PACKED)
        for group in model.rows:
            file[f"intercepts/{name}/{group}"] = _scale(table, group) * _of_group(table["intercept"], group)


def _of_group(array: xr.DataArray, group: str) -> np.ndarray:
    return (array.sel(group=group) if "group" in array.coords else array.isel(group=0)).to_numpy()


def _scale(table: xr.Dataset, group: str) -> float:
    """What the fit divided the values of the group by, beyond the units of the weights."""
    return float(_of_group(table["scale"], group)) if "scale" in table else 1.0


def _write_options(file: h5py.File, model: _Model) -> None:
    switches = {
        "spikeslab_factors": False,
        "spikeslab_weights": True,
        "ard_factors": False,
        "ard_weights": True,
    }
    options = {"likelihoods": np.array([table.attrs["likelihood"] for table in model.views.values()], dtype="S")}
    options |= {name: np.array(str(model.parameters.get(name, usual)), "S") for name, usual in switches.items()}
    for name, value in options.items():
        file[f"model_options/{name}"] = value
    file["model_options/ard_weights"].attrs["names"] = np.array(list(options), dtype="S")


def _write_training(file: h5py.File, tree: xr.DataTree, model: _Model) -> None:
    asked = model.parameters
    options = {
        "maxiter": asked.get("max_iter", 1000),
        "freqELBO": 1,
        "start_elbo": 1,
        "gpu_mode": 0,
        "stochastic": 0,
        "seed": asked.get("random_state", 0),
    }
    file["training_opts"] = np.array([np.nan if value is None else value for value in options.values()], dtype=float)
    file["training_opts"].attrs["names"] = np.array(list(options), dtype="S")
    if "trace" in tree.children:
        trace = check(part_of(tree, "trace"), "trace", where="/trace")
        elbo, seconds = (
            trace["elbo"].to_numpy(),
            (trace["seconds"].to_numpy() if "seconds" in trace else np.zeros(trace.sizes["check"])),
        )
    else:
        elbo, seconds = np.array([part_of(tree, "restarts")["elbo"].max()], dtype=float), np.zeros(1)
    file["training_stats/elbo"] = elbo
    file["training_stats/time"] = np.diff(seconds, prepend=0.0)  # of each step, as mofapy2 has it
    file["training_stats/number_factors"] = np.full(elbo.size, model.factors.sizes["factor"], dtype=float)


def _write_variance(file: h5py.File, model: _Model) -> None:
    variance = model.variance.sel(view=list(model.views))
    if "r2_group" not in variance and len(model.rows) > 1:
        raise DataError(
            "the model has several groups, but not the variance explained in each",
            where="/variance",
            fix="add r2_group and r2_total_group; omics factors writes them",
        )
    for group in model.rows:
        pooled = "r2_group" not in variance
        own = variance if pooled else variance.sel(group=group)
        each, total = (own["r2"], own["r2_total"]) if pooled else (own["r2_group"], own["r2_total_group"])
        percent = 100 * np.nan_to_num(each.transpose("view", "factor").to_numpy())
        file.create_dataset(f"variance_explained/r2_per_factor/{group}", data=percent, **_PACKED)
        file.create_dataset(
            f"variance_explained/r2_total/{group}", data=100 * np.nan_to_num(total.to_numpy()), **_PACKED
        )


def _write_own(file: h5py.File, tree: xr.DataTree, model: _Model) -> None:
    """What :func:`import_hdf5` needs and mofapy2's layout has no place for."""
    own = file.create_group(OWN)
    own["mofa"] = tree.attrs["mofa"]
    own["factors"] = json.dumps([str(name) for name in model.factors["factor"].to_numpy()])
    restarts = part_of(tree, "restarts")
    own["restarts"] = json.dumps(
        {str(name): array.to_numpy().tolist() for name, array in sorted(restarts.data_vars.items())}
    )
    score_sd = model.factors["score_sd"].to_numpy().T
    for group, rows in model.rows.items():
        own.create_dataset(f"score_sd/{group}", data=score_sd[:, rows], **_PACKED)
    for name, table in model.views.items():
        part = own.create_group(f"view/{name}")
        part["attrs"] = json.dumps(table.attrs, default=np.generic.item, sort_keys=True)
        part["annotation"] = json.dumps(_annotation(table))
        part.create_dataset("id", data=table["feature"].to_numpy(), dtype=_TEXT)
        part.create_dataset("weight_square", data=table["weight_square"].to_numpy().T, **_PACKED)
        for kind in ("intercept", "precision", "scale"):
            if kind in table:
                part[kind] = np.stack([_of_group(table[kind], group) for group in model.rows])
    labelled = {"view": list(model.views), "group": list(model.rows)}
    for variable in NODES["variance"]:
        if variable.name in model.variance:
            order = {dim: labels for dim, labels in labelled.items() if dim in variable.dims}
            own.create_dataset(f"variance/{variable.name}", data=model.variance[variable.name].sel(order).to_numpy())


def _source(cohort: xr.DataTree, name: str, table: xr.Dataset, samples: pd.Index) -> xr.Dataset:
    """The view of the cohort that a view of the model was learned from."""
    where = f"cohort, /views/{name}"
    if name not in view_names(cohort):
        raise DataError("the cohort lacks a view of the model", where=where, fix="give the cohort of the fit")
    view = check_view(node(cohort, f"views/{name}"), where=where)
    lacking = table.indexes["feature"].difference(view.indexes["feature"])
    if len(lacking) or not view.indexes["sample"].isin(samples).any():
        what = f"{len(lacking)} features ({_some(lacking.tolist())})" if len(lacking) else "all samples"
        raise DataError(f"the cohort lacks {what} of the model", where=where, fix="give the cohort of the fit")
    got, expected = view.attrs["likelihood"], table.attrs["likelihood"]
    if got != expected:
        raise DataError(f"likelihood is {got!r}", where=where, fix=f"the model was fitted on {expected!r}")
    return view


def _write_data(file: h5py.File, name: str, view: xr.Dataset, model: _Model) -> None:
    """Values of one view by group, Gaussian ones less the intercept; samples that lack the view are NaN."""
    table = model.views[name]
    columns = view.indexes["feature"].get_indexer(table.indexes["feature"])
    here = view.indexes["sample"].get_indexer(model.factors.indexes["sample"])
    size = features_per_block(view.sizes["sample"])
    dtype = np.float32 if view["value"].dtype.itemsize <= 4 else np.float64
    arrays = {}
    for group, rows in model.rows.items():
        chunks = (min(rows.size, BLOCK_SAMPLES), min(columns.size, size))
        shape = (rows.size, columns.size)
        arrays[group] = file.create_dataset(f"data/{name}/{group}", shape, dtype, chunks=chunks, **_PACKED)
    for block in slices(columns.size, size):
        values = view["value"].isel(feature=columns[block]).to_numpy()
        for group, rows in model.rows.items():
            own = np.full((rows.size, values.shape[1]), np.nan)
            own[here[rows] >= 0] = values[here[rows][here[rows] >= 0]]
            if table.attrs["likelihood"] == "gaussian":
                own = own / _scale(table, group) - _of_group(table["intercept"], group)[block]
            arrays[group][:, block] = own
