"""Does every store that was ever written still open, with everything in it?"""

from __future__ import annotations

import shutil
import sqlite3
from pathlib import Path

import pytest
from golden.make_store_v1 import HELD
from safelight.errors import StoreError
from safelight.store import ConsentState, HoldState, StoreState, vault
from store_world import DAY_S, PIN, World

STORES = sorted(Path(__file__).parent.glob("store_v*"))


@pytest.fixture(params=STORES, ids=lambda folder: folder.name)
def kept(request: pytest.FixtureRequest, world: World) -> World:
    """A copy of a stored file, half an hour after it was written."""
    shutil.copytree(request.param, world.folder)
    world.clock.run(DAY_S + 1 + 600)
    return world


def test_there_is_a_file_of_every_version() -> None:
    assert [folder.name for folder in STORES] == [f"store_v{n}" for n in range(1, len(vault.MIGRATIONS) + 1)]


def check_all(world: World) -> None:
    store = world.open()
    assert store.state is StoreState.OK
    settings = store.settings
    assert (settings.age_band, settings.country, settings.languages) == ("10_12", "GB", ("en", "cy"))
    assert settings.rules == {"view.suggestive": "HOLD"}
    assert settings.allowance == {"games": 45, "*": None}
    assert settings.zone == "Europe/London"
    assert settings.windows["games"]["sat"] == ("15:00-19:00",)
    assert settings.bedtime["sun"] == "20:30-07:00"
    assert (settings.consent, settings.counters, settings.loosening_delay_h) == ({"camera": "child"}, True, 12)
    assert settings.known_contacts == ("ab" * 16,)
    assert store.consents.check("camera").state is ConsentState.GIVEN
    assert store.counters.read() == {"2026-W47": {"help.opened": 1}}
    assert [change.patch for change in store.pending()] == [{"age_band": "13_15"}]
    data, handle = store.holds.all()
    assert (data.state, handle.handle) == (HoldState.HELD, "message-17")
    assert store.holds._bytes(data.id) == HELD
    store.check_pin(PIN)
    store.close()


def test_everything_is_still_there(kept: World) -> None:
    check_all(kept)
    check_all(kept)  # and after it was written to


def test_a_migration_keeps_everything(kept: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The machinery, with a step that does not exist yet."""

    def step(database: sqlite3.Connection) -> None:
        database.execute("CREATE TABLE later (x)")

    monkeypatch.setattr(vault, "MIGRATIONS", (*vault.MIGRATIONS, step))
    monkeypatch.setattr(vault, "_OBJECTS", vault._OBJECTS | {("table", "later", "CREATE TABLE later (x)")})
    check_all(kept)
    with sqlite3.connect(kept.path) as database:
        assert database.execute("PRAGMA user_version").fetchone() == (len(vault.MIGRATIONS),)
    database.close()
    monkeypatch.undo()
    assert kept.open().state is StoreState.NEWER_VERSION


def test_a_migration_that_fails_changes_nothing(kept: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def step(database: sqlite3.Connection) -> None:
        database.execute("DROP TABLE held")
        raise sqlite3.OperationalError("disk I/O error")

    with monkeypatch.context() as patch:
        patch.setattr(vault, "MIGRATIONS", (*vault.MIGRATIONS, step))
        assert kept.open().state is StoreState.UNREADABLE
    check_all(kept)


def test_a_damaged_old_store_is_not_migrated(kept: World, monkeypatch: pytest.MonkeyPatch) -> None:
    with sqlite3.connect(kept.path) as database:
        database.execute("DELETE FROM state WHERE name = 'pin'")
    database.close()
    monkeypatch.setattr(vault, "MIGRATIONS", (*vault.MIGRATIONS, lambda database: None))
    store = kept.open()
    assert store.state is StoreState.DAMAGED
    with pytest.raises(StoreError):
        store.check_pin(PIN)
