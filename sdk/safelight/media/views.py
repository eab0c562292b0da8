"""From one decoded frame to the pictures that somebody may see in it.

A file can look different to the sender and to the receiver. Where a format leaves that open we look at each
reading, as separate pictures, so that none can hide behind another:

* **Transparency.** A viewer shows it over white (pages, mail) or over black (dark themes, galleries), and a
  picture can be drawn so that one is harmless and the other is not. And whoever drops the alpha channel (many
  do when they convert to JPEG) sees the raw colours, which may hold a whole picture under alpha 0.
  Hence ``over_white``, ``over_black`` and, when it differs from both, ``under_alpha``.
* **PNG gamma** (``gamma/…``): some viewers apply ``gAMA``, some do not; "double vision" pictures live on it.
* **CMYK JPEG without an Adobe marker** (``inverse/…``): viewers disagree on which end of the scale is ink.
* **GIF frames outside the logical screen** (``screen/…``): some viewers crop to the screen, some enlarge it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image as PilImage
from PIL import ImageChops

from safelight.media.image import Image

_STRIP_PX = 1 << 20  # rows are copied a mebipixel at a time: no second whole copy in memory


@dataclass(frozen=True, slots=True, eq=False)
class Rendered:
    """A decoded frame, upright.

    Attributes:
        picture: mode ``RGB`` or ``RGBA``.
        frame: index in the file.
        full_width_px: size of the whole picture, upright.
        full_height_px: as above.
        area_px: as in :class:`Image`; ``None`` for all of it.
        reading: ``""``, or which of several readings of the file this is, e.g. ``gamma``.
    """

    picture: PilImage.Image
    frame: int
    full_width_px: int
    full_height_px: int
    reading: str = ""
    area_px: tuple[float, float, float, float] | None = None


def views(rendered: Rendered) -> Iterator[Image]:
    """The pictures to look at in one frame: one when it is opaque, two or three when it is not."""
    area_px = rendered.area_px or (0.0, 0.0, float(rendered.picture.width), float(rendered.picture.height))
    for name, picture in _flatten(rendered.picture):
        yield Image(
            pixels=to_array(picture),
            full_width_px=rendered.full_width_px,
            full_height_px=rendered.full_height_px,
            area_px=area_px,
            frame=rendered.frame,
            view=f"{rendered.reading}/{name}" if rendered.reading else name,
        )


def _flatten(picture: PilImage.Image) -> Iterator[tuple[str, PilImage.Image]]:
    if picture.mode != "RGBA":
        yield "plain", picture
        return
    alpha = picture.getchannel("A")
    colours = picture.convert("RGB")
    if alpha.getextrema()[0] == 255:
        yield "plain", colours
        return
    hidden = True
    for name, ground in (("over_white", (255, 255, 255)), ("over_black", (0, 0, 0))):
        over = PilImage.new("RGB", picture.size, ground)
        over.paste(colours, mask=alpha)
        # Exact on purpose: any tolerance is room to hide in.
        hidden = hidden and ImageChops.difference(over, colours).getbbox() is not None
        yield name, over
    if hidden:
        yield "under_alpha", colours


def to_array(picture: PilImage.Image) -> npt.NDArray[np.uint8]:
    """An RGB picture as a fresh read-only ``uint8[H, W, 3]``."""
    width, height = picture.size
    pixels = np.empty((height, width, 3), dtype=np.uint8)
    rows = max(1, _STRIP_PX // max(1, width))
    for top in range(0, height, rows):
        bottom = min(height, top + rows)
        pixels[top:bottom] = np.asarray(picture.crop((0, top, width, bottom)))
    pixels.setflags(write=False)
    return pixels
