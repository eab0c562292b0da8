"""Is a bitmap unpacked as viewers do it, in every layout that is still written?"""

from __future__ import annotations

import io
import struct

import numpy as np
import pytest
from PIL import Image as PilImage
from safelight.decision import State
from safelight.media import Limits, NotJudged
from unit.media.helpers import encode, look, only, pattern


def bmp(
    width: int,
    height: int,
    depth: int,
    rows: bytes,
    *,
    header: int = 40,
    compression: int = 0,
    palette: bytes = b"",
    colours: int = 0,
    masks: tuple[int, ...] = (),
) -> bytes:
    if header == 12:
        info = struct.pack("<IHHHH", 12, width, height, 1, depth)
    else:
        info = struct.pack("<IiiHHIIiiII", header, width, height, 1, depth, compression, 0, 0, 0, colours, 0)
    extra = struct.pack(f"<{len(masks)}I", *masks)
    info = (info + extra).ljust(header, b"\0") if header > 40 else info + extra
    start = 14 + len(info) + len(palette)
    return b"BM" + struct.pack("<IHHI", start + len(rows), 0, 0, start) + info + palette + rows


def rows_of(array: np.ndarray, *, bottom_up: bool = True) -> bytes:
    """Rows of bytes, each padded to four."""
    lines = [line.tobytes() for line in (array[::-1] if bottom_up else array)]
    return b"".join(line + b"\xaa" * (-len(line) % 4) for line in lines)


@pytest.mark.parametrize("size", [(16, 16), (17, 33), (40, 28)])
@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "RGBA"])
def test_as_pillow_writes_and_reads_it(mode: str, size: tuple[int, int]) -> None:
    source = PilImage.fromarray(pattern(*size)).convert(mode)
    data = encode(source, "BMP")
    with PilImage.open(io.BytesIO(data)) as theirs:
        expected = np.asarray(theirs.convert("RGB"))
    images, failure = look(data)
    assert failure is None
    assert np.array_equal(images[-1].pixels, expected)


@pytest.mark.parametrize("header", [12, 40, 52, 56, 108, 124])
@pytest.mark.parametrize("bottom_up", [True, False])
def test_24_bits(header: int, bottom_up: bool) -> None:
    if header == 12 and not bottom_up:
        pytest.skip("its height has no sign")
    picture = pattern(19, 17)
    data = bmp(19, 17 if bottom_up else -17, 24, rows_of(picture[..., ::-1], bottom_up=bottom_up), header=header)
    assert np.array_equal(only(data).pixels, picture)


@pytest.mark.parametrize(("depth", "colours"), [(1, 2), (4, 16), (8, 256), (8, 3), (4, 9)])
@pytest.mark.parametrize("header", [12, 40])
def test_palettes(depth: int, colours: int, header: int) -> None:
    if header == 12 and colours != 1 << depth:
        pytest.skip("its palette is always full")
    table = np.random.default_rng(depth).integers(0, 256, (colours, 3), dtype=np.uint8)
    indices = np.add.outer(np.arange(18), np.arange(20)) % colours
    bits = ["".join(f"{v:0{depth}b}" for v in line) for line in indices]
    packed = np.array(
        [[int(b[n : n + 8], 2) for n in range(0, 20 * depth - 20 * depth % 8, 8)] for b in bits], np.uint8
    )
    if 20 * depth % 8:
        rest = [[int(b[-(20 * depth % 8) :].ljust(8, "0"), 2)] for b in bits]
        packed = np.hstack([packed, np.array(rest, np.uint8)])
    step = 3 if header == 12 else 4
    palette = b"".join(bytes(c[::-1]).ljust(step, b"\0") for c in table)
    data = bmp(20, 18, depth, rows_of(packed), header=header, palette=palette, colours=colours)
    assert np.array_equal(only(data).pixels, table[indices])


