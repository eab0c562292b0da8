"""Detectors in a process of their own: a crash, a hang or a full memory there is a state here, and a restart.

    picture ──▶ IsolatedDetector ──▶ anonymous memory ──▶ child: detector, detector, …
                      ▲  validated words, bounded, no pickle ◀──┘
                      └─ no answer in time, no memory, a dead child, nonsense → TIMED_OUT, OUT_OF_MEMORY or
                         DETECTOR_FAILED from every detector; the child is killed, and the next picture gets
                         a new one (after a while, if that keeps failing)

The child is described in :mod:`safelight.detect._worker`, the reasons in ``docs/adr/0005-process-isolation.md``.
Linux only.
"""

from __future__ import annotations

import contextlib
import logging
import os
import re
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import msgspec
import numpy as np

from safelight.decision import Finding, FindingKind, Label, State
from safelight.detect import _wire
from safelight.detect._child import REAP_S, Child, ChildError, Fault
from safelight.detect.tiers import Tier, load_tiers
from safelight.detect.vision import VisionDetector
from safelight.errors import ClosedError, ModelError, UnsupportedInputError, UsageError

if TYPE_CHECKING:
    from safelight.detect.base import PictureDetector
    from safelight.media import Image

_log = logging.getLogger("safelight")


@dataclass(frozen=True, slots=True)
class DetectorSpec:
    """How to build a detector in another process.

    Attributes:
        factory: ``"module:callable"``, or the callable itself if it can be imported by its name.
        id: what findings about its failure name; its own ``id``, unless that is not known before it is built.
        kinds: the ``kinds`` that it will have.
        kwargs: arguments for the factory: text, numbers, booleans, ``None``, lists and dicts of them.
        models: what its findings may name as ``model``, beside its id and what its attribute ``models`` lists;
            any of them, or some joined by ``+``. A finding that names something else gets ``id``: a detector
            that was taken over shall not write texts into decisions.

    Raises:
        UsageError: the factory cannot be imported by name, or an argument cannot travel.

    Example:
        >>> from safelight import FindingKind
        >>> DetectorSpec("my_package:MyDetector", "mine_v1", (FindingKind.NUDITY,)).factory_name
        'my_package:MyDetector'
    """

    factory: str | Callable[..., PictureDetector]
    id: str
    kinds: tuple[FindingKind, ...]
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    models: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.kinds:
            raise UsageError("kinds: got none, expected what the detector's findings are about.")
        if not _FACTORY.fullmatch(self.factory_name):
            raise UsageError(
                "factory: got a callable that has no name to import it by, expected 'module:callable' or a "
                "function or class at the top level of a module other than __main__."
            )
        try:
            msgspec.msgpack.encode(dict(self.kwargs))
        except (TypeError, ValueError, OverflowError, msgspec.MsgspecError):
            raise UsageError(
                "kwargs: got a value that cannot travel to another process, expected text, numbers, booleans, None, "
                "lists and dicts."
            ) from None

    @property
    def factory_name(self) -> str:
        """``module:callable``."""
        if isinstance(self.factory, str):
            return self.factory
        module = getattr(self.factory, "__module__", None)
        return f"{module}:{getattr(self.factory, '__qualname__', '')}" if module != "__main__" else ""


def vision_spec(tier: Tier = "full", *, runtime: str = "auto") -> DetectorSpec:
    """The built-in detector; arguments as for :class:`~safelight.detect.VisionDetector`."""
    models: tuple[str, ...] = ()
    with contextlib.suppress(ModelError):  # then it has nothing to say but that
        models = (load_tiers().id,)
    return DetectorSpec(
        VisionDetector, f"vision_{tier}", VisionDetector.kinds, {"tier": tier, "runtime": runtime}, models
    )


_FACTORY: Final = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_][\w.]*")


@dataclass(frozen=True, slots=True)
class Backoff:
    """When a child that keeps failing may be started again.

    Attributes:
        free_restarts: failures in a row after which the next picture still gets a new child at once.
        first_ms: the wait after one failure more; it doubles with each further one.
        max_ms: the longest wait.
    """

    free_restarts: int = 2
    first_ms: int = 1_000
    max_ms: int = 60_000

    def wait_ms(self, failures: int) -> int:
        """The wait after so many failures in a row."""
        beyond = failures - self.free_restarts
        if beyond <= 0:
            return 0
        # 2**32 first waits are above any max_ms that makes sense; the bound keeps the number small.
        return min(self.max_ms, self.first_ms << min(beyond - 1, 32))


