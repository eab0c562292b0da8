"""From the moment that a record is safe on a device to its row at the collector: nothing lost, nothing twice.

Real devices (``Outbox`` and ``Uploader`` in processes of their own), a network that drops and doubles, real collector
processes, and a database, all of them killed again and again, with clocks that jump.
"""

from __future__ import annotations

import http.client
import http.server
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from collector_world import PATIENCE_S, ROOT, CollectorProcess, Postgres, environment
from hypothesis import settings as hypothesis_settings
from nacl.public import PrivateKey
from safelight_collector.app import token_digest
from safelight_collector.settings import Settings
from safelight_collector.storage import Storage
from safelight_collector.tables import keys, records
from sqlalchemy import func, select

#: ``make soak``: a thousand rounds, half of them on each database. CI: a few on the one with more ways to fail.
SOAK = hypothesis_settings.default.max_examples > 1000
ROUNDS = 500 if SOAK else 5
KINDS = ["sqlite", "postgresql"] if SOAK else ["postgresql"]
DEVICES = 2


class BadNetwork(http.server.ThreadingHTTPServer):
    """Between devices and collector: requests that never arrive or arrive twice, answers that are lost, cut or late."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, collector: CollectorProcess, seed: int) -> None:
        super().__init__(("127.0.0.1", 0), _Passage)
        self.collector = collector
        self.chance = random.Random(seed)
        self.good = False
        self.seen: Counter[str] = Counter()
        self._thread = threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.05})
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def what_happens(self) -> str:
        if self.good:
            return "passes"
        return self.chance.choices(
            ["passes", "never arrives", "answer lost", "answer cut", "arrives twice", "busy"], [60, 8, 12, 6, 10, 4]
        )[0]

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A device that was killed in the middle is what this is about."""

    def close(self) -> None:
        self.shutdown()
        self.server_close()
        self._thread.join(PATIENCE_S)


