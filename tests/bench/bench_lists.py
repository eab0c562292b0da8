"""Installing, opening and asking lists, what a list costs a decision, and vPDQ of a clip.

    taskset -c 0 python tests/bench/bench_lists.py [--quick]

CPU time of one process, medians; the lists are random hashes, the pictures synthetic. For clips the peer is PyAV
decoding alone: what no way of hashing can be faster than.
"""

from __future__ import annotations

import argparse
import io
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image as PilImage
from safelight import Guard, Profile
from safelight.hashing import PdqHash
from safelight.keys import FileKeyProvider
from safelight.lists import ListInfo, ListStore, RepositoryKeys, create_repository, hash_clip, make_list, publish
from safelight.lists.format import HashList
from safelight.signing import OperatorSecret


def _median_ms(work: Callable[[], Any], rounds: int) -> float:
    times = []
    for _ in range(rounds):
        started = time.process_time()
        work()
        times.append(1000 * (time.process_time() - started))
    return statistics.median(times)


def _list(rows: np.ndarray, version: int) -> HashList:
    ids = np.arange(len(rows), dtype=np.uint64)
    return make_list(ListInfo("bench", version), entries={"pdq": (rows, ids, np.zeros(len(rows), np.uint16))})


def _lists(count: int, rounds: int) -> None:
    random = np.random.default_rng(1)
    rows = random.integers(0, 256, (count, 32), dtype=np.uint8)
    changed = rows.copy()
    changed[: count // 100] = random.integers(0, 256, (count // 100, 32), dtype=np.uint8)
    secret = OperatorSecret.new()
    keys = RepositoryKeys([secret])
    files = create_repository(keys)
    files |= publish(files, [_list(rows, 1)], keys=keys)
    with tempfile.TemporaryDirectory() as folder:
        store = ListStore(f"{folder}/lists", trust=[secret.public], keys=FileKeyProvider(f"{folder}/keys"))
        full_ms = _median_ms(lambda: store.update(files), 1)
        files |= publish(files, [_list(changed, 2)], keys=keys)
        sizes = {name.rpartition(".")[2]: len(data) for name, data in files.items() if "targets/" in name}
        delta_ms = _median_ms(lambda: store.update(files), 1)
        same_ms = _median_ms(lambda: store.update(files), 3)
        open_ms = _median_ms(lambda: [one.close() for one in store.open()], rounds)
        (known,) = store.open()
        with known:
            asked = [PdqHash.from_bits(row.tobytes()) for row in changed[:200]]
            query_us = 1000 * _median_ms(lambda: [known.match_pdq(one) for one in asked], rounds) / len(asked)
        disk = sum(path.stat().st_size for path in Path(folder, "lists").iterdir())
    print(
        f"{count:>9,} hashes: install {full_ms:7.0f} ms, delta of 1 % {delta_ms:7.0f} ms "
        f"({sizes['delta']:,} of {sizes['list']:,} bytes, ratio {sizes['list'] / sizes['delta']:.0f}), nothing new "
        f"{same_ms:5.0f} ms, open {open_ms:6.1f} ms, ask {query_us:6.1f} us, disk {disk / 1e6:.0f} MB"
    )


def _decision(rounds: int) -> None:
    noise = np.random.default_rng(2).integers(0, 256, (30, 40, 3), dtype=np.uint8)
    picture = PilImage.fromarray(noise).resize((4000, 3000), PilImage.Resampling.BICUBIC)
    out = io.BytesIO()
    picture.save(out, "JPEG", quality=90)
    data = out.getvalue()
    rows = np.random.default_rng(3).integers(0, 256, (100_000, 32), dtype=np.uint8)
    secret = OperatorSecret.new()
    keys = RepositoryKeys([secret])
    files = create_repository(keys)
    files |= publish(files, [_list(rows, 1)], keys=keys)
    with tempfile.TemporaryDirectory() as folder:
        store = ListStore(f"{folder}/lists", trust=[secret.public], keys=FileKeyProvider(f"{folder}/keys"))
        store.update(files)
        with (
            Guard(Profile("adult"), tier="full", concurrency=1) as without,
            Guard(Profile("adult"), tier="full", concurrency=1, lists=[store]) as beside,
        ):
            for guard in (without, beside):
                guard.check_image(data)
            plain = _median_ms(lambda: without.check_image(data), rounds)
            listed = _median_ms(lambda: beside.check_image(data), rounds)
    print(f"12 MP JPEG, full tier: {plain:.1f} ms without a list, {listed:.1f} ms with one of 100,000")


def _clip(rounds: int) -> None:
    try:
        import av
    except ImportError:
        print("clips: PyAV is not installed")
        return
    out = io.BytesIO()
    with av.open(out, "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=30)
        stream.width, stream.height, stream.pix_fmt = 1920, 1080, "yuv420p"
        stream.time_base = Fraction(1, 30)
        base = np.asarray(
            PilImage.fromarray(np.random.default_rng(4).integers(0, 256, (20, 50, 3), dtype=np.uint8)).resize(
                (2600, 1080), PilImage.Resampling.BICUBIC
            )
        )
        for number in range(300):
            pixels = np.ascontiguousarray(base[:, 2 * number : 2 * number + 1920])
            for packet in stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")):
                container.mux(packet)
        for packet in stream.encode():
            container.mux(packet)
    data = out.getvalue()

    def decode() -> None:
        with av.open(io.BytesIO(data), format="mov") as clip:
            clip.streams.video[0].thread_type = "AUTO"
            for _ in clip.decode(clip.streams.video[0]):
                pass

    alone = _median_ms(decode, rounds)
    second = _median_ms(lambda: hash_clip(data), rounds)
    every = _median_ms(lambda: hash_clip(data, interval_ms=1), rounds)
    assert len(hash_clip(data, interval_ms=1).frames) == 300
    print(
        f"clip, 10 s of 1080p30: decoding alone {alone:.0f} ms; vPDQ 1 hash/s {second:.0f} ms "
        f"({second / alone:.2f} x), every frame {every:.0f} ms ({every / alone:.2f} x)"
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="small lists, few rounds: does it run?")
    quick = parser.parse_args().quick
    rounds = 2 if quick else 7
    for count in (10_000,) if quick else (100_000, 1_000_000):
        _lists(count, rounds)
    _decision(rounds)
    _clip(rounds)
    return 0


if __name__ == "__main__":
    sys.exit(main())
