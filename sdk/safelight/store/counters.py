"""Private counters: how often, by week, and nothing else. For a family's own eyes and a host's transparency report.

No id, no time of day, no order, no content. Off until somebody turns them on; anybody may delete them. Counts are
written in batches: a crash may lose some, and nothing that protects hangs on them.
"""

from __future__ import annotations

import contextlib
import threading
from collections import Counter
from datetime import date, timedelta, timezone
from typing import TYPE_CHECKING, Final

from safelight.errors import StoreError, UsageError
from safelight.store import schedule

if TYPE_CHECKING:
    from safelight.store.store import Store

SECTION: Final = "counters"

#: Everything that can be counted.
NAMES: Final = (
    "action.allow",
    "action.nudge",
    "action.blur",
    "action.hold",
    "action.block",
    "choice.stop",
    "choice.continue",
    "help.opened",
    "appeal.asked",
    "appeal.restored",
    "notice.shown",
    "notice.repeated",
    "notice.false_alarm",
)

EXPIRY_DAYS: Final = 90
_BATCH: Final = 50


class Counters:
    """Counters of one store."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._waiting: Counter[str] = Counter()
        self._lock = threading.Lock()

    @property
    def on(self) -> bool:
        """Whether the settings say that anything is counted."""
        return self._store.view().settings.counters

    def add(self, name: str) -> None:
        """Count one, if counting is on. Never raises for what is on the disk.

        Raises:
            UsageError: a name that is not in :data:`NAMES`.
        """
        if name not in NAMES:
            raise UsageError(f"counter: got {name!r}, expected one of {', '.join(NAMES)}.")
        if not self.on:
            return
        with self._lock:
            self._waiting[name] += 1
            due = self._waiting.total() >= _BATCH
        if due:
            self.flush()

    def flush(self) -> None:
        """Write what was counted since the last time. A store that cannot be written to keeps none of it."""
        with self._lock:
            waiting, self._waiting = self._waiting, Counter()
        if not waiting:
            return
        with contextlib.suppress(StoreError):
            with self._store.work() as work:
                if not work.settings.counters:
                    return
                today = schedule.local_day(work.reading.confirmed_s, timezone.utc)
                weeks = _recent(work.get(SECTION, dict[str, dict[str, int]]) or {}, today)
                bucket = weeks.setdefault(_week(today), {})
                for name, count in waiting.items():
                    bucket[name] = bucket.get(name, 0) + count
                work.put(SECTION, weeks)

    def read(self) -> dict[str, dict[str, int]]:
        """Week (``2026-W47``) to name to count; what is older than 90 days is left out."""
        self.flush()
        view = self._store.view()
        today = schedule.local_day(max(view.reading.confirmed_s, view.reading.wall_s), timezone.utc)
        try:
            return _recent(view.get(SECTION, dict[str, dict[str, int]]) or {}, today)
        except StoreError:
            return {}

    def delete(self) -> None:
        """Delete all counts; anybody may.

        Raises:
            StoreError: the store cannot be written to.
        """
        with self._lock:
            self._waiting = Counter()
        with self._store.work(create=True) as work:
            work.put(SECTION, {})


def _week(day: date) -> str:
    year, week, _ = day.isocalendar()
    return f"{year:04d}-W{week:02d}"


def _recent(weeks: dict[str, dict[str, int]], today: date) -> dict[str, dict[str, int]]:
    # A week goes as a whole, when its last day is past the limit.
    oldest = _week(today - timedelta(days=EXPIRY_DAYS))
    return {week: dict(names) for week, names in sorted(weeks.items()) if week >= oldest}
