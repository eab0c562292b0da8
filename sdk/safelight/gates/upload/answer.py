"""What a client is told when its request does not go through: JSON (RFC 9457), or a page when it asks for one."""

from __future__ import annotations

import re
from datetime import date, datetime, timezone
from html import escape
from typing import TYPE_CHECKING, Any, Final

import msgspec

from safelight.errors import (
    UploadBusyError,
    UploadEncodingError,
    UploadError,
    UploadMalformedError,
    UploadTimeoutError,
    UploadTooLargeError,
)
from safelight.gates.upload.verdict import UploadRefusedError, UploadVerdict
from safelight.notices import load_builtin
from safelight.notices.render import html_page, render_html

if TYPE_CHECKING:
    from safelight.decision import Notice, Redress
    from safelight.guard import Guard

_STATUS: Final[tuple[tuple[type[UploadError], int, str], ...]] = (
    (UploadRefusedError, 422, "This was not sent."),
    (UploadMalformedError, 400, "The request could not be read."),
    (UploadTooLargeError, 413, "The request is too large."),
    (UploadEncodingError, 415, "The request is packed in a way that is not taken here."),
    (UploadTimeoutError, 408, "The request took too long."),
    (UploadBusyError, 503, "There is no room for the request now. Try again soon."),
)
RETRY_AFTER_S: Final = 5
_QUALITY: Final = re.compile(r";\s*q=([01](?:\.\d{0,3})?)")


def status_of(error: UploadError) -> int:
    """The HTTP status of an error; 500 for one of another kind."""
    return next((status for kind, status, _ in _STATUS if isinstance(error, kind)), 500)


def wants_html(accept: str) -> bool:
    """Whether a client would rather have a page than JSON: a browser that sends a form would."""
    best = {"text/html": 0.0, "application/json": 0.0}
    for item in accept.split(","):
        name = item.split(";")[0].strip().lower()
        match = _QUALITY.search(item)
        quality = float(match[1]) if match is not None else 1.0
        if name == "application/problem+json":
            name = "application/json"
        if name in best:
            best[name] = max(best[name], quality)
    return best["text/html"] > best["application/json"]


def answer(error: UploadError, guard: Guard, *, accept: str = "") -> tuple[int, list[tuple[bytes, bytes]], bytes]:
    """Status, headers and body for an error.

    Args:
        error: what stopped the request.
        guard: has the words.
        accept: the request's header.
    """
    status = status_of(error)
    title = next((text for kind, _, text in _STATUS if isinstance(error, kind)), "The request was not taken.")
    verdict = error.verdict if isinstance(error, UploadRefusedError) else None
    redress = guard.redress() if verdict is not None else None
    headers = [(b"cache-control", b"no-store"), (b"x-content-type-options", b"nosniff")]
    if isinstance(error, UploadBusyError):
        headers.append((b"retry-after", str(RETRY_AFTER_S).encode()))
    if wants_html(accept):
        headers += [
            (b"content-type", b"text/html; charset=utf-8"),
            (b"content-security-policy", b"default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'"),
        ]
        body = _page(title, verdict, redress, guard).encode()
    else:
        headers.append((b"content-type", b"application/problem+json"))
        body = msgspec.json.encode(_problem(error, status, title, verdict, redress))
    headers.append((b"content-length", str(len(body)).encode()))
    return status, headers, body


def _problem(
    error: UploadError, status: int, title: str, verdict: UploadVerdict | None, redress: Redress | None
) -> dict[str, Any]:
    values: dict[str, Any] = {"type": "about:blank", "title": title, "status": status, "reason": error.reason}
    if verdict is not None:
        values.update(verdict.to_dict())
        decision = values["decision"]
        values["notice"] = decision["notice"] if decision is not None else None
        values["redress"] = redress.to_dict() if redress is not None else None
    return values


def _page(title: str, verdict: UploadVerdict | None, redress: Redress | None, guard: Guard) -> str:
    notice = verdict.decision.notice if verdict is not None and verdict.decision is not None else None
    if notice is None:
        return html_page(title, f"<h1>{escape(title)}</h1>", lang="en")
    out = [_notice_html(notice, guard)]
    if redress is not None:
        out.append(
            f'<p class="note" lang="{escape(redress.lang)}" dir="{redress.direction}">{escape(redress.text)}</p>'
        )
    return html_page(notice.title, "\n".join(out), lang=notice.lang, direction=notice.direction)


def _notice_html(notice: Notice, guard: Guard) -> str:
    catalogue = load_builtin((notice.lang,)).catalogue
    if catalogue is None:
        # The words are missing or damaged: the notice brought its own from code.
        ways = "".join(
            f"<li><bdi>{escape(one.service)}</bdi> {escape(one.phone or one.web_url or '')}</li>" for one in notice.help
        )
        return (
            f'<h1>{escape(notice.title)}</h1><p>{escape(notice.body)}</p><ul class="services">{ways}</ul>'
            f"<p>{escape(notice.why)}</p><p>{escape(notice.appeal)}</p>"
        )
    today: date = datetime.now(timezone.utc).date()
    return render_html(notice, catalogue.texts, today=today, country=guard.profile.country, level=1)
