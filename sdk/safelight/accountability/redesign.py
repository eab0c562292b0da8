"""The redesign log: what was learnt, what was changed because of it, and what was deliberately not.

Each entry ties a source (a verified report, a measurement, a known miss, a review) to a change of a threshold, model,
rule, word or list, with the figure before and after. A report is named by its number of cases and the day it was
verified, never by its content; whoever was affected is offered redress, and the entry says which.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import msgspec

from safelight.accountability.documents import Id, Problem, Text, check_evidence, parse_toml, read_struct
from safelight.accountability.pages import Block, Bullets, Heading, Paragraph, Table, to_markdown

SourceKind = Literal["verified_report", "measurement", "known_miss", "review"]
Target = Literal["threshold", "model", "rules", "words", "list", "nothing"]
#: A single case could be told apart by those who were in it.
FEWEST_CASES: Final = 3


class Entry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One thing learnt.

    Attributes:
        on: the day of the change, or of the decision against one.
        source: where it was learnt.
        seen: what was seen, without any content.
        target: what was changed; ``nothing`` where it was decided against.
        changed: the file, model or folder that changed; ``None`` for ``nothing``.
        before, after: the figures or states.
        why: for this change and not another.
        evidence: files, tests, headings or https addresses that show it.
        cases: for a verified report: how many; fewer than three are gathered with others.
        verified_on, verified_by: for a verified report: the day, and a role.
        redress: for a verified report: what those affected were offered.
    """

    id: Id
    on: date
    source: SourceKind
    seen: Text
    target: Target
    before: Text
    after: Text
    why: Text
    evidence: Annotated[tuple[Text, ...], msgspec.Meta(min_length=1)]
    changed: Text | None = None
    cases: Annotated[int, msgspec.Meta(ge=1)] | None = None
    verified_on: date | None = None
    verified_by: Text | None = None
    redress: Text | None = None


class RedesignLog(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The file: newest first."""

    schema: Literal[1]
    product: Text
    entry: Annotated[tuple[Entry, ...], msgspec.Meta(min_length=1)]


class _Head(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    schema: Literal[1]
    product: Text


@dataclass(frozen=True, slots=True)
class RedesignReport:
    """What a check found; ``log`` is ``None`` where the file could not be read as one."""

    log: RedesignLog | None
    problems: tuple[Problem, ...]

    @property
    def passes(self) -> bool:
        """Whether there is nothing to put right."""
        return self.log is not None and not self.problems

    def to_dict(self) -> dict[str, Any]:
        """As JSON-ready values."""
        entries = [] if self.log is None else [msgspec.to_builtins(entry) for entry in self.log.entry]
        return {
            "passes": self.passes,
            "problems": [problem.to_dict() for problem in self.problems],
            "verified_reports": sum(entry["cases"] or 0 for entry in entries),
            "entries": entries,
        }


def check_log(content: bytes, *, today: date, root: Path | None = None) -> RedesignReport:
    """Read a log and find everything that has to be put right.

    Args:
        content: TOML.
        today: no entry may lie after it.
        root: if given, what changed and the evidence are looked for below this folder.
    """
    problems: list[Problem] = []
    raw = parse_toml(content, problems)
    if raw is None:
        return RedesignReport(None, tuple(problems))
    read_struct(_Head, {name: value for name, value in raw.items() if name != "entry"}, "file", problems)
    listed = raw.get("entry")
    if not isinstance(listed, list) or not listed:
        problems.append(Problem("file", "missing", "entry: got none, expected one or more; add [[entry]] tables"))
        listed = []
    entries = [read_struct(Entry, one, f"entry {number}", problems) for number, one in enumerate(listed, start=1)]
    log = None if problems else msgspec.convert(raw, RedesignLog)
    seen: set[str] = set()
    last: date | None = None
    for entry in entries:
        if entry is None:
            continue
        where = f"entry {entry.id}"
        if entry.id in seen:
            problems.append(Problem(where, "duplicate", "id: got it twice, expected one each; rename one"))
        if last is not None and entry.on > last:
            problems.append(Problem(where, "wrong", "on: got a day after the entry above, expected newest first; move"))
        seen.add(entry.id)
        last = entry.on
        problems += _entry(entry, where, today)
        if root is not None:
            names = entry.evidence if entry.changed is None else (*entry.evidence, entry.changed)
            check_evidence(names, root, where, problems)
    return RedesignReport(log, tuple(problems))


def log_markdown(report: RedesignReport) -> str:
    """The log as Markdown."""
    if report.log is None:
        blocks: list[Block] = [Heading(1, "Redesign log"), Paragraph("This file cannot be read as a log:")]
        return to_markdown([*blocks, Bullets([str(problem) for problem in report.problems])])
    log = report.log
    cases = sum(entry.cases or 0 for entry in log.entry)
    counted = f"{cases} verified cases so far." if cases else "No verified report has been received so far."
    blocks = [
        Heading(1, f"Redesign log of {log.product}"),
        Paragraph(
            "What was learnt, what was changed because of it, and what was deliberately not changed. "
            f"{counted} Newest first."
        ),
        Table(
            "Entries",
            ("day", "learnt from", "changed", "entry"),
            [
                (entry.on.isoformat(), entry.source.replace("_", " "), entry.changed or "nothing, on purpose", entry.id)
                for entry in log.entry
            ],
        ),
    ]
    for entry in log.entry:
        blocks += [
            Heading(2, f"{entry.on}: {entry.id}"),
            Paragraph(f"Seen ({entry.source.replace('_', ' ')}): {entry.seen}"),
            Paragraph(f"Changed: {entry.changed or 'nothing, on purpose'}."),
            Paragraph(f"Before: {entry.before} After: {entry.after}"),
            Paragraph(f"Why: {entry.why}"),
        ]
        if entry.cases is not None:
            blocks.append(
                Paragraph(
                    f"{entry.cases} cases, verified on {entry.verified_on} by {entry.verified_by}. "
                    f"Redress: {entry.redress}"
                )
            )
        blocks.append(Paragraph(f"Evidence: {', '.join(entry.evidence)}."))
    return to_markdown(blocks)


def _entry(entry: Entry, where: str, today: date) -> list[Problem]:
    found = []
    if entry.on > today:
        found.append(Problem(where, "wrong", f"on: got {entry.on}, expected {today} or before; mend it"))
    if (entry.target == "nothing") != (entry.changed is None):
        found.append(
            Problem(
                where, "inconsistent", "changed: expected a file or model, and none for target nothing; set both alike"
            )
        )
    report = entry.source == "verified_report"
    for name in ("cases", "verified_on", "verified_by", "redress"):
        value = getattr(entry, name)
        if report and value is None:
            found.append(Problem(where, "missing", f"{name}: got nothing for a verified report; fill it in"))
        elif not report and value is not None:
            found.append(
                Problem(where, "inconsistent", f"{name}: got it for a {entry.source}, expected none; take it out")
            )
    if entry.cases is not None and entry.cases < FEWEST_CASES:
        found.append(
            Problem(
                where,
                "wrong",
                f"cases: got {entry.cases}, expected {FEWEST_CASES} or more, so that nobody is told apart; gather them",
            )
        )
    if entry.verified_on is not None and entry.verified_on > entry.on:
        found.append(Problem(where, "wrong", "verified_on: got a day after the change, expected one before; mend it"))
    return found
