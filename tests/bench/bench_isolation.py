"""What does a process of its own cost a detector? Time per picture, time to start, memory.

    python tests/bench/bench_isolation.py [--pictures 400]

Rounds of the two ways take turns, so that a busy machine slows both. *null* looks at nothing: the difference is
the price of isolation itself. The others are the built-in detector:
the ratio is what a user pays.
"""

from __future__ import annotations

import argparse
import os
import re
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from safelight.decision import Finding, FindingKind, Label, State
from safelight.detect import PictureDetector, VisionDetector
from safelight.detect.isolated import DetectorSpec, IsolatedDetector, vision_spec
from safelight.media import Image

SIZES = {"256x256": (256, 256), "1920x1080": (1080, 1920)}
ROUNDS = 10


class Null:
    """Answers without looking."""

    id = "null"
    kinds = (FindingKind.NUDITY,)

    def prepare(self) -> State:
        return State.OK

    def detect(self, image: Image) -> list[Finding]:
        return [Finding(FindingKind.NUDITY, State.OK, Label.NONE, 0.0, self.id)]

    def close(self) -> None:
        pass


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--pictures", type=int, default=400)
    pictures = parser.parse_args().pictures
    cases: list[tuple[Callable[[], PictureDetector], DetectorSpec]] = [
        (Null, DetectorSpec("bench_isolation:Null", "null", Null.kinds)),
        (lambda: VisionDetector("live"), vision_spec("live")),
        (lambda: VisionDetector("full"), vision_spec("full")),
    ]
    print(
        f"{os.uname().machine}, {os.cpu_count()} processors, Python {sys.version.split()[0]}, {pictures} pictures each"
    )
    print(f"{'detector':<14}{'picture':<11}{'here µs':>9}{'isolated µs':>13}{'p99':>7}{'more µs':>9}{'ratio':>7}")
    for make, spec in cases:
        here, isolated = make(), IsolatedDetector(spec)
        before = time.perf_counter()
        state = isolated.prepare()
        start_ms = (time.perf_counter() - before) * 1000
        if here.prepare() is not state or state is not State.OK:
            print(f"{spec.id:<14}not measured: {state}")
            continue
        for name, (height, width) in SIZES.items():
            image = _image(height, width)
            assert tuple(here.detect(image)) == isolated.detect(image)
            a, b = _measure((here, isolated), image, pictures)
            median, isolated_median = statistics.median(a), statistics.median(b)
            print(
                f"{spec.id:<14}{name:<11}{median:>9.0f}{isolated_median:>13.0f}{sorted(b)[len(b) * 99 // 100]:>7.0f}"
                f"{isolated_median - median:>9.0f}{isolated_median / median:>7.2f}"
            )
        (pid,) = isolated.status().pids
        print(
            f"{spec.id:<14}start {start_ms:.0f} ms, child {_mib(pid, 'VmHWM')} MiB RSS, {_mib(pid, 'VmData')} MiB data"
        )
        isolated.close()
        here.close()
    print(f"this process, with the same detectors: {_mib(os.getpid(), 'VmHWM')} MiB RSS")


def _image(height: int, width: int) -> Image:
    pixels = np.random.default_rng(1).integers(0, 256, (height, width, 3), np.uint8)
    return Image(pixels, width, height, (0.0, 0.0, float(width), float(height)))


def _measure(detectors: tuple[PictureDetector, PictureDetector], image: Image, pictures: int) -> list[list[float]]:
    times: list[list[float]] = [[], []]
    for _ in range(ROUNDS):
        for detector, taken_us in zip(detectors, times, strict=True):
            for _ in range(max(1, pictures // ROUNDS)):
                before = time.perf_counter()
                detector.detect(image)
                taken_us.append((time.perf_counter() - before) * 1e6)
    return times


def _mib(pid: int, what: str) -> int:
    found = re.search(rf"{what}:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())
    return int(found[1]) >> 10 if found else 0


if __name__ == "__main__":
    main()
