"""Preparing steps that learn: scikit-learn estimators that take a cohort and return a cohort.

Each step learns from the rows that it is given and from nothing else, view by view and in blocks of features. What
it has learned is ``state_``, a Dataset a view: the features it keeps with their annotation, and its variables.
``transform`` matches features by id: those that are absent become NaN and are listed in the view's attribute
``absent_features``, others are dropped, and so are views that were not there in ``fit``. Results stay lazy.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, ClassVar, Self

import dask.array as da
import numpy as np
import pandas as pd
import xarray as xr
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_is_fitted

from omics.blocks import features_per_block, map_blocks, map_sum
from omics.cohort import clinical_table, node
from omics.prepare import transforms
from omics.schema import LIKELIHOODS, DataError, UsageError, view_names


def with_views(tree: xr.DataTree, views: Mapping[str, xr.Dataset]) -> xr.DataTree:
    """The same tree with other views; clinical table, account and attributes travel along."""
    rest = {part.path: part.to_dataset(inherit=False) for part in tree.subtree if not part.path.startswith("/views/")}
    return xr.DataTree.from_dict(rest | {f"/views/{name}": view for name, view in views.items()})


def with_values(view: xr.Dataset, values: Any) -> xr.Dataset:
    """The same view with other values of the same shape."""
    return view.assign(value=view["value"].copy(data=values))


def _on_blocks(kernel: Callable[..., np.ndarray], values: Any, **arguments: np.ndarray) -> Any:
    """``kernel(values, *arguments)``, lazily if the values are; an argument's key says its axes: s, f, or b (whole)."""
    if not isinstance(values, da.Array):
        return kernel(values, *arguments.values())
    pairs: list[Any] = []
    for axes, array in arguments.items():
        pairs += [da.from_array(array, chunks=-1, name=False), axes]
    empty = np.empty((0, 0), dtype=np.float32)
    return da.blockwise(kernel, "sf", values, "sf", *pairs, dtype=np.float32, meta=empty, concatenate=True)


def _annotation(view: xr.Dataset) -> xr.Dataset:
    """The features of a view and what is known about them, without values."""
    return view.coords.to_dataset().drop_dims("sample").drop_attrs(deep=False).compute()


def match(view: xr.Dataset, features: xr.Dataset, *, where: str) -> xr.Dataset:
    """The view with exactly those features, by id and in that order.

    A feature that the view lacks is NaN, and listed in the attribute ``absent_features``; but where the view says with
    the attribute ``unlisted`` what such a feature is (0 for genes that a list of mutations does not name), it is that.

    Parameters
    ----------
    view : xarray.Dataset
        Any view.
    features : xarray.Dataset
        ``feature`` and its annotation.
    where : str
        Name of the view, for the error.

    Raises
    ------
    DataError
        Not one of the features is there.
    """
    wanted, here = features.indexes["feature"], view.indexes["feature"]
    values, absent = view["value"].data, list(view.attrs.get("absent_features", ()))
    unlisted = view.attrs.get("unlisted")
    if not here.equals(wanted):
        position = here.get_indexer(wanted)
        present = position >= 0
        if not present.any() and unlisted is None:
            raise DataError(
                f"none of the {len(wanted)} features is there: {_some(wanted)} expected, {_some(here)} found",
                where=where,
                fix="use the ids of the cohort that was fitted",
            )
        values = _columns(values, position, np.nan if unlisted is None else unlisted)
        if unlisted is None:
            absent += wanted[~present].tolist()
    value = xr.Variable(("sample", "feature"), values, view["value"].attrs)
    annotation = {key: column for key, column in features.coords.items() if column.dims == ("feature",)}
    return view.drop_dims("feature").assign(value=value).assign_coords(annotation).assign_attrs(absent_features=absent)


def _columns(values: Any, position: np.ndarray, otherwise: float) -> Any:
    """The columns at those positions; `otherwise` where the position is -1."""
    present = position >= 0
    if not present.any():
        return np.full((len(values), len(position)), otherwise, dtype=np.float32)
    values = values[:, np.maximum(position, 0)]
    if isinstance(values, da.Array):
        values = values.rechunk({1: features_per_block(len(values), values.itemsize)})
    return values if present.all() else _on_blocks(partial(transforms.blank, otherwise=otherwise), values, f=present)


def _some(ids: pd.Index) -> str:
    return ", ".join(map(str, ids[:3])) or "nothing"


