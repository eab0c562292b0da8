"""From a record on the wire to one that may be stored: size, signature, seal, schema, and inside equals outside."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from nacl.public import PrivateKey
from safelight.errors import ReportError
from safelight.reporting.record import HashRecord
from safelight.reporting.wire import SealedRecord, open_sealed, verify_record

from safelight_collector.errors import SetupError
from safelight_collector.protocol import SEALED_BYTES, SIGNATURE_BYTES, Refusal, TravellingRecord
from safelight_collector.storage import Key, Opened


class SealingKeys:
    """The secret halves of the keys that devices may be sealing to, the current one first. Does not show itself.

    Args:
        secrets: 32 bytes each, in any order.
        expected: the public halves, the last being what devices are told: ``Storage.sealing_keys()``.

    Raises:
        SetupError: the secret of one of them is not here. Records sealed to it would be refused for good, and lost.
    """

    def __init__(self, secrets: Sequence[bytes], expected: Sequence[bytes]) -> None:
        by_public = {public_half(secret): secret for secret in secrets}
        missing = [public for public in expected if public not in by_public]
        if not expected:
            raise SetupError("sealing key: got none in the database, expected one; run 'safelight-collector init'")
        if missing:
            raise SetupError(
                f"sealing key: the secret half of {len(missing)} of {len(expected)} keys in use is not here (first: "
                f"{missing[0].hex()[:16]}…), expected all; restore its file: records sealed to it would be lost"
            )
        self.current: bytes = expected[-1]
        self._secrets = [by_public[public] for public in reversed(expected)]

    def open(self, sealed: bytes) -> HashRecord | None:
        """What a device sealed, checked against the schema; ``None`` when no key opens it or it is no such record."""
        for secret in self._secrets:
            try:
                return open_sealed(secret, sealed)
            except ReportError:
                continue
        return None


def public_half(secret: bytes) -> bytes:
    """The X25519 public key of a secret one."""
    return bytes(PrivateKey(secret).public_key)


def examine(record: TravellingRecord, key: Key, sealing: SealingKeys) -> Opened | Refusal:
    """The record opened, or why it is refused. Nothing of it is said anywhere else."""
    if len(record.sealed) != SEALED_BYTES or len(record.signature) != SIGNATURE_BYTES:
        return "size"
    signed = SealedRecord(id=record.id, sealed=record.sealed, signature=record.signature)
    if not verify_record(key.public_key, signed):
        return "signature"
    inner = sealing.open(record.sealed)
    if inner is None:
        return "content"
    if inner.id != record.id or inner.pseudonym != key.pseudonym:
        return "mismatch"
    return Opened(bytes.fromhex(record.id), stored_content(inner))


def stored_content(record: HashRecord) -> dict[str, object]:
    """What is kept of a record: its fields that say something, without id and pseudonym, which are the row's key."""
    content: dict[str, object] = msgspec.to_builtins(record)
    return {name: value for name, value in content.items() if name not in ("id", "pseudonym") and value is not None}
