"""The outbox's file: SQLite in WAL mode, every commit synchronised, every doubt a named state."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import threading
from collections.abc import Callable, Iterator
from enum import Enum
from pathlib import Path
from typing import Any, Final, TypeVar, cast

import msgspec
from nacl.exceptions import CryptoError
from nacl.secret import Aead

from safelight.errors import KeyUnavailableError, ReportError
from safelight.keys import KeyProvider
from safelight.store import sqlite_file

KEY_NAME: Final = "outbox"
VERSION: Final = 1
# One MiB of log at most before it is moved over: small devices have small disks.
_LOG_PAGES: Final = 256

T = TypeVar("T")


class OutboxState(str, Enum):
    """Whether records are kept and can be sent, and if not, why. In every state a decision stands as it is."""

    OK = "OK"
    OFF = "OFF"
    """No collector is set up: no record is made."""
    DAMAGED = "DAMAGED"
    """It fails authentication, or is no database of ours."""
    NEWER_VERSION = "NEWER_VERSION"
    """A newer Safelight wrote it."""
    KEY_UNAVAILABLE = "KEY_UNAVAILABLE"
    """The device's key for it cannot be had."""
    UNREADABLE = "UNREADABLE"
    """It cannot be opened or read: permissions, a failing disk, another process that never lets go."""
    READ_ONLY = "READ_ONLY"
    """It cannot be written to. Only writes carry this state."""
    FULL = "FULL"
    """No room is left. Only writes carry this state."""

    def __str__(self) -> str:
        return str(self.value)


_NEXT_STEP: Final = {
    OutboxState.OFF: "set a collector up with `safelight outbox connect`",
    OutboxState.DAMAGED: "put a backup back, or begin a new one with `safelight outbox purge --replace`",
    OutboxState.NEWER_VERSION: "update Safelight",
    OutboxState.KEY_UNAVAILABLE: "unlock or restore the keystore, or `safelight outbox purge --replace`",
    OutboxState.UNREADABLE: "check the folder's permissions and the disk, and try again",
    OutboxState.READ_ONLY: "make the outbox's folder writable",
    OutboxState.FULL: "make room on the disk",
}

_TABLES: Final = (
    "CREATE TABLE meta (name TEXT PRIMARY KEY NOT NULL, sealed BLOB NOT NULL) WITHOUT ROWID",
    "CREATE TABLE record (id BLOB PRIMARY KEY NOT NULL, pseudonym TEXT NOT NULL, sealed BLOB NOT NULL, "
    "signature BLOB NOT NULL, kind BLOB NOT NULL, state TEXT NOT NULL, queued_s REAL NOT NULL, "
    "attempts INTEGER NOT NULL)",
    "CREATE TABLE ledger (id BLOB PRIMARY KEY NOT NULL, state TEXT NOT NULL, queued_day TEXT NOT NULL, "
    "last_day TEXT NOT NULL, last_s REAL NOT NULL, attempts INTEGER NOT NULL, collector TEXT NOT NULL) WITHOUT ROWID",
    "CREATE TABLE count (name TEXT PRIMARY KEY NOT NULL, value INTEGER NOT NULL) WITHOUT ROWID",
)
# Exactly these objects may exist: a trigger or a view that somebody adds would run with our writes.
_OBJECTS: Final = frozenset(
    {("table", sql.split()[2], sql) for sql in _TABLES} | {("index", "sqlite_autoindex_record_1", None)}
)

Connect = Callable[[Path], Any]
"""Opens a connection; the standard library's when left out, one over another VFS in tests of power loss."""


def report_error(state: OutboxState) -> ReportError:
    """The exception for a state; carries no path."""
    return ReportError(
        f"outbox: got {state.value}, expected one that can be read and written; {_NEXT_STEP[state]}.", state=state.value
    )


