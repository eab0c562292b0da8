"""Nudity evidence from one int8 classifier: a score, and a label by the thresholds in its ``config.json``."""

from __future__ import annotations

import threading

from safelight.decision import Finding, FindingKind, Label, State
from safelight.errors import ClosedError, ModelError
from safelight.media import Image, fit
from safelight.runtime import Model, NudityManifest, expect_task


class NudityDetector:
    """Runs a nudity model; thread-safe.

    The model is loaded and verified on first use (or by :meth:`prepare`). When that fails, the detector
    stays up and answers every picture with the failure's state.

    Args:
        model_id: a model with task ``nudity``.
        runtime: as for :class:`~safelight.runtime.Model`.
    """

    kinds = (FindingKind.NUDITY,)

    def __init__(self, model_id: str = "open_nsfw_v1", *, runtime: str = "auto") -> None:
        self.id = model_id
        self._runtime = runtime
        self._lock = threading.Lock()
        self._model: Model | None = None
        self._failure: ModelError | None = None
        self._closed = False

    def prepare(self) -> State:
        """Load and verify the model now instead of at the first picture.

        Returns:
            ``OK``, or the state that every picture will get.

        Raises:
            ClosedError: after :meth:`close`.
        """
        try:
            self._ready()
        except ModelError as error:
            return State(error.state)
        return State.OK

    def _ready(self) -> Model:
        with self._lock:
            if self._closed:
                raise ClosedError("this detector was closed; make a new Guard to go on.")
            if self._failure is not None:
                raise self._failure
            if self._model is None:
                try:
                    self._model = Model(self.id, runtime=self._runtime)
                except ModelError as error:
                    self._failure = error
                    raise
            return self._model

    def detect(self, image: Image) -> tuple[Finding, ...]:
        """Score one picture: ``float`` in [0, 1], the sum over the manifest's explicit labels."""
        try:
            model = self._ready()
            manifest = expect_task(model.manifest, NudityManifest)
            (scores,) = model.run(
                fit(image, resize_px=manifest.preprocess.resize_px, crop_px=manifest.preprocess.crop_px)
            )
        except ModelError as error:
            return (Finding(FindingKind.NUDITY, State(error.state), model=self.id),)
        except MemoryError:
            return (Finding(FindingKind.NUDITY, State.OUT_OF_MEMORY, model=self.id),)
        own = min(1.0, float(sum(scores[0, manifest.labels.index(label)] for label in manifest.explicit_labels)))
        score = manifest.calibration.apply(own) if manifest.calibration is not None else own
        if score >= manifest.thresholds.explicit:
            label = Label.EXPLICIT
        elif score >= manifest.thresholds.suggestive:
            label = Label.SUGGESTIVE
        else:
            label = Label.NONE
        return (Finding(FindingKind.NUDITY, State.OK, label, score, self.id),)

    def close(self) -> None:
        """Give the model's memory back."""
        with self._lock:
            self._closed = True
            if self._model is not None:
                self._model.close()
                self._model = None
