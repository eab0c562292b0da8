"""Detectors that misbehave on request. Imported by name in the children of ``test_isolation.py``.

The red value of a picture's first pixel says what to do, so that one detector meets good and bad pictures.
"""

from __future__ import annotations

import ctypes
import os
import sys
import threading
import zlib
from enum import IntEnum
from typing import Any

from safelight.decision import Finding, FindingKind, Label, State
from safelight.detect import _wire
from safelight.media import Image


class Do(IntEnum):
    FINE = 0
    SEGFAULT = 1
    EXIT = 2
    SPIN = 3
    HOLD_GIL = 4
    HOG = 5
    GARBAGE = 6
    OVERSIZE = 7
    FUTURE = 8
    STALE = 9
    HALF = 10
    NAN = 11
    ABOVE_ONE = 12
    OTHER_KIND = 13
    OTHER_MODEL = 14
    NOTHING = 15
    RAISE = 16
    LONG_MODEL = 17
    TOO_LOW = 18
    ABANDONED_PIPE = 19
    WRITE_FILE = 20
    TOO_FEW = 21
    FLOOD = 22
    TWO = 23
    BAD_INTERVAL = 24
    EMPTY = 25
    ONE_OF_TWO = 26
    JOINED = 27
    TOO_MANY = 28


class Plain:
    """Scores a picture by a checksum of everything that a detector can see of it."""

    id = "plain"
    kinds = (FindingKind.NUDITY,)

    def prepare(self) -> State:
        return State.OK

    def detect(self, image: Image) -> list[Finding]:
        assert not image.pixels.flags.writeable
        return [Finding(self.kinds[0], State.OK, Label.SUGGESTIVE, checksum(image), self.id)]

    def close(self) -> None:
        pass


class Stub:
    """Does what the first pixel says; else answers as ``Plain``.

    Args:
        id: its id.
        kind: its one kind.
        fifo: opened and written to when a picture has arrived, so that a test knows.
        state: what ``prepare`` says.
        file: what ``WRITE_FILE`` writes.
    """

    def __init__(
        self, id: str = "stub", kind: str = "nudity", fifo: str = "", state: str = "OK", file: str = ""
    ) -> None:
        self.id = id
        self.kind = FindingKind(kind)
        self.kinds = (self.kind,)
        self.models = ("first", "second")
        self._fifo = fifo
        self._state = State(state)
        self._file = file

    def prepare(self) -> State:
        return self._state

    def detect(self, image: Image) -> list[Finding]:
        assert not image.pixels.flags.writeable
        do = Do(int(image.pixels[0, 0, 0]))
        if self._fifo:
            with open(self._fifo, "wb") as fifo:
                fifo.write(b"!")
        if do is not Do.FINE:
            answer: Any = getattr(self, f"_{do.name.lower()}")(image)
            if answer is not self:
                return answer  # type: ignore[no-any-return]
        if self._state is not State.OK:
            return [Finding(self.kind, self._state, model=self.id)]
        return self._found(checksum(image))

    def close(self) -> None:
        pass

    def _found(self, score: float, model: str = "", kind: FindingKind | None = None) -> list[Finding]:
        return [Finding(kind or self.kind, State.OK, Label.SUGGESTIVE, score, model or self.id)]

    def _segfault(self, _: Image) -> None:
        ctypes.string_at(0)

    def _exit(self, _: Image) -> None:
        os._exit(0)

    def _spin(self, _: Image) -> None:
        while True:
            pass

    def _hold_gil(self, _: Image) -> None:
        ctypes.PyDLL(None).pause()

    def _hog(self, _: Image) -> None:
        bytearray(2 << 30)

    def _garbage(self, _: Image) -> None:
        _answer((8).to_bytes(4, "little") + b"\xc1garbage")

    def _oversize(self, _: Image) -> None:
        _answer(b"\xff\xff\xff\xff")

    def _future(self, _: Image) -> None:
        _answer(_wire.encode(_wire.Answer(1 << 40, [[_allowed()]], False)))

    def _stale(self, _: Image) -> object:
        _answer(_wire.encode(_wire.Answer(0, [[_allowed()]], False)))
        return self

    def _flood(self, _: Image) -> None:
        while True:
            _answer(_wire.encode(_wire.Answer(0, [[_allowed()]], False)))

    def _too_few(self, _: Image) -> None:
        _answer(b"".join(_wire.encode(_wire.Answer(number, [], False)) for number in range(64)))

    def _half(self, _: Image) -> None:
        _answer((100).to_bytes(4, "little") + b"\x00")
        threading.Event().wait()

    def _nan(self, _: Image) -> list[Finding]:
        return self._found(float("nan"))

    def _above_one(self, _: Image) -> list[Finding]:
        return self._found(1.5)

    def _bad_interval(self, _: Image) -> list[Finding]:
        return [Finding(self.kind, State.OK, Label.MINOR, 0.5, self.id, (9.0, float("nan")))]

    def _other_kind(self, _: Image) -> list[Finding]:
        return self._found(0.0, kind=FindingKind.KNOWN)

    def _one_of_two(self, image: Image) -> list[Finding]:
        return self._found(1.0) + self._other_kind(image)

    def _two(self, _: Image) -> list[Finding]:
        return [
            *self._found(0.75, "second"),
            Finding(self.kind, State.OK, Label.MINOR, 0.5, "first", (9.5, 14.0)),
            Finding(self.kind, State.TOO_SMALL, model=self.id),
        ]

    def _joined(self, _: Image) -> list[Finding]:
        return self._found(0.25, "first+second")

    def _other_model(self, _: Image) -> list[Finding]:
        return self._found(0.25, "first+a text that somebody wrote")

    def _long_model(self, _: Image) -> list[Finding]:
        return self._found(0.0, "a" * 1000)

    def _empty(self, _: Image) -> list[Finding]:
        return []

    def _too_many(self, _: Image) -> list[Finding]:
        return self._found(0.0) * 1000

    def _nothing(self, _: Image) -> None:
        return None

    def _raise(self, _: Image) -> None:
        raise ZeroDivisionError

    def _too_low(self, _: Image) -> list[Finding]:
        return [Finding(self.kind, State.LOW_QUALITY, Label.NONE, 0.0, self.id)]

    def _abandoned_pipe(self, _: Image) -> None:
        """End, and leave somebody behind who keeps the pipes open."""
        here = os.open(self._fifo, os.O_WRONLY)
        if os.fork() == 0:
            threading.Event().wait()
        os.close(here)
        os._exit(0)

    def _write_file(self, image: Image) -> object:
        try:
            with open(self._file, "wb") as file:
                file.write(image.pixels.tobytes())
        except OSError:
            return self
        return None


def checksum(image: Image) -> float:
    """In [0, 1], of all that travels."""
    seen = (
        f"{image.pixels.shape} {image.full_width_px} {image.full_height_px} {image.area_px} {image.frame} {image.view}"
    )
    return zlib.crc32(image.pixels.tobytes(), zlib.crc32(seen.encode())) / 0xFFFFFFFF


def broken_factory() -> Stub:
    raise RuntimeError("this factory always fails")


def _answer(data: bytes) -> None:
    os.write(int(sys.argv[2]), data)


def _allowed() -> _wire.Seen:
    return _wire.Seen("nudity", "OK", "none", 0.0, "stub", None)
