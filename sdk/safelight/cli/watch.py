"""``safelight watch``: go through a clip frame by frame, and say when what is shown; or judge a camera live."""

from __future__ import annotations

import os
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from safelight.cli import _options as options
from safelight.cli._family import PIN_OPTION, store_options
from safelight.cli._watch_camera import is_camera, watch_camera
from safelight.cli.check import EXIT_PROTECTED
from safelight.cli.output import console, decision_panel, print_json, quiet_runtime
from safelight.decision import Action
from safelight.errors import UsageError

if TYPE_CHECKING:
    from safelight.gates import ClipDecision, ClipProgress, ClipState
    from safelight.guard import Guard
    from safelight.testing import TestMode

_SAVE_EVERY_S = 5.0
_KEY = "clips"


@click.command()
@click.argument("source", metavar="SOURCE")
@options.EVENT
@options.AGE_BAND
@options.COUNTRY
@options.LANG
@options.TIER
@options.ISOLATION
@click.option("--every-frame", is_flag=True, help="Look at every frame, also at those within the bound of one before.")
@click.option(
    "--resume",
    metavar="FILE",
    type=click.Path(dir_okay=False),
    help="Keep in FILE how far it has come, and go on from there. Deleted at the end.",
)
@click.option("--live", is_flag=True, help="Play a file as a camera: at its own pace, with the camera gate.")
@click.option(
    "--seconds", type=click.FloatRange(min=0), metavar="N", help="Of a camera: how long. Default: until Ctrl-C."
)
@click.option("--yes", is_flag=True, help="Of a camera: the child agrees to it; asked for otherwise.")
@PIN_OPTION
@click.option("--trigger", multiple=True, metavar="KIND=VALUE", help="Test mode; see `safelight check`.")
@options.LISTS
@options.TRUST
@store_options
def watch(
    source: str,
    event: str,
    age_band: str,
    country: str | None,
    lang: tuple[str, ...],
    tier: str,
    isolation: str,
    every_frame: bool,
    resume: str | None,
    live: bool,
    seconds: float | None,
    yes: bool,
    pin_file: Any,
    trigger: tuple[str, ...],
    lists: tuple[str, ...],
    trust: tuple[str, ...],
    store_path: Path | None,
    as_json: bool,
) -> None:
    """Go through SOURCE, a clip or an animated picture, and decide what is shown when. Use - for standard input.

    Every frame is covered: looked at, or within the release rule's bound of the last one that was. With --json one
    object a range, and then the decision.

    SOURCE may be a camera, e.g. /dev/video0, or a video file with --live. Then everybody who must agree is asked
    first, the settings of this device count (`safelight setup`; --event, --age-band, --country and --lang do not), and
    what is printed is how the gate is, whenever that changes. Nothing is shown or kept.

    Exits 0 when all of it is allowed or nudged, 3 when any of it is blurred, held or blocked, 1 when the source could
    not be opened, 2 for wrong usage.
    """
    from safelight.cli.lists import read_trust
    from safelight.guard import Guard
    from safelight.policy import Profile

    # The command owns its process. Pillow's warnings are about files we turn into states anyway.
    warnings.filterwarnings("ignore", module=r"PIL(\.|\Z)")
    if live or is_camera(source):
        watch_camera(
            source,
            tier=tier if tier != "auto" else "live",
            isolation=isolation,
            seconds=seconds,
            yes=yes,
            pin_file=pin_file,
            store_path=store_path,
            test_mode=_test_mode(trigger),
            lists=lists,
            trust=tuple(read_trust(trust)) if lists else (),
            as_json=as_json,
        )
        return
    if resume is not None and source == "-":
        raise click.UsageError("--resume: got standard input, which cannot be read again; give a file.")
    try:
        guard = Guard(
            Profile(age_band, country=country, languages=lang),
            tier=tier,
            isolation=isolation,
            test_mode=_test_mode(trigger),
            lists=lists,
            trust=read_trust(trust) if lists else (),
            concurrency=1,
        )
    except UsageError as error:
        raise click.UsageError(str(error)) from None
    with guard:
        with quiet_runtime():
            guard.prepare()
        found = _watch_clip(guard, source, event, every_frame=every_frame, resume=resume, quiet=as_json)
    _show(source, found, as_json=as_json)
    if not as_json and country is None and found.action > Action.ALLOW:
        click.echo("Add --country (for example --country GB) for help near you.", err=True)
    if found.action >= Action.BLUR:
        sys.exit(EXIT_PROTECTED)


