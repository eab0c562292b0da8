"""A world for the tests of the camera: scenes that are benign, a detector that looks at numbers, and simulated time.

What must not be seen is a patch, or a whole frame, that is brighter than the rest. ``judge`` is the detector and the
oracle in one: its score grows with the brightest 8 x 8 tile, smoothly, so that a fade crosses every score on its way.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from safelight import Action, Decision, Event, Finding, FindingKind, Frame, Label, State
from safelight.decision import AgeBand
from safelight.gates import ReleaseRule
from safelight.gates.camera.core import SLOTS, Core, Timing
from safelight.gates.camera.memory import FrameMemory
from safelight.gates.camera.pace import Budget, Pace
from safelight.gates.camera.preview import Preview
from safelight.media import Image

Bytes = npt.NDArray[np.uint8]

WIDTH, HEIGHT = 64, 48
GROUND = 60
#: A tile this much above the ground has the score 1.
SPAN = 120.0
EXPLICIT = 0.5


def scene(seed: int = 0, *, noise: float = 0.0) -> Bytes:
    """A calm picture, ``uint8[48, 64, 3]``: a gradient around the ground."""
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH]
    picture = GROUND - 20 + (x // 4 + y // 3) % 20 + np.zeros((1, 1, 3)).transpose(2, 0, 1)[0]
    picture = np.repeat(picture[:, :, None], 3, axis=2).astype(float)
    if noise:
        picture += np.random.default_rng(seed).normal(0, noise, picture.shape)
    return np.clip(np.rint(picture), 0, 255).astype(np.uint8)


def marked(picture: Bytes, strength: float = 1.0, *, at: tuple[int, int] = (16, 24), size_px: int = 16) -> Bytes:
    """With a bright patch laid over it, from 0 (nothing) to 1."""
    y, x = at
    patch = picture.astype(float)
    region = patch[y : y + size_px, x : x + size_px]
    region += strength * (GROUND + SPAN - region)
    return np.rint(patch).astype(np.uint8)


def brightened(picture: Bytes, levels: float) -> Bytes:
    """All of it brighter."""
    return np.clip(np.rint(picture + levels), 0, 255).astype(np.uint8)


def score(picture: Bytes) -> float:
    """Of the brightest 8 x 8 tile, in [0, 1]."""
    tiles = picture[: HEIGHT // 8 * 8, : WIDTH // 8 * 8].reshape(HEIGHT // 8, 8, WIDTH // 8, 8, 3).mean((1, 3, 4))
    return float(np.clip((tiles.max() - GROUND) / SPAN, 0, 1))


def frame_of(picture: Bytes) -> Frame:
    return Frame(picture.tobytes(), "rgb", width=picture.shape[1], height=picture.shape[0])


def picture_of(frame: Frame) -> Bytes:
    """A copy."""
    return np.frombuffer(memoryview(frame.data), np.uint8).reshape(frame.height, frame.width, 3).copy()


def finding(value: float) -> Finding:
    label = Label.EXPLICIT if value >= EXPLICIT else Label.NONE
    return Finding(FindingKind.NUDITY, State.OK, label, value, "brightness")


def decision(picture: Bytes) -> Decision:
    """What a guard would decide: stopped from ``EXPLICIT`` on."""
    found = finding(score(picture))
    stopped = found.label is Label.EXPLICIT
    return Decision(
        Action.BLOCK if stopped else Action.ALLOW,
        Event.CAPTURE,
        AgeBand.UNKNOWN,
        (found,),
        ("NUDITY_EXPLICIT",) if stopped else (),
        None,
    )


def failed(state: State = State.DETECTOR_FAILED) -> Decision:
    """What a guard decides when its detector cannot tell."""
    found = (Finding(FindingKind.NUDITY, state, model="brightness"),)
    return Decision(Action.HOLD, Event.CAPTURE, AgeBand.UNKNOWN, found, (state.value,), None)


class Brightness:
    """``score`` as a detector, for guards. What it does before it answers can be set."""

    id = "brightness"
    kinds = (FindingKind.NUDITY,)

    def __init__(self, before: Callable[[Bytes], object] = lambda picture: None) -> None:
        self.before = before
        self.looks = 0

    def prepare(self) -> State:
        return State.OK

    def detect(self, image: Image) -> list[Finding]:
        self.looks += 1
        self.before(image.pixels)
        value = score(image.pixels)
        # The scale that guards know: explicit is what they stop.
        return [Finding(FindingKind.NUDITY, State.OK, Label.EXPLICIT if value >= EXPLICIT else Label.NONE, value, "b")]

    def close(self) -> None:
        pass


# --- simulated time --------------------------------------------------------------------------------------------------

#: How a look ends: with its verdict, with a decision that nobody could tell, with nothing, or never.
Outcome = Literal["verdict", "state", "crash", "hang"]


@dataclass
class Looks:
    """How long looks take and how they end, one after the other, over and over."""

    seconds: Sequence[float] = (0.01,)
    outcomes: Sequence[Outcome] = ("verdict",)
    count: int = 0

    def next(self) -> tuple[float, Outcome]:
        at = self.count
        self.count += 1
        return self.seconds[at % len(self.seconds)], self.outcomes[at % len(self.outcomes)]


@dataclass
class Seen:
    """What the sink got: copies of released frames, and everything else without pixels."""

    frames: list[tuple[int, float, Bytes]] = field(default_factory=list)
    previews: list[Preview] = field(default_factory=list)
    core: Any = None

    @property
    def sequences(self) -> list[int]:
        return [sequence for sequence, _, _ in self.frames]

    def exposed(self) -> list[int]:
        """Numbers of the frames that a detector would have stopped."""
        return [sequence for sequence, _, picture in self.frames if score(picture) >= EXPLICIT]


def simulate(
    pictures: Sequence[Bytes],
    *,
    frames_per_second: float = 30.0,
    looks: Looks | None = None,
    timing: Timing | None = None,
    rule: ReleaseRule | None = None,
    make: Callable[..., Core] = Core,
    judge: Callable[[Bytes], Decision] = decision,
    hang_s: float = 30.0,
) -> Seen:
    """Play pictures to a gate's rules in simulated time: frames keep coming while a look goes on."""
    looks = looks or Looks()
    pace = Pace(Budget(), None)
    pace.look_s = None
    memory = FrameMemory(SLOTS, SLOTS * pictures[0].size)
    core = make(memory, rule or ReleaseRule(), timing or Timing(), stand_ins=True, look_s=lambda: pace.look_s)
    seen = Seen(core=core)

    def sink(preview: Preview | None) -> None:
        if preview is not None:
            seen.previews.append(preview)
            if preview.frame is not None:
                seen.frames.append((preview.sequence, preview.shown_s, picture_of(preview.frame)))
        core.done()

    events: list[tuple[float, int, Callable[[float], None]]] = []
    numbers = iter(range(1 << 30))

    def at(when_s: float, what: Callable[[float], None]) -> None:
        heapq.heappush(events, (when_s, next(numbers), what))

    def start_look(now_s: float) -> None:
        if not core.wants_look():
            return
        if not pace.may_look(now_s):
            at(now_s + pace.wait_s(now_s), start_look)
            return
        job = core.take(now_s)
        assert job is not None
        pace.started(now_s)
        picture = picture_of(job.frame)
        took_s, outcome = looks.next()
        if outcome == "hang":
            took_s += hang_s
        answer = {"verdict": judge(picture), "state": failed(), "crash": None, "hang": failed(State.TIMED_OUT)}[outcome]

        def finish(later_s: float) -> None:
            assert np.array_equal(picture_of(job.frame), picture)  # what is released is what was looked at
            pace.took(took_s, later_s)
            sink(core.finish(job, answer, later_s))
            start_look(later_s)

        at(now_s + took_s, finish)

    def arrive(picture: Bytes) -> Callable[[float], None]:
        def offer(now_s: float) -> None:
            sink(core.tick(now_s))
            sink(core.offer(frame_of(picture), now_s))
            start_look(now_s)

        return offer

    for index, picture in enumerate(pictures):
        at(index / frames_per_second, arrive(picture))
    end_s = len(pictures) / frames_per_second + 5.0
    while events and events[0][0] <= end_s:
        now_s, _, what = heapq.heappop(events)
        what(now_s)
        assert memory.frames <= SLOTS
    return seen


def moving(count: int, seed: int = 0) -> Iterator[Bytes]:
    """Calm pictures of which each is far from the one before."""
    base = scene()
    for index in range(count):
        yield np.roll(base, 5 * index + seed, axis=1)
