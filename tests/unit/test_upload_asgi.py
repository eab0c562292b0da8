"""Does an app behind the middleware get what was checked, all of it, and nothing else?"""

from __future__ import annotations

import asyncio
import base64
import gzip
import json
import threading
import zlib
from collections.abc import Sequence
from typing import Any

import pytest
from safelight import Action, UsageError
from safelight.gates import UploadLimits, UploadMiddleware
from upload_world import (
    BAD,
    Brightness,
    exchange,
    exchange_async,
    field_part,
    file_part,
    gate,
    multipart,
    picture,
)

FORM = "multipart/form-data; boundary=b0"


def test_a_form_arrives_whole_and_in_order() -> None:
    parts = [
        field_part(b"first"),
        file_part(picture(), "a", "a.png"),
        field_part("zw\u00f6lf\r\n--b1\r\n".encode(), "\u00fc"),
        file_part(b"", "none", ""),
        file_part(b"a,b\r\n1,2\r\n" * 9_000, "csv", 'odd \\"name\\".csv', "text/csv"),
        field_part(b"last"),
    ]
    with gate() as upload_gate:
        seen = exchange(upload_gate, multipart(parts), content_type=FORM)
    assert seen.passed
    boundary = seen.app_headers["content-type"].partition("boundary=")[2]
    assert boundary not in FORM
    assert seen.app_body == multipart(parts, boundary)
    assert int(seen.app_headers["content-length"]) == len(seen.app_body)
    assert [part.kind.value for part in seen.verdict.parts] == ["text", "picture", "text", "empty", "text", "text"]


def test_one_bad_file_among_good_ones_stops_the_request() -> None:
    parts = [file_part(picture(level), f"f{level}") for level in range(10)]
    parts.insert(4, file_part(picture(BAD), "x", "holiday.txt", "text/plain"))
    with gate() as upload_gate:
        seen = exchange(upload_gate, multipart(parts), content_type=FORM)
    assert seen.app_calls == 0
    assert seen.status == 422
    assert seen.headers["content-type"] == "application/problem+json"
    told = json.loads(seen.body)
    assert told["reason"] == "UPLOAD_REFUSED"
    assert told["action"] == "BLOCK"
    assert [part["action"] for part in told["parts"]] == ["ALLOW"] * 4 + ["BLOCK"] + ["ALLOW"] * 6
    assert told["notice"]["title"]
    assert told["notice"]["help"]
    assert told["redress"]["text"]
    assert "holiday" not in seen.body.decode()


def test_a_browser_gets_a_page() -> None:
    with gate() as upload_gate:
        seen = exchange(
            upload_gate, picture(BAD), headers=[("accept", "text/html,application/xhtml+xml,*/*;q=0.8")], path="/x"
        )
    assert seen.status == 422
    assert seen.headers["content-type"] == "text/html; charset=utf-8"
    assert "default-src 'none'" in seen.headers["content-security-policy"]
    page = seen.body.decode()
    assert '<html lang="en"' in page
    assert "Childline" in page
    assert "<script" not in page


@pytest.mark.parametrize("accept", ["application/json", "*/*", "", "text/html;q=0.5, application/json", "text/plain"])
def test_a_program_gets_json(accept: str) -> None:
    with gate() as upload_gate:
        seen = exchange(upload_gate, picture(BAD), headers=[("accept", accept)])
    assert seen.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize(
    "kind", [None, "text/plain", "application/json", "application/octet-stream", "image/jpeg", "application/grpc"]
)
def test_a_bare_body_is_looked_at_whatever_it_is_called(kind: str | None) -> None:
    with gate() as upload_gate:
        assert exchange(upload_gate, picture(BAD), content_type=kind).status == 422
        fine = exchange(upload_gate, picture(), content_type=kind)
    assert fine.passed
    assert fine.app_body == picture()
    assert fine.app_headers.get("content-type") == kind


