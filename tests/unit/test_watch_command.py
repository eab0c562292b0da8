"""``safelight watch`` and ``safelight check`` on clips: ranges, exit statuses, and going on after a kill."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image as PilImage
from safelight.cli.main import cli
from safelight.gates import ClipGate, ClipState
from safelight.testing import MarkerKey, process_key

pytest.importorskip("av")
from clip_world import animate, calm_guard, encode, marked, moving

KEY = f"marked={process_key().hex}"


def run(*arguments: str, **how: Any) -> Result:
    return CliRunner().invoke(cli, list(arguments), **how)


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory, portrait: Path) -> Path:
    folder = tmp_path_factory.mktemp("clips")
    with PilImage.open(portrait) as picture:
        frames = [np.asarray(picture.convert("RGB").resize((320, 240)))] * 8
    (folder / "good.mp4").write_bytes(encode(frames))
    frames[5] = marked(frames[5])
    (folder / "bad.mp4").write_bytes(encode(frames))
    (folder / "bad.gif").write_bytes(animate(frames, "GIF"))
    (folder / "odd.mp4").write_bytes(encode(frames)[:900])
    return folder


def test_ranges_then_the_decision(clips: Path) -> None:
    done = run("watch", str(clips / "bad.mp4"), "--age-band", "10_12", "--tier", "live", "--trigger", KEY, "--json")
    assert done.exit_code == 3
    *ranges, decision = [json.loads(line) for line in done.stdout.splitlines()]
    assert ranges[1] == {
        "input": str(clips / "bad.mp4"),
        "start_ms": 200,
        "end_ms": 240,
        "action": "BLOCK",
        "reasons": ["NUDITY_EXPLICIT"],
    }
    assert [one["action"] for one in ranges] == ["ALLOW", "BLOCK", "ALLOW"]
    assert (decision["action"], decision["frames"], decision["test_mode"]) == ("BLOCK", 8, True)
    assert decision["frames_inferred"] < 8


def test_for_people(clips: Path) -> None:
    done = run("watch", str(clips / "bad.gif"), "--age-band", "10_12", "--tier", "live", "--trigger", KEY)
    assert done.exit_code == 3
    assert "BLOCK · stopped" in done.stdout
    assert "0:00:00.250 to 0:00:00.300  BLOCK  NUDITY_EXPLICIT" in done.stdout
    assert "3 frames; 2 looked at" in done.stdout  # Pillow writes equal pictures once
    assert "--country" in done.stderr


def test_exit_statuses(clips: Path, tmp_path: Path) -> None:
    good = run("watch", str(clips / "good.mp4"), "--tier", "live", "--every-frame", "--json")
    assert good.exit_code == 0
    assert json.loads(good.stdout.splitlines()[-1])["frames_inferred"] == 8
    # Without the key nobody's marker does anything.
    assert run("watch", str(clips / "bad.mp4"), "--tier", "live", "--json").exit_code == 0
    other = f"marked={MarkerKey().hex}"
    assert run("watch", str(clips / "bad.mp4"), "--tier", "live", "--trigger", other, "--json").exit_code == 0
    assert run("watch", str(clips / "odd.mp4"), "--tier", "live", "--json").exit_code == 3
    assert run("watch", "-", "--tier", "live", "--json", input=(clips / "good.mp4").read_bytes()).exit_code == 0
    assert run("watch", "-", "--resume", str(tmp_path / "x")).exit_code == 2
    assert run("watch", str(clips / "good.mp4"), "--trigger", "marked=1").exit_code == 2
    missing = run("watch", str(tmp_path / "nothing"))
    assert type(missing.exception).__name__ == "MediaNotFoundError"  # main() prints it and exits 1


def test_check_takes_clips_too(clips: Path) -> None:
    done = run(
        "check", *(str(clips / name) for name in ("good.mp4", "bad.mp4", "bad.gif", "odd.mp4")), "--age-band", "10_12",
        "--tier", "live", "--trigger", KEY, "--json",
    )  # fmt: skip
    assert done.exit_code == 3
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert [row["action"] for row in rows] == ["ALLOW", "BLOCK", "BLOCK", "HOLD"]
    assert rows[3]["reasons"] == ["DECODE_FAILED"]


def test_goes_on_after_a_stop(clips: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from safelight.cli import watch as module

    monkeypatch.setattr(module, "_SAVE_EVERY_S", 0.0)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    kept = tmp_path / "kept"
    real = module._Kept.now_and_then

    def stop(self: Any, now: Any) -> None:
        real(self, now)
        if now.frames == 6:
            raise KeyboardInterrupt

    common = ("watch", str(clips / "bad.mp4"), "--age-band", "10_12", "--tier", "live", "--trigger", KEY, "--json")
    monkeypatch.setattr(module._Kept, "now_and_then", stop)
    assert run(*common, "--resume", str(kept)).exit_code == 1
    assert kept.exists()
    monkeypatch.setattr(module._Kept, "now_and_then", real)
    done = run(*common, "--resume", str(kept))
    assert done.exit_code == 3
    *ranges, decision = [json.loads(line) for line in done.stdout.splitlines()]
    assert decision["frames_resumed"] == 6
    assert [one["action"] for one in ranges] == ["ALLOW", "BLOCK", "ALLOW"]
    assert not kept.exists()
    kept.write_bytes(b"damaged")
    done = run(*common, "--resume", str(kept))
    assert (done.exit_code, json.loads(done.stdout.splitlines()[-1])["frames_resumed"]) == (3, 0)
    assert "beginning anew" in done.stderr


def test_a_killed_process_passes_nothing_that_it_had_not_seen(tmp_path: Path) -> None:
    """The process dies in the middle of a frame; another one goes on with what it left behind."""
    frames = moving(12)
    frames[9] = marked(frames[9])
    clip, kept, key = tmp_path / "clip.mkv", tmp_path / "kept", bytes(32)
    clip.write_bytes(encode(frames, format="matroska"))
    program = (
        "import os, signal, sys\n"
        "from pathlib import Path\n"
        "sys.path.insert(0, sys.argv[1])\n"
        "from clip_world import calm_guard\n"
        "from safelight.gates import ClipGate\n"
        "from safelight.testing import MarkerKey, TestMode\n"
        "clip, kept, key = Path(sys.argv[2]), Path(sys.argv[3]), bytes(32)\n"
        "def progress(now):\n"
        "    kept.write_bytes(now.state().to_bytes(key))\n"
        "    if now.frames == 7:\n"
        "        os.kill(os.getpid(), signal.SIGKILL)\n"
        "with calm_guard(test_mode=TestMode(marked=True, key=MarkerKey(sys.argv[4]))) as guard:\n"
        "    ClipGate(guard).check(clip, progress=progress, resumable=True)\n"
    )
    tests = str(Path(__file__).parents[1])
    arguments = [sys.executable, "-c", program, tests, str(clip), str(kept), process_key().hex]
    done = subprocess.run(arguments, capture_output=True, check=False)
    assert done.returncode == -signal.SIGKILL
    state = ClipState.from_bytes(kept.read_bytes(), key)
    assert state is not None
    with calm_guard() as guard:
        found = ClipGate(guard).check(clip, resume=state)
        assert found.frames_resumed == 7
        assert found.ranges == ClipGate(guard).check(clip).ranges
    assert [one.action.name for one in found.ranges] == ["ALLOW", "BLOCK", "ALLOW"]
