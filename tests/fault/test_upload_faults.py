"""Endless and huge bodies, a full or tampered disk, a failing detector, planted words: nothing unseen, nothing kept."""

from __future__ import annotations

import errno
import json
import logging
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from safelight.errors import UploadBusyError, UploadError
from safelight.gates import UploadLimits, UploadRefusedError
from safelight.gates.upload.spool import Budget, Spool
from upload_world import BAD, Brightness, exchange, field_part, file_part, gate, multipart, picture

FORM = "multipart/form-data; boundary=b0"
SENTINEL = "zq7sentinel"

_HUGE = """
import asyncio, hashlib, json, resource, sys, threading, time

way, total, limit = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
sys.path.insert(0, sys.argv[4])
from upload_world import Brightness, exchange_async, gate
from safelight.gates import UploadLimits
import safelight.gates.upload.asgi, safelight.gates.upload.requests, numpy, PIL.Image

block = b"".join(b"%d;%d\\r\\n" % (n, n) for n in range(5_000))[:65_536]
head = b'--%s\\r\\nContent-Disposition: form-data; name="f"; filename="x.csv"\\r\\n\\r\\n'
tail = b'\\r\\n--%s\\r\\nContent-Disposition: form-data; name="t"\\r\\n\\r\\nend\\r\\n--%s--\\r\\n'

def stream(boundary=b"b0"):
    yield head % boundary
    for _ in range(total // len(block)):
        yield block
    yield tail % (boundary, boundary)

def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize()

peak, done = 0, False

limits = UploadLimits(max_body_bytes=limit, total_disk_bytes=8 << 30)
with gate(limits=limits) as upload_gate:
    before = resident()
    def watch():
        global peak
        while not done:
            peak = max(peak, resident() - before)
            time.sleep(0.005)
    watcher = threading.Thread(target=watch)
    watcher.start()
    # A cap that a body in memory could not stay under, whatever the watcher misses.
    resource.setrlimit(resource.RLIMIT_AS, ((1 << 30) + 512 * (1 << 20),) * 2)
    got = hashlib.sha256()
    result = {}
    if way == "asgi":
        from safelight.gates import UploadMiddleware
        pieces = stream()
        async def receive():
            piece = next(pieces, None)
            return {"type": "http.request", "body": piece or b"", "more_body": piece is not None}
        async def app(scope, receive, send):
            result["boundary"] = dict(scope["headers"])[b"content-type"].partition(b"boundary=")[2].decode()
            more = True
            while more:
                message = await receive()
                got.update(message["body"])
                more = message["more_body"]
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body"})
        async def send(message):
            if message["type"] == "http.response.start":
                result["status"] = message["status"]
        scope = {"type": "http", "method": "POST", "path": "/",
                 "headers": [(b"content-type", b"multipart/form-data; boundary=b0")]}
        asyncio.run(UploadMiddleware(app, gate=upload_gate)(scope, receive, send))
    else:
        import requests
        from requests.adapters import BaseAdapter
        class Sink(BaseAdapter):
            def send(self, request, **options):
                for piece in request.body:
                    got.update(piece)
                response = requests.Response()
                response.status_code = 200
                return response
            def close(self): pass
        session = requests.Session()
        session.mount("http://", Sink())
        upload_gate.mount(session, prefixes=["http://"])
        try:
            result["status"] = session.post("http://sink/", data=stream()).status_code
        except Exception as error:
            result["status"] = type(error).__name__
    done = True
    watcher.join()
    result["peak_bytes"] = peak
    if result["status"] == 200:
        sent = hashlib.sha256()
        for piece in stream(result.get("boundary", "b0").encode()):
            sent.update(piece)
        result["same"] = got.hexdigest() == sent.hexdigest()
print(json.dumps(result))
"""


