"""ClipGate: what is shown when, what could not be judged, going on later, and what the whole is."""

from __future__ import annotations

import asyncio
import io
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as PilImage
from safelight import (
    Action,
    ClosedError,
    Event,
    Finding,
    FindingKind,
    Guard,
    Label,
    MediaNotFoundError,
    State,
    UnsupportedInputError,
    UsageError,
)
from safelight.gates import ClipDecision, ClipGate, ClipProgress, ClipRange, ClipState
from safelight.gates.clip import _Interval, flatten
from safelight.media import Image
from safelight.media.clip import ClipLimits
from safelight.testing import TestMode, nudity

pytest.importorskip("av")
from clip_world import Calm, Once, animate, calm_guard, encode, marked, moving, scene, still

KEY = bytes(range(32))


def times(found: ClipDecision) -> list[tuple[int, int | None, str]]:
    return [(one.start_ms, one.end_ms, one.action.name) for one in found.ranges]


def with_bad(count: int, *bad: int, **how: Any) -> list[np.ndarray]:
    return [marked(pixels) if number in bad else pixels for number, pixels in enumerate(moving(count, **how))]


@pytest.mark.parametrize("rule", ["release", None])
def test_ranges(rule: str | None) -> None:
    with calm_guard() as guard:
        found = ClipGate(guard, rule=rule).check(encode(with_bad(20, 5, 6, 15)))
    assert times(found) == [
        (0, 200, "ALLOW"),
        (200, 280, "BLOCK"),
        (280, 600, "ALLOW"),
        (600, 640, "BLOCK"),
        (640, 800, "ALLOW"),
    ]
    assert found.ranges[1].reasons == ("NUDITY_EXPLICIT",)
    assert found.action is found.decision.action is Action.BLOCK
    assert found.decision.event is Event.UPLOAD
    assert found.decision.test_mode
    assert found.decision.notice is not None
    assert found.frames == 20
    assert found.frames_inferred == 20 if rule is None else 3 < found.frames_inferred <= 20


def test_a_still_scene_is_looked_at_once() -> None:
    detector = Calm()
    with calm_guard(detectors=[detector]) as guard:
        found = ClipGate(guard).check(encode(still(30)))
        assert times(found) == [(0, 1200, "ALLOW")]
        assert (found.frames, found.frames_inferred, detector.looks) == (30, 1, 1)
        # The same bad picture again and again is looked at for as long as it moves at all.
        bad = [marked(scene(0))] * 30
        assert times(ClipGate(guard).check(encode(bad, codec="libx264", options={"qp": "0"}))) == [(0, 1200, "BLOCK")]


def test_doubt_is_looked_at_frame_by_frame() -> None:
    """A frame that is not clear stands for none but its own equal."""

    class Doubt(Calm):
        def detect(self, image: Image) -> list[Finding]:
            self.looks += 1
            return [Finding(FindingKind.NUDITY, State.OK, Label.NONE, 0.4, self.id)]

    detector = Doubt()
    with calm_guard(detectors=[detector]) as guard:
        found = ClipGate(guard).check(encode(moving(10), codec="mpeg4"))
    assert (found.action, found.frames_inferred) == (Action.ALLOW, 10)


def test_scores_become_actions() -> None:
    frames = moving(6)
    frames[3] = marked(frames[3], score=0.6)
    with calm_guard() as guard:
        found = ClipGate(guard).check(encode(frames))
    assert [action for *_, action in times(found)] == ["ALLOW", "NUDGE", "ALLOW"]
    assert found.action is Action.NUDGE


def test_events_and_bands() -> None:
    data = encode(with_bad(4, 2))
    with calm_guard("13_15") as guard:
        assert ClipGate(guard, event="view").check(data).action is Action.BLUR
        assert guard.check_clip(data, event=Event.VIEW).action is Action.BLUR
        assert guard.check_clip(data).action is Action.BLOCK


