"""Operator keys: who may give a device hash lists, policy or updates after installation.

Ed25519 through PyNaCl (extra ``[lists]``). A device trusts the public keys that its maker names, and no others;
whoever holds the private one can put entries on every list that these devices obey, so it belongs offline.
"""

from __future__ import annotations

import errno
import hashlib
import os
import re
import secrets
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal

import msgspec

from safelight.errors import (
    KeyDamagedError,
    KeyMissingError,
    KeyUnavailableError,
    MissingExtraError,
    UnsupportedInputError,
    UsageError,
)

_PREFIX: Final = "ed25519:"
_PUBLIC_BYTES: Final = 32
_TEXT: Final = re.compile(r"ed25519:[0-9a-f]{64}\Z")
_MAX_KEY_FILE_BYTES: Final = 4096
_MAX_PASSPHRASE_BYTES: Final = 1024

#: Public halves of the keys in ``tests/keys``, whose private halves everybody has. Refused outside test mode.
TEST_KEYS: Final = frozenset(
    {
        "ed25519:ed6ddbfd74037edc0d7a6d6f8e6ae0b83a4c952467ffd185b86a65484819eb09",
        "ed25519:4059a6388071ff08b9c4c37c20945651ed91ead93d4df8eab5682eb04d9b5a68",
    }
)

#: Argon2id: (operations, bytes of memory). ``moderate`` takes 0.7 s and 256 MiB on a laptop.
_STRENGTHS: Final = {"moderate": (3, 256 << 20), "interactive": (2, 64 << 20)}
_MAX_OPERATIONS: Final = 16
_MAX_MEMORY_BYTES: Final = 1 << 30

Strength = Literal["moderate", "interactive"]


@dataclass(frozen=True, slots=True, order=True)
class OperatorKey:
    """The public half: what a device trusts.

    Attributes:
        text: ``ed25519:`` and 64 hexadecimal digits. Public, and fit for configuration files.
    """

    text: str

    def __post_init__(self) -> None:
        if not isinstance(self.text, str) or not _TEXT.match(self.text):
            raise UsageError(
                "operator key: expected 'ed25519:' and 64 lower-case hexadecimal digits; take the line from the .pub "
                "file that 'safelight keys new' wrote"
            )

    @property
    def public_hex(self) -> str:
        """The 32 bytes as hexadecimal digits."""
        return self.text[len(_PREFIX) :]

    @property
    def key_id(self) -> str:
        """SHA-256 of the 32 bytes, as 64 hexadecimal digits: how signatures name it."""
        return hashlib.sha256(bytes.fromhex(self.public_hex)).hexdigest()

    @property
    def is_test_key(self) -> bool:
        """Whether everybody has the private half."""
        return self.text in TEST_KEYS

    @classmethod
    def parse(cls, text: str) -> OperatorKey:
        """Read a key's text, or the content of a ``.pub`` file: a comment may follow the key.

        Raises:
            UsageError: it is no operator key.
        """
        if not isinstance(text, str):
            raise UnsupportedInputError(f"operator key: got {type(text).__name__}, expected str; decode it first")
        words = text.split(maxsplit=1)
        return cls(words[0] if words else "")

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True, slots=True)
class OperatorSecret:
    """The private half. Does not show itself when printed.

    Make one with :meth:`new` or :meth:`load`.
    """

    public: OperatorKey
    _seed: bytes = field(repr=False)

    @classmethod
    def new(cls) -> OperatorSecret:
        """A fresh key from the operating system's randomness.

        Raises:
            MissingExtraError: PyNaCl is not installed.
        """
        return cls._of_seed(secrets.token_bytes(_PUBLIC_BYTES))

    @classmethod
    def _of_seed(cls, seed: bytes) -> OperatorSecret:
        public = _nacl().signing.SigningKey(seed).verify_key.encode().hex()
        return cls(OperatorKey(_PREFIX + public), seed)

    def sign(self, message: bytes) -> bytes:
        """The Ed25519 signature of ``message``, 64 bytes."""
        signature: bytes = _nacl().signing.SigningKey(self._seed).sign(message).signature
        return signature

    def save(
        self, path: str | os.PathLike[str], *, passphrase: str | None = None, strength: Strength = "moderate"
    ) -> None:
        """Write the key to a new file that only this user can read.

        Args:
            path: of a file that does not exist yet.
            passphrase: seals the key (Argon2id, then a secret box). Without one, who reads the file has the key.
            strength: of the derivation.

        Raises:
            UsageError: there is such a file already, or the passphrase is empty or longer than 1,024 bytes.
            KeyUnavailableError: it cannot be written.
        """
        stored = _Stored(public=self.public.text)
        if passphrase is None:
            stored = msgspec.structs.replace(stored, seed=self._seed)
        else:
            nacl = _nacl()
            operations, memory = _STRENGTHS[strength]
            salt = secrets.token_bytes(nacl.pwhash.argon2id.SALTBYTES)
            key = _derive(passphrase, salt, operations, memory)
            box = bytes(nacl.secret.SecretBox(key).encrypt(self._seed))
            stored = msgspec.structs.replace(
                stored, sealed=_Sealed(salt=salt, operations=operations, memory_bytes=memory, box=box)
            )
        content = msgspec.json.format(msgspec.json.encode(stored)) + b"\n"
        failure: UsageError | KeyUnavailableError | None = None
        try:
            write_new_file(Path(path), content, mode=0o600)
        except FileExistsError:
            failure = UsageError("key file: got a name that exists, expected a new one; keys are never overwritten")
        except OSError as error:
            failure = _unavailable(error)
        if failure is not None:
            raise failure

    @classmethod
    def load(cls, path: str | os.PathLike[str], *, passphrase: str | None = None) -> OperatorSecret:
        """Read a key that :meth:`save` wrote.

        Raises:
            KeyMissingError: no such file.
            KeyDamagedError: it is no key file, or its halves do not belong together.
            UsageError: it is sealed and no passphrase was given, or it is the wrong one.
        """
        failure: KeyUnavailableError | None = None
        content = b""
        try:
            with open(path, "rb") as file:
                content = file.read(_MAX_KEY_FILE_BYTES + 1)
        except FileNotFoundError:
            failure = KeyMissingError("key file: got none, expected the one 'safelight keys new' wrote; check the name")
        except OSError as error:
            failure = _unavailable(error)
        if failure is not None:
            raise failure
        return cls._of_file(content, passphrase)

    @classmethod
    def _of_file(cls, content: bytes, passphrase: str | None) -> OperatorSecret:
        try:
            stored = msgspec.json.decode(content, type=_Stored)
            public = OperatorKey(stored.public)
        except (msgspec.DecodeError, UnicodeDecodeError, UsageError):
            stored, public = None, None
        if (
            stored is None
            or public is None
            or stored.safelight_key != 1
            or (stored.seed is None) == (stored.sealed is None)
        ):
            raise KeyDamagedError(
                f"key file: got {len(content)} bytes that are not a key file of version 1; restore it from its backup"
            )
        seed = stored.seed
        if stored.sealed is not None:
            if passphrase is None:
                raise UsageError("key file: it is sealed with a passphrase, expected one; give it")
            seed = _unseal(stored.sealed, passphrase)
        if seed is None or len(seed) != _PUBLIC_BYTES or (secret := cls._of_seed(seed)).public != public:
            raise KeyDamagedError("key file: its two halves do not belong together; restore it from its backup")
        return secret


