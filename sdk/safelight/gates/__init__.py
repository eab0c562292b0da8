"""Gates hold an action until there is a verdict: nothing is shown, sent or saved first. A gate knows only the guard."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from safelight.gates._choice import SecondChoice
    from safelight.gates.camera import CameraGate
    from safelight.gates.chat import ChatGate, Delivery, GatedConversation
    from safelight.gates.clip import ClipDecision, ClipGate, ClipProgress, ClipRange, ClipState
    from safelight.gates.receive import Received, ReceiveGate
    from safelight.gates.release import ReleaseRule
    from safelight.gates.upload import (
        UploadedPart,
        UploadGate,
        UploadLimits,
        UploadMiddleware,
        UploadRefusedError,
        UploadRules,
        UploadVerdict,
    )

# Name to the module that has it: an app that gates uploads does not import the camera.
_HOME: dict[str, str] = {
    "CameraGate": "camera",
    "ChatGate": "chat",
    "ClipDecision": "clip",
    "ClipGate": "clip",
    "ClipProgress": "clip",
    "ClipRange": "clip",
    "ClipState": "clip",
    "Delivery": "chat",
    "GatedConversation": "chat",
    "ReceiveGate": "receive",
    "Received": "receive",
    "ReleaseRule": "release",
    "SecondChoice": "_choice",
    "UploadGate": "upload",
    "UploadLimits": "upload",
    "UploadMiddleware": "upload",
    "UploadRefusedError": "upload",
    "UploadRules": "upload",
    "UploadVerdict": "upload",
    "UploadedPart": "upload",
}

__all__ = [
    "CameraGate",
    "ChatGate",
    "ClipDecision",
    "ClipGate",
    "ClipProgress",
    "ClipRange",
    "ClipState",
    "Delivery",
    "GatedConversation",
    "ReceiveGate",
    "Received",
    "ReleaseRule",
    "SecondChoice",
    "UploadGate",
    "UploadLimits",
    "UploadMiddleware",
    "UploadRefusedError",
    "UploadRules",
    "UploadVerdict",
    "UploadedPart",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'safelight.gates' has no attribute {name!r}")
    value = getattr(import_module(f"safelight.gates.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
