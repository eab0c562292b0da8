"""Work that waits: each client in turn, and never more than was agreed."""

from __future__ import annotations

import threading
from collections import OrderedDict, deque
from collections.abc import Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
T = TypeVar("T")


class FairQueue(Generic[K, T]):
    """First in, first out for each client, and the clients in turn. Thread-safe.

    A client that has nothing waiting always finds a place, however much others have asked for; so the length is
    bounded by ``max_waiting`` and the number of clients.

    Args:
        max_waiting: how many may wait in all before a client that already waits is refused.

    Example:
        >>> queue = FairQueue[str, int](max_waiting=2)
        >>> [queue.put("a", 1), queue.put("a", 2), queue.put("a", 3), queue.put("b", 4)]
        [True, True, False, True]
        >>> [queue.take(0)[1] for _ in range(3)]
        [1, 4, 2]
    """

    def __init__(self, *, max_waiting: int) -> None:
        self._max_waiting = max_waiting
        self._changed = threading.Condition()
        self._turns: OrderedDict[K, deque[T]] = OrderedDict()
        self._waiting = 0
        self._closed = False

    def __len__(self) -> int:
        return self._waiting

    def put(self, client: K, item: T) -> bool:
        """Add one; ``False`` when there is no place for it."""
        with self._changed:
            own = self._turns.get(client)
            if self._closed or (own and self._waiting >= self._max_waiting):
                return False
            if own is None:
                own = self._turns[client] = deque()
            own.append(item)
            self._waiting += 1
            self._changed.notify()
            return True

    def take(self, timeout_s: float | None = None) -> tuple[K, T] | None:
        """The next one, of the client whose turn it is; ``None`` after a while, or when closed and empty."""
        with self._changed:
            self._changed.wait_for(lambda: self._turns or self._closed, timeout_s)
            if not self._turns:
                return None
            client, own = self._turns.popitem(last=False)
            item = own.popleft()
            self._waiting -= 1
            if own:
                self._turns[client] = own  # to the end: now the others
            return client, item

    def drop(self, client: K) -> list[T]:
        """Take back everything of a client that went away."""
        with self._changed:
            dropped = list(self._turns.pop(client, ()))
            self._waiting -= len(dropped)
            return dropped

    def close(self) -> None:
        """Accept no more; what waits can still be taken."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
