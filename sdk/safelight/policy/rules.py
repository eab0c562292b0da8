"""Rules: a validated document and the flat table that the evaluator reads."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import msgspec

from safelight import _native
from safelight.errors import UsageError
from safelight.policy.table import RulesTable, expand


class _PictureRow(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    bands: list[str]
    explicit: str
    suggestive: str
    none: str
    events: list[str] | msgspec.UnsetType = msgspec.UNSET
    subjects: list[str] | msgspec.UnsetType = msgspec.UNSET


class _FloorRow(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    bands: list[str]
    events: list[str] | msgspec.UnsetType = msgspec.UNSET
    explicit: str | msgspec.UnsetType = msgspec.UNSET
    suggestive: str | msgspec.UnsetType = msgspec.UNSET


class _CouldNotTellRow(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    bands: list[str]
    action: str


class _StrongEvidence(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    explicit_score: float
    minor_score: float


class _Document(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    schema: int
    id: str
    version: int
    picture: list[_PictureRow]
    could_not_tell: list[_CouldNotTellRow]
    known_match: str
    strong_evidence: _StrongEvidence
    floors: list[_FloorRow] = []


@dataclass(frozen=True, slots=True)
class Rules:
    """What the evidence means, as data.

    Attributes:
        id: of the document, e.g. ``safelight-default``.
        version: of the document; higher is newer.
        table: the flat form.
    """

    id: str
    version: int
    table: RulesTable

    @classmethod
    def from_json(cls, document: bytes | str) -> Rules:
        """Read a rules document.

        Raises:
            UsageError: not JSON, another schema, an unknown field or word, or a cell without an action.
        """
        try:
            parsed = msgspec.json.decode(document, type=_Document)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise UsageError(f"rules document: {error}; compare it with policy/default_rules.json.") from None
        if parsed.schema != 1:
            raise UsageError(f"rules document: got schema {parsed.schema}, this version reads schema 1.")
        plain: dict[str, Any] = msgspec.to_builtins(parsed)
        return cls(id=parsed.id, version=parsed.version, table=expand(plain))

    @classmethod
    def default(cls) -> Rules:
        """The rules that ship, as compiled into the native core: they cannot be missing.

        ``policy/default_rules.json`` is the document they were compiled from.
        """
        return _default()


@lru_cache(maxsize=1)
def _default() -> Rules:
    return Rules(id="safelight-default", version=1, table=RulesTable.unpack(_native.default_rules()))
