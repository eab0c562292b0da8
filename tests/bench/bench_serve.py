"""What does asking a service cost, beside asking a guard in one's own process, and beside HTTP on a Unix socket?

    python tests/bench/bench_serve.py [--requests 300]

Three ways to ask the same guard: in this process; by Safelight's protocol; by HTTP (Starlette on uvicorn's Unix socket,
the standard library's http.client over a kept connection), which is what one would write otherwise. Rounds take turns,
so that a busy machine slows all. *null* looks at nothing: the difference is the price of asking. *live* is the built-in
detector in a child process. Frames are 640 by 480 NV21 (460,800 bytes).
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import json
import multiprocessing
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from safelight import Finding, FindingKind, Frame, Guard, Label, Profile, State
from safelight.serve import Client, Service
from safelight.serve._wire import pack

WIDTH, HEIGHT = 640, 480
PIXELS = bytes((x * 7 + y * 3) % 200 + 20 for y in range(HEIGHT) for x in range(WIDTH)) + bytes([128]) * (
    WIDTH * HEIGHT // 2
)
ROUNDS = 10
PIDS: dict[str, int] = {}
RACES = (("serve", "frame by memory, reused"), ("serve", "frame inline"), ("http", "frame inline"))
SHAPE = {"format": "nv21", "width": WIDTH, "height": HEIGHT}


class Null:
    """Answers without looking."""

    id = "null"
    kinds = (FindingKind.NUDITY,)

    def prepare(self) -> State:
        return State.OK

    def detect(self, image: Any) -> list[Finding]:
        return [Finding(FindingKind.NUDITY, State.OK, Label.NONE, 0.0, self.id)]

    def close(self) -> None:
        pass


def make_guard(detector: str) -> Guard:
    if detector == "null":
        return Guard(Profile("10_12"), detectors=(Null(),), concurrency=2)
    return Guard(Profile("10_12"), tier="live", isolation="process", concurrency=2)


# --- the two services ------------------------------------------------------------------------------------------------


def run_serve(detector: str, path: str) -> None:
    with make_guard(detector) as guard:
        guard.prepare()
        Service(guard, path).run()


def run_http(detector: str, path: str) -> None:
    import uvicorn
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import JSONResponse
    from starlette.routing import Route

    guard = make_guard(detector)
    guard.prepare()

    async def check(request: Request) -> JSONResponse:
        frame = Frame(await request.body(), "nv21", width=WIDTH, height=HEIGHT)
        return JSONResponse((await guard.acheck_image(frame, event="capture")).to_dict())

    async def health(_: Request) -> JSONResponse:
        return JSONResponse({"ready": True})

    routes = [Route("/check", check, methods=["POST"]), Route("/health", health)]
    uvicorn.run(Starlette(routes=routes), uds=path, log_level="error", access_log=False, timeout_keep_alive=600)


# --- the clients -----------------------------------------------------------------------------------------------------


class UnixHttp(http.client.HTTPConnection):
    def __init__(self, path: str) -> None:
        super().__init__("localhost")
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(self._path)

    def ask(self, method: str, url: str, body: bytes | None = None) -> dict[str, Any]:
        self.request(method, url, body)
        return json.loads(self.getresponse().read())


def ways(kind: str, path: str, detector: str) -> dict[str, Callable[[], Any]]:
    if kind == "guard":
        guard = make_guard(detector)
        frame = Frame(PIXELS, "nv21", width=WIDTH, height=HEIGHT)
        return {"frame": lambda: guard.check_image(frame, event="capture").action.name}
    if kind == "http":
        http_client = UnixHttp(path)
        return {
            "health": lambda: http_client.ask("GET", "/health"),
            "frame inline": lambda: http_client.ask("POST", "/check", PIXELS)["action"],
        }
    client = Client(path)
    frame = Frame(PIXELS, "nv21", width=WIDTH, height=HEIGHT)
    raw = Bare(path)
    return {
        "health": client.health,
        "frame by memory": lambda: client.check_image(frame, event="capture").action.name,
        "frame by memory, reused": raw.reused,
        "frame inline": raw.inline,
    }


class Bare:
    """A client as a device maker would write it: one memfd for all frames, and the header's action."""

    def __init__(self, path: str) -> None:
        self._sock = socket.socket(socket.AF_UNIX)
        self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
        self._sock.connect(path)
        self._memory = os.memfd_create("frame")
        os.ftruncate(self._memory, len(PIXELS))
        self._ask(pack(1, {"type": "hello", "versions": [1]}, action=0))
        body = {"type": "check_image", "event": "capture", "frame": SHAPE}
        self._by_fd = pack(2, {**body, "source": "fd", "bytes": len(PIXELS)}, action=0)
        self._by_content = pack(2, body, action=0, content_bytes=len(PIXELS))

    def reused(self) -> str:
        os.pwrite(self._memory, PIXELS, 0)  # the camera
        socket.send_fds(self._sock, [self._by_fd], [self._memory])
        return self._answer()

    def inline(self) -> str:
        self._sock.sendall(self._by_content)
        self._sock.sendall(PIXELS)
        return self._answer()

    def _ask(self, frame: bytes) -> str:
        self._sock.sendall(frame)
        return self._answer()

    def _answer(self) -> str:
        header = self._sock.recv(16, socket.MSG_WAITALL)
        self._sock.recv(int.from_bytes(header[8:12], "little"), socket.MSG_WAITALL)
        return {0: "ALLOW", 1: "NUDGE", 3: "HOLD"}.get(header[3], "")


