"""A model that proves itself before its first answer: digest, tensor spec, labels, golden inference."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from safelight.decision import State
from safelight.errors import ClosedError, ModelError, UnsupportedInputError, UsageError
from safelight.runtime.adapter import RUNTIMES, interpreter_class, runtime_status
from safelight.runtime.golden import golden_input, golden_text
from safelight.runtime.manifest import (
    FaceManifest,
    Golden,
    GoldenCase,
    GroomingManifest,
    Letterbox,
    ModelManifest,
    Tensor,
    load_golden,
    load_manifest,
    read_model_file,
)


@dataclass(frozen=True, slots=True)
class Verification:
    """What was proved about a model here.

    Attributes:
        model: its id.
        runtime: the runtime that passed, e.g. ``ai-edge-litert``.
        runtime_version: of that runtime.
        golden_cases: how many golden inferences ran.
        max_steps: largest difference from a golden, in quantisation steps, over quantised outputs.
        max_distance: the same over float outputs.
    """

    model: str
    runtime: str
    runtime_version: str
    golden_cases: int
    max_steps: int
    max_distance: float


class Model:
    """A quantised TFLite model, ready to run.

    Thread-safe: every thread gets an interpreter of its own (an interpreter must not be shared), made on its
    first call and dropped with the thread. Bytes are read, checked and handed to the runtime once, so that no
    file is opened again later.

    Args:
        model_id: as in :func:`~safelight.runtime.manifest.model_ids`.
        runtime: ``auto`` (the first of :data:`RUNTIMES` that passes), or a name in it.

    Raises:
        ModelError: with ``state`` ``NO_MODEL`` or ``UNVERIFIED``.
        UsageError: an unknown model or runtime name.
    """

    def __init__(self, model_id: str, *, runtime: str = "auto") -> None:
        if runtime != "auto" and runtime not in RUNTIMES:
            raise UsageError(f"runtime: got {runtime!r}, expected auto, {' or '.join(RUNTIMES)}.")
        self._closed = False
        self._local = threading.local()
        self.manifest: ModelManifest = load_manifest(model_id)
        golden = load_golden(model_id)
        self._content = read_model_file(model_id, self.manifest.file)
        self.verification = self._verify(golden, tuple(RUNTIMES) if runtime == "auto" else (runtime,))

    @property
    def id(self) -> str:
        """The model's id, e.g. ``open_nsfw_v1``."""
        return self.manifest.id

    def run(self, *values: npt.NDArray[Any]) -> tuple[npt.NDArray[np.float32], ...]:
        """Run one inference in the calling thread.

        Args:
            values: one array for each of the manifest's inputs, in its dtype and shape, with or without the
                leading 1.

        Returns:
            One ``float32`` array an output tensor, in the manifest's order and shapes, dequantised.

        Raises:
            ClosedError: after :meth:`close`.
            UnsupportedInputError: another dtype or shape.
            ModelError: the runtime failed (``DETECTOR_FAILED``).
        """
        if self._closed:
            raise ClosedError("this model was closed; make a new Model (or Guard) to go on.")
        inputs = self.manifest.inputs
        fitting = [
            array.dtype == tensor.dtype and array.shape in (tensor.shape, tensor.shape[1:])
            for array, tensor in zip(values, inputs, strict=False)
        ]
        if len(values) != len(inputs) or not all(fitting):
            raise UnsupportedInputError(
                f"got {_shown(values)}, {self.id} takes {_shown(inputs)}; "
                f"prepare {'messages' if len(inputs) > 1 else 'the picture'} with safelight."
                f"{'detect' if len(inputs) > 1 else 'media'}."
            )
        try:
            session = getattr(self._local, "session", None)
            if session is None:
                session = self._local.session = _Session(_open(self.verification.runtime, self._content))
            shaped = tuple(array.reshape(tensor.shape) for array, tensor in zip(values, inputs, strict=True))
            stored = session.infer(shaped, self.manifest.outputs)
        except Exception as error:
            # The runtimes raise bare RuntimeError, ValueError and their own types. Their text may quote
            # tensors, so only the type is passed on.
            raise ModelError(
                f"{self.id} failed in {self.verification.runtime} with {type(error).__name__}; "
                "run `safelight doctor` to check the installation.",
                state=State.DETECTOR_FAILED,
            ) from None
        return tuple(
            array
            if output.dtype == "float32"
            else (array.astype(np.float32) - np.float32(output.zero_point)) * np.float32(output.scale)
            for array, output in zip(stored, self.manifest.outputs, strict=True)
        )

    def close(self) -> None:
        """Give the memory back; later calls raise :class:`ClosedError`. Safe to call twice."""
        self._closed = True
        self._content = b""
        self._local = threading.local()

    def __enter__(self) -> Model:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Model({self.id!r}, runtime={self.verification.runtime!r}, closed={self._closed})"

    def _verify(self, golden: Golden, runtimes: tuple[str, ...]) -> Verification:
        if golden.model_sha256 != self.manifest.sha256:
            raise ModelError(
                f"{self.id}/golden.json was made for other weights than config.json names; reinstall safelight.",
                state=State.UNVERIFIED,
            )
        installed = [name for name in runtimes if runtime_status(name).installed]
        if not installed:
            raise ModelError(
                f"{self.id} has no runtime: none of {', '.join(runtimes)} is installed. "
                "Install 'safelight' with ai-edge-litert, or the extra 'safelight[tflite]'.",
                state=State.NO_MODEL,
            )
        failures = []
        for name in installed:
            try:
                return self._verify_with(golden, name)
            except ModelError as error:
                failures.append(str(error))
        raise ModelError(" ".join(failures), state=State.UNVERIFIED)

    def _verify_with(self, golden: Golden, runtime: str) -> Verification:
        if len(golden.cases) < 2 or any(runtime not in case.outputs for case in golden.cases):
            raise ModelError(
                f"{self.id} has no golden outputs for {runtime}; it cannot be verified there.", state=State.UNVERIFIED
            )
        outputs = self.manifest.outputs
        try:
            session = _Session(_open(runtime, self._content))
            _check_tensors(session.interpreter.get_input_details(), self.manifest.inputs, self.id)
            _check_tensors(session.interpreter.get_output_details(), outputs, self.id)
            steps, distance = 0.0, 0.0
            for case in golden.cases:
                stored = session.infer(_golden_values(self.manifest, case), outputs)
                for index, (array, tensor) in enumerate(zip(stored, outputs, strict=True)):
                    flat = array.reshape(-1).astype(np.float64)
                    got = flat[list(case.pick[index])] if case.pick is not None else flat
                    worst = float(np.abs(got - np.asarray(case.outputs[runtime][index], dtype=np.float64)).max())
                    # NaN compares as different from everything and must not pass as "no difference".
                    worst = worst if worst == worst else float("inf")
                    if tensor.dtype == "uint8":
                        steps = max(steps, worst)
                    else:
                        distance = max(distance, worst)
        except ModelError:
            raise
        except Exception as error:
            hints = " ".join(runtime_status(runtime).warnings) or "Run `safelight doctor`."
            raise ModelError(
                f"{self.id} cannot run in {runtime}: {type(error).__name__}. {hints}", state=State.UNVERIFIED
            ) from None
        if steps > golden.tolerance_steps or distance > golden.tolerance_abs:
            raise ModelError(
                f"{self.id} in {runtime}: golden self-test differs by {steps:.0f} steps and {distance:.4f}, at most "
                f"{golden.tolerance_steps} and {golden.tolerance_abs} expected. Use another runtime, or report "
                "this machine.",
                state=State.UNVERIFIED,
            )
        self._local.session = session
        return Verification(
            self.id, runtime, runtime_status(runtime).version or "", len(golden.cases), int(steps), distance
        )


