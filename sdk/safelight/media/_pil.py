"""A PIL picture that the caller holds: looked at, never changed or closed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from PIL import Image as PilImage

from safelight.decision import State
from safelight.media import _exif
from safelight.media._refuse import Refused, check_animation, check_size
from safelight.media.limits import Limits
from safelight.media.views import Rendered

_WITH_ALPHA: Final = frozenset({"LA", "La", "PA", "RGBA", "RGBa"})
_OPAQUE: Final = frozenset({"1", "L", "RGB", "RGBX", "CMYK", "YCbCr", "HSV", "P"})


class PilSource:
    """Every frame of a PIL picture.

    One frame is copied at once. Several are read one by one out of the caller's own object, whose position
    is put back when the iteration ends.
    """

    format = "PIL"

    def __init__(self, picture: PilImage.Image, limits: Limits) -> None:
        check_size(*picture.size, limits)
        self._picture = picture
        self.frame_count = int(getattr(picture, "n_frames", 1))
        check_animation(*picture.size, self.frame_count, limits)
        self._limits = limits
        exif = picture.info.get("exif")
        self._orientation = _exif.orientation(exif) if isinstance(exif, bytes) else 1
        self.width_px, self.height_px = _exif.upright_size(*picture.size, self._orientation)
        self._only = self._render(0) if self.frame_count == 1 else None

    def frames(self) -> Iterator[Rendered]:
        """The frames, one by one, as large as the caller holds them."""
        if self._only is not None:
            yield self._only
            return
        at = self._picture.tell()
        try:
            for index in range(self.frame_count):
                self._picture.seek(index)
                # A file of several pictures may hold a larger one behind a small one.
                check_size(*self._picture.size, self._limits)
                yield self._render(index)
        finally:
            self._picture.seek(at)

    def _render(self, index: int) -> Rendered:
        turned = _exif.upright(_to_rgb(self._picture), self._orientation)
        width, height = _exif.upright_size(*self._picture.size, self._orientation)
        profile = self._picture.info.get("icc_profile")
        return Rendered(turned, index, width, height, profile=profile if isinstance(profile, bytes) else b"")


def _to_rgb(picture: PilImage.Image) -> PilImage.Image:
    """A fresh RGB or RGBA copy."""
    picture.load()
    mode = picture.mode
    if mode in _WITH_ALPHA:
        return picture.convert("RGBA")
    if mode == "P" or (mode in _OPAQUE and "transparency" in picture.info):
        # A palette may hold alpha itself: RGBA keeps it, and an opaque result costs one view all the same.
        base = picture if mode in ("P", "L", "RGB") else picture.convert("RGB")
        return base.convert("RGBA")
    if mode in _OPAQUE:
        return picture.convert("RGB")
    if mode.startswith("I"):
        # 16-bit grey, or 32-bit that holds it (older Pillow opens such PNGs so). Pillow's conversion clips.
        low, high = picture.getextrema()
        if isinstance(low, (int, float)) and isinstance(high, (int, float)) and low >= 0 and high <= 65_535:
            wide = picture if mode == "I" else picture.convert("I")
            return wide.point(lambda v: v * (1 / 257)).convert("L").convert("RGB")
    raise Refused(State.NO_DECODER, "pil_mode")
