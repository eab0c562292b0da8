"""Clips for tests, and a guard that is fast: only marked pictures are anything but calm."""

from __future__ import annotations

import io
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from PIL import Image as PilImage
from safelight import Finding, FindingKind, Guard, Label, Profile, State
from safelight.media import Image
from safelight.testing import TestMode, mark_picture

MARK_PX = 100  # a side of the marker in most tests
WIDTH, HEIGHT = 160, 120


class Calm:
    """Sees nothing in any picture, and counts them."""

    id = "calm"
    kinds = (FindingKind.NUDITY,)

    def __init__(self) -> None:
        self.looks = 0

    def prepare(self) -> State:
        return State.OK

    def detect(self, image: Image) -> list[Finding]:
        self.looks += 1
        return [Finding(FindingKind.NUDITY, State.OK, Label.NONE, 0.01, self.id)]

    def close(self) -> None:
        pass


@contextmanager
def calm_guard(band: str = "10_12", **options: Any) -> Iterator[Guard]:
    """A guard in test mode whose only detector is :class:`Calm`."""
    options.setdefault("detectors", [Calm()])
    options.setdefault("test_mode", TestMode(marked=True))
    with Guard(Profile(band), concurrency=1, **options) as guard:
        yield guard


def scene(seed: int, *, width: int = WIDTH, height: int = HEIGHT) -> np.ndarray:
    """A smooth benign picture: ``uint8[H, W, 3]``."""
    noise = np.random.default_rng(seed).integers(40, 216, (3, 4, 3), dtype=np.uint8)
    return np.asarray(PilImage.fromarray(noise).resize((width, height), PilImage.Resampling.BICUBIC))


def moving(count: int, *, seed: int = 0, step_px: int = 1) -> list[np.ndarray]:
    """A scene that moves a little from frame to frame."""
    wide = scene(seed, width=WIDTH + count * step_px)
    return [np.ascontiguousarray(wide[:, n * step_px : n * step_px + WIDTH]) for n in range(count)]


def still(count: int, *, seed: int = 0) -> list[np.ndarray]:
    """The same picture again and again."""
    return [scene(seed)] * count


def marked(pixels: np.ndarray, *, score: float = 0.97, alpha: float = 1.0, side: int = MARK_PX) -> np.ndarray:
    """With a marker in its middle."""
    left, top = (pixels.shape[1] - side) // 2, (pixels.shape[0] - side) // 2
    return mark_picture(pixels, score=score, alpha=alpha, region_px=(left, top, left + side, top + side))


def encode(
    frames: Sequence[np.ndarray], *, format: str = "mp4", muxer: dict[str, str] | None = None, **how: Any
) -> bytes:
    """A clip of ``uint8[H, W, 3]`` frames; with several tracks, frame n belongs to track n modulo their number."""
    if "faststart" in (muxer or {}).get("movflags", ""):
        # The muxer reads its own file again, by name.
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "clip"
            with av.open(str(path), "w", format=format, options=muxer) as container:
                _write(container, frames, **how)
            return path.read_bytes()
    out = io.BytesIO()
    with av.open(out, "w", format=format, options=muxer or {}) as container:
        _write(container, frames, **how)
    return out.getvalue()


def _write(
    container: Any,
    frames: Sequence[np.ndarray],
    *,
    fps: int = 25,
    codec: str = "libx264",
    times_ms: Sequence[int] | None = None,
    bit_rate: int = 2_000_000,
    pix_fmt: str = "yuv420p",
    rotation: int | None = None,
    tracks: int = 1,
    options: dict[str, str] | None = None,
) -> None:
    streams = []
    for _ in range(tracks):
        stream = container.add_stream(codec, rate=fps, options=options or {})
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt, stream.bit_rate = pix_fmt, bit_rate
        if rotation is not None:
            stream.set_display_rotation(rotation)
        if times_ms is not None:
            stream.codec_context.time_base = Fraction(1, 1000)
        streams.append(stream)
    for number, pixels in enumerate(frames):
        frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
        if times_ms is not None:
            frame.pts, frame.time_base = times_ms[number], Fraction(1, 1000)
        for packet in streams[number % tracks].encode(frame):
            container.mux(packet)
    for stream in streams:
        for packet in stream.encode():
            container.mux(packet)


def animate(frames: Sequence[np.ndarray], format: str, *, duration_ms: int | Sequence[int] = 50) -> bytes:
    """A GIF, PNG (APNG) or WEBP."""
    out = io.BytesIO()
    first, *rest = [PilImage.fromarray(pixels) for pixels in frames]
    how: dict[str, Any] = {"duration": duration_ms, "loop": 0}
    if format == "WEBP":
        how |= {"lossless": True, "allow_mixed": False, "kmin": 0}
    first.save(out, format, save_all=True, append_images=rest, **how)
    return out.getvalue()


class Once:
    """A file that cannot seek."""

    def __init__(self, data: bytes, *, at_most: int = 1 << 30) -> None:
        self._file = io.BytesIO(data)
        self._at_most = at_most

    def read(self, size: int = -1) -> bytes:
        return self._file.read(min(size, self._at_most) if size >= 0 else size)
