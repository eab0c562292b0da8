"""Whether a decision makes a record. Off unless a collector is set up, the family says so, and a list matched."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextlib import suppress
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from safelight.decision import Action, AgeBand, Event, Finding
from safelight.errors import ReportError
from safelight.policy import Rules

if TYPE_CHECKING:
    from safelight.reporting.outbox import Outbox
    from safelight.reporting.record import HashRecord
    from safelight.store import Store

_log = logging.getLogger("safelight")

KNOWN_MATCH: Final = "KNOWN_MATCH"
#: The reason that a decision carries when its record could not be kept. The action is the same.
RECORD_NOT_KEPT: Final = "RECORD_NOT_KEPT"
#: Every set of rules but the one that ships: a name of its own would tell one family from another.
CUSTOM: Final = "custom"


class Reporter:
    """Puts records of list matches into an outbox.

    Args:
        outbox: where to.
        store: a family's settings; while they do not say ``reporting``, no match makes a record, and those that wait
            are erased. Without a store the host answers for it.
    """

    def __init__(self, outbox: Outbox, store: Store | None = None) -> None:
        self._outbox = outbox
        self._store = store
        self._wanted = True

    def record(
        self,
        findings: Sequence[Finding],
        reasons: Sequence[str],
        *,
        action: Action,
        event: Event,
        rules: Rules,
        band: AgeBand,
    ) -> tuple[HashRecord | None, tuple[str, ...]]:
        """The record of a decision, and reasons to add. Never raises for what is on the disk.

        A picture that a protected person has just taken makes none, whatever it matches: it is theirs to report.
        """  # fmt: skip
        if not self._asked_for() or KNOWN_MATCH not in reasons:
            return None, ()
        if event is Event.CAPTURE and band is not AgeBand.ADULT:
            return None, ()
        try:
            return self._outbox.enqueue(findings, action=action, policy=policy_id(rules)), ()
        except ReportError as error:
            _log.warning("outbox: a record was not kept (%s); the decision stands", error.state)
            return None, (RECORD_NOT_KEPT,)

    def _asked_for(self) -> bool:
        wanted = self._store is None or self._store.settings.reporting
        if wanted:
            self._wanted = True
        elif self._wanted and may_erase(self._store):
            with suppress(ReportError):
                self._outbox.purge("list_match")
            self._wanted = False
        return wanted


def may_erase(store: Store | None) -> bool:
    """Whether the family has said no. A store that cannot be believed says nothing: what waits goes on waiting."""
    from safelight.store import StoreState

    return store is not None and not store.settings.reporting and store.state in (StoreState.OK, StoreState.NEW)


def policy_id(rules: Rules) -> str:
    """Names the rules that ship, and no others.

    Example:
        >>> policy_id(Rules.default()).startswith("safelight-default_v")
        True
    """
    return _builtin_id() if (rules.id, rules.version) == (Rules.default().id, Rules.default().version) else CUSTOM


@lru_cache(maxsize=1)
def _builtin_id() -> str:
    rules = Rules.default()
    return f"{rules.id}_v{rules.version}"
