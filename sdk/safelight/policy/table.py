"""A rules document, flattened into the table that the evaluator reads.

Standard library only: the build runs this file too (``native/tools/generate.py``), so that the C face has
the same default rules compiled in. Layout and order are those of ``native/include/safelight/policy.h``.

A table is one action for every *cell*. A cell is a situation: ``picture/10_12/send/explicit/minor_or_unsure``,
``could_not_tell/10_12/conversation``, ``conversation/10_12/warn``, ``known_match``.
"""

from __future__ import annotations

import itertools
import struct
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from safelight.decision import Action, AgeBand, Event, FindingKind
from safelight.errors import UsageError

BANDS = tuple(band.value for band in AgeBand)
EVENTS = tuple(event.value for event in Event)
KINDS = tuple(kind.value for kind in FindingKind)
LEVELS = ("none", "suggestive", "explicit")
SUBJECTS = ("adult_or_no_face", "minor_or_unsure")
STAGES = (
    "age_probe",
    "alone_check",
    "flattery_bond",
    "isolation",
    "secrecy",
    "gift",
    "platform_move",
    "photo_request",
    "meeting",
    "threat",
    "sexualised",
)
# What a finding of a kind without an axis of its own can answer, as far as an action can hang on it.
ANSWERS = (
    *(("grooming", stage) for stage in STAGES),
    ("conversation", "watch"),
    ("conversation", "warn"),
    ("conversation", "danger"),
    ("query", "match"),
    ("site", "match"),
    ("consent", "missing"),
    ("consent", "expired"),
    ("consent", "withdrawn"),
    ("time", "spent"),
    ("time", "outside_window"),
)
SECTIONS = ("grooming", "conversation", "query", "site", "consent", "time")

PICTURE_CELLS = len(BANDS) * len(EVENTS) * len(LEVELS) * len(SUBJECTS)
COULD_NOT_TELL_CELLS = len(BANDS) * len(KINDS)
ANSWER_CELLS = len(BANDS) * len(ANSWERS)
CELLS = PICTURE_CELLS + COULD_NOT_TELL_CELLS + ANSWER_CELLS + 1
KNOWN_MATCH_CELL = CELLS - 1

# Each band is protected at least as well as the next; the age of nobody knows is at least 13_15.
BAND_CHAIN = (
    ("under_10", "10_12"),
    ("10_12", "13_15"),
    ("13_15", "16_17"),
    ("unknown", "13_15"),
    ("16_17", "adult"),
)

Cells = list["int | None"]
"""An action for each cell, ``None`` where nobody has said."""


class RulesTable(NamedTuple):
    """Flat rules: ``actions`` and ``floors`` are ``uint8[CELLS]``; a floor is what no action goes below."""

    actions: bytes
    floors: bytes
    strong_explicit_score: float
    strong_minor_score: float

    def pack(self) -> bytes:
        """The table as the native module takes it: two byte arrays and two little-endian floats."""
        return self.actions + self.floors + struct.pack("<ff", self.strong_explicit_score, self.strong_minor_score)

    @classmethod
    def unpack(cls, packed: bytes) -> RulesTable:
        """The inverse of :meth:`pack`."""
        explicit_score, minor_score = struct.unpack("<ff", packed[2 * CELLS :])
        return cls(packed[:CELLS], packed[CELLS : 2 * CELLS], explicit_score, minor_score)

    @property
    def effective(self) -> bytes:
        """The action of each cell with its floor."""
        return bytes(map(max, self.actions, self.floors))


def picture_cell(band: str, event: str, level: str, subject: str) -> int:
    """Index of a cell about a picture."""
    index = BANDS.index(band) * len(EVENTS) + EVENTS.index(event)
    return (index * len(LEVELS) + LEVELS.index(level)) * len(SUBJECTS) + SUBJECTS.index(subject)


def could_not_tell_cell(band: str, kind: str) -> int:
    """Index of a cell about a finding that could not tell."""
    return PICTURE_CELLS + BANDS.index(band) * len(KINDS) + KINDS.index(kind)


def answer_cell(band: str, section: str, word: str) -> int:
    """Index of a cell about an answer of another kind."""
    return PICTURE_CELLS + COULD_NOT_TELL_CELLS + BANDS.index(band) * len(ANSWERS) + ANSWERS.index((section, word))


@lru_cache(maxsize=1)
def cell_names() -> tuple[str, ...]:
    """The name of each cell, in order."""
    names = [
        f"picture/{band}/{event}/{level}/{subject}"
        for band in BANDS
        for event in EVENTS
        for level in LEVELS
        for subject in SUBJECTS
    ]
    names += [f"could_not_tell/{band}/{kind}" for band in BANDS for kind in KINDS]
    names += [f"{section}/{band}/{word}" for band in BANDS for section, word in ANSWERS]
    return (*names, "known_match")


