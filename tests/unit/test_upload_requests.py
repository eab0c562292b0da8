"""Does a session behind the gate send what was checked, and not one byte of what was refused?"""

from __future__ import annotations

import gzip
import io
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import requests
from requests.adapters import HTTPAdapter
from requests_toolbelt import MultipartEncoder, MultipartEncoderMonitor
from safelight import Action, UnsupportedInputError
from safelight.errors import UploadBusyError, UploadMalformedError, UploadTooLargeError
from safelight.gates import UploadGate, UploadLimits, UploadRefusedError
from upload_world import BAD, Brightness, gate, picture
from urllib3.util.retry import Retry
from werkzeug.formparser import parse_form_data


class Server(ThreadingHTTPServer):
    """Remembers what reached it; answers by path."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.got: list[tuple[str, dict[str, str], bytes]] = []
        self.connections = 0
        self.failures = 0
        self.url = f"http://127.0.0.1:{self.server_address[1]}"

    def process_request(self, request: Any, client_address: Any) -> None:
        self.connections += 1
        super().process_request(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    server: Server

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        self.server.got.append((self.path, {k.lower(): v for k, v in self.headers.items()}, body))
        if self.path == "/again" and self.server.failures:
            self.server.failures -= 1
            self.send_response(503)
        elif self.path.startswith("/moved"):
            self.send_response(int(self.path[-3:]))
            self.send_header("Location", "/end")
        else:
            self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def do_GET(self) -> None:
        self.do_POST()

    def log_message(self, *values: Any) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server()
    thread = threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield made
    made.shutdown()
    thread.join()
    made.server_close()


@pytest.fixture
def upload_gate() -> Iterator[UploadGate]:
    with gate() as made:
        yield made


@pytest.fixture
def session(upload_gate: UploadGate) -> Iterator[requests.Session]:
    with requests.Session() as made:
        made.trust_env = False
        upload_gate.mount(made)
        yield made


def _form(headers: dict[str, str], body: bytes) -> tuple[list[tuple[str, str]], list[tuple[str, str, str, bytes]]]:
    """What a server's own parser makes of it."""
    environ = {
        "REQUEST_METHOD": "POST",
        "CONTENT_TYPE": headers["content-type"],
        "CONTENT_LENGTH": headers["content-length"],
        "wsgi.input": io.BytesIO(body),
    }
    _, fields, files = parse_form_data(environ, silent=False)
    found = []
    for name, one in files.items(multi=True):
        found.append((name, one.filename or "", one.mimetype, one.read()))
        one.close()
    return list(fields.items(multi=True)), found


