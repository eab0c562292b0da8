"""The rules as cells that can be compared and raised. The one place that knows the layout of a rules table."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

from safelight.decision import Action, AgeBand
from safelight.policy import Rules
from safelight.policy.rules import DocumentRow
from safelight.policy.table import BANDS, EVENTS, LEVELS, SUBJECTS, RulesTable, picture_cell

_CONTAINERS = ("look_inside", "not_media")
_MOTION = ("still_only", "hold")


@lru_cache(maxsize=2)
def cell_words(*, raisable: bool = False) -> tuple[str, ...]:
    """A name for each cell of one band, in the order of :func:`band_cells`; or the names that can be raised."""
    if raisable:
        return tuple(f"{event}.{level}" for event in EVENTS for level in LEVELS)
    picture = [f"rules.{event}.{level}.{subject}" for event in EVENTS for level in LEVELS for subject in SUBJECTS]
    return (*picture, "rules.could_not_tell", "rules.known_match", "rules.containers", "rules.motion_photo")


def band_cells(rules: Rules, band: AgeBand) -> tuple[int, ...]:
    """What the rules come to for one band; a higher number protects more."""
    table = rules.table
    cells = [
        max(table.picture[index], table.floors[index])
        for index in (
            picture_cell(band.value, event, level, subject)
            for event in EVENTS
            for level in LEVELS
            for subject in SUBJECTS
        )
    ]
    documents = rules.document(band)
    return (
        *cells,
        table.could_not_tell[BANDS.index(band.value)],
        table.known_match,
        _CONTAINERS.index(documents.containers),
        _MOTION.index(documents.motion_photo),
    )


def rules_with(base: Rules, band: AgeBand | None, raises: Mapping[str, Action]) -> Rules:
    """The base with some actions raised.

    Args:
        base: what is raised.
        band: whose settings these are; ``None`` when nobody has said: then ``unknown`` gets the highest action that
            any band has, everywhere.
        raises: ``<event>.<level>`` to the action taken at least, for every band.
    """
    picture = bytearray(base.table.picture)
    could_not_tell = bytearray(base.table.could_not_tell)
    documents = base.documents
    if band is None:
        unknown = AgeBand.UNKNOWN.value
        for event in EVENTS:
            for level in LEVELS:
                for subject in SUBJECTS:
                    index = picture_cell(unknown, event, level, subject)
                    picture[index] = max(picture[picture_cell(other, event, level, subject)] for other in BANDS)
        could_not_tell[BANDS.index(unknown)] = max(could_not_tell)
        strictest = DocumentRow([unknown], "not_media", "hold")
        documents = (strictest, *documents)
    for key, action in raises.items():
        event, level = key.rsplit(".", 1)
        # What is more explicit is never treated more lightly than what is less so.
        for at_least in LEVELS[LEVELS.index(level) :]:
            for other in BANDS:
                for subject in SUBJECTS:
                    index = picture_cell(other, event, at_least, subject)
                    picture[index] = max(picture[index], action)
    table = RulesTable(
        bytes(picture),
        base.table.floors,
        bytes(could_not_tell),
        base.table.known_match,
        base.table.strong_explicit_score,
        base.table.strong_minor_score,
    )
    return Rules(base.id, base.version, table, documents)
