"""A detector that crashes, hangs, eats memory or lies in its own process is a state here, and never an exposure."""

from __future__ import annotations

import contextlib
import gc
import logging
import os
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from fault.isolation_stubs import Do, Stub, checksum
from safelight import Action, ClosedError, Event, Finding, FindingKind, Guard, Profile, State, UsageError
from safelight.detect import TIERS, VisionDetector, _child
from safelight.detect.isolated import Backoff, DetectorSpec, Fault, IsolatedDetector, vision_spec
from safelight.detect.tiers import Tier
from safelight.errors import UnsupportedInputError
from safelight.media import Image, load_image
from safelight.testing.contract import check_detector

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="isolation is for Linux")

NEVER_WAIT = Backoff(free_restarts=1_000_000)
FAILED = (Finding(FindingKind.NUDITY, State.DETECTOR_FAILED, model="stub"),)
TIMED_OUT = (Finding(FindingKind.NUDITY, State.TIMED_OUT, model="stub"),)
PATIENCE_MS = 60_000


def _image(do: Do = Do.FINE, height: int = 12, width: int = 16, seed: int = 0) -> Image:
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)
    pixels[0, 0, 0] = do
    pixels.flags.writeable = False
    return Image(pixels, width * 2, height * 2 - 1, (0.0, 0.5, float(width), height - 0.25), seed, "over_white")


def _expected(image: Image) -> tuple[Finding, ...]:
    return tuple(Stub().detect(image))


def _spec(id: str = "stub", kind: FindingKind = FindingKind.NUDITY, **kwargs: object) -> DetectorSpec:
    return DetectorSpec("fault.isolation_stubs:Stub", id, (kind,), {"id": id, "kind": kind.value, **kwargs})


def _isolated(*specs: DetectorSpec, **options: object) -> contextlib.closing[IsolatedDetector]:
    options = {"timeout_ms": PATIENCE_MS, "restart_backoff": NEVER_WAIT, **options}
    return contextlib.closing(IsolatedDetector(*(specs or (_spec(),)), **options))  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def shared() -> Iterator[IsolatedDetector]:
    with _isolated() as detector:
        yield detector


def _children() -> set[int]:
    """Processes whose parent is this one, zombies too."""
    found = set()
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                if int((entry / "stat").read_text().rpartition(")")[2].split()[1]) == os.getpid():
                    found.add(int(entry.name))
    return found


def _open_fds() -> dict[str, str]:
    found = {}
    for name in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):
            found[name] = os.readlink(f"/proc/self/fd/{name}")
    return found


def _maps() -> int:
    return Path("/proc/self/maps").read_text().count("memfd:safelight")


def _wait_for_end(pid: int) -> None:
    """Until it has ended, reaped or not; not our child, so there is nothing to wait on but this."""
    try:
        pidfd = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        assert select.select([pidfd], [], [], PATIENCE_MS / 1000)[0], "it still runs"
    finally:
        os.close(pidfd)


@pytest.fixture
def fifo(tmp_path: Path) -> Path:
    """A named pipe: a child may write to it, as it may not to a file."""
    path = tmp_path / "fifo"
    os.mkfifo(path)
    return path


