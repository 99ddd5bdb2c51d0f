"""MOFA as an estimator: fit on a cohort, give the factors of other patients, be stored as a tree."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Self

import dask.array as da
import numpy as np
import pandas as pd
import xarray as xr
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted
from threadpoolctl import threadpool_limits

from omics.cohort import clinical_table, node, samples
from omics.factors import reference, stream
from omics.factors.checkpoint import Checkpoint
from omics.factors.holding import HOLDS, held
from omics.factors.imputation import inverse
from omics.factors.layers import layer_of, refuse_apart
from omics.factors.projected import Projected
from omics.factors.projection import posterior
from omics.factors.state import Engine, Expectations, Layer, Options, Start
from omics.factors.tables import (
    arranged,
    factors_table,
    restart_scores_table,
    restarts_table,
    stability,
    to_weights,
    trace_table,
    variance_table,
    weights_table,
)
from omics.schema import DataError, UsageError, check, check_cohort, view_names

#: Engines by name.
ENGINES: Mapping[str, Engine] = MappingProxyType({"stream": stream.fit, "mofapy2": reference.fit})
_CHOICES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "engine": tuple(ENGINES),
        "convergence": tuple(stream.THRESHOLDS),
        "start": ("pca", "random"),
        "dtype": ("float32", "float64"),
        "hold": HOLDS,
    }
)
#: With n_factors="auto": where a fit starts, and the share of variance below which it drops a factor.
_MANY, _WORTH = 25, 0.01
#: The group of all samples where none were asked for; mofapy2 calls it so.
ONE_GROUP = "group1"


class MOFA(BaseEstimator):
    """Multi-omics factor analysis: factors shared by layers, or private to one.

    ``y_nd ~ N(sum_k z_nk w_dk, 1/tau_d)`` for each Gaussian view after centring by feature, a logistic or Poisson
    likelihood for binary or count views, ``z_nk ~ N(0, 1)``, and sparse priors on the weights; fitted by variational
    inference. Patients may lack features or whole views.

    Parameters
    ----------
    n_factors : int, sequence of int, or "auto"
        Factors. Of several numbers, the one whose best fit has the highest bound is kept. "auto" starts with 25 and
        drops those that explain less than 1 % of every view.
    engine : str
        Key of :data:`ENGINES`. "stream" reads the data once an iteration, from memory, disk or a cluster; "mofapy2" is
        the reference.
    n_restarts : int
        Fits for each number of factors, of which the one with the highest bound is kept. They share their passes over
        the data.
    start : {"pca", "random"}
        Where the first of them starts; the others always start from noise.
    max_iter : int
        Iterations of a fit at most.
    convergence : {"fast", "medium", "slow"}
        When to stop: relative change of the bound below 5e-6, 5e-7 or 5e-8, twice in a row.
    spikeslab_weights, ard_weights : bool
        Sparsity of single weights; of factors within a view.
    spikeslab_factors, ard_factors : bool
        Sparsity of single scores; of factors within a group.
    groups : str, optional
        Clinical column that names the group of each patient: features are centred, and their noise is learnt, by group.
    scale_views, scale_groups : bool
        Divide each Gaussian view (in each group) by one number, its standard deviation, before the fit.
    weight_views : bool
        Let no view outweigh the others by its number of features.
    drop : float, optional
        Drop factors that explain less than this share of variance of every view in every group, during the fit.
        Without it all are kept, and those that explain nothing are marked in ``variance_``.
    dtype : {"float32", "float64"}
        Of the data in memory and of the products with them.
    compat : bool
        mofapy2's numbers, iteration by iteration: its order of updates, and its bounds for binary and count views,
        which have no intercept and are not monotone.
    hold : {"auto", "memory", "disk", "store"}
        Where the data lie between two passes. The numbers do not depend on it.
    random_state : int
        Seed of the restarts.

    Attributes
    ----------
    factors_ : xarray.Dataset
        score(sample, factor) and score_sd as the engine left them: means and sds of a posterior in which the factors
        are independent. :meth:`transform` gives the joint posterior, whose sds are a little larger. group(sample).
    weights_ : dict of str to xarray.Dataset
        By view: weight(feature, factor), weight_square, in the units of the view (with `scale_groups`: in standard
        deviations of the view in a group); intercept(group, feature), precision(group, feature), scale(group).
    variance_ : xarray.Dataset
        r2(view, factor), r2_total(view), the same by group, active(factor), stability(factor).
    restarts_ : xarray.Dataset
        elbo, iterations, seed, start, converged, n_factors by restart.
    restart_scores_ : xarray.Dataset or None
        score(restart, sample, factor) of the other restarts that ended with as many factors, each factor the one that
        matches, turned to the same sign; None where there is no such restart.
    trace_ : xarray.Dataset
        elbo and seconds of the fit that was kept, whenever the bound was computed.

    Notes
    -----
    Factors are sorted by the variance that they explain, summed over views. The sign of a factor is such that its
    largest weight, in standard deviations of the view, is positive.

    References
    ----------
    Argelaguet et al. (2018), Molecular Systems Biology 14:e8124; Argelaguet et al. (2020), Genome Biology 21:111.
    """

    def __init__(
        self,
        *,
        n_factors: int | Sequence[int] | str = 15,
        engine: str = "stream",
        n_restarts: int = 1,
        start: str = "pca",
        max_iter: int = 1000,
        convergence: str = "fast",
        spikeslab_weights: bool = True,
        ard_weights: bool = True,
        spikeslab_factors: bool = False,
        ard_factors: bool = False,
        groups: str | None = None,
        scale_views: bool = False,
        scale_groups: bool = False,
        weight_views: bool = False,
        drop: float | None = None,
        dtype: str = "float32",
        compat: bool = False,
        hold: str = "auto",
        random_state: int = 0,
    ) -> None:
        self.n_factors = n_factors
        self.engine = engine
        self.n_restarts = n_restarts
        self.start = start
        self.max_iter = max_iter
        self.convergence = convergence
        self.spikeslab_weights = spikeslab_weights
        self.ard_weights = ard_weights
        self.spikeslab_factors = spikeslab_factors
        self.ard_factors = ard_factors
        self.groups = groups
        self.scale_views = scale_views
        self.scale_groups = scale_groups
        self.weight_views = weight_views
        self.drop = drop
        self.dtype = dtype
        self.compat = compat
        self.hold = hold
        self.random_state = random_state

    @threadpool_limits.wrap(limits=1)  # threads of BLAS inside threads of dask: slower, and other last digits
    def fit(
        self,
        cohort: xr.DataTree,
        *,
        watch: Callable[[stream.Report], None] | None = None,
        checkpoint: Checkpoint | None = None,
    ) -> Self:
        """Fit on all samples of a cohort whose views are prepared.

        Parameters
        ----------
        cohort : xarray.DataTree
            ``/views/<name>``; a sample needs only one of them. It is not changed.
        watch : callable, optional
            Is told about every pass of the stream engine.
        checkpoint : Checkpoint, optional
            Where the stream engine keeps its state, now and then and when it is interrupted, and from where it goes on.

        Raises
        ------
        UsageError
            A parameter is out of range.
        DataError
            A view has a feature without variance or values that its likelihood cannot have, views have no sample in
            common, there are too few samples for the factors, or no restart ended with a finite bound.
        """
        self._refuse_parameters()
        check_cohort(cohort)
        ids, codes, labels = self._grouped(cohort)
        names = view_names(cohort)
        views = [node(cohort, f"views/{name}") for name in names]
        layers = [layer_of(view, ids, name) for view, name in zip(views, names, strict=True)]
        refuse_apart(layers)
        starts = self._starts(layers, ids.size)
        fits = self._engine(layers, watch, checkpoint)(layers, codes, starts, self._options())
        chosen = _best(fits)
        best = arranged(fits[chosen])
        self.factors_ = factors_table(best.score, _sd(best), ids, labels[codes]).sortby("sample")
        self.weights_ = {
            name: weights_table(weights, view, labels, scale)
            for name, weights, view, scale in zip(names, best.weights, views, self._scales(best), strict=True)
        }
        same = {f: fit.score for f, fit in enumerate(fits) if f != chosen and fit.score.shape == best.score.shape}
        self.variance_ = variance_table(best.explained, names, labels, stability(best.score, [*same.values()]))
        self.restarts_ = restarts_table(fits, starts)
        self.restart_scores_ = restart_scores_table(best.score, same, ids).sortby("sample") if same else None
        self.trace_ = trace_table(best)
        return self

    def transform(self, cohort: xr.DataTree) -> xr.Dataset:
        """Posterior of the factors of any patients, seen by the fit or not; see :mod:`omics.factors.projection`.

        Features are matched by id: those that the cohort lacks count as missing, others are ignored. A patient about
        whom nothing is known gets the prior, 0 with sd 1.

        Parameters
        ----------
        cohort : xarray.DataTree
            Views prepared as those of the fit; any of them may be absent.

        Returns
        -------
        xarray.Dataset
            score(sample, factor), score_sd(sample, factor) for all samples of the cohort, sorted by id.

        Raises
        ------
        DataError
            There is no patient, no view or no feature is shared with the fit, a view has another likelihood or other
            units, or a patient is of a group that the fit has not seen.
        """
        check_is_fitted(self, "weights_")
        check_cohort(cohort)
        views = {name: node(cohort, f"views/{name}") for name in view_names(cohort) if name in self.weights_}
        if not views:
            raise DataError(
                f"no view is shared with the factor model: the cohort has {', '.join(view_names(cohort))}",
                where="cohort",
                fix=f"the model was fitted on {', '.join(self.weights_)}",
            )
        if not any(
            view.indexes["feature"].isin(self.weights_[name].indexes["feature"]).any() for name, view in views.items()
        ):
            raise DataError("no feature is shared with the factor model", where="cohort", fix="compare the feature ids")
        ids = samples(cohort)
        if not len(ids):
            raise DataError("there is no patient", where="cohort", fix="check the ids that were selected")
        codes, labels = self._groups_of(cohort, ids)
        aligned = [self._projected(view, ids, codes, name) for name, view in views.items()]
        return factors_table(*posterior(aligned, codes, compat=self.compat), ids, labels[codes])

    def inverse_transform(self, scores: xr.Dataset) -> xr.DataTree:
        """What the model expects of every feature of every view, given scores: imputation.

        Parameters
        ----------
        scores : xarray.Dataset
            What :meth:`transform` gave, or ``factors_``.

        Returns
        -------
        xarray.DataTree
            ``/views/<name>`` with value(sample, feature), lazy and in blocks of features: means of a Gaussian view,
            probabilities of a binary one, rates of counts.

        Raises
        ------
        UsageError
            Those are not scores with the group of each sample, or a group that the model does not know.
        """
        check_is_fitted(self, "weights_")
        labels = self._labels()
        if not isinstance(scores, xr.Dataset) or not {"score", "group"} <= set(scores.variables):
            raise UsageError(
                f"scores are a {type(scores).__name__} without 'score' or 'group'",
                fix="give the Dataset that transform returns, or factors_",
            )
        codes = pd.Index(labels).get_indexer(pd.Index(scores["group"].to_numpy()))
        if (codes < 0).any():
            strange = scores["group"].to_numpy()[codes < 0][0]
            raise UsageError(f"the model has no group '{strange}'", fix=f"it has {', '.join(map(str, labels))}")
        views = {}
        for name, table in self.weights_.items():
            scale = table["scale"].to_numpy()
            values = inverse(scores["score"].to_numpy(), to_weights(table), codes, compat=self.compat)
            values = values * da.from_array(scale[codes][:, None], chunks=(values.chunks[0], 1)).astype(np.float32)
            coords = {key: table[key] for key in table.coords if table[key].dims == ("feature",)}
            views[f"/views/{name}"] = xr.Dataset(
                {"value": (("sample", "feature"), values)},
                coords={**coords, "sample": scores["sample"]},
                attrs=table.attrs,
            )
        return xr.DataTree.from_dict(views)

    def to_tree(self) -> xr.DataTree:
        """The fitted model: ``/factors``, ``/views``, ``/variance``, ``/restarts``, ``/trace``, attribute ``mofa``.

        ``/restart_scores`` too, if there are any.
        """
        check_is_fitted(self, "weights_")
        # Equal fits give equal trees: neither where the data lay nor how long it took is part of a model.
        parameters = {name: value for name, value in self.get_params().items() if name != "hold"}
        return xr.DataTree.from_dict(
            {
                "/": xr.Dataset(attrs={"mofa": json.dumps(parameters, default=np.generic.item)}),
                "/factors": self.factors_,
                **{f"/views/{name}": table for name, table in self.weights_.items()},
                "/variance": self.variance_,
                "/restarts": self.restarts_,
                **({} if self.restart_scores_ is None else {"/restart_scores": self.restart_scores_}),
                "/trace": self.trace_.drop_vars("seconds", errors="ignore"),
            }
        )

    @classmethod
    def from_tree(cls, tree: xr.DataTree) -> Self:
        """The model that :meth:`to_tree` gave, whether it was stored meanwhile or not.

        Raises
        ------
        DataError
            The tree is not a factor model.
        """
        if "mofa" not in tree.attrs or not view_names(tree):
            raise DataError(
                "this tree is no factor model", where="attribute 'mofa'", fix="give what omics factors wrote"
            )
        model = cls(**json.loads(tree.attrs["mofa"]))
        parts = {
            name: check(node(tree, name), name, where=f"/{name}").compute()
            for name in ("factors", "variance", "restarts", "trace", "restart_scores")
            if name != "restart_scores" or name in tree.children
        }
        model.factors_, model.variance_, model.restarts_, model.trace_, *more = parts.values()
        model.restart_scores_ = more[0] if more else None
        model.weights_ = {
            name: check(node(tree, f"views/{name}"), "weights", where=f"/views/{name}").compute()
            for name in view_names(tree)
        }
        return model

    # --- parameters -----------------------------------------------------------------------------------------------

    def _refuse_parameters(self) -> None:
        for name in ("n_restarts", "max_iter"):
            if getattr(self, name) < 1:
                raise UsageError(f"{name} is {getattr(self, name)}", fix="give at least 1")
        for name, choices in _CHOICES.items():
            if getattr(self, name) not in choices:
                raise UsageError(f"{name} is {getattr(self, name)!r}", fix=f"choose {' or '.join(choices)}")
        if not self._sizes() or min(self._sizes()) < 1:
            raise UsageError(f"n_factors is {self.n_factors}", fix='give at least 1, several numbers, or "auto"')
        if self.drop is not None and not 0 <= self.drop < 1:
            raise UsageError(f"drop is {self.drop}", fix="give a share of variance, 0 to 1")

    def _sizes(self) -> list[int]:
        if isinstance(self.n_factors, str):
            return [_MANY] if self.n_factors == "auto" else []
        return [int(self.n_factors)] if np.isscalar(self.n_factors) else [int(n) for n in self.n_factors]  # type: ignore[arg-type,union-attr]

    def _options(self) -> Options:
        shared = set(Options._fields) & set(self.get_params())
        options = Options(**{name: getattr(self, name) for name in shared})
        return options._replace(drop=_WORTH) if self.n_factors == "auto" and self.drop is None else options

    def _starts(self, layers: Sequence[Layer], n_samples: int) -> list[Start]:
        """For each number of factors principal components (or noise), then noise; more only add to the first."""
        limit = min(n_samples, sum(layer.values.shape[1] for layer in layers))
        sizes = [min(_MANY, limit - 1)] if self.n_factors == "auto" else self._sizes()
        if max(sizes) >= limit or limit < 2:
            raise DataError(
                f"{max(sizes)} factors are too many for {n_samples} samples and "
                f"{sum(layer.values.shape[1] for layer in layers)} features",
                where="cohort",
                fix="ask for fewer factors than there are samples and features",
            )
        seeds = np.random.SeedSequence(self.random_state).generate_state(self.n_restarts)
        first = None if self.start == "pca" else int(seeds[0])
        return [Start(size, seed) for size in sizes for seed in [first, *map(int, seeds[1:])]]

    def _engine(
        self, layers: Sequence[Layer], watch: Callable[[stream.Report], None] | None, checkpoint: Checkpoint | None
    ) -> Callable[..., list[Expectations]]:
        if self.engine != "stream":
            return ENGINES[self.engine]

        def run(*arguments: Any) -> list[Expectations]:
            with held(layers, self.dtype, self.hold) as holding:
                return stream.fit(*arguments, holding=holding, watch=watch, checkpoint=checkpoint)

        return run

    # --- groups ---------------------------------------------------------------------------------------------------

    def _labels(self) -> np.ndarray:
        return np.asarray(next(iter(self.weights_.values()))["group"].to_numpy(), dtype=object)

    def _grouped(self, cohort: xr.DataTree) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Sample ids sorted by group and id, the group of each as a code, and the names of the groups, sorted."""
        ids = samples(cohort)
        if self.groups is None:
            return ids, np.zeros(ids.size, dtype=int), np.array([ONE_GROUP], dtype=object)
        names = self._column(cohort, ids)
        labels, codes = np.unique(names.astype(str), return_inverse=True)
        order = np.argsort(codes, kind="stable")
        return ids[order], codes[order], labels.astype(object)

    def _groups_of(self, cohort: xr.DataTree, ids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Group of each patient among those of the fit."""
        labels = self._labels()
        if self.groups is None:
            return np.zeros(ids.size, dtype=int), labels
        names = self._column(cohort, ids).astype(str)
        codes = pd.Index(labels).get_indexer(pd.Index(names))
        if (codes < 0).any():
            raise DataError(
                f"group {names[codes < 0][0]} was not in the fit",
                where=f"/clinical, {self.groups}",
                fix=f"the model knows {', '.join(labels)}",
            )
        return codes, labels

    def _column(self, cohort: xr.DataTree, ids: np.ndarray) -> np.ndarray:
        table = clinical_table(cohort)
        if self.groups not in table:
            raise UsageError(
                f"there is no clinical column '{self.groups}'",
                where="groups",
                fix=f"there are {', '.join(map(str, table.columns)) or 'none'}",
            )
        column = table[self.groups].reindex(ids)
        if column.isna().any():
            lacking = column.index[column.isna()][:5]
            raise DataError(
                f"{column.isna().sum()} patients have no group: {', '.join(lacking)}",
                where=f"/clinical, {self.groups}",
                fix="fill the column, or leave them out",
            )
        return column.to_numpy()

    # --- units ----------------------------------------------------------------------------------------------------

    def _scales(self, best: Expectations) -> list[np.ndarray]:
        """What a view's fitted values are multiplied by in each group: 1, unless groups were scaled by themselves."""
        return list(best.scales) or [np.ones(len(weights.intercept)) for weights in best.weights]

    def _projected(self, view: xr.Dataset, ids: np.ndarray, codes: np.ndarray, name: str) -> Projected:
        """Values of new patients and where they belong, in the units of the weights."""
        table = self.weights_[name]
        for attribute in ("likelihood", "units"):
            got, expected = view.attrs.get(attribute), table.attrs.get(attribute)
            if got != expected:
                raise DataError(
                    f"{attribute} is {got!r}",
                    where=f"/views/{name}",
                    fix=f"the factor model was fitted on {expected!r}; prepare alike",
                )
        rows = pd.Index(ids).get_indexer(view.indexes["sample"])
        columns = view.indexes["feature"].get_indexer(table.indexes["feature"])
        values, scale = view["value"].data, table["scale"].to_numpy()
        if (scale != 1).any():
            values = values / scale[codes[rows]][:, None]
        return Projected(values, rows, columns, to_weights(table), f"/views/{name}")


def _sd(fit: Expectations) -> np.ndarray:
    return np.sqrt(np.maximum(fit.score_square - fit.score**2, 0.0))


def _best(fits: Sequence[Expectations]) -> int:
    bounds = np.array([fit.elbo for fit in fits])
    if not np.isfinite(bounds).any():
        raise DataError(
            "no fit ended with a finite evidence lower bound",
            where="cohort",
            fix="look for extreme values in the views, or ask for fewer factors",
        )
    return int(np.argmax(np.where(np.isfinite(bounds), bounds, -np.inf)))
