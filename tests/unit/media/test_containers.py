"""Are the pictures in a ZIP, office document or gzip looked at, bounded, and what cannot be looked at a state?"""

from __future__ import annotations

import base64
import gzip
import io
import struct
import time
import zipfile
import zlib

import numpy as np
import pytest
from PIL import Image as PilImage
from safelight.decision import State
from safelight.media import Image, Limits, NotJudged, Pictures, load_image
from unit.media.helpers import blocks, encode, encode_frames, look, pattern, zipped

PICTURE = encode(pattern(), "PNG")
OTHER = encode(blocks(3), "PNG")


def inside(data: bytes, **options: object) -> tuple[list[Image], NotJudged | None]:
    return look(data, containers="look_inside", **options)


def document(**members: bytes) -> bytes:
    """As an office program writes it."""
    return zipped(
        {
            "[Content_Types].xml": b'<?xml version="1.0"?><Types/>',
            "word/document.xml": b"<w:document>" + b"<w:p>words</w:p>" * 1_000 + b"</w:document>",
            **{name.replace("__", "/"): body for name, body in members.items()},
        }
    )


ARCHIVES = {
    "zip": zipped({"a.png": PICTURE}),
    "gzip": gzip.compress(PICTURE),
    "pdf": b"%PDF-1.7\n" + PICTURE,
    "ole": b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600),
    "7z": b"7z\xbc\xaf\x27\x1c" + bytes(40),
    "rar": b"Rar!\x1a\7\0" + bytes(40),
    "tar": bytes(257) + b"ustar\0" + bytes(300),
    "xz": b"\xfd7zXZ\0" + bytes(40),
}


@pytest.mark.parametrize("kind", ARCHIVES)
def test_by_default_a_container_is_not_media(kind: str) -> None:
    assert look(ARCHIVES[kind])[1] == NotJudged(State.NOT_MEDIA, "unknown_content")


@pytest.mark.parametrize("kind", [k for k in ARCHIVES if k not in ("zip", "gzip")])
def test_containers_that_are_not_looked_into_are_a_state(kind: str) -> None:
    assert inside(ARCHIVES[kind])[1] in (NotJudged(State.NO_DECODER, kind), NotJudged(State.NO_DECODER, "archive"))


def test_pictures_in_a_document() -> None:
    data = document(word__media__image1=PICTURE, word__media__image2=OTHER, docProps__core=b"<xml/>")
    images, failure = inside(data)
    assert failure is None
    assert [image.frame for image in images] == [0, 1]
    assert np.array_equal(images[0].pixels, pattern())
    assert np.array_equal(images[1].pixels, blocks(3))
    loaded = load_image(data, containers="look_inside")
    assert isinstance(loaded, Pictures)
    assert (loaded.format, loaded.frame_count, loaded.width_px) == ("ZIP", 0, 0)
    with loaded:
        assert len(list(loaded)) == len(list(loaded)) == 2


def test_names_do_not_matter() -> None:
    for name in ("../../etc/passwd", "/abs", "a/../b.txt", "x" * 5_000, "\u202egnp.txt", "dir/"):
        images, failure = inside(zipped({name: PICTURE}))
        assert failure is None
        assert len(images) == 1


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_every_format_and_view_inside(method: int) -> None:
    rgba = np.dstack([pattern(), np.zeros((28, 40), np.uint8)])
    data = zipped(
        {
            "a": encode(pattern(), "JPEG"),
            "b": encode_frames([blocks(n) for n in range(3)], "GIF"),
            "c": encode(rgba, "PNG"),
            "d": encode(pattern(), "BMP"),
        },
        method,
    )
    images, failure = inside(data)
    assert failure is None
    assert [(i.frame, i.view) for i in images] == [
        (0, "plain"),
        (1, "plain"),
        (2, "plain"),
        (3, "plain"),
        (4, "over_white"),
        (4, "over_black"),
        (4, "under_alpha"),
        (5, "plain"),
    ]


def test_equal_pictures_are_seen_once() -> None:
    assert len(inside(zipped({str(n): PICTURE for n in range(9)}))[0]) == 1


def test_gzip_of_one_and_of_many_parts() -> None:
    for data in (
        gzip.compress(PICTURE),
        gzip.compress(PICTURE[:50]) + gzip.compress(PICTURE[50:]),
        gzip.compress(PICTURE) + b"\0\0\0",
        gzip.compress(PICTURE) + b"other bytes",
    ):
        images, failure = inside(data)
        assert failure is None
        assert np.array_equal(images[0].pixels, pattern())
    for data in (gzip.compress(PICTURE)[:-1], b"\x1f\x8bxx", gzip.compress(PICTURE)[:-5] + bytes(5)):
        images, failure = inside(data)
        assert not images
        assert failure is not None
        assert failure.state is State.DECODE_FAILED


