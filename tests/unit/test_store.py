"""Does the store keep what was chosen, loosen with two keys only, and tighten for anybody?"""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest
from safelight.decision import Action, AgeBand, Decision, Event
from safelight.errors import PinError, StoreError, UsageError
from safelight.policy.layers import Layer
from safelight.policy.sections import PictureRow, Sections
from safelight.policy.table import picture_cell
from safelight.store import (
    STRICTEST,
    ConsentState,
    HoldLimits,
    HoldState,
    Relation,
    Settings,
    Store,
    StoreState,
    TimeState,
    compare,
)
from safelight.store import pin as pins
from safelight.store.settings import difference, validated
from store_world import DAY_S, HOUR_S, PIN, World


def decision(reason: str = "NUDITY_EXPLICIT", event: Event = Event.RECEIVE, **changes: Any) -> Decision:
    made = Decision(
        action=Action.HOLD,
        event=event,
        age_band=AgeBand.FROM_10_TO_12,
        findings=(),
        reasons=(reason,),
        notice=None,
    )
    return dataclasses.replace(made, **changes)


class TestSettings:
    def test_nothing_is_the_strictest(self, world: World) -> None:
        store = world.open()
        assert store.state is StoreState.NEW
        assert store.settings == STRICTEST
        assert not world.path.exists()
        assert compare(STRICTEST, STRICTEST) is Relation.SAME

    @pytest.mark.parametrize("band", [band.value for band in AgeBand])
    def test_no_age_band_is_looser_than_the_strictest_nor_is_it_tighter(self, band: str) -> None:
        assert compare(STRICTEST, Settings(age_band=band)) in (Relation.LOOSER, Relation.SAME)

    @pytest.mark.parametrize(
        ("old", "new", "relation"),
        [
            ({}, {"country": "GB", "languages": ["cy"], "zone": "Europe/London"}, Relation.SAME),
            ({"age_band": "13_15"}, {"age_band": "10_12"}, Relation.TIGHTER),
            ({"age_band": "13_15"}, {"age_band": "16_17"}, Relation.LOOSER),
            ({"age_band": "13_15"}, {"age_band": "13_15", "rules": {"view.explicit": "HOLD"}}, Relation.TIGHTER),
            # Raising to what is done anyway changes nothing.
            ({"age_band": "13_15"}, {"age_band": "13_15", "rules": {"view.explicit": "BLUR"}}, Relation.SAME),
            ({"allowance": {"*": 60}}, {"allowance": {"*": 60, "games": 30}}, Relation.TIGHTER),
            ({"allowance": {"*": 60, "games": 30}}, {"allowance": {"*": 60}}, Relation.LOOSER),
            ({"allowance": {"*": 60}}, {"allowance": {"*": None}}, Relation.LOOSER),
            ({"allowance": {"*": None}}, {"allowance": {"*": 1440}}, Relation.TIGHTER),
            ({"allowance": {"*": 60}}, {"allowance": {"*": 60}, "bedtime": {"sun": "20:00-07:00"}}, Relation.TIGHTER),
            (
                {"allowance": {"*": 60}, "windows": {"*": {"sat": ["10:00-12:00"]}}},
                {"allowance": {"*": 60}, "windows": {"*": {"sat": ["11:00-13:00"]}}},
                Relation.MIXED,
            ),
            ({"allowance": {"*": 60}}, {"allowance": {"*": 60}, "zone": "Asia/Tokyo"}, Relation.MIXED),
            ({"allowance": {"*": None}}, {"allowance": {"*": 60}, "zone": "Asia/Tokyo"}, Relation.TIGHTER),
            ({"allowance": {"*": 60, "a": 10}}, {"allowance": {"*": 30, "a": 20}}, Relation.MIXED),
            ({"consent": {"camera": "never"}}, {"consent": {"camera": "guardian"}}, Relation.LOOSER),
            ({}, {"counters": True}, Relation.LOOSER),
            ({}, {"reporting": True}, Relation.LOOSER),
            ({"reporting": True}, {}, Relation.TIGHTER),
            ({}, {"loosening_delay_h": 48}, Relation.TIGHTER),
            ({}, {"loosening_delay_h": 1}, Relation.LOOSER),
        ],
    )
    def test_stricter_is_decided_by_what_it_means(
        self, old: dict[str, Any], new: dict[str, Any], relation: Relation
    ) -> None:
        assert compare(validated(old), validated(new)) is relation
        opposite = {Relation.LOOSER: Relation.TIGHTER, Relation.TIGHTER: Relation.LOOSER}
        assert compare(validated(new), validated(old)) is opposite.get(relation, relation)

    def test_written_another_way_is_the_same(self) -> None:
        one = validated({"allowance": {"*": 60}, "windows": {"*": {"mon": ["10:00-11:00", "11:00-12:00"]}}})
        other = validated({"allowance": {"*": 60}, "windows": {"*": {"mon": ["10:00-12:00"]}}})
        assert difference(one, other) == {}

    @pytest.mark.parametrize(
        "patch",
        [
            {"age_band": "12"},
            {"country": "Britain"},
            {"languages": []},
            {"colour": "red"},
            {"rules.receive": "HOLD"},
            {"rules.receive.explicit": "STOP"},
            {"zone": "Mars/Olympus"},
            {"zone": "../../etc/passwd"},
            {"allowance.games": -1},
            {"allowance.games": 1441},
            {"allowance.help": 10},
            {"allowance.emergency": 0},
            {"windows.health": "10:00-11:00"},
            {"windows.games.sun": ["25:00-26:00"]},
            {"windows.games.sun": ["12:00-10:00"]},
            {"bedtime.sonntag": "20:00-07:00"},
            {"consent.tea": "child"},
            {"consent.camera": "nobody"},
            {"loosening_delay_h": 0},
            {"loosening_delay_h": 169},
            {"counters": "yes"},
            {"schema": 2},
            {},
        ],
    )
    def test_what_is_wrong_is_refused_and_changes_nothing(self, world: World, patch: dict[str, Any]) -> None:
        store = world.set_up(age_band="13_15")
        before = store.settings
        with pytest.raises(UsageError):
            store.propose(patch, pin=PIN)
        assert store.settings == before

    def test_survives_a_restart(self, world: World) -> None:
        store = world.set_up(age_band="13_15", allowance__games=60, bedtime="21:00-07:00")
        before = store.settings
        store.close()
        world.clock.restart()
        again = world.open()
        assert again.state is StoreState.OK
        assert again.settings == before
        assert again.settings.allowance == {"games": 60}