def _huge(root: Path, way: str, total: int, limit: int) -> dict[str, Any]:
    command = [sys.executable, "-c", _HUGE, way, str(total), str(limit), str(root / "tests")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2_000:]
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def _is_soak() -> bool:
    return settings.default is not None and settings.default.max_examples > 100


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="reads the memory of a process where Linux says it")
@pytest.mark.parametrize("way", ["asgi", "requests"])
def test_a_huge_body_goes_through_byte_for_byte_in_little_memory(root: Path, way: str) -> None:
    total = (2 << 30) if _is_soak() else (24 << 20)
    result = _huge(root, way, total, 3 << 30)
    assert result["status"] == 200
    assert result["peak_bytes"] < 32 << 20
    assert result["same"]


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="reads the memory of a process where Linux says it")
@pytest.mark.parametrize("way", ["asgi", "requests"])
def test_a_body_of_two_gigabytes_is_given_up_at_the_limit(root: Path, way: str) -> None:
    result = _huge(root, way, 2 << 30, 8 << 20)
    assert result["status"] == {"asgi": 413, "requests": "UploadTooLargeError"}[way]
    assert result["peak_bytes"] < 24 << 20


def _spool(data: bytes, **options: Any) -> tuple[Spool, Budget]:
    limits = UploadLimits(**{"memory_bytes": 0, **options})
    budget = Budget(limits)
    spool = Spool(budget, limits)
    spool.write(data)
    spool.finish()
    return spool, budget


def test_what_waits_on_disk_has_no_name_and_cannot_be_read() -> None:
    data = (SENTINEL.encode() + b"0123456789abcdef") * 9_999
    spool, budget = _spool(data)
    status = os.fstat(spool._file.fileno())
    assert status.st_nlink == 0
    raw = os.pread(spool._file.fileno(), status.st_size, 0)
    assert len(raw) > len(data)
    assert SENTINEL.encode() not in raw and b"0123456789" not in raw
    assert spool.read_at(0, len(data)) == data
    assert spool.view(70_000, 9_000).read() == data[70_000:79_000]
    spool.close()
    assert budget.used("disk") == 0


@pytest.mark.parametrize("harm", ["flip", "swap", "cut"])
def test_what_was_changed_on_disk_is_not_handed_on(harm: str) -> None:
    spool, _ = _spool(bytes(range(256)) * 1_024)
    file, size = spool._file.fileno(), 65_536 + 16
    first, second = os.pread(file, size, 0), os.pread(file, size, size)
    if harm == "flip":
        os.pwrite(file, bytes((first[5] ^ 1,)), 5)
    elif harm == "swap":
        os.pwrite(file, second + first, 0)
    else:
        os.ftruncate(file, 9)
    with pytest.raises(UploadError):
        spool.read_at(0, 10)
    spool.close()


def test_a_changed_spool_never_reaches_the_app(monkeypatch: pytest.MonkeyPatch) -> None:
    kept = os.pwrite

    def harmed(file: int, data: Any, at: int) -> int:
        return kept(file, bytes(data[:-1]) + bytes((data[-1] ^ 1,)), at)

    monkeypatch.setattr(os, "pwrite", harmed)
    with gate(limits=UploadLimits(memory_bytes=0)) as upload_gate:
        seen = exchange(upload_gate, b"text " * 99_999)
    assert (seen.status, seen.app_calls) == (500, 0)
    assert json.loads(seen.body)["reason"] == "UPLOAD_FAILED"


@pytest.mark.parametrize("call", ["open", "write"])
def test_a_full_disk_is_said_and_nothing_goes_on(monkeypatch: pytest.MonkeyPatch, call: str) -> None:
    def full(*_: Any, **__: Any) -> Any:
        raise OSError(errno.ENOSPC, "No space left", SENTINEL)

    if call == "write":
        monkeypatch.setattr(os, "pwrite", full)
    else:
        monkeypatch.setattr("tempfile.TemporaryFile", full)
    with gate(limits=UploadLimits(memory_bytes=0)) as upload_gate:
        seen = exchange(upload_gate, b"text " * 99_999)
    assert (seen.status, seen.app_calls) == (503, 0)
    limits = UploadLimits(memory_bytes=0)
    spool = Spool(Budget(limits), limits)
    with pytest.raises(UploadBusyError) as caught:
        spool.write(b"x" * 99_999)
    spool.close()
    assert caught.value.__context__ is None


