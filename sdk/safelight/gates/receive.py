"""Received pictures and clips: looked at before anybody sees them, shown as far as the decision allows, no further.

    received = gate.receive(content)      content is read once; what is checked is what is handed on
         │
    ALLOW, NUDGE   received.picture       the bytes that were checked
    BLUR           received.stand_in      and received.ask_to_look(): a second choice, which gives the bytes once
    HOLD           received.stand_in      and received.hold
    BLOCK          nothing but received.notice

Before the verdict there is only :attr:`ReceiveGate.waiting`, which says nothing about the picture.
"""

from __future__ import annotations

import asyncio
import hashlib
import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from safelight.decision import Action, Event
from safelight.errors import (
    ClosedError,
    MediaNotFoundError,
    SafelightError,
    StoreError,
    UnsupportedInputError,
    UsageError,
)
from safelight.gates._choice import Offer, SecondChoice, offers_to_look
from safelight.media import NotJudged, read_content
from safelight.media.clip import is_clip
from safelight.media.stand_in import PLAIN, StandIn, make_stand_in

if TYPE_CHECKING:
    import os
    from typing import BinaryIO

    from safelight.decision import Decision, Notice
    from safelight.guard import Guard
    from safelight.store import Hold

    Source = str | os.PathLike[str] | bytes | bytearray | memoryview | BinaryIO

_KNOWN_MATCH: Final = "KNOWN_MATCH"
_LOOKING: Final = frozenset({Event.RECEIVE, Event.VIEW})
_CHUNK_BYTES: Final = 1 << 20
_MAX_HANDLE: Final = 256
_HEAD_BYTES: Final = 4096  # enough to know a clip by


Also = Callable[[], "Decision | None"]
"""Decides about what a picture is part of (a conversation), whenever it is asked."""


@dataclass(frozen=True, slots=True, repr=False, eq=False)
class Content:
    """What was read: ``data`` is ``None`` when there is more than the limit."""

    data: bytes | None
    digest: bytes
    source: Any
    in_memory: bool
    copied: bool
    """The host has a copy of its own: a file, or what it gave a handle for."""


class Received:
    """What may be shown, saved or sent of one picture. Made by :class:`ReceiveGate`.

    Attributes:
        decision: of the guard. Show its notice whenever there is one.
        picture: the bytes that were checked, where the decision is ``ALLOW`` or ``NUDGE``, or a hold of exactly this
            content was released; else ``None``.
        stand_in: shown in the picture's place at ``BLUR`` and ``HOLD``, a clip's is plain; ``None`` at ``BLOCK``, which
            shows nothing.
        hold: what keeps it back, for ``HOLD`` and ``BLOCK`` with a store; else ``None``.
        hold_problem: why there is no hold where there should be one: a :class:`~safelight.store.StoreState`,
            ``TOO_LARGE``, or ``NO_STORE`` for a guard without one. The picture stays back all the same; where the host
            has no copy of its own it must not tell the sender's server that it has arrived.
        released: a hold of exactly this content was released, and that is why there is a picture.
    """

    __slots__ = ("_offer", "decision", "hold", "hold_problem", "picture", "released", "stand_in")

    def __init__(
        self,
        decision: Decision,
        *,
        picture: bytes | None = None,
        stand_in: StandIn | None = None,
        hold: Hold | None = None,
        hold_problem: str | None = None,
        released: bool = False,
        offer: Offer[bytes] | None = None,
    ) -> None:
        self.decision = decision
        self.picture = picture
        self.stand_in = stand_in
        self.hold = hold
        self.hold_problem = hold_problem
        self.released = released
        self._offer = offer

    @property
    def action(self) -> Action:
        """Of the decision."""
        return self.decision.action

    @property
    def notice(self) -> Notice | None:
        """Of the decision: what to show with, or in place of, the picture; ``None`` when it was released."""
        return None if self.released else self.decision.notice

    @property
    def may_look(self) -> bool:
        """Whether :meth:`ask_to_look` can be asked: the rules leave a choice, and the notice offers it."""
        return self._offer is not None

    def ask_to_look(self) -> SecondChoice[bytes]:
        """The person has asked to see what is blurred: ask once more, in words, before anything is shown.

        Raises:
            UsageError: the decision leaves no choice, or it was looked at already; ask the gate for another view.
        """
        if self._offer is None:
            raise UsageError(
                f"received: got {self.action.name} for {self.decision.event.value}, expected BLUR with a choice to "
                "look; show the notice and the stand-in."
            )
        return self._offer.ask()

    def close(self) -> None:
        """Let go of the bytes. Safe to call twice."""
        self.picture = None
        if self._offer is not None:
            self._offer.close()

    def __enter__(self) -> Received:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return (
            f"Received(action={self.action.name}, event={self.decision.event.value!r}, "
            f"picture={self.picture is not None}, may_look={self.may_look})"
        )


