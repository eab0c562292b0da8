"""Search words and web addresses against lists of keyed hashes: text → :class:`~safelight.decision.Finding`.

Nothing that was typed is kept, shown or hashed for anybody else; an answer names a list, never a word.
"""

from __future__ import annotations

from safelight.lookup.hosts import SiteChecker, help_hosts, host_of
from safelight.lookup.table import LookupList, build_list, builtin_words, read_signed, sign_list
from safelight.lookup.words import HelpPhrases, QueryChecker, builtin_help_phrases

__all__ = [
    "HelpPhrases",
    "LookupList",
    "QueryChecker",
    "SiteChecker",
    "build_list",
    "builtin_help_phrases",
    "builtin_words",
    "help_hosts",
    "host_of",
    "read_signed",
    "sign_list",
]
