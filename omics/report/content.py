"""What a page is made of: sections of tables, figures and remarks; plain data between trees and template."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar, NamedTuple


class Cell(NamedTuple):
    """One cell of a table.

    Attributes
    ----------
    text : str
        What it says.
    tint : float
        Strength of the background, 0 to 1.
    swatch : str
        Colour of the mark before the text, as ``#rrggbb``.
    """

    text: str
    tint: float = 0.0
    swatch: str = ""


Row = Sequence[Cell | str]


@dataclass(frozen=True)
class Table:
    """A table with a caption; the first column heads the rows.

    Attributes
    ----------
    caption : str
        What the table shows.
    head : sequence of str
        Headings of the columns.
    align : str
        One letter a column: ``l`` for text, ``r`` for numbers, ``c`` for tinted cells.
    rows : sequence of rows
        Texts or cells.
    note : str
        Remark below the table.
    compact : bool
        Small, right below a figure, its caption for screen readers alone.
    widths : sequence of float
        Widths of the columns in per cent of the figure above, whose axis they continue; empty: as the text needs.
    """

    kind: ClassVar[str] = "table"
    caption: str
    head: Sequence[str]
    align: str
    rows: Sequence[Row]
    note: str = ""
    compact: bool = False
    widths: Sequence[float] = ()


@dataclass(frozen=True)
class Figure:
    """A drawing, as SVG of :mod:`omics.report.figures`, with its caption, which may be empty."""

    kind: ClassVar[str] = "figure"
    svg: str
    caption: str


@dataclass(frozen=True)
class Remark:
    """A paragraph; ``warning`` marks what limits a conclusion."""

    kind: ClassVar[str] = "remark"
    text: str
    warning: bool = False


@dataclass(frozen=True)
class Group:
    """Parts that belong together: side by side where the page is wide, else one below the other."""

    kind: ClassVar[str] = "group"
    parts: Sequence[Part]
    stacked: bool = False


Part = Table | Figure | Remark | Group


@dataclass(frozen=True)
class Section:
    """One section of the page.

    Attributes
    ----------
    key : str
        Anchor of the section.
    title : str
        Heading.
    lead : str
        What the section shows and how to read it.
    parts : sequence
        Tables, figures, remarks, groups.
    """

    key: str
    title: str
    lead: str
    parts: Sequence[Part]


@dataclass(frozen=True)
class Page:
    """The whole page.

    Attributes
    ----------
    title : str
        Title that the user gave.
    facts : sequence of (value, label)
        Key figures on top.
    findings : sequence of str
        Plain sentences.
    sections : sequence of Section
        What there is.
    absent : sequence of str
        What there is not, and what the page lacks for that.
    """

    title: str
    facts: Sequence[tuple[str, str]]
    findings: Sequence[str]
    sections: Sequence[Section]
    absent: Sequence[str] = field(default=())
