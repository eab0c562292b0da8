"""Quantised TFLite models: found, verified against their goldens, run."""

from __future__ import annotations

from safelight.runtime.adapter import RUNTIMES, RuntimeStatus, runtime_status
from safelight.runtime.golden import golden_input
from safelight.runtime.manifest import Golden, ModelManifest, load_golden, load_manifest, model_ids
from safelight.runtime.model import Model, Verification

__all__ = [
    "RUNTIMES",
    "Golden",
    "Model",
    "ModelManifest",
    "RuntimeStatus",
    "Verification",
    "golden_input",
    "load_golden",
    "load_manifest",
    "model_ids",
    "runtime_status",
]
