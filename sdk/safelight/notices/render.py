"""From a notice to plain text, HTML or data, with the services as they are shown today.

The HTML is one accessible section without script, picture, colour alone, movement or time; the page around it brings
its own style and asks for nothing else. Reading order is the order of the source: title, what happened, choices, help,
why, how to object. A host gives the buttons their deeds by ``data-choice``.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from html import escape
from typing import Any

from safelight.decision import HelpService, Notice, help_dict
from safelight.notices.catalogue import Catalogue, LanguageFile
from safelight.notices.dialogue import Step
from safelight.notices.directory import INTERNATIONAL, Way, freshness, keeps_its_place, ways
from safelight.notices.education import EducationPack
from safelight.notices.removal import RemovalGuide
from safelight.notices.select import SHORT

# Names and addresses are written from left to right in every language: without these marks a number falls apart
# inside right-to-left text (Unicode Annex 9, first strong isolate … pop).
_ISOLATE, _POP = "\u2068", "\u2069"

STYLE = """
:root { color-scheme: light dark; --ink: #1b1b1b; --paper: #ffffff; --line: #5c5c5c; --action: #0b4f8a; }
@media (prefers-color-scheme: dark) { :root { --ink: #f2f2f2; --paper: #16181a; --line: #a8a8a8; --action: #9ccbff; } }
body { margin: 0 auto; padding: 1rem; max-width: 44rem; background: var(--paper); color: var(--ink);
  font: 1.125rem/1.5 system-ui, sans-serif; overflow-wrap: anywhere; }
a { color: var(--action); }
.notice { border: 2px solid var(--line); border-radius: .5rem; padding: 1rem; margin: 1.5rem 0; }
.notice h2, .notice h3, .notice h4, .notice h5 { margin-block: .25rem .5rem; }
.choices { display: flex; flex-wrap: wrap; gap: .75rem; list-style: none; padding: 0; }
button { min-height: 48px; min-width: 48px; padding: .5rem 1rem; font: inherit; color: var(--action);
  background: var(--paper); border: 2px solid var(--action); border-radius: .5rem; }
:focus-visible { outline: 3px solid var(--action); outline-offset: 3px; }
.services { padding-inline-start: 1.25rem; }
.services a { display: inline-block; min-height: 24px; }
.note { font-size: 1rem; }
"""


def service_lines(service: HelpService, texts: LanguageFile, *, today: date, country: str | None) -> tuple[str, ...]:
    """How to reach a service, in words: ways in their order, then how old the reading is."""
    words = texts.help
    lines = [_way_text(way, texts) for way in ways(service, today)]
    if any(way.kind in ("phone", "sms") for way in ways(service, today)):
        lines.append(words["call_log"])
    age = freshness(service, today)
    if age.state == "unverified":
        lines.append(words["unverified"])
    elif age.state == "old":
        words_for_age = words["old_kept" if keeps_its_place(service) else "old"]
        lines.append(words_for_age.format(months=age.months))
    elif service.read_on is not None and (service.phone or service.sms):
        lines.append(words["read_on"].format(date=_isolate_if(service.read_on.isoformat(), texts.direction)))
    if country is not None and service.country not in (INTERNATIONAL, _code(country)):
        lines.append(words["country_other"].format(country=_isolate_if(service.country, texts.direction)))
    return tuple(lines)


def render_text(notice: Notice, texts: LanguageFile, *, today: date, country: str | None = None) -> str:
    """The notice as plain text, for terminals and logs of a person's own choosing.

    Args:
        notice: from :func:`~safelight.notices.select_notice`.
        texts: of the catalogue that the notice came from.
        today: says how old a reading is.
        country: of the reader, to mark services of other countries.
    """
    parts = [notice.title, notice.body, ""]
    parts += [f"  [{choice.label}]" for choice in notice.choices]
    parts += ["", texts.help["heading"]]
    for service in notice.help:
        parts.append(f"  {_isolate_if(service.service, notice.direction)}")
        parts += [f"    {line}" for line in service_lines(service, texts, today=today, country=country)]
    parts += ["", notice.why, notice.appeal]
    return "\n".join(parts)


def render_html(
    notice: Notice, texts: LanguageFile, *, today: date, country: str | None = None, level: int = 2, key: str = "notice"
) -> str:
    """The notice as one HTML section.

    Args:
        notice, texts, today, country: as for :func:`render_text`.
        level: of the title's heading, 1 to 5.
        key: makes ids unique on a page; letters, digits, ``-`` and ``_``.
    """
    words = texts.help
    out = [
        f'<section class="notice" id="{key}" lang="{escape(notice.lang)}" dir="{notice.direction}" '
        f'aria-labelledby="{key}-title">',
        f'<h{level} id="{key}-title" tabindex="-1">{escape(notice.title)}</h{level}>',
        f"<p>{escape(notice.body)}</p>",
        f'<ul class="choices" aria-label="{escape(words["choices"])}">',
    ]
    out += [
        f'<li><button type="button" data-choice="{escape(choice.id)}">{escape(choice.label)}</button></li>'
        for choice in notice.choices
    ]
    out.append("</ul>")
    out.append(_services_html(notice.help, texts, today=today, country=country, level=level + 1))
    out.append(f'<p class="note">{escape(notice.why)}</p>')
    out.append(f'<p class="note">{escape(notice.appeal)}</p>')
    out.append("</section>")
    return "\n".join(out)


def notice_data(notice: Notice, texts: LanguageFile, *, today: date, country: str | None = None) -> dict[str, Any]:
    """Everything a native host needs to draw the notice itself, as JSON-ready values."""
    return {
        "id": notice.id,
        "lang": notice.lang,
        "direction": notice.direction,
        "severity": notice.severity,
        "short": notice.id.endswith(f"/{SHORT}"),
        "title": notice.title,
        "body": notice.body,
        "choices": [{"id": choice.id, "label": choice.label} for choice in notice.choices],
        "help_heading": texts.help["heading"],
        "help": [
            {
                **help_dict(service),
                "ways": [
                    {"kind": way.kind, "value": way.value, "label": _way_text(way, texts)}
                    for way in ways(service, today)
                ],
                "age": freshness(service, today).state,
                "lines": list(service_lines(service, texts, today=today, country=country)),
            }
            for service in notice.help
        ],
        "why": notice.why,
        "appeal": notice.appeal,
    }


def step_html(step: Step, texts: LanguageFile, *, today: date, country: str | None = None, key: str = "step") -> str:
    """One step of a dialogue as an HTML section."""
    words = texts.help
    heading = words["step"].format(number=step.position.number, total=step.at_most)
    out = [
        f'<section class="notice" id="{key}" lang="{escape(step.lang)}" dir="{step.direction}" '
        f'aria-labelledby="{key}-title">',
        f'<h2 id="{key}-title" tabindex="-1">{escape(heading)}</h2>',
        f"<p>{escape(step.text)}</p>",
    ]
    if step.buttons:
        out.append(f'<ul class="choices" aria-label="{escape(words["choices"])}">')
        out += [
            f'<li><button type="button" data-choice="{escape(button.id)}">{escape(button.label)}</button></li>'
            for button in step.buttons
        ]
        out.append("</ul>")
    else:
        out.append(f'<p class="note">{escape(words["end"])}</p>')
    if step.help:
        out.append(_services_html(step.help, texts, today=today, country=country, level=3))
    out.append("</section>")
    return "\n".join(out)


def education_html(
    pack: EducationPack, texts: LanguageFile, *, today: date, country: str | None = None, key: str = "education"
) -> str:
    """An education pack as an HTML section."""
    out = [
        f'<section class="notice" id="{key}" lang="{escape(pack.lang)}" dir="{pack.direction}" '
        f'aria-labelledby="{key}-title">',
        f'<h2 id="{key}-title" tabindex="-1">{escape(pack.title)}</h2>',
    ]
    for section in pack.sections:
        out.append(f"<h3>{escape(section.heading)}</h3>")
        out += [f"<p>{escape(paragraph)}</p>" for paragraph in section.paragraphs]
    out.append(_services_html(pack.help, texts, today=today, country=country, level=3))
    out.append("</section>")
    return "\n".join(out)


def removal_html(
    guide: RemovalGuide, texts: LanguageFile, *, today: date, country: str | None = None, key: str = "removal"
) -> str:
    """The image-removal guide as an HTML section; the codes of the file stand in it if there are any."""
    out = [
        f'<section class="notice" id="{key}" lang="{escape(guide.lang)}" dir="{guide.direction}" '
        f'aria-labelledby="{key}-title">',
        f'<h2 id="{key}-title" tabindex="-1">{escape(guide.title)}</h2>',
    ]
    out += [f"<p>{escape(paragraph)}</p>" for paragraph in guide.paragraphs]
    out.append('<ul class="services">')
    out += [
        f'<li><a href="{escape(one.web_url)}" rel="noreferrer noopener"><bdi>{escape(one.name)}</bdi></a>: '
        f"{escape(text)}</li>"
        for one, text in guide.services
    ]
    out.append("</ul>")
    if guide.code_lines:
        out.append(f"<h3>{escape(texts.removal['codes'])}</h3><dl>")
        out += [
            f'<dt>{escape(name)}</dt><dd dir="ltr"><code>{escape(value)}</code></dd>'
            for name, value in guide.code_lines
        ]
        out.append("</dl>")
    out += [f"<p>{escape(line)}</p>" for line in guide.closing]
    out.append(_services_html(guide.help, texts, today=today, country=country, level=3))
    out.append("</section>")
    return "\n".join(out)


def html_page(title: str, body: str, *, lang: str, direction: str = "ltr") -> str:
    """A whole page around rendered sections: no script, no outside asset, nothing that moves."""
    return (
        f'<!doctype html>\n<html lang="{escape(lang)}" dir="{direction}">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="referrer" content="no-referrer">\n'
        f"<title>{escape(title)}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<main>\n"
        f"{body}\n</main>\n</body>\n</html>\n"
    )


def gallery_index(catalogues: Sequence[Catalogue]) -> str:
    """The page that lists the languages."""
    rows = "\n".join(
        f'<li><a href="{escape(one.lang)}.html" hreflang="{escape(one.lang)}">{escape(one.lang)}</a>: '
        f"{len(one.texts.notices)} notices, {sum(len(e.variants) for e in one.texts.notices.values())} wordings</li>"
        for one in catalogues
    )
    return html_page("Safelight: every notice", f"<h1>Every notice, by language</h1>\n<ul>\n{rows}\n</ul>", lang="en")


def _services_html(
    services: Sequence[HelpService], texts: LanguageFile, *, today: date, country: str | None, level: int
) -> str:
    out = [f"<h{level}>{escape(texts.help['heading'])}</h{level}>", '<ul class="services">']
    for service in services:
        shown = ways(service, today)
        links = [f"<li>{_way_html(way, service, texts)}</li>" for way in shown]
        notes = service_lines(service, texts, today=today, country=country)[len(shown) :]
        out.append(
            f"<li><bdi>{escape(service.service)}</bdi><ul>{''.join(links)}</ul>"
            + "".join(f'<p class="note">{escape(note)}</p>' for note in notes)
            + "</li>"
        )
    out.append("</ul>")
    return "\n".join(out)


def _way_text(way: Way, texts: LanguageFile) -> str:
    words = texts.help
    if way.kind in ("phone", "sms"):
        return words[way.kind].format(number=_isolate_if(way.value, texts.direction))
    return f"{words[way.kind]}: {_isolate_if(way.value, texts.direction)}"


def _way_html(way: Way, service: HelpService, texts: LanguageFile) -> str:
    words = texts.help
    if way.kind in ("phone", "sms"):
        # No link: nothing is dialled by a first touch.
        before, _, after = words[way.kind].partition("{number}")
        return f'{escape(before)}<bdi dir="ltr">{escape(way.value)}</bdi>{escape(after)}'
    # The name is part of the link's words: a screen reader may list links without what stands around them.
    return (
        f'<a href="{escape(way.value)}" rel="noreferrer noopener">{escape(words[way.kind])}: '
        f"<bdi>{escape(service.service)}</bdi></a>"
    )


def _isolate_if(text: str, direction: str) -> str:
    return f"{_ISOLATE}{text}{_POP}" if direction == "rtl" else text


def _code(country: str) -> str:
    return {"UK": "GB", "EL": "GR"}.get(country.strip().upper(), country.strip().upper())
