"""The oncoprint: which patients carry which mutated genes, and of what class."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from matplotlib.colors import to_hex, to_rgb
from matplotlib.figure import Figure
from matplotlib.legend import Legend
from matplotlib.lines import Line2D
from matplotlib.patches import PathPatch
from matplotlib.path import Path

from omics.report.reading import records
from omics.report.svg import PALETTE, colours, draw, fitted, identify, nothing
from omics.report.words import clean, listing, natural, percent

#: With more patients than this the cells are a picture, and none of them says whose it is.
RASTER_SAMPLES = 400


class _Kind(NamedTuple):
    """How a class of alterations looks: its colour, and which parts of a cell's height it fills, from the top."""

    colour: str
    bands: tuple[tuple[float, float], ...]


#: Kinds of alterations, of which the shape alone tells too.
KINDS: Mapping[str, _Kind] = {
    "missense": _Kind(PALETTE[0], ((0.25, 0.75),)),
    "truncating": _Kind(PALETTE[1], ((0.0, 1.0),)),
    "in frame, ITD": _Kind(PALETTE[2], ((0.0, 0.5),)),
    "splice site": _Kind(PALETTE[3], ((0.5, 1.0),)),
    "fusion": _Kind(PALETTE[4], ((0.0, 0.25), (0.75, 1.0))),
    "several": _Kind(PALETTE[7], ((0.0, 0.4), (0.6, 1.0))),
    "other": _Kind(PALETTE[9], ((0.4, 0.6),)),
}
_KIND_OF = {
    **dict.fromkeys(("missense_mutation", "missense"), "missense"),
    **dict.fromkeys(
        ("nonsense_mutation", "nonsense", "frame_shift_del", "frame_shift_ins", "frameshift"), "truncating"
    ),
    **dict.fromkeys(("in_frame_del", "in_frame_ins", "itd", "ptd"), "in frame, ITD"),
    **dict.fromkeys(("splice_site", "splice_region"), "splice site"),
    **dict.fromkeys(("fusion", "rearrangement"), "fusion"),
    "multi_hit": "several",
}
_EMPTY = "#e9edf0"
_HEIGHT, _MAX_LEVELS, _SAID = 0.8, 8, 10
_GAP = 0.006  # between subtypes, as a share of all patients
# inches of the names at the left, and of the legend
_TITLE, _LEGEND = 1.3, 6.8
# a track of more runs than this is a picture where the cells are one
_MAX_RUNS = 100
# a picture has no more columns of pixels than a screen shows, and so many rows for a gene, of which the last are a gap
_MAX_COLUMNS, _PIXELS, _FILLED = 1000, 20, 16

_Track = tuple[str, "pd.Series[Any]", Mapping[str, str]]


