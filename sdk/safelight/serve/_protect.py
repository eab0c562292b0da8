"""The decision for when there is none: hold, with a named reason, words and help."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime, timezone
from typing import Any, Final

import msgspec

from safelight.decision import Action, AgeBand, Decision, Event, Finding, FindingKind, HelpService, Notice, State
from safelight.errors import SafelightError
from safelight.notices import find_help, last_resort, load_builtin

#: Reasons that only the service or its client gives; each is one of the errors in docs/serve-protocol.md, or:
UNAVAILABLE: Final = "SERVICE_UNAVAILABLE"  # nobody answers at the socket
LOST: Final = "SERVICE_LOST"  # the connection broke before the answer
TIMED_OUT: Final = "SERVICE_TIMED_OUT"
PROTOCOL: Final = "SERVICE_PROTOCOL"  # what answers does not keep to the protocol
VERSION: Final = "SERVICE_VERSION"
UNTRUSTED: Final = "SERVICE_UNTRUSTED"  # another user's process answers
BUSY: Final = "SERVICE_BUSY"
CONVERSATION_LOST: Final = "CONVERSATION_LOST"
CONVERSATION_RESTARTED: Final = "CONVERSATION_RESTARTED"

_STATES: Final = {TIMED_OUT: State.TIMED_OUT, "SERVICE_TOO_LARGE": State.TOO_LARGE}
_KINDS: Final = {
    Event.MESSAGE: FindingKind.CONVERSATION,
    Event.SEARCH: FindingKind.QUERY,
    Event.USE: FindingKind.CONSENT,
}


class _Decided(msgspec.Struct, frozen=True):
    """A decision as it travels. A record stays with the service, which keeps and sends it: it names the device."""

    event: Event
    age_band: AgeBand
    findings: tuple[Finding, ...]
    reasons: tuple[str, ...]
    notice: Notice | None
    test_mode: bool
    elapsed_ms: float


def protective_decision(
    reason: str,
    event: Event,
    *,
    band: AgeBand = AgeBand.UNKNOWN,
    country: str | None = None,
    languages: Sequence[str] = ("en",),
    test_mode: bool = False,
    elapsed_ms: float = 0.0,
) -> Decision:
    """``HOLD``, because of what the reason says, with a notice that needs nothing but this build's own data."""
    finding = Finding(_KINDS.get(event, FindingKind.MEDIA), _STATES.get(reason, State.DETECTOR_FAILED))
    return Decision(
        action=Action.HOLD,
        event=event,
        age_band=band,
        findings=(finding,),
        reasons=(reason,),
        notice=_words(band, country, languages),
        test_mode=test_mode,
        elapsed_ms=elapsed_ms,
    )


def local_help(
    audiences: Sequence[str], *, country: str | None = None, languages: Sequence[str] = ("en",)
) -> tuple[HelpService, ...]:
    """Help from this build's own directory, for when no service answers."""
    return find_help(
        load_builtin(tuple(languages)).directory,
        country=country,
        audiences=audiences,
        languages=languages,
        today=datetime.now(timezone.utc).date(),
    )


def read_decision(values: dict[str, Any]) -> Decision:
    """A decision from the JSON object that a service sent.

    Raises:
        ValueError: it is none, or has words that this build does not know.
    """
    try:
        action = Action[values["action"]]
        seen = msgspec.convert(values, _Decided)
    except (KeyError, TypeError, msgspec.ValidationError):
        raise ValueError("no decision") from None
    return Decision(
        action=action,
        event=seen.event,
        age_band=seen.age_band,
        findings=seen.findings,
        reasons=seen.reasons,
        notice=seen.notice,
        test_mode=seen.test_mode,
        elapsed_ms=seen.elapsed_ms,
    )


def read_notice(values: Any) -> Notice:
    """As :func:`read_decision`."""
    try:
        return msgspec.convert(values, Notice)
    except msgspec.ValidationError:
        raise ValueError("no notice") from None


def read_help(values: Any) -> tuple[HelpService, ...]:
    """As :func:`read_decision`."""
    try:
        return msgspec.convert(values, tuple[HelpService, ...])
    except msgspec.ValidationError:
        raise ValueError("no services") from None


def _words(band: AgeBand, country: str | None, languages: Sequence[str]) -> Notice:
    """Kept for the day: a service that is asked too much must not spend its time on this."""
    today = _today()
    key = (band, country, tuple(languages), today)
    if key not in _kept:
        try:
            directory = load_builtin(tuple(languages)).directory
        except SafelightError:
            directory = ()
        notice = last_resort(
            action=Action.HOLD, band=band, directory=directory, country=country, languages=languages, today=today
        )
        if not directory:
            return notice
        _kept.clear()
        _kept[key] = notice
    return _kept[key]


_kept: dict[tuple[AgeBand, str | None, tuple[str, ...], date], Notice] = {}


def _today() -> date:
    return datetime.now(timezone.utc).date()


# msgspec learns a dataclass when it first meets it, and two threads that do so at once can crash the process (the
# garbage collector walks what is half made). An app's first two questions may come at once: it learns here, at import.
for _kind in (_Decided, Notice, tuple[HelpService, ...]):
    msgspec.json.Decoder(_kind)
