"""The only way to read the data that ships with Safelight: models, words, help directory, rules.

Trust: the build hashes every built-in file and compiles the digests into the native module. A file is read
once, compared, and the compared bytes are the ones used, so nothing can be swapped in between. Whoever can
write the whole installation, native module included, wins: the threat model says so.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from safelight import _native
from safelight.errors import DataMissingError, DataTamperedError, UsageError

_PACKAGE = Path(__file__).resolve().parent


@dataclass(frozen=True, slots=True)
class BuiltinFile:
    """A file that ships with Safelight and the digest that it had when this build was made."""

    name: str
    sha256: str
    size_bytes: int


@lru_cache(maxsize=1)
def builtin_files() -> dict[str, BuiltinFile]:
    """Every built-in data file by name, e.g. ``models/open_nsfw_v1/config.json``."""
    return {name: BuiltinFile(name, sha256, size) for name, sha256, size in _native.builtin_files()}


def builtin_path(name: str) -> Path:
    """Where a built-in file lives. For messages of ``doctor`` only: read through :func:`read_builtin`."""
    base = _PACKAGE if name.startswith("policy/") else _PACKAGE / "_data"
    return base / name


def read_builtin(name: str) -> bytes:
    """Read a built-in file and check it against the digest compiled into the native module.

    Args:
        name: as listed by :func:`builtin_files`.

    Returns:
        The bytes that were checked.

    Raises:
        UsageError: no such built-in file in this build.
        DataMissingError: the file cannot be read.
        DataTamperedError: its bytes are not those that were built.
    """
    expected = builtin_files().get(name)
    if expected is None:
        raise UsageError(
            f"got built-in data {name!r}, which this build does not have; "
            f"it has {len(builtin_files())} files: see safelight.builtin_data.builtin_files()."
        )
    try:
        data = builtin_path(name).read_bytes()
    except OSError as error:
        raise DataMissingError(
            f"built-in data {name} cannot be read (error {error.errno}); reinstall safelight."
        ) from None
    if hashlib.sha256(data).hexdigest() != expected.sha256:
        raise DataTamperedError(
            f"built-in data {name} has {len(data)} bytes and another digest than this build "
            f"(expected {expected.size_bytes} bytes, sha256 {expected.sha256[:12]}…); "
            "reinstall safelight, or rebuild after editing data."
        )
    return data
