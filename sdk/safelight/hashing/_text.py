"""256 bits as text and back. No message carries the text: a hash is sensitive."""

from __future__ import annotations

import base64
import binascii

from safelight.errors import UnsupportedInputError, UsageError

DIGEST_BYTES = 32
_HEX_DIGITS = 2 * DIGEST_BYTES
_BASE64_DIGITS = 44


def check_digest(digest: bytes) -> bytes:
    """Return ``digest`` when it is 32 bytes."""
    if not isinstance(digest, bytes):
        raise UnsupportedInputError(f"bits: got {type(digest).__name__}, expected bytes; use parse() for text")
    if len(digest) != DIGEST_BYTES:
        raise UsageError(f"bits: got {len(digest)} bytes, expected {DIGEST_BYTES}; give one whole hash")
    return digest


def to_base64(digest: bytes) -> str:
    """Standard alphabet, padded: what services take in JSON."""
    return base64.b64encode(digest).decode("ascii")


def from_text(text: str) -> bytes:
    """32 bytes from 64 hexadecimal or 44 base64 digits, told apart by their number."""
    if not isinstance(text, str):
        raise UnsupportedInputError(f"text: got {type(text).__name__}, expected str; decode bytes as ASCII first")
    wanted = f"{_HEX_DIGITS} hexadecimal or {_BASE64_DIGITS} base64 digits without spaces"
    if len(text) not in (_HEX_DIGITS, _BASE64_DIGITS):
        raise UsageError(f"text: got {len(text)} characters, expected {wanted}; strip the line and give one hash")
    try:
        digest = binascii.unhexlify(text) if len(text) == _HEX_DIGITS else base64.b64decode(text, validate=True)
    except ValueError:
        digest = b""
    if len(digest) != DIGEST_BYTES or (len(text) == _BASE64_DIGITS and to_base64(digest) != text):
        raise UsageError(f"text: got a character that does not belong there, expected {wanted}; check the source")
    return digest
