"""Options that several commands take, said once: who is protected, how closely to look, which lists count."""

from __future__ import annotations

import click

from safelight.decision import AgeBand, Event

EVENT = click.option(
    "--event",
    type=click.Choice([event.value for event in Event]),
    default=Event.UPLOAD.value,
    show_default=True,
    help="What is about to happen.",
)
AGE_BAND = click.option(
    "--age-band",
    type=click.Choice([band.value for band in AgeBand]),
    default=AgeBand.UNKNOWN.value,
    show_default=True,
    help="Who holds the device; unknown is protected.",
)
COUNTRY = click.option(
    "--country", metavar="CODE", help="ISO 3166 country for help, e.g. GB. Default: international help."
)
LANG = click.option(
    "--lang", multiple=True, metavar="TAG", default=("en",), show_default=True, help="Reader's language."
)
RUNTIME = click.option(
    "--runtime",
    type=click.Choice(["auto", "ai-edge-litert", "tflite-runtime"]),
    default="auto",
    show_default=True,
    help="TFLite runtime.",
)
TIER = click.option(
    "--tier",
    type=click.Choice(["auto", "live", "full"]),
    default="auto",
    show_default=True,
    help="How closely to look.",
)
ISOLATION = click.option(
    "--isolation",
    type=click.Choice(["none", "process"]),
    default="none",
    show_default=True,
    help="Run the detectors in a process of their own.",
)
TRIGGER = click.option(
    "--trigger",
    multiple=True,
    metavar="KIND=VALUE",
    help="Test mode: add a finding, e.g. nudity=0.97, subject=0.9, known, state=NO_MODEL, marked=KEY. "
    "Can only protect more.",
)
LISTS = click.option(
    "--list", "lists", multiple=True, metavar="LIST", help="Folder of installed hash lists. May be repeated."
)
TRUST = click.option("--trust", multiple=True, metavar="KEY", help="Public key, or .pub file, of the lists' operator.")
