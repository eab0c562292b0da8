"""Fingerprints of pictures and files, to compare with lists of known material.

``pdq`` finds a picture again after resizing and recompression, ``sha256`` the very same bytes. Both take what is
already in memory: decoding is the caller's, for instance with ``safelight.media.load_image``.

A perceptual hash can be turned back into a blurred picture in part. Treat it as sensitive: values here do not
show their bits when printed or logged; ask for ``hex()``.
"""

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

__all__ = [
    "MATCH_DISTANCE",
    "PdqHash",
    "PdqProfile",
    "ProfileMismatchError",
    "Sha256Hash",
    "luma_plane",
    "pdq",
    "pdq_dihedral",
    "sha256",
]
