"""Is nothing of a received picture handed out before, and beyond, what was decided about exactly these bytes?"""

from __future__ import annotations

import asyncio
import io
import sqlite3
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from gate_world import ColourDetector, picture
from PIL import Image as PilImage
from safelight import Action, Guard, Limits, Profile
from safelight.errors import ClosedError, MediaNotFoundError, UnsupportedInputError, UsageError
from safelight.gates import ReceiveGate
from safelight.media.stand_in import PLAIN
from safelight.store import HoldLimits
from store_world import PIN, World


class Stream(io.RawIOBase):
    """Can be read once, from its start to its end."""

    def __init__(self, data: bytes) -> None:
        super().__init__()
        self._left = io.BytesIO(data)
        self.read_bytes = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return False

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        part = self._left.read(min(len(buffer), 1000))
        buffer[: len(part)] = part
        self.read_bytes += len(part)
        return len(part)


def _guard(band: str = "13_15", **options: object) -> Guard:
    return Guard(Profile(band, country="GB"), detectors=[ColourDetector()], **options)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("band", "name", "action"),
    [
        ("13_15", "none", Action.ALLOW),
        ("13_15", "suggestive", Action.NUDGE),
        ("13_15", "explicit", Action.BLUR),
        ("10_12", "explicit", Action.HOLD),
        ("13_15", "match", Action.HOLD),
        ("13_15", "fails", Action.HOLD),
        ("16_17", "suggestive", Action.ALLOW),
    ],
)
def test_each_action_hands_out_what_it_says(band: str, name: str, action: Action) -> None:
    with _guard(band) as guard:
        received = ReceiveGate(guard).receive(picture(name))
    assert received.action is action
    assert (received.picture == picture(name)) is (action <= Action.NUDGE)
    assert (received.notice is None) is (action is Action.ALLOW)
    assert (received.stand_in is not None) is (action >= Action.BLUR)
    assert received.may_look is (action is Action.BLUR)
    assert repr(received).startswith("Received(action=")


def test_a_block_shows_nothing_but_the_notice() -> None:
    with _guard() as guard:
        received = ReceiveGate(guard).forward(picture("explicit"))
    assert received.action is Action.BLOCK
    assert (received.picture, received.stand_in, received.may_look) == (None, None, False)
    assert received.notice is not None
    assert received.notice.id.startswith("forwarding")
    assert received.notice.help


def test_what_is_shown_before_the_verdict_is_the_same_for_every_picture() -> None:
    detector = ColourDetector()
    with Guard(Profile("13_15"), detectors=[detector]) as guard, ThreadPoolExecutor() as pool:
        gate = ReceiveGate(guard)
        waiting = pool.submit(gate.receive, picture("slow"))
        assert not waiting.done()
        assert gate.waiting is PLAIN
        detector.go.set()
        assert waiting.result(30).picture == picture("slow")


def test_what_matched_a_known_list_leaves_no_trace_in_its_stand_in() -> None:
    with _guard("10_12") as guard:
        gate = ReceiveGate(guard)
        assert gate.receive(picture("match")).stand_in is PLAIN
        assert gate.receive(picture("explicit")).stand_in not in (None, PLAIN)


def test_content_that_cannot_be_judged_is_held_behind_the_plain_stand_in() -> None:
    with _guard(limits=Limits(max_bytes=5000)) as guard:
        gate = ReceiveGate(guard)
        for content in (b"", b"text", picture("none")[:60], picture("none") + bytes(6000)):
            received = gate.receive(content)
            assert received.action is Action.HOLD
            assert (received.picture, received.stand_in) == (None, PLAIN)


# -- the own second choice --------------------------------------------------------------------------------------------


def test_a_second_choice_gives_the_bytes_once() -> None:
    with _guard() as guard:
        received = ReceiveGate(guard).receive(picture("explicit"))
        choice = received.ask_to_look()
        assert {one.id for one in choice.notice.choices} >= {"show", "keep_hidden", "help"}
        assert choice.look() == picture("explicit")
        for again in (choice.look, received.ask_to_look):
            with pytest.raises(UsageError, match="looked at or closed"):
                again()
        assert received.picture is None


def test_of_many_threads_with_one_choice_one_gets_the_picture() -> None:
    with _guard() as guard, ThreadPoolExecutor(8) as pool:
        choice = ReceiveGate(guard).receive(picture("explicit")).ask_to_look()
        start = threading.Barrier(8)

        def look() -> bytes | None:
            start.wait()
            try:
                return choice.look()
            except UsageError:
                return None

        found = list(pool.map(lambda _: look(), range(8)))
    assert [one for one in found if one is not None] == [picture("explicit")]


