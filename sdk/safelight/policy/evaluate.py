"""The decision: findings in, action and reasons out. The work is done by ``native/src/policy``."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from math import nan

from safelight import _native
from safelight.decision import Action, AgeBand, Event, Finding, FindingKind, Label, State
from safelight.errors import raise_for_status
from safelight.policy.rules import Rules

_BANDS = {band: number for number, band in enumerate(AgeBand)}
_EVENTS = {event: number for number, event in enumerate(Event)}
_KINDS = {kind: number for number, kind in enumerate(FindingKind)}
_STATES = {state: number for number, state in enumerate(State)}
_LABELS = {label: number for number, label in enumerate(Label)}
_REASONS: tuple[str, ...] = tuple(_native.words()["reason"])


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the rules say: the action, and the ids of what led to it, most severe first."""

    action: Action
    reasons: tuple[str, ...]


def decide(findings: Iterable[Finding], *, band: AgeBand, event: Event, rules: Rules) -> Verdict:
    """Decide what may happen.

    No finding at all, or none about nudity, is "could not tell" and protective.

    Args:
        findings: everything the detectors said. A finding whose state is ``OK`` and that has no label or
            no score counts as ``SCORE_INVALID``.
        band: who holds the device.
        event: what is about to happen.
        rules: what the evidence means.

    Raises:
        UsageError: the rules table is malformed.
        NativeError: the native core and this package are of different builds.
    """
    encoded = [
        (
            _KINDS[finding.kind],
            _STATES[finding.state],
            # A missing label is encoded as one that belongs to no kind with a score that is no number.
            _LABELS[finding.label] if finding.label is not None else 0,
            finding.score if finding.score is not None and finding.label is not None else nan,
        )
        for finding in findings
    ]
    status, action, reasons = _native.evaluate(rules.table.pack(), _BANDS[band], _EVENTS[event], encoded)
    raise_for_status(status)
    return Verdict(Action(action), tuple(_REASONS[reason] for reason in reasons))
