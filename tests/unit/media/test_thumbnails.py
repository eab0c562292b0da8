"""Is every further picture in a file looked at: thumbnails, gain maps, and the clip of a motion photo as a state?"""

from __future__ import annotations

import struct

import numpy as np
import pytest
from PIL import Image as PilImage
from safelight.decision import State
from safelight.media import Image, Limits, NotJudged
from unit.media.helpers import (
    blocks,
    box,
    chunk,
    distance,
    encode,
    exif,
    look,
    only,
    pattern,
    rgb_png,
    segment,
    with_segments,
)

MAIN = encode(pattern(64, 48), "JPEG", quality=95)
SMALL = blocks(5, 40, 28)
THUMBNAIL = encode(SMALL, "JPEG", quality=95, subsampling=0)


def exif_with(thumbnail: bytes, orientation: int = 1) -> bytes:
    """EXIF as cameras write it: a second directory points at a JPEG behind it."""
    first = struct.pack(">H", 1) + struct.pack(">HHIHH", 0x0112, 3, 1, orientation, 0)
    second_at = 8 + len(first) + 4
    second = struct.pack(">H", 3) + struct.pack(">HHIHH", 0x0103, 3, 1, 6, 0)
    data_at = second_at + 2 + 36 + 4
    second += struct.pack(">HHII", 0x0201, 4, 1, data_at) + struct.pack(">HHII", 0x0202, 4, 1, len(thumbnail))
    return b"MM\0*" + struct.pack(">I", 8) + first + struct.pack(">I", second_at) + second + bytes(4) + thumbnail


def photo(thumbnail: bytes, orientation: int = 1) -> bytes:
    return with_segments(MAIN, segment(0xE1, b"Exif\0\0" + exif_with(thumbnail, orientation)))


def views(data: bytes) -> dict[str, Image]:
    images, failure = look(data)
    assert failure is None
    return {image.view: image for image in images}


def test_the_thumbnail_of_a_photo() -> None:
    seen = views(photo(THUMBNAIL))
    assert list(seen) == ["plain", "exif_thumbnail/plain"]
    assert distance(seen["exif_thumbnail/plain"].pixels, SMALL) < 6


def test_it_turns_with_its_photo() -> None:
    assert views(photo(THUMBNAIL, 6))["exif_thumbnail/plain"].pixels.shape == (40, 28, 3)


def test_in_png_and_webp() -> None:
    block = exif_with(THUMBNAIL)
    for data in (rgb_png(pattern(), chunk(b"eXIf", block)), encode(pattern(), "WEBP", exif=block)):
        assert distance(views(data)["exif_thumbnail/plain"].pixels, SMALL) < 6


@pytest.mark.parametrize("lie", [0, 10, 1 << 30])
def test_a_directory_that_lies_hides_nothing(lie: int) -> None:
    block = exif_with(THUMBNAIL)
    at = block.index(struct.pack(">HHI", 0x0201, 4, 1)) + 8
    for place in (at, at + 12):
        changed = block[:place] + struct.pack(">I", lie) + block[place + 4 :]
        assert "exif_thumbnail/plain" in views(with_segments(MAIN, segment(0xE1, b"Exif\0\0" + changed)))


def test_a_thumbnail_without_its_end_is_looked_at_as_galleries_show_it() -> None:
    for cut in (THUMBNAIL[:-2], THUMBNAIL[:-20]):
        assert "exif_thumbnail/plain" in views(photo(cut))


def test_progressive_and_grey_thumbnails() -> None:
    for data in (encode(SMALL, "JPEG", progressive=True), encode(PilImage.fromarray(SMALL[..., 0]), "JPEG")):
        assert "exif_thumbnail/plain" in views(photo(data))


@pytest.mark.parametrize(
    "noise", [b"", b"\xff\xd8\xff", b"\xff\xd8\xff\xe0" + bytes(50), THUMBNAIL[:150], b"\xff\xd8\xff\xd9" * 10]
)
def test_noise_is_no_failure(noise: bytes) -> None:
    assert list(views(photo(noise))) == ["plain"]


def test_a_thumbnail_that_cannot_be_looked_at_is_a_state_after_the_photo() -> None:
    large = bytearray(THUMBNAIL)
    at = large.index(b"\xff\xc0") + 5
    large[at : at + 4] = struct.pack(">HH", 60_000, 60_000)
    lossless = THUMBNAIL.replace(b"\xff\xc0", b"\xff\xc3", 1)
    for data, state in ((bytes(large), State.TOO_LARGE), (lossless, State.NO_DECODER)):
        images, failure = look(photo(data))
        assert len(images) == 1
        assert failure is not None
        assert failure.state is state
    assert list(views(photo(encode(np.zeros((8, 8, 3), np.uint8), "JPEG")))) == ["plain"]  # too small to see


def test_uncompressed_thumbnail_is_a_state() -> None:
    block = exif_with(b"")
    block = block.replace(struct.pack(">HHIHH", 0x0103, 3, 1, 6, 0), struct.pack(">HHIHH", 0x0103, 3, 1, 1, 0))
    block = block.replace(struct.pack(">HHI", 0x0201, 4, 1), struct.pack(">HHI", 0x0111, 4, 1))
    images, failure = look(with_segments(MAIN, segment(0xE1, b"Exif\0\0" + block)))
    assert len(images) == 1
    assert failure == NotJudged(State.NO_DECODER, "exif_thumbnail")


def test_many_starts_are_stopped() -> None:
    failure = look(photo(b"\xff\xd8\xff\xd9" * 100))[1]
    assert failure == NotJudged(State.TOO_LARGE, "jpeg_false_starts")


