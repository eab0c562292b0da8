"""Zero exposed frames: wherever a marker can be read in what a clip shows, the range is not ALLOW.

The clip is decoded and its markers are read here a second time, by other means than the gate's. ``make soak`` runs
the full counts.
"""

from __future__ import annotations

import io
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image as PilImage
from PIL import ImageFilter, ImageSequence
from safelight import Action, Guard
from safelight.gates import ClipDecision, ClipGate
from safelight.testing import mark_picture, read_marker

pytest.importorskip("av")
import av
from clip_world import HEIGHT, WIDTH, animate, calm_guard, encode, marked, moving, scene, still

# A clip costs a hundred times what other examples cost.
EXAMPLES = max(10, settings().max_examples // 5)
COUNT = 14


@pytest.fixture(scope="module")
def guard() -> Guard:
    with calm_guard() as made:
        yield made


#: A frame may be released that is this near to one that was looked at (4 levels on average); twice that, to be sure.
SPARE_LEVELS = 8


def shown(data: bytes) -> list[tuple[float, bool]]:
    """Times in ms, and whether a marker can be read with some contrast to spare, as PyAV itself decodes it.

    A reader has a threshold, and at the threshold a level decides. The release rule does not promise more than its
    bound: a frame that is just readable may stand beside one that just is not.
    """
    with av.open(io.BytesIO(data), metadata_errors="replace") as container:
        start_ms = (container.start_time or 0) / 1000
        return [(frame.time * 1000 - start_ms, _readable(frame)) for frame in container.decode(video=0)]


def _readable(frame: av.VideoFrame) -> bool:
    pixels = frame.to_ndarray(format="rgb24")
    if read_marker(pixels) is None:
        return False
    around = np.asarray(PilImage.fromarray(pixels).filter(ImageFilter.BoxBlur(25))).astype(np.int16)
    fainter = pixels - np.clip(pixels - around, -SPARE_LEVELS, SPARE_LEVELS)
    return read_marker(fainter.astype(np.uint8)) is not None


def exposed(data: bytes, found: ClipDecision) -> tuple[list[float], int]:
    """When a marker is on the screen in a range that is allowed; and how many frames have one."""
    frames = shown(data)
    ends = [at for at, _ in frames[1:]] + [frames[-1][0] + 1]
    bad = [(at, end) for (at, marker), end in zip(frames, ends, strict=True) if marker]
    allowed = [
        (one.start_ms, one.end_ms if one.end_ms is not None else 1 << 40)
        for one in found.ranges
        if one.action is Action.ALLOW
    ]
    # Half a millisecond on either side: times are whole there.
    return [at for at, end in bad for start, stop in allowed if max(at + 0.5, start) < min(end - 0.5, stop)], len(bad)


def check(guard: Guard, data: bytes) -> int:
    found = ClipGate(guard).check(data)
    leaks, bad = exposed(data, found)
    assert leaks == []
    if bad:
        assert found.action is Action.BLOCK
    for one, following in pairwise(found.ranges):
        assert one.end_ms == following.start_ms
    assert found.ranges[0].start_ms == 0
    assert max(one.action for one in found.ranges) == found.action
    return bad


@pytest.mark.parametrize("index", range(COUNT))
@pytest.mark.parametrize("make", [still, moving])
def test_one_bad_frame_at_every_index(guard: Guard, make: object, index: int) -> None:
    frames = make(COUNT, seed=index)  # type: ignore[operator]
    frames[index] = marked(frames[index])
    assert check(guard, encode(frames)) == 1


@pytest.mark.parametrize("format", ["GIF", "WEBP", "PNG"])
def test_one_bad_frame_in_an_animated_picture(guard: Guard, format: str) -> None:
    for index in range(6):
        frames = moving(6, seed=index, step_px=2)
        frames[index] = marked(frames[index])
        data = animate(frames, format, duration_ms=[30, 20, 50, 40, 60, 70])
        found = ClipGate(guard).check(data)
        at = 0
        for number, picture in enumerate(ImageSequence.Iterator(PilImage.open(io.BytesIO(data)))):
            bad = read_marker(np.asarray(picture.convert("RGB"))) is not None
            assert bad == (number == index)
            end = at + [30, 20, 50, 40, 60, 70][number]
            actions = {one.action for one in found.ranges if one.start_ms < end and (one.end_ms or 1 << 40) > at}
            assert actions == {Action.BLOCK if bad else Action.ALLOW}
            at = end


@settings(max_examples=EXAMPLES)
@given(data=st.data())
def test_bursts_regions_cuts_and_rates(guard: Guard, data: st.DataObject) -> None:
    """Whatever moves, wherever the marker is, however often: no frame of it is in an allowed range."""
    count = data.draw(st.integers(2, 24))
    base = data.draw(st.sampled_from(["still", "moving", "fast", "cuts"]))
    if base == "cuts":
        every = data.draw(st.integers(1, 8))
        frames = [scene(number // every) for number in range(count)]
    else:
        step_px = {"still": 0, "moving": 1, "fast": 9}[base]
        frames = moving(count, seed=data.draw(st.integers(0, 99)), step_px=step_px)
    side = data.draw(st.integers(75, HEIGHT))
    left, top = data.draw(st.integers(0, WIDTH - side)), data.draw(st.integers(0, HEIGHT - side))
    bad = data.draw(st.sets(st.integers(0, count - 1), max_size=count))
    frames = [
        mark_picture(pixels, score=0.9, region_px=(left, top, left + side, top + side)) if number in bad else pixels
        for number, pixels in enumerate(frames)
    ]
    codec, format = data.draw(st.sampled_from([("libx264", "mp4"), ("mpeg4", "avi"), ("libx264", "mpegts")]))
    clip = encode(frames, fps=data.draw(st.sampled_from([5, 12, 24, 30, 60])), codec=codec, format=format)
    # What a codec leaves of a marker in a flicker is for the reader to say; it is never more than was put in.
    assert check(guard, clip) <= len(bad)


@settings(max_examples=EXAMPLES // 2)
@given(
    seed=st.integers(0, 999),
    steps=st.integers(4, 40),
    most=st.floats(0.1, 1.0),
    brightness=st.floats(-2.0, 2.0),
    side=st.integers(75, 120),
)
def test_slow_fades_and_brightness_ramps(
    guard: Guard, seed: int, steps: int, most: float, brightness: float, side: int
) -> None:
    """However slowly it comes and goes, and while the light changes: it is compared with what was looked at."""
    ground = scene(seed).astype(np.float32)
    frames = []
    for step in range(2 * steps):
        light = np.clip(ground + brightness * step, 0, 255).astype(np.uint8)
        alpha = most * min(step, 2 * steps - 1 - step) / (steps - 1)
        frames.append(marked(light, alpha=alpha, side=side))
    check(guard, encode(frames, bit_rate=4_000_000))


def test_variable_frame_rates(guard: Guard) -> None:
    frames = [marked(pixels) if number in (3, 9) else pixels for number, pixels in enumerate(moving(12))]
    times = [0, 3, 6, 1000, 1005, 1006, 1500, 4000, 4001, 4002, 9000, 9999]
    clip = encode(frames, times_ms=times, format="matroska")
    assert check(guard, clip) == 2
    found = ClipGate(guard).check(clip)
    assert [(one.start_ms, one.end_ms) for one in found.ranges if one.action is Action.BLOCK] == [
        (6, 1005),
        (4002, 9000),
    ] or [(one.start_ms, one.end_ms) for one in found.ranges if one.action is Action.BLOCK] == [
        (1000, 1005),
        (4002, 9000),
    ]


@settings(max_examples=EXAMPLES)
@given(data=st.data())
def test_damage_never_passes(guard: Guard, data: st.DataObject) -> None:
    """Cut or overwritten anywhere: what can still be read of a marker is in no allowed range."""
    frames = [marked(pixels) if number in (4, 5, 11) else pixels for number, pixels in enumerate(moving(16, step_px=2))]
    whole = bytearray(encode(frames, codec="mpeg4", format="matroska", options={"g": "6"}))
    if data.draw(st.booleans()):
        at = data.draw(st.integers(300, len(whole) - 2))
        size = data.draw(st.integers(1, 60))
        patch = data.draw(st.binary(min_size=size, max_size=size))
        whole[at : at + size] = patch[: len(whole) - at]
    else:
        del whole[data.draw(st.integers(300, len(whole))) :]
    clip = bytes(whole)
    found = ClipGate(guard).check(clip)
    try:
        leaks, _ = exposed(clip, found)
    except (av.error.FFmpegError, IndexError):
        return  # nobody can show it
    assert leaks == []
