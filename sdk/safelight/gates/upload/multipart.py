"""Taking a multipart body apart strictly, and putting it together again in the one way that every parser reads alike.

The parser is python-multipart. What two parsers could read in two ways is refused: a repeated header or parameter,
a folded line, a nested multipart. What is put together has a boundary of its own, chosen after the content was seen.
"""

from __future__ import annotations

import binascii
import logging
import re
import secrets
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from safelight.errors import MissingExtraError, UploadEncodingError, UploadMalformedError, UploadTooLargeError
from safelight.gates.upload.spool import Spool

_TOKEN: Final = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_PARAMETER: Final = re.compile(rf';[ \t]*({_TOKEN})=(?:({_TOKEN})|"((?:[^"\\]|\\.)*)")[ \t]*', re.ASCII | re.DOTALL)
_MEDIA_TYPE: Final = re.compile(rf"[ \t]*({_TOKEN})/({_TOKEN})[ \t]*", re.ASCII)
_DISPOSITION: Final = re.compile(rf"[ \t]*({_TOKEN})[ \t]*", re.ASCII)
_BOUNDARY: Final = re.compile(r"[0-9A-Za-z'()+_,\-./:=? ]{0,69}[0-9A-Za-z'()+_,\-./:=?]", re.ASCII)
_EXTENDED: Final = re.compile(
    r"utf-8'[A-Za-z0-9-]*'((?:[!#$&+.^_`|~0-9A-Za-z-]|%[0-9A-Fa-f]{2})*)", re.ASCII | re.IGNORECASE
)
_UNSAFE: Final = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
#: Said anew, or true of the old body only.
_LEFT_OUT: Final = frozenset({"content-disposition", "content-type", "content-transfer-encoding", "content-length"})
_BASE64: Final = re.compile(rb"[A-Za-z0-9+/]*={0,2}")
_MAX_LINE_BYTES: Final = 1 << 16
# The parser names characters of the body in its warnings; what is wrong is said by the error.
_SILENT: Final = logging.Logger("safelight.gates.upload.silent", logging.CRITICAL + 1)


def parse_parameters(text: str, start: re.Pattern[str]) -> tuple[re.Match[str], dict[str, str]]:
    """Read ``VALUE; name=token; name="quoted"``.

    Raises:
        UploadMalformedError: another form, or a parameter twice.
    """
    head = start.match(text)
    if head is None or _UNSAFE.search(text):
        raise _malformed("a header of another form")
    at, found = head.end(), dict[str, str]()
    while at < len(text):
        match = _PARAMETER.match(text, at)
        if match is None:
            if text[at:].strip("; \t") == "":
                break
            raise _malformed("a header of another form")
        name = match[1].lower()
        if name in found:
            raise _malformed("a parameter twice")
        found[name] = match[2] if match[2] is not None else re.sub(r'\\(["\\])', r"\1", match[3])
        at = match.end()
    return head, found


@dataclass(frozen=True, slots=True)
class MediaType:
    """A ``Content-Type``, taken apart."""

    kind: str
    subtype: str
    parameters: dict[str, str] = field(default_factory=dict)

    @classmethod
    def parse(cls, text: str) -> MediaType:
        """Read a header's value.

        Raises:
            UploadMalformedError: another form, or a parameter twice.
        """
        head, parameters = parse_parameters(text, _MEDIA_TYPE)
        return cls(head[1].lower(), head[2].lower(), parameters)

    @property
    def boundary(self) -> str:
        """Of a multipart.

        Raises:
            UploadMalformedError: there is none, or not one that a boundary may be.
        """
        boundary = self.parameters.get("boundary", "")
        if not _BOUNDARY.fullmatch(boundary):
            raise _malformed("no usable boundary")
        return boundary


