"""The service: one guard for many clients on a Unix socket.

    clients ──▶ one thread reads and writes (bounded, never waits) ──▶ fair queues ──▶ threads that ask the guard
                                     ▲─────────────── answers ◀────────────────────────────┘

Pictures wait in one queue; clips, which take minutes, in another with one thread; and what takes microseconds (help,
searches, chats, health) in a third with a thread of its own: help is answered while every picture waits. See
docs/serve.md and docs/adr/0021.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import selectors
import socket
import sys
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final

from safelight.decision import Action
from safelight.errors import ClosedError, UsageError
from safelight.serve import _sockets, _wire
from safelight.serve._answer import Answer, Answerer, Peer, RequestError
from safelight.serve._queue import FairQueue
from safelight.serve._wire import FrameReader, Message, WireError
from safelight.serve.anchor import AnchorBook
from safelight.serve.limits import ServeLimits

if TYPE_CHECKING:
    from safelight.guard import Guard

_log = logging.getLogger("safelight")

#: Where the service tells what happens to it: a word and numbers, never content.
Report = Callable[[str, dict[str, Any]], None]


class Service:
    """Answers many clients for one guard, until it is stopped.

    Args:
        guard: decides; not closed with the service. Make it with ``isolation="process"``.
        path: of the socket's file; a stale one is replaced. Leave it out under systemd's socket activation.
        mode: of the file. 0660: the service's user and group.
        group: to give the file to.
        users: numbers of the users who may ask; everybody whom the file's mode lets through when left out.
        limits: what clients may cost.
        anchors: folder for other users' store anchors (:class:`~safelight.serve.SocketAnchor`); none are kept when
            left out.
        report: is told what happens (``ready``, ``refused``, ``stopped`` …), for logs: words and numbers.

    Raises:
        UsageError: an argument is out of range, or this is not Linux.
        ServeError: another service listens there, or the file cannot be made.

    Example:
        >>> import tempfile
        >>> from safelight import Guard, Profile
        >>> from safelight.serve import Client, Service
        >>> with tempfile.TemporaryDirectory() as folder, Guard(Profile("10_12"), detectors=()) as guard:
        ...     with Service(guard, f"{folder}/safelight.sock"), Client(f"{folder}/safelight.sock") as client:
        ...         client.check_image(b"not a picture").reasons
        ('NOT_MEDIA',)
    """

    def __init__(
        self,
        guard: Guard,
        path: str | os.PathLike[str] | None = None,
        *,
        mode: int = 0o660,
        group: str | int | None = None,
        users: Iterable[int] | None = None,
        limits: ServeLimits | None = None,
        anchors: str | os.PathLike[str] | None = None,
        report: Report | None = None,
    ) -> None:
        if not sys.platform.startswith("linux"):
            raise UsageError("serve: got this platform, expected Linux; ask a Guard in your own process here.")
        if guard.closed:
            raise ClosedError("this guard was closed; make a new Guard to go on.")
        if mode & ~0o777 or mode & 0o007:
            raise UsageError(f"mode: got {mode:o}, expected permissions without any for everybody, e.g. 660.")
        self.limits = limits if limits is not None else ServeLimits()
        self._users = frozenset(users) if users is not None else None
        self._report = report
        self._book = AnchorBook(anchors) if anchors is not None else None
        self._answerer = Answerer(guard, self.limits, anchors=self._book, status=self._status)
        self._pictures = FairQueue["_Connection", "_Job"](max_waiting=self.limits.max_waiting)
        self._words = FairQueue["_Connection", "_Job"](max_waiting=self.limits.max_waiting)
        self._clips = FairQueue["_Connection", "_Job"](max_waiting=self.limits.max_waiting)
        self._workers = guard.concurrency
        self._done: deque[_Connection] = deque()
        self._connections: set[_Connection] = set()
        self._selector = selectors.DefaultSelector()
        self._accept_again_at: float | None = None
        self._held_bytes = 0
        self._held_lock = threading.Lock()
        self._served_ms = 20.0  # of one picture, a moving average; what is said to busy clients
        self._busy_since: dict[int, float] = {}
        self._started = time.monotonic()
        self._stop_at: float | None = None
        self._running = False
        self._thread: threading.Thread | None = None
        self._said: dict[str, float] = {}
        self._counts: Counter[str] = Counter()
        given = _sockets.activated() if path is None else None
        if path is None and given is None:
            raise UsageError("path: got none, expected the socket's path, or a socket from systemd.")
        self._wake_read, self._wake_write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            self._listener = given or _sockets.listen(path, mode=mode, group=group)  # type: ignore[arg-type]
        except BaseException:
            os.close(self._wake_read)
            os.close(self._wake_write)
            raise
        self._selector.register(self._wake_read, selectors.EVENT_READ)
        self._selector.register(self._listener.sock, selectors.EVENT_READ)

    def run(self) -> None:
        """Prepare the models and answer, in this thread, until :meth:`stop` is called (from another, or a signal).

        Tells systemd when it is ready, alive and stopping, where systemd asks for that.
        """
        if self._running:
            raise UsageError("serve: got a second run, expected one.")
        self._running = True
        threads = [
            threading.Thread(target=self._work, args=(queue, number), name=f"safelight-serve-{number}", daemon=True)
            for number, queue in enumerate([self._words, *[self._pictures] * self._workers, self._clips])
        ]
        for thread in threads:
            thread.start()
        # Not before listening: who connects meanwhile waits, and help is answered at once.
        preparing = threading.Thread(target=self._prepare, name="safelight-serve-prepare", daemon=True)
        preparing.start()
        try:
            self._loop()
        finally:
            for queue in (self._pictures, self._words, self._clips):
                queue.close()
            for connection in list(self._connections):
                self._drop(connection)
            self._listener.close()
            self._selector.close()
            _sockets.notify("STOPPING=1")
            for thread in threads:
                thread.join(self.limits.stop_timeout_ms / 1000)
            os.close(self._wake_read)
            if not any(thread.is_alive() for thread in threads):  # else one of them will still want to wake somebody
                os.close(self._wake_write)
            self._say("stopped", served=self._counts["answers"])

    def start(self) -> None:
        """:meth:`run` in a thread of its own."""
        self._thread = threading.Thread(target=self.run, name="safelight-serve", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Accept nobody new, answer what is in work, and end. From any thread, or a signal handler; returns at once."""
        if self._stop_at is None:
            self._stop_at = time.monotonic() + self.limits.stop_timeout_ms / 1000
        self._wake()

    def close(self) -> None:
        """:meth:`stop`, and wait for the end. Safe to call twice."""
        self.stop()
        if self._thread is not None:
            self._thread.join()
        elif not self._running:
            self._running = True  # nothing is left to run
            self._listener.close()
            self._selector.close()
            os.close(self._wake_read)
            os.close(self._wake_write)

    def __enter__(self) -> Service:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    # -- the thread that reads and writes ---------------------------------------------------------------------------

    def _loop(self) -> None:
        watchdog_s = _sockets.watchdog_s()
        ping_at = time.monotonic()
        while True:
            now = time.monotonic()
            if self._stop_at is not None and (now >= self._stop_at or not self._anything_in_work()):
                return
            if watchdog_s is not None and now >= ping_at:
                ping_at = now + watchdog_s
                if not self._stuck(now):
                    _sockets.notify("WATCHDOG=1")
            ready = self._selector.select(self._wait_s(now, ping_at if watchdog_s is not None else None))
            self._deliver()
            for key, events in ready:
                if key.fileobj is self._listener.sock:
                    self._accept()
                elif key.fileobj == self._wake_read:
                    with contextlib.suppress(BlockingIOError):
                        while os.read(self._wake_read, 4096):
                            pass
                else:
                    connection: _Connection = key.data
                    if events & selectors.EVENT_WRITE:
                        self._flush(connection)
                    if events & selectors.EVENT_READ and not connection.closed:
                        self._read(connection)
            self._expire(time.monotonic())
            if self._stop_at is not None:
                self._stop_listening()

    def _wait_s(self, now: float, ping_at: float | None) -> float | None:
        if self._done:
            return 0.0
        moments = [due for connection in self._connections if (due := connection.due(self.limits)) is not None]
        moments += [at for at in (ping_at, self._accept_again_at, self._stop_at) if at is not None]
        if any(connection.in_work for connection in self._connections):
            moments.append(now + _LOOK_AGAIN_S)  # a worker that has answered wakes nobody who need not know at once
        return max(0.0, min(moments) - now) if moments else None

    def _accept(self) -> None:
        for _ in range(_ACCEPT_AT_ONCE):
            try:
                sock, _ = self._listener.sock.accept()
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno in _NO_ROOM:
                    # Who connects waits in the kernel's queue meanwhile; trying at once would only burn the processor.
                    self._selector.unregister(self._listener.sock)
                    self._accept_again_at = time.monotonic() + _NO_ROOM_PAUSE_S
                    self._say("no_room", errno=error.errno)
                    return
                continue
            sock.setblocking(False)
            pid, uid, _ = _sockets.peer_credentials(sock)
            refusal = self._refusal(uid)
            connection = _Connection(sock, Peer(uid, pid), time.monotonic())
            connection.reader = FrameReader(
                max_body_bytes=_wire.MAX_REQUEST_BODY_BYTES, max_content_bytes=self.limits.max_content_bytes
            )
            self._connections.add(connection)
            self._selector.register(sock, selectors.EVENT_READ, connection)
            connection.events = selectors.EVENT_READ
            if refusal is not None:
                connection.counted = False
                self._counts["refused"] += 1
                self._say("refused", uid=uid, type=refusal.type)
                self._end(connection, refusal, 0)

    def _refusal(self, uid: int) -> RequestError | None:
        if self._users is not None and uid not in self._users:
            return RequestError("NOT_PERMITTED", "this user may not ask here.")
        counted = [connection for connection in self._connections if connection.counted]
        own = sum(connection.peer.uid == uid for connection in counted)
        if len(counted) >= self.limits.max_clients or own >= self.limits.max_clients_per_user:
            return RequestError("BUSY", "too many connections; close one, or try again.", retry_after_ms=_FULL_RETRY_MS)
        return None

    def _read(self, connection: _Connection) -> None:
        reader = connection.reader
        try:
            data, fds, lost = _sockets.receive(connection.sock, min(reader.wanted, _wire.READ_BYTES))
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            self._drop(connection)
            return
        if not data:
            for fd in fds:
                os.close(fd)
            self._drop(connection)
            return
        now = time.monotonic()
        if not reader.begun:
            connection.frame_began = now
        before = reader.content_bytes_held
        try:
            message = reader.feed(data, fds)
            if lost:
                if message is not None:
                    message.overwrite()
                raise WireError(
                    "TOO_MANY_FDS", "a file descriptor was lost, expected one a frame at most.", id=reader.id
                )
        except WireError as error:
            self._hold(connection, -before)
            self._counts["wire_errors"] += 1
            self._say("wire_error", uid=connection.peer.uid, type=error.type)
            self._end(connection, RequestError(error.type, str(error)), error.id)
            return
        if message is None:
            self._hold(connection, reader.content_bytes_held - before)
            if self._held_bytes > self.limits.max_held_bytes and self._held_bytes > connection.held_bytes:
                self._hold(connection, -reader.content_bytes_held)
                reader.shed()
            return
        self._hold(connection, len(message.content) - before)
        connection.last_request = now
        self._take(connection, message, now)

    def _take(self, connection: _Connection, message: Message, now: float) -> None:
        """One whole request: queue it, or say why not."""
        request: _wire.Request | None = None
        held = len(message.content)
        try:
            request = _wire.read_request(message)
            if connection.version is None:
                if not isinstance(request, _wire.Hello):
                    raise WireError("PROTOCOL", "got a request before hello, expected hello first.", id=message.id)
                answer = self._answerer.hello(request)
                connection.version = _wire.VERSIONS[-1]
                self._drop_message(connection, message, held)
                self._post(connection, message.id, answer)
                return
        except WireError as error:
            self._drop_message(connection, message, held)
            problem = RequestError(error.type, str(error))
            self._counts["wire_errors"] += 1
            if connection.version is None or error.type != "MALFORMED":
                self._say("wire_error", uid=connection.peer.uid, type=error.type)
                self._end(connection, problem, message.id)
            else:
                self._post(connection, message.id, self._answerer.error(problem, None))
            return
        queues = {_wire.CheckImage: self._pictures, _wire.CheckClip: self._clips}
        queue = queues.get(type(request), self._words)
        job = _Job(message, request, held, now + (getattr(request, "timeout_ms", None) or _LONGEST_WAIT_MS) / 1000)
        problem_ = None
        if message.shed:
            problem_ = self._busy("no memory for this content now.")
        elif self._stop_at is not None:
            problem_ = RequestError("STOPPING", "the service stops; connect again later.")
        elif not queue.put(connection, job):
            problem_ = self._busy("too many requests wait.")
        if problem_ is not None:
            self._drop_message(connection, message, held)
            self._post(connection, message.id, self._answerer.error(problem_, request))
            return
        connection.in_work += 1
        self._watch(connection)

    def _busy(self, message: str) -> RequestError:
        self._counts["busy"] += 1
        wait_ms = self._served_ms * (len(self._pictures) + 1) / self._workers
        return RequestError("BUSY", message, retry_after_ms=int(min(max(wait_ms, 10), 10_000)))

    def _drop_message(self, connection: _Connection, message: Message, held: int) -> None:
        message.overwrite()
        self._hold(connection, -held)

    def _hold(self, connection: _Connection, more_bytes: int) -> None:
        with self._held_lock:
            connection.held_bytes += more_bytes
            self._held_bytes += more_bytes

    def _deliver(self) -> None:
        """Take note of what the workers have done, and send what they could not."""
        while self._done:
            connection = self._done.popleft()
            self._counts["answers"] += 1
            connection.in_work -= 1
            if not connection.closed:
                self._flush(connection)

    def _post(self, connection: _Connection, id: int, answer: Answer) -> None:
        self._counts["answers"] += 1
        connection.send(_wire.pack(id, answer.body, action=answer.action))
        self._flush(connection)

    def _end(self, connection: _Connection, error: RequestError, id: int) -> None:
        """Say why, and close as soon as that is sent."""
        connection.ending = True
        connection.reader.close()
        self._post(connection, id, self._answerer.error(error, None))

    def _flush(self, connection: _Connection) -> None:
        if not connection.send():
            self._drop(connection)
            return
        if connection.ending and not connection.out:
            self._drop(connection)
            return
        self._watch(connection)

    def _watch(self, connection: _Connection) -> None:
        """Read from who may ask, write to who must be answered. One that has enough in work is left waiting."""
        if connection.closed:
            return
        full = connection.in_work >= self.limits.max_requests_per_client or bool(connection.out)
        reads = not full and not connection.ending
        if reads and not connection.events & selectors.EVENT_READ:
            connection.frame_began = time.monotonic()  # the wait was ours
        events = (selectors.EVENT_READ if reads else 0) | (selectors.EVENT_WRITE if connection.out else 0)
        if events == connection.events:
            return
        if not events:
            self._selector.unregister(connection.sock)
        elif not connection.events:
            self._selector.register(connection.sock, events, connection)
        else:
            self._selector.modify(connection.sock, events, connection)
        connection.events = events

    def _drop(self, connection: _Connection) -> None:
        """The client is gone, or must go: forget all that it asked."""
        if connection.closed:
            return
        self._connections.discard(connection)
        if connection.events:
            self._selector.unregister(connection.sock)
        connection.close()
        self._hold(connection, -connection.reader.content_bytes_held)
        connection.reader.close()
        connection.peer.leave()
        for queue in (self._pictures, self._words, self._clips):
            for job in queue.drop(connection):
                job.message.overwrite()
                self._hold(connection, -job.held)
                connection.in_work -= 1
        # What is still counted is in a worker's hands, and is given back with its answer.

    def _expire(self, now: float) -> None:
        for connection in list(self._connections):
            due = connection.due(self.limits)
            if due is not None and due <= now:
                kind = connection.late(self.limits, now)
                self._counts["late"] += 1
                self._say("late", uid=connection.peer.uid, type=kind)
                self._drop(connection)
        if self._accept_again_at is not None and now >= self._accept_again_at and self._stop_at is None:
            self._accept_again_at = None
            self._selector.register(self._listener.sock, selectors.EVENT_READ)

    def _stop_listening(self) -> None:
        with contextlib.suppress(KeyError, ValueError):
            self._selector.unregister(self._listener.sock)
        self._accept_again_at = None

    def _anything_in_work(self) -> bool:
        return any(connection.in_work or connection.out for connection in self._connections)

    def _stuck(self, now: float) -> bool:
        """Whether every thread for pictures, or the one for words, hangs. How long a clip may take, nobody knows."""
        since = dict(self._busy_since)
        pictures = [since.get(number) for number in range(1, self._workers + 1)]
        late = now - _STUCK_AFTER_S
        words = since.get(0)
        return (words is not None and words < late) or all(at is not None and at < late for at in pictures)

    def _wake(self) -> None:
        with contextlib.suppress(BlockingIOError, OSError):
            os.write(self._wake_write, b"\0")

    # -- the threads that ask the guard -----------------------------------------------------------------------------

    def _prepare(self) -> None:
        states = self._answerer.prepare()
        _sockets.notify("READY=1\nSTATUS=" + ", ".join(f"{name} {state.value}" for name, state in states.items()))
        self._say("ready", detectors={name: state.value for name, state in states.items()})

    def _work(self, queue: FairQueue[_Connection, _Job], number: int) -> None:
        while (taken := queue.take()) is not None:
            connection, job = taken
            began = self._busy_since[number] = time.monotonic()
            id = job.message.id
            if connection.closed:
                job.message.overwrite()
                answer = _LAST_ANSWER
            elif began >= job.until:
                job.message.overwrite()
                late = RequestError("TIMED_OUT", "the client's patience ended before this was begun.")
                answer = self._answerer.error(late, job.request)
            else:
                try:
                    answer = self._answerer.answer(connection.peer, job.message, job.request)
                except Exception:  # noqa: BLE001 - this thread serves everybody
                    answer = _LAST_ANSWER
                if queue is self._pictures:
                    self._served_ms += ((time.monotonic() - began) * 1000 - self._served_ms) / 16
            self._hold(connection, -job.held)
            del self._busy_since[number]
            # Sent from here: one turn of the scheduler less. What the socket does not take is sent from the loop.
            connection.send(_wire.pack(id, answer.body, action=answer.action))
            self._done.append(connection)
            if connection.out or not connection.events & selectors.EVENT_READ or self._stop_at is not None:
                self._wake()

    # -- what is told -----------------------------------------------------------------------------------------------

    def _status(self) -> dict[str, Any]:
        return {
            "uptime_s": round(time.monotonic() - self._started, 1),
            "clients": len(self._connections),
            "waiting": len(self._pictures) + len(self._words) + len(self._clips),
            **{name: self._counts[name] for name in ("answers", "busy", "refused", "wire_errors", "late")},
        }

    def _say(self, event: str, **numbers: Any) -> None:
        """Once a second for each kind, so that nobody can fill a log."""
        now = time.monotonic()
        key = f"{event} {numbers.get('type', '')}"
        if now - self._said.get(key, float("-inf")) < 1.0:
            return
        self._said[key] = now
        _log.debug("serve: %s %s", event, numbers)
        if self._report is not None:
            self._report(event, numbers)


