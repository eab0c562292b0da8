"""The camera gate: live pictures and stills that are shown after they were judged, never before."""

from __future__ import annotations

from safelight.gates.camera.core import Timing
from safelight.gates.camera.gate import CameraGate
from safelight.gates.camera.pace import Budget, system_temperature_c
from safelight.gates.camera.preview import CameraState, CameraStatus, Capture, CaptureState, Counts, Preview
from safelight.gates.camera.source import FrameSource

__all__ = [
    "Budget",
    "CameraGate",
    "CameraState",
    "CameraStatus",
    "Capture",
    "CaptureState",
    "Counts",
    "FrameSource",
    "Preview",
    "Timing",
    "system_temperature_c",
]
