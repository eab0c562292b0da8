"""Reading a TOML document so that every problem in it is named at once, each with what to do."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Annotated, Any, Final, TypeVar

import msgspec

#: Text that says something: not empty, and no stand-in (:func:`stands_in`).
Text = Annotated[str, msgspec.Meta(pattern=r"\S")]
Id = Annotated[str, msgspec.Meta(pattern=r"^[a-z0-9][a-z0-9-]*$")]
S = TypeVar("S", bound=msgspec.Struct)

_STAND_INS: Final = frozenset({"", "todo", "tbd", "tba", "fixme", "xxx", "?", "-", "–", "n/a", "none", "unknown", "…"})
_EXPECTED: Final = re.compile(r"^Expected (.+?)(?:, got .+?)?(?: - at `.*`)?$")


@dataclass(frozen=True, slots=True)
class Problem:
    """Something that a person has to put right.

    Attributes:
        where: which part of the document.
        kind: ``missing``, ``unknown``, ``wrong``, ``duplicate``, ``overdue``, ``over_limit``, ``inconsistent``, or
            ``not_found``.
        message: got, expected, next step.
    """

    where: str
    kind: str
    message: str

    def __str__(self) -> str:
        return f"{self.where}: {self.message}"

    def to_dict(self) -> dict[str, str]:
        """As JSON-ready values."""
        return {"where": self.where, "kind": self.kind, "message": self.message}


def parse_toml(content: bytes, problems: list[Problem]) -> Mapping[str, Any] | None:
    """The document as plain values; ``None`` where it is no TOML."""
    try:
        found: Mapping[str, Any] = msgspec.toml.decode(content)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        place = re.search(r"line \d+, column \d+", str(error))
        at = f" ({place.group()})" if place else ""
        problems.append(Problem("file", "wrong", f"got something that is no TOML{at}, expected TOML; mend it there"))
        return None
    return found


def read_struct(kind: type[S], raw: object, where: str, problems: list[Problem]) -> S | None:
    """One table as ``kind``; every field that is missing, unknown or of another form is a problem of its own."""
    if not isinstance(raw, Mapping):
        problems.append(Problem(where, "wrong", f"got {type(raw).__name__}, expected a table; write its fields"))
        return None
    before = len(problems)
    fields = msgspec.structs.fields(kind)
    for field in fields:
        name = field.encode_name
        if name not in raw:
            if field.required:
                problems.append(Problem(where, "missing", f"{name}: got nothing, expected it; fill it in"))
            continue
        problem = _problem(raw[name], field.type)
        if problem is not None:
            sort, said = problem
            problems.append(Problem(where, sort, f"{name}: {said}"))
    for name in sorted(set(raw) - {field.encode_name for field in fields}):
        shown = name if re.fullmatch(r"[\w-]{1,40}", name) else "a field"
        problems.append(Problem(where, "unknown", f"{shown}: got a field that is not read; take it out, or rename it"))
    if len(problems) > before:
        return None
    return msgspec.convert(raw, kind)


def check_evidence(names: tuple[str, ...], root: Path, where: str, problems: list[Problem]) -> None:
    """See that every ``path``, ``path#heading`` or ``path::test`` below ``root`` exists; addresses are not opened."""
    for name in names:
        if name.startswith("https://"):
            continue
        path, _, test = name.partition("::")
        path, _, heading = path.partition("#")
        file = root / path
        inside = file.resolve().is_relative_to(root.resolve())
        if not inside or not file.exists():
            problems.append(
                Problem(where, "not_found", f"evidence: {name} does not exist; name a file of this repository")
            )
        elif test and not re.search(
            rf"^\s*(async )?def {re.escape(test)}\(", file.read_text(encoding="utf-8"), re.MULTILINE
        ):
            problems.append(Problem(where, "not_found", f"evidence: {name} is no test of that file; mend the name"))
        elif heading and heading not in _anchors(file):
            problems.append(Problem(where, "not_found", f"evidence: {name} is no heading of that page; mend the name"))


def stands_in(text: str) -> bool:
    """Whether a text only holds a place: ``TODO``, ``?``, nothing."""
    return text.strip().strip(".").strip().lower() in _STAND_INS


def _problem(value: object, kind: Any) -> tuple[str, str] | None:
    if isinstance(value, datetime):
        return "wrong", "got a day with a time, expected a day; write 2026-01-31"
    texts = [value] if isinstance(value, str) else value if isinstance(value, list) else []
    if any(isinstance(text, str) and stands_in(text) for text in texts):
        return "missing", "got a stand-in, expected what it stands for; fill it in"
    try:
        msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        found = _EXPECTED.match(str(error))
        expected = found.group(1) if found else "another form"
        return "wrong", f"got {_got(value)}, expected {expected.replace('`', '')}; mend it"
    return None


def _got(value: object) -> str:
    if isinstance(value, (bool, int, float, date)):
        return str(value)
    if isinstance(value, str):
        return f"a text of {len(value)} characters" if len(value) > 24 else f"{value!r}"
    return f"{type(value).__name__} of {len(value)}" if isinstance(value, (list, dict)) else type(value).__name__


def _anchors(page: Path) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


__all__ = ["Id", "Problem", "Text", "check_evidence", "parse_toml", "read_struct", "stands_in"]
