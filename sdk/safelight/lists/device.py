"""A device's lists: installed from a mirror, sealed on disk, opened into memory.

    state                     what was seen, what is installed; sealed; replacing it is the one step that installs
    <generation>-<id>.list    a list as it was signed, sealed: the base of the next delta
    <generation>-<id>.index   the same, ready to be asked, sealed

An update first writes new files beside the old ones, synchronises them, and then renames a new ``state`` over the
old. Whatever happens before that rename, the device has what it had; whatever happens after, it has the new lists.
"""

from __future__ import annotations

import contextlib
import io
import logging
import os
import re
import secrets
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Final

import msgspec

from safelight.errors import (
    ListDamagedError,
    ListError,
    ListFullError,
    ListMissingError,
    ListRollbackError,
)
from safelight.keys import FileKeyProvider, KeyProvider
from safelight.lists import _rules
from safelight.lists._sealed import SecretMemory, seal, unseal
from safelight.lists.format import apply_delta, digest, read_list
from safelight.lists.known import KnownList, build_image
from safelight.lists.mirror import Mirror, MirrorSource, open_mirror
from safelight.lists.repository import (
    published_deltas,
    published_lists,
    read_roots,
    read_target,
    sync_folder,
    write_atomically,
)
from safelight.signing import OperatorKey, trusted_keys

_log = logging.getLogger("safelight")

_KEY_NAME: Final = "lists"
_STATE: Final = "state"
_OURS: Final = re.compile(r"(\d+-[a-z0-9_-]+\.(list|index)|\.(state|\d+-[a-z0-9_-]+\.(list|index))\.[0-9a-f]{16})\Z")
_MAX_STATE_BYTES: Final = 64 << 20
_OPEN_TRIES: Final = 4


@dataclass(frozen=True, slots=True)
class InstalledList:
    """What a device knows of a list without opening it.

    Attributes:
        list_id: of the list.
        version: installed.
        sha256: of the list's bytes, as signed.
        hashes: entries in it, as signed.
        expires: when the signatures run out.
        stale: whether they have. The list keeps matching.
    """

    list_id: str
    version: int
    sha256: str
    hashes: int
    expires: datetime
    stale: bool


@dataclass(frozen=True, slots=True)
class ListUpdate:
    """What an update did to one list.

    Attributes:
        list_id: of the list.
        from_version: installed before; ``None`` for none.
        to_version: installed now; ``None`` when its operator took the list back.
        how: ``full``, ``delta``, ``unchanged`` or ``removed``.
        bytes_read: of the mirror, for this list.
    """

    list_id: str
    from_version: int | None
    to_version: int | None
    how: str
    bytes_read: int


