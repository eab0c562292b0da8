"""``safelight holds``: what is kept back, "this is wrong", and giving back what came free."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from safelight.cli._family import PIN_OPTION, open_store, read_pin, store_options, usage
from safelight.cli.output import console, print_json, quiet_runtime
from safelight.errors import UsageError

if TYPE_CHECKING:
    from safelight.decision import Redress
    from safelight.store import Hold


@click.group()
def holds() -> None:
    """What is kept back on this device: list, appeal, release. Nobody sees what it shows."""


@holds.command("list")
@click.option("--counts", is_flag=True, help="Only how many of which category: what a guardian needs.")
@store_options
def list_holds(counts: bool, store_path: Path | None, as_json: bool) -> None:
    """List what is kept back, by category; never what it shows."""
    with open_store(store_path) as store:
        if counts:
            for category, count in store.holds.counts().items():
                print_json({"category": category, "count": count}) if as_json else click.echo(f"{count} {category}")
            return
        found = store.holds.all()
        if as_json:
            for hold in found:
                print_json(_hold_dict(hold))
            return
        if not found:
            click.echo("Nothing is kept back.")
            return
        from rich.table import Table

        table = Table("id", "category", "event", "state", "kept here", "days left", box=None, pad_edge=False)
        for hold in found:
            kept = f"{hold.size_bytes} bytes" if hold.size_bytes else "no, the app has it"
            days = f"{hold.expires_in_s / 86_400:.0f}"
            table.add_row(hold.id, hold.category, hold.event.value, hold.state.value, kept, days)
        console().print(table)


@holds.command()
@click.argument("hold_id", metavar="ID")
@click.argument("file", required=False, type=click.Path(exists=True, dir_okay=False))
@store_options
def appeal(hold_id: str, file: str | None, store_path: Path | None, as_json: bool) -> None:
    """Say that the hold ID is wrong: look again, as closely as possible. FILE: the app's copy, if it has it.

    Exits 0 when it is released, 3 when it stays.
    """
    from safelight.guard import Guard

    with open_store(store_path) as store, Guard(store=store, concurrency=1) as guard:
        try:
            with quiet_runtime():
                result = guard.appeal(hold_id, file)
        except UsageError as error:
            raise usage(error) from None
    if as_json:
        print_json(
            {
                "id": hold_id,
                "released": result.released,
                "state": result.hold.state.value if result.hold is not None else None,
                "decision": result.decision.to_dict() if result.decision is not None else None,
                "redress": result.redress.to_dict() if result.redress is not None else None,
            }
        )
    elif result.released:
        click.echo("Released. Sorry for the wait: the first look was wrong.")
    elif result.decision is None:
        click.echo("It matches a list of known material: it is not released here. The list's keeper can look again.")
    else:
        click.echo("A closer look says the same, so it stays for now. That is not your fault. A guardian can be asked.")
    if result.redress is not None and not as_json:
        _tell_redress(result.redress)
    if not result.released:
        sys.exit(3)


@holds.command()
@click.argument("hold_id", metavar="[ID]", required=False)
@click.option("--to", "target", type=click.Path(dir_okay=False, path_type=Path), help="Where to write what was kept.")
@click.option("--category", metavar="NAME", help="With the guardian's PIN: let a whole category through, unseen.")
@PIN_OPTION
@store_options
def release(
    hold_id: str | None,
    target: Path | None,
    category: str | None,
    pin_file: Any,
    store_path: Path | None,
    as_json: bool,
) -> None:
    """Give back what came free: ID --to FILE, byte for byte. Or, as a guardian, --category NAME.

    Known material, what was stopped, and an explicit picture that a child made or was about to send are never
    released by category.
    """
    if (hold_id is None) == (category is None) or (hold_id is None) != (target is None):
        raise click.UsageError("expected ID with --to FILE, or --category NAME; `safelight holds list` prints both.")
    with open_store(store_path) as store:
        try:
            if category is not None:
                released = store.holds.approve(category, pin=read_pin(pin_file))
                for hold in released:
                    if as_json:
                        print_json(_hold_dict(hold))
                if not as_json:
                    click.echo(f"Released: {len(released)} of {category}. They were not shown to anybody.")
                return
            assert hold_id is not None
            assert target is not None
            _write(target, store.holds.restore(hold_id))
            store.holds.finish(hold_id)
        except UsageError as error:
            raise usage(error) from None
    print_json({"id": hold_id, "restored": True}) if as_json else click.echo("Restored, byte for byte.")


def _tell_redress(redress: Redress) -> None:
    click.echo(f"\n{redress.text}")
    for service in redress.help:
        contact = service.phone or service.sms or service.chat_url or service.web_url or ""
        click.echo(f"  {service.service}: {contact}")


def _write(target: Path, data: bytes) -> None:
    """All of it on the disk before the store's copy goes, and never over something that is there.

    Raises:
        click.ClickException: it could not be written; the store still has it.
    """
    import os

    try:
        with open(target, "xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise click.ClickException(f"could not write: {error.strerror}; choose another file.") from None


def _hold_dict(hold: Hold) -> dict[str, Any]:
    return {
        "id": hold.id,
        "category": hold.category,
        "event": hold.event.value,
        "age_band": hold.age_band.value,
        "action": hold.action.name,
        "state": hold.state.value,
        "known": hold.known,
        "size_bytes": hold.size_bytes,
        "expires_in_s": round(hold.expires_in_s),
    }
