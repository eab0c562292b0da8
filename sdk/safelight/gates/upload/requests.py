"""The gate before a ``requests.Session``: a body leaves only after there is a verdict about all of it.

What is sent is read from what was checked, never from the file or generator a second time. A refusal raises
:class:`~safelight.gates.upload.UploadRefusedError` before a connection is opened.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from safelight.errors import MissingExtraError, UnsupportedInputError
from safelight.gates.upload.gate import UploadGate, read_pieces
from safelight.gates.upload.verdict import UploadRefusedError

if TYPE_CHECKING:
    from requests import PreparedRequest, Response
    from requests.adapters import BaseAdapter
else:
    BaseAdapter: Any = None
    with suppress(ImportError):
        from requests.adapters import BaseAdapter
    if BaseAdapter is None:
        raise MissingExtraError("UploadGate: got no requests library, expected one; install safelight[upload].")

_PIECE_BYTES: Final = 1 << 18


class UploadAdapter(BaseAdapter):
    """Stands before another adapter of a session, which keeps its proxies, certificates, pools and retries.

    Every body is looked at, whichever way it was given: ``files=``, ``data=`` (a dictionary, bytes, a file or a
    generator), ``json=``, or one that a multipart library made. It is sent with ``Content-Length``, unpacked, and a
    multipart with a boundary of its own. An attempt that is repeated sends the same checked bytes; a redirect that
    repeats the body is checked once more. The address and the headers are not looked at.

    The response has the verdict as ``response.safelight``; ``None`` for a request without a body. Below the gate's
    ``refuse_at`` (a nudge) show its notice.

    Args:
        gate: decides.
        behind: sends.

    Raises:
        UploadRefusedError: in :meth:`send`. Not one byte left, and no connection was opened.
        UploadError: in :meth:`send`, the body could not be taken; nothing left either.
        UnsupportedInputError: in :meth:`send`, the body is of another type.
    """

    def __init__(self, gate: UploadGate, behind: BaseAdapter) -> None:
        super().__init__()
        self._gate = gate
        self._behind = behind

    def send(
        self,
        request: PreparedRequest,
        stream: bool = False,
        timeout: float | tuple[float, float] | tuple[float, None] | None = None,
        verify: bool | str = True,
        cert: bytes | str | tuple[bytes | str, bytes | str] | None = None,
        proxies: Mapping[str, str] | None = None,
    ) -> Response:
        """Check, then send; as of every adapter."""
        options: dict[str, Any] = {
            "stream": stream, "timeout": timeout, "verify": verify, "cert": cert, "proxies": proxies
        }  # fmt: skip
        body: Any = request.body
        if body is None or (isinstance(body, (bytes, str)) and not body):
            response = self._behind.send(request, **options)
            response.safelight = None  # type: ignore[attr-defined]
            return response
        self._gate.enter()
        try:
            return self._checked(request, body, options)
        finally:
            self._gate.leave()

    def close(self) -> None:
        """Close the adapter behind; the gate stays open."""
        self._behind.close()

    def _checked(self, request: PreparedRequest, body: Any, options: dict[str, Any]) -> Response:
        gate = self._gate
        reader = gate.open_body(
            content_type=_header(request, "Content-Type"), content_encoding=_header(request, "Content-Encoding")
        )
        try:
            for piece in _pieces(body, gate.limits.max_body_bytes):
                reader.feed(piece)
            checked = reader.finish()
        except BaseException:
            reader.close()
            raise
        try:
            verdict = gate.check_body(checked)
            if verdict.refused:
                raise UploadRefusedError(verdict)
            sent = request.copy()
            sent.body = checked  # type: ignore[assignment]
            for name in ("Transfer-Encoding", "Content-Encoding"):
                sent.headers.pop(name, None)
            sent.headers["Content-Length"] = str(checked.size_bytes)
            if checked.content_type is not None:
                sent.headers["Content-Type"] = checked.content_type
            response = self._behind.send(sent, **options)
        finally:
            checked.close()
        # What was asked for, so that a redirect begins from the body as it was given.
        response.request = request
        response.safelight = verdict  # type: ignore[attr-defined]
        return response


def _header(request: PreparedRequest, name: str) -> str | None:
    value: Any = request.headers.get(name)
    return value.decode("latin-1") if isinstance(value, bytes) else value


def _pieces(body: Any, max_bytes: int) -> Iterable[bytes]:
    if isinstance(body, str):
        body = body.encode()
    if isinstance(body, (bytes, bytearray, memoryview)):
        with memoryview(body).cast("B") as view:
            for at in range(0, len(view), _PIECE_BYTES):
                yield bytes(view[at : at + _PIECE_BYTES])
    elif hasattr(body, "read"):
        yield from read_pieces(body, max_bytes=max_bytes)
    elif isinstance(body, Iterable):
        for piece in body:
            if isinstance(piece, str):
                piece = piece.encode()
            if not isinstance(piece, (bytes, bytearray, memoryview)):
                raise UnsupportedInputError(
                    f"body: got an iterable of {type(piece).__name__}, expected bytes; encode each piece."
                )
            yield bytes(piece)
    else:
        raise UnsupportedInputError(
            f"body: got {type(body).__name__}, expected bytes, a file object or an iterable of bytes."
        )
