"""The own second choice: offered in words, fresh, for exactly what was asked about, and good for one look."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, Generic, TypeVar

from safelight.errors import UsageError

if TYPE_CHECKING:
    from safelight.decision import Decision, Notice
    from safelight.guard import Guard

T = TypeVar("T")

LOOK: Final = "show"
"""The choice of a notice that offers to look."""
_LEAVE: Final = "keep_hidden"


def offers_to_look(decision: Decision) -> bool:
    """Whether the words of the decision offer it: there is no choice that the notice does not name."""
    return decision.notice is not None and any(choice.id == LOOK for choice in decision.notice.choices)


class Offer(Generic[T]):
    """What is blurred, until somebody looks at it or it is let go.

    Args:
        guard: counts what was chosen, where counting is on.
        decision: with the notice that offers the choice.
        check: decides again, by what is in force when it is called; the content, if it may be seen then.
        fresh_s: how long a choice stays fresh.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        guard: Guard,
        decision: Decision,
        check: Callable[[], tuple[Decision, T | None]],
        *,
        fresh_s: float,
        clock: Callable[[], float],
    ) -> None:
        self.guard = guard
        self.decision = decision
        self.fresh_s = fresh_s
        self.clock = clock
        self._check: Callable[[], tuple[Decision, T | None]] | None = check
        self._lock = threading.Lock()

    def ask(self) -> SecondChoice[T]:
        """Ask once more, in words."""
        with self._lock:
            if self._check is None:
                raise _used()
        return SecondChoice(self, self.clock())

    def take(self) -> Callable[[], tuple[Decision, T | None]]:
        """The one look there is; of two threads one gets it."""
        with self._lock:
            check, self._check = self._check, None
        if check is None:
            raise _used()
        return check

    def close(self) -> None:
        """Let go of the content."""
        with self._lock:
            self._check = None

    def count(self, choice: str) -> None:
        """Count an answer, as far as the notice offered it."""
        notice = self.decision.notice
        if notice is not None and any(offered.id == choice for offered in notice.choices):
            self.guard.chosen(notice, choice)


class SecondChoice(Generic[T]):
    """The own second choice to look at something blurred.

    Attributes:
        decision: of the last check: that of :meth:`look` once it was made, which may be stricter.
    """

    def __init__(self, offer: Offer[T], asked_s: float) -> None:
        self._offer = offer
        self._asked_s = asked_s
        self.decision = offer.decision

    @property
    def notice(self) -> Notice:
        """What to show with the question; its choices ``show`` and ``keep_hidden`` are the answers."""
        notice = self._offer.decision.notice
        assert notice is not None  # no offer is made without one
        return notice

    def look(self) -> T | None:
        """The person chose to look. It is checked once more, by what is in force now.

        Returns:
            The bytes of the picture, or the text, this once; ``None`` when the rules, a list, the conversation or the
            content changed meanwhile and it may not be seen now: :attr:`decision` says why.

        Raises:
            UsageError: the choice is too old (ask again), or was used before.
            MediaNotFoundError: the host's file is gone.
            ClosedError: the guard was closed.
        """
        offer = self._offer
        if offer.clock() - self._asked_s > offer.fresh_s:
            raise UsageError(f"second choice: got one older than {offer.fresh_s:g} seconds; ask again, then look.")
        self.decision, content = offer.take()()
        if content is not None:
            offer.count(LOOK)
        return content

    def leave(self) -> None:
        """The person chose not to look, or closed the question. Nothing is shown; they may ask again."""
        self._offer.count(_LEAVE)

    def __repr__(self) -> str:
        return f"SecondChoice(action={self.decision.action.name})"


def _used() -> UsageError:
    return UsageError(
        "second choice: got something that was looked at or closed; view it again, which checks it again."
    )
