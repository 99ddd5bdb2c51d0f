"""Numbers, intervals and lists as a reader expects them in a sentence."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

MISSING = "–"
_MINUS = "\N{MINUS SIGN}"
_SPACE = "\N{NO-BREAK SPACE}"
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]+")
_DIGITS = re.compile(r"(\d+)")


def clean(value: object, width: int = 200) -> str:
    """Text on one line, without control characters, cut with an ellipsis after `width` characters."""
    text = _CONTROL.sub(" ", str(value)).strip()
    return text if len(text) <= width else text[: width - 1] + "…"


def number(value: float, digits: int = 2, *, signed: bool = False) -> str:
    """A number with a true minus sign; a dash where it is missing."""
    if not math.isfinite(value):
        return MISSING
    text = f"{round(value, digits) + 0.0:{'+' if signed else ''},.{digits}f}"  # adding 0.0 turns -0.0 into 0.0
    return text.replace("-", _MINUS)


def percent(share: float, digits: int = 0) -> str:
    """A share as a percentage: 0.123 -> "12 %"."""
    return MISSING if not math.isfinite(share) else number(100 * share, digits) + _SPACE + "%"


def interval(lower: float, upper: float, digits: int = 2) -> str:
    """The ends of an interval: "0.58 to 0.73"."""
    return f"{number(lower, digits)} to {number(upper, digits)}"


def estimate(value: float, lower: float, upper: float, digits: int = 2) -> str:
    """A value and its interval: "0.66 (0.58 to 0.73)"."""
    if not math.isfinite(value):
        return MISSING
    return f"{number(value, digits)} ({interval(lower, upper, digits)})"


def percent_estimate(value: float, lower: float, upper: float) -> str:
    """A share and its interval in per cent: "12 % (8 to 17)"."""
    if not math.isfinite(value):
        return MISSING
    return f"{percent(value)} ({interval(100 * lower, 100 * upper, 0)})"


def p_value(p: float) -> str:
    """A p-value as journals print it: "p = 0.003", "p < 0.001"."""
    if not math.isfinite(p):
        return "p not available"
    if p < 0.001:
        return f"p{_SPACE}<{_SPACE}0.001"
    return f"p{_SPACE}={_SPACE}{p:.3f}" if p < 0.1 else f"p{_SPACE}={_SPACE}{p:.2f}"


def count(n: int, noun: str, plural: str | None = None) -> str:
    """A count with its noun: "1 patient", "1,200 patients"."""
    return f"{n:,}{_SPACE}{noun if n == 1 else plural or noun + 's'}"


def listing(items: Sequence[str]) -> str:
    """An enumeration: "a, b and c"."""
    return items[0] if len(items) == 1 else f"{', '.join(items[:-1])} and {items[-1]}" if items else ""


def natural(text: object) -> list[tuple[bool, int, str]]:
    """Sort key by which S2 comes before S10."""
    return [(part.isdigit(), int(part) if part.isdigit() else 0, part) for part in _DIGITS.split(str(text))]
