"""Where a camera's frames come from: a V4L2 device, a video file played as a camera, or whatever a host reads itself.

Through PyAV (extra ``[video]``). A file is opened as :mod:`safelight.media.clip` opens it: its container is recognised
here, FFmpeg gets a stream, no protocol and a short list of codecs.
"""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any, Final, Protocol

from safelight.media.clip import _CODECS, _container
from safelight.media.frame import Frame, FrameFormat


class FrameSource(Protocol):
    """Frames one after the other. Used by one thread; ``close`` may come from another."""

    def read(self) -> Frame | None:
        """Wait for the next frame; ``None`` at the end. Its buffer may be reused for the one after."""
        ...

    def close(self) -> None:
        """Give the device back. Safe to call twice; a ``read`` in progress ends soon."""
        ...


class SourceError(Exception):
    """A source could not be opened or read; inside the gate this is the state ``NO_CAMERA`` or ``SOURCE_LOST``."""


_OPEN_TIMEOUT_S: Final = 5.0
_READ_TIMEOUT_S: Final = 2.0
_HEAD_BYTES: Final = 4096
# FFmpeg's names of what a Frame can say without a conversion, and whether the name alone means full range.
_DIRECT: Final[dict[str, tuple[FrameFormat, bool]]] = {
    "yuv420p": ("i420", False),
    "yuvj420p": ("i420", True),
    "nv12": ("nv12", False),
    "nv21": ("nv21", False),
    "yuyv422": ("yuyv", False),
    "gray": ("grey", False),
    "rgb24": ("rgb", True),
    "bgr24": ("bgr", True),
}
_RGB: Final = frozenset({"rgb", "bgr"})
_FULL_RANGE: Final = 2  # AVCOL_RANGE_JPEG
# Behind by more than this, a file played as a camera leaves frames out, as a camera does.
_LATE_S: Final = 0.1


def open_source(
    path: str | os.PathLike[str],
    *,
    width: int | None = None,
    height: int | None = None,
    frames_per_second: float | None = None,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> FrameSource:
    """Open a V4L2 device, or a video file that is played at its own pace.

    Args:
        path: e.g. ``/dev/video0``, or of a file.
        width, height, frames_per_second: asked of a device, which may give others.
        clock, sleep: by which a file is played.

    Raises:
        SourceError: no such thing, in use, or not to be decoded; never with the path.
    """
    try:
        import av
    except ImportError:
        raise SourceError("camera: got no PyAV, expected the extra; pip install 'safelight[video]'.") from None
    try:
        is_device = stat.S_ISCHR(os.stat(path).st_mode)
    except (OSError, ValueError):
        raise SourceError("camera: got nothing that is there, expected a device or a video file.") from None
    container: Any = None
    stream: Any = None
    try:
        if is_device:
            options = {}
            if width and height:
                options["video_size"] = f"{width}x{height}"
            if frames_per_second:
                options["framerate"] = f"{frames_per_second:g}"
            container = av.open(
                os.fspath(path), format="v4l2", options=options, timeout=(_OPEN_TIMEOUT_S, _READ_TIMEOUT_S)
            )
        else:
            stream = open(path, "rb")  # noqa: SIM115 - closed with the source
            name = _container(stream.read(_HEAD_BYTES))
            stream.seek(0)
            if name is None:
                raise SourceError("camera: got a file that is no video, expected one.")
            container = av.open(stream, format=name, options={"protocol_whitelist": "none", "codec_whitelist": _CODECS})
        if not container.streams.video:
            raise SourceError("camera: got a stream without pictures, expected a video stream.")
    except BaseException as error:
        for opened in (container, stream):
            if opened is not None:
                opened.close()
        if isinstance(error, (SourceError, KeyboardInterrupt, SystemExit)):
            raise
        # FFmpeg's messages carry paths.
        raise SourceError("camera: it could not be opened; is it in use, and may this user read it?") from None
    return _AvSource(container, stream, clock=None if is_device else clock, sleep=sleep)


class _AvSource:
    """PyAV's frames, each copied once, into one buffer that is reused."""

    def __init__(
        self, container: Any, stream: Any, *, clock: Callable[[], float] | None, sleep: Callable[[float], None]
    ) -> None:
        self._container, self._stream = container, stream
        self._clock, self._sleep = clock, sleep
        self._buffer = bytearray()
        self._began_s: float | None = None
        self._closed = False
        self._frames: Iterator[Any] = container.decode(container.streams.video[0])

    def read(self) -> Frame | None:
        while not self._closed:
            try:
                decoded = next(self._frames)
            except StopIteration:
                return None
            except Exception:  # noqa: BLE001 - whatever FFmpeg raises: the source is gone; its messages carry paths
                raise SourceError("camera: it gives no more frames; was it unplugged?") from None
            if self._is_due(decoded):
                return self._frame(decoded)
        return None

    def close(self) -> None:
        # The container is closed by the thread that reads, in `finish`: FFmpeg's reader must not lose it under way.
        self._closed = True

    def finish(self) -> None:
        """Close for good; by the thread that reads."""
        self._closed = True
        self._buffer[:] = bytes(len(self._buffer))
        for opened in (self._container, self._stream):
            if opened is not None:
                with suppress(Exception):
                    opened.close()

    def _is_due(self, decoded: Any) -> bool:
        if self._clock is None or decoded.time is None:
            return True
        if self._began_s is None:
            self._began_s = self._clock() - decoded.time
        wait_s = self._began_s + decoded.time - self._clock()
        if wait_s > 0:
            self._sleep(wait_s)
        return bool(wait_s > -_LATE_S)

    def _frame(self, decoded: Any) -> Frame:
        if decoded.format.name not in _DIRECT:
            decoded = decoded.reformat(format="rgb24")
        format, means_full = _DIRECT[decoded.format.name]
        planes = [memoryview(plane) for plane in decoded.planes]
        length = sum(plane.nbytes for plane in planes)
        if len(self._buffer) != length:
            self._buffer = bytearray(length)
        at = 0
        for plane in planes:
            self._buffer[at : at + plane.nbytes] = plane
            at += plane.nbytes
        full = means_full or int(decoded.color_range) == _FULL_RANGE
        return Frame(
            self._buffer,
            format,
            width=decoded.width,
            height=decoded.height,
            stride=tuple(plane.line_size for plane in decoded.planes),
            color_range="full" if full or format in _RGB else "limited",
        )
