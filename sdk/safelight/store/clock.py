"""What time it is, as far as a device can know without asking anybody.

Three readings, each with its own use, because none can be believed alone:

- *elapsed*: seconds that this device was seen to run. Made of the boot clock only, so no setting moves it. Waits
  (a PIN's back-off, the delay of a loosening) are counted in it.
- *confirmed*: the wall time that elapsed time, a host's trusted time or a guardian stands behind. Whatever a new
  day or an opening hour *gives* is given by it.
- *highest*: the latest wall time ever seen, running on. Whatever a late hour *takes* is taken by it.
"""

from __future__ import annotations

import time
import uuid
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Protocol

import msgspec

# A clock that is corrected by the network moves by seconds; a window that differs by two minutes harms nobody.
TOLERANCE_S: Final = 120.0
# A restart takes about a minute and the boot clock stands still meanwhile. So much a day may be caught up without
# anybody's word, and no more: what is gained by restarting on purpose is bounded by it.
CATCH_UP_S_PER_DAY: Final = 300.0
_DAY_S: Final = 86_400.0


class Clock(Protocol):
    """What the operating system says. Injected, so that tests and device makers can bring their own."""

    def wall_s(self) -> float:
        """Seconds since 1970 in UTC; anybody may have set it."""
        ...

    def boot_s(self) -> float:
        """Seconds since this boot, time asleep included; nobody can set it."""
        ...

    def boot_id(self) -> str:
        """Names this boot; another one after every restart."""
        ...


class SystemClock:
    """The clocks of this machine."""

    def wall_s(self) -> float:
        """Seconds since 1970 in UTC."""
        return time.time()

    def boot_s(self) -> float:
        """CLOCK_BOOTTIME where there is one; else the monotonic clock, which may stand still during sleep."""
        if hasattr(time, "CLOCK_BOOTTIME"):
            return time.clock_gettime(time.CLOCK_BOOTTIME)
        return time.monotonic()

    def boot_id(self) -> str:
        """The kernel's own id of this boot; elsewhere this process's, so that every start counts as a restart."""
        try:
            return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        except (OSError, UnicodeDecodeError):
            return _PROCESS_ID


# No boot id to be had: unknown time passed between two processes, and unknown time grants nothing.
_PROCESS_ID = f"process-{uuid.uuid4()}"


class TimeMark(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """What is remembered about time between two looks.

    Attributes:
        boot_id, boot_s: the boot clock at the last look.
        elapsed_s: time that the device was seen to run, from the first look.
        confirmed_s: wall time that is vouched for.
        highest_s: latest wall time seen.
        catch_up_s: how much may still be caught up without anybody's word.
        trusted_s, trusted_elapsed_s: the host's last trusted time and when that was, or ``None``.
    """

    boot_id: str
    boot_s: float
    elapsed_s: float
    confirmed_s: float
    highest_s: float
    catch_up_s: float = CATCH_UP_S_PER_DAY
    trusted_s: float | None = None
    trusted_elapsed_s: float | None = None


@dataclass(frozen=True, slots=True)
class Reading:
    """One look at the clocks. All in seconds; see the module for which is used when."""

    elapsed_s: float
    confirmed_s: float
    wall_s: float
    highest_s: float

    @property
    def unconfirmed(self) -> bool:
        """Whether the clock jumped and nobody has said yet that it is right."""
        low = min(self.confirmed_s, self.wall_s, self.highest_s)
        high = max(self.confirmed_s, self.wall_s, self.highest_s)
        return high - low > TOLERANCE_S


def first_mark(clock: Clock) -> TimeMark:
    """The first look: there is nothing to compare with, so the wall clock is where counting begins."""
    wall_s = clock.wall_s()
    return TimeMark(boot_id=clock.boot_id(), boot_s=clock.boot_s(), elapsed_s=0.0, confirmed_s=wall_s, highest_s=wall_s)


def look(mark: TimeMark, clock: Clock) -> tuple[Reading, TimeMark]:
    """Look at the clocks.

    Within one boot the boot clock says how much time passed. After a restart it says only that at least the time
    since the restart did; what passed while the device was off stays unknown, whatever the wall clock claims.

    Returns:
        The reading, and the mark to remember.
    """
    boot_id, boot_s, wall_s = clock.boot_id(), clock.boot_s(), clock.wall_s()
    passed_s = max(0.0, boot_s - mark.boot_s if boot_id == mark.boot_id else boot_s)
    budget_s = min(CATCH_UP_S_PER_DAY, mark.catch_up_s + passed_s * CATCH_UP_S_PER_DAY / _DAY_S)
    confirmed_s = mark.confirmed_s + passed_s
    caught_up_s = max(0.0, min(wall_s - confirmed_s, budget_s))
    budget_s -= caught_up_s
    confirmed_s += caught_up_s
    # Downwards by the same budget: a wall clock that was a few seconds ahead once is not held against anybody.
    highest_s = max(mark.highest_s + passed_s, wall_s)
    let_go_s = max(0.0, min(highest_s - max(wall_s, confirmed_s), budget_s))
    reading = Reading(
        elapsed_s=mark.elapsed_s + passed_s,
        confirmed_s=confirmed_s,
        wall_s=wall_s,
        highest_s=highest_s - let_go_s,
    )
    return reading, msgspec.structs.replace(
        mark,
        boot_id=boot_id,
        boot_s=boot_s,
        elapsed_s=reading.elapsed_s,
        confirmed_s=confirmed_s,
        highest_s=reading.highest_s,
        catch_up_s=budget_s - let_go_s,
    )


def confirm(mark: TimeMark, reading: Reading, *, now_s: float) -> TimeMark:
    """Somebody entitled says that it is ``now_s``. Waits are not shortened by it: elapsed time stays as it is."""
    return msgspec.structs.replace(
        mark, confirmed_s=now_s, highest_s=now_s, elapsed_s=reading.elapsed_s, catch_up_s=0.0
    )


def trust(mark: TimeMark, reading: Reading, *, now_s: float) -> TimeMark:
    """The host's trusted time is ``now_s``: as :func:`confirm`, and the time since the last one counts as elapsed.

    Two trusted times prove what passed between them, also while the device was off.
    """
    elapsed_s = reading.elapsed_s
    if mark.trusted_s is not None and mark.trusted_elapsed_s is not None:
        elapsed_s = max(elapsed_s, mark.trusted_elapsed_s + (now_s - mark.trusted_s))
    confirmed = confirm(mark, replace(reading, elapsed_s=elapsed_s), now_s=now_s)
    return msgspec.structs.replace(confirmed, trusted_s=now_s, trusted_elapsed_s=elapsed_s)
