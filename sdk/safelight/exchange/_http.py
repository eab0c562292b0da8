"""The one way in which adapters talk to a service: TLS, no redirects, bounded answers, waiting as asked.

What a proxy or a password file in the environment says is not used: hashes and tokens go where the operator's program
says and nowhere else.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, Final

import msgspec

from safelight.errors import (
    ExchangeAnswerError,
    ExchangeRefusedError,
    ExchangeUnavailableError,
    ExchangeUnsureError,
    MissingExtraError,
    UnsupportedInputError,
    UsageError,
)

if TYPE_CHECKING:
    from types import ModuleType

MAX_ANSWER_BYTES: Final = 64 << 20
#: Longer than this a program should come back later by itself.
MAX_WAIT_S: Final = 120.0
_CHUNK_BYTES: Final = 1 << 16
_MAX_ERROR_BYTES: Final = 1 << 16
_FIRST_WAIT_S: Final = 1.0
_BUSY: Final = frozenset({429, 502, 503, 504})
#: These say that the request was turned away before anything was done.
_TURNED_AWAY: Final = frozenset({429, 503})
_BAD_CERTIFICATE: Final = "a certificate that is not trusted"
_LOOPBACK: Final = frozenset({"127.0.0.1", "::1", "localhost"})


@dataclass(frozen=True, slots=True)
class Secret:
    """A token or password. Does not show itself when printed, logged or formatted.

    >>> Secret("abc")
    Secret(…)
    """

    _text: str = field(repr=False)

    def __post_init__(self) -> None:
        if not isinstance(self._text, str):
            raise UnsupportedInputError(f"secret: got {type(self._text).__name__}, expected str; decode it first")
        if not self._text or any(character in "\r\n\0" for character in self._text):
            raise UsageError("secret: expected one line of text that is not empty; strip the line that was read")

    def __repr__(self) -> str:
        return "Secret(…)"

    __str__ = __repr__

    def reveal(self) -> str:
        """The text itself, for the one header that it goes into."""
        return self._text

    @classmethod
    def of(cls, value: Secret | str) -> Secret:
        """``value`` itself, or a secret of that text."""
        return value if isinstance(value, Secret) else cls(value)


@dataclass(frozen=True, slots=True)
class Limits:
    """How long and how often a service is tried.

    Attributes:
        timeout_s: for one connection, and between two bytes of an answer.
        attempts: in all, 1 or more.
        max_wait_s: the longest that one wait lasts; a service that asks for more raises at once.
    """

    timeout_s: float = 30.0
    attempts: int = 4
    max_wait_s: float = MAX_WAIT_S

    def __post_init__(self) -> None:
        if not self.timeout_s > 0 or self.attempts < 1 or not self.max_wait_s >= 0:
            raise UsageError("limits: expected timeout_s above 0, attempts of 1 or more, max_wait_s of 0 or more")


@dataclass(frozen=True, slots=True)
class _Got:
    """What came of one request. No status: no whole answer; ``arrived``: the request may have."""

    status: int | None = None
    wait_s: float | None = None
    content: bytes = field(default=b"", repr=False)
    arrived: bool = True
    problem: str = ""


class Client:
    """One service.

    Args:
        service: its name, for messages.
        url: where it is: ``https://``, or ``http://`` on this machine's own loopback address.
        headers: that every request carries; a :class:`Secret` is shown to the service alone.
        basic: user name and password, if it wants them so.
        ca_bundle: path of the certificates to trust instead of the usual ones.
        proxies: as requests takes them; the environment's are not used.
        limits: see :class:`Limits`.
        sleep: waits so many seconds; for tests.
    """

    def __init__(
        self,
        service: str,
        url: str,
        *,
        headers: Mapping[str, Secret | str] | None = None,
        basic: tuple[str, Secret] | None = None,
        ca_bundle: str | None = None,
        proxies: Mapping[str, str] | None = None,
        limits: Limits | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._requests = requests = _requests()
        self._service = service
        self._base = _checked_url(service, url)
        self._limits = limits if limits is not None else Limits()
        self._sleep = sleep
        session = requests.Session()
        session.trust_env = False
        session.headers.update({"User-Agent": "safelight", "Accept": "application/json"})
        for name, value in (headers or {}).items():
            session.headers[name] = value.reveal() if isinstance(value, Secret) else value
        if basic is not None:
            session.auth = (basic[0].encode("utf-8"), basic[1].reveal().encode("utf-8"))
        if ca_bundle is not None:
            session.verify = ca_bundle
        if proxies:
            session.proxies.update(proxies)
        self._session = session

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._service})"

    def close(self) -> None:
        """Close its connections."""
        self._session.close()

    def get(self, path: str, parameters: Mapping[str, str | int], *, answer: type[Any]) -> Any:
        """Ask; see :meth:`post`."""
        return self._ask("GET", path, answer, parameters=parameters, repeatable=True, headers={})

    def post(
        self,
        path: str,
        value: Any,
        *,
        answer: type[Any],
        repeatable: bool,
        headers: Mapping[str, Secret] | None = None,
    ) -> Any:
        """Send ``value`` as JSON and return the answer, checked against ``answer``.

        Args:
            path: below the service's address.
            value: what msgspec can write.
            answer: type of the answer; ``bytes`` takes anything and returns nothing.
            repeatable: whether the same request twice does no harm. If not, only a clear refusal is tried again.
            headers: for this request.

        Raises:
            ExchangeRefusedError: the service refused.
            ExchangeUnavailableError: it could not be reached or is busy, after all attempts.
            ExchangeUnsureError: the line broke after a request that must not be repeated.
            ExchangeAnswerError: the answer is another one, or too long.
        """
        return self._ask("POST", path, answer, value=value, repeatable=repeatable, headers=headers or {})

    def _ask(
        self,
        method: str,
        path: str,
        answer: type[Any],
        *,
        repeatable: bool,
        headers: Mapping[str, Secret],
        parameters: Mapping[str, str | int] | None = None,
        value: Any = None,
    ) -> Any:
        sent = {name: secret.reveal() for name, secret in headers.items()}
        body = None
        if method == "POST":
            body = msgspec.json.encode(value)
            sent["Content-Type"] = "application/json"
        for attempt in range(1, self._limits.attempts + 1):
            got = self._once(method, path, parameters, body, sent)
            if got.status is not None and got.status < 300:
                return self._decode(got.content, answer)
            if got.status is None and got.arrived and not repeatable:
                raise self._unsure("a broken line after the request")
            busy = got.status is None or got.status in (_BUSY if repeatable else _TURNED_AWAY)
            if not busy:
                raise self._refusal(int(got.status or 0), repeatable=repeatable)
            asked_s = got.wait_s
            too_long = asked_s is not None and asked_s > self._limits.max_wait_s
            if attempt == self._limits.attempts or too_long or got.problem == _BAD_CERTIFICATE:
                when = "later" if asked_s is None else f"in {asked_s:.0f} s, as it asked"
                what = got.problem or f"status {got.status}"
                raise ExchangeUnavailableError(
                    f"{self._service}: got {what}, expected an answer; try again {when}", retry_after_s=asked_s
                )
            self._sleep(self._pause(attempt) if asked_s is None else asked_s)
        raise AssertionError("unreachable")  # pragma: no cover - the last attempt returns or raises

    def _once(
        self,
        method: str,
        path: str,
        parameters: Mapping[str, str | int] | None,
        body: bytes | None,
        headers: Mapping[str, str],
    ) -> _Got:
        errors = self._requests.exceptions
        got = _Got()
        try:
            with self._session.request(
                method,
                f"{self._base}/{path}",
                params=dict(parameters) if parameters else None,
                data=body,
                headers=dict(headers),
                timeout=self._limits.timeout_s,
                allow_redirects=False,
                stream=True,
            ) as response:
                limit = MAX_ANSWER_BYTES if response.status_code < 300 else _MAX_ERROR_BYTES
                content = bytearray()
                for chunk in response.iter_content(_CHUNK_BYTES):
                    content += chunk
                    if len(content) > limit:
                        break
                got = _Got(response.status_code, _retry_after(response.headers.get("Retry-After")), bytes(content))
        except errors.RequestException as error:
            connected = not _never_connected(error)
            certificate = isinstance(error, errors.SSLError) and not connected
            got = _Got(arrived=connected, problem=_BAD_CERTIFICATE if certificate else "no connection")
        return got

    def _decode(self, content: bytes, answer: type[Any]) -> Any:
        if answer is bytes:
            return None
        problem = f"over {MAX_ANSWER_BYTES} bytes" if len(content) > MAX_ANSWER_BYTES else ""
        if not problem:
            try:
                return msgspec.json.decode(content, type=answer)
            except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
                problem = f"{len(content)} bytes of another form"
        raise ExchangeAnswerError(
            f"{self._service}: got an answer of {problem}, expected its documented JSON; nothing of it was used: "
            "ask the service what changed"
        )

    def _refusal(self, status: int, *, repeatable: bool) -> Exception:
        if status in (401, 403):
            next_step = "check user name, password or token, and that the contract covers this"
        elif status == 404:
            next_step = "check the address, and that what was named there exists"
        elif status == 413:
            next_step = "send fewer at a time"
        elif 300 <= status < 400:
            next_step = "give the address that it has now: a redirect is not followed with hashes in hand"
        elif status >= 500 and not repeatable:
            return self._unsure(f"status {status}")
        elif status >= 500:
            next_step = "tell whoever runs it"
        else:
            next_step = "check what was sent against the service's documentation"
        return ExchangeRefusedError(f"{self._service}: got status {status}, expected 2xx; {next_step}", status=status)

    def _unsure(self, what: str) -> ExchangeUnsureError:
        return ExchangeUnsureError(
            f"{self._service}: got {what}, expected an answer; do not send it again before somebody looked there "
            "whether it arrived"
        )

    def _pause(self, attempt: int) -> float:
        # Full jitter: many programs that were turned away together do not come back together.
        return random.uniform(0.0, min(self._limits.max_wait_s, _FIRST_WAIT_S * 2 ** (attempt - 1)))


def _requests() -> ModuleType:
    try:
        import requests
    except ImportError:
        raise MissingExtraError(
            "exchange: got no requests library, expected the extra [report]; run: pip install 'safelight[report]'"
        ) from None
    return requests


def _checked_url(service: str, url: str) -> str:
    from requests.compat import urlsplit

    parts = None
    if isinstance(url, str) and url == url.strip() and "\\" not in url:
        try:
            parts = urlsplit(url)
            host, port = parts.hostname, parts.port
        except ValueError:
            parts = None
    good = (
        parts is not None
        and bool(host)
        and (port is None or port > 0)
        and parts.username is None
        and parts.password is None
        and not parts.query
        and not parts.fragment
        and (parts.scheme == "https" or (parts.scheme == "http" and host in _LOOPBACK))
    )
    if not good:
        raise UsageError(
            f"{service}: expected an address such as https://host/path, without user, password, query or fragment "
            "(http only for 127.0.0.1, ::1 and localhost); check it"
        )
    return url.rstrip("/")


def _retry_after(value: str | None) -> float | None:
    """Seconds, from a number or a date; ``None`` where there is neither."""
    if value is None:
        return None
    text = value.strip()
    if text.isascii() and text.isdecimal() and len(text) <= 9:
        return float(text)
    try:
        when = parsedate_to_datetime(text)
    except (TypeError, ValueError):
        return None
    return max(0.0, when.timestamp() - time.time())


def _never_connected(error: BaseException) -> bool:
    """Whether the connection itself failed, so that nothing can have arrived."""
    from urllib3.exceptions import ConnectTimeoutError, MaxRetryError, NewConnectionError, ProxyError, SSLError

    reason: Any = error.args[0] if error.args else None
    return isinstance(reason, MaxRetryError) and isinstance(
        reason.reason, (NewConnectionError, ConnectTimeoutError, ProxyError, SSLError)
    )
