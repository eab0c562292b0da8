"""The register as a page for people: what to look at first, two heat maps, and every risk in words."""

from __future__ import annotations

from collections.abc import Callable

from safelight.accountability.pages import Block, Bullets, Cell, Heading, Paragraph, Table, to_html, to_markdown
from safelight.accountability.risk import AREAS, LIKELIHOOD, SEVERITY, Risk, RiskReport, level


def risk_markdown(report: RiskReport) -> str:
    """The report as Markdown."""
    return to_markdown(_blocks(report))


def risk_html(report: RiskReport) -> str:
    """The report as one HTML file."""
    return to_html(_title(report), _blocks(report))


def _title(report: RiskReport) -> str:
    register = report.register
    return "Risks" if register is None else f"Risks of {register.product} {register.version}"


def _blocks(report: RiskReport) -> list[Block]:
    blocks: list[Block] = [Heading(1, _title(report))]
    register = report.register
    if register is None:
        blocks.append(Paragraph("This file cannot be read as a register. Put this right first:"))
        return [*blocks, Bullets([str(problem) for problem in report.problems])]
    risks = sorted(register.risk, key=lambda risk: (-risk.residual, -risk.score, risk.id))
    blocks.append(
        Paragraph(
            f"{len(risks)} risks, checked for {report.today}: each likelihood (1 to 5) times severity (1 to 5), before "
            f"and after what is done about it. The limit for what remains is {register.limit}. "
            f"{'Nothing is missing or past its day.' if report.passes else 'It does not pass:'}"
        )
    )
    if report.problems:
        blocks.append(Bullets([str(problem) for problem in report.problems]))
    for risk in report.tolerated:
        said = risk.tolerated
        if said is not None:
            blocks.append(
                Paragraph(
                    f"Over the limit, and tolerated until {said.until}: {risk.title} ({risk.residual}). Decided by "
                    f"{said.decided_by}. Why: {said.why} Condition: {said.condition}"
                )
            )
    blocks.append(Heading(2, "What remains"))
    blocks.append(_heat_map("After mitigation", risks, lambda risk: (risk.residual_likelihood, risk.residual_severity)))
    blocks.append(Heading(2, "Without mitigation"))
    blocks.append(_heat_map("Before mitigation", risks, lambda risk: (risk.likelihood, risk.severity)))
    blocks.append(Heading(2, "Every risk"))
    blocks.append(
        Table(
            "Highest remaining first",
            ("risk", "area", "before", "remains", "owner", "reviewed", "review by"),
            [
                (
                    risk.title,
                    risk.area.replace("_", " "),
                    _score(risk.likelihood, risk.severity),
                    _score(risk.residual_likelihood, risk.residual_severity),
                    risk.owner,
                    risk.reviewed_on.isoformat(),
                    risk.review_by.isoformat(),
                )
                for risk in risks
            ],
        )
    )
    for area in AREAS:
        here = [risk for risk in risks if risk.area == area]
        blocks.append(Heading(2, area.replace("_", " ").capitalize()))
        if not here:
            blocks.append(Paragraph(f"No risk: {register.no_risk_in.get(area, 'no reason given')}"))
        for risk in here:
            blocks += _risk(risk)
    return blocks


def _risk(risk: Risk) -> list[Block]:
    remains = f"{risk.residual_likelihood} × {risk.residual_severity} = {risk.residual} ({level(risk.residual)})"
    blocks: list[Block] = [
        Heading(3, risk.title),
        Paragraph(
            f"{risk.id}. {risk.harm} Before: {risk.likelihood} × {risk.severity} = {risk.score} ({level(risk.score)})."
        ),
        Bullets(risk.mitigation),
        Paragraph(f"Remains: {remains}. {risk.residual_why}"),
    ]
    if risk.next is not None:
        blocks.append(Paragraph(f"Next: {risk.next}"))
    blocks.append(Paragraph(f"Evidence: {', '.join(risk.evidence)}."))
    return blocks


def _score(likelihood: int, severity: int) -> Cell:
    product = likelihood * severity
    return Cell(f"{likelihood} × {severity} = {product}, {level(product)}", level(product))


def _heat_map(caption: str, risks: list[Risk], place: Callable[[Risk], tuple[int, int]]) -> Table:
    rows: list[tuple[str | Cell, ...]] = []
    for likelihood in range(5, 0, -1):
        cells: list[str | Cell] = [f"{likelihood} {LIKELIHOOD[likelihood - 1]}"]
        for severity in range(1, 6):
            name = level(likelihood * severity)
            here = [risk.id for risk in risks if place(risk) == (likelihood, severity)]
            cells.append(Cell(f"{name}: {', '.join(here)}" if here else name, name))
        rows.append(tuple(cells))
    header = ("likelihood \\ severity", *(f"{number} {word}" for number, word in enumerate(SEVERITY, start=1)))
    return Table(caption, header, rows)
