"""How often to look: as often as the device can, with half of a processor left to the host and room to cool.

Looking less often never shows more: a frame that nobody looked at stays covered, so a slow or hot device has a slower
picture and the same protection.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from safelight.errors import UsageError
from safelight.measure import MAX_FRAMES_PER_SECOND, MIN_FRAMES_PER_SECOND, PROCESSOR_SHARE, load_plan

#: Degrees Celsius of the hottest zone, or ``None`` where nobody knows.
Temperature = Callable[[], "float | None"]

# A step of the running mean: about the last ten looks count.
_NEW_SHARE: Final = 0.2
_READ_EVERY_S: Final = 5.0
# Sensors that are not connected report numbers that no running device has.
_COLDEST_C, _HOTTEST_C = -40.0, 150.0


@dataclass(frozen=True, slots=True)
class Budget:
    """What looking may cost.

    Attributes:
        processor_share: of one processor, the most that looking takes, in (0, 1].
        max_looks_per_second: however fast the device is. Above 0.
        min_looks_per_second: however slow or hot it is. Above 0, at most the one before.
        warm_c: degrees Celsius from which looks become fewer.
        hot_c: where they are a quarter. Above ``warm_c``.

    Raises:
        UsageError: a value is out of its range.
    """

    processor_share: float = PROCESSOR_SHARE
    max_looks_per_second: float = MAX_FRAMES_PER_SECOND
    min_looks_per_second: float = MIN_FRAMES_PER_SECOND
    # Passive cooling of phones and boards sets in at 75 to 85; processors throttle themselves at 95 to 105.
    warm_c: float = 75.0
    hot_c: float = 90.0

    def __post_init__(self) -> None:
        if not 0 < self.processor_share <= 1:
            raise UsageError(f"processor_share: got {self.processor_share!r}, expected more than 0 and at most 1.")
        if not 0 < self.min_looks_per_second <= self.max_looks_per_second:
            raise UsageError("min_looks_per_second: expected more than 0 and at most max_looks_per_second.")
        if not self.warm_c < self.hot_c:
            raise UsageError("hot_c: expected more than warm_c.")


_HOT_FACTOR: Final = 4.0


class Pace:
    """When the next look may start.

    Args:
        budget: what looking may cost.
        temperature: asked every few seconds; :func:`system_temperature_c` for the system's own zones.
    """

    def __init__(self, budget: Budget, temperature: Temperature | None) -> None:
        self._budget = budget
        self._temperature = temperature
        self._read_at: float | None = None
        self.temperature_c: float | None = None
        self.look_s: float | None = None
        plan = load_plan()
        if plan is not None and plan.live_ms:
            self.look_s = plan.live_ms / 1000.0
        self._next_at = float("-inf")

    def may_look(self, now_s: float) -> bool:
        """Whether a look may start now."""
        return now_s >= self._next_at

    def wait_s(self, now_s: float) -> float:
        """How long until it may."""
        return max(0.0, self._next_at - now_s)

    def started(self, now_s: float) -> None:
        """A look starts."""
        self._next_at = now_s + self.interval_s(now_s)

    def took(self, look_s: float, now_s: float) -> None:
        """A look took so long, and is over now."""
        if self.look_s is None:
            self.look_s = look_s
        else:
            self.look_s += _NEW_SHARE * (look_s - self.look_s)
        # By what this one took, not by the mean: a look of ten seconds is followed by a rest of ten.
        rest_s = look_s * (1.0 / self._budget.processor_share - 1.0)
        self._next_at = max(
            self._next_at, min(now_s + rest_s, now_s - look_s + 1.0 / self._budget.min_looks_per_second)
        )

    def interval_s(self, now_s: float) -> float:
        """From the start of one look to the start of the next."""
        busy_s = (self.look_s or 0.0) / self._budget.processor_share
        interval_s = max(1.0 / self._budget.max_looks_per_second, busy_s) * self._heat_factor(now_s)
        return min(interval_s, 1.0 / self._budget.min_looks_per_second)

    def _heat_factor(self, now_s: float) -> float:
        if self._temperature is None:
            return 1.0
        if self._read_at is None or now_s - self._read_at >= _READ_EVERY_S:
            self._read_at = now_s
            try:
                self.temperature_c = self._temperature()
            except Exception:  # noqa: BLE001 - a host's provider; without one the pace is that of a cool device
                self.temperature_c = None
        if self.temperature_c is None or not self.temperature_c > self._budget.warm_c:
            return 1.0
        share = (self.temperature_c - self._budget.warm_c) / (self._budget.hot_c - self._budget.warm_c)
        return 1.0 + (_HOT_FACTOR - 1.0) * min(1.0, share)


def system_temperature_c(zones: Path = Path("/sys/class/thermal")) -> float | None:
    """The hottest thermal zone that Linux knows, in degrees Celsius; ``None`` where there is none."""
    found = []
    try:
        files = sorted(zones.glob("thermal_zone*/temp"))
    except OSError:
        return None
    for file in files:
        try:
            degrees = int(file.read_text(encoding="ascii")) / 1000.0
        except (OSError, ValueError):
            continue
        if _COLDEST_C < degrees < _HOTTEST_C:
            found.append(degrees)
    return max(found, default=None)