@dataclass(frozen=True, slots=True)
class Part:
    """One part: where its content is in the spool, and what stands above it.

    Attributes:
        start, size: in the spool, in bytes.
        headers: as received, name and value.
        name, filename: of a form's part, ``None`` when it has none.
    """

    start: int
    size: int
    headers: tuple[tuple[str, str], ...] = ()
    name: str | None = None
    filename: str | None = None

    def head(self) -> bytes:
        """The headers as they are sent on."""
        lines = []
        for name, value in self.headers:
            lowered = name.lower()
            if lowered == "content-disposition":
                lines.append(self._disposition(value))
            elif lowered == "content-type" or lowered not in _LEFT_OUT:
                lines.append(f"{name}: {value}")
        return "".join(f"{line}\r\n" for line in lines).encode() + b"\r\n"

    def _disposition(self, value: str) -> str:
        head, parameters = parse_parameters(value, _DISPOSITION)
        line = f"Content-Disposition: {head[1]}"
        if self.name is not None:
            line += f'; name="{_quoted(self.name)}"'
        if self.filename is not None:
            line += f'; filename="{_quoted(self.filename)}"'
        for name, text in parameters.items():
            if name not in ("name", "filename", "filename*"):
                line += f'; {name}="{_quoted(text)}"'
        return line


class MultipartReader:
    """Feeds a multipart body into a spool, part by part.

    Args:
        media_type: of the request.
        spool: takes the contents of the parts, one behind the other.
        max_parts: how many at most.

    Raises:
        UploadMalformedError, UploadEncodingError, UploadTooLargeError: in :meth:`feed` and :meth:`finish`.
        MissingExtraError: python-multipart is not installed.
    """

    def __init__(self, media_type: MediaType, spool: Spool, *, max_parts: int) -> None:
        module: Any = None
        with suppress(ImportError):
            from python_multipart import multipart as module
        if module is None:
            raise MissingExtraError("UploadGate: a multipart body needs python-multipart; install safelight[upload].")
        self._media_type, self._spool, self._max_parts = media_type, spool, max_parts
        self._is_form = media_type.subtype == "form-data"
        self._parts: list[Part] = []
        self._headers: list[tuple[str, str]] = []
        self._name, self._value = b"", b""
        self._decode: _Decoder | None = None
        self._start = 0
        self._ended = False
        self._problem = module.FormParserError
        callbacks = {
            "on_part_begin": self._begin,
            "on_header_field": self._take_name,
            "on_header_value": self._take_value,
            "on_header_end": self._end_header,
            "on_headers_finished": self._begin_data,
            "on_part_data": self._data,
            "on_part_end": self._end_part,
            "on_end": self._end,
        }
        self._parser = module.MultipartParser(media_type.boundary.encode(), callbacks)
        self._parser.logger = _SILENT

    def feed(self, data: bytes) -> None:
        """Take the next bytes of the body."""
        problem = False
        try:
            if self._parser.write(data) != len(data):
                problem = True
        except self._problem:
            problem = True  # its message has positions and characters of the body: not chained
        if problem:
            raise _malformed("a multipart body that does not follow its format")

    def finish(self) -> tuple[Part, ...]:
        """The body is complete: its parts."""
        if not self._ended:
            raise _malformed("a multipart body that was cut short")
        return tuple(self._parts)

    def _begin(self) -> None:
        if len(self._parts) >= self._max_parts:
            raise UploadTooLargeError(f"body: got more than {self._max_parts} parts, expected fewer; send several.")
        self._headers, self._decode = [], None
        self._name = self._value = b""

    def _take_name(self, data: bytes, start: int, end: int) -> None:
        self._name += data[start:end]

    def _take_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _end_header(self) -> None:
        value = _utf8(self._value).strip(" \t")
        if _UNSAFE.search(value):
            raise _malformed("a control character in a header")
        self._headers.append((self._name.decode("ascii"), value))
        self._name = self._value = b""

    def _begin_data(self) -> None:
        names = [name.lower() for name, _ in self._headers]
        if len(set(names)) != len(names):
            raise _malformed("a header twice in one part")
        found = dict(zip(names, (value for _, value in self._headers), strict=True))
        content_type = found.get("content-type")
        if content_type and MediaType.parse(content_type).kind in ("multipart", "message"):
            raise _malformed("a multipart or a message inside of a part")
        if "content-encoding" in found:
            raise UploadEncodingError("body: got a compressed part, expected a plain one; send it as it is.")
        self._decode = _decoder(found.get("content-transfer-encoding", "binary").lower())
        self._start = self._spool.size

    def _data(self, data: bytes, start: int, end: int) -> None:
        piece = data[start:end]
        self._spool.write(self._decode.feed(piece) if self._decode is not None else piece)

    def _end_part(self) -> None:
        if self._decode is not None:
            self._spool.write(self._decode.finish())
        name, filename = self._names()
        size = self._spool.size - self._start
        self._parts.append(Part(self._start, size, tuple(self._headers), name, filename))

    def _names(self) -> tuple[str | None, str | None]:
        for header, value in self._headers:
            if header.lower() == "content-disposition":
                head, parameters = parse_parameters(value, _DISPOSITION)
                if self._is_form and (head[1].lower() != "form-data" or "name" not in parameters):
                    break
                if any("*" in one for one in parameters if one != "filename*"):
                    raise _malformed("a parameter in pieces")
                extended = parameters.get("filename*")
                return parameters.get("name"), (
                    _extended(extended) if extended is not None else parameters.get("filename")
                )
        if self._is_form:
            raise _malformed("a part without a name")
        return None, None

    def _end(self) -> None:
        self._ended = True


