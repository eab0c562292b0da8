"""python-tuf's formats and signatures, or an error that names the extra.

``tuf.api`` only: importing ``tuf.ngclient`` loads a network library, which opens a socket to try IPv6.
"""

from __future__ import annotations

from safelight.errors import MissingExtraError

try:
    from nacl.bindings import crypto_sign_open
    from nacl.exceptions import CryptoError
    from securesystemslib.exceptions import UnverifiedSignatureError
    from securesystemslib.signer import Key, Signature, Signer, SSlibKey
    from tuf.api.exceptions import LengthOrHashMismatchError, RepositoryError
    from tuf.api.metadata import Metadata, MetaFile, Root, Snapshot, TargetFile, Targets, Timestamp
except ImportError as error:
    missing = error.name or "a library"
else:
    missing = ""
if missing:
    raise MissingExtraError(f"{missing} is not installed; signed lists need it: pip install 'safelight[lists]'")


class SodiumKey(SSlibKey):
    """An Ed25519 key that libsodium verifies with: securesystemslib's own fallback is 75 times slower.

    Any other kind of key verifies nothing.
    """

    def verify_signature(self, signature: Signature, data: bytes) -> None:
        """Return for a good signature.

        Raises:
            UnverifiedSignatureError: it is not.
        """
        good = False
        if self.keytype == "ed25519" and self.scheme == "ed25519" and signature.keyid == self.keyid:
            try:
                public, signed = bytes.fromhex(self.keyval["public"]), bytes.fromhex(signature.signature)
                good = len(signed) == 64 and crypto_sign_open(signed + data, public) == data
            except (CryptoError, ValueError, TypeError, KeyError):
                good = False
        if not good:
            raise UnverifiedSignatureError(f"not signed by {self.keyid}")


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
    "SodiumKey",
    "TargetFile",
    "Targets",
    "Timestamp",
]
