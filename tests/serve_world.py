"""A running service for tests, a client that says exactly what it is told to, and detectors that wait."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from safelight import Finding, FindingKind, Guard, Label, Profile, State
from safelight.media import Image
from safelight.serve import ServeLimits, Service
from safelight.serve._wire import HEADER, MAGIC, pack

PATIENCE_S = 30.0


class Calm:
    """Sees nothing, at once."""

    id = "calm"
    kinds = (FindingKind.NUDITY,)

    def prepare(self) -> State:
        return State.OK

    def detect(self, image: Image) -> list[Finding]:
        return [Finding(FindingKind.NUDITY, State.OK, Label.NONE, 0.0, self.id)]

    def close(self) -> None:
        pass


class Waiting(Calm):
    """Sees nothing, when it is let; remembers the order in which it was asked."""

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.began = threading.Semaphore(0)
        self.seen: list[int] = []

    def detect(self, image: Image) -> list[Finding]:
        self.seen.append(int(image.pixels[0, 0, 0]))
        self.began.release()
        assert self.gate.wait(PATIENCE_S)
        return super().detect(image)


@contextlib.contextmanager
def folder() -> Iterator[Path]:
    """A short one: a socket's path has 107 bytes at most, pytest's are longer."""
    with tempfile.TemporaryDirectory(prefix="sl-") as name:
        yield Path(name)


@contextlib.contextmanager
def serving(guard: Guard | None = None, **options: Any) -> Iterator[tuple[Service, Path]]:
    """A service in this process, and its socket."""
    with contextlib.ExitStack() as stack:
        if guard is None:
            guard = stack.enter_context(Guard(Profile("10_12"), detectors=(Calm(),), concurrency=2))
        path = stack.enter_context(folder()) / "s"
        service = stack.enter_context(Service(guard, path, **options))
        yield service, path


def limits(**given: int) -> ServeLimits:
    return ServeLimits(**given)


class Raw:
    """A client of nobody's making: sends what it is given, reads whole frames."""

    def __init__(self, path: Path, *, hello: bool = True) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(PATIENCE_S)
        self.sock.connect(os.fspath(path))
        if hello:
            self.ask({"type": "hello", "versions": [1]}, id=1)

    def send(self, data: bytes, fds: Sequence[int] = ()) -> None:
        if fds:
            sent = socket.send_fds(self.sock, [data], list(fds))
            data = data[sent:]
        if data:
            self.sock.sendall(data)

    def request(self, body: Any, content: bytes = b"", *, id: int = 2, fds: Sequence[int] = ()) -> None:
        text = json.dumps(body).encode() if not isinstance(body, bytes) else body
        self.send(pack(id, text, action=0, content_bytes=len(content)) + content, fds)

    def ask(self, body: Any, content: bytes = b"", *, id: int = 2, fds: Sequence[int] = ()) -> dict[str, Any]:
        self.request(body, content, id=id, fds=fds)
        got, _, answer = self.read()
        assert got == id
        return answer

    def read(self) -> tuple[int, int, dict[str, Any]]:
        """Number, action of the header, body."""
        magic, framing, action, id, body_bytes, content_bytes = HEADER.unpack(self._exactly(HEADER.size))
        assert (magic, framing, content_bytes) == (MAGIC, 1, 0)
        return id, action, json.loads(self._exactly(body_bytes))

    def ended(self) -> bool:
        """Whether the service hung up; waits for it."""
        try:
            return self.sock.recv(1) == b""
        except ConnectionResetError:
            return True

    def close(self) -> None:
        self.sock.close()

    def __enter__(self) -> Raw:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _exactly(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            part = self.sock.recv(size - len(data))
            if not part:
                raise ConnectionError("the service hung up")
            data += part
        return data


def until(condition: Callable[[], bool]) -> None:
    """Wait for something that other threads bring about."""
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def memfd(data: bytes, *, seals: int = 0) -> int:
    fd = os.memfd_create("test", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    os.write(fd, data)
    if seals:
        import fcntl

        fcntl.fcntl(fd, 1033, seals)  # F_ADD_SEALS
    return fd
