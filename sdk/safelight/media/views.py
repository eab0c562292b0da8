"""From one decoded frame to the pictures that somebody may see in it.

A file can look different to the sender and to the receiver. Where a format leaves that open we look at each
reading, as separate pictures, so that none can hide behind another:

* **Transparency.** A viewer shows it over white (pages, mail) or over black (dark themes, galleries), and a
  picture can be drawn so that one is harmless and the other is not. And whoever drops the alpha channel (many
  do when they convert to JPEG) sees the raw colours, which may hold a whole picture under alpha 0.
  Hence ``over_white``, ``over_black`` and, when it differs from both, ``under_alpha``.
* **PNG gamma** (``gamma/…``): some viewers apply ``gAMA``, some do not; "double vision" pictures live on it.
* **CMYK JPEG without an Adobe marker** (``inverse/…``): viewers disagree on which end of the scale is ink.
* **Colour profiles** (``icc/…``): some viewers apply them, some do not; see ``_icc.py``.
* **Thumbnails** (``exif_thumbnail/…``, ``thumbnail/…``): galleries show the small picture inside the file, which
  need not be the large one made smaller.
* **HEIC and AVIF** (``whole/…``): the area outside a clean aperture, which some viewers show.
* **GIF frames outside the logical screen** (``screen/…``): some viewers crop to the screen, some enlarge it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import blake2b

import numpy as np
import numpy.typing as npt
from PIL import Image as PilImage
from PIL import ImageChops

from safelight.media.image import Image

_STRIP_PX = 1 << 20


@dataclass(frozen=True, slots=True, eq=False)
class Rendered:
    """A decoded frame, upright.

    Attributes:
        picture: mode ``RGB`` or ``RGBA``.
        frame: index in the file.
        full_width_px: size of the whole picture, upright.
        full_height_px: as above.
        area_px: as in :class:`Image`; ``None`` for all of it.
        profile: the ICC profile that the file gives for it, or nothing.
        reading: ``""``, or which of several readings of the file this is, e.g. ``gamma``.
    """

    picture: PilImage.Image
    frame: int
    full_width_px: int
    full_height_px: int
    reading: str = ""
    area_px: tuple[float, float, float, float] | None = None
    profile: bytes = b""


def views(rendered: Rendered) -> Iterator[Image]:
    """The pictures to look at in one frame: one when it is opaque, two or three when it is not."""
    picture = rendered.picture
    area_px = rendered.area_px or (0.0, 0.0, float(picture.width), float(picture.height))
    for name, pixels in _flatten(picture):
        yield Image(
            pixels=pixels,
            full_width_px=rendered.full_width_px,
            full_height_px=rendered.full_height_px,
            area_px=area_px,
            frame=rendered.frame,
            view=f"{rendered.reading}/{name}" if rendered.reading else name,
        )


def _flatten(picture: PilImage.Image) -> Iterator[tuple[str, npt.NDArray[np.uint8]]]:
    if picture.mode != "RGBA" or picture.getchannel("A").getextrema()[0] == 255:
        yield "plain", to_array(picture)
        return
    hidden = True
    for name, ground in (("over_white", (255, 255, 255)), ("over_black", (0, 0, 0))):
        pixels, differs = _over(picture, ground)
        hidden = hidden and differs
        yield name, pixels
        del pixels  # not held while the next one is made
    if hidden:
        yield "under_alpha", to_array(picture)


def _over(picture: PilImage.Image, ground: tuple[int, int, int]) -> tuple[npt.NDArray[np.uint8], bool]:
    """``picture`` over a ground, and whether that differs anywhere from its raw colours."""
    width, height = picture.size
    pixels = np.empty((height, width, 3), dtype=np.uint8)
    differs = False
    for top, bottom, strip in strips(picture):
        colours = strip.convert("RGB")
        over = PilImage.new("RGB", strip.size, ground)
        over.paste(colours, mask=strip.getchannel("A"))
        # Exact on purpose: any tolerance is room to hide in.
        differs = differs or ImageChops.difference(over, colours).getbbox() is not None
        pixels[top:bottom] = np.asarray(over)
    pixels.setflags(write=False)
    return pixels, differs


def to_array(picture: PilImage.Image) -> npt.NDArray[np.uint8]:
    """The colours of an RGB or RGBA picture as a fresh read-only ``uint8[H, W, 3]``."""
    width, height = picture.size
    pixels = np.empty((height, width, 3), dtype=np.uint8)
    for top, bottom, strip in strips(picture):
        pixels[top:bottom] = np.asarray(strip.convert("RGB") if strip.mode == "RGBA" else strip)
    pixels.setflags(write=False)
    return pixels


def strips(picture: PilImage.Image) -> Iterator[tuple[int, int, PilImage.Image]]:
    """Top, bottom and rows of a picture, a mebipixel at a time: no second whole copy in memory."""
    width, height = picture.size
    rows = max(1, _STRIP_PX // max(1, width))
    for top in range(0, height, rows):
        bottom = min(height, top + rows)
        yield top, bottom, picture.crop((0, top, width, bottom))


def digest(rendered: Rendered) -> bytes:
    """16 bytes that are the same for the same picture and, by design of the hash, for no other."""
    picture = rendered.picture
    state = blake2b(f"{rendered.reading} {picture.mode} {picture.size}".encode(), digest_size=16)
    for _, _, strip in strips(picture):
        state.update(strip.tobytes())
    return state.digest()
