"""The hardened unit: systemd accepts it, rates it safe, and its filter lets through what the service calls."""

from __future__ import annotations

import configparser
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from safelight import Action, Frame
from safelight.serve import Client, SocketAnchor
from serve_world import folder, until

_ANALYZE = shutil.which("systemd-analyze")
needs_systemd = pytest.mark.skipif(_ANALYZE is None, reason="systemd-analyze is not installed")


def _unit(root: Path, name: str) -> Path:
    return root / "examples" / "device_service" / "systemd" / name


def _values(path: Path) -> dict[str, list[str]]:
    """Every value of every setting: a unit may say one more than once."""
    values: dict[str, list[str]] = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        if "=" in line and not line.startswith("#"):
            name, _, value = line.partition("=")
            values.setdefault(name, []).append(value)
    return values


def test_the_walls_are_there(root: Path) -> None:
    service = {name: value[-1] for name, value in _values(_unit(root, "safelight.service")).items()}
    expected = {
        "ProtectSystem": "strict",
        "PrivateNetwork": "yes",
        "RestrictAddressFamilies": "AF_UNIX",
        "NoNewPrivileges": "yes",
        "LimitCORE": "0",
        "MemorySwapMax": "0",
        "CapabilityBoundingSet": "",
        "MemoryDenyWriteExecute": "yes",
        "Type": "notify",
        "Restart": "always",
    }
    assert {name: service[name] for name in expected} == expected
    assert "PrivateUsers" not in service  # SO_PEERCRED would name every client "nobody"
    assert "ProcSubset" not in service  # it hides /proc/cpuinfo, by which runtimes choose their kernels
    sock = configparser.ConfigParser()
    sock.read(_unit(root, "safelight.socket"))
    assert dict(sock["Socket"])["socketmode"] == "0660"


@needs_systemd
def test_systemd_accepts_the_units_and_rates_them_safe(root: Path, tmp_path: Path) -> None:
    for name in ("safelight.service", "safelight.socket"):
        text = _unit(root, name).read_text(encoding="utf-8")
        # Neither the command nor the users are installed on a machine that builds.
        text = re.sub(r"^ExecStart=\S+", f"ExecStart={shutil.which('true')}", text, flags=re.M)
        (tmp_path / name).write_text(re.sub(r"^(User|Group|SocketUser|SocketGroup)=.*$", r"\1=root", text, flags=re.M))
    assert _ANALYZE is not None
    verify = [_ANALYZE, "verify", "--recursive-errors=no", *map(str, sorted(tmp_path.iterdir()))]
    done = subprocess.run(verify, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    security = [_ANALYZE, "security", "--offline=true", "--threshold=10", str(_unit(root, "safelight.service"))]
    done = subprocess.run(security, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr  # exposure below 1.0 of 10.0


def _calls_of(group: str) -> set[str]:
    assert _ANALYZE is not None
    listed = subprocess.run([_ANALYZE, "syscall-filter", group], capture_output=True, text=True, check=True).stdout
    calls: set[str] = set()
    for line in map(str.strip, listed.splitlines()[1:]):
        if line.startswith("@"):
            calls |= _calls_of(line)
        elif line and not line.startswith("#"):
            calls.add(line)
    return calls


@needs_systemd
@pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed")
def test_the_filter_lets_through_what_the_service_does(root: Path, portrait: Path) -> None:
    with folder() as place:
        serve = [sys.executable, "-m", "safelight", "serve", "--socket", str(place / "s"), "--tier", "live"]
        serve += ["--store", str(place / "store.sqlite"), "--anchors", str(place / "anchors"), "--concurrency", "1"]
        trace = place / "trace"
        tracer = subprocess.Popen(
            ["strace", "-f", "-qq", "-o", str(trace), *serve], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        try:
            until(lambda: (place / "s").exists() or tracer.poll() is not None)
            if tracer.poll() is not None:
                pytest.skip("this system does not allow tracing")
            with Client(place / "s", timeout_ms=60_000) as client:
                assert client.check_image(portrait).action is Action.ALLOW
                client.check_image(Frame(bytes(640 * 480 * 3 // 2), "nv21", width=640, height=480))
                client.check_image(portrait.read_bytes())
                assert client.check_query("child helpline").action is Action.ALLOW
                SocketAnchor(client, same_user=True).advance(1)
                with client.conversation() as chat:
                    chat.add(sender="other", text="hi")
                client.help()
                client.health()
            service = int(trace.read_text().split(maxsplit=1)[0])
            os.kill(service, signal.SIGTERM)
            tracer.wait(30)
        finally:
            tracer.kill()
            tracer.wait()
        text = trace.read_text()
        made = set(re.findall(r"^\d+ +([a-z_0-9]+)\(", text, flags=re.M))
    filters = _values(_unit(root, "safelight.service"))["SystemCallFilter"]
    allowed = _calls_of("@default")
    for entry in filters:
        for group in entry.lstrip("~").split():
            allowed = allowed - _calls_of(group) if entry.startswith("~") else allowed | _calls_of(group)
    assert {"recvmsg", "epoll_wait", "memfd_create"} <= made and {"preadv", "preadv2"} & made
    assert made - allowed == set()
    # MemoryDenyWriteExecute= refuses these.
    mapped = re.findall(r"(mmap|mprotect|pkey_mprotect)\(.*?(PROT_[A-Z|_]+)", text)
    assert ("mmap", "PROT_READ|PROT_EXEC") in mapped
    assert not [one for one in mapped if "EXEC" in one[1] and (one[0] != "mmap" or "WRITE" in one[1])]
    # RestrictAddressFamilies= refuses all others.
    assert set(re.findall(r"socket(?:pair)?\((AF_[A-Z0-9]+)", text)) <= {"AF_UNIX"}
