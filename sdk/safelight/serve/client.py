"""Asking the service from Python: the face of a guard, on the other side of a socket.

What goes wrong on the way is a decision: ``HOLD``, a reason that names it (``SERVICE_UNAVAILABLE``, ``SERVICE_LOST``
…), words and help. Only programmers' errors and missing files are exceptions, as with a guard.
"""

from __future__ import annotations

import contextlib
import os
import select
import socket
import stat
import struct
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, TypeVar

import msgspec

from safelight.decision import Action, AgeBand, Decision, Event, HelpService, Notice
from safelight.errors import (
    ClosedError,
    MediaNotFoundError,
    StoreError,
    UnsupportedInputError,
    UsageError,
)
from safelight.media import Frame, Limits
from safelight.serve import _protect, _sockets, _wire
from safelight.serve._wire import FrameReader, WireError

if TYPE_CHECKING:
    from safelight.guard import Guard
    from safelight.media import ImageSource

_T = TypeVar("_T")


def default_socket_path() -> Path:
    """Where ``safelight serve`` listens and clients ask when nobody says.

    In the user's own runtime folder (XDG_RUNTIME_DIR), else ``/run/safelight``: never in a folder like /tmp, where
    anybody may put a socket of their own.
    """
    folder = os.environ.get("XDG_RUNTIME_DIR", "")
    return Path(folder if os.path.isabs(folder) else "/run/safelight") / "safelight.sock"


