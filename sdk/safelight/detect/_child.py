"""The host's end of one child: the process, its pipes, and the memory that pixels travel in.

See :mod:`safelight.detect.isolated` for who starts children, and when again.
"""

from __future__ import annotations

import contextlib
import ctypes
import mmap
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from enum import Enum
from typing import Any, Final

import msgspec
import numpy as np
import numpy.typing as npt

from safelight.detect import _wire
from safelight.media import Image


class Fault(str, Enum):
    """What went wrong with a child, for logs and ``IsolationStatus``."""

    START_FAILED = "START_FAILED"
    BUILD_FAILED = "BUILD_FAILED"
    CRASHED = "CRASHED"
    TIMED_OUT = "TIMED_OUT"
    OUT_OF_MEMORY = "OUT_OF_MEMORY"
    BAD_ANSWER = "BAD_ANSWER"
    BACKING_OFF = "BACKING_OFF"

    def __str__(self) -> str:
        return self.value


class ChildError(Exception):
    """A child did not do what was asked; it is of no more use."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(fault.value)
        self.fault = fault


class Child:
    """One process from start to end; used by one thread at a time, except :meth:`kill`.

    Args:
        executable: the Python to start.

    Raises:
        OSError: no process, no pipe or no memory to be had.
    """

    def __init__(self, executable: str) -> None:
        _reap_lingering()
        self._asked = 0
        self._ready = msgspec.msgpack.Decoder(_wire.Ready)
        self._answer = msgspec.msgpack.Decoder(_wire.Answer)
        self.built: Sequence[_wire.Built] = ()
        with contextlib.ExitStack() as undo, contextlib.ExitStack() as theirs:
            # Our copy of the reading end: else writing to a dead child raises SIGPIPE, which ends a host that
            # has asked for it (`signal(SIGPIPE, SIG_DFL)`, as many commands do).
            self._requests_end, self._requests = _pipe(undo, undo)
            self._answers, answers_end = _pipe(undo, theirs)
            lifeline_end, self._lifeline = _pipe(theirs, undo)
            os.set_blocking(self._requests, False)
            os.set_blocking(self._answers, False)
            self._memory = SharedMemory.create()
            memory_fd = _wire.NO_MEMORY_FD
            if self._memory is not None:
                undo.callback(self._memory.close)
                memory_fd = self._memory.fd
            else:
                _widen(self._requests)
            fds = [self._requests_end, answers_end, lifeline_end, memory_fd]
            self._process = subprocess.Popen(
                [executable, *_interpreter_options(), "-c", _BOOTSTRAP, *map(str, fds)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,  # what runtimes print may quote tensors, and a host may keep its stderr
                pass_fds=[fd for fd in fds if fd >= 0],
                start_new_session=True,  # a group of its own, so that what a detector starts ends with it
                # The models run single-threaded; a BLAS pool would only reserve memory, 40 MiB on two cores.
                env={"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", **os.environ},
            )
            undo.pop_all()
        self.pid = self._process.pid

    @property
    def shares_memory(self) -> bool:
        """Whether pixels travel in anonymous memory; else in the pipe."""
        return self._memory is not None

    def greet(self, start: _wire.Start, timeout_s: float) -> None:
        """Say what to build, and hear what was built.

        Raises:
            ChildError: it did not start in time, or could not build everything; it must be ended.
        """
        deadline = time.monotonic() + timeout_s
        paths = os.fsencode("\0".join(path or os.getcwd() for path in sys.path if isinstance(path, str)))
        try:
            self._send(len(paths).to_bytes(_wire.LENGTH_BYTES, "little") + paths, deadline)
            self._send(_wire.encode(start), deadline)
            ready: _wire.Ready = self._receive(self._ready, deadline)
        except ChildError as error:
            nonsense = error.fault is Fault.BAD_ANSWER
            raise ChildError(Fault.BUILD_FAILED if nonsense else Fault.START_FAILED) from None
        if len(ready.built) != len(start.builds):
            raise ChildError(Fault.BUILD_FAILED)
        self.built = ready.built

    def lives(self) -> bool:
        """Whether its end of the answers pipe is open. Does not reap: that comes after the group was killed."""
        poll = select.poll()
        poll.register(self._answers, 0)
        return not poll.poll(0)

    def look(self, image: Image, timeout_s: float) -> _wire.Answer:
        """Send one picture and wait for the answer to it.

        Raises:
            ChildError: no answer in time, no child, or nonsense; it must be ended.
        """
        deadline = time.monotonic() + timeout_s
        self._asked += 1
        try:
            if self._memory is not None:
                self._memory.put(image.pixels)
                self._send(_header(self._asked, image), deadline)
            else:
                self._send(_header(self._asked, image), deadline)
                self._send(np.ascontiguousarray(image.pixels).data.cast("B"), deadline)
            for _ in range(_MAX_STALE_ANSWERS + 1):
                answer: _wire.Answer = self._receive(self._answer, deadline)
                if answer.id == self._asked and len(answer.seen) == len(self.built):
                    return answer
                if answer.id >= self._asked:
                    break
            raise ChildError(Fault.BAD_ANSWER)
        except (OSError, MemoryError):  # the host's own: no memory to send the picture in
            raise ChildError(Fault.OUT_OF_MEMORY) from None
        finally:
            if self._memory is not None:
                # After a failure the child may still be reading: it reads zeros, and is about to be killed.
                self._memory.overwrite()

    def kill(self) -> None:
        """End the process and whatever it started. May be called from another thread."""
        if self._process.returncode is None:  # not reaped yet, so the id is nobody else's
            with contextlib.suppress(OSError):
                os.killpg(self.pid, signal.SIGKILL)

    def end(self) -> None:
        """Kill, reap, overwrite, and close."""
        self.kill()
        try:
            self._process.wait(REAP_S)
        except subprocess.TimeoutExpired:  # stuck in the kernel; it ends when it leaves it
            _lingering.append(self._process)
        self._let_go(overwrite=True)

    def abandon(self) -> None:
        """In a forked copy of the host: close the copies of what belongs to the original, and touch nothing."""
        self._process.returncode = -signal.SIGKILL  # so that nobody waits for a process that is not ours
        self._let_go(overwrite=False)

    def _let_go(self, *, overwrite: bool) -> None:
        for fd in (self._requests_end, self._requests, self._answers, self._lifeline):
            with contextlib.suppress(OSError):
                os.close(fd)
        if self._memory is not None:
            self._memory.close(overwrite=overwrite)

    def _send(self, data: bytes | memoryview, deadline: float) -> None:
        view = memoryview(data)
        while view:
            self._wait(deadline, to_send=True)
            with contextlib.suppress(BlockingIOError):
                view = view[os.write(self._requests, view) :]

    def _receive(self, decoder: msgspec.msgpack.Decoder[Any], deadline: float) -> Any:
        size = int.from_bytes(self._read(_wire.LENGTH_BYTES, deadline), "little")
        if size > _wire.MAX_ANSWER_BYTES:
            raise ChildError(Fault.BAD_ANSWER)
        try:
            return decoder.decode(self._read(size, deadline))
        except (msgspec.MsgspecError, ValueError, RecursionError):
            raise ChildError(Fault.BAD_ANSWER) from None

    def _read(self, size: int, deadline: float) -> bytes:
        data = b""
        while len(data) < size:
            self._wait(deadline, to_send=False)
            with contextlib.suppress(BlockingIOError):
                part = os.read(self._answers, size - len(data))
                if not part:
                    raise ChildError(Fault.CRASHED)
                data += part
        return data

    def _wait(self, deadline: float, *, to_send: bool) -> None:
        poll = select.poll()
        poll.register(self._answers, 0 if to_send else select.POLLIN)
        if to_send:
            poll.register(self._requests, select.POLLOUT)
        left_ms = (deadline - time.monotonic()) * 1000
        ready = dict(poll.poll(left_ms)) if left_ms > 0 else {}
        if not ready:
            raise ChildError(Fault.TIMED_OUT)
        if to_send and self._answers in ready:
            raise ChildError(Fault.CRASHED)


class SharedMemory:
    """Memory that has no name and no file, for one picture at a time.

    Not ``multiprocessing.shared_memory``: that has a name, so pixels outlive a host that is killed.
    """

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self._map: mmap.mmap | None = None
        self._used = 0

    @classmethod
    def create(cls) -> SharedMemory | None:
        """``None`` where the system has or allows no such memory, e.g. under a strict seccomp filter."""
        fd = _memfd()
        if fd is None:
            return None
        try:
            _forbid_shrinking(fd)
        except OSError:
            os.close(fd)
            return None
        return cls(fd)

    def put(self, pixels: npt.NDArray[np.uint8]) -> None:
        """Copy a picture in, growing if need be.

        Raises:
            OSError: there is no memory.
        """
        size = pixels.nbytes
        if self._map is None or len(self._map) < size:
            if self._map is not None:
                self._map.close()
                self._map = None
            pages = -(-size // mmap.PAGESIZE) * mmap.PAGESIZE
            os.ftruncate(self.fd, pages)
            self._map = mmap.mmap(self.fd, pages)
        self._used = size
        np.copyto(np.frombuffer(self._map, np.uint8, size).reshape(pixels.shape), pixels)

    def overwrite(self) -> None:
        """Zero what was used; give memory beyond an ordinary picture's back to the system."""
        if self._map is None or self._used == 0:
            return
        np.frombuffer(self._map, np.uint8, self._used)[:] = 0
        if self._used > _KEEP_BYTES:
            with contextlib.suppress(OSError):
                self._map.madvise(mmap.MADV_REMOVE)
        self._used = 0

    def close(self, *, overwrite: bool = True) -> None:
        """Give the memory back. Without ``overwrite``, what other processes see in it stays as it is."""
        if overwrite:
            self.overwrite()
        with contextlib.suppress(BufferError):  # in a forked copy, the original's other threads held a view
            if self._map is not None:
                self._map.close()
        with contextlib.suppress(OSError):
            os.close(self.fd)


