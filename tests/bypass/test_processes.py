"""Two writers in two processes, and kill -9 at every write: never more time, never half a change, nothing lost.

Three ways to die: at every step of SQLite's own machine (its progress handler), at every byte that is written
(SIGXFSZ at a file size limit), and from outside at any moment.
"""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
import warnings
from pathlib import Path

import pytest
from hypothesis import settings as hypothesis_settings
from safelight.store import StoreState
from store_world import DAY_S, PIN, World, checkpoint

TESTS = Path(__file__).parents[1]
SOAK = hypothesis_settings().max_examples > 100

_PROLOGUE = """
import os, resource, signal, sys
from pathlib import Path
from nacl.pwhash import argon2id
from safelight.decision import Action, AgeBand, Decision, Event
from safelight.store import pin
from store_world import PIN, World
pin.OPSLIMIT, pin.MEMLIMIT_BYTES = argon2id.OPSLIMIT_MIN, argon2id.MEMLIMIT_MIN
world = World(Path(sys.argv[1]), anchored=sys.argv[2] == "anchored")
world.clock.wall, world.clock.boot = float(sys.argv[3]), float(sys.argv[4])
at = int(sys.argv[5])
store = world.open()
decision = Decision(Action.HOLD, Event.CAPTURE, AgeBand.FROM_10_TO_12, (), ("NUDITY_EXPLICIT",), None)
def say(word):
    os.write(1, word.encode() + b"\\n")
"""

# What a device does in a minute; each step is said when it has been promised.
_MINUTE = """
say(f"time {store.allowance.take('games', 60).granted_s:.0f}")
store.propose({"rules.view.none": "NUDGE"}); say("tighter")
say("hold " + store.holds.keep(decision, data=b"picture" * 9000).id)
store.consents.give("scan"); say("consent")
say("pending " + store.propose({"age_band": "adult"}, pin=PIN).pending.id)
say(f"time {store.allowance.take('games', 60).granted_s:.0f}")
"""

_AT_A_STEP = """
store.settings
steps = 0
def step():
    global steps
    steps += 1
    if steps == at:
        os.kill(os.getpid(), signal.SIGKILL)
    return 0
store._vault._database.set_progress_handler(step, 7)
"""

_AT_A_BYTE = """
store.settings
signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
resource.setrlimit(resource.RLIMIT_FSIZE, (at, at))
"""

MINUTES = 10


