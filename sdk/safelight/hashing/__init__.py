"""Fingerprints of pictures and files, to compare with lists of known material.

``pdq`` finds a picture again after resizing and recompression, ``sha256`` the very same bytes. Both take what is
already in memory: decoding is the caller's, for instance with ``safelight.media.load_image``.

A perceptual hash can be turned back into a blurred picture in part. Treat it as sensitive: values here do not
show their bits when printed or logged; ask for ``hex()``.
"""

from typing import TYPE_CHECKING, Any

from safelight.hashing._pdq import (
    MATCH_DISTANCE,
    PdqHash,
    PdqProfile,
    ProfileMismatchError,
    luma_plane,
    pdq,
    pdq_dihedral,
)
from safelight.hashing._sha256 import Sha256Hash, sha256

if TYPE_CHECKING:
    from safelight.hashing.index import HashIndex, Match, UnusableHashError

_IN_INDEX = ("HashIndex", "Match", "UnusableHashError")

__all__ = [
    "MATCH_DISTANCE",
    "HashIndex",
    "Match",
    "PdqHash",
    "PdqProfile",
    "ProfileMismatchError",
    "Sha256Hash",
    "UnusableHashError",
    "luma_plane",
    "pdq",
    "pdq_dihedral",
    "sha256",
]


def __getattr__(name: str) -> Any:
    """Import the index when it is first used: most processes only hash."""
    if name not in _IN_INDEX:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from safelight.hashing import index

    return getattr(index, name)
