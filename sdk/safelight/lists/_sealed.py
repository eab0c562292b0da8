"""Files that only this device's key opens, and memory that stays out of core dumps.

libsodium's secretstream (XChaCha20-Poly1305) in chunks: a changed, reordered or missing byte anywhere, and a file
under another name, is an error before its content is used. Every chunk is bound to what the file is for.

Decrypted lists go into anonymous memory that the kernel leaves out of core dumps (``MADV_DONTDUMP``). The chunk in
passing, 64 KiB at a time, goes through ordinary memory first; whoever can read the process can read the list.
"""

from __future__ import annotations

import hashlib
import mmap
import struct
from collections.abc import Iterator
from contextlib import suppress
from typing import Any, BinaryIO, Final

from safelight.errors import ListDamagedError, MissingExtraError

MAGIC: Final = b"SLSEAL1\n"
CHUNK_BYTES: Final = 64 << 10
_LENGTH: Final = struct.Struct("<Q")
#: Far above any list; stops a damaged length from asking for all memory.
MAX_PLAIN_BYTES: Final = 1 << 31


def seal(key: bytes, purpose: str, data: bytes | memoryview) -> Iterator[bytes]:
    """The parts of a sealed file, to be written one after the other.

    Args:
        key: 32 bytes.
        purpose: what the file is for; :func:`unseal` must be given the same.
        data: what to seal.
    """
    nacl = _bindings()
    view = memoryview(data)
    head = MAGIC + _LENGTH.pack(len(view))
    state = nacl.crypto_secretstream_xchacha20poly1305_state()
    yield head + nacl.crypto_secretstream_xchacha20poly1305_init_push(state, key)
    bound = _bound(head, purpose)
    for start in range(0, max(len(view), 1), CHUNK_BYTES):
        chunk = bytes(view[start : start + CHUNK_BYTES])
        last = start + CHUNK_BYTES >= len(view)
        tag = (
            nacl.crypto_secretstream_xchacha20poly1305_TAG_FINAL
            if last
            else nacl.crypto_secretstream_xchacha20poly1305_TAG_MESSAGE
        )
        yield nacl.crypto_secretstream_xchacha20poly1305_push(state, chunk, bound, tag)


def unseal(key: bytes, purpose: str, file: BinaryIO, *, lock: bool = False) -> SecretMemory:
    """Open a sealed file into anonymous memory.

    Args:
        key: 32 bytes.
        purpose: as given to :func:`seal`.
        file: at its start.
        lock: keep the memory out of swap as well, where the system allows it.

    Raises:
        ListDamagedError: a byte is not as it was written, or key or purpose are others.
    """
    nacl = _bindings()
    head = file.read(len(MAGIC) + _LENGTH.size)
    if len(head) != len(MAGIC) + _LENGTH.size or not head.startswith(MAGIC):
        raise _damaged(purpose)
    (length,) = _LENGTH.unpack(head[len(MAGIC) :])
    start = file.read(nacl.crypto_secretstream_xchacha20poly1305_HEADERBYTES)
    if length > MAX_PLAIN_BYTES or len(start) != nacl.crypto_secretstream_xchacha20poly1305_HEADERBYTES:
        raise _damaged(purpose)
    state = nacl.crypto_secretstream_xchacha20poly1305_state()
    nacl.crypto_secretstream_xchacha20poly1305_init_pull(state, start, key)
    bound = _bound(head, purpose)
    memory: SecretMemory | None = None
    at = 0
    try:
        while True:
            sealed = file.read(CHUNK_BYTES + nacl.crypto_secretstream_xchacha20poly1305_ABYTES)
            try:
                chunk, tag = nacl.crypto_secretstream_xchacha20poly1305_pull(state, sealed, bound)
            except Exception:  # noqa: BLE001 - libsodium's error or the binding's check of lengths
                chunk, tag = None, None
            if chunk is None or at + len(chunk) > length:
                raise _damaged(purpose)
            if memory is None:
                # Only now: the first chunk has proved that the length is what was written.
                memory = SecretMemory(length, lock=lock)
            memory.write(at, chunk)
            at += len(chunk)
            if tag == nacl.crypto_secretstream_xchacha20poly1305_TAG_FINAL:
                break
        if at != length or file.read(1):
            raise _damaged(purpose)
    except BaseException:
        if memory is not None:
            memory.close()
        raise
    return memory


class SecretMemory:
    """Anonymous memory, left out of core dumps, wiped when closed.

    Attributes:
        locked: whether it is also kept out of swap.
    """

    def __init__(self, size: int, *, lock: bool = False) -> None:
        self._size = size
        self._map = mmap.mmap(-1, max(size, 1))
        if hasattr(mmap, "MADV_DONTDUMP"):
            self._map.madvise(mmap.MADV_DONTDUMP)
        self.locked = lock and _lock(self._map)

    def __len__(self) -> int:
        return self._size

    def write(self, at: int, data: bytes) -> None:
        """Put bytes at an offset."""
        self._map[at : at + len(data)] = data

    def view(self) -> memoryview:
        """Read-only view, valid until :meth:`close`."""
        return memoryview(self._map)[: self._size].toreadonly()

    def close(self) -> None:
        """Wipe and give back. While somebody still holds a view, overwrite only; the rest goes with the last view."""
        if self._map.closed:
            return
        nothing = bytes(CHUNK_BYTES)
        for start in range(0, len(self._map), CHUNK_BYTES):
            end = min(start + CHUNK_BYTES, len(self._map))
            self._map[start:end] = nothing[: end - start]
        with suppress(BufferError):
            self._map.close()

    def __repr__(self) -> str:
        return f"<SecretMemory of {self._size} bytes>"


def _lock(memory: mmap.mmap) -> bool:
    import ctypes

    try:
        library = ctypes.CDLL(None, use_errno=True)
        start = ctypes.addressof(ctypes.c_char.from_buffer(memory))
        return bool(library.mlock(ctypes.c_void_p(start), ctypes.c_size_t(len(memory))) == 0)
    except (OSError, AttributeError, TypeError):
        return False


def _bound(head: bytes, purpose: str) -> bytes:
    return hashlib.blake2b(head + purpose.encode(), digest_size=32).digest()


def _damaged(purpose: str) -> ListDamagedError:
    what = purpose.partition(" ")[0]
    return ListDamagedError(
        f"{what} file: it is cut short, changed, or sealed for something else; expected it as this device wrote it; "
        "install again with 'safelight lists update --reinstall'"
    )


def _bindings() -> Any:
    try:
        import nacl.bindings
    except ImportError:
        pass
    else:
        return nacl.bindings
    raise MissingExtraError("PyNaCl is not installed; sealed lists need it: pip install 'safelight[lists]'")
