"""Nothing lost, nothing twice: several processes, replays, lost answers, kill −9 and a database that crashes.

What must hold in each: a record that was ever acknowledged is in the database, once; a record was answered ``stored``
at most once, and exactly once where no answer was lost; the counts by day agree with the rows.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import random
import resource
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from collector_world import PATIENCE_S, CollectorProcess, Device, Postgres, environment
from hypothesis import settings as hypothesis_settings
from nacl.public import PrivateKey
from safelight_collector.app import token_digest
from safelight_collector.settings import Settings
from safelight_collector.storage import Storage
from safelight_collector.tables import keys, records
from sqlalchemy import func, select

#: In ``make soak`` these are rounds of a kill each; in CI a few.
SOAK = hypothesis_settings.default.max_examples > 1000
BATCH = 10


class Fleet:
    """Devices of one collector that send until everything is acknowledged, and a book of every answer."""

    def __init__(self, url: str, sealing: PrivateKey, count: int) -> None:
        self.storage = Storage(Settings(database_url=url))
        self.storage.migrate()
        self.storage.add_sealing_key(bytes(sealing.public_key))
        self.storage.add_token(token_digest("token"), max_uses=1000, days=30)
        self.devices = [Device(bytes(sealing.public_key)) for _ in range(count)]
        for device in self.devices:
            self.storage.enrol(token_digest("token"), device.public_key)
        self.answers: Counter[tuple[str, str]] = Counter()
        self.lost_answers = 0
        self._lock = threading.Lock()

    def note(self, acks: list[dict[str, str]]) -> None:
        with self._lock:
            self.answers.update((ack["id"], ack["state"]) for ack in acks)

    def check(self, sent: set[str]) -> None:
        """The three promises, against the database itself."""
        # Connections from before the last crash are dead.
        self.storage.close()
        with self.storage._read() as connection:
            rows = connection.execute(select(keys.c.pseudonym, records.c.record_id).join(keys)).all()
            stored = [bytes(row[1]).hex() for row in rows]
            counted = self.storage.counts(*_always())["records.stored"]
            assert connection.execute(select(func.count()).select_from(records)).scalar() == len(sent)
        assert sorted(stored) == sorted(sent)
        assert counted == len(sent)
        states = {state for _, state in self.answers}
        assert states <= {"stored", "duplicate"}
        assert {record_id for record_id, _ in self.answers} == sent
        said_stored = [self.answers[record_id, "stored"] for record_id in sent]
        assert max(said_stored) == 1
        if not self.lost_answers:
            assert min(said_stored) == 1


def _always() -> tuple[Any, Any]:
    from datetime import date

    return date(2000, 1, 1), date(2200, 1, 1)


def send_until_acknowledged(
    collector: CollectorProcess,
    fleet: Fleet,
    device: Device,
    batch: list[dict[str, str]],
    *,
    drop: random.Random | None,
) -> None:
    """What an outbox does: again and again, until every id has an answer. ``drop`` closes before it reads some."""
    waiting = {record["id"]: record for record in batch}
    body = json.dumps(device.batch(list(waiting.values()))).encode()
    deadline = time.monotonic() + 2 * PATIENCE_S
    while waiting:
        assert time.monotonic() < deadline, "a batch is not acknowledged"
        connection = http.client.HTTPConnection("127.0.0.1", collector.port, timeout=10)
        try:
            connection.request("POST", "/v1/records", body, {"content-type": "application/json"})
            if drop is not None and drop.random() < 0.2:
                with fleet._lock:
                    fleet.lost_answers += 1
                continue
            response = connection.getresponse()
            answer = json.loads(response.read())
        except (OSError, http.client.HTTPException, ValueError):
            # Nobody knows what became of it.
            with fleet._lock:
                fleet.lost_answers += 1
            time.sleep(0.05)
            continue
        finally:
            connection.close()
        if response.status in (429, 503):
            assert int(response.headers["retry-after"]) >= 1
            time.sleep(0.05)
            continue
        assert response.status == 200, answer
        fleet.note(answer["acks"])
        for ack in answer["acks"]:
            waiting.pop(ack["id"], None)


@contextlib.contextmanager
def traffic(threads: list[threading.Thread]) -> Iterator[None]:
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        for thread in threads:
            thread.join(3 * PATIENCE_S)
        assert not any(thread.is_alive() for thread in threads)


@pytest.fixture
def sealing() -> PrivateKey:
    return PrivateKey.generate()


def test_four_processes_and_the_same_batches_many_times_store_each_once(
    empty_url: str, place: Path, sealing: PrivateKey
):
    fleet = Fleet(empty_url, sealing, 3)
    collector = CollectorProcess(
        environment(place, empty_url, sealing, burst_records=1_000_000, max_in_flight=64), workers=4
    )
    try:
        assert len(collector.workers()) == 4
        batches = [(device, [device.record() for _ in range(BATCH)]) for device in fleet.devices for _ in range(4)]
        # Every batch six times, each time in another order, so that different processes meet over the same rows.
        work = [(device, random.Random(i).sample(batch, BATCH)) for i in range(6) for device, batch in batches]
        random.Random(1).shuffle(work)
        failures: list[BaseException] = []

        def run(mine: list[tuple[Device, list[dict[str, str]]]]) -> None:
            try:
                for device, batch in mine:
                    send_until_acknowledged(collector, fleet, device, batch, drop=None)
            except BaseException as error:
                failures.append(error)

        with traffic([threading.Thread(target=run, args=(work[i::8],)) for i in range(8)]):
            pass
        assert not failures, failures
        fleet.check({record["id"] for _, batch in batches for record in batch})
        assert sum(fleet.answers.values()) == 6 * BATCH * len(batches)
        assert fleet.lost_answers == 0
        # Any process answers for all of them.
        assert f'records_total{{state="stored"}} {BATCH * len(batches)}.0' in collector.text("/metrics")
    finally:
        collector.close()
        fleet.storage.close()


# In CI the whole way, from devices on, is driven on PostgreSQL: test_device_to_collector.
@pytest.mark.parametrize("kind", ["sqlite", "postgresql"] if SOAK else ["sqlite"])
def test_kill_9_of_processes_and_crashes_of_the_database_lose_and_double_nothing(
    kind: str, request: pytest.FixtureRequest, place: Path, sealing: PrivateKey
):
    rounds = 250 if SOAK else 3
    server: Postgres | None = request.getfixturevalue("postgres") if kind == "postgresql" else None
    url = server.url(server.new_database()) if server else f"sqlite:///{place / 'collector.sqlite'}"
    fleet = Fleet(url, sealing, 4)
    collector = CollectorProcess(
        environment(place, url, sealing, burst_records=10_000_000, rate_records_per_s=100_000), workers=2
    )
    sent: set[str] = set()
    stop = threading.Event()
    failures: list[BaseException] = []

    def run(number: int) -> None:
        chance = random.Random(number)
        device = fleet.devices[number]
        try:
            while not stop.is_set():
                batch = [device.record() for _ in range(BATCH)]
                with fleet._lock:
                    sent.update(record["id"] for record in batch)
                send_until_acknowledged(collector, fleet, device, batch, drop=chance)
        except BaseException as error:
            failures.append(error)

    chance = random.Random(0)
    try:
        with traffic([threading.Thread(target=run, args=(number,)) for number in range(4)]):
            try:
                for number in range(rounds):
                    time.sleep(chance.uniform(0.05, 0.4))
                    if number % 3 == 2:
                        # Everything of the collector at once, and the database with it.
                        collector.kill()
                        if server is not None:
                            server.stop("immediate")
                            server.start()
                        collector.start()
                    elif server is not None and number % 3 == 1:
                        server.stop("immediate")
                        server.start()
                    else:
                        workers = collector.workers()
                        if workers:
                            collector.kill_worker(chance.choice(workers))
                    collector.wait()
                    if failures:
                        break
            finally:
                stop.set()
        assert not failures, failures
        assert fleet.lost_answers > 0
        assert len(sent) >= rounds * BATCH
        fleet.check(sent)
    finally:
        collector.close()
        fleet.storage.close()


def test_a_disk_that_fills_up_in_the_middle_of_traffic(sqlite_url: str, place: Path, sealing: PrivateKey):
    """The operating system itself refuses to let the files grow: no acknowledgement, and all of it stored later."""
    fleet = Fleet(sqlite_url, sealing, 1)
    collector = CollectorProcess(environment(place, sqlite_url, sealing))
    (device,) = fleet.devices
    batches = [[device.record() for _ in range(50)] for _ in range(6)]
    try:
        largest = max(path.stat().st_size for path in place.iterdir() if path.is_file())
        resource.prlimit(collector.process.pid, resource.RLIMIT_FSIZE, (largest + 60_000, resource.RLIM_INFINITY))
        states = [collector.post("/v1/records", device.batch(batch)) for batch in batches]
        assert (states[0][0], states[-1][0]) == (200, 503)
        assert states[-1][1]["error"] == "storage"
        for status, answer in states:
            if status == 200:
                fleet.note(answer["acks"])
        resource.prlimit(collector.process.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)
        for batch in batches:
            send_until_acknowledged(collector, fleet, device, batch, drop=None)
        fleet.check({record["id"] for batch in batches for record in batch})
        collector.wait()
    finally:
        collector.close()
        fleet.storage.close()


def test_a_process_that_dies_between_commit_and_answer_has_stored_it(either: Any, monkeypatch: pytest.MonkeyPatch):
    """The moment that matters most, made certain: committed, and the answer never sent."""
    device = either.device()
    batch = [device.record() for _ in range(3)]
    storage = either.app.state.collector.storage
    whole = storage.add

    def commit_and_die(*arguments: Any) -> Any:
        whole(*arguments)
        raise ConnectionError("gone")

    monkeypatch.setattr(storage, "add", commit_and_die)
    assert either.client.post("/v1/records", json=device.batch(batch)).status_code == 500
    monkeypatch.undo()
    assert either.states(device, batch) == ["duplicate"] * 3


def test_a_process_that_dies_before_the_commit_has_stored_nothing(either: Any, monkeypatch: pytest.MonkeyPatch):
    from safelight_collector import storage as module

    device = either.device()
    batch = [device.record() for _ in range(3)]

    def die(_content: Any) -> Any:
        raise ConnectionError("gone")

    monkeypatch.setattr(module, "names_of", die)
    assert either.client.post("/v1/records", json=device.batch(batch)).status_code == 500
    assert either.rows() == []
    monkeypatch.undo()
    assert either.states(device, batch) == ["stored"] * 3
    assert either.storage.counts(*_always())["records.stored"] == 3