class ListStore:
    """The lists of one operator on one device.

    Args:
        folder: where they are kept; of this device alone.
        trust: the operator's public keys. Nothing that they did not sign, themselves or through keys that they
            handed over to, is installed or opened.
        keys: gives the key that seals the files; files beside them (obfuscation) when left out.
        test_mode: accept the test keys.
        clock: gives the time by which expiry is judged; aware.
        lock_memory: keep open lists out of swap as well, where the system allows it.

    Raises:
        UsageError: no trusted key, a faulty one, or a test key outside test mode.
        MissingExtraError: python-tuf or PyNaCl is not installed.
    """

    def __init__(
        self,
        folder: str | os.PathLike[str],
        *,
        trust: Iterable[OperatorKey | str],
        keys: KeyProvider | None = None,
        test_mode: bool = False,
        clock: Callable[[], datetime] | None = None,
        lock_memory: bool = False,
    ) -> None:
        self._folder = Path(folder)
        self._trust = trusted_keys(trust, test_mode=test_mode)
        self._test_mode = test_mode
        self._keys = keys if keys is not None else FileKeyProvider()
        self._clock = clock or _utc_now
        self._lock_memory = lock_memory

    def update(
        self,
        mirror: MirrorSource,
        *,
        reinstall: bool = False,
        progress: Callable[[str, float], None] | None = None,
    ) -> tuple[ListUpdate, ...]:
        """Install what a mirror has that is newer. All lists of it, or none.

        Args:
            mirror: a folder, the bytes of a ZIP, or files in memory; see :mod:`safelight.lists.mirror`.
            reinstall: begin anew when what is stored here is damaged. The protection against older lists begins
                anew as well; never do it because an update was refused.
            progress: called with a list's id and the finished fraction, 0 to 1.

        Raises:
            ListUntrustedError: not signed by the trusted keys.
            ListRollbackError: older than what this device has seen.
            ListExpiredError: its signatures have run out.
            ListDamagedError: a part is missing or damaged; or what is stored here is, then see ``reinstall``.
            ListMissingError: there is no repository in the mirror.
            ListFullError: it cannot be written.
            KeyUnavailableError: the device's key cannot be had.
        """
        source = open_mirror(mirror)
        with self._changing():
            key = self._keys.create(_KEY_NAME)
            state = self._start(key, source, reinstall)
            accepted = self._refresh(key, state, source)
            return self._install(key, state, accepted, source, progress)

    def installed(self) -> tuple[InstalledList, ...]:
        """What is installed, checked as :meth:`open` does, without reading the lists.

        Raises:
            As :meth:`open`.
        """
        state, seen, _ = self._verified()
        targets, expires = _rules.read_targets(seen), _rules.expires(seen)
        stale = self._clock() >= expires
        names = published_lists(targets)
        return tuple(
            InstalledList(
                list_id,
                one.version,
                one.sha256,
                int(targets.targets[names[list_id]].unrecognized_fields["custom"].get("hashes", 0)),
                expires,
                stale,
            )
            for list_id, one in sorted(state.lists.items())
        )

    def open(self, list_id: str | None = None) -> tuple[KnownList, ...]:
        """Open installed lists into memory: all, or one. Close each when done.

        Raises:
            ListMissingError: nothing is installed, or not this one.
            ListDamagedError: what is stored was changed.
            ListUntrustedError: the trusted keys did not sign what is installed.
            KeyUnavailableError: the device's key cannot be had.
        """
        for _ in range(_OPEN_TRIES - 1):
            _, mark = self.changed_since(None)
            try:
                return self._open_all(list_id)
            except ListDamagedError:
                # An update that finished meanwhile has taken the files away that the state named.
                if not self.changed_since(mark)[0]:
                    raise
        return self._open_all(list_id)

    def _open_all(self, list_id: str | None) -> tuple[KnownList, ...]:
        state, seen, key = self._verified()
        expires = _rules.expires(seen)
        wanted = sorted(state.lists) if list_id is None else [list_id]
        opened: list[KnownList] = []
        try:
            for name in wanted:
                if name not in state.lists:
                    raise ListMissingError("list: got an id that is not installed; see 'safelight lists inspect'")
                opened.append(self._open(key, name, state.lists[name], expires))
        except BaseException:
            for one in opened:
                one.close()
            raise
        return tuple(opened)

    @property
    def test_mode(self) -> bool:
        """Whether test keys are accepted. A guard takes such a store in test mode only."""
        return self._test_mode

    def changed_since(self, mark: object) -> tuple[bool, object]:
        """Whether another list may be installed than when ``mark`` was taken, and a new mark. Cheap: one stat."""
        try:
            status = os.stat(self._folder / _STATE)
            now: object = (status.st_ino, status.st_mtime_ns, status.st_size)
        except OSError:
            now = None
        return now != mark, now

    def __repr__(self) -> str:
        return f"<ListStore, {len(self._trust)} trusted keys, keys of {self._keys.id}>"

    # --- update ------------------------------------------------------------------------------------------

    def _start(self, key: bytes, source: Mirror, reinstall: bool) -> _State:
        """What is stored, or a beginning that the trusted keys vouch for."""
        try:
            state = self._read_state(key)
        except ListMissingError:
            pass
        except ListDamagedError:
            if not reinstall:
                raise
        else:
            if not reinstall:
                return state
        roots = read_roots(source, 1)
        if not roots:
            raise ListMissingError("mirror: got no metadata/1.root.json, expected a repository; copy all of it")
        return _State(seen=_Stored.of(_rules.anchor(roots, self._trust)))

    def _refresh(self, key: bytes, state: _State, source: Mirror) -> _rules.Seen:
        """Accept newer metadata, remembering every step: what was seen once is the least that is taken again."""
        seen = state.seen.seen()
        before = state.seen if (self._folder / _STATE).exists() else None
        now = self._clock()

        def remember(new: _rules.Seen) -> None:
            nonlocal seen, state
            if new != seen:
                seen = new
                state = msgspec.structs.replace(state, seen=_Stored.of(new))

        try:
            for version in range(seen.root_version + 1, seen.root_version + 1 + _rules.MAX_ROOT_ROTATIONS):
                data = source.read(f"metadata/{version}.root.json", _rules.MAX_ROOT_BYTES)
                if data is None:
                    break
                remember(_rules.accept_root(seen, data))
            _rules.require_fresh(seen, now, "root")
            remember(_rules.accept_timestamp(seen, _needed(source, "timestamp", _rules.MAX_TIMESTAMP_BYTES)))
            _rules.require_fresh(seen, now, "timestamp")
            meta = _rules.snapshot_meta(seen)
            name, limit = f"{meta.version}.snapshot", meta.length or _rules.MAX_SNAPSHOT_BYTES
            remember(_rules.accept_snapshot(seen, _needed(source, name, min(limit, _rules.MAX_SNAPSHOT_BYTES))))
            _rules.require_fresh(seen, now, "snapshot")
            meta = _rules.targets_meta(seen)
            name, limit = f"{meta.version}.targets", meta.length or _rules.MAX_TARGETS_BYTES
            remember(_rules.accept_targets(seen, _needed(source, name, min(limit, _rules.MAX_TARGETS_BYTES))))
            _rules.require_fresh(seen, now, "targets")
        finally:
            if state.seen != before:
                self._write_state(key, state)
        return seen

    def _install(
        self,
        key: bytes,
        state: _State,
        accepted: _rules.Seen,
        source: Mirror,
        progress: Callable[[str, float], None] | None,
    ) -> tuple[ListUpdate, ...]:
        targets = _rules.read_targets(accepted)
        names = published_lists(targets)
        generation = 1 + max((one.generation for one in state.lists.values()), default=0)
        lists: dict[str, _Installed] = {}
        done: list[ListUpdate] = []
        try:
            for list_id, name in sorted(names.items()):
                before = state.lists.get(list_id)
                sha256 = targets.targets[name].hashes.get("sha256", "")
                version = int(targets.targets[name].unrecognized_fields["custom"]["version"])
                if before is not None and version < before.version:
                    raise ListRollbackError(
                        f"list: got version {version}, this device has {before.version}; tell its operator"
                    )
                if before is not None and before.sha256 == sha256 and self._intact(key, list_id, before):
                    lists[list_id] = before
                    done.append(ListUpdate(list_id, before.version, before.version, "unchanged", 0))
                    continue
                data, how, read = self._fetch(key, list_id, name, before, targets, source)
                found = read_list(data)
                if (found.info.list_id, found.info.version) != (list_id, version):
                    raise ListDamagedError("list: its content names another list or version; tell its operator")
                report = (lambda part, of=list_id: progress(of, part)) if progress is not None else None
                one = _Installed(version, sha256, generation)
                self._write_sealed(key, _purpose("list", list_id, one), generation, list_id, data)
                self._write_sealed(
                    key, _purpose("index", list_id, one), generation, list_id, build_image(found, progress=report)
                )
                lists[list_id] = one
                done.append(ListUpdate(list_id, before.version if before else None, version, how, read))
            done += [
                ListUpdate(list_id, one.version, None, "removed", 0)
                for list_id, one in state.lists.items()
                if list_id not in names
            ]
            stored = _Stored.of(accepted)
            self._write_state(key, _State(seen=stored, accepted=stored, lists=lists))
        finally:
            self._clean(key)
        return tuple(done)

    def _fetch(
        self, key: bytes, list_id: str, name: str, before: _Installed | None, targets: Any, source: Mirror
    ) -> tuple[bytes, str, int]:
        """A list's bytes as signed, how they came, and how many bytes were read for them."""
        full = targets.targets[name]
        chain = _chain(published_deltas(targets, list_id), before, full) if before is not None else []
        cost = sum(targets.targets[step].length for step in chain)
        if before is not None and chain and cost < full.length:
            try:
                data = self._read_sealed(key, "list", list_id, before)
                for step in chain:
                    data = apply_delta(data, read_target(source, targets, step))
                if digest(data) == full.hashes.get("sha256"):
                    return data, "delta", cost
            except ListError as error:
                _log.warning("list update: deltas not used (%s); taking the full list", type(error).__name__)
        return read_target(source, targets, name), "full", full.length

    # --- files -------------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def _changing(self) -> Iterator[None]:
        """One update at a time, also between processes."""
        failed = False
        lock = -1
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            lock = os.open(self._folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
            if os.name == "posix":
                import fcntl

                fcntl.flock(lock, fcntl.LOCK_EX)
        except OSError:
            failed = True
        if failed:
            raise ListFullError("lists: their folder cannot be written, expected one of this user with room; check it")
        try:
            yield
        finally:
            os.close(lock)

    def _verified(self) -> tuple[_State, _rules.Seen, bytes]:
        if not (self._folder / _STATE).exists():
            raise ListMissingError("lists: nothing is installed here; install with 'safelight lists update'")
        key = self._keys.get(_KEY_NAME)
        state = self._read_state(key)
        if state.accepted is None:
            raise ListMissingError("lists: no update was ever completed here; run 'safelight lists update'")
        seen = state.accepted.seen()
        _rules.verify_again(seen, self._trust)
        targets = _rules.read_targets(seen)
        signed = {
            list_id: targets.targets[name].hashes.get("sha256") for list_id, name in published_lists(targets).items()
        }
        if any(signed.get(list_id) != one.sha256 for list_id, one in state.lists.items()):
            raise ListDamagedError("lists: what is installed is not what was signed; install it again")
        return state, seen, key

    def _read_state(self, key: bytes) -> _State:
        data: bytes | None = None
        missing = False
        try:
            data = (self._folder / _STATE).read_bytes()
        except FileNotFoundError:
            missing = True
        except OSError:
            pass
        if missing:
            raise ListMissingError("lists: nothing is installed here; install with 'safelight lists update'")
        if data is None or len(data) > _MAX_STATE_BYTES:
            raise ListDamagedError("state file: it cannot be read; check the folder, or install again")
        memory = unseal(key, "state", io.BytesIO(data))
        try:
            plain = bytes(memory.view())
        finally:
            memory.close()
        try:
            state = msgspec.msgpack.decode(plain, type=_State)
        except msgspec.DecodeError:
            state = None
        if state is None:
            raise ListDamagedError("state file: it is of another version of Safelight; install the lists again")
        return state

    def _write_state(self, key: bytes, state: _State) -> None:
        data = b"".join(seal(key, "state", msgspec.msgpack.encode(state)))
        failed = False
        try:
            write_atomically(self._folder / _STATE, data, mode=0o600)
        except OSError:
            failed = True
        if failed:
            raise _full()

    def _write_sealed(self, key: bytes, purpose: str, generation: int, list_id: str, data: bytes) -> None:
        path = self._folder / _file_name(purpose, generation, list_id)
        failed = False
        try:
            # Whatever lies under this name belongs to an update that was never completed.
            path.unlink(missing_ok=True)
            temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
            file = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o600)
            with os.fdopen(file, "wb") as stream:
                for part in seal(key, purpose, data):
                    stream.write(part)
                stream.flush()
                os.fsync(stream.fileno())
            os.replace(temporary, path)
            sync_folder(self._folder)
        except OSError:
            failed = True
        if failed:
            raise _full()

    def _read_sealed(self, key: bytes, kind: str, list_id: str, one: _Installed) -> bytes:
        memory = self._unseal(key, kind, list_id, one)
        try:
            return bytes(memory.view())
        finally:
            memory.close()

    def _unseal(self, key: bytes, kind: str, list_id: str, one: _Installed, *, lock: bool = False) -> SecretMemory:
        purpose = _purpose(kind, list_id, one)
        with contextlib.suppress(OSError):
            with open(self._folder / _file_name(purpose, one.generation, list_id), "rb") as file:
                return unseal(key, purpose, file, lock=lock)
        raise ListDamagedError(
            f"{kind} file: it is gone or cannot be read; install again with 'safelight lists update'"
        )

    def _intact(self, key: bytes, list_id: str, one: _Installed) -> bool:
        """Whether both files are as they were written; an update mends those that are not."""
        try:
            for kind in ("list", "index"):
                self._unseal(key, kind, list_id, one).close()
        except ListError:
            return False
        return True

    def _open(self, key: bytes, list_id: str, one: _Installed, expires: datetime) -> KnownList:
        memory = self._unseal(key, "index", list_id, one, lock=self._lock_memory)
        try:
            known = KnownList(memory, expires=expires)
            if (known.list_id, known.info.version) != (list_id, one.version):
                raise ListDamagedError("index file: it is of another list; install again")
        except BaseException:
            memory.close()
            raise
        return known

    def _clean(self, key: bytes) -> None:
        """Take away what no state names: older generations, and what a killed update left."""
        with contextlib.suppress(ListError, OSError):
            state = self._read_state(key)
            kept = {
                f"{one.generation}-{list_id}.{kind}"
                for list_id, one in state.lists.items()
                for kind in ("list", "index")
            }
            for path in self._folder.iterdir():
                if _OURS.match(path.name) and path.name not in kept:
                    path.unlink(missing_ok=True)


