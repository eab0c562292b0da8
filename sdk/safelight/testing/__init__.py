"""The trigger kit: exercise every path without harmful media.

A test mode adds findings of your choice to whatever the detectors say. It can only add: the real detectors
still run, and the highest finding wins, so a test mode never makes a decision less protective. Every decision
it touches says ``test_mode``. It tests paths, never the net: for the net use benign pictures.

``TestMode(marked=True)`` adds findings only where a picture or message carries a marker of
:mod:`safelight.testing.marker`: what is not marked gets the ordinary detectors' verdict.

    >>> from safelight import Guard, Profile
    >>> from safelight.testing import TestMode, nudity
    >>> with Guard(Profile("10_12"), test_mode=TestMode(nudity(0.97))) as guard:  # doctest: +SKIP
    ...     guard.check_image("photo.jpg").action
    <Action.BLOCK: 4>
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from safelight.decision import Finding, FindingKind, Label, State
from safelight.errors import UsageError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from safelight.testing.marker import MarkerKey, mark_message, mark_picture, process_key, read_marker

__all__ = [
    "MarkerKey",
    "TestMode",
    "conversation",
    "known_match",
    "mark_message",
    "mark_picture",
    "nudity",
    "parse_trigger",
    "parse_triggers",
    "process_key",
    "query_match",
    "read_marker",
    "site_match",
    "state",
    "subject",
]

_OF_MARKER = ("MarkerKey", "mark_message", "mark_picture", "process_key", "read_marker")

TRIGGER_MODEL = "trigger-kit"

# The trigger kit has no model of its own, so its labels follow the scale that every nudity model is calibrated to.
_SUGGESTIVE = 0.5
_EXPLICIT = 0.8
_MINOR = 0.5


def __getattr__(name: str) -> Any:
    if name not in _OF_MARKER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from safelight.testing import marker

    return getattr(marker, name)


@dataclass(frozen=True, init=False)
class TestMode:
    """Findings that a guard adds to every check, or to what is marked, in test mode only.

    Args:
        findings: made with :func:`nudity`, :func:`subject`, :func:`known_match`, :func:`conversation`,
            :func:`query_match`, :func:`site_match` or :func:`state`. Added to every check.
        marked: read the markers of :mod:`safelight.testing.marker` too: a marked picture gets a nudity finding of the
            marked score, a marked message the marked stage. Then ``findings`` may be left out.
        key: whose markers count; this process's own when left out.

    Raises:
        UsageError: no findings and nothing marked.
        MissingExtraError: ``marked`` without the extra ``[testing]``.
    """

    __test__ = False  # not a test class, whatever pytest makes of the name
    findings: tuple[Finding, ...]
    marked: bool
    key: MarkerKey | None

    def __init__(self, *findings: Finding, marked: bool = False, key: MarkerKey | None = None) -> None:
        if not (findings or marked) or not all(isinstance(finding, Finding) for finding in findings):
            raise UsageError(
                "TestMode: expected one or more findings, e.g. TestMode(nudity(0.97)), or TestMode(marked=True)."
            )
        if marked:
            from safelight.testing.marker import process_key, require_reader

            require_reader()
            key = key if key is not None else process_key()
        elif key is not None:
            raise UsageError("key: got one without marked, expected both; write TestMode(marked=True, key=…).")
        object.__setattr__(self, "findings", findings)
        object.__setattr__(self, "marked", marked)
        object.__setattr__(self, "key", key)

    def picture_findings(self, pixels: npt.NDArray[np.uint8]) -> tuple[Finding, ...]:
        """What a marker in ``uint8[H, W, 3]`` adds; nothing where there is none."""
        if not self.marked:
            return ()
        from safelight.testing.marker import read_marker

        score = read_marker(pixels, key=self.key)
        return () if score is None else (nudity(score),)


def nudity(score: float) -> Finding:
    """A nudity finding of this score in [0, 1]: explicit from 0.8, suggestive from 0.5."""
    _check_score(score)
    label = Label.EXPLICIT if score >= _EXPLICIT else Label.SUGGESTIVE if score >= _SUGGESTIVE else Label.NONE
    return Finding(FindingKind.NUDITY, State.OK, label, score, TRIGGER_MODEL)


def subject(p_under_18: float) -> Finding:
    """A subject-age finding: a person in the picture who is under 18 with this probability."""
    _check_score(p_under_18)
    return Finding(
        FindingKind.AGE, State.OK, Label.MINOR if p_under_18 >= _MINOR else Label.ADULT, p_under_18, TRIGGER_MODEL
    )


def known_match() -> Finding:
    """A known-list match."""
    return Finding(FindingKind.KNOWN, State.OK, Label.MATCH, 1.0, TRIGGER_MODEL)


def conversation(label: Label | str) -> Finding:
    """A conversation that is ``calm``, ``watch``, ``warn`` or ``danger``.

    Raises:
        UsageError: another label.
    """
    labels = (Label.CALM, Label.WATCH, Label.WARN, Label.DANGER)
    if label not in labels:
        raise UsageError(f"conversation: got {str(label)!r}, expected one of {', '.join(labels)}.")
    return Finding(FindingKind.CONVERSATION, State.OK, Label(label), 1.0, TRIGGER_MODEL)


def query_match() -> Finding:
    """A search word that is on a list."""
    return Finding(FindingKind.QUERY, State.OK, Label.MATCH, 1.0, TRIGGER_MODEL)


def site_match() -> Finding:
    """A site that is on a list."""
    return Finding(FindingKind.SITE, State.OK, Label.MATCH, 1.0, TRIGGER_MODEL)


def state(name: State | str) -> Finding:
    """A detector that could not tell, e.g. ``state("NO_MODEL")``."""
    names = [word.value for word in State if word is not State.OK]
    if name not in names:
        raise UsageError(f"state: got {str(name)!r}, expected one of {', '.join(names)}.")
    return Finding(FindingKind.NUDITY, State(name), model=TRIGGER_MODEL)


def parse_triggers(texts: Iterable[str]) -> TestMode:
    """Read the command line's options: what :func:`parse_trigger` takes, and ``marked=KEY`` with a marker key's hex.

    Raises:
        UsageError: anything else, or none.
        MissingExtraError: ``marked`` without the extra ``[testing]``.
    """
    findings: list[Finding] = []
    keys: list[str] = []
    for text in texts:
        name, _, value = text.partition("=")
        if name == "marked":
            keys.append(value)
        else:
            findings.append(parse_trigger(text))
    if not keys:
        return TestMode(*findings)
    if len(keys) > 1:
        raise UsageError("trigger marked: got it twice, expected one key; give it once.")
    from safelight.testing.marker import MarkerKey

    return TestMode(*findings, marked=True, key=MarkerKey(keys[0]))


def parse_trigger(text: str) -> Finding:
    """Read the command line's form: ``nudity=0.97``, ``subject=0.9``, ``known``, ``state=NO_MODEL``.

    Raises:
        UsageError: anything else.
    """
    name, _, value = text.partition("=")
    try:
        if name == "nudity":
            return nudity(float(value))
        if name == "subject":
            return subject(float(value))
    except ValueError as error:
        if isinstance(error, UsageError):
            raise
        raise UsageError(f"trigger {name}: got a value that is no number, expected e.g. {name}=0.97.") from None
    if name == "state":
        return state(value)
    if text == "known":
        return known_match()
    raise UsageError(
        "trigger: expected nudity=SCORE, subject=P_UNDER_18, known, state=NAME or marked=KEY, e.g. nudity=0.97."
    )


def _check_score(score: float) -> None:
    if not 0.0 <= score <= 1.0:
        raise UsageError(f"score: got {score!r}, expected a number in [0, 1].")
