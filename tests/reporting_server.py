"""The fake collector behind real HTTP(S) on this machine, and a proxy that records every byte it passes on."""

from __future__ import annotations

import json
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import msgspec
from reporting_world import FakeCollector, b64

Answer = tuple[int, dict[str, str], bytes]


@dataclass
class Server:
    """What is asked, as it came, and what is answered instead of the rules when a test says so."""

    collector: FakeCollector
    requests: list[tuple[str, str, dict[str, str], bytes]] = field(default_factory=list)
    connections: list[str] = field(default_factory=list)
    trouble: Callable[[str, bytes], Answer | None] | None = None
    url: str = ""

    def answer(self, path: str, body: bytes) -> Answer:
        if self.trouble is not None and (answer := self.trouble(path, body)) is not None:
            return answer
        if path == "/v1/collector":
            return _json(
                200,
                {
                    "schema": 1,
                    "sealing_key": b64(bytes(self.collector.private_key.public_key)),
                    "max_batch": 100,
                    "record_bytes": 1024,
                },
            )
        if path in ("/v1/keys", "/v1/keys/rotate"):
            pseudonym = self.collector.take_key(path, body)
            return _json(201, {"pseudonym": pseudonym, "expires_at": "2099-01-01T00:00:00Z"})
        if path == "/v1/records":
            if json.loads(body)["pseudonym"] not in self.collector.keys:
                return _json(403, {"error": "unknown_pseudonym", "message": "register"})
            acks = self.collector.take_records(body)
            return _json(200, {"acks": msgspec.to_builtins(acks)})
        return _json(404, {"error": "not_found", "message": ""})


def _json(status: int, value: Any) -> Answer:
    return status, {"Content-Type": "application/json"}, json.dumps(value).encode()


@contextmanager
def serving(server: Server, *, context: ssl.SSLContext | None = None, host: str = "127.0.0.1") -> Iterator[Server]:
    """Serve until the end of the block; ``server.url`` says where."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _do(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            server.requests.append((self.command, self.path, dict(self.headers), body))
            server.connections.append(f"{self.client_address[1]}")
            path = self.path if self.path.startswith("/") else "/" + self.path.split("/", 3)[3]  # through a proxy
            status, headers, content = server.answer(path, body)
            self.send_response(status)
            for name, value in ({"Set-Cookie": "track=me; Path=/"} | headers).items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            with suppress(OSError):
                self.wfile.write(content)

        do_GET = do_POST = _do  # noqa: N815 - names that http.server asks for

        def log_message(self, *_: object) -> None: ...

    class Quiet(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *_: object) -> None:
            """A client that hangs up, as one does that does not trust the certificate."""

    http = Quiet((host, 0), Handler)
    if context is not None:
        http.socket = context.wrap_socket(http.socket, server_side=True, do_handshake_on_connect=False)
    thread = threading.Thread(target=http.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    server.url = f"{'https' if context is not None else 'http'}://localhost:{http.server_address[1]}"
    try:
        yield server
    finally:
        http.shutdown()
        http.server_close()
        thread.join()


@dataclass
class Proxy:
    """An HTTP proxy that knows CONNECT and keeps everything that passes, both ways."""

    url: str = ""
    sent: list[bytes] = field(default_factory=list)
    received: list[bytes] = field(default_factory=list)


@contextmanager
def recording_proxy() -> Iterator[Proxy]:
    """A proxy until the end of the block."""
    proxy = Proxy()
    listener = socket.create_server(("127.0.0.1", 0))
    proxy.url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    threads: list[threading.Thread] = []

    def pass_on(source: socket.socket, target: socket.socket, kept: list[bytes]) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                kept.append(data)
                target.sendall(data)
        with suppress(OSError):
            target.shutdown(socket.SHUT_WR)

    def serve(client: socket.socket) -> None:
        head = b""
        while b"\r\n\r\n" not in head:
            data = client.recv(65536)
            if not data:
                return
            head += data
        line, _, _ = head.partition(b"\r\n")
        method, target, _ = line.split(b" ")
        proxy.sent.append(head)
        if method == b"CONNECT":
            host, _, port = target.decode().rpartition(":")
            upstream = socket.create_connection((host, int(port)))
            client.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        else:
            host, _, port = target.decode().split("/")[2].rpartition(":")
            upstream = socket.create_connection((host, int(port)))
            upstream.sendall(head)
        back = threading.Thread(target=pass_on, args=(upstream, client, proxy.received), daemon=True)
        back.start()
        pass_on(client, upstream, proxy.sent)
        back.join()
        upstream.close()
        client.close()

    def accept() -> None:
        with suppress(OSError):
            while True:
                client, _ = listener.accept()
                thread = threading.Thread(target=serve, args=(client,), daemon=True)
                thread.start()
                threads.append(thread)

    acceptor = threading.Thread(target=accept, daemon=True)
    acceptor.start()
    try:
        yield proxy
    finally:
        # A blocked accept is not woken by close alone.
        with suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        acceptor.join(5)
        for thread in threads:
            thread.join(5)
