"""The benign synthetic mosaics that golden vectors are measured on.

Integer arithmetic only, so that C++, Java and Python make the same bytes: no picture file has to
travel with a model, and a self-test on a device needs neither a decoder nor a random generator.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

# Odd 32-bit constants that spread neighbouring inputs over the whole word (the primes of xxHash32
# and Knuth's multiplicative constant); the two below are the rounds of a 32-bit avalanche mixer.
_SEED_FACTOR: Final = 2_654_435_761
_ROW_FACTOR: Final = 2_246_822_519
_COLUMN_FACTOR: Final = 3_266_489_917
_CHANNEL_FACTOR: Final = 668_265_263
_MIX_1: Final = 0x2C1B3C6D
_MIX_2: Final = 0x297A2D39
_WORD: Final = 0xFFFFFFFF


def _mix(x: int) -> int:
    """Return one byte, 0 to 255, from one 32-bit word."""
    x &= _WORD
    x ^= x >> 15
    x = (x * _MIX_1) & _WORD
    x ^= x >> 12
    x = (x * _MIX_2) & _WORD
    x ^= x >> 15
    return x >> 24


def golden_input(shape: tuple[int, ...], *, seed: int, cell_px: int) -> npt.NDArray[np.uint8]:
    """Make one mosaic: squares of ``cell_px`` pixels, each channel of each an independent byte.

    Args:
        shape: ``[1, height, width, channels]``, as in a model's ``config.json``.
        seed: Any integer from 0; taken modulo 2^32.
        cell_px: Side of a square, in pixels, from 1. The last row and column are cut at the border.

    Returns:
        ``uint8[1, height, width, channels]``, C-contiguous.

    Raises:
        ValueError: The shape is not four-dimensional with a batch of 1, or ``cell_px`` is below 1.
    """
    if len(shape) != 4 or shape[0] != 1:
        raise ValueError(f"got shape {shape}, expected (1, height, width, channels)")
    if cell_px < 1:
        raise ValueError(f"got cell_px {cell_px}, expected 1 or more")
    _, height, width, channels = shape
    rows, columns = -(-height // cell_px), -(-width // cell_px)
    cells = np.array(
        [
            [
                [
                    _mix(seed * _SEED_FACTOR + r * _ROW_FACTOR + c * _COLUMN_FACTOR + k * _CHANNEL_FACTOR)
                    for k in range(channels)
                ]
                for c in range(columns)
            ]
            for r in range(rows)
        ],
        dtype=np.uint8,
    )
    picture = cells.repeat(cell_px, axis=0).repeat(cell_px, axis=1)[:height, :width]
    return np.ascontiguousarray(picture[np.newaxis])
