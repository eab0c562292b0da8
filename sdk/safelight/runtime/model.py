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
from safelight.runtime.golden import golden_input
from safelight.runtime.manifest import Golden, ModelManifest, Tensor, load_golden, load_manifest, read_model_file


@dataclass(frozen=True, slots=True)
class Verification:
    """What was proved about a model here.

    Attributes:
        model: its id.
        runtime: the runtime that passed, e.g. ``ai-edge-litert``.
        runtime_version: of that runtime.
        golden_cases: how many golden inferences ran.
        max_steps: largest difference from a golden, in quantisation steps.
    """

    model: str
    runtime: str
    runtime_version: str
    golden_cases: int
    max_steps: int


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

    def run(self, pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        """Run one inference in the calling thread.

        Args:
            pixels: ``uint8`` in the shape of the manifest's input, with or without the leading 1.

        Returns:
            ``float32[labels]``, dequantised, clipped to [0, 1].

        Raises:
            ClosedError: after :meth:`close`.
            UnsupportedInputError: another dtype or shape.
            ModelError: the runtime failed (``DETECTOR_FAILED``).
        """
        if self._closed:
            raise ClosedError("this model was closed; make a new Model (or Guard) to go on.")
        expected = self.manifest.input.shape
        if pixels.dtype != np.uint8 or pixels.shape not in (expected, expected[1:]):
            raise UnsupportedInputError(
                f"got {pixels.dtype}{list(pixels.shape)}, {self.id} takes uint8{list(expected)}; "
                "prepare the picture with safelight.media."
            )
        try:
            interpreter = getattr(self._local, "interpreter", None)
            if interpreter is None:
                interpreter = _open(self.verification.runtime, self._content)
                self._local.interpreter = interpreter
            stored = _infer(interpreter, pixels.reshape(expected))
        except Exception as error:
            # The runtimes raise bare RuntimeError, ValueError and their own types. Their text may quote
            # tensors, so only the type is passed on.
            raise ModelError(
                f"{self.id} failed in {self.verification.runtime} with {type(error).__name__}; "
                "run `safelight doctor` to check the installation.",
                state=State.DETECTOR_FAILED,
            ) from None
        output = self.manifest.output
        real = (stored.astype(np.float32) - np.float32(output.zero_point)) * np.float32(output.scale)
        return np.clip(real.reshape(-1), 0.0, 1.0).astype(np.float32, copy=False)

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
        cases = [(case, case.outputs.get(runtime)) for case in golden.cases]
        if not cases or any(expected is None for _, expected in cases):
            raise ModelError(
                f"{self.id} has no golden outputs for {runtime}; it cannot be verified there.", state=State.UNVERIFIED
            )
        try:
            interpreter = _open(runtime, self._content)
            _check_tensor(interpreter.get_input_details(), self.manifest.input, self.id, "input")
            _check_tensor(interpreter.get_output_details(), self.manifest.output, self.id, "output")
            worst = 0
            for case, expected in cases:
                mosaic = golden_input(self.manifest.input.shape, seed=case.seed, cell_px=case.cell_px)
                stored = _infer(interpreter, mosaic).astype(np.int64)
                worst = max(worst, int(np.abs(stored - np.asarray(expected, dtype=np.int64)).max()))
        except ModelError:
            raise
        except Exception as error:
            hints = " ".join(runtime_status(runtime).warnings) or "Run `safelight doctor`."
            raise ModelError(
                f"{self.id} cannot run in {runtime}: {type(error).__name__}. {hints}", state=State.UNVERIFIED
            ) from None
        if worst > golden.tolerance_steps:
            raise ModelError(
                f"{self.id} in {runtime}: golden self-test differs by {worst} steps, at most "
                f"{golden.tolerance_steps} expected. Use another runtime, or report this machine.",
                state=State.UNVERIFIED,
            )
        self._local.interpreter = interpreter
        return Verification(self.id, runtime, runtime_status(runtime).version or "", len(cases), worst)


def _open(runtime: str, content: bytes) -> Any:
    interpreter = interpreter_class(runtime)(model_content=content, num_threads=1)
    interpreter.allocate_tensors()
    return interpreter


def _infer(interpreter: Any, pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], pixels)
    interpreter.invoke()
    stored: npt.NDArray[np.uint8] = interpreter.get_tensor(interpreter.get_output_details()[0]["index"])
    return stored


def _check_tensor(details: list[dict[str, Any]], expected: Tensor, model_id: str, which: str) -> None:
    got = [(tuple(int(n) for n in d["shape"]), np.dtype(d["dtype"]).name, d["quantization"]) for d in details]
    want = (expected.shape, expected.dtype, (expected.scale, expected.zero_point))
    same = (
        len(got) == 1
        and got[0][:2] == want[:2]
        and abs(got[0][2][0] - expected.scale) <= 1e-6 * expected.scale
        and got[0][2][1] == expected.zero_point
    )
    if not same:
        raise ModelError(
            f"{model_id}: {which} tensor is {got}, config.json says {want}; reinstall safelight.",
            state=State.UNVERIFIED,
        )
