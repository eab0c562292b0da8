"""Apparent age of the people *in* a picture. An estimate, biased to protect; never the age of the user.

Between models and between people these estimates are wrong by years (see the model cards: mean error 5 to 6
years, worse and unequal for teenagers). So "adult" needs every sign to agree, and anything else is unsure or minor.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from safelight import _image
from safelight.decision import Label
from safelight.detect.faces import Face
from safelight.detect.ready import ReadyModel
from safelight.detect.tiers import Subject
from safelight.media import Image
from safelight.runtime import AgeManifest, expect_task

ADULT_FROM_YEARS = 18.0
# Central 90 % of the mixture of the models' own distributions.
_TAIL = 0.05
# Five-crop averaging: the face moved by this share of the chip's side towards each corner.
_CROP_SHIFT = 0.04


@dataclass(frozen=True, slots=True)
class AgeEstimate:
    """What the age models say of one face.

    Attributes:
        label: ``ADULT``, ``UNSURE`` or ``MINOR``.
        p_under_18: mean of the models' probabilities, in [0, 1].
        years: expected apparent age.
        interval_years: central 90 % of the mixture of the models' distributions. It says how far the models
            are from certain, not how far they are from right.
    """

    label: Label
    p_under_18: float
    years: float
    interval_years: tuple[float, float]


class AgeEstimator:
    """Fuses one or more age models, each over one or more crops of a face."""

    def __init__(self, models: Sequence[tuple[ReadyModel, int]], subject: Subject) -> None:
        self._models = tuple(models)
        self._subject = subject

    def estimate(self, image: Image, face: Face) -> AgeEstimate:
        """Estimate the apparent age of one face.

        Raises:
            ModelError: a model cannot be used or failed.
        """
        ages: list[npt.NDArray[np.float64]] = []
        weights: list[npt.NDArray[np.float64]] = []
        under_18, expected = [], []
        for ready, crops in self._models:
            manifest = expect_task(ready.get().manifest, AgeManifest)
            years = np.asarray(manifest.ages_years, dtype=np.float64)
            distribution = _distribution(ready, manifest, image, face, crops)
            ages.append(years)
            weights.append(distribution / len(self._models))
            under_18.append(float(distribution[years < ADULT_FROM_YEARS].sum()))
            expected.append(float(distribution @ years))
        p_under_18 = min(1.0, sum(under_18) / len(under_18))
        years_mean = sum(expected) / len(expected)
        interval = _interval(np.concatenate(ages), np.concatenate(weights))
        clear = face.confirmed and face.side_px >= self._subject.min_face_px
        return AgeEstimate(self._label(p_under_18, min(expected), clear=clear), p_under_18, years_mean, interval)

    def _label(self, p_under_18: float, youngest_years: float, *, clear: bool) -> Label:
        subject = self._subject
        if p_under_18 >= subject.minor_from_p_under_18:
            return Label.MINOR
        # The youngest opinion counts, and a face too small or too uncertain to judge is never an adult's.
        if p_under_18 < subject.adult_below_p_under_18 and youngest_years >= subject.adult_from_age_years and clear:
            return Label.ADULT
        return Label.UNSURE


def _distribution(
    ready: ReadyModel, manifest: AgeManifest, image: Image, face: Face, crops: int
) -> npt.NDArray[np.float64]:
    total = np.zeros(len(manifest.ages_years))
    shifts = [(0.0, 0.0)]
    if crops > 1:
        shifts += [(x, y) for x in (-_CROP_SHIFT, _CROP_SHIFT) for y in (-_CROP_SHIFT, _CROP_SHIFT)]
    for shift in shifts:
        (output,) = ready.get().run(chip(image, face, manifest, shift=shift))
        values = np.clip(output[0].astype(np.float64), 0.0, None)
        # int8 softmax outputs sum to 1 only within their steps; all-zero would be no answer at all.
        total += values / values.sum() if values.sum() > 0 else 1.0 / len(values)
    mean: npt.NDArray[np.float64] = total / len(shifts)
    return mean


def chip(
    image: Image, face: Face, manifest: AgeManifest, *, shift: tuple[float, float] = (0.0, 0.0)
) -> npt.NDArray[np.uint8]:
    """Cut the face out, turned and scaled so that its landmarks land where the model was trained to see them.

    Returns:
        ``uint8[size_px, size_px, 3]`` RGB. Outside the picture its border is repeated; the recipe's reference
        fills with black, which differs only for faces that the picture's edge cuts.
    """
    size = manifest.chip.size_px
    names = list(manifest.chip.landmarks)
    source = np.array([face.keypoints[name] for name in names], dtype=np.float64)
    target = np.array([manifest.chip.landmarks[name] for name in names], dtype=np.float64) + np.array(shift)
    matrix = _image.fit_similarity(source, target * size)
    pixels: npt.NDArray[np.uint8] = _image.warp_similarity(image.pixels, matrix=matrix.tolist(), chip_px=size)
    return pixels


def _interval(ages: npt.NDArray[np.float64], weights: npt.NDArray[np.float64]) -> tuple[float, float]:
    order = np.argsort(ages, kind="stable")
    cumulative = np.cumsum(weights[order])
    last = len(ages) - 1
    low = int(np.searchsorted(cumulative, _TAIL * cumulative[-1]))
    high = int(np.searchsorted(cumulative, (1 - _TAIL) * cumulative[-1]))
    return float(ages[order][min(low, last)]), float(ages[order][min(high, last)])
