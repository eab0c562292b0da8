"""Installed lists under damage: cut, changed, killed in the middle, no room. The last good list stays or says so."""

from __future__ import annotations

import os
import random
import shutil
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest
from safelight.errors import (
    KeyDamagedError,
    KeyMissingError,
    ListDamagedError,
    ListError,
    ListFullError,
    ListMissingError,
)
from safelight.hashing import PdqHash
from safelight.keys import FileKeyProvider
from safelight.lists import ListStore
from simulator import NOW, Simulator, some_list

posix = pytest.mark.skipif(os.name != "posix", reason="fork and resource limits")


@pytest.fixture(scope="module")
def simulator() -> Simulator:
    made = Simulator()
    made.add(some_list(1, count=6000))
    return made


@pytest.fixture(scope="module")
def first(simulator: Simulator) -> dict[str, bytes]:
    return simulator.files()


@pytest.fixture(scope="module")
def second(simulator: Simulator, first: dict[str, bytes]) -> dict[str, bytes]:
    simulator.add(some_list(2, count=6000))
    return simulator.files()


def _store(folder: Path, simulator: Simulator) -> ListStore:
    return ListStore(folder / "lists", trust=simulator.trust, keys=FileKeyProvider(folder / "keys"), clock=lambda: NOW)


@pytest.fixture
def store(tmp_path: Path, simulator: Simulator, first: dict[str, bytes]) -> ListStore:
    made = _store(tmp_path, simulator)
    made.update(first)
    return made


def _version_that_matches(store: ListStore) -> int:
    """Opens, asks, and says which version answered."""
    (known,) = store.open()
    with known:
        version = known.info.version
        assert known.match_pdq(PdqHash.from_bits(some_list(version, count=6000).sections["pdq"].hashes[0].tobytes()))
        return version


