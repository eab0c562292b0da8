"""Where a body waits for its verdict: in memory, and beyond a bound on disk, sealed.

Nobody may find a picture on this disk afterwards. So what does not fit in memory is sealed block by block
(ChaCha20-Poly1305) with a key that is made for this one body and is in memory only, in a file that has no name from
the beginning (``O_TMPFILE``, or unlinked at once): it goes when it is closed, also when the process is killed, and
what a disk keeps of it then is noise.
"""

from __future__ import annotations

import io
import os
import secrets
import tempfile
import threading
from typing import Any, Final

from nacl import bindings
from nacl.exceptions import CryptoError

from safelight.errors import UploadBusyError, UploadError
from safelight.gates.upload.limits import UploadLimits

BLOCK_BYTES: Final = 1 << 16
_SEAL_BYTES: Final = 16
_BUSY: Final = "body: there is no room for it now, expected some; come back later, or raise UploadLimits."


class Budget:
    """What all bodies together may take; safe to use from several threads."""

    def __init__(self, limits: UploadLimits) -> None:
        self._left = {"memory": limits.total_memory_bytes, "disk": limits.total_disk_bytes}
        self._all = dict(self._left)
        self._lock = threading.Lock()

    def take(self, what: str, count: int) -> bool:
        """Take bytes of ``memory`` or ``disk``, if there are that many left."""
        with self._lock:
            if self._left[what] < count:
                return False
            self._left[what] -= count
            return True

    def give(self, what: str, count: int) -> None:
        """Give bytes back."""
        with self._lock:
            self._left[what] += count

    def used(self, what: str) -> int:
        """How many bytes are taken now."""
        with self._lock:
            return self._all[what] - self._left[what]


class Spool:
    """Bytes in the order in which they were written; then read anywhere.

    Written by one thread; read by several once :meth:`finish` was called.

    Raises:
        UploadBusyError: in :meth:`write`, there is no room, or the disk is full.
    """

    def __init__(self, budget: Budget, limits: UploadLimits) -> None:
        self._budget, self._limits = budget, limits
        self._blocks: list[bytes | int] = []  # a block in memory, or its number on disk
        self._pending = bytearray()
        self._memory = self._disk = 0
        self._file: Any = None
        self._key = b""
        self.size = 0

    @property
    def on_disk(self) -> bool:
        """Whether a part of it is on disk, sealed."""
        return self._file is not None

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Append."""
        self._pending += data
        self.size += len(data)
        if len(self._pending) < BLOCK_BYTES:
            return
        whole = len(self._pending) - len(self._pending) % BLOCK_BYTES
        with memoryview(self._pending) as view:
            blocks = [bytes(view[at : at + BLOCK_BYTES]) for at in range(0, whole, BLOCK_BYTES)]
        del self._pending[:whole]
        for block in blocks:
            self._store(block)

    def finish(self) -> None:
        """Nothing more is written."""
        if self._pending:
            self._store(bytes(self._pending))
            self._pending.clear()

    def read_at(self, at: int, count: int) -> bytes:
        """Up to ``count`` bytes from ``at``."""
        out = []
        count = min(count, self.size - at)
        while count > 0:
            number, offset = divmod(at, BLOCK_BYTES)
            piece = self._load(number)[offset : offset + count]
            out.append(piece)
            at += len(piece)
            count -= len(piece)
        return out[0] if len(out) == 1 else b"".join(out)

    def in_memory(self, at: int, count: int) -> bool:
        """Whether these bytes can be read without touching the disk."""
        if self._file is None or count <= 0:
            return True
        last = (min(at + count, self.size) - 1) // BLOCK_BYTES
        return all(isinstance(block, bytes) for block in self._blocks[at // BLOCK_BYTES : last + 1])

    def view(self, at: int, count: int) -> io.BufferedReader:
        """A seekable file over some of the bytes."""
        return io.BufferedReader(_View(self, at, count), BLOCK_BYTES)

    def close(self) -> None:
        """Let go of everything. Safe to call twice."""
        self._pending = bytearray()
        self._blocks = []
        self._key = b""
        if self._file is not None:
            self._file.close()
            self._file = None
        self._budget.give("memory", self._memory)
        self._budget.give("disk", self._disk)
        self._memory = self._disk = self.size = 0

    def _store(self, block: bytes) -> None:
        if self._memory + len(block) <= self._limits.memory_bytes and self._budget.take("memory", len(block)):
            self._memory += len(block)
            self._blocks.append(block)
            return
        size = BLOCK_BYTES + _SEAL_BYTES
        if not self._budget.take("disk", size):
            raise UploadBusyError(_BUSY)
        self._disk += size
        problem = False
        try:
            if self._file is None:
                self._file = _nameless_file()
                self._key = secrets.token_bytes(bindings.crypto_aead_chacha20poly1305_ietf_KEYBYTES)
            number = self._disk // size - 1
            sealed = bindings.crypto_aead_chacha20poly1305_ietf_encrypt(block, None, _nonce(number), self._key)
            view = memoryview(sealed)
            at = number * size
            while view:
                done = os.pwrite(self._file.fileno(), view, at)
                at, view = at + done, view[done:]
            self._blocks.append(number)
        except OSError:
            problem = True  # its message names a path: not chained
        if problem:
            raise UploadBusyError(_BUSY)

    def _load(self, number: int) -> bytes:
        block = self._blocks[number]
        if isinstance(block, bytes):
            return block
        size = BLOCK_BYTES + _SEAL_BYTES
        opened: bytes | None = None
        try:
            sealed = os.pread(self._file.fileno(), size, block * size)
            opened = bindings.crypto_aead_chacha20poly1305_ietf_decrypt(sealed, None, _nonce(block), self._key)
        except (OSError, CryptoError, ValueError):
            opened = None
        if opened is None:
            raise UploadError("body: what waited on disk is not what was put there, expected the same; send it again.")
        return opened


class _View(io.RawIOBase):
    def __init__(self, spool: Spool, at: int, count: int) -> None:
        super().__init__()
        self._spool, self._start, self._count, self._position = spool, at, count, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._count}[whence]
        self._position = max(0, base + offset)
        return self._position

    def tell(self) -> int:
        return self._position

    def readinto(self, buffer: Any) -> int:
        count = min(len(buffer), self._count - self._position)
        if count <= 0:
            return 0
        data = self._spool.read_at(self._start + self._position, count)
        buffer[: len(data)] = data
        self._position += len(data)
        return len(data)


def _nonce(number: int) -> bytes:
    return number.to_bytes(bindings.crypto_aead_chacha20poly1305_ietf_NPUBBYTES, "little")


def _nameless_file() -> Any:
    return tempfile.TemporaryFile(buffering=0, prefix="safelight-")
