"""The outbox: nothing by itself, one id a record, kept until an ack names it, counted when it goes otherwise."""

from __future__ import annotations

import os
import sqlite3
from datetime import datetime, timedelta, timezone
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from nacl.public import PrivateKey
from reporting_world import Device, FakeCollector, match
from safelight.decision import Action, Finding, FindingKind, Label, State
from safelight.errors import DataError, ReportError, UsageError
from safelight.reporting import (
    FIELDS,
    PERSON_CATEGORIES,
    Ack,
    Category,
    Collector,
    HashRecord,
    Outbox,
    OutboxLimits,
    OutboxState,
    PictureHash,
    hash_picture,
)
from safelight.reporting.record import match_record, nearest_match, person_record, require_declared, undeclared
from safelight.reporting.wire import PLAIN_BYTES, SEALED_BYTES, open_sealed, pad_record, read_key, seal_record

HASH = PictureHash("pdq", "0f" * 32, "full")


@pytest.fixture
def device(quick_folder: Path) -> Device:
    return Device(quick_folder)


def _enqueue(outbox: Outbox, entry_id: int = 7) -> HashRecord:
    record = outbox.enqueue([match(entry_id)], action=Action.HOLD, policy="safelight-default")
    assert record is not None
    return record


# -- the record ------------------------------------------------------------------------------------------------------


def test_every_field_is_declared_and_nothing_else_is() -> None:
    assert set(HashRecord.__struct_fields__) == set(FIELDS)
    require_declared(HashRecord, FIELDS)
    assert undeclared([*FIELDS, "email"], FIELDS) == {"email"}
    wider = msgspec.defstruct("wider", [("email", str)], bases=(HashRecord,), kw_only=True, frozen=True)
    with pytest.raises(DataError, match="email"):
        require_declared(wider, FIELDS)
    with pytest.raises(DataError, match="hash"):
        require_declared(HashRecord, {name: one for name, one in FIELDS.items() if name != "hash"})


def test_the_table_in_the_documentation_is_the_registry(root: Path) -> None:
    import runpy

    assert runpy.run_path(str(root / "docs/make_reporting.py"))["main"](["--check"]) == 0


def test_only_a_match_that_names_an_entry_makes_a_record(device: Device) -> None:
    others = [
        Finding(FindingKind.NUDITY, State.OK, Label.EXPLICIT, 1.0, "open_nsfw_v1"),
        Finding(FindingKind.GROOMING, State.OK, Label.MEETING, 1.0, "grooming_v3"),
        Finding(FindingKind.KNOWN, State.OK, Label.MATCH, 1.0, "trigger-kit"),  # no list has such an entry
        Finding(FindingKind.KNOWN, State.OK, Label.NO_MATCH, 0.0, "alpha"),
        Finding(FindingKind.KNOWN, State.UNVERIFIED, model="lists"),
        Finding(FindingKind.QUERY, State.OK, Label.MATCH, 1.0, "words", entry_id=3, distance=0),
    ]
    with device.open() as outbox:
        assert outbox.enqueue(others, action=Action.BLOCK) is None
        assert outbox.status().counts == {}
        record = outbox.enqueue([*others, match(9, distance=20), match(4, distance=2)], action=Action.HOLD)
    assert record is not None
    assert (record.entry_id, record.distance, record.hash) == (4, 2, None)


