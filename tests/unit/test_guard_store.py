"""Does a guard decide by the settings in the store, refuse without consent, and give back what it held wrongly?"""

from __future__ import annotations

import io
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image as PilImage
from safelight import Action, AgeBand, Event, Finding, FindingKind, Guard, Label, Profile, State, UsageError
from safelight.errors import StoreError
from safelight.media import Image
from safelight.notices import BuiltinNotices, load_builtin
from safelight.notices.education import redress_text
from safelight.policy import Rules, decide
from safelight.store import HoldState, Store
from safelight.testing import TestMode, known_match, nudity, state
from store_world import DAY_S, PIN, World


class Opinion:
    """A detector whose mind can be changed."""

    id = "opinion"
    kinds = (FindingKind.NUDITY,)

    def __init__(self, label: Label) -> None:
        self.label = label

    def prepare(self) -> State:
        return State.OK

    def detect(self, image: Image) -> list[Finding]:
        return [Finding(self.kinds[0], State.OK, self.label, 0.9, self.id)]

    def close(self) -> None:
        pass


def png() -> bytes:
    buffer = io.BytesIO()
    PilImage.new("RGB", (64, 48), (90, 120, 150)).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.fixture
def store(world: World) -> Store:
    return world.set_up(age_band="13_15", country="GB")


def test_settings_are_asked_for_at_every_check(store: Store, world: World) -> None:
    with Guard(store=store, detectors=[Opinion(Label.EXPLICIT)]) as guard:
        assert guard.check_image(png(), event=Event.VIEW).action is Action.BLUR
        world.open().propose({"rules.view.explicit": "HOLD"})
        assert guard.check_image(png(), event=Event.VIEW).action is Action.HOLD
        asked = store.propose({"rules.view.explicit": None}, pin=PIN).pending
        assert asked is not None
        assert [change.id for change in guard.pending] == [asked.id]
        assert guard.check_image(png(), event=Event.VIEW).action is Action.HOLD
        world.clock.run(DAY_S)
        assert guard.check_image(png(), event=Event.VIEW).action is Action.BLUR
        assert (guard.profile.band, guard.profile.country) == ("13_15", "GB")


@pytest.mark.parametrize(
    ("trick", "name"),
    [
        ("absent", State.NO_STORE),
        ("deleted", State.NO_STORE),
        ("damaged", State.STORE_DAMAGED),
        ("no key", State.STORE_FAILED),
    ],
)
@pytest.mark.parametrize("event", list(Event))
def test_a_store_that_cannot_be_believed_is_stricter_than_any_band(
    world: World, trick: str, name: State, event: Event
) -> None:
    if trick != "absent":
        world.set_up(age_band="adult").close()
    if trick == "deleted":
        world.path.unlink()
    if trick == "damaged":
        world.path.write_bytes(world.path.read_bytes()[:4096])
    if trick == "no key":
        world.keys.delete("store")
    with Guard(store=world.open(), detectors=[Opinion(Label.SUGGESTIVE)]) as guard:
        decision = guard.check_image(png(), event=event)
        assert Finding(FindingKind.SETTINGS, name) in decision.findings
        assert decision.age_band is AgeBand.UNKNOWN
        assert guard.help()
    for band in AgeBand:
        known = [finding for finding in decision.findings if finding.kind is not FindingKind.SETTINGS]
        assert decision.action >= decide(known, band=band, event=event, rules=Rules.default()).action


def test_a_guard_without_a_store_is_as_before() -> None:
    with Guard(detectors=[Opinion(Label.EXPLICIT)]) as guard:
        assert guard.check_image(png(), event="view").action is Action.BLUR
        assert guard.pending == ()
        assert guard.check_consent("camera").action >= Action.HOLD
        assert guard.check_time("games").action >= Action.HOLD
        assert guard.check_time("help").action is Action.ALLOW
        with pytest.raises(UsageError, match="without one"):
            _ = guard.holds


def test_the_store_and_a_profile_are_not_mixed(store: Store) -> None:
    with pytest.raises(UsageError, match="one of the two"):
        Guard(Profile("adult"), store=store)
    with pytest.raises(UsageError, match="one of the two"):
        Guard(rules=Rules.default(), store=store)


