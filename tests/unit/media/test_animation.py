"""Is every frame looked at, as it is composed on screen, and does one bad frame spoil the whole?"""

from __future__ import annotations

import struct

import numpy as np
import pytest
from safelight.decision import State
from safelight.media import Limits, NotJudged, load_image
from unit.media.helpers import (
    blocks,
    chunk,
    encode_frames,
    gif,
    gif_frame,
    header,
    look,
    only,
    png,
    repair_checksums,
    rows,
)

PALETTE = [(0, 0, 0), (255, 0, 0), (0, 255, 0), (0, 0, 255), (250, 250, 250)]


def flat(colour: int, width: int = 40, height: int = 28) -> np.ndarray:
    return np.full((height, width), colour, np.uint8)


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG"])
def test_a_marker_in_the_last_frame_only_is_seen(kind: str) -> None:
    calm = [blocks(n) for n in range(12)]
    last = calm[-1].copy()
    last[8:20, 10:30] = (255, 0, 255)
    images, failure = look(encode_frames([*calm, last], kind))
    assert failure is None
    assert len(images) == 13
    for picture, image in zip([*calm, last], images, strict=True):
        assert np.array_equal(image.pixels, picture)
    assert [image.frame for image in images] == list(range(13))


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG"])
def test_frames_seen_before_are_skipped(kind: str) -> None:
    a, b, c = (blocks(n) for n in range(3))
    # A corner that changes keeps encoders from merging equal frames into one.
    images, failure = look(encode_frames([a, b, a, b, c, a], kind))
    assert failure is None
    assert len(images) == 3
    assert np.array_equal(images[-1].pixels, c)


def test_one_frame_after_another_is_decoded_lazily() -> None:
    pictures = load_image(gif(*(gif_frame(flat(n % 5)) for n in range(50)), palette=PALETTE))
    with pictures as open_pictures:  # type: ignore[union-attr]
        first = next(iter(open_pictures))
        assert first.frame == 0  # type: ignore[union-attr]


def damaged_gif(bad: int, frames: int) -> bytes:
    parts = [gif_frame(flat(n % 5)) for n in range(frames)]
    # 0xFF bytes are codes far behind the end of the table.
    at = parts[bad].index(b"\x08", 17) + 2
    parts[bad] = parts[bad][:at] + b"\xff" * 20 + parts[bad][at + 20 :]
    return gif(*parts, palette=PALETTE)


def test_a_failure_in_frame_7_is_the_last_word() -> None:
    images, failure = look(damaged_gif(7, 12))
    assert len(images) == 5  # frames 5 and 6 repeat 0 and 1
    assert failure == NotJudged(State.DECODE_FAILED, "decoder")


def apng(*frames: tuple[np.ndarray, tuple[int, int], int, int], default: np.ndarray | None = None) -> bytes:
    """``(rgba, place, dispose, blend)`` each; the first frame is the default picture unless one is given."""
    canvas = default if default is not None else frames[0][0]
    parts = [header(canvas.shape[1], canvas.shape[0], 8, 6), chunk(b"acTL", struct.pack(">II", len(frames), 0))]
    if default is not None:
        parts.append(chunk(b"IDAT", rows(default.reshape(default.shape[0], -1))))
    number = 0
    for n, (rgba, (x, y), dispose, blend) in enumerate(frames):
        height, width = rgba.shape[:2]
        place = struct.pack(">IIIIIHHBB", number, width, height, x, y, 1, 10, dispose, blend)
        parts.append(chunk(b"fcTL", place))
        number += 1
        data = rows(rgba.reshape(height, -1))
        if n == 0 and default is None:
            parts.append(chunk(b"IDAT", data))
        else:
            half = len(data) // 2
            for piece in (data[:half], data[half:]):
                parts.append(chunk(b"fdAT", struct.pack(">I", number) + piece))
                number += 1
    return png(*parts)


def rgba(colour: tuple[int, int, int, int], width: int = 40, height: int = 28) -> np.ndarray:
    return np.full((height, width, 4), colour, np.uint8)


RED, BLUE, NOTHING = (255, 0, 0, 255), (0, 0, 255, 255), (0, 0, 0, 0)


def over_white(data: bytes) -> list[np.ndarray]:
    images, failure = look(data)
    assert failure is None
    return [image.pixels for image in images if image.view in ("plain", "over_white")]


