"""What the store costs: reading settings at every check, taking a minute; beside the same row in plain SQLite.

python tests/bench/bench_store.py [FOLDER]
"""

from __future__ import annotations

import sqlite3
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from safelight.keys import FileKeyProvider
from safelight.store import Store
from safelight.store import pin as pins

ROUNDS = 300


def median_us(call: Callable[[], object], rounds: int = ROUNDS) -> float:
    call()
    times = []
    for _ in range(rounds):
        started = time.perf_counter()
        call()
        times.append((time.perf_counter() - started) * 1e6)
    return sorted(times)[rounds // 2]


def main(folder: str | None) -> None:
    with tempfile.TemporaryDirectory(dir=folder) as name:
        path = Path(name)
        plain = sqlite3.connect(path / "plain.sqlite", isolation_level=None)
        plain.execute("PRAGMA journal_mode = WAL")
        plain.execute("PRAGMA synchronous = FULL")
        plain.execute("CREATE TABLE usage (purpose TEXT PRIMARY KEY, used REAL)")

        def plain_take() -> None:
            plain.execute("BEGIN IMMEDIATE")
            plain.execute("INSERT OR REPLACE INTO usage VALUES ('games', 1.0)")
            plain.execute("COMMIT")

        with Store(path / "store.sqlite", keys=FileKeyProvider(path)) as store:
            store.set_up({"rules.view.explicit": "HOLD"}, pin="482913")
            read = median_us(lambda: plain.execute("SELECT used FROM usage").fetchone())
            settings = median_us(lambda: (store.settings, store.rules_in_force()))
            write = median_us(plain_take)
            take = median_us(lambda: store.allowance.take("games", 1))
            pin = median_us(lambda: pins.hash_secret("482913"), 5)
        plain.close()
    print(f"settings and rules in force  {settings:9.1f} µs   plain SELECT {read:9.1f} µs   ×{settings / read:.1f}")
    print(f"take a minute                {take:9.1f} µs   plain write  {write:9.1f} µs   ×{take / write:.1f}")
    print(f"one PIN (Argon2id, 3 × 64 MiB) {pin / 1000:7.1f} ms")


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else None)
