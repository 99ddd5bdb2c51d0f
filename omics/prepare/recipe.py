"""A recipe: the learning steps in their order, unfitted in a prepared store, fitted inside a model."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Self

import xarray as xr
from sklearn.base import BaseEstimator, TransformerMixin, clone
from sklearn.utils.validation import check_is_fitted

from omics.cohort import node
from omics.prepare.steps import STEPS, Step
from omics.schema import IntegrityError, UsageError, check_cohort

#: Root attribute of a prepared store, and group of a fitted recipe.
RECIPE = "recipe"


class Recipe(TransformerMixin, BaseEstimator):
    """Steps that are fitted and applied one after the other.

    Parameters
    ----------
    steps : sequence of Step
        Unfitted steps; each kind at most once.

    Attributes
    ----------
    steps_ : list of Step
        Fitted steps. Every step knows only the features that the last one keeps, since all steps work feature by
        feature: a new cohort is cut down to those first.
    """

    def __init__(self, steps: Sequence[Step]) -> None:
        self.steps = steps

    @classmethod
    def of(cls, tree: xr.DataTree) -> Recipe:
        """The unfitted recipe that a prepared cohort carries.

        Raises
        ------
        UsageError
            The cohort was not prepared, or its recipe names a step or parameter that does not exist.
        """
        if RECIPE not in tree.attrs:
            raise UsageError("this cohort has no recipe, so it was not prepared", fix="run: omics prepare")
        return cls.from_json(tree.attrs[RECIPE])

    @classmethod
    def from_json(cls, text: str) -> Recipe:
        """Read what :meth:`to_json` wrote.

        Raises
        ------
        UsageError
            The text is no recipe, or it names a step or parameter that does not exist.
        """
        try:
            records = json.loads(text)
        except ValueError as error:
            raise UsageError(f"the recipe is no JSON: {error}", fix="prepare the cohort again") from error
        if not isinstance(records, list) or not all(isinstance(record, dict) for record in records):
            raise UsageError("the recipe is no list of steps", fix='expected [{"step": "Centre"}, ...]')
        return cls([_step(record) for record in records])

    def to_json(self) -> str:
        """The unfitted steps as text, ``[{"step": name, parameter: value, ...}, ...]``."""
        return json.dumps([{"step": type(step).__name__, **step.get_params()} for step in self.steps])

    def fit(self, tree: xr.DataTree, y: None = None) -> Self:
        """Fit every step on the rows of `tree`, each on what the ones before it make of them.

        Raises
        ------
        DataError
            A view has no sample, or a step leaves no feature of it.
        UsageError
            A step occurs twice or cannot work on this cohort.
        """
        self.fit_transform(tree)
        return self

    def fit_transform(self, tree: xr.DataTree, y: None = None) -> xr.DataTree:
        """Fit, and return the transformed rows; views that TopVariance has cut down are in memory, others lazy."""
        check_cohort(tree)
        _refuse_twice(self.steps)
        self.steps_ = [clone(step) for step in self.steps]
        for step in self.steps_:
            tree = step.fit_transform(tree)
        for step in self.steps_:
            step.state_ = {name: _cut(state, tree, name) for name, state in step.state_.items()}
        return tree

    def transform(self, tree: xr.DataTree) -> xr.DataTree:
        """Apply the fitted steps to any cohort, lazily; see :mod:`omics.prepare.steps` on what it may lack.

        Raises
        ------
        DataError
            A view has none of the features.
        """
        check_is_fitted(self, "steps_")
        check_cohort(tree)
        for step in self.steps_:
            tree = step.transform(tree)
        return tree

    def to_tree(self) -> xr.DataTree:
        """What was learned as a tree: root attribute ``recipe``, and a node ``/recipe/<view>`` with all variables."""
        check_is_fitted(self, "steps_")
        views = {name for step in self.steps_ for name in step.state_}
        nodes = {
            f"/{RECIPE}/{name}": xr.merge(
                [step.state_[name] for step in self.steps_], compat="equals", join="exact", combine_attrs="drop"
            )
            for name in sorted(views)
        }
        return xr.DataTree.from_dict({"/": xr.Dataset(attrs={RECIPE: self.to_json()})} | nodes)

    @classmethod
    def from_tree(cls, tree: xr.DataTree) -> Recipe:
        """Read what :meth:`to_tree` wrote, perhaps from a larger tree that it was put into.

        Raises
        ------
        IntegrityError
            There is no fitted recipe in the tree.
        """
        recipe = cls.of(tree)
        if RECIPE not in tree.children:
            raise IntegrityError("there is no fitted recipe", fix="train the model again")
        learned = {name: node(tree, f"{RECIPE}/{name}").compute() for name in sorted(tree[RECIPE].children)}
        recipe.steps_ = [clone(step) for step in recipe.steps]
        for step in recipe.steps_:
            step.state_ = {name: _of_step(dataset, step) for name, dataset in learned.items()}
        return recipe


def _step(record: Mapping[str, Any]) -> Step:
    name, parameters = str(record.get("step")), {key: value for key, value in record.items() if key != "step"}
    if name not in STEPS:
        raise UsageError(f"unknown step '{name}' in the recipe", fix=_suggestion(name, STEPS))
    step = STEPS[name]()
    for key in parameters:
        if key not in step.get_params():
            raise UsageError(f"step '{name}' has no parameter '{key}'", fix=_suggestion(key, step.get_params()))
    return step.set_params(**parameters)


def _suggestion(got: str, known: Iterable[str]) -> str:
    names = sorted(known)
    close = difflib.get_close_matches(got, names, n=1)
    return f"did you mean '{close[0]}'?" if close else f"known: {', '.join(names) or 'none'}"


def _refuse_twice(steps: Sequence[Step]) -> None:
    names = [type(step).__name__ for step in steps]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise UsageError(f"step '{twice[0]}' occurs twice in the recipe", fix="name it once")


def _cut(state: xr.Dataset, tree: xr.DataTree, name: str) -> xr.Dataset:
    """The state of the features that are left in `tree`."""
    left = node(tree, f"views/{name}").indexes["feature"]
    return state.isel(feature=state.indexes["feature"].get_indexer(left))


def _of_step(learned: xr.Dataset, step: Step) -> xr.Dataset:
    return learned.drop_vars([name for name in learned.data_vars if name not in step.learns])
