"""What keeping a record costs, beside queues that a developer would pick, and what sending a batch costs.

python tests/bench/bench_outbox.py [FOLDER]

Every row is durable against a killed process; the column says what survives a loss of power. Ours also seals, signs,
de-duplicates and writes the ledger. FOLDER decides the disk: give one on the medium that devices have.
"""

from __future__ import annotations

import os
import sqlite3
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from nacl.public import PrivateKey
from nacl.signing import SigningKey
from safelight.decision import Action, Finding, FindingKind, Label, State
from safelight.keys import FileKeyProvider
from safelight.reporting import Ack, Collector, Outbox
from safelight.reporting.wire import SEALED_BYTES, seal_record, sign_record

ROUNDS = 1500


def median_us(call: Callable[[int], object], rounds: int = ROUNDS) -> tuple[float, float]:
    """Median and 99th percentile of wall time, in µs."""
    call(-1)
    times = []
    for number in range(rounds):
        started = time.perf_counter()
        call(number)
        times.append((time.perf_counter() - started) * 1e6)
    times.sort()
    return times[rounds // 2], times[rounds * 99 // 100]


def match(number: int) -> Finding:
    return Finding(FindingKind.KNOWN, State.OK, Label.MATCH, 1.0, "alpha", entry_id=number + 1, distance=3)


def plain(path: Path, synchronous: str) -> Callable[[int], object]:
    database = sqlite3.connect(path, isolation_level=None)
    database.execute("PRAGMA journal_mode = WAL")
    database.execute(f"PRAGMA synchronous = {synchronous}")
    database.execute("CREATE TABLE record (id BLOB PRIMARY KEY NOT NULL, sealed BLOB NOT NULL)")

    def insert(number: int) -> None:
        database.execute("BEGIN IMMEDIATE")
        database.execute("INSERT INTO record VALUES (?, ?)", (os.urandom(16), os.urandom(SEALED_BYTES)))
        database.execute("COMMIT")

    return insert


def peers(folder: Path) -> list[tuple[str, str, Callable[[int], object]]]:
    found = [
        ("plain sqlite, WAL, synchronous=FULL", "yes", plain(folder / "full.sqlite", "FULL")),
        ("plain sqlite, WAL, synchronous=NORMAL", "no", plain(folder / "normal.sqlite", "NORMAL")),
    ]
    try:
        from litequeue import LiteQueue
    except ImportError:
        sys.stdout.write("litequeue is not installed: left out\n")
    else:
        queue = LiteQueue(str(folder / "litequeue.sqlite"))
        found.append(("litequeue", "no", lambda _: queue.put(os.urandom(SEALED_BYTES // 2).hex())))
    try:
        from huey.storage import SqliteStorage
    except ImportError:
        sys.stdout.write("huey is not installed: left out\n")
    else:
        storage = SqliteStorage(filename=str(folder / "huey.sqlite"))
        found.append(("huey SqliteStorage", "yes", lambda _: storage.enqueue(os.urandom(SEALED_BYTES))))
    return found


def main(where: str | None) -> None:
    with tempfile.TemporaryDirectory(dir=where) as name:
        folder = Path(name)
        outbox = Outbox(folder / "ours" / "outbox.sqlite", keys=FileKeyProvider(folder / "keys"))
        private = PrivateKey.generate()
        outbox.connect(Collector(url="https://c.example", sealing_key=bytes(private.public_key), enrolment="t"))
        rows = [("safelight outbox", "yes", lambda n: outbox.enqueue([match(n)], action=Action.HOLD)), *peers(folder)]
        sys.stdout.write(f"{'keep one record of 1 KiB':40} {'median µs':>10} {'p99 µs':>10} power loss\n")
        # One after the other in turn: a disk that is busy for a while is busy for all.
        times: list[list[float]] = [[] for _ in rows]
        for number in range(ROUNDS):
            for (_, _, call), mine in zip(rows, times, strict=True):
                started = time.perf_counter()
                call(number)
                mine.append((time.perf_counter() - started) * 1e6)
        ours = sorted(times[0])[ROUNDS // 2]
        for (what, survives, _), mine in zip(rows, times, strict=True):
            middle, late = sorted(mine)[ROUNDS // 2], sorted(mine)[ROUNDS * 99 // 100]
            ratio = f"  ours ×{ours / middle:.2f}" if middle != ours else ""
            sys.stdout.write(f"{what:40} {middle:10.0f} {late:10.0f} {survives:4}{ratio}\n")

        again, _ = median_us(lambda n: outbox.enqueue([match(5)], action=Action.HOLD))
        nothing, _ = median_us(lambda n: outbox.enqueue([], action=Action.ALLOW))
        record = outbox.enqueue([match(5)], action=Action.HOLD)
        assert record is not None
        key, public = SigningKey.generate(), bytes(private.public_key)
        sealing, _ = median_us(lambda _: sign_record(key, record.id, seal_record(record, public)))
        sys.stdout.write(f"the same match again {again:.0f} µs; a decision without a match {nothing:.2f} µs; ")
        sys.stdout.write(f"of which sealing and signing {sealing:.0f} µs\n")

        registration = outbox.next_registration()
        assert registration is not None
        outbox.registered(registration.pseudonym)
        started, sent = time.perf_counter(), 0
        while (batch := outbox.next_batch()) is not None:
            assert batch.body
            outbox.acknowledge(batch, [Ack(one.id, "stored") for one in batch.records])
            sent += len(batch.records)
        took = time.perf_counter() - started
        sys.stdout.write(
            f"batches of 100 out and acknowledged: {sent / took:.0f} records/s, {len(waiting(outbox))} left\n"
        )
        outbox.close()


def waiting(outbox: Outbox) -> list[str]:
    """What still waits."""
    return [entry.id for entry in outbox.ledger() if entry.state in ("queued", "sent")]


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else None)
