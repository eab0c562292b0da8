"""One face over the two TFLite runtimes, ai-edge-litert and tflite-runtime.

Both give an ``Interpreter`` of the same shape, yet differ on the same int8 file by several steps: goldens are
kept per runtime, and "it imports" proves nothing (tflite-runtime 2.14 imports under numpy 2 and then fails).
"""

from __future__ import annotations

import importlib
import importlib.metadata
import platform
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# In order of preference. The value is the module that holds Interpreter.
RUNTIMES: dict[str, str] = {
    "ai-edge-litert": "ai_edge_litert.interpreter",
    "tflite-runtime": "tflite_runtime.interpreter",
}

_LITERT_AARCH64_GLIBC = (2, 34)  # its aarch64 wheels are tagged 2.27 and need 2.34 (measured)


@dataclass(frozen=True, slots=True)
class RuntimeStatus:
    """Whether a runtime can be tried here.

    Attributes:
        installed: its distribution is present.
        version: of the distribution, or ``None``.
        warnings: what is known to go wrong on this machine, each with the next step.
    """

    name: str
    installed: bool
    version: str | None
    warnings: tuple[str, ...]


def runtime_status(name: str) -> RuntimeStatus:
    """Describe one runtime without importing it."""
    try:
        version: str | None = importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        version = None
    return RuntimeStatus(name, version is not None, version, tuple(_warnings(name)) if version else ())


def _warnings(name: str) -> list[str]:
    found = []
    numpy_version = importlib.metadata.version("numpy")
    if name == "tflite-runtime" and int(numpy_version.split(".")[0]) >= 2:
        found.append(
            f"tflite-runtime 2.14 needs numpy < 2, got {numpy_version}: it imports and then fails. "
            "Install 'numpy<2' or use ai-edge-litert."
        )
    libc, libc_version = platform.libc_ver()
    if (
        name == "ai-edge-litert"
        and platform.machine() == "aarch64"
        and libc == "glibc"
        and tuple(int(part) for part in libc_version.split(".")[:2]) < _LITERT_AARCH64_GLIBC
    ):
        found.append(
            f"ai-edge-litert on aarch64 needs glibc 2.34, got {libc_version}: use the [tflite] extra or a newer system."
        )
    if platform.system() == "Linux" and not Path("/sys/devices/system/cpu").exists():
        found.append("/sys is not mounted: CPU detection fails and int8 results may move by one step. Mount /sys.")
    return found


def interpreter_class(name: str) -> Callable[..., Any]:
    """The ``Interpreter`` class of a runtime; imports it.

    Raises:
        Exception: whatever the runtime's import raises; the caller turns it into a state.
    """
    found: Callable[..., Any] = importlib.import_module(RUNTIMES[name]).Interpreter
    return found
