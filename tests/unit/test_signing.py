"""Operator keys: made once, sealed if asked, and never a test key outside test mode."""

from __future__ import annotations

import json
import os
import stat
from contextlib import suppress
from pathlib import Path

import pytest
from safelight import UsageError
from safelight.errors import KeyDamagedError, KeyMissingError, MissingExtraError, SafelightError, UnsupportedInputError
from safelight.signing import TEST_KEYS, OperatorKey, OperatorSecret, trusted_keys

WORDS = "correct horse battery staple"


@pytest.fixture
def secret() -> OperatorSecret:
    return OperatorSecret.new()


def test_signatures_verify_and_are_those_of_ed25519(secret: OperatorSecret) -> None:
    from nacl.signing import VerifyKey

    signature = secret.sign(b"message")
    VerifyKey(bytes.fromhex(secret.public.public_hex)).verify(b"message", signature)
    # RFC 8032, test 1.
    known = OperatorSecret._of_seed(bytes.fromhex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60"))
    assert known.public.public_hex == "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"
    assert known.sign(b"").hex().startswith("e5564300c360ac729086e2cc806e828a")


@pytest.mark.parametrize("passphrase", [None, WORDS])
def test_a_saved_key_loads_again(tmp_path: Path, secret: OperatorSecret, passphrase: str | None) -> None:
    path = tmp_path / "operator.key"
    secret.save(path, passphrase=passphrase, strength="interactive")
    assert OperatorSecret.load(path, passphrase=passphrase) == secret
    if os.name == "posix":
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    with pytest.raises(UsageError, match="never overwritten"):
        secret.save(path)
    stored = path.read_text()
    assert (secret._seed.hex() in stored) is False
    assert ('"seed"' in stored) is (passphrase is None)
    assert secret._seed.hex() not in repr(secret)
    assert str(secret._seed) not in repr(secret)


def test_a_sealed_key_needs_its_passphrase(tmp_path: Path, secret: OperatorSecret) -> None:
    path = tmp_path / "operator.key"
    secret.save(path, passphrase=WORDS, strength="interactive")
    for wrong in (None, WORDS + " ", "x" * 2000, ""):
        with pytest.raises(UsageError, match="passphrase"):
            OperatorSecret.load(path, passphrase=wrong)


def test_a_changed_file_is_damage_and_never_another_key(tmp_path: Path, secret: OperatorSecret) -> None:
    path = tmp_path / "operator.key"
    secret.save(path)
    whole = path.read_bytes()
    for place in range(len(whole)):
        changed = bytearray(whole)
        changed[place] ^= 4
        path.write_bytes(changed)
        with suppress(KeyDamagedError):
            assert OperatorSecret.load(path) == secret
    for length in range(0, len(whole) - 2, 5):
        path.write_bytes(whole[:length])
        with pytest.raises(KeyDamagedError):
            OperatorSecret.load(path)


@pytest.mark.parametrize(("name", "value"), [("operations", 10**9), ("memory_bytes", 1 << 40), ("salt", "AAAA")])
def test_a_changed_file_cannot_ask_for_all_memory(
    tmp_path: Path, secret: OperatorSecret, name: str, value: object
) -> None:
    path = tmp_path / "operator.key"
    secret.save(path, passphrase=WORDS, strength="interactive")
    stored = json.loads(path.read_text())
    stored["sealed"][name] = value
    path.write_text(json.dumps(stored))
    with pytest.raises(KeyDamagedError, match="out of range"):
        OperatorSecret.load(path, passphrase=WORDS)


def test_files_that_are_not_there(tmp_path: Path, secret: OperatorSecret) -> None:
    with pytest.raises(KeyMissingError) as caught:
        OperatorSecret.load(tmp_path / "none.key")
    assert str(tmp_path) not in f"{caught.value!r} {caught.value.__context__!r}"
    with pytest.raises(SafelightError):
        secret.save(tmp_path / "no" / "folder.key")


def test_a_full_disk_leaves_nothing(tmp_path: Path, secret: OperatorSecret, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(SafelightError, match="ENOSPC"):
        secret.save(tmp_path / "operator.key")
    assert list(tmp_path.iterdir()) == []


def test_public_keys_are_text(secret: OperatorSecret) -> None:
    text = secret.public.text
    assert OperatorKey.parse(text) == secret.public
    assert OperatorKey.parse(f"  {text} a comment\n") == secret.public
    assert str(secret.public) == text
    for wrong in ("", "ed25519:", text.upper(), text[:-1], text + "0", "rsa:" + text[8:], "\n"):
        with pytest.raises(UsageError, match=r"\.pub"):
            OperatorKey.parse(wrong)
    with pytest.raises(UnsupportedInputError):
        OperatorKey.parse(text.encode())  # type: ignore[arg-type]


def test_trust_is_explicit(secret: OperatorSecret) -> None:
    assert trusted_keys([secret.public.text, secret.public]) == {secret.public}
    with pytest.raises(UsageError, match="got no key"):
        trusted_keys([])
    with pytest.raises(UsageError, match="write \\[key\\]"):
        trusted_keys(secret.public.text)


@pytest.mark.parametrize("name", ["one", "two"])
def test_the_public_test_keys_are_refused_outside_test_mode(root: Path, name: str) -> None:
    public = OperatorKey.parse((root / "tests" / "keys" / f"{name}.pub").read_text())
    secret = OperatorSecret.load(root / "tests" / "keys" / f"{name}.key")
    assert secret.public == public
    assert public.is_test_key
    with pytest.raises(UsageError, match="safelight keys new"):
        trusted_keys([public])
    assert trusted_keys([public], test_mode=True) == {public}


def test_every_key_in_the_repository_is_a_test_key(root: Path) -> None:
    found = {OperatorKey.parse(path.read_text()).text for path in (root / "tests" / "keys").glob("*.pub")}
    assert found == TEST_KEYS


def test_without_pynacl_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    for name in list(sys.modules):
        if name.split(".")[0] == "nacl":
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "nacl", None)
    with pytest.raises(MissingExtraError, match=r"safelight\[lists\]"):
        OperatorSecret.new()