class TestTwoKeys:
    def test_a_loosening_waits_and_is_seen(self, world: World) -> None:
        store = world.set_up(age_band="10_12")
        asked = store.propose({"age_band": "13_15"}, pin=PIN)
        assert (asked.relation, asked.applied) == (Relation.LOOSER, {})
        assert asked.pending is not None
        assert asked.pending.in_force_in_s == DAY_S
        assert [change.id for change in store.pending()] == [asked.pending.id]
        assert "rules.receive.explicit.adult_or_no_face" in asked.pending.loosens
        world.clock.run(DAY_S - 1)
        assert store.settings.age_band == "10_12"
        world.clock.run(1)
        assert store.settings.age_band == "13_15"
        assert store.pending() == ()

    @pytest.mark.parametrize("pin", [None, "", "000000", PIN + " ", "４８２９１３"])
    def test_without_the_pin_nothing_loosens(self, world: World, pin: str | None) -> None:
        store = world.set_up(age_band="10_12")
        with pytest.raises(PinError):
            store.propose({"age_band": "13_15"}, pin=pin)
        assert store.pending() == ()
        assert store.settings.age_band == "10_12"

    def test_anybody_tightens_at_once(self, world: World) -> None:
        store = world.set_up(age_band="13_15", allowance__games=60)
        change = store.propose({"allowance.games": 30, "rules.view.explicit": "HOLD", "consent.camera": "never"})
        assert change.relation is Relation.TIGHTER
        assert change.pending is None
        assert store.settings.allowance == {"games": 30}
        assert world.open().settings == store.settings

    def test_a_mixed_request_does_not_keep_the_tightening_waiting(self, world: World) -> None:
        store = world.set_up(allowance__games=60, allowance__video=60)
        change = store.propose({"allowance.games": 90, "allowance.video": 10}, pin=PIN)
        assert change.relation is Relation.MIXED
        assert change.applied == {"allowance.video": 10}
        assert change.pending is not None
        assert change.pending.patch == {"allowance.games": 90}
        assert store.settings.allowance == {"games": 60, "video": 10}

    def test_anybody_cancels(self, world: World) -> None:
        store = world.set_up(age_band="10_12")
        asked = store.propose({"age_band": "13_15"}, pin=PIN).pending
        assert asked is not None
        world.open().cancel(asked.id)
        world.clock.run(2 * DAY_S)
        assert store.settings.age_band == "10_12"
        with pytest.raises(UsageError, match="pending"):
            store.cancel(asked.id)

    def test_tightening_the_same_ends_the_wait(self, world: World) -> None:
        store = world.set_up(allowance__games=60, allowance__video=60)
        store.propose({"allowance.games": 120, "allowance.video": 120}, pin=PIN)
        store.propose({"allowance.games": 30})
        assert [change.patch for change in store.pending()] == [{"allowance.video": 120}]
        world.clock.run(DAY_S)
        assert store.settings.allowance == {"games": 30, "video": 120}

    def test_asking_again_starts_the_wait_again(self, world: World) -> None:
        store = world.set_up(allowance__games=60)
        store.propose({"allowance.games": 90}, pin=PIN)
        world.clock.run(23 * HOUR_S)
        store.propose({"allowance.games": 120}, pin=PIN)
        world.clock.run(HOUR_S)
        assert store.settings.allowance == {"games": 60}
        world.clock.run(23 * HOUR_S)
        assert store.settings.allowance == {"games": 120}

    def test_a_shorter_delay_waits_for_the_longer_one(self, world: World) -> None:
        store = world.set_up(age_band="10_12")
        store.propose({"loosening_delay_h": 1}, pin=PIN)
        asked = store.propose({"age_band": "13_15"}, pin=PIN).pending
        assert asked is not None
        assert asked.in_force_in_s == DAY_S

    def test_without_a_pin_set_anybody_tightens_and_nobody_loosens(self, world: World) -> None:
        store = world.open()
        assert store.propose({"rules.view.none": "NUDGE"}).pending is None
        assert store.state is StoreState.OK
        with pytest.raises(PinError, match="none is set"):
            store.propose({"age_band": "adult"}, pin=PIN)
        store.set_up({"country": "GB"}, pin=PIN)
        assert store.settings.rules == {"view.none": "NUDGE"}

    def test_first_settings_wait_unless_an_anchor_proves_that_there_were_none(self, world: World) -> None:
        assert world.open().set_up({"age_band": "13_15"}, pin=PIN).change.pending is not None
        anchored = World(world.folder / "anchored", anchored=True)
        anchored.folder.mkdir()
        assert anchored.open().set_up({"age_band": "13_15"}, pin=PIN).change.pending is None
        assert anchored.open().settings.age_band == "13_15"
        with pytest.raises(UsageError, match="set up already"):
            anchored.open().set_up({}, pin=PIN)


