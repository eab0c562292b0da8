"""The routes: limits first, then checks, then the database; an answer that says "stored" comes after the commit.

Nothing here reads or keeps the address of a peer, and no header that might carry one. Every failure is an answer with a
code of ``errors.CODES``; nothing is raised to the server, which would print it.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any, Final, TypeVar

import anyio
import anyio.to_thread
import msgspec
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from safelight_collector.counting import publishable
from safelight_collector.errors import CODES, CollectorError, RequestError, SetupError, StorageError
from safelight_collector.intake import SealingKeys, examine
from safelight_collector.limits import Buckets, Places, TokenBucket
from safelight_collector.metrics import Metrics
from safelight_collector.openapi import describe
from safelight_collector.page import operations_page
from safelight_collector.protocol import (
    SCHEMA,
    Ack,
    CollectorInfo,
    CountersAnswer,
    ErrorAnswer,
    KeyAnswer,
    KeyRequest,
    RecordsAnswer,
    RotateRequest,
    Upload,
    pseudonym_of,
    verify_rotation,
)
from safelight_collector.settings import Settings
from safelight_collector.storage import Key, Storage, today

logger = logging.getLogger("safelight_collector")

_MAX_KEY_BODY_BYTES: Final = 4096
_MAX_COUNTER_DAYS: Final = 3660
#: Less would let counts of single days be told by subtracting two answers.
_MIN_COUNTER_DAYS: Final = 7
_READY_EVERY_S: Final = 1.0
_SECURITY_HEADERS: Final = {
    "cache-control": "no-store",
    "content-security-policy": "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
}

T = TypeVar("T")
Handler = Callable[[Request], Awaitable[Response]]


def token_digest(token: str) -> bytes:
    """How an enrolment token is stored: 256 random bits need no slow derivation."""
    return hashlib.sha256(token.encode("utf-8", "replace")).digest()


def create_app(
    settings: Settings, *, clock: Callable[[], date] = today, monotonic: Callable[[], float] = time.monotonic
) -> Starlette:
    """The collector as an ASGI application.

    Args:
        settings: limits, places and secrets.
        clock: the day in UTC.
        monotonic: seconds of a clock that only goes forward, for rates.

    Raises:
        SetupError: a sealing key's secret half is missing, or the schema is not the newest.
        StorageError: the database does not answer.
    """
    storage = Storage(settings, clock=clock)
    storage.check_ready()
    collector = _Collector(settings, storage, SealingKeys(settings.sealing_keys, storage.sealing_keys()), monotonic)
    collector.clock = clock
    routes = [
        collector.route("/v1/collector", collector.describe_collector),
        collector.route("/v1/keys", collector.enrol, "POST"),
        collector.route("/v1/keys/rotate", collector.rotate, "POST"),
        collector.route("/v1/records", collector.upload, "POST"),
        collector.route("/v1/counters", collector.counters, operator=True),
        collector.route("/health", collector.health),
        collector.route("/ready", collector.ready),
        collector.route("/metrics", collector.metrics_text, operator=not settings.metrics_open),
        collector.route("/openapi.json", collector.openapi),
        collector.route("/", collector.operations, operator=True),
    ]
    app = Starlette(routes=routes, exception_handlers={HTTPException: collector.http_error})
    app.state.collector = collector
    return app


@dataclass(slots=True)
class _Checked:
    at: float = float("-inf")
    answer: str = "not looked at yet"


class _Collector:
    def __init__(
        self, settings: Settings, storage: Storage, sealing: SealingKeys, monotonic: Callable[[], float]
    ) -> None:
        self.settings, self.storage, self.sealing = settings, storage, sealing
        self.clock: Callable[[], date] = today
        self.metrics = Metrics()
        self._monotonic = monotonic
        self._buckets = Buckets(settings.rate_records_per_s, settings.burst_records, settings.max_buckets, monotonic)
        total = settings.total_records_per_s
        self._total = TokenBucket(total, max(total, settings.max_batch), monotonic)
        self._key_rate = TokenBucket(settings.keys_per_s, 5 * settings.keys_per_s + 1, monotonic)
        self._waiting = Places(settings.max_waiting)
        self._working = Places(settings.max_in_flight)
        self._threads: anyio.CapacityLimiter | None = None
        self._checked = _Checked()

    # -- around every request --------------------------------------------------------------------------------------

    def route(self, path: str, handler: Handler, method: str = "GET", *, operator: bool = False) -> Route:
        async def answer(request: Request) -> Response:
            started = time.perf_counter()
            try:
                if operator:
                    self._check_operator(request)
                response = await handler(request)
            except RequestError as error:
                response = _error(error.code, str(error), retry_after_s=error.retry_after_s)
            except StorageError as error:
                logger.error("%s: %s", path, error)
                response = _error("storage", str(error), retry_after_s=self._patience())
            except ClientDisconnect:
                response = _error("too_slow", "request: it ended before its body did; send it again")
            except Exception as error:
                # The class and nothing else: a message may hold what a device sent.
                logger.error("%s: %s", path, type(error).__name__)
                response = _error("internal", "collector: it failed on this request; its log names the error")
            self.metrics.requests.labels(path, response.status_code).inc()
            self.metrics.seconds.labels(path).observe(time.perf_counter() - started)
            return response

        return Route(path, answer, methods=[method])

    async def http_error(self, _request: Request, error: Exception) -> Response:
        status = getattr(error, "status_code", 404)
        if status == CODES["wrong_method"]:
            response = _error("wrong_method", "request: got another method, expected one of /openapi.json")
            response.headers.update(getattr(error, "headers", None) or {})
            return response
        return _error("not_found", "request: got no address of this collector, expected one of /openapi.json")

    def _check_operator(self, request: Request) -> None:
        expected = self.settings.operator_token
        scheme, _, given = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() == "basic":
            # A browser asks for a name and a password: the name is anything, the password is the token.
            try:
                given = base64.b64decode(given, validate=True).decode("utf-8", "replace").partition(":")[2]
            except (binascii.Error, ValueError):
                given = ""
        elif scheme.lower() != "bearer":
            given = ""
        if not expected or not hmac.compare_digest(given.strip().encode(), expected.encode()):
            raise RequestError(
                "not_operator", "operator: got no token or another one, expected the operator's; see operator.token"
            )

    def _patience(self) -> int:
        return self.settings.retry_after_s

    async def _in_thread(self, call: Callable[[], T]) -> T:
        if self._threads is None:
            self._threads = anyio.CapacityLimiter(self.settings.threads)
        return await anyio.to_thread.run_sync(call, limiter=self._threads)

    async def _body(self, request: Request, most: int) -> bytes:
        if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
            raise RequestError("not_json", "request: got another content type, expected application/json")
        if request.headers.get("content-encoding", "identity").lower() != "identity":
            raise RequestError("not_json", "request: got an encoded body, expected plain JSON")
        too_large = RequestError("too_large", f"request: got a larger body, expected at most {most} bytes; send less")
        length = request.headers.get("content-length", "")
        if length.isdigit() and int(length) > most:
            raise too_large
        if not self._waiting.enter():
            raise self._busy()
        try:
            body = bytearray()
            with anyio.fail_after(self.settings.body_timeout_s):
                async for chunk in request.stream():
                    body += chunk
                    if len(body) > most:
                        raise too_large
        except TimeoutError:
            raise RequestError(
                "too_slow", f"request: got no whole body in {self.settings.body_timeout_s:g} s; send it again"
            ) from None
        finally:
            self._waiting.leave()
        return bytes(body)

    def _busy(self) -> RequestError:
        return RequestError(
            "busy", "collector: it has all the work it can do; come back", retry_after_s=self._patience()
        )

    # -- devices ---------------------------------------------------------------------------------------------------

    async def describe_collector(self, _request: Request) -> Response:
        return _json(CollectorInfo(sealing_key=self.sealing.current, max_batch=self.settings.max_batch))

    async def enrol(self, request: Request) -> Response:
        wanted = _decode(await self._body(request, _MAX_KEY_BODY_BYTES), KeyRequest)
        self._charge_key()
        key, new = await self._in_thread(lambda: self.storage.enrol(token_digest(wanted.enrolment), wanted.public_key))
        return _key_answer(key, new)

    async def rotate(self, request: Request) -> Response:
        wanted = _decode(await self._body(request, _MAX_KEY_BODY_BYTES), RotateRequest)
        self._charge_key()

        def work() -> tuple[Key, bool]:
            old = self.storage.key(wanted.pseudonym)
            if pseudonym_of(wanted.public_key) == old.pseudonym or not verify_rotation(old.public_key, wanted):
                raise RequestError(
                    "bad_signature", "rotation: the old key did not sign this new one; sign it as the protocol says"
                )
            return self.storage.rotate(old, wanted.public_key)

        return _key_answer(*await self._in_thread(work))

    def _charge_key(self) -> None:
        wait = self._key_rate.take_if_there(1)
        if wait:
            raise RequestError("too_many", "keys: too many at once; come back", retry_after_s=wait)

    async def upload(self, request: Request) -> Response:
        sent = _decode(await self._body(request, self.settings.max_body_bytes), Upload)
        count = len(sent.records)
        if count > self.settings.max_batch:
            raise RequestError(
                "too_large", f"records: got {count}, expected at most {self.settings.max_batch} a request; send fewer"
            )
        if not self._working.enter():
            raise self._busy()
        self.metrics.in_flight.inc()
        try:
            wait = self._total.take_if_there(count)
            if wait:
                raise RequestError("busy", "collector: too many records in all; come back", retry_after_s=wait)
            return _json(RecordsAnswer(acks=await self._in_thread(lambda: self._take(sent))))
        finally:
            self._working.leave()
            self.metrics.in_flight.dec()

    def _take(self, sent: Upload) -> tuple[Ack, ...]:
        key = self.storage.key(sent.pseudonym)
        bucket = self._buckets.of(key.pseudonym)
        wait = bucket.wait_s(len(sent.records))
        if wait:
            raise RequestError("too_many", "records: too many of this pseudonym; come back", retry_after_s=wait)
        examined = [examine(record, key, self.sealing) for record in sent.records]
        # Only what its own key signed is charged to a pseudonym: nobody else can use up its share.
        bucket.take(sum(one not in ("size", "signature") for one in examined))
        with self.metrics.storing_seconds.time():
            fresh = self.storage.add(key, [one for one in examined if not isinstance(one, str)])
        acks = []
        for record, one in zip(sent.records, examined, strict=True):
            if isinstance(one, str):
                self.metrics.refused.labels(one).inc()
                acks.append(Ack(id=record.id, state="refused", reason=one))
            else:
                # An id that stands twice in a request is stored once.
                acks.append(Ack(id=record.id, state="stored" if one.record_id in fresh else "duplicate"))
                fresh.discard(one.record_id)
            self.metrics.records.labels(acks[-1].state).inc()
        return tuple(acks)

    # -- the operator ----------------------------------------------------------------------------------------------

    async def counters(self, request: Request) -> Response:
        until = _day(request, "to", self.clock())
        since = _day(request, "from", until - timedelta(days=29))
        if not _MIN_COUNTER_DAYS <= (until - since).days + 1 <= _MAX_COUNTER_DAYS:
            raise RequestError(
                "malformed", f"counters: got another span, expected {_MIN_COUNTER_DAYS} to {_MAX_COUNTER_DAYS} days"
            )
        counts = await self._in_thread(lambda: self.storage.counts(since, until))
        shown, _ = publishable(counts, min_cell=self.settings.min_cell)
        return _json(CountersAnswer(schema=SCHEMA, from_=since.isoformat(), to=until.isoformat(), counters=shown))

    async def operations(self, _request: Request) -> Response:
        page = await self._in_thread(lambda: operations_page(self.storage, self.settings, self.clock()))
        return HTMLResponse(page, headers=_SECURITY_HEADERS)

    async def metrics_text(self, _request: Request) -> Response:
        content = await self._in_thread(self.metrics.text)
        return Response(content, media_type="text/plain; version=0.0.4; charset=utf-8", headers=_SECURITY_HEADERS)

    async def openapi(self, _request: Request) -> Response:
        return _json(describe(self.settings))

    async def health(self, _request: Request) -> Response:
        return _json({"status": "alive"})

    async def ready(self, _request: Request) -> Response:
        # Asked by anybody, so looked at no oftener than once a second.
        if self._monotonic() - self._checked.at >= _READY_EVERY_S:
            self._checked.at = self._monotonic()
            self._checked.answer = await self._in_thread(self._look)
        if self._checked.answer == "ready":
            return _json({"status": "ready"})
        return _error("storage", self._checked.answer, retry_after_s=self._patience())

    def _look(self) -> str:
        try:
            self.storage.check_ready()
            if self.storage.sealing_keys()[-1:] != [self.sealing.current]:
                raise SetupError("sealing key: devices should be told a newer one, which this process has not; restart")
        except CollectorError as error:
            logger.error("not ready: %s", error)
            return str(error)
        return "ready"


def _decode(body: bytes, kind: type[T]) -> T:
    problem = ""
    try:
        return msgspec.json.decode(body, type=kind)
    except msgspec.ValidationError as error:
        # What a validator says of an unknown field repeats it; where it stands is enough.
        where = str(error).rpartition(" - at ")[2].strip("`") if " - at " in str(error) else "$"
        problem = f"got JSON of another form at {where}"
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        problem = "got something else than JSON"
    raise RequestError("malformed", f"request: {problem}, expected what /openapi.json says; correct it")


def _day(request: Request, name: str, default: date) -> date:
    text = request.query_params.get(name)
    if text is None:
        return default
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise RequestError("malformed", f"{name}: got another form, expected a day as YYYY-MM-DD") from None


def _key_answer(key: Key, new: bool) -> Response:
    answer = KeyAnswer(pseudonym=key.pseudonym, expires_at=f"{key.expires_on.isoformat()}T00:00:00Z")
    return _json(answer, status=201 if new else 200)


def _json(value: Any, status: int = 200) -> Response:
    return Response(msgspec.json.encode(value), status, {"cache-control": "no-store"}, "application/json")


def _error(code: str, message: str, *, retry_after_s: int | None = None) -> Response:
    response = _json(ErrorAnswer(error=code, message=message), CODES[code])
    if retry_after_s is not None:
        response.headers["retry-after"] = str(retry_after_s)
    if code == "not_operator":
        response.headers["www-authenticate"] = 'Basic realm="operator", charset="UTF-8"'
    return response
