"""Effects and how sure they are: volcano plots of many features, forest plots of hazard ratios."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator
from matplotlib.transforms import blended_transform_factory

from omics.report.reading import records
from omics.report.svg import ACCENT, PALETTE, SOFT, draw, fitted, identify, nothing, spread, titled, width_of
from omics.report.words import clean, estimate, listing, number, p_value, percent

#: More points than this are drawn as a picture.
RASTER_POINTS = 3000
_UP, _DOWN, _REST = PALETTE[1], PALETTE[0], "#aeb8c1"
_LABELLED = 12
# cells in which points lie on each other: no eye tells two of one cell apart
_GRID = (480, 360)
_SIZE, _FRAME = (6.4, 4.0), (0.09, 0.13, 0.89, 0.78)
# inches of the axis, of the longest name, of a hair line
_ACROSS, _NAME, _HAIR = _SIZE[0] * _FRAME[2], 1.5, 0.16
# farthest end of an axis of hazard ratios that an interval alone asks for, as a power of 2
_GREATEST = 4.0
# the axes of a forest, and where columns of text stand, in inches and in shares of the width
_WIDTH, _AXES = 8.4, (0.42, 0.25)
_PLACES = {"label": (0.012, "left"), "n": (0.33, "right"), "events": (0.4, "right"),
           "estimate": (0.69, "left"), "p_value": (0.9, "left")}  # fmt: skip
_HEADS = {"n": "Patients", "events": "Events", "estimate": "Hazard ratio (95 %)", "p_value": "p-value"}

# --- volcano ------------------------------------------------------------------------------------------------------


def volcano(
    difference: np.ndarray,
    p_value: np.ndarray,
    q_value: np.ndarray,
    names: Sequence[str],
    *,
    name: str,
    title: str,
    x: str,
    threshold: float = 0.05,
) -> str:
    """Differences of many features against their p-values; the leading ones are named.

    Parameters
    ----------
    difference, p_value, q_value : array of float, shape (feature,)
        A feature with a missing value is not drawn; a p-value of 0 is drawn at the smallest positive one.
    names : sequence of str
        Names of the features.
    name : str
        Unique on the page.
    title : str
        What is compared.
    x : str
        The difference, with its units.
    threshold : float
        False discovery rate that a called feature does not exceed.
    """
    values = pd.DataFrame({"x": difference, "p": p_value, "q": q_value}, dtype=float).assign(at=np.arange(len(names)))
    values = values.loc[np.isfinite(values[["x", "p", "q"]].to_numpy()).all(axis=1)]
    if values.empty:
        return nothing(name, f"{title}: no feature could be tested.")
    least = values.loc[values["p"] > 0, "p"].min()
    values["y"] = -np.log10(values["p"].clip(lower=least if least > 0 else 1e-300))
    values["called"] = values["q"] <= threshold
    called = values[values["called"]]
    leading = called.sort_values(["p", "at"]).head(_LABELLED)
    said = [fitted(names[i], _NAME, 8) for i in leading["at"]]

    def plot(figure: Figure) -> None:
        figure.set_layout_engine("none")
        axes = figure.add_axes(_FRAME)
        reach, top = float(values["x"].abs().max()) or 1.0, float(values["y"].max()) or 1.0
        axes.set(xlim=_wide_enough(reach, leading["x"].to_numpy(), said), ylim=(-0.02 * top, 1.06 * top))
        for part, colour, marker in _parts(values):
            here = _apart(part[["x", "y"]].to_numpy(), reach, top)
            style: dict[str, Any] = {"linestyle": "none", "markersize": 2.6, "markeredgewidth": 0}
            axes.plot(here[:, 0], here[:, 1], marker, color=colour, rasterized=len(values) > RASTER_POINTS, **style)
        if len(called):
            _threshold(axes, values, percent(threshold))
        _name_points(axes, leading, said, [str(names[i]) for i in leading["at"]], reach)
        axes.locator_params(nbins=7)
        titled(axes, f"{clean(title, 60)}: −log10 p-value", clean(x, 70))

    higher = int((called["x"] > 0).sum())
    alt = (
        f"Volcano plot, {title}: {x} against p-value of {len(values):,} features. At a false discovery rate of "
        f"{percent(threshold)} {higher:,} are higher and {len(called) - higher:,} lower"
        f"{f'; most surely {listing(said)}' if said else ''}."
    )
    return draw(name, alt, _SIZE, plot)


def _parts(values: pd.DataFrame) -> list[tuple[pd.DataFrame, str, str]]:
    """The features not called, higher, lower; with colour and marker."""
    rest, higher = ~values["called"], values["called"] & (values["x"] > 0)
    masks = ((rest, _REST, "o"), (higher, _UP, "^"), (~rest & ~higher, _DOWN, "v"))
    return [(values[mask], colour, marker) for mask, colour, marker in masks if mask.any()]


def _apart(points: np.ndarray, reach: float, top: float) -> np.ndarray:
    """One point of each cell of a fine grid, if there are more than can be seen."""
    if len(points) <= RASTER_POINTS:
        return points
    cells = np.round(points / [2 * reach, top] * _GRID).astype(np.int64)
    _, first = np.unique(cells @ [10 * _GRID[1], 1], return_index=True)
    return points[np.sort(first)]


def _wide_enough(reach: float, x: np.ndarray, said: Sequence[str]) -> tuple[float, float]:
    """Ends of the axis that leave room for the names beside all points."""
    names = pd.DataFrame({"higher": x > 0, "width": [width_of(text, 8) for text in said]})
    widest = names.groupby("higher")["width"].max().reindex([False, True])
    left, right = ((widest + _HAIR + 0.08).fillna(0.08) / _ACROSS).tolist()
    whole = 2 * reach / (1 - left - right)
    return -reach - left * whole, reach + right * whole


def _threshold(axes: Axes, values: pd.DataFrame, share: str) -> None:
    """A line between the last feature that is called and the next one."""
    last = values.loc[values["called"], "y"].min()
    below = values.loc[~values["called"] & (values["y"] < last), "y"].max()
    line = last if np.isnan(below) else (last + below) / 2
    axes.axhline(line, color=SOFT, linewidth=0.9, linestyle=(0, (4, 3)), zorder=1)
    axes.annotate(
        f"FDR {share}", (0, line), xytext=(3, 2), xycoords=("axes fraction", "data"), textcoords="offset points",
        color=SOFT, fontsize=8,
    )  # fmt: skip


def _name_points(axes: Axes, leading: pd.DataFrame, said: Sequence[str], tips: Sequence[str], reach: float) -> None:
    """Names at the sides, where no feature lies, each with a hair line to its point."""
    low, top = axes.get_ylim()
    left, right = axes.get_xlim()
    for side in (-1, 1):
        mine = [(row, text) for row, text in zip(records(leading), said, strict=True) if (row.x > 0) == (side > 0)]
        heights = spread([row.y for row, _ in mine], 0.052 * (top - low), low, 0.985 * top)
        end = side * (reach + _HAIR / _ACROSS * (right - left))
        for (row, text), height in zip(mine, heights, strict=True):
            axes.plot([row.x, end], [row.y, height], color=SOFT, linewidth=0.5, zorder=1.5)
            axes.annotate(text, (end, height), xytext=(2 * side, 0), textcoords="offset points", va="center",
                          ha="left" if side > 0 else "right", fontsize=8)  # fmt: skip
    if len(leading):
        (points,) = axes.plot(leading["x"], leading["y"], "o", color="none", markeredgecolor=SOFT, markersize=5,
                              markeredgewidth=0.8, linestyle="none")  # fmt: skip
        identify(points, tips)


# --- forest -------------------------------------------------------------------------------------------------------


def hazard_forest(rows: pd.DataFrame, *, name: str, title: str, says: tuple[str, str]) -> str:
    """Hazard ratios with 95 % intervals on a logarithmic axis; an interval that leaves it ends in an arrow.

    Parameters
    ----------
    rows : pandas.DataFrame
        ``label, estimate, lower, upper, p_value, n, events``, and ``group`` if rows have headings; a row whose estimate
        is missing is written, not drawn.
    name : str
        Unique on the page.
    title : str
        The quantity, and for what.
    says : tuple of str
        What lies left and right of 1.
    """
    if rows.empty:
        return nothing(name, f"{title}: nothing to compare.")
    groups = rows["group"].fillna("").astype(str).tolist() if "group" in rows else [""] * len(rows)
    lines = _lines(groups)
    positions = [y for y, label in lines if label is None]
    span = _span(rows)
    height = 1.05 + 0.2 * (lines[-1][0] + 1)

    def plot(figure: Figure) -> None:
        figure.set_layout_engine("none")
        axes = figure.add_axes((_AXES[0], 0.5 / height, _AXES[1], 1 - 1.05 / height))
        axes.set(xscale="log", xlim=span, ylim=(lines[-1][0] + 0.6, -0.6))
        axes.axvline(1, color="#8894a0", linewidth=1, zorder=1)
        for y, row in zip(positions, records(rows), strict=True):
            _interval(axes, y, row, span)
        _columns(axes, rows, lines, positions)
        _log_axis(axes, span, says)
        figure.text(0.012, 1 - 0.08 / height, clean(title, 90), fontweight="bold", fontsize=9.5, va="top")

    said = "; ".join(
        f"{clean(f'{group}, {row.label}' if group else row.label, 60)}: {estimate(row.estimate, row.lower, row.upper)}"
        for group, row in zip(groups, records(rows), strict=True)
    )
    return draw(name, f"{title}, with 95 % intervals. {said}.", (_WIDTH, height), plot)


def _lines(groups: Sequence[str]) -> list[tuple[float, str | None]]:
    """Height of each line, and its text if it is a heading."""
    lines: list[tuple[float, str | None]] = []
    y, before = 0.0, ""
    for group in groups:
        if group != before and group:
            y += 0.4 if lines else 0.0
            lines.append((y, group))
            y += 1
        lines.append((y, None))
        y, before = y + 1, group
    return lines


def _span(rows: pd.DataFrame) -> tuple[float, float]:
    """Ends of the axis, symmetric around 1: as far as estimates and most intervals reach, by whole factors of 2."""
    ends = rows[["estimate", "lower", "upper"]].to_numpy(dtype=float)
    logs = np.abs(np.log2(np.where(ends > 0, ends, np.nan)))
    logs[~np.isfinite(logs)] = np.nan
    middle = np.nanmax(np.concatenate([[1.0], logs[:, 0]]))
    bounds = np.nanmax(np.concatenate([[1.0], logs[:, 1:].ravel()]))
    reach = float(np.ceil(min(bounds, max(middle + 0.5, _GREATEST))))
    return 2.0**-reach, 2.0**reach


def _interval(axes: Axes, y: float, row: Any, span: tuple[float, float]) -> None:
    if not (np.isfinite(row.estimate) and row.estimate > 0):
        return
    low, high = (row.estimate if np.isnan(end) else float(np.clip(end, *span)) for end in (row.lower, row.upper))
    axes.plot([low, high], [y, y], color=ACCENT, linewidth=1.6, solid_capstyle="butt", zorder=2)
    for leaves, end, arrow in ((row.lower < span[0], span[0], "<"), (row.upper > span[1], span[1], ">")):
        if leaves:
            axes.plot([end], [y], arrow, color=ACCENT, markersize=5, markeredgewidth=0, clip_on=False, zorder=3)
    axes.plot([np.clip(row.estimate, *span)], [y], "s", color=ACCENT, markersize=5, zorder=3)


def _columns(
    axes: Axes, rows: pd.DataFrame, lines: Sequence[tuple[float, str | None]], positions: Sequence[float]
) -> None:
    """The texts of each row in columns beside the axes."""
    beside = blended_transform_factory(axes.get_figure(root=True).transFigure, axes.transData)  # type: ignore[union-attr]

    def write(column: str, y: float, text: str, **style: Any) -> None:
        x, side = _PLACES[column]
        axes.text(x, y, text, transform=beside, ha=side, va="center", fontsize=8.5, **style)

    for column, head in _HEADS.items():
        write(column, -1.0, head, color=SOFT)
    for y, heading in lines:
        if heading is not None:
            write("label", y, fitted(heading, 2.2), fontweight="bold")
    indent = "\N{EM SPACE}" if any(heading is not None for _, heading in lines) else ""
    for y, row in zip(positions, records(rows), strict=True):
        write("label", y, indent + fitted(row.label, 1.9, 8.5))
        write("n", y, number(row.n, 0))
        write("events", y, number(row.events, 0))
        write("estimate", y, estimate(row.estimate, row.lower, row.upper))
        write("p_value", y, p_value(row.p_value).removeprefix("p").replace("=", "").strip())


def _log_axis(axes: Axes, span: tuple[float, float], says: tuple[str, str]) -> None:
    reach = round(np.log2(span[1]))
    ticks = 2.0 ** np.arange(-reach, reach + 1, max(1, -(-reach // 3)))
    axes.xaxis.set_major_locator(FixedLocator(list(ticks)))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:.3g}"))
    axes.xaxis.grid(True)
    axes.spines["left"].set_visible(False)
    axes.tick_params(left=False, labelleft=False)
    for x, side, word in ((0.48, "right", f"← {says[0]}"), (0.52, "left", f"{says[1]} →")):
        axes.annotate(clean(word, 40), (x, 0), xycoords="axes fraction", xytext=(0, -20), textcoords="offset points",
                      ha=side, va="top", color=SOFT, fontsize=8.5)  # fmt: skip
