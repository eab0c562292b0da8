"""The words of Safelight: one noun per concept, shared by every layer.

Everything here is a frozen value without behaviour. Data flows one way:
media → evidence (:class:`Finding`) → :class:`Decision` → :class:`Notice` → record.

No value here can hold a pixel, a path or a message text: ids, labels and scores only.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date
from enum import Enum, IntEnum
from typing import Any


class _Word(str, Enum):
    """A string-valued word: compares equal to its text and prints as its text."""

    def __str__(self) -> str:
        return str(self.value)


class Event(_Word):
    """What somebody is about to do."""

    CAPTURE = "capture"
    UPLOAD = "upload"
    SEND = "send"
    RECEIVE = "receive"
    VIEW = "view"
    SAVE = "save"
    MESSAGE = "message"
    SEARCH = "search"


class AgeBand(_Word):
    """Age of the person who holds the device. ``UNKNOWN`` is protected like a 13-15-year-old.

    ``ADULT`` is established by a guardian, a device owner or a platform signal, never by a birthday
    typed in or by an estimate alone: that is the caller's promise.
    """

    UNDER_10 = "under_10"
    FROM_10_TO_12 = "10_12"
    FROM_13_TO_15 = "13_15"
    FROM_16_TO_17 = "16_17"
    ADULT = "adult"
    UNKNOWN = "unknown"


class Action(IntEnum):
    """The ladder. Several findings take the highest; comparison is meaningful."""

    ALLOW = 0
    NUDGE = 1
    BLUR = 2
    HOLD = 3
    BLOCK = 4

    def __str__(self) -> str:
        return self.name


class State(_Word):
    """Whether a detector could answer, and if not, why. Only ``OK`` comes with a score."""

    OK = "OK"
    NO_EVIDENCE = "NO_EVIDENCE"
    NO_MODEL = "NO_MODEL"
    UNVERIFIED = "UNVERIFIED"
    DETECTOR_FAILED = "DETECTOR_FAILED"
    SCORE_INVALID = "SCORE_INVALID"
    DECODE_FAILED = "DECODE_FAILED"
    NOT_MEDIA = "NOT_MEDIA"
    NO_DECODER = "NO_DECODER"
    TOO_LARGE = "TOO_LARGE"
    TOO_SMALL = "TOO_SMALL"
    LOW_QUALITY = "LOW_QUALITY"
    TOO_DARK = "TOO_DARK"
    TOO_BLURRED = "TOO_BLURRED"
    TIMED_OUT = "TIMED_OUT"
    OUT_OF_MEMORY = "OUT_OF_MEMORY"


class FindingKind(_Word):
    """What a finding is about."""

    MEDIA = "media"
    NUDITY = "nudity"
    AGE = "age"
    KNOWN = "known"


class Label(_Word):
    """What a detector says of its kind: nudity levels, *subject* age classes, list matches."""

    NONE = "none"
    SUGGESTIVE = "suggestive"
    EXPLICIT = "explicit"
    NO_FACE = "no_face"
    ADULT = "adult"
    UNSURE = "unsure"
    MINOR = "minor"
    NO_MATCH = "no_match"
    MATCH = "match"


@dataclass(frozen=True, slots=True)
class Finding:
    """One detector's answer.

    Attributes:
        kind: what the detector looks for.
        label: its answer in words, or ``None`` when ``state`` is not ``OK``.
        score: calibrated, in [0, 1]; ``None`` when ``state`` is not ``OK``.
        state: ``OK``, or why it could not tell.
        model: id of the model or list that answered, e.g. ``open_nsfw_v1``.
        interval_years: for kind ``age``: central 90 % of the models' own distribution of apparent age.
    """

    kind: FindingKind
    state: State
    label: Label | None = None
    score: float | None = None
    model: str | None = None
    interval_years: tuple[float, float] | None = None


@dataclass(frozen=True, slots=True)
class HelpService:
    """A service that a person can turn to, as read at ``source`` on ``read_on``.

    ``read_on`` is ``None`` for a service that nobody read at a source: then ``web_url`` is all there is.
    """

    service: str
    organisation: str
    country: str
    audience: tuple[str, ...]
    languages: tuple[str, ...]
    phone: str | None
    sms: str | None
    chat_url: str | None
    web_url: str | None
    report_url: str | None
    read_on: date | None
    source: str | None


@dataclass(frozen=True, slots=True)
class Choice:
    """A button: a stable id for the host, a label for the reader."""

    id: str
    label: str


@dataclass(frozen=True, slots=True)
class Notice:
    """What is shown: what happened, what you can do, why, help, how to say "this is wrong".

    Attributes:
        id: ``<entry>/<variant>`` of the catalogue, e.g. ``picture_out_explicit.share.10_12/a``; no content.
        lang: BCP 47 tag of the texts.
    """

    id: str
    lang: str
    title: str
    body: str
    why: str
    choices: tuple[Choice, ...]
    appeal: str
    help: tuple[HelpService, ...] = field(default=())


@dataclass(frozen=True, slots=True)
class Decision:
    """What Safelight decided, and why.

    Attributes:
        action: the rung of the ladder; the host acts on this.
        event: what was about to happen.
        age_band: who was protected.
        findings: everything the detectors said, whatever the action.
        reasons: ids of what led to the action, most severe first; never content.
        notice: what to show; ``None`` only for ``ALLOW``.
        record: what could be reported upstream; always ``None`` unless reporting is set up.
        test_mode: ``True`` when a trigger kit took part in this decision.
        elapsed_ms: wall time of the whole check.
    """

    action: Action
    event: Event
    age_band: AgeBand
    findings: tuple[Finding, ...]
    reasons: tuple[str, ...]
    notice: Notice | None
    record: None = None
    test_mode: bool = False
    elapsed_ms: float = 0.0

    def to_dict(self) -> dict[str, Any]:
        """The decision as JSON-ready values, with the field names of ``safelight check --json``."""
        return {
            "event": self.event.value,
            "age_band": self.age_band.value,
            "action": self.action.name,
            "findings": [_finding_dict(f) for f in self.findings],
            "reasons": list(self.reasons),
            "notice": _notice_dict(self.notice) if self.notice is not None else None,
            "record": None,
            "test_mode": self.test_mode,
            "elapsed_ms": round(self.elapsed_ms, 1),
        }


def _finding_dict(finding: Finding) -> dict[str, Any]:
    values: dict[str, Any] = {
        "kind": finding.kind.value,
        "label": finding.label.value if finding.label is not None else None,
        "score": finding.score,
        "state": finding.state.value,
        "model": finding.model,
    }
    if finding.interval_years is not None:
        values["interval_years"] = list(finding.interval_years)
    return values


def _notice_dict(notice: Notice) -> dict[str, Any]:
    return {
        "id": notice.id,
        "lang": notice.lang,
        "title": notice.title,
        "body": notice.body,
        "why": notice.why,
        "choices": [{"id": c.id, "label": c.label} for c in notice.choices],
        "appeal": notice.appeal,
        "help": [help_dict(s) for s in notice.help],
    }


def help_dict(service: HelpService) -> dict[str, Any]:
    """One help service as JSON-ready values, with the field names of ``safelight helplines --json``."""
    return {
        "service": service.service,
        "organisation": service.organisation,
        "country": service.country,
        "audience": list(service.audience),
        "languages": list(service.languages),
        "phone": service.phone,
        "sms": service.sms,
        "chat_url": service.chat_url,
        "web_url": service.web_url,
        "report_url": service.report_url,
        "read_on": service.read_on.isoformat() if service.read_on is not None else None,
        "source": service.source,
    }
