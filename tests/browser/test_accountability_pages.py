"""Question: does axe find a failure of WCAG 2.2 AA in the risk register and the transparency report, drawings included?

Needs what ``test_pages.py`` needs, and matplotlib; skipped where one is missing.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from pathlib import Path

import pytest
from golden.make_transparency_v1 import COUNTS
from safelight.accountability.risk import check_register
from safelight.accountability.risk_page import risk_html
from safelight.accountability.transparency import Period, build_report
from safelight.accountability.transparency_page import transparency_html

pytest.importorskip("matplotlib")


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


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", ["risk", "transparency"])
def test_axe_finds_nothing(assert_accessible: Callable[[Path, str], None], pages: Path, name: str, scheme: str) -> None:
    assert_accessible(pages / f"{name}.html", scheme)
