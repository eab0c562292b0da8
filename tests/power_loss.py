"""A disk that loses power: what was not synchronised may be there, in part, or not at all.

A VFS of apsw's own SQLite remembers, for every file, what was on the disk at the last sync and the writes since. When
the power fails every call fails; then :meth:`Disk.after` writes what such a disk may show: the synchronised state and
any part of the later writes, cut at any sector. The same SQL goes through it as through the standard library.
"""

from __future__ import annotations

import contextlib
import itertools
import random
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import apsw

_SECTOR = 512
_NAMES = itertools.count()


@dataclass
class _Content:
    """One file: what a sync has made sure of, and what came since. A truncation is a write without bytes."""

    safe: bytes | None = None
    later: list[tuple[int, bytes | None]] = field(default_factory=list)


class PowerFailedError(Exception):
    """The machine is off."""


class Disk:
    """The files below one folder.

    Args:
        rng: decides what is left of writes that were not synchronised.
        fails_after: how many writes and syncs the power lasts; ``None``: it does not fail.
    """

    def __init__(self, rng: random.Random, *, fails_after: int | None = None) -> None:
        self.files: dict[str, _Content] = {}
        self.rng = rng
        self.left = fails_after
        self.on = True
        self.syncs = 0
        self.name = f"power-{next(_NAMES)}"
        self._vfs = _Vfs(self)

    def step(self) -> None:
        """One write or sync; the power may fail before it."""
        if self.left is not None:
            self.left -= 1
            if self.left < 0:
                self.on = False
        if not self.on:
            raise PowerFailedError

    def synced(self, path: str) -> None:
        content = self.files.setdefault(path, _Content())
        content.safe = _applied(content.safe or b"", content.later)
        content.later = []
        self.syncs += 1

    def connect(self, path: Path, *, synchronous: str = "FULL") -> Connection:
        """A connection as :class:`safelight.reporting.Outbox` takes it.

        Args:
            synchronous: instead of what the outbox asks for, to show what that is good for.
        """
        self._known(path)
        return Connection(path, self.name, synchronous)

    def _known(self, path: Path) -> None:
        # What the outbox itself made and synchronised (an empty file) before SQLite came.
        self.files.setdefault(str(path), _Content(safe=path.read_bytes()))

    def after(self) -> None:
        """Put on the real disk what this one shows when the power is back."""
        self.on, self.left = True, None
        for path, content in self.files.items():
            later = content.later
            if later:
                # Disks write in any order: any subset, and of a write any of its sectors.
                later = [self._torn(write) for write in later if self.rng.random() < self.rng.choice([0.0, 0.5, 1.0])]
            if content.safe is None and not later:
                Path(path).unlink(missing_ok=True)
            else:
                Path(path).write_bytes(_applied(content.safe or b"", later))
        for path in list(self.files):
            Path(path + "-shm").unlink(missing_ok=True)
        self.files = {path: _Content(safe=Path(path).read_bytes()) for path in self.files if Path(path).exists()}

    def _torn(self, write: tuple[int, bytes | None]) -> tuple[int, bytes | None]:
        at, data = write
        if data is None or self.rng.random() < 0.7:
            return write
        return at, data[: self.rng.randrange(0, len(data) // _SECTOR + 1) * _SECTOR]


def _applied(content: bytes, writes: Sequence[tuple[int, bytes | None]]) -> bytes:
    whole = bytearray(content)
    for at, data in writes:
        if data is None:
            del whole[at:]
            continue
        if len(whole) < at:
            whole.extend(bytes(at - len(whole)))
        whole[at : at + len(data)] = data
    return bytes(whole)


class _Vfs(apsw.VFS):
    def __init__(self, disk: Disk) -> None:
        self._disk = disk
        super().__init__(disk.name, "")

    def xOpen(self, name: Any, flags: list[int]) -> _File:  # noqa: N802 - SQLite's names
        return _File(self._disk, name, flags)

    def xDelete(self, filename: str, syncdir: bool) -> None:  # noqa: N802
        self._disk.step()
        super().xDelete(filename, syncdir)
        self._disk.files.pop(filename, None)


class _File(apsw.VFSFile):
    def __init__(self, disk: Disk, name: Any, flags: list[int]) -> None:
        self._disk = disk
        self._path = name.filename() if isinstance(name, apsw.URIFilename) else str(name)
        super().__init__("", name, flags)
        disk.files.setdefault(self._path, _Content())

    def xWrite(self, data: bytes, offset: int) -> None:  # noqa: N802
        self._disk.step()
        super().xWrite(data, offset)
        self._disk.files[self._path].later.append((offset, bytes(data)))

    def xTruncate(self, newsize: int) -> None:  # noqa: N802
        self._disk.step()
        super().xTruncate(newsize)
        self._disk.files[self._path].later.append((newsize, None))

    def xSync(self, flags: int) -> None:  # noqa: N802
        self._disk.step()
        super().xSync(flags)
        self._disk.synced(self._path)


class _Rows(list[tuple[Any, ...]]):
    def fetchall(self) -> list[tuple[Any, ...]]:
        return self


class Connection:
    """apsw's connection with as much of the standard library's face as the outbox uses."""

    def __init__(self, path: Path, vfs: str, synchronous: str) -> None:
        flags = apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE
        self._connection = apsw.Connection(str(path), flags=flags, vfs=vfs)
        self._synchronous = synchronous
        # A VFS written in Python has no shared memory; one process needs none.
        self.execute("PRAGMA locking_mode = EXCLUSIVE")

    def execute(self, statement: str, values: tuple[Any, ...] = ()) -> _Rows:
        if statement == "PRAGMA synchronous = FULL":
            statement = f"PRAGMA synchronous = {self._synchronous}"
        failure: Exception | None = None
        try:
            return _Rows(self._connection.execute(statement, values))
        except (apsw.CorruptError, apsw.NotADBError):
            failure = sqlite3.DatabaseError("database disk image is malformed")
        except (apsw.Error, PowerFailedError):
            failure = sqlite3.OperationalError("disk I/O error")
        raise failure

    def close(self) -> None:
        with contextlib.suppress(apsw.Error, PowerFailedError):
            self._connection.close(True)
