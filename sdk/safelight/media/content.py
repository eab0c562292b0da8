"""What kind of document some bytes are, by their content: the question before "which picture is in it?".

A name, an extension and a declared type are what somebody says; they are not asked. Text is what reads as text from
the first byte to the last; what neither is text nor has a known beginning is ``UNKNOWN``.
"""

from __future__ import annotations

import codecs
import os
import re
from enum import Enum
from typing import BinaryIO, Final

from safelight.decision import State
from safelight.media._refuse import Refused
from safelight.media._sniff import archive_kind, sniff

_HEAD_BYTES: Final = 8_192
_WINDOW_BYTES: Final = 1 << 18
#: Older 8-bit text has no mark of its own: only so much of it is taken for text.
_MAX_8_BIT_TEXT_BYTES: Final = 1 << 16

_AUDIO: Final = (
    (0, b"ID3"),
    (0, b"fLaC"),
    (8, b"WAVE"),
    (8, b"AIFF"),
    (4, b"ftypM4A "),
    (4, b"ftypM4B "),
    (0, b"#!AMR"),
    (0, b"MThd"),
)
_MP3_FRAME: Final = re.compile(rb"\xff[\xfa\xfb\xf2\xf3]")
_FONTS: Final = (b"\0\1\0\0\0", b"OTTO", b"true", b"ttcf", b"wOFF", b"wOF2")
# Everything below the space that a text does not use. Escape is left out: terminal logs have it.
_CONTROLS: Final = re.compile(rb"[\x00-\x08\x0b\x0e-\x1a\x1c-\x1f]")
_TEXT_BYTES: Final = bytes(code for code in range(256) if not _CONTROLS.match(bytes((code,))))

# Text that draws, or that other programs turn into a picture.
_DRAWN: Final = re.compile(
    rb"\s*(?:P[1-6][\s#]|/\* XPM|#define\s+\w+_width\s|%!PS|\{\\rtf|begin(?:-base64)? [0-7]{3,4} \S)", re.ASCII
)
_MARKUP: Final = re.compile(rb"(?:\xef\xbb\xbf)?\s*<")
_SVG: Final = re.compile(rb"<(?:\w{1,16}:)?svg[\s>/]|<!DOCTYPE\s+svg|urn:schemas-microsoft-com:vml", re.IGNORECASE)


class ContentKind(str, Enum):
    """What bytes are. Only ``EMPTY`` and ``TEXT`` cannot be pictures by themselves."""

    EMPTY = "empty"
    TEXT = "text"
    PICTURE = "picture"
    """A picture, or other media that no decoder here reads: the guard says which."""
    CLIP = "clip"
    ARCHIVE = "archive"
    PDF = "pdf"
    OFFICE = "office"
    """Word, Excel and PowerPoint before 2007; later ones are ``ARCHIVE``."""
    AUDIO = "audio"
    FONT = "font"
    DRAWN = "drawn"
    """Text that is a picture: SVG and what is like it."""
    UNKNOWN = "unknown"

    def __str__(self) -> str:
        return str(self.value)


def content_kind(stream: BinaryIO) -> ContentKind:
    """What the bytes of a seekable binary file are; text is read to its end, in bounded memory.

    Its position is left wherever reading ended.
    """
    stream.seek(0)
    head = stream.read(_HEAD_BYTES)
    if not head:
        return ContentKind.EMPTY
    kind = kind_of_head(head)
    if kind is not None:
        return kind
    size = stream.seek(0, os.SEEK_END)
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return _wide_text(stream)
    return _text(stream, size)


def kind_of_head(head: bytes) -> ContentKind | None:
    """What the first bytes say; ``None`` when they have no known beginning, as text has none."""
    for at, magic in _AUDIO:
        if head.startswith(magic, at) and (at != 8 or head[:4] in (b"RIFF", b"FORM", b"RF64")):
            return ContentKind.AUDIO
    try:
        sniff(head)
    except Refused as refused:
        if refused.state is not State.NO_DECODER:
            return _other(head)
    else:
        return ContentKind.PICTURE
    from safelight.media.clip import is_clip

    if is_clip(head[:4096]):
        return ContentKind.CLIP
    return ContentKind.DRAWN if _MARKUP.match(head) else ContentKind.PICTURE


def _other(head: bytes) -> ContentKind | None:
    from safelight.media.clip import is_clip

    if is_clip(head[:4096]):
        return ContentKind.CLIP
    archive = archive_kind(head)
    if archive:
        return {"pdf": ContentKind.PDF, "ole": ContentKind.OFFICE}.get(archive, ContentKind.ARCHIVE)
    if head.startswith(_FONTS) and _CONTROLS.search(head):
        return ContentKind.FONT
    return ContentKind.AUDIO if _MP3_FRAME.match(head) else None


def _text(stream: BinaryIO, size: int) -> ContentKind:
    stream.seek(0)
    decoder = codecs.getincrementaldecoder("utf-8")()
    is_utf8 = True
    kind, tail = ContentKind.TEXT, b""
    markup = False
    first = True
    while True:
        window = stream.read(_WINDOW_BYTES)
        if window.translate(None, _TEXT_BYTES):
            return ContentKind.UNKNOWN
        if is_utf8 and not (window.isascii() and window and decoder.getstate()[0] == b""):
            try:
                decoder.decode(window, final=not window)
            except UnicodeDecodeError:
                if size > _MAX_8_BIT_TEXT_BYTES:
                    return ContentKind.UNKNOWN
                is_utf8 = False
        if first:
            markup = _MARKUP.match(window) is not None
            if _DRAWN.match(window.removeprefix(codecs.BOM_UTF8)):
                return ContentKind.DRAWN
            first = False
        if markup and _SVG.search(tail + window):
            kind = ContentKind.DRAWN
        if not window:
            return kind
        tail = window[-64:]


