"""No core path opens an internet socket: by an audit hook, and in a network namespace with nothing in it."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

_WATCHED = """
import sys

opened = []
def hook(event, arguments):
    if event in ("socket.connect", "socket.bind", "socket.getaddrinfo", "socket.sendto", "urllib.Request"):
        opened.append(event)
    if event == "socket.__new__" and arguments[1] not in (1,):  # 1 = AF_UNIX
        opened.append(event)
sys.addaudithook(hook)

from safelight import Guard, Profile
from safelight.capabilities import capabilities
from safelight.testing import TestMode, nudity
from safelight.cli.doctor import run_checks

with Guard(Profile("10_12", country="GB"), test_mode=TestMode(nudity(0.97))) as guard:
    assert guard.check_image(sys.argv[1]).action.name == "BLOCK"
    guard.check_image(b"x")
    guard.help()
capabilities()
run_checks()
import json
print(json.dumps(opened))
"""


def test_an_audit_hook_sees_no_socket(portrait: Path) -> None:
    done = subprocess.run([sys.executable, "-c", _WATCHED, str(portrait)], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout.splitlines()[-1]) == []


def test_the_audit_hook_would_see_one() -> None:
    """The test above can fail: the same hook, and somebody who looks up a name."""
    prologue = _WATCHED.split("from safelight import")[0]
    script = (
        prologue
        + "import socket\ntry:\n    socket.create_connection(('localhost', 9), 0.1)\n"
        + "except OSError:\n    pass\nprint(opened)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert "socket.connect" in done.stdout


def test_it_works_in_an_empty_network_namespace(portrait: Path) -> None:
    unshare = shutil.which("unshare")
    if unshare is None:
        pytest.skip("unshare (util-linux) is not installed")
    inside = [unshare, "--user", "--map-root-user", "--net"]
    if subprocess.run([*inside, "true"], capture_output=True, check=False).returncode != 0:
        inside = [unshare, "--net"]
        if subprocess.run([*inside, "true"], capture_output=True, check=False).returncode != 0:
            pytest.skip("this system does not allow network namespaces")
    command = [sys.executable, "-m", "safelight", "check", str(portrait), "--age-band", "10_12", "--json"]
    done = subprocess.run([*inside, *command], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout)["action"] == "ALLOW"