class Client:
    """Asks a ``safelight serve`` for decisions; may be used from several threads.

    Connects when first asked, and again after the service was restarted. A request whose connection breaks is not
    sent a second time: a picture that ended the service must not end it twice. Sent pictures are not kept.

    Args:
        path: of the socket; :func:`default_socket_path` when left out.
        timeout_ms: for one whole call: connecting, waiting, answer.
        connections: at once; a call waits for a free one.
        service_users: numbers of the users who may run the service; anybody when left out. Give it where a user of
            the device could put a socket of their own at this path.

    Raises:
        UsageError: an argument is out of range.

    Example:
        >>> from safelight.serve import Client
        >>> with Client("/nonexistent/safelight.sock") as client:
        ...     decision = client.check_image(b"a picture", event="upload")
        >>> decision.action.name, decision.reasons
        ('HOLD', ('SERVICE_UNAVAILABLE',))
    """

    def __init__(
        self,
        path: str | os.PathLike[str] | None = None,
        *,
        timeout_ms: int = 30_000,
        connections: int = 4,
        service_users: Iterable[int] | None = None,
    ) -> None:
        for name, value in (("timeout_ms", timeout_ms), ("connections", connections)):
            if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= 3_600_000:
                raise UsageError(f"{name}: expected a whole number, 1 or more.")
        self._path = Path(path) if path is not None else default_socket_path()
        self._timeout_s = timeout_ms / 1000
        self._most = connections
        self._users = frozenset(service_users) if service_users is not None else None
        self._profile = _Profile()
        self._service_uid: int | None = None
        self._executor: ThreadPoolExecutor | None = None
        self._begin()
        self._closed = False

    def _begin(self) -> None:
        self._pid = os.getpid()
        self._free = threading.BoundedSemaphore(self._most)
        self._lock = threading.Lock()
        self._idle: list[_Line] = []
        # Conversations live on one connection, or each of a hundred chats would take one.
        self._chat_lock = threading.Lock()
        self._chat_line: _Line | None = None
        self._chat_generation = 0

    # -- the face of a guard ------------------------------------------------------------------------------------

    def check_image(
        self, source: ImageSource, *, event: Event | str = Event.UPLOAD, color: str = "RGB", context: str | None = None
    ) -> Decision:
        """Decide about one picture, as :meth:`safelight.Guard.check_image`.

        Args:
            source: a path (its file is opened here and read there), ``bytes``, a binary file object,
                ``uint8[H,W,3]`` or a ``Frame``.
            event: what is about to happen.
            color: channel order of an array: ``RGB`` or ``BGR``.
            context: what only the host knows, for the words; see the guard's.

        Returns:
            A decision; ``HOLD`` with a reason ``SERVICE_…`` when the service could not be asked.

        Raises:
            MediaNotFoundError: the file is not there or cannot be opened.
            UnsupportedInputError: a source of a type that does not travel; give bytes, an array or a frame.
            UsageError: an unknown event, color or context.
            ClosedError: after :meth:`close`.
        """
        word = _event(event)
        if color not in ("RGB", "BGR"):
            raise UsageError("color: expected RGB or BGR.")
        self._require_open()

        def request(parcel: _Parcel) -> _wire.CheckImage:
            return _wire.CheckImage(
                event=word.value,
                source="inline" if parcel.fd is None else "fd",
                frame=parcel.shape,
                context=context,
            )

        return self._decide_about(source, color, word, request)

    async def acheck_image(
        self, source: ImageSource, *, event: Event | str = Event.UPLOAD, color: str = "RGB", context: str | None = None
    ) -> Decision:
        """:meth:`check_image` for asyncio: waits in one of the client's own threads."""
        return await self._in_thread(lambda: self.check_image(source, event=event, color=color, context=context))

    def check_images(
        self, sources: Iterable[ImageSource], *, event: Event | str = Event.UPLOAD, color: str = "RGB"
    ) -> Iterator[Decision]:
        """One decision for each picture, in order, as they are taken from the iterator."""
        for source in sources:
            yield self.check_image(source, event=event, color=color)

    def check_clip(
        self,
        source: str | os.PathLike[str] | bytes,
        *,
        event: Event | str = Event.UPLOAD,
        timeout_ms: int = 600_000,
    ) -> Decision:
        """Decide about a clip, from a path or bytes; raises as :meth:`check_image`.

        Args:
            source: a path, whose file is opened here and read there, or ``bytes``.
            event: what is about to happen.
            timeout_ms: instead of the client's own: a clip takes as long as it has frames.
        """
        word = _event(event)
        if not isinstance(source, (str, os.PathLike, bytes)):
            raise UnsupportedInputError(f"source: got {type(source).__name__}, expected a path or bytes.")
        self._require_open()

        def request(parcel: _Parcel) -> _wire.CheckClip:
            return _wire.CheckClip(event=word.value, source="inline" if parcel.fd is None else "fd")

        return self._decide_about(source, "RGB", word, request, timeout_s=timeout_ms / 1000)

    def check_query(self, text: str) -> Decision:
        """Decide about a search, as the guard's. A search for help is allowed, service or not."""
        request = _wire.CheckQuery(text=_text(text))
        return self._decide(request, Event.SEARCH, helps=lambda guard: guard.check_query(text))

    def check_url(self, url: str) -> Decision:
        """Decide about an address, as the guard's. One of a service that helps is allowed, service or not."""
        request = _wire.CheckUrl(url=_text(url))
        return self._decide(request, Event.SEARCH, helps=lambda guard: guard.check_url(url))

    def check_consent(self, purpose: str) -> Decision:
        """Decide whether a purpose has been agreed to, as the guard's."""
        return self._decide(_wire.CheckConsent(purpose=_text(purpose)), Event.USE)

    def check_time(self, purpose: str) -> Decision:
        """Decide whether there is time for a purpose, as the guard's. Help is never limited, service or not."""
        request = _wire.CheckTime(purpose=_text(purpose))
        return self._decide(request, Event.USE, helps=lambda guard: guard.check_time(purpose))

    async def acheck_query(self, text: str) -> Decision:
        """:meth:`check_query` for asyncio."""
        return await self._in_thread(lambda: self.check_query(text))

    async def acheck_url(self, url: str) -> Decision:
        """:meth:`check_url` for asyncio."""
        return await self._in_thread(lambda: self.check_url(url))

    def conversation(self, contact: str = "unknown", *, trust: str | None = None) -> ClientConversation:
        """Start judging the messages of one contact, as the guard's.

        Raises:
            UsageError: an unknown word.
            ClosedError: after :meth:`close`.
        """
        if contact not in ("unknown", "known"):
            raise UsageError(f"contact: got {contact!r}, expected unknown or known.")
        if trust not in (None, "unknown", "child", "guardian"):
            raise UsageError(f"trust: got {trust!r}, expected unknown, child or guardian.")
        self._require_open()
        return ClientConversation(self, _wire.ConversationOpen(contact=contact, trust=trust))

    def notice(self, situation: str) -> Notice:
        """What to show somebody who asks, as the guard's; from this build's own words when no service answers."""
        try:
            answer = self._ask(_wire.AskNotice(situation=situation))
            _raise_usage(answer)
            return _protect.read_notice(answer.get("notice"))
        except (_NoAnswerError, WireError, ValueError) as error:
            if isinstance(error, UsageError):
                raise
            from safelight.guard import Guard

            with Guard(self._profile.here(), detectors=()) as guard:
                return guard.notice(situation)

    def help(self, *, audiences: Sequence[str] = ("child", "crisis")) -> tuple[HelpService, ...]:
        """Services to turn to; from this build's own directory when no service answers. After :meth:`close` too."""
        try:
            return _protect.read_help(self._ask(_wire.AskHelp(audiences=tuple(audiences))).get("services"))
        except (_NoAnswerError, WireError, ValueError, ClosedError):
            profile = self._profile
            return _protect.local_help(audiences, country=profile.country, languages=profile.languages)

    def health(self) -> dict[str, Any]:
        """How the service is. ``{"ready": False, "reason": "SERVICE_…"}`` when it cannot be asked."""
        try:
            answer = self._ask(_wire.Health())
        except _NoAnswerError as failed:
            return {"ready": False, "reason": failed.reason}
        if answer.get("type") != "health":
            return {"ready": False, "reason": (answer.get("reasons") or [_protect.PROTOCOL])[0]}
        return answer

    @property
    def service_uid(self) -> int | None:
        """Number of the user who runs the service, as the kernel says; ``None`` before the first answer."""
        return self._service_uid

    @property
    def closed(self) -> bool:
        """Whether :meth:`close` was called."""
        return self._closed

    def close(self) -> None:
        """Close every connection. Later checks raise :class:`ClosedError`. Safe to call twice."""
        self._closed = True
        with self._lock:
            idle, self._idle = self._idle, []
        for line in idle:
            line.close()
        with self._chat_lock:
            self._hang_up_chats()
        if self._executor is not None:
            self._executor.shutdown(wait=True)

    def __enter__(self) -> Client:
        self._require_open()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Client(closed={self._closed})"

    # -- asking -------------------------------------------------------------------------------------------------

    def _decide(self, request: Any, event: Event, *, helps: Callable[[Guard], Decision] | None = None) -> Decision:
        """``helps`` says whether this is a way to help, which nothing that is broken may block."""
        started = time.perf_counter()
        try:
            return self._as_decision(self._ask(request))
        except _NoAnswerError as failed:
            if helps is not None:
                from safelight.guard import Guard

                with Guard(self._profile.here(), detectors=()) as guard:
                    decision = helps(guard)
                if decision.action is Action.ALLOW and (event is Event.USE or "HELP" in decision.reasons):
                    return decision
            return self._protective(failed.reason, event, started)

    def _decide_about(
        self,
        source: Any,
        color: str,
        event: Event,
        request: Callable[[_Parcel], Any],
        *,
        timeout_s: float | None = None,
    ) -> Decision:
        started = time.perf_counter()
        with contextlib.ExitStack() as stack:
            try:
                parcel = _parcel(source, color, stack)
                answer = self._ask(request(parcel), parcel, timeout_s)
                if _error_type(answer) == "FD_REFUSED" and parcel.fd is not None and parcel.shape is None:
                    # E.g. a memory card behind a file system in user space: read here, and send what was read.
                    parcel = _read_here(parcel.fd)
                    answer = self._ask(request(parcel), parcel, timeout_s)
                return self._as_decision(answer)
            except _NoAnswerError as failed:
                return self._protective(failed.reason, event, started)

    def _as_decision(self, answer: dict[str, Any]) -> Decision:
        _raise_usage(answer)
        try:
            return _protect.read_decision(answer)
        except ValueError:
            raise _NoAnswerError(_error_reason(answer)) from None

    def _protective(self, reason: str, event: Event, started: float) -> Decision:
        profile = self._profile
        return _protect.protective_decision(
            reason,
            event,
            band=profile.band,
            country=profile.country,
            languages=profile.languages,
            test_mode=profile.test_mode,
            elapsed_ms=(time.perf_counter() - started) * 1000,
        )

    def _ask(self, request: Any, parcel: _Parcel | None = None, timeout_s: float | None = None) -> dict[str, Any]:
        """Ask, and give the connection back for the next one.

        Raises:
            _NoAnswerError: there is no answer.
        """
        self._require_open()
        if self._pid != os.getpid():
            self._begin()  # a fork: the connections are the other process's
        patience_s = timeout_s if timeout_s is not None else self._timeout_s
        deadline = time.monotonic() + patience_s
        if not self._free.acquire(timeout=patience_s):
            raise _NoAnswerError(_protect.TIMED_OUT)
        line = None
        try:
            line = self._line(deadline)
            answer = line.ask(request, parcel, deadline)
            with self._lock:
                if not self._closed and not line.ended:
                    self._idle.append(line)
                    line = None
            return answer
        finally:
            if line is not None:
                line.close()
            self._free.release()

    def _ask_plainly(self, request: Any) -> dict[str, Any]:
        """For :class:`~safelight.serve.SocketAnchor`. Raises StoreError."""
        try:
            answer = self._ask(request)
        except (_NoAnswerError, ClosedError):
            answer = {}
        if answer.get("type") != "anchor":
            raise StoreError(
                "anchor: the service that keeps the number does not answer; start it with --anchors.",
                state="ANCHOR_UNAVAILABLE",
            )
        return answer

    def _line(self, deadline: float) -> _Line:
        """A connection that is still open at the other end, or a new one."""
        while True:
            with self._lock:
                line = self._idle.pop() if self._idle else None
            if line is None:
                return self._connect(deadline)
            if line.quiet():
                return line
            line.close()  # the service was restarted, or tidied up

    def _connect(self, deadline: float) -> _Line:
        line = _Line(self._path, self._users, deadline)
        self._service_uid = line.service_uid
        self._profile = line.profile
        return line

    def _ask_chat(self, make: Callable[[], Any], generation: int | None) -> tuple[dict[str, Any], int]:
        """Ask on the connection of the conversations; also says which connection that was, by number.

        Raises:
            _NoAnswerError: there is no answer; ``CONVERSATION_LOST``: this connection is not that of ``generation``.
        """
        self._require_open()
        if self._pid != os.getpid():
            self._begin()
        deadline = time.monotonic() + self._timeout_s
        if not self._chat_lock.acquire(timeout=self._timeout_s):
            raise _NoAnswerError(_protect.TIMED_OUT)
        try:
            if self._chat_line is not None and not self._chat_line.quiet():
                self._hang_up_chats()
            if generation is not None and (self._chat_line is None or generation != self._chat_generation):
                raise _NoAnswerError(_protect.CONVERSATION_LOST)
            if self._chat_line is None:
                self._chat_line = self._connect(deadline)
            try:
                answer = self._chat_line.ask(make(), None, deadline)
            except BaseException as error:
                if not (isinstance(error, _NoAnswerError) and error.unsent):
                    self._hang_up_chats()
                raise
            return answer, self._chat_generation
        finally:
            self._chat_lock.release()

    def _hang_up_chats(self) -> None:
        if self._chat_line is not None:
            self._chat_line.close()
            self._chat_line = None
            self._chat_generation += 1

    async def _in_thread(self, call: Callable[[], _T]) -> _T:
        import asyncio

        self._require_open()
        with self._lock:
            if self._executor is None:
                self._executor = ThreadPoolExecutor(self._most, thread_name_prefix="safelight-client")
            executor = self._executor
        return await asyncio.get_running_loop().run_in_executor(executor, call)

    def _require_open(self) -> None:
        if self._closed:
            raise ClosedError("this client was closed; make a new Client to go on.")


