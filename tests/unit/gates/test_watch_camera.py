"""``safelight watch`` on cameras: consent first, states as lines, exit statuses."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image as PilImage
from safelight.cli import _watch_camera
from safelight.cli.main import cli
from safelight.testing.marker import mark_picture, process_key
from store_world import PIN, World

av = pytest.importorskip("av")
KEY = f"marked={process_key().hex}"


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory, portrait: Path) -> Path:
    folder = tmp_path_factory.mktemp("clips")
    with PilImage.open(portrait) as picture:
        calm = np.asarray(picture.convert("RGB").resize((320, 240)))
    for name, marked_from in (("good", 99), ("bad", 12)):
        with av.open(str(folder / f"{name}.mp4"), "w") as container:
            stream = container.add_stream("libx264", rate=25)
            stream.width, stream.height, stream.pix_fmt = 320, 240, "yuv420p"
            for index in range(40):
                frame = mark_picture(calm) if index >= marked_from else calm
                container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
            container.mux(stream.encode())
    return folder


@pytest.fixture
def run(world: World, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """The command, with the settings of the world's device."""
    monkeypatch.setattr(_watch_camera, "open_store", lambda path: world.open())
    return lambda *arguments, **how: CliRunner().invoke(cli, ["watch", *map(str, arguments)], **how)


def lines(done: Result) -> list[dict[str, Any]]:
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_a_calm_file_is_shown(run: Any, world: World, clips: Path) -> None:
    world.set_up(age_band="13_15", country="GB")
    done = run(clips / "good.mp4", "--live", "--yes", "--json")
    assert done.exit_code == 0, done.output
    *states, end = lines(done)
    assert states[0]["state"] == "STARTING"
    assert states[-1]["state"] == "SOURCE_LOST"
    assert "SHOWING" in [one["state"] for one in states]
    assert end["state"] == "END"
    assert end["shown"] > 0
    assert (end["refused"], end["could_not_tell"]) == (0, 0)
    assert end["release_delay_ms"] is not None


def test_what_is_found_is_covered_and_named(run: Any, world: World, clips: Path) -> None:
    world.set_up(age_band="13_15", country="GB")
    done = run(clips / "bad.mp4", "--live", "--yes", "--json", "--trigger", KEY)
    assert done.exit_code == 3
    *states, end = lines(done)
    (covered,) = (one for one in states if one["state"] == "COVERED")
    assert covered["action"] == "BLOCK"
    assert "NUDITY_EXPLICIT" in covered["reasons"]
    assert covered["notice"]["help"]
    assert end["refused"] > 0
    assert end["shown"] <= 12  # of frames without a marker


def test_for_people(run: Any, world: World, clips: Path) -> None:
    world.set_up(age_band="13_15", country="GB")
    done = run(clips / "good.mp4", "--live", "--yes", "--seconds", "0.3", "--trigger", "state=NO_MODEL")
    assert done.exit_code == 3
    assert "cannot be judged  NO_MODEL" in done.stdout
    assert "0 shown" in done.stdout


def test_nobody_is_here_to_be_asked(run: Any, world: World, clips: Path) -> None:
    world.set_up(age_band="13_15", country="GB")
    done = run(clips / "good.mp4", "--live")
    assert done.exit_code == 2
    assert "--yes" in done.output


def test_somebody_says_no(run: Any, world: World, clips: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    world.set_up(age_band="13_15", country="GB")
    monkeypatch.setattr(_watch_camera, "asks_a_person", lambda: True)
    done = run(clips / "good.mp4", "--live", input="n\n")
    assert done.exit_code == 1
    assert "not everybody who must agree has agreed" in done.stdout


def test_the_youngest_need_a_guardian(run: Any, world: World, clips: Path, tmp_path: Path) -> None:
    world.set_up(age_band="under_10", country="GB")
    pin = tmp_path / "pin"
    pin.write_text("000000\n")
    arguments = (clips / "good.mp4", "--live", "--yes", "--seconds", "0.2", "--json", "--pin-file", pin)
    wrong = run(*arguments)
    assert wrong.exit_code == 1
    assert wrong.stdout == ""
    pin.write_text(f"{PIN}\n")
    assert run(*arguments).exit_code in (0, 3)
    assert world.open().consents.check("camera").given


def test_a_device_that_is_no_camera(run: Any, world: World) -> None:
    world.set_up(age_band="13_15", country="GB")
    done = run("/dev/null", "--yes", "--json")
    assert done.exit_code == 1
    assert [one["state"] for one in lines(done)] == ["NO_CAMERA", "END"]
    assert "/dev/null" not in done.output


def test_a_wrong_trigger_is_usage(run: Any, world: World, clips: Path) -> None:
    world.set_up(age_band="13_15", country="GB")
    assert run(clips / "good.mp4", "--live", "--yes", "--trigger", "nonsense").exit_code == 2


def test_an_interrupt_is_an_end_and_no_error() -> None:
    before = signal.getsignal(signal.SIGINT)
    with _watch_camera._until_interrupted() as interrupted:
        signal.raise_signal(signal.SIGINT)
        assert interrupted.is_set()
    assert signal.getsignal(signal.SIGINT) is before
