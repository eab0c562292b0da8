"""Holds: what is kept back, and the ways it comes free. Remove first, restore after another look.

A hold is a *handle* on the host's own copy. Bytes are kept only where no other copy exists (a capture, a received
stream): sealed, capped, and erased when they expire. They come out byte for byte when the hold is released, and
in no other way: a guardian approves a category and sees how many there are of it, never one of them.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Final

import msgspec

from safelight.decision import Action, AgeBand, Event
from safelight.errors import StoreError, UsageError
from safelight.store.vault import StoreState

if TYPE_CHECKING:
    from safelight.decision import Decision, Redress
    from safelight.store._work import Work
    from safelight.store.store import Store

SECTION: Final = "holds"

KNOWN_MATCH: Final = "KNOWN_MATCH"
_EXPLICIT: Final = "NUDITY_EXPLICIT"
_OUTGOING: Final = frozenset({Event.CAPTURE, Event.UPLOAD, Event.SEND, Event.SAVE, Event.MESSAGE})
_LOOKING: Final = frozenset({Event.RECEIVE, Event.VIEW})
_MAX_HANDLE: Final = 256
_DAY_S: Final = 86_400.0


@dataclass(frozen=True, slots=True)
class HoldLimits:
    """Bounds of what is kept back.

    Attributes:
        max_holds: how many at once.
        max_item_bytes, max_total_bytes: of bytes kept, one item and all together.
        handle_days, bytes_days: running days until a hold expires.
    """

    max_holds: int = 500
    max_item_bytes: int = 32 * 1024 * 1024
    max_total_bytes: int = 256 * 1024 * 1024
    handle_days: int = 30
    bytes_days: int = 14


class HoldState(str, Enum):
    """Where a hold stands."""

    HELD = "HELD"
    KEPT = "KEPT"
    """A second look said the same; a guardian may still approve the category."""
    APPEALED = "APPEALED"
    """It matched a known list: not released here. Its appeal goes by hash, to whoever keeps the list."""
    RELEASED = "RELEASED"
    LOST = "LOST"
    """Its bytes are gone or are not what was kept."""

    def __str__(self) -> str:
        return str(self.value)


class _Record(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    id: str
    category: str
    event: str
    age_band: str
    action: int
    known: bool
    handle: str
    size_bytes: int
    expires_s: float
    state: str = HoldState.HELD.value
    binding: str = ""
    """Keyed digest of the content: a release is for these bytes, not for a name."""


class _Kept(msgspec.Struct, frozen=True, array_like=True):
    record: _Record
    data: bytes


@dataclass(frozen=True, slots=True)
class Hold:
    """One thing that is kept back.

    Attributes:
        id: of the hold; says nothing about what is held.
        category: reason id of the decision.
        event: what was about to happen.
        age_band: who was protected.
        action: what was decided.
        state: where it stands.
        known: it matched a known list.
        handle: the host's own, as given.
        size_bytes: of bytes kept here; 0 when the host has the copy.
        expires_in_s: running time until it is forgotten, and its bytes erased.
    """

    id: str
    category: str
    event: Event
    age_band: AgeBand
    action: Action
    state: HoldState
    known: bool
    handle: str
    size_bytes: int
    expires_in_s: float


@dataclass(frozen=True, slots=True)
class Appeal:
    """What became of "this is wrong".

    Attributes:
        hold: as it stands now; ``None`` when nothing was kept back by a hold.
        decision: of the second look; ``None`` when there was none to be had here: a match with a known list is
            appealed by hash, at whoever keeps the list.
        released: whether it may go ahead now, as far as ``decision`` says.
        redress: what to show the person when it stays: who to turn to now; ``None`` when it is released.
    """

    hold: Hold | None
    decision: Decision | None
    released: bool
    redress: Redress | None = None


class Holds:
    """Holds of one store."""

    def __init__(self, store: Store, limits: HoldLimits) -> None:
        self._store = store
        self.limits = limits

    def all(self) -> tuple[Hold, ...]:
        """All of them, for the child's screen. Empty when the store cannot be believed (``store.state`` says so)."""
        view = self._store.view()
        try:
            records = view.get(SECTION, list[_Record]) or []
        except StoreError:
            return ()
        elapsed_s = view.reading.elapsed_s
        return tuple(_hold(record, elapsed_s) for record in records if record.expires_s > elapsed_s)

    def get(self, hold_id: str) -> Hold:
        """One of them.

        Raises:
            UsageError: there is none with this id.
        """
        for hold in self.all():
            if hold.id == hold_id:
                return hold
        raise _unknown()

    def counts(self) -> dict[str, int]:
        """Category to how many wait for somebody: all that a guardian sees."""
        waiting = (HoldState.HELD, HoldState.KEPT)
        return dict(sorted(Counter(hold.category for hold in self.all() if hold.state in waiting).items()))

    def keep(
        self, decision: Decision, *, handle: str = "", data: bytes | None = None, digest: bytes | None = None
    ) -> Hold:
        """Keep something back.

        Args:
            decision: of action ``HOLD`` or ``BLOCK``.
            handle: the host's own word for its copy, at most 256 characters, handed back as given.
            data: the bytes, only where no other copy exists.
            digest: SHA-256 of the content, so that :meth:`find` knows it again. Only a digest of it is kept,
                keyed with the hold's id.

        Raises:
            UsageError: the decision lets it pass, neither handle nor data was given, or they are too large.
            StoreError: no room, or the store cannot be written to. Nothing that was kept is given up for it, so
                the action must not go ahead.
        """
        if decision.action < Action.HOLD:
            raise UsageError(
                f"decision: got {decision.action.name}, expected HOLD or BLOCK; nothing is to be kept back."
            )
        if not handle and data is None:
            raise UsageError("hold: got neither handle nor data; expected the host's handle, or bytes without a copy.")
        if len(handle) > _MAX_HANDLE:
            raise UsageError(f"handle: got {len(handle)} characters, expected at most {_MAX_HANDLE}; give a short id.")
        size_bytes = len(data) if data is not None else 0
        if size_bytes > self.limits.max_item_bytes:
            raise _full(f"{size_bytes} bytes at once, expected at most {self.limits.max_item_bytes}")
        days = self.limits.handle_days if data is None else self.limits.bytes_days
        with self._store.work(create=True) as work:
            records = self._current(work)
            if len(records) >= self.limits.max_holds:
                raise _full(f"{len(records)} holds, expected fewer than {self.limits.max_holds}")
            total = sum(record.size_bytes for record in records) + size_bytes
            if total > self.limits.max_total_bytes:
                raise _full(f"{total} bytes together, expected at most {self.limits.max_total_bytes}")
            hold_id = secrets.token_hex(8)
            record = _Record(
                id=hold_id,
                category=decision.reasons[0] if decision.reasons else decision.action.name,
                event=decision.event.value,
                age_band=decision.age_band.value,
                action=int(decision.action),
                known=KNOWN_MATCH in decision.reasons,
                handle=handle,
                size_bytes=size_bytes,
                expires_s=work.reading.elapsed_s + days * _DAY_S,
                binding=_binding(hold_id, digest) if digest is not None else "",
            )
            if data is not None:
                # With its record, so that it can be saved from a store that is damaged elsewhere.
                work.sections.put_held(record.id, msgspec.msgpack.encode(_Kept(record, data)))
            work.put(SECTION, [*records, record])
            return _hold(record, work.reading.elapsed_s)

    def find(self, decision: Decision, *, digest: bytes) -> Hold | None:
        """The newest hold that was made of exactly this content and covers this decision.

        Looking (``receive``, ``view``) is one purpose, every other event is one of its own. What is decided more
        strictly now is covered by none, so that an older one that was released does not let it through.

        Args:
            decision: of action ``HOLD`` or ``BLOCK``.
            digest: SHA-256 of the content.

        Raises:
            StoreError: what is held cannot be read.
        """
        view = self._store.view()
        elapsed_s = view.reading.elapsed_s
        known = KNOWN_MATCH in decision.reasons
        events = _LOOKING if decision.event in _LOOKING else frozenset({decision.event})
        for record in reversed(view.get(SECTION, list[_Record]) or []):
            if (
                record.binding
                and record.expires_s > elapsed_s
                and Event(record.event) in events
                and hmac.compare_digest(record.binding, _binding(record.id, digest))
            ):
                covers = record.action >= decision.action and record.known >= known
                return _hold(record, elapsed_s) if covers else None
        return None

    def approve(self, category: str, *, pin: str | None) -> tuple[Hold, ...]:
        """A guardian lets a category through, unseen; what is in it becomes ``RELEASED``.

        Never a known-list match, never what was stopped (``BLOCK``), and never an explicit picture that a minor made
        or was about to send: those come free by a second look or not at all.

        Raises:
            PinError: without the right PIN.
            StoreError: it could not be written down.
        """
        self._store.check_pin(pin)
        released = []
        with self._store.work() as work:
            records = self._current(work)
            for index, record in enumerate(records):
                if record.category == category and _approvable(record):
                    records[index] = msgspec.structs.replace(record, state=HoldState.RELEASED.value)
                    released.append(_hold(records[index], work.reading.elapsed_s))
            work.put(SECTION, records)
        return tuple(released)

    def restore(self, hold_id: str) -> bytes:
        """The bytes of a released hold, as they were. They stay until :meth:`finish` or expiry.

        Raises:
            UsageError: there is none with this id, it is not released, or the host has the copy.
            StoreError: the store cannot be read; or the bytes are lost (state ``LOST``), which is never hidden.
        """
        with self._store.work() as work:
            record = _find(self._current(work), hold_id)
            if record.state != HoldState.RELEASED.value:
                raise UsageError(f"hold: got one in state {record.state}, expected RELEASED; ask for a second look.")
            if not record.size_bytes:
                raise UsageError("hold: got one whose copy the host has; use its handle.")
        return self._bytes(hold_id)

    def finish(self, hold_id: str) -> None:
        """Forget a released (or lost) hold, after the host has its bytes in a safe place. Erases them here.

        Raises:
            UsageError: there is none with this id, or it is still kept back.
            StoreError: it could not be written down.
        """
        with self._store.work() as work:
            records = self._current(work)
            record = _find(records, hold_id)
            if record.state not in (HoldState.RELEASED.value, HoldState.LOST.value):
                raise UsageError(f"hold: got one in state {record.state}, expected RELEASED; nothing is thrown away.")
            work.sections.drop_held(hold_id)
            work.put(SECTION, [other for other in records if other.id != hold_id])

    # -- for the guard's second look ----------------------------------------------------------------------------------

    def _bytes(self, hold_id: str) -> bytes:
        """Bytes for whom they belong to and for the detectors of a second look, never for a guardian's screen."""
        with self._store.work() as work:
            _find(self._current(work), hold_id)
            data = _data(work.sections.get_held(hold_id))
        if data is None:
            self._set_state(hold_id, HoldState.LOST)
            raise StoreError(
                "hold: got bytes that are gone or damaged, expected what was kept; there is no other copy here.",
                state=HoldState.LOST.value,
            )
        return data

    def _adopt(self, work: Work, items: Iterable[tuple[str, bytes]]) -> None:
        """Take over what was kept in a store that was put aside; it counts as held, whatever it was there."""
        records = self._current(work)
        for item_id, content in items:
            kept = _decoded(content)
            if kept is None or kept.record.id != item_id or any(record.id == item_id for record in records):
                continue
            expires_s = work.reading.elapsed_s + self.limits.bytes_days * _DAY_S
            work.sections.put_held(item_id, content)
            records.append(msgspec.structs.replace(kept.record, expires_s=expires_s))
        work.put(SECTION, records)

    def _set_state(self, hold_id: str, state: HoldState) -> Hold:
        with self._store.work() as work:
            records = self._current(work)
            record = _find(records, hold_id)
            changed = msgspec.structs.replace(record, state=state.value)
            records[records.index(record)] = changed
            work.put(SECTION, records)
            return _hold(changed, work.reading.elapsed_s)

    def _current(self, work: Work) -> list[_Record]:
        """Those that have not expired; forgets the others and erases their bytes."""
        records = work.get(SECTION, list[_Record]) or []
        kept = [record for record in records if record.expires_s > work.reading.elapsed_s]
        for record in records:
            if record not in kept:
                work.sections.drop_held(record.id)
        if len(kept) != len(records):
            work.put(SECTION, kept)
        return kept


