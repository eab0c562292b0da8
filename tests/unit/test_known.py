"""Known material in a guard: matched, held, named by list and entry; missing or damaged lists are states."""

from __future__ import annotations

import io
import logging
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as PilImage
from safelight import Action, Guard, Profile, State, UsageError
from safelight.decision import Finding, FindingKind, Label
from safelight.detect.known import LIST_STALE, KnownDetector
from safelight.errors import ClosedError
from safelight.hashing import pdq, pdq_dihedral, sha256
from safelight.keys import FileKeyProvider
from safelight.lists import ListStore
from safelight.lists.format import HashList, ListInfo, make_list
from safelight.testing import TestMode, nudity
from simulator import NOW, Simulator, hashes


def _picture(seed: int = 1, size: int = 320) -> np.ndarray:
    """A benign picture with features: coloured noise, smoothed."""
    noise = np.random.default_rng(seed).integers(0, 256, (10, 10, 3), dtype=np.uint8)
    return np.asarray(PilImage.fromarray(noise).resize((size, size), PilImage.Resampling.BICUBIC))


def _encoded(pixels: np.ndarray, format: str = "PNG", **options: Any) -> bytes:
    out = io.BytesIO()
    PilImage.fromarray(pixels).save(out, format, **options)
    return out.getvalue()


def _list(
    *pictures: np.ndarray,
    files: tuple[bytes, ...] = (),
    negatives: tuple[bytes, ...] = (),
    negative_files: tuple[bytes, ...] = (),
    **info: Any,
) -> HashList:
    profile = info.get("profile", "full")
    rows = [pdq(pixels, profile=profile).bits for pixels in pictures] + [bytes(row) for row in hashes(20, 9)]
    exact = [sha256(data).bits for data in files]

    def stack(several: list[bytes]) -> np.ndarray:
        return np.frombuffer(b"".join(several), np.uint8).reshape(-1, 32)

    return make_list(
        ListInfo("alpha", 1, categories={1: "A1"}, **info),
        entries={
            "pdq": (stack(rows), np.arange(700, 700 + len(rows), dtype=np.uint64), np.ones(len(rows), np.uint16)),
            "sha256": (stack(exact), np.arange(900, 900 + len(exact), dtype=np.uint64), np.ones(len(exact), np.uint16)),
        },
        negatives={"pdq": stack(list(negatives)), "sha256": stack([sha256(data).bits for data in negative_files])},
    )