def test_from_store_opens_this_devices(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    with Guard.from_store(detectors=[]) as guard:
        assert guard.store.state == "NEW"
        assert guard.check_image(png()).action is Action.HOLD
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("purpose", ["camera", "purchase", "registration", "scan", "age_check"])
def test_no_consent_no_go(world: World, purpose: str) -> None:
    store = world.set_up(age_band="10_12")
    with Guard(store=store, detectors=[]) as guard:
        assert guard.check_consent(purpose).action >= Action.HOLD
        store.consents.give(purpose)
        store.consents.give(purpose, by="guardian", pin=PIN)
        assert guard.check_consent(purpose).action is Action.ALLOW
        store.consents.withdraw(purpose)
        refused = guard.check_consent(purpose)
        assert refused.action >= Action.HOLD
        assert refused.notice is not None
        assert refused.notice.help


def test_time_is_a_decision_too(world: World) -> None:
    store = world.set_up(allowance__games=1)
    with Guard(store=store, detectors=[]) as guard:
        assert guard.check_time("games").action is Action.ALLOW
        store.allowance.take("games")
        spent = guard.check_time("games")
        assert (spent.action, spent.reasons[0]) == (Action.HOLD, "TIME_SPENT")
        # The clock is set on by a day: nothing new, and the reason says what to do.
        world.clock.set_wall(world.clock.wall_s() + DAY_S)
        assert guard.check_time("games").reasons[0] == "CLOCK_UNCONFIRMED"
        for purpose in ("help", "health", "emergency"):
            assert guard.check_time(purpose).action is Action.ALLOW


def test_a_hold_comes_back_after_a_second_look(store: Store) -> None:
    opinion = Opinion(Label.EXPLICIT)
    data = png()
    with Guard(store=store, detectors=[opinion]) as guard:
        decision = guard.check_image(data, event=Event.CAPTURE)
        assert decision.action is Action.BLOCK
        hold = guard.holds.keep(decision, data=data)
        kept = guard.appeal(hold)
        assert (kept.released, kept.hold and kept.hold.state) == (False, HoldState.KEPT)
        assert kept.redress is not None, "who to turn to now"
        opinion.label = Label.NONE
        released = guard.appeal(hold.id)
        assert released.released
        assert released.decision is not None
        assert released.decision.action is Action.ALLOW
        assert released.redress is None
        assert guard.holds.restore(hold.id) == data
        assert guard.appeal(hold.id).released


def test_a_handle_needs_the_hosts_picture(store: Store) -> None:
    with Guard(store=store, detectors=[Opinion(Label.NONE)]) as guard:
        first = Guard(store=store, detectors=[Opinion(Label.EXPLICIT)]).check_image(png(), event=Event.SEND)
        hold = guard.holds.keep(first, handle="message-17")
        with pytest.raises(UsageError, match="source"):
            guard.appeal(hold)
        assert guard.appeal(hold, png()).released
        assert guard.appeal(first, png()).released
        with pytest.raises(UsageError, match="no hold has"):
            guard.appeal("0123")


def test_a_known_match_is_not_released_here(store: Store) -> None:
    with Guard(store=store, detectors=[Opinion(Label.NONE)], test_mode=TestMode(known_match())) as guard:
        decision = guard.check_image(png(), event=Event.RECEIVE)
        hold = guard.holds.keep(decision, data=png())
        appeal = guard.appeal(hold)
        assert (appeal.released, appeal.decision) == (False, None)
        assert appeal.hold is not None
        assert appeal.hold.state is HoldState.APPEALED
        assert appeal.redress is not None
        again = guard.appeal(decision, png())
        assert not again.released
        assert again.redress == appeal.redress
        with pytest.raises(UsageError, match="RELEASED"):
            guard.holds.restore(hold.id)


@pytest.mark.parametrize("band", list(AgeBand))
def test_a_refusal_says_who_to_turn_to_in_words_for_the_reader(world: World, band: AgeBand) -> None:
    store = world.set_up(age_band=band.value, country="GB")
    with Guard(store=store, detectors=[Opinion(Label.EXPLICIT)]) as guard:
        redress = guard.appeal(guard.check_image(png(), event=Event.SEND), png()).redress
    english = load_builtin().catalogue
    assert redress is not None
    assert english is not None
    assert redress.text == redress_text(english, band)
    assert {service.country for service in redress.help} <= {"GB", "INT"}
    assert "Childline" in {service.service for service in redress.help}
    assert redress.to_dict()["help"][0]["service"] == redress.help[0].service


def test_a_refusal_without_any_words_still_says_who_to_turn_to(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("safelight.guard.load_builtin", lambda *_: BuiltinNotices(None, (), ("CATALOGUE_UNVERIFIED",)))
    with Guard(store=store, detectors=[Opinion(Label.EXPLICIT)]) as guard:
        redress = guard.appeal(guard.check_image(png(), event=Event.SEND), png()).redress
    assert redress is not None
    assert "somebody you trust" in redress.text
    assert redress.help[0].web_url


def test_bytes_that_are_gone_are_named(store: Store) -> None:
    with Guard(store=store, detectors=[Opinion(Label.EXPLICIT)]) as guard:
        hold = guard.holds.keep(guard.check_image(png(), event=Event.CAPTURE), data=png())
        with store.work() as work:
            work.sections.drop_held(hold.id)
        with pytest.raises(StoreError) as lost:
            guard.appeal(hold)
        assert lost.value.state == "LOST"


def test_the_second_look_is_the_closest_one(store: Store, portrait: Path) -> None:
    """The first look is by the small model alone; the second by all of them."""
    with Guard(store=store, tier="live", test_mode=TestMode(state("TOO_DARK"))) as guard:
        first = guard.check_image(portrait)
        second = guard.appeal(first, portrait).decision
    assert second is not None
    assert "nsfwjs_mobilenet_v2_v1" in {finding.model for finding in first.findings}
    assert {"open_nsfw_v1", "nsfwjs_mid_v1"} <= {finding.model for finding in second.findings}


def test_counters_count_when_they_are_on(world: World) -> None:
    store = world.set_up(counters=True, age_band="13_15")
    with Guard(store=store, detectors=[Opinion(Label.NONE)], test_mode=TestMode(nudity(0.97))) as guard:
        first = guard.check_image(png())
        guard.appeal(first, png())
    (week,) = store.counters.read().values()
    assert week == {"action.block": 2, "appeal.asked": 1}


def test_the_documented_example_runs(root: Path, tmp_path: Path, portrait: Path) -> None:
    (example,) = re.findall(r"```python\n(.*?)```", (root / "docs/store.md").read_text(encoding="utf-8"), re.S)
    (tmp_path / "photo.jpg").write_bytes(portrait.read_bytes())
    environment = os.environ | {"XDG_STATE_HOME": str(tmp_path / "state"), "XDG_DATA_HOME": str(tmp_path / "data")}
    # Held in test mode, so that every line runs.
    held = example.replace("Guard(store=store)", "Guard(store=store, test_mode=TestMode(nudity(0.97)))")
    prologue = "from safelight.testing import TestMode, nudity\n"
    for text in (example, prologue + held + "assert not appeal.released\n"):
        subprocess.run([sys.executable, "-c", text], cwd=tmp_path, env=environment, check=True)