class TestLayers:
    """The documents of safelight.policy inside the store: presets, guardian's layer, the child's own, contacts."""

    PERMIT: Any = {"permits": {"picture": [{"bands": ["13_15", "16_17"], "events": ["view"], "explicit": "NUDGE"}]}}  # noqa: RUF012
    LOWER: Any = {"rules": {"picture": [{"bands": ["13_15"], "events": ["view"], "explicit": "NUDGE"}]}}  # noqa: RUF012
    HIGHER: Any = {"rules": {"picture": [{"bands": ["13_15"], "events": ["view"], "explicit": "HOLD"}]}}  # noqa: RUF012

    @pytest.mark.parametrize(
        ("patch", "loosens"),
        [
            ({"preset": "light"}, True),
            ({"guardian": LOWER}, True),
            ({"guardian": HIGHER}, False),
            ({"guardian": PERMIT}, True),
            ({"child": HIGHER}, False),
            ({"known_contacts": ["0123456789abcdef" * 2]}, True),
            ({"trusted_adults": [{"id": "0123456789abcdef" * 2, "relation": "teacher"}]}, False),
        ],
    )
    def test_each_is_compared_by_what_it_means(self, world: World, patch: dict[str, Any], loosens: bool) -> None:
        store = world.set_up(age_band="13_15")
        if loosens:
            with pytest.raises(PinError):
                store.propose(patch)
            assert store.propose(patch, pin=PIN).pending is not None
            world.clock.run(DAY_S)
            undone = store.propose(dict.fromkeys(patch), pin=None)
            assert undone.pending is None
        else:
            assert store.propose(patch).pending is None

    def test_what_the_guardian_permits_the_child_changes_alone(self, world: World) -> None:
        store = world.set_up(age_band="13_15", guardian=self.PERMIT)
        cell = picture_cell("13_15", "view", "explicit", "adult_or_no_face")
        assert store.propose({"child": self.LOWER}).pending is None
        assert store.rules_in_force().table.effective[cell] == Action.NUDGE
        assert store.propose({"child": self.HIGHER}).pending is None
        assert store.rules_in_force().table.effective[cell] == Action.HOLD
        assert store.propose({"child": self.LOWER}).pending is None
        # Taking the permit away is tightening, and takes what was made of it along.
        assert store.propose({"guardian": None}).pending is None
        assert store.rules_in_force().table.effective[cell] == Action.BLUR

    def test_what_nobody_permits_is_asked_for_in_vain(self, world: World) -> None:
        store = world.set_up(age_band="13_15")
        before = store.rules_in_force()
        store.propose({"child": self.LOWER})
        assert store.rules_in_force() == before

    def test_a_childs_tightening_is_not_undone_by_anybody(self, world: World) -> None:
        store = world.set_up(age_band="13_15")
        store.propose({"child": self.HIGHER})
        with pytest.raises(PinError):
            store.propose({"child": None})

    def test_an_operators_floor_holds(self, world: World) -> None:
        floor = Layer(floors=Sections(picture=(PictureRow(bands=("13_15",), events=("view",), explicit="HOLD"),)))
        store = world.set_up(age_band="13_15", guardian=self.LOWER)
        guarded = Store(world.path, keys=world.keys, clock=world.clock, operator=floor)
        cell = picture_cell("13_15", "view", "explicit", "adult_or_no_face")
        assert guarded.rules_in_force().table.effective[cell] == Action.HOLD
        assert store.rules_in_force().table.effective[cell] == Action.NUDGE

    def test_a_device_handed_to_a_child_is_tightened_at_once(self, world: World) -> None:
        store = world.set_up(age_band="adult")
        for band in ("16_17", "unknown", "13_15", "10_12", "under_10"):
            assert store.propose({"age_band": band}).pending is None
        with pytest.raises(PinError):
            store.propose({"age_band": "adult"})


