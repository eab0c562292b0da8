"""GIF: walk the blocks ourselves, decode each image block as a still, compose on one canvas.

Composed here because Pillow's composition depends on a process-wide setting (``LOADING_STRATEGY``), grows the
canvas half-way and takes a file that was cut short for complete at any block boundary.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from PIL import Image as PilImage

from safelight.decision import State
from safelight.media._refuse import Refused, Steps, broken, check_animation, check_size
from safelight.media.limits import Limits
from safelight.media.views import Rendered

_IMAGE, _EXTENSION, _TRAILER, _CONTROL = 0x2C, 0x21, 0x3B, 0xF9
_GREY: Final = bytes(v for v in range(256) for _ in range(3))


@dataclass(frozen=True, slots=True, eq=False)
class _Frame:
    left: int
    top: int
    width_px: int
    height_px: int
    palette: bytes
    transparent: int | None
    dispose: int
    duration_ms: int
    interlaced: bool
    code_bits: int
    start: int
    end: int


class GifFile:
    """Every frame of a GIF."""

    format = "GIF"

    def __init__(self, data: bytes, limits: Limits) -> None:
        self._data = data
        self._frames: list[_Frame] = []
        self._screen = (0, 0)
        self._walk(data, limits)
        # A frame may stick out of the logical screen. Some viewers then enlarge the screen, some crop: the
        # canvas holds everything, and the screen alone is looked at too where it differs.
        self._canvas = (
            max([self._screen[0], *(f.left + f.width_px for f in self._frames)]),
            max([self._screen[1], *(f.top + f.height_px for f in self._frames)]),
        )
        check_size(*self._canvas, limits)
        check_animation(*self._canvas, len(self._frames), limits)
        self._crop = self._screen != self._canvas and min(self._screen) >= limits.min_side_px
        self.width_px, self.height_px = self._canvas
        self.frame_count = len(self._frames)
        self.durations_ms = tuple(frame.duration_ms for frame in self._frames)

    def _walk(self, data: bytes, limits: Limits) -> None:
        steps = Steps(limits)
        if len(data) < 13:
            raise broken("gif_truncated")
        self._screen = (_u16(data, 6), _u16(data, 8))
        if max(self._screen) > limits.max_side_px or self._screen[0] * self._screen[1] > limits.max_pixels:
            raise Refused(State.TOO_LARGE, "pixels")
        shared, at = _palette(data, 13, data[10])
        transparent: int | None = None
        dispose = duration_ms = 0
        while True:
            steps.take()
            if at >= len(data):
                raise broken("gif_truncated")
            kind, at = data[at], at + 1
            if kind == _TRAILER:
                break
            if kind == _EXTENSION:
                if at >= len(data):
                    raise broken("gif_truncated")
                if data[at] == _CONTROL and data[at + 1 : at + 2] == b"\4" and at + 6 <= len(data):
                    flags = data[at + 2]
                    dispose = (flags >> 2) & 7
                    duration_ms = 10 * _u16(data, at + 3)
                    transparent = data[at + 5] if flags & 1 else None
                at = _skip_sub_blocks(data, at + 1, steps)
            elif kind == _IMAGE:
                if at + 9 > len(data):
                    raise broken("gif_truncated")
                left, top, width, height = (_u16(data, at + 2 * n) for n in range(4))
                flags = data[at + 8]
                own, at = _palette(data, at + 9, flags)
                if at >= len(data):
                    raise broken("gif_truncated")
                start = at + 1
                end = _skip_sub_blocks(data, start, steps)
                if not width or not height or not 1 <= data[at] <= 8:
                    raise broken("gif_structure")
                if len(self._frames) >= limits.max_frames:
                    raise Refused(State.TOO_LARGE, "frames")
                self._frames.append(
                    _Frame(
                        left,
                        top,
                        width,
                        height,
                        own or shared or _GREY,
                        transparent,
                        dispose,
                        duration_ms,
                        bool(flags & 0x40),
                        data[at],
                        start,
                        end,
                    )
                )
                transparent, dispose, duration_ms, at = None, 0, 0, end
            else:
                raise broken("gif_structure")
        if not self._frames:
            raise broken("gif_no_picture")

    def frames(self) -> Iterator[Rendered]:
        """Decode and compose one by one, at full scale: GIF has no other."""
        canvas = PilImage.new("RGBA", self._canvas)
        for index, frame in enumerate(self._frames):
            box = (frame.left, frame.top, frame.left + frame.width_px, frame.top + frame.height_px)
            # 4 is reserved; old encoders wrote it for 3 and viewers follow them.
            before = canvas.copy() if frame.dispose in (3, 4) else None
            piece = self._decode(frame)
            canvas.paste(piece, box, piece.getchannel("A"))
            yield Rendered(canvas.copy(), index, self.width_px, self.height_px)
            if self._crop:
                yield Rendered(canvas.crop((0, 0, *self._screen)), index, *self._screen, "screen")
            if frame.dispose == 2:
                canvas.paste((0, 0, 0, 0), box)
            elif before is not None:
                canvas = before

    def _decode(self, frame: _Frame) -> PilImage.Image:
        indices = PilImage.frombytes(
            "L",
            (frame.width_px, frame.height_px),
            self._data[frame.start : frame.end],
            "gif",
            frame.code_bits,
            int(frame.interlaced),
            -1,
        )
        piece = indices.copy()
        piece.putpalette(frame.palette.ljust(768, b"\0"), "RGB")
        piece = piece.convert("RGB")
        alpha = [255] * 256
        if frame.transparent is not None:
            alpha[frame.transparent] = 0
        piece.putalpha(indices.point(alpha))
        return piece


def _u16(data: bytes, at: int) -> int:
    return int.from_bytes(data[at : at + 2], "little")


def _palette(data: bytes, at: int, flags: int) -> tuple[bytes, int]:
    if not flags & 0x80:
        return b"", at
    length = 3 << ((flags & 7) + 1)
    if at + length > len(data):
        raise broken("gif_truncated")
    return data[at : at + length], at + length


def _skip_sub_blocks(data: bytes, at: int, steps: Steps) -> int:
    while True:
        steps.take()
        if at >= len(data):
            raise broken("gif_truncated")
        length = data[at]
        at += 1 + length
        if not length:
            return at