@pytest.mark.parametrize(
    ("masks", "shifts"), [((0x7C00, 0x3E0, 0x1F), (10, 5, 0, 5)), ((0xF800, 0x7E0, 0x1F), (11, 5, 0, 6))]
)
def test_16_bits(masks: tuple[int, ...], shifts: tuple[int, int, int, int]) -> None:
    values = np.arange(20 * 18, dtype="<u2").reshape(18, 20) * 181
    red, green, blue, green_bits = shifts
    expected = [
        ((values >> red) & 31) / 31,
        ((values >> green) & ((1 << green_bits) - 1)) / ((1 << green_bits) - 1),
        ((values >> blue) & 31) / 31,
    ]
    got = only(bmp(20, 18, 16, rows_of(values), compression=3, masks=masks)).pixels
    assert np.abs(got - 255 * np.stack(expected, axis=-1)).max() <= 1
    if masks[0] == 0x7C00:
        assert np.array_equal(only(bmp(20, 18, 16, rows_of(values))).pixels, got)


def test_32_bits_and_the_byte_that_some_viewers_use() -> None:
    picture = pattern(20, 18)
    for fourth, views in ((0, ["plain"]), (255, ["plain"]), (40, ["over_white", "over_black", "under_alpha"])):
        bgra = np.dstack([picture[..., ::-1], np.full((18, 20), fourth, np.uint8)])
        for options in ({}, {"compression": 3, "masks": (0xFF0000, 0xFF00, 0xFF)}):
            images, failure = look(bmp(20, 18, 32, rows_of(bgra), **options))  # type: ignore[arg-type]
            assert failure is None
            assert [image.view for image in images] == views
            assert np.array_equal(images[-1].pixels, picture)
    rgba = np.dstack([picture, np.zeros((18, 20), np.uint8)])
    data = bmp(20, 18, 32, rows_of(rgba), header=124, compression=3, masks=(0xFF, 0xFF00, 0xFF0000, 0))
    assert np.array_equal(only(data).pixels, picture)


def test_missing_colours_are_black() -> None:
    data = bmp(16, 16, 8, rows_of(np.full((16, 16), 200, np.uint8)), palette=b"\1\2\3\0", colours=1)
    assert (only(data).pixels == 0).all()


@pytest.mark.parametrize(
    ("data", "state"),
    [
        (bmp(16, 16, 8, b"\0\1", compression=1), State.NO_DECODER),
        (bmp(16, 16, 4, b"\0\1", compression=2), State.NO_DECODER),
        (bmp(16, 16, 0, b"\xff\xd8\xff", compression=4), State.NO_DECODER),
        (bmp(16, 16, 2, bytes(64)), State.NO_DECODER),
        (bmp(16, 16, 16, bytes(512), compression=3, masks=(1, 2, 4)), State.NO_DECODER),
        (bmp(16, 16, 24, bytes(768), header=64), State.NO_DECODER),
        (bmp(16, 16, 24, bytes(767)), State.DECODE_FAILED),
        (bmp(16, 16, 24, bytes(768))[:30], State.DECODE_FAILED),
        (bmp(16, 0, 24, bytes(768)), State.DECODE_FAILED),
        (bmp(-16, 16, 24, bytes(768)), State.DECODE_FAILED),
        (bmp(50_000, 50_000, 24, bytes(768)), State.TOO_LARGE),
        (bmp(16, -(1 << 31), 24, bytes(768)), State.TOO_LARGE),
        (bmp(15, 40, 24, bytes(4_000)), State.TOO_SMALL),
        (bmp(16, 16, 24, bytes(768)).replace(b"\1\0\x18\0", b"\2\0\x18\0"), State.DECODE_FAILED),
        (bmp(16, 16, 24, bytes(768)).replace(b"\x36\0\0\0\x28", b"\x06\0\0\0\x28"), State.DECODE_FAILED),
    ],
)
def test_refused(data: bytes, state: State) -> None:
    images, failure = look(data)
    assert not images
    assert failure is not None
    assert failure.state is state


def test_limits() -> None:
    data = encode(pattern(), "BMP")
    assert look(data, limits=Limits(max_pixels=40 * 28 - 1))[1] == NotJudged(State.TOO_LARGE, "pixels")