class ClientConversation:
    """One contact's messages, judged by the service. Made by :meth:`Client.conversation`.

    The service forgets a conversation when it is restarted. Then the message at hand is held with the reason
    ``CONVERSATION_LOST``, a new one is begun with the next, and every decision from there on carries the reason
    ``CONVERSATION_RESTARTED``: what came before is not known any more. A host that has the history may add it again.
    A message too long to travel is held (``SERVICE_TOO_LARGE``), and the conversation does not hear of it.
    """

    def __init__(self, client: Client, opening: _wire.ConversationOpen) -> None:
        self._client = client
        self._opening = opening
        self._lock = threading.Lock()
        self._number: int | None = None
        self._generation: int | None = None
        self._restarted = False
        self._closed = False
        self.level = "calm"
        self.messages = 0

    def add(self, *, sender: str, text: str | bytes, at: datetime | float | None = None) -> Decision:
        """Take the next message in and decide, as :meth:`safelight.chat.Conversation.add`.

        Raises:
            UsageError: an unknown sender, or a text or time of another type.
            ClosedError: after :meth:`close`.
        """
        if sender not in ("other", "self"):
            raise UsageError("sender: expected other or self.")
        if not isinstance(text, (str, bytes)):
            raise UsageError("text: expected str or UTF-8 bytes.")
        if at is not None and (isinstance(at, bool) or not isinstance(at, (datetime, int, float))):
            raise UsageError("at: expected a datetime or seconds.")
        words = text.decode("utf-8", "replace") if isinstance(text, bytes) else text
        # Lone surrogates cannot travel as UTF-8; the guard would see them as unreadable marks too.
        words = words.encode("utf-8", "replace").decode("utf-8")
        moment = at.isoformat() if isinstance(at, datetime) else at
        started = time.perf_counter()
        with self._lock:
            if self._closed:
                raise ClosedError("this conversation was closed; open a new one to go on.")
            try:
                if self._number is None:
                    self._open()
                number = self._number
                assert number is not None
                answer, _ = self._client._ask_chat(
                    lambda: _wire.ConversationAdd(conversation=number, sender=sender, text=words, at=moment),
                    self._generation,
                )
                if _error_type(answer) == "NO_CONVERSATION":
                    raise _NoAnswerError(_protect.CONVERSATION_LOST)
                decision = self._client._as_decision(answer)
            except _NoAnswerError as failed:
                reason = failed.reason
                if self._number is not None and not failed.unsent:
                    # Whatever broke, what was said before is lost with the connection.
                    self._number = self._generation = None
                    self._restarted = True
                    if reason == _protect.LOST:
                        reason = _protect.CONVERSATION_LOST
                return self._client._protective(reason, Event.MESSAGE, started)
            if "error" not in answer:
                self.level = str(answer.get("level", self.level))
                self.messages += 1
        if self._restarted:
            decision = _with_reason(decision)
        return decision

    def fine(self) -> None:
        """The child says "this is fine"; nothing, where the conversation is lost: then nothing is taken for fine."""
        with self._lock:
            number = self._number
            if number is not None:
                with contextlib.suppress(_NoAnswerError):
                    self._client._ask_chat(lambda: _wire.ConversationFine(conversation=number), self._generation)

    def close(self) -> None:
        """Forget the conversation. Safe to call twice."""
        with self._lock:
            self._closed = True
            number, self._number = self._number, None
            if number is not None:
                with contextlib.suppress(_NoAnswerError, ClosedError):
                    self._client._ask_chat(lambda: _wire.ConversationClose(conversation=number), self._generation)

    def _open(self) -> None:
        answer, generation = self._client._ask_chat(lambda: self._opening, None)
        _raise_usage(answer)
        number = answer.get("conversation")
        if not isinstance(number, int):
            raise _NoAnswerError(_error_reason(answer))
        self._number, self._generation = number, generation

    def __enter__(self) -> ClientConversation:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"ClientConversation(messages={self.messages}, level={self.level!r})"


