"""``safelight report``: a person's own report. No name, no picture needed, never without a second yes."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from safelight.cli import _options as options
from safelight.cli._family import asks_a_person, usage
from safelight.cli.outbox import open_outbox, outbox_options
from safelight.cli.output import console, help_text, print_json
from safelight.decision import help_dict
from safelight.errors import MediaNotFoundError, UsageError

if TYPE_CHECKING:
    from safelight.decision import HelpService
    from safelight.reporting import Collector, HashRecord, PictureHash
    from safelight.reporting.words import ReportWords

_AUDIENCES = ("child", "anyone_reporting", "crisis")


@click.command()
@click.argument("file", required=False, type=click.Path(dir_okay=False))
@click.option("--category", metavar="WORD", help="What it is about, e.g. not_sure; asked for when left out.")
@click.option("--yes", is_flag=True, help="The second yes, for programs that have shown what would go.")
@click.option("--receipt", metavar="NUMBER", help="Look up what became of an earlier report; sends nothing.")
@click.option("--country", metavar="CODE", help="ISO 3166 country, e.g. GB. Default: international services.")
@options.LANG
@outbox_options
def report(
    file: str | None,
    category: str | None,
    yes: bool,
    receipt: str | None,
    country: str | None,
    lang: tuple[str, ...],
    outbox_path: Path | None,
    as_json: bool,
) -> None:
    """Tell somebody what worries you: no name, and no picture needed.

    FILE, if you name one, stays here; only a code made from it would go. You see all that would go before anything is
    kept, and services of your country that you can turn to instead. Nothing is kept or sent without a second yes.
    """
    from safelight.reporting.record import person_category
    from safelight.reporting.words import load_report_words

    words = load_report_words()
    services = _services(country, lang)
    with open_outbox(outbox_path) as box:
        if receipt is not None:
            try:
                entry = box.receipt(receipt)
            except UsageError as error:
                raise usage(error) from None
            _tell_receipt(entry.to_dict(), words.states[entry.state], services, as_json=as_json)
            return
        collector = box.collector
        if collector is None:
            _tell_off(words, services, as_json=as_json)
            return
        if category is None:
            category = _ask_category(words)
        try:
            chosen = person_category(category)
            picture = _hash(file) if file is not None else None
        except UsageError as error:
            raise usage(error) from None
        would_send = _draft(chosen.value, picture)
        if not as_json:
            _show(words, would_send, collector, services, file=file)
        if not (yes or _second_yes(words, as_json=as_json)):
            if as_json:
                print_json(_outcome(False, None, would_send, words, collector, services))
            else:
                click.echo(words.not_kept)
            return
        kept = box.report(chosen, picture=picture)
    if as_json:
        print_json(_outcome(True, kept.to_dict(), would_send, words, collector, services))
        return
    click.echo("\n" + words.kept.format(collector=collector.name))
    click.echo(words.receipt.format(id=kept.id))
    click.echo(f"  safelight report --receipt {kept.id}\n  safelight outbox purge --number {kept.id}")
    for line in words.what_next(collector.name):
        click.echo(f"  › {line}")


def _services(country: str | None, languages: tuple[str, ...]) -> tuple[HelpService, ...]:
    from safelight.guard import Guard
    from safelight.policy import Profile

    try:
        with Guard(Profile(country=country, languages=languages), detectors=()) as guard:
            return guard.help(audiences=_AUDIENCES)
    except UsageError as error:
        raise usage(error) from None


def _ask_category(words: ReportWords) -> str:
    if not asks_a_person():
        raise click.UsageError(
            f"--category: got none and no terminal to ask at, expected one of {', '.join(words.categories)}."
        )
    click.echo(f"{words.title}\n\n{words.intro}\n\n{words.ask_category}")
    names = list(words.categories)
    for number, name in enumerate(names, 1):
        click.echo(f"  {number}  {words.categories[name]}")
    return names[click.prompt(">", type=click.IntRange(1, len(names)), prompt_suffix=" ") - 1]


def _hash(file: str) -> PictureHash:
    from safelight.reporting import hash_picture

    try:
        return hash_picture(file)
    except MediaNotFoundError as error:
        raise UsageError(f"FILE: {error}") from None


def _draft(category: str, picture: PictureHash | None) -> HashRecord:
    """What would go; number, name of this month and day are drawn when it is kept."""
    from datetime import datetime, timezone

    from safelight.reporting.record import person_record

    today = datetime.now(timezone.utc).date()
    return person_record(category, record_id="0" * 32, pseudonym="0" * 32, day=today, picture=picture)


def _shown(record: HashRecord) -> dict[str, Any]:
    drawn = {"id": "a random number", "pseudonym": "a random name of this month"}
    return {name: drawn.get(name, value) for name, value in record.to_dict().items()}


def _show(
    words: ReportWords,
    record: HashRecord,
    collector: Collector,
    services: tuple[HelpService, ...],
    *,
    file: str | None,
) -> None:
    click.echo(f"\n{words.lines}")
    for service in services:
        console().print(help_text(service))
    if file is not None:
        click.echo(f"\n{words.file}")
    click.echo(f"\n{words.would_send}")
    for name, value in _shown(record).items():
        click.echo(f"  {name}: {'–' if value is None else value}")
    click.echo(words.to.format(collector=collector.name, host=_host(collector)))


def _second_yes(words: ReportWords, *, as_json: bool) -> bool:
    if as_json or not asks_a_person():
        return False
    return click.confirm(words.ask, default=False)


def _tell_off(words: ReportWords, services: tuple[HelpService, ...], *, as_json: bool) -> None:
    if as_json:
        print_json({"queued": False, "state": "OFF", "services": [help_dict(one) for one in services]})
        return
    click.echo(words.off)
    for service in services:
        console().print(help_text(service))


def _tell_receipt(entry: dict[str, Any], says: str, services: tuple[HelpService, ...], *, as_json: bool) -> None:
    if as_json:
        print_json({"receipt": entry, "says": says, "services": [help_dict(one) for one in services]})
        return
    click.echo(f"{entry['id']}: {says}")
    for service in services:
        console().print(help_text(service))
    sys.stdout.flush()


def _outcome(
    queued: bool,
    receipt: dict[str, Any] | None,
    record: HashRecord,
    words: ReportWords,
    collector: Collector,
    services: tuple[HelpService, ...],
) -> dict[str, Any]:
    return {
        "queued": queued,
        "state": "OK",
        "receipt": receipt,
        "would_send": _shown(record),
        "to": {"name": collector.name, "host": _host(collector)},
        "what_next": list(words.what_next(collector.name)) if queued else [],
        "services": [help_dict(one) for one in services],
    }


def _host(collector: Collector) -> str:
    return collector.url.partition("://")[2].partition("/")[0]
