"""The store's anchor in another user's hands: a number that only grows, kept by the service.

Whoever can put back yesterday's copy of a store cannot put back this number, as long as they are not the user that the
service runs as. See :mod:`safelight.store.anchor`.
"""

from __future__ import annotations

import os
import re
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from safelight.errors import StoreError, UsageError
from safelight.serve import _wire
from safelight.store.anchor import FileAnchor

if TYPE_CHECKING:
    from safelight.serve.client import Client

_NAME: Final = re.compile(r"[a-z0-9_-]{1,32}\Z")


class SocketAnchor:
    """An :class:`~safelight.store.anchor.Anchor` that a ``safelight serve --anchors FOLDER`` of another user keeps.

    The service keeps one number for each user and name; the kernel says which user asks. A service that does not
    answer makes the store unverified, and so the strictest settings are in force.

    Args:
        client: of the service.
        name: of the store, if this user has several: small letters, digits, ``_`` and ``-``, at most 32.
        same_user: accept a service that runs as this user, who could then change the number too: for trying out.

    Raises:
        UsageError: a name of another form.
    """

    kind = "service"

    def __init__(self, client: Client, *, name: str = "store", same_user: bool = False) -> None:
        if not _NAME.match(name):
            raise UsageError("name: expected 1 to 32 of a-z, 0-9, _ and -.")
        self._client = client
        self._name = name
        self._same_user = same_user

    def read(self) -> int:
        """The number.

        Raises:
            StoreError: ``ANCHOR_UNAVAILABLE``.
        """
        return self._value(_wire.AnchorRead(name=self._name))

    def advance(self, value: int) -> None:
        """Raise the number; never lowers it.

        Raises:
            StoreError: ``ANCHOR_UNAVAILABLE``.
        """
        if self._value(_wire.AnchorAdvance(value=value, name=self._name)) < value:
            raise _unavailable()

    def _value(self, request: _wire.AnchorRead | _wire.AnchorAdvance) -> int:
        answer: dict[str, Any] = self._client._ask_plainly(request)
        value = answer.get("value")
        if answer.get("type") != "anchor" or not isinstance(value, int) or isinstance(value, bool) or value < 0:
            raise _unavailable()
        if not self._same_user and self._client.service_uid == os.geteuid():
            raise StoreError(
                "anchor: the service runs as this user, who could change the number; run it as another user.",
                state="ANCHOR_UNAVAILABLE",
            )
        return value


class AnchorBook:
    """The service's side: one file a user and name, in a folder that belongs to the service's user alone.

    Args:
        folder: exists, or is made.
        max_names_per_user: so that nobody fills the disk with names.

    Raises:
        UsageError: the folder cannot be made or written to, or others can write to it.
    """

    def __init__(self, folder: str | os.PathLike[str], *, max_names_per_user: int = 16) -> None:
        self._folder = Path(folder)
        self._max_names = max_names_per_user
        self._lock = threading.Lock()
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            mode = self._folder.stat().st_mode
        except OSError:
            raise UsageError(
                "anchors: got a folder that cannot be made, expected one that can be written to."
            ) from None
        if mode & 0o022 or not os.access(self._folder, os.W_OK):
            raise UsageError("anchors: got a folder that others can write to, or we cannot; expected mode 0700.")

    def read(self, uid: int, name: str) -> int:
        """The number; 0 before the first :meth:`advance`.

        Raises:
            StoreError: it cannot be read.
        """
        return self._anchor(uid, name).read()

    def advance(self, uid: int, name: str, value: int) -> None:
        """Raise it; never lowers it.

        Raises:
            StoreError: it cannot be written, or this user has too many names.
        """
        with self._lock:
            anchor = self._anchor(uid, name)
            others = list(self._folder.glob(f"{uid}.*.anchor"))
            if len(others) >= self._max_names and self._path(uid, name) not in others:
                raise _unavailable()
            anchor.advance(value)

    def _path(self, uid: int, name: str) -> Path:
        return self._folder / f"{uid}.{name}.anchor"

    def _anchor(self, uid: int, name: str) -> FileAnchor:
        return FileAnchor(self._path(uid, name))


def _unavailable() -> StoreError:
    return StoreError(
        "anchor: the service that keeps the number does not answer; start it, or run without an anchor.",
        state="ANCHOR_UNAVAILABLE",
    )
