"""A number that only grows, kept where whoever can change the store cannot reach.

A folder restored from yesterday is a valid folder. Only something outside can tell, and only with an anchor is
protection against rolling back promised.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Protocol

from safelight.errors import StoreError


class Anchor(Protocol):
    """A monotonic counter outside the store: a TPM's NV counter, RPMB, another user's file through a service."""

    @property
    def kind(self) -> str:
        """One word for ``safelight doctor``, e.g. ``tpm``; ``none`` for no protection."""
        ...

    def read(self) -> int:
        """The number; 0 before the first :meth:`advance`.

        Raises:
            StoreError: it cannot be read; the store then counts as not verified.
        """
        ...

    def advance(self, value: int) -> None:
        """Raise the number to ``value``; never lowers it.

        Raises:
            StoreError: it cannot be written.
        """
        ...


class NoAnchor:
    """No anchor: a whole folder put back cannot be seen, and ``safelight doctor`` says so."""

    kind = "none"

    def read(self) -> int:
        """Always 0."""
        return 0

    def advance(self, value: int) -> None:
        """Does nothing."""


class FileAnchor:
    """A number in a file. As good as the wall around the file: it must belong to another user than the store.

    Args:
        path: of the file; its folder must exist.
    """

    kind = "file"

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._path = Path(path)

    def read(self) -> int:
        """The number; 0 when the file is not there."""
        try:
            text = self._path.read_text(encoding="ascii")
        except FileNotFoundError:
            return 0
        except (OSError, UnicodeDecodeError):
            raise _unavailable() from None
        if not text.isascii() or not text.strip().isdigit() or len(text) > _MAX_DIGITS:
            raise _unavailable()
        return int(text)

    def advance(self, value: int) -> None:
        """Raise the number; by a new file in its place, so that a kill leaves the old one or the new one."""
        if value <= self.read():
            return
        # One name for each process: two writers never share a half-written file, and the larger number stays
        # because the store's own write lock is held meanwhile.
        temporary = self._path.with_name(f"{self._path.name}.{os.getpid()}.new")
        try:
            with open(temporary, "w", encoding="ascii") as file:
                file.write(str(value))
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(self._path)
        except OSError:
            raise _unavailable() from None


_MAX_DIGITS = 20


def _unavailable() -> StoreError:
    return StoreError(
        "anchor: got a file that cannot be read or written, expected one number in it; "
        "give the store's process access to it, or run without an anchor.",
        state="ANCHOR_UNAVAILABLE",
    )