class Database:
    """One file, its key and its connection. Used by several threads and processes at once."""

    def __init__(self, path: Path, *, keys: KeyProvider, connect: Connect | None = None) -> None:
        self.path = path
        self.keys = keys
        self._connect = connect if connect is not None else sqlite_file.connect
        self._lock = threading.RLock()
        self._connection: Any = None
        self._file_id: tuple[int, int] | None = None
        self._pid = os.getpid()
        self._only_reads = False
        # What was opened last, by name, with the sealed bytes that it came from: opening costs more than comparing.
        self._opened_values: dict[str, tuple[bytes, object]] = {}
        self._key: bytes | None = None
        self._aead: Aead | None = None

    @contextlib.contextmanager
    def transaction(self, *, create: bool = False, write: bool = True) -> Iterator[Transaction | None]:
        """All of it or none of it, also after ``kill -9``; ``None`` when there is no file and none is to be made.

        Args:
            create: make the file if there is none.
            write: whether anything will be written; a file that cannot be written to can still be read.

        Raises:
            ReportError: the file cannot be believed or written to; nothing was changed.
        """
        failure: ReportError | None = None
        with self._lock:
            try:
                connection = self._opened(create=create, write=write)
                if connection is None:
                    yield None
                    return
                connection.execute("BEGIN IMMEDIATE" if write else "BEGIN")
                try:
                    yield self._begin(connection, create=create)
                    connection.execute("COMMIT")
                except BaseException:
                    with contextlib.suppress(sqlite3.Error):
                        connection.execute("ROLLBACK")
                    raise
            except (sqlite3.Error, OSError) as error:
                self._disconnect()
                # Raised outside the handler: its context would name a path.
                failure = report_error(state_of(error))
            finally:
                if self._only_reads:
                    # The folder may be writable the next time.
                    self._disconnect()
        if failure is not None:
            raise failure

    def key(self, *, create: bool = False) -> bytes:
        """The device's key for the outbox.

        Raises:
            ReportError: it cannot be had.
        """
        if self._key is None:
            key = None
            with contextlib.suppress(KeyUnavailableError):
                key = self.keys.create(KEY_NAME) if create else self.keys.get(KEY_NAME)
            if key is None:
                raise report_error(OutboxState.KEY_UNAVAILABLE)
            self._key, self._aead = key, Aead(key)
        return self._key

    def truncate_log(self) -> None:
        """Move everything out of the log: what was erased is then in no file any more."""
        with self._lock, contextlib.suppress(sqlite3.Error):
            if self._connection is not None:
                self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()

    def replace(self) -> int:
        """Put the file aside (renamed, never deleted), so that the next write begins a new one; returns its number.

        Raises:
            ReportError: the folder cannot be written to.
        """
        failure: ReportError | None = None
        number = 0
        with self._lock:
            self._disconnect()
            self._key = self._aead = None
            self._opened_values.clear()
            try:
                sqlite_file.drop_damaged_key(self.keys, KEY_NAME)
                number = sqlite_file.put_aside(self.path)
            except KeyUnavailableError:
                failure = report_error(OutboxState.KEY_UNAVAILABLE)
            except OSError as error:
                failure = report_error(state_of(error))
        if failure is not None:
            raise failure
        return number

    def close(self) -> None:
        """Let go of the file. Safe to call twice; a later call opens it again."""
        with self._lock:
            self._disconnect()
            self._key = self._aead = None
            self._opened_values.clear()

    # -- inside ---------------------------------------------------------------------------------------------------

    def _begin(self, connection: Any, *, create: bool) -> Transaction:
        version = int(connection.execute("PRAGMA user_version").fetchall()[0][0])
        found = frozenset(
            (kind, name, sql) for kind, name, sql in connection.execute("SELECT type, name, sql FROM sqlite_master")
        )
        if version > VERSION:
            raise report_error(OutboxState.NEWER_VERSION)
        if version == 0 and not found and create:
            self.key(create=True)
            for statement in _TABLES:
                connection.execute(statement)
            connection.execute(f"PRAGMA user_version = {VERSION}")
        elif version != VERSION or found != _OBJECTS:
            raise report_error(OutboxState.DAMAGED)
        self.key()
        assert self._aead is not None
        return Transaction(connection, self._aead, self._opened_values)

    def _opened(self, *, create: bool, write: bool) -> Any:
        if self._pid != os.getpid():
            # A connection must not cross a fork; the parent's stays open in the parent.
            self._connection, self._pid = None, os.getpid()
        try:
            status = os.stat(self.path)
        except FileNotFoundError:
            status = None
        file_id = (status.st_dev, status.st_ino) if status is not None else None
        if self._connection is not None:
            if file_id is not None and file_id == self._file_id:
                return self._connection
            self._disconnect()
        if status is None:
            if not create:
                return None
            sqlite_file.make_private(self.path)
            status = os.stat(self.path)
            file_id = (status.st_dev, status.st_ino)
        if not os.access(self.path.parent, os.W_OK):
            if write:
                raise report_error(OutboxState.READ_ONLY)
            self._only_reads = True
            self._connection = sqlite_file.connect_read_only(self.path)
            return self._connection
        connection = self._connect(self.path)
        try:
            sqlite_file.prepare(connection)
            connection.execute(f"PRAGMA wal_autocheckpoint = {_LOG_PAGES}").fetchall()
        except BaseException:
            connection.close()
            raise
        self._connection, self._file_id = connection, file_id
        return connection

    def _disconnect(self) -> None:
        if self._connection is not None:
            if self._pid == os.getpid():
                with contextlib.suppress(sqlite3.Error):
                    self._connection.close()
            self._connection = None
        self._only_reads = False