# -- one connection -----------------------------------------------------------------------------------------------


class _NoAnswerError(Exception):
    """There is no answer; the reason says why. ``unsent``: nothing left, so the connection is as it was."""

    def __init__(self, reason: str, *, unsent: bool = False) -> None:
        super().__init__(reason)
        self.reason = reason
        self.unsent = unsent


class _Profile:
    """Who is protected, as the service said when it was last met."""

    def __init__(self, values: dict[str, Any] | None = None, *, test_mode: bool = False) -> None:
        values = values or {}
        try:
            self.band = AgeBand(values.get("age_band", "unknown"))
        except ValueError:
            self.band = AgeBand.UNKNOWN
        country, languages = values.get("country"), values.get("languages")
        self.country = country if isinstance(country, str) else None
        fits = isinstance(languages, list) and languages and all(isinstance(tag, str) for tag in languages)
        self.languages: tuple[str, ...] = tuple(languages) if fits and languages else ("en",)
        self.test_mode = test_mode

    def here(self) -> Any:
        from safelight.policy import Profile

        try:
            return Profile(self.band, country=self.country, languages=self.languages)
        except UsageError:
            return Profile(self.band)


class _Line:
    """One connection, after its hello; used by one thread at a time.

    Raises:
        _NoAnswerError: there is no service, or not one to talk to.
    """

    def __init__(self, path: Path, users: frozenset[int] | None, deadline: float) -> None:
        self._sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._asked = 0
        self._max_content_bytes = 0
        self._max_body_bytes = _wire.MAX_REQUEST_BODY_BYTES
        self._memory: int | None = None
        self._used = 0
        self.ended = False
        try:
            self._connect(path, users, deadline)
            with contextlib.suppress(OSError):
                self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER_BYTES)
            hello = self.ask(_wire.Hello(versions=list(_wire.VERSIONS), client="safelight-python"), None, deadline)
            self._settle(hello)
        except BaseException:
            self.close()
            raise

    def ask(self, request: Any, parcel: _Parcel | None, deadline: float) -> dict[str, Any]:
        """One request and its answer, as a JSON object."""
        left_ms = int((deadline - time.monotonic()) * 1000)
        if left_ms < 1:
            raise _NoAnswerError(_protect.TIMED_OUT)
        if getattr(request, "timeout_ms", 0) is None:
            request = msgspec.structs.replace(request, timeout_ms=left_ms)
        content, fd = (parcel.data, parcel.fd) if parcel is not None else (None, None)
        if content is not None and parcel is not None and parcel.shape is not None and self._put(content):
            # Raw pixels go in anonymous memory: one copy here, one there, instead of many through the socket.
            request = msgspec.structs.replace(request, source="fd", bytes=len(content))
            content, fd = None, self._memory
        try:
            return self._exchange(request, content, fd, deadline)
        finally:
            self._wipe()

    def _exchange(self, request: Any, content: Any, fd: int | None, deadline: float) -> dict[str, Any]:
        size = len(content) if content is not None else 0
        body = msgspec.json.encode(request)
        if len(body) > self._max_body_bytes or (size > self._max_content_bytes and self._asked):
            raise _NoAnswerError("SERVICE_TOO_LARGE", unsent=True)
        self._asked = self._asked % 0xFFFFFFFF + 1
        frame = _wire.pack(self._asked, body, action=0, content_bytes=size)
        try:
            self._send(frame, fd, content, deadline)
        except _NoAnswerError as failed:
            # The service may have said why before it hung up.
            if failed.reason != _protect.LOST:
                raise
        return self._receive(deadline)

    def quiet(self) -> bool:
        """Whether nothing has come, in particular no end, since the last answer."""
        poll = select.poll()
        poll.register(self._sock, select.POLLIN)
        return not self.ended and not poll.poll(0)

    def close(self) -> None:
        """Hang up. Safe to call twice."""
        self.ended = True
        self._sock.close()
        if self._memory is not None:
            os.close(self._memory)
            self._memory = None

    def _put(self, pixels: memoryview) -> bool:
        """Into this connection's memory, which is reused: new pages for every frame would cost more than the copy."""
        if len(pixels) > self._max_content_bytes:
            return False
        try:
            if self._memory is None:
                self._memory = os.memfd_create("safelight", os.MFD_CLOEXEC)
            self._used = len(pixels)
            done = 0
            while done < len(pixels):
                done += os.pwrite(self._memory, pixels[done:], done)
        except OSError:  # a strict filter, or no memory: through the socket then
            return False
        return True

    def _wipe(self) -> None:
        if self._memory is None or not self._used:
            return
        try:
            if self._used > _KEEP_BYTES:
                os.ftruncate(self._memory, 0)
            for at in range(0, self._used if self._used <= _KEEP_BYTES else 0, len(_ZEROS)):
                os.pwrite(self._memory, _ZEROS[: min(len(_ZEROS), self._used - at)], at)
        except OSError:
            os.close(self._memory)
            self._memory = None
        self._used = 0

    def _connect(self, path: Path, users: frozenset[int] | None, deadline: float) -> None:
        # Not settimeout alone: connect(2) of a Unix socket says EAGAIN, not EINPROGRESS, when the queue is full.
        while True:
            self._patience(deadline)
            try:
                self._sock.connect(os.fspath(path))
                break
            except BlockingIOError:
                if time.monotonic() + _CONNECT_AGAIN_S >= deadline:
                    raise _NoAnswerError(_protect.TIMED_OUT) from None
                time.sleep(_CONNECT_AGAIN_S)
            except TimeoutError:
                raise _NoAnswerError(_protect.TIMED_OUT) from None
            except OSError:
                raise _NoAnswerError(_protect.UNAVAILABLE) from None
        _, self.service_uid, _ = _sockets.peer_credentials(self._sock)
        if users is not None and self.service_uid not in users:
            raise _NoAnswerError(_protect.UNTRUSTED)

    def _settle(self, hello: dict[str, Any]) -> None:
        error = _error_type(hello)
        if error is not None:
            raise _NoAnswerError(_error_reason(hello))
        if hello.get("type") != "hello" or hello.get("version") not in _wire.VERSIONS:
            raise _NoAnswerError(_protect.VERSION)
        limits, profile = hello.get("limits"), hello.get("profile")
        if not isinstance(limits, dict) or not all(
            isinstance(limits.get(name), int) for name in ("max_content_bytes", "max_body_bytes")
        ):
            raise _NoAnswerError(_protect.PROTOCOL)
        self._max_content_bytes = limits["max_content_bytes"]
        self._max_body_bytes = limits["max_body_bytes"]
        self.profile = _Profile(
            profile if isinstance(profile, dict) else None, test_mode=hello.get("test_mode") is True
        )

    def _send(self, frame: bytes, fd: int | None, content: Any, deadline: float) -> None:
        try:
            self._patience(deadline)
            parts = [memoryview(frame)] + ([memoryview(content).cast("B")] if content is not None else [])
            rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, struct.pack("i", fd))] if fd is not None else []
            sent = self._sock.sendmsg(parts, rights, socket.MSG_NOSIGNAL)
            for view in parts:
                gone = min(sent, len(view))
                sent -= gone
                view = view[gone:]
                while view:
                    self._patience(deadline)
                    view = view[self._sock.send(view, socket.MSG_NOSIGNAL) :]
        except TimeoutError:
            raise _NoAnswerError(_protect.TIMED_OUT) from None
        except OSError:
            raise _NoAnswerError(_protect.LOST) from None

    def _receive(self, deadline: float) -> dict[str, Any]:
        reader = FrameReader(max_body_bytes=_wire.MAX_ANSWER_BODY_BYTES, max_content_bytes=0)
        try:
            while True:
                self._patience(deadline)
                data = self._sock.recv(reader.wanted)
                if not data:
                    raise _NoAnswerError(_protect.LOST)
                message = reader.feed(data)
                if message is None:
                    continue
                answer = _wire.read_object(message.body)
                if message.id not in (0, self._asked):
                    raise _NoAnswerError(_protect.PROTOCOL)
                # Without the number of a request it is about the connection, which is at its end.
                self.ended = message.id == 0 or _error_type(answer) in _LAST_WORDS
                _agree(message.action, answer)
                return answer
        except TimeoutError:
            raise _NoAnswerError(_protect.TIMED_OUT) from None
        except OSError:
            raise _NoAnswerError(_protect.LOST) from None
        except WireError:
            raise _NoAnswerError(_protect.PROTOCOL) from None

    def _patience(self, deadline: float) -> None:
        left_s = deadline - time.monotonic()
        if left_s <= 0:
            raise TimeoutError
        self._sock.settimeout(left_s)


