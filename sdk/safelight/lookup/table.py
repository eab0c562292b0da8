"""A list of words or of hosts as keyed hashes, and how it is trusted.

    list      "SLLOOK1\\n"  length of header (uint32)  header (JSON)  hashes (uint64, ascending, each once)
    signed    list  "SLSIGN1\\n"  public key (32 bytes)  Ed25519 signature (64 bytes)

All numbers are little-endian. A hash is the first 8 bytes of keyed BLAKE2b. The key stands in the header: it keeps
words out of sight and hashes of different lists apart, and it is no secret; whoever has a word can find out whether
it is on a list. What ships is checked against the digest compiled into this build; anything else must be signed by
an operator whom this device trusts.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cache
from typing import Annotated, Any, Final, Literal

import msgspec
import numpy as np
import numpy.typing as npt

from safelight.builtin_data import read_builtin
from safelight.errors import ListDamagedError, ListRollbackError, ListUntrustedError, UsageError
from safelight.signing import OperatorKey, OperatorSecret, _nacl, trusted_keys

MAGIC: Final = b"SLLOOK1\n"
SIGNED_MAGIC: Final = b"SLSIGN1\n"
SIGNED_TAIL_BYTES: Final = len(SIGNED_MAGIC) + 32 + 64
MAX_ENTRIES: Final = 2_000_000
MAX_HEADER_BYTES: Final = 64 << 10
KEY_BYTES: Final = 16
HASH_BYTES: Final = 8
BUILTIN_WORDS: Final = "policy/query_words.list"

Kind = Literal["words", "hosts"]
Hashes = npt.NDArray[np.uint64]

_PERSON = {"words": b"safelight/words", "hosts": b"safelight/hosts"}
# What is signed is this and the list: a signature for one purpose is none for another.
_SIGNED_PREFIX: Final = b"safelight lookup list 1\0"


class Source(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """Where entries come from: a public name, and the licence that asks to be named."""

    name: str
    licence: str


class Header(msgspec.Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """What a list says of itself.

    Attributes:
        list_id: names the list in a finding.
        version: higher is newer; a device refuses to go back.
        kind: ``words`` or ``hosts``.
        key: of the hashes, 32 hexadecimal digits.
        longest: words in the longest entry (``words``).
        languages: BCP 47 tags of the entries (``words``).
    """

    list_id: Annotated[str, msgspec.Meta(pattern=r"^[a-z0-9][a-z0-9_-]{0,63}$")]
    version: Annotated[int, msgspec.Meta(ge=1)]
    kind: Kind
    key: Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{32}$")]
    count: Annotated[int, msgspec.Meta(ge=0, le=MAX_ENTRIES)]
    longest: Annotated[int, msgspec.Meta(ge=1, le=8)] = 1
    languages: tuple[str, ...] = ()
    sources: tuple[Source, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class LookupList:
    """A list that was checked.

    Attributes:
        header: what it says of itself.
    """

    header: Header
    _hashes: Hashes = field(repr=False)

    @property
    def id(self) -> str:
        """``<list>_v<version>``, as a finding names it."""
        return f"{self.header.list_id}_v{self.header.version}"

    def contains_any(self, entries: Iterable[str]) -> bool:
        """Whether any of these normalised words or hosts is on the list."""
        key = bytes.fromhex(self.header.key)
        wanted = np.array([entry_hash(entry, key=key, kind=self.header.kind) for entry in entries], dtype=np.uint64)
        if not len(wanted) or not len(self._hashes):
            return False
        places = np.searchsorted(self._hashes, wanted)
        return bool(np.any(self._hashes[np.minimum(places, len(self._hashes) - 1)] == wanted))

    def __len__(self) -> int:
        return len(self._hashes)


def entry_hash(entry: str, *, key: bytes, kind: Kind) -> int:
    """The keyed hash of one normalised entry, as a number."""
    digest = hashlib.blake2b(entry.encode("utf-8"), digest_size=HASH_BYTES, key=key, person=_PERSON[kind]).digest()
    return int.from_bytes(digest, "little")


def build_list(
    entries: Iterable[str],
    *,
    list_id: str,
    version: int,
    kind: Kind,
    key: bytes,
    languages: Iterable[str] = (),
    sources: Iterable[tuple[str, str]] = (),
) -> bytes:
    """Make a list. The same arguments give the same bytes.

    Args:
        entries: normalised: :func:`~safelight.lookup.words.normal_words` or a host in ASCII.
        list_id: of the list, ``a-z0-9_-``.
        version: higher than the one before.
        kind: ``words`` or ``hosts``.
        key: 16 bytes.
        languages: BCP 47 tags of the entries.
        sources: ``(public name, licence)`` of each source.

    Raises:
        UsageError: a key of another length, too many entries, an empty or too long entry, or a header that does not
            fit its schema.
    """
    if len(key) != KEY_BYTES:
        raise UsageError(f"key: got {len(key)} bytes, expected {KEY_BYTES}.")
    texts = sorted(set(entries))
    longest = max((text.count(" ") + 1 for text in texts), default=1) if kind == "words" else 1
    if "" in texts or longest > 8 or len(texts) > MAX_ENTRIES:
        raise UsageError(
            f"entries: got {len(texts)}, the longest of {longest} words; expected at most {MAX_ENTRIES}, each of 1 to "
            "8 words."
        )
    hashes = np.unique(np.array([entry_hash(text, key=key, kind=kind) for text in texts], dtype=np.uint64))
    header = Header(
        list_id=list_id,
        version=version,
        kind=kind,
        key=key.hex(),
        count=len(hashes),
        longest=longest,
        languages=tuple(languages),
        sources=tuple(Source(name, licence) for name, licence in sources),
    )
    data = _write(header, hashes)
    try:
        read_unsigned(data)
    except ListDamagedError:
        raise UsageError("header: list_id or version is out of its range; see safelight.lookup.table.Header.") from None
    return data


def _write(header: Header, hashes: Hashes) -> bytes:
    encoded = msgspec.json.encode(header)
    return MAGIC + struct.pack("<I", len(encoded)) + encoded + hashes.astype("<u8").tobytes()


def read_unsigned(data: bytes) -> LookupList:
    """Read a list whose bytes were already checked some other way (by digest, or after :func:`read_signed`).

    Raises:
        ListDamagedError: cut short, out of order, or no list of this version.
    """
    start = len(MAGIC) + 4
    if not data.startswith(MAGIC) or len(data) < start:
        raise _damaged(len(data))
    (header_bytes,) = struct.unpack_from("<I", data, len(MAGIC))
    if header_bytes > min(MAX_HEADER_BYTES, len(data) - start):
        raise _damaged(len(data))
    try:
        header = msgspec.json.decode(data[start : start + header_bytes], type=Header)
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise _damaged(len(data)) from None
    body = data[start + header_bytes :]
    if len(body) != header.count * HASH_BYTES:
        raise _damaged(len(data))
    hashes = np.frombuffer(body, dtype="<u8").astype(np.uint64)
    if np.any(hashes[1:] <= hashes[:-1]):
        raise _damaged(len(data))
    hashes.setflags(write=False)
    return LookupList(header, hashes)


def sign_list(data: bytes, secret: OperatorSecret) -> bytes:
    """Sign a list with an operator's key.

    Raises:
        ListDamagedError: it is no list.
        MissingExtraError: PyNaCl is not installed (extra ``[lists]``).
    """
    read_unsigned(data)
    public = bytes.fromhex(secret.public.public_hex)
    return data + SIGNED_MAGIC + public + secret.sign(_SIGNED_PREFIX + data)


def read_signed(
    data: bytes, *, trust: Iterable[OperatorKey | str], min_version: int = 1, test_mode: bool = False
) -> LookupList:
    """Read a list that came after installation.

    Args:
        data: from :func:`sign_list`.
        trust: operators whom this device trusts.
        min_version: the newest version that this device has seen; an older one is refused.
        test_mode: accept keys whose private half everybody has.

    Raises:
        ListDamagedError: cut short or no signed list.
        ListUntrustedError: nobody whom this device trusts signed exactly these bytes.
        ListRollbackError: older than ``min_version``.
        UsageError: ``trust`` is empty or has a test key outside test mode.
        MissingExtraError: PyNaCl is not installed (extra ``[lists]``).
    """
    keys = {bytes.fromhex(key.public_hex) for key in trusted_keys(trust, test_mode=test_mode)}
    inner, tail = data[:-SIGNED_TAIL_BYTES], data[-SIGNED_TAIL_BYTES:]
    if len(tail) < SIGNED_TAIL_BYTES or not tail.startswith(SIGNED_MAGIC):
        raise _damaged(len(data))
    public, signature = tail[len(SIGNED_MAGIC) : -64], tail[-64:]
    if public not in keys or not _verifies(public, signature, _SIGNED_PREFIX + inner):
        raise ListUntrustedError(
            f"lookup list: got {len(data)} bytes that no trusted operator signed; get the list again from its "
            "operator, or give that operator's public key as trust."
        )
    found = read_unsigned(inner)
    if found.header.version < min_version:
        raise ListRollbackError(
            f"lookup list: got version {found.header.version}, this device has seen {min_version}; get the newest one."
        )
    return found


def _verifies(public: bytes, signature: bytes, message: bytes) -> bool:
    nacl: Any = _nacl()
    try:
        nacl.signing.VerifyKey(public).verify(message, signature)
    except (nacl.exceptions.BadSignatureError, nacl.exceptions.CryptoError):
        return False
    return True


@cache
def builtin_words() -> LookupList:
    """The list of words that ships.

    Raises:
        DataError: missing, or not the one that was built.
        ListDamagedError: no list of this version.
    """
    return read_unsigned(read_builtin(BUILTIN_WORDS))


def _damaged(size: int) -> ListDamagedError:
    return ListDamagedError(
        f"lookup list: got {size} bytes that are no whole list of version 1; get it again from where it came from."
    )