class Transaction:
    """What is done inside one transaction."""

    def __init__(self, connection: Any, aead: Aead, opened: dict[str, tuple[bytes, object]]) -> None:
        self._connection = connection
        self._aead = aead
        self._opened = opened

    def execute(self, statement: str, values: tuple[Any, ...] = ()) -> None:
        """One statement without an answer."""
        self._connection.execute(statement, values)

    def rows(self, statement: str, values: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
        """All rows."""
        return [tuple(row) for row in self._connection.execute(statement, values).fetchall()]

    def get(self, name: str, kind: type[T]) -> T | None:
        """A sealed value, or ``None``. Not to be changed in place.

        Raises:
            ReportError: it is not what was written.
        """
        rows = self.rows("SELECT sealed FROM meta WHERE name = ?", (name,))
        if not rows:
            return None
        sealed = rows[0][0]
        known = self._opened.get(name)
        if known is not None and known[0] == sealed:
            return cast("T", known[1])
        with contextlib.suppress(CryptoError, ValueError, TypeError, msgspec.DecodeError):
            value = msgspec.msgpack.decode(bytes(self._aead.decrypt(sealed, _context(name))), type=kind)
            self._opened[name] = (sealed, value)
            return value
        raise report_error(OutboxState.DAMAGED)

    def put(self, name: str, value: Any) -> None:
        """Seal and set a value."""
        sealed = bytes(self._aead.encrypt(msgspec.msgpack.encode(value), _context(name)))
        self.execute("INSERT OR REPLACE INTO meta (name, sealed) VALUES (?, ?)", (name, sealed))

    def drop(self, name: str) -> None:
        """Erase a value."""
        self.execute("DELETE FROM meta WHERE name = ?", (name,))

    def count(self, name: str, more: int) -> None:
        """Add to a counter."""
        if more:
            self.execute(
                "INSERT INTO count (name, value) VALUES (?, ?) "
                "ON CONFLICT (name) DO UPDATE SET value = value + excluded.value",
                (name, more),
            )

    def counts(self) -> dict[str, int]:
        """All counters."""
        return dict(self.rows("SELECT name, value FROM count ORDER BY name"))


def state_of(error: sqlite3.Error | OSError) -> OutboxState:
    """Which state an error of the database or the operating system stands for."""
    return OutboxState(sqlite_file.trouble_of(error))


def _context(name: str) -> bytes:
    return b"safelight outbox\0" + name.encode()
