"""The two TFLite runtimes that Safelight supports, behind one small class."""

from __future__ import annotations

import importlib
import importlib.metadata
import platform
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

_MODULES: Final = {
    "ai-edge-litert": "ai_edge_litert.interpreter",
    "tflite-runtime": "tflite_runtime.interpreter",
}
#: Distribution names, as in a golden file.
RUNTIMES: Final = tuple(_MODULES)


class Model:
    """One TFLite model with one input, on one thread.

    Args:
        path: The ``.tflite`` file.
        runtime: One of ``RUNTIMES``.
        kernels: ``default``, or ``builtin`` to leave out the XNNPACK delegate: other kernels for
            the same file, used to see how much an output depends on rounding.
    """

    def __init__(self, path: Path, *, runtime: str, kernels: str = "default") -> None:
        # The two packages have the same interface and no common type, and tflite-runtime has no
        # annotations at all: hence Any for the whole of it, in this class only.
        module: Any = importlib.import_module(_MODULES[runtime])
        resolver = (
            module.OpResolverType.AUTO
            if kernels == "default"
            else module.OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
        )
        self._interpreter: Any = module.Interpreter(
            model_path=str(path), num_threads=1, experimental_op_resolver_type=resolver
        )
        self._interpreter.allocate_tensors()
        (self._input,) = self._interpreter.get_input_details()
        self._outputs = self._interpreter.get_output_details()

    @property
    def input(self) -> dict[str, Any]:
        """Shape, dtype, scale and zero point of the input."""
        return _details(self._input)

    @property
    def output(self) -> dict[str, Any]:
        """Shape, dtype, scale and zero point of the only output."""
        (only,) = self._outputs
        return _details(only)

    @property
    def outputs(self) -> list[dict[str, Any]]:
        """Shape, dtype, scale and zero point of every output; a float tensor has scale and zero point 0."""
        return [_details(tensor) for tensor in self._outputs]

    @property
    def tensor_types(self) -> set[str]:
        """Every dtype in the file; ``float32`` among them means that a part was not quantised."""
        return {np.dtype(t["dtype"]).name for t in self._interpreter.get_tensor_details()}

    def run(self, pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
        """Run one input through a model with one output.

        Args:
            pixels: Raw input, of the model's shape and dtype.

        Returns:
            The raw output, a copy.
        """
        (output,) = self.run_all(pixels)
        return output

    def run_all(self, values: npt.NDArray[Any]) -> list[npt.NDArray[Any]]:
        """Run one input, of the model's shape and dtype; return a copy of every raw output, in order."""
        self._interpreter.set_tensor(self._input["index"], values)
        self._interpreter.invoke()
        return [self._interpreter.get_tensor(tensor["index"]) for tensor in self._outputs]


def versions(*distributions: str) -> dict[str, str]:
    """Return the installed version of each distribution."""
    return {name: importlib.metadata.version(name) for name in distributions}


def machine() -> str:
    """Return the instruction set as golden files name it: ``x86-64``, ``aarch64``."""
    return platform.machine().lower().replace("_", "-")


def cpu_name() -> str:
    """Return the processor's own name, with family and model where Linux gives them."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or "unknown"
    # Reversed, so that of several processors the first one's fields are kept.
    fields: dict[str, str] = {}
    for line in reversed(lines):
        name, _, value = line.partition(":")
        fields[name.strip()] = value.strip()
    model_name = fields.get("model name", "unknown")
    if "cpu family" in fields:
        model_name += f" (family {fields['cpu family']}, model {fields['model']})"
    return model_name


def _details(tensor: dict[str, Any]) -> dict[str, Any]:
    scale, zero_point = tensor["quantization"]
    return {
        "shape": [int(side) for side in tensor["shape"]],
        "dtype": np.dtype(tensor["dtype"]).name,
        "scale": float(scale),
        "zero_point": int(zero_point),
    }
