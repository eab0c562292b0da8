"""Who may change what: for every operator, guardian and child, whatever they ask for."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from reference.documents import layers, sparse_sections, wanted_cells
from safelight import _native
from safelight.decision import Action, AgeBand, Event, Finding, FindingKind, Label, State
from safelight.errors import UsageError
from safelight.policy import decide
from safelight.policy.compare import Change, compare
from safelight.policy.layers import Layer, action_names, apply_layers, presets, read_operator
from safelight.policy.profile_document import ProfileDocument, TrustedAdult, compare_profiles, contact_id, effective
from safelight.policy.rules import Rules, shipped_floors
from safelight.policy.sections import DocumentRow
from safelight.policy.table import cell_names

ROOT = Path(__file__).resolve().parents[2]
NOT_LOOSER = (Change.EQUAL, Change.TIGHTER)
BANDS = [band.value for band in AgeBand]

operators = layers(party="operator")
guardians = layers(party="guardian")
children = layers(party="child")
preset_names = st.sampled_from(["strict", "balanced", "light"])
profile_documents = st.builds(
    ProfileDocument,
    age_band=st.sampled_from(BANDS),
    preset=preset_names,
    guardian=guardians,
    child=children,
    known_contacts=st.lists(st.sampled_from(["00" * 16, "11" * 16, "22" * 16]), unique=True).map(tuple),
)


@given(operators, preset_names, guardians, children)
def test_whatever_the_layers_ask_for_the_table_may_decide_and_floors_hold(
    operator: Layer, preset: str, guardian: Layer, child: Layer
) -> None:
    made = apply_layers(operator=operator, preset=presets()[preset], guardian=guardian, child=child)
    table = made.rules.table
    assert _native.evaluate(table.pack(), 0, 0, [])[0] == 0
    assert all(action >= floor for action, floor in zip(table.actions, shipped_floors(), strict=True))
    operator_floors = apply_layers(operator=operator).rules.table.floors
    assert all(action >= floor for action, floor in zip(table.actions, operator_floors, strict=True))
    explicit = Finding(FindingKind.NUDITY, State.OK, Label.EXPLICIT, 0.9)
    for band in AgeBand:
        if band is not AgeBand.ADULT:
            assert decide([explicit], band=band, event=Event.CAPTURE, rules=made.rules).action >= Action.HOLD


@given(operators, guardians, children)
def test_a_child_can_tighten_and_not_loosen_beyond_what_was_permitted(
    operator: Layer, guardian: Layer, child: Layer
) -> None:
    without = apply_layers(operator=operator, guardian=guardian)
    made = apply_layers(operator=operator, guardian=guardian, child=child)
    assert all(map(int.__ge__, made.rules.table.actions, without.child_limit))
    strict_guardian = msgspec.structs.replace(guardian, permits=Layer().permits)
    unpermitted = apply_layers(operator=operator, guardian=strict_guardian, child=child).rules
    assert compare(without.rules, unpermitted) in NOT_LOOSER


@given(guardians, wanted_cells)
def test_everything_that_a_child_tightens_is_in_force(guardian: Layer, wanted: dict[int, int]) -> None:
    child = Layer(rules=sparse_sections(wanted))
    made = apply_layers(guardian=guardian, child=child).rules.table.actions
    assert all(made[cell] >= action for cell, action in wanted.items())


@given(operators, wanted_cells, children, st.sampled_from(["operator", "guardian", "child"]), st.data())
def test_asking_for_more_protection_never_gives_less(
    operator: Layer, wanted: dict[int, int], other: Layer, party: str, data: st.DataObject
) -> None:
    if not wanted:
        return
    cell = data.draw(st.sampled_from(sorted(wanted)))
    more = wanted | {cell: min(wanted[cell] + 1, int(Action.BLOCK))}
    tables = []
    for asked in (wanted, more):
        layer = Layer(rules=sparse_sections(asked))
        parties = {"operator": operator, "guardian": other, "child": other} | {party: layer}
        tables.append(apply_layers(**parties).rules)
    assert compare(*tables) in NOT_LOOSER


@given(operators, guardians, children)
def test_a_refusal_is_named_and_nothing_else_is(operator: Layer, guardian: Layer, child: Layer) -> None:
    made = apply_layers(operator=operator, guardian=guardian, child=child)
    assert set(made.refused) <= {*cell_names()} | {
        f"documents/{band}/{field}" for band in BANDS for field in ("containers", "motion_photo")
    }
    assert apply_layers(child=Layer()).refused == ()


def test_a_guardian_cannot_take_a_minors_explicit_capture_below_hold_and_is_told() -> None:
    ask = {
        index: int(Action.ALLOW)
        for index, name in enumerate(cell_names())
        if name.startswith("picture/13_15/capture/explicit")
    }
    made = effective(ProfileDocument(age_band="13_15", guardian=Layer(rules=sparse_sections(ask))))
    explicit = Finding(FindingKind.NUDITY, State.OK, Label.EXPLICIT, 0.9)
    assert decide([explicit], band=AgeBand.FROM_13_TO_15, event=Event.CAPTURE, rules=made.rules).action is Action.HOLD
    assert made.refused == tuple(sorted(cell_names()[index] for index in ask))


def test_loosening_one_band_loosens_what_may_not_be_stricter() -> None:
    """A guardian who asks for a pause at 13 does not have to know what the rules say at 16."""
    asked = msgspec.convert({"conversation": [{"bands": ["13_15"], "warn": "NUDGE"}]}, type(Layer().rules))
    made = action_names(apply_layers(guardian=Layer(rules=asked)).rules.table.actions)
    assert made["conversation/13_15/warn"] == made["conversation/16_17/warn"] == "NUDGE"
    assert made["conversation/unknown/warn"] == "BLUR", "nobody has stated that age"
    assert made["conversation/10_12/warn"] == "HOLD"


@pytest.mark.parametrize("name", ["strict", "balanced", "light"])
def test_a_preset_only_loosens_within_floors_and_only_for_a_stated_age(name: str) -> None:
    default, made = Rules.default(), apply_layers(preset=presets()[name])
    assert made.refused == ()
    for band in AgeBand:
        change = compare(default, made.rules, bands=[band])
        assert change in (Change.EQUAL, Change.LOOSER)
        if band in (AgeBand.UNKNOWN, AgeBand.UNDER_10, AgeBand.ADULT) or name == "strict":
            assert change is Change.EQUAL
    changed = [compare(default, made.rules, bands=[band]) is Change.LOOSER for band in AgeBand]
    assert any(changed) is (name != "strict"), "a preset that changes nothing is no preset"


def test_zero_configuration_is_the_strictest(root: Path) -> None:
    """The snapshot: whoever changes what nobody configured changes this file, and says why."""
    zero = effective()
    assert zero == effective(ProfileDocument()) == effective(ProfileDocument.from_json(b"{}"))
    found: dict[str, Any] = {
        "profile": {"age_band": zero.profile.band.value, "country": None, "languages": ["en"]},
        "known_contacts": sorted(zero.known_contacts),
        "documents": json.loads(msgspec.json.encode(zero.rules.document(zero.profile.band))),
        "actions": action_names(zero.rules.table.effective),
    }
    assert found == json.loads((root / "tests/golden/zero_configuration.json").read_text(encoding="utf-8"))
    assert zero.rules.table.pack() == Rules.default().table.pack()


@given(profile_documents)
def test_no_settings_for_an_unknown_age_are_looser_than_a_guardians_own_choice(chosen: ProfileDocument) -> None:
    """Without a guardian's layer nothing makes zero configuration looser."""
    alone = ProfileDocument(preset=chosen.preset, child=chosen.child)
    assert compare_profiles(ProfileDocument(), alone) in NOT_LOOSER


