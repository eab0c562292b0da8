"""Files a second of a scan: a plain loop, threads, child processes, and Dask on two workers, all with the same guard.

    python tests/bench/bench_scan.py FOLDER [--files 200] [--tier full] [--json]

FOLDER holds pictures of your own. The plain loop is what a user would write instead. Dask's workers are given time to
load their models first, as they have it in a long scan.
"""

from __future__ import annotations

import argparse
import itertools
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from safelight import Action, Event, Guard, Profile
from safelight.scan import Journal, Walk
from safelight.scan.dask_engine import DaskEngine, worker_settings
from safelight.scan.engine import LocalEngine
from safelight.scan.walk import Found

PROFILE = Profile("13_15")


def files_per_s(run: Callable[[list[Found]], int], files: list[Found]) -> float:
    """After one round for warming up."""
    run(files[:16])
    started = time.perf_counter()
    count = run(files)
    assert count == len(files)
    return count / (time.perf_counter() - started)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--files", type=int, default=200)
    parser.add_argument("--tier", default="full", choices=("live", "full"))
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    files = list(itertools.islice(Walk(options.folder), options.files))
    root = str(options.folder)
    found: dict[str, float] = {}
    with Guard(PROFILE, tier=options.tier, concurrency=1) as guard:
        found["plain loop, one thread"] = files_per_s(
            lambda some: sum(1 for one in some if guard.check_image(options.folder / one.name, event="view")), files
        )
    for name, isolation in (("two threads", "none"), ("two child processes", "process")):
        with Guard(PROFILE, tier=options.tier, concurrency=2, isolation=isolation) as guard:
            engine = LocalEngine(guard, root, Event.VIEW)
            found[name] = files_per_s(lambda some, engine=engine: sum(1 for _ in engine.run(some)), files)  # type: ignore[misc]
            engine.close()
    import distributed

    with Guard(PROFILE, tier=options.tier) as guard:
        settings = worker_settings(guard, root, Event.VIEW, tier=options.tier)
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, host="127.0.0.1", dashboard_address=None, silence_logs=50
    ) as cluster:
        dask = DaskEngine(cluster.scheduler_address, settings)
        found["Dask, two workers of one thread"] = files_per_s(lambda some: sum(1 for _ in dask.run(some)), files)
        dask.close()
    with tempfile.TemporaryDirectory() as folder:
        journal = Journal(Path(folder) / "journal", stamp="bench")
        started = time.perf_counter()
        for one in files:
            journal.known(one)
            journal.add(one, Action.ALLOW, ())
        journal_us = (time.perf_counter() - started) / len(files) * 1e6
        journal.close()
    plain = found["plain loop, one thread"]
    if options.json:
        print(json.dumps({"files": len(files), "files_per_s": found, "journal_us_a_file": journal_us}))
        return
    for name, rate in found.items():
        print(f"{name:<34} {rate:7.1f} files/s  {rate / plain:5.2f}×")
    print(f"journal: {journal_us:.0f} µs a file")


if __name__ == "__main__":
    main()
