"""With real guards, threads and child processes: does nothing marked reach the sink while detectors are killed?"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress

import numpy as np
import pytest
from camera_world import Bytes, Looks, frame_of, marked, picture_of, scene, score, simulate
from safelight import Action, Event, Finding, FindingKind, Guard, Label, Profile, State
from safelight.detect.isolated import Backoff, DetectorSpec, IsolatedDetector
from safelight.gates import CameraGate, ReleaseRule
from safelight.gates.camera import Budget, CameraState, Preview, Timing
from safelight.media import Image
from safelight.store import Store
from safelight.testing import TestMode
from safelight.testing.marker import mark_picture, read_marker
from store_world import World

linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="isolation is for Linux")
SOAK = os.environ.get("HYPOTHESIS_PROFILE") == "soak"
QUICK = Timing(hysteresis_s=0.0, freeze_s=0.01, stand_in_every_s=0.0)


@pytest.fixture
def store(world: World) -> Store:
    store = world.set_up(age_band="13_15", country="GB")
    store.consents.give("camera")
    return store


@pytest.fixture
def isolated() -> Iterator[IsolatedDetector]:
    detector = IsolatedDetector(
        DetectorSpec("camera_world:Brightness", "brightness", (FindingKind.NUDITY,)),
        timeout_ms=400,
        restart_backoff=Backoff(free_restarts=1_000_000),
    )
    yield detector
    detector.close()


class Sink:
    def __init__(self) -> None:
        self.pictures: list[Bytes] = []
        self.states: list[CameraState] = []

    def __call__(self, preview: Preview) -> None:
        self.states.append(preview.state)
        if preview.frame is not None:
            self.pictures.append(picture_of(preview.frame))


def signal_child(detector: IsolatedDetector, number: signal.Signals) -> bool:
    for pid in detector.status().pids:
        with suppress(ProcessLookupError):
            os.kill(pid, number)
            return True
    return False


def play(gate: CameraGate, until: Callable[[], object], timeout_s: float = 60.0) -> None:
    """Push frames, every fifth of them marked, until something is so."""
    ends_s = time.monotonic() + timeout_s
    index = 0
    while not until():
        assert time.monotonic() < ends_s
        calm = scene(index, noise=1.0)
        gate.push(frame_of(marked(calm) if index % 5 == 3 else calm))
        index += 1
        time.sleep(0.002)


@linux
def test_killed_children_expose_nothing_and_the_picture_comes_back(store: Store, isolated: IsolatedDetector) -> None:
    sink = Sink()
    with Guard(store=store, detectors=[isolated]) as guard:
        gate = CameraGate(guard, sink, timing=QUICK, budget=Budget(1.0, 500, 1), temperature=None)
        with gate:
            gate.open()
            play(gate, lambda: sink.pictures)
            for _ in range(10 if SOAK else 2):
                failed, shown = gate.status.counts.could_not_tell, len(sink.pictures)
                done = threading.Event()

                def kill(done: threading.Event = done) -> None:
                    while not done.is_set():
                        signal_child(isolated, signal.SIGKILL)
                        time.sleep(0.001)

                killer = threading.Thread(target=kill)
                killer.start()
                play(gate, lambda failed=failed: gate.status.counts.could_not_tell > failed)
                done.set()
                killer.join()
                play(gate, lambda shown=shown: len(sink.pictures) > shown)
    assert CameraState.COULD_NOT_TELL in sink.states
    assert all(score(picture) < 0.5 for picture in sink.pictures)


@linux
def test_a_stopped_child_is_a_cover_and_a_state(store: Store, isolated: IsolatedDetector) -> None:
    sink = Sink()
    with Guard(store=store, detectors=[isolated]) as guard:
        with CameraGate(guard, sink, timing=QUICK, budget=Budget(1.0, 500, 1), temperature=None) as gate:
            gate.open()
            play(gate, lambda: sink.pictures)
            assert signal_child(isolated, signal.SIGSTOP)
            play(gate, lambda: "TIMED_OUT" in gate.status.reasons)
            shown = len(sink.pictures)
            play(gate, lambda: len(sink.pictures) > shown)  # a new child
    assert all(score(picture) < 0.5 for picture in sink.pictures)


# --- marked pictures, as everybody's tests have them -----------------------------------------------------------------


class Calm:
    """Finds nothing in anything; what is marked is the trigger kit's to find."""

    id = "calm"
    kinds = (FindingKind.NUDITY,)

    def prepare(self) -> State:
        return State.OK

    def detect(self, image: Image) -> list[Finding]:
        return [Finding(FindingKind.NUDITY, State.OK, Label.NONE, 0.0, self.id)]

    def close(self) -> None:
        pass