@lru_cache(maxsize=1)
def order() -> tuple[tuple[int, int], ...]:
    """Pairs of cells ``(more severe, less severe)``: what no table may turn around.

    More explicit is never less severe than less explicit, a subject who may be a child never less than an adult,
    a younger band never less than an older one. The one exception is in the design: a picture that may show a
    child is held for an adult even where a teenager would be asked to choose.
    """
    pairs = []
    for band in BANDS:
        for event in EVENTS:
            for subject in SUBJECTS:
                cells = [picture_cell(band, event, level, subject) for level in reversed(LEVELS)]
                pairs += list(itertools.pairwise(cells))
            for level in LEVELS:
                unsure, adult = (picture_cell(band, event, level, subject) for subject in reversed(SUBJECTS))
                pairs.append((unsure, adult))
        risks = [answer_cell(band, "conversation", word) for word in ("danger", "warn", "watch")]
        pairs += list(itertools.pairwise(risks))
    for younger, older in BAND_CHAIN:
        for event in EVENTS:
            for level in LEVELS:
                for subject in SUBJECTS:
                    if older != "adult" or subject == "adult_or_no_face":
                        more, less = (picture_cell(band, event, level, subject) for band in (younger, older))
                        pairs.append((more, less))
        pairs += [(could_not_tell_cell(younger, kind), could_not_tell_cell(older, kind)) for kind in KINDS]
        pairs += [(answer_cell(younger, *answer), answer_cell(older, *answer)) for answer in ANSWERS]
    return tuple(pairs)


def raised(actions: Sequence[int], floors: Sequence[int], *, pairs: Sequence[tuple[int, int]] | None = None) -> bytes:
    """The lowest table that is nowhere below ``actions`` or ``floors`` and keeps ``pairs`` (:func:`order`)."""
    cells = list(map(max, actions, floors))
    pairs = order() if pairs is None else pairs
    changed = True
    while changed:
        changed = False
        for more, less in pairs:
            if cells[more] < cells[less]:
                cells[more] = cells[less]
                changed = True
    return bytes(cells)


def expand(document: Mapping[str, Any], *, floors: bytes | None = None) -> RulesTable:
    """Flatten a rules document.

    Args:
        document: with every section.
        floors: what the document's own floors are added to.

    Raises:
        UsageError: a word is unknown, a cell is set twice or not at all (silence is never a rule), or a cell is
            below its floor or out of :func:`order`.
    """
    cells = read_sections(document)
    missing = [name for name, action in zip(cell_names(), cells, strict=True) if action is None]
    if missing:
        raise UsageError(
            f"rules: {len(missing)} of {CELLS} cells have no action, the first is {missing[0]}; "
            "add rows until every situation is covered."
        )
    actions = bytes(action for action in cells if action is not None)
    own = bytes(action or 0 for action in read_sections(document.get("floors", {})))
    base = floors if floors is not None else bytes(CELLS)
    table_floors = bytes(map(max, own, base))
    strong = document["strong_evidence"]
    table = RulesTable(actions, table_floors, float(strong["explicit_score"]), float(strong["minor_score"]))
    for index, (is_now, needed) in enumerate(zip(actions, raised(actions, table_floors), strict=True)):
        if is_now < needed:
            raise UsageError(
                f"rules: {cell_names()[index]} is {Action(is_now).name}, expected {Action(needed).name} or higher: its "
                "floor, or what a less severe situation or an older age band has; raise it, or lower the other."
            )
    return table


def read_sections(document: Mapping[str, Any]) -> Cells:
    """The cells that a document's sections set; sections may be missing, as in floors and in a layer.

    Raises:
        UsageError: a word is unknown, or a cell is set twice.
    """
    cells: Cells = [None] * CELLS
    for row in document.get("picture") or ():
        for band in _words(row["bands"], BANDS, "picture bands"):
            for event in _words(row.get("events") or EVENTS, EVENTS, "picture events"):
                for subject in _words(row.get("subjects") or SUBJECTS, SUBJECTS, "picture subjects"):
                    for level in LEVELS:
                        if row.get(level) is not None:
                            _set(cells, picture_cell(band, event, level, subject), row[level])
    for row in document.get("could_not_tell") or ():
        for band in _words(row["bands"], BANDS, "could_not_tell bands"):
            for kind in _words(row.get("kinds") or KINDS, KINDS, "could_not_tell kinds"):
                _set(cells, could_not_tell_cell(band, kind), row["action"])
    for section in SECTIONS:
        words = [word for of, word in ANSWERS if of == section]
        for row in document.get(section) or ():
            for band in _words(row["bands"], BANDS, f"{section} bands"):
                for word in words:
                    if row.get(word) is not None:
                        _set(cells, answer_cell(band, section, word), row[word])
    if document.get("known_match") is not None:
        _set(cells, KNOWN_MATCH_CELL, document["known_match"])
    return cells


def _set(cells: Cells, index: int, action: str) -> None:
    name = cell_names()[index]
    if cells[index] is not None:
        raise UsageError(f"{name} is set twice; keep one row for it.")
    if action not in Action.__members__:
        raise UsageError(f"{name}: got action {action!r}, expected one of {', '.join(Action.__members__)}.")
    cells[index] = int(Action[action])


def _words(given: Iterable[str], allowed: tuple[str, ...], where: str) -> list[str]:
    words = list(given)
    for word in words:
        if word not in allowed:
            raise UsageError(f"{where}: got {word!r}, expected one of {', '.join(allowed)}.")
    return words
