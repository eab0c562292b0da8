"""The hash index, written to be read: the twin of ``native/src/hash/index.cpp``. Compares with every entry."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence

HEADER_BYTES = 256
SECTION_STEP = 64
HASH_BITS = 256

_HEADER = struct.Struct("<8sIIQQQBBB5x6Q")


def distance(left: bytes, right: bytes) -> int:
    return (int.from_bytes(left, "big") ^ int.from_bytes(right, "big")).bit_count()


def query(
    wanted: bytes,
    hashes: Sequence[bytes],
    *,
    ids: Sequence[int] | None = None,
    categories: Sequence[int] | None = None,
    negatives: Sequence[bytes] = (),
    max_distance: int = 31,
) -> list[tuple[int, int, int | None]]:
    """(entry id, distance, category) of every entry near enough, nearer than every negative, and with bits."""
    nearest_negative = min((distance(wanted, one) for one in negatives), default=HASH_BITS + 1)
    found = []
    for place, one in enumerate(hashes):
        bits = distance(wanted, one)
        if bits <= max_distance and bits < nearest_negative and any(one):
            found.append(
                (place if ids is None else ids[place], bits, None if categories is None else categories[place])
            )
    return sorted(found, key=lambda match: (match[1], match[0], match[2] or 0))


def slots(count: int) -> list[tuple[int, int]]:
    """(first bit, width) of each slot."""
    widths = [HASH_BITS // count + (slot < HASH_BITS % count) for slot in range(count)]
    return [(sum(widths[:slot]), width) for slot, width in enumerate(widths)]


def to_bytes(
    hashes: Sequence[bytes],
    *,
    ids: Sequence[int] | None = None,
    categories: Sequence[int] | None = None,
    negatives: Sequence[bytes] = (),
    profile: int = 0,
    slot_count: int = 16,
) -> bytes:
    """The block that an index is, section by section."""
    numbers = [int.from_bytes(one, "little") for one in hashes]
    starts, postings = b"", b""
    for first, width in slots(slot_count) if slot_count else []:
        values = [(number >> first) & ((1 << width) - 1) for number in numbers]
        order = sorted(range(len(values)), key=lambda entry: values[entry])
        counts = [0] * ((1 << width) + 1)
        for value in values:
            counts[value + 1] += 1
        for bucket in range(1 << width):
            counts[bucket + 1] += counts[bucket]
        starts += struct.pack(f"<{len(counts)}I", *counts)
        postings += struct.pack(f"<{len(order)}I", *order)
    sections = [
        b"".join(hashes),
        b"" if ids is None else struct.pack(f"<{len(ids)}Q", *ids),
        b"" if categories is None else struct.pack(f"<{len(categories)}H", *categories),
        b"".join(negatives),
        starts,
        postings,
    ]
    first = header(
        len(hashes), len(negatives), profile, slot_count, has_ids=ids is not None, has_categories=categories is not None
    )
    return first + b"".join(section + bytes(-len(section) % SECTION_STEP) for section in sections)


def header(
    count: int, negative_count: int = 0, profile: int = 0, slot_count: int = 16, *, has_ids: bool, has_categories: bool
) -> bytes:
    """The first 256 bytes, which say all sizes."""
    lengths = [
        32 * count,
        8 * count if has_ids else None,
        2 * count if has_categories else None,
        32 * negative_count,
        sum(4 * (2**width + 1) for _, width in slots(slot_count)) if slot_count else None,
        4 * count * slot_count if slot_count else None,
    ]
    places, at = [], HEADER_BYTES
    for length in lengths:
        places.append(0 if length is None else at)
        at += 0 if length is None else length + -length % SECTION_STEP
    fixed = _HEADER.pack(
        b"SLPDQIDX", 1, HEADER_BYTES, at, count, negative_count, profile, slot_count, has_ids + 2 * has_categories,
        *places,
    ).ljust(HEADER_BYTES - 4, b"\0")  # fmt: skip
    return fixed + struct.pack("<I", zlib.crc32(fixed))
