"""Ten thousand guesses at the PIN: by restart, by clock, by kill, from several processes."""

from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path

import pytest
from safelight.errors import PinError
from safelight.store import Store
from safelight.store import pin as pins
from store_world import DAY_S, HOUR_S, PIN, World

GUESSES = 10_000


@pytest.fixture
def store(world: World) -> Store:
    return world.set_up(age_band="10_12")


def looked_at(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Collects the guesses that were compared with the real one, without the cost."""
    seen: list[str] = []

    def matches(text: str, kept: pins.SlowHash) -> bool:
        seen.append(text)
        return text == PIN

    monkeypatch.setattr(pins, "matches", matches)
    return seen


def test_ten_thousand_guesses_at_once(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = looked_at(monkeypatch)
    for number in range(GUESSES):
        with pytest.raises(PinError) as refused:
            store.check_pin(f"{number:06d}")
    assert len(seen) == pins.FREE_TRIES
    assert refused.value.wait_s == pins.FIRST_WAIT_S
    # The right one has to wait as well, and then it is right.
    with pytest.raises(PinError, match="pause"):
        store.check_pin(PIN)


def test_with_every_trick_of_the_clock(store: Store, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A hundred running days of guessing with jumps, restarts and new processes between."""
    seen = looked_at(monkeypatch)
    tricks = random.Random(7)
    running_s = 0.0
    while running_s < 100 * DAY_S:
        trick = tricks.randrange(5)
        if trick == 0:
            world.clock.set_wall(world.clock.wall_s() + tricks.choice([-1, 1]) * tricks.uniform(0, 400) * DAY_S)
        elif trick == 1:
            world.clock.restart(off_s=tricks.uniform(0, 40) * DAY_S, uptime_s=1.0)
        elif trick == 2:
            store.close()
            store = world.open()
        step_s = tricks.uniform(1, 8) * HOUR_S
        world.clock.run(step_s)
        running_s += step_s
        for _ in range(20):
            with pytest.raises(PinError):
                store.check_pin(f"{tricks.randrange(10**6):06d}")
    # One an hour at most once the wait has grown, whatever was done: a century for six digits.
    assert len(seen) <= pins.FREE_TRIES + 8 + running_s / pins.MAX_WAIT_S
    assert len(seen) * 400 < 10**6


def test_a_right_one_starts_afresh(store: Store, world: World) -> None:
    for _ in range(pins.FREE_TRIES - 1):
        with pytest.raises(PinError):
            store.check_pin("000111")
    store.check_pin(PIN)
    with pytest.raises(PinError) as first:
        store.check_pin("000111")
    assert first.value.wait_s == 0


def test_waits_grow_to_an_hour_and_no_further(store: Store, world: World) -> None:
    waits = []
    for _ in range(14):
        with pytest.raises(PinError) as refused:
            store.check_pin("000111")
        waits.append(refused.value.wait_s)
        world.clock.run(refused.value.wait_s)
    assert waits[:5] == [0, 0, 60, 120, 240]
    assert waits[-1] == HOUR_S
    store.check_pin(PIN)


def test_a_try_counts_before_it_is_looked_at(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed in between: the try is used up."""

    def killed(text: str, kept: pins.SlowHash) -> bool:
        raise KeyboardInterrupt

    monkeypatch.setattr(pins, "matches", killed)
    for _ in range(pins.FREE_TRIES):
        with pytest.raises(KeyboardInterrupt):
            store.check_pin(PIN)
    with pytest.raises(PinError, match="pause"):
        store.check_pin(PIN)


def test_many_processes_have_no_more_tries_than_one(store: Store, world: World) -> None:
    store.close()
    script = """
import sys
from pathlib import Path
from nacl.pwhash import argon2id
from safelight.errors import PinError
from safelight.store import pin
from store_world import World
world = World(Path(sys.argv[1]))
world.clock.wall, world.clock.boot = float(sys.argv[2]), float(sys.argv[3])
seen = 0
def matches(text, kept):
    global seen
    seen += 1
    return False
pin.matches = matches
store = world.open()
for number in range(30):
    try:
        store.check_pin(f"{number:06d}")
    except PinError:
        pass
print(seen)
"""
    arguments = [str(world.folder), str(world.clock.wall), str(world.clock.boot)]
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", script, *arguments],
            cwd=Path(__file__).parents[1],
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(4)
    ]
    seen = [int(process.communicate()[0]) for process in processes]
    assert sum(seen) == pins.FREE_TRIES
