"""What notices do, counted without anybody: shown, safe choice, repeated in a session, help opened, false alarm.

The counts go to a sink that the caller gives, as a rule the store's private counters (off until somebody turns them
on); without a sink nothing is counted. No entry id, no time, no order. Few repeats in a session are not proof of less
harm: what a person does elsewhere is unseen.
"""

from __future__ import annotations

import math
import secrets
from collections.abc import Mapping
from typing import Final, Protocol

from safelight.decision import Notice
from safelight.errors import UsageError
from safelight.notices.select import History

#: Choices after which what was about to happen does not.
SAFE_CHOICES: Final = frozenset(
    {"stop", "close", "keep_hidden", "choose_another", "tell_adult", "block_contact", "dialogue", "removal", "help"}
)
#: Choices that open a way to people.
HELP_CHOICES: Final = frozenset({"help", "tell_adult", "dialogue", "removal"})
GO_ON_CHOICES: Final = frozenset({"continue", "show"})

#: What is counted here, of all that a store can count.
EFFECT_NAMES: Final = (
    "notice.shown",
    "notice.repeated",
    "notice.false_alarm",
    "choice.stop",
    "choice.continue",
    "help.opened",
)

DEFAULT_THRESHOLD: Final = 20
DEFAULT_EPSILON: Final = 0.5


class CounterSink(Protocol):
    """Where counts go: ``Store.counters``, or a host's own."""

    def add(self, name: str) -> None:
        """Count one of ``name``."""


class Effects:
    """Counts for one reader. Takes ``None`` for a sink and then does nothing."""

    def __init__(self, sink: CounterSink | None = None) -> None:
        self._sink = sink

    def shown(self, notice: Notice, before: History) -> History:
        """The notice is on the screen; returns the history with it. Counts a repeat if it was there before."""
        self._add("notice.shown")
        if before.times(notice.id.partition("/")[0]):
            self._add("notice.repeated")
        return before.with_shown(notice)

    def chosen(self, notice: Notice, choice: str) -> None:
        """The reader pressed a button.

        Raises:
            UsageError: the notice has no such choice.
        """
        if choice not in {one.id for one in notice.choices}:
            raise UsageError(f"choice: got {choice!r}, expected one of {', '.join(one.id for one in notice.choices)}.")
        if choice in SAFE_CHOICES:
            self._add("choice.stop")
        if choice in GO_ON_CHOICES:
            self._add("choice.continue")
        if choice in HELP_CHOICES:
            self._add("help.opened")

    def false_alarm(self, notice: Notice, before: History) -> History:
        """The reader says that the notice was wrong; returns the history with it."""
        self._add("notice.false_alarm")
        return before.with_false_alarm(notice)

    def _add(self, name: str) -> None:
        if self._sink is not None:
            self._sink.add(name)


def export_counts(
    counts: Mapping[str, int],
    *,
    opted_in: bool,
    threshold: int = DEFAULT_THRESHOLD,
    epsilon: float = DEFAULT_EPSILON,
) -> dict[str, int]:
    """Counts that may leave the device: with noise, and without those that stay small.

    Two-sided geometric noise for each count (the discrete Laplace mechanism, Ghosh and others 2009) hides any one
    event; it does not hide a person with many events, and whoever exports the same week twice gives a little away each
    time. The threshold is applied after the noise.

    Args:
        counts: name to count, of one week.
        opted_in: whether the person or guardian chose to share counts; there is no default.
        threshold: what stays below is left out, 1 or more.
        epsilon: above 0; smaller is more noise.

    Raises:
        UsageError: nobody opted in, or a number is out of its range.
    """
    if not opted_in:
        raise UsageError("export: got no consent, expected opted_in=True from the person or guardian; ask them first.")
    if threshold < 1 or not epsilon > 0 or not math.isfinite(epsilon):
        raise UsageError("export: got a threshold below 1 or an epsilon that is not above 0; expected both in range.")
    noisy = {name: count + _noise(epsilon) for name, count in sorted(counts.items())}
    return {name: count for name, count in noisy.items() if count >= threshold}


def _noise(epsilon: float) -> int:
    return _geometric(epsilon) - _geometric(epsilon)


def _geometric(epsilon: float) -> int:
    """Failures before the first success, with p = 1 - exp(-epsilon)."""
    uniform = (secrets.randbits(53) + 1) / (1 << 53)
    return int(math.log(uniform) / -epsilon)
