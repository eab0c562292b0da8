"""Native image preprocessing; private. Pictures borrow their arrays for the call, answers are fresh arrays.

A picture is `planes` (one uint8 array, or one for each plane of a YUV format) with `format`. Each plane is
[rows, columns, channels] or [rows, bytes]; rows are dense and may lie any distance apart. `width` and `height`
(pixels, as stored) default to the shape of the first plane; give them where rows are padded. `rotation` (degrees
clockwise: 0, 90, 180, 270) makes the picture upright; all other coordinates are of the upright picture.

An answer is [rows, columns, 3] in `order`; a channel value x becomes, with c counted in `order`,
x * multiply[c] + add[c] (float32) or that / scale, rounded half away from zero, + zero_point, clamped (int8, uint8).

Raises UnsupportedInputError for a wrong dtype, shape or layout, UsageError for a wrong value.
"""

from collections.abc import Sequence
from typing import Any, Literal, TypeAlias, TypedDict

import numpy as np
import numpy.typing as npt

_Planes: TypeAlias = npt.NDArray[np.uint8] | Sequence[npt.NDArray[np.uint8]]
_Format: TypeAlias = Literal["rgb", "bgr", "rgba", "grey", "nv21", "nv12", "i420", "yuyv"]
_Yuv: TypeAlias = Literal["bt601_full", "bt601_limited", "bt709_full", "bt709_limited"]
_Filter: TypeAlias = Literal["bilinear", "box", "area", "bilinear_point"]
_Dtype: TypeAlias = Literal["uint8", "int8", "float32"]
_Three: TypeAlias = Sequence[float]

FORMATS: tuple[str, ...]
YUVS: tuple[str, ...]
FILTERS: tuple[str, ...]
MAX_SIDE_PX: int  # of a source picture
MAX_TARGET_PX: int  # of a resized picture
MAX_CHIP_PX: int
DIFFERENCE_TILE_PX: int

class Kernels(TypedDict):
    in_use: str
    available: tuple[str, ...]  # in this build, on this CPU
    known: tuple[str, ...]

def prepare(
    planes: _Planes,
    *,
    resize_px: tuple[int, int],  # width, height
    format: _Format = "rgb",
    width: int | None = None,
    height: int | None = None,
    yuv: _Yuv = "bt601_full",
    rotation: int = 0,
    crop: tuple[float, float, float, float] | None = None,  # left, top, right, bottom; None: all
    window: tuple[int, int, int, int] | None = None,  # left, top, width, height of the resized picture; None: all
    filter: _Filter = "bilinear",
    letterbox: tuple[int, int, int] | None = None,  # the padding's R, G, B; None: the aspect is not kept
    order: Literal["rgb", "bgr"] = "rgb",
    dtype: _Dtype = "uint8",
    multiply: _Three = (1.0, 1.0, 1.0),
    add: _Three = (0.0, 0.0, 0.0),
    scale: float = 1.0,
    zero_point: int = 0,
) -> npt.NDArray[Any]: ...  # dtype[window height, window width, 3]
def to_rgb(
    planes: _Planes,
    *,
    format: _Format = "rgb",
    width: int | None = None,
    height: int | None = None,
    yuv: _Yuv = "bt601_full",
    rotation: int = 0,
) -> npt.NDArray[np.uint8]: ...  # uint8[height, width, 3], upright, fresh
def warp_similarity(
    planes: _Planes,
    *,
    matrix: npt.ArrayLike,  # [2, 3]: picture to chip, [[a, -b, x], [b, a, y]]; pixel centres at 0.5
    chip_px: int,
    format: _Format = "rgb",
    width: int | None = None,
    height: int | None = None,
    yuv: _Yuv = "bt601_full",
    rotation: int = 0,
    order: Literal["rgb", "bgr"] = "rgb",
    dtype: _Dtype = "uint8",
    multiply: _Three = (1.0, 1.0, 1.0),
    add: _Three = (0.0, 0.0, 0.0),
    scale: float = 1.0,
    zero_point: int = 0,
) -> npt.NDArray[Any]: ...  # dtype[chip_px, chip_px, 3]
def fit_similarity(
    source: Sequence[Sequence[float]] | npt.NDArray[Any],  # [n, 2] (x, y), 2 to 16 points
    target: Sequence[Sequence[float]] | npt.NDArray[Any],
) -> npt.NDArray[np.float64]: ...  # float64[2, 3], least squares
def letterbox_window(
    width: float, height: float, canvas_px: tuple[int, int]
) -> tuple[int, int, int, int]: ...  # left, top, width, height
def tile_difference(
    one: _Planes,
    other: _Planes,
    *,
    format: _Format = "rgb",
    width: int | None = None,
    height: int | None = None,
) -> tuple[int, int]: ...  # greatest mean difference of a tile in 1/256 level, greatest difference of a sample
def kernels() -> Kernels: ...
def set_kernel(name: str) -> None: ...  # for tests: the whole process; "auto" or a name of kernels()
