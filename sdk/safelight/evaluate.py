"""Measure detection on somebody's own pictures. Aggregates only: no file name, score or picture is kept.

Recall on nudity cannot be measured by this project, which opens no such pictures. Somebody who lawfully holds
a labelled set can, with this, without handing it to anybody.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from statistics import NormalDist
from typing import Any

import numpy as np

from safelight.decision import Finding, FindingKind, Label, State
from safelight.detect import PictureDetector, worst_findings
from safelight.detect.faces import FaceFinder
from safelight.detect.ready import ReadyModel
from safelight.detect.tiers import load_tiers
from safelight.media import Image, Limits, NotJudged, load_image

HISTOGRAM_BINS = 20
FACE_CROP_SIDES = 2.0
FACE_CROP_MIN_PX = 48.0


@dataclass
class Tally:
    """Counts for one slice of the pictures.

    Attributes:
        pictures: how many were looked at or tried.
        decided: pictures by the label that decides: ``none``, ``suggestive``, ``explicit``, or a state's name
            when something could not tell.
        by_model: model id → label or state → pictures.
        histogram: model id → counts of its scores in :data:`HISTOGRAM_BINS` equal bins of [0, 1].
    """

    pictures: int = 0
    decided: Counter[str] = field(default_factory=Counter)
    by_model: dict[str, Counter[str]] = field(default_factory=dict)
    histogram: dict[str, list[int]] = field(default_factory=dict)

    def add(self, findings: Iterable[Finding]) -> None:
        """Count one picture by everything that was found in it."""
        self.pictures += 1
        worst = Label.NONE
        failed: State | None = None
        for finding in findings:
            model = finding.model or finding.kind.value
            answer = finding.label.value if finding.label is not None else finding.state.value
            self.by_model.setdefault(model, Counter())[answer] += 1
            if finding.state is not State.OK:
                if finding.kind is not FindingKind.AGE:
                    failed = failed or finding.state
                continue
            if finding.score is not None:
                bins = self.histogram.setdefault(model, [0] * HISTOGRAM_BINS)
                bins[min(HISTOGRAM_BINS - 1, int(finding.score * HISTOGRAM_BINS))] += 1
            if finding.kind is FindingKind.NUDITY and finding.label is not None:
                worst = max(worst, finding.label, key=list(Label).index)
        # An explicit finding decides whatever else failed; otherwise "could not tell" does.
        self.decided[failed.value if failed is not None and worst is not Label.EXPLICIT else worst.value] += 1

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready values with a 95 % interval for every share."""
        return {
            "pictures": self.pictures,
            "decided": {name: share(count, self.pictures) for name, count in sorted(self.decided.items())},
            "by_model": {
                model: {name: share(count, self.pictures) for name, count in sorted(answers.items())}
                for model, answers in sorted(self.by_model.items())
            },
            "histogram": {model: list(bins) for model, bins in sorted(self.histogram.items())},
        }


def evaluate_pictures(
    files: Iterable[Path], detector: PictureDetector, *, limits: Limits, short_side_px: int = 256
) -> Tally:
    """Look at every file and count.

    Args:
        files: pictures; what cannot be decoded is counted by its state.
        detector: what looks.
        limits: bounds for decoding.
        short_side_px: as for a guard: no built-in model reads a larger picture.
    """
    tally = Tally()
    for path in files:
        tally.add(worst_findings(_look(path, detector, limits, short_side_px)))
    return tally


def evaluate_face_crops(
    files: Iterable[Path], detector: PictureDetector, *, limits: Limits, runtime: str = "auto"
) -> Tally:
    """Look at every confirmed face of every file, cut out, as if it were a picture of its own, and count.

    Selfies are what a child's camera sees most, and faces are where nudity models are known to raise false alarms.
    A crop is a square of :data:`FACE_CROP_SIDES` times the face's longer side, as far as the picture goes; faces
    under :data:`FACE_CROP_MIN_PX` are left out, and so are files that cannot be decoded.

    Raises:
        DataError, ModelError: the built-in face model cannot be used.
    """
    subject = load_tiers().subject
    model = ReadyModel(load_tiers().tiers["full"].faces, runtime=runtime)
    finder = FaceFinder(model, subject)
    tally = Tally()
    try:
        for path in files:
            loaded = load_image(path, limits=limits)
            if isinstance(loaded, NotJudged):
                continue
            with loaded as pictures:
                image = next(iter(pictures))
                if isinstance(image, NotJudged):
                    continue
                for crop in _face_crops(image, finder):
                    tally.add(worst_findings(detector.detect(crop)))
    finally:
        model.close()
    return tally


def _face_crops(image: Image, finder: FaceFinder) -> Iterable[Image]:
    left, top, right, bottom = image.area_px
    for face in finder.find(image, tiles=False):
        if not face.confirmed or face.side_px < FACE_CROP_MIN_PX:
            continue
        half = FACE_CROP_SIDES * face.side_px / 2
        x, y = (face.box[0] + face.box[2]) / 2, (face.box[1] + face.box[3]) / 2
        rows = slice(round(max(top, y - half)), round(min(bottom, y + half)))
        columns = slice(round(max(left, x - half)), round(min(right, x + half)))
        pixels = np.ascontiguousarray(image.pixels[rows, columns])
        height, width = pixels.shape[:2]
        yield Image(pixels, width, height, (0.0, 0.0, float(width), float(height)), image.frame, "face_crop")


def share(count: int, total: int, *, confidence: float = 0.95) -> dict[str, Any]:
    """``count`` of ``total`` with its Wilson score interval (Wilson 1927), all as plain numbers."""
    if total == 0:
        return {"count": count, "share": None, "interval_95": None}
    z = NormalDist().inv_cdf(0.5 + confidence / 2)
    p = count / total
    centre = (p + z * z / (2 * total)) / (1 + z * z / total)
    half = z / (1 + z * z / total) * math.sqrt(p * (1 - p) / total + z * z / (4 * total * total))
    interval = [max(0.0, round(centre - half, 6)), min(1.0, round(centre + half, 6))]
    return {"count": count, "share": round(p, 6), "interval_95": interval}


def _look(path: Path, detector: PictureDetector, limits: Limits, short_side_px: int) -> Iterable[Finding]:
    loaded = load_image(path, limits=limits, short_side_px=short_side_px)
    if isinstance(loaded, NotJudged):
        yield Finding(FindingKind.MEDIA, loaded.state)
        return
    with loaded as pictures:
        for picture in pictures:
            if isinstance(picture, NotJudged):
                yield Finding(FindingKind.MEDIA, picture.state)
            else:
                yield from detector.detect(picture)