@pytest.mark.parametrize("method", ["GET", "DELETE", "PUT", "PATCH", "OPTIONS", "BREW"])
def test_every_method_is_looked_at(method: str) -> None:
    with gate() as upload_gate:
        assert exchange(upload_gate, picture(BAD), method=method).status == 422


def test_pictures_in_json_are_looked_at() -> None:
    good, bad = (base64.b64encode(picture(level)).decode() for level in (1, BAD))
    with gate() as upload_gate:
        for value in ({"a": [bad]}, {"a": f"data:image/png;base64,{bad}"}, {bad: 1}, [good, bad]):
            body = json.dumps(value).encode()
            assert exchange(upload_gate, body, content_type="application/json").status == 422
        body = f'{{"a": "{bad}", "a": "{good}"}}'.encode()
        assert exchange(upload_gate, body, content_type="application/json").status == 422
        body = json.dumps({"a": good, "b": "text/plain"}).encode()
        assert exchange(upload_gate, body, content_type="application/json").app_body == body


def test_pictures_in_a_plain_form_are_looked_at() -> None:
    kind = "application/x-www-form-urlencoded"
    with gate() as upload_gate:
        coded = "".join(f"%{byte:02x}" for byte in picture(BAD)).encode()
        assert exchange(upload_gate, b"a=1&b=" + coded, content_type=kind).status == 422
        assert exchange(upload_gate, coded + b"=1", content_type=kind).status == 422
        text = base64.b64encode(picture(BAD)).replace(b"+", b"%2B").replace(b"/", b"%2F")
        assert exchange(upload_gate, b"a=" + text, content_type=kind).status == 422
        drawn = b"a=x&b=%3Csvg%20xmlns%3D%22http%3A%2F%2Fwww.w3.org%2F2000%2Fsvg%22%3E%3Crect%20%2F%3E%3C%2Fsvg%3E"
        assert exchange(upload_gate, drawn, content_type=kind).status == 422
        body = b"name=J%C3%BCrgen+M&text=a%0Ab&empty=&=x&flag"
        assert exchange(upload_gate, body, content_type=kind).app_body == body


def test_a_packed_body_is_unpacked_checked_and_handed_on_plain() -> None:
    bare = zlib.compressobj(wbits=-15)
    ways = {
        "gzip": gzip.compress(picture()),
        "x-gzip": gzip.compress(picture()[:50]) + gzip.compress(picture()[50:]),
        "deflate": zlib.compress(picture()),
        "DEFLATE": bare.compress(picture()) + bare.flush(),
        "identity": picture(),
    }
    with gate() as upload_gate:
        for name, body in ways.items():
            pieces = [body[at : at + 7] for at in range(0, len(body), 7)]
            seen = exchange(
                upload_gate, pieces, headers=[("content-encoding", name), ("content-length", str(len(body)))]
            )
            assert seen.app_body == picture(), name
            assert "content-encoding" not in seen.app_headers
            assert seen.app_headers["content-length"] == str(len(picture()))
        assert exchange(upload_gate, gzip.compress(picture(BAD)), headers=[("content-encoding", "gzip")]).status == 422
        packed = gzip.compress(multipart([file_part(picture(BAD))]))
        assert exchange(upload_gate, packed, content_type=FORM, headers=[("content-encoding", "gzip")]).status == 422


