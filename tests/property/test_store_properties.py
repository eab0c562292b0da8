"""What must hold for every settings document and every order of doing things to a store."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import settings as counts
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from nacl.pwhash import argon2id
from safelight.decision import Action, AgeBand, Decision, Event, Finding, FindingKind, Label, State
from safelight.errors import PinError, UsageError
from safelight.policy import decide
from safelight.store import STRICTEST, Relation, Settings, StoreState, compare
from safelight.store import pin as pins
from safelight.store._cells import raisable
from safelight.store.changes import Pending, matured, patched, split
from safelight.store.clock import Reading, TimeMark, confirm, first_mark, look
from safelight.store.schedule import NEVER_LIMITED, WEEKDAYS
from safelight.store.settings import ConsentBy, ConsentPurpose, difference, validated
from safelight.store.transfer import patch_to
from store_world import DAY_S, HOUR_S, PIN, START_S, FakeClock, World

BANDS = [band.value for band in AgeBand]
ACTIONS = [action.name for action in Action]
PURPOSES = ["*", "games", "video", "org.example.app"]

hours = st.integers(0, 23)
spans = (
    st.tuples(hours, st.integers(1, 24))
    .filter(lambda span: span[0] < span[1])
    .map(lambda span: f"{span[0]:02d}:00-{span[1]:02d}:00")
)
nights = st.tuples(st.integers(18, 23), st.integers(5, 9)).map(lambda span: f"{span[0]:02d}:30-{span[1]:02d}:15")
documents = st.fixed_dictionaries(
    {},
    optional={
        "age_band": st.sampled_from(BANDS),
        "country": st.sampled_from(["GB", "DE"]),
        "preset": st.sampled_from(["strict", "balanced", "light"]),
        "rules": st.dictionaries(st.sampled_from(sorted(raisable())), st.sampled_from(ACTIONS), max_size=3),
        "zone": st.sampled_from(["UTC", "Europe/London", "Asia/Tokyo"]),
        "allowance": st.dictionaries(st.sampled_from(PURPOSES), st.none() | st.integers(0, 1440), max_size=3),
        "windows": st.dictionaries(
            st.sampled_from(PURPOSES),
            st.dictionaries(st.sampled_from(WEEKDAYS), st.lists(spans, max_size=2), max_size=3),
            max_size=2,
        ),
        "bedtime": st.dictionaries(st.sampled_from(WEEKDAYS), nights, max_size=3),
        "consent": st.dictionaries(
            st.sampled_from([purpose.value for purpose in ConsentPurpose]),
            st.sampled_from([by.value for by in ConsentBy]),
            max_size=3,
        ),
        "counters": st.booleans(),
        "reporting": st.booleans(),
        "loosening_delay_h": st.integers(1, 168),
        "known_contacts": st.lists(st.sampled_from(["ab" * 16, "cd" * 16]), max_size=2, unique=True),
    },
).map(validated)
patches = st.tuples(documents, documents).map(lambda pair: patch_to(*pair)).filter(bool)


@given(documents)
def test_a_document_is_as_strict_as_itself_and_survives_writing(document: Settings) -> None:
    assert compare(document, document) is Relation.SAME
    assert validated(document.to_dict()) == document
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(document), type=Settings) == document


@given(documents)
def test_nothing_is_stricter_than_nothing(document: Settings) -> None:
    """Except where a document tightens what is the strictest by default."""
    tightens = bool(document.rules or document.loosening_delay_h > 24 or document.consent)
    if not tightens:
        assert compare(STRICTEST, document) in (Relation.LOOSER, Relation.SAME)


@given(documents, documents)
def test_there_and_back(one: Settings, other: Settings) -> None:
    opposite = {Relation.LOOSER: Relation.TIGHTER, Relation.TIGHTER: Relation.LOOSER}
    there, back = compare(one, other), compare(other, one)
    assert back is opposite.get(there, there)
    assert patched(one, patch_to(one, other)) == other


@given(documents, documents, documents)
def test_tighter_than_tighter_is_tighter(one: Settings, two: Settings, three: Settings) -> None:
    if not compare(one, two).loosens and not compare(two, three).loosens:
        # Two moves between an adult and a child skip one cell that one move between two children does not.
        adults = {document.band is AgeBand.ADULT for document in (one, two, three)}
        if len(adults) == 1:
            assert not compare(one, three).loosens


@given(documents, patches)
def test_what_is_in_force_at_once_loosens_nothing(document: Settings, patch: dict[str, Any]) -> None:
    at_once, waits = split(document, patch)
    assert {**at_once, **waits} == patch
    now = patched(document, at_once)
    assert not compare(document, now).loosens
    if waits:
        assert compare(document, patched(document, patch)).loosens
    after, waiting = matured(now, [Pending("1", waits, (), 0.0, 10.0)] if waits else [], elapsed_s=9.9)
    assert after == now
    assert len(waiting) == bool(waits)


_FINDINGS = st.lists(
    st.one_of(
        st.builds(
            Finding,
            st.just(FindingKind.NUDITY),
            st.just(State.OK),
            st.sampled_from([Label.NONE, Label.SUGGESTIVE, Label.EXPLICIT]),
            st.floats(0, 1),
        ),
        st.builds(
            Finding,
            st.just(FindingKind.AGE),
            st.just(State.OK),
            st.sampled_from([Label.NO_FACE, Label.ADULT, Label.UNSURE, Label.MINOR]),
            st.floats(0, 1),
        ),
        st.builds(Finding, st.sampled_from([FindingKind.NUDITY, FindingKind.MEDIA]), st.just(State.NO_MODEL)),
        st.builds(Finding, st.just(FindingKind.KNOWN), st.just(State.OK), st.just(Label.MATCH), st.just(1.0)),
        st.builds(
            Finding,
            st.just(FindingKind.CONVERSATION),
            st.just(State.OK),
            st.sampled_from([Label.CALM, Label.WATCH, Label.WARN, Label.DANGER]),
            st.just(1.0),
        ),
    ),
    max_size=3,
)


@given(documents, documents, _FINDINGS, st.sampled_from(list(Event)))
def test_tighter_settings_never_lower_an_action(
    one: Settings, other: Settings, findings: list[Finding], event: Event
) -> None:
    if compare(one, other).loosens or (one.band is AgeBand.ADULT) != (other.band is AgeBand.ADULT):
        return
    first = decide(findings, band=one.band, event=event, rules=one.effective_rules())
    second = decide(findings, band=other.band, event=event, rules=other.effective_rules())
    assert second.action >= first.action


@given(documents, _FINDINGS, st.sampled_from(list(Event)))
def test_the_strictest_is_at_least_as_strict_as_any(document: Settings, findings: list[Finding], event: Event) -> None:
    unraised = msgspec.structs.replace(document, rules={})
    strictest = decide(findings, band=AgeBand.UNKNOWN, event=event, rules=STRICTEST.effective_rules())
    chosen = decide(findings, band=unraised.band, event=event, rules=unraised.effective_rules())
    assert strictest.action >= chosen.action


@given(documents, st.sampled_from([Event.CAPTURE, Event.UPLOAD, Event.SEND, Event.SAVE]))
def test_no_settings_take_a_minors_explicit_picture_below_hold(document: Settings, event: Event) -> None:
    explicit = [Finding(FindingKind.NUDITY, State.OK, Label.EXPLICIT, 0.99)]
    if document.band is not AgeBand.ADULT:
        assert decide(explicit, band=document.band, event=event, rules=document.effective_rules()).action >= Action.HOLD


@given(documents, st.sampled_from(sorted(NEVER_LIMITED)))
def test_no_settings_name_help(document: Settings, purpose: str) -> None:
    with pytest.raises(UsageError, match="never limited"):
        patched(document, {f"allowance.{purpose}": 0})
    with pytest.raises(UsageError, match="never limited"):
        patched(document, {f"windows.{purpose}": "10:00-11:00"})


@given(st.lists(st.tuples(st.sampled_from("rsw"), st.floats(-5 * DAY_S, 5 * DAY_S)), max_size=12))
def test_the_clocks_never_run_ahead_of_the_truth(moves: list[tuple[str, float]]) -> None:
    """Elapsed never passes what truly passed; confirmed passes it by what may be caught up and no more."""
    clock = FakeClock()
    mark: TimeMark = first_mark(clock)
    last = Reading(0.0, START_S, START_S, START_S)
    for move, amount in moves:
        if move == "r":
            clock.run(abs(amount))
        elif move == "s":
            clock.set_wall(clock.wall + amount)
        else:
            clock.restart(off_s=abs(amount), uptime_s=1.0)
        reading, mark = look(mark, clock)
        assert last.elapsed_s <= reading.elapsed_s <= clock.real_s + 1e-3
        assert last.confirmed_s <= reading.confirmed_s
        assert reading.confirmed_s <= START_S + clock.real_s + 300 * (2 + clock.real_s / DAY_S)
        assert reading.highest_s >= reading.confirmed_s - 1e-3
        last = reading
    confirmed = confirm(mark, last, now_s=START_S + clock.real_s)
    assert confirmed.elapsed_s == last.elapsed_s


class Device(RuleBasedStateMachine):
    """A child, a guardian and a store: whatever they do in whatever order.

    The model knows the truth: how much time passed, which loosenings were asked for with the PIN and when, which
    holds were kept.
    """

    @initialize(anchored=st.booleans())
    def begin(self, anchored: bool) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="safelight-test-"))
        memory = Path("/dev/shm")
        if memory.is_dir():
            shutil.rmtree(self.folder)
            self.folder = Path(tempfile.mkdtemp(prefix="safelight-test-", dir=memory))
        self.cost = pins.OPSLIMIT, pins.MEMLIMIT_BYTES
        pins.OPSLIMIT, pins.MEMLIMIT_BYTES = argon2id.OPSLIMIT_MIN, argon2id.MEMLIMIT_MIN
        self.world = World(self.folder, anchored=anchored)
        self.store = self.world.set_up(**{"allowance.games": 30, "age_band": "10_12"})
        self.seen = self.store.settings
        self.asked: dict[str, float] = {}
        self.held: dict[str, bytes] = {}
        self.taken_s = 0.0
        self.began_s = self.world.clock.wall
        self.began_real_s = self.world.clock.real_s

    def teardown(self) -> None:
        if hasattr(self, "folder"):
            self.store.close()
            pins.OPSLIMIT, pins.MEMLIMIT_BYTES = self.cost
            shutil.rmtree(self.folder, ignore_errors=True)

    @property
    def true_s(self) -> float:
        return self.began_s + self.world.clock.real_s - self.began_real_s

    @rule(seconds=st.floats(1, 2 * DAY_S))
    def run(self, seconds: float) -> None:
        self.world.clock.run(seconds)

    @rule(seconds=st.floats(-3 * DAY_S, 3 * DAY_S))
    def set_clock(self, seconds: float) -> None:
        self.world.clock.set_wall(self.world.clock.wall + seconds)

    @rule(off_s=st.floats(0, 2 * DAY_S))
    def restart(self, off_s: float) -> None:
        self.store.close()
        self.world.clock.restart(off_s=off_s)
        self.store = self.world.open()

    @rule()
    def guardian_confirms_the_right_time(self) -> None:
        self.world.clock.set_wall(self.true_s)
        with contextlib.suppress(PinError):
            self.store.confirm_time(pin=PIN)

    @rule(guess=st.integers(0, 999_999))
    def guess(self, guess: int) -> None:
        pin = f"{guess:06d}"
        if pin != PIN:
            with pytest.raises(PinError):
                self.store.check_pin(pin)

    @rule(patch=patches, with_pin=st.booleans())
    def ask(self, patch: dict[str, Any], with_pin: bool) -> None:
        # The one allowance whose minutes the model counts stays as it is.
        patch = {key: value for key, value in patch.items() if key not in ("allowance.games", "zone")}
        if not patch:
            return
        before = self.store.settings
        try:
            change = self.store.propose(patch, pin=PIN if with_pin else None)
        except PinError:
            assert self.store.settings == before
            return
        if change.pending is not None:
            assert with_pin
            self.asked[change.pending.id] = self.world.clock.real_s + before.loosening_delay_h * HOUR_S

    @precondition(lambda self: self.store.pending())
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        change = data.draw(st.sampled_from(self.store.pending()))
        self.store.cancel(change.id)
        assert change.id not in {other.id for other in self.store.pending()}

    @rule(seconds=st.floats(1, 900))
    def play(self, seconds: float) -> None:
        answer = self.store.allowance.take("games", seconds)
        assert answer.store is StoreState.OK
        self.taken_s += answer.granted_s

    @precondition(lambda self: len(self.held) < 5)
    @rule(data=st.binary(min_size=1, max_size=2000))
    def hold(self, data: bytes) -> None:
        decision = Decision(Action.HOLD, Event.CAPTURE, AgeBand.FROM_10_TO_12, (), ("NUDITY_EXPLICIT",), None)
        self.held[self.store.holds.keep(decision, data=data).id] = data

    @rule()
    def guardian_approves(self) -> None:
        with contextlib.suppress(PinError):
            assert self.store.holds.approve("NUDITY_EXPLICIT", pin=PIN) == ()

    @rule(purpose=st.sampled_from(sorted(NEVER_LIMITED)))
    def seek_help(self, purpose: str) -> None:
        assert self.store.allowance.take(purpose, 900).granted_s == 900

    @invariant()
    def nothing_loosens_without_pin_and_wait(self) -> None:
        if not hasattr(self, "store"):
            return
        now = self.store.settings
        assert self.store.state is StoreState.OK
        looser = [name for name, step in difference(self.seen, now).items() if step in (-1, None)]
        due = [asked for asked, at in self.asked.items() if at <= self.world.clock.real_s + 1e-3]
        waiting = {change.id for change in self.store.pending()}
        if looser:
            assert [asked for asked in due if asked not in waiting], looser
        for asked in due:
            if asked not in waiting:
                del self.asked[asked]
        self.seen = now

    @invariant()
    def never_more_minutes_than_days(self) -> None:
        if not hasattr(self, "store"):
            return
        slack_s = 300.0 * (2 + (self.true_s - self.began_s) / DAY_S)
        days = (self.true_s + slack_s) // DAY_S - self.began_s // DAY_S + 1
        assert self.taken_s <= days * 30 * 60 + 1e-3

    @invariant()
    def nothing_held_is_lost(self) -> None:
        if not hasattr(self, "store"):
            return
        there = {hold.id for hold in self.store.holds.all()}
        for hold_id in list(self.held):
            if hold_id in there:
                assert self.store.holds._bytes(hold_id) == self.held[hold_id]
            else:
                # Gone only after its time, which is counted in time that truly passed.
                assert self.world.clock.real_s - self.began_real_s >= 14 * DAY_S - 1
                del self.held[hold_id]


Device.TestCase.settings = counts(max_examples=max(8, counts().max_examples // 10), stateful_step_count=25)
TestDevice = Device.TestCase
