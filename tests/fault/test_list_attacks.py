"""Attacks on signed lists: what is refused, by which error, what stays, and whether python-tuf's client agrees."""

from __future__ import annotations

import copy
import os
import random
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from unittest import mock

import pytest
from safelight.errors import (
    ListDamagedError,
    ListError,
    ListExpiredError,
    ListMissingError,
    ListRollbackError,
    ListUntrustedError,
)
from safelight.hashing import PdqHash
from safelight.keys import FileKeyProvider
from safelight.lists import ListStore, write_list
from safelight.signing import OperatorSecret
from simulator import NOW, DictFetcher, Simulator, some_list
from tuf.api.exceptions import DownloadError, RepositoryError
from tuf.ngclient import Updater

Change = Callable[[Simulator], None]


class Clock:
    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> datetime:
        return self.now


class Device:
    """A store and, beside it, python-tuf's client with the same past."""

    def __init__(self, folder: Path, trust: list[str]) -> None:
        self.clock = Clock()
        self.store = ListStore(folder / "lists", trust=trust, keys=FileKeyProvider(folder / "keys"), clock=self.clock)
        self.metadata = folder / "tuf"
        self.targets = folder / "targets"
        self.bootstrap: bytes | None = None
        for path in (self.metadata, self.targets):
            path.mkdir()

    def update(self, files: dict[str, bytes]) -> None:
        self.store.update(files)

    def tuf_update(self, files: dict[str, bytes]) -> None:
        self.bootstrap = self.bootstrap or files["metadata/1.root.json"]
        with mock.patch("tuf.ngclient._internal.trusted_metadata_set.datetime") as patched:
            patched.datetime.now.return_value = self.clock.now
            updater = Updater(
                str(self.metadata),
                "metadata/",
                str(self.targets),
                "targets/",
                fetcher=DictFetcher(files),
                bootstrap=self.bootstrap,
            )
            updater.refresh()

    def version(self) -> int:
        (one,) = self.store.installed()
        return one.version


@pytest.fixture
def simulator() -> Simulator:
    made = Simulator()
    made.add(some_list(1))
    made.add(some_list(2))
    return made


@pytest.fixture
def device(tmp_path: Path, simulator: Simulator) -> Device:
    made = Device(tmp_path, simulator.trust)
    files = simulator.files()
    made.update(files)
    made.tuf_update(files)
    return made


def _mallory(role: str) -> Change:
    def change(simulator: Simulator) -> None:
        simulator.bump()
        simulator.signers[role] = [OperatorSecret.new()]

    return change


def _unsigned(role: str) -> Change:
    def change(simulator: Simulator) -> None:
        simulator.bump()
        simulator.signers[role] = []

    return change


def _older(name: str) -> Change:
    def change(simulator: Simulator) -> None:
        simulator.bump()
        getattr(simulator, name).version -= 2

    return change


def _expired(name: str) -> Change:
    def change(simulator: Simulator) -> None:
        simulator.bump()
        getattr(simulator, name).expires = NOW - timedelta(days=1)

    return change


def _without(name: str) -> Change:
    def change(simulator: Simulator) -> None:
        simulator.bump()
        simulator.removed.add(name.format(s=simulator.snapshot.version, t=simulator.targets.version))

    return change


def _mixed(simulator: Simulator) -> None:
    """A snapshot of one moment with the timestamp of another."""
    simulator.bump()
    other = copy.deepcopy(simulator)
    other.targets.unrecognized_fields["note"] = "another"
    files = other.files()
    name = f"metadata/{simulator.snapshot.version}.snapshot.json"
    simulator.replaced[name] = files[name]


def _role_swap(simulator: Simulator) -> None:
    """Metadata of one role, well signed, in the place of another."""
    simulator.bump()
    simulator.replaced["metadata/timestamp.json"] = simulator.files()[
        f"metadata/{simulator.snapshot.version}.snapshot.json"
    ]


def _stolen_online_key_signs_targets(simulator: Simulator) -> None:
    simulator.bump()
    simulator.signers["targets"] = [simulator.online_secret]


def _root_not_handed_over(simulator: Simulator) -> None:
    """A new root that only its own key signed."""
    mallory = OperatorSecret.new()
    simulator.rotate_root(mallory, sign_with=[mallory])
    simulator.bump()


def _root_skips_a_version(simulator: Simulator) -> None:
    new = OperatorSecret.new()
    simulator.rotate_root(new)
    simulator.root.version += 1
    simulator.replaced[f"metadata/{simulator.root.version - 1}.root.json"] = simulator.sign("root", simulator.root)
    simulator.bump()


def _endless(simulator: Simulator) -> None:
    simulator.bump()
    simulator.replaced["metadata/timestamp.json"] = b" " * 20_000