def _hosted(script: str, *arguments: str) -> subprocess.Popen[str]:
    """A host of its own, for what must not happen to the one that runs the tests."""
    tests = str(Path(__file__).parents[1])
    return subprocess.Popen(
        [sys.executable, "-W", "error", "-c", script, *arguments],
        env=os.environ | {"PYTHONPATH": tests},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


_IN_HOST = """
import os, sys, threading
import numpy as np
from fault.isolation_stubs import Do
from safelight import FindingKind
from safelight.media import Image
from safelight.detect.isolated import DetectorSpec, IsolatedDetector

def image(do=Do.FINE):
    pixels = np.zeros((4, 4, 3), np.uint8)
    pixels[0, 0, 0] = do
    return Image(pixels, 4, 4, (0, 0, 4, 4))

def make(**kwargs):
    return IsolatedDetector(DetectorSpec("fault.isolation_stubs:Stub", "stub", (FindingKind.NUDITY,), kwargs))
"""


# What it says when all is well


@pytest.mark.parametrize("piped", [False, True])
def test_every_picture_arrives_whole(piped: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if piped:
        monkeypatch.setattr(_child, "_memfd", lambda: None)
    sizes = [(1, 1), (12, 16), (1080, 1920), (7, 5), (2400, 2400), (256, 256), (1, 4000), (2401, 2400), (3, 3)]
    with _isolated() as detector:
        for number, (height, width) in enumerate(sizes):
            image = _image(height=height, width=width, seed=number)
            assert detector.detect(image) == _expected(image)
        status = detector.status()
        assert (status.starts, status.failures, status.shared_memory) == (1, 0, not piped)


def test_arrays_that_are_not_contiguous_arrive_whole(shared: IsolatedDetector) -> None:
    pixels = _image(height=40, width=50).pixels.transpose(1, 0, 2)[::3, :, ::-1].copy()
    pixels[0, -1, 0] = Do.FINE
    pixels.flags.writeable = False
    image = Image(pixels[:, ::-1], 40, 17, (0.0, 0.0, 40.0, 17.0))
    assert not image.pixels.flags.c_contiguous
    assert shared.detect(image) == _expected(image)


@pytest.mark.parametrize("tier", TIERS)
def test_the_built_in_detector_says_the_same_as_in_this_process(tier: Tier, portrait: Path) -> None:
    here = VisionDetector(tier)
    loaded = load_image(portrait, short_side_px=256)
    with loaded as pictures, _isolated(vision_spec(tier)) as detector:  # type: ignore[union-attr]
        (image,) = pictures
        assert (detector.id, detector.kinds) == (here.id, here.kinds)
        assert detector.prepare() is here.prepare()
        assert detector.detect(image) == tuple(here.detect(image))  # type: ignore[arg-type]


def test_it_keeps_the_contract_of_a_detector() -> None:
    spec = DetectorSpec("fault.isolation_stubs:Plain", "plain", (FindingKind.NUDITY,))
    check_detector(lambda: IsolatedDetector(spec, processes=2))


def test_several_detectors_share_a_child_and_keep_their_order() -> None:
    specs = [_spec("a"), _spec("b", FindingKind.AGE, state="UNVERIFIED"), _spec("c", state="NO_MODEL")]
    with _isolated(*specs) as detector:
        assert (detector.id, detector.kinds) == ("a+b+c", (FindingKind.NUDITY, FindingKind.AGE))
        assert detector.prepare_all() == {"a": State.OK, "b": State.UNVERIFIED, "c": State.NO_MODEL}
        assert detector.prepare() is State.UNVERIFIED
        findings = detector.detect(_image())
        assert [(f.model, f.kind, f.state) for f in findings] == [
            ("a", "nudity", "OK"),
            ("b", "age", "UNVERIFIED"),
            ("c", "nudity", "NO_MODEL"),
        ]
        findings = detector.detect(_image(Do.TWO))
        assert [(f.model, f.score, f.interval_years) for f in findings[:4]] == [
            ("second", 0.75, None),
            ("first", 0.5, (9.5, 14.0)),
            ("a", None, None),
            ("second", 0.75, None),
        ]
        assert len(findings) == 9
        assert detector.detect(_image(Do.EXIT)) == tuple(
            Finding(kind, State.DETECTOR_FAILED, model=spec.id) for spec in specs for kind in spec.kinds
        )
        assert len(detector.status().pids) == 0


def test_eight_threads_are_all_answered() -> None:
    images = [_image(height=5 + number % 7 * 40, width=9, seed=number) for number in range(64)]
    with _isolated(processes=2) as detector, ThreadPoolExecutor(8) as pool:
        scores = [finding.score for (finding,) in pool.map(detector.detect, images)]
        assert detector.status().starts <= 2
    assert scores == [checksum(image) for image in images]


def test_a_crash_in_one_thread_is_no_other_threads_answer() -> None:
    images = [_image(Do.EXIT if number % 8 == 3 else Do.FINE, seed=number) for number in range(24)]
    with _isolated(processes=2) as detector, ThreadPoolExecutor(8) as pool:
        findings = list(pool.map(detector.detect, images))
    for image, finding in zip(images, findings, strict=True):
        assert finding == (FAILED if image.pixels[0, 0, 0] else _expected(image))


# What it says when not


@pytest.mark.parametrize(
    ("do", "fault"),
    [
        (Do.SEGFAULT, Fault.CRASHED),
        (Do.EXIT, Fault.CRASHED),
        (Do.HOG, Fault.OUT_OF_MEMORY),
        (Do.GARBAGE, Fault.BAD_ANSWER),
        (Do.OVERSIZE, Fault.BAD_ANSWER),
        (Do.FUTURE, Fault.BAD_ANSWER),
        (Do.LONG_MODEL, Fault.BAD_ANSWER),
        (Do.FLOOD, Fault.BAD_ANSWER),
        (Do.TOO_FEW, Fault.BAD_ANSWER),
    ],
)
def test_a_failure_is_a_state_and_the_next_picture_gets_a_new_child(
    shared: IsolatedDetector, do: Do, fault: Fault
) -> None:
    shared.prepare()
    (before,) = shared.status().pids
    state = State.OUT_OF_MEMORY if fault is Fault.OUT_OF_MEMORY else State.DETECTOR_FAILED
    assert shared.detect(_image(do)) == (Finding(FindingKind.NUDITY, state, model="stub"),)
    assert shared.status().last_fault is fault
    assert before not in _children()
    assert shared.detect(_image()) == _expected(_image())
    assert shared.status().failures == 0
    (after,) = shared.status().pids
    assert after != before


@pytest.mark.parametrize(
    ("do", "state"),
    [
        (Do.NAN, State.SCORE_INVALID),
        (Do.ABOVE_ONE, State.SCORE_INVALID),
        (Do.OTHER_KIND, State.DETECTOR_FAILED),
        (Do.BAD_INTERVAL, State.SCORE_INVALID),
        (Do.EMPTY, State.DETECTOR_FAILED),
        (Do.TOO_MANY, State.DETECTOR_FAILED),
        (Do.NOTHING, State.DETECTOR_FAILED),
        (Do.RAISE, State.DETECTOR_FAILED),
        (Do.TOO_LOW, State.DETECTOR_FAILED),
    ],
)
def test_an_answer_outside_the_words_is_a_state(shared: IsolatedDetector, do: Do, state: State) -> None:
    assert shared.detect(_image(do)) == (Finding(FindingKind.NUDITY, state, model="stub"),)
    starts = shared.status().starts
    assert shared.detect(_image()) == _expected(_image())
    assert shared.status().starts == starts


def test_a_bad_finding_takes_no_good_one_with_it(shared: IsolatedDetector) -> None:
    first, *others = shared.detect(_image(Do.ONE_OF_TWO))
    assert (first.state, first.score) == (State.OK, 1.0)
    assert tuple(others) == FAILED


@pytest.mark.parametrize(("do", "model"), [(Do.JOINED, "first+second"), (Do.OTHER_MODEL, "stub")])
def test_a_finding_names_a_model_that_was_known_before_the_first_picture(
    shared: IsolatedDetector, do: Do, model: str
) -> None:
    (finding,) = shared.detect(_image(do))
    assert (finding.state, finding.score, finding.model) == (State.OK, 0.25, model)


def test_a_stale_answer_is_dropped(shared: IsolatedDetector) -> None:
    assert shared.detect(_image(Do.STALE))[0].score == checksum(_image(Do.STALE))


@pytest.mark.parametrize("do", [Do.SPIN, Do.HOLD_GIL, Do.HALF])
def test_no_answer_in_time_is_a_state(do: Do) -> None:
    with _isolated(timeout_ms=300) as detector:
        detector.prepare()
        (pid,) = detector.status().pids
        assert detector.detect(_image(do)) == TIMED_OUT
        status = detector.status()
        assert (status.last_fault, status.pids) == (Fault.TIMED_OUT, ())
        assert pid not in _children()


def test_what_a_detector_started_ends_with_it(fifo: Path) -> None:
    """Somebody who outlives the child and keeps its pipes open hides its end, but only until the time is up."""
    started = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    try:
        with _isolated(_spec(fifo=str(fifo)), timeout_ms=300) as detector:
            assert detector.detect(_image(Do.ABANDONED_PIPE)) == TIMED_OUT
            assert detector.status().last_fault is Fault.TIMED_OUT
            poll = select.poll()
            poll.register(started, 0)
            assert poll.poll(PATIENCE_MS) == [(started, select.POLLHUP)]
    finally:
        os.close(started)


def test_killed_from_outside_in_the_middle_of_a_picture(fifo: Path) -> None:
    with _isolated(_spec(fifo=str(fifo))) as detector, ThreadPoolExecutor(1) as pool:
        answer = pool.submit(detector.detect, _image(Do.SPIN))
        fifo.read_bytes()
        os.kill(detector.status().pids[0], signal.SIGKILL)
        assert answer.result() == FAILED
        assert detector.status().last_fault is Fault.CRASHED


def test_killed_between_two_pictures_costs_no_picture() -> None:
    with _isolated() as detector:
        detector.prepare()
        (pid,) = detector.status().pids
        os.kill(pid, signal.SIGKILL)
        _wait_for_end(pid)
        assert detector.detect(_image()) == _expected(_image())
        assert detector.status().starts == 2


def test_a_host_that_ends_on_sigpipe_survives_a_dead_child() -> None:
    script = """
import signal
signal.signal(signal.SIGPIPE, signal.SIG_DFL)
detector = make()
detector.prepare()
(pid,) = detector.status().pids
child = detector._pool._idle[0].child
child.lives = lambda: True  # as if it ended just after it was asked,
child._wait = lambda *_, **__: None  # and once more
os.kill(pid, signal.SIGKILL)
os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
print(detector.detect(image())[0].state)
"""
    host = _hosted(_IN_HOST + script)
    assert host.communicate(timeout=60) == ("DETECTOR_FAILED\n", "detectors stub: child CRASHED; next start in 0 ms\n")


def test_a_guard_holds_when_the_child_fails() -> None:
    picture = np.zeros((32, 32, 3), np.uint8)
    bad = picture.copy()
    bad[0, 0, 0] = Do.SEGFAULT
    for band in ("under_10", "adult"):
        with _isolated() as detector, Guard(Profile(band), detectors=[detector]) as guard:
            assert guard.check_image(picture, event=Event.SEND).reasons != ("DETECTOR_FAILED",)
            decision = guard.check_image(bad, event=Event.SEND)
            assert (decision.action, decision.reasons) == (Action.HOLD, ("DETECTOR_FAILED",))


# Starting, and starting again


class _Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def _program(folder: Path, command: str) -> str:
    path = folder / "program"
    path.write_text(f"#!/bin/sh\n{command}\n")
    path.chmod(0o755)
    return str(path)


def test_a_child_that_keeps_failing_is_left_alone_for_longer_and_longer(tmp_path: Path) -> None:
    clock = _Clock()
    backoff = Backoff(free_restarts=2, first_ms=1000, max_ms=3000)
    program = _program(tmp_path, "exit 3")
    with _isolated(restart_backoff=backoff, clock=clock, executable=program) as detector:
        for starts, wait_ms in ((1, 0), (2, 0), (3, 1000), (4, 2000), (5, 3000), (6, 3000)):
            assert detector.detect(_image()) == FAILED
            status = detector.status()
            assert (status.starts, status.failures, status.retry_in_ms) == (starts, starts, wait_ms)
            assert status.last_fault is Fault.START_FAILED
            if wait_ms:
                clock.now += wait_ms / 1000 - 0.001
                assert detector.detect(_image()) == FAILED
                assert detector.prepare() is State.DETECTOR_FAILED
                assert detector.status().starts == starts
                clock.now += 0.001
        Path(program).write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
        clock.now += 3
        assert detector.detect(_image()) == _expected(_image())
        assert (detector.status().failures, detector.status().retry_in_ms) == (0, 0)


def test_no_wait_overflows() -> None:
    assert Backoff().wait_ms(10**9) == Backoff().max_ms


@pytest.mark.parametrize("command", ["exec sleep 1000", None])
def test_a_program_that_does_not_start_is_a_state(tmp_path: Path, command: str | None) -> None:
    program = _program(tmp_path, command) if command else str(tmp_path / "missing")
    with _isolated(executable=program, start_timeout_ms=200) as detector:
        assert detector.prepare() is State.DETECTOR_FAILED
        assert detector.detect(_image()) == FAILED
        assert detector.status().last_fault is Fault.START_FAILED


@pytest.mark.parametrize(
    "spec",
    [
        DetectorSpec("fault.isolation_stubs:broken_factory", "stub", (FindingKind.NUDITY,)),
        DetectorSpec("fault.no_such_module:Stub", "stub", (FindingKind.NUDITY,)),
        DetectorSpec("fault.isolation_stubs:Stub", "stub", (FindingKind.NUDITY,), {"id": "not an id"}),
        DetectorSpec("fault.isolation_stubs:Stub", "stub", (FindingKind.NUDITY,), {"kind": "age"}),
    ],
)
def test_a_detector_that_cannot_be_built_is_a_state(spec: DetectorSpec, caplog: pytest.LogCaptureFixture) -> None:
    with _isolated(spec) as detector:
        assert detector.prepare() is State.DETECTOR_FAILED
        assert detector.status().last_fault is Fault.BUILD_FAILED
    assert "detectors stub: child BUILD_FAILED" in caplog.text


@pytest.mark.parametrize(
    ("factory", "kwargs"),
    [
        ("no colon", {}),
        (lambda: Stub(), {}),
        ("fault.isolation_stubs:Stub", {"id": object()}),
        ("fault.isolation_stubs:Stub", {"id": 1 << 80}),
    ],
)
def test_a_spec_that_cannot_travel_is_refused(factory: object, kwargs: dict[str, object]) -> None:
    with pytest.raises(UsageError, match="expected"):
        DetectorSpec(factory, "stub", (FindingKind.NUDITY,), kwargs)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("specs", "options"),
    [
        ([], {}),
        ([_spec(), _spec()], {}),
        ([_spec()], {"processes": 0}),
        ([_spec()], {"timeout_ms": 0}),
        ([_spec()], {"start_timeout_ms": 0}),
        ([_spec()], {"memory_limit_mb": 0}),
        ([_spec(file="x" * (1 << 20))], {}),
    ],
)
def test_a_faulty_argument_is_refused(specs: list[DetectorSpec], options: dict[str, int]) -> None:
    with pytest.raises(UsageError, match="expected"):
        IsolatedDetector(*specs, **options)  # type: ignore[arg-type]


def test_other_systems_are_refused_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "win32")
    with pytest.raises(UsageError, match="expected Linux"):
        IsolatedDetector(_spec())


