"""The one place that turns what a caller gives into pictures to look at.

    source → bytes | pixels → (sniff, size, structure: nothing decoded yet) → Pictures → frame by frame → views

Pillow decodes JPEG, PNG, GIF and BMP image data here through ``PIL.Image.frombytes`` after we have walked the
file; only WebP goes through ``PIL.Image.open``, and only with that one format allowed. HEIC and AVIF decoders get
a file that we have written ourselves. So no parser of any other format, of metadata or of text is ever reached,
and no result depends on a process-wide switch of Pillow or of ``warnings``. LittleCMS sees a colour profile only
where it is far from sRGB.
"""

from __future__ import annotations

import inspect
import os
import stat
from collections.abc import Callable, Iterator
from typing import BinaryIO, Final, Union, get_args

import numpy as np
import numpy.typing as npt
from PIL import Image as PilImage

from safelight.decision import State
from safelight.errors import MediaNotFoundError, UnsupportedInputError, UsageError
from safelight.media import _icc
from safelight.media import frame as _frame
from safelight.media import limits as _limits
from safelight.media._bmp import BmpFile
from safelight.media._container import ContainerFile, Reader
from safelight.media._gif import GifFile
from safelight.media._heif import HeifFile
from safelight.media._jpeg import JpegFile
from safelight.media._options import Containers, MotionPhoto, Options
from safelight.media._pil import PilSource
from safelight.media._png import PngFile
from safelight.media._refuse import Refused, check_size
from safelight.media._sniff import archive_kind, sniff
from safelight.media._webp import WebpFile
from safelight.media.frame import Frame
from safelight.media.image import Image, Loaded, NotJudged, Pictures
from safelight.media.limits import Limits
from safelight.media.views import Rendered, digest, views

#: What :func:`load_image` takes.
ImageSource = Union[
    str,
    "os.PathLike[str]",
    bytes,
    bytearray,
    memoryview,
    BinaryIO,
    PilImage.Image,
    "npt.NDArray[np.uint8]",
    Frame,
]

_READ_CHUNK_BYTES: Final = 1 << 20
_EXPECTED: Final = (
    "expected a path, bytes, a binary file object, a PIL image or a numpy uint8[H, W, 3] array; "
    "convert the input to one of these"
)


_READERS: Final[dict[str, Callable[[bytes, Options], Reader]]] = {
    "JPEG": JpegFile,
    "PNG": lambda data, options: PngFile(data, options.limits),
    "GIF": lambda data, options: GifFile(data, options.limits),
    "WEBP": lambda data, options: WebpFile(data, options.limits),
    "BMP": lambda data, options: BmpFile(data, options.limits),
    "HEIF": HeifFile,
}


def _open_reader(data: bytes, options: Options) -> Reader:
    if options.containers == "look_inside":
        kind = _container_kind(data)
        if kind in ("zip", "gzip"):
            return ContainerFile(data, options, _open_reader)
        if kind:
            raise Refused(State.NO_DECODER, kind)
    return _READERS[sniff(data)](data, options)


def _container_kind(data: bytes) -> str:
    try:
        sniff(data)
    except Refused as refused:
        return archive_kind(data) if refused.state is State.NOT_MEDIA else ""
    return ""


