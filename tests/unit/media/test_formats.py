"""Is every variant of every format seen as a viewer would show it?"""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image as PilImage
from safelight.decision import State
from safelight.media import load_image
from unit.media.helpers import (
    chunk,
    distance,
    encode,
    gif,
    gif_frame,
    header,
    insert_after_header,
    look,
    only,
    pattern,
    png,
    rgb_png,
    rows,
    segment,
    with_segments,
)


@pytest.mark.parametrize("size", [(40, 28), (16, 16), (17, 33), (301, 199)])
@pytest.mark.parametrize("kind", ["PNG", "WEBP"])
def test_lossless_round_trip(kind: str, size: tuple[int, int]) -> None:
    picture = pattern(*size)
    assert np.array_equal(only(encode(picture, kind)).pixels, picture)


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"subsampling": 2}, {"optimize": True, "quality": 60}])
def test_jpeg_equals_pillow(options: dict[str, object]) -> None:
    data = encode(pattern(97, 61), "JPEG", **options)
    with PilImage.open(io.BytesIO(data)) as reference:
        assert np.array_equal(only(data).pixels, np.asarray(reference.convert("RGB")))


@pytest.mark.parametrize("restart", [1, 3])
def test_jpeg_with_restart_markers_and_fill_bytes(restart: int) -> None:
    data = encode(pattern(97, 61), "JPEG", restart_marker_blocks=restart)
    padded = data.replace(b"\xff\xda", b"\xff\xff\xff\xda", 1)
    assert np.array_equal(only(data).pixels, only(padded).pixels)


def test_lossy_webp_and_gif() -> None:
    picture = pattern(64, 48)
    assert distance(only(encode(picture, "WEBP", quality=95)).pixels, picture) < 4
    assert distance(only(encode(picture, "GIF")).pixels, picture) < 12


def test_jpeg_grey_and_cmyk() -> None:
    picture = pattern(64, 48)
    grey = np.asarray(PilImage.fromarray(picture).convert("L"))
    assert distance(only(encode(PilImage.fromarray(grey), "JPEG")).pixels[..., 0], grey) < 2
    cmyk = PilImage.fromarray(picture).convert("CMYK")
    assert distance(only(encode(cmyk, "JPEG", quality=95)).pixels, picture) < 4


def test_cmyk_without_a_marker_is_looked_at_both_ways() -> None:
    picture = pattern(64, 48)
    data = encode(PilImage.fromarray(picture).convert("CMYK"), "JPEG", quality=95)
    at = data.index(b"\xff\xee")
    unmarked = data[:at] + data[at + 16 :]
    images, failure = look(unmarked)
    assert failure is None
    assert [image.view for image in images] == ["plain", "inverse/plain"]
    assert min(distance(image.pixels, picture) for image in images) < 4


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB"])
def test_png_opaque_modes(mode: str) -> None:
    source = PilImage.fromarray(pattern()).convert(mode)
    assert np.array_equal(only(encode(source, "PNG")).pixels, np.asarray(source.convert("RGB")))