class _Stored(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    roots: dict[int, bytes]
    timestamp: bytes | None
    snapshot: bytes | None
    targets: bytes | None

    @classmethod
    def of(cls, seen: _rules.Seen) -> _Stored:
        return cls(dict(seen.roots), seen.timestamp, seen.snapshot, seen.targets)

    def seen(self) -> _rules.Seen:
        return _rules.Seen(self.roots, self.timestamp, self.snapshot, self.targets)


class _Installed(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    version: int
    sha256: str
    generation: int


class _State(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    seen: _Stored
    accepted: _Stored | None = None
    lists: dict[str, _Installed] = {}
    schema: int = 1


def _needed(source: Mirror, name: str, max_bytes: int) -> bytes:
    data = source.read(f"metadata/{name}.json", max_bytes)
    if data is None:
        raise ListDamagedError(f"mirror: got no {name}.json in metadata, expected a whole repository; copy all of it")
    return data


def _chain(deltas: dict[int, tuple[int, str]], before: _Installed, full: Any) -> list[str]:
    """Names of deltas that lead from the installed version to the signed one, or none."""
    goal = int(full.unrecognized_fields["custom"]["version"])
    at, names = before.version, []
    while at < goal and at in deltas:
        at, name = deltas[at]
        names.append(name)
    return names if at == goal else []


def _purpose(kind: str, list_id: str, one: _Installed) -> str:
    return f"{kind} {list_id} {one.version} {one.sha256}"


def _file_name(purpose: str, generation: int, list_id: str) -> str:
    return f"{generation}-{list_id}.{purpose.partition(' ')[0]}"


def _full() -> ListFullError:
    return ListFullError(
        "lists: a file could not be written, expected room on the disk; what was installed before stays in use"
    )


def _utc_now() -> datetime:
    return datetime.now(timezone.utc)
