"""Does the kiosk example run without a window, ask first, and say what it cannot do?"""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from camera_world import Brightness, marked, scene
from safelight import Guard
from safelight.gates.camera import CameraState
from store_world import World

KIOSK = Path(__file__).resolve().parents[3] / "examples" / "camera_kiosk" / "kiosk.py"


@pytest.fixture(scope="module")
def kiosk() -> Any:
    spec = importlib.util.spec_from_file_location("camera_kiosk", KIOSK)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["camera_kiosk"] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def guard(world: World) -> Any:
    with Guard(store=world.set_up(age_band="13_15", country="GB"), detectors=[Brightness()]) as guard:
        yield guard


def test_synthetic_frames_are_shown(kiosk: Any, guard: Guard) -> None:
    said: list[dict[str, Any]] = []
    last = kiosk.run_headless(guard, "synthetic", seconds=0.7, agreed=True, say=said.append)
    assert last is CameraState.SHOWING
    assert [one["state"] for one in said[:1]] == ["STARTING"]
    assert "SHOWING" in [one["state"] for one in said]
    assert said[-1]["shown"] > 0
    assert said[-1]["frames"] > 5
    json.dumps(said)


def test_nobody_was_asked(kiosk: Any, guard: Guard) -> None:
    said: list[dict[str, Any]] = []
    assert kiosk.run_headless(guard, "/dev/video0", seconds=5, agreed=False, say=said.append) is CameraState.NO_CONSENT
    assert said[0]["reasons"] == ["CONSENT_MISSING"]
    assert said[-1]["frames"] == 0


def test_a_file_with_a_find_is_covered(kiosk: Any, guard: Guard, tmp_path: Path) -> None:
    av = pytest.importorskip("av")
    path = tmp_path / "found.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=30)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for index in range(24):
            picture = marked(scene(), size_px=24) if index > 8 else scene()
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())
    said: list[dict[str, Any]] = []
    kiosk.run_headless(guard, str(path), seconds=20, agreed=True, say=said.append)
    states = [one["state"] for one in said]
    assert "COVERED" in states
    assert states[-2:] == ["SOURCE_LOST", "END"]
    assert said[-1]["refused"] > 0


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    clean = {key: value for key, value in os.environ.items() if key not in ("DISPLAY", "WAYLAND_DISPLAY")}
    return subprocess.run(
        [sys.executable, str(KIOSK), *arguments],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env=clean | environment,
    )


def test_on_a_device_that_was_not_set_up_nothing_is_opened(tmp_path: Path) -> None:
    done = run("--headless", "--store", str(tmp_path / "store.sqlite"), XDG_DATA_HOME=str(tmp_path), HOME=str(tmp_path))
    assert done.returncode == 1
    assert json.loads(done.stdout.splitlines()[0])["state"] == "NO_CONSENT"
    assert "Traceback" not in done.stderr


def test_without_a_display_it_says_so(tmp_path: Path) -> None:
    done = run("synthetic", "--store", str(tmp_path / "store.sqlite"), XDG_DATA_HOME=str(tmp_path), HOME=str(tmp_path))
    assert done.returncode == 1
    assert "--headless" in done.stderr
    assert "Traceback" not in done.stderr
