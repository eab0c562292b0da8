"""Native hashing; private. The array is borrowed for the call.

`rows` is [rows, columns] or [rows, columns, bytes of a pixel], dense within a row, rows any distance apart;
`format` and `profile` are positions in FORMATS and PROFILES. Raises UsageError for a wrong value, TypeError for
another dtype. Answers are (position in STATES, quality, 32 bytes): one, or eight when `dihedral`.
"""

from typing import TypedDict

import numpy as np
import numpy.typing as npt

FORMATS: tuple[str, ...]
PROFILES: tuple[str, ...]
STATES: tuple[str, ...]
MIN_SIDE_PX: int
MAX_SIDE_PX: int
MIN_USABLE_QUALITY: int
PRE_RESIZE_PX: int

class _Kernels(TypedDict):
    in_use: str
    available: tuple[str, ...]
    known: tuple[str, ...]

def pdq(rows: npt.NDArray[np.uint8], format: int, profile: int, dihedral: bool) -> list[tuple[int, int, bytes]]: ...
def kernels() -> _Kernels: ...
def set_kernel(name: str) -> None: ...
