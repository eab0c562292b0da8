#!/usr/bin/env python3
"""Writes the table of fields in docs/reporting.md from the registry that the build holds.

    python docs/make_reporting.py            # writes the table
    python docs/make_reporting.py --check    # exit 1 if it differs

Needs Safelight to be importable.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from safelight.reporting.record import fields_markdown

PAGE = Path(__file__).resolve().parent / "reporting.md"
BEGIN, END = "<!-- fields: written by docs/make_reporting.py -->\n", "<!-- /fields -->"


def main(argv: list[str] | None = None) -> int:
    """Run the command line; return the exit status."""
    parser = argparse.ArgumentParser(description="Writes the table of fields in docs/reporting.md.")
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if it differs")
    args = parser.parse_args(argv)
    page = PAGE.read_text(encoding="utf-8")
    before, _, rest = page.partition(BEGIN)
    text = before + BEGIN + fields_markdown() + END + rest.partition(END)[2]
    if not args.check:
        PAGE.write_text(text, encoding="utf-8")
        return 0
    if page == text:
        return 0
    print("different: reporting.md; run again without --check", file=sys.stderr)
    return 1


if __name__ == "__main__":
    raise SystemExit(main())
