"""Device keys: where the key that seals local files comes from.

A key beside the file that it seals is obfuscation: it keeps the bytes from whoever reads only the file, a
backup or a search index, and from nobody who can read the folder. A device maker gives a :class:`KeyProvider`
over a real keystore (TPM, TEE, Android Keystore, the operating system's keyring); ``doctor`` says which is in use.

Standard library only, so that every layer may ask for a key.
"""

from __future__ import annotations

import errno
import hashlib
import hmac
import os
import re
import secrets
from enum import Enum
from pathlib import Path
from typing import Final, Protocol, runtime_checkable

from safelight.errors import KeyDamagedError, KeyMissingError, KeyUnavailableError, UsageError

#: Of every device key: what libsodium's secret-key ciphers take.
KEY_BYTES: Final = 32

_MAGIC: Final = b"SLKEY1\n"
_CHECK_BYTES: Final = 16
_FILE_BYTES: Final = len(_MAGIC) + KEY_BYTES + _CHECK_BYTES
_NAME: Final = re.compile(r"[a-z][a-z0-9_-]{0,63}\Z")


class KeyProtection(str, Enum):
    """What stands between a key and somebody who can read the device's files."""

    OBFUSCATION = "obfuscation"
    """Nothing: the key is a file of the same user."""
    OPERATING_SYSTEM = "operating_system"
    """The login keyring or a service of another user: who becomes this user has it."""
    HARDWARE = "hardware"
    """A TPM, TEE or secure element: the key or the one that wraps it does not leave it."""

    def __str__(self) -> str:
        return str(self.value)


@runtime_checkable
class KeyProvider(Protocol):
    """Gives device keys by name. May be called from several threads and processes.

    ``get`` and ``create`` are apart on purpose: a reader that finds sealed data and no key must say so, and
    must not quietly make a new key under which the data looks damaged.
    """

    @property
    def id(self) -> str:
        """Stable word for ``doctor``, e.g. ``file`` or ``tpm2``; no path."""
        ...

    @property
    def protection(self) -> KeyProtection:
        """What it promises."""
        ...

    def get(self, name: str) -> bytes:
        """The key of this name, 32 bytes.

        Args:
            name: ``[a-z][a-z0-9_-]*``, at most 64 characters, one per purpose, e.g. ``lists`` or ``holds``.

        Raises:
            UsageError: the name has another form.
            KeyMissingError: there is no such key.
            KeyDamagedError: there is one, and it is not what was stored.
            KeyUnavailableError: the keystore did not answer, or is locked.
        """
        ...

    def create(self, name: str) -> bytes:
        """The key of this name, made at random and stored before this returns if there was none.

        Raises as :meth:`get`, except ``KeyMissingError``.
        """
        ...

    def delete(self, name: str) -> None:
        """Forget the key of this name: what it sealed can never be read again. No key is no error.

        Raises:
            UsageError: the name has another form.
            KeyUnavailableError: it could not be deleted.
        """
        ...


class FileKeyProvider:
    """Keys as files that only this user can read: **obfuscation**, not protection.

    Args:
        folder: where; the user's data folder when left out. Made when the first key is.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     provider = FileKeyProvider(folder)
        ...     provider.create("lists") == provider.get("lists")
        True
    """

    def __init__(self, folder: str | os.PathLike[str] | None = None) -> None:
        if folder is None:
            from platformdirs import user_data_path

            self._folder = user_data_path("safelight", appauthor=False) / "keys"
        else:
            self._folder = Path(folder)

    @property
    def id(self) -> str:
        """Always ``file``."""
        return "file"

    @property
    def protection(self) -> KeyProtection:
        """Always ``OBFUSCATION``."""
        return KeyProtection.OBFUSCATION

    def get(self, name: str) -> bytes:
        """See :meth:`KeyProvider.get`."""
        path = self._path(name)
        # Raised outside the handler, or the exception would carry the path as its context.
        failure: KeyMissingError | KeyUnavailableError | None = None
        stored = b""
        try:
            with open(path, "rb") as file:
                stored = file.read(_FILE_BYTES + 1)
        except FileNotFoundError:
            failure = KeyMissingError(
                f"key {name}: got none, expected the one that sealed this data; install or enter the data again"
            )
        except OSError as error:
            failure = _unavailable(name, "read", error)
        if failure is not None:
            raise failure
        key, check = stored[len(_MAGIC) : -_CHECK_BYTES], stored[-_CHECK_BYTES:]
        if (
            len(stored) != _FILE_BYTES
            or not stored.startswith(_MAGIC)
            or not hmac.compare_digest(check, _check(name, key))
        ):
            raise KeyDamagedError(
                f"key {name}: got a file of {len(stored)} bytes that is not a key as stored, expected {_FILE_BYTES} "
                "bytes with their check sum; restore it, or delete the key and install the data again"
            )
        return key

    def create(self, name: str) -> bytes:
        """See :meth:`KeyProvider.create`."""
        try:
            return self.get(name)
        except KeyMissingError:
            pass
        path = self._path(name)
        key = secrets.token_bytes(KEY_BYTES)
        failure: KeyUnavailableError | None = None
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            _store_new(path, _MAGIC + key + _check(name, key))
        except FileExistsError:
            pass  # another process was first, and its key is the one
        except OSError as error:
            failure = _unavailable(name, "stored", error)
        if failure is not None:
            raise failure
        return self.get(name)

    def delete(self, name: str) -> None:
        """See :meth:`KeyProvider.delete`. The medium may keep old blocks: deleting a file is not wiping it."""
        failure: KeyUnavailableError | None = None
        try:
            self._path(name).unlink(missing_ok=True)
        except OSError as error:
            failure = _unavailable(name, "deleted", error)
        if failure is not None:
            raise failure

    def __repr__(self) -> str:
        return f"<FileKeyProvider, {self.protection}>"

    def _path(self, name: str) -> Path:
        if not isinstance(name, str) or not _NAME.match(name):
            raise UsageError("name: expected a lower-case word of letters, digits, - and _; name the key's purpose")
        return self._folder / f"{name}.key"


def _check(name: str, key: bytes) -> bytes:
    """Finds damage and exchanged files; it protects nothing from an attacker, who has the key as well."""
    return hashlib.blake2b(name.encode() + b"\0" + key, digest_size=_CHECK_BYTES).digest()


def _store_new(path: Path, content: bytes) -> None:
    """Whole or not at all, and never over an existing file.

    Raises:
        FileExistsError: there is one already.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    file = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o600)
    try:
        with os.fdopen(file, "wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        try:
            os.link(temporary, path)
        except FileExistsError:
            raise
        except (OSError, NotImplementedError):
            # No hard links here (FAT, some network shares): two first calls at once may then disagree once.
            if path.exists():
                raise FileExistsError(errno.EEXIST, "exists") from None
            os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    if os.name == "posix":
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def _unavailable(name: str, done: str, error: OSError) -> KeyUnavailableError:
    word = errno.errorcode.get(error.errno or 0, "an error")
    return KeyUnavailableError(
        f"key {name}: could not be {done} ({word}), expected a folder of this user with room; check both"
    )
