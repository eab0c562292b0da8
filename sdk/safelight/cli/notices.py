"""``safelight notices``: the words, the services, the dialogue and the guides, for people who make or check them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from safelight.cli._family import open_store, store_options
from safelight.cli.output import print_json
from safelight.decision import Action, AgeBand, Event
from safelight.errors import MediaNotFoundError, SafelightError, UsageError

if TYPE_CHECKING:
    from safelight.notices import BuiltinNotices, Catalogue

_BANDS = [band.value for band in AgeBand]


def _today() -> date:
    return datetime.now(timezone.utc).date()


def _day(_context: click.Context, _parameter: click.Parameter, value: str | None) -> date | None:
    if value is None:
        return None
    try:
        return date.fromisoformat(value)
    except ValueError:
        raise click.BadParameter(f"got {value!r}, expected a day such as 2026-11-21.") from None


def _reader(command: Callable[..., Any]) -> Callable[..., Any]:
    for option in (
        click.option("--json", "as_json", is_flag=True, help="One JSON object a line."),
        click.option("--today", callback=_day, metavar="DAY", help="Say how old readings are on that day."),
        click.option("--lang", default="en", show_default=True, metavar="TAG", help="Reader's language."),
        click.option("--country", metavar="CODE", help="ISO 3166 country. Default: international services."),
    ):
        command = option(command)
    return command


def _words(lang: str) -> tuple[BuiltinNotices, Catalogue]:
    """The words of a language; English is at the end of every path."""
    from safelight.notices import load_builtin

    words = load_builtin((lang,))
    if words.catalogue is None:
        raise SafelightError("notices: got no catalogue that can be read, expected the built-in one; install again.")
    return words, words.catalogue


def _english() -> Catalogue | None:
    from safelight.notices import load_builtin

    return load_builtin().catalogue


@click.group()
def notices() -> None:
    """Show, check and try what is said to people, and who helps them."""


@notices.command()
@click.argument("trigger")
@click.option("--band", type=click.Choice(_BANDS), default="unknown", show_default=True, help="Reader's age band.")
@click.option("--action", type=click.Choice(["NUDGE", "BLUR", "HOLD", "BLOCK"]), default="HOLD", show_default=True)
@click.option("--event", type=click.Choice([event.value for event in Event]), default="view", show_default=True)
@click.option("--asked", is_flag=True, help="TRIGGER is something that the reader asks for.")
@click.option("--unreviewed", is_flag=True, help="Full texts even of a language that nobody has reviewed.")
@click.option("--html", "as_html", is_flag=True, help="A whole HTML page.")
@_reader
def show(
    trigger: str,
    band: str,
    action: str,
    event: str,
    asked: bool,
    unreviewed: bool,
    as_html: bool,
    country: str | None,
    lang: str,
    today: date | None,
    as_json: bool,
) -> None:
    """Show the notice for a TRIGGER, e.g. picture_in_explicit; with --asked e.g. pressured."""
    from safelight.notices import select_asked, select_notice
    from safelight.notices.catalogue import TRIGGERS
    from safelight.notices.render import html_page, notice_data, render_html, render_text

    if trigger not in TRIGGERS:
        raise click.UsageError(f"trigger: got {trigger!r}, expected one of {', '.join(TRIGGERS)}.")
    words, catalogue = _words(lang)
    day = today or _today()
    common: dict[str, Any] = {
        "catalogue": catalogue,
        "directory": words.directory,
        "trigger": trigger,
        "band": AgeBand(band),
        "country": country,
        "languages": (lang,),
        "today": day,
        "unreviewed_languages": (catalogue.lang,) if unreviewed else (),
    }
    notice = select_asked(**common) if asked else select_notice(**common, action=Action[action], event=Event(event))
    if as_json:
        print_json(notice_data(notice, catalogue.texts, today=day, country=country))
    elif as_html:
        body = render_html(notice, catalogue.texts, today=day, country=country, level=1)
        click.echo(html_page(notice.title, body, lang=notice.lang, direction=notice.direction), nl=False)
    else:
        click.echo(render_text(notice, catalogue.texts, today=day, country=country))


@notices.command()
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path))
@click.option("--country", default="GB", show_default=True, metavar="CODE", help="Whose services stand in the notices.")
@click.option("--today", callback=_day, metavar="DAY")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a page, one a line.")
def gallery(folder: Path, country: str, today: date | None, as_json: bool) -> None:
    """Write every notice in every language as HTML pages into FOLDER: for people who review them."""
    from safelight.notices import builtin_languages
    from safelight.notices.gallery import gallery_pages

    written = 0
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with click.progressbar(
            gallery_pages(builtin_languages(), country=country, today=today or _today()),
            length=len(builtin_languages()) + 1,
            label="Pages",
            hidden=as_json,
        ) as pages:
            for name, content in pages:
                (folder / name).write_text(content, encoding="utf-8")
                written += 1
                if as_json:
                    print_json({"page": name, "bytes": len(content.encode("utf-8"))})
    except OSError as error:
        raise SafelightError(
            f"gallery: got {error.strerror or 'an error'} from the file system after {written} pages, expected a "
            "folder that can be written to; name another"
        ) from None
    if not as_json:
        click.echo(f"{written} pages; start with index.html")


@notices.command()
@click.option("--today", callback=_day, metavar="DAY")
@click.option("--country", metavar="CODE", help="Of one country only.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a service, one a line.")
def due(today: date | None, country: str | None, as_json: bool) -> None:
    """List help services that somebody should read at their source again (after 90 days)."""
    from safelight.notices import load_builtin
    from safelight.notices.directory import due as due_services

    found = due_services(load_builtin().directory, today or _today())
    for service, age in found:
        if country is not None and service.country != country.strip().upper():
            continue
        if as_json:
            print_json(
                {
                    "service": service.service,
                    "country": service.country,
                    "state": age.state,
                    "days": age.days,
                    "web_url": service.web_url,
                    "source": service.source,
                }
            )
        else:
            how_old = "never read" if age.days is None else f"{age.days} days"
            click.echo(f"{age.state:<10}  {how_old:>10}  {service.country:<3}  {service.service}")


@notices.command()
@click.option("--file", "files", multiple=True, type=click.Path(dir_okay=False, path_type=Path), metavar="FILE")
@click.option("--strict", is_flag=True, help="Notes count too.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a finding, one a line.")
def lint(files: tuple[Path, ...], strict: bool, as_json: bool) -> None:
    """Check the words of every language, or of FILEs: what is missing, banned, too long or too hard.

    Exits 1 if there is an error. It replaces nobody who knows the readers.
    """
    from dataclasses import asdict

    from safelight.notices import builtin_languages, load_builtin, load_catalogue
    from safelight.notices.lint import Problem, lint_catalogue

    english = _english()
    if english is None:
        raise SafelightError("notices: got no catalogue that can be read, expected the built-in one; install again.")
    problems: list[Problem] = []
    checked: list[str] = []
    if files:
        for path in files:
            catalogue = load_catalogue(english.structure, _content(path), fallback=english)
            checked.append(catalogue.lang)
            problems += lint_catalogue(catalogue)
    else:
        for lang in builtin_languages():
            words = load_builtin((lang,))
            if words.catalogue is None or words.catalogue.lang != lang:
                problems.append(Problem("error", lang, "file", "unreadable", "the built-in file cannot be used"))
            else:
                problems += lint_catalogue(words.catalogue)
            checked.append(lang)
    for problem in problems:
        if as_json:
            print_json(asdict(problem))
        else:
            click.echo(f"{problem.level}: {problem}")
    errors = sum(problem.level == "error" for problem in problems)
    if not as_json:
        click.echo(f"{', '.join(checked)}: {errors} errors, {len(problems) - errors} notes", err=True)
    if errors or (strict and problems):
        raise SystemExit(1)


@notices.command()
@click.option("--band", type=click.Choice(_BANDS), default="13_15", show_default=True, help="Reader's age band.")
@click.option("--step", help="JSON only: where the reader is.")
@click.option("--number", type=int, default=1, help="JSON only: number of that step.")
@click.option("--press", help="JSON only: the button that was pressed there.")
@_reader
def dialogue(
    band: str,
    step: str | None,
    number: int,
    press: str | None,
    country: str | None,
    lang: str,
    today: date | None,
    as_json: bool,
) -> None:
    """Go through the guided dialogue: buttons only, at most five steps, people at the end.

    With --json it is a state machine for hosts: without --step the first step, with --step and --press the next one.
    """
    from safelight.notices.dialogue import Dialogue, Position, dialogue_for
    from safelight.notices.render import service_lines

    words, catalogue = _words(lang)
    day = today or _today()
    talk = Dialogue(
        catalogue,
        dialogue_for(catalogue, AgeBand(band)),
        fallback=_english(),
        directory=words.directory,
        country=country,
        languages=(lang,),
        today=day,
    )
    try:
        here = talk.start() if step is None else talk.at(Position(talk.name, step, number))
        if press is not None:
            here = talk.press(here.position, press)
    except UsageError as error:
        raise click.UsageError(str(error)) from None
    if as_json:
        print_json(here.to_dict())
        return
    texts = catalogue.texts
    while True:
        click.echo(f"\n{here.text}\n")
        for service in here.help:
            click.echo(f"  {service.service}")
            for line in service_lines(service, texts, today=day, country=country):
                click.echo(f"    {line}")
        if here.is_end:
            click.echo(f"\n{texts.help['end']}")
            return
        for index, button in enumerate(here.buttons, start=1):
            click.echo(f"  {index}  {button.label}")
        chosen = click.prompt(">", type=click.IntRange(1, len(here.buttons)), prompt_suffix=" ")
        here = talk.press(here.position, here.buttons[chosen - 1].id)


@notices.command()
@click.argument("file", required=False, type=click.Path(dir_okay=False, path_type=Path))
@click.option("--adult", is_flag=True, help="The person was 18 or older when the picture was taken.")
@_reader
def removal(file: Path | None, adult: bool, country: str | None, lang: str, today: date | None, as_json: bool) -> None:
    """Help to remove a picture of oneself: which service, and what it would be sent. Nothing is sent from here.

    FILE is the picture that the person picked; codes are made from it on this device and shown, and nowhere kept.
    """
    from safelight.notices.removal import picture_codes, removal_guide
    from safelight.notices.render import service_lines

    words, catalogue = _words(lang)
    english = _english()
    day = today or _today()
    try:
        codes = picture_codes(_content(file)) if file is not None else None
    except UsageError as error:
        raise click.UsageError(str(error)) from None
    guide = removal_guide(
        catalogue,
        under_18=not adult,
        country=country,
        codes=codes,
        fallback=english,
        directory=words.directory,
        languages=(lang,),
        today=day,
    )
    if as_json:
        print_json(guide.to_dict())
        return
    click.echo(guide.title)
    for paragraph in guide.paragraphs:
        click.echo(f"\n{paragraph}")
    for service, text in guide.services:
        click.echo(f"\n  {service.name}: {text}\n    {service.web_url}")
    if guide.code_lines:
        click.echo()
        for name, value in guide.code_lines:
            click.echo(f"  {name}: {value}")
    for paragraph in guide.closing:
        click.echo(f"\n{paragraph}")
    for helper in guide.help:
        click.echo(f"\n  {helper.service}")
        for line in service_lines(helper, catalogue.texts, today=day, country=country):
            click.echo(f"    {line}")


@notices.command()
@click.argument("pack", required=False)
@_reader
def education(pack: str | None, country: str | None, lang: str, today: date | None, as_json: bool) -> None:
    """Read an education PACK; without one, list them."""
    from safelight.notices.education import education_pack, education_packs
    from safelight.notices.render import service_lines

    words, catalogue = _words(lang)
    if pack is None:
        for name in education_packs(catalogue):
            if as_json:
                print_json({"id": name})
            else:
                click.echo(name)
        return
    day = today or _today()
    try:
        found = education_pack(
            catalogue,
            pack,
            fallback=_english(),
            directory=words.directory,
            country=country,
            languages=(lang,),
            today=day,
        )
    except UsageError as error:
        raise click.UsageError(str(error)) from None
    if as_json:
        print_json(found.to_dict())
        return
    click.echo(found.title)
    for section in found.sections:
        click.echo(f"\n{section.heading}")
        for paragraph in section.paragraphs:
            click.echo(paragraph)
    for service in found.help:
        click.echo(f"\n  {service.service}")
        for line in service_lines(service, catalogue.texts, today=day, country=country):
            click.echo(f"    {line}")


@notices.command()
@click.option("--export", is_flag=True, help="What may leave the device: noisy counts, small ones left out.")
@click.option("--opt-in", is_flag=True, help="With --export: the person or guardian was asked and chose to share.")
@store_options
def effects(export: bool, opt_in: bool, store_path: Path | None, as_json: bool) -> None:
    """Print what notices did on this device, by week: shown, safe choice, help opened. Sends nothing.

    Counting is off until a guardian turns it on (`safelight policy set counters=on`). Export a week once: every
    export of it has new noise, and several together give more away.
    """
    from safelight.notices.effects import EFFECT_NAMES, export_counts
    from safelight.store import StoreState

    if opt_in and not export:
        raise click.UsageError("--opt-in: got it without --export, expected both; own counts need no consent.")
    with open_store(store_path) as store:
        if store.state not in (StoreState.OK, StoreState.NEW):
            raise SafelightError(
                f"counters: got a store in state {store.state}, expected one that can be read; run: safelight doctor"
            )
        counting = store.counters.on
        weeks = {
            week: {name: counts.get(name, 0) for name in EFFECT_NAMES} for week, counts in store.counters.read().items()
        }
    if export:
        if not counting:
            raise click.UsageError("--export: got a store that counts nothing, expected counters=on; ask the guardian.")
        try:
            weeks = {week: export_counts(counts, opted_in=opt_in) for week, counts in weeks.items()}
        except UsageError as error:
            raise click.UsageError(f"{error} Then give --opt-in.") from None
    # A week without any says that something was counted in it, which is more than an export may.
    weeks = {week: counts for week, counts in weeks.items() if any(counts.values())}
    for week, counts in weeks.items():
        if as_json:
            print_json({"week": week, "exported": export, "counts": counts})
        else:
            click.echo("\n".join([week, *(f"  {count:>6}  {name}" for name, count in counts.items())]))
    if not weeks and not as_json:
        click.echo("Nothing to show." if counting else "Counting is off, and nothing was counted.")


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        raise MediaNotFoundError("file: got none that can be opened, expected one; check the name.") from None
