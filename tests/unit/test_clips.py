"""Clips: one hash a second, both percentages, bounds, and states instead of errors."""

from __future__ import annotations

import io
import sys
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as PilImage
from safelight import MediaNotFoundError, State, UnsupportedInputError, UsageError
from safelight.hashing import PdqHash, pdq
from safelight.lists import (
    ClipHash,
    FrameHash,
    KnownList,
    ListInfo,
    compare_clips,
    hash_clip,
    make_list,
)
from safelight.lists._sealed import SecretMemory
from safelight.lists.known import build_image
from safelight.media import NotJudged
from safelight.media.clip import ClipLimits, ClipPicture, is_clip, load_clip
from simulator import hashes

av = pytest.importorskip("av")


def _scene(seed: int, width: int = 192, height: int = 144) -> np.ndarray:
    noise = np.random.default_rng(seed).integers(0, 256, (9, 12, 3), dtype=np.uint8)
    return np.asarray(PilImage.fromarray(noise).resize((width, height), PilImage.Resampling.BICUBIC))


def _clip(scenes: list[int], *, fps: int = 10, seconds_each: int = 1, format: str = "mp4", size: int = 192) -> bytes:
    """A clip that shows each scene for some seconds."""
    out = io.BytesIO()
    with av.open(out, "w", format=format) as container:
        stream = container.add_stream("mpeg4", rate=fps)
        stream.width, stream.height, stream.pix_fmt = size, size * 3 // 4, "yuv420p"
        stream.bit_rate = 4_000_000
        stream.time_base = Fraction(1, fps)
        for seed in scenes:
            pixels = _scene(seed, size, size * 3 // 4)
            for _ in range(fps * seconds_each):
                for packet in stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")):
                    container.mux(packet)
        for packet in stream.encode():
            container.mux(packet)
    return out.getvalue()


CLIP = _clip([1, 2, 3, 4])


def test_one_hash_a_second() -> None:
    found = hash_clip(CLIP)
    assert found.state is State.OK
    assert [frame.timestamp_ms for frame in found.frames] == [0, 1000, 2000, 3000]
    for frame, seed in zip(found.frames, (1, 2, 3, 4), strict=True):
        assert frame.hash.distance(pdq(_scene(seed))) <= 10
    assert pdq(_scene(1)).hex() not in repr(found)


def test_intervals() -> None:
    assert len(hash_clip(CLIP, interval_ms=1).frames) == 40
    assert [f.timestamp_ms for f in hash_clip(CLIP, interval_ms=500).frames] == list(range(0, 4000, 500))
    assert [f.timestamp_ms for f in hash_clip(CLIP, interval_ms=2500).frames] == [0, 2500]
    # An interval that the frames do not divide: no drift.
    assert [f.timestamp_ms for f in hash_clip(CLIP, interval_ms=330).frames][:4] == [0, 400, 700, 1000]


@pytest.mark.parametrize("format", ["mp4", "matroska", "avi", "mov", "mpegts"])
def test_containers_and_sources(format: str, tmp_path: Path) -> None:
    data = _clip([1, 2], format=format)
    assert is_clip(data[:4096])
    path = tmp_path / "clip.bin"
    path.write_bytes(data)
    for source in (data, path, str(path), io.BytesIO(data)):
        found = hash_clip(source)
        assert found.state is State.OK
        assert len(found.hashes) == 2


def test_both_percentages_are_named() -> None:
    """Half of the listed clip, cut out and re-encoded, beside a scene of its own."""
    listed, query = hash_clip(CLIP), hash_clip(_clip([3, 4, 9], fps=15, size=256))
    found = compare_clips(query, listed)
    assert round(found.query_matched_percent) == 67
    assert round(found.list_matched_percent) == 50
    turned = compare_clips(listed, query)
    assert turned.query_matched_percent == found.list_matched_percent
    assert turned.list_matched_percent == found.query_matched_percent


def test_repetitions_and_order_do_not_count() -> None:
    one, two = hash_clip(_clip([1, 2, 1, 1, 2])), hash_clip(_clip([2, 1]))
    found = compare_clips(one, two)
    assert (found.query_matched_percent, found.list_matched_percent) == (100.0, 100.0)


def test_comparison_equals_the_slow_way() -> None:
    rows = hashes(40, 3)
    rows[5:20] = rows[:15] ^ np.uint8(1)

    def clip(several: np.ndarray) -> ClipHash:
        frames = tuple(FrameHash(i, PdqHash.from_bits(bytes(row), quality=90)) for i, row in enumerate(several))
        return ClipHash(State.OK, frames, 1000)

    query, listed = clip(rows[:25]), clip(rows[10:])
    for limit in (0, 31, 40, 256):
        near = [[a.distance(b) <= limit for b in listed.hashes] for a in query.hashes]
        found = compare_clips(query, listed, max_distance=limit)
        assert found.query_matched_percent == pytest.approx(100 * np.mean([any(row) for row in near]))
        assert found.list_matched_percent == pytest.approx(100 * np.mean([any(c) for c in zip(*near, strict=True)]))


def test_frames_without_features_match_nothing() -> None:
    plain = ClipHash(
        State.LOW_QUALITY, (FrameHash(0, PdqHash.from_bits(bytes(range(32)), quality=49)),), interval_ms=1000
    )
    assert plain.hashes == ()
    found = compare_clips(plain, plain)
    assert (found.query_matched_percent, found.list_matched_percent) == (0.0, 0.0)


def test_a_list_finds_a_clip() -> None:
    listed = hash_clip(CLIP)
    bits = np.frombuffer(b"".join(one.bits for one in listed.hashes), np.uint8).reshape(-1, 32)
    made = make_list(
        ListInfo("clips", 1, categories={1: "A1"}),
        entries={
            "clip_frame": (
                np.concatenate([bits, hashes(10, 4), bits[:1]]),
                np.array([7] * 4 + [8] * 10 + [9], np.uint64),
                np.ones(15, np.uint16),
            )
        },
    )
    image = build_image(made)
    memory = SecretMemory(len(image))
    memory.write(0, image)
    with KnownList(memory) as known:
        assert known.has_clips
        assert not known.has_pdq
        found = known.match_clip(hash_clip(_clip([1, 2, 9], size=256)).hashes)
        assert [(one.entry_id, round(one.list_matched_percent)) for one in found] == [(9, 100), (7, 50)]
        assert round(found[1].query_matched_percent) == 67
        assert found[1].category == "A1"
        assert known.match_clip(()) == ()


def test_without_the_extra_it_is_a_state(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "av", None)
    found = hash_clip(CLIP)
    assert (found.state, found.frames) == (State.NO_DECODER, ())


@pytest.mark.parametrize("part", [0.001, 0.1, 0.6, 0.9])
@pytest.mark.parametrize("format", ["mp4", "avi"])
def test_truncated_clips_never_pass_as_whole(format: str, part: float) -> None:
    data = _clip([1, 2, 3, 4, 5, 6, 7, 8, 9, 10] * 3, format=format, fps=5)
    found = hash_clip(data[: int(len(data) * part)])
    assert found.state is not State.OK


@pytest.mark.parametrize("content", [b"", b"text", b"#EXTM3U\nfile:///etc/passwd\n", b"ffconcat version 1.0\nfile x\n"])
def test_what_is_no_clip(content: bytes) -> None:
    assert hash_clip(content).state is State.NOT_MEDIA
    assert not is_clip(content)


@pytest.mark.parametrize(
    ("limits", "detail"),
    [
        (ClipLimits(max_bytes=100), "bytes"),
        (ClipLimits(max_frame_pixels=100), "pixels"),
        (ClipLimits(max_frames=7), "frames"),
        (ClipLimits(max_pictures=2), "frames"),
    ],
)
def test_bounds(limits: ClipLimits, detail: str) -> None:
    items = list(load_clip(CLIP, limits=limits))
    assert isinstance(items[-1], NotJudged)
    assert (items[-1].state, items[-1].detail_id) == (State.TOO_LARGE, detail)
    assert all(isinstance(item, ClipPicture) for item in items[:-1])
    assert hash_clip(CLIP, limits=limits).state is State.TOO_LARGE


def test_damaged_clips_are_states(tmp_path: Path) -> None:
    random = np.random.default_rng(5)
    for _ in range(25):
        data = bytearray(CLIP)
        for place in random.integers(8, len(data), 20):
            data[place] ^= 1 << int(random.integers(8))
        items = list(load_clip(bytes(data)))
        assert items
        assert not any(isinstance(item, NotJudged) for item in items[:-1])


def test_wrong_ways(tmp_path: Path) -> None:
    with pytest.raises(MediaNotFoundError) as caught:
        list(load_clip(tmp_path / "zq7sentinel.mp4"))
    assert "sentinel" not in f"{caught.value!r} {caught.value.__context__!r}"
    with pytest.raises(UnsupportedInputError):
        load_clip(7)  # type: ignore[arg-type]
    for interval in (0, -1, 1.5, True):
        with pytest.raises(UsageError):
            load_clip(CLIP, interval_ms=interval)  # type: ignore[arg-type]
    with pytest.raises(UsageError):
        ClipLimits(max_frames=0)
    with pytest.raises(UsageError):
        compare_clips(hash_clip(CLIP), hash_clip(CLIP), max_distance=300)
