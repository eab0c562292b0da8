"""What is shown in place of a picture: 8 × 8 cells of four shades and one tint, and nothing else of it.

A blur keeps what it hides: a convolution can be undone in part, and faces are recognised in pictures of 16 × 16. A
stand-in is made from at most 134 bits (64 cells × 2 bits of brightness, 6 bits of tint), so nothing else can be in it:
two pictures that agree in those bits have the same one, bit for bit.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from safelight.media import limits as _limits
from safelight.media.image import Image
from safelight.media.limits import Limits
from safelight.media.load import ImageSource, load_image

GRID: Final = 8
LEVELS: Final = 4
#: Most that a stand-in can say about its picture.
BITS: Final = GRID * GRID * 2 + 3 * 2

_STEP: Final = 256 // LEVELS
_DECODE_PX: Final = 4 * GRID  # a JPEG is decoded at the reduced scale that leaves at least twice this
_LUMA: Final = np.array([299, 587, 114], np.int64)  # ITU-R BT.601
_PLAIN: Final = 128


@dataclass(frozen=True, slots=True)
class StandIn:
    """A stand-in for a picture, or for a clip.

    Attributes:
        cells: ``uint8[8, 8, 3]`` RGB as 192 bytes, row by row.
        plain: whether it is the one that says nothing at all about what it stands for.
    """

    cells: bytes
    plain: bool = False

    def png(self, side_px: int = 256) -> bytes:
        """As a square PNG with soft edges, for the host's own layout to stretch.

        Args:
            side_px: 8 to 2048.

        Raises:
            UsageError: a side outside its range.
        """
        from PIL import Image as PilImage

        from safelight.errors import UsageError

        if not GRID <= side_px <= 2048:
            raise UsageError(f"side_px: got {side_px}, expected {GRID} to 2048.")
        small = PilImage.frombytes("RGB", (GRID, GRID), self.cells)
        buffer = io.BytesIO()
        small.resize((side_px, side_px), PilImage.Resampling.BILINEAR).save(buffer, "PNG", compress_level=1)
        return buffer.getvalue()

    def __repr__(self) -> str:
        return f"<StandIn {GRID}x{GRID}{' plain' if self.plain else ''}>"


#: Says nothing about what it stands for: shown before there is a verdict, for clips, and where nothing was decoded.
PLAIN: Final = StandIn(bytes([_PLAIN]) * (GRID * GRID * 3), plain=True)


def make_stand_in(source: ImageSource, *, limits: Limits = _limits.DEFAULT) -> StandIn:
    """The stand-in of the first picture in ``source``; :data:`PLAIN` when it cannot be decoded.

    Raises:
        UnsupportedInputError, UsageError, MediaNotFoundError: as :func:`safelight.media.load_image`.
    """
    loaded = load_image(source, limits=limits, short_side_px=_DECODE_PX)
    if hasattr(loaded, "state"):
        return PLAIN
    with loaded as pictures:
        first = next(iter(pictures))
    return stand_in_of(first.pixels) if isinstance(first, Image) else PLAIN


def stand_in_of(pixels: npt.NDArray[np.uint8]) -> StandIn:
    """The stand-in of ``uint8[H, W, 3]`` RGB pixels, 8 × 8 or more."""
    height, width = pixels.shape[:2]
    if height < GRID or width < GRID:
        return PLAIN
    rows = np.arange(GRID + 1) * height // GRID
    columns = np.arange(GRID + 1) * width // GRID
    sums = np.add.reduceat(pixels, rows[:-1], axis=0, dtype=np.int64)
    sums = np.add.reduceat(sums, columns[:-1], axis=1)
    counts = np.diff(rows)[:, None] * np.diff(columns)[None, :]
    shades = (sums @ _LUMA) // (1000 * counts) // _STEP
    tint = sums.sum((0, 1)) // (height * width) // _STEP
    return _drawn(shades, tint)


def _drawn(shades: npt.NDArray[np.int64], tint: npt.NDArray[np.int64]) -> StandIn:
    """From here on nothing but 64 numbers of four values and three of four is known."""
    middle = _STEP // 2
    cells = (shades[:, :, None] * _STEP + middle + tint * _STEP + middle) // 2
    return StandIn(cells.astype(np.uint8).tobytes())
