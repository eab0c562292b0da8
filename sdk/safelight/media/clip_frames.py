"""Every frame that a clip may show, with the time at which it does, decoded by PyAV within the bounds of ``clip.py``.

Players differ in what they show of a file, and a sender chooses the file. So this reader looks at the superset:

* **All video tracks**, not only the one that is played first, and cover pictures.
* **All frames**, also those that an edit list cuts away: they are in the file, and some players show them. Times are
  those of a player that follows the list; what it hides lies before 0 or behind the end.
* **Damage is not concealed.** Decoders paint over what they cannot read, each in its own way. FFmpeg is told to stop
  instead (``err_detect=explode``), and until the next key frame its pictures count as damaged.

Text and picture subtitles, alpha channels of VP8 and VP9 (FFmpeg's own decoders drop them) and further layers of HEVC
are not looked at.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from hashlib import blake2b
from itertools import islice
from typing import Any, Final, Literal, cast

import numpy as np

from safelight.decision import State
from safelight.errors import MediaNotFoundError, UnsupportedInputError
from safelight.hashing import Sha256Hash
from safelight.media.clip import _CODECS, _HEAD_BYTES, _MISSING_MS, ClipLimits, _container, _open
from safelight.media.frame import Frame, FrameFormat
from safelight.media.image import NotJudged

_NOMINAL_MS: Final = 40  # of a frame whose file gives no time: 25 a second
_READ_BYTES: Final = 1 << 20
_EDIT_PACKETS: Final = 256  # to look through for the first of every track
_EDIT_ENTRIES: Final = 864_000  # of a track's index: as many as there may be frames
_MAX_ASPECT: Final = 8  # of a pixel; wider ones are not squeezed but refused
_BT709_FROM_ROWS: Final = 720  # players' rule for clips that do not say which colours they mean
_BT709, _UNSPECIFIED, _BT2020 = 1, 2, (9, 10)


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class ClipFrame:
    """One frame of a clip.

    Attributes:
        track: of the video tracks, from 0.
        timestamp_ms: when it appears; below 0 where a player that follows the edit list never shows it.
        stored: as it lies in the decoder, to compare frames with: YUV 4:2:0 where that is what it is, else RGB(A).
        intact: ``False`` when the decoder had to make do without a part of the clip.
    """

    track: int
    timestamp_ms: int
    stored: Frame
    intact: bool
    _video: Any
    _aspect: Fraction

    @property
    def look(self) -> tuple[object, ...]:
        """What besides ``stored`` makes how it is shown: frames of another look are not alike, whatever is stored."""
        return self._aspect, _matrix(self._video)

    def shown(self, *, short_side_px: int | None = None) -> Frame:
        """As it is shown: own colours, square pixels, to be turned by ``rotation``. Valid until the next frame.

        Args:
            short_side_px: that the consumer needs. A larger frame may then be averaged down by a whole factor, its
                short side staying at least twice this, as ``load_image`` does with a JPEG. ``None``: every pixel.
        """
        video, stored = self._video, self.stored
        width, height = video.width, video.height
        factor = max(1, min(width, height) // (2 * short_side_px)) if short_side_px else 1
        if factor == 1 and self._aspect == 1 and (stored.format != "i420" or _matrix(video) == "ITU601"):
            return stored
        width, height = -(-width // factor), -(-height // factor)
        if self._aspect > 1:
            height = max(1, round(height / self._aspect))
        else:
            width = max(1, round(width * self._aspect))
        format: Literal["rgb", "rgba"] = "rgba" if stored.format == "rgba" else "rgb"
        return _packed(video, format, width, height, stored.rotation)

    def grey(self) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
        """``uint8[H, W]`` as stored, full range: what :func:`safelight.media.clip.load_clip` hands out for hashing."""
        return np.ascontiguousarray(self._video.to_ndarray(format="gray"))

    def __repr__(self) -> str:
        return f"<ClipFrame at {self.timestamp_ms} ms, {self.stored.width}x{self.stored.height}>"


@dataclass(frozen=True, slots=True)
class ClipGap:
    """A part of a clip that could not be decoded: from here until the track's next frame.

    Attributes:
        track: of the video tracks, from 0; ``None``: of all of them.
        timestamp_ms: from when.
        cause: why.
        to_the_end: nothing follows on this track.
    """

    track: int | None
    timestamp_ms: int
    cause: NotJudged
    to_the_end: bool = False


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class ClipCover:
    """A cover picture in a clip, as an encoded file for :func:`safelight.media.load_image`."""

    data: bytes

    def __repr__(self) -> str:
        return f"<ClipCover of {len(self.data)} bytes>"


class ClipReader:
    """A clip, decoded once, from its beginning. Made by :func:`open_clip`; close it, or use it as a context manager.

    Iterating yields :class:`ClipFrame`, :class:`ClipGap` and :class:`ClipCover`, in the order of decoding. At least
    one item comes. A frame is valid until the next item is asked for.

    Attributes:
        duration_ms: how long the file says that it is, once the iteration has begun; 0 when it does not.
        seekable: whether the source can be read again from its beginning.
    """

    def __init__(self, source: _Source, limits: ClipLimits) -> None:
        self._source, self._limits = source, limits
        self.duration_ms = 0
        self.seekable = source.seekable
        self._failure: NotJudged | None = None
        self._ends_ms: dict[int, int] = {}

    @property
    def is_clip(self) -> bool:
        """Whether the source begins as a container that can be read here. Anything else may be a picture."""
        return _container(self._source.head) is not None

    def read_all(self, max_bytes: int) -> bytes | NotJudged:
        """The whole source, for one that is no clip; it can be iterated over no more."""
        return self._source.read_all(max_bytes)

    def end_ms(self, track: int) -> int:
        """When the last frame of a track ends, as far as it was decoded."""
        return self._ends_ms.get(track, 0)

    def digests(self, salt: bytes) -> tuple[Sha256Hash, bytes]:
        """Of the whole source, which must be seekable: its SHA-256, and 32 bytes that only tell it apart.

        Args:
            salt: at most 16 bytes, so that the second one is found in no list of files.
        """
        import hashlib

        whole, own = hashlib.sha256(), blake2b(digest_size=32, salt=salt)
        self._source.seek(0)
        while part := self._source.read(_READ_BYTES):
            whole.update(part)
            own.update(part)
        self._source.seek(0)
        return Sha256Hash(whole.digest()), own.digest()

    def close(self) -> None:
        """Let go of the source; a file object of the caller's is put back to where it was."""
        self._source.close()

    def __enter__(self) -> ClipReader:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __iter__(self) -> Iterator[ClipFrame | ClipGap | ClipCover]:
        items = self._run()
        any_item = False
        while True:
            item: ClipFrame | ClipGap | ClipCover | None = None
            try:
                item = next(items)
            except StopIteration:
                break
            except MemoryError:
                self._failure = NotJudged(State.TOO_LARGE, "memory")
            except Exception:  # noqa: BLE001 - a hostile file meets FFmpeg: all that it raises is a state
                self._failure = NotJudged(State.DECODE_FAILED, "clip")
            if item is None:
                break
            any_item = any_item or not isinstance(item, ClipGap)
            # Outside of the handlers, so that what the consumer raises does not carry the decoder's exceptions.
            yield item
        if self._source.refused is not None:
            self._failure = self._source.refused
        if self._failure is None and not any_item:
            self._failure = NotJudged(State.DECODE_FAILED, "no_picture")
        if self._failure is not None:
            yield ClipGap(None, max(self._ends_ms.values(), default=0), self._failure, to_the_end=True)

    def _run(self) -> Iterator[ClipFrame | ClipGap | ClipCover]:
        container = _container(self._source.head)
        if self._source.refused is not None:
            return
        if container is None:
            self._failure = NotJudged(State.NOT_MEDIA, "unknown_content")
            return
        av: Any = None
        with suppress(ImportError):
            import av
        if av is None:
            self._failure = NotJudged(State.NO_DECODER, "video_extra")
            return
        options = {"protocol_whitelist": "none", "codec_whitelist": _CODECS}
        edited: dict[int, tuple[int, int]] = {}
        if container == "mov" and self.seekable:
            with av.open(self._source.reader, format=container, options=options, metadata_errors="replace") as clip:
                edited = _first_packets(clip)
            self._source.seek(0)
            options["ignore_editlist"] = "1"
        with av.open(self._source.reader, format=container, options=options, metadata_errors="replace") as clip:
            yield from self._decode(av, clip, edited)

    def _decode(self, av: Any, clip: Any, edited: dict[int, tuple[int, int]]) -> Iterator[Any]:
        covers = [video for video in clip.streams.video if video.disposition & av.stream.Disposition.attached_pic]
        videos = [video for video in clip.streams.video if video not in covers]
        if not videos and not covers:
            self._failure = NotJudged(State.NO_DECODER, "clip_without_video")
            return
        zero_s = Fraction(clip.start_time, 1_000_000) if clip.start_time is not None else Fraction(0)
        tracks = {
            video.index: _Track(
                number,
                video,
                _zero_s(video, edited.get(video.index), zero_s),
                self._limits,
                damage=av.codec.context.Flags.output_corrupt,
            )
            for number, video in enumerate(videos)
        }
        self.duration_ms = max((track.declared_ms for track in tracks.values()), default=0) or max(
            0, round((clip.duration or 0) / 1000)
        )
        count, spent_s, began = 0, 0.0, time.monotonic()
        for packet in clip.demux([*videos, *covers]):
            track = tracks.get(packet.stream.index)  # stream_index is 0 in the empty packets at the end
            if track is None:
                if packet.size:
                    yield ClipCover(bytes(packet))
                    began = time.monotonic()
                continue
            track.follow(packet)
            frames: list[Any] = []
            try:
                frames = packet.decode()
            except av.error.FFmpegError:
                track.damaged = True
                yield ClipGap(track.number, track.end_ms, NotJudged(State.DECODE_FAILED, "clip_damaged"))
                began = time.monotonic()
            for frame in frames:
                count += 1
                # A clip may change its size on the way.
                refused = track.refuses(frame)
                if refused is None and count > self._limits.max_frames:
                    refused = NotJudged(State.TOO_LARGE, "frames")
                spent_s += time.monotonic() - began
                if refused is None and spent_s > self._limits.max_decode_s:
                    refused = NotJudged(State.TOO_LARGE, "time")
                if refused is not None:
                    self._failure = refused
                    return
                yield track.frame(frame)
                self._ends_ms[track.number] = track.end_ms
                began = time.monotonic()
        for track in tracks.values():
            if track.count == 0 or track.is_short():
                cause = NotJudged(State.DECODE_FAILED, "clip_truncated" if track.count else "no_picture")
                yield ClipGap(track.number, track.end_ms, cause, to_the_end=True)


