"""Is a camera's buffer read as it lies in memory: strides, planes, odd sizes, turns, colour?"""

from __future__ import annotations

import array
import ctypes
import mmap
from dataclasses import FrozenInstanceError
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safelight.decision import State
from safelight.errors import UnsupportedInputError, UsageError
from safelight.media import Frame, Image, Limits, NotJudged, load_image
from unit.media.helpers import look, only, pattern

FORMATS = ["rgb", "bgr", "rgba", "grey", "nv21", "nv12", "i420", "yuyv"]
YUV = ["nv21", "nv12", "i420", "yuyv"]


def planes(format: str, width: int, height: int, seed: int) -> list[np.ndarray]:
    """Random rows of every plane, without padding."""
    rng = np.random.default_rng(seed)
    half_width, half_height = (width + 1) // 2, (height + 1) // 2
    shapes = {
        "rgb": [(height, 3 * width)],
        "bgr": [(height, 3 * width)],
        "rgba": [(height, 4 * width)],
        "grey": [(height, width)],
        "nv21": [(height, width), (half_height, 2 * half_width)],
        "nv12": [(height, width), (half_height, 2 * half_width)],
        "i420": [(height, width), (half_height, half_width), (half_height, half_width)],
        "yuyv": [(height, 4 * half_width)],
    }[format]
    return [rng.integers(0, 256, shape, dtype=np.uint8) for shape in shapes]


def padded(parts: list[np.ndarray], strides: list[int], seed: int) -> bytes:
    """The planes one behind the other, each row followed by noise."""
    rng = np.random.default_rng(seed + 1)
    out = b""
    for part, stride in zip(parts, strides, strict=True):
        rows = rng.integers(0, 256, (part.shape[0], stride), dtype=np.uint8)
        rows[:, : part.shape[1]] = part
        out += rows.tobytes()
    return out


