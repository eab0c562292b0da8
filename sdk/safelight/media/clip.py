"""Clips: pictures at moments of a video file, decoded by PyAV (extra ``[video]``) within bounds.

FFmpeg recognises some three hundred formats, among them playlists that open other files and addresses. So the
container is recognised here and named to FFmpeg, which gets a stream and no path, no protocol to open anything else
with, and a short list of codecs.
"""

from __future__ import annotations

import io
import os
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, fields
from importlib.util import find_spec
from typing import Any, BinaryIO, Final, Union

import numpy as np
import numpy.typing as npt

from safelight.decision import State
from safelight.errors import MediaNotFoundError, UnsupportedInputError, UsageError
from safelight.media.image import NotJudged

#: What :func:`load_clip` takes.
ClipSource = Union[str, "os.PathLike[str]", bytes, BinaryIO]

_CODECS: Final = "h264,hevc,vp8,vp9,av1,libdav1d,libaom-av1,mpeg4,mpeg2video,mpeg1video,mjpeg,h263,prores,theora"
#: ``mov`` is MP4 too, ``matroska`` is WebM too, ``mpeg`` and ``mpegts`` are MPEG streams.
_CONTAINERS: Final = ("avi", "flv", "matroska", "mov", "mpeg", "mpegts", "ogg")
_HEAD_BYTES: Final = 4096
#: What a clip's header may promise beyond its last frame: players round, and sound may be longer.
_MISSING_MS: Final = 2_000


@dataclass(frozen=True, slots=True)
class ClipLimits:
    """How much one clip may cost.

    Attributes:
        max_bytes: of the file. 4 GiB: an hour of 1080p at 8 Mbit/s. Only a part is in memory at a time.
        max_frame_pixels: width times height of a frame. 2**24 = 16.8 million: 8K is 33 million and too large, 5K fits.
        min_side_px: 16, as for pictures.
        max_frames: decoded, hashed or not. 864,000: four hours at 60 a second.
        max_pictures: handed out. 14,400: four hours at one a second.
        max_decode_s: time spent decoding; a small file can take hours. 1,800.
    """

    max_bytes: int = 4 << 30
    max_frame_pixels: int = 1 << 24
    min_side_px: int = 16
    max_frames: int = 864_000
    max_pictures: int = 14_400
    max_decode_s: int = 1_800

    def __post_init__(self) -> None:
        for item in fields(self):
            value = getattr(self, item.name)
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise UsageError(f"ClipLimits.{item.name}: expected a whole number above 0; give a positive int")


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class ClipPicture:
    """One moment of a clip.

    Attributes:
        timestamp_ms: from the beginning of the clip.
        luma: ``uint8[H, W]``, 0-255, as stored: a rotation that the file asks for is not applied, as in vPDQ.
    """

    timestamp_ms: int
    luma: npt.NDArray[np.uint8]

    def __repr__(self) -> str:
        return f"<ClipPicture at {self.timestamp_ms} ms, {self.luma.shape[1]}x{self.luma.shape[0]}>"


def available_containers() -> tuple[str, ...]:
    """What clips may come in, by FFmpeg's names; nothing without the extra ``[video]``."""
    return _CONTAINERS if find_spec("av") is not None else ()


def is_clip(head: bytes) -> bool:
    """Whether bytes begin as a container that :func:`load_clip` knows; 4,096 of them are enough."""
    return _container(head) is not None


def load_clip(
    source: ClipSource, *, interval_ms: int = 1_000, limits: ClipLimits | None = None
) -> Iterator[ClipPicture | NotJudged]:
    """Pictures of a clip, one every ``interval_ms``, decoded as they are asked for.

    When a part of the clip cannot be looked at, one :class:`NotJudged` comes **as the last item**. At least one item
    comes.

    Args:
        source: a path, encoded bytes, or a seekable binary file object.
        interval_ms: from one picture to the next; 1 for every frame.
        limits: what the clip may cost.

    Raises:
        UnsupportedInputError: the source is of another type.
        UsageError: ``interval_ms`` is not a whole number above 0.
        MediaNotFoundError: the file does not exist or cannot be read.
    """
    if isinstance(interval_ms, bool) or not isinstance(interval_ms, int) or interval_ms < 1:
        raise UsageError("interval_ms: expected a whole number above 0; 1000 is one picture a second")
    bounds = limits if limits is not None else ClipLimits()
    stream, close = _open(source)
    try:
        size = stream.seek(0, os.SEEK_END)
        stream.seek(0)
        head = stream.read(_HEAD_BYTES)
        stream.seek(0)
    except BaseException:
        close()
        raise
    container = _container(head)
    refused: NotJudged | None = None
    if size > bounds.max_bytes:
        refused = NotJudged(State.TOO_LARGE, "bytes")
    elif container is None:
        refused = NotJudged(State.NOT_MEDIA, "unknown_content")
    return _decode(stream, container or "", refused, interval_ms, bounds, close)


def _open(source: object) -> tuple[Any, Callable[[], None]]:
    if isinstance(source, bytes):
        return io.BytesIO(source), lambda: None
    if isinstance(source, (str, os.PathLike)):
        stream: Any = None
        try:
            if os.path.isfile(source):
                stream = open(source, "rb")  # noqa: SIM115 - closed when the iteration ends
        except (OSError, ValueError):
            stream = None
        if stream is None:
            raise MediaNotFoundError("source: got a path that is no readable file, expected one; check the path")
        return stream, stream.close
    if callable(getattr(source, "read", None)) and callable(getattr(source, "seek", None)):
        return source, lambda: None
    raise UnsupportedInputError(
        f"source: got {type(source).__name__}, expected a path, bytes or a seekable binary file object"
    )