def _test_mode(trigger: tuple[str, ...]) -> TestMode | None:
    from safelight.testing import parse_triggers

    try:
        return parse_triggers(trigger) if trigger else None
    except UsageError as error:
        raise click.UsageError(str(error)) from None


def _watch_clip(
    guard: Guard, source: str, event: str, *, every_frame: bool, resume: str | None, quiet: bool
) -> ClipDecision:
    from safelight.gates import ClipGate

    gate = ClipGate(guard, event=event, rule=None if every_frame else "release")
    opened: Any = sys.stdin.buffer if source == "-" else source
    kept = _Kept(Path(resume)) if resume is not None else None
    with _bar(quiet=quiet) as show:

        def progress(now: ClipProgress) -> None:
            show(now)
            if kept is not None:
                kept.now_and_then(now)

        found = gate.check(
            opened,
            progress=progress,
            resumable=kept is not None,
            resume=kept.state if kept is not None else None,
        )
    if kept is not None:
        kept.delete()
    return found


class _Kept:
    """How far a check has come, in a file that this device's key seals."""

    def __init__(self, path: Path) -> None:
        from safelight.errors import KeyMissingError
        from safelight.gates import ClipState
        from safelight.keys import FileKeyProvider

        keys = FileKeyProvider()
        try:
            self._key = keys.get(_KEY)
        except KeyMissingError:
            self._key = keys.create(_KEY)
        self._path = path
        self._saved_s = time.monotonic()
        self.state: ClipState | None = None
        with suppress(OSError):
            self.state = ClipState.from_bytes(path.read_bytes(), self._key)
            if self.state is None:
                click.echo("safelight: the kept state is damaged or another device's; beginning anew.", err=True)

    def now_and_then(self, now: ClipProgress) -> None:
        if time.monotonic() - self._saved_s < _SAVE_EVERY_S:
            return
        beside = self._path.with_name(self._path.name + ".new")
        try:
            beside.write_bytes(now.state().to_bytes(self._key))
            os.replace(beside, self._path)
        except OSError:
            raise click.ClickException("--resume: the file could not be written; choose another place.") from None
        self._saved_s = time.monotonic()

    def delete(self) -> None:
        with suppress(OSError):
            self._path.unlink(missing_ok=True)


@contextmanager
def _bar(*, quiet: bool) -> Iterator[Callable[[ClipProgress], None]]:
    """A progress bar on standard error when somebody watches."""
    if quiet or not sys.stderr.isatty():
        yield lambda _: None
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("Watching", total=None)

        def show(now: ClipProgress) -> None:
            total = now.duration_ms if now.duration_ms else None
            bar.update(task, total=total, completed=now.position_ms)

        yield show


def _show(source: str, found: ClipDecision, *, as_json: bool) -> None:
    if as_json:
        for one in found.ranges:
            print_json({"input": source, **one.to_dict()})
        values = found.to_dict()
        del values["ranges"]
        print_json({"input": source, **values})
        return
    out = console()
    out.print(decision_panel(source, found.decision))
    for one in found.ranges:
        until = _clock(one.end_ms) if one.end_ms is not None else "the end"
        because = f"  {', '.join(one.reasons)}" if one.reasons else ""
        out.print(f"{_clock(one.start_ms)} to {until}  {one.action.name}{because}", markup=False)
    again = f", {found.frames_resumed} of them before" if found.frames_resumed else ""
    out.print(f"{found.frames} frames{again}; {found.frames_inferred} looked at", style="dim", markup=False)


def _clock(at_ms: int) -> str:
    minutes, left_ms = divmod(at_ms, 60_000)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{left_ms / 1000:06.3f}"
