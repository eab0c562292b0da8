#!/usr/bin/env python3
"""Writes docs/coverage.md from the controls that this build declares.

    python docs/make_coverage.py            # writes docs/coverage.md
    python docs/make_coverage.py --check    # exit 1 if it differs

Needs Safelight to be importable.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from safelight.controls import coverage_markdown

PAGE = Path(__file__).resolve().parent / "coverage.md"


def main(argv: list[str] | None = None) -> int:
    """Run the command line; return the exit status."""
    parser = argparse.ArgumentParser(description="Writes docs/coverage.md.")
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if it differs")
    args = parser.parse_args(argv)
    text = coverage_markdown()
    if not args.check:
        PAGE.write_text(text, encoding="utf-8")
        return 0
    if PAGE.is_file() and PAGE.read_text(encoding="utf-8") == text:
        return 0
    print("different: coverage.md; run again without --check", file=sys.stderr)
    return 1


if __name__ == "__main__":
    raise SystemExit(main())
