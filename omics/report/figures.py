"""The figures of the report: pure functions from arrays and tables to SVG text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from omics.report.svg import ACCENT, INK, SOFT, draw, spread, titled
from omics.report.words import clean, estimate, listing, percent

#: Mean Jaccard index from which a subtype is called stable (Hennig 2007).
STABLE = 0.75
_SECOND = "#D55E00"
_MAX_OVERLAPS = 15
#: With more groups than this the bands are paler, so that the curves stay visible.
_MAX_BANDS = 5
_LABEL = 24


def overlap(layers: pd.DataFrame) -> str:
    """How many patients have which combination of layers.

    Parameters
    ----------
    layers : pandas.DataFrame
        Boolean, shape (sample, layer).
    """
    counts = layers.groupby(list(layers.columns), sort=False).size().sort_values(ascending=False, kind="stable")
    counts = counts[[any(np.atleast_1d(combination)) for combination in counts.index]]
    shown = counts.iloc[:_MAX_OVERLAPS]
    members = np.array([np.atleast_1d(combination) for combination in shown.index], dtype=bool)
    totals = layers.sum()
    said = [
        f"{n} with {listing([str(c) for c, has in zip(layers.columns, row, strict=True) if has])} only"
        for row, n in zip(members, shown, strict=True)
    ]

    def plot(figure: Figure) -> None:
        bars, dots = figure.subplots(2, 1, sharex=True, height_ratios=(2.2, 0.36 * layers.shape[1] + 0.2))
        _overlap_bars(bars, shown.to_numpy())
        _overlap_dots(dots, members, [f"{clean(c, _LABEL)} ({totals[c]:,})" for c in layers.columns])

    return draw("overlap", f"Patients by combination of layers: {'; '.join(said)}.", (4.9, 3.3), plot)


def _overlap_bars(axes: Axes, counts: np.ndarray) -> None:
    axes.bar(np.arange(len(counts)), counts, width=0.62, color=ACCENT)
    for x, n in enumerate(counts):
        axes.annotate(f"{n:,}", (x, n), xytext=(0, 3), textcoords="offset points", ha="center", fontsize=8.5)
    axes.set_title("Patients with exactly these layers", fontweight="bold")
    axes.set_ylim(0, max(counts.max(initial=1), 1) * 1.12)
    axes.spines[["left", "bottom"]].set_visible(False)
    axes.tick_params(bottom=False, left=False, labelleft=False)


def _overlap_dots(axes: Axes, members: np.ndarray, names: Sequence[str]) -> None:
    n_combinations, n_layers = members.shape
    for x, row in enumerate(members):
        present = np.flatnonzero(row)
        axes.plot([x, x], [present.min(), present.max()], color=ACCENT, linewidth=1.6, zorder=2)
        axes.plot(np.full(n_layers, x), np.arange(n_layers), "o", color="#dde3e8", markersize=7, zorder=1)
        axes.plot(np.full(present.size, x), present, "o", color=ACCENT, markersize=7, zorder=3)
    axes.set_yticks(range(n_layers), names)
    axes.set_xticks([])
    axes.set(xlim=(-0.6, n_combinations - 0.4), ylim=(n_layers - 0.5, -0.5))
    axes.spines[:].set_visible(False)
    axes.tick_params(left=False)


def stability(table: pd.DataFrame, chosen: int) -> str:
    """Stability of each number of subtypes against what data without clusters reach.

    Parameters
    ----------
    table : pandas.DataFrame
        ``stability, weakest, null_mean, null_upper``, indexed by the number of subtypes.
    chosen : int
        The number that was chosen; 1 means none.
    """

    def plot(figure: Figure) -> None:
        axes = figure.subplots()
        k = table.index.to_numpy()
        axes.fill_between(k, 0, table["null_upper"], color="#e9edf0", label="no clusters, up to 95 %", linewidth=0)
        axes.axhline(STABLE, color=_SECOND, linestyle=":", linewidth=1)
        axes.plot(k, table["null_mean"], color="#8894a0", linestyle="--", linewidth=1.2, label="no clusters, mean")
        axes.plot(k, table["stability"], "o-", color=ACCENT, linewidth=1.8, markersize=4.5, label="these patients")
        axes.plot(k, table["weakest"], "s-", color=_SECOND, linewidth=1, markersize=3.2, label="least stable subtype")
        if chosen in table.index:
            best = table["stability"].loc[chosen]
            axes.plot([chosen], [best], "o", color="none", markeredgecolor=INK, markersize=11, label="chosen")
        axes.set_ylim(0, 1.05)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.yaxis.grid(True)
        titled(axes, "Stability (adjusted Rand index; least stable: Jaccard)", "Number of subtypes")
        figure.legend(loc="outside lower center", ncols=2, frameon=False)

    said = [
        f"{k}: {row.stability:.2f} (no clusters {row.null_mean:.2f}, least stable subtype {row.weakest:.2f})"
        for k, row in table.iterrows()
    ]
    return draw("stability", f"Stability by number of subtypes, {listing(said)}.", (4.9, 3.7), plot)


#: Left and right end of the time axis, as shares of the figure's width: a table below continues it.
TIME_AXIS = (0.16, 0.85)
#: What is on the y axis, and whether the curve starts at 0 and climbs.
ENDPOINTS: Mapping[str, tuple[str, bool]] = {
    "relapse": ("Cumulative incidence of relapse", True),
    "event_free": ("Event-free survival", False),
    "overall": ("Overall survival", False),
    "relapse_free": ("Relapse-free survival from remission", False),
    "after_relapse": ("Survival after relapse", False),
    "second_remission": ("Cumulative incidence of second remission", True),
    "second_event": ("Event-free survival after relapse", False),
}


def curves(
    endpoint: str, table: pd.DataFrame, colour: Mapping[str, str], times: Sequence[float], *, name: str = "curve"
) -> str:
    """Step curves of one endpoint by group, with pointwise 95 % bands.

    Parameters
    ----------
    endpoint : str
        Key of :data:`ENDPOINTS`.
    table : pandas.DataFrame
        Rows of the endpoint: ``group, time, estimate, lower, upper``.
    colour : mapping
        Colour of each group, in the order of the groups.
    times : sequence of float
        Ticks of the time axis in years; the last is its end.
    name : str
        With the end point unique on the page.
    """
    title, climbs = ENDPOINTS[endpoint]
    groups = [group for group in colour if (table["group"] == group).any()]
    lines = {group: _steps(table[table["group"] == group], 0.0 if climbs else 1.0) for group in groups}
    top = _ceiling(table["upper"].max()) if climbs else 1.0

    def plot(figure: Figure) -> None:
        figure.set_layout_engine("none")
        axes = figure.add_axes((TIME_AXIS[0], 0.15, TIME_AXIS[1] - TIME_AXIS[0], 0.74))
        alpha = 0.13 if len(lines) <= _MAX_BANDS else 0.06
        for group, line in lines.items():
            axes.fill_between(
                line["time"], line["lower"], line["upper"], step="post", color=colour[group], alpha=alpha, linewidth=0
            )
            axes.step(line["time"], line["estimate"], where="post", color=colour[group], linewidth=1.7)
        axes.set(xlim=(0, times[-1]), ylim=(0, top))
        axes.set_xticks(times)
        axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
        axes.yaxis.grid(True)
        titled(axes, title, "Time from diagnosis (years)")
        _name_lines(axes, {g: line.iloc[-1] for g, line in lines.items()}, colour)

    said = [f"{clean(g)} {percent(line['estimate'].iloc[-1])}" for g, line in lines.items()]
    alt = f"{title} by subtype, with 95 % bands; at the end of follow-up {listing(said)}."
    return draw(f"{name}-{endpoint}", alt, (4.9, 3.6), plot)


def _steps(rows: pd.DataFrame, start: float) -> pd.DataFrame:
    """The curve from time 0 on; a bound that is not defined lies on the curve."""
    line = rows.sort_values("time", kind="stable")[["time", "estimate", "lower", "upper"]]
    origin = pd.DataFrame({"time": [0.0], "estimate": [start], "lower": [start], "upper": [start]})
    line = pd.concat([origin, line.astype(float)], ignore_index=True)
    line["estimate"] = line["estimate"].ffill()
    return line.assign(lower=line["lower"].fillna(line["estimate"]), upper=line["upper"].fillna(line["estimate"]))


def _ceiling(upper: float) -> float:
    """End of an incidence axis: a multiple of 10 %, at least 20 %."""
    return float(np.clip(np.ceil(np.nan_to_num(upper, nan=1.0) * 10) / 10, 0.2, 1.0))


def _name_lines(axes: Axes, ends: Mapping[str, pd.Series], colour: Mapping[str, str]) -> None:
    """Write each group's name right of the axes, with a hair line from the end of its curve, in place of a legend."""
    (_, right), (_, top) = axes.get_xlim(), axes.get_ylim()
    heights = spread([end["estimate"] for end in ends.values()], 0.07 * top, 0, top)
    for (group, end), height in zip(ends.items(), heights, strict=True):
        hair = [end["time"], right, 1.03 * right], [end["estimate"], height, height]
        axes.plot(*hair, color=colour[group], linewidth=0.7, linestyle=(0, (2, 2)), clip_on=False)
        axes.annotate(
            clean(group, 7), (1.04 * right, height), va="center", fontsize=9, annotation_clip=False,
            color=INK, fontweight="bold",
        )  # fmt: skip