def test_a_record_of_the_wrong_shape_is_refused() -> None:
    today = datetime(2026, 11, 21, tzinfo=timezone.utc).date()
    arguments = {"record_id": "0" * 32, "pseudonym": "1" * 32, "day": today}
    with pytest.raises(UsageError, match="list match"):
        match_record(
            Finding(FindingKind.NUDITY, State.OK, Label.EXPLICIT, 1.0), action=Action.HOLD, policy="p", **arguments
        )
    with pytest.raises(UsageError, match="category"):
        person_record("known_material", **arguments)
    with pytest.raises(UsageError, match="policy"):
        match_record(match(), action=Action.HOLD, policy="Family of Jones", **arguments)
    good = person_record("image_of_me", picture=HASH, **arguments)
    for wrong in (
        {"hash": "zz" * 32},
        {"hash_profile": "mine"},
        {"list_id": "alpha"},
        {"day": "2026-13-01"},
        {"day": "today"},
        {"id": "A" * 32},
        {"made_by": "list_match"},
        {"category": "known_material"},
        {"hash": None},
    ):
        bad = msgspec.structs.replace(good, **wrong)
        key = PrivateKey.generate()
        with pytest.raises(ReportError) as caught:
            open_sealed(bytes(key), seal_record(bad, bytes(key.public_key)))
        assert caught.value.state == "MALFORMED"


def test_a_hash_does_not_show_itself() -> None:
    record = person_record(
        "image_of_me",
        record_id="0" * 32,
        pseudonym="1" * 32,
        day=datetime(2026, 11, 21, tzinfo=timezone.utc).date(),
        picture=HASH,
    )
    assert HASH.hash not in f"{record!r} {record} {HASH!r} {HASH}"
    assert record.to_dict()["hash"] == HASH.hash


@given(
    st.one_of(
        st.builds(
            lambda entry, distance, list_id, action: ("m", entry, distance, list_id, action),
            st.integers(0, 2**63 - 1),
            st.integers(0, 256),
            st.from_regex(r"[a-z0-9][a-z0-9_-]{0,63}", fullmatch=True),
            st.sampled_from(Action),
        ),
        st.tuples(st.just("p"), st.sampled_from(PERSON_CATEGORIES), st.sampled_from([None, HASH])),
    )
)
def test_every_record_has_one_size_and_comes_back(what: tuple[object, ...]) -> None:
    today = datetime(2026, 11, 21, tzinfo=timezone.utc).date()
    arguments = {"record_id": "ab" * 16, "pseudonym": "cd" * 16, "day": today}
    if what[0] == "m":
        _, entry, distance, list_id, action = what
        finding = match(entry, list_id=list_id, distance=distance)  # type: ignore[arg-type]
        record = match_record(finding, action=action, policy="x" * 64, **arguments)  # type: ignore[arg-type]
    else:
        record = person_record(what[1], picture=what[2], **arguments)  # type: ignore[arg-type]
    key = PrivateKey.generate()
    sealed = seal_record(record, bytes(key.public_key))
    assert len(pad_record(record)) == PLAIN_BYTES
    assert len(sealed) == SEALED_BYTES
    assert open_sealed(bytes(key), sealed) == record


def test_sealed_bytes_that_were_changed_or_carry_more_are_refused() -> None:
    key = PrivateKey.generate()
    record = person_record(
        "not_sure",
        record_id="ab" * 16,
        pseudonym="cd" * 16,
        day=datetime(2026, 11, 21, tzinfo=timezone.utc).date(),
    )
    from nacl.public import SealedBox

    plain = pad_record(record)
    end = 2 + int.from_bytes(plain[:2], "big")
    spaced = b" " + plain[2:end]
    more = [
        plain[:-1] + b"\1",  # something behind the padding
        (len(spaced).to_bytes(2, "big") + spaced).ljust(PLAIN_BYTES, b"\0"),  # a channel in the JSON's white space
        plain[:-1],
        b"\xff" * PLAIN_BYTES,
    ]
    for bad in more:
        with pytest.raises(ReportError):
            open_sealed(bytes(key), bytes(SealedBox(key.public_key).encrypt(bad)))
    sealed = bytearray(seal_record(record, bytes(key.public_key)))
    sealed[500] ^= 1
    with pytest.raises(ReportError):
        open_sealed(bytes(key), bytes(sealed))
    with pytest.raises(ReportError):
        open_sealed(bytes(PrivateKey.generate()), seal_record(record, bytes(key.public_key)))