def test_thumbnails_elsewhere() -> None:
    photoshop = b"Photoshop 3.0\0" + b"8BIM\4\x0c\0\0" + struct.pack(">I", len(THUMBNAIL) + 28) + bytes(28) + THUMBNAIL
    extension = b"JFXX\0\x10" + THUMBNAIL
    raw = b"JFIF\0\1\2\0\0\1\0\1\x28\x1c" + SMALL.tobytes()
    raw_extension = b"JFXX\0\x13\x28\x1c" + SMALL.tobytes()
    indexed = np.arange(28 * 40, dtype=np.uint16).reshape(28, 40) % 7
    palette = np.zeros((256, 3), np.uint8)
    palette[:7] = np.random.default_rng(0).integers(0, 256, (7, 3))
    with_palette = b"JFXX\0\x11\x28\x1c" + palette.tobytes() + indexed.astype(np.uint8).tobytes()
    for marker, body, expected, tolerance in (
        (0xED, photoshop, SMALL, 6.0),
        (0xE0, extension, SMALL, 6.0),
        (0xE0, raw, SMALL, 0.01),
        (0xE0, raw_extension, SMALL, 0.01),
        (0xE0, with_palette, palette[indexed], 0.01),
    ):
        seen = views(with_segments(MAIN, segment(marker, body)))
        assert list(seen) == ["plain", "thumbnail/plain"]
        assert distance(seen["thumbnail/plain"].pixels, expected) < tolerance
    for body in (raw[:-1], b"JFXX\0\x11\x28\x1c" + bytes(900), b"JFXX\0", b"JFIF\0"):
        assert list(views(with_segments(MAIN, segment(0xE0, body)))) == ["plain"]


def test_every_picture_of_a_multi_picture_file_has_its_own() -> None:
    images, failure = look(photo(THUMBNAIL) + photo(THUMBNAIL))
    assert failure is None
    assert [(i.frame, i.view) for i in images] == [
        (0, "plain"),
        (0, "exif_thumbnail/plain"),
        # Of the second, both pictures repeat what was seen.
    ]


def test_a_gain_map_is_a_picture_like_any_other() -> None:
    xmp = b"http://ns.adobe.com/xap/1.0/\0<x hdrgm:Version='1.0' xmlns:hdrgm='http://ns.adobe.com/hdr-gain-map/1.0/'/>"
    gain = with_segments(encode(pattern(48, 40, seed=4), "JPEG"), segment(0xE1, xmp))
    images, failure = look(MAIN + gain)
    assert failure is None
    assert [image.width_px for image in images] == [64, 48]


def test_thumbnails_of_thumbnails_are_not_searched_for() -> None:
    nested = with_segments(THUMBNAIL, segment(0xE1, b"Exif\0\0" + exif(1) + THUMBNAIL))
    assert len(look(photo(nested))[0]) == 2


# --- motion photos ------------------------------------------------------------------------------------------

CLIP = box(b"ftyp", b"mp42" + bytes(4) + b"isommp42") + box(b"mdat", bytes(range(256)) * 20)


@pytest.mark.parametrize("between", [b"", b"MotionPhoto_Data", bytes(99)])
def test_motion_photo(between: bytes) -> None:
    data = photo(THUMBNAIL) + between + CLIP
    images, failure = look(data)
    assert [image.view for image in images] == ["plain", "exif_thumbnail/plain"]
    assert failure == NotJudged(State.NO_DECODER, "motion_photo_clip")
    images, failure = look(data, motion_photo="still_only")
    assert len(images) == 2
    assert failure is None


def test_text_about_a_clip_is_none() -> None:
    for tail in (b"ftypmp42", b"....ftypmp42", b"\0\0\0\x18ftyp\0\1\2\3", b"\0\0\0\x18moov"):
        assert only(MAIN + tail).width_px == 64


# --- large pictures -----------------------------------------------------------------------------------------

LARGE = Limits(max_pixels=400 * 300 - 1)


def test_a_large_baseline_jpeg_is_decoded_at_reduced_scale_only() -> None:
    data = encode(pattern(400, 300), "JPEG")
    assert look(data, limits=LARGE)[1] == NotJudged(State.TOO_LARGE, "pixels")
    assert look(data, limits=LARGE, short_side_px=151)[1] == NotJudged(State.TOO_LARGE, "pixels")
    image = only(data, limits=LARGE, short_side_px=75)
    assert (image.width_px, image.full_width_px) == (200, 400)
    limits = Limits(max_pixels=400 * 300 - 1, max_scaled_jpeg_pixels=400 * 300 - 1)
    assert look(data, limits=limits, short_side_px=30)[1] == NotJudged(State.TOO_LARGE, "pixels")
    # The reduced picture itself has to fit.
    assert look(data, limits=Limits(max_pixels=29_999), short_side_px=75)[1] is not None


def test_a_large_progressive_or_many_scan_jpeg_is_not() -> None:
    data = encode(pattern(400, 300), "JPEG", progressive=True)
    assert look(data, limits=LARGE, short_side_px=30)[1] == NotJudged(State.TOO_LARGE, "pixels")
    baseline = encode(pattern(400, 300), "JPEG")
    scan = baseline[baseline.index(b"\xff\xda") : -2]
    doubled = baseline[:-2] + scan + b"\xff\xd9"
    assert look(doubled, limits=LARGE, short_side_px=30)[1] == NotJudged(State.TOO_LARGE, "pixels")
