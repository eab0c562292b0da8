"""The gate itself: documents and bodies in, a verdict out, in threads of its own."""

from __future__ import annotations

import io
import threading
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Final

from safelight.decision import Action, Event
from safelight.errors import ClosedError, UnsupportedInputError, UploadBusyError, UploadTooLargeError, UsageError
from safelight.gates.upload.body import BodyReader, CheckedBody
from safelight.gates.upload.limits import UploadLimits
from safelight.gates.upload.spool import Budget, Spool
from safelight.gates.upload.verdict import UploadedPart, UploadVerdict
from safelight.media.content import kind_of_head
from safelight.uploads import UploadRules

if TYPE_CHECKING:
    from types import TracebackType

    from safelight.guard import Guard

_READ_BYTES: Final = 1 << 18
#: Shorter text is judged where it is: handing it to a thread costs more.
_INLINE_BYTES: Final = 1 << 12


class UploadGate:
    """Holds files back until there is a verdict about every one of them.

    One gate serves a whole app; it may be used from several threads and several event loops. It does not close the
    guard.

    Args:
        guard: decides.
        event: what is about to happen: ``upload`` or ``send``.
        rules: what becomes of documents that are no picture and no clip.
        limits: what bodies may cost.
        refuse_at: from this action on nothing of a request goes through. ``BLUR``; ``NUDGE`` is stricter. Below it
            the verdict says what to show.

    Raises:
        UsageError: ``refuse_at`` is above ``BLUR``, or ``ALLOW``.

    Example:
        >>> from safelight import Guard, Profile
        >>> from safelight.gates import UploadGate
        >>> with Guard(Profile("10_12"), detectors=()) as guard, UploadGate(guard) as gate:
        ...     verdict = gate.check([b"my essay", b"\\xff\\xd8\\xff\\xe0 a broken photo"])
        >>> verdict.action.name, [part.kind.value for part in verdict.parts]
        ('HOLD', ['text', 'picture'])
    """

    def __init__(
        self,
        guard: Guard,
        *,
        event: Event | str = Event.UPLOAD,
        rules: UploadRules | None = None,
        limits: UploadLimits | None = None,
        refuse_at: Action = Action.BLUR,
    ) -> None:
        if refuse_at not in (Action.NUDGE, Action.BLUR):
            raise UsageError(
                f"refuse_at: got {refuse_at!s}, expected BLUR or NUDGE: a gate holds at BLUR at the latest."
            )
        self.guard = guard
        try:
            self.event = Event(event)
        except ValueError:
            self.event = Event.USE
        if self.event not in (Event.UPLOAD, Event.SEND):
            raise UsageError("event: got another one, expected upload or send; the receiving side is ReceiveGate.")
        self.rules = rules if rules is not None else UploadRules()
        self.limits = limits if limits is not None else UploadLimits()
        self.refuse_at = refuse_at
        self.budget = Budget(self.limits)
        self._bodies = 0
        self._lock = threading.Lock()
        self._closed = False
        # Three pools, each with work that waits for none of its own kind: bodies are taken in, verdicts are put
        # together, parts are looked at.
        self._readers = ThreadPoolExecutor(2, thread_name_prefix="safelight-body")
        self._verdicts = ThreadPoolExecutor(guard.concurrency + 1, thread_name_prefix="safelight-verdict")
        self._looks = ThreadPoolExecutor(guard.concurrency, thread_name_prefix="safelight-upload")

    def check(self, files: Iterable[Any]) -> UploadVerdict:
        """Decide about several files, one decision each.

        Args:
            files: as for :meth:`safelight.Guard.before_upload`; a stream that can be read once only is read to its
                end and kept meanwhile.

        Raises:
            As :meth:`safelight.Guard.before_upload`; UploadError when a stream is too large or there is no room.
        """
        self._require_open()
        opened: list[Spool] = []
        try:
            return self._verdict([self._document(file, opened) for file in files])
        finally:
            for spool in opened:
                spool.close()

    def check_body(self, body: CheckedBody) -> UploadVerdict:
        """Decide about every part of a body."""
        self._require_open()
        documents: list[Any] = list(body.documents())
        headings = body.headings()
        verdict = self._verdict(documents)
        if headings:
            # Names and file names are text that goes along.
            kind, decision = self.guard.look_at_upload(headings, event=self.event)
            if decision.action > Action.ALLOW:
                verdict = UploadVerdict(
                    (*verdict.parts, UploadedPart(len(verdict.parts), kind, len(headings), decision)), self.refuse_at
                )
        return verdict

    def open_body(self, *, content_type: str | None = None, content_encoding: str | None = None) -> BodyReader:
        """A reader for one body; see :class:`BodyReader`."""
        return BodyReader(
            content_type=content_type, content_encoding=content_encoding, limits=self.limits, budget=self.budget
        )

    def enter(self) -> None:
        """Count a body in.

        Raises:
            UploadBusyError: as many as may are on their way.
        """
        with self._lock:
            if self._bodies >= self.limits.max_requests:
                raise UploadBusyError("body: got one more than are taken at once, expected fewer; come back later.")
            self._bodies += 1

    def leave(self) -> None:
        """Count a body out."""
        with self._lock:
            self._bodies -= 1

    @property
    def bodies(self) -> int:
        """How many bodies are on their way now."""
        return self._bodies

    def mount(self, session: Any, *, prefixes: Iterable[str] = ("https://", "http://")) -> None:
        """Put this gate before a ``requests.Session``; see :class:`safelight.gates.upload.requests.UploadAdapter`.

        Args:
            session: its adapters for ``prefixes`` are kept behind the gate.
            prefixes: of addresses.
        """
        from safelight.gates.upload.requests import UploadAdapter

        for prefix in prefixes:
            session.mount(prefix, UploadAdapter(self, session.get_adapter(prefix)))

    def close(self) -> None:
        """End the threads. Later checks raise :class:`ClosedError`. Safe to call twice."""
        self._closed = True
        for pool in (self._readers, self._verdicts, self._looks):
            pool.shutdown(wait=True, cancel_futures=True)

    def __enter__(self) -> UploadGate:
        self._require_open()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"UploadGate(event={self.event.value!r}, refuse_at={self.refuse_at!s}, bodies={self._bodies})"

    @property
    def reader_pool(self) -> ThreadPoolExecutor:
        """Threads in which bodies are taken in."""
        return self._readers

    @property
    def verdict_pool(self) -> ThreadPoolExecutor:
        """Threads in which verdicts are put together."""
        return self._verdicts

    def _require_open(self) -> None:
        if self._closed:
            raise ClosedError("this gate was closed; make a new UploadGate to go on.")

    def _document(self, file: Any, opened: list[Spool]) -> Any:
        if not hasattr(file, "read") or getattr(file, "seekable", bool)():
            return file
        spool = Spool(self.budget, self.limits)
        opened.append(spool)
        for piece in read_pieces(file, max_bytes=self.limits.max_body_bytes):
            spool.write(piece)
        spool.finish()
        return spool.view(0, spool.size)

    def _verdict(self, documents: list[Any]) -> UploadVerdict:
        heavy: list[int] = []
        parts: dict[int, UploadedPart] = {}
        for index, document in enumerate(documents):
            if _is_short(document):
                parts[index] = self._look(index, document)
            else:
                heavy.append(index)
        if len(heavy) == 1:
            parts[heavy[0]] = self._look(heavy[0], documents[heavy[0]])
        elif heavy:
            for part in self._looks.map(lambda index: self._look(index, documents[index]), heavy):
                parts[part.index] = part
        return UploadVerdict(tuple(parts[index] for index in range(len(documents))), self.refuse_at)

    def _look(self, index: int, document: Any) -> UploadedPart:
        size = _size(document)
        kind, decision = self.guard.look_at_upload(document, event=self.event, rules=self.rules)
        return UploadedPart(index, kind, size, decision)


def read_pieces(stream: Any, *, max_bytes: int) -> Iterator[bytes]:
    """The content of a stream that can be read once.

    Raises:
        UnsupportedInputError: it reads something else than bytes.
        UploadTooLargeError: it is larger than that.
    """
    total = 0
    while True:
        piece = stream.read(_READ_BYTES)
        if not isinstance(piece, (bytes, bytearray, memoryview)):
            raise UnsupportedInputError(
                f"file: got a stream that reads {type(piece).__name__}, expected bytes; open it in binary mode."
            )
        if not piece:
            return
        total += len(piece)
        if total > max_bytes:
            raise UploadTooLargeError(f"file: got more than {max_bytes} bytes, expected at most that.")
        yield bytes(piece)


def _is_short(document: Any) -> bool:
    return isinstance(document, bytes) and len(document) <= _INLINE_BYTES and kind_of_head(document) is None


def _size(document: Any) -> int:
    if isinstance(document, (bytes, bytearray)):
        return len(document)
    if isinstance(document, memoryview):
        return document.nbytes
    if isinstance(document, io.IOBase) and document.seekable():
        at = document.tell()
        size = document.seek(0, io.SEEK_END)
        document.seek(at)
        return size
    return 0
