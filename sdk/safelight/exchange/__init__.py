"""Hashes to and from other organisations' services, and notices to hotlines: for operators, on their own servers.

    Arachnid Shield (look up) · HMA (bank) · threatexchange (files) · StopNCII (fetch, submit) · takedown notice

Nothing here belongs on a child's device and nothing here is automatic: no guard, gate, store or report imports it (an
import contract), and every call is one that an operator's own program or a person at a command line makes. Every
adapter takes :class:`~safelight.hashing.PdqHash` or :class:`~safelight.hashing.Sha256Hash` values and nothing else: no
picture, path, file name or text can be given to it. Who may use a service is a matter of a contract with whoever runs
it. Needs the extra ``[report]`` (requests); names are loaded on first use.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

_HOME: dict[str, str] = {
    **dict.fromkeys(("ArachnidShield", "ArachnidMatch", "ArachnidResult"), "arachnid"),
    **dict.fromkeys(("HmaBank", "SentMemory", "BankReport"), "hma"),
    **dict.fromkeys(("export_te_csv", "export_te_file"), "threatexchange"),
    **dict.fromkeys(("StopNcii", "StopNciiRecord", "StopNciiPage", "Feedback"), "stopncii"),
    **dict.fromkeys(("TakedownDraft", "TakedownNotice", "SignOff", "Category", "SiteType", "hotline_for"), "takedown"),
    "Secret": "_http",
}

__all__ = [
    "ArachnidMatch",
    "ArachnidResult",
    "ArachnidShield",
    "BankReport",
    "Category",
    "Feedback",
    "HmaBank",
    "Secret",
    "SentMemory",
    "SignOff",
    "SiteType",
    "StopNcii",
    "StopNciiPage",
    "StopNciiRecord",
    "TakedownDraft",
    "TakedownNotice",
    "export_te_csv",
    "export_te_file",
    "hotline_for",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
