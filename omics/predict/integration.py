"""Preparation and MOFA fitted on some patients of a store, and the factor scores of any others."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import pandas as pd
import xarray as xr

from omics import cohort
from omics.factors import MOFA
from omics.predict.learning import FoldScores
from omics.prepare import Recipe


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


def as_table(scores: xr.DataArray) -> pd.DataFrame:
    """Table of an array, shape (sample, factor)."""
    index, columns = (pd.Index(scores.indexes[dim], name=dim) for dim in ("sample", "factor"))
    return pd.DataFrame(scores.transpose("sample", "factor").to_numpy(), index=index, columns=columns)


def integrate(rows: xr.DataTree, mofa: Mapping[str, Any]) -> Integration:
    """Fit the recipe that travels with a prepared cohort, then MOFA with the parameters `mofa`, on those rows."""
    recipe = Recipe.of(rows).fit(rows)
    return Integration(recipe, MOFA(**mofa).fit(recipe.transform(rows)))


def fold_scores(
    split: tuple[Sequence[str], Sequence[str]], store: str | os.PathLike[str], mofa: Mapping[str, Any]
) -> FoldScores:
    """Fit on the first rows of `split`, score those and the second; a few ids travel to the worker, no matrix.

    Parameters
    ----------
    split : tuple of two sequences of str
        Ids to fit on, ids held out.
    store : path
        Prepared cohort, opened by the worker.
    mofa : mapping
        Parameters of :class:`omics.factors.MOFA`.
    """
    prepared = cohort.open(store, noun="prepared")
    train, held_out = (cohort.select(prepared, rows) for rows in split)
    fitted = integrate(train, mofa)
    return FoldScores(fitted.scores(train), fitted.scores(held_out))
