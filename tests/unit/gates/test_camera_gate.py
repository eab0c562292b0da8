"""Does the camera gate ask first, show only what was judged, give memory back clean, and say how it is?"""

from __future__ import annotations

import io
import logging
import sys
import threading
import time
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from camera_world import HEIGHT, WIDTH, Brightness, Bytes, brightened, frame_of, marked, picture_of, scene, score
from PIL import Image as PilImage
from safelight import Action, ClosedError, Frame, Guard, Profile, UsageError
from safelight.errors import StoreError
from safelight.gates import CameraGate
from safelight.gates.camera import Budget, CameraState, CaptureState, Preview, Timing, system_temperature_c
from safelight.gates.camera import gate as gate_module
from safelight.gates.camera.memory import FrameMemory
from safelight.gates.camera.pace import Pace
from safelight.gates.camera.preview import stand_in
from safelight.gates.camera.source import SourceError, open_source
from safelight.media.frame import to_pixels
from safelight.media.stand_in import PLAIN, stand_in_of
from safelight.store import Store
from store_world import World

PIXEL = 201


class Sink:
    """Keeps copies of what it is given."""

    def __init__(self) -> None:
        self.previews: list[Preview] = []
        self.pictures: list[Bytes] = []
        self.kept: list[Frame] = []

    def __call__(self, preview: Preview) -> None:
        self.previews.append(preview)
        if preview.frame is not None:
            self.kept.append(preview.frame)
            self.pictures.append(picture_of(preview.frame))

    @property
    def states(self) -> list[CameraState]:
        return [preview.state for preview in self.previews]


class Source:
    """Gives the same frame until it is told otherwise, and knows what was asked of it."""

    def __init__(self, frames: int = 1 << 30, picture: Bytes | None = None) -> None:
        self.left, self.reads, self.closed = frames, 0, False
        self.frame = frame_of(scene() if picture is None else picture)

    def read(self) -> Frame | None:
        self.reads += 1
        self.left -= 1
        time.sleep(0.001)
        return self.frame if self.left >= 0 and not self.closed else None

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def store(world: World) -> Store:
    return world.set_up(age_band="13_15", country="GB")


@pytest.fixture
def detector() -> Brightness:
    return Brightness()


@pytest.fixture
def guard(store: Store, detector: Brightness) -> Iterator[Guard]:
    with Guard(store=store, detectors=[detector]) as guard:
        yield guard


@pytest.fixture
def agreed(store: Store) -> None:
    store.consents.give("camera")


@pytest.fixture
def sink() -> Sink:
    return Sink()


@pytest.fixture
def make(guard: Guard, sink: Sink, world: World) -> Iterator[Callable[..., CameraGate]]:
    """Gates without threads, by the world's clock; closed at the end."""
    made: list[CameraGate] = []

    def make(**options: Any) -> CameraGate:
        options = {"threads": False, "clock": world.clock.boot_s, "temperature": None, **options}
        made.append(CameraGate(guard, sink, **options))
        return made[-1]

    yield make
    for gate in made:
        gate.close()


def wait_until(true: Callable[[], object], timeout_s: float = 20.0) -> None:
    ends_s = time.monotonic() + timeout_s
    while not true():
        assert time.monotonic() < ends_s
        time.sleep(0.002)


# --- consent ---------------------------------------------------------------------------------------------------------


def _nobody(store: Store, world: World) -> None:
    pass


def _expired(store: Store, world: World) -> None:
    store.consents.give("camera", ttl_s=60)
    world.clock.run(61)


def _withdrawn(store: Store, world: World) -> None:
    store.consents.give("camera")
    store.consents.withdraw("camera")


def _other_purpose(store: Store, world: World) -> None:
    store.consents.give("scan")
    store.consents.give("age_check")