class Step(TransformerMixin, BaseEstimator):
    """One preparing step; a subclass says what it learns on one view and how it is applied.

    Attributes
    ----------
    state_ : dict of str to xarray.Dataset
        What was learned, by view: ``feature`` with annotation, and the variables that :attr:`learns` names.
    """

    #: Likelihoods of the views that the step is for; others pass.
    likelihoods: ClassVar[tuple[str, ...]] = LIKELIHOODS
    #: Variables of the state.
    learns: ClassVar[tuple[str, ...]] = ()

    state_: dict[str, xr.Dataset]

    def fit(self, tree: xr.DataTree, y: None = None) -> Self:
        """Learn from all rows of `tree`.

        Raises
        ------
        DataError
            A view has no sample, or no feature would be left.
        """
        self.state_ = {name: self._fitted(node(tree, f"views/{name}"), tree, name) for name in view_names(tree)}
        return self

    def transform(self, tree: xr.DataTree) -> xr.DataTree:
        """Apply what was learned to any cohort; lazy where its values are.

        Raises
        ------
        DataError
            A view has none of the features.
        """
        check_is_fitted(self, "state_")
        views = {}
        for name in sorted(set(view_names(tree)) & set(self.state_)):
            state = self.state_[name]
            view = match(node(tree, f"views/{name}"), state, where=name)
            views[name] = self._apply(view, state, tree) if set(self.learns) <= set(state.data_vars) else view
        return with_views(tree, views)

    def _fitted(self, view: xr.Dataset, tree: xr.DataTree, name: str) -> xr.Dataset:
        if not view.sizes["sample"]:
            raise DataError("the layer has no sample to learn from", where=name, fix="leave the layer out")
        if view.attrs.get("likelihood") not in self.likelihoods:
            return _annotation(view)
        state = self._learn(view, tree)
        if not state.sizes["feature"]:
            raise DataError(
                f"none of {view.sizes['feature']} features is left after {self!r}",
                where=name,
                fix="use a milder threshold or leave the layer out",
            )
        return state

    def _learn(self, view: xr.Dataset, tree: xr.DataTree) -> xr.Dataset:
        raise NotImplementedError

    def _apply(self, view: xr.Dataset, state: xr.Dataset, tree: xr.DataTree) -> xr.Dataset:
        return view


class DropMissing(Step):
    """Drop features that lack a value in too many samples.

    Parameters
    ----------
    max_missing : float
        Largest share of samples without a value that a feature may have.
    """

    def __init__(self, *, max_missing: float = 0.2) -> None:
        self.max_missing = max_missing

    def _learn(self, view: xr.Dataset, tree: xr.DataTree) -> xr.Dataset:
        share = np.concatenate(map_blocks(transforms.missing_share, view["value"].data))
        return _annotation(view).isel(feature=share <= self.max_missing)


class DropRare(Step):
    """Drop binary features with too few carriers, and those that every sample carries.

    Parameters
    ----------
    min_carriers : int
        Fewest samples with a 1 that a feature may have.
    """

    likelihoods = ("bernoulli",)

    def __init__(self, *, min_carriers: int = 3) -> None:
        self.min_carriers = min_carriers

    def _learn(self, view: xr.Dataset, tree: xr.DataTree) -> xr.Dataset:
        ones, zeros = np.concatenate(map_blocks(transforms.carriers, view["value"].data), axis=1)
        return _annotation(view).isel(feature=(ones >= self.min_carriers) & (zeros > 0))


class TopVariance(Step):
    """Keep the Gaussian features of largest variance; constants go in any case.

    Parameters
    ----------
    n_features : int or None
        Features to keep in each view, None for all that vary. Ties are broken by id.
    """

    likelihoods = ("gaussian",)

    def __init__(self, *, n_features: int | None = 5000) -> None:
        self.n_features = n_features

    def _learn(self, view: xr.Dataset, tree: xr.DataTree) -> xr.Dataset:
        spread = np.concatenate(map_blocks(transforms.variance, view["value"].data))
        largest_first = np.lexsort((view.indexes["feature"].to_numpy(), -spread))[: self.n_features]
        return _annotation(view).isel(feature=np.sort(largest_first[spread[largest_first] > 0]))

    def fit_transform(self, tree: xr.DataTree, y: None = None) -> xr.DataTree:
        """Fit, and hold the few features that are kept in memory: later steps and the model read them again."""
        chosen = self.fit(tree).transform(tree)
        if self.n_features is None:
            return chosen
        views = {name: node(chosen, f"views/{name}") for name in view_names(chosen)}
        return with_views(chosen, {name: _held(view, self.likelihoods) for name, view in views.items()})


def _held(view: xr.Dataset, likelihoods: tuple[str, ...]) -> xr.Dataset:
    return view.compute() if view.attrs.get("likelihood") in likelihoods else view


def check_column(tree: xr.DataTree, column: str) -> None:
    """Refuse a clinical column that is not there.

    Raises
    ------
    UsageError
        It is not there.
    """
    columns = clinical_table(tree).columns
    if column not in columns:
        raise UsageError(
            f"the clinical table has no column '{column}' to take off as batch",
            fix=f"columns: {', '.join(columns) or 'none, there is no clinical table'}",
        )


