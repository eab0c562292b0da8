"""Nudity: independent int8 classifiers, each with its own calibrated score and label."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from safelight import _image
from safelight.decision import Label
from safelight.detect.ready import ReadyModel
from safelight.media import Image
from safelight.runtime import NudityManifest, expect_task


class NudityClassifier:
    """One opinion."""

    def __init__(self, model: ReadyModel) -> None:
        self.id = model.id
        self._model = model

    def score(
        self, image: Image, *, crop: tuple[float, float, float, float] | None = None, turn_degrees: int = 0
    ) -> float:
        """Calibrated score in [0, 1] of a picture, a part of it, or it turned.

        Args:
            image: any picture.
            crop: left, top, right, bottom in pixels of ``image.pixels``; all of it when left out.
            turn_degrees: clockwise, applied to the whole picture; not together with ``crop``.

        Raises:
            ModelError: the model cannot be used or failed.
        """
        model = self._model.get()
        manifest = expect_task(model.manifest, NudityManifest)
        (output,) = model.run(_tensor(image, manifest, crop, turn_degrees))
        own = sum(float(output[0, manifest.labels.index(label)]) for label in manifest.explicit_labels)
        own = min(1.0, max(0.0, own))
        return manifest.calibration.apply(own) if manifest.calibration is not None else own

    def label(self, score: float) -> Label:
        """The label of a calibrated score, by the thresholds in ``config.json`` (on the model's own scale)."""
        manifest = expect_task(self._model.get().manifest, NudityManifest)

        def calibrated(threshold: float) -> float:
            return manifest.calibration.apply(threshold) if manifest.calibration is not None else threshold

        if score >= calibrated(manifest.thresholds.explicit):
            return Label.EXPLICIT
        return Label.SUGGESTIVE if score >= calibrated(manifest.thresholds.suggestive) else Label.NONE


def _tensor(
    image: Image,
    manifest: NudityManifest,
    crop: tuple[float, float, float, float] | None,
    turn_degrees: int,
) -> npt.NDArray[np.uint8]:
    (width, height), (crop_width, crop_height) = manifest.preprocess.resize_px, manifest.preprocess.crop_px
    tensor: npt.NDArray[np.uint8] = _image.prepare(
        image.pixels,
        resize_px=(width, height),
        # A turned picture is read whole: area_px is upright, and the strip beyond it is under a pixel wide.
        crop=None if turn_degrees else (crop or image.area_px),
        rotation=turn_degrees,
        window=((width - crop_width) // 2, (height - crop_height) // 2, crop_width, crop_height),
        filter=manifest.preprocess.filter,
    )
    return tensor
