"""Does the Python face of the native image core take what it should, and say what it does not take?"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as PilImage
from safelight import _image
from safelight.errors import UnsupportedInputError, UsageError

RGB = np.arange(6 * 8 * 3, dtype=np.uint8).reshape(6, 8, 3)
PILLOW_IS_EXACT = int(PilImage.__version__.split(".")[0]) >= 13


@pytest.fixture(autouse=True)
def _automatic_kernel() -> Iterator[None]:
    yield
    _image.set_kernel("auto")


@pytest.mark.parametrize("kernel", _image.kernels()["available"])
@pytest.mark.parametrize(
    "size", [(256, 256), (224, 224), (128, 96), (64, 64), (1, 1), (1000, 7), (7, 1000), (512, 512), (700, 900)]
)
@pytest.mark.parametrize("filter", ["bilinear", "box"])
def test_a_natural_picture_is_resized_as_pillow_does(
    portrait: Path, size: tuple[int, int], filter: Any, kernel: str
) -> None:
    _image.set_kernel(kernel)
    with PilImage.open(portrait) as picture:
        rgb = picture.convert("RGB")
    for area in [None, (0.0, 0.0, float(rgb.width), float(rgb.height)), (10.25, 3.5, 333.0, 499.75)]:
        expected = np.asarray(rgb.resize(size, PilImage.Resampling[filter.upper()], box=area))
        got = _image.prepare(np.asarray(rgb), resize_px=size, filter=filter, crop=area)
        assert np.abs(got.astype(int) - expected).max() <= (0 if PILLOW_IS_EXACT else 1)


@pytest.mark.parametrize("shape", [(1, 5000), (5000, 1), (3, 2999), (1500, 1000), (2001, 30)])
def test_extreme_aspects_are_resized_as_pillow_does(shape: tuple[int, int]) -> None:
    rgb = np.random.default_rng(1).integers(0, 256, (*shape, 3), dtype=np.uint8)
    expected = np.asarray(PilImage.fromarray(rgb).resize((256, 256), PilImage.Resampling.BILINEAR))
    got = _image.prepare(rgb, resize_px=(256, 256))
    assert np.abs(got.astype(int) - expected).max() <= (0 if PILLOW_IS_EXACT else 1)


def test_the_centre_crop_of_the_nudity_model(portrait: Path) -> None:
    with PilImage.open(portrait) as picture:
        rgb = np.asarray(picture.convert("RGB"))
    whole = _image.prepare(rgb, resize_px=(256, 256))
    assert np.array_equal(_image.prepare(rgb, resize_px=(256, 256), window=(16, 16, 224, 224)), whole[16:240, 16:240])


def test_the_answer_is_fresh_dense_and_of_the_named_type() -> None:
    for dtype in ("uint8", "int8", "float32"):
        answer = _image.prepare(RGB, resize_px=(5, 4), dtype=dtype)
        assert answer.dtype == dtype
        assert answer.shape == (4, 5, 3)
        assert answer.flags.c_contiguous
        assert answer.flags.owndata
        assert answer.flags.writeable


def test_read_only_pictures_and_pieces_of_pictures_are_taken() -> None:
    frozen = RGB.copy()
    frozen.setflags(write=False)
    assert np.array_equal(_image.prepare(frozen, resize_px=(8, 6)), RGB)
    assert np.array_equal(_image.prepare(RGB[1:4, 2:7], resize_px=(5, 3)), RGB[1:4, 2:7])
    assert np.array_equal(_image.prepare(RGB[::2], resize_px=(8, 3)), RGB[::2])


def test_rows_of_bytes_with_a_stride() -> None:
    """As a camera gives them: a flat buffer whose last row lacks its padding."""
    stride, width, height = 16, 9, 5
    luma = np.arange(stride * (height - 1) + width, dtype=np.uint8)
    rows = np.lib.stride_tricks.as_strided(luma, (height, width), (stride, 1))
    chroma = np.full((3, 10), 128, np.uint8)
    got = _image.prepare((rows, chroma), format="nv21", resize_px=(width, height))
    assert np.array_equal(got[..., 0], rows)
    packed = np.zeros((height, 40), np.uint8)
    packed[:, : 3 * width] = 7
    assert _image.prepare(packed, format="rgb", width=width, height=height, resize_px=(1, 1)).tolist() == [[[7, 7, 7]]]


def test_yuv_is_full_range_bt601_unless_said_otherwise() -> None:
    red = (np.full((2, 2), 76, np.uint8), np.array([[[255, 85]]], np.uint8))  # V, U of pure red in JPEG
    assert _image.prepare(red, format="nv21", resize_px=(1, 1))[0, 0] == pytest.approx([254, 0, 0], abs=1)
    white = (np.full((2, 2), 235, np.uint8), np.full((1, 1, 2), 128, np.uint8))
    limited = _image.prepare(white, format="nv12", yuv="bt709_limited", resize_px=(1, 1))
    assert limited.tolist() == [[[255, 255, 255]]]
    assert _image.prepare(white, format="nv12", resize_px=(1, 1)).tolist() == [[[235, 235, 235]]]


@pytest.mark.parametrize(
    ("planes", "options", "says"),
    [
        (RGB.astype(np.float32), {}, "float32"),
        (RGB.astype(np.int8), {}, "int8"),
        (RGB[0, 0], {}, "1 dimensions"),
        (RGB[None], {}, "4 dimensions"),
        (RGB[:0], {}, "empty"),
        (RGB[:, :0], {}, "empty"),
        (RGB[:, ::2], {}, "not dense"),
        (RGB[::-1], {}, "backwards"),
        (RGB[..., ::-1], {}, "not dense"),
        (np.asfortranarray(RGB), {}, "not dense"),
        (np.broadcast_to(RGB[:1], RGB.shape), {}, "not dense"),
        (RGB[..., :2], {}, "2 channels"),
        (RGB, {"format": "rgba"}, "3 channels"),
        ((RGB, RGB), {}, "got 2, expected 1"),
        (RGB[..., 0].copy(), {"format": "nv21"}, "got 1, expected 2"),
        ([RGB.tolist()], {}, "not a numpy array"),
    ],
)
def test_arrays_that_are_not_pictures(planes: Any, options: dict[str, Any], says: str) -> None:
    for call in (
        lambda: _image.prepare(planes, resize_px=(4, 4), **options),
        lambda: _image.warp_similarity(planes, matrix=np.eye(2, 3), chip_px=4, **options),
    ):
        with pytest.raises(UnsupportedInputError, match=says):
            call()


@pytest.mark.parametrize(
    "options",
    [
        {"format": "cmyk"},
        {"filter": "lanczos"},
        {"order": "grb"},
        {"dtype": "float64"},
        {"yuv": "bt2020"},
        {"rotation": 45},
        {"rotation": 360},
        {"width": 9},
        {"height": 7},
        {"width": 0},
        {"resize_px": (0, 4)},
        {"resize_px": (4, _image.MAX_TARGET_PX + 1)},
        {"window": (0, 0, 5, 4)},
        {"window": (4, 0, 1, 1)},
        {"window": (0, 0, 0, 1)},
        {"crop": (-0.5, 0.0, 4.0, 4.0)},
        {"crop": (0.0, 0.0, 8.5, 4.0)},
        {"crop": (4.0, 0.0, 4.0, 4.0)},
        {"crop": (float("nan"), 0.0, 4.0, 4.0)},
        {"scale": 0.0},
        {"scale": float("nan")},
        {"zero_point": 300},
        {"multiply": (1.0, float("inf"), 1.0)},
    ],
)
def test_values_out_of_range(options: dict[str, Any]) -> None:
    with pytest.raises(UsageError) as raised:
        _image.prepare(RGB, **({"resize_px": (4, 4)} | options))
    assert len(str(raised.value)) > 40  # says what is expected


def test_rows_of_bytes_need_a_width() -> None:
    with pytest.raises(UsageError, match="width"):
        _image.prepare(RGB.reshape(6, 24), resize_px=(4, 4))


@pytest.mark.parametrize(
    "matrix",
    [
        np.array([[1.0, 0, 0], [0, -1.0, 0]]),
        np.array([[1.0, 0, 0], [0, 2.0, 0]]),
        np.array([[1.0, 0.1, 0], [0, 1.0, 0]]),
        np.full((2, 3), np.nan),
        np.zeros((2, 3)),
        np.array([[1.0, 0, np.inf], [0, 1.0, 0]]),
    ],
)
def test_matrices_that_are_no_similarity(matrix: Any) -> None:
    with pytest.raises(UsageError):
        _image.warp_similarity(RGB, matrix=matrix, chip_px=4)


def test_landmarks_that_fix_nothing() -> None:
    pair = [(0.0, 0.0), (1.0, 1.0)]
    for source, target in [([], []), (pair[:1], pair[:1]), ([pair[0]] * 2, pair), (pair, [pair[0]] * 2)]:
        with pytest.raises(UsageError):
            _image.fit_similarity(source, target)
    with pytest.raises(UsageError, match="pair them"):
        _image.fit_similarity(pair, pair[:1])


def test_a_face_lands_where_the_model_wants_it() -> None:
    """Dots at the landmarks of a turned face come out at the chip's places for them."""
    places = np.array([(0.289, 0.298), (0.690, 0.288), (0.487, 0.518), (0.495, 0.717)]) * 64
    angle, scale = 0.4, 3.0
    turn = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    landmarks = places @ turn.T + (150, 60)
    picture = np.zeros((400, 400, 3), np.uint8)
    for x, y in landmarks.astype(int):
        picture[y - 4 : y + 5, x - 4 : x + 5] = 255
    matrix = _image.fit_similarity(landmarks, places)
    chip = _image.warp_similarity(picture, matrix=matrix, chip_px=64)
    for x, y in places.astype(int):
        assert chip[y, x, 0] > 200
    assert chip.mean() < 20


