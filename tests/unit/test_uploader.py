"""Sending: over TLS to the pinned one, answer by answer; every trouble is a named state, a wait, and no loss."""

from __future__ import annotations

import hashlib
import json
import ssl
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
import trustme
from nacl.public import PrivateKey
from reporting_server import Answer, Server, recording_proxy, serving
from reporting_world import Device, match
from safelight.decision import Action
from safelight.errors import UsageError
from safelight.reporting import Collector, Outbox, SendState, Uploader


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def device(quick_folder: Path) -> Device:
    return Device(quick_folder)


@pytest.fixture
def server(device: Device) -> Iterator[Server]:
    with serving(Server(device.collector)) as running:
        yield running


def _connected(device: Device, url: str, **more: object) -> Outbox:
    outbox = device.open(connected=False)
    outbox.connect(msgspec.structs.replace(device.collector.config, url=url, **more))
    return outbox


def _fill(outbox: Outbox, count: int, first: int = 0) -> None:
    for n in range(first, first + count):
        outbox.enqueue([match(n)], action=Action.HOLD)


def _tls(authority: trustme.CA, *names: str) -> tuple[ssl.SSLContext, str]:
    certificate = authority.issue_cert(*names)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate.configure_cert(context)
    der = ssl.PEM_cert_to_DER_cert(certificate.cert_chain_pems[0].bytes().decode())
    return context, hashlib.sha256(der).hexdigest()


def test_everything_is_sent_once_and_cookies_are_not(device: Device, server: Server) -> None:
    with _connected(device, server.url) as outbox:
        _fill(outbox, 230)
        result = Uploader(outbox).flush()
        assert (result.state, result.acked) == (SendState.SENT, 230)
        assert Uploader(outbox).flush().state is SendState.NOTHING
        assert outbox.status().waiting == 0
    assert [path for _, path, _, _ in server.requests] == ["/v1/collector", "/v1/keys"] + ["/v1/records"] * 3
    assert len(device.collector.stored) == 230
    for _, _, headers, _ in server.requests:
        assert set(headers) <= {
            "Host",
            "User-Agent",
            "Accept",
            "Accept-Encoding",
            "Content-Type",
            "Content-Length",
            "Connection",
        }
        assert headers["User-Agent"] == "safelight-report/1"


def test_nothing_is_sent_before_its_time_or_when_off(device: Device, server: Server) -> None:
    with device.open(connected=False) as outbox:
        assert Uploader(outbox).flush().state is SendState.OFF
        assert Uploader(outbox).send_due().state is SendState.OFF
    with _connected(device, server.url) as outbox:
        uploader = Uploader(outbox)
        _fill(outbox, 3)
        assert uploader.send_due().state is SendState.NOTHING
        assert server.requests == []
        device.clock.run(3601)
        assert uploader.send_due().acked == 3


def test_two_pseudonyms_share_neither_a_step_nor_a_connection(device: Device, server: Server) -> None:
    with _connected(device, server.url) as outbox:
        uploader = Uploader(outbox)
        _fill(outbox, 2)
        outbox.rotate()
        _fill(outbox, 2, 10)
        outbox.rotate()
        _fill(outbox, 2, 20)
        for _ in range(2):
            device.clock.run(3601)
            assert uploader.send_due().acked == 2
            assert uploader.send_due().state is SendState.NOTHING
        outbox.rotate()
        _fill(outbox, 2, 30)
        assert uploader.flush().acked == 4
    by_connection: dict[str, set[str]] = {}
    for connection, (_, path, _, body) in zip(server.connections, server.requests, strict=True):
        if path == "/v1/records":
            by_connection.setdefault(connection, set()).add(json.loads(body)["pseudonym"])
        else:
            by_connection.setdefault(connection, set()).add("registration")
    assert {len(names) for names in by_connection.values()} == {1}


def test_tls_is_checked_and_can_be_pinned(device: Device, authority: trustme.CA, tmp_path: Path) -> None:
    ca_file = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(ca_file)
    context, fingerprint = _tls(authority, "localhost")
    server = Server(device.collector)
    with serving(server, context=context) as running:
        cases: list[tuple[dict[str, object], SendState]] = [
            ({}, SendState.UNTRUSTED),  # nobody vouches for it
            ({"ca_file": str(ca_file), "certificate_sha256": "00" * 32}, SendState.UNTRUSTED),
            ({"certificate_sha256": fingerprint}, SendState.UNTRUSTED),  # a pin does not replace the vouching
            ({"ca_file": str(tmp_path / "missing.pem")}, SendState.UNREACHABLE),
            ({"ca_file": str(ca_file), "certificate_sha256": fingerprint}, SendState.SENT),
        ]
        for config, state in cases:
            with _connected(device, running.url, **config) as outbox:
                _fill(outbox, 1)
                result = Uploader(outbox).flush()
                assert result.state is state, config
        with _connected(device, running.url, ca_file=str(ca_file)) as outbox:
            _fill(outbox, 1, 5)
            assert Uploader(outbox).flush().state is SendState.SENT
    assert len(device.collector.stored) == 2