_FORM_OF = {
    "no boundary": (b"--b0--\r\n", "multipart/form-data", 400),
    "empty boundary": (b"--b0--\r\n", 'multipart/form-data; boundary=""', 400),
    "two boundaries": (multipart([field_part(b"x")]), "multipart/form-data; boundary=b0; boundary=b1", 400),
    "long boundary": (b"x", "multipart/form-data; boundary=" + "b" * 71, 400),
    "odd boundary": (b"x", 'multipart/form-data; boundary="b\u00e9"', 400),
    "cut short": (multipart([field_part(b"x")])[:-6], FORM, 400),
    "only a preamble": (b"hello", FORM, 400),
    "nothing but line breaks": (b"\r\n\r\n", FORM, 400),
    "bare line feeds": (multipart([field_part(b"x")]).replace(b"\r\n", b"\n"), FORM, 400),
    "no name": (multipart([("Content-Disposition: form-data", b"x")]), FORM, 400),
    "no disposition": (multipart([("Content-Type: text/plain", b"x")]), FORM, 400),
    "no headers": (b"--b0\r\n\r\nx\r\n--b0--\r\n", FORM, 400),
    "other disposition": (multipart([('Content-Disposition: attachment; name="a"', b"x")]), FORM, 400),
    "two dispositions": (
        multipart([('Content-Disposition: form-data; name="a"\r\ncontent-disposition: form-data; name="b"', b"x")]),
        FORM,
        400,
    ),
    "two names": (multipart([('Content-Disposition: form-data; name="a"; name="b"', b"x")]), FORM, 400),
    "name in pieces": (multipart([('Content-Disposition: form-data; name*0="a"; name*1="b"', b"x")]), FORM, 400),
    "extended name": (multipart([("Content-Disposition: form-data; name=a; name*=utf-8''b", b"x")]), FORM, 400),
    "folded": (multipart([('Content-Disposition: form-data;\r\n name="a"', b"x")]), FORM, 400),
    "a zero byte": (multipart([('Content-Disposition: form-data; name="a\0b"', b"x")]), FORM, 400),
    "open quote": (multipart([('Content-Disposition: form-data; name="a', b"x")]), FORM, 400),
    "file name in another coding": (
        multipart([("Content-Disposition: form-data; name=a; filename*=shift_jis''%83", b"x")]),
        FORM,
        400,
    ),
    "line break in a file name": (
        multipart([("Content-Disposition: form-data; name=a; filename*=utf-8''%0d%0aX:%20y", b"x")]),
        FORM,
        400,
    ),
    "nested": (
        multipart([('Content-Disposition: form-data; name="a"\r\nContent-Type: multipart/mixed; boundary=c', b"x")]),
        FORM,
        400,
    ),
    "a message": (
        multipart([('Content-Disposition: form-data; name="a"\r\nContent-Type: message/rfc822', b"x")]),
        FORM,
        400,
    ),
    "unknown transfer encoding": (
        multipart([('Content-Disposition: form-data; name="a"\r\nContent-Transfer-Encoding: uuencode', b"x")]),
        FORM,
        415,
    ),
    "broken base64": (
        multipart([('Content-Disposition: form-data; name="a"\r\nContent-Transfer-Encoding: base64', b"a?bc")]),
        FORM,
        400,
    ),
    "base64 cut short": (
        multipart([('Content-Disposition: form-data; name="a"\r\nContent-Transfer-Encoding: base64', b"aGVsb")]),
        FORM,
        400,
    ),
    "base64 that goes on": (
        multipart([('Content-Disposition: form-data; name="a"\r\nContent-Transfer-Encoding: base64', b"aA==aGVs")]),
        FORM,
        400,
    ),
    "packed part": (
        multipart([('Content-Disposition: form-data; name="a"\r\nContent-Encoding: gzip', gzip.compress(b"x"))]),
        FORM,
        415,
    ),
    "other multipart": (b"x", "multipart/byteranges; boundary=b0", 415),
    "no media type": (b"x", "nonsense", 400),
    "too many parts": (multipart([field_part(b"")] * 1_001), FORM, 413),
    "too many headers": (
        multipart([('Content-Disposition: form-data; name="a"' + "".join(f"\r\nX{n}: y" for n in range(99)), b"x")]),
        FORM,
        400,
    ),
}


@pytest.mark.parametrize("name", _FORM_OF)
@pytest.mark.parametrize("step", [1, 7, 1 << 20])
def test_what_can_be_read_in_two_ways_is_refused(name: str, step: int) -> None:
    body, kind, status = _FORM_OF[name]
    if step == 1 and len(body) > 5_000:
        pytest.skip("the same in one piece")
    with gate() as upload_gate:
        seen = exchange(upload_gate, [body[at : at + step] for at in range(0, len(body), step)], content_type=kind)
    assert seen.status == status
    assert seen.app_calls == 0
    assert json.loads(seen.body)["reason"].startswith("UPLOAD_")


