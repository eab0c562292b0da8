"""Does a hash index say what it holds, keep it in a file, refuse what it must, and serve threads?"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import safelight.hashing
from reference import hash_index as twin
from reference import pdq as pictures
from safelight import _hash
from safelight.decision import State
from safelight.errors import (
    ClosedError,
    IndexDamagedError,
    MediaNotFoundError,
    SafelightError,
    UnsupportedInputError,
    UsageError,
)
from safelight.hashing import HashIndex, Match, PdqHash, ProfileMismatchError, UnusableHashError, pdq

SEED = 20


def _rows(count: int, seed: int = SEED) -> npt.NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (count, 32), dtype=np.uint8)


def _near(row: npt.NDArray[np.uint8], bits: int) -> bytes:
    """The same hash with its first bits flipped."""
    mask = ((1 << bits) - 1) << (256 - bits)
    return (int.from_bytes(row.tobytes(), "big") ^ mask).to_bytes(32, "big")


def test_pictures_are_found_again() -> None:
    known = [pdq(pictures.picture(200, 300, seed)) for seed in range(5)]
    with HashIndex.build(known, ids=[10, 11, 12, 13, 14], categories=[1, 1, 2, 2, 3]) as index:
        assert index.query(known[3]) == (Match(13, 0, 2),)
        smaller = pdq(np.ascontiguousarray(pictures.picture(200, 300, 2)[::2, ::2]))
        (match,) = index.query(smaller)
        assert (match.entry_id, match.category) == (12, 2)
        assert match.distance == smaller.distance(known[2])
        assert index.query(pdq(pictures.picture(200, 300, 77))) == ()


def test_matches_are_in_order_and_have_their_ids() -> None:
    rows = _rows(3)
    rows[1] = np.frombuffer(_near(rows[0], 5), np.uint8)
    rows[2] = rows[1]
    index = HashIndex.build(rows, ids=[9, 2**64 - 1, 7])
    wanted = rows[0].tobytes()
    assert index.query(wanted) == (Match(9, 0, None), Match(7, 5, None), Match(2**64 - 1, 5, None))
    assert index.query(wanted, max_distance=4) == (Match(9, 0, None),)
    assert index.query(_near(rows[0], 31))[-1].distance == 31
    assert index.query(_near(rows[1], 40), max_distance=40)[0].distance == 35
    assert len(index.query(wanted, max_distance=256)) == 3


def test_it_says_what_it_is() -> None:
    rows = _rows(20_000)
    index = HashIndex.build(rows, profile="thumb512", negatives=[_near(rows[0], 3)])
    assert (len(index), index.profile, index.negative_count) == (20_000, "thumb512", 1)
    assert index.nbytes == len(index.to_bytes()) > rows.nbytes
    assert repr(index) == "<HashIndex of 20000 entries, profile thumb512>"
    index.verify()
    with HashIndex.build([]) as empty:
        assert len(empty) == 0
        assert empty.query(_rows(1)[0].tobytes()) == ()
    assert "closed" in repr(empty)


@pytest.mark.parametrize("slot_count", [0, 16])
def test_a_negative_takes_its_neighbourhood_away_and_no_more(slot_count: int) -> None:
    rows = _rows(3)
    logo = _near(rows[0], 20)
    index = HashIndex.build(rows, negatives=[logo, rows[2].tobytes()], slot_count=slot_count)
    assert index.query(logo) == ()
    assert index.query(_near(rows[0], 18)) == ()  # nearer to the logo
    assert index.query(_near(rows[0], 10)) == ()  # as near
    assert index.query(_near(rows[0], 9)) == (Match(0, 9, None),)
    assert index.query(rows[1].tobytes()) == (Match(1, 0, None),)
    assert index.query(rows[2].tobytes()) == ()


@pytest.mark.parametrize("count", [100, 20_000])
def test_a_file_there_and_back(tmp_path: Path, count: int) -> None:
    rows = _rows(count)
    built = HashIndex.build(rows, ids=range(5, count + 5), categories=np.arange(count) % 7, profile="near512")
    path = tmp_path / "known.index"
    path.write_bytes(b"an older one")
    built.save(path)
    assert path.read_bytes() == built.to_bytes()
    assert [file.name for file in tmp_path.iterdir()] == ["known.index"]
    with HashIndex.open(str(path)) as opened:
        opened.verify()
        assert opened.profile == "near512"
        answers = opened.query_many(rows[:50])
        assert answers == built.query_many(rows[:50])
        assert answers[3] == (Match(8, 0, 3),)
    twice = HashIndex.open(path)
    twice.save(path)  # over itself, while it is mapped
    assert twice.query(rows[3].tobytes()) == HashIndex.open(path).query(rows[3].tobytes()) == answers[3]


def test_any_buffer_will_do_and_is_not_copied() -> None:
    rows = _rows(100)
    data = HashIndex.build(rows).to_bytes()
    shifted = memoryview(bytearray(b"xyz" + data))[3:]
    for buffer in (data, bytearray(data), memoryview(data), np.frombuffer(data, np.uint8), shifted):
        assert HashIndex.from_buffer(buffer).query(rows[7].tobytes()) == (Match(7, 0, None),)
    held = bytearray(data)
    index = HashIndex.from_buffer(held)
    with pytest.raises(BufferError):
        held.clear()
    index.close()
    held.clear()


@pytest.mark.skipif(sys.platform != "linux", reason="asks Linux which pages are in memory")
def test_ten_million_entries_open_by_mapping(tmp_path: Path) -> None:
    path = tmp_path / "large.index"
    header = twin.header(10_000_000, slot_count=12, has_ids=True, has_categories=True)
    path.write_bytes(header)
    size = int.from_bytes(header[16:24], "little")
    os.truncate(path, size)  # a file of holes
    assert size > 900_000_000
    index = HashIndex.open(path)
    assert len(index) == 10_000_000
    lines = Path("/proc/self/smaps").read_text(encoding="utf-8").splitlines()
    (start,) = [place for place, line in enumerate(lines) if line.endswith("large.index")]
    rss = next(line for line in lines[start:] if line.startswith("Rss:"))
    assert int(rss.split()[1]) <= 256  # kB: the header's page and what the kernel adds around it


def test_progress_counts_to_the_end() -> None:
    seen: list[tuple[int, int]] = []
    HashIndex.build(_rows(20_000), progress=lambda done, total: seen.append((done, total)))
    assert seen == [(step, 17) for step in range(1, 18)]
    small: list[tuple[int, int]] = []
    HashIndex.build(_rows(3), progress=lambda done, total: small.append((done, total)))
    assert small == [(1, 1)]

    def stop(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        HashIndex.build(_rows(3), progress=stop)


def test_threads_build_and_find_the_same() -> None:
    rows = _rows(20_000)
    index = HashIndex.build(rows, threads=2)
    assert index.to_bytes() == HashIndex.build(rows).to_bytes()
    wanted = np.concatenate([rows[:300], _rows(300, seed=1)])
    expected = index.query_many(wanted)
    assert index.query_many(wanted, threads=3) == expected
    wrong: list[BaseException | int] = []

    def look() -> None:
        try:
            for place in range(300):
                if index.query(rows[place].tobytes()) != expected[place]:
                    wrong.append(place)
        except SafelightError as error:
            wrong.append(error)

    threads = [threading.Thread(target=look) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_closing_while_others_look_up_is_an_error_and_no_crash() -> None:
    rows = _rows(20_000)
    index = HashIndex.build(rows)
    outcome: list[str] = []

    def look() -> None:
        try:
            while True:
                index.query_many(rows[:200])
        except ClosedError:
            outcome.append("closed")

    threads = [threading.Thread(target=look) for _ in range(2)]
    for thread in threads:
        thread.start()
    index.close()
    for thread in threads:
        thread.join()
    assert outcome == ["closed", "closed"]
    index.close()
    for ask in (index.to_bytes, index.verify, lambda: index.query(rows[0].tobytes()), lambda: index.nbytes):
        with pytest.raises(ClosedError, match="open or build it again"):
            ask()


def test_what_may_not_be_matched_is_refused_with_its_state() -> None:
    index = HashIndex.build(_rows(5))
    flat = pdq(np.full((100, 100), 9, np.uint8))
    tiny = pdq(np.full((4, 4), 9, np.uint8))
    low = PdqHash.from_bits(_rows(1)[0].tobytes(), quality=49)
    for hash, state in ((flat, State.LOW_QUALITY), (tiny, State.TOO_SMALL), (low, State.LOW_QUALITY)):
        with pytest.raises(UnusableHashError) as caught:
            index.query(hash)
        assert caught.value.state is state
        with pytest.raises(UnusableHashError):
            index.query_many([hash])
        with pytest.raises(UnusableHashError):
            HashIndex.build([hash])
        with pytest.raises(UnusableHashError):
            HashIndex.build([], negatives=[hash])
    for ask in (lambda: index.query(bytes(32)), lambda: index.query_many(np.zeros((1, 32), np.uint8))):
        with pytest.raises(UnusableHashError) as caught:
            ask()
        assert caught.value.state is State.LOW_QUALITY
    other = PdqHash.from_bits(_rows(1)[0].tobytes(), profile="near512", quality=100)
    for refuse in (lambda: index.query(other), lambda: HashIndex.build([other]), lambda: index.query_many([other])):
        with pytest.raises(ProfileMismatchError):
            refuse()


@pytest.mark.parametrize("damage", ["empty", "text", "cut", "longer", "header", "version", "picture"])
def test_what_is_no_index_is_refused(tmp_path: Path, damage: str, portrait: Path) -> None:
    data = bytearray(HashIndex.build(_rows(100)).to_bytes())
    if damage == "header":
        data[30] ^= 1
    elif damage == "version":
        data[8] = 2
    bad = {
        "empty": b"", "text": b"f" * 65, "cut": data[:-1], "longer": data + b"\0", "picture": portrait.read_bytes(),
    }.get(damage, data)  # fmt: skip
    path = tmp_path / "sentinel-name"
    path.write_bytes(bad)
    for ask in (lambda: HashIndex.open(path), lambda: HashIndex.from_buffer(bytes(bad))):
        with pytest.raises(IndexDamagedError, match=r"got .*, expected .*; ") as caught:
            ask()
        assert "sentinel" not in str(caught.value)


def test_damage_inside_is_found_when_it_is_met() -> None:
    rows = _rows(20_000)
    good = HashIndex.build(rows).to_bytes()
    postings = int.from_bytes(good[88:96], "little")
    data = bytearray(good)
    data[postings : postings + 4 * 20_000] = b"\xff" * (4 * 20_000)
    index = HashIndex.from_buffer(data)
    with pytest.raises(IndexDamagedError):
        index.query(rows[0].tobytes())
    with pytest.raises(IndexDamagedError):
        index.query_many(rows[:3])
    with pytest.raises(IndexDamagedError):
        index.verify()
    moved = bytearray(good)  # a hash that is not in its buckets any more
    moved[256] ^= 1
    with pytest.raises(IndexDamagedError):
        HashIndex.from_buffer(moved).verify()


def test_a_disk_that_is_full_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "known.index"
    path.write_bytes(b"old")

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        HashIndex.build(_rows(5)).save(path)
    assert path.read_bytes() == b"old"
    assert len(list(tmp_path.iterdir())) == 1


ROWS = _rows(4)


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"hashes": 5}, UnsupportedInputError),
        ({"hashes": b"0" * 32}, UnsupportedInputError),
        ({"hashes": "00" * 32}, UnsupportedInputError),
        ({"hashes": PdqHash.parse("0f" * 32)}, UnsupportedInputError),
        ({"hashes": ["0f" * 32]}, UnsupportedInputError),
        ({"hashes": [b"0" * 31]}, UsageError),
        ({"hashes": ROWS.astype(np.int64)}, UnsupportedInputError),
        ({"hashes": ROWS[:, :31]}, UnsupportedInputError),
        ({"hashes": ROWS[0]}, UnsupportedInputError),
        ({"hashes": ROWS, "ids": [1, 2, 3]}, UsageError),
        ({"hashes": ROWS, "ids": [1, 2, 3, -1]}, UsageError),
        ({"hashes": ROWS, "ids": [1, 2, 3, 2**64]}, UsageError),
        ({"hashes": ROWS, "ids": [1, 2, 3, 4.0]}, UnsupportedInputError),
        ({"hashes": ROWS, "ids": np.array([1, 2, 3, -1])}, UsageError),
        ({"hashes": ROWS, "ids": np.ones(4)}, UnsupportedInputError),
        ({"hashes": ROWS, "ids": np.ones((2, 2), np.int64)}, UnsupportedInputError),
        ({"hashes": ROWS, "categories": [0, 1, 2, 65_536]}, UsageError),
        ({"hashes": ROWS, "categories": []}, UsageError),
        ({"hashes": ROWS, "negatives": [b""]}, UsageError),
        ({"hashes": ROWS, "negatives": 3}, UnsupportedInputError),
        ({"hashes": ROWS, "profile": "fast"}, UsageError),
        ({"hashes": ROWS, "slot_count": 8}, UsageError),
        ({"hashes": ROWS, "slot_count": 16, "threads": 0}, UsageError),
    ],
)
def test_what_cannot_be_built_is_refused(arguments: dict[str, Any], error: type[Exception]) -> None:
    with pytest.raises(error):
        HashIndex.build(**arguments)


def test_other_misuse(tmp_path: Path) -> None:
    index = HashIndex.build(ROWS)
    wanted = ROWS[0].tobytes()
    for hash in (None, "0f" * 32, ROWS[0], 7):
        with pytest.raises(UnsupportedInputError):
            index.query(hash)  # type: ignore[arg-type]
    with pytest.raises(UsageError):
        index.query(wanted[:31])
    for distance in (-1, 257):
        with pytest.raises(UsageError, match="0 to 256"):
            index.query(wanted, max_distance=distance)
    with pytest.raises(UnsupportedInputError):
        index.query(wanted, max_distance=3.5)  # type: ignore[arg-type]
    with pytest.raises(UsageError):
        index.query_many([wanted], threads=0)
    for buffer in (None, "text", 5, memoryview(bytes(600))[::2]):
        with pytest.raises(UnsupportedInputError):
            HashIndex.from_buffer(buffer)
    for path in (tmp_path / "missing", tmp_path):
        with pytest.raises(MediaNotFoundError):
            HashIndex.open(path)
    with pytest.raises(UsageError):
        _hash.set_index_kernel("abacus")
    with pytest.raises(TypeError):
        _hash.IndexBuilder(ROWS[:, ::2], None, None, ROWS, 0, 0)
    with pytest.raises(AttributeError):
        _ = safelight.hashing.Nothing


def test_hashing_alone_does_not_load_it() -> None:
    script = "import sys, safelight.hashing; print('safelight.hashing.index' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
