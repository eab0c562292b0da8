"""What keeps the order: jobs that run one after the other, and results that leave in the order in which they came.

A :class:`Strand` runs jobs one at a time on threads that many strands share. A :class:`Line` gives each message a
place; what is ready early waits until everything before it has left.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Executor, Future
from functools import partial
from typing import Generic, TypeVar

from safelight.errors import ClosedError

R = TypeVar("R")


class Strand:
    """Runs jobs one at a time, in the order in which they were put."""

    def __init__(self, executor: Executor) -> None:
        self._executor = executor
        self._jobs: deque[Callable[[], None]] = deque()
        self._running = False
        self._lock = threading.Lock()

    def put(self, job: Callable[[], None]) -> None:
        """Run ``job`` after those before it. It must not raise."""
        with self._lock:
            self._jobs.append(job)
            if self._running:
                return
            self._running = True
        self._executor.submit(self._run)

    def _run(self) -> None:
        while True:
            with self._lock:
                if not self._jobs:
                    self._running = False
                    return
                job = self._jobs.popleft()
            job()


class Place(Generic[R]):
    """A message's place in a line."""

    __slots__ = ("finish", "future", "size_bytes")

    def __init__(self, size_bytes: int) -> None:
        self.size_bytes = size_bytes
        self.finish: Callable[[], R] | None = None
        self.future: Future[R] = Future()
        # A caller who no longer waits does not take the place out: what comes after it must not overtake.
        self.future.set_running_or_notify_cancel()


class Line(Generic[R]):
    """Places in order, bounded by number and by bytes.

    Args:
        max_waiting: places that may be taken at once.
        max_bytes: of all their content together; one message may be larger when the line is empty.
    """

    def __init__(self, *, max_waiting: int, max_bytes: int) -> None:
        self._max_waiting = max_waiting
        self._max_bytes = max_bytes
        self._places: deque[Place[R]] = deque()
        self._bytes = 0
        self._rounds = 0
        self._leaving = False
        self._closed = False
        self._changed = threading.Condition()

    def enter(self, size_bytes: int) -> Place[R] | None:
        """The next place; ``None`` when there is no room.

        Raises:
            ClosedError: the line was closed.
        """
        with self._changed:
            self._require_open()
            full = len(self._places) >= self._max_waiting or self._bytes + size_bytes > self._max_bytes
            if full and self._places:
                return None
            place: Place[R] = Place(size_bytes)
            self._places.append(place)
            self._bytes += size_bytes
            return place

    def charge(self, place: Place[R], size_bytes: int) -> None:
        """What ``place`` really takes, when it is known: room for others, if it was less than thought."""
        with self._changed:
            if place in self._places:
                self._bytes += size_bytes - place.size_bytes
                place.size_bytes = size_bytes
                self._rounds += 1
                self._changed.notify_all()

    def wait_for_room(self) -> None:
        """Wait until something has left, or took less than was thought."""
        with self._changed:
            before = self._rounds
            self._changed.wait_for(lambda: self._closed or not self._places or self._rounds != before)

    def first(self) -> Future[R] | None:
        """What leaves next; for those who wait without a thread."""
        with self._changed:
            return self._places[0].future if self._places else None

    def ready(self, place: Place[R], finish: Callable[[], R]) -> None:
        """``place`` was judged; ``finish`` makes its result when its turn has come."""
        with self._changed:
            place.finish = finish
            if self._leaving:
                return  # whoever lets things leave now sees this one too
            self._leaving = True
        while True:
            with self._changed:
                head = self._places[0] if self._places else None
                if self._closed or head is None or head.finish is None:
                    self._leaving = False
                    return
                finish = head.finish
            settle = _called(finish, head.future)
            with self._changed:
                if not self._places or self._places[0] is not head:
                    self._leaving = False
                    return  # closed meanwhile: this one has its error already
                self._places.popleft()
                self._bytes -= head.size_bytes
                self._rounds += 1
                self._changed.notify_all()
            # Outside the lock: what is called back here may enter the line again.
            settle()

    def close(self) -> None:
        """Nothing leaves any more: everybody who waits gets a :class:`ClosedError`."""
        with self._changed:
            self._closed = True
            left = list(self._places)
            self._places.clear()
            self._bytes = 0
            self._changed.notify_all()
        for place in left:
            place.finish = None
            place.future.set_exception(_closed())

    def _require_open(self) -> None:
        if self._closed:
            raise _closed()


def _called(finish: Callable[[], R], future: Future[R]) -> Callable[[], None]:
    try:
        result = finish()
    except Exception as error:  # noqa: BLE001 - it belongs to whoever waits for the result, and the line goes on
        return partial(future.set_exception, error)
    return partial(future.set_result, result)


def _closed() -> ClosedError:
    return ClosedError("this conversation was closed; start a new one to go on.")
