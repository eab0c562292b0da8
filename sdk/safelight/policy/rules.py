"""Rules: a validated document and the flat table that the evaluator reads."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

import msgspec

from safelight import _native
from safelight.decision import AgeBand
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
    documents: list[DocumentRow]
    floors: list[_FloorRow] = []


class DocumentRow(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """What is done with files that hold pictures: documents and archives, and photos with a clip behind them.

    Attributes:
        bands: age bands of the row.
        containers: ``not_media`` holds every document; ``look_inside`` looks at the pictures in it.
        motion_photo: ``hold`` holds a photo whose clip cannot be looked at; ``still_only`` looks at the still.
    """

    bands: list[str]
    containers: Literal["not_media", "look_inside"]
    motion_photo: Literal["hold", "still_only"]


@dataclass(frozen=True, slots=True)
class Rules:
    """What the evidence means, as data.

    Attributes:
        id: of the document, e.g. ``safelight-default``.
        version: of the document; higher is newer.
        table: the flat form.
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
        return DocumentRow([band.value], "not_media", "hold")

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
        return cls(id=parsed.id, version=parsed.version, table=expand(plain), documents=tuple(parsed.documents))

    @classmethod
    def default(cls) -> Rules:
        """The rules that ship, as compiled into the native core: they cannot be missing.

        ``policy/default_rules.json`` is the document they were compiled from.
        """
        return _default()


@lru_cache(maxsize=1)
def _default() -> Rules:
    return Rules.from_json(_native.DEFAULT_RULES_JSON)
