"""A request in, an answer out: the guard's side of the service. Knows no socket."""

from __future__ import annotations

import contextlib
import logging
import os
import threading
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

import msgspec

from safelight._build import __version__
from safelight.decision import Action, Decision, Event, State, help_dict
from safelight.errors import ClosedError, SafelightError, StoreError, UnsupportedInputError, UsageError
from safelight.media import Frame
from safelight.serve import _wire
from safelight.serve._content import ContentError, Memory, checked, copy_content, is_sealed
from safelight.serve._protect import protective_decision
from safelight.serve._wire import NO_ACTION, Message, WireError, overwrite

if TYPE_CHECKING:
    from safelight.chat import Conversation
    from safelight.guard import Guard
    from safelight.serve.anchor import AnchorBook
    from safelight.serve.limits import ServeLimits

_log = logging.getLogger("safelight")


@dataclass(slots=True)
class Peer:
    """Who is at the other end of a connection, and the conversations that they opened on it."""

    uid: int
    pid: int
    conversations: dict[int, Conversation] = field(default_factory=dict)
    opened: int = 0
    gone: bool = False
    lock: threading.Lock = field(default_factory=threading.Lock)

    def leave(self) -> None:
        """Forget everything that was said. Waits for nobody: one that is being added to ends with that."""
        with self.lock:
            self.gone = True
            self.conversations.clear()


@dataclass(frozen=True, slots=True)
class Answer:
    """What goes back: the action for the header, and the body."""

    action: int
    body: bytes


class RequestError(Exception):
    """A request that gets an error for an answer; the connection stays."""

    def __init__(self, type: str, message: str, **more: Any) -> None:
        super().__init__(message)
        self.type = type
        self.more = more


#: What a request is about, for the decision that answers it when it cannot be done.
_EVENTS: Final[dict[type[Any], Event]] = {
    _wire.CheckQuery: Event.SEARCH,
    _wire.CheckUrl: Event.SEARCH,
    _wire.CheckConsent: Event.USE,
    _wire.CheckTime: Event.USE,
    _wire.ConversationAdd: Event.MESSAGE,
}