def test_the_child_may_leave_and_ask_again() -> None:
    with _guard() as guard:
        received = ReceiveGate(guard).receive(picture("explicit"))
        received.ask_to_look().leave()
        assert received.ask_to_look().look() == picture("explicit")
        with pytest.raises(UsageError):
            received.ask_to_look()


def test_a_choice_is_fresh_or_none() -> None:
    now = [0.0]
    with _guard() as guard:
        received = ReceiveGate(guard, second_choice_s=60, clock=lambda: now[0]).receive(picture("explicit"))
        old = received.ask_to_look()
        now[0] += 60.5
        with pytest.raises(UsageError, match="older than 60 seconds"):
            old.look()
        assert received.ask_to_look().look() == picture("explicit")


@pytest.mark.parametrize(("band", "name"), [("13_15", "none"), ("10_12", "explicit"), ("13_15", "fails")])
def test_there_is_no_choice_where_the_rules_leave_none(band: str, name: str) -> None:
    with _guard(band) as guard:
        with pytest.raises(UsageError, match="expected BLUR"):
            ReceiveGate(guard).receive(picture(name)).ask_to_look()


def test_closed_means_gone() -> None:
    with _guard() as guard:
        with ReceiveGate(guard).receive(picture("none")) as received:
            assert received.picture is not None
        assert received.picture is None
        blurred = ReceiveGate(guard).receive(picture("explicit"))
        choice = blurred.ask_to_look()
        blurred.close()
        with pytest.raises(UsageError, match="looked at or closed"):
            choice.look()


def test_looks_are_counted_where_counting_is_on(world: World) -> None:
    store = world.set_up(age_band="13_15", counters=True)
    with Guard(store=store, detectors=[ColourDetector()]) as guard:
        gate = ReceiveGate(guard)
        gate.receive(picture("explicit")).ask_to_look().leave()
        gate.receive(picture("explicit", detail=1)).ask_to_look().look()
        (counts,) = store.counters.read().values()
    assert (counts["choice.continue"], counts["choice.stop"]) == (1, 1)


# -- swapped content --------------------------------------------------------------------------------------------------