def test_another_hosts_certificate_is_not_taken(device: Device, authority: trustme.CA, tmp_path: Path) -> None:
    ca_file = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(ca_file)
    context, _ = _tls(authority, "other.example")
    server = Server(device.collector)
    with serving(server, context=context) as running:
        with _connected(device, running.url, ca_file=str(ca_file)) as outbox:
            _fill(outbox, 1)
            assert Uploader(outbox).flush().state is SendState.UNTRUSTED
    assert server.requests == []


def test_a_proxy_sees_only_tls_and_the_pin_holds_through_it(
    device: Device, authority: trustme.CA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ca_file = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(ca_file)
    context, fingerprint = _tls(authority, "localhost")
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")  # nothing is taken from the environment
    with serving(Server(device.collector), context=context) as running, recording_proxy() as proxy:
        config: dict[str, object] = {"ca_file": str(ca_file), "certificate_sha256": fingerprint}
        with _connected(device, running.url, **config) as outbox:
            _fill(outbox, 1)
            assert Uploader(outbox, proxy=proxy.url).flush().state is SendState.SENT
            _fill(outbox, 1, 3)
            outbox.connect(
                msgspec.structs.replace(
                    device.collector.config, url=running.url, ca_file=str(ca_file), certificate_sha256="11" * 32
                )
            )
            assert Uploader(outbox, proxy=proxy.url).flush().state is SendState.UNTRUSTED
    sent = b"".join(proxy.sent)
    assert sent.startswith(b"CONNECT localhost:")
    assert b"pseudonym" not in sent
    assert b"/v1/records" not in sent


@pytest.mark.parametrize("url", ["http://collector.example", "ftp://x", "https://", "https://u:p@x/", "https://x/?a=b"])
def test_records_go_over_tls_only(device: Device, url: str) -> None:
    with device.open(connected=False) as outbox, pytest.raises(UsageError, match="url"):
        outbox.connect(Collector(url=url, sealing_key=bytes(PrivateKey.generate().public_key)))


def test_a_collector_with_another_key_gets_nothing(device: Device, server: Server) -> None:
    other = bytes(PrivateKey.generate().public_key)
    with _connected(device, server.url, sealing_key=other) as outbox:
        _fill(outbox, 1)
        assert Uploader(outbox).flush().state is SendState.WRONG_COLLECTOR
        assert outbox.status().waiting == 1
    assert [path for _, path, _, _ in server.requests] == ["/v1/collector"]


def test_a_collector_that_cannot_be_reached_loses_nothing(device: Device) -> None:
    with _connected(device, "http://localhost:9") as outbox:
        _fill(outbox, 2)
        result = Uploader(outbox, connect_timeout_s=0.5).flush()
        assert result.state is SendState.UNREACHABLE
        assert result.retry_in_s is not None
        assert outbox.status().waiting == 2
        assert outbox.status().failures == 1


def _only(path_wanted: str, answer: Answer) -> object:
    return lambda path, body: answer if path == path_wanted else None


_OTHER_KEY = json.dumps({"pseudonym": "0" * 32, "expires_at": "2099-01-01T00:00:00Z"}).encode()


@pytest.mark.parametrize(
    ("path", "answer", "state"),
    [
        ("/v1/records", (503, {"Retry-After": "7200"}, b""), SendState.BUSY),
        ("/v1/records", (429, {"Retry-After": "Sat, 21 Nov 2026 12:00:00 GMT"}, b""), SendState.BUSY),
        ("/v1/records", (400, {}, b'{"error": "malformed", "message": "no"}'), SendState.REFUSED),
        ("/v1/records", (413, {}, b""), SendState.REFUSED),
        ("/v1/records", (403, {}, b'{"error": "expired"}'), SendState.KEY_REFUSED),
        ("/v1/records", (302, {"Location": "http://localhost:9/"}, b""), SendState.BAD_ANSWER),
        ("/v1/records", (200, {}, b"not json"), SendState.BAD_ANSWER),
        ("/v1/records", (200, {}, b'{"acks": 5}'), SendState.BAD_ANSWER),
        ("/v1/records", (200, {}, b'{"acks": []}'), SendState.PARTLY),
        ("/v1/records", (200, {}, b" " * 300_000), SendState.BAD_ANSWER),
        ("/v1/keys", (403, {}, b'{"error": "bad_token", "message": "no"}'), SendState.KEY_REFUSED),
        ("/v1/keys", (201, {}, _OTHER_KEY), SendState.BAD_ANSWER),
        ("/v1/collector", (404, {}, b""), SendState.BAD_ANSWER),
    ],
)  # fmt: skip
def test_every_trouble_is_a_state_and_a_wait(
    device: Device, server: Server, path: str, answer: Answer, state: SendState
) -> None:
    server.trouble = _only(path, answer)  # type: ignore[assignment]
    with _connected(device, server.url) as outbox:
        _fill(outbox, 3)
        result = Uploader(outbox).flush()
        assert result.state is state
        assert result.retry_in_s is not None
        if "Retry-After" in answer[1] and answer[1]["Retry-After"].isdigit():
            assert result.retry_in_s >= 7200
        assert outbox.status().waiting == 3
        assert outbox.status().failures == 1
        server.trouble = None
        assert Uploader(outbox).flush().acked == 3  # and all is well when the trouble is over


def test_a_date_to_come_back_at_is_read_by_the_collectors_clock() -> None:
    from safelight.reporting.send import _retry_after_s

    headers = {"Retry-After": "Sat, 21 Nov 2026 12:00:00 GMT", "Date": "Sat, 21 Nov 2026 11:30:00 GMT"}
    assert _retry_after_s(headers) == 1800
    assert _retry_after_s({"Retry-After": "soon"}) is None
    assert _retry_after_s({}) is None
    assert _retry_after_s({"Retry-After": "120"}) == 120


def test_a_batch_that_is_too_large_is_halved(device: Device, server: Server) -> None:
    def small_only(path: str, body: bytes) -> Answer | None:
        return (413, {}, b"") if path == "/v1/records" and len(json.loads(body)["records"]) > 20 else None

    server.trouble = small_only
    with _connected(device, server.url) as outbox:
        _fill(outbox, 50)
        assert Uploader(outbox).flush().acked == 50


def test_a_key_that_the_collector_forgot_is_registered_again(device: Device, server: Server) -> None:
    with _connected(device, server.url) as outbox:
        _fill(outbox, 1)
        assert Uploader(outbox).flush().acked == 1
        device.collector.keys.clear()
        _fill(outbox, 1, 5)
        assert Uploader(outbox).flush().state is SendState.KEY_REFUSED
        assert Uploader(outbox).flush().acked == 1


def test_a_token_that_ran_out_leaves_the_old_keys_word(device: Device, server: Server) -> None:
    with _connected(device, server.url) as outbox:
        _fill(outbox, 1)
        assert Uploader(outbox).flush().acked == 1
        server.trouble = _only("/v1/keys", (403, {}, b'{"error": "bad_token"}'))  # type: ignore[assignment]
        outbox.rotate()
        _fill(outbox, 1, 5)
        assert Uploader(outbox).flush().acked == 1
    assert device.collector.rotations == 1


def test_what_a_collector_writes_reaches_nobody_as_it_likes(device: Device, server: Server) -> None:
    hostile = json.dumps({"error": "\x1b[2Jhello <script>", "message": "x"}).encode()
    server.trouble = _only("/v1/records", (400, {}, hostile))  # type: ignore[assignment]
    with _connected(device, server.url) as outbox:
        _fill(outbox, 1)
        assert Uploader(outbox).flush().error is None


def test_a_damaged_outbox_is_a_state(device: Device, server: Server) -> None:
    with _connected(device, server.url) as outbox:
        _fill(outbox, 1)
    device.path.write_bytes(b"garbage" * 1000)
    for suffix in ("-wal", "-shm"):
        device.path.with_name(device.path.name + suffix).unlink(missing_ok=True)
    with device.open(connected=False) as outbox:
        assert Uploader(outbox).flush().state is SendState.NOT_KEPT
        assert Uploader(outbox).send_due().state is SendState.NOT_KEPT


def test_a_family_that_says_no_sends_no_match_and_keeps_nobody_from_reporting(
    device: Device, server: Server, world: object
) -> None:
    from store_world import World

    assert isinstance(world, World)
    with _connected(device, server.url) as outbox, world.open() as store:
        _fill(outbox, 2)
        receipt = outbox.report("pressure_or_threat")
        uploader = Uploader(outbox, store=store)  # nobody has said yes
        assert uploader.flush().acked == 1
        assert outbox.receipt(receipt.id).state == "acked"
        assert outbox.status().counts["purged"] == 2
    assert {record.made_by for record in device.collector.records.values()} == {"person"}
    with world.set_up(reporting=True) as store, device.open(connected=False) as outbox:
        _fill(outbox, 2, 5)
        key = world.folder / "keys" / "store.key"
        key.rename(world.folder / "kept.key")
        outbox.report("seen_online")
        in_doubt = world.open()
        assert Uploader(outbox, store=in_doubt).flush().acked == 1  # the person's own; the matches wait
        in_doubt.close()
        assert outbox.status().waiting == 2
        (world.folder / "kept.key").rename(key)
        assert Uploader(outbox, store=store).flush().acked == 2
