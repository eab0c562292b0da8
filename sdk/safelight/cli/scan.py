"""``safelight scan``: look through a folder, because somebody asked for it."""

from __future__ import annotations

import hashlib
import os
import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from safelight.cli._family import PIN_OPTION, asks_a_person, open_store, read_pin, store_options, usage
from safelight.cli.output import console, print_json, quiet_runtime
from safelight.decision import Action, Event
from safelight.errors import ScanError, UsageError

if TYPE_CHECKING:
    from safelight.guard import Guard
    from safelight.scan import Journal, Progress, Scan, ScanResult
    from safelight.scan.engine import Engine
    from safelight.store import Store
    from safelight.testing import TestMode

_DASK = "dask://"
_CONSENT_TTL_S = 3600.0


@click.command()
@click.argument("folder", metavar="DIR", type=click.Path(exists=True, file_okay=False))
@click.option(
    "--engine", default="local", show_default=True, metavar="ENGINE", help="local, or dask://HOST:PORT of a scheduler."
)
@click.option(
    "--event",
    type=click.Choice([Event.VIEW.value, Event.UPLOAD.value, Event.SEND.value, Event.SAVE.value]),
    default=Event.VIEW.value,
    show_default=True,
    help="What the files are decided for.",
)
@click.option("--hold", "keep_holds", is_flag=True, help="Hold every file that is HOLD or BLOCK; nothing is moved.")
@click.option("--again", is_flag=True, help="Look at every file anew, also at those that have not changed.")
@click.option("--yes", is_flag=True, help="The child agrees to this scan; asked for otherwise.")
@click.option(
    "--tier",
    type=click.Choice(["auto", "live", "full"]),
    default="full",
    show_default=True,
    help="How closely to look.",
)
@click.option(
    "--isolation",
    type=click.Choice(["none", "process"]),
    default="process",
    show_default=True,
    help="Run the detectors in processes of their own (engine local).",
)
@click.option("--jobs", type=click.IntRange(1), metavar="N", help="Files at once. Default: one for each processor.")
@click.option("--trigger", multiple=True, metavar="KIND=VALUE", help="Test mode; see `safelight check`.")
@PIN_OPTION
@store_options
def scan(
    folder: str,
    engine: str,
    event: str,
    keep_holds: bool,
    again: bool,
    yes: bool,
    tier: str,
    isolation: str,
    jobs: int | None,
    trigger: tuple[str, ...],
    pin_file: Any,
    store_path: Path | None,
    as_json: bool,
) -> None:
    """Look at the pictures and clips in DIR and below, for the settings of this device. Nothing is deleted or moved.

    Asks the child, and a guardian where the settings say so. A scan that is stopped goes on where it was; a file that
    has not changed is not looked at again. Documents and archives are counted, not opened.

    Exits 0 when everything is allowed or nudged, 3 when anything is blurred, held or blocked, 1 when a file could not
    be read or held (3 wins over 1), 2 for wrong usage.
    """
    from safelight.guard import Guard
    from safelight.scan import Scan
    from safelight.testing import TestMode, parse_trigger

    if engine != "local" and not engine.startswith(_DASK):
        raise click.UsageError(f"--engine: got {engine!r}, expected local or dask://HOST:PORT.")
    warnings.filterwarnings("ignore", module=r"PIL(\.|\Z)")
    word = Event(event)
    with open_store(store_path) as store:
        try:
            test_mode = TestMode(*(parse_trigger(text) for text in trigger)) if trigger else None
            _ask_consent(store, yes=yes, pin_file=pin_file)
            guard = Guard(
                store=store,
                tier=tier,
                isolation=isolation if engine == "local" else "none",
                concurrency=jobs,
                test_mode=test_mode,
            )
        except UsageError as error:
            raise usage(error) from None
        with guard:
            if engine == "local":
                with quiet_runtime():
                    guard.prepare()
            journal = _journal(guard, folder, word, again=again)
            runner = _engine(engine, guard, folder, word, tier=tier, test_mode=test_mode)
            try:
                done = Scan(folder, guard, event=word, journal=journal, engine=runner, keep_holds=keep_holds)
                _run(done, as_json=as_json)
            finally:
                for open_thing in (runner, journal):
                    if open_thing is not None:
                        open_thing.close()