def test_a_file_exchanged_behind_its_name_is_checked_as_what_it_is(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(picture("none"))
    with _guard("10_12") as guard:
        gate = ReceiveGate(guard)
        assert gate.view(path).picture == picture("none")
        path.write_bytes(picture("explicit"))
        swapped = gate.view(path)
        assert (swapped.action, swapped.picture) == (Action.HOLD, None)
        path.write_bytes(picture("none"))
        assert gate.save(path).picture == picture("none")
        path.write_bytes(picture("explicit"))
        assert gate.save(path).action is Action.BLOCK


def test_a_choice_is_for_the_picture_that_was_asked_about(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(picture("explicit"))
    with _guard("13_15") as guard:
        gate = ReceiveGate(guard)
        choice = gate.view(path).ask_to_look()
        path.write_bytes(picture("explicit", detail=3))
        assert choice.look() is None
        choice = gate.view(path).ask_to_look()
        path.write_bytes(picture("match"))
        assert choice.look() is None
        assert choice.decision.action is Action.HOLD
        path.write_bytes(picture("explicit"))
        choice = gate.view(path).ask_to_look()
        path.unlink()
        with pytest.raises(MediaNotFoundError):
            choice.look()


def test_rules_that_became_stricter_count_for_the_look(world: World) -> None:
    store = world.set_up(age_band="13_15")
    with Guard(store=store, detectors=[ColourDetector()]) as guard:
        choice = ReceiveGate(guard).receive(picture("explicit")).ask_to_look()
        store.propose({"rules.view.explicit": "HOLD"})
        assert choice.look() is None
        assert choice.decision.action is Action.HOLD


def test_having_looked_decides_nothing_about_saving_and_sending() -> None:
    with _guard("13_15") as guard:
        gate = ReceiveGate(guard)
        shown = gate.receive(picture("explicit")).ask_to_look().look()
        assert shown is not None
        for passed_on in (gate.save(shown), gate.forward(shown)):
            assert passed_on.action is Action.BLOCK
            assert passed_on.picture is None


# -- holds ------------------------------------------------------------------------------------------------------------


def test_a_stream_without_another_copy_comes_back_byte_for_byte(world: World) -> None:
    store = world.set_up(age_band="10_12")
    data = picture("explicit")
    with Guard(store=store, detectors=[ColourDetector()]) as guard:
        gate = ReceiveGate(guard)
        received = gate.receive(Stream(data))
        assert received.hold is not None
        assert (received.hold.category, received.hold.size_bytes) == ("NUDITY_EXPLICIT", len(data))
        assert gate.view(data).picture is None
        assert len(guard.holds.all()) == 1
        guard.holds.approve("NUDITY_EXPLICIT", pin=PIN)
        assert guard.holds.restore(received.hold.id) == data
        seen = gate.view(data)
        assert (seen.released, seen.picture, seen.notice) == (True, data, None)
        assert gate.view(picture("explicit", detail=1)).picture is None
        assert gate.save(data).picture is None


def test_a_release_is_for_these_bytes_and_not_for_the_handle(world: World, tmp_path: Path) -> None:
    store = world.set_up(age_band="10_12")
    path = tmp_path / "a.png"
    path.write_bytes(picture("explicit"))
    with Guard(store=store, detectors=[ColourDetector()]) as guard:
        gate = ReceiveGate(guard)
        held = gate.receive(path, handle="message-17").hold
        assert held is not None
        assert (held.handle, held.size_bytes) == ("message-17", 0)
        guard.holds.approve("NUDITY_EXPLICIT", pin=PIN)
        assert gate.view(path).released
        path.write_bytes(picture("explicit", detail=5))
        assert gate.view(path, handle="message-17").picture is None
        # Two: the one that was released, and one for what lies under its name now.
        assert len(guard.holds.all()) == 2


def test_a_known_match_is_not_let_through_by_anybody_here(world: World) -> None:
    store = world.set_up(age_band="10_12")
    with Guard(store=store, detectors=[ColourDetector()]) as guard:
        gate = ReceiveGate(guard)
        assert gate.receive(picture("match"), handle="m").hold is not None
        assert guard.holds.approve("KNOWN_MATCH", pin=PIN) == ()
        assert gate.view(picture("match"), handle="m").picture is None
        assert len(guard.holds.all()) == 1


def test_what_is_judged_more_strictly_now_is_not_let_through_by_an_older_release(world: World) -> None:
    store = world.set_up(age_band="10_12")
    with Guard(store=store, detectors=[ColourDetector()]) as guard:
        gate = ReceiveGate(guard)
        gate.receive(picture("explicit"), handle="m")
        guard.holds.approve("NUDITY_EXPLICIT", pin=PIN)
        assert gate.view(picture("explicit"), handle="m").released
        store.propose({"rules.view.explicit": "BLOCK"})
        stricter = gate.view(picture("explicit"), handle="m")
        assert (stricter.action, stricter.picture, stricter.released) == (Action.BLOCK, None, False)


def test_a_full_store_keeps_the_picture_back_and_says_so(world: World) -> None:
    world.hold_limits = HoldLimits(max_holds=1)
    store = world.set_up(age_band="10_12")
    with Guard(store=store, detectors=[ColourDetector()]) as guard:
        gate = ReceiveGate(guard)
        assert gate.receive(picture("explicit")).hold is not None
        full = gate.receive(picture("explicit", detail=1))
        assert (full.picture, full.hold, full.hold_problem) == (None, None, "FULL")
        assert full.stand_in is not None


def test_a_store_that_breaks_keeps_the_picture_back(world: World) -> None:
    world.set_up(age_band="adult").close()
    world.path.write_bytes(world.path.read_bytes()[:4096])
    with Guard(store=world.open(), detectors=[ColourDetector()]) as guard:
        received = ReceiveGate(guard).receive(picture("explicit"))
        assert received.action >= Action.HOLD
        assert (received.picture, received.hold) == (None, None)
        assert received.hold_problem == "DAMAGED"


def test_a_disk_that_fails_keeps_the_picture_back(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    store = world.set_up(age_band="10_12")
    with Guard(store=store, detectors=[ColourDetector()]) as guard:
        gate = ReceiveGate(guard)

        def refuse(*_: object, **__: object) -> None:
            raise sqlite3.OperationalError("disk I/O error")

        monkeypatch.setattr("safelight.store._work.Work.put", refuse)
        received = gate.receive(picture("explicit"))
        assert (received.picture, received.hold) == (None, None)
        assert received.hold_problem in ("UNREADABLE", "FULL", "READ_ONLY")


def test_without_a_store_the_hosts_copy_is_all_there_is() -> None:
    with _guard("10_12") as guard:
        received = ReceiveGate(guard).receive(picture("explicit"))
        assert (received.hold, received.hold_problem) == (None, "NO_STORE")


def test_a_stream_is_read_to_the_limit_and_no_further() -> None:
    with _guard(limits=Limits(max_bytes=10_000)) as guard:
        stream = Stream(bytes(1_000_000))
        received = ReceiveGate(guard).receive(stream)  # type: ignore[arg-type]
        assert received.action is Action.HOLD
        assert stream.read_bytes <= 12_000


# -- not looking twice ------------------------------------------------------------------------------------------------


def test_the_same_allowed_bytes_are_looked_at_once_while_nothing_changes(world: World) -> None:
    now = [0.0]
    store = world.set_up(age_band="16_17")
    detector = ColourDetector()
    with Guard(store=store, detectors=[detector]) as guard:
        gate = ReceiveGate(guard, clock=lambda: now[0], remember=2, remember_s=300)
        for _ in range(3):
            assert gate.view(picture("suggestive")).picture is not None
        assert detector.looked == 1
        assert gate.receive(picture("suggestive")).picture is not None
        assert detector.looked == 2
        now[0] += 301
        gate.view(picture("suggestive"))
        assert detector.looked == 3
        store.propose({"rules.view.suggestive": "HOLD"})
        assert gate.view(picture("suggestive")).picture is None
        assert detector.looked == 4
        gate.view(picture("none"))
        gate.view(picture("none", detail=1))
        gate.view(picture("none", detail=2))
        gate.view(picture("none"))
        assert detector.looked == 8
        gate.forget()
        gate.view(picture("none"))
        assert detector.looked == 9


def test_what_was_not_allowed_is_looked_at_every_time() -> None:
    detector = ColourDetector()
    with Guard(Profile("13_15"), detectors=[detector]) as guard:
        gate = ReceiveGate(guard)
        for name in ("explicit", "suggestive", "fails"):
            before = detector.looked
            gate.view(picture(name))
            gate.view(picture(name))
            assert detector.looked == before + 2


# -- clips ------------------------------------------------------------------------------------------------------------


def test_a_clip_is_looked_at_frame_by_frame_and_has_the_plain_stand_in() -> None:
    pytest.importorskip("av")
    pytest.importorskip("zxingcpp")
    from clip_world import calm_guard, encode, marked, moving

    frames = moving(12)
    benign = encode(frames)
    frames[7] = marked(frames[7])
    one_bad = encode(frames)
    for band, action in (("10_12", Action.HOLD), ("13_15", Action.BLUR)):
        with calm_guard(band) as guard:
            gate = ReceiveGate(guard)
            assert gate.receive(benign).picture == benign
            received = gate.receive(one_bad)
            assert (received.action, received.picture, received.stand_in) == (action, None, PLAIN)
            assert gate.save(one_bad).action is Action.BLOCK
            if action is Action.BLUR:
                assert received.ask_to_look().look() == one_bad
            assert gate.view(one_bad[: len(one_bad) // 2]).picture is None


# -- threads, asyncio, misuse -----------------------------------------------------------------------------------------


def test_many_threads_each_get_their_own_picture() -> None:
    names = ["none", "suggestive", "explicit", "match", "fails"] * 8
    with _guard("13_15") as guard, ThreadPoolExecutor(8) as pool:
        gate = ReceiveGate(guard)
        wanted = [picture(name, detail=number) for number, name in enumerate(names)]
        for name, data, received in zip(names, wanted, pool.map(gate.receive, wanted), strict=True):
            assert (received.picture == data) is (name in ("none", "suggestive"))


def test_the_face_for_asyncio_does_the_same() -> None:
    async def go() -> list[Action]:
        gate = ReceiveGate(guard)
        data = picture("explicit")
        found = await asyncio.gather(gate.areceive(data), gate.aview(data), gate.asave(data), gate.aforward(data))
        return [one.action for one in found]

    with _guard("13_15") as guard:
        assert asyncio.run(go()) == [Action.BLUR, Action.BLUR, Action.BLOCK, Action.BLOCK]


def test_misuse_is_refused_with_what_to_do() -> None:
    with _guard() as guard:
        gate = ReceiveGate(guard)
        with pytest.raises(UnsupportedInputError, match="bytes that were checked"):
            gate.receive(PilImage.new("RGB", (64, 64)))  # type: ignore[arg-type]
        with pytest.raises(UnsupportedInputError):
            gate.receive(7)  # type: ignore[arg-type]
        with pytest.raises(UnsupportedInputError, match="binary"):
            gate.receive(io.StringIO("text"))  # type: ignore[arg-type]
        with pytest.raises(MediaNotFoundError):
            gate.receive("no-such-file.png")
        with pytest.raises(UsageError, match="handle"):
            gate.receive(picture("none"), handle="x" * 257)
        with pytest.raises(UsageError, match="context"):
            gate.receive(picture("none"), context="fun")
        for wrong in ({"second_choice_s": 0}, {"remember": -1}, {"remember_s": -1.0}):
            with pytest.raises(UsageError):
                ReceiveGate(guard, **wrong)  # type: ignore[arg-type]
    with pytest.raises(ClosedError):
        gate.receive(picture("none"))
