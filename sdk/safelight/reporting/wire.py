"""The words between a device and a collector: sealed records of one size, and JSON around them. No I/O here.

Bytes are standard base64 with padding in JSON.

A record is sealed to the collector's X25519 key when it is made (libsodium's sealed box), so that the device itself
cannot read it back, and signed with the device's Ed25519 key of this epoch. docs/reporting.md has the protocol.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
from typing import Annotated, Final, Literal

import msgspec
from nacl.exceptions import BadSignatureError, CryptoError
from nacl.public import PrivateKey, PublicKey, SealedBox
from nacl.signing import SigningKey, VerifyKey

from safelight.errors import ReportError, UsageError
from safelight.reporting.record import HashRecord, wrong_field

SCHEMA: Final = 1
KEY_BYTES: Final = 32
#: Every record before and after sealing, whatever is in it: its size tells nothing.
PLAIN_BYTES: Final = 976
SEALED_BYTES: Final = PLAIN_BYTES + 48
SIGNATURE_BYTES: Final = 64
MAX_BATCH: Final = 100

RECORD_CONTEXT: Final = b"safelight-record-1\0"
ROTATE_CONTEXT: Final = b"safelight-rotate-1\0"

Hex32 = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{32}$")]
Key = Annotated[bytes, msgspec.Meta(min_length=KEY_BYTES, max_length=KEY_BYTES)]
Signature = Annotated[bytes, msgspec.Meta(min_length=SIGNATURE_BYTES, max_length=SIGNATURE_BYTES)]
Token = Annotated[str, msgspec.Meta(min_length=1, max_length=512)]


class CollectorInfo(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """``GET /v1/collector``: what a device needs to know, to be compared with what its maker configured."""

    schema: Literal[1] = SCHEMA
    sealing_key: Key
    max_batch: Annotated[int, msgspec.Meta(ge=1)]
    record_bytes: int = SEALED_BYTES


class KeyRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """``POST /v1/keys``: a device of this fleet begins an epoch."""

    enrolment: Token
    public_key: Key


class RotateRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """``POST /v1/keys/rotate``: the old key vouches for the new one."""

    pseudonym: Hex32
    public_key: Key
    signature: Signature


class KeyAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """The pseudonym under which the key is known, and when it runs out (ISO 8601, UTC)."""

    pseudonym: Hex32
    expires_at: Annotated[str, msgspec.Meta(max_length=40)]


class SealedRecord(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One record on its way."""

    id: Hex32
    sealed: Annotated[bytes, msgspec.Meta(min_length=SEALED_BYTES, max_length=SEALED_BYTES)]
    signature: Signature


class RecordsRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """``POST /v1/records``: records of one pseudonym."""

    pseudonym: Hex32
    records: Annotated[tuple[SealedRecord, ...], msgspec.Meta(min_length=1, max_length=MAX_BATCH)]


class Ack(msgspec.Struct, frozen=True, omit_defaults=True):
    """What became of one record. ``refused`` is final: it would be refused again."""

    id: Hex32
    state: Literal["stored", "duplicate", "refused"]
    reason: Annotated[str, msgspec.Meta(max_length=200)] | None = None


class RecordsAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """One ack for each record that need not be sent again."""

    acks: Annotated[tuple[Ack, ...], msgspec.Meta(max_length=MAX_BATCH)]


class ErrorAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """Why a whole request was not taken."""

    error: Annotated[str, msgspec.Meta(max_length=100)]
    message: Annotated[str, msgspec.Meta(max_length=1000)] = ""


def pseudonym_of(public_key: bytes) -> str:
    """The name of a device's key: 32 hexadecimal digits."""
    return hashlib.blake2b(public_key, digest_size=16).hexdigest()


def seal_record(record: HashRecord, sealing_key: bytes) -> bytes:
    """The record, readable for the collector only; always :data:`SEALED_BYTES` long.

    Raises:
        UsageError: it does not fit.
    """
    return bytes(SealedBox(PublicKey(sealing_key)).encrypt(pad_record(record)))


def pad_record(record: HashRecord) -> bytes:
    """The record as it is sealed: two bytes of length, JSON, zeros; always :data:`PLAIN_BYTES` long.

    Raises:
        UsageError: it does not fit.
    """
    content = msgspec.json.encode(record)
    if len(content) > PLAIN_BYTES - 2:
        raise UsageError(
            f"record: got {len(content)} bytes, expected at most {PLAIN_BYTES - 2}; shorten the list's id."
        )
    return (len(content).to_bytes(2, "big") + content).ljust(PLAIN_BYTES, b"\0")


def open_sealed(private_key: bytes, sealed: bytes) -> HashRecord:
    """What :func:`seal_record` sealed. For the collector; a device cannot.

    Raises:
        ReportError: state ``MALFORMED``: it was sealed for somebody else, changed, or is no record of this schema.
    """
    record: HashRecord | None = None
    with contextlib.suppress(CryptoError, ValueError, TypeError, msgspec.DecodeError, UnicodeDecodeError):
        if len(sealed) == SEALED_BYTES:
            plain = bytes(SealedBox(PrivateKey(private_key)).decrypt(sealed))
            end = 2 + int.from_bytes(plain[:2], "big")
            if end <= len(plain) and not any(plain[end:]):
                record = msgspec.json.decode(plain[2:end], type=HashRecord)
    # Encoded again, it must be the same: JSON has many ways to write one thing, and each would carry something.
    if record is None or wrong_field(record) is not None or pad_record(record) != plain:
        raise ReportError(
            "record: got bytes that are no sealed record of schema 1 for this key; refuse it", state="MALFORMED"
        )
    return record


def sign_record(signing_key: SigningKey, record_id: str, sealed: bytes) -> bytes:
    """The device's signature of one sealed record, 64 bytes."""
    return bytes(signing_key.sign(RECORD_CONTEXT + bytes.fromhex(record_id) + sealed).signature)


def verify_record(public_key: bytes, record: SealedRecord) -> bool:
    """Whether the key's holder sealed this record under this id."""
    return _verified(public_key, RECORD_CONTEXT + bytes.fromhex(record.id) + record.sealed, record.signature)


def sign_rotation(old: SigningKey, new_public_key: bytes) -> bytes:
    """The old key's word for the new one, 64 bytes."""
    return bytes(old.sign(ROTATE_CONTEXT + new_public_key).signature)


def verify_rotation(old_public_key: bytes, request: RotateRequest) -> bool:
    """Whether the old key's holder vouches for the new one."""
    return _verified(old_public_key, ROTATE_CONTEXT + request.public_key, request.signature)


def _verified(public_key: bytes, message: bytes, signature: bytes) -> bool:
    try:
        VerifyKey(public_key).verify(message, signature)
    except (BadSignatureError, ValueError, TypeError):
        return False
    return True


def read_key(text: str) -> bytes:
    """A collector's sealing key from its text: 32 bytes in standard base64, or 64 hexadecimal digits.

    Raises:
        UsageError: it is neither.
    """
    key = b""
    word = text.strip()
    with contextlib.suppress(ValueError):
        key = bytes.fromhex(word) if len(word) == 2 * KEY_BYTES else base64.b64decode(word, validate=True)
    if len(key) != KEY_BYTES or not any(key):
        raise UsageError(
            "sealing key: expected 32 bytes in base64 or hexadecimal; take it from the collector's operator."
        )
    return key