@dataclass(frozen=True, slots=True)
class IsolationStatus:
    """How the children are, for ``doctor`` and tests.

    Attributes:
        pids: of the children that run.
        starts: how many were started so far.
        failures: failures since the last answer.
        last_fault: what failed last.
        retry_in_ms: how long pictures get ``DETECTOR_FAILED`` without a start being tried.
        shared_memory: whether pixels travel in anonymous memory; where a system forbids it, in the pipe, slower.
    """

    pids: tuple[int, ...]
    starts: int
    failures: int
    last_fault: Fault | None
    retry_in_ms: int
    shared_memory: bool


class IsolatedDetector:
    """Runs one or more detectors in a child process; thread-safe.

    A picture that a child crashes, hangs or runs out of memory on gets ``DETECTOR_FAILED``, ``TIMED_OUT`` or
    ``OUT_OF_MEMORY`` from every wrapped detector and is not tried again; the child is killed, and the next
    picture gets a new one. What the detectors themselves say (``NO_MODEL``, ``UNVERIFIED``, …) comes through as
    it is. Nothing starts before the first picture or :meth:`prepare`.

    After a fork, the copy leaves the original's children alone and starts its own.

    Args:
        specs: the detectors; all of them live in each child, and each picture is sent to it once.
        processes: children, and so pictures looked at at once; the rest wait.
        timeout_ms: for all detectors' answers to one picture. Waiting for a free child does not count.
        start_timeout_ms: for starting, importing, building and preparing.
        memory_limit_mb: of a child, counted as the kernel's RLIMIT_DATA (private writable memory); ``None`` for
            no limit. The built-in detectors need 90 MiB, thread stacks and copies of large pictures come on top.
        restart_backoff: when a child that keeps failing is tried again.
        clock: seconds, monotonic, for the back-off.
        executable: the Python to start; ``sys.executable`` when left out.

    Raises:
        UsageError: an argument is out of its range, two detectors share an id, or this is not Linux.

    Example:
        >>> detector = IsolatedDetector(vision_spec("live"))
        >>> detector.id, detector.status().pids
        ('vision_live', ())
        >>> detector.close()
    """

    def __init__(
        self,
        *specs: DetectorSpec,
        processes: int = 1,
        timeout_ms: int = 30_000,
        start_timeout_ms: int = 60_000,
        memory_limit_mb: int | None = 512,
        restart_backoff: Backoff | None = None,
        clock: Callable[[], float] = time.monotonic,
        executable: str | None = None,
    ) -> None:
        if not sys.platform.startswith("linux"):
            raise UsageError("isolation: got this platform, expected Linux; use isolation='none' here.")
        if not 1 <= len(specs) <= _wire.MAX_DETECTORS or len({spec.id for spec in specs}) != len(specs):
            raise UsageError(f"specs: expected 1 to {_wire.MAX_DETECTORS} detectors, each with an id of its own.")
        for name, value in (
            ("processes", processes),
            ("timeout_ms", timeout_ms),
            ("start_timeout_ms", start_timeout_ms),
        ):
            if value < 1:
                raise UsageError(f"{name}: got {value}, expected 1 or more.")
        if memory_limit_mb is not None and memory_limit_mb < 1:
            raise UsageError(f"memory_limit_mb: got {memory_limit_mb}, expected 1 or more, or None for no limit.")
        program = executable or sys.executable
        if not program:
            raise UsageError("executable: this interpreter does not know its own, expected the path of a Python.")
        self.id = "+".join(spec.id for spec in specs)
        self.kinds = tuple(dict.fromkeys(kind for spec in specs for kind in spec.kinds))
        builds = [_wire.Build(spec.factory_name, dict(spec.kwargs)) for spec in specs]
        start = _wire.Start(builds, None if memory_limit_mb is None else memory_limit_mb << 20)
        self._settings = _Settings(
            specs,
            processes,
            timeout_ms / 1000,
            start_timeout_ms / 1000,
            restart_backoff or Backoff(),
            clock,
            program,
            start,
        )
        if len(_wire.encode(start)) > _wire.MAX_REQUEST_BYTES:
            raise UsageError("kwargs: got arguments too large to send, expected less than 1 MiB; send a path instead.")
        self._pool = _Pool(self._settings)
        self._end = weakref.finalize(self, self._pool.close)
        _LIVE.add(self)

    def prepare(self) -> State:
        """Start a child now. ``OK``, or the first state that is not, see :meth:`prepare_all`.

        Raises:
            ClosedError: after :meth:`close`.
        """
        states = self.prepare_all().values()
        return next((state for state in states if state is not State.OK), State.OK)

    def prepare_all(self) -> dict[str, State]:
        """Start a child now; detector id to ``OK``, or to the state that pictures will get from it.

        Raises:
            ClosedError: after :meth:`close`.
        """
        return dict(zip((spec.id for spec in self._settings.specs), self._here().prepare(), strict=True))

    def detect(self, image: Image) -> tuple[Finding, ...]:
        """Look at one picture with every detector; their findings in the order of the specs.

        Raises:
            ClosedError: after :meth:`close`.
            UnsupportedInputError: ``image.pixels`` is not ``uint8[H,W,3]``.
        """
        pixels = image.pixels
        if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3 or pixels.size == 0:
            raise UnsupportedInputError(f"got {pixels.dtype}{list(pixels.shape)}, expected uint8[H, W, 3] RGB.")
        return self._here().look(image)

    def status(self) -> IsolationStatus:
        """How the children are now. Starts nothing."""
        return self._here().status()

    def close(self) -> None:
        """End the children at once; pictures in progress and later calls raise ``ClosedError``. Safe to call twice."""
        self._here().close()

    def __repr__(self) -> str:
        return f"IsolatedDetector({self.id!r}, processes={self._settings.processes}, closed={self._pool.closed})"

    def _here(self) -> _Pool:
        if self._pool.pid != os.getpid():  # forked by native code, which runs no hook
            self._after_fork()
        return self._pool

    def _after_fork(self) -> None:
        self._end.detach()
        self._pool.abandon()
        closed = self._pool.closed
        self._pool = _Pool(self._settings)
        self._pool.closed = closed
        self._end = weakref.finalize(self, self._pool.close)


