"""What comes out of a camera gate: previews, states, captures. No repr, log or error of theirs holds a pixel."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum
from typing import TYPE_CHECKING, Final

import numpy as np

from safelight import _image
from safelight.media.frame import Frame, plane_rows, to_pixels
from safelight.media.stand_in import GRID, StandIn, stand_in_of

if TYPE_CHECKING:
    import numpy.typing as npt

    from safelight.decision import Decision
    from safelight.store import Consent, Hold


class CameraState(str, Enum):
    """How a camera gate is. Only in ``SHOWING`` does the sink get frames."""

    CLOSED = "CLOSED"
    NO_CONSENT = "NO_CONSENT"
    """Nobody agreed to the camera, or no longer: no device is open. ``consent`` of the status says why."""
    NO_CAMERA = "NO_CAMERA"
    """The source could not be opened: not there, in use, or no decoder."""
    STARTING = "STARTING"
    """Open; no frame was judged yet."""
    SHOWING = "SHOWING"
    COVERED = "COVERED"
    """Something was found, now or in the last moments."""
    COULD_NOT_TELL = "COULD_NOT_TELL"
    """The last look ended without an answer; ``reasons`` say why."""
    WAITING = "WAITING"
    """The next verdict takes too long."""
    SOURCE_LOST = "SOURCE_LOST"
    """The camera was unplugged, or the stream has ended."""
    SINK_FAILED = "SINK_FAILED"
    """The host's sink raised. The gate is closed."""

    def __str__(self) -> str:
        return str(self.value)


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Preview:
    """One picture for the screen: a released frame, or a stand-in for one that is not.

    Attributes:
        frame: the released frame, as it came; ``None`` in a stand-in. Its memory is the gate's and is overwritten when
            the sink returns: draw or encode it there.
        stand_in: 8 x 8 cells made of at most 134 bits of the frame (:class:`~safelight.media.stand_in.StandIn`), to be
            stretched over the frame's place; plain grey while something is covered that was stopped (``BLOCK``);
            ``None`` beside a frame.
        width, height: of the upright frame, pixels.
        state: of the gate. The last preview of a gate that stops is grey, with the state that it stops in.
        sequence: number of the frame among all that were pushed, from 0.
        captured_s: when it was pushed, by the gate's clock.
        shown_s: when it came out.
        decision: of the look at this frame, with its notice; ``None`` when it was released for being near another, or
            not looked at.
    """

    frame: Frame | None
    stand_in: StandIn | None
    width: int
    height: int
    state: CameraState
    sequence: int
    captured_s: float
    shown_s: float
    decision: Decision | None = None

    @property
    def released(self) -> bool:
        """Whether this is a frame, and no stand-in."""
        return self.frame is not None

    def pixels(self, width: int | None = None, height: int | None = None) -> npt.NDArray[np.uint8]:
        """The frame, upright, or the stand-in drawn smoothly: ``uint8[height, width, 3]`` RGB, the caller's own.

        Args:
            width, height: pixels; those of the frame when left out.
        """
        from PIL import Image

        if self.frame is not None:
            pixels = to_pixels(self.frame)[..., :3]
        else:
            assert self.stand_in is not None
            pixels = np.frombuffer(self.stand_in.cells, np.uint8).reshape(GRID, GRID, 3)
        size = (width or self.width, height or self.height)
        if size == (pixels.shape[1], pixels.shape[0]):
            return np.array(pixels, order="C")
        small = Image.fromarray(np.ascontiguousarray(pixels))
        return np.array(small.resize(size, Image.Resampling.BILINEAR))

    def __repr__(self) -> str:
        what = "frame" if self.released else "stand-in"
        return f"<Preview {self.sequence}, {what}, {self.state}>"


def upright_size(frame: Frame) -> tuple[int, int]:
    """Width and height as it is looked at."""
    return (frame.height, frame.width) if frame.rotation % 180 else (frame.width, frame.height)