def test_files_and_fields_arrive(server: Server, session: requests.Session, tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(picture())
    with path.open("rb") as file:
        response = session.post(
            server.url,
            data={"title": "h\u00fc", "again": ["1", "2"]},
            files=[("f", ("\u00e4.png", file, "image/png")), ("f", ("b.csv", b"1,2\r\n" * 9_000, "text/csv"))],
        )
    assert response.status_code == 200
    assert [part.kind.value for part in response.safelight.parts] == ["text"] * 3 + ["picture", "text"]  # type: ignore[attr-defined]
    _, headers, body = server.got[0]
    fields, files = _form(headers, body)
    assert fields == [("title", "h\u00fc"), ("again", "1"), ("again", "2")]
    assert files == [("f", "\u00e4.png", "image/png", picture()), ("f", "b.csv", "text/csv", b"1,2\r\n" * 9_000)]


def _ways() -> dict[str, dict[str, Any]]:
    good, bad = ("a.txt", picture(), "text/plain"), ("b.txt", picture(BAD), "text/plain")
    encoder = MultipartEncoder([("a", good), ("b", bad)])
    monitor = MultipartEncoderMonitor(MultipartEncoder([("a", good), ("b", bad)]), lambda _: None)
    return {
        "files": {"files": {"a": good, "b": bad}},
        "ten good ones": {"files": [("f", good)] * 10 + [("f", bad)]},
        "bytes": {"data": picture(BAD)},
        "file": {"data": io.BytesIO(picture(BAD))},
        "generator": {"data": (picture(BAD)[at : at + 7] for at in range(0, len(picture(BAD)), 7))},
        "declared as text": {"data": picture(BAD), "headers": {"Content-Type": "text/plain"}},
        "json": {"json": {"a": __import__("base64").b64encode(picture(BAD)).decode()}},
        "form": {"data": {"a": picture(BAD)}},
        "toolbelt": {"data": encoder, "headers": {"Content-Type": encoder.content_type}},
        "toolbelt monitor": {"data": monitor, "headers": {"Content-Type": monitor.content_type}},
        "packed": {"data": gzip.compress(picture(BAD)), "headers": {"Content-Encoding": "gzip"}},
        "broken": {"data": picture(BAD)[:50]},
        "unknown": {"data": b"\0\1\2\3"},
    }


@pytest.mark.parametrize("way", list(_ways()))
def test_not_one_byte_of_a_refused_body_leaves(server: Server, session: requests.Session, way: str) -> None:
    with pytest.raises(UploadRefusedError) as caught:
        session.post(server.url, **_ways()[way])
    assert server.connections == 0
    verdict = caught.value.verdict
    assert verdict.refused
    assert verdict.decision is not None and verdict.decision.notice is not None
    assert not isinstance(caught.value, requests.RequestException)


@pytest.mark.parametrize("way", ["bytes", "text", "file", "generator", "real file", "toolbelt", "empty generator"])
def test_good_bodies_arrive_byte_for_byte(server: Server, session: requests.Session, way: str, tmp_path: Path) -> None:
    data = picture(size=(300, 200), format="BMP")
    path = tmp_path / "x"
    path.write_bytes(data)
    encoder = MultipartEncoder({"f": ("x.bmp", data, "image/bmp"), "t": "text"})
    with path.open("rb") as file:
        given: Any = {
            "bytes": data,
            "text": "t\u00e4xt",
            "file": io.BytesIO(data),
            "generator": (data[at : at + 999] for at in range(0, len(data), 999)),
            "empty generator": iter([b""]),
            "real file": file,
            "toolbelt": encoder,
        }[way]
        headers = {"Content-Type": encoder.content_type} if way == "toolbelt" else None
        session.post(server.url, data=given, headers=headers)
    _, sent, body = server.got[0]
    assert "transfer-encoding" not in sent
    assert int(sent["content-length"]) == len(body)
    if way == "toolbelt":
        assert _form(sent, body) == ([("t", "text")], [("f", "x.bmp", "image/bmp", data)])
    else:
        assert body == {"text": "t\u00e4xt".encode(), "empty generator": b""}.get(way, data)


def test_a_file_that_changes_after_the_check_is_sent_as_it_was_checked(
    server: Server, session: requests.Session, upload_gate: UploadGate, tmp_path: Path
) -> None:
    path = tmp_path / "x.png"
    path.write_bytes(picture())

    class Changes(HTTPAdapter):
        def send(self, request: Any, **options: Any) -> Any:  # type: ignore[override]
            path.write_bytes(picture(BAD))
            return super().send(request, **options)

    session.mount("http://", Changes())
    upload_gate.mount(session, prefixes=["http://"])
    with path.open("rb") as file:
        session.post(server.url, data=file)
    assert server.got[0][2] == picture()


@pytest.mark.parametrize("status", [307, 308])
def test_a_redirect_that_repeats_the_body_is_checked_again(
    server: Server, session: requests.Session, upload_gate: UploadGate, status: int
) -> None:
    detector = upload_gate.guard.detectors[0]
    assert isinstance(detector, Brightness)
    response = session.post(f"{server.url}/moved{status}", files={"f": io.BytesIO(picture())})
    assert response.status_code == 200
    assert [path for path, _, _ in server.got] == [f"/moved{status}", "/end"]
    assert detector.seen == 2
    for _, headers, body in server.got:
        assert _form(headers, body)[1][0][3] == picture()


def test_a_redirect_that_drops_the_body_has_none(server: Server, session: requests.Session) -> None:
    response = session.post(f"{server.url}/moved303", data=b"text")
    assert response.request.method == "GET"
    assert [body for _, _, body in server.got] == [b"text", b""]
    assert response.safelight is None  # type: ignore[attr-defined]


def test_an_attempt_that_is_repeated_sends_the_same(server: Server, upload_gate: UploadGate) -> None:
    server.failures = 2
    with requests.Session() as session:
        session.trust_env = False
        retry = Retry(total=3, status_forcelist=[503], allowed_methods=None, backoff_factor=0)
        session.mount("http://", HTTPAdapter(max_retries=retry))
        upload_gate.mount(session)
        pieces = (picture()[at : at + 9] for at in range(0, len(picture()), 9))
        assert session.post(f"{server.url}/again", data=pieces).status_code == 200
    assert [body for _, _, body in server.got] == [picture()] * 3


def test_requests_without_a_body_are_left_alone(server: Server, session: requests.Session) -> None:
    assert session.get(server.url).status_code == 200
    assert session.post(server.url).status_code == 200
    assert [body for _, _, body in server.got] == [b"", b""]


def test_a_packed_body_is_sent_plain(server: Server, session: requests.Session) -> None:
    body = json.dumps({"a": 1}).encode()
    session.post(server.url, data=gzip.compress(body), headers={"Content-Encoding": "gzip"})
    assert server.got[0][2] == body
    assert "content-encoding" not in server.got[0][1]


def test_what_cannot_be_taken_is_an_error_and_is_not_sent(server: Server) -> None:
    with gate(limits=UploadLimits(max_body_bytes=100_000, max_requests=1)) as upload_gate:
        with requests.Session() as session:
            session.trust_env = False
            upload_gate.mount(session)
            with pytest.raises(UploadTooLargeError):
                session.post(server.url, data=(b"x" * 9_999 for _ in range(1 << 40)))
            with pytest.raises(UploadMalformedError):
                session.post(server.url, data=b"--x", headers={"Content-Type": "multipart/form-data; boundary=b"})
            with pytest.raises(UnsupportedInputError):
                session.post(server.url, data=iter([1, 2]))  # type: ignore[arg-type]
            with pytest.raises(ZeroDivisionError):
                session.post(server.url, data=(b"x" * (2 // (2 - n)) for n in range(3)))
            upload_gate.enter()
            with pytest.raises(UploadBusyError):
                session.post(server.url, data=b"x")
            upload_gate.leave()
            assert session.post(server.url, data=b"x").status_code == 200
    assert [body for _, _, body in server.got] == [b"x"]


def test_several_threads_share_a_gate(server: Server, upload_gate: UploadGate) -> None:
    problems: list[BaseException] = []
    refused: list[tuple[Action, int]] = []

    def work(number: int) -> None:
        try:
            with requests.Session() as session:
                session.trust_env = False
                upload_gate.mount(session)
                for turn in range(4):
                    level = BAD if (number + turn) % 2 else number
                    try:
                        session.post(server.url, files={"f": picture(level)})
                        assert level != BAD
                    except UploadRefusedError as error:
                        refused.append((error.verdict.action, level))
        except BaseException as error:  # noqa: BLE001 - handed to the main thread
            problems.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert problems == []
    assert refused == [(Action.BLOCK, BAD)] * 12
    assert len(server.got) == 12
    assert all(_form(headers, body)[1][0][3] != picture(BAD) for _, headers, body in server.got)
