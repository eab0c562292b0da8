"""Sends what waits in an outbox: the only module of Safelight's reporting that opens a connection.

Needs the extra ``[report]`` (requests). HTTPS only, no redirect followed, no cookie kept, nothing read from the
environment; records of two pseudonyms never share a connection, and by themselves not even a step of the schedule.
A failure is a named state and a wait, never an exception and never a loss.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from enum import Enum
from typing import TYPE_CHECKING, Any, Final, TypeVar

import msgspec

from safelight.errors import MissingExtraError, ReportError
from safelight.reporting._database import OutboxState
from safelight.reporting.outbox import Batch, Collector, Outbox, Registration
from safelight.reporting.reporter import may_erase
from safelight.reporting.wire import MAX_BATCH, SEALED_BYTES, CollectorInfo, ErrorAnswer, KeyAnswer, RecordsAnswer

if TYPE_CHECKING:
    from safelight.store import Store

_MAX_ANSWER_BYTES: Final = 256 << 10
_CHUNK_BYTES: Final = 16 << 10
#: The same on every device and in every version: it must not tell devices apart.
_HEADERS: Final = {
    "User-Agent": "safelight-report/1",
    "Accept": "application/json",
    "Accept-Encoding": "identity",
    "Content-Type": "application/json",
}

T = TypeVar("T")


class SendState(str, Enum):
    """What became of an attempt to send. Everything but the first three waits and is tried again."""

    SENT = "SENT"
    """The collector has answered for every record that was sent."""
    NOTHING = "NOTHING"
    """Nothing waits, or it is not time yet."""
    OFF = "OFF"
    """No collector is set up."""
    NOT_KEPT = "NOT_KEPT"
    """The outbox cannot be read or written to; its own state says why."""
    UNREACHABLE = "UNREACHABLE"
    """No connection, or it broke, or the answer took too long."""
    UNTRUSTED = "UNTRUSTED"
    """The certificate is not vouched for, is another host's, or is not the one that was pinned."""
    WRONG_COLLECTOR = "WRONG_COLLECTOR"
    """It has another sealing key than this device was given: nothing was sent."""
    KEY_REFUSED = "KEY_REFUSED"
    """It does not take this device's key: a wrong enrolment token, or an epoch that ran out."""
    BUSY = "BUSY"
    """It asks to come back later."""
    REFUSED = "REFUSED"
    """It refuses the request as a whole."""
    BAD_ANSWER = "BAD_ANSWER"
    """Its answer is none of this protocol."""
    PARTLY = "PARTLY"
    """It did not answer for every record; the others are sent again."""

    def __str__(self) -> str:
        return str(self.value)


@dataclass(frozen=True, slots=True)
class SendResult:
    """What was sent.

    Attributes:
        state: see :class:`SendState`.
        acked, refused, unanswered: records.
        retry_in_s: running time until the next try, after a failure.
        error: the collector's own word for it, if it gave one.
    """

    state: SendState
    acked: int = 0
    refused: int = 0
    unanswered: int = 0
    retry_in_s: float | None = None
    error: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """As JSON-ready values."""
        return {
            "state": self.state.value,
            "acked": self.acked,
            "refused": self.refused,
            "unanswered": self.unanswered,
            "retry_in_s": round(self.retry_in_s, 1) if self.retry_in_s is not None else None,
            "error": self.error,
        }