def test_a_picture_that_a_person_names_is_hashed(tmp_path: Path, portrait: Path) -> None:
    found = hash_picture(portrait)
    assert (found.kind, found.profile, len(found.hash)) == ("pdq", "full", 64)
    note = tmp_path / "note.txt"
    note.write_text("hello")
    assert hash_picture(note).kind == "sha256"


def test_keys_are_read_in_both_ways() -> None:
    key = bytes(PrivateKey.generate().public_key)
    import base64

    assert read_key(key.hex()) == read_key(f" {base64.b64encode(key).decode()}\n") == key
    for wrong in ("", "00" * 32, "zz", "AAAA"):
        with pytest.raises(UsageError, match="sealing key"):
            read_key(wrong)


# -- off and on ------------------------------------------------------------------------------------------------------


def test_off_until_somebody_connects_a_collector(device: Device) -> None:
    with device.open(connected=False) as outbox:
        assert outbox.state is OutboxState.OFF
        assert outbox.enqueue([match()], action=Action.HOLD) is None
        assert outbox.next_batch() is None
        assert outbox.next_registration() is None
        assert outbox.purge() == 0
        with pytest.raises(ReportError) as caught:
            outbox.report("not_sure")
        assert caught.value.state == "OFF"
    assert not device.path.exists()


def test_opting_out_erases_what_waits_and_says_how_much(device: Device) -> None:
    with device.open() as outbox:
        record = _enqueue(outbox)
        receipt = outbox.report("pressure_or_threat")
        assert device.collector.register(outbox) is not None
        first = outbox.next_batch()
        assert first is not None
        assert outbox.purge("list_match") == 1
        assert outbox.receipt(record.id).state == "purged"
        assert outbox.receipt(receipt.id).state == "sent"
        assert outbox.disconnect() == 1
        assert outbox.state is OutboxState.OFF
        assert outbox.status().waiting == 0
        assert outbox.status().counts["purged"] == 2
        # A late answer changes nothing any more.
        outbox.acknowledge(first, [Ack(record.id, "stored")])
        assert outbox.receipt(record.id).state == "purged"
        # What comes later has another name.
        outbox.connect(device.collector.config)
        assert _enqueue(outbox).pseudonym != first.pseudonym


def test_what_was_erased_is_in_no_file(device: Device) -> None:
    with device.open() as outbox:
        _enqueue(outbox)
        assert device.collector.register(outbox) is not None
        batch = outbox.next_batch()
        assert batch is not None
        sealed = batch.records[0].sealed
        assert any(sealed[:64] in path.read_bytes() for path in device.path.parent.iterdir())
        outbox.purge()
        assert not any(sealed[:64] in path.read_bytes() for path in device.path.parent.iterdir())


def test_another_collector_cannot_be_slipped_in_under_waiting_records(device: Device) -> None:
    with device.open() as outbox:
        _enqueue(outbox)
        with pytest.raises(UsageError, match="another one"):
            outbox.connect(FakeCollector().config)
        outbox.connect(device.collector.config)  # the same one again is no change
        outbox.purge()
        outbox.connect(FakeCollector().config)


@pytest.mark.parametrize(
    "wrong",
    [
        {"url": "ftp://collector.example"},
        {"sealing_key": bytes(32)},
        {"sealing_key": b"short"},
        {"certificate_sha256": "nope"},
        {"name": ""},
    ],
)
def test_a_collector_is_checked(device: Device, wrong: dict[str, object]) -> None:
    config = msgspec.structs.replace(device.collector.config, **wrong)
    with device.open(connected=False) as outbox, pytest.raises(UsageError):
        outbox.connect(config)


def test_a_collector_does_not_show_its_token(device: Device) -> None:
    assert "fleet-token" not in f"{device.collector.config!r} {device.collector.config}"
    with device.open() as outbox:
        _enqueue(outbox)
    assert not any(b"fleet-token" in path.read_bytes() for path in device.path.parent.iterdir())


