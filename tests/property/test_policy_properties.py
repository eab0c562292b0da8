"""What must hold for every decision, whatever the evidence and the rules."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from reference import policy as twin
from safelight.decision import Action, AgeBand, Event, Finding, FindingKind, Label, State
from safelight.errors import UsageError
from safelight.policy import Rules, decide
from safelight.policy.table import expand

ROOT = Path(__file__).resolve().parents[2]
DOCUMENT: dict[str, Any] = json.loads((ROOT / "sdk/safelight/policy/default_rules.json").read_text(encoding="utf-8"))
DEFAULT = Rules.default()

scores = st.one_of(
    st.none(),
    st.floats(0, 1, width=32),
    st.sampled_from([math.nan, math.inf, -math.inf, -0.001, 1.001, 0.0, 0.95, 1.0]),
)
findings = st.builds(
    Finding,
    kind=st.sampled_from(FindingKind),
    state=st.one_of(st.just(State.OK), st.sampled_from(State)),
    label=st.one_of(st.none(), st.sampled_from(Label)),
    score=scores,
)
evidence = st.lists(findings, max_size=6)
bands, events = st.sampled_from(AgeBand), st.sampled_from(Event)


def _documents() -> st.SearchStrategy[dict[str, Any]]:
    """Random complete rules: every cell of the table gets an action of its own, and so do floors."""
    actions = st.sampled_from([action.name for action in Action])

    @st.composite
    def build(draw: st.DrawFn) -> dict[str, Any]:
        picture, floors = [], []
        for band in AgeBand:
            for incoming in (True, False):
                names = [e.value for e in Event if (e in (Event.RECEIVE, Event.VIEW)) is incoming]
                for subject in ("adult_or_no_face", "minor_or_unsure"):
                    row = {"bands": [band.value], "events": names, "subjects": [subject]}
                    picture.append(row | {level: draw(actions) for level in twin.LEVELS})
                    if draw(st.booleans()):
                        floors.append(row | {"explicit": draw(actions)})
        return {
            "picture": picture,
            "floors": floors,
            "could_not_tell": [{"bands": [band.value], "action": draw(actions)} for band in AgeBand],
            "known_match": draw(actions),
            "strong_evidence": {"explicit_score": draw(st.floats(0, 1)), "minor_score": draw(st.floats(0, 1))},
        }

    return build()


@given(evidence, bands, events)
def test_native_and_readable_twin_agree_on_the_default_rules(seen: list[Finding], band: AgeBand, event: Event) -> None:
    verdict = decide(seen, band=band, event=event, rules=DEFAULT)
    assert (verdict.action.name, list(verdict.reasons)) == twin.decide(seen, band, event, DOCUMENT)


@given(evidence, bands, events, _documents())
def test_native_and_readable_twin_agree_on_any_rules(
    seen: list[Finding], band: AgeBand, event: Event, document: dict[str, Any]
) -> None:
    rules = Rules("any", 1, expand(document))
    verdict = decide(seen, band=band, event=event, rules=rules)
    assert (verdict.action.name, list(verdict.reasons)) == twin.decide(seen, band, event, document)


@given(evidence, findings, bands, events)
def test_more_bad_evidence_never_lowers_the_action(
    seen: list[Finding], more: Finding, band: AgeBand, event: Event
) -> None:
    """Except "no nudity", which is what turns "could not tell" into an answer, and who is in the picture."""
    before = decide(seen, band=band, event=event, rules=DEFAULT)
    after = decide([*seen, more], band=band, event=event, rules=DEFAULT)
    answers = more.kind is FindingKind.NUDITY and "NO_EVIDENCE" in before.reasons
    if not answers and more.kind is not FindingKind.AGE:
        assert after.action >= before.action


@given(evidence, findings, st.sampled_from([b for b in AgeBand if b is not AgeBand.ADULT]), events)
def test_subject_age_never_changes_the_action_for_a_protected_user(
    seen: list[Finding], more: Finding, band: AgeBand, event: Event
) -> None:
    age = Finding(FindingKind.AGE, more.state, more.label, more.score)
    assert (
        decide([*seen, age], band=band, event=event, rules=DEFAULT).action
        == decide(seen, band=band, event=event, rules=DEFAULT).action
    )


@given(evidence, events)
def test_a_younger_band_is_never_less_protected(seen: list[Finding], event: Event) -> None:
    order = [AgeBand.UNDER_10, AgeBand.FROM_10_TO_12, AgeBand.FROM_13_TO_15, AgeBand.FROM_16_TO_17]
    actions = [decide(seen, band=band, event=event, rules=DEFAULT).action for band in order]
    assert actions == sorted(actions, reverse=True)


@given(evidence, events)
def test_unknown_age_is_protected_like_thirteen_to_fifteen(seen: list[Finding], event: Event) -> None:
    assert decide(seen, band=AgeBand.UNKNOWN, event=event, rules=DEFAULT) == decide(
        seen, band=AgeBand.FROM_13_TO_15, event=event, rules=DEFAULT
    )


@given(evidence, bands, events)
def test_allowed_means_that_nudity_was_judged_and_nothing_failed(
    seen: list[Finding], band: AgeBand, event: Event
) -> None:
    if decide(seen, band=band, event=event, rules=DEFAULT).action < Action.HOLD:
        judged = [f for f in seen if f.kind is FindingKind.NUDITY]
        assert judged
        assert all(f.state is State.OK and f.score is not None and 0 <= f.score <= 1 for f in judged)


@given(_documents(), evidence, st.sampled_from([b for b in AgeBand if b is not AgeBand.ADULT]))
def test_no_rules_take_a_minors_explicit_capture_below_a_floor(
    document: dict[str, Any], seen: list[Finding], band: AgeBand
) -> None:
    loosened = Rules("any", 1, expand(document | {"floors": DOCUMENT["floors"]}))
    explicit = Finding(FindingKind.NUDITY, State.OK, Label.EXPLICIT, 0.9)
    for event in (Event.CAPTURE, Event.UPLOAD, Event.SEND, Event.SAVE):
        assert decide([*seen, explicit], band=band, event=event, rules=loosened).action >= Action.HOLD


@given(_documents())
def test_a_table_survives_packing(document: dict[str, Any]) -> None:
    table = expand(document)
    assert table.unpack(table.pack()).pack() == table.pack()


def test_the_compiled_rules_are_the_document_that_ships() -> None:
    document = Rules.from_json((ROOT / "sdk/safelight/policy/default_rules.json").read_bytes())
    assert document.table.pack() == DEFAULT.table.pack()
    assert document == DEFAULT


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"picture": DOCUMENT["picture"][1:]}, "cells have no action"),
        ({"picture": DOCUMENT["picture"] + DOCUMENT["picture"][:1]}, "set twice"),
        ({"could_not_tell": []}, "every age band needs one"),
        ({"known_match": "DELETE"}, "expected one of ALLOW"),
        ({"schema": 2}, "reads schema 1"),
        ({"surprise": True}, "surprise"),
    ],
)
def test_a_faulty_document_is_refused_with_the_next_step(change: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        Rules.from_json(json.dumps(DOCUMENT | change))