def test_one_level_of_nesting() -> None:
    once = zipped({"inner.zip": zipped({"a.png": PICTURE}), "b.gz": gzip.compress(OTHER)})
    images, failure = inside(once)
    assert failure is None
    assert len(images) == 2
    for deeper in (zipped({"x": once}), gzip.compress(once), zipped({"x": gzip.compress(ARCHIVES["zip"])})):
        assert inside(deeper)[1] == NotJudged(State.NO_DECODER, "nested")


@pytest.mark.parametrize("kind", [k for k in ARCHIVES if k not in ("zip", "gzip")])
def test_what_cannot_be_looked_at_is_the_last_word_and_the_rest_is_seen(kind: str) -> None:
    images, failure = inside(zipped({"a": ARCHIVES[kind], "b": PICTURE}))
    assert len(images) == 1
    assert failure is not None
    assert failure.state is State.NO_DECODER


@pytest.mark.parametrize(
    ("member", "state"),
    [
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", State.NO_DECODER),
        (b"\0\0\0\x20ftypisom" + bytes(40), State.NO_DECODER),
        (b"\1\0\0\0" + bytes(36) + b" EMF" + bytes(40), State.NO_DECODER),
        (b"\xd7\xcd\xc6\x9a" + bytes(40), State.NO_DECODER),
        (b"II*\0" + bytes(40), State.NO_DECODER),
        (PICTURE[:-30], State.DECODE_FAILED),
        (encode(pattern(), "JPEG")[:-30], State.DECODE_FAILED),
        (b"<p>" + b"x" * 5_000 + b"<img src='data:image/png;base64," + base64.b64encode(PICTURE), State.NO_DECODER),
        ("\ufeff<p><img src='data:image/png;base64,AAAA'>".encode("utf-16-le"), State.NO_DECODER),
        (b"<office:binary-data>iVBORw0KGgo</office:binary-data>", State.NO_DECODER),
    ],
)
def test_members_that_cannot_be_judged(member: bytes, state: State) -> None:
    images, failure = inside(zipped({"a": member, "b": PICTURE}))
    assert len(images) == 1
    assert failure is not None
    assert failure.state is state


def test_other_members_are_passed_over() -> None:
    others = {"a.txt": b"words", "b.bin": bytes(range(256)) * 20, "c.exe": b"MZ\0\1" + bytes(99), "d": b"", "e/": b""}
    images, failure = inside(zipped({**others, "p": PICTURE}))
    assert failure is None
    assert len(images) == 1
    tiny = encode(np.zeros((8, 8, 3), np.uint8), "PNG")
    assert inside(zipped({"icon": tiny, "p": PICTURE}))[1] is None
    for empty in (zipped(others), zipped({}), zipped({"icon": tiny}), gzip.compress(b"words")):
        assert inside(empty)[1] == NotJudged(State.NOT_MEDIA, "container_without_pictures")


# --- encryption ---------------------------------------------------------------------------------------------


def flagged(data: bytes, flag: int = 1, method: int | None = None) -> bytes:
    out = bytearray(data)
    for signature, flags, methods in ((b"PK\3\4", 6, 8), (b"PK\1\2", 8, 10)):
        at = out.index(signature)
        out[at + flags] |= flag
        if method is not None:
            out[at + methods] = method
    return bytes(out)


def test_encrypted_members_are_a_state() -> None:
    data = flagged(zipped({"a": PICTURE, "b": OTHER}))
    images, failure = inside(data)
    assert len(images) == 1
    assert failure == NotJudged(State.NO_DECODER, "zip_encrypted")
    assert inside(flagged(zipped({"a": PICTURE}), 0x40))[1] == NotJudged(State.NO_DECODER, "zip_encrypted")
    for method in (9, 12, 14, 93, 99):
        data = flagged(zipped({"a": PICTURE}, zipfile.ZIP_STORED), 0, method)
        assert inside(data)[1] == NotJudged(State.NO_DECODER, "zip_method")


def test_encryption_of_documents_and_books() -> None:
    noise = np.random.default_rng(0).integers(0, 256, 900, dtype=np.uint8).tobytes()
    manifest = b"<manifest:file-entry><manifest:encryption-data/></manifest:file-entry>"
    for name, body in (("META-INF/manifest.xml", manifest), ("META-INF/encryption.xml", b"<encryption/>")):
        assert inside(zipped({"Pictures/1.png": noise, name: body}))[1] == NotJudged(State.NO_DECODER, "zip_encrypted")
    assert inside(zipped({"Pictures/1.png": PICTURE, "META-INF/manifest.xml": b"<manifest/>"}))[1] is None


# --- hostile files ------------------------------------------------------------------------------------------