class TestPin:
    def test_is_kept_as_a_slow_hash_only(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.undo()
        kept = pins.hash_secret(PIN)
        assert (kept.opslimit, kept.memlimit_bytes) == (3, 64 * 1024 * 1024)
        assert PIN.encode() not in kept.digest + kept.salt
        assert pins.matches(PIN, kept)
        assert not pins.matches("482914", kept)

    @pytest.mark.parametrize("pin", ["", "12345", "111111", "121212", "123456", "987654", "abcdef", "x" * 129])
    def test_an_easy_one_is_refused(self, world: World, pin: str) -> None:
        with pytest.raises(UsageError, match="PIN"):
            world.open().set_up({}, pin=pin)
        assert world.open().state is StoreState.NEW

    def test_is_changed_with_the_old_one(self, world: World) -> None:
        store = world.set_up()
        with pytest.raises(PinError):
            store.set_pin("worldly", pin="wrongly")
        store.set_pin("worldly", pin=PIN)
        store.check_pin("worldly")
        with pytest.raises(PinError):
            store.check_pin(PIN)

    def test_the_recovery_code_sets_a_new_one_once(self, world: World) -> None:
        store = world.open()
        code = store.set_up({}, pin=PIN).recovery_code
        for _ in range(9):
            with pytest.raises(PinError):
                store.check_pin("000111")
        with pytest.raises(PinError, match="recovery code"):
            store.set_pin("worldly", recovery_code=pins.new_code())
        # As somebody types it from paper.
        second = store.set_pin("worldly", recovery_code=code.lower().replace("-", " ").replace("0", "o"))
        store.check_pin("worldly")
        with pytest.raises(PinError, match="recovery code"):
            store.set_pin("another", recovery_code=code)
        assert second != code

    def test_waits_in_words(self) -> None:
        assert pins.wait_text(1) == "1 seconds"
        assert pins.wait_text(3599) == "60 minutes"
        assert pins.wait_text(86_400) == "24 hours"


class TestConsent:
    @pytest.mark.parametrize("band", ["13_15", "16_17", "adult"])
    def test_a_childs_own_for_a_camera(self, world: World, band: str) -> None:
        consents = world.set_up(age_band=band).consents
        assert consents.check("camera").state is ConsentState.MISSING
        given = consents.give("camera")
        assert given.given
        assert given.expires_in_s == 900
        assert not consents.check("scan").given
        world.clock.run(899)
        assert consents.check("camera").given
        world.clock.run(1)
        assert consents.check("camera").state is ConsentState.EXPIRED

    @pytest.mark.parametrize("purpose", ["camera", "purchase", "registration", "scan", "age_check"])
    def test_a_young_childs_needs_a_guardians_too(self, world: World, purpose: str) -> None:
        consents = world.set_up(age_band="10_12").consents
        assert consents.give(purpose).waiting_for == ("guardian",)
        with pytest.raises(PinError):
            consents.give(purpose, by="guardian", pin="000111")
        assert consents.give(purpose, by="guardian", pin=PIN).given

    def test_a_guardians_alone_is_not_enough(self, world: World) -> None:
        consents = world.set_up(age_band="10_12").consents
        answer = consents.give("camera", by="guardian", pin=PIN)
        assert (answer.state, answer.waiting_for) == (ConsentState.MISSING, ("child",))

    def test_anybody_withdraws(self, world: World) -> None:
        consents = world.set_up(age_band="13_15").consents
        consents.give("camera")
        assert consents.withdraw("camera").state is ConsentState.WITHDRAWN
        assert consents.give("camera").given

    def test_what_is_closed_nobody_opens(self, world: World) -> None:
        consents = world.set_up(age_band="13_15", consent__camera="never").consents
        consents.give("camera", by="guardian", pin=PIN)
        assert consents.give("camera").state is ConsentState.CLOSED

    @pytest.mark.parametrize(
        "arguments", [{"purpose": "tea"}, {"purpose": "camera", "ttl_s": 0}, {"purpose": "camera", "ttl_s": 1e9},
                      {"purpose": "camera", "ttl_s": float("nan")}, {"purpose": "camera", "by": "friend"},
                      {"purpose": "camera", "by": "never"}],
    )  # fmt: skip
    def test_wrong_words_are_refused(self, world: World, arguments: dict[str, Any]) -> None:
        with pytest.raises(UsageError):
            world.set_up(age_band="13_15").consents.give(**arguments)


class TestTime:
    def test_minutes_are_counted_before_they_are_used(self, world: World) -> None:
        store = world.set_up(allowance__games=2)
        assert store.allowance.take("games").granted_s == 60
        answer = store.allowance.take("games", 90)
        assert (answer.granted_s, answer.left_s) == (60, 0)
        spent = store.allowance.take("games")
        assert (spent.state, spent.granted_s, spent.open) == (TimeState.SPENT, 0, False)
        world.clock.run(DAY_S)
        assert store.allowance.check("games").left_s == 120

    def test_no_name_no_minutes(self, world: World) -> None:
        store = world.set_up(allowance__games=2)
        assert store.allowance.take("video").state is TimeState.SPENT

    def test_names_that_are_not_limited(self, world: World) -> None:
        store = world.set_up(**{"allowance.*": "none", "allowance.games": 1})
        assert store.allowance.take("video").left_s > 80_000
        store.allowance.take("games")
        assert not store.allowance.take("games").open

    def test_windows_and_bedtime(self, world: World) -> None:
        store = world.set_up(**{"allowance.*": 600, "windows.games.sun": ["12:00-14:00"], "bedtime.sun": "20:00-07:00"})
        assert world.clock.wall_s() % DAY_S == 10 * HOUR_S + 1  # Sunday, 10:00:01
        assert store.allowance.take("games").state is TimeState.OUTSIDE_WINDOW
        assert store.allowance.check("video").left_s == 10 * HOUR_S - 1
        world.clock.run(2 * HOUR_S)
        assert store.allowance.check("games").left_s == 2 * HOUR_S - 1
        world.clock.run(8 * HOUR_S)
        assert store.allowance.check("video").state is TimeState.OUTSIDE_WINDOW
        world.clock.run(11 * HOUR_S)
        assert store.allowance.check("video").open

    @pytest.mark.parametrize("purpose", ["help", "health", "emergency"])
    @pytest.mark.parametrize("state", ["NEW", "OK", "DAMAGED"])
    def test_help_is_never_limited(self, world: World, purpose: str, state: str) -> None:
        store = world.open()
        if state != "NEW":
            store = world.set_up(**{"allowance.*": 0, "bedtime": "00:00-24:00"})
        if state == "DAMAGED":
            store.close()
            world.path.write_bytes(b"no database")
            store = world.open()
        assert store.state == state
        assert store.allowance.take(purpose, 600).granted_s == 600
        assert store.allowance.check(purpose).open

    @pytest.mark.parametrize("seconds", [0, -1, 901, float("nan"), float("inf")])
    def test_no_long_pieces(self, world: World, seconds: float) -> None:
        with pytest.raises(UsageError):
            world.open().allowance.take("games", seconds)

    @pytest.mark.parametrize("purpose", ["", "Games", "a b", "x" * 101, "*"])
    def test_no_odd_names(self, world: World, purpose: str) -> None:
        with pytest.raises(UsageError):
            world.open().allowance.take(purpose)


class TestHolds:
    def test_a_handle_is_handed_back(self, world: World) -> None:
        holds = world.set_up(age_band="10_12").holds
        hold = holds.keep(decision(), handle="message-17")
        assert (hold.state, hold.handle, hold.size_bytes) == (HoldState.HELD, "message-17", 0)
        assert holds.all() == (hold,)
        assert holds.counts() == {"NUDITY_EXPLICIT": 1}

    def test_bytes_come_back_as_they_were_and_only_when_released(self, world: World) -> None:
        store = world.set_up(age_band="10_12")
        data = bytes(range(256)) * 700
        hold = store.holds.keep(decision(), data=data)
        with pytest.raises(UsageError, match="RELEASED"):
            store.holds.restore(hold.id)
        with pytest.raises(UsageError, match="nothing is thrown away"):
            store.holds.finish(hold.id)
        with pytest.raises(PinError):
            store.holds.approve("NUDITY_EXPLICIT", pin="000111")
        assert [released.id for released in store.holds.approve("NUDITY_EXPLICIT", pin=PIN)] == [hold.id]
        assert world.open().holds.restore(hold.id) == data
        assert store.holds.restore(hold.id) == data
        store.holds.finish(hold.id)
        assert store.holds.all() == ()

    @pytest.mark.parametrize(
        "kept",
        [
            decision("KNOWN_MATCH"),
            decision(event=Event.CAPTURE),
            decision(event=Event.SEND),
            decision(action=Action.BLOCK),
        ],
    )
    def test_what_a_guardian_cannot_release(self, world: World, kept: Decision) -> None:
        holds = world.set_up(age_band="10_12").holds
        hold = holds.keep(kept, handle="x")
        assert holds.approve(hold.category, pin=PIN) == ()
        assert holds.get(hold.id).state is HoldState.HELD

    def test_nothing_is_given_up_for_want_of_room(self, world: World) -> None:
        world.hold_limits = HoldLimits(max_holds=2, max_item_bytes=10, max_total_bytes=15)
        holds = world.set_up(age_band="10_12").holds
        first = holds.keep(decision(), data=b"0123456789")
        with pytest.raises(StoreError, match="11 bytes") as full:
            holds.keep(decision(), data=b"01234567890")
        assert full.value.state == "FULL"
        with pytest.raises(StoreError, match="together"):
            holds.keep(decision(), data=b"012345")
        holds.keep(decision(), handle="a")
        with pytest.raises(StoreError, match="2 holds"):
            holds.keep(decision(), handle="b")
        assert first in holds.all()

    def test_expire_after_running_days(self, world: World) -> None:
        store = world.set_up(age_band="10_12")
        data = store.holds.keep(decision(), data=b"bytes")
        handle = store.holds.keep(decision(), handle="handle")
        world.clock.set_wall(world.clock.wall_s() + 400 * DAY_S)
        assert len(store.holds.all()) == 2
        world.clock.run(14 * DAY_S)
        assert [hold.id for hold in store.holds.all()] == [handle.id]
        store.propose({"country": "GB"})
        with store.work() as work:
            store.holds._current(work)
        with store.work() as work:
            assert work.sections.get_held(data.id) is None

    def test_allow_is_not_kept_back(self, world: World) -> None:
        holds = world.set_up().holds
        with pytest.raises(UsageError, match="expected HOLD"):
            holds.keep(decision(action=Action.BLUR), handle="x")
        with pytest.raises(UsageError, match="neither"):
            holds.keep(decision())
        with pytest.raises(UsageError, match="short id"):
            holds.keep(decision(), handle="x" * 257)

    def test_damaged_bytes_are_said_to_be_lost(self, world: World) -> None:
        store = world.set_up(age_band="10_12")
        hold = store.holds.keep(decision(), data=b"bytes")
        store.holds.approve("NUDITY_EXPLICIT", pin=PIN)
        with store.work() as work:
            work.sections._database.execute("UPDATE held SET sealed = zeroblob(60)")
        with pytest.raises(StoreError) as lost:
            store.holds.restore(hold.id)
        assert lost.value.state == "LOST"
        assert store.holds.get(hold.id).state is HoldState.LOST


class TestCounters:
    def test_are_off_until_turned_on(self, world: World) -> None:
        store = world.set_up(age_band="adult")
        store.counters.add("action.block")
        assert store.counters.read() == {}
        with pytest.raises(PinError):
            store.propose({"counters": True})

    def test_count_by_week_and_forget(self, world: World) -> None:
        store = world.set_up(counters=True)
        for _ in range(3):
            store.counters.add("action.block")
        store.counters.add("help.opened")
        assert store.counters.read() == {"2026-W47": {"action.block": 3, "help.opened": 1}}
        world.clock.run(7 * DAY_S)
        store.counters.add("action.block")
        assert list(store.counters.read()) == ["2026-W47", "2026-W48"]
        world.clock.run(92 * DAY_S)
        assert list(store.counters.read()) == []
        store.counters.add("action.block")
        store.counters.delete()
        assert store.counters.read() == {}

    def test_only_what_is_listed(self, world: World) -> None:
        with pytest.raises(UsageError, match="counter"):
            world.open().counters.add("contact.alice")


class TestTransfer:
    def test_settings_travel_and_meet_the_same_two_keys(self, world: World) -> None:
        store = world.set_up(age_band="13_15", allowance__games=60, windows__games="15:00-19:00", country="GB")
        content, code = store.export_settings()
        assert PIN.encode() not in content
        assert b"digest" not in content
        other = World(world.folder / "other")
        target = other.set_up(age_band="10_12")
        with pytest.raises(PinError):
            target.import_settings(content, code)
        change = target.import_settings(content, code, pin=PIN)
        assert set(change.applied) == {"country", "windows.games"}  # no minutes yet, so no window opens anything
        other.clock.run(DAY_S + 1)
        assert target.settings == store.settings
        assert target.import_settings(content, code).relation is Relation.SAME

    def test_a_changed_file_or_another_code_is_refused(self, world: World) -> None:
        store = world.set_up(age_band="13_15")
        content, code = store.export_settings()
        document = json.loads(content)
        document["settings"]["age_band"] = "adult"
        for wrong, with_code in [
            (json.dumps(document).encode(), code),
            (content, pins.new_code()),
            (content, ""),
            (b"{}", code),
            (b"\xff", code),
            (b" " * 300_000, code),
        ]:
            with pytest.raises(UsageError, match="import"):
                store.import_settings(wrong, with_code, pin=PIN)


def test_two_stores_on_one_file_agree(world: World) -> None:
    one, other = world.set_up(allowance__games=60), world.open()
    one.propose({"allowance.games": 10})
    assert other.settings.allowance == {"games": 10}
    other.propose({"allowance.games": 5})
    assert one.settings.allowance == {"games": 5}


def test_closing_twice_and_going_on(world: World) -> None:
    store = world.set_up(age_band="13_15")
    store.close()
    store.close()
    with store as again:
        assert again.settings.age_band == "13_15"


def test_nothing_is_made_by_looking(world: World) -> None:
    with world.open() as store:
        store.settings, store.pending(), store.health(), store.consents.check("camera"), store.holds.all()
        store.allowance.take("games")
        store.counters.read()
    assert not world.folder.exists()


def test_another_users_eyes_are_kept_out(world: World) -> None:
    world.set_up()
    assert world.path.stat().st_mode & 0o077 == 0
    assert world.path.parent.stat().st_mode & 0o077 == 0
    assert isinstance(Store.__doc__, str)