def test_a_killed_process_leaves_no_file(tmp_path: Path, root: Path) -> None:
    script = (
        "import sys, time, tempfile\nsys.path.insert(0, sys.argv[1])\ntempfile.tempdir = sys.argv[2]\n"
        "from safelight.gates import UploadLimits\nfrom safelight.gates.upload.spool import Budget, Spool\n"
        "limits = UploadLimits(memory_bytes=0)\nspool = Spool(Budget(limits), limits)\nspool.write(b'x' * 999_999)\n"
        "assert spool.on_disk\nprint('ready', flush=True)\ntime.sleep(60)\n"
    )
    command = [sys.executable, "-c", script, str(root / "tests"), str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None and process.stdout.readline() == "ready\n"
        assert list(tmp_path.iterdir()) == []
        process.send_signal(signal.SIGKILL)
    assert list(tmp_path.iterdir()) == []


class _Failing(Brightness):
    def detect(self, image: Any) -> Any:
        raise RuntimeError(SENTINEL)


def test_a_failing_detector_holds_the_request() -> None:
    with gate(detector=_Failing()) as upload_gate:
        seen = exchange(upload_gate, multipart([field_part(b"a"), file_part(picture())]), content_type=FORM)
    assert (seen.status, seen.app_calls) == (422, 0)
    assert json.loads(seen.body)["decision"]["reasons"] == ["DETECTOR_FAILED"]


def test_a_guard_that_breaks_lets_nothing_through(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any, **__: Any) -> Any:
        raise RuntimeError("broken")

    with gate() as upload_gate:
        monkeypatch.setattr(upload_gate.guard, "look_at_upload", broken)
        with pytest.raises(RuntimeError):
            exchange(upload_gate, b"text")


def test_planted_words_show_up_nowhere(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    content = picture(BAD) + SENTINEL.encode()
    good = multipart([file_part(content, SENTINEL, f"{SENTINEL}.png"), field_part(SENTINEL.encode(), SENTINEL)])
    bodies = [good, good[:-5], good.replace(b"form-data", SENTINEL.encode()), SENTINEL.encode() + good]
    shown = []
    with gate() as upload_gate:
        for body in bodies:
            seen = exchange(upload_gate, body, content_type=FORM)
            assert seen.status in (400, 422)
            shown.append(seen.body.decode() + repr(seen.headers))
        seen = exchange(upload_gate, good, content_type=f"multipart/form-data; boundary={SENTINEL}\u00e9")
        shown.append(seen.body.decode())
        verdict = upload_gate.check([content])
        shown += [repr(verdict), str(verdict.to_dict()), repr(UploadRefusedError(verdict)), repr(upload_gate)]
    assert SENTINEL not in " ".join(shown) + caplog.text


def test_many_at_once_stay_within_the_bounds_of_all() -> None:
    limits = UploadLimits(total_memory_bytes=2 << 20, memory_bytes=1 << 20, max_requests=6)
    body = multipart([file_part(b"1;2\r\n" * 200_000, "csv"), file_part(picture())])
    chunks = [body[at : at + 65_536] for at in range(0, len(body), 65_536)]
    statuses: list[int] = []
    used: list[int] = []

    def work() -> None:
        for _ in range(3):
            seen = exchange(upload_gate, chunks, content_type=FORM)
            statuses.append(seen.status)
            used.append(upload_gate.budget.used("memory"))

    with gate(limits=limits) as upload_gate:
        threads = [threading.Thread(target=work) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert set(statuses) <= {200, 503} and 200 in statuses
    assert max(used) <= 2 << 20
