"""Clock, zone, daylight saving, restart: never more time, never a shorter wait, and never one minute of help less."""

from __future__ import annotations

from datetime import datetime, timezone
from zoneinfo import ZoneInfo

import pytest
from safelight.errors import PinError
from safelight.store import ConsentState, Store, SystemClock, TimeState
from store_world import DAY_S, HOUR_S, PIN, FakeClock, World

MINUTES = 30


@pytest.fixture
def store(world: World) -> Store:
    return world.set_up(allowance__games=MINUTES)


def take_all(store: Store, purpose: str = "games") -> float:
    """Everything that can be had now, in seconds."""
    taken = 0.0
    while (answer := store.allowance.take(purpose, 600)).open:
        taken += answer.granted_s
    assert answer.granted_s == 0
    return taken


@pytest.mark.parametrize("jump_s", [DAY_S, -DAY_S, 7 * DAY_S, 400 * DAY_S, -400 * DAY_S, 12 * HOUR_S, 1e12, -1e12])
@pytest.mark.parametrize("restarts", [0, 1, 3])
def test_a_clock_that_is_set_gives_nothing(store: Store, world: World, jump_s: float, restarts: int) -> None:
    assert take_all(store) == MINUTES * 60
    world.clock.set_wall(world.clock.wall_s() + jump_s)
    for _ in range(restarts):
        world.clock.restart()
    assert take_all(store) == 0
    # Back again: nothing was gained on the way.
    world.clock.set_wall(world.clock.wall_s() - jump_s)
    assert take_all(store) == 0
    assert store.allowance.take("help").granted_s == 60


def test_back_and_forth_for_a_day_gives_one_day(store: Store, world: World) -> None:
    taken = take_all(store)
    for hour in range(23):
        world.clock.run(HOUR_S)
        world.clock.set_wall(world.clock.wall_s() + (DAY_S if hour % 2 else -DAY_S))
        if hour % 5 == 0:
            world.clock.restart()
        taken += take_all(store)
    # 23 hours and a few restarts from 10:00 reach over one midnight.
    assert taken == 2 * MINUTES * 60


def test_many_restarts_catch_up_a_few_minutes_a_day_and_no_more(store: Store, world: World) -> None:
    """Each restart is a moment of which nobody knows how long it was; 200 of them must not make a new day."""
    world.clock.run(DAY_S - world.clock.wall_s() % DAY_S - 2 * HOUR_S)  # 22:00
    take_all(store)
    for _ in range(200):
        world.clock.restart(0.0, uptime_s=1.0)
        world.clock.set_wall(world.clock.wall_s() + 60.0)
        assert take_all(store) == 0


def test_the_small_gap_of_an_honest_restart_is_caught_up(store: Store, world: World) -> None:
    for _ in range(30):
        world.clock.run(DAY_S - 60)
        store.tick()
        world.clock.restart()
        answer = store.allowance.check("games")
        assert not answer.unconfirmed
    assert take_all(store) == MINUTES * 60


def test_a_night_switched_off_gives_nothing_until_it_is_confirmed(store: Store, world: World) -> None:
    take_all(store)
    world.clock.restart(off_s=20 * HOUR_S)
    answer = store.allowance.take("games")
    assert (answer.state, answer.unconfirmed) == (TimeState.SPENT, True)
    with pytest.raises(PinError):
        store.confirm_time(pin="000111")
    assert take_all(store) == 0
    store.confirm_time(pin=PIN)
    assert not store.allowance.check("games").unconfirmed
    assert take_all(store) == MINUTES * 60


def test_the_hosts_trusted_time_confirms_too(store: Store, world: World) -> None:
    take_all(store)
    store.trust_time(world.clock.wall_s())
    world.clock.restart(off_s=20 * HOUR_S)
    store.trust_time(world.clock.wall_s())
    assert take_all(store) == MINUTES * 60