def _wide_text(stream: BinaryIO) -> ContentKind:
    stream.seek(0)
    decoder = codecs.getincrementaldecoder("utf-16")()
    kind, tail = ContentKind.TEXT, b""
    first, markup = True, False
    while True:
        window = stream.read(_WINDOW_BYTES)
        try:
            narrow = decoder.decode(window, final=not window).encode()
        except UnicodeError:
            return ContentKind.UNKNOWN
        if _CONTROLS.search(narrow):
            return ContentKind.UNKNOWN
        if first:
            markup = _MARKUP.match(narrow) is not None
            if _DRAWN.match(narrow):
                return ContentKind.DRAWN
            first = False
        if markup and _SVG.search(tail + narrow):
            kind = ContentKind.DRAWN
        if not window:
            return kind
        tail = narrow[-64:]


# --- one file that is two ------------------------------------------------------------------------------------------

# Beginnings that are long enough not to occur by chance in compressed pixels.
_SECOND_FILE: Final = re.compile(
    rb"\x89PNG\r\n\x1a\n|GIF8[79]a[\s\S]{2}[\x01-\x20]\0|Rar!\x1a\x07|7z\xbc\xaf\x27\x1c|%PDF-1\.|WEBPVP8[ LX]"
    rb"|\x1a\x45\xdf\xa3[\s\S]{0,48}(?:webm|matroska)|\0\0\0[\x10-\x80]ftyp[\w ]{4}\0\0"
)
_ZIP_END: Final = b"PK\5\6"
_ZIP_TAIL_BYTES: Final = 65_535 + 22
_PADDING: Final = b"\0\r\n\t \xff"


def is_two_files(data: bytes) -> bool:
    """Whether a picture is another file as well: something that other programs would open stands inside or behind.

    PNG, GIF, WebP and BMP say where they end: what follows must be padding or text. In a JPEG, behind which phones
    write data of their own, only the beginnings and endings of other files count; pictures and clips behind it are
    found when it is looked at.
    """
    at = _SECOND_FILE.search(data, 12)
    if at is not None and not (data[4:8] == b"ftyp" and at.start() < 512):
        return True
    if _ends_as_zip(data):
        return True
    end = _end(data)
    if end is None:
        return False
    rest = data[end:].strip(_PADDING)
    return bool(rest) and (kind_of_head(rest) is not None or _CONTROLS.search(rest) is not None)


def ends_as_archive(stream: BinaryIO) -> bool:
    """Whether a file of any size ends as a ZIP does, whatever it begins as."""
    size = stream.seek(0, os.SEEK_END)
    stream.seek(max(0, size - _ZIP_TAIL_BYTES))
    tail = stream.read(_ZIP_TAIL_BYTES)
    at = tail.rfind(_ZIP_END)
    while at >= 0:
        # Its last number is the length of the comment behind it.
        if len(tail) - at >= 22 and int.from_bytes(tail[at + 20 : at + 22], "little") == len(tail) - at - 22:
            return True
        at = tail.rfind(_ZIP_END, 0, at)
    return False


def _ends_as_zip(data: bytes) -> bool:
    # Unpackers look for the directory from the end.
    start = max(0, len(data) - _ZIP_TAIL_BYTES)
    at = data.rfind(_ZIP_END, start)
    while at >= 0:
        entries, size = (
            int.from_bytes(data[at + 10 : at + 12], "little"),
            int.from_bytes(data[at + 12 : at + 16], "little"),
        )
        if len(data) - at >= 22 and entries and 0 < size <= at and data[at - size : at - size + 4] == b"PK\1\2":
            return True
        at = data.rfind(_ZIP_END, start, at)
    return False


def _end(data: bytes) -> int | None:
    """Where a picture ends, by its own structure; ``None`` when it does not say or is broken before."""
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        at = 8
        while at + 12 <= len(data):
            length = int.from_bytes(data[at : at + 4], "big")
            name = data[at + 4 : at + 8]
            at += 12 + length
            if name == b"IEND":
                return at
        return None
    if data[:4] == b"RIFF":
        size = int.from_bytes(data[4:8], "little")
        return 8 + size + (size & 1)
    if data[:2] == b"BM":
        return _bmp_end(data)
    return _gif_end(data) if data[:3] == b"GIF" else None


def _bmp_end(data: bytes) -> int | None:
    header = int.from_bytes(data[14:18], "little")
    if header < 40:
        return None
    width = int.from_bytes(data[18:22], "little", signed=True)
    height = abs(int.from_bytes(data[22:26], "little", signed=True))
    bits, coding = int.from_bytes(data[28:30], "little"), int.from_bytes(data[30:34], "little")
    start = int.from_bytes(data[10:14], "little")
    if coding not in (0, 3, 6) or width <= 0:
        return None
    return start + (width * bits + 31) // 32 * 4 * height


def _gif_end(data: bytes) -> int | None:
    if len(data) < 13:
        return None
    at = 13 + (3 << ((data[10] & 7) + 1) if data[10] & 0x80 else 0)
    while at < len(data):
        mark = data[at]
        if mark == 0x3B:
            return at + 1
        if mark == 0x2C:
            if at + 10 > len(data):
                return None
            flags = data[at + 9]
            at += 11 + (3 << ((flags & 7) + 1) if flags & 0x80 else 0)
        elif mark == 0x21:
            at += 2
        else:
            return None
        while at < len(data) and data[at]:
            at += 1 + data[at]
        at += 1
    return None
