"""The commands hash, match, lists and keys, as a person or a script runs them."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image as PilImage
from safelight.cli.main import cli, main
from safelight.hashing import pdq, sha256
from simulator import hashes

WORDS = "correct horse battery staple"


def _run(*arguments: str | Path, input: bytes | None = None) -> Result:
    return CliRunner().invoke(cli, [str(argument) for argument in arguments], input=input)


def _rows(result: Result) -> list[dict[str, Any]]:
    return [json.loads(line) for line in result.stdout.splitlines()]


def _picture(path: Path, seed: int = 1) -> Path:
    noise = np.random.default_rng(seed).integers(0, 256, (10, 10, 3), dtype=np.uint8)
    PilImage.fromarray(noise).resize((300, 240), PilImage.Resampling.BICUBIC).save(path)
    return path


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    return _picture(tmp_path / "one.png")


class Operator:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.repository = folder / "repository"
        assert _run("keys", "new", folder / "op", "--no-passphrase").exit_code == 0
        self.key, self.trust = folder / "op.key", folder / "op.pub"

    def build(self, *lines: str, list_id: str = "alpha", **more: str) -> Result:
        source = self.folder / "source.txt"
        source.write_text("\n".join(lines))
        options = [part for name, value in more.items() for part in (f"--{name.replace('_', '-')}", value)]
        return _run(
            "lists", "build", self.repository, source, "--list-id", list_id, "--key", self.key, *options, "--json"
        )

    def update(self, *more: str | Path) -> Result:
        return _run(
            "lists", "update", self.folder / "lists", "--from", self.repository, "--trust", self.trust,
            "--keys-folder", self.folder / "keys", "--json", *more,
        )  # fmt: skip


@pytest.fixture
def operator(tmp_path: Path) -> Operator:
    return Operator(tmp_path)


# --- hash ------------------------------------------------------------------------------------------------


def test_hash(picture: Path) -> None:
    result = _run("hash", picture, "--json")
    assert result.exit_code == 0
    (row,) = _rows(result)
    pixels = np.asarray(PilImage.open(picture))
    assert row == {
        "input": str(picture),
        "sha256": sha256(picture.read_bytes()).hex(),
        "pdq": pdq(pixels).hex(),
        "quality": pdq(pixels).quality,
        "profile": "full",
        "state": "OK",
    }
    said = _run("hash", picture).stdout
    assert row["pdq"] in said
    assert row["sha256"] in said


def test_hash_of_standard_input_profiles_and_turns(picture: Path) -> None:
    (row,) = _rows(_run("hash", "-", "--profile", "near512", "--dihedral", "--json", input=picture.read_bytes()))
    assert row["profile"] == "near512"
    assert len(set(row["dihedral"])) == 8
    assert row["dihedral"][0] == row["pdq"]


def test_hash_of_any_bytes(tmp_path: Path) -> None:
    path = tmp_path / "x.bin"
    path.write_bytes(b"any")
    (row,) = _rows(_run("hash", path, "--sha256-only", "--json"))
    assert row["sha256"] == sha256(b"any").hex()
    assert row["pdq"] is None
    result = _run("hash", path, "--json")
    assert result.exit_code == 1
    (row,) = _rows(result)
    assert (row["state"], row["pdq"], row["sha256"]) == ("NOT_MEDIA", None, sha256(b"any").hex())


def test_low_quality_is_a_state_and_never_an_empty_hash(tmp_path: Path) -> None:
    path = tmp_path / "plain.png"
    PilImage.new("RGB", (100, 100), (200, 200, 200)).save(path)
    result = _run("hash", path, "--json")
    assert result.exit_code == 0
    (row,) = _rows(result)
    assert row["state"] == "LOW_QUALITY"
    assert row["quality"] == 0
    assert len(row["pdq"]) == 64
    assert "matches nothing" in _run("hash", path).stdout


def test_hash_of_a_missing_file(tmp_path: Path, picture: Path) -> None:
    result = _run("hash", tmp_path / "none.png", picture, "--json")
    assert result.exit_code == 1
    missing, there = _rows(result)
    assert missing["error"]["type"] == "MediaNotFoundError"
    assert there["state"] == "OK"


# --- keys ------------------------------------------------------------------------------------------------


def test_keys_new(tmp_path: Path) -> None:
    words = tmp_path / "words"
    words.write_text(f"{WORDS}\n")
    result = _run("keys", "new", tmp_path / "a", "--passphrase-file", words, "--json")
    assert result.exit_code == 0, result.output
    (row,) = _rows(result)
    assert row["sealed"] is True
    assert (tmp_path / "a.pub").read_text().startswith(row["key"])
    assert _run("keys", "new", tmp_path / "a", "--no-passphrase").exit_code == 2
    assert _run("keys", "new", tmp_path / "b", "--no-passphrase", "--passphrase-file", words).exit_code == 2
    result = _run("keys", "new", tmp_path / "c")
    assert result.exit_code == 2
    assert "--passphrase-file" in result.output
    # A sealed key builds with its passphrase and not without.
    source = tmp_path / "s.txt"
    source.write_text("ab" * 32)
    build = ["lists", "build", tmp_path / "r", source, "--list-id", "x", "--key", tmp_path / "a.key"]
    assert _run(*build).exit_code == 2
    assert _run(*build, "--passphrase-file", words).exit_code == 0


# --- lists -----------------------------------------------------------------------------------------------


def test_from_source_to_match(operator: Operator, picture: Path, tmp_path: Path) -> None:
    near = bytearray(pdq(np.asarray(PilImage.open(picture))).bits)
    near[0] ^= 0b111
    built = operator.build(near.hex(), "11" * 32, category="A1")
    assert built.exit_code == 0, built.output
    assert _rows(built)[0]["hashes"] == {"pdq": 2}
    done = operator.update()
    assert done.exit_code == 0, done.output
    assert _rows(done)[0] | {"bytes_read": 0} == {
        "list": "alpha", "from_version": None, "to_version": 1, "how": "full", "bytes_read": 0,
    }  # fmt: skip
    other = _picture(tmp_path / "two.png", 2)
    options = ["--trust", operator.trust, "--keys-folder", tmp_path / "keys", "--json"]
    result = _run("match", picture, other, "--list", tmp_path / "lists", *options)
    assert result.exit_code == 3, result.output
    first, second = _rows(result)
    assert first["matches"][0]["list"] == "alpha"
    assert first["matches"][0]["distance"] == 3
    assert second == {"input": str(other), "state": "OK", "matches": []}
    assert near.hex() not in result.output
    assert _run("match", other, "--list", tmp_path / "lists", *options).exit_code == 0
    # A mirror answers the same without being installed.
    again = _run("match", picture, "--list", operator.repository, "--trust", operator.trust, "--json")
    assert _rows(again)[0]["matches"] == first["matches"]


def test_match_says_what_could_not_be_judged(operator: Operator, tmp_path: Path) -> None:
    operator.build("11" * 32)
    path = tmp_path / "x.jpg"
    path.write_bytes(b"no picture")
    result = _run("match", path, "--list", operator.repository, "--trust", operator.trust, "--json")
    assert result.exit_code == 3
    assert _rows(result)[0]["state"] == "NOT_MEDIA"
    assert (
        "could not be compared" in _run("match", path, "--list", operator.repository, "--trust", operator.trust).stdout
    )
    result = _run("match", tmp_path / "none", "--list", operator.repository, "--trust", operator.trust, "--json")
    assert result.exit_code == 1


def test_versions_deltas_and_what_they_cost(operator: Operator, tmp_path: Path) -> None:
    rows = [bytes(row).hex() for row in hashes(500, 3)]
    operator.build(*rows[:-1])
    assert operator.update().exit_code == 0
    (built,) = _rows(operator.build(*rows[1:]))
    assert built["version"] == 2
    assert 0 < built["delta_bytes"] < built["full_bytes"] // 10
    (done,) = _rows(operator.update())
    assert (done["how"], done["from_version"], done["to_version"], done["bytes_read"]) == (
        "delta", 1, 2, built["delta_bytes"],
    )  # fmt: skip
    assert _rows(operator.update())[0]["how"] == "unchanged"
    (published,) = _rows(_run("lists", "inspect", operator.repository, "--json"))
    assert (published["version"], published["deltas"], published["hashes"]) == (2, 1, 499)
    (installed,) = _rows(
        _run(
            "lists",
            "inspect",
            tmp_path / "lists",
            "--trust",
            operator.trust,
            "--keys-folder",
            tmp_path / "keys",
            "--json",
        )
    )
    assert (installed["version"], installed["hashes"], installed["stale"]) == (2, 499, False)


def test_renewal_signs_again_without_touching_lists(operator: Operator) -> None:
    operator.build("11" * 32)
    operator.update()
    before = (operator.repository / "metadata" / "timestamp.json").read_bytes()
    result = _run("lists", "build", operator.repository, "--key", operator.key, "--json")
    assert result.exit_code == 0
    assert (operator.repository / "metadata" / "timestamp.json").read_bytes() != before
    assert _rows(operator.update())[0]["how"] == "unchanged"


def test_verify(operator: Operator, tmp_path: Path) -> None:
    operator.build("11" * 32)
    good = _run("lists", "verify", operator.repository, "--trust", operator.trust, "--json")
    assert good.exit_code == 0
    assert _rows(good)[0]["ok"] is True
    _run("keys", "new", tmp_path / "other", "--no-passphrase")
    bad = _run("lists", "verify", operator.repository, "--trust", tmp_path / "other.pub", "--json")
    assert bad.exit_code == 1
    assert _rows(bad)[0]["error"]["type"] == "ListUntrustedError"
    blob = next((operator.repository / "targets").rglob("*.list"))
    blob.write_bytes(blob.read_bytes()[:-8])
    bad = _run("lists", "verify", operator.repository, "--trust", operator.trust, "--json")
    assert bad.exit_code == 1
    assert _rows(bad)[0]["error"]["type"] == "ListDamagedError"


def test_update_takes_a_zip(operator: Operator, tmp_path: Path) -> None:
    operator.build("11" * 32)
    packed = tmp_path / "mirror.zip"
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in operator.repository.rglob("*"):
            if path.is_file():
                archive.write(path, path.relative_to(operator.repository).as_posix())
    shutil.rmtree(operator.repository)
    operator.repository = packed
    result = operator.update()
    assert result.exit_code == 0, result.output
    packed.write_bytes(b"PK\x03\x04 nothing")
    assert operator.update().exit_code == 1


def test_what_went_wrong_is_one_line_and_a_status(
    operator: Operator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """No traceback, and an exit status for scripts; the first case as a real process."""
    operator.build("11" * 32)
    cases = [
        (1, ["lists", "update", tmp_path / "l", "--from", tmp_path / "nothing", "--trust", operator.trust]),
        (1, ["lists", "inspect", tmp_path / "nothing"]),
        (2, ["lists", "update", tmp_path / "l", "--from", operator.repository]),
        (2, ["lists", "update", tmp_path / "l", "--from", operator.repository, "--trust", "ed25519:short"]),
        (2, ["lists", "build", operator.repository, "--list-id", "x", "--key", operator.key]),
        (1, ["lists", "build", operator.repository, operator.key, "--list-id", "x", "--key", operator.key]),
        (1, ["match", operator.key, "--list", tmp_path / "nothing", "--trust", operator.trust]),
    ]
    command = [sys.executable, "-m", "safelight", *map(str, cases[0][1])]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, "Traceback" in done.stderr) == (1, False)
    for status, arguments in cases:
        monkeypatch.setattr(sys, "argv", ["safelight", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        assert ended.value.code == status
        assert capfd.readouterr().err.strip()


def test_a_faulty_source_names_the_line_and_publishes_nothing(operator: Operator) -> None:
    operator.build("11" * 32)
    before = sorted(path.name for path in operator.repository.rglob("*"))
    result = operator.build("22" * 32, "oops")
    assert result.exit_code == 1
    assert "source 1, line 2" in str(result.exception)
    assert sorted(path.name for path in operator.repository.rglob("*")) == before


def test_test_keys_need_test_mode(operator: Operator, root: Path, tmp_path: Path) -> None:
    key = root / "tests" / "keys" / "one.key"
    source = tmp_path / "s.txt"
    source.write_text("11" * 32)
    assert _run("lists", "build", tmp_path / "t", source, "--list-id", "x", "--key", key).exit_code == 0
    trust = root / "tests" / "keys" / "one.pub"
    refused = _run("lists", "verify", tmp_path / "t", "--trust", trust)
    assert "test key" in str(refused.exception)
    assert _run("lists", "verify", tmp_path / "t", "--trust", trust, "--test-mode").exit_code == 0


def test_another_operators_key_cannot_publish(operator: Operator, tmp_path: Path) -> None:
    operator.build("11" * 32)
    _run("keys", "new", tmp_path / "other", "--no-passphrase")
    operator.key = tmp_path / "other.key"
    result = operator.build("22" * 32)
    assert result.exit_code != 0
    assert "does not name" in str(result.exception)


def test_check_asks_installed_lists(operator: Operator, picture: Path, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    operator.build(pdq(np.asarray(PilImage.open(picture))).hex())
    update = ["lists", "update", tmp_path / "lists", "--from", operator.repository, "--trust", operator.trust]
    assert _run(*update).exit_code == 0
    options = ["--tier", "live", "--list", tmp_path / "lists", "--trust", operator.trust, "--json"]
    result = _run("check", picture, *options)
    assert result.exit_code == 3, result.output
    (row,) = _rows(result)
    assert "KNOWN_MATCH" in row["reasons"]
    known = [finding for finding in row["findings"] if finding["label"] == "match"]
    assert known[0]["model"] == "alpha"
    assert known[0]["distance"] == 0
    assert _run("check", picture, "--list", tmp_path / "lists").exit_code == 2
    result = _run("check", picture, "--tier", "live", "--list", tmp_path / "none", *options[4:])
    assert "NO_LIST" in _rows(result)[0]["reasons"]


def test_match_of_a_clip_names_both_percentages(operator: Operator, tmp_path: Path) -> None:
    pytest.importorskip("av")
    from safelight.lists import hash_clip
    from unit.test_clips import _clip

    clip = tmp_path / "clip.mp4"
    clip.write_bytes(_clip([1, 2, 3]))
    frames = [f"{one.hash.hex()},{one.hash.quality},{one.timestamp_ms / 1000}" for one in hash_clip(clip).frames]
    assert operator.build(f"vpdq {json.dumps(frames)}", format="threatexchange").exit_code == 0
    result = _run("match", clip, "--list", operator.repository, "--trust", operator.trust, "--json")
    assert result.exit_code == 3, result.output
    (row,) = _rows(result)
    assert row["state"] == "OK"
    assert row["matches"][0]["query_matched_percent"] == 100.0
    assert row["matches"][0]["list_matched_percent"] == 100.0
    said = _run("match", clip, "--list", operator.repository, "--trust", operator.trust).stdout
    assert "100.0 % of it is 100.0 % of the entry" in said