class _Sealed(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    salt: bytes
    operations: int
    memory_bytes: int
    box: bytes
    derivation: Literal["argon2id13"] = "argon2id13"


class _Stored(msgspec.Struct, forbid_unknown_fields=True, frozen=True, omit_defaults=True):
    public: str
    safelight_key: int = 1
    seed: bytes | None = None
    sealed: _Sealed | None = None


def trusted_keys(keys: Iterable[OperatorKey | str], *, test_mode: bool = False) -> frozenset[OperatorKey]:
    """The keys that a device trusts, checked.

    Args:
        keys: each an :class:`OperatorKey` or its text.
        test_mode: accept keys whose private half everybody has.

    Raises:
        UsageError: there is none, one is no key, or one is a test key outside test mode.
    """
    if isinstance(keys, (str, OperatorKey)):
        raise UsageError("trust: got a single key, expected several in a list; write [key]")
    found = frozenset(key if isinstance(key, OperatorKey) else OperatorKey.parse(key) for key in keys)
    if not found:
        raise UsageError("trust: got no key, expected the operator's public key; without one no list can be trusted")
    if not test_mode and any(key.is_test_key for key in found):
        raise UsageError(
            "trust: got a test key, whose private half is public, outside test mode; make your own with "
            "'safelight keys new', or give the guard a test_mode"
        )
    return found


def write_new_file(path: Path, content: bytes, *, mode: int = 0o644) -> None:
    """Write a file that must not exist yet, whole and synchronised, or not at all.

    Raises:
        FileExistsError: there is one.
        OSError: it cannot be written; nothing is left of it.
    """
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), mode)
    try:
        with os.fdopen(file, "wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
    except BaseException:
        path.unlink(missing_ok=True)
        raise


def _derive(passphrase: str, salt: bytes, operations: int, memory_bytes: int) -> bytes:
    if not isinstance(passphrase, str) or not 1 <= len(passphrase.encode()) <= _MAX_PASSPHRASE_BYTES:
        raise UsageError(f"passphrase: expected 1 to {_MAX_PASSPHRASE_BYTES} bytes of text; choose several words")
    nacl = _nacl()
    key: bytes = nacl.pwhash.argon2id.kdf(
        nacl.secret.SecretBox.KEY_SIZE, passphrase.encode(), salt, opslimit=operations, memlimit=memory_bytes
    )
    return key


def _unseal(sealed: _Sealed, passphrase: str) -> bytes:
    nacl = _nacl()
    # Bounded before it is obeyed: a changed file must not ask for all memory.
    if (
        not 1 <= sealed.operations <= _MAX_OPERATIONS
        or not nacl.pwhash.argon2id.MEMLIMIT_MIN <= sealed.memory_bytes <= _MAX_MEMORY_BYTES
        or len(sealed.salt) != nacl.pwhash.argon2id.SALTBYTES
    ):
        raise KeyDamagedError("key file: its derivation is out of range; restore it from its backup")
    key = _derive(passphrase, sealed.salt, sealed.operations, sealed.memory_bytes)
    try:
        seed: bytes = nacl.secret.SecretBox(key).decrypt(sealed.box)
    except (nacl.exceptions.CryptoError, ValueError, TypeError):
        seed = b""
    if not seed:
        raise UsageError("passphrase: it does not open this key file; give the right one, or restore the file")
    return seed


def _unavailable(error: OSError) -> KeyUnavailableError:
    word = errno.errorcode.get(error.errno or 0, "an error")
    return KeyUnavailableError(f"key file: cannot be used ({word}), expected a file of this user; check the folder")


def _nacl() -> Any:
    try:
        import nacl.exceptions
        import nacl.pwhash
        import nacl.secret
        import nacl.signing
    except ImportError:
        pass
    else:
        return nacl
    raise MissingExtraError("PyNaCl is not installed; operator keys need it: pip install 'safelight[lists]'")
