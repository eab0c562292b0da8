"""The media files of a folder, found by their content and never through links."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass

from safelight.errors import MediaNotFoundError
from safelight.media import is_media

_HEAD_BYTES = 4096


@dataclass(frozen=True, slots=True)
class Found:
    """A media file as it was when it was found.

    Attributes:
        name: below the folder, with ``/``. Not text: names on a disk are bytes, kept by ``surrogateescape``.
        size_bytes: of the file.
        mtime_ns: when it was last written to.
        ctime_ns: when its contents or its entry last changed; cannot be set back by an ordinary program.
    """

    name: str
    size_bytes: int
    mtime_ns: int
    ctime_ns: int


class Walk:
    """Goes through a folder once, in order of names, so that a scan that is repeated meets the same files.

    Links are not followed and other file systems' special files are not opened: a folder must not lead out of itself.

    Args:
        root: the folder.

    Attributes:
        other: files that hold no media, seen so far.
        unreadable: files and folders that could not be opened or read, seen so far.

    Raises:
        MediaNotFoundError: ``root`` is no folder that can be read.
    """

    def __init__(self, root: str | os.PathLike[str]) -> None:
        self.root = os.fspath(root)
        self.other = 0
        self.unreadable = 0
        if not os.path.isdir(self.root) or not os.access(self.root, os.R_OK | os.X_OK):
            raise MediaNotFoundError("root: got something that is no folder that can be read; check the path.")

    def __iter__(self) -> Iterator[Found]:
        # A stack of names instead of recursion: folders may be nested deeper than Python calls.
        waiting = [""]
        while waiting:
            below = waiting.pop()
            entries = self._entries(below)
            for entry in entries:
                name = f"{below}/{entry.name}" if below else entry.name
                found = self._file(entry, name)
                if found is not None:
                    yield found
            waiting += [f"{below}/{e.name}" if below else e.name for e in reversed(entries) if _is_folder(e)]

    def _entries(self, below: str) -> list[os.DirEntry[str]]:
        try:
            with os.scandir(os.path.join(self.root, below)) as entries:
                return sorted(entries, key=lambda entry: os.fsencode(entry.name))
        except OSError:
            self.unreadable += 1
            return []

    def _file(self, entry: os.DirEntry[str], name: str) -> Found | None:
        try:
            status = entry.stat(follow_symlinks=False)
            if not stat.S_ISREG(status.st_mode):
                return None
            # O_NOFOLLOW: a link may have taken the file's place since.
            descriptor = os.open(os.path.join(self.root, name), os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
            with open(descriptor, "rb", buffering=0) as file:
                head = file.read(_HEAD_BYTES)
        except OSError:
            self.unreadable += 1
            return None
        if not is_media(head):
            self.other += 1
            return None
        return Found(name, status.st_size, status.st_mtime_ns, status.st_ctime_ns)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir(follow_symlinks=False)
    except OSError:
        return False
