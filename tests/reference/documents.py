"""Random rules documents: any table at all, and the ones that may decide."""

from __future__ import annotations

from typing import Any

import msgspec
from hypothesis import strategies as st
from safelight.decision import Action
from safelight.policy.layers import Layer
from safelight.policy.rules import Rules, shipped_floors
from safelight.policy.sections import DocumentRow, Sections
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
    cell_names,
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


def sparse_sections(wanted: dict[int, int]) -> Sections:
    """Some cells, as the sections of a layer."""
    found: dict[str, Any] = {}
    for cell, action in wanted.items():
        name, value = cell_names()[cell].split("/"), Action(action).name
        if name[0] == "picture":
            row = {"bands": [name[1]], "events": [name[2]], "subjects": [name[4]], name[3]: value}
        elif name[0] == "could_not_tell":
            row = {"bands": [name[1]], "kinds": [name[2]], "action": value}
        elif name[0] == "known_match":
            found["known_match"] = value
            continue
        else:
            row = {"bands": [name[1]], name[2]: value}
        found.setdefault(name[0], []).append(row)
    return msgspec.convert(found, Sections)


wanted_cells = st.dictionaries(st.integers(0, CELLS - 1), st.integers(0, 4), max_size=12)
document_rows = st.lists(
    st.builds(
        DocumentRow,
        st.sampled_from(BANDS).map(lambda band: (band,)),
        st.sampled_from(["not_media", "look_inside"]),
        st.sampled_from(["hold", "still_only"]),
    ),
    max_size=3,
    unique_by=lambda row: row.bands,
).map(tuple)


@st.composite
def layers(draw: st.DrawFn, *, party: str) -> Layer:
    """A layer of an operator, a guardian or a child."""
    nothing = Sections()
    return Layer(
        rules=sparse_sections(draw(wanted_cells)),
        documents=draw(document_rows),
        floors=sparse_sections(draw(wanted_cells)) if party == "operator" else nothing,
        permits=sparse_sections(draw(wanted_cells)) if party == "guardian" else nothing,
    )
