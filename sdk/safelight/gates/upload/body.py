"""A body on its way in, as parts to check, and on its way out, made anew from what was checked."""

from __future__ import annotations

import os
import re
import zlib
from collections.abc import Iterator, Sequence
from typing import Any, BinaryIO, Final

from safelight.errors import UploadEncodingError, UploadError, UploadMalformedError, UploadTooLargeError
from safelight.gates.upload.limits import UploadLimits
from safelight.gates.upload.multipart import MediaType, MultipartReader, Part, write_multipart
from safelight.gates.upload.spool import BLOCK_BYTES, Budget, Spool

_FORM: Final = ("application", "x-www-form-urlencoded")
_MULTIPARTS: Final = frozenset({"form-data", "mixed", "related"})
_RATIO_FROM_BYTES: Final = 1 << 20
_SMALL_BYTES: Final = 1 << 12
_SHORT_VALUE_BYTES: Final = 64
_PERCENT: Final = re.compile(rb"%([0-9A-Fa-f]{2})")


class BodyReader:
    """Takes a body as it comes and keeps it until there is a verdict.

    Not for several threads at once. :meth:`close` in any case, unless :meth:`finish` handed the body over.

    Args:
        content_type: the header's value, or nothing.
        content_encoding: the header's value, or nothing.
        limits: what the body may cost.
        budget: what all bodies together may cost.

    Raises:
        UploadMalformedError, UploadEncodingError: a header is not to be understood in one way.
    """

    def __init__(
        self, *, content_type: str | None, content_encoding: str | None, limits: UploadLimits, budget: Budget
    ) -> None:
        self._limits = limits
        self.content_type = content_type
        self.media_type = MediaType.parse(content_type) if content_type else None
        self._inflate = _inflater(content_encoding)
        self._spool = Spool(budget, limits)
        self._multipart: MultipartReader | None = None
        if self.media_type is not None and self.media_type.kind == "multipart":
            if self.media_type.subtype not in _MULTIPARTS:
                raise UploadEncodingError(
                    "body: got a multipart of a kind that is not read here, expected form-data, mixed or related."
                )
            self._multipart = MultipartReader(self.media_type, self._spool, max_parts=limits.max_parts)
        self._received = self._unpacked = 0

    def feed(self, data: bytes) -> None:
        """Take the next bytes, if any.

        Raises:
            UploadTooLargeError, UploadMalformedError, UploadBusyError: nothing of it goes further.
        """
        self._received += len(data)
        if self._received > self._limits.max_body_bytes:
            raise self._too_large()
        if self._inflate is None:
            self._take(data)
            return
        for piece in self._inflate.feed(data):
            self._unpacked += len(piece)
            if self._unpacked > self._limits.max_body_bytes:
                raise self._too_large()
            if self._unpacked > max(_RATIO_FROM_BYTES, self._received * self._limits.max_unpacked_ratio):
                raise UploadTooLargeError("body: got one that unfolds into far more than it is; send it unpacked.")
            self._take(piece)

    def finish(self) -> CheckedBody:
        """The body is complete. What is handed back owns what was kept.

        Raises:
            UploadMalformedError: it ended in the middle.
            UploadTooLargeError: a form without files that is too large to take apart.
        """
        if self._inflate is not None:
            self._inflate.finish()
        self._spool.finish()
        size = self._spool.size
        if self._multipart is not None and self.media_type is not None:
            parts = self._multipart.finish()
            content_type, pieces = write_multipart(self.media_type, parts)
            return CheckedBody(self._spool, parts, pieces, content_type, is_multipart=True)
        whole = Part(0, size)
        parts = (whole,) if size else ()
        is_form = self.media_type is not None and (self.media_type.kind, self.media_type.subtype) == _FORM
        if is_form and size > self._limits.max_form_bytes:
            raise UploadTooLargeError(
                f"body: got a form of more than {self._limits.max_form_bytes} bytes, expected less; send files as "
                "multipart/form-data."
            )
        return CheckedBody(self._spool, parts, [whole] if size else [], self.content_type, is_form=is_form)

    def close(self) -> None:
        """Let go of everything."""
        self._spool.close()

    def _take(self, data: bytes) -> None:
        if self._multipart is not None:
            self._multipart.feed(data)
        else:
            self._spool.write(data)

    def _too_large(self) -> UploadTooLargeError:
        return UploadTooLargeError(
            f"body: got more than {self._limits.max_body_bytes} bytes, expected at most that; send it in pieces or "
            "raise UploadLimits.max_body_bytes."
        )