# -- in and out ------------------------------------------------------------------------------------------------------


def test_the_same_thing_twice_is_one_record(device: Device) -> None:
    with device.open() as outbox:
        first, again, other = _enqueue(outbox), _enqueue(outbox), _enqueue(outbox, 8)
        device.clock.run(3 * 86_400)
        later = _enqueue(outbox)
        assert first == again == later
        assert other.id != first.id
        one = outbox.report("not_sure")
        assert outbox.report("not_sure").id == one.id
        device.clock.run(86_400)
        assert outbox.report("not_sure").id != one.id  # on another day it happened again
        assert len(device.collector.collect(outbox)) == 1
        assert _enqueue(outbox).id == first.id
        assert outbox.status().waiting == 0
    assert len(device.collector.stored) == 4


def test_what_an_ack_does_not_name_is_sent_again(device: Device) -> None:
    with device.open() as outbox:
        ids = {_enqueue(outbox, n).id for n in range(5)}
        device.collector.register(outbox)
        batch = outbox.next_batch()
        assert batch is not None
        assert {one.id for one in batch.records} == ids
        acks = device.collector.take_records(batch.body)
        foreign = Ack("0" * 32, "stored")
        told = outbox.acknowledge(batch, [acks[0], Ack(acks[1].id, "refused", "no"), foreign])
        assert told == {"acked": 1, "refused": 1, "unanswered": 3}
        again = outbox.next_batch()
        assert again is not None
        assert {one.id for one in again.records} == ids - {acks[0].id, acks[1].id}
        assert [one.id for one in again.records] == sorted(one.id for one in again.records)
        assert {ack.state for ack in device.collector.take_records(again.body)} == {"duplicate"}
        outbox.acknowledge(again, [Ack(one.id, "duplicate") for one in again.records])
        outbox.acknowledge(again, [Ack(one.id, "duplicate") for one in again.records])  # an answer that came twice
        assert outbox.status().counts == {"acked": 4, "queued": 5, "refused": 1}
        assert outbox.next_batch() is None
        states = sorted(entry.state for entry in outbox.ledger())
        assert states == ["acked"] * 4 + ["refused"]


def test_a_record_that_was_not_handed_out_cannot_be_acknowledged(device: Device) -> None:
    with device.open() as outbox:
        _enqueue(outbox)
        device.collector.register(outbox)
        batch = outbox.next_batch()
        assert batch is not None
        outbox.purge()
        _enqueue(outbox)  # another epoch, another id
        outbox.acknowledge(batch, [Ack(one.id, "stored") for one in batch.records])
        assert outbox.status().waiting == 1


def test_records_of_two_epochs_never_share_a_batch(device: Device) -> None:
    with device.open() as outbox:
        first = _enqueue(outbox)
        outbox.rotate()
        second = _enqueue(outbox, 8)
        third = _enqueue(outbox)
        assert first.pseudonym != second.pseudonym == third.pseudonym
        assert third.id != first.id  # another epoch's id says nothing of this one's
        batches = device.collector.collect(outbox)
        assert [{one.id for one in batch.records} for batch in batches] == [{first.id}, {second.id, third.id}]
        assert device.collector.rotations == 0  # the fleet's token is at hand: nothing ties the epochs


def test_without_a_token_the_old_key_vouches_for_the_new_one(device: Device) -> None:
    with device.open() as outbox:
        _enqueue(outbox)
        device.collector.collect(outbox)
        outbox.connect(msgspec.structs.replace(device.collector.config, enrolment=None))
        outbox.rotate()
        _enqueue(outbox, 8)
        assert len(device.collector.collect(outbox)) == 1
        assert device.collector.rotations == 1
        assert len(device.collector.stored) == 2