class _Track:
    """One video track while it is decoded."""

    def __init__(self, number: int, video: Any, zero_s: Fraction, limits: ClipLimits, *, damage: Any) -> None:
        self.number, self.damaged, self.count, self.end_ms = number, False, 0, 0
        self._video, self._zero_s, self._limits = video, zero_s, limits
        self._packets = 0
        self._last_ms: int | None = None
        video.thread_type = "AUTO"
        video.codec_context.options = {"err_detect": "explode"}
        video.codec_context.flags |= int(damage)
        self._listed_packets = int(video.frames or 0)
        rate = video.average_rate
        self._nominal_ms = max(1, round(1000 / rate)) if rate else _NOMINAL_MS
        base = video.time_base
        self.declared_ms = round(video.duration * base * 1000) if video.duration is not None and base else 0

    def follow(self, packet: Any) -> None:
        """Count a packet."""
        self._packets += packet.size > 0
        self.damaged = self.damaged or packet.is_corrupt

    def refuses(self, frame: Any) -> NotJudged | None:
        """Why a frame of this size and shape is not looked at, or ``None``."""
        aspect = self._aspect()
        if frame.width * frame.height > self._limits.max_frame_pixels:
            return NotJudged(State.TOO_LARGE, "pixels")
        if not 1 / _MAX_ASPECT <= aspect <= _MAX_ASPECT:
            return NotJudged(State.DECODE_FAILED, "clip_aspect")
        side = min(frame.width * min(aspect, Fraction(1)), frame.height / max(aspect, Fraction(1)))
        return NotJudged(State.TOO_SMALL, "side") if side < self._limits.min_side_px else None

    def frame(self, video: Any) -> ClipFrame:
        """The next frame, with its time."""
        if video.key_frame and not video.is_corrupt:
            self.damaged = False
        if video.pts is not None and video.time_base:
            at_ms = round((video.pts * video.time_base - self._zero_s) * 1000)
        else:
            at_ms = self.end_ms
        lasts_ms = round(video.duration * video.time_base * 1000) if video.duration and video.time_base else 0
        self.end_ms = max(self.end_ms, at_ms + (lasts_ms if lasts_ms > 0 else self._nominal_ms))
        self.count += 1
        self._last_ms = at_ms
        intact = not (self.damaged or video.is_corrupt)
        return ClipFrame(self.number, at_ms, _stored(video), intact, video, self._aspect())

    def is_short(self) -> bool:
        """Whether the file ends before its header says so; FFmpeg ends quietly then."""
        # A table of packets is exact; durations are rounded, and sound may be longer.
        missing = self._packets < self._listed_packets
        return missing or self.declared_ms - self.end_ms > _MISSING_MS

    def _aspect(self) -> Fraction:
        aspect = self._video.codec_context.sample_aspect_ratio or self._video.sample_aspect_ratio
        return Fraction(aspect) if aspect and aspect > 0 else Fraction(1)


