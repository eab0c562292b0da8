"""What an adapter takes: hashes, and nothing that could be a picture."""

from __future__ import annotations

from collections.abc import Iterable

from safelight.errors import UnsupportedInputError, UsageError
from safelight.hashing import PdqHash, PdqProfile, Sha256Hash

AnyHash = PdqHash | Sha256Hash


def checked_pdq(hashes: Iterable[PdqHash]) -> list[PdqHash]:
    """``hashes`` without repeats, in order.

    Raises:
        UnsupportedInputError: something else than PDQ hashes: bytes, text, pictures, arrays, paths.
        UsageError: a hash that must not be matched (low quality), or not of the profile ``full``, which is what every
            service here keeps.
    """
    return [_pdq(one) for one in checked(hashes)]


def checked(hashes: Iterable[AnyHash]) -> list[AnyHash]:
    """``hashes`` without repeats, in order; see :func:`checked_pdq`."""
    if isinstance(hashes, (PdqHash, Sha256Hash, bytes, bytearray, memoryview, str)):
        raise UnsupportedInputError(f"hashes: got {type(hashes).__name__}, expected several hashes; give a list")
    found: dict[tuple[type, bytes], AnyHash] = {}
    for number, one in enumerate(hashes, start=1):
        if not isinstance(one, (PdqHash, Sha256Hash)):
            raise UnsupportedInputError(
                f"hash {number}: got {type(one).__name__}, expected PdqHash or Sha256Hash; nothing else is sent: make "
                "hashes with safelight.hashing"
            )
        if isinstance(one, PdqHash):
            if not one.usable:
                raise UsageError(
                    f"hash {number}: got a PDQ hash in state {one.state}, expected a usable one; leave it out"
                )
            if one.profile is not PdqProfile.FULL:
                raise UsageError(
                    f"hash {number}: got profile {one.profile}, expected full, which services keep; hash again"
                )
        found.setdefault((type(one), one.bits), one)
    return list(found.values())


def _pdq(one: AnyHash) -> PdqHash:
    if not isinstance(one, PdqHash):
        raise UnsupportedInputError(f"hashes: got {type(one).__name__}, expected PdqHash; this service takes no other")
    return one
