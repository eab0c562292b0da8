"""The trigger kit: exercise every path without harmful media.

A test mode adds findings of your choice to whatever the detectors say. It can only add: the real detectors
still run, and the highest finding wins, so a test mode never makes a decision less protective. Every decision
it touches says ``test_mode``. It tests paths, never the net: for the net use benign pictures.

    >>> from safelight import Guard, Profile
    >>> from safelight.testing import TestMode, nudity
    >>> with Guard(Profile("10_12"), test_mode=TestMode(nudity(0.97))) as guard:  # doctest: +SKIP
    ...     guard.check_image("photo.jpg").action
    <Action.BLOCK: 4>
"""

from __future__ import annotations

from dataclasses import dataclass

from safelight.decision import Finding, FindingKind, Label, State
from safelight.errors import UsageError

TRIGGER_MODEL = "trigger-kit"

# The trigger kit has no model of its own, so its labels follow the scale that every nudity model is calibrated to.
_SUGGESTIVE = 0.5
_EXPLICIT = 0.8
_MINOR = 0.5


@dataclass(frozen=True, init=False)
class TestMode:
    """Findings that a guard adds to every check, in test mode only.

    Args:
        findings: made with :func:`nudity`, :func:`subject`, :func:`known_match`, :func:`conversation`,
            :func:`query_match`, :func:`site_match` or :func:`state`.
    """

    __test__ = False  # not a test class, whatever pytest makes of the name
    findings: tuple[Finding, ...]

    def __init__(self, *findings: Finding) -> None:
        if not findings or not all(isinstance(finding, Finding) for finding in findings):
            raise UsageError("TestMode: expected one or more findings, e.g. TestMode(nudity(0.97)).")
        object.__setattr__(self, "findings", findings)


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
    raise UsageError("trigger: expected nudity=SCORE, subject=P_UNDER_18, known or state=NAME, e.g. nudity=0.97.")


def _check_score(score: float) -> None:
    if not 0.0 <= score <= 1.0:
        raise UsageError(f"score: got {score!r}, expected a number in [0, 1].")
