"""The child of an isolated detector: what it denies itself, and its main loop.

    host ── requests pipe ──▶ Start, Look, Look …           words: safelight.detect._wire
    host ◀── answers pipe ─── Ready, Answer, Answer …
    host ── lifeline pipe ──▶ (never a byte; it ends when the host ends)
    host ══ anonymous memory ═▶ pixels of one picture, read only here, wiped by the host after the answer

Started by :mod:`safelight.detect.isolated` in a fresh interpreter; not for use by hand.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import mmap
import os
import resource
import select
import signal
import sys
from importlib import import_module
from typing import Any, Final

import msgspec
import numpy as np
import numpy.typing as npt

from safelight.decision import Finding, FindingKind, Label, State
from safelight.detect._wire import (
    LENGTH_BYTES,
    MAX_FINDINGS,
    MAX_REQUEST_BYTES,
    NO_MEMORY_FD,
    Answer,
    Build,
    Built,
    Look,
    Ready,
    Seen,
    Start,
    encode,
)
from safelight.detect.base import PictureDetector
from safelight.media import Image

# linux/prctl.h
_PR_SET_DUMPABLE: Final = 4
_PR_SET_NO_NEW_PRIVS: Final = 38


def main(requests_fd: int, answers_fd: int, lifeline_fd: int, frames_fd: int) -> None:
    """Serve until the host closes the pipe. Never returns, and never runs exit handlers, which may hang."""
    try:
        sys.dont_write_bytecode = True
        _end_with_host(lifeline_fd)
        for fd in (requests_fd, answers_fd, lifeline_fd):
            os.set_inheritable(fd, False)
        start = msgspec.msgpack.decode(_read_message(requests_fd), type=Start)
        _harden(start.memory_limit_bytes)
        _serve(start, requests_fd, answers_fd, _Frames(frames_fd, requests_fd))
    finally:
        os._exit(1)


def _end_with_host(lifeline_fd: int) -> None:
    """Have the kernel end this process group when the other end of the lifeline closes.

    A signal on the pipe instead of a thread that waits: it also ends a child that hangs in native code with
    the interpreter's lock held. Not PR_SET_PDEATHSIG: that fires when the *thread* that started us ends.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the host, which may want to finish its picture
    signal.signal(signal.SIGIO, signal.SIG_DFL)  # its default is to end; a host may have handed us SIG_IGN
    signal.pthread_sigmask(signal.SIG_UNBLOCK, (signal.SIGIO,))
    fcntl.fcntl(lifeline_fd, fcntl.F_SETOWN, -os.getpgrp())
    fcntl.fcntl(lifeline_fd, fcntl.F_SETFL, fcntl.fcntl(lifeline_fd, fcntl.F_GETFL) | os.O_ASYNC)
    poll = select.poll()
    poll.register(lifeline_fd, 0)
    if poll.poll(0):  # the host ended before the signal was asked for
        os._exit(0)


def _harden(memory_limit_bytes: int | None) -> None:
    with contextlib.suppress(OSError), open("/proc/self/oom_score_adj", "w", encoding="ascii") as file:
        file.write("1000")  # a machine short of memory ends the detector, not the host
    # No core file, and no file at all: pixels cannot reach a disk through a library's cache or dump.
    limits = [(resource.RLIMIT_CORE, 0), (resource.RLIMIT_FSIZE, 0)]
    if memory_limit_bytes is not None:
        # Not RLIMIT_AS: address space that is only reserved (thread arenas, mapped weights) is not memory.
        limits.append((resource.RLIMIT_DATA, memory_limit_bytes))
    for which, value in limits:
        with contextlib.suppress(OSError, ValueError):  # a stricter hard limit that we inherited stays
            resource.setrlimit(which, (value, value))
    with contextlib.suppress(OSError, AttributeError):
        libc = ctypes.CDLL(None)
        libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
        libc.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)


