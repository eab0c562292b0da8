"""python-tuf's formats and signatures, or an error that names the extra.

``tuf.api`` only: importing ``tuf.ngclient`` loads a network library, which opens a socket to try IPv6.
"""

from __future__ import annotations

from safelight.errors import MissingExtraError

try:
    from securesystemslib.signer import Key, Signature, Signer, SSlibKey
    from tuf.api.exceptions import LengthOrHashMismatchError, RepositoryError
    from tuf.api.metadata import Metadata, MetaFile, Root, Snapshot, TargetFile, Targets, Timestamp
except ImportError as error:
    missing = error.name or "a library"
else:
    missing = ""
if missing:
    raise MissingExtraError(f"{missing} is not installed; signed lists need it: pip install 'safelight[lists]'")

__all__ = [
    "Key",
    "LengthOrHashMismatchError",
    "MetaFile",
    "Metadata",
    "RepositoryError",
    "Root",
    "SSlibKey",
    "Signature",
    "Signer",
    "Snapshot",
    "TargetFile",
    "Targets",
    "Timestamp",
]