def _binding(hold_id: str, digest: bytes) -> str:
    # Keyed by the hold, so that it is in no table of hashes and two holds of one picture have nothing in common.
    return hashlib.blake2b(digest, digest_size=16, key=hold_id.encode(), person=b"safelight/hold").hexdigest()


def _approvable(record: _Record) -> bool:
    if record.known or record.action != Action.HOLD:
        return False
    if record.state not in (HoldState.HELD.value, HoldState.KEPT.value):
        return False
    own_picture = Event(record.event) in _OUTGOING and record.category == _EXPLICIT
    return not (own_picture and record.age_band != AgeBand.ADULT.value)


def _decoded(content: bytes | None) -> _Kept | None:
    if content is None:
        return None
    try:
        return msgspec.msgpack.decode(content, type=_Kept)
    except (msgspec.DecodeError, ValueError):
        return None


def _data(content: bytes | None) -> bytes | None:
    kept = _decoded(content)
    return kept.data if kept is not None else None


def _find(records: list[_Record], hold_id: str) -> _Record:
    for record in records:
        if record.id == hold_id:
            return record
    raise _unknown()


def _unknown() -> UsageError:
    return UsageError("hold: got an id that no hold has; `safelight holds list` prints those that are there.")


def _full(got: str) -> StoreError:
    return StoreError(
        f"holds: got {got}; release or finish some, and keep the action back meanwhile.", state=StoreState.FULL.value
    )


def _hold(record: _Record, elapsed_s: float) -> Hold:
    return Hold(
        id=record.id,
        category=record.category,
        event=Event(record.event),
        age_band=AgeBand(record.age_band),
        action=Action(record.action),
        state=HoldState(record.state),
        known=record.known,
        handle=record.handle,
        size_bytes=record.size_bytes,
        expires_in_s=record.expires_s - elapsed_s,
    )