_LIVE: weakref.WeakSet[IsolatedDetector] = weakref.WeakSet()


def _after_fork_in_child() -> None:
    for detector in list(_LIVE):
        detector._after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)


@dataclass(frozen=True, slots=True)
class _Settings:
    specs: tuple[DetectorSpec, ...]
    processes: int
    timeout_s: float
    start_timeout_s: float
    backoff: Backoff
    clock: Callable[[], float]
    executable: str
    start: _wire.Start


class _Pool:
    """The places for children, who uses which, and when a failing one may be started again.

    One thread at a time has a place, and only that thread touches its pipes; :meth:`close` from another thread
    only sends a signal, so that no file descriptor is closed under a reader.
    """

    def __init__(self, settings: _Settings) -> None:
        self.pid = os.getpid()
        self.closed = False
        self._settings = settings
        self._changed = threading.Condition()
        self._idle: list[_Place] = [_Place() for _ in range(settings.processes)]
        self._busy: list[_Place] = []
        self._failures = 0
        self._retry_at = 0.0
        self._last_fault: Fault | None = None

    def prepare(self) -> tuple[State, ...]:
        place = self._take()
        try:
            built = self._started(place).built
            return tuple(_word(State, one.state) or State.DETECTOR_FAILED for one in built)
        except ChildError as error:
            place.end()
            self._note(error.fault)
            return (State.DETECTOR_FAILED,) * len(self._settings.specs)
        except BaseException:
            place.end()
            raise
        finally:
            self._give(place)

    def look(self, image: Image) -> tuple[Finding, ...]:
        specs = self._settings.specs
        place = self._take()
        try:
            child = self._started(place)
            answer = child.look(image, self._settings.timeout_s)
            if answer.exhausted:
                place.end()
                self._note(Fault.OUT_OF_MEMORY)
            else:
                self._succeeded()
            parts = zip(specs, child.built, answer.seen, strict=True)
            return tuple(finding for spec, built, seen in parts for finding in _findings(spec, built, seen))
        except ChildError as error:
            place.end()
            self._note(error.fault)
            state = _STATES.get(error.fault, State.DETECTOR_FAILED)
            return tuple(finding for spec in specs for finding in _failed(spec, state))
        except BaseException:
            place.end()  # an interrupt in the middle of an exchange: the child's next answer would be to this picture
            raise
        finally:
            self._give(place)

    def status(self) -> IsolationStatus:
        with self._changed:
            places = [*self._idle, *self._busy]
            children = [child for place in places if (child := place.child) is not None]
            wait_s = self._retry_at - self._settings.clock() if self._failures else 0.0
            return IsolationStatus(
                pids=tuple(child.pid for child in children),
                starts=sum(place.starts for place in places),
                failures=self._failures,
                last_fault=self._last_fault,
                retry_in_ms=max(0, round(wait_s * 1000)),
                shared_memory=all(child.shares_memory for child in children),
            )

    def close(self) -> None:
        if self.pid != os.getpid():
            return
        with self._changed:
            self.closed = True
            for place in self._busy:
                place.kill()
            self._changed.notify_all()
            # Whoever has a place sees its child end, and gives the place back.
            self._changed.wait_for(lambda: not self._busy, timeout=REAP_S)
            for place in self._idle:
                place.end()

    def abandon(self) -> None:
        """In a forked copy: let go of the original's children. Takes no lock: its holder may not exist here."""
        for place in [*self._idle, *self._busy]:
            if place.child is not None:
                place.child.abandon()

    def _take(self) -> _Place:
        with self._changed:
            self._changed.wait_for(lambda: self.closed or self._idle)
            if self.closed:
                raise ClosedError("this detector was closed; make a new Guard to go on.")
            # One with a child, else the last used: more children start only when so many are needed at once.
            place = next((place for place in reversed(self._idle) if place.child is not None), self._idle[-1])
            self._idle.remove(place)
            self._busy.append(place)
            return place

    def _give(self, place: _Place) -> None:
        with self._changed:
            if self.closed:
                place.end()
            self._busy.remove(place)
            self._idle.append(place)
            self._changed.notify_all()

    def _started(self, place: _Place) -> Child:
        """A child that lives. One that died while nothing was asked of it costs no picture, only a start."""
        child = place.child
        if child is not None:
            if child.lives():
                return child
            place.end()
            self._note(Fault.CRASHED)
        with self._changed:
            if self._failures and self._settings.clock() < self._retry_at:
                raise ChildError(Fault.BACKING_OFF)
        child = place.begin(self._settings.executable)
        with self._changed:
            if self.closed:  # close() came before there was a child to kill
                child.kill()
        child.greet(self._settings.start, self._settings.start_timeout_s)
        promised = [{kind.value for kind in spec.kinds} for spec in self._settings.specs]
        if [set(built.kinds) for built in child.built] != promised:
            raise ChildError(Fault.BUILD_FAILED)
        return child

    def _succeeded(self) -> None:
        with self._changed:
            self._failures = 0

    def _note(self, fault: Fault) -> None:
        with self._changed:
            if self.closed:
                raise ClosedError("this detector was closed; make a new Guard to go on.")
            if fault is Fault.BACKING_OFF:
                return
            self._failures += 1
            self._last_fault = fault
            wait_ms = self._settings.backoff.wait_ms(self._failures)
            self._retry_at = self._settings.clock() + wait_ms / 1000
        ids = ",".join(spec.id for spec in self._settings.specs)
        _log.warning("detectors %s: child %s; next start in %d ms", ids, fault.value, wait_ms)


