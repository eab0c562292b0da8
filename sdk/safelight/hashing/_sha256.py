"""SHA-256: the very same bytes, and nothing else."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import BinaryIO

from safelight.errors import UnsupportedInputError
from safelight.hashing._text import check_digest, from_text, to_base64

_CHUNK_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Sha256Hash:
    """The SHA-256 of some bytes.

    Attributes:
        bits: 32 bytes; not shown when printed.
    """

    bits: bytes = field(repr=False)

    def __post_init__(self) -> None:
        check_digest(self.bits)

    def hex(self) -> str:
        """64 lower-case hexadecimal digits."""
        return self.bits.hex()

    def base64(self) -> str:
        """44 base64 digits."""
        return to_base64(self.bits)

    @classmethod
    def parse(cls, text: str) -> Sha256Hash:
        """Read hexadecimal or base64 text.

        Raises:
            UsageError: the text is neither.
        """
        return cls(from_text(text))


def sha256(source: bytes | bytearray | memoryview | BinaryIO) -> Sha256Hash:
    """Hash bytes, or a binary file from where it stands to its end, without holding it in memory.

    >>> sha256(b"").hex()[:8]
    'e3b0c442'

    Raises:
        UnsupportedInputError: neither bytes nor a file opened in binary mode.
    """
    if isinstance(source, (bytes, bytearray, memoryview)):
        return Sha256Hash(hashlib.sha256(source).digest())
    if not hasattr(source, "read"):
        raise UnsupportedInputError(
            f"source: got {type(source).__name__}, expected bytes or a binary file; open the file with mode 'rb'"
        )
    digest = hashlib.sha256()
    while chunk := source.read(_CHUNK_BYTES):
        if not isinstance(chunk, bytes):
            raise UnsupportedInputError("source: got a file opened as text, expected binary; open it with mode 'rb'")
        digest.update(chunk)
    return Sha256Hash(digest.digest())
