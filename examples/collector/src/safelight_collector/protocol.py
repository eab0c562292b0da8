"""The words on the wire as the collector reads them. Their one definition is ``safelight.reporting.wire``.

What differs here: a batch may be of any size until the collector's own limit is looked at (a typed answer, not
"malformed"), and a record of a wrong size is refused by itself, so that it never holds back the others of its batch.
"""

from __future__ import annotations

from typing import Annotated, Final, Literal

import msgspec
from safelight.reporting.wire import (
    SCHEMA,
    SEALED_BYTES,
    SIGNATURE_BYTES,
    Ack,
    CollectorInfo,
    ErrorAnswer,
    Hex32,
    KeyAnswer,
    KeyRequest,
    RecordsAnswer,
    RotateRequest,
    pseudonym_of,
    verify_rotation,
)

__all__ = [
    "SCHEMA",
    "SEALED_BYTES",
    "SIGNATURE_BYTES",
    "Ack",
    "CollectorInfo",
    "CountersAnswer",
    "ErrorAnswer",
    "KeyAnswer",
    "KeyRequest",
    "RecordsAnswer",
    "Refusal",
    "RotateRequest",
    "TravellingRecord",
    "Upload",
    "pseudonym_of",
    "verify_rotation",
]

#: Why a record was refused. Final: the device counts it and does not send it again.
Refusal = Literal["size", "signature", "content", "mismatch"]
REFUSALS: Final[tuple[Refusal, ...]] = ("size", "signature", "content", "mismatch")


class TravellingRecord(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One record on its way: sealed to the collector, signed by the device's key of that epoch. Bytes are base64."""

    id: Hex32
    sealed: bytes
    signature: bytes


class Upload(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Body of ``POST /v1/records``: records of one pseudonym."""

    pseudonym: Hex32
    records: Annotated[tuple[TravellingRecord, ...], msgspec.Meta(min_length=1)]


class CountersAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """Answer to ``GET /v1/counters``; small cells are left out."""

    schema: int
    from_: str = msgspec.field(name="from")
    to: str
    counters: dict[str, int]
