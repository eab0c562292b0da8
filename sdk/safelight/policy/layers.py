"""Layers: who may change the rules, and how far. Default ← operator ← preset ← guardian ← child.

A layer may always tighten. It may loosen only as far as the layers above it allow: an operator and a guardian down
to the floors (those that ship and those that the operator adds), a child only where the guardian permits it. What
asks for more is not an error at the moment of a decision: the action stays at its limit, and the situation is named.

Pure: documents in, rules out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Annotated, Any, Literal

import msgspec

from safelight.builtin_data import read_builtin
from safelight.decision import Action
from safelight.errors import UsageError
from safelight.policy.rules import Rules, shipped_floors
from safelight.policy.sections import DocumentRow, Sections
from safelight.policy.table import BAND_CHAIN, BANDS, CELLS, Cells, RulesTable, cell_names, order, raised, read_sections

PRESETS_FILE = "policy/presets.json"

# Beside the actions: what is done with files that hold pictures, two cells a band, 1 for the stricter way.
_DOCUMENT_FIELDS = {"containers": ("look_inside", "not_media"), "motion_photo": ("still_only", "hold")}


class Layer(msgspec.Struct, forbid_unknown_fields=True, frozen=True, omit_defaults=True, kw_only=True):
    """What one party wants changed.

    Attributes:
        rules: actions for the situations that it names; a row for a band means at least this for younger bands and,
            where it loosens, at most this for older ones.
        documents: what is done with files that hold pictures, for the bands that it names.
        floors: an operator's: what the layers below may not go below.
        permits: a guardian's: down to which action the child may loosen. Nothing: the child can only tighten.
    """

    rules: Sections = Sections()
    documents: tuple[DocumentRow, ...] = ()
    floors: Sections = Sections()
    permits: Sections = Sections()


class OperatorDocument(Layer, frozen=True, kw_only=True):
    """The layer of whoever runs the app or makes the device, as a file of its own."""

    schema: Literal[1]
    id: Annotated[str, msgspec.Meta(min_length=1)]
    version: Annotated[int, msgspec.Meta(ge=1)]


class Preset(Layer, frozen=True, kw_only=True):
    """A named starting point; it only loosens, and only for an age band that somebody has stated."""

    name: Annotated[str, msgspec.Meta(pattern=r"^[a-z][a-z_]*$")]
    summary: Annotated[str, msgspec.Meta(min_length=1)]


class PresetsDocument(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """The presets that ship."""

    schema: Literal[1]
    version: int
    presets: tuple[Preset, ...]


@dataclass(frozen=True, slots=True)
class LayeredRules:
    """Rules made of layers.

    Attributes:
        rules: what decides.
        refused: the situations in which a layer asked for less than it may, by name, e.g.
            ``picture/13_15/send/explicit/adult_or_no_face``; they are at their limit.
        child_limit: for each cell the lowest action that the child may choose (``uint8[CELLS]``).
    """

    rules: Rules
    refused: tuple[str, ...]
    child_limit: bytes


def read_operator(document: bytes | str) -> OperatorDocument:
    """Read an operator's layer (``docs/schema/operator.schema.json``).

    Raises:
        UsageError: not JSON, another schema, or an unknown field or word.
    """
    try:
        layer = msgspec.json.decode(document, type=OperatorDocument)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"operator document: {error}; compare it with docs/schema/operator.schema.json.") from None
    check_layer(layer)
    return layer


def check_layer(layer: Layer) -> None:
    """Look at every word of a layer.

    Raises:
        UsageError: an unknown word, or a situation that is set twice.
    """
    for sections in (layer.rules, layer.floors, layer.permits):
        _cells(sections)
    _document_cells(layer.documents)


@lru_cache(maxsize=1)
def presets() -> dict[str, Preset]:
    """The presets that ship, by name.

    Raises:
        DataError: the file is missing or not the one that was built.
    """
    found = msgspec.json.decode(read_builtin(PRESETS_FILE), type=PresetsDocument)
    return {preset.name: preset for preset in found.presets}


def apply_layers(
    *,
    operator: Layer | None = None,
    preset: Layer | None = None,
    guardian: Layer | None = None,
    child: Layer | None = None,
    base: Rules | None = None,
) -> LayeredRules:
    """Make rules out of layers.

    Args:
        operator: of whoever runs the app or makes the device.
        preset: the starting point that a guardian chose.
        guardian: what the guardian changed.
        child: what the person who is protected changed.
        base: what the layers change; the rules that ship when left out.

    Raises:
        UsageError: an unknown word, or a situation that is set twice in one layer.
    """
    base = base if base is not None else Rules.default()
    actions = base.table.effective + _document_bytes(base)
    floors = base.table.floors + bytes(2 * len(BANDS))
    floors = _raised(bytes(map(max, floors, shipped_floors() + bytes(2 * len(BANDS)))), floors)
    refused: list[int] = []
    if operator is not None:
        own = bytes(action or 0 for action in _cells(operator.floors)) + bytes(2 * len(BANDS))
        floors = _raised(own, floors)
        actions = _apply(actions, operator, floors, floors, refused)
    for layer in (preset, guardian):
        if layer is not None:
            actions = _apply(actions, layer, floors, floors, refused)
    limit = _child_limit(actions, guardian.permits if guardian is not None else Sections(), floors)
    if child is not None:
        actions = _apply(actions, child, floors, limit, refused)
    table = RulesTable(actions[:CELLS], floors[:CELLS], base.table.strong_explicit_score, base.table.strong_minor_score)
    names = cell_names() + tuple(f"documents/{band}/{field}" for band in BANDS for field in _DOCUMENT_FIELDS)
    return LayeredRules(
        rules=Rules(base.id, base.version, table, _document_rows(actions[CELLS:])),
        refused=tuple(names[cell] for cell in sorted(set(refused))),
        child_limit=limit[:CELLS],
    )


def _apply(actions: bytes, layer: Layer, floors: bytes, limit: bytes, refused: list[int]) -> bytes:
    wanted: Cells = _cells(layer.rules) + _document_cells(layer.documents)
    after = list(actions)
    for cell, action in enumerate(wanted):
        if action is not None and action < actions[cell]:
            # What is graver than the rest of its order may not be milder: loosening it loosens the rest as well.
            for below in (cell, *_milder()[cell]):
                own = wanted[below]
                if below == cell or own is None:
                    after[below] = min(after[below], max(action, limit[below]))
    for cell, action in enumerate(wanted):
        if action is not None and action > actions[cell]:
            after[cell] = action
    result = _raised(bytes(after), floors)
    refused += [cell for cell, action in enumerate(wanted) if action is not None and action < result[cell]]
    return result


def _child_limit(actions: bytes, permits: Sections, floors: bytes) -> bytes:
    permitted = _cells(permits) + [None] * (2 * len(BANDS))
    return bytes(
        action if permit is None else min(action, max(permit, floor))
        for action, permit, floor in zip(actions, permitted, floors, strict=True)
    )


def _raised(actions: bytes, floors: bytes) -> bytes:
    return raised(actions, floors, pairs=_pairs())


@lru_cache(maxsize=1)
def _pairs() -> tuple[tuple[int, int], ...]:
    def cell(band: str, field: int) -> int:
        return CELLS + 2 * BANDS.index(band) + field

    chain = [(cell(younger, field), cell(older, field)) for younger, older in BAND_CHAIN for field in (0, 1)]
    return order() + tuple(chain)


@lru_cache(maxsize=1)
def _milder() -> dict[int, tuple[int, ...]]:
    """For each cell all those that may not be more severe."""
    below: dict[int, set[int]] = {cell: set() for cell in range(CELLS + 2 * len(BANDS))}
    for more, less in _pairs():
        below[more].add(less)
    for cell in below:
        seen: set[int] = set()
        waiting = list(below[cell])
        while waiting:
            one = waiting.pop()
            if one not in seen:
                seen.add(one)
                waiting += below[one]
        below[cell] = seen
    return {cell: tuple(sorted(cells)) for cell, cells in below.items()}


def _cells(sections: Sections) -> Cells:
    plain: dict[str, Any] = msgspec.to_builtins(sections)
    return read_sections(plain)


def _document_cells(rows: Sequence[DocumentRow]) -> Cells:
    cells: Cells = [None] * (2 * len(BANDS))
    for row in rows:
        for band in row.bands:
            if band not in BANDS:
                raise UsageError(f"documents bands: got {band!r}, expected one of {', '.join(BANDS)}.")
            for number, (field, ways) in enumerate(_DOCUMENT_FIELDS.items()):
                index = 2 * BANDS.index(band) + number
                if cells[index] is not None:
                    raise UsageError(f"documents/{band}/{field} is set twice; keep one row for it.")
                cells[index] = ways.index(getattr(row, field))
    return cells


def _document_bytes(rules: Rules) -> bytes:
    cells = _document_cells(rules.documents)
    return bytes(1 if cell is None else cell for cell in cells)


def _document_rows(cells: bytes) -> tuple[DocumentRow, ...]:
    return tuple(
        DocumentRow(
            (band,),
            "not_media" if cells[2 * number] else "look_inside",
            "hold" if cells[2 * number + 1] else "still_only",
        )
        for number, band in enumerate(BANDS)
    )


def action_names(table: bytes) -> dict[str, str]:
    """A table as cell name → action name, for showing and for snapshots."""
    return {name: Action(action).name for name, action in zip(cell_names(), table, strict=True)}