def load_image(
    source: ImageSource,
    *,
    limits: Limits = _limits.DEFAULT,
    color: str = "RGB",
    short_side_px: int | None = None,
    containers: Containers = "not_media",
    motion_photo: MotionPhoto = "hold",
) -> Loaded:
    """Turn ``source`` into the pictures that somebody may see in it, or say why that cannot be.

    Size and structure are checked before this returns; pixels are decoded when the result is iterated, one
    picture at a time, and a failure then is the last item, a :class:`NotJudged`.

    Args:
        source: a path (``str`` or ``os.PathLike``); encoded bytes (``bytes`` is content, never a path); a
            seekable binary file object, read from its start whatever its position, which is put back; a PIL
            image, neither changed nor closed; ``uint8[H, W, 3]``, ``uint8[H, W, 4]`` (with alpha) or
            ``uint8[H, W]`` (grey) of any strides, copied; or a :class:`Frame`, copied too: its buffer may be
            reused as soon as this returns.
        limits: what the input may cost.
        color: channel order of an array, ``"RGB"`` or ``"BGR"`` (then also BGRA). Encoded files, frames and PIL
            images say so themselves.
        short_side_px: short side that the consumer needs, at least 1. A JPEG may then be decoded at 1/2, 1/4
            or 1/8 scale, its short side staying at least twice this. ``None`` decodes in full.
        containers: what a ZIP (office documents and electronic books too), gzip, PDF or other archive is:
            ``"not_media"``, or ``"look_inside"``: the pictures in a ZIP or gzip are looked at, what in it cannot
            be looked at is a state, and PDF and all other archives are ``NO_DECODER``. A container in which there
            is nothing to look at ends with ``NOT_MEDIA``, ``container_without_pictures``.
        motion_photo: what becomes of a photo that carries a clip, as many phones make them. ``"hold"``: the photo
            is looked at, and the clip, which cannot be, is a ``NO_DECODER`` as the last item. ``"still_only"``:
            the clip is passed over. Use that only where the clip is not shown or sent along, or is checked apart:
            a photo and its clip need not show the same.

    Returns:
        :class:`Pictures`, or :class:`NotJudged` with ``DECODE_FAILED``, ``NOT_MEDIA``, ``NO_DECODER``,
        ``TOO_LARGE`` or ``TOO_SMALL``.

    Raises:
        UnsupportedInputError: ``source`` is of a type, shape or dtype that is not taken.
        UsageError: an argument is out of its range, or the file object is closed.
        MediaNotFoundError: the file does not exist or cannot be read. The message holds no path.

    Example:
        >>> import numpy as np
        >>> from safelight.media import NotJudged, load_image
        >>> loaded = load_image(np.zeros((480, 640, 3), np.uint8))
        >>> with loaded as pictures:
        ...     list(pictures)
        [<Image 640x480>]
        >>> load_image(b"just text")
        NotJudged(state=<State.NOT_MEDIA: 'NOT_MEDIA'>, detail_id='unknown_content')
    """
    if color not in ("RGB", "BGR"):
        raise UsageError("color: got an unknown order, expected 'RGB' or 'BGR'; name the array's channel order")
    if short_side_px is not None and (
        isinstance(short_side_px, bool) or not isinstance(short_side_px, int) or short_side_px < 1
    ):
        raise UsageError("short_side_px: expected None or a whole number above 0; give the model's input side")
    for name, value, choices in (
        ("containers", containers, get_args(Containers)),
        ("motion_photo", motion_photo, get_args(MotionPhoto)),
    ):
        if not isinstance(value, str) or value not in choices:
            raise UsageError(f"{name}: got an unknown choice, expected one of {', '.join(choices)}; choose one")
    options = Options(limits, short_side_px, containers, motion_photo)
    try:
        if isinstance(source, PilImage.Image):
            return _pictures(lambda: PilSource(source, limits))
        if isinstance(source, np.ndarray):
            return _from_array(source, color, limits)
        if isinstance(source, Frame):
            return _from_frame(source, limits)
        data = _read(source, limits)
        return _pictures(lambda: _open_reader(data, options))
    except Refused as refused:
        return NotJudged(refused.state, refused.detail_id)


def read_content(source: ImageSource, *, limits: Limits = _limits.DEFAULT) -> bytes | NotJudged | None:
    """The bytes of a source, read once, to be hashed and then given to :func:`load_image`.

    Returns:
        The bytes; :class:`NotJudged` when there are too many; ``None`` for a picture that is in memory already.

    Raises:
        UnsupportedInputError, UsageError, MediaNotFoundError: as :func:`load_image`.
    """
    if isinstance(source, (PilImage.Image, np.ndarray, Frame)):
        return None
    try:
        return _read(source, limits)
    except Refused as refused:
        return NotJudged(refused.state, refused.detail_id)


def _pictures(build: Callable[[], Reader]) -> Loaded:
    try:
        reader = build()
    except Exception as error:  # noqa: BLE001 - hostile content meets three libraries: all they raise is a state
        return _not_judged(error)
    return Pictures(reader.format, reader.width_px, reader.height_px, reader.frame_count, lambda: _decode(reader))


