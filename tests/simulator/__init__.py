"""A repository in memory whose every part can be bent, to try attacks on the device's side of signed lists.

The idea is python-tuf's ``tests/repository_simulator.py``: metadata are objects that a test changes, signed only when
they are asked for.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from typing import Any

import numpy as np
from safelight.lists.format import HashList, ListInfo, make_delta, make_list, write_list
from safelight.lists.repository import _Signer, delta_target, list_target, target_file, tuf_key
from safelight.signing import OperatorSecret
from tuf.api.exceptions import DownloadHTTPError
from tuf.api.metadata import Metadata, MetaFile, Root, Snapshot, TargetFile, Targets, Timestamp
from tuf.ngclient.fetcher import FetcherInterface

NOW = datetime(2026, 6, 1, tzinfo=timezone.utc)


def hashes(count: int, seed: int = 1) -> np.ndarray:
    """Random hashes, each with about half of its bits set."""
    return np.random.default_rng(seed).integers(0, 256, (count, 32), dtype=np.uint8)


def some_list(version: int = 1, *, count: int = 40, seed: int = 1, list_id: str = "alpha", **info: Any) -> HashList:
    """A list of PDQ and SHA-256 hashes; a higher version replaces one entry of the one before for each step."""
    rows = hashes(count, seed)
    rows[: version - 1] ^= 0xFF
    exact = hashes(5, seed + 1)
    return make_list(
        ListInfo(list_id, version, categories={1: "A1", 2: "B2"}, **info),
        entries={
            "pdq": (rows, np.arange(100, 100 + count, dtype=np.uint64), np.full(count, 1, np.uint16)),
            "sha256": (exact, np.arange(500, 505, dtype=np.uint64), np.full(5, 2, np.uint16)),
        },
    )


class Simulator:
    """A repository with one root key and one online key.

    Attributes:
        signers: who signs each role when :meth:`files` is asked for.
        blobs: target files by their place.
        removed: names of files that are not handed out.
        replaced: files handed out instead of what was signed.
    """

    def __init__(self) -> None:
        self.root_secret, self.online_secret = OperatorSecret.new(), OperatorSecret.new()
        self.root = Root(expires=NOW + timedelta(days=900), consistent_snapshot=True)
        for role, secret in self._owners().items():
            self.root.add_key(tuf_key(secret.public), role)
        self.targets = Targets(expires=NOW + timedelta(days=300))
        self.snapshot = Snapshot(expires=NOW + timedelta(days=30))
        self.timestamp = Timestamp(expires=NOW + timedelta(days=30))
        self.signers: dict[str, list[OperatorSecret]] = {role: [key] for role, key in self._owners().items()}
        self.old_roots: dict[int, bytes] = {}
        self.blobs: dict[str, bytes] = {}
        self.lists: dict[str, HashList] = {}
        self.removed: set[str] = set()
        self.replaced: dict[str, bytes] = {}

    def _owners(self) -> dict[str, OperatorSecret]:
        return {
            "root": self.root_secret,
            "targets": self.root_secret,
            "snapshot": self.online_secret,
            "timestamp": self.online_secret,
        }

    @property
    def trust(self) -> list[str]:
        return [self.root_secret.public.text]

    def add(self, hash_list: HashList, *, delta: bool = True) -> None:
        """Publish a list: all versions go up by one."""
        list_id = hash_list.info.list_id
        old = self.lists.get(list_id)
        if old is not None:
            name = list_target(list_id, old.info.version)
            self.targets.targets.pop(name, None)
            if delta:
                self._target(
                    delta_target(list_id, old.info.version, hash_list.info.version),
                    make_delta(old, hash_list),
                    {"kind": "delta", "list_id": list_id, "from": old.info.version, "to": hash_list.info.version},
                )
        self._target(
            list_target(list_id, hash_list.info.version),
            write_list(hash_list),
            {"kind": "list", "list_id": list_id, "version": hash_list.info.version, "hashes": len(hash_list)},
        )
        self.lists[list_id] = hash_list
        self.bump()

    def _target(self, name: str, data: bytes, custom: dict[str, Any]) -> None:
        target = TargetFile.from_data(name, data, ["sha256"])
        target.unrecognized_fields["custom"] = custom
        self.targets.targets[name] = target
        self.blobs[target_file(name, target.hashes["sha256"])] = data

    def bump(self) -> None:
        """One version up for targets, snapshot and timestamp, if they were ever handed out."""
        for signed in (self.targets, self.snapshot, self.timestamp):
            signed.version += 1

    def rotate_root(self, secret: OperatorSecret, *, sign_with: list[OperatorSecret] | None = None) -> None:
        """Hand over to another root key; the next root is signed by both, or by those given."""
        old = self.root_secret
        self.old_roots[self.root.version] = self.sign("root", self.root)
        self.root.version += 1
        for role in ("root", "targets"):
            self.root.revoke_key(old.public.key_id, role)
            self.root.add_key(tuf_key(secret.public), role)
        self.root_secret = secret
        self.signers["root"] = sign_with if sign_with is not None else [old, secret]
        self.signers["targets"] = [secret]

    def sign(self, role: str, signed: Any) -> bytes:
        metadata = Metadata(signed)
        for secret in self.signers[role]:
            metadata.sign(_Signer(secret), append=True)
        return metadata.to_bytes()

    def files(self) -> dict[str, bytes]:
        """What a mirror of it holds now."""
        targets = self.sign("targets", self.targets)
        self.snapshot.meta["targets.json"] = MetaFile.from_data(self.targets.version, targets, ["sha256"])
        snapshot = self.sign("snapshot", self.snapshot)
        self.timestamp.snapshot_meta = MetaFile.from_data(self.snapshot.version, snapshot, ["sha256"])
        files = {f"metadata/{version}.root.json": data for version, data in self.old_roots.items()}
        files |= {
            f"metadata/{self.root.version}.root.json": self.sign("root", self.root),
            f"metadata/{self.targets.version}.targets.json": targets,
            f"metadata/{self.snapshot.version}.snapshot.json": snapshot,
            "metadata/timestamp.json": self.sign("timestamp", self.timestamp),
            **self.blobs,
            **self.replaced,
        }
        return {name: data for name, data in files.items() if name not in self.removed}


class DictFetcher(FetcherInterface):
    """python-tuf's client over the files of a simulator."""

    def __init__(self, files: dict[str, bytes]) -> None:
        self.files = files

    def _fetch(self, url: str) -> Iterator[bytes]:
        if url not in self.files:
            raise DownloadHTTPError("not here", 404)
        return iter([self.files[url]])
