"""Every call in every wrong way: a typed error that says what to do, never a silent answer."""

from __future__ import annotations

import asyncio
from pathlib import Path

import numpy as np
import pytest
from safelight import ClosedError, Guard, MediaNotFoundError, SafelightError, UnsupportedInputError, UsageError
from safelight.detect import VisionDetector
from safelight.runtime import Model
from safelight.testing import TestMode, nudity, parse_trigger, state


def test_a_closed_guard_says_so(portrait: Path) -> None:
    guard = Guard()
    guard.close()
    guard.close()
    assert guard.closed
    with pytest.raises(ClosedError, match="make a new Guard"):
        guard.check_image(portrait)
    with pytest.raises(ClosedError):
        list(guard.check_images([portrait]))
    with pytest.raises(ClosedError):
        asyncio.run(guard.acheck_image(portrait))
    with pytest.raises(ClosedError):
        guard.prepare()
    with pytest.raises(ClosedError), guard:
        pass


def test_a_closed_detector_and_a_closed_model_say_so() -> None:
    detector = VisionDetector()
    detector.close()
    with pytest.raises(ClosedError):
        detector.prepare()
    with Model("open_nsfw_v1") as model:
        pass
    with pytest.raises(ClosedError):
        model.run(np.zeros((224, 224, 3), np.uint8))


@pytest.mark.parametrize(
    "pixels",
    [
        np.zeros((224, 224), np.uint8),
        np.zeros((224, 224, 4), np.uint8),
        np.zeros((223, 224, 3), np.uint8),
        np.zeros((2, 224, 224, 3), np.uint8),
        np.zeros((224, 224, 3), np.float32),
        np.zeros((0,), np.uint8),
    ],
)
def test_a_model_refuses_other_tensors(pixels: np.ndarray) -> None:
    with Model("open_nsfw_v1") as model, pytest.raises(UnsupportedInputError, match="takes uint8"):
        model.run(pixels)


def test_a_model_takes_any_memory_layout() -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (224, 224, 3), dtype=np.uint8)
    with Model("open_nsfw_v1") as model:
        (expected,) = model.run(pixels)
        for layout in (np.asfortranarray(pixels), np.repeat(pixels, 2, axis=1)[:, ::2], pixels[None]):
            assert np.array_equal(model.run(layout)[0], expected)


@pytest.mark.parametrize("source", [None, 7, 3.5, ["a"], {"a": 1}, object()])
def test_sources_of_other_types(source: object) -> None:
    with Guard(detectors=[]) as guard, pytest.raises(UnsupportedInputError):
        guard.check_image(source)  # type: ignore[arg-type]


def test_wrong_words(portrait: Path, tmp_path: Path) -> None:
    with Guard(detectors=[]) as guard:
        with pytest.raises(UsageError, match="expected one of capture"):
            guard.check_image(portrait, event="fax")
        with pytest.raises(UsageError):
            guard.check_image(np.zeros((32, 32, 3), np.uint8), color="GRB")
        with pytest.raises(MediaNotFoundError):
            guard.check_image(tmp_path / "none.jpg")
        with pytest.raises(MediaNotFoundError):
            guard.check_image(tmp_path)
    with pytest.raises(UsageError, match="1 or more"):
        Guard(concurrency=0)
    with pytest.raises(UsageError, match="expected auto"):
        Model("open_nsfw_v1", runtime="onnx")
    with pytest.raises(UsageError, match="this build has"):
        Model("no_such_model")


def test_an_unknown_tier_or_plugin_is_a_mistake_of_the_programmer() -> None:
    with pytest.raises(UsageError, match="expected auto, live or full"):
        Guard(tier="fast")
    with pytest.raises(UsageError, match="expected live or full"):
        VisionDetector("fast")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="expected none or process"):
        Guard(isolation="thread")
    with pytest.raises(UsageError, match="cannot move to another process"):
        Guard(isolation="process", detectors=[])
    with pytest.raises(UsageError, match="installed are"):
        Guard(plugins=["no-such-plugin"])


@pytest.mark.parametrize("text", ["", "nudity", "nudity=", "nudity=2", "nudity=nan", "state=OK", "state=", "moon=1"])
def test_a_faulty_trigger_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="expected"):
        parse_trigger(text)


def test_an_empty_test_mode_is_refused() -> None:
    with pytest.raises(UsageError):
        TestMode()
    with pytest.raises(UsageError):
        TestMode("nudity")  # type: ignore[arg-type]
    with pytest.raises(UsageError):
        nudity(1.5)
    with pytest.raises(UsageError):
        state("OK")


def test_every_error_is_a_safelight_error() -> None:
    from safelight import errors

    kinds = [value for value in vars(errors).values() if isinstance(value, type) and issubclass(value, Exception)]
    assert all(issubclass(kind, SafelightError) for kind in kinds)
