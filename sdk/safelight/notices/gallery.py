"""Every notice in every language as pages, for people who review words."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date
from html import escape

from safelight.decision import Choice, HelpService, Notice
from safelight.notices.builtin import load_builtin
from safelight.notices.catalogue import Catalogue, Entry, Variant
from safelight.notices.dialogue import Dialogue, Step
from safelight.notices.directory import find_help
from safelight.notices.education import education_pack, education_packs
from safelight.notices.removal import removal_guide
from safelight.notices.render import education_html, gallery_index, html_page, removal_html, render_html, step_html
from safelight.notices.select import SHORT


def gallery_pages(languages: Sequence[str], *, country: str | None, today: date) -> Iterator[tuple[str, str]]:
    """``(file name, HTML)`` of each language's page, and of the index at the end.

    Args:
        languages: tags of built-in languages; one that cannot be read is left out of the index.
        country: whose services stand in the notices.
        today: says how old their readings are.
    """
    shown = []
    for lang in languages:
        words = load_builtin((lang,))
        if words.catalogue is None or words.catalogue.lang != lang:
            continue
        shown.append(words.catalogue)
        yield f"{lang}.html", language_page(words.catalogue, words.directory, country=country, today=today)
    yield "index.html", gallery_index(shown)


def language_page(catalogue: Catalogue, directory: Sequence[HelpService], *, country: str | None, today: date) -> str:
    """Everything that this language says, on one page."""
    texts = catalogue.texts
    out = [f"<h1>Safelight · {escape(catalogue.lang)} · {escape(catalogue.version)}</h1>"]
    for number, entry in enumerate(catalogue.notices):
        if entry.lang != catalogue.lang:
            continue
        help_ = find_help(directory, country=country, audiences=entry.help, languages=(catalogue.lang,), today=today)
        out.append(f'<h2 lang="en" dir="ltr">{escape(_caption(entry))}</h2>')
        choices = entry.choices(next(iter(entry.shape.choices)))
        forms = (*entry.variants, Variant(SHORT, "written", entry.variants[0].title, entry.short))
        for variant in forms:
            out.append(f'<p class="note" lang="en" dir="ltr">{escape(variant.id)} · {escape(variant.review)}</p>')
            # The services are the same for every wording: once is enough to look at.
            services = help_ if variant is forms[0] else help_[:1]
            notice = _notice(entry, variant, choices, services)
            out.append(render_html(notice, texts, today=today, country=country, level=3, key=f"n{number}-{variant.id}"))
    for shape in catalogue.structure.dialogues:
        if shape.id not in texts.dialogues:
            continue
        out.append(f'<h2 lang="en" dir="ltr">{escape(shape.id)}</h2>')
        talk = Dialogue(
            catalogue, shape.id, directory=directory, country=country, languages=(catalogue.lang,), today=today
        )
        for step in _steps(talk):
            key = f"d-{shape.id}-{step.position.step}".replace(".", "-")
            out.append(step_html(step, texts, today=today, country=country, key=key))
    if texts.removal:
        for under_18 in (True, False):
            guide = removal_guide(
                catalogue,
                under_18=under_18,
                country=country,
                directory=directory,
                languages=(catalogue.lang,),
                today=today,
            )
            out.append(removal_html(guide, texts, today=today, country=country, key=f"removal-{int(under_18)}"))
    for name in education_packs(catalogue):
        if name in texts.education:
            pack = education_pack(
                catalogue, name, directory=directory, country=country, languages=(catalogue.lang,), today=today
            )
            out.append(education_html(pack, texts, today=today, country=country, key=f"education-{name}"))
    out += [f"<p>{escape(text)}</p>" for text in texts.redress.values()]
    return html_page(f"Safelight: {catalogue.lang}", "\n".join(out), lang=catalogue.lang, direction=texts.direction)


def _caption(entry: Entry) -> str:
    shape = entry.shape
    when = "asked for" if shape.asked else ", ".join(shape.actions)
    return f"{shape.id} · severity {shape.severity} · {when} · {', '.join(band.value for band in shape.bands)}"


def _notice(entry: Entry, variant: Variant, choices: tuple[Choice, ...], help_: tuple[HelpService, ...]) -> Notice:
    return Notice(
        id=f"{entry.id}/{variant.id}",
        lang=entry.lang,
        title=variant.title,
        body=variant.body,
        why=entry.why,
        choices=choices,
        appeal=entry.appeal,
        help=help_,
        direction=entry.direction,
        severity=entry.shape.severity,
    )


def _steps(talk: Dialogue) -> Iterator[Step]:
    """Every step once, in the order in which buttons lead to them."""
    seen: set[str] = set()
    waiting = [talk.start()]
    while waiting:
        step = waiting.pop(0)
        if step.position.step in seen:
            continue
        seen.add(step.position.step)
        yield step
        waiting += [talk.press(step.position, button.id) for button in step.buttons]
