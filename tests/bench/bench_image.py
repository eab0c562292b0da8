"""How long does a picture take to become a model's input, beside Pillow and OpenCV? Not a test: nothing is asserted.

    python tests/bench/bench_image.py [--rounds 31] [--kernel auto] [--json]

One process, one thread, noise pictures held in memory. In each round every way runs once, so that a slow moment
of a shared machine meets all of them alike; the table shows medians and each way's time in multiples of ours.
Every row ends in a uint8[224, 224, 3] array. OpenCV is left out, with a note, where it is not installed.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image as PilImage
from safelight import _image

try:
    import cv2
except ImportError:
    cv2 = None

Ways = dict[str, Callable[[], Any]]
Bytes = npt.NDArray[np.uint8]

WIDE = (256, 256)
CROP = (224, 224)
WINDOW = (16, 16, 224, 224)
CENTRE = (slice(16, 240), slice(16, 240))
BOX = (16, 16, 240, 240)
BILINEAR = PilImage.Resampling.BILINEAR


def rgb_ways(width: int, height: int) -> Ways:
    """To 256 x 256, centre 224 x 224: what the nudity model takes."""
    rgb = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    picture = PilImage.fromarray(rgb)
    ways: Ways = {
        "ours": lambda: _image.prepare(rgb, resize_px=WIDE, window=WINDOW),
        "Pillow": lambda: np.asarray(PilImage.fromarray(rgb).resize(WIDE, BILINEAR).crop(BOX)),
        "Pillow, its own picture": lambda: np.asarray(picture.resize(WIDE, BILINEAR).crop(BOX)),
    }
    if cv2 is not None:
        ways["OpenCV area"] = lambda: cv2.resize(rgb, WIDE, interpolation=cv2.INTER_AREA)[CENTRE].copy()
    return ways


def point_ways(width: int, height: int) -> Ways:
    """The filter that is not antialiased, where OpenCV reads four pixels for each one that comes out."""
    rgb = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    ways: Ways = {"ours": lambda: _image.prepare(rgb, resize_px=CROP, filter="bilinear_point")}
    if cv2 is not None:
        ways["OpenCV linear"] = lambda: cv2.resize(rgb, CROP, interpolation=cv2.INTER_LINEAR)
    return ways


def nv21_to_rgb_ways(width: int, height: int) -> Ways:
    """A camera frame to upright RGB of its own size: what every host frame goes through."""
    frame = np.random.default_rng(0).integers(0, 256, (height * 3 // 2, width), dtype=np.uint8)
    planes = (frame[:height], frame[height:])
    ways: Ways = {"ours": lambda: _image.to_rgb(planes, format="nv21", rotation=90)}
    if cv2 is not None:
        ways["OpenCV"] = lambda: cv2.rotate(cv2.cvtColor(frame, cv2.COLOR_YUV2RGB_NV21), cv2.ROTATE_90_CLOCKWISE)
    return ways


def nv21_ways(width: int, height: int, *, turned: bool) -> Ways:
    """A camera frame to 224 x 224, upright."""
    random = np.random.default_rng(0)
    frame = random.integers(0, 256, (height * 3 // 2, width), dtype=np.uint8)
    luma, chroma = frame[:height], frame[height:]

    def pillow() -> Bytes:
        pairs = chroma.reshape(height // 2, width // 2, 2)
        u, v = (PilImage.fromarray(np.ascontiguousarray(pairs[..., i])) for i in (1, 0))
        size, nearest = (width, height), PilImage.Resampling.NEAREST
        full = PilImage.merge("YCbCr", (PilImage.fromarray(luma), u.resize(size, nearest), v.resize(size, nearest)))
        rgb = full.convert("RGB")
        return np.asarray((rgb.transpose(PilImage.Transpose.ROTATE_270) if turned else rgb).resize(CROP, BILINEAR))

    def opencv() -> Bytes:
        rgb = cv2.cvtColor(frame, cv2.COLOR_YUV2RGB_NV21)
        if turned:
            rgb = cv2.rotate(rgb, cv2.ROTATE_90_CLOCKWISE)
        return cv2.resize(rgb, CROP, interpolation=cv2.INTER_AREA)

    rotation = 90 if turned else 0
    ways: Ways = {
        "ours": lambda: _image.prepare((luma, chroma), format="nv21", rotation=rotation, resize_px=CROP),
        "Pillow": pillow,
    }
    if cv2 is not None:
        ways["OpenCV area"] = opencv
    return ways


def chip_ways() -> Ways:
    """A face of some 500 pixels in a 1080p picture to the 64 x 64 of the age model."""
    rgb = np.random.default_rng(0).integers(0, 256, (1080, 1920, 3), dtype=np.uint8)
    matrix = np.array([[0.12, 0.04, -70.0], [-0.04, 0.12, 0.0]])
    ways: Ways = {"ours": lambda: _image.warp_similarity(rgb, matrix=matrix, chip_px=64)}
    if cv2 is not None:  # aliases: it reads four pixels for each one that comes out
        ways["OpenCV linear"] = lambda: cv2.warpAffine(rgb, matrix, (64, 64), borderMode=cv2.BORDER_REPLICATE)
    return ways


CASES: dict[str, Callable[[], Ways]] = {
    "RGB 640x480, bilinear": lambda: rgb_ways(640, 480),
    "RGB 1920x1080, bilinear": lambda: rgb_ways(1920, 1080),
    "RGB 1080x1920, bilinear": lambda: rgb_ways(1080, 1920),
    "RGB 4000x3000, bilinear": lambda: rgb_ways(4000, 3000),
    "NV21 640x480, bilinear": lambda: nv21_ways(640, 480, turned=False),
    "NV21 1920x1080, bilinear": lambda: nv21_ways(1920, 1080, turned=False),
    "NV21 1920x1080, turned 90": lambda: nv21_ways(1920, 1080, turned=True),
    "NV21 1920x1080 to RGB, turned 90": lambda: nv21_to_rgb_ways(1920, 1080),
    "RGB 1920x1080, point": lambda: point_ways(1920, 1080),
    "face chip 500 to 64": chip_ways,
}


def cpu() -> str:
    """The processor's name, as far as the system says it."""
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith(("model name", "Model")):
                return line.split(":", 1)[1].strip()
    return platform.processor() or "unknown"


