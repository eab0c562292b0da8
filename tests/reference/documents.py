"""Random rules documents: any table at all, and the ones that may decide."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st
from safelight.decision import Action
from safelight.policy.rules import Rules, shipped_floors
from safelight.policy.table import (
    ANSWERS,
    BANDS,
    CELLS,
    EVENTS,
    KINDS,
    KNOWN_MATCH_CELL,
    LEVELS,
    SECTIONS,
    SUBJECTS,
    RulesTable,
    answer_cell,
    could_not_tell_cell,
    expand,
    picture_cell,
    raised,
)

any_cells = st.binary(min_size=CELLS, max_size=CELLS).map(lambda noise: bytes(byte % 5 for byte in noise))
# Mostly ALLOW, so that floors and order have something to raise.
low_cells = st.binary(min_size=CELLS, max_size=CELLS).map(lambda noise: bytes(max(0, byte % 29 - 24) for byte in noise))
cells = st.one_of(any_cells, low_cells)


def sections(table: bytes) -> dict[str, Any]:
    """A table written out as the sections of a document, one row a situation."""
    names = [action.name for action in Action]
    found: dict[str, Any] = {
        "picture": [
            {"bands": [band], "events": [event], "subjects": [subject]}
            | {level: names[table[picture_cell(band, event, level, subject)]] for level in LEVELS}
            for band in BANDS
            for event in EVENTS
            for subject in SUBJECTS
        ],
        "could_not_tell": [
            {"bands": [band], "kinds": [kind], "action": names[table[could_not_tell_cell(band, kind)]]}
            for band in BANDS
            for kind in KINDS
        ],
        "known_match": names[table[KNOWN_MATCH_CELL]],
    }
    for section in SECTIONS:
        found[section] = [
            {"bands": [band]}
            | {word: names[table[answer_cell(band, of, word)]] for of, word in ANSWERS if of == section}
            for band in BANDS
        ]
    return found


def document(
    actions: bytes, floors: bytes = bytes(CELLS), *, strong: tuple[float, float] = (0.95, 0.95)
) -> dict[str, Any]:
    """A whole document, as the readable twin reads it."""
    return sections(actions) | {
        "schema": 2,
        "id": "any",
        "version": 1,
        "floors": sections(floors),
        "strong_evidence": {"explicit_score": strong[0], "minor_score": strong[1]},
        "documents": [],
    }


@st.composite
def valid_documents(draw: st.DrawFn) -> dict[str, Any]:
    """A document that may decide: any actions and floors, raised as far as floors and order ask for."""
    floors = bytes(map(max, draw(cells), shipped_floors()))
    actions = raised(draw(cells), floors)
    return document(actions, floors, strong=(draw(st.floats(0, 1)), draw(st.floats(0, 1))))


def rules_of(found: dict[str, Any]) -> Rules:
    """The rules that a document makes."""
    return Rules(found["id"], found["version"], expand(found, floors=shipped_floors()))


@st.composite
def valid_rules(draw: st.DrawFn) -> Rules:
    """As :func:`valid_documents`, without the way over the document."""
    floors = bytes(map(max, draw(cells), shipped_floors()))
    return Rules("any", 1, RulesTable(raised(draw(cells), floors), floors, 0.95, 0.95))
