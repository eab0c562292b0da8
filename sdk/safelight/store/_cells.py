"""The rules as cells that settings raise, and the name of each cell. Comparing them is :mod:`safelight.policy`'s."""

from __future__ import annotations

from functools import lru_cache

import msgspec

from safelight.decision import Action, AgeBand
from safelight.policy import Rules
from safelight.policy.compare import strictness
from safelight.policy.layers import Layer
from safelight.policy.profile_document import ProfileDocument, effective
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


Raises = tuple[tuple[str, Action], ...]
"""Keys of :func:`raisable` and the action taken at least, whatever the band."""


def rules_of(document: ProfileDocument, operator: Layer | None, *, strictest: bool, raises: Raises) -> Rules:
    """The rules in force, with everything that must not be milder raised with what ``raises`` raises.

    Args:
        document: what guardian and child have chosen.
        operator: of whoever runs the app or makes the device.
        strictest: nobody has said who holds the device: then ``unknown`` gets the highest action that any band has.
        raises: actions that are taken at least.
    """
    return _finished(_rules(document, operator), strictest, raises)


def cells_that_bind(
    document: ProfileDocument, operator: Layer | None, *, strictest: bool, raises: Raises
) -> tuple[int, ...]:
    """How strict the settings are for the person they name; higher protects more, in the order of :func:`cell_words`.

    Where the guardian permits the child to go lower, the permit counts, whatever the child makes of it: using it
    needs nobody, and giving it does. Everywhere else what is in force counts.
    """
    chosen = effective(document, operator=operator)
    above = _rules(msgspec.structs.replace(document, child=Layer()), operator).table.actions
    actions = bytes(
        limit if limit < given else now
        for now, given, limit in zip(chosen.rules.table.actions, above, chosen.child_limit, strict=True)
    )
    binding = Rules(
        chosen.rules.id, chosen.rules.version, chosen.rules.table._replace(actions=actions), chosen.rules.documents
    )
    return strictness(_finished(binding, strictest, raises), AgeBand(document.age_band))


@lru_cache(maxsize=64)
def _rules(document: ProfileDocument, operator: Layer | None) -> Rules:
    return effective(document, operator=operator).rules


def _finished(rules: Rules, strictest: bool, raises: Raises) -> Rules:
    documents = rules.documents
    if strictest:
        documents = (DocumentRow((AgeBand.UNKNOWN.value,), "not_media", "hold"), *documents)
    return Rules(rules.id, rules.version, _raised_table(rules.table, strictest, raises), documents)


@lru_cache(maxsize=256)
def _raised_table(table: RulesTable, strictest: bool, raises: Raises) -> RulesTable:
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
