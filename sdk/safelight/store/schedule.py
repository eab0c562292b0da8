"""When something is open: week windows, bedtimes and daily minutes. Pure: times in, answers out.

Everything is in the local time of the *settings'* zone; the device's own zone is never asked, so changing it
changes nothing. A window is a set of minutes of the week, so that two schedules can be compared minute by minute.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterable, Mapping
from datetime import date, datetime, timedelta, timezone, tzinfo
from functools import lru_cache
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from safelight.errors import UsageError

WEEKDAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
DAY_MIN: Final = 24 * 60
WEEK_MIN: Final = 7 * DAY_MIN
ALWAYS: Final = (1 << WEEK_MIN) - 1
ANY: Final = "*"
"""The purpose that stands for all that are not named."""

#: Never limited, whatever the settings, the clock and the state of the store.
NEVER_LIMITED: Final = frozenset({"help", "health", "emergency"})

_SPAN = re.compile(r"([01]\d|2[0-3]):([0-5]\d)-(?:([01]\d|2[0-3]):([0-5]\d)|(24):(00))\Z")
_PURPOSE = re.compile(r"[a-z0-9][a-z0-9._-]{0,99}\Z")


def check_purpose(purpose: str, *, any_allowed: bool = False) -> str:
    """A purpose or app id.

    Raises:
        UsageError: another form.
    """
    if not isinstance(purpose, str) or not (_PURPOSE.match(purpose) or (any_allowed and purpose == ANY)):
        raise UsageError(
            "purpose: expected up to 100 lower-case letters, digits, '.', '_' and '-', e.g. games or org.example.app."
        )
    return purpose


def check_limited(purpose: str) -> str:
    """A purpose that may be limited.

    Raises:
        UsageError: another form, or one that is never limited.
    """
    if purpose in NEVER_LIMITED:
        raise UsageError(f"purpose: got {purpose}, which is never limited; leave it out.")
    return check_purpose(purpose, any_allowed=True)


def zone_of(name: str) -> tzinfo:
    """The zone of an IANA name.

    Raises:
        UsageError: nobody here knows it.
    """
    if name == "UTC":
        return timezone.utc
    zone: tzinfo | None = None
    with contextlib.suppress(ZoneInfoNotFoundError, ValueError, OSError, TypeError):
        zone = ZoneInfo(name)
    if zone is None:
        raise UsageError("zone: expected an IANA name such as Europe/London; install tzdata if the name is right.")
    return zone


@lru_cache(maxsize=512)
def span_min(span: str, *, overnight: bool = False) -> tuple[int, int]:
    """``HH:MM-HH:MM`` in minutes of the day; the end may be ``24:00``, and with ``overnight`` of the next day.

    Raises:
        UsageError: another form, or an end that is not after the start.
    """
    found = _SPAN.match(span) if isinstance(span, str) else None
    if found is None:
        raise UsageError("window: expected HH:MM-HH:MM, e.g. 15:00-19:30.")
    start = int(found[1]) * 60 + int(found[2])
    end = int(found[3] or found[5]) * 60 + int(found[4] or found[6])
    if overnight and end <= start:
        end += DAY_MIN
    if end <= start:
        raise UsageError("window: got an end that is not after its start; write two windows around midnight.")
    return start, end


def windows_mask(windows: Mapping[str, Iterable[str]]) -> int:
    """The open minutes of the week as bits, Monday 00:00 first; a weekday that is not named is closed."""
    mask = 0
    for weekday, spans in windows.items():
        for span in spans:
            start, end = span_min(span)
            mask |= _bits(WEEKDAYS.index(weekday) * DAY_MIN + start, end - start)
    return mask


def bedtime_mask(bedtime: Mapping[str, str]) -> int:
    """The minutes of the week that bedtimes close; a night belongs to the weekday on which it begins."""
    mask = 0
    for weekday, span in bedtime.items():
        start, end = span_min(span, overnight=True)
        mask |= _bits(WEEKDAYS.index(weekday) * DAY_MIN + start, end - start)
    return mask


def _bits(start: int, length: int) -> int:
    block = ((1 << length) - 1) << start
    return (block & ALWAYS) | (block >> WEEK_MIN)


def local_day(wall_s: float, zone: tzinfo) -> date:
    """The day in the zone."""
    return _local(wall_s, zone).date()


def open_for_s(mask: int, wall_s: float, zone: tzinfo, *, at_most_s: float) -> float:
    """How long it stays open from now on; 0 when it is closed.

    Minutes are asked one after the other in real time, so a clock that is set back an hour in autumn makes the
    repeated hour count twice only if it is open, and one that is set forward skips what does not exist.
    """
    open_s = 0.0
    moment = wall_s
    while open_s < at_most_s:
        local = _local(moment, zone)
        minute = local.weekday() * DAY_MIN + local.hour * 60 + local.minute
        if not mask >> minute & 1:
            break
        step = 60.0 - (local.second + local.microsecond / 1e6)
        open_s += step
        moment += step
    return min(open_s, at_most_s)


def _local(wall_s: float, zone: tzinfo) -> datetime:
    # A clock may claim any number; what no calendar holds is the end of its range.
    bounded = min(max(wall_s, _EARLIEST_S), _LATEST_S)
    return (_EPOCH + timedelta(seconds=bounded)).astimezone(zone)


_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
_EARLIEST_S = -62_000_000_000.0
_LATEST_S = 253_000_000_000.0