def run(world: World, body: str, at: int = 0) -> tuple[int, list[str]]:
    anchored = "anchored" if world.anchored else "alone"
    done = subprocess.run(
        [sys.executable, "-c", _PROLOGUE + body, str(world.folder), anchored, str(world.clock.wall),
         str(world.clock.boot), str(at)],
        cwd=TESTS, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode <= 0, done.stderr
    return done.returncode, done.stdout.split("\n")[:-1]


def check_promises(world: World, said: list[str]) -> None:
    """Whatever was promised is there; whatever was under way is there as a whole or not at all."""
    store = world.open()
    assert store.state is StoreState.OK
    granted_s = sum(float(line.split()[1]) for line in said if line.startswith("time"))
    left_s = store.allowance.check("games").left_s
    # At most one piece more is gone than was promised: the one under way.
    assert MINUTES * 60 - granted_s - 60 <= left_s <= MINUTES * 60 - granted_s
    assert store.settings.age_band == "10_12"
    if "tighter" in said:
        assert store.settings.rules == {"view.none": "NUDGE"}
    for hold_id in [line.split()[1] for line in said if line.startswith("hold")]:
        assert store.holds.get(hold_id).size_bytes == 63_000
    # A hold that was under way is whole too.
    for hold in store.holds.all():
        assert store.holds._bytes(hold.id) == b"picture" * 9000
    if "consent" in said:
        assert store.consents.check("scan").waiting_for == ("guardian",)
    asked = [line.split()[1] for line in said if line.startswith("pending")]
    assert {change.id for change in store.pending()} >= set(asked)
    assert all(change.in_force_in_s == DAY_S for change in store.pending())
    store.check_pin(PIN)
    # And it still works.
    assert store.allowance.take("games", 1).granted_s in (0, 1)
    store.close()


def fresh(world: World, number: int, *, anchored: bool) -> World:
    device = World(world.folder / str(number), anchored=anchored)
    device.folder.mkdir(parents=True)
    device.set_up(age_band="10_12", allowance__games=MINUTES).close()
    checkpoint(device.path)
    return device


@pytest.mark.parametrize("anchored", [False, True])
def test_kill_at_every_step_of_the_database(world: World, anchored: bool) -> None:
    _, said = run(fresh(world, -1, anchored=anchored), _AT_A_STEP + _MINUTE + "say(str(steps))\n")
    steps = int(said[-1])
    assert steps > 100
    moments = list(range(1, steps + 1))
    if not SOAK:
        moments = random.Random(anchored).sample(moments, 10)
    killed = 0
    for number, moment in enumerate(moments):
        device = fresh(world, number, anchored=anchored)
        code, said = run(device, _AT_A_STEP + _MINUTE, moment)
        killed += code == -signal.SIGKILL
        check_promises(device, said)
    assert killed == len(moments)


def test_kill_in_the_middle_of_a_write(world: World) -> None:
    """The log grows from 0; -shm is 32 KiB, so smaller limits would only kill at the start."""
    limits = random.Random(7).sample(range(33_000, 180_000), 300 if SOAK else 12)
    killed = 0
    for number, limit in enumerate(limits):
        device = fresh(world, number, anchored=False)
        code, said = run(device, _AT_A_BYTE + _MINUTE, limit)
        killed += code == -signal.SIGXFSZ
        check_promises(device, said)
    assert killed >= len(limits) / 3


@pytest.mark.parametrize("begin", ["", "store.settings\n"])
def test_kill_during_the_first_set_up(world: World, begin: str) -> None:
    """Before: nothing. After: all of it. Never a store that only seems to be set up."""
    body = begin + (
        "import sqlite3\nconnect = sqlite3.connect\n"
        "def watched(*a, **k):\n    d = connect(*a, **k)\n    d.set_progress_handler(step, 1)\n    return d\n"
        "steps = 0\n"
        "def step():\n    global steps\n    steps += 1\n"
        "    if steps == at:\n        os.kill(os.getpid(), signal.SIGKILL)\n    return 0\n"
        "from safelight.store import vault\nvault.sqlite3.connect = watched\n"
        "store.set_up({'age_band': 'under_10'}, pin=PIN); say('set up')\n"
    )
    for number, moment in enumerate(random.Random(begin).sample(range(1, 400), 200 if SOAK else 8)):
        device = World(world.folder / f"{number}")
        device.folder.mkdir(parents=True)
        _, said = run(device, body, moment)
        store = device.open()
        if said == ["set up"]:
            assert store.state is StoreState.OK
        assert store.state in (StoreState.OK, StoreState.NEW)
        assert store.health().pin_set == (store.state is StoreState.OK)
        assert (store.settings.age_band == "under_10") == (store.state is StoreState.OK)
        if store.state is StoreState.NEW:
            store.set_up({}, pin=PIN)
        store.check_pin(PIN)
        store.close()


def test_kill_from_outside_at_any_moment(world: World) -> None:
    device = fresh(world, 0, anchored=False)
    moments = random.Random(7)
    promised = 0.0
    body = "while True:\n    say(f\"time {store.allowance.take('games', 1).granted_s:.0f}\")\n"
    for kills in range(1, 61 if SOAK else 5):
        with subprocess.Popen(
            [sys.executable, "-c", _PROLOGUE + body, str(device.folder), "alone", str(device.clock.wall),
             str(device.clock.boot), "0"],
            cwd=TESTS, stdout=subprocess.PIPE, text=True,
        ) as process:  # fmt: skip
            assert process.stdout is not None
            promised += float(process.stdout.readline().split()[1])
            time.sleep(moments.uniform(0.0, 0.02))
            process.kill()
            promised += sum(float(line.split()[1]) for line in process.stdout.read().split("\n")[:-1])
        with device.open() as store:
            assert store.state is StoreState.OK
            left_s = store.allowance.check("games").left_s
            # Each kill may have used up the second that it hit.
            assert MINUTES * 60 - promised - kills <= left_s <= MINUTES * 60 - promised
    assert promised <= MINUTES * 60


def test_many_writers_share_one_allowance(world: World) -> None:
    device = fresh(world, 0, anchored=True)
    body = (
        "taken = 0.0\n"
        "for _ in range(40):\n    taken += store.allowance.take('games', 7).granted_s\n"
        "say(f'{taken:.0f}')\n"
    )
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", _PROLOGUE + body, str(device.folder), "anchored", str(device.clock.wall),
             str(device.clock.boot), "0"],
            cwd=TESTS, stdout=subprocess.PIPE, text=True,
        )
        for _ in range(4)
    ]  # fmt: skip
    taken = [float(process.communicate()[0]) for process in processes]
    assert sum(taken) == MINUTES * 60
    with device.open() as store:
        assert store.state is StoreState.OK
        assert not store.allowance.take("games").open


