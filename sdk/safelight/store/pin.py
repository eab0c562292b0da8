"""The guardian's PIN and the recovery code: how they are kept, and how slow guessing is made.

Only hashes are kept (Argon2id, :func:`nacl.pwhash.argon2id.kdf`), inside the sealed store. A try is written down
*before* it is looked at, so that a process killed in between has used it up. Waits are counted in time that the
device was seen to run: no clock, zone or restart shortens them.
"""

from __future__ import annotations

import secrets
from itertools import pairwise
from typing import Final

import msgspec
import nacl.bindings
import nacl.pwhash.argon2id as argon2id
import nacl.utils

from safelight.errors import PinError, UsageError

MIN_CHARACTERS: Final = 6
MAX_CHARACTERS: Final = 128

# RFC 9106, second recommended option: 3 passes over 64 MiB; it fits a small device. 0.1 to 0.6 s on
# one core (docs/performance.md).
OPSLIMIT = 3
MEMLIMIT_BYTES = 64 * 1024 * 1024

# Three slips of a finger cost nothing; then a minute, doubling to an hour. An hour and no more: a child who keeps
# guessing must not be able to lock a parent out for days, and 24 tries a day need a century for six digits.
FREE_TRIES: Final = 3
FIRST_WAIT_S: Final = 60.0
MAX_WAIT_S: Final = 3600.0

# No I, L, O, U: read aloud or copied by hand without a mistake (Crockford's base 32).
_CODE_ALPHABET: Final = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_CODE_GROUPS: Final = 5
_CODE_GROUP: Final = 4

_HASH_BYTES: Final = 32


class SlowHash(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """A salted Argon2id hash with the cost that it was made at."""

    salt: bytes
    digest: bytes
    opslimit: int
    memlimit_bytes: int


class PinRecord(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """What is kept of a PIN.

    Attributes:
        tries: tries since the last right one, the one under way included.
        next_try_s: elapsed time (see :mod:`safelight.store.clock`) before which no try counts.
    """

    pin: SlowHash
    recovery: SlowHash
    tries: int = 0
    next_try_s: float = 0.0


def hash_secret(text: str) -> SlowHash:
    """Hash a PIN or code with a fresh salt, at the cost above."""
    return _hash(text, nacl.utils.random(argon2id.SALTBYTES), OPSLIMIT, MEMLIMIT_BYTES)


def matches(text: str, kept: SlowHash) -> bool:
    """Whether it is the one; takes as long either way.

    Raises:
        PinError: this device has no memory left for it.
    """
    digest = _hash(text, kept.salt, kept.opslimit, kept.memlimit_bytes).digest
    return nacl.bindings.sodium_memcmp(digest, kept.digest)


def derive_key(text: str, salt: bytes) -> bytes:
    """A 32-byte key from a code, at the same cost."""
    return _hash(text, salt, OPSLIMIT, MEMLIMIT_BYTES).digest


def check_new_pin(pin: str) -> str:
    """A PIN that may be set.

    Raises:
        UsageError: too short, too long, or among the first that anybody would try. The message does not repeat it.
    """
    if not isinstance(pin, str) or not MIN_CHARACTERS <= len(pin) <= MAX_CHARACTERS:
        raise UsageError(f"PIN: expected {MIN_CHARACTERS} to {MAX_CHARACTERS} characters; choose a longer one.")
    if len(set(pin)) < 3 or _is_run(pin):
        raise UsageError(
            "PIN: got one that is among the first to be guessed, such as 111111 or 123456; choose another."
        )
    return pin


def new_code() -> str:
    """A code of 100 random bits in groups, e.g. ``7K3Q-…``: long enough that guessing needs no slowing down."""
    return "-".join("".join(secrets.choice(_CODE_ALPHABET) for _ in range(_CODE_GROUP)) for _ in range(_CODE_GROUPS))


def normal_code(code: str) -> str:
    """A code as it was made, whatever the reader made of it: lower case, spaces, O for 0, I or L for 1."""
    text = "".join(character for character in str(code).upper() if character.isalnum())
    text = text.replace("O", "0").replace("I", "1").replace("L", "1")
    return "-".join(text[start : start + _CODE_GROUP] for start in range(0, len(text), _CODE_GROUP))


def try_begins(record: PinRecord, *, elapsed_s: float) -> PinRecord:
    """The record with one more try written down.

    Raises:
        PinError: it is too early; nothing is written down.
    """
    wait_s = record.next_try_s - elapsed_s
    if wait_s > 0:
        raise PinError(
            f"PIN: got too many wrong ones, expected a pause of {wait_text(wait_s)} with the device running; "
            "try again then, or use the recovery code.",
            wait_s=wait_s,
        )
    tries = record.tries + 1
    over = tries - FREE_TRIES
    next_try_s = elapsed_s + min(MAX_WAIT_S, FIRST_WAIT_S * 2.0 ** min(over, 30)) if over >= 0 else 0.0
    return msgspec.structs.replace(record, tries=tries, next_try_s=next_try_s)


def wait_text(wait_s: float) -> str:
    """A wait in words, rounded up."""
    if wait_s <= 90:
        return f"{max(1, round(wait_s + 0.499))} seconds"
    if wait_s <= 5400:
        return f"{round(wait_s / 60 + 0.499)} minutes"
    return f"{round(wait_s / 3600 + 0.499)} hours"


def _is_run(pin: str) -> bool:
    steps = {ord(after) - ord(before) for before, after in pairwise(pin)}
    return steps in ({1}, {-1})


def _hash(text: str, salt: bytes, opslimit: int, memlimit_bytes: int) -> SlowHash:
    failed = False
    digest = b""
    try:
        digest = argon2id.kdf(_HASH_BYTES, text.encode("utf-8"), salt, opslimit=opslimit, memlimit=memlimit_bytes)
    except (RuntimeError, MemoryError):
        failed = True
    except UnicodeEncodeError:
        # A lone surrogate is nobody's PIN; hashed as what it is not, it matches nothing.
        digest = nacl.utils.random(_HASH_BYTES)
    if failed:
        raise PinError("PIN: could not be checked for want of memory; close something and try again.")
    return SlowHash(salt, digest, opslimit, memlimit_bytes)