@pytest.mark.parametrize("pixels", [np.zeros((4, 4), np.uint8), np.zeros((4, 4, 3)), np.zeros((0, 4, 3), np.uint8)])
def test_an_array_of_another_shape_is_refused(shared: IsolatedDetector, pixels: np.ndarray) -> None:  # type: ignore[type-arg]
    with pytest.raises(UnsupportedInputError, match="expected uint8"):
        shared.detect(Image(pixels, 4, 4, (0, 0, 4, 4)))


# Ending, and leaving nothing


def test_fifty_failures_in_a_row_leave_nothing(tmp_path: Path) -> None:
    gc.collect()
    children, fds, shm, maps = _children(), _open_fds(), sorted(os.listdir("/dev/shm")), _maps()
    program = _program(tmp_path, "exit 3")
    with _isolated() as crashing, _isolated(executable=program) as not_starting:
        for number in range(50):
            # A real start costs a quarter of a second: every tenth failure is one of those.
            detector = not_starting if number % 10 else crashing
            assert detector.detect(_image(Do.SEGFAULT)) == FAILED
        assert crashing.status().starts + not_starting.status().starts == 50
        assert _children() == children
        assert _open_fds() == fds
    assert sorted(os.listdir("/dev/shm")) == shm
    assert _maps() == maps


