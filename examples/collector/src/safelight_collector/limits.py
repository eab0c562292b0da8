"""How much a process takes: token buckets by pseudonym and in total, and requests at once.

Buckets live in the memory of each process and nowhere else: a database that knew when a pseudonym last spoke would hold
times of day. So a device that is spread over N processes gets N times the rate, which is written in the guide.
"""

from __future__ import annotations

import math
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

_LEAST_WAIT_S: Final = 1


class TokenBucket:
    """So many at once, so many a second after that. Thread-safe.

    Args:
        rate_per_s: how fast it fills; 0 for one that never says no.
        burst: what it holds.
        monotonic: seconds of a clock that only goes forward.
    """

    def __init__(self, rate_per_s: float, burst: float, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._rate, self._burst, self._monotonic = rate_per_s, burst, monotonic
        self._level, self._at = burst, monotonic()
        self._lock = threading.Lock()

    def wait_s(self, count: float) -> int:
        """Whole seconds until ``count`` are there; 0 when they are. Takes nothing."""
        if self._rate <= 0:
            return 0
        with self._lock:
            self._fill()
            missing = min(count, self._burst) - self._level
        return max(_LEAST_WAIT_S, math.ceil(missing / self._rate)) if missing > 0 else 0

    def take(self, count: float) -> None:
        """Take what was used, below zero if need be: the next one waits for it."""
        if self._rate <= 0:
            return
        with self._lock:
            self._fill()
            self._level -= count

    def take_if_there(self, count: float) -> int:
        """Take ``count`` and return 0, or take nothing and return the seconds to wait."""
        wait = self.wait_s(count)
        if wait == 0:
            self.take(count)
        return wait

    def _fill(self) -> None:
        now = self._monotonic()
        self._level = min(self._burst, self._level + (now - self._at) * self._rate)
        self._at = now


class Buckets:
    """A token bucket a pseudonym; the longest unused are forgotten. Thread-safe.

    Args:
        rate_per_s: of each.
        burst: of each.
        most: how many are remembered.
        monotonic: seconds of a clock that only goes forward.
    """

    def __init__(
        self, rate_per_s: float, burst: float, most: int, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._rate, self._burst, self._most, self._monotonic = rate_per_s, burst, most, monotonic
        self._buckets: OrderedDict[str, TokenBucket] = OrderedDict()
        self._lock = threading.Lock()

    def of(self, name: str) -> TokenBucket:
        """The bucket of one pseudonym."""
        with self._lock:
            bucket = self._buckets.pop(name, None) or TokenBucket(self._rate, self._burst, self._monotonic)
            self._buckets[name] = bucket
            while len(self._buckets) > self._most:
                self._buckets.popitem(last=False)
        return bucket

    def __len__(self) -> int:
        return len(self._buckets)


class Places:
    """So many at once; ``enter`` says whether there is room. For one event loop."""

    def __init__(self, most: int) -> None:
        self._most = most
        self.taken = 0

    def enter(self) -> bool:
        """Take a place, if there is one."""
        if self.taken >= self._most:
            return False
        self.taken += 1
        return True

    def leave(self) -> None:
        """Give the place back."""
        self.taken -= 1
