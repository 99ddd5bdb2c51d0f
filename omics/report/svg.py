"""Draw with matplotlib's objects and hand on SVG that can stand inside a page: deterministic, named, with alt text."""

from __future__ import annotations

import html
import io
import json
import re
import warnings
from collections.abc import Callable, Sequence

import matplotlib.style
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.textpath import text_to_path

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
_STYLED = re.compile(r'\bstyle="([^"]*)"')
_FONT = re.compile(r"(?:(?P<style>italic|oblique) )?(?:(?P<weight>bold|\d{3}) )?(?P<size>[\d.]+px) (?P<family>.+)")
_COORDINATES = re.compile(r'(?<= )(?:d|x|y)="[^"]*"')
_BEYOND_HUNDREDTHS = re.compile(r"(?<=\.\d\d)\d+")
# only a tag holds a bare <, and only what is drawn by `identify` has such an id
_IDENTIFIED = re.compile(r'<g id="[\w-]*?marks-([0-9a-f]+)">')
_PIECE = re.compile(
    r'<defs>.*?</defs>|</?g\b|<(?:use|path)(?P<place>(?: (?:href|x|y|d|clip-path)="[^"]*")*)(?P<look>[^>]*)/>',
    re.DOTALL,
)
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
    return _identified(_rounded(_embeddable(text.getvalue(), name, alt, size)))


def _embeddable(svg: str, name: str, alt: str, size: tuple[float, float]) -> str:
    body = svg[svg.index(">", svg.index("<svg")) + 1 :]
    body = re.sub(r"<metadata>.*?</metadata>", "", body, count=1, flags=re.DOTALL)
    body = re.sub(r"<defs>\s*<style.*?</style>\s*</defs>", "", body, count=1, flags=re.DOTALL)  # now in the root
    body = body.replace("xlink:href", "href")
    # matplotlib escapes < and > everywhere but in tags, so this sees tags alone and never a user's text
    body = _TAG.sub(lambda tag: _unstyled(_REFERENCE.sub(rf"\g<1>{name}-", tag[0])), body)
    width, height = (round(side * _PIXELS_PER_INCH) for side in size)
    root = (
        f'<svg xmlns="http://www.w3.org/2000/svg" role="img" aria-label="{html.escape(clean(alt, 1000))}" '
        f'width="{width}" height="{height}" viewBox="0 0 {size[0] * 72:g} {size[1] * 72:g}" '
        'stroke-linejoin="round" stroke-linecap="butt">'
    )
    return root + re.sub(r"\n\s*", "\n", body).strip()


def _unstyled(tag: str) -> str:
    """A tag with presentation attributes in place of its style, which the page's policy would not let in."""
    return _STYLED.sub(lambda style: _attributes(style[1]), tag)


def _attributes(style: str) -> str:
    found: dict[str, str] = {}
    for declaration in filter(None, map(str.strip, style.split(";"))):
        name, _, value = (text.strip() for text in declaration.partition(":"))
        font = _FONT.fullmatch(value) if name == "font" else None
        if font:
            found |= {f"font-{part}": said for part, said in font.groupdict().items() if said}
        else:
            found[name] = value
    return " ".join(f'{name}="{value}"' for name, value in found.items())


def _rounded(svg: str) -> str:
    """Coordinates to a hundredth of a point, which nobody sees and which halves a drawing of many marks.

    A picture that is given as it is may be scaled smoothly: to leave out pixels would be to leave out patients.
    """

    def rounded(tag: re.Match[str]) -> str:
        text = _COORDINATES.sub(lambda numbers: _BEYOND_HUNDREDTHS.sub("", numbers[0]), tag[0])
        return text.replace(' image-rendering="pixelated"', "")

    return _TAG.sub(rounded, svg)


def identify(artist: Artist, tips: Sequence[str], samples: Sequence[str] = ()) -> None:
    """Let each mark of a line without strokes, or of a collection, say what it is and whose.

    In the drawing the marks carry ``data-tip`` and, where `samples` are given, ``data-sample``; the page's script looks
    for these. The texts travel through matplotlib in hexadecimal digits, as the id of the artist, the only thing that
    it hands on: no text can be taken for such an id, since ids stand in tags and texts have no bare ``<``.

    Parameters
    ----------
    artist : matplotlib.artist.Artist
        Drawn as one element for each mark, in their order: all marks finite, and inside of the figure.
    tips : sequence of str
        What each mark says.
    samples : sequence of str
        Id of each mark's patient.

    Raises
    ------
    ValueError
        On drawing: the marks are not as many as the texts, so that nobody could say whose they are.
    """
    told = [[clean(tip), clean(sample)] for tip, sample in zip(tips, samples or [""] * len(tips), strict=True)]
    artist.set_gid(f"marks-{json.dumps(told).encode().hex()}")


def _identified(svg: str) -> str:
    """The attributes of marks in place of their group's id; a look that all of them share is told once."""
    done, end = [], 0
    for group in _IDENTIFIED.finditer(svg):
        marks = _marks_of(svg, group.end())
        looks = {mark["look"] for mark in marks}
        shared = looks.pop() if len(looks) == 1 else ""
        done += [svg[end : group.start()], f'<g pointer-events="all"{shared}>']
        end = group.end()
        for mark, (tip, sample) in zip(marks, json.loads(bytes.fromhex(group[1])), strict=True):
            whose = f' data-sample="{html.escape(sample)}"' if sample else ""
            own = "" if shared else mark["look"]
            done += [svg[end : mark.end("place")], f'{own}{whose} data-tip="{html.escape(tip)}"/>']
            end = mark.end()
    return "".join([*done, svg[end:]])


def _marks_of(svg: str, start: int) -> list[re.Match[str]]:
    """The marks of the group whose content begins at `start`; definitions are none."""
    marks, depth = [], 1
    for piece in _PIECE.finditer(svg, start):
        if piece[0].startswith(("<use", "<path")):
            marks.append(piece)
        depth += (piece[0] == "<g") - (piece[0] == "</g")
        if depth == 0:
            break
    return marks


def width_of(text: str, size: float = 9.0) -> float:
    """Inches of a text, before it is drawn; letters that the font lacks count as its box for these."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing", category=UserWarning)
        font = FontProperties(family="DejaVu Sans", size=size)
        width, _, _ = text_to_path.get_text_width_height_descent(text, font, False)
    return float(width) / 72


def fitted(value: object, inches: float, size: float = 9.0) -> str:
    """Text on one line, cut with an ellipsis where it would be wider."""
    text = clean(value)
    while len(text) > 1 and (width := width_of(text, size)) > inches:
        text = clean(text, max(min(int(len(text) * inches / width), len(text) - 1), 1))
    return text


def nothing(name: str, what: str) -> str:
    """A drawing that says that there is nothing to draw, and why."""

    def plot(figure: Figure) -> None:
        figure.text(0.02, 0.5, what, va="center", color=SOFT)

    return draw(name, what, (4.9, 0.5), plot)


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