class Uploader:
    """Sends an outbox's records over HTTPS.

    Args:
        outbox: whose.
        store: a family's settings: while they say no, list matches are erased instead of sent; while they cannot be
            believed, they wait. A person's own report is theirs and goes on.
        connect_timeout_s, answer_timeout_s: for one connection, and for one whole answer.
        proxy: address of an HTTP proxy; none is taken from the environment.

    Raises:
        MissingExtraError: requests is not installed.
    """

    def __init__(
        self,
        outbox: Outbox,
        *,
        store: Store | None = None,
        connect_timeout_s: float = 10.0,
        answer_timeout_s: float = 60.0,
        proxy: str | None = None,
    ) -> None:
        _requests()
        self.outbox = outbox
        self._store = store
        self._connect_timeout_s = connect_timeout_s
        self._answer_timeout_s = answer_timeout_s
        self._proxy = proxy

    def send_due(self) -> SendResult:
        """Send if it is time; call it from a timer. One pseudonym a step, so that two never come together.

        Never raises for what is on the disk or on the network.
        """
        self._erase_if_off()
        if not self.outbox.due():
            state = self.outbox.state
            return SendResult(_of_outbox(state) if state is not OutboxState.OK else SendState.NOTHING)
        return self._send(one_pseudonym=True)

    def flush(self) -> SendResult:
        """Send everything now, whatever the schedule says. Never raises for what is on the disk or on the network."""
        self._erase_if_off()
        return self._send(one_pseudonym=False)

    # -- inside ------------------------------------------------------------------------------------------------------

    def _erase_if_off(self) -> None:
        if may_erase(self._store):
            with suppress(ReportError):
                self.outbox.purge("list_match")

    def _next_batch(self, size: int, pseudonym: str | None = None) -> Batch | None:
        asked_for = self._store is None or self._store.settings.reporting
        return self.outbox.next_batch(max_records=size, pseudonym=pseudonym, made_by=None if asked_for else "person")

    def _send(self, *, one_pseudonym: bool) -> SendResult:
        acked = refused = 0
        try:
            collector = self.outbox.collector
            if collector is None:
                return SendResult(SendState.OFF)
            batch, size, sent_as = None, MAX_BATCH, None
            session: Any = None
            try:
                while True:
                    batch = self._next_batch(size, sent_as if one_pseudonym else None)
                    if batch is None and sent_as is None and self._register(collector):
                        batch = self._next_batch(size)
                    elif batch is None and not one_pseudonym and self._register(collector):
                        continue
                    if batch is None:
                        break
                    if session is None or batch.pseudonym != sent_as:
                        session = self._new_session(collector, session)
                        sent_as = batch.pseudonym
                    try:
                        told = self._deliver(collector, session, batch)
                    except _TooLargeError:
                        size //= 2
                        if size == 0:
                            raise _FailedError(SendState.REFUSED, error="too_large") from None
                        continue
                    acked, refused = acked + told["acked"], refused + told["refused"]
                    if told["unanswered"]:
                        retry_in_s = self.outbox.postpone()
                        return SendResult(SendState.PARTLY, acked, refused, told["unanswered"], retry_in_s)
            finally:
                if session is not None:
                    session.close()
        except _FailedError as failed:
            retry_in_s = None
            with suppress(ReportError):
                retry_in_s = self.outbox.postpone(retry_after_s=failed.retry_after_s)
            return SendResult(failed.state, acked, refused, retry_in_s=retry_in_s, error=failed.error)
        except ReportError as error:
            return SendResult(_of_outbox(OutboxState(error.state)), acked, refused)
        return SendResult(SendState.SENT if acked or refused else SendState.NOTHING, acked, refused)

    def _deliver(self, collector: Collector, session: Any, batch: Batch) -> dict[str, int]:
        try:
            answer = self._ask(collector, session, "POST", "/v1/records", batch.body, RecordsAnswer)
        except _FailedError as failed:
            if failed.state is SendState.KEY_REFUSED:
                self.outbox.unregistered(batch.pseudonym)
            raise
        return self.outbox.acknowledge(batch, answer.acks)

    def _register(self, collector: Collector) -> bool:
        """Tell the collector of a key that records wait for, on a connection of its own; whether there was one."""
        registration = self.outbox.next_registration()
        if registration is None:
            return False
        session = self._new_session(collector)
        try:
            info = self._ask(collector, session, "GET", "/v1/collector", None, CollectorInfo)
            if info.sealing_key != collector.sealing_key or info.record_bytes != SEALED_BYTES:
                raise _FailedError(SendState.WRONG_COLLECTOR)
            try:
                self._registered(collector, session, registration)
            except _FailedError as failed:
                other = self.outbox.next_registration(enrol=False)
                if failed.state is not SendState.KEY_REFUSED or other is None:
                    raise
                self._registered(collector, session, other)
        finally:
            session.close()
        return True

    def _registered(self, collector: Collector, session: Any, registration: Registration) -> None:
        answer = self._ask(collector, session, "POST", registration.path, registration.body, KeyAnswer)
        expires_at: datetime | None = None
        with suppress(ValueError):
            expires_at = datetime.fromisoformat(answer.expires_at.replace("Z", "+00:00"))
        if answer.pseudonym != registration.pseudonym or expires_at is None:
            raise _FailedError(SendState.BAD_ANSWER)
        if expires_at.tzinfo is None:
            expires_at = expires_at.replace(tzinfo=timezone.utc)
        self.outbox.registered(registration.pseudonym, expires_at=expires_at)

    def _ask(self, collector: Collector, session: Any, method: str, path: str, body: bytes | None, kind: type[T]) -> T:
        requests = _requests()
        failure: Exception | None = None
        content, status, headers = b"", 0, {}
        try:
            deadline_s = time.monotonic() + self._answer_timeout_s
            with session.request(
                method,
                collector.url.rstrip("/") + path,
                data=body,
                timeout=(self._connect_timeout_s, self._answer_timeout_s),
                allow_redirects=False,
                stream=True,
            ) as answer:
                status, headers = answer.status_code, answer.headers
                for chunk in answer.iter_content(_CHUNK_BYTES):
                    content += chunk
                    if len(content) > _MAX_ANSWER_BYTES or time.monotonic() > deadline_s:
                        failure = _FailedError(SendState.BAD_ANSWER)
                        break
        except requests.exceptions.SSLError:
            failure = _FailedError(SendState.UNTRUSTED)
        except (requests.exceptions.RequestException, OSError, ValueError):
            # Raised outside the handler: what requests says names the address.
            failure = _FailedError(SendState.UNREACHABLE)
        if failure is None and not 200 <= status < 300:
            failure = _failed(status, content, headers)
        if failure is not None:
            raise failure
        answered: T | None = None
        with suppress(msgspec.DecodeError, UnicodeDecodeError):
            answered = msgspec.json.decode(content, type=kind)
        if answered is None:
            raise _FailedError(SendState.BAD_ANSWER)
        return answered

    def _new_session(self, collector: Collector, old: Any = None) -> Any:
        if old is not None:
            old.close()
        requests = _requests()
        session = requests.Session()
        session.trust_env = False
        session.cookies.set_policy(_no_cookies())
        session.headers.clear()
        session.headers.update(_HEADERS)
        if collector.ca_file is not None:
            session.verify = collector.ca_file
        if self._proxy is not None:
            session.proxies = {"https": self._proxy, "http": self._proxy}
        if collector.certificate_sha256 is not None:
            session.mount("https://", _pinned(collector.certificate_sha256))
        return session


