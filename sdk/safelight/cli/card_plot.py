"""Draws a model card: every share with an interval that its own tables state."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import click

_SHARE = re.compile(r"(\d+) of (\d+) = ([\d.]+) % \(([\d.]+) to ([\d.]+) %\)")


@dataclass(frozen=True, slots=True)
class Share:
    """One cell of a card: percent with its 95 % interval.

    Attributes:
        section: heading above the table.
        name: the row and column, in the card's words.
        percent: the share, 0-100.
        low: lower end of its interval.
        high: upper end.
    """

    section: str
    name: str
    percent: float
    low: float
    high: float


def shares_of(card: str) -> Iterator[Share]:
    """Every ``k of n = p % (a to b %)`` in the tables of a card, in order."""
    section = ""
    header: list[str] = []
    for line in card.splitlines():
        if line.startswith("## "):
            section, header = line[3:].strip(), []
        elif not line.startswith("|"):
            header = []
        elif not header:
            header = _cells(line)
        else:
            cells = _cells(line)
            words = [cell for cell in cells if not _SHARE.search(cell) and not re.fullmatch(r"[-+\d.]+", cell)]
            for column, cell in zip(header, cells, strict=False):
                found = _SHARE.search(cell)
                if found is not None:
                    percent, low, high = (float(found[group]) for group in (3, 4, 5))
                    yield Share(section, ", ".join([*words, column]), percent, low, high)


def draw_card(model: str, card: str, path: Path) -> None:
    """Draw the shares of ``card``, one panel a section.

    Raises:
        click.ClickException: the card states no share, matplotlib is missing, or the file cannot be written.
    """
    sections = [(section, list(group)) for section, group in groupby(shares_of(card), key=lambda share: share.section)]
    if not sections:
        raise click.ClickException(f"{model}: its card states no shares with intervals; read it without --plot.")
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise click.ClickException("drawing needs matplotlib; run: pip install 'safelight[plots]'.") from None
    rows = [len(shares) for _, shares in sections]
    figure = Figure(figsize=(9, 0.24 * sum(rows) + 1.0 * len(rows) + 0.5), layout="constrained")
    figure.suptitle(f"{model}: shares on its card, with 95 % intervals")
    panels = figure.subplots(len(rows), 1, squeeze=False, height_ratios=[count + 2 for count in rows])
    for axes, (section, shares) in zip(panels[:, 0], sections, strict=True):
        positions = range(len(shares))
        percents = [share.percent for share in shares]
        # A rounded share may lie outside its rounded interval by the last digit.
        below = [max(0.0, share.percent - share.low) for share in shares]
        above = [max(0.0, share.high - share.percent) for share in shares]
        axes.errorbar(percents, positions, xerr=[below, above], fmt="o", markersize=4, capsize=3)
        axes.set_yticks(positions, [share.name for share in shares], fontsize=7)
        axes.set(title=section, xlabel="percent", ylim=(len(shares) - 0.5, -0.5))
        axes.grid(axis="x", alpha=0.3)
    try:
        figure.savefig(path)
    except (OSError, ValueError) as error:
        raise click.ClickException(f"the drawing could not be written: {error}") from None


def _cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip().strip("|").split("|")]
