"""Does the built-in detector look with every model, closer in doubt, and count each opinion once?"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as PilImage
from safelight import Finding, FindingKind, Label, State
from safelight.detect import VisionDetector, vision
from safelight.detect.nudity import NudityClassifier
from safelight.detect.tiers import load_tiers
from safelight.detect.vision import closer_looks
from safelight.errors import ModelError
from safelight.media import Image
from safelight.runtime import AgeManifest, FaceManifest, NudityManifest, expect_task, load_manifest, model_ids

TIERS = load_tiers()


def _image(pixels: np.ndarray) -> Image:
    height, width = pixels.shape[:2]
    return Image(np.ascontiguousarray(pixels), width, height, (0.0, 0.0, float(width), float(height)))


@pytest.fixture(scope="module")
def photo(portrait: Path) -> Image:
    return _image(np.asarray(PilImage.open(portrait).convert("RGB")))


Score = Callable[[str, object, int], float]


@pytest.fixture
def scores(monkeypatch: pytest.MonkeyPatch) -> Callable[[Score], list[tuple[str, object, int]]]:
    """Replace the classifiers' scores by a function of (model, crop, turn); returns the list of looks."""

    def replace(function: Score) -> list[tuple[str, object, int]]:
        looks: list[tuple[str, object, int]] = []

        def score(self: NudityClassifier, image: Image, *, crop: object = None, turn_degrees: int = 0) -> float:
            looks.append((self.id, crop, turn_degrees))
            return function(self.id, crop, turn_degrees)

        monkeypatch.setattr(NudityClassifier, "score", score)
        return looks

    return replace


def _nudity(findings: tuple[Finding, ...]) -> dict[str | None, tuple[Label | None, float | None]]:
    return {f.model: (f.label, f.score) for f in findings if f.kind is FindingKind.NUDITY}


def test_every_model_of_every_tier_ships_and_is_for_its_task() -> None:
    used = set()
    for tier in TIERS.tiers.values():
        for model_id in tier.nudity:
            expect_task(load_manifest(model_id), NudityManifest)
        faces = expect_task(load_manifest(tier.faces), FaceManifest)
        for model_id in tier.age_ids:
            age = expect_task(load_manifest(model_id), AgeManifest)
            assert set(age.chip.landmarks) <= set(faces.keypoints)
        used |= set(tier.all_ids)
    assert used == {model_id for model_id in model_ids() if load_manifest(model_id).task != "grooming"}


def test_in_doubt_it_looks_closer_and_two_looks_must_agree(photo: Image, scores: Callable[..., list]) -> None:  # type: ignore[type-arg]
    looks = scores(lambda model, crop, turn: 0.95 if model == "nsfwjs_mid_v1" and turn >= 180 else 0.3)
    found = _nudity(VisionDetector("full").detect(photo))
    assert found["nsfwjs_mid_v1"] == (Label.EXPLICIT, 0.95)
    assert found["open_nsfw_v1"] == (Label.NONE, 0.3)
    per_model = 1 + len(list(closer_looks(photo.area_px, TIERS.closer_look)))
    assert len(looks) == 2 * per_model
    scores(lambda model, crop, turn: 0.95 if turn == 180 else 0.3)
    assert _nudity(VisionDetector("full").detect(photo))["nsfwjs_mid_v1"] == (Label.NONE, 0.3)


@pytest.mark.parametrize("score", [0.0, 0.19, 0.8, 0.99])
def test_without_doubt_one_look_is_enough(photo: Image, scores: Callable[..., list], score: float) -> None:  # type: ignore[type-arg]
    looks = scores(lambda *_: score)
    VisionDetector("full").detect(photo)
    assert len(looks) == 2


def test_two_opinions_agree_only_about_one_and_the_same_look(photo: Image, scores: Callable[..., list]) -> None:  # type: ignore[type-arg]
    scores(lambda model, crop, turn: 0.6 if crop is None and turn == 0 else 0.0)
    assert _nudity(VisionDetector("full").detect(photo))["tiers_v1"] == (Label.EXPLICIT, 0.6)
    scores(lambda model, crop, turn: 0.6 if (model == "open_nsfw_v1") == (turn == 90) else 0.3)
    assert "tiers_v1" not in _nudity(VisionDetector("full").detect(photo))


