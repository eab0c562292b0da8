"""Image preprocessing, written to be read: the twin of ``native/src/image``.

Whole arrays instead of rows, floating point where the native code is fixed-point (except for the filters'
weights, whose bits are part of the answer), numpy's rotation instead of places computed one by one.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

Bytes = npt.NDArray[np.uint8]
WEIGHT_ONE = 1 << 22  # Pillow's fixed point


# --- colour ------------------------------------------------------------------------------------------------

SHARES = {"bt601": (0.299, 0.114), "bt709": (0.2126, 0.0722)}  # of red and blue in luma


def yuv_to_rgb(y: Bytes, u: Bytes, v: Bytes, yuv: str) -> npt.NDArray[np.float64]:
    """Y[H, W] with U, V at half size (rounded up) → float RGB[H, W, 3] in 0..255, chroma repeated."""
    standard, span = yuv.split("_")
    red, blue = SHARES[standard]
    zero, luma_gain, chroma_gain = (16, 255 / 219, 255 / 224) if span == "limited" else (0, 1, 1)
    height, width = y.shape
    big_u, big_v = (c.repeat(2, 0).repeat(2, 1)[:height, :width].astype(float) - 128 for c in (u, v))
    luma = (y.astype(float) - zero) * luma_gain
    r = luma + chroma_gain * 2 * (1 - red) * big_v
    b = luma + chroma_gain * 2 * (1 - blue) * big_u
    # What is left of luma, from its definition: luma = red * r + green * g + blue * b.
    g = (luma - red * r - blue * b) / (1 - red - blue)
    return np.clip(np.stack([r, g, b], axis=2), 0, 255)


def upright(stored: npt.NDArray[np.generic], rotation: int) -> npt.NDArray[np.generic]:
    """Turn clockwise by ``rotation`` degrees."""
    return np.rot90(stored, k=-rotation // 90)


# --- resize ------------------------------------------------------------------------------------------------


def weights(begin: float, end: float, size: int, target: int, filter: str) -> npt.NDArray[np.int64]:
    """``int[target, size]``: how much each source pixel counts, in units of 1 / WEIGHT_ONE."""
    begin, end = np.float32(begin), np.float32(end)
    scale = float(end - begin) / target  # single precision, then double: as Pillow has it
    reduction = max(scale, 1.0)
    table = np.zeros((target, size))
    for x in range(target):
        centre = float(begin) + (x + 0.5) * scale
        low, high = float(begin) + x * scale, float(begin) + (x + 1) * scale
        if filter == "bilinear_point":
            first = math.floor(centre - 0.5)
            pixels = sorted({min(max(first + i, 0), size - 1) for i in (0, 1)})
        elif filter == "area":
            pixels = list(range(max(0, math.floor(low)), min(size, math.ceil(high))))
        else:
            support = (1.0 if filter == "bilinear" else 0.5) * reduction
            pixels = list(range(max(0, int(centre - support + 0.5)), min(size, int(centre + support + 0.5))))
        for pixel in pixels:
            offset = (pixel - centre + 0.5) * (1 / reduction)
            table[x, pixel] = {
                "bilinear": max(0.0, 1 - abs(offset)),
                "box": float(-0.5 < offset <= 0.5),
                "area": max(0.0, min(pixel + 1, high) - max(pixel, low)),
                "bilinear_point": max(0.0, 1 - abs(pixel + 0.5 - centre)) if len(pixels) > 1 else 1.0,
            }[filter]
        total = sum(table[x, pixel] for pixel in pixels)  # in order: floating point is not associative
        table[x] /= total
    return (0.5 + table * WEIGHT_ONE).astype(np.int64)


def resize(
    rgb: Bytes, size_px: tuple[int, int], *, crop: tuple[float, float, float, float] | None = None, filter: str
) -> Bytes:
    """``uint8[H, W, 3]`` → ``uint8[size_px[1], size_px[0], 3]``; rounded to 8 bits between the two directions."""
    height, width = rgb.shape[:2]
    left, top, right, bottom = crop or (0, 0, width, height)
    along = weights(left, right, width, size_px[0], filter)
    down = weights(top, bottom, height, size_px[1], filter)

    def rows_filtered(picture: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        return _rounded(np.einsum("xw,hwc->hxc", along, picture))

    def columns_filtered(picture: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        return _rounded(np.einsum("yh,hwc->ywc", down, picture))

    picture = rgb.astype(np.int64)
    if max(0, height - size_px[1]) > 2 * (width - size_px[0]) and height > size_px[1]:
        return rows_filtered(columns_filtered(picture)).astype(np.uint8)
    return columns_filtered(rows_filtered(picture)).astype(np.uint8)


def _rounded(sums: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    return np.minimum(255, (sums + WEIGHT_ONE // 2) // WEIGHT_ONE)


# --- tensor ------------------------------------------------------------------------------------------------


def tensor(
    rgb: Bytes,
    *,
    order: str,
    dtype: str,
    multiply: tuple[float, ...],
    add: tuple[float, ...],
    scale: float,
    zero_point: int,
) -> npt.NDArray[np.generic]:
    """Normalise, then quantise: half away from zero, clamped."""
    ordered = rgb if order == "rgb" else rgb[..., ::-1]
    real = ordered.astype(float) * np.array(multiply) + np.array(add)
    if dtype == "float32":
        return real.astype(np.float32)
    steps = real / scale
    rounded = np.sign(steps) * np.floor(np.abs(steps) + 0.5)
    limits = np.iinfo(dtype)
    return np.clip(rounded + zero_point, limits.min, limits.max).astype(dtype)


# --- face chips --------------------------------------------------------------------------------------------


def umeyama(source: npt.NDArray[np.float64], target: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """The least-squares similarity without reflection, by singular values (Umeyama 1991, equations 40 to 42)."""
    source_mean, target_mean = source.mean(0), target.mean(0)
    p, q = source - source_mean, target - target_mean
    u, d, vt = np.linalg.svd(q.T @ p / len(p))
    s = np.array([1.0, 1.0 if np.linalg.det(u) * np.linalg.det(vt) >= 0 else -1.0])
    rotation = u @ np.diag(s) @ vt
    scale = (d * s).sum() / p.var(0).sum()
    return np.column_stack([scale * rotation, target_mean - scale * rotation @ source_mean])


def warp(rgb: npt.NDArray[np.generic], matrix: npt.NDArray[np.float64], chip_px: int) -> npt.NDArray[np.float64]:
    """``float[chip_px, chip_px, 3]``: average blocks where the chip is much smaller, then sample bilinearly."""
    reduction = 1 / math.hypot(matrix[0, 0], matrix[1, 0])
    block = math.floor(reduction + 0.5) if reduction > 1.5 else 1
    height, width = rgb.shape[:2]
    rows, columns = range(0, height, block), range(0, width, block)
    small = np.array([[rgb[y : y + block, x : x + block].mean((0, 1)) for x in columns] for y in rows])

    turn, shift = matrix[:, :2], matrix[:, 2]
    centres = np.stack(np.meshgrid(np.arange(chip_px) + 0.5, np.arange(chip_px) + 0.5), axis=2)
    source = (centres - shift) @ np.linalg.inv(turn).T / block - 0.5
    x = np.clip(source[..., 0], 0, small.shape[1] - 1)
    y = np.clip(source[..., 1], 0, small.shape[0] - 1)
    x0, y0 = x.astype(int), y.astype(int)
    x1, y1 = np.minimum(x0 + 1, small.shape[1] - 1), np.minimum(y0 + 1, small.shape[0] - 1)
    fx, fy = (x - x0)[..., None], (y - y0)[..., None]
    above = small[y0, x0] * (1 - fx) + small[y0, x1] * fx
    below = small[y1, x0] * (1 - fx) + small[y1, x1] * fx
    return above * (1 - fy) + below * fy


# --- how far two pictures are apart --------------------------------------------------------------------------

DIFFERENCE_TILE_PX = 8


def sample_planes(planes: list[Bytes], format: str) -> list[tuple[Bytes, int]]:
    """Planes of rows of bytes, taken apart into planes of one kind of sample: ``[H, W, channels]`` and its weight."""
    if format in ("nv12", "nv21"):
        luma, chroma = planes
        # Eight pairs are a tile: U and V have it together.
        return [(luma[:, :, None], 1), (chroma.reshape(len(chroma), -1, 2), 2)]
    if format == "i420":
        return [(plane[:, :, None], weight) for plane, weight in zip(planes, (1, 2, 2), strict=True)]
    (plane,) = planes
    if format == "yuyv":
        # Eight pixels are a tile: eight luma samples, and four pairs.
        return [(plane[:, 0::2, None], 1), (plane[:, 1::2].reshape(len(plane), -1, 1), 2)]
    channels = {"grey": 1, "rgb": 3, "bgr": 3, "rgba": 4}[format]
    pixels = plane.reshape(len(plane), -1, channels)
    return [(pixels, 1)] if format != "rgba" else [(pixels[..., :3], 1), (pixels[..., 3:], 1)]


def tile_difference(one: list[Bytes], other: list[Bytes], format: str) -> tuple[int, int]:
    """The greatest mean absolute difference of a tile in 1/256 level, rounded up; the greatest of any sample."""
    mean_256ths = greatest = 0
    for (a, weight), (b, _) in zip(sample_planes(one, format), sample_planes(other, format), strict=True):
        difference = weight * np.abs(a.astype(int) - b.astype(int))
        greatest = max(greatest, int(difference.max()))
        for y in range(0, a.shape[0], DIFFERENCE_TILE_PX):
            for x in range(0, a.shape[1], DIFFERENCE_TILE_PX):
                tile = difference[y : y + DIFFERENCE_TILE_PX, x : x + DIFFERENCE_TILE_PX]
                mean_256ths = max(mean_256ths, -(-256 * int(tile.sum()) // tile.size))
    return mean_256ths, greatest
