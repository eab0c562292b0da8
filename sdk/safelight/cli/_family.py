"""What ``setup``, ``policy`` and ``holds`` share: opening the store, reading settings from words, asking for a PIN."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from safelight.cli.output import print_json
from safelight.errors import UsageError

if TYPE_CHECKING:
    from safelight.store import Change, PendingChange, Store

F = TypeVar("F", bound=Callable[..., Any])

# A PIN on a command line is in the shell's history and in every process list; a file descriptor or a question is not.
PIN_OPTION = click.option(
    "--pin-file",
    type=click.File("r", encoding="utf-8"),
    metavar="FILE",
    help="Read the guardian's PIN from FILE (- for standard input) instead of asking.",
)


def store_options(command: F) -> F:
    """``--store PATH`` and ``--json``."""
    command = click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")(command)
    return click.option(
        "--store",
        "store_path",
        type=click.Path(dir_okay=False, path_type=Path),
        metavar="PATH",
        help="The store's file. Default: this user's.",
    )(command)


def open_store(path: Path | None) -> Store:
    """The store at a path, with its key beside it, or this user's."""
    from safelight.keys import FileKeyProvider
    from safelight.store import Store as Opened

    if path is None:
        return Opened()
    return Opened(path, keys=FileKeyProvider(path.parent / "keys"))


def asks_a_person() -> bool:
    """Whether somebody sits at a terminal who can be asked."""
    return sys.stdin.isatty()


def read_pin(file: Any, *, what: str = "Guardian's PIN", confirm: bool = False) -> str:
    """A PIN from a file, or asked for without showing it.

    Raises:
        click.UsageError: there is no file and nobody to ask.
    """
    if file is not None:
        return str(file.readline()).rstrip("\r\n")
    if not asks_a_person():
        raise click.UsageError("got no PIN and no terminal to ask at; give --pin-file FILE.")
    return str(click.prompt(what, hide_input=True, confirmation_prompt=confirm, err=True))


def parse_settings(words: Iterable[str]) -> dict[str, Any]:
    """``KEY=VALUE`` words as a patch: ``age_band=10_12``, ``allowance.games=60``, ``bedtime=``.

    Raises:
        click.UsageError: no ``=``, or a value of another form.
    """
    patch: dict[str, Any] = {}
    for word in words:
        key, equals, text = word.partition("=")
        if not equals or not key:
            raise click.UsageError(
                f"got {word!r}, expected SETTING=VALUE, e.g. allowance.games=60; VALUE empty unsets."
            )
        patch[key] = _value(key, text)
    return patch


def _value(key: str, text: str) -> Any:
    head = key.partition(".")[0]
    if text == "":
        return None
    if head == "languages":
        return [tag.strip() for tag in text.split(",")]
    if head in ("allowance", "loosening_delay_h") and text != "none":
        if not text.isascii() or not text.isdigit():
            raise click.UsageError(
                f"{key}: got {text!r}, expected a whole number" + (" or none." if "." in key else ".")
            )
        return int(text)
    if head in ("counters", "reporting"):
        if text not in ("on", "off"):
            raise click.UsageError(f"{head}: got {text!r}, expected on or off.")
        return text == "on"
    if head == "country":
        return text.upper()
    if head in ("guardian", "child", "known_contacts", "trusted_adults"):
        try:
            return json.loads(text)
        except ValueError:
            raise click.UsageError(f"{key}: got text that is no JSON, expected a document; see docs/schema.") from None
    return text


def tell_change(change: Change, *, as_json: bool) -> None:
    """Say what is in force and what waits."""
    if as_json:
        print_json(
            {
                "relation": str(change.relation),
                "applied": change.applied,
                "pending": pending_dict(change.pending) if change.pending is not None else None,
            }
        )
        return
    for key, value in change.applied.items():
        click.echo(f"✓ in force now: {describe(key, value)}")
    if change.pending is not None:
        tell_pending(change.pending)
        click.echo("  Everybody who uses this device sees it waiting, and anybody can cancel it.")
    if not change.applied and change.pending is None:
        click.echo("Nothing to change.")


def tell_pending(pending: PendingChange) -> None:
    """Say what waits."""
    from safelight.store.pin import wait_text

    what = "; ".join(describe(key, value) for key, value in pending.patch.items())
    click.echo(f"… waits ({pending.id}): {what}")
    click.echo(f"  in force after {wait_text(pending.in_force_in_s)} with the device running.")


def pending_dict(pending: PendingChange) -> dict[str, Any]:
    """JSON-ready values."""
    return {
        "id": pending.id,
        "patch": pending.patch,
        "loosens": list(pending.loosens),
        "in_force_in_s": round(pending.in_force_in_s),
    }


def describe(key: str, value: Any) -> str:
    """A setting as a person writes it."""
    if value is None:
        return f"{key} back to the strictest"
    if isinstance(value, bool):
        return f"{key}={'on' if value else 'off'}"
    if isinstance(value, (list, tuple)) and all(isinstance(item, str) for item in value):
        return f"{key}={','.join(value)}"
    return f"{key}={value if isinstance(value, (str, int)) else json.dumps(value, ensure_ascii=False)}"


def usage(error: UsageError) -> click.UsageError:
    """A library's usage error as the command's."""
    return click.UsageError(str(error))
