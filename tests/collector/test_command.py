"""The command line: every command, in text and JSON, and what it says to somebody who makes a mistake."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from collector_world import ROOT, SOURCE
from safelight_collector import cli as module
from safelight_collector.errors import CollectorError


@pytest.fixture
def run(place: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    for name in list(os.environ):
        if name.startswith("SAFELIGHT_COLLECTOR_"):
            monkeypatch.delenv(name)

    def call(*words: str, code: int = 0) -> Result:
        result = CliRunner().invoke(module.cli, ["--dir", str(place / "home"), *words])
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            assert isinstance(result.exception, CollectorError), result.exception
            assert code == 1
            return result
        assert result.exit_code == code, result.output
        return result

    yield call
    monkeypatch.delenv("SAFELIGHT_COLLECTOR_DIR", raising=False)


def said(result: Result) -> list[dict[str, Any]]:
    return [json.loads(line) for line in result.stdout.splitlines()]


def test_init_makes_what_is_needed_once(run, place: Path):
    (first,) = said(run("init", "--json"))
    assert first["made"] == ["sealing.key", "operator.token"]
    assert (first["schema_before"], first["schema"]) == (None, "0002")
    (again,) = said(run("init", "--json"))
    assert (again["made"], again["sealing_key"]) == ([], first["sealing_key"])
    home = place / "home"
    assert stat.S_IMODE(home.stat().st_mode) == 0o700
    for name in ("sealing.key", "operator.token"):
        assert stat.S_IMODE((home / name).stat().st_mode) == 0o600
    assert first["sealing_key"] in run("init").stdout


def test_tokens_are_made_listed_and_revoked(run):
    run("init")
    (made,) = said(run("token", "new", "--uses", "3", "--days", "9", "--json"))
    assert len(made["token"]) >= 43
    assert made["token"] != run("token", "new").stdout.strip()
    listed = said(run("token", "list", "--json"))
    assert [one["max_uses"] for one in listed] == [3, 1]
    assert "token" not in listed[0]
    run("token", "revoke", str(made["number"]))
    assert "revoked" in run("token", "list").stdout
    assert "none in force" in str(run("token", "revoke", str(made["number"]), code=1).exception)


def test_a_sealing_key_is_made_used_and_the_old_one_retired(run):
    (first,) = said(run("init", "--json"))
    (made,) = said(run("key", "new", "--name", "sealing-2.key", "--json"))
    assert [one["current"] for one in said(run("key", "list", "--json"))] == [True]
    run("key", "use", made["public_key"])
    found = said(run("key", "list", "--json"))
    assert [(one["current"], one["secret_here"]) for one in found] == [(False, True), (True, True)]
    assert "add a new one first" in str(run("key", "retire", made["public_key"], code=1).exception)
    run("key", "retire", first["sealing_key"])
    assert "current" in run("key", "list").stdout
    assert len(said(run("key", "list", "--json"))) == 1
    assert "not in use" in str(run("key", "retire", first["sealing_key"], code=1).exception)
    assert "in use before" in str(run("key", "use", first["sealing_key"], code=1).exception)
    assert "secret half is not here" in str(run("key", "use", "00" * 32, code=1).exception)
    assert "there is one already" in str(run("key", "new", "--name", "sealing-2.key", code=1).exception)
    run("key", "new", "--name", "../x.key", code=2)
    run("key", "use", "short", code=2)


def test_a_missing_secret_half_is_seen_before_serving(run, place: Path):
    run("init")
    (place / "home" / "sealing.key").unlink()
    assert "MISSING" in run("key", "list").stdout
    assert "1 of 1 keys" in str(run("serve", "--port", "0", code=1).exception)


def test_migrate_checks_goes_up_and_down(run):
    assert "init" in str(run("serve", code=1).exception)
    run("init")
    assert said(run("migrate", "--check", "--json")) == [{"schema": "0002", "newest": True}]
    run("migrate", "--down", code=2)
    assert said(run("migrate", "--down", "--to", "0001", "--json")) == [{"schema_before": "0002", "schema": "0001"}]
    assert "expected 0002" in str(run("migrate", "--check", code=1).exception)
    assert "0001 → 0002" in run("migrate").stdout


def test_retention_and_export_say_what_they_did(run):
    run("init")
    assert said(run("retention", "--json")) == [{"contents": 0, "ids": 0, "days": 0}]
    assert "Erased the contents of 0 records" in run("retention").stdout
    assert run("export").stdout == ""
    run("export", "--since", "2026-11-02", "--until", "2026-11-01", code=2)
    run("retention", "--days", "0", code=2)


def test_a_mistake_is_one_line_and_no_traceback(place: Path):
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join((str(SOURCE), str(ROOT / "sdk")))}
    for words, code in ((["--dir", str(place / "x"), "serve"], 1), (["serve", "--workers", "0"], 2)):
        done = subprocess.run(
            [sys.executable, "-m", "safelight_collector", *words], env=environ, capture_output=True, text=True
        )
        assert done.returncode == code
        assert "Traceback" not in done.stderr
        assert str(place) not in done.stderr


def test_an_address_in_use_is_named(run):
    import socket

    run("init")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert "cannot listen there" in str(run("serve", "--port", str(port), code=1).exception)
