"""Looking PDQ hashes up beside the libraries that people would pick instead, in one process, interleaved.

    python -m pip install faiss-cpu threatexchange
    taskset -c 0 python tests/bench/bench_hash_index.py [--entries 100000 1000000] [--ours-only] [--json]
    taskset -c 0 python tests/bench/bench_hash_index.py --slots --entries 1000000     every number of slots of ours
    taskset -c 0 python tests/bench/bench_hash_index.py --opening FILE --entries 10000000   write, map, look up once

Hashes are random; half of the queries are within 31 bits of an entry. Every answer is compared with brute force's:
recall is the share of entries within 31 bits that were found. Times are CPU of this process, one thread.
Peers that are not installed are left out and said so.
"""

from __future__ import annotations

import argparse
import gc
import importlib
import json
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from safelight import _hash
from safelight.hashing import MATCH_DISTANCE, HashIndex

QUERIES = 200
QUICK_S = 2.0
Rows = npt.NDArray[np.uint8]
Answers = list[set[int]]
Look = Callable[[Rows], Answers]


def peer(name: str) -> Any:
    """The module, or None and a word why."""
    try:
        return importlib.import_module(name)
    except ImportError as error:
        print(f"{name}: not measured ({type(error).__name__})", file=sys.stderr)
        return None