@pytest.mark.parametrize("depth", [1, 2, 4, 8])
@pytest.mark.parametrize("interlace", [0, 1])
def test_png_grey_depths(depth: int, interlace: int) -> None:
    levels = 1 << depth
    values = np.add.outer(np.arange(20), np.arange(24)) % levels
    if interlace:
        passes = [(0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1)]
    else:
        passes = [(0, 0, 1, 1)]
    raw = b""
    for top, left, dy, dx in passes:
        for line in values[top::dy, left::dx]:
            bits = "".join(f"{v:0{depth}b}" for v in line)
            bits += "0" * (-len(bits) % 8)
            raw += b"\0" + bytes(int(bits[n : n + 8], 2) for n in range(0, len(bits), 8))
    data = png(header(24, 20, depth, 0, interlace), chunk(b"IDAT", zlib.compress(raw)))
    expected = (values * 255 // (levels - 1)).astype(np.uint8)
    assert np.array_equal(only(data).pixels[..., 1], expected)


@pytest.mark.parametrize("colour", [0, 2, 4, 6])
def test_png_16_bit_is_scaled_not_clipped(colour: int) -> None:
    channels = {0: 1, 2: 3, 4: 2, 6: 4}[colour]
    values = np.linspace(0, 65535, 20 * 24 * channels).reshape(20, 24, channels).astype(">u2")
    if colour in (4, 6):
        values[..., -1] = 65535
    data = png(
        header(24, 20, 16, colour), chunk(b"IDAT", rows(np.frombuffer(values.tobytes(), np.uint8).reshape(20, -1)))
    )
    expected = values[..., [0, 0, 0] if colour in (0, 4) else [0, 1, 2]].astype(int) / 257
    assert np.abs(only(data).pixels - expected).max() <= 1


def test_png_palette_shorter_than_its_indices_is_black() -> None:
    values = np.arange(16 * 16, dtype=np.uint8).reshape(16, 16)
    data = png(header(16, 16, 8, 3), chunk(b"PLTE", b"\xff\0\0" * 2), chunk(b"IDAT", rows(values)))
    pixels = only(data).pixels
    assert pixels[0, 1].tolist() == [255, 0, 0]
    assert (pixels[1:] == 0).all()


def test_png_image_data_in_many_chunks() -> None:
    picture = pattern()
    data = rows(picture.reshape(picture.shape[0], -1))
    pieces = [chunk(b"IDAT", data[n : n + 7]) for n in range(0, len(data), 7)]
    pieces.insert(1, chunk(b"IDAT"))
    assert np.array_equal(only(png(header(40, 28), *pieces)).pixels, picture)


def test_gamma_is_a_second_reading() -> None:
    picture = pattern()
    images, failure = look(rgb_png(picture, chunk(b"gAMA", struct.pack(">I", 2_000))))
    assert failure is None
    assert [image.view for image in images] == ["plain", "gamma/plain"]
    assert np.array_equal(images[0].pixels, picture)
    expected = np.round(255 * (picture / 255) ** (100_000 / 2_000 / 2.2))
    assert np.abs(images[1].pixels - expected).max() <= 1


@pytest.mark.parametrize("gamma", [0, 45_455])
def test_usual_gamma_is_one_reading(gamma: int) -> None:
    assert only(rgb_png(pattern(), chunk(b"gAMA", struct.pack(">I", gamma)))).view == "plain"


def test_gif_frame_outside_its_screen_is_seen_with_and_without() -> None:
    indices = np.zeros((100, 100), np.uint8)
    indices[:20, :20] = 1
    data = gif(gif_frame(indices), screen=(20, 20), palette=[(0, 0, 0), (9, 200, 9)])
    images, failure = look(data)
    assert failure is None
    assert [(i.view, i.width_px) for i in images] == [("plain", 100), ("screen/plain", 20)]
    assert (images[1].pixels == (9, 200, 9)).all()


def test_jpeg_behind_a_jpeg_is_looked_at() -> None:
    first, second = pattern(40, 28), pattern(60, 44, seed=2)
    a, b = encode(first, "JPEG"), encode(second, "JPEG")
    for between in (b"", b"\0" * 30, b"any other bytes \xff\xd8\xff\xe0 in between"):
        images, failure = look(a + between + b)
        assert failure is None
        assert [i.width_px for i in images] == [40, 60]
    mpo = encode(PilImage.fromarray(first), "MPO", save_all=True, append_images=[PilImage.fromarray(second)])
    assert [i.frame for i in look(mpo)[0]] == [0, 1]


def test_bytes_behind_a_jpeg_that_are_no_picture_are_no_failure() -> None:
    clip = b"\0\0\0\x18ftypmp42" + bytes(range(256)) * 40 + b"\xff\xd8\xff" + bytes(50)
    assert only(encode(pattern(), "JPEG") + clip, motion_photo="still_only").width_px == 40
    assert only(encode(pattern(), "JPEG") + clip.replace(b"ftyp", b"ftyq")).width_px == 40


def test_broken_jpeg_right_behind_a_jpeg_is_a_failure() -> None:
    jpeg = encode(pattern(), "JPEG")
    _, failure = look(jpeg + jpeg[:-9])
    assert failure is not None
    assert failure.state is State.DECODE_FAILED


@pytest.mark.parametrize(
    ("data", "state"),
    [
        (b"", State.NOT_MEDIA),
        (b"hello, world", State.NOT_MEDIA),
        (b"%PDF-1.7\n", State.NOT_MEDIA),
        (b"PK\3\4" + bytes(60), State.NOT_MEDIA),
        (b"\xff\xd8", State.NOT_MEDIA),
        (b"<html><body>words</body></html>", State.NOT_MEDIA),
        (b"BM is how this sentence starts, no bitmap", State.NOT_MEDIA),
        (bytes(5_000), State.NOT_MEDIA),
        (b"\0\0\0\x1cftypheic" + bytes(40), State.DECODE_FAILED),
        (b"\0\0\0\x1cftypavif" + bytes(40), State.DECODE_FAILED),
        (b"\0\0\0\x20ftypisom" + bytes(40), State.NO_DECODER),
        (b"II*\0" + bytes(40), State.NO_DECODER),
        (b"MM\0*" + bytes(40), State.NO_DECODER),
        (b"BM" + bytes(12) + b"\x28\0\0\0" + bytes(40), State.DECODE_FAILED),
        (b"BM" + bytes(12) + b"\x40\0\0\0" + bytes(70), State.NO_DECODER),
        (b"\xff\x0a" + bytes(40), State.NO_DECODER),
        (b"\0\0\0\x0cJXL \r\n\x87\n", State.NO_DECODER),
        (b"\x1a\x45\xdf\xa3" + bytes(40), State.NO_DECODER),
        (b"RIFF\0\0\0\0AVI " + bytes(40), State.NO_DECODER),
        (b"8BPS" + bytes(40), State.NO_DECODER),
        (b"P6 40 28 255\n", State.NO_DECODER),
        (b"G" + bytes(187) + b"G" + bytes(187) + b"G" + bytes(187), State.NO_DECODER),
        (b'<?xml version="1.0"?>\n<!-- x -->\n<svg xmlns="http://www.w3.org/2000/svg"/>', State.NO_DECODER),
        (b"\xef\xbb\xbf  <svg>", State.NO_DECODER),
        ('\ufeff<svg width="1">'.encode("utf-16-le"), State.NO_DECODER),
    ],
)
def test_other_content(data: bytes, state: State) -> None:
    images, failure = look(data)
    assert not images
    assert failure is not None
    assert failure.state is state


def test_other_formats_that_pillow_could_open_are_never_opened() -> None:
    for kind in ("TIFF", "PPM", "ICO", "ICNS", "JPEG2000", "TGA", "PCX"):
        try:
            data = encode(pattern(), kind)
        except (OSError, KeyError):  # a build without that encoder
            continue
        _, failure = look(data)
        assert failure is not None, kind
        assert failure.state in (State.NO_DECODER, State.NOT_MEDIA), kind


@pytest.mark.parametrize("marker", [0xC3, 0xC5, 0xCF])
def test_jpeg_variants_without_a_decoder(marker: int) -> None:
    data = encode(pattern(), "JPEG").replace(b"\xff\xc0", bytes((0xFF, marker)), 1)
    assert look(data)[1].state is State.NO_DECODER  # type: ignore[union-attr]


@pytest.mark.parametrize("body", [b"\x0c", b"\x08\0\0"])
def test_jpeg_12_bit_and_height_given_later(body: bytes) -> None:
    data = bytearray(encode(pattern(), "JPEG"))
    at = data.index(b"\xff\xc0") + 4
    data[at : at + len(body)] = body
    assert look(bytes(data))[1].state is State.NO_DECODER  # type: ignore[union-attr]


@pytest.mark.parametrize(
    "damage",
    [
        lambda j: j.replace(b"\xff\xc0", b"\xff\xc4", 1),
        lambda j: with_segments(j, j[j.index(b"\xff\xc0") : j.index(b"\xff\xc0") + 19]),
        lambda j: with_segments(j, b"\xff\xd8"),
        lambda j: with_segments(j, b"\xff\xd9"),
        lambda j: with_segments(j, b"\xff\xbf\0\2"),
        lambda j: with_segments(j, b"\xff\xe5\0\1"),
        lambda j: j[:-2] + j[j.index(b"\xff\xc0") : j.index(b"\xff\xc0") + 19] + b"\xff\xd9",
        lambda j: j.replace(b"\xff\xdb", b"\xff\xec"),
    ],
)
def test_jpeg_that_is_not_built_as_one(damage: object) -> None:
    data = damage(encode(pattern(), "JPEG"))  # type: ignore[operator]
    images, failure = look(data)
    assert not images
    assert failure is not None
    assert failure.state is State.DECODE_FAILED


def test_jpeg_metadata_segments_do_not_matter() -> None:
    jpeg = encode(pattern(), "JPEG")
    noisy = with_segments(
        jpeg,
        segment(0xE1, b"Exif\0\0" + b"\xff" * 40),
        segment(0xE2, b"MPF\0" + b"\xff" * 40),
        segment(0xED, b"Photoshop 3.0\0" + b"8BIM" + b"\xff" * 40),
        segment(0xE2, b"ICC_PROFILE\0\1\2" + b"\xff" * 40),
        segment(0xFE, b"\xff\xd9 a comment"),
    )
    assert np.array_equal(only(noisy).pixels, only(jpeg).pixels)


@pytest.mark.parametrize(
    "data",
    [
        png(chunk(b"IDAT")),
        png(header(20, 20)),
        png(header(20, 20), header(20, 20), chunk(b"IDAT", rows(np.zeros((20, 60), np.uint8)))),
        png(header(20, 20, 8, 3), chunk(b"IDAT", rows(np.zeros((20, 20), np.uint8)))),
        png(header(20, 20, 3, 2), chunk(b"IDAT", b"x")),
        png(header(20, 20), chunk(b"IDAT", b"not deflate")),
        png(header(20, 20), chunk(b"IDAT", rows(np.zeros((20, 60), np.uint8))[:-9])),
        png(header(20, 20), chunk(b"IDAT", b"x"), chunk(b"tEXt", b"a\0b"), chunk(b"IDAT", b"y")),
        png(header(20, 0), chunk(b"IDAT", b"x")),
        png(header(20, 20, 8, 3), chunk(b"PLTE", b"\0" * 4), chunk(b"IDAT", b"x")),
        png(header(20, 20), chunk(b"tRNS", b"\0"), chunk(b"IDAT", rows(np.zeros((20, 60), np.uint8)))),
        png(header(20, 20), chunk(b"acTL", struct.pack(">II", 2, 0)), chunk(b"IDAT", b"x")),
        png(header(20, 20), chunk(b"acTL", struct.pack(">II", 0, 0)), chunk(b"IDAT", b"x")),
        insert_after_header(rgb_png(pattern()), b"\0\0\0\4"),
    ],
)
def test_png_that_is_not_built_as_one(data: bytes) -> None:
    images, failure = look(data)
    assert not images
    assert failure is not None
    assert failure.state is State.DECODE_FAILED


def test_png_variants_without_a_decoder() -> None:
    for data in (
        insert_after_header(rgb_png(pattern()), chunk(b"CgBI", b"\0\0\0\0")),
        png(
            header(20, 20, 16, 0),
            chunk(b"tRNS", b"\0\1"),
            chunk(b"IDAT", rows(np.zeros((20, 40), np.uint8))),
        ),
    ):
        failure = look(data)[1]
        assert failure is not None
        assert failure.state is State.NO_DECODER


def test_gif_without_a_picture() -> None:
    assert look(gif())[1].state is State.DECODE_FAILED  # type: ignore[union-attr]


def test_short_side_reduces_a_jpeg_only_as_far_as_twice() -> None:
    data = encode(pattern(1601, 1203), "JPEG")
    for short_side_px, width in ((None, 1601), (700, 1601), (300, 801), (224, 801), (150, 401), (10, 201)):
        image = only(data, short_side_px=short_side_px)
        assert image.width_px == width
        if width < 1601:
            assert short_side_px is not None
            assert image.height_px >= 2 * short_side_px
        assert (image.full_width_px, image.full_height_px) == (1601, 1203)
    assert only(data, short_side_px=300).area_px == (0, 0, 800.5, 601.5)
    assert load_image(encode(pattern(400, 300), "PNG"), short_side_px=20).width_px == 400  # type: ignore[union-attr]
