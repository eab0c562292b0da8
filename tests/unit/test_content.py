"""Does content decide what a document is, whatever it calls itself, and are pictures found that are written out?"""

from __future__ import annotations

import base64
import io
import json
import random

import pytest
from safelight.media import NotJudged
from safelight.media.content import ContentKind, content_kind, is_two_files
from safelight.media.embedded import embedded_media
from upload_world import archive, picture

FORMATS = ("JPEG", "PNG", "GIF", "WEBP", "BMP")


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (b"", "empty"),
        (b"hello\r\n\tworld", "text"),
        ("h\u00e9llo \U0001f600".encode(), "text"),
        ("h\u00e9llo".encode("utf-16"), "text"),
        ("h\u00e9llo".encode("latin-1"), "text"),
        (b'{"a": [1, 2]}', "text"),
        (b"<!doctype html><p>hi", "text"),
        (b"a\0b", "unknown"),
        (b"\xe9" * 70_000, "unknown"),
        (bytes(range(256)), "unknown"),
        (picture(format="TIFF"), "picture"),
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "picture"),
        (b"\0\0\0\x18ftypisom\0\0\2\0isomiso2", "clip"),
        (b"\x1a\x45\xdf\xa3" + b"\0" * 60, "clip"),
        (b"\0\0\0\x20ftypM4A \0\0\0\0", "audio"),
        (b"ID3\4\0\0\0\0", "audio"),
        (b"RIFF\x10\0\0\0WAVEfmt ", "audio"),
        (archive(b"x"), "archive"),
        (b"\x1f\x8b\x08\0\0\0\0\0", "archive"),
        (b"%PDF-1.7\n\xff\xff", "pdf"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1\0\0", "office"),
        (b"wOF2\0\1\0\0", "font"),
        (b"<svg xmlns='x'>", "drawn"),
        (b"<html>" + b" " * 300_000 + b"<svg >", "drawn"),
        ("<html><svg/>".encode("utf-16"), "picture"),
        (("<html>" + " " * 9_000 + "<svg/>").encode("utf-16"), "drawn"),
        (b"P3 2 2 255\n1 2 3", "picture"),
        (b"/* XPM */ static char", "drawn"),
        (b"{\\rtf1 {\\pict", "drawn"),
        (b"begin 644 x.jpg\nM", "drawn"),
    ],
)
def test_content_says_what_it_is(data: bytes, kind: str) -> None:
    assert content_kind(io.BytesIO(data)) == kind


@pytest.mark.parametrize("format", FORMATS)
def test_a_picture_is_a_picture(format: str) -> None:
    data = picture(format=format, size=(64, 48))
    assert content_kind(io.BytesIO(data)) is ContentKind.PICTURE
    assert not is_two_files(data)
    assert not is_two_files(data + b"\0" * 64 + b"\r\n")


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("second", ["PNG", "GIF", "zip", "pdf", "rar", "webm", "mp4"])
def test_two_files_in_one_are_seen(format: str, second: str) -> None:
    tail = {
        "PNG": lambda: picture(format="PNG"),
        "GIF": lambda: picture(format="GIF"),
        "zip": lambda: archive(picture()),
        "pdf": lambda: b"%PDF-1.4 \xff\0",
        "rar": lambda: b"Rar!\x1a\x07\x01\x00",
        "webm": lambda: b"\x1a\x45\xdf\xa3\x9f\x42\x86\x81\x01\x42\x82\x84webm",
        "mp4": lambda: b"\0\0\0\x18ftypisom\0\0\2\0isomiso2",
    }[second]()
    assert is_two_files(picture(format=format) + tail)


@pytest.mark.parametrize("format", ["PNG", "GIF", "WEBP", "BMP"])
def test_noise_behind_a_picture_is_seen(format: str) -> None:
    assert is_two_files(picture(format=format) + bytes(range(1, 200)))
    assert is_two_files(picture(format=format) + picture(format="JPEG"))


def test_noise_is_no_second_file() -> None:
    noise = random.Random(1).randbytes(4_000_000)
    assert not is_two_files(picture(format="JPEG") + noise)


def _found(text: bytes, **options: int) -> list[bytes | NotJudged]:
    bounds = {"max_bytes": 1 << 20, "max_count": 8} | options
    return list(embedded_media(io.BytesIO(text), **bounds))