def test_close_is_prompt_and_final(fifo: Path) -> None:
    children, fds = _children(), _open_fds()
    detector = IsolatedDetector(_spec(fifo=str(fifo)), timeout_ms=PATIENCE_MS)
    with ThreadPoolExecutor(2) as pool:
        running = pool.submit(detector.detect, _image(Do.HOLD_GIL))
        fifo.read_bytes()
        waiting = pool.submit(detector.detect, _image())
        detector.close()
        for answer in (running, waiting):
            with pytest.raises(ClosedError):
                answer.result(PATIENCE_MS / 1000)
    detector.close()
    for call in (detector.prepare, detector.prepare_all, lambda: detector.detect(_image())):
        with pytest.raises(ClosedError):
            call()
    assert detector.status().pids == ()
    assert "closed=True" in repr(detector)
    assert (_children(), _open_fds()) == (children, fds)


def test_forgetting_it_ends_the_child() -> None:
    children, fds = _children(), _open_fds()
    detector = IsolatedDetector(_spec())
    detector.prepare()
    assert len(_children() - children) == 1
    del detector
    gc.collect()
    assert (_children(), _open_fds()) == (children, fds)


def test_a_host_that_ends_without_closing_leaves_no_child_and_no_warning() -> None:
    host = _hosted(_IN_HOST + "detector = make()\ndetector.detect(image())\nprint(detector.status().pids[0])")
    out, err = host.communicate(timeout=60)
    assert err == ""
    _wait_for_end(int(out))