def test_bombs_end_early() -> None:
    flat = b"\x89PNG\r\n\x1a\n" + bytes(60_000_000)
    started = time.perf_counter()
    assert inside(zipped({"a": flat}))[1] == NotJudged(State.TOO_LARGE, "container_ratio")
    assert inside(zipped({"a": b"\x89PNG\r\n\x1a\n" + bytes(70_000_000)}))[1] == NotJudged(State.TOO_LARGE, "bytes")
    assert inside(gzip.compress(flat))[1] == NotJudged(State.TOO_LARGE, "container_ratio")
    assert inside(gzip.compress(bytes(70_000_000)))[1] == NotJudged(State.TOO_LARGE, "bytes")
    assert inside(zipped({"a": b"MZ\0\1" + bytes(60_000_000)}))[1].state is State.NOT_MEDIA  # type: ignore[union-attr]
    texts = zipped({str(n): b"<p>" + b" " * 3_000_000 for n in range(4)})
    assert inside(texts, limits=Limits(max_container_bytes=10_000_000))[1] == NotJudged(
        State.TOO_LARGE, "container_bytes"
    )
    assert time.perf_counter() - started < 15


def test_limits_of_count_and_pixels() -> None:
    data = zipped({str(n): encode(blocks(n), "PNG") for n in range(6)})
    assert inside(data, limits=Limits(max_container_members=6))[1] is None
    assert inside(data, limits=Limits(max_container_members=5))[1] == NotJudged(State.TOO_LARGE, "container_members")
    assert inside(data, limits=Limits(max_container_pixels=6 * 40 * 28))[1] is None
    images, failure = inside(data, limits=Limits(max_container_pixels=6 * 40 * 28 - 1))
    assert len(images) == 5
    assert failure == NotJudged(State.TOO_LARGE, "container_pixels")
    nested = zipped({"a": data, "b": data})
    assert inside(nested, limits=Limits(max_container_members=10))[1] == NotJudged(State.TOO_LARGE, "container_members")


def overlapping() -> bytes:
    """Two entries of the directory that point at one place: how small files inflate to huge ones."""
    data = zipped({"a": PICTURE})
    directory = data.index(b"PK\1\2")
    end = data.index(b"PK\5\6")
    entry = data[directory:end]
    tail = struct.pack("<4sHHHHIIH", b"PK\5\6", 0, 0, 2, 2, 2 * len(entry), directory, 0)
    return data[:directory] + 2 * entry + tail


def hidden_entry() -> bytes:
    """An entry that an unpacker reading from the front finds, and the directory does not name."""
    whole = zipped({"a": PICTURE, "b": OTHER})
    directory = whole.index(b"PK\1\2")
    second = whole.index(b"PK\1\2", directory + 4)
    end = whole.index(b"PK\5\6")
    only = whole[second:end]
    tail = struct.pack("<4sHHHHIIH", b"PK\5\6", 0, 0, 1, 1, len(only), directory, 0)
    return whole[:directory] + only + tail


def test_zips_that_two_programs_would_read_differently() -> None:
    good = zipped({"a": PICTURE, "b": OTHER})
    directory, end = good.index(b"PK\1\2"), good.index(b"PK\5\6")
    for bad in (
        overlapping(),
        hidden_entry(),
        good + b"behind",
        good[:-1],
        good[:end],
        good[:directory] + b"PK\1\3" + good[directory + 4 :],
        good[: end + 8] + struct.pack("<HH", 1, 1) + good[end + 12 :],
        good[:8] + b"\0\0" + good[10:],  # the local header says stored, the directory deflated
    ):
        images, failure = inside(bad)
        assert not images or failure is not None
        assert failure is not None
        assert failure.state is State.DECODE_FAILED
    volumes = good[: end + 4] + struct.pack("<H", 1) + good[end + 6 :]
    assert inside(volumes)[1] == NotJudged(State.NO_DECODER, "zip_variant")
    large = good[: end + 8] + b"\xff\xff\xff\xff" + good[end + 12 :]
    assert inside(large)[1] == NotJudged(State.NO_DECODER, "zip_variant")


def test_an_entry_that_is_longer_or_shorter_than_it_says() -> None:
    for change in (-5, 5):
        data = bytearray(zipped({"a": PICTURE, "b": OTHER}))
        at = data.index(b"PK\1\2") + 24
        data[at : at + 4] = struct.pack("<I", len(PICTURE) + change)
        images, failure = inside(bytes(data))
        assert len(images) == 1
        assert failure is not None
        assert failure.state is State.DECODE_FAILED


def test_self_extracting_and_commented() -> None:
    out = io.BytesIO(b"MZ" + bytes(300))
    out.seek(0, 2)
    with zipfile.ZipFile(out, "a") as file:
        file.writestr("a", PICTURE)
        file.comment = b"a comment"
    assert inside(b"PK\3\4" + out.getvalue()[4:])[1] is not None  # a head that is no entry
    plain = io.BytesIO()
    with zipfile.ZipFile(plain, "w") as file:
        file.writestr("a", PICTURE)
        file.comment = b"a comment"
    assert inside(plain.getvalue())[1] is None


def test_a_picture_is_a_picture_before_it_is_an_archive() -> None:
    """Files that are both: what is shown counts, and that is looked at under both policies."""
    both = encode(PilImage.fromarray(pattern()), "JPEG") + zipped({"a": OTHER})
    assert len(look(both)[0]) == len(inside(both)[0]) == 1
    assert zlib.crc32(both)  # the archive behind it is not searched: nothing shows it without being told to
