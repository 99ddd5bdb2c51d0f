"""Tables as pictures: associations as a heat map, enrichment and antigens as dots."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.collections import PolyCollection
from matplotlib.colors import LinearSegmentedColormap, Normalize
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from omics.report.reading import records
from omics.report.svg import INK, PALETTE, draw, fitted, identify, nothing, width_of
from omics.report.words import clean, listing, natural, number, percent

#: False discovery rate below which a cell or dot is marked.
SIGNIFICANT = 0.05
#: With more cells than this their numbers are left to the hover text.
MAX_NUMBERS = 180
#: Evidence above this is drawn as this: a power of 10.
MAX_EVIDENCE = 10.0
_EVIDENCE = ((0.1, "0.1"), (0.2, "0.01"), (0.5, "10⁻⁵"), (1.0, "10⁻¹⁰ or less"))
_DIVERGING = LinearSegmentedColormap.from_list("blue-vermilion", [PALETTE[0], "#f5f6f7", PALETTE[1]])
_TURN, _SAID = 0.32, 6
# inches of a column, a row, and their longest names; points of the largest dot
_COLUMN, _ROW, _COLUMN_NAME, _ROW_NAME, _DOT = 0.34, 0.22, 1.5, 3.2, 13.0

# --- heat map -----------------------------------------------------------------------------------------------------


def heatmap(
    values: pd.DataFrame, q_values: pd.DataFrame | None = None, *, name: str, title: str, limit: float | None = None
) -> str:
    """Signed values of rows by columns, from blue over grey to vermilion; a star where q is below 5 %.

    Parameters
    ----------
    values : pandas.DataFrame
        Shape (row, column), NaN where there is none.
    q_values : pandas.DataFrame, optional
        False discovery rates with the same rows and columns.
    name : str
        Unique on the page.
    title : str
        The quantity.
    limit : float, optional
        Value of the full colour; by default the greatest.
    """
    table = values.to_numpy(dtype=float)
    known = np.isfinite(table)
    if not known.any():
        return nothing(name, f"{title}: no value is known.")
    q = np.full(table.shape, np.nan) if q_values is None else q_values.reindex_like(values).to_numpy(dtype=float)
    marked = known & (q < SIGNIFICANT)
    reach = limit if limit is not None else float(np.abs(table[known]).max()) or 1.0
    shade = ScalarMappable(Normalize(-reach, reach, clip=True), _DIVERGING)
    rows, columns = _said(list(values.index), _ROW_NAME), _said(list(values.columns), _COLUMN_NAME)
    said_title = f"{clean(title, 90)}{'' if q_values is None else f' (* q < {SIGNIFICANT})'}"
    cell = 0.46 if table.size <= MAX_NUMBERS else _COLUMN

    def plot(figure: Figure) -> None:
        axes = figure.subplots()
        places = np.argwhere(known).tolist()
        corners = [[(j - 0.5, i - 0.5), (j + 0.5, i - 0.5), (j + 0.5, i + 0.5), (j - 0.5, i + 0.5)] for i, j in places]
        cells = PolyCollection(corners, facecolors=shade.to_rgba(table[known]), edgecolors="white", linewidths=1)
        identify(cells, [_cell_tip(values, q, i, j) for i, j in places])
        axes.add_collection(cells, autolim=False)
        _numbers(axes, table, marked, reach)
        _frame(axes, rows, columns, said_title, shade)

    strongest = sorted(zip(*np.nonzero(marked), strict=True), key=lambda at: -abs(table[at]))[:_SAID]
    said = [f"{rows[a]} with {columns[b]} {number(table[a, b])}" for a, b in strongest]
    alt = (
        f"Heat map, {title}: {len(rows)} rows by {len(columns)} columns; {int(marked.sum())} cells with q below "
        f"{SIGNIFICANT}{f', the strongest {listing(said)}' if said else ''}."
    )
    return draw(name, alt, _size(rows, columns, said_title, cell), plot)


def _said(labels: Sequence[object], inches: float) -> list[str]:
    return [fitted(label, inches) for label in labels]


def _size(rows: Sequence[str], columns: Sequence[str], title: str, column: float) -> tuple[float, float]:
    """Inches of a figure that has room for the names and the title, and is never wider than the page."""
    beside = max(map(width_of, rows)) + 1.2
    below = 0.7 * max(map(width_of, columns)) if _turned(columns) else 0.1
    width = max(beside + column * len(columns), 1.2 * width_of(title) + 0.2, 3.6)  # the title is bold
    return min(width, 10.0), max(0.75 + _ROW * len(rows), 1.5) + below


def _turned(columns: Sequence[str]) -> bool:
    return max(map(width_of, columns)) > _TURN


def _cell_tip(values: pd.DataFrame, q: np.ndarray, i: int, j: int) -> str:
    sure = f", q = {q[i, j]:.2g}" if np.isfinite(q[i, j]) else ""
    said = number(float(values.to_numpy()[i, j]), 3)
    return f"{clean(values.index[i], 60)}, {clean(values.columns[j], 60)}: {said}{sure}"


def _numbers(axes: Axes, table: np.ndarray, marked: np.ndarray, reach: float) -> None:
    """The values where there is room, else a star alone for those that are sure."""
    few = table.size <= MAX_NUMBERS
    for i, j in np.argwhere(np.isfinite(table) & (marked | few)):
        text = f"{number(table[i, j], 1 if reach > 10 else 2) if few else ''}{'*' if marked[i, j] else ''}"
        dark = abs(table[i, j]) > 0.6 * reach
        axes.text(j, i, text, ha="center", va="center", fontsize=7.5, color="white" if dark else INK,
                  fontweight="bold" if marked[i, j] else "normal")  # fmt: skip


def _frame(axes: Axes, rows: Sequence[str], columns: Sequence[str], title: str, shade: ScalarMappable) -> None:
    """Names of rows and columns, the title above all, and the scale of the colours, of the same size everywhere."""
    axes.set(xlim=(-0.5, len(columns) - 0.5), ylim=(len(rows) - 0.5, -0.5))
    axes.set_yticks(range(len(rows)), rows)
    turned: dict[str, Any] = {"rotation": 40, "ha": "right", "rotation_mode": "anchor"} if _turned(columns) else {}
    axes.set_xticks(range(len(columns)), columns, **turned)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    figure = axes.figure
    figure.suptitle(title, x=0.01, ha="left", fontsize=9.5, fontweight="bold")
    tall = max(_ROW * len(rows), 0.7)
    bar = figure.colorbar(shade, ax=axes, shrink=min(1.0, 1.4 / tall), aspect=12 * min(1.0, tall / 1.4), pad=0.02)
    bar.outline.set_visible(False)
    bar.ax.locator_params(nbins=4)


# --- dots ---------------------------------------------------------------------------------------------------------


class _Dots(NamedTuple):
    """What a dot plot draws: a table of ``row, column, colour, size`` (0 to 1) and ``ring, tip``, and its legends."""

    table: pd.DataFrame
    title: str
    shade: ScalarMappable
    sizes: tuple[tuple[float, str], ...]
    size: str


def enrichment_dots(table: pd.DataFrame, *, by: str, name: str, title: str, value: str) -> str:
    """Gene sets by factors or subtypes: colour for the signed statistic, size for the evidence, a ring for q below 5 %.

    Parameters
    ----------
    table : pandas.DataFrame
        ``set, statistic, q_value`` and the column `by`; of a set that is there twice the surer row is drawn. Sets keep
        their order.
    by : str
        Column of the factors or subtypes.
    name : str
        Unique on the page.
    title : str
        What was tested.
    value : str
        Name of the statistic.
    """
    known = table[np.isfinite(table[["statistic", "q_value"]].to_numpy(dtype=float)).all(axis=1)]
    known = known.assign(order=np.arange(len(known))).sort_values("q_value", kind="stable")
    known = known.drop_duplicates(["set", by]).sort_values("order")
    if known.empty:
        return nothing(name, f"{title}: no gene set was tested.")
    evidence = np.minimum(-np.log10(np.maximum(known["q_value"].to_numpy(dtype=float), 1e-300)), MAX_EVIDENCE)
    reach = float(known["statistic"].abs().max()) or 1.0
    drawn = pd.DataFrame({
        "row": known["set"].astype(str), "column": known[by].astype(str), "colour": known["statistic"],
        "size": evidence / MAX_EVIDENCE, "ring": known["q_value"] < SIGNIFICANT,
        "tip": [f"{row.set}, {group}: {value} {number(row.statistic)}, q = {row.q_value:.2g}"
                for row, group in zip(records(known), known[by], strict=True)],
    })  # fmt: skip
    shade, sizes = ScalarMappable(Normalize(-reach, reach), _DIVERGING), f"q-value (dark ring: below {SIGNIFICANT})"
    plan = _Dots(drawn, f"{title}: {value}", shade, _EVIDENCE, sizes)
    sure = known[known["q_value"] < SIGNIFICANT].sort_values("q_value", kind="stable")
    said = [f"{clean(row.set, 40)} in {clean(group, 20)} ({number(row.statistic)})"
            for row, group in zip(records(sure.head(_SAID)), sure[by], strict=False)]  # fmt: skip
    most = f", most surely {listing(said)}" if said else ""
    return _draw_dots(
        name, plan, f"Dot plot, {title}: {len(sure)} of {len(known)} tests with q below {SIGNIFICANT}{most}."
    )


def antigens(table: pd.DataFrame, *, name: str = "antigens") -> str:
    """Surface antigens by subtypes: colour for the median percentile of expression, size for the homogeneity.

    Parameters
    ----------
    table : pandas.DataFrame
        ``subtype, antigen``; ``percentile`` (median, 0 to 1) and ``homogeneity`` (share of the patients
        who have it, 0 to 1).
    name : str
        Unique on the page.
    """
    known = table[np.isfinite(table[["percentile", "homogeneity"]].to_numpy(dtype=float)).all(axis=1)]
    if known.empty:
        return nothing(name, "The expression of no antigen is known.")
    drawn = pd.DataFrame({
        "row": known["antigen"].astype(str), "column": known["subtype"].astype(str), "colour": known["percentile"],
        "size": known["homogeneity"], "ring": False,
        "tip": [f"{row.antigen}, {row.subtype}: median percentile {percent(row.percentile)}, homogeneity "
                f"{percent(row.homogeneity)}" for row in records(known)],
    })  # fmt: skip
    shade = ScalarMappable(Normalize(0, 1), matplotlib.colormaps["cividis_r"])
    sizes = tuple((share, percent(share)) for share in (0.25, 0.5, 0.75, 1.0))
    plan = _Dots(drawn, "Surface antigens: median percentile of expression", shade, sizes, "homogeneity")
    top = known.sort_values(["percentile", "homogeneity"], ascending=False, kind="stable").drop_duplicates("subtype")
    said = [f"{clean(row.antigen, 20)} in {clean(row.subtype, 20)} ({percent(row.percentile)})" for row in records(top)]
    return _draw_dots(name, plan, f"Dot plot of surface antigens by subtype; highest {listing(said)}.")


def _draw_dots(name: str, plan: _Dots, alt: str) -> str:
    table = plan.table
    rows = list(dict.fromkeys(table["row"]))
    columns = sorted(dict.fromkeys(table["column"]), key=natural)
    title = clean(plan.title, 90)
    said_rows, said_columns = _said(rows, _ROW_NAME), _said(columns, _COLUMN_NAME)

    def plot(figure: Figure) -> None:
        axes = figure.subplots()
        axes.grid(True)
        x, y = (pd.Index(n).get_indexer(pd.Index(table[c])) for n, c in ((columns, "column"), (rows, "row")))
        colour = plan.shade.to_rgba(table["colour"].to_numpy(dtype=float))
        dots = axes.scatter(x, y, s=_area(table["size"].to_numpy(dtype=float)), c=colour, zorder=2)
        dots.set(edgecolor=np.where(table["ring"], INK, "#8894a0"), linewidth=np.where(table["ring"], 1.2, 0.4))
        identify(dots, table["tip"].tolist())
        _frame(axes, said_rows, said_columns, title, plan.shade)
        handles = [_dot(float(np.sqrt(_area(np.array(size)))), text) for size, text in plan.sizes]
        figure.legend(handles=handles, loc="outside lower left", ncols=4, frameon=False, fontsize=8.5, title=plan.size,
                      title_fontsize=8.5, alignment="left", columnspacing=1.2, handletextpad=0.4)  # fmt: skip

    width, height = _size(said_rows, said_columns, title, _COLUMN)
    return draw(name, alt, (width, height + 0.55), plot)


def _area(size: np.ndarray) -> np.ndarray:
    """Square points of a dot; the smallest can still be seen."""
    return _DOT**2 * np.clip(size, 0.03, 1)


def _dot(diameter: float, text: str) -> Line2D:
    return Line2D([], [], linestyle="none", marker="o", markersize=diameter, color="#c9d1d8", markeredgecolor="#8894a0",
                  markeredgewidth=0.4, label=text)  # fmt: skip
