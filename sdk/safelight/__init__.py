"""Safelight: keeps children safe on their own device.

Names only; each is imported when it is first used, so that ``import safelight`` stays light (no numpy, no
Pillow, no model runtime).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from safelight._build import __version__, build_info
    from safelight.decision import (
        Action,
        AgeBand,
        Choice,
        Decision,
        Event,
        Finding,
        FindingKind,
        HelpService,
        Label,
        Notice,
        State,
    )
    from safelight.errors import (
        ClosedError,
        DataError,
        MediaNotFoundError,
        ModelError,
        SafelightError,
        UnsupportedInputError,
        UsageError,
    )
    from safelight.guard import Guard
    from safelight.media import Frame, Limits
    from safelight.policy import Profile, Rules

_HOME = {
    "__version__": "_build",
    "build_info": "_build",
    **dict.fromkeys(
        (
            "Action",
            "AgeBand",
            "Choice",
            "Decision",
            "Event",
            "Finding",
            "FindingKind",
            "HelpService",
            "Label",
            "Notice",
            "State",
        ),
        "decision",
    ),
    **dict.fromkeys(
        (
            "ClosedError",
            "DataError",
            "MediaNotFoundError",
            "ModelError",
            "SafelightError",
            "UnsupportedInputError",
            "UsageError",
        ),
        "errors",
    ),
    "Guard": "guard",
    "Frame": "media",
    "Limits": "media",
    "Profile": "policy",
    "Rules": "policy",
}

__all__ = [
    "Action",
    "AgeBand",
    "Choice",
    "ClosedError",
    "DataError",
    "Decision",
    "Event",
    "Finding",
    "FindingKind",
    "Frame",
    "Guard",
    "HelpService",
    "Label",
    "Limits",
    "MediaNotFoundError",
    "ModelError",
    "Notice",
    "Profile",
    "Rules",
    "SafelightError",
    "State",
    "UnsupportedInputError",
    "UsageError",
    "__version__",
    "build_info",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'safelight' has no attribute {name!r}")
    from importlib import import_module

    value = getattr(import_module(f"safelight.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
