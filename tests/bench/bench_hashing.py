"""PDQ beside the libraries that people would pick instead, in one process, interleaved; and how often they agree.

    python -m pip install pdqhash==0.2.8 imagehash perception
    taskset -c 0 python tests/bench/bench_hashing.py [--rounds 15] [--json]
    python tests/bench/bench_hashing.py --conformance FOLDER
    taskset -c 0 python tests/bench/bench_hashing.py --jpeg [FOLDER]

With --conformance every picture of a folder is hashed as it is and at five other sizes (tiny, odd, grey, extreme
aspect, large) by us and by pdqhash, from the same bytes; the exit status is 1 when the agreement is not as promised.
With --jpeg the portrait as a 12-megapixel file is hashed end to end, in full, luma only, and decoded at 1/2, 1/4 and
1/8; for a folder of pictures also how far those hashes are from the full one's.
Peers that are not installed are left out and said so; pdqhash has no Linux wheel and needs a compiler.
"""

from __future__ import annotations

import argparse
import collections
import importlib
import io
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
from PIL import Image
from safelight import _hash
from safelight.hashing import MATCH_DISTANCE, PdqHash, pdq, pdq_dihedral

SIZES = {"64x64": (64, 64), "512x512": (512, 512), "1920x1080": (1920, 1080), "4000x3000": (4000, 3000)}
PORTRAIT = Path(__file__).resolve().parents[2] / "examples/pictures/portrait.jpg"

# What is promised of pictures of quality >= 50: this share identical, none further than this apart.
IDENTICAL_SHARE = 0.99
MAX_BITS = 2
USABLE_QUALITY = 50


def peer(name: str) -> Any:
    """The module, or None and a word why."""
    try:
        return importlib.import_module(name)
    except ImportError as error:
        print(f"{name}: not measured ({type(error).__name__})", file=sys.stderr)
        return None


def contenders() -> dict[str, Callable[[Any], Any]]:
    """Name → function of uint8[H, W, 3]."""
    found: dict[str, Callable[[Any], Any]] = {"safelight": pdq, "safelight dihedral": pdq_dihedral}
    found["read once"] = lambda image: image.reshape(-1).view(np.uint64).max()  # how fast memory is, roughly
    if pdqhash := peer("pdqhash"):
        found["pdqhash"] = pdqhash.compute
    if imagehash := peer("imagehash"):
        found["imagehash.phash"] = lambda image: imagehash.phash(Image.fromarray(image))
    if hashers := peer("perception.hashers"):
        perception = hashers.PHash()
        found["perception PHash"] = perception.compute
    return found


def measure(rounds: int) -> list[dict[str, Any]]:
    """Medians of the contenders, one after the other in every round, and of every kernel of ours."""
    rows: list[dict[str, Any]] = []
    runners = contenders()
    for size, (width, height) in SIZES.items():
        with Image.open(PORTRAIT) as opened:
            image = np.ascontiguousarray(opened.convert("RGB").resize((width, height)))
        for name in _hash.kernels()["available"]:
            _hash.set_kernel(name)
            repeats = times(pdq, image, rounds)
            rows.append({"picture": size, "what": f"safelight, {name}", "median_ms": statistics.median(repeats)})
        _hash.set_kernel("auto")
        taken: dict[str, list[float]] = {name: [] for name in runners}
        for _ in range(rounds):
            for name, run in runners.items():
                taken[name] += times(run, image, 1)
        ours = statistics.median(taken["safelight"])
        for name, values in taken.items():
            median = statistics.median(values)
            rows.append(
                {
                    "picture": size,
                    "what": name,
                    "median_ms": median,
                    "min_ms": min(values),
                    "times_safelight": median / ours,
                }
            )
    return rows


def times(run: Callable[[Any], Any], image: Any, rounds: int) -> list[float]:
    """Milliseconds of CPU of this process, after one run that is not counted; tiny ones are averaged over many."""
    started = time.process_time()
    run(image)
    repeats = max(1, min(200, int(0.005 / max(time.process_time() - started, 1e-6))))
    taken = []
    for _ in range(rounds):
        started = time.process_time()
        for _ in range(repeats):
            run(image)
        taken.append((time.process_time() - started) * 1000 / repeats)
    return taken


def of_jpeg(packed: bytes, reduction: int | None) -> PdqHash:
    """A JPEG's hash: RGB in full, or luma decoded at 1 / `reduction`."""
    with Image.open(io.BytesIO(packed)) as opened:
        if reduction is None:
            return pdq(np.asarray(opened.convert("RGB")))
        width, height = opened.size
        opened.draft("L", (width // reduction, height // reduction))
        luma = np.asarray(opened if opened.mode == "L" else opened.convert("L"))
        return pdq(luma, reduced_from=(width, height))


REDUCTIONS = {"RGB": None, "luma": 1, "luma 1/2": 2, "luma 1/4": 4, "luma 1/8": 8}


def measure_jpeg(rounds: int) -> list[dict[str, Any]]:
    """From a file's bytes to the hash."""
    file = io.BytesIO()
    with Image.open(PORTRAIT) as opened:
        opened.convert("RGB").resize(SIZES["4000x3000"]).save(file, "JPEG", quality=85)
    packed = file.getvalue()
    runners: dict[str, Callable[[Any], Any]] = {
        f"safelight, {name}": lambda data, reduction=reduction: of_jpeg(data, reduction)
        for name, reduction in REDUCTIONS.items()
    }
    if pdqhash := peer("pdqhash"):
        runners["Pillow + pdqhash"] = lambda data: pdqhash.compute(
            np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))
        )
    taken: dict[str, list[float]] = {name: [] for name in runners}
    for _ in range(rounds):
        for name, run in runners.items():
            taken[name] += times(run, packed, 1)
    fastest = statistics.median(taken["safelight, luma 1/4"])
    return [
        {
            "picture": "12 MP JPEG",
            "what": name,
            "median_ms": statistics.median(values),
            "min_ms": min(values),
            "times_safelight": statistics.median(values) / fastest,
        }
        for name, values in taken.items()
    ]


