"""A world for the store's tests: clocks that are set by hand, cheap hashes, and tricks played on the files."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from safelight.keys import FileKeyProvider
from safelight.store import Anchor, FileAnchor, HoldLimits, NoAnchor, Store

PIN = "482913"
HOUR_S = 3600.0
DAY_S = 24 * HOUR_S
# Saturday 21 November 2026, 10:00 UTC.
START_S = 1_795_255_200.0


@dataclass
class FakeClock:
    """A device's clocks. ``real_s`` is what only the test knows: how much time truly passed."""

    wall: float = START_S
    boot: float = 1000.0
    boot_number: int = 1
    real_s: float = 0.0

    def wall_s(self) -> float:
        return self.wall

    def boot_s(self) -> float:
        return self.boot

    def boot_id(self) -> str:
        return f"boot-{self.boot_number}"

    def run(self, seconds: float) -> None:
        """Time passes while the device runs."""
        self.wall += seconds
        self.boot += seconds
        self.real_s += seconds

    def set_wall(self, wall_s: float) -> None:
        """Somebody sets the clock."""
        self.wall = wall_s

    def restart(self, off_s: float = 45.0, *, uptime_s: float = 15.0) -> None:
        """Off for a while, then up; a battery keeps the wall clock going."""
        self.wall += off_s + uptime_s
        self.boot = uptime_s
        self.boot_number += 1
        self.real_s += off_s + uptime_s


@dataclass
class World:
    """One device: a folder with a store in it, its clock, its keystore, and maybe an anchor outside."""

    folder: Path
    anchored: bool = False
    clock: FakeClock = field(default_factory=FakeClock)
    hold_limits: HoldLimits | None = None

    @property
    def path(self) -> Path:
        return self.folder / "state" / "store.sqlite"

    @property
    def anchor(self) -> Anchor:
        if not self.anchored:
            return NoAnchor()
        outside = self.folder / "outside"
        outside.mkdir(exist_ok=True)
        return FileAnchor(outside / "counter")

    @property
    def keys(self) -> FileKeyProvider:
        return FileKeyProvider(self.folder / "keys")

    def open(self) -> Store:
        return Store(self.path, keys=self.keys, anchor=self.anchor, clock=self.clock, hold_limits=self.hold_limits)

    def set_up(self, **patch: object) -> Store:
        """A store in which everything asked for is in force: the wait is over."""
        store = self.open()
        change = store.set_up({key.replace("__", "."): value for key, value in patch.items()}, pin=PIN).change
        if change.pending is not None:
            self.clock.run(change.pending.in_force_in_s + 1)
            assert store.pending() == ()
        return store

    @contextmanager
    def copied(self) -> Iterator[None]:
        """Copy the store's folder, and put the copy back at the end: what a patient child with a file manager does."""
        copy = self.folder / "copy"
        shutil.copytree(self.path.parent, copy)
        yield
        shutil.rmtree(self.path.parent)
        copy.rename(self.path.parent)


def checkpoint(path: Path) -> None:
    """Move everything from the log into the file itself."""
    database = sqlite3.connect(path)
    database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    database.close()
