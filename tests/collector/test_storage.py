"""What stays and what goes: counts, retention, clocks, and the tables' way up and down."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from datetime import date, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from safelight_collector.counting import names_of, publishable
from safelight_collector.errors import ClockError, SetupError
from safelight_collector.settings import Settings
from safelight_collector.storage import Storage
from safelight_collector.tables import REVISION, daily_counts, keys, metadata, records
from sqlalchemy import inspect, select, text

DAY = date(2026, 11, 22)


def test_counts_say_what_was_stored_and_no_replay_is_counted(either):
    device = either.device()
    person = dict.fromkeys(("action", "policy", "list_id", "entry_id", "distance"))
    batch = [device.record() for _ in range(5)]
    batch.append(device.record(made_by="person", category="not_sure", **person))
    for _ in range(3):
        either.send(device, batch)
    assert either.storage.counts(DAY, DAY) == {
        "records.stored": 6,
        "records.made_by.list_match": 5,
        "records.made_by.person": 1,
        "records.category.known_material": 5,
        "records.category.not_sure": 1,
        "records.action.hold": 5,
        "records.action.none": 1,
    }
    assert either.storage.by_day("records.stored", DAY, DAY) == {DAY: 6}
    assert either.storage.counts(DAY + timedelta(days=1), DAY + timedelta(days=9)) == {}


def test_retention_erases_contents_and_keeps_what_makes_a_replay_a_duplicate(either):
    device = either.device()
    records_sent = [device.record() for _ in range(3)]
    either.send(device, records_sent)
    either.day += timedelta(days=31)
    late = device.record()
    either.send(device, [late])
    done = either.storage.erase(days=30, count_days=1000)
    assert (done.contents, done.ids, done.days) == (3, 0, 0)
    assert sorted(row.content is None for row in either.rows()) == [False, True, True, True]
    assert either.states(device, [*records_sent, late]) == ["duplicate"] * 4
    assert either.storage.overview()["retention_on"] == either.day


def test_ids_of_a_key_go_only_when_it_can_never_send_again(either):
    device = either.device()
    record = device.record()
    either.send(device, [record])
    for _ in range(6):
        either.day += timedelta(days=50)
        either.storage.erase(days=30, count_days=10_000)
        assert len(either.rows()) == 1
    either.day += timedelta(days=2)
    assert either.storage.erase(days=30, count_days=10_000).ids == 1
    assert either.rows() == []
    # The key stays known, so that it stays refused: no token brings it back.
    assert either.client.post("/v1/records", json=device.batch([record])).json()["error"] == "expired_pseudonym"
    either.storage.add_token(b"\0" * 32, max_uses=1, days=1)
    assert either.client.post("/v1/keys", json=device.enrolment(either.token)).status_code == 403


def test_counts_by_day_go_after_their_own_time(either):
    device = either.device()
    either.send(device, [device.record()])
    either.day += timedelta(days=60)
    assert either.storage.erase(days=365, count_days=59).days == 4
    assert len(either.rows()) == 1


def test_a_clock_that_jumped_forward_erases_nothing(either):
    device = either.device()
    either.send(device, [device.record()])
    either.day += timedelta(days=3650)
    with pytest.raises(ClockError, match="believe-clock"):
        either.storage.erase(days=30, count_days=30)
    assert [row.content is None for row in either.rows()] == [False]
    assert either.storage.erase(days=30, count_days=30, believe_clock=True).contents == 1


def test_a_clock_set_back_does_not_make_a_record_old(either):
    device = either.device()
    either.day = date(1970, 1, 1)
    assert either.states(device, [device.record()]) == ["stored"]
    assert [row.received_on for row in either.rows()] == [DAY]


def test_export_shows_whole_days_without_pseudonyms(either):
    device = either.device()
    either.send(device, [device.record()])
    (one,) = either.storage.export(DAY, DAY)
    assert one["received_on"] == "2026-11-22"
    assert one["entry_id"] == 7
    assert "pseudonym" not in one
    assert "id" not in one
    assert list(either.storage.export(DAY - timedelta(days=9), DAY - timedelta(days=1))) == []


# -- the tables ------------------------------------------------------------------------------------------------------


def shape(storage: Storage) -> dict[str, Any]:
    look = inspect(storage._engine)
    return {
        table: (
            {column["name"]: (str(column["type"]), column["nullable"]) for column in look.get_columns(table)},
            look.get_pk_constraint(table),
            sorted(str(one) for one in look.get_foreign_keys(table)),
            sorted((one["name"], tuple(one["column_names"]), one["unique"]) for one in look.get_indexes(table)),
            sorted((one["name"], tuple(one["column_names"])) for one in look.get_unique_constraints(table)),
        )
        for table in look.get_table_names()
        if table != "alembic_version"
    }


def test_migrations_go_up_and_down_and_end_at_the_tables(empty_url: str):
    storage = Storage(Settings(database_url=empty_url))
    assert storage.revision() is None
    assert storage.migrate() == (None, "0002")
    made = shape(storage)
    assert set(made) == set(metadata.tables)
    assert storage.migrate("0001", down=True) == ("0002", "0001")
    assert set(shape(storage)) == {"tokens", "keys", "sealing_keys", "records"}
    with pytest.raises(SetupError, match="0001, expected 0002"):
        storage.check_ready()
    assert storage.migrate("base", down=True) == ("0001", None)
    assert shape(storage) == {}
    with storage._write() as connection:
        metadata.create_all(connection)
    assert shape(storage) == made
    storage.close()


def test_the_revision_that_a_process_expects_is_the_newest():
    from alembic.config import Config
    from alembic.script import ScriptDirectory

    config = Config()
    config.set_main_option("script_location", "safelight_collector:migrations")
    config.set_main_option("path_separator", "os")
    assert ScriptDirectory.from_config(config).get_heads() == [REVISION]


def test_an_old_database_with_records_is_counted_and_loses_nothing(empty_url: str):
    storage = Storage(Settings(database_url=empty_url))
    storage.migrate("0001")
    contents = [{"made_by": "person", "category": "not_sure"}] * 3 + [
        {"made_by": "list_match", "category": "known_material", "action": "HOLD"},
        None,
    ]
    with storage._write() as connection:
        connection.execute(
            keys.insert().values(
                id=1, pseudonym=b"p" * 16, public_key=b"k" * 32, enrolled_on=DAY, expires_on=DAY, accepted_until=DAY
            )
        )
        connection.execute(
            records.insert(),
            [
                {"key_id": 1, "record_id": bytes([number]) * 16, "received_on": DAY, "content": content}
                for number, content in enumerate(contents)
            ],
        )
    storage.migrate()
    assert storage.counts(DAY, DAY) == {
        "records.stored": 5,
        "records.made_by.person": 3,
        "records.made_by.list_match": 1,
        "records.made_by.none": 1,
        "records.category.not_sure": 3,
        "records.category.known_material": 1,
        "records.category.none": 1,
        "records.action.hold": 1,
        "records.action.none": 4,
    }
    storage.check_ready()
    storage.migrate("0001", down=True)
    with storage._read() as connection:
        assert [row.content for row in connection.execute(select(records).order_by(records.c.record_id))] == contents
    storage.close()


def test_what_waits_for_the_disk_is_asked_for(either):
    with either.storage._read() as connection:
        if either.storage.dialect == "sqlite":
            assert connection.execute(text("PRAGMA synchronous")).scalar() == 2
            assert connection.execute(text("PRAGMA journal_mode")).scalar() == "wal"
            assert connection.execute(text("PRAGMA secure_delete")).scalar() == 1
        else:
            assert connection.execute(text("SHOW synchronous_commit")).scalar() == "on"


# -- what may be published -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("counts", "shown"),
    [
        ({}, {}),
        ({"records.stored": 9}, {}),
        ({"records.stored": 100, "records.category.a": 100}, {"records.stored": 100, "records.category.a": 100}),
        # One small cell would be told by subtraction: the next smallest is hidden with it.
        (
            {"records.stored": 153, "records.category.a": 3, "records.category.b": 50, "records.category.c": 100},
            {"records.stored": 153, "records.category.c": 100},
        ),
        # Two small cells that add up to less than the limit need a third.
        (
            {"records.stored": 105, "records.category.a": 2, "records.category.b": 3, "records.category.c": 100},
            {"records.stored": 105},
        ),
        # Two small cells that add up to enough hide each other.
        (
            {"records.stored": 112, "records.category.a": 6, "records.category.b": 6, "records.category.c": 100},
            {"records.stored": 112, "records.category.c": 100},
        ),
    ],
)
def test_small_cells_are_withheld_with_what_would_tell_them(counts: dict[str, int], shown: dict[str, int]):
    assert publishable(counts, min_cell=10)[0] == shown


@given(st.lists(st.tuples(*(st.sampled_from("abc") for _ in range(2))), max_size=60), st.integers(1, 12))
def test_nobody_can_work_out_a_withheld_cell_by_subtraction(records_of: list[tuple[str, str]], min_cell: int):
    counts = Counter(
        name for category, made_by in records_of for name in names_of({"category": category, "made_by": made_by})
    )
    shown, withheld = publishable(counts, min_cell=min_cell)
    assert set(shown) | set(withheld) == set(counts)
    assert all(count >= min_cell for count in shown.values())
    if "records.stored" not in shown:
        return
    for dimension in ("category", "made_by", "action"):
        hidden = [name for name in withheld if name.startswith(f"records.{dimension}.")]
        told = shown["records.stored"] - sum(n for name, n in shown.items() if name.startswith(f"records.{dimension}."))
        assert told == sum(counts[name] for name in hidden)
        assert not hidden or (told >= min_cell and len(hidden) >= 2)


def test_shards_of_several_processes_add_up(make_world: Callable[..., Any], sqlite_url: str):
    world = make_world(sqlite_url)
    device = world.device()
    for shard in (1, 2, 3):
        world.app.state.collector.storage._shard = shard
        world.send(device, [device.record()])
    with world.storage._read() as connection:
        assert len(connection.execute(select(daily_counts).where(daily_counts.c.name == "records.stored")).all()) == 3
    assert world.storage.counts(DAY, DAY)["records.stored"] == 3
