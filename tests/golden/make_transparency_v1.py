#!/usr/bin/env python3
"""Writes the golden transparency report: python tests/golden/make_transparency_v1.py. Look at what changed."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path

from safelight.accountability.transparency import Period, build_report, report_csv
from safelight.accountability.transparency_page import transparency_html, transparency_markdown

FOLDER = Path(__file__).parent / "transparency_v1"
COUNTS = {
    "action.allow": 4120,
    "action.nudge": 61,
    "action.blur": 12,
    "action.hold": 3,
    "action.block": 0,
    "choice.stop": 44,
    "choice.continue": 25,
    "help.opened": 11,
    "appeal.asked": 14,
    "appeal.restored": 2,
    "notice.shown": 76,
    "notice.repeated": 15,
    "notice.false_alarm": 4,
    "records.stored": 320,
    "records.made_by.list_match": 300,
    "records.made_by.person": 20,
    "records.category.known_material": 300,
    "records.category.not_sure": 12,
    "unknown.counter": 5,
}


def made() -> dict[str, str]:
    """File name to content."""
    first = Period(date(2026, 10, 1), date(2026, 10, 31), COUNTS)
    second = Period(date(2026, 11, 1), date(2026, 11, 30), {name: 2 * count for name, count in COUNTS.items()})
    report = build_report([first, second], product="An example", source="collector")
    return {
        "report.md": transparency_markdown(report),
        "report.html": transparency_html(report),
        "report.csv": report_csv(report),
        "report.json": json.dumps(report.to_dict(), indent=1) + "\n",
    }


if __name__ == "__main__":
    for name, text in made().items():
        (FOLDER / name).write_text(text, encoding="utf-8")
