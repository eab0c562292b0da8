"""``safelight check``: look at pictures and decide."""

from __future__ import annotations

import sys
import warnings
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import click

from safelight.cli import _options as options
from safelight.cli.output import console, decision_panel, print_json, quiet_runtime
from safelight.decision import Action
from safelight.errors import MediaNotFoundError, SafelightError, UsageError
from safelight.notices.select import CONTEXTS

if TYPE_CHECKING:
    from safelight.decision import Decision
    from safelight.guard import Guard

EXIT_PROTECTED = 3
EXIT_FAILED = 1
_HEAD_BYTES = 4096


@click.command()
@click.argument("files", nargs=-1, required=True, metavar="FILE…")
@options.EVENT
@options.AGE_BAND
@click.option(
    "--context", type=click.Choice(CONTEXTS), help="What you know about it; changes the words, not the action."
)
@options.COUNTRY
@options.LANG
@options.RUNTIME
@options.TIER
@options.ISOLATION
@options.TRIGGER
@options.LISTS
@options.TRUST
@click.option("--json", "as_json", is_flag=True, help="One JSON object a file, one a line.")
def check(
    files: tuple[str, ...],
    event: str,
    age_band: str,
    context: str | None,
    country: str | None,
    lang: tuple[str, ...],
    runtime: str,
    tier: str,
    isolation: str,
    trigger: tuple[str, ...],
    lists: tuple[str, ...],
    trust: tuple[str, ...],
    as_json: bool,
) -> None:
    """Look at each FILE, a picture or a clip, and decide whether the event may go ahead. Use - for standard input.

    Exits 0 when everything is allowed or nudged, 3 when anything is blurred, held or blocked, 1 when a
    file could not be opened (3 wins over 1), 2 for wrong usage.
    """
    from safelight.cli.lists import read_trust
    from safelight.guard import Guard
    from safelight.policy import Profile
    from safelight.testing import parse_triggers

    # The command owns its process. Pillow's warnings are about files we turn into states anyway.
    warnings.filterwarnings("ignore", module=r"PIL(\.|\Z)")
    try:
        profile = Profile(age_band, country=country, languages=lang)
        test_mode = parse_triggers(trigger) if trigger else None
        made = Guard(
            profile,
            runtime=runtime,
            tier=tier,
            isolation=isolation,
            test_mode=test_mode,
            lists=lists,
            trust=read_trust(trust) if lists else (),
            concurrency=1,
        )
    except UsageError as error:
        raise click.UsageError(str(error)) from None

    worst = Action.ALLOW
    failed = False
    with made as guard:
        with quiet_runtime():
            guard.prepare()
        for name in _progress(files, quiet=as_json):
            try:
                decision = _decide(guard, _source(name), event, context)
            except SafelightError as error:
                failed = True
                _report_failure(name, error, as_json=as_json)
                continue
            worst = max(worst, decision.action)
            if as_json:
                print_json({"input": name, **decision.to_dict()})
            else:
                console().print(decision_panel(name, decision))
    if not as_json and country is None and worst > Action.ALLOW:
        click.echo("Add --country (for example --country GB) for help near you.", err=True)
    if worst >= Action.BLUR:
        sys.exit(EXIT_PROTECTED)
    if failed:
        sys.exit(EXIT_FAILED)


def _decide(guard: Guard, source: Any, event: str, context: str | None) -> Decision:
    """About a picture or a clip, whichever it is; when what is shown in a clip is for ``safelight watch``."""
    from safelight.media.clip import is_clip

    head = b""
    if isinstance(source, bytes):
        head = source[:_HEAD_BYTES]
    else:
        with suppress(OSError, ValueError), open(source, "rb") as file:
            head = file.read(_HEAD_BYTES)
    if is_clip(head):
        return guard.check_clip(source, event=event, context=context)
    return guard.check_image(source, event=event, context=context)


def _source(name: str) -> Any:
    return sys.stdin.buffer.read() if name == "-" else name


def _report_failure(name: str, error: SafelightError, *, as_json: bool) -> None:
    kind = type(error).__name__
    if as_json:
        print_json({"input": name, "error": {"type": kind, "message": str(error)}})
        return
    from safelight._text import printable

    click.echo(f"safelight: {printable(name)}: {error}", err=True)
    if isinstance(error, MediaNotFoundError):
        click.echo("Nothing was checked for it: do not treat it as safe.", err=True)


def _progress(files: tuple[str, ...], *, quiet: bool) -> Any:
    """A progress bar on standard error when there are many files and somebody watches."""
    if quiet or len(files) < 10 or not sys.stderr.isatty():
        return files
    from rich.console import Console
    from rich.progress import track

    return track(files, description="Looking", console=Console(stderr=True), transient=True)
