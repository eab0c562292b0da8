"""What must hold for every decision, whatever the evidence and the rules."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from reference import policy as twin
from reference.documents import any_cells, cells, document, low_cells, rules_of, valid_documents, valid_rules
from safelight import _native
from safelight.decision import Action, AgeBand, Event, Finding, FindingKind, Label, State
from safelight.errors import UsageError
from safelight.policy import Rules, decide
from safelight.policy.compare import Change, compare
from safelight.policy.rules import shipped_floors
from safelight.policy.table import BANDS, CELLS, RulesTable, cell_names, expand, order, raised

ROOT = Path(__file__).resolve().parents[2]
DOCUMENT: dict[str, Any] = json.loads((ROOT / "sdk/safelight/policy/default_rules.json").read_text(encoding="utf-8"))
DEFAULT = Rules.default()

PICTURE_KINDS = (FindingKind.MEDIA, FindingKind.NUDITY, FindingKind.AGE, FindingKind.KNOWN)
WORD_KINDS = (FindingKind.GROOMING, FindingKind.CONVERSATION)
LOOKUP_KINDS = (FindingKind.QUERY, FindingKind.SITE)
USE_KINDS = (FindingKind.CONSENT, FindingKind.TIME)
EVIDENCE = {Event.MESSAGE: WORD_KINDS, Event.SEARCH: LOOKUP_KINDS, Event.USE: USE_KINDS}
PICTURE_EVENTS = tuple(event for event in Event if event not in EVIDENCE)
PROTECTED = [band for band in AgeBand if band is not AgeBand.ADULT]

scores = st.one_of(
    st.none(),
    st.floats(0, 1, width=32),
    st.sampled_from([math.nan, math.inf, -math.inf, -0.001, 1.001, 0.0, 0.95, 1.0]),
)
any_findings = st.builds(
    Finding,
    kind=st.sampled_from(FindingKind),
    state=st.one_of(st.just(State.OK), st.sampled_from(State)),
    label=st.one_of(st.none(), st.sampled_from(Label)),
    score=scores,
)
# Findings as detectors make them: the label belongs to the kind.
sound_findings = st.sampled_from(
    [(FindingKind(kind), Label(label)) for kind, labels in twin.LABELS.items() for label in labels]
).flatmap(
    lambda pair: st.builds(Finding, st.just(pair[0]), st.just(State.OK), st.just(pair[1]), st.floats(0, 1, width=32))
)
findings = st.one_of(sound_findings, any_findings)
evidence = st.lists(findings, max_size=6)
bands, events = st.sampled_from(AgeBand), st.sampled_from(Event)
HELP = [Finding(kind, State.OK, Label.HELP, 1.0) for kind in (*LOOKUP_KINDS, FindingKind.CONVERSATION)]


def _is_help(finding: Finding) -> bool:
    return finding.label is Label.HELP and finding.state is State.OK


@given(evidence, bands, events)
def test_native_and_readable_twin_agree_on_the_default_rules(seen: list[Finding], band: AgeBand, event: Event) -> None:
    verdict = decide(seen, band=band, event=event, rules=DEFAULT)
    assert (verdict.action.name, list(verdict.reasons)) == twin.decide(seen, band, event, DOCUMENT)


@given(evidence, bands, events, valid_documents())
def test_native_and_readable_twin_agree_on_any_rules(
    seen: list[Finding], band: AgeBand, event: Event, found: dict[str, Any]
) -> None:
    verdict = decide(seen, band=band, event=event, rules=rules_of(found))
    assert (verdict.action.name, list(verdict.reasons)) == twin.decide(seen, band, event, found)


@given(evidence, findings, bands, events, valid_rules())
def test_more_bad_evidence_never_lowers_the_action(
    seen: list[Finding], more: Finding, band: AgeBand, event: Event, rules: Rules
) -> None:
    """Except an answer, which is what turns "could not tell" into one; who is in the picture; and help."""
    before = decide(seen, band=band, event=event, rules=rules)
    after = decide([*seen, more], band=band, event=event, rules=rules)
    if "NO_EVIDENCE" not in before.reasons and more.kind is not FindingKind.AGE and not _is_help(more):
        assert after.action >= before.action


RISING = [
    (FindingKind.NUDITY, [Label.NONE, Label.SUGGESTIVE, Label.EXPLICIT]),
    (FindingKind.AGE, [Label.NO_FACE, Label.ADULT, Label.UNSURE, Label.MINOR]),
    (FindingKind.KNOWN, [Label.NO_MATCH, Label.MATCH]),
    (FindingKind.CONVERSATION, [Label.CALM, Label.WATCH, Label.WARN, Label.DANGER]),
    (FindingKind.QUERY, [Label.NO_MATCH, Label.MATCH]),
    (FindingKind.SITE, [Label.NO_MATCH, Label.MATCH]),
    (FindingKind.CONSENT, [Label.GIVEN, Label.MISSING]),
    (FindingKind.CONSENT, [Label.GIVEN, Label.EXPIRED]),
    (FindingKind.CONSENT, [Label.GIVEN, Label.WITHDRAWN]),
    (FindingKind.TIME, [Label.ALLOWED, Label.SPENT]),
    (FindingKind.TIME, [Label.ALLOWED, Label.OUTSIDE_WINDOW]),
    *((FindingKind.GROOMING, [Label.NONE, Label(stage)]) for stage in twin.STAGES),
]


@given(evidence, st.sampled_from(RISING), bands, events, valid_rules())
def test_a_graver_label_never_lowers_the_action(
    seen: list[Finding], scale: tuple[FindingKind, list[Label]], band: AgeBand, event: Event, rules: Rules
) -> None:
    kind, labels = scale
    actions = [
        decide([*seen, Finding(kind, State.OK, label, 0.5)], band=band, event=event, rules=rules).action
        for label in labels
    ]
    assert actions == sorted(actions)


@given(evidence, findings, st.sampled_from(PROTECTED), events)
def test_subject_age_never_changes_the_action_for_a_protected_user(
    seen: list[Finding], more: Finding, band: AgeBand, event: Event
) -> None:
    age = Finding(FindingKind.AGE, more.state, more.label, more.score)
    if event in EVIDENCE and not any(finding.kind in PICTURE_KINDS for finding in seen):
        return  # an age finding says that there is a picture, and then that one is asked for
    assert (
        decide([*seen, age], band=band, event=event, rules=DEFAULT).action
        == decide(seen, band=band, event=event, rules=DEFAULT).action
    )


@given(evidence, events, valid_rules())
def test_a_younger_band_is_never_less_protected(seen: list[Finding], event: Event, rules: Rules) -> None:
    youngest_first = [AgeBand.UNDER_10, AgeBand.FROM_10_TO_12, AgeBand.FROM_13_TO_15, AgeBand.FROM_16_TO_17]
    actions = [decide(seen, band=band, event=event, rules=rules).action for band in youngest_first]
    assert actions == sorted(actions, reverse=True)


@given(evidence, events, valid_rules())
def test_an_adult_is_never_more_restricted_than_a_child_but_for_pictures_of_children(
    seen: list[Finding], event: Event, rules: Rules
) -> None:
    grown = Finding(FindingKind.AGE, State.OK, Label.ADULT, 0.0)
    seen = [finding for finding in seen if finding.kind is not FindingKind.AGE] + [grown]
    adult, teenager = (
        decide(seen, band=band, event=event, rules=rules).action for band in (AgeBand.ADULT, AgeBand.FROM_16_TO_17)
    )
    assert adult <= teenager


@given(evidence, events, valid_rules())
def test_unknown_age_is_protected_at_least_like_thirteen_to_fifteen(
    seen: list[Finding], event: Event, rules: Rules
) -> None:
    unknown, thirteen = (
        decide(seen, band=band, event=event, rules=rules) for band in (AgeBand.UNKNOWN, AgeBand.FROM_13_TO_15)
    )
    assert unknown.action >= thirteen.action
    assert decide(seen, band=AgeBand.UNKNOWN, event=event, rules=DEFAULT) == decide(
        seen, band=AgeBand.FROM_13_TO_15, event=event, rules=DEFAULT
    )


@given(evidence, bands, events, valid_rules(), st.integers(0, CELLS - 1))
def test_tighter_rules_never_lower_the_action(
    seen: list[Finding], band: AgeBand, event: Event, rules: Rules, cell: int
) -> None:
    actions = bytearray(rules.table.effective)
    actions[cell] = min(actions[cell] + 1, int(Action.BLOCK))
    table = rules.table._replace(actions=raised(actions, rules.table.floors))
    tighter = replace(rules, table=table)
    assert compare(rules, tighter) in (Change.TIGHTER, Change.EQUAL)
    before, after = (decide(seen, band=band, event=event, rules=one).action for one in (rules, tighter))
    assert after >= before


@given(evidence, bands, events, valid_rules(), st.sampled_from(HELP))
def test_help_is_never_blocked(
    seen: list[Finding], band: AgeBand, event: Event, rules: Rules, help_finding: Finding
) -> None:
    """Whatever the words, the addresses, the time, the settings and the rules; a picture is judged as ever."""
    without_picture = [finding for finding in seen if finding.kind not in PICTURE_KINDS]
    if event in EVIDENCE:
        verdict = decide([*without_picture, help_finding], band=band, event=event, rules=rules)
        assert verdict.action is Action.ALLOW
        assert verdict.reasons == ("HELP",)
    stays = [
        finding
        for finding in seen
        if finding.kind in PICTURE_KINDS or (finding.kind is FindingKind.CONSENT and event is Event.CAPTURE)
    ]
    with_help = decide([*seen, help_finding], band=band, event=event, rules=rules)
    alone = decide([*stays, help_finding], band=band, event=event, rules=rules)
    assert with_help == alone
    assert "HELP" in with_help.reasons


@given(evidence, st.sampled_from(PROTECTED), valid_rules())
def test_no_rules_take_a_minors_explicit_picture_below_hold(seen: list[Finding], band: AgeBand, rules: Rules) -> None:
    explicit = Finding(FindingKind.NUDITY, State.OK, Label.EXPLICIT, 0.9)
    for event in (Event.CAPTURE, Event.UPLOAD, Event.SEND, Event.SAVE, Event.MESSAGE):
        for more in ([], HELP):
            assert decide([*seen, explicit, *more], band=band, event=event, rules=rules).action >= Action.HOLD


@given(evidence, bands, valid_rules(), st.sampled_from([Label.MISSING, Label.EXPIRED, Label.WITHDRAWN]))
def test_no_rules_open_a_camera_without_consent(seen: list[Finding], band: AgeBand, rules: Rules, label: Label) -> None:
    refused = Finding(FindingKind.CONSENT, State.OK, label, 1.0)
    assert decide([*seen, refused], band=band, event=Event.CAPTURE, rules=rules).action >= Action.HOLD


@given(evidence, bands, events, valid_rules())
def test_allowed_means_that_it_was_judged(seen: list[Finding], band: AgeBand, event: Event, rules: Rules) -> None:
    if decide(seen, band=band, event=event, rules=rules).action >= Action.HOLD or band is AgeBand.ADULT:
        return
    if event in PICTURE_EVENTS or any(finding.kind in PICTURE_KINDS for finding in seen):
        judged = [f for f in seen if f.kind is FindingKind.NUDITY]
        assert judged
        assert all(f.state is State.OK and f.score is not None and 0 <= f.score <= 1 for f in judged)
    elif event is Event.USE and not any(map(_is_help, seen)):
        assert any(finding.kind in USE_KINDS for finding in seen)


@given(evidence, st.sampled_from(PROTECTED), events)
def test_by_default_a_protected_user_is_told_of_everything_that_could_not_be_judged(
    seen: list[Finding], band: AgeBand, event: Event
) -> None:
    if decide(seen, band=band, event=event, rules=DEFAULT).action is Action.ALLOW and not any(map(_is_help, seen)):
        kinds = EVIDENCE.get(event, (FindingKind.NUDITY,))
        assert any(f.kind in (*kinds, FindingKind.NUDITY) for f in seen)
        assert all(f.state is State.OK for f in seen if f.kind not in (FindingKind.AGE, FindingKind.SETTINGS))


def _native_accepts(table: RulesTable) -> bool:
    return _native.evaluate(table.pack(), 0, 0, [])[0] == 0


@given(st.one_of(any_cells, low_cells, valid_rules().map(lambda rules: rules.table.actions)), cells, st.booleans())
def test_a_table_decides_only_at_or_above_the_shipped_floors_and_in_order(
    actions: bytes, floors: bytes, with_shipped: bool
) -> None:
    floors = bytes(map(max, floors, shipped_floors())) if with_shipped else floors
    table = RulesTable(actions, floors, 0.95, 0.95)
    sound = raised(table.effective, shipped_floors()) == table.effective
    assert _native_accepts(table) is sound
    if not with_shipped:
        return
    if raised(actions, floors) == actions:
        assert expand(document(actions, floors), floors=shipped_floors()) == table
    else:
        with pytest.raises(UsageError, match="or higher"):
            expand(document(actions, floors), floors=shipped_floors())


@given(valid_rules(), st.integers(0, len(order()) - 1))
def test_one_pair_turned_around_is_enough_to_be_refused(rules: Rules, pair: int) -> None:
    more, less = order()[pair]
    floors = shipped_floors()
    actions = bytearray(raised(bytes(CELLS), floors))
    actions[less] = max(actions[less], actions[more] + 1)
    if actions[less] <= Action.BLOCK:
        assert not _native_accepts(RulesTable(bytes(actions), floors, 0.95, 0.95)), cell_names()[less]


@given(cells, cells)
def test_raising_is_the_lowest_way(actions: bytes, floors: bytes) -> None:
    result = raised(actions, floors)
    assert all(cell >= max(pair) for cell, pair in zip(result, zip(actions, floors, strict=True), strict=True))
    assert all(result[more] >= result[less] for more, less in order())
    assert raised(result, floors) == result
    above: dict[int, list[int]] = {}
    for more, less in order():
        above.setdefault(more, []).append(less)
    for cell, action in enumerate(result):
        assert action == max(actions[cell], floors[cell], *(result[less] for less in above.get(cell, [cell])))


@given(valid_rules(), valid_rules())
def test_comparing_is_an_order(one: Rules, other: Rules) -> None:
    opposite = {Change.TIGHTER: Change.LOOSER, Change.LOOSER: Change.TIGHTER}
    change = compare(one, other)
    assert compare(other, one) is opposite.get(change, change)
    assert compare(one, one) is Change.EQUAL
    both = RulesTable(bytes(map(max, one.table.effective, other.table.effective)), one.table.floors, 0.95, 0.95)
    assert compare(one, Rules("both", 1, both)) in (Change.TIGHTER, Change.EQUAL)
    if one.table.effective != other.table.effective:
        assert change is not Change.EQUAL


def test_comparing_sees_every_single_cell() -> None:
    strictest = Rules("strictest", 1, RulesTable(bytes([4] * CELLS), bytes(CELLS), 0.95, 0.95))
    for cell in range(CELLS):
        actions = bytearray([4] * CELLS)
        actions[cell] = 3
        looser = replace(strictest, table=strictest.table._replace(actions=bytes(actions)))
        assert compare(strictest, looser) is Change.LOOSER, cell_names()[cell]
        assert compare(looser, strictest) is Change.TIGHTER
        name = cell_names()[cell].split("/")
        for band in AgeBand:
            concerns = len(name) == 1 or name[1] == band.value
            assert compare(strictest, looser, bands=[band]) is (Change.LOOSER if concerns else Change.EQUAL)


def test_comparing_sees_the_files_that_hold_pictures() -> None:
    without = replace(DEFAULT, documents=())
    assert compare(DEFAULT, without) is Change.TIGHTER, "no row is the stricter way"
    assert compare(without, DEFAULT, bands=[AgeBand.UNDER_10]) is Change.EQUAL
    assert compare(without, DEFAULT, bands=[AgeBand.ADULT]) is Change.LOOSER


@given(valid_rules())
def test_a_table_survives_packing(rules: Rules) -> None:
    table = rules.table
    assert table.unpack(table.pack()).pack() == table.pack()


def test_cells_are_named_in_order_and_once() -> None:
    assert len(set(cell_names())) == CELLS
    table = expand(DOCUMENT)
    named = dict(zip(cell_names(), table.actions, strict=True))
    assert named["picture/10_12/send/explicit/adult_or_no_face"] == Action.BLOCK
    assert named["conversation/13_15/warn"] == Action.BLUR
    assert named["could_not_tell/unknown/nudity"] == Action.HOLD
    assert {name.split("/")[1] for name in cell_names()[:-1]} == set(BANDS)


def test_the_compiled_rules_are_the_document_that_ships() -> None:
    shipped = Rules.from_json((ROOT / "sdk/safelight/policy/default_rules.json").read_bytes())
    assert shipped.table.pack() == DEFAULT.table.pack() == _native.default_rules()
    assert shipped == DEFAULT


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"picture": DOCUMENT["picture"][1:]}, "picture/under_10/capture/none/adult_or_no_face"),
        ({"picture": DOCUMENT["picture"] + DOCUMENT["picture"][:1]}, "set twice"),
        ({"could_not_tell": []}, "could_not_tell/under_10/media"),
        ({"conversation": DOCUMENT["conversation"][1:]}, "conversation/under_10/watch"),
        ({"query": [{"bands": ["teen"], "match": "BLOCK"}]}, "expected one of under_10"),
        ({"known_match": "DELETE"}, "expected one of ALLOW"),
        ({"known_match": "NUDGE", "floors": {}}, "known_match is NUDGE, expected HOLD or higher"),
        ({"site": [{"bands": list(BANDS), "match": "ALLOW"}, {"bands": ["adult"], "match": "BLOCK"}]}, "set twice"),
        ({"schema": 1}, "reads schema 2"),
        ({"surprise": True}, "surprise"),
    ],
)
def test_a_faulty_document_is_refused_with_the_next_step(change: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        Rules.from_json(json.dumps(DOCUMENT | change))
