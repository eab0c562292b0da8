"""Chats: words and pictures of one conversation under one state, both ways, in order, nothing before its verdict.

    transport ──▶ chat.incoming(text=…) / (picture=…) ──▶ Delivery: what to show, and why
    screen    ──▶ chat.outgoing(text=…) / (picture=…) ──▶ Delivery: what to send, and why

The gate knows no transport: the host calls it with what has arrived or is about to leave, and acts on the answer. A
picture that takes long does not let the words after it overtake; the other direction goes on meanwhile. Pictures are
measured by the conversation too, as it stands when they are handed on: words and pictures of somebody dangerous are
kept back alike.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Literal
from weakref import WeakSet

from safelight.decision import Action, Event, FindingKind, Label
from safelight.errors import BusyError, ClosedError, StoreError, UsageError
from safelight.gates._choice import Offer, SecondChoice, offers_to_look
from safelight.gates._order import Line, Place, Strand
from safelight.gates.receive import ReceiveGate
from safelight.media.stand_in import PLAIN

if TYPE_CHECKING:
    from safelight.chat import Conversation
    from safelight.decision import Decision, HelpService, Notice
    from safelight.detect.conversation import StageScorer
    from safelight.gates.receive import Received, Source
    from safelight.guard import Guard
    from safelight.media.stand_in import StandIn
    from safelight.store import Hold

Direction = Literal["incoming", "outgoing"]

_SENDER: Final[dict[Direction, str]] = {"incoming": "other", "outgoing": "self"}
_LEVELS: Final = ("calm", "watch", "warn", "danger")
_TEXT_THREADS: Final = 2
_ARRIVED: Final = 1000  # digests of pictures that came in
#: How many messages after a request for a picture an outgoing picture still counts as its answer.
REQUEST_MESSAGES: Final = 20


class Delivery:
    """What to show or to send of one message, and why. Made by :class:`GatedConversation`.

    Attributes:
        direction: ``incoming`` or ``outgoing``.
        decision: the strictest of what was decided about the message and about the conversation. Show its notice.
        conversation: about the conversation: for a text always; for a picture where it was more than calm.
        text: the message, where the decision is ``ALLOW`` or ``NUDGE``; else ``None``. Going out at ``NUDGE``, show the
            notice first and send only when the person goes on.
        received: a picture, as :class:`~safelight.gates.ReceiveGate` hands it on; ``None`` for a text.
        hold: what keeps it back, where there is a store (for a text: and the conversation has a handle).
        hold_problem: as in :class:`~safelight.gates.Received`.
        help: services for a crisis: always there when somebody threatens or the conversation is dangerous, whatever
            the action. Show them.
        support: what a child is told who is pressed for a picture: with an outgoing picture that is not simply allowed
            soon after the other one asked for a picture.
    """

    __slots__ = (
        "_offer",
        "_release",
        "conversation",
        "decision",
        "direction",
        "help",
        "hold",
        "hold_problem",
        "received",
        "support",
        "text",
    )

    def __init__(
        self,
        direction: Direction,
        decision: Decision,
        *,
        conversation: Decision | None = None,
        text: str | None = None,
        received: Received | None = None,
        hold: Hold | None = None,
        hold_problem: str | None = None,
        help: tuple[HelpService, ...] = (),
        support: Notice | None = None,
        offer: Offer[str] | None = None,
        release: Callable[[], str] | None = None,
    ) -> None:
        self.direction = direction
        self.decision = decision
        self.conversation = conversation
        self.text = text
        self.received = received
        self.hold = hold
        self.hold_problem = hold_problem
        self.help = help
        self.support = support
        self._offer = offer
        self._release = release

    @property
    def action(self) -> Action:
        """Of the decision."""
        return self.decision.action

    @property
    def notice(self) -> Notice | None:
        """Of the decision; ``None`` for a picture that was released."""
        return self.received.notice if self.received is not None else self.decision.notice

    @property
    def picture(self) -> bytes | None:
        """The bytes that were checked, where they may be shown or sent."""
        return self.received.picture if self.received is not None else None

    @property
    def stand_in(self) -> StandIn | None:
        """Shown in the message's place at ``BLUR`` and ``HOLD``; the plain one for a text."""
        if self.received is not None:
            return self.received.stand_in
        return PLAIN if self.action in (Action.BLUR, Action.HOLD) else None

    @property
    def may_look(self) -> bool:
        """Whether :meth:`ask_to_look` can be asked."""
        return self._offer is not None or (self.received is not None and self.received.may_look)

    def ask_to_look(self) -> SecondChoice[str] | SecondChoice[bytes]:
        """The person has asked for what is blurred (going out: to send it all the same): ask once more.

        Raises:
            UsageError: the decision leaves no choice, or it was looked at already.
        """
        if self.received is not None:
            return self.received.ask_to_look()
        if self._offer is None:
            raise UsageError(f"delivery: got {self.action.name}, expected BLUR with a choice; show the notice.")
        return self._offer.ask()

    def restore(self) -> str:
        """The text of a message that was held, after its hold was released. A picture: view it again.

        Raises:
            UsageError: it was not held, the hold is not released, or the conversation was closed.
        """
        if self._release is None:
            raise UsageError("delivery: got no text that is held; view a picture again, it knows its hold.")
        return self._release()

    def close(self) -> None:
        """Let go of the content. Safe to call twice."""
        self.text = None
        self._release = None
        if self._offer is not None:
            self._offer.close()
        if self.received is not None:
            self.received.close()

    def __repr__(self) -> str:
        kind = "picture" if self.received is not None else "text"
        return f"Delivery({self.direction} {kind}, action={self.action.name}, help={len(self.help)})"