class CheckedBody:
    """A body that is complete, in parts; read it like a file to send it on.

    Attributes:
        content_type: to send it with; its boundary is a new one. ``None`` when none came.
        size_bytes: of the body as it is sent on.
        parts: what is checked, in order.
    """

    def __init__(
        self,
        spool: Spool,
        parts: Sequence[Part],
        pieces: Sequence[bytes | Part],
        content_type: str | None,
        *,
        is_multipart: bool = False,
        is_form: bool = False,
    ) -> None:
        self._spool, self.parts, self._pieces = spool, tuple(parts), tuple(pieces)
        self.content_type = content_type
        self._is_multipart, self._is_form = is_multipart, is_form
        self.size_bytes = sum(len(one) if isinstance(one, bytes) else one.size for one in pieces)
        self._at = 0

    def documents(self) -> Iterator[bytes | BinaryIO]:
        """What is to be checked, in order: contents of parts, values of a form, or the whole body."""
        if self._is_form:
            yield from form_values(self._spool.read_at(0, self._spool.size))
            return
        for part in self.parts:
            if part.size <= _SMALL_BYTES:
                yield self._spool.read_at(part.start, part.size)
            else:
                yield self._spool.view(part.start, part.size)

    def headings(self) -> bytes:
        """What stands above the parts, as one text; empty for other bodies."""
        return b"\n".join(part.head() for part in self.parts) if self._is_multipart else b""

    @property
    def on_disk(self) -> bool:
        """Whether reading may touch the disk."""
        return self._spool.on_disk

    def read(self, size: int | None = -1) -> bytes:
        """The next bytes, as of a file."""
        if size is None or size < 0:
            size = self.size_bytes - self._at
        out = []
        while size > 0:
            piece = self._next(size)
            if not piece:
                break
            out.append(piece)
            self._at += len(piece)
            size -= len(piece)
        return out[0] if len(out) == 1 else b"".join(out)

    def _next(self, size: int) -> bytes:
        at = self._at
        for piece in self._pieces:
            length = len(piece) if isinstance(piece, bytes) else piece.size
            if at < length:
                if isinstance(piece, bytes):
                    return piece[at : at + size]
                return self._spool.read_at(piece.start + at, min(size, piece.size - at, BLOCK_BYTES))
            at -= length
        return b""

    def tell(self) -> int:
        """Where the next read begins."""
        return self._at

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """As of a file: an attempt that failed may begin again."""
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self.size_bytes}[whence]
        self._at = min(max(0, base + offset), self.size_bytes)
        return self._at

    def __iter__(self) -> Iterator[bytes]:
        while True:
            piece = self.read(BLOCK_BYTES)
            if not piece:
                return
            yield piece

    def __len__(self) -> int:
        return self.size_bytes

    def close(self) -> None:
        """Let go of what was kept. Safe to call twice."""
        self._spool.close()

    def __repr__(self) -> str:
        return f"CheckedBody(parts={len(self.parts)}, size_bytes={self.size_bytes})"


def form_values(data: bytes) -> list[bytes]:
    """Names and values of a form without files. Short ones of plain text are put together.

    Raises:
        UploadMalformedError: a ``%`` that begins no byte.
    """
    short: list[bytes] = []
    values: list[bytes] = []
    for field in data.split(b"&"):
        for piece in field.split(b"=", 1):
            text = piece.replace(b"+", b" ")
            if b"%" in text:
                if len(_PERCENT.findall(text)) != text.count(b"%"):
                    raise UploadMalformedError(
                        "body: got a form with a % that begins no byte, expected %25; make it with a library."
                    )
                text = _PERCENT.sub(lambda match: bytes((int(match[1], 16),)), text)
            # Nothing of this length is a picture that anybody could see: one look for all of them.
            is_plain = (
                len(text) < _SHORT_VALUE_BYTES and text.isascii() and b"<" not in text and text.decode().isprintable()
            )
            (short if is_plain else values).append(text)
    return [*values, b";\n".join(short)] if short else values


def _is_plain(text: bytes) -> bool:
    return text.isascii() and b"<" not in text and text.decode().isprintable()


class _Inflater:
    """gzip or deflate, within bounds."""

    def __init__(self, wbits: int) -> None:
        self._wbits = wbits
        self._stream: Any = None
        self._is_complete = False
        self._first = b""

    def feed(self, data: bytes) -> Iterator[bytes]:
        problem = False
        while data and not problem:
            if self._stream is None:
                if self._is_complete and self._wbits != 31:
                    problem = True
                    break
                if self._wbits == 15:
                    # "deflate" means zlib's form; many send the bare one.
                    self._first += data
                    if len(self._first) < 2:
                        return
                    data, self._first = self._first, b""
                    bare = data[0] & 0x0F != 8 or int.from_bytes(data[:2], "big") % 31 != 0
                    self._stream = zlib.decompressobj(-15 if bare else 15)
                else:
                    self._stream = zlib.decompressobj(self._wbits)
            try:
                piece = self._stream.decompress(data, BLOCK_BYTES)
            except zlib.error:
                problem = True
                break
            if piece:
                yield piece
            if self._stream.eof:
                # gzip may go on with another member.
                data, self._stream, self._is_complete = self._stream.unused_data, None, True
                continue
            data = self._stream.unconsumed_tail
            self._is_complete = False
        if problem:
            raise _not_packed()

    def finish(self) -> None:
        if self._stream is not None or self._first or not self._is_complete:
            raise _not_packed()


def _not_packed() -> UploadError:
    return UploadMalformedError("body: got a compressed body that is damaged, expected a whole one; send it again.")


def _inflater(content_encoding: str | None) -> _Inflater | None:
    name = (content_encoding or "").strip().lower()
    if name in ("", "identity"):
        return None
    wbits = {"gzip": 31, "x-gzip": 31, "deflate": 15}.get(name)
    if wbits is None:
        raise UploadEncodingError("body: got a content-encoding that is not unpacked here, expected gzip or deflate.")
    return _Inflater(wbits)
