"""The rules of a camera gate, without threads, devices or a clock of their own: what may be shown when.

    frame ─▶ offer ─┬─ near the last frame that was looked at, which was clear ──────────▶ released
                    └─ newest-wins slot ─▶ take ─▶ (the detectors look) ─▶ finish ─┬─ allowed ─▶ released
                                 ▲ an older one that waits is dropped              └─ else ────▶ covered

Every method takes the time and answers with what goes to the sink, or nothing: then the screen keeps what it shows,
which was released or is a stand-in. One look at a time, so verdicts come in the order of their frames.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from safelight import _image
from safelight.decision import Action, Finding, State
from safelight.gates.camera.memory import FrameMemory, Slot
from safelight.gates.camera.preview import CameraState, Counts, Preview, stand_in, upright_size
from safelight.media.stand_in import GRID, PLAIN

if TYPE_CHECKING:
    from safelight.decision import Decision
    from safelight.gates.release import ReleaseRule
    from safelight.media import Frame

# The frame that arrives, the one that waits, the one that is looked at, the one that was looked at last.
SLOTS: Final = 4
_STATES: Final = frozenset(state.value for state in State)


@dataclass(frozen=True, slots=True)
class Timing:
    """The gate's times, in seconds.

    Attributes:
        hysteresis_s: after something was found, how long nothing is shown whatever comes.
        freeze_s: how long the screen keeps the last released frame before a stand-in takes its place; three looks,
            where they are slow.
        look_timeout_s: how long a look may take before the state is ``WAITING``.
        refresh_s: how old the last look may be before there is another, although nothing changes.
        trust_s: how old it may be before nothing is released for being near it.
        stand_in_every_s: how often a stand-in changes: a fast series of them would show more than one.
    """

    hysteresis_s: float = 2.0
    freeze_s: float = 0.5
    look_timeout_s: float = 2.0
    refresh_s: float = 1.0
    trust_s: float = 6.0
    stand_in_every_s: float = 0.25


_FREEZE_LOOKS: Final = 3.0


@dataclass(slots=True, eq=False)
class Job:
    """A frame for the detectors."""

    slot: Slot
    sequence: int
    captured_s: float
    started_s: float = 0.0

    @property
    def frame(self) -> Frame:
        """The frame, in the gate's memory."""
        assert self.slot.frame is not None
        return self.slot.frame