def oncoprint(
    cells: pd.DataFrame,
    genes: pd.DataFrame,
    samples: pd.DataFrame,
    tracks: pd.DataFrame | None = None,
    *,
    names: Sequence[str] = (),
    name: str = "oncoprint",
) -> str:
    """Genes by patients, with the class of each alteration and what else is known of the patients above.

    Parameters
    ----------
    cells : pandas.DataFrame
        One row for each altered gene of a patient: ``gene, sample, classification``.
    genes : pandas.DataFrame
        ``gene, n_mutated, share`` in the order of the drawing.
    samples : pandas.DataFrame
        ``sample, subtype`` (empty where unknown) in the order of the drawing, the patients of a subtype together.
    tracks : pandas.DataFrame, optional
        Classes of the patients, indexed by sample, one column a track; missing ones stay white.
    names : sequence of str
        All subtypes, in the order that gives them their colours; by default those that there are, in natural order.
    name : str
        Unique on the page.
    """
    if genes.empty or samples.empty:
        return nothing(name, "No gene is mutated in enough patients to be shown.")
    place = _places(samples["subtype"])
    shown = _tracks(samples, tracks, names)
    ids = pd.Index(samples["sample"])
    rows = pd.Index(genes["gene"]).get_indexer(pd.Index(cells["gene"]))
    columns = ids.get_indexer(pd.Index(cells["sample"]))
    seen = (rows >= 0) & (columns >= 0)
    kind = cells["classification"].str.lower().map(_KIND_OF).fillna("other").to_numpy(dtype=object)[seen]
    raster = len(samples) > RASTER_SAMPLES
    heights = [0.17 * max(len(shown), 1), 0.17 * len(genes), 0.19 * (len(shown) + 1)]

    def plot(figure: Figure) -> None:
        figure.set_layout_engine("constrained", h_pad=0.02, hspace=0)
        above, axes, below = figure.subplots(3, 1, height_ratios=heights)
        _draw_tracks(above, shown, place, raster)
        paint = _as_picture if raster else _as_shapes
        paint(axes, rows[seen], place[columns[seen]], kind, place, len(genes))
        _name_rows(axes, genes, place)
        if not raster:
            tips = _tips(cells[seen], ids, samples["subtype"])
            _hover(axes, place, len(genes), tips, [str(one) for one in ids])
        _legend(below, [one for one in KINDS if (kind == one).any()], shown)

    said = [f"{clean(row.gene, 20)} {percent(row.share)}" for row in records(genes.head(_SAID))]
    groups = [clean(one) for one in samples["subtype"].unique() if one]
    by = f", sorted within subtypes {listing(groups)}" if groups else ""
    alt = f"Oncoprint of {len(genes)} genes in {len(samples):,} patients{by}. Mutated: {listing(said)}."
    return draw(name, alt, (9.0, sum(heights) + 0.25), plot)


def _places(subtype: pd.Series) -> np.ndarray:
    """Position of each patient, a whole number in a picture; a gap between subtypes."""
    changes = (subtype != subtype.shift()).to_numpy()[1:]
    gap = _GAP * len(subtype) if len(subtype) <= RASTER_SAMPLES else round(_GAP * len(subtype))
    return np.arange(len(subtype)) + gap * np.concatenate([[0], changes.cumsum()])


def _tracks(samples: pd.DataFrame, tracks: pd.DataFrame | None, names: Sequence[str]) -> list[_Track]:
    """Name, class of each patient (missing where unknown), and colours of the classes, for each track."""
    found: list[_Track] = []
    ids = samples["sample"]
    subtype = samples["subtype"].where(samples["subtype"] != "").set_axis(ids)
    if subtype.notna().any():
        every = names or sorted(subtype.dropna().unique(), key=natural)
        found.append(("subtype", subtype, colours(list(every))))
    for column in () if tracks is None else tracks.columns:
        values = tracks[column].reindex(ids)  # type: ignore[index]
        values = values.where(values.isna(), values.astype(str)).astype(object)
        levels = sorted(values.dropna().unique(), key=natural)
        common = levels[: _MAX_LEVELS if len(levels) <= _MAX_LEVELS else _MAX_LEVELS - 1]
        values = values.where(values.isna() | values.isin(common), "other levels")
        found.append(
            (str(column), values, _shades([*common, *(["other levels"] if len(common) < len(levels) else [])]))
        )
    return found


def _shades(levels: Sequence[str]) -> dict[str, str]:
    """From pale to dark, so that the tracks are not taken for subtypes, nor read wrongly in grey."""
    ramp = matplotlib.colormaps["cividis"]
    return {
        level: to_hex(ramp(x)) for level, x in zip(levels, np.linspace(0.92, 0.0, max(len(levels), 2)), strict=False)
    }


def _boxes(x: np.ndarray, top: np.ndarray, bottom: np.ndarray, width: float | np.ndarray) -> Path:
    """One path of many boxes around positions `x`."""
    left, right = x - width / 2, x + width / 2
    corners = np.stack([left, top, right, top, right, bottom, left, bottom, left, top], axis=-1)
    codes = [Path.MOVETO, Path.LINETO, Path.LINETO, Path.LINETO, Path.CLOSEPOLY]
    return Path(corners.reshape(-1, 2), np.tile(codes, len(x)))


