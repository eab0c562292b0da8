"""The reference collector: records a second, how long one takes from outbox to acknowledgement, and ten million rows.

python tests/bench/bench_collector.py check                 what one record costs a processor, without a database
python tests/bench/bench_collector.py throughput [FOLDER] [BATCH]   SQLite, PostgreSQL, 1 and 4 processes; plain inserts
python tests/bench/bench_collector.py latency [FOLDER]      enqueue to acknowledgement, one record at a time
python tests/bench/bench_collector.py growth [FOLDER] [ROWS] [KIND…]  inserts, queries, sizes; empty and with 10,000,000

FOLDER is where the databases are made and deleted again; it should be on the disk that is meant. PostgreSQL is a
private server with fsync on, 256 MB of shared buffers and a WAL of up to 4 GB.
"""

from __future__ import annotations

import http.client
import json
import multiprocessing
import os
import sqlite3
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date, timedelta
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "examples" / "collector" / "src")]

import msgspec
from collector_world import CollectorProcess, Device, Postgres, environment, postgres_programs
from nacl.public import PrivateKey
from safelight_collector.app import token_digest
from safelight_collector.intake import SealingKeys, examine, stored_content
from safelight_collector.protocol import Upload
from safelight_collector.settings import Settings
from safelight_collector.storage import Key, Opened, Storage, today
from sqlalchemy import text

BATCH = 100
RECORDS = 30_000
CLIENTS = 8
DAY = date(2026, 11, 22)
LIMITS: dict[str, object] = {
    "burst_records": 10_000_000,
    "rate_records_per_s": 1_000_000,
    "max_in_flight": 64,
    "threads": 4,
    "keys_per_s": 100_000,
}
POSTGRES = "-c shared_buffers=256MB -c max_wal_size=4GB"


