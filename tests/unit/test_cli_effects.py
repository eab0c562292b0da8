"""Question: does the command print a family's own counts, and export only what was agreed to, noisy and not small?"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from click.testing import CliRunner, Result
from safelight.cli.main import cli
from safelight.errors import SafelightError
from safelight.notices import effects as effects_module
from safelight.notices.effects import EFFECT_NAMES
from safelight.store.counters import NAMES
from store_world import World

Run = Callable[..., Result]


@pytest.fixture
def run(world: World, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.setattr("safelight.cli.notices.open_store", lambda path: world.open())
    return lambda *arguments: CliRunner().invoke(cli, ["notices", "effects", *arguments])


def lines(result: Result) -> list[dict[str, Any]]:
    assert result.exit_code == 0, result.output
    return [json.loads(line) for line in result.stdout.splitlines()]


def count(world: World, **times: int) -> None:
    with world.set_up(counters=True) as store:
        for name, number in times.items():
            for _ in range(number):
                store.counters.add(name.replace("__", "."))


def test_own_counts_are_exact(world: World, run: Run) -> None:
    count(world, notice__shown=3, help__opened=1, action__block=2)
    (week,) = lines(run("--json"))
    assert week["exported"] is False
    assert week["counts"] == {**dict.fromkeys(EFFECT_NAMES, 0), "notice.shown": 3, "help.opened": 1}
    text = run().stdout
    assert week["week"] in text
    assert "     3  notice.shown" in text
    assert "action" not in text


def test_an_export_needs_the_opt_in(world: World, run: Run) -> None:
    count(world, notice__shown=500)
    refused = run("--export")
    assert refused.exit_code == 2
    assert "ask them first" in refused.stderr
    assert "500" not in refused.output
    assert run("--opt-in").exit_code == 2


def test_an_export_is_noisy_and_leaves_small_counts_out(world: World, run: Run) -> None:
    count(world, notice__shown=500, help__opened=1)
    seen = set()
    for _ in range(12):
        (week,) = lines(run("--export", "--opt-in", "--json"))
        assert week["exported"] is True
        assert "help.opened" not in week["counts"]
        seen.add(week["counts"]["notice.shown"])
    assert len(seen) > 1
    assert all(abs(value - 500) < 80 for value in seen)


def test_a_week_with_small_counts_alone_is_not_even_named(
    world: World, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(effects_module, "_noise", lambda epsilon: 0)
    count(world, notice__shown=19)
    assert run("--export", "--opt-in", "--json").stdout == ""
    assert run("--export", "--opt-in").stdout == "Nothing to show.\n"


def test_counting_that_is_off_is_said_and_exports_nothing(world: World, run: Run) -> None:
    world.set_up().close()
    assert run().stdout == "Counting is off, and nothing was counted.\n"
    assert run("--export", "--opt-in").exit_code == 2


def test_a_store_that_cannot_be_believed_is_named(world: World, run: Run) -> None:
    count(world, notice__shown=500)
    world.path.write_bytes(world.path.read_bytes()[:4096])
    result = run("--export", "--opt-in")
    assert isinstance(result.exception, SafelightError)
    assert "DAMAGED" in str(result.exception)
    assert result.stdout == ""


def test_every_effect_is_something_the_store_counts() -> None:
    assert set(EFFECT_NAMES) < set(NAMES)
