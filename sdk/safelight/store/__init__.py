"""What a family has chosen, kept so that ordinary tricks do not open it: settings, PIN, consent, time, holds."""

from __future__ import annotations

from safelight.store.allowance import Allowance, Time, TimeState
from safelight.store.anchor import Anchor, FileAnchor, NoAnchor
from safelight.store.clock import Clock, SystemClock
from safelight.store.consent import Consent, Consents, ConsentState
from safelight.store.counters import Counters
from safelight.store.holds import Appeal, Hold, HoldLimits, Holds, HoldState
from safelight.store.settings import STRICTEST, ConsentBy, ConsentPurpose, Relation, Settings, compare
from safelight.store.store import Change, PendingChange, SetUp, Store, StoreHealth, default_path
from safelight.store.vault import StoreState

__all__ = [
    "STRICTEST",
    "Allowance",
    "Anchor",
    "Appeal",
    "Change",
    "Clock",
    "Consent",
    "ConsentBy",
    "ConsentPurpose",
    "ConsentState",
    "Consents",
    "Counters",
    "FileAnchor",
    "Hold",
    "HoldLimits",
    "HoldState",
    "Holds",
    "NoAnchor",
    "PendingChange",
    "Relation",
    "SetUp",
    "Settings",
    "Store",
    "StoreHealth",
    "StoreState",
    "SystemClock",
    "Time",
    "TimeState",
    "compare",
    "default_path",
]