@pytest.mark.parametrize(
    ("dispose", "blend", "corner"),
    [(0, 0, RED), (1, 0, (255, 255, 255, 255)), (2, 0, RED)],
)
def test_apng_disposal(dispose: int, blend: int, corner: tuple[int, ...]) -> None:
    small = rgba(BLUE, 10, 10)
    data = apng((rgba(RED), (0, 0), 0, 0), (small, (0, 0), dispose, blend), (rgba(RED, 16, 16), (20, 8), 0, 0))
    frames = over_white(data)
    assert (frames[1][:10, :10] == BLUE[:3]).all()
    if dispose == 0:
        assert (frames[-1][:10, :10] == BLUE[:3]).all()
    elif dispose == 1:
        assert (frames[-1][:10, :10] == corner[:3]).all()
    else:
        # Back to the first picture, which has been looked at.
        assert len(frames) == 2


def test_apng_blend() -> None:
    half = rgba((0, 0, 255, 128), 16, 16)
    for blend, expected in ((0, (127, 127, 255)), (1, (127, 0, 128))):
        frame = over_white(apng((rgba(RED), (0, 0), 0, 0), (half, (4, 4), 0, blend)))[1]
        assert np.abs(frame[6, 6].astype(int) - expected).max() <= 1
        assert frame[0, 0].tolist() == [255, 0, 0]


def test_apng_default_picture_is_looked_at_too() -> None:
    images, failure = look(apng((rgba(BLUE), (0, 0), 0, 0), default=rgba(RED)))
    assert failure is None
    assert [tuple(i.pixels[0, 0]) for i in images] == [RED[:3], BLUE[:3]]


@pytest.mark.parametrize(
    "damage",
    [
        lambda d: d.replace(b"acTL" + b"\0\0\0\2", b"acTL" + b"\0\0\0\1"),
        lambda d: d.replace(b"acTL", b"axTL"),
        lambda d: d.replace(b"\0\0\0\1" + struct.pack(">II", 16, 16), b"\0\0\0\1" + struct.pack(">II", 90, 16)),
        lambda d: d.replace(b"fdAT\0\0\0\2", b"fdAT\0\0\0\7"),
    ],
)
def test_apng_that_contradicts_itself(damage: object) -> None:
    good = apng((rgba(RED), (0, 0), 0, 0), (rgba(BLUE, 16, 16), (4, 4), 0, 0))
    assert look(good)[1] is None
    bad = repair_checksums(damage(good))  # type: ignore[operator]
    assert bad != good
    images, failure = look(bad)
    assert not images
    assert failure == NotJudged(State.DECODE_FAILED, "apng_structure")


@pytest.mark.parametrize(
    ("dispose", "after"), [(0, (0, 0, 255)), (1, (0, 0, 255)), (2, (255, 255, 255)), (3, (255, 0, 0)), (4, (255, 0, 0))]
)
def test_gif_disposal(dispose: int, after: tuple[int, int, int]) -> None:
    data = gif(
        gif_frame(flat(1)),
        gif_frame(flat(3, 10, 10), dispose=dispose),
        gif_frame(flat(2, 10, 10), at=(20, 10)),
        palette=PALETTE,
    )
    frames = over_white(data)
    assert frames[1][0, 0].tolist() == [0, 0, 255]
    assert frames[2][0, 0].tolist() == list(after)
    assert frames[2][12, 22].tolist() == [0, 255, 0]


def test_gif_transparent_pixels_keep_what_was_there() -> None:
    second = flat(0)
    second[:5] = 2
    frames = over_white(gif(gif_frame(flat(1)), gif_frame(second, transparent=0), palette=PALETTE))
    assert frames[1][0, 0].tolist() == [0, 255, 0]
    assert frames[1][20, 0].tolist() == [255, 0, 0]


def test_gif_palette_of_its_own_and_none_at_all() -> None:
    no_table = b"GIF89a" + struct.pack("<HHBBB", 40, 28, 0, 0, 0) + gif_frame(flat(77)) + b";"
    assert (only(no_table).pixels == 77).all()


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG"])
def test_too_many_frames_or_pixels_are_refused_at_once(kind: str) -> None:
    data = encode_frames([blocks(n) for n in range(6)], kind)
    for limits in (
        Limits(max_frames=5),
        Limits(max_total_decoded_pixels=40 * 28 * 6 - 1),
        Limits(max_animation_pixels=40 * 28 - 1),
    ):
        loaded = load_image(data, limits=limits)
        assert isinstance(loaded, NotJudged)
        assert loaded.state is State.TOO_LARGE
    assert look(data, limits=Limits(max_frames=6, max_total_decoded_pixels=40 * 28 * 6))[1] is None
