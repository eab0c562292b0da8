"""What a model folder says about itself: ``config.json`` and ``golden.json``, read strictly."""

from __future__ import annotations

from typing import Any, Literal, TypeVar

import msgspec
import numpy as np
import numpy.typing as npt

from safelight.builtin_data import builtin_files, read_builtin
from safelight.decision import State
from safelight.errors import DataMissingError, DataTamperedError, ModelError, UsageError

Tier = Literal["live", "full"]


class Licence(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """Under which terms the weights ship, and whom to name."""

    weights: str
    origin: str
    notice: str


class Source(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """The published package that the recipe starts from."""

    package: str
    version: str
    registry: str
    file: str
    sha256: str


class Tensor(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """A tensor. Quantised: real value = ``scale * (stored - zero_point)``; float32 has scale 1 and zero point 0."""

    shape: tuple[int, ...]
    dtype: Literal["uint8", "float32", "int32"]
    scale: float
    zero_point: int
    colour: Literal["RGB"] | None = None


class Preprocess(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """How a picture becomes the input of a nudity model; what else is needed is folded into the graph."""

    resize_px: tuple[int, int]
    filter: Literal["bilinear"]
    crop_px: tuple[int, int]


class Letterbox(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """How a picture becomes the input of a face model: aspect kept, the rest padded; ``x * multiply + add``."""

    letterbox_px: tuple[int, int]
    filter: Literal["bilinear"]
    multiply: float
    add: float


class Chip(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """How a face becomes the input of an age model: landmarks land on these fractions of the chip's side."""

    size_px: int
    landmarks: dict[str, tuple[float, float]]


class Anchors(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """The single-shot detector's grid: one layer a stride, centres at ``(i + offset) * stride``."""

    strides: tuple[int, ...]
    offset: float


class Thresholds(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """Scores on the model's own scale at or above which a label is given, each in (0, 1]."""

    suggestive: float
    explicit: float


class FaceThresholds(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """Score from which a face counts, and the overlap above which two detections are one face."""

    face: float
    overlap_iou: float


class Calibration(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """A monotone map from the model's own score to the calibrated one, linear between its points.

    Both lists rise from 0 to 1. ``note`` says on what data it was made and what it therefore means.
    """

    kind: Literal["monotone"]
    raw: tuple[float, ...]
    calibrated: tuple[float, ...]
    note: str

    def __post_init__(self) -> None:
        for points in (self.raw, self.calibrated):
            if len(points) < 2 or points[0] != 0.0 or points[-1] != 1.0 or list(points) != sorted(points):
                raise ValueError("calibration: expected points that rise from 0.0 to 1.0")
        if len(self.raw) != len(self.calibrated):
            raise ValueError("calibration: expected as many raw as calibrated points")

    def apply(self, score: float) -> float:
        """The calibrated score of ``score``, both in [0, 1]."""
        for left in range(len(self.raw) - 1):
            low, high = self.raw[left], self.raw[left + 1]
            if score <= high:
                share = (score - low) / (high - low) if high > low else 1.0
                return self.calibrated[left] + share * (self.calibrated[left + 1] - self.calibrated[left])
        return 1.0

    def apply_each(self, scores: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """:meth:`apply` for ``float32[N]``; a score outside of [0, 1] counts as the nearer end."""
        return np.interp(scores, self.raw, self.calibrated).astype(np.float32)


class _Common(msgspec.Struct, forbid_unknown_fields=True, frozen=True, tag_field="task", kw_only=True):
    schema: Literal[1]
    id: str
    tiers: tuple[Tier, ...]
    file: str
    size_bytes: int
    sha256: str
    licence: Licence
    source: Source
    input: Tensor

    @property
    def inputs(self) -> tuple[Tensor, ...]:
        """The input tensors."""
        return (self.input,)

    @property
    def task(self) -> str:
        """What the model is for: ``nudity``, ``faces``, ``age`` or ``grooming``."""
        return str(self.__struct_config__.tag)

    def summary(self) -> dict[str, Any]:
        """JSON-ready values that a person compares models by; the texts of the licence are left out."""
        values: dict[str, Any] = msgspec.to_builtins(self)
        kept = ("tiers", "size_bytes", "sha256", "labels", "explicit_labels", "thresholds", "keypoints")
        return {
            "id": self.id,
            "task": self.task,
            **{name: values[name] for name in kept if name in values},
            "licence": self.licence.weights,
            "input_shape": values["input"]["shape"],
        }


class NudityManifest(_Common, forbid_unknown_fields=True, frozen=True, tag="nudity", kw_only=True):
    """``config.json`` of a nudity classifier."""

    preprocess: Preprocess
    output: Tensor
    labels: tuple[str, ...]
    explicit_labels: tuple[str, ...]
    thresholds: Thresholds
    calibration: Calibration | None = None

    @property
    def outputs(self) -> tuple[Tensor, ...]:
        """The output tensors."""
        return (self.output,)


class FaceManifest(_Common, forbid_unknown_fields=True, frozen=True, tag="faces", kw_only=True):
    """``config.json`` of a face detector: boxes with keypoints, and scores."""

    preprocess: Letterbox
    outputs: tuple[Tensor, Tensor]
    anchors: Anchors
    thresholds: FaceThresholds
    keypoints: tuple[str, ...]


class AgeManifest(_Common, forbid_unknown_fields=True, frozen=True, tag="age", kw_only=True):
    """``config.json`` of an age model: a distribution over ``ages_years``."""

    chip: Chip
    output: Tensor
    ages_years: tuple[float, ...]
    calibration: Calibration | None = None

    @property
    def outputs(self) -> tuple[Tensor, ...]:
        """The output tensors."""
        return (self.output,)


class TextFeatures(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """Which text features a model was trained on (``safelight._text``): another version or data is refused."""

    version: int
    data_sha256: str


class ConversationNumbers(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """The numbers of the decision; see ``safelight.detect.conversation.ConversationRules``."""

    default_threshold: float
    needed_stages: int
    watch_risk: float
    warn_evidence: float
    danger_evidence: float
    danger_messages: int
    warn_risk: float
    strong_threat: float
    window_messages: int
    window_s: float
    hold_messages: int


class GroomingManifest(_Common, forbid_unknown_fields=True, frozen=True, tag="grooming", kw_only=True):
    """``config.json`` of a model of conversations: ids, numbers and a state in, stages, risk and a state out.

    ``input`` takes the ids. ``labels`` names the stages in order. ``calibration`` maps the model's stage scores, by
    language; ``default`` is for languages without a map of their own.
    """

    dense: Tensor
    state: Tensor
    stages: Tensor
    risk: Tensor
    next_state: Tensor
    labels: tuple[str, ...]
    features: TextFeatures
    thresholds: dict[str, float]
    conversation: ConversationNumbers
    calibration: dict[str, Calibration] = {}

    @property
    def inputs(self) -> tuple[Tensor, ...]:
        """Ids, dense numbers and state."""
        return (self.input, self.dense, self.state)

    @property
    def outputs(self) -> tuple[Tensor, ...]:
        """Stages, risk and the next state."""
        return (self.stages, self.risk, self.next_state)


ModelManifest = NudityManifest | FaceManifest | AgeManifest | GroomingManifest


class GoldenCase(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """A synthetic input and the stored output of every runtime that was measured.

    ``outputs`` holds one list a tensor: all its values, or those at the flat indices in ``pick``.
    """

    seed: int
    cell_px: int
    outputs: dict[str, list[list[float]]]
    pick: tuple[tuple[int, ...], ...] | None = None


class Golden(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """``golden.json`` of a model folder. Tolerances: quantisation steps for uint8, absolute for float32."""

    schema: Literal[1]
    model_sha256: str
    tolerance_steps: int
    cases: tuple[GoldenCase, ...]
    measured_with: dict[str, str]
    tolerance_abs: float = 0.0


def model_ids() -> tuple[str, ...]:
    """Ids of the models in this build, sorted, e.g. ``("open_nsfw_v1",)``."""
    return tuple(
        sorted(
            name.split("/")[1]
            for name in builtin_files()
            if name.startswith("models/") and name.endswith("/config.json")
        )
    )


_Kind = TypeVar("_Kind", NudityManifest, FaceManifest, AgeManifest, GroomingManifest)


def load_manifest(model_id: str) -> ModelManifest:
    """Read and check ``config.json``.

    Raises:
        UsageError: this build has no such model.
        ModelError: the file is missing (``NO_MODEL``), tampered with or malformed (``UNVERIFIED``).
    """
    if model_id not in model_ids():
        raise UsageError(f"got model {model_id!r}, this build has: {', '.join(model_ids()) or 'none'}.")
    manifest: ModelManifest = _decode(model_id, "config.json", ModelManifest)
    labels = {NudityManifest: "labels", AgeManifest: "ages_years", GroomingManifest: "labels"}.get(type(manifest))
    if manifest.id != model_id or (
        labels is not None and len(getattr(manifest, labels)) != manifest.outputs[0].shape[-1]
    ):
        raise ModelError(
            f"{model_id}/config.json names model {manifest.id!r}; expected its own name and one label for each of "
            f"{manifest.outputs[0].shape[-1]} outputs. Reinstall safelight.",
            state=State.UNVERIFIED,
        )
    return manifest


def expect_task(manifest: ModelManifest, kind: type[_Kind]) -> _Kind:
    """``manifest`` as a manifest of the task that the caller needs.

    Raises:
        UsageError: the model is for another task.
    """
    if not isinstance(manifest, kind):
        raise UsageError(
            f"got model {manifest.id!r} of task {manifest.task}, "
            f"expected one of task {kind.__struct_config__.tag}; see `safelight models list`."
        )
    return manifest


def load_golden(model_id: str) -> Golden:
    """Read and check ``golden.json``. Raises as :func:`load_manifest`."""
    golden: Golden = _decode(model_id, "golden.json", Golden)
    return golden


def read_model_file(model_id: str, file: str) -> bytes:
    """Bytes of one file of a model folder, checked against the build.

    Raises:
        ModelError: ``NO_MODEL`` when it cannot be read, ``UNVERIFIED`` when it is not what was built.
    """
    try:
        return read_builtin(f"models/{model_id}/{file}")
    except DataMissingError as error:
        raise ModelError(str(error), state=State.NO_MODEL) from None
    except (DataTamperedError, UsageError) as error:
        raise ModelError(str(error), state=State.UNVERIFIED) from None


def _decode(model_id: str, file: str, kind: Any) -> Any:
    try:
        return msgspec.json.decode(read_model_file(model_id, file), type=kind)
    except (msgspec.DecodeError, ValueError) as error:
        raise ModelError(f"{model_id}/{file}: {error}; reinstall safelight.", state=State.UNVERIFIED) from None
