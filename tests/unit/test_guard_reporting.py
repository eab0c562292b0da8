"""A guard with reporting: only a list match, only where it is on; the decision neither waits for it nor changes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from list_world import ENTRY_ID, Calm, encoded, install_list, picture
from reporting_world import Device
from safelight import Action, Event, Guard, Profile, Rules
from safelight.errors import ReportError
from safelight.lists import ListStore
from safelight.reporting import Outbox
from safelight.reporting.reporter import RECORD_NOT_KEPT, policy_id
from safelight.testing import TestMode, known_match, nudity
from store_world import World

ON_LIST = picture(1)


@pytest.fixture(scope="module")
def lists(tmp_path_factory: pytest.TempPathFactory) -> ListStore:
    return install_list(tmp_path_factory.mktemp("device"), ON_LIST)


@pytest.fixture
def device(quick_folder: Path) -> Device:
    return Device(quick_folder)


def _guard(lists: ListStore, outbox: Outbox | None, band: str = "adult", **more: Any) -> Guard:
    profile = None if "store" in more else Profile(band, country="GB")
    return Guard(profile, lists=[lists], detectors=[Calm()], reporting=outbox, **more)


def test_a_match_makes_a_record_that_is_on_the_disk(lists: ListStore, device: Device) -> None:
    with device.open() as outbox, _guard(lists, outbox) as guard:
        decision = guard.check_image(encoded(ON_LIST), event=Event.RECEIVE)
        record = decision.record
        assert record is not None
        assert (record.list_id, record.entry_id, record.made_by, record.action) == (
            "alpha",
            ENTRY_ID,
            "list_match",
            "HOLD",
        )
        assert record.hash is None
        assert record.policy == policy_id(Rules.default()) != "custom"
        assert json.loads(json.dumps(decision.to_dict()))["record"]["entry_id"] == ENTRY_ID
        assert outbox.receipt(record.id).state == "queued"
        # The same picture again is the same record; another picture makes none.
        assert guard.check_image(ON_LIST).record == record
        assert guard.check_image(picture(2)).record is None
        device.collector.collect(outbox)
    assert list(device.collector.records.values()) == [record]


def test_without_collector_or_outbox_there_is_no_record(lists: ListStore, device: Device) -> None:
    with device.open(connected=False) as outbox, _guard(lists, outbox) as guard:
        decision = guard.check_image(ON_LIST)
        assert decision.action is Action.HOLD
        assert decision.record is None
        assert decision.to_dict()["record"] is None
        assert RECORD_NOT_KEPT not in decision.reasons
    assert not device.path.exists()
    with _guard(lists, None) as guard:
        assert guard.check_image(ON_LIST).record is None


def test_a_score_or_a_trigger_kit_makes_none(device: Device, lists: ListStore) -> None:
    with device.open() as outbox:
        for finding in (nudity(1.0), known_match()):
            with _guard(lists, outbox, "10_12", test_mode=TestMode(finding)) as guard:
                assert guard.check_image(picture(3)).action >= Action.HOLD
                assert guard.check_image(ON_LIST).record is None
        assert outbox.status().counts == {}


@pytest.mark.parametrize(("band", "made"), [("under_10", False), ("13_15", False), ("unknown", False), ("adult", True)])
def test_what_a_child_has_just_taken_makes_none(lists: ListStore, device: Device, band: str, made: bool) -> None:
    with device.open() as outbox, _guard(lists, outbox, band) as guard:
        decision = guard.check_image(ON_LIST, event=Event.CAPTURE)
        assert decision.action is Action.HOLD
        assert (decision.record is not None) is made


def test_the_family_decides_and_no_is_at_once(lists: ListStore, device: Device, world: World) -> None:
    with device.open() as outbox:
        with world.open() as store, _guard(lists, outbox, store=store) as guard:
            assert guard.check_image(ON_LIST).record is None  # nobody has said yes
        with world.set_up(reporting=True) as store, _guard(lists, outbox, store=store) as guard:
            assert guard.check_image(ON_LIST).record is not None
            receipt = outbox.report("not_sure")
            change = store.propose({"reporting": False})  # anybody may, without a PIN
            assert change.applied == {"reporting": False}
            assert change.pending is None
            assert guard.check_image(picture(2)).record is None  # whatever is looked at next
            assert outbox.status().counts["purged"] == 1
            assert outbox.status().waiting == 1
            assert outbox.receipt(receipt.id).state == "queued"
            assert guard.check_image(ON_LIST).record is None


@pytest.mark.parametrize("state", ["FULL", "READ_ONLY", "DAMAGED", "KEY_UNAVAILABLE"])
def test_whatever_the_outbox_says_the_decision_stands(
    lists: ListStore, device: Device, monkeypatch: pytest.MonkeyPatch, state: str
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise ReportError("outbox: broken.", state=state)

    with device.open() as outbox, _guard(lists, outbox) as guard:
        before = guard.check_image(ON_LIST)
        monkeypatch.setattr(outbox, "_keep", broken)
        decision = guard.check_image(ON_LIST)
        assert decision.action is before.action
        assert decision.record is None
        assert RECORD_NOT_KEPT in decision.reasons
        monkeypatch.undo()
        assert guard.check_image(ON_LIST).record == before.record
        assert outbox.status().counts == {"queued": 1, f"not_kept.{state}": 1}


@pytest.mark.parametrize("band", ["under_10", "10_12", "13_15", "16_17", "adult", "unknown"])
@pytest.mark.parametrize("language", ["en", "de", "es", "fr", "it", "nl", "pl", "pt", "tr", "ar", "hi", "ja"])
def test_no_notice_says_that_nobody_was_told_when_a_record_was_made(band: str, language: str) -> None:
    """Whatever the trigger, the sentence is the known match's own: it says only that no person looked."""
    from safelight.decision import AgeBand
    from safelight.notices import load_builtin, select_notice

    words = load_builtin((language,))
    for trigger in ("known_match", "outrage_sharing", "generic", "conversation_danger", "adult_chat_likely_child"):
        for event in (Event.UPLOAD, Event.SEND, Event.RECEIVE, Event.MESSAGE):
            options: dict[str, Any] = {
                "catalogue": words.catalogue,
                "directory": words.directory,
                "action": Action.HOLD,
                "band": AgeBand(band),
                "event": event,
                "languages": (language,),
            }
            known = select_notice(trigger="known_match", **options)
            recorded = select_notice(trigger=trigger, recorded=True, **options)
            plain = select_notice(trigger=trigger, **options)
            assert recorded.why == known.why
            assert (recorded.title, recorded.body) == (plain.title, plain.body)


def test_an_adult_who_is_outraged_reads_no_false_promise(lists: ListStore, device: Device) -> None:
    with device.open() as outbox, _guard(lists, outbox) as guard:
        notice = guard.check_image(ON_LIST, event="send", context="outrage").notice
        assert notice is not None
        assert notice.id.startswith("outrage_sharing")
        assert "nobody was told" not in notice.why
        assert "no person has looked" in notice.why
    with _guard(lists, None) as guard:
        notice = guard.check_image(ON_LIST, event="send", context="outrage").notice
        assert notice is not None
        assert "nobody was told" in notice.why


def test_a_guard_with_reporting_is_used_from_threads(lists: ListStore, device: Device) -> None:
    from concurrent.futures import ThreadPoolExecutor

    pictures = [ON_LIST, np.ascontiguousarray(ON_LIST[::-1]), picture(4)] * 4
    with device.open() as outbox, _guard(lists, outbox) as guard, ThreadPoolExecutor(4) as pool:
        decisions = list(pool.map(guard.check_image, pictures))
        assert len({d.record.id for d in decisions if d.record is not None}) == outbox.status().waiting