class Answerer:
    """Asks one guard for many clients.

    Args:
        guard: decides.
        limits: of the service.
        anchors: numbers kept for other users' stores; ``None`` when this service keeps none.
        status: adds what the service knows to the answer to ``health``.
    """

    def __init__(
        self,
        guard: Guard,
        limits: ServeLimits,
        *,
        anchors: AnchorBook | None = None,
        status: Callable[[], dict[str, Any]] = dict,
    ) -> None:
        self._guard = guard
        self._limits = limits
        self._anchors = anchors
        self._status = status
        self._memory = Memory()
        self._states: dict[str, State] = {}
        self._decided = 0
        self._failed = 0

    def prepare(self) -> dict[str, State]:
        """Load and verify the models; what is wrong is a state, never an exception."""
        try:
            self._states = self._guard.prepare()
        except Exception:  # noqa: BLE001 - a detector of somebody's; every check will say so again
            _log.warning("a detector raised while it was prepared; it counts as DETECTOR_FAILED")
            self._states = {detector.id: State.DETECTOR_FAILED for detector in self._guard.detectors}
        return self._states

    def hello(self, request: _wire.Hello) -> Answer:
        """Agree on a version.

        Raises:
            WireError: ``VERSION``: there is none in common.
        """
        common = set(request.versions) & set(_wire.VERSIONS)
        if not common:
            raise WireError("VERSION", f"got versions that are not spoken here, expected one of {_wire.VERSIONS}.")
        profile = self._guard.profile
        return _plain(
            {
                "type": "hello",
                "version": max(common),
                "service": f"safelight {__version__}",
                "profile": {
                    "age_band": profile.band.value,
                    "country": profile.country,
                    "languages": list(profile.language_tags),
                },
                "test_mode": self._guard.test_mode,
                "limits": {
                    "max_body_bytes": _wire.MAX_REQUEST_BODY_BYTES,
                    "max_content_bytes": self._limits.max_content_bytes,
                    "max_requests": self._limits.max_requests_per_client,
                },
            }
        )

    def answer(self, peer: Peer, message: Message, request: _wire.Request) -> Answer:
        """Do what was asked. Whatever goes wrong is an answer, and a protective one. Wipes the message."""
        try:
            return self._answer(peer, message, request)
        except RequestError as error:
            return self.error(error, request)
        except ContentError as error:
            return self.error(RequestError(error.type, str(error)), request)
        except (UsageError, UnsupportedInputError) as error:
            return self.error(RequestError("USAGE", str(error)), request)
        except ClosedError:
            return self.error(RequestError("STOPPING", "the service stops; connect again later."), request)
        except StoreError as error:
            return self.error(RequestError("ANCHOR", str(error), state=error.state), request)
        except MemoryError:
            return self.error(RequestError("BUSY", "no memory for this now.", retry_after_ms=1_000), request)
        except Exception as error:  # noqa: BLE001 - one client's request must not end the service for all
            # The kind only: what an exception says may quote what it was about.
            _log.warning("a request raised %s; it is answered with HOLD", type(error).__name__)
            return self.error(RequestError("FAILED", "the service could not do this."), request)
        finally:
            message.overwrite()

    def error(self, error: RequestError, request: _wire.Request | None) -> Answer:
        """The answer to what cannot be done; to a check it is a whole decision, with words to show."""
        self._failed += 1
        values: dict[str, Any] = {"error": {"type": error.type, "message": str(error), **error.more}}
        event = self._event(request)
        if event is None:
            values |= {"action": Action.HOLD.name, "reasons": [f"SERVICE_{error.type}"]}
        else:
            profile = self._guard.profile
            decision = protective_decision(
                f"SERVICE_{error.type}",
                event,
                band=profile.band,
                country=profile.country,
                languages=profile.language_tags,
                test_mode=self._guard.test_mode,
            )
            values |= decision.to_dict()
        return Answer(int(Action.HOLD), msgspec.json.encode(values))

    def _event(self, request: _wire.Request | None) -> Event | None:
        if isinstance(request, (_wire.CheckImage, _wire.CheckClip)):
            try:
                return Event(request.event)
            except ValueError:
                return Event.UPLOAD
        return _EVENTS.get(type(request))

    def _answer(self, peer: Peer, message: Message, request: _wire.Request) -> Answer:
        match request:
            case _wire.CheckImage():
                return self._check_image(message, request)
            case _wire.CheckClip():
                return self._check_clip(message, request)
            case _wire.CheckQuery():
                return self._decision(self._guard.check_query(request.text))
            case _wire.CheckUrl():
                return self._decision(self._guard.check_url(request.url))
            case _wire.CheckConsent():
                return self._decision(self._guard.check_consent(request.purpose))
            case _wire.CheckTime():
                return self._decision(self._guard.check_time(request.purpose))
            case _wire.ConversationOpen():
                return self._open_conversation(peer, request)
            case _wire.ConversationAdd():
                conversation = self._conversation(peer, request.conversation)
                at = _time(request.at)
                decision = conversation.add(sender=request.sender, text=request.text, at=at)
                return self._decision(decision, level=conversation.level, index=conversation.messages - 1)
            case _wire.ConversationFine():
                self._conversation(peer, request.conversation).fine()
                return _plain({"type": "done"})
            case _wire.ConversationClose():
                with peer.lock:
                    closing = peer.conversations.pop(request.conversation, None)
                if closing is not None:
                    closing.close()
                return _plain({"type": "done"})
            case _wire.AskNotice():
                notice = self._guard.notice(request.situation)
                return _plain({"type": "notice", "notice": notice})
            case _wire.AskHelp():
                services = self._guard.help(audiences=request.audiences)
                return _plain({"type": "help", "services": [help_dict(service) for service in services]})
            case _wire.Health():
                return self._health()
            case _wire.AnchorRead():
                return _plain({"type": "anchor", "value": self._anchor_book().read(peer.uid, request.name)})
            case _wire.AnchorAdvance():
                self._anchor_book().advance(peer.uid, request.name, request.value)
                return _plain({"type": "anchor", "value": self._anchor_book().read(peer.uid, request.name)})
            case _wire.Hello():
                raise RequestError("USAGE", "got a second hello, expected one a connection.")

    def _check_image(self, message: Message, request: _wire.CheckImage) -> Answer:
        most = self._limits.max_content_bytes
        data, sealed = self._content(message, request.source, max_bytes=most, offset=request.offset, size=request.bytes)
        try:
            source: Any = data
            if request.frame is not None:
                shape = request.frame
                source = Frame(
                    data,
                    shape.format,  # type: ignore[arg-type]  # a word from outside: Frame says which are right
                    width=shape.width,
                    height=shape.height,
                    stride=tuple(shape.stride) if isinstance(shape.stride, list) else shape.stride,
                    rotation=shape.rotation,  # type: ignore[arg-type]
                    color_range=shape.color_range,  # type: ignore[arg-type]
                )
            more = {"checked": checked(data, sealed=sealed)} if request.digest else {}
            decision = self._guard.check_image(source, event=request.event, context=request.context)
            return self._decision(decision, **more)
        finally:
            overwrite(data)

    def _check_clip(self, message: Message, request: _wire.CheckClip) -> Answer:
        if request.source == "fd" and message.fd is not None and is_sealed(message.fd):
            # Nobody can change it any more, so it needs no copy, however long it is.
            with os.fdopen(os.dup(message.fd), "rb") as file:
                file.seek(0)
                return self._decision(self._guard.check_clip(file, event=request.event))
        data, _ = self._content(message, request.source, max_bytes=self._limits.max_clip_bytes)
        try:
            return self._decision(self._guard.check_clip(bytes(data), event=request.event))
        finally:
            overwrite(data)

    def _content(
        self, message: Message, source: str, *, max_bytes: int, offset: int = 0, size: int | None = None
    ) -> tuple[bytearray | memoryview, bool | None]:
        if source == "inline":
            if message.fd is not None:
                raise RequestError("USAGE", 'got a file descriptor with source "inline", expected "fd".')
            if not message.content or offset or size not in (None, len(message.content)):
                raise RequestError("USAGE", "got no content, or offset or bytes for it, expected content alone.")
            return message.content, None
        if message.fd is None:
            raise RequestError("FD_MISSING", "got no file descriptor, expected one with the first bytes of the frame.")
        if message.content:
            raise RequestError("USAGE", 'got content with source "fd", expected none.')
        copied = copy_content(message.fd, offset=offset, size=size, max_bytes=max_bytes, memory=self._memory)
        return copied.data, copied.sealed

    def _open_conversation(self, peer: Peer, request: _wire.ConversationOpen) -> Answer:
        if len(peer.conversations) >= self._limits.max_conversations_per_client:
            raise RequestError("LIMIT", "got too many open conversations; close one that has ended.")
        conversation = self._guard.conversation(request.contact, trust=request.trust)
        with peer.lock:
            peer.opened += 1
            number = peer.opened
            if not peer.gone:
                peer.conversations[number] = conversation
        if peer.gone:
            conversation.close()
        return _plain({"type": "conversation", "conversation": number})

    def _conversation(self, peer: Peer, number: int) -> Conversation:
        with peer.lock:
            conversation = peer.conversations.get(number)
        if conversation is None:
            raise RequestError("NO_CONVERSATION", "got a number that is not open on this connection; open one.")
        return conversation

    def _anchor_book(self) -> AnchorBook:
        if self._anchors is None:
            raise RequestError("UNSUPPORTED", "this service keeps no anchors; start it with --anchors FOLDER.")
        return self._anchors

    def _health(self) -> Answer:
        guard = self._guard
        states = {name: state.value for name, state in self._states.items()}
        values: dict[str, Any] = {
            "type": "health",
            "service": f"safelight {__version__}",
            # Nothing that is checked could be allowed for a protected person while this is false.
            "ready": bool(states) and all(state == State.OK.value for state in states.values()),
            "detectors": states,
            "concurrency": guard.concurrency,
            "test_mode": guard.test_mode,
            "decided": self._decided,
            "errors": self._failed,
            "store": None,
        }
        children = [status() for detector in guard.detectors if (status := getattr(detector, "status", None))]
        values["children"] = [
            {"running": len(one.pids), "starts": one.starts, "failures": one.failures, "fault": one.last_fault}
            for one in children
        ]
        with contextlib.suppress(SafelightError):  # a guard without a store
            values["store"] = asdict(guard.store.health())
        return _plain(values | self._status())

    def _decision(self, decision: Decision, **more: Any) -> Answer:
        self._decided += 1
        # A record is kept and sent by the service. Its pseudonym would let apps find out that they share a device.
        values = {**decision.to_dict(), "record": None, **more}
        return Answer(int(decision.action), msgspec.json.encode(values))


def _time(at: float | str | None) -> datetime | float | None:
    if not isinstance(at, str):
        return at
    try:
        return datetime.fromisoformat(at.replace("Z", "+00:00"))
    except ValueError:
        raise RequestError("USAGE", "at: got a text that is no time, expected ISO 8601 or seconds.") from None


def _plain(values: dict[str, Any]) -> Answer:
    return Answer(NO_ACTION, msgspec.json.encode(values))
