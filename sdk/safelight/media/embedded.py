"""Pictures written out as text: ``data:`` addresses, base64 in JSON, mail and markup.

Found by how a file of media begins in base64, wherever that stands, also behind the escapes of JSON (``\\/``,
``\\u002f``), of addresses (``%2F``) and of markup (``&#47;``). Read in windows: a text of any length costs the same
memory. Somebody's own coding or encryption cannot be seen by looking; docs/uploads.md says so.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator
from typing import BinaryIO, Final

from safelight.decision import State
from safelight.media.content import kind_of_head
from safelight.media.image import NotJudged

_WINDOW_BYTES: Final = 1 << 18
_OVERLAP_BYTES: Final = 512
_HEAD_CHARS: Final = 1_368  # 1,024 bytes and a little

# How files begin in base64, as far as the beginning fills whole characters. These count anywhere.
_STRONG: Final = (
    "/9j/[2-7wx/]",  # JPEG, then a marker that may stand there
    "iVBORw0KGg",  # PNG
    "R0lGODdh",
    "R0lGODlh",
    "UklGR......XRUJQ",  # RIFF, WEBP
    "AAAA.[GWm2]Z0eXB",  # ISO media: a film, HEIC, AVIF
    "GkXfo",  # Matroska
)
# Short ones count where a run of base64 begins.
_MAX_CANDIDATES: Final = 2_000  # beginnings that are looked at closer, in one text
_WEAK: Final = (
    "Qk",
    "SUkqA",
    "TU0AK",
    "AAAB",
    "UEsDB",
    "JVBERi0",
    "0M8R4KGx",
    "Rkx",
    "T2dn",
    "/woA",
    "AAAADE",
    "UklGR",
)

# The same as plain strings, to be looked for first: each is in everything that the pattern finds.
_STRONG_HINTS: Final = (b"/9j/", b"iVBORw0KGg", b"R0lGODdh", b"R0lGODlh", b"XRUJQ", b"Z0eXB", b"GkXfo")
_WEAK_HINTS: Final = tuple(text.encode() for text in _WEAK)
_RUNS_MARKED: Final = bytes(
    code if code in b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/-_" else 32 for code in range(256)
)
_SPACES: Final = b" \t\r\n"
# In other notations than base64: nobody looks, so nobody can tell. In lower case, by what must be there as well.
_OTHER_NOTATIONS: Final = (
    (b"", (b"ffd8ffe", b"ffd8ffdb", b"89504e470d0a1a0a", b"4749463837", b"4749463839")),
    (b"%", (b"%ff%d8%ff", b"%89png%0d%0a")),
    (b"data:", (b"data:image/svg", b"data:video/", b"data:text/html")),
)

# At most eight backslashes, as JSON in JSON in JSON has: a run without end must not be walked from each of its places.
_BETWEEN: Final = r"(?:\s|\\{1,8}[rnt])*"


def _one(char: str) -> str:
    """A character of base64, in every way of writing it."""
    code = f"{ord(char):02x}"
    cased = "".join(f"[{c}{c.upper()}]" if c.isalpha() else c for c in code)
    plain = r"[/_]|\\{1,8}/" if char == "/" else "[+-]" if char == "+" else re.escape(char)
    return rf"(?:{plain}|\\{{1,8}}u00{cased}|%{cased}|&#(?:0*{ord(char)}|[xX]0*{cased});)"


def _written(pattern: str) -> str:
    out = []
    for token in re.findall(r"\[[^]]*\]|.", pattern):
        if token == ".":
            out.append(r"(?:\\{1,8}u00..|%..|&#\w{1,5};|\\{0,8}[\w+/-])")
        elif token.startswith("["):
            chars = re.sub("(.)-(.)", lambda m: "".join(map(chr, range(ord(m[1]), ord(m[2]) + 1))), token[1:-1])
            out.append("(?:" + "|".join(_one(char) for char in chars) + ")")
        else:
            out.append(_one(token))
    return _BETWEEN.join(out)


_SEARCH: Final = re.compile(
    f"(?:{'|'.join(map(_written, _STRONG))})|(?<![A-Za-z0-9+/_-])(?:{'|'.join(map(_written, _WEAK))})".encode()
)
_ESCAPE: Final = re.compile(
    rb"\\{1,8}u00(2[bBdDfF]|3[0-9]|[46][1-9a-fA-F]|[57][0-9aA]|5[fF])"
    rb"|%(2[bBdDfF]|3[0-9]|[46][1-9a-fA-F]|[57][0-9aA]|5[fF])"
    rb"|&#0*([0-9]{2,3});|&#[xX]0*([0-9A-Fa-f]{2});|\\{1,8}([/rnt])"
)
_MAYBE_CUT: Final = re.compile(rb"(?:\\{1,8}(?:u0{0,2}[0-9A-Fa-f]?)?|%[0-9A-Fa-f]?|&(?:#[xX]?[0-9A-Fa-f]{0,6})?)$")
_RUN: Final = re.compile(rb"[A-Za-z0-9+/_\s-]*")
_TO_STANDARD: Final = bytes.maketrans(b"-_", b"+/")


def embedded_media(text: BinaryIO, *, max_bytes: int, max_count: int) -> Iterator[bytes | NotJudged]:
    """Every file of media or archive that a text holds as base64, decoded; one that cannot be decoded is a state.

    Args:
        text: seekable, UTF-8 or another coding that contains ASCII.
        max_bytes: of one decoded file; more is ``TOO_LARGE``.
        max_count: how many at most; then ``TOO_LARGE`` comes as the last one.
    """
    found = done = candidates = 0
    at, window = 0, b""
    while True:
        text.seek(at + len(window))
        more = text.read(_WINDOW_BYTES)
        window += more
        lower = window.lower()
        if any(any(hint in lower for hint in hints) for also, hints in _OTHER_NOTATIONS if also in lower):
            yield NotJudged(State.NO_DECODER, "picture_in_text")
            return
        # What begins in the last bytes is found in the next window, whole.
        limit = len(window) - _OVERLAP_BYTES if more else len(window)
        position = max(0, done - at)
        # The pattern is slow and sure; what it could find is looked for in a fast way first.
        may_hold = _may_hold(window)
        while may_hold:
            match = _SEARCH.search(window, position)
            if match is None or match.start() >= limit:
                break
            start = at + match.start()
            position = match.end()
            candidates += 1
            if candidates > _MAX_CANDIDATES:
                yield NotJudged(State.TOO_LARGE, "embedded")
                return
            if not _is_media(_decode(text, start, _HEAD_CHARS)[0]):
                continue
            if found >= max_count:
                yield NotJudged(State.TOO_LARGE, "embedded")
                return
            found += 1
            data, length, whole = _decode(text, start, max_bytes * 4 // 3 + 4)
            yield data if whole else NotJudged(State.TOO_LARGE, "bytes")
            position = max(position, start + length - at)
            if position >= len(window):
                break
        done = max(done, at + position if position > limit else at + limit)
        if not more:
            return
        keep = min(len(window), _OVERLAP_BYTES)
        if done > at + len(window):
            # A long one was passed over: go on behind it.
            at, window = done, b""
            continue
        at, window = at + len(window) - keep, window[len(window) - keep :]


def _may_hold(window: bytes) -> bool:
    plain = window
    if b"\\u00" in window or b"%" in window or b"&#" in window:
        plain = _ESCAPE.sub(_unescape, window)
    elif b"\\/" in window:
        plain = window.replace(b"\\", b"")
    if b"-" in plain or b"_" in plain:
        plain = plain.translate(_TO_STANDARD)
    dense = plain
    if b"\\" in dense:
        while b"\\\\" in dense:
            dense = dense.replace(b"\\\\", b"\\")
        for escape in (b"\\n", b"\\r", b"\\t"):
            dense = dense.replace(escape, b"")
    dense = dense.translate(None, _SPACES + b"\\")
    if any(hint in dense for hint in _STRONG_HINTS):
        return True
    # These count only where a run of base64 begins.
    some = [hint for hint in _WEAK_HINTS if hint in plain]
    if not some:
        return False
    marked = b" " + plain.translate(_RUNS_MARKED)
    return any(b" " + hint in marked for hint in some)


def _is_media(head: bytes) -> bool:
    return len(head) >= 12 and kind_of_head(head) is not None


def _decode(text: BinaryIO, start: int, max_chars: int) -> tuple[bytes, int, bool]:
    """The bytes that base64 from here on stands for; how many characters of the text; whether that was all."""
    text.seek(start)
    raw = b""
    characters: list[bytes] = []
    count = taken = 0
    while True:
        more = text.read(min(_WINDOW_BYTES, max_chars * 6 + 64))
        raw += more
        cut = _MAYBE_CUT.search(raw[-16:]) if more else None
        usable = len(raw) - (len(cut.group()) if cut else 0)
        plain = _ESCAPE.sub(_unescape, raw[:usable])
        run = _RUN.match(plain)
        length = run.end() if run is not None else 0
        piece = b"".join(plain[:length].split())
        characters.append(piece)
        count += len(piece)
        ended = length < len(plain) or not more
        taken += length if ended and usable == len(plain) else usable
        raw = raw[usable:]
        if ended or count > max_chars:
            whole = ended and count <= max_chars
            break
    joined = b"".join(characters)[: max_chars + 4].translate(_TO_STANDARD)
    joined = joined[: len(joined) - (1 if len(joined) % 4 == 1 else 0)]
    try:
        return base64.b64decode(joined + b"=" * (-len(joined) % 4)), taken, whole
    except binascii.Error:
        return b"", taken, whole


def _unescape(match: re.Match[bytes]) -> bytes:
    for group, base in ((1, 16), (2, 16), (3, 10), (4, 16)):
        digits = match.group(group)
        if digits is not None:
            code = int(digits, base)
            return bytes((code,)) if code < 128 else b"\0"
    return b"/" if match.group(5) == b"/" else b" "
