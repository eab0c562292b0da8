"""Native hashing; private. The array is borrowed for the call.

`rows` is [rows, columns] or [rows, columns, bytes of a pixel], dense within a row, rows any distance apart;
`format` and `profile` are positions in FORMATS and PROFILES. Raises UsageError for a wrong value, TypeError for
another dtype. Answers are (position in STATES, quality, 32 bytes): one, or eight when `dihedral`.
"""

from typing import Any, TypeAlias, TypedDict

import numpy as np
import numpy.typing as npt

FORMATS: tuple[str, ...]
PROFILES: tuple[str, ...]
STATES: tuple[str, ...]
MIN_SIDE_PX: int
MAX_SIDE_PX: int
MIN_USABLE_QUALITY: int
PRE_RESIZE_PX: int
MAX_DISTANCE: int
MATCH_DISTANCE: int
MAX_ENTRIES: int
SLOT_COUNTS: tuple[int, int, int]

class _Kernels(TypedDict):
    in_use: str
    available: tuple[str, ...]
    known: tuple[str, ...]

def pdq(
    rows: npt.NDArray[np.uint8],
    format: int,
    profile: int,
    dihedral: bool,
    reduction: int = 1,
    full_width: int = 0,
    full_height: int = 0,
) -> list[tuple[int, int, bytes]]: ...
def kernels() -> _Kernels: ...
def set_kernel(name: str) -> None: ...
def usual_slot_count(count: int) -> int: ...
def index_kernels() -> _Kernels: ...
def set_index_kernel(name: str) -> None: ...

# (id, distance, category or None)
_Found: TypeAlias = tuple[int, int, int | None]

class Index:
    """Borrows `buffer`, any dense readable bytes, until it is destroyed. Raises IndexDamagedError."""

    def __init__(self, buffer: Any) -> None: ...
    @property
    def count(self) -> int: ...
    @property
    def negative_count(self) -> int: ...
    @property
    def profile(self) -> int: ...
    @property
    def slot_count(self) -> int: ...
    @property
    def has_categories(self) -> bool: ...
    @property
    def nbytes(self) -> int: ...
    def verify(self) -> None: ...
    def query(self, bits: bytes, max_distance: int) -> list[_Found]: ...
    def query_many(self, rows: npt.NDArray[np.uint8], max_distance: int) -> list[list[_Found]]: ...

class IndexBuilder:
    """`hashes` and `negatives` are dense uint8[N, 32]. Fill every slot once, in any order and thread, then finish."""

    def __init__(
        self,
        hashes: npt.NDArray[np.uint8],
        ids: npt.NDArray[np.uint64] | None,
        categories: npt.NDArray[np.uint16] | None,
        negatives: npt.NDArray[np.uint8],
        profile: int,
        slot_count: int,
    ) -> None: ...
    def fill_slot(self, slot: int) -> None: ...
    def finish(self) -> npt.NDArray[np.uint8]: ...
