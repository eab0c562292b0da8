"""The checkers that a guard uses, made from what ships and what an operator adds. Nothing here raises."""

from __future__ import annotations

from collections.abc import Sequence

from safelight.decision import HelpService, State
from safelight.errors import DataMissingError, SafelightError
from safelight.lookup.hosts import SiteChecker, help_hosts
from safelight.lookup.table import LookupList, builtin_words
from safelight.lookup.words import HelpPhrases, QueryChecker, builtin_help_phrases


def query_checker(lists: Sequence[LookupList] | None, directory: Sequence[HelpService]) -> QueryChecker:
    """A checker of queries: ``lists``, or the list that ships when ``None``.

    A list that is missing is ``NO_LIST``, a damaged one ``UNVERIFIED``.
    """
    state = State.NO_LIST
    if lists is None:
        try:
            lists = (builtin_words(),)
        except DataMissingError:
            lists = ()
        except (SafelightError, OSError):
            lists, state = (), State.UNVERIFIED
    names = HelpPhrases.of(name for service in directory for name in (service.service, service.organisation))
    try:
        health = builtin_help_phrases().phrases
    except (SafelightError, OSError, ValueError):
        health = frozenset()
    return QueryChecker(lists, phrases=HelpPhrases(names.phrases | health), state=state)


def site_checker(lists: Sequence[LookupList], directory: Sequence[HelpService]) -> SiteChecker:
    """A checker of addresses. No list of hosts ships: without an operator's the answer is ``NO_LIST``."""
    try:
        hosts = help_hosts(directory)
    except SafelightError:
        hosts = frozenset()  # without ada-url no address can be read at all: NO_DECODER
    return SiteChecker(lists, help_hosts=hosts)
