"""Rules: a validated document and the flat table that the evaluator reads."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import msgspec

from safelight import _native
from safelight.decision import AgeBand
from safelight.errors import UsageError
from safelight.policy.sections import DocumentRow, RulesDocument
from safelight.policy.table import RulesTable, expand

SCHEMA = 2


class _Version(msgspec.Struct):
    schema: int


@dataclass(frozen=True, slots=True)
class Rules:
    """What the evidence means, as data.

    Attributes:
        id: of the document, e.g. ``safelight-default``.
        version: of the document; higher is newer.
        table: the flat form. Its floors are those of the document and of the rules that ship.
        documents: what is done with files that hold pictures, by age band; the stricter way for a band that
            no row names.
    """

    id: str
    version: int
    table: RulesTable
    documents: tuple[DocumentRow, ...] = ()

    def document(self, band: AgeBand) -> DocumentRow:
        """The row for an age band."""
        for row in self.documents:
            if band.value in row.bands:
                return row
        return DocumentRow((band.value,), "not_media", "hold")

    @classmethod
    def from_json(cls, document: bytes | str) -> Rules:
        """Read a rules document (``docs/schema/rules.schema.json``).

        Raises:
            UsageError: not JSON, another schema, an unknown field or word, a situation without an action, below a
                floor of the rules that ship, or less protection for a younger band or a more severe situation.
        """
        try:
            schema = msgspec.json.decode(document, type=_Version).schema
            if schema != SCHEMA:
                raise UsageError(f"rules document: got schema {schema}, this version reads schema {SCHEMA}.")
            parsed = msgspec.json.decode(document, type=RulesDocument)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise UsageError(f"rules document: {error}; compare it with policy/default_rules.json.") from None
        plain: dict[str, Any] = msgspec.to_builtins(parsed)
        return cls(parsed.id, parsed.version, expand(plain, floors=shipped_floors()), parsed.documents)

    @classmethod
    def default(cls) -> Rules:
        """The rules that ship, as compiled into the native core: they cannot be missing.

        ``policy/default_rules.json`` is the document they were compiled from.
        """
        return _default()


@lru_cache(maxsize=1)
def shipped_floors() -> bytes:
    """The floors that hold for every document, as compiled into the native core."""
    return RulesTable.unpack(_native.default_rules()).floors


@lru_cache(maxsize=1)
def _default() -> Rules:
    return Rules.from_json(_native.DEFAULT_RULES_JSON)
