"""Time: how long something is still open today, and taking of it. Help is never asked to wait."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timezone
from enum import Enum
from typing import TYPE_CHECKING, Final

import msgspec

from safelight.errors import StoreError, UsageError
from safelight.store import schedule
from safelight.store.vault import StoreState

if TYPE_CHECKING:
    from safelight.store.clock import Reading
    from safelight.store.settings import Settings
    from safelight.store.store import Store

SECTION: Final = "usage"

DEFAULT_TAKE_S: Final = 60.0
MAX_TAKE_S: Final = 15 * 60.0
# As far ahead as an answer looks; a host asks again long before.
_HORIZON_S: Final = 86_400.0
# More purposes than a family has apps; a host that invents a new name for every start meets the limit for all names.
_MAX_PURPOSES: Final = 500


class TimeState(str, Enum):
    """Whether there is time. Everything but ``OPEN`` and ``NEVER_LIMITED`` is "not now"."""

    OPEN = "OPEN"
    NEVER_LIMITED = "NEVER_LIMITED"
    SPENT = "SPENT"
    OUTSIDE_WINDOW = "OUTSIDE_WINDOW"
    STORE_UNAVAILABLE = "STORE_UNAVAILABLE"
    """What is stored cannot be believed or written to; see ``store``."""

    def __str__(self) -> str:
        return str(self.value)


class _Usage(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    day: str
    used_s: float


@dataclass(frozen=True, slots=True)
class Time:
    """The answer to "is there time?".

    Attributes:
        purpose: or app.
        state: ``OPEN`` or ``NEVER_LIMITED``, or why not.
        granted_s: what was taken by this call, already counted; 0 for a look.
        left_s: what is left after it until the day's minutes or the window end, a day at most.
        unconfirmed: the clock jumped and nobody has confirmed it: nothing new is given until somebody does.
        store: state of the store.
    """

    purpose: str
    state: TimeState
    granted_s: float
    left_s: float
    unconfirmed: bool
    store: StoreState

    @property
    def open(self) -> bool:
        """Whether to go ahead."""
        return self.state in (TimeState.OPEN, TimeState.NEVER_LIMITED)


class Allowance:
    """Minutes of one store: look and take.

    Time is taken *before* it is used, in short pieces: whoever ends the program early has used up the piece, and
    nobody gains by ending it.
    """

    def __init__(self, store: Store) -> None:
        self._store = store

    def check(self, purpose: str) -> Time:
        """How much is left. Looks only; grants nothing. Never raises for what is on the disk.

        Raises:
            UsageError: a purpose of another form.
        """
        if _never_limited(purpose):
            return _free(purpose)
        view = self._store.view()
        if view.state is not StoreState.OK:
            return _unavailable(purpose, view.state)
        try:
            usage = view.get(SECTION, dict[str, _Usage]) or {}
        except StoreError:
            return _unavailable(purpose, StoreState.DAMAGED)
        state, left_s, _ = _left(purpose, view.settings, usage, view.reading)
        return Time(purpose, state, 0.0, left_s, view.reading.unconfirmed, view.state)

    def take(self, purpose: str, seconds: float = DEFAULT_TAKE_S) -> Time:
        """Take up to so many seconds and use them; call again before they have passed.

        Never raises for what is on the disk: a store that cannot be written to grants nothing and says so.

        Raises:
            UsageError: a purpose of another form, or seconds out of range.
        """
        if not 0 < seconds <= MAX_TAKE_S:
            raise UsageError(f"seconds: got {seconds}, expected more than 0 and at most {MAX_TAKE_S:.0f}.")
        if _never_limited(purpose):
            return _free(purpose, seconds)
        try:
            with self._store.work() as work:
                usage = _recent(work.get(SECTION, dict[str, _Usage]) or {}, work.reading)
                state, left_s, today = _left(purpose, work.settings, usage, work.reading)
                granted_s = min(seconds, left_s) if state is TimeState.OPEN else 0.0
                key = _slot(purpose, usage)
                usage[key] = _Usage(today, _used_s(usage.get(key), today) + granted_s)
                work.put(SECTION, usage)
                unconfirmed = work.reading.unconfirmed
        except StoreError as error:
            return _unavailable(purpose, StoreState(error.state))
        return Time(purpose, state, granted_s, left_s - granted_s, unconfirmed, StoreState.OK)


def _left(purpose: str, settings: Settings, usage: dict[str, _Usage], reading: Reading) -> tuple[TimeState, float, str]:
    """State, seconds left, and the day that they are of."""
    zone = schedule.zone_of(settings.zone)
    today = schedule.local_day(reading.confirmed_s, zone).isoformat()
    used_s = _used_s(usage.get(_slot(purpose, usage)), today)
    # A day that is earlier than the one counted in is no new day.
    kept = usage.get(_slot(purpose, usage))
    today = max(today, kept.day) if kept is not None else today
    minutes = settings.allowance_min(purpose)
    budget_s = _HORIZON_S if minutes is None else max(0.0, minutes * 60.0 - used_s)
    if budget_s <= 0:
        return TimeState.SPENT, 0.0, today
    mask = settings.open_mask(purpose)
    # Open by every clock: the confirmed one gives, the wall clock and the latest time ever seen take.
    moments = (reading.confirmed_s, reading.wall_s, reading.highest_s)
    open_s = min(schedule.open_for_s(mask, moment, zone, at_most_s=budget_s) for moment in moments)
    if open_s <= 0:
        return TimeState.OUTSIDE_WINDOW, 0.0, today
    return TimeState.OPEN, open_s, today


def _recent(usage: dict[str, _Usage], reading: Reading) -> dict[str, _Usage]:
    """Without what is older than any zone's yesterday, so that names do not pile up."""
    oldest = schedule.local_day(reading.confirmed_s - 2 * 86_400.0, timezone.utc).isoformat()
    return {purpose: used for purpose, used in usage.items() if used.day >= oldest}


def _used_s(usage: _Usage | None, today: str) -> float:
    if usage is None or usage.day < today:
        return 0.0
    return usage.used_s


def _slot(purpose: str, usage: dict[str, _Usage]) -> str:
    """Where a purpose is counted: by its name, or with all others when there are too many names."""
    return purpose if purpose in usage or len(usage) < _MAX_PURPOSES else schedule.ANY


def _never_limited(purpose: str) -> bool:
    return schedule.check_purpose(purpose) in schedule.NEVER_LIMITED


def _free(purpose: str, seconds: float = 0.0) -> Time:
    # The store is not even opened: nothing that is wrong with it may stand between a child and help.
    return Time(purpose, TimeState.NEVER_LIMITED, seconds, _HORIZON_S, False, StoreState.OK)


def _unavailable(purpose: str, state: StoreState) -> Time:
    return Time(purpose, TimeState.STORE_UNAVAILABLE, 0.0, 0.0, False, state)
