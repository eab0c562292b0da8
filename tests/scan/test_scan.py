"""Does a scan see every media file once, ask first, go on where it was, and hold without touching?"""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner
from PIL import Image as PILImage
from safelight import Action, Event, Guard, Profile
from safelight.cli import _family
from safelight.cli.main import cli
from safelight.decision import Finding, FindingKind, Label, State
from safelight.errors import MediaNotFoundError, ScanError
from safelight.scan import Journal, Scan, ScanResult, Walk
from safelight.scan.engine import Answer, LocalEngine
from safelight.scan.scan import handle_of, stamp
from safelight.scan.walk import Found
from safelight.testing import TestMode, nudity
from store_world import PIN, World


class Bright:
    """Calls a picture explicit when it is brighter than a threshold; counts its looks."""

    id = "bright"
    kinds = (FindingKind.NUDITY,)

    def __init__(self) -> None:
        self.looks = 0

    def prepare(self) -> State:
        return State.OK

    def detect(self, image: object) -> list[Finding]:
        self.looks += 1
        mean = float(image.pixels.mean())  # type: ignore[attr-defined]
        label = Label.EXPLICIT if mean > 200 else Label.NONE
        return [Finding(FindingKind.NUDITY, State.OK, label, 0.9 if mean > 200 else 0.1, self.id)]

    def close(self) -> None:
        pass


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "pictures"
    (root / "deep" / "deeper").mkdir(parents=True)
    for name, grey in (("a.png", 10), ("b.jpg", 250), ("deep/c.webp", 20), ("deep/deeper/d", 250), ("e.txt.png", 30)):
        file_format = {"d": "PNG"}.get(name[-1], name.rsplit(".", maxsplit=1)[-1].upper().replace("JPG", "JPEG"))
        PILImage.new("RGB", (64, 64), (grey, grey, grey)).save(root / name, file_format)
    (root / "notes.txt").write_text("not a picture")
    (root / "lies.jpg").write_bytes(b"not a picture either")
    (root / "cut.png").write_bytes((root / "a.png").read_bytes()[:60])
    (tmp_path / "outside.png").write_bytes((root / "b.jpg").read_bytes())
    (root / "link.png").symlink_to(tmp_path / "outside.png")
    (root / "loop").symlink_to(root)
    os.mkfifo(root / "pipe.png")
    return root


@pytest.fixture
def agreed(world: World) -> World:
    with world.open() as store:
        store.set_up({}, pin=PIN)
        store.consents.give("scan", by="child")
        store.consents.give("scan", by="guardian", pin=PIN)
    return world


def actions(results: Iterable[ScanResult]) -> dict[str, Action | None]:
    return {result.name: result.action for result in results}


EXPECTED = {"a.png": Action.ALLOW, "cut.png": Action.HOLD, "deep/c.webp": Action.ALLOW, "e.txt.png": Action.ALLOW}


def test_every_media_file_once_and_nothing_through_links(agreed: World, folder: Path) -> None:
    with agreed.open() as store, Guard(store=store, detectors=[Bright()]) as guard:
        scan = Scan(folder, guard)
        found = actions(scan)
    assert {name: found[name] for name in EXPECTED} == EXPECTED
    assert set(found) == {*EXPECTED, "b.jpg", "deep/deeper/d"}
    assert found["b.jpg"] is not None
    assert found["b.jpg"] >= Action.BLUR
    assert found["deep/deeper/d"] == found["b.jpg"]
    assert scan.progress.other == 2
    assert scan.progress.looked_at == 6


def test_no_consent_no_look(world: World, folder: Path) -> None:
    detector = Bright()
    with world.open() as store, Guard(store=store, detectors=[detector]) as guard:
        with pytest.raises(ScanError, match="consent"):
            Scan(folder, guard)
    with Guard(Profile("adult"), detectors=[detector]) as guard, pytest.raises(ScanError, match="consent"):
        Scan(folder, guard)
    assert detector.looks == 0


def test_consent_that_ends_ends_the_scan(agreed: World, folder: Path) -> None:
    with agreed.open() as store, Guard(store=store, detectors=[Bright()], concurrency=1) as guard:
        results = iter(Scan(folder, guard))
        next(results)
        store.consents.withdraw("scan")
        with pytest.raises(ScanError, match="ended"):
            list(results)


