"""ZIP (office documents and electronic books too) and gzip: the pictures inside, looked at one by one.

Only with ``containers="look_inside"``. Nothing is unpacked to disk and no name is used as a path. The central
directory is followed, and it must account for every entry: what only some unpackers would find is refused.
Each entry is inflated far enough to see what it is; pictures, and texts that may carry pictures, are inflated
whole, against limits of count, size, ratio and pixels.

What becomes of an entry:

* A picture: looked at like any file. A medium without a decoder: a state.
* A ZIP or gzip inside: looked into, one level deep. Deeper, or any other archive, an OLE object (an embedded
  document of older office programs), a PDF: a state, ``NO_DECODER``.
* Encrypted, by ZIP's own means or by those of OpenDocument and EPUB, or packed with a method other than deflate:
  ``NO_DECODER``.
* A text that holds pictures as base64: ``NO_DECODER``.
* Anything else (texts, fonts, programs, sound): passed over.

**PDF is never looked into.** What a page shows can be drawn, pieced together from inline images, masks and forms,
hide in compressed object streams or be encrypted, in six image codings two of which have no safe decoder here. A
scan for the JPEG streams in it could find something, and could never say that there is nothing else: the answer
would be a hold all the same, bought with a large parser of hostile input.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Final, Protocol

from safelight.decision import State
from safelight.media._options import Options
from safelight.media._refuse import Refused, Steps, broken
from safelight.media._sniff import archive_kind, sniff
from safelight.media.limits import Limits
from safelight.media.views import Rendered

_LOCAL, _CENTRAL, _END = b"PK\3\4", b"PK\1\2", b"PK\5\6"
_END_BYTES, _CENTRAL_BYTES, _LOCAL_BYTES = 22, 46, 30
_STORED, _DEFLATED = 0, 8
_ENCRYPTED_FLAGS: Final = 0x2041  # encrypted, strongly encrypted, masked headers
_MAX_COMMENT_BYTES: Final = 65_535
_HEAD_BYTES: Final = 4_352  # what sniffing looks at
_RATIO_FROM_BYTES: Final = 1 << 20
_MAX_DEPTH: Final = 1

# How texts of office documents, books and web pages carry a picture in themselves.
_PICTURE_IN_TEXT: Final = (b"data:image/", b"binary-data>", b"binData", b"binaryData")
_TEXT_ENCRYPTION: Final = b"encryption-data"


class Reader(Protocol):
    """What every reader of this layer offers once it has been built without refusing."""

    format: str
    width_px: int
    height_px: int
    frame_count: int

    def frames(self) -> Iterator[Rendered]:
        """Decode one by one."""


@dataclass(frozen=True, slots=True, eq=False)
class _Entry:
    name: bytes
    start: int
    end: int
    size: int
    packed: bool
    problem: str
    """Why it cannot be unpacked, or nothing."""


class _Budget:
    """What one input may cost, over all levels."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._bytes, self._members, self._pixels = 0, 0, 0

    def take_member(self) -> None:
        self._members += 1
        if self._members > self._limits.max_container_members:
            raise Refused(State.TOO_LARGE, "container_members")

    def take_bytes(self, count: int) -> None:
        self._bytes += count
        if self._bytes > self._limits.max_container_bytes:
            raise Refused(State.TOO_LARGE, "container_bytes")

    def take_pixels(self, count: int) -> None:
        self._pixels += count
        if self._pixels > self._limits.max_container_pixels:
            raise Refused(State.TOO_LARGE, "container_pixels")

    def left_bytes(self) -> int:
        return self._limits.max_container_bytes - self._bytes


