"""``safelight watch`` for cameras: a device, or a file played as one, judged live. It prints states, never pictures."""

from __future__ import annotations

import os
import signal
import stat
import sys
import threading
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from safelight.cli._family import asks_a_person, open_store, read_pin, usage
from safelight.cli.check import EXIT_PROTECTED
from safelight.cli.output import print_json, quiet_runtime
from safelight.decision import Action
from safelight.errors import SafelightError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from safelight.gates.camera import CameraStatus
    from safelight.store import Store
    from safelight.testing import TestMode

_EVERY_S = 0.02
_SAYS = {
    "STARTING": "open; nothing was judged yet",
    "SHOWING": "shown",
    "COVERED": "covered",
    "COULD_NOT_TELL": "covered: it cannot be judged",
    "WAITING": "covered: a verdict takes too long",
    "NO_CONSENT": "closed: not everybody who must agree has agreed",
    "NO_CAMERA": "there is no camera here that can be opened",
    "SOURCE_LOST": "closed: unplugged, or the end of the video",
}


def is_camera(source: str) -> bool:
    """Whether the source is a device, and no file."""
    try:
        return stat.S_ISCHR(os.stat(source).st_mode)
    except (OSError, ValueError):
        return False


def watch_camera(
    source: str,
    *,
    tier: str,
    isolation: str,
    seconds: float | None,
    yes: bool,
    pin_file: Any,
    store_path: Path | None,
    test_mode: TestMode | None,
    lists: tuple[str, ...],
    trust: tuple[str, ...],
    as_json: bool,
) -> None:
    """Judge until it ends, time is up, or somebody presses Ctrl-C. Exits 3 when anything was BLUR or higher.

    Args:
        source: a V4L2 device, or a video file to be played as one.
        seconds: how long; ``None`` for as long as it goes.
        yes: the child agrees to the camera.
        pin_file: where the guardian's PIN is read, when a guardian must agree too.
        store_path: of the device's settings; this user's when ``None``.
        test_mode: a trigger kit.
        lists, trust: hash lists and their operators' keys.
        as_json: one object a change of state, one a line.

    Raises:
        click.UsageError: nobody can be asked.
        SystemExit: 1 when there was no consent or no camera, 3 as above.
    """
    from safelight.gates.camera import CameraGate, CameraState
    from safelight.guard import Guard

    with open_store(store_path) as store:
        _ask_consent(store, yes=yes, pin_file=pin_file)
        try:
            guard = Guard(
                store=store,
                tier=tier,
                isolation=isolation,
                concurrency=1,
                test_mode=test_mode,
                lists=lists,
                trust=trust,
            )
        except UsageError as error:
            raise usage(error) from None
        with guard, _until_interrupted() as interrupted:
            with quiet_runtime():
                guard.prepare()
            with quiet_runtime(), CameraGate(guard) as gate:
                status, worst = gate.open(source), Action.ALLOW
                began_s = time.monotonic()
                last: tuple[Any, ...] | None = None
                while True:
                    now = (status.state, status.reasons)
                    if now != last:
                        last = now
                        if status.open and status.decision is not None:
                            worst = max(worst, status.decision.action)
                        _say(status, time.monotonic() - began_s, as_json=as_json)
                    over = seconds is not None and time.monotonic() - began_s >= seconds
                    if not status.open or over or interrupted.is_set():
                        break
                    interrupted.wait(_EVERY_S)
                    status = gate.status
                # A find between two looks at the status is counted, too.
                if status.counts.refused or status.counts.could_not_tell:
                    worst = max(worst, Action.BLUR)
            _summary(status, as_json=as_json)
    if status.state in (CameraState.NO_CAMERA, CameraState.NO_CONSENT):
        sys.exit(1)
    if worst >= Action.BLUR:
        sys.exit(EXIT_PROTECTED)


def _ask_consent(store: Store, *, yes: bool, pin_file: Any) -> None:
    """Ask whoever must agree and has not; what nobody can agree to is left for the gate to refuse."""
    from safelight.store import ConsentBy, ConsentState

    answer = store.consents.check("camera")
    if answer.given or answer.state in (ConsentState.CLOSED, ConsentState.STORE_UNAVAILABLE):
        return
    try:
        if ConsentBy.CHILD in answer.waiting_for:
            if not yes and not asks_a_person():
                raise click.UsageError(
                    "nobody is here to be asked; expected --yes when the child agrees to the camera."
                )
            if not yes:
                click.echo("Safelight is about to switch the camera on. Nothing is kept, and nothing leaves.", err=True)
                if not click.confirm("Is that all right with you?", err=True):
                    return
            store.consents.give("camera", by=ConsentBy.CHILD)
        if ConsentBy.GUARDIAN in answer.waiting_for:
            store.consents.give("camera", by=ConsentBy.GUARDIAN, pin=read_pin(pin_file))
    except UsageError as error:
        raise usage(error) from None
    except SafelightError as error:
        raise click.ClickException(str(error)) from None


@contextmanager
def _until_interrupted() -> Iterator[threading.Event]:
    """Ctrl-C, or a polite kill, is an end and no error: the device is given back and the summary printed."""
    interrupted = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield interrupted
        return
    before = {name: signal.signal(name, lambda *_: interrupted.set()) for name in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield interrupted
    finally:
        for name, handler in before.items():
            signal.signal(name, handler)


def _say(status: CameraStatus, at_s: float, *, as_json: bool) -> None:
    decision = status.decision
    notice = decision.notice if decision is not None else None
    if as_json:
        print_json(
            {
                "at_ms": round(1000 * at_s),
                "state": status.state.value,
                "action": decision.action.name if decision is not None else Action.ALLOW.name,
                "reasons": list(status.reasons),
                "notice": decision.to_dict()["notice"] if decision is not None else None,
            }
        )
        return
    because = f"  {', '.join(status.reasons)}" if status.reasons else ""
    click.echo(f"{at_s:8.1f} s  {_SAYS.get(status.state.value, status.state.value)}{because}")
    if notice is not None:
        click.echo(f"            {notice.title}")


def _summary(status: CameraStatus, *, as_json: bool) -> None:
    counts, delay = status.counts, status.release_delay_ms
    if as_json:
        print_json(
            {
                "state": "END",
                "frames": counts.pushed,
                "shown": counts.released,
                "looked_at": counts.looked_at,
                "dropped": counts.dropped,
                "refused": counts.refused,
                "could_not_tell": counts.could_not_tell,
                "look_ms": round(status.look_ms, 1) if status.look_ms is not None else None,
                "release_delay_ms": [round(value, 1) for value in delay] if delay is not None else None,
            }
        )
        return
    click.echo(
        f"{counts.pushed} frames: {counts.released} shown, {counts.looked_at} looked at, {counts.refused} refused"
        + (f"; shown after {delay[0]:.0f} ms, 99 of 100 within {delay[1]:.0f} ms" if delay is not None else "")
    )
