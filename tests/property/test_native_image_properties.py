"""Do the native image kernels agree with the readable twin, with Pillow and with each other, on any picture?"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from PIL import Image as PilImage
from reference import image as twin
from safelight import _image

KERNELS = _image.kernels()["available"]
PILLOW = {"bilinear": PilImage.Resampling.BILINEAR, "box": PilImage.Resampling.BOX}

sides = st.one_of(st.integers(1, 40), st.integers(1, 150))
targets = st.tuples(st.integers(1, 60), st.integers(1, 60))
filters = st.sampled_from(_image.FILTERS)
rotations = st.sampled_from([0, 90, 180, 270])


@pytest.fixture(autouse=True)
def _automatic_kernel() -> Iterator[None]:
    yield
    _image.set_kernel("auto")


@st.composite
def pixels(draw: st.DrawFn, *channels: int, height: int | None = None, width: int | None = None) -> Any:
    """``uint8[H, W, …]``: noise, black-and-white noise (the hardest for rounding) or a gradient."""
    shape = (height or draw(sides), width or draw(sides), *channels)
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    kind = draw(st.sampled_from(["noise", "extremes", "gradient"]))
    if kind == "extremes":
        return random.integers(0, 2, shape, dtype=np.uint8) * np.uint8(255)
    if kind == "gradient":
        return (np.indices(shape).sum(0) * random.integers(1, 9) % 256).astype(np.uint8)
    return random.integers(0, 256, shape, dtype=np.uint8)


@st.composite
def crops(draw: st.DrawFn, width: int, height: int) -> tuple[float, float, float, float] | None:
    if draw(st.booleans()):
        return None
    left, right = sorted(draw(st.floats(0, width, width=32)) for _ in range(2))
    top, bottom = sorted(draw(st.floats(0, height, width=32)) for _ in range(2))
    assume(right - left > 0.01 and bottom - top > 0.01)
    return left, top, right, bottom


def _stored(upright: npt.NDArray[np.uint8], rotation: int) -> npt.NDArray[np.uint8]:
    return np.ascontiguousarray(np.rot90(upright, k=rotation // 90))


@given(st.data(), pixels(3), targets, st.sampled_from(sorted(PILLOW)), rotations)
def test_bilinear_and_box_are_pillows_bit_for_bit(
    data: st.DataObject, rgb: npt.NDArray[np.uint8], target: tuple[int, int], filter: Any, rotation: int
) -> None:
    crop = data.draw(crops(rgb.shape[1], rgb.shape[0]))
    expected = np.asarray(PilImage.fromarray(rgb).resize(target, PILLOW[filter], box=crop))
    got = _image.prepare(_stored(rgb, rotation), resize_px=target, filter=filter, crop=crop, rotation=rotation)
    # Before Pillow 13 the rows were always filtered first: then a tall picture may differ by one.
    allowed = 0 if int(PilImage.__version__.split(".")[0]) >= 13 else 1
    assert np.abs(got.astype(int) - expected).max() <= allowed


@given(st.data(), pixels(3), targets, filters)
def test_every_filter_is_the_twins_bit_for_bit(
    data: st.DataObject, rgb: npt.NDArray[np.uint8], target: tuple[int, int], filter: Any
) -> None:
    crop = data.draw(crops(rgb.shape[1], rgb.shape[0]))
    got = _image.prepare(rgb, resize_px=target, filter=filter, crop=crop)
    assert np.array_equal(got, twin.resize(rgb, target, crop=crop, filter=filter))


@st.composite
def pictures(draw: st.DrawFn) -> dict[str, Any]:
    """Arguments of a picture in any format, its rows padded or not."""
    format = draw(st.sampled_from(_image.FORMATS))
    height, width = draw(sides), draw(sides)
    half = {"height": (height + 1) // 2, "width": (width + 1) // 2}
    planes = {
        "rgb": [pixels(3, height=height, width=width)],
        "bgr": [pixels(3, height=height, width=width)],
        "rgba": [pixels(4, height=height, width=width)],
        "grey": [pixels(height=height, width=width)],
        "nv21": [pixels(height=height, width=width), pixels(2, **half)],
        "nv12": [pixels(height=height, width=width), pixels(2, **half)],
        "i420": [pixels(height=height, width=width), pixels(**half), pixels(**half)],
        "yuyv": [pixels(2, height=height, width=width + width % 2)],
    }[format]
    arrays = []
    for plane in planes:
        array = draw(plane)
        if draw(st.booleans()):  # a piece of something larger
            frame = np.zeros((array.shape[0] + 1, array.shape[1] + 5, *array.shape[2:]), np.uint8)
            frame[: array.shape[0], : array.shape[1]] = array
            array = frame[: array.shape[0], : array.shape[1]]
        arrays.append(array)
    return {
        "planes": tuple(arrays),
        "format": format,
        "width": width,
        "height": height,
        "rotation": draw(rotations),
        "yuv": draw(st.sampled_from(_image.YUVS)),
    }


def _rgb(picture: dict[str, Any]) -> npt.NDArray[np.float64]:
    """What the picture shows, upright, as exact numbers."""
    first, *rest = picture["planes"]
    width, yuv = picture["width"], picture["yuv"]
    format = picture["format"]
    shown: npt.NDArray[Any]
    if format in ("rgb", "rgba"):
        shown = first[..., :3]
    elif format == "bgr":
        shown = first[..., ::-1]
    elif format == "grey":
        shown = first[..., None].repeat(3, 2)
    elif format == "yuyv":
        rows = [twin.yuv_to_rgb(row[None, :width, 0], row[None, ::2, 1], row[None, 1::2, 1], yuv) for row in first]
        shown = np.concatenate(rows)
    elif format == "i420":
        shown = twin.yuv_to_rgb(first, *rest, yuv)
    else:
        u, v = (rest[0][..., 1], rest[0][..., 0]) if format == "nv21" else (rest[0][..., 0], rest[0][..., 1])
        shown = twin.yuv_to_rgb(first, u, v, yuv)
    return twin.upright(shown, picture["rotation"]).astype(float)


@given(pictures(), targets, filters)
def test_every_format_turned_and_resized_is_within_one_step_of_the_twin(
    picture: dict[str, Any], target: tuple[int, int], filter: Any
) -> None:
    expected = twin.resize(np.floor(_rgb(picture) + 0.5).astype(np.uint8), target, filter=filter)
    got = _image.prepare(**picture, resize_px=target, filter=filter)
    assert np.abs(got.astype(int) - expected).max() <= 1


@given(st.data(), pictures(), targets, filters)
def test_every_kernel_gives_the_same_bytes(
    data: st.DataObject, picture: dict[str, Any], target: tuple[int, int], filter: Any
) -> None:
    matrix = data.draw(_similarities())
    answers = set()
    for kernel in KERNELS:
        _image.set_kernel(kernel)
        assert _image.kernels()["in_use"] == kernel
        resized = _image.prepare(**picture, resize_px=target, filter=filter)
        chip = _image.warp_similarity(**picture, matrix=matrix, chip_px=16)
        answers.add(resized.tobytes() + chip.tobytes())
    assert len(answers) == 1


numbers = st.floats(-300, 300, width=32)


@given(
    pixels(3),
    st.sampled_from(["rgb", "bgr"]),
    st.sampled_from(["uint8", "int8", "float32"]),
    st.tuples(numbers, numbers, numbers),
    st.tuples(numbers, numbers, numbers),
    st.floats(0.001, 50),
    st.integers(-128, 255),
)
def test_tensors_are_the_twins(
    rgb: npt.NDArray[np.uint8],
    order: Any,
    dtype: Any,
    multiply: tuple[float, ...],
    add: tuple[float, ...],
    scale: float,
    zero_point: int,
) -> None:
    how: dict[str, Any] = {
        "order": order,
        "dtype": dtype,
        "multiply": multiply,
        "add": add,
        "scale": scale,
        "zero_point": zero_point,
    }
    got = _image.prepare(rgb, resize_px=(rgb.shape[1], rgb.shape[0]), **how)
    expected = twin.tensor(rgb, **how)
    assert got.dtype == expected.dtype
    assert np.array_equal(got, expected)


@st.composite
def _similarities(draw: st.DrawFn) -> npt.NDArray[np.float64]:
    angle, scale = draw(st.floats(-3.2, 3.2)), draw(st.floats(0.05, 4))
    a, b = scale * np.cos(angle), scale * np.sin(angle)
    shift = [draw(st.floats(-60, 60)) for _ in range(2)]
    return np.array([[a, -b, shift[0]], [b, a, shift[1]]])


@given(pictures(), _similarities(), st.integers(1, 40))
def test_chips_are_within_one_step_of_the_twin(
    picture: dict[str, Any], matrix: npt.NDArray[np.float64], chip_px: int
) -> None:
    # Where a sample falls on the edge between "repeat the border" and "in between" all is continuous; only the
    # choice of the block size jumps.
    reduction = 1 / np.hypot(matrix[0, 0], matrix[1, 0])
    assume(abs(reduction % 1 - 0.5) > 1e-9)
    exact = _rgb(picture)
    expected = twin.warp(np.floor(exact + 0.5), matrix, chip_px)
    got = _image.warp_similarity(**picture, matrix=matrix, chip_px=chip_px)
    # One step of YUV and of rounding twice; 0.13 is what 11 bits of position leave.
    steps = 1.0 if picture["format"] in ("nv21", "nv12", "i420", "yuyv") else 0.0
    assert np.abs(got - expected).max() <= 1.5 + 0.13 + steps


points = st.lists(st.tuples(st.floats(0, 500), st.floats(0, 500)), min_size=2, max_size=6)


@given(points, st.data())
def test_landmarks_are_fitted_as_umeyama_does(source: list[tuple[float, float]], data: st.DataObject) -> None:
    point = st.tuples(st.floats(0, 100), st.floats(0, 100))
    target = np.array(data.draw(st.lists(point, min_size=len(source), max_size=len(source))))
    p, q = np.array(source), target
    assume(p.var(0).sum() > 1e-3)
    expected = twin.umeyama(p, q)
    assume(0.001 < np.hypot(expected[0, 0], expected[1, 0]) < 1000)
    assert _image.fit_similarity(p, q) == pytest.approx(expected, rel=1e-6, abs=1e-6)


@given(pixels(3), st.integers(1, 64), st.integers(1, 64), st.tuples(*[st.integers(0, 255)] * 3))
def test_a_letterbox_is_the_resized_picture_on_a_ground(
    rgb: npt.NDArray[np.uint8], width: int, height: int, pad: tuple[int, int, int]
) -> None:
    left, top, inner_width, inner_height = _image.letterbox_window(rgb.shape[1], rgb.shape[0], (width, height))
    expected = np.empty((height, width, 3), np.uint8)
    expected[:] = pad
    inner = _image.prepare(rgb, resize_px=(inner_width, inner_height))
    expected[top : top + inner_height, left : left + inner_width] = inner
    assert np.array_equal(_image.prepare(rgb, resize_px=(width, height), letterbox=pad), expected)
    assert inner_width == width or inner_height == height


@given(st.data(), pictures(), targets, filters)
def test_a_window_is_a_piece_of_the_whole(
    data: st.DataObject, picture: dict[str, Any], target: tuple[int, int], filter: Any
) -> None:
    left, top = data.draw(st.integers(0, target[0] - 1)), data.draw(st.integers(0, target[1] - 1))
    width, height = data.draw(st.integers(1, target[0] - left)), data.draw(st.integers(1, target[1] - top))
    whole = _image.prepare(**picture, resize_px=target, filter=filter)
    piece = _image.prepare(**picture, resize_px=target, filter=filter, window=(left, top, width, height))
    assert np.array_equal(piece, whole[top : top + height, left : left + width])


PLANES = {
    "rgb": lambda w, h: [(h, 3 * w)],
    "bgr": lambda w, h: [(h, 3 * w)],
    "rgba": lambda w, h: [(h, 4 * w)],
    "grey": lambda w, h: [(h, w)],
    "nv12": lambda w, h: [(h, w), ((h + 1) // 2, 2 * ((w + 1) // 2))],
    "nv21": lambda w, h: [(h, w), ((h + 1) // 2, 2 * ((w + 1) // 2))],
    "i420": lambda w, h: [(h, w), ((h + 1) // 2, (w + 1) // 2), ((h + 1) // 2, (w + 1) // 2)],
    "yuyv": lambda w, h: [(h, 4 * ((w + 1) // 2))],
}


@st.composite
def two_pictures(draw: st.DrawFn) -> tuple[str, int, int, list[Any], list[Any]]:
    """Two of one format and size, in buffers of their own strides: noise apart, nearly alike, or one sample apart."""
    format, width, height = draw(st.sampled_from(sorted(PLANES))), draw(sides), draw(sides)
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    kind = draw(st.sampled_from(["noise", "extremes", "near", "one sample"]))
    pair: tuple[list[Any], list[Any]] = ([], [])
    for rows, row_bytes in PLANES[format](width, height):
        one = random.integers(0, 256, (rows, row_bytes), dtype=np.uint8)
        if kind == "extremes":
            one = (one & 1) * np.uint8(255)
        other = one.copy()
        if kind == "one sample":
            other[random.integers(rows), random.integers(row_bytes)] = random.integers(256)
        elif kind == "near":
            other = np.clip(one + random.integers(-5, 6, one.shape), 0, 255).astype(np.uint8)
        else:
            other = random.permutation(one.reshape(-1)).reshape(one.shape)
        for side, plane in zip(pair, (one, other), strict=True):
            padded = random.integers(0, 256, (rows, row_bytes + draw(st.integers(0, 9))), dtype=np.uint8)
            padded[:, :row_bytes] = plane
            side.append(padded[:, :row_bytes])
    return format, width, height, *pair


@given(two_pictures())
def test_the_difference_of_two_pictures_is_the_twins_in_every_kernel(
    pair: tuple[str, int, int, list[Any], list[Any]],
) -> None:
    format, width, height, one, other = pair
    expected = twin.tile_difference(one, other, format)
    for kernel in KERNELS:
        _image.set_kernel(kernel)
        got = _image.tile_difference(one, other, format=format, width=width, height=height)  # type: ignore[arg-type]
        assert got == expected, kernel