def _agree(action: int, answer: dict[str, Any]) -> None:
    """The header and the body say the same, or neither counts."""
    said = answer.get("action")
    if said is not None:
        said = Action[said].value if isinstance(said, str) and said in Action.__members__ else -1
    if (_wire.NO_ACTION if said is None else said) != action:
        raise _NoAnswerError(_protect.PROTOCOL)


# -- what travels -------------------------------------------------------------------------------------------------


class _Parcel:
    """A picture on its way: bytes, or a file descriptor; for raw pixels also how to read them."""

    def __init__(self, *, data: Any = None, fd: int | None = None, shape: _wire.FrameShape | None = None) -> None:
        self.data, self.fd, self.shape = data, fd, shape


def _parcel(source: Any, color: str, stack: contextlib.ExitStack) -> _Parcel:
    if isinstance(source, (str, os.PathLike)):
        return _Parcel(fd=_opened(source, stack))
    if isinstance(source, Frame):
        view = memoryview(source.data).cast("B")
        stride = list(source.stride) if isinstance(source.stride, tuple) else source.stride
        shape = _wire.FrameShape(
            source.format, source.width, source.height, stride, source.rotation, source.color_range
        )
        return _Parcel(data=view, shape=shape)
    if isinstance(source, (bytes, bytearray, memoryview)):
        view = memoryview(source)
        if not view.c_contiguous:
            raise UnsupportedInputError("source: got a memoryview with gaps, expected contiguous bytes.")
        if not view.nbytes:
            # Nothing cannot be sent as content; one byte of it is no picture either.
            return _Parcel(data=b"\0")
        return _Parcel(data=view.cast("B"))
    if hasattr(source, "__array_interface__"):
        return _array(source, color)
    if callable(getattr(source, "read", None)) and callable(getattr(source, "seek", None)):
        return _file(source)
    raise UnsupportedInputError(
        f"source: got {type(source).__name__}, expected a path, bytes, a binary file object, uint8[H, W, 3] or a "
        "Frame; give a PIL image as numpy.asarray(image.convert('RGB'))."
    )