def _places(length: int) -> list[int]:
    """Of every class: nothing, in the mark, in the length, in the header, in a chunk, at its end, one byte short."""
    return sorted({0, 1, 7, 8, 12, 16, 20, 39, 40, 41, 100, 65_593, 65_594, length // 2, length - 17, length - 1})


@pytest.mark.parametrize("suffix", ["state", ".list", ".index"])
def test_a_file_cut_anywhere_is_damage(store: ListStore, tmp_path: Path, suffix: str, first: dict[str, bytes]) -> None:
    (path,) = [one for one in (tmp_path / "lists").iterdir() if one.name.endswith(suffix)]
    whole = path.read_bytes()
    for length in _places(len(whole)):
        if length >= len(whole):
            continue
        path.write_bytes(whole[:length])
        if suffix == ".list":
            # Only the next delta reads it: the list still opens, and an update mends the file.
            assert _version_that_matches(store) == 1
            assert store.update(first)[0].how == "full"
            (path,) = [one for one in (tmp_path / "lists").iterdir() if one.name.endswith(suffix)]
            whole = path.read_bytes()
        else:
            with pytest.raises(ListDamagedError, match="cut short, changed"):
                store.open()
    path.write_bytes(whole + b"\0")
    if suffix != ".list":
        with pytest.raises(ListDamagedError):
            store.open()


def test_every_byte_of_the_state_counts(store: ListStore, tmp_path: Path) -> None:
    path = tmp_path / "lists" / "state"
    whole = path.read_bytes()
    chance = random.Random(1)
    for place in range(0, len(whole), 1 if os.environ.get("HYPOTHESIS_PROFILE") == "soak" else 31):
        changed = bytearray(whole)
        changed[place] ^= 1 << chance.randrange(8)
        path.write_bytes(changed)
        with pytest.raises(ListDamagedError):
            store.installed()


def test_flips_in_an_index_are_seen(store: ListStore, tmp_path: Path) -> None:
    (path,) = (tmp_path / "lists").glob("*.index")
    whole = path.read_bytes()
    chance = random.Random(2)
    for _ in range(60):
        changed = bytearray(whole)
        changed[chance.randrange(len(whole))] ^= 1 << chance.randrange(8)
        path.write_bytes(changed)
        with pytest.raises(ListDamagedError):
            store.open()


def test_files_exchanged_between_lists_and_versions_are_seen(store: ListStore, tmp_path: Path) -> None:
    """Each is well sealed by this device's key, for another purpose."""
    folder = tmp_path / "lists"
    (index,), (plain,) = folder.glob("*.index"), folder.glob("*.list")
    shutil.copy(plain, index)
    with pytest.raises(ListDamagedError):
        store.open()


def test_bits_flipped_in_a_mirror_are_refused_or_mean_nothing(
    tmp_path: Path, simulator: Simulator, first: dict[str, bytes], second: dict[str, bytes]
) -> None:
    chance = random.Random(3)
    store = _store(tmp_path, simulator)
    store.update(first)
    saved = tmp_path / "saved"
    shutil.copytree(tmp_path / "lists", saved)
    names = [name for name in second if name.startswith("metadata/")]
    for round_number in range(400 if os.environ.get("HYPOTHESIS_PROFILE") == "soak" else 30):
        name = names[round_number % len(names)]
        changed = bytearray(second[name])
        changed[chance.randrange(len(changed))] ^= 1 << chance.randrange(8)
        try:
            store.update(second | {name: bytes(changed)})
        except ListError:
            assert _version_that_matches(store) == 1
        else:
            # A digit of a signature in upper case, or a part of an old root that nobody needs: the same list.
            assert _version_that_matches(store) == 2
        shutil.rmtree(tmp_path / "lists")
        shutil.copytree(saved, tmp_path / "lists")


@pytest.mark.parametrize("cut", [0, 1, 100, -100, -1])
def test_truncated_metadata_is_refused(
    tmp_path: Path, simulator: Simulator, first: dict[str, bytes], second: dict[str, bytes], cut: int
) -> None:
    store = _store(tmp_path, simulator)
    store.update(first)
    for name in second:
        if name.startswith("metadata/") and name not in first:
            with pytest.raises(ListError):
                store.update(second | {name: second[name][:cut]})
            assert _version_that_matches(store) == 1
    store.update(second)
    assert _version_that_matches(store) == 2


def test_a_lost_or_damaged_key_says_so(store: ListStore, tmp_path: Path) -> None:
    path = tmp_path / "keys" / "lists.key"
    whole = path.read_bytes()
    path.write_bytes(whole[:-1])
    with pytest.raises(KeyDamagedError):
        store.open()
    path.unlink()
    with pytest.raises(KeyMissingError):
        store.open()
    # Another key is as good as damage: nothing is quietly begun anew.
    FileKeyProvider(tmp_path / "keys").create("lists")
    with pytest.raises(ListDamagedError):
        store.open()


def test_damage_is_mended_only_when_asked(store: ListStore, tmp_path: Path, first: dict[str, bytes]) -> None:
    (tmp_path / "lists" / "state").write_bytes(b"damage")
    with pytest.raises(ListDamagedError, match="--reinstall"):
        store.update(first)
    store.update(first, reinstall=True)
    assert _version_that_matches(store) == 1


def test_a_lost_index_is_mended_by_the_next_update(store: ListStore, tmp_path: Path, first: dict[str, bytes]) -> None:
    for path in (tmp_path / "lists").glob("*.index"):
        path.unlink()
    with pytest.raises(ListDamagedError, match="gone or cannot be read"):
        store.open()
    store.update(first)
    assert _version_that_matches(store) == 1


def test_nothing_installed_is_not_an_empty_list(tmp_path: Path, simulator: Simulator) -> None:
    store = _store(tmp_path, simulator)
    with pytest.raises(ListMissingError):
        store.open()
    (tmp_path / "lists").mkdir()
    with pytest.raises(ListMissingError):
        store.installed()


# --- killed in the middle --------------------------------------------------------------------------------


def _in_a_child(work: Callable[[], None]) -> int:
    """Run in a forked process; its exit status, or minus the signal that ended it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # fork with threads: the child only works and leaves
        pid = os.fork()
    if pid == 0:
        code = 1
        try:
            work()
            code = 0
        except ListFullError:
            code = 5
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


@posix
def test_killed_at_every_call_that_touches_the_disk(
    tmp_path: Path, simulator: Simulator, first: dict[str, bytes], second: dict[str, bytes]
) -> None:
    """The process ends at once, nothing is tidied up. Before the last rename the old list is there, then the new."""
    calls = 0
    seen: set[int] = set()
    while True:
        folder = tmp_path / str(calls)
        store = _store(folder, simulator)
        store.update(first)

        def work(store: ListStore = store, allowed: int = calls) -> None:
            left = allowed

            def fatal(name: str) -> None:
                real = getattr(os, name)

                def call(*arguments: object, **named: object) -> object:
                    nonlocal left
                    if left == 0:
                        os._exit(9)
                    left -= 1
                    return real(*arguments, **named)

                setattr(os, name, call)

            for name in ("open", "fsync", "replace", "unlink"):
                fatal(name)
            store.update(second)

        code = _in_a_child(work)
        version = _version_that_matches(store)
        seen.add(version)
        if code == 0:
            assert version == 2
            break
        assert code == 9
        store.update(second)
        assert _version_that_matches(store) == 2
        left = sorted(path.name.split("-")[-1] for path in (folder / "lists").iterdir())
        assert left == ["alpha.index", "alpha.list", "lock", "state"]
        shutil.rmtree(folder)
        calls += 1
    assert seen == {1, 2}
    assert calls > 10


@posix
@pytest.mark.parametrize("deadly", [True, False])
def test_writing_stops_in_the_middle_of_a_file(
    tmp_path: Path, simulator: Simulator, first: dict[str, bytes], second: dict[str, bytes], deadly: bool
) -> None:
    """A limit on the size of files: the kernel writes a part, then kills the process or refuses the rest."""
    import resource
    import signal

    store = _store(tmp_path, simulator)
    store.update(first)
    for limit in (0, 1, 100, 3_000, 65_000, 70_000, 200_000):

        def work(limit: int = limit) -> None:
            signal.signal(signal.SIGXFSZ, signal.SIG_DFL if deadly else signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
            store.update(second)

        code = _in_a_child(work)
        assert code == (-signal.SIGXFSZ if deadly else 5)
        assert _version_that_matches(store) == 1
    store.update(second)
    assert _version_that_matches(store) == 2


def test_no_room_anywhere_is_said_and_harmless(
    store: ListStore, monkeypatch: pytest.MonkeyPatch, second: dict[str, bytes], tmp_path: Path
) -> None:
    real = os.fsync
    for allowed in range(100):
        left = allowed

        def full(file: int) -> None:
            nonlocal left
            left -= 1
            if left < 0:
                raise OSError(28, "No space left on device", str(tmp_path))
            real(file)

        monkeypatch.setattr(os, "fsync", full)
        shown = ""
        try:
            store.update(second)
        except ListFullError as error:
            shown = f"{error!r} {error.__context__!r}"
        if not shown:
            break
        assert str(tmp_path) not in shown
        monkeypatch.setattr(os, "fsync", real)
        assert _version_that_matches(store) in (1, 2)
    assert allowed > 3
    assert _version_that_matches(store) == 2


@posix
def test_two_processes_update_one_folder(
    tmp_path: Path, simulator: Simulator, first: dict[str, bytes], second: dict[str, bytes]
) -> None:
    """One waits for the other; whoever is last, the folder is whole."""
    store = _store(tmp_path, simulator)
    store.update(first)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        children = []
        for _ in range(4):
            pid = os.fork()
            if pid == 0:
                code = 1
                try:
                    store.update(second)
                    code = 0
                finally:
                    os._exit(code)
            children.append(pid)
    assert [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in children] == [0, 0, 0, 0]
    assert _version_that_matches(store) == 2
