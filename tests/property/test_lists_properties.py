"""Lists, deltas and importers, whatever goes in: exact, canonical, and never another error than their own."""

from __future__ import annotations

import io
from contextlib import suppress
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from safelight import UsageError
from safelight.errors import ListDamagedError, ListError
from safelight.hashing import PdqHash
from safelight.lists import (
    FORMATS,
    KnownList,
    ListInfo,
    Source,
    apply_delta,
    build_list,
    make_delta,
    make_list,
    read_list,
    write_list,
)
from safelight.lists._sealed import CHUNK_BYTES, SecretMemory, seal, unseal
from safelight.lists.known import build_image
from simulator import some_list

KEY = bytes(range(32))

# Few different rows, so that sets overlap, hashes repeat and zeros stand at either end.
ROWS = st.lists(st.sampled_from([bytes([a]) + bytes(30) + bytes([b]) for a in range(6) for b in range(6)]), max_size=30)


def _stack(rows: list[bytes]) -> np.ndarray:
    return np.frombuffer(b"".join(rows), np.uint8).reshape(-1, 32)


def _entries(rows: list[bytes], first_id: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    # The id follows from the row, so that the same row may be the same entry in two versions.
    ids = np.array([first_id + 7 * row[0] + 100 * row[31] for row in rows], np.uint64)
    return _stack(rows), ids, np.array([row[0] % 3 for row in rows], np.uint16)


@st.composite
def _lists(draw: Any, version: int) -> Any:
    first_id = draw(st.sampled_from([0, 1, 2**63]))
    return make_list(
        ListInfo("alpha", version, categories={1: "A1", 2: "B"}, dihedral=draw(st.booleans())),
        entries={kind: _entries(draw(ROWS), first_id) for kind in ("pdq", "sha256", "clip_frame")},
        negatives={"pdq": _stack(draw(ROWS)), "sha256": _stack(draw(ROWS))},
    )


@given(made=_lists(1))
def test_a_list_reads_as_it_was_written(made: Any) -> None:
    data = write_list(made)
    again = read_list(data)
    assert write_list(again) == data
    assert again.counts == made.counts
    assert again.info == made.info


@given(old=_lists(1), new=_lists(2))
def test_a_delta_makes_exactly_the_full_list(old: Any, new: Any) -> None:
    assert apply_delta(write_list(old), make_delta(old, new)) == write_list(new)


@given(one=_lists(1), two=_lists(2), three=_lists(3))
def test_deltas_one_after_the_other(one: Any, two: Any, three: Any) -> None:
    data = write_list(one)
    for old, new in ((one, two), (two, three)):
        data = apply_delta(data, make_delta(old, new))
    assert data == write_list(three)
    with pytest.raises(ListDamagedError, match="another version"):
        apply_delta(write_list(one), make_delta(two, three))


@given(rows=ROWS, seed=st.integers(0, 2**32 - 1))
def test_order_of_the_entries_does_not_matter(rows: list[bytes], seed: int) -> None:
    shuffled = [rows[i] for i in np.random.default_rng(seed).permutation(len(rows))]
    info = ListInfo("alpha", 1, categories={1: "A", 2: "B"})
    assert write_list(make_list(info, entries={"pdq": _entries(rows, 0)})) == write_list(
        make_list(info, entries={"pdq": _entries(shuffled, 0)})
    )


WHOLE = write_list(some_list(1))
DELTA = make_delta(some_list(1), some_list(3))


@given(data=st.data(), which=st.sampled_from([WHOLE, DELTA]))
def test_damaged_lists_and_deltas_are_refused(data: st.DataObject, which: bytes) -> None:
    changed = bytearray(which)
    how = data.draw(st.sampled_from(["flip", "cut", "longer", "overwrite"]))
    place = data.draw(st.integers(0, len(changed) - 1))
    if how == "flip":
        changed[place] ^= 1 << data.draw(st.integers(0, 7))
    elif how == "cut":
        del changed[place:]
    elif how == "longer":
        changed[place:place] = b"\0" * data.draw(st.integers(1, 64))
    else:
        changed[place : place + 8] = data.draw(st.binary(min_size=8, max_size=8))
    try:
        result = write_list(read_list(bytes(changed))) if which is WHOLE else apply_delta(WHOLE, bytes(changed))
    except ListDamagedError as error:
        text = str(error)
        assert "; " in text
    else:
        # A list by itself is not signed: another hash in it is another list, in its one form all the same.
        assert result == bytes(changed) if which is WHOLE else result == apply_delta(WHOLE, DELTA)


@given(content=st.binary(max_size=300), start=st.sampled_from([b"", b"SLLIST1\n", b"SLDELT1\n", WHOLE[:200]]))
@example(content=b"\xff" * 8, start=b"SLLIST1\n")
@example(content=(1 << 40).to_bytes(8, "little"), start=b"SLDELT1\n")
def test_any_bytes_are_a_list_or_damage(content: bytes, start: bytes) -> None:
    for read in (read_list, lambda data: apply_delta(WHOLE, data)):
        with suppress(ListDamagedError):
            read(start + content)


_XML = st.text("<>/!&;? \n=\"'aimgesdqxl-0\u00e9\ufffd", max_size=120).map(
    lambda text: f"<queryResult><images><image><id>{text}</image>".encode()
)
_JSON = st.recursive(
    st.none() | st.integers() | st.text(max_size=8), lambda x: st.lists(x, max_size=3), max_leaves=8
).map(lambda value: ('{"hashRecords": ' + repr(value).replace("'", '"').replace("None", "null") + "}").encode())


@given(
    content=st.binary(max_size=300) | st.text(max_size=200).map(str.encode) | _XML | _JSON,
    format=st.sampled_from(FORMATS),
    kind=st.sampled_from(["pdq", "sha256"]),
)
@example(content=b"\x00", format="te-csv", kind="pdq")
@example(content=b'"\n', format="te-csv", kind="pdq")
@example(content=b'vpdq ["\\ud800"]', format="threatexchange", kind="pdq")
@example(content=b"<!DOCTYPE a>", format="ncmec", kind="pdq")
@example(content="<?xml version='1.0' encoding='utf-16'?><a/>".encode("utf-16"), format="ncmec", kind="pdq")
def test_importers_take_any_bytes_or_say_where_they_are_at_fault(content: bytes, format: Any, kind: Any) -> None:
    try:
        made, _ = build_list("alpha", 1, [Source(io.BytesIO(content), format, kind)])
    except ListError as error:
        shown = f"{error}"
        assert shown.startswith("source 1, ")
    except UsageError as error:
        assert "same id" in str(error)  # noqa: PT017 - the one thing that no line is at fault for
    else:
        assert read_list(write_list(made)).counts == made.counts


@given(
    size=st.sampled_from([0, 1, 31, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, 3 * CHUNK_BYTES]),
    seed=st.integers(0, 2**32 - 1),
)
def test_sealed_bytes_come_back_and_nothing_else_does(size: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    plain = random.bytes(size)
    sealed = b"".join(seal(KEY, "list a", plain))
    memory = unseal(KEY, "list a", io.BytesIO(sealed))
    assert bytes(memory.view()) == plain
    memory.close()
    changed = bytearray(sealed)
    changed[int(random.integers(len(changed)))] ^= 1 << int(random.integers(8))
    cut = sealed[: int(random.integers(len(sealed)))]
    swapped = sealed
    if size > 2 * CHUNK_BYTES:
        start, step = 40, CHUNK_BYTES + 17
        swapped = sealed[:start] + sealed[start + step : start + 2 * step] + sealed[start : start + step]
        swapped += sealed[start + 2 * step :]
    cases = [
        (KEY, "list a", bytes(changed)),
        (KEY, "list a", cut),
        (KEY, "list b", sealed),
        (KEY[::-1], "list a", sealed),
    ]
    if swapped != sealed:
        cases.append((KEY, "list a", swapped))
    for key, purpose, data in cases:
        with pytest.raises(ListDamagedError):
            unseal(key, purpose, io.BytesIO(data))


def _known(made: Any) -> KnownList:
    image = build_image(made)
    memory = SecretMemory(len(image))
    memory.write(0, image)
    return KnownList(memory)


@given(made=_lists(1), asked=st.lists(st.binary(min_size=32, max_size=32), max_size=3))
def test_an_opened_list_answers_as_reading_every_entry_does(made: Any, asked: list[bytes]) -> None:
    from safelight.hashing import Sha256Hash

    section, exact = made.sections["pdq"], made.sections["sha256"]
    refused = {bytes(row) for row in made.negatives["sha256"]}
    with _known(made) as known:
        for bits in asked + [bytes(row) for row in exact.hashes]:
            match = known.match_sha256(Sha256Hash(bits))
            rows = [i for i in range(len(exact)) if bytes(exact.hashes[i]) == bits and bits not in refused]
            assert (match.entry_id if match else None) == (int(exact.ids[rows[0]]) if rows else None)
        if len(made.negatives["pdq"]):
            return
        for bits in asked + [bytes(row) for row in section.hashes if row.any()]:
            match = known.match_pdq(PdqHash.from_bits(bits))
            distances = [
                ((int.from_bytes(bits, "big") ^ int.from_bytes(bytes(row), "big")).bit_count(), int(i))
                for row, i in zip(section.hashes, section.ids, strict=True)
                if row.any()
            ]
            # The hash without any bit is always a negative: what is as near to it as to an entry is no match.
            ones = int.from_bytes(bits, "big").bit_count()
            nearest = min((pair for pair in distances if pair[0] <= 31 and pair[0] < ones), default=None)
            assert ((match.distance, match.entry_id) if match else None) == nearest
