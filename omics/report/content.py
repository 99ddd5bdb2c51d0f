"""What a page is made of: sections of tables, figures and remarks; plain data between trees and template."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
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
    value : float, optional
        The number behind the text: tables are sorted by it, and ``report_data`` has it in full precision.
    sample : str
        The patient whom the cell is about: it is marked when the reader looks for that patient.
    tip : str
        What is said when the reader points at the cell.
    """

    text: str
    tint: float = 0.0
    swatch: str = ""
    value: float | None = None
    sample: str = ""
    tip: str = ""


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
    whole : bool
        All rows are shown, however many: the reader is to see, and print, the last one too.
    """

    kind: ClassVar[str] = "table"
    caption: str
    head: Sequence[str]
    align: str
    rows: Sequence[Row]
    note: str = ""
    compact: bool = False
    widths: Sequence[float] = ()
    whole: bool = False


@dataclass(frozen=True)
class Figure:
    """A drawing, as SVG of :mod:`omics.report.figures`, with its caption, which may be empty."""

    kind: ClassVar[str] = "figure"
    svg: str
    caption: str


@dataclass(frozen=True)
class Scatter:
    """Patients in a plane whose axes and colours the reader chooses; without script, the drawing stands alone.

    Attributes
    ----------
    name : str
        Unique on the page, of letters, digits and hyphens.
    caption : str
        What it shows.
    samples : sequence of str
        The patients.
    columns : mapping of str to sequence of float
        Name of an axis -> one number a patient, NaN where it is not known; the first two are shown first.
    colourings : mapping of str to sequence of float or str
        Name of a colouring -> one number, or one category, a patient; NaN or empty where it is not known. The first is
        shown first.
    svg : str
        Drawing of what is shown first.
    """

    kind: ClassVar[str] = "scatter"
    name: str
    caption: str
    samples: Sequence[str]
    columns: Mapping[str, Sequence[float]]
    colourings: Mapping[str, Sequence[float] | Sequence[str]]
    svg: str


@dataclass(frozen=True)
class Prose:
    """Paragraphs that are meant to be taken away, with a button that copies them."""

    kind: ClassVar[str] = "prose"
    paragraphs: Sequence[str]


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


Part = Table | Figure | Scatter | Prose | Remark | Group


def flat(parts: Sequence[Part]) -> Iterator[Table | Figure | Scatter | Prose | Remark]:
    """The parts in the order of the page, those of groups too."""
    for part in parts:
        if isinstance(part, Group):
            yield from flat(part.parts)
        else:
            yield part


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
        Tables, figures, scatters, prose, remarks, groups.
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

    @property
    def warnings(self) -> list[tuple[str, str]]:
        """Title of the section and text of every warning, in the order of the page."""
        return [
            (section.title, part.text)
            for section in self.sections
            for part in flat(section.parts)
            if isinstance(part, Remark) and part.warning
        ]
