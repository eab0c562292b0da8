"""The words that a host and its isolated detectors speak. See :mod:`safelight.detect._worker`.

Every message is 4 bytes of length, little-endian, then msgpack into one of the structs below: strict types,
bounded texts and lists, unknown fields refused. Never pickle: a child gone bad must not run code in its host.
"""

from __future__ import annotations

from typing import Annotated, Any, Final

import msgspec

LENGTH_BYTES: Final = 4
#: Of one answer: every detector's MAX_FINDINGS with the longest words would be more, ten times the usual is less.
MAX_ANSWER_BYTES: Final = 64 << 10
#: Of one request; only ``Start`` comes near, with the callers' own arguments.
MAX_REQUEST_BYTES: Final = 1 << 20
#: Detectors in one child.
MAX_DETECTORS: Final = 32
#: Of one detector about one picture.
MAX_FINDINGS: Final = 32
#: Instead of a file descriptor: there is no anonymous memory, pixels follow each ``Look`` in the pipe.
NO_MEMORY_FD: Final = -1

_Word = Annotated[str, msgspec.Meta(max_length=64)]
#: Ids of detectors and models. They end up in decisions, so they can hold no sentence.
_Id = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9._+-]{1,128}\Z")]
_Text = Annotated[str, msgspec.Meta(max_length=512)]
_Side = Annotated[int, msgspec.Meta(ge=1, le=1 << 24)]


class Build(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One detector to build: ``module:callable`` and its keyword arguments."""

    factory: str
    kwargs: dict[str, Any]


class Start(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """First message to a child."""

    builds: list[Build]
    memory_limit_bytes: int | None


class Built(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What one detector says of itself after it was prepared, and so before it saw a picture.

    ``models``: what it may name in findings beside its id; its attribute of that name, if it has one.
    """

    id: _Id
    kinds: Annotated[list[_Word], msgspec.Meta(max_length=16)]
    models: Annotated[list[_Id], msgspec.Meta(max_length=MAX_FINDINGS)]
    state: _Word


class Ready(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """First message from a child; an empty list when a detector could not be built."""

    built: Annotated[list[Built], msgspec.Meta(max_length=MAX_DETECTORS)]


class Look(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One picture: all of :class:`~safelight.media.Image` except its pixels."""

    id: int
    height_px: _Side
    width_px: _Side
    full_width_px: int
    full_height_px: int
    area_px: tuple[float, float, float, float]
    frame: int
    view: str


class Seen(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One :class:`~safelight.decision.Finding`, its words not yet checked."""

    kind: _Word
    state: _Word
    label: _Word | None
    score: float | None
    model: _Text | None
    interval_years: tuple[float, float] | None


_Findings = Annotated[list[Seen], msgspec.Meta(max_length=MAX_FINDINGS)]


class Answer(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What every detector saw, in their order. ``exhausted``: memory ran out, do not use this child again."""

    id: int
    seen: Annotated[list[_Findings], msgspec.Meta(max_length=MAX_DETECTORS)]
    exhausted: bool


def encode(message: msgspec.Struct) -> bytes:
    """A message as it travels: its length, little-endian, then msgpack."""
    body = msgspec.msgpack.encode(message)
    return len(body).to_bytes(LENGTH_BYTES, "little") + body
