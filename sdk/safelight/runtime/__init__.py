"""Quantised TFLite models: found, verified against their goldens, run."""

from __future__ import annotations

from safelight.runtime.adapter import RUNTIMES, RuntimeStatus, runtime_status
from safelight.runtime.golden import golden_input, golden_text
from safelight.runtime.manifest import (
    AgeManifest,
    FaceManifest,
    Golden,
    GroomingManifest,
    ModelManifest,
    NudityManifest,
    expect_task,
    load_golden,
    load_manifest,
    model_ids,
)
from safelight.runtime.model import Model, Verification, normalise

__all__ = [
    "RUNTIMES",
    "AgeManifest",
    "FaceManifest",
    "Golden",
    "GroomingManifest",
    "Model",
    "ModelManifest",
    "NudityManifest",
    "RuntimeStatus",
    "Verification",
    "expect_task",
    "golden_input",
    "golden_text",
    "load_golden",
    "load_manifest",
    "model_ids",
    "normalise",
    "runtime_status",
]
