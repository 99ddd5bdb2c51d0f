"""What is inlined into the page beside its text: rules of style, the script, data, and the policy that allows these."""

from __future__ import annotations

import base64
import hashlib
import json
import math
import re
from collections import Counter
from collections.abc import Sequence
from typing import Any

from omics.report.content import Scatter
from omics.report.svg import ACCENT, INK, PALETTE, RULE, SOFT
from omics.report.words import clean, natural

_DIGITS = 4
#: More categories than this cannot be told apart; the rarest are shown as one.
MAX_LEVELS = 20
_RULE = re.compile(r"(--)?[a-z]+:[#\w.%]+")


class Rules:
    """Classes in place of style attributes, which the policy does not let in: one class a declaration."""

    def __init__(self) -> None:
        self._names: dict[str, str] = {}

    def __call__(self, name: str, value: str) -> str:
        """The class that has this declaration."""
        declaration = f"{name}:{value}"
        if not _RULE.fullmatch(declaration):
            raise ValueError(f"{declaration!r} is no single declaration of style")
        return self._names.setdefault(declaration, f"x{len(self._names)}")

    def text(self) -> str:
        """The rules, in the order of first use."""
        return "".join(f".{name}{{{declaration}}}\n" for declaration, name in self._names.items())


def policy(style: str, script: str) -> str:
    """Content-security policy: this style and this script, pictures that are in the page, and no request whatsoever.

    Neither scripts nor styles are allowed by ``unsafe-inline``: a text that would escape its place could not even
    change how the page looks. So nothing carries a style attribute: drawings have presentation attributes, cells have
    classes. What a script sets on an element's ``style`` object is not subject to the policy, and data blocks, which do
    not run, need no hash.
    """
    return (
        f"default-src 'none'; script-src '{_hash(script)}'; style-src '{_hash(style)}'; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def embedded(part: Scatter) -> str:
    """The data of a scatter as JSON that cannot end the element around it."""
    content = {
        "samples": [clean(sample) for sample in part.samples],
        "columns": [
            {"name": clean(name, 60), "values": _rounded([float(v) for v in values])}
            for name, values in part.columns.items()
        ],
        "colourings": [_colouring(clean(name, 60), values) for name, values in part.colourings.items()],
        "palette": PALETTE,
        "ink": {"text": INK, "soft": SOFT, "rule": RULE, "accent": ACCENT},
    }
    text = json.dumps(content, separators=(",", ":"), allow_nan=False)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _rounded(values: Sequence[float]) -> list[float | int | None]:
    """Four significant digits are more than a screen shows."""
    said: list[float | int | None] = []
    for value in values:
        short = float(f"{value:.{_DIGITS}g}") if math.isfinite(value) else None
        said.append(int(short) if short is not None and short.is_integer() else short)
    return said


def _colouring(name: str, values: Sequence[Any]) -> dict[str, Any]:
    if not any(isinstance(value, str) for value in values):
        return {"name": name, "values": _rounded([float(value) for value in values])}
    said = [clean(value, 40) if isinstance(value, str) else "" for value in values]
    levels = _levels(said)
    code = {level: i for i, level in enumerate(levels)}
    others = len(set(said) - set(levels) - {""})
    return {
        "name": name,
        "levels": [*levels, f"{others} others"] if others else levels,
        "codes": [None if not level else code.get(level, len(levels)) for level in said],
    }


def _levels(said: Sequence[str]) -> list[str]:
    """Categories in natural order; of too many, the most frequent."""
    counts = Counter(filter(None, said))
    frequent = sorted(counts, key=lambda level: (-counts[level], natural(level)))
    kept = frequent if len(frequent) <= MAX_LEVELS else frequent[: MAX_LEVELS - 1]
    return sorted(kept, key=natural)
