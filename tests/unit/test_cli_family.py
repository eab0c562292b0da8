"""Do `setup`, `policy` and `holds` do what they say, ask for the PIN only when it is needed, and never show a path?"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from safelight.cli import _family
from safelight.cli.main import cli
from safelight.decision import Action, AgeBand, Decision, Event
from safelight.errors import PinError
from safelight.store import Store
from store_world import DAY_S, PIN, World

Run = Callable[..., Result]


@pytest.fixture
def run(world: World, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs a command on the world's store; its clock is the world's."""
    monkeypatch.setattr(_family, "open_store", lambda path: world.open())
    for module in ("setup", "policy", "holds"):
        monkeypatch.setattr(f"safelight.cli.{module}.open_store", lambda path: world.open())

    def invoke(*arguments: str, pin: str | None = None, text: str | None = None) -> Result:
        extra = ["--pin-file", "-"] if pin is not None else []
        return CliRunner().invoke(cli, [*arguments, *extra], input=pin if pin is not None else text)

    return invoke


def rows(result: Result) -> list[dict[str, Any]]:
    assert result.exit_code in (0, 1, 3), result.output
    return [json.loads(line) for line in result.stdout.splitlines()]


def test_from_setup_to_force(run: Run, world: World) -> None:
    done = rows(
        run("setup", "age_band=13_15", "country=gb", "zone=Europe/London", "allowance.games=60", "--json", pin=PIN)
    )
    assert done[0]["state"] == "OK"
    assert len(done[0]["recovery_code"]) == 24
    assert done[1]["applied"] == {"country": "GB", "zone": "Europe/London"}
    assert done[1]["pending"]["patch"] == {"age_band": "13_15", "allowance.games": 60}
    (waiting,) = rows(run("policy", "pending", "--json"))
    assert waiting["in_force_in_s"] == DAY_S
    world.clock.run(DAY_S)
    (shown,) = rows(run("policy", "show", "--json"))
    assert shown["state"] == "OK"
    assert shown["settings"]["age_band"] == "13_15"
    assert shown["pending"] == []
    assert run("policy", "pending").stdout == "Nothing waits.\n"


def test_what_a_person_reads(run: Run, world: World) -> None:
    shown = run("policy", "show")
    assert shown.exit_code == 0
    assert "NEW: the strictest settings" in shown.stdout
    done = run("setup", "age_band=10_12", "counters=off", pin=PIN)
    assert "… waits (" in done.stdout
    assert "24 hours with the device running" in done.stdout
    assert "Recovery code, shown this once: " in done.stdout
    assert PIN not in done.output
    assert "waits" in run("policy", "show").stdout
    again = run("setup", pin=PIN)
    assert again.exit_code == 2
    assert "set up already" in again.output


def test_the_pin_is_needed_for_loosening_only(run: Run) -> None:
    run("setup", pin=PIN)
    tightened = run("policy", "set", "rules.view.suggestive=HOLD", "allowance.games=0")
    assert tightened.exit_code == 0
    assert "✓ in force now: rules.view.suggestive=HOLD" in tightened.stdout
    asked = run("policy", "set", "rules.view.suggestive=")
    assert asked.exit_code == 2
    assert "--pin-file" in asked.output
    wrong = run("policy", "set", "rules.view.suggestive=", pin="000111")
    assert isinstance(wrong.exception, PinError)
    (right,) = rows(run("policy", "set", "rules.view.suggestive=", "--json", pin=PIN))
    assert right["pending"]["loosens"]


def test_anybody_cancels(run: Run) -> None:
    run("setup", pin=PIN)
    (asked,) = rows(run("policy", "set", "age_band=16_17", "--json", pin=PIN))
    assert rows(run("policy", "cancel", asked["pending"]["id"], "--json")) == [{"cancelled": asked["pending"]["id"]}]
    assert run("policy", "cancel", asked["pending"]["id"]).exit_code == 2


