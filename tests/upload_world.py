"""What the tests of uploads share: a detector that goes by brightness, bodies, and an app to protect."""

from __future__ import annotations

import asyncio
import io
import zipfile
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from PIL import Image as PilImage
from safelight import Finding, FindingKind, Guard, Label, Profile, State
from safelight.gates import UploadGate, UploadLimits, UploadMiddleware, UploadRules
from safelight.media import Image

GOOD, BAD = 40, 250


class Brightness:
    """A bright picture counts as explicit: pictures of both kinds can be made, and neither shows anything."""

    id = "brightness"
    kinds = (FindingKind.NUDITY,)

    def __init__(self) -> None:
        self.seen = 0

    def prepare(self) -> State:
        return State.OK

    def detect(self, image: Image) -> list[Finding]:
        self.seen += 1
        score = float(image.pixels.mean()) / 255
        return [Finding(self.kinds[0], State.OK, Label.EXPLICIT if score > 0.9 else Label.NONE, score, self.id)]

    def close(self) -> None:
        pass


def picture(level: int = GOOD, format: str = "PNG", size: tuple[int, int] = (32, 24)) -> bytes:
    buffer = io.BytesIO()
    PilImage.new("RGB", size, (level, level, level)).save(buffer, format)
    return buffer.getvalue()


def archive(*contents: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        for number, content in enumerate(contents):
            file.writestr(f"{number}.bin", content)
    return buffer.getvalue()


@contextmanager
def gate(
    band: str = "13_15",
    *,
    rules: UploadRules | None = None,
    limits: UploadLimits | None = None,
    detector: Any = None,
    concurrency: int = 2,
    **options: Any,
) -> Iterator[UploadGate]:
    used = detector if detector is not None else Brightness()
    with Guard(Profile(band, country="GB"), detectors=[used], concurrency=concurrency) as guard:
        with UploadGate(guard, rules=rules, limits=limits, **options) as made:
            yield made
            assert made.bodies == 0
            assert made.budget.used("memory") == 0
            assert made.budget.used("disk") == 0


def multipart(parts: Iterable[tuple[str, bytes]], boundary: str = "b0") -> bytes:
    """Headers (without the last line break) and content of each part."""
    out = b""
    for headers, content in parts:
        out += f"--{boundary}\r\n{headers}\r\n\r\n".encode() + content + b"\r\n"
    return out + f"--{boundary}--\r\n".encode()


def file_part(content: bytes, name: str = "f", filename: str = "x.png", kind: str = "image/png") -> tuple[str, bytes]:
    return (
        f'Content-Disposition: form-data; name="{name}"; filename="{filename}"\r\nContent-Type: {kind}',
        content,
    )


def field_part(value: bytes, name: str = "t") -> tuple[str, bytes]:
    return f'Content-Disposition: form-data; name="{name}"', value


@dataclass
class Exchange:
    """What the client got, and what the app was given."""

    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    app_calls: int = 0
    app_headers: dict[str, str] = field(default_factory=dict)
    app_body: bytes = b""
    verdict: Any = None

    @property
    def passed(self) -> bool:
        return self.app_calls == 1


Receive = Callable[[], Awaitable[dict[str, Any]]]


async def exchange_async(
    upload_gate: UploadGate,
    chunks: Sequence[bytes] | Receive,
    *,
    content_type: str | None = None,
    headers: Sequence[tuple[str, str]] = (),
    method: str = "POST",
    path: str = "/",
    **options: Any,
) -> Exchange:
    seen = Exchange()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.app_calls += 1
        seen.app_headers = {name.decode(): value.decode("latin-1") for name, value in scope["headers"]}
        seen.verdict = scope.get("safelight.upload")
        pieces = []
        while True:
            message = await receive()
            if message["type"] != "http.request":
                break
            pieces.append(message.get("body", b""))
            if not message.get("more_body", False):
                break
        seen.app_body = b"".join(pieces)
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"ok"})

    if callable(chunks):
        receive = chunks
    else:
        waiting = [
            {"type": "http.request", "body": chunk, "more_body": number + 1 < len(chunks)}
            for number, chunk in enumerate(chunks)
        ] or [{"type": "http.request", "body": b"", "more_body": False}]

        async def receive() -> dict[str, Any]:
            return waiting.pop(0) if waiting else {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        if message["type"] == "http.response.start":
            seen.status = message["status"]
            seen.headers = {name.decode(): value.decode() for name, value in message["headers"]}
        else:
            seen.body += message.get("body", b"")

    sent = [(name.lower().encode(), value.encode("latin-1")) for name, value in headers]
    if content_type is not None:
        sent.append((b"content-type", content_type.encode("latin-1")))
    scope = {"type": "http", "method": method, "path": path, "headers": sent}
    await UploadMiddleware(app, gate=upload_gate, **options)(scope, receive, send)
    return seen


def exchange(upload_gate: UploadGate, chunks: Sequence[bytes] | bytes, **options: Any) -> Exchange:
    pieces = [chunks] if isinstance(chunks, bytes) else chunks
    return asyncio.run(exchange_async(upload_gate, pieces, **options))
