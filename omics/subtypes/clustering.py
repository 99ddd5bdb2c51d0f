"""The subtype estimator: a mixture on the factors, its number of components chosen by stability."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from copy import copy
from numbers import Integral
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from sklearn.base import BaseEstimator, ClusterMixin
from sklearn.utils.validation import check_is_fitted
from threadpoolctl import threadpool_limits

from omics.cohort import node
from omics.schema import DataError, UsageError, check, describe
from omics.subtypes import mixture, stability
from omics.subtypes.algorithms import ALGORITHMS, Data
from omics.subtypes.assignment import with_reach
from omics.subtypes.counting import jaccard_each
from omics.subtypes.layers import components
from omics.subtypes.matching import covariance_of
from omics.subtypes.standard import checked, importance, in_order, informative, standard_of, z_of

#: A subtype with a mean Jaccard index below this dissolves in other draws of patients (Hennig 2007).
VALID = 0.75
#: At this mean Jaccard index or below, a subtype is not the same one in other draws of patients (Hennig 2007).
DISSOLVED = 0.5
#: Level of the tests of one number of clusters against the cluster-free null.
LEVEL = 0.05
#: Level of the test of structure, by the mean Jaccard index of the weakest cluster of the best number. The null keeps
#: only margins and correlations: in curved clouds of points, which have no clusters either, the test rejects more often
#: than it should. Their pieces are valid, but hardly as stable as clusters that lie apart; what is not must be clearer.
CLAIM_LEVELS = {0.95: 0.05, VALID: 0.025, 0.0: 0.01}
#: A difference in mean adjusted Rand index that is within what other subsamples would give, and the same as a share of
#: what the larger index lacks to 1: the less stable clusters are, the less sure is how stable.
ABOUT_AS_STABLE, SHARE_OF_LACK = 0.03, 0.25


class Subtypes(ClusterMixin, BaseEstimator):
    """Cluster patients on their factors, with as many clusters as survive resampling and beat a cluster-free null.

    By default a Gaussian mixture with a shared covariance on standardised factors; factors that are more uncertain
    than they vary are left out, unless all are. With ``n_subtypes=None`` the stability of each number of clusters,
    the mean adjusted Rand index over subsamples of the patients, is compared with that in cluster-free data of the
    same correlations, skew and tails. A number is looked at further if it exceeds these and none of its clusters
    dissolves (mean Jaccard index above 0.5). There is structure if the numbers together exceed them as clearly as
    the one with the most stable clusters needs it: p <= 0.05 if all of these are as good as unchanged in other draws
    (0.95 or more), p <= 0.025 if all are stable (0.75), or else p <= 0.01. Then, a number is near the best if its
    stability is within 0.03, or a quarter of what it lacks to 1, of the largest. Of the numbers near the best the
    largest with stable clusters only is taken, or else the largest. There is one subtype, "no structure", otherwise.

    Parameters
    ----------
    algorithm : str
        Name in :data:`omics.subtypes.ALGORITHMS`.
    n_subtypes : int, optional
        Number of subtypes; chosen by stability if not given.
    max_subtypes : int
        Largest number that is tried.
    n_resamples : int
        Subsamples of the patients for each number.
    n_null : int
        Cluster-free data sets; at least 39, or no p-value would be 0.025, and 99 for one of 0.01.
    random_state : int
        Seed.

    Attributes
    ----------
    n_subtypes_ : int
        Number of subtypes.
    labels_ : pandas.Series
        Subtype of each patient, ``S1`` the largest.
    probability_ : pandas.DataFrame
        Probability of each subtype, (sample, subtype), of a Gaussian mixture whose components have the moments of the
        clusters: it tells new patients their subtype, whatever algorithm found the clusters.
    ambiguity_ : pandas.DataFrame
        Of each patient, from 0 (always with the same others) to 1, with its p-value: columns ``ambiguity, p_value``.
    number_shares_ : dict of int to float
        How often each number would be chosen from other draws of the subsamples.
    model_ : xarray.Dataset
        ``NODES["subtype_model"]``.
    stability_ : xarray.Dataset
        ``NODES["stability"]`` for the numbers that were looked at.
    p_value_ : float
        P-value of "no structure", over all numbers that were looked at.

    Notes
    -----
    The mixture does not weight factors by the variance that they explain: its covariance within subtypes makes it
    indifferent to the scale of a factor, and a factor that separates nothing has no say. So sex separates patients if
    chromosomes X and Y are among the features: mask them, and see :func:`agreement`. The other algorithms use
    distances, to which a factor contributes in proportion to the variance that it explains, if `scores` have a
    variable ``explained``.
    """

    model_: xr.Dataset
    ambiguity_: pd.DataFrame

    def __init__(
        self,
        *,
        algorithm: str = "mixture",
        n_subtypes: int | None = None,
        max_subtypes: int = 10,
        n_resamples: int = 50,
        n_null: int = 99,
        random_state: int = 0,
    ) -> None:
        self.algorithm = algorithm
        self.n_subtypes = n_subtypes
        self.max_subtypes = max_subtypes
        self.n_resamples = n_resamples
        self.n_null = n_null
        self.random_state = random_state

    def fit(self, scores: xr.Dataset, y: None = None, *, layers: Mapping[str, pd.DataFrame] | None = None) -> Subtypes:
        """Choose the number of subtypes and fit them.

        Parameters
        ----------
        scores : xarray.Dataset
            ``score(sample, factor)``, as ``NODES["factors"]``; perhaps ``explained(factor)``, its share of variance.
        y : None
            Not used; scikit-learn passes it.
        layers : mapping of str to pandas.DataFrame, optional
            Values (sample x feature) of each layer, for algorithms that fuse layers; a layer holds the patients that
            it has.

        Raises
        ------
        UsageError
            A parameter is out of range, or `scores` are no Dataset.
        DataError
            A score is not finite, a factor is constant, or there are too few patients.
        """
        if not isinstance(scores, xr.Dataset):
            raise UsageError(
                f"scores are a {type(scores).__name__}",
                where="Subtypes.fit",
                fix="give a Dataset with score and score_sd (sample, factor), as omics.MOFA(...).fit(...).factors_",
            )
        self._refuse_parameters(layers)
        score = in_order(informative(scores))
        standard = standard_of(score)
        z = z_of(score.to_numpy(), standard)
        if ALGORITHMS[self.algorithm].layers:
            data = Data(*components(layers or {}, list(score.indexes["sample"])))
        else:
            data = Data(z, importance(scores, score), np.zeros(z.shape[1], int))
        with threadpool_limits(limits=1):  # threads of BLAS would change the last digits, and are slower here
            label, order = self._fit_sorted(data, z, standard)
        self.model_ = with_reach(self.model_, scores)
        self.probability_ = self.predict_proba(scores)
        names = self.model_.indexes["subtype"].to_numpy(dtype=object)
        named = pd.Series(names[order.argsort()[label]], score.indexes["sample"], name="label")
        samples = scores.indexes["sample"]
        self.ambiguity_ = self.ambiguity_.set_axis(score.indexes["sample"]).reindex(samples)
        soft = self.algorithm == "mixture"
        self.labels_ = _most_probable(self.probability_) if soft else named.reindex(samples)
        return self

    def _fit_sorted(self, data: Data, z: np.ndarray, standard: xr.Dataset) -> tuple[np.ndarray, np.ndarray]:
        """Labels of the sorted patients, and the clusters in order of size."""
        numbers, seed = self._numbers(len(z)), self.random_state
        measured = stability.against_null(data, numbers, self.n_resamples, self.n_null, seed, self.algorithm)
        chosen = self.n_subtypes_ = self.n_subtypes or _choose(measured)
        self.number_shares_ = _shares(
            [chosen] if self.n_subtypes else [*map(_choose, stability.redrawn(measured, seed))]
        )
        self.stability_, self.p_value_ = _stability_table(measured, self.number_shares_), measured.p_overall
        fitted, label = _fitted(data, z, chosen, seed, self.algorithm)
        order = np.argsort(-np.bincount(label, minlength=chosen), kind="stable")
        per_cluster = dict.fromkeys(("jaccard", "jaccard_p", "jaccard_factors"), np.full(chosen, np.nan))
        ambiguity, placed = np.zeros(len(z)), np.full(len(z), np.nan)
        if chosen > 1:
            at = measured.observed[numbers.index(chosen)]
            left_out = stability.without_factors(data, label, chosen, self.n_resamples, seed, self.algorithm)
            per_cluster = {"jaccard": at.jaccard, "jaccard_p": measured.p_jaccard(chosen), "jaccard_factors": left_out}
            ambiguity, placed = at.ambiguity, measured.p_ambiguity(chosen)
        self.ambiguity_ = pd.DataFrame({"ambiguity": ambiguity, "p_value": placed})
        self.model_ = _model(fitted, per_cluster, standard, order)
        return label, order

    def _refuse_parameters(self, layers: Mapping[str, pd.DataFrame] | None) -> None:
        if self.algorithm not in ALGORITHMS:
            raise UsageError(f"no algorithm {self.algorithm!r}", fix=f"choose among {', '.join(ALGORITHMS)}")
        if ALGORITHMS[self.algorithm].layers and not layers:
            raise UsageError(f"{self.algorithm} fuses layers, and was given none", fix="give the prepared layers too")
        # where the number is to be chosen, no p-value of clusters that are just valid is small enough with fewer
        fewest_null = round(1 / CLAIM_LEVELS[VALID]) - 1 if self.n_subtypes is None else 1
        least_of = {"n_subtypes": 1, "max_subtypes": 2, "n_resamples": 2, "n_null": fewest_null, "random_state": 0}
        for name, least in least_of.items():
            value = getattr(self, name)
            if value is None and name == "n_subtypes":
                continue
            if not isinstance(value, Integral) or value < least:
                raise UsageError(f"{name} is {value!r}", where="Subtypes", fix=f"give a whole number, at least {least}")

    def _numbers(self, n_samples: int) -> list[int]:
        """The numbers of subtypes to look at."""
        most, wanted = n_samples // stability.SMALLEST_COUNT, self.n_subtypes or 2
        if wanted > most:
            raise DataError(
                f"{n_samples} patients are too few for {wanted} subtypes",
                where="factors",
                fix=f"every subtype needs {stability.SMALLEST_COUNT} patients",
            )
        if self.n_subtypes is None:
            return list(range(2, min(self.max_subtypes, most) + 1))
        return [max(2, self.n_subtypes)]  # one subtype is compared with two

    def predict(self, scores: xr.Dataset) -> pd.Series:
        """Most probable subtype of each patient, indexed by sample; factors are matched by name."""
        return _most_probable(self.predict_proba(scores))

    def predict_proba(self, scores: xr.Dataset) -> pd.DataFrame:
        r"""Probability of each subtype, (sample, subtype).

        .. math:: p_{ik} \propto \pi_k \exp\bigl(-\tfrac12 (z_i - \mu_k)^T \Sigma^{-1} (z_i - \mu_k)\bigr)

        Each patient is computed alone, so the answer does not depend on who else is in the table. The correlations of
        the covariance are halved (see :func:`omics.subtypes.mixture.maximise`): between two subtypes that lie one
        behind the other along a strong correlation, these probabilities are surer than they should be.

        Raises
        ------
        DataError
            A factor of the model is absent, or a score is not finite.
        """
        check_is_fitted(self, "model_")
        model = self.model_
        score = checked(scores)
        absent = sorted(set(model.indexes["factor"]) - set(score.indexes["factor"]))
        if absent:
            raise DataError(
                f"factor {', '.join(absent)} of the subtypes is absent",
                where="factors",
                fix="use the scores of the factor model from which the subtypes were made",
            )
        values = score.sel(factor=model.indexes["factor"]).to_numpy()
        z = z_of(values, model)
        mean, covariance, mixing = model["mean"].to_numpy(), covariance_of(model), model["mixing"].to_numpy()
        probability = np.array([_posterior(row, mean, covariance, mixing) for row in z]).reshape(len(z), len(mixing))
        return pd.DataFrame(probability, index=score.indexes["sample"], columns=list(model.indexes["subtype"]))

    def refound(self, others: Sequence[pd.Series]) -> Subtypes:
        """The same subtypes with ``jaccard_features`` in the model: how well other clusterings find each again.

        Parameters
        ----------
        others : sequence of pandas.Series
            Label of each patient, indexed by sample, in clusterings of factors that were learnt from fewer features;
            of the clusters of each, the one with the largest Jaccard index counts.

        Raises
        ------
        DataError
            A clustering lacks a patient.
        """
        check_is_fitted(self, "model_")
        absent = next((one.index for one in others if not self.labels_.index.isin(one.index).all()), None)
        if absent is not None:
            raise DataError("a clustering lacks a patient of the subtypes", where="others", fix="cluster all patients")
        names = list(self.model_.indexes["subtype"])
        reference = pd.Categorical(self.labels_, names).codes.astype(int)
        label = np.array([pd.factorize(one.reindex(self.labels_.index))[0] for one in others])
        jaccard = jaccard_each(reference, label, max(len(names), int(label.max()) + 1)).mean(axis=0)[: len(names)]
        made = copy(self)
        made.model_ = describe(self.model_.assign(jaccard_features=("subtype", jaccard)), "subtype_model")
        return made

    def renamed(self, names: Mapping[str, str]) -> Subtypes:
        """The same subtypes under other names, as :func:`omics.subtypes.match` gives them.

        Raises
        ------
        UsageError
            A subtype has no new name, or two have the same.
        """
        check_is_fitted(self, "model_")
        old = [str(name) for name in self.model_.indexes["subtype"]]
        new = [names.get(name) for name in old]
        if None in new or len(set(new)) < len(new):
            raise UsageError(f"names {new} for the subtypes {old}", fix="give each subtype a name of its own")
        made = copy(self)
        made.model_ = self.model_.assign_coords(subtype=np.array(new, dtype=object))
        made.labels_ = self.labels_.map(dict(names))
        made.probability_ = self.probability_.rename(columns=dict(names))
        return made

    def to_tree(self) -> xr.DataTree:
        """Nodes ``/subtypes``, ``/subtype_model``, ``/stability``; parameters as JSON in the attribute ``subtypes``."""
        check_is_fitted(self, "model_")
        subtypes = xr.Dataset(
            {
                "label": ("sample", self.labels_.to_numpy(dtype=object)),
                "probability": (("sample", "subtype"), self.probability_.to_numpy()),
                "ambiguity": ("sample", self.ambiguity_["ambiguity"].to_numpy()),
                "ambiguity_p": ("sample", self.ambiguity_["p_value"].to_numpy()),
            },
            coords={"sample": np.asarray(self.labels_.index, dtype=object), "subtype": self.model_["subtype"]},
        )
        shares = {str(number): share for number, share in self.number_shares_.items()}
        given = {name: int(one) if isinstance(one, Integral) else one for name, one in self.get_params().items()}
        summary = {
            **given, "chosen": self.n_subtypes_, "p_value": self.p_value_, "number_shares": shares,
        }  # fmt: skip
        nodes = {
            "/": xr.Dataset(attrs={"subtypes": json.dumps(summary)}),
            "/subtypes": describe(subtypes, "subtypes"),
            "/subtype_model": self.model_,
            "/stability": self.stability_,
        }
        return xr.DataTree.from_dict(nodes)

    @classmethod
    def from_tree(cls, tree: xr.DataTree) -> Subtypes:
        """The estimator that :meth:`to_tree` wrote.

        Raises
        ------
        DataError
            The tree holds no subtypes.
        """
        if "subtypes" not in tree.attrs:
            raise DataError(
                "this tree holds no subtypes", where="attribute 'subtypes'", fix="give what omics subtypes wrote"
            )
        summary: dict[str, Any] = json.loads(tree.attrs["subtypes"])
        chosen, p_value, shares = (summary.pop(name) for name in ("chosen", "p_value", "number_shares"))
        made = cls(**summary)
        made.n_subtypes_, made.p_value_ = chosen, p_value
        made.number_shares_ = {int(number): share for number, share in shares.items()}
        made.model_, made.stability_, subtypes = (
            check(node(tree, name).compute(), name, where=f"/{name}")
            for name in ("subtype_model", "stability", "subtypes")
        )
        made.labels_ = subtypes["label"].to_series()
        samples = subtypes.indexes["sample"]
        made.probability_ = pd.DataFrame(subtypes["probability"].to_numpy(), samples, list(subtypes.indexes["subtype"]))
        columns = {"ambiguity": subtypes["ambiguity"].to_numpy(), "p_value": subtypes["ambiguity_p"].to_numpy()}
        made.ambiguity_ = pd.DataFrame(columns, samples)
        return made


def _fitted(
    data: Data, z: np.ndarray, n_subtypes: int, seed: int, algorithm: str
) -> tuple[mixture.Mixtures, np.ndarray]:
    """The mixture that assigns new patients, and the label of each patient."""
    if algorithm == "mixture":
        uniform = stability.uniform_of(1, n_subtypes, [seed], stability.STARTS_FULL)
        fitted, label = mixture.fit(z, np.ones((1, len(z))), uniform)
        return fitted, label[0]
    label = stability.cluster_all(data, n_subtypes, [seed], algorithm)
    member = (label == np.arange(n_subtypes)[:, None]).astype(float)
    return mixture.maximise(mixture.Runs.of(z, np.ones((1, len(z)))), member[None]), label


def _model(
    fitted: mixture.Mixtures, per_cluster: Mapping[str, np.ndarray], standard: xr.Dataset, order: np.ndarray
) -> xr.Dataset:
    """``NODES["subtype_model"]`` of the one fit, its components in the given order."""
    mean = fitted.mean[0][order]
    model = standard.assign(
        {name: ("subtype", values[order]) for name, values in per_cluster.items()}
        | {
            "mean": (("subtype", "factor"), mean),
            "covariance": (("factor", "other_factor"), fitted.covariance[0]),
            "mixing": ("subtype", fitted.mixing[0][order]),
            "reach": ((), np.nan),
        }
    ).assign_coords(
        subtype=np.array([f"S{i + 1}" for i in range(len(order))], dtype=object),
        other_factor=standard["factor"].to_numpy(),
    )
    return describe(model, "subtype_model")


def _posterior(z: np.ndarray, mean: np.ndarray, covariance: np.ndarray, mixing: np.ndarray) -> np.ndarray:
    """Probability of each subtype of one patient, z of shape (factor,)."""
    logit = np.log(mixing) - 0.5 * mixture.squared_distance(z - mean, covariance)
    odds = np.exp(logit - logit.max())
    return odds / odds.sum()


def _most_probable(probability: pd.DataFrame) -> pd.Series:
    labels = probability.columns.to_numpy(dtype=object)[probability.to_numpy().argmax(axis=1)]
    return pd.Series(labels, index=probability.index, name="label")


def _choose(measured: stability.Comparison) -> int:
    """The largest of the most stable numbers that beat the null; 1 if there is no structure.

    Whether there is structure, and into how many clusters it falls, are two questions. The first is answered over all
    numbers, at the level of the one with the most stable clusters. Then, a larger number must be about as stable as the
    best: one wide cluster cut in two is more stable than chance, yet less so than the clusters themselves. Among those
    that are, the ones with valid clusters only come first.
    """
    weakest = measured.weakest
    kept = (measured.p_rand <= LEVEL) & (weakest > DISSOLVED)
    if not kept.any() or measured.p_overall > level_of(weakest[kept]):
        return 1
    most = measured.rand[kept].max()
    near = kept & (measured.rand >= most - max(ABOUT_AS_STABLE, SHARE_OF_LACK * (1 - most)))
    valid = near & (weakest >= VALID)
    return measured.numbers[np.flatnonzero(valid if valid.any() else near)[-1]]


def level_of(weakest: np.ndarray) -> float:
    """Largest p-value of "no structure" at which some is claimed.

    Parameters
    ----------
    weakest : numpy.ndarray, shape (number,)
        Mean Jaccard index of the least stable cluster of each number of clusters that beats the null.
    """
    return next(level for least, level in CLAIM_LEVELS.items() if weakest.max() >= least)


def _shares(chosen: list[int]) -> dict[int, float]:
    number, count = np.unique(chosen, return_counts=True)
    return {int(one): float(times / len(chosen)) for one, times in zip(number, count, strict=True)}


def _stability_table(measured: stability.Comparison, shares: Mapping[int, float]) -> xr.Dataset:
    columns = {
        "stability": measured.rand,
        "weakest": measured.weakest,
        "null_mean": measured.null_rand.mean(axis=0),
        "null_upper": np.quantile(measured.null_rand, 1 - LEVEL, axis=0),
        "p_value": measured.p_rand,
        "pac": np.array([one.pac for one in measured.observed]),
        "pac_few": np.array([one.pac_few for one in measured.observed]),
        "pac_null": measured.null_pac.mean(axis=0),
        "pac_p_value": measured.p_pac,
        "chosen": np.array([shares.get(number, 0.0) for number in measured.numbers]),
    }
    table = xr.Dataset(
        {name: ("n_subtypes", values) for name, values in columns.items()}, coords={"n_subtypes": measured.numbers}
    )
    return describe(table, "stability")
