"""The file: a few sealed sections in SQLite, each change whole or not at all, and every doubt a named state.

Every section is sealed (XChaCha20-Poly1305, :class:`nacl.secret.Aead`) with a key from the :class:`KeyProvider`, its
name bound in. A sealed root holds the digest of every section and a *generation* that grows with every change, so a
bit that flips, a row edited, deleted, added or put back is seen. An old copy of the *whole* file is seen only
with an :class:`~safelight.store.anchor.Anchor`, or by a process that has seen a newer one.

The state is read as a whole and believed as a whole: a store that cannot be believed is not half believed.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import sqlite3
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Final

import msgspec
from nacl.exceptions import CryptoError
from nacl.secret import Aead

from safelight.errors import KeyUnavailableError, StoreError
from safelight.keys import KeyProvider
from safelight.store import sqlite_file
from safelight.store.anchor import Anchor

KEY_NAME: Final = "store"

_ROOT = "root"
_DIGEST_BYTES = 16
# A section is some kilobytes; a file that claims more is not ours.
_MAX_SECTION_BYTES = 4 * 1024 * 1024


class StoreState(str, Enum):
    """Whether what is stored can be believed, and if not, why. Everything but ``OK`` means the strictest settings."""

    OK = "OK"
    NEW = "NEW"
    """Nobody has set anything up here, or it was deleted: without an anchor the two look the same."""
    MISSING = "MISSING"
    """There is nothing, and the anchor (or this process) knows that there was."""
    DAMAGED = "DAMAGED"
    """It fails authentication, or is no database of ours."""
    ROLLED_BACK = "ROLLED_BACK"
    """It is older than the anchor (or this process) knows."""
    NEWER_VERSION = "NEWER_VERSION"
    """A newer Safelight wrote it."""
    KEY_UNAVAILABLE = "KEY_UNAVAILABLE"
    """The key that sealed it cannot be had."""
    ANCHOR_UNAVAILABLE = "ANCHOR_UNAVAILABLE"
    """There is an anchor and it does not answer, so nobody can tell whether this is the newest."""
    UNREADABLE = "UNREADABLE"
    """It cannot be opened or read: permissions, a failing disk, another process that never lets go."""
    READ_ONLY = "READ_ONLY"
    """It cannot be written to. Only writes carry this state."""
    FULL = "FULL"
    """No room is left. Only writes carry this state."""

    def __str__(self) -> str:
        return str(self.value)


_NEXT_STEP: Final[Mapping[StoreState, str]] = {
    StoreState.NEW: "set it up with `safelight setup`.",
    StoreState.MISSING: "put the folder back, or set up again with `safelight setup --replace`.",
    StoreState.DAMAGED: "put a backup back, or set up again with `safelight setup --replace`; nothing is deleted.",
    StoreState.ROLLED_BACK: "put the newest copy back, or set up again with `safelight setup --replace`.",
    StoreState.NEWER_VERSION: "update Safelight.",
    StoreState.KEY_UNAVAILABLE: "unlock or restore the keystore; without its key set up again (`--replace`).",
    StoreState.ANCHOR_UNAVAILABLE: "make the anchor answer again.",
    StoreState.UNREADABLE: "check the folder's permissions and the disk, and try again.",
    StoreState.READ_ONLY: "make the store's folder writable.",
    StoreState.FULL: "make room on the disk and try again.",
}


def store_error(state: StoreState) -> StoreError:
    """The exception for a state; carries no path."""
    return StoreError(
        f"store: got {state.value}, expected a store that can be read and written; {_NEXT_STEP[state]}",
        state=state.value,
    )


class _Root(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    store_id: str
    generation: int
    digests: dict[str, bytes]


_ROOT_CODER = msgspec.msgpack.Encoder()
_ROOT_DECODER = msgspec.msgpack.Decoder(_Root)

_STATE_DDL = "CREATE TABLE state (name TEXT PRIMARY KEY NOT NULL, sealed BLOB NOT NULL) WITHOUT ROWID"
_HELD_DDL = "CREATE TABLE held (id TEXT PRIMARY KEY NOT NULL, sealed BLOB NOT NULL)"
# Exactly these objects may exist: a trigger, a view or a constraint that somebody adds would run with our writes.
_OBJECTS: Final = frozenset(
    {("table", "state", _STATE_DDL), ("table", "held", _HELD_DDL), ("index", "sqlite_autoindex_held_1", None)}
)


def _create_tables(database: sqlite3.Connection) -> None:
    database.execute(_STATE_DDL)
    database.execute(_HELD_DDL)


#: Step *i* brings a file from version *i* to *i + 1*, inside one transaction. Steps are only ever added, and
#: ``tests/golden/store_v<N>.sqlite`` keeps a file of every version.
MIGRATIONS: tuple[Callable[[sqlite3.Connection], None], ...] = (_create_tables,)


@dataclass(slots=True)
class Sections:
    """What a transaction works on: the opened sections by name, and the held items' sealed bytes.

    Changes are written when the transaction ends without an exception.
    """

    generation: int
    store_id: str
    is_new: bool
    _plain: dict[str, bytes]
    _database: sqlite3.Connection
    _aead: Aead
    changed: set[str] = field(default_factory=set)
    touched_held: bool = False

    def get(self, name: str) -> bytes | None:
        """The section's content, or ``None``."""
        return self._plain.get(name)

    def put(self, name: str, content: bytes) -> None:
        """Set the section's content."""
        if self._plain.get(name) != content:
            self._plain[name] = content
            self.changed.add(name)

    def put_held(self, item_id: str, content: bytes) -> None:
        """Seal and keep one held item's bytes."""
        sealed = bytes(self._aead.encrypt(content, _held_context(item_id)))
        self._database.execute("INSERT OR REPLACE INTO held (id, sealed) VALUES (?, ?)", (item_id, sealed))
        self.touched_held = True

    def get_held(self, item_id: str) -> bytes | None:
        """One held item's bytes, or ``None`` when they are not there or not what was kept."""
        row = self._database.execute("SELECT sealed FROM held WHERE id = ?", (item_id,)).fetchone()
        if row is None:
            return None
        return _open_sealed(self._aead, row[0], _held_context(item_id))

    def drop_held(self, item_id: str) -> None:
        """Erase one held item's bytes; overwritten in the file (``secure_delete``)."""
        self._database.execute("DELETE FROM held WHERE id = ?", (item_id,))
        self.touched_held = True


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What is stored, as of one moment. ``sections`` is empty unless ``state`` is ``OK``."""

    state: StoreState
    sections: Mapping[str, bytes]
    generation: int = 0
    store_id: str = ""


class Vault:
    """Sealed sections in one SQLite file. Used by several processes and threads at once.

    Args:
        path: of the file. Nothing is made before the first write.
        keys: gives the key that seals; a new one is made with the first write only.
        anchor: see :mod:`safelight.store.anchor`.
    """

    def __init__(self, path: str | os.PathLike[str], *, keys: KeyProvider, anchor: Anchor) -> None:
        self.path = Path(path)
        self._keys = keys
        self._anchor = anchor
        self._lock = threading.RLock()
        self._database: sqlite3.Connection | None = None
        self._pid = os.getpid()
        self._file_id: tuple[int, int] | None = None
        self._aead: Aead | None = None
        # What this process has seen: a copy put back under a running process is noticed without an anchor.
        self._seen: tuple[str, int] | None = None
        self._cached: tuple[int, Snapshot] | None = None
        self._may_begin = False

    def read(self) -> Snapshot:
        """What is stored now. Never raises for what is on the disk."""
        with self._lock:
            try:
                return self._read()
            except StoreError as error:
                return Snapshot(StoreState(error.state), {})
            except (sqlite3.Error, OSError) as error:
                self._disconnect()
                return Snapshot(_state_of(error), {})

    @contextlib.contextmanager
    def write(self, *, create: bool = False) -> Iterator[Sections]:
        """One transaction: all of it or none of it, also after ``kill -9``.

        Args:
            create: make the store if there is none.

        Raises:
            StoreError: the store cannot be believed or written to; nothing was changed.
        """
        failure: StoreError | None = None
        with self._lock:
            try:
                with self._transaction(create=create) as sections:
                    yield sections
            except (sqlite3.Error, OSError) as error:
                self._disconnect()
                # Raised outside the handler: its context would name a path.
                failure = store_error(_state_of(error, writing=True))
        if failure is not None:
            raise failure

    def replace(self) -> int:
        """Put what is there aside (renamed, never deleted), so that the next write begins a new store.

        Returns:
            The number that it was put aside under.

        Raises:
            StoreError: the folder cannot be written to.
        """
        failure: StoreError | None = None
        number = 0
        with self._lock:
            self._disconnect()
            self._seen, self._aead = None, None
            try:
                sqlite_file.drop_damaged_key(self._keys, KEY_NAME)
                number = sqlite_file.put_aside(self.path)
                self._may_begin = True
            except KeyUnavailableError:
                failure = store_error(StoreState.KEY_UNAVAILABLE)
            except OSError as error:
                failure = store_error(_state_of(error, writing=True))
        if failure is not None:
            raise failure
        return number

    def known_new(self) -> bool:
        """Whether an anchor says that there never was a store here; without an anchor nobody can know."""
        if self._anchor.kind == "none":
            return False
        try:
            return self._anchor.read() == 0
        except StoreError:
            return False

    def salvage(self, number: int) -> Iterator[tuple[str, bytes]]:
        """Held items of the store that was put aside under this number and that can still be opened, with their ids."""
        aead = self._opened_aead()
        path = sqlite_file.aside(self.path, number)
        if not path.exists():
            return
        with contextlib.suppress(sqlite3.Error):
            with contextlib.closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as database:
                for item_id, sealed in database.execute("SELECT id, sealed FROM held"):
                    if isinstance(item_id, str):
                        content = _open_sealed(aead, sealed, _held_context(item_id))
                        if content is not None:
                            yield item_id, content

    def close(self) -> None:
        """Let go of the file. Safe to call twice; a later call opens it again."""
        with self._lock:
            self._disconnect()
            self._aead = None

    # -- inside ---------------------------------------------------------------------------------------------------

    def _read(self) -> Snapshot:
        database = self._connect(create=False)
        if database is None:
            raise store_error(self._absent())
        version = database.execute("PRAGMA data_version").fetchone()[0]
        if self._cached is not None and self._cached[0] == version and not self._behind(self._cached[1]):
            return self._cached[1]
        if 0 < self._version(database) < len(MIGRATIONS):
            with self._transaction(create=False):
                pass
        database.execute("BEGIN")
        try:
            # Read once more inside: what is cached must belong to this version.
            version = database.execute("PRAGMA data_version").fetchone()[0]
            root, plain = self._load(database)
        finally:
            database.execute("ROLLBACK")
        snapshot = Snapshot(StoreState.OK, plain, root.generation, root.store_id)
        self._cached = (version, snapshot)
        return snapshot

    def _behind(self, snapshot: Snapshot) -> bool:
        return self._anchor.read() > snapshot.generation

    def _absent(self) -> StoreState:
        if self._seen is not None or self._anchor.read() > 0:
            return StoreState.MISSING
        return StoreState.NEW

    @contextlib.contextmanager
    def _transaction(self, *, create: bool) -> Iterator[Sections]:
        database = self._connect(create=create)
        if database is None:
            raise store_error(self._absent())
        database.execute("BEGIN IMMEDIATE")
        generation = 0
        try:
            begins = self._version(database) == 0 and not _objects(database)
            if begins and not (create and (self._may_begin or self._absent() is StoreState.NEW)):
                raise store_error(self._absent())
            if begins:
                root, plain = self._begin_new(database)
            else:
                self._migrate(database)
                root, plain = self._load(database)
            sections = Sections(root.generation, root.store_id, begins, dict(plain), database, self._opened_aead())
            yield sections
            if sections.changed or sections.touched_held or begins:
                generation = self._store(database, root, sections)
            database.execute("COMMIT")
        except BaseException:
            if database.in_transaction:
                with contextlib.suppress(sqlite3.Error):
                    database.execute("ROLLBACK")
            self._cached = None
            raise
        if generation:
            self._cached = None
            self._seen, self._may_begin = (root.store_id, generation), False
            # After the commit: a kill in between leaves a store that is ahead, which is no rollback. The other way
            # round it would lock a family out. One that does not answer is found by the next look.
            with contextlib.suppress(StoreError):
                self._anchor.advance(generation)

    def _begin_new(self, database: sqlite3.Connection) -> tuple[_Root, dict[str, bytes]]:
        self._opened_aead(create=True)
        for step in MIGRATIONS:
            step(database)
        database.execute(f"PRAGMA user_version = {len(MIGRATIONS)}")
        return _Root(os.urandom(16).hex(), self._anchor.read(), {}), {}

    def _migrate(self, database: sqlite3.Connection) -> None:
        version = self._version(database)
        if version > len(MIGRATIONS):
            raise store_error(StoreState.NEWER_VERSION)
        if version < 1:
            raise store_error(StoreState.DAMAGED)
        if version < len(MIGRATIONS):
            # The old version must be believable before anything is built on it.
            self._load(database, older=True)
            for step in MIGRATIONS[version:]:
                step(database)
            database.execute(f"PRAGMA user_version = {len(MIGRATIONS)}")

    def _version(self, database: sqlite3.Connection) -> int:
        return int(database.execute("PRAGMA user_version").fetchone()[0])

    def _load(self, database: sqlite3.Connection, *, older: bool = False) -> tuple[_Root, dict[str, bytes]]:
        version = self._version(database)
        if version > len(MIGRATIONS):
            raise store_error(StoreState.NEWER_VERSION)
        if version == 0 and not _objects(database):
            raise store_error(self._absent())
        found = _objects(database)
        if found != _OBJECTS and not (older and all(kind in ("table", "index") for kind, _, _ in found)):
            raise store_error(StoreState.DAMAGED)
        aead = self._opened_aead()
        sealed: dict[str, bytes] = {}
        for name, content in database.execute("SELECT name, sealed FROM state"):
            if not isinstance(name, str) or not isinstance(content, bytes) or len(content) > _MAX_SECTION_BYTES:
                raise store_error(StoreState.DAMAGED)
            sealed[name] = content
        opened = _open_sealed(aead, sealed.pop(_ROOT, b""), _context(_ROOT))
        if opened is None:
            raise store_error(StoreState.DAMAGED)
        try:
            root = _ROOT_DECODER.decode(opened)
        except (msgspec.DecodeError, ValueError):
            raise store_error(StoreState.DAMAGED) from None
        if {name: _digest(content) for name, content in sealed.items()} != root.digests:
            raise store_error(StoreState.DAMAGED)
        plain = {}
        for name, content in sealed.items():
            section = _open_sealed(aead, content, _context(name))
            if section is None:
                raise store_error(StoreState.DAMAGED)
            plain[name] = section
        anchored = self._anchor.read()
        if anchored > root.generation:
            raise store_error(StoreState.ROLLED_BACK)
        if anchored < root.generation:
            self._anchor.advance(root.generation)
        if self._seen is not None and self._seen[0] == root.store_id and self._seen[1] > root.generation:
            raise store_error(StoreState.ROLLED_BACK)
        self._seen = (root.store_id, root.generation)
        return root, plain

    def _store(self, database: sqlite3.Connection, root: _Root, sections: Sections) -> int:
        aead = self._opened_aead()
        digests = dict(root.digests)
        for name in sections.changed:
            content = sections.get(name)
            assert content is not None
            sealed = bytes(aead.encrypt(content, _context(name)))
            digests[name] = _digest(sealed)
            database.execute("INSERT OR REPLACE INTO state (name, sealed) VALUES (?, ?)", (name, sealed))
        generation = root.generation + 1
        new_root = _Root(root.store_id, generation, digests)
        sealed = bytes(aead.encrypt(_ROOT_CODER.encode(new_root), _context(_ROOT)))
        database.execute("INSERT OR REPLACE INTO state (name, sealed) VALUES (?, ?)", (_ROOT, sealed))
        return generation

    def _connect(self, *, create: bool) -> sqlite3.Connection | None:
        """The connection, opened anew when the file under it is another one; ``None`` when there is no file."""
        if self._pid != os.getpid():
            # A connection must not cross a fork; the parent's stays open in the parent.
            self._database, self._cached, self._pid = None, None, os.getpid()
        try:
            status = os.stat(self.path)
        except FileNotFoundError:
            status = None
        file_id = (status.st_dev, status.st_ino) if status is not None else None
        if self._database is not None:
            if file_id is not None and file_id == self._file_id:
                return self._database
            self._disconnect()
        if file_id is None:
            if not create:
                return None
            sqlite_file.make_private(self.path)
            status = os.stat(self.path)
            file_id = (status.st_dev, status.st_ino)
        database = sqlite_file.connect(self.path)
        try:
            sqlite_file.prepare(database)
        except BaseException:
            database.close()
            raise
        self._database, self._file_id, self._cached = database, file_id, None
        return database

    def _disconnect(self) -> None:
        if self._database is not None:
            if self._pid == os.getpid():
                with contextlib.suppress(sqlite3.Error):
                    self._database.close()
            self._database = None
        self._cached = None

    def _opened_aead(self, *, create: bool = False) -> Aead:
        if self._aead is None:
            key = None
            with contextlib.suppress(KeyUnavailableError):
                key = self._keys.create(KEY_NAME) if create else self._keys.get(KEY_NAME)
            if key is None:
                raise store_error(StoreState.KEY_UNAVAILABLE)
            self._aead = Aead(key)
        return self._aead


def _objects(database: sqlite3.Connection) -> frozenset[tuple[str, str, str | None]]:
    return frozenset(database.execute("SELECT type, name, sql FROM sqlite_master"))


def _context(name: str) -> bytes:
    return b"safelight store section\0" + name.encode()


def _held_context(item_id: str) -> bytes:
    return b"safelight store held\0" + item_id.encode()


def _digest(sealed: bytes) -> bytes:
    return hashlib.blake2b(sealed, digest_size=_DIGEST_BYTES).digest()


def _open_sealed(aead: Aead, sealed: object, context: bytes) -> bytes | None:
    if not isinstance(sealed, bytes):
        return None
    try:
        return bytes(aead.decrypt(sealed, context))
    except (CryptoError, ValueError, TypeError):
        return None


def _state_of(error: sqlite3.Error | OSError, *, writing: bool = False) -> StoreState:
    """Which state an error of the database or the operating system stands for."""
    state = StoreState(sqlite_file.trouble_of(error))
    return StoreState.UNREADABLE if state is StoreState.READ_ONLY and not writing else state