def write_multipart(media_type: MediaType, parts: tuple[Part, ...]) -> tuple[str, list[bytes | Part]]:
    """The ``Content-Type`` and the pieces of a body that says what these parts say, and nothing else."""
    boundary = "safelight-" + secrets.token_hex(16)
    pieces: list[bytes | Part] = []
    for part in parts:
        pieces += [f"--{boundary}\r\n".encode() + part.head(), part, b"\r\n"]
    pieces.append(f"--{boundary}--\r\n".encode())
    text = f"multipart/{media_type.subtype}; boundary={boundary}"
    for name, value in media_type.parameters.items():
        if name != "boundary":
            text += f'; {name}="{_quoted(value)}"'
    return text, pieces


class _Decoder(Protocol):
    """Undoes a content-transfer-encoding, piece by piece."""

    def feed(self, data: bytes) -> bytes: ...

    def finish(self) -> bytes: ...


class _Base64:
    def __init__(self) -> None:
        self._rest = b""
        self._ended = False

    def feed(self, data: bytes) -> bytes:
        text = self._rest + data.translate(None, b" \t\r\n")
        whole = len(text) - len(text) % 4
        self._rest = text[whole:]
        text = text[:whole]
        if not text:
            return b""
        if self._ended or not _BASE64.fullmatch(text):
            raise _malformed("base64 that is none")
        self._ended = text.endswith(b"=")
        return binascii.a2b_base64(text)

    def finish(self) -> bytes:
        if self._rest:
            raise _malformed("base64 that was cut short")
        return b""


class _QuotedPrintable:
    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> bytes:
        text = self._rest + data
        whole = text.rfind(b"\n") + 1
        self._rest = text[whole:]
        if len(self._rest) > _MAX_LINE_BYTES:
            raise _malformed("quoted-printable in a line without end")
        return binascii.a2b_qp(text[:whole])

    def finish(self) -> bytes:
        return binascii.a2b_qp(self._rest)


def _decoder(name: str) -> _Decoder | None:
    if name in ("binary", "8bit", "7bit"):
        return None
    makers: dict[str, Callable[[], _Decoder]] = {"base64": _Base64, "quoted-printable": _QuotedPrintable}
    if name not in makers:
        raise UploadEncodingError(
            "body: got a content-transfer-encoding that nobody reads here, expected binary or base64; send it plain."
        )
    return makers[name]()


def _extended(value: str) -> str:
    match = _EXTENDED.fullmatch(value)
    if match is None:
        raise _malformed("a file name in another coding")
    raw = re.sub(rb"%([0-9A-Fa-f]{2})", lambda m: bytes((int(m[1], 16),)), match[1].encode())
    text = _utf8(raw)
    if _UNSAFE.search(text):
        raise _malformed("a control character in a file name")
    return text


def _utf8(raw: bytes) -> str:
    text: str | None = None
    with suppress(UnicodeDecodeError):
        text = raw.decode()
    if text is None:
        raise _malformed("a name that is not UTF-8")
    return text


def _quoted(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')


def _malformed(got: str) -> UploadMalformedError:
    return UploadMalformedError(f"body: got {got}, expected one that every parser reads alike; make it with a library.")