@pytest.fixture
def judge() -> Iterator[Callable[[Bytes], object]]:
    with Guard(Profile("10_12"), detectors=[Calm()], test_mode=TestMode(marked=True)) as guard:
        yield lambda picture: guard.check_image(frame_of(picture), event=Event.CAPTURE)


def backdrop(index: int) -> Bytes:
    y, x = np.mgrid[0:120, 0:160]
    return np.repeat((60 + (x + y + 6 * index) // 4 % 40)[..., None], 3, axis=2).astype(np.uint8)


@pytest.mark.parametrize("seconds", [(0.004,), (0.3, 0.01)])
def test_no_marked_frame_is_shown(judge: Callable[[Bytes], object], seconds: tuple[float, ...]) -> None:
    random = np.random.default_rng(8)
    places = [None, (0, 0, 60, 60), (90, 50, 160, 120)]
    pictures = [backdrop(index // 4) for index in range(60)]
    at = sorted(int(index) for index in random.choice(60, 14, replace=False))
    for index in at:
        pictures[index] = mark_picture(pictures[index], region_px=places[index % 3])
    seen = simulate(
        pictures,
        looks=Looks(seconds),
        judge=judge,  # type: ignore[arg-type]
        timing=Timing(hysteresis_s=0.1),
    )
    assert seen.frames
    assert set(at).isdisjoint(seen.sequences)
    assert all(read_marker(picture) is None for _, _, picture in seen.frames)
    if len(seconds) == 1:  # slow looks may drop every marked frame, which shows none of them either
        assert seen.core.counts.refused > 0


def test_a_marker_that_fades_in_is_shown_no_further_than_the_bound(judge: Callable[[Bytes], object]) -> None:
    """A marker is read or not, from one frame to the next: what is shown beyond what passed is the rule's bound."""
    rule = ReleaseRule()
    clean = backdrop(0)
    alphas = np.linspace(0, 1, 150)
    pictures = [mark_picture(clean, alpha=float(alpha)) for alpha in alphas]
    seen = simulate(pictures, frames_per_second=60, looks=Looks((0.02,)), judge=judge)  # type: ignore[arg-type]
    passed = [
        picture
        for picture in pictures
        if judge(picture).action is Action.ALLOW  # type: ignore[attr-defined]
    ]
    assert 0 < len(passed) < len(pictures)
    assert all(any(rule.is_near(one, picture) for one in passed) for _, _, picture in seen.frames)


def test_with_a_guard_and_threads_no_marked_frame_is_shown(world: World) -> None:
    store = world.set_up(age_band="10_12", country="GB")
    store.consents.give("camera")
    store.consents.give("camera", by="guardian", pin="482913")
    sink = Sink()
    with Guard(store=store, detectors=[Calm()], test_mode=TestMode(marked=True)) as guard:
        with CameraGate(guard, sink, timing=QUICK, budget=Budget(1.0, 500, 1), temperature=None) as gate:
            assert gate.open().open
            for index in range(120):
                picture = backdrop(index // 3)
                gate.push(frame_of(mark_picture(picture) if index % 6 == 2 else picture))
                time.sleep(0.001)
            ends_s = time.monotonic() + 20
            while not (gate.status.counts.refused and sink.pictures):
                assert time.monotonic() < ends_s
                gate.push(frame_of(mark_picture(backdrop(0))))
                gate.push(frame_of(backdrop(0)))
                time.sleep(0.005)
    assert all(read_marker(picture) is None for picture in sink.pictures)