def forest(
    name: str, title: str, table: pd.DataFrame, *, reference: float, says: tuple[str, str], digits: int = 2
) -> str:
    """Estimates with 95 % intervals, one row each, against a reference line.

    Parameters
    ----------
    name : str
        Unique on the page.
    title : str
        The quantity.
    table : pandas.DataFrame
        ``group, label, estimate, lower, upper``; rows of a group stand together below its name.
    reference : float
        Value of no information or no difference.
    says : tuple of str
        What lies left and right of the reference.
    digits : int
        Digits of the numbers beside the lines.
    """
    rows: list[tuple[str, Any]] = [
        (str(group), row) for group, part in table.groupby("group", sort=False) for row in part.itertuples()
    ]
    positions = _forest_positions([group for group, _ in rows])
    span = _forest_span(table, reference)

    def plot(figure: Figure) -> None:
        axes = figure.subplots()
        axes.axvline(reference, color="#8894a0", linewidth=1, linestyle="--", zorder=1)
        for (_, row), y in zip(rows, positions, strict=True):
            axes.plot([row.lower, row.upper], [y, y], color=ACCENT, linewidth=2, solid_capstyle="butt", zorder=2)
            axes.plot([row.estimate], [y], "s", color=ACCENT, markersize=6.5, zorder=3)
            said = estimate(row.estimate, row.lower, row.upper, digits)
            axes.annotate(said, (1.02, y), xycoords=("axes fraction", "data"), va="center", fontsize=8.5)
        axes.set_yticks(positions, [clean(row.label, 36) for _, row in rows])
        axes.set(xlim=span, ylim=(max(positions) + 0.7, -1.3))
        _forest_heads(axes, [group for group, _ in rows], positions)
        _forest_axis(axes, title, says)

    said = "; ".join(
        f"{group}, {row.label}: {estimate(row.estimate, row.lower, row.upper, digits)}" for group, row in rows
    )
    return draw(name, f"{title}, 95 % intervals. {said}.", (4.9, 0.95 + 0.3 * (max(positions) + 2)), plot)