def _opened(path: str | os.PathLike[str], stack: contextlib.ExitStack) -> int:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOCTTY | os.O_NONBLOCK)
    except (OSError, ValueError, TypeError):
        raise MediaNotFoundError(
            "source: got a path that cannot be opened, expected a readable file; check the path"
        ) from None
    stack.callback(os.close, fd)
    return fd


def _read_here(fd: int) -> _Parcel:
    """What a file holds, up to one byte more than any service takes."""
    try:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise _NoAnswerError("SERVICE_FD_REFUSED")
        data = bytearray()
        while len(data) <= Limits().max_bytes and (part := os.pread(fd, _wire.READ_BYTES, len(data))):
            data += part
    except OSError:
        raise _NoAnswerError("SERVICE_FD_REFUSED") from None
    return _Parcel(data=data or b"\0")


def _file(file: Any) -> _Parcel:
    try:
        at = file.tell()
        file.seek(0)
        data = file.read()
        file.seek(at)
    except Exception:  # noqa: BLE001 - the caller's object raises what it likes, and it may name a path
        raise MediaNotFoundError(
            "source: got a file object that cannot be read, expected a readable, seekable binary one; check it"
        ) from None
    if not isinstance(data, bytes):
        raise UnsupportedInputError("source: got a file object that reads no bytes; open it in binary mode.")
    return _Parcel(data=data or b"\0")