class ContainerFile:
    """The pictures of a ZIP or gzip.

    Args:
        data: the whole file.
        options: of this call.
        open_reader: makes a reader of the bytes of a picture.
    """

    frame_count = 0  # unknown before everything is inflated
    width_px = height_px = 0

    def __init__(self, data: bytes, options: Options, open_reader: Callable[[bytes, Options], Reader]) -> None:
        self._options, self._open = options, open_reader
        self._data = data
        self.format = "GZIP" if archive_kind(data) == "gzip" else "ZIP"
        self._frames = 0
        self._failure: Refused | None = None
        if self.format == "ZIP":
            _read_directory(data, Steps(options.limits), options.limits)  # refused at once rather than later

    def frames(self) -> Iterator[Rendered]:
        """Look at every entry. What cannot be looked at does not end it: the others may show more.

        Raises:
            Refused: at the end, the first failure; or ``NOT_MEDIA`` when no entry was a picture or a failure.
        """
        self._failure, self._frames = None, 0
        try:
            yield from self._frames_of(self._data, 0, _Budget(self._options.limits))
        except Refused as refused:
            self._fail(refused)
        if self._failure is not None:
            raise self._failure
        if not self._frames:
            raise Refused(State.NOT_MEDIA, "container_without_pictures")

    def _frames_of(self, data: bytes, depth: int, budget: _Budget) -> Iterator[Rendered]:
        limits = self._options.limits
        if archive_kind(data) == "gzip":
            budget.take_member()
            yield from self._look(_gunzip(data, budget, limits), depth, budget)
            return
        for entry in _read_directory(data, Steps(limits), limits):
            budget.take_member()
            try:
                yield from self._entry(data, entry, depth, budget)
            except Refused as refused:
                self._fail(refused)
                if refused.detail_id.startswith("container_"):
                    return
            except Exception:  # noqa: BLE001 - whatever a decoder raises about one entry, the others are looked at
                self._fail(broken("decoder"))

    def _entry(self, data: bytes, entry: _Entry, depth: int, budget: _Budget) -> Iterator[Rendered]:
        limits = self._options.limits
        if entry.problem:
            raise Refused(State.NO_DECODER, entry.problem)
        head = _inflate(data, entry, min(_HEAD_BYTES, budget.left_bytes()))
        budget.take_bytes(len(head))
        if entry.name == b"META-INF/encryption.xml":
            raise Refused(State.NO_DECODER, "zip_encrypted")
        if _is_media(head) or archive_kind(head):
            if entry.size > limits.max_bytes:
                raise Refused(State.TOO_LARGE, "bytes")
            stored = entry.end - entry.start
            if entry.size > _RATIO_FROM_BYTES and entry.size > limits.max_container_ratio * stored:
                raise Refused(State.TOO_LARGE, "container_ratio")
        elif not _is_text(head):
            return
        content = self._whole(data, entry, budget)
        if entry.name == b"META-INF/manifest.xml" and _TEXT_ENCRYPTION in content:
            raise Refused(State.NO_DECODER, "zip_encrypted")
        yield from self._look(content, depth, budget)

    def _whole(self, data: bytes, entry: _Entry, budget: _Budget) -> bytes:
        if entry.size > budget.left_bytes():
            raise Refused(State.TOO_LARGE, "container_bytes")
        content = _inflate(data, entry, entry.size + 1)
        if len(content) != entry.size:
            raise broken("zip_structure")
        budget.take_bytes(entry.size)
        return content

    def _look(self, content: bytes, depth: int, budget: _Budget) -> Iterator[Rendered]:
        kind = archive_kind(content)
        if kind in ("zip", "gzip"):
            if depth >= _MAX_DEPTH:
                raise Refused(State.NO_DECODER, "nested")
            yield from self._frames_of(content, depth + 1, budget)
        elif kind:
            raise Refused(State.NO_DECODER, kind)
        elif _is_media(content):
            reader = self._open(content, replace(self._options, containers="not_media"))
            budget.take_pixels(reader.width_px * reader.height_px * reader.frame_count)
            first, self._frames = self._frames, self._frames + reader.frame_count
            for rendered in reader.frames():
                yield replace(rendered, frame=first + rendered.frame)
        elif _is_text(content):
            plain = content.replace(b"\0", b"") if content.startswith((b"\xff\xfe", b"\xfe\xff")) else content
            if any(sign in plain for sign in _PICTURE_IN_TEXT):
                raise Refused(State.NO_DECODER, "picture_in_text")

    def _fail(self, refused: Refused) -> None:
        # A picture too small to see anything in, an icon of an office theme, is no reason to hold the document.
        if self._failure is None and refused.state is not State.TOO_SMALL:
            self._failure = refused


def _is_media(head: bytes) -> bool:
    try:
        sniff(head)
    except Refused as refused:
        return refused.state is State.NO_DECODER
    return True


def _is_text(head: bytes) -> bool:
    """XML, HTML, style sheets and the like: no byte that text has not, in the first bytes."""
    start = head[:512]
    if start.startswith((b"\xff\xfe", b"\xfe\xff")):
        return True
    return bool(start) and not any(byte < 9 or 13 < byte < 32 for byte in start)


# --- ZIP ----------------------------------------------------------------------------------------------------