def reduced_distances(folder: Path) -> None:
    """Print how far the hashes of reduced decoding are from the full one's, by reduction."""
    bits: dict[str, list[int]] = collections.defaultdict(list)
    for path in sorted(folder.iterdir()):
        packed = path.read_bytes()
        try:
            with Image.open(io.BytesIO(packed)) as opened:
                if opened.format != "JPEG":
                    continue
            full = of_jpeg(packed, None)
            if not full.usable:
                continue
            for name, reduction in REDUCTIONS.items():
                if reduction is not None:
                    bits[name].append(full.distance(of_jpeg(packed, reduction)))
        except OSError:
            continue
    for name, distances in bits.items():
        share = sum(distance <= MATCH_DISTANCE for distance in distances) / len(distances)
        print(
            f"{name:10} {len(distances)} pictures, {statistics.mean(distances):.2f} bits from the full hash on average,"
            f" at most {max(distances)}, {share:.1%} within {MATCH_DISTANCE}"
        )


def variants(image: Image.Image, rng: np.random.Generator) -> Iterator[Image.Image]:
    """The picture and five other sizes of it."""
    yield image
    yield image.resize((64, 64))
    yield image.resize((int(rng.integers(5, 200)), int(rng.integers(5, 200))))
    yield image.convert("L").convert("RGB")
    yield image.resize((int(rng.integers(600, 1500)), int(rng.integers(5, 60))))
    yield image.resize((int(rng.integers(700, 2600)), int(rng.integers(700, 2600))))


def conformance(folder: Path) -> bool:
    """Count how many bits we are from pdqhash; print one line of numbers a group."""
    pdqhash = importlib.import_module("pdqhash")
    rng = np.random.default_rng(1)
    bits: dict[str, collections.Counter[int]] = collections.defaultdict(collections.Counter)
    quality: collections.Counter[int] = collections.Counter()
    for path in sorted(folder.iterdir()):
        try:
            with Image.open(path) as opened:
                original = opened.convert("RGB")
        except OSError:
            continue
        for variant in variants(original, rng):
            image = np.asarray(variant)
            vectors, peer_quality = pdqhash.compute_dihedral(image)
            ours = pdq_dihedral(image)
            quality[abs(peer_quality - (ours[0].quality or 0))] += 1
            # So few pixels make some frequencies exactly zero or equal: there rounding decides (ADR 9).
            tied = bool({8, 16} & set(image.shape[:2])) or max(image.shape[:2]) < 17
            group = "quality below 50" if peer_quality < USABLE_QUALITY else "tied sides" if tied else "usable"
            for turn, (vector, one) in enumerate(zip(vectors, ours, strict=True)):
                theirs = PdqHash.from_bits(np.packbits(vector).tobytes())
                bits[group + (", turned" if turn else "")][one.distance(theirs)] += 1
    for group, counted in sorted(bits.items()):
        share = counted[0] / counted.total()
        print(f"{group:24} {counted.total():6} hashes, {share:.2%} identical, at most {max(counted)} bits apart")
    print(f"quality apart: {dict(quality)}")
    usable = bits["usable"]
    return usable[0] >= IDENTICAL_SHARE * usable.total() and max(usable) <= MAX_BITS and max(quality) <= 1


def main() -> None:
    """Measure or compare, and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--conformance", type=Path, metavar="FOLDER")
    parser.add_argument("--jpeg", nargs="?", type=Path, const=Path(), metavar="FOLDER")
    arguments = parser.parse_args()
    if arguments.conformance:
        sys.exit(0 if conformance(arguments.conformance) else 1)
    if arguments.jpeg and arguments.jpeg != Path():
        reduced_distances(arguments.jpeg)
    rows = measure_jpeg(arguments.rounds) if arguments.jpeg else measure(arguments.rounds)
    if arguments.json:
        for row in rows:
            print(json.dumps(row))
        return
    print(f"{os.cpu_count()} processors, Python {platform.python_version()}, {arguments.rounds} rounds, CPU time")
    for row in rows:
        compared = f"{row['times_safelight']:9.1f}x safelight" if "times_safelight" in row else ""
        print(f"{row['picture']:10} {row['what']:20} {row['median_ms']:10.4f} ms {compared}")


if __name__ == "__main__":
    main()
