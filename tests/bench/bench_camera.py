"""The camera gate: frames a second, processor and delay; its release rule beside numpy and OpenCV; peers beside both.

    python -m pip install -r tests/bench/requirements.txt
    taskset -c 0 python tests/bench/bench_camera.py [--seconds 10] [--rounds 31] [--json]

One process, pinned to one processor. "Driven": the host drives the gate without threads, and every frame that needs a
look gets it before the next frame comes. "At 30": a camera's pace, the gate's own threads and its default budget; the
delay is from the push to the sink, of released frames. The moving picture is the portrait, panned by 7 px a frame, so
that no frame is near another; the still one has the noise of a sensor, of 1.5 levels.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests"))

from safelight import Frame, Guard  # noqa: E402
from safelight.gates import CameraGate, ReleaseRule  # noqa: E402
from safelight.gates.camera import Budget  # noqa: E402
from safelight.gates.release import tile_difference  # noqa: E402
from store_world import World  # noqa: E402

SIZES = {"640x480": (640, 480), "1920x1080": (1920, 1080)}
# As much of a processor as there is, and no pauses: what the device can do at most.
UNLIMITED = Budget(processor_share=1.0, max_looks_per_second=1000.0)
_FRAMES = 24


def portrait(width: int, height: int) -> np.ndarray[Any, np.dtype[np.uint8]]:
    picture = Image.open(ROOT / "examples/pictures/portrait.jpg").convert("RGB")
    return np.asarray(picture.resize((width, height), Image.Resampling.BICUBIC))


def nv12(rgb: np.ndarray[Any, Any]) -> Frame:
    """As a camera gives it; BT.601, full range."""
    height, width = rgb.shape[:2]
    ycc = np.asarray(Image.fromarray(rgb).convert("YCbCr"))
    data = np.concatenate([ycc[..., 0].reshape(-1), ycc[::2, ::2, 1:].reshape(-1)])
    return Frame(data, "nv12", width=width, height=height)


def moving(width: int, height: int) -> list[Frame]:
    base = portrait(width, height)
    return [nv12(np.roll(base, 7 * index, axis=1)) for index in range(_FRAMES)]


def still(width: int, height: int) -> list[Frame]:
    base = portrait(width, height).astype(np.float32)
    random = np.random.default_rng(0)
    return [
        nv12(np.clip(np.rint(base + random.normal(0, 1.5, (*base.shape[:2], 1))), 0, 255).astype(np.uint8))
        for _ in range(_FRAMES)
    ]


def driven(guard: Guard, frames: list[Frame], seconds: float) -> dict[str, float]:
    """Without threads: one frame after the other, for a while."""
    with CameraGate(guard, threads=False, budget=UNLIMITED, temperature=None) as gate:
        assert gate.open().open
        for index in range(5):
            gate.push(frames[index % len(frames)])
            gate.poll()
        began, began_cpu, count = time.perf_counter(), time.process_time(), 0
        while time.perf_counter() - began < seconds:
            gate.push(frames[count % len(frames)])
            session = gate._session
            assert session is not None
            time.sleep(session.pace.wait_s(time.monotonic()) if session.core.wants_look() else 0.0)
            gate.poll()
            count += 1
        wall, cpu = time.perf_counter() - began, time.process_time() - began_cpu
        counts = gate.status.counts
    return {
        "frames_per_second": count / wall,
        "cpu_ms_per_frame": 1000 * cpu / count,
        "released_share": counts.released / counts.pushed,
        "looks_per_frame": counts.looked_at / counts.pushed,
    }


def at_30(guard: Guard, frames: list[Frame], seconds: float) -> dict[str, float]:
    """With threads, fed as a camera feeds."""
    with CameraGate(guard, temperature=None) as gate:
        assert gate.open().open
        for _ in range(5):
            gate.push(frames[0])
            time.sleep(0.1)
        before = gate.status.counts
        began, began_cpu, count = time.perf_counter(), time.process_time(), 0
        while time.perf_counter() - began < seconds:
            gate.push(frames[count % len(frames)])
            count += 1
            time.sleep(max(0.0, began + count / 30 - time.perf_counter()))
        wall, cpu = time.perf_counter() - began, time.process_time() - began_cpu
        status = gate.status
    delay = status.release_delay_ms or (0.0, 0.0)
    return {
        "shown_per_second": (status.counts.released - before.released) / wall,
        "processor_share": cpu / wall,
        "delay_ms_p50": delay[0],
        "delay_ms_p99": delay[1],
    }


def median_ms(work: Callable[[], object], rounds: int) -> float:
    work()
    times = []
    for _ in range(rounds):
        began = time.perf_counter()
        work()
        times.append(1000 * (time.perf_counter() - began))
    return statistics.median(times)


def numpy_rule(one: np.ndarray[Any, Any], other: np.ndarray[Any, Any]) -> tuple[float, int]:
    """The same numbers, as one would write them with numpy; sides that 8 divides."""
    apart = np.maximum(one, other) - np.minimum(one, other)
    tiles = apart.reshape(apart.shape[0] // 8, 8, apart.shape[1] // 8, 8, 3)
    return float(tiles.sum((1, 3, 4), dtype=np.uint32).max()) / 192, int(apart.max())


def opencv_rule(cv2: Any, one: np.ndarray[Any, Any], other: np.ndarray[Any, Any]) -> tuple[float, int]:
    """As one would write it with OpenCV: the area filter averages tiles (rounded to whole levels)."""
    apart = cv2.absdiff(one, other)
    tiles = cv2.resize(apart, (apart.shape[1] // 8, apart.shape[0] // 8), interpolation=cv2.INTER_AREA)
    return float(tiles.mean(axis=2).max()), int(apart.max())


def kernel(rounds: int) -> dict[str, dict[str, float]]:
    found: dict[str, dict[str, float]] = {}
    try:
        import cv2
    except ImportError:
        cv2 = None
    for name, (width, height) in SIZES.items():
        one = portrait(width, height)
        other = np.clip(one.astype(int) + np.random.default_rng(1).integers(-3, 4, one.shape), 0, 255).astype(np.uint8)
        ours = tile_difference(one, other)
        assert ours is not None
        mean, greatest = numpy_rule(one, other)
        assert abs(ours.tile_mean - mean) < 1 / 256 + 1e-9 and ours.sample == greatest
        planes = nv12(one), nv12(other)
        row = {
            "ours_rgb": median_ms(lambda a=one, b=other: tile_difference(a, b), rounds),  # type: ignore[misc]
            "ours_nv12": median_ms(lambda a=planes[0], b=planes[1]: tile_difference(a, b), rounds),  # type: ignore[misc]
            "numpy_rgb": median_ms(lambda a=one, b=other: numpy_rule(a, b), rounds),  # type: ignore[misc]
        }
        if cv2 is not None:
            row["opencv_rgb"] = median_ms(lambda a=one, b=other: opencv_rule(cv2, a, b), rounds)  # type: ignore[misc]
        found[name] = row
    return found


def peers(rounds: int) -> dict[str, dict[str, float]]:
    """A loop that detects on every frame and shows those without a find: what people write with NudeNet."""
    try:
        from nudenet import NudeDetector
    except ImportError as error:
        print(f"nudenet: not measured ({error})", file=sys.stderr)
        return {}
    detector = NudeDetector()
    found = {}
    for name, (width, height) in SIZES.items():
        picture = np.ascontiguousarray(portrait(width, height)[..., ::-1])
        detector.detect(picture)
        began, began_cpu = time.perf_counter(), time.process_time()
        for _ in range(rounds):
            detector.detect(picture)
        wall, cpu = time.perf_counter() - began, time.process_time() - began_cpu
        found[name] = {"frames_per_second": rounds / wall, "cpu_ms_per_frame": 1000 * cpu / rounds}
    return found


def noise_table() -> list[dict[str, float]]:
    """How much of a still picture is released without a look, by the noise of its sensor."""
    random, rule, rows = np.random.default_rng(0), ReleaseRule(), []
    base = portrait(640, 480).astype(np.float32)
    for sigma in (0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 4.0):

        def shot(sigma: float = sigma) -> Frame:
            return nv12(np.clip(np.rint(base + random.normal(0, sigma, (480, 640, 1))), 0, 255).astype(np.uint8))

        near = [rule.is_near(shot(), shot()) for _ in range(20)]
        rows.append({"sigma": sigma, "near_share": sum(near) / len(near)})
    return rows


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--rounds", type=int, default=31)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    result: dict[str, Any] = {"kernel_ms": kernel(given.rounds), "near_by_noise": noise_table()}
    with tempfile.TemporaryDirectory() as folder:
        world = World(Path(folder))
        store = world.set_up(age_band="16_17", country="GB")
        store.consents.give("camera")
        for isolation in ("none", "process"):
            with Guard(store=store, tier="live", concurrency=1, isolation=isolation) as guard:
                guard.prepare()
                rows: dict[str, Any] = {}
                for name, size in SIZES.items():
                    for kind, make in (("moving", moving), ("still", still)):
                        frames = make(*size)
                        rows[f"{name} {kind}"] = driven(guard, frames, given.seconds) | at_30(
                            guard, frames, given.seconds
                        )
                result[f"gate, isolation {isolation}"] = rows
    result["nudenet on every frame"] = peers(min(given.rounds, 15))
    if given.json:
        print(json.dumps(result))
        return
    for title, rows in result.items():
        print(f"\n{title}")
        for row in rows if isinstance(rows, list) else [{"": key} | value for key, value in rows.items()]:
            print("  " + "  ".join(f"{key} {v:.3f}" if isinstance(v, float) else f"{v:16}" for key, v in row.items()))


if __name__ == "__main__":
    main()