def _memfd() -> int | None:
    """An anonymous file in memory. By ctypes too: a Python built for old systems lacks ``os.memfd_create``."""
    for flags in (_MFD_FLAGS | _MFD_NOEXEC_SEAL, _MFD_FLAGS):  # kernels before 6.3 do not know the second one
        with contextlib.suppress(OSError, AttributeError):
            if hasattr(os, "memfd_create"):
                return os.memfd_create("safelight", flags)
            fd = int(ctypes.CDLL(None).memfd_create(b"safelight", flags))
            if fd >= 0:
                return fd
    return None


def _forbid_shrinking(fd: int) -> None:
    """Else a child gone bad could cut the memory short, and the host's next touch of it would be fatal."""
    import fcntl

    fcntl.fcntl(fd, _F_ADD_SEALS, _F_SEAL_SHRINK | _F_SEAL_SEAL)


def _widen(fd: int) -> None:
    """Make a pipe hold more than 64 KiB, so that a picture needs fewer turns of the scheduler."""
    import fcntl

    with contextlib.suppress(OSError):  # more than an unprivileged user may have here
        fcntl.fcntl(fd, _F_SETPIPE_SZ, _PIPE_BYTES)


def _header(number: int, image: Image) -> bytes:
    height_px, width_px = image.pixels.shape[:2]
    left, top, right, bottom = map(float, image.area_px)
    look = _wire.Look(
        id=number,
        height_px=height_px,
        width_px=width_px,
        full_width_px=int(image.full_width_px),
        full_height_px=int(image.full_height_px),
        area_px=(left, top, right, bottom),
        frame=int(image.frame),
        view=image.view,
    )
    return _wire.encode(look)


