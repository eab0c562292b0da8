"""Evidence × profile × rules → verdict. Pure: no I/O and no clock."""

from __future__ import annotations

from safelight.policy.evaluate import Verdict, decide
from safelight.policy.profile import Profile
from safelight.policy.rules import Rules

__all__ = ["Profile", "Rules", "Verdict", "decide"]