def test_what_stands_before_and_behind_a_form_does_not_reach_the_app() -> None:
    body = b"\r\nsmuggled " + picture(BAD) + b"\r\n" + multipart([field_part(b"x")]) + b"epilogue" + picture(BAD)
    with gate() as upload_gate:
        seen = exchange(upload_gate, body, content_type=FORM)
    assert seen.status == 400 or (seen.passed and b"smuggled" not in seen.app_body and b"epilogue" not in seen.app_body)


def test_transfer_encodings_of_parts_are_undone() -> None:
    head = 'Content-Disposition: form-data; name="a"; filename="a"\r\nContent-Transfer-Encoding: '
    text = "r\u00e9sum\u00e9 = 1\r\n".encode()
    import quopri

    with gate() as upload_gate:
        bad = multipart([(head + "base64", base64.encodebytes(picture(BAD)))])
        assert exchange(upload_gate, bad, content_type=FORM).status == 422
        bad = multipart([(head + "Quoted-Printable", quopri.encodestring(picture(BAD)))])
        assert exchange(upload_gate, bad, content_type=FORM).status == 422
        body = multipart(
            [
                (head + "base64", base64.encodebytes(picture())),
                (head + "quoted-printable", quopri.encodestring(text)),
                (head + "8bit", text),
            ]
        )
        seen = exchange(upload_gate, [body[at : at + 5] for at in range(0, len(body), 5)], content_type=FORM)
    assert b"transfer-encoding" not in seen.app_body.lower()
    boundary = seen.app_headers["content-type"].partition("boundary=")[2]
    plain = 'Content-Disposition: form-data; name="a"; filename="a"'
    assert seen.app_body == multipart([(plain, picture()), (plain, text), (plain, text)], boundary)


def test_a_file_name_is_said_once_in_one_way() -> None:
    head = "Content-Disposition: form-data; name=a; filename=\"x.txt\"; filename*=UTF-8''%E2%82%AC%20%22.txt"
    with gate() as upload_gate:
        seen = exchange(upload_gate, multipart([(head, b"x")]), content_type=FORM)
    line = 'Content-Disposition: form-data; name="a"; filename="\u20ac \\".txt"'
    assert line.encode() in seen.app_body


def test_a_picture_in_a_file_name_is_looked_at() -> None:
    name = base64.urlsafe_b64encode(picture(BAD)).decode()
    with gate() as upload_gate:
        assert exchange(upload_gate, multipart([file_part(b"x", "f", name)]), content_type=FORM).status == 422


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ([("content-type", "text/plain"), ("content-type", FORM)], 400),
        ([("content-length", "4"), ("content-length", "4")], 400),
        ([("content-length", "5")], 400),
        ([("content-length", "3")], 400),
        ([("content-length", "-1")], 400),
        ([("content-length", "0x4")], 400),
        ([("content-length", str(1 << 40))], 413),
        ([("content-encoding", "br")], 415),
        ([("content-encoding", "gzip, gzip")], 415),
        ([("content-encoding", "gzip")], 400),
        ([("content-encoding", "deflate")], 400),
    ],
)
def test_headers_that_lie_are_refused(headers: list[tuple[str, str]], status: int) -> None:
    with gate() as upload_gate:
        seen = exchange(upload_gate, b"text", headers=headers)
    assert (seen.status, seen.app_calls) == (status, 0)


def test_sizes_have_bounds() -> None:
    limits = UploadLimits(max_body_bytes=100_000, max_form_bytes=1_000)
    with gate(limits=limits) as upload_gate:
        assert exchange(upload_gate, [b"x" * 60_000, b"x" * 60_000]).status == 413
        form = "application/x-www-form-urlencoded"
        assert exchange(upload_gate, b"a=" + b"x" * 1_000, content_type=form).status == 413
        bomb = gzip.compress(b"\0" * 50_000_000)
        assert exchange(upload_gate, bomb, headers=[("content-encoding", "gzip")]).status == 413
        assert exchange(upload_gate, b"x" * 100_000).passed


