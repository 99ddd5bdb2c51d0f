"""Draw with matplotlib's objects and hand on SVG that can stand inside a page: deterministic, named, with alt text."""

from __future__ import annotations

import html
import io
import re
import warnings
from collections.abc import Callable, Sequence

import matplotlib.style
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from omics.report.words import clean

INK, SOFT, RULE, ACCENT = "#1f2933", "#5b6770", "#c9d1d8", "#0b4f79"
#: Okabe and Ito's colours without yellow and black (too light, too heavy), then four of Tol's muted set.
PALETTE = (
    *("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00"),
    *("#56B4E9", "#882255", "#332288", "#999933", "#666666"),
)
#: A second cue beside the colour.
MARKERS = "osD^vPX<>h"

_STYLE = {
    "svg.fonttype": "none",  # real text: it can be searched and read aloud
    "text.parse_math": False,  # a name with two dollar signs is a name
    "font.family": "DejaVu Sans",  # comes with matplotlib: the same layout everywhere
    "font.size": 9.0,
    "axes.titlesize": 9.5,
    "axes.titlelocation": "left",
    "axes.titlepad": 9.0,
    "axes.titlecolor": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": "#8894a0",
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.unicode_minus": True,
    "xtick.color": "#8894a0",
    "ytick.color": "#8894a0",
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "xtick.labelsize": 8.5,
    "ytick.labelsize": 8.5,
    "text.color": INK,
    "grid.color": "#e4e8ec",
    "grid.linewidth": 0.8,
    "axes.axisbelow": True,
}
_TAG = re.compile(r"<[^>]+>")
_REFERENCE = re.compile(r'(\bid="|\bhref="#|url\(#)')
_PIXELS_PER_INCH = 96
_RASTER_DPI = 200


def colours(names: Sequence[str]) -> dict[str, str]:
    """Colour of each name, the same in every figure and table of a page."""
    return {name: PALETTE[i % len(PALETTE)] for i, name in enumerate(names)}


def draw(name: str, alt: str, size: tuple[float, float], plot: Callable[[Figure], None]) -> str:
    """Return what `plot` draws as an ``<svg>`` element.

    Parameters
    ----------
    name : str
        Unique on the page: ids inside the drawing start with it.
    alt : str
        What the drawing shows, for those who do not see it.
    size : tuple of float
        Width and height in inches.
    plot : callable
        Draws on an empty figure.
    """
    with matplotlib.style.context(["default", _STYLE | {"svg.hashsalt": name}]), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing", category=UserWarning)  # the browser has fonts
        figure = Figure(figsize=size, layout="constrained", facecolor="none")
        FigureCanvasSVG(figure)
        plot(figure)
        text = io.StringIO()
        figure.savefig(text, format="svg", transparent=True, dpi=_RASTER_DPI, metadata={"Date": None})
    return _embeddable(text.getvalue(), name, alt, size)


def _embeddable(svg: str, name: str, alt: str, size: tuple[float, float]) -> str:
    body = svg[svg.index(">", svg.index("<svg")) + 1 :]
    body = re.sub(r"<metadata>.*?</metadata>", "", body, count=1, flags=re.DOTALL)
    body = body.replace("xlink:href", "href")
    # matplotlib escapes < and > everywhere but in tags, so this sees tags alone and never a user's text
    body = _TAG.sub(lambda tag: _REFERENCE.sub(rf"\g<1>{name}-", tag[0]), body)
    width, height = (round(side * _PIXELS_PER_INCH) for side in size)
    root = (
        f'<svg xmlns="http://www.w3.org/2000/svg" role="img" aria-label="{html.escape(clean(alt, 1000))}" '
        f'width="{width}" height="{height}" viewBox="0 0 {size[0] * 72:g} {size[1] * 72:g}">'
    )
    return root + re.sub(r"\n\s*", "\n", body).strip()


def spread(values: Sequence[float], gap: float, low: float, high: float) -> list[float]:
    """Positions near `values`, at least `gap` apart and inside [low, high]: labels that do not overlap."""
    order = sorted(range(len(values)), key=lambda i: values[i])
    placed = [0.0] * len(values)
    floor = low
    for i in order:
        placed[i] = floor = max(values[i], floor)
        floor += gap
    ceiling = high
    for i in reversed(order):
        placed[i] = min(placed[i], ceiling)
        ceiling = placed[i] - gap
    return placed


def titled(axes: Axes, title: str, x: str) -> None:
    """Name the y quantity above the axes, where it reads horizontally, and the x quantity below."""
    axes.set_title(title, fontweight="bold")
    axes.set_xlabel(x)