def _serve(start: Start, requests_fd: int, answers_fd: int, frames: _Frames) -> None:
    try:
        detectors = [_build(build) for build in start.builds]
        built = [_built(detector) for detector in detectors]
    except Exception:  # noqa: BLE001 - whatever a factory raises, the host hears one word
        _write(answers_fd, encode(Ready([])))
        return
    _write(answers_fd, encode(Ready(built)))
    decoder = msgspec.msgpack.Decoder(Look)
    while True:
        look = decoder.decode(_read_message(requests_fd))
        pixels = frames.take(look.height_px, look.width_px)
        image = Image(pixels, look.full_width_px, look.full_height_px, look.area_px, look.frame, look.view)
        answers = [_look(detector, image) for detector in detectors]
        del image, pixels
        frames.done()
        exhausted = any(seen.state == State.OUT_OF_MEMORY.value for answer in answers for seen in answer)
        _write(answers_fd, encode(Answer(look.id, answers, exhausted)))


def _build(build: Build) -> PictureDetector:
    module, _, name = build.factory.partition(":")
    factory: Any = import_module(module)
    for part in name.split("."):
        factory = getattr(factory, part)
    detector: PictureDetector = factory(**build.kwargs)
    return detector


def _built(detector: PictureDetector) -> Built:
    kinds = [FindingKind(kind).value for kind in detector.kinds]
    models = [str(model) for model in getattr(detector, "models", ())]
    return Built(str(detector.id), kinds, models, _prepared(detector).value)


def _prepared(detector: PictureDetector) -> State:
    try:
        return State(detector.prepare())
    except Exception:  # noqa: BLE001 - the other detectors of this child can still answer
        return State.DETECTOR_FAILED


def _look(detector: PictureDetector, image: Image) -> list[Seen]:
    state = State.DETECTOR_FAILED
    try:
        seen = [_seen(finding) for finding in detector.detect(image)]
        if 0 < len(seen) <= MAX_FINDINGS:
            return seen
    except MemoryError:
        state = State.OUT_OF_MEMORY
    except Exception:  # noqa: BLE001, S110 - as in the guard: a detector that raises could not tell
        pass
    return [_seen(Finding(FindingKind(kind), state, model=detector.id)) for kind in detector.kinds]


def _seen(finding: Finding) -> Seen:
    return Seen(
        kind=FindingKind(finding.kind).value,
        state=State(finding.state).value,
        label=Label(finding.label).value if finding.label is not None else None,
        score=float(finding.score) if finding.score is not None else None,
        model=str(finding.model) if finding.model is not None else None,
        interval_years=_interval(finding),
    )


def _interval(finding: Finding) -> tuple[float, float] | None:
    if finding.interval_years is None:
        return None
    low, high = finding.interval_years
    return float(low), float(high)


class _Frames:
    """Where pixels come from: the anonymous memory, or the request pipe where there is none."""

    def __init__(self, frames_fd: int, requests_fd: int) -> None:
        self._frames_fd = frames_fd
        self._requests_fd = requests_fd
        self._map: mmap.mmap | None = None
        self._piped = bytearray()
        if frames_fd != NO_MEMORY_FD:
            os.set_inheritable(frames_fd, False)

    def take(self, height_px: int, width_px: int) -> npt.NDArray[np.uint8]:
        """``uint8[H,W,3]``, read-only, the host's until :meth:`done`."""
        size = height_px * width_px * 3
        if self._frames_fd == NO_MEMORY_FD:
            self._piped = bytearray(size)
            _read_into(self._requests_fd, memoryview(self._piped))
            source = memoryview(self._piped).toreadonly()
        else:
            if self._map is None or len(self._map) < size:
                self._map = mmap.mmap(self._frames_fd, os.fstat(self._frames_fd).st_size, prot=mmap.PROT_READ)
            source = memoryview(self._map)
        return np.frombuffer(source, np.uint8, size).reshape(height_px, width_px, 3)

    def done(self) -> None:
        """Forget the picture. The anonymous memory is wiped by the host, who wrote it."""
        if self._piped:
            np.frombuffer(self._piped, np.uint8)[:] = 0


def _read_message(fd: int) -> bytes:
    header = bytearray(LENGTH_BYTES)
    _read_into(fd, memoryview(header))
    size = int.from_bytes(header, "little")
    if size > MAX_REQUEST_BYTES:
        os._exit(1)
    body = bytearray(size)
    _read_into(fd, memoryview(body))
    return bytes(body)


def _read_into(fd: int, target: memoryview) -> None:
    done = 0
    while done < len(target):
        count = os.readv(fd, [target[done:]])
        if count == 0:
            os._exit(0)  # the host closed the pipe
        done += count


def _write(fd: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]
