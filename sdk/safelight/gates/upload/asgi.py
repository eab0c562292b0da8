"""The gate before an ASGI app (Starlette, FastAPI, Django, Quart …): the app is called after there is a verdict.

    receive → spool → parts → verdict ─ refused → answer, the app is never called
                                      └ passes  → the app receives a body made anew from what was checked

The app's own parser reads what the gate wrote, not what the client wrote: two parsers that read one body differently
have nothing left to differ about.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Collection, MutableMapping
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from safelight.errors import (
    UploadError,
    UploadMalformedError,
    UploadTimeoutError,
    UploadTooLargeError,
    UsageError,
)
from safelight.gates.upload.answer import answer
from safelight.gates.upload.gate import UploadGate
from safelight.gates.upload.spool import BLOCK_BYTES
from safelight.gates.upload.verdict import UploadedPart, UploadRefusedError, UploadVerdict

if TYPE_CHECKING:
    from safelight.gates.upload.body import BodyReader, CheckedBody

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

#: Where an app finds the verdict: ``scope[VERDICT]``, an UploadVerdict; absent for a request without a body.
VERDICT: Final = "safelight.upload"

_BATCH_BYTES: Final = 1 << 18
_SINGLE: Final = frozenset({b"content-type", b"content-length", b"content-encoding"})
_ABOUT_OLD_BODY: Final = frozenset(
    {b"content-type", b"content-length", b"content-encoding", b"transfer-encoding", b"content-md5", b"digest"}
)
_WEBSOCKETS: Final = ("look", "refuse", "pass")
_POLICY_VIOLATION, _TOO_BIG, _TRY_AGAIN = 1008, 1009, 1013


class _GoneError(Exception):
    """The client went away: there is nobody to answer."""


class UploadMiddleware:
    """Pure ASGI middleware; add it as the outermost one that sees bodies.

    Every request with a body is looked at, whatever its path, method or declared type. A refusal is an answer with
    status 422 in JSON (RFC 9457), or a page for a browser; see docs/uploads.md for every status.

    Args:
        app: what is protected.
        gate: decides.
        websocket: what becomes of WebSocket messages: ``look`` checks each before the app sees it (one that may not
            go through closes the connection with code 1008), ``refuse`` closes at the first binary message and looks
            at text, ``pass`` leaves them to the app.
        except_paths: exact paths whose bodies are not looked at: the app looks itself. A list, not a pattern.

    Raises:
        UsageError: an unknown word.

    Example:
        >>> from safelight import Guard, Profile
        >>> from safelight.gates import UploadGate, UploadMiddleware
        >>> async def app(scope, receive, send): ...
        >>> protected = UploadMiddleware(app, gate=UploadGate(Guard(Profile("13_15", country="GB"))))
    """

    def __init__(
        self, app: App, *, gate: UploadGate, websocket: str = "look", except_paths: Collection[str] = ()
    ) -> None:
        if websocket not in _WEBSOCKETS:
            raise UsageError(f"websocket: got {websocket!r}, expected one of {', '.join(_WEBSOCKETS)}.")
        if isinstance(except_paths, str):
            raise UsageError("except_paths: got a single path, expected several in a tuple; write ('/webhook',).")
        self.app = app
        self.gate = gate
        self._websocket = websocket
        self._except_paths = frozenset(except_paths)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """As of every ASGI app."""
        if scope["type"] == "http" and scope["path"] not in self._except_paths:
            await self._http(scope, receive, send)
        elif scope["type"] == "websocket" and self._websocket != "pass" and scope["path"] not in self._except_paths:
            await self._messages(scope, receive, send)
        else:
            await self.app(scope, receive, send)

    # --- requests ---------------------------------------------------------------------------------------------------

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        error: UploadError | None = None
        checked: CheckedBody | None = None
        entered = False
        try:
            try:
                first = await self._next(receive, self.gate.limits.idle_timeout_s)
                if not first.get("body") and not first.get("more_body", False):
                    await self.app(scope, _replay([first], receive), send)
                    return
                self.gate.enter()
                entered = True
                checked, verdict = await self._check(scope, first, receive)
            except UploadError as problem:
                error = problem
            except _GoneError:
                return
            if error is not None or checked is None:
                await self._answer(scope, send, error if error is not None else UploadError("body: not taken."))
                return
            await self.app(_changed(scope, checked, verdict), self._again(checked, receive), send)
        finally:
            if checked is not None:
                checked.close()
            if entered:
                self.gate.leave()

    async def _check(self, scope: Scope, first: Message, receive: Receive) -> tuple[CheckedBody, UploadVerdict]:
        headers = _single_headers(scope)
        declared = _length(headers.get(b"content-length"))
        if declared is not None and declared > self.gate.limits.max_body_bytes:
            raise UploadTooLargeError(
                f"body: got {declared} bytes announced, expected at most {self.gate.limits.max_body_bytes}."
            )
        reader = self.gate.open_body(
            content_type=_text(headers.get(b"content-type")), content_encoding=_text(headers.get(b"content-encoding"))
        )
        working: asyncio.Future[tuple[CheckedBody, UploadVerdict]] | None = None
        try:
            received, rest = await self._take_in(first, receive, reader)
            if declared is not None and received != declared:
                raise UploadMalformedError("body: got another length than announced, expected the same; send it again.")
            loop = asyncio.get_running_loop()
            working = loop.run_in_executor(self.gate.verdict_pool, self._decide, reader, rest)
            late = False
            try:
                checked, verdict = await asyncio.wait_for(asyncio.shield(working), self.gate.limits.check_timeout_s)
            except asyncio.TimeoutError:
                late = not working.done()
                if not late:
                    raise
            if late:
                raise UploadTimeoutError("body: got no verdict in time, expected one; send fewer or smaller files.")
        except BaseException:
            if working is None or working.done():
                reader.close()
            else:
                # The thread may still read it: closed when it is through.
                working.add_done_callback(partial(_close_after, reader))
            raise
        if verdict.refused:
            checked.close()
            raise UploadRefusedError(verdict)
        return checked, verdict

    def _decide(self, reader: BodyReader, rest: bytes) -> tuple[CheckedBody, UploadVerdict]:
        """In a thread: the last bytes, and the verdict."""
        reader.feed(rest)
        checked = reader.finish()
        return checked, self.gate.check_body(checked)

    async def _take_in(self, first: Message, receive: Receive, reader: BodyReader) -> tuple[int, bytes]:
        """Feed what comes; how many bytes came, and the last of them, not yet fed."""
        limits = self.gate.limits
        loop = asyncio.get_running_loop()
        ends = time.monotonic() + limits.body_timeout_s
        batch: list[bytes] = []
        waiting = received = 0
        message = first
        while True:
            piece = message.get("body", b"")
            if piece:
                batch.append(bytes(piece))
                waiting += len(piece)
                received += len(piece)
            more = message.get("more_body", False)
            if not more:
                return received, b"".join(batch)
            # A body that will be refused for its size is not read to its end.
            if waiting and (waiting >= _BATCH_BYTES or received > limits.max_body_bytes):
                data = batch[0] if len(batch) == 1 else b"".join(batch)
                batch, waiting = [], 0
                feeding = loop.run_in_executor(self.gate.reader_pool, reader.feed, data)
                try:
                    await asyncio.shield(feeding)
                except asyncio.CancelledError:
                    await asyncio.wait([feeding])
                    raise
            left_s = ends - time.monotonic()
            message = await self._next(receive, min(limits.idle_timeout_s, left_s))

    async def _next(self, receive: Receive, timeout_s: float) -> Message:
        late = False
        try:
            message = await asyncio.wait_for(receive(), max(timeout_s, 0.0))
        except asyncio.TimeoutError:
            late = True
        if late:
            raise UploadTimeoutError("body: got the next piece too late, expected it sooner; send it again.")
        if message["type"] == "http.disconnect":
            raise _GoneError
        return message

    def _again(self, body: CheckedBody, receive: Receive) -> Receive:
        ended = False

        async def again() -> Message:
            nonlocal ended
            if ended:
                return await receive()
            if body.on_disk:
                loop = asyncio.get_running_loop()
                piece = await loop.run_in_executor(self.gate.reader_pool, body.read, BLOCK_BYTES)
            else:
                piece = body.read(BLOCK_BYTES)
            ended = body.tell() >= body.size_bytes
            return {"type": "http.request", "body": piece, "more_body": not ended}

        return again

    async def _answer(self, scope: Scope, send: Send, error: UploadError) -> None:
        accept = b", ".join(value for name, value in scope["headers"] if name.lower() == b"accept")
        loop = asyncio.get_running_loop()
        status, headers, body = await loop.run_in_executor(
            self.gate.reader_pool, lambda: answer(error, self.gate.guard, accept=accept.decode("latin-1"))
        )
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body if scope.get("method") != "HEAD" else b""})

    # --- WebSocket --------------------------------------------------------------------------------------------------

    async def _messages(self, scope: Scope, receive: Receive, send: Send) -> None:
        is_closed = False

        async def looked_at() -> Message:
            nonlocal is_closed
            message = await receive()
            if message["type"] != "websocket.receive" or is_closed:
                return message
            code = await self._code(message)
            if code is None:
                return message
            is_closed = True
            await send({"type": "websocket.close", "code": code, "reason": "safelight"})
            return {"type": "websocket.disconnect", "code": code, "reason": "safelight"}

        async def unless_closed(message: Message) -> None:
            if not is_closed:
                await send(message)

        await self.app(scope, looked_at, unless_closed)

    async def _code(self, message: Message) -> int | None:
        """Why the connection closes; ``None`` for a message that may go through."""
        data, text = message.get("bytes"), message.get("text")
        if data is not None and self._websocket == "refuse":
            return _POLICY_VIOLATION
        document = data if data is not None else (text or "").encode("utf-8", "surrogatepass")
        if len(document) > self.gate.limits.max_message_bytes:
            return _TOO_BIG
        loop = asyncio.get_running_loop()
        try:
            self.gate.enter()
        except UploadError:
            return _TRY_AGAIN
        try:
            verdict = await asyncio.wait_for(
                loop.run_in_executor(self.gate.verdict_pool, self._look, bytes(document)),
                self.gate.limits.check_timeout_s,
            )
        except asyncio.TimeoutError:
            return _TRY_AGAIN
        finally:
            self.gate.leave()
        return _POLICY_VIOLATION if verdict.refused else None

    def _look(self, document: bytes) -> UploadVerdict:
        gate = self.gate
        kind, decision = gate.guard.look_at_upload(document, event=gate.event, rules=gate.rules)
        return UploadVerdict((UploadedPart(0, kind, len(document), decision),), gate.refuse_at)


def _single_headers(scope: Scope) -> dict[bytes, bytes]:
    """The headers that say what the body is; each may stand there once."""
    found: dict[bytes, bytes] = {}
    for name, value in scope["headers"]:
        lowered = bytes(name).lower()
        if lowered in _SINGLE:
            if lowered in found:
                raise UploadMalformedError(
                    "request: got a header about the body twice, expected it once; send it once."
                )
            found[lowered] = bytes(value)
    return found


def _length(value: bytes | None) -> int | None:
    if value is None:
        return None
    if not value.isdigit() or len(value) > 18:
        raise UploadMalformedError("request: got a length that is no number, expected one; send it again.")
    return int(value)


def _text(value: bytes | None) -> str | None:
    return value.decode("latin-1") if value is not None else None


def _changed(scope: Scope, body: CheckedBody, verdict: UploadVerdict) -> Scope:
    headers = [(name, value) for name, value in scope["headers"] if bytes(name).lower() not in _ABOUT_OLD_BODY]
    if body.content_type is not None:
        headers.append((b"content-type", body.content_type.encode("latin-1", "surrogateescape")))
    headers.append((b"content-length", str(body.size_bytes).encode()))
    return {**scope, "headers": headers, VERDICT: verdict}


def _replay(messages: list[Message], receive: Receive) -> Receive:
    async def replay() -> Message:
        return messages.pop(0) if messages else await receive()

    return replay


def _close_after(reader: BodyReader, working: asyncio.Future[Any]) -> None:
    if not working.cancelled():
        working.exception()  # nobody waits for it any more
    reader.close()
