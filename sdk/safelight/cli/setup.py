"""``safelight setup``: the wizard. Asks what is needed, says what begins when, shows the recovery code once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from safelight.cli._family import (
    PIN_OPTION,
    asks_a_person,
    open_store,
    parse_settings,
    read_pin,
    store_options,
    tell_change,
    usage,
)
from safelight.cli.output import print_json
from safelight.decision import AgeBand
from safelight.errors import UsageError

_BANDS = [band.value for band in AgeBand]


@click.command()
@click.argument("settings", nargs=-1, metavar="[SETTING=VALUE…]")
@PIN_OPTION
@click.option(
    "--replace",
    is_flag=True,
    help="Begin anew when the store is damaged or PIN and code are lost: the old one is put aside, not deleted.",
)
@store_options
def setup(settings: tuple[str, ...], pin_file: Any, replace: bool, store_path: Path | None, as_json: bool) -> None:
    """Set this device up for a child: a guardian's PIN, who uses it, and when.

    Without SETTINGs it asks; with them, or without a terminal, it does not. What is looser than the strictest
    settings begins after a day with the device running.

    Example: safelight setup age_band=10_12 country=GB zone=Europe/London allowance.games=60 bedtime=20:30-07:00
    """
    with open_store(store_path) as store:
        if store.health().pin_set and not replace:
            raise click.UsageError("got a device that is set up already; use `safelight policy set`, or --replace.")
        asks = not settings and pin_file is None and asks_a_person() and not as_json
        patch = _ask() if asks else parse_settings(settings)
        pin = read_pin(pin_file, what="Choose a guardian's PIN, 6 characters or more", confirm=True)
        try:
            done = store.set_up(patch, pin=pin, replace=replace)
        except UsageError as error:
            raise usage(error) from None
        if as_json:
            print_json({"recovery_code": done.recovery_code, "state": store.state.value})
            tell_change(done.change, as_json=True)
            return
        click.echo()
        if patch:
            tell_change(done.change, as_json=False)
        click.echo(f"\nRecovery code, shown this once: {done.recovery_code}")
        click.echo("Write it on paper, away from this device: it sets a new PIN when the old one is forgotten.")
        click.echo("`safelight policy show` says what is in force, `safelight policy pending` what waits.")


def _ask() -> dict[str, Any]:
    patch: dict[str, Any] = {}
    click.echo("Who uses this device? Leave an answer empty to keep the strictest.")
    band = click.prompt("Age band", type=click.Choice(["", *_BANDS]), default="", show_choices=True)
    if band:
        patch["age_band"] = band
    words = [
        ("country", "Country, for help near you, e.g. GB"),
        ("languages", "Languages, the first choice first, e.g. en,pl"),
        ("zone", "Time zone, e.g. Europe/London"),
        ("allowance.*", "Minutes a day for each app, or none for no limit"),
        ("bedtime", "Bedtime, e.g. 20:30-07:00"),
    ]
    for key, question in words:
        answer = click.prompt(question, default="", show_default=False)
        if answer:
            patch |= parse_settings([f"{key}={answer}"])
    return patch
