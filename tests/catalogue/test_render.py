"""Question: can everybody read what is rendered, in the right order, without anything that moves, loads or hurries?

Structure only; tests/browser looks at the same pages with axe where there is a browser.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import date
from html.parser import HTMLParser
from itertools import pairwise

import pytest
from safelight.decision import Action, AgeBand, Event, HelpService
from safelight.notices.catalogue import Catalogue
from safelight.notices.gallery import gallery_pages, language_page
from safelight.notices.render import STYLE, notice_data, render_html, render_text
from safelight.notices.select import select_notice

TODAY = date(2026, 11, 21)
VOID = {"meta", "br", "link", "img", "input"}


class Page(HTMLParser):
    """Elements in reading order, and whether the tags close as they open."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[tuple[str, str]] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if data.strip() and "style" not in self.open:
            self.words.append((self.open[-1] if self.open else "", data.strip()))

    def all(self, tag: str) -> Iterator[dict[str, str | None]]:
        return (attributes for name, attributes in self.elements if name == tag)


@pytest.fixture(scope="module")
def page(catalogue: Catalogue, directory: tuple[HelpService, ...]) -> str:
    return language_page(catalogue, directory, country="GB", today=TODAY)


def one(catalogue: Catalogue, directory: tuple[HelpService, ...], today: date = TODAY, country: str = "GB") -> str:
    notice = select_notice(
        catalogue=catalogue,
        directory=directory,
        trigger="picture_in_explicit",
        action=Action.BLUR,
        band=AgeBand.FROM_13_TO_15,
        event=Event.RECEIVE,
        country=country,
        today=today,
    )
    return render_html(notice, catalogue.texts, today=today, country=country)


def test_reading_order(catalogue: Catalogue, directory: tuple[HelpService, ...]) -> None:
    found = Page(one(catalogue, directory))
    order = [tag for tag, _ in found.elements if tag in ("h2", "p", "button", "h3")]
    assert order[:2] == ["h2", "p"]
    assert order.index("button") < order.index("h3"), "choices before help"
    section = next(found.all("section"))
    assert section["lang"] == "en" and section["dir"] == "ltr"
    assert section["aria-labelledby"] == next(found.all("h2"))["id"]
    assert next(found.all("h2"))["tabindex"] == "-1", "focus can be moved to the title"
    assert all(button["type"] == "button" and button["data-choice"] for button in found.all("button"))
    assert found.words[-1][1].endswith("another look.")


def test_the_page_is_well_formed_and_asks_for_nothing_else(page: str) -> None:
    found = Page(page)
    tags = {tag for tag, _ in found.elements}
    assert not tags & {"script", "img", "iframe", "video", "audio", "link", "object", "form", "blink", "marquee"}
    for _tag, attributes in found.elements:
        assert not any(name.startswith("on") or name in ("src", "srcset", "autoplay", "style") for name in attributes)
        if (address := attributes.get("href")) is not None:
            assert address.startswith("https://")
            assert "?utm" not in address
    assert not [m for m in found.all("meta") if m.get("http-equiv")], "no refresh, no time limit"
    assert next(found.all("html"))["lang"] == "en"
    ids = [attributes["id"] for _, attributes in found.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    assert all(link.get("rel") == "noreferrer noopener" for link in found.all("a"))


def test_headings_skip_no_level(page: str) -> None:
    levels = [int(tag[1]) for tag, _ in Page(page).elements if re.fullmatch("h[1-6]", tag)]
    assert levels[0] == 1 and levels.count(1) == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))


def test_the_style_does_not_move_or_hide() -> None:
    assert not re.search(
        r"animation|transition|@keyframes|url\(|@import|outline:\s*0|outline:\s*none|text-align:\s*left", STYLE
    )
    assert "min-height: 48px" in STYLE and ":focus-visible" in STYLE


