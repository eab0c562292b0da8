"""One small page model, written as Markdown or as one accessible HTML file without script or outside asset."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from html import escape
from typing import Final

from safelight.notices.render import html_page

# Colour never carries a meaning alone: every cell says its level in words.
_STYLE: Final = """
body { max-width: 72rem; }
table { border-collapse: collapse; margin: 1rem 0; font-size: 1rem; overflow-wrap: break-word; }
caption { text-align: start; font-weight: 600; padding-block: .5rem; }
th, td { border: 1px solid var(--line); padding: .35rem .6rem; text-align: start; vertical-align: top; }
td.number { text-align: end; font-variant-numeric: tabular-nums; }
.scroll { overflow-x: auto; }
figure { margin: 1rem 0; } figure svg { max-width: 100%; height: auto; background: #ffffff; }
.low { background: #e3f2e6; color: #14301b; } .medium { background: #fdf3d0; color: #3a2f05; }
.high { background: #fbe0c8; color: #43230a; } .severe { background: #f7d2d6; color: #4a0f17; }
"""


@dataclass(frozen=True, slots=True)
class Heading:
    """A heading of ``level`` 1 to 4."""

    level: int
    text: str


@dataclass(frozen=True, slots=True)
class Paragraph:
    """Running text."""

    text: str


@dataclass(frozen=True, slots=True)
class Bullets:
    """A list."""

    items: Sequence[str]


@dataclass(frozen=True, slots=True)
class Cell:
    """A cell; ``level`` colours it beside what it says, ``number`` aligns it."""

    text: str
    level: str = ""
    number: bool = False


@dataclass(frozen=True, slots=True)
class Table:
    """A table; the first cell of a row is its header."""

    caption: str
    header: Sequence[str]
    rows: Sequence[Sequence[str | Cell]]


@dataclass(frozen=True, slots=True)
class Figure:
    """A drawing; a table beside it says the same.

    Attributes:
        svg: complete SVG element of our own making.
        text: what it shows, in one sentence.
    """

    svg: str = field(repr=False)
    text: str


Block = Heading | Paragraph | Bullets | Table | Figure


def to_markdown(blocks: Iterable[Block]) -> str:
    """The page as Markdown; figures are left out, for a table says the same."""
    parts = []
    for block in blocks:
        if isinstance(block, Heading):
            parts.append("#" * block.level + " " + _line(block.text))
        elif isinstance(block, Paragraph):
            parts.append(_line(block.text))
        elif isinstance(block, Bullets):
            parts.append("\n".join(f"- {_line(item)}" for item in block.items))
        elif isinstance(block, Table):
            head = "| " + " | ".join(map(_md_cell, block.header)) + " |"
            rule = "|" + "|".join("---" for _ in block.header) + "|"
            rows = ["| " + " | ".join(_md_cell(cell) for cell in row) + " |" for row in block.rows]
            parts.append("\n".join([f"**{_line(block.caption)}**", "", head, rule, *rows]))
    return "\n\n".join(parts) + "\n"


def to_html(title: str, blocks: Iterable[Block], *, lang: str = "en") -> str:
    """The page as one HTML file."""
    out = [f"<style>{_STYLE}</style>"]
    for number, block in enumerate(blocks):
        if isinstance(block, Heading):
            out.append(f"<h{block.level}>{escape(block.text)}</h{block.level}>")
        elif isinstance(block, Paragraph):
            out.append(f"<p>{escape(block.text)}</p>")
        elif isinstance(block, Bullets):
            out.append("<ul>" + "".join(f"<li>{escape(item)}</li>" for item in block.items) + "</ul>")
        elif isinstance(block, Table):
            out.append(_html_table(block, number))
        else:
            out.append(f'<figure role="group" aria-label="{escape(block.text)}">{block.svg}')
            out.append(f"<figcaption>{escape(block.text)}</figcaption></figure>")
    return html_page(title, "\n".join(out), lang=lang)


def _html_table(table: Table, number: int) -> str:
    name = f"t{number}"
    head = "".join(f'<th scope="col">{escape(cell)}</th>' for cell in table.header)
    rows = []
    for row in table.rows:
        first, *rest = (cell if isinstance(cell, Cell) else Cell(cell) for cell in row)
        cells = "".join(f"<td{_classes(cell)}>{escape(cell.text)}</td>" for cell in rest)
        rows.append(f'<tr><th scope="row">{escape(first.text)}</th>{cells}</tr>')
    # A wide table scrolls by itself, also by keyboard.
    return (
        f'<div class="scroll" role="region" tabindex="0" aria-labelledby="{name}"><table>'
        f'<caption id="{name}">{escape(table.caption)}</caption>'
        f"<thead><tr>{head}</tr></thead>\n<tbody>{''.join(rows)}</tbody></table></div>"
    )


def _classes(cell: Cell) -> str:
    names = [name for name in (cell.level, "number" if cell.number else "") if name]
    return f' class="{" ".join(names)}"' if names else ""


def _line(text: str) -> str:
    return re.sub(r"\s+", " ", text).strip().replace("<", "&lt;")


def _md_cell(cell: str | Cell) -> str:
    text = _line(cell if isinstance(cell, str) else cell.text)
    return text.replace("\\", "\\\\").replace("|", "\\|")
