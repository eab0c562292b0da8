"""The operator's side: a repository of signed lists, as static files that any web server or memory stick carries.

    metadata/    1.root.json 2.root.json … timestamp.json N.snapshot.json N.targets.json
    targets/     <list id>/<sha256>.<version>.list   <list id>/<sha256>.<from>-<to>.delta

The formats are those of The Update Framework with consistent snapshots, so its tools read them. What is new is
written first and ``timestamp.json`` last: a reader sees the old repository or the new one, never a mixture.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any, Final

from safelight.errors import ListDamagedError, ListFullError, ListMissingError, UsageError
from safelight.lists import _rules
from safelight.lists._tuf import (
    Key,
    Metadata,
    MetaFile,
    Root,
    Signature,
    Signer,
    Snapshot,
    SSlibKey,
    TargetFile,
    Targets,
    Timestamp,
)
from safelight.lists.format import HashList, make_delta, read_list, write_list
from safelight.lists.mirror import Mirror, open_mirror
from safelight.signing import OperatorKey, OperatorSecret

#: How long signatures hold. The timestamp's is how long a device can be shown an old repository before it says
#: "stale"; somebody must sign again within it (``safelight lists build REPOSITORY`` without sources).
TIMESTAMP_DAYS: Final = 30
SNAPSHOT_DAYS: Final = 30
TARGETS_DAYS: Final = 365
ROOT_DAYS: Final = 3 * 365
#: A device that was away for longer takes the full list.
MAX_DELTAS: Final = 64


@dataclass(frozen=True, slots=True)
class RepositoryKeys:
    """Who signs what.

    Attributes:
        root: sign root and targets; kept offline. As many as ``threshold`` are needed for every change.
        online: signs snapshot and timestamp, which run out soon; may be the same as one of ``root``.
        threshold: how many of ``root`` must sign.
        root_public: every root key, when more exist than are at hand; those of ``root`` when left out.
    """

    root: Sequence[OperatorSecret]
    online: OperatorSecret | None = None
    threshold: int = 1
    root_public: Sequence[OperatorKey] = ()

    def __post_init__(self) -> None:
        if not self.root or not 1 <= self.threshold <= len({secret.public for secret in self.root}):
            raise UsageError(
                f"keys: got {len(self.root)} root keys for a threshold of {self.threshold}, expected at least as many "
                "different ones, and one or more; give more keys"
            )

    @property
    def all_root(self) -> tuple[OperatorKey, ...]:
        """Every root key."""
        own = {secret.public for secret in self.root}
        return tuple(sorted(own | set(self.root_public)))

    @property
    def online_secret(self) -> OperatorSecret:
        """Who signs snapshot and timestamp."""
        return self.online if self.online is not None else self.root[0]


def create_repository(keys: RepositoryKeys, *, now: datetime | None = None) -> dict[str, bytes]:
    """The files of a repository without lists.

    Args:
        keys: who signs.
        now: UTC; the clock's when left out.
    """
    when = _utc(now)
    root = Root(expires=when + timedelta(days=ROOT_DAYS), consistent_snapshot=True)
    _name_keys(root, keys)
    files = {"metadata/1.root.json": _sign(root, keys.root)}
    return files | _sign_state(Targets(expires=when), 1, 1, 1, keys, when)


def publish(
    mirror: Mirror | Mapping[str, bytes],
    lists: Iterable[HashList],
    *,
    keys: RepositoryKeys,
    now: datetime | None = None,
) -> dict[str, bytes]:
    """The files that change when these lists are published, in the order in which they must be written.

    Every list gets its full form and, when an older version is there, the delta from that. Older deltas stay, so
    that a device which was away applies one after the other; older full forms are no longer named. Without lists,
    everything is signed again: that renews what runs out.

    Args:
        mirror: the repository as it is.
        lists: new versions; each above the one that is published.
        keys: who signs: those that the newest root names.
        now: UTC; the clock's when left out.

    Raises:
        UsageError: a version is not above the published one, or a key is not among those of the repository.
        ListDamagedError: the repository is damaged.
        ListMissingError: there is none.
    """
    when, source = _utc(now), open_mirror(mirror)
    seen = read_repository(source)
    root = seen.root.signed
    if any(secret.public.key_id not in root.roles[Targets.type].keyids for secret in keys.root):
        raise UsageError("keys: got one that this repository does not name, expected its own; give those")
    if keys.online_secret.public.key_id not in root.roles[Timestamp.type].keyids:
        raise UsageError("keys: got another online key than the repository names, expected that one; give it")
    targets = _rules.read_targets(seen)
    files: dict[str, bytes] = {}
    for hash_list in lists:
        files |= _add(targets, source, hash_list)
    return files | _sign_state(
        targets,
        targets.version + 1,
        _rules.snapshot_meta(seen).version + 1,
        _rules.timestamp_version(seen) + 1,
        keys,
        when,
    )


def rotate_keys(
    mirror: Mirror | Mapping[str, bytes],
    *,
    old: RepositoryKeys,
    new: RepositoryKeys,
    now: datetime | None = None,
) -> dict[str, bytes]:
    """The files that change when other keys take over. Signed by the old and the new.

    Args:
        mirror: the repository as it is.
        old: keys that the newest root names.
        new: keys from now on.
        now: UTC; the clock's when left out.

    Raises:
        UsageError, ListDamagedError, ListMissingError: as :func:`publish`.
    """
    when, source = _utc(now), open_mirror(mirror)
    seen = read_repository(source)
    root = seen.root.signed
    if any(secret.public.key_id not in root.roles[Root.type].keyids for secret in old.root):
        raise UsageError("old keys: got one that the repository's root does not name, expected its own; give those")
    fresh = Root(version=root.version + 1, expires=when + timedelta(days=ROOT_DAYS), consistent_snapshot=True)
    _name_keys(fresh, new)
    signers = {secret.public: secret for secret in (*old.root, *new.root)}
    targets = _rules.read_targets(seen)
    return {f"metadata/{fresh.version}.root.json": _sign(fresh, list(signers.values()))} | _sign_state(
        targets,
        targets.version + 1,
        _rules.snapshot_meta(seen).version + 1,
        _rules.timestamp_version(seen) + 1,
        new,
        when,
    )


def read_repository(mirror: Mirror) -> _rules.Seen:
    """The newest metadata of a repository, without asking who signed it: for its operator, who has the keys.

    Raises:
        ListMissingError: there is none.
        ListDamagedError: a part is missing or damaged.
    """
    roots = read_roots(mirror, 1)
    timestamp = mirror.read("metadata/timestamp.json", _rules.MAX_TIMESTAMP_BYTES)
    if not roots or timestamp is None:
        raise ListMissingError("repository: got no metadata here, expected one; make one with 'safelight lists build'")
    seen = _rules.Seen(roots, timestamp)
    snapshot = mirror.read(f"metadata/{_rules.snapshot_meta(seen).version}.snapshot.json", _rules.MAX_SNAPSHOT_BYTES)
    seen = _rules.Seen(roots, timestamp, snapshot or b"")
    targets = mirror.read(f"metadata/{_rules.targets_meta(seen).version}.targets.json", _rules.MAX_TARGETS_BYTES)
    seen = _rules.Seen(roots, timestamp, snapshot, targets or b"")
    _rules.read_targets(seen)
    return seen


def read_roots(mirror: Mirror, first: int) -> dict[int, bytes]:
    """Root files by version, from ``first`` on without a gap."""
    roots: dict[int, bytes] = {}
    for version in range(first, first + _rules.MAX_ROOT_ROTATIONS):
        data = mirror.read(f"metadata/{version}.root.json", _rules.MAX_ROOT_BYTES)
        if data is None:
            break
        roots[version] = data
    return roots


def write_files(folder: str | os.PathLike[str], files: Mapping[str, bytes]) -> None:
    """Write a repository's files in order, each whole, ``metadata/timestamp.json`` last.

    Raises:
        ListFullError: one cannot be written; the repository reads as it did before.
    """
    base = Path(folder)
    names = sorted(files, key=lambda name: (name == "metadata/timestamp.json", name.startswith("metadata/")))
    failed = False
    try:
        for name in names:
            path = base / name
            path.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(path, files[name])
    except OSError:
        failed = True
    if failed:
        raise ListFullError("repository: a file could not be written, expected a folder with room; check the disk")


def write_atomically(path: Path, data: bytes, *, mode: int = 0o644) -> None:
    """Write new, synchronise, rename: a reader and a power cut see the old file or the new one.

    Raises:
        OSError: nothing has changed.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    file = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), mode)
    try:
        with os.fdopen(file, "wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make renames in a folder survive a power cut, where the system has such a thing."""
    if os.name == "posix":
        file = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(file)
        finally:
            os.close(file)


def list_target(list_id: str, version: int) -> str:
    """Name of a full list."""
    return f"{list_id}/{version}.list"


def delta_target(list_id: str, from_version: int, to_version: int) -> str:
    """Name of a delta."""
    return f"{list_id}/{from_version}-{to_version}.delta"


def target_file(name: str, sha256: str) -> str:
    """Where a target lies in a repository with consistent snapshots."""
    folder, _, last = name.rpartition("/")
    return f"targets/{folder}/{sha256}.{last}"


# --- signing ---------------------------------------------------------------------------------------------


class _Signer(Signer):
    """An operator key as python-tuf's signer."""

    def __init__(self, secret: OperatorSecret) -> None:
        self._secret = secret

    @property
    def public_key(self) -> Key:
        return tuf_key(self._secret.public)

    def sign(self, payload: bytes) -> Signature:
        return Signature(self._secret.public.key_id, self._secret.sign(payload).hex())

    @classmethod
    def from_priv_key_uri(cls, *_: Any, **__: Any) -> Signer:
        raise NotImplementedError("operator keys are loaded with OperatorSecret.load")


def tuf_key(key: OperatorKey) -> SSlibKey:
    """An operator key as python-tuf's key."""
    return SSlibKey(key.key_id, "ed25519", "ed25519", {"public": key.public_hex})


def _name_keys(root: Root, keys: RepositoryKeys) -> None:
    for role in (Root.type, Targets.type):
        for key in keys.all_root:
            root.add_key(tuf_key(key), role)
        root.roles[role].threshold = keys.threshold
    for role in (Snapshot.type, Timestamp.type):
        root.add_key(tuf_key(keys.online_secret.public), role)


def _sign(signed: Any, secrets_: Iterable[OperatorSecret]) -> bytes:
    metadata = Metadata(signed)
    for secret in secrets_:
        metadata.sign(_Signer(secret), append=True)
    data: bytes = metadata.to_bytes()
    return data


def _sign_state(
    targets: Targets,
    targets_version: int,
    snapshot_version: int,
    timestamp_version: int,
    keys: RepositoryKeys,
    when: datetime,
) -> dict[str, bytes]:
    targets.version = targets_version
    targets.expires = when + timedelta(days=TARGETS_DAYS)
    signed_targets = _sign(targets, keys.root)
    snapshot = Snapshot(
        snapshot_version,
        expires=when + timedelta(days=SNAPSHOT_DAYS),
        meta={"targets.json": MetaFile.from_data(targets_version, signed_targets, ["sha256"])},
    )
    signed_snapshot = _sign(snapshot, [keys.online_secret])
    timestamp = Timestamp(
        timestamp_version,
        expires=when + timedelta(days=TIMESTAMP_DAYS),
        snapshot_meta=MetaFile.from_data(snapshot_version, signed_snapshot, ["sha256"]),
    )
    return {
        f"metadata/{targets_version}.targets.json": signed_targets,
        f"metadata/{snapshot_version}.snapshot.json": signed_snapshot,
        "metadata/timestamp.json": _sign(timestamp, [keys.online_secret]),
    }


def _add(targets: Targets, mirror: Mirror, hash_list: HashList) -> dict[str, bytes]:
    info = hash_list.info
    files: dict[str, bytes] = {}
    published = published_lists(targets)
    deltas = published_deltas(targets, info.list_id)
    old_name = published.get(info.list_id)
    if old_name is not None:
        old_version = int(targets.targets[old_name].unrecognized_fields["custom"]["version"])
        if info.version <= old_version:
            raise UsageError(f"version: got {info.version}, expected above the published {old_version}; count up")
        old = read_target(mirror, targets, old_name)
        name = delta_target(info.list_id, old_version, info.version)
        files |= _name_target(
            targets,
            name,
            make_delta(read_list(old), hash_list),
            {"kind": "delta", "list_id": info.list_id, "from": old_version, "to": info.version},
        )
        del targets.targets[old_name]
        for from_version in sorted(deltas)[: max(0, len(deltas) + 1 - MAX_DELTAS)]:
            del targets.targets[deltas[from_version][1]]
    return files | _name_target(
        targets,
        list_target(info.list_id, info.version),
        write_list(hash_list),
        {"kind": "list", "list_id": info.list_id, "version": info.version, "hashes": len(hash_list)},
    )


def _name_target(targets: Targets, name: str, data: bytes, custom: dict[str, Any]) -> dict[str, bytes]:
    target = TargetFile.from_data(name, data, ["sha256"])
    target.unrecognized_fields["custom"] = custom
    targets.targets[name] = target
    return {target_file(name, target.hashes["sha256"]): data}


def published_lists(targets: Targets) -> dict[str, str]:
    """List id to the name of its newest full form."""
    found: dict[str, tuple[int, str]] = {}
    for name, target in targets.targets.items():
        custom = target.unrecognized_fields.get("custom")
        if not isinstance(custom, dict) or custom.get("kind") != "list":
            continue
        list_id, version = custom.get("list_id"), custom.get("version")
        if not isinstance(list_id, str) or not isinstance(version, int) or name != list_target(list_id, version):
            raise ListDamagedError("targets: an entry's name and its description differ; tell its operator")
        found[list_id] = max(found.get(list_id, (0, "")), (version, name))
    return {list_id: name for list_id, (_, name) in found.items()}


def published_deltas(targets: Targets, list_id: str) -> dict[int, tuple[int, str]]:
    """Version that a delta starts from, to the version it makes and its name."""
    found: dict[int, tuple[int, str]] = {}
    for name, target in targets.targets.items():
        custom = target.unrecognized_fields.get("custom")
        if not isinstance(custom, dict) or custom.get("kind") != "delta" or custom.get("list_id") != list_id:
            continue
        start, end = custom.get("from"), custom.get("to")
        if not isinstance(start, int) or not isinstance(end, int) or name != delta_target(list_id, start, end):
            raise ListDamagedError("targets: an entry's name and its description differ; tell its operator")
        if end > start:
            found[start] = max(found.get(start, (0, "")), (end, name))
    return found


def read_target(mirror: Mirror, targets: Targets, name: str) -> bytes:
    """A target's bytes, compared with what was signed.

    Raises:
        ListDamagedError: it is missing or differs.
    """
    target = targets.targets[name]
    sha256 = target.hashes.get("sha256", "")
    data = mirror.read(target_file(name, sha256), target.length) if sha256 else None
    if data is None:
        raise ListDamagedError("mirror: a file that was signed is missing; get the whole mirror again")
    _rules.check_whole(target, data, "mirror")
    return data


def _utc(now: datetime | None) -> datetime:
    when = now if now is not None else datetime.now(timezone.utc)
    return when.astimezone(timezone.utc).replace(microsecond=0)
