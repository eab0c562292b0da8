#!/usr/bin/env python3
"""Makes the help directory (JSON) from the sourced table of services (CSV). Standard library only.

    python deterrence/tools/import_helplines.py TABLE.csv deterrence/help/helplines.json
    python deterrence/tools/import_helplines.py TABLE.csv deterrence/help/helplines.json --check

The table is edited by people who read each service at its source; this tool takes over what was read and
nothing else. A row whose ``confidence`` is not ``read`` keeps its web address alone: no number, no code,
no date. The same table always gives the same bytes.

Exits 0 (written, or the same), 1 (``--check`` found a difference, or the table is not as expected),
2 (usage).
"""

from __future__ import annotations

import argparse
import csv
import json
import re
import sys
from datetime import date
from pathlib import Path
from typing import Any

SCHEMA = 1

COLUMNS = (
    "service",
    "organisation",
    "country_iso2",
    "audience",
    "languages",
    "phone",
    "sms",
    "chat_url",
    "web_url",
    "report_url",
    "hours",
    "anonymous",
    "free",
    "source",
    "source_date_if_known",
    "confidence",
    "read_on",
    "checked_live",
)
AUDIENCES = frozenset(
    {
        "child",
        "child_concerned_about_own_behaviour",
        "adult_concerned_about_own_behaviour",
        "parent_or_carer",
        "anyone_reporting",
        "victim_image_removal",
        "victim_image_removal_adult",
        "crisis",
    }
)
CONFIDENCES = frozenset({"read", "widely_known_unverified"})
YES_NO: dict[str, bool | None] = {"yes": True, "no": False, "unknown": None, "": None}

# The table has one audience for image removal whatever the age, while this service takes adults only, as
# its name there says. Without the split a child could be sent to it and an adult to a service for children.
AUDIENCE_NARROWED = {
    ("StopNCII (adults 18+)", "victim_image_removal"): "victim_image_removal_adult",
}


# The table's mark for "nobody has read this"; it must not be shown as if it were a name.
NOT_READ = "not read"


class TableError(Exception):
    """The table is not as expected; the message names the line and never what it says."""


def convert(rows: list[dict[str, str]]) -> dict[str, Any]:
    """Returns the directory for the table's ``rows``, in their order.

    Raises:
        TableError: a row lacks what it must have, or has a value that nobody defined.
    """
    # Line 1 is the header; a quoted line break would shift the rest, and the table has none.
    services = [_convert_row(row, line) for line, row in enumerate(rows, start=2)]
    read_on = [service["read_on"] for service in services if service["read_on"] is not None]
    if not read_on:
        raise TableError("got no row that was read at a source; expected at least one; is this the table?")
    return {"schema": SCHEMA, "version": max(read_on), "services": services}


def _convert_row(row: dict[str, str], line: int) -> dict[str, Any]:
    def need(condition: object, expected: str) -> None:
        if not condition:
            raise TableError(f"line {line}: expected {expected}; correct the table and run again")

    read = row["confidence"] == "read"
    audience = [AUDIENCE_NARROWED.get((row["service"], name), name) for name in row["audience"].split("|") if name]
    languages = [tag for tag in row["languages"].split("|") if tag]

    need(row["service"] and row["organisation"], "a service and an organisation")
    need(re.fullmatch(r"[A-Z]{2}|INT", row["country_iso2"]), "two capital letters or INT as country_iso2")
    need(audience and AUDIENCES.issuperset(audience), "known audiences, joined with |")
    need(languages, "at least one language")
    need(row["confidence"] in CONFIDENCES, f"confidence as one of {sorted(CONFIDENCES)}")
    need(row["web_url"], "a web_url: it is all that is shown if a number turns out wrong")
    for column in ("chat_url", "web_url", "report_url"):
        need(not row[column] or row[column].startswith("https://"), f"https:// in {column}")
    for column in ("anonymous", "free", "checked_live"):
        need(row[column] in YES_NO, f"yes, no or unknown as {column}")
    if read:
        need(row["source"], "a source, as confidence is read")
        try:
            date.fromisoformat(row["read_on"])
        except ValueError:
            need(False, "a date YYYY-MM-DD as read_on, as confidence is read")

    def if_read(column: str) -> str | None:
        return (row[column] or None) if read else None

    return {
        "service": row["service"],
        "organisation": row["service"] if row["organisation"] == NOT_READ else row["organisation"],
        "country": row["country_iso2"],
        "audience": audience,
        "languages": languages,
        "phone": if_read("phone"),
        "sms": if_read("sms"),
        "chat_url": if_read("chat_url"),
        "web_url": row["web_url"],
        "report_url": if_read("report_url"),
        "read_on": if_read("read_on"),
        "source": if_read("source"),
        "source_date": if_read("source_date_if_known"),
        "confidence": row["confidence"],
        "checked_live": YES_NO[row["checked_live"]] is True,
        "hours_note": if_read("hours"),
        "anonymous": YES_NO[row["anonymous"]] if read else None,
        "free": YES_NO[row["free"]] if read else None,
    }


def render(directory: dict[str, Any]) -> bytes:
    """The directory as UTF-8 JSON, always the same bytes for the same directory."""
    return (json.dumps(directory, ensure_ascii=False, indent=2) + "\n").encode("utf-8")


def read_table(path: Path) -> list[dict[str, str]]:
    """Returns the rows of the CSV file at ``path``, without spaces around values.

    Raises:
        TableError: the columns are not the expected ones, or a row has more or fewer.
    """
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.DictReader(file)
        if tuple(reader.fieldnames or ()) != COLUMNS:
            raise TableError(f"line 1: expected the columns {', '.join(COLUMNS)}; is this the table?")
        rows = []
        for line, row in enumerate(reader, start=2):
            if None in row or None in row.values():
                raise TableError(f"line {line}: expected {len(COLUMNS)} values; quote values with a comma")
            rows.append({column: value.strip() for column, value in row.items()})
        return rows


def main(argv: list[str] | None = None) -> int:
    """Runs the command line; returns the exit status."""
    parser = argparse.ArgumentParser(description="Makes the help directory (JSON) from the table (CSV).")
    parser.add_argument("table", type=Path, help="CSV file, one service a row")
    parser.add_argument("directory", type=Path, help="JSON file to write, or to compare with --check")
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if the file differs")
    args = parser.parse_args(argv)
    try:
        directory = convert(read_table(args.table))
        data = render(directory)
        if args.check:
            same = args.directory.read_bytes() == data
            print("same" if same else "different: run again without --check", file=sys.stderr)
            return 0 if same else 1
        args.directory.write_bytes(data)
    except (TableError, OSError, UnicodeDecodeError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    services = directory["services"]
    unverified = sum(service["confidence"] != "read" for service in services)
    print(f"{len(services)} services, {unverified} of them by web address alone", file=sys.stderr)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
