"""The words and frames of the socket protocol. No socket here: bytes in, messages out. See docs/serve-protocol.md.

    16 bytes of header · body: JSON in UTF-8 · content: raw bytes, e.g. of a picture (requests only)

Both sides read with :class:`FrameReader`; every length is bounded before anything is kept.
"""

from __future__ import annotations

import contextlib
import os
import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, Final, Literal, Union

import msgspec

#: Versions of the messages that this build speaks; the frame itself has never changed.
VERSIONS: Final = (1,)
#: ``SL``, version of the frame, action, number, length of the body, length of the content; little-endian.
HEADER: Final = struct.Struct("<2sBBIII")
MAGIC: Final = b"SL"
FRAMING: Final = 1
#: In place of an action, in answers that decide nothing.
NO_ACTION: Final = 255
#: A text of 40,000 letters fits however it is escaped; all other requests are short. With every place of every client
#: taken by such bodies the service holds 100 MB.
MAX_REQUEST_BODY_BYTES: Final = 256 << 10
#: A decision about an animation of 1,000 frames has its worst findings only; the longest notice is 20 kB.
MAX_ANSWER_BODY_BYTES: Final = 1 << 20
#: How much is asked of a socket at once.
READ_BYTES: Final = 256 << 10

_Word = Annotated[str, msgspec.Meta(max_length=64)]
_Name = Annotated[str, msgspec.Meta(pattern=r"^[a-z0-9_-]{1,32}\Z")]
_Id = Annotated[int, msgspec.Meta(ge=1, le=(1 << 53) - 1)]
_Count = Annotated[int, msgspec.Meta(ge=0, le=(1 << 53) - 1)]
_Patience = Annotated[int, msgspec.Meta(ge=1, le=3_600_000)]


class WireError(Exception):
    """The other side does not keep to the protocol. The connection is of no more use.

    Attributes:
        type: a word of the table in docs/serve-protocol.md.
        id: number of the request, if it is known; else 0.
    """

    def __init__(self, type: str, message: str, *, id: int = 0) -> None:
        super().__init__(message)
        self.type = type
        self.id = id


# --- requests ---------------------------------------------------------------------------------------------------


class _Request(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="type"):
    """``timeout_ms``: how long the client will wait; work that would come too late is not begun."""


class Hello(_Request, frozen=True, tag="hello"):
    """First of every connection."""

    versions: Annotated[list[_Count], msgspec.Meta(min_length=1, max_length=32)]
    client: _Word = ""


