"""The rules by which metadata of The Update Framework is accepted. No I/O, no clock: bytes and *now* in.

The formats, signatures and thresholds are python-tuf's (``tuf.api``); the order of the steps is that of its
client (TUF specification 1.0.34, section 5), and a test runs that client beside this one over every attack. Its
client itself is not used because importing it loads a network library that opens a socket, because it writes
file by file, and because a list that is installed must be checked again without its expiry counting.

One thing is ours: the first root is not "whatever lies there", but must be signed by keys that the device names.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final, TypeVar

from safelight.errors import ListDamagedError, ListExpiredError, ListRollbackError, ListUntrustedError
from safelight.lists._tuf import (
    LengthOrHashMismatchError,
    Metadata,
    RepositoryError,
    Root,
    Snapshot,
    SodiumKey,
    Targets,
    Timestamp,
)
from safelight.signing import OperatorKey

#: python-tuf's own limits of its client.
MAX_ROOT_BYTES: Final = 512_000
MAX_TIMESTAMP_BYTES: Final = 16_384
MAX_SNAPSHOT_BYTES: Final = 2_000_000
MAX_TARGETS_BYTES: Final = 5_000_000
MAX_ROOT_ROTATIONS: Final = 256


@dataclass(frozen=True, slots=True)
class Seen:
    """The highest metadata that a device ever accepted, as bytes. Nothing older is taken again.

    Attributes:
        roots: by version, from the one that the device's keys sign up to the newest, without a gap.
        timestamp: newest; ``None`` before the first update.
        snapshot: as above.
        targets: as above.
    """

    roots: Mapping[int, bytes]
    timestamp: bytes | None = None
    snapshot: bytes | None = None
    targets: bytes | None = None

    @property
    def root_version(self) -> int:
        """Of the newest root."""
        return max(self.roots)

    @property
    def root(self) -> Metadata[Root]:
        """The newest root."""
        return _parse(self.roots[self.root_version], Root, "root")


def anchor(roots: Mapping[int, bytes], trust: frozenset[OperatorKey]) -> Seen:
    """Begin at the newest root that the trusted keys sign themselves.

    A root of later keys is reached from there by rotation; a device whose maker already names the later keys
    begins later.

    Raises:
        ListUntrustedError: there is none.
    """
    trusted = {key.public_hex for key in trust}
    for version in sorted(roots, reverse=True):
        try:
            root = _parse(roots[version], Root, "root")
            root.signed.verify_delegate(Root.type, root.signed_bytes, root.signatures)
        except (ListDamagedError, RepositoryError):
            continue
        role = root.signed.roles[Root.type]
        signers = set()
        for key_id in role.keyids:
            key = root.signed.keys.get(key_id)
            public = _public(key)
            if public in trusted and key_id in root.signatures:
                try:
                    key.verify_signature(root.signatures[key_id], root.signed_bytes)  # type: ignore[union-attr]
                except Exception:  # noqa: BLE001 - any failure of a stranger's signature is "not signed"
                    continue
                signers.add(public)
        if root.signed.version == version and len(signers) >= role.threshold:
            return Seen({version: roots[version]})
    raise ListUntrustedError(
        f"root: got {len(roots)} root files, none signed by enough of the {len(trust)} trusted keys; check that "
        "trust names this operator's keys"
    )


def accept_root(seen: Seen, data: bytes) -> Seen:
    """The next root: signed by the old keys and by its own.

    Raises:
        ListUntrustedError: it is not.
        ListRollbackError: it is not the next version.
        ListDamagedError: it is no root.
    """
    old, new = seen.root, _parse(data, Root, "root")
    _verify(old, Root.type, new, "root")
    if new.signed.version != old.signed.version + 1:
        raise ListRollbackError(
            f"root: got version {new.signed.version}, expected {old.signed.version + 1}; get the whole mirror again"
        )
    _verify(new, Root.type, new, "root")
    return replace(seen, roots={**seen.roots, new.signed.version: data})


def accept_timestamp(seen: Seen, data: bytes) -> Seen:
    """A timestamp that is signed and not older than the last. The same version again changes nothing.

    Raises:
        ListUntrustedError, ListRollbackError, ListDamagedError: it is refused.
    """
    root = seen.root
    new = _parse(data, Timestamp, "timestamp")
    _verify(root, Timestamp.type, new, "timestamp")
    old = _still_valid(seen.timestamp, Timestamp, root)
    if old is not None:
        _not_older("timestamp", new.signed.version, old.signed.version)
        if new.signed.version == old.signed.version:
            return seen
        _not_older("snapshot", new.signed.snapshot_meta.version, old.signed.snapshot_meta.version)
    return replace(seen, timestamp=data)


def accept_snapshot(seen: Seen, data: bytes) -> Seen:
    """The snapshot that the timestamp names.

    Raises:
        ListUntrustedError, ListRollbackError, ListDamagedError: it is refused.
    """
    root = seen.root
    meta = _parse(seen.timestamp or b"", Timestamp, "timestamp").signed.snapshot_meta
    check_whole(meta, data, "snapshot")
    new = _parse(data, Snapshot, "snapshot")
    _verify(root, Snapshot.type, new, "snapshot")
    if new.signed.version != meta.version:
        raise ListRollbackError(f"snapshot: got version {new.signed.version}, expected {meta.version}; get it again")
    old = _still_valid(seen.snapshot, Snapshot, root)
    if old is not None:
        for name, before in old.signed.meta.items():
            after = new.signed.meta.get(name)
            if after is None:
                raise ListRollbackError("snapshot: it no longer names what an earlier one named; tell its operator")
            _not_older("targets", after.version, before.version)
    return replace(seen, snapshot=data)


def accept_targets(seen: Seen, data: bytes) -> Seen:
    """The targets that the snapshot names.

    Raises:
        ListUntrustedError, ListRollbackError, ListDamagedError: they are refused.
    """
    meta = targets_meta(seen)
    check_whole(meta, data, "targets")
    new = _parse(data, Targets, "targets")
    _verify(seen.root, Targets.type, new, "targets")
    if new.signed.version != meta.version:
        raise ListRollbackError(f"targets: got version {new.signed.version}, expected {meta.version}; get it again")
    return replace(seen, targets=data)


def timestamp_version(seen: Seen) -> int:
    """Of the accepted timestamp; 0 when there is none."""
    return 0 if seen.timestamp is None else int(_parse(seen.timestamp, Timestamp, "timestamp").signed.version)


def snapshot_meta(seen: Seen) -> Any:
    """Version and length of the snapshot that the timestamp names."""
    return _parse(seen.timestamp or b"", Timestamp, "timestamp").signed.snapshot_meta


def targets_meta(seen: Seen) -> Any:
    """Version and length of the targets that the snapshot names."""
    meta = _parse(seen.snapshot or b"", Snapshot, "snapshot").signed.meta.get("targets.json")
    if meta is None:
        raise ListDamagedError("snapshot: it names no targets; tell its operator")
    return meta


def read_targets(seen: Seen) -> Targets:
    """The accepted targets."""
    return _parse(seen.targets or b"", Targets, "targets").signed


def expires(seen: Seen) -> datetime:
    """When the first of the signatures runs out."""
    return min(
        seen.root.signed.expires,
        _parse(seen.timestamp or b"", Timestamp, "timestamp").signed.expires,
        _parse(seen.snapshot or b"", Snapshot, "snapshot").signed.expires,
        read_targets(seen).expires,
    )


def require_fresh(seen: Seen, now: datetime, what: str) -> None:
    """The signature of ``root``, ``timestamp``, ``snapshot`` or ``targets`` has not run out.

    Asked after each step, and after that was remembered: what is expired is not used, and still proves that nothing
    older may come.

    Raises:
        ListExpiredError: it has.
    """
    metadata: Metadata[Any]
    if what == "root":
        metadata = seen.root
    elif what == "timestamp":
        metadata = _parse(seen.timestamp or b"", Timestamp, what)
    elif what == "snapshot":
        metadata = _parse(seen.snapshot or b"", Snapshot, what)
    else:
        metadata = _parse(seen.targets or b"", Targets, what)
    signed = metadata.signed
    if signed.is_expired(now):
        raise ListExpiredError(
            f"{what}: its signature ran out on {signed.expires:%Y-%m-%d}, expected a current one; get the newest "
            "mirror, and check this device's clock"
        )


def verify_again(seen: Seen, trust: frozenset[OperatorKey]) -> None:
    """What an update accepted is still signed by those whom the device trusts now. Expiry does not count here.

    Raises:
        ListUntrustedError, ListRollbackError, ListDamagedError: it is not.
    """
    start = anchor(seen.roots, trust)
    found = start
    for version in range(start.root_version + 1, seen.root_version + 1):
        found = accept_root(found, seen.roots.get(version, b""))
    root = found.root
    timestamp = _parse(seen.timestamp or b"", Timestamp, "timestamp")
    _verify(root, Timestamp.type, timestamp, "timestamp")
    snapshot = _parse(seen.snapshot or b"", Snapshot, "snapshot")
    check_whole(timestamp.signed.snapshot_meta, seen.snapshot or b"", "snapshot")
    _verify(root, Snapshot.type, snapshot, "snapshot")
    accept_targets(replace(seen, roots=found.roots), seen.targets or b"")


_Role = TypeVar("_Role", Root, Timestamp, Snapshot, Targets)


def _parse(data: bytes, role: type[_Role], what: str) -> Metadata[_Role]:
    metadata: Any = None
    with suppress(RepositoryError, RecursionError, ValueError, TypeError, KeyError, AttributeError):
        metadata = Metadata.from_bytes(data)
    if metadata is None or not isinstance(metadata.signed, role):
        raise ListDamagedError(f"{what}: got {len(data)} bytes that are no {what} metadata; get the mirror again")
    if role is Root:
        metadata.signed.keys = {
            key_id: SodiumKey(key_id, key.keytype, key.scheme, key.keyval, key.unrecognized_fields)
            for key_id, key in metadata.signed.keys.items()
        }
    found: Metadata[_Role] = metadata
    return found


def _verify(root: Metadata[Root], role: str, metadata: Metadata[Any], what: str) -> None:
    try:
        root.signed.verify_delegate(role, metadata.signed_bytes, metadata.signatures)
    except (RepositoryError, ValueError):
        pass
    else:
        return
    raise ListUntrustedError(f"{what}: it is not signed by enough of the keys that its root names; get it again")


def check_whole(meta: Any, data: bytes, what: str) -> None:
    """Length and digests are those that were signed.

    Raises:
        ListDamagedError: they are not.
    """
    try:
        meta.verify_length_and_hashes(data)
    except LengthOrHashMismatchError:
        pass
    else:
        return
    raise ListDamagedError(f"{what}: got {len(data)} bytes that are not those that were signed; get the mirror again")


def _still_valid(data: bytes | None, role: type[_Role], root: Metadata[Root]) -> Metadata[_Role] | None:
    """What was accepted before, unless the keys that signed it were replaced since (TUF: fast-forward recovery)."""
    if data is None:
        return None
    try:
        metadata = _parse(data, role, role.type)
        root.signed.verify_delegate(role.type, metadata.signed_bytes, metadata.signatures)
    except (ListDamagedError, RepositoryError, ValueError):
        return None
    return metadata


def _not_older(what: str, new: int, old: int) -> None:
    if new < old:
        raise ListRollbackError(f"{what}: got version {new}, this device has seen {old}; get the newest mirror")


def _public(key: Any) -> str:
    if key is None or key.keytype != "ed25519":
        return ""
    return str(key.keyval.get("public", ""))