def _read_directory(data: bytes, steps: Steps, limits: Limits) -> list[_Entry]:
    """Every entry, in the order of the file.

    Raises:
        Refused: ``DECODE_FAILED`` for what is damaged or ambiguous, ``NO_DECODER`` for ZIP64 and several volumes,
            ``TOO_LARGE`` for too many entries.
    """
    end = data.rfind(_END, max(0, len(data) - _END_BYTES - _MAX_COMMENT_BYTES))
    if end < 0 or end + _END_BYTES > len(data):
        raise broken("zip_truncated")
    disk, first_disk, here, count, size, at, comment = struct.unpack_from("<HHHHIIH", data, end + 4)
    if count == 0xFFFF or size == 0xFFFFFFFF or at == 0xFFFFFFFF or disk or first_disk or here != count:
        raise Refused(State.NO_DECODER, "zip_variant")
    if end + _END_BYTES + comment != len(data) or at + size != end:
        raise broken("zip_structure")
    if count > limits.max_container_members:
        raise Refused(State.TOO_LARGE, "container_members")
    found = []
    for _ in range(count):
        steps.take()
        placed, at = _read_entry(data, at, end)
        found.append(placed)
    if at != end:
        raise broken("zip_structure")
    found.sort(key=lambda placed: placed[0])
    covered = 0
    for header, entry in found:
        # Overlapping entries are how a small file inflates to a huge one. A header between them would be found
        # by unpackers that read from the front.
        if header < covered or data.find(_LOCAL, covered, header) >= 0:
            raise broken("zip_structure")
        covered = entry.end
    if data.find(_LOCAL, covered, end - size) >= 0:
        raise broken("zip_structure")
    return [entry for _, entry in found]


def _read_entry(data: bytes, at: int, end: int) -> tuple[tuple[int, _Entry], int]:
    """Place of the local header and the entry, and where the next one is."""
    if at + _CENTRAL_BYTES > end or data[at : at + 4] != _CENTRAL:
        raise broken("zip_structure")
    flags, method, _, _, _, stored, size, name, extra, comment = struct.unpack_from("<HHHHIIIHHH", data, at + 8)
    (header,) = struct.unpack_from("<I", data, at + 42)
    if 0xFFFFFFFF in (stored, size, header):
        raise Refused(State.NO_DECODER, "zip_variant")
    if header + _LOCAL_BYTES > len(data) or data[header : header + 4] != _LOCAL:
        raise broken("zip_structure")
    local_flags, local_method = struct.unpack_from("<HH", data, header + 6)
    local_name, local_extra = struct.unpack_from("<HH", data, header + 26)
    if local_method != method or (local_flags ^ flags) & _ENCRYPTED_FLAGS:
        raise broken("zip_structure")
    start = header + _LOCAL_BYTES + local_name + local_extra
    if start + stored > at:
        raise broken("zip_structure")
    problem = ""
    if flags & _ENCRYPTED_FLAGS:
        problem = "zip_encrypted"
    elif method not in (_STORED, _DEFLATED):
        problem = "zip_method"
    elif method == _STORED and stored != size:
        raise broken("zip_structure")
    names = data[at + _CENTRAL_BYTES : at + _CENTRAL_BYTES + name]
    entry = _Entry(names, start, start + stored, size, method == _DEFLATED, problem)
    return (header, entry), at + _CENTRAL_BYTES + name + extra + comment


def _inflate(data: bytes, entry: _Entry, most: int) -> bytes:
    """At most ``most`` bytes of an entry."""
    if not entry.packed:
        return data[entry.start : min(entry.end, entry.start + most)]
    if most < 1:
        return b""  # to zlib, 0 means without a limit
    try:
        return zlib.decompressobj(-15).decompress(memoryview(data)[entry.start : entry.end], most)
    except zlib.error:
        raise broken("zip_structure") from None


# --- gzip ---------------------------------------------------------------------------------------------------


def _gunzip(data: bytes, budget: _Budget, limits: Limits) -> bytes:
    """The whole content, of all members of the file one after the other."""
    parts: list[bytes] = []
    rest = data
    total = 0
    while rest:
        most = min(limits.max_bytes - total, budget.left_bytes()) + 1
        stream = zlib.decompressobj(31)
        try:
            part = stream.decompress(rest, max(1, most))
        except zlib.error:
            if not parts:
                raise broken("gzip") from None
            break  # bytes behind the last member are ignored, as gzip does
        budget.take_bytes(len(part))
        total += len(part)
        if total > limits.max_bytes:
            raise Refused(State.TOO_LARGE, "bytes")
        if not stream.eof:
            raise broken("gzip")
        if total > _RATIO_FROM_BYTES and total > limits.max_container_ratio * len(data):
            raise Refused(State.TOO_LARGE, "container_ratio")
        parts.append(part)
        budget.take_member()
        rest = stream.unused_data.lstrip(b"\0")
    return b"".join(parts)