def median_us(
    call: Callable[[], object], rounds: int, clock: Callable[[], float] = time.perf_counter
) -> tuple[float, float]:
    """Median and 95th percentile."""
    times = []
    for _ in range(rounds):
        started = clock()
        call()
        times.append((clock() - started) * 1e6)
    times.sort()
    return times[rounds // 2], times[rounds * 95 // 100]


def processor_s(root: int) -> float:
    """Processor time of a process and its descendants, the ended ones included that were waited for."""
    total = 0.0
    waiting = [root]
    ticks = os.sysconf("SC_CLK_TCK")
    while waiting:
        pid = waiting.pop()
        try:
            words = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            total += sum(int(word) for word in words[11:15]) / ticks
            for task in Path(f"/proc/{pid}/task").iterdir():
                waiting += [int(word) for word in (task / "children").read_text().split()]
        except OSError:
            continue
    return total


def server_pid(url: str) -> int | None:
    """The database server's own process, if there is one."""
    if url.startswith("sqlite"):
        return None
    return int((Path(url.partition("host=")[2]) / "data" / "postmaster.pid").read_text().split()[0])


@contextmanager
def database(kind: str, folder: Path) -> Iterator[str]:
    with tempfile.TemporaryDirectory(dir=folder) as name:
        if kind == "sqlite":
            yield f"sqlite:///{name}/collector.sqlite"
            return
        programs = postgres_programs()
        if programs is None:
            raise SystemExit("PostgreSQL is not installed: apt-get install postgresql")
        server = Postgres(programs, where=folder, settings=POSTGRES)
        try:
            yield server.url("postgres")
        finally:
            server.close()


def set_up(url: str, sealing: PrivateKey) -> Storage:
    storage = Storage(Settings(database_url=url, threads=4))
    storage.migrate()
    storage.add_sealing_key(bytes(sealing.public_key))
    storage.add_token(token_digest("token"), max_uses=1_000_000, days=30)
    return storage


def check() -> None:
    sealing = PrivateKey.generate()
    keys = SealingKeys([bytes(sealing)], [bytes(sealing.public_key)])
    device = Device(bytes(sealing.public_key))
    key = Key(1, device.pseudonym, device.public_key, DAY, DAY, DAY, False)
    body = json.dumps(device.batch([device.record() for _ in range(BATCH)])).encode()
    upload = msgspec.json.decode(body, type=Upload)
    decode, _ = median_us(lambda: msgspec.json.decode(body, type=Upload), 300, time.process_time)
    whole, _ = median_us(lambda: [examine(record, key, keys) for record in upload.records], 100, time.process_time)
    print(f"a request of {BATCH} as JSON, {len(body) / 1000:.0f} kB: {decode / BATCH:.1f} µs a record")
    print(
        f"signature, seal, schema: {whole / BATCH:.0f} µs a record, {1e6 * BATCH / whole:,.0f} a second and processor"
    )


def _send(port: int, bodies: list[bytes], batch: int, results: Any) -> None:
    """A process of clients: the same few threads for every collector."""
    took: list[float] = []
    work = iter(bodies)
    lock = threading.Lock()

    def run() -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        while True:
            with lock:
                body = next(work, None)
            if body is None:
                break
            started = time.perf_counter()
            connection.request("POST", "/v1/records", body, {"content-type": "application/json"})
            answer = connection.getresponse()
            content = answer.read()
            if answer.status != 200 or content.count(b'"stored"') != batch:
                raise SystemExit(f"the collector answered {answer.status}")
            took.append(time.perf_counter() - started)
        connection.close()

    started = time.perf_counter()
    threads = [threading.Thread(target=run) for _ in range(CLIENTS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    results.put((time.perf_counter() - started, took))


def throughput(folder: Path, batch: int) -> None:
    count = RECORDS if batch > 1 else RECORDS // 20
    sealing = PrivateKey.generate()
    devices = [Device(bytes(sealing.public_key)) for _ in range(CLIENTS)]
    print(f"sealing {count} records …", flush=True)
    bodies = [
        json.dumps(devices[i % CLIENTS].batch([devices[i % CLIENTS].record() for _ in range(batch)])).encode()
        for i in range(count // batch)
    ]
    context = multiprocessing.get_context("fork")
    for kind in ("sqlite", "postgresql"):
        for workers in (1, 4):
            with database(kind, folder) as url, tempfile.TemporaryDirectory() as place:
                storage = set_up(url, sealing)
                for device in devices:
                    storage.enrol(token_digest("token"), device.public_key)
                collector = CollectorProcess(environment(Path(place), url, sealing, **LIMITS), workers=workers)
                server = server_pid(url)
                before = processor_s(collector.process.pid), processor_s(server) if server else 0.0
                try:
                    results = context.Queue()
                    clients = context.Process(target=_send, args=(collector.port, bodies, batch, results))
                    clients.start()
                    elapsed, took = results.get(timeout=600)
                    clients.join()
                    ours = processor_s(collector.process.pid) - before[0]
                    theirs = (processor_s(server) if server else 0.0) - before[1]
                finally:
                    collector.close()
                stored = storage.counts(today() - timedelta(days=1), today())["records.stored"]
                storage.close()
                assert stored == count
                ordered = sorted(took)
                print(
                    f"{kind:10s} {workers} process(es): {count / elapsed:7,.0f} records/s; a request of {batch}: "
                    f"median {statistics.median(ordered) * 1e3:.0f} ms, "
                    f"p95 {ordered[len(ordered) * 95 // 100] * 1e3:.0f} ms; processor time a record: "
                    f"collector {ours / count * 1e6:.0f} µs, server {theirs / count * 1e6:.0f} µs",
                    flush=True,
                )
        with database(kind, folder) as url:
            print(f"{kind:10s} plain inserts, one client:  {_plain(url, batch, count):7,.0f} rows/s", flush=True)


def _plain(url: str, batch: int, count: int) -> float:
    """What anybody would write with the driver alone: the same rows and batches, the same flush, nothing checked."""
    content = json.dumps(_content(7))
    rows = [(i // batch, i.to_bytes(16, "big"), "2026-11-22", content) for i in range(count)]
    insert = "INSERT INTO plain VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING"
    table = "CREATE TABLE plain (device bigint, id {blob}, day date, content {json}, PRIMARY KEY (device, id))"
    if url.startswith("sqlite"):
        connection: Any = sqlite3.connect(url.removeprefix("sqlite:///"))
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute(table.format(blob="blob", json="text"))
        cursor = connection
    else:
        import psycopg

        connection = psycopg.connect(url)
        connection.execute(table.format(blob="bytea", json="jsonb"))
        insert = insert.replace("?", "%s")
        cursor = connection.cursor()
    connection.commit()
    started = time.perf_counter()
    for i in range(0, count, batch):
        cursor.executemany(insert, rows[i : i + batch])
        connection.commit()
    elapsed = time.perf_counter() - started
    connection.close()
    return count / elapsed


def _content(entry: int) -> dict[str, Any]:
    from safelight.reporting.record import HashRecord

    return stored_content(
        HashRecord(
            id="00" * 16,
            pseudonym="00" * 16,
            made_by="list_match",
            category="known_material",
            day="2026-11-22",
            action="HOLD",
            policy="default",
            list_id="list-1",
            entry_id=entry,
            distance=3,
        )
    )


def latency(folder: Path) -> None:
    from safelight.decision import Action, Finding, FindingKind, Label, State
    from safelight.keys import FileKeyProvider
    from safelight.reporting import Collector, Outbox, Uploader

    for kind in ("sqlite", "postgresql"):
        with database(kind, folder) as url, tempfile.TemporaryDirectory(dir=folder) as place:
            sealing = PrivateKey.generate()
            set_up(url, sealing).close()
            collector = CollectorProcess(environment(Path(place), url, sealing, **LIMITS))
            entry = 0
            with Outbox(Path(place) / "outbox.sqlite", keys=FileKeyProvider(place)) as outbox:
                outbox.connect(
                    Collector(
                        url=f"http://127.0.0.1:{collector.port}",
                        sealing_key=bytes(sealing.public_key),
                        enrolment="token",
                    )
                )
                uploader = Uploader(outbox)

                def enqueue() -> None:
                    nonlocal entry
                    entry += 1
                    finding = Finding(
                        FindingKind.KNOWN, State.OK, Label.MATCH, 1.0, "list-1", entry_id=entry, distance=1
                    )
                    assert outbox.enqueue((finding,), action=Action.HOLD, policy="default") is not None

                def whole(uploader: Uploader = uploader) -> None:
                    enqueue()
                    assert uploader.flush().acked == 1

                whole()
                both = median_us(whole, 200)
                alone = median_us(enqueue, 200)
            collector.close()
            print(
                f"{kind:10s} enqueue to acknowledgement, one record: median {both[0] / 1e3:.1f} ms, "
                f"p95 {both[1] / 1e3:.1f} ms; of it enqueue {alone[0] / 1e3:.1f} ms",
                flush=True,
            )


def growth(folder: Path, rows: int, kinds: list[str]) -> None:
    for kind in kinds or ["sqlite", "postgresql"]:
        with database(kind, folder) as url:
            sealing = PrivateKey.generate()
            storage = set_up(url, sealing)
            device = Device(bytes(sealing.public_key))
            key, _ = storage.enrol(token_digest("token"), device.public_key)
            _measure(storage, kind, key, 0)
            started = time.perf_counter()
            _fill(storage, kind, rows)
            print(f"{kind:10s} filled with {rows:,} rows in {time.perf_counter() - started:.0f} s", flush=True)
            _measure(storage, kind, key, rows)
            storage.close()


def _fill(storage: Storage, kind: str, rows: int) -> None:
    """Rows as they come to be: a hundred a key, over a year of days; ids without any order."""
    content = json.dumps(_content(7))
    with storage._write() as connection:
        if kind == "postgresql":
            connection.execute(text("SET LOCAL statement_timeout = 0"))
            connection.execute(
                text(
                    "INSERT INTO keys (id, pseudonym, public_key, enrolled_on, expires_on, accepted_until) SELECT i, "
                    "decode(md5('p' || i), 'hex'), decode(md5('k' || i) || md5('l' || i), 'hex'), current_date, "
                    "current_date, current_date FROM generate_series(1000, 1000 + :keys) AS i"
                ),
                {"keys": rows // 100},
            )
            connection.execute(
                text(
                    "INSERT INTO records SELECT 1000 + i / 100, decode(md5(i::text), 'hex'), "
                    "current_date - (i / 100 % 365)::int, "
                    "jsonb_set(CAST(:content AS jsonb), '{entry_id}', to_jsonb(i)) "
                    "FROM generate_series(0, :rows - 1) AS i"
                ),
                {"content": content, "rows": rows},
            )
        else:
            connection.execute(
                text(
                    "WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < :keys) INSERT INTO keys "
                    "(id, pseudonym, public_key, enrolled_on, expires_on, accepted_until) SELECT 1000 + i, "
                    "randomblob(16), randomblob(32), date(), date(), date() FROM n"
                ),
                {"keys": rows // 100},
            )
            connection.execute(
                text(
                    "WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < :rows - 1) INSERT INTO "
                    "records SELECT 1000 + i / 100, randomblob(16), date('now', '-' || (i / 100 % 365) || ' days'), "
                    "json_set(:content, '$.entry_id', i) FROM n"
                ),
                {"content": content, "rows": rows},
            )
    if kind == "postgresql":
        with storage._engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(text("SET statement_timeout = 0"))
            connection.execute(text("VACUUM ANALYZE"))


def _measure(storage: Storage, kind: str, key: Key, rows: int) -> None:
    import secrets

    def add() -> None:
        storage.add(key, [Opened(secrets.token_bytes(16), _content(i)) for i in range(BATCH)])

    again = [Opened(secrets.token_bytes(16), _content(i)) for i in range(BATCH)]
    storage.add(key, again)
    insert = median_us(add, 200)
    replay = median_us(lambda: storage.add(key, again), 100)
    look_up = median_us(lambda: storage.key(key.pseudonym), 200)
    counts = median_us(lambda: storage.counts(today() - timedelta(days=29), today()), 50)
    day = today() - timedelta(days=200)
    started = time.perf_counter()
    exported = sum(1 for _ in storage.export(day, day))
    export_s = time.perf_counter() - started
    with storage._read() as connection:
        if kind == "postgresql":
            table, primary, kept = connection.execute(
                text(
                    "SELECT pg_table_size('records'), pg_relation_size('pk_records'), "
                    "pg_relation_size('ix_records_kept')"
                )
            ).one()
            sizes = f"table {table / 1e6:,.0f} MB, key {primary / 1e6:,.0f} MB, index of days {kept / 1e6:,.0f} MB"
        else:
            whole = connection.execute(
                text("SELECT page_count * page_size FROM pragma_page_count, pragma_page_size")
            ).scalar()
            sizes = f"file {(whole or 0) / 1e6:,.0f} MB"
    print(
        f"{kind:10s} {rows:>10,} rows: insert {BATCH}: {insert[0] / 1e3:.1f} ms (p95 {insert[1] / 1e3:.1f}); replay "
        f"{replay[0] / 1e3:.1f} ms; look up a key {look_up[0] / 1e3:.2f} ms; "
        f"counts of 30 days {counts[0] / 1e3:.2f} ms; export a day ({exported:,} rows) {export_s:.2f} s; {sizes}",
        flush=True,
    )


def main(words: list[str]) -> None:
    what = words[0] if words else ""
    folder = Path(words[1]) if len(words) > 1 else Path(tempfile.gettempdir())
    if what == "check":
        check()
    elif what == "throughput":
        throughput(folder, int(words[2]) if len(words) > 2 else BATCH)
    elif what == "latency":
        latency(folder)
    elif what == "growth":
        growth(folder, int(words[2]) if len(words) > 2 else 10_000_000, words[3:])
    else:
        raise SystemExit(__doc__)


if __name__ == "__main__":
    main(sys.argv[1:])
