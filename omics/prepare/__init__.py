"""From a cohort as measured to values that models take: what needs no other patient now, what learns as a recipe."""

from omics.prepare.prepared import prepare
from omics.prepare.recipe import Recipe
from omics.prepare.steps import Centre, DropMissing, DropRare, Impute, RemoveBatch, Scale, Step, TopVariance

__all__ = [
    "Centre",
    "DropMissing",
    "DropRare",
    "Impute",
    "Recipe",
    "RemoveBatch",
    "Scale",
    "Step",
    "TopVariance",
    "prepare",
]
