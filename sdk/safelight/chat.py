"""A conversation as the guard hands it out: messages in, decisions out."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import datetime
from types import TracebackType

from safelight.decision import Decision, Finding
from safelight.detect.conversation import ConversationTracker

Decide = Callable[[tuple[Finding, ...], float, bool], Decision]
"""Findings, when it began (``time.perf_counter``), and whether it is something new, which private counters count."""


class Conversation:
    """One contact's messages, judged as they come. Made by :meth:`safelight.Guard.conversation`.

    May be used from several threads; messages are taken in one at a time. In memory only: nothing is stored, and
    after :meth:`close` nothing is left. The text is read and let go, except for up to three short messages in a row,
    which may be one sentence in pieces.

    Example:
        >>> from safelight import Guard
        >>> with Guard() as guard, guard.conversation(contact="unknown") as chat:
        ...     decision = chat.add(sender="other", text="hi, see you at practice")
        >>> decision.event.value
        'message'
    """

    def __init__(self, tracker: ConversationTracker, decide: Decide, *, trust: Callable[[], str] | None = None) -> None:
        self._tracker = tracker
        self._decide = decide
        self._trust = trust
        self._lock = threading.Lock()

    def add(self, *, sender: str, text: str | bytes, at: datetime | float | None = None) -> Decision:
        """Take the next message in and decide.

        Args:
            sender: ``other`` (the contact) or ``self`` (the protected person).
            text: the message; ``bytes`` are UTF-8.
            at: when it was sent: a ``datetime`` or seconds of any clock.

        Returns:
            A decision. Its findings hold the level of the conversation and every stage of this message, with the
            indices of the messages (counted from 0) that led to them; never text.

        Raises:
            UsageError: an unknown sender, or a text or time of another type.
            ClosedError: after :meth:`close`.
        """
        started = time.perf_counter()
        trust = self._trust() if self._trust is not None else None
        with self._lock:
            if trust is not None:
                self._tracker.know(trust)
            findings = self._tracker.add(sender=sender, text=text, at=at)
        return self._decide(findings, started, True)

    def unreadable(self) -> Decision:
        """Decide about a message that the host could not read: it takes its place, with the state ``MALFORMED``."""
        started = time.perf_counter()
        with self._lock:
            findings = self._tracker.unreadable()
        return self._decide(findings, started, True)

    def current(self) -> Decision:
        """Decide about the conversation as it stands, without another message: for what is no text.

        Raises:
            ClosedError: after :meth:`close`.
        """
        started = time.perf_counter()
        with self._lock:
            findings = self._tracker.standing()
        return self._decide(findings, started, False)

    def fine(self) -> None:
        """The child says "this is fine": fewer nudges for this contact, none less for serious stages."""
        with self._lock:
            self._tracker.fine()

    @property
    def level(self) -> str:
        """``calm``, ``watch``, ``warn`` or ``danger``."""
        return self._tracker.level.value

    @property
    def messages(self) -> int:
        """How many messages were taken in."""
        return self._tracker.messages

    def close(self) -> None:
        """Forget the conversation. Safe to call twice."""
        with self._lock:
            self._tracker.close()

    def __enter__(self) -> Conversation:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Conversation(messages={self.messages}, level={self.level!r}, trust={self._tracker.trust!r})"
