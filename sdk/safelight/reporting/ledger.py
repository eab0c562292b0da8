"""The ledger: what left, which fields, when, and to whom. The same for child and parent."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from safelight.reporting.record import FIELDS
from safelight.reporting.wire import SEALED_BYTES


@dataclass(frozen=True, slots=True)
class LedgerEntry:
    """One record's way. Says nothing of what is in it: a child's own report shows nobody but the collector what it is
    about, and that it is one.

    Attributes:
        id: of the record; whoever made a report has it as receipt.
        state: ``queued``, ``sent`` (no answer yet), ``acked``, ``refused`` (by the collector), ``dropped`` (too many or
            too old) or ``purged`` (somebody opted out).
        queued_day, last_day: of queueing and of the last change of ``state``, UTC.
        attempts: how often it was sent.
        collector: to whom.
        size_bytes: of the sealed record; the same for all.
        fields: names of all that is in it; the same for all.
    """

    id: str
    state: str
    queued_day: str
    last_day: str
    attempts: int
    collector: str
    size_bytes: int = SEALED_BYTES
    fields: tuple[str, ...] = tuple(FIELDS)

    @property
    def left(self) -> bool:
        """Whether it left the device, or may have."""
        return self.attempts > 0

    def to_dict(self) -> dict[str, Any]:
        """As JSON-ready values."""
        return {
            "id": self.id,
            "state": self.state,
            "left": self.left,
            "queued_day": self.queued_day,
            "last_day": self.last_day,
            "attempts": self.attempts,
            "collector": self.collector,
            "size_bytes": self.size_bytes,
            "fields": list(self.fields),
        }


@dataclass(frozen=True, slots=True)
class Ledger:
    """Every record of a year, newest day first.

    Attributes:
        entries: one a record.
        counts: of all times, as :attr:`safelight.reporting.OutboxStatus.counts`.
    """

    entries: tuple[LedgerEntry, ...] = ()
    counts: Mapping[str, int] = field(default_factory=dict)

    def __iter__(self) -> Iterator[LedgerEntry]:
        return iter(self.entries)

    def __len__(self) -> int:
        return len(self.entries)

    @property
    def left(self) -> tuple[LedgerEntry, ...]:
        """What left the device, or may have."""
        return tuple(one for one in self.entries if one.left)

    def to_dict(self) -> dict[str, Any]:
        """As JSON-ready values, for a page that shows it."""
        return {"entries": [one.to_dict() for one in self.entries], "counts": dict(self.counts)}
