"""Lists: no network, no hash or path in logs, reprs and errors, and nothing readable on the disk."""

from __future__ import annotations

import gc
import json
import logging
import os
import shutil
import subprocess
import sys
import traceback
from pathlib import Path

import numpy as np
import pytest
from safelight import SafelightError
from safelight.hashing import PdqHash, Sha256Hash
from safelight.keys import FileKeyProvider
from safelight.lists import ListStore, write_files
from simulator import NOW, Simulator, some_list

SENTINEL = "zq7sentinel"

_WATCHED = """
import sys

opened = []
def hook(event, arguments):
    if event.startswith("socket.") or event == "urllib.Request":
        opened.append(event)
sys.addaudithook(hook)

from safelight import Guard, Profile
from safelight.keys import FileKeyProvider
from safelight.lists import ListStore

folder, mirror, trust, picture = sys.argv[1:]
store = ListStore(folder + "/lists", trust=[trust], keys=FileKeyProvider(folder + "/keys"))
store.update(mirror)
with Guard(Profile("10_12"), lists=[store], detectors=()) as guard:
    decision = guard.check_image(picture)
    guard.hash_appeal(picture)
assert any(f.model == "alpha" and f.state.value == "OK" for f in decision.findings), decision
import json
print(json.dumps(opened))
print(json.dumps([name for name in ("urllib3", "requests", "tuf.ngclient") if name in sys.modules]))
"""


@pytest.fixture
def simulator() -> Simulator:
    from datetime import datetime, timedelta, timezone

    made = Simulator()
    made.add(some_list(1))
    for signed in (made.root, made.targets, made.snapshot, made.timestamp):
        signed.expires = datetime.now(timezone.utc).replace(microsecond=0) + timedelta(days=2)
    return made


def test_installing_and_asking_open_no_socket(tmp_path: Path, simulator: Simulator, portrait: Path) -> None:
    """Not even a bound one: python-tuf's own client would load a network library that binds one to try IPv6."""
    write_files(tmp_path / "mirror", simulator.files())
    arguments = [str(tmp_path), str(tmp_path / "mirror"), simulator.trust[0], str(portrait)]
    done = subprocess.run([sys.executable, "-c", _WATCHED, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    sockets, modules = map(json.loads, done.stdout.splitlines()[-2:])
    assert sockets == []
    assert modules == []


def test_hashes_and_paths_stay_out_of_logs_reprs_and_errors(
    tmp_path: Path, simulator: Simulator, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    folder = tmp_path / SENTINEL
    folder.mkdir()
    store = ListStore(folder / "lists", trust=simulator.trust, keys=FileKeyProvider(folder / "keys"))
    shown = [repr(store), repr(store.update(simulator.files())), repr(store.installed())]
    section = some_list(1).sections["pdq"]
    (known,) = store.open()
    match = known.match_pdq(PdqHash.from_bits(section.hashes[0].tobytes()))
    shown += [repr(known), repr(match), repr(simulator.lists["alpha"]), repr(section)]
    known.close()
    saved = tmp_path / "saved"
    shutil.copytree(folder / "lists", saved)
    for name in sorted(path.name for path in saved.iterdir()):
        shutil.rmtree(folder / "lists")
        shutil.copytree(saved, folder / "lists")
        path = folder / "lists" / name
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
        for call in (store.open, store.installed, lambda: store.update(simulator.files())):
            try:
                call()
            except SafelightError as error:
                shown += traceback.format_exception(error)[-1:]
                shown += [f"{error!r} {error.__cause__!r} {error.__context__!r}"]
    text = " ".join([*shown, caplog.text])
    assert SENTINEL not in text
    for row in (*section.hashes, *some_list(1).sections["sha256"].hashes):
        assert bytes(row).hex() not in text


def test_nothing_on_the_disk_can_be_read_without_the_key(tmp_path: Path, simulator: Simulator) -> None:
    store = ListStore(tmp_path / "lists", trust=simulator.trust, keys=FileKeyProvider(tmp_path / "keys"))
    store.update(simulator.files())
    content = b"".join(path.read_bytes() for path in (tmp_path / "lists").iterdir())
    for row in some_list(1).sections["pdq"].hashes:
        assert bytes(row) not in content
        assert bytes(row)[:8] not in content
    assert b"alpha" not in content
    if os.name == "posix":
        assert {path.stat().st_mode & 0o077 for path in (tmp_path / "lists").iterdir()} == {0}


@pytest.mark.skipif(not Path("/proc/self/smaps").exists(), reason="Linux")
def test_an_open_list_lies_in_memory_that_is_not_dumped(tmp_path: Path) -> None:
    made = Simulator()
    made.add(some_list(1, count=40_000))
    store = ListStore(tmp_path / "lists", trust=made.trust, keys=FileKeyProvider(tmp_path / "keys"), clock=lambda: NOW)
    store.update(made.files())

    def not_dumped() -> int:
        size = kilobytes = 0
        for line in Path("/proc/self/smaps").read_text().splitlines():
            if line.startswith("Size:"):
                kilobytes = int(line.split()[1])
            elif line.startswith("VmFlags:") and " dd" in line:
                size += kilobytes
        return size

    gc.collect()
    before = not_dumped()
    (known,) = store.open()
    # 40,000 entries of 42 bytes or more: all of it, and nothing of it elsewhere.
    assert not_dumped() - before > 40_000 * 42 // 1024
    known.close()
    del known
    gc.collect()
    assert not_dumped() <= before


def test_a_closed_list_answers_nothing_and_is_wiped(tmp_path: Path, simulator: Simulator) -> None:
    from safelight.lists._sealed import SecretMemory

    store = ListStore(tmp_path / "lists", trust=simulator.trust, keys=FileKeyProvider(tmp_path / "keys"))
    store.update(simulator.files())
    (known,) = store.open()
    exact = some_list(1).sections["sha256"].hashes[0].tobytes()
    assert known.match_sha256(Sha256Hash(exact)) is not None
    known.close()
    known.close()
    with pytest.raises(SafelightError, match="closed"):
        known.match_sha256(Sha256Hash(exact))
    with pytest.raises(SafelightError, match="closed"):
        known.match_pdq(PdqHash.from_bits(exact))
    memory = SecretMemory(100)
    memory.write(0, b"secret")
    view = memory.view()  # somebody still looks: wiped all the same
    memory.close()
    assert bytes(view) == bytes(100)


def test_memory_can_be_kept_out_of_swap(tmp_path: Path, simulator: Simulator) -> None:
    from safelight.lists._sealed import SecretMemory

    locked = SecretMemory(5000, lock=True)
    assert locked.locked in (True, False)  # a limit of the system may refuse; then it says so
    locked.close()
    store = ListStore(
        tmp_path / "lists", trust=simulator.trust, keys=FileKeyProvider(tmp_path / "keys"), lock_memory=True
    )
    store.update(simulator.files())
    (known,) = store.open()
    with known:
        assert np.count_nonzero(some_list(1).sections["pdq"].ids) == len(some_list(1).sections["pdq"])
        assert known.match_pdq(PdqHash.from_bits(some_list(1).sections["pdq"].hashes[5].tobytes())) is not None