def test_an_interrupt_ends_the_child_and_is_passed_on(fifo: Path) -> None:
    script = """
import signal
def interrupt(*_):
    raise KeyboardInterrupt
def when_it_has_arrived():
    with open(sys.argv[1], "rb") as fifo:
        fifo.read()
    os.kill(os.getpid(), signal.SIGALRM)
signal.signal(signal.SIGALRM, interrupt)
detector = make(fifo=sys.argv[1])
threading.Thread(target=when_it_has_arrived).start()
try:
    detector.detect(image(Do.SPIN))
except KeyboardInterrupt:
    print(detector.status().pids, detector.prepare())
"""
    host = _hosted(_IN_HOST + script, str(fifo))
    assert host.communicate(timeout=60) == ("() OK\n", "")


@pytest.mark.parametrize("do", [Do.FINE, Do.HOLD_GIL])
def test_when_the_host_is_killed_the_child_ends(do: Do, fifo: Path) -> None:
    """Also a child that hangs in native code and never lets another of its threads run."""
    script = """
detector = make(fifo=sys.argv[2])
threading.Thread(target=detector.detect, args=(image(int(sys.argv[1])),)).start()
with open(sys.argv[2], "rb") as fifo:
    fifo.read()
print(detector.status().pids[0], flush=True)
threading.Event().wait()
"""
    host = _hosted(_IN_HOST + script, str(int(do)), str(fifo))
    with host:
        assert host.stdout is not None
        pid = int(host.stdout.readline())
        os.kill(pid, 0)
        host.kill()
        _wait_for_end(pid)