def contrast(first: str, second: str) -> float:
    def luminance(colour: str) -> float:
        parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    light, dark = sorted((luminance(first), luminance(second)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def test_contrast_of_both_themes() -> None:
    themes = re.findall(r"--ink: (#\w{6}); --paper: (#\w{6}); --line: (#\w{6}); --action: (#\w{6});", STYLE)
    assert len(themes) == 2
    for ink, paper, line, action in themes:
        assert contrast(ink, paper) >= 7 and contrast(action, paper) >= 4.5 and contrast(line, paper) >= 3


def test_no_number_is_a_link(page: str) -> None:
    assert "tel:" not in page and "sms:" not in page


def test_every_notice_is_on_the_page(catalogue: Catalogue, page: str) -> None:
    from html import unescape

    text = unescape(page)
    for entry in catalogue.notices:
        assert entry.short in text
        for variant in entry.variants:
            assert variant.title in text and variant.body in text


def test_text_data_and_html_say_the_same(catalogue: Catalogue, directory: tuple[HelpService, ...]) -> None:
    notice = select_notice(
        catalogue=catalogue,
        directory=directory,
        trigger="conversation_danger",
        action=Action.BLOCK,
        band=AgeBand.UNDER_10,
        event=Event.MESSAGE,
        country="GB",
        today=TODAY,
    )
    text = render_text(notice, catalogue.texts, today=TODAY, country="GB")
    data = notice_data(notice, catalogue.texts, today=TODAY, country="GB")
    words = " ".join(word for _, word in Page(render_html(notice, catalogue.texts, today=TODAY, country="GB")).words)
    for part in (notice.title, notice.body, notice.why, notice.appeal, *(c.label for c in notice.choices)):
        assert part in text and part in words
    assert "0800 1111" in text and "0800 1111" in words
    assert data["help"][0]["ways"][0]["label"] == "Call 0800 1111"
    assert (data["severity"], data["short"], data["direction"]) == (3, False, "ltr")
    assert any("call log" in line for line in data["help"][0]["lines"])


@pytest.mark.parametrize(("years", "said"), [(0, "2026-11-21"), (3, "months ago and may have changed")])
def test_an_old_number_says_how_old_it_is(
    catalogue: Catalogue, directory: tuple[HelpService, ...], years: int, said: str
) -> None:
    page = one(catalogue, directory, today=date(2026 + years, 11, 22))
    assert said in page
    assert page.index("0800 1111") < page.index("https://www.childline.org.uk/"), "a child line keeps its place"


def test_a_service_of_another_country_says_so(catalogue: Catalogue, directory: tuple[HelpService, ...]) -> None:
    notice = select_notice(
        catalogue=catalogue,
        directory=directory,
        trigger="adult_search",
        action=Action.HOLD,
        band=AgeBand.ADULT,
        event=Event.SEARCH,
        country="AT",
        languages=("de",),
        today=TODAY,
    )
    assert notice.help[0].country == "DE"
    assert "This service is for DE." in render_text(notice, catalogue.texts, today=TODAY, country="AT")


def test_right_to_left_keeps_numbers_together(catalogue: Catalogue, directory: tuple[HelpService, ...]) -> None:
    import json

    import msgspec
    from safelight.notices.catalogue import load_catalogue

    raw = json.loads(msgspec.json.encode(catalogue.texts))
    raw.update(lang="ar", direction="rtl")
    arabic = load_catalogue(catalogue.structure, json.dumps(raw).encode())
    html = one(arabic, directory)
    section = next(Page(html).all("section"))
    assert (section["lang"], section["dir"]) == ("ar", "rtl")
    assert '<bdi dir="ltr">0800 1111</bdi>' in html
    notice = select_notice(
        catalogue=arabic,
        directory=directory,
        trigger="generic",
        action=Action.HOLD,
        band=AgeBand.UNKNOWN,
        event=Event.VIEW,
        country="GB",
        today=TODAY,
    )
    assert "\u20680800 1111\u2069" in render_text(notice, arabic.texts, today=TODAY)
    assert notice.direction == "rtl"
    whole = language_page(arabic, directory, country="GB", today=TODAY)
    assert '<html lang="ar" dir="rtl">' in whole


def test_markup_in_data_stays_text(catalogue: Catalogue) -> None:
    from dataclasses import replace

    notice = select_notice(
        catalogue=catalogue,
        directory=(),
        trigger="generic",
        action=Action.HOLD,
        band=AgeBand.UNKNOWN,
        event=Event.VIEW,
    )
    bad = replace(notice, title="<script>x</script>", help=(replace(notice.help[0], service='"><img src=x>'),))
    html = render_html(bad, catalogue.texts, today=TODAY)
    assert "<script" not in html and "<img" not in html


def test_the_gallery_has_a_page_for_each_language_and_an_index() -> None:
    from safelight.notices import builtin_languages

    names = [name for name, _ in gallery_pages(("en",), country="DE", today=TODAY)]
    assert names == ["en.html", "index.html"]
    assert builtin_languages()[0] == "en"