_WAYS = {
    "plain": lambda b: b,
    "data address": lambda b: b'<img src="data:image/png;base64,' + b + b'">',
    "json": lambda b: json.dumps({"a": [b.decode()]}).replace("/", "\\/").encode(),
    "json in json": lambda b: json.dumps(json.dumps({"a": b.decode()}).replace("/", "\\/")).encode(),
    "json escapes": lambda b: ('["' + "".join(f"\\u{c:04x}" for c in b) + '"]').encode(),
    "wrapped": lambda b: b"\r\n".join(b[at : at + 60] for at in range(0, len(b), 60)),
    "wrapped in json": lambda b: json.dumps("\n".join(b.decode()[at : at + 7] for at in range(0, len(b), 7))).encode(),
    "for addresses": lambda b: b.replace(b"+", b"-").replace(b"/", b"_"),
    "percent": lambda b: b"a=" + b"".join(b"%%%02X" % c if c in b"+/=" else bytes((c,)) for c in b),
    "all percent": lambda b: b"a=" + b"".join(b"%%%02x" % c for c in b),
    "entities": lambda b: b.replace(b"/", b"&#x2F;").replace(b"+", b"&#43;"),
    "deep in a text": lambda b: b"word " * 60_000 + b"'" + b + b"' word",
    "without padding": lambda b: b.rstrip(b"="),
}


@pytest.mark.parametrize("way", _WAYS)
@pytest.mark.parametrize("format", FORMATS)
def test_a_picture_written_out_is_found_whole(format: str, way: str) -> None:
    data = picture(format=format)
    found = _found(_WAYS[way](base64.b64encode(data)))
    assert found[0] == data


def test_every_one_is_found() -> None:
    pictures = [picture(level, format) for level, format in ((1, "PNG"), (2, "JPEG"), (3, "GIF"), (4, "PNG"))]
    text = json.dumps([base64.b64encode(one).decode() for one in pictures]).encode()
    assert _found(text) == pictures
    cut = _found(text, max_count=2)
    assert cut[:2] == pictures[:2] and isinstance(cut[2], NotJudged)


@pytest.mark.parametrize("at", [*range(262_144 - 530, 262_144 + 3, 37)])
def test_no_window_hides_one(at: int) -> None:
    data = picture(format="JPEG")
    assert _found(b" " * at + base64.b64encode(data) + b" end") == [data]


def test_too_large_a_one_is_a_state() -> None:
    found = _found(base64.b64encode(picture(size=(300, 300), format="BMP")), max_bytes=1_000)
    assert isinstance(found[0], NotJudged) and found[0].detail_id == "bytes"


@pytest.mark.parametrize("notation", [lambda d: d.hex().encode(), lambda d: d.hex().upper().encode()])
@pytest.mark.parametrize("format", ["JPEG", "PNG", "GIF"])
def test_another_notation_is_a_state(format: str, notation: object) -> None:
    found = _found(b"x" + notation(picture(format=format)))  # type: ignore[operator]
    assert [type(one) for one in found] == [NotJudged]


def test_plain_texts_hold_nothing() -> None:
    assert _found(b"Quick brown foxes, Qk or not; see /9j/ and iVBOR.") == []
    assert _found("Привет, как дела? %D0%9F \\u043f\\/ &amp; &#1087;".encode() * 2_000) == []
    assert _found(json.dumps({"id": 7, "text": "a/b\n" * 5_000}).encode()) == []
    keys = base64.b64encode(random.Random(3).randbytes(300_000))
    assert _found(keys) == []


@pytest.mark.parametrize(
    "text",
    [
        b"\\" * 2_000_000 + b" /9j/4AAQ",
        b"\\" * 1_000_000 + b"u0041/9j/4" + b"\\" * 1_000_000,
        b"A" + b" " * 2_000_000 + b"Qk",
        b"A \\n" * 500_000 + b" iVBORw0KGg",
        b"&#" + b"0" * 2_000_000 + b" GkXfo",
        b"Qk" + b"\\n" * 200_000,
    ],
)
def test_texts_made_to_be_slow_are_not(text: bytes) -> None:
    """Each would take hours if a pattern went over a long run again from each of its places."""
    _found(text)


def test_so_many_beginnings_are_a_state() -> None:
    found = _found(b"Qk " * 2_500)
    assert [type(one) for one in found] == [NotJudged]
    assert isinstance(found[0], NotJudged) and found[0].detail_id == "embedded"
