"""Write what the native core compiles in: the version, the default rules, the digests of built-in data.

Run by ``setup.py`` and by ``native/CMakeLists.txt``; standard library only. Output is a pure function of
the tree, so a build is reproducible.

    python native/tools/generate.py --out build/generated
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.util
import json
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "sdk" / "safelight"

# The files that ship beside the code, relative to the package. This list is the only one: package_data in
# setup.py, the digest manifest and the packaging tests are made from it.
BUILTIN_DATA = (
    "_data/models/tiers_v[0-9]*.json",
    "_data/models/*_v[0-9]*/config.json",
    "_data/models/*_v[0-9]*/golden.json",
    "_data/models/*_v[0-9]*/model.tflite",
    "_data/models/*_v[0-9]*/MODEL_CARD.md",
    "_data/deterrence/structure.json",
    "_data/deterrence/catalogue/*.json",
    "_data/deterrence/help/*.json",
    "_data/deterrence/reporting/*.json",
    "_data/deterrence/schema/*.json",
    "policy/controls.json",
    "policy/default_rules.json",
    "policy/health_terms.json",
    "policy/presets.json",
    "policy/query_words.list",
)


def version() -> str:
    """The version as ``pyproject.toml`` states it (read without tomllib: Python 3.10 has none)."""
    found = re.search(r'^version = "([^"]+)"$', (ROOT / "pyproject.toml").read_text(encoding="utf-8"), re.M)
    if found is None:
        raise SystemExit('pyproject.toml: expected one line version = "…" under [project]; add it.')
    return found.group(1)


def builtin_files() -> list[tuple[str, Path]]:
    """``(name, path)`` of every built-in data file, sorted; the name is what ``read_builtin`` takes."""
    found = {
        path.relative_to(PACKAGE).as_posix().removeprefix("_data/"): path
        for pattern in BUILTIN_DATA
        for path in PACKAGE.glob(pattern)
    }
    if not found:
        raise SystemExit(
            f"no built-in data under {PACKAGE.name}/_data: expected models and deterrence there; "
            "check out the repository with symbolic links, or build from the sdist."
        )
    return sorted(found.items())


def version_inc() -> str:
    """The version as a preprocessor symbol."""
    return f'#define SAFELIGHT_VERSION "{version()}"\n'


def builtin_data_inc() -> str:
    """Rows ``{name, sha256, size}`` of a C++ array."""
    rows = []
    for name, path in builtin_files():
        data = path.read_bytes()
        rows.append(f'{{"{name}", "{hashlib.sha256(data).hexdigest()}", {len(data)}}},\n')
    return "".join(rows)


def default_rules_inc() -> str:
    """The default rules table as a C++ initialiser."""
    # By path: the package `safelight.policy` needs the native module, which is what is being built.
    sys.path.insert(0, str(ROOT / "sdk"))
    spec = importlib.util.spec_from_file_location("safelight_table", PACKAGE / "policy" / "table.py")
    if spec is None or spec.loader is None:
        raise SystemExit("policy/table.py: cannot be loaded; check out the whole repository.")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    table = module.expand(json.loads((PACKAGE / "policy" / "default_rules.json").read_text(encoding="utf-8")))

    def numbers(cells: bytes) -> str:
        return "{{" + ", ".join(str(cell) for cell in cells) + "}}"

    def cells(flat: bytes) -> str:
        answers = module.PICTURE_CELLS + module.COULD_NOT_TELL_CELLS
        parts = [
            numbers(flat[: module.PICTURE_CELLS]),
            numbers(flat[module.PICTURE_CELLS : answers]),
            numbers(flat[answers : module.KNOWN_MATCH_CELL]),
            str(flat[module.KNOWN_MATCH_CELL]),
        ]
        return "{" + ",\n".join(parts) + "}"

    return (
        "Rules{"
        + ",\n".join(
            [
                cells(table.actions),
                cells(table.floors),
                f"{table.strong_explicit_score!r}F",
                f"{table.strong_minor_score!r}F",
            ]
        )
        + "}\n"
    )


def default_rules_json_inc() -> str:
    """The default rules document itself, as a C++ string literal."""
    text = (PACKAGE / "policy" / "default_rules.json").read_text(encoding="utf-8")
    return "".join(json.dumps(line + "\n") + "\n" for line in text.splitlines())


def text_tables_inc() -> str:
    """The tables of the text features, from native/data/text_v2."""
    spec = importlib.util.spec_from_file_location("safelight_text_tables", Path(__file__).with_name("text_tables.py"))
    if spec is None or spec.loader is None:
        raise SystemExit("native/tools/text_tables.py: cannot be loaded; check out the whole repository.")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return str(module.text_tables_inc())


def write_all(out: Path) -> None:
    """Write every generated file; one that would not change keeps its time stamp."""
    out.mkdir(parents=True, exist_ok=True)
    for name, text in (
        ("version.inc", version_inc()),
        ("default_rules.inc", default_rules_inc()),
        ("default_rules_json.inc", default_rules_json_inc()),
        ("builtin_data.inc", builtin_data_inc()),
        ("text_tables.inc", text_tables_inc()),
    ):
        target = out / name
        if not target.exists() or target.read_text(encoding="utf-8") != text:
            target.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="folder for the generated files")
    write_all(parser.parse_args().out)
