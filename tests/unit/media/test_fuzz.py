"""Whatever the bytes: pictures that hold their promises, or a state. Never an exception, never nothing."""

from __future__ import annotations

import random
import struct
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from safelight.decision import State
from safelight.errors import UsageError
from safelight.media import Frame, Limits, available_formats
from unit.media.helpers import (
    HeifItem,
    chunk,
    encode,
    heif_file,
    heif_items,
    inverting_profile,
    look,
    pattern,
    repair_checksums,
    rgb_png,
    segment,
    with_segments,
    zipped,
)
from unit.media.test_truncation import FILES

LIMITS = Limits(
    max_pixels=1 << 20,
    max_animation_pixels=1 << 18,
    max_total_decoded_pixels=1 << 22,
    max_scan_pixels=1 << 22,
    max_blocks=10_000,
    max_heif_pixels=1 << 20,
    max_scaled_jpeg_pixels=1 << 21,
    max_container_bytes=1 << 22,
    max_container_pixels=1 << 22,
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
    b"\0\0\0\x1cftypheic\0\0\0\0mif1heicmiaf",
    b"\0\0\0\x1cftypavis\0\0\0\0mif1avifmiaf\0\0\1\0moov",
    b"BM\0\0\0\0\0\0\0\0\x36\0\0\0\x28\0\0\0",
    b"PK\3\4",
    b"\x1f\x8b\x08\0",
]


def check(data: bytes) -> None:
    _, failure = look(data, limits=LIMITS, short_side_px=8, containers="look_inside")
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


HEIF_FILES = [name for name in ("HEIF", "AVIF") if name in available_formats()]


@pytest.mark.skipif(not HEIF_FILES, reason="no decoder for HEIC or AVIF in this installation")
@given(st.data())
def test_random_relations_of_heif_items(data: st.DataObject) -> None:
    """Whole items in relations that make no sense: loops, missing parts, parts of parts, wrong kinds."""
    coded = heif_items(FILES[data.draw(st.sampled_from(HEIF_FILES))])[0]
    count = data.draw(st.integers(1, 6))
    ids = st.integers(1, count + 1)
    items = []
    for _ in range(count):
        kind = data.draw(
            st.sampled_from([coded.kind, coded.kind, b"grid", b"iden", b"iovl", b"tmap", b"Exif", b"mime"])
        )
        content = coded.content
        if kind != coded.kind:
            content = struct.pack(">4B2H", 0, 0, *data.draw(st.tuples(*[st.integers(0, 2)] * 2)), 64, 64) + bytes(30)
        names = st.sampled_from([b"dimg", b"auxl", b"thmb", b"cdsc", b"prem"])
        references = data.draw(st.dictionaries(names, st.lists(ids, min_size=1, max_size=4), max_size=2))
        item = HeifItem(kind, content, coded.properties[:], references, data.draw(st.booleans()))
        for name, body in data.draw(
            st.lists(
                st.sampled_from(
                    [
                        (b"irot", b"\1"),
                        (b"imir", b"\0"),
                        (b"irot", b""),
                        (b"clap", struct.pack(">4I4i", 20, 1, 20, 1, 0, 1, 0, 1)),
                        (b"auxC", bytes(4) + b"urn:mpeg:hevc:2015:auxid:1\0"),
                        (b"auxC", bytes(4) + b"urn:com:apple:photo:2020:aux:hdrgainmap\0"),
                        (b"colr", b"prof" + inverting_profile()),
                        (b"lsel", b"\0\0"),
                    ]
                ),
                max_size=2,
            )
        ):
            item = item.add(name, body, True)
        items.append(item)
    check(heif_file(items, primary=data.draw(ids)))


@given(st.lists(st.tuples(st.integers(0, 4_000), st.integers(0, 255)), min_size=1, max_size=8))
def test_changed_profiles(changes: list[tuple[int, int]]) -> None:
    profile = bytearray(inverting_profile())
    for at, value in changes:
        profile[at % len(profile)] = value
    body = bytes(profile)
    check(rgb_png(pattern(24, 20), chunk(b"iCCP", b"name\0\0" + zlib.compress(body))))
    check(with_segments(FILES["JPEG"], segment(0xE2, b"ICC_PROFILE\0\1\1" + body)))


@given(
    st.sampled_from(sorted(FILES)),
    st.binary(max_size=60),
    st.lists(st.tuples(st.integers(0, 1 << 16), st.integers(0, 255)), max_size=8),
)
def test_changed_files_in_a_container(name: str, between: bytes, changes: list[tuple[int, int]]) -> None:
    data = bytearray(zipped({"a": FILES[name], "b": between + FILES[name], "c": encode(pattern(24, 20), "PNG")}))
    for at, value in changes:
        data[at % len(data)] = value
    check(bytes(data))


@given(
    st.sampled_from(["rgb", "rgba", "grey", "nv21", "i420", "yuyv"]),
    st.integers(1, 40),
    st.integers(1, 40),
    st.one_of(st.none(), st.integers(0, 200), st.tuples(*[st.integers(0, 200)] * 2)),
    st.integers(0, 9_000),
)
def test_frames_are_refused_or_read_within_their_buffer(
    format: str, width: int, height: int, stride: int | tuple[int, ...] | None, length: int
) -> None:
    try:
        frame = Frame(bytes(length), format, width=width, height=height, stride=stride)  # type: ignore[arg-type]
    except UsageError:
        return
    _, failure = look(frame)
    assert (failure is not None) == (min(width, height) < 16)
