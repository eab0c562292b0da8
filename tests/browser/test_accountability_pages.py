"""Question: does axe find a failure of WCAG 2.2 AA in the risk register and the transparency report, drawings included?

Needs what ``test_pages.py`` needs, and matplotlib; skipped where one is missing.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from golden.make_transparency_v1 import COUNTS
from safelight.accountability.risk import check_register
from safelight.accountability.risk_page import risk_html
from safelight.accountability.transparency import Period, build_report
from safelight.accountability.transparency_page import transparency_html

sync_api = pytest.importorskip("playwright.sync_api")
axe = pytest.importorskip("axe_playwright_python.sync_playwright")
pytest.importorskip("matplotlib")
CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here")

RULES = {"runOnly": {"type": "tag", "values": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]}}


@pytest.fixture(scope="module")
def pages(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    from safelight.accountability.plots import draw_counts

    found = tmp_path_factory.mktemp("pages")
    spans = [(date(2026, 10, 1), date(2026, 10, 31)), (date(2026, 11, 1), date(2026, 11, 30))]
    report = build_report([Period(*span, COUNTS) for span in spans], product="An example", source="collector")
    register = check_register((root / "docs/risk.toml").read_bytes(), today=date(2026, 11, 22))
    (found / "transparency.html").write_text(transparency_html(report, draw=draw_counts), encoding="utf-8")
    (found / "risk.html").write_text(risk_html(register), encoding="utf-8")
    return found


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with sync_api.sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield opened
        opened.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", ["risk", "transparency"])
def test_axe_finds_nothing(browser: Any, pages: Path, name: str, scheme: str) -> None:
    page = browser.new_page(color_scheme=scheme, viewport={"width": 360, "height": 740})
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto((pages / f"{name}.html").as_uri())
    results = axe.Axe().run(page, options=RULES)
    found = [(v["id"], v["nodes"][0]["html"][:120]) for v in results.response["violations"]]
    assert found == []
    assert len(asked) == 1, "the page asks for nothing else"
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"), "no sideways scrolling at 360 px"
    page.close()