def _container(head: bytes) -> str | None:
    """FFmpeg's name of the container, or nothing."""
    if head[4:8] in (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip") and len(head) >= 12:
        # Still pictures are in the same container: their brands are for load_image.
        still = head[4:8] == b"ftyp" and head[8:12] in (b"heic", b"heix", b"mif1", b"avif", b"heim", b"heis")
        return None if still else "mov"
    if head.startswith(b"\x1a\x45\xdf\xa3"):
        return "matroska"
    if head[:4] == b"RIFF" and head[8:12] == b"AVI ":
        return "avi"
    if head.startswith(b"OggS"):
        return "ogg"
    if head.startswith(b"FLV\x01"):
        return "flv"
    if head.startswith(b"\x00\x00\x01\xba"):
        return "mpeg"
    if len(head) > 376 and head[0] == head[188] == head[376] == 0x47:
        return "mpegts"
    return None


def _decode(
    stream: Any,
    container: str,
    refused: NotJudged | None,
    interval_ms: int,
    limits: ClipLimits,
    close: Callable[[], None],
) -> Iterator[ClipPicture | NotJudged]:
    try:
        if refused is not None:
            yield refused
            return
        av: Any = None
        with suppress(ImportError):
            import av
        if av is None:
            yield NotJudged(State.NO_DECODER, "video_extra")
            return
        pictures = _Pictures(av, stream, container, interval_ms, limits)
        yield from pictures
        # Outside of the decoder's handlers, so that what the consumer raises does not carry its exceptions.
        if pictures.failure is not None:
            yield pictures.failure
    finally:
        close()


class _Pictures:
    """Iterates over what can be decoded, and keeps why it ended early."""

    def __init__(self, av: Any, stream: Any, container: str, interval_ms: int, limits: ClipLimits) -> None:
        self._av, self._stream, self._container = av, stream, container
        self._interval_ms, self._limits = interval_ms, limits
        self.failure: NotJudged | None = None

    def __iter__(self) -> Iterator[ClipPicture]:
        pictures = self._run()
        handed = 0
        while True:
            picture: ClipPicture | None = None
            try:
                picture = next(pictures)
            except StopIteration:
                break
            except MemoryError:
                self.failure = NotJudged(State.TOO_LARGE, "memory")
            except Exception:  # noqa: BLE001 - a hostile file meets FFmpeg: all that it raises is a state
                self.failure = NotJudged(State.DECODE_FAILED, "clip")
            if picture is None:
                return
            handed += 1
            yield picture
        if not handed and self.failure is None:
            self.failure = NotJudged(State.DECODE_FAILED, "no_picture")

    def _run(self) -> Iterator[ClipPicture]:
        limits, spent_s = self._limits, 0.0
        due_ms = last_ms = handed = count = 0
        began = time.monotonic()
        options = {"protocol_whitelist": "none", "codec_whitelist": _CODECS}
        with self._av.open(self._stream, format=self._container, options=options, metadata_errors="replace") as clip:
            if not clip.streams.video:
                self.failure = NotJudged(State.NO_DECODER, "clip_without_video")
                return
            video = clip.streams.video[0]
            video.thread_type = "AUTO"
            if not self._fits(video.codec_context.width, video.codec_context.height):
                return
            declared_ms = _declared_ms(video)
            for frame in clip.decode(video):
                count += 1
                # A clip may change its size on the way.
                if not self._fits(frame.width, frame.height):
                    return
                if count > limits.max_frames or handed >= limits.max_pictures:
                    self.failure = NotJudged(State.TOO_LARGE, "frames")
                    return
                spent_s += time.monotonic() - began
                if spent_s > limits.max_decode_s:
                    self.failure = NotJudged(State.TOO_LARGE, "time")
                    return
                at_ms = round(frame.time * 1000) if frame.time is not None else last_ms + 40
                last_ms = max(last_ms, at_ms)
                if at_ms >= due_ms or handed == 0:
                    # From the moment due, not from the frame's own: no drift.
                    due_ms = max(due_ms, at_ms - at_ms % self._interval_ms) + self._interval_ms
                    handed += 1
                    # FFmpeg's own grey is full range whatever the clip's is.
                    yield ClipPicture(max(0, at_ms), np.ascontiguousarray(frame.to_ndarray(format="gray")))
                began = time.monotonic()
            if declared_ms - last_ms > _MISSING_MS or _missing_ms(video, count) > _MISSING_MS:
                # FFmpeg ends quietly where a file was cut.
                self.failure = NotJudged(State.DECODE_FAILED, "clip_truncated")

    def _fits(self, width: int, height: int) -> bool:
        if width * height > self._limits.max_frame_pixels:
            self.failure = NotJudged(State.TOO_LARGE, "pixels")
        elif 0 < min(width, height) < self._limits.min_side_px:
            self.failure = NotJudged(State.TOO_SMALL, "side")
        return self.failure is None


def _declared_ms(video: Any) -> int:
    """How long the file says that its picture is; 0 when it does not."""
    if video.duration is None or video.time_base is None:
        return 0
    return round(float(video.duration * video.time_base) * 1000)


def _missing_ms(video: Any, count: int) -> int:
    """How long the frames are that the file's header counts and that did not come."""
    if not video.frames or not video.average_rate:
        return 0
    return round(1000.0 * float(video.frames - count) / float(video.average_rate))