def test_a_forked_host_starts_its_own_child_and_leaves_the_first_alone() -> None:
    script = """
def open_fds():
    held = set()
    for name in os.listdir("/proc/self/fd"):
        try:
            held.add((name, os.readlink("/proc/self/fd/" + name)))
        except OSError:
            pass
    return held

fds = open_fds()
detector = make()
detector.detect(image())
(first,) = detector.status().pids
assert open_fds() != fds
here = os.fork()
if here == 0:
    assert detector.status().pids == ()
    with open("/proc/self/maps") as maps:
        assert "memfd:safelight" not in maps.read()
    assert open_fds() == fds
    assert detector.detect(image())[0].state == "OK"
    assert detector.status().pids not in ((first,), ())
    sys.exit(7)
assert os.waitstatus_to_exitcode(os.waitpid(here, 0)[1]) == 7
assert detector.detect(image())[0].state == "OK"
assert detector.status().pids == (first,)
print("fine")
"""
    host = _hosted(_IN_HOST + script)
    assert host.communicate(timeout=60) == ("fine\n", "")


# What may be seen of a picture


def test_pixels_are_nowhere_but_in_memory_that_is_wiped(
    tmp_path: Path, fifo: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setenv("TMPDIR", str(temporary))
    sentinel = np.random.default_rng(99).integers(1, 256, 48, np.uint8)

    def image(do: Do) -> Image:
        pixels = np.tile(sentinel, 4000).reshape(250, 256, 3).copy()
        pixels[0, 0, 0] = do
        return Image(pixels, 256, 250, (0.0, 0.0, 256.0, 250.0))

    file = tmp_path / "file"
    with _isolated(_spec(fifo=str(fifo), file=str(file))) as detector, ThreadPoolExecutor(1) as pool:
        for do in (Do.SPIN, Do.WRITE_FILE):
            before = _open_fds()
            detector.prepare()
            memory = next(int(fd) for fd in _open_fds().keys() - before if "memfd:safelight" in _open_fds()[fd])
            memory = os.dup(memory)
            (pid,) = detector.status().pids
            answer = pool.submit(detector.detect, image(do))
            fifo.read_bytes()
            if do is Do.SPIN:
                assert sentinel.tobytes() in os.pread(memory, 192_000, 0), "this test can fail"
                os.kill(pid, signal.SIGKILL)
                assert answer.result() == FAILED
            else:
                assert answer.result()[0].score == checksum(image(do))
                for name in ("environ", "cmdline", "comm"):
                    with contextlib.suppress(PermissionError):  # it is not dumpable, so only root may read these
                        assert sentinel.tobytes() not in Path(f"/proc/{pid}/{name}").read_bytes()
            held = os.pread(memory, 1 << 20, 0)
            os.close(memory)
            assert len(held) >= 192_000
            assert not any(held)
    assert file.read_bytes() == b""
    assert list(temporary.rglob("*")) == []
    for entry in Path("/dev/shm").iterdir():
        with contextlib.suppress(OSError):
            assert sentinel.tobytes() not in entry.read_bytes()
    assert {record.getMessage() for record in caplog.records if record.name == "safelight"} == {
        "detectors stub: child CRASHED; next start in 0 ms"
    }


def test_the_child_holds_only_what_it_needs() -> None:
    secret, other = os.pipe()
    os.set_inheritable(secret, True)
    try:
        with _isolated(memory_limit_mb=300) as detector:
            detector.detect(_image())
            (pid,) = detector.status().pids
            limits = Path(f"/proc/{pid}/limits").read_text()
            assert [
                line.split()[-3:-1] for line in limits.splitlines() if line.startswith(("Max core", "Max file size"))
            ] == [
                ["0", "0"],
                ["0", "0"],
            ]
            assert str(300 << 20) in next(line for line in limits.splitlines() if line.startswith("Max data"))
            status = Path(f"/proc/{pid}/status").read_text()
            assert "NoNewPrivs:\t1" in status
            with contextlib.suppress(PermissionError):
                held = [os.readlink(f"/proc/{pid}/fd/{name}") for name in os.listdir(f"/proc/{pid}/fd")]
                assert sorted(target.split(":")[0] for target in held) == [
                    *["/dev/null"] * 3,
                    *["/memfd"] * 2,
                    *["pipe"] * 3,
                ]
                assert os.readlink(f"/proc/self/fd/{secret}") not in held
    finally:
        os.close(secret)
        os.close(other)


def test_a_child_cannot_cut_the_memory_short() -> None:
    memory = _child.SharedMemory.create()
    assert memory is not None
    try:
        memory.put(_image().pixels)
        with pytest.raises(PermissionError):
            os.ftruncate(memory.fd, 0)
    finally:
        memory.close()


def test_memory_of_a_large_picture_is_given_back() -> None:
    memory = _child.SharedMemory.create()
    assert memory is not None
    try:
        memory.put(np.full((3000, 4000, 3), 7, np.uint8))
        assert os.fstat(memory.fd).st_blocks * 512 >= 36_000_000
        memory.overwrite()
        assert os.fstat(memory.fd).st_blocks == 0
    finally:
        memory.close()
