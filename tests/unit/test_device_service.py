"""The device maker's example, and what the protocol's description says, as they are printed."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from safelight.serve import _wire
from safelight.serve._answer import RequestError
from safelight.serve._wire import pack
from serve_world import Raw, folder, serving


@pytest.mark.skipif(shutil.which("cc") is None, reason="there is no C compiler")
def test_the_example_starts_asks_from_two_languages_and_stops(root: Path) -> None:
    run = [str(root / "examples" / "device_service" / "run.sh")]
    environment = {**os.environ, "PYTHON": sys.executable}
    done = subprocess.run(run, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr
    python, _, c = done.stdout.partition("== C\n")
    assert [line.split()[:2] for line in python.splitlines()[1:4]] == [
        ["picture", "ALLOW"],
        ["frame", "ALLOW"],
        ["message", "ALLOW"],
    ]
    assert "Childline" in python
    action, body = c.splitlines()
    assert (action, json.loads(body)["action"], json.loads(body)["checked"]["sealed"]) == ("ALLOW", "ALLOW", True)


@pytest.mark.skipif(shutil.which("cc") is None, reason="there is no C compiler")
def test_the_c_client_holds_when_something_is_found_and_when_nobody_answers(root: Path, tmp_path: Path) -> None:
    from safelight import Guard, Profile
    from safelight.testing import TestMode, nudity
    from serve_world import Calm

    source = root / "examples" / "device_service" / "client.c"
    flags = ["-std=c11", "-O1", "-Wall", "-Wextra", "-Werror", "-fsanitize=address,undefined"]
    built = subprocess.run(
        ["cc", *flags, "-o", tmp_path / "client", source], capture_output=True, text=True, check=False
    )
    if built.returncode != 0 and "sanitize" in built.stderr:
        pytest.skip("this compiler has no sanitizers")
    assert built.returncode == 0, built.stderr
    with Guard(Profile("10_12"), detectors=(Calm(),), test_mode=TestMode(nudity(0.97))) as guard:
        with serving(guard) as (_, path):
            found = subprocess.run([tmp_path / "client", path], capture_output=True, text=True, check=False)
    assert (found.returncode, found.stdout.split("\n")[0], found.stderr) == (3, "BLOCK", "")
    with folder() as place:
        alone = subprocess.run([tmp_path / "client", place / "s"], capture_output=True, text=True, check=False)
    assert (alone.returncode, alone.stdout, alone.stderr) == (3, "HOLD\n", "")


def test_the_guides_example_runs(root: Path) -> None:
    from safelight import Guard, Profile
    from safelight.testing import TestMode, nudity
    from serve_world import Calm

    text = (root / "docs" / "serve.md").read_text(encoding="utf-8")
    code = re.findall(r"```python\n(.*?)```", text, re.S)[0]
    shown: list[object] = []
    given = {"camera_bytes": bytes(640 * 480 * 3 // 2), "show": shown.append}
    with Guard(Profile("10_12"), detectors=(Calm(),), test_mode=TestMode(nudity(0.97))) as guard:
        with serving(guard) as (_, path):
            code = code.replace("/run/safelight/safelight.sock", str(path)).replace("[0]", f"[{os.getuid()}]")
            exec(code, given)
    assert len(shown) == 1


def test_wrong_usage_of_the_command_is_a_line_and_2(tmp_path: Path) -> None:
    wrong = [sys.executable, "-m", "safelight", "serve", "--store", str(tmp_path / "s"), "--age-band", "10_12"]
    done = subprocess.run(wrong, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "--store" in done.stderr and "Traceback" not in done.stderr


def test_the_bytes_in_the_description_are_the_protocols(root: Path) -> None:
    text = (root / "docs" / "serve-protocol.md").read_text(encoding="utf-8")
    sent, answered = re.findall(r"^53 4c 01.*$", text, flags=re.M)
    data = bytes.fromhex(sent)
    assert data == pack(2, b'{"type":"health"}', action=0)
    with serving() as (_, path), Raw(path) as client:
        client.send(data)
        got = client.sock.recv(4096).hex(" ")
    assert re.match(re.sub(r" +", " ", answered).replace(" …", ""), got)


def test_every_request_and_error_is_described(root: Path) -> None:
    text = (root / "docs" / "serve-protocol.md").read_text(encoding="utf-8")
    for request in _wire.Request.__args__:  # type: ignore[attr-defined]
        assert f"`{request.__struct_config__.tag}`" in text or f'"{request.__struct_config__.tag}"' in text
        for field in request.__struct_fields__:
            assert field in text
    sources = "".join(path.read_text() for path in (root / "sdk" / "safelight" / "serve").glob("*.py"))
    names = re.findall(r'(?:RequestError|WireError|ContentError)\(\s*"([A-Z_]+)"', sources)
    assert len(set(names)) > 10
    for name in names:
        assert f"`{name}`" in text, name
    assert RequestError("X", "y").type == "X"
    for number in (_wire.MAX_REQUEST_BODY_BYTES, _wire.MAX_ANSWER_BODY_BYTES):
        assert f"{number:,}" in text
