"""The words of Safelight: one noun per concept, shared by every layer.

Everything here is a frozen value without behaviour. Data flows one way:
media → evidence (:class:`Finding`) → :class:`Decision` → :class:`Notice` → record.

No value here can hold a pixel, a path or a message text: ids, labels and scores only.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date
from enum import Enum, IntEnum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from safelight.reporting import HashRecord


class _Word(str, Enum):
    """A string-valued word: compares equal to its text and prints as its text."""

    def __str__(self) -> str:
        return str(self.value)


class Event(_Word):
    """What somebody is about to do. ``use``: start something that asks for time or consent (an app, a purchase)."""

    CAPTURE = "capture"
    UPLOAD = "upload"
    SEND = "send"
    RECEIVE = "receive"
    VIEW = "view"
    SAVE = "save"
    MESSAGE = "message"
    SEARCH = "search"
    USE = "use"


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
    """Whether a detector could answer, and if not, why. Only ``OK`` comes with a score.

    A list past its date still answers ``OK``: old entries are better than none, and ``doctor`` names its age.
    ``NO_STORE``, ``STORE_DAMAGED``, ``STORE_ROLLED_BACK`` and ``STORE_FAILED`` (cannot be read or written now) say
    why the strictest settings are in force; ``CLOCK_UNCONFIRMED``: the clock jumped, and nothing new is granted.
    """

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
    NO_LIST = "NO_LIST"
    UNKNOWN_LANGUAGE = "UNKNOWN_LANGUAGE"
    TOO_LONG = "TOO_LONG"
    MALFORMED = "MALFORMED"
    NO_STORE = "NO_STORE"
    STORE_DAMAGED = "STORE_DAMAGED"
    STORE_ROLLED_BACK = "STORE_ROLLED_BACK"
    STORE_FAILED = "STORE_FAILED"
    CLOCK_UNCONFIRMED = "CLOCK_UNCONFIRMED"


class FindingKind(_Word):
    """What a finding is about."""

    MEDIA = "media"
    NUDITY = "nudity"
    AGE = "age"
    KNOWN = "known"
    GROOMING = "grooming"
    CONVERSATION = "conversation"
    QUERY = "query"
    SITE = "site"
    CONSENT = "consent"
    TIME = "time"
    SETTINGS = "settings"


class Label(_Word):
    """What a detector says of its kind.

    Nudity levels; *subject* age classes; list matches (known, query, site); the stage that one message belongs to
    (grooming; ``none`` for no stage); what the messages together mean (conversation); consent; time. ``help``, of
    kind conversation, query or site, says that this is a way to help, which is never blocked.
    """

    NONE = "none"
    SUGGESTIVE = "suggestive"
    EXPLICIT = "explicit"
    NO_FACE = "no_face"
    ADULT = "adult"
    UNSURE = "unsure"
    MINOR = "minor"
    NO_MATCH = "no_match"
    MATCH = "match"
    AGE_PROBE = "age_probe"
    ALONE_CHECK = "alone_check"
    FLATTERY_BOND = "flattery_bond"
    ISOLATION = "isolation"
    SECRECY = "secrecy"
    GIFT = "gift"
    PLATFORM_MOVE = "platform_move"
    PHOTO_REQUEST = "photo_request"
    MEETING = "meeting"
    THREAT = "threat"
    SEXUALISED = "sexualised"
    CALM = "calm"
    WATCH = "watch"
    WARN = "warn"
    DANGER = "danger"
    GIVEN = "given"
    MISSING = "missing"
    EXPIRED = "expired"
    WITHDRAWN = "withdrawn"
    ALLOWED = "allowed"
    SPENT = "spent"
    OUTSIDE_WINDOW = "outside_window"
    HELP = "help"


@dataclass(frozen=True, slots=True)
class Finding:
    """One detector's answer.

    Attributes:
        kind: what the detector looks for.
        label: its answer in words, or ``None`` when ``state`` is not ``OK``.
        score: calibrated, in [0, 1]; 1.0 for a fact (a list match, a consent, the time); ``None`` when ``state`` is
            not ``OK``.
        state: ``OK``, or why it could not tell.
        model: id of the model or list that answered, e.g. ``open_nsfw_v1``.
        interval_years: for kind ``age``: central 90 % of the models' own distribution of apparent age.
        entry_id: for kind ``known``: number of the list's entry that matched; the list is ``model``.
        distance: for kind ``known``: differing bits between the two hashes; 0 for an exact hash.
        message_indices: for kinds ``grooming`` and ``conversation``: which messages, counted from 0, led to this.
    """

    kind: FindingKind
    state: State
    label: Label | None = None
    score: float | None = None
    model: str | None = None
    interval_years: tuple[float, float] | None = None
    entry_id: int | None = None
    distance: int | None = None
    message_indices: tuple[int, ...] | None = None


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
        id: ``<entry>/<variant>`` of the catalogue, e.g. ``picture_out_explicit.share.10_12/a``; no content. The
            variant ``short`` is the form for showing again.
        lang: BCP 47 tag of the texts.
        direction: in which the texts run, ``ltr`` or ``rtl``.
        severity: 1, 2 or 3.
    """

    id: str
    lang: str
    title: str
    body: str
    why: str
    choices: tuple[Choice, ...]
    appeal: str
    help: tuple[HelpService, ...] = field(default=())
    direction: str = "ltr"
    severity: int = 1


