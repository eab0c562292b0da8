"""EXIF orientation, and nothing else of EXIF (thumbnails are searched for, not parsed: ``_jpeg.Thumbnails``).

Read here rather than by Pillow: Pillow warns on damaged EXIF (an exception under ``-W error``) and parses
far more than one number. Whatever is damaged means "upright", as viewers do. An orientation that XMP states
(``tiff:Orientation``) is ignored, as viewers ignore it.
"""

from __future__ import annotations

import struct

from PIL import Image as PilImage

_ORIENTATION_TAG = 0x0112
_TYPES = {1: 1, 3: 2, 4: 4}  # BYTE, SHORT, LONG: bytes a value
_MAX_ENTRIES = 1_000  # a real IFD0 has some 20; bounds the loop

_COMPRESSION_TAG = 0x0103
_STRIPS_TAG = 0x0111

_TRANSPOSE = {
    2: PilImage.Transpose.FLIP_LEFT_RIGHT,
    3: PilImage.Transpose.ROTATE_180,
    4: PilImage.Transpose.FLIP_TOP_BOTTOM,
    5: PilImage.Transpose.TRANSPOSE,
    6: PilImage.Transpose.ROTATE_270,
    7: PilImage.Transpose.TRANSVERSE,
    8: PilImage.Transpose.ROTATE_90,
}


def orientation(exif: bytes) -> int:
    """The orientation that an EXIF block states.

    Args:
        exif: a TIFF block, with or without the ``Exif\\0\\0`` prefix.

    Returns:
        1-8; 1 (upright) for everything missing, damaged or out of range.
    """
    tiff = exif[6:] if exif[:6] == b"Exif\0\0" else exif
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(tiff[:4])
    if order is None:
        return 1
    try:
        (at,) = struct.unpack_from(order + "I", tiff, 4)
        (count,) = struct.unpack_from(order + "H", tiff, at)
        for n in range(min(count, _MAX_ENTRIES)):
            entry = at + 2 + 12 * n
            tag, kind, values = struct.unpack_from(order + "HHI", tiff, entry)
            if tag == _ORIENTATION_TAG:
                if kind not in _TYPES or values != 1:
                    return 1
                code = {1: "B", 2: "H", 4: "I"}[_TYPES[kind]]
                (value,) = struct.unpack_from(order + code, tiff, entry + 8)
                return int(value) if 1 <= value <= 8 else 1
    except struct.error:
        return 1
    return 1


def has_raw_thumbnail(exif: bytes) -> bool:
    """Whether the second directory describes a thumbnail that is no JPEG: uncompressed rows of pixels."""
    tiff = exif[6:] if exif[:6] == b"Exif\0\0" else exif
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(tiff[:4])
    if order is None:
        return False
    try:
        (at,) = struct.unpack_from(order + "I", tiff, 4)
        (count,) = struct.unpack_from(order + "H", tiff, at)
        (at,) = struct.unpack_from(order + "I", tiff, at + 2 + 12 * count)
        if not at:
            return False
        (count,) = struct.unpack_from(order + "H", tiff, at)
        values = {}
        for n in range(min(count, _MAX_ENTRIES)):
            tag, value = struct.unpack_from(order + "H6xH", tiff, at + 2 + 12 * n)
            values[tag] = value
    except struct.error:
        return False
    return values.get(_COMPRESSION_TAG) == 1 and _STRIPS_TAG in values


def upright(picture: PilImage.Image, value: int) -> PilImage.Image:
    """``picture`` turned as ``value`` (1-8) asks; itself when that is 1."""
    how = _TRANSPOSE.get(value)
    return picture if how is None else picture.transpose(how)


def upright_size(width_px: int, height_px: int, value: int) -> tuple[int, int]:
    """The size after :func:`upright`."""
    return (height_px, width_px) if value >= 5 else (width_px, height_px)


def upright_area(
    width: float, height: float, array_width: int, array_height: int, value: int
) -> tuple[float, float, float, float]:
    """Where the top left ``width`` by ``height`` of an array lies after :func:`upright`.

    Returns:
        left, top, right, bottom.
    """
    # Mirrored sideways in 2, 3, 7, 8 and upside down in 3, 4, 6, 7, as seen before x and y are exchanged.
    left, right = (array_width - width, array_width) if value in (2, 3, 7, 8) else (0, width)
    top, bottom = (array_height - height, array_height) if value in (3, 4, 6, 7) else (0, height)
    return (top, left, bottom, right) if value >= 5 else (left, top, right, bottom)