class _FailedError(Exception):
    def __init__(self, state: SendState, *, retry_after_s: float | None = None, error: str | None = None) -> None:
        super().__init__(state.value)
        self.state, self.retry_after_s, self.error = state, retry_after_s, error


class _TooLargeError(Exception):
    pass


def _failed(status: int, content: bytes, headers: Mapping[str, str]) -> Exception:
    if status == 413:
        return _TooLargeError()
    word: str | None = None
    with suppress(msgspec.DecodeError, UnicodeDecodeError):
        # A word of the protocol and nothing else: what a collector writes must not reach a log as it likes.
        word = msgspec.json.decode(content, type=ErrorAnswer).error
        word = word if word.replace("_", "").isalnum() and word.isascii() else None
    if status in (429, 500, 502, 503, 504):
        return _FailedError(SendState.BUSY, retry_after_s=_retry_after_s(headers), error=word)
    if status in (401, 403):
        return _FailedError(SendState.KEY_REFUSED, retry_after_s=_retry_after_s(headers), error=word)
    if 300 <= status < 400 or status == 404:
        return _FailedError(SendState.BAD_ANSWER, error=word)
    return _FailedError(SendState.REFUSED, error=word)


def _retry_after_s(headers: Mapping[str, str]) -> float | None:
    text = headers.get("Retry-After", "").strip()
    if text.isascii() and text.isdigit():
        return float(text)
    with suppress(ValueError, TypeError, IndexError):
        # Against the collector's own clock: this device's may be set to anything.
        wait = parsedate_to_datetime(text) - parsedate_to_datetime(headers.get("Date", ""))
        return max(0.0, wait.total_seconds())
    return None


def _of_outbox(state: OutboxState) -> SendState:
    return SendState.OFF if state is OutboxState.OFF else SendState.NOT_KEPT


def _no_cookies() -> Any:
    from http.cookiejar import DefaultCookiePolicy

    return DefaultCookiePolicy(allowed_domains=[])


def _pinned(certificate_sha256: str) -> Any:
    """An adapter that takes one certificate only, on top of the usual checks; through a proxy too."""
    from requests.adapters import HTTPAdapter

    class Pinned(HTTPAdapter):
        def init_poolmanager(self, *args: Any, **options: Any) -> None:
            super().init_poolmanager(*args, assert_fingerprint=certificate_sha256, **options)

        def proxy_manager_for(self, proxy: str, **options: Any) -> Any:
            return super().proxy_manager_for(proxy, assert_fingerprint=certificate_sha256, **options)

    return Pinned()


def _requests() -> Any:
    try:
        import requests
    except ImportError:
        pass
    else:
        return requests
    raise MissingExtraError("requests is not installed; sending needs it: pip install 'safelight[report]'")