def _array(source: Any, color: str) -> _Parcel:
    import numpy as np

    array = np.asarray(source)
    channels = array.shape[2] if array.ndim == 3 else 1
    if array.dtype != np.uint8 or array.ndim not in (2, 3) or (array.ndim == 3 and channels not in (3, 4)):
        raise UnsupportedInputError(
            f"source: got {array.dtype}{list(array.shape)}, expected uint8[H, W, 3] (or [H, W], [H, W, 4])."
        )
    if channels == 4 and color == "BGR":
        array = array[..., (2, 1, 0, 3)]
    if array.size == 0:
        raise UnsupportedInputError("source: got an empty array, expected pixels.")
    flat = memoryview(np.ascontiguousarray(array).reshape(-1).data)
    form = "grey" if array.ndim == 2 else "rgba" if channels == 4 else color.lower()
    return _Parcel(data=flat, shape=_wire.FrameShape(form, array.shape[1], array.shape[0]))


def _event(event: Event | str) -> Event:
    try:
        return Event(event)
    except ValueError:
        raise UsageError(f"event: got {str(event)!r}, expected one of {', '.join(e.value for e in Event)}.") from None


def _text(text: object) -> str:
    if not isinstance(text, str):
        raise UnsupportedInputError(f"got {type(text).__name__}, expected str; decode it first.")
    return text.encode("utf-8", "replace").decode("utf-8")


