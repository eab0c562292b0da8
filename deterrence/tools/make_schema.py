#!/usr/bin/env python3
"""Writes the JSON Schemas of the catalogue and the help directory from the types that load them.

    python deterrence/tools/make_schema.py            # writes deterrence/schema/*.schema.json
    python deterrence/tools/make_schema.py --check    # exit 1 if a file differs

Needs Safelight to be importable. The types are the source: edit those, never the schema files.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import msgspec
from safelight.notices.catalogue import LanguageFile, Structure
from safelight.notices.directory import HelpTable

DIRECTORY = Path(__file__).resolve().parent.parent / "schema"
DIALECT = "https://json-schema.org/draft/2020-12/schema"


def schemas() -> dict[str, bytes]:
    """Returns the bytes of each schema file, by file name."""
    types = {
        "catalogue.schema.json": LanguageFile,
        "helplines.schema.json": HelpTable,
        "structure.schema.json": Structure,
    }
    return {name: _render(kind) for name, kind in types.items()}


def _render(kind: type) -> bytes:
    schema = {"$schema": DIALECT, **msgspec.json.schema(kind)}
    return (json.dumps(schema, ensure_ascii=False, indent=2, sort_keys=True) + "\n").encode("utf-8")


def main(argv: list[str] | None = None) -> int:
    """Runs the command line; returns the exit status."""
    parser = argparse.ArgumentParser(description="Writes the JSON Schemas from the types.")
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if a file differs")
    args = parser.parse_args(argv)
    status = 0
    for name, data in schemas().items():
        path = DIRECTORY / name
        if not args.check:
            path.write_bytes(data)
        elif not path.is_file() or path.read_bytes() != data:
            print(f"different: {name}; run again without --check", file=sys.stderr)
            status = 1
    return status


if __name__ == "__main__":
    raise SystemExit(main())
