"""Names → decisions, several at once: threads of this process, or Dask workers that see the same folder.

A name travels to a worker and a :class:`Answer` comes back; the picture stays where it is.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from safelight.decision import Action, Finding, FindingKind, State
from safelight.errors import MediaNotFoundError
from safelight.scan.walk import Found

if TYPE_CHECKING:
    from safelight.decision import Decision, Event
    from safelight.guard import Guard

#: How many names an engine has in hand for each one that it is looking at.
AHEAD = 4


@dataclass(frozen=True, slots=True)
class Answer:
    """What one file was decided to be; ``None`` for a file that could not be opened any more.

    Attributes:
        action: of the decision.
        reasons: of the decision.
        findings: of the decision.
    """

    action: Action
    reasons: tuple[str, ...]
    findings: tuple[Finding, ...]


class Engine(Protocol):
    """What looks at files."""

    def run(self, files: Iterable[Found]) -> Iterator[tuple[Found, Answer | None]]:
        """Every file with its answer, as they become ready. Takes from ``files`` only what it can soon look at."""

    def close(self) -> None:
        """Let go of workers. Safe to call twice."""


def could_not_tell() -> Answer:
    """The answer for a file whose every look ended in a crash."""
    return Answer(
        Action.HOLD, (State.DETECTOR_FAILED.value,), (Finding(FindingKind.MEDIA, State.DETECTOR_FAILED, model="scan"),)
    )


def look(guard: Guard, root: str, name: str, event: Event) -> Answer | None:
    """Decide about one file."""
    try:
        decision: Decision = guard.check_clip(os.path.join(root, name), event=event)  # pictures too
    except MediaNotFoundError:
        return None
    return Answer(decision.action, decision.reasons, decision.findings)


class LocalEngine:
    """Threads of this process on one guard; give the guard ``isolation="process"`` and a crash is a state.

    Args:
        guard: decides.
        root: the folder.
        event: what the files are decided for.
    """

    def __init__(self, guard: Guard, root: str, event: Event) -> None:
        self._guard, self._root, self._event = guard, root, event
        self._threads = ThreadPoolExecutor(guard.concurrency, thread_name_prefix="safelight-scan")

    def run(self, files: Iterable[Found]) -> Iterator[tuple[Found, Answer | None]]:
        """See :class:`Engine`."""
        running: dict[Future[Answer | None], Found] = {}
        coming = iter(files)
        more = True
        try:
            while running or more:
                while more and len(running) < AHEAD * self._guard.concurrency:
                    found = next(coming, None)
                    if found is None:
                        more = False
                        break
                    running[self._threads.submit(look, self._guard, self._root, found.name, self._event)] = found
                for future in wait(running, return_when=FIRST_COMPLETED).done if running else ():
                    yield running.pop(future), future.result()
        finally:
            for future in running:
                future.cancel()

    def close(self) -> None:
        """See :class:`Engine`."""
        self._threads.shutdown(wait=True, cancel_futures=True)
