"""WebP: walk the chunks for size and frames, then Pillow's plugin, that is libwebp, decodes and composes.

libwebp refuses a file that is cut short, whatever Pillow's global switches say, and the walk has already
checked the outer length, the canvas and the number of frames.
"""

from __future__ import annotations

import io
from collections.abc import Iterator

from PIL import Image as PilImage
from PIL import features

from safelight.decision import State
from safelight.media import _exif, _icc
from safelight.media._jpeg import Thumbnails
from safelight.media._refuse import Refused, Steps, broken, check_animation, check_size
from safelight.media.limits import Limits
from safelight.media.views import Rendered

_ANIMATED = 0x02


class WebpFile:
    """Every frame of a WebP."""

    format = "WEBP"

    def __init__(self, data: bytes, limits: Limits) -> None:
        if not features.check("webp"):
            raise Refused(State.NO_DECODER, "webp_not_built")
        self._data = data
        self._orientation = 1
        self._profile: bytes | None = None
        self._canvas = (0, 0)
        self.durations_ms: tuple[int, ...] = ()
        frames, animated = self._walk(data, limits)
        if animated != (frames > 0):
            raise broken("webp_structure")
        self.frame_count = max(1, frames)
        check_animation(*self._canvas, self.frame_count, limits)
        if self._canvas[0] * self._canvas[1] > limits.max_webp_pixels:
            raise Refused(State.TOO_LARGE, "webp_pixels")
        # The plugin calls Pillow's bomb check, which warns by a threshold that the host may have lowered: a
        # warning cannot be silenced for one thread only, so it must not arise.
        ceiling = PilImage.MAX_IMAGE_PIXELS
        if ceiling is not None and self._canvas[0] * self._canvas[1] > ceiling:
            raise Refused(State.TOO_LARGE, "pixels")
        self.width_px, self.height_px = _exif.upright_size(*self._canvas, self._orientation)

    def _walk(self, data: bytes, limits: Limits) -> tuple[int, bool]:
        steps = Steps(limits)
        self._thumbnails = Thumbnails(limits, steps)
        end = 8 + int.from_bytes(data[4:8], "little")
        kind = data[12:16]
        body = data[20:30]
        if len(body) < 10:
            raise broken("webp_truncated")
        animated = False
        if kind == b"VP8X":
            animated = bool(body[0] & _ANIMATED)
            size = (1 + int.from_bytes(body[4:7], "little"), 1 + int.from_bytes(body[7:10], "little"))
        elif kind == b"VP8 " and body[3:6] == b"\x9d\x01\x2a":
            size = (int.from_bytes(body[6:8], "little") & 0x3FFF, int.from_bytes(body[8:10], "little") & 0x3FFF)
        elif kind == b"VP8L" and body[0] == 0x2F:
            bits = int.from_bytes(body[1:5], "little")
            size = ((bits & 0x3FFF) + 1, ((bits >> 14) & 0x3FFF) + 1)
        else:
            raise broken("webp_structure")
        check_size(*size, limits)
        self._canvas = size
        if end > len(data):
            raise broken("webp_truncated")
        frames, oriented = 0, False
        at = 12
        while at < end:
            steps.take()
            length = int.from_bytes(data[at + 4 : at + 8], "little")
            if at + 8 + length > end:
                raise broken("webp_truncated")
            if data[at : at + 4] == b"ANMF":
                frames += 1
                self.durations_ms += (int.from_bytes(data[at + 20 : at + 23], "little"),)
                if frames > limits.max_frames:
                    raise Refused(State.TOO_LARGE, "frames")
            elif data[at : at + 4] == b"EXIF":
                block = data[at + 8 : at + 8 + length]
                if not oriented:
                    self._orientation, oriented = _exif.orientation(block), True
                self._thumbnails.search(block, "exif_thumbnail")
            elif data[at : at + 4] == b"ICCP" and self._profile is None:
                self._profile = _icc.check_profile(data[at + 8 : at + 8 + length])
            at += 8 + length + (length & 1)
        return frames, animated

    def frames(self) -> Iterator[Rendered]:
        """Decode one by one, at full scale: Pillow knows no other for WebP."""
        # Imported by name so that Pillow does not import every plugin it has in search of this one.
        from PIL import WebPImagePlugin

        with PilImage.open(io.BytesIO(self._data), formats=(WebPImagePlugin.WebPImageFile.format,)) as file:
            if file.size != self._canvas or getattr(file, "n_frames", 1) != self.frame_count:
                raise broken("webp_structure")
            for index in range(self.frame_count):
                file.seek(index)
                file.load()
                # A copy only where the file object is about to move on to the next frame.
                picture: PilImage.Image = file if self.frame_count == 1 else file.copy()
                turned = _exif.upright(picture, self._orientation)
                yield Rendered(turned, index, self.width_px, self.height_px, profile=self._profile or b"")
        yield from self._thumbnails.frames(0, self._orientation)
        self._thumbnails.check()
