"""Question: do the commands around words say what they did, in words and in JSON, with the exit status they promise?"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from safelight.cli.main import cli
from safelight.errors import MediaNotFoundError
from safelight.notices.catalogue import TRIGGERS

EN = Path(__file__).resolve().parents[2] / "deterrence" / "catalogue" / "en.json"


def run(*arguments: str, given: str | None = None) -> Result:
    return CliRunner().invoke(cli, ["notices", *arguments], input=given)


def lines(result: Result) -> list[dict[str, Any]]:
    assert result.exit_code == 0, result.output
    return [json.loads(line) for line in result.stdout.splitlines()]


@pytest.mark.parametrize("trigger", TRIGGERS)
def test_show_knows_every_trigger(trigger: str) -> None:
    (notice,) = lines(run("show", trigger, "--json", "--country", "GB"))
    assert notice["title"] and notice["help"]


def test_show_as_text_and_page() -> None:
    assert "Childline" in run("show", "pressured", "--asked", "--country", "GB").output
    page = run("show", "generic", "--html")
    assert page.exit_code == 0 and page.stdout.startswith("<!doctype html>")
    assert run("show", "nonsense").exit_code == 2


def test_due_says_what_to_read_again() -> None:
    found = lines(run("due", "--json", "--country", "GB", "--today", "2027-06-01"))
    assert found[0]["state"] == "unverified" and found[0]["days"] is None
    assert {row["country"] for row in found} == {"GB"}
    assert "Childline" in run("due", "--today", "2027-06-01").output
    assert run("due", "--today", "yesterday").exit_code == 2


def test_lint_finds_nothing_here_and_something_there(tmp_path: Path) -> None:
    clean = run("lint", "--file", str(EN), "--json")
    assert (clean.exit_code, clean.stdout) == (0, "")
    raw = json.loads(EN.read_text(encoding="utf-8"))
    raw["redress"]["adult"] = "The police know about it."
    spoiled = tmp_path / "en.json"
    spoiled.write_text(json.dumps(raw), encoding="utf-8")
    result = run("lint", "--file", str(spoiled), "--json")
    assert result.exit_code == 1
    assert json.loads(result.stdout.splitlines()[0])["place"] == "redress.adult"


def test_the_dialogue_in_a_terminal_and_as_a_state_machine() -> None:
    talked = run("dialogue", "--band", "10_12", "--country", "GB", given="3\n")
    assert talked.exit_code == 0 and "Childline" in talked.output
    (first,) = lines(run("dialogue", "--band", "10_12", "--json"))
    assert not first["end"]
    step = first["position"]["step"]
    (last,) = lines(run("dialogue", "--band", "10_12", "--json", "--step", step, "--press", "leave"))
    assert last["end"] and last["help"]
    assert run("dialogue", "--json", "--step", "nowhere").exit_code == 2
    assert run("dialogue", "--json", "--step", step, "--press", "shout").exit_code == 2


def test_removal_shows_what_would_be_sent(tmp_path: Path) -> None:
    from PIL import Image

    picked = tmp_path / "picked.png"
    Image.linear_gradient("L").save(picked)
    (guide,) = lines(run("removal", str(picked), "--country", "GB", "--json"))
    assert guide["sent"] == 0 and len(guide["would_send"]["sha256"]) == 64
    assert [one["id"] for one in guide["services"]] == ["report_remove", "take_it_down"]
    text = run("removal", str(picked), "--adult")
    assert guide["would_send"]["sha256"] in text.output and "StopNCII" in text.output
    missing = run("removal", str(tmp_path / "missing.png"))
    assert isinstance(missing.exception, MediaNotFoundError)
    assert "missing.png" not in str(missing.exception)


def test_education_and_gallery(tmp_path: Path) -> None:
    names = [row["id"] for row in lines(run("education", "--json"))]
    assert "carers" in names
    (pack,) = lines(run("education", "carers", "--json"))
    assert len(pack["sections"]) == 5
    assert "exploitation" in run("education", "carers").output
    assert run("education", "everybody").exit_code == 2
    pages = lines(run("gallery", str(tmp_path / "pages"), "--json"))
    assert {row["page"] for row in pages} >= {"en.html", "index.html"}
    assert (tmp_path / "pages" / "en.html").stat().st_size == pages[0]["bytes"]
