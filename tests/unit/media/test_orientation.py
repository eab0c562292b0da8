"""Is a picture upright whatever its EXIF says, and is EXIF that is broken ignored?"""

from __future__ import annotations

import struct

import numpy as np
import pytest
from PIL import Image as PilImage
from safelight._image import prepare
from safelight.media import load_image
from unit.media.helpers import (
    chunk,
    distance,
    encode,
    exif,
    insert_after_header,
    only,
    pattern,
    rgb_png,
    segment,
    with_segments,
)

# How the stored rows and columns lie when the upright picture is `u` (EXIF 2.3, tag 0x0112): in 6, for one, row
# 0 is the visual right side and column 0 the visual top.
STORED = {
    1: lambda u: u,
    2: lambda u: u[:, ::-1],
    3: lambda u: u[::-1, ::-1],
    4: lambda u: u[::-1],
    5: lambda u: u.transpose(1, 0, 2),
    6: lambda u: u.transpose(1, 0, 2)[::-1],
    7: lambda u: u[::-1, ::-1].transpose(1, 0, 2),
    8: lambda u: u.transpose(1, 0, 2)[:, ::-1],
}


def stored(upright: np.ndarray, orientation: int) -> np.ndarray:
    return np.ascontiguousarray(STORED[orientation](upright))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_upright_in_every_format(orientation: int) -> None:
    upright = pattern(48, 32)
    turned = stored(upright, orientation)
    block = exif(orientation)
    jpeg = with_segments(encode(turned, "JPEG", quality=95), segment(0xE1, b"Exif\0\0" + block))
    assert distance(only(jpeg).pixels, upright) < 3
    assert np.array_equal(only(rgb_png(turned, chunk(b"eXIf", block))).pixels, upright)
    assert np.array_equal(only(rgb_png(turned, after=chunk(b"eXIf", block))).pixels, upright)
    for prefix in (b"", b"Exif\0\0"):
        assert np.array_equal(only(encode(turned, "WEBP", exif=prefix + block)).pixels, upright)
    source = PilImage.fromarray(turned)
    source.info["exif"] = b"Exif\0\0" + block
    assert np.array_equal(only(source).pixels, upright)
    pictures = load_image(jpeg)
    assert (pictures.width_px, pictures.height_px) == (48, 32)  # type: ignore[union-attr]


@pytest.mark.parametrize("orientation", range(1, 9))
def test_area_of_a_reduced_decode_turns_along(orientation: int) -> None:
    upright = pattern(803, 603)
    turned = stored(upright, orientation)
    jpeg = with_segments(encode(turned, "JPEG", quality=95), segment(0xE1, b"Exif\0\0" + exif(orientation)))
    reduced, full = only(jpeg, short_side_px=30), only(jpeg)
    assert reduced.width_px == 101
    left, top, right, bottom = reduced.area_px
    assert (right - left, bottom - top) == (803 / 8, 603 / 8)
    a, b = (prepare(image.pixels, resize_px=(40, 40), crop=image.area_px) for image in (reduced, full))
    assert distance(a, b) < 0.6
    # A wrong side for the fraction would shift the picture by most of a pixel.
    assert np.abs(a.astype(int) - b.astype(int)).max() <= 6


BROKEN = {
    "empty": b"",
    "no header": b"Exif",
    "bad byte order": b"XX*\0" + bytes(20),
    "offset outside": b"II*\0" + struct.pack("<I", 0xFFFFFFFF),
    "count outside": b"II*\0" + struct.pack("<IH", 8, 65_535),
    "value 0": exif(0),
    "value 9": exif(9),
    "value 65535": exif(65_535),
    "wrong type": exif(6).replace(struct.pack(">HHI", 0x0112, 3, 1), struct.pack(">HHI", 0x0112, 2, 1)),
    "two values": exif(6).replace(struct.pack(">HHI", 0x0112, 3, 1), struct.pack(">HHI", 0x0112, 3, 2)),
    "cut": exif(6)[:17],
    "noise": bytes(range(256)),
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_exif_means_upright(name: str) -> None:
    picture = pattern()
    block = BROKEN[name]
    assert np.array_equal(only(insert_after_header(encode(picture, "PNG"), chunk(b"eXIf", block))).pixels, picture)
    plain = encode(picture, "JPEG")
    broken = with_segments(plain, segment(0xE1, b"Exif\0\0" + block))
    assert np.array_equal(only(broken).pixels, only(plain).pixels)
    source = PilImage.fromarray(picture)
    source.info["exif"] = block
    assert np.array_equal(only(source).pixels, picture)
    if block:
        assert np.array_equal(only(encode(picture, "WEBP", exif=block)).pixels, picture)


def test_the_first_exif_counts() -> None:
    plain = encode(pattern(), "JPEG")
    data = with_segments(plain, segment(0xE1, b"Exif\0\0" + exif(3)), segment(0xE1, b"Exif\0\0" + exif(6)))
    assert np.array_equal(only(data).pixels, only(plain).pixels[::-1, ::-1])


def test_little_endian_and_long() -> None:
    block = b"II*\0" + struct.pack("<IHHHII", 8, 1, 0x0112, 4, 1, 3)
    picture = pattern()
    assert np.array_equal(only(rgb_png(picture, chunk(b"eXIf", block))).pixels, picture[::-1, ::-1])