@pytest.mark.parametrize(
    ("how", "reason"),
    [
        (_nobody, "CONSENT_MISSING"),
        (_expired, "CONSENT_EXPIRED"),
        (_withdrawn, "CONSENT_WITHDRAWN"),
        (_other_purpose, "CONSENT_MISSING"),
    ],
)
def test_without_consent_no_device_is_touched(
    make: Any, store: Store, world: World, sink: Sink, monkeypatch: pytest.MonkeyPatch, how: Any, reason: str
) -> None:
    opened: list[object] = []
    monkeypatch.setattr(gate_module, "open_source", lambda *a, **k: opened.append(a))
    how(store, world)
    gate, source = make(), Source()
    for what in ("/dev/video0", source, None):
        status = gate.open(what)
        assert status.state is CameraState.NO_CONSENT
        assert not status.open
        assert reason in status.reasons
        assert status.decision is not None
        assert status.decision.notice is not None  # something to show
        assert gate.push(frame_of(scene())).state is CameraState.NO_CONSENT
        assert gate.poll().state is CameraState.NO_CONSENT
    assert opened == []
    assert (source.reads, source.closed) == (0, False)
    assert sink.previews == []


def test_a_guard_without_a_store_has_no_consent(sink: Sink) -> None:
    with Guard(Profile("adult"), detectors=[Brightness()]) as guard, CameraGate(guard, sink, threads=False) as gate:
        status = gate.open()
        assert status.state is CameraState.NO_CONSENT
        assert status.consent is None


def test_the_youngest_need_a_guardian_as_well(world: World, sink: Sink) -> None:
    store = world.set_up(age_band="under_10", country="GB")
    store.consents.give("camera")
    with Guard(store=store, detectors=[Brightness()]) as guard, CameraGate(guard, sink, threads=False) as gate:
        status = gate.open()
        assert status.state is CameraState.NO_CONSENT
        assert status.consent is not None
        assert [who.value for who in status.consent.waiting_for] == ["guardian"]


@pytest.mark.usefixtures("agreed")
def test_a_withdrawal_stops_a_camera_that_runs(make: Any, store: Store, world: World, sink: Sink) -> None:
    gate, source = make(), Source()
    gate.open(source)
    gate.poll()
    assert sink.states[-1] is CameraState.SHOWING
    memory = gate._session.core._memory
    store.consents.withdraw("camera")
    world.clock.run(0.6)
    status = gate.poll()
    assert status.state is CameraState.NO_CONSENT
    assert "CONSENT_WITHDRAWN" in status.reasons
    assert source.closed
    assert not any(slot._pages.any() for slot in memory._all)
    assert not sink.previews[-1].released  # the last picture is gone from the screen
    assert sink.states[-1] is CameraState.NO_CONSENT
    before = len(sink.previews)
    gate.push(frame_of(scene()))
    assert len(sink.previews) == before
    store.consents.give("camera")
    assert gate.open().state is CameraState.STARTING


def test_consent_that_runs_out_stops_it_at_that_moment(make: Any, store: Store, world: World) -> None:
    store.consents.give("camera", ttl_s=60)
    gate = make()
    gate.open()
    for _ in range(599):
        world.clock.run(0.1)
        assert gate.push(frame_of(scene())).open
    world.clock.run(0.2)
    assert gate.push(frame_of(scene())).state is CameraState.NO_CONSENT