class Place:
    """A device's folder with an operator who publishes to it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.simulator = Simulator()
        self.provider = FileKeyProvider(folder / "keys")
        self.now = NOW

    @property
    def store(self) -> ListStore:
        return ListStore(self.folder / "lists", trust=self.simulator.trust, keys=self.provider, clock=lambda: self.now)

    def install(self, hash_list: HashList) -> None:
        self.simulator.add(hash_list)
        self.store.update(self.simulator.files())

    def guard(self, band: str = "adult", **more: Any) -> Guard:
        more.setdefault("detectors", [_Calm()])
        return Guard(Profile(band), lists=[self.store], **more)


class _Calm:
    """A nudity detector that finds nothing, so that what remains is what the lists say."""

    id = "calm"
    kinds = (FindingKind.NUDITY,)

    def prepare(self) -> State:
        return State.OK

    def detect(self, image: Any) -> list[Finding]:
        return [
            Finding(FindingKind.NUDITY, State.OK, Label.NONE, 0.0, "calm"),
            Finding(FindingKind.AGE, State.OK, Label.NO_FACE, 0.0, "calm"),
        ]

    def close(self) -> None:
        pass


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def _known(decision: Any) -> list[Finding]:
    return [finding for finding in decision.findings if finding.kind is FindingKind.KNOWN]


def test_a_guard_without_lists_knows_of_none() -> None:
    with Guard(Profile("adult"), detectors=[_Calm()]) as guard:
        decision = guard.check_image(_picture())
        assert decision.action is Action.ALLOW
        assert _known(decision) == []
        assert guard.lists == ()
        assert guard.hash_appeal(_picture()) == ()


@pytest.mark.parametrize("band", ["under_10", "13_15", "adult"])
def test_a_resized_and_recompressed_copy_is_held_and_names_its_entry(place: Place, band: str) -> None:
    place.install(_list(_picture()))
    smaller = np.asarray(PilImage.fromarray(_picture()).resize((200, 200), PilImage.Resampling.LANCZOS))
    with place.guard(band) as guard:
        decision = guard.check_image(_encoded(smaller, "JPEG", quality=60))
    assert decision.action is Action.HOLD
    assert "KNOWN_MATCH" in decision.reasons
    (found,) = [finding for finding in _known(decision) if finding.label is Label.MATCH]
    assert (found.model, found.entry_id, found.score) == ("alpha", 700, 1.0)
    assert found.distance is not None
    assert 0 <= found.distance <= 31
    written = [row for row in decision.to_dict()["findings"] if row["label"] == "match"]
    assert written[0]["entry_id"] == 700
    assert written[0]["distance"] == found.distance


def test_another_picture_is_on_no_list(place: Place) -> None:
    place.install(_list(_picture()))
    with place.guard() as guard:
        decision = guard.check_image(_encoded(_picture(2)))
    assert decision.action is Action.ALLOW
    (found,) = _known(decision)
    assert (found.state, found.label, found.score, found.model) == (State.OK, Label.NO_MATCH, 0.0, "alpha")


def test_a_large_jpeg_is_hashed_at_full_resolution(place: Place) -> None:
    """Decoded at a reduced scale, as the models take it, its hash would be another one."""
    pixels = _picture(5, size=2400)
    data = _encoded(pixels, "JPEG", quality=92)
    exact = np.asarray(PilImage.open(io.BytesIO(data)))
    place.install(_list(exact))
    with place.guard() as guard:
        (found,) = [one for one in _known(guard.check_image(data)) if one.label is Label.MATCH]
    assert found.distance == 0


def test_the_very_same_bytes_match_even_if_they_are_no_picture(place: Place) -> None:
    data = b"not a picture at all"
    place.install(_list(files=(data,)))
    with place.guard() as guard:
        decision = guard.check_image(data)
    assert "KNOWN_MATCH" in decision.reasons
    assert any(one.entry_id == 900 and one.distance == 0 for one in _known(decision))


@pytest.mark.parametrize("turn", range(8))
def test_turned_and_mirrored_copies_match_if_the_list_says_so(place: Place, turn: int) -> None:
    place.install(_list(_picture(), dihedral=True))
    turned = np.rot90(_picture(), turn % 4)
    turned = np.ascontiguousarray(turned[:, ::-1] if turn > 3 else turned)
    with place.guard() as guard:
        assert "KNOWN_MATCH" in guard.check_image(turned).reasons


def test_turned_copies_do_not_match_otherwise(place: Place) -> None:
    place.install(_list(_picture()))
    with place.guard() as guard:
        assert guard.check_image(np.rot90(_picture()).copy()).action is Action.ALLOW


def test_every_frame_of_an_animation_is_compared(place: Place) -> None:
    place.install(_list(_picture(3)))
    frames = [PilImage.fromarray(_picture(seed)) for seed in (1, 2, 3, 4)]
    out = io.BytesIO()
    frames[0].save(out, "WEBP", save_all=True, append_images=frames[1:], lossless=True)
    with place.guard() as guard:
        assert "KNOWN_MATCH" in guard.check_image(out.getvalue()).reasons


def test_the_lists_profile_is_the_one_that_is_hashed_with(place: Place) -> None:
    pixels = _picture(7, size=1100)
    place.install(_list(pixels, profile="near512"))
    with place.guard() as guard:
        (found,) = [one for one in _known(guard.check_image(pixels)) if one.label is Label.MATCH]
    assert found.distance == 0


def test_negatives_never_match(place: Place) -> None:
    data = _encoded(_picture())
    place.install(_list(_picture(), negatives=(pdq(_picture()).bits,)))
    with place.guard() as guard:
        assert guard.check_image(data).action is Action.ALLOW


def test_a_file_that_is_named_as_negative_never_matches(place: Place) -> None:
    data = _encoded(_picture())
    place.install(_list(_picture(), negative_files=(data,)))
    with place.guard() as guard:
        assert guard.check_image(data).action is Action.ALLOW
        assert "KNOWN_MATCH" in guard.check_image(_encoded(_picture(), "BMP")).reasons


def test_a_plain_picture_matches_nothing_and_a_faint_one_is_a_state(place: Place) -> None:
    plain = np.full((200, 200, 3), 127, np.uint8)
    faint = (127 + (_picture().astype(np.int16) - 127) // 10).astype(np.uint8)
    assert pdq(plain).quality == 0
    quality = pdq(faint).quality
    assert quality is not None
    assert 0 < quality < 50
    place.install(_list(plain, faint))
    with place.guard() as guard:
        assert guard.check_image(plain).action is Action.ALLOW
        decision = guard.check_image(faint)
    assert [finding.state for finding in _known(decision)] == [State.LOW_QUALITY]
    assert decision.action is Action.HOLD


def test_one_faint_frame_among_others_is_no_state(place: Place) -> None:
    faint = (127 + (_picture().astype(np.int16) - 127) // 10).astype(np.uint8)
    place.install(_list(_picture(4)))
    frames = [PilImage.fromarray(faint), PilImage.fromarray(_picture(2))]
    out = io.BytesIO()
    frames[0].save(out, "WEBP", save_all=True, append_images=frames[1:], lossless=True)
    with place.guard() as guard:
        assert guard.check_image(out.getvalue()).action is Action.ALLOW


def test_no_list_is_a_state_and_everything_is_held(place: Place) -> None:
    with place.guard() as guard:
        assert guard.prepare()["lists"] is State.NO_LIST
        decision = guard.check_image(_picture())
        assert decision.action is Action.HOLD
        assert "NO_LIST" in decision.reasons
        # Installed meanwhile: the next check uses it.
        place.install(_list(_picture(2)))
        assert guard.check_image(_picture()).action is Action.ALLOW
        assert guard.prepare()["alpha"] is State.OK


@pytest.mark.parametrize("damage", ["state", "index", "key", "lost key", "trust"])
def test_a_damaged_list_is_unverified_and_everything_is_held(
    place: Place, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    place.install(_list(_picture()))
    (index,) = (place.folder / "lists").glob("*.index")
    broken = {
        "state": place.folder / "lists" / "state",
        "index": index,
        "key": place.folder / "keys" / "lists.key",
        "lost key": place.folder / "keys" / "lists.key",
    }
    if damage == "lost key":
        broken[damage].unlink()
    elif damage == "trust":
        place.simulator.root_secret = type(place.simulator.root_secret).new()
    else:
        data = bytearray(broken[damage].read_bytes())
        data[len(data) // 2] ^= 1
        broken[damage].write_bytes(data)
    caplog.set_level(logging.DEBUG)
    with place.guard() as guard:
        decision = guard.check_image(_picture())
    assert decision.action is Action.HOLD
    assert "UNVERIFIED" in decision.reasons
    assert str(place.folder) not in caplog.text


def test_a_stale_list_keeps_matching_and_says_so(place: Place) -> None:
    place.install(_list(_picture()))
    detector = KnownDetector([place.store], clock=lambda: NOW + timedelta(days=31))
    (status,) = detector.status()
    assert status.stale
    assert status.state is State.OK
    with place.guard() as guard:
        assert guard._known is not None
        guard._known.close()
        guard._known = detector
        decision = guard.check_image(_picture())
        assert "KNOWN_MATCH" in decision.reasons
        assert LIST_STALE in decision.reasons
        # It says so about what goes ahead, too.
        decision = guard.check_image(_picture(2))
        assert decision.action is Action.ALLOW
        assert decision.reasons[-1] == LIST_STALE


def test_a_newer_list_is_used_without_a_new_guard(place: Place) -> None:
    place.install(_list(_picture(1)))
    with place.guard() as guard:
        assert guard.check_image(_picture(2)).action is Action.ALLOW
        two = _list(_picture(1), _picture(2))
        place.install(make_list(ListInfo("alpha", 2, categories={1: "A1"}), entries=_entries(two)))
        assert "KNOWN_MATCH" in guard.check_image(_picture(2)).reasons


def _entries(hash_list: HashList) -> dict[str, Any]:
    return {kind: (section.hashes, section.ids, section.categories) for kind, section in hash_list.sections.items()}


def test_an_appeal_holds_the_hash_only_when_asked(place: Place) -> None:
    data = _encoded(_picture())
    place.install(_list(_picture(), files=(data,)))
    with place.guard() as guard:
        decision = guard.check_image(data)
        appeals = {one.kind: one for one in guard.hash_appeal(data)}
    assert appeals["pdq"].hash_hex == pdq(_picture()).hex()
    assert appeals["sha256"].hash_hex == sha256(data).hex()
    assert (appeals["pdq"].list_id, appeals["pdq"].entry_id, appeals["pdq"].list_version) == ("alpha", 700, 1)
    assert appeals["pdq"].to_dict()["hash"] == appeals["pdq"].hash_hex
    for hidden in (f"{appeals}", f"{decision!r}", f"{decision.to_dict()}"):
        assert pdq(_picture()).hex() not in hidden
        assert sha256(data).hex() not in hidden


def test_an_appeal_of_a_turned_picture_holds_the_hash_that_matched(place: Place) -> None:
    place.install(_list(_picture(), dihedral=True))
    turned = np.rot90(_picture()).copy()
    with place.guard() as guard:
        (appeal,) = guard.hash_appeal(turned)
    assert appeal.hash_hex in [one.hex() for one in pdq_dihedral(turned)]


def test_the_same_list_works_beside_isolated_detectors(place: Place) -> None:
    place.install(_list(_picture()))
    with Guard(Profile("adult"), lists=[place.store], isolation="process", tier="live", concurrency=1) as guard:
        assert "KNOWN_MATCH" in guard.check_image(_picture()).reasons


def test_wrong_ways(place: Place, root: Path) -> None:
    with pytest.raises(UsageError, match="expected the operator's public key"):
        Guard(lists=[place.folder])
    with pytest.raises(UsageError, match="write \\[folder\\]"):
        Guard(lists=str(place.folder), trust=place.simulator.trust)
    test_key = (root / "tests" / "keys" / "one.pub").read_text()
    with pytest.raises(UsageError, match="test key"):
        Guard(lists=[place.folder], trust=[test_key])
    store = ListStore(place.folder, trust=[test_key], test_mode=True)
    with pytest.raises(UsageError, match="test mode"):
        Guard(lists=[store])
    with Guard(lists=[place.folder], trust=[test_key], test_mode=TestMode(nudity(0.0))) as guard:
        assert guard.check_image(_picture()).test_mode
    place.install(_list(_picture()))
    guard = place.guard()
    guard.close()
    with pytest.raises(ClosedError):
        guard.hash_appeal(_picture())
    with pytest.raises(ClosedError):
        guard.check_image(_picture())
    detector = KnownDetector([place.store])
    detector.close()
    detector.close()
    with pytest.raises(ClosedError):
        detector.look(None)


def test_a_failure_inside_is_a_state(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    place.install(_list(_picture()))

    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("inside")

    with place.guard() as guard:
        guard.prepare()
        monkeypatch.setattr("safelight.detect.known.pdq", fail)
        decision = guard.check_image(_picture())
    assert decision.action is Action.HOLD
    assert "DETECTOR_FAILED" in decision.reasons


def test_lists_change_under_checks_in_many_threads(place: Place) -> None:
    """Checks go on while lists are installed; each answers by one whole version or the next."""
    import threading

    place.install(_list(_picture(1)))
    entries = _entries(_list(_picture(1)))
    problems: list[str] = []
    stop = threading.Event()
    with place.guard(concurrency=4) as guard:

        def check() -> None:
            while not stop.is_set():
                decision = guard.check_image(_picture(1))
                if "KNOWN_MATCH" not in decision.reasons:
                    problems.append(str(decision.reasons))

        threads = [threading.Thread(target=check) for _ in range(4)]
        for thread in threads:
            thread.start()
        for version in range(2, 8):
            place.install(make_list(ListInfo("alpha", version, categories={1: "A1"}), entries=entries))
        stop.set()
        for thread in threads:
            thread.join()
        assert guard.lists[0].version == 7
    assert problems == []


def test_a_keystore_of_somebody_else_may_fail_and_recover(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    place.install(_list(_picture(2)))
    place_provider = place.provider

    class Locked:
        id = "vault"
        protection = place_provider.protection
        error: Exception | None = None

        def get(self, name: str) -> bytes:
            if self.error is not None:
                raise self.error
            return place_provider.get(name)

        create = get

        def delete(self, name: str) -> None:
            raise NotImplementedError

    from safelight.errors import KeyUnavailableError

    vault = Locked()
    place.provider = vault  # type: ignore[assignment]
    with place.guard() as guard:
        for error, state in ((KeyUnavailableError("locked"), "UNVERIFIED"), (OSError("gone"), "DETECTOR_FAILED")):
            vault.error = error
            monkeypatch.setattr("safelight.detect.known._RETRY_S", 0.0)
            decision = guard.check_image(_picture())
            assert decision.action is Action.HOLD
            assert state in decision.reasons
        # Unlocked: tried again after a while, without a new guard.
        vault.error = None
        assert guard.check_image(_picture()).action is Action.ALLOW


def test_the_known_look_itself_failing_is_a_state(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    place.install(_list(_picture()))

    def fail(*_: object) -> None:
        raise MemoryError

    with place.guard() as guard:
        guard.prepare()
        monkeypatch.setattr("safelight.detect.known.sha256", fail)
        decision = guard.check_image(_encoded(_picture()))
    assert decision.action is Action.HOLD
    assert "DETECTOR_FAILED" in decision.reasons


def test_an_update_while_opening_is_no_damage(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """The files that the old state named are gone before they are read: the new state is asked."""
    place.install(_list(_picture()))
    store = place.store
    entries = _entries(_list(_picture()))
    real, versions = ListStore._open, iter((2, 3))

    def late(self: ListStore, *arguments: Any) -> Any:
        version = next(versions, None)
        if version is not None:
            place.install(make_list(ListInfo("alpha", version, categories={1: "A1"}), entries=entries))
        return real(self, *arguments)

    monkeypatch.setattr(ListStore, "_open", late)
    (known,) = store.open()
    with known:
        assert known.info.version == 3
