"""Golden inputs: benign mosaics and numbers made from integers alone, so that every face of Safelight can make them."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

_MASK = np.uint64(0xFFFFFFFF)


def golden_input(shape: tuple[int, ...], *, seed: int, cell_px: int) -> npt.NDArray[np.uint8]:
    """Make the mosaic that a golden case names.

    Every step is modulo 2**32. For cell row r, column c and channel k::

        x = seed*2654435761 + r*2246822519 + c*3266489917 + k*668265263
        x ^= x >> 15;  x *= 0x2c1b3c6d;  x ^= x >> 12;  x *= 0x297a2d39;  x ^= x >> 15
        value = x >> 24

    (the additive constants are the primes of xxHash, the mixing that of Mulvey's lowbias32.)

    Args:
        shape: ``(1, height, width, channels)`` or ``(height, width, channels)``.
        seed: 0 to 2**32 - 1.
        cell_px: side of a cell in pixels; the last cells are cut at the border.

    Returns:
        ``uint8[shape]``.
    """
    height, width, channels = shape[-3:]
    rows = (np.arange(height, dtype=np.uint64) // np.uint64(cell_px))[:, None, None]
    columns = (np.arange(width, dtype=np.uint64) // np.uint64(cell_px))[None, :, None]
    planes = np.arange(channels, dtype=np.uint64)[None, None, :]
    # 64-bit sums and products of 32-bit values cannot overflow; each step is then cut to 32 bits.
    x = (
        np.uint64(seed * 2654435761 & 0xFFFFFFFF)
        + rows * np.uint64(2246822519)
        + columns * np.uint64(3266489917)
        + planes * np.uint64(668265263)
    ) & _MASK
    x ^= x >> np.uint64(15)
    x = (x * np.uint64(0x2C1B3C6D)) & _MASK
    x ^= x >> np.uint64(12)
    x = (x * np.uint64(0x297A2D39)) & _MASK
    x ^= x >> np.uint64(15)
    mosaic: npt.NDArray[np.uint8] = (x >> np.uint64(24)).astype(np.uint8).reshape(shape)
    return mosaic


def golden_text(
    ids_shape: tuple[int, ...], dense_shape: tuple[int, ...], state_shape: tuple[int, ...], *, seed: int
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Make the input of a model of conversations that a golden case names: ids, dense numbers, state.

    From three mosaics of one row (:func:`golden_input`): two bytes an id, which is ``1 + (256 * high + low) % 65535``
    for the first third and 0 for the rest; dense numbers are bytes over 256; states are bytes over 128, less 1.

    Args:
        ids_shape: ``(1, ids)``; dense_shape, state_shape: alike.
        seed: 0 to 2**32 - 1.

    Returns:
        ``int32[ids_shape]``, ``float32[dense_shape]``, ``float32[state_shape]``.
    """
    pairs = golden_input((1, ids_shape[-1], 2), seed=seed, cell_px=1).astype(np.int32)[0]
    ids = 1 + (pairs[:, 0] * 256 + pairs[:, 1]) % 65535
    ids[ids_shape[-1] // 3 :] = 0
    dense = golden_input((1, dense_shape[-1], 1), seed=seed + 1, cell_px=1).astype(np.float32) / np.float32(256)
    state = golden_input((1, state_shape[-1], 1), seed=seed + 2, cell_px=1).astype(np.float32) / np.float32(128)
    return ids.reshape(ids_shape), dense.reshape(dense_shape), state.reshape(state_shape) - np.float32(1)