ATTACKS: dict[str, tuple[Change, type[ListError]]] = {
    "timestamp of a stranger": (_mallory("timestamp"), ListUntrustedError),
    "snapshot of a stranger": (_mallory("snapshot"), ListUntrustedError),
    "targets of a stranger": (_mallory("targets"), ListUntrustedError),
    "timestamp unsigned": (_unsigned("timestamp"), ListUntrustedError),
    "snapshot unsigned": (_unsigned("snapshot"), ListUntrustedError),
    "targets unsigned": (_unsigned("targets"), ListUntrustedError),
    "targets by the online key": (_stolen_online_key_signs_targets, ListUntrustedError),
    "timestamp rolled back": (_older("timestamp"), ListRollbackError),
    "snapshot rolled back": (_older("snapshot"), ListRollbackError),
    "targets rolled back": (_older("targets"), ListRollbackError),
    "timestamp frozen": (_expired("timestamp"), ListExpiredError),
    "snapshot frozen": (_expired("snapshot"), ListExpiredError),
    "targets frozen": (_expired("targets"), ListExpiredError),
    "no timestamp": (_without("metadata/timestamp.json"), ListDamagedError),
    "no snapshot": (_without("metadata/{s}.snapshot.json"), ListDamagedError),
    "no targets": (_without("metadata/{t}.targets.json"), ListDamagedError),
    "mix and match": (_mixed, ListDamagedError),
    "one role for another": (_role_swap, ListDamagedError),
    "root not handed over": (_root_not_handed_over, ListUntrustedError),
    "root skips a version": (_root_skips_a_version, ListRollbackError),
    "endless timestamp": (_endless, ListDamagedError),
}


@pytest.mark.parametrize("name", ATTACKS)
def test_an_attack_is_refused_and_the_last_good_list_stays(name: str, simulator: Simulator, device: Device) -> None:
    change, expected = ATTACKS[name]
    change(simulator)
    files = simulator.files()
    with pytest.raises(expected) as caught:
        device.update(files)
    assert "; " in str(caught.value)  # says what to do
    assert device.version() == 2
    (known,) = device.store.open()
    with known:
        assert known.match_pdq(PdqHash.from_bits(some_list(2).sections["pdq"].hashes[0].tobytes())) is not None
    # The reference: an independent client of the same specification.
    with pytest.raises((RepositoryError, DownloadError)):
        device.tuf_update(files)


def test_both_clients_take_every_honest_step(simulator: Simulator, device: Device) -> None:
    steps: list[Change] = [
        lambda s: s.add(some_list(3)),
        lambda s: s.bump(),
        lambda s: (s.rotate_root(OperatorSecret.new()), s.bump())[0],
        lambda s: s.add(some_list(4)),
        lambda s: None,
    ]
    for step in steps:
        step(simulator)
        device.update(simulator.files())
        device.tuf_update(simulator.files())
    assert device.version() == 4


@pytest.mark.parametrize("seed", range(300 if os.environ.get("HYPOTHESIS_PROFILE") == "soak" else 5))
def test_both_clients_agree_on_random_pasts(tmp_path: Path, seed: int) -> None:
    """Changes of all kinds one after the other: at every step both take it, or both refuse it."""
    chance = random.Random(seed)
    simulator = Simulator()
    simulator.add(some_list(1))
    device = Device(tmp_path, simulator.trust)
    device.update(simulator.files())
    device.tuf_update(simulator.files())
    version = 1
    for _ in range(6):
        honest = chance.random() < 0.5
        current = simulator if honest else copy.deepcopy(simulator)
        if honest:
            version += 1
            current.add(some_list(version))
        else:
            ATTACKS[chance.choice(sorted(ATTACKS))][0](current)
        files = current.files()
        took = []
        for update in (device.update, device.tuf_update):
            try:
                update(files)
            except (ListError, RepositoryError, DownloadError):
                took.append(False)
            else:
                took.append(True)
        assert took[0] == took[1]
        assert device.version() <= version


def test_trust_begins_with_keys_and_not_with_what_lies_there(tmp_path: Path, simulator: Simulator) -> None:
    other = OperatorSecret.new()
    store = ListStore(tmp_path / "l", trust=[other.public], keys=FileKeyProvider(tmp_path / "k"), clock=Clock())
    with pytest.raises(ListUntrustedError, match="none signed by enough of the 1 trusted keys"):
        store.update(simulator.files())
    with pytest.raises(ListMissingError):
        store.open()


def test_the_online_key_is_not_trust(tmp_path: Path, simulator: Simulator) -> None:
    trust = [simulator.online_secret.public]
    store = ListStore(tmp_path / "l", trust=trust, keys=FileKeyProvider(tmp_path / "k"), clock=Clock())
    with pytest.raises(ListUntrustedError):
        store.update(simulator.files())


def test_one_key_under_two_names_is_one_key(tmp_path: Path, simulator: Simulator) -> None:
    """A threshold of two is not reached by listing the same key twice."""
    from safelight.lists.repository import tuf_key

    twin = tuf_key(simulator.root_secret.public)
    twin.keyid = "0" * 64
    simulator.root.add_key(twin, "root")
    simulator.root.roles["root"].threshold = 2
    store = ListStore(tmp_path / "l", trust=simulator.trust, keys=FileKeyProvider(tmp_path / "k"), clock=Clock())
    with pytest.raises(ListUntrustedError):
        store.update(simulator.files())


