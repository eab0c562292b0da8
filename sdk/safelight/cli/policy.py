"""``safelight policy``: what is in force, what waits, and how to change it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from safelight.cli._family import (
    PIN_OPTION,
    asks_a_person,
    describe,
    open_store,
    parse_settings,
    pending_dict,
    read_pin,
    store_options,
    tell_change,
    tell_pending,
    usage,
)
from safelight.cli.output import console, print_json
from safelight.errors import PinError, UsageError


@click.group()
def policy() -> None:
    """This device's settings. Anybody may tighten them; loosening needs the guardian's PIN and a wait."""


@policy.command()
@store_options
def show(store_path: Path | None, as_json: bool) -> None:
    """Print what is in force. Exits 1 when the store cannot be believed: then it is the strictest."""
    with open_store(store_path) as store:
        view = store.view()
        settings = view.settings.to_dict()
        if as_json:
            print_json(
                {
                    "state": view.state.value,
                    "settings": settings,
                    "pending": [pending_dict(change) for change in store.pending()],
                    "clock_unconfirmed": view.reading.unconfirmed,
                }
            )
        else:
            from rich.table import Table

            table = Table(box=None, pad_edge=False, show_header=False)
            for name, value in settings.items():
                if name != "schema":
                    text = "strictest" if value is None else "–" if value in ({}, []) else describe("", value)[1:]
                    table.add_row(name, text)
            console().print(table)
            for change in store.pending():
                tell_pending(change)
            if view.state != "OK":
                click.echo(f"{view.state.value}: the strictest settings are in force; `safelight doctor` says more.")
            elif view.reading.unconfirmed:
                click.echo("The clock jumped. Nothing new is given until `safelight policy confirm-time`.")
        if view.state not in ("OK", "NEW"):
            sys.exit(1)


@policy.command("set")
@click.argument("settings", nargs=-1, required=True, metavar="SETTING=VALUE…")
@PIN_OPTION
@store_options
def set_settings(settings: tuple[str, ...], pin_file: Any, store_path: Path | None, as_json: bool) -> None:
    """Change settings. An empty VALUE goes back to the strictest.

    \b
    age_band=10_12  country=GB  languages=en,pl  preset=balanced  zone=Europe/London
    rules.receive.explicit=HOLD        at least this action
    allowance.games=60                 minutes a day; none; allowance.* for all others
    windows.games.sat=10:00-12:00,14:00-18:00    windows.games=15:00-19:00
    bedtime=20:30-07:00                bedtime.fri=22:00-08:00
    consent.camera=child               guardian; never
    counters=on                        loosening_delay_h=24
    reporting=on                       list matches may make a record (docs/reporting.md)
    guardian=JSON  child=JSON          layers, see docs/schema
    """
    patch = parse_settings(settings)
    with open_store(store_path) as store:
        try:
            pin = None
            if pin_file is not None:
                pin = read_pin(pin_file)
            elif store.would_loosen(patch):
                pin = read_pin(None)
            change = store.propose(patch, pin=pin)
        except UsageError as error:
            raise usage(error) from None
        tell_change(change, as_json=as_json)


@policy.command()
@store_options
def pending(store_path: Path | None, as_json: bool) -> None:
    """List what waits to come into force."""
    with open_store(store_path) as store:
        changes = store.pending()
        for change in changes:
            if as_json:
                print_json(pending_dict(change))
            else:
                tell_pending(change)
        if not changes and not as_json:
            click.echo("Nothing waits.")


@policy.command()
@click.argument("change_id", metavar="ID")
@store_options
def cancel(change_id: str, store_path: Path | None, as_json: bool) -> None:
    """End the wait of a loosening: it will not happen. Anybody may, without a PIN."""
    with open_store(store_path) as store:
        try:
            store.cancel(change_id)
        except UsageError as error:
            raise usage(error) from None
        print_json({"cancelled": change_id}) if as_json else click.echo("Cancelled. Nothing was loosened.")


@policy.command("confirm-time")
@PIN_OPTION
@store_options
def confirm_time(pin_file: Any, store_path: Path | None, as_json: bool) -> None:
    """Say, with the PIN, that this device's clock is right after it jumped."""
    with open_store(store_path) as store:
        store.confirm_time(pin=read_pin(pin_file))
        print_json({"confirmed": True}) if as_json else click.echo("The clock counts as right.")


@policy.command("pin")
@click.option("--recover", is_flag=True, help="With the recovery code instead of the old PIN.")
@click.option(
    "--secrets-file",
    type=click.File("r", encoding="utf-8"),
    metavar="FILE",
    help="Read the old PIN (or code) and the new PIN from FILE, a line each (- for standard input).",
)
@store_options
def change_pin(recover: bool, secrets_file: Any, store_path: Path | None, as_json: bool) -> None:
    """Change the guardian's PIN. Prints a new recovery code, this once."""
    old = read_pin(secrets_file, what="Recovery code" if recover else "Old PIN")
    new = read_pin(secrets_file, what="New PIN, 6 characters or more", confirm=True)
    with open_store(store_path) as store:
        try:
            code = store.set_pin(new, recovery_code=old) if recover else store.set_pin(new, pin=old)
        except UsageError as error:
            raise usage(error) from None
    if as_json:
        print_json({"recovery_code": code})
    else:
        click.echo(f"The PIN is changed. New recovery code, shown this once: {code}")


@policy.command()
@click.argument("file", type=click.File("wb", lazy=True))
@store_options
def export(file: Any, store_path: Path | None, as_json: bool) -> None:
    """Write the settings to FILE for another device, and print the code that goes with it. No PIN is in it."""
    with open_store(store_path) as store:
        content, code = store.export_settings()
    file.write(content)
    print_json({"transfer_code": code}) if as_json else click.echo(f"Transfer code, shown this once: {code}")


@policy.command("import")
@click.argument("file", type=click.File("rb"))
@click.option("--code", prompt="Transfer code", metavar="CODE", help="What `safelight policy export` printed.")
@PIN_OPTION
@store_options
def import_settings(file: Any, code: str, pin_file: Any, store_path: Path | None, as_json: bool) -> None:
    """Take settings from FILE. What loosens needs the PIN and waits, as by hand."""
    content = file.read()
    with open_store(store_path) as store:
        try:
            try:
                change = store.import_settings(content, code, pin=read_pin(pin_file) if pin_file else None)
            except PinError:
                if pin_file is not None or not asks_a_person():
                    raise
                change = store.import_settings(content, code, pin=read_pin(None))
        except UsageError as error:
            raise usage(error) from None
        tell_change(change, as_json=as_json)