def test_an_epoch_ends_after_its_time_or_when_the_collector_says(device: Device) -> None:
    with device.open() as outbox:
        first = _enqueue(outbox)
        device.clock.run(29 * 86_400)
        assert _enqueue(outbox, 8).pseudonym == first.pseudonym
        device.clock.run(86_401)
        second = _enqueue(outbox, 9)
        assert second.pseudonym != first.pseudonym
        now = datetime.fromtimestamp(device.clock.wall_s(), timezone.utc)
        outbox.registered(second.pseudonym, expires_at=now + timedelta(days=1))
        device.clock.run(86_401)
        assert _enqueue(outbox, 10).pseudonym != second.pseudonym
        with pytest.raises(UsageError, match="pseudonym"):
            outbox.registered("0" * 32)


def test_old_keys_are_forgotten_when_nothing_needs_them(device: Device) -> None:
    from safelight.reporting.outbox import Epoch

    with device.open() as outbox:
        for n in range(6):
            _enqueue(outbox, n)
            if n == 3:
                device.collector.collect(outbox)
            outbox.rotate()
        device.collector.collect(outbox)
        with outbox._database.transaction() as work:
            assert work is not None
            assert len(work.get("epochs", list[Epoch]) or []) <= 3


# -- times -----------------------------------------------------------------------------------------------------------


def test_sends_are_due_at_steps_and_not_when_something_happens(device: Device) -> None:
    with device.open() as outbox:
        assert not outbox.due()
        steps = set()
        for n in range(12):
            _enqueue(outbox, n)
            wait_s = outbox.status().next_send_in_s
            assert wait_s is not None
            assert 0 < wait_s <= 3600
            steps.add(round((device.clock.boot_s() + wait_s) % 3600, 3))
            device.clock.run(wait_s + 1)
            assert outbox.due()
            device.collector.collect(outbox)
            device.clock.run(5000 + 700 * n)
        assert len(steps) == 1  # always at the same step of the hour, which was drawn by lot


def test_no_clock_that_is_set_makes_a_send_due_or_holds_it_back(device: Device) -> None:
    with device.open() as outbox:
        _enqueue(outbox)
        device.clock.set_wall(device.clock.wall_s() + 400 * 86_400)
        assert not outbox.due()
        device.clock.set_wall(device.clock.wall_s() - 900 * 86_400)
        assert not outbox.due()
        device.clock.run(3600)
        assert outbox.due()
        assert outbox.next_registration() is not None
    device.clock.restart(off_s=1e6, uptime_s=5)
    with device.open() as outbox:
        assert outbox.status().waiting == 1  # the age counts running time only
        device.clock.run(3601)
        assert outbox.due()


def test_back_off_grows_with_full_jitter_survives_a_restart_and_obeys_the_collector(device: Device) -> None:
    waits: dict[int, list[float]] = {}
    with device.open() as outbox:
        _enqueue(outbox)
        for n in range(12):
            waits[n] = [outbox.postpone()]
            assert outbox.status().failures == n + 1
    for n, (wait_s,) in waits.items():
        assert 0 <= wait_s <= min(6 * 3600, 30 * 2**n)
    assert len({round(one[0], 6) for one in waits.values()}) == 12
    device.clock.restart()
    with device.open() as outbox:
        assert outbox.status().failures == 12
        assert outbox.postpone(retry_after_s=20_000) >= 20_000
        assert outbox.postpone(retry_after_s=1e9) <= 86_400
        assert outbox.postpone(retry_after_s=-5) >= 0
        assert not outbox.due()
        device.clock.run(86_401)
        assert outbox.due()
        device.collector.collect(outbox)
        assert outbox.status().failures == 0


# -- caps ------------------------------------------------------------------------------------------------------------