@contextlib.contextmanager
def started(kind: str, detector: str, folder: str) -> Iterator[str]:
    path = f"{folder}/{kind}-{detector}"
    if kind == "guard":
        yield path
        return
    process = subprocess.Popen([sys.executable, __file__, "--run", kind, detector, path], stderr=subprocess.DEVNULL)
    while True:
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as probe:
            probe.connect(path)
            break
        assert process.poll() is None, f"{kind} did not start"
        time.sleep(0.05)
    PIDS[path] = process.pid
    try:
        yield path
    finally:
        process.terminate()
        process.wait()


def crowd(kind: str, path: str, detector: str, name: str, requests: int, go: Any, done: Any) -> None:
    ask = ways(kind, path, detector)[name]
    ask()
    done.release()
    go.wait()
    for _ in range(requests):
        ask()
    done.release()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--requests", type=int, default=300)
    parser.add_argument("--run", nargs=3, metavar=("KIND", "DETECTOR", "SOCKET"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.run:
        kind, detector, path = options.run
        {"serve": run_serve, "http": run_http}[kind](detector, path)
        return
    print(f"{os.uname().machine}, {os.cpu_count()} processors, Python {sys.version.split()[0]}, medians of µs")
    print(f"{'detector':<9}{'asked':<26}{'guard':>9}{'serve':>9}{'http':>9}{'serve-guard':>12}{'http/serve':>11}")
    with tempfile.TemporaryDirectory(prefix="sl-") as folder:
        for detector in ("null", "live"):
            with contextlib.ExitStack() as stack:
                paths = {
                    kind: stack.enter_context(started(kind, detector, folder)) for kind in ("guard", "serve", "http")
                }
                asked = {kind: ways(kind, path, detector) for kind, path in paths.items()}
                times = _measure(asked, options.requests)
                for name in ("health", "frame by memory", "frame by memory, reused", "frame inline"):
                    _print(detector, name, times)
                for clients in (1, 4):
                    for kind, name in RACES:
                        rate, cpu_us = _throughput(kind, paths[kind], detector, name, clients, options.requests)
                        who = f"{clients} client{'s'[: clients > 1]}, {kind}, {name}"
                        print(f"{detector:<9}{who:<45}{rate:>6.0f} a second, {cpu_us:>6.0f} µs of processor each")


def _measure(asked: dict[str, dict[str, Callable[[], Any]]], requests: int) -> dict[tuple[str, str], list[float]]:
    times: dict[tuple[str, str], list[float]] = {}
    for _ in range(ROUNDS):
        for kind, calls in asked.items():
            for name, call in calls.items():
                answer = call()
                assert not isinstance(answer, str) or answer == "ALLOW", answer
                for _ in range(max(1, requests // ROUNDS)):
                    before = time.perf_counter()
                    call()
                    times.setdefault((kind, name), []).append((time.perf_counter() - before) * 1e6)
    return times


def _print(detector: str, name: str, times: dict[tuple[str, str], list[float]]) -> None:
    def median(kind: str, what: str) -> float | None:
        found = times.get((kind, what))
        return statistics.median(found) if found else None

    guard = median("guard", "frame") if name.startswith("frame") else None
    serve, http_ = median("serve", name), median("http", "frame inline" if name.startswith("frame") else name)
    assert serve is not None
    columns = [f"{value:>9.0f}" if value is not None else f"{'':>9}" for value in (guard, serve, http_)]
    more = f"{serve - guard:>12.0f}" if guard is not None else f"{'':>12}"
    print(f"{detector:<9}{name:<26}{''.join(columns)}{more}{(http_ or 0) / serve:>11.2f}")


def _throughput(kind: str, path: str, detector: str, name: str, clients: int, requests: int) -> tuple[float, float]:
    """Answers a second, and what each cost the service's own process (user and system, without its children)."""
    context = multiprocessing.get_context("spawn")
    go, done = context.Event(), context.Semaphore(0)
    processes = [
        context.Process(target=crowd, args=(kind, path, detector, name, requests, go, done)) for _ in range(clients)
    ]
    for process in processes:
        process.start()
    for _ in processes:  # all of them have asked once
        done.acquire()
    used, before = _processor_s(PIDS[path]), time.perf_counter()
    go.set()
    for _ in processes:
        done.acquire()
    rate = clients * requests / (time.perf_counter() - before)
    cpu_us = (_processor_s(PIDS[path]) - used) / (clients * requests) * 1e6
    for process in processes:
        process.join()
    return rate, cpu_us


def _processor_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    main()
