"""What every area of the store works with: typed sections, the clock's reading, and the settings in force."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import msgspec

from safelight.errors import StoreError, UsageError
from safelight.store import changes
from safelight.store.changes import Pending
from safelight.store.clock import Clock, Reading, TimeMark, first_mark, look
from safelight.store.settings import STRICTEST, Settings
from safelight.store.vault import Sections, Snapshot, StoreState, Vault, store_error

T = TypeVar("T")

TIME: Final = "time"
SETTINGS: Final = "settings"
PENDING: Final = "pending"

# How much running time a power cut may cost those who wait for a delay to pass.
_TOUCH_EVERY_S = 300.0


@dataclass(frozen=True, slots=True)
class View:
    """What is stored, as of now. In any state but ``OK`` there is nothing but the strictest settings."""

    state: StoreState
    settings: Settings
    pending: tuple[Pending, ...]
    reading: Reading
    sections: Mapping[str, bytes]
    generation: int = 0

    def get(self, name: str, kind: type[T]) -> T | None:
        """A section, or ``None``."""
        return decode(self.sections.get(name), kind)


class Work:
    """One transaction's view: what is changed here is written whole or not at all."""

    def __init__(self, sections: Sections, mark: TimeMark, reading: Reading) -> None:
        self.sections = sections
        self.reading = reading
        self.put(TIME, mark)
        settings = self.get(SETTINGS, Settings) or STRICTEST
        pending = self.get(PENDING, list[Pending]) or []
        self.settings, waiting = changes.matured(settings, pending, elapsed_s=reading.elapsed_s)
        self.pending = list(waiting)
        self._written = (self.settings, tuple(self.pending))
        if (self.settings, self.pending) != (settings, pending):
            self.put(SETTINGS, self.settings)
            self.put(PENDING, self.pending)

    def get(self, name: str, kind: type[T]) -> T | None:
        """A section, or ``None``.

        Raises:
            StoreError: it is authentic and not what this version writes.
        """
        return decode(self.sections.get(name), kind)

    def put(self, name: str, value: Any) -> None:
        """Set a section."""
        self.sections.put(name, msgspec.msgpack.encode(value))

    def put_mark(self, mark: TimeMark) -> None:
        """Set what is remembered about time."""
        self.put(TIME, mark)

    def finish(self) -> None:
        """Write settings and pending changes if they were changed."""
        if (self.settings, tuple(self.pending)) != self._written:
            self.put(SETTINGS, self.settings)
            self.put(PENDING, self.pending)


def decode(content: bytes | None, kind: type[T]) -> T | None:
    """A section's value.

    Raises:
        StoreError: it is not what this version writes.
    """
    if content is None:
        return None
    value: T | None = None
    with contextlib.suppress(msgspec.DecodeError, ValueError):
        value = msgspec.msgpack.decode(content, type=kind)
    if value is None:
        raise store_error(StoreState.DAMAGED)
    return value


class Desk:
    """Opens views and transactions over a vault. One for each :class:`~safelight.store.Store`."""

    def __init__(self, vault: Vault, clock: Clock) -> None:
        self.vault = vault
        self.clock = clock
        self._touched_s = float("-inf")
        # The last snapshot and what is in it: decoding it again at every check would be most of the cost.
        self._decoded: tuple[Snapshot, TimeMark, Settings, list[Pending]] | None = None

    def view(self) -> View:
        """What is stored now. Never raises for what is on the disk."""
        snapshot = self.vault.read()
        state = snapshot.state
        if state is StoreState.OK:
            try:
                mark, settings, pending = self._decode(snapshot)
                reading, _ = look(mark, self.clock)
                if reading.elapsed_s - mark.elapsed_s > _TOUCH_EVERY_S:
                    self._touch(reading.elapsed_s)
                settings, waiting = changes.matured(settings, pending, elapsed_s=reading.elapsed_s)
                return View(state, settings, tuple(waiting), reading, snapshot.sections, snapshot.generation)
            except StoreError:
                state = StoreState.DAMAGED
        reading, _ = look(first_mark(self.clock), self.clock)
        return View(state, STRICTEST, (), reading, {})

    @contextlib.contextmanager
    def work(self, *, create: bool = False) -> Iterator[Work]:
        """One transaction.

        Raises:
            StoreError: the store cannot be believed or written to; nothing was changed.
        """
        with self.vault.write(create=create) as sections:
            stored = decode(sections.get(TIME), TimeMark)
            if stored is None:
                if not sections.is_new:
                    raise store_error(StoreState.DAMAGED)
                stored = first_mark(self.clock)
            reading, mark = look(stored, self.clock)
            work = Work(sections, mark, reading)
            yield work
            work.finish()

    def _decode(self, snapshot: Snapshot) -> tuple[TimeMark, Settings, list[Pending]]:
        kept = self._decoded
        if kept is None or kept[0] is not snapshot:
            mark = decode(snapshot.sections.get(TIME), TimeMark)
            if mark is None:
                raise store_error(StoreState.DAMAGED)
            settings = decode(snapshot.sections.get(SETTINGS), Settings) or STRICTEST
            pending = decode(snapshot.sections.get(PENDING), list[Pending]) or []
            kept = self._decoded = (snapshot, mark, settings, pending)
        return kept[1:]

    def _touch(self, elapsed_s: float) -> None:
        """Remember how long the device has run. A store that cannot be written to says so elsewhere, and is not asked
        again at every look.
        """
        if elapsed_s - self._touched_s <= _TOUCH_EVERY_S:
            return
        self._touched_s = elapsed_s
        with contextlib.suppress(StoreError, UsageError):
            with self.work():
                pass
