"""Drawings of patients: where they lie in the plane of two factors, and how many are left after each step."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from omics.report.reading import records
from omics.report.svg import (
    ACCENT,
    MARKERS,
    PALETTE,
    RULE,
    SOFT,
    colours,
    draw,
    fitted,
    identify,
    nothing,
    titled,
    width_of,
)
from omics.report.words import MISSING, clean, count, natural, number

#: More points than this are a picture, and none of them says whose it is.
RASTER_POINTS = 2000
_LABEL, _OTHERS = 24, "others"
_PLANE, _BESIDE = (4.9, 3.7), 1.2
# with more points than this they are smaller
_FEW = 500
_EDGE: dict[str, Any] = {"edgecolors": "white", "linewidths": 0.4}

# --- plane of two factors -----------------------------------------------------------------------------------------


def factor_scatter(
    scores: pd.DataFrame, x: str, y: str, colour: pd.Series | None = None, *, name: str, names: Sequence[str] = ()
) -> str:
    """Patients in the plane of two factors, coloured by a class or by a number; grey where it is missing.

    Parameters
    ----------
    scores : pandas.DataFrame
        Shape (sample, factor). A patient without both scores is not drawn.
    x, y : str
        The factors.
    colour : pandas.Series, optional
        Class, or number if its dtype is one, by sample; its name is said.
    name : str
        Unique on the page.
    names : sequence of str
        All classes, in the order that gives them their colours; by default those that there are, in natural order.
        If there are more than colours, the last share one.
    """
    points = pd.DataFrame({"x": scores[x], "y": scores[y]}).astype(float)
    points = points.loc[np.isfinite(points.to_numpy()).all(axis=1)]
    if points.empty:
        return nothing(name, f"No patient has scores of {clean(x, _LABEL)} and {clean(y, _LABEL)}.")
    by = pd.Series(np.nan, points.index, dtype=object) if colour is None else colour.reindex(points.index)
    numeric = pd.api.types.is_numeric_dtype(by) and not pd.api.types.is_bool_dtype(by)
    known = np.isfinite(by.to_numpy(dtype=float)) if numeric else by.notna().to_numpy()
    points = points.assign(tip=_tips(points, by, "" if colour is None else clean(colour.name, 40)))

    def plot(figure: Figure) -> None:
        axes = figure.subplots()
        many = len(points)
        rest = ("not known", RULE) if known.any() else ("", ACCENT)
        _cloud(axes, points[~known], rest[1], "o", rest[0], many)
        if numeric and known.any():
            drawn = _cloud(axes, points[known], by[known].to_numpy(dtype=float), "o", "", many)
            figure.colorbar(drawn, ax=axes, shrink=0.8, aspect=18, label=fitted(by.name, 2.5)).outline.set_visible(
                False
            )
        else:
            _classes(axes, points[known], by[known].astype(str), names, many)
        titled(axes, f"{fitted(y, 2.5)} (score)", f"{fitted(x, 2.5)} (score)")
        axes.locator_params(nbins=6)
        if known.any() and axes.get_legend_handles_labels()[0]:
            style: dict[str, Any] = {
                "loc": "outside right upper",
                "title": fitted(by.name, _BESIDE),
                "alignment": "left",
            }
            style = {"loc": "outside lower left"} if numeric else style
            figure.legend(frameon=False, handletextpad=0.2, scatterpoints=1, **style)

    missing = int((~known).sum())
    said = f", coloured by {clean(by.name)} (not known of {count(missing, 'patient')})" if colour is not None else ""
    return draw(name, f"Scatter of {count(len(points), 'patient')}: {clean(x)} against {clean(y)}{said}.", _PLANE, plot)


def _tips(points: pd.DataFrame, by: pd.Series, name: str) -> list[str]:
    places = [f"{number(x)}, {number(y)}" for x, y in points.to_numpy()]
    return [f"{name} {_value(value)}; at {at}" if name else f"at {at}" for value, at in zip(by, places, strict=True)]


def _value(value: Any) -> str:
    if pd.isna(value):
        return MISSING
    return f"{value:.4g}" if isinstance(value, float) else clean(value, 60)


def _cloud(axes: Axes, points: pd.DataFrame, colour: Any, marker: str, label: str, many: int) -> Any:
    """Points of one marker, each with its patient unless `many`, the number of all points, makes them a picture."""
    if points.empty:
        return None
    style: dict[str, Any] = {"color": colour} if isinstance(colour, str) else {"c": colour, "cmap": "cividis"}
    drawn = axes.scatter(
        points["x"], points["y"], s=20 if many <= _FEW else 11, marker=marker, label=label or "_nolegend_",
        rasterized=many > RASTER_POINTS, clip_on=False,
        **style, **_EDGE,
    )  # fmt: skip
    if many <= RASTER_POINTS:
        identify(drawn, points["tip"].tolist(), [str(sample) for sample in points.index])
    return drawn


def _classes(axes: Axes, points: pd.DataFrame, by: pd.Series, names: Sequence[str], many: int) -> None:
    order = list(names) or sorted(by.unique(), key=natural)
    if len(order) > len(PALETTE):
        kept = order[: len(PALETTE) - 1]
        by, order = by.where(by.isin(kept), _OTHERS), [*kept, _OTHERS]
    for (level, colour), marker in zip(colours(order).items(), MARKERS, strict=False):
        _cloud(axes, points[(by == level).to_numpy()], colour, marker, fitted(level, _BESIDE) or "(empty)", many)


# --- exclusion flow -----------------------------------------------------------------------------------------------

# inches: the drawing, its boxes, a line of text
_WIDTH, _BOX, _GAP, _MARGIN, _LINE = 9.0, 0.42, 0.32, 0.12, 0.15
_INDENT, _STEP = 0.3, 3.4
_MAX_REASONS, _MAX_LINES = 5, 3


def exclusion_flow(account: pd.DataFrame, further: Sequence[tuple[str, int]] = (), *, name: str = "flow") -> str:
    """From the samples in the files to the patients who were analysed, with what was dropped on the way.

    Parameters
    ----------
    account : pandas.DataFrame
        ``layer, what, reason, samples`` as ingest keeps it; of `what`, in file, dropped, kept, in any layer and in all
        layers are drawn.
    further : sequence of (str, int)
        Steps after that: what the patients have or went through, and how many do.
    name : str
        Unique on the page.
    """
    rows = account.fillna({"reason": ""})
    layers = [layer for layer, part in rows.groupby("layer", sort=False) if (part["what"] == "kept").any()]
    if not layers:
        return nothing(name, "No account of the samples was kept.")
    chains = [rows[rows["layer"] == layer] for layer in layers]
    steps = [
        *((f"in any layer ({_n(rows, 'in all layers')} in all)", n) for n in _counts(rows, "in any layer")),
        *further,
    ]
    column = min((_WIDTH - 2 * _MARGIN) / len(chains), _STEP)
    start = (_WIDTH - column * len(chains)) / 2
    notes = [_dropped(chain, column - _INDENT - 0.2) for chain in chains]
    room = max(_GAP, _LINE * max(map(len, notes)) + 0.16)
    merge = _MARGIN + 2 * _BOX + room
    height = merge + _MARGIN + len(steps) * (_BOX + _GAP) + (_GAP / 2 if steps else 0)

    def plot(figure: Figure) -> None:
        figure.set_layout_engine("none")
        axes = figure.add_axes((0, 0, 1, 1))
        axes.set(xlim=(0, _WIDTH), ylim=(height, 0))
        axes.set_axis_off()
        for i, (chain, note) in enumerate(zip(chains, notes, strict=True)):
            _draw_chain(axes, chain, note, (start + i * column, column - 0.12), room)
        if steps:
            _draw_steps(axes, steps, [start + i * column + _INDENT / 2 for i in range(len(chains))], merge)

    said = [f"{clean(layer, 30)}: {_n(chain, 'in file')} in the file, {_n(chain, 'kept')} kept"
            for layer, chain in zip(layers, chains, strict=True)]  # fmt: skip
    then = "".join(f" Then {clean(what, 60)}: {n:,}." for what, n in steps)
    return draw(name, f"Flow of samples. {'; '.join(said)}.{then}", (_WIDTH, height), plot)


def _counts(rows: pd.DataFrame, what: str) -> list[int]:
    return [int(n) for n in rows.loc[rows["what"] == what, "samples"]]


def _n(rows: pd.DataFrame, what: str) -> str:
    return f"{sum(_counts(rows, what)):,}"


def _wrapped(text: str, inches: float) -> list[str]:
    letters = max(int(len(text) * inches / max(width_of(text, 8), inches)), 4)
    return [fitted(line, inches, 8) for line in textwrap.wrap(text, letters, max_lines=_MAX_LINES, placeholder="…")]


def _dropped(chain: pd.DataFrame, inches: float) -> list[str]:
    """Lines of what was dropped and why, the most frequent reasons first."""
    dropped = chain[(chain["what"] == "dropped") & (chain["samples"] > 0)]
    dropped = dropped.sort_values("samples", ascending=False, kind="stable")
    reasons = [(row.samples, clean(row.reason, 120)) for row in records(dropped)]
    if len(reasons) > _MAX_REASONS:
        rest = reasons[_MAX_REASONS - 1 :]
        reasons = [*reasons[: _MAX_REASONS - 1], (sum(n for n, _ in rest), f"{len(rest)} other reasons")]
    return [line for n, reason in reasons for line in _wrapped(f"− {n:,} {reason}", inches)]


def _draw_chain(
    axes: Axes, chain: pd.DataFrame, dropped: Sequence[str], place: tuple[float, float], room: float
) -> None:
    """One layer: what is in the file, what was dropped, what was kept."""
    left, width = place
    layer = fitted(chain["layer"].iloc[0], 0.85 * width)  # bold is wider
    _box(axes, (left, _MARGIN, width), layer, f"{_n(chain, 'in file')} in the file")
    _box(axes, (left, _MARGIN + _BOX + room, width), f"{_n(chain, 'kept')} kept", "")
    _arrow(axes, left + _INDENT / 2, _MARGIN + _BOX, _MARGIN + _BOX + room)
    for i, line in enumerate(dropped):
        axes.text(left + _INDENT, _MARGIN + _BOX + 0.08 + (i + 0.5) * _LINE, line, va="center", color=SOFT, fontsize=8)


def _draw_steps(axes: Axes, steps: Sequence[tuple[str, int]], feet: Sequence[float], top: float) -> None:
    """All layers join, then one box a step."""
    y, middle = top + _GAP / 2, _WIDTH / 2
    for x in feet:
        axes.plot([x, x], [top, y], color=SOFT, linewidth=1)
    axes.plot([min(*feet, middle), max(*feet, middle)], [y, y], color=SOFT, linewidth=1)
    before = None
    for what, n in steps:
        _arrow(axes, middle, y, y + _GAP)
        if before is not None and n < before:
            axes.text(middle + 0.12, y + _GAP / 2, f"− {before - n:,}", va="center", color=SOFT, fontsize=8)
        _box(axes, (middle - _STEP / 2, y + _GAP, _STEP), count(n, "patient"), fitted(what, 0.95 * _STEP, 8.5))
        y, before = y + _GAP + _BOX, n


def _box(axes: Axes, place: tuple[float, float, float], head: str, text: str) -> None:
    left, top, width = place
    axes.add_patch(Rectangle((left, top), width, _BOX, facecolor="#f4f6f8", edgecolor=ACCENT, linewidth=1))
    x, y = left + width / 2, top + _BOX / 2
    axes.text(x, y - (0.08 if text else 0), head, ha="center", va="center", fontsize=9, fontweight="bold")
    axes.text(x, y + 0.09, text, ha="center", va="center", fontsize=8.5)


def _arrow(axes: Axes, x: float, top: float, bottom: float) -> None:
    axes.annotate("", (x, bottom), xytext=(x, top), arrowprops={"arrowstyle": "-|>", "color": SOFT, "shrinkA": 0,
                                                                "shrinkB": 0, "linewidth": 1})  # fmt: skip
