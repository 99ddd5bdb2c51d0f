"""How a variable of a store is declared."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Kind = Literal["float", "integer", "text"]


@dataclass(frozen=True)
class Variable:
    """One declared variable of a node.

    Attributes
    ----------
    name : str
        Name in the store.
    dims : tuple of str
        Dimensions, in order.
    kind : {"float", "integer", "text"}
        What the values are; NaN (float), -1 (integer) or an empty text mean missing.
    meaning : str
        One line for people.
    units : str
        Units; "1" where there are none.
    required : bool
        Whether a node without it is invalid.
    """

    name: str
    dims: tuple[str, ...]
    kind: Kind
    meaning: str
    units: str = "1"
    required: bool = True


def optional(name: str, dims: tuple[str, ...], kind: Kind, meaning: str, units: str = "1") -> Variable:
    return Variable(name, dims, kind, meaning, units, required=False)


def row(name: str, kind: Kind, meaning: str, units: str = "1") -> Variable:
    return Variable(name, ("row",), kind, meaning, units)


ESTIMATE = (
    row("estimate", "float", "point estimate"),
    row("lower", "float", "lower end of the 95 % interval"),
    row("upper", "float", "upper end of the 95 % interval"),
)