def samples(format: str, parts: list[np.ndarray], width: int, height: int) -> tuple[np.ndarray, ...]:
    """Y, U and V of every pixel, one pixel at a time: slow and obvious."""
    yuv = np.zeros((3, height, width))
    for row in range(height):
        for column in range(width):
            pair = column // 2
            if format == "yuyv":
                line = parts[0][row]
                values = line[2 * column], line[4 * pair + 1], line[4 * pair + 3]
            elif format == "i420":
                values = parts[0][row, column], parts[1][row // 2, pair], parts[2][row // 2, pair]
            else:
                first, second = parts[1][row // 2, 2 * pair], parts[1][row // 2, 2 * pair + 1]
                u, v = (first, second) if format == "nv12" else (second, first)
                values = parts[0][row, column], u, v
            yuv[:, row, column] = values
    return tuple(yuv)


def reference(y: np.ndarray, u: np.ndarray, v: np.ndarray, color_range: str) -> np.ndarray:
    """BT.601 in floating point."""
    u, v = u - 128, v - 128
    if color_range == "limited":
        y, u, v = (y - 16) * 255 / 219, u * 255 / 224, v * 255 / 224
    rgb = np.stack([y + 1.402 * v, y - 0.344136 * u - 0.714136 * v, y + 1.772 * u], axis=-1)
    return np.clip(rgb, 0, 255)


sizes = st.integers(16, 40)


@given(st.sampled_from(YUV), sizes, sizes, st.sampled_from(["full", "limited"]), st.integers(0, 1 << 30))
def test_yuv_is_within_1_of_floating_point(format: str, width: int, height: int, color_range: Any, seed: int) -> None:
    parts = planes(format, width, height, seed)
    data = b"".join(part.tobytes() for part in parts)
    got = only(Frame(data, format, width=width, height=height, color_range=color_range)).pixels
    expected = reference(*samples(format, parts, width, height), color_range)
    assert np.abs(got - expected).max() <= 1


@given(st.sampled_from(FORMATS), sizes, sizes, st.lists(st.integers(0, 9), min_size=3, max_size=3), st.integers(0, 999))
def test_padding_never_shows(format: str, width: int, height: int, extra: list[int], seed: int) -> None:
    parts = planes(format, width, height, seed)
    strides = [part.shape[1] + more for part, more in zip(parts, extra, strict=False)]
    size: Any = {"width": width, "height": height}
    plain = look(Frame(b"".join(p.tobytes() for p in parts), format, **size))[0]
    data = padded(parts, strides, seed)
    short = data[: len(data) - strides[-1] + parts[-1].shape[1]]
    for content in (data, short, bytearray(data), memoryview(short), np.frombuffer(data, np.uint8)):
        images = look(Frame(content, format, stride=tuple(strides), **size))[0]
        assert [i.view for i in images] == [i.view for i in plain]
        assert all(np.array_equal(a.pixels, b.pixels) for a, b in zip(images, plain, strict=True))


@given(st.sampled_from(FORMATS), sizes, sizes, st.sampled_from([0, 90, 180, 270]), st.integers(0, 999))
def test_rotation_is_clockwise(format: str, width: int, height: int, rotation: Any, seed: int) -> None:
    data = b"".join(part.tobytes() for part in planes(format, width, height, seed))
    frame = Frame(data, format, width=width, height=height, rotation=rotation)
    upright = look(Frame(data, format, width=width, height=height))[0]
    images = look(frame)[0]
    for image, stored in zip(images, upright, strict=True):
        assert np.array_equal(image.pixels, np.rot90(stored.pixels, -rotation // 90))
        assert (image.full_width_px, image.full_height_px) == (image.width_px, image.height_px)
    pictures = load_image(frame)
    assert (pictures.width_px, pictures.height_px) == ((width, height) if rotation % 180 == 0 else (height, width))  # type: ignore[union-attr]


def test_packed_colours() -> None:
    picture = pattern(33, 21)
    size: Any = {"width": 33, "height": 21}
    assert np.array_equal(only(Frame(picture, "rgb", **size)).pixels, picture)
    assert np.array_equal(only(Frame(picture[..., ::-1].copy(), "bgr", **size)).pixels, picture)
    grey = picture[..., 0].copy()
    assert np.array_equal(only(Frame(grey, "grey", **size)).pixels, np.stack([grey] * 3, axis=-1))
    limited = only(Frame(grey, "grey", color_range="limited", **size)).pixels[..., 1]
    assert np.abs(limited - np.clip((grey.astype(float) - 16) * 255 / 219, 0, 255)).max() <= 1
    rgba = np.dstack([picture, np.full((21, 33), 9, np.uint8)])
    images, failure = look(Frame(rgba, "rgba", **size))
    assert failure is None
    assert [image.view for image in images] == ["over_white", "over_black", "under_alpha"]
    assert np.array_equal(images[2].pixels, picture)


@pytest.mark.parametrize(
    ("yuv", "rgb"),
    [
        ((0, 128, 128), (0, 0, 0)),
        ((255, 128, 128), (255, 255, 255)),
        ((76, 85, 255), (254, 0, 0)),
        ((150, 44, 21), (0, 255, 1)),
        ((29, 255, 107), (0, 0, 254)),
        ((0, 0, 0), (0, 135, 0)),
        ((255, 255, 255), (255, 121, 255)),
    ],
)
def test_known_colours(yuv: tuple[int, int, int], rgb: tuple[int, int, int]) -> None:
    """The numbers a native kernel must give too."""
    y, u, v = (bytes([value]) for value in yuv)
    data = y * 256 + u * 64 + v * 64
    assert only(Frame(data, "i420", width=16, height=16)).pixels[3, 3].tolist() == list(rgb)


def test_one_stride_for_all_planes() -> None:
    for format, strides in (("nv21", (40, 40)), ("nv12", (40, 40)), ("i420", (39, 20, 20)), ("yuyv", (80,))):
        parts = planes(format, 32, 18, 1)
        data = padded(parts, list(strides), 1)
        one = Frame(data, format, width=32, height=18, stride=strides[0])  # type: ignore[arg-type]
        assert [plane.stride for plane in one.planes] == list(strides)
        many = Frame(data, format, width=32, height=18, stride=strides)  # type: ignore[arg-type]
        assert np.array_equal(only(one).pixels, only(many).pixels)
    assert [tuple(p) for p in Frame(bytes(40 * 18 + 40 * 9), "nv21", width=31, height=18, stride=40).planes] == [
        (0, 40, 31, 18),
        (720, 40, 32, 9),
    ]


def test_every_kind_of_buffer() -> None:
    raw = pattern(20, 16).tobytes()
    mapped = mmap.mmap(-1, len(raw))
    mapped[:] = raw
    sources = [
        raw,
        bytearray(raw),
        memoryview(raw),
        np.frombuffer(raw, np.uint8),
        np.frombuffer(raw, np.uint8).reshape(16, 20, 3),
        array.array("B", raw),
        (ctypes.c_ubyte * len(raw)).from_buffer_copy(raw),
        mapped,
    ]
    for source in sources:
        assert np.array_equal(only(Frame(source, "rgb", width=20, height=16)).pixels, pattern(20, 16)), type(source)
    mapped.close()  # no view of it is left open


def test_nothing_is_copied_before_and_nothing_shared_after_loading() -> None:
    buffer = bytearray(pattern(20, 16).tobytes())
    frame = Frame(buffer, "rgb", width=20, height=16)
    assert frame.data is buffer
    buffer[:] = pattern(20, 16, seed=3).tobytes()
    with load_image(frame) as pictures:  # type: ignore[union-attr]
        buffer[:] = bytes(len(buffer))
        [image] = pictures
    assert isinstance(image, Image)
    assert np.array_equal(image.pixels, pattern(20, 16, seed=3))
    buffer.extend(b"free to grow")
    with pytest.raises(UsageError, match="data: got"):
        load_image(frame)  # never reads behind the end of a buffer that has changed
    del buffer[20:]
    with pytest.raises(UsageError, match="data: got 20 bytes"):
        load_image(frame)


def test_limits_hold_and_are_a_state() -> None:
    frame = Frame(bytes(3 * 100 * 60), width=100, height=60)
    for limits, state in (
        (Limits(max_pixels=5_999), State.TOO_LARGE),
        (Limits(max_side_px=99), State.TOO_LARGE),
        (Limits(min_side_px=61), State.TOO_SMALL),
    ):
        loaded = load_image(frame, limits=limits)
        assert isinstance(loaded, NotJudged)
        assert loaded.state is state


def test_frozen_and_silent() -> None:
    frame = Frame(b"\x7b" * 768, width=16, height=16, rotation=90, timestamp_ms=5)
    with pytest.raises(FrozenInstanceError):
        frame.width = 3  # type: ignore[misc]
    assert repr(frame) == str(frame) == "<Frame rgb 16x16, rotation 90>"
    assert repr(load_image(frame)) == "<Pictures FRAME 16x16, 1 frames>"
    assert (frame.timestamp_ms, frame.format, frame.color_range) == (5, "rgb", "full")
    with pytest.raises(UnsupportedInputError):
        Frame("text", width=16, height=16)  # type: ignore[arg-type]
