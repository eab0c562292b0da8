"""One raw picture of a camera or a decoder, as it lies in memory.

A :class:`Frame` says where every byte is and copies none: ``load_image`` reads the planes once, in the native
core, which writes upright RGB.

**Colour**, for the YUV formats, BT.601, the same formula everywhere. With ``y`` in 0-255, ``u = Cb - 128``,
``v = Cr - 128``, each result clipped to 0-255:

* ``full`` range (JPEG, Android's camera): ``R = y + 1.402 v``, ``G = y - 0.344136 u - 0.714136 v``,
  ``B = y + 1.772 u``.
* ``limited`` range (most webcams and video): ``y`` becomes ``(y - 16) * 255 / 219``, ``u`` and ``v`` are
  multiplied by ``255 / 224``, then as above. A ``grey`` frame of limited range is that ``y``.

Computed in whole numbers, within 1 of these formulas and the same on every CPU. A chroma sample counts for all
the pixels it covers, without interpolation.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from safelight import _image
from safelight.errors import UnsupportedInputError, UsageError

if TYPE_CHECKING:
    from typing_extensions import Buffer

FrameFormat = Literal["rgb", "bgr", "rgba", "grey", "nv21", "nv12", "i420", "yuyv"]

_PACKED: Final = {"rgb": 3, "bgr": 3, "rgba": 4, "grey": 1}
_YUV: Final = ("nv21", "nv12", "i420", "yuyv")
_FORMATS: Final = (*_PACKED, *_YUV)
_MAX_SIDE_PX: Final = 1 << 20  # keeps all arithmetic on sizes far inside 64 bits; Limits refuses much earlier


class Plane(NamedTuple):
    """Where one plane lies, in bytes from the start of the buffer."""

    offset: int
    stride: int
    row_bytes: int
    rows: int


@dataclass(frozen=True, slots=True, eq=False, repr=False, init=False)
class Frame:
    """A raw picture: the host's own buffer and how to read it. Nothing is copied here.

    The buffer must stay unchanged until ``load_image`` (or a check) has returned; then it may be reused.

    Attributes:
        data: any object with the buffer protocol, contiguous, of single bytes: ``bytes``, ``bytearray``,
            ``memoryview``, ``uint8`` ndarray, ``mmap`` … It holds the planes one behind the other and nothing
            else. Its last row may end with its last pixel instead of being padded (as Android hands it over).
        format: ``rgb``, ``bgr``, ``rgba`` (not premultiplied), ``grey``; or YUV: ``nv21`` (Y, then V and U in
            pairs, halved both ways: Android's camera), ``nv12`` (U before V), ``i420`` (Y, U, V planes),
            ``yuyv`` (Y U Y V, halved sideways: V4L2). Of an odd size the halves are rounded up.
        width: pixels a row, as stored.
        height: rows, as stored.
        stride: bytes from one row to the next; ``None`` when rows are not padded; one number for every plane,
            or a tuple with one a plane (``i420`` 3, ``nv21`` and ``nv12`` 2, the others 1). A single number
            gives ``nv21`` and ``nv12`` the same stride in both planes and ``i420`` half of it, rounded up, for U
            and V.
        rotation: degrees clockwise by which the picture must be turned to be upright (as Android's
            ``rotationDegrees``): 0, 90, 180 or 270.
        color_range: ``full`` or ``limited``, of YUV and grey.
        timestamp_ms: when it was taken, on any clock of the host's that only goes forward; handed on as it is.

    Raises:
        UnsupportedInputError: ``data`` has no contiguous buffer of bytes, or an argument is of a wrong type.
        UsageError: a value is out of range, or the length is not what format, size and stride make.

    Example:
        >>> from safelight.media import Frame, load_image
        >>> frame = Frame(bytes(640 * 480 * 3 // 2), "nv21", width=640, height=480, rotation=90)
        >>> frame
        <Frame nv21 640x480, rotation 90>
        >>> with load_image(frame) as pictures:
        ...     list(pictures)
        [<Image 480x640>]
    """

    data: Buffer
    format: FrameFormat
    width: int
    height: int
    stride: int | tuple[int, ...] | None
    rotation: Literal[0, 90, 180, 270]
    color_range: Literal["full", "limited"]
    timestamp_ms: int | None
    planes: tuple[Plane, ...]

    def __init__(
        self,
        data: Buffer,
        format: FrameFormat = "rgb",
        *,
        width: int,
        height: int,
        stride: int | tuple[int, ...] | None = None,
        rotation: Literal[0, 90, 180, 270] = 0,
        color_range: Literal["full", "limited"] = "full",
        timestamp_ms: int | None = None,
    ) -> None:
        if not isinstance(format, str) or format not in _FORMATS:
            raise UsageError(f"format: got an unknown one, expected one of {', '.join(_FORMATS)}; name the layout")
        for name, value in (("width", width), ("height", height)):
            if not _whole(value) or not 1 <= value <= _MAX_SIDE_PX:
                raise UsageError(
                    f"{name}: got {_shown(value)}, expected a whole number of pixels from 1 to {_MAX_SIDE_PX}; "
                    "give the stored size"
                )
        if not _whole(rotation) or rotation not in (0, 90, 180, 270):
            raise UsageError(
                f"rotation: got {_shown(rotation)}, expected 0, 90, 180 or 270 degrees clockwise; give one of them"
            )
        if color_range not in ("full", "limited"):
            raise UsageError("color_range: got an unknown one, expected 'full' or 'limited'; ask the camera")
        if color_range == "limited" and format in ("rgb", "bgr", "rgba"):
            raise UsageError(
                f"color_range: got 'limited' with {format}, expected 'full'; only YUV and grey have ranges"
            )
        if timestamp_ms is not None and (not _whole(timestamp_ms) or timestamp_ms < 0):
            raise UsageError(
                f"timestamp_ms: got {_shown(timestamp_ms)}, expected None or a whole number from 0; round it"
            )
        planes = _layout(format, width, height, stride)
        _check_length(_length(data), planes)
        for name, given in (
            ("data", data),
            ("format", format),
            ("width", width),
            ("height", height),
            ("stride", stride),
            ("rotation", rotation),
            ("color_range", color_range),
            ("timestamp_ms", timestamp_ms),
            ("planes", planes),
        ):
            object.__setattr__(self, name, given)

    def __repr__(self) -> str:
        return f"<Frame {self.format} {self.width}x{self.height}, rotation {self.rotation}>"


def _whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _shown(value: object) -> str:
    return str(value) if _whole(value) else type(value).__name__


def _length(data: object) -> int:
    problem = ""
    length = 0
    try:
        # Released at once: a view that lives on would keep the host from resizing its bytearray.
        with memoryview(data) as view:  # type: ignore[arg-type]
            if view.itemsize != 1 or view.format.lstrip("@=<>!") not in ("B", "c"):
                problem = "items that are not unsigned bytes"
            elif not view.c_contiguous:
                problem = "a buffer with gaps in it"
            length = view.nbytes
    except (TypeError, BufferError, ValueError):
        problem = "no buffer that can be read"
    if problem:
        raise UnsupportedInputError(
            f"data: got {type(data).__name__} with {problem}, expected contiguous bytes, e.g. bytes, a memoryview "
            "or a uint8 array; pass the camera's buffer and its stride, or an [H, W, 3] array to load_image"
        )
    return length


def _layout(format: str, width: int, height: int, stride: object) -> tuple[Plane, ...]:
    half_width, half_height = (width + 1) // 2, (height + 1) // 2
    if format in _PACKED:
        shapes = [(width * _PACKED[format], height)]
    elif format == "yuyv":
        shapes = [(4 * half_width, height)]
    elif format == "i420":
        shapes = [(width, height), (half_width, half_height), (half_width, half_height)]
    else:
        shapes = [(width, height), (2 * half_width, half_height)]
    strides = _strides(format, stride, [row_bytes for row_bytes, _ in shapes])
    planes: list[Plane] = []
    offset = 0
    for step, (row_bytes, rows) in zip(strides, shapes, strict=True):
        planes.append(Plane(offset, step, row_bytes, rows))
        offset += step * rows
    return tuple(planes)


def _strides(format: str, stride: object, row_bytes: list[int]) -> list[int]:
    if stride is None:
        return row_bytes
    if isinstance(stride, int) and not isinstance(stride, bool):
        given = [stride] * len(row_bytes)
        if format == "i420":
            given[1:] = [(stride + 1) // 2] * 2
    elif isinstance(stride, (tuple, list)) and len(stride) == len(row_bytes) and all(_whole(s) for s in stride):
        given = list(stride)
    else:
        raise UsageError(
            f"stride: expected None, a whole number of bytes, or a tuple of {len(row_bytes)} for {format}; "
            "give the bytes from one row to the next"
        )
    for got, needed in zip(given, row_bytes, strict=True):
        if not needed <= got <= 8 * _MAX_SIDE_PX:
            raise UsageError(
                f"stride: got {got}, expected at least the {needed} bytes that a row of this {format} plane has; "
                "give the bytes from one row to the next"
            )
    return given


def _check_length(length: int, planes: tuple[Plane, ...]) -> None:
    last = planes[-1]
    padded = last.offset + last.stride * last.rows
    unpadded = padded - last.stride + last.row_bytes
    if length not in (padded, unpadded):
        expected = f"{padded}" if padded == unpadded else f"{padded} (or {unpadded}, the last row not padded)"
        raise UsageError(
            f"data: got {length} bytes, expected {expected} for this format, size and stride; check them, or cut the "
            "buffer to one frame"
        )


# --- to pixels --------------------------------------------------------------------------------------------------


def to_pixels(frame: Frame) -> npt.NDArray[np.uint8]:
    """The picture, upright, as a fresh array.

    Returns:
        ``uint8[H, W, 3]`` RGB, or ``uint8[H, W, 4]`` RGBA for ``rgba``.
    """
    planes = plane_rows(frame)
    if frame.format == "rgba":
        stored = planes[0].reshape(frame.height, frame.width, 4)
        return np.array(np.rot90(stored, -frame.rotation // 90), order="C")  # always a copy
    if frame.format == "grey" and frame.color_range == "limited":
        planes = [_FULL_RANGE_LUMA[planes[0]]]
    return _image.to_rgb(
        planes,
        format=frame.format,
        width=frame.width,
        height=frame.height,
        yuv="bt601_limited" if frame.color_range == "limited" else "bt601_full",
        rotation=frame.rotation,
    )


def plane_rows(frame: Frame) -> list[npt.NDArray[np.uint8]]:
    """The frame's planes as they lie in its buffer: read-only views ``uint8[rows, bytes]`` without padding.

    Raises:
        UsageError: the host has resized its buffer since the frame was made.
    """
    # From here on it cannot, `flat` holds it.
    _length(frame.data)
    flat = np.frombuffer(memoryview(frame.data), dtype=np.uint8)
    _check_length(flat.size, frame.planes)
    return [_rows(flat, plane) for plane in frame.planes]


def _rows(flat: npt.NDArray[np.uint8], plane: Plane) -> npt.NDArray[np.uint8]:
    """A view of a plane without its padding."""
    return np.lib.stride_tricks.as_strided(
        flat[plane.offset :], shape=(plane.rows, plane.row_bytes), strides=(plane.stride, 1), writeable=False
    )


_FULL_RANGE_LUMA: Final = np.clip(np.rint((np.arange(256) - 16) * (255 / 219)), 0, 255).astype(np.uint8)