@given(profile_documents, profile_documents)
def test_comparing_profiles(one: ProfileDocument, other: ProfileDocument) -> None:
    opposite = {Change.TIGHTER: Change.LOOSER, Change.LOOSER: Change.TIGHTER}
    change = compare_profiles(one, other)
    assert compare_profiles(other, one) is opposite.get(change, change)
    assert compare_profiles(one, one) is Change.EQUAL


@given(profile_documents, profile_documents, st.sampled_from(Event), st.sampled_from(list(Label)))
def test_what_is_not_looser_never_lowers_an_action(
    before: ProfileDocument, after: ProfileDocument, event: Event, label: Label
) -> None:
    first, second = effective(before), effective(after)
    adults = {first.profile.band is AgeBand.ADULT, second.profile.band is AgeBand.ADULT}
    if compare_profiles(before, after) not in NOT_LOOSER or len(adults) == 2:
        return
    for kind in FindingKind:
        seen = [Finding(kind, State.OK, label, 0.9)]
        was = decide(seen, band=first.profile.band, event=event, rules=first.rules).action
        becomes = decide(seen, band=second.profile.band, event=event, rules=second.rules).action
        assert becomes >= was


def test_each_kind_of_loosening_is_seen() -> None:
    teen = ProfileDocument(age_band="13_15")
    replace = msgspec.structs.replace
    contact = contact_id("somebody", key=bytes(16))
    watch = msgspec.convert({"conversation": [{"bands": ["13_15"], "watch": "ALLOW"}]}, type(Layer().rules))
    for looser in (
        replace(teen, age_band="16_17"),
        replace(teen, age_band="adult"),
        replace(teen, preset="balanced"),
        replace(teen, guardian=Layer(rules=watch)),
        replace(teen, guardian=Layer(permits=watch)),
        replace(teen, known_contacts=(contact,)),
        replace(teen, guardian=Layer(documents=(DocumentRow(("13_15",), "look_inside", "still_only"),))),
    ):
        assert compare_profiles(teen, looser) is Change.LOOSER
        assert compare_profiles(looser, teen) is Change.TIGHTER
    for neutral in (
        replace(teen, country="GB", languages=("de",)),
        replace(teen, trusted_adults=(TrustedAdult(contact, "teacher"),)),
    ):
        assert compare_profiles(teen, neutral) is Change.EQUAL


