"""What a report is made of, before it becomes a page or a text: paragraphs, tables, charts and pictures in sections.

One list of sections is rendered twice, so that the page and the Markdown cannot differ in what they say.
"""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

Figure = dict[str, Any]
"""Data and layout as plotly.js takes them; colours are names of the page's own, see `densezoo.comparison.charts`."""

MARKS = {"better": "▲", "worse": "▼", "tie": "≈", "undecided": "?"}
"""Verdict to the sign before its word, so that nothing hangs on a colour."""


@dataclass(frozen=True)
class Cell:
    """One entry of a table.

    Attributes:
        text: as it is shown.
        value: that the table is sorted by; None comes last, whichever way.
        verdict: one of `MARKS`, shown before the text; empty for none.
    """

    text: str
    value: float | str | None = None
    verdict: str = ""

    @property
    def mark(self) -> str:
        """The verdict's sign."""
        return MARKS.get(self.verdict, "")


@dataclass(frozen=True)
class Table:
    """A table whose first column names the rows.

    Attributes:
        caption: what it shows.
        columns: titles.
        rows: of as many cells.
        sortable: by any column, on the page.
        folded: closed on the page until it is asked for.
        words: its cells are words rather than numbers.
        order: title of the column that rows are sorted by to `ascending` or `descending`; empty where by none.
    """

    caption: str
    columns: list[str]
    rows: list[list[Cell]]
    sortable: bool = False
    folded: bool = False
    words: bool = False
    order: dict[str, str] = field(default_factory=dict)
    kind: ClassVar[str] = "table"


@dataclass(frozen=True)
class Chart:
    """A chart, or several to choose from; a table with the same numbers comes after it.

    Attributes:
        name: unlike that of any other chart; letters and hyphens.
        figures: what is chosen to its figure; at least one.
        labels: for readers that do not see them, what each figure shows.
        choose: title of the choice; empty for a single figure.
    """

    name: str
    figures: dict[str, Figure]
    labels: dict[str, str]
    choose: str = ""
    kind: ClassVar[str] = "chart"


@dataclass(frozen=True)
class Text:
    """A paragraph."""

    text: str
    kind: ClassVar[str] = "text"


@dataclass(frozen=True)
class Verdicts:
    """What a reader takes away: lines with the verdict that each is of, empty for none."""

    lines: list[tuple[str, str]]
    kind: ClassVar[str] = "verdicts"

    @property
    def marked(self) -> list[tuple[str, str, str]]:
        """Lines, verdicts and signs."""
        return [(line, verdict, MARKS.get(verdict, "")) for line, verdict in self.lines]


@dataclass(frozen=True)
class Items:
    """A list."""

    lines: list[str]
    kind: ClassVar[str] = "items"


@dataclass(frozen=True)
class Code:
    """Text to be taken as it is, closed on the page until it is asked for; `title` says what it is."""

    title: str
    text: str
    kind: ClassVar[str] = "code"


@dataclass(frozen=True)
class Picture:
    """One picture among others.

    Attributes:
        caption: above it.
        alt: what it shows, for readers that do not see it.
        jpeg: the file's bytes.
        size: (height, width).
    """

    caption: str
    alt: str
    jpeg: bytes
    size: tuple[int, int]


@dataclass(frozen=True)
class Pictures:
    """Pictures of one image, side by side; `file` is one picture of them all, relative to the report."""

    title: str
    pictures: list[Picture]
    file: str
    kind: ClassVar[str] = "pictures"


Block = Table | Chart | Text | Verdicts | Items | Code | Pictures


@dataclass(frozen=True)
class Section:
    """A part of the report; `key` is its address on the page."""

    key: str
    title: str
    blocks: list[Block] = field(default_factory=list)


def number_cell(value: float | None, text: str | None = None, decimals: int = 4) -> Cell:
    """Return a number's cell; a dash for one that is missing or not finite.

    Args:
        value: that is sorted by.
        text: shown in its place.
        decimals: shown where there is no text.
    """
    if value is None or not math.isfinite(value):
        return Cell("–")
    return Cell(f"{value:.{decimals}f}" if text is None else text, value)


def markdown(title: str, sections: Sequence[Section]) -> str:
    """Return a report as Markdown, without its charts, whose numbers are in tables."""
    parts = [f"# {_escaped(title)}"]
    for section in sections:
        parts.append(f"## {_escaped(section.title)}")
        parts += [text for block in section.blocks if (text := _markdown_block(block))]
    return "\n\n".join(parts) + "\n"


def _markdown_block(block: Block) -> str:
    match block:
        case Table():
            return _markdown_table(block)
        case Text():
            return _escaped(block.text)
        case Items():
            return "\n".join(f"- {_escaped(line)}" for line in block.lines)
        case Verdicts():
            return "\n".join(f"- {MARKS.get(verdict, '')} {_escaped(line)}" for line, verdict in block.lines)
        case Code():
            fence = "`" * max(3, 1 + max((len(run) for run in re.findall("`+", block.text)), default=0))
            return f"{_escaped(block.title)}:\n\n{fence}text\n{block.text.rstrip()}\n{fence}"
        case Pictures():
            alt = "; ".join(picture.alt for picture in block.pictures)
            return f"{_escaped(block.title)}\n\n![{_escaped(alt)}]({block.file})"
        case Chart():
            return ""


def _markdown_table(table: Table) -> str:
    lines = [
        [_escaped(title) for title in table.columns],
        ["---"] + ["---" if table.words else "---:"] * (len(table.columns) - 1),
    ]
    lines += [[f"{cell.mark} {_escaped(cell.text)}".strip() for cell in row] for row in table.rows]
    drawn = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    return f"**{_escaped(table.caption)}**\n\n{drawn}"


def _escaped(text: str) -> str:
    """Return text that Markdown, and the HTML that it may hold, takes for nothing but text."""
    line = " ".join(text.split())
    line = line.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    line = re.sub(r"([\\`*\[\]|])", r"\\\1", line)
    # within a word, as in left_hip, it means nothing
    return re.sub(r"(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])", r"\\_", line)
