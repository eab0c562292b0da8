"""A rules document, flattened into the table that the evaluator reads.

Standard library only: the build runs this file too (``native/tools/generate.py``), so that the C face has
the same default rules compiled in. Layout and order are those of ``native/include/safelight/policy.h``.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from safelight.decision import Action, AgeBand, Event
from safelight.errors import UsageError

BANDS = tuple(band.value for band in AgeBand)
EVENTS = tuple(event.value for event in Event)
LEVELS = ("none", "suggestive", "explicit")
SUBJECTS = ("adult_or_no_face", "minor_or_unsure")
PICTURE_CELLS = len(BANDS) * len(EVENTS) * len(LEVELS) * len(SUBJECTS)


class RulesTable(NamedTuple):
    """Flat rules: ``picture`` and ``floors`` are ``uint8[6 bands][8 events][3 levels][2 subjects]``."""

    picture: bytes
    floors: bytes
    could_not_tell: bytes
    known_match: int
    strong_explicit_score: float
    strong_minor_score: float

    def pack(self) -> bytes:
        """The table as the native module takes it: three byte arrays, one byte, two little-endian floats."""
        return (
            self.picture
            + self.floors
            + self.could_not_tell
            + struct.pack("<Bff", self.known_match, self.strong_explicit_score, self.strong_minor_score)
        )

    @classmethod
    def unpack(cls, packed: bytes) -> RulesTable:
        """The inverse of :meth:`pack`."""
        tail = 2 * PICTURE_CELLS + len(BANDS)
        known_match, explicit_score, minor_score = struct.unpack("<Bff", packed[tail:])
        return cls(
            picture=packed[:PICTURE_CELLS],
            floors=packed[PICTURE_CELLS : 2 * PICTURE_CELLS],
            could_not_tell=packed[2 * PICTURE_CELLS : tail],
            known_match=known_match,
            strong_explicit_score=explicit_score,
            strong_minor_score=minor_score,
        )


def picture_cell(band: str, event: str, level: str, subject: str) -> int:
    """Index of one cell of the flat table."""
    index = BANDS.index(band) * len(EVENTS) + EVENTS.index(event)
    return (index * len(LEVELS) + LEVELS.index(level)) * len(SUBJECTS) + SUBJECTS.index(subject)


def expand(document: Mapping[str, Any]) -> RulesTable:
    """Flatten a rules document.

    Raises:
        UsageError: a word is unknown, a cell is set twice, or a cell of ``picture`` or a band of
            ``could_not_tell`` is not set at all: silence is never a rule.
    """
    picture = _cells(document["picture"], "picture", default=None)
    floors = _cells(document.get("floors", []), "floors", default=int(Action.ALLOW))
    could_not_tell: list[int | None] = [None] * len(BANDS)
    for row in document["could_not_tell"]:
        for band in _words(row["bands"], BANDS, "could_not_tell bands"):
            if could_not_tell[BANDS.index(band)] is not None:
                raise UsageError(f"could_not_tell: band {band} is set twice; keep one row for it.")
            could_not_tell[BANDS.index(band)] = _action(row["action"], "could_not_tell")
    missing = [band for band, action in zip(BANDS, could_not_tell, strict=True) if action is None]
    if missing:
        raise UsageError(f"could_not_tell: no row for {', '.join(missing)}; every age band needs one.")
    strong = document["strong_evidence"]
    return RulesTable(
        picture=bytes(picture),
        floors=bytes(floors),
        could_not_tell=bytes(action for action in could_not_tell if action is not None),
        known_match=_action(document["known_match"], "known_match"),
        strong_explicit_score=float(strong["explicit_score"]),
        strong_minor_score=float(strong["minor_score"]),
    )


def _cells(rows: Iterable[Mapping[str, Any]], part: str, *, default: int | None) -> list[int]:
    cells: list[int | None] = [None] * PICTURE_CELLS
    for row in rows:
        for band in _words(row["bands"], BANDS, f"{part} bands"):
            for event in _words(row.get("events", EVENTS), EVENTS, f"{part} events"):
                for subject in _words(row.get("subjects", SUBJECTS), SUBJECTS, f"{part} subjects"):
                    for level in LEVELS:
                        if level not in row:
                            continue
                        index = picture_cell(band, event, level, subject)
                        if cells[index] is not None:
                            raise UsageError(
                                f"{part}: {band} × {event} × {level} × {subject} is set twice; keep one row for it."
                            )
                        cells[index] = _action(row[level], part)
    if default is None and None in cells:
        raise UsageError(
            f"{part}: {cells.count(None)} of {PICTURE_CELLS} cells have no action; "
            "add rows until every band × event × level × subject is covered."
        )
    return [cell if cell is not None else int(default or 0) for cell in cells]


def _words(given: Iterable[str], allowed: tuple[str, ...], where: str) -> list[str]:
    words = list(given)
    for word in words:
        if word not in allowed:
            raise UsageError(f"{where}: got {word!r}, expected one of {', '.join(allowed)}.")
    return words


def _action(name: str, where: str) -> int:
    if name not in Action.__members__:
        raise UsageError(f"{where}: got action {name!r}, expected one of {', '.join(Action.__members__)}.")
    return int(Action[name])