def _decode(reader: Reader) -> Iterator[Image | NotJudged]:
    seen: set[bytes] = set()
    readings = _icc.Readings()
    looked = False
    failure: NotJudged | None = None
    try:
        for rendered in reader.frames():
            if reader.frame_count != 1:
                # The same picture twice needs one look; animations hold and loop.
                mark = digest(rendered)
                if mark in seen:
                    continue
                seen.add(mark)
            for reading in readings.of(rendered):
                for image in views(reading):
                    looked = True
                    yield image
    except Exception as error:  # noqa: BLE001 - as above, in whatever frame it happens
        failure = _not_judged(error)
    if failure is None and not looked:
        failure = NotJudged(State.DECODE_FAILED, "no_picture")
    # Outside the handler, so that what the consumer raises meanwhile does not carry the decoder's exception.
    if failure is not None:
        yield failure


def _not_judged(error: Exception) -> NotJudged:
    if isinstance(error, Refused):
        return NotJudged(error.state, error.detail_id)
    if isinstance(error, MemoryError):
        return NotJudged(State.TOO_LARGE, "memory")
    if isinstance(error, (PilImage.DecompressionBombError, PilImage.DecompressionBombWarning)):
        return NotJudged(State.TOO_LARGE, "pixels")
    return NotJudged(State.DECODE_FAILED, "decoder")


# --- pixels ---------------------------------------------------------------------------------------------


class _ArraySource:
    frame_count = 1

    def __init__(self, pixels: npt.NDArray[np.uint8], format: str) -> None:
        self.format = format
        self.height_px, self.width_px = pixels.shape[:2]
        picture = PilImage.fromarray(np.ascontiguousarray(pixels))
        self._rendered = Rendered(picture, 0, self.width_px, self.height_px)

    def frames(self) -> Iterator[Rendered]:
        yield self._rendered


def _from_array(array: npt.NDArray[np.uint8], color: str, limits: Limits) -> Loaded:
    channels = array.shape[2] if array.ndim == 3 else 1
    if array.dtype != np.uint8 or array.ndim not in (2, 3) or (array.ndim == 3 and channels not in (3, 4)):
        raise UnsupportedInputError(
            f"source: got {array.dtype}{list(array.shape)}, expected uint8[H, W, 3] (or [H, W], [H, W, 4]); "
            "convert to 8 bits, channels last"
        )
    height, width = array.shape[:2]
    check_size(width, height, limits)
    if channels == 4:
        rgba = array[..., (2, 1, 0, 3)] if color == "BGR" else array
        source = _ArraySource(rgba, "ARRAY")
        return _pictures(lambda: source)
    # Copied once, here: what the caller does to the array afterwards changes nothing.
    pixels = np.empty((height, width, 3), dtype=np.uint8)
    if array.ndim == 2:
        pixels[...] = array[..., np.newaxis]
    else:
        pixels[...] = array[..., ::-1] if color == "BGR" else array
    return _opaque(pixels, "ARRAY")


def _from_frame(frame: Frame, limits: Limits) -> Loaded:
    check_size(frame.width, frame.height, limits)
    # Copied once, here: the host may reuse its buffer as soon as this returns.
    pixels = _frame.to_pixels(frame)
    if pixels.shape[2] == 4:
        source = _ArraySource(pixels, "FRAME")
        return _pictures(lambda: source)
    return _opaque(pixels, "FRAME")


def _opaque(pixels: npt.NDArray[np.uint8], format: str) -> Pictures:
    height, width = pixels.shape[:2]
    pixels.setflags(write=False)
    image = Image(pixels, width, height, (0.0, 0.0, float(width), float(height)))
    return Pictures(format, width, height, 1, lambda: iter((image,)))


# --- bytes ----------------------------------------------------------------------------------------------