@dataclass(slots=True, eq=False)
class _Connection:
    sock: socket.socket
    peer: Peer
    connected: float
    reader: FrameReader = field(init=False)
    out: deque[memoryview] = field(default_factory=deque)
    version: int | None = None
    in_work: int = 0
    held_bytes: int = 0
    events: int = 0
    frame_began: float = 0.0
    last_request: float = 0.0
    sent_at: float = 0.0
    counted: bool = True
    ending: bool = False
    closed: bool = False
    lock: threading.Lock = field(default_factory=threading.Lock)

    def send(self, frame: bytes = b"") -> bool:
        """Send this behind what waits, as far as the socket takes it now; ``False`` when nobody is there any more.

        From any thread; frames stay whole, and nothing is sent to a descriptor that is somebody else's by now.
        """
        with self.lock:
            if self.closed:
                return False
            if frame:
                if not self.out:
                    self.sent_at = time.monotonic()
                self.out.append(memoryview(frame))
            try:
                while self.out:
                    sent = self.sock.send(self.out[0], socket.MSG_NOSIGNAL)
                    self.sent_at = time.monotonic()
                    if sent < len(self.out[0]):
                        self.out[0] = self.out[0][sent:]
                    else:
                        self.out.popleft()
            except (BlockingIOError, InterruptedError):
                pass
            except OSError:
                return False
            return True

    def close(self) -> None:
        """Hang up; a worker who is sending finishes first."""
        with self.lock:
            self.closed = True
            self.sock.close()
            self.out.clear()

    def due(self, limits: ServeLimits) -> float | None:
        """When patience with this client ends, as things stand."""
        moments = self._moments(limits)
        return min(moments.values()) if moments else None

    def late(self, limits: ServeLimits, now: float) -> str:
        """What it was too slow with."""
        return next((kind for kind, at in self._moments(limits).items() if at <= now), "idle")

    def _moments(self, limits: ServeLimits) -> dict[str, float]:
        moments = {}
        if self.out:
            moments["send"] = self.sent_at + limits.send_timeout_ms / 1000
        if self.ending:
            return moments
        if self.version is None:
            moments["hello"] = self.connected + limits.hello_timeout_ms / 1000
        elif self.reader.begun and self.events & selectors.EVENT_READ:
            moments["frame"] = self.frame_began + limits.frame_timeout_ms / 1000
        elif not self.in_work and not self.out and not self.peer.conversations:
            moments["idle"] = max(self.connected, self.last_request) + limits.idle_timeout_ms / 1000
        return moments


@dataclass(slots=True)
class _Job:
    message: Message
    request: _wire.Request
    held: int
    until: float


#: When not even an error can be put together.
_LAST_ANSWER: Final = Answer(
    int(Action.HOLD),
    b'{"error":{"type":"FAILED","message":"the service could not do this."},"action":"HOLD",'
    b'"reasons":["SERVICE_FAILED"]}',
)
_ACCEPT_AT_ONCE: Final = 16
_LOOK_AGAIN_S: Final = 1.0
_NO_ROOM: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
_NO_ROOM_PAUSE_S: Final = 0.2
_FULL_RETRY_MS: Final = 1_000
#: For requests that name no patience of their own.
_LONGEST_WAIT_MS: Final = 60_000
#: A picture takes the detectors 30 s at most, an animation many times that; beyond this a thread hangs.
_STUCK_AFTER_S: Final = 300.0