class _Passage(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: BadNetwork

    def do_GET(self) -> None:
        self._pass_on()

    def do_POST(self) -> None:
        self._pass_on()

    def _pass_on(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        what = self.server.what_happens()
        self.server.seen[what] += 1
        self.close_connection = True
        if what == "never arrives":
            return
        if what == "busy":
            self._answer(503, b'{"error":"busy","message":""}', "0")
            return
        try:
            status, content, retry_after = self._ask(body)
            if what == "arrives twice":
                status, content, retry_after = self._ask(body)
        except (OSError, http.client.HTTPException):
            return
        if what == "answer lost":
            return
        self._answer(status, content, retry_after, cut=what == "answer cut")

    def _answer(self, status: int, content: bytes, retry_after: str | None, *, cut: bool = False) -> None:
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(content)))
        # A collector asks for seconds; these devices have none.
        if retry_after is not None:
            self.send_header("retry-after", "0")
        self.end_headers()
        self.wfile.write(content[: len(content) // 2] if cut else content)

    def _ask(self, body: bytes) -> tuple[int, bytes, str | None]:
        connection = http.client.HTTPConnection("127.0.0.1", self.server.collector.port, timeout=10)
        try:
            connection.request(self.command, self.path, body or None, {"content-type": "application/json"})
            answer = connection.getresponse()
            return answer.status, answer.read(), answer.getheader("retry-after")
        finally:
            connection.close()

    def log_message(self, *_: Any) -> None:
        """Nothing."""


class DeviceProcess:
    """One device, which goes on after every kill."""

    def __init__(self, folder: Path, url: str, sealing: PrivateKey) -> None:
        folder.mkdir()
        self.folder = folder
        self._command = [
            *(sys.executable, str(ROOT / "tests" / "collector_device.py"), str(folder), url),
            *(bytes(sealing.public_key).hex(), "token"),
        ]
        self.start()

    def start(self) -> None:
        environ = {**os.environ, "PYTHONPATH": str(ROOT / "sdk")}
        with open(self.folder / "log", "ab") as log:
            self.process = subprocess.Popen(self._command, env=environ, stdout=log, stderr=log)

    def kill(self) -> None:
        # One that had ended by itself before the test said so is a bug, and its log says which.
        assert self.process.poll() is None, (self.folder / "log").read_text()
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(PATIENCE_S)

    def finish(self) -> None:
        """Until everything that waits was acknowledged."""
        (self.folder / "enough").touch()
        assert self.process.wait(4 * PATIENCE_S) == 0, (self.folder / "log").read_text()

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait(PATIENCE_S)

    def book(self) -> tuple[set[int], set[int]]:
        """Numbers of the records that were safe, and of those left in doubt by a kill."""
        words = [line.split() for line in (self.folder / "book").read_text().splitlines()]
        return {int(n) for word, n in words if word == "made"}, {int(n) for word, n in words if word == "skip"}


@pytest.mark.parametrize("kind", KINDS)
def test_every_record_of_every_device_arrives_once(kind: str, request: pytest.FixtureRequest, place: Path):
    server: Postgres | None = request.getfixturevalue("postgres") if kind == "postgresql" else None
    url = server.url(server.new_database()) if server else f"sqlite:///{place / 'collector.sqlite'}"
    sealing = PrivateKey.generate()
    storage = Storage(Settings(database_url=url))
    storage.migrate()
    storage.add_sealing_key(bytes(sealing.public_key))
    storage.add_token(token_digest("token"), max_uses=10_000_000, days=30)
    collector = CollectorProcess(
        environment(place, url, sealing, burst_records=10_000_000, rate_records_per_s=100_000, keys_per_s=100_000),
        workers=2,
    )
    network = BadNetwork(collector, seed=1)
    devices: list[DeviceProcess] = []
    chance = random.Random(2)
    try:
        devices += [DeviceProcess(place / f"device{number}", network.url, sealing) for number in range(DEVICES)]
        for number in range(ROUNDS):
            time.sleep(chance.uniform(0.3, 0.9))
            kind_of_round = number % 5
            if kind_of_round in (0, 3):
                device = devices[number % DEVICES]
                device.kill()
                # And its clock is another one when it comes back: hours or decades, either way.
                (device.folder / "clock").write_text(str(chance.choice([0, 3600, -86400, 30 * 86400, -(10**9), 10**9])))
                device.start()
            elif kind_of_round == 1:
                workers = collector.workers()
                if workers:
                    collector.kill_worker(chance.choice(workers))
            elif kind_of_round == 2:
                collector.kill()
                collector.start()
            elif server is not None:
                server.stop("immediate")
                server.start()
            else:
                for device in devices:
                    device.kill()
                collector.kill()
                collector.start()
                for device in devices:
                    device.start()
        network.good = True
        for device in devices:
            device.finish()
        collector.wait()
        expected: Counter[int] = Counter()
        doubtful: Counter[int] = Counter()
        for device in devices:
            made, skipped = device.book()
            assert made
            expected.update(made)
            doubtful.update(skipped)
        # Connections from before the last crash are dead.
        storage.close()
        with storage._read() as connection:
            stored = Counter(int(row[0]["entry_id"]) for row in connection.execute(select(records.c.content)))
            assert connection.execute(select(func.count()).select_from(keys)).scalar() > DEVICES
        assert storage.counts(*_always())["records.stored"] == stored.total()
        for entry in expected | doubtful | stored:
            assert expected[entry] <= stored[entry] <= expected[entry] + doubtful[entry], entry
        assert doubtful.total() <= 2 * ROUNDS
        assert network.seen["arrives twice"] > 0
        assert network.seen["answer lost"] > 0
    finally:
        for device in devices:
            device.close()
        network.close()
        collector.close()
        storage.close()


def _always() -> tuple[Any, Any]:
    from datetime import date

    return date(2000, 1, 1), date(2200, 1, 1)
