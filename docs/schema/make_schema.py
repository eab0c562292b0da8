#!/usr/bin/env python3
"""Writes every published JSON Schema from the types that load the documents.

    python docs/schema/make_schema.py            # writes docs/schema and deterrence/schema
    python docs/schema/make_schema.py --check    # exit 1 if a file differs

Needs Safelight to be importable. The types are the source: edit those, never the schema files.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import msgspec
from safelight.accountability.redesign import RedesignLog
from safelight.accountability.risk import RiskRegister
from safelight.notices.catalogue import LanguageFile, Structure
from safelight.notices.directory import HelpTable
from safelight.policy.layers import OperatorDocument
from safelight.policy.profile_document import ProfileDocument
from safelight.policy.sections import RulesDocument

ROOT = Path(__file__).resolve().parents[2]
DIALECT = "https://json-schema.org/draft/2020-12/schema"
TYPES = {
    "docs/schema/rules.schema.json": RulesDocument,
    "docs/schema/operator.schema.json": OperatorDocument,
    "docs/schema/profile.schema.json": ProfileDocument,
    "docs/schema/redesign-log.schema.json": RedesignLog,
    "docs/schema/risk.schema.json": RiskRegister,
    "deterrence/schema/catalogue.schema.json": LanguageFile,
    "deterrence/schema/helplines.schema.json": HelpTable,
    "deterrence/schema/structure.schema.json": Structure,
}


def main(argv: list[str] | None = None) -> int:
    """Run the command line; return the exit status."""
    parser = argparse.ArgumentParser(description="Writes the JSON Schemas from the types.")
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if a file differs")
    args = parser.parse_args(argv)
    status = 0
    for name, kind in TYPES.items():
        path = ROOT / name
        schema = {"$schema": DIALECT, **msgspec.json.schema(kind)}
        data = (json.dumps(schema, ensure_ascii=False, indent=2, sort_keys=True) + "\n").encode("utf-8")
        if not args.check:
            path.write_bytes(data)
        elif not path.is_file() or path.read_bytes() != data:
            print(f"different: {name}; run again without --check", file=sys.stderr)
            status = 1
    return status


if __name__ == "__main__":
    raise SystemExit(main())
