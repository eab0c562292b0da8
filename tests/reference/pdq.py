"""PDQ, written to be read: the twin of ``native/src/hash``. Classic form: four box filters over the whole picture.

Double precision throughout, where Meta's reference and ``pdqhash`` use single; all three agree but for bits whose
frequency lies within rounding of the median.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

_SAMPLES = 64
_FREQUENCIES = 16
_PRE_RESIZE_PX = 512
_LUMA = np.array([299, 587, 114])  # thousandths

# (frequencies changed in sign along the rows' axis, along the columns' axis, transposed), in the reference's order.
DIHEDRAL = [
    (False, False, False), (False, True, True), (True, True, False), (True, False, True),
    (True, False, False), (False, True, False), (False, False, True), (True, True, True),
]  # fmt: skip


def pdq(image: Array, *, profile: str = "full") -> tuple[bytes, int]:
    """The 32 bytes and the quality of uint8[H, W, 3] (RGB) or uint8[H, W]."""
    frequencies, quality = _analyse(image, profile)
    return _bits(frequencies), quality


def pdq_dihedral(image: Array, *, profile: str = "full") -> tuple[list[bytes], int]:
    """The eight turns and mirrors."""
    frequencies, quality = _analyse(image, profile)
    odd = np.where(np.arange(_FREQUENCIES) % 2 == 0, -1.0, 1.0)  # index 0 is frequency 1
    hashes = []
    for flip_rows, flip_columns, transposed in DIHEDRAL:
        turned = frequencies.copy()
        if flip_rows:
            turned *= odd[:, None]
        if flip_columns:
            turned *= odd[None, :]
        hashes.append(_bits(turned.T if transposed else turned))
    return hashes, quality


def near512(image: Array) -> Array:
    """CImg's nearest neighbour to 512x512 when a side is above 512."""
    height, width = image.shape[:2]
    if max(height, width) <= _PRE_RESIZE_PX:
        return image
    rows = np.arange(_PRE_RESIZE_PX) * height // _PRE_RESIZE_PX
    columns = np.arange(_PRE_RESIZE_PX) * width // _PRE_RESIZE_PX
    return image[rows][:, columns]


def ties(height: int, width: int) -> bool:
    """Whether some frequencies are exactly zero or equal whatever the picture: then rounding decides their bits.

    A side of 8 or 16 px gives samples in equal blocks, in which the frequencies 8 and 16 cancel out. Fewer than
    17 px each way cannot hold 16 independent frequencies: some are multiples of others, in both directions.
    """
    return bool({height, width} & {8, 16}) or max(height, width) < 17


def picture(width: int, height: int, seed: int) -> Array:
    """A smooth uint8[height, width, 3] in whole numbers: the same bytes on every machine and in C++."""
    state = (seed * 2654435761 + 1) % 2**32
    grid = np.empty((9, 9, 3), np.int64)
    for index in np.ndindex(9, 9, 3):
        state = (state * 1664525 + 1013904223) % 2**32
        grid[index] = state >> 24
    y, x = np.arange(height) * 8 * 256 // height, np.arange(width) * 8 * 256 // width
    top, left, down, right = y >> 8, x >> 8, (y & 255)[:, None, None], (x & 255)[None, :, None]
    upper = grid[top][:, left] * (256 - right) + grid[top][:, left + 1] * right
    lower = grid[top + 1][:, left] * (256 - right) + grid[top + 1][:, left + 1] * right
    return np.ascontiguousarray((upper * (256 - down) + lower * down) >> 16, np.uint8)


def _analyse(image: Array, profile: str) -> tuple[Array, int]:
    if profile == "near512":
        image = near512(image)
    luma = image @ _LUMA / 1000.0 if image.ndim == 3 else image.astype(float)
    if luma.shape != (_SAMPLES, _SAMPLES):
        for _ in range(2):
            luma = _box(_box(luma).T).T
    samples = luma[_places(luma.shape[0])][:, _places(luma.shape[1])]
    cosines = np.array(
        [
            [math.cos(math.pi / 2 / _SAMPLES * frequency * (2 * place + 1)) for place in range(_SAMPLES)]
            for frequency in range(1, _FREQUENCIES + 1)
        ]
    ) * math.sqrt(2 / _SAMPLES)
    return cosines @ samples @ cosines.T, _quality(samples)


def _places(size: int) -> list[int]:
    return [int((k + 0.5) * size / _SAMPLES) for k in range(_SAMPLES)]


def _box(rows: Array) -> Array:
    """The mean over a window along each row, cut where it sticks out; even windows reach one further right."""
    size = rows.shape[1]
    window = math.ceil(size / (2 * _SAMPLES))
    sums = np.concatenate([np.zeros((rows.shape[0], 1)), np.cumsum(rows, axis=1)], axis=1)
    places = np.arange(size)
    first = np.maximum(places - (window - 1) // 2, 0)
    end = np.minimum(places + window // 2 + 1, size)
    result: Array = (sums[:, end] - sums[:, first]) / (end - first)
    return result


def _quality(samples: Array) -> int:
    single = samples.astype(np.float32)  # truncation: in the reference's precision
    total = sum(
        int(np.abs(np.trunc(np.diff(single, axis=axis) * np.float32(100) / np.float32(255))).sum()) for axis in (0, 1)
    )
    return min(100, total // 90)


def _bits(frequencies: Array) -> bytes:
    lower_median = np.sort(frequencies, axis=None)[_FREQUENCIES**2 // 2 - 1]
    return np.packbits((frequencies > lower_median).reshape(-1)[::-1]).tobytes()