def _ask_consent(store: Store, *, yes: bool, pin_file: Any) -> None:
    from safelight.store import ConsentBy, ConsentState

    answer = store.consents.check("scan")
    if answer.given:
        return
    if answer.state in (ConsentState.CLOSED, ConsentState.STORE_UNAVAILABLE):
        raise ScanError(
            f"scan: got consent state {answer.state}, expected settings that allow it; see `safelight policy`."
        )
    if ConsentBy.CHILD in answer.waiting_for:
        if not yes and not asks_a_person():
            raise click.UsageError("nobody is here to be asked; expected --yes when the child agrees to this scan.")
        if not yes:
            click.echo(
                "Safelight is about to look at the pictures in this folder. Nothing is deleted, nothing leaves, and "
                "nobody else is told what it finds.",
                err=True,
            )
            if not click.confirm("Is that all right with you?", err=True):
                raise ScanError("scan: got a no, so nothing was looked at.")
        store.consents.give("scan", by=ConsentBy.CHILD, ttl_s=_CONSENT_TTL_S)
    if ConsentBy.GUARDIAN in answer.waiting_for:
        store.consents.give("scan", by=ConsentBy.GUARDIAN, pin=read_pin(pin_file), ttl_s=_CONSENT_TTL_S)


def _journal(guard: Guard, folder: str, event: Event, *, again: bool) -> Journal | None:
    """The journal of this folder in the user's state folder; without one the scan cannot be gone on with."""
    from platformdirs import user_state_path

    from safelight.scan import Journal
    from safelight.scan.scan import stamp

    name = hashlib.blake2b(os.fsencode(os.path.realpath(folder)), digest_size=16).hexdigest()
    try:
        journal = Journal(
            user_state_path("safelight", appauthor=False) / "scans" / f"{name}.sqlite", stamp=stamp(guard, event)
        )
        if again:
            journal.forget()
    except ScanError as error:
        click.echo(f"safelight: {error} This scan cannot be gone on with if it is stopped.", err=True)
        return None
    return journal


def _engine(
    engine: str, guard: Guard, folder: str, event: Event, *, tier: str, test_mode: TestMode | None
) -> Engine | None:
    if engine == "local":
        return None
    from safelight.scan.dask_engine import DaskEngine, worker_settings

    return DaskEngine(
        f"tcp://{engine.removeprefix(_DASK)}", worker_settings(guard, folder, event, tier=tier, test_mode=test_mode)
    )


def _run(scan: Scan, *, as_json: bool) -> None:
    worst = Action.ALLOW
    with _Bar(quiet=as_json) as bar:
        for result in scan:
            worst = max(worst, result.action or Action.ALLOW)
            bar.update(scan.progress)
            if as_json:
                print_json(_result_dict(result))
            elif result.action is None or result.action >= Action.BLUR:
                bar.say(_line(result))
    progress = scan.progress
    if as_json:
        print_json(_summary(progress))
    else:
        _tell(progress)
    if worst >= Action.BLUR:
        sys.exit(3)
    if progress.unreadable or progress.not_held:
        sys.exit(1)


def _result_dict(result: ScanResult) -> dict[str, Any]:
    from safelight.decision import finding_dict

    return {
        "input": result.name.encode("utf-8", "surrogateescape").decode("utf-8", "replace"),
        "action": result.action.name if result.action is not None else None,
        "findings": [finding_dict(finding) for finding in result.findings],
        "reasons": list(result.reasons),
        "unchanged": result.unchanged,
        "hold": result.hold.id if result.hold is not None else None,
    }


def _summary(progress: Progress) -> dict[str, Any]:
    return {
        "looked_at": progress.looked_at,
        "unchanged": progress.unchanged,
        "other": progress.other,
        "unreadable": progress.unreadable,
        "not_held": progress.not_held,
        "actions": {action.name: progress.actions[action] for action in Action if progress.actions[action]},
        "resumable": progress.resumable,
    }


def _line(result: ScanResult) -> str:
    from safelight._text import printable

    if result.action is None:
        return f"could not be opened  {printable(result.name)}"
    return f"{result.action.name:<5}  {printable(result.name)}  ({', '.join(result.reasons)})"


def _tell(progress: Progress) -> None:
    total = sum(progress.actions.values())
    said = ", ".join(f"{progress.actions[action]} {action.name}" for action in Action if progress.actions[action])
    click.echo(f"{total} pictures and clips: {said or 'none'}; {progress.unchanged} of them known from before.")
    click.echo(f"{progress.other} files hold no picture or clip, or are documents and archives: not opened.")
    if progress.unreadable:
        click.echo(f"{progress.unreadable} could not be read: nothing is known of them.")
    if progress.not_held:
        click.echo(
            f"{progress.not_held} could not be held: the store is full or cannot be written; see `safelight holds`."
        )


class _Bar:
    """How far it is, on standard error, when somebody watches. How many files there are is not known before the end."""

    def __init__(self, *, quiet: bool) -> None:
        self._live: Any = None
        if not quiet and sys.stderr.isatty():
            from rich.console import Console
            from rich.status import Status

            self._live = Status("Looking", console=Console(stderr=True))

    def __enter__(self) -> _Bar:
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live is not None:
            self._live.stop()

    def update(self, progress: Progress) -> None:
        if self._live is not None:
            self._live.update(f"Looking: {progress.looked_at} looked at, {progress.unchanged} known from before")

    def say(self, line: str) -> None:
        from rich.text import Text

        console().print(Text(line))
