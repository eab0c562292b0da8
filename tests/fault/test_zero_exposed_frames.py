"""Does a frame that a detector would stop ever reach the sink? Never, whatever comes and however the looks fail.

Simulated time: frames keep coming while looks go on. What is released is copied and judged again afterwards.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from camera_world import (
    EXPLICIT,
    GROUND,
    HEIGHT,
    SPAN,
    WIDTH,
    Bytes,
    Looks,
    Outcome,
    Seen,
    brightened,
    marked,
    moving,
    scene,
    score,
    simulate,
)
from hypothesis import given
from hypothesis import strategies as st
from safelight.gates import ReleaseRule
from safelight.gates.camera import CameraState, Timing
from safelight.gates.camera.core import Core

SOAK = os.environ.get("HYPOTHESIS_PROFILE") == "soak"
RATES = (5, 15, 30, 60) if SOAK else (5, 30, 60)
# Seconds a look takes, and how it ends: fast, slow, far too slow, crashing, hanging, never an answer.
DETECTORS: dict[str, tuple[Sequence[float], Sequence[Outcome]]] = {
    "fast": ((0.005,), ("verdict",)),
    "uneven": ((0.005, 0.2, 0.03, 0.6), ("verdict",)),
    "slow": ((0.9,), ("verdict",)),
    "crashing": ((0.02,), ("verdict", "crash", "verdict", "crash", "crash")),
    "killed": ((0.02, 0.05), ("verdict", "verdict", "state")),
    "hanging": ((0.02,), ("verdict", "verdict", "verdict", "hang", "verdict")),
    "never": ((0.02,), ("state",)),
}


def looks(name: str) -> Looks:
    return Looks(*DETECTORS[name])


def ground_truth(pictures: Sequence[Bytes]) -> set[int]:
    return {index for index, picture in enumerate(pictures) if score(picture) >= EXPLICIT}


def check(pictures: Sequence[Bytes], seen: Seen) -> None:
    assert ground_truth(pictures).isdisjoint(seen.sequences)
    assert seen.exposed() == []
    for sequence, _, picture in seen.frames:
        assert np.array_equal(picture, pictures[sequence])  # nothing but what came, and nothing that was overwritten
    assert sorted(seen.sequences) == seen.sequences
    for preview in seen.previews:
        assert preview.released == (preview.state is CameraState.SHOWING)
        if preview.stand_in is not None:
            assert len(preview.stand_in.cells) == 8 * 8 * 3


def still(count: int, noise: float = 1.0) -> list[Bytes]:
    return [scene(index, noise=noise) for index in range(count)]


@pytest.mark.parametrize("detector", DETECTORS)
@pytest.mark.parametrize("background", ["still", "moving"])
def test_a_single_frame_at_every_index(detector: str, background: str) -> None:
    count = 48 if SOAK else 15
    base = still(count) if background == "still" else list(moving(count))
    for index in range(len(base)):
        pictures = [marked(picture) if i == index else picture for i, picture in enumerate(base)]
        for fps in RATES if SOAK else (RATES[index % len(RATES)],):
            check(pictures, simulate(pictures, frames_per_second=fps, looks=looks(detector)))


@pytest.mark.parametrize("detector", DETECTORS)
def test_bursts(detector: str) -> None:
    base = still(120)
    bursts = [(length, gap, fps) for length in (2, 3, 7, 30) for gap in (1, 2, 11, 90) for fps in RATES]
    for length, gap, fps in bursts if SOAK else bursts[::7]:
        pictures = [marked(picture) if i % (length + gap) >= gap else picture for i, picture in enumerate(base)]
        check(pictures, simulate(pictures, frames_per_second=fps, looks=looks(detector)))


@pytest.mark.parametrize("detector", DETECTORS)
@pytest.mark.parametrize("steps", [10, 60, 240, 1200 if SOAK else 360])
def test_slow_fades(detector: str, steps: int) -> None:
    """There and back, so slowly that no frame differs visibly from the one before."""
    there = [marked(scene(), strength) for strength in np.linspace(0, 1, steps)]
    pictures = there + there[::-1]
    seen = simulate(pictures, frames_per_second=60, looks=looks(detector))
    check(pictures, seen)
    if detector in ("fast", "uneven"):
        assert seen.frames  # a gate that shows nothing is not what is tested here


@pytest.mark.parametrize("detector", DETECTORS)
@pytest.mark.parametrize("size_px", [8, 9, 12, 24])
def test_small_regions_anywhere(detector: str, size_px: int) -> None:
    random = np.random.default_rng(size_px)
    pictures = still(120, noise=0.5)
    for index in random.choice(120, 40, replace=False):
        at = (int(random.integers(0, (HEIGHT - size_px) // 8)) * 8, int(random.integers(0, (WIDTH - size_px) // 8)) * 8)
        pictures[index] = marked(pictures[index], at=at, size_px=size_px)
    check(pictures, simulate(pictures, looks=looks(detector)))


@pytest.mark.parametrize("detector", DETECTORS)
@pytest.mark.parametrize("levels_a_frame", [0.25, 1, 4, 20])
def test_brightness_ramps(detector: str, levels_a_frame: float) -> None:
    up = [brightened(scene(), level) for level in np.arange(0, SPAN, levels_a_frame)]
    check(pictures := up + up[::-1], simulate(pictures, looks=looks(detector)))


@pytest.mark.parametrize("detector", DETECTORS)
@pytest.mark.parametrize("every", [1, 3, 20])
def test_scene_cuts(detector: str, every: int) -> None:
    random = np.random.default_rng(every)
    scenes = [random.integers(0, GROUND, (HEIGHT, WIDTH, 3), dtype=np.uint8) for _ in range(9)]
    scenes += [np.full((HEIGHT, WIDTH, 3), 220, np.uint8), marked(scenes[0]), marked(scenes[1])]
    cuts = [int(n) for n in random.integers(0, len(scenes), 120 // every + 1)]
    pictures = [scenes[cuts[i // every]] for i in range(120)]
    check(pictures, simulate(pictures, looks=looks(detector)))


@given(st.data())
def test_anything_at_all(data: st.DataObject) -> None:
    random = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    background = list(moving(60)) if data.draw(st.booleans()) else still(60, noise=data.draw(st.floats(0, 4)))
    strengths = np.zeros(len(background))
    for _ in range(data.draw(st.integers(0, 6))):
        first, length = data.draw(st.integers(0, 59)), data.draw(st.integers(1, 30))
        shape = data.draw(st.sampled_from([np.linspace(0, 1, length), np.linspace(1, 0, length), np.ones(length)]))
        window = strengths[first : first + length]
        window[:] = np.maximum(window, shape[: len(window)])
    at = (int(random.integers(0, 4)) * 8, int(random.integers(0, 5)) * 8)
    pictures = [marked(picture, strength, at=at) for picture, strength in zip(background, strengths, strict=True)]
    seen = simulate(
        pictures,
        frames_per_second=data.draw(st.floats(5, 60)),
        looks=Looks(
            data.draw(st.lists(st.floats(0.0005, 3.0), min_size=1, max_size=8)),
            data.draw(
                st.lists(
                    st.sampled_from(["verdict", "verdict", "verdict", "state", "crash", "hang"]), min_size=1, max_size=8
                )
            ),
        ),
        timing=Timing(hysteresis_s=data.draw(st.sampled_from([0.0, 0.1, 2.0]))),
        hang_s=data.draw(st.sampled_from([2.5, 30.0])),
    )
    check(pictures, seen)


# --- would these tests notice? ---------------------------------------------------------------------------------------


class _Drifting(ReleaseRule):
    """Compares with the frame that was released last: the mistake that the rule is there to avoid."""

    def is_near(self, inferred: Any, frame: Any) -> bool:
        last = _LAST[-1] if _LAST else inferred
        near = super().is_near(last, frame)
        if near:
            _LAST.append(type(frame)(bytes(memoryview(frame.data)), "rgb", width=frame.width, height=frame.height))
        return near


_LAST: list[Any] = []


class _Trusting(Core):
    """Takes no verdict for a good one."""

    def finish(self, job: Any, decision: Any, now_s: float) -> Any:
        return self._allowed(job, decision, now_s) if decision is None else super().finish(job, decision, now_s)


class _Hasty(Core):
    """Shows a frame while it is looked at."""

    def _not_released(self, job: Any, now_s: float) -> Any:
        return self._release(job, now_s, None)


def _fade(count: int) -> list[Bytes]:
    return [marked(scene(), strength) for strength in np.linspace(0, 1, count)]


MISTAKES: dict[str, Callable[[], Seen]] = {
    "compares with the released": lambda: simulate(
        [scene()] * 180 + _fade(40), frames_per_second=60, looks=looks("slow"), rule=_Drifting()
    ),
    "shows before the verdict": lambda: simulate([marked(picture) for picture in still(9)], make=_Hasty),
    "no verdict is a good one": lambda: simulate(
        [marked(picture) for picture in still(9)], looks=Looks((0.01,), ("crash",)), make=_Trusting, rule=_NeverClear()
    ),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_gate_with_a_mistake_is_caught(mistake: str) -> None:
    _LAST.clear()
    assert MISTAKES[mistake]().exposed()


class _NeverClear(ReleaseRule):
    def is_clear(self, decision: Any) -> bool:
        return False


# --- how it recovers, and what the viewer sees -----------------------------------------------------------------------


def test_after_something_was_found_nothing_is_shown_for_two_seconds() -> None:
    pictures = still(150)
    pictures[30] = marked(pictures[30])
    seen = simulate(pictures, frames_per_second=30)
    covered = [p for p in seen.previews if p.state is CameraState.COVERED]
    found_s = covered[0].shown_s
    shown_s = [s for _, s, _ in seen.frames]
    assert not [s for s in shown_s if found_s <= s < found_s + 2.0]
    assert min(s for s in shown_s if s > found_s) < found_s + 2.0 + 2 / 30
    assert seen.core.counts.refused == 1


def test_another_find_covers_for_two_seconds_more() -> None:
    pictures = still(240)
    for index in (30, 75):
        pictures[index] = marked(pictures[index])
    seen = simulate(pictures, frames_per_second=30)
    after = [s for _, s, _ in seen.frames if s > 1.1]
    assert min(after) >= 75 / 30 + 2.0


def test_a_detector_that_comes_back_is_believed_again() -> None:
    for outcome in ("crash", "state", "hang"):
        seen = simulate(
            list(moving(300)), looks=Looks((0.02,), ("verdict",) * 20 + (outcome,) + ("verdict",) * 400), hang_s=2.5
        )
        states = [p.state for p in seen.previews]
        gap = states.index(CameraState.WAITING if outcome == "hang" else CameraState.COULD_NOT_TELL)
        assert CameraState.SHOWING in states[:gap]
        assert CameraState.SHOWING in states[gap:]


def test_a_hanging_detector_is_covered_and_named() -> None:
    seen = simulate(still(300), looks=Looks((0.02,), ("verdict",) * 3 + ("hang",)), hang_s=1e9)
    last = seen.previews[-1]
    assert last.state is CameraState.WAITING
    assert not last.released


def test_a_still_picture_costs_one_look_a_second_and_loses_no_frame() -> None:
    seen = simulate(still(300), frames_per_second=30)
    assert len(seen.frames) == 300
    assert seen.core.counts.looked_at <= 12


def test_a_moving_picture_with_slow_looks_drops_frames_and_never_a_verdict() -> None:
    seen = simulate(list(moving(300)), frames_per_second=30, looks=Looks((0.15,)))
    counts = seen.core.counts
    assert counts.dropped > 200
    assert counts.looked_at == len(seen.frames) > 20
    assert [p for p in seen.previews if not p.released and p.sequence > 30] == []  # the picture stands, then moves on