def test_kernels_are_named_and_forced_and_refused() -> None:
    known = _image.kernels()
    assert known["known"] == ("scalar", "sse2", "avx2", "neon")
    assert known["in_use"] in known["available"]
    assert "scalar" in known["available"]
    for name in known["known"]:
        if name in known["available"]:
            _image.set_kernel(name)
            assert _image.kernels()["in_use"] == name
        else:
            with pytest.raises(UsageError, match="does not have that kernel"):
                _image.set_kernel(name)
    with pytest.raises(UsageError):
        _image.set_kernel("mmx")
    _image.set_kernel("auto")
    assert _image.kernels()["in_use"] == known["in_use"]


def test_many_threads_at_once_get_what_one_gets() -> None:
    random = np.random.default_rng(3)
    pictures = [random.integers(0, 256, (90 + i, 120 - i, 3), dtype=np.uint8) for i in range(8)]

    def work(picture: Any) -> bytes:
        chip = _image.warp_similarity(picture, matrix=np.array([[0.3, 0.1, 2], [-0.1, 0.3, 3]]), chip_px=32)
        return bytes(_image.prepare(picture, resize_px=(64, 48)).tobytes() + chip.tobytes())

    alone = [work(picture) for picture in pictures]
    with ThreadPoolExecutor(8) as pool:
        for _ in range(10):
            assert list(pool.map(work, pictures)) == alone


def test_other_threads_run_meanwhile() -> None:
    """The GIL is released around the kernel: a Python thread counts on while a large picture is resized."""
    picture = np.zeros((4000, 4000, 3), np.uint8)
    _image.set_kernel("scalar")
    counts = [0]
    stop = threading.Event()

    def count() -> None:
        while not stop.is_set():
            counts[0] += 1

    counter = threading.Thread(target=count)
    counter.start()
    try:
        # One call is well over the switch interval of 5 ms; held throughout, the counter would stand still.
        before = counts[0]
        _image.prepare(picture, resize_px=(256, 256))
        during = counts[0] - before
    finally:
        stop.set()
        counter.join()
    assert during > 100
