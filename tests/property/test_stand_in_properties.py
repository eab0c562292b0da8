"""Is a stand-in a function of at most 134 bits, and of nothing else in the picture?"""

from __future__ import annotations

import io
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image as PilImage
from safelight.decision import FindingKind, Label
from safelight.detect import VisionDetector
from safelight.errors import UsageError
from safelight.media import Image
from safelight.media.stand_in import BITS, GRID, LEVELS, PLAIN, StandIn, make_stand_in, stand_in_of

sides = st.integers(GRID, 70)
pixels = st.tuples(sides, sides).flatmap(
    lambda size: st.integers(0, 2**32 - 1).map(
        lambda seed: np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8)
    )
)


def _bits(stand_in: StandIn) -> tuple[bytes, tuple[int, ...]]:
    """What a stand-in says, read back from its cells: 64 shades of four, three tints of four."""
    cells = np.frombuffer(stand_in.cells, np.uint8).reshape(GRID, GRID, 3).astype(np.int64)
    # cell = (64 shade + 32 + 64 tint + 32) // 2, so every cell is 32 (shade + tint + 1).
    sums = cells // 32 - 1
    assert ((sums + 1) * 32 == cells).all()
    assert sums.min() >= 0
    assert sums.max() <= 2 * (LEVELS - 1)
    differences = sums - sums[:, :, :1]
    assert (differences == differences[0, 0]).all(), "one tint for the whole picture"
    return sums[:, :, 0].tobytes(), tuple(int(value) for value in differences[0, 0])


def test_the_bound_is_what_is_written() -> None:
    assert BITS == 64 * 2 + 6 == 134


@given(pixels)
def test_a_stand_in_is_made_of_few_values(found: np.ndarray) -> None:
    _bits(stand_in_of(found))


@given(pixels, st.integers(0, 2**32 - 1))
def test_pictures_that_agree_in_their_cells_have_the_same_stand_in(found: np.ndarray, seed: int) -> None:
    """Everything within a cell is rearranged at random: another picture, the same stand-in, bit for bit."""
    other = found.copy()
    random = np.random.default_rng(seed)
    height, width = found.shape[:2]
    rows, columns = np.arange(GRID + 1) * height // GRID, np.arange(GRID + 1) * width // GRID
    for top, bottom in pairwise(rows):
        for left, right in pairwise(columns):
            cell = other[top:bottom, left:right].reshape(-1, 3)
            other[top:bottom, left:right] = random.permutation(cell, axis=0).reshape(bottom - top, right - left, 3)
    assert stand_in_of(other) == stand_in_of(found)


@given(st.integers(0, 2**32 - 1))
def test_detail_below_a_step_is_not_in_it(seed: int) -> None:
    """A second picture hidden in the lower bits of the first (steganography, a watermark) leaves no trace.

    Unless it moves the mean of the whole picture over a step of the tint, which says one of four and no more.
    """
    random = np.random.default_rng(seed)
    first = random.integers(0, LEVELS, (GRID, GRID)).repeat(6, 0).repeat(6, 1) * 64 + 16
    second = first + random.integers(0, 6, first.shape) * 8
    one, two = (stand_in_of(np.repeat(grey[:, :, None], 3, 2).astype(np.uint8)) for grey in (first, second))
    changes = np.frombuffer(two.cells, np.uint8).astype(int) - np.frombuffer(one.cells, np.uint8)
    assert set(changes) == {(int(second.mean()) // 64 - int(first.mean()) // 64) * 32}


def test_no_face_and_nothing_else_is_found_in_the_stand_in_of_a_portrait(portrait: object) -> None:
    detector = VisionDetector("full")

    def ages(content: bytes) -> set[Label | None]:
        shown = np.asarray(PilImage.open(io.BytesIO(content)).convert("RGB"))
        height, width = shown.shape[:2]
        found = detector.detect(Image(shown, width, height, (0.0, 0.0, float(width), float(height))))
        return {one.label for one in found if one.kind is FindingKind.AGE}

    data = portrait.read_bytes()  # type: ignore[attr-defined]
    assert Label.NO_FACE not in ages(data)
    for side_px in (64, 256, 512):
        assert ages(make_stand_in(data).png(side_px)) == {Label.NO_FACE}
    detector.close()


def test_a_blur_would_not_do() -> None:
    """The alternative that we did not take: two pictures that one blur keeps apart and the stand-in does not."""
    from PIL import ImageFilter

    flat = np.full((256, 256, 3), 96, np.uint8)
    striped = flat.copy()
    striped[:, ::32] += 60  # averages to less than a step in every cell
    blurred = [
        np.asarray(PilImage.fromarray(one).filter(ImageFilter.GaussianBlur(8))).astype(int) for one in (flat, striped)
    ]
    assert np.ptp(blurred[1][128, 64:192, 0]) > np.ptp(blurred[0][128, 64:192, 0])
    assert stand_in_of(flat) == stand_in_of(striped)


def test_it_is_drawn_in_any_size_and_the_plain_one_is_flat() -> None:
    stand_in = stand_in_of(np.random.default_rng(1).integers(0, 256, (64, 64, 3), dtype=np.uint8))
    for side_px in (8, 100, 2048):
        assert PilImage.open(io.BytesIO(stand_in.png(side_px))).size == (side_px, side_px)
    assert PilImage.open(io.BytesIO(PLAIN.png())).getextrema() == ((128, 128),) * 3
    for side_px in (7, 2049):
        with pytest.raises(UsageError, match="8 to 2048"):
            stand_in.png(side_px)


def test_what_cannot_be_decoded_or_is_smaller_than_its_cells_has_the_plain_one() -> None:
    assert make_stand_in(b"not a picture") is PLAIN
    assert stand_in_of(np.zeros((7, 64, 3), np.uint8)) is PLAIN
    assert "cells" not in repr(PLAIN)
