"""Gates hold an action until there is a verdict: nothing is shown, sent or saved first. A gate knows only the guard."""

from __future__ import annotations

from importlib import import_module
from typing import Any

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

__all__ = list(_HOME)


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'safelight.gates' has no attribute {name!r}")
    value = getattr(import_module(f"safelight.gates.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
