"""Does self-measurement choose by what it measures, and remember it safely?"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
from safelight import Finding, FindingKind, Guard, Label, State
from safelight import measure as measuring
from safelight.detect.tiers import Tier
from safelight.media import Image


class Clock:
    """Seconds that pass only when a detector works."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


class Slow:
    """A detector that takes a given time on the injected clock."""

    id = "slow"
    kinds = (FindingKind.NUDITY,)

    def __init__(self, clock: Clock, seconds: float, state: State = State.OK) -> None:
        self._clock, self._seconds, self._state = clock, seconds, state
        self.closed = False

    def prepare(self) -> State:
        return self._state

    def detect(self, image: Image) -> Sequence[Finding]:
        assert (image.width_px, image.height_px) == (640, 480)
        self._clock.seconds += self._seconds
        return [Finding(FindingKind.NUDITY, State.OK, Label.NONE, 0.0, self.id)]

    def close(self) -> None:
        self.closed = True


def _measure(live_seconds: float, full_seconds: float, **states: State) -> measuring.DevicePlan:
    clock = Clock()
    made = []

    def make(tier: Tier) -> Slow:
        seconds = live_seconds if tier == "live" else full_seconds
        made.append(Slow(clock, seconds, states.get(tier, State.OK)))
        return made[-1]

    found = measuring.measure(make=make, clock=clock)
    assert all(detector.closed for detector in made)
    return found


@pytest.mark.parametrize(
    ("live_s", "full_s", "tier", "frames_per_second", "look_at_every"),
    [
        (0.008, 0.035, "full", 30.0, 1),
        (0.050, 0.200, "full", 10.0, 3),
        (0.100, 0.400, "live", 5.0, 6),
        (0.250, 1.500, "live", 2.0, 15),
        (9.000, 40.00, "live", 0.2, 150),
    ],
)
def test_a_slower_device_looks_less_often(
    live_s: float, full_s: float, tier: str, frames_per_second: float, look_at_every: int
) -> None:
    found = _measure(live_s, full_s)
    assert (found.tier, found.frames_per_second, found.look_at_every) == (tier, frames_per_second, look_at_every)


def test_a_tier_that_cannot_be_used_is_not_escaped_from() -> None:
    """When `full` is damaged, its state must be what a picture gets: never a quiet move to `live`."""
    found = _measure(0.01, 0.03, full=State.UNVERIFIED)
    assert (found.tier, found.full_ms) == ("full", None)
    found = _measure(0.01, 9.0, live=State.NO_MODEL)
    assert (found.tier, found.live_ms, found.frames_per_second) == ("full", None, 0.2)


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "cache" / "device-plan.json"
    monkeypatch.setattr(measuring, "plan_path", lambda: path)
    return path


def test_a_plan_is_remembered_for_this_build_only(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert measuring.load_plan() is None
    kept = measuring.plan(live_ms=100.0, full_ms=900.0)
    measuring.save_plan(kept)
    assert measuring.load_plan() == kept
    with Guard() as guard:
        assert [detector.id for detector in guard.detectors] == ["vision_live"]
    monkeypatch.setattr(measuring, "device_key", lambda: "another")
    assert measuring.load_plan() is None
    with Guard() as guard:
        assert [detector.id for detector in guard.detectors] == ["vision_full"]


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"schema": 2}', b'{"tier": "off"}', b"\xff"])
def test_a_damaged_cache_is_no_plan(cache: Path, content: bytes) -> None:
    cache.parent.mkdir()
    cache.write_bytes(content)
    assert measuring.load_plan() is None


def test_a_cache_that_cannot_be_written_is_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setattr(measuring, "plan_path", lambda: tmp_path / "file" / "plan.json")
    measuring.save_plan(measuring.plan(live_ms=1.0, full_ms=2.0))
    assert measuring.load_plan() is None