def measure(rounds: int) -> dict[str, dict[str, float]]:
    """Median milliseconds of every way of every case; cases one after the other, ways interleaved."""
    medians: dict[str, dict[str, float]] = {}
    for case, make in CASES.items():
        ways = make()
        times: dict[str, list[float]] = {name: [] for name in ways}
        for way in ways.values():
            way()  # warm: memory mapped, tables built
        for _ in range(rounds):
            for name, way in ways.items():
                start = time.perf_counter()
                way()
                times[name].append((time.perf_counter() - start) * 1000)
        medians[case] = {name: statistics.median(values) for name, values in times.items()}
    return medians


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=31, help="runs of each way (default 31)")
    parser.add_argument("--kernel", default="auto", help="force one of ours: scalar, sse2, avx2, neon (default auto)")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of a table")
    options = parser.parse_args()
    _image.set_kernel(options.kernel)
    if cv2 is not None:
        cv2.setNumThreads(1)
    about = {
        "cpu": cpu(),
        "machine": platform.machine(),
        "cores": os.cpu_count(),
        "kernel": _image.kernels()["in_use"],
        "python": platform.python_version(),
        "numpy": np.__version__,
        "pillow": metadata.version("pillow"),
        "opencv": None if cv2 is None else cv2.__version__,
        "rounds": options.rounds,
    }
    medians = measure(options.rounds)
    if options.json:
        sys.stdout.write(json.dumps({"about": about, "median_ms": medians}) + "\n")
        return
    sys.stdout.write("".join(f"{name}: {value}\n" for name, value in about.items()))
    if cv2 is None:
        sys.stdout.write("OpenCV is left out: it is not installed (pip install opencv-python-headless)\n")
    for case, ways in medians.items():
        sys.stdout.write(f"\n{case}\n")
        for name, median in ways.items():
            sys.stdout.write(f"  {name:24} {median:9.3f} ms {median / ways['ours']:7.2f} x\n")


if __name__ == "__main__":
    main()