def test_there_is_room_for_so_many() -> None:
    limits = UploadLimits(total_memory_bytes=0, memory_bytes=0, total_disk_bytes=0)
    with gate(limits=limits) as upload_gate:
        seen = exchange(upload_gate, b"x" * 200_000)
        assert (seen.status, seen.headers["retry-after"]) == (503, "5")


@pytest.mark.parametrize("memory_bytes", [0, 100_000, 1 << 22])
def test_a_large_form_arrives_byte_for_byte_wherever_it_waited(memory_bytes: int) -> None:
    text = b"".join(b"%d;%d\n" % (n, n * n) for n in range(60_000))
    body = multipart(
        [file_part(text, "csv"), file_part(picture(size=(600, 400), format="BMP"), "p"), field_part(b"end")]
    )
    with gate(limits=UploadLimits(memory_bytes=memory_bytes)) as upload_gate:
        seen = exchange(upload_gate, [body[at : at + 65_536] for at in range(0, len(body), 65_536)], content_type=FORM)
    boundary = seen.app_headers["content-type"].partition("boundary=")[2].encode()
    assert seen.app_body == body.replace(b"--b0", b"--" + boundary)


def test_requests_without_a_body_are_let_through_untouched() -> None:
    with gate() as upload_gate:
        seen = exchange(upload_gate, [], method="GET", headers=[("x", "y")])
    assert seen.passed and seen.verdict is None and seen.app_headers == {"x": "y"}


def test_exceptions_are_exact_paths() -> None:
    with gate() as upload_gate:
        options: dict[str, Any] = {"except_paths": ("/hook",)}
        assert exchange(upload_gate, picture(BAD), path="/hook", **options).passed
        for path in ("/hook/", "/hook/x", "//hook", "/HOOK", "/"):
            assert exchange(upload_gate, picture(BAD), path=path, **options).status == 422


def test_a_verdict_below_the_bar_reaches_the_app() -> None:
    class Suggestive(Brightness):
        def detect(self, image: object) -> list:  # type: ignore[type-arg]
            from safelight import Finding, FindingKind, Label, State

            return [Finding(FindingKind.NUDITY, State.OK, Label.SUGGESTIVE, 0.6, "s")]

    with gate(detector=Suggestive()) as upload_gate:
        seen = exchange(upload_gate, picture())
    assert seen.verdict.action is Action.NUDGE
    assert seen.verdict.decision.notice is not None


def test_the_loop_is_free_while_a_picture_is_looked_at() -> None:
    release = threading.Event()

    class Waiting(Brightness):
        def detect(self, image: object) -> list:  # type: ignore[type-arg]
            assert release.wait(20)
            return super().detect(image)  # type: ignore[arg-type]

    async def both() -> tuple[Any, Any]:
        slow = asyncio.create_task(exchange_async(upload_gate, [picture()]))
        await asyncio.sleep(0)
        quick = await exchange_async(upload_gate, [b"text"])
        assert not slow.done()
        release.set()
        return await slow, quick

    with gate(detector=Waiting(), concurrency=1) as upload_gate:
        slow, quick = asyncio.run(both())
    assert slow.passed and quick.passed


def test_a_client_that_goes_away_leaves_nothing_behind() -> None:
    async def receive() -> dict[str, Any]:
        return sent.pop(0)

    sent = [{"type": "http.request", "body": b"x" * 99_999, "more_body": True}, {"type": "http.disconnect"}]
    with gate() as upload_gate:
        seen = asyncio.run(exchange_async(upload_gate, receive))
    assert (seen.status, seen.app_calls) == (0, 0)