def test_sources(tmp_path: Path) -> None:
    data = encode(with_bad(8, 3), format="matroska")
    path = tmp_path / "clip"
    path.write_bytes(data)
    with calm_guard() as guard:
        gate = ClipGate(guard)
        expected = [(0, 120, "ALLOW"), (120, 160, "BLOCK"), (160, 320, "ALLOW")]
        for source in (data, bytearray(data), path, str(path), io.BytesIO(data), Once(data), Once(data, at_most=100)):
            assert times(gate.check(source)) == expected
        with path.open("rb") as file:
            file.seek(7)
            assert times(gate.check(file)) == expected
            assert file.tell() == 7
        with pytest.raises(MediaNotFoundError):
            gate.check(tmp_path / "nothing")
        with pytest.raises(UnsupportedInputError):
            gate.check(12)


@pytest.mark.parametrize("format", ["GIF", "PNG", "WEBP"])
def test_animated_pictures(format: str) -> None:
    frames = with_bad(7, 4, step_px=3)
    with calm_guard() as guard:
        found = ClipGate(guard).check(animate(frames, format))
        assert times(found) == [(0, 200, "ALLOW"), (200, 250, "BLOCK"), (250, 350, "ALLOW")]
        assert (found.frames, found.frames_inferred) == (7, 7)
        # A picture that comes again is looked at once, and counts every time.
        again = [frames[n] for n in (0, 4, 0, 4, 0)]
        found = ClipGate(guard).check(Once(animate(again, format, duration_ms=[40, 50, 60, 70, 80])))
        assert [action for *_, action in times(found)] == ["ALLOW", "BLOCK"] * 2 + ["ALLOW"]
        assert times(found)[1][:2] == (40, 90)
        assert found.frames_inferred == 2
        cut = ClipGate(guard).check(animate(frames, format)[:-300])
        assert cut.action >= Action.HOLD
        assert times(cut)[-1][2] != "ALLOW"


def test_one_picture() -> None:
    out = io.BytesIO()
    PilImage.fromarray(marked(scene(1))).save(out, "PNG")
    with calm_guard() as guard:
        found = ClipGate(guard).check(out.getvalue())
        assert times(found) == [(0, None, "BLOCK")]
        assert found.ranges[0].reasons == found.decision.reasons
        assert guard.check_clip(b"nothing at all").reasons == ("NOT_MEDIA",)


