"""A real browser, and axe in it. Chromium, playwright and axe-playwright-python are no dependency: skipped without."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

RULES = {"runOnly": {"type": "tag", "values": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]}}


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    sync_api = pytest.importorskip("playwright.sync_api")
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        pytest.skip("no Chromium here")
    with sync_api.sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield opened
        opened.close()


@pytest.fixture(scope="module")
def assert_accessible(browser: Any) -> Callable[[Path, str], None]:
    """Opens a file as on a small phone: axe finds nothing, nothing else is asked for, nothing moves or hangs over."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright")

    def look(file: Path, scheme: str) -> None:
        page = browser.new_page(color_scheme=scheme, viewport={"width": 360, "height": 740})
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        page.goto(file.as_uri())
        results = axe.Axe().run(page, options=RULES)
        assert [(v["id"], v["nodes"][0]["html"][:120]) for v in results.response["violations"]] == []
        assert len(asked) == 1, "the page asks for nothing else"
        assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"), "no sideways scrolling"
        assert page.evaluate("document.getAnimations().length") == 0
        page.close()

    return look