class ChatGate:
    """Makes gated conversations that share a guard and its threads. May be used from several threads.

    Args:
        guard: decides.
        max_waiting: messages of one direction of a conversation that may wait for their verdict at once.
        max_waiting_bytes: of pictures among them. A file or stream counts as ``guard.limits.max_bytes`` until it was
            read.
        second_choice_s: how long a second choice stays fresh, in seconds.
        clock: gives monotonic seconds.

    Raises:
        UsageError: an argument is out of its range.

    Example:
        >>> from safelight import Guard
        >>> from safelight.gates import ChatGate
        >>> with Guard(detectors=()) as guard, ChatGate(guard) as gate:
        ...     with gate.conversation("known") as chat:
        ...         delivery = chat.incoming(text="see you at practice")
        >>> delivery.action.name
        'ALLOW'
    """

    def __init__(
        self,
        guard: Guard,
        *,
        max_waiting: int = 64,
        max_waiting_bytes: int = 256 * 1024 * 1024,
        second_choice_s: float = 60.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if max_waiting < 1 or max_waiting_bytes < 1:
            raise UsageError(
                f"max_waiting: got {max_waiting} and {max_waiting_bytes} bytes, expected 1 or more of each."
            )
        self.guard = guard
        self.pictures = ReceiveGate(guard, second_choice_s=second_choice_s, clock=clock)
        self._max_waiting = max_waiting
        self._max_waiting_bytes = max_waiting_bytes
        self._clock = clock
        self._text_threads = ThreadPoolExecutor(_TEXT_THREADS, thread_name_prefix="safelight-chat")
        self._picture_threads = ThreadPoolExecutor(guard.concurrency, thread_name_prefix="safelight-chat-pictures")
        self._open: WeakSet[GatedConversation] = WeakSet()
        self._arrived: OrderedDict[bytes, None] = OrderedDict()
        self._lock = threading.Lock()
        self._closed = False

    def conversation(
        self,
        contact: str = "unknown",
        *,
        contact_id: str | None = None,
        trust: str | None = None,
        context: str | None = None,
        handle: str = "",
        scorer: StageScorer | None = None,
    ) -> GatedConversation:
        """Start gating the messages of one contact. Keep it while the chat goes on, close it to forget.

        Args:
            contact, contact_id, trust, context, scorer: as for :meth:`safelight.Guard.conversation`.
            handle: the host's word for this chat, for a hold of its words; without one words are only not handed on.

        Raises:
            UsageError: an unknown word.
            ClosedError: the gate or its guard was closed.
        """
        if self._closed:
            raise ClosedError("this gate was closed; make a new one to go on.")
        words = self.guard.conversation(contact, contact_id=contact_id, trust=trust, context=context, scorer=scorer)
        chat = GatedConversation(self, words, context=context, handle=handle)
        self._open.add(chat)
        return chat

    def _saw(self, digest: bytes, direction: Direction) -> bool:
        """Whether a picture that goes out is one that came in lately, in any chat: passing on has words of its own."""
        with self._lock:
            if not digest or direction == "outgoing":  # none: it was too large to be read
                return digest in self._arrived
            self._arrived[digest] = None
            self._arrived.move_to_end(digest)
            while len(self._arrived) > _ARRIVED:
                self._arrived.popitem(last=False)
        return False

    def close(self) -> None:
        """Close every conversation. The guard stays open. Safe to call twice."""
        self._closed = True
        for chat in list(self._open):
            chat.close()
        with self._lock:
            self._arrived.clear()
        self._text_threads.shutdown(wait=False)
        self._picture_threads.shutdown(wait=False)

    def __enter__(self) -> ChatGate:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"ChatGate({self.guard!r})"


class GatedConversation:
    """One contact's messages, in and out, behind a gate. Made by :meth:`ChatGate.conversation`.

    Three faces, which do the same: ``incoming`` waits, ``aincoming`` is awaited, ``submit_incoming`` returns a future.
    In each direction results come in the order in which messages were handed in. In memory only: after :meth:`close`
    nothing is left.
    """

    def __init__(self, gate: ChatGate, words: Conversation, *, context: str | None, handle: str) -> None:
        self._gate = gate
        self._words = words
        self._context = context
        self._handle = handle
        self._lines: dict[Direction, Line[Delivery]] = {
            direction: Line(max_waiting=gate._max_waiting, max_bytes=gate._max_waiting_bytes) for direction in _SENDER
        }
        self._strand = Strand(gate._text_threads)
        self._entering = threading.Lock()
        self._enter = {direction: threading.Lock() for direction in _SENDER}
        self._aenter: dict[Direction, asyncio.Lock] = {direction: asyncio.Lock() for direction in _SENDER}
        self._requested_at: int | None = None
        self._text_hold: Hold | None = None
        self._closed = False

    def incoming(
        self,
        *,
        text: str | None = None,
        picture: Source | None = None,
        handle: str = "",
        at: datetime | float | None = None,
    ) -> Delivery:
        """A message has arrived: what may be shown of it? Waits for the verdict, and for those before it.

        Args:
            text: a message of words; or
            picture: a picture: a path, ``bytes`` or a binary stream.
            handle: the host's word for its own copy of a picture, as for :meth:`ReceiveGate.receive`.
            at: when it was sent, as for :meth:`safelight.chat.Conversation.add`.

        Raises:
            UsageError: neither or both of text and picture, or a wrong argument.
            MediaNotFoundError, UnsupportedInputError: as :meth:`ReceiveGate.receive`.
            ClosedError: the conversation was closed, also while this waited.
        """
        return self._wait("incoming", text, picture, handle, at)

    def outgoing(
        self,
        *,
        text: str | None = None,
        picture: Source | None = None,
        handle: str = "",
        at: datetime | float | None = None,
    ) -> Delivery:
        """A message is about to be sent: what of it may leave? Arguments and errors as :meth:`incoming`."""
        return self._wait("outgoing", text, picture, handle, at)

    async def aincoming(
        self,
        *,
        text: str | None = None,
        picture: Source | None = None,
        handle: str = "",
        at: datetime | float | None = None,
    ) -> Delivery:
        """:meth:`incoming` for asyncio. Use one event loop for one conversation."""
        return await self._await("incoming", text, picture, handle, at)

    async def aoutgoing(
        self,
        *,
        text: str | None = None,
        picture: Source | None = None,
        handle: str = "",
        at: datetime | float | None = None,
    ) -> Delivery:
        """:meth:`outgoing` for asyncio. Use one event loop for one conversation."""
        return await self._await("outgoing", text, picture, handle, at)

    def submit_incoming(
        self,
        *,
        text: str | None = None,
        picture: Source | None = None,
        handle: str = "",
        at: datetime | float | None = None,
    ) -> Future[Delivery]:
        """:meth:`incoming` without waiting. What is called back must not wait for this conversation.

        Raises:
            BusyError: too much waits already; wait for a result and try again.
            UsageError, ClosedError: as :meth:`incoming`; its other errors are the future's.
        """
        return self._submitted("incoming", text, picture, handle, at)

    def submit_outgoing(
        self,
        *,
        text: str | None = None,
        picture: Source | None = None,
        handle: str = "",
        at: datetime | float | None = None,
    ) -> Future[Delivery]:
        """:meth:`outgoing` without waiting; see :meth:`submit_incoming`."""
        return self._submitted("outgoing", text, picture, handle, at)

    def unreadable(self) -> None:
        """A message has arrived that the host could not read: it takes its place in the conversation."""
        self._require_open()
        self._strand.put(self._add_unreadable)

    def fine(self) -> None:
        """The child says "this is fine": fewer nudges for this contact, none less for serious stages."""
        self._require_open()
        self._words.fine()

    @property
    def level(self) -> str:
        """``calm``, ``watch``, ``warn`` or ``danger``."""
        return self._words.level

    @property
    def closed(self) -> bool:
        """Whether :meth:`close` was called."""
        return self._closed

    def close(self) -> None:
        """Forget the conversation. Whoever waits gets a :class:`ClosedError`. Safe to call twice."""
        self._closed = True
        for line in self._lines.values():
            line.close()
        self._words.close()
        self._requested_at = self._text_hold = None

    def __enter__(self) -> GatedConversation:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"GatedConversation({self._words!r}, closed={self._closed})"

    # -- entering ----------------------------------------------------------------------------------------------------

    def _wait(self, direction: Direction, text: Any, picture: Any, handle: str, at: Any) -> Delivery:
        with self._enter[direction]:
            while (future := self._submit(direction, text, picture, handle, at)) is None:
                self._lines[direction].wait_for_room()
        return future.result()

    async def _await(self, direction: Direction, text: Any, picture: Any, handle: str, at: Any) -> Delivery:
        async with self._aenter[direction]:  # asyncio's locks are fair: first come, first in line
            while (future := self._submit(direction, text, picture, handle, at)) is None:
                first = self._lines[direction].first()
                if first is not None:
                    await _settled(first)
        return await asyncio.wrap_future(future)

    def _submitted(self, direction: Direction, text: Any, picture: Any, handle: str, at: Any) -> Future[Delivery]:
        future = self._submit(direction, text, picture, handle, at)
        if future is None:
            raise BusyError(
                f"chat: got another message while {self._gate._max_waiting} wait or their pictures fill "
                f"{self._gate._max_waiting_bytes} bytes; wait for a result and hand it in again."
            )
        return future

    def _submit(self, direction: Direction, text: Any, picture: Any, handle: str, at: Any) -> Future[Delivery] | None:
        self._require_open()
        if (text is None) == (picture is None):
            raise UsageError("message: expected either text or picture; hand in a caption as a message of its own.")
        line = self._lines[direction]
        if text is not None:
            if not isinstance(text, str):
                raise UsageError(f"text: got {type(text).__name__}, expected str.")
            with self._entering:  # or two threads could take their places in one order and be read in another
                place = line.enter(len(text))
                if place is not None:
                    self._strand.put(partial(self._judge_text, line, place, direction, text, at))
        else:
            # How much a file or a stream holds is known when it was read: until then it counts as the most it may be.
            known = isinstance(picture, (bytes, bytearray, memoryview))
            place = line.enter(len(picture) if known else self._gate.guard.limits.max_bytes)
            if place is not None:
                self._gate._picture_threads.submit(self._judge_picture, line, place, direction, picture, handle)
        return place.future if place is not None else None

    def _require_open(self) -> None:
        if self._closed:
            raise ClosedError("this conversation was closed; start a new one to go on.")

    # -- judging, as soon as there is a thread -----------------------------------------------------------------------

    def _judge_text(
        self, line: Line[Delivery], place: Place[Delivery], direction: Direction, text: str, at: Any
    ) -> None:
        try:
            decision = self._words.add(sender=_SENDER[direction], text=text, at=at)
            level = self._words.level
            if direction == "incoming":
                self._note(decision)
        except Exception as error:  # noqa: BLE001 - it belongs to whoever waits for this message
            line.ready(place, partial(_raised, error))
        else:
            line.ready(place, partial(self._pass_text, direction, text, decision, level))

    def _judge_picture(
        self, line: Line[Delivery], place: Place[Delivery], direction: Direction, picture: Any, handle: str
    ) -> None:
        gate = self._gate.pictures
        event = Event.RECEIVE if direction == "incoming" else Event.SEND
        try:
            content = gate._read(picture, handle)
            line.charge(place, len(content.data or b""))
            passed_on = self._gate._saw(content.digest, direction)
            decision = gate._check(content, event, self._context or ("forwarding" if passed_on else None))
        except Exception as error:  # noqa: BLE001 - as above
            line.ready(place, partial(_raised, error))
        else:
            line.ready(place, partial(self._pass_picture, direction, content, decision, handle))

    def _add_unreadable(self) -> None:
        try:
            self._words.unreadable()
        except ClosedError:
            return

    def _note(self, decision: Decision) -> None:
        for finding in decision.findings:
            if finding.kind is FindingKind.GROOMING and finding.label is Label.PHOTO_REQUEST:
                self._requested_at = self._words.messages

    # -- handing on, when its turn has come --------------------------------------------------------------------------

    def _pass_text(self, direction: Direction, text: str, decision: Decision, level: str) -> Delivery:
        standing = decision
        if _LEVELS.index(self._words.level) > _LEVELS.index(level):
            # Judged while something before it was still being looked at, and it has become worse since.
            standing = max(decision, self._words.current(), key=lambda one: one.action)
        delivery = Delivery(direction, standing, conversation=standing, help=self._crisis_help(decision, standing))
        if standing.action < Action.BLUR:
            delivery.text = text
        elif standing.action is Action.BLUR:
            if offers_to_look(standing):
                delivery._offer = Offer(
                    self._gate.guard,
                    standing,
                    partial(self._text_again, text),
                    fresh_s=self._gate.pictures.second_choice_s,
                    clock=self._gate._clock,
                )
        else:
            delivery.hold, delivery.hold_problem = self._hold_text(standing)
            if delivery.hold is not None:
                delivery._release = partial(self._released_text, text, delivery.hold.id)
        return delivery

    def _text_again(self, text: str) -> tuple[Decision, str | None]:
        self._require_open()
        standing = self._words.current()
        return standing, text if standing.action <= Action.BLUR else None

    def _hold_text(self, decision: Decision) -> tuple[Hold | None, str | None]:
        """One hold for all words that wait, so that somebody who writes much does not fill the store."""
        if not self._handle:
            return None, None
        try:
            holds = self._gate.guard.holds
        except UsageError:
            return None, "NO_STORE"
        try:
            known = self._text_hold
            if known is not None and known.action >= decision.action:
                waiting = [one for one in holds.all() if one.id == known.id and one.state.value in ("HELD", "KEPT")]
                if waiting:
                    return waiting[0], None
            self._text_hold = holds.keep(decision, handle=self._handle)
        except StoreError as error:
            return None, error.state
        return self._text_hold, None

    def _released_text(self, text: str, hold_id: str) -> str:
        self._require_open()
        state = self._gate.guard.holds.get(hold_id).state
        if state.value != "RELEASED":
            raise UsageError(f"hold: got one in state {state}, expected RELEASED; a guardian approves the category.")
        return text

    def _pass_picture(self, direction: Direction, content: Any, decision: Decision, handle: str) -> Delivery:
        standing = self._standing()
        received = self._gate.pictures._hand_out(content, decision, handle, standing, self._standing)
        support = None
        if direction == "outgoing" and received.action > Action.ALLOW and self._was_asked_for():
            support = self._gate.guard.notice("pressured")
        return Delivery(
            direction,
            received.decision,
            conversation=standing,
            received=received,
            hold=received.hold,
            hold_problem=received.hold_problem,
            help=self._crisis_help(*(one for one in (standing,) if one is not None)),
            support=support,
        )

    def _standing(self) -> Decision | None:
        """The conversation as it stands; ``None`` while there is nothing to say of it."""
        self._require_open()
        if self._words.level == _LEVELS[0] and not self._gate.guard.test_mode:
            return None
        return self._words.current()

    def _was_asked_for(self) -> bool:
        return self._requested_at is not None and self._words.messages - self._requested_at <= REQUEST_MESSAGES

    def _crisis_help(self, *decisions: Decision) -> tuple[HelpService, ...]:
        if not any(_in_crisis(decision) for decision in decisions):
            return ()
        # What somebody of this age is offered who is pressed: crisis lines first, and never empty, for every notice
        # still has the finder's address when the directory is damaged.
        return self._gate.guard.notice("pressured").help


async def _settled(future: Future[Delivery]) -> None:
    """Wait until it has a result, whatever it is."""
    loop = asyncio.get_running_loop()
    done = asyncio.Event()
    future.add_done_callback(lambda _: loop.is_closed() or loop.call_soon_threadsafe(done.set))
    await done.wait()


def _in_crisis(decision: Decision) -> bool:
    return any(
        (finding.kind is FindingKind.GROOMING and finding.label is Label.THREAT)
        or (finding.kind is FindingKind.CONVERSATION and finding.label is Label.DANGER)
        for finding in decision.findings
    )


def _raised(error: Exception) -> Delivery:
    raise error
