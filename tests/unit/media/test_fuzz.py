"""Whatever the bytes: pictures that hold their promises, or a state. Never an exception, never nothing."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st
from safelight.decision import State
from safelight.media import Limits
from unit.media.helpers import look, repair_checksums
from unit.media.test_truncation import FILES

LIMITS = Limits(
    max_pixels=1 << 20,
    max_animation_pixels=1 << 18,
    max_total_decoded_pixels=1 << 22,
    max_scan_pixels=1 << 22,
    max_blocks=10_000,
)
STATES = {State.DECODE_FAILED, State.NOT_MEDIA, State.NO_DECODER, State.TOO_LARGE, State.TOO_SMALL}
HEADS = [
    b"",
    b"\xff\xd8\xff",
    b"\x89PNG\r\n\x1a\n",
    b"GIF89a",
    b"RIFF\xff\0\0\0WEBPVP8 ",
    b"RIFF\xff\0\0\0WEBPVP8X",
    b"RIFF\xff\0\0\0WEBPVP8L",
]


def check(data: bytes) -> None:
    _, failure = look(data, limits=LIMITS, short_side_px=8)
    assert failure is None or failure.state in STATES


@given(st.sampled_from(HEADS), st.binary(max_size=2_000))
def test_random_bytes(head: bytes, tail: bytes) -> None:
    check(head + tail)


@given(
    st.sampled_from(sorted(FILES)),
    st.lists(st.tuples(st.integers(0, 1 << 16), st.integers(0, 255)), min_size=1, max_size=8),
)
def test_changed_bytes(name: str, changes: list[tuple[int, int]]) -> None:
    data = bytearray(FILES[name])
    for at, value in changes:
        data[at % len(data)] = value
    check(bytes(data))


@given(
    st.sampled_from([name for name in sorted(FILES) if "PNG" in name]),
    st.lists(st.tuples(st.integers(8, 1 << 16), st.integers(0, 255)), min_size=1, max_size=8),
)
def test_changed_bytes_with_right_checksums(name: str, changes: list[tuple[int, int]]) -> None:
    data = bytearray(FILES[name])
    for at, value in changes:
        data[8 + at % (len(data) - 8)] = value
    check(repair_checksums(bytes(data)))


@given(st.sampled_from(sorted(FILES)), st.integers(0, 1 << 30))
def test_flipped_bits(name: str, seed: int) -> None:
    data = bytearray(FILES[name])
    rng = random.Random(seed)
    for _ in range(rng.randint(1, 30)):
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    check(bytes(data))


@given(st.sampled_from(sorted(FILES)), st.sampled_from(sorted(FILES)), st.integers(0, 1 << 12), st.integers(0, 1 << 12))
def test_spliced_files(one: str, other: str, left: int, right: int) -> None:
    a, b = FILES[one], FILES[other]
    check(a[: left % (len(a) + 1)] + b[right % (len(b) + 1) :])
