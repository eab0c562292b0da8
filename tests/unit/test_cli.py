"""The command line as a person and as a script use it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from safelight.capabilities import capabilities
from safelight.cli import doctor
from safelight.cli.main import cli
from safelight.detect.grooming import grooming_model
from safelight.runtime import GroomingManifest, load_manifest, model_ids

DECISION_FIELDS = [
    "input",
    "event",
    "age_band",
    "action",
    "findings",
    "reasons",
    "notice",
    "record",
    "test_mode",
    "elapsed_ms",
]


def run(*arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "safelight", *arguments], capture_output=True, text=True, check=False, **options
    )


def test_an_allowed_picture(portrait: Path) -> None:
    done = run("check", str(portrait), "--age-band", "10_12", "--country", "GB")
    assert done.returncode == 0
    assert "ALLOW · goes ahead" in done.stdout
    assert done.stderr == ""


def test_json_has_the_fields_of_the_design(portrait: Path) -> None:
    done = run("check", str(portrait), "--json", "--age-band", "10_12")
    result = json.loads(done.stdout)
    assert list(result) == DECISION_FIELDS
    assert result["action"] == "ALLOW"
    assert (result["notice"], result["record"]) == (None, None)
    assert list(result["findings"][0]) == ["kind", "label", "score", "state", "model"]


def test_a_block_in_json_and_for_people(portrait: Path) -> None:
    arguments = ("check", str(portrait), "--age-band", "10_12", "--country", "GB", "--trigger", "nudity=0.97")
    done = run(*arguments, "--json")
    assert done.returncode == 3
    result = json.loads(done.stdout)
    assert result["action"] == "BLOCK"
    assert result["test_mode"] is True
    assert {"id", "lang", "title", "body", "choices", "help"} <= set(result["notice"])
    phones = [service["phone"] for service in result["notice"]["help"]]
    panel = run(*arguments).stdout
    assert "TEST MODE" in panel
    assert result["notice"]["title"] in panel
    assert all(phone in panel for phone in phones if phone)
    assert "read 20" in panel


@pytest.mark.parametrize(
    ("arguments", "status"),
    [
        (["check"], 2),
        (["check", "{portrait}", "--event", "fax"], 2),
        (["check", "{portrait}", "--age-band", "12"], 2),
        (["check", "{portrait}", "--context", "revenge"], 2),
        (["check", "{portrait}", "--country", "Britain"], 2),
        (["check", "{portrait}", "--trigger", "nudity=7"], 2),
        (["check", "no-such-file.jpg"], 1),
        (["check", "no-such-file.jpg", "{portrait}"], 1),
        (["check", "no-such-file.jpg", "{text}"], 3),
        (["check", "{text}"], 3),
        (["models", "verify", "no_such_model"], 2),
        (["teleport"], 2),
    ],
)
def test_exit_status(arguments: list[str], status: int, portrait: Path, tmp_path: Path) -> None:
    text = tmp_path / "notes.txt"
    text.write_text("hello")
    done = run(*(a.format(portrait=portrait, text=text) for a in arguments))
    assert done.returncode == status, done.stderr
    assert "Traceback" not in done.stderr
    if status != 0:
        assert done.stderr or done.stdout


def test_a_context_chooses_the_words_and_not_the_action(portrait: Path) -> None:
    arguments = ("check", str(portrait), "--age-band", "13_15", "--event", "send", "--trigger", "nudity=0.97", "--json")
    plain = run(*arguments)
    told = run(*arguments, "--context", "forwarding")
    assert plain.returncode == told.returncode == 3
    before, after = json.loads(plain.stdout), json.loads(told.stdout)
    assert (before["action"], before["reasons"]) == (after["action"], after["reasons"])
    assert before["notice"]["id"].startswith("picture_out_explicit.")
    assert after["notice"]["id"].startswith("forwarding.")


def test_a_missing_file_is_one_json_object_too(portrait: Path) -> None:
    done = run("check", "no-such-file.jpg", str(portrait), "--json")
    first, second = (json.loads(line) for line in done.stdout.splitlines())
    assert first["input"] == "no-such-file.jpg"
    assert first["error"]["type"] == "MediaNotFoundError"
    assert second["action"] == "ALLOW"


def test_standard_input(portrait: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "safelight", "check", "-", "--json"],
        input=portrait.read_bytes(),
        capture_output=True,
        check=False,
    )
    assert json.loads(done.stdout)["action"] == "ALLOW"


def test_a_file_name_cannot_drive_the_terminal(tmp_path: Path) -> None:
    name = tmp_path / "a\x1b[2J\u202egpj.exe"
    name.write_bytes(b"x")
    # By its name alone: the panel cuts a long path at its end, where this name stands.
    done = run("check", name.name, cwd=tmp_path)
    assert "\x1b[2J" not in done.stdout
    assert "\u202e" not in done.stdout
    assert "\\u{1B}" in done.stdout.replace("\n", "")


def test_models_list_and_verify() -> None:
    listed = [json.loads(line) for line in run("models", "list", "--json").stdout.splitlines()]
    assert [model["id"] for model in listed] == list(model_ids())
    assert all(model["state"] == "OK" for model in listed)
    verified = run("models", "verify", "--json")
    assert verified.returncode == 0
    for line in verified.stdout.splitlines():
        result = json.loads(line)
        assert result["state"] == "OK"
        assert result["max_steps"] <= 2
    assert "open_nsfw_v1" in run("models", "list").stdout
    assert "✓ open_nsfw_v1" in run("models", "verify").stdout


def test_doctor_is_healthy_here() -> None:
    done = run("doctor", "--json")
    assert done.returncode == 0, done.stdout
    assert json.loads(done.stdout)["healthy"] is True
    assert "This installation can protect." in run("doctor").stdout


def test_the_conversation_model_is_listed_with_its_state_and_languages() -> None:
    model_id = grooming_model()
    listed = capabilities()["conversation_model"]
    assert (listed["id"], listed["state"]) == (model_id, "OK")
    assert {"en", "de", "ar", "ja"} <= set(listed["languages"])
    assert "other" not in listed["languages"]
    assert model_id is not None
    manifest = load_manifest(model_id)
    assert isinstance(manifest, GroomingManifest)
    assert set(listed["calibrated_languages"]) == set(manifest.calibration) - {"default"}
    (check,) = [one for one in doctor.run_checks() if one.name == "conversation model"]
    assert check.ok
    assert f"{model_id}: OK" in check.detail


def test_a_conversation_model_that_is_missing_or_damaged_is_said(
    installation: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model_id = grooming_model()
    (installation / "_data" / "models" / f"{model_id}" / "model.tflite").write_bytes(b"nothing")
    damaged = doctor._conversation_model()
    assert damaged.ok is False
    assert "not judged" in damaged.detail
    monkeypatch.setattr("safelight.detect.grooming.model_ids", lambda: ())
    assert capabilities()["conversation_model"] == {
        "id": None,
        "state": "NO_MODEL",
        "languages": [],
        "calibrated_languages": [],
    }
    assert doctor._conversation_model() == doctor.Check(
        "conversation model", False, "none: NO_MODEL: messages are not judged"
    )


def test_a_model_of_other_text_features_is_unverified(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("safelight._text.FEATURE_VERSION", 0)
    assert capabilities()["conversation_model"]["state"] == "UNVERIFIED"


def test_doctor_names_what_is_damaged(installation: Path) -> None:
    (installation / "_data/models/open_nsfw_v1/model.tflite").write_bytes(b"")
    result = CliRunner().invoke(cli, ["doctor", "--json"])
    assert result.exit_code == 1
    report = json.loads(result.stdout)
    assert report["healthy"] is False
    failed = {check["name"] for check in report["checks"] if check["ok"] is False}
    assert failed == {"built-in data", "models"}


def test_models_verify_fails_on_a_damaged_model(installation: Path) -> None:
    (installation / "_data/models/open_nsfw_v1/model.tflite").unlink()
    result = CliRunner().invoke(cli, ["models", "verify"])
    assert result.exit_code == 1
    assert "NO_MODEL" in result.stdout


def test_capabilities_names_what_is_and_what_is_not() -> None:
    manifest = json.loads(run("capabilities", "--json").stdout)
    assert [model["id"] for model in manifest["models"]] == list(model_ids())
    assert manifest["not_in_this_version"]
    assert manifest["reporting"]["default"].startswith("off")
    assert "nothing leaves the device" in run("capabilities").stdout
    assert {"mov", "matroska"} <= set(manifest["clip_containers"])


def test_helplines_by_country() -> None:
    services = [json.loads(line) for line in run("helplines", "--country", "GB", "--json").stdout.splitlines()]
    assert services
    for service in services:
        assert list(service)[:3] == ["service", "organisation", "country"]
        if service["phone"]:
            assert service["read_on"]
    assert "read 20" in run("helplines", "--country", "GB").stdout


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_scripts(shell: str) -> None:
    done = run("completion", shell)
    assert done.returncode == 0
    assert "_SAFELIGHT_COMPLETE" in done.stdout


def test_a_reader_that_goes_away(portrait: Path) -> None:
    """`safelight check … | head -c 0`: the pipe is closed before anything is written to it."""
    read_end, write_end = os.pipe()
    os.close(read_end)
    try:
        done = subprocess.run(
            [sys.executable, "-m", "safelight", "check", *[str(portrait)] * 3],
            stdout=write_end,
            stderr=subprocess.PIPE,
            check=False,
        )
    finally:
        os.close(write_end)
    assert done.returncode == 1
    assert b"Traceback" not in done.stderr
    assert b"Exception ignored" not in done.stderr