def _read(source: object, limits: Limits) -> bytes:
    """The whole content of ``source``, at most ``limits.max_bytes``.

    Raises:
        Refused: ``TOO_LARGE``.
        MediaNotFoundError, UnsupportedInputError, UsageError: see :func:`load_image`.
    """
    if isinstance(source, (bytes, bytearray, memoryview)):
        length = source.nbytes if isinstance(source, memoryview) else len(source)
        if length > limits.max_bytes:
            raise Refused(State.TOO_LARGE, "bytes")
        return bytes(source)
    if isinstance(source, (str, os.PathLike)):
        return _read_path(source, limits)
    if callable(getattr(source, "read", None)) and not isinstance(source, type):
        return _read_file(source, limits)
    raise UnsupportedInputError(f"source: got {_type_name(source)}, {_EXPECTED}")


def _type_name(value: object) -> str:
    return type(value).__name__


def _read_path(path: str | os.PathLike[str], limits: Limits) -> bytes:
    # The message is chosen inside the handler and raised outside it: even with "from None" an exception
    # raised inside would keep the original, which holds the path, as its __context__.
    problem = "that cannot be read"
    unusable = False
    file = -1
    try:
        # Without O_NONBLOCK, opening a named pipe waits for a writer for ever.
        flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0)
        file = os.open(os.fspath(path), flags | getattr(os, "O_BINARY", 0))
        status = os.fstat(file)
        if stat.S_ISREG(status.st_mode):
            if status.st_size > limits.max_bytes:
                raise Refused(State.TOO_LARGE, "bytes")
            return _drain(lambda size: os.read(file, size), limits)
        problem = "that is a directory" if stat.S_ISDIR(status.st_mode) else "that is not a regular file"
    except Refused:
        raise
    except FileNotFoundError:
        problem = "that does not exist"
    except (OSError, ValueError):  # ValueError: a zero byte, or characters the file system cannot name
        pass
    except Exception:  # noqa: BLE001 - __fspath__ is the caller's and raises what it likes
        unusable = True
    finally:
        if file >= 0:
            os.close(file)
    if unusable:
        raise UnsupportedInputError(f"source: got {_type_name(path)} that names no path, {_EXPECTED}")
    raise MediaNotFoundError(f"source: got a path {problem}, expected a readable file; check the path")


def _read_file(file: object, limits: Limits) -> bytes:
    problem: type[UsageError] | type[UnsupportedInputError] | None = None
    failed = False
    data = b""
    try:
        if getattr(file, "closed", False) is True:
            problem = UsageError
        elif callable(getattr(file, "seekable", None)) and file.seekable() is False:  # type: ignore[attr-defined]
            problem = UnsupportedInputError
        else:
            at = file.tell()  # type: ignore[attr-defined]
            try:
                file.seek(0)  # type: ignore[attr-defined]
                data = _drain(file.read, limits)  # type: ignore[attr-defined]
            finally:
                file.seek(at)  # type: ignore[attr-defined]
    except (Refused, UnsupportedInputError):
        raise
    except AttributeError:
        problem = UnsupportedInputError
    except Exception:  # noqa: BLE001 - the caller's object raises what it likes, and it may name a path
        failed = True
    if problem is UsageError:
        raise UsageError("source: got a closed file object, expected an open one; open it again")
    if problem is UnsupportedInputError:
        raise UnsupportedInputError(
            f"source: got {_type_name(file)} that cannot seek, expected a seekable binary file object; "
            "read it into bytes and pass those"
        )
    if failed:
        raise MediaNotFoundError(
            "source: got a file object that cannot be read, expected a readable binary one; check it"
        )
    return data


def _drain(read: Callable[[int], object], limits: Limits) -> bytes:
    """Read to the end, one byte beyond the limit at most, whatever size the file claims to have."""
    parts: list[bytes] = []
    total = 0
    while True:
        part = read(min(_READ_CHUNK_BYTES, limits.max_bytes + 1 - total))
        if not isinstance(part, (bytes, bytearray, memoryview)):
            if inspect.iscoroutine(part):
                part.close()  # or Python warns that it was never awaited
            raise UnsupportedInputError(
                f"source: got a file object that reads {_type_name(part)}, expected bytes; open it in binary "
                "mode, or pass the plain file inside an asynchronous one"
            )
        if not part:
            return b"".join(parts)
        total += len(part)
        if total > limits.max_bytes:
            raise Refused(State.TOO_LARGE, "bytes")
        parts.append(bytes(part))
