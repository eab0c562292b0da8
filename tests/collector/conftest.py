"""Collectors for the tests: in this process on SQLite or PostgreSQL, and as processes of their own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from collector_world import OPERATOR, Device, Postgres, memory_folder, postgres_programs
from nacl.public import PrivateKey
from safelight_collector.app import create_app, token_digest
from safelight_collector.settings import Settings
from safelight_collector.storage import Storage
from starlette.testclient import TestClient

TEMPLATE = "migrated"


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """A private PostgreSQL server, with a database that has the tables already."""
    programs = postgres_programs()
    if programs is None:
        pytest.skip("PostgreSQL is not installed: apt-get install postgresql")
    server = Postgres(programs)
    try:
        server.execute(f"CREATE DATABASE {TEMPLATE}")
        storage = Storage(Settings(database_url=server.url(TEMPLATE)))
        storage.migrate()
        storage.close()
        yield server
    finally:
        server.close()


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder of a collector."""
    with memory_folder() as folder:
        yield folder


@pytest.fixture(params=["sqlite", "postgresql"])
def empty_url(request: pytest.FixtureRequest, place: Path) -> str:
    """The address of a database without tables; one test run for each kind."""
    if request.param == "sqlite":
        return f"sqlite:///{place / 'collector.sqlite'}"
    server: Postgres = request.getfixturevalue("postgres")
    return server.url(server.new_database())


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A SQLite database that has its tables."""
    path = tmp_path_factory.mktemp("template") / "collector.sqlite"
    storage = Storage(Settings(database_url=f"sqlite:///{path}"))
    storage.migrate()
    storage.close()
    return path.read_bytes()


@pytest.fixture
def sqlite_url(place: Path, sqlite_template: bytes) -> str:
    """The address of a SQLite database with its tables."""
    (place / "collector.sqlite").write_bytes(sqlite_template)
    return f"sqlite:///{place / 'collector.sqlite'}"


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest) -> str:
    """The address of a database with its tables; one test run for each kind."""
    if request.param == "sqlite":
        return str(request.getfixturevalue("sqlite_url"))
    server: Postgres = request.getfixturevalue("postgres")
    return server.url(server.new_database(TEMPLATE))


class World:
    """A collector in this process, with a clock that the test sets and devices that enrol."""

    def __init__(self, url: str, **settings: Any) -> None:
        self.day = date(2026, 11, 22)
        self.seconds = 0.0
        self.sealing = PrivateKey.generate()
        self.token = "enrolment-token-of-the-tests"
        self.settings = Settings(
            **{
                "database_url": url,
                "sealing_keys": (bytes(self.sealing),),
                "operator_token": OPERATOR,
                "burst_records": 1_000_000,
                "keys_per_s": 1e6,
                "threads": 2,
                **settings,
            }
        )
        self.storage = Storage(self.settings, clock=lambda: self.day)
        self.storage.add_sealing_key(bytes(self.sealing.public_key))
        self.storage.add_token(token_digest(self.token), max_uses=1000, days=30)
        self.open()

    def open(self) -> None:
        self.app = create_app(self.settings, clock=lambda: self.day, monotonic=lambda: self.seconds)
        self.client = TestClient(self.app, raise_server_exceptions=True)
        self.client.__enter__()

    def close(self) -> None:
        self.client.__exit__(None, None, None)
        self.app.state.collector.storage.close()
        self.storage.close()

    def device(self, *, enrol: bool = True) -> Device:
        device = Device(bytes(self.sealing.public_key))
        if enrol:
            answer = self.client.post("/v1/keys", json=device.enrolment(self.token))
            assert answer.status_code == 201, answer.text
            assert answer.json()["pseudonym"] == device.pseudonym
        return device

    def send(self, device: Device, records: list[dict[str, str]]) -> list[dict[str, str]]:
        answer = self.client.post("/v1/records", json=device.batch(records))
        assert answer.status_code == 200, answer.text
        acks: list[dict[str, str]] = answer.json()["acks"]
        return acks

    def states(self, device: Device, records: list[dict[str, str]]) -> list[str]:
        return [ack["state"] for ack in self.send(device, records)]

    def operator(self, path: str) -> Any:
        return self.client.get(path, headers={"authorization": f"Bearer {OPERATOR}"})

    def rows(self) -> list[Any]:
        from safelight_collector.tables import records
        from sqlalchemy import select

        with self.storage._read() as connection:
            return list(connection.execute(select(records)).all())


@pytest.fixture
def make_world() -> Iterator[Callable[..., World]]:
    """Makes a collector in this process at a database's address, with settings of the test's own."""
    made: list[World] = []

    def make(url: str, **settings: Any) -> World:
        made.append(World(url, **settings))
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.fixture
def collector(make_world: Callable[..., World], sqlite_url: str) -> World:
    """A collector in this process, on SQLite."""
    return make_world(sqlite_url)


@pytest.fixture
def either(make_world: Callable[..., World], database_url: str) -> World:
    """A collector in this process; one test run on SQLite and one on PostgreSQL."""
    return make_world(database_url)
