"""The rules as cells that settings raise, and the name of each cell. Comparing them is :mod:`safelight.policy`'s."""

from __future__ import annotations

from functools import lru_cache

from safelight.decision import Action, AgeBand
from safelight.policy import Rules
from safelight.policy.compare import strictness
from safelight.policy.sections import DocumentRow
from safelight.policy.table import (
    ANSWERS,
    BANDS,
    EVENTS,
    KINDS,
    LEVELS,
    SUBJECTS,
    RulesTable,
    answer_cell,
    could_not_tell_cell,
    picture_cell,
    raised,
)

_PICTURE_KEYS = {f"{event}.{level}": (event, level) for event in EVENTS for level in LEVELS}
_ANSWER_KEYS = {f"{section}.{word}": (section, word) for section, word in ANSWERS}


@lru_cache(maxsize=1)
def cell_words() -> tuple[str, ...]:
    """A name for each number of :func:`safelight.policy.compare.strictness`."""
    words = [f"rules.{event}.{level}.{subject}" for event in EVENTS for level in LEVELS for subject in SUBJECTS]
    words += [f"rules.could_not_tell.{kind}" for kind in KINDS]
    words += [f"rules.{section}.{word}" for section, word in ANSWERS]
    return (*words, "rules.known_match", "rules.containers", "rules.motion_photo")


@lru_cache(maxsize=1)
def raisable() -> frozenset[str]:
    """What settings may raise: ``<event>.<level of nudity>`` and ``<section>.<answer>``."""
    return frozenset({*_PICTURE_KEYS, *_ANSWER_KEYS})


def band_cells(rules: Rules, band: AgeBand) -> tuple[int, ...]:
    """What the rules come to for one band; a higher number protects more."""
    return strictness(rules, band)


def rules_with(base: Rules, band: AgeBand | None, raises: tuple[tuple[str, Action], ...]) -> Rules:
    """The base with some actions raised, and everything that must not be milder raised with them.

    Args:
        base: what is raised.
        band: whose settings these are; ``None`` when nobody has said: then ``unknown`` gets the highest action that
            any band has, everywhere.
        raises: keys of :func:`raisable` to the action taken at least, whatever the band.
    """
    documents = base.documents
    if band is None:
        documents = (DocumentRow((AgeBand.UNKNOWN.value,), "not_media", "hold"), *documents)
    return Rules(base.id, base.version, _raised_table(base.table, band is None, raises), documents)


@lru_cache(maxsize=64)
def _raised_table(table: RulesTable, strictest: bool, raises: tuple[tuple[str, Action], ...]) -> RulesTable:
    actions = bytearray(table.actions)
    if strictest:
        for cells in _situations():
            actions[cells[BANDS.index(AgeBand.UNKNOWN.value)]] = max(actions[cell] for cell in cells)
    for key, action in raises:
        for cell in _cells_of(key):
            actions[cell] = max(actions[cell], action)
    if not strictest and not raises:
        return table
    return table._replace(actions=raised(actions, table.floors))


def _situations() -> list[list[int]]:
    """For each situation, its cell of each band."""
    found = [
        [picture_cell(band, event, level, subject) for band in BANDS]
        for event in EVENTS
        for level in LEVELS
        for subject in SUBJECTS
    ]
    found += [[could_not_tell_cell(band, kind) for band in BANDS] for kind in KINDS]
    found += [[answer_cell(band, *answer) for band in BANDS] for answer in ANSWERS]
    return found


def _cells_of(key: str) -> list[int]:
    if key in _PICTURE_KEYS:
        return [picture_cell(band, *_PICTURE_KEYS[key], subject) for band in BANDS for subject in SUBJECTS]
    return [answer_cell(band, *_ANSWER_KEYS[key]) for band in BANDS]