def test_the_oldest_list_matches_make_room_and_are_counted(device: Device) -> None:
    device.limits = OutboxLimits(max_bytes=5 * 1280)
    with device.open() as outbox:
        receipt = outbox.report("not_sure")
        for n in range(8):
            _enqueue(outbox, n)
            device.clock.run(1)
        status = outbox.status()
        assert status.waiting == 5
        assert status.counts == {"queued": 9, "dropped.capacity": 4}
        assert outbox.receipt(receipt.id).state == "queued"
        device.collector.collect(outbox)
        entries = {record.entry_id for record in device.collector.records.values()}
        assert entries == {None, 4, 5, 6, 7}
        assert sorted(entry.state for entry in outbox.ledger()) == ["acked"] * 5 + ["dropped"] * 4
        assert _enqueue(outbox, 0).id in {entry.id for entry in outbox.ledger() if entry.state == "queued"}


def test_what_waits_too_long_is_dropped_and_counted(device: Device) -> None:
    with device.open() as outbox:
        _enqueue(outbox)
        device.collector.register(outbox)
        device.clock.run(90 * 86_400 + 1)
        assert outbox.next_batch() is None
        assert outbox.status().counts == {"queued": 1, "dropped.age": 1}


def test_limits_are_checked() -> None:
    for wrong in ({"max_bytes": 10}, {"epoch_s": 0}, {"send_every_s": -1}, {"back_off_cap_s": 1}):
        with pytest.raises(UsageError, match="limits"):
            OutboxLimits(**wrong)  # type: ignore[arg-type]
    assert 3_000 < OutboxLimits().max_records < 4_000


# -- what everybody sees ---------------------------------------------------------------------------------------------


def test_the_ledger_says_what_left_and_not_what_was_in_it(device: Device) -> None:
    with device.open() as outbox:
        _enqueue(outbox)
        receipt = outbox.report("pressure_or_threat", picture=HASH)
        ledger = outbox.ledger()
        assert len(ledger) == 2
        assert not ledger.left
        device.collector.collect(outbox)
        ledger = outbox.ledger()
        assert len(ledger.left) == 2
        values = ledger.to_dict()
        text = msgspec.json.encode(values).decode()
        for word in ("pressure", "person", "known_material", HASH.hash, "alpha"):
            assert word not in text
        without_id = [{k: v for k, v in one.items() if k != "id"} for one in values["entries"]]
        assert without_id[0] == without_id[1]  # nobody can tell the child's own report from a list match
        assert without_id[0]["collector"] == "example"
        assert without_id[0]["fields"] == list(FIELDS)
        assert without_id[0]["last_day"] == "2026-11-21"
        assert outbox.receipt(receipt.id).state == "acked"
        with pytest.raises(UsageError, match="receipt"):
            outbox.receipt("zz")


def test_old_entries_leave_the_ledger(device: Device) -> None:
    with device.open() as outbox:
        _enqueue(outbox)
        device.collector.collect(outbox)
        device.clock.set_wall(device.clock.wall_s() + 4000 * 86_400)
        outbox.rotate()
        assert len(outbox.ledger()) == 1  # a clock that is set forward makes it forget nothing
        device.clock.run(366 * 86_400)
        _enqueue(outbox, 8)
        assert [entry.state for entry in outbox.ledger()] == ["queued"]


# -- damage ----------------------------------------------------------------------------------------------------------


def _changed(path: Path, statement: str) -> None:
    database = sqlite3.connect(path)
    database.execute(statement)
    database.commit()
    database.close()


@pytest.mark.parametrize(
    ("damage", "state"),
    [
        ("CREATE TRIGGER t AFTER DELETE ON record BEGIN DELETE FROM ledger; END", "DAMAGED"),
        ("DROP TABLE count", "DAMAGED"),
        ("UPDATE meta SET sealed = zeroblob(80)", "DAMAGED"),
        ("PRAGMA user_version = 99", "NEWER_VERSION"),
    ],
)
def test_what_somebody_changed_is_a_state(device: Device, damage: str, state: str) -> None:
    with device.open() as outbox:
        _enqueue(outbox)
    _changed(device.path, damage)
    with device.open(connected=False) as outbox:
        assert outbox.state.value == state
        with pytest.raises(ReportError) as caught:
            _enqueue(outbox, 8)
        assert caught.value.state == state
        assert str(device.folder) not in str(caught.value)
        assert outbox.status().counts == {f"not_kept.{state}": 1}
        assert outbox.replace() == 1
        assert outbox.state is OutboxState.OFF
        outbox.connect(device.collector.config)
        _enqueue(outbox)
        # What was lost meanwhile is not forgotten.
        assert outbox.status().counts == {f"not_kept.{state}": 1, "queued": 1}
    assert device.path.with_name("outbox.sqlite.aside-1").exists()