def make(count: int) -> tuple[Rows, Rows]:
    """Entries and queries."""
    rng = np.random.default_rng(1)
    rows = rng.integers(0, 256, (count, 32), dtype=np.uint8)
    queries = rng.integers(0, 256, (QUERIES, 32), dtype=np.uint8)
    for place in range(0, QUERIES, 2):
        queries[place] = rows[rng.integers(count)]
        for bit in rng.choice(256, int(rng.integers(0, MATCH_DISTANCE + 1)), replace=False):
            queries[place, bit // 8] ^= 1 << (bit % 8)
    return rows, queries


def build_time(build: Callable[[Rows], Look], rows: Rows) -> float:
    """Seconds."""
    started = time.process_time()
    build(rows)
    return time.process_time() - started


def resident_mb() -> float:
    """Memory of this process that is its own."""
    fields = Path("/proc/self/statm").read_text(encoding="ascii").split()
    return int(fields[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


def ours(rows: Rows, slot_count: int | None = None) -> Look:
    """Our index."""
    index = HashIndex.build(rows, slot_count=slot_count)
    return lambda queries: [{match.entry_id for match in one} for one in index.query_many(queries)]


def faiss_look(index: Any) -> Look:
    """A faiss index's range search, one query at a time as ours."""

    def look(queries: Rows) -> Answers:
        limits, _, labels = index.range_search(queries, MATCH_DISTANCE + 1)
        return [set(labels[limits[place] : limits[place + 1]].tolist()) for place in range(len(queries))]

    return look


def faiss_flat(faiss: Any, rows: Rows) -> Look:
    """Brute force."""
    index = faiss.IndexBinaryFlat(256)
    index.add(rows)
    return faiss_look(index)


def faiss_multi(faiss: Any, rows: Rows) -> Look:
    """Multi-index hashing, sixteen by sixteen, one bit off: exact at 31."""
    index = faiss.IndexBinaryMultiHash(256, 16, 16)
    index.nflip = 1
    index.add(rows)
    return faiss_look(index)


def threatexchange_look(module: Any, rows: Rows) -> Look:
    """PDQIndex as threatexchange has it."""
    index = module.PDQIndex.build([(row.tobytes().hex(), place) for place, row in enumerate(rows)])

    def look(queries: Rows) -> Answers:
        return [{match.metadata for match in index.query(query.tobytes().hex())} for query in queries]

    return look


def contenders(ours_only: bool) -> Iterator[tuple[str, Callable[[Rows], Look]]]:
    """Name and builder."""
    yield "safelight", ours
    if ours_only:
        return
    if faiss := peer("faiss"):
        faiss.omp_set_num_threads(1)
        yield "faiss BinaryFlat", lambda rows: faiss_flat(faiss, rows)
        yield "faiss MultiHash 16x16", lambda rows: faiss_multi(faiss, rows)
    if module := peer("threatexchange.signal_type.pdq.pdq_index"):
        yield "threatexchange PDQIndex", lambda rows: threatexchange_look(module, rows)


def measure(count: int, builders: list[tuple[str, Callable[[Rows], Look]]], rounds: int) -> list[dict[str, Any]]:
    """Build each, then ask them in turn."""
    rows, queries = make(count)
    truth = ours(rows, 0)(queries)  # read through, which the tests hold to comparing one by one
    built: dict[str, Look] = {}
    table: dict[str, dict[str, Any]] = {}
    for name, build in builders:
        gc.collect()
        before, started = resident_mb(), time.process_time()
        built[name] = build(rows)
        taken = time.process_time() - started
        if taken < QUICK_S:  # then what else runs on the machine shows: the median of three
            taken = statistics.median([taken, *(build_time(build, rows) for _ in range(2))])
        gc.collect()
        table[name] = {"entries": count, "what": name, "build_s": taken, "memory_mb": resident_mb() - before}
    times: dict[str, list[float]] = {name: [] for name in built}
    for _ in range(rounds):
        for name, look in built.items():
            started = time.process_time()
            answers = look(queries)
            times[name].append((time.process_time() - started) / QUERIES * 1e6)
            found = sum(len(got & want) for got, want in zip(answers, truth, strict=True))
            table[name]["recall"] = found / sum(map(len, truth))
    fastest = statistics.median(times[builders[0][0]])
    for name, values in times.items():
        median = statistics.median(values)
        table[name] |= {"median_us": median, "min_us": min(values), f"times_{builders[0][0]}": median / fastest}
    return list(table.values())


def opening(path: Path, count: int) -> dict[str, Any]:
    """How long a file of this size takes to open and to answer first and later, and what it keeps in memory."""
    rows, queries = make(count)
    HashIndex.build(rows).save(path)
    del rows
    gc.collect()
    with path.open("rb") as file:  # out of memory, as after a restart
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    before, started = resident_mb(), time.perf_counter()
    index = HashIndex.open(path)
    opened = time.perf_counter()
    grown = resident_mb() - before
    index.query(queries[0].tobytes())
    first = time.perf_counter()
    index.query(queries[0].tobytes())
    second = time.perf_counter()
    return {
        "entries": count,
        "file_mb": path.stat().st_size / 1e6,
        "open_ms": (opened - started) * 1e3,
        "open_resident_mb": grown,
        "first_query_ms": (first - opened) * 1e3,
        "second_query_ms": (second - first) * 1e3,
    }


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--entries", type=int, nargs="+", default=[100_000, 1_000_000])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--ours-only", action="store_true")
    parser.add_argument("--slots", action="store_true")
    parser.add_argument("--kernels", action="store_true", help="reading through, by every machine code")
    parser.add_argument("--opening", type=Path, metavar="FILE")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    result: list[dict[str, Any]] = []
    for count in arguments.entries:
        if arguments.opening:
            result.append(opening(arguments.opening, count))
        elif arguments.slots:
            for slots in (0, 16, 15, 14, 13, 12, 11):
                name = f"{slots} slots"
                result += measure(count, [(name, lambda rows, slots=slots: ours(rows, slots))], arguments.rounds)
        elif arguments.kernels:
            for kernel in _hash.index_kernels()["available"]:
                _hash.set_index_kernel(kernel)
                result += measure(count, [(kernel, lambda rows: ours(rows, 0))], arguments.rounds)
        else:
            result += measure(count, list(contenders(arguments.ours_only)), arguments.rounds)
    print(f"{os.cpu_count()} processors, Python {platform.python_version()}, {QUERIES} queries", file=sys.stderr)
    for row in result:
        if arguments.json:
            print(json.dumps(row))
        else:
            print(
                "  ".join(
                    f"{key} {value:.4g}" if isinstance(value, float) else f"{value}" for key, value in row.items()
                )
            )


if __name__ == "__main__":
    main()