class _Place:
    """Where a child is, or will be."""

    def __init__(self) -> None:
        self.child: Child | None = None
        self.starts = 0

    def begin(self, executable: str) -> Child:
        self.starts += 1
        try:
            self.child = Child(executable)
        except (OSError, MemoryError, subprocess.SubprocessError):
            raise ChildError(Fault.START_FAILED) from None
        return self.child

    def kill(self) -> None:
        if self.child is not None:
            self.child.kill()

    def end(self) -> None:
        child, self.child = self.child, None
        if child is not None:
            child.end()


_STATES: Final = {Fault.TIMED_OUT: State.TIMED_OUT, Fault.OUT_OF_MEMORY: State.OUT_OF_MEMORY}


def _failed(spec: DetectorSpec, state: State) -> list[Finding]:
    return [Finding(kind, state, model=spec.id) for kind in spec.kinds]


def _findings(spec: DetectorSpec, built: _wire.Built, seen: list[_wire.Seen]) -> list[Finding]:
    """What a detector said, if it is within the words. One finding that is not makes it one that failed as well."""
    findings = [_finding(spec, built, one) for one in seen]
    within = [finding for finding in findings if finding is not None]
    return within if within and len(within) == len(findings) else within + _failed(spec, State.DETECTOR_FAILED)


def _finding(spec: DetectorSpec, built: _wire.Built, seen: _wire.Seen) -> Finding | None:
    kind, state, label = _word(FindingKind, seen.kind), _word(State, seen.state), _word(Label, seen.label)
    if kind not in spec.kinds or state is None:
        return None
    model = seen.model
    known = {spec.id, *spec.models, built.id, *built.models}
    if model is not None and model not in known and not known.issuperset(model.split("+")):
        model = spec.id
    if state is not State.OK:
        return Finding(kind, state, model=model) if seen.label is None and seen.score is None else None
    if label is None:
        return None
    interval = seen.interval_years
    # Written so that NaN fails.
    in_range = seen.score is not None and 0.0 <= seen.score <= 1.0
    if not in_range or (interval is not None and not 0.0 <= interval[0] <= interval[1] <= _MAX_YEARS):
        return Finding(kind, State.SCORE_INVALID, model=model)
    return Finding(kind, State.OK, label, seen.score, model, interval)


#: Older than anybody has become: an interval of ages beyond is no estimate.
_MAX_YEARS: Final = 150.0


def _word(words: Any, text: str | None) -> Any:
    try:
        return words(text)
    except ValueError:
        return None
