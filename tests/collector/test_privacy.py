"""Who sent something stands nowhere: no address, no time of day, no pseudonym in a log, no secret in a reply."""

from __future__ import annotations

import http.client
import json
import logging
import re
from pathlib import Path

import pytest
from collector_world import OPERATOR, CollectorProcess, Device, environment
from nacl.public import PrivateKey
from safelight_collector.app import token_digest
from safelight_collector.settings import Settings
from safelight_collector.storage import Storage
from safelight_collector.tables import metadata
from sqlalchemy import Date, DateTime, LargeBinary, Time

ADDRESS = "203.0.113.77"
SENTINEL = "sentinel-9f2c"


def test_no_column_can_hold_an_address_a_name_or_a_time_of_day():
    for table in metadata.tables.values():
        for column in table.columns:
            assert not isinstance(column.type, (DateTime, Time))
            if isinstance(column.type, LargeBinary):
                assert column.type.length in (16, 32)
    said = {column.name for table in metadata.tables.values() for column in table.columns}
    assert {name for name in said if name.endswith(("_on", "_until"))} | {"day"} == {
        column.name for table in metadata.tables.values() for column in table.columns if isinstance(column.type, Date)
    }


def test_a_process_writes_nothing_about_who_came(place: Path):
    """Everything that a device and a stranger can put into a request, and then every byte that was written."""
    sealing = PrivateKey.generate()
    url = f"sqlite:///{place / 'collector.sqlite'}"
    storage = Storage(Settings(database_url=url))
    storage.migrate()
    storage.add_sealing_key(bytes(sealing.public_key))
    storage.add_token(token_digest("token"), max_uses=2, days=3)
    storage.close()
    log = place / "log"
    collector = CollectorProcess(environment(place, url, sealing), log=log)
    device = Device(bytes(sealing.public_key))
    try:
        headers = {
            "content-type": "application/json",
            "x-forwarded-for": ADDRESS,
            "forwarded": f"for={ADDRESS}",
            "user-agent": SENTINEL,
            "referer": f"http://{SENTINEL}/",
            "cookie": f"a={SENTINEL}",
        }
        requests = [
            ("POST", "/v1/keys", json.dumps(device.enrolment("token"))),
            ("POST", "/v1/records", json.dumps(device.batch([device.record()]))),
            ("POST", "/v1/records", json.dumps({**device.batch([device.record()]), SENTINEL: SENTINEL})),
            ("POST", "/v1/records", SENTINEL),
            ("GET", f"/{SENTINEL}", None),
            ("POST", f"/v1/records?{SENTINEL}", json.dumps(device.batch([device.record()]))),
        ]
        for method, path, body in requests:
            connection = http.client.HTTPConnection("127.0.0.1", collector.port, timeout=30)
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            text = answer.read().decode()
            assert SENTINEL not in text
            assert "server" not in {name.lower() for name, _ in answer.getheaders()}
            connection.close()
        # Not even HTTP: the server's own complaint.
        broken = http.client.HTTPConnection("127.0.0.1", collector.port, timeout=30)
        broken.connect()
        broken.sock.sendall(f"{SENTINEL}\r\n\r\n".encode())
        broken.sock.recv(1000)
        broken.close()
        limits = Path(f"/proc/{collector.process.pid}/limits").read_text()
        assert re.search(r"Max core file size\s+0\s+0\s", limits)
    finally:
        collector.close()
    written = b"".join(path.read_bytes() for path in place.iterdir() if path.is_file())
    assert device.public_key in written
    for word in (ADDRESS, "127.0.0.1", SENTINEL, "token-of-the-tests", OPERATOR):
        assert word.encode() not in written, word
    assert bytes(sealing) not in written
    logged = log.read_text()
    assert device.pseudonym not in logged
    assert "/v1/records" not in logged


def test_a_failure_of_the_database_logs_no_value(
    collector, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
):
    device = collector.device()
    record = device.record()
    with collector.storage._write() as connection:
        connection.exec_driver_sql("DROP TABLE daily_counts")
    with caplog.at_level(logging.DEBUG):
        answer = collector.client.post("/v1/records", json=device.batch([record]))
    assert answer.status_code == 503
    assert "/v1/records" in caplog.text
    for word in (device.pseudonym, record["id"], "known_material", "INSERT", "list-1"):
        assert word not in caplog.text
        assert word not in answer.text


def test_an_error_of_ours_logs_its_class_only(
    collector, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
):
    def fail(*_: object) -> None:
        raise RuntimeError(SENTINEL)

    monkeypatch.setattr(collector.app.state.collector, "_take", fail)
    device = collector.device()
    with caplog.at_level(logging.DEBUG):
        assert collector.client.post("/v1/records", json=device.batch([device.record()])).status_code == 500
    assert "RuntimeError" in caplog.text
    assert SENTINEL not in caplog.text


def test_secrets_do_not_show_themselves(collector):
    from safelight_collector.intake import SealingKeys

    sealing = SealingKeys(collector.settings.sealing_keys, collector.storage.sealing_keys())
    shown = repr(collector.settings) + repr(sealing) + repr(vars(collector.app.state))
    assert bytes(collector.sealing).hex() not in shown
    assert repr(bytes(collector.sealing)) not in shown
    assert OPERATOR not in shown