def test_a_scan_that_was_stopped_goes_on_where_it_was(agreed: World, folder: Path, tmp_path: Path) -> None:
    detector = Bright()
    with agreed.open() as store, Guard(store=store, detectors=[detector], concurrency=1) as guard:
        path = tmp_path / "journal"
        journal = Journal(path, stamp=stamp(guard, Event.VIEW))
        stopped = iter(Scan(folder, guard, journal=journal))
        first = [next(stopped), next(stopped), next(stopped)]
        stopped.close()  # type: ignore[attr-defined]
        journal.close()
        looked = detector.looks
        journal = Journal(path, stamp=stamp(guard, Event.VIEW))
        whole = list(Scan(folder, guard, journal=journal))
        assert {result.name for result in whole if result.unchanged} >= {result.name for result in first}
        assert len(whole) == len({result.name for result in whole}) == 6
        # At most what was in hand when it was stopped is looked at twice.
        assert detector.looks <= looked + 6 - 3
        (folder / "a.png").write_bytes((folder / "b.jpg").read_bytes())
        changed = {result.name: result for result in Scan(folder, guard, journal=journal)}
        assert not changed["a.png"].unchanged
        assert changed["a.png"].action == changed["b.jpg"].action != Action.ALLOW
        assert sum(not result.unchanged for result in changed.values()) == 1
        journal.close()


def test_other_rules_or_models_are_another_scan(agreed: World, folder: Path, tmp_path: Path) -> None:
    with agreed.open() as store:
        with Guard(store=store, detectors=[Bright()]) as guard:
            journal = Journal(tmp_path / "journal", stamp=stamp(guard, Event.VIEW))
            list(Scan(folder, guard, journal=journal))
            assert len(journal) == 6
            journal.close()
            assert stamp(guard, Event.VIEW) != stamp(guard, Event.SEND)
        with Guard(store=store, detectors=[Bright()], test_mode=TestMode(nudity(0.9))) as guard:
            journal = Journal(tmp_path / "journal", stamp=stamp(guard, Event.VIEW))
            assert len(journal) == 0
            journal.close()


