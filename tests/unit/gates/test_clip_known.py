"""Clips and lists of known material: frames, whole files and clips, also after an interruption."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as PilImage
from safelight import Action, Finding, FindingKind, Guard, Label, Profile, State
from safelight.gates import ClipGate, ClipProgress, ClipState
from safelight.hashing import pdq, sha256
from safelight.keys import FileKeyProvider
from safelight.lists import ListStore, hash_clip
from safelight.lists.format import ListInfo, make_list
from safelight.media import Image
from simulator import NOW, Simulator, hashes

pytest.importorskip("av")
from clip_world import Calm, animate, encode


class NoFace(Calm):
    """So that what remains is what the lists say, for an adult."""

    def detect(self, image: Image) -> list[Finding]:
        return [*super().detect(image), Finding(FindingKind.AGE, State.OK, Label.NO_FACE, 0.0, self.id)]


def picture(seed: int) -> np.ndarray:
    """Benign, and with features enough for a hash."""
    noise = np.random.default_rng(seed).integers(0, 256, (9, 12, 3), dtype=np.uint8)
    return np.asarray(PilImage.fromarray(noise).resize((192, 144), PilImage.Resampling.BICUBIC))


def rows(several: list[bytes]) -> Any:
    bits = np.frombuffer(b"".join(several), np.uint8).reshape(-1, 32)
    return bits, np.arange(700, 700 + len(bits), dtype=np.uint64), np.ones(len(bits), np.uint16)


@pytest.fixture
def known(tmp_path: Path) -> Any:
    """Makes a guard with a list of these entries."""
    simulator, provider = Simulator(), FileKeyProvider(tmp_path / "keys")

    def make(**entries: list[bytes]) -> Guard:
        store = ListStore(tmp_path / "lists", trust=simulator.trust, keys=provider, clock=lambda: NOW)
        info = ListInfo("alpha", 1, categories={1: "A1"})
        simulator.add(make_list(info, entries={kind: rows(several) for kind, several in entries.items()}))
        store.update(simulator.files())
        return Guard(Profile("adult"), lists=[store], detectors=[NoFace()])

    return make


def matches(found: Any) -> list[tuple[str | None, int | None]]:
    return [(f.model, f.entry_id) for f in found.decision.findings if f.label is Label.MATCH]


def actions(found: Any) -> list[str]:
    return [one.action.name for one in found.ranges]


def others(count: int) -> list[bytes]:
    return [bytes(row) for row in hashes(count, 9)]


def test_one_frame_on_a_list(known: Any) -> None:
    frames = [picture(1)] * 8 + [picture(2)] + [picture(3)] * 8
    with known(pdq=[pdq(picture(2)).bits, *others(20)]) as guard:
        for data in (encode(frames), animate(frames[6:11], "GIF")):
            found = ClipGate(guard).check(data)
            assert found.action is Action.HOLD
            assert actions(found) == ["ALLOW", "HOLD", "ALLOW"]
            assert matches(found) == [("alpha", 700)]
        assert ClipGate(guard).check(encode(frames[:8])).action is Action.ALLOW


def test_the_very_same_file(known: Any) -> None:
    """Holds all of it: no single range says so of itself."""
    data = encode([picture(1)] * 5)
    with known(sha256=[sha256(data).bits]) as guard:
        found = ClipGate(guard).check(data)
        assert (found.action, actions(found), matches(found)) == (Action.HOLD, ["HOLD"], [("alpha", 700)])
        assert ClipGate(guard).check(encode([picture(1)] * 6)).action is Action.ALLOW


def test_a_listed_clip(known: Any) -> None:
    """vPDQ: a second of it, cut out and re-encoded, is enough."""
    scenes = [picture(n) for n in (1, 2, 3, 4) for _ in range(10)]
    listed = [one.bits for one in hash_clip(encode(scenes, fps=10)).hashes]
    with known(clip_frame=[*listed, *others(10)]) as guard:
        cut = encode(scenes[15:30] + [picture(9)] * 10, fps=10, codec="mpeg4")
        found = ClipGate(guard).check(cut)
        assert found.action is Action.HOLD
        assert set(actions(found)) == {"HOLD"}
        assert ClipGate(guard).check(encode([picture(9)] * 20, fps=10)).action is Action.ALLOW


@pytest.mark.parametrize("kind", ["pdq", "clip_frame"])
@pytest.mark.parametrize("stop", [5, 25])
def test_after_an_interruption(known: Any, kind: str, stop: int) -> None:
    frames = [picture(1)] * 10 + [picture(2)] * 10 + [picture(3)] * 10
    data = encode(frames, fps=10)
    with known(**{kind: [pdq(picture(2)).bits, *others(5)]}) as guard:
        kept: list[ClipState] = []

        def progress(now: ClipProgress) -> None:
            if now.frames == stop:
                kept.append(now.state())
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            ClipGate(guard).check(data, progress=progress, resumable=True)
        found = ClipGate(guard).check(data, resume=kept[0])
        assert found.frames_resumed == stop
        assert found.action is Action.HOLD
        assert matches(found) == matches(ClipGate(guard).check(data))
        assert found.ranges == ClipGate(guard).check(data).ranges


def test_no_list_holds_everything(tmp_path: Path) -> None:
    store = ListStore(tmp_path / "lists", trust=Simulator().trust, keys=FileKeyProvider(tmp_path / "keys"))
    with Guard(Profile("adult"), lists=[store], detectors=[NoFace()]) as guard:
        found = ClipGate(guard).check(encode([picture(1)] * 3))
        assert (actions(found), found.decision.reasons) == (["HOLD"], ("NO_LIST",))
