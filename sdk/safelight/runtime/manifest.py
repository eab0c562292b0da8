"""What a model folder says about itself: ``config.json`` and ``golden.json``, read strictly."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from safelight.builtin_data import builtin_files, read_builtin
from safelight.decision import State
from safelight.errors import DataMissingError, DataTamperedError, ModelError, UsageError


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
    """A quantised tensor: real value = ``scale * (stored - zero_point)``."""

    shape: tuple[int, ...]
    dtype: Literal["uint8"]
    scale: float
    zero_point: int
    colour: Literal["RGB"] | None = None


class Preprocess(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """How a picture becomes the input tensor; what else is needed is folded into the graph."""

    resize_px: tuple[int, int]
    filter: Literal["bilinear"]
    crop_px: tuple[int, int]


class Thresholds(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """Scores at or above which a label is given, each in (0, 1]."""

    suggestive: float
    explicit: float


class ModelManifest(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """``config.json`` of a model folder."""

    schema: Literal[1]
    id: str
    task: Literal["nudity"]
    tiers: tuple[Literal["live", "full"], ...]
    file: str
    size_bytes: int
    sha256: str
    licence: Licence
    source: Source
    input: Tensor
    preprocess: Preprocess
    output: Tensor
    labels: tuple[str, ...]
    explicit_labels: tuple[str, ...]
    thresholds: Thresholds
    calibration: None = None


class GoldenCase(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """A synthetic input and the stored output of every runtime that was measured."""

    seed: int
    cell_px: int
    outputs: dict[str, list[list[int]]]


class Golden(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """``golden.json`` of a model folder."""

    schema: Literal[1]
    model_sha256: str
    tolerance_steps: int
    cases: tuple[GoldenCase, ...]
    measured_with: dict[str, str]


def model_ids() -> tuple[str, ...]:
    """Ids of the models in this build, sorted, e.g. ``("open_nsfw_v1",)``."""
    return tuple(
        sorted(n.split("/")[1] for n in builtin_files() if n.startswith("models/") and n.endswith("/config.json"))
    )


def load_manifest(model_id: str) -> ModelManifest:
    """Read and check ``config.json``.

    Raises:
        UsageError: this build has no such model.
        ModelError: the file is missing (``NO_MODEL``), tampered with or malformed (``UNVERIFIED``).
    """
    if model_id not in model_ids():
        raise UsageError(f"got model {model_id!r}, this build has: {', '.join(model_ids()) or 'none'}.")
    manifest: ModelManifest = _decode(model_id, "config.json", ModelManifest)
    if manifest.id != model_id or len(manifest.labels) != manifest.output.shape[-1]:
        raise ModelError(
            f"{model_id}/config.json names model {manifest.id!r} with {len(manifest.labels)} labels for an output of "
            f"{manifest.output.shape[-1]}; expected its own name and one label an output. Reinstall safelight.",
            state=State.UNVERIFIED,
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
    except msgspec.DecodeError as error:
        raise ModelError(f"{model_id}/{file}: {error}; reinstall safelight.", state=State.UNVERIFIED) from None
