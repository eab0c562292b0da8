"""The catalogue and the help directory that ship with Safelight, read once and kept."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from safelight.builtin_data import read_builtin
from safelight.decision import HelpService
from safelight.errors import SafelightError
from safelight.notices.catalogue import Catalogue, load_catalogue
from safelight.notices.directory import load_directory
from safelight.notices.select import CATALOGUE_UNVERIFIED

_CATALOGUE = "deterrence/catalogue/en.json"
_DIRECTORY = "deterrence/help/helplines.json"

# The words matter more than which of these it was: whatever goes wrong, somebody still has to be told.
_UNREADABLE = (SafelightError, OSError)


@dataclass(frozen=True, slots=True)
class BuiltinNotices:
    """What :func:`~safelight.notices.select_notice` needs, as far as it could be read.

    Attributes:
        catalogue: ``None`` if the texts are missing or not what was built.
        directory: empty if the help services are missing or not what was built.
        reasons: ``("CATALOGUE_UNVERIFIED",)`` if either was; belongs in the decision's reasons.
    """

    catalogue: Catalogue | None
    directory: tuple[HelpService, ...]
    reasons: tuple[str, ...]


# functools.cache keeps results and no exceptions: a file that comes back is used from then on.
@cache
def _catalogue() -> Catalogue:
    return load_catalogue(read_builtin(_CATALOGUE))


@cache
def _directory() -> tuple[HelpService, ...]:
    return load_directory(read_builtin(_DIRECTORY))


def load_builtin() -> BuiltinNotices:
    """Returns the built-in texts and services; never raises for data that is missing or altered.

    Each of the two stands alone: altered texts do not cost the reader the verified numbers.
    """
    catalogue: Catalogue | None = None
    directory: tuple[HelpService, ...] = ()
    unverified = False
    try:
        catalogue = _catalogue()
    except _UNREADABLE:
        unverified = True
    try:
        directory = _directory()
    except _UNREADABLE:
        unverified = True
    return BuiltinNotices(catalogue, directory, (CATALOGUE_UNVERIFIED,) if unverified else ())
