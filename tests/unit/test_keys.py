"""Device keys: stored whole, found again, never quietly replaced."""

from __future__ import annotations

import os
import stat
import threading
from pathlib import Path

import pytest
from safelight import UsageError
from safelight.errors import KeyDamagedError, KeyMissingError, KeyUnavailableError, SafelightError
from safelight.keys import KEY_BYTES, FileKeyProvider, KeyProtection, KeyProvider


def test_a_key_is_made_once_and_found_again(tmp_path: Path) -> None:
    folder = tmp_path / "keys"
    made = FileKeyProvider(folder).create("lists")
    assert len(made) == KEY_BYTES
    assert FileKeyProvider(folder).get("lists") == made
    assert FileKeyProvider(folder).create("lists") == made
    assert FileKeyProvider(folder).create("holds") != made


def test_it_is_a_provider_and_says_what_it_is_worth(tmp_path: Path) -> None:
    provider = FileKeyProvider(tmp_path)
    assert isinstance(provider, KeyProvider)
    assert provider.protection is KeyProtection.OBFUSCATION
    assert str(tmp_path) not in repr(provider)


def test_a_missing_key_is_never_made_by_reading(tmp_path: Path) -> None:
    provider = FileKeyProvider(tmp_path)
    with pytest.raises(KeyMissingError, match="install or enter the data again"):
        provider.get("lists")
    assert list(tmp_path.iterdir()) == []


def test_a_deleted_key_is_gone(tmp_path: Path) -> None:
    provider = FileKeyProvider(tmp_path)
    before = provider.create("lists")
    provider.delete("lists")
    provider.delete("lists")
    with pytest.raises(KeyMissingError):
        provider.get("lists")
    assert provider.create("lists") != before


def test_every_flipped_bit_and_every_cut_is_seen(tmp_path: Path) -> None:
    provider = FileKeyProvider(tmp_path)
    provider.create("lists")
    path = tmp_path / "lists.key"
    stored = path.read_bytes()
    damaged = [stored[:length] for length in range(len(stored))] + [stored + b"\0"]
    for bit in range(8 * len(stored)):
        flipped = bytearray(stored)
        flipped[bit // 8] ^= 1 << bit % 8
        damaged.append(bytes(flipped))
    for content in damaged:
        path.write_bytes(content)
        with pytest.raises(KeyDamagedError):
            provider.get("lists")
        with pytest.raises(KeyDamagedError):
            provider.create("lists")


def test_a_key_under_another_name_is_not_taken(tmp_path: Path) -> None:
    provider = FileKeyProvider(tmp_path)
    provider.create("lists")
    os.rename(tmp_path / "lists.key", tmp_path / "holds.key")
    with pytest.raises(KeyDamagedError):
        provider.get("holds")


@pytest.mark.skipif(os.name != "posix", reason="modes")
def test_only_this_user_may_read(tmp_path: Path) -> None:
    folder = tmp_path / "keys"
    FileKeyProvider(folder).create("lists")
    assert stat.S_IMODE((folder / "lists.key").stat().st_mode) == 0o600
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert [path.name for path in folder.iterdir()] == ["lists.key"]


def test_first_calls_at_once_agree(tmp_path: Path) -> None:
    provider = FileKeyProvider(tmp_path)
    start = threading.Barrier(8)
    seen: list[bytes] = []

    def ask() -> None:
        start.wait()
        seen.append(provider.create("lists"))

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(seen) == 8
    assert len(set(seen)) == 1


def test_without_hard_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(1, "no links here")

    monkeypatch.setattr(os, "link", refuse)
    provider = FileKeyProvider(tmp_path)
    assert provider.create("lists") == provider.get("lists")
    assert [path.name for path in tmp_path.iterdir()] == ["lists.key"]


def test_no_room_is_an_error_without_a_path_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device", str(tmp_path))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(KeyUnavailableError, match="ENOSPC") as caught:
        FileKeyProvider(tmp_path).create("lists")
    assert str(tmp_path) not in f"{caught.value!r} {caught.value.__context__!r}"
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "keys").write_bytes(b"")
    with pytest.raises(SafelightError) as caught:
        FileKeyProvider(tmp_path / "keys").create("lists")
    assert str(tmp_path) not in str(caught.value)


@pytest.mark.parametrize("name", ["", "Lists", "../lists", "a/b", "a b", "1a", "a" * 65, "lists\n", None])
def test_faulty_names(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError, match="lower-case word"):
        FileKeyProvider(tmp_path).get(name)