def test_what_cannot_be_judged_is_held() -> None:
    data = encode(moving(30, step_px=3), codec="mpeg4", muxer={"movflags": "faststart"})
    with calm_guard() as guard:
        gate = ClipGate(guard)
        cut = gate.check(data[: len(data) * 2 // 3])
        assert cut.action is Action.HOLD
        assert cut.decision.reasons == ("DECODE_FAILED",)
        assert times(cut)[0][2] == "ALLOW"
        assert times(cut)[-1][1:] == (None, "HOLD")
        small = ClipGate(guard, limits=ClipLimits(max_frames=10)).check(data)
        assert times(small) == [(0, 400, "ALLOW"), (400, None, "HOLD")]
        assert small.decision.reasons == ("TOO_LARGE",)
        huge = ClipGate(guard, limits=ClipLimits(max_bytes=100)).check(data)
        assert times(huge) == [(0, None, "HOLD")]


def test_a_frame_that_a_detector_cannot_judge() -> None:
    class Tired(Calm):
        def detect(self, image: Image) -> list[Finding]:
            if self.looks == 3:
                self.looks += 1
                raise RuntimeError("out of order")
            return super().detect(image)

    with calm_guard(detectors=[Tired()]) as guard:
        found = ClipGate(guard, rule=None).check(encode(moving(10)))
    assert times(found) == [(0, 120, "ALLOW"), (120, 160, "HOLD"), (160, 400, "ALLOW")]
    assert found.decision.reasons == ("DETECTOR_FAILED",)


def test_damage_holds_its_part() -> None:
    data = encode(moving(40, step_px=3), codec="mpeg4", options={"g": "10"}, muxer={"movflags": "faststart"})
    random = np.random.default_rng(5)
    held = 0
    with calm_guard() as guard:
        for _ in range(10):
            changed = bytearray(data)
            at = int(random.integers(data.index(b"mdat") + 400, len(data) - 40))
            changed[at : at + 30] = random.bytes(30)
            found = ClipGate(guard).check(bytes(changed))
            held += found.action is Action.HOLD
            assert (found.action is Action.ALLOW) == all(one.action is Action.ALLOW for one in found.ranges)
    assert held >= 7


def test_all_tracks_count() -> None:
    """The second track of a file is what another player shows."""
    first, second = moving(6, seed=1), with_bad(6, 4, seed=2)
    data = encode([(first, second)[n % 2][n // 2] for n in range(12)], tracks=2)
    with calm_guard() as guard:
        assert times(ClipGate(guard).check(data)) == [(0, 160, "ALLOW"), (160, 200, "BLOCK"), (200, 240, "ALLOW")]


def test_cover_pictures_count_for_all_of_it() -> None:
    """Players and galleries show the cover at any time."""
    import av

    def with_cover(cover: np.ndarray) -> bytes:
        out, picture = io.BytesIO(), io.BytesIO()
        PilImage.fromarray(cover).save(picture, "JPEG", quality=90)
        with av.open(out, "w", format="mp4") as container:
            stream = container.add_stream("mpeg4", rate=25)
            stream.width, stream.height, stream.pix_fmt = 160, 120, "yuv420p"
            front = container.add_stream("mjpeg", rate=25)
            front.width, front.height, front.pix_fmt = 160, 120, "yuvj420p"
            front.disposition = av.stream.Disposition.attached_pic
            for pixels in moving(5):
                for packet in stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")):
                    container.mux(packet)
            packet = av.Packet(picture.getvalue())
            packet.stream, packet.pts, packet.dts = front, 0, 0
            container.mux(packet)
            for packet in stream.encode():
                container.mux(packet)
        return out.getvalue()

    with calm_guard() as guard:
        good, bad = (ClipGate(guard).check(with_cover(cover)) for cover in (scene(1), marked(scene(1))))
    assert (good.action, good.frames) == (Action.ALLOW, 5)
    assert times(bad) == [(0, 200, "BLOCK")]


def test_times_in_disorder_are_one_range() -> None:
    frames = with_bad(6, 2)
    data = encode(frames, codec="mjpeg", format="matroska", times_ms=[0, 40, 80, 120, 160, 200], pix_fmt="yuvj420p")
    # In Matroska a frame's time is in its block: the second one is sent 60 ms later, behind the third.
    late = data.replace(b"\x81\x00\x28\x80\xff\xd8", b"\x81\x00\x64\x80\xff\xd8", 1)
    assert late != data
    with calm_guard() as guard:
        assert times(ClipGate(guard).check(data))[1] == (80, 120, "BLOCK")
        found = ClipGate(guard).check(late)
    assert found.frames == 6
    assert times(found) == [(0, None, "BLOCK")]


def test_the_whole_file_can_be_held(tmp_path: Path) -> None:
    """A store that cannot be believed holds everything, and so every range."""
    from safelight.store import Store

    damaged = tmp_path / "store"
    damaged.mkdir()
    (damaged / "store.db").write_bytes(b"not a database" * 100)
    with Store(damaged) as store, Guard(store=store, detectors=[Calm()]) as guard:
        found = ClipGate(guard).check(encode(moving(5)))
    assert found.action >= found.ranges[0].action
    assert {finding.kind for finding in found.decision.findings} >= {FindingKind.SETTINGS}


def test_trigger_for_every_frame() -> None:
    with calm_guard(test_mode=TestMode(nudity(0.97))) as guard:
        assert times(ClipGate(guard).check(encode(moving(3)))) == [(0, 120, "BLOCK")]
        assert times(ClipGate(guard).check(animate(moving(3, step_px=4), "GIF"))) == [(0, 150, "BLOCK")]


# --- progress and going on -------------------------------------------------------------------------------


class Killed(BaseException):
    pass


def run_until(gate: ClipGate, source: Any, frames: int, *, resume: ClipState | None = None) -> ClipState:
    kept: list[ClipState] = []

    def progress(now: ClipProgress) -> None:
        if now.frames == frames:
            kept.append(now.state())
            raise Killed

    with pytest.raises(Killed):
        gate.check(source, progress=progress, resumable=True, resume=resume)
    return kept[0]


def test_progress() -> None:
    seen: list[tuple[int, int, int]] = []
    with calm_guard() as guard:
        ClipGate(guard).check(
            encode(moving(5)), progress=lambda now: seen.append((now.position_ms, now.duration_ms, now.frames))
        )
        assert seen == [(40 * n, 200, n + 1) for n in range(5)]
        with pytest.raises(UsageError, match="resumable=True"):
            ClipGate(guard).check(encode(moving(5)), progress=lambda now: now.state())


@pytest.mark.parametrize("stop", [1, 7, 12, 19, 20])
def test_goes_on_where_it_was(stop: int) -> None:
    data = encode(with_bad(20, 6, 12), format="matroska")
    detector = Calm()
    with calm_guard(detectors=[detector]) as guard:
        gate = ClipGate(guard, rule=None)
        whole = gate.check(data)
        detector.looks = 0
        state = run_until(gate, data, stop)
        again = ClipState.from_bytes(state.to_bytes(KEY), KEY)
        assert again == state
        found = gate.check(data, resume=again)
        assert detector.looks == 20  # every frame once, over both
    assert found.ranges == whole.ranges
    assert found.decision.reasons == whole.decision.reasons
    assert set(found.decision.findings) == set(whole.decision.findings)
    assert (found.frames, found.frames_inferred, found.frames_resumed) == (20, 20, stop)


def test_stopped_twice() -> None:
    data = encode(with_bad(20, 6, 12))
    with calm_guard() as guard:
        gate = ClipGate(guard)
        state = run_until(gate, data, 9)
        # Stopped again before it had caught up: nothing is lost.
        state = run_until(gate, data, 4, resume=state)
        assert state.frames == 9
        state = run_until(gate, data, 15, resume=state)
        assert gate.check(data, resume=state).ranges == gate.check(data).ranges


def test_another_clip_or_setting_begins_anew() -> None:
    good, bad = encode(moving(12)), encode(with_bad(12, 3))
    with calm_guard() as guard:
        state = run_until(ClipGate(guard), good, 10)
        found = ClipGate(guard).check(bad, resume=state)
        assert (found.action, found.frames_resumed) == (Action.BLOCK, 0)
        assert ClipGate(guard).check(good, resume=state).frames_resumed == 10
        assert ClipGate(guard, event="view").check(good, resume=state).frames_resumed == 0
        assert ClipGate(guard, rule=None).check(good, resume=state).frames_resumed == 0
    for other in (calm_guard("under_10"), calm_guard(), calm_guard(test_mode=None)):
        with other as guard:
            same = guard.profile.band.value == "10_12" and guard.test_mode
            assert ClipGate(guard).check(good, resume=state).frames_resumed == (10 if same else 0)


def test_a_changed_state_is_none_at_all() -> None:
    with calm_guard() as guard:
        state = run_until(ClipGate(guard), encode(with_bad(9, 3)), 6)
    data = state.to_bytes(KEY)
    assert ClipState.from_bytes(data, KEY) == state
    assert ClipState.from_bytes(data, b"another key of enough bytes") is None
    random = np.random.default_rng(1)
    for _ in range(300):
        changed = bytearray(data)
        changed[int(random.integers(len(data)))] ^= int(random.integers(1, 256))
        assert ClipState.from_bytes(bytes(changed), KEY) is None
    for length in range(len(data)):
        assert ClipState.from_bytes(data[:length], KEY) is None
    with pytest.raises(UsageError):
        state.to_bytes(b"short")
    assert repr(state) == "<ClipState after 6 frames>"


def test_a_damaged_clip_is_not_gone_on_with() -> None:
    """How many frames a decoder makes of damage may differ from run to run."""
    data = bytearray(encode(moving(40, step_px=3), codec="mpeg4", options={"g": "10"}, muxer={"movflags": "faststart"}))
    at = data.index(b"mdat") + 2000
    data[at : at + 60] = np.random.default_rng(3).bytes(60)
    with calm_guard() as guard:
        gate = ClipGate(guard)
        whole = gate.check(bytes(data))
        assert whole.action is Action.HOLD
        state = run_until(gate, bytes(data), whole.frames)
        found = gate.check(bytes(data), resume=state)
        assert found.frames_resumed == 0
        assert found.ranges == whole.ranges


def test_streams_cannot_be_gone_on_with() -> None:
    with calm_guard() as guard, pytest.raises(UsageError, match="cannot seek"):
        ClipGate(guard).check(Once(encode(moving(3))), resumable=True)


# --- the rest --------------------------------------------------------------------------------------------


def test_asyncio_and_closed() -> None:
    data = encode(with_bad(4, 2))
    with calm_guard() as guard:
        assert asyncio.run(guard.acheck_clip(data)).action is Action.BLOCK
        gate = ClipGate(guard)
    with pytest.raises(ClosedError):
        gate.check(data)


def test_closed_midway() -> None:
    with calm_guard() as guard:
        with pytest.raises(ClosedError):
            ClipGate(guard, rule=None).check(encode(moving(9)), progress=lambda _: guard.close())


def test_misuse() -> None:
    with calm_guard() as guard:
        with pytest.raises(UsageError):
            ClipGate(guard, event="dance")
        with pytest.raises(UsageError):
            ClipGate(guard, rule="loose")
        with pytest.raises(UsageError):
            ClipGate(guard).check(b"", context="weather")


def test_as_values() -> None:
    with calm_guard() as guard:
        found = ClipGate(guard).check(encode(with_bad(4, 2)))
    values = found.to_dict()
    assert values["ranges"][1] == {"start_ms": 80, "end_ms": 120, "action": "BLOCK", "reasons": ["NUDITY_EXPLICIT"]}
    assert (values["frames"], values["action"]) == (4, "BLOCK")
    assert pickle.loads(pickle.dumps(found)) == found


def test_the_detector_sees_frames_upright_and_in_colour() -> None:
    seen: list[np.ndarray] = []

    class Eye(Calm):
        def detect(self, image: Image) -> list[Finding]:
            seen.append(image.pixels)
            return super().detect(image)

    picture = scene(7)
    with calm_guard(detectors=[Eye()]) as guard:
        ClipGate(guard).check(encode([picture] * 3, rotation=90))
    assert seen[0].shape == (160, 120, 3)
    assert np.abs(seen[0].astype(int) - np.rot90(picture).astype(int)).mean() < 6


def test_flatten() -> None:
    def interval(start: int, end: int | None, action: int, *reasons: str) -> _Interval:
        return _Interval(start, end, action, reasons)

    one = [interval(0, 100, 0), interval(100, 200, 3, "A"), interval(200, 300, 0)]
    two = [interval(0, 150, 0), interval(150, None, 2, "B")]
    assert flatten([one, two]) == [
        ClipRange(0, 100, Action.ALLOW, ()),
        ClipRange(100, 150, Action.HOLD, ("A",)),
        ClipRange(150, 200, Action.HOLD, ("A", "B")),
        ClipRange(200, None, Action.BLUR, ("B",)),
    ]
    assert flatten([]) == []
    assert flatten([[interval(0, 10, 0), interval(10, 20, 0)]]) == [ClipRange(0, 20, Action.ALLOW, ())]
