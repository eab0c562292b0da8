"""Which situational lever each control pulls, and which published principles it serves: data, with its gaps.

A table of claims is only worth what can be checked: each control names the function or class that does it, and a
principle that nothing serves must be listed as a gap with a reason.
"""

from __future__ import annotations

from functools import cache
from typing import Annotated, Any

import msgspec

from safelight.builtin_data import read_builtin

CONTROLS_FILE = "policy/controls.json"


class Framework(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """A published set of principles, as read at ``source`` on ``read_on``; the texts here are short titles."""

    id: str
    name: str
    source: Annotated[str, msgspec.Meta(pattern=r"^https://")]
    read_on: str
    principles: dict[str, str]


class Control(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """One thing that Safelight does.

    Attributes:
        id: names it.
        summary: one sentence.
        where: ``module:name`` of what does it.
        levers: of situational prevention.
        serves: framework to principles.
        evidence: files of the repository, and ``file::test``, that show it.
    """

    id: str
    summary: str
    where: Annotated[str, msgspec.Meta(pattern=r"^safelight(\.[a-z_]+)+:[A-Za-z_.]+$")]
    levers: tuple[str, ...]
    serves: dict[str, tuple[str, ...]]
    evidence: Annotated[tuple[str, ...], msgspec.Meta(min_length=1)]


class Gap(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """A principle that nothing here serves, or what stays open although something does, and why."""

    framework: str
    principle: str
    why: Annotated[str, msgspec.Meta(min_length=10)]


class Controls(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """Every control, with the levers and frameworks that they name."""

    schema: int
    version: int
    levers: dict[str, str]
    frameworks: tuple[Framework, ...]
    controls: tuple[Control, ...]
    open: tuple[Gap, ...]
    gaps: tuple[Gap, ...]


@cache
def load_controls() -> Controls:
    """The controls of this build.

    Raises:
        DataError: missing, or not what was built.
    """
    return msgspec.json.decode(read_builtin(CONTROLS_FILE), type=Controls)


def coverage() -> dict[str, Any]:
    """Lever and principle to the controls that serve it, and the gaps: JSON-ready."""
    found = load_controls()
    covered: dict[str, Any] = {
        "levers": {lever: [one.id for one in found.controls if lever in one.levers] for lever in found.levers}
    }
    for framework in found.frameworks:
        covered[framework.id] = {
            principle: [one.id for one in found.controls if principle in one.serves.get(framework.id, ())]
            for principle in framework.principles
        }
    for name, rows in (("open", found.open), ("gaps", found.gaps)):
        covered[name] = [{"framework": row.framework, "principle": row.principle, "why": row.why} for row in rows]
    return covered


def coverage_markdown() -> str:
    """The page docs/coverage.md."""
    found = load_controls()
    covered = coverage()
    lines = [
        "# Coverage: controls, levers, principles",
        "",
        "Written by `python docs/make_coverage.py` from `sdk/safelight/policy/controls.json`; edit that file. The same",
        "table is in `safelight capabilities --json`. Every control names tests or files that show it. A principle",
        "without a control says why; a principle with some says what stays open. This is our own reading of short",
        "titles, and no claim that anybody has assessed or endorsed it.",
        "",
        "| control | what it does | levers | done by | shown by |",
        "|---|---|---|---|---|",
        *(
            f"| {one.id} | {one.summary} | {', '.join(one.levers)} | `{one.where}` | {_shown_by(one)} |"
            for one in found.controls
        ),
        "",
        "## Situational levers",
        "",
        "| lever | meaning | controls |",
        "|---|---|---|",
        *(f"| {lever} | {text} | {', '.join(covered['levers'][lever])} |" for lever, text in found.levers.items()),
    ]
    for framework in found.frameworks:
        why = {gap.principle: f"**gap**: {gap.why}" for gap in found.gaps if gap.framework == framework.id}
        why |= {gap.principle: f"**open**: {gap.why}" for gap in found.open if gap.framework == framework.id}
        lines += ["", f"## {framework.name}", "", f"Source, read {framework.read_on}: <{framework.source}>", ""]
        lines += ["| | principle | served by |", "|---|---|---|"]
        for number, title in framework.principles.items():
            served = ", ".join(covered[framework.id][number])
            lines.append(f"| {number} | {title} | {' '.join(filter(None, (served, why.get(number, ''))))} |")
    return "\n".join(lines) + "\n"


def _shown_by(control: Control) -> str:
    files = [name.partition("::")[0] for name in control.evidence]
    return ", ".join(f"[{name.rpartition('/')[2]}](../{name})" for name in files)
