"""How results reach a screen: JSON lines, tables and the calm panel."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from safelight._text import printable
from safelight.decision import Action, Decision, HelpService, State

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

# No red and no alarm: the colour supports the word, it never carries the meaning alone.
_STYLES = {
    Action.ALLOW: "green",
    Action.NUDGE: "cyan",
    Action.BLUR: "cyan",
    Action.HOLD: "blue",
    Action.BLOCK: "magenta",
}
_MEANING = {
    Action.ALLOW: "goes ahead",
    Action.NUDGE: "goes ahead after a thought",
    Action.BLUR: "hidden until chosen",
    Action.HOLD: "held back for now",
    Action.BLOCK: "stopped",
}
_WIDTH = 78


def console() -> Console:
    """A console for standard output; plain when it is not a terminal."""
    from rich.console import Console

    return Console(highlight=False, soft_wrap=False, width=None)


@contextmanager
def quiet_runtime() -> Iterator[None]:
    """Keep what the TFLite runtimes write to the process's own standard error off a person's screen.

    Their C++ code announces its delegates there and has no switch for it. For the command only, which owns
    its process: a library must not touch its host's descriptors.
    """
    sys.stderr.flush()
    saved = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)
        os.close(nowhere)


def print_json(value: dict[str, Any]) -> None:
    """One object on one line."""
    click.echo(json.dumps(value, ensure_ascii=False, separators=(", ", ": ")))


def decision_panel(name: str, decision: Decision) -> RenderableType:
    """The panel a person reads: what happened, choices, why, help, how to say "this is wrong"."""
    from rich.console import Group
    from rich.panel import Panel
    from rich.text import Text

    parts: list[RenderableType] = []
    notice = decision.notice
    if notice is not None:
        parts += [Text(notice.title, style="bold"), Text(notice.body), Text()]
        parts += [Text.assemble(("  › ", "dim"), choice.label) for choice in notice.choices]
        parts += [Text(), Text(notice.why, style="dim")]
        if notice.help:
            parts += [Text(), Text("Help", style="bold")]
            parts += [help_text(service) for service in notice.help]
        parts += [Text(), Text(notice.appeal, style="dim"), Text()]
    parts.append(Text(_evidence_line(decision), style="dim"))
    if decision.test_mode:
        parts.append(Text("TEST MODE: a trigger kit took part in this decision.", style="bold yellow"))
    style = _STYLES[decision.action]
    return Panel(
        Group(*parts),
        title=Text.assemble((decision.action.name, f"bold {style}"), f" · {_MEANING[decision.action]}"),
        subtitle=Text(printable(name), style="dim"),
        title_align="left",
        subtitle_align="left",
        border_style=style,
        width=_WIDTH,
        padding=(1, 2),
    )


def help_text(service: HelpService) -> RenderableType:
    """One service: name, ways to reach it, and when that was read."""
    from rich.text import Text

    ways = [way for way in (service.phone, service.sms, service.chat_url or service.web_url) if way]
    line = Text("  ")
    line.append(service.service)
    for way in ways:
        line.append(f"\n    {way}")
    line.append(
        f"\n    (read {service.read_on.isoformat()})"
        if service.read_on is not None
        else "\n    (not checked by us: web address only)",
        style="dim",
    )
    return line


def _evidence_line(decision: Decision) -> str:
    said = []
    for finding in decision.findings:
        if finding.state is State.OK and finding.score is not None:
            said.append(f"{finding.kind.value} {finding.label} {finding.score:.2f} ({finding.model})")
        else:
            said.append(
                f"{finding.kind.value} {finding.state.value}" + (f" ({finding.model})" if finding.model else "")
            )
    reasons = f" · {', '.join(decision.reasons)}" if decision.reasons else ""
    return f"{'; '.join(said)}{reasons} · {decision.elapsed_ms:.0f} ms"