class _Source:
    """What the clip is read from: within the limit of bytes, its head known before FFmpeg sees any of it."""

    def __init__(self, source: Any, limits: ClipLimits) -> None:
        self.refused: NotJudged | None = None
        self._max_bytes = limits.max_bytes
        self._taken = 0
        self._stream: Any
        if isinstance(source, (bytearray, memoryview)):
            source = bytes(source)
        self.seekable = isinstance(source, bytes) or not hasattr(source, "read") or _can_seek(source)
        self._back_to: int | None = None
        if self.seekable:
            self._stream, self._close = _open(source)
            if self._stream is source:
                self._back_to = self._stream.tell()
            size = self._stream.seek(0, 2)
            if size is None:
                size = self._stream.tell()
            if size > limits.max_bytes:
                self.refused = NotJudged(State.TOO_LARGE, "bytes")
            self._stream.seek(0)
            self.head = bytes(self._stream.read(_HEAD_BYTES))
            self._stream.seek(0)
            self.reader: Any = self._stream
        else:
            self._stream, self._close = source, lambda: None
            self.head = b""
            while len(self.head) < _HEAD_BYTES:
                part = self._once(_HEAD_BYTES - len(self.head))
                if not part:
                    break
                self.head += part
            self._left = self.head
            self.reader = _ReadOnly(self)

    def read(self, size: int) -> bytes:
        """The next bytes of a seekable source."""
        return cast(bytes, self._stream.read(size))

    def seek(self, at: int) -> None:
        """Go to a place in a seekable source."""
        self._stream.seek(at)

    def read_all(self, max_bytes: int) -> bytes | NotJudged:
        """Everything, or why not."""
        parts, total = [], 0
        read = self.read if self.seekable else self.read_once
        while part := read(min(_READ_BYTES, max_bytes + 1 - total)):
            total += len(part)
            if total > max_bytes:
                return NotJudged(State.TOO_LARGE, "bytes")
            parts.append(part)
        return self.refused or b"".join(parts)

    def read_once(self, size: int) -> bytes:
        """The next bytes of a source that cannot seek."""
        if self._left:
            part, self._left = self._left[:size], self._left[size:]
            return part
        return self._once(size)

    def close(self) -> None:
        """Close what was opened here; put back what was not."""
        if self._back_to is not None:
            with suppress(Exception):
                self._stream.seek(self._back_to)
        self._close()

    def _once(self, size: int) -> bytes:
        if self._taken >= self._max_bytes:
            # One byte more decides whether it is over the limit.
            if self.refused is None and self._stream.read(1):
                self.refused = NotJudged(State.TOO_LARGE, "bytes")
            return b""
        part = self._stream.read(max(0, min(size, self._max_bytes - self._taken)))
        if not isinstance(part, bytes):
            raise UnsupportedInputError(
                f"source: got a file object that reads {type(part).__name__}, expected bytes; open it in binary mode"
            )
        self._taken += len(part)
        return part


