"""The catalogue and the help directory that ship with Safelight, read once and kept."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

from safelight.builtin_data import builtin_files, read_builtin
from safelight.decision import HelpService
from safelight.errors import SafelightError
from safelight.notices.catalogue import Catalogue, Structure, load_catalogue, load_structure
from safelight.notices.directory import load_directory
from safelight.notices.select import CATALOGUE_UNVERIFIED

_STRUCTURE = "deterrence/structure.json"
_CATALOGUES = "deterrence/catalogue/"
_DIRECTORY = "deterrence/help/helplines.json"

SOURCE_LANGUAGE = "en"
"""The language that all others are translated from, and that stands in for what they lack."""

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
def _structure() -> Structure:
    return load_structure(read_builtin(_STRUCTURE))


@cache
def _catalogue(lang: str) -> Catalogue:
    data = read_builtin(f"{_CATALOGUES}{lang}.json")
    fallback = _catalogue(SOURCE_LANGUAGE) if lang != SOURCE_LANGUAGE else None
    return load_catalogue(_structure(), data, fallback=fallback)


@cache
def _directory() -> tuple[HelpService, ...]:
    return load_directory(read_builtin(_DIRECTORY))


@cache
def builtin_languages() -> tuple[str, ...]:
    """Tags of the languages that this build has, English first, then by name."""
    names = [name for name in builtin_files() if name.startswith(_CATALOGUES)]
    tags = sorted(name.removeprefix(_CATALOGUES).removesuffix(".json") for name in names)
    return tuple(sorted(tags, key=lambda tag: tag != SOURCE_LANGUAGE))


def best_language(wanted: Sequence[str], there: Sequence[str]) -> str | None:
    """The tag of ``there`` that fits the reader's tags best, or ``None``.

    The reader's order decides; for each tag the exact one comes before one that shares its language.

    Example:
        >>> best_language(("pt-BR", "en"), ("en", "pt"))
        'pt'
    """
    for tag in wanted:
        exact = tag.replace("_", "-").lower()
        for candidate in there:
            if candidate.lower() == exact:
                return candidate
        for candidate in there:
            if candidate.lower().split("-")[0] == exact.split("-")[0]:
                return candidate
    return None


def load_builtin(languages: Sequence[str] = ()) -> BuiltinNotices:
    """Returns the built-in texts and services; never raises for data that is missing or altered.

    Each of the two stands alone: altered texts do not cost the reader the verified numbers. A language that cannot
    be read gives way to English, and that is said.

    Args:
        languages: BCP 47 tags of the reader, best first; English where none is there.
    """
    catalogue: Catalogue | None = None
    directory: tuple[HelpService, ...] = ()
    unverified = False
    tag = best_language(languages, builtin_languages()) or SOURCE_LANGUAGE
    for candidate in dict.fromkeys((tag, SOURCE_LANGUAGE)):
        try:
            catalogue = _catalogue(candidate)
            break
        except _UNREADABLE:
            unverified = True
    try:
        directory = _directory()
    except _UNREADABLE:
        unverified = True
    return BuiltinNotices(catalogue, directory, (CATALOGUE_UNVERIFIED,) if unverified else ())
