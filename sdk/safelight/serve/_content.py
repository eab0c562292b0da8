"""What a client hands over by file descriptor becomes a private copy, once, before anything looks at it.

The client still has the file and may write to it; what was checked is the copy. Nothing is mapped: a file that is
made shorter while it is read is a short read here, where a mapping would be a fatal signal.
"""

from __future__ import annotations

import ctypes
import fcntl
import hashlib
import os
import stat
import threading
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

from safelight.serve._wire import READ_BYTES, overwrite


class ContentError(Exception):
    """A file descriptor that is not read. ``type``: a word of the table in docs/serve-protocol.md."""

    def __init__(self, type: str, message: str) -> None:
        super().__init__(message)
        self.type = type


@dataclass(frozen=True, slots=True)
class Copied:
    """A private copy of what a file descriptor held.

    Attributes:
        data: the bytes; to be wiped.
        sealed: whether nobody could change the memory any more when it was read, so that it still holds these bytes.
    """

    data: memoryview
    sealed: bool


class Memory:
    """Where copies go: one place for each thread, kept between pictures, or each would cost the kernel new pages."""

    def __init__(self) -> None:
        self._own = threading.local()

    def take(self, size: int) -> memoryview:
        """So many bytes, zero unless the last one was not wiped; this thread's until it takes again."""
        buffer: bytearray | None = getattr(self._own, "buffer", None)
        if buffer is None or len(buffer) < size:
            buffer = bytearray(size)
            self._own.buffer = buffer if size <= _KEEP_BYTES else None
        return memoryview(buffer)[:size]


def copy_content(fd: int, *, offset: int = 0, size: int | None = None, max_bytes: int, memory: Memory) -> Copied:
    """Read a file that somebody passed. Moves no offset that the client shares.

    Args:
        fd: open for reading, of a regular file or a memfd.
        offset: where to begin, in bytes.
        size: how many bytes; up to the end of the file when ``None``, and then at most ``max_bytes + 1``: what is
            longer than the limit is judged as too large, not cut.
        max_bytes: the limit.
        memory: where the copy goes.

    Raises:
        ContentError: ``FD_REFUSED``: a pipe, a device, a directory, a file that has no size or whose reading may
            never end; ``FD_SHORT``: it holds less than ``size``; ``TOO_LARGE``: ``size`` is above the limit.
    """
    try:
        status = os.fstat(fd)
        sealed = is_sealed(fd)
    except OSError:
        raise _refused("one that cannot be looked at") from None
    if not stat.S_ISREG(status.st_mode):
        raise _refused("one that is no regular file")
    if status.st_size <= 0:  # files of /proc and /sys say so, and some of them wait for ever
        raise _refused("an empty one, or one without a size")
    if _file_system(fd) in _MAY_WAIT_FOR_EVER:
        raise _refused("one of a network or user-space file system")
    if size is not None and size > max_bytes:
        raise ContentError("TOO_LARGE", f"got {size} bytes, expected at most {max_bytes}.")
    if size is not None and offset + size > status.st_size:
        raise ContentError("FD_SHORT", f"got a file shorter than offset and bytes say ({offset} + {size}).")
    wanted = size if size is not None else min(max(status.st_size - offset, 0), max_bytes + 1)
    data = memory.take(wanted)
    done = 0
    try:
        while done < wanted:
            count = os.preadv(fd, [data[done : done + _CHUNK_BYTES]], offset + done)
            if count == 0:
                break
            done += count
    except OSError:
        overwrite(data)
        raise _refused("one that cannot be read") from None
    if done < wanted:
        if size is not None:
            overwrite(data)
            raise ContentError("FD_SHORT", "the file became shorter while it was read.")
        data = data[:done]
    return Copied(data, sealed)


def checked(data: bytearray | memoryview, *, sealed: bool | None) -> dict[str, Any]:
    """What was looked at, for whoever passes it on: its length and SHA-256."""
    return {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest(), "sealed": sealed}


def _refused(what: str) -> ContentError:
    return ContentError(
        "FD_REFUSED",
        f"got {what}, expected a readable regular file of a local file system or a memfd; send the bytes inline.",
    )


def is_sealed(fd: int) -> bool:
    """Sealed against all change. ``F_SEAL_FUTURE_WRITE`` is not enough: mappings made before may still write."""
    try:
        seals = fcntl.fcntl(fd, _F_GET_SEALS)
    except OSError:  # no memfd
        return False
    return seals & _ALL_SEALS == _ALL_SEALS


@cache
def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _file_system(fd: int) -> int:
    """The kernel's number of a file's file system; 0 where it cannot be had."""
    # struct statfs begins with the type, in a word of the machine, and is shorter than this everywhere.
    answer = (ctypes.c_long * 64)()
    if _libc().fstatfs(fd, ctypes.byref(answer)) != 0:
        return 0
    return int(answer[0]) & 0xFFFFFFFF


# linux/fcntl.h
_F_GET_SEALS: Final = 1034
_ALL_SEALS: Final = 0x2 | 0x4 | 0x8  # shrink, grow, write

# linux/magic.h: a client who serves the file itself could keep a thread here waiting.
_MAY_WAIT_FOR_EVER: Final = frozenset(
    {
        0x65735546,  # FUSE, virtiofs too
        0x6969,  # NFS
        0xFF534D42,  # CIFS
        0xFE534D42,  # SMB2
        0x517B,  # SMB
        0x01021997,  # 9p
        0x00C36400,  # Ceph
        0x5346414F,  # AFS
        0x6B414653,  # kAFS
        0x73757245,  # Coda
        0x47504653,  # GPFS
        0x0BD00BD0,  # Lustre
        0x01161970,  # GFS2
        0x7461636F,  # OCFS2
    }
)
_CHUNK_BYTES: Final = 16 * READ_BYTES
#: A 1080p frame in NV21 has 3 MB, a 12-megapixel photograph as JPEG 8 MB at most.
_KEEP_BYTES: Final = 16 << 20