def test_two_scans_of_one_folder_do_not_share_a_journal(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal", stamp="x")
    with pytest.raises(ScanError, match="other scan"):
        Journal(tmp_path / "journal", stamp="x")
    journal.close()


@pytest.mark.parametrize("damage", ["rubbish", "newer"])
def test_a_journal_that_cannot_be_read_is_said(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "journal"
    if damage == "rubbish":
        path.write_bytes(b"rubbish" * 1000)
    else:
        with sqlite3.connect(path) as file:
            file.execute("PRAGMA user_version=99")
        file.close()
    with pytest.raises(ScanError, match="journal"):
        Journal(path, stamp="x")


def test_a_journal_on_a_full_disk_does_not_end_the_scan(
    agreed: World, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise ScanError("journal: full")

    monkeypatch.setattr(Journal, "add", full)
    with agreed.open() as store, Guard(store=store, detectors=[Bright()]) as guard:
        journal = Journal(tmp_path / "journal", stamp="x")
        scan = Scan(folder, guard, journal=journal)
        assert len(list(scan)) == 6
        assert not scan.progress.resumable
        journal.close()


def test_the_journal_names_no_file(agreed: World, folder: Path, tmp_path: Path) -> None:
    with agreed.open() as store, Guard(store=store, detectors=[Bright()]) as guard:
        journal = Journal(tmp_path / "journal", stamp="x")
        list(Scan(folder, guard, journal=journal))
        journal.close()
    content = (tmp_path / "journal").read_bytes()
    assert not any(name.encode() in content for name in ("a.png", "c.webp", "deeper", folder.name))


def test_holds_and_nothing_else(agreed: World, folder: Path) -> None:
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file() and path.name != "pipe.png"}
    with agreed.open() as store, Guard(store=store, detectors=[Bright()]) as guard:
        results = list(Scan(folder, guard, keep_holds=True))
        held = {result.name: result.hold for result in results if result.hold is not None}
        assert {result.name for result in results if (result.action or 0) >= Action.HOLD} == set(held)
        assert {hold.handle for hold in store.holds.all()} == {handle_of(name) for name in held}
        again = list(Scan(folder, guard, keep_holds=True))
        assert {r.name: r.hold.id for r in again if r.hold} == {name: hold.id for name, hold in held.items()}
        assert len(store.holds.all()) == len(held)
    after = {path: path.read_bytes() for path in before}
    assert before == after


def test_a_store_without_room_is_said(world: World, folder: Path) -> None:
    from safelight.store import HoldLimits

    world.hold_limits = HoldLimits(max_holds=1)
    with world.open() as store:
        store.set_up({}, pin=PIN)
        store.consents.give("scan", by="child")
        store.consents.give("scan", by="guardian", pin=PIN)
        with Guard(store=store, detectors=[]) as guard:
            scan = Scan(folder, guard, keep_holds=True)
            results = list(scan)
    assert all(result.action == Action.HOLD for result in results)
    assert sum(result.hold is not None for result in results) == 1
    assert scan.progress.not_held == 5


def test_a_file_that_goes_away_is_not_called_safe(agreed: World, folder: Path) -> None:
    class Racing(LocalEngine):
        def run(self, files: Iterable[Found]) -> Iterator[tuple[Found, Answer | None]]:
            found = list(files)
            (folder / "a.png").unlink()
            yield from super().run(found)

    with agreed.open() as store, Guard(store=store, detectors=[Bright()]) as guard:
        engine = Racing(guard, str(folder), Event.VIEW)
        scan = Scan(folder, guard, engine=engine)
        assert actions(scan)["a.png"] is None
        assert scan.progress.unreadable == 1
        engine.close()


def test_what_cannot_be_read_is_counted(agreed: World, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened, listed = os.open, os.scandir

    # Permissions stop everybody but the superuser, as whom tests are often run.
    def open_file(path: str, *arguments: int, **named: int) -> int:
        if str(path).endswith("a.png"):
            raise PermissionError
        return opened(path, *arguments, **named)

    def list_folder(path: str) -> object:
        if str(path).endswith("deep"):
            raise PermissionError
        return listed(path)

    with agreed.open() as store, Guard(store=store, detectors=[Bright()]) as guard, monkeypatch.context() as patched:
        patched.setattr("safelight.scan.walk.os.open", open_file)
        patched.setattr("safelight.scan.walk.os.scandir", list_folder)
        scan = Scan(folder, guard)
        assert "a.png" not in actions(scan)
    assert scan.progress.unreadable == 2


def test_a_clip_is_looked_at_to_its_end(agreed: World, folder: Path) -> None:
    av = pytest.importorskip("av")
    import numpy as np

    for name, last in (("dark.mp4", 20), ("bright at the end.mp4", 250)):
        with av.open(str(folder / name), "w") as container:
            stream = container.add_stream("libx264", rate=10)
            stream.width, stream.height, stream.pix_fmt = 64, 64, "yuv420p"
            for number in range(12):
                grey = last if number == 11 else 20
                frame = av.VideoFrame.from_ndarray(np.full((64, 64, 3), grey, np.uint8), format="rgb24")
                container.mux(stream.encode(frame))
            container.mux(stream.encode())
    with agreed.open() as store, Guard(store=store, detectors=[Bright()]) as guard:
        found = actions(Scan(folder, guard))
    assert found["dark.mp4"] == Action.ALLOW
    assert found["bright at the end.mp4"] == found["b.jpg"]


def test_no_folder(tmp_path: Path) -> None:
    with pytest.raises(MediaNotFoundError, match="folder"):
        Walk(tmp_path / "nothing")


def test_names_that_are_no_text(agreed: World, folder: Path) -> None:
    if sys.platform != "linux":
        pytest.skip("names are text here")
    strange = os.fsencode(folder) + b"/\xff\xfe.png"
    shutil.copy(folder / "b.jpg", strange)
    with agreed.open() as store, Guard(store=store, detectors=[Bright()]) as guard:
        found = {result.name: result for result in Scan(folder, guard, keep_holds=True)}
    assert found[os.fsdecode(b"\xff\xfe.png")].action == found["b.jpg"].action


# --- the command ------------------------------------------------------------------------------------------------


@pytest.fixture
def command(world: World, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> CliRunner:
    monkeypatch.setattr(_family, "open_store", lambda path: world.open())
    monkeypatch.setattr("safelight.cli.scan.open_store", lambda path: world.open())
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "user-state"))
    return CliRunner()


def test_the_command_asks_looks_and_goes_on(command: CliRunner, world: World, folder: Path) -> None:
    with world.open() as store:
        store.set_up({}, pin=PIN)
    arguments = ["scan", str(folder), "--isolation", "none", "--tier", "live", "--json"]
    refused = command.invoke(cli, arguments)
    assert refused.exit_code == 2
    assert "--yes" in refused.output
    done = command.invoke(cli, [*arguments, "--yes", "--pin-file", "-", "--trigger", "nudity=0.97"], input=PIN)
    assert done.exit_code == 3, done.output
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert {row["input"] for row in rows[:-1]} == {*EXPECTED, "b.jpg", "deep/deeper/d"}
    assert rows[-1]["looked_at"] == 6
    assert rows[-1]["resumable"]
    again = command.invoke(cli, [*arguments, "--trigger", "nudity=0.97"])
    rows = [json.loads(line) for line in again.stdout.splitlines()]
    assert rows[-1]["unchanged"] == 6
    anew = command.invoke(cli, [*arguments[:-1], "--trigger", "nudity=0.97", "--again", "--hold"])
    assert anew.exit_code == 3
    assert "6 pictures and clips" in anew.stdout
    assert PIN not in done.output + anew.output


def test_the_command_and_a_wrong_engine(command: CliRunner, folder: Path) -> None:
    done = command.invoke(cli, ["scan", str(folder), "--engine", "spark"])
    assert done.exit_code == 2
    assert "dask://HOST:PORT" in done.output
