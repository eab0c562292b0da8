"""Time one model in both runtimes: one thread, fresh processes, the runtimes taking turns.

    python -m common.latency --model ../open_nsfw_v1 --work WORK

On a shared machine one long run measures the neighbours. Several short launches in turn meet the
same neighbours for either runtime, and their spread says how far to trust the median.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Final

import numpy as np

from common import files
from common.runtimes import RUNTIMES, Model, cpu_name, versions

LATENCY_FILE: Final = "latency.json"
_LAUNCHES: Final = 9
_WARM_UP_RUNS: Final = 10
_TIMED_RUNS: Final = 100


def median_ms(path: Path, *, runtime: str) -> float:
    """Return the median time of one run in this process, without decoding or resizing."""
    model = Model(path, runtime=runtime)
    pixels = np.full(model.input["shape"], 127, dtype=np.uint8)
    if model.input["dtype"] != "uint8":
        pixels = pixels / np.dtype(model.input["dtype"]).type(255)
    for _ in range(_WARM_UP_RUNS):
        model.run_all(pixels)
    times = []
    for _ in range(_TIMED_RUNS):
        start = time.perf_counter()
        model.run_all(pixels)
        times.append((time.perf_counter() - start) * 1e3)
    return statistics.median(times)


def _launch(model_dir: Path, runtime: str) -> float:
    """Measure in a process of its own."""
    command = [sys.executable, "-m", "common.latency", "--model", str(model_dir), "--one", runtime]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return float(done.stdout)


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--model", type=Path, required=True, help="model folder")
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--work", type=Path, help="folder to write latency.json to")
    what.add_argument("--one", choices=RUNTIMES, help="one launch: print its median and stop")
    options = parser.parse_args()
    if options.one is not None:
        config = files.read_json(options.model / "config.json")
        print(median_ms(options.model / config["file"], runtime=options.one))
        return
    medians: dict[str, list[float]] = {name: [] for name in RUNTIMES}
    for launch in range(1, _LAUNCHES + 1):
        for name in RUNTIMES:
            medians[name].append(_launch(options.model, name))
        last = ", ".join(f"{name} {times[-1]:.2f} ms" for name, times in medians.items())
        print(f"launch {launch} of {_LAUNCHES}: {last}", flush=True)
    files.write_json(
        options.work / LATENCY_FILE,
        {
            "cpu": cpu_name(),
            "versions": versions(*RUNTIMES, "numpy"),
            "runs_per_launch": _TIMED_RUNS,
            "launch_medians_ms": medians,
        },
    )


if __name__ == "__main__":
    main()
