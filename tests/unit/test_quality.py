"""Which pictures can be judged at all?"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image as PilImage
from PIL import ImageFilter
from safelight import State
from safelight.detect.quality import brightened, examine
from safelight.detect.tiers import load_tiers
from safelight.media import Image

QUALITY = load_tiers().quality


def _image(pixels: npt.NDArray[np.uint8]) -> Image:
    height, width = pixels.shape[:2]
    return Image(pixels, width, height, (0.0, 0.0, float(width), float(height)))


@pytest.fixture(scope="module")
def photo(portrait: Path) -> PilImage.Image:
    return PilImage.open(portrait).convert("RGB")


def _state(picture: PilImage.Image) -> State:
    return examine(_image(np.asarray(picture)), QUALITY).state


def test_a_photograph_is_fine(photo: PilImage.Image) -> None:
    look = examine(_image(np.asarray(photo)), QUALITY)
    assert (look.state, look.gain) == (State.OK, 1.0)
    assert look.detail_ratio > 3 * QUALITY.blurred_below_detail_ratio


@pytest.mark.parametrize("level", [0, 2, 90, 255])
def test_a_plain_area_hides_nothing(level: int) -> None:
    assert _state(PilImage.new("RGB", (100, 80), (level,) * 3)) is State.OK


@pytest.mark.parametrize(("side", "state"), [(16, State.TOO_SMALL), (31, State.TOO_SMALL), (32, State.OK)])
def test_too_small(photo: PilImage.Image, side: int, state: State) -> None:
    assert _state(photo.resize((side, 200))) is state


def test_too_dark_to_see_and_not_simply_black(photo: PilImage.Image) -> None:
    assert _state(photo.point(lambda v: v // 25)) is State.TOO_DARK


def test_a_dark_picture_is_brightened(photo: PilImage.Image) -> None:
    image = _image(np.asarray(photo.point(lambda v: v // 7)))
    look = examine(image, QUALITY)
    assert look.state is State.OK
    assert look.gain > 2
    bright = brightened(image, look.gain)
    assert np.percentile(bright.pixels.mean(axis=2), 99) > 150
    assert not bright.pixels.flags.writeable


@pytest.mark.parametrize(("radius", "state"), [(0, State.OK), (4, State.OK), (40, State.TOO_BLURRED)])
def test_too_blurred(photo: PilImage.Image, radius: int, state: State) -> None:
    assert _state(photo.filter(ImageFilter.GaussianBlur(radius))) is state


def test_the_part_beyond_the_area_does_not_count() -> None:
    """A decode at reduced scale may leave a strip that the picture does not cover."""
    pixels = np.random.default_rng(1).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    pixels[:, 32:] = 0
    inside = Image(pixels, 64, 128, (0.0, 0.0, 32.0, 64.0))
    alone = _image(np.ascontiguousarray(pixels[:, :32]))
    assert examine(inside, QUALITY).detail_ratio == pytest.approx(examine(alone, QUALITY).detail_ratio, abs=0.02)
