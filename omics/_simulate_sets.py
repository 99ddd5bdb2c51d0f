"""Gene sets of a simulated population: some that follow a subtype or a factor, and decoys that follow none."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from omics._simulate_patients import SETS, Population

#: Fewest and most genes of a set, and the share of those of a planted one that carry what it follows.
_FEWEST, _MOST, _CARRYING = 20, 40, 0.6
#: Decoys whose genes the drift within sites moves together.
_OF_SITE = 3


class GeneSet(NamedTuple):
    """A set, and what is true of it.

    Attributes
    ----------
    name : str
        As in the file.
    follows : str
        Subtype or factor with which its genes rise; ``site``, with which they vary together and which means nothing;
        empty where they were drawn at random.
    carriers : int
        Of the genes, those that rise with what the set follows.
    genes : list of str
        In the order of the features.
    """

    name: str
    follows: str
    carriers: int
    genes: list[str]


def gene_sets(
    population: Population, kinds: Sequence[tuple[str, str]], sign: np.ndarray, genes: Sequence[str]
) -> list[GeneSet]:
    """Draw the sets of a population; its patients have no say.

    Parameters
    ----------
    population : Population
        The population.
    kinds : sequence of (str, str)
        Name and kind (subtype, factor, site) of every score.
    sign : numpy.ndarray, shape (score, gene)
        Sign of every weight.
    genes : sequence of str
        Names of the genes.

    Returns
    -------
    list of GeneSet
        ``PLANTED_*`` for each subtype and factor with which genes rise, mixed with genes that carry nothing but the
        site; ``DECOY_SITE_*`` of genes that rise with the site and carry nothing else; ``DECOY_RANDOM_*``, for each
        planted set, of as many genes at random.
    """
    rng = population.rng(SETS)
    plain = (sign[[kind != "site" for _, kind in kinds]] == 0).all(axis=0)
    sets = []
    for (name, kind), row in zip(kinds, sign, strict=True):
        if kind == "site":
            moved = [_drawn(rng, plain & (row > 0), _size(rng)) for _ in range(_OF_SITE)]
            sets += [_named(f"DECOY_SITE_{turn}", name, genes, one, []) for turn, one in enumerate(moved, start=1)]
        elif not (kind == "subtype" and population.null):
            size = _size(rng)
            rising = _drawn(rng, row > 0, round(_CARRYING * size))
            beside = _drawn(rng, plain, size - len(rising))
            if rising:
                sets.append(_named(f"PLANTED_{_upper(name)}", name, genes, rising, beside))
    sizes = [len(one.genes) for one in sets if one.name.startswith("PLANTED")]
    anywhere = [_drawn(rng, np.ones(len(genes), dtype=bool), size) for size in sizes]
    sets += [_named(f"DECOY_RANDOM_{turn}", "", genes, [], one) for turn, one in enumerate(anywhere, start=1)]
    return [one for one in sets if one.genes]


def _size(rng: np.random.Generator) -> int:
    return int(rng.integers(_FEWEST, _MOST + 1))


def _drawn(rng: np.random.Generator, among: np.ndarray, size: int) -> list[int]:
    """As many of the genes that are True, or all where there are fewer."""
    return [int(column) for column in rng.permutation(np.flatnonzero(among))[:size]]


def _named(name: str, follows: str, genes: Sequence[str], rising: list[int], beside: list[int]) -> GeneSet:
    return GeneSet(name, follows, len(rising), [genes[column] for column in sorted(rising + beside)])


def _upper(name: str) -> str:
    return re.sub(r"[^A-Z0-9]+", "_", name.upper())


def write_gmt(sets: Sequence[GeneSet], path: Path) -> None:
    """Write the sets as a GMT file, in which only their names tell what they are."""
    lines = ["\t".join([one.name, "simulated", *one.genes]) for one in sets]
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8", newline="\n")


def truth(sets: Sequence[GeneSet]) -> dict[str, dict[str, object]]:
    """What is true of each set, by name."""
    return {
        one.name: {"follows": one.follows or None, "n_genes": len(one.genes), "n_carriers": one.carriers}
        for one in sets
    }