class ReceiveGate:
    """Holds a received picture until there is a verdict, and hands on what the verdict allows.

    Content is read once: the bytes that were checked are the ones handed on, so that a file exchanged behind its name
    is checked as what it has become. May be used from several threads. Nothing is kept but the digests of the last
    pictures that were allowed, in memory, so that scrolling does not look at the same bytes again.

    Args:
        guard: decides. With a store, what is held becomes a hold; without one the host's own copy is all there is.
        second_choice_s: how long a second choice stays fresh, in seconds.
        remember: how many allowed pictures are not looked at again, 0 or more.
        remember_s: for how long, in seconds. Other rules or another profile end it at once.
        clock: gives monotonic seconds.

    Raises:
        UsageError: an argument is out of its range.

    Example:
        >>> from safelight import Guard
        >>> from safelight.gates import ReceiveGate
        >>> with Guard() as guard:
        ...     received = ReceiveGate(guard).receive(b"not a picture")
        >>> received.action.name, received.picture, received.stand_in
        ('HOLD', None, <StandIn 8x8 plain>)
    """

    #: Shown while a picture is being checked. The same for every picture.
    waiting: Final = PLAIN

    def __init__(
        self,
        guard: Guard,
        *,
        second_choice_s: float = 60.0,
        remember: int = 1000,
        remember_s: float = 300.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if not second_choice_s > 0:
            raise UsageError(f"second_choice_s: got {second_choice_s!r}, expected seconds above 0.")
        if remember < 0 or not remember_s >= 0:
            raise UsageError(f"remember: got {remember} for {remember_s!r} seconds, expected 0 or more of both.")
        self.guard = guard
        self.second_choice_s = second_choice_s
        self._remember = remember
        self._remember_s = remember_s
        self._clock = clock
        self._allowed: OrderedDict[tuple[bytes, Event, str | None], tuple[float, object, object, Decision]]
        self._allowed = OrderedDict()
        self._lock = threading.Lock()

    def receive(self, source: Source, *, handle: str = "", context: str | None = None) -> Received:
        """A picture or a clip has arrived: what may be shown of it? Its content says which of the two it is.

        Args:
            source: a path, ``bytes``, or a binary stream, which is read to its end (at most
                ``guard.limits.max_bytes``).
            handle: the host's word for its own copy, at most 256 characters. Without one ``bytes`` and streams count
                as the only copy: where the decision is ``HOLD`` or ``BLOCK`` they are kept in the store, sealed.
            context: as for :meth:`safelight.Guard.check_image`.

        Raises:
            MediaNotFoundError: the file is not there or cannot be opened.
            UnsupportedInputError: a source of another type.
            UsageError: an unknown context, or a handle that is too long.
            ClosedError: the guard was closed.
        """
        return self._pass(source, Event.RECEIVE, handle, context)

    def view(self, source: Source, *, handle: str = "", context: str | None = None) -> Received:
        """Somebody is about to look at a picture that is here already. Arguments and errors as :meth:`receive`."""
        return self._pass(source, Event.VIEW, handle, context)

    def save(self, source: Source, *, handle: str = "", context: str | None = None) -> Received:
        """A received picture is about to be saved. Having looked at it decides nothing: saving has rules of its own.

        Arguments and errors as :meth:`receive`.
        """
        return self._pass(source, Event.SAVE, handle, context)

    def forward(self, source: Source, *, handle: str = "", context: str | None = "forwarding") -> Received:
        """A received picture is about to be passed on: the rules of sending. Arguments and errors as :meth:`receive`.

        At ``NUDGE`` show the notice first and send only when the person goes on.
        """
        return self._pass(source, Event.SEND, handle, context)

    async def areceive(self, source: Source, *, handle: str = "", context: str | None = None) -> Received:
        """:meth:`receive` for asyncio, in a thread."""
        return await asyncio.to_thread(self.receive, source, handle=handle, context=context)

    async def aview(self, source: Source, *, handle: str = "", context: str | None = None) -> Received:
        """:meth:`view` for asyncio, in a thread."""
        return await asyncio.to_thread(self.view, source, handle=handle, context=context)

    async def asave(self, source: Source, *, handle: str = "", context: str | None = None) -> Received:
        """:meth:`save` for asyncio, in a thread."""
        return await asyncio.to_thread(self.save, source, handle=handle, context=context)

    async def aforward(self, source: Source, *, handle: str = "", context: str | None = "forwarding") -> Received:
        """:meth:`forward` for asyncio, in a thread."""
        return await asyncio.to_thread(self.forward, source, handle=handle, context=context)

    def forget(self) -> None:
        """Forget the digests of what was allowed."""
        with self._lock:
            self._allowed.clear()

    def __repr__(self) -> str:
        return f"ReceiveGate({self.guard!r})"

    # -- deciding ----------------------------------------------------------------------------------------------------

    def _pass(self, source: Source, event: Event, handle: str, context: str | None) -> Received:
        content = self._read(source, handle)
        return self._hand_out(content, self._check(content, event, context), handle)

    def _read(self, source: Any, handle: str) -> Content:
        if self.guard.closed:
            raise ClosedError("this guard was closed; make a new Guard and a new gate to go on.")
        if len(handle) > _MAX_HANDLE:
            raise UsageError(f"handle: got {len(handle)} characters, expected at most {_MAX_HANDLE}; give a short id.")
        stream = callable(getattr(source, "read", None))
        if stream and not _seekable(source):
            source = _drained(source, self.guard.limits.max_bytes)
        data = read_content(source, limits=self.guard.limits)
        if data is None:
            raise UnsupportedInputError(
                f"source: got {type(source).__name__}, expected a path, bytes or a binary stream: what is handed on is "
                "the bytes that were checked."
            )
        in_memory = stream or isinstance(source, (bytes, bytearray, memoryview))
        copied = bool(handle) or not in_memory
        if isinstance(data, NotJudged):
            return Content(None, b"", source, in_memory, copied)
        return Content(data, hashlib.sha256(data).digest(), source, in_memory, copied)

    def _check(self, content: Content, event: Event, context: str | None) -> Decision:
        guard = self.guard
        key = (content.digest, event, context)
        rules, profile = guard.rules, guard.profile
        if content.data is not None:
            with self._lock:
                known = self._allowed.get(key)
                if known is not None:
                    at_s, its_rules, its_profile, decision = known
                    fresh = self._clock() - at_s <= self._remember_s
                    if fresh and its_rules is rules and its_profile == profile:
                        self._allowed.move_to_end(key)
                        return decision
                    del self._allowed[key]
        source = content.data if content.data is not None else content.source
        if content.data is not None and is_clip(content.data[:_HEAD_BYTES]):
            decision = guard.check_clip(source, event=event, context=context)
        else:
            decision = guard.check_image(source, event=event, context=context)
        if decision.action is Action.ALLOW and content.data is not None and self._remember and self._remember_s:
            with self._lock:
                self._allowed[key] = (self._clock(), rules, profile, decision)
                while len(self._allowed) > self._remember:
                    self._allowed.popitem(last=False)
        return decision

    def _hand_out(
        self,
        content: Content,
        decision: Decision,
        handle: str,
        standing: Decision | None = None,
        also: Also | None = None,
    ) -> Received:
        """What both decisions allow: the one about the picture, and the one about what it is part of, if any."""
        data, event = content.data, decision.event
        both = [one for one in (decision, standing) if one is not None]
        # Of two of the same rung, the one about the picture: its words are about what is shown.
        highest = max(both, key=lambda one: one.action)
        if highest.action < Action.BLUR and data is not None:
            return Received(highest, picture=data)
        if highest.action <= Action.BLUR:
            offered = all(offers_to_look(one) for one in both if one.action is Action.BLUR)
            offer = None
            if offered and data is not None and highest.action is Action.BLUR and event in _LOOKING:
                # A file is read again for a look, so that many blurred pictures do not fill the memory.
                source = data if content.in_memory else content.source
                offer = Offer(
                    self.guard,
                    highest,
                    partial(self._look_again, source, content.digest, also),
                    fresh_s=self.second_choice_s,
                    clock=self._clock,
                )
            return Received(highest, stand_in=self._stand_in(content, both), offer=offer)
        hold, problem = self._keep(content, highest, handle, event)
        # Every decision that holds must have been let go: approving explicit pictures approves no conversation.
        others = [one for one in both if one is not highest and one.action >= Action.HOLD]
        if data is not None and _is_released(hold) and all(self._was_released(content, one) for one in others):
            return Received(highest, picture=data, hold=hold, released=True)
        stand_in = self._stand_in(content, both) if highest.action is Action.HOLD else None
        return Received(highest, stand_in=stand_in, hold=hold, hold_problem=problem)

    def _look_again(self, source: Any, digest: bytes, also: Also | None) -> tuple[Decision, bytes | None]:
        content = self._read(source, "")
        decision = self._check(content, Event.VIEW, None)
        standing = also() if also is not None else None
        if standing is not None and standing.action > decision.action:
            decision = standing
        # A choice is for what was asked about, and for what is blurred: nothing that is held comes out here.
        chosen = content.digest == digest and decision.action is Action.BLUR and offers_to_look(decision)
        return decision, content.data if chosen or decision.action < Action.BLUR else None

    def _stand_in(self, content: Content, decisions: list[Decision]) -> StandIn:
        # Not even a trace of what is on a list of known material.
        if content.data is None or any(_KNOWN_MATCH in decision.reasons for decision in decisions):
            return PLAIN
        return make_stand_in(content.data, limits=self.guard.limits)

    def _was_released(self, content: Content, decision: Decision) -> bool:
        try:
            return _is_released(self.guard.holds.find(decision, digest=content.digest))
        except StoreError:
            return False

    def _keep(self, content: Content, decision: Decision, handle: str, event: Event) -> tuple[Hold | None, str | None]:
        try:
            holds = self.guard.holds
        except UsageError:
            return None, "NO_STORE"
        looking = event in _LOOKING
        try:
            found = holds.find(decision, digest=content.digest) if content.digest else None
            if found is not None or not (looking or handle):
                # What is saved or sent is here already, and stays where it is; a host that queues it gives a handle.
                return found, None
            if content.data is None and not content.copied:
                return None, "TOO_LARGE"
            data = None if content.copied else content.data
            name = handle or ("" if data is not None else secrets.token_hex(8))
            return holds.keep(decision, handle=name, data=data, digest=content.digest or None), None
        except StoreError as error:
            return None, error.state


def _is_released(hold: Hold | None) -> bool:
    return hold is not None and hold.state.value == "RELEASED" and not hold.known


def _seekable(stream: Any) -> bool:
    seekable = getattr(stream, "seekable", None)
    return callable(seekable) and seekable() is not False


def _drained(stream: Any, max_bytes: int) -> bytes:
    """A stream that cannot be read twice, read once: at most one byte beyond the limit, which is enough to refuse."""
    parts: list[bytes] = []
    left = max_bytes + 1
    while left > 0:
        part = _chunk(stream, min(_CHUNK_BYTES, left))
        if not isinstance(part, (bytes, bytearray, memoryview)):
            raise UnsupportedInputError(
                f"source: got a stream that reads {type(part).__name__}, expected bytes; open it in binary mode."
            )
        if not part:
            break
        parts.append(bytes(part))
        left -= len(parts[-1])
    return b"".join(parts)


def _chunk(stream: Any, size_bytes: int) -> object:
    try:
        return stream.read(size_bytes)
    except SafelightError:
        raise
    except Exception:  # noqa: BLE001, S110 - the caller's object raises what it likes, and it may name a path
        pass
    # Outside the handler, or the original would be its context.
    raise MediaNotFoundError("source: got a stream that cannot be read, expected a binary one; receive it again.")