def _pipe(reader: contextlib.ExitStack, writer: contextlib.ExitStack) -> tuple[int, int]:
    """A pipe, each end to be closed with its stack."""
    read, write = os.pipe()
    reader.callback(os.close, read)
    writer.callback(os.close, write)
    return read, write


def _interpreter_options() -> list[str]:
    """What this interpreter was told not to look at, its children do not look at either."""
    options = {
        "-I": sys.flags.isolated,
        "-E": sys.flags.ignore_environment,
        "-s": sys.flags.no_user_site,
        "-S": sys.flags.no_site,
    }
    return [option for option, is_set in options.items() if is_set]


def _reap_lingering() -> None:
    for process in list(_lingering):
        if process.poll() is not None:
            with contextlib.suppress(ValueError):  # another thread was quicker
                _lingering.remove(process)


_lingering: list[subprocess.Popen[bytes]] = []

# Everything that is imported before sys.path is the host's was loaded before the current folder joined
# sys.path: a file named os.py beside a user's pictures is never run.
_BOOTSTRAP: Final = """
import os, sys
fd = int(sys.argv[1])
def read(size):
    data = b""
    while len(data) < size:
        part = os.read(fd, size - len(data))
        if not part:
            os._exit(0)
        data += part
    return data
sys.path[:] = os.fsdecode(read(int.from_bytes(read(4), "little"))).split("\\0")
from safelight.detect._worker import main
main(*map(int, sys.argv[1:]))
"""

#: What an unprivileged user may ask for, unless /proc/sys/fs/pipe-max-size says less.
_PIPE_BYTES: Final = 1 << 20
#: How long a killed process may take to be gone before we stop waiting for it.
REAP_S: Final = 5.0
_MAX_STALE_ANSWERS: Final = 8
#: A 1080p frame is 6 MiB and stays mapped between frames; a 12-megapixel picture is 36 MiB and does not.
_KEEP_BYTES: Final = 16 << 20

# linux/memfd.h and linux/fcntl.h, which older Pythons do not name
_MFD_FLAGS: Final = 0x1 | 0x2  # close on exec, allow sealing
_MFD_NOEXEC_SEAL: Final = 0x8
_F_SETPIPE_SZ: Final = 1031
_F_ADD_SEALS: Final = 1033
_F_SEAL_SEAL: Final = 0x1
_F_SEAL_SHRINK: Final = 0x2