def stand_in(frame: Frame) -> StandIn:
    """The stand-in of a frame, upright: the native core averages cells, whatever the format."""
    cells = _image.prepare(
        plane_rows(frame),
        resize_px=(GRID, GRID),
        format=frame.format,
        width=frame.width,
        height=frame.height,
        yuv="bt601_limited" if frame.color_range == "limited" else "bt601_full",
        rotation=frame.rotation,
        filter="area",
    )
    return stand_in_of(cells)


@dataclass(frozen=True, slots=True)
class Counts:
    """What happened to the frames so far.

    Attributes:
        pushed: all of them.
        looked_at: a detector saw it, and there was a verdict.
        near: released for being near a frame that was looked at.
        released: went to the sink as they were: near, or looked at and allowed.
        dropped: a newer frame took their place before anybody looked.
        refused: looked at and not allowed.
        could_not_tell: a look at them ended without an answer.
        too_large: larger than the gate's memory for a frame.
    """

    pushed: int = 0
    looked_at: int = 0
    near: int = 0
    released: int = 0
    dropped: int = 0
    refused: int = 0
    could_not_tell: int = 0
    too_large: int = 0

    def plus(self, **more: int) -> Counts:
        """With some of them higher."""
        return replace(self, **{name: getattr(self, name) + number for name, number in more.items()})


@dataclass(frozen=True, slots=True)
class CameraStatus:
    """How a camera gate is now; of a closed one, how it was at its end.

    Attributes:
        state: in one word.
        reasons: of the last decision that covered the picture; never content.
        decision: that decision, with its notice: show it. Of the consent while it is missing.
        consent: how consent stands; ``None`` for a guard without a store, which has none.
        counts: of frames.
        look_ms: running mean of a look; ``None`` before the first.
        looks_per_second: how many there may be at most now, by what looks cost and by heat.
        release_delay_ms: from the push of a released frame to the sink: median and 99 of 100, over the last 512 and up
            to 16 frames old; ``None`` before the first.
        temperature_c: of the hottest zone, where it is known.
    """

    state: CameraState
    reasons: tuple[str, ...] = ()
    decision: Decision | None = None
    consent: Consent | None = None
    counts: Counts = Counts()
    look_ms: float | None = None
    looks_per_second: float = 0.0
    release_delay_ms: tuple[float, float] | None = None
    temperature_c: float | None = None

    @property
    def open(self) -> bool:
        """Whether frames are taken."""
        return self.state not in _CLOSED_STATES


_CLOSED_STATES: Final = frozenset(
    {
        CameraState.CLOSED,
        CameraState.NO_CONSENT,
        CameraState.NO_CAMERA,
        CameraState.SOURCE_LOST,
        CameraState.SINK_FAILED,
    }
)


class CaptureState(str, Enum):
    """What became of a picture that somebody wanted to take."""

    TAKEN = "TAKEN"
    REFUSED = "REFUSED"
    COULD_NOT_TELL = "COULD_NOT_TELL"
    """Looked at without an answer, or not in time."""
    NO_FRAME = "NO_FRAME"
    """No frame came in time, or the gate is not open."""

    def __str__(self) -> str:
        return str(self.value)


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Capture:
    """A still that was kept back until there was a verdict.

    Attributes:
        state: only ``TAKEN`` comes with a picture.
        frame: the picture, in memory of the caller's own; ``None`` when it was not taken.
        decision: with its notice; ``None`` where there was none in time.
        hold: where it is kept back, encrypted, for a second look (``guard.appeal``); ``None`` when it is not kept.
    """

    state: CaptureState
    frame: Frame | None = None
    decision: Decision | None = None
    hold: Hold | None = None

    @property
    def taken(self) -> bool:
        """Whether there is a picture."""
        return self.frame is not None

    def __repr__(self) -> str:
        return f"<Capture {self.state}>"