def test_live_looks_for_people_only_where_it_matters(photo: Image, scores: Callable[..., list]) -> None:  # type: ignore[type-arg]
    scores(lambda *_: 0.1)
    assert {f.kind for f in VisionDetector("live").detect(photo)} == {FindingKind.NUDITY}
    scores(lambda *_: 0.97)
    assert {f.kind for f in VisionDetector("live").detect(photo)} == {FindingKind.NUDITY, FindingKind.AGE}


def test_a_picture_without_people_says_so() -> None:
    noise = np.random.default_rng(1).integers(0, 256, (300, 300, 3), dtype=np.uint8)
    (age,) = [f for f in VisionDetector("full").detect(_image(noise)) if f.kind is FindingKind.AGE]
    assert (age.label, age.score, age.model) == (Label.NO_FACE, 0.0, "blazeface_short_v1")


def test_the_youngest_face_decides(photo: Image, monkeypatch: pytest.MonkeyPatch) -> None:
    detector = VisionDetector("full")
    (face,) = detector._faces.find(photo, tiles=False)
    estimates = [
        vision.AgeEstimate(Label.ADULT, 0.01, 40.0, (30.0, 50.0)),
        vision.AgeEstimate(Label.MINOR, 0.8, 12.0, (8.0, 17.0)),
        vision.AgeEstimate(Label.UNSURE, 0.2, 22.0, (16.0, 30.0)),
    ]
    monkeypatch.setattr(detector._faces, "find", lambda image, tiles: [face] * 3)
    monkeypatch.setattr(detector._age, "estimate", lambda image, face: estimates.pop())
    (age,) = [f for f in detector.detect(photo) if f.kind is FindingKind.AGE]
    assert (age.label, age.score, age.interval_years) == (Label.MINOR, 0.8, (8.0, 17.0))


def test_one_broken_opinion_does_not_silence_the_other(photo: Image, scores: Callable[..., list]) -> None:  # type: ignore[type-arg]
    def broken(model: str, crop: object, turn: int) -> float:
        if model == "open_nsfw_v1":
            raise ModelError("broken", state=State.DETECTOR_FAILED)
        return 0.97

    scores(broken)
    found = {f.model: f.state for f in VisionDetector("full").detect(photo) if f.kind is FindingKind.NUDITY}
    assert found == {"open_nsfw_v1": State.DETECTOR_FAILED, "nsfwjs_mid_v1": State.OK}


def test_a_failure_during_the_closer_look_is_a_state(photo: Image, scores: Callable[..., list]) -> None:  # type: ignore[type-arg]
    def later(model: str, crop: object, turn: int) -> float:
        if turn:
            raise ModelError("broken", state=State.DETECTOR_FAILED)
        return 0.4

    scores(later)
    states = {f.state for f in VisionDetector("full").detect(photo) if f.kind is FindingKind.NUDITY}
    assert State.DETECTOR_FAILED in states


def test_the_looks_cover_the_picture() -> None:
    area = (0.0, 0.0, 100.0, 60.0)
    crops = [crop for crop, turn in closer_looks(area, TIERS.closer_look) if crop is not None]
    assert len(crops) >= 4
    assert min(c[0] for c in crops) == 0
    assert min(c[1] for c in crops) == 0
    assert max(c[2] for c in crops) == pytest.approx(100)
    assert max(c[3] for c in crops) == pytest.approx(60)


@pytest.mark.parametrize("tier", ["live", "full"])
def test_a_picture_that_cannot_be_judged(tier: str) -> None:
    tiny = _image(np.zeros((20, 20, 3), np.uint8))
    assert VisionDetector(tier).detect(tiny)[0].state is State.TOO_SMALL  # type: ignore[arg-type]


def test_a_dark_picture_is_looked_at_brightened_too(photo: Image, monkeypatch: pytest.MonkeyPatch) -> None:
    dark = _image(photo.pixels // 7)
    seen = []

    def score(self: NudityClassifier, image: Image, *, crop: object = None, turn_degrees: int = 0) -> float:
        seen.append(image.view)
        return 0.0

    monkeypatch.setattr(NudityClassifier, "score", score)
    VisionDetector("live").detect(dark)
    assert seen == ["plain", "brightened"]
