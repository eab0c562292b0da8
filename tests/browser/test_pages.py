"""Question: does axe find a failure of WCAG 2.2 AA in the pages, in a real browser, from left and from right?

Needs Chromium, playwright and axe-playwright-python (none of them a dependency): skipped where one is missing.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from safelight.notices import builtin_languages, load_builtin
from safelight.notices.gallery import gallery_pages, language_page

TODAY = date(2026, 11, 21)
# Every kind of section; axe takes minutes over the 500 of a whole page (SAFELIGHT_SOAK=1).
ENTRIES = 6


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    found = tmp_path_factory.mktemp("gallery")
    for name, content in gallery_pages(builtin_languages(), country="GB", today=TODAY):
        lang = name.removesuffix(".html")
        if lang != "index" and not os.environ.get("SAFELIGHT_SOAK"):
            words = load_builtin((lang,))
            assert words.catalogue is not None
            few = replace(words.catalogue, notices=words.catalogue.notices[:: len(words.catalogue.notices) // ENTRIES])
            content = language_page(few, words.directory, country="GB", today=TODAY)
        (found / name).write_text(content, encoding="utf-8")
    return found


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", ["index", *builtin_languages()])
def test_axe_finds_nothing(
    assert_accessible: Callable[[Path, str], None], folder: Path, name: str, scheme: str
) -> None:
    assert_accessible(folder / f"{name}.html", scheme)


def test_buttons_can_be_reached_by_keyboard_and_are_large_enough(browser: Any, folder: Path) -> None:
    page = browser.new_page(viewport={"width": 360, "height": 740})
    page.goto((folder / "en.html").as_uri())
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.tagName") == "BUTTON"
    smallest = page.evaluate(
        "Math.min(...[...document.querySelectorAll('button')].map(b => Math.min(b.offsetWidth, b.offsetHeight)))"
    )
    assert smallest >= 48
    page.close()


@pytest.mark.parametrize("name", builtin_languages())
def test_direction_is_what_the_language_says(browser: Any, folder: Path, name: str) -> None:
    page = browser.new_page()
    page.goto((folder / f"{name}.html").as_uri())
    expected = "rtl" if name.split("-")[0] in ("ar", "fa", "he", "ur") else "ltr"
    section = page.locator("section.notice").first
    assert section.evaluate("e => getComputedStyle(e).direction") == expected
    page.close()
