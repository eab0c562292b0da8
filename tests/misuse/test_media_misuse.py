"""Does every wrong argument raise one of our errors that says what was got, what was expected, what next?"""

from __future__ import annotations

import io
import pathlib
import re
from typing import Any

import numpy as np
import pytest
from safelight.errors import MediaNotFoundError, SafelightError, UnsupportedInputError, UsageError
from safelight.media import Frame, load_image

GOOD = np.zeros((20, 30, 3), np.uint8)


class Nothing:
    pass


class ReadsText:
    def tell(self) -> int:
        return 0

    def seek(self, at: int) -> int:
        return at

    def read(self, size: int) -> str:
        return "text"


class ReadsLater(ReadsText):
    async def read(self, size: int) -> bytes:  # type: ignore[override]
        return b""


class OnlyReads:
    def read(self, size: int) -> bytes:
        return b"x"


class Pipe(io.RawIOBase):
    def readable(self) -> bool:
        return True


@pytest.mark.parametrize(
    "source",
    [
        None,
        0,
        1.5,
        True,
        [],
        [[0, 0, 0]],
        {},
        Nothing(),
        Nothing,
        io.BytesIO,
        io.StringIO("text"),
        ReadsText(),
        ReadsLater(),
        OnlyReads(),
        Pipe(),
        np.zeros((20, 30, 3), np.float32),
        np.zeros((20, 30, 3), np.int8),
        np.zeros((20, 30, 3), np.uint16),
        np.zeros((20, 30, 3), bool),
        np.zeros((3, 20, 30), np.uint8),
        np.zeros((20, 30, 1), np.uint8),
        np.zeros((20, 30, 2), np.uint8),
        np.zeros((20, 30, 5), np.uint8),
        np.zeros((2, 20, 30, 3), np.uint8),
        np.zeros(20, np.uint8),
        np.uint8(3),
        np.array(3, np.uint8),
        np.array([None, 1], object),
    ],
    ids=lambda s: type(s).__name__ + str(getattr(s, "shape", "")) + str(getattr(s, "dtype", "")),
)
def test_wrong_source(source: Any) -> None:
    with pytest.raises(UnsupportedInputError) as caught:
        load_image(source)
    assert isinstance(caught.value, TypeError)
    assert re.fullmatch(r"source: got .+, expected .+; .+", str(caught.value)), str(caught.value)


@pytest.mark.parametrize("color", ["", "rgb", "RGBA", "YUV", None, 3])
def test_wrong_color(color: Any) -> None:
    with pytest.raises(UsageError, match="expected 'RGB' or 'BGR'"):
        load_image(GOOD, color=color)


@pytest.mark.parametrize("short_side_px", [0, -1, 2.0, True, "224"])
def test_wrong_short_side(short_side_px: Any) -> None:
    with pytest.raises(UsageError, match="short_side_px"):
        load_image(GOOD, short_side_px=short_side_px)


def test_wrong_arguments_are_wrong_whatever_the_content() -> None:
    with pytest.raises(UsageError):
        load_image(b"not media", color="XYZ")


def test_closed_file(tmp_path: pathlib.Path) -> None:
    closed = io.BytesIO(b"x")
    closed.close()
    with pytest.raises(UsageError, match="closed file"):
        load_image(closed)


def test_file_opened_for_writing_only(tmp_path: pathlib.Path) -> None:
    with open(tmp_path / "w", "wb") as file, pytest.raises(MediaNotFoundError):
        load_image(file)


def test_text_file(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "t"
    path.write_text("text")
    with open(path, encoding="utf-8") as file, pytest.raises(UnsupportedInputError, match="binary"):
        load_image(file)  # type: ignore[arg-type]


def test_missing_file_is_a_standard_error_too(tmp_path: pathlib.Path) -> None:
    with pytest.raises(FileNotFoundError):
        load_image(tmp_path / "missing")
    with pytest.raises(MediaNotFoundError, match="directory"):
        load_image(tmp_path)
    with pytest.raises(MediaNotFoundError):
        load_image("")


def test_a_path_object_that_fails() -> None:
    class Bad:
        def __fspath__(self) -> Any:
            return 3

    class Worse:
        def __fspath__(self) -> str:
            raise RuntimeError("secret")

    for source in (Bad(), Worse()):
        with pytest.raises(SafelightError) as caught:
            load_image(source)  # type: ignore[arg-type]
        assert "secret" not in str(caught.value)
        assert caught.value.__context__ is None


@pytest.mark.parametrize("name", ["containers", "motion_photo"])
@pytest.mark.parametrize("value", ["", "yes", None, 3, True, ["hold"]])
def test_wrong_choices(name: str, value: Any) -> None:
    with pytest.raises(UsageError, match=f"{name}: got an unknown choice, expected one of"):
        load_image(GOOD, **{name: value})


SIZE = {"width": 30, "height": 20}


@pytest.mark.parametrize(
    "data",
    [None, 3, "text", [1, 2], Nothing(), io.BytesIO(), GOOD.astype(np.int8), GOOD.astype(np.uint16), GOOD[:, ::2]],
    ids=lambda d: type(d).__name__ + str(getattr(d, "dtype", "")),
)
def test_wrong_frame_data(data: Any) -> None:
    with pytest.raises(UnsupportedInputError, match=r"data: got .+, expected .+; .+"):
        Frame(data, width=15, height=20)


@pytest.mark.parametrize(
    "arguments",
    [
        {"format": "yv12"},
        {"format": "RGB"},
        {"format": None},
        {"format": 3},
        {"width": 0},
        {"width": -1},
        {"width": 30.0},
        {"width": True},
        {"width": 1 << 30},
        {"height": 0},
        {"height": None},
        {"rotation": 45},
        {"rotation": -90},
        {"rotation": 360},
        {"rotation": "90"},
        {"rotation": True},
        {"color_range": "video"},
        {"color_range": None},
        {"color_range": "limited"},
        {"timestamp_ms": -1},
        {"timestamp_ms": 1.5},
        {"timestamp_ms": True},
        {"stride": 0},
        {"stride": 89},
        {"stride": -90},
        {"stride": 90.0},
        {"stride": True},
        {"stride": ()},
        {"stride": (90, 90)},
        {"stride": ("90",)},
        {"stride": 1 << 40},
        {"data": bytes(1_799)},
        {"data": bytes(1_801)},
        {"data": b""},
        {"stride": 100},
        {"format": "nv21"},
        {"format": "nv21", "stride": (30,)},
        {"format": "i420", "stride": (30, 15)},
        {"format": "i420", "stride": (30, 15, 14)},
    ],
    ids=str,
)
def test_wrong_frame_values(arguments: dict[str, Any]) -> None:
    given = {"data": bytes(1_800), "format": "rgb", **SIZE, **arguments}
    with pytest.raises(UsageError, match=r"\w+: (got|expected) .+; .+"):
        Frame(given.pop("data"), given.pop("format"), **given)


def test_a_frame_whose_buffer_has_gone() -> None:
    import mmap

    buffer = mmap.mmap(-1, 1_800)
    frame = Frame(buffer, **SIZE)  # type: ignore[arg-type]
    buffer.close()
    with pytest.raises(UnsupportedInputError, match="data: got mmap"):
        load_image(frame)