class Core:
    """See the module."""

    def __init__(
        self,
        memory: FrameMemory,
        rule: ReleaseRule,
        timing: Timing,
        *,
        stand_ins: bool,
        look_s: Callable[[], float | None] = lambda: None,
    ) -> None:
        self.counts = Counts()
        self.decision: Decision | None = None
        self.delay_ms: tuple[float, float] | None = None  # median and 99 of 100
        self._delays_s: list[float] = []
        self._memory, self._rule, self._timing = memory, rule, timing
        self._stand_ins = stand_ins
        self._look_s = look_s
        self._pending: Job | None = None
        self._looking: Job | None = None
        self._inferred: Slot | None = None  # the last frame that was looked at, if it was allowed
        self._inferred_is_clear = False
        self._inferred_s = float("-inf")
        self._verdict: CameraState | None = None  # by the last verdict alone
        self._covered_until_s = float("-inf")
        self._next_sequence = 0
        self._shown_sequence = -1
        self._released_s = float("-inf")
        self._shows_stand_in = False  # nothing yet
        self._stand_in_s = float("-inf")
        self._last_stand_in = PLAIN
        self._shows_nothing = False  # what was found is not even stood in for
        self._leaving: Slot | None = None  # the sink is drawing it

    # -- what the gate calls ------------------------------------------------------------------------------------------

    def is_covered(self, now_s: float) -> bool:
        """Whether something was found a moment ago, so that nothing may be shown or taken."""
        return now_s < self._covered_until_s

    def state(self, now_s: float) -> CameraState:
        """In one word."""
        if self.is_covered(now_s):
            return CameraState.COVERED
        if self._is_overdue(now_s) or (self._verdict is CameraState.SHOWING and self._shows_stand_in):
            return CameraState.WAITING
        return self._verdict if self._verdict is not None else CameraState.STARTING

    def offer(self, frame: Frame, now_s: float) -> Preview | None:
        """A frame arrives. It is copied; the caller's buffer is free again when this returns the preview."""
        sequence = self._next_sequence
        self._next_sequence += 1
        self.counts = self.counts.plus(pushed=1)
        if max(frame.width, frame.height) > _image.MAX_SIDE_PX or not self._memory.fits(frame):
            self.counts = self.counts.plus(too_large=1)
            self._verdict = CameraState.COULD_NOT_TELL
            return self._cover(None, sequence, now_s, now_s)
        # What is compared is what is shown, whatever becomes of the caller's buffer meanwhile.
        job = Job(self._memory.keep(frame), sequence, now_s)
        near = self._is_near(job.frame, now_s)
        shown: Preview | None
        if near:
            self.counts = self.counts.plus(near=1)
            shown = self._release(job, now_s, None)
        else:
            shown = self._not_released(job, now_s)
        if near and now_s - self._inferred_s < self._timing.refresh_s:
            self._leave(job, shown)
        else:
            if self._pending is not None:
                self.counts = self.counts.plus(dropped=1)
                self._memory.give_back(self._pending.slot)
            self._pending = job
        return shown

    def wants_look(self) -> bool:
        """Whether a frame waits and nobody looks."""
        return self._pending is not None and self._looking is None

    def take(self, now_s: float) -> Job | None:
        """The frame to look at next, if there is one and nobody looks."""
        if not self.wants_look():
            return None
        self._looking, self._pending = self._pending, None
        assert self._looking is not None
        self._looking.started_s = now_s
        return self._looking

    def finish(self, job: Job, decision: Decision | None, now_s: float) -> Preview | None:
        """The verdict; ``None``: there is none, the look has failed."""
        if job is not self._looking:
            return None  # the gate was closed meanwhile
        self._looking = None
        if decision is not None and decision.action < Action.BLUR:
            return self._allowed(job, decision, now_s)
        self.counts = self.counts.plus(**_why_not(decision))
        self.decision = decision
        self._forget_inferred()
        if decision is None or could_not_tell(decision):
            self._verdict = CameraState.COULD_NOT_TELL
        else:
            self._verdict = CameraState.COVERED
            self._shows_nothing = decision.action >= Action.BLOCK
            self._covered_until_s = now_s + self._timing.hysteresis_s
        shown = self._cover(job.frame, job.sequence, job.captured_s, now_s, decision, at_once=True)
        self._leave(job, shown)
        return shown

    def tick(self, now_s: float) -> Preview | None:
        """Time passes without a frame: a released picture does not stay on the screen while nothing is known."""
        job = self._pending if self._pending is not None else self._looking
        if job is None or self._shows_stand_in or not self._is_stale(now_s):
            return None
        return self._cover(job.frame, job.sequence, job.captured_s, now_s)

    def farewell(self, state: CameraState, now_s: float) -> Preview:
        """The last thing that a screen gets: grey."""
        return Preview(None, PLAIN, GRID, GRID, state, self._next_sequence, now_s, now_s)

    def done(self) -> None:
        """The sink has returned: what it was given and nobody needs is overwritten."""
        if self._leaving is not None:
            self._memory.give_back(self._leaving)
            self._leaving = None

    def close(self) -> None:
        """Overwrite everything and forget it."""
        self._pending = self._looking = self._inferred = self._leaving = None
        self._memory.close()

    # -- inside -------------------------------------------------------------------------------------------------------

    def _leave(self, job: Job, shown: Preview | None) -> None:
        """The frame is no longer needed: now, or when the sink has drawn it."""
        if shown is not None and shown.frame is not None:
            self._leaving = job.slot
        else:
            self._memory.give_back(job.slot)

    def _allowed(self, job: Job, decision: Decision, now_s: float) -> Preview | None:
        self.counts = self.counts.plus(looked_at=1)
        self._forget_inferred()
        self._inferred = job.slot
        self._inferred_is_clear = self._rule.is_clear(decision)
        self._inferred_s = now_s
        self._verdict = CameraState.SHOWING
        if self.is_covered(now_s):
            return self._cover(job.frame, job.sequence, job.captured_s, now_s)
        # A newer frame may have been released meanwhile for being near the look before.
        return self._release(job, now_s, decision) if job.sequence > self._shown_sequence else None

    def _may_show(self, now_s: float) -> bool:
        return self._verdict is CameraState.SHOWING and not self.is_covered(now_s) and not self._is_overdue(now_s)

    def _is_near(self, frame: Frame, now_s: float) -> bool:
        if self._inferred is None or self._inferred.frame is None or not self._inferred_is_clear:
            return False
        if not self._may_show(now_s) or now_s - self._inferred_s > self._timing.trust_s:
            return False
        return self._rule.is_near(self._inferred.frame, frame)

    def _release(self, job: Job, now_s: float, decision: Decision | None) -> Preview:
        self.counts = self.counts.plus(released=1)
        self.decision = decision if decision is not None and decision.notice is not None else None
        self._shown_sequence = job.sequence
        self._released_s = now_s
        self._shows_stand_in = False
        self._add_delay(now_s - job.captured_s)
        size = upright_size(job.frame)
        return Preview(job.frame, None, *size, CameraState.SHOWING, job.sequence, job.captured_s, now_s, decision)

    def _not_released(self, job: Job, now_s: float) -> Preview | None:
        if self._may_show(now_s) and not self._is_stale(now_s):
            return None  # the screen keeps the last released frame while this one is looked at
        return self._cover(job.frame, job.sequence, job.captured_s, now_s)

    def _cover(
        self,
        frame: Frame | None,
        sequence: int,
        captured_s: float,
        now_s: float,
        decision: Decision | None = None,
        *,
        at_once: bool = False,
    ) -> Preview | None:
        if not self._stand_ins:
            return None
        fresh = self._shows_stand_in and now_s - self._stand_in_s < self._timing.stand_in_every_s
        if fresh and not at_once:
            return None
        if not fresh or at_once:
            self._stand_in_s = now_s
            plain = frame is None or (self._shows_nothing and self.state(now_s) is CameraState.COVERED)
            self._last_stand_in = PLAIN if plain or frame is None else stand_in(frame)
        self._shows_stand_in = True
        size = upright_size(frame) if frame is not None else (GRID, GRID)
        return Preview(None, self._last_stand_in, *size, self.state(now_s), sequence, captured_s, now_s, decision)

    def _is_stale(self, now_s: float) -> bool:
        look_s = self._look_s() or 0.0
        # However slow looks are, the picture stands still no longer than a late one is waited for.
        freeze_s = max(self._timing.freeze_s, min(_FREEZE_LOOKS * look_s, self._timing.look_timeout_s))
        return now_s - self._released_s > freeze_s

    def _is_overdue(self, now_s: float) -> bool:
        return self._looking is not None and now_s - self._looking.started_s > self._timing.look_timeout_s

    def _forget_inferred(self) -> None:
        self._memory.give_back(self._inferred)
        self._inferred = None

    def _add_delay(self, delay_s: float) -> None:
        self._delays_s.append(delay_s)
        if len(self._delays_s) > _DELAYS:
            del self._delays_s[0]
        if self.delay_ms is None or self.counts.released % _SORTED_EVERY == 0:
            ordered = sorted(self._delays_s)
            low, high = (ordered[int(share * (len(ordered) - 1))] * 1000.0 for share in _PERCENTILES)
            self.delay_ms = low, high


_DELAYS: Final = 512
_SORTED_EVERY: Final = 16
_PERCENTILES: Final = (0.5, 0.99)


def could_not_tell(decision: Decision) -> bool:
    """Whether nothing was found, and all that led to the action is that somebody could not answer."""
    return not any(_is_found(finding) for finding in decision.findings) and any(
        reason in _STATES for reason in decision.reasons
    )


def _is_found(finding: Finding) -> bool:
    return finding.state is State.OK and finding.label is not None and finding.label.value in _FOUND


_FOUND: Final = frozenset({"suggestive", "explicit", "match"})


def _why_not(decision: Decision | None) -> dict[str, int]:
    if decision is None:
        return {"could_not_tell": 1}
    if could_not_tell(decision):
        return {"looked_at": 1, "could_not_tell": 1}
    return {"looked_at": 1, "refused": 1}
