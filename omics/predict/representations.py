"""What a model sees of the omics layers: factors, features with large weights, the layers themselves, or a user's own.

A representation is fitted on the training rows of a fold and then made of any rows. All that a fold needs, it learns
once: a factor fit serves every representation, model and penalty of its fold.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any, NamedTuple, Protocol

import numpy as np
import pandas as pd
import xarray as xr

from omics import artefact, cohort
from omics.blocks import alone, features_per_block, slices
from omics.factors import MOFA
from omics.predict.learning import FoldScores, Question, Target, target_of
from omics.predict.models import imported
from omics.predict.splits import Split
from omics.prepare import Recipe
from omics.schema import DataError, OmicsError, UsageError, view_names


class Fitted(Protocol):
    """A fitted representation."""

    def scores(self, rows: xr.DataTree) -> pd.DataFrame:
        """Table of any prepared rows, shape (sample, predictor)."""


@dataclass(frozen=True)
class Training:
    """The patients that a representation is fitted on.

    Attributes
    ----------
    rows : DataTree
        Their layers and clinical table.
    target : Target
        Their outcome, in the order of `samples`; for representations that choose by outcome.
    samples : ndarray of str
        Their ids.
    mofa : mapping
        Parameters of :class:`omics.factors.MOFA`.
    store : path
        The prepared cohort with all patients. Whoever opens it leaks; ``omics evaluate --audit`` shows that.
    """

    rows: xr.DataTree
    target: Target
    samples: np.ndarray
    mofa: Mapping[str, Any]
    store: str | os.PathLike[str]

    @cached_property
    def _fitted(self) -> tuple[Recipe, xr.DataTree]:
        recipe = Recipe.of(self.rows)
        prepared = recipe.fit_transform(self.rows)
        return recipe, prepared

    @property
    def recipe(self) -> Recipe:
        """Filters, centring and scaling, fitted."""
        return self._fitted[0]

    @property
    def prepared(self) -> xr.DataTree:
        """The rows, filtered, centred and scaled."""
        return self._fitted[1]

    @cached_property
    def integration(self) -> Integration:
        """Recipe and factor model, fitted."""
        return Integration(self.recipe, MOFA(**self.mofa).fit(self.prepared))


class Integration(NamedTuple):
    """What was learnt from the omics layers of the training rows.

    Attributes
    ----------
    recipe : Recipe
        Fitted filters, centring and scaling.
    mofa : MOFA
        Fitted factor model.
    """

    recipe: Recipe
    mofa: MOFA

    def project(self, rows: xr.DataTree) -> xr.Dataset:
        """Posterior mean ``score`` and ``score_sd`` of the active factors, (sample, factor), of any prepared rows.

        A factor that MOFA switched off has scores of 1e-100: standardised, they would be noise at full size.
        """
        active = self.mofa.variance_["active"].to_numpy().astype(bool)
        return self.mofa.transform(self.recipe.transform(rows)).isel(factor=active)

    def scores(self, rows: xr.DataTree) -> pd.DataFrame:
        """Projected factor scores as a table, shape (sample, factor).

        Training rows are projected as well, so that a model meets the same kind of score in training and after.
        """
        return as_table(self.project(rows)["score"])

    def misfit(self, rows: xr.DataTree) -> pd.DataFrame:
        """How badly the factors reproduce each Gaussian layer of each patient, shape (sample, layer).

        ``mean_d tau_d (y_d - b_d - z'w_d)^2`` over the features that the patient has: about 1 for patients like those
        trained on, more for values of another platform, unit or tissue; NaN for a layer that the patient lacks.
        """
        prepared = self.recipe.transform(rows)
        expected = self.mofa.inverse_transform(self.mofa.transform(prepared))
        found = {}
        for name in view_names(prepared):
            view, weights = cohort.node(prepared, f"views/{name}"), self.mofa.weights_[name]
            if view.attrs.get("likelihood") != "gaussian":
                continue
            there = cohort.node(expected, f"views/{name}")["value"].sel(sample=view["sample"], feature=view["feature"])
            precision = weights["precision"].sel(feature=view["feature"]).mean("group")
            square = (view["value"].astype(float) - there.astype(float)) ** 2 * precision
            found[name] = square.mean("feature").compute().to_series()
        return pd.DataFrame(found, index=pd.Index(cohort.samples(rows), name="sample"))


class Chosen(NamedTuple):
    """Features of the layers, chosen on the training rows.

    Attributes
    ----------
    recipe : Recipe
        Fitted filters, centring and scaling.
    features : mapping
        Layer to the ids of its chosen features.
    """

    recipe: Recipe
    features: Mapping[str, Sequence[str]]

    def scores(self, rows: xr.DataTree) -> pd.DataFrame:
        """Values of the chosen features, columns ``layer:feature``; NaN for patients who lack the layer."""
        prepared = self.recipe.transform(rows)
        parts = [pd.DataFrame(index=pd.Index(cohort.samples(rows), name="sample"))]
        present = set(view_names(prepared))
        for name, features in sorted(self.features.items()):
            if not features:
                continue
            columns = [f"{name}:{feature}" for feature in features]
            table = pd.DataFrame(index=parts[0].index, columns=columns, dtype=float)
            if name in present:
                view = cohort.node(prepared, f"views/{name}")
                there = pd.Index(features).isin(view.indexes["feature"])
                known = [feature for feature, has in zip(features, there, strict=True) if has]
                values = view["value"].sel(feature=known).transpose("sample", "feature").to_numpy()
                table.loc[view.indexes["sample"], [f"{name}:{feature}" for feature in known]] = values
            parts.append(table)
        return pd.concat(parts, axis=1)


class Representation(NamedTuple):
    """A way to see the omics layers.

    Attributes
    ----------
    fit : callable
        ``Training -> Fitted``.
    supervised : bool
        Whether it looks at the outcome; if not, runs with permuted outcomes use the same fit.
    """

    fit: Callable[[Training], Fitted]
    supervised: bool = False


#: A store that takes no more than this is read once and kept; of a larger one, each step reads its blocks.
_SMALL_BYTES = 2**30
#: Features that represent each factor in each layer.
LOADINGS_PER_FACTOR = 5
#: Features of each layer, the most variable ones after preparation, that stand for it.
FEATURES_PER_LAYER = 300
#: Features, over all layers, with the largest correlation with the outcome.
SCREENED = 30


def _factors(training: Training) -> Fitted:
    return training.integration


def _loadings(training: Training) -> Fitted:
    model = training.integration.mofa
    features = {}
    for name in view_names(training.prepared):
        table = model.weights_[name]
        weight = np.abs(table["weight"].transpose("feature", "factor").to_numpy())
        ids = table.indexes["feature"].to_numpy()
        top = np.argsort(-weight, axis=0, kind="stable")[:LOADINGS_PER_FACTOR]
        features[name] = [str(ids[i]) for i in np.unique(top[:, weight.max(axis=0) > 0])]
    return Chosen(training.recipe, features)


def _layers(training: Training) -> Fitted:
    features = {}
    for name in view_names(training.prepared):
        score = np.concatenate([np.nanvar(block, axis=0) for _, block in _blocks(training.prepared, name)])
        features[name] = _best(training.prepared, name, score, FEATURES_PER_LAYER)
    return Chosen(training.recipe, features)


def _screened(training: Training) -> Fitted:
    outcome = pd.Series(training.target.outcome, index=training.samples).where(training.target.weight > 0)
    scores = {}
    for name in view_names(training.prepared):
        known = [np.abs(correlation(block, outcome.reindex(rows))) for rows, block in _blocks(training.prepared, name)]
        scores[name] = np.concatenate(known)
    together = np.sort(np.concatenate(list(scores.values())))[::-1]
    least = together[min(SCREENED, len(together)) - 1]
    features = {
        name: _best(training.prepared, name, score, int(np.sum(score >= least))) for name, score in scores.items()
    }
    return Chosen(training.recipe, features)


#: Name -> representation. ``module:name`` names one of the user's own.
REPRESENTATIONS: dict[str, Representation] = {
    "factors": Representation(_factors),
    "loadings": Representation(_loadings),
    "layers": Representation(_layers),
    "screened": Representation(_screened, supervised=True),
}


def representation_named(name: str) -> Representation:
    """The registered representation of that name, or the user's own, ``module:name``.

    Raises
    ------
    UsageError
        There is none.
    """
    if name in REPRESENTATIONS:
        return REPRESENTATIONS[name]
    found = imported(name, "representation", REPRESENTATIONS)
    if isinstance(found, Representation):
        return found
    if callable(found):
        return Representation(found, supervised=True)  # who knows: fitted anew for every permuted outcome
    raise UsageError(f"'{name}' is {found!r}", fix="name a function of a Training, or a Representation")


class FoldTables(NamedTuple):
    """What one split was found to look like.

    Attributes
    ----------
    tables : mapping
        Representation to its tables of the rows fitted on and of those held out.
    errors : mapping
        Representation that could not be fitted to the reason.
    digests : mapping
        Representation to a hash of all that it learnt.
    seen : ndarray of str
        Rows that it was given to learn from.
    """

    tables: Mapping[str, FoldScores]
    errors: Mapping[str, str]
    digests: Mapping[str, str]
    seen: np.ndarray


def fold_tables(
    split: Split,
    store: str | os.PathLike[str],
    mofa: Mapping[str, Any],
    names: Sequence[str],
    clinical: pd.DataFrame,
    question: Question | None,
) -> FoldTables:
    """Fit on the first rows of `split`, make tables of those and the second; a few ids travel to the worker, no matrix.

    Parameters
    ----------
    split : (train ids, held-out ids)
        Ids to fit on, ids held out.
    store : path
        Prepared cohort, opened by the worker.
    mofa : mapping
        Parameters of :class:`omics.factors.MOFA`.
    names : sequence of str
        Representations.
    clinical : DataFrame
        Clinical table; only training rows of it are looked at.
    question : Question or None
        What is to be predicted; None if it is no outcome, so that no representation can look at it.
    """
    with alone():  # other splits have the other cores
        everyone = cohort.select(_opened(os.fspath(store), artefact.digest(store)), np.concatenate(split))
        train = cohort.select(everyone, split[0])
        training = training_of(train, split[0], store, mofa, clinical, question)
        tables, errors, digests = {}, {}, {}
        for name in names:
            try:
                fitted = representation_named(name).fit(training)
                scores = fitted.scores(everyone)
            except (ValueError, ArithmeticError, OmicsError) as error:
                errors[name] = f"{type(error).__name__}: {error}"
                continue
            tables[name] = FoldScores(*(scores.loc[scores.index.isin(rows)] for rows in split))
            digests[name] = hashlib.sha256(b"".join(learnt(fitted, tables[name].train))).hexdigest()
    return FoldTables(tables, errors, digests, cohort.samples(train))


@lru_cache(maxsize=1)
def _opened(store: str, digest: str) -> xr.DataTree:
    """The store, opened once by each worker that fits many splits of it, and read if it is small."""
    prepared = cohort.open(store, noun="prepared")
    views = [cohort.node(prepared, f"views/{name}") for name in view_names(prepared)]
    return prepared.compute() if sum(view.nbytes for view in views) <= _SMALL_BYTES else prepared


def training_of(
    rows: xr.DataTree,
    samples: np.ndarray,
    store: str | os.PathLike[str],
    mofa: Mapping[str, Any],
    clinical: pd.DataFrame,
    question: Question | None,
) -> Training:
    """The patients `samples` to fit a representation on; censoring weights are those of these patients alone."""
    nothing = np.zeros(len(samples))
    target = Target(nothing.astype(int), nothing) if question is None else target_of(clinical, samples, question)
    return Training(rows, target, np.asarray(samples, dtype=object), mofa, store)


def learnt(fitted: Fitted, table: pd.DataFrame) -> list[bytes]:
    """Bytes of all that a representation learnt, and of the table that it makes of its own training rows."""
    trees: list[xr.DataTree] = []
    if isinstance(fitted, Integration):
        trees = [fitted.recipe.to_tree(), fitted.mofa.to_tree()]
    elif isinstance(fitted, Chosen):
        trees = [fitted.recipe.to_tree()]
    parts = [",".join(map(str, table.columns)).encode(), np.ascontiguousarray(table.to_numpy(float)).tobytes()]
    for tree in trees:
        for node in sorted(tree.subtree, key=lambda one: one.path):
            for name, array in sorted(node.to_dataset(inherit=False).variables.items(), key=lambda one: str(one[0])):
                if name != "seconds":  # when a bound was computed is not learnt
                    values = np.asarray(array)
                    parts.append(str(values.tolist()).encode() if values.dtype.kind == "O" else values.tobytes())
    return parts


def as_table(scores: xr.DataArray) -> pd.DataFrame:
    """Table of an array, shape (sample, factor)."""
    index, columns = (pd.Index(scores.indexes[dim], name=dim) for dim in ("sample", "factor"))
    return pd.DataFrame(scores.transpose("sample", "factor").to_numpy(), index=index, columns=columns)


def correlation(values: np.ndarray, outcome: pd.Series) -> np.ndarray:
    """Pearson correlation of each column with the outcome over the patients who have both; 0 where there is none."""
    target = outcome.to_numpy(float)
    both = np.isfinite(values) & np.isfinite(target)[:, None]
    n = np.maximum(both.sum(axis=0), 1)
    x, y = np.where(both, values, 0.0), np.where(both, np.nan_to_num(target)[:, None], 0.0)
    x, y = (np.where(both, part - part.sum(axis=0) / n, 0.0) for part in (x, y))
    size = np.sqrt((x**2).sum(axis=0) * (y**2).sum(axis=0))
    return np.divide((x * y).sum(axis=0), size, out=np.zeros(len(n)), where=size > 1e-12)


def _blocks(tree: xr.DataTree, name: str) -> Iterator[tuple[pd.Index, np.ndarray]]:
    view = cohort.node(tree, f"views/{name}")
    value = view["value"].transpose("sample", "feature")
    if not value.size:
        raise DataError("no feature is left for the training rows", where=f"/views/{name}", fix="filter less strictly")
    size = features_per_block(value.sizes["sample"])
    for part in slices(value.sizes["feature"], size):
        yield view.indexes["sample"], value.isel(feature=part).to_numpy().astype(float)


def _best(tree: xr.DataTree, name: str, score: np.ndarray, n: int) -> list[str]:
    """Ids of the `n` features with the largest score, in the order of the layer."""
    ids = cohort.node(tree, f"views/{name}").indexes["feature"]
    top = np.sort(np.argsort(-np.nan_to_num(score), kind="stable")[:n])
    return [str(feature) for feature in ids[top]]
