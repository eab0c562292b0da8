#!/usr/bin/env python3
"""Writes docs/risk-register.md and docs/redesign-log.md from the TOML files beside them.

    python docs/make_accountability.py            # writes both
    python docs/make_accountability.py --check    # exit 1 if one differs, or a file does not pass

Needs Safelight to be importable. The register is checked for the day of its latest review: what is overdue today,
`safelight risk docs/risk.toml` says.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import msgspec
from safelight.accountability.redesign import check_log, log_markdown
from safelight.accountability.risk import check_register
from safelight.accountability.risk_page import risk_markdown

DOCS = Path(__file__).resolve().parent


def main(argv: list[str] | None = None) -> int:
    """Run the command line; return the exit status."""
    parser = argparse.ArgumentParser(description="Writes docs/risk-register.md and docs/redesign-log.md.")
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if one differs")
    args = parser.parse_args(argv)
    content = (DOCS / "risk.toml").read_bytes()
    day = max(risk["reviewed_on"] for risk in msgspec.toml.decode(content)["risk"])
    register = check_register(content, today=day, root=DOCS.parent)
    log = check_log((DOCS / "redesign-log.toml").read_bytes(), today=day, root=DOCS.parent)
    for problem in (*register.problems, *log.problems):
        print(problem, file=sys.stderr)
    status = 0 if register.passes and log.passes else 1
    for name, text in (("risk-register.md", risk_markdown(register)), ("redesign-log.md", log_markdown(log))):
        page = DOCS / name
        made = f"<!-- Written by docs/make_accountability.py from the TOML file beside it: edit that. -->\n\n{text}"
        if not args.check:
            page.write_text(made, encoding="utf-8")
        elif not page.is_file() or page.read_text(encoding="utf-8") != made:
            print(f"different: {name}; run again without --check", file=sys.stderr)
            status = 1
    return status


if __name__ == "__main__":
    raise SystemExit(main())