def _forest_positions(groups: Sequence[str]) -> list[float]:
    """Rows at distance 1, and room for the name of each group."""
    positions, y = [], 0.0
    for before, group in zip([None, *groups[:-1]], groups, strict=True):
        y += 0.0 if before is None else 1.0 if group == before else 2.0
        positions.append(y)
    return positions


def _forest_span(table: pd.DataFrame, reference: float) -> tuple[float, float]:
    """Ends of the axis, in whole steps of a tenth: symmetric around no difference, up to 1 for an AUC."""
    ends = table[["estimate", "lower", "upper"]].to_numpy(dtype=float)
    if reference == 0:
        reach = np.ceil(10 * np.nanmax(np.abs(ends), initial=0.05)) / 10
        return -float(reach), float(reach)
    return float(np.floor(10 * np.nanmin(ends, initial=reference - 0.1)) / 10), 1.0


def _forest_heads(axes: Axes, groups: Sequence[str], positions: Sequence[float]) -> None:
    for group in dict.fromkeys(groups):
        y = positions[list(groups).index(group)] - 0.85
        axes.annotate(
            clean(group, 40), (0, y), xycoords=("axes fraction", "data"), xytext=(2, 0), textcoords="offset points",
            va="center", fontsize=8.5, color=SOFT, fontweight="bold",
            bbox={"facecolor": "white", "edgecolor": "none", "pad": 1.5},
        )  # fmt: skip


def _forest_axis(axes: Axes, title: str, says: tuple[str, str]) -> None:
    axes.xaxis.set_major_locator(MaxNLocator(nbins=6, steps=[1, 2, 5, 10]))
    axes.xaxis.grid(True)
    axes.spines["left"].set_visible(False)
    axes.tick_params(left=False)
    axes.set_title(title, fontweight="bold")
    axes.set_xlabel(" ")  # keeps the room for the two words below
    for x, side, word in ((0.0, "left", f"← {says[0]}"), (1.0, "right", f"{says[1]} →")):
        axes.annotate(
            word, (x, 0), xycoords="axes fraction", xytext=(0, -20), textcoords="offset points", ha=side, va="top",
            color=SOFT, fontsize=8.5,
        )  # fmt: skip