@pytest.mark.parametrize("bounds", [{"idle_timeout_s": 0.05}, {"body_timeout_s": 0.05}])
@pytest.mark.parametrize("first", [b"", b"x"])
def test_a_body_that_does_not_come_is_given_up(bounds: dict[str, float], first: bytes) -> None:
    sent = [{"type": "http.request", "body": first, "more_body": True}]

    async def receive() -> dict[str, Any]:
        if sent:
            return sent.pop(0)
        return await asyncio.Event().wait()  # type: ignore[return-value]

    with gate(limits=UploadLimits(**bounds)) as upload_gate:  # type: ignore[arg-type]
        seen = asyncio.run(exchange_async(upload_gate, receive))
    assert (seen.status, seen.app_calls) == (408, 0)


def test_a_check_that_does_not_end_is_given_up_and_cleaned_up_later() -> None:
    release = threading.Event()

    class Hanging(Brightness):
        def detect(self, image: object) -> list:  # type: ignore[type-arg]
            release.wait(20)
            return super().detect(image)  # type: ignore[arg-type]

    async def main() -> Any:
        seen = await exchange_async(upload_gate, [picture()])
        release.set()
        await asyncio.to_thread(upload_gate.verdict_pool.shutdown, True)
        await asyncio.sleep(0)
        return seen

    with gate(detector=Hanging(), limits=UploadLimits(check_timeout_s=0.05)) as upload_gate:
        seen = asyncio.run(main())
    assert (seen.status, seen.app_calls) == (408, 0)


# --- WebSocket ------------------------------------------------------------------------------------------------------


def _socket(messages: Sequence[dict[str, Any]], **options: Any) -> tuple[list[Any], list[dict[str, Any]]]:
    """What an app that reads until it is told to stop was given, and what was sent to the client."""
    got: list[Any] = []
    sent: list[dict[str, Any]] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        while True:
            message = await receive()
            got.append(message)
            if message["type"] == "websocket.disconnect":
                await send({"type": "websocket.send", "text": "too late"})
                return

    waiting = [{"type": "websocket.connect"}, *messages, {"type": "websocket.disconnect", "code": 1000}]

    async def receive() -> dict[str, Any]:
        return waiting.pop(0)

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    with gate(**options.pop("gate", {})) as upload_gate:
        middleware = UploadMiddleware(app, gate=upload_gate, **options)
        asyncio.run(middleware({"type": "websocket", "path": "/", "headers": []}, receive, send))
    return got, sent


def _received(**values: Any) -> dict[str, Any]:
    return {"type": "websocket.receive", **values}


def test_messages_are_looked_at_before_the_app_sees_them() -> None:
    text = base64.b64encode(picture(BAD)).decode()
    for bad in (_received(bytes=picture(BAD)), _received(bytes=None, text=text), _received(bytes=b"\0\1\2")):
        got, sent = _socket([_received(text="hi"), _received(bytes=picture()), bad, _received(text="after")])
        assert [message["type"] for message in got] == ["websocket.receive"] * 2 + ["websocket.disconnect"]
        assert [message["type"] for message in sent] == ["websocket.accept", "websocket.close"]
        assert sent[-1]["code"] == 1008


def test_messages_may_be_refused_or_left_to_the_app() -> None:
    got, sent = _socket([_received(bytes=picture())], websocket="refuse")
    assert (len(got), sent[-1]["code"]) == (1, 1008)
    got, _ = _socket([_received(bytes=picture(BAD))], websocket="pass")
    assert got[0]["bytes"] == picture(BAD)
    _, sent = _socket([_received(text="x" * 99)], gate={"limits": UploadLimits(max_message_bytes=98)})
    assert sent[-1]["code"] == 1009


def test_other_scopes_are_none_of_its_business() -> None:
    called: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        called.append(scope["type"])

    with gate() as upload_gate:
        asyncio.run(UploadMiddleware(app, gate=upload_gate)({"type": "lifespan"}, None, None))  # type: ignore[arg-type]
        for wrong in ({"websocket": "ignore"}, {"except_paths": "/x"}):
            with pytest.raises(UsageError):
                UploadMiddleware(app, gate=upload_gate, **wrong)  # type: ignore[arg-type]
    assert called == ["lifespan"]
