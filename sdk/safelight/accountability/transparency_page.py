"""The report as a page for people: what was counted, what it means, what it does not, and the tables."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from safelight.accountability.pages import Block, Bullets, Cell, Figure, Heading, Paragraph, Table, to_html, to_markdown
from safelight.accountability.transparency import CountTable, TransparencyReport

Draw = Callable[[str, Sequence[str], Sequence[int | None]], str]

_RATES: Final = {
    "choice.stop": "a choice to stop",
    "choice.continue": "a choice to go on",
    "help.opened": "help opened",
    "notice.repeated": "the same notice again in the session",
    "notice.false_alarm": '"this is wrong"',
}

# Which section can feed which. Titles as we know them; no claim that a duty applies or is met.
_MAPPING: Final = (
    (
        "What checks decided",
        "art. 15(1)(e), use of automated means",
        "outcomes",
        "how often something was covered, held or stopped automatically; accuracy stands on the cards",
    ),
    ("What notices did", "none", "outcomes", "how readers answered; it is no measure of harm"),
    (
        "Second looks",
        "art. 15(1)(d), complaints",
        "processes and systems",
        "appeals to the device itself; not an internal complaint-handling system of a platform",
    ),
    (
        "Records that left devices",
        "art. 15(1)(b) only where an operator treats them as notices",
        "outcomes",
        "records stored; what a hotline made of them is not known here",
    ),
    (
        "Method, and the risk register",
        "art. 34 and 35 only as material",
        "policies and practices",
        "docs/risk.md and the redesign log beside it",
    ),
    ("(nothing)", "art. 24(1), disputes and suspensions", "none", "no dispute bodies and no accounts exist here"),
    (
        "(nothing)",
        "art. 24(5), statements of reasons",
        "none",
        "a decision on one's own device goes to no database",
    ),
)


def transparency_markdown(report: TransparencyReport) -> str:
    """The report as Markdown."""
    return to_markdown(_blocks(report, None))


def transparency_html(report: TransparencyReport, *, draw: Draw | None = None) -> str:
    """The report as one HTML file.

    Args:
        report: to show.
        draw: makes a drawing of a table's latest column, as SVG; see :mod:`safelight.accountability.plots`. Every
            drawing stands beside its table, which says the same.
    """
    return to_html(_title(report), _blocks(report, draw))


def _title(report: TransparencyReport) -> str:
    return f"Transparency report: {report.product}"


def _blocks(report: TransparencyReport, draw: Draw | None) -> list[Block]:
    where = "one device's own store" if report.source == "device" else "a collector of records from many devices"
    blocks: list[Block] = [
        Heading(1, _title(report)),
        Paragraph(f"{report.first.isoformat()} to {report.last.isoformat()}, from {where}. Counts are of events."),
    ]
    if report.source == "device":
        blocks.append(
            Paragraph(
                "These counts are about the people who use this one device. Publish them only if all of them want "
                "that; a report about many devices protects each of them better."
            )
        )
    blocks.append(Heading(2, "Counts"))
    for table in report.tables:
        blocks += _table(table, draw)
    if not report.tables:
        blocks.append(Paragraph("Nothing was counted that has a definition."))
    blocks += _reading(report)
    blocks += [
        Heading(2, "Method"),
        Bullets(_method(report)),
        Heading(2, "Limits"),
        Bullets(_LIMITS),
        Heading(2, "Where these sections could go"),
        Paragraph(
            "A mapping to the EU Digital Services Act and to the three sections of the Tech Coalition's TRUST "
            "framework, for whoever has to report under them. It claims neither that a duty applies nor that it is "
            "met; read the current texts."
        ),
        Table("Mapping", ("section here", "DSA", "TRUST", "what it can give, and not"), _MAPPING),
    ]
    return blocks


def _table(table: CountTable, draw: Draw | None) -> list[Block]:
    rows: list[tuple[str | Cell, ...]] = [
        (row.name, row.text, *(Cell(_shown(cell), number=isinstance(cell, int)) for cell in row.cells))
        for row in table.rows
    ]
    blocks: list[Block] = [Heading(3, table.title)]
    last = [(row.name, row.cells[-1]) for row in table.rows if row.name != "total"]
    if draw is not None and any(isinstance(cell, int) for _, cell in last):
        svg = draw(
            table.title, [name for name, _ in last], [cell if isinstance(cell, int) else None for _, cell in last]
        )
        blocks.append(Figure(svg, f"{table.title}, {table.columns[-1]}. The table below says the same."))
    blocks.append(Table(table.title, ("counter", "definition", *table.columns), rows))
    return blocks


def _shown(cell: int | str) -> str:
    return f"{cell:,}" if isinstance(cell, int) else cell


def _reading(report: TransparencyReport) -> list[Block]:
    if not report.per_100_shown:
        return []
    return [
        Heading(2, "For every hundred notices shown"),
        Table(
            "Whole span",
            ("after a notice", "for every 100 shown"),
            [(_RATES[name], Cell(f"{value:.1f}", number=True)) for name, value in report.per_100_shown.items()],
        ),
        Paragraph(
            "Read this with care. One notice can be answered twice or not at all, so the numbers need not add up to "
            "100 and are not shares of people. A choice to stop does not show that something bad would have "
            "happened, and fewer repeats do not show less harm: what a person does elsewhere is unseen. "
            "There was no group without notices to compare with, so nothing here says what a notice caused."
        ),
    ]


def _method(report: TransparencyReport) -> list[str]:
    k = report.k
    lines = [
        "Counting is off until somebody turns it on; whoever did not is not in these counts.",
        "A device counts by week: no id, time of day, order or content. It forgets after 90 days; a crash may lose up "
        "to 50 events; anybody may delete the counts.",
        f"A count from 1 to {k - 1} is withheld: it could be one person or a few who know each other. {k} is the "
        "smallest count that is shown; 0 is shown, since nobody is in it.",
        "Where totals are shown, further counts are withheld until, from everything on this page, each withheld count "
        f"could still have at least {k + 1} different values. This is computed for each report, not assumed.",
        '"Not stated" means that the source does not say; it is not zero.',
    ]
    if report.undefined:
        lines.append(f"{report.undefined} counters without a definition were left out.")
    return lines


_LIMITS: Final = (
    "Counts say what software did. Whether it was right is not in them: error rates stand on the models' cards.",
    "Devices with counting on are no sample of all devices, so nothing may be extrapolated.",
    "Two reports about overlapping spans, or about a group and all but one of it, can give away together what each "
    "withholds alone. Publish a span once.",
    "A reader who knows how withholding chooses may narrow a range a little; none becomes a single number.",
    "Few notices can mean little danger, little use, or that the models saw nothing.",
)
