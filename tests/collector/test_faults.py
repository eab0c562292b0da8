"""A full disk, a read-only one, a database that is gone or damaged, a wrong setting: a named answer, never an ack."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from collector_world import Postgres
from safelight_collector.errors import SetupError, StorageError
from safelight_collector.settings import Settings, read_settings, sealing_key_text
from safelight_collector.storage import Storage
from sqlalchemy import event, text


def refused_for_now(answer: Any) -> bool:
    return (
        answer.status_code == 503
        and answer.json()["error"] == "storage"
        and int(answer.headers["retry-after"]) >= 1
        and "acks" not in answer.json()
    )


def test_a_full_disk_acknowledges_nothing_and_heals(collector):
    device = collector.device()
    engine = collector.app.state.collector.storage._engine
    full = [True]

    # SQLite itself then answers "database or disk is full", in the middle of the transaction.
    @event.listens_for(engine, "begin")
    def limit(connection: Any) -> None:
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar() if full[0] else 1 << 30
        connection.exec_driver_sql(f"PRAGMA max_page_count = {pages}")

    batches = [[device.record() for _ in range(50)] for _ in range(4)]
    answers = [collector.client.post("/v1/records", json=device.batch(batch)) for batch in batches]
    assert refused_for_now(answers[-1])
    kept = sum(len(answer.json()["acks"]) for answer in answers if answer.status_code == 200)
    assert len(collector.rows()) == kept
    full[0] = False
    states = [state for batch in batches for state in collector.states(device, batch)]
    assert states.count("stored") == 200 - kept
    assert len(collector.rows()) == 200


def test_a_disk_that_cannot_be_written_acknowledges_nothing_and_is_not_ready(collector):
    device = collector.device()
    engine = collector.app.state.collector.storage._engine
    read_only = [True]

    @event.listens_for(engine, "begin")
    def limit(connection: Any) -> None:
        connection.exec_driver_sql(f"PRAGMA query_only = {int(read_only[0])}")

    batch = [device.record()]
    assert refused_for_now(collector.client.post("/v1/records", json=device.batch(batch)))
    assert refused_for_now(collector.client.get("/ready"))
    fresh = collector.device(enrol=False)
    assert refused_for_now(collector.client.post("/v1/keys", json=fresh.enrolment(collector.token)))
    read_only[0] = False
    assert collector.states(device, batch) == ["stored"]


def test_a_damaged_database_acknowledges_nothing(collector, place: Path):
    device = collector.device()
    collector.states(device, [device.record() for _ in range(20)])
    collector.app.state.collector.storage.close()
    collector.storage.close()
    path = place / "collector.sqlite"
    for left in place.glob("collector.sqlite-*"):
        left.unlink()
    content = bytearray(path.read_bytes())
    content[4096:] = os.urandom(len(content) - 4096)
    path.write_bytes(content)
    assert refused_for_now(collector.client.post("/v1/records", json=device.batch([device.record()])))


def test_a_database_that_is_locked_by_somebody_else_says_come_back(collector, monkeypatch: pytest.MonkeyPatch):
    device = collector.device()
    engine = collector.app.state.collector.storage._engine

    @event.listens_for(engine, "begin", insert=True)
    def hurry(connection: Any) -> None:
        connection.exec_driver_sql("PRAGMA busy_timeout = 50")

    with collector.storage._write() as connection:
        connection.execute(text("UPDATE housekeeping SET id = id"))
        assert refused_for_now(collector.client.post("/v1/records", json=device.batch([device.record()])))
    assert collector.states(device, [device.record()]) == ["stored"]


def test_a_database_server_that_is_gone_says_come_back_and_heals(make_world: Callable[..., Any], postgres: Postgres):
    world = make_world(postgres.url(postgres.new_database("migrated")))
    device = world.device()
    batch = [device.record() for _ in range(3)]
    assert world.states(device, batch[:1]) == ["stored"]
    postgres.stop("immediate")
    try:
        assert refused_for_now(world.client.post("/v1/records", json=device.batch(batch)))
        assert refused_for_now(world.client.get("/ready"))
    finally:
        postgres.start()
    world.seconds += 5
    assert world.states(device, batch) == ["duplicate", "stored", "stored"]
    assert world.client.get("/ready").status_code == 200


def test_a_connection_cut_in_a_transaction_is_replaced_and_counts_once(
    make_world: Callable[..., Any], postgres: Postgres
):
    world = make_world(postgres.url(postgres.new_database("migrated")))
    device = world.device()
    engine = world.app.state.collector.storage._engine
    cut = [True]

    @event.listens_for(engine, "after_cursor_execute")
    def cut_off(_c: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if cut[0] and statement.startswith("INSERT INTO records"):
            cut[0] = False
            postgres.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE state = 'idle in transaction'"
            )

    batch = [device.record() for _ in range(3)]
    assert world.states(device, batch) == ["stored"] * 3
    assert not cut[0]
    assert len(world.rows()) == 3
    assert world.storage.counts(world.day, world.day)["records.stored"] == 3


def test_a_server_that_was_restarted_in_between_is_not_noticed(make_world: Callable[..., Any], postgres: Postgres):
    world = make_world(postgres.url(postgres.new_database("migrated")))
    device = world.device()
    assert world.states(device, [device.record()]) == ["stored"]
    postgres.stop("immediate")
    postgres.start()
    assert world.states(device, [device.record()]) == ["stored"]
    fresh = world.device()
    postgres.stop("immediate")
    postgres.start()
    assert world.client.post("/v1/keys/rotate", json=fresh.rotation(world.device(enrol=False))).status_code == 201
    assert world.client.get("/ready").status_code == 200


def check_again_and_again(storage: Storage) -> None:
    for _ in range(200):
        storage.check_ready()


def test_a_server_that_may_lose_commits_is_refused(postgres: Postgres):
    storage = Storage(Settings(database_url=postgres.url(postgres.new_database("migrated"))))
    storage.check_ready()
    try:
        postgres.execute("ALTER SYSTEM SET fsync = off")
        postgres.execute("SELECT pg_reload_conf()")
        # The server reads its settings again when it gets round to it.
        with pytest.raises(SetupError, match="fsync"):
            check_again_and_again(storage)
    finally:
        postgres.execute("ALTER SYSTEM RESET fsync")
        postgres.execute("SELECT pg_reload_conf()")
        storage.close()


def test_a_failure_of_our_own_is_a_typed_answer(collector, monkeypatch: pytest.MonkeyPatch):
    def fail(*_: Any) -> None:
        raise RuntimeError("planted-sentinel")

    monkeypatch.setattr(collector.app.state.collector.storage, "counts", fail)
    answer = collector.operator("/v1/counters")
    assert (answer.status_code, answer.json()["error"]) == (500, "internal")
    assert "planted-sentinel" not in answer.text


@pytest.mark.parametrize(
    ("url", "word"),
    [
        ("mysql://somewhere/x", "got mysql"),
        ("nonsense", "another form"),
        ("sqlite+nothing:///x", "another form"),
    ],
)
def test_an_address_that_is_none_is_named_without_repeating_it(url: str, word: str):
    with pytest.raises(SetupError, match=word):
        Storage(Settings(database_url=url))


def test_a_folder_that_is_not_there_is_a_storage_error(place: Path):
    storage = Storage(Settings(database_url=f"sqlite:///{place / 'no' / 'such' / 'x.sqlite'}"))
    with pytest.raises(StorageError) as caught:
        storage.revision()
    assert str(place) not in str(caught.value)


# -- settings and secrets --------------------------------------------------------------------------------------------


def test_settings_come_from_the_environment(place: Path):
    found = read_settings(
        {
            "SAFELIGHT_COLLECTOR_DIR": str(place),
            "SAFELIGHT_COLLECTOR_MAX_BATCH": "50",
            "SAFELIGHT_COLLECTOR_RATE_RECORDS_PER_S": "0.5",
            "SAFELIGHT_COLLECTOR_METRICS_OPEN": "true",
        }
    )
    assert (found.max_batch, found.rate_records_per_s, found.metrics_open) == (50, 0.5, True)
    assert found.database_url == f"sqlite:///{place / 'collector.sqlite'}"
    assert (found.sealing_keys, found.operator_token) == ((), "")


@pytest.mark.parametrize(
    ("name", "value"),
    [("MAX_BATCH", "many"), ("MAX_BATCH", "0"), ("MAX_BATCH", "101"), ("BURST_RECORDS", "5"), ("THREADS", "-1")],
)
def test_a_wrong_setting_names_itself(place: Path, name: str, value: str):
    with pytest.raises(SetupError, match=name.lower()):
        read_settings({"SAFELIGHT_COLLECTOR_DIR": str(place), f"SAFELIGHT_COLLECTOR_{name}": value})


def test_secrets_come_from_credentials_before_the_folder(place: Path):
    credentials, state = place / "credentials", place / "state"
    for folder in (credentials, state):
        folder.mkdir()
    for folder, letter in ((credentials, "a"), (state, "b")):
        for name, content in (("operator.token", letter), ("database.url", f"sqlite:///{letter}")):
            (folder / name).write_text(content)
            (folder / name).chmod(0o600)
    (credentials / "sealing.key").write_text(sealing_key_text(b"\1" * 32))
    (state / "sealing-old.key").write_text(sealing_key_text(b"\2" * 32))
    for path in (credentials / "sealing.key", state / "sealing-old.key"):
        path.chmod(0o600)
    found = read_settings({"CREDENTIALS_DIRECTORY": str(credentials), "STATE_DIRECTORY": str(state)})
    assert (found.operator_token, found.database_url) == ("a", "sqlite:///a")
    assert found.sealing_keys == (b"\1" * 32, b"\2" * 32)
    assert "sealing_keys" not in repr(found)
    assert "operator_token" not in repr(found)


def test_a_secret_that_others_may_read_is_not_used(place: Path):
    path = place / "sealing.key"
    path.write_text(sealing_key_text(b"\1" * 32))
    path.chmod(0o644)
    assert path.stat().st_mode & stat.S_IROTH
    with pytest.raises(SetupError, match="chmod 600"):
        read_settings({"SAFELIGHT_COLLECTOR_DIR": str(place)})
    path.chmod(0o600)
    path.write_text("something")
    with pytest.raises(SetupError, match="another form"):
        read_settings({"SAFELIGHT_COLLECTOR_DIR": str(place)})
