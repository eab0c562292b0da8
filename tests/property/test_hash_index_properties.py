"""Does the index find what comparing with every entry finds, whatever the list, the slots and the machine code?"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from reference import hash_index as twin
from safelight import _hash
from safelight.hashing import HashIndex, Match

SEEDS = st.integers(0, 2**32 - 1)
# Eleven to thirteen have tables of 50 to 500 MB, filled anew for each example: below, not here.
SLOT_COUNTS = st.sampled_from([0, 14, 15, 16])
KINDS = ("random", "clustered", "one bucket", "duplicates", "one for all")

Rows = npt.NDArray[np.uint8]


@pytest.fixture(autouse=True)
def _fastest_again() -> Iterator[None]:
    yield
    _hash.set_index_kernel("auto")


def _flip(rng: np.random.Generator, bits: bytes, count: int) -> bytes:
    number = int.from_bytes(bits, "big")
    for bit in rng.choice(256, count, replace=False):
        number ^= 1 << int(bit)
    return number.to_bytes(32, "big")


def _list(rng: np.random.Generator, kind: str, count: int) -> Rows:
    rows = rng.integers(0, 256, (count, 32), dtype=np.uint8)
    if kind == "clustered":  # around eight centres, within what matches
        centres = rng.integers(0, 256, (8, 32), dtype=np.uint8)
        for row in rows:
            near = _flip(rng, centres[rng.integers(8)].tobytes(), int(rng.integers(0, 40)))
            row[:] = np.frombuffer(near, np.uint8)
    elif kind == "one bucket":  # every slot but the last few alike
        rows[:, :28] = rng.integers(0, 256, 28, dtype=np.uint8)
    elif kind == "duplicates":
        rows = rows[rng.integers(0, max(1, count // 5), count)] if count else rows
    elif kind == "one for all":
        rows[:] = rng.integers(0, 256, 32, dtype=np.uint8)
    return np.ascontiguousarray(rows)


def _queries(rng: np.random.Generator, rows: Rows, far: int) -> list[bytes]:
    queries = [rng.bytes(32) for _ in range(2)]
    for distance in {0, far, far + 1, int(rng.integers(0, far + 1))}:
        if len(rows) and distance <= 256:
            queries.append(_flip(rng, rows[rng.integers(len(rows))].tobytes(), distance))
    return [query for query in queries if any(query)]


def _expect(index: HashIndex, queries: list[bytes], max_distance: int, **content: Any) -> None:
    wanted = [tuple(Match(*one) for one in twin.query(q, max_distance=max_distance, **content)) for q in queries]
    assert [index.query(query, max_distance=max_distance) for query in queries] == wanted
    assert index.query_many(queries, max_distance) == wanted


@given(
    seed=SEEDS,
    kind=st.sampled_from(KINDS),
    count=st.sampled_from([0, 1, 2, 15, 16, 17, 255, 256, 257, 700]),
    slot_count=SLOT_COUNTS,
    kernel=st.sampled_from(_hash.index_kernels()["available"]),
    max_distance=st.integers(0, 31) | st.sampled_from([31, 32, 40, 47, 48, 100, 255, 256]),
    negative_count=st.sampled_from([0, 0, 1, 300]),
    numbered=st.booleans(),
)
@example(seed=1, kind="clustered", count=700, slot_count=16, kernel="scalar", max_distance=31, negative_count=0,
         numbered=True)  # fmt: skip
@example(seed=2, kind="one for all", count=257, slot_count=14, kernel="scalar", max_distance=31, negative_count=1,
         numbered=True)  # fmt: skip
def test_the_index_finds_what_comparing_finds(
    seed: int, kind: str, count: int, slot_count: int, kernel: str, max_distance: int, negative_count: int,
    numbered: bool,
) -> None:  # fmt: skip
    rng = np.random.default_rng(seed)
    rows = _list(rng, kind, count)
    entries = [row.tobytes() for row in rows]
    negatives = [_flip(rng, entries[i % count], i % 7) if count else rng.bytes(32) for i in range(negative_count)]
    ids = [int(one) for one in rng.integers(0, 2**64, count, dtype=np.uint64)] if numbered else None
    categories = [int(one) for one in rng.integers(0, 2**16, count)] if numbered else None
    _hash.set_index_kernel(kernel)
    with HashIndex.build(rows, ids=ids, categories=categories, negatives=negatives, slot_count=slot_count) as index:
        index.verify()
        assert len(index) == count
        content = {"hashes": entries, "ids": ids, "categories": categories, "negatives": negatives}
        _expect(index, _queries(rng, rows, min(max_distance, 255)), max_distance, **content)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("slot_count", [None, 12, 13, 14, 16])
def test_ten_thousand_entries(kind: str, slot_count: int | None) -> None:
    rng = np.random.default_rng(7)
    rows = _list(rng, kind, 10_000)
    entries = [row.tobytes() for row in rows]
    index = HashIndex.build(rows, slot_count=slot_count)
    index.verify()
    _expect(index, _queries(rng, rows, 31), 31, hashes=entries)


@pytest.mark.parametrize(("slot_count", "count"), [(0, 0), (0, 40), (16, 0), (16, 40), (15, 7)])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_bytes_are_the_documented_ones(seed: int, slot_count: int, count: int) -> None:
    rng = np.random.default_rng(seed)
    rows = _list(rng, "clustered", count)
    ids = [int(one) for one in rng.integers(0, 2**64, count, dtype=np.uint64)] if seed % 2 else None
    categories = [int(one) for one in rng.integers(0, 2**16, count)] if seed else None
    negatives = [rng.bytes(32) for _ in range(seed)]
    index = HashIndex.build(
        rows, ids=ids, categories=categories, negatives=negatives, profile="near512", slot_count=slot_count
    )
    written = twin.to_bytes(
        [row.tobytes() for row in rows], ids=ids, categories=categories, negatives=negatives, profile=2,
        slot_count=slot_count,
    )  # fmt: skip
    assert index.to_bytes() == written
    assert index.nbytes == len(written)
