"""Does the release rule let only near frames pass, in every format, and never drift away from what was looked at?"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safelight import Action, Decision, Event, Frame
from safelight.decision import AgeBand, Finding, FindingKind, Label, State
from safelight.errors import UnsupportedInputError, UsageError
from safelight.gates import ReleaseRule
from safelight.gates.release import tile_difference
from safelight.media.frame import to_pixels

RULE = ReleaseRule()
YUV = ("nv12", "nv21", "i420", "yuyv")


def decision(*findings: Finding, action: Action = Action.ALLOW) -> Decision:
    return Decision(action, Event.CAPTURE, AgeBand.UNKNOWN, findings, (), None)


def nudity(score: float | None, label: Label | None = Label.NONE, state: State = State.OK) -> Finding:
    return Finding(FindingKind.NUDITY, state, label, score, "model")


def raw(format: Any, level: int, width: int = 64, height: int = 48, **options: Any) -> Frame:
    length = length_bytes(format, width, height)
    return Frame(bytearray([level]) * length, format, width=width, height=height, **options)


def length_bytes(format: str, width: int, height: int) -> int:
    return {"rgb": 3, "bgr": 3, "rgba": 4, "grey": 1, "yuyv": 2}.get(format, 0) * width * height or (
        width * height + 2 * ((width + 1) // 2) * ((height + 1) // 2)
    )


@pytest.mark.parametrize("format", ["rgb", "bgr", "rgba", "grey", *YUV])
def test_a_change_within_the_bound_is_near_and_one_beyond_is_not(format: str) -> None:
    # Everything changes alike; the chroma of YUV counts twice.
    bound = 2 if format in YUV else 4
    assert RULE.is_near(raw(format, 100), raw(format, 100 + bound))
    assert RULE.is_near(raw(format, 100), raw(format, 100 - bound))
    assert not RULE.is_near(raw(format, 100), raw(format, 101 + bound))


@pytest.mark.parametrize("side_px", [1, 2, 3, 4, 8, 24])
@pytest.mark.parametrize("place", [(0, 0), (13, 29), (24, 40)])
def test_a_region_appears_only_as_faint_as_the_bound(side_px: int, place: tuple[int, int]) -> None:
    base = np.full((48, 64, 3), 90, np.uint8)
    y, x = place
    for change in range(1, 160):
        frame = base.copy()
        frame[y : y + side_px, x : x + side_px] += np.uint8(change)
        if RULE.is_near(base, frame):
            assert change <= RULE.max_sample
            tile = frame[8 * (y // 8) : 8 * (y // 8) + 8, 8 * (x // 8) : 8 * (x // 8) + 8].astype(int) - 90
            assert tile.mean() <= RULE.max_tile_mean


def test_one_pixel_of_a_large_frame_is_seen() -> None:
    base = np.full((1080, 1920, 3), 90, np.uint8)
    spot = base.copy()
    spot[1079, 1919, 2] += 33
    assert not RULE.is_near(base, spot)
    spot[1079, 1919, 2] -= 1
    assert RULE.is_near(base, spot)


@given(st.integers(0, 2**32 - 1), st.sampled_from(YUV), st.sampled_from(["full", "limited"]))
def test_near_in_yuv_is_near_in_rgb(seed: int, format: Any, color_range: Any) -> None:
    """What docs/camera.md says of colours: within the bound, a tile of 16 x 16 pixels moves by 3.2 bounds at most."""
    random = np.random.default_rng(seed)
    one = random.integers(0, 256, length_bytes(format, 64, 48), dtype=np.uint8)
    other = np.clip(one + random.integers(-3, 4, one.size), 0, 255).astype(np.uint8)
    pair = [Frame(data, format, width=64, height=48, color_range=color_range) for data in (one, other)]
    if not RULE.is_near(*pair):
        return
    apart = np.abs(to_pixels(pair[0]).astype(int) - to_pixels(pair[1]).astype(int))
    tiles = apart.reshape(3, 16, 4, 16, 3).mean(axis=(1, 3))
    assert tiles.max() <= 3.2 * RULE.max_tile_mean + 1  # and a level of rounding


@pytest.mark.parametrize("steps", [20, 200, 2000])
def test_a_fade_never_drifts_away_from_what_was_looked_at(steps: int) -> None:
    """However slow: without another look, what is released stays within the bound of the one look there was."""
    base, target = np.full((32, 32, 3), 60, np.uint8), np.full((32, 32, 3), 220, np.uint8)
    target[:, ::2] = 20
    released = [
        frame
        for alpha in np.linspace(0, 1, steps)
        if RULE.is_near(base, frame := (base + alpha * (target.astype(float) - base)).round().astype(np.uint8))
    ]
    assert released
    assert all(np.abs(frame.astype(int) - base).max() <= 8 for frame in released)
    # While each is near its own predecessor: what comparing with the last released frame would let through.
    if steps >= 200:
        whole = [(base + a * (target.astype(float) - base)).round().astype(np.uint8) for a in np.linspace(0, 1, steps)]
        assert all(RULE.is_near(one, other) for one, other in pairwise(whole))


def test_frames_that_are_not_alike_are_never_near() -> None:
    base = raw("nv12", 100)
    for other in (
        raw("nv21", 100),
        raw("nv12", 100, width=66),
        raw("nv12", 100, height=50),
        raw("nv12", 100, rotation=180),
        raw("nv12", 100, color_range="limited"),
        np.full((48, 64, 3), 100, np.uint8),
    ):
        assert tile_difference(base, other) is None
        assert not RULE.is_near(base, other)
    assert not RULE.is_near(np.zeros((8, 8, 3), np.uint8), np.zeros((8, 8), np.uint8))


def test_padding_is_not_compared() -> None:
    one = Frame(bytes([7] * 8 + [1] * 8) * 4, "grey", width=8, height=4, stride=16)
    other = Frame(bytes([7] * 8 + [200] * 8) * 3 + bytes([7] * 8), "grey", width=8, height=4, stride=16)
    assert tile_difference(one, other).sample == 0  # type: ignore[union-attr]


def test_a_frame_is_clear_only_when_everybody_could_tell_and_nobody_doubts() -> None:
    age = Finding(FindingKind.AGE, State.OK, Label.MINOR, 0.9, "age")
    assert RULE.is_clear(decision(nudity(0.1), age))
    for findings in (
        (),
        (nudity(0.11),),
        (nudity(float("nan")),),
        (nudity(None),),
        (nudity(0.05, Label.SUGGESTIVE),),
        (nudity(0.05), nudity(None, None, State.NO_MODEL)),
        (nudity(0.05), Finding(FindingKind.MEDIA, State.TOO_SMALL)),
    ):
        assert not RULE.is_clear(decision(*findings))
    for action in (Action.NUDGE, Action.BLUR, Action.HOLD, Action.BLOCK):
        assert not RULE.is_clear(decision(nudity(0.0), action=action))


@pytest.mark.parametrize(
    "wrong", [{"max_tile_mean": -1}, {"max_tile_mean": 256}, {"max_sample": 511}, {"clear_score": float("nan")}]
)
def test_values_out_of_range_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match=next(iter(wrong))):
        ReleaseRule(**wrong)


def test_other_arrays_are_refused() -> None:
    with pytest.raises(UnsupportedInputError):
        RULE.is_near(np.zeros((8, 8, 3), np.float32), np.zeros((8, 8, 3), np.float32))  # type: ignore[arg-type]


def test_a_rule_of_zero_takes_only_the_same_frame() -> None:
    strict = ReleaseRule(max_tile_mean=0, max_sample=0)
    assert strict.is_near(raw("yuyv", 5), raw("yuyv", 5))
    assert not strict.is_near(raw("yuyv", 5), raw("yuyv", 6))