class _ReadOnly:
    """A source that cannot seek, as FFmpeg is to see it: with nothing but ``read``."""

    def __init__(self, source: _Source) -> None:
        self._source = source

    def read(self, size: int) -> bytes:
        return self._source.read_once(size)


def open_clip(source: object, *, limits: ClipLimits | None = None) -> ClipReader:
    """Open a clip to go through all that it may show.

    Args:
        source: a path, encoded bytes, or a binary file object. One that can seek is read from its start whatever its
            position, which is put back; one that cannot is read once, from where it stands.
        limits: what the clip may cost.

    Raises:
        UnsupportedInputError: the source is of another type.
        MediaNotFoundError: the file does not exist or cannot be read.
    """
    bounds = limits if limits is not None else ClipLimits()
    opened: _Source | None = None
    with suppress(OSError):
        opened = _Source(source, bounds)
    if opened is None:
        raise MediaNotFoundError("source: got one that cannot be read, expected a readable clip; check it")
    return ClipReader(opened, bounds)


def _can_seek(source: Any) -> bool:
    seekable = getattr(source, "seekable", None)
    if callable(seekable):
        return bool(seekable())
    return callable(getattr(source, "seek", None)) and callable(getattr(source, "tell", None))


def _first_packets(clip: Any) -> dict[int, tuple[int, int]]:
    """For every track: where in the file the first packet lies that the edit list shows, and its decoding time."""
    found: dict[int, tuple[int, int]] = {}
    wanted = len(clip.streams.video)
    for count, packet in enumerate(clip.demux(clip.streams.video)):
        if packet.dts is not None and packet.pos is not None and packet.stream.index not in found:
            found[packet.stream.index] = packet.pos, packet.dts
        if len(found) == wanted or count >= _EDIT_PACKETS:
            break
    return found


