"""The socket's file, who may connect, and the two things that systemd says and hears. Linux only."""

from __future__ import annotations

import contextlib
import fcntl
import grp
import os
import socket
import stat
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from safelight.errors import UsageError
from safelight.serve.errors import ServeError


@dataclass(slots=True)
class Listener:
    """A socket that listens, and what must be tidied up behind it.

    Attributes:
        sock: non-blocking.
        path: of its file; ``None`` when systemd made it and owns the file.
    """

    sock: socket.socket
    path: Path | None = None
    _lock_fd: int | None = None
    _inode: tuple[int, int] | None = None

    def close(self) -> None:
        """Take our file away, if it is still ours, and let the next one in. Safe to call twice."""
        if self.path is not None and self._inode is not None:
            with contextlib.suppress(OSError):
                status = os.lstat(self.path)
                if (status.st_dev, status.st_ino) == self._inode:
                    os.unlink(self.path)
            self._inode = None
        self.sock.close()
        if self._lock_fd is not None:
            os.close(self._lock_fd)
            self._lock_fd = None


def listen(path: str | os.PathLike[str], *, mode: int = 0o660, group: str | int | None = None) -> Listener:
    """Bind and listen. The file appears with its mode and group already set, and replaces a stale one.

    Raises:
        UsageError: a path that is too long or is something else's, a group that does not exist or is not ours to give.
        ServeError: another service listens there, or the folder cannot be written to.
    """
    place = Path(path).absolute()
    # One name for each process; the final one is put there complete, by a rename.
    temporary = place.with_name(f".{place.name}.{os.getpid()}")
    if len(os.fsencode(temporary)) > _MAX_PATH_BYTES:
        raise UsageError(f"socket: got a path longer than {_MAX_PATH_BYTES - 12} bytes, expected a shorter one.")
    gid = _gid(group)
    lock_fd = _lock(place)
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        with contextlib.suppress(FileNotFoundError):
            if not stat.S_ISSOCK(os.lstat(place).st_mode):
                raise UsageError("socket: got a path where something else is, expected none or an old socket.")
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)
        try:
            sock.bind(os.fspath(temporary))
            try:
                os.chmod(temporary, mode)
                if gid is not None:
                    os.chown(temporary, -1, gid)
                sock.listen(_BACKLOG)
                sock.setblocking(False)
                status = os.lstat(temporary)
                os.rename(temporary, place)
            except BaseException:
                with contextlib.suppress(OSError):
                    os.unlink(temporary)
                raise
        except PermissionError:
            raise UsageError(
                "group: got one that may not be given here, or a folder that may not be written to; expected a group "
                "and a folder of this user."
            ) from None
        except OSError:
            raise ServeError("the socket could not be made; expected a folder that can be written to.") from None
    except BaseException:
        sock.close()
        os.close(lock_fd)
        raise
    return Listener(sock, place, lock_fd, (status.st_dev, status.st_ino))


def activated() -> Listener | None:
    """The socket that systemd listens on for us (LISTEN_FDS), if there is one. Takes it once.

    Raises:
        UsageError: it is none that this service can use.
    """
    pid, count = os.environ.pop("LISTEN_PID", ""), os.environ.pop("LISTEN_FDS", "")
    os.environ.pop("LISTEN_FDNAMES", None)
    if pid != str(os.getpid()):
        return None
    if count != "1":
        raise UsageError("LISTEN_FDS: expected one socket in the .socket unit.")
    os.set_inheritable(_FIRST_FD, False)
    sock = socket.socket(fileno=_FIRST_FD)
    fits = sock.family == socket.AF_UNIX and sock.type == socket.SOCK_STREAM
    if not fits or not sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
        sock.close()
        raise UsageError("LISTEN_FDS: expected ListenStream= with a path in the .socket unit.")
    sock.setblocking(False)
    return Listener(sock)


def notify(message: str) -> bool:
    """Tell systemd, e.g. ``READY=1``; ``False`` when nobody asked to be told (sd_notify(3))."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address or address[0] not in "/@":
        return False
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.setblocking(False)  # a full queue must not stop us
        try:
            sock.sendto(message.encode(), "\0" + address[1:] if address[0] == "@" else address)
        except OSError:
            return False
    return True


def watchdog_s() -> float | None:
    """How often systemd wants to hear from us (half of WATCHDOG_USEC), or ``None``."""
    if os.environ.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return None
    try:
        return max(int(os.environ["WATCHDOG_USEC"]) / 2e6, 0.05)
    except (KeyError, ValueError):
        return None


def peer_credentials(sock: socket.socket) -> tuple[int, int, int]:
    """Process, user and group of the other end, as the kernel knows them; of who listens, on the client's side."""
    data = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    pid, uid, gid = _CREDENTIALS.unpack(data)
    return pid, uid, gid


def receive(sock: socket.socket, size: int) -> tuple[bytes, list[int], bool]:
    """Bytes, the file descriptor that came with them, and whether one was lost (too many, or no place for it here).

    There is room for one: the kernel closes the others itself, so that nobody can fill our table.
    """
    data, ancillary, flags, _ = sock.recvmsg(size, _ROOM_FOR_ONE_FD, socket.MSG_CMSG_CLOEXEC)
    fds: list[int] = []
    for level, kind, payload in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            fds += struct.unpack(f"{len(payload) // 4}i", payload[: len(payload) // 4 * 4])
    return data, fds, bool(flags & socket.MSG_CTRUNC)


def _gid(group: str | int | None) -> int | None:
    if group is None or isinstance(group, int):
        return group
    try:
        return grp.getgrnam(group).gr_gid
    except KeyError:
        raise UsageError("group: got a name that this system does not know, expected a group.") from None


def _lock(place: Path) -> int:
    """A lock beside the socket. Not the socket itself: nobody can tell a stale one from one that is busy."""
    try:
        fd = os.open(
            place.with_name(f"{place.name}.lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600
        )
    except OSError:
        raise ServeError("the socket could not be made; expected a folder that exists and can be written to.") from None
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(fd)
        raise ServeError("another service listens at this socket; stop it first, or choose another path.") from None
    return fd


_CREDENTIALS: Final = struct.Struct("3i")
_ROOM_FOR_ONE_FD: Final = socket.CMSG_LEN(4)
#: sockaddr_un(7), with the zero at the end.
_MAX_PATH_BYTES: Final = 107
_BACKLOG: Final = 128
#: sd_listen_fds(3)
_FIRST_FD: Final = 3