@given(profile_documents)
def test_a_document_survives_being_written(chosen: ProfileDocument) -> None:
    assert ProfileDocument.from_json(chosen.to_json()) == chosen


@pytest.mark.parametrize(
    ("document", "message"),
    [
        (b"", "truncated"),
        (b'{"schema": 2}', "schema"),
        (b'{"help": false}', "help"),
        (b'{"preset": "wild"}', "expected one of strict, balanced, light"),
        (b'{"age_band": "teen"}', "expected one of under_10"),
        (b'{"country": "England"}', "ISO 3166-1"),
        (b'{"known_contacts": ["Alice"]}', "matching regex"),
        (b'{"trusted_adults": [{"id": "00000000000000000000000000000000", "relation": "x"}]}', "relation"),
        (b'{"guardian": {"rules": {"known_match": "DELETE"}}}', "expected one of ALLOW"),
        (b'{"guardian": {"floors": {"known_match": "HOLD"}}}', "operator's"),
        (b'{"child": {"permits": {"known_match": "HOLD"}}}', "rules and documents only"),
        (b'{"child": {"rules": {"query": [{"bands": [], "match": "HOLD"}]}}}', "length"),
    ],
)
def test_a_faulty_profile_document_is_refused(document: bytes, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        ProfileDocument.from_json(document)


def test_an_operators_document_is_read_and_its_floors_hold() -> None:
    operator = read_operator(
        b'{"schema": 1, "id": "school", "version": 1,'
        b' "rules": {"site": [{"bands": ["adult"], "match": "HOLD"}]},'
        b' "floors": {"query": [{"bands": ["13_15"], "match": "HOLD"}]}}'
    )
    made = action_names(apply_layers(operator=operator, preset=presets()["light"]).rules.table.actions)
    assert made["site/adult/match"] == "HOLD"
    assert made["query/13_15/match"] == made["query/unknown/match"] == "HOLD"
    assert made["query/16_17/match"] == "ALLOW"
    with pytest.raises(UsageError, match=r"operator\.schema\.json"):
        read_operator(b'{"schema": 1}')
    with pytest.raises(UsageError, match="set twice"):
        read_operator(
            b'{"schema": 1, "id": "a", "version": 1, "rules":'
            b' {"query": [{"bands": ["adult", "adult"], "match": "HOLD"}]}}'
        )


def test_a_contact_is_an_opaque_id_that_needs_the_devices_key() -> None:
    one, other = (contact_id("Ana", key=key) for key in (bytes(16), bytes(15) + b"\1"))
    assert one != other
    assert one == contact_id(" ana ", key=bytes(16))
    assert "ana" not in one
    with pytest.raises(UsageError, match="16 to 64"):
        contact_id("Ana", key=b"short")


def test_damaged_presets_are_the_strict_ones(installation: Path) -> None:
    (installation / "policy" / "presets.json").write_text("{}", encoding="utf-8")
    presets.cache_clear()
    try:
        light = effective(ProfileDocument(age_band="16_17", preset="light"))
        assert light.rules.table.pack() == Rules.default().table.pack()
    finally:
        presets.cache_clear()


def test_the_published_schemas_are_those_of_the_types(root: Path) -> None:
    import runpy

    make = runpy.run_path(str(root / "docs/schema/make_schema.py"))
    assert make["main"](["--check"]) == 0