@pytest.mark.parametrize(
    "word",
    ["age_band", "=10_12", "age_band=12", "allowance.games=much", "counters=maybe", "colour=red", "guardian={",
     "child=[]",     "windows.games.sat=10-12", "languages=", "rules.view.explicit=STOP"],
)  # fmt: skip
def test_a_wrong_word_is_usage(run: Run, word: str) -> None:
    run("setup", pin=PIN)
    result = run("policy", "set", word, pin=PIN)
    if word == "languages=":
        assert result.exit_code == 0  # back to the default
    else:
        assert result.exit_code == 2, result.output
        assert "Traceback" not in result.output


def test_settings_travel(run: Run, world: World, tmp_path: Path) -> None:
    run("setup", "country=GB", pin=PIN)
    file = tmp_path / "settings.json"
    (code,) = rows(run("policy", "export", str(file), "--json"))
    run("policy", "set", "country=")
    taken = rows(run("policy", "import", str(file), "--code", code["transfer_code"], "--json"))
    assert taken[0]["applied"] == {"country": "GB"}
    assert run("policy", "import", str(file), "--code", "WRONG").exit_code == 2


def test_the_pin_is_changed_and_recovered(run: Run, world: World) -> None:
    code = rows(run("setup", "--json", pin=PIN))[0]["recovery_code"]
    changed = run("policy", "pin", "--secrets-file", "-", "--json", text=f"{PIN}\nworldly\n")
    assert rows(changed)[0]["recovery_code"] != code
    recovered = run("policy", "pin", "--recover", "--secrets-file", "-", text=f"{code}\nanother\n")
    assert isinstance(recovered.exception, PinError)  # the first code went with the first PIN
    newest = rows(changed)[0]["recovery_code"]
    assert run("policy", "pin", "--recover", "--secrets-file", "-", text=f"{newest}\nanother\n").exit_code == 0
    world.open().check_pin("another")


def test_the_clock_is_confirmed_with_the_pin(run: Run, world: World) -> None:
    run("setup", pin=PIN)
    world.clock.set_wall(world.clock.wall_s() + DAY_S)
    assert "confirm-time" in run("policy", "show").stdout
    assert isinstance(run("policy", "confirm-time", pin="000111").exception, PinError)
    assert run("policy", "confirm-time", pin=PIN).exit_code == 0
    assert not rows(run("policy", "show", "--json"))[0]["clock_unconfirmed"]


class TestHolds:
    @pytest.fixture
    def store(self, world: World) -> Store:
        return world.set_up(age_band="10_12")

    def keep(self, store: Store, data: bytes | None, reason: str = "NUDITY_EXPLICIT") -> str:
        decision = Decision(Action.HOLD, Event.RECEIVE, AgeBand.FROM_10_TO_12, (), (reason,), None)
        return store.holds.keep(decision, handle="" if data else "message-17", data=data).id

    def test_listed_by_category(self, run: Run, store: Store) -> None:
        assert run("holds", "list").stdout == "Nothing is kept back.\n"
        self.keep(store, b"1234")
        self.keep(store, None)
        assert run("holds", "list").stdout.count("NUDITY_EXPLICIT") == 2
        assert {row["size_bytes"] for row in rows(run("holds", "list", "--json"))} == {0, 4}
        assert "message-17" not in run("holds", "list", "--json").stdout
        assert rows(run("holds", "list", "--counts", "--json")) == [{"category": "NUDITY_EXPLICIT", "count": 2}]

    def test_an_appeal_restores_what_was_held_wrongly(
        self, run: Run, store: Store, portrait: Path, tmp_path: Path
    ) -> None:
        hold = self.keep(store, portrait.read_bytes())
        early = run("holds", "release", hold, "--to", str(tmp_path / "x"))
        assert early.exit_code == 2
        (result,) = rows(run("holds", "appeal", hold, "--json"))
        assert (result["released"], result["state"], result["redress"]) == (True, "RELEASED", None)
        target = tmp_path / "back.jpg"
        target.write_bytes(b"in the way")
        assert run("holds", "release", hold, "--to", str(target)).exit_code == 1
        target.unlink()
        assert run("holds", "release", hold, "--to", str(target)).exit_code == 0
        assert target.read_bytes() == portrait.read_bytes()
        assert store.holds.all() == ()

    def test_an_appeal_against_a_list_goes_elsewhere(self, run: Run, store: Store) -> None:
        hold = self.keep(store, b"1234", "KNOWN_MATCH")
        result = run("holds", "appeal", hold)
        assert result.exit_code == 3
        assert "list" in result.stdout
        assert "You did nothing wrong by asking" in result.stdout

    def test_a_closer_look_that_says_the_same(self, run: Run, store: Store) -> None:
        hold = self.keep(store, b"no picture at all")
        result = run("holds", "appeal", hold)
        assert result.exit_code == 3
        assert "not your fault" in result.stdout
        assert "You did nothing wrong by asking" in result.stdout
        (row,) = rows(run("holds", "appeal", hold, "--json"))
        assert "You did nothing wrong by asking" in row["redress"]["text"]
        assert row["redress"]["help"]

    def test_a_guardian_lets_a_category_through(self, run: Run, store: Store) -> None:
        hold = self.keep(store, None)
        wrong = run("holds", "release", "--category", "NUDITY_EXPLICIT", pin="000111")
        assert isinstance(wrong.exception, PinError)
        (released,) = rows(run("holds", "release", "--category", "NUDITY_EXPLICIT", "--json", pin=PIN))
        assert (released["id"], released["state"]) == (hold, "RELEASED")

    @pytest.mark.parametrize("arguments", [[], ["0123"], ["0123", "--category", "X"], ["0123", "--to", "x"]])
    def test_usage(self, run: Run, store: Store, arguments: list[str]) -> None:
        assert run("holds", "release", *arguments).exit_code == 2