@dataclass(frozen=True, slots=True)
class Redress:
    """Where to turn when "this is wrong" was answered with no: shown after every refusal.

    Attributes:
        lang: BCP 47 tag of ``text``.
        text: for the reader's age band.
        direction: in which the text runs, ``ltr`` or ``rtl``.
        help: services of the reader's country.
    """

    lang: str
    text: str
    direction: str = "ltr"
    help: tuple[HelpService, ...] = field(default=())

    def to_dict(self) -> dict[str, Any]:
        """As JSON-ready values, for hosts in another language."""
        return {
            "lang": self.lang,
            "text": self.text,
            "direction": self.direction,
            "help": [help_dict(service) for service in self.help],
        }


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
        record: what will leave for a collector, if reporting is set up and a list matched; it is on the disk by then.
            ``None`` otherwise, also when the reason ``RECORD_NOT_KEPT`` says that it could not be kept.
        test_mode: ``True`` when a trigger kit took part in this decision.
        elapsed_ms: wall time of the whole check.
    """

    action: Action
    event: Event
    age_band: AgeBand
    findings: tuple[Finding, ...]
    reasons: tuple[str, ...]
    notice: Notice | None
    record: HashRecord | None = None
    test_mode: bool = False
    elapsed_ms: float = 0.0

    def to_dict(self) -> dict[str, Any]:
        """The decision as JSON-ready values, with the field names of ``safelight check --json``."""
        return {
            "event": self.event.value,
            "age_band": self.age_band.value,
            "action": self.action.name,
            "findings": [finding_dict(f) for f in self.findings],
            "reasons": list(self.reasons),
            "notice": _notice_dict(self.notice) if self.notice is not None else None,
            "record": self.record.to_dict() if self.record is not None else None,
            "test_mode": self.test_mode,
            "elapsed_ms": round(self.elapsed_ms, 1),
        }


def finding_dict(finding: Finding) -> dict[str, Any]:
    """One finding as JSON-ready values, with the field names of ``safelight check --json``."""
    values: dict[str, Any] = {
        "kind": finding.kind.value,
        "label": finding.label.value if finding.label is not None else None,
        "score": finding.score,
        "state": finding.state.value,
        "model": finding.model,
    }
    if finding.interval_years is not None:
        values["interval_years"] = list(finding.interval_years)
    if finding.entry_id is not None:
        values["entry_id"] = finding.entry_id
    if finding.distance is not None:
        values["distance"] = finding.distance
    if finding.message_indices is not None:
        values["message_indices"] = list(finding.message_indices)
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
        "direction": notice.direction,
        "severity": notice.severity,
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
