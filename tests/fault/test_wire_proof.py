"""Every byte that leaves is of the schema: the whole product under a recording proxy and a packet capture."""

from __future__ import annotations

import json
import os
import resource
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from wire_proof import SENTINEL, Capture, check_request, hide, requests_of, traces

TESTS = Path(__file__).resolve().parents[1]


def _run(folder: Path, transport: str, watch: str, *, inside: list[str]) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {
        "PYTHONPATH": str(TESTS),
        "HOME": str(folder),
        "XDG_STATE_HOME": str(folder / "state-home"),
        "XDG_DATA_HOME": str(folder / "data-home"),
        "TMPDIR": str(folder),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    command = [*inside, sys.executable, "-W", "error", str(TESTS / "wire_proof.py"), str(folder), transport, watch]
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment, cwd=folder)


def _namespace() -> list[str] | None:
    """How to run in a network namespace with nothing in it, where the system allows that."""
    unshare = shutil.which("unshare")
    if unshare is None or not sys.platform.startswith("linux"):
        return None
    inside = [unshare, "--user", "--map-root-user", "--net"]
    return inside if subprocess.run([*inside, "true"], capture_output=True, check=False).returncode == 0 else None


@pytest.mark.parametrize("transport", ["plain", "tls"])
def test_every_byte_that_leaves_is_of_the_schema(quick_folder: Path, transport: str) -> None:
    """By packets where the system allows network namespaces, and by a recording proxy everywhere."""
    inside = _namespace()
    done = _run(quick_folder, transport, "proxy" if inside is None else "packets", inside=inside or [])
    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["records"] == 3
    assert inside is None or found["packets"] > 40
    assert SENTINEL not in done.stdout + done.stderr


def test_the_proof_can_fail() -> None:
    """It sees a secret however it is written, and refuses what the schema does not know."""
    import base64

    from nacl.public import PrivateKey

    secrets = {"s": SENTINEL.encode()}
    for text in (SENTINEL, SENTINEL.encode().hex(), SENTINEL[::-1]):
        assert hide(b"x" + text.encode() + b"y", secrets) == ["s"]
    for before in (b"", b"a", b"ab", b"abc"):
        assert hide(base64.b64encode(before + SENTINEL.encode() + b"tail"), secrets) == ["s"]
    assert hide(SENTINEL.encode("utf-16"), secrets) == ["s"]
    assert hide(b"nothing here", secrets) == []
    assert all(len(one) > 8 for one in traces(SENTINEL.encode()))
    key = PrivateKey.generate()
    headers = {"user-agent": "safelight-report/1"}
    with pytest.raises(AssertionError, match="declared"):
        check_request("GET", "/v1/collector", headers | {"x-device": "7"}, b"", key)
    body = b'{"enrolment":"t","public_key":"' + b"A" * 43 + b'=","device":"7"}'
    with pytest.raises(Exception, match="unknown field"):
        check_request("POST", "/v1/keys", headers, body, key)
    with pytest.raises(AssertionError):
        check_request("POST", "/telemetry", headers, b"{}", key)
    with pytest.raises(AssertionError):
        list(requests_of(b"GET / HTTP/1.1\r\n\r\nand more"))


def test_the_capture_is_whole() -> None:
    """Streams are put together from packets in any order, with repeats; a gap or another protocol is a failure."""

    def packet(sequence: int, data: bytes, *, syn: bool = False, protocol: int = 6) -> bytes:
        tcp = (5000).to_bytes(2, "big") + (80).to_bytes(2, "big") + sequence.to_bytes(4, "big") + bytes(4)
        tcp += bytes([5 << 4, 2 if syn else 16]) + bytes(6)
        size = 20 + len(tcp) + len(data)
        ip = bytes([0x45, 0]) + size.to_bytes(2, "big") + bytes(5) + bytes([protocol]) + bytes(10)
        return bytes(14) + ip + tcp + data

    capture = Capture.__new__(Capture)
    start = 0xFFFFFFF0
    first = (start + 1) & 0xFFFFFFFF
    parts = [packet(start, b"", syn=True), packet((first + 20) & 0xFFFFFFFF, b"world"), packet(first, b"x" * 20)]
    capture.packets = [*parts, parts[1]]
    assert capture.streams() == {(5000, 80): b"x" * 20 + b"world"}
    capture.packets = parts[:2]
    with pytest.raises(AssertionError, match="gap"):
        capture.streams()
    capture.packets = [packet(1, b"", protocol=17)]
    with pytest.raises(AssertionError, match="TCP"):
        capture.streams()


def test_our_commands_leave_no_core_dump() -> None:
    script = (
        "import sys; sys.argv = ['safelight', 'capabilities', '--json']\n"
        "import atexit, resource, ctypes\n"
        "from safelight.cli import main\n"
        "def look():\n"
        "    print(resource.getrlimit(resource.RLIMIT_CORE), ctypes.CDLL(None).prctl(3, 0, 0, 0, 0))\n"
        "atexit.register(look)\n"
        "main.main()\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1].startswith("(0, 0) ")
    if sys.platform == "linux":
        assert done.stdout.splitlines()[-1] == "(0, 0) 0"
    # A host that uses the library keeps its own limits.
    script = "import resource; b = resource.getrlimit(resource.RLIMIT_CORE)\nimport safelight, safelight.reporting\n"
    script += "from safelight import Guard\nGuard(detectors=()).check_image(b'x')\n"
    script += "print(b == resource.getrlimit(resource.RLIMIT_CORE))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "True"
    assert resource.RLIMIT_CORE == 4 or sys.platform != "linux"