@pytest.mark.usefixtures("agreed")
@pytest.mark.parametrize("error", [StoreError("store: got a full disk", state="FULL"), OSError(5, "zq7")])
def test_a_store_that_fails_stops_it(
    make: Any, store: Store, world: World, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def failing(purpose: str) -> None:
        raise error

    gate = make()
    assert gate.open().open
    monkeypatch.setattr(store.consents, "check", failing)
    world.clock.run(1)
    assert gate.push(frame_of(scene())).state is CameraState.NO_CONSENT
    assert gate.status.decision is None or gate.status.decision.action >= Action.HOLD


@pytest.mark.usefixtures("agreed")
def test_with_threads_a_withdrawal_closes_the_device(guard: Guard, store: Store, sink: Sink) -> None:
    source = Source()
    with CameraGate(guard, sink, temperature=None) as gate:
        gate.open(source)
        wait_until(lambda: CameraState.SHOWING in sink.states)
        store.consents.withdraw("camera")
        wait_until(lambda: gate.status.state is CameraState.NO_CONSENT)
        assert source.closed


# --- what is shown ---------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("agreed")
def test_a_frame_is_shown_after_its_verdict_and_near_ones_with_it(make: Any, sink: Sink, world: World) -> None:
    gate = make()
    assert gate.open().state is CameraState.STARTING
    gate.push(frame_of(scene()))
    assert [preview.released for preview in sink.previews] == [False]
    assert sink.states == [CameraState.STARTING]
    assert gate.poll().state is CameraState.SHOWING
    assert np.array_equal(sink.pictures[0], scene())
    world.clock.run(0.03)
    gate.push(frame_of(brightened(scene(), 3)))  # near: no look of its own
    assert np.array_equal(sink.pictures[1], brightened(scene(), 3))
    assert gate.status.counts.looked_at == 1
    assert gate.status.counts.near == 1
    world.clock.run(0.03)
    gate.push(frame_of(brightened(scene(), 9)))  # not near: waits
    assert len(sink.pictures) == 2
    gate.poll()
    assert len(sink.pictures) == 3
    assert gate.status.release_delay_ms is not None


@pytest.mark.usefixtures("agreed")
def test_what_is_found_is_covered_and_named(make: Any, sink: Sink, world: World) -> None:
    gate = make()
    gate.open()
    gate.push(frame_of(scene()))
    gate.poll()
    world.clock.run(0.1)
    gate.push(frame_of(marked(scene())))
    status = gate.poll()
    assert status.state is CameraState.COVERED
    assert "NUDITY_EXPLICIT" in status.reasons
    assert status.decision is not None
    assert status.decision.action is Action.BLOCK
    assert sink.previews[-1].decision is status.decision
    assert sink.previews[-1].stand_in == PLAIN  # what is stopped is not even stood in for
    for _ in range(19):
        world.clock.run(0.1)
        gate.push(frame_of(scene()))
        assert gate.poll().state is CameraState.COVERED
        assert sink.previews[-1].stand_in == PLAIN
    world.clock.run(0.2)
    gate.push(frame_of(scene()))
    assert gate.poll().state is CameraState.SHOWING
    assert gate.status.decision is None
    assert all(score(picture) < 0.5 for picture in sink.pictures)


@pytest.mark.usefixtures("agreed")
def test_the_newest_frame_is_looked_at_and_older_ones_are_dropped(make: Any, sink: Sink, world: World) -> None:
    gate = make()
    gate.open()
    for shift in (0, 20, 40, 60):
        gate.push(frame_of(brightened(scene(), shift)))
    gate.poll()
    assert gate.status.counts.dropped == 3
    assert np.array_equal(sink.pictures[0], brightened(scene(), 60))
    assert sink.previews[-1].sequence == 3


@pytest.mark.usefixtures("agreed")
def test_hold_mode_gives_released_frames_and_nothing_else(make: Any, sink: Sink, world: World) -> None:
    gate = make(mode="hold")
    gate.open()
    for picture in (scene(), marked(scene()), scene()):
        gate.push(frame_of(picture))
        world.clock.run(0.1)
        gate.poll()
    assert len(sink.previews) == 1
    assert sink.previews[0].released
    assert gate.status.state is CameraState.COVERED


@pytest.mark.usefixtures("agreed")
def test_a_guard_that_cannot_tell_or_raises_covers_and_comes_back(
    make: Any, sink: Sink, world: World, detector: Brightness, guard: Guard, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(picture: Bytes) -> None:
        raise ZeroDivisionError

    gate = make()
    gate.open()
    detector.before = broken
    gate.push(frame_of(scene()))
    assert gate.poll().state is CameraState.COULD_NOT_TELL
    assert gate.status.reasons == ("DETECTOR_FAILED",)
    monkeypatch.setattr(guard, "check_image", lambda *a, **k: 1 // 0)
    world.clock.run(1)
    gate.push(frame_of(scene()))
    assert gate.poll().state is CameraState.COULD_NOT_TELL
    monkeypatch.undo()
    assert sink.pictures == []
    detector.before = lambda picture: None
    world.clock.run(1)
    gate.push(frame_of(scene()))
    assert gate.poll().state is CameraState.SHOWING  # at once: nothing was found


@pytest.mark.usefixtures("agreed")
def test_a_frame_that_is_too_large_is_not_shown(make: Any, sink: Sink) -> None:
    gate = make(max_memory_bytes=4 * WIDTH * HEIGHT * 3 - 4)
    gate.open()
    assert gate.push(frame_of(scene())).state is CameraState.COULD_NOT_TELL
    assert gate.poll().counts.too_large == 1
    assert sink.pictures == []
    long = Frame(bytes(40_000), "grey", width=40_000, height=1)
    other = make()
    other.open()
    assert other.push(long).counts.too_large == 1


@pytest.mark.usefixtures("agreed")
def test_what_is_shown_is_what_was_judged_although_the_host_reuses_its_buffer(make: Any, sink: Sink) -> None:
    buffer = bytearray(scene().tobytes())
    gate = make()
    gate.open()
    gate.push(Frame(buffer, "rgb", width=WIDTH, height=HEIGHT))
    buffer[:] = marked(scene()).tobytes()
    gate.poll()
    assert np.array_equal(sink.pictures[0], scene())


# --- stand-ins -------------------------------------------------------------------------------------------------------


def test_what_is_finer_than_a_cell_is_not_in_a_stand_in() -> None:
    random = np.random.default_rng(5)
    plain = np.full((480, 640, 3), 120, np.uint8)
    detailed = plain.copy()
    noise = random.integers(0, 100, (8, 8, 30, 80, 3))
    for row in range(8):
        for column in range(8):
            # Each half of a cell is the other's negative: all detail, the same mean.
            cell = detailed[60 * row : 60 * row + 60, 80 * column : 80 * column + 80]
            cell[:30] = 120 + noise[row, column] // 2
            cell[30:] = 120 - noise[row, column] // 2
    assert stand_in(frame_of(plain)) == stand_in(frame_of(detailed))
    assert stand_in(frame_of(plain)) != stand_in(frame_of(255 - plain))


@pytest.mark.parametrize("rotation", [0, 90, 180, 270])
@pytest.mark.parametrize("format", ["rgb", "bgr", "rgba", "grey", "nv12", "i420", "yuyv"])
def test_a_stand_in_is_that_of_the_upright_picture(format: Any, rotation: Any) -> None:
    width, height = 160, 120
    length = {"rgb": 3, "bgr": 3, "rgba": 4, "grey": 1, "yuyv": 2}.get(format, 1.5) * width * height
    data = np.repeat(np.arange(int(length) // 100 + 1, dtype=np.uint8), 100)[: int(length)]
    frame = Frame(data, format, width=width, height=height, rotation=rotation)
    expected = stand_in_of(to_pixels(frame)[..., :3])
    got = stand_in(frame)
    cells = [np.frombuffer(one.cells, np.uint8).astype(int) for one in (got, expected)]
    assert np.mean(cells[0] != cells[1]) < 0.1  # where a mean lies on the edge of two shades


@pytest.mark.usefixtures("agreed")
def test_stand_ins_change_four_times_a_second_at_most(make: Any, sink: Sink, world: World) -> None:
    gate = make()
    gate.open()
    for index in range(60):
        gate.push(frame_of(np.roll(scene(), index, axis=0)))
        world.clock.run(1 / 60)
    assert len(sink.previews) <= 5


def test_previews_give_pictures_of_their_own() -> None:
    preview = Preview(None, stand_in(frame_of(scene())), 64, 48, CameraState.STARTING, 0, 0.0, 0.0)
    drawn = preview.pixels()
    assert drawn.shape == (48, 64, 3)
    assert preview.pixels(8, 8).shape == (8, 8, 3)
    drawn[:] = 0
    shown = Preview(frame_of(scene()), None, 64, 48, CameraState.SHOWING, 0, 0.0, 0.0)
    assert np.array_equal(shown.pixels(), scene())
    assert shown.pixels(32, 24).shape == (24, 32, 3)


# --- memory and privacy ----------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("agreed")
def test_memory_is_bounded_and_overwritten(make: Any, sink: Sink, world: World) -> None:
    gate = make()
    gate.open()
    memory = gate._session.core._memory
    for index in range(50):
        gate.push(frame_of(brightened(scene(), index % 30)))
        if index % 3 == 0:
            gate.poll()
        world.clock.run(0.05)
        assert memory.size_bytes <= 4 * 4096 * 3
        in_use = [slot for slot in memory._all if slot.frame is not None]
        assert len(in_use) == memory.frames <= 2  # the one that was looked at, and the one that waits
        for slot in memory._all:
            assert slot in in_use or not slot._pages.any()
    assert sink.kept
    gate.close()
    assert not any(slot._pages.any() for slot in memory._all)
    assert not any(picture_of(frame).any() for frame in sink.kept)  # the sink's too, were it to keep them


def test_the_memory_refuses_nothing_and_keeps_nothing() -> None:
    memory = FrameMemory(2, 100)
    frame = Frame(bytes([PIXEL]) * 48, "rgb", width=4, height=4)
    assert memory.fits(frame)
    assert not memory.fits(Frame(bytes(51), "grey", width=51, height=1))
    slot = memory.keep(frame)
    assert picture_of(slot.frame).max() == PIXEL  # type: ignore[arg-type]
    memory.close()
    assert not slot._pages.any()
    memory.give_back(slot)
    assert "Memory" in repr(memory)


@pytest.mark.usefixtures("agreed")
def test_no_pixel_in_any_repr_log_or_error(
    make: Any, sink: Sink, world: World, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    picture = np.full((HEIGHT, WIDTH, 3), PIXEL, np.uint8)
    gate = make()
    gate.open()
    gate.push(frame_of(picture))
    status = gate.poll()
    capture = gate.capture(frame_of(picture))
    said = [repr(gate), repr(status), repr(capture), caplog.text, *map(repr, sink.previews), repr(gate._session)]

    def failing(preview: Preview) -> None:
        raise RuntimeError

    other = make()
    other._sink = failing
    other.open()
    with pytest.raises(RuntimeError) as caught:
        other.push(frame_of(picture))
    said += [str(caught.value), repr(other.status)]
    for text in said:
        assert str(PIXEL) not in text
        assert f"{PIXEL:02x}" not in text.replace("0x", "")


@pytest.mark.usefixtures("agreed")
def test_a_sink_that_raises_stops_the_gate(make: Any) -> None:
    class BrokenError(Exception):
        pass

    def broken(preview: Preview) -> None:
        raise BrokenError

    gate = make()
    gate._sink = broken
    gate.open()
    memory = gate._session.core._memory
    with pytest.raises(BrokenError):
        gate.push(frame_of(scene()))
    assert gate.status.state is CameraState.SINK_FAILED
    assert not any(slot._pages.any() for slot in memory._all)


# --- stills ----------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("agreed")
def test_a_still_is_handed_out_when_it_was_judged(make: Any) -> None:
    gate = make()
    assert gate.capture(frame_of(scene())).state is CaptureState.NO_FRAME  # not open
    gate.open()
    buffer = bytearray(scene().tobytes())
    taken = gate.capture(Frame(buffer, "rgb", width=WIDTH, height=HEIGHT))
    buffer[:] = bytes(len(buffer))
    assert taken.state is CaptureState.TAKEN
    assert taken.taken
    assert np.array_equal(to_pixels(taken.frame), scene())
    refused = gate.capture(frame_of(marked(scene())))
    assert (refused.state, refused.frame, refused.hold) == (CaptureState.REFUSED, None, None)
    assert refused.decision is not None
    assert refused.decision.notice is not None
    with pytest.raises(UsageError, match="frame"):
        gate.capture()


@pytest.mark.usefixtures("agreed")
def test_no_still_is_taken_while_something_is_covered(make: Any, world: World) -> None:
    gate = make()
    gate.open()
    gate.push(frame_of(marked(scene())))
    gate.poll()
    assert gate.capture(frame_of(scene())).state is CaptureState.REFUSED
    world.clock.run(2.1)
    assert gate.capture(frame_of(scene())).taken


@pytest.mark.usefixtures("agreed")
def test_a_refused_still_can_be_kept_for_a_second_look(make: Any, guard: Guard, detector: Brightness) -> None:
    gate = make()
    gate.open()
    refused = gate.capture(frame_of(marked(scene())), keep=True)
    assert refused.hold is not None
    assert guard.holds.counts() == {"NUDITY_EXPLICIT": 1}
    kept = guard.holds._bytes(refused.hold.id)
    assert np.array_equal(np.asarray(PilImage.open(io.BytesIO(kept))), marked(scene()))


@pytest.mark.usefixtures("agreed")
def test_a_still_without_an_answer_is_not_taken(
    guard: Guard, sink: Sink, detector: Brightness, monkeypatch: pytest.MonkeyPatch
) -> None:
    released = threading.Event()
    with CameraGate(guard, sink, temperature=None, still_guard=guard) as gate:
        gate.open(Source())
        wait_until(lambda: CameraState.SHOWING in sink.states)
        detector.before = lambda picture: released.wait(20)
        late = gate.capture(timeout_s=0.05)
        assert late.state is CaptureState.COULD_NOT_TELL
        assert late.frame is None
        released.set()
        detector.before = lambda picture: None
        wait_until(lambda: gate.capture(timeout_s=20).taken)


@pytest.mark.usefixtures("agreed")
def test_a_still_needs_a_frame_in_time(guard: Guard, sink: Sink) -> None:
    with CameraGate(guard, sink, temperature=None) as gate:
        gate.open()
        assert gate.capture(timeout_s=0.01).state is CaptureState.NO_FRAME


# --- pace ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def no_plan(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("safelight.gates.camera.pace.load_plan", lambda: None)


@pytest.mark.usefixtures("no_plan")
def test_looks_leave_half_of_a_processor() -> None:
    pace = Pace(Budget(), None)
    now, busy = 0.0, 0.0
    for _ in range(50):
        assert pace.may_look(now)
        pace.started(now)
        now += 0.2
        busy += 0.2
        pace.took(0.2, now)
        now += pace.wait_s(now) + 1e-9
    assert 0.45 < busy / now < 0.55


@pytest.mark.usefixtures("no_plan")
def test_a_fast_device_looks_at_every_frame_and_a_slow_one_every_few_seconds() -> None:
    fast, slow = Pace(Budget(), None), Pace(Budget(), None)
    fast.took(0.001, 1.0)
    slow.took(20.0, 21.0)
    assert fast.interval_s(1.0) == pytest.approx(1 / 30)
    assert slow.interval_s(21.0) == pytest.approx(5.0)


@pytest.mark.usefixtures("no_plan")
@pytest.mark.parametrize(("degrees", "factor"), [(None, 1), (20, 1), (75, 1), (82.5, 2.5), (90, 4), (120, 4)])
def test_a_hot_device_looks_less_often(degrees: float | None, factor: float) -> None:
    pace = Pace(Budget(), lambda: degrees)
    pace.took(0.001, 0.0)
    assert pace.interval_s(0.0) == pytest.approx(factor / 30)
    assert pace.temperature_c == degrees


@pytest.mark.usefixtures("no_plan")
def test_a_thermometer_that_fails_is_no_reason_to_stop() -> None:
    def broken() -> float:
        raise OSError

    assert Pace(Budget(), broken).interval_s(0.0) == pytest.approx(1 / 30)


def test_the_first_pace_is_what_was_measured_on_this_device(monkeypatch: pytest.MonkeyPatch) -> None:
    from safelight.measure import plan

    monkeypatch.setattr("safelight.gates.camera.pace.load_plan", lambda: plan(live_ms=250.0, full_ms=None))
    assert Pace(Budget(), None).interval_s(0.0) == pytest.approx(0.5)


def test_the_hottest_zone_counts(tmp_path: Path) -> None:
    assert system_temperature_c(tmp_path) is None
    for number, text in enumerate(("41000\n", "63500\n", "-274000\n", "nonsense")):
        zone = tmp_path / f"thermal_zone{number}"
        zone.mkdir()
        (zone / "temp").write_text(text)
    assert system_temperature_c(tmp_path) == 63.5


# --- sources ---------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A second of calm pictures, H.264 in MP4."""
    av = pytest.importorskip("av")
    path = tmp_path_factory.mktemp("clip") / "calm.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=Fraction(30))
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        for index in range(30):
            frame = av.VideoFrame.from_ndarray(brightened(scene(), index), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def test_a_file_is_played_as_a_camera_at_its_pace(clip: Path) -> None:
    now = [0.0]

    def sleep(seconds: float) -> None:
        now[0] += seconds

    source = open_source(clip, clock=lambda: now[0], sleep=sleep)
    pictures = []
    while (frame := source.read()) is not None:
        assert (frame.format, frame.width, frame.height, frame.color_range) == ("i420", WIDTH, HEIGHT, "limited")
        pictures.append(to_pixels(frame))
    source.finish()  # type: ignore[attr-defined]
    assert len(pictures) == 30
    assert now[0] == pytest.approx(29 / 30, abs=1e-3)
    assert np.abs(pictures[-1].astype(int) - brightened(scene(), 29)).mean() < 4


def test_a_camera_that_is_late_leaves_frames_out(clip: Path) -> None:
    now = [0.0]
    source = open_source(clip, clock=lambda: now[0], sleep=lambda s: None)
    assert source.read() is not None
    now[0] = 0.7
    source.read()
    left = 0
    while source.read() is not None:
        left += 1
    source.finish()  # type: ignore[attr-defined]
    assert left < 15


@pytest.mark.usefixtures("agreed")
def test_a_gate_plays_a_file_to_its_end(make: Any, sink: Sink, clip: Path) -> None:
    gate = make()
    assert gate.open(clip).state is CameraState.STARTING
    while gate.status.open:
        gate.poll()
    assert gate.status.state is CameraState.SOURCE_LOST
    assert gate.status.counts.pushed > 20
    assert gate.status.counts.released > 0
    assert sink.previews[-1].state is CameraState.SOURCE_LOST


@pytest.mark.usefixtures("agreed")
def test_a_source_that_cannot_be_opened_is_a_state(make: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    text = tmp_path / "zq7sentinel.mp4"
    text.write_text("no video")
    damaged = tmp_path / "zq7sentinel-2.mp4"
    damaged.write_bytes(b"\0\0\0\x18ftypisom" + bytes(500))
    gate = make()
    for path in (tmp_path / "zq7sentinel-none", text, damaged, "/dev/null", "\0"):
        assert gate.open(path).state is CameraState.NO_CAMERA
    assert "zq7sentinel" not in caplog.text


@pytest.mark.usefixtures("agreed")
def test_without_pyav_the_extra_is_named(make: Any, clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "av", None)
    assert make().open(clip).state is CameraState.NO_CAMERA
    with pytest.raises(SourceError, match=r"safelight\[video\]"):
        open_source(clip)


@pytest.mark.usefixtures("agreed")
@pytest.mark.parametrize("threads", [False, True])
def test_a_source_that_breaks_is_lost(guard: Guard, sink: Sink, threads: bool) -> None:
    class Broken(Source):
        def read(self) -> Frame | None:
            if self.reads > 3:
                raise OSError(19, "zq7sentinel")
            return super().read()

    with CameraGate(guard, sink, threads=threads, temperature=None) as gate:
        source = Broken()
        gate.open(source)
        wait_until(lambda: gate.poll().state is CameraState.SOURCE_LOST)
        assert source.closed
        assert gate.open(Source()).state is CameraState.STARTING  # plugged in again


# --- threads and misuse ----------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("agreed")
def test_with_threads_nothing_marked_is_shown_however_slow_the_looks(
    guard: Guard, sink: Sink, detector: Brightness
) -> None:
    random = np.random.default_rng(3)
    pictures = [marked(scene(i, noise=1)) if i % 7 == 3 else scene(i, noise=1) for i in range(150)]
    detector.before = lambda picture: time.sleep(float(random.choice([0.0, 0.002, 0.02])))
    timing = Timing(hysteresis_s=0.0, freeze_s=0.005, stand_in_every_s=0.0)
    with CameraGate(guard, sink, timing=timing, budget=Budget(1.0, 500, 1), temperature=None) as gate:
        gate.open()
        for picture in pictures:
            gate.push(frame_of(picture))
            time.sleep(0.002)
        wait_until(lambda: gate.status.counts.refused > 0 and sink.pictures)
    assert all(score(picture) < 0.5 for picture in sink.pictures)


@pytest.mark.usefixtures("agreed")
def test_with_threads_a_hanging_look_is_waited_for_under_a_cover(
    guard: Guard, sink: Sink, detector: Brightness
) -> None:
    go_on = threading.Event()
    timing = Timing(freeze_s=0.01, look_timeout_s=0.05, stand_in_every_s=0.0)
    with CameraGate(guard, sink, timing=timing, temperature=None) as gate:
        gate.open()
        gate.push(frame_of(scene()))
        wait_until(lambda: CameraState.SHOWING in sink.states)
        detector.before = lambda picture: go_on.wait(20)
        gate.push(frame_of(marked(scene())))
        wait_until(lambda: gate.push(frame_of(scene())).state is CameraState.WAITING)
        shown = len(sink.pictures)
        for _ in range(20):
            gate.push(frame_of(scene()))
        assert len(sink.pictures) == shown
        go_on.set()
        detector.before = lambda picture: None
        wait_until(lambda: gate.status.state is CameraState.COVERED)  # its verdict counts, late as it is


@pytest.mark.usefixtures("agreed")
def test_closing_does_not_wait_for_a_hanging_look(
    guard: Guard, sink: Sink, detector: Brightness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gate_module, "_JOIN_S", 0.01)
    go_on, begun = threading.Event(), threading.Event()

    def hang(picture: Bytes) -> None:
        begun.set()
        go_on.wait(20)

    detector.before = hang
    gate = CameraGate(guard, sink, temperature=None)
    gate.open()
    gate.push(frame_of(scene()))
    assert begun.wait(20)
    gate.close()
    before = len(sink.previews)
    go_on.set()
    time.sleep(0.02)
    assert len(sink.previews) == before  # its verdict comes to nobody
    with pytest.raises(ClosedError):
        gate.push(frame_of(scene()))


@pytest.mark.usefixtures("agreed")
def test_misuse(make: Any, guard: Guard) -> None:
    gate = make()
    gate.open()
    with pytest.raises(UsageError, match="open gate"):
        gate.open()
    gate.stop()
    assert gate.status.state is CameraState.CLOSED
    assert gate.open().open
    gate.close()
    gate.close()
    for call in (gate.open, gate.poll, gate.capture, gate.__enter__):
        with pytest.raises(ClosedError):
            call()
    for wrong in ({"mode": "film"}, {"max_memory_bytes": 3}):
        with pytest.raises(UsageError, match=next(iter(wrong))):
            make(**wrong)
    for name, budget in (("processor_share", (0,)), ("min_looks_per_second", (0.5, 1, 2))):
        with pytest.raises(UsageError, match=name):
            Budget(*budget)
    with pytest.raises(UsageError, match="hot_c"):
        Budget(warm_c=50, hot_c=50)