def test_the_wizard_asks(monkeypatch: pytest.MonkeyPatch, world: World, run: Run) -> None:
    monkeypatch.setattr("safelight.cli.setup.asks_a_person", lambda: True)
    monkeypatch.setattr("safelight.cli._family.asks_a_person", lambda: True)
    answers = f"under_10\nGB\n\nEurope/London\n45\n20:00-07:00\n{PIN}\n{PIN}\n"
    done = CliRunner().invoke(cli, ["setup"], input=answers)
    assert done.exit_code == 0, done.output
    assert PIN not in done.output
    store = world.open()
    assert store.settings.age_band == "under_10"
    assert (store.settings.country, store.settings.zone) == ("GB", "Europe/London")
    assert [change.patch for change in store.pending()] == [{"allowance.*": 45}]


def test_a_real_process_with_a_store_of_its_own(tmp_path: Path) -> None:
    """Nothing patched: the real hash, the real clock, a file that is named."""
    store = tmp_path / "family" / "store.sqlite"

    def safelight(*arguments: str, text: str = "") -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "safelight", *arguments, "--store", str(store)]
        return subprocess.run(command, input=text, capture_output=True, text=True, check=False)

    done = safelight("setup", "age_band=10_12", "--pin-file", "-", "--json", text=PIN)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[1])["pending"]["patch"] == {"age_band": "10_12"}
    wrong = safelight("policy", "confirm-time", "--pin-file", "-", text="000111")
    assert (wrong.returncode, wrong.stdout) == (1, "")
    assert "Traceback" not in wrong.stderr
    store.write_bytes(b"damage")
    shown = safelight("policy", "show", "--json")
    assert shown.returncode == 1
    assert json.loads(shown.stdout)["state"] == "DAMAGED"
    refused = safelight("policy", "set", "counters=off")
    assert refused.returncode == 1
    assert str(tmp_path) not in refused.stderr
    replaced = safelight("setup", "--replace", "--pin-file", "-", "--json", text="another1")
    assert replaced.returncode == 0, replaced.stderr


def test_doctor_says_what_protects_the_store(monkeypatch: pytest.MonkeyPatch, world: World) -> None:
    from safelight.cli import doctor

    monkeypatch.setattr("safelight.store.Store", lambda: world.open())
    new, protection = doctor._store()
    assert (new.ok, "strictest" in new.detail) == (None, True)
    assert "file (obfuscation), anchor none" in protection.detail
    world.set_up().close()
    assert doctor._store()[0].ok
    world.path.write_bytes(b"damage")
    damaged = doctor._store()[0]
    assert (damaged.ok, "DAMAGED" in damaged.detail) == (False, True)
