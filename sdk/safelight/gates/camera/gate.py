"""The camera gate: consent first, then a device or the host's frames, and nothing on the screen that nobody judged."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, Literal

from safelight.decision import Action, Event
from safelight.errors import ClosedError, SafelightError, UsageError
from safelight.gates.camera.core import SLOTS, Core, Job, Timing, could_not_tell
from safelight.gates.camera.memory import FrameMemory
from safelight.gates.camera.pace import Budget, Pace, Temperature, system_temperature_c
from safelight.gates.camera.preview import CameraState, CameraStatus, Capture, CaptureState, Counts, Preview
from safelight.gates.camera.source import FrameSource, SourceError, open_source
from safelight.gates.release import ReleaseRule
from safelight.media.frame import Frame

if TYPE_CHECKING:
    from types import TracebackType

    from safelight.decision import Decision
    from safelight.guard import Guard
    from safelight.store import Consent, Hold

_log = logging.getLogger("safelight")

PURPOSE: Final = "camera"
_MODES: Final = ("preview", "hold")
# How often consent is asked for while the camera runs: a withdrawal stops it within this time.
_CONSENT_EVERY_S: Final = 0.5
_FAREWELLS: Final = frozenset({CameraState.NO_CONSENT, CameraState.SOURCE_LOST, CameraState.CLOSED})
_HEARTBEAT_S: Final = 0.25
_JOIN_S: Final = 2.0


class CameraGate:
    """Shows what a camera sees only after it was judged.

    The sink gets released frames: looked at and allowed, or near the last frame that was looked at
    (:class:`~safelight.gates.ReleaseRule`). For everything else it gets a stand-in of 8 x 8 cells, or, with
    ``mode="hold"``, nothing. A detector that is slow, hangs, crashes or is killed leads to stand-ins and a state.

    **Consent** for ``camera`` is asked of the guard's store when the camera is opened and twice a second from then on;
    without it, or when it is withdrawn or runs out, no device is open and the state is ``NO_CONSENT``.

    **Threads.** With ``threads=True`` one thread looks and, for a source, another reads. The sink is called by one
    thread at a time, with the gate's lock held, by whichever thread has something to show: draw, or hand a copy on, and
    return; do not wait for a thread that calls the gate. :attr:`status` never waits. A look that hangs in this process
    cannot be ended: give the guard ``isolation="process"``, whose children can. With ``threads=False`` everything
    happens in :meth:`push` and :meth:`poll`.

    Args:
        guard: decides about every frame that is looked at; one of ``tier="live"`` is made for it. Not closed here.
        sink: gets every :class:`Preview`.
        mode: ``preview``: stand-ins for what is not released; ``hold``: released frames only, for an encoder.
        rule: which frames are released without a look of their own.
        timing: hysteresis and other times.
        budget: what looking may cost.
        temperature: degrees Celsius or ``None``; the system's thermal zones when left out.
        still_guard: decides about :meth:`capture`; ``guard`` when left out. One of ``tier="full"`` looks closest.
        threads: see above.
        clock: seconds, monotonic.
        max_memory_bytes: of all frames together; a frame may have a quarter of it.

    Raises:
        UsageError: an argument is out of its range.

    Example:
        >>> from safelight import Frame, Guard, Profile
        >>> shown = []
        >>> with Guard(Profile("10_12")) as guard, CameraGate(guard, shown.append, threads=False) as gate:
        ...     print(gate.open().state)  # nobody was asked
        ...     _ = gate.push(Frame(bytes(640 * 480 * 3), "rgb", width=640, height=480))
        NO_CONSENT
        >>> shown
        []
    """

    def __init__(
        self,
        guard: Guard,
        sink: Callable[[Preview], object] = lambda preview: None,
        *,
        mode: Literal["preview", "hold"] = "preview",
        rule: ReleaseRule | None = None,
        timing: Timing | None = None,
        budget: Budget | None = None,
        temperature: Temperature | None = system_temperature_c,
        still_guard: Guard | None = None,
        threads: bool = True,
        clock: Callable[[], float] = time.monotonic,
        max_memory_bytes: int = 128 << 20,
    ) -> None:
        if mode not in _MODES:
            raise UsageError(f"mode: got {mode!r}, expected {' or '.join(_MODES)}.")
        if max_memory_bytes < SLOTS:
            raise UsageError(f"max_memory_bytes: got {max_memory_bytes}, expected room for {SLOTS} frames.")
        self.mode = mode
        self._guard, self._sink = guard, sink
        self._still_guard = still_guard if still_guard is not None else guard
        self._rule = rule if rule is not None else ReleaseRule()
        self._timing = timing if timing is not None else Timing()
        self._budget = budget if budget is not None else Budget()
        self._temperature = temperature
        self._threads = threads
        self._clock = clock
        self._max_memory_bytes = max_memory_bytes
        self._changed = threading.Condition(threading.RLock())
        self._session: _Session | None = None
        self._state = CameraState.CLOSED
        self._decision: Decision | None = None
        self._consent: Consent | None = None
        self._counts = Counts()  # these three: of the session that has ended
        self._delay_ms: tuple[float, float] | None = None
        self._look_ms: float | None = None
        self._closed = False

    # -- open and close -----------------------------------------------------------------------------------------------

    def open(
        self,
        source: str | os.PathLike[str] | FrameSource | None = None,
        *,
        width: int | None = None,
        height: int | None = None,
        frames_per_second: float | None = None,
    ) -> CameraStatus:
        """Ask for consent, then open the camera.

        Args:
            source: a V4L2 device such as ``/dev/video0``, a video file to be played as a camera, or an object with
                ``read()`` and ``close()``; ``None``: the host gives frames to :meth:`push`. Not touched without
                consent.
            width, height, frames_per_second: asked of a device, which may give others.

        Returns:
            ``STARTING``, or why not: ``NO_CONSENT`` (with the decision whose notice to show) or ``NO_CAMERA``.

        Raises:
            ClosedError: after :meth:`close`.
            UsageError: it is open.
        """
        with self._changed:
            self._require_not_closed()
            if self._session is not None:
                raise UsageError("camera: got an open gate, expected one that is not; close it or use a second gate.")
            now_s = self._clock()
            self._counts, self._delay_ms, self._look_ms = Counts(), None, None
            self._decision = self._guard.check_consent(PURPOSE)
            consent = self._read_consent()
            if consent is None or not consent.given or self._decision.action >= Action.BLUR:
                self._state = CameraState.NO_CONSENT
                return self.status
            self._decision = None
            opened: FrameSource | None = None
            if isinstance(source, (str, os.PathLike)):
                try:
                    opened = open_source(source, width=width, height=height, frames_per_second=frames_per_second)
                except SourceError as error:
                    _log.warning("%s", error)
                    self._state = CameraState.NO_CAMERA
                    return self.status
            elif source is not None:
                opened = source
            pace = Pace(self._budget, self._temperature)
            core = Core(
                FrameMemory(SLOTS, self._max_memory_bytes),
                self._rule,
                self._timing,
                stand_ins=self.mode == "preview",
                look_s=lambda: pace.look_s,
            )
            session = self._session = _Session(core, pace, opened)
            self._trust_consent(consent, now_s)
            self._state = CameraState.STARTING
            if self._threads:
                session.start(self._look_loop, "safelight-look")
                if opened is not None:
                    session.start(self._read_loop, "safelight-camera")
            return self.status

    def close(self) -> None:
        """Stop, give the device back and overwrite every frame. Final; safe to call twice."""
        with self._changed:
            session = self._session
            self._closed = True
            self._stop(CameraState.CLOSED)
        if session is not None:
            session.join()

    def stop(self) -> None:
        """As :meth:`close`, but :meth:`open` may come again."""
        with self._changed:
            session = self._session
            self._stop(CameraState.CLOSED)
        if session is not None:
            session.join()

    def __enter__(self) -> CameraGate:
        self._require_not_closed()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    # -- frames -------------------------------------------------------------------------------------------------------

    def push(self, frame: Frame) -> CameraStatus:
        """Give a frame. It is copied: the buffer is free again when this returns.

        What may be shown of it goes to the sink before this returns; a verdict on it comes later, from the gate's
        thread or from :meth:`poll`. Nothing happens while the gate is not open.

        Raises:
            ClosedError: after :meth:`close`.
        """
        with self._changed:
            self._require_not_closed()
            session = self._session
            if session is None or not self._consented(session):
                return self.status
            if session.still is not None and session.still.frame is None:
                session.still.fill(frame)
            self._deliver(session, session.core.offer(frame, self._clock()))
            self._changed.notify_all()
            return self.status

    def poll(self) -> CameraStatus:
        """Without threads: read a frame if there is a source, and look at the one that waits if it is time to.

        With threads it only returns the status.

        Raises:
            ClosedError: after :meth:`close`.
        """
        self._require_not_closed()
        session = self._session
        if self._threads or session is None:
            return self.status
        if session.source is not None:
            self._read_one(session)
        with self._changed:
            if session.stopped or not self._consented(session):
                return self.status
            now_s = self._clock()
            self._deliver(session, session.core.tick(now_s))
            job = self._next_job(session, now_s)
        if job is not None:
            self._run(session, job)
        return self.status

    def capture(self, frame: Frame | None = None, *, timeout_s: float = 10.0, keep: bool = False) -> Capture:
        """Take a still: kept back until there is a verdict, and handed out only if it is good.

        While something is covered there is none to be taken.

        Args:
            frame: what to take; the next one that arrives when left out.
            timeout_s: for the frame and the verdict together.
            keep: a still that is held or stopped is kept encrypted in the guard's store, for ``guard.appeal``: there is
                no other copy of it. Otherwise it is overwritten, as if the button had not been pressed.

        Raises:
            ClosedError: after :meth:`close`.
            UsageError: no frame, in a gate without threads.
        """
        self._require_not_closed()
        ends_s = time.monotonic() + timeout_s
        still = _Still()
        with self._changed:
            session = self._session
            if session is None or not self._consented(session):
                return Capture(CaptureState.NO_FRAME, decision=self._decision)
            if frame is not None:
                still.fill(frame)
            elif not self._threads:
                raise UsageError("frame: got none in a gate without threads, expected one; give the frame to take.")
            else:
                session.still = still
                try:
                    self._changed.wait_for(lambda: still.frame is not None or session.stopped, timeout_s)
                finally:
                    session.still = None
            if still.frame is None or session.stopped:
                still.overwrite()
                return Capture(CaptureState.NO_FRAME)
            if session.core.is_covered(self._clock()):
                still.overwrite()
                return Capture(CaptureState.REFUSED, decision=session.core.decision)
        taken = still.frame
        decision = self._judge_still(taken, max(0.0, ends_s - time.monotonic()))
        with self._changed:
            allowed = decision is not None and decision.action < Action.BLUR
            if allowed and (session.stopped or session.core.is_covered(self._clock())):
                # Consent went, or the preview found something, while the still was looked at.
                decision, allowed = session.core.decision, False
        if allowed:
            return Capture(CaptureState.TAKEN, taken, decision)
        hold = self._keep(decision, taken) if keep and decision is not None else None
        still.overwrite()
        unsure = decision is None or could_not_tell(decision)
        return Capture(CaptureState.COULD_NOT_TELL if unsure else CaptureState.REFUSED, None, decision, hold)

    @property
    def status(self) -> CameraStatus:
        """How it is now. Never waits."""
        session = self._session
        if session is None:
            decision = self._decision
            return CameraStatus(
                state=self._state,
                reasons=decision.reasons if decision is not None else (),
                decision=decision,
                consent=self._consent,
                counts=self._counts,
                look_ms=self._look_ms,
                release_delay_ms=self._delay_ms,
            )
        now_s = self._clock()
        core, pace = session.core, session.pace
        decision = core.decision
        return CameraStatus(
            state=core.state(now_s),
            reasons=decision.reasons if decision is not None else (),
            decision=decision,
            consent=self._consent,
            counts=core.counts,
            look_ms=_ms(pace.look_s),
            looks_per_second=1.0 / pace.interval_s(now_s),
            release_delay_ms=core.delay_ms,
            temperature_c=pace.temperature_c,
        )

    def __repr__(self) -> str:
        return f"CameraGate(mode={self.mode!r}, state={self.status.state.value!r})"

    # -- inside -------------------------------------------------------------------------------------------------------

    def _require_not_closed(self) -> None:
        if self._closed:
            raise ClosedError("this camera gate was closed; make a new one to go on.")

    def _read_consent(self) -> Consent | None:
        try:
            self._consent = self._guard.store.consents.check(PURPOSE)
        except (SafelightError, OSError):
            self._consent = None  # no store, or one that cannot be read: nobody has agreed
        return self._consent

    def _trust_consent(self, consent: Consent, now_s: float) -> None:
        self._consent_asked_s = now_s
        self._consent_until_s = now_s + consent.expires_in_s

    def _consented(self, session: _Session) -> bool:
        """Whether there still is consent; stops everything when there is not. With the lock."""
        now_s = self._clock()
        if now_s < min(self._consent_asked_s + _CONSENT_EVERY_S, self._consent_until_s):
            return not session.stopped
        consent = self._read_consent()
        if consent is not None and consent.given:
            self._trust_consent(consent, now_s)
            return not session.stopped
        if self._session is session:
            decision: Decision | None = None
            with suppress(SafelightError, OSError):  # a guard that was closed, or its store, has no notice
                decision = self._guard.check_consent(PURPOSE)
            self._stop(CameraState.NO_CONSENT, decision)
        return False

    def _deliver(self, session: _Session, preview: Preview | None) -> None:
        """Give it to the sink. With the lock."""
        if preview is None or session.stopped:
            return
        try:
            self._sink(preview)
        except BaseException:
            _log.warning("camera: the sink raised; the gate stops")
            self._stop(CameraState.SINK_FAILED)
            raise
        finally:
            session.core.done()

    def _stop(self, state: CameraState, decision: Decision | None = None) -> None:
        """End the session. With the lock; the threads end by themselves."""
        session, self._session = self._session, None
        self._state = state
        if session is not None:
            self._counts, self._delay_ms = session.core.counts, session.core.delay_ms
            self._look_ms = _ms(session.pace.look_s)
            self._decision = decision if decision is not None else session.core.decision
            session.stopped = True
            if self.mode == "preview" and state in _FAREWELLS:
                # A released frame must not stay on the screen of a camera that is off.
                with suppress(Exception):
                    self._sink(session.core.farewell(state, self._clock()))
            if session.source is not None:
                session.source.close()
                if not self._threads:
                    session.finish_source()
            session.core.close()
        self._changed.notify_all()

    def _next_job(self, session: _Session, now_s: float) -> tuple[Job, Frame] | None:
        if not session.core.wants_look() or not session.pace.may_look(now_s):
            return None
        job = session.core.take(now_s)
        if job is None:
            return None
        session.pace.started(now_s)
        return job, job.frame

    def _run(self, session: _Session, work: tuple[Job, Frame]) -> None:
        """Look, without the lock; then what follows, with it."""
        job, frame = work
        began_s = self._clock()
        decision: Decision | None = None
        try:
            decision = self._look(self._guard, frame)
        finally:
            with self._changed:
                now_s = self._clock()
                session.pace.took(now_s - began_s, now_s)
                if not session.stopped:
                    self._deliver(session, session.core.finish(job, decision, now_s))

    @staticmethod
    def _look(guard: Guard, frame: Frame) -> Decision | None:
        try:
            return guard.check_image(frame, event=Event.CAPTURE)
        except Exception:  # noqa: BLE001 - whatever it is, there is no verdict; its message is not ours to log
            _log.warning("camera: a look failed; the frame counts as not judged")
            return None

    def _judge_still(self, frame: Frame, timeout_s: float) -> Decision | None:
        if not self._threads:
            return self._look(self._still_guard, frame)
        answer: list[Decision | None] = []
        thread = threading.Thread(
            target=lambda: answer.append(self._look(self._still_guard, frame)), name="safelight-still", daemon=True
        )
        thread.start()
        thread.join(timeout_s)
        return answer[0] if answer else None

    def _keep(self, decision: Decision, frame: Frame) -> Hold | None:
        if decision.action < Action.HOLD:
            return None
        import io

        from PIL import Image

        from safelight.media.frame import to_pixels

        encoded = io.BytesIO()
        Image.fromarray(to_pixels(frame)[..., :3]).save(encoded, "PNG")
        try:
            return self._guard.holds.keep(decision, data=encoded.getvalue())
        except SafelightError:
            _log.warning("camera: a refused picture could not be kept; it is overwritten")
            return None

    # -- threads ------------------------------------------------------------------------------------------------------

    def _look_loop(self, session: _Session) -> None:
        while True:
            with self._changed:
                work = None
                while work is None:
                    if session.stopped or not self._consented(session):
                        return
                    now_s = self._clock()
                    self._deliver(session, session.core.tick(now_s))
                    work = self._next_job(session, now_s)
                    if work is None:
                        waits = session.core.wants_look()
                        self._changed.wait(min(_HEARTBEAT_S, session.pace.wait_s(now_s)) if waits else _HEARTBEAT_S)
            self._run(session, work)

    def _read_loop(self, session: _Session) -> None:
        try:
            while not session.stopped:
                self._read_one(session)
        finally:
            session.finish_source()

    def _read_one(self, session: _Session) -> None:
        assert session.source is not None
        try:
            frame = session.source.read()
        except Exception:  # noqa: BLE001 - a host's source may raise anything, and it is gone
            frame = None
            _log.warning("camera: the source raised; it counts as lost")
        with self._changed:
            if session.stopped or self._session is not session:
                return
            if frame is None:
                self._stop(CameraState.SOURCE_LOST)
                return
            self.push(frame)


class _Session:
    """From one open to its end."""

    def __init__(self, core: Core, pace: Pace, source: FrameSource | None) -> None:
        self.core, self.pace, self.source = core, pace, source
        self.stopped = False
        self.still: _Still | None = None
        self._threads: list[threading.Thread] = []

    def start(self, loop: Callable[[_Session], None], name: str) -> None:
        thread = threading.Thread(target=self._quietly, args=(loop,), name=name, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _quietly(self, loop: Callable[[_Session], None]) -> None:
        try:
            loop(self)
        except Exception:  # noqa: BLE001 - the sink's; the state says so, and its message is not ours to print
            _log.warning("camera: a thread ended early")

    def join(self) -> None:
        for thread in self._threads:
            if thread is not threading.current_thread():
                thread.join(_JOIN_S)

    def finish_source(self) -> None:
        """Close what PyAV has open, in the thread that reads."""
        finish: Any = getattr(self.source, "finish", None)
        if finish is not None:
            finish()


class _Still:
    """A frame in memory of its own."""

    def __init__(self) -> None:
        self.frame: Frame | None = None
        self._bytes = bytearray()

    def fill(self, frame: Frame) -> None:
        self._bytes = bytearray(memoryview(frame.data).cast("B"))
        self.frame = Frame(
            self._bytes,
            frame.format,
            width=frame.width,
            height=frame.height,
            stride=tuple(plane.stride for plane in frame.planes),
            rotation=frame.rotation,
            color_range=frame.color_range,
            timestamp_ms=frame.timestamp_ms,
        )

    def overwrite(self) -> None:
        self._bytes[:] = bytes(len(self._bytes))


def _ms(seconds: float | None) -> float | None:
    return seconds * 1000.0 if seconds is not None else None