def _with_reason(decision: Decision) -> Decision:
    from dataclasses import replace

    return replace(decision, reasons=(*decision.reasons, _protect.CONVERSATION_RESTARTED))


def _error_type(answer: dict[str, Any]) -> str | None:
    error = answer.get("error")
    if error is None:
        return None
    kind = error.get("type") if isinstance(error, dict) else None
    return kind if isinstance(kind, str) and kind.isascii() and len(kind) <= 32 else "PROTOCOL"


def _error_reason(answer: dict[str, Any]) -> str:
    kind = _error_type(answer)
    return _protect.PROTOCOL if kind is None else f"SERVICE_{kind}"


def _raise_usage(answer: dict[str, Any]) -> None:
    """What the service calls a wrong argument is the caller's error here too."""
    if _error_type(answer) == "USAGE":
        message = answer["error"].get("message")
        raise UsageError(message if isinstance(message, str) else "the service refused an argument.")


#: A frame of a camera stays mapped between frames; a larger picture does not.
_KEEP_BYTES: Final = 16 << 20
_ZEROS: Final = bytes(1 << 20)
#: Errors after which the service hangs up.
_LAST_WORDS: Final = frozenset({"PROTOCOL", "TOO_MANY_FDS", "VERSION", "NOT_PERMITTED"})
_SEND_BUFFER_BYTES: Final = 1 << 20
_CONNECT_AGAIN_S: Final = 0.01