class RemoveBatch(Step):
    """Take off each batch's mean difference from the overall mean, feature by feature, in Gaussian views.

    The samples of an unknown batch are left as they are and listed in the view's attribute ``unknown_batch``. What
    differs between batches for good reason (subtypes that one hospital sees more often) is taken off as well.

    Parameters
    ----------
    column : str
        Clinical column that names the batch.
    """

    likelihoods = ("gaussian",)
    learns = ("offset",)

    def __init__(self, *, column: str = "site") -> None:
        self.column = column

    def fit(self, tree: xr.DataTree, y: None = None) -> Self:
        """Learn from all rows of `tree`.

        Raises
        ------
        UsageError
            The clinical table has no such column.
        """
        check_column(tree, self.column)
        return super().fit(tree)

    def _labels(self, view: xr.Dataset, tree: xr.DataTree) -> np.ndarray:
        table = clinical_table(tree)
        if self.column not in table:
            return np.full(view.sizes["sample"], None, dtype=object)
        column = table[self.column].reindex(view.indexes["sample"])
        return np.array([None if pd.isna(label) else str(label) for label in column], dtype=object)

    def _learn(self, view: xr.Dataset, tree: xr.DataTree) -> xr.Dataset:
        codes, batches = pd.factorize(self._labels(view, tree), sort=True)
        if not len(batches):
            raise UsageError(f"no sample has a value in the clinical column '{self.column}'", fix="name another column")
        learn = partial(transforms.batch_offsets, codes=codes, n_batches=len(batches))
        offset = np.concatenate(map_blocks(learn, view["value"].data), axis=1)
        return _annotation(view).assign(offset=(("batch", "feature"), offset)).assign_coords(batch=batches)

    def _apply(self, view: xr.Dataset, state: xr.Dataset, tree: xr.DataTree) -> xr.Dataset:
        codes = state.indexes["batch"].get_indexer(pd.Index(self._labels(view, tree)))
        table = np.pad(state["offset"].to_numpy(), ((0, 1), (0, 0)))  # code -1 takes the last row: no offset
        values = _on_blocks(transforms.take_off_batch, view["value"].data, s=codes, bf=table)
        unknown = view.indexes["sample"][codes < 0].tolist()
        return with_values(view, values).assign_attrs(unknown_batch=unknown)


class Centre(Step):
    """Take off each Gaussian feature's mean."""

    likelihoods = ("gaussian",)
    learns = ("mean",)

    def _learn(self, view: xr.Dataset, tree: xr.DataTree) -> xr.Dataset:
        mean = np.concatenate(map_blocks(transforms.mean, view["value"].data))
        return _annotation(view).assign(mean=("feature", mean))

    def _apply(self, view: xr.Dataset, state: xr.Dataset, tree: xr.DataTree) -> xr.Dataset:
        return with_values(view, _on_blocks(transforms.take_off, view["value"].data, f=state["mean"].to_numpy()))


class Scale(Step):
    """Divide each Gaussian view by one number, the standard deviation of all its values, so that views weigh alike.

    Features keep their variances relative to each other, as with MOFA's ``scale_views``.
    """

    likelihoods = ("gaussian",)
    learns = ("scale",)

    def _learn(self, view: xr.Dataset, tree: xr.DataTree) -> xr.Dataset:
        n, _, square = map_sum(transforms.moments, view["value"].data, transforms.pool)
        return _annotation(view).assign(scale=float(np.sqrt(square / n)) if square else 1.0)

    def _apply(self, view: xr.Dataset, state: xr.Dataset, tree: xr.DataTree) -> xr.Dataset:
        return with_values(view, view["value"].data / np.float32(state["scale"]))


_SUBSTITUTES: Mapping[str, Callable[[np.ndarray], np.ndarray]] = {
    "mean": transforms.mean,
    "median": transforms.median,
}


class Impute(Step):
    """Fill missing values, for models that need complete data (MOFA does not).

    Parameters
    ----------
    strategy : {"mean", "median"}
        What of the feature's known values is filled in.
    """

    learns = ("substitute",)

    def __init__(self, *, strategy: str = "mean") -> None:
        self.strategy = strategy

    def _learn(self, view: xr.Dataset, tree: xr.DataTree) -> xr.Dataset:
        if self.strategy not in _SUBSTITUTES:
            raise UsageError(f"unknown strategy '{self.strategy}'", fix=f"one of {', '.join(_SUBSTITUTES)}")
        substitute = np.concatenate(map_blocks(_SUBSTITUTES[self.strategy], view["value"].data))
        return _annotation(view).assign(substitute=("feature", substitute))

    def _apply(self, view: xr.Dataset, state: xr.Dataset, tree: xr.DataTree) -> xr.Dataset:
        return with_values(view, _on_blocks(transforms.fill, view["value"].data, f=state["substitute"].to_numpy()))


#: Name to class, as written in recipes.
STEPS: Mapping[str, type[Step]] = {
    step.__name__: step for step in (DropMissing, DropRare, RemoveBatch, TopVariance, Centre, Scale, Impute)
}
