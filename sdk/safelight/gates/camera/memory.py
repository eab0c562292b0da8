"""A few frames' worth of memory, overwritten as soon as a frame is no longer needed.

Anonymous pages, left out of core dumps where the system can; never a file. What the detectors copy while they look is
theirs: it is freed, not overwritten.
"""

from __future__ import annotations

import mmap
from contextlib import suppress
from typing import TYPE_CHECKING, Final

import numpy as np

from safelight.media.frame import Frame

if TYPE_CHECKING:
    import numpy.typing as npt

_DONT_DUMP: Final = getattr(mmap, "MADV_DONTDUMP", None)


class Slot:
    """Room for one frame."""

    def __init__(self) -> None:
        self._pages: npt.NDArray[np.uint8] = np.zeros(0, np.uint8)
        self.frame: Frame | None = None

    @property
    def size_bytes(self) -> int:
        """How large a frame fits without asking for more."""
        return self._pages.size

    def fill(self, frame: Frame) -> Frame:
        """Copy a frame in; what was here is overwritten.

        Returns:
            The same frame over this slot's memory, good until :meth:`overwrite`.
        """
        self.overwrite()
        given = np.frombuffer(memoryview(frame.data), dtype=np.uint8)
        if given.size > self._pages.size:
            self._pages = _pages(given.size)
        room = self._pages[: given.size]
        room[:] = given
        self.frame = Frame(
            room.data.toreadonly(),
            frame.format,
            width=frame.width,
            height=frame.height,
            stride=tuple(plane.stride for plane in frame.planes),
            rotation=frame.rotation,
            color_range=frame.color_range,
            timestamp_ms=frame.timestamp_ms,
        )
        return self.frame

    def overwrite(self) -> None:
        """Overwrite what is here, also for whoever still has the frame."""
        if self.frame is not None:
            self._pages.fill(0)
            self.frame = None


class FrameMemory:
    """So many slots and no more.

    Args:
        slots: how many frames are kept at once.
        max_bytes: of all of them together.
    """

    def __init__(self, slots: int, max_bytes: int) -> None:
        self._free = [Slot() for _ in range(slots)]
        self._all = tuple(self._free)
        self._max_frame_bytes = max_bytes // slots
        self._closed = False

    @property
    def frames(self) -> int:
        """How many are kept now."""
        return len(self._all) - len(self._free)

    @property
    def size_bytes(self) -> int:
        """Of the memory taken from the system so far."""
        return sum(slot.size_bytes for slot in self._all)

    def fits(self, frame: Frame) -> bool:
        """Whether a frame is not larger than its share."""
        return memoryview(frame.data).nbytes <= self._max_frame_bytes

    def keep(self, frame: Frame) -> Slot:
        """Copy a frame into a free slot. There always is one: who calls this gives slots back first."""
        slot = self._free.pop()
        try:
            slot.fill(frame)
        except BaseException:
            self._free.append(slot)
            raise
        return slot

    def give_back(self, slot: Slot | None) -> None:
        """Overwrite a slot and take it back. After :meth:`close` it is overwritten once more, and stays unused."""
        if slot is not None:
            slot.overwrite()
            if not self._closed:
                self._free.append(slot)

    def close(self) -> None:
        """Overwrite everything, whoever still reads it."""
        self._closed = True
        self._free.clear()
        for slot in self._all:
            slot.overwrite()

    def __repr__(self) -> str:
        return f"<FrameMemory {self.frames} of {len(self._all)}>"


def _pages(size: int) -> npt.NDArray[np.uint8]:
    pages = mmap.mmap(-1, size)
    if _DONT_DUMP is not None:
        with suppress(OSError):  # a system without it dumps nothing of a service with RLIMIT_CORE 0
            pages.madvise(_DONT_DUMP)
    return np.frombuffer(pages, dtype=np.uint8)