def _zero_s(video: Any, first: tuple[int, int] | None, otherwise_s: Fraction) -> Fraction:
    """The time, without the edit list, that a player which follows the list calls 0."""
    if first is not None and video.time_base:
        for entry in islice(video.index_entries, _EDIT_ENTRIES):
            if entry.pos == first[0]:
                return Fraction((entry.timestamp - first[1]) * video.time_base)
    return otherwise_s


def _stored(video: Any) -> Frame:
    name = video.format.name
    rotation = cast("Literal[0, 90, 180, 270]", round(-video.rotation / 90) * 90 % 360)
    if name in ("yuv420p", "yuvj420p"):
        shapes = (
            (0, video.width, video.height),
            *((n, (video.width + 1) // 2, (video.height + 1) // 2) for n in (1, 2)),
        )
        data = np.empty(sum(width * height for _, width, height in shapes), np.uint8)
        at = 0
        for number, width, height in shapes:
            plane = video.planes[number]
            rows = np.frombuffer(plane, np.uint8)[: plane.line_size * height].reshape(height, plane.line_size)
            data[at : at + width * height].reshape(height, width)[...] = rows[:, :width]
            at += width * height
        full = name == "yuvj420p" or int(video.color_range) == 2
        return Frame(
            data.data,
            "i420",
            width=video.width,
            height=video.height,
            rotation=rotation,
            color_range="full" if full else "limited",
        )
    transparent = any(component.is_alpha for component in video.format.components)
    return _packed(video, "rgba" if transparent else "rgb", video.width, video.height, rotation)


def _packed(video: Any, format: Literal["rgb", "rgba"], width: int, height: int, rotation: Any) -> Frame:
    from av.video.reformatter import Interpolation

    name: dict[FrameFormat, str] = {"rgb": "rgb24", "rgba": "rgba"}
    converted = video.reformat(
        width=width,
        height=height,
        format=name[format],
        src_colorspace=_matrix(video),
        interpolation=Interpolation.AREA if (width, height) != (video.width, video.height) else Interpolation.BILINEAR,
    )
    plane = converted.planes[0]
    row_bytes = width * (4 if format == "rgba" else 3)
    rows = np.frombuffer(plane, np.uint8)[: plane.line_size * height].reshape(height, plane.line_size)
    packed = np.ascontiguousarray(rows[:, :row_bytes]).data
    return Frame(packed, format, width=width, height=height, rotation=rotation)


def _matrix(video: Any) -> str:
    """The name, as PyAV knows it, of the matrix between the frame's YUV and RGB."""
    space = int(video.colorspace)
    if space == _BT709 or (space == _UNSPECIFIED and video.height >= _BT709_FROM_ROWS):
        return "ITU709"
    return "BT2020" if space in _BT2020 else "ITU601"
