"""Where an update comes from: a copy of an operator's repository, as a folder, a ZIP in memory, or files in memory.

Fetching it is somebody else's: nothing here knows a network. A mirror is not trusted: every byte of it is checked
against what was signed, and it is asked for names that we form ourselves.
"""

from __future__ import annotations

import io
import os
import stat
import zipfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Protocol, TypeAlias, Union

from safelight.errors import ListDamagedError, ListMissingError, UnsupportedInputError


class Mirror(Protocol):
    """A copy of a repository."""

    def read(self, name: str, max_bytes: int) -> bytes | None:
        """The file of this name, e.g. ``metadata/timestamp.json``; ``None`` when there is none.

        Raises:
            ListDamagedError: it is longer than ``max_bytes``, or cannot be read.
        """
        ...


MirrorSource: TypeAlias = Union[str, "os.PathLike[str]", bytes, Mapping[str, bytes], Mirror]


def open_mirror(source: MirrorSource) -> Mirror:
    """A mirror over a folder's path, the bytes of a ZIP, a mapping of names to bytes, or what already is one.

    Raises:
        ListMissingError: there is no such folder.
        ListDamagedError: the bytes are no ZIP.
        UnsupportedInputError: another type.
    """
    if isinstance(source, (str, os.PathLike)):
        return _Folder(Path(source))
    if isinstance(source, bytes):
        return _Zip(source)
    if isinstance(source, Mapping):
        return _Files(source)
    if callable(getattr(source, "read", None)) and not hasattr(source, "seek"):
        return source
    raise UnsupportedInputError(
        f"mirror: got {type(source).__name__}, expected a folder, the bytes of a ZIP, or a mapping of names to bytes"
    )


class _Files:
    def __init__(self, files: Mapping[str, bytes]) -> None:
        self._files = files

    def read(self, name: str, max_bytes: int) -> bytes | None:
        data = self._files.get(name)
        if data is not None and len(data) > max_bytes:
            raise _too_long(max_bytes)
        return data


class _Folder:
    def __init__(self, folder: Path) -> None:
        if not folder.is_dir():
            raise ListMissingError("mirror: got a path that is no folder, expected one with metadata/ in it; check it")
        self._folder = folder

    def read(self, name: str, max_bytes: int) -> bytes | None:
        failed = False
        data = b""
        try:
            # Without O_NONBLOCK, opening a named pipe waits for a writer for ever.
            flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0)
            file = os.open(self._folder / name, flags | getattr(os, "O_BINARY", 0))
            with os.fdopen(file, "rb") as stream:
                if not stat.S_ISREG(os.fstat(stream.fileno()).st_mode):
                    failed = True
                else:
                    data = stream.read(max_bytes + 1)
        except FileNotFoundError:
            return None
        except OSError:
            failed = True
        if failed:
            raise ListDamagedError("mirror: a file in it cannot be read, expected regular files; copy it again")
        if len(data) > max_bytes:
            raise _too_long(max_bytes)
        return data


class _Zip:
    def __init__(self, data: bytes) -> None:
        archive: zipfile.ZipFile | None = None
        with suppress(zipfile.BadZipFile, ValueError, OSError, EOFError, NotImplementedError):
            archive = zipfile.ZipFile(io.BytesIO(data))
        if archive is None:
            raise ListDamagedError(f"mirror: got {len(data)} bytes that are no ZIP, expected a repository in one")
        self._archive = archive

    def read(self, name: str, max_bytes: int) -> bytes | None:
        data: bytes | None = None
        try:
            with self._archive.open(name) as stream:
                data = stream.read(max_bytes + 1)  # inflates no more than that, whatever the file claims
        except KeyError:
            return None
        except Exception:  # noqa: BLE001 - a hostile ZIP meets zlib, bz2 and lzma: all they raise is damage
            data = None
        if data is None:
            raise ListDamagedError("mirror: a file in the ZIP cannot be read; get it again")
        if len(data) > max_bytes:
            raise _too_long(max_bytes)
        return data


def _too_long(max_bytes: int) -> ListDamagedError:
    return ListDamagedError(f"mirror: a file is longer than the {max_bytes} bytes it may have; get the mirror again")
