"""From a decision to the words for it: the catalogue, the help directory, and what selects from both."""

from safelight.notices.builtin import BuiltinNotices, builtin_languages, load_builtin
from safelight.notices.catalogue import Catalogue, CatalogueError, Structure, load_catalogue, load_structure
from safelight.notices.directory import DirectoryError, find_help, load_directory
from safelight.notices.select import (
    CATALOGUE_UNVERIFIED,
    History,
    last_resort,
    select_asked,
    select_notice,
    trigger_for,
)

__all__ = [
    "CATALOGUE_UNVERIFIED",
    "BuiltinNotices",
    "Catalogue",
    "CatalogueError",
    "DirectoryError",
    "History",
    "Structure",
    "builtin_languages",
    "find_help",
    "last_resort",
    "load_builtin",
    "load_catalogue",
    "load_directory",
    "load_structure",
    "select_asked",
    "select_notice",
    "trigger_for",
]