def test_trusted_time_ends_a_lie(store: Store, world: World) -> None:
    take_all(store)
    honest_s = world.clock.wall_s()
    world.clock.set_wall(honest_s + DAY_S)
    store.trust_time(honest_s)
    assert take_all(store) == 0


def test_a_window_is_closed_when_any_clock_says_so(world: World) -> None:
    store = world.set_up(allowance__games=600, windows__games="15:00-19:00")
    world.clock.run(DAY_S - world.clock.wall_s() % DAY_S + 20 * HOUR_S)  # 20:00, after it closed
    assert store.allowance.take("games").state is TimeState.OUTSIDE_WINDOW
    for set_to_h in (16, 17, 18):
        world.clock.set_wall(world.clock.wall_s() // DAY_S * DAY_S + set_to_h * HOUR_S)
        assert store.allowance.take("games").state is TimeState.OUTSIDE_WINDOW
        world.clock.restart()
        assert store.allowance.take("games").state is TimeState.OUTSIDE_WINDOW


def test_a_late_hour_that_was_seen_is_remembered_after_nights_switched_off(world: World) -> None:
    """The confirmed clock lags behind by then; the latest time ever seen does not."""
    store = world.set_up(allowance__games=600, windows__games="15:00-19:00")
    world.clock.run(DAY_S - world.clock.wall_s() % DAY_S + 16 * HOUR_S)
    world.clock.restart(off_s=20 * HOUR_S)  # 12:00 the next day; confirmed: 16:00 the day before
    world.clock.run(8 * HOUR_S)  # 20:00
    assert not store.allowance.take("games").open
    world.clock.set_wall(world.clock.wall_s() - 3 * HOUR_S)  # "17:00"
    assert not store.allowance.take("games").open
    world.clock.restart()
    assert not store.allowance.take("games").open


def test_the_devices_zone_is_not_asked(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    import time

    store = world.set_up(allowance__games=MINUTES, zone="Europe/London", windows__games="09:00-11:00")
    world.clock.run(DAY_S - 1)
    before = store.allowance.check("games")
    assert before.open
    take_all(store)
    for zone in ("Pacific/Kiritimati", "Pacific/Pago_Pago", "Asia/Tokyo"):
        monkeypatch.setenv("TZ", zone)
        time.tzset()
        assert store.allowance.take("games").state is TimeState.SPENT
    monkeypatch.delenv("TZ")
    time.tzset()


@pytest.mark.parametrize("zone", ["Pacific/Kiritimati", "Pacific/Pago_Pago", "UTC", "Asia/Kolkata"])
def test_another_zone_in_the_settings_needs_two_keys_and_gives_no_second_day(world: World, zone: str) -> None:
    store = world.set_up(allowance__games=MINUTES, zone="Europe/London")
    take_all(store)
    with pytest.raises(PinError):
        store.propose({"zone": zone})
    store.propose({"zone": zone}, pin=PIN)
    taken = 0.0
    for _ in range(72):
        world.clock.run(HOUR_S)
        taken += take_all(store)
    # Three days and a border of days: the move to another zone may add no more than one.
    assert taken <= 4 * MINUTES * 60


@pytest.mark.parametrize(
    ("zone", "day"),
    [
        ("Europe/London", (2026, 3, 29)),  # forward
        ("Europe/London", (2026, 10, 25)),  # back
        ("America/New_York", (2026, 3, 8)),
        ("America/New_York", (2026, 11, 1)),
        ("Australia/Lord_Howe", (2026, 4, 5)),  # half an hour
        ("America/Santiago", (2026, 9, 6)),  # midnight does not exist
        ("America/Havana", (2026, 11, 1)),  # midnight comes twice
    ],
)
def test_daylight_saving_gives_one_allowance_a_day(world: World, zone: str, day: tuple[int, int, int]) -> None:
    world.clock = FakeClock(wall=datetime(*day, tzinfo=ZoneInfo(zone)).timestamp() - 4 * DAY_S - HOUR_S / 2)
    store = world.set_up(allowance__games=MINUTES, zone=zone)
    taken: dict[str, float] = {}
    while (local := datetime.fromtimestamp(world.clock.wall_s(), ZoneInfo(zone))) < datetime(
        *day, hour=23, minute=50, tzinfo=ZoneInfo(zone)
    ):
        name = local.date().isoformat()
        taken[name] = taken.get(name, 0) + take_all(store)
        world.clock.run(600)
    assert set(taken.values()) == {MINUTES * 60}
    assert len(taken) in (4, 5)  # where midnight does not exist the first of them begins an hour later


def test_bedtime_holds_through_both_changes(world: World) -> None:
    zone = ZoneInfo("Europe/London")
    for day in ((2026, 3, 28), (2026, 10, 24)):
        device = World(world.folder / str(day[1]))
        device.folder.mkdir(parents=True)
        device.clock = FakeClock(wall=datetime(*day, 12, tzinfo=zone).timestamp() - DAY_S - 1)
        store = device.set_up(**{"allowance.*": "none", "zone": "Europe/London", "bedtime": "21:00-07:00"})
        for _ in range(100):
            local = datetime.fromtimestamp(device.clock.wall_s(), zone)
            assert store.allowance.check("games").open == (7 <= local.hour < 21), local
            device.clock.run(900)


def test_no_clock_shortens_the_wait_of_a_loosening(world: World) -> None:
    store = world.set_up(age_band="10_12")
    store.trust_time(world.clock.wall_s())
    store.propose({"age_band": "adult"}, pin=PIN)
    for jump_s in (DAY_S, 30 * DAY_S, -60 * DAY_S):
        world.clock.set_wall(world.clock.wall_s() + jump_s)
        world.clock.restart()
        assert store.settings.age_band == "10_12"
        # Not even a guardian's word: a child who knows the PIN must not be able to skip the wait.
        store.confirm_time(pin=PIN)
        assert store.settings.age_band == "10_12"
    world.clock.run(DAY_S - 180)
    assert store.settings.age_band == "10_12"
    world.clock.run(180)
    assert store.settings.age_band == "adult"


def test_a_restart_does_not_lose_the_wait_so_far(world: World) -> None:
    store = world.set_up(age_band="10_12")
    store.propose({"age_band": "13_15"}, pin=PIN)
    for _ in range(25):
        world.clock.run(HOUR_S)
        store.tick()
        world.clock.restart()
    assert store.settings.age_band == "13_15"


@pytest.mark.parametrize("jump_s", [DAY_S, -HOUR_S, 400 * DAY_S])
def test_a_clock_that_is_set_does_not_lengthen_consent(world: World, jump_s: float) -> None:
    store = world.set_up(age_band="13_15")
    store.consents.give("camera")
    world.clock.set_wall(world.clock.wall_s() + jump_s)
    assert store.consents.check("camera").state is ConsentState.EXPIRED


def test_consent_given_in_the_future_ends_as_well(world: World) -> None:
    store = world.set_up(age_band="13_15")
    world.clock.set_wall(world.clock.wall_s() + 400 * DAY_S)
    store.consents.give("camera")
    world.clock.set_wall(world.clock.wall_s() - 400 * DAY_S)
    assert not store.consents.check("camera").given
    store.consents.give("camera")
    world.clock.restart(off_s=DAY_S)
    assert not store.consents.check("camera").given


def test_without_a_boot_id_every_start_counts_as_a_restart(world: World, store: Store) -> None:
    take_all(store)
    world.clock.boot_number += 1
    world.clock.boot = 50_000.0  # a boot clock that claims a long run is believed only as far as the wall clock goes
    world.clock.set_wall(world.clock.wall_s() + 100_000)
    assert take_all(store) <= MINUTES * 60


def test_the_machines_clocks_answer() -> None:
    clock = SystemClock()
    first = clock.boot_s()
    assert clock.boot_s() >= first
    assert clock.boot_id() == SystemClock().boot_id()
    assert abs(clock.wall_s() - datetime.now(timezone.utc).timestamp()) < 5
