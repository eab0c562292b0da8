#!/usr/bin/env python3
"""Writes the JSON Schemas of rules, operator layers and profiles from the types that load them.

    python docs/schema/make_schema.py            # writes docs/schema/*.schema.json
    python docs/schema/make_schema.py --check    # exit 1 if a file differs

Needs Safelight to be importable. The types are the source: edit those, never the schema files.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import msgspec
from safelight.policy.layers import OperatorDocument
from safelight.policy.profile_document import ProfileDocument
from safelight.policy.sections import RulesDocument

DIRECTORY = Path(__file__).resolve().parent
DIALECT = "https://json-schema.org/draft/2020-12/schema"


def schemas() -> dict[str, bytes]:
    """The bytes of each schema file, by file name."""
    types = {
        "rules.schema.json": RulesDocument,
        "operator.schema.json": OperatorDocument,
        "profile.schema.json": ProfileDocument,
    }
    return {name: _render(kind) for name, kind in types.items()}


def _render(kind: type) -> bytes:
    schema = {"$schema": DIALECT, **msgspec.json.schema(kind)}
    return (json.dumps(schema, ensure_ascii=False, indent=2, sort_keys=True) + "\n").encode("utf-8")


def main(argv: list[str] | None = None) -> int:
    """Run the command line; return the exit status."""
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
