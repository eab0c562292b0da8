"""Does the middleware do its work before real apps and a real server?"""

from __future__ import annotations

import asyncio
import json
import re
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn
from safelight.gates import UploadMiddleware
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route
from upload_world import BAD, gate, picture

_DJANGO = """
import asyncio, json, sys
sys.path.insert(0, sys.argv[1])
from django.conf import settings
settings.configure(ROOT_URLCONF=__name__, ALLOWED_HOSTS=["*"], SECRET_KEY="x", USE_I18N=False, MIDDLEWARE=[])
import django
django.setup()
from django.core.asgi import get_asgi_application
from django.http import JsonResponse
from django.urls import path

async def view(request):
    files = [(name, one.name, len(one.read())) for name, one in request.FILES.items()]
    return JsonResponse({"fields": dict(request.POST.items()), "files": files})

urlpatterns = [path("", view)]
import httpx
from safelight.gates import UploadMiddleware
from upload_world import BAD, gate, picture

async def main():
    transport = httpx.ASGITransport(app=UploadMiddleware(get_asgi_application(), gate=upload_gate))
    async with httpx.AsyncClient(transport=transport, base_url="http://t") as client:
        good = await client.post("/", data={"a": "\\u00fc"}, files={"f": ("\\u00e4.png", picture())})
        bad = await client.post("/", data={"a": "b"}, files={"f": ("x.txt", picture(BAD)), "g": picture()})
    print(json.dumps([good.status_code, good.json(), bad.status_code]))

with gate() as upload_gate:
    asyncio.run(main())
"""


def test_django(root: Path) -> None:
    command = [sys.executable, "-c", _DJANGO, str(root / "tests")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2_000:]
    expected = {"fields": {"a": "\u00fc"}, "files": [["f", "\u00e4.png", len(picture())]]}
    assert json.loads(done.stdout) == [200, expected, 422]


async def _echo(request: Request) -> JSONResponse:
    if request.headers.get("content-type", "").startswith("multipart/"):
        async with request.form() as form:
            found = [[name, value if isinstance(value, str) else value.size] for name, value in form.items()]
        return JSONResponse(found)
    return JSONResponse(len(await request.body()))


def _starlette(upload_gate: Any) -> Starlette:
    app = Starlette(routes=[Route("/", _echo, methods=["GET", "POST"])])
    app.add_middleware(UploadMiddleware, gate=upload_gate)
    return app


def test_starlette() -> None:
    async def main() -> None:
        transport = httpx.ASGITransport(app=_starlette(upload_gate))
        async with httpx.AsyncClient(transport=transport, base_url="http://t") as client:
            good = await client.post("/", data={"a": "b"}, files={"f": picture()})
            assert good.json() == [["a", "b"], ["f", len(picture())]]
            assert (await client.post("/", files={"f": picture(BAD)})).status_code == 422
            assert (await client.get("/")).json() == 0

    with gate() as upload_gate:
        asyncio.run(main())


@pytest.fixture
def port() -> Iterator[int]:
    with gate() as upload_gate, socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        config = uvicorn.Config(_starlette(upload_gate), log_level="critical", lifespan="off", ws="none")
        server = uvicorn.Server(config)
        thread = threading.Thread(target=lambda: asyncio.run(server.serve(sockets=[listening])))
        thread.start()
        yield listening.getsockname()[1]
        server.should_exit = True
        thread.join()


_LIES = {
    "chunk that is cut": b"5\r\nab",
    "size that is none": b"zz\r\nab\r\n0\r\n\r\n",
    "endless size": b"F" * 40 + b"\r\nab",
    "longer than it says": b"2\r\nabcdef\r\n0\r\n\r\n",
    "no end": b"2\r\nab\r\n",
    "negative": b"-2\r\nab\r\n0\r\n\r\n",
}


@pytest.mark.parametrize("lie", _LIES)
@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_chunks_that_lie(port: int, lie: str) -> None:
    with socket.create_connection(("127.0.0.1", port), timeout=10) as line:
        line.sendall(b"POST / HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n" + _LIES[lie])
        line.shutdown(socket.SHUT_WR)
        answered = b""
        while piece := line.recv(4_096):
            answered += piece
    # Either it was told that this is no request, or the line was cut; the app did not see it.
    assert not re.match(rb"HTTP/1\.1 200", answered)
    assert httpx.post(f"http://127.0.0.1:{port}/", content=iter([b"ab", b"cd"]), trust_env=False).json() == 4


def test_over_a_real_line(port: int) -> None:
    address = f"http://127.0.0.1:{port}/"
    large = picture(size=(500, 400), format="BMP")
    assert httpx.post(address, content=large, trust_env=False).json() == len(large)
    refused = httpx.post(address, content=picture(BAD), headers={"Accept": "text/html"}, trust_env=False)
    assert refused.status_code == 422
    assert "<h1" in refused.text