def test_garbage_and_a_lost_key_are_states(device: Device) -> None:
    with device.open() as outbox:
        _enqueue(outbox)
    content = device.path.read_bytes()
    device.path.write_bytes(b"garbage" * 1000)
    with device.open(connected=False) as outbox:
        assert outbox.state is OutboxState.DAMAGED
    device.path.write_bytes(content)
    (device.folder / "keys" / "outbox.key").rename(device.folder / "kept.key")
    with device.open(connected=False) as outbox:
        assert outbox.state is OutboxState.KEY_UNAVAILABLE
        with pytest.raises(ReportError):
            _enqueue(outbox)
    (device.folder / "kept.key").rename(device.folder / "keys" / "outbox.key")
    with device.open(connected=False) as outbox:
        assert outbox.state is OutboxState.OK
        assert outbox.status().waiting == 1


def test_only_this_user_can_read_it(device: Device) -> None:
    with device.open() as outbox:
        _enqueue(outbox)
        assert {path.stat().st_mode & 0o077 for path in device.path.parent.iterdir()} == {0}


def test_it_keeps_what_it_says_in_the_log_and_synchronises() -> None:
    """The two pragmas that the promise hangs on."""
    from safelight.reporting import _database

    seen = []

    class Spy:
        def execute(self, statement: str, *_: object) -> Spy:
            seen.append(statement)
            return self

        def fetchall(self) -> list[object]:
            raise sqlite3.OperationalError("disk I/O error")

        def close(self) -> None: ...

    import tempfile

    from safelight.keys import FileKeyProvider

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "o.sqlite"
        path.touch()
        database = _database.Database(path, keys=FileKeyProvider(folder), connect=lambda _: Spy())
        with pytest.raises(ReportError), database.transaction():
            pass
        outbox = Outbox(Path(folder) / "real.sqlite", keys=FileKeyProvider(folder))
        outbox.connect(FakeCollector().config)
        connection = outbox._database._connection
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        assert connection.execute("PRAGMA synchronous").fetchone() == (2,)
        outbox.close()


def test_a_fork_and_another_process_may_use_it(device: Device) -> None:
    if not hasattr(os, "fork"):
        pytest.skip("no fork here")
    with device.open() as outbox:
        _enqueue(outbox)
        child = os.fork()
        if child == 0:  # pragma: no cover
            try:
                _enqueue(outbox, 8)
                os._exit(0)
            finally:
                os._exit(1)
        assert os.waitpid(child, 0)[1] == 0
        assert outbox.status().waiting == 2


def test_threads_share_it(device: Device) -> None:
    from concurrent.futures import ThreadPoolExecutor

    with device.open() as outbox, ThreadPoolExecutor(4) as pool:
        records = list(pool.map(lambda n: _enqueue(outbox, n % 20), range(80)))
        assert len({record.id for record in records}) == 20
        assert outbox.status().counts["queued"] == 20


def test_the_nearest_match_is_the_same_whatever_the_order() -> None:
    one, other = match(5, list_id="b", distance=3), match(9, list_id="a", distance=3)
    assert nearest_match([one, other]) == nearest_match([other, one]) == other
    assert nearest_match([]) is None
    assert Category("not_sure") in PERSON_CATEGORIES
    assert Collector(url="https://x", sealing_key=bytes(32)).name == "collector"
