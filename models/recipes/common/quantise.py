"""Turn a float function on pictures into a checked int8 TFLite file, and put it into a model folder."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

# It comes without type annotations.
import tensorflow as tf  # type: ignore[import-untyped,import-not-found,unused-ignore]

from common import files
from common.runtimes import Model

MODEL_FILE: Final = "model.tflite"
#: What a full int8 file may hold: weights and values, biases, and the raw bytes at both ends.
INTEGER_TYPES: Final = frozenset({"int8", "int32", "uint8"})


def quantise(function: Any, samples: Callable[[], Iterable[npt.NDArray[np.float32]]]) -> bytes:
    """Quantise to int8 with uint8 input and output, and nothing left in float.

    Args:
        function: A ``tf.function`` with an input signature, one input and one output.
        samples: Makes the calibration inputs, as the function wants them.

    Returns:
        The content of a ``.tflite`` file.
    """
    converter = tf.lite.TFLiteConverter.from_concrete_functions([function.get_concrete_function()])
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = lambda: ([sample] for sample in samples())
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = tf.uint8
    converter.inference_output_type = tf.uint8
    model: bytes = converter.convert()
    return model


def check_tensors(model: Path, *, expected_input: dict[str, Any], expected_output: dict[str, Any]) -> None:
    """Make sure that raw RGB bytes go straight in, the expected steps come out, and no float is between.

    Args:
        model: The ``.tflite`` file.
        expected_input: Shape, dtype, scale and zero point.
        expected_output: The same of the output.

    Raises:
        ValueError: It is not so; for the input, calibration saw no 0 or no 255.
    """
    # Without XNNPACK, because a delegate hides the tensors that it takes over.
    made = Model(model, runtime="ai-edge-litert", kernels="builtin")
    if made.tensor_types != INTEGER_TYPES:
        raise ValueError(f"got tensors of {sorted(made.tensor_types)}, expected no float")
    for side, got, expected in (("input", made.input, expected_input), ("output", made.output, expected_output)):
        if got != expected:
            raise ValueError(f"got {side} {got}, expected {expected}: calibrate on more pictures")


def release(content: bytes, out: Path, *, expected_input: dict[str, Any], expected_output: dict[str, Any]) -> Path:
    """Check a model and put it into its folder, never over another.

    Args:
        content: From :func:`quantise`.
        out: The model folder.
        expected_input: As for :func:`check_tensors`.
        expected_output: As for :func:`check_tensors`.

    Returns:
        The file in the model folder.

    Raises:
        ValueError: The tensors are not as expected, or another model is there already.
    """
    released = out / MODEL_FILE
    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder) / MODEL_FILE
        made.write_bytes(content)
        check_tensors(made, expected_input=expected_input, expected_output=expected_output)
        if released.exists() and files.sha256_of(released) != files.sha256_of(made):
            raise ValueError(
                "got another model than the one already in --out, expected the same: "
                "a released folder is never edited, give the new one a new number"
            )
    released.write_bytes(content)
    return released
