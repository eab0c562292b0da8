"""``safelight chat``: judge a conversation message by message."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import IO, Any

import click
import msgspec

from safelight.cli import _options as options
from safelight.cli.check import EXIT_FAILED, EXIT_PROTECTED
from safelight.cli.output import console, decision_panel, print_json, quiet_runtime
from safelight.decision import Action, AgeBand, Decision, FindingKind, Label, State
from safelight.errors import UsageError

_EXPECTED = 'expected {"sender": "other" or "self", "text": …, "at": …}'
MAX_LINE_BYTES = 4 * 1024 * 1024  # more than a message of a megabyte, escaped; the rest of a longer line is skipped


class ChatLine(msgspec.Struct, frozen=True):
    """One line of input. ``at``: ISO 8601 or seconds."""

    sender: str
    text: str
    at: datetime | float | None = None


@click.command()
@click.argument("file", metavar="FILE")
@click.option("--contact", type=click.Choice(["known", "unknown"]), default="unknown", show_default=True)
@click.option(
    "--trust",
    type=click.Choice(["unknown", "child", "guardian"]),
    help="Who knows the contact, when more is known than --contact says.",
)
@click.option(
    "--age-band",
    type=click.Choice([band.value for band in AgeBand]),
    default=AgeBand.UNKNOWN.value,
    show_default=True,
    help="Who is protected; unknown is protected.",
)
@options.COUNTRY
@options.LANG
@click.option("--json", "as_json", is_flag=True, help="One JSON object a message, one a line.")
def chat(
    file: str,
    contact: str,
    trust: str | None,
    age_band: str,
    country: str | None,
    lang: tuple[str, ...],
    as_json: bool,
) -> None:
    """Judge the conversation in FILE (- for standard input), one message after the other.

    Every line is a JSON object {"sender": "other" or "self", "text": …, "at": …}; "at" may be left out. The texts are
    read and not shown again.

    Exits 0 when everything is allowed or nudged, 3 when anything is blurred, held or blocked, 1 when the file or
    a line could not be read, 2 for wrong usage.
    """
    from safelight.guard import Guard
    from safelight.policy import Profile

    try:
        profile = Profile(age_band, country=country, languages=lang)
    except UsageError as error:
        raise click.UsageError(str(error)) from None
    worst, failed = Action.ALLOW, False
    with _opened(file) as stream, Guard(profile, detectors=(), concurrency=1) as guard:
        with quiet_runtime(), guard.conversation(contact, trust=trust) as conversation:
            previous = None
            for line in _lines(stream):
                number = conversation.messages
                message = _message(line)
                try:
                    decision = (
                        conversation.add(sender=message.sender, text=message.text, at=message.at)
                        if message is not None
                        else conversation.unreadable()
                    )
                except UsageError:  # another sender, a time that is no number
                    message, decision = None, conversation.unreadable()
                if message is None:
                    failed = True
                    if not as_json:
                        click.echo(f"safelight: message {number}: {_EXPECTED}; it was not judged.", err=True)
                worst = max(worst, decision.action)
                previous = _show(number, decision, previous, as_json=as_json)
    if worst >= Action.BLUR:
        sys.exit(EXIT_PROTECTED)
    if failed:
        sys.exit(EXIT_FAILED)


def _opened(file: str) -> IO[bytes]:
    if file == "-":
        return sys.stdin.buffer
    try:
        return Path(file).open("rb")
    except OSError:
        raise click.ClickException(
            "the conversation could not be opened; expected a file of JSON lines, or -."
        ) from None


def _lines(stream: IO[bytes]) -> Iterator[bytes]:
    """Lines that are not empty, each with at most ``MAX_LINE_BYTES`` bytes; a longer one comes as ``b""``."""
    while line := stream.readline(MAX_LINE_BYTES):
        if len(line) == MAX_LINE_BYTES and not line.endswith(b"\n"):
            while (rest := stream.readline(MAX_LINE_BYTES)) and not rest.endswith(b"\n"):
                pass
            yield b""
        elif line.strip():
            yield line


def _message(line: bytes) -> ChatLine | None:
    """The message of a line, or ``None``."""
    try:
        return msgspec.json.decode(line, type=ChatLine)
    except (msgspec.DecodeError, UnicodeDecodeError):
        pass
    try:
        # The standard library reads what msgspec refuses: lone surrogates, and bytes that are no UTF-8.
        return msgspec.convert(json.loads(line.decode("utf-8", "replace")), ChatLine, strict=False)
    except (ValueError, RecursionError, msgspec.ValidationError):
        return None


def _show(number: int, decision: Decision, previous: tuple[str, ...] | None, *, as_json: bool) -> tuple[str, ...]:
    if as_json:
        print_json(line_dict(number, decision))
    elif decision.action > Action.ALLOW and decision.reasons != previous:
        console().print(decision_panel(f"message {number}", decision))
    return decision.reasons


def line_dict(number: int, decision: Decision) -> dict[str, Any]:
    """One message's decision with the field names of ``safelight chat --json``."""
    values = decision.to_dict()
    conversation = next((f for f in decision.findings if f.kind is FindingKind.CONVERSATION), None)
    stages = {
        finding.label.value: round(finding.score, 4)
        for finding in decision.findings
        if finding.kind is FindingKind.GROOMING
        and finding.label not in (None, Label.NONE)
        and finding.score is not None
        and finding.label is not None
    }
    return {
        "index": number,
        "action": values["action"],
        "risk": None if conversation is None or conversation.score is None else round(conversation.score, 4),
        "level": None if conversation is None or conversation.label is None else conversation.label.value,
        "stages": stages,
        "messages": list((conversation.message_indices if conversation is not None else None) or ()),
        "states": sorted({finding.state.value for finding in decision.findings if finding.state is not State.OK}),
        "reasons": values["reasons"],
        "notice": values["notice"],
        "elapsed_ms": values["elapsed_ms"],
    }