def test_a_key_that_is_no_longer_trusted_opens_nothing(simulator: Simulator, device: Device, tmp_path: Path) -> None:
    trust = [OperatorSecret.new().public]
    store = ListStore(tmp_path / "lists", trust=trust, keys=FileKeyProvider(tmp_path / "keys"), clock=device.clock)
    with pytest.raises(ListUntrustedError):
        store.open()
    with pytest.raises(ListUntrustedError):
        store.installed()


def test_rotated_keys_reach_old_and_new_devices(simulator: Simulator, device: Device, tmp_path: Path) -> None:
    before = simulator.trust
    simulator.rotate_root(OperatorSecret.new())
    simulator.add(some_list(3))
    device.update(simulator.files())
    assert device.version() == 3
    for place, trust in (("old", before), ("new", simulator.trust)):
        folder = tmp_path / place
        store = ListStore(folder / "l", trust=trust, keys=FileKeyProvider(folder / "k"), clock=Clock())
        store.update(simulator.files())
        assert store.installed()[0].version == 3


def test_what_was_seen_once_is_the_least_that_is_taken(simulator: Simulator, device: Device) -> None:
    """A newer timestamp whose snapshot is withheld still forbids the older one."""
    old = simulator.files()
    simulator.bump()
    newer = simulator.files()
    withheld = {k: v for k, v in newer.items() if k != f"metadata/{simulator.snapshot.version}.snapshot.json"}
    with pytest.raises(ListDamagedError):
        device.update(withheld)
    with pytest.raises(ListRollbackError):
        device.update(old)
    device.update(newer)


def test_an_expired_timestamp_is_remembered_too(simulator: Simulator, device: Device) -> None:
    old = simulator.files()
    simulator.bump()
    simulator.timestamp.expires = NOW - timedelta(days=1)
    with pytest.raises(ListExpiredError):
        device.update(simulator.files())
    with pytest.raises(ListRollbackError):
        device.update(old)


def test_an_expired_list_keeps_matching_and_says_stale(simulator: Simulator, device: Device) -> None:
    device.clock.now = NOW + timedelta(days=31)
    (one,) = device.store.installed()
    assert one.stale
    (known,) = device.store.open()
    with known:
        assert known.stale(device.clock.now)
        assert not known.stale(NOW)
        assert known.match_pdq(PdqHash.from_bits(some_list(2).sections["pdq"].hashes[3].tobytes())) is not None
    with pytest.raises(ListExpiredError, match="check this device's clock"):
        device.update(simulator.files())
    simulator.bump()
    simulator.timestamp.expires = simulator.snapshot.expires = device.clock.now + timedelta(days=30)
    device.update(simulator.files())
    assert not device.store.installed()[0].stale


def test_a_lower_version_that_is_well_signed_is_a_rollback(simulator: Simulator, device: Device) -> None:
    simulator.targets.targets.clear()
    simulator.lists.clear()
    simulator.add(some_list(1))
    with pytest.raises(ListRollbackError, match="this device has 2"):
        device.update(simulator.files())
    assert device.version() == 2


def test_a_list_that_is_taken_back_goes(simulator: Simulator, device: Device, tmp_path: Path) -> None:
    simulator.add(some_list(1, list_id="beta"))
    device.update(simulator.files())
    assert [one.list_id for one in device.store.installed()] == ["alpha", "beta"]
    del simulator.targets.targets["alpha/2.list"]
    simulator.bump()
    (kept, gone) = sorted(device.store.update(simulator.files()), key=lambda one: one.how, reverse=True)
    assert (kept.how, gone.how, gone.list_id, gone.to_version) == ("unchanged", "removed", "alpha", None)
    assert not [path for path in (tmp_path / "lists").iterdir() if "alpha" in path.name]


def test_a_list_that_is_not_what_its_name_says(simulator: Simulator, device: Device) -> None:
    """Signed all right, but the content is of another list."""
    simulator.lists.clear()
    simulator.targets.targets.clear()
    simulator._target(
        "alpha/9.list",
        write_list(some_list(8)),
        {"kind": "list", "list_id": "alpha", "version": 9},
    )
    simulator.bump()
    with pytest.raises(ListDamagedError, match="another list or version"):
        device.update(simulator.files())
    assert device.version() == 2


@pytest.mark.parametrize("where", ["first", "middle", "last"])
def test_a_changed_blob_is_refused(simulator: Simulator, device: Device, where: str) -> None:
    simulator.add(some_list(3), delta=False)
    name = next(name for name in simulator.blobs if name.endswith("3.list"))
    data = bytearray(simulator.blobs[name])
    data[{"first": 0, "middle": len(data) // 2, "last": -1}[where]] ^= 1
    simulator.replaced[name] = bytes(data)
    with pytest.raises(ListDamagedError, match="not those that were signed"):
        device.update(simulator.files())
    assert device.version() == 2


def test_a_damaged_delta_is_no_reason_to_stay_behind(simulator: Simulator, device: Device) -> None:
    simulator.add(some_list(3))
    name = next(name for name in simulator.blobs if name.endswith("2-3.delta"))
    simulator.replaced[name] = simulator.blobs[name][:-8]
    (done,) = device.store.update(simulator.files())
    assert (done.how, done.to_version) == ("full", 3)
