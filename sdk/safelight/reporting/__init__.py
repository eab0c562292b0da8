"""What may leave the device, in one schema: off by default, sealed when it is made, and everybody can see it.

    Decision or a person's own report → HashRecord → Outbox → (host says so) → collector

Names are loaded on first use; only :class:`Uploader` knows the network (extra ``[report]``).
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from safelight.reporting._database import OutboxState
    from safelight.reporting.ledger import Ledger, LedgerEntry
    from safelight.reporting.outbox import Batch, Collector, Outbox, OutboxLimits, OutboxStatus, Registration
    from safelight.reporting.record import FIELDS, PERSON_CATEGORIES, Category, HashRecord, PictureHash, hash_picture
    from safelight.reporting.send import SendResult, SendState, Uploader
    from safelight.reporting.wire import Ack

_HOME = {
    "OutboxState": "_database",
    **dict.fromkeys(("Ledger", "LedgerEntry"), "ledger"),
    **dict.fromkeys(("Batch", "Collector", "Outbox", "OutboxLimits", "OutboxStatus", "Registration"), "outbox"),
    **dict.fromkeys(("FIELDS", "PERSON_CATEGORIES", "Category", "HashRecord", "PictureHash", "hash_picture"), "record"),
    **dict.fromkeys(("SendResult", "SendState", "Uploader"), "send"),
    "Ack": "wire",
}

__all__ = [
    "FIELDS",
    "PERSON_CATEGORIES",
    "Ack",
    "Batch",
    "Category",
    "Collector",
    "HashRecord",
    "Ledger",
    "LedgerEntry",
    "Outbox",
    "OutboxLimits",
    "OutboxState",
    "OutboxStatus",
    "PictureHash",
    "Registration",
    "SendResult",
    "SendState",
    "Uploader",
    "hash_picture",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
