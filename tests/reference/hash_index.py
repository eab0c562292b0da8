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
    """(entry id, distance, category) of every entry near enough and nearer than every negative."""
    nearest_negative = min(distance(wanted, one) for one in [bytes(32), *negatives])
    found = []
    for place, one in enumerate(hashes):
        bits = distance(wanted, one)
        if bits <= max_distance and bits < nearest_negative:
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
        None if ids is None else struct.pack(f"<{len(ids)}Q", *ids),
        None if categories is None else struct.pack(f"<{len(categories)}H", *categories),
        b"".join(negatives),
        starts if slot_count else None,
        postings if slot_count else None,
    ]
    places, body = [], b""
    for section in sections:
        places.append(0 if section is None else HEADER_BYTES + len(body))
        body += b"" if section is None else section + bytes(-len(section) % SECTION_STEP)
    header = _HEADER.pack(
        b"SLPDQIDX", 1, HEADER_BYTES, HEADER_BYTES + len(body), len(hashes), len(negatives), profile, slot_count,
        (ids is not None) + 2 * (categories is not None), *places,
    ).ljust(HEADER_BYTES - 4, b"\0")  # fmt: skip
    return header + struct.pack("<I", zlib.crc32(header)) + body
