"""From a decision to the words for it: the catalogue, the help directory, and what selects from both."""

from safelight.notices.builtin import BuiltinNotices, load_builtin
from safelight.notices.catalogue import Catalogue, CatalogueError, load_catalogue
from safelight.notices.directory import DirectoryError, find_help, load_directory
from safelight.notices.select import CATALOGUE_UNVERIFIED, last_resort, select_notice, trigger_for

__all__ = [
    "CATALOGUE_UNVERIFIED",
    "BuiltinNotices",
    "Catalogue",
    "CatalogueError",
    "DirectoryError",
    "find_help",
    "last_resort",
    "load_builtin",
    "load_catalogue",
    "load_directory",
    "select_notice",
    "trigger_for",
]