def _runs(place: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """First and last of each run of neighbours."""
    follows = np.isclose(np.diff(place), 1)
    return place[~np.concatenate([np.zeros(min(len(place), 1), bool), follows])], place[
        ~np.concatenate([follows, np.zeros(min(len(place), 1), bool)])
    ]


def _width(n: int) -> float:
    """Width of a cell: a gap between patients where there is room for one."""
    return 0.84 if n <= RASTER_SAMPLES / 3 else 1.0


def _as_shapes(axes: Axes, rows: np.ndarray, x: np.ndarray, kind: np.ndarray, place: np.ndarray, n_genes: int) -> None:
    """Cells as one path for each kind, on pale strips for what was sequenced."""
    first, last = (np.tile(ends, n_genes) for ends in _runs(place))
    top = np.repeat(np.arange(n_genes), len(first) // n_genes) - _HEIGHT / 2
    strips = _boxes((first + last) / 2, top, top + _HEIGHT, last - first + 1.0)
    axes.add_patch(PathPatch(strips, facecolor=_EMPTY, linewidth=0))
    for label, look in KINDS.items():
        here = kind == label
        top = rows[here] - _HEIGHT / 2
        parts = [_boxes(x[here], top + a * _HEIGHT, top + b * _HEIGHT, _width(len(place))) for a, b in look.bands]
        if here.any():
            path = Path.make_compound_path(*parts)
            axes.add_patch(PathPatch(path, facecolor=look.colour, linewidth=0, gid=f"cells-{list(KINDS).index(label)}"))


def _as_picture(axes: Axes, rows: np.ndarray, x: np.ndarray, kind: np.ndarray, place: np.ndarray, n_genes: int) -> None:
    """The same as one picture; a column of pixels is the mean of neighbours, so that browsers leave none out."""
    together = -(-(place[-1] + 1) // _MAX_COLUMNS)
    width = together * -(-(place[-1] + 1) // together)
    picture = np.ones((n_genes, _PIXELS, width, 3), dtype=np.float32)
    picture[:, :_FILLED, place] = to_rgb(_EMPTY)
    for label, look in KINDS.items():
        here = kind == label
        for a, b in look.bands:
            for line in range(round(a * _FILLED), round(b * _FILLED)):
                picture[rows[here], line, x[here]] = to_rgb(look.colour)
    lines = picture.reshape(n_genes * _PIXELS, -1, together, 3).mean(axis=2)
    shift = (1 - _HEIGHT) / 2  # half of the gap below a gene belongs above it
    extent = (-0.5, width - 0.5, n_genes - 0.5 + shift, -0.5 + shift)
    axes.imshow(lines, extent=extent, aspect="auto", interpolation="none")


def _draw_tracks(axes: Axes, tracks: Sequence[_Track], place: np.ndarray, raster: bool) -> None:
    axes.set(xlim=(-0.5, place[-1] + 0.5), ylim=(max(len(tracks), 1) - 0.5, -0.5))
    for y, (_, values, colour) in enumerate(tracks):
        for level, shade in colour.items():
            here = place[(values == level).to_numpy()]
            first, last = _runs(here)
            top = np.full(len(first), y - _HEIGHT / 2)
            runs = _boxes((first + last) / 2, top, top + _HEIGHT, last - first + 1.0)
            many = raster and len(first) > _MAX_RUNS
            axes.add_patch(PathPatch(runs, facecolor=shade, linewidth=0, rasterized=many))
    axes.set_yticks(range(len(tracks)), [fitted(label, _TITLE) for label, _, _ in tracks])
    _bare(axes)


def _name_rows(axes: Axes, genes: pd.DataFrame, place: np.ndarray) -> None:
    axes.set(xlim=(-0.5, place[-1] + 0.5), ylim=(len(genes) - 0.5, -0.5))
    axes.set_yticks(range(len(genes)), [fitted(gene, _TITLE) for gene in genes["gene"]])
    _bare(axes)
    for y, row in enumerate(records(genes)):
        said = f"{percent(row.share)} ({row.n_mutated:,})"
        axes.annotate(said, (1, y), xycoords=("axes fraction", "data"), xytext=(4, 0), textcoords="offset points",
                      va="center", fontsize=8.5)  # fmt: skip


def _tips(cells: pd.DataFrame, ids: pd.Index, subtype: pd.Series) -> list[str]:
    """Subtype, and what is altered, of each patient in the order of the drawing."""
    said = cells.assign(
        said=[f"{gene} {what}" for gene, what in zip(cells["gene"], cells["classification"], strict=True)]
    )
    altered = said.groupby("sample", sort=False)["said"].agg("; ".join).reindex(ids, fill_value="none of these genes")
    return [f"{group}: {what}" if group else what for group, what in zip(subtype, altered, strict=True)]


def _hover(axes: Axes, place: np.ndarray, n_genes: int, tips: Sequence[str], samples: Sequence[str]) -> None:
    """A column without colour over all cells of each patient."""
    left, right = place - 0.5, place + 0.5
    top, bottom = np.full(len(place), -0.5), np.full(len(place), n_genes - 0.5)
    corners = np.stack([left, top, right, top, right, bottom, left, bottom], axis=-1).reshape(-1, 4, 2)
    columns = PolyCollection(list(corners), facecolors="none", edgecolors="none", linewidths=0, clip_on=False)
    identify(columns, tips, samples)
    axes.add_collection(columns, autolim=False)


def _legend(axes: Axes, kinds: Sequence[str], tracks: Sequence[_Track]) -> None:
    """One line for the kinds of alterations, and one for each track."""
    lines = [("alteration", [_glyph(label) for label in kinds])]
    for title, values, colour in tracks:
        present = [(level, shade) for level, shade in colour.items() if (values == level).any()]
        width = _LEGEND / max(len(present), 1) - 0.3
        lines.append((title, [_mark("s", shade, 7.0, fitted(level, width, 8.5)) for level, shade in present]))
    for y, (_, handles) in enumerate(lines):
        said, middle = [str(handle.get_label()) for handle in handles], 1 - (y + 0.5) / len(lines)
        style: dict[str, Any] = {"frameon": False, "fontsize": 8.5, "handletextpad": 0.0, "columnspacing": 0.8}
        legend = Legend(
            axes, handles, said, loc="center left", bbox_to_anchor=(0, middle), ncols=max(len(said), 1),
            borderpad=0, borderaxespad=0, **style,
        )  # fmt: skip
        legend.set_in_layout(False)
        axes.add_artist(legend)
    axes.set(ylim=(len(lines) - 0.5, -0.5))
    axes.set_yticks(range(len(lines)), [fitted(title, _TITLE) for title, _ in lines])
    _bare(axes)


def _glyph(kind: str) -> Line2D:
    """A small cell."""
    boxes = [_boxes(np.zeros(1), np.array([0.5 - a]), np.array([0.5 - b]), 0.5) for a, b in KINDS[kind].bands]
    path = Path.make_compound_path(*boxes)
    reach = float(np.abs(np.asarray(path.vertices)).max())  # by which matplotlib divides
    return _mark(path, KINDS[kind].colour, 20 * reach, kind)


def _bare(axes: Axes) -> None:
    axes.tick_params(left=False, bottom=False, labelbottom=False, pad=2)
    axes.spines[:].set_visible(False)


def _mark(marker: Any, colour: str, size: float, label: str) -> Line2D:
    return Line2D(
        [], [], linestyle="none", marker=marker, color=colour, markersize=size, markeredgewidth=0, label=label
    )