def _golden_values(manifest: ModelManifest, case: GoldenCase) -> tuple[npt.NDArray[Any], ...]:
    if isinstance(manifest, GroomingManifest):
        return golden_text(manifest.input.shape, manifest.dense.shape, manifest.state.shape, seed=case.seed)
    mosaic = golden_input(manifest.input.shape, seed=case.seed, cell_px=case.cell_px)
    if isinstance(manifest, FaceManifest):
        return (normalise(mosaic, manifest.preprocess),)
    return (mosaic,)


def _shown(tensors: tuple[npt.NDArray[Any], ...] | tuple[Tensor, ...]) -> str:
    return " and ".join(f"{tensor.dtype}{list(tensor.shape)}" for tensor in tensors)


def normalise(pixels: npt.NDArray[np.uint8], preprocess: Letterbox) -> npt.NDArray[np.float32]:
    """``pixels * multiply + add`` in float32, as the model was trained on."""
    return pixels.astype(np.float32) * np.float32(preprocess.multiply) + np.float32(preprocess.add)


def _open(runtime: str, content: bytes) -> Any:
    interpreter = interpreter_class(runtime)(model_content=content, num_threads=1)
    interpreter.allocate_tensors()
    return interpreter


class _Session:
    """One interpreter of one thread, and where its tensors are: asking for that costs more than a small inference."""

    def __init__(self, interpreter: Any) -> None:
        self.interpreter = interpreter
        self._takes = _by_shape(self.interpreter.get_input_details())
        self._gives = _by_shape(self.interpreter.get_output_details())

    def infer(self, values: tuple[npt.NDArray[Any], ...], outputs: tuple[Tensor, ...]) -> list[npt.NDArray[Any]]:
        """Run, and return the outputs in the order of ``outputs`` (the runtimes sort both sides as they like)."""
        for array in values:
            self.interpreter.set_tensor(self._takes[array.shape], array)
        self.interpreter.invoke()
        return [self.interpreter.get_tensor(self._gives[tensor.shape]) for tensor in outputs]


def _by_shape(details: list[dict[str, Any]]) -> dict[tuple[int, ...], int]:
    """Tensors are told apart by shape: those of one side of a model must differ in it."""
    return {tuple(int(n) for n in detail["shape"]): detail["index"] for detail in details}


def _check_tensors(details: list[dict[str, Any]], expected: tuple[Tensor, ...], model_id: str) -> None:
    got = sorted((_spec(d) for d in details), key=repr)
    want = sorted(((t.shape, t.dtype, t.scale, t.zero_point) for t in expected), key=repr)
    same = len(got) == len(want) and all(
        g[:2] == w[:2] and abs(g[2] - w[2]) <= 1e-6 * w[2] and g[3] == w[3] for g, w in zip(got, want, strict=True)
    )
    if not same:
        raise ModelError(
            f"{model_id}: its tensors are {got}, config.json says {want}; reinstall safelight.",
            state=State.UNVERIFIED,
        )


def _spec(detail: dict[str, Any]) -> tuple[tuple[int, ...], str, float, int]:
    dtype = np.dtype(detail["dtype"]).name
    # The runtimes give (0.0, 0) for a tensor that is not quantised.
    scale, zero_point = detail["quantization"] if dtype == "uint8" else (1.0, 0)
    return tuple(int(n) for n in detail["shape"]), dtype, float(scale), int(zero_point)
