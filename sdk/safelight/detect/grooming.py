"""The model of conversations: one message's features in, stages, risk and the next state out."""

from __future__ import annotations

import threading
from dataclasses import dataclass

import msgspec

from safelight import _text
from safelight.decision import State
from safelight.detect.conversation import STAGES, ConversationRules, Floats, Ids, StageScores, with_thresholds
from safelight.errors import ClosedError, ModelError, UsageError
from safelight.runtime import GroomingManifest, Model, load_manifest, model_ids


def grooming_model() -> str | None:
    """Id of the newest built-in model of conversations, or ``None``."""
    found = []
    for model_id in model_ids():
        try:
            manifest = load_manifest(model_id)
        except ModelError:
            continue
        if isinstance(manifest, GroomingManifest):
            found.append((int(model_id.rpartition("_v")[2]), model_id))
    return max(found)[1] if found else None


@dataclass(frozen=True, slots=True)
class GroomingStatus:
    """What the newest built-in model of conversations is, read from its manifest; the model itself is not run.

    Attributes:
        id: ``None`` while there is no such model.
        state: ``OK``, ``NO_MODEL``, or ``UNVERIFIED`` for one of other text features than this build's.
        languages: in which messages are read; others are ``UNKNOWN_LANGUAGE``.
        calibrated_languages: those of them with a calibration of their own.
    """

    id: str | None
    state: State
    languages: tuple[str, ...] = ()
    calibrated_languages: tuple[str, ...] = ()


def grooming_status() -> GroomingStatus:
    """How the newest built-in model of conversations stands; never raises for one that is missing or altered."""
    detector = GroomingDetector()
    try:
        manifest = detector._manifest()
        _check_features(manifest)
    except ModelError as error:
        return GroomingStatus(detector._find(), State(error.state))
    languages = tuple(tag for tag in _text.LANGUAGES if tag not in ("unknown", "other"))
    calibrated = tuple(tag for tag in languages if tag in manifest.calibration)
    return GroomingStatus(manifest.id, State.OK, languages, calibrated)


class GroomingDetector:
    """A :class:`~safelight.detect.conversation.StageScorer` that runs the built-in TFLite model.

    Loads and verifies the model at the first message. One that is missing, damaged or trained on other text features
    than this build's is a state, at every message.

    Args:
        model_id: which; the newest built-in one when left out.
        runtime: ``auto``, ``ai-edge-litert`` or ``tflite-runtime``.
    """

    def __init__(self, model_id: str | None = None, *, runtime: str = "auto") -> None:
        self._model_id = model_id
        self._runtime = runtime
        self._model: Model | None = None
        self._failed: State | None = None
        self._closed = False
        self._lock = threading.Lock()

    @property
    def id(self) -> str:
        """The model's id; ``grooming`` while there is none."""
        return self._find() or "grooming"

    @property
    def state_shape(self) -> tuple[int, ...]:
        """Shape of the state; that of a model that cannot be used is never asked for a score."""
        try:
            return self._manifest().state.shape
        except ModelError:
            return (1, 1)

    @property
    def rules(self) -> ConversationRules:
        """The numbers of the decision, as the model's ``config.json`` has them; the defaults without a model."""
        try:
            manifest = self._manifest()
        except ModelError:
            return ConversationRules()
        return with_thresholds(ConversationRules(**msgspec.structs.asdict(manifest.conversation)), manifest.thresholds)

    def prepare(self) -> State:
        """Load the model now; ``OK``, or the state that every message will get."""
        try:
            self._ready()
        except ModelError as error:
            return State(error.state)
        return State.OK

    def score(self, ids: Ids, dense: Floats, state: Floats, *, language: str) -> StageScores:
        """Score a message; see :class:`~safelight.detect.conversation.StageScorer`.

        Raises:
            ModelError: the model is missing, damaged, of other features, or failed.
            ClosedError: after :meth:`close`.
        """
        model = self._ready()
        manifest = self._manifest()
        stages, risk, next_state = model.run(ids, dense, state)
        flat = stages.reshape(-1)
        scale = manifest.calibration.get(language) or manifest.calibration.get("default")
        if scale is not None:
            flat = scale.apply_each(flat)
        return StageScores(flat, float(risk.reshape(-1)[0]), next_state)

    def close(self) -> None:
        """Give memory back; later calls raise :class:`ClosedError`. Safe to call twice."""
        with self._lock:
            self._closed = True
            if self._model is not None:
                self._model.close()

    def _find(self) -> str | None:
        if self._model_id is None:
            self._model_id = grooming_model()
        return self._model_id

    def _manifest(self) -> GroomingManifest:
        model_id = self._find()
        if model_id is None:
            raise ModelError(
                "this build has no model of conversations: messages are not judged; install a release that has one.",
                state=State.NO_MODEL,
            )
        manifest = self._model.manifest if self._model is not None else load_manifest(model_id)
        if not isinstance(manifest, GroomingManifest):
            raise UsageError(f"got model {model_id!r} of task {manifest.task}, expected one of task grooming.")
        return manifest

    def _ready(self) -> Model:
        if self._closed:
            raise ClosedError("this detector was closed; make a new one (or a new Guard) to go on.")
        with self._lock:
            if self._model is None:
                if self._failed is not None:
                    raise ModelError("the model of conversations cannot be used; see doctor.", state=self._failed)
                try:
                    self._model = self._load()
                except ModelError as error:
                    self._failed = State(error.state)
                    raise
            return self._model

    def _load(self) -> Model:
        manifest = self._manifest()
        _check_features(manifest)
        return Model(manifest.id, runtime=self._runtime)

    def __repr__(self) -> str:
        return f"GroomingDetector({self.id!r}, closed={self._closed})"


def _check_features(manifest: GroomingManifest) -> None:
    mine = (_text.FEATURE_VERSION, _text.DATA_SHA256, tuple(stage.value for stage in STAGES))
    if (manifest.features.version, manifest.features.data_sha256, manifest.labels) != mine:
        raise ModelError(
            f"{manifest.id} was trained on text features version {manifest.features.version} or on other word "
            f"lists or stages, this build has version {_text.FEATURE_VERSION}; reinstall safelight.",
            state=State.UNVERIFIED,
        )
