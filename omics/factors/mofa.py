"""MOFA as an estimator: fit on a cohort, give the factors of other patients, be stored as a tree."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Self

import numpy as np
import xarray as xr
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted
from threadpoolctl import threadpool_limits

from omics import blocks
from omics.cohort import node, samples
from omics.factors import reference
from omics.factors.layers import centred, read_layer, refuse_uninformative
from omics.factors.projection import posterior
from omics.factors.start import pca_start, random_start
from omics.factors.state import Engine, Expectations, Layer, Options, Weights
from omics.factors.tables import arranged, factors_table, restarts_table, to_weights, variance_table, weights_table
from omics.factors.variance import explained
from omics.schema import DataError, UsageError, check, check_cohort, view_names

#: Engines by name: ``engine(layers, start, options)``.
ENGINES: Mapping[str, Engine] = MappingProxyType({"mofapy2": reference.fit})
_CONVERGENCE = ("fast", "medium", "slow")


class MOFA(BaseEstimator):
    """Multi-omics factor analysis: factors shared by layers, or private to one.

    ``y_nd ~ N(sum_k z_nk w_dk, 1/tau_d)`` for each Gaussian view after centring by feature, a logistic or Poisson
    likelihood for binary or count views, ``z_nk ~ N(0, 1)``, and sparse priors on the weights; fitted by variational
    inference. Patients may lack features or whole views.

    Parameters
    ----------
    n_factors : int
        Factors; all are kept, those that explain nothing are marked in ``variance_``.
    engine : str
        Key of :data:`ENGINES`.
    n_restarts : int
        Fits, of which the one with the highest bound is kept: the first starts from principal components, the others
        from noise. They run in parallel on dask's active scheduler.
    max_iter : int
        Iterations of a fit at most.
    convergence : {"fast", "medium", "slow"}
        When to stop: relative change of the bound below 5e-6, 5e-7 or 5e-8, twice in a row.
    spikeslab_weights, ard_weights : bool
        Sparsity of single weights; of factors within a view.
    scale_views : bool
        Divide each Gaussian view by one number, its standard deviation, before the fit.
    random_state : int
        Seed of the restarts.

    Attributes
    ----------
    factors_ : xarray.Dataset
        score(sample, factor) and score_sd as the engine left them: means and sds of a posterior in which the factors
        are independent. :meth:`transform` gives the joint posterior, whose sds are a little larger.
    weights_ : dict of str to xarray.Dataset
        By view: weight(feature, factor), weight_square, intercept(feature), precision, in the units of the view.
    variance_ : xarray.Dataset
        r2(view, factor), r2_total(view), active(factor).
    restarts_ : xarray.Dataset
        elbo, iterations, seed, start, converged by restart.

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
        n_factors: int = 15,
        engine: str = "mofapy2",
        n_restarts: int = 1,
        max_iter: int = 1000,
        convergence: str = "fast",
        spikeslab_weights: bool = True,
        ard_weights: bool = True,
        scale_views: bool = False,
        random_state: int = 0,
    ) -> None:
        self.n_factors = n_factors
        self.engine = engine
        self.n_restarts = n_restarts
        self.max_iter = max_iter
        self.convergence = convergence
        self.spikeslab_weights = spikeslab_weights
        self.ard_weights = ard_weights
        self.scale_views = scale_views
        self.random_state = random_state

    @threadpool_limits.wrap(limits=1)  # threads of BLAS inside threads of dask: slower, and other last digits
    def fit(self, cohort: xr.DataTree) -> Self:
        """Fit on all samples of a cohort whose views are prepared.

        Parameters
        ----------
        cohort : xarray.DataTree
            ``/views/<name>``; a sample needs only one of them. It is not changed.

        Raises
        ------
        UsageError
            A parameter is out of range.
        DataError
            A view has a feature without variance or values that its likelihood cannot have, there are too few samples
            for the factors, or no restart ended with a finite bound.
        """
        self._refuse_parameters()
        check_cohort(cohort)
        ids, names = samples(cohort), view_names(cohort)
        views = [node(cohort, f"views/{name}") for name in names]
        read = [self._layer(view, ids, name) for view, name in zip(views, names, strict=True)]
        layers, means, sds = zip(*read, strict=True)
        fits, seeds = self._restarts(layers)
        best = _best(fits)
        shares = [explained(layer, weights, best) for layer, weights in zip(layers, best.weights, strict=True)]
        best, shares = arranged(best, shares)
        score_sd = np.sqrt(best.score_square - best.score**2)
        self.factors_ = factors_table(best.score, score_sd, ids)
        tables = map(weights_table, best.weights, views, means, sds)
        self.weights_ = dict(zip(names, tables, strict=True))
        self.variance_ = variance_table(shares, names)
        self.restarts_ = restarts_table(fits, seeds)
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
            There is no patient, no view or no feature is shared with the fit, or a view has another likelihood or other
            units.
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
        if not any(np.isin(view["feature"], self.weights_[name]["feature"]).any() for name, view in views.items()):
            raise DataError("no feature is shared with the factor model", where="cohort", fix="compare the feature ids")
        ids = samples(cohort)
        if not len(ids):
            raise DataError("there is no patient", where="cohort", fix="check the ids that were selected")
        aligned = [self._aligned(view, ids, name) for name, view in views.items()]
        return factors_table(*posterior(aligned), ids)

    def to_tree(self) -> xr.DataTree:
        """The fitted model: ``/factors``, ``/views/<name>``, ``/variance``, ``/restarts``, the attribute ``mofa``."""
        check_is_fitted(self, "weights_")
        return xr.DataTree.from_dict(
            {
                "/": xr.Dataset(attrs={"mofa": json.dumps(self.get_params(), default=np.generic.item)}),
                "/factors": self.factors_,
                **{f"/views/{name}": table for name, table in self.weights_.items()},
                "/variance": self.variance_,
                "/restarts": self.restarts_,
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
        model.factors_ = check(node(tree, "factors"), "factors", where="/factors").compute()
        model.weights_ = {
            name: check(node(tree, f"views/{name}"), "weights", where=f"/views/{name}").compute()
            for name in view_names(tree)
        }
        model.variance_ = check(node(tree, "variance"), "variance", where="/variance").compute()
        model.restarts_ = check(node(tree, "restarts"), "restarts", where="/restarts").compute()
        return model

    def _refuse_parameters(self) -> None:
        for name in ("n_factors", "n_restarts", "max_iter"):
            if getattr(self, name) < 1:
                raise UsageError(f"{name} is {getattr(self, name)}", fix="give at least 1")
        for name, choices in (("engine", tuple(ENGINES)), ("convergence", _CONVERGENCE)):
            if getattr(self, name) not in choices:
                raise UsageError(f"{name} is {getattr(self, name)!r}", fix=f"choose {' or '.join(choices)}")

    def _layer(self, view: xr.Dataset, ids: np.ndarray, name: str) -> tuple[Layer, np.ndarray, float]:
        where, features = f"/views/{name}", view.indexes["feature"]
        layer = read_layer(view, ids, features, where=where)
        refuse_uninformative(layer, features, where=where)
        return centred(layer, scale=self.scale_views)

    def _aligned(self, view: xr.Dataset, ids: np.ndarray, name: str) -> tuple[np.ndarray, Weights]:
        """Values of new patients in the rows and columns that the weights need, and the weights."""
        table = self.weights_[name]
        for attribute in ("likelihood", "units"):
            got, expected = view.attrs.get(attribute), table.attrs.get(attribute)
            if got != expected:
                raise DataError(
                    f"{attribute} is {got!r}",
                    where=f"/views/{name}",
                    fix=f"the factor model was fitted on {expected!r}; prepare alike",
                )
        layer = read_layer(view, ids, table.indexes["feature"], where=f"/views/{name}")
        return layer.values, to_weights(table)

    def _restarts(self, layers: Sequence[Layer]) -> tuple[list[Expectations], np.ndarray]:
        """Fit from principal components, then from noise; with the seeds."""
        n_samples, n_features = len(layers[0].values), sum(layer.values.shape[1] for layer in layers)
        if self.n_factors >= min(n_samples, n_features):
            raise DataError(
                f"{self.n_factors} factors are too many for {n_samples} samples and {n_features} features",
                where="cohort",
                fix="ask for fewer factors than there are samples and features",
            )
        seeds = np.random.SeedSequence(self.random_state).generate_state(self.n_restarts)
        starts = [pca_start(layers, self.n_factors)]
        starts += [random_start(n_samples, self.n_factors, int(seed)) for seed in seeds[1:]]
        options = Options(self.spikeslab_weights, self.ard_weights, self.max_iter, self.convergence)
        return blocks.each(_fit, starts, ENGINES[self.engine], list(layers), options), seeds


def _fit(start: np.ndarray, engine: Engine, layers: Sequence[Layer], options: Options) -> Expectations:
    return engine(layers, start, options)


def _best(fits: Sequence[Expectations]) -> Expectations:
    bounds = np.array([fit.elbo for fit in fits])
    if not np.isfinite(bounds).any():
        raise DataError(
            "no fit ended with a finite evidence lower bound",
            where="cohort",
            fix="look for extreme values in the views, or ask for fewer factors",
        )
    return fits[int(np.argmax(np.where(np.isfinite(bounds), bounds, -np.inf)))]