def test_one_tightens_while_another_asks_to_loosen(world: World) -> None:
    """Both are done, in whatever order: the tightening is never lost."""
    device = fresh(world, 0, anchored=False)
    bodies = (
        "for _ in range(15):\n    store.propose({'allowance.games': 90}, pin=PIN)\n",
        "for number in range(15):\n    store.propose({'allowance.games': 10 - number // 2})\nsay('done')\n",
    )
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", _PROLOGUE + body, str(device.folder), "alone", str(device.clock.wall),
             str(device.clock.boot), "0"],
            cwd=TESTS, stdout=subprocess.PIPE, text=True,
        )
        for body in bodies
    ]  # fmt: skip
    assert [process.communicate()[0] for process in processes] == ["", "done\n"]
    assert [process.returncode for process in processes] == [0, 0]
    assert device.open().settings.allowance == {"games": 3}


def test_first_set_up_by_two_at_once(world: World) -> None:
    world.folder.mkdir(parents=True)
    body = (
        "from safelight.errors import UsageError\n"
        "try:\n    store.set_up({}, pin=PIN); say('mine')\nexcept UsageError:\n    say('theirs')\n"
    )
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", _PROLOGUE + body, str(world.folder), "alone", "1.8e9", "10", "0"],
            cwd=TESTS, stdout=subprocess.PIPE, text=True,
        )
        for _ in range(3)
    ]  # fmt: skip
    said = sorted(process.communicate()[0].strip() for process in processes)
    assert said == ["mine", "theirs", "theirs"]
    assert world.open().state is StoreState.OK


def test_a_writer_that_never_lets_go(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another process holds the lock for ever: reading goes on, writing says why it does not."""
    import sqlite3

    from safelight.errors import StoreError
    from safelight.store import sqlite_file

    device = fresh(world, 0, anchored=False)
    monkeypatch.setattr(sqlite_file, "_BUSY_TIMEOUT_S", 0.05)
    holder = sqlite3.connect(device.path, isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    with device.open() as store:
        assert store.settings.age_band == "10_12"
        answer = store.allowance.take("games")
        assert (answer.open, answer.store) == (False, StoreState.UNREADABLE)
        with pytest.raises(StoreError, match="UNREADABLE"):
            store.propose({"age_band": "under_10"})
    holder.execute("ROLLBACK")
    holder.close()


def test_a_fork_does_not_share_the_connection(world: World) -> None:
    import os

    device = fresh(world, 0, anchored=False)
    store = device.open()
    assert store.allowance.take("games").open
    with warnings.catch_warnings():
        # Python 3.12 warns of forks beside threads; a host that forks all the same must not harm the store.
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if child == 0:
        ok = store.allowance.take("games").granted_s == 60
        os._exit(0 if ok else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert store.allowance.check("games").left_s == (MINUTES - 2) * 60
