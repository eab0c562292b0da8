"""How a private SQLite file is made, opened, put aside and understood when it fails: the store's and the outbox's."""

from __future__ import annotations

import contextlib
import errno
import os
import sqlite3
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

from safelight.errors import KeyDamagedError, KeyMissingError

if TYPE_CHECKING:
    from safelight.keys import KeyProvider

#: Names of states that every file of ours has.
Trouble = Literal["FULL", "READ_ONLY", "DAMAGED", "UNREADABLE"]

_BUSY_TIMEOUT_S: Final = 10.0


def make_private(path: Path) -> None:
    """Make an empty file that only this user can open, from the first byte on; SQLite gives -wal and -shm the same.

    Raises:
        OSError: it cannot be made.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
    if os.name == "posix":
        # Its entry in the folder, too, must outlast a loss of power.
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def connect(path: Path) -> sqlite3.Connection:
    """Open a file that is there, for several threads in turn."""
    return sqlite3.connect(
        f"{path.absolute().as_uri()}?mode=rw",
        uri=True,
        timeout=_BUSY_TIMEOUT_S,
        isolation_level=None,
        check_same_thread=False,
    )


def connect_read_only(path: Path) -> sqlite3.Connection:
    """Where nothing can be written, SQLite cannot make the files that WAL needs; without a log it needs none."""
    log = path.with_name(path.name + "-wal")
    whole = not log.exists() or log.stat().st_size == 0
    address = f"{path.absolute().as_uri()}?mode=ro{'&immutable=1' if whole else ''}"
    return sqlite3.connect(address, uri=True, timeout=_BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False)


def prepare(connection: Any) -> None:
    """Set a new connection up: what is erased is overwritten, what is committed survives a loss of power."""
    connection.execute("PRAGMA trusted_schema = OFF").fetchall()
    connection.execute("PRAGMA secure_delete = ON").fetchall()
    with contextlib.suppress(sqlite3.OperationalError):
        # In a folder that cannot be written to, reading goes on without it.
        connection.execute("PRAGMA journal_mode = WAL").fetchall()
    connection.execute("PRAGMA synchronous = FULL").fetchall()


def aside(path: Path, number: int, suffix: str = "") -> Path:
    """Where the file, or its log, is after it was put aside under this number."""
    return path.with_name(f"{path.name}.aside-{number}{suffix}")


def put_aside(path: Path) -> int:
    """Rename the file with its log, so that a new one can begin; nothing is deleted. Returns the number.

    Raises:
        OSError: the folder cannot be written to.
    """
    number = 1
    while aside(path, number).exists():
        number += 1
    for suffix in ("-wal", "-shm", ""):
        with contextlib.suppress(FileNotFoundError):
            path.with_name(path.name + suffix).rename(aside(path, number, suffix))
    return number


def drop_damaged_key(keys: KeyProvider, name: str) -> None:
    """Delete a key that opens nothing any more and would stand in the way of a new one; keep any other.

    Raises:
        KeyUnavailableError: nobody can tell.
    """
    try:
        with contextlib.suppress(KeyMissingError):
            keys.get(name)
    except KeyDamagedError:
        keys.delete(name)


def trouble_of(error: sqlite3.Error | OSError) -> Trouble:
    """Which state an error of the database or the operating system stands for."""
    if isinstance(error, OSError):
        if error.errno in (errno.ENOSPC, errno.EFBIG, errno.EDQUOT):
            return "FULL"
        if error.errno in (errno.EROFS, errno.EACCES, errno.EPERM):
            return "READ_ONLY"
        return "UNREADABLE"
    # sqlite_errorname came with Python 3.11; the messages are fixed texts of SQLite.
    text = str(error).lower()
    if "full" in text:
        return "FULL"
    if "readonly" in text or "read-only" in text:
        return "READ_ONLY"
    if any(word in text for word in ("malformed", "not a database", "no such table", "no such column")):
        return "DAMAGED"
    if isinstance(error, (sqlite3.IntegrityError, sqlite3.DataError, sqlite3.InterfaceError)):
        return "DAMAGED"
    return "UNREADABLE"
