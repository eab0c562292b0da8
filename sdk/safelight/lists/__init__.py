"""Signed lists of known material: made by an operator, installed on a device, asked about a picture.

    sources → build_list → publish → mirror (any way of copying) → ListStore.update → ListStore.open → KnownList

Needs the extra ``[lists]`` (python-tuf, PyNaCl). Names are loaded on first use. Nothing here knows a network.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from safelight.lists.clips import ClipComparison, ClipHash, FrameHash, compare_clips, hash_clip
    from safelight.lists.device import InstalledList, ListStore, ListUpdate
    from safelight.lists.format import HashList, ListInfo, apply_delta, make_delta, make_list, read_list, write_list
    from safelight.lists.importers import FORMATS, Source, build_list
    from safelight.lists.known import ClipMatch, HashAppeal, KnownList, ListMatch
    from safelight.lists.mirror import Mirror, open_mirror
    from safelight.lists.repository import RepositoryKeys, create_repository, publish, rotate_keys, write_files

_HOME = {
    **dict.fromkeys(("ClipComparison", "ClipHash", "FrameHash", "compare_clips", "hash_clip"), "clips"),
    **dict.fromkeys(("InstalledList", "ListStore", "ListUpdate"), "device"),
    **dict.fromkeys(
        ("HashList", "ListInfo", "apply_delta", "make_delta", "make_list", "read_list", "write_list"), "format"
    ),
    **dict.fromkeys(("FORMATS", "Source", "build_list"), "importers"),
    **dict.fromkeys(("ClipMatch", "HashAppeal", "KnownList", "ListMatch"), "known"),
    **dict.fromkeys(("Mirror", "open_mirror"), "mirror"),
    **dict.fromkeys(("RepositoryKeys", "create_repository", "publish", "rotate_keys", "write_files"), "repository"),
}

__all__ = [
    "FORMATS",
    "ClipComparison",
    "ClipHash",
    "ClipMatch",
    "FrameHash",
    "HashAppeal",
    "HashList",
    "InstalledList",
    "KnownList",
    "ListInfo",
    "ListMatch",
    "ListStore",
    "ListUpdate",
    "Mirror",
    "RepositoryKeys",
    "Source",
    "apply_delta",
    "build_list",
    "compare_clips",
    "create_repository",
    "hash_clip",
    "make_delta",
    "make_list",
    "open_mirror",
    "publish",
    "read_list",
    "rotate_keys",
    "write_files",
    "write_list",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
