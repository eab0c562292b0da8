"""What a scan has decided, on the disk, so that one that was stopped goes on where it was.

It holds keyed digests of names, sizes and times, with the action and the ids of its reasons: no name, no score, nothing
of a picture. Whoever has the file and the folder can tell which file was decided how; it lies in the user's own state
folder for that reason.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import sqlite3
from pathlib import Path
from typing import Final

from safelight.decision import Action
from safelight.errors import ScanError
from safelight.scan.walk import Found

_SCHEMA: Final = 1
_DIGEST_BYTES: Final = 16


class Journal:
    """The decisions of one scan. Not thread-safe: one scan writes it.

    Args:
        path: of the file; made when it is not there.
        stamp: of everything that a decision depends on but the file itself (models, rules, settings, event). Decisions
            made under another stamp are forgotten.

    Raises:
        ScanError: the file cannot be read or written, or is in use by another scan.
    """

    def __init__(self, path: str | os.PathLike[str], *, stamp: str) -> None:
        self._open = False
        try:
            Path(path).parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
            self._file = sqlite3.connect(path, timeout=0, isolation_level=None)
            self._open = True
            # The lock is held until `close`: two scans of one folder would each miss what the other decides.
            self._file.execute("PRAGMA locking_mode=EXCLUSIVE")
            # Whatever a power cut takes is looked at again; waiting for the disk after every file is not worth that.
            self._file.execute("PRAGMA journal_mode=WAL")
            self._file.execute("PRAGMA synchronous=NORMAL")
            self._file.execute("BEGIN EXCLUSIVE")
            self._prepare(stamp)
            self._file.execute("COMMIT")
        except (OSError, sqlite3.Error) as error:
            if self._open:
                self._file.close()
            raise _failed(error) from None

    def _prepare(self, stamp: str) -> None:
        file = self._file
        (version,) = file.execute("PRAGMA user_version").fetchone()
        if version not in (0, _SCHEMA):
            raise ScanError(f"journal: got schema {version}, this version reads {_SCHEMA}; start with again=True.")
        file.execute("CREATE TABLE IF NOT EXISTS about (name TEXT PRIMARY KEY, value BLOB NOT NULL)")
        file.execute("CREATE TABLE IF NOT EXISTS decided (file BLOB PRIMARY KEY, action INTEGER, reasons TEXT)")
        file.execute(f"PRAGMA user_version={_SCHEMA}")
        file.execute("INSERT OR IGNORE INTO about VALUES ('key', ?)", (secrets.token_bytes(32),))
        (self._key,) = file.execute("SELECT value FROM about WHERE name='key'").fetchone()
        before = file.execute("SELECT value FROM about WHERE name='stamp'").fetchone()
        if before is None or before[0] != stamp.encode():
            file.execute("DELETE FROM decided")
            file.execute("INSERT OR REPLACE INTO about VALUES ('stamp', ?)", (stamp.encode(),))

    def known(self, found: Found) -> tuple[Action, tuple[str, ...]] | None:
        """What was decided about this very file, if it has not changed since.

        Raises:
            ScanError: the file cannot be read.
        """
        try:
            row = self._file.execute("SELECT action, reasons FROM decided WHERE file=?", (self._id(found),)).fetchone()
        except sqlite3.Error as error:
            raise _failed(error) from None
        try:
            return (Action(row[0]), tuple(row[1].split())) if row is not None else None
        except (ValueError, AttributeError):
            return None  # damaged: look again

    def add(self, found: Found, action: Action, reasons: tuple[str, ...]) -> None:
        """Keep a decision. On the disk when this returns, as far as a killed process is concerned.

        Raises:
            ScanError: it could not be written; the scan may go on, but not be gone on with from here.
        """
        try:
            self._file.execute(
                "INSERT OR REPLACE INTO decided VALUES (?, ?, ?)", (self._id(found), int(action), " ".join(reasons))
            )
        except sqlite3.Error as error:
            raise _failed(error) from None

    def forget(self) -> None:
        """Forget every decision: the next scan starts anew.

        Raises:
            ScanError: it could not be written.
        """
        try:
            self._file.execute("DELETE FROM decided")
        except sqlite3.Error as error:
            raise _failed(error) from None

    def __len__(self) -> int:
        (count,) = self._file.execute("SELECT COUNT(*) FROM decided").fetchone()
        return int(count)

    def close(self) -> None:
        """Let go of the file. Safe to call twice."""
        self._file.close()

    def _id(self, found: Found) -> bytes:
        whole = hashlib.blake2b(key=self._key, digest_size=_DIGEST_BYTES)
        whole.update(f"{found.size_bytes} {found.mtime_ns} {found.ctime_ns} ".encode())
        whole.update(os.fsencode(found.name))
        return whole.digest()


def _failed(error: Exception) -> ScanError:
    return ScanError(
        f"journal: got {type(error).__name__}, expected a file of this scan alone that can be written; end the other "
        "scan, make room, or go on without a journal."
    )
