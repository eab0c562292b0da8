"""UploadGate: a file leaves, or reaches the app, only after there is a verdict about it.

body → spool (bounded, sealed) → parts → one decision each → verdict → body made anew from what was checked
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from safelight.gates.upload.asgi import UploadMiddleware
    from safelight.gates.upload.gate import UploadGate
    from safelight.gates.upload.limits import UploadLimits
    from safelight.gates.upload.verdict import UploadedPart, UploadRefusedError, UploadVerdict
    from safelight.uploads import UploadRules

__all__ = [
    "UploadGate",
    "UploadLimits",
    "UploadMiddleware",
    "UploadRefusedError",
    "UploadRules",
    "UploadVerdict",
    "UploadedPart",
]

_HOME = {
    "UploadGate": "safelight.gates.upload.gate",
    "UploadLimits": "safelight.gates.upload.limits",
    "UploadMiddleware": "safelight.gates.upload.asgi",
    "UploadRefusedError": "safelight.gates.upload.verdict",
    "UploadRules": "safelight.uploads",
    "UploadVerdict": "safelight.gates.upload.verdict",
    "UploadedPart": "safelight.gates.upload.verdict",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(_HOME[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