class FrameShape(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How to read raw pixels; as :class:`safelight.Frame`."""

    format: _Word
    width: _Count
    height: _Count
    stride: _Count | Annotated[list[_Count], msgspec.Meta(max_length=3)] | None = None
    rotation: int = 0
    color_range: _Word = "full"


class CheckImage(_Request, frozen=True, tag="check_image"):
    """One picture: encoded, or raw with ``frame``; in the content, or behind a file descriptor."""

    event: _Word = "upload"
    source: Literal["inline", "fd"] = "inline"
    frame: FrameShape | None = None
    context: _Word | None = None
    offset: _Count = 0
    bytes: _Count | None = None
    digest: bool = False
    timeout_ms: _Patience | None = None


class CheckClip(_Request, frozen=True, tag="check_clip"):
    """One clip, encoded; in the content, or behind a file descriptor."""

    event: _Word = "upload"
    source: Literal["inline", "fd"] = "fd"
    timeout_ms: _Patience | None = None


class CheckQuery(_Request, frozen=True, tag="check_query"):
    """What somebody is about to search for."""

    text: str
    timeout_ms: _Patience | None = None


class CheckUrl(_Request, frozen=True, tag="check_url"):
    """Where somebody is about to go."""

    url: str
    timeout_ms: _Patience | None = None


class CheckConsent(_Request, frozen=True, tag="check_consent"):
    """Whether a purpose has been agreed to."""

    purpose: _Word
    timeout_ms: _Patience | None = None


class CheckTime(_Request, frozen=True, tag="check_time"):
    """Whether there is time for a purpose."""

    purpose: _Word
    timeout_ms: _Patience | None = None


class ConversationOpen(_Request, frozen=True, tag="conversation_open"):
    """Start judging the messages of one contact, for as long as this connection lives."""

    contact: _Word = "unknown"
    trust: _Word | None = None
    timeout_ms: _Patience | None = None


class ConversationAdd(_Request, frozen=True, tag="conversation_add"):
    """The next message. ``at``: ISO 8601 or seconds of any clock."""

    conversation: _Id
    sender: _Word
    text: str
    at: float | str | None = None
    timeout_ms: _Patience | None = None


class ConversationFine(_Request, frozen=True, tag="conversation_fine"):
    """The child says "this is fine"."""

    conversation: _Id


class ConversationClose(_Request, frozen=True, tag="conversation_close"):
    """Forget it."""

    conversation: _Id


class AskNotice(_Request, frozen=True, tag="notice"):
    """What to show somebody who asks for help in a situation."""

    situation: _Word


class AskHelp(_Request, frozen=True, tag="help"):
    """Services to turn to."""

    audiences: Annotated[tuple[_Word, ...], msgspec.Meta(min_length=1, max_length=16)] = ("child", "crisis")


class Health(_Request, frozen=True, tag="health"):
    """Is the service able to protect?"""


class AnchorRead(_Request, frozen=True, tag="anchor_read"):
    """The number that is kept for this user under this name."""

    name: _Name = "store"


class AnchorAdvance(_Request, frozen=True, tag="anchor_advance"):
    """Raise it; it never gets lower."""

    value: _Count
    name: _Name = "store"


Request = Union[  # noqa: UP007 - msgspec takes it at run time
    Hello,
    CheckImage,
    CheckClip,
    CheckQuery,
    CheckUrl,
    CheckConsent,
    CheckTime,
    ConversationOpen,
    ConversationAdd,
    ConversationFine,
    ConversationClose,
    AskNotice,
    AskHelp,
    Health,
    AnchorRead,
    AnchorAdvance,
]

_requests: Final[msgspec.json.Decoder[Request]] = msgspec.json.Decoder(Request)


def read_request(message: Message) -> Request:
    """The request that a message bears.

    Raises:
        WireError: ``MALFORMED``. It quotes nothing: what came may be somebody's text.
    """
    try:
        return _requests.decode(message.body)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        raise WireError(
            "MALFORMED",
            "the body is no request of this version; expected JSON as docs/serve-protocol.md has it.",
            id=message.id,
        ) from None


# --- frames -----------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Message:
    """One frame as it arrived.

    Attributes:
        id: number of the request, chosen by the client; 0 is about the connection itself.
        action: 0 to 4, or ``NO_ACTION``; 0 in requests.
        body: JSON.
        content: raw bytes behind it; this side's own copy, to be wiped.
        fd: a file descriptor that came along, owned by whoever has the message.
        shed: there was no memory for the content, which is not here.
    """

    id: int
    action: int
    body: bytes
    content: bytearray = field(default_factory=bytearray)
    fd: int | None = None
    shed: bool = False

    def overwrite(self) -> None:
        """Let go of what came with it."""
        overwrite(self.content)
        if self.fd is not None:
            with contextlib.suppress(OSError):
                os.close(self.fd)
            self.fd = None


def overwrite(content: bytearray | memoryview) -> None:
    """Zero, and shorten what can be; a buffer that somebody still looks at is zeroed only."""
    if content:
        with memoryview(content) as view:
            for start in range(0, len(view), len(_ZEROS)):
                part = view[start : start + len(_ZEROS)]
                part[:] = _ZEROS[: len(part)]
                part.release()
    if isinstance(content, bytearray):
        with contextlib.suppress(BufferError):
            content.clear()


_ZEROS: Final = bytes(READ_BYTES)


def pack(id: int, body: object, *, action: int = NO_ACTION, content_bytes: int = 0) -> bytes:
    """Header and body, ready to send. ``body``: what msgspec can write as JSON, or bytes of JSON."""
    text = body if isinstance(body, bytes) else msgspec.json.encode(body)
    return HEADER.pack(MAGIC, FRAMING, action, id, len(text), content_bytes) + text


class FrameReader:
    """Puts frames together from what a socket hands over, and never wants more than the rest of one frame.

    So a file descriptor belongs to the frame with whose bytes it came: no read reaches into the next one.

    Args:
        max_body_bytes: longest body.
        max_content_bytes: longest content.

    Example:
        >>> reader = FrameReader(max_body_bytes=100, max_content_bytes=0)
        >>> frame = pack(7, {"type": "health"})
        >>> reader.feed(frame[: reader.wanted]) is None, reader.feed(frame[16:]).id
        (True, 7)
    """

    def __init__(self, *, max_body_bytes: int, max_content_bytes: int) -> None:
        self._max_body_bytes = max_body_bytes
        self._max_content_bytes = max_content_bytes
        self._header = bytearray()
        self._body = bytearray()
        self._content = bytearray()
        self._content_got = 0
        self._shedding = False
        self._fields: tuple[int, int, int, int] | None = None  # action, id, body and content bytes
        self._fd: int | None = None

    @property
    def wanted(self) -> int:
        """Bytes that :meth:`feed` may be given next, at most; always 1 or more."""
        if self._fields is None:
            return HEADER.size - len(self._header)
        _, _, body_bytes, content_bytes = self._fields
        return body_bytes - len(self._body) + content_bytes - self._content_got

    @property
    def begun(self) -> bool:
        """Whether part of a frame is there."""
        return bool(self._header)

    @property
    def id(self) -> int:
        """Number of the frame that has begun; 0 before its header is complete."""
        return self._fields[1] if self._fields is not None else 0

    @property
    def content_bytes_held(self) -> int:
        """How much of the content is in memory now."""
        return len(self._content)

    def shed(self) -> None:
        """There is no memory for this content: read on to the end of the frame, and keep nothing of it."""
        self._shedding = True
        overwrite(self._content)

    def feed(self, data: bytes, fds: Sequence[int] = ()) -> Message | None:
        """Take what arrived, at most :attr:`wanted` bytes.

        Args:
            data: the bytes; at least one.
            fds: file descriptors that came with them; they are this reader's from now on.

        Returns:
            The frame, when this completed it.

        Raises:
            WireError: ``PROTOCOL``, ``TOO_LARGE`` or ``TOO_MANY_FDS``; the connection must be closed.
        """
        for fd in fds:
            if self._fd is not None:
                for other in fds[fds.index(fd) :]:
                    with contextlib.suppress(OSError):
                        os.close(other)
                raise WireError(
                    "TOO_MANY_FDS", "got several file descriptors in one frame, expected one at most.", id=self.id
                )
            self._fd = fd
        if self._fields is None:
            self._header += data
            if len(self._header) < HEADER.size:
                # Nobody who speaks something else waits for an answer to a header that never ends.
                if not bytes((*MAGIC, FRAMING)).startswith(self._header[:3]):
                    raise _other_protocol()
                return None
            self._fields = self._read_header()
        else:
            rest = self._fields[2] - len(self._body)
            self._body += data[:rest]
            if rest < len(data):
                self._content_got += len(data) - rest
                if not self._shedding:
                    self._content += memoryview(data)[rest:]
        return self._message() if self.wanted == 0 else None

    def close(self) -> None:
        """Forget what has begun, overwrite it, and close its file descriptor."""
        overwrite(self._content)
        self._body.clear()
        self._header.clear()
        self._content_got = 0
        self._shedding = False
        self._fields = None
        if self._fd is not None:
            with contextlib.suppress(OSError):
                os.close(self._fd)
            self._fd = None

    def _read_header(self) -> tuple[int, int, int, int]:
        magic, framing, action, id, body_bytes, content_bytes = HEADER.unpack(self._header)
        if magic != MAGIC or framing != FRAMING:
            raise _other_protocol()
        if body_bytes < 2:  # "{}"
            raise WireError("PROTOCOL", "got a frame without a body, expected a JSON object.", id=id)
        for name, got, limit in (
            ("body", body_bytes, self._max_body_bytes),
            ("content", content_bytes, self._max_content_bytes),
        ):
            if got > limit:
                raise WireError("TOO_LARGE", f"got a {name} of {got} bytes, expected at most {limit}.", id=id)
        return action, id, body_bytes, content_bytes

    def _message(self) -> Message:
        assert self._fields is not None
        message = Message(self._fields[1], self._fields[0], bytes(self._body), self._content, self._fd, self._shedding)
        self._content, self._fd = bytearray(), None
        self.close()
        return message


def _other_protocol() -> WireError:
    return WireError("PROTOCOL", 'got bytes that begin no frame, expected "SL" and 1; see docs/serve-protocol.md.')


def read_object(body: bytes) -> dict[str, Any]:
    """The JSON object of an answer.

    Raises:
        WireError: it is none.
    """
    try:
        value = msgspec.json.decode(body)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise WireError("MALFORMED", "the body is no JSON object.")
    return value
