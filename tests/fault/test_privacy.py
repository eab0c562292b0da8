"""No pixel, path or text in logs, reprs, exceptions or records: a planted sentinel never shows."""

from __future__ import annotations

import io
import json
import logging
import re
import subprocess
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as PilImage
from safelight import Decision, Guard, Profile, SafelightError
from safelight.testing import TestMode, nudity

SENTINEL = "zq7sentinel"
# A run of bytes that a repr of pixels would show as numbers, and a base64 or hex dump as text.
PIXEL = (201, 202, 203)


def _planted(folder: Path) -> Path:
    picture = PilImage.new("RGB", (64, 64), PIXEL)
    exif = picture.getexif()
    exif[0x010E] = f"{SENTINEL} description"
    exif[0x9286] = f"{SENTINEL} comment"
    path = folder / f"{SENTINEL}.jpg"
    picture.save(path, exif=exif, comment=f"{SENTINEL}".encode(), quality=100)
    return path


def _everything(decision: Decision) -> str:
    return f"{decision!r} {decision} {decision.to_dict()} {json.dumps(decision.to_dict())}"


def _chain(error: BaseException) -> Iterator[BaseException]:
    while True:
        yield error
        following = error.__cause__ or error.__context__
        if following is None:
            return
        error = following


@pytest.mark.parametrize("broken", [False, True])
def test_decisions_and_logs_carry_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture, broken: bool) -> None:
    path = _planted(tmp_path)
    data = path.read_bytes()
    if broken:
        path.write_bytes(data[: len(data) // 2] + SENTINEL.encode())
    caplog.set_level(logging.DEBUG)
    with Guard(Profile("10_12", country="GB"), test_mode=TestMode(nudity(0.97))) as guard:
        seen = [guard.check_image(source) for source in (path, str(path), path.read_bytes(), io.BytesIO(data))]
        seen.append(guard.check_image(np.full((32, 32, 3), PIXEL, np.uint8)))
        text = " ".join([repr(guard), caplog.text, *map(_everything, seen)])
    assert SENTINEL not in text
    assert str(tmp_path) not in text
    assert not re.search(r"201\D+202\D+203", text)
    assert all(decision.record is None for decision in seen)


def test_exceptions_carry_nothing(tmp_path: Path) -> None:
    missing = tmp_path / f"{SENTINEL}.png"
    wrong = np.full((4, 4, 3), 1.5)
    with Guard(detectors=[]) as guard:
        for source in (missing, str(missing), tmp_path, wrong, {SENTINEL: 1}, [SENTINEL]):
            try:
                guard.check_image(source)  # type: ignore[arg-type]
            except SafelightError as error:
                for link in _chain(error):
                    text = f"{link!r} {link} {getattr(link, 'filename', '')}"
                    assert SENTINEL not in text
                    assert str(tmp_path) not in text
                shown = "".join(traceback.format_exception(error))
                assert SENTINEL not in shown
            else:
                pytest.fail("expected an error")


def test_the_command_names_its_input_only_on_its_own_output(tmp_path: Path) -> None:
    path = _planted(tmp_path)
    done = subprocess.run(
        [sys.executable, "-m", "safelight", "check", str(path), "--json", "--trigger", "nudity=0.97"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 3
    assert SENTINEL not in done.stderr
    result = json.loads(done.stdout)
    assert result.pop("input") == str(path)
    assert SENTINEL not in json.dumps(result)


def test_nothing_is_written_to_disk(tmp_path: Path) -> None:
    """A home folder and a temporary folder of its own stay empty."""
    import os

    path = _planted(tmp_path)
    home, temporary = tmp_path / "home", tmp_path / "temporary"
    home.mkdir()
    temporary.mkdir()
    environment = os.environ | {
        "HOME": str(home),
        "XDG_CACHE_HOME": str(home),
        "XDG_STATE_HOME": str(home),
        "TMPDIR": str(temporary),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    subprocess.run(
        [sys.executable, "-m", "safelight", "check", str(path)],
        env=environment,
        cwd=temporary,
        capture_output=True,
        check=False,
    )
    assert list(home.rglob("*")) == []
    assert list(temporary.rglob("*")) == []
